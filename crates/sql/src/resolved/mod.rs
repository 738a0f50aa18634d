//! What a statement touches, resolved against a catalog as PostgreSQL's analysis resolves it
//! (PostgreSQL documentation, "Queries", and the privileges that each command's page names).
//!
//! What is here: names to base columns. What is not: types and overloads, which decide no column.
//! Invariants: a column that PostgreSQL would check is never left out; what cannot be resolved makes
//! everything unknown; depth and work are bounded. Where only what is built in is known, a relation of
//! somebody's makes columns unknown, and a name that may be somebody's makes calls unknown.

mod attached;
mod bind;
mod bodies;
mod certain;
mod conversions;
mod dml;
mod expression;
pub(crate) mod figure;
mod found;
mod from;
mod namespace;
mod own;
mod pin;
mod plpgsql;
mod query;
mod reach;
pub(crate) mod tenancy;
mod term;
mod utility;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use model::{ColumnRole, Unknown};

use crate::catalog::{Catalog, Event, Function, Named, Oid, Relation, TEMPORARY};
use crate::context::BareNames;
use crate::few::Bag;
use crate::limits;
use crate::parse::{Node, nodes};
pub(crate) use bind::complete;
use certain::{Certainty, UNSEEN};
pub(crate) use own::follow;
pub(crate) use pin::{Place, place};
pub(crate) use reach::ViewReads;
use reach::{Events, Reach};

/// A column, or the row as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Part {
    /// Some column or other: the number of rows, or that there is one.
    Any,
    /// The column of this number; system columns are below zero.
    Column(i16),
}

/// One use of a part of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Use {
    pub(crate) relation: Oid,
    pub(crate) part: Part,
    pub(crate) role: ColumnRole,
}

/// System columns, which every table has (PostgreSQL documentation, "System Columns").
pub(crate) const SYSTEM_COLUMNS: &[(&str, i16)] =
    &[("ctid", -1), ("xmin", -2), ("cmin", -3), ("xmax", -4), ("cmax", -5), ("tableoid", -6)];

/// A call that a statement makes, by the name that it writes; `S` is how names are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Call<S> {
    /// A function, aggregate or procedure with so many arguments.
    Function(Option<S>, S, usize),
    /// `t.f` and `(t).f`, where `f` is no column that is known: PostgreSQL for `f(t)`.
    Attribute(S),
    /// A form that the server, being older than it, reads as a call of this name.
    Older(&'static str),
    /// A value whose type is not known becomes one of another.
    Conversion,
    /// An operator.
    Operator(Option<S>, S),
    /// `current_user` and its like, which the grammar calls.
    Grammar(&'static str),
    /// A value becomes one of this type.
    Cast(Option<S>, S),
}

impl<S: AsRef<str>> Call<S> {
    /// The same, borrowed.
    pub(crate) fn written(&self) -> Call<&str> {
        self.map(AsRef::as_ref)
    }

    /// The same, owned.
    pub(crate) fn kept(&self) -> Call<Box<str>> {
        self.map(|name| Box::from(name.as_ref()))
    }

    fn map<'s, T>(&'s self, keep: impl Fn(&'s S) -> T) -> Call<T> {
        match self {
            Self::Function(schema, name, count) => {
                Call::Function(schema.as_ref().map(&keep), keep(name), *count)
            }
            Self::Attribute(name) => Call::Attribute(keep(name)),
            Self::Older(name) => Call::Older(name),
            Self::Conversion => Call::Conversion,
            Self::Operator(schema, name) => Call::Operator(schema.as_ref().map(&keep), keep(name)),
            Self::Grammar(name) => Call::Grammar(name),
            Self::Cast(schema, name) => Call::Cast(schema.as_ref().map(&keep), keep(name)),
        }
    }
}

/// What a statement was found to touch.
#[derive(Debug, Default)]
pub(crate) struct Touched<'a> {
    pub(crate) uses: Bag<Use>,
    pub(crate) calls: Bag<Call<&'a str>>,
    /// What is done to relations, but for reading.
    pub(crate) events: Events,
    /// Columns that change where rows do.
    pub(crate) changed: BTreeSet<(Oid, i16)>,
}

/// The same, without the tree; columns that change are known to be some.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) uses: BTreeSet<Use>,
    pub(crate) calls: BTreeSet<Call<Box<str>>>,
    pub(crate) events: Events,
}

impl Kept {
    fn append(&mut self, mut other: Touched<'_>) {
        self.uses.extend(other.uses.into_sorted());
        self.calls.extend(other.calls.sorted().iter().map(Call::kept));
        self.events.append(&mut other.events);
    }

    fn extend(&mut self, other: Self) {
        self.uses.extend(other.uses);
        self.calls.extend(other.calls);
        self.events.extend(other.events);
    }
}

impl Touched<'_> {
    fn append(&mut self, mut other: Self) {
        self.uses.append(other.uses);
        self.calls.append(other.calls);
        self.events.append(&mut other.events);
        self.changed.append(&mut other.changed);
    }
}

/// One resolution over one tree, under one search path.
pub(crate) struct Resolver<'a> {
    pub(crate) catalog: &'a Catalog,
    path: &'a [String],
    pub(crate) touched: Touched<'a>,
    /// Every relation that was looked up, in a part that does not run, too.
    pub(crate) seen: RefCell<Bag<Oid>>,
    /// Schemas that hid a relation of the same name further down the path, and that the role may not
    /// be allowed to use: then the server would have gone on.
    pub(crate) doubts: RefCell<BTreeSet<String>>,
    /// The column that says whose a row is, if anybody asks.
    tenant: Option<&'a str>,
    tenants: tenancy::Tenants<'a>,
    ctes: Vec<namespace::Cte<'a>>,
    depth: u32,
    left: &'a Cell<usize>,
    server_major: Option<u16>,
    /// Only what is built in is known, and bare names are taken so.
    open: Option<BareNames>,
    /// A relation that is not built in was looked up.
    unseen: Cell<bool>,
    /// What names mean that nothing in the statement explains: arguments of the function whose body this is.
    around: Option<Rc<namespace::Namespace<'a>>>,
    /// Uses of the outermost query by output column, for views.
    outputs: Option<Vec<BTreeSet<Use>>>,
    /// Nodes that expressions under way still have to visit, each above those that were there when it began.
    stack: Vec<Node<'a>>,
}

/// Why there is no answer.
pub(crate) type Resolved<T> = Result<T, Unknown>;

impl<'a> Resolver<'a> {
    pub(crate) fn new(catalog: &'a Catalog, path: &'a [String], left: &'a Cell<usize>) -> Self {
        Self {
            catalog,
            path,
            touched: Touched::default(),
            seen: RefCell::default(),
            doubts: RefCell::new(BTreeSet::new()),
            tenant: None,
            tenants: tenancy::Tenants::default(),
            ctes: Vec::new(),
            depth: 0,
            left,
            server_major: None,
            open: None,
            unseen: Cell::new(false),
            around: None,
            outputs: None,
            stack: Vec::new(),
        }
    }

    /// The same, looking at tenants, too.
    pub(crate) fn with_tenant(self, tenant: Option<&'a str>) -> Self {
        Self { tenant, ..self }
    }

    /// The same, of a session of this server; `open`: only what is built in is known.
    pub(crate) fn with_server(self, server_major: Option<u16>, open: Option<BareNames>) -> Self {
        Self { server_major, open, ..self }
    }

    /// The same, inside a function: its arguments have names.
    pub(crate) fn within(self, body_of: Option<&'a Function>) -> Self {
        Self { around: body_of.map(utility::arguments), ..self }
    }

    /// The same, with these names around everything.
    fn surrounded(self, around: Rc<namespace::Namespace<'a>>) -> Self {
        Self { around: Some(around), ..self }
    }

    /// This is done to a relation.
    fn happens(&mut self, relation: &Relation, event: Event) {
        if relation.oid != UNSEEN.oid {
            self.touched.events.insert((relation.oid, event));
        }
    }

    /// What is certain, where only what is built in is known.
    fn certainty(&self) -> Option<Certainty<'a>> {
        self.open.map(|bare| Certainty { catalog: self.catalog, bare, path: self.path })
    }

    /// Resolves one statement.
    ///
    /// # Errors
    /// A name that the catalog does not know, or a bound that was reached.
    pub(crate) fn statement(&mut self, node: Node<'a>) -> Resolved<()> {
        utility::statement(self, node)?;
        self.finish();
        Ok(())
    }

    /// Adds what is read through WITH.
    fn finish(&mut self) {
        for cte in &mut self.ctes {
            if cte.read.get() {
                self.touched.append(std::mem::take(&mut cte.touched));
            }
        }
    }

    /// Takes `count` steps from what the submission may still take.
    fn spend(&self, count: usize) -> Resolved<()> {
        match self.left.get().checked_sub(count) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(Unknown::TooComplex),
        }
    }

    /// Runs `inner` one level deeper.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Resolved<T>) -> Resolved<T> {
        if self.depth >= limits::MAX_QUERY_DEPTH {
            return Err(Unknown::TooComplex);
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn used(&mut self, relation: Oid, part: Part, role: ColumnRole) -> Resolved<()> {
        self.spend(1)?;
        if relation == UNSEEN.oid {
            return Ok(());
        }
        self.touched.uses.add(Use { relation, part, role });
        Ok(())
    }

    /// Every column of a relation.
    fn used_whole(&mut self, relation: &Relation, role: ColumnRole) -> Resolved<()> {
        self.used(relation.oid, Part::Any, role)?;
        for column in &relation.columns {
            self.used(relation.oid, Part::Column(column.number), role)?;
        }
        Ok(())
    }

    /// The relation that `var` names, as the server looks it up: the schema, or the first schema of
    /// the path that has it. What is being made temporary is looked for among temporary ones alone.
    pub(crate) fn relation(&self, var: &nodes::RangeVar) -> Resolved<&'a Relation> {
        let schema = if is_temporary(var) { Some(TEMPORARY) } else { var.schemaname() };
        let name = var.relname().unwrap_or_default();
        if let Some(certainty) = self.certainty() {
            let found = certainty.relation((schema, name));
            match found {
                Some(found) => self.seen.borrow_mut().add(found.oid),
                None => self.unseen.set(true),
            }
            return Ok(found.unwrap_or(&UNSEEN));
        }
        let found = self.look_up(schema, name)?;
        let found = found.ok_or(Unknown::NotInCatalog)?;
        self.seen.borrow_mut().add(found.oid);
        Ok(found)
    }

    /// The relation of a name.
    ///
    /// # Errors
    /// The session's own relations decide, and nothing is certain about them.
    pub(crate) fn look_up(
        &self,
        schema: Option<&str>,
        name: &str,
    ) -> Resolved<Option<&'a Relation>> {
        let (found, doubted) = find(self.catalog, self.path, schema, name)?;
        if doubted && let Some(found) = found {
            self.doubts.borrow_mut().insert(found.schema.clone().into());
        }
        Ok(found)
    }
}

/// The relation of a name as the server looks it up, and whether its schema is one that the role may not
/// be allowed to use while another further down the path has a relation of that name, too.
///
/// # Errors
/// The session's own relations decide, and nothing is certain about them.
pub(crate) fn find<'c>(
    catalog: &'c Catalog,
    path: &[String],
    schema: Option<&str>,
    name: &str,
) -> Resolved<(Option<&'c Relation>, bool)> {
    let named = catalog.relations_named(name);
    if named.is_alone() && !catalog.hides_temporary() {
        let in_path = |only: &&Relation| schemas(schema, path).any(|one| *one == *only.schema);
        let found = named.first().filter(in_path);
        // Else a path that lists its schema twice is in doubt.
        if found.is_none_or(|found| catalog.is_open(&found.schema)) {
            return Ok((found, false));
        }
    }
    let mut found: Option<&'c Relation> = None;
    for schema in schemas(schema, path) {
        match found {
            None => found = in_schema(catalog, named, schema)?,
            Some(_) if named.in_schema(schema).is_some() => return Ok((found, true)),
            Some(_) => {}
        }
        if found.is_some_and(|first| catalog.is_open(&first.schema)) {
            break;
        }
    }
    Ok((found, false))
}

fn in_schema<'c>(
    catalog: &Catalog,
    named: Named<'c, '_>,
    schema: &str,
) -> Resolved<Option<&'c Relation>> {
    if schema == TEMPORARY && catalog.hides_temporary() {
        return Err(Unknown::StaleCatalog);
    }
    let found = named.in_schema(schema);
    match found {
        Some(relation) if catalog.own().is_doubted(relation.oid) => Err(Unknown::StaleCatalog),
        Some(_) | None => Ok(found),
    }
}

/// Whether a definition makes it a temporary relation.
pub(crate) fn is_temporary(var: &nodes::RangeVar) -> bool {
    var.relpersistence.cast_unsigned() == b't' && var.schemaname().is_none()
}

/// Where a relation or a type is looked up, in order. The session's temporary ones come first, then
/// `pg_catalog`, unless the path lists them (PostgreSQL documentation, "The Schema Search Path").
fn schemas<'p>(
    schema: Option<&'p str>,
    path: &'p [String],
) -> impl Iterator<Item = &'p str> + Clone + use<'p> {
    let path = if schema.is_some() { &[] } else { path };
    let is_implicit =
        |name: &&str| schema.is_none() && !path.iter().any(|schema| schema.as_str() == *name);
    let first = Some(TEMPORARY).filter(is_implicit);
    let second = Some("pg_catalog").filter(is_implicit);
    let path = path.iter().map(String::as_str);
    schema.into_iter().chain(first).chain(second).chain(path)
}
