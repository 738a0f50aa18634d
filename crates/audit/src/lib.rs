//! The ledger: what every door decided, in records that are chained, keyed, signed and readable.
//!
//! What is *not* here: deciding (the policy does), diagnostics (logs may be lost, records may
//! not), SQL parsing, async run times. The ledger is local; nothing is sent anywhere.
//!
//! Invariants:
//! - `record_before_forward`: a receipt exists only for entries that are as durable as promised.
//! - A failed write or sync ends the ledger until it is opened again.
//! - What was written is verified as it stands in the file, byte for byte.
//! - `everything_is_bounded`: see `limits`.

mod chain;
mod checkpoint;
mod clock;
mod disk;
mod error;
mod findings;
mod json;
mod key;
mod ledger;
pub mod limits;
mod open;
mod reader;
mod record;
mod redact;
mod report;
mod segment;
mod shared;
mod syncer;
#[cfg(test)]
mod testing;
mod verify;
mod walk;

pub use clock::{Clock, SystemClock, Timestamp};
pub use error::{LedgerError, LedgerFault};
pub use findings::{Broken, BrokenKind, Verified, VerifiedChain};
pub use key::Key;
pub use ledger::{Abandoned, Durable, Health, Ledger, LedgerConfig, Recovery, Stats, Torn};
pub use reader::{Reader, StoredDecision, StoredOther, StoredReason, StoredRecord, StoredSettled};
pub use record::{
    ChainId, Entry, Mode, Payload, Promise, ReasonView, Receipt, RecordId, Settled, SettledOutcome,
};
pub use report::{AgentReport, Counts, DeniedCall, Report, ReportOptions, Settlements, report};
pub use verify::{verify, verify_pinned};

/// Version of the record format.
pub const FORMAT: u64 = 1;
