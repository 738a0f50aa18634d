//! A checked, compiled policy: the only thing that can make an allow.

use std::collections::HashMap;

use model::{Principal, Request};

use crate::agent::Agent;
use crate::describe;
use crate::detections::{Detections, Scopes};
use crate::document::{self, Stance, Unidentified};
use crate::evaluate::{
    Reasons, admit, elements, forbidden, is_always_allowed, operations, relations,
};
use crate::explain::Explanation;
use crate::function::FunctionSet;
use crate::settings::SettingGrants;
use crate::suggest::with_suggestion;
use crate::{Decision, Diagnostics, Mode, PolicyDigest, Reason, risk};

/// A checked, compiled policy. Cheap to share, impossible to change.
#[derive(Debug)]
pub struct Policy {
    digest: PolicyDigest,
    pub(crate) unlisted: Stance,
    pub(crate) unidentified: Unidentified,
    pub(crate) unidentified_agent: Agent,
    pub(crate) unlisted_agent: Agent,
    pub(crate) agents: HashMap<String, Agent>,
    /// The file's own list; the shipped one comes on top.
    pub(crate) blocked_functions: FunctionSet,
    pub(crate) granted_functions: FunctionSet,
    pub(crate) settings: SettingGrants,
    pub(crate) server_files: Stance,
    pub(crate) unparsable: Stance,
    pub(crate) detections: Option<Detections>,
    pub(crate) scopes: Scopes,
    pub(crate) risk_threshold: Option<u32>,
}

/// A policy, and what somebody should look at.
#[derive(Debug)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// Findings that do not stop it.
    pub warnings: Diagnostics,
}

impl Policy {
    /// Parses and checks; all errors at once. `name` is shown in diagnostics.
    pub fn load(name: &str, text: &str) -> Result<Loaded, Diagnostics> {
        let (document, warnings) = document::load(name, text)?;
        let unidentified_agent =
            Agent { blocked_tables: document.unidentified_blocked_tables, ..Agent::unrestricted() };
        let policy = Self {
            digest: PolicyDigest::of(text),
            unlisted: document.default_policy,
            unidentified: document.unidentified,
            unidentified_agent,
            unlisted_agent: Agent::unrestricted(),
            agents: document.agents,
            blocked_functions: FunctionSet::new(document.blocked_functions),
            granted_functions: FunctionSet::new(document.functions),
            settings: document.settings,
            server_files: document.server_files,
            unparsable: document.unparsable,
            detections: document.detections,
            scopes: document.scopes,
            risk_threshold: document.risk_threshold,
        };
        Ok(Loaded { policy, warnings })
    }

    /// Answers `request`. Total, pure and bounded: there is no error to forget, because every
    /// failure already is a denial.
    pub fn evaluate(&self, request: &Request<'_>) -> Decision {
        let risk = risk::of(request.facts);
        if is_always_allowed(request.facts) {
            return Decision::allow(self.digest).with_risk(risk);
        }
        let admission = admit(self, request.principal);
        let mut reasons = Reasons::default();
        if let Some(code) = admission.refusal {
            reasons.add(Reason::of(code));
        }
        let Some(agent) = admission.agent else {
            return Decision::deny(self.digest, reasons.into_iter().collect()).with_risk(risk);
        };
        operations(agent, request, &mut reasons);
        relations(agent, request, &mut reasons);
        elements(agent, request, &mut reasons);
        forbidden(self, agent, request, &mut reasons);
        if reasons.is_empty() {
            return Decision::allow(self.digest).with_risk(risk);
        }
        let reasons = reasons.into_iter().map(|reason| with_suggestion(agent, request, reason));
        Decision::deny(self.digest, reasons.collect()).with_risk(risk)
    }

    /// What each step of evaluation says about `request`.
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        Explanation::of(self, request)
    }

    /// The column that says whose a row is, if tenants are isolated.
    pub fn tenant_column(&self) -> Option<&str> {
        self.scopes.column.as_deref()
    }

    /// What bounds this principal beside single operations, in lines for people.
    pub fn bounds(&self, principal: &Principal) -> Vec<String> {
        describe::bounds(self, principal)
    }

    /// The agents that are listed, sorted.
    pub fn agents(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.agents.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Which policy this is.
    pub const fn digest(&self) -> &PolicyDigest {
        &self.digest
    }

    /// Whether denials of this principal's requests are enforced.
    pub fn mode_for(&self, principal: &Principal) -> Mode {
        match &principal.agent {
            Some(name) => self.agents.get(name).map_or(Mode::Enforce, |agent| agent.mode),
            None => match self.unidentified {
                Unidentified::Observe => Mode::Observe,
                Unidentified::Deny | Unidentified::Allow => Mode::Enforce,
            },
        }
    }

    /// Whether text that PostgreSQL's parser refuses may pass, as far as nothing else forbids
    /// what is unknown about it.
    pub fn allows_unparsable(&self) -> bool {
        self.unparsable == Stance::Allow
    }

    /// Whether some setting is guarded; false with `settings: ["*"]`.
    pub const fn guards_settings(&self) -> bool {
        !self.settings.is_all()
    }
}
