//! What the server answers to [`super::queries`], row by row as it comes.
//!
//! Invariants: a row that cannot be read ends the load; nothing is kept of a row but what the snapshot
//! has.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;

use futures_core::Stream;
use serde::de::DeserializeOwned;
use sql::catalog::{Column, Oid, Type, TypeKind};
use tokio_postgres::types::Type as Parameter;
use tokio_postgres::{Client, Row};

use super::{LoadError, queries};

/// Columns by relation, each in the order of its numbers.
pub(super) type Columns = HashMap<Oid, Vec<Column>>;

/// Rows that the server hands over as JSON, each one entry of a list.
pub(super) async fn list<T: DeserializeOwned>(
    client: &Client,
    list: &'static str,
    query: &str,
) -> Result<Vec<T>, LoadError> {
    let mut entries = Vec::new();
    each(client, query, |row| {
        let entry = serde_json::from_str(row.try_get(0)?);
        entries.push(entry.map_err(|source| LoadError::Unreadable { list, source })?);
        Ok(())
    })
    .await?;
    Ok(entries)
}

/// The columns of all relations.
pub(super) async fn columns(client: &Client) -> Result<Columns, LoadError> {
    let mut columns = Columns::new();
    each(client, queries::COLUMNS, |row| {
        columns.entry(row.try_get(0)?).or_default().push(column(row)?);
        Ok(())
    })
    .await?;
    for own in columns.values_mut() {
        own.sort_unstable_by_key(|column| column.number);
    }
    Ok(columns)
}

fn column(row: &Row) -> Result<Column, LoadError> {
    Ok(Column {
        name: row.try_get::<_, &str>(1)?.into(),
        number: row.try_get(2)?,
        type_oid: row.try_get(3)?,
        not_null: row.try_get(4)?,
        default: row.try_get::<_, Option<&str>>(5)?.map(Into::into),
        generated: row.try_get(6)?,
    })
}

/// Every type.
pub(super) async fn types(client: &Client) -> Result<Vec<Type>, LoadError> {
    let mut types = Vec::new();
    each(client, queries::TYPES, |row| {
        types.push(type_of(row)?);
        Ok(())
    })
    .await?;
    Ok(types)
}

fn type_of(row: &Row) -> Result<Type, LoadError> {
    let kind = match letter(row, 3)? {
        'b' => TypeKind::Base,
        'c' => TypeKind::Composite(row.try_get(4)?),
        'd' => TypeKind::Domain(row.try_get(5)?),
        'e' => TypeKind::Enum,
        'r' => TypeKind::Range,
        'm' => TypeKind::Multirange,
        _ => TypeKind::Pseudo,
    };
    Ok(Type {
        oid: row.try_get(0)?,
        schema: row.try_get::<_, &str>(1)?.into(),
        name: row.try_get::<_, &str>(2)?.into(),
        kind,
        category: letter(row, 6)?,
        preferred: row.try_get(7)?,
        element: row.try_get(8)?,
        functions: row.try_get::<_, Option<Vec<Oid>>>(9)?.unwrap_or_default(),
    })
}

/// A value of type `"char"`: one byte, of which PostgreSQL's own are ASCII.
fn letter(row: &Row, at: usize) -> Result<char, LoadError> {
    let byte: i8 = row.try_get(at)?;
    Ok(char::from(byte.to_ne_bytes()[0]))
}

/// Hands over one row after the other, while the server sends the next.
async fn each(
    client: &Client,
    query: &str,
    mut take: impl FnMut(&Row) -> Result<(), LoadError>,
) -> Result<(), LoadError> {
    let nothing: [(&str, Parameter); 0] = [];
    let mut rows = pin!(client.query_typed_raw(query, nothing).await?);
    while let Some(row) = poll_fn(|context| rows.as_mut().poll_next(context)).await {
        take(&row?)?;
    }
    Ok(())
}
