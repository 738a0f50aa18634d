//! Constants: what a literal says, read through casts and collations.
//!
//! What is not here: evaluation ([`crate::predicate`]). `None` means "not a constant", never "empty".

use crate::parse::{ConstValue, Node, nodes};

/// How many casts and collations around a literal are looked through.
const MAX_WRAPPERS: usize = 16;

/// The node under casts and `COLLATE`.
pub(crate) fn bare(mut node: Node<'_>) -> Node<'_> {
    for _ in 0..MAX_WRAPPERS {
        if let Node::TypeCast(cast) = node {
            node = cast.arg();
        } else if let Node::CollateClause(clause) = node {
            node = clause.arg();
        } else {
            return node;
        }
    }
    node
}

/// The value of a literal, without wrappers; `Some(None)` is NULL.
pub(crate) fn constant(node: Node<'_>) -> Option<Option<ConstValue<'_>>> {
    match bare(node) {
        Node::A_Const(constant) if constant.isnull => Some(None),
        Node::A_Const(constant) => constant.val().map(Some),
        _ => None,
    }
}

/// The string of a string literal, through casts to types that keep the text as it is.
pub(crate) fn text(node: Node<'_>) -> Option<&str> {
    let mut inner = node;
    for _ in 0..MAX_WRAPPERS {
        match inner {
            Node::TypeCast(cast) if cast.type_name().is_some_and(keeps_text) => inner = cast.arg(),
            Node::CollateClause(clause) => inner = clause.arg(),
            Node::A_Const(constant) => {
                return match constant.val()? {
                    ConstValue::String(text) => Some(text),
                    _ => None,
                };
            }
            _ => return None,
        }
    }
    None
}

fn keeps_text(name: &nodes::TypeName) -> bool {
    let plain = name.typmods().is_empty() && name.array_bounds().is_empty();
    let last = name.names().iter().last().and_then(nodes::String::sval);
    plain
        && last.is_some_and(|last| {
            matches!(last, "text" | "varchar" | "unknown" | "cstring" | "regclass" | "refcursor")
        })
}

/// The text that a setting gets from this literal.
pub(crate) fn setting_text(node: Node<'_>) -> Option<String> {
    match constant(node)?? {
        ConstValue::Integer(value) => Some(value.to_string()),
        ConstValue::Float(value) | ConstValue::BitString(value) => Some(value.to_owned()),
        ConstValue::Boolean(value) => Some(value.to_string()),
        ConstValue::String(value) => Some(value.to_owned()),
        _ => None,
    }
}

/// A boolean literal: TRUE, FALSE, or a string that PostgreSQL reads as one.
pub(crate) fn boolean(node: Node<'_>) -> Option<bool> {
    match constant(node)?? {
        ConstValue::Boolean(value) => Some(value),
        ConstValue::Integer(value) => Some(value != 0),
        ConstValue::String(text) => bool_text(text),
        _ => None,
    }
}

/// PostgreSQL's `boolin`: unique prefixes of the words, blanks around ignored.
pub(crate) fn bool_text(text: &str) -> Option<bool> {
    let word = text.trim().to_ascii_lowercase();
    let prefix = |whole: &str| !word.is_empty() && whole.starts_with(&word);
    if prefix("true") || prefix("yes") || word == "on" || word == "1" {
        Some(true)
    } else if prefix("false") || prefix("no") || word == "of" || word == "off" || word == "0" {
        Some(false)
    } else {
        None
    }
}
