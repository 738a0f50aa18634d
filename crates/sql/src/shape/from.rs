//! FROM: which names each item brings, and for which references a join's condition holds.
//!
//! Invariant: an outer join's condition holds for the rows of its other side only.

use std::ops::Range;
use std::rc::Rc;

use model::{Access, Operand};

use super::equality::both;
use super::scope::{Item, Merged, Outputs, Scope, Source};
use super::{Shaped, Shaper, Yield};
use crate::children::each_child;
use crate::parse::{Node, NodeList, nodes, present, raw};
use crate::resolve::{Qualified, strings};

/// One FROM clause as it is read.
pub(super) struct Place<'a> {
    outer: Option<Rc<Scope<'a>>>,
    ctes: usize,
    pub(super) items: Vec<Item<'a>>,
    merged: Merged<'a>,
    /// Join conditions, with the references for which they hold: a part of `filtered`.
    ons: Vec<(Node<'a>, Range<usize>)>,
    /// Columns of USING: the two sides, and the references for which they are equal.
    usings: Vec<Using>,
    /// Its relations.
    pub(super) direct: Vec<u32>,
    /// The references that its WHERE filters: those, and the ones in transparent queries. What stands or falls with
    /// one item is in a row.
    pub(super) filtered: Vec<u32>,
}

struct Using {
    left: Option<Operand>,
    right: Option<Operand>,
    bound: Range<usize>,
}

impl<'a> Place<'a> {
    pub(super) fn new(outer: Option<Rc<Scope<'a>>>, ctes: usize) -> Self {
        Self {
            outer,
            ctes,
            items: Vec::new(),
            merged: Vec::new(),
            ons: Vec::new(),
            usings: Vec::new(),
            direct: Vec::new(),
            filtered: Vec::new(),
        }
    }

    /// The CTEs that it sees.
    pub(super) const fn ctes(&self) -> usize {
        self.ctes
    }

    /// The names that are in scope so far.
    fn so_far(&self) -> Rc<Scope<'a>> {
        Rc::new(Scope::new(self.items.clone(), self.merged.clone(), self.outer.clone()))
    }

    /// The names that are in scope after it. It has no more items.
    pub(super) fn scope(&mut self) -> Rc<Scope<'a>> {
        let (items, merged) = (std::mem::take(&mut self.items), std::mem::take(&mut self.merged));
        Rc::new(Scope::new(items, merged, self.outer.clone()))
    }

    /// The references of a part of it.
    fn bound(&self, range: &Range<usize>) -> &[u32] {
        self.filtered.get(range.clone()).unwrap_or_default()
    }

    /// A relation that a statement writes.
    pub(super) fn target(&mut self, var: &'a nodes::RangeVar, index: u32) {
        let name = var.alias().and_then(nodes::Alias::aliasname).or(var.relname());
        self.items.push(Item { name, source: Source::Relation(index) });
        self.filtered.push(index);
    }
}

impl<'a> Shaper<'a, '_> {
    /// A FROM clause: every item in order, each LATERAL one with those before it in scope.
    pub(super) fn sources(&mut self, clause: &'a NodeList, place: &mut Place<'a>) -> Shaped<()> {
        let commas = u32::try_from(clause.len().saturating_sub(1)).unwrap_or(u32::MAX);
        self.shape.joins = self.shape.joins.saturating_add(commas);
        for node in clause {
            self.source(node, place)?;
        }
        Ok(())
    }

    /// One item: adds the references whose rows stand or fall with its rows.
    pub(super) fn source(&mut self, node: Node<'a>, place: &mut Place<'a>) -> Shaped<()> {
        self.spend()?;
        self.deeper(|this| this.source_node(node, place))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "functions and their like: any columns")]
    fn source_node(&mut self, node: Node<'a>, place: &mut Place<'a>) -> Shaped<()> {
        match node {
            Node::RangeVar(var) => self.relation(var, place),
            Node::RangeSubselect(sub) => {
                self.shape.sub_selects = self.shape.sub_selects.saturating_add(1);
                let outer = if sub.lateral { Some(place.so_far()) } else { place.outer.clone() };
                let outputs =
                    self.query(sub.subquery(), outer.as_ref(), place.ctes, Yield::Wanted)?;
                let names = sub.alias().map(|alias| strings(alias.colnames())).unwrap_or_default();
                let outputs = outputs.renamed(&names);
                place.filtered.extend(&outputs.transparent);
                let name = sub.alias().and_then(nodes::Alias::aliasname);
                place.items.push(Item { name, source: Source::Derived(Rc::new(outputs)) });
                Ok(())
            }
            Node::RangeTableSample(sample) => {
                let scope = place.so_far();
                self.expressions(sample.args(), &scope, place.ctes)?;
                self.expression(sample.repeatable(), &scope, place.ctes)?;
                self.source(sample.relation(), place)
            }
            Node::JoinExpr(join) => self.join(join, place),
            other => {
                let scope = place.so_far();
                let mut children = Vec::new();
                each_child(other, &mut |child| children.push(child));
                for child in children {
                    self.expression(child, &scope, place.ctes)?;
                }
                place.items.push(Item { name: function_name(other), source: Source::Opaque });
                Ok(())
            }
        }
    }

    fn relation(&mut self, var: &'a nodes::RangeVar, place: &mut Place<'a>) -> Shaped<()> {
        let own = var.relname().unwrap_or_default();
        let alias = var.alias();
        let name = alias.and_then(nodes::Alias::aliasname).or(Some(own));
        let names = alias.map(|alias| strings(alias.colnames())).unwrap_or_default();
        if var.schemaname().is_none()
            && let Some(outputs) = self.cte(place.ctes, own)?
        {
            let outputs = if names.is_empty() {
                outputs
            } else {
                Rc::new(Outputs::clone(&outputs).renamed(&names))
            };
            place.items.push(Item { name, source: Source::Derived(outputs) });
            return Ok(());
        }
        let index = self.refer(var, Access::Read)?;
        place.direct.push(index);
        if names.is_empty() {
            place.items.push(Item { name, source: Source::Relation(index) });
        } else {
            // Renamed: which column a name stands for depends on what nobody told us.
            self.all_columns(&[index]);
            place.items.push(Item { name, source: Source::Derived(Rc::new(Outputs::opaque())) });
        }
        place.filtered.push(index);
        Ok(())
    }

    fn join(&mut self, join: &'a nodes::JoinExpr, place: &mut Place<'a>) -> Shaped<()> {
        use raw::JoinType as Kind;
        self.shape.joins = self.shape.joins.saturating_add(1);
        let first = (place.items.len(), place.filtered.len());
        self.source(join.larg(), place)?;
        let second = (place.items.len(), place.filtered.len());
        self.source(join.rarg(), place)?;
        let end = place.filtered.len();
        let bound = match join.jointype {
            Kind::JOIN_INNER => first.1..end,
            Kind::JOIN_LEFT => second.1..end,
            Kind::JOIN_RIGHT => first.1..second.1,
            _ => end..end,
        };
        if !join.using_clause().is_empty() {
            self.using(join, (first.0, second.0), &bound, place);
        }
        if let Some(condition) = present(join.quals()) {
            place.ons.push((condition, bound));
        }
        if let Some(name) = join.alias().and_then(nodes::Alias::aliasname) {
            let all = place.bound(&(first.1..end)).to_vec();
            if join.alias().is_some_and(|alias| !alias.colnames().is_empty()) {
                self.all_columns(&all);
            }
            place.items.push(Item { name: Some(name), source: Source::Join(all) });
        }
        Ok(())
    }

    /// The columns of USING: `first` and `second` are the places of the two sides' items.
    fn using(
        &mut self,
        join: &'a nodes::JoinExpr,
        (first, second): (usize, usize),
        bound: &Range<usize>,
        place: &mut Place<'a>,
    ) {
        use raw::JoinType as Kind;
        let side = |items: Option<&[Item<'a>]>| {
            Scope::new(items.unwrap_or_default().to_vec(), place.merged.clone(), None)
        };
        let sides = (side(place.items.get(first..second)), side(place.items.get(second..)));
        for column in join.using_clause().iter().filter_map(nodes::String::sval) {
            let (one, other) = (sides.0.unqualified(column), sides.1.unqualified(column));
            for of in [&one.of, &other.of] {
                self.columns.insert(column, of);
            }
            let merged = match join.jointype {
                Kind::JOIN_INNER | Kind::JOIN_LEFT => one.of.to_vec(),
                Kind::JOIN_RIGHT => other.of.to_vec(),
                _ => Vec::new(),
            };
            place.merged.retain(|(name, _)| *name != column);
            place.merged.push((column, merged));
            let (left, right, bound) = (one.value(column), other.value(column), bound.clone());
            place.usings.push(Using { left, right, bound });
        }
    }

    /// Join conditions, with every name of the FROM clause in scope.
    pub(super) fn conditions(
        &mut self,
        place: &mut Place<'a>,
        scope: &Rc<Scope<'a>>,
    ) -> Shaped<()> {
        for (condition, bound) in &place.ons {
            self.equalities(*condition, scope, place.bound(bound))?;
            self.expression(*condition, scope, place.ctes)?;
        }
        for Using { left, right, bound } in std::mem::take(&mut place.usings) {
            if let (Some(left), Some(right)) = (left, right) {
                both(left, right, place.bound(&bound), &mut self.shape.equalities);
                self.few_equalities()?;
            }
        }
        Ok(())
    }
}

/// What the columns of a function in FROM are qualified with.
#[expect(clippy::wildcard_enum_match_arm, reason = "nothing else in FROM is a function")]
fn function_name(node: Node<'_>) -> Option<&str> {
    match node {
        Node::RangeFunction(function) => {
            let alias = function.alias().and_then(nodes::Alias::aliasname);
            alias.or_else(|| {
                let first = function.functions().first()?;
                let call = if let Node::NodeList(list) = first { list.first()? } else { first };
                let Node::FuncCall(call) = call else { return None };
                Qualified::of_list(call.funcname()).map(|written| written.name)
            })
        }
        Node::RangeTableFunc(function) => function.alias().and_then(nodes::Alias::aliasname),
        Node::JsonTable(table) => table.alias().and_then(nodes::Alias::aliasname),
        _ => None,
    }
}
