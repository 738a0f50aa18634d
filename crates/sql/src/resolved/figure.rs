//! The name that the server gives to an output column without an alias
//! (`FigureColnameInternal` in PostgreSQL's `parse_target.c`).
//!
//! Invariant: a name that is not the server's would hide or invent a column, so each rule is the
//! server's, and the order of strengths, too. Where only the server's own expansion of a star tells the
//! name, there is none.

use crate::parse::{Node, nodes, raw};
use crate::resolve::{last_string, last_type_name};

/// What a column is called if nothing gives it a name.
const NAMELESS: &str = "?column?";

/// Most nodes that are looked through for a name.
const MAX_STEPS: usize = 1_000;

/// The name; `None` if it takes types to tell.
///
/// Walks down to what names the column; a weak name on the way (a cast, a CASE) waits for a strong
/// one below it.
pub(crate) fn of(mut node: Node<'_>) -> Option<&str> {
    let mut weak = None;
    for _ in 0..MAX_STEPS {
        match step(node) {
            Step::Name(name) => return Some(name),
            Step::Nothing => return Some(weak.unwrap_or(NAMELESS)),
            Step::Unknown => return None,
            Step::Down(next) => node = next,
            Step::Column(next) => {
                weak = None;
                node = next;
            }
            Step::Weak(name, next) => {
                weak = weak.or(name);
                node = next;
            }
        }
    }
    None
}

/// Whether the server puts columns in place of a target: `t.*`, `(x).*`.
#[expect(clippy::wildcard_enum_match_arm, reason = "a star ends nothing else")]
pub(crate) fn is_star(target: Node<'_>) -> bool {
    let last = match target {
        Node::ColumnRef(column) => column.fields().iter().next_back(),
        Node::A_Indirection(indirection) => indirection.indirection().iter().next_back(),
        _ => None,
    };
    matches!(last, Some(Node::A_Star(_)))
}

enum Step<'a> {
    Name(&'a str),
    Nothing,
    /// Only types tell.
    Unknown,
    Down(Node<'a>),
    /// The column of a sub-select: its name is strong, even if it is a weak one there.
    Column(Node<'a>),
    /// The outermost weak name wins if there is no strong one.
    Weak(Option<&'a str>, Node<'a>),
}

fn named(name: Option<&str>) -> Step<'_> {
    name.map_or(Step::Nothing, Step::Name)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all other nodes leave a column nameless")]
fn step(node: Node<'_>) -> Step<'_> {
    match node {
        Node::ColumnRef(column) => named(last_string(column.fields())),
        Node::A_Indirection(indirection) => match last_string(indirection.indirection()) {
            Some(name) => Step::Name(name),
            None => Step::Down(indirection.arg()),
        },
        Node::FuncCall(call) => named(last_string(call.funcname())),
        Node::A_Expr(expression) if expression.kind == raw::A_Expr_Kind::AEXPR_NULLIF => {
            Step::Name("nullif")
        }
        Node::TypeCast(cast) => {
            let name = cast.type_name().and_then(last_type_name);
            Step::Weak(name, cast.arg())
        }
        Node::CollateClause(collate) => Step::Down(collate.arg()),
        Node::GroupingFunc(_) => Step::Name("grouping"),
        Node::MergeSupportFunc(_) => Step::Name("merge_action"),
        Node::SubLink(link) => sublink(link),
        Node::CaseExpr(case) => Step::Weak(Some("case"), case.defresult()),
        Node::A_ArrayExpr(_) => Step::Name("array"),
        Node::RowExpr(_) => Step::Name("row"),
        Node::CoalesceExpr(_) => Step::Name("coalesce"),
        Node::MinMaxExpr(extreme) if extreme.op == raw::MinMaxOp::IS_GREATEST => {
            Step::Name("greatest")
        }
        Node::MinMaxExpr(_) => Step::Name("least"),
        Node::SQLValueFunction(function) => Step::Name(value_function(function.op)),
        Node::XmlExpr(xml) => xml_name(xml.op).map_or(Step::Nothing, Step::Name),
        Node::XmlSerialize(_) => Step::Name("xmlserialize"),
        Node::JsonParseExpr(_) => Step::Name("json"),
        Node::JsonScalarExpr(_) => Step::Name("json_scalar"),
        Node::JsonSerializeExpr(_) => Step::Name("json_serialize"),
        Node::JsonObjectConstructor(_) => Step::Name("json_object"),
        Node::JsonArrayConstructor(_) | Node::JsonArrayQueryConstructor(_) => {
            Step::Name("json_array")
        }
        Node::JsonObjectAgg(_) => Step::Name("json_objectagg"),
        Node::JsonArrayAgg(_) => Step::Name("json_arrayagg"),
        Node::JsonFuncExpr(function) => match function.op {
            raw::JsonExprOp::JSON_EXISTS_OP => Step::Name("json_exists"),
            raw::JsonExprOp::JSON_QUERY_OP => Step::Name("json_query"),
            raw::JsonExprOp::JSON_VALUE_OP => Step::Name("json_value"),
            _ => Step::Nothing,
        },
        _ => Step::Nothing,
    }
}

fn sublink(link: &nodes::SubLink) -> Step<'_> {
    match link.sub_link_type {
        raw::SubLinkType::EXISTS_SUBLINK => Step::Name("exists"),
        raw::SubLinkType::ARRAY_SUBLINK => Step::Name("array"),
        raw::SubLinkType::EXPR_SUBLINK => first_target(link.subselect()),
        _ => Step::Nothing,
    }
}

/// A scalar sub-select is called what its one column is called.
fn first_target(query: Node<'_>) -> Step<'_> {
    let Node::SelectStmt(mut select) = query else { return Step::Nothing };
    for _ in 0..MAX_STEPS {
        match select.larg() {
            Some(left) => select = left,
            None => break,
        }
    }
    if select.larg().is_some() {
        return Step::Unknown;
    }
    match select.target_list().iter().next() {
        Some(target) => match target.name() {
            Some(name) => Step::Name(name),
            None if is_star(target.val()) => Step::Unknown,
            None => Step::Column(target.val()),
        },
        // VALUES names its columns itself.
        None if !select.values_lists().is_empty() => Step::Name("column1"),
        None => Step::Nothing,
    }
}

pub(super) fn value_function(op: raw::SQLValueFunctionOp::Type) -> &'static str {
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
        _ => NAMELESS,
    }
}

fn xml_name(op: raw::XmlExprOp::Type) -> Option<&'static str> {
    use raw::XmlExprOp as Op;
    match op {
        Op::IS_XMLCONCAT => Some("xmlconcat"),
        Op::IS_XMLELEMENT => Some("xmlelement"),
        Op::IS_XMLFOREST => Some("xmlforest"),
        Op::IS_XMLPARSE => Some("xmlparse"),
        Op::IS_XMLPI => Some("xmlpi"),
        Op::IS_XMLROOT => Some("xmlroot"),
        _ => None,
    }
}
