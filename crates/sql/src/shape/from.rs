//! FROM: which names each item brings, and for which references a join's condition holds.
//!
//! Invariant: an outer join's condition holds for the rows of its other side only.

use std::rc::Rc;

use model::{Access, ColumnName, Operand};

use super::scope::{Item, Outputs, Scope, Source};
use super::{Shaped, Shaper};
use crate::children::each_child;
use crate::parse::{Node, NodeList, nodes, present, raw};
use crate::resolve::{Qualified, strings};

/// One FROM clause as it is read.
pub(super) struct Place<'a> {
    outer: Option<Rc<Scope<'a>>>,
    ctes: usize,
    pub(super) items: Vec<Item<'a>>,
    merged: Vec<(&'a str, Vec<u32>)>,
    /// Join conditions, with the references for which they hold.
    ons: Vec<(Node<'a>, Vec<u32>)>,
    /// Columns of USING: the two sides, and the references for which they are equal.
    usings: Vec<Using>,
    /// Its relations.
    pub(super) direct: Vec<u32>,
    /// The references that its WHERE filters: those, and the ones in transparent queries.
    pub(super) filtered: Vec<u32>,
}

struct Using {
    left: Option<Operand>,
    right: Option<Operand>,
    bound: Vec<u32>,
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

    /// The names that are in scope after it.
    pub(super) fn scope(&self) -> Rc<Scope<'a>> {
        Rc::new(Scope {
            items: self.items.clone(),
            merged: self.merged.clone(),
            outer: self.outer.clone(),
        })
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
            let filtered = self.source(node, place)?;
            place.filtered.extend(filtered);
        }
        Ok(())
    }

    /// One item: the references whose rows stand or fall with its rows.
    pub(super) fn source(&mut self, node: Node<'a>, place: &mut Place<'a>) -> Shaped<Vec<u32>> {
        self.spend()?;
        self.deeper(|this| this.source_node(node, place))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "functions and their like: any columns")]
    fn source_node(&mut self, node: Node<'a>, place: &mut Place<'a>) -> Shaped<Vec<u32>> {
        match node {
            Node::RangeVar(var) => self.relation(var, place),
            Node::RangeSubselect(sub) => {
                self.shape.sub_selects = self.shape.sub_selects.saturating_add(1);
                let outer = if sub.lateral { Some(place.scope()) } else { place.outer.clone() };
                let outputs = self.query(sub.subquery(), outer.as_ref(), place.ctes)?;
                let names = sub.alias().map(|alias| strings(alias.colnames())).unwrap_or_default();
                let outputs = outputs.renamed(&names);
                let filtered = outputs.transparent.clone();
                let name = sub.alias().and_then(nodes::Alias::aliasname);
                place.items.push(Item { name, source: Source::Derived(Rc::new(outputs)) });
                Ok(filtered)
            }
            Node::RangeTableSample(sample) => {
                let scope = place.scope();
                self.expressions(sample.args(), &scope, place.ctes)?;
                self.expression(sample.repeatable(), &scope, place.ctes)?;
                self.source(sample.relation(), place)
            }
            Node::JoinExpr(join) => self.join(join, place),
            other => {
                let scope = place.scope();
                let mut children = Vec::new();
                each_child(other, &mut |child| children.push(child));
                for child in children {
                    self.expression(child, &scope, place.ctes)?;
                }
                place.items.push(Item { name: function_name(other), source: Source::Opaque });
                Ok(Vec::new())
            }
        }
    }

    fn relation(&mut self, var: &'a nodes::RangeVar, place: &mut Place<'a>) -> Shaped<Vec<u32>> {
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
            return Ok(Vec::new());
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
        Ok(vec![index])
    }

    fn join(&mut self, join: &'a nodes::JoinExpr, place: &mut Place<'a>) -> Shaped<Vec<u32>> {
        use raw::JoinType as Kind;
        self.shape.joins = self.shape.joins.saturating_add(1);
        let before = place.items.len();
        let mut left = self.source(join.larg(), place)?;
        let between = place.items.len();
        let right = self.source(join.rarg(), place)?;
        let bound = match join.jointype {
            Kind::JOIN_INNER => left.iter().chain(&right).copied().collect(),
            Kind::JOIN_LEFT => right.clone(),
            Kind::JOIN_RIGHT => left.clone(),
            _ => Vec::new(),
        };
        let side = |items: &[Item<'a>]| Scope {
            items: items.to_vec(),
            merged: place.merged.clone(),
            outer: None,
        };
        let sides = (
            side(place.items.get(before..between).unwrap_or_default()),
            side(place.items.get(between..).unwrap_or_default()),
        );
        for column in join.using_clause().iter().filter_map(nodes::String::sval) {
            let (one, other) = (sides.0.unqualified(column), sides.1.unqualified(column));
            for of in [&one.of, &other.of] {
                self.columns.insert(ColumnName { name: column.to_owned(), of: of.clone() });
            }
            let merged = match join.jointype {
                Kind::JOIN_INNER | Kind::JOIN_LEFT => one.of,
                Kind::JOIN_RIGHT => other.of,
                _ => Vec::new(),
            };
            place.merged.retain(|(name, _)| *name != column);
            place.merged.push((column, merged));
            let bound = bound.clone();
            place.usings.push(Using { left: one.value, right: other.value, bound });
        }
        if let Some(condition) = present(join.quals()) {
            place.ons.push((condition, bound));
        }
        if let Some(name) = join.alias().and_then(nodes::Alias::aliasname) {
            let all = left.iter().chain(&right).copied().collect::<Vec<u32>>();
            if join.alias().is_some_and(|alias| !alias.colnames().is_empty()) {
                self.all_columns(&all);
            }
            place.items.push(Item { name: Some(name), source: Source::Join(all) });
        }
        left.extend(right);
        Ok(left)
    }

    /// Join conditions, with every name of the FROM clause in scope.
    pub(super) fn conditions(&mut self, place: &Place<'a>, scope: &Rc<Scope<'a>>) -> Shaped<()> {
        for (condition, bound) in &place.ons {
            let found = self.equalities(*condition, scope, bound)?;
            self.add_equalities(found)?;
            self.expression(*condition, scope, place.ctes)?;
        }
        for Using { left, right, bound } in &place.usings {
            if let (Some(left), Some(right)) = (left, right) {
                let mut found = Vec::new();
                super::equality::both(left, right, bound, &mut found);
                self.add_equalities(found)?;
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
