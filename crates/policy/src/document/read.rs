//! Small readers that every section uses: mappings, lists, words, choices.
//!
//! Each reports what is wrong and goes on, so that one reading finds everything.

use super::report::Report;
use super::tree::{Key, Node, Position, Value};
use crate::function::FunctionPattern;
use crate::table::TablePattern;

/// Entries of a mapping.
pub(crate) type Entries = [(Key, Node)];

/// The entries of a mapping; nothing for null.
pub(crate) fn entries<'n>(node: &'n Node, what: &str, report: &mut Report<'_>) -> &'n Entries {
    match &node.value {
        Value::Map(entries) => entries,
        Value::Null => &[],
        Value::Scalar(_) | Value::List(_) => {
            report.error(node.at, format!("{what} is a mapping (`key: value`)"), None);
            &[]
        }
    }
}

/// The value of a key.
pub(crate) fn get<'n>(entries: &'n Entries, name: &str) -> Option<(&'n Key, &'n Node)> {
    entries.iter().find(|(key, _)| key.text == name).map(|(key, node)| (key, node))
}

/// Reports keys that are neither `known` nor planned (`later`).
pub(crate) fn check_keys(
    entries: &Entries,
    what: &str,
    known: &[&str],
    later: &[&str],
    report: &mut Report<'_>,
) {
    for (key, _) in entries {
        let word = key.text.as_str();
        if later.contains(&word) {
            let help = "remove it; it is refused because ignoring it would promise a protection \
                        that is not there";
            report.error(key.at, format!("`{word}` is not supported yet"), Some(help.to_owned()));
        } else if !known.contains(&word) {
            report.unknown(key.at, format!("unknown key `{word}` in {what}"), word, known);
        }
    }
}

/// The text of a scalar.
pub(crate) fn word<'n>(node: &'n Node, what: &str, report: &mut Report<'_>) -> Option<&'n str> {
    match &node.value {
        Value::Scalar(text) => Some(text),
        Value::Null | Value::List(_) | Value::Map(_) => {
            report.error(node.at, format!("{what} is one word or text"), None);
            None
        }
    }
}

/// The words of a list; nothing for null.
pub(crate) fn words<'n>(
    node: &'n Node,
    what: &str,
    report: &mut Report<'_>,
) -> Vec<(Position, &'n str)> {
    match &node.value {
        Value::List(items) => items
            .iter()
            .filter_map(|item| {
                word(item, &format!("an entry of {what}"), report).map(|text| (item.at, text))
            })
            .collect(),
        Value::Null => Vec::new(),
        Value::Scalar(text) => {
            let help = Some(format!("write [{text}]"));
            report.error(node.at, format!("{what} is a list"), help);
            Vec::new()
        }
        Value::Map(_) => {
            report.error(node.at, format!("{what} is a list"), None);
            Vec::new()
        }
    }
}

/// One of a few words.
pub(crate) fn choice<'k>(
    node: &Node,
    what: &str,
    known: &[&'k str],
    report: &mut Report<'_>,
) -> Option<&'k str> {
    let text = word(node, what, report)?;
    let found = known.iter().copied().find(|one| *one == text);
    if found.is_none() {
        report.unknown(node.at, format!("{what} cannot be `{text}`"), text, known);
    }
    found
}

/// `true` or `false`.
pub(crate) fn flag(node: &Node, what: &str, report: &mut Report<'_>) -> bool {
    choice(node, what, &["true", "false"], report) == Some("true")
}

/// The table patterns of a list.
pub(crate) fn tables(node: &Node, what: &str, report: &mut Report<'_>) -> Vec<TablePattern> {
    let mut patterns = Vec::new();
    for (at, text) in words(node, what, report) {
        match TablePattern::parse(text) {
            Ok(pattern) => {
                if pattern.folds() {
                    let help = "write it in lower case, or in double quotes (inside single quotes) \
                                if the table was created so";
                    let message = format!("PostgreSQL reads `{text}` in lower case");
                    report.warning(at, message, Some(help.to_owned()));
                }
                patterns.push(pattern);
            }
            Err(wrong) => report.error(at, format!("`{text}` is no table: {wrong}"), None),
        }
    }
    patterns
}

/// The function patterns of a list.
pub(crate) fn functions(node: &Node, what: &str, report: &mut Report<'_>) -> Vec<FunctionPattern> {
    let mut patterns = Vec::new();
    for (at, text) in words(node, what, report) {
        match FunctionPattern::parse(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(wrong) => report.error(at, format!("`{text}` is no function: {wrong}"), None),
        }
    }
    patterns
}
