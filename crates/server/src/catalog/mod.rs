//! Loading a catalog: one consistent look over a connection of its own.
//!
//! Invariants: one read-only transaction, so that everything is of one moment; `search_path` is
//! `pg_catalog` alone, so that view definitions name every schema; nothing is ever written.

pub(crate) mod epoch;
pub(crate) mod live;
mod queries;

use std::pin::pin;
use std::time::Duration;

use live::Mark;
pub use live::{CatalogMode, CatalogSettings};
use serde::de::DeserializeOwned;
use sql::catalog::{Catalog, CatalogError, FORMAT, Snapshot};
use tokio_postgres::{Client, Config, IsolationLevel, NoTls, Transaction};

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

/// Connects, reads everything in one transaction, hangs up, and indexes it; with the mark of that
/// moment, if it is asked for.
///
/// # Errors
/// As [`fetch`], and if what was read contradicts itself.
pub(crate) async fn load(
    config: &Config,
    mode: CatalogMode,
) -> Result<(Catalog, Option<Mark>), LoadError> {
    let (snapshot, mark) = within(connect_and_read(config, mode)).await?;
    let catalog = Catalog::from_snapshot(snapshot).map_err(LoadError::Contradiction)?;
    Ok((catalog, mark))
}

/// Connects, reads everything in one transaction, and hangs up.
///
/// # Errors
/// The server cannot be reached, refuses, is too slow, or answers what cannot be read.
pub async fn fetch(config: &Config) -> Result<Snapshot, LoadError> {
    let (snapshot, _mark) = within(connect_and_read(config, CatalogMode::Polled)).await?;
    Ok(snapshot)
}

async fn within<T>(load: impl Future<Output = Result<T, LoadError>>) -> Result<T, LoadError> {
    tokio::time::timeout(LOAD_TIMEOUT, load).await.map_err(|_elapsed| LoadError::Timeout)?
}

async fn connect_and_read(
    config: &Config,
    mode: CatalogMode,
) -> Result<(Snapshot, Option<Mark>), LoadError> {
    let (mut client, connection) = config.connect(NoTls).await?;
    // The connection has to be polled beside the questions, and ends with them.
    let mut connection = pin!(connection);
    let mut questions = pin!(read(&mut client, mode));
    tokio::select! {
        biased;
        read = &mut questions => read,
        ended = &mut connection => match ended {
            Ok(()) => Err(LoadError::Closed),
            Err(error) => Err(LoadError::Server(error)),
        },
    }
}

async fn read(
    client: &mut Client,
    mode: CatalogMode,
) -> Result<(Snapshot, Option<Mark>), LoadError> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    transaction.batch_execute("SET LOCAL search_path = pg_catalog").await?;
    let head = transaction.query_one(queries::HEAD, &[]).await?;
    let version: i32 = head.try_get(0)?;
    let schemas: Vec<String> = head.try_get(2)?;
    let extensions: Vec<String> = head.try_get(3)?;
    let open: Vec<String> = head.try_get(4)?;
    let snapshot = Snapshot {
        format: FORMAT,
        server_version: u32::try_from(version).unwrap_or_default(),
        database: head.try_get(1)?,
        schemas: schemas.into_iter().map(String::into_boxed_str).collect(),
        open_schemas: open.into_iter().map(String::into_boxed_str).collect(),
        granted_schemas: list(&transaction, "schemas", queries::GRANTED).await?,
        extensions: extensions.into_iter().map(String::into_boxed_str).collect(),
        relations: list(&transaction, "relations", queries::RELATIONS).await?,
        functions: list(&transaction, "functions", queries::FUNCTIONS).await?,
        operators: list(&transaction, "operators", queries::OPERATORS).await?,
        casts: list(&transaction, "casts", queries::CASTS).await?,
        types: list(&transaction, "types", queries::TYPES).await?,
        attached: list(&transaction, "triggers and constraints", queries::ATTACHED).await?,
    };
    let mark = match mode {
        CatalogMode::Polled => None,
        CatalogMode::Strict => {
            let row = transaction.query_one(queries::MARK, &[]).await?;
            Some(Mark { snapshot: row.try_get(0)?, digest: row.try_get(1)? })
        }
    };
    transaction.rollback().await?;
    Ok((snapshot, mark))
}

/// Rows that the server hands over as JSON, each one entry of a list.
async fn list<T: DeserializeOwned>(
    transaction: &Transaction<'_>,
    list: &'static str,
    query: &str,
) -> Result<Vec<T>, LoadError> {
    let rows = transaction.query(query, &[]).await?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        let text: &str = row.try_get(0)?;
        let entry = serde_json::from_str(text);
        entries.push(entry.map_err(|source| LoadError::Unreadable { list, source })?);
    }
    Ok(entries)
}
