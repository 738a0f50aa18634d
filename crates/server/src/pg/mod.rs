//! The PostgreSQL door: listen, log in, judge.

mod bound;
mod cancel;
mod judge;
mod listener;
mod login;
mod reading;
mod refusal;
mod session;
mod writer;

pub(crate) use cancel::Cancels;
pub(crate) use listener::serve;
