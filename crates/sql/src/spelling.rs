//! One spelling for expressions that mean the same: to see that both sides of a comparison are.
//!
//! What is here: casts and collations dropped, arithmetic that changes nothing left out, the
//! target's alias removed. What is not: anything that may differ from one call to the next, or that
//! has rows of its own; it has no spelling.

use std::fmt::Write as _;

use crate::limits::MAX_PREDICATE_DEPTH;
use crate::parse::{ConstValue, Node, NodeList, nodes, raw};
use crate::resolve::Qualified;
use crate::seen::Seen;

/// Functions that answer otherwise each time.
pub(crate) const VOLATILE: &[&str] = &[
    "random",
    "random_normal",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "uuid_generate_v4",
    "gen_random_bytes",
    "clock_timestamp",
    "timeofday",
    "nextval",
    "setval",
];

/// The spelling of `node`, as seen from a query of `target` alone.
pub(crate) fn of(node: Node<'_>, target: Option<Seen<'_>>) -> Option<String> {
    let mut text = String::new();
    spell(node, target, &mut text, 0)?;
    Some(text)
}

/// Whether both sides have a spelling, and the same, as seen from a query of `target` alone.
pub(crate) fn are_same(left: Node<'_>, right: Node<'_>, target: Option<Seen<'_>>) -> bool {
    if differ_in_kind(left, right) {
        return false;
    }
    let Some(left) = of(left, target) else { return false };
    of(right, target).is_some_and(|right| left == right)
}

/// Whether both are plain, and not of one kind: a column (`"c".`), a parameter (`$1`), a constant (`7`, `"x"`)
/// are never spelled alike.
#[expect(clippy::wildcard_enum_match_arm, reason = "only these three are plain")]
fn differ_in_kind(left: Node<'_>, right: Node<'_>) -> bool {
    let kind = |node| match node {
        Node::ColumnRef(_) => Some(0),
        Node::ParamRef(_) => Some(1),
        Node::A_Const(_) => Some(2),
        _ => None,
    };
    kind(left).zip(kind(right)).is_some_and(|(left, right)| left != right)
}

type Target<'t> = Option<Seen<'t>>;

#[expect(clippy::wildcard_enum_match_arm, reason = "any other node has no spelling")]
fn spell(node: Node<'_>, target: Target<'_>, out: &mut String, depth: u32) -> Option<()> {
    if depth > MAX_PREDICATE_DEPTH {
        return None;
    }
    let depth = depth + 1;
    match node {
        Node::None => {}
        Node::ColumnRef(column) => spell_column(column, target, out)?,
        Node::A_Const(constant) => spell_constant(constant, out)?,
        Node::ParamRef(parameter) => write!(out, "${}", parameter.number).ok()?,
        Node::TypeCast(cast) => spell(cast.arg(), target, out, depth)?,
        Node::CollateClause(clause) => spell(clause.arg(), target, out, depth)?,
        Node::A_Expr(expression) => spell_operation(expression, target, out, depth)?,
        Node::FuncCall(call) => {
            let written = Qualified::of_list(call.funcname())?;
            if VOLATILE.contains(&written.name) || call.over().is_some() {
                return None;
            }
            out.push_str(written.name);
            spell_all(call.args(), target, out, depth)?;
            spell(call.agg_filter(), target, out, depth)?;
        }
        Node::CoalesceExpr(coalesce) => {
            // Each part once: twice at each level would be without bound.
            let mut parts = Vec::new();
            for node in coalesce.args() {
                let mut text = String::new();
                spell(node, target, &mut text, depth)?;
                parts.push(text);
            }
            parts.dedup();
            match parts.as_slice() {
                [only] => out.push_str(only),
                several => write!(out, "coalesce({})", several.join(",")).ok()?,
            }
        }
        Node::MinMaxExpr(extreme) => {
            write!(out, "extreme{}", extreme.op).ok()?;
            spell_all(extreme.args(), target, out, depth)?;
        }
        Node::BoolExpr(expression) => {
            write!(out, "bool{}", expression.boolop).ok()?;
            spell_all(expression.args(), target, out, depth)?;
        }
        Node::NullTest(test) => {
            write!(out, "null{}", test.nulltesttype).ok()?;
            spell(test.arg(), target, out, depth)?;
        }
        Node::BooleanTest(test) => {
            write!(out, "test{}", test.booltesttype).ok()?;
            spell(test.arg(), target, out, depth)?;
        }
        Node::RowExpr(row) => spell_all(row.args(), target, out, depth)?,
        Node::NodeList(list) => spell_all(list, target, out, depth)?,
        Node::A_ArrayExpr(array) => {
            out.push_str("array");
            spell_all(array.elements(), target, out, depth)?;
        }
        Node::SQLValueFunction(function) => write!(out, "value{}", function.op).ok()?,
        _ => return None,
    }
    Some(())
}

fn spell_all(list: &NodeList, target: Target<'_>, out: &mut String, depth: u32) -> Option<()> {
    out.push('(');
    for node in list {
        spell(node, target, out, depth)?;
        out.push(',');
    }
    out.push(')');
    Some(())
}

fn spell_column(column: &nodes::ColumnRef, target: Target<'_>, out: &mut String) -> Option<()> {
    let fields = column.fields();
    let own = target.and_then(|target| target.name());
    let qualified = fields.len() == 2 && own.is_some() && fields.first()?.as_str() == own;
    for field in fields.iter().skip(usize::from(qualified)) {
        spell_text(field.as_str()?, out)?;
        out.push('.');
    }
    (!fields.is_empty()).then_some(())
}

/// A text in quotes, so that it ends where it ends.
fn spell_text(text: &str, out: &mut String) -> Option<()> {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        out.extend(["\"", text, "\""]);
        return Some(());
    }
    write!(out, "{text:?}").ok()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the parser crate's enum is non-exhaustive: what it may add has no spelling"
)]
fn spell_constant(constant: &nodes::A_Const, out: &mut String) -> Option<()> {
    if constant.isnull {
        out.push_str("null");
        return Some(());
    }
    match constant.val()? {
        ConstValue::Integer(value) => write!(out, "{value}").ok(),
        ConstValue::Boolean(value) => write!(out, "{value}").ok(),
        ConstValue::Float(text) => write!(out, "{}", text.trim_start_matches('0')).ok(),
        ConstValue::String(text) | ConstValue::BitString(text) => spell_text(text, out),
        _ => None,
    }
}

fn spell_operation(
    expression: &nodes::A_Expr,
    target: Target<'_>,
    out: &mut String,
    depth: u32,
) -> Option<()> {
    let operator = Qualified::of_list(expression.name())?.name;
    let (left, right) = (expression.lexpr(), expression.rexpr());
    if expression.kind == raw::A_Expr_Kind::AEXPR_OP {
        let same = match operator {
            "+" if is_number(left, 0) || matches!(left, Node::None) => Some(right),
            "+" | "-" if is_number(right, 0) => Some(left),
            "*" if is_number(left, 1) => Some(right),
            "*" | "/" | "^" if is_number(right, 1) => Some(left),
            "||" if is_empty_text(right) => Some(left),
            "||" if is_empty_text(left) => Some(right),
            _ => None,
        };
        if let Some(same) = same {
            return spell(same, target, out, depth);
        }
    }
    write!(out, "[{}", expression.kind).ok()?;
    spell(left, target, out, depth)?;
    out.extend([" ", operator, " "]);
    spell(right, target, out, depth)?;
    out.push(']');
    Some(())
}

fn is_number(node: Node<'_>, wanted: i32) -> bool {
    matches!(node, Node::A_Const(constant) if !constant.isnull
        && matches!(constant.val(), Some(ConstValue::Integer(value)) if value == wanted))
}

fn is_empty_text(node: Node<'_>) -> bool {
    matches!(node, Node::A_Const(constant) if !constant.isnull
        && matches!(constant.val(), Some(ConstValue::String(""))))
}
