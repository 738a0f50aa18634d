//! Names of statements, portals and cursors: one map for protocol and SQL, and no way to have a
//! name stand for something that was not judged.

use testkit::wire::{bind, close, describe, execute, flush, parse, query, sync, tags};

use crate::kit::{Door, TRANSPARENT, WORKER};

#[test]
fn protocol_and_sql_share_their_names() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    wire.send(&[parse("p", "SELECT 'from Parse'", &[]), sync()].concat()).unwrap();
    wire.until_ready().unwrap();
    let frames = wire.query("EXECUTE p").unwrap();
    assert_eq!(frames[1].row(), ["from Parse"]);
    wire.query("PREPARE q AS SELECT 'from PREPARE'").unwrap();
    wire.send(&[bind("", "q", &[]), execute("", 0), sync()].concat()).unwrap();
    assert_eq!(wire.until_ready().unwrap()[1].row(), ["from PREPARE"]);
    assert_eq!(tags(&wire.query("DEALLOCATE p").unwrap()), "C(DEALLOCATE) Z(I)");
    wire.send(&[bind("", "p", &[]), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "E(26000) Z(I)");
    wire.send(&[close(b'S', "q"), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "3 Z(I)");
    assert!(tags(&wire.query("EXECUTE q").unwrap()).starts_with("E("));
}

#[test]
fn a_denied_statement_cannot_be_prepared_in_either_way() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    let denied = "E(42501) Z(I)";
    assert_eq!(tags(&wire.query("PREPARE p AS SELECT * FROM users").unwrap()), denied);
    assert_eq!(tags(&wire.query("EXECUTE p").unwrap()), "E(26000) Z(I)");
    wire.send(&[parse("p", "SELECT * FROM users", &[]), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), denied);
    let sql = "PREPARE q AS SELECT 1; EXECUTE q; DEALLOCATE q; PREPARE q AS TABLE users; EXECUTE q";
    assert_eq!(tags(&wire.query(sql).unwrap()), denied);
    let cursor = "BEGIN; DECLARE c CURSOR FOR SELECT * FROM users; FETCH c; COMMIT";
    assert_eq!(tags(&wire.query(cursor).unwrap()), denied);
}

#[test]
fn a_cursor_can_be_fetched_from_and_closed() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    let mut ask = |sql: &str| tags(&wire.query(sql).unwrap());
    ask("BEGIN");
    assert_eq!(ask("DECLARE c CURSOR FOR SELECT id FROM feedback"), "C(DECLARE CURSOR) Z(T)");
    assert_eq!(ask("FETCH 2 FROM c"), "T D D C(FETCH 2) Z(T)");
    assert_eq!(ask("CLOSE c"), "C(CLOSE CURSOR) Z(T)");
    assert_eq!(ask("COMMIT"), "C(COMMIT) Z(I)");
}

#[test]
fn a_name_that_nobody_made_is_not_run() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    let said = wire.query("EXECUTE nobody").unwrap();
    assert_eq!(tags(&said), "E(26000) Z(I)");
    let message = said[0].field(b'M');
    assert_eq!(message.as_deref(), Some("prepared statement \"nobody\" does not exist"));
    assert_eq!(tags(&wire.query("BEGIN").unwrap()), "C(BEGIN) Z(T)");
    let said = wire.query("FETCH 1 FROM nobody").unwrap();
    assert_eq!(tags(&said), "E(34000) Z(E)");
    assert_eq!(said[0].field(b'M').as_deref(), Some("cursor \"nobody\" does not exist"));
    assert_eq!(tags(&wire.query("EXECUTE nobody").unwrap()), "E(25P02) Z(E)");
    assert_eq!(tags(&wire.query("ROLLBACK").unwrap()), "C(ROLLBACK) Z(I)");
    for message in [bind("", "nobody", &[]), execute("nobody", 0), describe(b'P', "nobody")] {
        wire.send(&[message, sync()].concat()).unwrap();
        let answer = tags(&wire.until_ready().unwrap());
        assert!(["E(26000) Z(I)", "E(34000) Z(I)"].contains(&answer.as_str()), "{answer}");
    }
}

#[test]
fn names_that_the_server_would_truncate_are_refused() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    let short = "a".repeat(63);
    let long = format!("{short}X");
    wire.send(&[parse(&short, "SELECT 1", &[]), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "1 Z(I)");
    for message in [
        parse(&long, "SELECT 2", &[]),
        bind("", &long, &[]),
        bind(&long, &short, &[]),
        execute(&long, 0),
        close(b'S', &long),
        close(b'P', &long),
        describe(b'S', &long),
        describe(b'P', &long),
    ] {
        wire.send(&[message, sync()].concat()).unwrap();
        assert_eq!(tags(&wire.until_ready().unwrap()), "E(42622) Z(I)");
    }
    wire.send(&[bind("", &short, &[]), execute("", 0), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "2 D C(SELECT 1) Z(I)");
    // SQL identifiers are truncated by the parser, ours and the server's alike.
    let mut ask = |sql: &str| tags(&wire.query(sql).unwrap());
    assert_eq!(ask(&format!("PREPARE {long} AS SELECT 2")), "E(42P05) Z(I)");
    assert_eq!(ask(&format!("EXECUTE {long}")), "T D C(SELECT 1) Z(I)");
    assert_eq!(ask(&format!("DEALLOCATE {long}")), "C(DEALLOCATE) Z(I)");
    assert_eq!(ask(&format!("EXECUTE {short}")), "E(26000) Z(I)");
}

#[test]
fn nothing_that_a_client_makes_can_stand_in_for_a_refusal() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    wire.query("CREATE TABLE \"refused by portcullis\" (x int)").unwrap();
    wire.query("CREATE TABLE traces (x text)").unwrap();
    for name in ["", "portcullis", "refused by portcullis", "_portcullis", "refused"] {
        let trap = "INSERT INTO traces VALUES ('run')";
        wire.send(&[close(b'S', name), parse(name, trap, &[]), sync()].concat()).unwrap();
        wire.until_ready().unwrap();
        for message in [
            query("DROP TABLE notes"),
            parse("", "DROP TABLE notes", &[]),
            parse("other", "DROP TABLE notes", &[]),
            parse(name, "DROP TABLE notes", &[]),
        ] {
            let is_query = message[0] == b'Q';
            wire.send(&message).unwrap();
            if !is_query {
                wire.send(&sync()).unwrap();
            }
            assert_eq!(tags(&wire.until_ready().unwrap()), "E(42501) Z(I)", "{name}");
        }
    }
    assert_eq!(door.direct("SELECT count(*) FROM traces"), "0\n");
}

#[test]
fn an_old_portal_does_not_take_a_new_meaning() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    wire.query("BEGIN").unwrap();
    let sent = [
        parse("a", "SELECT 'a'", &[]),
        parse("b", "SELECT 'b'", &[]),
        bind("portal", "a", &[]),
        bind("portal", "b", &[]),
        execute("portal", 0),
        sync(),
    ];
    wire.send(&sent.concat()).unwrap();
    // A named portal cannot be made twice: 42P03, and the Execute is skipped.
    assert_eq!(tags(&wire.until_ready().unwrap()), "1 1 2 E(42P03) Z(E)");
}

#[test]
fn a_pipeline_that_relies_on_its_own_names_is_not_held_up() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    let sent = [
        parse("s", "SELECT 5", &[]),
        bind("c", "s", &[]),
        describe(b'P', "c"),
        execute("c", 0),
        close(b'P', "c"),
        close(b'S', "s"),
        parse("s", "SELECT 6", &[]),
        bind("c", "s", &[]),
        execute("c", 0),
        flush(),
        sync(),
    ];
    wire.send(&sent.concat()).unwrap();
    let frames = wire.until_ready().unwrap();
    assert_eq!(tags(&frames), "1 2 T D C(SELECT 1) 3 3 1 2 D C(SELECT 1) Z(I)");
}

#[test]
fn discard_and_deallocate_all_forget_names() {
    let door = Door::with(TRANSPARENT, &[]);
    for sql in ["DISCARD ALL", "DEALLOCATE ALL"] {
        let mut wire = door.wire("");
        wire.query("PREPARE s AS SELECT 1").unwrap();
        wire.query(sql).unwrap();
        wire.send(&[bind("", "s", &[]), sync()].concat()).unwrap();
        assert_eq!(tags(&wire.until_ready().unwrap()), "E(26000) Z(I)", "{sql}");
    }
}
