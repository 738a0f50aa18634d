//! Throw-away PostgreSQL servers, a raw wire peer and a launcher for the door under test.
//!
//! Here: what black-box tests and the demo need around the binary. Not here: anything of ours
//! that is tested; this crate depends on none of it, so a mistake there cannot hide here.
//!
//! Invariant: whatever is started dies with the process that started it, even if that is killed.

pub mod guard;
pub mod locate;
pub mod pgbox;
pub mod proxy;
pub mod random;
pub mod tap;
pub mod trouble;
pub mod wire;

pub use pgbox::{Auth, Options, PgBox};
pub use proxy::{Proxy, ProxyOptions};
pub use random::Random;
pub use tap::Tap;
pub use trouble::{Result, Trouble};
pub use wire::{Frame, Wire};
