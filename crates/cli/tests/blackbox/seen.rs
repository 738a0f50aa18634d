//! Texts that a session has sent before: what was allowed is denied as soon as anything that it rests on has
//! changed, and what does not rest on that stays allowed.
//!
//! Each test first makes sure, by the door's own counters, that the text was not analysed again.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Map, Value};
use testkit::wire::{Wire, bind, execute, parse, query, sync, tags};

use crate::catalog::{ANALYST, POLICY, fresh};
use crate::invariants::records;
use crate::kit::{Door, database, eventually, server};
use crate::own::wire as wire_of;

const SECOND: Duration = Duration::from_secs(1);
const ONE_ROW: &str = "T D C(SELECT 1) Z(I)";
const DENIED: &str = "E(42501) Z(I)";

/// Another loopback address than the door's: its port is not taken for the door's.
const ADMIN: &[&str] = &["--admin", "127.0.0.2:0"];

/// The rules of the catalog tests; the operator has none.
fn door() -> Door {
    with_catalog(&format!("{POLICY}  operator: {{}}\n"))
}

fn with_catalog(policy: &str) -> Door {
    let database = database();
    let dsn = server().conn_string(&database);
    let rarely = ["--catalog-poll", "10h", "--catalog-max-age", "10h"];
    let arguments = [&["--catalog-dsn", &dsn], &rarely[..], ADMIN].concat();
    let door = Door::before(server().port, database, policy, &arguments);
    fresh(&door);
    door
}

/// In another schema `notes` shows what is denied.
fn door_with_a_hidden_view() -> Door {
    let door = door();
    door.direct(
        "CREATE SCHEMA hid; GRANT ALL ON SCHEMA hid TO app; \
         CREATE VIEW hid.notes AS SELECT email AS note FROM users; GRANT SELECT ON hid.notes TO app",
    );
    let mut wire = wire_of(&door, "");
    answers(&mut wire, "CREATE TABLE own (a int)", "C(CREATE TABLE) Z(I)");
    fresh(&door);
    door
}

fn get(door: &Door, path: &str) -> String {
    let output = door.proxy.output();
    let (_, rest) = output.split_once("127.0.0.2:").unwrap();
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let mut stream = TcpStream::connect(("127.0.0.2", port.parse().unwrap())).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// How many texts were analysed, and how many did not have to be.
fn counted(door: &Door) -> (u64, u64) {
    let metrics = get(door, "/metrics");
    let of = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    (of("portcullis_analysis_cache_misses_total"), of("portcullis_analysis_cache_hits_total"))
}

/// Asks until the text is one that was seen before under the present reading, with this answer each time.
#[track_caller]
fn settles(door: &Door, wire: &mut Wire, sql: &str, answer: &str) {
    for _ in 0..3 {
        let before = counted(door);
        assert_eq!(tags(&wire.query(sql).unwrap()), answer, "{sql}");
        let now = counted(door);
        if now.0 == before.0 && now.1 > before.1 {
            return;
        }
    }
    panic!("{sql} is analysed again and again");
}

#[track_caller]
fn answers(wire: &mut Wire, sql: &str, answer: &str) {
    assert_eq!(tags(&wire.query(sql).unwrap()), answer, "{sql}");
}

/// Puts another policy into force, and waits until it is.
fn reload(door: &Door, policy: &str) {
    let digest = || get(door, "/readyz").split_once("sha256:").map(|(_, rest)| rest.to_owned());
    let before = digest();
    std::fs::write(door.proxy.policies(), policy).unwrap();
    door.proxy.signal("HUP").unwrap();
    assert!(eventually(10 * SECOND, || digest() != before), "{}", door.proxy.output());
}

#[test]
fn a_text_is_analysed_once_by_whichever_message_it_comes() {
    let door = door();
    let mut wire = wire_of(&door, "");
    let sql = "SELECT id FROM users WHERE id = 1";
    settles(&door, &mut wire, sql, ONE_ROW);
    let (misses, hits) = counted(&door);
    for name in ["", "s"] {
        let all = [parse(name, sql, &[]), bind("", name, &[]), execute("", 0), sync()].concat();
        wire.send(&all).unwrap();
        assert_eq!(tags(&wire.until_ready().unwrap()), "1 2 D C(SELECT 1) Z(I)");
    }
    wire.send(&[query(sql), query(sql)].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), ONE_ROW);
    assert_eq!(tags(&wire.until_ready().unwrap()), ONE_ROW);
    assert_eq!(counted(&door), (misses, hits + 4));
    // Nearly the same is another text, and so is the same text of another session.
    answers(&mut wire, &format!("{sql} "), ONE_ROW);
    assert_eq!(counted(&door), (misses + 1, hits + 4));
    answers(&mut wire_of(&door, ""), sql, ONE_ROW);
    assert_eq!(counted(&door), (misses + 2, hits + 4));
}

#[test]
fn a_policy_counts_from_the_moment_that_it_is_in_force() {
    let door = door();
    let mut wire = wire_of(&door, "");
    let (evil, honest) = ("SELECT note FROM notes", "SELECT id FROM users");
    let all = "T C(SELECT 0) Z(I)";
    wire.send(&[parse("s", evil, &[]), parse("t", honest, &[]), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "1 1 Z(I)");
    let run = |wire: &mut Wire, name: &str| {
        wire.send(&[bind("", name, &[]), execute("", 0), sync()].concat()).unwrap();
        tags(&wire.until_ready().unwrap())
    };
    for turn in 0..3 {
        settles(&door, &mut wire, evil, all);
        settles(&door, &mut wire, honest, ONE_ROW);
        assert_eq!(run(&mut wire, "s"), "2 C(SELECT 0) Z(I)");
        // What differs is the note: each of these is a policy of its own.
        let stricter = format!("{POLICY}    blocked_operations: [MERGE] # {turn}\n");
        let stricter = stricter.replace("[public.payments]", "[public.payments, public.notes]");
        reload(&door, &stricter);
        answers(&mut wire, evil, DENIED);
        assert_eq!(run(&mut wire, "s"), DENIED);
        settles(&door, &mut wire, evil, DENIED);
        settles(&door, &mut wire, honest, ONE_ROW);
        assert_eq!(run(&mut wire, "t"), "2 D C(SELECT 1) Z(I)");
        reload(&door, &format!("{POLICY}# {turn}\n"));
    }
    // An operation is blocked: nothing about names or columns has changed.
    settles(&door, &mut wire, honest, ONE_ROW);
    settles(&door, &mut wire, "INSERT INTO notes VALUES (1, 'x')", "C(INSERT 0 1) Z(I)");
    reload(&door, &format!("{POLICY}    blocked_operations: [INSERT]\n"));
    answers(&mut wire, "INSERT INTO notes VALUES (1, 'x')", DENIED);
    answers(&mut wire, honest, ONE_ROW);
}

#[test]
fn a_tenant_is_the_one_of_the_policy_in_force() {
    let policy = |tenant: &str, column: &str| {
        format!(
            "agents:\n  analyst: {{tenant: {tenant}}}\ndetections: {{}}\ntenancy:\n  column: {column}\n  \
             tenant_global_tables: [products, users]\n"
        )
    };
    let door = with_catalog(&policy("tenant_1", "tenant_id"));
    door.direct(
        "CREATE TABLE orders (id int, tenant_id text, owner text); GRANT ALL ON orders TO app; \
         INSERT INTO orders VALUES (1, 'tenant_1', 'tenant_2'), (2, 'tenant_2', 'tenant_2')",
    );
    let mut wire = wire_of(&door, "");
    // Nobody told the door of the new table: a definition through it does.
    answers(&mut wire, "CREATE TABLE own (a int)", "C(CREATE TABLE) Z(I)");
    let (own, honest) = (
        "SELECT id FROM orders WHERE tenant_id = 'tenant_1'",
        "SELECT name FROM products WHERE id = 1",
    );
    let known = || tags(&wire_of(&door, "").query(own).unwrap()) == ONE_ROW;
    assert!(eventually(20 * SECOND, known), "{}", door.proxy.output());
    let bound = "SELECT id FROM orders WHERE tenant_id = $1 LIMIT 5";
    wire.send(&[parse("s", bound, &[25]), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "1 Z(I)");
    let run = |wire: &mut Wire, value: &str| {
        wire.send(&[bind("", "s", &[value]), execute("", 0), sync()].concat()).unwrap();
        tags(&wire.until_ready().unwrap())
    };
    for _ in 0..2 {
        settles(&door, &mut wire, own, ONE_ROW);
        settles(&door, &mut wire, honest, ONE_ROW);
        // The text is the same, and the values are not.
        assert_eq!(run(&mut wire, "tenant_1"), "2 D C(SELECT 1) Z(I)");
        assert_eq!(run(&mut wire, "tenant_2"), DENIED);
        assert_eq!(run(&mut wire, "tenant_1"), "2 D C(SELECT 1) Z(I)");
        reload(&door, &policy("tenant_2", "tenant_id"));
        answers(&mut wire, own, DENIED);
        answers(&mut wire, honest, ONE_ROW);
        assert_eq!(run(&mut wire, "tenant_1"), DENIED);
        assert_eq!(run(&mut wire, "tenant_2"), "2 D C(SELECT 1) Z(I)");
        // The same tenant, by another column.
        reload(&door, &policy("tenant_1", "owner"));
        answers(&mut wire, own, DENIED);
        answers(&mut wire, honest, ONE_ROW);
        reload(&door, &policy("tenant_1", "tenant_id"));
    }
}

#[test]
fn a_search_path_counts_from_the_statement_that_sets_it() {
    let door = door_with_a_hidden_view();
    let (evil, honest) = ("SELECT note FROM notes", "SELECT id FROM public.users");
    for set in ["SET search_path = hid, public", "SET LOCAL search_path = hid"] {
        let mut wire = wire_of(&door, "");
        settles(&door, &mut wire, evil, "T C(SELECT 0) Z(I)");
        settles(&door, &mut wire, honest, ONE_ROW);
        // In one write, so that the change is on its way and not answered.
        wire.send(&[query(set), query(evil), query(honest)].concat()).unwrap();
        assert!(tags(&wire.until_ready().unwrap()).contains("C(SET)"), "{set}");
        assert_eq!(tags(&wire.until_ready().unwrap()), DENIED, "{set}");
        assert_eq!(tags(&wire.until_ready().unwrap()), ONE_ROW, "{set}");
    }
    // A path that was possible before is none that is new.
    let mut wire = wire_of(&door, "");
    settles(&door, &mut wire, evil, "T C(SELECT 0) Z(I)");
    answers(&mut wire, "RESET search_path", "C(RESET) Z(I)");
    settles(&door, &mut wire, evil, "T C(SELECT 0) Z(I)");
}

#[test]
fn definitions_through_the_door_count_at_once() {
    let door = door();
    let mut wire = wire_of(&door, "");
    let mut operator = door.wire("agent:operator");
    let (evil, honest) = ("SELECT id FROM mails", "SELECT id FROM users");
    let make = "CREATE VIEW mails AS SELECT id FROM users";
    answers(&mut operator, make, "C(CREATE VIEW) Z(I)");
    fresh(&door);
    for _ in 0..2 {
        settles(&door, &mut wire, evil, ONE_ROW);
        settles(&door, &mut wire, honest, ONE_ROW);
        // By another session: this one has no part in it.
        answers(&mut operator, "DROP VIEW mails", "C(DROP VIEW) Z(I)");
        let other = "CREATE VIEW mails AS SELECT email AS id FROM users";
        answers(&mut operator, other, "C(CREATE VIEW) Z(I)");
        answers(&mut wire, evil, DENIED);
        answers(&mut wire, honest, ONE_ROW);
        answers(&mut operator, "DROP VIEW mails", "C(DROP VIEW) Z(I)");
        answers(&mut operator, make, "C(CREATE VIEW) Z(I)");
        answers(&mut wire, evil, ONE_ROW);
    }
    // By the session itself, also in a transaction that takes it back.
    let gone = "SELECT note FROM notes";
    settles(&door, &mut wire, gone, "T C(SELECT 0) Z(I)");
    settles(&door, &mut wire, honest, ONE_ROW);
    answers(&mut wire, "BEGIN", "C(BEGIN) Z(T)");
    answers(&mut wire, "ALTER TABLE notes RENAME note TO text", "C(ALTER TABLE) Z(T)");
    answers(&mut wire, gone, "E(42501) Z(E)");
    answers(&mut wire, "ROLLBACK", "C(ROLLBACK) Z(I)");
    answers(&mut wire, honest, ONE_ROW);
    answers(&mut wire, gone, "T C(SELECT 0) Z(I)");
}

#[test]
fn a_temporary_table_of_the_same_name_counts_for_its_session() {
    let door = door();
    let mut wire = wire_of(&door, "-c search_path=pg_temp,public");
    let mut other = wire_of(&door, "-c search_path=pg_temp,public");
    let (hidden, honest) = ("SELECT note FROM notes", "SELECT id FROM users");
    for wire in [&mut wire, &mut other] {
        settles(&door, wire, hidden, "T C(SELECT 0) Z(I)");
        settles(&door, wire, honest, ONE_ROW);
    }
    for _ in 0..2 {
        let make = "CREATE TEMP TABLE notes (id int)";
        answers(&mut wire, make, "C(CREATE TABLE) Z(I)");
        answers(&mut wire, hidden, DENIED);
        settles(&door, &mut wire, honest, ONE_ROW);
        settles(&door, &mut other, hidden, "T C(SELECT 0) Z(I)");
        answers(&mut wire, "DROP TABLE notes", "C(DROP TABLE) Z(I)");
        settles(&door, &mut wire, hidden, "T C(SELECT 0) Z(I)");
    }
    // And the other way: while there is one of its own, its columns are nobody's business.
    let evil = "SELECT email FROM users";
    settles(&door, &mut wire, evil, DENIED);
    for end in ["DROP TABLE users", "DISCARD TEMP", "DISCARD ALL"] {
        answers(&mut wire, "CREATE TEMP TABLE users (id int, email text)", "C(CREATE TABLE) Z(I)");
        settles(&door, &mut wire, evil, "T C(SELECT 0) Z(I)");
        // In one write: what the session has is judged by what is on its way.
        wire.send(&[query(end), query(evil)].concat()).unwrap();
        assert!(tags(&wire.until_ready().unwrap()).starts_with("C("), "{end}");
        assert_eq!(tags(&wire.until_ready().unwrap()), DENIED, "{end}");
    }
}

#[test]
fn an_encoding_counts_from_the_statement_that_sets_it() {
    let policy = "agents: {analyst: {blocked_tables: [payments]}}\nsettings: [client_encoding]\n";
    let door = Door::with(policy, ADMIN);
    let mut wire = door.wire(ANALYST);
    let (beyond, plain) = ("SELECT id FROM users WHERE email <> 'ä'", "SELECT id FROM users");
    for text in [beyond, plain] {
        settles(&door, &mut wire, text, ONE_ROW);
    }
    answers(&mut wire, "SET client_encoding = 'UTF8'", "C(SET) Z(I)");
    settles(&door, &mut wire, beyond, ONE_ROW);
    let set = query("SET client_encoding = 'SJIS'");
    wire.send(&[set, query(beyond), query(plain)].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "C(SET) Z(I)");
    assert_eq!(tags(&wire.until_ready().unwrap()), DENIED);
    assert_eq!(tags(&wire.until_ready().unwrap()), ONE_ROW);
    settles(&door, &mut wire, plain, ONE_ROW);
}

#[test]
fn names_mean_what_they_mean_each_time() {
    let door = door_with_a_hidden_view();
    let mut wire = wire_of(&door, "");
    let prepare = "PREPARE p AS SELECT note FROM notes";
    for _ in 0..3 {
        settles_after(&mut wire, &[(prepare, "C(PREPARE) Z(I)")]);
        settles(&door, &mut wire, "EXECUTE p", "T C(SELECT 0) Z(I)");
        // What the text does is done again: the name is there and gone.
        answers(&mut wire, "DEALLOCATE p", "C(DEALLOCATE) Z(I)");
        answers(&mut wire, "EXECUTE p", "E(26000) Z(I)");
        answers(&mut wire, "PREPARE p AS INSERT INTO own VALUES (1)", "C(PREPARE) Z(I)");
        answers(&mut wire, "EXECUTE p", "C(INSERT 0 1) Z(I)");
        answers(&mut wire, "DEALLOCATE p", "C(DEALLOCATE) Z(I)");
    }
    answers(&mut wire, prepare, "C(PREPARE) Z(I)");
    settles(&door, &mut wire, "EXECUTE p", "T C(SELECT 0) Z(I)");
    answers(&mut wire, "SET search_path = hid, public", "C(SET) Z(I)");
    answers(&mut wire, "EXECUTE p", DENIED);
    answers(&mut wire, "SELECT id FROM users", ONE_ROW);
}

fn settles_after(wire: &mut Wire, all: &[(&str, &str)]) {
    for (sql, answer) in all {
        answers(wire, sql, answer);
    }
}

/// What a record says of a decision, but for when, where and how long.
fn said(record: &Value) -> Map<String, Value> {
    let mut fields = record.as_object().unwrap().clone();
    for own in ["seq", "ts", "prev", "hmac", "hash", "latency_us"] {
        assert!(fields.remove(own).is_some(), "{own}");
    }
    fields
}

#[test]
fn the_record_of_a_text_is_the_same_each_time() {
    let policy = format!("{POLICY}  operator: {{}}\n");
    let observed = policy.replace("  analyst:\n", "  analyst:\n    mode: observe\n");
    for (policy, denied) in [(policy, DENIED), (observed, ONE_ROW)] {
        let mut door = with_catalog(&policy);
        let mut wire = wire_of(&door, "");
        let asked = [
            ("SELECT id FROM users", ONE_ROW),
            ("SELECT email FROM users", denied),
            ("SELECT 'a' AS both; SELECT id FROM users", "T D C(SELECT 1) T D C(SELECT 1) Z(I)"),
        ];
        for (sql, answer) in asked {
            settles(&door, &mut wire, sql, answer);
            for _ in 0..3 {
                answers(&mut wire, sql, answer);
            }
        }
        drop(wire);
        assert_eq!(door.stop(), 0);
        let records = records(&door);
        let session = records.iter().rev().find(|one| one["kind"] == "decision").unwrap();
        let session = session["session"].clone();
        let of = |record: &&Value| record["kind"] == "decision" && record["session"] == session;
        let decisions: Vec<_> = records.iter().filter(of).collect();
        let asked_of = |record: &&Value| record["stage"] != "startup";
        let all: Vec<_> = decisions.into_iter().filter(asked_of).map(said).collect();
        // One text after the other, each as often as it was asked.
        let same = |a: &Map<_, _>, b: &Map<_, _>| a["statement_sha256"] == b["statement_sha256"];
        let texts: Vec<_> = all.chunk_by(same).collect();
        assert_eq!(texts.len(), asked.len(), "{all:#?}");
        let mut number = 0;
        for (text, (sql, answer)) in texts.iter().zip(asked) {
            assert!(text.len() >= 5, "{sql}: {}", text.len());
            assert!(text.iter().all(|one| *one == text[0]), "{sql}: {text:#?}");
            let denies = sql.contains("email");
            assert_eq!(text[0]["decision"], if denies { "deny" } else { "allow" });
            number += usize::from(answer != DENIED) * text.len();
        }
        let settled = |record: &&Value| record["kind"] == "settled" && record["session"] == session;
        assert_eq!(records.iter().filter(settled).count(), number);
    }
}
