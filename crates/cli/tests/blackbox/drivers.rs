//! Drivers as agents use them: psycopg 3 (also in pipeline mode), asyncpg, node-postgres.
//!
//! The scripts beside this file assert for themselves. A driver that is not installed is a failure
//! that says what to run, not a test that silently does nothing.

use std::path::PathBuf;
use std::process::Command;

use crate::kit::{Door, WORKER, said, workspace};

fn script(name: &str) -> PathBuf {
    workspace().join("crates/cli/tests/drivers").join(name)
}

fn passes(door: &Door, command: &mut Command) {
    command.env("PGHOST", "127.0.0.1").env("PGPORT", door.proxy.port.to_string());
    command.env("PGUSER", "app").env("PGDATABASE", &door.database).env("PGAPPNAME", WORKER);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let said = said(command);
    assert_eq!(said.code, 0, "{}\n{}\n{}", said.out, said.err, door.proxy.output());
    assert!(said.out.contains("all is well"), "{said:?}");
    assert_eq!(door.direct("SELECT count(*) FROM products"), "2\n");
}

fn python(name: &str) {
    let python = workspace().join(".portcullis/venv/bin/python");
    assert!(python.exists(), "the Python drivers are not installed: run `make setup`");
    passes(&Door::open(), Command::new(python).arg(script(name)));
}

#[test]
fn psycopg() {
    python("psycopg_agent.py");
}

#[test]
fn asyncpg() {
    python("asyncpg_agent.py");
}

#[test]
fn node_postgres() {
    let modules = workspace().join(".portcullis/node/node_modules");
    assert!(modules.exists(), "the Node driver is not installed: run `make setup`");
    let mut command = Command::new("node");
    passes(&Door::open(), command.env("NODE_PATH", modules).arg(script("pg_agent.js")));
}

/// Where Debian puts the driver.
const JDBC: &str = "/usr/share/java/postgresql.jar";

#[test]
fn jdbc() {
    let has_java = Command::new("java").arg("-version").output().is_ok();
    if !has_java || !std::path::Path::new(JDBC).exists() {
        // A JDK is large: it is asked for, not demanded.
        println!(
            "JDBC is not tested here: apt-get install default-jdk-headless libpostgresql-jdbc-java"
        );
        return;
    }
    let mut command = Command::new("java");
    passes(&Door::open(), command.args(["-cp", JDBC]).arg(script("PgAgent.java")));
}
