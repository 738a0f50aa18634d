//! The PostgreSQL wire protocol, versions 3.0 and 3.2, without I/O.
//!
//! Bytes become frames ([`client_header`], [`upstream_header`]), frames become messages
//! ([`ClientMessage`]), and [`Protocol`] keeps the two facts that a judge of statements needs: which
//! answer belongs to which message, and what each statement and portal name stands for.
//!
//! What is *not* here: sockets, SQL, policy, clocks. Whoever sends bytes upstream needs one of the
//! types that only this crate ([`Passive`], [`StandIn`]) or the gate can make.
//!
//! Source of the rules: PostgreSQL documentation, "Frontend/Backend Protocol".

mod error;
mod frame;
pub mod limits;
mod message;
mod names;
mod order;
mod protocol;
mod rows;
mod startup;

pub use error::{ErrorFields, ErrorResponse, Severity};
pub use frame::{
    ClientTag, HEADER_BYTES, Header, Side, UpstreamTag, Violation, client_header, upstream_header,
};
pub use message::{
    BindHead, BindValues, ClientMessage, Format, Malformed, NameKind, Query, decode_client,
    parse_message, query,
};
pub use names::{Change, Definition, Lookup};
pub use order::{Completed, Outcome, Settlement, Ticket};
pub use protocol::{Effects, Passive, Protocol, Refused, StandIn, Status, Submitted, UpstreamStep};
pub use rows::table_oids;
pub use startup::{
    NegotiateVersion, Opening, StartupError, StartupMessage, Version, decode_opening,
    encode_startup, opening_length,
};
