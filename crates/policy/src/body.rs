//! What the functions of users do counts as what the statement does.
//!
//! What is here: which rules ask about bodies. What is *not* here: how bodies are read (the `sql` crate). A
//! function that the policy names (`functions` of the agent or of the document) may do what it does, but for
//! what is blocked; so may one that a view calls with its owner's rights, because allowing a view allows what
//! it lends. Any other counts as if its body were sent. Invariant: a body that is not read is denied by every rule that it could
//! break.

use model::{
    Body, CallUse, ColumnUse, Fact, FunctionUse, Operation, Request, SqlFacts, Stage, Volatility,
};

use crate::agent::Agent;
use crate::column;
use crate::evaluate::{
    Reasons, blocked_tables, conditions, elements, functions, operation, relations, server_access,
    settings,
};
use crate::policy::Policy;
use crate::tenancy::isolate;
use crate::{Reason, ReasonCode};

/// Adds why what functions do is not the agent's to do.
pub(crate) fn judge(policy: &Policy, agent: &Agent, request: &Request<'_>, reasons: &mut Reasons) {
    if request.stage == Stage::Startup {
        return;
    }
    for body in &request.facts.bodies {
        let mut found = Reasons::default();
        let inside = Request { facts: &body.facts, ..*request };
        one(policy, agent, (&inside, request.facts.operation), (body, &mut found));
        for reason in found.into_iter() {
            let name = format!("{}.{}", body.schema, body.name);
            let hint = format!(
                "`{name}` does this: without it, or if the policy's `functions` allows it by name"
            );
            reasons.add(if body.unread.is_some() { reason } else { reason.with_hint(hint) });
        }
    }
}

fn one(
    policy: &Policy,
    agent: &Agent,
    (request, calling): (&Request<'_>, Operation),
    (body, reasons): (&Body, &mut Reasons),
) {
    let named = is_named(policy, agent, body);
    if let Some(unread) = &body.unread {
        let blocks = agent.blocks() || policy.tenancy.is_some();
        if !named && (blocks || (!body.reached && agent.narrows())) {
            reasons.add(opaque(agent, calling, (body, unread)));
        }
        return;
    }
    if named || body.reached {
        reached(agent, request.facts, reasons);
    } else {
        permitted(agent, request.facts, reasons);
        relations(agent, request, reasons);
        elements(policy, agent, request, reasons);
        conditions(agent, request.facts, reasons);
        settings(policy, request.facts, reasons);
    }
    functions(policy, request, reasons);
    blocked_tables(agent, request.facts, reasons);
    server_access(policy, request.facts, reasons);
    if !named {
        isolate(policy, request, reasons);
    }
}

/// Whether the policy allows a function by its name.
fn is_named(policy: &Policy, agent: &Agent, body: &Body) -> bool {
    let call = CallUse {
        schema: body.schema.as_str().into(),
        name: body.name.as_str().into(),
        reached: false,
        volatility: Volatility::Volatile,
    };
    let written = FunctionUse { schema: Some(body.schema.clone()), name: body.name.clone() };
    agent.functions.names(&call) || policy.granted_functions.holds(&written)
}

fn opaque(agent: &Agent, operation: Operation, (body, unread): (&Body, &str)) -> Reason {
    let code = if agent.columns.is_empty() {
        ReasonCode::UnknownRelations
    } else {
        ReasonCode::UnknownColumns
    };
    let name = format!("{}.{}", body.schema, body.name);
    let mut why = match &body.fired_by {
        Some(relation) => format!(", a trigger of `{relation}`,"),
        None => String::new(),
    };
    if name != unread {
        why = format!("{why}, which calls `{unread}`,").replace(",,", ",");
    }
    let hint = format!(
        "`{name}`{why} may read anything: the policy's `functions` has to allow `{name}` by name"
    );
    Reason::of(code).with_detail(&name).with_operation(operation).with_hint(hint)
}

/// Operations; computing a value is none.
fn permitted(agent: &Agent, facts: &SqlFacts, reasons: &mut Reasons) {
    let computes = facts.relations.known().is_some_and(Vec::is_empty);
    let all = facts.operations.known().map_or(&[Operation::Unknown][..], Vec::as_slice);
    for done in all.iter().filter(|done| !(computes && **done == Operation::Select)) {
        operation(agent, facts, *done, reasons);
    }
}

/// What is blocked counts, whatever is allowed.
fn reached(agent: &Agent, facts: &SqlFacts, reasons: &mut Reasons) {
    let mut behind = facts.clone();
    if let Fact::Known(columns) = &mut behind.columns {
        *columns = columns.iter().map(|used| ColumnUse { reached: true, ..used.clone() }).collect();
    }
    if !agent.columns.is_empty() {
        column::judge(agent, &behind, reasons);
    }
    for call in facts.calls.known().into_iter().flatten() {
        let call = CallUse { reached: true, ..call.clone() };
        if !agent.functions.permits(&call) {
            let name = format!("{}.{}", call.schema, call.name);
            let reason = Reason::of(ReasonCode::FunctionNotAllowed).with_detail(&name);
            reasons.add(reason.with_operation(facts.operation));
        }
    }
}
