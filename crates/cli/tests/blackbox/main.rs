//! Black-box tests: the real binary between real clients and a real PostgreSQL.
//!
//! Each file shows one side of the PostgreSQL door. Not here: anything that a unit test can show
//! without a server. Every door that a test opens has its ledger verified when the test is over.

#[cfg(test)]
mod attached;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod bound_tenants;
#[cfg(test)]
mod catalog;
#[cfg(test)]
mod check;
#[cfg(test)]
mod copy;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod drivers;
#[cfg(test)]
mod extended;
#[cfg(test)]
mod invariants;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod loads;
#[cfg(test)]
mod login;
#[cfg(test)]
mod names;
#[cfg(test)]
mod names_of_outputs;
#[cfg(test)]
mod own;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod seen;
#[cfg(test)]
mod silent;
#[cfg(test)]
mod startup;
#[cfg(test)]
mod strict;
#[cfg(test)]
mod tenant_rows;
#[cfg(test)]
mod tenants;
#[cfg(test)]
mod twins;
#[cfg(test)]
mod versions;
#[cfg(test)]
mod within_a_text;
