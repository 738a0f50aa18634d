//! The answer to one request.
//!
//! Three vocabularies, never mixed: a *rule* permits or forbids, a *decision* allows, holds or
//! denies, an *enforcement point* forwards or refuses.
//!
//! Invariant `decisions_only_narrow`: anybody may deny; only [`crate::Policy::evaluate`] may
//! allow, and nothing here turns a decision into a laxer one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Reason, ReasonCode};

/// SHA-256 of the policy text: which policy answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyDigest([u8; 32]);

impl PolicyDigest {
    /// The digest of a policy text.
    pub fn of(text: &str) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(text.as_bytes()).into())
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is to happen with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Forward.
    Allow,
    /// Wait for a human. Whoever cannot wait refuses.
    Hold(Hold),
    /// Refuse.
    Deny,
}

impl Outcome {
    /// The name in records and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Hold(_) => "hold",
            Self::Deny => "deny",
        }
    }
}

/// How long to wait for an approver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hold {
    /// After this the answer is deny.
    pub timeout_ms: u32,
}

/// Whether denials are enforced. It never changes a decision, only what is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A denied request is refused.
    Enforce,
    /// A denied request is recorded as denied and forwarded all the same.
    Observe,
}

impl Mode {
    /// The name in records and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        }
    }
}

/// We failed, so the answer is deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The decision could not be made durable.
    Unaudited,
    /// Judging failed.
    Internal,
}

/// What the policy answers, and why. Every request gets exactly one.
///
/// ```compile_fail
/// let forged = policy::Decision { outcome: policy::Outcome::Allow };
/// ```
#[must_use = "a decision nobody enforces is a hole"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    outcome: Outcome,
    reasons: Vec<Reason>,
    risk: u32,
    policy: PolicyDigest,
}

impl Decision {
    /// The only way to a forwarded request; private to this crate.
    pub(crate) const fn allow(policy: PolicyDigest) -> Self {
        Self { outcome: Outcome::Allow, reasons: Vec::new(), risk: 0, policy }
    }

    /// A denial for these reasons, in the order given. Without reasons it is an internal error.
    pub fn deny(policy: PolicyDigest, reasons: Vec<Reason>) -> Self {
        let reasons =
            if reasons.is_empty() { vec![Reason::of(ReasonCode::InternalError)] } else { reasons };
        Self { outcome: Outcome::Deny, reasons, risk: 0, policy }
    }

    /// The denial that follows from a failure of ours.
    pub fn fault(policy: PolicyDigest, fault: Fault) -> Self {
        let code = match fault {
            Fault::Unaudited => ReasonCode::Unaudited,
            Fault::Internal => ReasonCode::InternalError,
        };
        Self::deny(policy, vec![Reason::of(code)])
    }

    /// The same, with this risk.
    pub(crate) const fn with_risk(mut self, risk: u32) -> Self {
        self.risk = risk;
        self
    }

    /// The same, with the higher of its risk and another.
    pub fn with_other_risk(mut self, other: u32) -> Self {
        self.risk = self.risk.max(other);
        self
    }

    /// What is to happen.
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether the outcome is allow.
    pub const fn is_allowed(&self) -> bool {
        matches!(self.outcome, Outcome::Allow)
    }

    /// Every reason that applies, in a stable order. Empty exactly if the outcome is not deny.
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    /// How risky the request was: a sum of named contributions.
    pub const fn risk(&self) -> u32 {
        self.risk
    }

    /// Which policy answered.
    pub const fn policy(&self) -> PolicyDigest {
        self.policy
    }

    /// The same request, now denied for one more reason. It comes first: it is what decided last.
    pub fn denied(mut self, reason: Reason) -> Self {
        self.reasons.insert(0, reason);
        Self { outcome: Outcome::Deny, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denying_twice_keeps_both_reasons() {
        let digest = PolicyDigest::of("x");
        let allowed = Decision::allow(digest);
        assert!(allowed.is_allowed() && allowed.reasons().is_empty());
        let denied = allowed.denied(Reason::of(ReasonCode::Unaudited));
        assert_eq!(denied.outcome(), Outcome::Deny);
        let again = denied.denied(Reason::of(ReasonCode::TooComplex));
        assert_eq!(again.outcome(), Outcome::Deny);
        assert_eq!(again.reasons().len(), 2);
        assert_eq!(Decision::deny(digest, Vec::new()).reasons().len(), 1);
    }

    #[test]
    fn the_digest_names_its_algorithm() {
        let text = PolicyDigest::of("").to_string();
        assert!(text.starts_with("sha256:e3b0c442") && text.len() == 7 + 64, "{text}");
    }
}
