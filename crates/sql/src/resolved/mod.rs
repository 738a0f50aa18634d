//! What a statement touches, resolved against a catalog as PostgreSQL's analysis resolves it
//! (PostgreSQL documentation, "Queries", and the privileges that each command's page names).
//!
//! What is here: names to base columns. What is not: types and overloads, which decide no column.
//! Invariants: a column that PostgreSQL would check is never left out; what cannot be resolved makes
//! everything unknown; depth and work are bounded.

mod bind;
mod dml;
mod expression;
pub(crate) mod figure;
mod from;
mod namespace;
mod query;
mod reach;
pub(crate) mod tenancy;
mod term;
mod utility;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use model::{ColumnRole, Unknown};

use crate::catalog::{Catalog, Oid, Relation};
use crate::limits;
use crate::parse::{Node, nodes};
pub(crate) use bind::{complete, pin_name};
use reach::Reach;

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

/// A call that a statement makes, by the name that it writes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Call {
    /// A function, aggregate or procedure with so many arguments.
    Function(Option<String>, String, usize),
    /// An operator.
    Operator(Option<String>, String),
    /// `current_user` and its like, which the grammar calls.
    Grammar(String),
    /// A value becomes one of this type.
    Cast(Option<String>, String),
}

/// What a statement was found to touch.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) uses: BTreeSet<Use>,
    pub(crate) calls: BTreeSet<Call>,
}

/// One resolution over one tree, under one search path.
pub(crate) struct Resolver<'a> {
    pub(crate) catalog: &'a Catalog,
    path: &'a [String],
    pub(crate) touched: Touched,
    /// Every relation that was looked up, in a part that does not run, too.
    pub(crate) seen: RefCell<BTreeSet<Oid>>,
    /// The column that says whose a row is, if anybody asks.
    tenant: Option<&'a str>,
    tenants: tenancy::Tenants<'a>,
    ctes: Vec<namespace::Cte<'a>>,
    depth: u32,
    left: &'a Cell<usize>,
    /// Uses of the outermost query by output column, for views.
    outputs: Option<Vec<BTreeSet<Use>>>,
}

/// Why there is no answer.
pub(crate) type Resolved<T> = Result<T, Unknown>;

impl<'a> Resolver<'a> {
    pub(crate) fn new(catalog: &'a Catalog, path: &'a [String], left: &'a Cell<usize>) -> Self {
        Self {
            catalog,
            path,
            touched: Touched::default(),
            seen: RefCell::new(BTreeSet::new()),
            tenant: None,
            tenants: tenancy::Tenants::default(),
            ctes: Vec::new(),
            depth: 0,
            left,
            outputs: None,
        }
    }

    /// The same, looking at tenants, too.
    pub(crate) fn with_tenant(self, tenant: Option<&'a str>) -> Self {
        Self { tenant, ..self }
    }

    /// Resolves one statement.
    ///
    /// # Errors
    /// A name that the catalog does not know, or a bound that was reached.
    pub(crate) fn statement(&mut self, node: Node<'a>) -> Resolved<()> {
        utility::statement(self, node)?;
        for cte in &mut self.ctes {
            if cte.read.get() {
                self.touched.uses.append(&mut cte.touched.uses);
                self.touched.calls.append(&mut cte.touched.calls);
            }
        }
        Ok(())
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
        self.touched.uses.insert(Use { relation, part, role });
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
    /// the path that has it. `pg_temp` and `pg_catalog` come first unless the path lists them.
    pub(crate) fn relation(&self, var: &nodes::RangeVar) -> Resolved<&'a Relation> {
        let name = var.relname().unwrap_or_default();
        let found = match var.schemaname() {
            Some(schema) => self.catalog.relation(schema, name),
            None => self.on_path(|schema| self.catalog.relation(schema, name)),
        };
        let found = found.ok_or(Unknown::NotInCatalog)?;
        self.seen.borrow_mut().insert(found.oid);
        Ok(found)
    }

    /// The first answer along the path.
    pub(crate) fn on_path<T>(&self, look: impl Fn(&str) -> Option<T>) -> Option<T> {
        let listed = self.path.iter().any(|schema| schema == "pg_catalog");
        let first = (!listed).then_some("pg_catalog");
        first.into_iter().chain(self.path.iter().map(String::as_str)).find_map(look)
    }
}
