//! Queries: WITH, set operations, VALUES, and the clauses of a SELECT in the order in which the
//! server analyses them.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use model::{ColumnRole, Unknown};

use super::from::Place;
use super::namespace::{Cte, CteScope, Item, Namespace, Output, Outputs, Target};
use super::tenancy::{Binds, references};
use super::{Part, Resolved, Resolver, Touched, Use, figure};
use crate::children::each_child;
use crate::few::{Bag, Few};
use crate::limits::MAX_OUTPUT_COLUMNS;
use crate::parse::{CastNodeList, ConstValue, Node, NodeList, nodes, raw};
use crate::resolve::Dotted;

/// How a key that is a bare name is looked up first (PostgreSQL documentation, "SELECT", "GROUP BY
/// Clause" and "ORDER BY Clause").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    /// ORDER BY and DISTINCT ON: the name of an output column.
    Output,
    /// GROUP BY: a column of FROM.
    Input,
}

impl<'a> Resolver<'a> {
    /// A query that stands anywhere: what it yields.
    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else is a query: unknown")]
    pub(super) fn query(
        &mut self,
        node: Node<'a>,
        outer: Option<&Rc<Namespace<'a>>>,
        ctes: CteScope,
    ) -> Resolved<Outputs<'a>> {
        self.spend(1)?;
        let around = self.around.clone();
        let outer = outer.or(around.as_ref());
        self.deeper(|this| match node {
            Node::SelectStmt(select) => this.select(select, outer, ctes),
            Node::InsertStmt(insert) => this.insert(insert, ctes),
            Node::UpdateStmt(update) => this.update(update, ctes),
            Node::DeleteStmt(delete) => this.delete(delete, ctes),
            Node::MergeStmt(merge) => this.merge_into(merge, ctes),
            _ => Err(Unknown::UnknownStatement),
        })
    }

    /// The branches of a set operation one after the other: a chain of them may be long.
    fn select(
        &mut self,
        select: &'a nodes::SelectStmt,
        outer: Option<&Rc<Namespace<'a>>>,
        ctes: CteScope,
    ) -> Resolved<Outputs<'a>> {
        let mut waiting = Vec::new();
        let (mut first, mut branches) = (None, 0_usize);
        let mut next = Some((select, ctes));
        while let Some((select, ctes)) = next.take().or_else(|| waiting.pop()) {
            self.spend(1)?;
            // Only a branch makes columns.
            let capturing = self.outputs.take();
            let ctes = self.with_inside(select.with_clause(), outer, ctes)?;
            if select.op == raw::SetOperation::SETOP_NONE {
                self.outputs = capturing;
                let outputs = self.branch(select, outer.cloned(), ctes)?;
                branches += 1;
                first.get_or_insert(outputs);
                continue;
            }
            self.after_union(select, outer, ctes)?;
            self.outputs = capturing;
            waiting.extend(select.rarg().map(|branch| (branch, ctes)));
            waiting.extend(select.larg().map(|branch| (branch, ctes)));
        }
        let mut outputs: Outputs<'a> = first.unwrap_or_default();
        if branches > 1 {
            // The other branches' columns are others.
            outputs.carries = Few::None;
            outputs.columns.iter_mut().for_each(|output| output.same = Few::None);
        }
        Ok(outputs)
    }

    /// What stands behind the branches of a set operation.
    fn after_union(
        &mut self,
        select: &'a nodes::SelectStmt,
        outer: Option<&Rc<Namespace<'a>>>,
        ctes: CteScope,
    ) -> Resolved<()> {
        let around = Rc::new(Namespace::inside(outer.cloned()));
        for sort in select.sort_clause() {
            self.operator(sort.use_op());
            // The server takes names and numbers of output columns only.
            if bare_name(sort.node()).is_none() {
                self.expression(sort.node(), &around, ctes, ColumnRole::Order)?;
            }
        }
        self.limits(select, &around, ctes)
    }

    /// LIMIT and OFFSET.
    fn limits(
        &mut self,
        select: &'a nodes::SelectStmt,
        namespace: &Rc<Namespace<'a>>,
        ctes: CteScope,
    ) -> Resolved<()> {
        self.expression(select.limit_count(), namespace, ctes, ColumnRole::Filter)?;
        self.expression(select.limit_offset(), namespace, ctes, ColumnRole::Filter)
    }

    /// The names that the WITH of a statement brings, seen by what follows.
    pub(super) fn with(
        &mut self,
        with: Option<&'a nodes::WithClause>,
        scope: CteScope,
    ) -> Resolved<CteScope> {
        self.with_inside(with, None, scope)
    }

    /// The same, of a query inside another, whose names it sees.
    fn with_inside(
        &mut self,
        with: Option<&'a nodes::WithClause>,
        outer: Option<&Rc<Namespace<'a>>>,
        mut scope: CteScope,
    ) -> Resolved<CteScope> {
        let Some(with) = with else { return Ok(scope) };
        let mut ctes: Vec<&'a nodes::CommonTableExpr> = with.ctes().iter().collect();
        if with.recursive {
            ctes = self.in_order(ctes)?;
        }
        for cte in ctes {
            let before = std::mem::take(&mut self.touched);
            let outputs = match (with.recursive, cte.ctequery()) {
                (true, Node::SelectStmt(select)) => self.recursive(cte, select, (outer, scope)),
                (_, query) => self.query(query, outer, scope),
            };
            let touched = std::mem::replace(&mut self.touched, before);
            scope = self.add_cte(cte, named(cte, outputs?), scope);
            self.keep(cte, touched);
        }
        Ok(scope)
    }

    fn add_cte(
        &mut self,
        cte: &'a nodes::CommonTableExpr,
        outputs: Outputs<'a>,
        outer: CteScope,
    ) -> CteScope {
        let name = cte.ctename().unwrap_or_default();
        let (outputs, read) = (Rc::new(outputs), Cell::new(false));
        self.ctes.push(Cte { name, outputs, outer, touched: Touched::default(), read });
        self.ctes.len()
    }

    /// A SELECT counts if it is read, anything else always.
    fn keep(&mut self, cte: &nodes::CommonTableExpr, touched: Touched<'a>) {
        if matches!(cte.ctequery(), Node::SelectStmt(_)) {
            if let Some(kept) = self.ctes.last_mut() {
                kept.touched = touched;
            }
        } else {
            self.touched.append(touched);
        }
    }

    /// `a UNION b`: what `a` yields is what the name means inside `b`.
    fn recursive(
        &mut self,
        cte: &'a nodes::CommonTableExpr,
        select: &'a nodes::SelectStmt,
        (outer, scope): (Option<&Rc<Namespace<'a>>>, CteScope),
    ) -> Resolved<Outputs<'a>> {
        let (Some(left), Some(right)) = (select.larg(), select.rarg()) else {
            return self.query(Node::SelectStmt(select), outer, scope);
        };
        let scope = self.with_inside(select.with_clause(), outer, scope)?;
        let outputs = self.query(Node::SelectStmt(left), outer, scope)?;
        let mut outputs = outputs;
        outputs.columns.iter_mut().for_each(|output| output.same = Few::None);
        let inside = self.add_cte(cte, named(cte, outputs.clone()), scope);
        self.query(Node::SelectStmt(right), outer, inside)?;
        let around = self.around.clone();
        self.after_union(select, outer.or(around.as_ref()), inside)?;
        Ok(outputs)
    }

    /// WITH RECURSIVE may name what comes later: whoever is named goes first. Two that name each
    /// other the server refuses.
    fn in_order(
        &self,
        ctes: Vec<&'a nodes::CommonTableExpr>,
    ) -> Resolved<Vec<&'a nodes::CommonTableExpr>> {
        let names: BTreeSet<&str> = ctes.iter().filter_map(|cte| cte.ctename()).collect();
        let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for cte in &ctes {
            let own = cte.ctename().unwrap_or_default();
            let mut named = self.relations_named(cte.ctequery())?;
            named.retain(|name| *name != own && names.contains(name));
            needs.insert(own, named);
        }
        let (mut waiting, mut ordered, mut done) = (ctes, Vec::new(), BTreeSet::new());
        while !waiting.is_empty() {
            let before = waiting.len();
            waiting.retain(|cte| {
                let own = cte.ctename().unwrap_or_default();
                let ready = needs.get(own).is_none_or(|needs| needs.is_subset(&done));
                if ready {
                    done.insert(own);
                    ordered.push(*cte);
                }
                !ready
            });
            if waiting.len() == before {
                return Err(Unknown::UnknownStatement);
            }
        }
        Ok(ordered)
    }

    fn relations_named(&self, root: Node<'a>) -> Resolved<BTreeSet<&'a str>> {
        let mut names = BTreeSet::new();
        let mut stack = vec![root];
        while let Some(node) = stack.pop() {
            self.spend(1)?;
            if let Node::RangeVar(var) = node
                && var.schemaname().is_none()
            {
                names.extend(var.relname());
            }
            each_child(node, &mut |child| stack.push(child));
        }
        Ok(names)
    }

    /// One SELECT or VALUES.
    fn branch(
        &mut self,
        select: &'a nodes::SelectStmt,
        outer: Option<Rc<Namespace<'a>>>,
        ctes: CteScope,
    ) -> Resolved<Outputs<'a>> {
        let capturing = self.outputs.take();
        if !select.values_lists().is_empty() {
            let outputs = self.values(select, outer, ctes)?;
            self.outputs = capturing;
            return Ok(outputs);
        }
        let mut place = Place { outer: outer.clone(), ctes, left: Vec::new() };
        self.sources(select.from_clause(), &mut place)?;
        let namespace = Rc::new(Namespace { items: place.left, outer });
        let (mut outputs, captured) =
            self.targets(select.target_list(), &namespace, ctes, capturing.is_some())?;
        self.expression(select.where_clause(), &namespace, ctes, ColumnRole::Filter)?;
        self.bound_by(select.where_clause(), &namespace, &Binds::All)?;
        self.keys(select.group_clause(), select, &namespace, (ctes, Key::Input))?;
        self.expression(select.having_clause(), &namespace, ctes, ColumnRole::Filter)?;
        self.expressions(select.window_clause(), &namespace, ctes, ColumnRole::Order)?;
        for sort in select.sort_clause() {
            self.key(sort.node(), select, &namespace, (ctes, Key::Output))?;
            self.operator(sort.use_op());
        }
        self.keys(select.distinct_clause(), select, &namespace, (ctes, Key::Output))?;
        self.limits(select, &namespace, ctes)?;
        if !select.locking_clause().is_empty() {
            self.locked(select, &namespace)?;
        }
        self.outputs = capturing.map(|before| united(before, captured));
        if self.tenant.is_some() && is_transparent(select) {
            outputs.carries = references(&namespace.items).into_iter().collect();
        }
        Ok(outputs)
    }

    fn values(
        &mut self,
        select: &'a nodes::SelectStmt,
        outer: Option<Rc<Namespace<'a>>>,
        ctes: CteScope,
    ) -> Resolved<Outputs<'a>> {
        let around = Rc::new(Namespace::inside(outer));
        let mut width = 0;
        for row in select.values_lists() {
            if let Node::NodeList(row) = row {
                width = width.max(row.len());
            }
            self.expression(row, &around, ctes, ColumnRole::Output)?;
        }
        let columns = (0..width).map(|at| Output::named(value_name(at))).collect();
        let outputs = Outputs { columns, open: width > VALUE_NAMES.len(), ..Outputs::default() };
        let items = vec![Item::derived(Some("*VALUES*"), outputs.clone())];
        let inside = Rc::new(Namespace { items, outer: around.outer.clone() });
        for sort in select.sort_clause() {
            self.expression(sort.node(), &inside, ctes, ColumnRole::Order)?;
            self.operator(sort.use_op());
        }
        self.limits(select, &inside, ctes)?;
        Ok(outputs)
    }

    /// A target list or RETURNING: what it yields, and if asked for, the uses of each column.
    pub(super) fn targets(
        &mut self,
        targets: &'a CastNodeList<nodes::ResTarget>,
        namespace: &Rc<Namespace<'a>>,
        ctes: CteScope,
        capture: bool,
    ) -> Resolved<(Outputs<'a>, Vec<BTreeSet<Use>>)> {
        let (mut outputs, mut captured) = (Outputs::default(), Vec::new());
        for target in targets {
            let first = outputs.columns.len();
            if capture {
                let before = std::mem::take(&mut self.touched.uses);
                let found = self.target(target, namespace, ctes, &mut outputs);
                let uses = std::mem::replace(&mut self.touched.uses, before);
                found?;
                if outputs.open {
                    // Which column is which nobody knows: it counts whichever is read.
                    uses.into_sorted().into_iter().for_each(|used| self.touched.uses.add(used));
                    continue;
                }
                captured.extend(made_from(outputs.columns.get(first..).unwrap_or_default(), uses));
            } else {
                self.target(target, namespace, ctes, &mut outputs)?;
            }
            if outputs.columns.len() > MAX_OUTPUT_COLUMNS {
                return Err(Unknown::TooComplex);
            }
        }
        if outputs.open {
            captured.drain(..).flatten().for_each(|used| self.touched.uses.add(used));
        }
        Ok((outputs, captured))
    }

    /// Adds what one target yields.
    pub(super) fn target(
        &mut self,
        target: &'a nodes::ResTarget,
        namespace: &Rc<Namespace<'a>>,
        ctes: CteScope,
        outputs: &mut Outputs<'a>,
    ) -> Resolved<()> {
        self.spend(1)?;
        if let Node::ColumnRef(column) = target.val()
            && figure::is_star(target.val())
        {
            return self.star(column, namespace, outputs);
        }
        self.expression(target.val(), namespace, ctes, ColumnRole::Output)?;
        if figure::is_star(target.val()) {
            // The fields of a composite value: names that only its type knows.
            outputs.open = true;
            return Ok(());
        }
        let name = target.name().or_else(|| figure::of(target.val()));
        outputs.open |= name.is_none();
        let name = name.unwrap_or_default();
        let same = if let Node::ColumnRef(column) = target.val() {
            self.tenant_column(column, namespace).into_iter().collect()
        } else {
            Few::None
        };
        outputs.columns.push(Output { same, ..Output::named(name) });
        Ok(())
    }

    /// `*` and `t.*`.
    fn star(
        &mut self,
        column: &'a nodes::ColumnRef,
        namespace: &Rc<Namespace<'a>>,
        outputs: &mut Outputs<'a>,
    ) -> Resolved<()> {
        let names = Dotted::of(column.fields());
        let found = match names.count {
            0 => {
                for item in namespace.items.iter().filter(|item| item.visible) {
                    let found = self.use_all(item, ColumnRole::Output)?;
                    outputs.open |= found.open;
                    outputs.columns.extend(found.columns);
                }
                return Ok(());
            }
            1 => namespace.item(None, names.name),
            2.. => namespace.item(Some(names.table), names.name),
        };
        let Some(item) = found else { return Err(Unknown::NotInCatalog) };
        let found = self.use_all(item, ColumnRole::Output)?;
        outputs.open |= found.open;
        outputs.columns.extend(found.columns);
        Ok(())
    }

    fn keys(
        &mut self,
        keys: &'a NodeList,
        select: &'a nodes::SelectStmt,
        namespace: &Rc<Namespace<'a>>,
        how: (CteScope, Key),
    ) -> Resolved<()> {
        for key in keys {
            self.key(key, select, namespace, how)?;
        }
        Ok(())
    }

    /// A key of GROUP BY, ORDER BY or DISTINCT ON: an output column by name or number, or an
    /// expression.
    fn key(
        &mut self,
        key: Node<'a>,
        select: &'a nodes::SelectStmt,
        namespace: &Rc<Namespace<'a>>,
        (ctes, kind): (CteScope, Key),
    ) -> Resolved<()> {
        let mut stack = Vec::new();
        let mut next = Some(key);
        while let Some(key) = next.take().or_else(|| stack.pop()) {
            self.spend(1)?;
            if let Node::GroupingSet(set) = key {
                stack.extend(set.content());
                continue;
            }
            let (by_name, doubted) = match bare_name(key) {
                Some(name) if kind == Key::Input => {
                    let (hits, perhaps) = namespace.own_column(name);
                    (Some(name).filter(|_| hits.all().is_empty()), !perhaps.is_empty())
                }
                name => (name, false),
            };
            let number = position(key);
            let (mut outputs, mut perhaps) = (false, doubted);
            for (index, target) in select.target_list().iter().enumerate() {
                let is_star = figure::is_star(target.val());
                let figured =
                    target.name().or_else(|| figure::of(target.val()).filter(|_| !is_star));
                let named = by_name.is_some_and(|name| figured.is_none_or(|own| own == name));
                if named || number == Some(index) {
                    outputs |= figured.is_some();
                    // The columns of `t.*` are in scope themselves.
                    perhaps |= figured.is_none() && !matches!(target.val(), Node::ColumnRef(_));
                    if !is_star {
                        self.expression(target.val(), namespace, ctes, ColumnRole::Order)?;
                    }
                }
            }
            if number.is_none() && (perhaps || !outputs) {
                match self.expression(key, namespace, ctes, ColumnRole::Order) {
                    // Then the server means an output column.
                    Err(Unknown::NotInCatalog) if perhaps && by_name.is_some() => {}
                    other => other?,
                }
            }
        }
        Ok(())
    }

    /// FOR UPDATE and its kin ask for the right to change rows.
    fn locked(
        &mut self,
        select: &'a nodes::SelectStmt,
        namespace: &Rc<Namespace<'a>>,
    ) -> Resolved<()> {
        for clause in select.locking_clause() {
            let mut names = Vec::new();
            for named in clause.locked_rels() {
                if let Node::RangeVar(var) = named {
                    names.extend(var.relname());
                }
            }
            for item in &namespace.items {
                if names.is_empty() || item.name.is_some_and(|name| names.contains(&name)) {
                    for relation in &item.rows {
                        self.used(relation.oid, Part::Any, ColumnRole::Write)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A CTE's columns: renamed by its list, and with what SEARCH and CYCLE add.
fn named<'a>(cte: &'a nodes::CommonTableExpr, outputs: Outputs<'a>) -> Outputs<'a> {
    let mut outputs = outputs.renamed(cte.aliascolnames());
    // Who reads it later cannot filter it for everybody.
    outputs.carries = Few::None;
    for output in &mut outputs.columns {
        output.targets = Few::None;
    }
    outputs.rest = Few::None;
    if let Some(search) = cte.search_clause() {
        outputs.columns.extend(search.search_seq_column().map(Output::named));
    }
    if let Some(cycle) = cte.cycle_clause() {
        outputs.columns.extend(cycle.cycle_mark_column().map(Output::named));
        outputs.columns.extend(cycle.cycle_path_column().map(Output::named));
    }
    outputs
}

fn united(mut left: Vec<BTreeSet<Use>>, right: Vec<BTreeSet<Use>>) -> Vec<BTreeSet<Use>> {
    for (index, uses) in right.into_iter().enumerate() {
        match left.get_mut(index) {
            Some(before) => before.extend(uses),
            None => left.push(uses),
        }
    }
    left
}

/// What each column of a target is made from: of several, what it is.
fn made_from(columns: &[Output<'_>], uses: Bag<Use>) -> Vec<BTreeSet<Use>> {
    if let [_] = columns {
        return vec![uses.into_sorted().into_iter().collect()];
    }
    let role = ColumnRole::Output;
    let used = |target: &Target| Use { relation: target.0, part: Part::Column(target.1), role };
    columns.iter().map(|output| output.targets.iter().map(used).collect()).collect()
}

/// Whether a condition on its columns may as well stand inside: each row of it comes from its own
/// rows alone.
fn is_transparent(select: &nodes::SelectStmt) -> bool {
    select.group_clause().is_empty()
        && select.distinct_clause().is_empty()
        && select.window_clause().is_empty()
        && select.locking_clause().is_empty()
        && matches!(select.having_clause(), Node::None)
        && matches!(select.limit_count(), Node::None)
        && matches!(select.limit_offset(), Node::None)
        && !select.target_list().iter().any(|target| calls_over(target.val()))
}

/// A window looks at other rows.
fn calls_over(node: Node<'_>) -> bool {
    let mut stack = vec![node];
    while let Some(node) = stack.pop() {
        if matches!(node, Node::WindowDef(_)) {
            return true;
        }
        each_child(node, &mut |child| stack.push(child));
    }
    false
}

/// A key that is one unqualified name.
fn bare_name(key: Node<'_>) -> Option<&str> {
    let Node::ColumnRef(column) = key else { return None };
    let names = Dotted::of(column.fields());
    (names.count == 1 && column.fields().len() == 1).then_some(names.name)
}

/// A key that is the number of an output column, from 0.
fn position(key: Node<'_>) -> Option<usize> {
    let Node::A_Const(constant) = key else { return None };
    let Some(ConstValue::Integer(number)) = constant.val() else { return None };
    usize::try_from(number).ok()?.checked_sub(1)
}

/// The server's names for the columns of VALUES.
const VALUE_NAMES: &[&str] = &[
    "column1", "column2", "column3", "column4", "column5", "column6", "column7", "column8",
    "column9", "column10", "column11", "column12", "column13", "column14", "column15", "column16",
    "column17", "column18", "column19", "column20", "column21", "column22", "column23", "column24",
    "column25", "column26", "column27", "column28", "column29", "column30", "column31", "column32",
];

fn value_name(at: usize) -> &'static str {
    VALUE_NAMES.get(at).copied().unwrap_or("column")
}
