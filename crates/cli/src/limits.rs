//! Every limit of the command line, named.

use std::time::Duration;

/// The longest configurable wait.
pub(crate) const MAX_DURATION: Duration = Duration::from_hours(24);
/// The smallest ledger file.
pub(crate) const MIN_SEGMENT: u64 = 64 << 10;
/// The largest ledger file.
pub(crate) const MAX_SEGMENT: u64 = 4 << 30;
/// The most sessions at once.
pub(crate) const MAX_SESSIONS: usize = 100_000;
/// PostgreSQL's own port.
pub(crate) const POSTGRES_PORT: u16 = 5432;
/// The largest configuration file.
pub(crate) const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// The largest file that a secret is read from.
pub(crate) const MAX_SECRET_BYTES: u64 = 64 << 10;
/// The largest policy document that is read.
pub(crate) const MAX_POLICY_BYTES: u64 = 16 << 20;
/// The largest catalog that is read.
pub(crate) const MAX_CATALOG_BYTES: u64 = 1 << 30;
/// The longest line that is shown below a diagnostic.
pub(crate) const MAX_SHOWN_LINE: usize = 200;
/// How much of a statement is shown beside its decision.
pub(crate) const MAX_SHOWN_STATEMENT: usize = 120;
/// The largest submission that `check` reads; analysis has its own, lower limit.
pub(crate) const MAX_SUBMISSION_BYTES: u64 = 64 << 20;
/// The longest JSON line that `check` reads.
pub(crate) const MAX_LINE_BYTES: u64 = 16 << 20;
/// How long `doctor` waits for the server.
pub(crate) const DOCTOR_TIMEOUT: Duration = Duration::from_secs(20);
