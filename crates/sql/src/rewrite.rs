//! Adds a condition on the tenant to a statement that lacks it.
//!
//! What is here: which places of a text need it, and the edits. What is not: whether that is wanted, and
//! whether the new text may pass: it is analysed and judged like any other. Invariants: a text is given back
//! only if every use of a table in it is bound then; anything that is not understood gives none.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;

use model::TenantUse;

use crate::analysis::readable;
use crate::children::each_child;
use crate::context::{Context, Known, SearchPaths};
use crate::limits;
use crate::parse::{self, Node, NodeList, nodes, raw};
use crate::resolved::Resolver;
use crate::scanner::{Scanner, Token};
use crate::timeline::Timeline;

/// What has to hold of each use of a table.
#[expect(missing_debug_implementations, reason = "it holds a question, which has no text")]
#[derive(Clone, Copy)]
pub struct Constraint<'a> {
    /// The tenant's column.
    pub column: &'a str,
    /// The tenant.
    pub value: &'a str,
    /// Whether a use is bound already, or needs not be.
    pub holds: &'a dyn Fn(&TenantUse) -> bool,
}

/// `text` with the condition wherever it is missing; `None` if it is nowhere, or cannot be added: in INSERT,
/// MERGE, COPY of a table, definitions, behind views that hide the column, and without a catalog.
pub fn constrain(text: &[u8], context: &Context<'_>, constraint: Constraint<'_>) -> Option<String> {
    let text = readable(text, context).ok()?;
    let wanted = missing(text, context, constraint)?;
    if wanted.is_empty() {
        return None;
    }
    let tree = parse::parse(text).ok()?;
    // A condition beside the others reads best; a sub-select in the table's place goes further.
    [Manner::Condition, Manner::SubSelect].into_iter().find_map(|manner| {
        let mut writer = Writer { text, constraint, wanted: wanted.clone(), edits: Vec::new() };
        for statement in tree.statements() {
            writer.statement(statement.stmt(), manner)?;
        }
        let rewritten = writer.apply()?;
        let bound = missing(&rewritten, context, constraint).is_some_and(|left| left.is_empty());
        bound.then_some(rewritten)
    })
}

/// How a condition is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// To WHERE, where no outer join stands in the way.
    Condition,
    /// As a sub-select in the place of the table.
    SubSelect,
}

/// Where tables are named that nothing binds; `None` if one of them has no place for a condition.
fn missing(
    text: &str,
    context: &Context<'_>,
    constraint: Constraint<'_>,
) -> Option<BTreeSet<usize>> {
    let (Known::Catalog(catalog), SearchPaths::Possible(paths)) =
        (context.catalog, context.search_paths)
    else {
        return None;
    };
    let catalog = &catalog.seen_by(context.role, context.timeline.unwrap_or(&Timeline::default()));
    let tree = parse::parse(text).ok()?;
    let left = Cell::new(limits::MAX_NODES);
    let mut places = BTreeSet::new();
    for statement in tree.statements() {
        for path in paths {
            let mut resolver =
                Resolver::new(catalog, path, &left).with_tenant(Some(constraint.column));
            resolver.statement(statement.stmt()).ok()?;
            let uses = resolver.placed_tenants(statement.stmt()).ok()?;
            for one in uses.iter().filter(|one| !(constraint.holds)(&one.used)) {
                places.insert(one.place.and_then(offset).filter(|_| one.used.has_column)?);
            }
        }
    }
    Some(places)
}

fn offset(location: i32) -> Option<usize> {
    usize::try_from(location).ok()
}

/// Edits of one text.
struct Writer<'t> {
    text: &'t str,
    constraint: Constraint<'t>,
    /// Places that have no condition yet.
    wanted: BTreeSet<usize>,
    /// What is replaced by what.
    edits: Vec<(Range<usize>, String)>,
}

impl Writer<'_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "other nodes only hold queries")]
    fn statement(&mut self, root: Node<'_>, manner: Manner) -> Option<()> {
        let mut stack = vec![root];
        while let Some(node) = stack.pop() {
            match node {
                Node::SelectStmt(select) => self.query(None, select.from_clause(), manner)?,
                Node::UpdateStmt(update) => {
                    self.query(update.relation(), update.from_clause(), manner)?;
                }
                Node::DeleteStmt(delete) => {
                    self.query(delete.relation(), delete.using_clause(), manner)?;
                }
                _ => {}
            }
            each_child(node, &mut |child| stack.push(child));
        }
        // All of them, or none.
        self.wanted.is_empty().then_some(())
    }

    /// The tables of one query: what it changes, and its FROM items.
    fn query(
        &mut self,
        target: Option<&nodes::RangeVar>,
        from: &NodeList,
        manner: Manner,
    ) -> Option<()> {
        let (tables, plain) = tables(from);
        let target = target.filter(|var| self.wants(var));
        let mut conditions: Vec<&nodes::RangeVar> = target.into_iter().collect();
        for var in tables {
            if !self.wants(var) {
                continue;
            }
            if manner == Manner::Condition && plain {
                conditions.push(var);
            } else {
                self.sub_select(var)?;
            }
        }
        // What follows the last of them is searched for WHERE.
        let last = conditions.iter().filter_map(|var| offset(var.location)).max();
        if let Some(last) = last {
            self.condition(&conditions, last)?;
        }
        Some(())
    }

    fn wants(&self, var: &nodes::RangeVar) -> bool {
        offset(var.location).is_some_and(|place| self.wanted.contains(&place))
    }

    /// `column = 'value'`.
    fn equality(&self) -> Option<String> {
        let Constraint { column, value, .. } = self.constraint;
        let readable = !value.contains(['\\', '\0']) && !value.contains(char::is_control);
        readable.then(|| format!("{} = '{}'", quoted(column), value.replace('\'', "''")))
    }

    /// Adds to WHERE, or a WHERE.
    fn condition(&mut self, tables: &[&nodes::RangeVar], from: usize) -> Option<()> {
        let mut all = String::new();
        for var in tables {
            let name = var.alias().and_then(nodes::Alias::aliasname).or_else(|| var.relname())?;
            let and = if all.is_empty() { "" } else { " AND " };
            write!(all, "{and}{}.{}", quoted(name), self.equality()?).ok()?;
            self.wanted.remove(&offset(var.location)?);
        }
        let Clause { condition, end } = clause(self.text, from);
        match condition {
            Some(start) if start < end => {
                self.edits.push((start..start, format!(" {all} AND (")));
                self.edits.push((end..end, ")".to_owned()));
            }
            Some(_) => return None,
            None => self.edits.push((end..end, format!(" WHERE {all}"))),
        }
        Some(())
    }

    /// Puts a sub-select in the place of a table's name.
    fn sub_select(&mut self, var: &nodes::RangeVar) -> Option<()> {
        let start = offset(var.location)?;
        let end = name_end(self.text, start)?;
        let name = self.text.get(start..end)?;
        let alias = match var.alias() {
            Some(_) => String::new(),
            None => format!(" AS {}", quoted(var.relname()?)),
        };
        let inner = format!("(SELECT * FROM {name} WHERE {}){alias}", self.equality()?);
        self.edits.push((start..end, inner));
        self.wanted.remove(&start);
        Some(())
    }

    /// The text with the edits made, the last one first.
    fn apply(mut self) -> Option<String> {
        self.edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
        let mut text = self.text.to_owned();
        let mut before = usize::MAX;
        for (range, new) in self.edits {
            if range.end > before || !text.is_char_boundary(range.start) {
                return None;
            }
            before = range.start;
            text.get(range.clone())?;
            text.replace_range(range, &new);
        }
        Some(text)
    }
}

/// Tables of a FROM clause, and whether a condition in WHERE is about rows of each of them alone: no outer
/// join stands between.
fn tables(from: &NodeList) -> (Vec<&nodes::RangeVar>, bool) {
    let (mut tables, mut plain) = (Vec::new(), true);
    let mut stack: Vec<Node<'_>> = from.iter().collect();
    while let Some(node) = stack.pop() {
        if let Node::RangeVar(var) = node {
            tables.push(var);
        } else if let Node::JoinExpr(join) = node {
            plain &= join.jointype == raw::JoinType::JOIN_INNER && join.alias().is_none();
            stack.extend([join.larg(), join.rarg()]);
        }
    }
    (tables, plain)
}

/// A name in quotes.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Where a query's condition begins, behind the word WHERE, and where it, or the FROM clause, ends.
struct Clause {
    condition: Option<usize>,
    end: usize,
}

/// Reserved words that end FROM and WHERE (PostgreSQL documentation, "SELECT").
const STOPS: &[&str] = &[
    "group",
    "having",
    "window",
    "union",
    "intersect",
    "except",
    "order",
    "limit",
    "offset",
    "fetch",
    "for",
    "returning",
];

fn clause(text: &str, from: usize) -> Clause {
    let mut found = Clause { condition: None, end: from };
    let (mut depth, mut after_dot) = (0_usize, false);
    for (token, range) in Scanner::from(text, from) {
        let word = text.get(range.clone()).unwrap_or_default().to_ascii_lowercase();
        match token {
            Token::Comment => continue,
            Token::Semicolon => break,
            Token::Open => depth += 1,
            Token::Close if depth == 0 => break,
            Token::Close => depth -= 1,
            Token::Word if depth == 0 && !after_dot => {
                if STOPS.contains(&word.as_str()) {
                    break;
                }
                if word == "where" && found.condition.is_none() {
                    found.condition = Some(range.end);
                }
            }
            Token::Word | Token::Quoted | Token::Literal | Token::Dot | Token::Other => {}
        }
        after_dot = token == Token::Dot;
        found.end = range.end;
    }
    found
}

/// The end of a name with its schema.
fn name_end(text: &str, start: usize) -> Option<usize> {
    let mut tokens = Scanner::from(text, start).filter(|(token, _)| *token != Token::Comment);
    loop {
        let (Token::Word | Token::Quoted, name) = tokens.next()? else { return None };
        match tokens.next() {
            Some((Token::Dot, _)) => {}
            // `orders *` means its children, too, which a sub-select would have to say.
            Some((Token::Other, range)) if text.get(range.clone()) == Some("*") => return None,
            Some(_) | None => return Some(name.end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clause_ends_where_the_next_begins() {
        let cases = [
            ("t", None, "t"),
            ("t WHERE a = 1", Some(" a = 1"), ""),
            (
                "t WHERE (a, b) = (SELECT 1 WHERE x ORDER BY 1, 2) ORDER BY a",
                Some(" (a, b) = (SELECT 1 WHERE x ORDER BY 1, 2)"),
                "",
            ),
            (
                "t JOIN u ON t.order = u.limit -- WHERE\n LIMIT 5",
                None,
                "t JOIN u ON t.order = u.limit",
            ),
            ("t WHERE a = 'WHERE' -- b\n; SELECT 2", Some(" a = 'WHERE'"), ""),
            ("t) s WHERE b", None, "t"),
            ("t WHERE a = $$ ORDER $$ FOR UPDATE", Some(" a = $$ ORDER $$"), ""),
        ];
        for (text, condition, from) in cases {
            let found = clause(text, 0);
            match found.condition {
                Some(start) => assert_eq!(text.get(start..found.end), condition, "{text}"),
                None => {
                    assert_eq!((text.get(..found.end), condition), (Some(from), None), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_name_ends_before_its_alias() {
        for (text, name) in [
            ("t u", "t"),
            ("a.t AS u", "a.t"),
            ("\"a\".\"T\"\"x\" u", "\"a\".\"T\"\"x\""),
            ("a /* x */ . t, u", "a /* x */ . t"),
        ] {
            assert_eq!(name_end(text, 0).and_then(|end| text.get(..end)), Some(name));
        }
        assert_eq!(name_end("t * u", 0), None);
    }
}
