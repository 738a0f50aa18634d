//! The `detections` and `risk` sections.

use super::Reader;
use super::read::{Entries, check_keys, entries, flag, get, word, words};
use super::report::Report;
use super::tree::{self, Node, Value};
use crate::column::ColumnPattern;
use crate::detections::{Detections, MAX_LIMIT, PII_NAMES, Switch};

/// Reads `detections`: switches, `templates` with switches inside, or a `file` that has either.
pub(super) fn read(
    section: Option<&Node>,
    read: &mut Reader<'_>,
    report: &mut Report<'_>,
) -> Option<Detections> {
    let own = entries(section?, "`detections`", report);
    let Some((key, named)) = get(own, "file") else { return Some(switches(own, report)) };
    if own.len() > 1 {
        let help = "give either `file` or the switches".to_owned();
        report.error(key.at, "`file` stands alone in `detections`".to_owned(), Some(help));
    }
    let file = word(named, "`file`", report)?;
    let text = match read(file) {
        Ok(text) => text,
        Err(why) => {
            report.error(named.at, format!("cannot read `{file}`: {why}"), None);
            return None;
        }
    };
    let mut inner = Report::new(file);
    let found = tree::parse(&text, &mut inner).map(|root| {
        let own = entries(&root, "a file of detections", &mut inner);
        switches(own, &mut inner)
    });
    report.absorb(inner);
    found
}

fn switches(own: &Entries, report: &mut Report<'_>) -> Detections {
    let own = match get(own, "templates") {
        Some((_, inner)) if own.len() == 1 => entries(inner, "`templates`", report),
        Some(_) | None => own,
    };
    let names: Vec<&str> = Switch::ALL.iter().map(|switch| switch.name()).collect();
    check_keys(own, "`detections`", &names, &["rego"], report);
    let mut detections = Detections {
        on: Vec::new(),
        max_limit: MAX_LIMIT,
        pii: PII_NAMES.iter().map(|name| (*name).to_owned()).collect(),
        pii_patterns: Vec::new(),
    };
    for switch in Switch::ALL.iter().copied() {
        let Some((key, node)) = get(own, switch.name()) else {
            if switch.default() {
                detections.on.push(switch);
            }
            continue;
        };
        let what = format!("`{}`", key.text);
        let inner = entries(node, &what, report);
        let known: &[&str] = match switch {
            Switch::RowLimit => &["enabled", "max_limit"],
            Switch::Pii => &["enabled", "names", "patterns"],
            Switch::Tautology
            | Switch::Star
            | Switch::Destructive
            | Switch::MissingWhere
            | Switch::SchemaEnumeration
            | Switch::MultiStatement
            | Switch::SetOperation
            | Switch::WritingWith
            | Switch::ExplainAnalyze
            | Switch::TwoPhase
            | Switch::Comment
            | Switch::RandomOrder
            | Switch::Resource => &["enabled"],
        };
        check_keys(inner, &what, known, &[], report);
        let enabled = get(inner, "enabled").is_none_or(|(_, node)| flag(node, "`enabled`", report));
        if enabled {
            detections.on.push(switch);
        }
        options(switch, inner, &mut detections, report);
    }
    detections
}

fn options(switch: Switch, own: &Entries, into: &mut Detections, report: &mut Report<'_>) {
    if switch == Switch::RowLimit
        && let Some((_, node)) = get(own, "max_limit")
        && let Some(text) = word(node, "`max_limit`", report)
    {
        match text.parse() {
            Ok(limit) => into.max_limit = limit,
            Err(_not_a_number) => {
                let help = Some("write a whole number, such as 500".to_owned());
                report.error(node.at, format!("`max_limit` cannot be `{text}`"), help);
            }
        }
    }
    if switch == Switch::Pii {
        if let Some((_, node)) = get(own, "names") {
            let names = words(node, "`names`", report);
            into.pii = names.into_iter().map(|(_, name)| name.to_ascii_lowercase()).collect();
            into.pii.retain(|name| !name.is_empty());
        }
        if let Some((_, node)) = get(own, "patterns") {
            for (at, text) in words(node, "`patterns`", report) {
                match ColumnPattern::parse(text) {
                    Ok(pattern) => into.pii_patterns.push(pattern),
                    Err(wrong) => report.error(at, format!("`{text}` is no column: {wrong}"), None),
                }
            }
        }
    }
}

/// Reads `risk.threshold`.
pub(super) fn risk(section: Option<&Node>, report: &mut Report<'_>) -> Option<u32> {
    let own = entries(section?, "`risk`", report);
    check_keys(own, "`risk`", &["threshold"], &[], report);
    let Some((_, node)) = get(own, "threshold") else {
        return Some(7);
    };
    let text = word(node, "`threshold`", report)?;
    match text.parse() {
        Ok(0) | Err(_) => {
            let help = Some("write a whole number from 1 on; 7 is usual".to_owned());
            report.error(node.at, format!("`threshold` cannot be `{text}`"), help);
            None
        }
        Ok(threshold) => Some(threshold),
    }
}

/// Reads a list of words of an agent: `roles`, `scopes`.
pub(super) fn list(own: &Entries, key: &str, report: &mut Report<'_>) -> Vec<String> {
    match get(own, key) {
        Some((_, node)) if !matches!(node.value, Value::Null) => {
            let listed = words(node, &format!("`{key}`"), report);
            listed.into_iter().map(|(_, word)| word.to_owned()).collect()
        }
        Some(_) | None => Vec::new(),
    }
}
