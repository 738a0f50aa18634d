//! Rules on columns and functions, judged by the catalog of the real server.

use std::process::Command;
use std::time::Duration;

use crate::kit::{Door, Said, binary, database, eventually, psql, said, server};

pub(crate) const POLICY: &str = r#"
version: "2"
agents:
  analyst:
    columns:
      public.users: {deny: [email]}
      public.products: [id, name]
    functions: {deny: [random, "lib.*"]}
    blocked_tables: [public.payments]
"#;

pub(crate) const ANALYST: &str = "agent:analyst";

fn door() -> Door {
    door_with(POLICY, &[])
}

/// A door that judges by its database's catalog.
pub(crate) fn door_with(policy: &str, arguments: &[&str]) -> Door {
    let database = database();
    let dsn = server().conn_string(&database);
    let arguments = [&["--catalog-dsn", &dsn], arguments].concat();
    let door = Door::before(server().port, database, policy, &arguments);
    fresh(&door);
    door
}

/// Waits until the catalog is loaded.
pub(crate) fn fresh(door: &Door) {
    let known = || door.psql(ANALYST, &["-c", "SELECT id FROM users"]).code == 0;
    assert!(eventually(Duration::from_secs(20), known), "{}", door.proxy.output());
}

fn ask(door: &Door, sql: &str) -> Said {
    door.psql(ANALYST, &["-c", sql])
}

#[track_caller]
fn refused(door: &Door, sql: &str, reason: &str) {
    let said = ask(door, sql);
    assert!(said.err.contains(reason), "{sql}: {said:?}");
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{sql}");
}

#[track_caller]
fn passes(door: &Door, sql: &str) {
    let said = ask(door, sql);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{sql}");
}

#[test]
fn a_catalog_of_one_database_says_nothing_of_another() {
    let policy = format!("{POLICY}  free: {{}}\n");
    let door = door_with(&policy, &[]);
    let other = database();
    let elsewhere = |who: &str, sql: &str| {
        let mut command = psql(door.proxy.port, &other, who);
        said(command.args(["-c", sql]))
    };
    let refused = elsewhere(ANALYST, "SELECT id FROM users");
    assert!(refused.err.contains("other_database"), "{refused:?}");
    assert!(refused.err.contains("Recorded as"), "{refused:?}");
    assert_eq!(refused.code, 2);
    // Who is bound by nothing that a catalog decides may go anywhere.
    let free = elsewhere("agent:free", "SELECT email FROM users");
    assert_eq!((free.code, free.out.as_str()), (0, "a@example.org\n"));
    passes(&door, "SELECT id FROM users");
    // In observe mode nobody is turned away, and nothing is known of that database.
    let observed = door_with(&policy, &["--mode", "observe"]);
    let mut command = psql(observed.proxy.port, &other, ANALYST);
    let watched = said(command.args(["-c", "SELECT id FROM users"]));
    assert_eq!((watched.code, watched.out.as_str()), (0, "1\n"));
    let report = observed.report();
    assert!(report.contains("no_catalog"), "{report}");
}

#[test]
fn a_denied_column_is_found_however_it_is_reached() {
    let door = door();
    door.direct("CREATE VIEW mails AS SELECT id, email AS address FROM users; CREATE VIEW deep AS SELECT * FROM mails; GRANT SELECT ON mails, deep TO app");
    // Nobody told the door: polling would, and a definition through the door does.
    passes(&door, "CREATE TABLE own (a int)");
    fresh(&door);
    for sql in [
        "SELECT email FROM users",
        "SELECT * FROM users",
        "TABLE users",
        "SELECT u FROM users u",
        "SELECT row_to_json(u) FROM users u",
        "SELECT (u).id FROM users u",
        "SELECT id FROM users WHERE email LIKE 'a%'",
        "SELECT id FROM users ORDER BY email",
        "SELECT count(email) FROM users",
        "SELECT x.id FROM users x NATURAL JOIN users y",
        "WITH users AS (SELECT * FROM users) SELECT id FROM users",
        "SELECT address FROM deep",
        "SELECT id FROM mails WHERE address = 'x'",
        "UPDATE users SET id = id WHERE email = 'x'",
        "DELETE FROM users RETURNING *",
        "COPY users TO STDOUT",
        "COPY (SELECT email FROM users) TO STDOUT",
        "CREATE TABLE copied AS SELECT email FROM users",
        "EXPLAIN SELECT email FROM users",
    ] {
        refused(&door, sql, "column_not_allowed:email (table: public.users)");
    }
    for sql in [
        "SELECT id FROM users",
        "SELECT count(*) FROM users",
        "SELECT id FROM deep",
        "SELECT id AS email FROM users ORDER BY email",
        "WITH c (email) AS (SELECT id FROM users) SELECT email FROM c",
        "SELECT 'email' FROM users",
    ] {
        passes(&door, sql);
    }
}

#[test]
fn what_exists_cannot_be_changed_behind_a_judgement() {
    let door = door();
    door.direct(
        "CREATE FUNCTION leak() RETURNS SETOF text LANGUAGE sql AS 'SELECT email FROM users'; \
         CREATE TABLE lists (id int, email text); GRANT ALL ON lists TO app",
    );
    passes(&door, "CREATE TABLE own (a int)");
    fresh(&door);
    for (sql, reason) in [
        // A function hides what it reads.
        ("SELECT leak()", "column_not_allowed:email"),
        ("SELECT * FROM leak()", "column_not_allowed:email"),
        // Statistics show values.
        ("SELECT most_common_vals FROM pg_stats", "column_not_allowed:*"),
        // One submission that defines in a way that is not followed, and reads.
        ("COMMENT ON TABLE notes IS 'x'; SELECT id FROM users", "unknown_columns:stale_catalog"),
        // A prepared statement is planned again under the path of the moment.
        (
            "PREPARE p AS SELECT email FROM lists; SET search_path = public; EXECUTE p",
            "unknown_columns:stale_catalog",
        ),
    ] {
        refused(&door, sql, reason);
    }
    passes(&door, "PREPARE p AS SELECT email FROM lists; EXECUTE p");
    passes(&door, "SELECT count(*) FROM generate_series(1, 3)");
}

#[test]
fn an_allow_list_says_which_columns_there_are() {
    let door = door();
    passes(&door, "SELECT id, name FROM products");
    let said = ask(&door, "SELECT price FROM products");
    assert!(said.err.contains("use only these columns of public.products: id, name"), "{said:?}");
}

#[test]
fn functions_are_found_behind_operators() {
    let door = door();
    door.direct(
        "CREATE SCHEMA lib; GRANT USAGE ON SCHEMA lib TO app; \
         CREATE FUNCTION lib.near(int, int) RETURNS bool LANGUAGE sql AS 'SELECT true'; \
         CREATE OPERATOR public.<~ (LEFTARG = int, RIGHTARG = int, FUNCTION = lib.near)",
    );
    passes(&door, "CREATE TABLE own (a int)");
    fresh(&door);
    refused(&door, "SELECT id FROM users WHERE id <~ 3", "function_not_allowed:lib.near");
    refused(&door, "SELECT random()", "function_not_allowed:pg_catalog.random");
    passes(&door, "SELECT id FROM users WHERE id < 3");
}

#[test]
fn a_block_reaches_through_a_view() {
    let door = door();
    door.direct("CREATE VIEW cards AS SELECT id FROM payments; GRANT SELECT ON cards TO app");
    passes(&door, "CREATE TABLE own (a int)");
    fresh(&door);
    refused(&door, "SELECT id FROM cards", "blocked_table (table: public.payments)");
}

#[test]
fn a_definition_makes_the_catalog_stale_until_it_is_read_again() {
    let door = door();
    // In its own transaction nobody else sees what is defined, so neither does the catalog.
    let both = "BEGIN; COMMENT ON TABLE notes IS 'x'";
    let said = door.psql(ANALYST, &["-c", both, "-c", "SELECT id FROM users", "-c", "ROLLBACK"]);
    assert!(said.err.contains("unknown_columns:stale_catalog"), "{said:?}");
    // Once it is committed, what comes next waits for the load.
    for sql in ["CREATE TABLE own (email text)", "SELECT email FROM own", "DROP TABLE own"] {
        passes(&door, sql);
    }
    refused(&door, "SELECT email FROM own", "unknown_columns:not_in_catalog");
}

#[test]
fn the_secret_of_the_catalog_is_told_to_nobody() {
    const SECRET: &str = "sesame-7319";
    let database = database();
    let (port, folder) = (server().port, std::env::temp_dir().join(format!("secret-{database}")));
    std::fs::create_dir_all(&folder).unwrap();
    let (file, config) = (folder.join("dsn"), folder.join("portcullis.yaml"));
    let dsn = format!("postgres://postgres:{SECRET}@127.0.0.1:{port}/{database}");
    std::fs::write(&file, format!("{dsn}\n")).unwrap();
    let place = format!("file:{}", file.display());
    let told =
        |door: &Door| assert!(!door.proxy.output().contains(SECRET), "{}", door.proxy.output());
    // From a file, with everything that the log has to say.
    let arguments = ["--catalog-dsn", &place, "--log-level", "trace"];
    let door = Door::before(port, database.clone(), POLICY, &arguments);
    fresh(&door);
    told(&door);
    // Written out: a server that is not there, and what the log says of it.
    let nowhere = dsn.replace(&port.to_string(), "1");
    let arguments = ["--catalog-dsn", &nowhere, "--log-level", "trace"];
    let door = Door::before(port, database.clone(), POLICY, &arguments);
    door.proxy.wait_for("catalog not loaded", Duration::from_secs(20)).unwrap();
    door.proxy.wait_for("catalog_dsn holds a password", Duration::from_secs(5)).unwrap();
    told(&door);
    let broken = dsn.replace(&format!(":{port}"), ":port");
    std::fs::write(&config, format!("version: 1\ncatalog_dsn: {dsn}\n")).unwrap();
    let written = config.to_str().unwrap();
    let listed = folder.join("list.yaml");
    std::fs::write(&listed, format!("version: 1\ncatalog_dsn: [{dsn}, {dsn}]\n")).unwrap();
    let twice = folder.join("twice.yaml");
    std::fs::write(&twice, format!("version: 1\ncatalog_dsn: {dsn}\ncatalog_dsn: {dsn}\n"))
        .unwrap();
    for words in [
        &["config", "show", "--catalog-dsn", &dsn][..],
        &["config", "show", "--origin", "--config", written],
        &["config", "check", "--config", written],
        &["config", "show", "--config", listed.to_str().unwrap()],
        &["config", "check", "--config", twice.to_str().unwrap()],
        &["config", "check", "--catalog-dsn", &dsn, "--catalog-poll", "10m"],
        &["catalog", "dump", "--dsn", &nowhere, "--output", "-"],
        &["catalog", "dump", "--dsn", &broken, "--output", "-"],
        &["check", "--catalog", &nowhere, "-c", "SELECT 1"],
        &["check", "--catalog", &broken, "-c", "SELECT 1"],
        &["proxy", "--catalog-dsn", &broken],
        &["proxy", "--catalog-dsn", "env:NO_SUCH_VARIABLE"],
        &["proxy", "--catalog-dsn", "file:/nonexistent"],
    ] {
        let mut command = Command::new(binary());
        let said = said(command.args(words).env("PORTCULLIS_POLICIES", door.proxy.policies()));
        assert!(!said.out.contains(SECRET) && !said.err.contains(SECRET), "{words:?}: {said:?}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn without_a_catalog_a_rule_on_columns_denies() {
    let door = Door::with(POLICY, &[]);
    refused(&door, "SELECT id FROM users", "unknown_columns:no_catalog");
    refused(&door, "SELECT name FROM products", "unknown_columns:no_catalog");
}

#[test]
fn a_catalog_is_written_down_and_judged_by_without_the_server() {
    let database = database();
    let dsn = server().conn_string(&database);
    let folder =
        std::env::temp_dir().join(format!("portcullis-catalog-{database}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (file, policy) = (folder.join("catalog.json"), folder.join("policy.yaml"));
    std::fs::write(&policy, POLICY).unwrap();
    let dumped = said(
        Command::new(binary()).args(["catalog", "dump", "--dsn", &dsn, "--output"]).arg(&file),
    );
    assert_eq!(dumped.code, 0, "{dumped:?}");
    assert!(dumped.out.contains("relations"), "{dumped:?}");
    let check = |place: &str, sql: &str| {
        let mut command = Command::new(binary());
        command.arg("check").arg("--policy").arg(&policy);
        said(command.args(["--agent", "analyst", "--catalog", place, "-c", sql]))
    };
    for place in [file.to_str().unwrap(), dsn.as_str()] {
        assert_eq!(check(place, "SELECT id FROM users").code, 0);
        let denied = check(place, "SELECT u FROM users u");
        assert_eq!(denied.code, 1);
        assert!(denied.out.contains("column_not_allowed"), "{denied:?}");
    }
    std::fs::write(&file, "{\"format\": 1}").unwrap();
    let broken = check(file.to_str().unwrap(), "SELECT 1");
    assert_eq!(broken.code, 2);
    assert!(broken.err.contains("portcullis catalog dump"), "{broken:?}");
    std::fs::remove_dir_all(&folder).unwrap();
}
