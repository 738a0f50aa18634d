//! `ErrorResponse`: reading what the server raised, writing what a refused client is told.
//! (PostgreSQL documentation, "Error and Notice Message Fields".)

/// Severity of an error that we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed, the session lives.
    Error,
    /// The session ends.
    Fatal,
}

impl Severity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}

/// An error to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorResponse<'a> {
    /// How bad.
    pub severity: Severity,
    /// SQLSTATE, five characters.
    pub code: &'a str,
    /// The primary message.
    pub message: &'a str,
    /// DETAIL.
    pub detail: Option<&'a str>,
    /// HINT.
    pub hint: Option<&'a str>,
    /// Where in the statement, in characters from 1.
    pub position: Option<usize>,
}

impl ErrorResponse<'_> {
    /// Appends the frame to `out`. NUL characters in texts are left out: they would end a field.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(b"E\0\0\0\0");
        field(out, b'S', self.severity.as_str());
        field(out, b'V', self.severity.as_str());
        field(out, b'C', self.code);
        field(out, b'M', self.message);
        if let Some(detail) = self.detail {
            field(out, b'D', detail);
        }
        if let Some(hint) = self.hint {
            field(out, b'H', hint);
        }
        if let Some(position) = self.position {
            field(out, b'P', &position.to_string());
        }
        out.push(0);
        let length = u32::try_from(out.len() - start - 1).unwrap_or(u32::MAX);
        if let Some(word) = out.get_mut(start + 1..start + 5) {
            word.copy_from_slice(&length.to_be_bytes());
        }
    }
}

fn field(out: &mut Vec<u8>, kind: u8, text: &str) {
    out.push(kind);
    out.extend(text.bytes().filter(|byte| *byte != 0));
    out.push(0);
}

/// The fields of a server's error that decide what happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorFields<'a> {
    /// `V`: the severity that is never translated; `S` where a server sends no `V`.
    pub severity: &'a [u8],
    /// `C`: the SQLSTATE.
    pub code: &'a [u8],
}

impl<'a> ErrorFields<'a> {
    /// Reads the body, or as much of it as is there: both fields come first.
    pub fn decode(body: &'a [u8]) -> Self {
        let mut found = Self::default();
        let mut rest = body;
        while let Some((kind, tail)) = rest.split_first() {
            if *kind == 0 {
                break;
            }
            let Some(end) = tail.iter().position(|byte| *byte == 0) else { break };
            let (value, after) = tail.split_at(end);
            match kind {
                b'S' if found.severity.is_empty() => found.severity = value,
                b'V' => found.severity = value,
                b'C' => found.code = value,
                _ => {}
            }
            rest = after.get(1..).unwrap_or_default();
        }
        found
    }

    /// Whether it ends a statement and nothing more.
    pub fn is_plain_error(&self) -> bool {
        self.severity == b"ERROR"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let mut out = Vec::new();
        ErrorResponse {
            severity: Severity::Error,
            code: "42501",
            message: "no\0pe",
            detail: Some("record 1"),
            hint: None,
            position: Some(12),
        }
        .encode(&mut out);
        assert_eq!(
            out.len(),
            1 + usize::try_from(u32::from_be_bytes(out[1..5].try_into().unwrap())).unwrap()
        );
        let fields = ErrorFields::decode(&out[5..]);
        assert!(fields.is_plain_error());
        assert_eq!(fields.code, b"42501");
        assert!(out.windows(6).any(|w| w == b"Mnope\0"));
        assert!(out.ends_with(b"P12\0\0"));
    }
}
