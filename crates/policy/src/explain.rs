//! Explaining: what each of the thirteen steps of evaluation says about one request.
//!
//! The steps are the very functions that evaluation runs, so an explanation cannot say otherwise
//! than the decision. The text is deterministic.

use std::fmt;

use model::Request;

use crate::agent::Agent;
use crate::evaluate::{
    Reasons, Scope, admit, elements, forbidden, is_always_allowed, operations, relations, scope,
};
use crate::policy::Policy;
use crate::{Decision, Outcome};

/// What a step said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Nothing against the request.
    Pass,
    /// Something against it.
    Deny,
    /// Not asked: an earlier step ended the evaluation, or the policy says nothing about it.
    NotApplicable,
    /// It happens after the decision.
    Later,
}

impl Said {
    /// The word in a rendered explanation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Deny => "deny",
            Self::NotApplicable => "-",
            Self::Later => "later",
        }
    }
}

/// One of the thirteen steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// From 1 to 13.
    pub number: usize,
    /// What the step looks at.
    pub title: &'static str,
    /// What it said.
    pub said: Said,
    /// Why.
    pub why: String,
}

/// The thirteen steps, and the decision they add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    steps: Vec<Step>,
    decision: Decision,
}

impl Explanation {
    /// The steps in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The decision.
    pub const fn decision(&self) -> &Decision {
        &self.decision
    }

    pub(crate) fn of(policy: &Policy, request: &Request<'_>) -> Self {
        let mut steps = Steps::default();
        let decision = policy.evaluate(request);
        steps.add("submission", Said::Pass, "every statement of a submission must pass".to_owned());
        if is_always_allowed(request.facts) {
            let why = "leaving a transaction, or nothing at all, is always allowed";
            steps.add("principal", Said::Pass, why.to_owned());
            steps.skip_judgement();
        } else {
            steps.judge(policy, request);
        }
        steps.finish(policy, request, &decision);
        Self { steps: steps.0, decision }
    }
}

#[derive(Default)]
struct Steps(Vec<Step>);

impl Steps {
    fn add(&mut self, title: &'static str, said: Said, why: String) {
        let number = self.0.len().saturating_add(1);
        self.0.push(Step { number, title, said, why });
    }

    fn none(&mut self, title: &'static str, why: &str) {
        self.add(title, Said::NotApplicable, why.to_owned());
    }

    fn weigh(&mut self, title: &'static str, reasons: &Reasons, pass: String) {
        if reasons.is_empty() {
            self.add(title, Said::Pass, pass);
        } else {
            let list: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            self.add(title, Said::Deny, list.join("; "));
        }
    }

    /// Steps 2 to 8.
    fn judge(&mut self, policy: &Policy, request: &Request<'_>) {
        let admission = admit(policy, request.principal);
        let who = request.principal.label();
        match admission.refusal {
            None => self.add("principal", Said::Pass, who),
            Some(code) => self.add("principal", Said::Deny, format!("{who}: {code}")),
        }
        match admission.agent {
            None => self.skip_judgement(),
            Some(agent) => self.weigh_all(policy, agent, request),
        }
    }

    /// Steps 3 to 8.
    fn weigh_all(&mut self, policy: &Policy, agent: &Agent, request: &Request<'_>) {
        let mut found = Reasons::default();
        operations(agent, request, &mut found);
        self.weigh("operations", &found, request.facts.operation.to_string());
        let permitted_operations = found.is_empty();
        let mut found = Reasons::default();
        relations(agent, request, &mut found);
        let within = match scope(agent, request.principal) {
            Scope::Everything => "the agent has no missions: every table".to_owned(),
            Scope::Mission(mission, _) => format!("within mission `{mission}`"),
            Scope::Nothing => "no mission named, and no table used".to_owned(),
        };
        self.weigh("relations", &found, within);
        let mut permitted = permitted_operations && found.is_empty();
        if agent.columns.is_empty() && agent.functions.is_open() && !agent.calls_steady_only() {
            self.none("columns, functions", "no list narrows them");
        } else {
            let mut found = Reasons::default();
            elements(policy, agent, request, &mut found);
            self.weigh("columns, functions", &found, "all of them are listed".to_owned());
            permitted &= found.is_empty();
        }
        self.none("tools, resources, prompts", "the request is SQL");
        let (said, why) = if permitted {
            (Said::Pass, "every element is permitted")
        } else {
            (Said::Deny, "an element is not permitted")
        };
        self.add("permitted", said, why.to_owned());
        let mut found = Reasons::default();
        forbidden(policy, agent, request, &mut found);
        self.weigh("forbidden", &found, "nothing forbids it".to_owned());
    }

    /// Steps 3 to 8, when step 2 ended the evaluation.
    fn skip_judgement(&mut self) {
        for title in [
            "operations",
            "relations",
            "columns, functions",
            "tools, resources, prompts",
            "permitted",
            "forbidden",
        ] {
            self.none(title, "not asked");
        }
    }

    /// Steps 9 to 13.
    fn finish(&mut self, policy: &Policy, request: &Request<'_>, decision: &Decision) {
        match decision.outcome() {
            Outcome::Hold(_) => self.add("hold", Said::Pass, "an approver is asked".to_owned()),
            Outcome::Allow | Outcome::Deny => self.none("hold", "no rule asks for approval"),
        }
        self.none("obligations", "none");
        self.none("budgets", "none");
        self.add("record", Said::Later, "written before anything is forwarded".to_owned());
        let mode = policy.mode_for(request.principal);
        self.add("mode", Said::Later, mode.as_str().to_owned());
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Step { number, title, said, why } in &self.steps {
            writeln!(f, "{number:>2} {title:<26}{:<6} {why}", said.as_str())?;
        }
        let decision = &self.decision;
        write!(
            f,
            "=> {} (risk {}, policy {})",
            decision.outcome().as_str(),
            decision.risk(),
            decision.policy()
        )?;
        for reason in decision.reasons() {
            write!(f, "\n   {reason}\n      {}", reason.suggestion())?;
        }
        Ok(())
    }
}
