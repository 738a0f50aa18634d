//! Which answer belongs to which message: one queue entry for each message that the server answers.

use crate::names::Change;

/// The judge's handle for one cleared submission; comes back in a [`Settlement`].
pub type Ticket = u64;

/// How a cleared submission ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, with as many rows as the server says.
    Completed {
        /// From the command tag.
        rows: Option<u64>,
    },
    /// Rows were sent, and there are more (a row-limited Execute).
    Suspended,
    /// The server raised an error.
    Failed {
        /// SQLSTATE.
        code: [u8; 5],
    },
    /// The server skipped it after an earlier error.
    Skipped,
}

/// One submission's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// Which.
    pub ticket: Ticket,
    /// How.
    pub outcome: Outcome,
}

/// One statement that the server has completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completed {
    /// The submission that it is part of.
    pub ticket: Ticket,
    /// The command tag is ROLLBACK: so a COMMIT ends in a failed transaction.
    pub rolled_back: bool,
}

/// What one SQL statement does to names once it has run.
#[derive(Debug, Clone)]
pub struct Effects<D> {
    /// On prepared statements.
    pub statements: Vec<Change<D>>,
    /// On portals and cursors.
    pub portals: Vec<Change<D>>,
}

impl<D> Effects<D> {
    /// Nothing.
    pub const fn none() -> Self {
        Self { statements: Vec::new(), portals: Vec::new() }
    }

    /// Whether it is nothing.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty() && self.portals.is_empty()
    }
}

#[derive(Debug)]
pub(crate) enum Kind<R> {
    /// `unnamed` also when it fails: the server forgets the old one first.
    Parse {
        unnamed: bool,
    },
    Bind,
    Describe,
    Execute {
        copy: bool,
    },
    Close,
    Query {
        statement: usize,
        rows: Option<u64>,
        copy: bool,
        failed: bool,
    },
    FunctionCall,
    Sync {
        maybe_swallowed: bool,
    },
    /// `CopyDone` or `CopyFail`: no answer of its own, but it says where a COPY's data ended.
    CopyEnd,
    /// COPY data was sent after what stands before. A Sync behind it is swallowed if the COPY went
    /// on, and answered if the data had made it fail.
    CopyMark,
    /// A refused message's place.
    StandIn {
        of: Place,
        refusal: Option<R>,
        /// Whether the refusal comes before the server looks at the transaction.
        at_once: bool,
    },
}

/// What stands in for a refused message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Query,
    UnnamedParse,
    Extended,
    FunctionCall,
}

impl Place {
    /// The SQLSTATE that the stand-in raises outside failed transactions.
    pub(crate) const fn code(self) -> &'static [u8] {
        match self {
            Self::Query | Self::UnnamedParse | Self::Extended => b"42703",
            Self::FunctionCall => b"42883",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Entry<R> {
    pub(crate) id: u64,
    pub(crate) ticket: Option<Ticket>,
    pub(crate) kind: Kind<R>,
}

/// The row count in a command tag: its last word, if that is a number.
pub(crate) fn rows(tag: &[u8]) -> Option<u64> {
    let tag = tag.strip_suffix(b"\0").unwrap_or(tag);
    let word = tag.rsplit(|byte| *byte == b' ').next()?;
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_from_the_tag() {
        assert_eq!(rows(b"SELECT 5\0"), Some(5));
        assert_eq!(rows(b"INSERT 0 7\0"), Some(7));
        assert_eq!(rows(b"BEGIN\0"), None);
    }
}
