//! Policy documents.
//!
//! Invariants: no panic; what does not load says at least one thing; what loads answers, and a
//! principal that it does not know is allowed only if it says `default_policy: allow`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::{Door, Operation, Principal, Request, SqlFacts, Stage};
use policy::{Outcome, Policy};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let loaded = match Policy::load("fuzz.yaml", text) {
        Ok(loaded) => loaded,
        Err(found) => {
            assert!(!found.to_string().is_empty());
            return;
        }
    };
    let facts = SqlFacts::of(Operation::Drop);
    for name in ["agent:a:mission:m", "agent:nobody-of-that-name:mission:m", ""] {
        let principal = Principal::asserted(name);
        let request =
            Request { principal: &principal, door: Door::Pg, stage: Stage::Query, server_major: Some(18), facts: &facts };
        let decision = loaded.policy.evaluate(&request);
        if name.contains("nobody") && decision.outcome() == Outcome::Allow {
            let says = text.contains("allow") || text.contains("nobody");
            assert!(says || text.contains('\\'), "allowed without a word");
        }
        drop(loaded.policy.explain(&request).to_string());
    }
});
