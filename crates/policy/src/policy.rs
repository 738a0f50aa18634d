//! A checked, compiled policy.

use std::fmt;

use model::{Principal, Request};

use crate::{Decision, Diagnostics, Mode, PolicyDigest, Reason, ReasonCode};

/// A checked, compiled policy. Cheap to share, impossible to change.
#[derive(Debug)]
pub struct Policy {
    digest: PolicyDigest,
}

/// A policy, and what somebody should look at.
#[derive(Debug)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// Findings that do not stop it.
    pub warnings: Diagnostics,
}

/// What each of the thirteen steps of evaluation said.
#[derive(Debug)]
pub struct Explanation;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("")
    }
}

impl Policy {
    /// Parses and checks; all errors at once. `name` is shown in diagnostics.
    pub fn load(_name: &str, text: &str) -> Result<Loaded, Diagnostics> {
        let policy = Self { digest: PolicyDigest::of(text) };
        Ok(Loaded { policy, warnings: Diagnostics::default() })
    }

    /// Answers `request`. Total, pure and bounded.
    pub fn evaluate(&self, request: &Request<'_>) -> Decision {
        if request.facts.empty {
            return Decision::allow(self.digest);
        }
        Decision::deny(self.digest, vec![Reason::of(ReasonCode::AgentNotInPolicy)]).with_risk(0)
    }

    /// What each step says about `request`.
    pub fn explain(&self, _request: &Request<'_>) -> Explanation {
        Explanation
    }

    /// Which policy this is.
    pub fn digest(&self) -> &PolicyDigest {
        &self.digest
    }

    /// Whether denials of this principal's requests are enforced.
    pub fn mode_for(&self, _principal: &Principal) -> Mode {
        Mode::Enforce
    }

    /// Whether text that PostgreSQL's parser refuses may pass.
    pub fn allows_unparsable(&self) -> bool {
        false
    }

    /// Whether some setting is guarded; false with `settings: ["*"]`.
    pub fn guards_settings(&self) -> bool {
        true
    }
}
