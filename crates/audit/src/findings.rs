//! What verification found, and how it is said. Finding it is the business of
//! [`verify`](mod@crate::verify).

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokenKind {
    /// The bytes of a record are not those that were written.
    Edited,
    /// Records stand in another order.
    Reordered,
    /// Records are missing in the middle.
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

impl BrokenKind {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Reordered => "reordered",
            Self::Removed => "removed",
            Self::Inserted => "inserted",
            Self::Truncated => "truncated",
            Self::MissingSegment => "missing segment",
            Self::TornTail => "torn tail",
            Self::WrongKey => "wrong key",
            Self::BadCheckpoint => "bad checkpoint",
            Self::Unreadable => "unreadable",
        }
    }

    /// What to do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Edited
            | Self::Reordered
            | Self::Removed
            | Self::Inserted
            | Self::Truncated
            | Self::MissingSegment => {
                "somebody who can write to the ledger's folder did this: keep the folder as it is, \
                 compare it with a copy, and do not trust what follows the named record"
            }
            Self::TornTail => {
                "a crash leaves this: start the ledger once, which cuts the unfinished record off, \
                 keeps it beside the segment and records that it did"
            }
            Self::WrongKey => "name the key file that the ledger was made with",
            Self::BadCheckpoint => {
                "the checkpoint and the records disagree: compare the folder with a copy, and the \
                 public key with one that was kept elsewhere"
            }
            Self::Unreadable => "mend the permissions or the disk, and verify again",
        }
    }
}

/// Where a ledger first deviates from what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// What is wrong.
    pub kind: BrokenKind,
    /// In which file.
    pub file: PathBuf,
    /// In which line, from 1; 0 if it is about the whole file.
    pub line: u64,
    /// The number of the record, if it can be told.
    pub seq: Option<u64>,
    /// In words.
    pub detail: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}: ", self.kind.as_str())?;
        if let Some(seq) = self.seq {
            write!(f, "record {seq}: ")?;
        }
        write!(f, "{}\n  help: {}", self.detail, self.kind.remedy())
    }
}

impl std::error::Error for Broken {}

/// A chain that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedChain {
    /// Its name.
    pub chain: String,
    /// Segments.
    pub segments: u64,
    /// Records.
    pub records: u64,
    /// Number of its first record; more than 1 if only a later segment was verified.
    pub first_seq: u64,
    /// Number of its last record.
    pub last_seq: u64,
    /// Hash of its last record.
    pub head: String,
    /// Time of its first record.
    pub first_ts: Option<String>,
    /// Time of its last record.
    pub last_ts: Option<String>,
    /// Checkpoints whose signature holds.
    pub checkpoints: u64,
    /// Up to here the signed checkpoint beside the segments covers it.
    pub covered_upto: Option<u64>,
    /// Unfinished records that were cut off after crashes.
    pub recovered: u64,
    /// Whether a process writes it at this moment.
    pub live: bool,
}

/// A ledger that holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Verified {
    /// Its chains.
    pub chains: Vec<VerifiedChain>,
    /// Bytes read.
    pub bytes: u64,
    /// Whether the keyed hashes were checked.
    pub keyed: bool,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chain in &self.chains {
            write!(
                f,
                "chain {}: {} records ({} to {}) in {} segments, {} checkpoints",
                chain.chain,
                chain.records,
                chain.first_seq,
                chain.last_seq,
                chain.segments,
                chain.checkpoints
            )?;
            if chain.recovered > 0 {
                write!(f, ", {} recoveries after a crash", chain.recovered)?;
            }
            match chain.covered_upto {
                Some(seq) => {
                    write!(f, ", signed up to {seq}")?;
                    let unsigned = chain.last_seq.saturating_sub(seq);
                    if unsigned > 0 {
                        write!(f, " (the last {unsigned} could be cut unseen)")?;
                    }
                }
                None => f.write_str(", no signed checkpoint beside it")?,
            }
            f.write_str(if chain.live { ", being written\n" } else { "\n" })?;
            writeln!(f, "  head {}", chain.head)?;
        }
        f.write_str(if self.keyed {
            "every record carries its keyed hash"
        } else {
            "links, hashes and signatures hold; keyed hashes were not checked (no key given)"
        })
    }
}
