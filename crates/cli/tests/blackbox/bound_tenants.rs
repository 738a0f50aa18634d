//! Tenants where the door has a catalog: each use of a table that has the column is bound.

use std::time::Duration;

use testkit::wire::{bind, execute, parse, sync, tags};

use crate::kit::{Door, Said, database, eventually, server};
use crate::tenants::bind_binary;

const ANALYST: &str = "agent:analyst";

fn ask(door: &Door, sql: &str) -> Said {
    door.psql(ANALYST, &["-c", sql])
}

const TENANTS: &str = r#"
version: "2"
agents:
  analyst: {tenant: "2"}
  other: {tenant: "23"}
functions: [current_setting]
tenancy: {column: tenant_id, tenant_global_tables: [products], setting: app.tenant}
"#;

const OF_TENANTS: &str = "
CREATE TABLE orders (id serial PRIMARY KEY, tenant_id int, user_id int, total numeric, note text);
CREATE TABLE letters (id serial PRIMARY KEY, tenant_id text, note text);
INSERT INTO letters (tenant_id, note) VALUES ('2', 'of two'), ('23', 'of twenty-three');
CREATE TABLE accounts (id serial PRIMARY KEY, tenant_id int, email text, active boolean);
CREATE VIEW active_accounts AS SELECT * FROM accounts WHERE active;
CREATE VIEW addresses AS SELECT id, email FROM accounts;
CREATE VIEW own_notes AS SELECT note FROM orders WHERE tenant_id = current_setting('app.tenant')::int;
CREATE VIEW own_addresses AS SELECT a.email FROM accounts a JOIN orders o USING (tenant_id)
  WHERE tenant_id = current_setting('app.tenant')::int;
CREATE VIEW notes_of_three AS SELECT note FROM orders WHERE tenant_id = 3;
CREATE VIEW any_notes AS SELECT note FROM orders WHERE tenant_id = current_setting('app.other')::int;
INSERT INTO orders (tenant_id, note) VALUES (2, 'own'), (2, 'own'), (3, 'other');
INSERT INTO accounts (tenant_id, email) VALUES (2, 'own@example.com'), (3, 'other@example.com');
GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app;
";

/// A door that knows the tables.
fn door() -> Door {
    door_with(TENANTS)
}

fn door_with(policy: &str) -> Door {
    let database = database();
    let dsn = server().conn_string(&database);
    let own = format!("ALTER ROLE app IN DATABASE {database} SET app.tenant = '2'");
    let door = Door::before(server().port, database, policy, &["--catalog-dsn", &dsn]);
    door.direct(OF_TENANTS);
    door.direct(&own);
    let runs = |sql: &str| eventually(Duration::from_secs(20), || ask(&door, sql).code == 0);
    // A definition that passes the door makes it load the catalog again.
    assert!(runs("CREATE TABLE IF NOT EXISTS own (a int)"), "{}", door.proxy.output());
    assert!(runs("SELECT id FROM orders WHERE tenant_id = 2"), "{}", door.proxy.output());
    door
}

#[test]
fn a_tenant_sees_and_makes_rows_of_its_own_alone() {
    let door = door();
    let counted = ask(&door, "SELECT count(*) FROM orders WHERE tenant_id = 2");
    assert_eq!(counted.out, "2\n", "{counted:?}");
    let wrong = |list: &[&str], right: fn(&Said) -> bool| -> Vec<String> {
        let asked = list.iter().map(|sql| (sql, ask(&door, sql)));
        asked
            .filter(|(_, said)| !right(said))
            .map(|(sql, said)| format!("{sql}: {said:?}"))
            .collect()
    };
    let refused = wrong(HONEST, |said| said.code == 0);
    let passed = wrong(STRAYING, |said| said.code == 1 && said.err.contains("tenant_violation"));
    assert!(refused.is_empty() && passed.is_empty(), "{refused:#?}\n{passed:#?}");
}

/// Each keeps to tenant 2 for every use of a table.
const HONEST: &[&str] = &[
    "SELECT id FROM orders WHERE 1 = 1 AND '2'::int4 = orders.tenant_id AND total > 5",
    "SELECT id FROM orders WHERE tenant_id IN (2)",
    "SELECT id FROM orders WHERE tenant_id = ANY (ARRAY[2])",
    "SELECT o.id FROM orders o JOIN accounts u ON u.tenant_id = o.tenant_id WHERE o.tenant_id = 2",
    "SELECT id FROM orders JOIN accounts USING (tenant_id, id) WHERE orders.tenant_id = 2",
    "SELECT o.id FROM orders o LEFT JOIN accounts u ON u.tenant_id = 2 WHERE o.tenant_id = 2",
    "SELECT id FROM orders o WHERE tenant_id = 2 AND EXISTS (SELECT 1 FROM accounts u WHERE u.tenant_id = o.tenant_id)",
    "WITH own AS (SELECT * FROM orders WHERE tenant_id = 2) SELECT count(*) FROM own",
    "SELECT id FROM orders WHERE tenant_id = 2 UNION SELECT id FROM accounts WHERE tenant_id = 2",
    "SELECT id FROM active_accounts WHERE tenant_id = 2",
    "INSERT INTO orders (note, tenant_id) VALUES ('a', 2), ('b', 2)",
    "INSERT INTO orders (note, tenant_id) SELECT note, 2 FROM orders WHERE tenant_id = 2",
    "UPDATE orders SET note = 'c' WHERE tenant_id = 2 AND note = 'a'",
    "UPDATE orders SET tenant_id = 2 WHERE tenant_id = 2 AND note = 'b'",
    "DELETE FROM orders WHERE tenant_id = 2 AND note = 'c'",
    "MERGE INTO orders o USING (SELECT 1 AS id) s ON o.id = s.id AND o.tenant_id = 2 WHEN MATCHED THEN UPDATE SET note = 'd' WHEN NOT MATCHED THEN INSERT (note, tenant_id) VALUES ('e', 2)",
    "SELECT id FROM orders WHERE tenant_id = (SELECT 2)",
    "SELECT id FROM orders WHERE tenant_id = '02'",
    "SELECT id FROM orders WHERE tenant_id::text = '2'",
    "SELECT id FROM orders WHERE (tenant_id, id) = (2, 1)",
    "SELECT id FROM orders WHERE NOT (tenant_id <> 2 OR note = 'x')",
    "SELECT id FROM orders WHERE (tenant_id = 2 AND note = 'a') OR (total > 1 AND tenant_id = 2)",
    "SELECT id FROM orders WHERE tenant_id = current_setting('app.tenant')::int",
    "SELECT id FROM orders JOIN accounts USING (tenant_id, id) WHERE tenant_id = 2",
    "SELECT id FROM orders NATURAL JOIN accounts WHERE tenant_id = 2",
    "SELECT j.id FROM (orders JOIN accounts USING (tenant_id, id)) AS j WHERE j.tenant_id = 2",
    "SELECT id FROM (SELECT * FROM orders) s WHERE tenant_id = 2",
    "SELECT id FROM (SELECT id, tenant_id AS whose FROM orders WHERE total > 1) s WHERE s.whose = 2",
    "SELECT u.id FROM (SELECT tenant_id AS whose FROM orders WHERE tenant_id = 2 LIMIT 1) s JOIN accounts u ON u.tenant_id = s.whose",
    "WITH s AS (SELECT tenant_id FROM orders WHERE tenant_id = 2) SELECT u.id FROM accounts u JOIN s USING (tenant_id)",
    "INSERT INTO orders (note, tenant_id) SELECT note, tenant_id FROM orders WHERE tenant_id = 2",
    "SELECT note FROM own_notes",
    "SELECT email FROM own_addresses",
    "SELECT name FROM products",
    "SELECT 1",
];

/// Each may touch, tell of or make a row of another tenant.
const STRAYING: &[&str] = &[
    "SELECT id FROM orders",
    "TABLE orders",
    "SELECT id FROM orders WHERE tenant_id = 3",
    "SELECT id FROM orders WHERE tenant_id = 2 OR true",
    "SELECT id FROM orders WHERE tenant_id = tenant_id",
    "SELECT id FROM orders WHERE NOT tenant_id = 2",
    "SELECT id FROM orders WHERE tenant_id IN (2, 3)",
    "SELECT id FROM orders WHERE tenant_id <= 2",
    "SELECT id FROM orders WHERE (tenant_id = 2) IS NOT NULL",
    "SELECT id FROM orders WHERE tenant_id::varchar(1) = '2'",
    "SELECT id FROM orders WHERE tenant_id = '23'::varchar(1)::int4",
    "SELECT id FROM orders o WHERE EXISTS (SELECT 1 WHERE o.tenant_id = 2)",
    "SELECT o.id FROM orders o LEFT JOIN accounts u ON o.tenant_id = 2 AND u.tenant_id = 2",
    "SELECT o.id FROM orders o FULL JOIN accounts u ON o.tenant_id = u.tenant_id WHERE o.tenant_id = 2",
    "SELECT o.id FROM orders o JOIN accounts u ON u.id = o.user_id WHERE o.tenant_id = 2",
    "SELECT id FROM (SELECT id, 2 AS tenant_id FROM orders) o WHERE tenant_id = 2",
    "SELECT o.id FROM (SELECT coalesce(3, tenant_id) AS tenant_id FROM orders WHERE tenant_id = 2) s JOIN orders o ON o.tenant_id = s.tenant_id",
    "WITH s AS (SELECT tenant_id FROM orders WHERE tenant_id = 2 UNION SELECT 3) SELECT o.id FROM orders o JOIN s ON o.tenant_id = s.tenant_id",
    "SELECT id FROM orders WHERE tenant_id = 2 UNION SELECT id FROM accounts",
    "SELECT id, (SELECT count(*) FROM accounts) FROM orders WHERE tenant_id = 2",
    "SELECT id FROM orders WHERE tenant_id = 2 AND id IN (SELECT id FROM accounts)",
    "SELECT count(*) FROM orders HAVING min(tenant_id) = 2",
    "SELECT id FROM active_accounts",
    "SELECT email FROM addresses",
    "INSERT INTO orders (note, tenant_id) VALUES ('x', 2), ('y', 3)",
    "INSERT INTO orders (note) VALUES ('x')",
    "INSERT INTO orders (id, tenant_id) SELECT x.*, 2 FROM (VALUES (9001, 3)) x",
    "INSERT INTO orders (id, tenant_id) VALUES (9001, 2) ON CONFLICT (id) DO UPDATE SET note = 'x'",
    "UPDATE orders SET tenant_id = 3 WHERE tenant_id = 2",
    "UPDATE orders SET (note, tenant_id) = ('x', 3) WHERE tenant_id = 2",
    "UPDATE orders SET note = 'x'",
    "UPDATE orders SET note = u.email FROM accounts u WHERE orders.tenant_id = 2",
    "DELETE FROM orders USING accounts WHERE accounts.tenant_id = 2",
    "DELETE FROM orders WHERE tenant_id = 2 RETURNING (SELECT count(*) FROM accounts)",
    "MERGE INTO orders o USING accounts u ON o.tenant_id = 2 AND u.tenant_id = 2 WHEN NOT MATCHED THEN INSERT (note, tenant_id) VALUES (u.email, 2)",
    "MERGE INTO orders o USING (SELECT 1 AS id) s ON o.tenant_id = 2 WHEN NOT MATCHED THEN INSERT (note, tenant_id) VALUES ('e', 3)",
    "SELECT o.note FROM orders AS o (tenant_id) WHERE tenant_id = 2",
    "SELECT o.note FROM orders o (tenant_id, other) JOIN accounts u USING (tenant_id) WHERE u.tenant_id = 2",
    "SELECT id FROM orders WHERE (tenant_id = 2 AND note = 'a') OR total > 1",
    "SELECT id FROM orders WHERE tenant_id = current_setting('app.other')::int",
    "SELECT id FROM orders WHERE tenant_id::text = '02'::int4::text",
    "SELECT id FROM (SELECT * FROM orders LIMIT 1) s WHERE tenant_id = 2",
    "SELECT id FROM (SELECT DISTINCT ON (note) * FROM orders) s WHERE tenant_id = 2",
    "SELECT id FROM (SELECT id, tenant_id, count(*) OVER () FROM orders) s WHERE tenant_id = 2",
    "SELECT id FROM (SELECT id, tenant_id FROM orders WHERE tenant_id = 2 UNION ALL SELECT id, 2 FROM orders) s WHERE tenant_id = 2",
    "SELECT o.id FROM accounts a LEFT JOIN orders o USING (tenant_id) JOIN orders p ON p.tenant_id = o.id WHERE tenant_id = 2",
    "SELECT a.id FROM accounts a FULL JOIN orders o USING (tenant_id) WHERE tenant_id = 2",
    "INSERT INTO orders (note, tenant_id) SELECT note, id FROM orders WHERE tenant_id = 2",
    "SELECT note FROM notes_of_three",
    "SELECT note FROM any_notes",
    "SET app.tenant = '3'",
    "SET LOCAL app.tenant TO 3",
    "SELECT most_common_vals FROM pg_stats",
    "SELECT query FROM pg_stat_activity",
    "COPY orders TO STDOUT",
    "COPY orders FROM STDIN",
    "TRUNCATE orders",
    "CREATE VIEW loose AS SELECT id, 2 AS tenant_id FROM orders",
    "CREATE TABLE mine AS SELECT * FROM orders",
    "PREPARE p (int) AS SELECT id FROM orders WHERE tenant_id = $1",
    "EXPLAIN SELECT id FROM orders",
    "SELECT query_to_xml('SELECT * FROM orders', true, true, '')",
];

/// What the server says to a statement with one value.
pub(crate) fn bound(
    door: &Door,
    agent: &str,
    (sql, types): (&str, &[u32]),
    value: &[u8],
    binary: bool,
) -> String {
    let mut wire = door.wire(agent);
    let value = if binary {
        bind_binary("", value)
    } else {
        bind("", "", &[std::str::from_utf8(value).unwrap()])
    };
    wire.send(&[parse("", sql, types), value, execute("", 0), sync()].concat()).unwrap();
    let frames = wire.until_ready().unwrap();
    let rows = frames.iter().filter(|frame| frame.tag == b'D');
    let rows: Vec<String> = rows.map(|frame| frame.row().join(",")).collect();
    if rows.is_empty() { tags(&frames) } else { rows.join(" ") }
}

#[test]
fn a_parameter_is_read_as_the_column_that_it_is_compared_with() {
    let door = door();
    let orders = ("SELECT tenant_id FROM orders WHERE tenant_id = $1", &[][..]);
    let letters = ("SELECT note FROM letters WHERE tenant_id = $1", &[][..]);
    let refused = "1 E(42501) Z(I)";
    assert_eq!(bound(&door, ANALYST, orders, b"2", false), "2 2");
    assert_eq!(bound(&door, ANALYST, orders, &[0, 0, 0, 2], true), "2 2");
    assert_eq!(bound(&door, ANALYST, (orders.0, &[20]), &[0, 0, 0, 0, 0, 0, 0, 2], true), "2 2");
    assert_eq!(bound(&door, ANALYST, letters, b"2", true), "of two");
    assert_eq!(bound(&door, "agent:other", letters, b"23", false), "of twenty-three");
    let joined = (
        "SELECT a.note FROM letters a, letters b WHERE a.tenant_id = $1 AND b.tenant_id = $1",
        &[][..],
    );
    assert_eq!(bound(&door, ANALYST, joined, b"2", false), "of two");
    for (agent, asked, value, binary) in [
        (ANALYST, orders, &b"3"[..], false),
        (ANALYST, orders, &[0, 0, 0, 3], true),
        // Text for one reader, a number for the other.
        (ANALYST, orders, b"0002", true),
        (ANALYST, letters, b"23", false),
        // Types that cut a value short: `2` is another tenant's.
        ("agent:other", (letters.0, &[18]), b"23", false),
        (
            "agent:other",
            ("SELECT note FROM letters WHERE $1::\"char\" IS NOT NULL AND tenant_id = $1", &[]),
            b"23",
            false,
        ),
        (
            "agent:other",
            (
                "SELECT note FROM letters, (SELECT '2'::\"char\" AS tenant_id) s WHERE s.tenant_id = $1 AND letters.tenant_id = $1",
                &[],
            ),
            b"23",
            false,
        ),
    ] {
        assert_eq!(bound(&door, agent, asked, value, binary), refused, "{asked:?} {value:?}");
    }
}

/// Every record.
fn ledger_of(door: &Door) -> String {
    let files = std::fs::read_dir(door.proxy.ledger()).unwrap().map(|file| file.unwrap().path());
    let segments = files.filter(|file| file.extension().is_some_and(|own| own == "jsonl"));
    segments.map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

/// A statement, and how many rows of tenant 2 it is to give.
const REWRITTEN: &[(&str, &str)] = &[
    ("SELECT note FROM orders ORDER BY id", "own own"),
    ("SELECT o.note FROM orders o WHERE o.id > 0 OR true", "own own"),
    ("SELECT count(*) FROM orders o JOIN accounts a ON a.id > 0 -- all of them", "2"),
    ("SELECT count(*) FROM orders, accounts", "2"),
    ("SELECT count(a.id) FROM products p LEFT JOIN accounts a ON true", "2"),
    ("SELECT note FROM (SELECT note FROM orders LIMIT 1) s", "own"),
    ("WITH s AS (SELECT * FROM orders) SELECT count(*) FROM s a, s b", "4"),
    ("SELECT (SELECT count(*) FROM accounts) FROM orders o WHERE note = 'own' LIMIT 1", "1"),
    ("SELECT note FROM orders UNION SELECT email FROM accounts ORDER BY 1", "own own@example.com"),
    ("SELECT note FROM public.orders WHERE orders.id IN (SELECT id FROM public.orders)", "own own"),
    ("SELECT o.* FROM orders AS o (a, b) WHERE a = 1", "1,2,,,own"),
    ("SELECT id, count(*) FROM orders GROUP BY id HAVING count(*) > 0 ORDER BY id", "1,1 2,1"),
    ("SELECT note FROM orders WHERE tenant_id = 3 OR note = 'own'", "own own"),
    ("SELECT email FROM active_accounts", ""),
    ("UPDATE orders SET total = 1 RETURNING note", "own own"),
    (
        "UPDATE orders o SET total = 2 FROM accounts a WHERE a.id < o.id + 100 RETURNING o.note",
        "own own",
    ),
    ("DELETE FROM letters WHERE note LIKE '%two%' RETURNING note", "of two"),
];

#[test]
fn a_missing_condition_is_added_where_the_policy_says_so() {
    let door =
        door_with(&TENANTS.replace("setting: app.tenant", "setting: app.tenant, enforce: rewrite"));
    for (sql, rows) in REWRITTEN {
        let said = ask(&door, sql);
        let mut lines = said.out.lines().map(|line| line.replace('|', ","));
        let given: Vec<String> = lines
            .by_ref()
            .filter(|line| !line.starts_with("UPDATE") && !line.starts_with("DELETE"))
            .collect();
        assert_eq!((said.code, given.join(" ").as_str()), (0, *rows), "{sql}: {said:?}");
    }
    // By the extended protocol, too, and with parameters of the statement's own.
    let mine = ("SELECT note FROM letters WHERE id > $1 ORDER BY id", &[][..]);
    door.direct("INSERT INTO letters (tenant_id, note) VALUES ('2', 'again')");
    assert_eq!(bound(&door, ANALYST, mine, b"0", false), "again");
    for sql in [
        "INSERT INTO orders (note) VALUES ('x')",
        "INSERT INTO orders (note, tenant_id) VALUES ('x', 3)",
        "SELECT email FROM addresses",
        "COPY orders TO STDOUT",
        "TRUNCATE orders",
        "UPDATE orders SET tenant_id = 3",
        "SELECT * FROM ONLY orders LEFT JOIN accounts ON true",
        "TABLE orders",
        "MERGE INTO orders o USING accounts a ON o.id = a.id WHEN MATCHED THEN DELETE",
    ] {
        let said = ask(&door, sql);
        assert!(said.code == 1 && said.err.contains("tenant_violation"), "{sql}: {said:?}");
    }
    // The record has what was judged and forwarded, and what was sent.
    let ledger = ledger_of(&door);
    assert!(ledger.contains(r#"WHERE \"orders\".\"tenant_id\" = '?' ORDER BY id"#), "{ledger}");
    assert!(ledger.contains(r#""submitted":"SELECT note FROM orders ORDER BY id""#), "{ledger}");
}
