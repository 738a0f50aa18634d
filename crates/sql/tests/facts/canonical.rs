//! One form for what differs on the surface and in values, another for everything else.

use crate::common::{analyze, context};

fn form(text: &str) -> String {
    let analysis = analyze(text);
    assert!(analysis.is_ok(), "{text}: {:?}", analysis.error());
    analysis.statements()[0].canonical_form().unwrap().to_owned()
}

#[test]
fn what_differs_on_the_surface_has_one_form() {
    for (one, others) in [
        (
            "SELECT a, b FROM t WHERE id = 5",
            &[
                "select A,b\n  from T where ID=7",
                "SELECT a, b /* x */ FROM t -- y\nWHERE id = 5;",
                "SELECT \"a\", b FROM \"t\" WHERE \"id\" = 12345678901234567890",
                "SELECT a, b FROM t WHERE id = 0x10",
            ][..],
        ),
        (
            "SELECT a FROM t WHERE b = 'x'",
            &["SELECT a FROM t WHERE b = E'\\n'", "SELECT a FROM t WHERE b = $$y$$"],
        ),
        (
            "SELECT a FROM t WHERE b IN (1, 2)",
            &["SELECT a FROM t WHERE b IN (3)", "SELECT a FROM t WHERE b in (1,2,3,4)"],
        ),
        (
            "SELECT a FROM t WHERE b = ANY (ARRAY[1])",
            &["SELECT a FROM t WHERE b = ANY (ARRAY[1, 2, 3])"],
        ),
        (
            "INSERT INTO t (a, b) VALUES (1, 'x')",
            &["INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y'), (3, 'z')"],
        ),
        ("SELECT a FROM t LIMIT 20", &["SELECT a FROM t LIMIT 99"]),
        ("UPDATE t SET a = 1 WHERE id = 2", &["update t set a=3 where id=4"]),
    ] {
        for other in others {
            assert_eq!(form(one), form(other), "{one}\n{other}");
        }
    }
}

#[test]
fn what_decides_something_has_a_form_of_its_own() {
    for pair in [
        ["SELECT a FROM t", "SELECT a FROM s.t"],
        ["SELECT a FROM t", "SELECT a FROM u"],
        ["SELECT a FROM t", "SELECT b FROM t"],
        ["SELECT a FROM t", "SELECT \"A\" FROM t"],
        ["SELECT \"user\" FROM t", "SELECT user FROM t"],
        ["SELECT a FROM t WHERE b = 1", "SELECT a FROM t WHERE b <> 1"],
        ["SELECT a FROM t WHERE b < 1", "SELECT a FROM t WHERE b <= 1"],
        ["SELECT a FROM t WHERE b", "SELECT a FROM t WHERE NOT b"],
        ["SELECT a FROM t WHERE b = true", "SELECT a FROM t WHERE b = false"],
        ["SELECT a FROM t WHERE b = 't'::bool", "SELECT a FROM t WHERE b = 'f'::bool"],
        ["SELECT a FROM t WHERE 1 = 2", "SELECT a FROM t WHERE 1 = 1"],
        ["SELECT a FROM t LIMIT 10", "SELECT a FROM t LIMIT 10000"],
        ["SELECT a FROM t LIMIT 10", "SELECT a FROM t LIMIT ALL"],
        ["SELECT a FROM t LIMIT 10", "SELECT a FROM t"],
        ["SELECT a, b FROM t ORDER BY 1", "SELECT a, b FROM t ORDER BY 2"],
        ["SELECT f(1)", "SELECT f(1, 2)"],
        ["SELECT 'a'::regclass", "SELECT 'b'::regclass"],
        ["SELECT table_to_xml('a', true, true, '')", "SELECT table_to_xml('b', true, true, '')"],
        [
            "SELECT query_to_xml('SELECT 1', true, true, '')",
            "SELECT query_to_xml('TABLE t', true, true, '')",
        ],
        ["SELECT d->>'email' FROM t", "SELECT d->>'name' FROM t"],
        ["SELECT a::varchar(1) FROM t", "SELECT a::varchar(2) FROM t"],
        ["SET statement_timeout = 1", "SET statement_timeout = 0"],
        ["SELECT set_config('a.b', '1', true)", "SELECT set_config('a.b', '2', true)"],
        ["COPY t TO '/a'", "COPY t TO '/b'"],
        ["EXPLAIN (ANALYZE 0) SELECT 1", "EXPLAIN (ANALYZE 1) SELECT 1"],
        ["CREATE TABLE t (a int DEFAULT 1)", "CREATE TABLE t (a int DEFAULT 2)"],
        ["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1, 2)"],
        ["SELECT a FROM t WHERE (b, c) IN ((1, 2))", "SELECT a FROM t WHERE b IN (1, 2)"],
        ["WITH t AS (SELECT 1) SELECT * FROM t", "SELECT * FROM t"],
    ] {
        assert_ne!(form(pair[0]), form(pair[1]), "{pair:?}");
    }
}

#[test]
fn a_name_stands_with_where_it_may_live() {
    assert_eq!(form("SELECT a FROM t"), "select a from {app,public}.t");
    assert_eq!(form("SELECT a FROM app.t WHERE b = 'x'"), "select a from app . t where b = '?'");
    let paths = [vec!["other".to_owned()]];
    let elsewhere = sql::analyze(b"SELECT a FROM t", &context(&paths));
    assert_ne!(elsewhere.statements()[0].canonical_form(), Some(form("SELECT a FROM t").as_str()));
}

#[test]
fn a_tenant_bears_meaning_where_the_policy_names_its_column() {
    let paths = [vec!["public".to_owned()]];
    let context = sql::Context { tenant_column: Some("tenant_id"), ..context(&paths) };
    let digest = |text: &str| {
        let analysis = sql::analyze(text.as_bytes(), &context);
        analysis.statements()[0].facts(&|_, _| None).digest.clone().unwrap()
    };
    let [one, two] = ["1", "2"]
        .map(|id| digest(&format!("SELECT a FROM t WHERE tenant_id = {id} AND b = {id}")));
    assert_ne!(one, two);
    assert_eq!(one, digest("SELECT a FROM t WHERE tenant_id = 1 AND b = 9"));
    assert!(one.starts_with("c1:") && one.len() == 35, "{one}");
    assert!(sql::analyze(b"SELEC", &context).statements()[0].canonical_form().is_none());
}
