//! Where the grammar stopped: the parser tells what it met, and not where.
//!
//! What is here: the place, found by parsing beginnings of the text: one that ends before the mistake is merely not
//! finished. Invariants: nothing depends on it but what a reader is shown; bounded in length and steps.

use crate::limits::MAX_MISTAKE_BYTES;
use crate::parse;
use crate::scanner::{Scanner, Token};

/// What the parser says of a text that ends too early.
const UNFINISHED: &str = "syntax error at end of input";

/// The byte offset of the token at which `text` fails with `message`; `None` where that is not certain.
pub(crate) fn place(text: &str, message: &str) -> Option<usize> {
    if text.len() > MAX_MISTAKE_BYTES {
        return None;
    }
    if message == UNFINISHED {
        return Some(text.trim_end().len());
    }
    let near = message.split_once(" at or near \"").and_then(|(_, near)| near.strip_suffix('"'));
    // Of what is left open the parser repeats all that follows.
    if let Some(near) = near
        && !message.starts_with("syntax error")
        && text.ends_with(near)
    {
        return Some(text.len() - near.len());
    }
    let tokens: Vec<std::ops::Range<usize>> = Scanner::from(text, 0)
        .filter(|(token, _)| *token != Token::Comment)
        .map(|(_, range)| range)
        .collect();
    // All beginnings from the mistake on fail alike.
    let index = tokens.partition_point(|token| !fails(text, token.end, message));
    let start = tokens.get(index)?.start;
    let rest = text.get(start..)?;
    // Some tokens of ours are a part of the parser's.
    let found = |near: &str| {
        rest.starts_with(near) || rest.chars().next().is_some_and(|first| near.starts_with(first))
    };
    near.is_none_or(found).then_some(start)
}

fn fails(text: &str, end: usize, message: &str) -> bool {
    text.get(..end)
        .is_some_and(|beginning| parse::parse(beginning).is_err_and(|said| said == message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_mistake_is_found() {
        for (text, near) in [
            ("SELECT a FRM t WHERE", "t WHERE"),
            ("SELECT * FROM t WHERE a = = 5", "= 5"),
            ("SELEC 1", "SELEC 1"),
            ("SELECT 1; SELEC 2", "SELEC 2"),
            ("SELECT a, FROM t", "FROM t"),
            ("SELECT 'a", "'a"),
            ("SELECT (1", ""),
            ("SELECT a LIMIT 5, 10", "10"),
            ("SELECT a b 24", "24"),
            ("SELECT a b $1", "$1"),
            ("SELECT 6.5x FROM t", "6.5x FROM t"),
            ("SELECT 1 /* x", "/* x"),
            ("SELECT \u{e9} \u{e8} FROM FROM t", "FROM t"),
            ("SELECT t.t.t FROM t ORDER LIMIT 5", "LIMIT 5"),
        ] {
            let message = parse::parse(text).err().unwrap();
            let found = place(text, &message);
            assert_eq!(found.and_then(|at| text.get(at..)), Some(near), "{text}: {message}");
        }
    }
}
