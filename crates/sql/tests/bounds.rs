//! Statements of 256 KiB, as bad as we can make them: each ends as facts, or at a named limit, in little
//! time, memory and stack. Times depend on the build and the machine, so they are printed, and asserted only where
//! `BOUNDS_MILLISECONDS` says how many are allowed (`make bounds`).

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use sql::catalog::{Catalog, Column, FORMAT, Relation, RelationKind, Snapshot};
    use sql::{BareNames, Context, Encoding, Known, SearchPaths};

    const SIZE: usize = 256 * 1024;
    /// The stack of a worker of the server.
    const STACK_BYTES: usize = 2 * 1024 * 1024;
    /// What one may take in memory, the parser's own included.
    const MOST_KIB: usize = 64 * 1024;

    /// A figure of this process in KiB, as Linux counts it.
    fn memory(name: &str) -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or_default()
    }

    /// Forgets the highest use of memory so far.
    fn forget_peak() {
        let _not_linux = std::fs::write("/proc/self/clear_refs", "5").is_err();
    }

    /// `unit` so often that the whole is as long as it may be.
    fn filled(before: &str, unit: impl Fn(usize) -> String, after: &str) -> String {
        let mut text = before.to_owned();
        for index in 0.. {
            let next = unit(index);
            if text.len() + next.len() + after.len() > SIZE {
                break;
            }
            text.push_str(&next);
        }
        text + after
    }

    fn nested(before: &str, open: &str, inner: &str, close: &str) -> String {
        let depth = (SIZE - before.len() - inner.len()) / (open.len() + close.len());
        format!("{before}{}{inner}{}", open.repeat(depth), close.repeat(depth))
    }

    /// What nests.
    fn deep() -> Vec<(&'static str, String)> {
        let plain = |unit: &str| {
            let unit = unit.to_owned();
            move |_| unit.clone()
        };
        vec![
            ("brackets", nested("SELECT ", "(", "1", ")")),
            ("sub-selects", nested("SELECT ", "(SELECT ", "1", ")")),
            ("sub-selects in FROM", nested("SELECT 1 FROM ", "(SELECT 1 FROM ", "a", ") s")),
            ("NOT", filled("SELECT a FROM t WHERE ", plain("NOT "), "b")),
            ("signs", filled("SELECT ", plain("- "), "1")),
            ("calls", nested("SELECT ", "f(", "1", ")")),
            ("CASE", nested("SELECT ", "CASE WHEN a THEN ", "1", " END")),
            ("arrays", nested("SELECT ", "ARRAY[", "1", "]")),
            ("casts", filled("SELECT 1", plain("::int"), "")),
            ("subscripts", filled("SELECT a", plain("[1]"), " FROM t")),
        ]
    }

    /// What is long.
    fn long() -> Vec<(&'static str, String)> {
        let plain = |unit: &str| {
            let unit = unit.to_owned();
            move |_| unit.clone()
        };
        vec![
            ("OR", filled("SELECT a FROM t WHERE a = 0", |i| format!(" OR a = {i}"), "")),
            ("AND", filled("DELETE FROM t WHERE a = 0", |i| format!(" AND b{i} = c"), "")),
            (
                "AND of OR",
                filled("SELECT a FROM t WHERE true", |i| format!(" AND (a = {i} OR b = {i})"), ""),
            ),
            (
                "ranges",
                filled(
                    "SELECT a FROM t WHERE false",
                    |i| format!(" OR a{i} < {i} OR a{i} >= {i}"),
                    "",
                ),
            ),
            ("comparisons of comparisons", nested("SELECT a FROM t WHERE ", "(", "a", " = b)")),
            ("IN", filled("SELECT a FROM t WHERE a IN (0", |i| format!(",{i}"), ")")),
            (
                "rows IN",
                filled("SELECT a FROM t WHERE (a, b) IN ((0, 0)", |i| format!(",({i},a)"), ")"),
            ),
            ("VALUES", filled("INSERT INTO t VALUES (0)", |i| format!(",({i})"), "")),
            ("columns", filled("SELECT a", |i| format!(",a{i}"), " FROM t")),
            ("stars", filled("SELECT *", plain(",*"), " FROM wide")),
            ("relations", filled("SELECT 1 FROM t0", |i| format!(",t{i} x{i}"), "")),
            ("joins", filled("SELECT 1 FROM t", |i| format!(" JOIN t x{i} USING (tenant_id)"), "")),
            (
                "joins ON",
                filled(
                    "SELECT 1 FROM t",
                    |i| format!(" JOIN t x{i} ON x{i}.tenant_id = t.tenant_id"),
                    "",
                ),
            ),
            (
                "joins of wide ones",
                filled("SELECT * FROM wide", |i| format!(" NATURAL JOIN wide x{i}"), ""),
            ),
        ]
    }

    /// What is short, and as deep as names are followed.
    fn short() -> Vec<(&'static str, String)> {
        let chain = |kind: &str, on: &str| {
            let joins: Vec<String> = (0..90)
                .map(|i| format!(" {kind} JOIN t x{i} {}", on.replace('#', &i.to_string())))
                .collect();
            format!("SELECT * FROM t{}", joins.concat())
        };
        let nested = format!("SELECT * FROM {}t{}", "(".repeat(44), " CROSS JOIN t)".repeat(44));
        vec![
            ("90 joins ON", chain("LEFT", "ON x#.tenant_id = t.tenant_id")),
            ("90 joins USING", chain("", "USING (tenant_id)")),
            ("90 joins CROSS", chain("CROSS", "")),
            ("90 joins NATURAL", chain("NATURAL", "")),
            ("44 joins in brackets", nested),
            ("whole rows of 90 joins", chain("CROSS", "").replace('*', "x5, t, x7.*")),
        ]
    }

    /// What there are many of.
    fn many() -> Vec<(&'static str, String)> {
        let plain = |unit: &str| {
            let unit = unit.to_owned();
            move |_| unit.clone()
        };
        vec![
            ("queries", filled("SELECT 1", plain(" UNION SELECT 1"), "")),
            (
                "WITH",
                filled(
                    "WITH a AS (SELECT 1)",
                    |i| format!(",a{i} AS (SELECT 1 FROM a)"),
                    " SELECT 1 FROM a",
                ),
            ),
            (
                "WITH of WITH",
                filled(
                    "WITH a0 AS (SELECT * FROM t)",
                    |i| format!(",a{} AS (SELECT * FROM a{i} x, a{i} y)", i + 1),
                    " SELECT 1",
                ),
            ),
            ("statements", filled("", plain("SELECT 1;"), "")),
            ("no statements", filled("", plain(";"), "")),
            ("SETs", filled("", |i| format!("SET search_path = s{i};"), "")),
            ("PREPAREs", filled("", |i| format!("PREPARE p{i} AS SELECT 1;EXECUTE p{i};"), "")),
            ("a text", format!("SELECT '{}'", "x".repeat(SIZE - 9))),
            ("a text in quotes", format!("SELECT '{}'", "''".repeat(SIZE / 2 - 9))),
            ("a name", format!("SELECT {}", "x".repeat(SIZE - 9))),
            ("a comment", format!("SELECT 1 /*{}*/", "/**/".repeat(SIZE / 4 - 9))),
            ("pluses", filled("SELECT ", plain("+"), "1")),
            ("short comments", filled("SELECT 1 ", plain("/**//**/ "), "")),
            (
                "runs of operators",
                filled("SELECT 1 ", |_| format!("/*{} */ ", "/**/".repeat(120)), ""),
            ),
            (
                "a comment in a text",
                format!(
                    "SELECT query_to_xml('SELECT 1 /*{}*/', true, true, '')",
                    "/**/".repeat(SIZE / 4 - 99)
                ),
            ),
            ("a pattern", format!("SELECT a FROM t WHERE a LIKE '{}'", "%_".repeat(SIZE / 2 - 40))),
            ("JSON", filled("SELECT a", plain("->'a'"), " FROM t")),
            (
                "texts in texts",
                filled("SELECT query_to_xml('SELECT 1", plain("+ 1"), "', true, true, '')"),
            ),
            ("no SQL", "SELEC ".repeat(SIZE / 6)),
            ("nearly SQL", filled("SELECT 1", plain(" + 1"), " FRM t")),
            (
                "conditions in EXPLAIN",
                filled("EXPLAIN SELECT a FROM t WHERE a = 0", |i| format!(" OR a = {i}"), ""),
            ),
        ]
    }

    fn relation(oid: u32, name: &str, columns: usize, definition: Option<String>) -> Relation {
        let column = |at: usize| Column {
            name: if at == 1 { "tenant_id".into() } else { format!("c{at}").into() },
            number: i16::try_from(at).unwrap(),
            type_oid: 25,
            not_null: false,
            default: None,
            generated: false,
        };
        let kind = if definition.is_some() { RelationKind::View } else { RelationKind::Table };
        Relation {
            columns: (1..=columns).map(column).collect(),
            parents: if name.starts_with("child") { vec![20_000] } else { Vec::new() },
            definition: definition.map(Into::into),
            ..Relation::bare(oid, "public", name, kind)
        }
    }

    /// Views on views, a wide table, a thousand children.
    fn catalog() -> Catalog {
        let mut relations =
            vec![relation(20_000, "t", 8, None), relation(20_001, "wide", 1_600, None)];
        for index in 0..1_000 {
            relations.push(relation(30_000 + index, &format!("child{index}"), 8, None));
        }
        for index in 0..50_u32 {
            let below = if index == 0 { "t".to_owned() } else { format!("v{}", index - 1) };
            let text = format!("SELECT * FROM public.{below}");
            relations.push(relation(40_000 + index, &format!("v{index}"), 8, Some(text)));
        }
        for index in 0..30_u32 {
            let below = if index == 0 { "t".to_owned() } else { format!("d{}", index - 1) };
            let text =
                format!("SELECT a.* FROM public.{below} a JOIN public.{below} b USING (tenant_id)");
            relations.push(relation(50_000 + index, &format!("d{index}"), 8, Some(text)));
        }
        let schemas = vec!["pg_catalog".into(), "public".into()];
        Catalog::from_snapshot(Snapshot {
            format: FORMAT,
            schemas,
            relations,
            ..Snapshot::default()
        })
        .unwrap()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test is configured by its caller alone")]
    fn no_statement_of_256_kib_is_dear() {
        let most: Option<u128> =
            std::env::var("BOUNDS_MILLISECONDS").ok().map(|text| text.parse().unwrap());
        let worker = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            let catalog = catalog();
            let paths = [vec!["public".to_owned()]];
            let mut dear = Vec::new();
            let views = ["v49", "d29", "child7", "t"].map(|name| {
                ("a view or a family", format!("SELECT * FROM {name} WHERE tenant_id = 'a'"))
            });
            for (name, text) in
                deep().into_iter().chain(long()).chain(short()).chain(many()).chain(views)
            {
                let kinds =
                    [Known::Nothing, Known::BuiltIn(BareNames::Any), Known::Catalog(&catalog)];
                for known in kinds {
                    let context = Context {
                        search_paths: SearchPaths::Possible(&paths),
                        encoding: Encoding::Utf8,
                        standard_conforming_strings: true,
                        catalog: known,
                        tenant_column: Some("tenant_id"),
                        server_major: Some(18),
                        timeline: None,
                        role: None,
                    };
                    forget_peak();
                    let before = memory("VmRSS:");
                    let began = Instant::now();
                    let analysis = sql::analyze(text.as_bytes(), &context);
                    let took = began.elapsed().as_millis();
                    let peak = memory("VmHWM:").saturating_sub(before);
                    let first = analysis.statements().first().unwrap().facts(&|_, _| None);
                    println!(
                        "{name:28} {:7} {took:6} ms {:6} KiB  {:?}",
                        matches!(known, Known::Catalog(_)),
                        peak,
                        analysis
                            .error()
                            .map(|failure| failure.message.get(..30).unwrap_or("").to_owned())
                            .or(first.first_unknown().map(|why| format!("{why:?}")))
                    );
                    if peak > MOST_KIB || most.is_some_and(|most| took > most) {
                        dear.push(format!("{name}: {took} ms, {peak} KiB"));
                    }
                }
            }
            dear
        });
        let dear = worker.unwrap().join().unwrap();
        assert!(dear.is_empty(), "{dear:#?}");
    }
}
