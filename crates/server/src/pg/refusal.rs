//! What a refused client reads: an error that looks as if the server had raised it there.

use pgwire::{ErrorResponse, Severity};
use policy::ReasonCode;

/// SQLSTATE `insufficient_privilege`.
const DENIED: &str = "42501";

/// Why a message is refused.
#[derive(Debug, Clone)]
pub(crate) enum Refusal {
    /// The policy denies it.
    Denied {
        /// `blocked_operation (op: DROP)`
        reason: String,
        /// Further reasons, one a line.
        more: Vec<String>,
        /// What to do instead.
        hint: String,
        /// What the grammar says, and where, in characters from 1.
        mistake: Option<(String, Option<usize>)>,
        /// The ledger's record, once it is written.
        record: Record,
    },
    /// A name that the server does not know either: its own words, and nothing else.
    Missing(Named, String),
    /// The message is not well-formed.
    Malformed(Record),
    /// A name of 64 bytes or more, which the server would truncate.
    LongName(Record),
    /// The session holds as many names as it may.
    TooManyNames(Record),
    /// A temporary relation that another of its name would hide, because the path that the door has
    /// given the session says so: what is meant for it would reach the other.
    HiddenTemporary(String, Record),
}

/// The ledger's record of a refusal, once it is written.
pub(crate) type Record = Option<String>;

/// What a name that does not exist would have named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    /// A prepared statement.
    Statement,
    /// A portal of the protocol.
    Portal,
    /// A cursor in SQL.
    Cursor,
}

impl Refusal {
    /// Appends the error to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let error =
            |code, message: &str, detail: Option<&str>, hint: Option<&str>, out: &mut Vec<u8>| {
                let (severity, position) = (Severity::Error, None);
                ErrorResponse { severity, code, message, detail, hint, position }.encode(out);
            };
        match self {
            Self::Denied { reason, more, hint, mistake, record } => {
                let mut message = format!("[BLOCKED by Portcullis] {reason}");
                if let Some((said, _)) = mistake {
                    message.extend([": ", said]);
                }
                let mut detail = recorded(record);
                for line in more {
                    detail.push_str("\nAlso: ");
                    detail.push_str(line);
                }
                let hint = Some(hint.as_str()).filter(|hint| !hint.is_empty());
                let (message, detail) = (message.as_str(), Some(detail.as_str()));
                let position = mistake.as_ref().and_then(|(_, position)| *position);
                let (severity, code) = (Severity::Error, DENIED);
                ErrorResponse { severity, code, message, detail, hint, position }.encode(out);
            }
            Self::Missing(kind, name) => {
                let (code, message) = missing(*kind, name);
                error(code, &message, None, None, out);
            }
            Self::Malformed(record) => {
                error("08P01", "invalid message format", Some(&recorded(record)), None, out);
            }
            Self::LongName(record) => {
                let why = "The server would truncate it, and two names could become one.";
                error(
                    "42622",
                    "name of a prepared statement or portal is longer than 63 bytes",
                    Some(&format!("{why} {}", recorded(record))),
                    Some("Use a shorter name."),
                    out,
                );
            }
            Self::TooManyNames(record) => error(
                "54000",
                "too many prepared statements and portals are open in this session",
                Some(&recorded(record)),
                Some("Close what is no longer needed, or reconnect."),
                out,
            ),
            Self::HiddenTemporary(other, record) => {
                let why = "Through Portcullis search_path ends in pg_temp, so the name would go on \
                           meaning the other relation.";
                error(
                    "42P07",
                    &format!("a temporary relation of this name would be hidden by {other}"),
                    Some(&format!("{why} {}", recorded(record))),
                    Some("Choose another name, or SET search_path with pg_temp first."),
                    out,
                );
            }
        }
    }

    /// Notes the record.
    pub(crate) fn recorded_as(&mut self, id: String) {
        match self {
            Self::Denied { record, .. }
            | Self::Malformed(record)
            | Self::LongName(record)
            | Self::TooManyNames(record)
            | Self::HiddenTemporary(_, record) => *record = Some(id),
            Self::Missing(..) => {}
        }
    }

    /// Why, for the record.
    pub(crate) const fn code(&self) -> ReasonCode {
        match self {
            Self::Denied { .. } => ReasonCode::InternalError,
            Self::Missing(..) => ReasonCode::UnresolvedName,
            Self::Malformed(_) => ReasonCode::MalformedMessage,
            Self::LongName(_) => ReasonCode::NameTooLong,
            Self::TooManyNames(_) => ReasonCode::NamesLimit,
            Self::HiddenTemporary(..) => ReasonCode::TemporaryHidden,
        }
    }
}

/// What a client is told of its record.
pub(crate) fn recorded(record: &Record) -> String {
    match record {
        Some(record) => format!("Recorded as {record}."),
        None => "Not recorded: the ledger cannot be written.".to_owned(),
    }
}

/// The server's own words for a name that it does not know.
fn missing(kind: Named, name: &str) -> (&'static str, String) {
    match kind {
        Named::Statement if name.is_empty() => {
            ("26000", "unnamed prepared statement does not exist".to_owned())
        }
        Named::Statement => ("26000", format!("prepared statement \"{name}\" does not exist")),
        Named::Portal => ("34000", format!("portal \"{name}\" does not exist")),
        Named::Cursor => ("34000", format!("cursor \"{name}\" does not exist")),
    }
}

/// A FATAL error, after which the connection ends.
pub(crate) fn fatal(
    code: &str,
    message: &str,
    detail: Option<&str>,
    hint: Option<&str>,
    out: &mut Vec<u8>,
) {
    let (severity, position) = (Severity::Fatal, None);
    ErrorResponse { severity, code, message, detail, hint, position }.encode(out);
}
