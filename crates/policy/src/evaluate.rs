//! Evaluation: facts in, reasons out. Total, pure, bounded, order-free.
//!
//! Invariants, each with a property test of its name: `unknown_never_allows`, `default_is_deny`,
//! `forbid_wins`, `order_does_not_matter`, `decisions_only_narrow`. Each step only ever *adds*
//! reasons, and a request without reasons is allowed; so no step can lift what another said.
//! What is *not* here: mode, record and forwarding, which are the door's.

use std::collections::BTreeSet;

use model::{
    Fact, FunctionUse, Name, Operation, Principal, RelationName, RelationUse, Request, Schemas,
    SqlFacts, Stage, TransactionStep, Unknown,
};

use crate::agent::Agent;
use crate::body;
use crate::catalog::is_driver_read;
use crate::column;
use crate::document::{Stance, Unidentified};
use crate::limits::MAX_REASONS;
use crate::policy::Policy;
use crate::profile::Reach;
use crate::shipped;
use crate::table::TableSet;
use crate::tenancy::isolate;
use crate::{Reason, ReasonCode, risk};

/// The reasons of one request: sorted, unique, and at most [`MAX_REASONS`], whatever the order
/// in which they were found.
#[derive(Debug, Default)]
pub(crate) struct Reasons(BTreeSet<Reason>);

impl Reasons {
    pub(crate) fn add(&mut self, reason: Reason) {
        self.0.insert(reason);
        if self.0.len() > MAX_REASONS {
            self.0.pop_last();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Reason> {
        self.0.iter()
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = Reason> {
        self.0.into_iter()
    }
}

/// Whether a principal gets to be judged, and by whose rights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admission<'p> {
    /// The rights to judge by; `None` ends the evaluation.
    pub(crate) agent: Option<&'p Agent>,
    /// Why it is denied whatever else is said.
    pub(crate) refusal: Option<ReasonCode>,
}

/// Whether no policy may refuse it: leaving a transaction, and nothing at all. Facts that say
/// more than that, or leave something open, are judged.
pub(crate) fn is_always_allowed(facts: &SqlFacts) -> bool {
    let leaves = facts.operation == Operation::Transaction
        && facts.transaction.is_some_and(TransactionStep::always_allowed);
    let operations = facts.operations.known().map_or(&[Operation::Unknown][..], Vec::as_slice);
    let only = match operations {
        // `SqlFacts::of_nothing` has this operation; any other contradicts itself.
        [] => (facts.empty && facts.operation == Operation::Select) || leaves,
        [Operation::Transaction] => leaves,
        _ => false,
    };
    only && is_nothing(&facts.relations)
        && is_nothing(&facts.functions)
        && is_nothing(&facts.settings)
        && is_nothing(&facts.unfiltered)
        && is_nothing(&facts.server_access)
}

fn is_nothing<T>(fact: &Fact<Vec<T>>) -> bool {
    fact.known().is_some_and(Vec::is_empty)
}

/// Step 2: who asks.
pub(crate) fn admit<'p>(policy: &'p Policy, principal: &Principal) -> Admission<'p> {
    let Some(name) = &principal.agent else {
        let agent = Some(&policy.unidentified_agent);
        let refusal = Some(ReasonCode::UnidentifiedConnection);
        return match policy.unidentified {
            Unidentified::Deny => Admission { agent: None, refusal },
            Unidentified::Observe => Admission { agent, refusal },
            Unidentified::Allow => Admission { agent, refusal: None },
        };
    };
    match (policy.agents.get(name), policy.unlisted) {
        (Some(agent), _) => Admission { agent: Some(agent), refusal: None },
        (None, Stance::Allow) => Admission { agent: Some(&policy.unlisted_agent), refusal: None },
        (None, Stance::Deny) => {
            Admission { agent: None, refusal: Some(ReasonCode::AgentNotInPolicy) }
        }
    }
}

/// Step 3: operations.
pub(crate) fn operations(agent: &Agent, request: &Request<'_>, reasons: &mut Reasons) {
    // A connection is no statement; its settings are judged by step 8.
    if request.stage == Stage::Startup {
        return;
    }
    let facts = request.facts;
    operation(agent, facts, facts.operation, reasons);
    match &facts.operations {
        Fact::Known(all) => all.iter().for_each(|one| operation(agent, facts, *one, reasons)),
        Fact::Unknown(why) if agent.operations.reach != Reach::Everything => {
            reasons.add(unknown(*why, ReasonCode::UnrecognizedOperation, facts));
        }
        Fact::Unknown(_) => {}
    }
}

pub(crate) fn operation(agent: &Agent, facts: &SqlFacts, one: Operation, reasons: &mut Reasons) {
    let rights = &agent.operations;
    if one == Operation::Unknown {
        if rights.reach == Reach::Named {
            reasons.add(match facts.first_unknown() {
                Some(why) => unknown(why, ReasonCode::UnrecognizedOperation, facts),
                None => Reason::of(ReasonCode::UnrecognizedOperation),
            });
        }
        return;
    }
    let begins = one == Operation::Transaction
        && matches!(facts.transaction, Some(TransactionStep::Begin | TransactionStep::Savepoint));
    let permitted = rights.permitted.contains(one) || (begins && rights.begin);
    if !permitted {
        reasons.add(Reason::of(ReasonCode::BlockedOperation).with_operation(one));
    }
}

/// The tables that bound a request, if any do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope<'p> {
    /// The agent has no missions.
    Everything,
    /// The tables of the named mission.
    Mission(&'p str, &'p TableSet),
    /// The agent has missions, and none of them is named.
    Nothing,
}

/// Which tables bound the principal's requests.
pub(crate) fn scope<'p>(agent: &'p Agent, principal: &Principal) -> Scope<'p> {
    let Some(missions) = &agent.missions else {
        return Scope::Everything;
    };
    let named = principal.mission.as_ref().and_then(|name| missions.get_key_value(name));
    named.map_or(Scope::Nothing, |(name, tables)| Scope::Mission(name, tables))
}

/// Step 4: relations.
pub(crate) fn relations(agent: &Agent, request: &Request<'_>, reasons: &mut Reasons) {
    let facts = request.facts;
    if let Some(tables) = &agent.tables {
        listed(tables, request, reasons);
    }
    let scope = scope(agent, request.principal);
    let all = match (scope, &facts.relations) {
        (Scope::Everything, _) => return,
        (Scope::Mission(_, tables), Fact::Unknown(_)) if tables.is_all() => return,
        (Scope::Mission(..), Fact::Unknown(why)) => {
            reasons.add(unknown(*why, ReasonCode::UnknownRelations, facts));
            return;
        }
        (Scope::Nothing, Fact::Unknown(_)) => {
            reasons.add(Reason::of(ReasonCode::NoMissionPolicy).with_operation(facts.operation));
            return;
        }
        (Scope::Mission(..) | Scope::Nothing, Fact::Known(all)) => all,
    };
    for used in all.iter().filter(|used| !is_driver_read(used)) {
        relation(scope, used, request, reasons);
    }
}

/// The tables that an agent may reach, whatever its mission.
fn listed(tables: &TableSet, request: &Request<'_>, reasons: &mut Reasons) {
    let role = request.principal.on_behalf_of.as_deref();
    match &request.facts.relations {
        Fact::Unknown(_) if tables.is_all() => {}
        Fact::Unknown(why) => {
            reasons.add(unknown(*why, ReasonCode::UnknownRelations, request.facts));
        }
        Fact::Known(all) => {
            let outside =
                |used: &&RelationUse| !is_driver_read(used) && !tables.lists(&used.relation, role);
            for used in all.iter().filter(outside) {
                let reason = Reason::of(ReasonCode::TableNotListed);
                let reason = reason.with_table(&used.relation.to_string());
                reasons.add(reason.with_operation(request.facts.operation));
            }
        }
    }
}

fn relation(scope: Scope<'_>, used: &RelationUse, request: &Request<'_>, reasons: &mut Reasons) {
    let role = request.principal.on_behalf_of.as_deref();
    let code = match scope {
        Scope::Everything => return,
        Scope::Mission(_, tables) if tables.lists(&used.relation, role) => return,
        Scope::Mission(..) => ReasonCode::TableNotInMission,
        Scope::Nothing => ReasonCode::NoMissionPolicy,
    };
    let reason = Reason::of(code).with_table(&used.relation.to_string());
    reasons.add(reason.with_operation(request.facts.operation));
}

/// Step 5: columns and functions. A list that is present narrows; an absent one does not.
pub(crate) fn elements(
    policy: &Policy,
    agent: &Agent,
    request: &Request<'_>,
    reasons: &mut Reasons,
) {
    // A connection is no statement.
    if request.stage == Stage::Startup {
        return;
    }
    let facts = request.facts;
    if !agent.columns.is_empty() {
        column::judge(agent, facts, reasons);
    }
    changes(agent, facts, reasons);
    steady(policy, agent, facts, reasons);
    if agent.functions.is_open() {
        return;
    }
    match &facts.calls {
        Fact::Known(all) => {
            for call in all.iter().filter(|call| !agent.functions.permits(call)) {
                let name = format!("{}.{}", call.schema, call.name);
                let reason = Reason::of(ReasonCode::FunctionNotAllowed).with_detail(&name);
                reasons.add(reason.with_operation(facts.operation));
            }
        }
        Fact::Unknown(why) => reasons.add(unknown(*why, ReasonCode::UnknownFunctions, facts)),
    }
}

/// Built-in functions that are volatile, where the profile leaves them out. That calls are not known is
/// step 8's to deny.
fn steady(policy: &Policy, agent: &Agent, facts: &SqlFacts, reasons: &mut Reasons) {
    if !agent.calls_steady_only() {
        return;
    }
    let all = facts.functions.known().into_iter().flatten();
    for function in all.filter(|one| shipped::VOLATILE.may_hold(one)) {
        if !policy.granted_functions.holds(function) {
            let hint = "it may do more than compute a value: name it in the policy's `functions`";
            let reason = about(ReasonCode::FunctionNotAllowed, function, facts);
            reasons.add(reason.with_hint(hint.to_owned()));
        }
    }
}

/// Settings that are on no list.
fn changes(agent: &Agent, facts: &SqlFacts, reasons: &mut Reasons) {
    if agent.settings.is_open() {
        return;
    }
    match &facts.settings {
        Fact::Known(all) => {
            for change in all.iter().filter(|change| !agent.settings.permits(change)) {
                let reason = Reason::of(ReasonCode::SettingNotAllowed).with_detail(&change.name);
                reasons.add(reason.with_operation(facts.operation));
            }
        }
        Fact::Unknown(why) => reasons.add(unknown(*why, ReasonCode::UnknownSettings, facts)),
    }
    match &facts.shape {
        Fact::Known(shape) => {
            for name in shape.shown.iter().filter(|name| !agent.settings.shows(name)) {
                let reason = Reason::of(ReasonCode::SettingNotAllowed).with_detail(name);
                reasons.add(reason.with_operation(facts.operation));
            }
        }
        Fact::Unknown(why) => reasons.add(unknown(*why, ReasonCode::UnknownSettings, facts)),
    }
}

/// Step 8: what is forbidden, and never lifted.
pub(crate) fn forbidden(
    policy: &Policy,
    agent: &Agent,
    request: &Request<'_>,
    reasons: &mut Reasons,
) {
    let facts = request.facts;
    server(policy, request, reasons);
    unparsable(policy, facts, reasons);
    functions(policy, request, reasons);
    blocked_tables(agent, facts, reasons);
    conditions(agent, facts, reasons);
    settings(policy, facts, reasons);
    server_access(policy, facts, reasons);
    detections(policy, request, reasons);
    isolate(policy, request, reasons);
    body::judge(policy, agent, request, reasons);
}

/// A relation whose schema is certain.
pub(crate) fn named(schema: impl Into<Name>, relation: impl Into<Name>) -> RelationName {
    RelationName { schemas: Schemas::Named(schema.into()), name: relation.into() }
}

/// Suspicious constructions, risk: where the policy has the key.
fn detections(policy: &Policy, request: &Request<'_>, reasons: &mut Reasons) {
    if request.stage == Stage::Startup {
        return;
    }
    let facts = request.facts;
    if let Some(detections) = &policy.detections {
        detections.judge(policy, request, reasons);
    }
    if let Some(threshold) = policy.risk_threshold {
        if let Fact::Unknown(why) = &facts.shape {
            reasons.add(unknown(*why, ReasonCode::UnknownShape, facts));
        }
        let score = risk::of(policy, request);
        if score >= threshold {
            let reason = Reason::of(ReasonCode::RiskThreshold).with_detail(&score.to_string());
            reasons.add(reason.with_operation(facts.operation));
        }
    }
}

/// A server that may read the statement otherwise than it is judged. A connection has none yet.
fn server(policy: &Policy, request: &Request<'_>, reasons: &mut Reasons) {
    if request.stage == Stage::Startup || policy.servers.accept(request.server_major) {
        return;
    }
    let version = request.server_major.map_or("not told".to_owned(), |major| major.to_string());
    reasons.add(Reason::of(ReasonCode::UnsupportedServer).with_detail(&version));
}

fn unparsable(policy: &Policy, facts: &SqlFacts, reasons: &mut Reasons) {
    if policy.unparsable == Stance::Allow {
        return;
    }
    for why in causes(facts).into_iter().flatten() {
        let code = match why {
            Unknown::ParseError => ReasonCode::AstParseFailed,
            Unknown::Encoding => ReasonCode::InvalidEncoding,
            Unknown::TooComplex
            | Unknown::OpaqueCode
            | Unknown::UnresolvedName
            | Unknown::NotConstant
            | Unknown::UnknownStatement
            | Unknown::NoCatalog
            | Unknown::NotInCatalog
            | Unknown::StaleCatalog => continue,
        };
        reasons.add(Reason::of(code));
    }
}

fn causes(facts: &SqlFacts) -> [Option<Unknown>; 6] {
    fn why<T>(fact: &Fact<T>) -> Option<Unknown> {
        match fact {
            Fact::Known(_) => None,
            Fact::Unknown(why) => Some(*why),
        }
    }
    [
        why(&facts.operations),
        why(&facts.relations),
        why(&facts.functions),
        why(&facts.settings),
        why(&facts.unfiltered),
        why(&facts.server_access),
    ]
}

pub(crate) fn functions(policy: &Policy, request: &Request<'_>, reasons: &mut Reasons) {
    let facts = request.facts;
    let granted_all = policy.granted_functions.is_all();
    let call = Call::of(request);
    let all = match &facts.functions {
        Fact::Known(all) => all,
        Fact::Unknown(why) => {
            if !granted_all || !policy.blocked_functions.is_empty() {
                reasons.add(unknown(*why, ReasonCode::UnknownFunctions, facts));
            }
            if call == Call::Yes && !granted_all {
                reasons.add(Reason::of(ReasonCode::FunctionCallNotAllowed));
            }
            return;
        }
    };
    for function in all.iter().filter(|function| is_blocked(policy, function)) {
        reasons.add(about(ReasonCode::BlockedFunction, function, facts));
    }
    // What an operator, a cast or an aggregate of a user's calls is in no text.
    for call in facts.calls.known().into_iter().flatten() {
        let (schema, name) = (&call.schema, &call.name);
        let blocked = policy.blocked_functions.has(schema, name)
            || (shipped::BLOCKED.has(schema, name) && !policy.granted_functions.has(schema, name));
        if blocked
            && !call.reached
            && call.schema == "pg_catalog"
            && !all.iter().any(|one| *name == *one.name)
        {
            let (schema, name) = (Some(schema.as_str().to_owned()), name.as_str().to_owned());
            reasons.add(about(ReasonCode::BlockedFunction, &FunctionUse { schema, name }, facts));
        }
    }
    let granted = !all.is_empty() && all.iter().all(|one| policy.granted_functions.holds(one));
    if call == Call::No || granted || granted_all {
        return;
    }
    if call == Call::Perhaps {
        reasons.add(Reason::of(ReasonCode::UnrecognizedOperation));
    } else if all.is_empty() {
        reasons.add(Reason::of(ReasonCode::FunctionCallNotAllowed));
    }
    let refused = all.iter().filter(|one| !policy.granted_functions.holds(one));
    for function in refused.filter(|_| call == Call::Yes) {
        reasons.add(about(ReasonCode::FunctionCallNotAllowed, function, facts));
    }
}

/// Whether a request is a protocol function call, which only a grant permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Yes,
    No,
    /// The operation is unknown.
    Perhaps,
}

impl Call {
    fn of(request: &Request<'_>) -> Self {
        let operation = request.facts.operation;
        if request.stage == Stage::FunctionCall || operation == Operation::FunctionCall {
            Self::Yes
        } else if operation == Operation::Unknown {
            Self::Perhaps
        } else {
            Self::No
        }
    }
}

/// The file's own list is never lifted; the shipped one is, by name.
fn is_blocked(policy: &Policy, function: &FunctionUse) -> bool {
    policy.blocked_functions.may_hold(function)
        || (shipped::BLOCKED.may_hold(function) && !policy.granted_functions.holds(function))
}

fn about(code: ReasonCode, function: &FunctionUse, facts: &SqlFacts) -> Reason {
    Reason::of(code).with_detail(&function.name).with_operation(facts.operation)
}

pub(crate) fn blocked_tables(agent: &Agent, facts: &SqlFacts, reasons: &mut Reasons) {
    if agent.blocked_tables.is_empty() {
        return;
    }
    behind_views(agent, facts, reasons);
    match &facts.relations {
        Fact::Known(all) => {
            for used in all.iter().filter(|used| agent.blocked_tables.may_list(&used.relation)) {
                let reason = Reason::of(ReasonCode::BlockedTable);
                let reason = reason.with_table(&used.relation.to_string());
                reasons.add(reason.with_operation(facts.operation));
            }
        }
        Fact::Unknown(why) => reasons.add(unknown(*why, ReasonCode::UnknownRelations, facts)),
    }
}

/// A block reaches through views, and to children and parents, where a catalog says what they are.
fn behind_views(agent: &Agent, facts: &SqlFacts, reasons: &mut Reasons) {
    match &facts.columns {
        Fact::Known(all) => {
            for used in all.iter().filter(|used| used.reached) {
                let relation = RelationName {
                    schemas: Schemas::Named(used.schema.clone()),
                    name: used.relation.clone(),
                };
                if agent.blocked_tables.may_list(&relation) {
                    let reason = Reason::of(ReasonCode::BlockedTable);
                    let reason = reason.with_table(&relation.to_string());
                    reasons.add(reason.with_operation(facts.operation));
                }
            }
        }
        // Without a catalog a block is on names alone, as the reference says.
        Fact::Unknown(Unknown::NoCatalog) => {}
        Fact::Unknown(why) => reasons.add(unknown(*why, ReasonCode::UnknownRelations, facts)),
    }
}

pub(crate) fn conditions(agent: &Agent, facts: &SqlFacts, reasons: &mut Reasons) {
    if !agent.guards.any() {
        return;
    }
    match &facts.unfiltered {
        Fact::Known(all) => {
            for one in all.iter().filter(|one| agent.guards.covers(one.operation)) {
                let reason = Reason::of(ReasonCode::ConditionViolated).with_table(&one.relation);
                reasons.add(reason.with_operation(one.operation));
            }
        }
        Fact::Unknown(why) => reasons.add(unknown(*why, ReasonCode::UnknownConditions, facts)),
    }
}

pub(crate) fn settings(policy: &Policy, facts: &SqlFacts, reasons: &mut Reasons) {
    if policy.settings.is_all() {
        return;
    }
    match &facts.settings {
        Fact::Known(all) => {
            let refused = all.iter().filter(|one| !policy.settings.permit(one, facts.operation));
            for one in refused {
                let reason = Reason::of(ReasonCode::SettingNotAllowed).with_detail(&one.name);
                reasons.add(reason.with_operation(facts.operation));
            }
        }
        Fact::Unknown(why) => reasons.add(unknown(*why, ReasonCode::UnknownSettings, facts)),
    }
}

pub(crate) fn server_access(policy: &Policy, facts: &SqlFacts, reasons: &mut Reasons) {
    if policy.server_files == Stance::Allow {
        return;
    }
    match &facts.server_access {
        Fact::Known(all) if all.is_empty() => {}
        Fact::Known(_) => {
            let reason = Reason::of(ReasonCode::ServerFileAccess);
            reasons.add(reason.with_operation(facts.operation));
        }
        Fact::Unknown(why) => reasons.add(unknown(*why, ReasonCode::UnknownServerAccess, facts)),
    }
}

/// The reason for a fact that could not be established: its cause where that says more than
/// which fact it was.
pub(crate) fn unknown(why: Unknown, fact: ReasonCode, facts: &SqlFacts) -> Reason {
    match why {
        Unknown::ParseError => Reason::of(ReasonCode::AstParseFailed),
        Unknown::Encoding => Reason::of(ReasonCode::InvalidEncoding),
        Unknown::TooComplex => Reason::of(ReasonCode::TooComplex),
        Unknown::UnresolvedName => {
            Reason::of(ReasonCode::UnresolvedName).with_operation(facts.operation)
        }
        Unknown::UnknownStatement => Reason::of(ReasonCode::UnrecognizedOperation),
        Unknown::OpaqueCode => opaque(fact, "opaque_code", facts),
        Unknown::NotConstant => opaque(fact, "not_constant", facts),
        Unknown::NoCatalog => opaque(fact, "no_catalog", facts).with_hint(
            if fact == ReasonCode::UnknownFunctions {
                "the operator has to give the door a catalog of this database (catalog_dsn; `check \
                 --catalog`); without one, write names with their schema: pg_catalog.lower(…), OPERATOR(pg_catalog.=)"
            } else {
                "the operator has to give the door a catalog of this database (catalog_dsn; `check \
                 --catalog`)"
            }
            .to_owned(),
        ),
        Unknown::NotInCatalog => opaque(fact, "not_in_catalog", facts).with_hint(
            "the database has no such table, column or function: correct the name".to_owned(),
        ),
        Unknown::StaleCatalog => opaque(fact, "stale_catalog", facts).with_hint(
            "definitions have just changed: try again in a moment, or after COMMIT; if this \
             session has run code that may make temporary tables, name schemas or DISCARD ALL"
                .to_owned(),
        ),
    }
}

fn opaque(fact: ReasonCode, cause: &str, facts: &SqlFacts) -> Reason {
    Reason::of(fact).with_detail(cause).with_operation(facts.operation)
}
