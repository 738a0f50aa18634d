//! Loading a catalog: one consistent look over a connection of its own.
//!
//! Invariants: one read-only transaction, so that everything is of one moment; `search_path` is
//! `pg_catalog` alone, so that view definitions name every schema; nothing is ever written.

mod connection;
pub(crate) mod epoch;
pub(crate) mod live;
pub(crate) mod open;
mod queries;
mod rows;

use std::time::Duration;

use connection::Kept;
use live::Mark;
pub use live::{CatalogMode, CatalogSettings};
use sql::catalog::{CatalogError, FORMAT, Relation, Snapshot};
use tokio_postgres::{Client, Config};

/// Longest time that loading may take.
pub const LOAD_TIMEOUT: Duration = Duration::from_mins(1);

/// Why a catalog could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No connection, or it was lost.
    #[error("cannot read the catalog from the server: {}", source_text(.0))]
    Server(#[source] tokio_postgres::Error),
    /// The server closed the connection.
    #[error("the server closed the connection while the catalog was read")]
    Closed,
    /// It took longer than [`LOAD_TIMEOUT`].
    #[error("the server did not give its catalog within {} s", LOAD_TIMEOUT.as_secs())]
    Timeout,
    /// Two entries that cannot both be.
    #[error("the server's catalog contradicts itself: {0}")]
    Contradiction(#[source] CatalogError),
    /// A row that is not what this version expects.
    #[error("the server's {list} are not what this version can read: {source}")]
    Unreadable {
        /// Which list.
        list: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// The server's own words, where it said any.
fn source_text(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(database) => database.message().to_owned(),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

impl From<tokio_postgres::Error> for LoadError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

/// Reads everything in one transaction, over the connection that is kept if there is one; with the
/// mark of that moment, if it is asked for. Gives the connection back.
///
/// # Errors
/// As [`fetch`].
pub(crate) async fn read_all(
    config: &Config,
    mode: CatalogMode,
    kept: Option<Kept>,
) -> Result<(Snapshot, Option<Mark>, Kept), LoadError> {
    let load = begin_and_read(config, mode, kept);
    tokio::time::timeout(LOAD_TIMEOUT, load).await.map_err(|_elapsed| LoadError::Timeout)?
}

/// Connects, reads everything in one transaction, and hangs up.
///
/// # Errors
/// The server cannot be reached, refuses, is too slow, or answers what cannot be read.
pub async fn fetch(config: &Config) -> Result<Snapshot, LoadError> {
    let (snapshot, ..) = read_all(config, CatalogMode::Polled, None).await?;
    Ok(snapshot)
}

async fn begin_and_read(
    config: &Config,
    mode: CatalogMode,
    kept: Option<Kept>,
) -> Result<(Snapshot, Option<Mark>, Kept), LoadError> {
    let mut connection = Kept::begin(kept, config).await?;
    let (snapshot, mark) = connection.run(async |client| read(client, mode).await).await?;
    connection.end().await?;
    Ok((snapshot, mark, connection))
}

/// Everything, in the transaction that is open.
async fn read(client: &Client, mode: CatalogMode) -> Result<(Snapshot, Option<Mark>), LoadError> {
    // All at once: the server is at the next while the rows of this one are read.
    let (
        head,
        granted_schemas,
        mut relations,
        mut columns,
        functions,
        operators,
        casts,
        mut types,
        attached,
        mark,
    ) = tokio::try_join!(
        head(client),
        rows::list(client, "schemas", queries::GRANTED),
        rows::list::<Relation>(client, "relations", queries::RELATIONS),
        rows::columns(client),
        rows::list(client, "functions", queries::FUNCTIONS),
        rows::list(client, "operators", queries::OPERATORS),
        rows::list(client, "casts", queries::CASTS),
        rows::types(client),
        rows::list(client, "triggers and constraints", queries::ATTACHED),
        mark(client, mode),
    )?;
    for relation in &mut relations {
        relation.columns = columns.remove(&relation.oid).unwrap_or_default();
    }
    // By bytes, as the server's type "name" is sorted.
    relations.sort_unstable_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    types.sort_unstable_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    let snapshot = Snapshot {
        granted_schemas,
        relations,
        functions,
        operators,
        casts,
        types,
        attached,
        ..head
    };
    Ok((snapshot, mark))
}

/// A snapshot without its lists.
async fn head(client: &Client) -> Result<Snapshot, LoadError> {
    let head = client.query_typed_one(queries::HEAD, &[]).await?;
    let version: i32 = head.try_get(0)?;
    let names = |at| -> Result<Vec<Box<str>>, LoadError> {
        let names: Vec<String> = head.try_get(at)?;
        Ok(names.into_iter().map(String::into_boxed_str).collect())
    };
    Ok(Snapshot {
        format: FORMAT,
        server_version: u32::try_from(version).unwrap_or_default(),
        database: head.try_get(1)?,
        schemas: names(2)?,
        extensions: names(3)?,
        open_schemas: names(4)?,
        ..Snapshot::default()
    })
}

async fn mark(client: &Client, mode: CatalogMode) -> Result<Option<Mark>, LoadError> {
    match mode {
        CatalogMode::Polled => Ok(None),
        CatalogMode::Strict => {
            let row = client.query_typed_one(queries::MARK, &[]).await?;
            Ok(Some(Mark { snapshot: row.try_get(0)?, digest: row.try_get(1)? }))
        }
    }
}
