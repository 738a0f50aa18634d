//! INSERT, UPDATE, DELETE and MERGE: what they write, read and return.
//!
//! Source: the privileges that PostgreSQL's pages on the four commands ask for.

use std::rc::Rc;

use model::{Access, ColumnRole, Unknown};

use super::certain::UNSEEN;
use super::from::{Place, columns_of, item_of};
use super::namespace::{CteScope, Item, Namespace, Output, Outputs};
use super::tenancy::{Binds, at, references};
use super::{Part, Resolved, Resolver, SYSTEM_COLUMNS};
use crate::catalog::{Event, Relation};
use crate::few::Few;
use crate::parse::{CastNodeList, Node, nodes, present, raw};

impl<'a> Resolver<'a> {
    pub(super) fn insert(
        &mut self,
        insert: &'a nodes::InsertStmt,
        ctes: CteScope,
    ) -> Resolved<Outputs<'a>> {
        let ctes = self.with(insert.with_clause(), ctes)?;
        let (relation, item) = self.target_item(insert.relation())?;
        self.happens(relation, Event::Insert);
        self.used(relation.oid, Part::Any, ColumnRole::Write)?;
        let around = Rc::new(Namespace::inside(self.around.clone()));
        let outputs = match present(insert.select_stmt()) {
            None => Outputs::default(),
            Some(source) => self.query(source, None, ctes)?,
        };
        let width = (!outputs.open).then_some(outputs.columns.len());
        self.inserted(insert, relation, (item.reference, &outputs));
        if insert.cols().is_empty() {
            let count = width.unwrap_or(usize::MAX);
            for column in relation.columns.iter().take(count) {
                self.used(relation.oid, Part::Column(column.number), ColumnRole::Write)?;
            }
        }
        for column in insert.cols() {
            let Node::ResTarget(column) = column else { return Err(Unknown::UnknownStatement) };
            self.written(relation, column)?;
            self.expressions(column.indirection(), &around, ctes, ColumnRole::Filter)?;
        }
        if let Some(conflict) = insert.on_conflict_clause() {
            self.on_conflict(conflict, (relation, &item), ctes)?;
        }
        self.returning(insert.returning_clause(), (relation, &[item]), ctes)
    }

    fn on_conflict(
        &mut self,
        conflict: &'a nodes::OnConflictClause,
        (relation, item): (&'a Relation, &Item<'a>),
        ctes: CteScope,
    ) -> Resolved<()> {
        let own = Rc::new(Namespace { items: vec![item.clone()], outer: self.around.clone() });
        if let Some(infer) = conflict.infer() {
            for element in infer.index_elems() {
                let Node::IndexElem(element) = element else {
                    return Err(Unknown::UnknownStatement);
                };
                if let Some(name) = element.name() {
                    self.column_named(relation, name, ColumnRole::Filter)?;
                }
                self.expression(element.expr(), &own, ctes, ColumnRole::Filter)?;
            }
            self.expression(infer.where_clause(), &own, ctes, ColumnRole::Filter)?;
            if infer.conname().is_some() {
                // Which columns the constraint covers is not followed.
                self.used_whole(relation, ColumnRole::Filter)?;
            }
        }
        let excluded =
            Item { visible: false, ..Item::derived(Some("excluded"), names_of(relation)) };
        let both =
            Rc::new(Namespace { items: vec![item.clone(), excluded], outer: self.around.clone() });
        self.assignments(conflict.target_list(), relation, &both, ctes)?;
        if !conflict.target_list().is_empty() {
            self.happens(relation, Event::Update);
            // The row that is there already may be anybody's.
            let reference = self.refer(relation, Access::Write, None)?;
            let there = Item { reference, ..item.clone() };
            let there = Rc::new(Namespace { items: vec![there], outer: self.around.clone() });
            self.bound_by(conflict.where_clause(), &there, &Binds::All)?;
            self.moved(conflict.target_list().iter(), relation)?;
        }
        self.expression(conflict.where_clause(), &both, ctes, ColumnRole::Filter)
    }

    pub(super) fn update(
        &mut self,
        update: &'a nodes::UpdateStmt,
        ctes: CteScope,
    ) -> Resolved<Outputs<'a>> {
        let ctes = self.with(update.with_clause(), ctes)?;
        let (relation, item) = self.target_item(update.relation())?;
        self.happens(relation, Event::Update);
        self.used(relation.oid, Part::Any, ColumnRole::Write)?;
        let mut place = Place { outer: self.around.clone(), ctes, left: Vec::new() };
        self.sources(update.from_clause(), &mut place)?;
        let items: Vec<Item<'a>> = std::iter::once(item).chain(place.left).collect();
        let namespace = Rc::new(Namespace { items, outer: self.around.clone() });
        self.assignments(update.target_list(), relation, &namespace, ctes)?;
        self.expression(update.where_clause(), &namespace, ctes, ColumnRole::Filter)?;
        self.bound_by(update.where_clause(), &namespace, &Binds::All)?;
        self.moved(update.target_list().iter(), relation)?;
        self.returning(update.returning_clause(), (relation, &namespace.items), ctes)
    }

    pub(super) fn delete(
        &mut self,
        delete: &'a nodes::DeleteStmt,
        ctes: CteScope,
    ) -> Resolved<Outputs<'a>> {
        let ctes = self.with(delete.with_clause(), ctes)?;
        let (relation, item) = self.target_item(delete.relation())?;
        self.happens(relation, Event::Delete);
        self.used(relation.oid, Part::Any, ColumnRole::Write)?;
        let mut place = Place { outer: self.around.clone(), ctes, left: Vec::new() };
        self.sources(delete.using_clause(), &mut place)?;
        let items: Vec<Item<'a>> = std::iter::once(item).chain(place.left).collect();
        let namespace = Rc::new(Namespace { items, outer: self.around.clone() });
        self.expression(delete.where_clause(), &namespace, ctes, ColumnRole::Filter)?;
        self.bound_by(delete.where_clause(), &namespace, &Binds::All)?;
        self.returning(delete.returning_clause(), (relation, &namespace.items), ctes)
    }

    pub(super) fn merge_into(
        &mut self,
        merge: &'a nodes::MergeStmt,
        ctes: CteScope,
    ) -> Resolved<Outputs<'a>> {
        let ctes = self.with(merge.with_clause(), ctes)?;
        let (relation, item) = self.target_item(merge.relation())?;
        self.used(relation.oid, Part::Any, ColumnRole::Write)?;
        let mut place = Place { outer: self.around.clone(), ctes, left: Vec::new() };
        self.source(merge.source_relation(), &mut place)?;
        let source = place.left;
        let by_source = |when: &nodes::MergeWhenClause| {
            when.match_kind == raw::MergeMatchKind::MERGE_WHEN_NOT_MATCHED_BY_SOURCE
        };
        // A row of the source acts without a match, too; so may one of the target.
        let binds = if merge.merge_when_clauses().iter().any(by_source) {
            Binds::Nothing
        } else {
            Binds::Only(references(std::slice::from_ref(&item)))
        };
        let items: Vec<Item<'a>> = std::iter::once(item).chain(source.iter().cloned()).collect();
        let both = Rc::new(Namespace { items, outer: self.around.clone() });
        let source = Rc::new(Namespace { items: source, outer: self.around.clone() });
        self.expression(merge.join_condition(), &both, ctes, ColumnRole::Join)?;
        self.bound_by(merge.join_condition(), &both, &binds)?;
        for when in merge.merge_when_clauses() {
            self.merge_branch(when, relation, (&both, &source), ctes)?;
        }
        self.returning(merge.returning_clause(), (relation, &both.items), ctes)
    }

    fn merge_branch(
        &mut self,
        when: &'a nodes::MergeWhenClause,
        relation: &'a Relation,
        (both, source): (&Rc<Namespace<'a>>, &Rc<Namespace<'a>>),
        ctes: CteScope,
    ) -> Resolved<()> {
        let inserts = when.command_type == raw::CmdType::CMD_INSERT;
        match when.command_type {
            raw::CmdType::CMD_INSERT => self.happens(relation, Event::Insert),
            raw::CmdType::CMD_UPDATE => self.happens(relation, Event::Update),
            raw::CmdType::CMD_DELETE => self.happens(relation, Event::Delete),
            _ => {}
        }
        let by_target = when.match_kind == raw::MergeMatchKind::MERGE_WHEN_NOT_MATCHED_BY_TARGET;
        let namespace = if inserts || by_target { source } else { both };
        self.expression(when.condition(), namespace, ctes, ColumnRole::Filter)?;
        if !inserts {
            for target in when.target_list() {
                let Node::ResTarget(target) = target else {
                    return Err(Unknown::UnknownStatement);
                };
                self.assignment(target, relation, namespace, ctes)?;
                self.moved(std::iter::once(target), relation)?;
            }
            return Ok(());
        }
        let reference = self.refer(relation, Access::Write, None)?;
        let position = match self.tenant {
            Some(tenant) if when.target_list().is_empty() => {
                relation.columns.iter().position(|column| *column.name == *tenant)
            }
            Some(tenant) => when.target_list().iter().position(
                |column| matches!(column, Node::ResTarget(target) if target.name() == Some(tenant)),
            ),
            None => None,
        };
        let value = position.and_then(|position| at(when.values().iter(), position));
        if let Some(value) = value {
            self.assigned(reference, value);
        }
        if when.target_list().is_empty() {
            for column in relation.columns.iter().take(when.values().len()) {
                self.used(relation.oid, Part::Column(column.number), ColumnRole::Write)?;
            }
        }
        for target in when.target_list() {
            let Node::ResTarget(target) = target else { return Err(Unknown::UnknownStatement) };
            self.written(relation, target)?;
            self.expressions(target.indirection(), namespace, ctes, ColumnRole::Filter)?;
        }
        self.expressions(when.values(), namespace, ctes, ColumnRole::Output)
    }

    /// A row that gets another tenant: another reference, bound to what it gets.
    fn moved(
        &mut self,
        targets: impl Iterator<Item = &'a nodes::ResTarget>,
        relation: &'a Relation,
    ) -> Resolved<()> {
        let Some(tenant) = self.tenant else { return Ok(()) };
        for target in targets.filter(|target| target.name() == Some(tenant)) {
            let reference = self.refer(relation, Access::Write, None)?;
            // A part of the column (`c[1]`, `c.part`) is not the column.
            if target.indirection().is_empty() {
                self.assigned(reference, target.val());
            }
        }
        Ok(())
    }

    /// New rows are whose the value of the column says, the same in each.
    fn inserted(
        &mut self,
        insert: &'a nodes::InsertStmt,
        relation: &'a Relation,
        (reference, outputs): (Option<usize>, &Outputs<'a>),
    ) {
        let Some(tenant) = self.tenant else { return };
        let position = if insert.cols().is_empty() {
            relation.columns.iter().position(|column| *column.name == *tenant)
        } else {
            insert.cols().iter().position(
                |column| matches!(column, Node::ResTarget(target) if target.name() == Some(tenant)),
            )
        };
        let (Some(position), Node::SelectStmt(select)) = (position, insert.select_stmt()) else {
            return;
        };
        if select.values_lists().is_empty() {
            // What it yields may be the column of a reference that is bound.
            let output = outputs.columns.get(position).filter(|_| !outputs.open);
            let from = output.map(|output| &*output.same).unwrap_or_default();
            if let (Some(to), [from]) = (reference, from)
                && self.are_compared_alike(*from, to)
            {
                self.tenants.link(*from, to);
            }
        }
        let mut values: Vec<Node<'a>> = Vec::new();
        for row in select.values_lists() {
            let Node::NodeList(row) = row else { return };
            let Some(value) = at(row.iter(), position) else { return };
            values.push(value);
        }
        if select.values_lists().is_empty() && select.op == raw::SetOperation::SETOP_NONE {
            let targets = select.target_list().iter().map(nodes::ResTarget::val);
            values.extend(at(targets, position));
        }
        self.assigned_alike(reference, &values);
    }

    fn assignments(
        &mut self,
        list: &'a CastNodeList<nodes::ResTarget>,
        relation: &'a Relation,
        namespace: &Rc<Namespace<'a>>,
        ctes: CteScope,
    ) -> Resolved<()> {
        for target in list {
            self.assignment(target, relation, namespace, ctes)?;
        }
        Ok(())
    }

    /// `c = expression`: what is assigned flows into a row, so it counts as output.
    fn assignment(
        &mut self,
        target: &'a nodes::ResTarget,
        relation: &'a Relation,
        namespace: &Rc<Namespace<'a>>,
        ctes: CteScope,
    ) -> Resolved<()> {
        self.written(relation, target)?;
        let name = target.name().unwrap_or_default();
        let column = relation.columns.iter().find(|column| *column.name == *name);
        let changed = column.map(|column| (relation.oid, column.number));
        self.touched.changed.extend(changed);
        self.expressions(target.indirection(), namespace, ctes, ColumnRole::Filter)?;
        self.expression(target.val(), namespace, ctes, ColumnRole::Output)
    }

    fn written(&mut self, relation: &Relation, target: &nodes::ResTarget) -> Resolved<()> {
        self.column_named(relation, target.name().unwrap_or_default(), ColumnRole::Write)
    }

    pub(super) fn column_named(
        &mut self,
        relation: &Relation,
        name: &str,
        role: ColumnRole,
    ) -> Resolved<()> {
        if relation.oid == UNSEEN.oid {
            return Ok(());
        }
        let stored = relation.columns.iter().find(|column| *column.name == *name);
        let system = || SYSTEM_COLUMNS.iter().find(|(system, _)| *system == name);
        let number = stored.map(|column| column.number).or_else(|| system().map(|(_, n)| *n));
        let number = number.ok_or(Unknown::NotInCatalog)?;
        self.used(relation.oid, Part::Column(number), role)
    }

    fn target_item(
        &mut self,
        var: Option<&'a nodes::RangeVar>,
    ) -> Resolved<(&'a Relation, Item<'a>)> {
        let var = var.ok_or(Unknown::UnknownStatement)?;
        let relation = self.relation(var)?;
        let reference = self.refer(relation, Access::Write, Some(var.location))?;
        Ok((relation, Item { reference, ..item_of(relation, var) }))
    }

    /// RETURNING, with `old` and `new` (or what they are called here) in scope by name.
    fn returning(
        &mut self,
        clause: Option<&'a nodes::ReturningClause>,
        (relation, items): (&'a Relation, &[Item<'a>]),
        ctes: CteScope,
    ) -> Resolved<Outputs<'a>> {
        let Some(clause) = clause else { return Ok(Outputs::default()) };
        let mut items = items.to_vec();
        let named = clause.options().iter().filter_map(nodes::ReturningOption::value);
        for name in named.chain(["old", "new"]) {
            items.push(Item {
                name: Some(name),
                columns: columns_of(relation, Few::None),
                bare: false,
                visible: false,
                rows: Few::One(relation),
                reference: None,
                carries: Few::None,
            });
        }
        let namespace = Rc::new(Namespace { items, outer: self.around.clone() });
        let mut outputs = Outputs::default();
        for target in clause.exprs() {
            let Node::ResTarget(target) = target else { return Err(Unknown::UnknownStatement) };
            self.target(target, &namespace, ctes, &mut outputs)?;
        }
        Ok(outputs)
    }
}

/// A relation's column names, without any use of them.
fn names_of(relation: &Relation) -> Outputs<'_> {
    let columns = relation.columns.iter().map(|column| Output::named(&column.name)).collect();
    Outputs { columns, open: relation.oid == UNSEEN.oid, ..Outputs::default() }
}
