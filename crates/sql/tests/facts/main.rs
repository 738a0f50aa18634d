//! The facts of SQL, seen from outside: texts in, facts out.

mod common;
mod corpus;
mod evasions;
mod names;
mod reading;
mod total;
