//! `catalog_mode: strict`: definitions that somebody else makes past the door.

use std::time::Duration;

use testkit::wire::{Wire, bind, describe, execute, parse, query, sync, tags};

use crate::catalog::{ANALYST, POLICY, door_with, fresh};
use crate::kit::{Door, database, eventually, server};

const SECRET: &str = "a@example.org";

/// Nothing is loaded but at the start and where it has to be.
const RARELY: &[&str] = &["--catalog-poll", "10h", "--catalog-max-age", "10h"];

fn strict() -> Door {
    door_with(POLICY, &[RARELY, &["--catalog-mode", "strict"]].concat())
}

/// Makes `mails`, and lets the door know.
fn with_view(door: &Door) {
    door.direct("CREATE VIEW mails AS SELECT id FROM users; GRANT SELECT ON mails TO app");
    let said = door.psql(ANALYST, &["-c", "COMMENT ON TABLE notes IS 'x'", "-c", "TABLE mails"]);
    assert_eq!((said.code, said.out.as_str()), (0, "1\n"), "{said:?}");
}

const REDEFINE: &str = "DROP VIEW mails; CREATE VIEW mails AS SELECT email AS id FROM users; \
                        GRANT SELECT ON mails TO app";

#[test]
fn what_others_define_is_noticed_before_the_next_statement() {
    let door = strict();
    with_view(&door);
    let mut wire = door.wire(ANALYST);
    for (change, ask, passes) in [
        (REDEFINE, "SELECT id FROM mails", false),
        (
            "DROP VIEW mails; CREATE VIEW mails AS SELECT id FROM users; GRANT SELECT ON mails TO app",
            "SELECT id FROM mails",
            true,
        ),
        ("ALTER TABLE notes ADD COLUMN email text", "SELECT email FROM notes", true),
        (
            "ALTER TABLE notes RENAME TO n1; ALTER TABLE users RENAME TO notes; ALTER TABLE n1 RENAME TO users",
            "SELECT note FROM users",
            true,
        ),
        (
            "ALTER TABLE users RENAME TO n1; ALTER TABLE notes RENAME TO users; ALTER TABLE n1 RENAME TO notes",
            "SELECT note FROM users",
            false,
        ),
    ] {
        door.direct(change);
        let frames = wire.query(ask).unwrap();
        let shown = tags(&frames);
        assert_eq!(!shown.contains("E(42501)"), passes, "{change}: {shown}");
        assert!(frames.iter().all(|frame| frame.tag != b'D' || frame.row() != [SECRET]));
    }
}

#[test]
fn a_prepared_statement_is_judged_by_what_is_there_when_it_is_bound() {
    let door = strict();
    with_view(&door);
    let mut wire = door.wire(ANALYST);
    wire.send(&[parse("s", "SELECT id FROM mails", &[]), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "1 Z(I)");
    let again = [bind("", "s", &[]), execute("", 0), sync()].concat();
    wire.send(&again).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "2 D C(SELECT 1) Z(I)");
    door.direct(REDEFINE);
    wire.send(&again).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "E(42501) Z(I)");
}

#[test]
fn between_parse_and_bind_the_server_holds_what_the_statement_names() {
    let door = strict();
    with_view(&door);
    let mut wire = door.wire(ANALYST);
    // No Sync: the Parse's locks are kept, so nobody can redefine the view until the group ends.
    let all = [parse("", "SELECT id FROM mails", &[]), describe(b'S', ""), bind("", "", &[])];
    wire.send(&[all.concat(), execute("", 0), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "1 t T 2 D C(SELECT 1) Z(I)");
    wire.send(&parse("", "SELECT id FROM mails", &[])).unwrap();
    wire.send(&testkit::wire::flush()).unwrap();
    assert_eq!(tags(&wire.until(b'1').unwrap()), "1");
    let blocked =
        server().admin(&door.database, &format!("SET lock_timeout = '100ms'; {REDEFINE}"));
    assert!(blocked.is_err(), "{blocked:?}");
    wire.send(&[bind("", "", &[]), execute("", 0), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "2 D C(SELECT 1) Z(I)");
}

#[test]
fn pipelines_go_through_in_order() {
    let door = strict();
    let mut wire = door.wire(ANALYST);
    let mut sent = Vec::new();
    for number in 0..50 {
        let sql = if number % 10 == 9 { "SELECT email FROM users" } else { "SELECT id FROM users" };
        sent.extend([parse("", sql, &[]), bind("", "", &[]), execute("", 0), sync()].concat());
        sent.extend(query("SELECT 1"));
    }
    wire.send(&sent).unwrap();
    for number in 0..50 {
        let expected = if number % 10 == 9 { "E(42501) Z(I)" } else { "1 2 D C(SELECT 1) Z(I)" };
        assert_eq!(tags(&wire.until_ready().unwrap()), expected, "{number}");
        assert_eq!(tags(&wire.until_ready().unwrap()), "T D C(SELECT 1) Z(I)", "{number}");
    }
}

#[test]
fn while_nobody_can_look_nothing_is_known() {
    let database = database();
    // Who looks is a role of its own, which can be shut out.
    server().admin(&database, "CREATE ROLE watcher LOGIN").unwrap();
    let dsn = format!("postgres://watcher@127.0.0.1:{}/{database}", server().port);
    let arguments = [RARELY, &["--catalog-mode", "strict", "--catalog-dsn", &dsn]].concat();
    let door = Door::before(server().port, database, POLICY, &arguments);
    fresh(&door);
    let mut wire = door.wire(ANALYST);
    let ask = "SELECT id FROM users";
    assert_eq!(tags(&wire.query(ask).unwrap()), "T D C(SELECT 1) Z(I)");
    door.direct(
        "ALTER ROLE watcher NOLOGIN; \
         SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'watcher'",
    );
    let frames = wire.query(ask).unwrap();
    assert_eq!(tags(&frames), "E(42501) Z(I)");
    assert!(frames[0].field(b'M').unwrap().contains("stale_catalog"));
    // Nobody has to wait to leave a transaction.
    assert_eq!(tags(&wire.query("COMMIT").unwrap()), "C(COMMIT) Z(I)");
    door.direct("ALTER ROLE watcher LOGIN");
    let back = || wire.query(ask).is_ok_and(|frames| tags(&frames).starts_with('T'));
    assert!(eventually(Duration::from_secs(20), back), "{}", door.proxy.output());
}

/// Past the door another table takes the place of `notes`.
const SWAP: &str = "ALTER TABLE notes RENAME TO n1; ALTER TABLE users RENAME TO notes";

#[test]
fn rows_of_a_table_that_was_not_judged_end_the_session() {
    let parse_first = [parse("", "SELECT id FROM notes", &[]), describe(b'S', "")].concat();
    let sent = [
        query("SELECT id FROM notes"),
        query("SELECT 1; SELECT * FROM (SELECT id FROM notes) x"),
        [parse_first.clone(), bind("", "", &[]), execute("", 0), sync()].concat(),
        [parse_first, sync()].concat(),
    ];
    for bytes in sent {
        let door = door_with(POLICY, RARELY);
        let mut wire = door.wire(ANALYST);
        door.direct("GRANT SELECT ON users TO app");
        wire.send(&bytes).unwrap();
        assert!(!tags(&wire.until_ready().unwrap()).contains("E("), "honest");
        door.direct(SWAP);
        wire.send(&bytes).unwrap();
        let frames = wire.until_closed().unwrap();
        let last = frames.last().map(testkit::wire::Frame::describe);
        assert_eq!(last.as_deref(), Some("< ErrorResponse FATAL 55000"), "{frames:?}");
        assert!(frames.iter().all(|frame| frame.tag != b'D' || frame.row() == ["1"]));
        assert!(door.report().contains("catalog_contradicted"), "{}", door.report());
        // The catalog was loaded again.
        let mut wire = door.wire(ANALYST);
        assert_eq!(tags(&wire.query("SELECT id FROM notes").unwrap()), "T D C(SELECT 1) Z(I)");
        assert_eq!(tags(&wire.query("SELECT note FROM notes").unwrap()), "E(42501) Z(I)");
    }
}

#[test]
fn polling_alone_does_not_notice() {
    // What `strict` is for: the limit that SECURITY.md states.
    let door = door_with(POLICY, RARELY);
    with_view(&door);
    door.direct("CREATE OR REPLACE VIEW mails AS SELECT length(email) AS id FROM users");
    let said = door.psql(ANALYST, &["-c", "SELECT id FROM mails"]);
    assert_eq!(said.out, format!("{}\n", SECRET.len()), "{said:?}");
}

#[test]
fn where_a_role_may_go_is_noticed_before_the_next_statement() {
    let door = strict();
    let guest = format!("guest_{}", door.database);
    door.direct(&format!(
        "CREATE ROLE {guest} LOGIN SUPERUSER PASSWORD '{}'; CREATE SCHEMA vault; \
         CREATE TABLE vault.users (email text); GRANT SELECT ON users, vault.users TO {guest}",
        testkit::pgbox::PASSWORD
    ));
    let parameters = [
        ("user", guest.as_str()),
        ("database", &door.database),
        ("application_name", ANALYST),
        ("options", "-c search_path=vault,public"),
    ];
    let mut wire = Wire::login(door.proxy.port, &parameters).unwrap();
    let mut ask = |sql: &str| tags(&wire.query(sql).unwrap());
    // It may use the schema, so that the name means the table there.
    assert_eq!(ask("SELECT email FROM users"), "T C(SELECT 0) Z(I)");
    door.direct(&format!("ALTER ROLE {guest} NOSUPERUSER"));
    assert_eq!(ask("SELECT email FROM users"), "E(42501) Z(I)");
    door.direct(&format!("ALTER ROLE {guest} SUPERUSER"));
    assert_eq!(ask("SELECT email FROM users"), "T C(SELECT 0) Z(I)");
    drop(wire);
    door.direct(&format!("DROP OWNED BY {guest}; DROP ROLE {guest}"));
}
