//! A checked, compiled policy: the only thing that can make an allow.

use std::borrow::Cow;
use std::collections::HashMap;

use model::{Principal, Request};

use crate::agent::Agent;
use crate::describe;
use crate::detections::Detections;
use crate::document::{self, Servers, Stance, Unidentified};
use crate::evaluate::{
    Reasons, admit, elements, forbidden, is_always_allowed, operations, relations,
};
use crate::explain::Explanation;
use crate::function::FunctionSet;
use crate::settings::SettingGrants;
use crate::suggest::with_suggestion;
use crate::tenancy::{Constrain, Tenancy};
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
    pub(crate) tenancy: Option<Tenancy>,
    pub(crate) risk_threshold: Option<u32>,
    trusts_bare_names: bool,
    pub(crate) servers: Servers,
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
    /// Parses and checks; all errors at once. `name` is shown in diagnostics. A document that
    /// names another file is an error.
    pub fn load(name: &str, text: &str) -> Result<Loaded, Diagnostics> {
        Self::load_with(name, text, &mut |_file| Err("a single document names no files".to_owned()))
    }

    /// The same, with the files that the document names: `read` gives the text of each, or says
    /// why not.
    pub fn load_with(
        name: &str,
        text: &str,
        read: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Result<Loaded, Diagnostics> {
        let mut all = text.to_owned();
        let mut keep = |file: &str| {
            let inner = read(file)?;
            // One digest for everything that decides.
            all.push('\0');
            all.push_str(&inner);
            Ok(inner)
        };
        let (document, warnings) = document::load(name, text, &mut keep)?;
        let unidentified_agent =
            Agent { blocked_tables: document.unidentified_blocked_tables, ..Agent::unrestricted() };
        let policy = Self {
            digest: PolicyDigest::of(&all),
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
            tenancy: document.tenancy,
            risk_threshold: document.risk_threshold,
            trusts_bare_names: document.trusts_bare_names,
            servers: document.servers,
        };
        Ok(Loaded { policy, warnings })
    }

    /// Answers `request`. Total, pure and bounded: there is no error to forget, because every
    /// failure already is a denial.
    pub fn evaluate(&self, request: &Request<'_>) -> Decision {
        let principal = self.supplied(request.principal);
        let request = &Request { principal: &principal, ..*request };
        let risk = risk::of(self, request);
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
        elements(self, agent, request, &mut reasons);
        forbidden(self, agent, request, &mut reasons);
        if reasons.is_empty() {
            return Decision::allow(self.digest).with_risk(risk);
        }
        let reasons = reasons.into_iter().map(|reason| with_suggestion(agent, request, reason));
        Decision::deny(self.digest, reasons.collect()).with_risk(risk)
    }

    /// What would cure a denial of `request`, if the policy adds missing conditions (`enforce: rewrite`). What
    /// comes of it is to be judged again.
    pub fn constrain(&self, request: &Request<'_>, decision: &Decision) -> Option<Constrain<'_>> {
        let principal = self.supplied(request.principal);
        Constrain::of(self.tenancy.as_ref(), &principal, request.stage, decision)
    }

    /// Whether missing conditions are added.
    pub fn rewrites(&self) -> bool {
        self.tenancy.as_ref().is_some_and(|tenancy| tenancy.rewrites)
    }

    /// What each step of evaluation says about `request`.
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        let principal = self.supplied(request.principal);
        Explanation::of(self, &Request { principal: &principal, ..*request })
    }

    /// The principal with what the document gives its agent: roles and scopes beside its own, and
    /// a tenant if its identity brings none.
    pub fn supplied<'p>(&self, principal: &'p Principal) -> Cow<'p, Principal> {
        let agent = principal.agent.as_ref().and_then(|name| self.agents.get(name));
        let Some(agent) = agent.filter(|agent| agent.supplies()) else {
            return Cow::Borrowed(principal);
        };
        let mut whole = principal.clone();
        if whole.tenant.is_none() {
            whole.tenant.clone_from(&agent.tenant);
        }
        for (mine, more) in [(&mut whole.roles, &agent.roles), (&mut whole.scopes, &agent.scopes)] {
            let new: Vec<String> = more.iter().filter(|one| !mine.contains(one)).cloned().collect();
            mine.extend(new);
        }
        Cow::Owned(whole)
    }

    /// The column that says whose a row is, if tenants are isolated.
    pub fn tenant_column(&self) -> Option<&str> {
        self.tenancy.as_ref().filter(|one| one.isolates).map(|one| one.column.as_str())
    }

    /// Whether what a catalog says can change a decision about this principal.
    pub fn rests_on_catalog(&self, principal: &Principal) -> bool {
        // What a function does is in the catalog, too.
        let rests = |agent: &Agent| agent.blocks() || agent.narrows() || !agent.functions.is_open();
        self.tenant_column().is_some() || admit(self, principal).agent.is_some_and(rests)
    }

    /// Whether a name without a schema is PostgreSQL's own where it has one of that name, as far as
    /// no catalog says otherwise.
    pub const fn trusts_bare_names(&self) -> bool {
        self.trusts_bare_names
    }

    /// Whether a rule asks what names mean: of columns, calls, tenants, or personal data, or behind a view.
    pub fn rests_on_names(&self) -> bool {
        let asks = |agent: &Agent| agent.blocks() || !agent.functions.is_open();
        self.tenant_column().is_some()
            || self.detections.is_some()
            || asks(&self.unidentified_agent)
            || self.agents.values().any(asks)
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
