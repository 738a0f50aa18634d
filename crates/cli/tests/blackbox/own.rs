//! Relations that only a session itself sees: temporary ones, and those of its open transaction.

use testkit::wire::{Wire, bind, execute, parse, query, sync, tags};

use crate::catalog::{ANALYST, POLICY, door_with};
use crate::kit::{Door, Said, psql, said};

/// What no session may ever read.
const SECRET: &str = "a@example.org";

/// The statements one after the other, each as a submission of its own, in one session.
fn script(door: &Door, options: &str, statements: &[&str]) -> Said {
    let mut command = psql(door.proxy.port, &door.database, ANALYST);
    command.env("PGOPTIONS", options);
    command.args(statements.iter().flat_map(|sql| ["-c", *sql]));
    let said = said(&mut command);
    assert!(!said.out.contains(SECRET), "{statements:?}: {said:?}");
    said
}

/// Temporary relations come first, as on a server without a door.
const FIRST: &str = "-c search_path=pg_temp,public";
/// The door says where they come.
const USUAL: &str = "";

#[test]
fn honest_work_with_temporary_relations_passes() {
    let door = door_with(POLICY, &[]);
    for options in [USUAL, FIRST, "-c search_path=public"] {
        let said = script(
            &door,
            options,
            &[
                "CREATE TEMP TABLE tmp AS SELECT id FROM users",
                "SELECT * FROM tmp",
                "SELECT t.id FROM tmp t JOIN users u ON u.id = t.id WHERE t.id > 0",
                "INSERT INTO tmp SELECT id FROM users",
                "ALTER TABLE tmp ADD COLUMN note text DEFAULT 'x'",
                "UPDATE tmp SET note = 'y' WHERE id = 1",
                "ALTER TABLE tmp RENAME note TO remark",
                "SELECT DISTINCT remark FROM tmp",
                "ALTER TABLE tmp RENAME TO other",
                "CREATE INDEX ON other (id)",
                "ANALYZE other",
                "ALTER TABLE other DROP COLUMN remark",
                "SELECT count(*) FROM other",
                "DROP TABLE other",
                "SELECT id INTO TEMP picked FROM users",
                "SELECT id FROM picked",
                "CREATE TEMP TABLE kin (LIKE notes, more int)",
                "INSERT INTO kin (note, more) VALUES ('n', 3) RETURNING note, more",
                "CREATE TEMP TABLE heir () INHERITS (kin)",
                "SELECT more FROM heir",
                "CREATE TEMP TABLE counted (id serial, v text)",
                "INSERT INTO counted (v) VALUES ('v') RETURNING id, v",
                "CREATE TEMP VIEW looked AS SELECT id AS number FROM users",
                "SELECT number FROM looked",
                "CREATE TEMP TABLE IF NOT EXISTS counted (id int)",
                "SELECT v FROM counted",
                "CREATE TEMP TABLE brief ON COMMIT DROP AS SELECT 1 AS a",
                "CREATE TEMP TABLE brief AS SELECT 2 AS b",
                "SELECT b FROM brief",
                "DISCARD TEMP",
                "CREATE TEMP TABLE brief AS SELECT 3 AS c",
                "SELECT c FROM brief",
                "SELECT id FROM users",
            ],
        );
        let expected = "1\n1\ny\n2\n1\nn|3\n1|v\n1\nv\n2\n3\n1\n";
        let notices =
            said.err.lines().all(|line| line.contains("NOTICE") || line.contains("LOCATION"));
        assert!(notices && said.code == 0 && said.out == expected, "{options}: {said:?}");
    }
}

#[test]
fn honest_definitions_are_followed_in_their_transaction() {
    let door = door_with(POLICY, &[]);
    let said = script(
        &door,
        USUAL,
        &[
            "BEGIN",
            "CREATE TABLE made (id int, email text)",
            "INSERT INTO made VALUES (1, 'own')",
            "SELECT email FROM made",
            "ALTER TABLE made ADD COLUMN a int",
            "SELECT a FROM made",
            "ALTER TABLE made RENAME email TO mail",
            "ALTER TABLE made RENAME TO done",
            "SELECT mail FROM done",
            "CREATE VIEW seen AS SELECT id, mail FROM done",
            "SELECT mail FROM seen",
            "SAVEPOINT a",
            "ALTER TABLE notes ADD COLUMN tag text",
            "SELECT tag FROM notes",
            "DROP VIEW seen",
            "DROP TABLE done",
            "ROLLBACK TO a",
            "SELECT mail FROM seen",
            "SELECT id FROM users",
            "COMMIT",
            // Now everybody sees it; what comes next waits for the load.
            "SELECT mail FROM seen",
            "DROP VIEW seen",
            "DROP TABLE done",
        ],
    );
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    assert_eq!(said.out, "own\n\nown\nown\nown\n1\nown\n", "{said:?}");
}

#[test]
fn what_is_denied_does_not_get_into_a_temporary_relation() {
    let door = door_with(POLICY, &[]);
    for options in [USUAL, FIRST] {
        for sql in [
            "CREATE TEMP TABLE t AS SELECT email FROM users",
            "CREATE TEMP TABLE t AS SELECT * FROM users",
            "CREATE TEMP TABLE t AS TABLE users",
            "SELECT * INTO TEMP t FROM users",
            "CREATE TEMP VIEW t AS SELECT email FROM users",
            "CREATE TEMP VIEW t AS SELECT id FROM users WHERE email > 'a'",
            "CREATE TEMP TABLE t (LIKE users INCLUDING ALL)",
            "CREATE TEMP TABLE t () INHERITS (users)",
            "CREATE TEMP TABLE t (a text); INSERT INTO t SELECT email FROM users",
            "CREATE TEMP TABLE t (a text); WITH c AS (SELECT email FROM users) INSERT INTO t TABLE c",
            "CREATE TEMP TABLE t (a text); COPY t FROM STDIN; COPY users TO STDOUT",
            "CREATE TEMP TABLE t (id int); SELECT t.id, users.email FROM t JOIN users USING (id)",
            "CREATE TEMP TABLE t (id int); SELECT (SELECT email FROM t LIMIT 1) FROM users",
            "CREATE TEMP TABLE t (price int); INSERT INTO t SELECT price FROM products",
        ] {
            let said = script(&door, options, &[sql]);
            assert!(said.err.contains("column_not_allowed"), "{options} {sql}: {said:?}");
        }
    }
}

/// In a session where temporary relations come first: what is done, and whether `users` then is the
/// session's own. In the end `SELECT email FROM users` is asked.
const UNDONE: &[(&[&str], bool)] = &[
    (&[MAKE], true),
    (&["BEGIN", MAKE], true),
    (&["BEGIN", MAKE, "COMMIT"], true),
    (&["BEGIN", "SAVEPOINT a", MAKE, "RELEASE a", "COMMIT"], true),
    (&["BEGIN", MAKE, "SAVEPOINT a", "DROP TABLE users", "ROLLBACK TO a"], true),
    (&["BEGIN", MAKE, "SAVEPOINT a", "SELECT 1/0", "ROLLBACK TO a"], true),
    (&[MAKE, "BEGIN", "DROP TABLE users", "ROLLBACK"], true),
    (&[MAKE, "BEGIN", "DISCARD TEMP", "ROLLBACK"], true),
    (&[MAKE, "SELECT 1/0"], true),
    (&["SET search_path = pg_temp, public", MAKE], true),
    (&["BEGIN", MAKE, "ROLLBACK"], false),
    (&["BEGIN", MAKE, "SELECT 1/0", "COMMIT"], false),
    (&["BEGIN", "SAVEPOINT a", MAKE, "ROLLBACK TO a"], false),
    (&["BEGIN", "SAVEPOINT a", "SAVEPOINT a", MAKE, "ROLLBACK TO a", "RELEASE a"], false),
    (&["BEGIN", MAKE_UNTIL_COMMIT, "COMMIT"], false),
    (&[MAKE_UNTIL_COMMIT], false),
    (&[MAKE, "DROP TABLE users"], false),
    (&[MAKE, "DROP TABLE pg_temp.users"], false),
    (&[MAKE, "DROP TABLE IF EXISTS nothing, users CASCADE"], false),
    (&[MAKE, "ALTER TABLE users RENAME TO u"], false),
    (&[MAKE, "DISCARD TEMP"], false),
    (&[MAKE, "DISCARD ALL"], false),
    (&["CREATE TEMP TABLE users (id nothing, email text)"], false),
    (&["CREATE TEMP TABLE users (id int, email text); SELECT 1/0"], false),
    (&["BEGIN; CREATE TEMP TABLE users (id int, email text); ROLLBACK"], false),
    (&["CREATE TEMP TABLE users (id int, email text); ROLLBACK"], false),
    (&["BEGIN", "SAVEPOINT a; CREATE TEMP TABLE users (id int, email text); ROLLBACK TO a"], false),
    (
        &[
            "CREATE TEMP TABLE a (x int)",
            "CREATE TEMP VIEW users AS SELECT 1 AS id, '' AS email FROM a",
            "DROP TABLE a CASCADE",
        ],
        false,
    ),
    (
        &[
            "CREATE TEMP TABLE a (x int)",
            "CREATE TEMP TABLE users AS SELECT a AS email FROM a",
            "DROP TABLE a CASCADE",
        ],
        false,
    ),
];

const MAKE: &str = "CREATE TEMP TABLE users (id int, email text)";
const MAKE_UNTIL_COMMIT: &str = "CREATE TEMP TABLE users (id int, email text) ON COMMIT DROP";

#[test]
fn a_rule_is_applied_to_the_relation_that_the_server_reads() {
    let door = door_with(POLICY, &[]);
    for (done, own) in UNDONE {
        let statements = [*done, &["SELECT count(email) FROM users"]].concat();
        let said = script(&door, FIRST, &statements);
        let denied = said.err.contains("column_not_allowed:email (table: public.users)")
            || said.err.contains("unknown_columns:stale_catalog");
        assert_eq!(!denied, *own, "{done:?}: {said:?}");
        assert_eq!(said.out.contains('0'), *own, "{done:?}: {said:?}");
    }
}

#[test]
fn one_submission_is_read_as_the_server_runs_it() {
    let door = door_with(POLICY, &[]);
    for (sql, own) in [
        ("CREATE TEMP TABLE users (email text); SELECT email FROM users", true),
        ("BEGIN; CREATE TEMP TABLE users (email text); SELECT email FROM users; COMMIT", true),
        ("BEGIN; CREATE TEMP TABLE users (email text); ROLLBACK; SELECT email FROM users", false),
        ("CREATE TEMP TABLE users (email text); DROP TABLE users; SELECT email FROM users", false),
        ("CREATE TEMP TABLE users (email text); ROLLBACK; SELECT email FROM users", false),
        (
            "CREATE TEMP TABLE users (id int); SELECT (SELECT email FROM users) FROM public.users",
            false,
        ),
        (
            "CREATE TEMP TABLE users (email text); ALTER TABLE users DROP email; \
             SELECT (SELECT email FROM users) FROM public.users",
            false,
        ),
    ] {
        let said = script(&door, FIRST, &[sql]);
        assert_eq!(said.err.contains("column_not_allowed:email"), !own, "{sql}: {said:?}");
    }
    // In a failed transaction COMMIT is a ROLLBACK.
    let failed = ["BEGIN", MAKE, "SELECT 1/0", "COMMIT; SELECT email FROM users"];
    let said = script(&door, FIRST, &failed);
    assert!(said.err.contains("25P02") || said.err.contains("column_not_allowed"), "{said:?}");
}

pub(crate) fn wire(door: &Door, options: &str) -> Wire {
    let parameters = [
        ("user", "app"),
        ("database", door.database.as_str()),
        ("application_name", ANALYST),
        ("options", options),
    ];
    Wire::login(door.proxy.port, &parameters).unwrap()
}

fn run(sql: &str) -> Vec<u8> {
    [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat()
}

#[test]
fn pipelines_wait_for_what_an_earlier_group_may_have_made() {
    let door = door_with(POLICY, &[]);
    // Made and read in one group, and in one write over two groups.
    let mut honest = wire(&door, FIRST);
    let ask = "SELECT email FROM users";
    honest.send(&[run(MAKE), run(ask), sync(), run(ask), sync(), query(ask)].concat()).unwrap();
    assert_eq!(tags(&honest.until_ready().unwrap()), "1 2 C(CREATE TABLE) 1 2 C(SELECT 0) Z(I)");
    assert_eq!(tags(&honest.until_ready().unwrap()), "1 2 C(SELECT 0) Z(I)");
    assert_eq!(tags(&honest.until_ready().unwrap()), "T C(SELECT 0) Z(I)");
    // What fails takes what was made before it in its group with it, and the door knows in time.
    let mut evil = wire(&door, FIRST);
    let failing = [run(MAKE), run("SELECT 1/0"), sync()].concat();
    evil.send(&[failing, run(ask), sync(), query(ask)].concat()).unwrap();
    assert_eq!(tags(&evil.until_ready().unwrap()), "1 2 C(CREATE TABLE) 1 E(22012) Z(I)");
    assert_eq!(tags(&evil.until_ready().unwrap()), "E(42501) Z(I)");
    assert_eq!(tags(&evil.until_ready().unwrap()), "E(42501) Z(I)");
    // A transaction that failed before: COMMIT takes back what the session has made in it.
    let mut evil = wire(&door, FIRST);
    evil.query("BEGIN").unwrap();
    evil.query(MAKE).unwrap();
    evil.send(&[query("SELECT 1/0"), run("COMMIT"), run(ask), sync()].concat()).unwrap();
    assert_eq!(tags(&evil.until_ready().unwrap()), "E(22012) Z(E)");
    assert_eq!(tags(&evil.until_ready().unwrap()), "1 2 C(ROLLBACK) E(42501) Z(I)");
}

#[test]
fn a_prepared_statement_follows_what_the_session_makes() {
    let door = door_with(POLICY, &[]);
    let mut wire = wire(&door, FIRST);
    wire.send(&[parse("own", "SELECT id FROM users", &[]), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "1 Z(I)");
    wire.send(&[parse("make", MAKE, &[]), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "1 Z(I)");
    let execute = |name: &str| [bind("", name, &[]), execute("", 0), sync()].concat();
    wire.send(&execute("make")).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "2 C(CREATE TABLE) Z(I)");
    wire.send(&[parse("mail", "SELECT email FROM users", &[]), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "1 Z(I)");
    for name in ["own", "mail"] {
        wire.send(&execute(name)).unwrap();
        assert_eq!(tags(&wire.until_ready().unwrap()), "2 C(SELECT 0) Z(I)", "{name}");
    }
    // The server plans `mail` again, for the table that everybody sees.
    wire.query("DROP TABLE users").unwrap();
    wire.send(&execute("mail")).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "E(42501) Z(I)");
    wire.send(&execute("own")).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "2 D C(SELECT 1) Z(I)");
}

#[test]
fn the_path_ends_in_temporary_relations() {
    let door = door_with(POLICY, &[]);
    for (options, path) in [
        (USUAL, "\"$user\", public, pg_temp"),
        ("-c search_path=public", "public, pg_temp"),
        ("-c search_path=pg_temp,public", "pg_temp,public"),
        ("-c search_path=\"Odd\",public", "\"Odd\", public, pg_temp"),
    ] {
        let said = script(&door, options, &["SHOW search_path"]);
        assert_eq!(said.out, format!("{path}\n"), "{options}: {said:?}");
    }
    // The name would go on meaning the table of everybody: a DELETE would empty that.
    for sql in [MAKE, "SELECT 1 AS id INTO TEMP users", "CREATE TEMP VIEW notes AS SELECT 1 AS a"] {
        let said = script(&door, USUAL, &[sql]);
        assert!(said.err.contains("42P07") && said.err.contains("public."), "{sql}: {said:?}");
    }
    // Who asks for the other order gets it, and is judged by it.
    let said =
        script(&door, USUAL, &["SET search_path = pg_temp, public", MAKE, "TABLE pg_temp.users"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    let without = Door::open();
    let said = without.psql(crate::kit::WORKER, &["-c", "SHOW search_path"]);
    assert_eq!(said.out, "\"$user\", public\n", "{said:?}");
}

#[test]
fn temporary_types_and_functions_deceive_nobody() {
    let door = door_with(POLICY, &[]);
    door.direct("GRANT TEMPORARY ON DATABASE postgres TO app");
    let lower = "CREATE FUNCTION pg_temp.lower(text) RETURNS text LANGUAGE sql AS 'SELECT $1'";
    // Unqualified, the server never looks for functions among temporary ones.
    let said = script(&door, USUAL, &[lower, "SELECT lower('A')", "SELECT id FROM users"]);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("a\n1\n", ""), "{said:?}");
    for (statements, reason) in [
        (&[lower, "SELECT pg_temp.lower('A')"][..], "unknown_columns"),
        (
            &["CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE sql AS 'SELECT email FROM users'"],
            "unknown_columns",
        ),
        (
            &["SET search_path = public", "CREATE DOMAIN pg_temp.int4 AS text", "SELECT 'x'::int4"],
            "unknown_columns",
        ),
        (
            &["CREATE TYPE pg_temp.pair AS (a int, b int)", "SELECT id FROM users"],
            "unknown_columns",
        ),
    ] {
        let said = script(&door, FIRST, statements);
        assert!(said.err.contains(reason), "{statements:?}: {said:?}");
    }
    // Where temporary ones come last, they hide nothing.
    let made = ["CREATE DOMAIN pg_temp.int4 AS text", "SELECT id::int4 FROM users"];
    let said = script(&door, USUAL, &made);
    assert_eq!((said.code, said.out.as_str()), (0, "1\n"), "{said:?}");
}

const CODE: &str = r#"
version: "2"
agents:
  analyst:
    columns:
      public.users: {deny: [email]}
    functions: ["pg_catalog.*", public.shadow]
"#;

#[test]
fn code_that_is_not_read_may_have_made_anything() {
    let door = door_with(CODE, &[]);
    door.direct(
        "CREATE FUNCTION shadow() RETURNS int LANGUAGE plpgsql AS $$ BEGIN \
         CREATE TEMP TABLE notes AS SELECT email AS note FROM users; RETURN 1; END $$; \
         ALTER FUNCTION shadow() OWNER TO app",
    );
    // A definition through the door brings the load.
    script(&door, USUAL, &["COMMENT ON TABLE notes IS 'x'"]);
    let said = script(&door, FIRST, &["SELECT shadow()", "SELECT note FROM notes"]);
    assert!(said.err.contains("unknown_columns:stale_catalog"), "{said:?}");
    let said = script(&door, FIRST, &["SELECT shadow()", "DISCARD ALL", "SELECT note FROM notes"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    // The honest twin: the door has put temporary relations last, so the name is certain.
    let said = script(&door, USUAL, &["SELECT shadow()", "SELECT note FROM notes"]);
    assert_eq!((said.code, said.out.as_str()), (0, "1\n"), "{said:?}");
    let said = script(&door, USUAL, &["SELECT shadow()", "SELECT note FROM pg_temp.notes"]);
    assert!(said.err.contains("unknown_columns:stale_catalog"), "{said:?}");
}

#[test]
fn a_schema_that_the_role_may_not_use_hides_nothing() {
    let door = door_with(POLICY, &[]);
    door.direct("CREATE SCHEMA hr; CREATE TABLE hr.users (id int, email text)");
    script(&door, USUAL, &["COMMENT ON TABLE notes IS 'x'"]);
    let path = "-c search_path=hr,public";
    let said = script(&door, path, &["SELECT email FROM users"]);
    assert!(said.err.contains("column_not_allowed:email (table: public.users)"), "{said:?}");
    let said = script(&door, path, &["SELECT id FROM users"]);
    assert_eq!((said.code, said.out.as_str()), (0, "1\n"), "{said:?}");
    // The honest twin: who may use it, reads it.
    door.direct("GRANT USAGE ON SCHEMA hr TO app; GRANT SELECT ON hr.users TO app");
    script(&door, USUAL, &["COMMENT ON TABLE notes IS 'x'"]);
    let said = script(&door, path, &["SELECT count(email) FROM users"]);
    assert_eq!((said.code, said.out.as_str()), (0, "0\n"), "{said:?}");
}

#[test]
fn others_do_not_wait_for_temporary_relations() {
    let door = door_with(POLICY, &[]);
    // Each load is a session of its own, and so is each of these questions.
    let count = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()";
    let sessions = || door.direct(count).trim().parse::<u32>().unwrap();
    let mut one = wire(&door, USUAL);
    let mut other = wire(&door, USUAL);
    let before = sessions();
    for number in 0..20 {
        let made =
            one.query(&format!("CREATE TEMP TABLE t{number} AS SELECT id FROM users")).unwrap();
        assert_eq!(tags(&made), "C(SELECT 1) Z(I)");
        assert_eq!(tags(&other.query("SELECT id FROM users").unwrap()), "T D C(SELECT 1) Z(I)");
    }
    assert!(sessions() - before <= 3, "the catalog was loaded for them");
}
