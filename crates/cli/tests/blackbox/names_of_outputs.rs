//! Names of columns that sub-selects, CTEs and functions in FROM yield: none hides what the server means
//! by it, and every clause counts. Each evasion stands beside an honest twin.

use crate::bodies::{door_after, passes, refused};
use crate::kit::Door;

const POLICY: &str = r#"
version: "2"
agents:
  analyst:
    columns: {public.users: {deny: [email]}}
  teller:
    columns: {public.users: {deny: [email], output_only: true}}
"#;

const DEFINITIONS: &str = "
CREATE TYPE pair_of_one AS (a int);
CREATE TYPE pair AS (a int, b int);
CREATE DOMAIN email AS int;
CREATE TABLE pairs (id int, email pair);
INSERT INTO pairs VALUES (1, ROW(1, 2));
CREATE VIEW with_email AS WITH c AS (SELECT id, email FROM users) SELECT c.email AS x FROM c;
CREATE VIEW with_id AS WITH c AS (SELECT id, id + 1 AS next FROM users) SELECT c.next AS x FROM c;
CREATE VIEW limited AS SELECT id AS x FROM users UNION SELECT 7 LIMIT (WITH c AS (SELECT email FROM users) SELECT length(max(email)) FROM c);
CREATE FUNCTION in_pairs(OUT email pair) LANGUAGE sql AS 'SELECT ROW(1, 2)::pair';
CREATE FUNCTION in_ints(OUT email int) LANGUAGE sql AS 'SELECT 1';
GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
";

fn door() -> Door {
    door_after(DEFINITIONS, POLICY, "analyst")
}

/// Each evasion is one: the server answers it.
#[track_caller]
fn judged(who: &str, evasions: &[&str], twins: &[&str]) {
    let door = door();
    for sql in evasions {
        door.direct(sql);
        refused(&door, who, sql, "column_not_allowed:email");
    }
    for sql in twins {
        passes(&door, who, sql);
    }
}

#[test]
fn a_star_in_a_sub_select_gives_it_no_name() {
    judged(
        "analyst",
        &[
            "SELECT (SELECT email FROM (SELECT (SELECT email.* FROM (SELECT 1 AS a) email)) d) FROM users u",
            "SELECT (SELECT u FROM (SELECT (SELECT u.* FROM (SELECT 1 AS a) u)) d)::text FROM users u",
            "SELECT (SELECT email FROM (SELECT (SELECT (p.email).* FROM (SELECT ROW(1)::pair_of_one AS email) p)) d) FROM users u",
            "SELECT (SELECT email.* FROM (SELECT 1 AS a) email) FROM users ORDER BY email",
            "SELECT (p.email).* FROM pairs p, users u ORDER BY u.email",
            "SELECT DISTINCT ON (email) (SELECT email.* FROM (SELECT 1 AS a) email) FROM users",
            // A name from inside a sub-select is a strong one, a weak one there, too.
            "SELECT (SELECT email FROM (SELECT (SELECT 1)::email) d) FROM users u",
        ],
        &[
            "SELECT (SELECT a FROM (SELECT (SELECT x.* FROM (SELECT 1 AS a) x)) d) FROM users u",
            "SELECT (SELECT u.id FROM (SELECT (SELECT x.* FROM (SELECT 1 AS a) x)) d) FROM users u",
            "SELECT (SELECT x.* FROM (SELECT 1 AS a) x) FROM users ORDER BY a",
            "SELECT (p.email).* FROM pairs p, users u ORDER BY u.id, a",
        ],
    );
}

#[test]
fn a_cte_in_a_sub_select_sees_what_is_around_it() {
    judged(
        "analyst",
        &[
            "SELECT (WITH c AS (SELECT email FROM unnest(ARRAY[1]) x) SELECT c.email FROM c) FROM users u",
            "SELECT s.z FROM users u, LATERAL (WITH c AS (SELECT email AS z FROM unnest(ARRAY[1]) x) SELECT z FROM c) s",
            "SELECT (WITH RECURSIVE c AS (SELECT email FROM unnest(ARRAY[1]) x UNION SELECT c.email FROM c) SELECT c.email FROM c LIMIT 1) FROM users u",
            "SELECT (WITH c AS (SELECT 1) SELECT email FROM c, unnest(ARRAY[1]) x) FROM users u",
        ],
        &[
            "SELECT id FROM users u WHERE EXISTS (WITH c AS (SELECT 1 FROM products p WHERE p.id = u.id) SELECT 1 FROM c)",
            "SELECT (WITH RECURSIVE c AS (SELECT u.id AS n UNION SELECT n + 1 FROM c WHERE n < u.id + 3) SELECT max(n) FROM c) FROM users u",
        ],
    );
}

#[test]
fn columns_that_are_not_known_shift_alias_lists() {
    judged(
        "analyst",
        &[
            "SELECT j.c FROM (unnest(ARRAY[1]) x CROSS JOIN users u) AS j(a, b, c)",
            "SELECT c FROM (unnest(ARRAY[1]) x CROSS JOIN users u) AS j(a, b, c)",
            "SELECT j.email FROM (unnest(ARRAY[1]) x CROSS JOIN users u) AS j(a)",
            "SELECT j FROM (unnest(ARRAY[1]) x CROSS JOIN users u) AS j(a)",
            "SELECT j.a FROM ((unnest(ARRAY['a@example.org']) x CROSS JOIN users u) AS j(z) JOIN (SELECT 'a@example.org' AS email, 1 AS a) k USING (email)) AS j",
            "SELECT u.id, o.email FROM users u NATURAL JOIN unnest(ARRAY['CANARY']) AS o(email)",
            "SELECT u.id FROM users u NATURAL JOIN unnest(ARRAY['CANARY']) AS email",
            "SELECT u.id FROM unnest(ARRAY['CANARY']) AS email NATURAL JOIN users u",
        ],
        &[
            "SELECT x.a FROM unnest(ARRAY[1]) AS x(a) CROSS JOIN users u",
            "SELECT u.id, x FROM unnest(ARRAY[1]) x CROSS JOIN users u",
            "SELECT j.c FROM (generate_series(1, 2) x CROSS JOIN products p) AS j(a, b, c)",
            "SELECT j.c FROM (users u CROSS JOIN (SELECT 1) x) AS j(a, b, c)",
            "SELECT p.name FROM products p NATURAL JOIN unnest(ARRAY[1]) AS o(id)",
        ],
    );
}

#[test]
fn rows_in_from_are_taken_apart() {
    judged(
        "analyst",
        &[
            "SELECT (SELECT email FROM CAST(ROW(1, 2) AS pair) AS email) FROM users u",
            "SELECT (SELECT email FROM COALESCE(ROW(1, 2)::pair) AS email) FROM users u",
            "SELECT (SELECT email FROM in_pairs()) FROM users u",
            "SELECT (SELECT email FROM in_pairs() AS email) FROM users u",
        ],
        &[
            "SELECT (SELECT email FROM in_ints()) FROM users u",
            "SELECT (SELECT email FROM generate_series(1, 1) AS email) FROM users u",
            "SELECT (SELECT b FROM in_pairs()) FROM users u",
            "SELECT (SELECT d FROM CAST('2020-01-01' AS date) AS d) FROM users u",
            "SELECT (SELECT email FROM current_date AS email) IS NULL FROM users u",
        ],
    );
}

#[test]
fn what_stands_behind_values_and_unions_counts() {
    judged(
        "analyst",
        &[
            "VALUES ('x'), ('y') ORDER BY column1 <> (SELECT email FROM users LIMIT 1)",
            "WITH RECURSIVE c AS (SELECT 1 UNION SELECT 2 LIMIT (SELECT length(max(email)) FROM users)) SELECT * FROM c",
            "WITH RECURSIVE c AS (SELECT 1 UNION SELECT 2 OFFSET (SELECT length(max(email)) FROM users)) SELECT * FROM c",
            "SELECT u.id FROM users u, (VALUES ('x'), ('y') ORDER BY column1 <> (SELECT email FROM users LIMIT 1)) v",
            "SELECT u.id FROM users u, (VALUES ('x'), ('y') LIMIT (SELECT length(max(email)) FROM users)) v",
            "WITH RECURSIVE c AS (SELECT id FROM users UNION SELECT 2 LIMIT (SELECT length(max(email)) FROM users)) SELECT * FROM c",
            "WITH RECURSIVE c AS (SELECT id FROM users UNION SELECT 2 OFFSET (SELECT length(max(email)) FROM users)) SELECT * FROM c",
            "SELECT 1 UNION SELECT 2 LIMIT (SELECT length(max(email)) FROM users)",
        ],
        &[
            "VALUES ('x'), ('y') ORDER BY column1 <> (SELECT name FROM products LIMIT 1), 1, \"*VALUES*\".column1",
            "WITH RECURSIVE c AS (SELECT 1 UNION SELECT 2 LIMIT (SELECT max(id) FROM users)) SELECT * FROM c",
            "WITH RECURSIVE c(n) AS (SELECT 1 AS a UNION SELECT 2 ORDER BY a DESC) SELECT n FROM c",
            "SELECT id FROM users UNION SELECT 2 ORDER BY id, 1 LIMIT 3",
        ],
    );
}

#[test]
fn functions_behind_values_and_unions_count() {
    let door = door_after(
        "CREATE FUNCTION told() RETURNS text LANGUAGE sql AS 'SELECT max(email) FROM users';
         CREATE FUNCTION honest() RETURNS text LANGUAGE sql AS 'SELECT max(name) FROM products';",
        POLICY,
        "analyst",
    );
    for (evasion, twin) in [
        ("VALUES ('x') ORDER BY column1 <> told()", "VALUES ('x') ORDER BY column1 <> honest()"),
        (
            "WITH RECURSIVE c AS (SELECT 1 UNION SELECT 2 LIMIT length(told())) SELECT * FROM c",
            "WITH RECURSIVE c AS (SELECT 1 UNION SELECT 2 LIMIT length(honest())) SELECT * FROM c",
        ),
    ] {
        refused(&door, "analyst", evasion, "column_not_allowed:email");
        passes(&door, "analyst", twin);
    }
}

#[test]
fn a_view_that_begins_with_with_reads_what_its_cte_reads() {
    judged(
        "analyst",
        &["SELECT x FROM with_email", "SELECT x FROM limited"],
        &["SELECT x FROM with_id"],
    );
}

#[test]
fn what_goes_into_a_function_in_from_may_come_out() {
    judged(
        "teller",
        &[
            "SELECT f.v FROM users u, LATERAL unnest(ARRAY[u.email]) f(v)",
            "SELECT f.v FROM users u, LATERAL ROWS FROM (unnest(ARRAY[u.email]), unnest(ARRAY[1])) f(v)",
            "SELECT x.v FROM users u, LATERAL xmltable('/a' PASSING xmlelement(name a, u.email) COLUMNS v text PATH '.') x",
            "SELECT j FROM users u JOIN users v USING (email) AS j",
            "SELECT to_json(j) FROM users u JOIN users v USING (email) AS j",
            "SELECT j.* FROM users u JOIN users v USING (email) AS j",
        ],
        &[
            "SELECT id FROM users WHERE email = 'a@example.org'",
            "SELECT f.v FROM users u, LATERAL unnest(ARRAY[u.id]) f(v) WHERE u.email = 'a@example.org'",
            "SELECT to_json(j) FROM users u JOIN users v USING (id) AS j WHERE u.email = v.email",
            "SELECT u.id FROM users u JOIN users v USING (email) AS j",
        ],
    );
}
