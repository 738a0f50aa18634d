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
use crate::resolve::{Qualified, strings, type_names};

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
        let mut stack = vec![root];
        while let Some(node) = stack.pop() {
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
                    each_child(other, &mut |child| stack.push(child));
                }
            }
        }
        Ok(())
    }

    /// What a node calls beside what it holds.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other nodes call nothing by name")]
    pub(super) fn note_call(&mut self, node: Node<'a>) {
        if let Some(Older::Call(name)) = self.older(node) {
            self.touched.calls.insert(Call::Older(name));
        }
        match node {
            Node::FuncCall(call) => {
                if let Some(written) = Qualified::of_list(call.funcname()) {
                    let schema = written.schema.map(str::to_owned);
                    let count = count(call);
                    let call = Call::Function(schema, written.name.to_owned(), count);
                    self.touched.calls.insert(call);
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
                self.touched.calls.insert(Call::Conversion);
            }
            Node::SortBy(sort) => self.operator(sort.use_op()),
            Node::TypeName(name) => {
                let names = type_names(name);
                if let Some(written) = Qualified::of(&names) {
                    let schema =
                        newer::type_schema(written.schema, written.name, self.server_major);
                    let schema = schema.map(str::to_owned);
                    self.touched.calls.insert(Call::Cast(schema, written.name.to_owned()));
                }
            }
            Node::SQLValueFunction(function) => {
                let name = super::figure::value_function(function.op).to_owned();
                self.touched.calls.insert(Call::Grammar(name));
            }
            Node::A_Indirection(indirection) => {
                // `(x).f` is PostgreSQL for `f(x)`.
                for name in strings(indirection.indirection()) {
                    self.touched.calls.insert(Call::Attribute(name.to_owned()));
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
        self.touched.calls.insert(Call::Operator(None, "=".to_owned()));
    }

    pub(super) fn operator(&mut self, name: &'a NodeList) {
        if let Some(written) = Qualified::of_list(name) {
            let schema = written.schema.map(str::to_owned);
            self.touched.calls.insert(Call::Operator(schema, written.name.to_owned()));
        }
    }

    fn column(
        &mut self,
        column: &'a nodes::ColumnRef,
        namespace: &Rc<Namespace<'a>>,
        role: ColumnRole,
    ) -> Resolved<()> {
        let names = strings(column.fields());
        let star = names.len() < column.fields().len();
        if star {
            return self.row_star(&names, namespace, role);
        }
        match names.as_slice() {
            [] => Err(Unknown::NotInCatalog),
            [name] => self.bare_column(name, namespace, role),
            [table, name] => self.qualified(None, table, name, (namespace, role)),
            [.., schema, table, name] => {
                self.qualified(Some(schema), table, name, (namespace, role))
            }
        }
    }

    /// A column of the innermost level that has one of that name, else a whole row.
    fn bare_column(
        &mut self,
        name: &str,
        namespace: &Rc<Namespace<'a>>,
        role: ColumnRole,
    ) -> Resolved<()> {
        let (found, perhaps) = namespace.column(name);
        if !found.is_empty() {
            for found in found {
                self.use_found(found, role)?;
            }
            return Ok(());
        }
        match namespace.item(None, name).cloned() {
            Some(item) => self.use_row(&item, role),
            None if perhaps => Ok(()),
            None => Err(Unknown::NotInCatalog),
        }
    }

    /// `t.c`: a column, or PostgreSQL for `c(t)`.
    fn qualified(
        &mut self,
        schema: Option<&str>,
        table: &str,
        name: &str,
        (namespace, role): (&Rc<Namespace<'a>>, ColumnRole),
    ) -> Resolved<()> {
        let Some(item) = namespace.item(schema, table).cloned() else {
            return Err(Unknown::NotInCatalog);
        };
        match item.find(name) {
            found @ (Found::Stored(..) | Found::Derived(..)) => self.use_found(found, role),
            Found::Perhaps => {
                self.touched.calls.insert(Call::Attribute(name.to_owned()));
                Ok(())
            }
            Found::Not => {
                self.touched.calls.insert(Call::Attribute(name.to_owned()));
                self.use_row(&item, role)
            }
        }
    }

    /// `t.*` inside an expression: the row, or all its columns.
    fn row_star(
        &mut self,
        names: &[&str],
        namespace: &Rc<Namespace<'a>>,
        role: ColumnRole,
    ) -> Resolved<()> {
        let found = match names {
            [] => {
                for item in namespace.items.iter().filter(|item| item.visible) {
                    self.use_all(item, role)?;
                }
                return Ok(());
            }
            [name] => namespace.item(None, name),
            [.., schema, name] => namespace.item(Some(schema), name),
        };
        let Some(item) = found.cloned() else { return Err(Unknown::NotInCatalog) };
        self.use_row(&item, role)?;
        self.use_all(&item, role).map(|_outputs| ())
    }

    /// Every function that a written name may mean.
    pub(super) fn functions_named(
        &self,
        written: Qualified<'a>,
    ) -> impl Iterator<Item = &'a Function> {
        let schemas = callable(written.schema, self.path);
        let catalog = self.catalog;
        schemas
            .into_iter()
            .flat_map(move |schema| catalog.functions(schema, written.name))
            .collect::<Vec<_>>()
            .into_iter()
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
