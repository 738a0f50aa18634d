//! The `profiles` section: custom profiles, resolved along `extends`.

use std::collections::HashMap;

use model::Operation;

use super::read::{Entries, check_keys, entries, flag, get, word, words};
use super::report::Report;
use super::tree::{Key, Node, Position};
use crate::limits::MAX_PROFILE_DEPTH;
use crate::profile::{BUILT_IN, CATEGORIES, Guards, OperationSet, Profile};

const KEYS: &[&str] = &[
    "extends",
    "allowed_operations",
    "blocked_operations",
    "blocked_categories",
    "conditions",
    "allow_unknown",
];

/// Every profile that agents may name.
pub(crate) struct Profiles<'n> {
    custom: Vec<(&'n Key, &'n Entries)>,
    /// `None`: something is wrong with it, and it is reported.
    resolved: HashMap<&'n str, Option<Profile>>,
}

impl<'n> Profiles<'n> {
    /// Reads the section and resolves every custom profile.
    pub(crate) fn read(section: Option<&'n Node>, report: &mut Report<'_>) -> Self {
        let mut custom = Vec::new();
        for (key, node) in section.map_or(&[][..], |node| entries(node, "`profiles`", report)) {
            if BUILT_IN.contains(&key.text.as_str()) {
                let help = format!("choose another name and say `extends: {}`", key.text);
                report.error(key.at, format!("`{}` is a built-in profile", key.text), Some(help));
                continue;
            }
            let what = format!("profile `{}`", key.text);
            let own = entries(node, &what, report);
            check_keys(own, &what, KEYS, &[], report);
            custom.push((key, own));
        }
        let mut profiles = Self { custom, resolved: HashMap::new() };
        for at in 0..profiles.custom.len() {
            if let Some((key, _)) = profiles.custom.get(at) {
                profiles.resolve(&key.text, key.at, &mut Vec::new(), report);
            }
        }
        profiles
    }

    /// The profile that `name` (written at `at`) means.
    pub(crate) fn named(
        &mut self,
        name: &str,
        at: Position,
        report: &mut Report<'_>,
    ) -> Option<Profile> {
        self.resolve(name, at, &mut Vec::new(), report)
    }

    fn resolve(
        &mut self,
        name: &str,
        at: Position,
        trail: &mut Vec<&'n str>,
        report: &mut Report<'_>,
    ) -> Option<Profile> {
        if let Some(profile) = Profile::built_in(name) {
            return Some(profile);
        }
        if let Some(resolved) = self.resolved.get(name) {
            return *resolved;
        }
        let Some((key, own)) = self.custom.iter().copied().find(|(key, _)| key.text == name) else {
            let custom = self.custom.iter().map(|(key, _)| key.text.as_str());
            let known: Vec<&str> = BUILT_IN.iter().copied().chain(custom).collect();
            report.unknown(at, format!("unknown profile `{name}`"), name, &known);
            return None;
        };
        if trail.contains(&name) || trail.len() >= MAX_PROFILE_DEPTH {
            let message = format!("profile `{name}` extends itself, or the chain is too long");
            report.error(at, message, None);
            return None;
        }
        trail.push(&key.text);
        let base = match get(own, "extends") {
            None => Some(Profile::default()),
            Some((_, node)) => match word(node, "`extends`", report) {
                None => None,
                Some(parent) => self.resolve(parent, node.at, trail, report),
            },
        };
        let profile = extend(base.unwrap_or_default(), own, report);
        let resolved = base.map(|_| profile);
        self.resolved.insert(&key.text, resolved);
        resolved
    }
}

/// `base` with what a custom profile says itself.
fn extend(base: Profile, own: &Entries, report: &mut Report<'_>) -> Profile {
    let mut profile = base;
    if let Some((_, node)) = get(own, "allowed_operations") {
        // The switch to an allow list starts afresh: nothing is inherited that could widen it.
        profile.allowed = Some(exact(operations(node, "`allowed_operations`", report)));
        profile.blocked = OperationSet::EMPTY;
        profile.allow_unknown = false;
    }
    if let Some((_, node)) = get(own, "blocked_operations") {
        let blocked = covering(&operations(node, "`blocked_operations`", report));
        profile.blocked = profile.blocked.union(blocked);
    }
    if let Some((_, node)) = get(own, "blocked_categories") {
        profile.blocked = profile.blocked.union(categories(node, report));
    }
    if let Some((_, node)) = get(own, "conditions") {
        profile.guards = profile.guards.union(conditions(node, report));
    }
    if let Some((_, node)) = get(own, "allow_unknown") {
        profile.allow_unknown = flag(node, "`allow_unknown`", report);
    }
    profile
}

/// The operations of a list.
pub(crate) fn operations(node: &Node, what: &str, report: &mut Report<'_>) -> Vec<Operation> {
    let mut found = Vec::new();
    for (at, text) in words(node, what, report) {
        if let Some(operation) = Operation::parse(text) {
            found.push(operation);
        } else {
            let named = Operation::ALL.iter().copied().filter(|op| *op != Operation::Unknown);
            let known: Vec<&str> = named.map(Operation::name).collect();
            report.unknown(at, format!("unknown operation `{text}`"), text, &known);
        }
    }
    found
}

/// An allow list: exactly these.
pub(crate) fn exact(operations: Vec<Operation>) -> OperationSet {
    operations.into_iter().collect()
}

/// A block list: these and what they cover.
pub(crate) fn covering(operations: &[Operation]) -> OperationSet {
    let covered = operations.iter().map(|op| OperationSet::covered_by(*op));
    covered.fold(OperationSet::EMPTY, OperationSet::union)
}

fn categories(node: &Node, report: &mut Report<'_>) -> OperationSet {
    let mut set = OperationSet::EMPTY;
    for (at, text) in words(node, "`blocked_categories`", report) {
        if let Some((_, category)) =
            CATEGORIES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text))
        {
            set = set.union(OperationSet::of_category(*category));
        } else {
            let known: Vec<&str> = CATEGORIES.iter().map(|(name, _)| *name).collect();
            report.unknown(at, format!("unknown category `{text}`"), text, &known);
        }
    }
    set
}

fn conditions(node: &Node, report: &mut Report<'_>) -> Guards {
    let mut guards = Guards::default();
    for (at, text) in words(node, "`conditions`", report) {
        match text {
            Guards::DELETE => guards.delete = true,
            Guards::UPDATE => guards.update = true,
            _ => {
                let known = [Guards::DELETE, Guards::UPDATE];
                report.unknown(at, format!("unknown condition `{text}`"), text, &known);
            }
        }
    }
    guards
}
