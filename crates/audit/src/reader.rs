//! Records read back, typed, for reports and for judging them again.
//!
//! Reading does not verify: run [`verify`](crate::verify()) first where it matters.

use std::path::{Path, PathBuf};

use model::{Door, Principal, SqlFacts, Stage};
use serde::{Deserialize, Deserializer, Serialize};

use crate::walk::{Kind, Lines};
use crate::{ChainId, LedgerError, Mode, Payload, RecordId, Timestamp, json, segment};

/// One record, as it stands in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub enum StoredRecord {
    /// A decision.
    Decision(Box<StoredDecision>),
    /// How something that was forwarded ended.
    Settled(StoredSettled),
    /// The ledger about itself: opened, recovered, rotated, checkpoint.
    Other(StoredOther),
}

/// A reason, as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredReason {
    /// Stable code.
    pub code: String,
    /// Category.
    pub category: String,
    /// `abort`, `rewrite` or `transient`.
    pub bucket: String,
    /// What the client was told.
    pub message: String,
    /// What could have been done instead.
    pub suggestion: String,
}

/// A decision, as it was recorded.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StoredDecision {
    /// Which record; not a field of it.
    #[serde(skip)]
    pub id: Option<RecordId>,
    /// Its number in the chain.
    pub seq: u64,
    /// When.
    #[serde(deserialize_with = "timestamp")]
    pub ts: Timestamp,
    /// Through which door.
    pub door: Door,
    /// At which moment.
    pub stage: Stage,
    /// Which session.
    pub session: String,
    /// Who asked.
    pub principal: Principal,
    /// `sql.select`, …
    pub action: String,
    /// `read:public.users`, `call:pg_sleep`, …
    pub resources: Vec<String>,
    /// How much of the statement was kept.
    pub payload: Payload,
    /// The statement, if it was kept and is UTF-8.
    #[serde(default)]
    pub statement: Option<String>,
    /// The statement, if it was kept and is not UTF-8.
    #[serde(default)]
    pub statement_hex: Option<String>,
    /// SHA-256 of its exact bytes.
    pub statement_sha256: String,
    /// How many bytes.
    pub statement_bytes: u64,
    /// What analysis proved.
    pub facts: SqlFacts,
    /// `allow`, `hold` or `deny`.
    pub decision: String,
    /// Why.
    pub reasons: Vec<StoredReason>,
    /// How risky.
    pub risk: u32,
    /// Digest of the policy that answered.
    pub policy: String,
    /// Whether a denial was enforced.
    pub mode: Mode,
    /// How long the decision took.
    pub latency_us: f64,
}

impl StoredDecision {
    /// The exact bytes that were judged, if they were kept in full.
    pub fn exact_statement(&self) -> Option<Vec<u8>> {
        match (self.payload, &self.statement, &self.statement_hex) {
            (Payload::Full, Some(text), _) => Some(text.as_bytes().to_vec()),
            (Payload::Full, None, Some(hex)) => json::unhex_any(hex),
            (Payload::Full | Payload::Redacted | Payload::Digest, _, _) => None,
        }
    }
}

/// An end, as it was recorded.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StoredSettled {
    /// Its number in the chain.
    pub seq: u64,
    /// When.
    #[serde(deserialize_with = "timestamp")]
    pub ts: Timestamp,
    /// Of which decision, as [`RecordId`] writes it.
    pub record: String,
    /// In which session.
    pub session: String,
    /// `completed`, `failed`, `skipped` or `lost`.
    pub outcome: String,
    /// Rows, where the server said how many.
    #[serde(default)]
    pub rows: Option<u64>,
    /// The server's code, if it refused.
    #[serde(default)]
    pub sqlstate: Option<String>,
    /// After how long.
    pub elapsed_us: f64,
}

/// Any other record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StoredOther {
    /// Its number in the chain.
    pub seq: u64,
    /// When.
    #[serde(deserialize_with = "timestamp")]
    pub ts: Timestamp,
    /// `opened`, `recovered`, `rotated` or `checkpoint`.
    pub kind: String,
}

fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    Timestamp::parse(&text).ok_or_else(|| serde::de::Error::custom("not a time"))
}

/// Reads the records of a folder, chain by chain, or of one segment.
pub struct Reader {
    /// In reverse: the next one is the last.
    segments: Vec<(ChainId, PathBuf)>,
    current: Option<(ChainId, PathBuf, Lines)>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("segments", &self.segments).finish_non_exhaustive()
    }
}

impl Reader {
    /// Opens a folder or one segment.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let mut segments = Vec::new();
        if path.is_dir() {
            for (chain, paths) in segment::list(path)? {
                segments.extend(paths.into_values().map(|path| (chain, path)));
            }
        } else {
            let chain = segment::parse(path).map_or(ChainId::new([0; 4]), |(chain, _)| chain);
            segments.push((chain, path.to_path_buf()));
        }
        segments.reverse();
        Ok(Self { segments, current: None })
    }

    fn step(&mut self) -> Result<Option<StoredRecord>, LedgerError> {
        loop {
            let Some((chain, path, lines)) = &mut self.current else {
                let Some((chain, path)) = self.segments.pop() else { return Ok(None) };
                let lines = Lines::open(&path).map_err(LedgerError::io("open", &path))?;
                self.current = Some((chain, path, lines));
                continue;
            };
            let line = lines.next().map_err(LedgerError::io("read", path))?;
            match line {
                // An unfinished last record is nobody's yet; verification tells of it.
                Some(line) if line.complete => {
                    return parse(line.bytes, *chain).map(Some).map_err(|problem| {
                        let (path, line) = (path.clone(), line.number);
                        LedgerError::Unreadable { path, line, problem }
                    });
                }
                Some(_) | None => self.current = None,
            }
        }
    }
}

fn parse(line: &[u8], chain: ChainId) -> Result<StoredRecord, String> {
    fn typed<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, String> {
        serde_json::from_slice(line).map_err(|error| error.to_string())
    }
    match Kind::of(line) {
        Some(Kind::Decision) => {
            let mut decision: Box<StoredDecision> = typed(line)?;
            decision.id = Some(RecordId { chain, seq: decision.seq });
            Ok(StoredRecord::Decision(decision))
        }
        Some(Kind::Settled) => typed(line).map(StoredRecord::Settled),
        Some(Kind::Opened | Kind::Recovered | Kind::Rotated | Kind::Checkpoint) => {
            typed(line).map(StoredRecord::Other)
        }
        None => Err("it does not start like a record".to_owned()),
    }
}

impl Iterator for Reader {
    type Item = Result<StoredRecord, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            // A file that cannot be read stays so.
            self.current = None;
            self.segments.clear();
        }
        step.transpose()
    }
}
