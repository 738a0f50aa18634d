//! The `detections`, `tenancy` and `risk` sections.

use super::read::{Entries, check_keys, entries, flag, get, tables, word, words};
use super::report::Report;
use super::tree::{Node, Value};
use crate::column::ColumnPattern;
use crate::detections::{Detections, MAX_LIMIT, PII_NAMES, Scopes, Switch};
use crate::table::TableSet;

/// Reads `detections`: switches, or `templates` with switches inside.
pub(super) fn read(section: Option<&Node>, report: &mut Report<'_>) -> Option<Detections> {
    let node = section?;
    let own = entries(node, "`detections`", report);
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
    Some(detections)
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

/// Reads `tenancy`.
pub(super) fn tenancy(section: Option<&Node>, report: &mut Report<'_>) -> Scopes {
    let Some(node) = section else { return Scopes::default() };
    let own = entries(node, "`tenancy`", report);
    let known = ["column", "tenant_global_tables", "table_required_scope", "admin_role"];
    check_keys(own, "`tenancy`", &known, &["enforce"], report);
    let admin_role = match get(own, "admin_role") {
        Some((_, node)) => word(node, "`admin_role`", report).unwrap_or_default().to_owned(),
        None => "admin".to_owned(),
    };
    let text = |key: &str, report: &mut Report<'_>| {
        let (_, node) = get(own, key)?;
        word(node, &format!("`{key}`"), report).map(str::to_ascii_lowercase)
    };
    let column = text("column", report);
    let global = match get(own, "tenant_global_tables") {
        Some((_, node)) => TableSet::new(tables(node, "`tenant_global_tables`", report)),
        None => TableSet::default(),
    };
    let mut scopes = Scopes { admin_role, column, global, ..Scopes::default() };
    if let Some((_, node)) = get(own, "table_required_scope") {
        for (key, node) in entries(node, "`table_required_scope`", report) {
            if let Some(scope) = word(node, "a scope", report) {
                scopes.required.insert(key.text.to_ascii_lowercase(), scope.to_owned());
            }
        }
    }
    scopes
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
