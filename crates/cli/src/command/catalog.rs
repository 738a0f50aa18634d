//! `catalog dump`: what exists in a database, as one JSON file to judge by without the database.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context, bail};
use sql::catalog::Snapshot;

use super::{Answer, Surroundings};
use crate::args::CatalogDumpArgs;
use crate::{catalog_file, output};

/// Runs it.
pub(crate) fn dump(args: &CatalogDumpArgs, surroundings: &Surroundings) -> anyhow::Result<Answer> {
    let environment = &surroundings.environment;
    let given = match &args.dsn {
        Some(dsn) => Some(dsn.clone()),
        None => environment
            .get("DATABASE_URL")
            .map_err(|problem| anyhow::anyhow!("{problem}"))?
            .map(str::to_owned),
    };
    let Some(dsn) = given else {
        bail!(
            "where is the server? say `--dsn postgres://user@host/database`, or set DATABASE_URL"
        );
    };
    let snapshot = catalog_file::fetch(&dsn, environment)?;
    if args.output.as_os_str() == "-" {
        let mut out = output::stdout();
        serde_json::to_writer(&mut out, &snapshot)?;
        writeln!(out)?;
        out.flush()?;
        return Ok(Answer::Clean);
    }
    write(&snapshot, &args.output)
        .with_context(|| format!("cannot write `{}`", args.output.display()))?;
    let mut out = output::stdout();
    writeln!(
        out,
        "{} relations, {} functions, {} operators, {} types of database {} on PostgreSQL {}",
        snapshot.relations.len(),
        snapshot.functions.len(),
        snapshot.operators.len(),
        snapshot.types.len(),
        output::printable(&snapshot.database),
        snapshot.server_version / 10_000,
    )?;
    out.flush()?;
    Ok(Answer::Clean)
}

/// Whole or not at all: written beside, then moved into place. Names of relations are nobody
/// else's business, so the file is the user's alone. What is there and is no file, such as `/dev/null`,
/// is left as it is.
fn write(snapshot: &Snapshot, path: &Path) -> anyhow::Result<()> {
    if path.metadata().is_ok_and(|there| !there.is_file()) {
        bail!("it is there and is no file (`-` writes to standard output)");
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    let mut file: BufWriter<File> = BufWriter::new(file);
    serde_json::to_writer(&mut file, snapshot)?;
    file.write_all(b"\n")?;
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(&beside, path)?;
    Ok(())
}
