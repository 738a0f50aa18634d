//! Queries: WITH, set operations, VALUES, and the clauses of a SELECT.

use std::rc::Rc;

use model::Unknown;

use super::equality::operand;
use super::from::Place;
use super::scope::{Cte, Output, Outputs, Scope, Source};
use super::{Shaped, Shaper, Yield};
use crate::children::each_child;
use crate::limits::MAX_OUTPUT_COLUMNS;
use crate::parse::{Node, nodes, present, raw};
use crate::predicate::{Truth, truth};
use crate::resolve::{last_string, strings};
use crate::resolved::figure;
use crate::seen::Seen;

use super::expression::output_of;

impl<'a> Shaper<'a, '_> {
    /// A query that stands anywhere: what it yields, if that is wanted.
    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else is a query")]
    pub(super) fn query(
        &mut self,
        node: Node<'a>,
        outer: Option<&Rc<Scope<'a>>>,
        ctes: usize,
        wanted: Yield,
    ) -> Shaped<Outputs<'a>> {
        self.spend()?;
        self.deeper(|this| match node {
            Node::SelectStmt(select) => this.select(select, outer, ctes, wanted),
            Node::InsertStmt(insert) => this.insert(insert, ctes),
            Node::UpdateStmt(update) => this.update(update, ctes),
            Node::DeleteStmt(delete) => this.delete(delete, ctes),
            Node::MergeStmt(merge) => this.merge(merge, ctes),
            other => {
                let nowhere = Rc::new(Scope::default());
                let mut children = Vec::new();
                each_child(other, &mut |child| children.push(child));
                for child in children {
                    this.expression(child, &nowhere, ctes)?;
                }
                Ok(Outputs::opaque())
            }
        })
    }

    /// The branches of a set operation one after the other: a chain of them may be long.
    fn select(
        &mut self,
        select: &'a nodes::SelectStmt,
        outer: Option<&Rc<Scope<'a>>>,
        ctes: usize,
        wanted: Yield,
    ) -> Shaped<Outputs<'a>> {
        let mut waiting = Vec::new();
        let mut next = Some((select, ctes));
        let mut first = None;
        let mut branches = 0_usize;
        while let Some((select, ctes)) = next {
            self.spend()?;
            let ctes = self.with(select.with_clause(), ctes)?;
            if select.op == raw::SetOperation::SETOP_NONE {
                branches += 1;
                let outputs = self.branch(select, outer, ctes, wanted)?;
                first.get_or_insert(outputs);
                next = waiting.pop();
                continue;
            }
            self.shape.set_operation = true;
            let around = Scope::around(outer);
            self.order(select, &around, ctes)?;
            self.expression(select.limit_count(), &around, ctes)?;
            self.expression(select.limit_offset(), &around, ctes)?;
            waiting.extend(select.rarg().map(|branch| (branch, ctes)));
            waiting.extend(select.larg().map(|branch| (branch, ctes)));
            next = waiting.pop();
        }
        let mut outputs = first.unwrap_or_default();
        if branches > 1 {
            // A column is the first branch's in name only.
            outputs.open |= !outputs.through.is_empty();
            outputs.through.clear();
            outputs.transparent.clear();
            outputs.columns.iter_mut().for_each(|column| column.value = None);
        }
        Ok(outputs)
    }

    /// The names that WITH brings, seen by what follows.
    pub(super) fn with(
        &mut self,
        with: Option<&'a nodes::WithClause>,
        mut scope: usize,
    ) -> Shaped<usize> {
        let Some(with) = with else { return Ok(scope) };
        if with.recursive {
            // Each may name each: nothing is known of the others yet.
            for cte in with.ctes() {
                scope = self.name(cte, Rc::new(Outputs::opaque()), scope);
            }
        }
        for cte in with.ctes() {
            let outputs = self.query(cte.ctequery(), None, scope, Yield::Wanted)?;
            let outputs = Outputs { transparent: Vec::new(), ..outputs };
            let outputs = outputs.renamed(&strings(cte.aliascolnames()));
            scope = self.name(cte, Rc::new(outputs), scope);
        }
        Ok(scope)
    }

    fn name(
        &mut self,
        cte: &'a nodes::CommonTableExpr,
        outputs: Rc<Outputs<'a>>,
        outer: usize,
    ) -> usize {
        let name = cte.ctename().unwrap_or_default();
        self.ctes.push(Cte { name, outputs, outer });
        self.ctes.len()
    }

    /// What the CTE of that name yields, if one is in scope.
    pub(super) fn cte(&self, mut scope: usize, name: &str) -> Shaped<Option<Rc<Outputs<'a>>>> {
        while let Some(cte) = scope.checked_sub(1).and_then(|index| self.ctes.get(index)) {
            self.spend()?;
            if cte.name == name {
                return Ok(Some(Rc::clone(&cte.outputs)));
            }
            scope = cte.outer;
        }
        Ok(None)
    }

    /// One SELECT or VALUES.
    fn branch(
        &mut self,
        select: &'a nodes::SelectStmt,
        outer: Option<&Rc<Scope<'a>>>,
        ctes: usize,
        wanted: Yield,
    ) -> Shaped<Outputs<'a>> {
        if !select.values_lists().is_empty() {
            return self.values(select, outer, ctes, wanted);
        }
        let (place, scope) = self.body(select, outer, ctes)?;
        for target in select.target_list() {
            self.expression(target.val(), &scope, ctes)?;
        }
        if wanted == Yield::Ignored {
            few_outputs(select, &scope)?;
            return Ok(Outputs::opaque());
        }
        let mut yielded = outputs(select, &scope)?;
        if is_transparent(select) {
            yielded.transparent = place.filtered;
        }
        Ok(yielded)
    }

    /// A query of which only matters whether it has rows.
    pub(super) fn exists(
        &mut self,
        select: &'a nodes::SelectStmt,
        outer: &Rc<Scope<'a>>,
        ctes: usize,
    ) -> Shaped<()> {
        let ctes = self.with(select.with_clause(), ctes)?;
        let (_, scope) = self.body(select, Some(outer), ctes)?;
        for target in select.target_list() {
            if !is_star(target.val()) {
                self.expression(target.val(), &scope, ctes)?;
            }
        }
        Ok(())
    }

    /// Everything of a SELECT but its targets.
    fn body(
        &mut self,
        select: &'a nodes::SelectStmt,
        outer: Option<&Rc<Scope<'a>>>,
        ctes: usize,
    ) -> Shaped<(Place<'a>, Rc<Scope<'a>>)> {
        let mut place = Place::new(outer.cloned(), ctes);
        self.sources(select.from_clause(), &mut place)?;
        let scope = place.scope();
        self.conditions(&mut place, &scope)?;
        self.filter(select, &place, &scope)?;
        self.expression(select.where_clause(), &scope, ctes)?;
        for key in select.group_clause() {
            if output_of(select, key).is_none() {
                self.expression(key, &scope, ctes)?;
            }
        }
        self.expression(select.having_clause(), &scope, ctes)?;
        self.expressions(select.window_clause(), &scope, ctes)?;
        self.order(select, &scope, ctes)?;
        self.expressions(select.distinct_clause(), &scope, ctes)?;
        self.expression(select.limit_count(), &scope, ctes)?;
        self.expression(select.limit_offset(), &scope, ctes)?;
        Ok((place, scope))
    }

    /// WHERE and HAVING: whether they filter, and what must be equal.
    fn filter(
        &mut self,
        select: &'a nodes::SelectStmt,
        place: &Place<'a>,
        scope: &Rc<Scope<'a>>,
    ) -> Shaped<()> {
        let mut from = select.from_clause().iter();
        let only = match (from.next(), from.next()) {
            (Some(Node::RangeVar(var)), None) => Some(Seen::of(var, &self.context)),
            _ => None,
        };
        let reads = !select.from_clause().is_empty();
        match present(select.where_clause()) {
            None => self.without_where(&place.direct),
            Some(condition) => {
                let said = truth(condition, only, 0);
                self.judge_condition(said, reads);
                self.equalities(condition, scope, &place.filtered)?;
                for index in &place.filtered {
                    if let Some(one) = self.at(*index) {
                        one.without_where = false;
                    }
                }
            }
        }
        if let Some(condition) = present(select.having_clause()) {
            // An aggregate of everything has no column: what is merely constant may be one.
            let said = match truth(condition, only, 0) {
                Truth::Constant => Truth::Depends,
                said @ (Truth::True | Truth::False | Truth::Depends | Truth::TooDeep) => said,
            };
            self.judge_condition(said, reads);
        }
        Ok(())
    }

    fn without_where(&mut self, direct: &[u32]) {
        for index in direct {
            if let Some(one) = self.at(*index) {
                one.without_where = true;
            }
        }
    }

    pub(super) fn judge_condition(&mut self, said: Truth, reads: bool) {
        match said {
            Truth::True | Truth::Constant if reads => self.shape.tautology = true,
            Truth::TooDeep => self.shape.unread = true,
            Truth::True | Truth::Constant | Truth::False | Truth::Depends => {}
        }
    }

    fn values(
        &mut self,
        select: &'a nodes::SelectStmt,
        outer: Option<&Rc<Scope<'a>>>,
        ctes: usize,
        wanted: Yield,
    ) -> Shaped<Outputs<'a>> {
        let scope = Scope::around(outer);
        self.expressions(select.values_lists(), &scope, ctes)?;
        self.order(select, &scope, ctes)?;
        if wanted == Yield::Ignored {
            return Ok(Outputs::opaque());
        }
        let rows: Vec<Vec<Node<'a>>> = select
            .values_lists()
            .iter()
            .map(
                |row| if let Node::NodeList(row) = row { row.iter().collect() } else { Vec::new() },
            )
            .collect();
        let width = rows.iter().map(Vec::len).max().unwrap_or_default();
        let columns = (0..width)
            .map(|at| {
                let mut values =
                    rows.iter().map(|row| row.get(at).and_then(|node| operand(*node, &scope)));
                let first = values.next().flatten();
                let value = if values.all(|other| other == first) { first } else { None };
                // The server calls them column1, column2, …: nobody is tricked by another name.
                Output { name: "", value }
            })
            .collect();
        Ok(Outputs { columns, ..Outputs::default() })
    }
}

/// What a target list yields.
fn outputs<'a>(select: &'a nodes::SelectStmt, scope: &Rc<Scope<'a>>) -> Shaped<Outputs<'a>> {
    let mut outputs = Outputs::default();
    for target in select.target_list() {
        let value = target.val();
        if !is_star(value) {
            let name = target.name().or_else(|| figure::of(value));
            outputs.open |= name.is_none();
            let name = name.unwrap_or_default();
            outputs.columns.push(Output { name, value: operand(value, scope) });
            continue;
        }
        let qualifier = qualifier(value);
        for source in scope.star(qualifier) {
            match source {
                Source::Relation(index) => outputs.through.push(*index),
                Source::Join(_) | Source::Opaque => outputs.open = true,
                Source::Derived(inner) => {
                    outputs.columns.extend(inner.columns.iter().cloned());
                    outputs.through.extend(&inner.through);
                    outputs.open |= inner.open;
                }
            }
            // Queries of queries may double them.
            if outputs.columns.len().max(outputs.through.len()) > MAX_OUTPUT_COLUMNS {
                return Err(Unknown::TooComplex);
            }
        }
        outputs.open |= qualifier.is_none() && scope.merges();
    }
    Ok(outputs)
}

/// The bound of [`outputs`], where nobody asks what they are.
fn few_outputs<'a>(select: &'a nodes::SelectStmt, scope: &Rc<Scope<'a>>) -> Shaped<()> {
    let (mut columns, mut through) = (0_usize, 0_usize);
    for target in select.target_list() {
        let value = target.val();
        if !is_star(value) {
            columns += 1;
            continue;
        }
        for source in scope.star(qualifier(value)) {
            match source {
                Source::Relation(_) => through += 1,
                Source::Join(_) | Source::Opaque => {}
                Source::Derived(inner) => {
                    columns += inner.columns.len();
                    through += inner.through.len();
                }
            }
            if columns.max(through) > MAX_OUTPUT_COLUMNS {
                return Err(Unknown::TooComplex);
            }
        }
    }
    Ok(())
}

fn is_star(node: Node<'_>) -> bool {
    matches!(node, Node::ColumnRef(column)
        if matches!(column.fields().iter().next_back(), Some(Node::A_Star(_))))
}

/// What stands before a star.
fn qualifier(node: Node<'_>) -> Option<&str> {
    let Node::ColumnRef(column) = node else { return None };
    last_string(column.fields())
}

/// Whether a condition on its columns may as well stand inside: each row of it comes from its own
/// rows alone.
fn is_transparent(select: &nodes::SelectStmt) -> bool {
    select.op == raw::SetOperation::SETOP_NONE
        && select.group_clause().is_empty()
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
