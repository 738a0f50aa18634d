//! Functions that run without a word: casts that the server puts in by itself, and checks of domains.
//!
//! What is here: which types a statement's values may have. What is not: which of them a value has at
//! one place. A cast may run where a type that it is about has values; what is in C is left out, because a
//! superuser put it there. Invariant: only ever adds calls.
//!
//! Source: PostgreSQL documentation, "Type Conversion", "CREATE CAST", "CREATE DOMAIN".

use std::collections::BTreeSet;

use model::ColumnRole;

use super::bind::Bound;
use super::reach::of_definitions;
use super::{Part, Resolved, Use};
use crate::catalog::{Cast, CastContext, Catalog, Function, Oid, TypeKind};

/// Types, each with those that it is made of.
#[derive(Debug, Default)]
pub(super) struct Types {
    /// Those that a cast names.
    written: BTreeSet<Oid>,
    /// Others that values may have.
    others: BTreeSet<Oid>,
}

impl Types {
    pub(super) const NONE: Self = Self { written: BTreeSet::new(), others: BTreeSet::new() };

    /// A cast to a type.
    pub(super) fn written(&mut self, catalog: &Catalog, oid: Oid) {
        if catalog.has_own_conversions() {
            add(&mut self.written, catalog, oid);
        }
    }

    /// What a function takes and gives.
    pub(super) fn passed(&mut self, catalog: &Catalog, function: &Function) {
        if function.is_built_in() || !catalog.has_own_conversions() {
            return;
        }
        let outputs = function.outputs.iter().map(|(_, oid)| oid);
        for oid in function.arguments.iter().chain([&function.returns]).chain(outputs) {
            add(&mut self.others, catalog, *oid);
        }
    }

    fn used(&mut self, catalog: &Catalog, uses: &[Use]) {
        for used in uses {
            let Some(relation) = catalog.relation_by_oid(used.relation) else { continue };
            // A new row has a value in each column.
            let whole = used.part == Part::Any && used.role == ColumnRole::Write;
            let columns = relation.columns.iter();
            for column in columns.filter(|one| whole || used.part == Part::Column(one.number)) {
                // Of the session's own relations they are not known: what made one was judged by them.
                add(&mut self.others, catalog, column.type_oid);
            }
        }
    }

    fn holds(&self, oid: Oid) -> bool {
        self.written.contains(&oid) || self.others.contains(&oid)
    }

    /// Whether a cast may run.
    fn convert(&self, catalog: &Catalog, cast: &Cast) -> bool {
        let own = |oid: &Oid| !is_built_in(catalog, *oid);
        match cast.context {
            CastContext::Explicit => self.written.contains(&cast.target),
            CastContext::Assignment | CastContext::Implicit => {
                let mut sides = [cast.source, cast.target].into_iter().filter(own).peekable();
                // Values of built-in types are everywhere.
                sides.peek().is_none() || sides.any(|side| self.holds(side))
            }
        }
    }
}

fn is_built_in(catalog: &Catalog, oid: Oid) -> bool {
    catalog.type_by_oid(oid).is_some_and(|one| &*one.schema == "pg_catalog")
}

/// A type with what it is made of: the type below a domain, elements, fields.
fn add(types: &mut BTreeSet<Oid>, catalog: &Catalog, oid: Oid) {
    let mut waiting = vec![oid];
    while let Some(oid) = waiting.pop() {
        let Some(one) = catalog.type_by_oid(oid).filter(|_| types.insert(oid)) else { continue };
        waiting.extend(Some(one.element).filter(|element| *element != 0));
        match one.kind {
            TypeKind::Domain(base) => waiting.push(base),
            TypeKind::Composite(relation) => {
                let relation = catalog.relation_by_oid(relation);
                let columns = relation.into_iter().flat_map(|relation| &relation.columns);
                waiting.extend(columns.map(|column| column.type_oid));
            }
            TypeKind::Base
            | TypeKind::Enum
            | TypeKind::Range
            | TypeKind::Multirange
            | TypeKind::Pseudo => {}
        }
    }
}

impl Bound<'_> {
    /// What the server calls by itself, where these columns are used.
    pub(super) fn conversions(&mut self, uses: &[Use]) -> Resolved<()> {
        let catalog = self.catalog;
        if !catalog.has_own_conversions() {
            return Ok(());
        }
        self.types.used(catalog, uses);
        let path = of_definitions();
        let mut done = BTreeSet::new();
        loop {
            let types = &self.types;
            let casts = catalog.own_casts().filter(|cast| types.convert(catalog, cast));
            let mut next: BTreeSet<Oid> = casts.map(|cast| cast.function).collect();
            for oid in types.written.union(&types.others) {
                let checks = catalog.type_by_oid(*oid).into_iter().flat_map(|one| &one.functions);
                let own = |oid: &&Oid| catalog.function_by_oid(**oid).is_none_or(|f| !f.is_in_c());
                next.extend(checks.filter(own));
            }
            next.retain(|oid| done.insert(*oid));
            if next.is_empty() {
                return Ok(());
            }
            // What they take and give may be converted in turn.
            for function in next {
                self.hidden(function, "pg_catalog", &path)?;
            }
        }
    }
}
