//! Judges one submission: every statement of it has to pass.

use std::borrow::Cow;

use model::{Door, Principal, Request, SqlFacts, Stage};
use policy::{Explanation, Mode, Outcome, Policy, Reason};
use sql::catalog::Catalog;
use sql::{Analysis, BareNames, Context, Encoding, Known, SearchPaths};

use crate::command::Answer;

/// What judges.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    policy: &'a Policy,
    paths: [Vec<String>; 1],
    catalog: Option<&'a Catalog>,
    server_major: u16,
    explain: bool,
}

/// The database that a statement would be for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Database<'a> {
    /// What exists in it, if that is known.
    pub(super) catalog: Option<&'a Catalog>,
    /// The server's major version.
    pub(super) server_major: u16,
}

/// What it says about a submission.
#[derive(Debug)]
pub(super) struct Judgement {
    /// The strictest outcome of any statement.
    pub(super) outcome: Outcome,
    /// The reasons of every statement, each once.
    pub(super) reasons: Vec<Reason>,
    /// The highest risk of any statement.
    pub(super) risk: u32,
    /// Whether the policy enforces denials of this principal.
    pub(super) mode: Mode,
    /// What was judged.
    pub(super) analysis: Analysis,
    /// Each step, for each statement, if asked for.
    pub(super) explanations: Vec<Explanation>,
    /// The text that was judged, if the policy added conditions to the submission.
    pub(super) rewritten: Option<String>,
}

impl Judgement {
    /// As an exit status.
    pub(super) const fn answer(&self) -> Answer {
        match self.outcome {
            Outcome::Allow => Answer::Clean,
            Outcome::Hold(_) | Outcome::Deny => Answer::Objection,
        }
    }

    /// The facts of each statement.
    pub(super) fn statements(&self) -> Vec<Cow<'_, SqlFacts>> {
        self.analysis.statements().iter().map(facts).collect()
    }

    /// What the submission does as a whole; it is called after its first statement.
    pub(super) fn facts(&self) -> Cow<'_, SqlFacts> {
        let mut statements = self.analysis.statements().iter().map(facts);
        let Some(mut whole) = statements.next() else {
            return Cow::Owned(SqlFacts::of_nothing());
        };
        for statement in statements {
            whole.to_mut().absorb(&statement);
        }
        whole
    }
}

/// Each submission is a session of its own: no prepared statement or cursor is known.
fn facts(statement: &sql::Statement) -> Cow<'_, SqlFacts> {
    statement.facts(&|_, _| None)
}

impl<'a> Judge<'a> {
    /// A judge for sessions with this search path.
    pub(super) fn new(
        policy: &'a Policy,
        search_path: Vec<String>,
        user: Option<&str>,
        database: Database<'a>,
    ) -> Self {
        let path = search_path
            .into_iter()
            .filter_map(|schema| match schema.as_str() {
                "$user" => user.map(str::to_owned),
                _ => Some(schema),
            })
            .collect();
        let Database { catalog, server_major } = database;
        Self { policy, paths: [path], catalog, server_major, explain: false }
    }

    /// The same, with each step of evaluation if asked for.
    pub(super) fn explaining(self, explain: bool) -> Self {
        Self { explain, ..self }
    }

    /// Judges a submission.
    pub(super) fn judge(&self, text: &[u8], principal: &Principal) -> Judgement {
        let context = Context {
            search_paths: SearchPaths::Possible(&self.paths),
            encoding: Encoding::Utf8,
            standard_conforming_strings: true,
            catalog: match self.catalog {
                Some(catalog) => Known::Catalog(catalog),
                None if !self.policy.rests_on_names() => Known::Nothing,
                None if self.policy.trusts_bare_names() => Known::BuiltIn(BareNames::BuiltIn),
                None => Known::BuiltIn(BareNames::Any),
            },
            tenant_column: self.policy.tenant_column(),
            timeline: None,
            role: None,
            server_major: Some(self.server_major),
        };
        let judged = self.analysed(text, principal, &context);
        if let Some(new) = self.constrained(text, principal, (&judged, &context)) {
            let again = self.analysed(new.as_bytes(), principal, &context);
            return Judgement { rewritten: Some(new), ..again };
        }
        judged
    }

    /// The text with the conditions that the policy adds, if they are all that it lacks.
    fn constrained(
        &self,
        text: &[u8],
        principal: &Principal,
        (judged, context): (&Judgement, &Context<'_>),
    ) -> Option<String> {
        if !self.policy.rewrites()
            || judged.outcome == Outcome::Allow
            || judged.mode == Mode::Observe
        {
            return None;
        }
        let mut duty = None;
        for statement in judged.analysis.statements() {
            let facts = facts(statement);
            let request = Request {
                principal,
                door: Door::Check,
                stage: Stage::Query,
                server_major: context.server_major,
                facts: &facts,
            };
            let decision = self.policy.evaluate(&request);
            if !decision.is_allowed() {
                duty = Some(self.policy.constrain(&request, &decision)?);
            }
        }
        let duty = duty?;
        let holds = |used: &model::TenantUse| duty.holds(used);
        let constraint =
            sql::Constraint { column: duty.column(), value: duty.tenant(), holds: &holds };
        sql::constrain(text, context, constraint)
    }

    fn analysed(&self, text: &[u8], principal: &Principal, context: &Context<'_>) -> Judgement {
        let analysis = sql::analyze(text, context);
        let mut outcome = Outcome::Allow;
        let mut reasons: Vec<Reason> = Vec::new();
        let mut risk = 0;
        let mut explanations = Vec::new();
        for statement in analysis.statements() {
            let facts = facts(statement);
            let request = Request {
                principal,
                door: Door::Check,
                stage: Stage::Query,
                server_major: Some(self.server_major),
                facts: &facts,
            };
            let decision = self.policy.evaluate(&request);
            outcome = stricter(outcome, decision.outcome());
            risk = risk.max(decision.risk());
            for reason in decision.reasons() {
                if !reasons.contains(reason) {
                    reasons.push(reason.clone());
                }
            }
            if self.explain {
                explanations.push(self.policy.explain(&request));
            }
        }
        let mode = self.policy.mode_for(principal);
        Judgement { outcome, reasons, risk, mode, analysis, explanations, rewritten: None }
    }
}

/// The stricter of two outcomes.
const fn stricter(left: Outcome, right: Outcome) -> Outcome {
    match (left, right) {
        (Outcome::Deny, _) | (_, Outcome::Deny) => Outcome::Deny,
        (Outcome::Hold(hold), _) | (Outcome::Allow, Outcome::Hold(hold)) => Outcome::Hold(hold),
        (Outcome::Allow, Outcome::Allow) => Outcome::Allow,
    }
}
