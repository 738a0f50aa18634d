//! An immutable index over a snapshot, with what one session has made laid over it.
//!
//! Invariant: every OID and name that a lookup gives belongs to the one snapshot, or to the session
//! that it is overlaid for.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::keyed::{Keyed, KeyedSet};
use super::{
    Attached, Cast, FORMAT, Function, Oid, Operator, Own, Relation, Snapshot, TEMPORARY, Type,
};
use crate::timeline::Timeline;

/// A catalog, ready to be asked. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    index: Arc<Index>,
    own: Arc<Own>,
    /// Schemas that the session's role may use beside those that everybody may.
    granted: Option<Arc<HashSet<Box<str>>>>,
    /// The session may have temporary relations that `own` does not know, or not have those that it
    /// knows.
    hides_temporary: bool,
}

struct Index {
    snapshot: Snapshot,
    /// Schemas that everybody may use: the server skips others on the path of who may not.
    open: KeyedSet<Box<str>>,
    /// Others, by role.
    granted: HashMap<Box<str>, Arc<HashSet<Box<str>>>>,
    schemas: KeyedSet<Box<str>>,
    relations: Names,
    relations_by_oid: Keyed<Oid, u32>,
    children: Keyed<Oid, Vec<Oid>>,
    functions: Names,
    functions_by_oid: Keyed<Oid, u32>,
    operators: Names,
    /// Names of built-in operators of which one calls a function that is not built in.
    impure_operators: KeyedSet<Box<str>>,
    types: Names,
    types_by_oid: Keyed<Oid, u32>,
    casts_to: Keyed<Oid, Vec<u32>>,
    attached: Keyed<Oid, Vec<u32>>,
    conversions: Conversions,
}

/// What the server may call where no text says so. What is in C was put there by a superuser.
#[derive(Debug, Default)]
struct Conversions {
    /// Casts by a function of a user's.
    casts: Vec<u32>,
    /// A domain is checked by one.
    domains: bool,
}

/// By name: positions in the snapshot's list, sorted by name and schema, and where each name's begin and end.
#[derive(Debug, Default)]
struct Names {
    order: Vec<u32>,
    by_name: Keyed<Box<str>, Range<usize>>,
}

impl Names {
    fn of<T>(rows: &[T], key: impl Fn(&T) -> (&str, &str)) -> Self {
        let mut order: Vec<u32> = (0..).take(rows.len()).collect();
        let row = |position: &u32| at(rows, Some(position)).map(&key);
        order.sort_by(|a, b| row(a).cmp(&row(b)));
        let mut by_name: Keyed<Box<str>, Range<usize>> = Keyed::default();
        for (place, (name, _)) in order.iter().filter_map(row).enumerate() {
            match by_name.get_mut(name) {
                Some(known) => known.end = place + 1,
                None => {
                    by_name.insert(name.into(), place..place + 1);
                }
            }
        }
        Self { order, by_name }
    }

    /// All of one name, sorted by schema.
    fn named(&self, name: &str) -> &[u32] {
        let found = self.by_name.get(name).and_then(|range| self.order.get(range.clone()));
        found.unwrap_or_default()
    }

    fn find<'r, T>(
        &'r self,
        rows: &'r [T],
        (name, schema): (&str, &str),
        key: impl Fn(&T) -> (&str, &str),
    ) -> impl Iterator<Item = &'r T> {
        in_schema(rows, self.named(name), schema, key).iter().filter_map(|one| at(rows, Some(one)))
    }
}

/// Of positions that are sorted by schema, those of one.
fn in_schema<'n, T>(
    rows: &[T],
    named: &'n [u32],
    schema: &str,
    key: impl Fn(&T) -> (&str, &str),
) -> &'n [u32] {
    let schema_of = |position: &u32| at(rows, Some(position)).map(|row| key(row).1);
    // Most names are in one schema alone.
    let (Some(first), Some(last)) = (named.first(), named.last()) else { return &[] };
    let is_first = schema_of(first) == Some(schema);
    if named.len() == 1 || schema_of(first) == schema_of(last) {
        return if is_first { named } else { &[] };
    }
    let start = named.partition_point(|at| schema_of(at).is_some_and(|own| own < schema));
    let rest = named.get(start..).unwrap_or_default();
    let count = rest.partition_point(|at| schema_of(at) == Some(schema));
    rest.get(..count).unwrap_or_default()
}

/// The relations of one name, whatever their schema: looked up once for all schemas of a path.
#[derive(Clone, Copy)]
pub(crate) struct Named<'c, 'n> {
    catalog: &'c Catalog,
    name: &'n str,
    stored: &'c [u32],
}

impl<'c> Named<'c, '_> {
    /// Whether there is [`Self::first`] at most, and nothing of the session's own.
    pub(crate) fn is_alone(self) -> bool {
        let own = &self.catalog.own;
        let doubted = self.first().is_some_and(|first| own.is_doubted(first.oid));
        self.stored.len() <= 1 && own.is_empty() && !doubted
    }

    /// The stored one whose schema sorts first.
    pub(crate) fn first(self) -> Option<&'c Relation> {
        at(&self.catalog.index.snapshot.relations, self.stored.first())
    }

    /// The one in this schema; the session's own temporary ones are in `pg_temp`.
    pub(crate) fn in_schema(self, schema: &str) -> Option<&'c Relation> {
        let Catalog { index, own, .. } = self.catalog;
        let rows = &index.snapshot.relations;
        if own.is_empty() {
            let found = in_schema(rows, self.stored, schema, relation_key);
            return at(rows, found.first());
        }
        let stored = || {
            let found = in_schema(rows, self.stored, schema, relation_key).iter();
            let mut found = found.filter_map(|one| at(rows, Some(one)));
            found.find(|relation| !own.has_taken(relation.oid))
        };
        own.relation(schema, self.name).or_else(stored)
    }
}

/// The functions of one name, whatever their schema.
#[derive(Clone, Copy)]
pub(crate) struct Overloads<'c> {
    rows: &'c [Function],
    named: &'c [u32],
}

impl<'c> Overloads<'c> {
    /// Those in this schema.
    pub(crate) fn in_schema(
        self,
        schema: &str,
    ) -> impl Iterator<Item = &'c Function> + Clone + use<'c> {
        let Self { rows, named } = self;
        let found = in_schema(rows, named, schema, function_key).iter();
        found.filter_map(move |one| at(rows, Some(one)))
    }
}

/// Why a snapshot cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogError(String);

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CatalogError {}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog")
            .field("database", &self.snapshot().database)
            .field("server_version", &self.snapshot().server_version)
            .field("relations", &self.snapshot().relations.len())
            .field("functions", &self.snapshot().functions.len())
            .finish_non_exhaustive()
    }
}

impl Catalog {
    /// Indexes a snapshot.
    ///
    /// # Errors
    /// Its format is another one, or two relations share a name or an OID.
    pub fn from_snapshot(snapshot: Snapshot) -> Result<Self, CatalogError> {
        if snapshot.format != FORMAT {
            return Err(CatalogError(format!(
                "the catalog has format {}, and this version reads format {FORMAT}: write it again \
                 with `portcullis catalog dump`",
                snapshot.format
            )));
        }
        let relations = Names::of(&snapshot.relations, relation_key);
        let relations_by_oid = by_oid(&snapshot.relations, |row| row.oid);
        if relations_by_oid.len() != snapshot.relations.len() {
            return Err(CatalogError("two relations of the catalog share an oid".to_owned()));
        }
        let mut children: Keyed<Oid, Vec<Oid>> = Keyed::default();
        for relation in &snapshot.relations {
            for parent in &relation.parents {
                children.entry(*parent).or_default().push(relation.oid);
            }
        }
        let mut casts_to: Keyed<Oid, Vec<u32>> = Keyed::default();
        for (at, cast) in (0..).zip(&snapshot.casts) {
            casts_to.entry(cast.target).or_default().push(at);
        }
        let mut attached: Keyed<Oid, Vec<u32>> = Keyed::default();
        for (at, one) in (0..).zip(&snapshot.attached) {
            attached.entry(one.relation).or_default().push(at);
        }
        let mut granted: HashMap<Box<str>, HashSet<Box<str>>> = HashMap::new();
        for (role, schema) in &snapshot.granted_schemas {
            granted.entry(role.clone()).or_default().insert(schema.clone());
        }
        let index = Index {
            granted: granted.into_iter().map(|(role, all)| (role, Arc::new(all))).collect(),
            schemas: snapshot.schemas.iter().cloned().collect(),
            open: snapshot.open_schemas.iter().cloned().collect(),
            relations,
            relations_by_oid,
            children,
            functions: Names::of(&snapshot.functions, function_key),
            functions_by_oid: by_oid(&snapshot.functions, |row| row.oid),
            operators: Names::of(&snapshot.operators, operator_key),
            impure_operators: impure(&snapshot),
            conversions: conversions(&snapshot),
            types: Names::of(&snapshot.types, type_key),
            types_by_oid: by_oid(&snapshot.types, |row| row.oid),
            casts_to,
            attached,
            snapshot,
        };
        Ok(Self {
            index: Arc::new(index),
            own: Arc::default(),
            granted: None,
            hides_temporary: false,
        })
    }

    /// As a session of this role and timeline sees it.
    #[must_use]
    pub fn seen_by(&self, role: Option<&str>, timeline: &Timeline) -> Self {
        let own = Arc::clone(timeline.own());
        // OIDs that we made up must stay apart from the server's.
        let apart = own.made_up().all(|oid| !self.index.relations_by_oid.contains_key(&oid));
        let hides_temporary = timeline.hides_temporary() || !apart;
        let granted = role.and_then(|role| self.index.granted.get(role)).cloned();
        Self { index: Arc::clone(&self.index), own, granted, hides_temporary }
    }

    /// As a new session of this role sees it.
    pub(crate) fn seen_by_new(&self, role: Option<&str>) -> Self {
        if !self.own.is_new() {
            return self.seen_by(role, &Timeline::default());
        }
        let granted = role.and_then(|role| self.index.granted.get(role)).cloned();
        Self { granted, hides_temporary: false, ..self.clone() }
    }

    pub(crate) const fn own(&self) -> &Arc<Own> {
        &self.own
    }

    /// Whether it has what only the session sees, or may have.
    pub fn has_own(&self) -> bool {
        self.hides_temporary || !self.own.is_empty()
    }

    /// Whether nothing can be said about the session's temporary relations.
    pub(crate) const fn hides_temporary(&self) -> bool {
        self.hides_temporary
    }

    /// Whether the session certainly may use the schema.
    pub(crate) fn is_open(&self, schema: &str) -> bool {
        matches!(schema, TEMPORARY | "pg_catalog")
            || self.index.open.contains(schema)
            || self.granted.as_ref().is_some_and(|granted| granted.contains(schema))
    }

    /// What it was made from.
    pub fn snapshot(&self) -> &Snapshot {
        &self.index.snapshot
    }

    /// `server_version_num` of the server that it is of.
    pub fn server_version(&self) -> u32 {
        self.index.snapshot.server_version
    }

    /// The server's major version.
    pub fn major(&self) -> u16 {
        u16::try_from(self.snapshot().server_version / 10_000).unwrap_or_default()
    }

    /// Whether there is such a schema.
    pub fn has_schema(&self, name: &str) -> bool {
        self.index.schemas.contains(name)
    }

    /// The relation of that name; the session's own temporary ones are in `pg_temp`.
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.relations_named(name).in_schema(schema)
    }

    /// The relations of that name, in any schema.
    pub(crate) fn relations_named<'n>(&self, name: &'n str) -> Named<'_, 'n> {
        Named { catalog: self, name, stored: self.index.relations.named(name) }
    }

    /// The relation of that OID.
    pub fn relation_by_oid(&self, oid: Oid) -> Option<&Relation> {
        let stored = self.stored_relation(oid);
        if self.own.is_empty() {
            return stored;
        }
        let untaken = || stored.filter(|relation| !self.own.has_taken(relation.oid));
        self.own.relation_by_oid(oid).or_else(untaken)
    }

    /// The relation of that OID as the server's own catalogs had it when they were read.
    pub fn stored_relation(&self, oid: Oid) -> Option<&Relation> {
        at(&self.index.snapshot.relations, self.index.relations_by_oid.get(&oid))
    }

    /// What inherits from it directly, or is a partition of it.
    pub fn children(&self, oid: Oid) -> &[Oid] {
        self.index.children.get(&oid).map(Vec::as_slice).unwrap_or_default()
    }

    /// Every function of that name, whatever its arguments.
    pub fn functions(&self, schema: &str, name: &str) -> impl Iterator<Item = &Function> {
        self.functions_named(name).in_schema(schema)
    }

    /// The functions of that name, in any schema.
    pub(crate) fn functions_named(&self, name: &str) -> Overloads<'_> {
        let Index { snapshot, functions, .. } = &*self.index;
        Overloads { rows: &snapshot.functions, named: functions.named(name) }
    }

    /// The function of that OID.
    pub fn function_by_oid(&self, oid: Oid) -> Option<&Function> {
        at(&self.index.snapshot.functions, self.index.functions_by_oid.get(&oid))
    }

    /// Every operator of that name, whatever its operands.
    pub fn operators(&self, schema: &str, name: &str) -> impl Iterator<Item = &Operator> {
        self.index.operators.find(&self.index.snapshot.operators, (name, schema), operator_key)
    }

    /// Whether every built-in operator of that name calls a built-in function.
    pub fn is_pure_operator(&self, name: &str) -> bool {
        !self.index.impure_operators.contains(name)
    }

    /// The type of that name.
    pub fn type_named(&self, schema: &str, name: &str) -> Option<&Type> {
        self.index.types.find(&self.index.snapshot.types, (name, schema), type_key).next()
    }

    /// The type of that OID.
    pub fn type_by_oid(&self, oid: Oid) -> Option<&Type> {
        at(&self.index.snapshot.types, self.index.types_by_oid.get(&oid))
    }

    /// What else happens when that relation is read or written.
    pub fn attached(&self, relation: Oid) -> impl Iterator<Item = &Attached> {
        let attached = self.index.attached.get(&relation).into_iter().flatten();
        attached.filter_map(|position| at(&self.index.snapshot.attached, Some(position)))
    }

    /// Every cast to that type.
    pub fn casts_to(&self, target: Oid) -> impl Iterator<Item = &Cast> {
        let casts = self.index.casts_to.get(&target).into_iter().flatten();
        casts.filter_map(|position| at(&self.index.snapshot.casts, Some(position)))
    }

    /// Casts by functions of users that are not in C.
    pub fn own_casts(&self) -> impl Iterator<Item = &Cast> {
        let casts = self.index.conversions.casts.iter();
        casts.filter_map(|position| at(&self.index.snapshot.casts, Some(position)))
    }

    /// Whether a value may pass through a function of a user's without a word.
    pub fn has_own_conversions(&self) -> bool {
        self.index.conversions.domains || !self.index.conversions.casts.is_empty()
    }
}

fn impure(snapshot: &Snapshot) -> KeyedSet<Box<str>> {
    let built_in: HashSet<Oid> = snapshot
        .functions
        .iter()
        .filter(|function| &*function.schema == "pg_catalog")
        .map(|function| function.oid)
        .collect();
    let operators = snapshot.operators.iter().filter(|own| &*own.schema == "pg_catalog");
    let impure = operators.filter(|own| !built_in.contains(&own.function));
    impure.map(|own| own.name.clone()).collect()
}

fn conversions(snapshot: &Snapshot) -> Conversions {
    let own: HashSet<Oid> = snapshot
        .functions
        .iter()
        .filter(|function| !function.is_built_in() && !function.is_in_c())
        .map(|function| function.oid)
        .collect();
    let mut found = Conversions::default();
    for (at, cast) in (0..).zip(&snapshot.casts) {
        if own.contains(&cast.function) {
            found.casts.push(at);
        }
    }
    found.domains =
        snapshot.types.iter().any(|one| one.functions.iter().any(|oid| own.contains(oid)));
    found
}

fn at<'r, T>(rows: &'r [T], position: Option<&u32>) -> Option<&'r T> {
    usize::try_from(*position?).ok().and_then(|position| rows.get(position))
}

fn by_oid<T>(rows: &[T], oid: impl Fn(&T) -> Oid) -> Keyed<Oid, u32> {
    rows.iter().map(oid).zip(0..).collect()
}

fn relation_key(row: &Relation) -> (&str, &str) {
    (&row.name, &row.schema)
}

fn function_key(row: &Function) -> (&str, &str) {
    (&row.name, &row.schema)
}

fn operator_key(row: &Operator) -> (&str, &str) {
    (&row.name, &row.schema)
}

fn type_key(row: &Type) -> (&str, &str) {
    (&row.name, &row.schema)
}
