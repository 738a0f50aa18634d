//! Expressions: column references, calls, sub-selects.
//!
//! Invariant: iterative over the expression itself; only a sub-select goes a level deeper.

use std::rc::Rc;

use model::{ColumnRole, Unknown};

use super::bind::callable;
use super::namespace::{CteScope, Found, Namespace};
use super::{Call, Resolved, Resolver};
use crate::catalog::Function;
use crate::children::each_child;
use crate::newer::{self, Older};
use crate::parse::{Node, NodeList, nodes, raw};
use crate::resolve::{Dotted, Qualified, each_string, type_written};

impl<'a> Resolver<'a> {
    pub(super) fn expressions(
        &mut self,
        list: &'a NodeList,
        namespace: &Rc<Namespace<'a>>,
        ctes: CteScope,
        role: ColumnRole,
    ) -> Resolved<()> {
        for node in list {
            self.expression(node, namespace, ctes, role)?;
        }
        Ok(())
    }

    /// Everything that an expression reads and calls.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "nodes without a meaning of their own: `each_child` is the total table"
    )]
    pub(super) fn expression(
        &mut self,
        root: Node<'a>,
        namespace: &Rc<Namespace<'a>>,
        ctes: CteScope,
        role: ColumnRole,
    ) -> Resolved<()> {
        if matches!(root, Node::None) {
            return Ok(());
        }
        let base = self.stack.len();
        let mut next = Some(root);
        while let Some(node) = next {
            self.spend(1)?;
            match node {
                Node::ColumnRef(column) => self.column(column, namespace, role)?,
                Node::SelectStmt(_) => {
                    self.query(node, Some(namespace), ctes)?;
                }
                other if let Some(Older::Column(name)) = self.older(other) => {
                    self.bare_column(name, namespace, role)?;
                }
                other => {
                    self.note_call(other);
                    each_child(other, &mut |child| self.stack.push(child));
                }
            }
            next = if self.stack.len() > base { self.stack.pop() } else { None };
        }
        Ok(())
    }

    /// What a node calls beside what it holds.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other nodes call nothing by name")]
    pub(super) fn note_call(&mut self, node: Node<'a>) {
        if let Some(Older::Call(name)) = self.older(node) {
            self.touched.calls.add(Call::Older(name));
        }
        match node {
            Node::FuncCall(call) => {
                if let Some(written) = Qualified::of_list(call.funcname()) {
                    let call = Call::Function(written.schema, written.name, count(call));
                    self.touched.calls.add(call);
                }
            }
            Node::A_Expr(expression) => self.operator(expression.name()),
            Node::SubLink(link) => {
                self.operator(link.oper_name());
                if link.sub_link_type == raw::SubLinkType::ANY_SUBLINK
                    && link.oper_name().is_empty()
                {
                    self.equals();
                }
            }
            Node::CaseExpr(case) if !matches!(case.arg(), Node::None) => self.equals(),
            Node::TypeCast(cast) if !is_plain(cast.arg()) => {
                self.touched.calls.add(Call::Conversion);
            }
            Node::SortBy(sort) => self.operator(sort.use_op()),
            Node::TypeName(name) => {
                if let Some(written) = type_written(name) {
                    let schema =
                        newer::type_schema(written.schema, written.name, self.server_major);
                    self.touched.calls.add(Call::Cast(schema, written.name));
                }
            }
            Node::SQLValueFunction(function) => {
                let name = super::figure::value_function(function.op);
                self.touched.calls.add(Call::Grammar(name));
            }
            Node::A_Indirection(indirection) => {
                // `(x).f` is PostgreSQL for `f(x)`.
                for name in each_string(indirection.indirection()) {
                    self.touched.calls.add(Call::Attribute(name));
                }
            }
            _ => {}
        }
    }

    /// What the server reads in place of a node, if it is older than the form.
    fn older(&self, node: Node<'_>) -> Option<Older> {
        newer::form(node)?.read_by(self.server_major)
    }

    /// The operator that the server looks for where USING, NATURAL, IN and CASE write none.
    pub(super) fn equals(&mut self) {
        self.touched.calls.add(Call::Operator(None, "="));
    }

    pub(super) fn operator(&mut self, name: &'a NodeList) {
        if let Some(written) = Qualified::of_list(name) {
            self.touched.calls.add(Call::Operator(written.schema, written.name));
        }
    }

    fn column(
        &mut self,
        column: &'a nodes::ColumnRef,
        namespace: &Rc<Namespace<'a>>,
        role: ColumnRole,
    ) -> Resolved<()> {
        let names = Dotted::of(column.fields());
        if names.count < column.fields().len() {
            return self.row_star(names, namespace, role);
        }
        match names.count {
            0 => Err(Unknown::NotInCatalog),
            1 => self.bare_column(names.name, namespace, role),
            2 => self.qualified(None, names, (namespace, role)),
            3.. => self.qualified(Some(names.schema), names, (namespace, role)),
        }
    }

    /// A column of the innermost level that has one of that name, else a whole row.
    fn bare_column(
        &mut self,
        name: &str,
        namespace: &Rc<Namespace<'a>>,
        role: ColumnRole,
    ) -> Resolved<()> {
        let (hits, perhaps) = namespace.candidates(name);
        for hit in hits.all().iter().chain(&perhaps) {
            self.use_found(*hit, role)?;
        }
        if !hits.all().is_empty() {
            return Ok(());
        }
        match namespace.item(None, name) {
            Some(item) => self.use_row(item, role),
            None if !perhaps.is_empty() => Ok(()),
            None => Err(Unknown::NotInCatalog),
        }
    }

    /// `t.c`: a column, or PostgreSQL for `c(t)`.
    fn qualified(
        &mut self,
        schema: Option<&str>,
        names: Dotted<'a>,
        (namespace, role): (&Rc<Namespace<'a>>, ColumnRole),
    ) -> Resolved<()> {
        let Some(item) = namespace.item(schema, names.table) else {
            return Err(Unknown::NotInCatalog);
        };
        match item.find(names.name) {
            found @ (Found::Stored(..) | Found::Derived(_)) => self.use_found(found, role),
            found @ (Found::Perhaps(_) | Found::Not) => {
                self.touched.calls.add(Call::Attribute(names.name));
                self.use_found(found, role)?;
                self.use_row(item, role)
            }
        }
    }

    /// `t.*` inside an expression: the row, or all its columns.
    fn row_star(
        &mut self,
        names: Dotted<'a>,
        namespace: &Rc<Namespace<'a>>,
        role: ColumnRole,
    ) -> Resolved<()> {
        let found = match names.count {
            0 => {
                for item in namespace.items.iter().filter(|item| item.visible) {
                    self.use_all(item, role)?;
                }
                return Ok(());
            }
            1 => namespace.item(None, names.name),
            2.. => namespace.item(Some(names.table), names.name),
        };
        let Some(item) = found else { return Err(Unknown::NotInCatalog) };
        self.use_row(item, role)?;
        self.use_all(item, role).map(|_outputs| ())
    }

    /// Every function that a written name may mean.
    pub(super) fn functions_named(
        &self,
        written: Qualified<'a>,
    ) -> impl Iterator<Item = &'a Function> {
        let catalog = self.catalog;
        callable(written.schema, self.path)
            .flat_map(move |schema| catalog.functions(schema, written.name))
    }
}

/// How many arguments a call has to the server, which counts those of WITHIN GROUP, too.
pub(super) fn count(call: &nodes::FuncCall) -> usize {
    let ordered = if call.agg_within_group { call.agg_order().len() } else { 0 };
    call.args().len() + ordered
}

/// Most casts of casts that are looked through.
const MOST_CASTS: usize = 8;

/// Whether a value certainly has a built-in type: a constant, whatever it was cast to before.
fn is_plain(mut node: Node<'_>) -> bool {
    // Every cast of a chain asks: a long chain is taken for no constant.
    for _ in 0..MOST_CASTS {
        let Node::TypeCast(cast) = node else { break };
        node = cast.arg();
    }
    matches!(node, Node::A_Const(_) | Node::SQLValueFunction(_))
}
