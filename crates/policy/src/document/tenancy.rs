//! The `tenancy` section.

use super::read::{Entries, check_keys, choice, entries, get, tables, word};
use super::report::Report;
use super::tree::{Key, Node};
use crate::table::{TablePattern, TableSet};
use crate::tenancy::{ADMIN_ROLE, COLUMN, Tenancy};

const KEYS: &[&str] =
    &["column", "tenant_global_tables", "table_required_scope", "admin_role", "setting", "enforce"];
/// A section that has these alone asks for scopes, and keeps no tenants apart.
const SCOPE_KEYS: &[&str] = &["table_required_scope", "admin_role"];

/// Reads `tenancy`.
pub(super) fn read(node: &Node, report: &mut Report<'_>) -> Tenancy {
    let own = entries(node, "`tenancy`", report);
    check_keys(own, "`tenancy`", KEYS, &[], report);
    let mut text = |key: &str| -> Option<String> {
        let (_, node) = get(own, key)?;
        let what = format!("`{key}`");
        let found = word(node, &what, report)?;
        if found.is_empty() {
            report.error(node.at, format!("{what} is empty"), None);
        }
        Some(found.to_owned())
    };
    let column = text("column").unwrap_or_else(|| COLUMN.to_owned());
    let admin_role = text("admin_role").unwrap_or_else(|| ADMIN_ROLE.to_owned());
    let setting = text("setting").map(|name| name.to_ascii_lowercase());
    let rewrites = get(own, "enforce").is_some_and(|(_, node)| {
        choice(node, "`enforce`", &["deny", "rewrite"], report) == Some("rewrite")
    });
    let global = match get(own, "tenant_global_tables") {
        Some((_, node)) => TableSet::new(tables(node, "`tenant_global_tables`", report)),
        None => TableSet::default(),
    };
    if let Some((key, _)) = get(own, "tenant_global_tables")
        && global.is_all()
    {
        let message = "every table is global: nothing is kept apart".to_owned();
        report.warning(key.at, message, None);
    }
    let asks_scopes = |(key, _): &(Key, Node)| SCOPE_KEYS.contains(&key.text.as_str());
    let isolates = own.is_empty() || !own.iter().all(asks_scopes);
    Tenancy { isolates, column, global, scopes: scopes(own, report), admin_role, setting, rewrites }
}

fn scopes(own: &Entries, report: &mut Report<'_>) -> Vec<(TableSet, String)> {
    let Some((_, node)) = get(own, "table_required_scope") else { return Vec::new() };
    let mut scopes = Vec::new();
    for (key, node) in entries(node, "`table_required_scope`", report) {
        let Some(scope) = word(node, &format!("the scope of `{}`", key.text), report) else {
            continue;
        };
        match TablePattern::parse(&key.text) {
            Ok(table) => scopes.push((TableSet::new([table]), scope.to_owned())),
            Err(wrong) => {
                report.error(key.at, format!("`{}` is no table: {wrong}", key.text), None);
            }
        }
    }
    scopes
}
