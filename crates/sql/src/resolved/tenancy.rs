//! Which tenant each reference to a scoped relation is bound to: by constants, parameters and the
//! session's setting, and by equality with what is bound.
//!
//! Invariants: a bound holds for every row of the reference that can influence the result. An equality
//! in ON of an outer join binds the side that may be missing, never the preserved one; one in a
//! sub-select binds the sub-select, never what is outside.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use model::{Access, TenantBound, TenantType, TenantUse, Unknown};

use super::namespace::{Found, Item, Namespace};
use super::reach::of_definitions;
use super::term::Term;
use super::{Resolved, Resolver};
use crate::catalog::{Oid, Relation, TEMPORARY, TypeKind};
use crate::children::each_child;
use crate::limits::MAX_VIEW_DEPTH;
use crate::parse::{self, Node};
use crate::resolve::Dotted;

/// `text`.
const TEXT: Oid = 25;

/// One reference to a relation that has the tenant's column.
#[derive(Debug)]
pub(super) struct Reference<'a> {
    relation: &'a Relation,
    access: Access,
    /// Where its name stands, in bytes; `None` for rows that come about otherwise.
    place: Option<i32>,
    bounds: BTreeSet<TenantBound>,
}

/// A reference, with where it is written.
#[derive(Debug)]
pub(crate) struct Placed {
    /// Byte offset of its name, if it has one of its own.
    pub(crate) place: Option<i32>,
    /// What binds it.
    pub(crate) used: TenantUse,
}

impl Tenants<'_> {
    /// What bounds `from` bounds `to`.
    pub(super) fn link(&mut self, from: usize, to: usize) {
        self.links.push((from, to));
    }
}

/// What tenancy knows of one resolution.
#[derive(Debug, Default)]
pub(super) struct Tenants<'a> {
    references: Vec<Reference<'a>>,
    /// What bounds the first reference bounds the second.
    links: Vec<(usize, usize)>,
    /// Places of parameters that stand for the tenant's column.
    places: BTreeMap<u32, BTreeSet<Stands>>,
    /// Views inside views.
    depth: usize,
    /// What binds everything that a view reads, of each that was looked into.
    views: Option<Views>,
}

/// What binds everything that a view reads, shared with the resolutions of views.
type Views = Rc<RefCell<HashMap<Oid, BTreeSet<TenantBound>>>>;

/// A place where a parameter stands for the tenant's column: in bytes, the column's type, and how a
/// value is read there.
type Stands = (i32, Oid, TenantType);

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

/// What a reference is bound by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum By {
    /// A value.
    Value(TenantBound),
    /// The same value as another reference.
    Reference(usize),
}

impl<'a> Resolver<'a> {
    /// Notes a reference, if the relation has the column.
    pub(super) fn refer(
        &mut self,
        relation: &'a Relation,
        access: Access,
        place: Option<i32>,
    ) -> Resolved<Option<usize>> {
        let Some(column) = self.tenant else { return Ok(None) };
        // What is in a temporary table was judged when it was put there; nobody else puts in any.
        if *relation.schema == *TEMPORARY && relation.definition.is_none() {
            return Ok(None);
        }
        let scoped = relation.columns.iter().any(|own| *own.name == *column);
        // A view without the column hides what it reads.
        let hides = relation.definition.is_some() || holds_values(relation);
        if !scoped && !hides {
            return Ok(None);
        }
        let bounds = match relation.definition.as_deref() {
            Some(text) if access == Access::Read => self.inside(relation.oid, text)?,
            Some(_) | None => BTreeSet::new(),
        };
        self.tenants.references.push(Reference { relation, access, place, bounds });
        Ok(scoped.then(|| self.tenants.references.len() - 1))
    }

    /// What binds everything that a view reads: then the view constrains itself.
    fn inside(&mut self, view: Oid, text: &str) -> Resolved<BTreeSet<TenantBound>> {
        let views = Rc::clone(self.tenants.views.get_or_insert_default());
        if let Some(known) = views.borrow().get(&view) {
            return Ok(known.clone());
        }
        if self.tenants.depth >= MAX_VIEW_DEPTH {
            return Err(Unknown::TooComplex);
        }
        let tree = parse::parse(text).map_err(|_message| Unknown::ParseError)?;
        let mut common: Option<BTreeSet<TenantBound>> = None;
        let path = of_definitions();
        for raw in tree.statements() {
            let mut resolver =
                Resolver::new(self.catalog, &path, self.left).with_tenant(self.tenant);
            resolver.tenants.depth = self.tenants.depth + 1;
            resolver.tenants.views = Some(Rc::clone(&views));
            resolver.statement(raw.stmt())?;
            for one in resolver.tenants(raw.stmt())? {
                let own: BTreeSet<TenantBound> = one.bounds.into_iter().collect();
                common = Some(match common {
                    None => own,
                    Some(before) => before.intersection(&own).cloned().collect(),
                });
            }
        }
        let common = common.unwrap_or_default();
        views.borrow_mut().insert(view, common.clone());
        Ok(common)
    }

    /// Binds one reference to a bound.
    pub(super) fn bind(&mut self, reference: Option<usize>, bound: TenantBound) {
        let found = reference.and_then(|index| self.tenants.references.get_mut(index));
        if let Some(reference) = found {
            reference.bounds.insert(bound);
        }
    }

    /// Reads what a condition implies.
    pub(super) fn bound_by(
        &mut self,
        condition: Node<'a>,
        namespace: &Namespace<'a>,
        binds: &Binds,
    ) -> Resolved<()> {
        if self.tenant.is_none() || matches!(binds, Binds::Nothing) {
            return Ok(());
        }
        for (to, by) in self.implied(condition, namespace)? {
            if !may_bind(to, namespace, binds) {
                continue;
            }
            match by {
                By::Value(bound) => self.bind(Some(to), bound),
                By::Reference(from) => self.tenants.links.push((from, to)),
            }
        }
        Ok(())
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
            self.tenants.links.push((from, to));
        }
    }

    /// Binds a reference to the value that its rows get.
    pub(super) fn assigned(&mut self, reference: Option<usize>, value: Node<'a>) {
        let Some(index) = reference else { return };
        if let Some(Term::Value(bound, place)) = self.plain_value(value) {
            self.placed(index, &bound, place);
            self.bind(reference, bound);
        }
    }

    /// Binds a reference to the value that each of its rows gets, if it is the same.
    pub(super) fn assigned_alike(&mut self, reference: Option<usize>, values: &[Node<'a>]) {
        let Some(index) = reference else { return };
        let mut all =
            values.iter().map(|value| self.plain_value(*value)).collect::<Vec<_>>().into_iter();
        let Some(Some(Term::Value(first, place))) = all.next() else { return };
        let mut places = vec![place];
        for other in all {
            match other {
                Some(Term::Value(bound, place)) if bound == first => places.push(place),
                Some(_) | None => return,
            }
        }
        for place in places {
            self.placed(index, &first, place);
        }
        self.bind(reference, first);
    }

    /// Notes that a parameter stands for the tenant's column of a reference.
    pub(super) fn placed(&mut self, reference: usize, bound: &TenantBound, place: Option<i32>) {
        let found = self.tenants.references.get(reference);
        let kind = found.map(|one| (self.type_of(one.relation), self.compared(one.relation)));
        if let (TenantBound::Parameter { number, cast, .. }, Some(place), Some((kind, own))) =
            (bound, place, kind)
        {
            let stands = (place, kind, cast.unwrap_or(own));
            self.tenants.places.entry(*number).or_default().insert(stands);
        }
    }

    /// The type of the tenant's column.
    fn type_of(&self, relation: &Relation) -> Oid {
        let column = relation.columns.iter().find(|own| Some(&*own.name) == self.tenant);
        column.map_or(0, |column| column.type_oid)
    }

    /// The type of a reference's tenant column.
    pub(super) fn tenant_type(&self, reference: usize) -> TenantType {
        let found = self.tenants.references.get(reference);
        found.map_or(TenantType::Other, |one| self.compared(one.relation))
    }

    fn compared(&self, relation: &Relation) -> TenantType {
        let found = self.catalog.type_by_oid(self.type_of(relation));
        match found.filter(|one| &*one.schema == "pg_catalog").map(|one| &*one.name) {
            Some("text" | "varchar") => TenantType::Text,
            Some("bpchar") => TenantType::Padded,
            Some("int2" | "int4" | "int8") => TenantType::Integer,
            Some("uuid") => TenantType::Uuid,
            Some(_) | None => TenantType::Other,
        }
    }

    /// Whether the tenant columns of two references tell the same values apart.
    pub(super) fn are_compared_alike(&self, one: usize, other: usize) -> bool {
        let of = |index: usize| {
            self.tenants.references.get(index).map(|found| self.type_of(found.relation))
        };
        let kind = self.tenant_type(one);
        let known = matches!(kind, TenantType::Text | TenantType::Integer | TenantType::Uuid);
        kind == self.tenant_type(other) && (known || of(one) == of(other))
    }

    /// Whether `=` may be an operator of somebody else for a type.
    pub(super) fn has_own_equality(&self, reference: usize) -> bool {
        let Some(found) = self.tenants.references.get(reference) else { return true };
        let kind = self.type_of(found.relation);
        // That of text is also that of varchar and of domains over them.
        let mut compared = vec![TEXT, kind];
        while let Some(TypeKind::Domain(of)) = compared
            .last()
            .filter(|_| compared.len() < MAX_VIEW_DEPTH)
            .and_then(|last| self.catalog.type_by_oid(*last))
            .map(|one| one.kind)
        {
            compared.push(of);
        }
        self.path.iter().filter(|schema| *schema != "pg_catalog").any(|schema| {
            let mut all = self.catalog.operators(schema, "=");
            all.any(|own| compared.contains(&own.left) || compared.contains(&own.right))
        })
    }

    /// Whether a stored column is the tenant's.
    pub(super) fn is_tenants(&self, relation: Oid, number: i16) -> bool {
        let relation = self.catalog.relation_by_oid(relation);
        let mut columns = relation.into_iter().flat_map(|relation| &relation.columns);
        columns.any(|own| own.number == number && Some(&*own.name) == self.tenant)
    }

    /// The references whose tenant column what was found is.
    pub(super) fn same_column(&self, found: &[Found<'_, 'a>]) -> Vec<usize> {
        // An ambiguous name is an error of the server.
        let [found] = found else { return Vec::new() };
        match found {
            // A list of aliases may call another column so.
            Found::Stored(relation, number, reference)
                if self.is_tenants(relation.oid, *number) =>
            {
                reference.iter().copied().collect()
            }
            Found::Derived(output) => output.same.to_vec(),
            Found::Stored(..) | Found::Perhaps(_) | Found::Not => Vec::new(),
        }
    }

    /// Every reference of the statement `root`, with all that binds it.
    pub(super) fn tenants(&mut self, root: Node<'a>) -> Resolved<Vec<TenantUse>> {
        Ok(self.placed_tenants(root)?.into_iter().map(|one| one.used).collect())
    }

    /// The same, with their places.
    pub(crate) fn placed_tenants(&mut self, root: Node<'a>) -> Resolved<Vec<Placed>> {
        for _ in 0..self.tenants.references.len() {
            self.spend(self.tenants.links.len())?;
            let mut changed = false;
            for (from, to) in &self.tenants.links {
                let references = &mut self.tenants.references;
                let bounds = references.get(*from).map(|from| from.bounds.clone());
                if let (Some(bounds), Some(to)) = (bounds, references.get_mut(*to)) {
                    let before = to.bounds.len();
                    to.bounds.extend(bounds);
                    changed |= to.bounds.len() != before;
                }
            }
            if !changed {
                break;
            }
        }
        let typed = self.typed(root)?;
        let uses = self.tenants.references.iter().map(|reference| Placed {
            place: reference.place,
            used: TenantUse {
                schema: reference.relation.schema.clone().into(),
                relation: reference.relation.name.clone().into(),
                access: reference.access,
                has_column: shows(reference.relation, self.tenant.unwrap_or_default()),
                kind: self.compared(reference.relation),
                bounds: reference.bounds.iter().map(|bound| said(bound, &typed)).collect(),
            },
        });
        Ok(uses.collect())
    }

    /// Parameters whose places all stand for tenant columns of one type, read in one way: then it is
    /// theirs. Any other place may give them a type that cuts the value short (`"char"`, `name`).
    fn typed(&self, root: Node<'a>) -> Resolved<BTreeSet<u32>> {
        if self.tenants.places.is_empty() {
            return Ok(BTreeSet::new());
        }
        let mut count: BTreeMap<u32, usize> = BTreeMap::new();
        let mut stack = vec![root];
        while let Some(node) = stack.pop() {
            self.spend(1)?;
            if let Node::ParamRef(parameter) = node
                && let Ok(number) = u32::try_from(parameter.number)
            {
                *count.entry(number).or_default() += 1;
            }
            each_child(node, &mut |child| stack.push(child));
        }
        let one_type = |places: &BTreeSet<Stands>| {
            let kinds: BTreeSet<_> = places.iter().map(|(_, kind, read)| (*kind, *read)).collect();
            kinds.len() == 1
        };
        let all = self.tenants.places.iter().filter(|(number, places)| {
            let distinct: BTreeSet<i32> = places.iter().map(|(place, ..)| *place).collect();
            count.get(number) == Some(&distinct.len()) && one_type(places)
        });
        Ok(all.map(|(number, _)| *number).collect())
    }
}

fn said(bound: &TenantBound, all: &BTreeSet<u32>) -> TenantBound {
    match bound {
        TenantBound::Parameter { number, cast, .. } => {
            TenantBound::Parameter { number: *number, typed: all.contains(number), cast: *cast }
        }
        TenantBound::Value(_) | TenantBound::Setting(_) => bound.clone(),
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

/// The references whose rows stand or fall with rows of these FROM items.
pub(super) fn references(items: &[Item<'_>]) -> BTreeSet<usize> {
    items.iter().flat_map(|item| item.reference.iter().chain(&*item.carries)).copied().collect()
}

/// The entry at a place, if none before it can be several.
pub(super) fn at<'a>(mut row: impl Iterator<Item = Node<'a>>, position: usize) -> Option<Node<'a>> {
    for _ in 0..position {
        if may_be_several(row.next()?) {
            return None;
        }
    }
    row.next()
}

/// Whether an entry of a row may stand for several (`x.*`, `(x).*`), or for none.
pub(crate) fn may_be_several(entry: Node<'_>) -> bool {
    if let Node::ColumnRef(column) = entry {
        Dotted::of(column.fields()).count < column.fields().len()
    } else {
        matches!(entry, Node::A_Indirection(_))
    }
}

fn may_bind(reference: usize, namespace: &Namespace<'_>, binds: &Binds) -> bool {
    match binds {
        Binds::All => namespace
            .items
            .iter()
            .any(|item| item.reference == Some(reference) || item.carries.contains(&reference)),
        Binds::Only(these) => these.contains(&reference),
        Binds::Nothing => false,
    }
}
