//! Without a catalog: what every PostgreSQL has is known, what may be somebody's is not
//! (docs/decisions/0014-names-without-a-catalog.md).

use model::{CallUse, Fact, SqlFacts, Unknown};
use sql::{BareNames, Context, Known};

use crate::common::context;

/// A session without a catalog.
struct Session {
    paths: Vec<Vec<String>>,
    bare_names: BareNames,
    server_major: Option<u16>,
}

fn session(path: &[&str]) -> Session {
    let path = path.iter().map(|schema| (*schema).to_owned()).collect();
    Session { paths: vec![path], bare_names: BareNames::Any, server_major: Some(17) }
}

impl Session {
    fn trusting(self) -> Self {
        Self { bare_names: BareNames::BuiltIn, ..self }
    }

    fn of(self, major: u16) -> Self {
        Self { server_major: Some(major), ..self }
    }

    fn analyze(&self, text: &str) -> Vec<SqlFacts> {
        let context = Context {
            server_major: self.server_major,
            catalog: Known::BuiltIn(self.bare_names),
            ..context(&self.paths)
        };
        let analysis = sql::analyze(text.as_bytes(), &context);
        assert!(analysis.is_ok(), "{text}: {:?}", analysis.error());
        let facts = |one: &sql::Statement| one.facts(&|_, _| None).into_owned();
        analysis.statements().iter().map(facts).collect()
    }

    fn facts(&self, text: &str) -> SqlFacts {
        self.analyze(text).pop().unwrap()
    }

    /// `schema.name` of each call, or `unknown`.
    fn calls(&self, text: &str) -> String {
        let name = |call: &CallUse| match call.schema.as_str() {
            "pg_catalog" => call.name.to_string(),
            schema => format!("{schema}.{}", call.name),
        };
        match self.facts(text).calls {
            Fact::Known(calls) => calls.iter().map(name).collect::<Vec<_>>().join(" "),
            Fact::Unknown(why) => {
                assert_eq!(why, Unknown::NoCatalog, "{text}");
                "unknown".to_owned()
            }
        }
    }

    /// `relation.column` of each use, `*` before what is reached, or `unknown`.
    fn columns(&self, text: &str) -> String {
        let Fact::Known(columns) = self.facts(text).columns else { return "unknown".to_owned() };
        let named = columns.iter().filter_map(|used| {
            let mark = if used.reached { "*" } else { "" };
            Some(format!("{mark}{}.{}", used.relation, used.column.as_deref()?))
        });
        named.collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn a_bare_call_may_be_of_anybodys_function() {
    let public = session(&["public"]);
    for (evasion, twin, calls) in [
        ("SELECT lower(name) FROM t", "SELECT pg_catalog.lower(name) FROM t", "lower"),
        ("SELECT count(id) FROM t", "SELECT count(*) FROM t", "count"),
        ("SELECT now(1)", "SELECT now()", "now"),
        (
            "SELECT rank() WITHIN GROUP (ORDER BY a) FROM t",
            "SELECT rank() OVER (ORDER BY a) FROM t",
            "rank",
        ),
        ("SELECT * FROM t WHERE a = 1", "SELECT * FROM t WHERE a OPERATOR(pg_catalog.=) 1", ""),
        ("SELECT * FROM t WHERE a BETWEEN 1 AND 2", "SELECT * FROM t WHERE a IS NULL", ""),
        ("SELECT * FROM t WHERE a IN (SELECT 1)", "SELECT * FROM t WHERE EXISTS (SELECT 1)", ""),
        ("SELECT CASE a WHEN 1 THEN 2 END FROM t", "SELECT CASE WHEN a THEN 2 END FROM t", ""),
        ("SELECT * FROM t JOIN u USING (a)", "SELECT * FROM t JOIN u ON t.* IS NULL", ""),
        ("SELECT * FROM t NATURAL JOIN u", "SELECT * FROM t CROSS JOIN u", ""),
        ("SELECT name::text FROM t", "SELECT '1'::text FROM t", ""),
        ("SELECT CAST(name AS varchar) FROM t", "SELECT CAST('x' AS varchar(3))", ""),
        ("SELECT '1'::mine", "SELECT '1'::int", ""),
        ("SELECT '1'::public.text", "SELECT '1'::text::pg_catalog.varchar", ""),
        ("SELECT '1'::mine::text", "SELECT '1'::int::text", ""),
        ("SELECT t.name FROM t", "SELECT name FROM t", ""),
        (
            "SELECT (f.x).name FROM (SELECT t FROM t) f(x)",
            "SELECT x FROM (SELECT t FROM t) f(x)",
            "",
        ),
        (
            "SELECT * FROM generate_series(1, 2)",
            "SELECT * FROM pg_catalog.generate_series(1, 2)",
            "generate_series",
        ),
        (
            "SELECT * FROM pg_catalog.json_to_record('{}') AS x(a mine)",
            "SELECT * FROM pg_catalog.json_to_record('{}') AS x(a int)",
            "json_to_record",
        ),
        (
            "SELECT * FROM XMLTABLE('/a' PASSING '<a/>' COLUMNS b mine)",
            "SELECT * FROM XMLTABLE('/a' PASSING '<a/>' COLUMNS b int)",
            "",
        ),
        ("SELECT * FROM t TABLESAMPLE mine(1)", "SELECT * FROM t TABLESAMPLE system(1)", ""),
        ("SELECT * FROM t ORDER BY a USING <", "SELECT * FROM t ORDER BY a DESC", ""),
        ("SELECT app.lower(name) FROM t", "SELECT a, b FROM t", ""),
        ("SELECT pg_catalog.mine(1)", "SELECT pg_catalog.abs(1)", "abs"),
        ("UPDATE t SET a = a + 1", "UPDATE t SET a = 1 WHERE b IS NULL", ""),
        ("INSERT INTO t VALUES (f(1))", "INSERT INTO t (a) VALUES (1), (now())", "now"),
        ("COPY (SELECT f(a) FROM t) TO STDOUT", "COPY t TO STDOUT", ""),
        ("EXPLAIN SELECT f(1)", "EXPLAIN SELECT * FROM t", ""),
        ("SELECT query_to_xml('select f(1)', true, true, '')", "SET work_mem = '1MB'", ""),
        ("CALL f()", "SHOW work_mem", ""),
        ("CREATE INDEX ON t (f(a))", "LISTEN x", ""),
        ("EXECUTE p(f(1))", "DECLARE c CURSOR FOR SELECT current_date", "current_date"),
    ] {
        assert_eq!(public.calls(evasion), "unknown", "{evasion}");
        assert_eq!(public.calls(twin), calls, "{twin}");
    }
}

#[test]
fn a_path_of_pg_catalog_alone_leaves_no_choice() {
    for path in [&[][..], &["pg_catalog"], &["pg_catalog", "pg_temp"], &["pg_temp"]] {
        let alone = session(path);
        let text = "SELECT upper(a) FROM public.t WHERE a = 'x' AND b BETWEEN 1 AND 2";
        assert_eq!(alone.calls(text), "upper", "{path:?}");
        assert_eq!(alone.calls("SELECT mine(a) FROM public.t"), "unknown");
        assert_eq!(alone.calls("SELECT t.a FROM public.t"), "");
        // Casts belong to no schema.
        assert_eq!(alone.calls("SELECT a::text FROM public.t"), "unknown");
    }
    let twice = Session {
        paths: vec![vec!["pg_catalog".to_owned()], vec!["public".to_owned()]],
        ..session(&[])
    };
    assert_eq!(twice.calls("SELECT upper(a) FROM public.t"), "unknown");
    // Before `pg_catalog` even a call without arguments is anybody's.
    let behind = session(&["app", "pg_catalog"]);
    assert_eq!(behind.calls("SELECT now()"), "unknown");
    assert_eq!(behind.calls("SELECT '1'::text"), "unknown");
    assert_eq!(behind.calls("SELECT pg_catalog.now()"), "now");
    let unknown = [Vec::new()];
    let context = Context {
        search_paths: sql::SearchPaths::Unknown,
        catalog: Known::BuiltIn(BareNames::Any),
        ..context(&unknown)
    };
    for (text, known) in [("SELECT now()", false), ("SELECT pg_catalog.now()", true)] {
        let analysis = sql::analyze(text.as_bytes(), &context);
        let calls = &analysis.statements()[0].facts(&|_, _| None).calls.clone();
        assert_eq!(!calls.is_unknown(), known, "{text}");
    }
}

#[test]
fn a_policy_may_vouch_for_bare_names() {
    let vouched = session(&["$user", "public"]).trusting();
    for (text, calls) in [
        ("SELECT lower(name) FROM t WHERE id = 1", "lower"),
        ("SELECT t.name::text, u.id + 1 FROM t JOIN u USING (id) GROUP BY 1", ""),
        ("SELECT CASE a WHEN 1 THEN max(b) END FROM t WHERE c IN (SELECT d FROM u)", "max"),
        ("UPDATE t SET a = coalesce(a, 0) + length(b) RETURNING *", "length"),
        // What is not PostgreSQL's own may be anybody's all the same.
        ("SELECT mine(name) FROM t", "unknown"),
        ("SELECT public.lower(name) FROM t", "unknown"),
        ("SELECT a <~> b FROM t", "unknown"),
        ("SELECT a OPERATOR(public.=) b FROM t", "unknown"),
        ("SELECT a::mine FROM t", "unknown"),
        ("SELECT a::t.b%TYPE FROM t", "unknown"),
        ("CREATE TABLE x (a int DEFAULT 1)", "unknown"),
        // A dot may be a call of a function that takes a row.
        ("SELECT t.to_jsonb FROM t", "to_jsonb"),
        ("SELECT (x.r).row_to_json FROM (SELECT t FROM t) x(r)", "row_to_json"),
        ("SELECT t.length, t.name FROM t", ""),
    ] {
        assert_eq!(vouched.calls(text), calls, "{text}");
    }
    let behind = session(&["app", "pg_catalog"]).trusting();
    assert_eq!(behind.calls("SELECT lower(name) FROM t"), "unknown");
}

#[test]
fn a_definition_ends_the_trust() {
    let vouched = session(&["public"]).trusting();
    let call = "SELECT lower(name) FROM t";
    for (before, after) in [
        ("SELECT 1", "lower"),
        ("CREATE FUNCTION lower(varchar) RETURNS text LANGUAGE sql AS 'SELECT 1'", "unknown"),
        ("CREATE TEMP TABLE text (a int)", "unknown"),
        ("DO $$ $$", "unknown"),
    ] {
        assert_eq!(vouched.calls(&format!("{before}; {call}")), after, "{before}");
    }
    // What was prepared before may be planned again.
    let text = "PREPARE p AS SELECT now(); CREATE TABLE x (a int); EXECUTE p";
    let calls = &vouched.facts(text).calls;
    assert!(matches!(calls, Fact::Unknown(Unknown::StaleCatalog)), "{calls:?}");
    assert_eq!(vouched.calls("PREPARE p AS SELECT now(); SELECT 1; EXECUTE p"), "now");
    let made = |path: &[&str]| {
        session(path).trusting().calls("CREATE TEMP TABLE text (a int); SELECT '1'::text")
    };
    assert_eq!(made(&["public"]), "unknown");
    assert_eq!(made(&["public", "pg_temp"]), "");
}

#[test]
fn system_relations_have_columns_and_others_have_none() {
    let public = session(&["public"]);
    for (text, columns) in [
        ("SELECT relname FROM pg_class", "pg_class.relname"),
        ("SELECT 1", ""),
        ("SELECT email FROM users", "unknown"),
        ("SELECT relname FROM pg_class, users", "unknown"),
        ("SELECT relname FROM public.pg_class", "unknown"),
        ("SELECT tables FROM tables", "unknown"),
        ("WITH users AS (SELECT oid FROM pg_class) SELECT oid FROM users", "pg_class.oid"),
        ("SELECT nosuch FROM pg_class", "unknown"),
        ("SELECT 'users'::regclass", "unknown"),
    ] {
        assert_eq!(public.columns(text), columns, "{text}");
    }
    let shadow = public.columns("SELECT passwd FROM pg_shadow");
    assert!(shadow.contains("pg_shadow.passwd"), "{shadow}");
    assert!(shadow.contains("*pg_authid.rolpassword"), "{shadow}");
    let names = public.columns("SELECT table_name FROM information_schema.tables");
    assert!(names.contains("tables.table_name") && names.contains("*pg_class.relname"), "{names}");
    assert!(!session(&["information_schema"]).columns("SELECT table_name FROM tables").is_empty());
    assert_eq!(session(&["app", "pg_catalog"]).columns("SELECT relname FROM pg_class"), "unknown");
    // Of a version that has it.
    let io = "SELECT backend_type FROM pg_stat_io";
    assert_eq!(session(&["public"]).of(15).columns(io), "unknown");
    assert!(session(&["public"]).of(16).columns(io).contains("pg_stat_io.backend_type"));
}

#[test]
fn statements_on_unknown_relations_do_not_fail_to_be_read() {
    let vouched = session(&["public"]).trusting();
    for (text, calls) in [
        ("INSERT INTO t SELECT * FROM u ON CONFLICT (a) DO UPDATE SET b = excluded.b", ""),
        ("INSERT INTO t (a) VALUES (1) RETURNING t.a, t.*", ""),
        ("UPDATE public.t x SET a = u.a FROM u WHERE x.id = u.id RETURNING x.a", ""),
        ("DELETE FROM t USING u WHERE public.t.id = u.id", ""),
        (
            "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN UPDATE SET a = upper(u.a) \
             WHEN NOT MATCHED THEN INSERT (a) VALUES (u.a)",
            "upper",
        ),
        ("SELECT x.c FROM t AS x (c) LEFT JOIN LATERAL (SELECT x.c) y ON true FOR UPDATE", ""),
        ("TABLE t", ""),
        ("SELECT t FROM t ORDER BY t", ""),
        ("COPY t (a, b) FROM STDIN", ""),
        (
            "WITH RECURSIVE r AS (SELECT a FROM t UNION SELECT a + 1 FROM r) SELECT sum(a) FROM r",
            "sum",
        ),
    ] {
        assert_eq!(vouched.calls(text), calls, "{text}");
        assert_eq!(vouched.columns(text), "unknown", "{text}");
    }
}

#[test]
fn an_unknown_server_has_nothing_built_in() {
    for server_major in [None, Some(13), Some(19)] {
        let other = Session { server_major, ..session(&[]) };
        assert_eq!(other.calls("SELECT pg_catalog.now()"), "unknown");
        assert_eq!(other.columns("SELECT relname FROM pg_catalog.pg_class"), "unknown");
    }
}

#[test]
fn forms_newer_than_the_server_are_calls() {
    for (since, form, name) in [
        (16, "json_array(1, 2)", "json_array"),
        (16, "json_array()", "json_array"),
        (16, "json_arrayagg(1)", "json_arrayagg"),
        (16, "json_object()", "json_object"),
        (16, "json_object('{a,b}')", "json_object"),
        (16, "json_objectagg('a': 1)", "json_objectagg"),
        (17, "json('1')", "json"),
        (17, "json_scalar(1)", "json_scalar"),
        (17, "json_serialize('1')", "json_serialize"),
        (17, "json_exists('1', '$')", "json_exists"),
        (17, "json_value('1', '$')", "json_value"),
        (17, "json_query('1', '$')", "json_query"),
        (17, "merge_action()", "merge_action"),
    ] {
        let text = format!("SELECT {form}");
        let calls = |major| session(&["public"]).of(major).calls(&text);
        let known = |major| calls(major) != "unknown";
        assert!(!known(since - 1) && !known(14), "{form}: {}", calls(since - 1));
        assert!(known(since) && known(18), "{form}");
        for major in [14, 18] {
            let facts = session(&["public"]).of(major).facts(&text);
            let functions = facts.functions.known().unwrap();
            let bare = functions.iter().any(|used| used.schema.is_none() && used.name == name);
            assert!(bare || (form == "json_object('{a,b}')" && major == 18), "{form} {major}");
        }
    }
    // Even where the policy vouches for PostgreSQL's own names, this is none of them.
    let vouched = session(&["public"]).trusting();
    assert_eq!(vouched.calls("SELECT json_value('1', '$')"), "");
    assert_eq!(vouched.of(16).calls("SELECT json_value('1', '$')"), "unknown");
    // In FROM, its columns are whatever that function yields.
    let from = "SELECT x.a FROM json_value('1', '$') x WHERE x.b IS NULL";
    assert_eq!(session(&["public"]).of(16).columns(from), "");
}

#[test]
fn a_word_newer_than_the_server_is_a_column_or_a_type() {
    let text = "SELECT system_user FROM pg_class";
    assert_eq!(session(&["public"]).of(16).columns(text), "");
    assert_eq!(session(&["public"]).of(15).columns(text), "unknown");
    // Since 17 `json` is a word of the grammar; before, a schema of the path may have such a type.
    let behind = |major| session(&["app", "pg_catalog"]).of(major).calls("SELECT '1'::json");
    assert_eq!((behind(16).as_str(), behind(17).as_str()), ("unknown", ""));
}
