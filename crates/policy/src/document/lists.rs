//! An agent's `columns` and `functions`.

use super::read::{Entries, check_keys, entries, flag, get, words};
use super::report::Report;
use super::tree::{Node, Value};
use crate::callable::{CallablePattern, Callables};
use crate::column::{ColumnPattern, ColumnRule, Counts};
use crate::table::TablePattern;

/// Reads `columns`: by relation, a list of the allowed ones, or `allow`, `deny`, `output_only`.
pub(super) fn columns(own: &Entries, report: &mut Report<'_>) -> Vec<ColumnRule> {
    let Some((_, node)) = get(own, "columns") else { return Vec::new() };
    let mut rules = Vec::new();
    for (key, node) in entries(node, "`columns`", report) {
        let relation = match TablePattern::parse(&key.text) {
            Ok(relation) => relation,
            Err(wrong) => {
                report.error(key.at, format!("`{}` is no table: {wrong}", key.text), None);
                continue;
            }
        };
        if let Value::List(_) = node.value {
            let allow = patterns(node, "`columns`", report);
            rules.push(ColumnRule::new(relation, Some(allow), Vec::new(), Counts::Anywhere));
            continue;
        }
        let what = format!("the columns of `{}`", key.text);
        let own = entries(node, &what, report);
        check_keys(own, &what, &["allow", "deny", "output_only"], &["mask"], report);
        let allow = get(own, "allow").map(|(_, node)| patterns(node, "`allow`", report));
        let deny = get(own, "deny").map(|(_, node)| patterns(node, "`deny`", report));
        if allow.is_none() && deny.is_none() {
            let help = "add `allow: [...]`, `deny: [...]` or both".to_owned();
            report.error(key.at, format!("{what} are neither allowed nor denied"), Some(help));
        }
        let output_only =
            get(own, "output_only").is_some_and(|(_, node)| flag(node, "`output_only`", report));
        if output_only {
            let message =
                format!("{what} may be filtered, joined and ordered by: values can be guessed");
            report.warning(key.at, message, None);
        }
        let counts = if output_only { Counts::OutputOnly } else { Counts::Anywhere };
        rules.push(ColumnRule::new(relation, allow, deny.unwrap_or_default(), counts));
    }
    rules
}

fn patterns(node: &Node, what: &str, report: &mut Report<'_>) -> Vec<ColumnPattern> {
    let mut patterns = Vec::new();
    for (at, text) in words(node, what, report) {
        match ColumnPattern::parse(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(wrong) => report.error(at, format!("`{text}` is no column: {wrong}"), None),
        }
    }
    patterns
}

/// Reads `functions`: a list of the allowed ones, or `allow` and `deny`.
pub(super) fn functions(own: &Entries, report: &mut Report<'_>) -> Callables {
    let Some((_, node)) = get(own, "functions") else { return Callables::default() };
    if let Value::List(_) = node.value {
        return Callables::new(Some(callables(node, "`functions`", report)), Vec::new());
    }
    let own = entries(node, "`functions`", report);
    check_keys(own, "`functions`", &["allow", "deny"], &[], report);
    let allow = get(own, "allow").map(|(_, node)| callables(node, "`allow`", report));
    let deny = get(own, "deny").map(|(_, node)| callables(node, "`deny`", report));
    Callables::new(allow, deny.unwrap_or_default())
}

fn callables(node: &Node, what: &str, report: &mut Report<'_>) -> Vec<CallablePattern> {
    let mut patterns = Vec::new();
    for (at, text) in words(node, what, report) {
        match CallablePattern::parse(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(wrong) => report.error(at, format!("`{text}` is no function: {wrong}"), None),
        }
    }
    patterns
}
