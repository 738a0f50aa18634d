//! Which tenant each reference to a scoped relation is bound to: by constants in conjuncts, and by
//! equality with what is bound.
//!
//! Invariants: a bound holds for every row of the reference that can influence the result. An equality
//! in ON of an outer join binds the side that may be missing, never the preserved one; one in a
//! sub-select binds the sub-select, never what is outside.

use std::collections::BTreeSet;
use std::rc::Rc;

use model::{Access, TenantBound, TenantUse};

use super::namespace::{Found, Item, Namespace};
use super::{Resolved, Resolver};
use crate::catalog::{Oid, Relation};
use crate::parse::{Node, nodes, raw};
use crate::resolve::{strings, type_names};
use crate::value::{Value, evaluate};

/// One reference to a relation that has the tenant's column.
#[derive(Debug)]
pub(super) struct Reference<'a> {
    relation: &'a Relation,
    access: Access,
    bounds: BTreeSet<TenantBound>,
}

/// Which references a condition binds.
#[derive(Debug, Clone)]
pub(super) enum Binds {
    /// All of its level.
    All,
    /// These.
    Only(BTreeSet<usize>),
    /// None.
    Nothing,
}

impl<'a> Resolver<'a> {
    /// Notes a reference, if the relation has the column.
    pub(super) fn refer(&mut self, relation: &'a Relation, access: Access) -> Option<usize> {
        let column = self.tenant?;
        if holds_values(relation) {
            self.references.push(Reference { relation, access, bounds: BTreeSet::new() });
            return None;
        }
        let scoped = relation.columns.iter().any(|own| *own.name == *column);
        // A view without the column hides what it reads.
        let hides = relation.definition.is_some();
        if !scoped && !hides {
            return None;
        }
        self.references.push(Reference { relation, access, bounds: BTreeSet::new() });
        scoped.then(|| self.references.len() - 1)
    }

    /// Binds one reference to a bound.
    pub(super) fn bind(&mut self, reference: Option<usize>, bound: TenantBound) {
        if let Some(reference) = reference.and_then(|index| self.references.get_mut(index)) {
            reference.bounds.insert(bound);
        }
    }

    /// Reads a condition's conjuncts.
    pub(super) fn bound_by(
        &mut self,
        condition: Node<'a>,
        namespace: &Rc<Namespace<'a>>,
        binds: &Binds,
    ) -> Resolved<()> {
        if self.tenant.is_none() || matches!(binds, Binds::Nothing) {
            return Ok(());
        }
        let mut stack = vec![condition];
        while let Some(node) = stack.pop() {
            self.spend(1)?;
            if let Node::BoolExpr(expression) = node
                && expression.boolop == raw::BoolExprType::AND_EXPR
            {
                stack.extend(expression.args());
            } else if let Node::A_Expr(expression) = node {
                self.equality(expression, namespace, binds);
            }
        }
        Ok(())
    }

    fn equality(
        &mut self,
        expression: &'a nodes::A_Expr,
        namespace: &Rc<Namespace<'a>>,
        binds: &Binds,
    ) {
        use raw::A_Expr_Kind as Kind;
        if !matches!(strings(expression.name()).as_slice(), ["="] | ["pg_catalog", "="]) {
            return;
        }
        let right = match expression.kind {
            Kind::AEXPR_OP | Kind::AEXPR_NOT_DISTINCT => expression.rexpr(),
            Kind::AEXPR_IN | Kind::AEXPR_OP_ANY => match single(expression.rexpr()) {
                Some(only) => only,
                None => return,
            },
            Kind::AEXPR_OP_ALL
            | Kind::AEXPR_DISTINCT
            | Kind::AEXPR_NULLIF
            | Kind::AEXPR_LIKE
            | Kind::AEXPR_ILIKE
            | Kind::AEXPR_SIMILAR
            | Kind::AEXPR_BETWEEN
            | Kind::AEXPR_NOT_BETWEEN
            | Kind::AEXPR_BETWEEN_SYM
            | Kind::AEXPR_NOT_BETWEEN_SYM
            | 14.. => return,
        };
        let left = expression.lexpr();
        let (mine, theirs) = (self.scoped(left, namespace), self.scoped(right, namespace));
        match (mine.is_empty(), theirs.is_empty()) {
            (false, true) => self.constant(&mine, right, namespace, binds),
            (true, false) => self.constant(&theirs, left, namespace, binds),
            (false, false) => {
                for one in &mine {
                    for other in &theirs {
                        self.linked(*one, *other, namespace, binds);
                        self.linked(*other, *one, namespace, binds);
                    }
                }
            }
            (true, true) => {}
        }
    }

    fn constant(
        &mut self,
        references: &[usize],
        value: Node<'a>,
        namespace: &Namespace<'a>,
        binds: &Binds,
    ) {
        let Some(bound) = bound(value) else { return };
        for reference in references.iter().filter(|one| may_bind(**one, namespace, binds)) {
            self.bind(Some(*reference), bound.clone());
        }
    }

    /// What bounds `from` bounds `to`, if `to` may be bound here.
    pub(super) fn linked(
        &mut self,
        from: usize,
        to: usize,
        namespace: &Namespace<'a>,
        binds: &Binds,
    ) {
        if may_bind(to, namespace, binds) {
            self.links.push((from, to));
        }
    }

    /// Whether a stored column is the tenant's.
    pub(super) fn is_tenants(&self, relation: Oid, number: i16) -> bool {
        let relation = self.catalog.relation_by_oid(relation);
        let mut columns = relation.into_iter().flat_map(|relation| &relation.columns);
        columns.any(|own| own.number == number && Some(&*own.name) == self.tenant)
    }

    /// The references whose tenant column an expression is.
    ///
    /// A cast may shorten what it is given, and a collation may make different values equal.
    pub(super) fn scoped(&self, node: Node<'a>, namespace: &Namespace<'a>) -> Vec<usize> {
        let Node::ColumnRef(column) = node else { return Vec::new() };
        let names = strings(column.fields());
        if names.len() < column.fields().len() || names.last().copied() != self.tenant {
            return Vec::new();
        }
        let found = match names.as_slice() {
            [name] => namespace.column(name).0,
            [table, name] => {
                namespace.item(None, table).map(|item| item.find(name)).into_iter().collect()
            }
            [.., schema, table, name] => namespace
                .item(Some(schema), table)
                .map(|item| item.find(name))
                .into_iter()
                .collect(),
            [] => Vec::new(),
        };
        // An ambiguous name is an error of the server.
        let [found] = found.as_slice() else { return Vec::new() };
        match found {
            // A list of aliases may call another column so.
            Found::Stored(relation, number, reference)
                if self.is_tenants(relation.oid, *number) =>
            {
                reference.iter().copied().collect()
            }
            // What a sub-select calls so may be anything.
            Found::Stored(..) | Found::Derived(_) | Found::Perhaps | Found::Not => Vec::new(),
        }
    }

    /// Every reference, with all that binds it.
    pub(super) fn tenants(&mut self) -> Vec<TenantUse> {
        for _ in 0..self.references.len() {
            let mut changed = false;
            for (from, to) in &self.links {
                let bounds = self.references.get(*from).map(|from| from.bounds.clone());
                if let (Some(bounds), Some(to)) = (bounds, self.references.get_mut(*to)) {
                    let before = to.bounds.len();
                    to.bounds.extend(bounds);
                    changed |= to.bounds.len() != before;
                }
            }
            if !changed {
                break;
            }
        }
        let uses = self.references.iter().map(|reference| TenantUse {
            schema: reference.relation.schema.clone().into(),
            relation: reference.relation.name.clone().into(),
            access: reference.access,
            has_column: shows(reference.relation, self.tenant.unwrap_or_default()),
            bounds: reference.bounds.iter().cloned().collect(),
        });
        uses.collect()
    }
}

/// System relations that hold values of rows, or texts that do, without telling whose.
const VALUES: &[&str] = &[
    "pg_largeobject",
    "pg_stat_activity",
    "pg_statistic",
    "pg_statistic_ext_data",
    "pg_stats",
    "pg_stats_ext",
    "pg_stats_ext_exprs",
];

fn holds_values(relation: &Relation) -> bool {
    &*relation.schema == "pg_catalog" && VALUES.contains(&&*relation.name)
}

/// Whether a relation has the tenant's column, or holds values of those that have.
pub(super) fn shows(relation: &Relation, tenant: &str) -> bool {
    holds_values(relation) || relation.columns.iter().any(|column| *column.name == *tenant)
}

/// The references of a FROM item, those inside a join included.
pub(super) fn references(items: &[Item<'_>]) -> BTreeSet<usize> {
    items.iter().filter_map(|item| item.reference).collect()
}

fn may_bind(reference: usize, namespace: &Namespace<'_>, binds: &Binds) -> bool {
    match binds {
        Binds::All => namespace.items.iter().any(|item| item.reference == Some(reference)),
        Binds::Only(these) => these.contains(&reference),
        Binds::Nothing => false,
    }
}

/// The one entry of a list or of an array.
fn single(node: Node<'_>) -> Option<Node<'_>> {
    let list = if let Node::NodeList(list) = node {
        list
    } else if let Node::A_ArrayExpr(array) = node {
        array.elements()
    } else {
        return None;
    };
    if list.len() == 1 { list.first() } else { None }
}

/// The entry at a place, if none before it can be several.
pub(super) fn at<'a>(mut row: impl Iterator<Item = Node<'a>>, position: usize) -> Option<Node<'a>> {
    for _ in 0..position {
        let before = row.next()?;
        let several = if let Node::ColumnRef(column) = before {
            strings(column.fields()).len() < column.fields().len()
        } else {
            matches!(before, Node::A_Indirection(_))
        };
        if several {
            return None;
        }
    }
    row.next()
}

/// Types whose values a cast without a length leaves as they are written.
const PLAIN: &[&str] = &["text", "varchar", "uuid", "int2", "int4", "int8"];

/// What a value binds to: a parameter, or a constant that no cast changes.
pub(super) fn bound(node: Node<'_>) -> Option<TenantBound> {
    let mut bare = node;
    if let Node::TypeCast(cast) = bare {
        let kind = cast.type_name()?;
        let names = type_names(kind);
        let plain =
            matches!(names.as_slice(), [name] | ["pg_catalog", name] if PLAIN.contains(name));
        if !plain || !kind.typmods().is_empty() || !kind.array_bounds().is_empty() {
            return None;
        }
        bare = cast.arg();
    }
    if let Node::ParamRef(_) = bare {
        return Some(TenantBound::Parameter);
    }
    let Node::A_Const(_) = bare else { return None };
    match evaluate(bare, 0) {
        Value::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            Some(TenantBound::Value(format!("{number:.0}")))
        }
        Value::Text(text) => Some(TenantBound::Value(text.into_owned())),
        Value::Number(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Range { .. }
        | Value::Unknown
        | Value::TooDeep => None,
    }
}
