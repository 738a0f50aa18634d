//! YAML text as a tree in which everything knows its position.
//!
//! What is *not* here: what keys mean. YAML's conveniences that make two readers see two
//! documents (aliases, tags, merge keys, several documents) are errors, and so are duplicate keys.
//! Size, depth and node count are bounded by [`crate::limits`].

use std::collections::HashSet;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span};

use super::report::Report;
use crate::limits::{MAX_DOCUMENT_BYTES, MAX_DOCUMENT_DEPTH, MAX_DOCUMENT_NODES};

/// Line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Position {
    pub(crate) const START: Self = Self { line: 1, column: 1 };

    fn of(marker: Marker) -> Self {
        Self { line: marker.line().max(1), column: marker.col().saturating_add(1) }
    }
}

/// A value and where it stands.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) value: Value,
}

/// A YAML value. Scalars stay text: `no` is `no`.
#[derive(Debug)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// Text, quoted or not.
    Scalar(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in document order, each key once.
    Map(Vec<(Key, Node)>),
}

/// The key of a mapping entry.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) at: Position,
    pub(crate) text: String,
}

/// Reads `text`. `None` if it is not YAML or out of bounds, which the report then says.
pub(crate) fn parse(text: &str, report: &mut Report<'_>) -> Option<Node> {
    if text.len() > MAX_DOCUMENT_BYTES {
        let message = format!("the policy is larger than {MAX_DOCUMENT_BYTES} bytes");
        report.error(Position::START, message, None);
        return None;
    }
    let mut options = granit_parser::options! {
        flow_nesting_limit: MAX_DOCUMENT_DEPTH,
        block_nesting_limit: MAX_DOCUMENT_DEPTH,
        disallow_directives: true,
    };
    options.set_emit_comments(false);
    let mut builder = Builder::new(report);
    for event in Parser::new_from_str_with_options(text, options) {
        let more = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => builder.fail(Position::of(*error.marker()), error.info()),
        };
        more?;
    }
    Some(builder.finish())
}

/// A collection that is not finished.
enum Open {
    List { at: Position, items: Vec<Node> },
    Map { at: Position, entries: Vec<(Key, Node)>, key: Option<Key>, seen: HashSet<String> },
}

struct Builder<'r, 'f> {
    report: &'r mut Report<'f>,
    stack: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

impl<'r, 'f> Builder<'r, 'f> {
    fn new(report: &'r mut Report<'f>) -> Self {
        Self { report, stack: Vec::new(), root: None, nodes: 0 }
    }

    fn fail(&mut self, at: Position, message: String) -> Option<()> {
        self.report.error(at, message, None);
        None
    }

    /// Takes one event; `None` ends the reading.
    fn take(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        let at = Position::of(span.start);
        match event {
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentEnd
            | Event::Anchor(..)
            | Event::Comment(..) => Some(()),
            Event::DocumentStart(..) => match self.root {
                None => Some(()),
                Some(_) => self.fail(at, "a policy is one YAML document, not several".to_owned()),
            },
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.refuse(at, "aliases are not used in a policy");
                self.place(Node { at, value: Value::Null })
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.check_properties(at, anchor, tag.is_some());
                self.place(Node { at, value: scalar(&text, style) })
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_properties(at, anchor, tag.is_some());
                self.open(at, Open::List { at, items: Vec::new() })
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_properties(at, anchor, tag.is_some());
                let seen = HashSet::new();
                self.open(at, Open::Map { at, entries: Vec::new(), key: None, seen })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(at),
            other => self.fail(at, format!("unexpected YAML: {other:?}")),
        }
    }

    fn refuse(&mut self, at: Position, message: &str) {
        self.report.error(at, message.to_owned(), None);
    }

    fn check_properties(&mut self, at: Position, anchor: usize, tagged: bool) {
        if anchor != 0 {
            self.refuse(at, "anchors are not used in a policy");
        }
        if tagged {
            self.refuse(at, "tags are not used in a policy");
        }
    }

    fn open(&mut self, at: Position, open: Open) -> Option<()> {
        if self.stack.len() >= MAX_DOCUMENT_DEPTH {
            return self.fail(at, format!("nested deeper than {MAX_DOCUMENT_DEPTH} levels"));
        }
        self.stack.push(open);
        Some(())
    }

    fn close(&mut self, end: Position) -> Option<()> {
        let node = match self.stack.pop() {
            None => return self.fail(end, "a collection ends that never began".to_owned()),
            Some(Open::List { at, items }) => Node { at, value: Value::List(items) },
            Some(Open::Map { at, entries, .. }) => Node { at, value: Value::Map(entries) },
        };
        self.place(node)
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Node) -> Option<()> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > MAX_DOCUMENT_NODES {
            return self.fail(node.at, format!("more than {MAX_DOCUMENT_NODES} values"));
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, seen, .. }) => match key.take() {
                None => *key = Some(read_key(node, self.report)),
                Some(key) => {
                    if seen.insert(key.text.clone()) {
                        entries.push((key, node));
                    } else {
                        let message = format!("`{}` is given twice", key.text);
                        self.report.error(key.at, message, None);
                    }
                }
            },
        }
        Some(())
    }

    fn finish(self) -> Node {
        let empty = Node { at: Position::START, value: Value::Null };
        self.root.unwrap_or(empty)
    }
}

fn read_key(node: Node, report: &mut Report<'_>) -> Key {
    let at = node.at;
    match node.value {
        Value::Scalar(text) => Key { at, text },
        Value::Null | Value::List(_) | Value::Map(_) => {
            report.error(at, "a key is plain text".to_owned(), None);
            Key { at, text: String::new() }
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    let plain = matches!(style, ScalarStyle::Plain);
    if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Value::Null;
    }
    Value::Scalar(text.to_owned())
}
