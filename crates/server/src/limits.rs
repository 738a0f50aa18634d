//! Every bound of the enforcement points.

use std::time::Duration;

/// How much is read from a socket at once, and what an idle connection keeps for each direction.
pub(crate) const READ_BYTES: usize = 16 * 1024;
/// How much is read at once from a peer that fills the usual buffer.
pub(crate) const BURST_BYTES: usize = 128 * 1024;
/// Client frames up to this size are held whole while they are judged; longer ones are judged on
/// their beginning, as too complex to know, and streamed.
pub(crate) const MAX_HELD_FRAME_BYTES: usize = 1024 * 1024;
/// How much of a longer frame is read before it is judged.
pub(crate) const FRAME_PREFIX_BYTES: usize = 8 * 1024;
/// Who has this much unsent data is not given more.
pub(crate) const OUT_HIGH_WATER_BYTES: usize = 64 * 1024;
/// Longest stand-in error that is replaced. The server's own is about 120 bytes.
pub(crate) const MAX_REPLACED_ERROR_BYTES: usize = 8 * 1024;
/// Longest parameter value that is compared with a tenant or a limit.
pub(crate) const MAX_BOUND_BYTES: usize = 256;
/// Possible search paths of one session; beyond that its path counts as unknown.
pub(crate) const MAX_SEARCH_PATHS: usize = 8;
/// Texts that one session keeps as they were taken apart, and marks of texts that came once.
pub(crate) const MAX_SEEN: usize = 128;
/// About how many bytes they and their facts take at most, for each session.
pub(crate) const MAX_SEEN_BYTES: usize = 256 * 1024;
/// Longest text that is kept.
pub(crate) const MAX_SEEN_TEXT_BYTES: usize = 8 * 1024;
/// About how many bytes one text and its facts take at most to be kept.
pub(crate) const MAX_SEEN_WEIGHT: usize = MAX_SEEN_BYTES / 4;
/// Statement text that a record is made of at most: all that a frame which is held can carry.
pub(crate) const MAX_RECORDED_BYTES: usize = MAX_HELD_FRAME_BYTES;
/// Refusals in a row that are answered at once; later ones are slowed, twice as long each time.
pub(crate) const FREE_REFUSALS: u32 = 16;
/// What a session's refusals add up to at most: so many good statements later they are forgotten.
pub(crate) const MAX_REFUSED: u32 = 64;
/// The longest that one refusal is slowed.
pub(crate) const MAX_BRAKE: Duration = Duration::from_millis(250);
/// How long connecting upstream may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a client that cannot be read is looked at.
pub(crate) const HANG_UP_LOOK: Duration = Duration::from_millis(250);
/// How long the last words to a client may take.
pub(crate) const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// How often the policy file is looked at.
pub(crate) const POLICY_POLL: Duration = Duration::from_secs(1);
/// Statements on their way in messages that may change what a session has of its own; beyond that
/// nothing about it is certain.
pub(crate) const MAX_PENDING_STEPS: usize = 1_000;
/// Definitions of one transaction that its session is followed in.
pub(crate) const MAX_OWN_GENERATIONS: usize = 1_000;
/// How long a message waits for a load of the catalog that its judgement rests on.
pub(crate) const CATALOG_WAIT: Duration = Duration::from_secs(2);
/// Definitions that pass within this time, or that of a load if that is shorter, are answered by one load
/// of the catalog.
pub(crate) const CATALOG_PAUSE: Duration = Duration::from_millis(100);
/// How long a transaction with definitions may stay open, while others wait for it, before the log names it.
pub(crate) const OPEN_DEFINITIONS_WARN: Duration = Duration::from_secs(5);
/// How long a definition that is about to run is given before a load, which does not see it before it
/// has ended.
pub(crate) const CATALOG_SETTLE: Duration = Duration::from_millis(20);
/// How long the connection of the last load may take to answer before it is given up for a new one.
pub(crate) const CATALOG_REUSE: Duration = Duration::from_secs(1);
/// How long one look at the server's catalogs may take, a load that it asks for included.
pub(crate) const CATALOG_LOOK: Duration = Duration::from_secs(10);
/// How long after a failed load the next one is tried.
pub(crate) const CATALOG_RETRY: Duration = Duration::from_secs(2);
/// Largest policy file.
pub(crate) const MAX_POLICY_BYTES: u64 = 1024 * 1024;
/// Judgements that are recorded together at most.
pub(crate) const MAX_BATCH: usize = 256;
/// Turns in a row before a session lets the runtime look for news of its sockets: a client that writes
/// without pause would else keep the server's error from being heard. One statement takes fewer.
pub(crate) const MAX_TURNS: usize = 4;
