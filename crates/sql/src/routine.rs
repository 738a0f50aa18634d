//! CREATE and ALTER FUNCTION: bodies, languages, settings.
//!
//! Invariant: a body that is not SQL is opaque, and so is SQL that does not parse.

use model::{ServerAccess, Unknown};

use crate::parse::{Node, nodes};
use crate::resolve::strings;
use crate::walk::{self, Task, Touch, Walk};

/// CREATE FUNCTION and PROCEDURE.
pub(crate) fn create<'a>(
    walk: &mut Walk<'a, '_>,
    function: &'a nodes::CreateFunctionStmt,
    task: Task<'a>,
) {
    let mut language = None;
    let mut source = Vec::new();
    for option in function.options() {
        match (option.defname(), option.arg()) {
            (Some("language"), Node::String(name)) => language = name.sval(),
            (Some("as"), Node::NodeList(list)) => source = strings(list),
            (Some("set"), Node::VariableSetStmt(set)) => walk.store(set),
            (Some("support"), Node::NodeList(list)) => walk.routine_list(list),
            _ => {}
        }
    }
    body(walk, function.sql_body(), language, &source, task);
    push_rest(walk, task);
}

/// ALTER FUNCTION, PROCEDURE and ROUTINE.
pub(crate) fn alter<'a>(
    walk: &mut Walk<'a, '_>,
    function: &'a nodes::AlterFunctionStmt,
    task: Task<'a>,
) {
    for action in function.actions() {
        if let (Some("set"), Node::VariableSetStmt(set)) = (action.defname(), action.arg()) {
            walk.store(set);
        }
    }
    push_rest(walk, task);
}

/// Names, types and defaults; options are read above, the body is scheduled by [`body`].
fn push_rest<'a>(walk: &mut Walk<'a, '_>, task: Task<'a>) {
    walk.push_children(task, |child| {
        let handled = matches!(child, Node::DefElem(_) | Node::ReturnStmt(_) | Node::NodeList(_));
        (!handled).then_some(Touch::Read)
    });
}

fn body<'a>(
    walk: &mut Walk<'a, '_>,
    atomic: Node<'a>,
    language: Option<&str>,
    source: &[&str],
    task: Task<'a>,
) {
    if !matches!(atomic, Node::None) {
        push_statements(walk, atomic, task);
        return;
    }
    let is_sql = language.is_some_and(|language| language.eq_ignore_ascii_case("sql"));
    match source {
        // Names in a stored text are looked up under the path of whoever calls.
        [text] if is_sql => {
            let inner = walk::text(text, walk.environment.elsewhere());
            walk.found.merge(inner);
        }
        _ => {
            walk.found.relations.unknown(Unknown::OpaqueCode);
            walk.found.functions.unknown(Unknown::OpaqueCode);
            if language.is_none_or(|language| language.eq_ignore_ascii_case("c")) {
                walk.found.server_access.add(ServerAccess::File);
            }
        }
    }
}

/// BEGIN ATOMIC is a list of a list of statements; RETURN stands alone.
fn push_statements<'a>(walk: &mut Walk<'a, '_>, node: Node<'a>, task: Task<'a>) {
    if let Node::NodeList(list) = node {
        for inner in list {
            if let Node::NodeList(statements) = inner {
                statements.iter().for_each(|statement| push_statement(walk, statement, task));
            } else {
                push_statement(walk, inner, task);
            }
        }
    } else {
        push_statement(walk, node, task);
    }
}

/// `RETURN expression` is a part of CREATE FUNCTION, not a statement that a client can send.
fn push_statement<'a>(walk: &mut Walk<'a, '_>, node: Node<'a>, task: Task<'a>) {
    if let Node::ReturnStmt(statement) = node {
        walk.push(statement.returnval(), task, Touch::Read);
    } else {
        walk.push_body(node, task);
    }
}
