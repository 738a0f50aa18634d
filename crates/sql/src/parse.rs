//! The one file that names the C parser.
//!
//! What is here: parsing, and the names of the tree that the rest of the crate reads. What is not:
//! any meaning. Invariants: the text is parsed as given, never edited; a text that holds NUL is
//! refused here, as the server refuses it.

use crate::scanner::has_long_operator;

pub(crate) use pg_raw_parse::Node;
pub(crate) use pg_raw_parse::const_val::ConstValue;
pub(crate) use pg_raw_parse::list::{CastNodeList, NodeList, NodeListIter};
pub(crate) use pg_raw_parse::{nodes, raw};

/// A parsed text; the nodes borrow from it.
pub(crate) struct Tree(pg_raw_parse::ParseResult);

impl Tree {
    /// The statements in order.
    pub(crate) fn statements(&self) -> impl Iterator<Item = &nodes::RawStmt> {
        self.0.iter()
    }
}

/// The node, if there is one.
pub(crate) fn present(node: Node<'_>) -> Option<Node<'_>> {
    (!matches!(node, Node::None)).then_some(node)
}

/// Why a text is not begun.
pub(crate) const TOO_LONG: &str = "too many operator characters in a row";

/// Parses `text` with PostgreSQL's grammar; the error is PostgreSQL's message. A text that would keep the lexer
/// busy is not begun.
pub(crate) fn parse(text: &str) -> Result<Tree, String> {
    if has_long_operator(text) {
        return Err(TOO_LONG.to_owned());
    }
    pg_raw_parse::parse(text).map(Tree).map_err(|error| match error {
        pg_raw_parse::Error::Parse(error) => error.to_string(),
        pg_raw_parse::Error::PgError(error) => error.to_string(),
        pg_raw_parse::Error::StatementContainedNul(_) => {
            "invalid byte sequence for encoding \"UTF8\": 0x00".to_owned()
        }
    })
}
