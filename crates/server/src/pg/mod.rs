//! The PostgreSQL door: listen, log in, judge.

mod bound;
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

pub(crate) use cancel::Cancels;
pub(crate) use listener::serve;
