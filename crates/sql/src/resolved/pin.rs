//! Names without a schema, where a catalog says in which one they are.
//!
//! Invariant: a relation is in a schema only if every search path that may be in force finds it there, for certain.

use model::{Fact, Name, RelationName, Schemas, SqlFacts};

use super::find;
use crate::catalog::Catalog;
use crate::context::{Context, Known, SearchPaths};
use crate::resolve::{SharedPaths, unqualified};

/// So many names that were looked up are kept.
const FEW_NAMES: usize = 16;

/// A relation that every possible path finds in the same schema is in that schema.
pub(super) fn pin_relations(facts: &mut SqlFacts, catalog: &Catalog, paths: &[Vec<String>]) {
    // The names of most statements are few, and each is looked up once.
    let mut known: Vec<(Name, Option<Name>)> = Vec::new();
    let mut pin = |relation: &mut RelationName| {
        let Schemas::Paths(_) = &relation.schemas else { return };
        let before = known.iter().find(|(name, _)| *name == relation.name);
        let schema = if let Some((_, schema)) = before {
            schema.clone()
        } else {
            let schema = certain(catalog, paths, &relation.name).cloned();
            if known.len() < FEW_NAMES {
                known.push((relation.name.clone(), schema.clone()));
            }
            schema
        };
        if let Some(schema) = schema {
            relation.schemas = Schemas::Named(schema);
        }
    };
    if let Fact::Known(shape) = &mut facts.shape {
        for one in &mut shape.references {
            pin(&mut one.relation);
        }
    }
    let Fact::Known(relations) = &mut facts.relations else { return };
    for used in relations.iter_mut() {
        pin(&mut used.relation);
    }
    relations.sort_unstable();
    relations.dedup();
}

/// Where a name that is written without a schema is found.
pub(crate) enum Place<'c> {
    /// In this schema, for certain.
    In(&'c Name),
    /// Somewhere.
    Anywhere(Schemas),
}

/// Where a relation is that is written without a schema, as the catalog of a context resolves it, if it does.
pub(crate) fn place<'c>(name: &str, context: &Context<'c>, shared: &SharedPaths) -> Place<'c> {
    let schemas = unqualified(name, context, shared);
    if let (Known::Catalog(catalog), SearchPaths::Possible(paths), Schemas::Paths(_)) =
        (context.catalog, context.search_paths, &schemas)
        && let Some(schema) = certain(catalog, paths, name)
    {
        return Place::In(schema);
    }
    Place::Anywhere(schemas)
}

/// The schema in which every path finds a name, if that is certain.
fn certain<'c>(catalog: &'c Catalog, paths: &[Vec<String>], name: &str) -> Option<&'c Name> {
    let mut found = paths.iter().map(|path| {
        let (relation, doubted) = find(catalog, path, None, name).ok()?;
        relation.filter(|_| !doubted).map(|relation| &relation.schema)
    });
    let first = found.next().flatten()?;
    found.all(|other| other == Some(first)).then_some(first)
}
