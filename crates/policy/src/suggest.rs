//! What to do instead: the most useful sentence that the policy has for a reason.
//!
//! Invariant: a suggestion names only what the principal may use anyway (its own missions, tables
//! and operations), a bounded number of it, in a stable order.

use model::{FunctionUse, RelationName, Request, Schemas};

use crate::agent::Agent;
use crate::column::ColumnRule;
use crate::evaluate::{Scope, scope};
use crate::limits::MAX_SUGGESTED;
use crate::settings::free_values;
use crate::shipped;
use crate::table::TableSet;
use crate::{Reason, ReasonCode};

/// `reason`, with a suggestion if it has none and there is a better one than its code's.
pub(crate) fn with_suggestion(agent: &Agent, request: &Request<'_>, reason: Reason) -> Reason {
    let hint = if reason.has_hint() {
        None
    } else if reason.code() == ReasonCode::BlockedOperation {
        Some(operations(agent))
    } else if reason.code() == ReasonCode::TableNotInMission {
        tables(agent, request, &reason)
    } else if reason.code() == ReasonCode::ColumnNotAllowed {
        columns(agent, &reason)
    } else if reason.code() == ReasonCode::NoMissionPolicy {
        missions(agent, request)
    } else if reason.code() == ReasonCode::BlockedFunction {
        function(&reason)
    } else if reason.code() == ReasonCode::SettingNotAllowed {
        setting(&reason)
    } else {
        None
    };
    match hint {
        Some(hint) => reason.with_hint(hint),
        None => reason,
    }
}

fn operations(agent: &Agent) -> String {
    let permitted = agent.operations.permitted;
    if permitted.is_empty() {
        return "this agent may run no statement".to_owned();
    }
    format!("use one of the permitted operations: {}", list(permitted.iter()))
}

fn tables(agent: &Agent, request: &Request<'_>, reason: &Reason) -> Option<String> {
    let Scope::Mission(mission, tables) = scope(agent, request.principal) else {
        return None;
    };
    let asked = reason.table()?;
    if let Some(full) = elsewhere(tables, asked) {
        return Some(format!("write the table with its schema: {full}"));
    }
    if tables.is_empty() {
        return Some(format!("mission `{mission}` works without tables"));
    }
    Some(format!("use the tables of mission `{mission}`: {}", list(tables.shown())))
}

/// The columns that are listed; nothing if they are listed only by what is denied.
fn columns(agent: &Agent, reason: &Reason) -> Option<String> {
    let (schema, name) = reason.table()?.split_once('.')?;
    let relation = RelationName { schemas: Schemas::Named(schema.into()), name: name.into() };
    let mut rules = agent.columns.iter().filter(|rule| rule.is_about(&relation));
    let allowed = rules.find_map(ColumnRule::allowed)?;
    Some(format!("use only these columns of {schema}.{name}: {}", list(allowed)))
}

/// Only an unqualified name can be meant otherwise than it was read.
fn elsewhere(tables: &TableSet, asked: &str) -> Option<String> {
    if asked.contains('.') { None } else { tables.elsewhere(asked) }
}

fn missions(agent: &Agent, request: &Request<'_>) -> Option<String> {
    let name = request.principal.agent.as_deref()?;
    let missions = agent.missions.as_ref().filter(|missions| !missions.is_empty())?;
    Some(format!(
        "connect with application_name `agent:{name}:mission:<mission>`, where the mission is one \
         of: {}",
        list(missions.keys())
    ))
}

fn function(reason: &Reason) -> Option<String> {
    let name = reason.detail()?.to_owned();
    let instead = shipped::instead(&FunctionUse { schema: None, name })?;
    Some(format!("do without this function: {instead}"))
}

fn setting(reason: &Reason) -> Option<String> {
    let name = reason.detail()?;
    if name == "role" || name == "session_authorization" {
        return Some("connect as the role that you need".to_owned());
    }
    free_values(name).map(|values| format!("`{name}` may only be set to: {values}"))
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let mut shown: Vec<String> = items
        .into_iter()
        .take(MAX_SUGGESTED.saturating_add(1))
        .map(|one| one.to_string())
        .collect();
    if shown.len() > MAX_SUGGESTED {
        shown.truncate(MAX_SUGGESTED);
        shown.push("…".to_owned());
    }
    shown.join(", ")
}
