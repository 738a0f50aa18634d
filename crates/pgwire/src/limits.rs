//! Every bound of the protocol layer.

/// Longest startup packet, length word included (`MAX_STARTUP_PACKET_LENGTH` of PostgreSQL).
pub const MAX_STARTUP_BYTES: usize = 10_000;
/// Longest password or SASL message before login is complete.
pub const MAX_AUTH_BYTES: usize = 65_536;
/// Longest message of a kind that carries no statement or data (`PQ_SMALL_MESSAGE_LIMIT`).
pub const MAX_SMALL_BYTES: usize = 10_000;
/// Longest message of any kind (`PQ_LARGE_MESSAGE_LIMIT`: 1 GiB less one).
pub const MAX_LARGE_BYTES: usize = 0x3fff_ffff;
/// Longest name of a statement or portal that the server keeps apart from others
/// (`NAMEDATALEN` less one). It truncates longer ones, so two names become one.
pub const MAX_NAME_BYTES: usize = 63;
/// Prepared statements plus portals that one session may hold.
pub const MAX_NAMES: usize = 20_000;
/// Messages that one session may have unanswered.
pub const MAX_UNANSWERED: usize = 200_000;
/// How much of an upstream message's body the state machine wants to see.
pub const UPSTREAM_PREFIX_BYTES: usize = 256;
/// How much of a `RowDescription` is looked at.
pub const ROWS_PREFIX_BYTES: usize = 8 * 1024;
/// Startup parameters of one connection.
pub const MAX_STARTUP_PARAMETERS: usize = 512;
/// Changes to names that may wait for answers: each look-up may have to pass all of them.
pub const MAX_PENDING_NAMES: usize = 4_096;
