//! What a judge asks of the catalog: waiting for it, and following what the session defines.
//!
//! What is *not* here: names, policy and the protocol.

use std::sync::Arc;

use model::{Category, Operation, SqlFacts, Stage};

use super::super::fresh::is_about_relations;
use super::super::refusal::Refusal;
use super::Judge;
use super::prepared::Source;
use crate::proved::Proved;

/// Asks the server for the answers that it has.
const FLUSH: &[u8] = b"H\0\0\0\x04";

impl Judge {
    /// A temporary relation that would be hidden by another, though the client has not asked for that.
    pub(super) fn hidden_temporary(&self, analysis: &sql::Analysis) -> Option<Refusal> {
        if !self.reading.is_pinned() {
            return None;
        }
        let effects = analysis.statements().iter().flat_map(sql::Statement::effects);
        let other = effects.filter_map(sql::Effect::step).find_map(sql::Step::hidden_by)?;
        Some(Refusal::HiddenTemporary(other.to_owned(), None))
    }

    /// Rows that a message brings have to come from what it was judged by.
    pub(super) fn expect(&mut self, ticket: u64, proved: Arc<Proved>) {
        if self.rests_on_catalog()
            && let Some(catalog) = self.reading.catalog()
        {
            self.tripwire.expect(ticket, proved, catalog);
        }
    }

    pub(super) fn rests_on_catalog(&self) -> bool {
        self.live().is_some() && self.in_force.policy.rests_on_catalog(&self.who)
    }

    /// Whether a description names a table that no fact does. In observe mode the catalog is loaded
    /// again, and that is all.
    pub(super) fn is_contradicted(&mut self, body: &[u8]) -> bool {
        let Some(ticket) = self.protocol.answered_now() else { return false };
        let Some(oid) = self.tripwire.stranger(ticket, body) else { return false };
        tracing::warn!(session = %self.session, oid, "rows come from a table that was not judged");
        if let Some(live) = self.live() {
            live.invalidate();
        }
        self.shared.gate.enforces(&self.who)
    }

    /// Whether a message has to wait before it is judged by the catalog.
    pub(super) fn waits_for_catalog(&mut self, proved: &Proved, stage: Stage) -> bool {
        let about = proved.each().any(|facts| is_about_relations(facts));
        if !about || !self.rests_on_catalog() {
            return false;
        }
        let Some(live) = &self.shared.catalog else { return false };
        if live.is_strict() && matches!(stage, Stage::Query | Stage::Bind) {
            if stage == Stage::Bind && !self.protocol.is_quiet() {
                // Once its Parse is answered, the server holds what the statement names.
                if self.fresh.flushes() {
                    self.batch.relay(self.protocol.unanswered(FLUSH));
                }
                return true;
            }
            if self.fresh.waits_for_look(live) {
                return true;
            }
        }
        self.fresh.waits_for_load(live, &self.reading, proved)
    }

    /// What executing a prepared statement does to the session's own relations, as it is now.
    pub(super) fn own_step(&mut self, source: &Source, facts: &SqlFacts) -> Option<sql::Step> {
        let mut statements =
            source.analysis().map(sql::Analysis::statements).unwrap_or_default().iter();
        if statements.any(|one| is_in_disguise(one, facts)) {
            return Some(sql::Step::Anything);
        }
        let statement = |analysis: &sql::Analysis| analysis.statements().first().and_then(own_step);
        let known = source.analysis().and_then(statement);
        if source.epoch() == self.reading.epoch() || (known.is_none() && !facts.may_define()) {
            return known;
        }
        statement(self.sight_now(source)?.analysis())
    }

    /// A statement is about to run that may define something.
    pub(super) fn on_definitions(
        &mut self,
        facts: &SqlFacts,
        step: Option<&sql::Step>,
        ticket: u64,
    ) {
        let Some(live) = &self.shared.catalog else {
            return self.reading.on_unseen_definitions(facts);
        };
        if self.reading.on_definitions(facts, step, ticket) {
            if !self.elsewhere && changes_names(facts) {
                self.reading.keep_open(|| live.open(&self.session));
            }
            let generation = live.invalidate();
            match step {
                Some(sql::Step::Made { .. } | sql::Step::Commit) => {
                    self.reading.counted(generation);
                }
                // COMMIT PREPARED.
                _ if facts.transaction.is_some() => {}
                _ => self.reading.distrust(ticket),
            }
        }
    }
}

/// Whether a statement is a definition that may change what names mean. Upkeep, which may take long, is none; code that
/// is not read may define something, and holds up nobody for that: then no two agents that call functions could work at
/// a time.
fn changes_names(facts: &SqlFacts) -> bool {
    let is_code =
        |one: Operation| matches!(one, Operation::Do | Operation::Call | Operation::FunctionCall);
    let is_upkeep = |one: Operation| {
        matches!(
            one,
            Operation::Vacuum
                | Operation::Reindex
                | Operation::Cluster
                | Operation::Checkpoint
                | Operation::RefreshMaterializedView
                | Operation::Truncate
        )
    };
    let defines = |one: Operation| match one.category() {
        Category::Ddl
        | Category::Dcl
        | Category::Extension
        | Category::Admin
        | Category::Unknown => !is_upkeep(one),
        Category::Function => !is_code(one),
        Category::Dml | Category::Tcl | Category::Session | Category::Explain => false,
    };
    // COMMIT PREPARED is what it was.
    facts.transaction.is_some()
        || match facts.operations.known() {
            Some(all) => all.iter().any(|one| defines(*one)),
            None => !is_code(facts.operation),
        }
}

/// What a statement does to the session's own relations.
fn own_step(statement: &sql::Statement) -> Option<sql::Step> {
    let mut steps = statement.effects().iter().filter_map(sql::Effect::step);
    steps.next_back().cloned()
}

/// The same, with what it runs under a name.
pub(super) fn step_of(statement: &sql::Statement, complete: &SqlFacts) -> Option<sql::Step> {
    if is_in_disguise(statement, complete) {
        return Some(sql::Step::Anything);
    }
    own_step(statement)
}

/// Whether it runs transaction control under a name. That is not followed.
fn is_in_disguise(statement: &sql::Statement, complete: &SqlFacts) -> bool {
    let controls = |one: &Operation| matches!(one, Operation::Transaction | Operation::Discard);
    !statement.references().is_empty()
        && complete.operations.known().is_none_or(|all| all.iter().any(controls))
}
