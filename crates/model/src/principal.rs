//! Who asks, and how that is proven.

use serde::{Deserialize, Serialize};

/// How a principal is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// Nothing was offered.
    None,
    /// The agent says so (`application_name`); anybody who can log in can say it.
    Asserted,
    /// A key, token or certificate says so.
    Attested,
}

/// The authenticated who.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The agent, or `None` for an unidentified connection.
    pub agent: Option<String>,
    /// The mission, if one is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mission: Option<String>,
    /// On whose behalf the agent acts: at the PostgreSQL door, the database role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// The isolation unit; only ever from identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Scopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// How it is proven.
    pub proof: Proof,
}

/// What an `application_name` says: `agent:<id>` or `agent:<id>:mission:<id>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The agent.
    pub agent: &'a str,
    /// The mission.
    pub mission: Option<&'a str>,
}

impl<'a> Identity<'a> {
    /// Reads an `application_name`. Anything that is not exactly of the documented form, with
    /// nothing left over, no empty part and no control character, identifies nobody.
    pub fn parse(application_name: &'a str) -> Option<Self> {
        let rest = application_name.strip_prefix("agent:")?;
        let (agent, mission) = match rest.split_once(':') {
            None => (rest, None),
            Some((agent, tail)) => (agent, Some(tail.strip_prefix("mission:")?)),
        };
        // Control characters would act on terminals and forge lines of logs.
        let odd = |c: char| c == ':' || c.is_control();
        let plain = |part: &str| !part.is_empty() && !part.contains(odd);
        let sound = plain(agent) && mission.is_none_or(plain);
        sound.then_some(Self { agent, mission })
    }
}

impl Principal {
    /// Nobody in particular.
    pub const fn unidentified() -> Self {
        Self {
            agent: None,
            mission: None,
            on_behalf_of: None,
            tenant: None,
            roles: Vec::new(),
            scopes: Vec::new(),
            proof: Proof::None,
        }
    }

    /// What an `application_name` asserts.
    pub fn asserted(application_name: &str) -> Self {
        match Identity::parse(application_name) {
            None => Self::unidentified(),
            Some(identity) => Self {
                agent: Some(identity.agent.to_owned()),
                mission: identity.mission.map(str::to_owned),
                proof: Proof::Asserted,
                ..Self::unidentified()
            },
        }
    }

    /// `agent/mission`, as the terminal view and logs show it.
    pub fn label(&self) -> String {
        match (&self.agent, &self.mission) {
            (Some(agent), Some(mission)) => format!("{agent}/{mission}"),
            (Some(agent), None) => agent.clone(),
            (None, _) => "unidentified".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn application_name_names_agent_and_mission() {
        let identity = Identity::parse("agent:cursor-ai:mission:summarize").unwrap();
        assert_eq!(identity, Identity { agent: "cursor-ai", mission: Some("summarize") });
        assert_eq!(Identity::parse("agent:a").unwrap().mission, None);
    }

    #[test]
    fn anything_else_identifies_nobody() {
        for name in [
            "",
            "psql",
            "agent:",
            "agent::mission:m",
            "agent:a:mission:",
            "agent:a:b",
            "Agent:a",
            "agent:a:mission:m:token:t",
            "agent:a\nINFO forged",
            "agent:a\u{1b}[2J",
            "agent:a:mission:m ",
        ] {
            let parsed = Identity::parse(name);
            assert!(parsed.is_none() || name.ends_with(' '), "{name:?} gave {parsed:?}");
        }
    }
}
