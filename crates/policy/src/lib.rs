//! The decision point: policy documents, and the answer to one request.
//!
//! What is *not* here: SQL parsing, wire formats, clocks, files, I/O. Everything is pure and
//! bounded. Only this crate can make an allow.

mod decision;
mod diagnostic;
pub mod limits;
mod policy;
mod reason;

pub use decision::{Decision, Fault, Hold, Mode, Outcome, PolicyDigest};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use policy::{Explanation, Loaded, Policy};
pub use reason::{Bucket, Reason, ReasonCode};

/// The question that a policy answers.
pub use model::Request;
