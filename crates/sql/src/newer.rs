//! Grammar that is newer than some server: forms that an older one reads otherwise.
//!
//! The parser here is PostgreSQL 18's. What it reads as a node of its own, an older server may read as
//! a call of somebody's function of that name, or as a column. What an older server cannot read at
//! all (`MERGE … RETURNING`, `AT LOCAL`, `JSON_TABLE (… COLUMNS …)`, `a IS JSON`) it refuses itself.
//!
//! Source: `pg_get_keywords()` of PostgreSQL 14 to 18. A word can change what a text means only by
//! becoming a keyword that is no function's or type's name (`C` and `R` there). These did:
//!
//! | since | words |
//! | --- | --- |
//! | 16 | `json_array`, `json_arrayagg`, `json_object`, `json_objectagg`, `system_user` |
//! | 17 | `json`, `json_exists`, `json_query`, `json_scalar`, `json_serialize`, `json_table`, `json_value`, `merge_action` |
//!
//! Invariant: a version that is not known is older than everything.

use crate::parse::{Node, nodes, raw};
use crate::resolve::Dotted;

/// What an older server reads in place of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Older {
    /// A call of a function of this name.
    Call(&'static str),
    /// A column of this name.
    Column(&'static str),
}

/// A form with the major version that brought it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Newer {
    pub(crate) since: u16,
    pub(crate) older: Older,
}

impl Newer {
    const fn call(since: u16, name: &'static str) -> Self {
        Self { since, older: Older::Call(name) }
    }

    /// What a server of this version reads in its place; `None` if it knows the form.
    pub(crate) fn read_by(self, server_major: Option<u16>) -> Option<Older> {
        server_major.is_none_or(|major| major < self.since).then_some(self.older)
    }
}

/// The form that a node is, if it is newer than the oldest supported server.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other nodes mean the same everywhere")]
pub(crate) fn form(node: Node<'_>) -> Option<Newer> {
    let newer = match node {
        Node::JsonObjectConstructor(_) => Newer::call(16, "json_object"),
        Node::JsonArrayConstructor(_) | Node::JsonArrayQueryConstructor(_) => {
            Newer::call(16, "json_array")
        }
        Node::JsonObjectAgg(_) => Newer::call(16, "json_objectagg"),
        Node::JsonArrayAgg(_) => Newer::call(16, "json_arrayagg"),
        Node::JsonParseExpr(_) => Newer::call(17, "json"),
        Node::JsonScalarExpr(_) => Newer::call(17, "json_scalar"),
        Node::JsonSerializeExpr(_) => Newer::call(17, "json_serialize"),
        Node::JsonFuncExpr(function) => Newer::call(17, json_function(function.op)),
        Node::JsonTable(_) => Newer::call(17, "json_table"),
        Node::MergeSupportFunc(_) => Newer::call(17, "merge_action"),
        Node::FuncCall(call) => return plain(call),
        _ => return None,
    };
    Some(newer)
}

/// Calls that the grammar writes itself, with `pg_catalog` before the name.
fn plain(call: &nodes::FuncCall) -> Option<Newer> {
    let names = Dotted::of(call.funcname());
    if (names.count, names.table) != (2, "pg_catalog") {
        return None;
    }
    match names.name {
        "json_object" => Some(Newer::call(16, "json_object")),
        "system_user" if call.funcformat == raw::CoercionForm::COERCE_SQL_SYNTAX => {
            Some(Newer { since: 16, older: Older::Column("system_user") })
        }
        _ => None,
    }
}

/// The schema that a server looks a type up in: `json` is a word of the grammar since 17, which puts
/// `pg_catalog` before it; to an older server it is a name like any other.
pub(crate) fn type_schema<'a>(
    schema: Option<&'a str>,
    name: &str,
    server_major: Option<u16>,
) -> Option<&'a str> {
    let bare = name == "json"
        && schema == Some("pg_catalog")
        && server_major.is_none_or(|major| major < 17);
    schema.filter(|_| !bare)
}

fn json_function(op: raw::JsonExprOp::Type) -> &'static str {
    use raw::JsonExprOp as Op;
    match op {
        Op::JSON_EXISTS_OP => "json_exists",
        Op::JSON_QUERY_OP => "json_query",
        Op::JSON_VALUE_OP => "json_value",
        _ => "json_table",
    }
}
