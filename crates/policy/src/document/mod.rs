//! A policy document: YAML text, checked and resolved.
//!
//! Every key is known, planned (then refused by name) or an error with the nearest right word;
//! all findings come at once. What is *not* here: what a key does to a request (`evaluate`).

mod agents;
mod detections;
mod lists;
mod profiles;
mod read;
mod report;
mod servers;
mod tenancy;
mod tree;

use std::collections::HashMap;

use self::profiles::Profiles;
use self::read::{Entries, check_keys, choice, entries, functions, get, word, words};
use self::report::Report;
use self::tree::Position;
use crate::Diagnostics;
use crate::agent::Agent;
use crate::detections::Detections;
use crate::function::FunctionPattern;
use crate::settings::{SettingGrants, is_setting_name};
use crate::shipped;
use crate::table::TableSet;
use crate::tenancy::Tenancy;

pub(crate) use self::agents::Unidentified;
pub(crate) use self::servers::Servers;

const KEYS: &[&str] = &[
    "version",
    "default_policy",
    "blocked_functions",
    "profiles",
    "agents",
    "unidentified",
    "functions",
    "settings",
    "server_files",
    "unparsable",
    "detections",
    "tenancy",
    "risk",
    "bare_names",
    "accept_server_versions",
];
const LATER: &[&str] =
    &["default_action", "identity", "session", "tools", "rego", "approvals", "apa"];

/// `deny` or `allow`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Stance {
    /// The default everywhere.
    #[default]
    Deny,
    /// Asked for.
    Allow,
}

/// Gives the text of a file by the name that the document has for it, or says why not.
pub(crate) type Reader<'r> = dyn FnMut(&str) -> Result<String, String> + 'r;

/// What a document says.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) default_policy: Stance,
    pub(crate) blocked_functions: Vec<FunctionPattern>,
    pub(crate) functions: Vec<FunctionPattern>,
    pub(crate) settings: SettingGrants,
    pub(crate) server_files: Stance,
    pub(crate) unparsable: Stance,
    pub(crate) unidentified: Unidentified,
    pub(crate) unidentified_blocked_tables: TableSet,
    pub(crate) agents: HashMap<String, Agent>,
    pub(crate) detections: Option<Detections>,
    pub(crate) tenancy: Option<Tenancy>,
    pub(crate) risk_threshold: Option<u32>,
    /// Bare names are PostgreSQL's own where it has them.
    pub(crate) trusts_bare_names: bool,
    pub(crate) servers: Servers,
}

/// Reads `text`; `file` names it in findings. `Ok` holds the warnings.
///
/// `read` gives the text of a file that the document names.
pub(crate) fn load(
    file: &str,
    text: &str,
    read: &mut Reader<'_>,
) -> Result<(Document, Diagnostics), Diagnostics> {
    let mut report = Report::new(file);
    let Some(root) = tree::parse(text, &mut report) else {
        return Err(report.into_diagnostics());
    };
    let top = entries(&root, "a policy", &mut report);
    check_keys(top, "the policy", KEYS, LATER, &mut report);
    let document = read_document(top, read, &mut report);
    if report.has_errors() {
        return Err(report.into_diagnostics());
    }
    Ok((document, report.into_diagnostics()))
}

fn read_document(top: &Entries, read: &mut Reader<'_>, report: &mut Report<'_>) -> Document {
    check_version(top, report);
    let node = |key: &str| get(top, key).map(|(_, node)| node);
    let mut profiles = Profiles::read(node("profiles"), report);
    let agents = agents::read(node("agents"), &mut profiles, report);
    let (unidentified, unidentified_blocked_tables) =
        agents::unidentified(node("unidentified"), report);
    let document = Document {
        default_policy: stance(top, "default_policy", report),
        blocked_functions: node("blocked_functions")
            .map_or_else(Vec::new, |node| functions(node, "`blocked_functions`", report)),
        functions: node("functions")
            .map_or_else(Vec::new, |node| functions(node, "`functions`", report)),
        settings: settings(top, report),
        server_files: stance(top, "server_files", report),
        unparsable: stance(top, "unparsable", report),
        unidentified,
        unidentified_blocked_tables,
        agents,
        detections: detections::read(node("detections"), read, report),
        tenancy: node("tenancy").map(|node| tenancy::read(node, report)),
        risk_threshold: detections::risk(node("risk"), report),
        trusts_bare_names: servers::bare_names(top, report),
        servers: servers::read(top, report),
    };
    warn(top, &document, report);
    document
}

/// Says aloud what widens the policy.
fn warn(top: &Entries, document: &Document, report: &mut Report<'_>) {
    let at = |key: &str| get(top, key).map_or(Position::START, |(key, _)| key.at);
    let nobody = document.agents.is_empty()
        && document.default_policy == Stance::Deny
        && document.unidentified == Unidentified::Deny;
    let allows = |stance: Stance| stance == Stance::Allow;
    let findings = [
        (nobody, "agents", "no agent is listed: everything is denied"),
        (
            allows(document.default_policy),
            "default_policy",
            "agents that are not listed may do whatever is not forbidden",
        ),
        (
            document.functions.iter().any(shipped::is_touched_by),
            "functions",
            "grants functions that are blocked because they reach past the policy",
        ),
        (
            !document.settings.is_empty(),
            "settings",
            "grants settings that are guarded because protection may rest on them",
        ),
        (
            allows(document.server_files),
            "server_files",
            "grants the database server's own files and programs",
        ),
        (
            allows(document.unparsable),
            "unparsable",
            "grants text that cannot be read, as far as nothing else forbids the unknown",
        ),
        (
            document.trusts_bare_names,
            "bare_names",
            "takes names without a schema for PostgreSQL's own: nothing else on agents' search paths \
             may answer to them",
        ),
        (
            !document.servers.is_empty(),
            "accept_server_versions",
            "accepts servers that may read a statement otherwise than it is judged",
        ),
    ];
    for (applies, key, message) in findings {
        if applies {
            report.warning(at(key), message.to_owned(), None);
        }
    }
}

fn check_version(top: &Entries, report: &mut Report<'_>) {
    let Some((_, node)) = get(top, "version") else { return };
    let Some(text) = word(node, "`version`", report) else { return };
    let minor = text.strip_prefix("2.");
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if text != "1" && text != "2" && !minor.is_some_and(is_number) {
        let help = "this program reads versions 1 and 2".to_owned();
        report.error(node.at, format!("unknown version `{text}`"), Some(help));
    }
}

fn stance(top: &Entries, key: &str, report: &mut Report<'_>) -> Stance {
    let chosen = get(top, key)
        .and_then(|(_, node)| choice(node, &format!("`{key}`"), &["deny", "allow"], report));
    if chosen == Some("allow") { Stance::Allow } else { Stance::Deny }
}

fn settings(top: &Entries, report: &mut Report<'_>) -> SettingGrants {
    let Some((_, node)) = get(top, "settings") else {
        return SettingGrants::default();
    };
    let mut names = Vec::new();
    for (at, text) in words(node, "`settings`", report) {
        if is_setting_name(text) {
            names.push(text);
        } else {
            report.error(at, format!("`{text}` is no setting: expected a name or `*`"), None);
        }
    }
    SettingGrants::new(names)
}
