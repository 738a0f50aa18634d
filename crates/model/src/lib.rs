//! The vocabulary of Portcullis: who asks ([`Principal`]), what for ([`Operation`]), about what
//! ([`RelationName`], [`FunctionUse`], …), and what analysis proved ([`SqlFacts`]).
//!
//! What is *not* here: parsing, policy, wire formats, clocks, I/O. This crate depends on none of
//! ours, and every other crate of the workspace that names a concept takes the name from here.

mod action;
mod facts;
mod name;
mod principal;
mod request;
mod resource;
mod shape;
mod tenant;

pub use action::{Category, Operation, TransactionStep};
pub use facts::{
    Body, CallUse, ColumnRole, ColumnUse, Fact, ServerAccess, SettingChange, SettingUse,
    SettingValue, SqlFacts, Unfiltered, Unknown, Volatility,
};
pub use name::Name;
pub use principal::{Identity, Principal, Proof};
pub use request::{Door, Request, SERVER_MAJORS, Stage};
pub use resource::{Access, FunctionUse, RelationName, RelationUse, Schemas};
pub use shape::{ColumnName, Equality, Heavy, Operand, Reference, RowLimit, Rows, Shape};
pub use tenant::{TenantBound, TenantType, TenantUse};
