//! Nodes that are not statements: relations, calls, casts, and the places that hide them.
//!
//! Invariant: a node without an arm of its own has its children visited, all of them.

use model::{Access, FunctionUse, Unknown};

use crate::analysis::{NameKind, NameRef};
use crate::children::ROOM;
use crate::literal;
use crate::newer::{self, Older};
use crate::parse::{Node, NodeList, nodes, raw};
use crate::resolve::{Qualified, function_in_text, strings, type_names};
use crate::value::{Value, evaluate};
use crate::walk::{Task, Touch, Walk};

/// Columns of well-known set-returning functions, which `f.key` may simply mean.
const OUTPUT_COLUMNS: &[&str] = &["key", "value", "ordinality"];

impl<'a> Walk<'a, '_> {
    /// Visits a node that is no statement.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "nodes without a meaning of their own: `each_child` is the total table"
    )]
    pub(crate) fn part(&mut self, task: Task<'a>) {
        match task.node {
            Node::RangeVar(var) => self.relation(var, task),
            // These hand down how they are used: FOR UPDATE locks through joins and sub-selects.
            Node::NodeList(_)
            | Node::JoinExpr(_)
            | Node::RangeSubselect(_)
            | Node::RangeTableSample(_) => {
                self.tablesample(task);
                self.push_all(task, task.touch);
            }
            Node::RangeFunction(function) => self.function_in_from(function, task),
            Node::IntoClause(_) | Node::AlterTableCmd(_) | Node::PartitionCmd(_) => {
                self.push_all(task, Touch::Define);
            }
            Node::VacuumRelation(_) => self.push_all(task, Touch::Write),
            // The names are aliases of the FROM clause.
            Node::LockingClause(_) => {}
            Node::PublicationObjSpec(spec) => self.published(spec, task),
            Node::DefElem(element) => self.option(element, task),
            Node::FuncCall(_)
            | Node::A_Expr(_)
            | Node::SubLink(_)
            | Node::SortBy(_)
            | Node::A_Indirection(_)
            | Node::ColumnRef(_)
            | Node::TypeCast(_)
            | Node::TypeName(_)
            | Node::CurrentOfExpr(_)
            | Node::ObjectWithArgs(_) => {
                self.expression(task.node);
                self.push_all(task, Touch::Read);
            }
            other => {
                self.grammar_call(other);
                self.push_all(task, Touch::Read);
            }
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "only called for the nodes listed")]
    fn expression(&mut self, node: Node<'a>) {
        match node {
            Node::FuncCall(call) => self.call(call),
            Node::A_Expr(expression) => self.operator(expression.name()),
            Node::SubLink(link) => self.operator(link.oper_name()),
            Node::SortBy(sort) => self.operator(sort.use_op()),
            Node::A_Indirection(indirection) => {
                // `(x).f` is PostgreSQL for `f(x)`.
                for name in strings(indirection.indirection()) {
                    self.attribute(name);
                }
            }
            Node::ColumnRef(column) => self.column(column),
            Node::TypeCast(cast) => self.cast(cast),
            Node::TypeName(name) if name.pct_type => self.type_of_column(name),
            Node::CurrentOfExpr(current) => {
                let name = current.cursor_name().unwrap_or_default().to_owned();
                self.found.references.push(NameRef { kind: NameKind::Cursor, name });
            }
            Node::ObjectWithArgs(named) => self.routine(named),
            _ => {}
        }
    }

    fn tablesample(&mut self, task: Task<'a>) {
        if let Node::RangeTableSample(sample) = task.node
            && let Some(method) = Qualified::of_list(sample.method())
            && !matches!(method.name, "system" | "bernoulli")
        {
            self.found.functions.add(method.function());
        }
    }

    fn function_in_from(&mut self, function: &'a nodes::RangeFunction, task: Task<'a>) {
        match function.alias() {
            Some(alias) => self.row_functions.extend(alias.aliasname()),
            None => {
                for item in function.functions() {
                    match first_call(&item) {
                        Some(call) => {
                            let name = Qualified::of_list(call.funcname());
                            self.row_functions.extend(name.map(|name| name.name));
                        }
                        // COALESCE, CAST and their like: the server makes up a name.
                        None => self.row_function_of_any_name = true,
                    }
                }
            }
        }
        self.push_all(task, Touch::Read);
    }

    fn column(&mut self, column: &'a nodes::ColumnRef) {
        // What they are called matters where FROM has functions.
        if column.fields().len() > 1 {
            if self.qualified_columns.capacity() == 0 {
                self.qualified_columns.reserve(ROOM);
            }
            self.qualified_columns.push(column);
        }
    }

    /// An operator outside `pg_catalog` runs a function of somebody's.
    fn operator(&mut self, name: &'a NodeList) {
        if name.len() > 1
            && let Some(written) = Qualified::of_list(name)
            && written.schema != Some("pg_catalog")
        {
            self.found.functions.add(written.function());
        }
    }

    /// A constant cast to `regclass` or `regproc` names a relation or a function.
    fn cast(&mut self, cast: &'a nodes::TypeCast) {
        let Some(target) = cast.type_name() else { return };
        let names = type_names(target);
        let Some(last) = names.last() else { return };
        if !matches!(*last, "regclass" | "regproc" | "regprocedure") {
            return;
        }
        let array = !target.array_bounds().is_empty();
        if let Some(text) = literal::text(cast.arg()) {
            self.named_in_text(last, text, array);
        } else if let Value::Text(text) = evaluate(cast.arg(), 0) {
            self.named_in_text(last, &text, array);
        }
    }

    /// A text that becomes a value of the type `kind`.
    pub(crate) fn named_in_text(&mut self, kind: &str, text: &str, array: bool) {
        match kind {
            "regclass" if array => self.found.relations.unknown(Unknown::NotConstant),
            "regproc" | "regprocedure" if array => {
                self.found.functions.unknown(Unknown::NotConstant);
            }
            "regclass" => {
                // An OID or a malformed name reads nothing by itself.
                if let Some(relation) = self.relation_in_text(text) {
                    let access = Access::Read;
                    self.found.relations.add(model::RelationUse { relation, access });
                }
            }
            "regproc" | "regprocedure" => {
                if let Some(function) = function_in_text(text) {
                    self.found.functions.add(function);
                }
            }
            _ => {}
        }
    }

    /// `schema.table.column%TYPE`.
    fn type_of_column(&mut self, name: &'a nodes::TypeName) {
        let names = type_names(name);
        if let Some((_column, table)) = names.split_last()
            && let Some(table) = Qualified::of(table)
        {
            self.use_relation(table, Access::Read);
        }
    }

    /// A routine that DDL names: it may get a new name, owner or trigger, so it counts as used.
    fn routine(&mut self, named: &'a nodes::ObjectWithArgs) {
        if let Some(written) = Qualified::of_list(named.objname())
            && !written.name.bytes().all(|byte| b"+-*/<>=~!@#%^&|`?".contains(&byte))
        {
            self.indirect(written);
        }
    }

    fn published(&mut self, spec: &'a nodes::PublicationObjSpec, task: Task<'a>) {
        use raw::PublicationObjSpecType as Kind;
        if spec.pubobjtype != Kind::PUBLICATIONOBJ_TABLE && spec.pubtable().is_none() {
            self.found.relations.unknown(Unknown::UnknownStatement);
        }
        self.push_all(task, Touch::Read);
    }

    /// `OWNED BY table.column` of a sequence; other options only hold expressions.
    fn option(&mut self, element: &'a nodes::DefElem, task: Task<'a>) {
        match (element.defname(), element.arg()) {
            (Some("owned_by"), Node::NodeList(list)) => {
                let names = strings(list);
                if let Some((_column, table)) = names.split_last()
                    && let Some(table) = Qualified::of(table)
                {
                    self.use_relation(table, Access::Define);
                }
            }
            (Some("sequence_name"), Node::NodeList(list)) => {
                if let Some(sequence) = Qualified::of_list(list) {
                    self.use_relation(sequence, Access::Define);
                }
            }
            _ => {}
        }
        self.push_all(task, Touch::Read);
    }

    /// Grammar forms that are calls, or that an older server reads as calls of the same name.
    fn grammar_call(&mut self, node: Node<'a>) {
        let name = if let Node::SQLValueFunction(function) = node {
            Some(value_function(function.op))
        } else {
            // A list of blocked names means the form, too, whichever server reads it.
            newer::form(node).and_then(|newer| match newer.older {
                Older::Call(name) => Some(name),
                Older::Column(_) => None,
            })
        };
        if let Some(name) = name {
            self.found.functions.add(FunctionUse { schema: None, name: name.to_owned() });
        }
    }
}

/// A column that may be a function of what qualifies it, with that.
pub(crate) fn qualified(column: &nodes::ColumnRef) -> Option<(&str, &str)> {
    let mut fields = column.fields().iter().rev();
    let last = fields.next().and_then(Node::as_str)?;
    let qualifier = fields.next().and_then(Node::as_str)?;
    (!OUTPUT_COLUMNS.contains(&last)).then_some((qualifier, last))
}

/// `ROWS FROM` items are lists of a call and its column definitions.
fn first_call<'a>(item: &Node<'a>) -> Option<&'a nodes::FuncCall> {
    let first = if let Node::NodeList(list) = item { list.first()? } else { *item };
    if let Node::FuncCall(call) = first { Some(call) } else { None }
}

fn value_function(op: raw::SQLValueFunctionOp::Type) -> &'static str {
    use raw::SQLValueFunctionOp as Op;
    match op {
        Op::SVFOP_CURRENT_DATE => "current_date",
        Op::SVFOP_CURRENT_TIME | Op::SVFOP_CURRENT_TIME_N => "current_time",
        Op::SVFOP_CURRENT_TIMESTAMP | Op::SVFOP_CURRENT_TIMESTAMP_N => "current_timestamp",
        Op::SVFOP_LOCALTIME | Op::SVFOP_LOCALTIME_N => "localtime",
        Op::SVFOP_LOCALTIMESTAMP | Op::SVFOP_LOCALTIMESTAMP_N => "localtimestamp",
        Op::SVFOP_CURRENT_ROLE => "current_role",
        Op::SVFOP_CURRENT_USER => "current_user",
        Op::SVFOP_USER => "user",
        Op::SVFOP_SESSION_USER => "session_user",
        Op::SVFOP_CURRENT_CATALOG => "current_catalog",
        Op::SVFOP_CURRENT_SCHEMA => "current_schema",
        _ => "unknown_value_function",
    }
}
