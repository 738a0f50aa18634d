//! Every bound of this crate, by name. Nothing here is configurable; what an operator may choose
//! is in [`LedgerConfig`](crate::LedgerConfig).

use std::time::Duration;

/// A statement longer than this is recorded by digest and length only.
pub const MAX_STATEMENT_BYTES: usize = 1 << 20;

/// Names that a peer chooses (session, agent, reasons, …) are recorded up to this length.
pub const MAX_TEXT_BYTES: usize = 64 << 10;

/// A record that would be longer than this is not written, and what it records is denied.
pub const MAX_RECORD_BYTES: usize = 32 << 20;

/// All records of one append together are not longer than this.
pub const MAX_APPEND_BYTES: usize = 64 << 20;

/// Entries in one append, and settlements in one settle.
pub const MAX_ENTRIES: usize = 4096;

/// Buffered bytes (relaxed records, settlements) that are written at once instead of later.
pub const MAX_PENDING_BYTES: usize = 256 << 10;

/// How long anything stays buffered, and how long a group record stays unsynced.
pub const GROUP_INTERVAL: Duration = Duration::from_millis(10);

/// Segments are at least this long, so that rotation always makes progress.
pub const MIN_SEGMENT_BYTES: u64 = 4 << 10;

/// Highest segment number.
pub const MAX_SEGMENTS: u32 = 999_999;

/// Chains in one directory: one for each writer there ever was beside the first.
pub const MAX_CHAINS: usize = 4096;

/// Bytes that verification reads at once.
pub const READ_CHUNK: usize = 4 << 20;

/// A key or checkpoint file is shorter than this.
pub const MAX_SMALL_FILE: u64 = 16 << 10;

/// Denied calls that a report lists one by one.
pub const MAX_LISTED_DENIALS: usize = 1000;

/// Names (agents, tables, reasons, …) that a report counts one by one; the rest are counted
/// together.
pub const MAX_REPORTED_NAMES: usize = 10_000;

/// Forwarded requests whose end a report waits for at once.
pub const MAX_UNSETTLED: usize = 1 << 20;

/// Statements that a report lists as text, the most frequent ones.
pub const MAX_SHOWN_STATEMENTS: usize = 20;

/// Characters of a statement in such a list.
pub const MAX_SHOWN_CHARACTERS: usize = 120;
