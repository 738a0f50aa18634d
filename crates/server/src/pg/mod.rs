//! The PostgreSQL door: listen, log in, judge.

mod bound;
mod cache;
mod cancel;
mod fresh;
mod judge;
mod listener;
mod login;
mod ours;
mod reading;
mod refusal;
mod session;
mod tripwire;
mod writer;

pub use cache::{Cache, Sight};
pub(crate) use cancel::Cancels;
pub(crate) use listener::serve;
