//! What a written name certainly means where nobody asked a catalog, and only what every PostgreSQL
//! has is known (docs/decisions/0014-names-without-a-catalog.md).
//!
//! What is here: the rules by which the server looks names up, as far as they leave no choice.
//! Invariant: a name that an object of somebody's could answer to is not certain.
//!
//! Source: PostgreSQL documentation, "Function Type Resolution", "Operator Type Resolution" and
//! `search_path`; functions and operators are never looked for in `pg_temp`, relations and types are
//! looked for there first unless the path says where.

use std::sync::LazyLock;

use super::schemas;
use crate::catalog::{Catalog, Oid, Relation, RelationKind, TEMPORARY, Type, TypeKind};
use crate::context::BareNames;

const CATALOG: &str = "pg_catalog";

/// Stands for every relation that is not built in: nothing is known of it.
pub(super) static UNSEEN: LazyLock<Relation> =
    LazyLock::new(|| Relation::bare(0, "", "", RelationKind::Table));

/// A written name: the schema, if there is one, and the name.
pub(super) type Written<'a> = (Option<&'a str>, &'a str);

/// Names under one search path.
#[derive(Clone, Copy)]
pub(super) struct Certainty<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) bare: BareNames,
    pub(super) path: &'a [String],
}

impl<'a> Certainty<'a> {
    /// Whether overloads of a function or operator come from `pg_catalog` alone. Elsewhere a better
    /// fit wins over an earlier schema, so that types would have to be known.
    fn is_alone(self, schema: Option<&str>) -> bool {
        match schema {
            Some(schema) => self.catalog.has_schema(schema),
            None => self.path.iter().all(|schema| schema == CATALOG || schema == TEMPORARY),
        }
    }

    /// Whether functions and operators are looked for in `pg_catalog` before any other schema.
    fn is_first(self) -> bool {
        let first = self.path.iter().find(|schema| *schema != TEMPORARY);
        let listed = self.path.iter().any(|schema| schema == CATALOG);
        !listed || first.is_some_and(|first| first == CATALOG)
    }

    /// Whether the policy vouches for bare names on this path.
    fn is_vouched_for(self, schema: Option<&str>) -> bool {
        schema.is_none() && self.bare == BareNames::BuiltIn && self.is_first()
    }

    /// Whether a call with so many arguments can only be of a function that is built in.
    pub(super) fn function(self, (schema, name): Written<'_>, count: usize) -> bool {
        let own = schema.unwrap_or(CATALOG);
        let mut candidates = self.catalog.functions(own, name);
        if self.is_alone(schema) || self.is_vouched_for(schema) {
            return candidates.next().is_some();
        }
        // Without arguments there is no better fit: of those alike the earlier schema's wins.
        schema.is_none()
            && count == 0
            && self.is_first()
            && candidates.any(|function| function.arguments.is_empty())
    }

    /// Whether an operator can only be one that is built in.
    pub(super) fn operator(self, (schema, name): Written<'_>) -> bool {
        (self.is_alone(schema) || self.is_vouched_for(schema))
            && self.catalog.operators(schema.unwrap_or(CATALOG), name).next().is_some()
    }

    /// The built-in type that a name certainly means. The first schema that has the name decides.
    pub(super) fn type_named(self, (schema, name): Written<'_>) -> Option<&'a Type> {
        match schema {
            Some(schema) => self.catalog.type_named(schema, name),
            None if self.bare == BareNames::Redefined && !self.has_late_temporary() => None,
            None => self.first(|schema| self.catalog.type_named(schema, name)),
        }
    }

    /// The system relation that a name means. A temporary one that hides it is the session's own,
    /// and is taken for it.
    pub(super) fn relation(self, (schema, name): Written<'_>) -> Option<&'a Relation> {
        match schema {
            Some(schema) => self.catalog.relation(schema, name),
            None => self.first(|schema| self.catalog.relation(schema, name)),
        }
    }

    /// Whether a call that the text does not write as one (`t.f`, `(t).f`) can only be of a function
    /// that is built in.
    pub(super) fn attribute(self) -> bool {
        self.is_alone(None) || self.is_vouched_for(None)
    }

    /// Whether turning a value of a type that is not known into another calls nothing of a user's:
    /// casts belong to no schema.
    pub(super) fn conversion(self) -> bool {
        self.bare == BareNames::BuiltIn
    }

    /// Whether a function takes a whole row as its only argument.
    pub(super) fn takes_a_row(self, arguments: &[Oid], defaults: u16) -> bool {
        let least = arguments.len().saturating_sub(usize::from(defaults));
        let first = arguments.first().and_then(|oid| self.catalog.type_by_oid(*oid));
        least <= 1 && first.is_some_and(|first| first.kind == TypeKind::Pseudo)
    }

    /// The first answer along the path, unless a schema that is not built in comes before it.
    fn first<T>(self, look: impl Fn(&str) -> Option<T>) -> Option<T> {
        for schema in schemas(None, self.path) {
            if schema == TEMPORARY {
                continue;
            }
            if !self.catalog.has_schema(schema) {
                return None;
            }
            if let Some(found) = look(schema) {
                return Some(found);
            }
        }
        None
    }

    /// Whether temporary types are looked for after `pg_catalog`.
    fn has_late_temporary(self) -> bool {
        let place = |wanted| self.path.iter().position(|schema| schema == wanted);
        match (place(CATALOG), place(TEMPORARY)) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(catalog), Some(temporary)) => catalog < temporary,
        }
    }
}
