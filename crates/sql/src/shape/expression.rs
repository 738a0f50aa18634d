//! Expressions: the columns that they name, the queries inside them, LIMIT and ORDER BY.

use std::rc::Rc;

use model::RowLimit;

use super::scope::{Scope, Source};
use super::{Shaped, Shaper, Yield};
use crate::children::each_branch;
use crate::literal::{self, Literal};
use crate::parse::{ConstValue, Node, NodeList, nodes, present, raw};
use crate::resolve::{Qualified, each_string, last_string};
use crate::value::{Value, evaluate};

/// Functions that give another order each time.
const RANDOM: &[&str] = &[
    "random",
    "rand",
    "newid",
    "random_normal",
    "gen_random_uuid",
    "uuidv4",
    "uuid_generate_v4",
    "gen_random_bytes",
    "clock_timestamp",
];

impl<'a> Shaper<'a, '_> {
    /// All expressions of a list.
    pub(super) fn expressions(
        &mut self,
        list: &'a NodeList,
        scope: &Rc<Scope<'a>>,
        ctes: usize,
    ) -> Shaped<()> {
        list.iter().try_for_each(|node| self.expression(node, scope, ctes))
    }

    /// One expression, whatever it holds.
    #[expect(clippy::wildcard_enum_match_arm, reason = "other nodes only hold expressions")]
    pub(super) fn expression(
        &mut self,
        node: Node<'a>,
        scope: &Rc<Scope<'a>>,
        ctes: usize,
    ) -> Shaped<()> {
        let base = self.stack.len();
        let mut next = Some(node);
        while let Some(node) = next {
            self.spend()?;
            match node {
                Node::ColumnRef(column) => self.column(column, scope),
                Node::SubLink(link) => {
                    self.shape.sub_selects = self.shape.sub_selects.saturating_add(1);
                    self.stack.extend(present(link.testexpr()));
                    self.sub_link(link, scope, ctes)?;
                }
                Node::SelectStmt(_)
                | Node::InsertStmt(_)
                | Node::UpdateStmt(_)
                | Node::DeleteStmt(_)
                | Node::MergeStmt(_) => {
                    self.query(node, Some(scope), ctes, Yield::Ignored)?;
                }
                Node::A_Indirection(indirection) => {
                    for name in each_string(indirection.indirection()) {
                        self.columns.insert(name, scope.references());
                    }
                    let names = each_branch(node, &mut |child| self.stack.push(child));
                    self.spend_many(names)?;
                }
                other => {
                    let names = each_branch(other, &mut |child| self.stack.push(child));
                    self.spend_many(names)?;
                }
            }
            next = if self.stack.len() > base { self.stack.pop() } else { None };
        }
        Ok(())
    }

    /// EXISTS does not look at what its query yields.
    fn sub_link(
        &mut self,
        link: &'a nodes::SubLink,
        scope: &Rc<Scope<'a>>,
        ctes: usize,
    ) -> Shaped<()> {
        let query = link.subselect();
        if let Node::SelectStmt(select) = query
            && link.sub_link_type == raw::SubLinkType::EXISTS_SUBLINK
            && select.op == raw::SetOperation::SETOP_NONE
        {
            return self.deeper(|this| this.exists(select, scope, ctes));
        }
        self.query(query, Some(scope), ctes, Yield::Ignored).map(|_outputs| ())
    }

    fn column(&mut self, column: &'a nodes::ColumnRef, scope: &Rc<Scope<'a>>) {
        let fields = column.fields();
        let starred = matches!(fields.iter().next_back(), Some(Node::A_Star(_)));
        if starred {
            let mut all = Vec::new();
            for source in scope.star(last_string(fields)) {
                match source {
                    Source::Relation(index) => all.push(*index),
                    Source::Join(inner) => all.extend(inner),
                    // Their own stars count; what else they yield is named.
                    Source::Derived(_) | Source::Opaque => {}
                }
            }
            self.starred(&all);
            return;
        }
        let Some(written) = Qualified::of_list(fields) else { return };
        let found = match written.schema {
            None => scope.unqualified(written.name),
            Some(qualifier) => scope.qualified(qualifier, written.name),
        };
        self.starred(&found.rows);
        let resolved_inside = found.of.is_empty() && found.is_certain();
        if !resolved_inside {
            self.columns.insert(written.name, &found.of);
        }
    }

    /// A star, or a whole row.
    fn starred(&mut self, of: &[u32]) {
        self.shape.star |= !of.is_empty();
        self.all_columns(of);
    }

    /// Every column of these references may be used.
    pub(super) fn all_columns(&mut self, of: &[u32]) {
        for index in of {
            if let Some(one) = self.at(*index) {
                one.all_columns = true;
            }
        }
    }

    /// Sort keys, which may be the name or the number of an output.
    pub(super) fn order(
        &mut self,
        select: &'a nodes::SelectStmt,
        scope: &Rc<Scope<'a>>,
        ctes: usize,
    ) -> Shaped<()> {
        for sort in select.sort_clause() {
            let key = sort.node();
            let output = output_of(select, key);
            self.shape.random_order |= self.is_random(output.unwrap_or(key))?;
            if output.is_none() {
                self.expression(key, scope, ctes)?;
            }
        }
        Ok(())
    }

    fn is_random(&self, node: Node<'_>) -> Shaped<bool> {
        let mut stack = Vec::new();
        let mut next = Some(node);
        while let Some(node) = next {
            self.spend()?;
            if let Node::FuncCall(call) = node
                && Qualified::of_list(call.funcname())
                    .is_some_and(|written| RANDOM.contains(&written.name))
            {
                return Ok(true);
            }
            let names = each_branch(node, &mut |child| stack.push(child));
            self.spend_many(names)?;
            next = stack.pop();
        }
        Ok(false)
    }
}

/// How many rows a query lets through.
pub(super) fn limit(select: &nodes::SelectStmt) -> RowLimit {
    let Some(node) = present(select.limit_count()) else { return RowLimit::Missing };
    if let Node::ParamRef(parameter) = literal::bare(node) {
        return u32::try_from(parameter.number).map_or(RowLimit::NotConstant, RowLimit::Parameter);
    }
    if let Node::A_Const(constant) = node
        && !constant.isnull
        && let Some(ConstValue::Integer(rows)) = constant.val()
    {
        return u64::try_from(rows).map_or(RowLimit::NotConstant, RowLimit::Rows);
    }
    match evaluate(node, 0) {
        Value::Number(rows) => rounded(rows),
        Value::Text(text) => text.trim().parse().map_or(RowLimit::NotConstant, rounded),
        Value::Null => RowLimit::All,
        Value::Bool(_) | Value::Range { .. } | Value::Unknown | Value::TooDeep => {
            RowLimit::NotConstant
        }
    }
}

/// The next whole number, as text; a number too great for that is no constant.
fn rounded(rows: f64) -> RowLimit {
    let up = rows.ceil();
    if up < 0.0 {
        return RowLimit::NotConstant;
    }
    format!("{up:.0}").parse().map_or(RowLimit::NotConstant, RowLimit::Rows)
}

/// The output that a sort or group key stands for, by its alias or its number.
pub(super) fn output_of<'a>(select: &'a nodes::SelectStmt, key: Node<'a>) -> Option<Node<'a>> {
    let targets = || select.target_list().iter();
    if let Node::ColumnRef(column) = key {
        let mut names = each_string(column.fields());
        let (Some(only), None) = (names.next(), names.next()) else { return None };
        return targets().find(|target| target.name() == Some(only)).map(nodes::ResTarget::val);
    }
    if let Node::A_Const(_) = key
        && let Literal::Value(ConstValue::Integer(number)) = literal::constant(key)
    {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        return targets().nth(index).map(nodes::ResTarget::val);
    }
    None
}
