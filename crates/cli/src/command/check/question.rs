//! Reads questions: who asks, and what.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use model::{Principal, Proof};
use serde::Deserialize;
use serde_json::Value;

use crate::args::WhoArgs;
use crate::limits;

/// One line of JSON. Unknown fields are ignored: corpora carry labels and notes.
#[derive(Debug, Deserialize)]
pub(super) struct Question<'a> {
    /// Comes back in the answer.
    #[serde(default)]
    pub(super) id: Option<Value>,
    /// The submission.
    #[serde(borrow)]
    pub(super) sql: Cow<'a, str>,
    /// Who asks; if it is given, the command line's agent and mission do not count.
    #[serde(default)]
    agent: Option<String>,
    #[serde(default)]
    mission: Option<String>,
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    roles: Option<Vec<String>>,
    #[serde(default)]
    scopes: Option<Vec<String>>,
}

/// Reads a line of JSON.
pub(super) fn parse(line: &[u8]) -> serde_json::Result<Question<'_>> {
    serde_json::from_slice(line)
}

/// Who asks, unless a line says so.
#[derive(Debug)]
pub(super) struct Who {
    default: Principal,
    current: Principal,
}

impl Who {
    /// As the command line says.
    pub(super) fn of(args: &WhoArgs) -> Self {
        let default = Principal {
            agent: args.agent.clone(),
            mission: args.mission.clone(),
            tenant: args.tenant.clone(),
            proof: proof(args.agent.as_ref()),
            ..Principal::unidentified()
        };
        Self { current: default.clone(), default }
    }

    /// As the command line says.
    pub(super) const fn principal(&self) -> &Principal {
        &self.default
    }

    /// As the line says; what it leaves out, as the command line says.
    pub(super) fn asking(&mut self, question: &Question<'_>) -> &Principal {
        let Principal { agent, mission, tenant, .. } = &self.default;
        let (agent, mission) = match &question.agent {
            Some(_) => (&question.agent, &question.mission),
            None => (agent, if question.mission.is_some() { &question.mission } else { mission }),
        };
        self.current.agent.clone_from(agent);
        self.current.mission.clone_from(mission);
        self.current
            .tenant
            .clone_from(question.tenant.as_ref().map_or(tenant, |_| &question.tenant));
        self.current.roles = question.roles.clone().unwrap_or_default();
        self.current.scopes = question.scopes.clone().unwrap_or_default();
        self.current.proof = proof(agent.as_ref());
        &self.current
    }
}

const fn proof(agent: Option<&String>) -> Proof {
    match agent {
        Some(_) => Proof::Asserted,
        None => Proof::None,
    }
}

/// What the next line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// There is none.
    End,
    /// White space.
    Blank,
    /// More than a line may have; it was skipped.
    TooLong,
    /// Something.
    Text(&'a [u8]),
}

/// Reads the next line into `buffer`, which is reused.
pub(super) fn read_line<'b>(
    source: &mut impl BufRead,
    buffer: &'b mut Vec<u8>,
) -> io::Result<Line<'b>> {
    buffer.clear();
    let read = source.by_ref().take(limits::MAX_LINE_BYTES).read_until(b'\n', buffer)?;
    if read == 0 {
        return Ok(Line::End);
    }
    let full = u64::try_from(read).is_ok_and(|read| read == limits::MAX_LINE_BYTES);
    if full && buffer.last() != Some(&b'\n') {
        source.skip_until(b'\n')?;
        return Ok(Line::TooLong);
    }
    match buffer.trim_ascii() {
        [] => Ok(Line::Blank),
        text => Ok(Line::Text(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who() -> Who {
        Who::of(&WhoArgs {
            agent: Some("a".to_owned()),
            mission: Some("m".to_owned()),
            tenant: Some("t".to_owned()),
            user: None,
            search_path: String::new(),
        })
    }

    fn asking(line: &str) -> Principal {
        who().asking(&parse(line.as_bytes()).unwrap()).clone()
    }

    #[test]
    fn a_line_says_who_asks() {
        let principal = asking(r#"{"sql":"","agent":"b","roles":["r"],"note":1}"#);
        assert_eq!((principal.agent.as_deref(), principal.mission), (Some("b"), None));
        assert_eq!((principal.tenant.as_deref(), principal.roles.len()), (Some("t"), 1));
        let principal = asking(r#"{"sql":""}"#);
        assert_eq!(principal.label(), "a/m");
        assert_eq!(asking(r#"{"sql":"","mission":"n"}"#).label(), "a/n");
    }

    #[test]
    fn a_line_without_sql_or_with_two_is_not_a_question() {
        for line in [r#"{"id":1}"#, r#"{"sql":1}"#, r#"{"sql":"a","sql":"b"}"#, "x", "[]"] {
            assert!(parse(line.as_bytes()).is_err(), "{line}");
        }
        assert!(parse(b"{\"sql\":\"\xff\"}").is_err());
    }

    #[test]
    fn lines_are_read_one_by_one() {
        let mut source = &b"a\n\n b\r\nc"[..];
        let mut buffer = Vec::new();
        let mut next = || match read_line(&mut source, &mut buffer).unwrap() {
            Line::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
            other @ (Line::End | Line::Blank | Line::TooLong) => format!("{other:?}"),
        };
        assert_eq!([next(), next(), next(), next(), next()], ["a", "Blank", "b", "c", "End"]);
    }
}
