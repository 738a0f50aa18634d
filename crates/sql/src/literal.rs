//! Constants: what a literal says, read through casts and collations.
//!
//! What is not here: evaluation ([`crate::value`]). `None` means "not a constant", never "empty".

use crate::parse::{ConstValue, Node, nodes};

/// How many casts and collations around a literal are looked through.
const MAX_WRAPPERS: usize = 16;

/// A literal, or the lack of one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Literal<'a> {
    /// Not a literal.
    None,
    Null,
    Value(ConstValue<'a>),
}

impl<'a> Literal<'a> {
    fn value(self) -> Option<ConstValue<'a>> {
        match self {
            Self::Value(value) => Some(value),
            Self::None | Self::Null => None,
        }
    }
}

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

/// The value of a literal, without wrappers.
pub(crate) fn constant(node: Node<'_>) -> Literal<'_> {
    let Node::A_Const(constant) = bare(node) else { return Literal::None };
    if constant.isnull {
        return Literal::Null;
    }
    constant.val().map_or(Literal::None, Literal::Value)
}

/// The string of a string literal, through casts to types that keep the text as it is.
pub(crate) fn text(node: Node<'_>) -> Option<&str> {
    let mut inner = node;
    for _ in 0..MAX_WRAPPERS {
        if let Node::TypeCast(cast) = inner
            && cast.type_name().is_some_and(keeps_text)
        {
            inner = cast.arg();
        } else if let Node::CollateClause(clause) = inner {
            inner = clause.arg();
        } else if let Node::A_Const(constant) = inner {
            let value = constant.val()?;
            return if let ConstValue::String(text) = value { Some(text) } else { None };
        } else {
            return None;
        }
    }
    None
}

fn keeps_text(name: &nodes::TypeName) -> bool {
    let plain = name.typmods().is_empty() && name.array_bounds().is_empty();
    let last = name.names().iter().next_back().and_then(nodes::String::sval);
    plain
        && last.is_some_and(|last| {
            matches!(last, "text" | "varchar" | "unknown" | "cstring" | "regclass" | "refcursor")
        })
}

/// The text that a setting gets from this literal.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the parser crate's enum is non-exhaustive: what it may add is no text"
)]
pub(crate) fn setting_text(node: Node<'_>) -> Option<String> {
    match constant(node).value()? {
        ConstValue::Integer(value) => Some(value.to_string()),
        ConstValue::Boolean(value) => Some(value.to_string()),
        ConstValue::Float(value) | ConstValue::BitString(value) | ConstValue::String(value) => {
            Some(value.to_owned())
        }
        _ => None,
    }
}

/// A boolean literal: TRUE, FALSE, a number, or a string that PostgreSQL reads as one.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the parser crate's enum is non-exhaustive: what it may add is no boolean"
)]
pub(crate) fn boolean(node: Node<'_>) -> Option<bool> {
    match constant(node).value()? {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_read_as_postgresql_reads_them() {
        for (text, value) in [("t", true), (" YES ", true), ("on", true), ("of", false)] {
            assert_eq!(bool_text(text), Some(value), "{text}");
        }
        for text in ["", "o", "2", "truee"] {
            assert_eq!(bool_text(text), None, "{text}");
        }
    }
}
