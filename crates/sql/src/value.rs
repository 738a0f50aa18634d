//! Values of constant expressions, as far as a WHERE guard needs them.
//!
//! Invariant: a value that is not certain is [`Value::Unknown`]; numbers are compared as floats, which
//! is exact for every literal that a guard is about.

use std::borrow::Cow;

use crate::limits::MAX_PREDICATE_DEPTH;
use crate::literal;
use crate::parse::{ConstValue, Node, nodes, present, raw};
use crate::predicate::{Truth, truth};
use crate::resolve::{Qualified, each_string, last_string, last_type_name};
use crate::spelling;

/// A value, or what is known of one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'a, str>),
    /// Some number from `low` on, below or up to `high`.
    Range {
        low: f64,
        high: f64,
    },
    Unknown,
    TooDeep,
}

impl Value<'_> {
    /// As a condition.
    pub(crate) fn truth(&self) -> Truth {
        match self {
            Self::Null => Truth::False,
            Self::Bool(value) => Truth::of(*value),
            Self::Text(text) => literal::bool_text(text).map_or(Truth::Depends, Truth::of),
            Self::Number(_) | Self::Range { .. } | Self::Unknown => Truth::Depends,
            Self::TooDeep => Truth::TooDeep,
        }
    }
}

/// The value of an expression.
#[expect(clippy::wildcard_enum_match_arm, reason = "everything else is not folded")]
pub(crate) fn evaluate(node: Node<'_>, depth: u32) -> Value<'_> {
    if depth > MAX_PREDICATE_DEPTH {
        return Value::TooDeep;
    }
    match node {
        Node::A_Const(constant) if constant.isnull => Value::Null,
        Node::A_Const(constant) => constant.val().map_or(Value::Unknown, literal_value),
        Node::TypeCast(cast) => cast_value(cast, depth),
        Node::CollateClause(clause) => evaluate(clause.arg(), depth + 1),
        Node::FuncCall(call) => call_value(call, depth),
        Node::ColumnRef(column) => column_value(column),
        Node::A_Expr(expression) => expression_value(expression, depth),
        Node::CoalesceExpr(coalesce) => {
            let mut values = coalesce.args().iter().map(|node| evaluate(node, depth + 1));
            values.find(|value| *value != Value::Null).unwrap_or(Value::Null)
        }
        Node::MinMaxExpr(own) => extreme(own, depth),
        Node::SubLink(link) => sub_select_value(link, depth),
        Node::BoolExpr(_) | Node::BooleanTest(_) | Node::NullTest(_) | Node::CaseExpr(_) => {
            match truth(node, None, depth + 1) {
                Truth::True => Value::Bool(true),
                // May be NULL or false.
                Truth::False | Truth::Depends | Truth::Constant => Value::Unknown,
                Truth::TooDeep => Value::TooDeep,
            }
        }
        _ => Value::Unknown,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the parser crate's enum is non-exhaustive: what it may add is not folded"
)]
fn literal_value(constant: ConstValue<'_>) -> Value<'_> {
    match constant {
        ConstValue::Integer(value) => Value::Number(f64::from(value)),
        ConstValue::Float(text) => number(text),
        ConstValue::Boolean(value) => Value::Bool(value),
        ConstValue::String(text) => Value::Text(Cow::Borrowed(text)),
        _ => Value::Unknown,
    }
}

/// The number that a literal is, through casts.
pub(crate) fn literal_number(node: Node<'_>) -> Option<f64> {
    let Node::A_Const(constant) = literal::bare(node) else { return None };
    if constant.isnull {
        return None;
    }
    match constant.val().map(literal_value) {
        Some(Value::Number(number)) => Some(number),
        Some(
            Value::Null
            | Value::Bool(_)
            | Value::Text(_)
            | Value::Range { .. }
            | Value::Unknown
            | Value::TooDeep,
        )
        | None => None,
    }
}

fn number<'a>(text: &str) -> Value<'a> {
    text.trim().parse().map_or(Value::Unknown, Value::Number)
}

fn cast_value(cast: &nodes::TypeCast, depth: u32) -> Value<'_> {
    let inner = evaluate(cast.arg(), depth + 1);
    let target = cast.type_name().and_then(last_type_name).unwrap_or_default();
    match (target, inner) {
        ("bool", Value::Text(text)) => {
            literal::bool_text(&text).map_or(Value::Unknown, Value::Bool)
        }
        ("bool", Value::Number(value)) => Value::Bool(value != 0.0),
        ("int2" | "int4" | "int8" | "numeric" | "float4" | "float8", Value::Text(text)) => {
            number(&text)
        }
        ("int2" | "int4" | "int8", Value::Bool(value)) => Value::Number(f64::from(u8::from(value))),
        (_, value) => value,
    }
}

/// A column called `id` is a surrogate key by convention: positive, and at most an `int4`.
fn column_value(column: &nodes::ColumnRef) -> Value<'_> {
    let last = column.fields().iter().next_back().and_then(Node::as_str);
    if last == Some("id") {
        Value::Range { low: 1.0, high: f64::from(i32::MAX) }
    } else {
        Value::Unknown
    }
}

/// Calls whose result is bounded whatever their argument is.
fn call_value(call: &nodes::FuncCall, depth: u32) -> Value<'_> {
    let name = Qualified::of_list(call.funcname()).map(|written| written.name);
    let from_zero = Value::Range { low: 0.0, high: f64::INFINITY };
    match name {
        Some(
            "length" | "char_length" | "character_length" | "octet_length" | "bit_length" | "abs"
            | "cardinality" | "count" | "pg_column_size" | "strpos" | "position",
        ) => from_zero,
        // The grammar's wrappers around the pattern of SIMILAR TO and LIKE … ESCAPE.
        Some("similar_to_escape" | "like_escape") => {
            call.args().first().map_or(Value::Unknown, |pattern| evaluate(pattern, depth + 1))
        }
        Some("random") => Value::Range { low: 0.0, high: 1.0 },
        _ => Value::Unknown,
    }
}

fn expression_value(expression: &nodes::A_Expr, depth: u32) -> Value<'_> {
    use raw::A_Expr_Kind as Kind;
    let operator = last_string(expression.name()).unwrap_or_default();
    let arithmetic = matches!(operator, "+" | "-" | "*" | "/" | "%" | "||");
    if expression.kind == Kind::AEXPR_OP && arithmetic {
        if let Some(value) = whatever_the_row(operator, expression) {
            return value;
        }
        let left = present(expression.lexpr())
            .map_or(Value::Number(0.0), |left| evaluate(left, depth + 1));
        return calculate(operator, left, evaluate(expression.rexpr(), depth + 1));
    }
    if expression.kind == Kind::AEXPR_NULLIF {
        let same = spelling::are_same(expression.lexpr(), expression.rexpr(), None);
        return if same { Value::Null } else { Value::Unknown };
    }
    match truth(Node::A_Expr(expression), None, depth + 1) {
        Truth::True => Value::Bool(true),
        Truth::False | Truth::Depends | Truth::Constant => Value::Unknown,
        Truth::TooDeep => Value::TooDeep,
    }
}

/// Arithmetic that gives the same for every row: `x * 0`, `x - x`, `x % 1`.
fn whatever_the_row<'a>(operator: &str, expression: &nodes::A_Expr) -> Option<Value<'a>> {
    let (left, right) = (expression.lexpr(), expression.rexpr());
    let is = |node, number: f64| {
        literal_number(node).is_some_and(|value| value.total_cmp(&number).is_eq())
    };
    let same = || present(left).is_some_and(|left| spelling::are_same(left, right, None));
    match operator {
        "*" if is(left, 0.0) || is(right, 0.0) => Some(Value::Number(0.0)),
        "%" if is(right, 1.0) => Some(Value::Number(0.0)),
        "-" if same() => Some(Value::Number(0.0)),
        "/" if same() => Some(Value::Number(1.0)),
        _ => None,
    }
}

/// GREATEST is at least each of its numbers, LEAST at most.
fn extreme<'a>(extreme: &nodes::MinMaxExpr, depth: u32) -> Value<'a> {
    let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
    for node in extreme.args() {
        let (own_low, own_high) = match evaluate(node, depth + 1) {
            Value::Number(number) => (number, number),
            Value::Range { low, high } => (low, high),
            Value::TooDeep => return Value::TooDeep,
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::Unknown => continue,
        };
        if extreme.op == raw::MinMaxOp::IS_GREATEST {
            low = low.max(own_low);
        } else {
            high = high.min(own_high);
        }
    }
    if low == f64::NEG_INFINITY && high == f64::INFINITY {
        return Value::Unknown;
    }
    Value::Range { low, high }
}

fn calculate<'a>(operator: &str, left: Value<'a>, right: Value<'a>) -> Value<'a> {
    match (operator, left, right) {
        (_, Value::TooDeep, _) | (_, _, Value::TooDeep) => Value::TooDeep,
        (_, Value::Null, _) | (_, _, Value::Null) => Value::Null,
        ("+", Value::Number(left), Value::Number(right)) => Value::Number(left + right),
        ("-", Value::Number(left), Value::Number(right)) => Value::Number(left - right),
        ("*", Value::Number(left), Value::Number(right)) => Value::Number(left * right),
        ("%", Value::Number(left), Value::Number(right)) if right != 0.0 => {
            Value::Number(left % right)
        }
        ("||", Value::Text(left), Value::Text(right)) => {
            let mut joined = left.into_owned();
            joined.push_str(&right);
            Value::Text(Cow::Owned(joined))
        }
        // Integer and decimal division differ.
        _ => Value::Unknown,
    }
}

/// `(SELECT constant)`.
fn sub_select_value(link: &nodes::SubLink, depth: u32) -> Value<'_> {
    let Node::SelectStmt(select) = link.subselect() else { return Value::Unknown };
    let target = select.target_list().first().map_or(Node::None, nodes::ResTarget::val);
    // A count is a number, whatever it counts.
    let counts = matches!(target, Node::FuncCall(call)
        if Qualified::of_list(call.funcname()).is_some_and(|written| written.name == "count"));
    let one_row = select.from_clause().is_empty() && matches!(select.where_clause(), Node::None);
    let only_targets = link.sub_link_type == raw::SubLinkType::EXPR_SUBLINK
        && select.op == raw::SetOperation::SETOP_NONE
        && select.group_clause().is_empty()
        && (one_row || counts)
        && matches!(select.having_clause(), Node::None)
        && matches!(select.limit_count(), Node::None)
        && matches!(select.limit_offset(), Node::None);
    if only_targets { evaluate(target, depth + 1) } else { Value::Unknown }
}

/// A comparison of two values.
pub(crate) fn compare(operator: &str, left: &Value<'_>, right: &Value<'_>) -> Truth {
    match (left, right) {
        (Value::TooDeep, _) | (_, Value::TooDeep) => Truth::TooDeep,
        (Value::Null, _) | (_, Value::Null) => Truth::False,
        (Value::Number(left), Value::Number(right)) => ordered(operator, left.partial_cmp(right)),
        (Value::Text(left), Value::Text(right)) => texts(operator, left, right),
        (Value::Bool(left), Value::Bool(right)) => ordered(operator, Some(left.cmp(right))),
        (Value::Bool(left), Value::Text(right)) | (Value::Text(right), Value::Bool(left)) => {
            literal::bool_text(right).map_or(Truth::Depends, |right| {
                if matches!(operator, "=" | "<>" | "!=") {
                    ordered(operator, Some(left.cmp(&right)))
                } else {
                    Truth::Depends
                }
            })
        }
        (Value::Number(left), Value::Text(right)) => against_text(operator, *left, right, false),
        (Value::Text(left), Value::Number(right)) => against_text(operator, *right, left, true),
        (Value::Range { low, high }, Value::Number(bound)) => within(operator, *low, *high, *bound),
        (Value::Number(bound), Value::Range { low, high }) => {
            within(mirrored(operator), *low, *high, *bound)
        }
        (
            Value::Number(_)
            | Value::Text(_)
            | Value::Bool(_)
            | Value::Range { .. }
            | Value::Unknown,
            _,
        ) => Truth::Depends,
    }
}

fn ordered(operator: &str, order: Option<std::cmp::Ordering>) -> Truth {
    let Some(order) = order else { return Truth::Depends };
    match operator {
        "=" => Truth::of(order.is_eq()),
        "<>" | "!=" => Truth::of(order.is_ne()),
        "<" => Truth::of(order.is_lt()),
        "<=" => Truth::of(order.is_le()),
        ">" => Truth::of(order.is_gt()),
        ">=" => Truth::of(order.is_ge()),
        _ => Truth::Depends,
    }
}

/// Order of texts depends on the collation: only equality is certain.
fn texts(operator: &str, left: &str, right: &str) -> Truth {
    match operator {
        "=" | "<>" | "!=" => ordered(operator, Some(left.cmp(right))),
        "<=" | ">=" if left == right => Truth::True,
        "<" | ">" if left == right => Truth::False,
        _ => Truth::Depends,
    }
}

/// An untyped literal beside a number is read as one.
fn against_text(operator: &str, number: f64, text: &str, flipped: bool) -> Truth {
    let operator = if flipped { mirrored(operator) } else { operator };
    text.trim()
        .parse::<f64>()
        .map_or(Truth::Depends, |text| ordered(operator, number.partial_cmp(&text)))
}

fn mirrored(operator: &str) -> &str {
    match operator {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        other => other,
    }
}

/// A number known to be in a range, against a bound.
fn within(operator: &str, low: f64, high: f64, bound: f64) -> Truth {
    let always = match operator {
        ">=" => low >= bound,
        ">" => low > bound,
        "<=" => high <= bound,
        "<" => high <= bound && high < f64::INFINITY,
        "<>" | "!=" => bound < low || bound > high,
        _ => false,
    };
    if always { Truth::True } else { Truth::Depends }
}

/// Whether two expressions are the same column, under casts.
pub(crate) fn same_column(left: Node<'_>, right: Node<'_>) -> bool {
    let (Node::ColumnRef(left), Node::ColumnRef(right)) =
        (literal::bare(left), literal::bare(right))
    else {
        return false;
    };
    let (left, right) = (left.fields(), right.fields());
    each_string(left).next().is_some() && each_string(left).eq(each_string(right))
}
