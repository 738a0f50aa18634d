//! The `agents` and `unidentified` sections.

use std::collections::{BTreeMap, HashMap};

use super::profiles::{Profiles, covering, exact, operations};
use super::read::{Entries, check_keys, choice, entries, get, tables, word};
use super::report::Report;
use super::tree::{Key, Node};
use super::{detections, lists};
use crate::Mode;
use crate::agent::Agent;
use crate::profile::{Guards, OperationSet, Operations, Profile};
use crate::table::TableSet;

const AGENT_KEYS: &[&str] = &[
    "description",
    "profile",
    "profile_overrides",
    "blocked_operations",
    "blocked_tables",
    "columns",
    "functions",
    "settings",
    "tables",
    "tenant",
    "roles",
    "scopes",
    "missions",
    "mode",
];
const AGENT_LATER: &[&str] = &[
    "tools",
    "budgets",
    "auth_token",
    "blocked_columns",
    "allowed_functions",
    "allowed_fingerprints",
    "pending_review",
];
const MISSION_KEYS: &[&str] = &["description", "tables"];
const MISSION_LATER: &[&str] =
    &["tools", "budgets", "expiry", "max_rows", "max_query_time_ms", "conditions"];

/// What `unidentified.policy` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Unidentified {
    /// Refused.
    #[default]
    Deny,
    /// Forwarded, and recorded as denied.
    Observe,
    /// Judged like an agent without limits of its own.
    Allow,
}

/// Reads `agents`.
pub(crate) fn read(
    section: Option<&Node>,
    profiles: &mut Profiles<'_>,
    report: &mut Report<'_>,
) -> HashMap<String, Agent> {
    let mut agents = HashMap::new();
    for (key, node) in section.map_or(&[][..], |node| entries(node, "`agents`", report)) {
        check_name(key, "agent", report);
        let what = format!("agent `{}`", key.text);
        let own = entries(node, &what, report);
        check_keys(own, &what, AGENT_KEYS, AGENT_LATER, report);
        agents.insert(key.text.clone(), agent(own, profiles, report));
    }
    agents
}

/// A name that no connection can give would silently never apply.
fn check_name(key: &Key, what: &str, report: &mut Report<'_>) {
    if key.text.is_empty() || key.text.contains(':') {
        let message = format!("no connection can name the {what} `{}`", key.text);
        report.error(key.at, message, Some("use a name without `:`".to_owned()));
    }
}

fn agent(own: &Entries, profiles: &mut Profiles<'_>, report: &mut Report<'_>) -> Agent {
    if let Some((_, node)) = get(own, "description") {
        word(node, "`description`", report);
    }
    let (operations, guards) = rights(own, profiles, report);
    Agent {
        operations,
        guards,
        blocked_tables: table_set(own, "blocked_tables", report),
        columns: lists::columns(own, report),
        functions: lists::functions(own, report),
        settings: lists::settings(own, report),
        tables: get(own, "tables").map(|_| table_set(own, "tables", report)),
        tenant: tenant(own, report),
        roles: detections::list(own, "roles", report),
        scopes: detections::list(own, "scopes", report),
        missions: missions(own, report),
        mode: mode(own, report),
    }
}

/// An empty tenant would be everybody's.
fn tenant(own: &Entries, report: &mut Report<'_>) -> Option<String> {
    let (key, node) = get(own, "tenant")?;
    let text = word(node, "`tenant`", report)?;
    if text.is_empty() {
        report.error(key.at, "a tenant has a name".to_owned(), None);
    }
    Some(text.to_owned())
}

fn table_set(own: &Entries, key: &str, report: &mut Report<'_>) -> TableSet {
    match get(own, key) {
        Some((_, node)) => TableSet::new(tables(node, &format!("`{key}`"), report)),
        None => TableSet::default(),
    }
}

/// `profile ? (profile + allow) - block : all - blocked_operations`.
fn rights(
    own: &Entries,
    profiles: &mut Profiles<'_>,
    report: &mut Report<'_>,
) -> (Operations, Guards) {
    let legacy = get(own, "blocked_operations")
        .map(|(key, node)| (key, covering(&operations(node, "`blocked_operations`", report))));
    let overrides =
        get(own, "profile_overrides").map(|(key, node)| (key, read_overrides(node, report)));
    if let Some((_, node)) = get(own, "profile") {
        if let Some((key, _)) = legacy {
            let message = "`blocked_operations` has no effect beside `profile`".to_owned();
            let help = "move it to `profile_overrides: { block: [...] }`".to_owned();
            report.warning(key.at, message, Some(help));
        }
        let name = word(node, "`profile`", report);
        let profile = name.and_then(|name| profiles.named(name, node.at, report));
        let profile = profile.unwrap_or_default();
        let (allow, block) = overrides.map_or_else(Default::default, |(_, sets)| sets);
        // A mission hands out rows of tables, not the tables: a profile that blocks anything lets
        // an agent with missions define only what is allowed by name.
        let on_mission = get(own, "missions").is_some() && !profile.blocked.is_empty();
        let definitions = OperationSet::of_category(model::Category::Ddl).without(allow);
        let block = if on_mission { block.union(definitions) } else { block };
        (profile.operations(allow, block), profile.guards)
    } else {
        if let Some((key, _)) = overrides {
            let message = "`profile_overrides` changes a profile, and there is none".to_owned();
            let help = "add `profile: permissive`, `standard` or `strict`".to_owned();
            report.error(key.at, message, Some(help));
        }
        let blocked = legacy.map_or(OperationSet::EMPTY, |(_, blocked)| blocked);
        let everything = Profile::permissive();
        let profile = Profile { allow_unknown: blocked.is_empty(), ..everything };
        (profile.operations(OperationSet::EMPTY, blocked), Guards::default())
    }
}

fn read_overrides(node: &Node, report: &mut Report<'_>) -> (OperationSet, OperationSet) {
    let own = entries(node, "`profile_overrides`", report);
    check_keys(own, "`profile_overrides`", &["allow", "block"], &[], report);
    let allow = get(own, "allow")
        .map_or(OperationSet::EMPTY, |(_, node)| exact(operations(node, "`allow`", report)));
    let block = get(own, "block")
        .map_or(OperationSet::EMPTY, |(_, node)| covering(&operations(node, "`block`", report)));
    (allow, block)
}

fn missions(own: &Entries, report: &mut Report<'_>) -> Option<BTreeMap<String, TableSet>> {
    let (key, node) = get(own, "missions")?;
    let mut missions = BTreeMap::new();
    let listed = entries(node, "`missions`", report);
    if listed.is_empty() {
        let help = "remove the key to permit every table, or list missions".to_owned();
        report.warning(key.at, "no mission: the agent reaches no table".to_owned(), Some(help));
    }
    for (name, node) in listed {
        check_name(name, "mission", report);
        let what = format!("mission `{}`", name.text);
        let own = entries(node, &what, report);
        check_keys(own, &what, MISSION_KEYS, MISSION_LATER, report);
        if get(own, "tables").is_none() {
            let help = "add `tables: [schema.table, ...]`; `tables: []` permits none".to_owned();
            report.error(name.at, format!("{what} lists no `tables`"), Some(help));
        }
        if let Some((_, node)) = get(own, "description") {
            word(node, "`description`", report);
        }
        missions.insert(name.text.clone(), table_set(own, "tables", report));
    }
    Some(missions)
}

fn mode(own: &Entries, report: &mut Report<'_>) -> Mode {
    let Some((key, node)) = get(own, "mode") else {
        return Mode::Enforce;
    };
    match choice(node, "`mode`", &["enforce", "observe"], report) {
        Some("observe") => {
            let message = "nothing is refused: denials are only recorded".to_owned();
            report.warning(key.at, message, None);
            Mode::Observe
        }
        Some(_) | None => Mode::Enforce,
    }
}

/// Reads `unidentified`.
pub(crate) fn unidentified(
    section: Option<&Node>,
    report: &mut Report<'_>,
) -> (Unidentified, TableSet) {
    let own = section.map_or(&[][..], |node| entries(node, "`unidentified`", report));
    check_keys(own, "`unidentified`", &["policy", "blocked_tables"], &[], report);
    let blocked = table_set(own, "blocked_tables", report);
    let Some((_, node)) = get(own, "policy") else {
        return (Unidentified::Deny, blocked);
    };
    let known = &["deny", "monitor", "log", "allow"];
    let policy = match choice(node, "`unidentified.policy`", known, report) {
        Some("allow") => Unidentified::Allow,
        Some("monitor" | "log") => Unidentified::Observe,
        Some(_) | None => Unidentified::Deny,
    };
    let message = match policy {
        Unidentified::Deny => return (policy, blocked),
        Unidentified::Observe => "unidentified connections are recorded as denied, and forwarded",
        Unidentified::Allow => "unidentified connections may do whatever is not forbidden",
    };
    report.warning(node.at, message.to_owned(), None);
    (policy, blocked)
}
