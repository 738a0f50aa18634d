//! The shared corpus's rows about matching names, asked of whole policies. Skips, and says so, if
//! the corpus is not there.

mod common;

use common::{ask, policy};
use model::{
    Access, Fact, FunctionUse, Operation, Principal, RelationName, RelationUse, Schemas, SqlFacts,
};
use serde_json::Value;

const CORPUS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora/faultwall_cases.jsonl");

fn words(value: &Value) -> Vec<String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn qualified(name: &str) -> (Option<String>, String) {
    match name.split_once('.') {
        Some((schema, name)) => (Some(schema.to_owned()), name.to_owned()),
        None => (None, name.to_owned()),
    }
}

fn reads(case: &Value) -> SqlFacts {
    let (schema, name) = qualified(case["table"].as_str().unwrap_or_default());
    let path = match words(&case["search_path"]) {
        path if path.is_empty() => vec!["public".to_owned()],
        path => path,
    };
    let schemas =
        schema.map_or_else(|| Schemas::Paths([path].into()), |name| Schemas::Named(name.into()));
    let relation = RelationName { schemas, name: name.into() };
    let used = RelationUse { relation, access: Access::Read };
    SqlFacts { relations: Fact::Known(vec![used]), ..SqlFacts::of(Operation::Select) }
}

fn calls(case: &Value) -> SqlFacts {
    let (schema, name) = qualified(case["function"].as_str().unwrap_or_default());
    let functions = Fact::Known(vec![FunctionUse { schema, name }]);
    SqlFacts { functions, ..SqlFacts::of(Operation::Select) }
}

/// Whether our answer is "it matches"; `None` for rows about something else.
fn matches(case: &Value) -> Option<bool> {
    let list = |key: &str| serde_json::to_string(&words(&case[key])).unwrap_or_default();
    let who = Principal::asserted("agent:a:mission:m");
    match case["kind"].as_str()? {
        "function_match" => {
            // Only the case's own list: the shipped one is lifted.
            let blocked = list("blocked_functions");
            let text =
                format!("blocked_functions: {blocked}\nfunctions: ['*']\nagents: {{a: {{}}}}");
            Some(!ask(&policy(&text), &who, &calls(case)).is_allowed())
        }
        "table_allow_match" => {
            let text = format!("agents: {{a: {{missions: {{m: {{tables: {}}}}}}}}}", list("allow"));
            Some(ask(&policy(&text), &who, &reads(case)).is_allowed())
        }
        "table_block_match" => {
            let text = format!("agents: {{a: {{blocked_tables: {}}}}}", list("block"));
            Some(!ask(&policy(&text), &who, &reads(case)).is_allowed())
        }
        _ => None,
    }
}

#[test]
fn names_match_as_the_corpus_expects() {
    let Ok(rows) = std::fs::read_to_string(CORPUS) else {
        println!("skipped: no corpus");
        return;
    };
    let mut asked = 0;
    for row in rows.lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        let case = &row["policy_context"];
        let Some(found) = matches(case) else { continue };
        asked += 1;
        // Rows whose note calls the recorded behaviour unsafe: the safe answer is the opposite.
        let unsafe_row = row["note"].as_str().is_some_and(|note| note.contains("(unsafe)"));
        let expected = row["expected"]["match"].as_bool().unwrap() != unsafe_row;
        assert_eq!(found, expected, "{case}");
    }
    assert!(asked >= 19, "only {asked} rows");
}
