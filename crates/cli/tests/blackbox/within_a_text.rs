//! One text of several statements: what an earlier one changes about names counts for what a later one runs under
//! a name; and what a transaction defines, for everybody else until it is over.

use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::wire::{Wire, bind, execute, parse, query, sync, tags};

use crate::catalog::{ANALYST, door_with};
use crate::kit::Door;

const POLICY: &str = r#"
version: "2"
agents:
  analyst:
    columns:
      public.users: {deny: [email]}
    blocked_tables: [vault.secrets]
  operator: {}
"#;

const OPERATOR: &str = "agent:operator";

const DENIED: &str = "E(42501)";

/// Tables of the same names elsewhere: `s1` is the agent's own, `vault` is not.
const ELSEWHERE: &str = "CREATE SCHEMA s1 AUTHORIZATION app; CREATE SCHEMA vault; \
    CREATE TABLE s1.users (id int, email text); ALTER TABLE s1.users OWNER TO app; \
    CREATE TABLE s1.secrets (a text); CREATE TABLE vault.secrets (a text); \
    ALTER TABLE s1.secrets OWNER TO app; \
    GRANT ALL ON SCHEMA vault TO app; GRANT ALL ON vault.secrets TO app";

fn door() -> Door {
    let door = door_with(POLICY, &[]);
    door.direct(ELSEWHERE);
    let said = door.psql(ANALYST, &["-c", "CREATE TABLE seen (a int)"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    crate::catalog::fresh(&door);
    door
}

fn wire(door: &Door, path: &str) -> Wire {
    wire_as(ANALYST, door, path)
}

fn wire_as(who: &str, door: &Door, path: &str) -> Wire {
    let options = format!("-c search_path={path}");
    let parameters = [
        ("user", "app"),
        ("database", door.database.as_str()),
        ("application_name", who),
        ("options", &options),
    ];
    Wire::login(door.proxy.port, &parameters).unwrap()
}

fn says(wire: &mut Wire, sql: &str) -> String {
    tags(&wire.query(sql).unwrap())
}

/// A session in which `users` is its own, and `z` and `p` are prepared to read it, by SQL and by the protocol.
fn prepared(door: &Door) -> Wire {
    let mut wire = wire(door, "pg_temp,public");
    let own = says(&mut wire, "CREATE TEMP TABLE users (id int, email text)");
    assert_eq!(own, "C(CREATE TABLE) Z(I)");
    let read = "SELECT email || '' FROM users";
    assert_eq!(says(&mut wire, &format!("PREPARE z AS {read}")), "C(PREPARE) Z(I)");
    wire.send(&[parse("p", read, &[]), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "1 Z(I)");
    wire
}

#[test]
fn what_is_executed_behind_a_change_of_names_is_not_what_was_prepared() {
    let door = door();
    for before in [
        "DROP TABLE pg_temp.users",
        "ALTER TABLE pg_temp.users RENAME TO other",
        "ALTER TABLE pg_temp.users RENAME email TO other",
        "SET search_path = public",
        "BEGIN; SET LOCAL search_path = public",
        "SELECT set_config('search_path', 'public', false)",
        "SET search_path TO DEFAULT",
        "DISCARD TEMP",
        "ROLLBACK",
        "COMMIT",
        "SET ROLE app",
        "CREATE TABLE anything (a int)",
    ] {
        for run in ["EXECUTE z", "EXECUTE p", "EXPLAIN ANALYZE EXECUTE z", "EXPLAIN EXECUTE z"] {
            let mut evil = prepared(&door);
            let said = says(&mut evil, &format!("{before}; {run}"));
            assert!(said.starts_with(DENIED), "{before}; {run}: {said}");
        }
        let mut evil = prepared(&door);
        let said = says(&mut evil, &format!("{before}; CREATE TEMP TABLE got AS EXECUTE z"));
        assert!(said.starts_with(DENIED), "{before}: {said}");
    }
    // What the statement itself prepares is planned again, too.
    for sql in [
        "PREPARE y AS SELECT email || '' FROM users; DROP TABLE pg_temp.users; EXECUTE y",
        "PREPARE y AS SELECT email || '' FROM users; DISCARD TEMP; EXECUTE y",
        "PREPARE y AS SELECT email || '' FROM users; ALTER TABLE users RENAME TO u; EXECUTE y",
    ] {
        let said = says(&mut prepared(&door), sql);
        assert!(said.starts_with(DENIED), "{sql}: {said}");
    }
}

#[test]
fn a_savepoint_takes_back_what_was_prepared_for() {
    let door = door();
    let mut evil = wire(&door, "pg_temp,public");
    for sql in ["BEGIN", "SAVEPOINT a", "CREATE TEMP TABLE users (id int, email text)"] {
        says(&mut evil, sql);
    }
    assert_eq!(says(&mut evil, "PREPARE z AS SELECT email || '' FROM users"), "C(PREPARE) Z(T)");
    let said = says(&mut evil, "ROLLBACK TO a; EXECUTE z");
    assert!(said.starts_with(DENIED), "{said}");
}

#[test]
fn what_runs_under_a_name_may_change_names_itself() {
    let door = door();
    for change in ["DROP TABLE pg_temp.users", "DISCARD TEMP", "SET search_path = public"] {
        let mut evil = prepared(&door);
        evil.send(&[parse("c", change, &[]), sync()].concat()).unwrap();
        assert_eq!(tags(&evil.until_ready().unwrap()), "1 Z(I)", "{change}");
        let said = says(&mut evil, "EXECUTE c; EXECUTE z");
        assert!(said.starts_with(DENIED), "{change}: {said}");
    }
    // A rollback in disguise: what the transaction has made is gone, and nobody said so.
    let extended =
        [parse("", "EXECUTE r", &[]), bind("", "", &[]), execute("", 0), sync()].concat();
    for (run, answer) in
        [(query("EXECUTE r"), "C(ROLLBACK) Z(I)"), (extended, "1 2 C(ROLLBACK) Z(I)")]
    {
        let mut evil = wire(&door, "pg_temp,public");
        evil.send(&[parse("r", "ROLLBACK", &[]), sync()].concat()).unwrap();
        assert_eq!(tags(&evil.until_ready().unwrap()), "1 Z(I)");
        says(&mut evil, "BEGIN");
        says(&mut evil, "CREATE TEMP TABLE users (id int, email text)");
        evil.send(&run).unwrap();
        assert_eq!(tags(&evil.until_ready().unwrap()), answer);
        let said = says(&mut evil, "SELECT email || '' FROM users");
        assert!(said.starts_with(DENIED), "{answer}: {said}");
    }
}

#[test]
fn what_is_written_behind_a_change_of_path_may_land_elsewhere() {
    let door = door();
    let insert = "INSERT INTO secrets VALUES ('x')";
    for name in ["w", "p"] {
        for change in ["SET search_path = vault", "SET LOCAL search_path = vault"] {
            let mut evil = wire(&door, "s1");
            assert_eq!(says(&mut evil, &format!("PREPARE w AS {insert}")), "C(PREPARE) Z(I)");
            evil.send(&[parse("p", insert, &[]), sync()].concat()).unwrap();
            assert_eq!(tags(&evil.until_ready().unwrap()), "1 Z(I)");
            assert_eq!(says(&mut evil, &format!("EXECUTE {name}")), "C(INSERT 0 1) Z(I)");
            let said = says(&mut evil, &format!("{change}; EXECUTE {name}"));
            assert!(said.starts_with(DENIED), "{change} {name}: {said}");
        }
    }
    assert_eq!(door.direct("SELECT count(*) FROM vault.secrets").trim(), "0");
}

#[test]
fn honest_texts_with_prepared_statements_pass() {
    let door = door();
    let mut honest = prepared(&door);
    for (sql, answer) in [
        ("BEGIN; EXECUTE z; COMMIT", "C(BEGIN) T C(SELECT 0) C(COMMIT) Z(I)"),
        ("EXECUTE z; EXECUTE z", "T C(SELECT 0) T C(SELECT 0) Z(I)"),
        ("EXECUTE p; EXECUTE z", "T C(SELECT 0) T C(SELECT 0) Z(I)"),
        ("SET statement_timeout = 1000; EXECUTE z", "C(SET) T C(SELECT 0) Z(I)"),
        ("BEGIN; SAVEPOINT a; EXECUTE p; RELEASE a; COMMIT", ""),
        ("SELECT 1; EXECUTE p", "T D C(SELECT 1) T C(SELECT 0) Z(I)"),
        ("INSERT INTO users VALUES (1, 'own'); EXECUTE z", "C(INSERT 0 1) T D C(SELECT 1) Z(I)"),
        ("PREPARE y AS SELECT id FROM users; EXECUTE y", "C(PREPARE) T D C(SELECT 1) Z(I)"),
        ("EXECUTE z; DROP TABLE pg_temp.users", "T D C(SELECT 1) C(DROP TABLE) Z(I)"),
    ] {
        let said = says(&mut honest, sql);
        assert!(said == answer || (answer.is_empty() && !said.contains("E(")), "{sql}: {said}");
    }
    // A cursor that is open stays what it was.
    let mut honest = prepared(&door);
    for sql in ["BEGIN", "DECLARE c CURSOR FOR SELECT id FROM users", "FETCH c; CLOSE c; COMMIT"] {
        let said = says(&mut honest, sql);
        assert!(!said.contains("E("), "{sql}: {said}");
    }
}

/// About half a second of work.
const SLOW: &str = "SELECT count(*) FROM generate_series(1, 4000000)";

/// Long enough for everything on its way to arrive, and for a load; not for a wait to end.
const MOMENT: Duration = Duration::from_millis(500);

#[test]
fn what_waits_for_a_definition_is_judged_once_that_is_over() {
    let door = door();
    let ask = query("SELECT email || '' FROM users");
    let own = "T C(SELECT 0) Z(I)";
    for (define, end, answer) in [
        ("DROP TABLE s1.users", "ROLLBACK", own),
        ("ALTER TABLE s1.users RENAME TO other", "ROLLBACK", own),
        ("CREATE TABLE s1.anything (a int)", "COMMIT", own),
        ("DROP TABLE s1.users", "COMMIT", "E(42501) Z(I)"),
    ] {
        let (mut one, mut other) = (wire(&door, "s1,public"), wire(&door, "s1,public"));
        assert_eq!(says(&mut one, "SELECT email FROM users"), own, "{define}");
        assert_eq!(says(&mut other, "SELECT email FROM users"), own, "{define}");
        let said = says(&mut one, &format!("BEGIN; {define}"));
        assert!(said.ends_with("Z(T)") && !said.contains("E("), "{define}: {said}");
        // A load that brings the same as before lies between.
        sleep(MOMENT);
        other.send(&ask).unwrap();
        sleep(MOMENT);
        assert!(says(&mut one, end).ends_with("Z(I)"));
        assert_eq!(tags(&other.until_ready().unwrap()), answer, "{define}; {end}");
    }
}

#[test]
fn a_definition_that_is_sent_behind_another_text_is_open_too() {
    let door = door();
    let (mut one, mut other) = (wire(&door, "s1,public"), wire(&door, "s1,public"));
    let both = [query(SLOW), query("BEGIN; DROP TABLE s1.users")].concat();
    one.send(&both).unwrap();
    assert_eq!(tags(&one.until_ready().unwrap()), "T D C(SELECT 1) Z(I)");
    assert_eq!(tags(&one.until_ready().unwrap()), "C(BEGIN) C(DROP TABLE) Z(T)");
    sleep(MOMENT);
    other.send(&query("SELECT email || '' FROM users")).unwrap();
    sleep(MOMENT);
    assert_eq!(says(&mut one, "COMMIT"), "C(COMMIT) Z(I)");
    assert_eq!(tags(&other.until_ready().unwrap()), "E(42501) Z(I)");
}

#[test]
fn what_is_committed_within_a_text_counts_before_the_text_is_over() {
    let door = door();
    let mut operator = wire_as(OPERATOR, &door, "s1,public");
    let define = |body: &str| {
        format!("CREATE OR REPLACE FUNCTION s1.h() RETURNS text STABLE LANGUAGE sql AS '{body}'")
    };
    assert_eq!(says(&mut operator, &define("SELECT ''x''")), "C(CREATE FUNCTION) Z(I)");
    let mut other = wire(&door, "public");
    assert_eq!(says(&mut other, "SELECT s1.h()"), "T D C(SELECT 1) Z(I)");
    let evil = define("SELECT email FROM public.users LIMIT 1");
    let text = format!("BEGIN; {evil}; {SLOW}; COMMIT; {SLOW}; {SLOW}; {SLOW}");
    operator.send(&query(&text)).unwrap();
    let committed =
        || door.direct("SELECT prosrc FROM pg_proc WHERE proname = 'h'").contains("email");
    assert!(crate::kit::eventually(10 * MOMENT, committed));
    let said = says(&mut other, "SELECT s1.h()");
    assert!(said.starts_with(DENIED), "{said}");
    let said = tags(&operator.until_ready().unwrap());
    assert!(said.contains("C(COMMIT) T D C(SELECT 1) T D C(SELECT 1)"), "{said}");
    // And honest work goes on.
    assert_eq!(says(&mut other, "SELECT id FROM public.users"), "T D C(SELECT 1) Z(I)");
}

#[test]
fn an_open_definition_holds_up_others_and_nobody_else() {
    let door = door();
    let one_row = "T D C(SELECT 1) Z(I)";
    let ask = "SELECT id FROM public.users";
    let (mut one, mut other) = (wire(&door, "public"), wire(&door, "public"));
    // What nobody else will see, upkeep, and plain work hold up nobody.
    for harmless in
        ["CREATE TEMP TABLE t (a int)", "TRUNCATE notes", "INSERT INTO notes VALUES (1)"]
    {
        says(&mut one, &format!("BEGIN; {harmless}"));
        assert_eq!(says(&mut other, ask), one_row, "{harmless}");
        assert_eq!(says(&mut one, "COMMIT"), "C(COMMIT) Z(I)");
    }
    let mut free = wire_as(OPERATOR, &door, "public");
    says(&mut free, "BEGIN; DO 'BEGIN NULL; END'");
    assert_eq!(says(&mut other, ask), one_row, "code that is not read");
    says(&mut free, "COMMIT");
    says(&mut one, "BEGIN; CREATE TABLE mine (a int)");
    sleep(MOMENT);
    // The session itself knows, and who is bound by nothing that a catalog decides does not care.
    assert_eq!(says(&mut one, ask), "T D C(SELECT 1) Z(T)");
    assert_eq!(says(&mut wire_as(OPERATOR, &door, "public"), ask), one_row);
    let began = Instant::now();
    let refused = tags(&other.query(ask).unwrap());
    assert_eq!(refused, "E(42501) Z(I)");
    assert!(began.elapsed() > Duration::from_secs(1), "it waits a while");
    sleep(Duration::from_secs(5));
    says(&mut other, ask);
    door.proxy
        .wait_for("a transaction with definitions stays open", Duration::from_secs(5))
        .unwrap();
    // Whoever leaves takes it along.
    drop(one);
    assert!(crate::kit::eventually(Duration::from_secs(10), || says(&mut other, ask) == one_row));
}
