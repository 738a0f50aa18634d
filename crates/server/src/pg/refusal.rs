//! What a refused client reads: an error that looks as if the server had raised it there.

use pgwire::{ErrorResponse, NameKind, Severity};

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
        /// The ledger's record, once it is written.
        record: Option<String>,
    },
    /// A name that the server does not know either.
    Missing(NameKind, String),
    /// The message is not well-formed.
    Malformed,
    /// A name of 64 bytes or more, which the server would truncate.
    LongName,
    /// The session holds as many names as it may.
    TooManyNames,
}

impl Refusal {
    /// Appends the error to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let error =
            |code, message: &str, detail: Option<&str>, hint: Option<&str>, out: &mut Vec<u8>| {
                ErrorResponse { severity: Severity::Error, code, message, detail, hint }
                    .encode(out);
            };
        match self {
            Self::Denied { reason, more, hint, record } => {
                let message = format!("[BLOCKED by Portcullis] {reason}");
                let mut detail = match record {
                    Some(record) => format!("Recorded as {record}."),
                    None => "Not recorded: the ledger cannot be written.".to_owned(),
                };
                for line in more {
                    detail.push_str("\nAlso: ");
                    detail.push_str(line);
                }
                let hint = Some(hint.as_str()).filter(|hint| !hint.is_empty());
                error(DENIED, &message, Some(&detail), hint, out);
            }
            Self::Missing(kind, name) => {
                let (code, message) = missing(*kind, name);
                error(code, &message, None, None, out);
            }
            Self::Malformed => error("08P01", "invalid message format", None, None, out),
            Self::LongName => error(
                "42622",
                "name of a prepared statement or portal is longer than 63 bytes",
                Some("The server would truncate it, and two names could become one."),
                Some("Use a shorter name."),
                out,
            ),
            Self::TooManyNames => error(
                "54000",
                "too many prepared statements and portals are open in this session",
                None,
                Some("Close what is no longer needed, or reconnect."),
                out,
            ),
        }
    }
}

/// The server's own words for a name that it does not know.
fn missing(kind: NameKind, name: &str) -> (&'static str, String) {
    match kind {
        NameKind::Statement if name.is_empty() => {
            ("26000", "unnamed prepared statement does not exist".to_owned())
        }
        NameKind::Statement => ("26000", format!("prepared statement \"{name}\" does not exist")),
        NameKind::Portal => ("34000", format!("portal \"{name}\" does not exist")),
    }
}

/// A FATAL error, after which the connection ends.
pub(crate) fn fatal(code: &str, message: &str, hint: Option<&str>, out: &mut Vec<u8>) {
    ErrorResponse { severity: Severity::Fatal, code, message, detail: None, hint }.encode(out);
}
