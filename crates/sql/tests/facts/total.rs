//! Invariant `analysis_is_total`: any bytes, of any shape, give facts, in bounded time and stack.

use model::{Operation, Unknown};
use proptest::prelude::*;
use sql::{Context, Encoding, SearchPaths};

use crate::common::{analyze, context};

/// Pieces that make texts which often parse.
const WORDS: &[&str] = &[
    "SELECT",
    "*",
    "FROM",
    "t",
    "s.u",
    "WHERE",
    "a",
    "=",
    "1",
    "'x'",
    ",",
    "(",
    ")",
    "AND",
    "OR",
    "NOT",
    "UPDATE",
    "SET",
    "DELETE",
    "INSERT",
    "INTO",
    "VALUES",
    "WITH",
    "AS",
    "f()",
    "JOIN",
    "ON",
    "true",
    "::",
    "regclass",
    "UNION",
    "ALL",
    ";",
    "$1",
    "NULL",
    "IS",
    "IN",
    "LIKE",
    "'%'",
    "EXPLAIN",
    "ANALYZE",
    "PREPARE",
    "p",
    "EXECUTE",
    "CREATE",
    "TABLE",
    "VIEW",
    "DROP",
    "GRANT",
    "TO",
    "CASE",
    "WHEN",
    "THEN",
    "END",
    "ELSE",
    "LIMIT",
    "ORDER",
    "BY",
    "MERGE",
    "USING",
    "MATCHED",
    "DO",
    "COPY",
    "search_path",
    "set_config('search_path', 'x', false)",
    "query_to_xml('SELECT 1', true, true, '')",
    "[",
    "]",
    ".",
    "||",
    "-",
    "--",
    "/*",
    "*/",
    "$$",
    "E'\\'",
    "U&'\\",
    "\"",
    "'",
    "ü",
    "\0",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn analysis_is_total(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        words in proptest::collection::vec(proptest::sample::select(WORDS), 0..40),
        ascii in any::<bool>(),
        conforming in any::<bool>(),
    ) {
        let context = Context {
            search_paths: SearchPaths::Unknown,
            encoding: if ascii { Encoding::AsciiOnly } else { Encoding::Utf8 },
            standard_conforming_strings: conforming,
            catalog: sql::Known::BuiltIn(sql::BareNames::BuiltIn),
            tenant_column: None,
            timeline: None,
            role: None,
            server_major: Some(18),
        };
        for text in [bytes, words.join(" ").into_bytes()] {
            let analysis = sql::analyze(&text, &context);
            prop_assert!(!analysis.statements().is_empty());
            for statement in analysis.statements() {
                prop_assert!(statement.text_range().end <= text.len());
                let facts = statement.facts(&|_, _| None);
                let blind = facts.operations.known().is_some_and(Vec::is_empty) && !facts.empty;
                prop_assert!(!blind, "a statement that is nothing");
            }
        }
    }

    #[test]
    fn session_text_is_read_without_panic(text in ".{0,60}") {
        let split = sql::split_options(&text);
        prop_assert!(split.iter().map(String::len).sum::<usize>() <= text.len());
        drop(sql::parse_search_path(&text));
        drop(sql::startup_settings(&[("options".to_owned(), text)]));
    }
}

fn on_small_stack(text: String) -> Option<Unknown> {
    let worker = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let handle = worker.spawn(move || {
        let analysis = analyze(&text);
        analysis.statements()[0].facts(&|_, _| None).first_unknown()
    });
    handle.unwrap().join().unwrap()
}

#[test]
fn long_and_deep_texts_do_not_break_a_small_stack() {
    let chain =
        |term: &str, glue: &str, times: usize| format!("SELECT {}", vec![term; times].join(glue));
    let nested = |open: &str, close: &str, times: usize| {
        format!("SELECT {}1{}", open.repeat(times), close.repeat(times))
    };
    let deep = Some(Unknown::TooComplex);
    assert_eq!(on_small_stack(chain("a", "||", 80_000)), deep);
    assert_eq!(on_small_stack(chain("1", " UNION SELECT ", 15_000)), deep);
    assert_eq!(on_small_stack(format!("SELECT 1{}", "::int".repeat(50_000))), deep);
    assert_eq!(on_small_stack(format!("SELECT * FROM a{}", " JOIN b ON c".repeat(15_000))), deep);
    let refused = Some(Unknown::ParseError);
    assert_eq!(on_small_stack(nested("(", ")", 100_000)), refused);
    assert_eq!(on_small_stack(nested("(SELECT ", ")", 20_000)), refused);
    assert_eq!(on_small_stack(nested("- ", "", 100_000)), refused);
    // What PostgreSQL itself accepts stays readable: wide texts, and chains of 3,000 terms.
    assert_eq!(on_small_stack(chain("a", " AND ", 20_000)), None);
    assert_eq!(on_small_stack(chain("a", "||", 3_000)), None);
    assert_eq!(on_small_stack(format!("SELECT a IN ({})", vec!["1"; 50_000].join(","))), None);
}

#[test]
fn every_bound_leaves_facts_unknown() {
    let too_long = format!("SELECT '{}'", "x".repeat(sql::limits::MAX_STATEMENT_BYTES));
    assert_eq!(on_small_stack(too_long), Some(Unknown::TooComplex));
    let too_many = "SELECT 1;".repeat(sql::limits::MAX_STATEMENTS + 1);
    assert_eq!(on_small_stack(too_many), Some(Unknown::TooComplex));
    let ctes: Vec<String> = (0..=sql::limits::MAX_CTES_IN_SCOPE)
        .map(|number| format!("c{number} AS (SELECT 1)"))
        .collect();
    assert_eq!(on_small_stack(format!("WITH {} SELECT 1", ctes.join(","))), {
        Some(Unknown::TooComplex)
    });
    let in_bounds = "SELECT 1;".repeat(sql::limits::MAX_STATEMENTS);
    assert_eq!(on_small_stack(in_bounds), None);
}

#[test]
fn a_deep_statement_still_says_what_it_is() {
    let text = format!("UPDATE t SET a = {}", vec!["a"; 20_000].join("||"));
    let analysis = sql::analyze(text.as_bytes(), &context(&[]));
    let facts = analysis.statements()[0].facts(&|_, _| None).into_owned();
    assert_eq!(facts.operation, Operation::Update);
    assert!(facts.operations.is_unknown() && facts.relations.is_unknown());
}

#[test]
fn long_search_paths_do_not_multiply() {
    let tables = vec!["b"; 50_000].join(",");
    let path = vec!["a"; 50_000].join(",");
    let text = format!("SET search_path = {path}; SELECT 1 FROM {tables}");
    let analysis = sql::analyze(text.as_bytes(), &context(&[]));
    let unknown = |fact: &model::Fact<Vec<model::RelationUse>>| fact.known().is_none();
    let last = analysis.statements().last().unwrap();
    assert!(unknown(&last.facts(&|_, _| None).relations));
}

#[test]
fn many_branches_of_merge_read_their_join_once() {
    let on = vec!["a = 1"; 5_000].join(" AND ");
    let when = "WHEN MATCHED AND a = 1 THEN DELETE ".repeat(5_000);
    let started = std::time::Instant::now();
    sql::analyze(format!("MERGE INTO t USING u ON {on} {when}").as_bytes(), &context(&[]));
    assert!(started.elapsed() < std::time::Duration::from_secs(3));
}

#[test]
fn a_query_of_too_many_columns_has_no_shape_wherever_it_stands() {
    let has_shape = |text: &str| {
        let analysis = sql::analyze(text.as_bytes(), &context(&[]));
        !analysis.statements()[0].facts(&|_, _| None).shape.is_unknown()
    };
    let stars = |count: usize| vec!["*"; count].join(",");
    for form in [
        "SELECT {} FROM t",
        "SELECT 1 WHERE 1 IN (SELECT {} FROM t)",
        "SELECT 1 UNION SELECT {} FROM t",
        "SELECT x.* FROM (SELECT {} FROM t) x",
        "WITH x AS (SELECT {} FROM t) SELECT 1",
        "INSERT INTO u SELECT {} FROM t",
    ] {
        assert!(has_shape(&form.replace("{}", &stars(sql::limits::MAX_OUTPUT_COLUMNS))), "{form}");
        let more = stars(sql::limits::MAX_OUTPUT_COLUMNS + 1);
        assert!(!has_shape(&form.replace("{}", &more)), "{form}");
    }
}
