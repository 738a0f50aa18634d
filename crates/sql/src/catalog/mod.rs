//! What exists in a database, as its catalogs said at one moment.
//!
//! What is here: the snapshot as it is stored ([`Snapshot`]), and an immutable index over it
//! ([`Catalog`]). What is not: how it is loaded, and how old it may be.
//!
//! Source: PostgreSQL documentation, "System Catalogs".

mod index;
mod snapshot;

pub use index::{Catalog, CatalogError};
pub use snapshot::{
    Cast, CastContext, Column, FORMAT, Function, FunctionKind, Operator, Relation, RelationKind,
    Snapshot, Type, TypeKind, Volatility,
};

/// An object identifier of the server.
pub type Oid = u32;
