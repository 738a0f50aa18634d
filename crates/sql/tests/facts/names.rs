//! Prepared statements, cursors, search paths: what one statement means for a later one.

use std::sync::Arc;

use model::{Operation, SqlFacts, Unknown};
use sql::{Discarded, Effect, NameKind, NewSearchPath};

use crate::common::{analyze, facts};

fn effects(text: &str) -> Vec<Effect> {
    analyze(text).statements().last().unwrap().effects().to_vec()
}

#[test]
fn execute_does_what_was_prepared_in_the_same_submission() {
    let analysis = analyze("PREPARE p AS DELETE FROM t; EXECUTE p");
    let facts = analysis.statements()[1].facts(&|_, _| None);
    assert_eq!(facts.operation, Operation::Execute);
    let operations = facts.operations.known().unwrap();
    assert_eq!(operations, &[Operation::Delete, Operation::Execute]);
    assert!(analysis.statements()[1].references().is_empty());
}

#[test]
fn execute_of_an_unknown_name_knows_nothing_and_of_a_known_one_everything() {
    let analysis = analyze("EXECUTE p(1)");
    let statement = &analysis.statements()[0];
    assert_eq!(statement.references()[0].kind, NameKind::Statement);
    let blind = statement.facts(&|_, _| None);
    assert_eq!(blind.first_unknown(), Some(Unknown::UnresolvedName));
    assert_eq!(blind.operation, Operation::Execute);

    let prepared = Arc::new(facts("UPDATE t SET a = 1 WHERE b = 2"));
    let seen = statement.facts(&|kind, name| {
        (kind == NameKind::Statement && name == "p").then(|| Arc::clone(&prepared))
    });
    assert_eq!(seen.operations.known().unwrap(), &[Operation::Update, Operation::Execute]);
}

#[test]
fn a_deallocated_name_is_looked_up_outside_again() {
    let analysis = analyze("PREPARE p AS SELECT 1; DEALLOCATE p; EXECUTE p");
    assert!(analysis.statements()[2].facts(&|_, _| None).operations.is_unknown());
    let analysis = analyze("PREPARE p AS SELECT 1; DEALLOCATE q; EXECUTE p");
    assert!(!analysis.statements()[2].facts(&|_, _| None).operations.is_unknown());
}

#[test]
fn fetch_reads_what_its_cursor_reads() {
    let analysis = analyze("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT * FROM s.t; FETCH ALL c");
    let facts = analysis.statements()[2].facts(&|_, _| None);
    assert_eq!(facts.relations.known().unwrap()[0].relation.to_string(), "s.t");
    let declared = analysis.statements()[1].effects();
    assert!(matches!(&declared[0], Effect::Declare { name, hold: true, .. } if name == "c"));
    let cursor = |text: &str| analyze(text).statements()[0].references()[0].kind;
    for text in ["FETCH c", "MOVE 3 IN c", "UPDATE t SET a = 1 WHERE CURRENT OF c"] {
        assert_eq!(cursor(text), NameKind::Cursor, "{text}");
    }
    assert_eq!(cursor("SELECT cursor_to_xml('c', 1, true, true, '')"), NameKind::Cursor);
}

#[test]
fn names_of_one_kind_are_not_those_of_the_other() {
    let analysis = analyze("PREPARE c AS SELECT 1; FETCH c");
    assert!(analysis.statements()[1].facts(&|_, _| None).operations.is_unknown());
}

#[test]
fn effects_are_told() {
    assert_eq!(effects("DEALLOCATE ALL"), [Effect::Deallocate { name: None }]);
    assert_eq!(effects("CLOSE c"), [Effect::Close { name: Some("c".to_owned()) }]);
    assert_eq!(effects("CLOSE ALL"), [Effect::Close { name: None }]);
    assert_eq!(effects("DISCARD PLANS"), [Effect::Discard(Discarded::Plans)]);
    assert_eq!(effects("COPY t FROM STDIN"), [Effect::Copy]);
    assert_eq!(effects("COPY t TO '/tmp/x'"), []);
    assert_eq!(effects("SELECT 1"), []);
    let prepared = effects("PREPARE p AS SELECT * FROM t");
    let Effect::Prepare { name, facts } = &prepared[0] else { panic!() };
    assert_eq!((name.as_str(), facts.operation), ("p", Operation::Select));
}

#[test]
fn search_path_changes_are_told_however_they_are_made() {
    let path = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        [Effect::SearchPath(NewSearchPath::Schemas(names))]
    };
    assert_eq!(effects("SET search_path TO \"$user\", s"), path(&["$user", "s"]));
    assert_eq!(effects("SET SCHEMA 'a, b'"), path(&["a, b"]));
    assert_eq!(effects("SELECT set_config('search_path', 'a, B', false)"), path(&["a", "b"]));
    assert_eq!(effects("RESET search_path"), [Effect::SearchPath(NewSearchPath::Reset)]);
    assert_eq!(effects("RESET ALL"), [Effect::SearchPath(NewSearchPath::Reset)]);
    let unknown = [Effect::SearchPath(NewSearchPath::Unknown)];
    for text in [
        // It may run for no row, or for many.
        "SELECT set_config('search_path', 'a', false) FROM t",
        "SELECT set_config('search_path', 'a', false) WHERE false",
        "SELECT CASE WHEN x THEN set_config('search_path', 'a', false) END FROM t",
        "SELECT set_config($1, 'a', false)",
        "SELECT set_config('search_path', $1, false)",
        "UPDATE pg_settings SET setting = 'a' WHERE name = 'search_path'",
        "DO 'begin end'",
        "PREPARE p AS SELECT set_config('search_path', 'a', false); EXECUTE p",
        "PREPARE p AS SELECT set_config('role', 'a', false), set_config($1, 'a', false); \
         EXPLAIN ANALYZE EXECUTE p",
        "SELECT query_to_xml($$SELECT set_config('search_path', 'a', false)$$, true, true, '')",
    ] {
        assert_eq!(effects(text), unknown, "{text}");
    }
    assert_eq!(effects("ALTER ROLE bob SET search_path = a"), []);
    assert_eq!(effects("SELECT current_setting('search_path')"), []);
}

#[test]
fn later_statements_see_the_path_that_earlier_ones_set() {
    let candidates = |text: &str| {
        let analysis = analyze(text);
        let last: SqlFacts = analysis.statements().last().unwrap().facts(&|_, _| None).into_owned();
        format!("{:?}", last.relations.known().unwrap()[0].relation.schemas)
    };
    let both = r#"Paths([["app", "public"], ["evil"]])"#;
    assert_eq!(candidates("SET search_path = evil; SELECT * FROM t"), both);
    assert_eq!(candidates("SET search_path = evil; PREPARE p AS SELECT * FROM t; EXECUTE p"), both);
    assert_eq!(candidates("SET search_path = \"$user\"; SELECT * FROM t"), "Unknown");
    assert_eq!(candidates("RESET search_path; SELECT * FROM t"), "Unknown");
    // The server plans a prepared statement again under the path of the moment.
    assert_eq!(
        candidates("PREPARE p AS SELECT * FROM t; SET search_path = evil; EXECUTE p"),
        "Unknown"
    );
    assert_eq!(candidates("SELECT 1; SELECT * FROM t"), r#"Paths([["app", "public"]])"#);
}
