//! What can go wrong: a ledger that cannot be opened ([`LedgerError`]), and one that cannot go on
//! ([`LedgerFault`]). A ledger that somebody changed is neither: see [`Broken`](crate::Broken).

use std::io;
use std::path::{Path, PathBuf};

/// Why a ledger cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A file or folder cannot be used.
    #[error("cannot {doing} `{}`: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others may read the key.
    #[error(
        "the key file `{}` can be read by others (mode {mode:04o}): run `chmod 600 {}`, and if \
         others may have read it, start a new ledger with a new key",
        path.display(), path.display()
    )]
    KeyExposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file holds something else.
    #[error(
        "the key file `{}` does not hold a key: expected 64 lower-case hexadecimal digits; restore \
         it from a backup, or name a file that does not exist yet to get a new key",
        path.display()
    )]
    KeyMalformed {
        /// The key file.
        path: PathBuf,
    },
    /// The ledger was made with another key.
    #[error(
        "the ledger in `{}` was made with key {found}, not {given}: use its key, or another folder",
        path.display()
    )]
    WrongKey {
        /// The segment.
        path: PathBuf,
        /// The id of the key that it was made with.
        found: String,
        /// The id of the key that was given.
        given: String,
    },
    /// The folder holds more chains, or a chain more segments, than this crate handles.
    #[error("`{}` holds too many chains or segments: archive it and name an empty folder", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
    /// No randomness for a key or a name.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// The first records could not be written.
    #[error("cannot start the ledger: {0}")]
    Fault(#[from] LedgerFault),
    /// A record cannot be read back.
    #[error("{}:{line}: not a record of this format: {problem}", path.display())]
    Unreadable {
        /// The segment.
        path: PathBuf,
        /// The line.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
}

impl LedgerError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { doing, path, source }
    }
}

/// Why a record could not be written, or not be made as durable as promised. What it records must
/// be denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LedgerFault {
    /// A write failed; the ledger takes nothing more until it is opened again.
    #[error("the ledger could not be written ({0}): everything is denied until a restart")]
    Write(io::ErrorKind),
    /// A sync failed; the ledger takes nothing more until it is opened again.
    #[error("the ledger could not be synced ({0}): everything is denied until a restart")]
    Sync(io::ErrorKind),
    /// A segment could not be started; the ledger takes nothing more until it is opened again.
    #[error(
        "the next segment of the ledger could not be made ({0}): everything is denied until a restart"
    )]
    Segment(io::ErrorKind),
    /// The ledger was closed.
    #[error("the ledger is closed")]
    Closed,
    /// The record is too long, or there are too many; the ledger goes on.
    #[error("the record is longer than a record may be")]
    TooLarge,
    /// A part of the record cannot be written as JSON; the ledger goes on.
    #[error("the record cannot be encoded")]
    Encode,
    /// A thread of the ledger died; the ledger takes nothing more until it is opened again.
    #[error("the ledger failed inside: everything is denied until a restart")]
    Internal,
}

impl LedgerFault {
    /// Stable name, for reasons and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Write(_) => "ledger_write",
            Self::Sync(_) => "ledger_sync",
            Self::Segment(_) => "ledger_segment",
            Self::Closed => "ledger_closed",
            Self::TooLarge => "ledger_record_too_large",
            Self::Encode => "ledger_record_encoding",
            Self::Internal => "ledger_internal",
        }
    }
}
