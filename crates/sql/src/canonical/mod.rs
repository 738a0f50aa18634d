//! A statement in one spelling, and the digest of it: what is grouped as the same statement.
//!
//! What is here: case, white space, comments, quotes and values that bear no meaning are evened out; names of
//! relations stand with their schema, and functions with theirs where a catalog tells. What is not: what means the
//! same by algebra. Invariant: statements of one form differ in values alone, and in none that
//! decides what is touched, changed or let through: settings, limits, booleans, definitions, names in texts, keys of JSON, tenants.

mod keep;
mod keywords;
mod pieces;

use std::borrow::Cow;
use std::ops::Range;

use model::{Schemas, SqlFacts};
use sha2::{Digest as _, Sha256};

use crate::parse::Node;
use crate::resolved::Place;
use crate::scanner::{Scanner, Token};
use keep::Mark;
pub(crate) use keep::{Marks, is_about_rows};
use keywords::is_keyword;
use pieces::Pieces;

/// Bytes of SHA-256 that a digest has.
const DIGEST_BYTES: usize = 16;

/// Names of relations that are written without a schema.
pub(crate) struct Names<'n> {
    /// Where they stand, in bytes, in order.
    places: &'n [(usize, &'n str)],
    resolve: &'n dyn Fn(&str) -> Place<'n>,
}

impl<'n> Names<'n> {
    /// Names by their places, which are sorted; `resolve` says where one is found.
    pub(crate) fn new(
        places: &'n [(usize, &'n str)],
        resolve: &'n dyn Fn(&str) -> Place<'n>,
    ) -> Self {
        Self { places, resolve }
    }

    /// The name that stands at a place behind those that were asked for.
    fn at(&mut self, place: usize) -> Option<&'n str> {
        let mut found = None;
        while let Some(((at, name), rest)) = self.places.split_first()
            && *at <= place
        {
            found = (*at == place).then_some(*name);
            self.places = rest;
        }
        found
    }
}

/// The canonical form of the statement `root`, which stands at `range` of `text`.
pub(crate) fn form(
    (text, range): (&str, Range<usize>),
    root: Node<'_>,
    facts: &SqlFacts,
    (mut names, marks): (Names<'_>, Kept<'_>),
) -> Option<String> {
    let rows = is_about_rows(root);
    let marks = match marks {
        _ if !rows => Vec::new(),
        Kept::Known(marks) => marks.sorted(),
        Kept::Unknown(tenant) => keep::marks(root, tenant)?.sorted(),
    };
    let mut marks = marks.as_slice();
    let pieces = Pieces::with_room(range.len());
    let mut form = Form { pieces, frames: Vec::new(), rows: None };
    let (mut before, mut operator_end) = ("", None);
    for (token, at) in Scanner::from(text, range.start) {
        if at.start >= range.end {
            break;
        }
        let source = text.get(at.clone())?;
        match token {
            Token::Comment => continue,
            Token::Semicolon => break,
            Token::Word => match names.at(at.start) {
                Some(name) => form.name(name, &(names.resolve)(name)),
                None => form.word(source),
            },
            Token::Quoted => match names.at(at.start) {
                Some(name) => form.name(name, &(names.resolve)(name)),
                None => form.piece(unquoted(source)),
            },
            Token::Literal | Token::Other if !rows && !is_operator(source) => {
                form.piece(source);
            }
            Token::Literal => form.value(mark_at(&mut marks, at.start), source, "'?'"),
            Token::Other if source.starts_with(|c: char| c.is_ascii_digit()) => {
                form.value(mark_at(&mut marks, at.start), source, "?");
            }
            Token::Other if operator_end == Some(at.start) => form.grow(source),
            Token::Open => form.open(source, before),
            Token::Close => form.close(source),
            Token::Other | Token::Dot => form.piece(source),
        }
        let operator = token == Token::Other && is_operator(source);
        operator_end = operator.then_some(at.end);
        before = source;
    }
    let mut text = form.pieces.into_text();
    if let Some(shape) = facts.shape.known() {
        // What values decided.
        text.push_str(if shape.tautology { " /* filters nothing */" } else { "" });
        text.push_str(if shape.runs_explained { " /* runs */" } else { "" });
    }
    Some(text)
}

/// Which constants of a statement bear meaning.
pub(crate) enum Kept<'t> {
    /// These.
    Known(Marks<'t>),
    /// Nobody has looked; the tenant's column.
    Unknown(Option<&'t str>),
}

/// The mark at a place behind those that were asked for.
fn mark_at(marks: &mut &[(usize, Mark)], place: usize) -> Option<Mark> {
    while let Some(((at, mark), rest)) = marks.split_first()
        && *at <= place
    {
        *marks = rest;
        if *at == place {
            return Some(*mark);
        }
    }
    None
}

/// The digest of a canonical form. The prefix names the rules by which it was made.
pub(crate) fn digest(form: &str) -> String {
    let mut text = String::with_capacity(3 + 2 * DIGEST_BYTES);
    text.push_str("c1:");
    let hash = Sha256::digest(form.as_bytes());
    for byte in hash.iter().take(DIGEST_BYTES) {
        let digit = |half: u8| char::from(if half < 10 { b'0' + half } else { b'a' + (half - 10) });
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

/// Bytes that operators are made of (PostgreSQL documentation, "Operators").
const OPERATORS: &[u8] = b"+-*/<>=~!@#%^&|`?:";

/// By byte, whether operators are made of it.
static OPERATOR: [bool; 128] = {
    let mut all = [false; 128];
    let mut rest: &[u8] = OPERATORS;
    while let Some((byte, others)) = rest.split_first() {
        if let Some((_, tail)) = all.split_at_mut_checked(*byte as usize)
            && let Some(slot) = tail.first_mut()
        {
            *slot = true;
        }
        rest = others;
    }
    all
};

fn is_operator(source: &str) -> bool {
    source.bytes().all(|byte| OPERATOR.get(usize::from(byte)).copied().unwrap_or_default())
}

/// A quoted name without its quotes, if it is the same without.
fn unquoted(source: &str) -> &str {
    let inner = source.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.filter(|name| is_plain(name) && !is_keyword(name)).unwrap_or(source)
}

/// Whether a name needs no quotes for its letters.
fn is_plain(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    first && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// A form in the making.
struct Form {
    pieces: Pieces,
    frames: Vec<Frame>,
    /// The last row of a VALUES list, if one has just ended.
    rows: Option<Range<usize>>,
}

/// An open bracket.
struct Frame {
    /// How many values there are says nothing: IN, ARRAY.
    is_list: bool,
    /// A row of VALUES.
    is_row: bool,
    /// The place behind it.
    start: usize,
    /// The row before it.
    before: Option<Range<usize>>,
}

impl Form {
    fn piece(&mut self, piece: &str) {
        if piece != "," {
            self.rows = None;
        }
        self.pieces.push(piece);
    }

    /// A word, in lower case.
    fn word(&mut self, word: &str) {
        self.piece(word);
        self.pieces.lower_last();
    }

    /// The rest of an operator of several bytes.
    fn grow(&mut self, source: &str) {
        match self.pieces.last() {
            Some(last) if is_operator(last) => self.pieces.grow_last(source),
            Some(_) | None => self.piece(source),
        }
    }

    fn name(&mut self, name: &str, place: &Place<'_>) {
        let own = quoted(name);
        let schema = match place {
            Place::In(schema) => schema,
            Place::Anywhere(Schemas::Named(schema)) => schema.as_str(),
            Place::Anywhere(Schemas::Paths(paths)) => {
                let paths: Vec<String> = paths.iter().map(|path| path.join(",")).collect();
                return self.piece(&format!("{{{}}}.{own}", paths.join("|")));
            }
            Place::Anywhere(Schemas::Unknown) => return self.piece(&format!("{{?}}.{own}")),
        };
        self.piece(&quoted(schema));
        self.piece(".");
        self.piece(&own);
    }

    fn value(&mut self, mark: Option<Mark>, source: &str, plain: &str) {
        let value = match mark {
            Some(Mark::Keep) => source,
            Some(Mark::Limit(class)) => class,
            None => plain,
        };
        let in_list = self.frames.last().is_some_and(|frame| frame.is_list);
        if in_list
            && let Some(comma) = self.pieces.len().checked_sub(1)
            && self.pieces.get(comma) == Some(",")
            && comma.checked_sub(1).and_then(|before| self.pieces.get(before)) == Some(value)
        {
            self.pieces.truncate(comma);
            return;
        }
        self.piece(value);
    }

    fn open(&mut self, source: &str, before: &str) {
        let follows = |words: &[&str]| words.iter().any(|word| before.eq_ignore_ascii_case(word));
        let another = before == "," && self.rows.is_some();
        let frame = Frame {
            is_list: follows(&["in", "array"]),
            is_row: follows(&["values"]) || another,
            start: self.pieces.len() + 1,
            before: self.rows.take(),
        };
        self.pieces.push(source);
        self.frames.push(frame);
    }

    fn close(&mut self, source: &str) {
        self.piece(source);
        let Some(frame) = self.frames.pop().filter(|frame| frame.is_row) else { return };
        let row = frame.start..self.pieces.len();
        let same = frame.before.filter(|before| self.pieces.are_same(before, &row));
        self.rows = match same {
            // A row like the one before it says nothing new; the comma and the bracket go, too.
            Some(before) => {
                self.pieces.truncate(before.end);
                Some(before)
            }
            None => Some(row),
        };
    }
}

fn quoted(name: &str) -> Cow<'_, str> {
    if is_plain(name) && !is_keyword(name) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!("\"{}\"", name.replace('"', "\"\"")))
}
