//! Names: from what a statement writes to where it may live.
//!
//! Invariant: a candidate schema that PostgreSQL could choose is never left out.

use std::cell::OnceCell;
use std::sync::Arc;

use model::{FunctionUse, RelationName, Schemas};

use crate::catalog::builtin::{Presence, presence};
use crate::context::{Context, SearchPaths};
use crate::options::identifiers;
use crate::parse::{Node, NodeList, nodes};

const CATALOG: &str = "pg_catalog";

/// The search paths of one context, which its names share.
pub(crate) type SharedPaths = OnceCell<Arc<[Vec<String>]>>;

/// A name with the schema that is written before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Qualified<'a> {
    pub(crate) schema: Option<&'a str>,
    pub(crate) name: &'a str,
}

impl<'a> Qualified<'a> {
    /// The last one or two of a list of names.
    pub(crate) fn of(parts: &[&'a str]) -> Option<Self> {
        let (name, before) = parts.split_last()?;
        Some(Self { schema: before.last().copied(), name })
    }

    /// The name in a list node.
    pub(crate) fn of_list(list: &'a NodeList) -> Option<Self> {
        let mut parts = each_string(list).rev();
        let name = parts.next()?;
        Some(Self { schema: parts.next(), name })
    }

    /// As a function.
    pub(crate) fn function(self) -> FunctionUse {
        FunctionUse { schema: self.schema.map(str::to_owned), name: self.name.to_owned() }
    }
}

/// The strings of a list, in order.
pub(crate) fn strings(list: &NodeList) -> Vec<&str> {
    each_string(list).collect()
}

/// The same, one by one.
pub(crate) fn each_string(list: &NodeList) -> impl DoubleEndedIterator<Item = &str> {
    list.iter().filter_map(Node::as_str)
}

/// A dotted name: its last three parts, of how many.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Dotted<'a> {
    pub(crate) schema: &'a str,
    pub(crate) table: &'a str,
    pub(crate) name: &'a str,
    /// Parts that are names.
    pub(crate) count: usize,
}

impl<'a> Dotted<'a> {
    /// The strings of a list.
    pub(crate) fn of(list: &'a NodeList) -> Self {
        each_string(list).fold(Self::default(), |before, name| Self {
            schema: before.table,
            table: before.name,
            name,
            count: before.count + 1,
        })
    }
}

/// The last string of a list: the name of an operator or a column without what qualifies it.
pub(crate) fn last_string(list: &NodeList) -> Option<&str> {
    each_string(list).next_back()
}

/// The last name of a type.
pub(crate) fn last_type_name(name: &nodes::TypeName) -> Option<&str> {
    name.names().iter().rev().find_map(nodes::String::sval)
}

/// A type's name as it is written.
pub(crate) fn type_written(name: &nodes::TypeName) -> Option<Qualified<'_>> {
    let mut parts = name.names().iter().rev().filter_map(nodes::String::sval);
    let name = parts.next()?;
    Some(Qualified { schema: parts.next(), name })
}

/// The names of a type.
pub(crate) fn type_names(name: &nodes::TypeName) -> Vec<&str> {
    name.names().iter().filter_map(nodes::String::sval).collect()
}

/// Where a relation that a statement writes may live.
pub(crate) fn relation(
    written: Qualified<'_>,
    context: &Context<'_>,
    shared: &SharedPaths,
) -> RelationName {
    let schemas = match written.schema {
        Some(schema) => Schemas::Named(schema.into()),
        None => unqualified(written.name, context, shared),
    };
    RelationName { schemas, name: written.name.into() }
}

/// The relation that a text names, as `regclass` input reads it; `None` for an OID or bad text.
pub(crate) fn relation_in_text(
    text: &str,
    context: &Context<'_>,
    shared: &SharedPaths,
) -> Option<RelationName> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let parts = identifiers(text, '.')?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    Qualified::of(&parts).map(|written| relation(written, context, shared))
}

/// The function that a text names, as `regproc` or `regprocedure` input reads it.
pub(crate) fn function_in_text(text: &str) -> Option<FunctionUse> {
    let name = text.split_once('(').map_or(text, |(name, _arguments)| name);
    let parts = identifiers(name, '.')?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    Qualified::of(&parts).map(Qualified::function)
}

/// Where a relation may live that a statement writes without a schema.
pub(crate) fn unqualified(name: &str, context: &Context<'_>, shared: &SharedPaths) -> Schemas {
    let presence = presence(name, context.server_major);
    match (context.search_paths, presence) {
        // An unknown path may name another schema before `pg_catalog`.
        (SearchPaths::Unknown, Presence::Always | Presence::Sometimes | Presence::Never) => {
            Schemas::Unknown
        }
        (SearchPaths::Possible(paths), Presence::Never) => {
            Schemas::Paths(Arc::clone(shared.get_or_init(|| paths.into())))
        }
        (SearchPaths::Possible(paths), Presence::Sometimes) => {
            Schemas::Paths(paths.iter().map(|path| with_catalog(path)).collect())
        }
        (SearchPaths::Possible(paths), Presence::Always) => catalog_first(paths),
    }
}

/// `pg_catalog` is searched first unless the path lists it.
fn with_catalog(path: &[String]) -> Vec<String> {
    let listed = path.iter().any(|schema| schema == CATALOG);
    let implicit = (!listed).then(|| CATALOG.to_owned());
    implicit.into_iter().chain(path.iter().cloned()).collect()
}

fn catalog_first(paths: &[Vec<String>]) -> Schemas {
    // What stands behind `pg_catalog` cannot be reached: the relation exists there.
    let reachable = |path: &Vec<String>| -> Vec<String> {
        let before = path.iter().take_while(|schema| *schema != CATALOG);
        let listed = path.iter().any(|schema| schema == CATALOG);
        let before = before.filter(|_| listed).cloned();
        before.chain([CATALOG.to_owned()]).collect()
    };
    let candidates: Arc<[Vec<String>]> = paths.iter().map(reachable).collect();
    if candidates.iter().all(|path| path.len() == 1) {
        Schemas::Named(CATALOG.into())
    } else {
        Schemas::Paths(candidates)
    }
}
