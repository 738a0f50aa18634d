//! A catalog from where the user says it is: a file that `catalog dump` wrote, or a server.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, bail};
use sql::catalog::{Catalog, Snapshot};

use crate::config::layers::Environment;
use crate::limits;

/// Loads a catalog from a file, or from a server if `place` is a connection string.
pub(crate) fn load(place: &str, environment: &Environment) -> anyhow::Result<Catalog> {
    // A connection string may hold a password: it is not said again.
    let shown = if is_dsn(place) { "the server" } else { place };
    let snapshot = if is_dsn(place) {
        fetch(place, environment)?
    } else {
        let path = Path::new(place);
        let length = std::fs::metadata(path)
            .with_context(|| format!("cannot read the catalog `{shown}`"))?
            .len();
        if length > limits::MAX_CATALOG_BYTES {
            bail!("the catalog `{shown}` is larger than {} bytes", limits::MAX_CATALOG_BYTES);
        }
        let text =
            std::fs::read(path).with_context(|| format!("cannot read the catalog `{shown}`"))?;
        serde_json::from_slice(&text).with_context(|| {
            format!("`{shown}` is no catalog (write one with `portcullis catalog dump`)")
        })?
    };
    Catalog::from_snapshot(snapshot).with_context(|| format!("the catalog of `{shown}`"))
}

fn is_dsn(place: &str) -> bool {
    place.starts_with("postgres://") || place.starts_with("postgresql://") || place.contains('=')
}

/// Reads a server's catalog.
pub(crate) fn fetch(dsn: &str, environment: &Environment) -> anyhow::Result<Snapshot> {
    let config = connection(dsn, environment)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(server::catalog::fetch(&config))?)
}

/// How to connect; the password may be in the environment.
pub(crate) fn connection(
    dsn: &str,
    environment: &Environment,
) -> anyhow::Result<tokio_postgres::Config> {
    let mut config = tokio_postgres::Config::from_str(dsn).context(
        "the connection string cannot be read (expected `postgres://user@host/database`)",
    )?;
    if config.get_password().is_none()
        && let Some(password) =
            environment.get("PGPASSWORD").map_err(|problem| anyhow::anyhow!("{problem}"))?
    {
        config.password(password);
    }
    if config.get_application_name().is_none() {
        config.application_name("portcullis catalog");
    }
    Ok(config)
}
