//! What exists in a database, as its catalogs said at one moment.
//!
//! What is here: the snapshot as it is stored ([`Snapshot`]), an immutable index over it
//! ([`Catalog`]), what one session has made that others do not see ([`Own`]), and the catalogs of
//! untouched servers ([`built_in`]). What is not: how one is loaded, and how old it may be.
//!
//! Source: PostgreSQL documentation, "System Catalogs".

pub(crate) mod builtin;
mod index;
mod keyed;
mod own;
mod snapshot;

pub use builtin::built_in;
pub(crate) use index::Named;
pub use index::{Catalog, CatalogError};
pub use own::Own;
pub(crate) use own::{NewColumn, NewRelation};
pub use snapshot::{
    Attached, AttachedKind, Cast, CastContext, Column, Event, FORMAT, Function, FunctionKind,
    Operator, Relation, RelationKind, Snapshot, Type, TypeKind, Volatility,
};

/// An object identifier of the server.
pub type Oid = u32;

/// The schema of the session's own temporary relations, by the name that means each session's own.
pub(crate) const TEMPORARY: &str = "pg_temp";
