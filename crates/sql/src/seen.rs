//! From which relation a condition is seen: what it is called there, and what a catalog says of it.

use crate::catalog::{Catalog, Relation, RelationKind};
use crate::context::{Context, Known, SearchPaths};
use crate::parse::nodes;
use crate::resolved::find;
use crate::statements::written;

/// The one relation that a condition filters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'t> {
    /// As it is written.
    pub(crate) var: &'t nodes::RangeVar,
    /// Where it may be stored.
    stored: Option<(&'t Catalog, &'t [Vec<String>])>,
}

impl<'t> Seen<'t> {
    /// The relation that `var` names under every search path that may be in force.
    pub(crate) fn of(var: &'t nodes::RangeVar, context: &Context<'t>) -> Self {
        let stored = match (context.catalog, context.search_paths) {
            (Known::Catalog(catalog), SearchPaths::Possible(paths)) => Some((catalog, paths)),
            (Known::Nothing | Known::BuiltIn(_) | Known::Stale, _)
            | (Known::Catalog(_), SearchPaths::Unknown) => None,
        };
        Self { var, stored }
    }

    /// What qualifies its columns.
    pub(crate) fn name(&self) -> Option<&'t str> {
        self.var.alias().and_then(nodes::Alias::aliasname).or_else(|| self.var.relname())
    }

    /// Whether a column of it is never NULL, by its definition.
    pub(crate) fn is_never_null(&self, column: &str) -> bool {
        let renamed = self.var.alias().is_some_and(|alias| !alias.colnames().is_empty());
        let stored = self.stored.and_then(|(catalog, paths)| stored(self.var, catalog, paths));
        let table = stored.filter(|stored| {
            !renamed && matches!(stored.kind, RelationKind::Table | RelationKind::Partitioned)
        });
        let mut columns = table.into_iter().flat_map(|stored| &stored.columns);
        columns.any(|own| *own.name == *column && own.not_null)
    }
}

/// As it is stored, if that is certain.
fn stored<'t>(
    var: &nodes::RangeVar,
    catalog: &'t Catalog,
    paths: &[Vec<String>],
) -> Option<&'t Relation> {
    let name = written(var);
    let mut found = paths.iter().map(|path| {
        let (relation, doubted) = find(catalog, path, name.schema, name.name).ok()?;
        relation.filter(|_| !doubted)
    });
    let first = found.next().flatten()?;
    found.all(|other| other.is_some_and(|other| other.oid == first.oid)).then_some(first)
}
