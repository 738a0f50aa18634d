//! Ways round a SQL firewall that need no catalog to be seen, each beside an honest twin.

use crate::common::{facts, functions, operations, relations, settings, unfiltered};

#[test]
fn a_cte_hides_a_table_only_where_it_is_visible() {
    let cases = [
        // The body of a CTE does not see the CTE itself.
        ("WITH users AS (SELECT * FROM users) SELECT * FROM users", "r:users"),
        ("WITH RECURSIVE n AS (SELECT 1 UNION SELECT * FROM n) SELECT * FROM n", ""),
        ("WITH a AS (SELECT 1), b AS (SELECT * FROM a) SELECT * FROM b", ""),
        ("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a", "r:b"),
        ("WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a", ""),
        // A qualified name is never a CTE.
        ("WITH users AS (SELECT 1) SELECT * FROM public.users", "r:public.users"),
        // A name in a sub-select is not visible outside.
        ("SELECT * FROM (WITH users AS (SELECT 1) SELECT * FROM users) q, users", "r:users"),
        ("WITH users AS (SELECT 1) SELECT (SELECT 1 FROM users)", ""),
        // A target of DML is never a CTE.
        ("WITH users AS (SELECT 1) DELETE FROM users WHERE id = 1", "w:users"),
        ("WITH x AS (SELECT 1) INSERT INTO x SELECT * FROM x", "w:x"),
        ("SELECT 1 UNION (WITH u AS (SELECT 1) SELECT * FROM u) UNION SELECT * FROM u", "r:u"),
        ("WITH u AS (SELECT 1) SELECT 1 UNION SELECT * FROM u", ""),
    ];
    for (text, expected) in cases {
        assert_eq!(relations(text), expected, "{text}");
    }
}

#[test]
fn functions_are_found_wherever_grammar_puts_them() {
    for text in [
        "SELECT evil()",
        "SELECT * FROM evil() AS t",
        "SELECT * FROM ROWS FROM (evil(), generate_series(1, 2)) t",
        "SELECT 1 FROM a JOIN b ON evil()",
        "SELECT 1 FROM a, LATERAL (SELECT evil()) q",
        "UPDATE t SET (a, b) = (SELECT evil(), 2) WHERE id = 1",
        "UPDATE t SET (a, b) = (evil(), 2) WHERE id = 1",
        "UPDATE t SET a[evil()] = 1 WHERE id = 1",
        "SELECT evil() IN (SELECT 1)",
        "SELECT a[evil():2] FROM t",
        "SELECT XMLSERIALIZE(CONTENT evil() AS text)",
        "SELECT JSON_ARRAY(evil())",
        "SELECT JSON_OBJECT('a': evil())",
        "SELECT * FROM JSON_TABLE(evil(), '$' COLUMNS (a int)) j",
        "SELECT * FROM XMLTABLE('/r' PASSING evil() COLUMNS a int)",
        "WITH m AS (MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET b = evil() \
         RETURNING 1) SELECT 1",
        "CALL p(evil())",
        "SELECT count(*) FILTER (WHERE evil()) FROM t",
        "SELECT sum(a) OVER (PARTITION BY evil()) FROM t",
        "SELECT sum(a) OVER w FROM t WINDOW w AS (ORDER BY evil())",
        "SELECT 1 LIMIT evil()",
        "SELECT 1 FROM t TABLESAMPLE bernoulli (evil())",
        "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = evil() RETURNING 1",
        "DELETE FROM t WHERE id = 1 RETURNING evil()",
        "CREATE TABLE t (a int DEFAULT evil())",
        "CREATE INDEX i ON t (evil(a))",
        "CREATE TRIGGER x AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION evil()",
        "CREATE EVENT TRIGGER x ON ddl_command_start EXECUTE FUNCTION evil()",
        "CREATE OPERATOR # (procedure = evil, leftarg = int, rightarg = int)",
        "CREATE AGGREGATE a (int) (sfunc = evil, stype = int)",
        "CREATE CAST (a AS b) WITH FUNCTION evil(a)",
        "ALTER FUNCTION evil() RENAME TO good",
        "COPY t FROM STDIN WHERE evil()",
        "COPY (SELECT evil()) TO STDOUT",
        "PREPARE p AS SELECT evil()",
        "DECLARE c CURSOR FOR SELECT evil()",
        "EXPLAIN SELECT evil()",
        "CREATE VIEW v AS SELECT evil()",
        "CREATE FUNCTION f() RETURNS int RETURN evil()",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT evil()'",
        "SELECT 'evil'::regproc",
        "SELECT 'evil(int)'::regprocedure",
        "SELECT ('ev' || 'il')::regproc",
        "SELECT U&\"\\0065vil\"()",
        // Attribute notation is a call (seen to read a file on PostgreSQL 15).
        "SELECT ('/etc/hostname'::text).evil",
        "SELECT f.evil FROM unnest(ARRAY['/etc/hostname']) f",
        "SELECT unnest.evil FROM unnest(ARRAY['/etc/hostname'])",
        "SELECT \"coalesce\".evil FROM COALESCE('/etc/hostname'::text, '')",
        "SELECT \"text\".evil FROM CAST('/etc/hostname' AS text)",
        "SELECT \"current_user\".evil FROM current_user",
        "CREATE OPERATOR pg_temp.### (procedure = evil, rightarg = text)",
        "CREATE OPERATOR pg_temp.### (procedure = 'evil', rightarg = text)",
        "CREATE AGGREGATE pg_temp.a (text) (sfunc = 'evil', stype = text)",
    ] {
        let found = functions(text);
        assert!(found.split(' ').any(|name| name == "evil"), "{text}: {found}");
    }
    // Honest twins: a column is no call, a schema-qualified operator of pg_catalog neither.
    assert_eq!(functions("SELECT t.evil FROM t"), "");
    assert_eq!(functions("SELECT e.key, e.value FROM jsonb_each($1) e"), "jsonb_each");
    assert_eq!(functions("SELECT 1 OPERATOR(pg_catalog.+) 2"), "");
    assert_eq!(functions("SELECT 1 OPERATOR(evil.+) 2"), "evil.+");
}

#[test]
fn grammar_forms_that_older_servers_call_are_functions() {
    assert_eq!(
        functions("SELECT json_value(a, '$'), json_query(a, '$'), json_exists(a, '$') FROM t"),
        "json_exists json_query json_value"
    );
    assert_eq!(
        functions("SELECT json_scalar(a), json(a), json_serialize(a) FROM t"),
        "json json_scalar json_serialize"
    );
    assert_eq!(functions("SELECT current_user, session_user, user, now()"), {
        "current_user now session_user user"
    });
}

#[test]
fn texts_that_run_are_read() {
    assert_eq!(
        relations("SELECT query_to_xml('SELECT * FROM s.secret', true, true, '')"),
        "r:s.secret"
    );
    assert_eq!(
        operations("SELECT query_to_xml('DELETE FROM t WHERE id = 1', true, true, '')"),
        "DELETE SELECT"
    );
    assert_eq!(unfiltered("SELECT query_to_xml('DELETE FROM t', true, true, '')"), "DELETE t");
    assert_eq!(relations("SELECT query_to_xml('SELECT ' || x, true, true, '') FROM t"), {
        "unknown:constant"
    });
    assert_eq!(relations("SELECT query_to_xml(query => 'TABLE u', nulls => true)"), "r:u");
    assert_eq!(relations("SELECT * FROM ts_stat('SELECT v FROM docs')"), "r:docs");
    assert_eq!(relations("SELECT ts_rewrite(q, 'SELECT a, b FROM al') FROM t"), "r:al r:t");
    assert_eq!(relations("SELECT table_to_xml('s.t', true, true, '')"), "r:s.t");
    assert_eq!(relations("SELECT table_to_xml(c.oid, true, true, '') FROM pg_class c"), {
        "unknown:constant"
    });
    assert_eq!(relations("SELECT database_to_xml(true, true, '')"), "unknown:constant");
    assert_eq!(relations("SELECT * FROM dblink('dbname=x', 'SELECT * FROM r') AS t(a int)"), {
        "r:?.r"
    });
    assert_eq!(relations("SELECT * FROM dblink('c', $1) AS t(a int)"), "unknown:constant");
    assert_eq!(relations("SELECT * FROM crosstab('SELECT 1, 2, 3 FROM x') AS t(a int)"), "r:x");
    // The inner text may be looked up under the path that the same statement sets.
    assert_eq!(
        relations(
            "SELECT set_config('search_path', 'e', false), query_to_xml('TABLE t', true, true, '')"
        ),
        "unknown:constant"
    );
    // Nested texts end somewhere.
    let nest = (0..9).fold("SELECT 1".to_owned(), |inner, _| {
        format!("SELECT query_to_xml('{}', true, true, '')", inner.replace('\'', "''"))
    });
    assert_eq!(relations(&nest), "unknown:complex");
}

#[test]
fn relations_named_in_text_count() {
    assert_eq!(relations("SELECT 'secret'::regclass"), "r:secret");
    assert_eq!(relations("SELECT regclass 's.\"T\"'"), "r:s.T");
    assert_eq!(relations("SELECT nextval('s.q'), setval('q', 1)"), "w:q w:s.q");
    assert_eq!(relations("SELECT nextval($1)"), "unknown:constant");
    assert_eq!(
        relations("SELECT pg_relation_size('t'), has_table_privilege('bob', 'u', 'select')"),
        { "r:t r:u" }
    );
    assert_eq!(
        relations("SELECT pg_relation_size(c.oid) FROM pg_class c"),
        "r:pg_catalog.pg_class"
    );
    assert_eq!(relations("SELECT pg_get_viewdef('16760')"), "");
    // A cast of a column reveals no rows: every driver does it.
    assert_eq!(relations("SELECT c.oid::regclass FROM pg_class c"), "r:pg_catalog.pg_class");
}

/// Conditions that every row meets, on their face.
const LETS_EVERYTHING_THROUGH: &[&str] = &[
    "",
    "WHERE true",
    "WHERE 1=1",
    "WHERE 1 = 1",
    "WHERE '1'='1'",
    "WHERE 'a'='a'",
    "WHERE 1<>0",
    "WHERE 1 != 0",
    "WHERE NOT FALSE",
    "WHERE 1 > 0",
    "WHERE 1 >= 1",
    "WHERE 0 < 1",
    "WHERE 2=2",
    "WHERE (SELECT 1)=1",
    "WHERE (SELECT TRUE)",
    "WHERE 1 IS NOT NULL",
    "WHERE ''=''",
    "WHERE NULL IS NULL",
    "WHERE 't'::bool",
    "WHERE id = id",
    "WHERE t.id = t.id",
    "WHERE id >= id",
    "WHERE length(email) >= 0",
    "WHERE 0 <= char_length(email)",
    "WHERE abs(id) > -1",
    "WHERE id = 5 OR 1=1",
    "WHERE true OR id = 5",
    "WHERE EXISTS (SELECT 1)",
    "WHERE email LIKE '%'",
    "WHERE email ILIKE '%%'",
    "WHERE email ~ '.*'",
    "WHERE id IS NULL OR id IS NOT NULL",
    "WHERE 1 IN (1, 2)",
    "WHERE 1 = ANY (ARRAY[1])",
    "WHERE NOT (1 = 2)",
    "WHERE 1+1 = 2",
    "WHERE CASE WHEN id = 1 THEN true ELSE true END",
    "WHERE coalesce(true, false)",
    "WHERE 1 BETWEEN 0 AND 2",
    "WHERE (id = 5) IS NOT NULL OR 1 = 1",
    "WHERE lower('A') = 'a'",
    "WHERE now() > '2000-01-01'",
    "WHERE id IN (SELECT id FROM t)",
    "WHERE random() >= 0",
    "WHERE NULL IS NOT DISTINCT FROM NULL",
    "WHERE id = 5 OR upper('a') = 'A'",
    "WHERE (1=1) AND ('b'='b')",
    "WHERE NOT (NOT (true))",
    "WHERE 'x' || 'y' = 'xy'",
    "WHERE EXISTS (SELECT 1 FROM t)",
    "WHERE id = 5 OR NOT false",
    "WHERE 'yes'",
    "WHERE id > 0",
    "WHERE id >= 1",
    "WHERE id IS NOT NULL",
    "WHERE t.id IS NOT NULL",
    "WHERE ctid IS NOT NULL",
    "WHERE id BETWEEN -2147483648 AND 2147483647",
    "WHERE id = ANY (SELECT id FROM t)",
    "WHERE id = 5 OR (SELECT count(*) FROM users) >= 0",
    "WHERE id = 5 OR subject SIMILAR TO '%'",
    "WHERE subject LIKE '%' ESCAPE '!'",
    "-- WHERE id=42",
];

/// Their honest twins.
const FILTERS: &[&str] = &[
    "WHERE id = 5",
    "WHERE id = $1",
    "WHERE id = 5 AND 1=1",
    "WHERE id IN (1, 2)",
    "WHERE deleted_at IS NOT NULL",
    "WHERE other.id IS NOT NULL",
    "WHERE id > 100",
    "WHERE (SELECT count(*) FROM users) > 5",
    "WHERE subject SIMILAR TO 'a%'",
    "WHERE email LIKE '%@example.com'",
    "WHERE false",
    "WHERE 1=0",
    "WHERE length(email) > 5",
    "WHERE id = other",
    "WHERE CURRENT OF c",
    "WHERE active",
    "WHERE EXISTS (SELECT 1 FROM o WHERE o.id = t.id)",
    "WHERE id IN (SELECT id FROM o)",
    "WHERE created_at < now()",
    "WHERE $1 IS NULL OR id = $1",
    "WHERE NOT active",
    "WHERE id BETWEEN 1 AND 9",
    "WHERE id IN (SELECT id FROM t WHERE a = 1)",
    "WHERE email ~ 'x'",
    "WHERE id = 5 OR 1=2",
    "WHERE CASE WHEN a THEN true ELSE false END",
];

#[test]
fn where_must_filter_on_its_face() {
    for condition in LETS_EVERYTHING_THROUGH {
        let text = format!("DELETE FROM t {condition}");
        assert_eq!(unfiltered(&text), "DELETE t", "{text}");
        let text = format!("UPDATE s.t SET a = 1 {condition}");
        if !condition.contains("FROM t") {
            assert_eq!(unfiltered(&text), "UPDATE s.t", "{text}");
        }
    }
    for condition in FILTERS {
        for text in
            [format!("DELETE FROM t {condition}"), format!("UPDATE t SET a = 1 {condition}")]
        {
            let found = facts(&text.replace("CURRENT OF c", "id = 1"));
            assert_eq!(found.unfiltered.known().map(Vec::len), Some(0), "{text}");
        }
    }
}

#[test]
fn an_update_that_wipes_a_column_has_no_where() {
    for text in [
        "UPDATE t SET price = price * 0 WHERE price IS NOT NULL",
        "UPDATE t SET token = NULL WHERE t.token IS NOT NULL",
        "UPDATE t SET name = 'x' WHERE name IS NOT NULL",
    ] {
        assert_eq!(unfiltered(text), "UPDATE t", "{text}");
    }
    for text in [
        "UPDATE t SET name = lower(name) WHERE name IS NOT NULL",
        "UPDATE t SET archived = true WHERE deleted_at IS NOT NULL",
        "UPDATE t SET token = NULL WHERE token IS NOT NULL AND seen < now()",
        "UPDATE t SET name = 'x' WHERE name IS NULL",
    ] {
        assert_eq!(unfiltered(text), "", "{text}");
    }
}

#[test]
fn each_statement_has_its_own_where() {
    let cases = [
        ("WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d WHERE id = 1", "DELETE t"),
        ("WITH d AS (SELECT 1 WHERE true) DELETE FROM t WHERE id = 1", ""),
        ("WITH d AS (SELECT * FROM x WHERE id = 1) DELETE FROM t", "DELETE t"),
        ("DELETE FROM t RETURNING (SELECT count(*) FILTER (WHERE true) FROM x WHERE a = 1)", {
            "DELETE t"
        }),
        ("EXPLAIN ANALYZE DELETE FROM t", "DELETE t"),
        ("EXPLAIN DELETE FROM t", ""),
        ("PREPARE p AS DELETE FROM t", "DELETE t"),
        ("COPY (DELETE FROM t RETURNING 1) TO STDOUT", "DELETE t"),
        ("CREATE RULE r AS ON INSERT TO a DO INSTEAD DELETE FROM t", "DELETE t"),
        ("MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN DELETE", ""),
        ("MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE", "DELETE t"),
        ("MERGE INTO t USING s ON true WHEN MATCHED AND s.a = 1 THEN DELETE", ""),
        ("MERGE INTO t USING s ON t.id = s.id WHEN NOT MATCHED BY SOURCE THEN DELETE", "DELETE t"),
        (
            "MERGE INTO t USING s ON t.id = s.id WHEN NOT MATCHED BY SOURCE AND a = 1 THEN DELETE",
            "",
        ),
        ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 1", ""),
    ];
    for (text, expected) in cases {
        assert_eq!(unfiltered(text), expected, "{text}");
    }
}

#[test]
fn a_condition_too_deep_to_read_is_unknown() {
    let text = format!("DELETE FROM t WHERE {}true", "NOT ".repeat(300));
    assert_eq!(unfiltered(&text), "unknown:complex");
}

#[test]
fn every_spelling_of_set_is_one_setting() {
    let cases = [
        ("SET TIME ZONE 'UTC'", "Session timezone=UTC"),
        ("SET NAMES 'SJIS'", "Session client_encoding=SJIS"),
        ("SET SCHEMA 'evil'", "Session search_path=evil"),
        ("SET search_path TO a, b", "Session search_path=a,b"),
        ("SET \"SEARCH_PATH\" = a", "Session search_path=a"),
        ("SET LOCAL x.tenant = 7", "Local x.tenant=7"),
        ("SET ROLE bob", "Session role=bob"),
        ("SET SESSION AUTHORIZATION bob", "Session session_authorization=bob"),
        ("RESET ROLE", "Reset role=DEFAULT"),
        ("SET SESSION AUTHORIZATION DEFAULT", "Reset session_authorization=DEFAULT"),
        ("SET statement_timeout TO DEFAULT", "Reset statement_timeout=DEFAULT"),
        ("RESET ALL", "ResetAll all=DEFAULT"),
        ("DISCARD ALL", "ResetAll all=DEFAULT"),
        ("SET XML OPTION DOCUMENT", "Session xmloption=DOCUMENT"),
        ("SET TRANSACTION READ WRITE", "Local transaction_read_only=off"),
        ("BEGIN READ ONLY", "Local transaction_read_only=on"),
        ("START TRANSACTION ISOLATION LEVEL SERIALIZABLE", {
            "Local transaction_isolation=serializable"
        }),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", {
            "Session default_transaction_read_only=off"
        }),
        ("SELECT set_config('Search_Path', 'e', true)", "Local search_path=e"),
        ("SELECT set_config('a' || 'b', 'e', false)", "Session *=e"),
        ("SELECT set_config('role', current_user, false)", "Session role=?"),
        ("SELECT query_to_xml($$SELECT set_config('role', 'x', true)$$, true, true, '')", {
            "Local role=x"
        }),
        ("UPDATE pg_settings SET setting = 'x' WHERE name = 'role'", "Session *=?"),
        ("ALTER ROLE bob SET search_path = e", "Stored search_path=e"),
        ("ALTER DATABASE d RESET ALL", "Stored all=DEFAULT"),
        ("ALTER SYSTEM SET work_mem = '1MB'", "Stored work_mem=1MB"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql SET role = x RETURN 1", "Stored role=x"),
        ("ALTER FUNCTION f() SET role = x", "Stored role=x"),
        ("SELECT current_setting('role')", ""),
    ];
    for (text, expected) in cases {
        assert_eq!(settings(text), expected, "{text}");
    }
    assert_eq!(operations("SET ROLE bob"), "SET_ROLE");
    assert_eq!(operations("SET LOCAL \"ROLE\" = 'bob'"), "SET_ROLE");
    assert_eq!(operations("RESET session_authorization"), "SET_ROLE");
    assert_eq!(operations("SET roles = 1"), "SET");
}

#[test]
fn what_wraps_a_statement_does_not_hide_it() {
    let cases = [
        ("COPY (DELETE FROM t WHERE a = 1 RETURNING *) TO STDOUT", "COPY DELETE"),
        ("EXPLAIN (ANALYZE) DELETE FROM t", "DELETE EXPLAIN"),
        ("EXPLAIN (ANALYZE 1) DELETE FROM t", "DELETE EXPLAIN"),
        ("EXPLAIN (ANALYZE off) DELETE FROM t", "EXPLAIN"),
        ("EXPLAIN (ANALYZE off, ANALYZE on) DELETE FROM t", "DELETE EXPLAIN"),
        ("EXPLAIN SELECT 1", "EXPLAIN"),
        ("SELECT 1 INTO x", "CREATE SELECT"),
        ("CREATE TABLE x AS SELECT 1", "CREATE SELECT"),
        ("PREPARE p AS DELETE FROM t", "DELETE PREPARE"),
        ("DECLARE c CURSOR FOR SELECT 1", "DECLARE_CURSOR SELECT"),
        ("WITH a AS (INSERT INTO t VALUES (1) RETURNING 1) SELECT 1", "INSERT SELECT"),
        ("INSERT INTO t VALUES (1)", "INSERT"),
        ("INSERT INTO t SELECT * FROM u", "INSERT SELECT"),
        ("MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE", "DELETE MERGE"),
        ("CREATE SCHEMA s CREATE TABLE t (a int) GRANT SELECT ON t TO bob", "CREATE GRANT"),
        ("REVOKE SELECT ON t FROM bob", "REVOKE"),
        ("REVOKE bob FROM al", "REVOKE"),
        ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO bob", "ALTER_DEFAULT_PRIVILEGES"),
        ("CREATE FOREIGN TABLE f (a int) SERVER s", "CREATE"),
        ("DO 'begin end'", "unknown:code"),
    ];
    for (text, expected) in cases {
        assert_eq!(operations(text), expected, "{text}");
    }
}

#[test]
fn a_renamed_or_related_table_is_named() {
    let cases = [
        ("ALTER TABLE a RENAME TO b", "d:a d:b"),
        ("ALTER TABLE s.a SET SCHEMA t", "d:s.a"),
        ("CREATE TABLE a (LIKE b, c int REFERENCES d) INHERITS (e)", "d:a d:e r:b r:d"),
        ("CREATE TABLE a PARTITION OF b DEFAULT", "d:a d:b"),
        ("ALTER TABLE a ATTACH PARTITION b DEFAULT", "d:a d:b"),
        ("ALTER TABLE a INHERIT b", "d:a d:b"),
        ("CREATE VIEW v AS SELECT * FROM a", "d:v r:a"),
        ("CREATE MATERIALIZED VIEW v AS SELECT * FROM a", "d:v r:a"),
        ("REFRESH MATERIALIZED VIEW v", "w:v"),
        ("TRUNCATE a, s.b", "w:a w:s.b"),
        ("LOCK TABLE a", "w:a"),
        ("DROP VIEW a, s.b", "d:a d:s.b"),
        ("DROP POLICY p ON a", "d:a"),
        ("DROP FUNCTION f()", ""),
        ("DROP SCHEMA s", ""),
        ("DROP SCHEMA s CASCADE", "unknown:statement"),
        ("DROP OWNED BY bob", "unknown:statement"),
        ("COMMENT ON TABLE a IS 'x'", "d:a"),
        ("COMMENT ON COLUMN s.a.c IS 'x'", "d:s.a"),
        ("COMMENT ON CONSTRAINT c ON a IS 'x'", "d:a"),
        ("COMMENT ON SCHEMA s IS 'x'", ""),
        ("GRANT SELECT ON a, s.b TO bob", "d:a d:s.b"),
        ("GRANT SELECT ON ALL TABLES IN SCHEMA s TO bob", "unknown:statement"),
        ("GRANT USAGE ON SCHEMA s TO bob", ""),
        ("VACUUM a", "w:a"),
        ("ANALYZE", "unknown:statement"),
        ("REINDEX DATABASE d", "unknown:statement"),
        ("REINDEX TABLE a", "w:a"),
        ("CLUSTER a USING i", "w:a"),
        ("CREATE INDEX i ON a (b)", "d:a"),
        ("CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION f()", "d:a"),
        ("CREATE POLICY p ON a USING (EXISTS (SELECT 1 FROM b))", "d:a r:b"),
        ("CREATE RULE r AS ON INSERT TO a DO INSTEAD INSERT INTO b VALUES (1)", "d:a w:b"),
        ("CREATE SEQUENCE q OWNED BY s.a.id", "d:q d:s.a"),
        ("CREATE PUBLICATION p FOR TABLE a", "r:a"),
        ("CREATE PUBLICATION p FOR ALL TABLES", "unknown:statement"),
        ("CREATE PUBLICATION p FOR TABLES IN SCHEMA s", "unknown:statement"),
        ("IMPORT FOREIGN SCHEMA s FROM SERVER x INTO y", "unknown:statement"),
        ("COPY a FROM STDIN", "w:a"),
        ("COPY a TO STDOUT", "r:a"),
        ("TABLE a", "r:a"),
        ("SELECT * FROM (a CROSS JOIN s.b)", "r:a r:s.b"),
        ("SELECT * FROM a FOR UPDATE", "r:a w:a"),
        ("SELECT * FROM (SELECT * FROM a) q FOR SHARE", "r:a w:a"),
        ("UPDATE a SET x = 1 FROM b WHERE a.i = b.i", "r:b w:a"),
        ("MERGE INTO a USING b ON a.i = b.i WHEN MATCHED THEN DO NOTHING", "r:b w:a"),
        ("EXPLAIN DELETE FROM a", "r:a"),
        ("SET CONSTRAINTS a DEFERRED", ""),
        ("CREATE FUNCTION f(x a.b%TYPE) RETURNS int RETURN 1", "r:a"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS ''", "unknown:code"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM a'", "r:?.a"),
    ];
    for (text, expected) in cases {
        assert_eq!(relations(text), expected, "{text}");
    }
}

#[test]
fn a_reader_of_text_behind_another_name_is_opaque() {
    for text in [
        "SELECT \"coalesce\".ts_stat FROM COALESCE('select a from users'::text, '')",
        "CREATE OPERATOR pg_temp.### (procedure = ts_stat, rightarg = text)",
        "CREATE OPERATOR pg_temp.### (procedure = 'ts_stat', rightarg = text)",
        "CREATE CAST (text AS ct) WITH FUNCTION ts_stat(text)",
    ] {
        assert_eq!(relations(text), "unknown:constant", "{text}");
    }
}
