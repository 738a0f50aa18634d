//! What the black-box tests of the policy share: short ways to say who asks for what.

use model::{Door, Principal, Request, SqlFacts, Stage};
use policy::{Decision, Policy};

/// A policy that loads.
#[expect(clippy::panic, reason = "a test whose own policy does not load has failed")]
pub(crate) fn policy(text: &str) -> Policy {
    match Policy::load("test.yaml", text) {
        Ok(loaded) => loaded.policy,
        Err(found) => panic!("{found}"),
    }
}

/// The answer at the PostgreSQL door.
pub(crate) fn ask(policy: &Policy, principal: &Principal, facts: &SqlFacts) -> Decision {
    policy.evaluate(&Request {
        principal,
        door: Door::Pg,
        stage: Stage::Query,
        server_major: Some(18),
        facts,
    })
}
