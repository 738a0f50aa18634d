//! INSERT, UPDATE, DELETE, MERGE: which rows they reach, and what new rows get.

use std::rc::Rc;

use model::{Access, Operand, Rows};

use super::equality::operand;
use super::from::Place;
use super::scope::{Item, Outputs, Scope, Source};
use super::{Shaped, Shaper, Yield};
use crate::parse::{CastNodeList, Node, nodes, present, raw};
use crate::predicate::truth;
use crate::seen::Seen;

/// A statement's own relation, and the names around it.
struct Written<'a> {
    index: u32,
    place: Place<'a>,
}

impl<'a> Shaper<'a, '_> {
    fn written(&mut self, target: Option<&'a nodes::RangeVar>, ctes: usize) -> Shaped<Written<'a>> {
        let mut place = Place::new(None, ctes);
        let Some(var) = target else { return Err(model::Unknown::UnknownStatement) };
        let index = self.refer(var, Access::Write)?;
        place.target(var, index);
        Ok(Written { index, place })
    }

    pub(super) fn insert(
        &mut self,
        insert: &'a nodes::InsertStmt,
        ctes: usize,
    ) -> Shaped<Outputs<'a>> {
        let ctes = self.with(insert.with_clause(), ctes)?;
        let source = match present(insert.select_stmt()) {
            None => Outputs::default(),
            Some(source) => self.query(source, None, ctes, Yield::Wanted)?,
        };
        let Written { index, mut place } = self.written(insert.relation(), ctes)?;
        if let Some(one) = self.at(index) {
            one.rows = Rows::New;
        }
        let columns = insert.cols();
        if columns.is_empty() && !matches!(insert.select_stmt(), Node::None) {
            // By position: any column may get any value.
            self.assign(index, "*", None)?;
        }
        let known = !source.open && source.through.is_empty();
        for (at, column) in columns.iter().enumerate() {
            let Node::ResTarget(column) = column else { continue };
            let value = source.columns.get(at).and_then(|output| output.value.clone());
            let value = if known && column.indirection().is_empty() { value } else { None };
            self.assign(index, column.name().unwrap_or_default(), value)?;
        }
        if let Some(conflict) = insert.on_conflict_clause() {
            self.on_conflict(conflict, insert, ctes)?;
        }
        let scope = place.scope();
        self.returning(insert.returning_clause(), &scope, ctes)
    }

    /// DO UPDATE changes a row that was there before.
    fn on_conflict(
        &mut self,
        conflict: &'a nodes::OnConflictClause,
        insert: &'a nodes::InsertStmt,
        ctes: usize,
    ) -> Shaped<()> {
        if conflict.action != raw::OnConflictAction::ONCONFLICT_UPDATE {
            return Ok(());
        }
        let Written { index, mut place } = self.written(insert.relation(), ctes)?;
        place.items.push(Item { name: Some("excluded"), source: Source::Opaque });
        let scope = place.scope();
        self.assignments(index, conflict.target_list(), &scope, ctes)?;
        if let Some(condition) = present(conflict.where_clause()) {
            self.equalities(condition, &scope, &[index])?;
            self.expression(condition, &scope, ctes)?;
        }
        Ok(())
    }

    pub(super) fn update(
        &mut self,
        update: &'a nodes::UpdateStmt,
        ctes: usize,
    ) -> Shaped<Outputs<'a>> {
        let ctes = self.with(update.with_clause(), ctes)?;
        let Written { index, mut place } = self.written(update.relation(), ctes)?;
        self.sources(update.from_clause(), &mut place)?;
        let scope = place.scope();
        self.conditions(&mut place, &scope)?;
        self.assignments(index, update.target_list(), &scope, ctes)?;
        self.restrict(update.where_clause(), update.relation(), (&place, &scope))?;
        self.returning(update.returning_clause(), &scope, ctes)
    }

    pub(super) fn delete(
        &mut self,
        delete: &'a nodes::DeleteStmt,
        ctes: usize,
    ) -> Shaped<Outputs<'a>> {
        let ctes = self.with(delete.with_clause(), ctes)?;
        let Written { mut place, .. } = self.written(delete.relation(), ctes)?;
        self.sources(delete.using_clause(), &mut place)?;
        let scope = place.scope();
        self.conditions(&mut place, &scope)?;
        self.restrict(delete.where_clause(), delete.relation(), (&place, &scope))?;
        self.returning(delete.returning_clause(), &scope, ctes)
    }

    /// The condition of MERGE holds for the target where only matched rows are changed. Source
    /// rows count whether they match or not.
    pub(super) fn merge(
        &mut self,
        merge: &'a nodes::MergeStmt,
        ctes: usize,
    ) -> Shaped<Outputs<'a>> {
        let ctes = self.with(merge.with_clause(), ctes)?;
        let Written { index, mut place } = self.written(merge.relation(), ctes)?;
        self.source(merge.source_relation(), &mut place)?;
        let scope = place.scope();
        self.conditions(&mut place, &scope)?;
        let branches = || merge.merge_when_clauses().iter();
        let by_source = branches().any(|branch| {
            branch.match_kind == raw::MergeMatchKind::MERGE_WHEN_NOT_MATCHED_BY_SOURCE
        });
        let condition = merge.join_condition();
        if !by_source {
            self.equalities(condition, &scope, &[index])?;
        }
        self.expression(condition, &scope, ctes)?;
        for branch in branches() {
            self.expression(branch.condition(), &scope, ctes)?;
            self.branch_of_merge(branch, (index, &scope), ctes)?;
        }
        self.returning(merge.returning_clause(), &scope, ctes)
    }

    fn branch_of_merge(
        &mut self,
        branch: &'a nodes::MergeWhenClause,
        (index, scope): (u32, &Rc<Scope<'a>>),
        ctes: usize,
    ) -> Shaped<()> {
        let inserts = branch.command_type == raw::CmdType::CMD_INSERT;
        self.expressions(branch.values(), scope, ctes)?;
        if inserts && branch.target_list().is_empty() {
            self.assign(index, "*", None)?;
        }
        for (at, target) in branch.target_list().iter().enumerate() {
            let Node::ResTarget(target) = target else { continue };
            let value = if inserts { branch.values().get(at) } else { present(target.val()) };
            self.expression(target.val(), scope, ctes)?;
            let plain = target.indirection().is_empty();
            let value = value.filter(|_| plain).and_then(|node| operand(node, scope));
            self.assign(index, target.name().unwrap_or_default(), value)?;
        }
        Ok(())
    }

    fn restrict(
        &mut self,
        condition: Node<'a>,
        target: Option<&'a nodes::RangeVar>,
        (place, scope): (&Place<'a>, &Rc<Scope<'a>>),
    ) -> Shaped<()> {
        let Some(condition) = present(condition) else { return Ok(()) };
        let only = target.filter(|_| scope.len() == 1);
        let seen = only.map(|var| Seen::of(var, &self.context));
        self.judge_condition(truth(condition, seen, 0), true);
        self.equalities(condition, scope, &place.filtered)?;
        self.expression(condition, scope, place.ctes())
    }

    fn assignments(
        &mut self,
        index: u32,
        list: &'a CastNodeList<nodes::ResTarget>,
        scope: &Rc<Scope<'a>>,
        ctes: usize,
    ) -> Shaped<()> {
        for target in list {
            self.expression(target.val(), scope, ctes)?;
            let plain = target.indirection().is_empty();
            let value: Option<Operand> = if plain { operand(target.val(), scope) } else { None };
            self.assign(index, target.name().unwrap_or_default(), value)?;
        }
        Ok(())
    }

    fn returning(
        &mut self,
        clause: Option<&'a nodes::ReturningClause>,
        scope: &Rc<Scope<'a>>,
        ctes: usize,
    ) -> Shaped<Outputs<'a>> {
        let Some(clause) = clause else { return Ok(Outputs::default()) };
        self.expressions(clause.exprs(), scope, ctes)?;
        Ok(Outputs::opaque())
    }
}
