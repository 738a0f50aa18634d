//! What is recorded, and its place in a record.
//!
//! Field order is fixed and part of the format. Invariant: the exact bytes of a statement are
//! either kept without loss (as text, or in hexadecimal if they are not UTF-8) or not kept at all;
//! their SHA-256 and length always are.

use std::fmt;

use model::{Door, Fact, Operation, Principal, SqlFacts, Stage};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{LedgerFault, json, limits, redact};

/// How durable a record is before what it records may be forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// On disk first: survives the death of the machine.
    Strict,
    /// With the kernel first: survives the death of this process. On disk within 10 ms and one
    /// sync.
    Group,
    /// With the kernel within 10 ms. Survives neither.
    Relaxed,
}

/// How much of a statement is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// All of it.
    Full,
    /// With literals and comments replaced.
    Redacted,
    /// Only digest and length.
    Digest,
}

/// Whether a denied request is refused or, while a policy is being tried, forwarded all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Denied requests are refused.
    Enforce,
    /// Denied requests are forwarded, and the record says deny.
    Observe,
}

macro_rules! names {
    ($type:ty { $($variant:ident $name:literal),* $(,)? }) => {
        impl $type {
            /// Its name in records.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
names!(Promise { Strict "strict", Group "group", Relaxed "relaxed" });
names!(Payload { Full "full", Redacted "redacted", Digest "digest" });
names!(Mode { Enforce "enforce", Observe "observe" });

/// One reason of a decision, as the policy words it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReasonView<'a> {
    /// Stable code.
    pub code: &'a str,
    /// Category.
    pub category: &'a str,
    /// `abort`, `rewrite` or `transient`.
    pub bucket: &'a str,
    /// What the client is told.
    pub message: &'a str,
    /// What could be done instead.
    pub suggestion: &'a str,
}

/// One decision to be recorded.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Through which door.
    pub door: Door,
    /// At which moment.
    pub stage: Stage,
    /// Which session.
    pub session: &'a str,
    /// Who asks.
    pub principal: &'a Principal,
    /// The exact bytes that were judged.
    pub statement: &'a [u8],
    /// What the client sent, if a condition was added to it.
    pub submitted: Option<&'a [u8]>,
    /// What analysis proved about them.
    pub facts: &'a SqlFacts,
    /// `allow`, `hold` or `deny`.
    pub decision: &'a str,
    /// Why.
    pub reasons: &'a [ReasonView<'a>],
    /// How risky.
    pub risk: u32,
    /// Digest of the policy that answered.
    pub policy: &'a str,
    /// Whether a denial is enforced.
    pub mode: Mode,
    /// How long the decision took.
    pub latency_ns: u64,
}

/// How something that was forwarded ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettledOutcome<'a> {
    /// The server completed it.
    Completed {
        /// Rows, where the server says how many.
        rows: Option<u64>,
    },
    /// The server refused it.
    Failed {
        /// With this code.
        sqlstate: &'a str,
    },
    /// The server skipped it, after an earlier error.
    Skipped,
    /// The connection ended before an answer came.
    Lost,
}

/// The end of one recorded decision.
#[derive(Debug, Clone, Copy)]
pub struct Settled<'a> {
    /// Of which record.
    pub record: RecordId,
    /// In which session.
    pub session: &'a str,
    /// How.
    pub outcome: SettledOutcome<'a>,
    /// After how long.
    pub elapsed_ns: u64,
}

/// The name of a chain: eight hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId([u8; 4]);

impl ChainId {
    pub(crate) const fn new(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// Reads eight lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        json::unhex(text.as_bytes()).map(Self)
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        json::hex(out, &self.0);
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&json::hex_text(&self.0))
    }
}

impl fmt::Debug for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which record: what a refused client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// Its chain.
    pub chain: ChainId,
    /// Its number in the chain.
    pub seq: u64,
}

impl RecordId {
    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (chain, seq) = text.split_once('-')?;
        let plain = !seq.is_empty() && seq.bytes().all(|byte| byte.is_ascii_digit());
        let seq = Some(seq).filter(|_| plain)?.parse().ok()?;
        Some(Self { chain: ChainId::parse(chain)?, seq })
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.chain, self.seq)
    }
}

/// Proof that entries were taken, and where they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "under `strict` nothing may be forwarded before the receipt is durable"]
pub struct Receipt {
    pub(crate) chain: ChainId,
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) promise: Promise,
}

impl Receipt {
    /// The record of the entry at that position of the append.
    pub fn id(&self, position: usize) -> RecordId {
        let offset = u64::try_from(position).unwrap_or(u64::MAX);
        RecordId { chain: self.chain, seq: self.first.saturating_add(offset) }
    }

    /// How many records.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// What was promised for them.
    pub const fn promise(&self) -> Promise {
        self.promise
    }

    pub(crate) const fn last(&self) -> u64 {
        self.first.saturating_add(self.count).saturating_sub(1)
    }
}

const fn door_name(door: Door) -> &'static str {
    match door {
        Door::Pg => "pg",
        Door::Check => "check",
    }
}

const fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Query => "query",
        Stage::Parse => "parse",
        Stage::Bind => "bind",
        Stage::Execute => "execute",
        Stage::FunctionCall => "function_call",
        Stage::Startup => "startup",
    }
}

/// Appends `,"name":`.
pub(crate) fn name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Appends `,"name":"text"`.
pub(crate) fn text(out: &mut Vec<u8>, field: &str, value: &str) {
    name(out, field);
    json::string(out, shortened(value));
}

/// Appends `,"name":N`.
pub(crate) fn number(out: &mut Vec<u8>, field: &str, value: u64) {
    name(out, field);
    json::number(out, value);
}

/// Appends `,"name":"hexadecimal"`.
pub(crate) fn hex(out: &mut Vec<u8>, field: &str, value: &[u8]) {
    name(out, field);
    out.push(b'"');
    json::hex(out, value);
    out.push(b'"');
}

/// Names longer than any honest one are cut: the whole is in the statement and its digest.
fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(limits::MAX_TEXT_BYTES)).unwrap_or_default()
}

fn serde(out: &mut Vec<u8>, field: &str, value: &impl Serialize) -> Result<(), LedgerFault> {
    name(out, field);
    serde_json::to_writer(out, value).map_err(|_no_detail| LedgerFault::Encode)
}

impl Entry<'_> {
    /// Appends everything between `ts` and `prev`.
    pub(crate) fn write(&self, out: &mut Vec<u8>, payload: Payload) -> Result<(), LedgerFault> {
        text(out, "kind", "decision");
        text(out, "door", door_name(self.door));
        text(out, "stage", stage_name(self.stage));
        text(out, "session", self.session);
        serde(out, "principal", self.principal)?;
        action(out, self.facts.operation);
        resources(out, self.facts);
        statement(out, self.statement, payload);
        if let Some(submitted) = self.submitted {
            submission(out, submitted, payload);
        }
        serde(out, "facts", self.facts)?;
        text(out, "decision", self.decision);
        reasons(out, self.reasons);
        number(out, "risk", u64::from(self.risk));
        text(out, "policy", self.policy);
        text(out, "mode", self.mode.as_str());
        name(out, "latency_us");
        json::micros(out, self.latency_ns);
        Ok(())
    }
}

fn action(out: &mut Vec<u8>, operation: Operation) {
    name(out, "action");
    out.extend_from_slice(b"\"sql.");
    out.extend(operation.name().bytes().map(|byte| byte.to_ascii_lowercase()));
    out.push(b'"');
}

/// `read:public.users`, `call:pg_sleep`, or `unknown` where analysis could not tell.
fn resources(out: &mut Vec<u8>, facts: &SqlFacts) {
    name(out, "resources");
    out.push(b'[');
    let mut first = true;
    let mut item = |value: &str| {
        if !first {
            out.push(b',');
        }
        first = false;
        json::string(out, shortened(value));
    };
    match &facts.relations {
        Fact::Known(relations) => relations.iter().for_each(|usage| {
            let access = match usage.access {
                model::Access::Read => "read",
                model::Access::Write => "write",
                model::Access::Define => "define",
            };
            item(&format!("{access}:{}", usage.relation));
        }),
        Fact::Unknown(_) => item("unknown"),
    }
    match &facts.functions {
        Fact::Known(functions) => {
            for function in functions {
                item(&format!("call:{function}"));
            }
        }
        Fact::Unknown(_) => item("call:unknown"),
    }
    out.push(b']');
}

fn statement(out: &mut Vec<u8>, bytes: &[u8], payload: Payload) {
    let fits = bytes.len() <= limits::MAX_STATEMENT_BYTES;
    let valid = std::str::from_utf8(bytes);
    let kept = match (payload, valid) {
        (Payload::Full, Ok(sql)) if fits => {
            text_whole(out, "full", sql);
            true
        }
        (Payload::Full, Err(_)) if fits => {
            text(out, "payload", "full");
            hex(out, "statement_hex", bytes);
            true
        }
        (Payload::Redacted, Ok(sql)) if fits => {
            text_whole(out, "redacted", &redact::literals(sql));
            true
        }
        (Payload::Full | Payload::Redacted | Payload::Digest, Ok(_) | Err(_)) => false,
    };
    if !kept {
        text(out, "payload", "digest");
    }
    hex(out, "statement_sha256", &Sha256::digest(bytes));
    number(out, "statement_bytes", u64::try_from(bytes.len()).unwrap_or(u64::MAX));
}

/// What was sent instead of the statement: its text under the same rules, and its digest.
fn submission(out: &mut Vec<u8>, bytes: &[u8], payload: Payload) {
    let fits = bytes.len() <= limits::MAX_STATEMENT_BYTES;
    let text = std::str::from_utf8(bytes).ok().filter(|_| fits);
    let kept = match (payload, text) {
        (Payload::Full, Some(text)) => Some(text.to_owned()),
        (Payload::Redacted, Some(text)) => Some(redact::literals(text)),
        (Payload::Digest, Some(_)) | (_, None) => None,
    };
    if let Some(text) = kept {
        name(out, "submitted");
        json::string(out, &text);
    }
    hex(out, "submitted_sha256", &Sha256::digest(bytes));
}

fn text_whole(out: &mut Vec<u8>, payload: &str, sql: &str) {
    text(out, "payload", payload);
    name(out, "statement");
    json::string(out, sql);
}

fn reasons(out: &mut Vec<u8>, reasons: &[ReasonView<'_>]) {
    name(out, "reasons");
    out.push(b'[');
    for (position, reason) in reasons.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"code\":");
        json::string(out, shortened(reason.code));
        text(out, "category", reason.category);
        text(out, "bucket", reason.bucket);
        text(out, "message", reason.message);
        text(out, "suggestion", reason.suggestion);
        out.push(b'}');
    }
    out.push(b']');
}

impl Settled<'_> {
    /// Appends everything between `ts` and `prev`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        text(out, "kind", "settled");
        name(out, "record");
        out.push(b'"');
        self.record.chain.write(out);
        out.push(b'-');
        json::number(out, self.record.seq);
        out.push(b'"');
        text(out, "session", self.session);
        let outcome = match self.outcome {
            SettledOutcome::Completed { .. } => "completed",
            SettledOutcome::Failed { .. } => "failed",
            SettledOutcome::Skipped => "skipped",
            SettledOutcome::Lost => "lost",
        };
        text(out, "outcome", outcome);
        match self.outcome {
            SettledOutcome::Completed { rows: Some(rows) } => number(out, "rows", rows),
            SettledOutcome::Failed { sqlstate } => text(out, "sqlstate", sqlstate),
            SettledOutcome::Completed { rows: None }
            | SettledOutcome::Skipped
            | SettledOutcome::Lost => {}
        }
        name(out, "elapsed_us");
        json::micros(out, self.elapsed_ns);
    }
}
