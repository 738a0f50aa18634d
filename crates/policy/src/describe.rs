//! What bounds an agent, in lines for people.

use model::{Operation, Principal};

use crate::column::ColumnRule;
use crate::evaluate::{Scope, admit, scope};
use crate::policy::Policy;
use crate::tenancy::Tenancy;

/// The bounds of `principal` that no single operation shows. Empty if it is not admitted.
pub(crate) fn bounds(policy: &Policy, principal: &Principal) -> Vec<String> {
    let Some(agent) = admit(policy, principal).agent else { return Vec::new() };
    let mut lines = Vec::new();
    match scope(agent, principal) {
        Scope::Everything => lines.push("tables: all, as the agent has no missions".to_owned()),
        Scope::Mission(mission, tables) => {
            lines.push(format!("tables of mission `{mission}`: {}", listed(tables.shown())));
        }
        Scope::Nothing => {
            let missions = agent.missions.iter().flat_map(|missions| missions.keys());
            lines.push(format!("tables: none without a mission; missions: {}", listed(missions)));
        }
    }
    if let Some(tables) = &agent.tables {
        lines.push(format!("only these tables: {}", listed(tables.shown())));
    }
    if let Some(detections) = &policy.detections {
        let on = detections.on.iter().map(|switch| switch.name());
        lines.push(format!("detections: {}", listed(on)));
    }
    if let Some(threshold) = policy.risk_threshold {
        lines.push(format!("denied from risk {threshold} on"));
    }
    if let Some(tenancy) = &policy.tenancy {
        lines.extend(tenants(tenancy, &policy.supplied(principal)));
    }
    if !agent.blocked_tables.is_empty() {
        lines.push(format!("never these tables: {}", listed(agent.blocked_tables.shown())));
    }
    lines.extend(agent.columns.iter().map(ColumnRule::shown));
    lines.extend(agent.functions.shown());
    if agent.calls_steady_only() {
        lines.push("no volatile functions, but for random values, clocks and sequences".to_owned());
    }
    lines.extend(agent.settings.shown());
    for operation in [Operation::Update, Operation::Delete] {
        if agent.guards.covers(operation) {
            lines.push(format!("{operation} needs a WHERE that filters"));
        }
    }
    lines
}

fn tenants(tenancy: &Tenancy, principal: &Principal) -> Vec<String> {
    let mut lines = Vec::new();
    if tenancy.isolates {
        let tenant = principal.tenant.as_deref().unwrap_or_default();
        lines.push(format!("only rows with {} = `{tenant}`", tenancy.column));
        lines.push(format!("tables of no tenant: {}", listed(tenancy.global.shown())));
    }
    for (tables, scope) in &tenancy.scopes {
        let held =
            if Tenancy::is_admin(Some(tenancy), principal) || principal.scopes.contains(scope) {
                "held"
            } else {
                "not held"
            };
        lines.push(format!("{} needs scope `{scope}`: {held}", listed(tables.shown())));
    }
    lines
}

fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
