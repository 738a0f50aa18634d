//! The decision point: policy documents, and the answer to one request.
//!
//! ```text
//! text ──► document (tree, checks) ──► Policy ──► evaluate(Request) ──► Decision
//! ```
//!
//! What is *not* here: SQL parsing, wire formats, clocks, files, I/O; everything is pure and
//! bounded. Only this crate can make an allow.

mod agent;
mod body;
mod callable;
mod catalog;
mod column;
mod decision;
mod describe;
mod detections;
mod diagnostic;
mod document;
mod evaluate;
mod explain;
mod function;
pub mod limits;
mod policy;
mod profile;
mod reason;
pub mod reference;
mod risk;
mod setting_list;
mod settings;
mod shipped;
mod suggest;
mod table;
mod tenancy;

pub use decision::{Decision, Fault, Hold, Mode, Outcome, PolicyDigest};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use explain::{Explanation, Said, Step};
pub use policy::{Loaded, Policy};
pub use reason::{Bucket, Reason, ReasonCode};
pub use tenancy::Constrain;

/// The question that a policy answers.
pub use model::Request;
