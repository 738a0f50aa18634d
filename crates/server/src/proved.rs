//! What analysis proved of one submission, and what a policy has already said of it.
//!
//! What is *not* here: analysis, and what becomes of a decision. Invariants: never without facts; what was
//! said is said again only to the same principal, at the same stage, for the same server, by the same policy
//! in force, each the very one and no equal; it never outlives that policy by more than its empty shell.

use std::sync::{Arc, Mutex, OnceLock, Weak};

use model::{Door, Principal, Request, SqlFacts, Stage, Unknown};
use policy::Decision;

use crate::gate::{Asked, InForce, both};

/// The facts of one submission's statements.
#[derive(Debug)]
pub struct Proved {
    first: Arc<SqlFacts>,
    others: Vec<Arc<SqlFacts>>,
    merged: OnceLock<Arc<SqlFacts>>,
    said: Mutex<Option<Said>>,
}

/// What a policy has said of the facts.
#[derive(Debug)]
struct Said {
    /// Who asked. A weak reference keeps the address from being another's.
    who: Weak<Principal>,
    /// Which policy answered, in the same way.
    by: Weak<InForce>,
    server_major: Option<u16>,
    /// One for each stage at most.
    decisions: Vec<(Stage, Decision)>,
}

impl Said {
    fn fits(&self, asked: Asked<'_>, server_major: Option<u16>) -> bool {
        std::ptr::eq(self.by.as_ptr(), Arc::as_ptr(asked.in_force))
            && std::ptr::eq(self.who.as_ptr(), Arc::as_ptr(asked.who))
            && self.server_major == server_major
    }

    fn at(&self, stage: Stage) -> Option<&Decision> {
        self.decisions.iter().find(|(each, _)| *each == stage).map(|(_, decision)| decision)
    }
}

impl Proved {
    /// Of one statement.
    pub fn one(facts: Arc<SqlFacts>) -> Self {
        let (others, merged, said) = (Vec::new(), OnceLock::new(), Mutex::new(None));
        Self { first: facts, others, merged, said }
    }

    /// Of several. None at all would be a fault of ours, so nothing is known of it.
    pub(crate) fn several(facts: Vec<Arc<SqlFacts>>) -> Self {
        let mut facts = facts.into_iter();
        let nothing = || Arc::new(SqlFacts::unknown(Unknown::UnknownStatement));
        let first = facts.next().unwrap_or_else(nothing);
        Self { others: facts.collect(), ..Self::one(first) }
    }

    /// Those of the first statement, often the only one.
    pub(crate) const fn first(&self) -> &Arc<SqlFacts> {
        &self.first
    }

    /// Those of each statement, in order.
    pub(crate) fn each(&self) -> impl Iterator<Item = &Arc<SqlFacts>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Everything that the submission does, for its record.
    pub(crate) fn merged(&self) -> Arc<SqlFacts> {
        if self.others.is_empty() {
            return Arc::clone(&self.first);
        }
        Arc::clone(self.merged.get_or_init(|| {
            let mut merged = SqlFacts::clone(&self.first);
            for facts in &self.others {
                merged.absorb(facts);
            }
            // With something else beside it, it is not plain transaction control any more.
            merged.transaction = None;
            // Nor is it one statement.
            merged.digest = None;
            merged.empty = false;
            Arc::new(merged)
        }))
    }

    /// What the policy in force says of the whole submission. It is evaluated once for each stage.
    pub fn decision(&self, asked: Asked<'_>, stage: Stage, server_major: Option<u16>) -> Decision {
        // A lock that a panic has left is as good as nothing said.
        let Ok(mut said) = self.said.lock() else {
            return self.evaluated(asked, stage, server_major);
        };
        let before = said.as_ref().filter(|said| said.fits(asked, server_major));
        if let Some(decision) = before.and_then(|said| said.at(stage)) {
            return decision.clone();
        }
        let mut decisions = match said.take() {
            Some(said) if said.fits(asked, server_major) => said.decisions,
            Some(_) | None => Vec::with_capacity(1),
        };
        let decision = self.evaluated(asked, stage, server_major);
        decisions.push((stage, decision.clone()));
        let (who, by) = (Arc::downgrade(asked.who), Arc::downgrade(asked.in_force));
        *said = Some(Said { who, by, server_major, decisions });
        decision
    }

    /// The same, from nothing.
    fn evaluated(&self, asked: Asked<'_>, stage: Stage, server_major: Option<u16>) -> Decision {
        let policy = &asked.in_force.policy;
        let ask = |facts: &SqlFacts| {
            let principal = asked.who;
            policy.evaluate(&Request { principal, door: Door::Pg, stage, server_major, facts })
        };
        let first = ask(&self.first);
        self.others.iter().fold(first, |decision, facts| both(decision, ask(facts)))
    }
}

#[cfg(test)]
mod tests {
    use model::Operation;
    use policy::Policy;

    use super::*;

    fn in_force(blocked: &str) -> Arc<InForce> {
        let text = format!("version: \"2\"\nagents:\n  a: {{blocked_operations: [{blocked}]}}\n");
        Arc::new(InForce::new(Policy::load("test", &text).unwrap().policy))
    }

    fn agent(name: &str) -> Arc<Principal> {
        Arc::new(Principal::asserted(name))
    }

    fn select() -> Proved {
        Proved::one(Arc::new(SqlFacts::of(Operation::Select)))
    }

    const SERVER: Option<u16> = Some(15);

    #[test]
    fn what_one_policy_said_another_does_not_say() {
        let (open, shut) = (in_force("DROP"), in_force("SELECT"));
        let (who, proved) = (agent("agent:a"), select());
        let say = |in_force: &Arc<InForce>| {
            let asked = Asked { who: &who, in_force };
            proved.decision(asked, Stage::Query, SERVER)
        };
        for _ in 0..3 {
            assert!(say(&open).is_allowed());
            assert!(say(&open).is_allowed());
            assert!(!say(&shut).is_allowed());
            assert_eq!(say(&shut).policy(), *shut.policy.digest());
        }
    }

    #[test]
    fn a_policy_that_is_gone_lends_its_address_to_no_other() {
        let (who, proved) = (agent("agent:a"), select());
        for turn in 0..1_000 {
            // Dropped at the end of each turn: without the entry's hold the next would lie where it lay.
            let in_force = in_force(if turn % 2 == 0 { "DROP" } else { "SELECT" });
            let asked = Asked { who: &who, in_force: &in_force };
            let decision = proved.decision(asked, Stage::Query, SERVER);
            assert_eq!(decision.is_allowed(), turn % 2 == 0);
        }
    }

    #[test]
    fn what_was_said_to_one_principal_is_not_said_to_another() {
        let (open, proved) = (in_force("DROP"), select());
        for (name, allowed) in [("agent:a", true), ("agent:b", false), ("psql", false)] {
            let who = agent(name);
            for _ in 0..2 {
                let asked = Asked { who: &who, in_force: &open };
                let decision = proved.decision(asked, Stage::Query, SERVER);
                assert_eq!(decision.is_allowed(), allowed, "{name}");
            }
        }
    }

    #[test]
    fn each_stage_and_each_server_is_judged_for_itself() {
        let (open, who) = (in_force("DROP"), agent("agent:a"));
        let call = Proved::one(Arc::new(SqlFacts::of(Operation::Select)));
        let asked = Asked { who: &who, in_force: &open };
        for _ in 0..2 {
            assert!(call.decision(asked, Stage::Query, SERVER).is_allowed());
            assert!(!call.decision(asked, Stage::FunctionCall, SERVER).is_allowed());
            assert!(!call.decision(asked, Stage::Query, None).is_allowed());
            assert!(!call.decision(asked, Stage::Query, Some(13)).is_allowed());
        }
    }

    #[test]
    fn one_statement_that_is_denied_denies_all() {
        let (shut, who) = (in_force("DELETE"), agent("agent:a"));
        let of = |operation| Arc::new(SqlFacts::of(operation));
        let proved = Proved::several(vec![of(Operation::Select), of(Operation::Delete)]);
        let asked = Asked { who: &who, in_force: &shut };
        for _ in 0..2 {
            assert!(!proved.decision(asked, Stage::Query, SERVER).is_allowed());
        }
        assert!(!Proved::several(Vec::new()).decision(asked, Stage::Query, SERVER).is_allowed());
    }
}
