//! An agent's `columns`, `functions` and `settings`.

use super::read::{Entries, check_keys, choice, entries, flag, get, word, words};
use super::report::Report;
use super::tree::{Key, Node, Position, Value};
use crate::callable::{CallablePattern, Callables};
use crate::column::{ColumnPattern, ColumnRule, Counts};
use crate::setting_list::{Bound, SettingList, fits};
use crate::settings::is_setting_name;
use crate::table::TablePattern;

/// Reads `columns`: by relation, a list of the allowed ones, or `allow`, `deny`, `write_only`, `output_only`.
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
        check_keys(own, &what, &["allow", "deny", "write_only", "output_only"], &["mask"], report);
        let allow = get(own, "allow").map(|(_, node)| patterns(node, "`allow`", report));
        let deny = get(own, "deny").map(|(_, node)| patterns(node, "`deny`", report));
        let write_only =
            get(own, "write_only").map(|(_, node)| patterns(node, "`write_only`", report));
        if allow.is_none() && deny.is_none() && write_only.is_none() {
            let help = "add `allow: [...]`, `deny: [...]` or `write_only: [...]`".to_owned();
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
        let rule = ColumnRule::new(relation, allow, deny.unwrap_or_default(), counts);
        rules.push(rule.with_write_only(write_only.unwrap_or_default()));
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

/// Reads `settings`: a list of the ones that may be changed, or by name `any` or `{max: value}`.
pub(super) fn settings(own: &Entries, report: &mut Report<'_>) -> SettingList {
    let Some((_, node)) = get(own, "settings") else { return SettingList::default() };
    if let Value::List(_) = node.value {
        let mut list = Vec::new();
        for (at, name) in words(node, "`settings`", report) {
            check_setting(at, name, report);
            list.push((name.to_ascii_lowercase(), None));
        }
        return SettingList::new(list);
    }
    let mut list = Vec::new();
    for (key, node) in entries(node, "`settings`", report) {
        check_setting(key.at, &key.text, report);
        let bound = if let Value::Scalar(_) = node.value {
            choice(node, "a setting", &["any"], report);
            None
        } else {
            let what = format!("the setting `{}`", key.text);
            let own = entries(node, &what, report);
            check_keys(own, &what, &["max"], &[], report);
            most(own, key, report)
        };
        list.push((key.text.to_ascii_lowercase(), bound));
    }
    SettingList::new(list)
}

/// The highest value; a bound that is left out is a mistake, not a setting without one.
fn most(own: &Entries, key: &Key, report: &mut Report<'_>) -> Option<Bound> {
    let Some((_, node)) = get(own, "max") else {
        let help = "write `any`, or `{max: 30s}`".to_owned();
        report.error(key.at, format!("`{}` has no `max`", key.text), Some(help));
        return None;
    };
    let text = word(node, "`max`", report)?;
    let bound = Bound::parse(text).filter(|_| fits(&key.text.to_ascii_lowercase(), text));
    if bound.is_none() {
        let help =
            "write a number in the setting's own unit; of a timeout also `30s`, `5min`".to_owned();
        report.error(node.at, format!("`max` cannot be `{text}`"), Some(help));
    }
    bound
}

fn check_setting(at: Position, name: &str, report: &mut Report<'_>) {
    if name == "*" || !is_setting_name(name) {
        report.error(at, format!("`{name}` is no setting's name"), None);
    }
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
