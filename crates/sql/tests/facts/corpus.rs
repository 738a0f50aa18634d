//! What the seed's own tests say of operations, tables and functions, where the corpus is at hand.

use std::fs;
use std::path::Path;

use model::{Operation, SqlFacts};
use serde_json::Value;

use crate::common::analyze;

/// Characters that make us answer otherwise, on purpose: a row that holds one is argued.
const CONTRADICTIONS: &[(char, &str)] = &[
    ('\0', "the server refuses a NUL as a protocol violation, so do we"),
    ('\u{a0}', "a no-break space is part of a name for PostgreSQL, which refuses the text"),
    ('\u{200b}', "a zero-width space is part of a name for PostgreSQL, which refuses the text"),
    ('\u{200d}', "a zero-width joiner is part of a name for PostgreSQL, which refuses the text"),
    ('\u{feff}', "a byte order mark is part of a name for PostgreSQL, which refuses the text"),
];

fn rows() -> Option<Vec<Value>> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora/faultwall_cases.jsonl");
    let text = fs::read_to_string(path).ok()?;
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn all_facts(text: &str) -> Vec<SqlFacts> {
    analyze(text).statements().iter().map(|found| found.facts(&|_, _| None).into_owned()).collect()
}

fn check(row: &Value) -> Result<(), String> {
    let text = row["sql"].as_str().unwrap_or_default();
    let facts = all_facts(text);
    let first = &facts[0];
    let expected = &row["expected"];
    if let Some(operation) = expected["operation"].as_str() {
        let same = first.operation.name() == operation
            || (first.operation == Operation::Unknown && operation == "UNKNOWN");
        if !same {
            return Err(format!("{text}\n    {operation} expected, {} found", first.operation));
        }
    }
    if let Some(category) = expected["category"].as_str() {
        let found = format!("{:?}", first.operation.category()).to_uppercase();
        if found != category {
            return Err(format!("{text}\n    {category} expected, {found} found"));
        }
    }
    let names = |key: &str| expected[key].as_array().cloned().unwrap_or_default();
    for table in names("tables_include") {
        let table = table.as_str().unwrap_or_default();
        let found = facts.iter().any(|facts| {
            facts.relations.known().is_none_or(|relations| {
                relations.iter().any(|used| {
                    let shown = used.relation.to_string();
                    shown == table || shown.rsplit('.').next() == Some(table)
                })
            })
        });
        if !found {
            return Err(format!("{text}\n    table {table} not found"));
        }
    }
    for function in names("functions_include") {
        let function = function.as_str().unwrap_or_default();
        let found = facts.iter().any(|facts| {
            facts.functions.known().is_none_or(|functions| {
                functions.iter().any(|used| used.to_string() == function || used.name == function)
            })
        });
        if !found {
            return Err(format!("{text}\n    function {function} not found"));
        }
    }
    Ok(())
}

#[test]
fn the_seeds_own_cases_hold() {
    let Some(rows) = rows() else {
        println!("skipped: no corpus");
        return;
    };
    let mut failures = Vec::new();
    let mut checked = 0;
    for row in &rows {
        let kind = row["policy_context"]["kind"].as_str();
        if !matches!(kind, Some("classify" | "extract")) {
            continue;
        }
        checked += 1;
        let text = row["sql"].as_str().unwrap_or_default();
        let argued = CONTRADICTIONS.iter().any(|(odd, _reason)| text.contains(*odd));
        if let Err(failure) = check(row)
            && !argued
        {
            failures.push(failure);
        }
    }
    assert!(checked > 100, "only {checked} rows");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
