//! Verification: the first record that somebody changed, or that there is none.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::{ChainId, Key};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokenKind {
    /// The bytes of a record are not those that were written.
    Edited,
    /// Records stand in another order.
    Reordered,
    /// Records are missing inside a segment.
    Removed,
    /// A record stands where none was written.
    Inserted,
    /// Records are missing at the end.
    Truncated,
    /// A segment is missing.
    MissingSegment,
    /// The last record is unfinished: a crash, most likely.
    TornTail,
    /// The ledger was made with another key.
    WrongKey,
    /// A checkpoint is missing or does not hold.
    BadCheckpoint,
    /// A file cannot be read.
    Unreadable,
}

/// Where a ledger first deviates from what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// What is wrong.
    pub kind: BrokenKind,
    /// In which file.
    pub file: PathBuf,
    /// In which line, from 1.
    pub line: u64,
    /// The number of the record, if it can be told.
    pub seq: Option<u64>,
    /// In words.
    pub detail: String,
}

/// A chain that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedChain {
    /// Its name.
    pub chain: ChainId,
    /// Segments.
    pub segments: u64,
    /// Records.
    pub records: u64,
    /// Number of its last record.
    pub last_seq: u64,
}

/// A ledger that holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Its chains.
    pub chains: Vec<VerifiedChain>,
    /// Bytes read.
    pub bytes: u64,
    /// Whether the keyed hashes were checked.
    pub keyed: bool,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {:?}: {}", self.file.display(), self.line, self.kind, self.detail)
    }
}

impl std::error::Error for Broken {}

/// Checks a folder (every chain in it) or one segment.
pub fn verify(path: &Path, key: Option<&Key>) -> Result<Verified, Broken> {
    let _ = key;
    Err(Broken {
        kind: BrokenKind::Unreadable,
        file: path.to_path_buf(),
        line: 0,
        seq: None,
        detail: "verification is not there yet".to_owned(),
    })
}
