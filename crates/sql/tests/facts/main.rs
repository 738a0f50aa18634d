//! The facts of SQL, seen from outside: texts in, facts out.

#[cfg(test)]
mod builtins;
#[cfg(test)]
mod canonical;
#[cfg(test)]
mod common;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod evasions;
#[cfg(test)]
mod names;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod shape;
#[cfg(test)]
mod total;
