//! How statements are built: each evasion beside an honest twin.

use model::{Heavy, Operand, RowLimit, Shape};

use crate::common::{context, facts};

fn shape(text: &str) -> Shape {
    facts(text).shape.known().unwrap_or_else(|| panic!("{text}: no shape")).clone()
}

/// Those that have the mark and should not, or the other way round.
fn wrong<'t>(mark: Mark, wanted: bool, texts: &[&'t str]) -> Vec<&'t str> {
    texts.iter().copied().filter(|text| mark(&shape(text)) != wanted).collect()
}

type Mark = fn(&Shape) -> bool;
const STAR: Mark = |shape| shape.star;
const NO_WHERE: Mark = |shape| shape.no_where;
const TAUTOLOGY: Mark = |shape| shape.tautology;
const SET_OPERATION: Mark = |shape| shape.set_operation;
const COMMENT: Mark = |shape| shape.comment;
const RANDOM_ORDER: Mark = |shape| shape.random_order;

fn marked(mark: Mark, texts: &[&str]) {
    assert_eq!(wrong(mark, true, texts), [""; 0], "it is missing");
}

fn unmarked(mark: Mark, texts: &[&str]) {
    assert_eq!(wrong(mark, false, texts), [""; 0], "it is not theirs");
}

/// Conditions that let every row through.
const ALWAYS: &[&str] = &[
    "1=1",
    "TRUE",
    "country = country",
    "1<2",
    "2>1",
    "1<>2",
    "1 != 0",
    "id IS NOT NULL",
    "id BETWEEN -2147483648 AND 2147483647",
    "id > 0",
    "CASE WHEN TRUE THEN TRUE ELSE FALSE END",
    "CASE WHEN 1=1 THEN 1 ELSE 0 END = 1",
    "random() >= 0",
    "name LIKE '%'",
    "name LIKE '%%'",
    "name ILIKE '%'",
    "name SIMILAR TO '%'",
    "1 = (SELECT 1)",
    "COALESCE(name,'x') = COALESCE(name,'x')",
    "COALESCE(NULL, TRUE)",
    "2>1 AND 1=1",
    "id = id + 0",
    "id + 0 = id",
    "id = 5 OR 2>1",
    "NOT 1=0",
    "'t'::boolean",
    "'1'='1'",
    "1=01",
    "id >= id",
    "(id,name) = (id,name)",
    "m.id = id",
    "1 IN (1,2,3)",
    "1 BETWEEN 0 AND 2",
    "TRUE = TRUE",
    "TRUE IS TRUE",
    "country = 'US' OR country <> 'US'",
    "a < 5 OR a >= 5",
    "a <= 5 OR a > 5",
    "a < 5 OR a > 3",
    "5 > a OR a >= 5",
    "a IS NULL OR a IS NOT NULL",
    "NOT (a < 5 AND a >= 5)",
    "a > 1 OR a < 2 OR b = 3",
    "a = 1 OR NOT a = 1",
    "a IN (1, 2) OR a NOT IN (1, 2)",
    "EXISTS (SELECT 1)",
    "a IN (a, 3)",
    "a LIKE 'x' OR a NOT LIKE 'x'",
    "(a = 1) OR (a = 1) IS NOT TRUE",
    "COALESCE(a, a) = a",
    "lower(name) = lower(name)",
    "NULLIF(1, 2) = 1",
    "a = 1 OR (b = 2 OR 1 = 1)",
    "a = 1 AND b = 2 OR true",
    "a * 1 = a",
    "0 + a = a",
    "a BETWEEN a AND a",
    "a IS NOT DISTINCT FROM a",
    "name ~ ''",
    "name ~ '.*'",
    "GREATEST(1, 2) = 2",
    "(SELECT true)",
    "NOT (NULL IS NOT NULL)",
    "a = ANY (ARRAY[a])",
    "(a = 1) = (a = 1)",
    "CASE WHEN a = 1 THEN true ELSE true END",
    "length(name) >= 0",
    "m.name = name",
    "a BETWEEN 0 AND 5 OR a NOT BETWEEN 0 AND 5",
    "a * 0 = 0",
    "a - a = 0",
    "a / a = 1",
    "a % 1 = 0",
    "(a = 5) IS NOT NULL",
    "(a = 5 OR b = 6) IS NOT NULL",
    "NULLIF(a, a) IS NULL",
    "GREATEST(a, 5) >= 5",
    "LEAST(a, b, 5) < 6",
];

/// Conditions that look like those, and filter.
const HONEST: &[&str] = &[
    "1=1 AND id = 5",
    "id = 5",
    "id > 100",
    "country = 'US' OR country = 'DE'",
    "a < 5 OR a > 5",
    "a < 3 OR a >= 5",
    "a < 5 OR b >= 5",
    "a IS NULL OR b IS NOT NULL",
    "country = 'US' AND country <> 'US'",
    "a NOT BETWEEN 1 AND 3",
    "a = b",
    "a = m.b",
    "id = a + 0",
    "id = id + 1",
    "name LIKE 'a%'",
    "name LIKE '%a'",
    "name ~ 'a'",
    "COALESCE(a, 0) = a",
    "COALESCE(name, 'x') = name",
    "lower(name) = upper(name)",
    "a IN (1, 2)",
    "a NOT IN (1, 2)",
    "a IN (1, 2) OR a NOT IN (1, 3)",
    "id = $1",
    "EXISTS (SELECT 1 FROM t WHERE t.id = m.id)",
    "(id, name) = (id, 'x')",
    "active",
    "NOT active",
    "length(name) > 0",
    "a = 1 OR a <> 2 AND b = 1",
    "(TRUE OR id = 1) AND a = 1",
    "a LIKE 'x' OR a NOT LIKE 'y'",
    "a BETWEEN 0 AND 5 OR a NOT BETWEEN 0 AND 6",
    "a * 2 = 0",
    "a - b = 0",
    "a % 2 = 0",
    "(a = 5) IS TRUE",
    "NULLIF(a, b) IS NULL",
    "GREATEST(a, 5) > 5",
    "LEAST(a, b) < 6",
    "a IS NOT NULL",
    "m.name IS NOT NULL",
];

#[test]
fn a_where_that_filters_nothing_is_found() {
    let texts = |conditions: &[&str]| -> Vec<String> {
        let text = |one: &&str| format!("SELECT id, name FROM merchants m WHERE {one}");
        conditions.iter().map(text).collect()
    };
    let always = texts(ALWAYS);
    marked(TAUTOLOGY, &always.iter().map(String::as_str).collect::<Vec<_>>());
    let honest = texts(HONEST);
    unmarked(TAUTOLOGY, &honest.iter().map(String::as_str).collect::<Vec<_>>());
}

/// A catalog with one table, whose first column is NOT NULL.
fn catalog() -> sql::catalog::Catalog {
    use sql::catalog::{Catalog, Column, FORMAT, Relation, RelationKind, Snapshot};
    let column = |name: &str, number, not_null| Column {
        name: name.into(),
        number,
        type_oid: 25,
        not_null,
        default: None,
        generated: false,
    };
    let table = Relation {
        columns: vec![column("name", 1, true), column("a", 2, false)],
        ..Relation::bare(20_000, "app", "merchants", RelationKind::Table)
    };
    let schemas = vec!["pg_catalog".into(), "app".into()];
    let snapshot =
        Snapshot { format: FORMAT, schemas, relations: vec![table], ..Snapshot::default() };
    Catalog::from_snapshot(snapshot).unwrap()
}

#[test]
fn a_column_that_is_never_null_is_no_filter_where_a_catalog_says_so() {
    let (catalog, paths) = (catalog(), [vec!["app".to_owned()]]);
    let context = sql::Context { catalog: sql::Known::Catalog(&catalog), ..context(&paths) };
    let filters_nothing = |condition: &str| {
        let text = format!("DELETE FROM merchants m WHERE {condition}");
        let facts = sql::analyze(text.as_bytes(), &context).statements()[0]
            .facts(&|_, _| None)
            .into_owned();
        assert_eq!(facts.shape.known().unwrap().tautology, !facts.unfiltered.is_known_empty());
        !facts.unfiltered.is_known_empty()
    };
    for always in ["name IS NOT NULL", "m.name IS NOT NULL", "NOT (m.name IS NULL)"] {
        assert!(filters_nothing(always), "{always}");
    }
    for honest in ["a IS NOT NULL", "m.a IS NOT NULL", "name IS NULL"] {
        assert!(!filters_nothing(honest), "{honest}");
    }
}

#[test]
fn nested_conditions_cost_no_more_than_their_size() {
    let mut condition = "a = 1".to_owned();
    for level in 0..90 {
        condition = match level % 3 {
            0 => format!("((({condition}) OR b = {level}) = c)"),
            1 => format!("(NOT ({condition}) AND (x = {level} OR y IN ({level})))"),
            _ => format!("COALESCE(({condition}) OR d > {level}, e)"),
        };
    }
    let text = format!("SELECT id FROM t WHERE {condition}");
    let began = std::time::Instant::now();
    let shape = facts(&text).shape;
    assert!(shape.is_unknown() || shape.known().is_some());
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn a_star_is_found_in_every_disguise() {
    marked(
        STAR,
        &[
            "SELECT * FROM t WHERE id = 5",
            "SELECT t.* FROM t WHERE id = 5",
            "SELECT count(*), a.* FROM accounts a WHERE id = 5 GROUP BY a.id",
            "TABLE t",
            "SELECT x FROM (SELECT * FROM t WHERE id = 5) x",
            "SELECT x.* FROM t AS x JOIN u ON true",
            "WITH c AS (SELECT * FROM t) SELECT a FROM c",
            "SELECT md5(a::text) FROM accounts a WHERE id = 5",
            "SELECT array_agg(a) FROM accounts a WHERE id = 5",
            "SELECT row_to_json(c) FROM (customers c CROSS JOIN merchants m)",
            "SELECT row_to_json(j) FROM (customers c CROSS JOIN merchants m) AS j",
            "WITH x AS (TABLE t) SELECT id FROM x",
            "SELECT (a).iban FROM accounts a WHERE id = 5",
            "COPY t TO STDOUT",
            "COPY (SELECT * FROM t) TO STDOUT",
            "INSERT INTO u SELECT * FROM t WHERE id = 5",
            "DELETE FROM t WHERE id = 5 RETURNING *",
            "SELECT a FROM t WHERE EXISTS (SELECT (SELECT u.* FROM u WHERE id = 5) FROM v)",
            "PREPARE p AS SELECT * FROM t WHERE id = 5",
            "EXPLAIN SELECT * FROM t WHERE id = 5",
            "SELECT query_to_xml('SELECT * FROM t', true, true, '')",
        ],
    );
    unmarked(
        STAR,
        &[
            "SELECT count(*) FROM t WHERE id = 5",
            "SELECT id FROM t WHERE EXISTS (SELECT * FROM u WHERE u.id = t.id)",
            "SELECT a.id FROM accounts a WHERE id = 5",
            "SELECT x FROM generate_series(1, 3) x",
            "SELECT 2 * 3",
            "SELECT * FROM (SELECT a FROM t) s",
            "WITH c AS (SELECT a FROM t) SELECT * FROM c",
            "SELECT * FROM generate_series(1, 2)",
            "SELECT upper(name) FROM merchants WHERE country = 'US'",
            "SELECT accounts.id FROM accounts ORDER BY accounts.id",
            "SELECT count(id) AS accounts FROM accounts GROUP BY kind ORDER BY accounts",
            "COPY t (id, name) TO STDOUT",
        ],
    );
}

#[test]
fn every_form_of_limit_has_a_class() {
    for (clause, limit) in [
        ("LIMIT 10", RowLimit::Rows(10)),
        ("LIMIT '1000000'", RowLimit::Rows(1_000_000)),
        ("LIMIT 1000000::bigint", RowLimit::Rows(1_000_000)),
        ("LIMIT (SELECT 1000000)", RowLimit::Rows(1_000_000)),
        ("LIMIT 400 + 200", RowLimit::Rows(600)),
        ("LIMIT 1e6", RowLimit::Rows(1_000_000)),
        ("LIMIT 10.5", RowLimit::Rows(11)),
        ("LIMIT ALL", RowLimit::All),
        ("LIMIT NULL", RowLimit::All),
        ("LIMIT NULL::bigint", RowLimit::All),
        ("FETCH FIRST 7 ROWS ONLY", RowLimit::Rows(7)),
        ("FETCH FIRST ROW ONLY", RowLimit::Rows(1)),
        ("OFFSET 5 FETCH NEXT 9 ROWS ONLY", RowLimit::Rows(9)),
        ("ORDER BY id FETCH FIRST 8 ROWS WITH TIES", RowLimit::Rows(8)),
        ("LIMIT $1", RowLimit::Parameter(1)),
        ("LIMIT $2::int", RowLimit::Parameter(2)),
        ("LIMIT (SELECT max(n) FROM u)", RowLimit::NotConstant),
        ("LIMIT -1", RowLimit::NotConstant),
        ("LIMIT length('abc')", RowLimit::NotConstant),
    ] {
        let text = format!("SELECT id FROM t WHERE id = 5 {clause}");
        assert_eq!(shape(&text).limit, limit, "{text}");
    }
    for (text, limit) in [
        ("(SELECT id FROM t LIMIT 5) UNION ALL SELECT id FROM t LIMIT 600", RowLimit::Rows(600)),
        ("(SELECT id FROM t LIMIT 5) UNION ALL (SELECT id FROM t LIMIT 5)", RowLimit::Missing),
        ("SELECT id FROM (SELECT id FROM t LIMIT 5) x", RowLimit::Missing),
        ("DECLARE c CURSOR FOR SELECT id FROM t LIMIT ALL", RowLimit::All),
        ("COPY t TO STDOUT", RowLimit::Missing),
    ] {
        assert_eq!(shape(text).limit, limit, "{text}");
    }
}

#[test]
fn heavy_constructions_are_named() {
    let cases = [
        ("SELECT 1 FROM a, b", Heavy::UncorrelatedJoin),
        ("SELECT 1 FROM a CROSS JOIN b", Heavy::UncorrelatedJoin),
        ("SELECT 1 FROM a JOIN b ON true", Heavy::UncorrelatedJoin),
        ("SELECT generate_series(1, 1000000000)", Heavy::LongSeries),
        ("SELECT * FROM generate_series(1, $1)", Heavy::LongSeries),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT n FROM r",
            Heavy::UnboundedRecursion,
        ),
        ("SELECT repeat('x', 1000000000)", Heavy::HugeText),
        ("SELECT 'aaa' ~ '(a+)+$'", Heavy::Backtracking),
    ];
    for (text, heavy) in cases {
        assert_eq!(shape(text).heavy, [heavy], "{text}");
    }
    for text in [
        "SELECT 1 FROM a, b WHERE a.x = b.x",
        "SELECT 1 FROM a JOIN b USING (x)",
        "SELECT generate_series(1, 100)",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 9) SELECT n FROM r",
        "SELECT generate_series('2024-01-01'::date, now(), '1 day')",
        "SELECT repeat('x', 10)",
        "SELECT 'a' ~ '^a+$'",
    ] {
        assert_eq!(shape(text).heavy, [], "{text}");
    }
}

#[test]
fn marks_are_found_and_their_like_is_not() {
    marked(
        SET_OPERATION,
        &["SELECT 1 UNION SELECT 2", "SELECT a FROM (SELECT 1 EXCEPT SELECT 2) x(a)"],
    );
    marked(
        RANDOM_ORDER,
        &[
            "SELECT id FROM t ORDER BY random()",
            "SELECT id FROM t ORDER BY md5(id::text || random()::text)",
            "SELECT id, random() AS r FROM t ORDER BY r",
            "SELECT id, random() FROM t ORDER BY 2 DESC",
            "SELECT id FROM t WHERE id IN (SELECT id FROM t ORDER BY gen_random_uuid() LIMIT 5)",
        ],
    );
    unmarked(RANDOM_ORDER, &["SELECT id, random() FROM t ORDER BY 1", "SELECT random()"]);
    marked(COMMENT, &["SELECT 1 -- x", "/* x */ SELECT 1"]);
    unmarked(COMMENT, &["SELECT '--', '/* x */', $$--$$ FROM \"a--b\""]);
    marked(TAUTOLOGY, &["SELECT a FROM t WHERE id = 5 GROUP BY a HAVING 1=1"]);
    unmarked(TAUTOLOGY, &["SELECT a FROM t GROUP BY a HAVING count(*) > 5"]);
    marked(
        NO_WHERE,
        &[
            "SELECT id FROM t",
            "SELECT id FROM t WHERE id = 5 UNION SELECT id FROM t",
            "SELECT (SELECT max(id) FROM u) FROM t WHERE id = 5",
            "WITH x AS (SELECT id FROM t) SELECT id FROM x WHERE id = 5",
            "SELECT count(*) FILTER (WHERE id = 5) FROM t",
            "SELECT id FROM t LIMIT (SELECT 1 FROM u WHERE id = 5)",
        ],
    );
    unmarked(
        NO_WHERE,
        &[
            "SELECT 1",
            "SELECT id FROM (SELECT id FROM t) x WHERE id = 5",
            "WITH x AS (SELECT id FROM t WHERE id = 5) SELECT id FROM x",
            "SELECT x FROM generate_series(1, 3) x",
        ],
    );
    let three = shape("SELECT a.id FROM a, b JOIN c ON true WHERE a.id IN (SELECT 1)");
    assert_eq!((three.joins, three.sub_selects), (2, 1));
}

/// Columns as `name@references`, sorted.
fn columns(text: &str) -> String {
    let shape = shape(text);
    let relation = |index: &u32| shape.references[*index as usize].relation.name.to_string();
    let all = shape.columns.iter().map(|column| {
        let of: Vec<String> = column.of.iter().map(relation).collect();
        format!("{}@{}", column.name, of.join("+"))
    });
    all.collect::<Vec<_>>().join(" ")
}

#[test]
fn columns_are_those_of_the_text_with_the_relations_that_may_have_them() {
    for (text, wanted) in [
        ("SELECT password AS p FROM users WHERE id = 1", "id@users password@users"),
        ("SELECT a.ssn FROM a JOIN b USING (id)", "id@a id@b ssn@a"),
        ("SELECT ssn FROM a, b", "ssn@a+b"),
        ("SELECT s.x FROM (SELECT ssn AS x FROM a) s", "ssn@a"),
        ("WITH s AS (SELECT ssn AS x FROM a) SELECT x FROM s, b", "ssn@a"),
        ("SELECT id FROM a ORDER BY ssn", "id@a ssn@a"),
        (
            "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.ssn = a.email)",
            "email@a id@a ssn@b",
        ),
        ("UPDATE a SET x = ssn WHERE id = 1 RETURNING email", "email@a id@a ssn@a"),
        ("COPY a (ssn) TO STDOUT", "ssn@a"),
        ("SELECT U&\"s\\0073n\" FROM a", "ssn@a"),
    ] {
        assert_eq!(columns(text), wanted, "{text}");
    }
    let renamed = shape("SELECT x5 FROM accounts AS a(x1, x2, x3, x4, x5)");
    assert!(renamed.references[0].all_columns);
}

/// Equalities with constants and parameters, as `relation.column=value`, those that hold by way of
/// another column included.
fn equal(text: &str) -> String {
    let shape = shape(text);
    let name = |of: &[u32]| -> String {
        of.iter()
            .map(|index| format!("{}{index}", shape.references[*index as usize].relation.name))
            .collect::<Vec<_>>()
            .join("+")
    };
    let mut all: Vec<String> = shape
        .equalities
        .iter()
        .map(|one| {
            let to = match &one.to {
                Operand::Constant(text) => text.clone(),
                Operand::Parameter(number) => format!("${number}"),
                Operand::Setting(setting) => format!("<{setting}>"),
                Operand::Column(of, column) => format!("{}.{column}", name(of)),
            };
            format!("{}.{}={to}", name(&one.of), one.column)
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all.join(" ")
}

#[test]
fn equalities_are_those_that_every_row_satisfies() {
    for (condition, wanted) in [
        ("t = 'x'", "a0.t=x"),
        ("'x' = t AND b = 5", "a0.b=5 a0.t=x"),
        ("a.t = 'x'::text", "a0.t=x"),
        ("t::text = $1::uuid", "a0.t=$1"),
        ("t IN ('x')", "a0.t=x"),
        ("t IN ('x', 'y')", ""),
        ("t NOT IN ('x')", ""),
        ("NOT (t NOT IN ('x'))", "a0.t=x"),
        ("t = ANY (ARRAY['x'])", "a0.t=x"),
        ("t = ANY ('{x}')", "a0.t=x"),
        ("t = ANY ('{x,y}'::text[])", ""),
        ("t = ALL (ARRAY['x'])", ""),
        ("t = $$x$$", "a0.t=x"),
        ("t IS NOT DISTINCT FROM 'x'", "a0.t=x"),
        ("NOT t <> 'x'", "a0.t=x"),
        ("NOT t = 'x'", ""),
        ("t <> 'x'", ""),
        ("t = 'x' OR b = 5", ""),
        ("(t = 'x' AND b = 5) OR (b = 6 AND t = 'x')", "a0.t=x"),
        ("NOT (t <> 'x' OR b <> 5)", "a0.b=5 a0.t=x"),
        ("(t, b) = ('x', 5)", "a0.b=5 a0.t=x"),
        ("ROW(c.*, t, 1) = ROW(1, 'x', d.*)", ""),
        ("ROW((c).*, t) = ROW('x', t)", ""),
        ("ROW(t, 1) = ROW('x', d.*)", ""),
        ("t = '07'::int4::text", ""),
        ("t = '07'::text::int4", "a0.t=07"),
        ("t = ANY ('{x}'::evil.text[])", ""),
        ("t = ANY ('{x}'::pg_catalog.text[])", "a0.t=x"),
        ("(t = 'x') IS TRUE", "a0.t=x"),
        ("(t = 'x') IS NOT FALSE", ""),
        ("t = current_setting('App.T')", "a0.t=<app.t>"),
        ("t = (SELECT current_setting('app.t', true)::uuid)", "a0.t=<app.t>"),
        ("lower(t) = 'x'", ""),
        ("t::varchar(1) = 'x'", ""),
        ("t = 'xy'::varchar(1)", ""),
        ("t COLLATE c = 'x'", ""),
        ("t OPERATOR(app.=) 'x'", ""),
        ("t LIKE 'x'", ""),
        ("CASE WHEN t = 'x' THEN true ELSE true END", ""),
        ("b IN (SELECT 1 WHERE t = 'x')", ""),
        ("(t = 'x') = false", ""),
    ] {
        assert_eq!(equal(&format!("SELECT 1 FROM a WHERE {condition}")), wanted, "{condition}");
    }
    for (text, wanted) in [
        ("SELECT 1 FROM a JOIN b ON a.t = b.t WHERE a.t = 'x'", "a0.t=b1.t a0.t=x b1.t=a0.t"),
        ("SELECT 1 FROM a LEFT JOIN b ON a.t = 'x' AND b.t = 'y'", "b1.t=y"),
        ("SELECT 1 FROM a RIGHT JOIN b ON a.t = 'x' AND b.t = 'y'", "a0.t=x"),
        ("SELECT 1 FROM a FULL JOIN b ON a.t = 'x' AND b.t = 'y'", ""),
        ("SELECT 1 FROM a LEFT JOIN b USING (t) WHERE t = 'x'", "a0.t=x b1.t=a0.t"),
        ("SELECT 1 FROM a, b WHERE t = 'x'", "a0+b1.t=x"),
        ("SELECT 1 FROM a WHERE t = 'x' UNION SELECT 1 FROM a", "a0.t=x"),
        ("SELECT 1 FROM (SELECT t FROM a) s WHERE s.t = 'x'", "a0.t=x"),
        ("SELECT 1 FROM (SELECT * FROM a) s WHERE t = 'x'", "a0.t=x"),
        ("SELECT 1 FROM (SELECT t FROM a LIMIT 5) s WHERE s.t = 'x'", ""),
        ("SELECT 1 FROM (SELECT t, row_number() OVER () FROM a) s WHERE s.t = 'x'", ""),
        ("SELECT 1 FROM (SELECT 'x' AS t FROM a) s WHERE s.t = 'x'", ""),
        ("WITH s(t) AS (SELECT 'x' FROM a) SELECT 1 FROM s WHERE t = 'x'", ""),
        ("WITH s AS (SELECT t FROM a) SELECT 1 FROM s WHERE t = 'x'", ""),
        ("SELECT 1 FROM a, (VALUES ('x')) v(t) WHERE v.t = 'x'", ""),
        ("SELECT 1 FROM a, (VALUES ('x')) v(t) WHERE a.t = v.t", "a0.t=x"),
        ("SELECT 1 FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.t = a.t)", "b1.t=a0.t"),
        ("SELECT 1 FROM a WHERE EXISTS (SELECT 1 FROM b WHERE a.t = 'x')", ""),
        ("UPDATE a SET n = 1 FROM b WHERE a.t = 'x' AND b.t = a.t", "a0.t=b1.t a0.t=x b1.t=a0.t"),
        ("DELETE FROM a USING b WHERE a.t = $1", "a0.t=$1"),
    ] {
        assert_eq!(equal(text), wanted, "{text}");
    }
}
