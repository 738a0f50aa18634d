//! Nouns: relations and functions, named as PostgreSQL's lexer folds them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Name;

/// Where a relation name may live.
///
/// Without a catalog an unqualified name has several candidates: one schema list for each
/// `search_path` that the session may have at that moment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schemas {
    /// The statement says, or PostgreSQL's rules leave no choice (`pg_catalog`).
    Named(Name),
    /// Unqualified: any schema of any of these possible search paths, which the names of a statement share.
    Paths(Arc<[Vec<String>]>),
    /// The search path could not be tracked.
    Unknown,
}

/// A relation as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RelationName {
    /// Where it may live.
    pub schemas: Schemas,
    /// The name, folded as PostgreSQL folds it (at most 63 bytes).
    pub name: Name,
}

impl fmt::Display for RelationName {
    /// `schema.name` if the schema is certain, else `name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schemas {
            Schemas::Named(schema) => write!(f, "{schema}.{}", self.name),
            Schemas::Paths(_) | Schemas::Unknown => f.write_str(&self.name),
        }
    }
}

/// What is done to a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Rows or metadata are read, or the relation is named in a way that reveals it.
    Read,
    /// Rows are inserted, updated, deleted, merged, truncated or locked.
    Write,
    /// It is created, altered, dropped or granted on.
    Define,
}

/// One use of a relation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RelationUse {
    /// Which.
    pub relation: RelationName,
    /// How.
    pub access: Access,
}

/// One function, aggregate, procedure, or grammar form that an older server reads as a call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FunctionUse {
    /// The schema, if the statement names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The name, folded as PostgreSQL folds it.
    pub name: String,
}

impl fmt::Display for FunctionUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}
