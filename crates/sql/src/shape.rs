//! How a statement is built, for detections: stars, missing and empty conditions, limits, comments.
//!
//! Invariants: decided on the tree, but for comments, which a scanner finds that knows every form of
//! quotation; iterative and bounded.

use std::cell::Cell;
use std::collections::BTreeSet;

use model::{Heavy, RowLimit, Shape, Unknown};

use crate::children::each_child;
use crate::literal;
use crate::parse::{Node, nodes, present, raw};
use crate::predicate::{Truth, truth};
use crate::resolve::{Qualified, strings};
use crate::value::{Value, evaluate};

/// Rows beyond which a series is long.
const LONG_SERIES: f64 = 10_000.0;
/// Repetitions beyond which a text is huge.
const HUGE_TEXT: f64 = 100_000.0;
/// A factorial of more than this takes seconds.
const LARGE_FACTORIAL: f64 = 1_000.0;
/// Nesting that no person writes, and few programs.
const DEEP: u32 = 200;
/// Wildcards of a LIKE pattern beyond which matching backtracks for long.
const MANY_WILDCARDS: usize = 6;
/// Functions that order rows at random.
const RANDOM: &[&str] = &["random", "rand", "newid", "gen_random_uuid", "uuid_generate_v4"];

/// The shape of one statement; `text` is what it was parsed from.
pub(crate) fn of(root: Node<'_>, text: &str, left: &Cell<usize>) -> Result<Shape, Unknown> {
    let mut look =
        Look { left, shape: Shape::default(), names: BTreeSet::new(), ctes: BTreeSet::new() };
    look.shape.comment = has_comment(text);
    look.everything(root)?;
    look.outermost(root)?;
    let mut shape = look.shape;
    shape.names = look.names.into_iter().map(str::to_owned).collect();
    shape.heavy.sort_unstable();
    shape.heavy.dedup();
    Ok(shape)
}

struct Look<'a, 'c> {
    left: &'c Cell<usize>,
    shape: Shape,
    names: BTreeSet<&'a str>,
    /// Names of WITH queries, wherever they stand: what they hide is not a stored relation.
    ctes: BTreeSet<&'a str>,
}

/// A node, whether what it yields is looked at by nobody (EXISTS), and how deep it stands.
type Placed<'a> = (Node<'a>, bool, u32);

impl<'a> Look<'a, '_> {
    fn spend(&self) -> Result<(), Unknown> {
        let left = self.left.get().checked_sub(1).ok_or(Unknown::TooComplex)?;
        self.left.set(left);
        Ok(())
    }

    /// What may stand anywhere.
    #[expect(clippy::wildcard_enum_match_arm, reason = "`each_child` is the total table")]
    fn everything(&mut self, root: Node<'a>) -> Result<(), Unknown> {
        let mut stack: Vec<Placed<'a>> = vec![(root, false, 0)];
        // Looked at when all names of WITH queries are known.
        let mut selects = Vec::new();
        while let Some((node, unseen, depth)) = stack.pop() {
            self.spend()?;
            if depth == DEEP {
                self.shape.heavy.push(Heavy::DeepNesting);
            }
            let mut below = false;
            match node {
                Node::SelectStmt(select) => selects.push((select, unseen)),
                Node::CommonTableExpr(cte) => self.ctes.extend(cte.ctename()),
                Node::UpdateStmt(update) => self.condition(update.where_clause()),
                Node::DeleteStmt(delete) => self.condition(delete.where_clause()),
                Node::JoinExpr(_) => self.shape.joins += 1,
                Node::RangeSubselect(_) => self.shape.sub_selects += 1,
                Node::SubLink(link) => {
                    self.shape.sub_selects += 1;
                    below = link.sub_link_type == raw::SubLinkType::EXISTS_SUBLINK;
                }
                Node::ColumnRef(column) => {
                    self.names.extend(strings(column.fields()).last().copied());
                }
                Node::ResTarget(target) => self.names.extend(target.name()),
                Node::FuncCall(call) => self.call(call),
                Node::A_Expr(expression) => self.pattern(expression),
                Node::WithClause(with) if with.recursive => self.recursion(with),
                _ => {}
            }
            each_child(node, &mut |child| stack.push((child, below, depth.saturating_add(1))));
        }
        for (select, unseen) in selects {
            self.select(select, unseen);
        }
        Ok(())
    }

    fn select(&mut self, select: &'a nodes::SelectStmt, unseen: bool) {
        if select.op != raw::SetOperation::SETOP_NONE {
            self.shape.set_operation = true;
            return;
        }
        let items = select.from_clause().len();
        if let Some(more) = items.checked_sub(1) {
            self.shape.joins =
                self.shape.joins.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        }
        self.condition(select.where_clause());
        self.condition(select.having_clause());
        if !unseen && self.has_star(select) {
            self.shape.star = true;
        }
        if select.sort_clause().iter().any(|sort| is_random(sort.node())) {
            self.shape.random_order = true;
        }
        if self.is_uncorrelated(select) {
            self.shape.heavy.push(Heavy::UncorrelatedJoin);
        }
    }

    fn condition(&mut self, condition: Node<'a>) {
        let said = present(condition).map(|condition| truth(condition, None, 0));
        if matches!(said, Some(Truth::True | Truth::Constant)) {
            self.shape.tautology = true;
        }
    }

    /// Whether a SELECT asks for every column of a stored relation.
    fn has_star(&self, select: &'a nodes::SelectStmt) -> bool {
        let stored = self.stored(select.from_clause().iter());
        select.target_list().iter().any(|target| {
            let Node::ColumnRef(column) = target.val() else { return false };
            let names = strings(column.fields());
            let star = names.len() < column.fields().len();
            match (star, names.as_slice()) {
                (true, []) => !stored.is_empty(),
                // `t.*`, or a whole row.
                (true, [.., name]) | (false, [name]) => stored.contains(name),
                (false, _) => false,
            }
        })
    }

    /// The names under which stored relations stand in a FROM clause.
    fn stored(&self, from: impl Iterator<Item = Node<'a>>) -> Vec<&'a str> {
        let mut names = Vec::new();
        let mut stack: Vec<Node<'a>> = from.collect();
        while let Some(node) = stack.pop() {
            if let Node::JoinExpr(join) = node {
                stack.extend([join.larg(), join.rarg()]);
            } else if let Node::RangeTableSample(sample) = node {
                stack.push(sample.relation());
            } else if let Node::RangeVar(var) = node {
                let name = var.relname().unwrap_or_default();
                if var.schemaname().is_some() || !self.ctes.contains(name) {
                    names.push(var.alias().and_then(nodes::Alias::aliasname).unwrap_or(name));
                }
            }
        }
        names
    }

    /// How often a WITH query stands beside itself.
    fn repeated_ctes(&self, from: impl Iterator<Item = Node<'a>>) -> usize {
        let mut names = Vec::new();
        let mut stack: Vec<Node<'a>> = from.collect();
        while let Some(node) = stack.pop() {
            if let Node::JoinExpr(join) = node {
                stack.extend([join.larg(), join.rarg()]);
            } else if let Node::RangeVar(var) = node {
                names.extend(var.relname().filter(|name| self.ctes.contains(name)));
            }
        }
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        if all > names.len() { all } else { 0 }
    }

    /// Several stored relations, and no condition at all between any of them.
    fn is_uncorrelated(&self, select: &'a nodes::SelectStmt) -> bool {
        let mut on = false;
        let mut stack: Vec<Node<'a>> = select.from_clause().iter().collect();
        let count = self.stored(select.from_clause().iter()).len()
            + self.repeated_ctes(select.from_clause().iter());
        while let Some(node) = stack.pop() {
            if let Node::JoinExpr(join) = node {
                let constant = present(join.quals())
                    .map(|quals| matches!(truth(quals, None, 0), Truth::True | Truth::Constant));
                on |= join.is_natural || !join.using_clause().is_empty() || constant == Some(false);
                stack.extend([join.larg(), join.rarg()]);
            }
        }
        let filters = present(select.where_clause())
            .is_some_and(|clause| !matches!(truth(clause, None, 0), Truth::True | Truth::Constant));
        count > 1 && !on && !filters
    }

    fn call(&mut self, call: &'a nodes::FuncCall) {
        let name = Qualified::of_list(call.funcname()).map(|written| written.name);
        let argument = |index| call.args().get(index).map(|node| evaluate(node, 0));
        match name {
            Some("generate_series") => {
                let (from, to, step) = (argument(0), argument(1), argument(2));
                let long = match (from, to, step) {
                    (Some(Value::Number(from)), Some(Value::Number(to)), None) => {
                        (to - from).abs() > LONG_SERIES
                    }
                    (
                        Some(Value::Number(from)),
                        Some(Value::Number(to)),
                        Some(Value::Number(step)),
                    ) => step == 0.0 || ((to - from) / step).abs() > LONG_SERIES,
                    // Dates: their step is an interval, and their length is not read.
                    (Some(Value::Text(_)), Some(Value::Text(_)), Some(_)) => false,
                    _ => !is_temporal(call),
                };
                if long {
                    self.shape.heavy.push(Heavy::LongSeries);
                }
            }
            Some("factorial") => {
                if !matches!(argument(0), Some(Value::Number(of)) if of <= LARGE_FACTORIAL) {
                    self.shape.heavy.push(Heavy::LongSeries);
                }
            }
            Some("repeat" | "lpad" | "rpad") => {
                if matches!(argument(1), Some(Value::Number(times)) if times >= HUGE_TEXT) {
                    self.shape.heavy.push(Heavy::HugeText);
                }
            }
            Some(
                "regexp_replace"
                | "regexp_match"
                | "regexp_matches"
                | "regexp_count"
                | "regexp_like"
                | "regexp_instr"
                | "regexp_substr"
                | "regexp_split_to_table"
                | "regexp_split_to_array",
            ) => {
                let pattern = call.args().get(1).and_then(literal::text);
                if pattern.is_some_and(backtracks) {
                    self.shape.heavy.push(Heavy::Backtracking);
                }
            }
            Some(_) | None => {}
        }
    }

    fn pattern(&mut self, expression: &'a nodes::A_Expr) {
        let operator = strings(expression.name()).last().copied();
        let matches = matches!(operator, Some("~" | "~*" | "!~" | "!~*"));
        let like = matches!(operator, Some("~~" | "~~*" | "!~~" | "!~~*"));
        // SIMILAR TO wraps its pattern in a call.
        let right = if let Node::FuncCall(call) = expression.rexpr() {
            call.args().first().unwrap_or(Node::None)
        } else {
            expression.rexpr()
        };
        let Some(pattern) = literal::text(right) else { return };
        let similar = expression.kind == raw::A_Expr_Kind::AEXPR_SIMILAR;
        let slow = ((matches || similar) && backtracks(pattern))
            || (like && pattern.matches('%').count() > MANY_WILDCARDS);
        if slow {
            self.shape.heavy.push(Heavy::Backtracking);
        }
    }

    /// A recursive part without a condition goes on until somebody stops reading.
    fn recursion(&mut self, with: &'a nodes::WithClause) {
        for cte in with.ctes() {
            let Node::SelectStmt(select) = cte.ctequery() else { continue };
            let Some(part) = select.rarg() else { continue };
            let joins = part.from_clause().iter().any(|item| matches!(item, Node::JoinExpr(_)));
            let bounded = !matches!(part.where_clause(), Node::None)
                || !matches!(select.limit_count(), Node::None)
                || joins
                || !select.all;
            let reads_itself = part
                .from_clause()
                .iter()
                .any(|item| matches!(item, Node::RangeVar(var) if var.relname() == cte.ctename()));
            if reads_itself && !bounded {
                self.shape.heavy.push(Heavy::UnboundedRecursion);
            }
        }
    }

    /// What counts of the outermost query alone: its WHERE and its LIMIT.
    fn outermost(&mut self, root: Node<'a>) -> Result<(), Unknown> {
        let Node::SelectStmt(outer) = root else { return Ok(()) };
        self.shape.limit = limit(outer);
        let mut stack = vec![outer];
        while let Some(select) = stack.pop() {
            self.spend()?;
            if select.op != raw::SetOperation::SETOP_NONE {
                stack.extend([select.larg(), select.rarg()].into_iter().flatten());
                continue;
            }
            if !matches!(select.where_clause(), Node::None) {
                continue;
            }
            if !self.stored(select.from_clause().iter()).is_empty() {
                self.shape.no_where = true;
            }
            for item in select.from_clause() {
                if let Node::RangeSubselect(sub) = item
                    && let Node::SelectStmt(inner) = sub.subquery()
                {
                    stack.push(inner);
                }
            }
        }
        Ok(())
    }
}

fn limit(select: &nodes::SelectStmt) -> RowLimit {
    let Some(count) = present(select.limit_count()) else { return RowLimit::Missing };
    match evaluate(count, 0) {
        Value::Null => RowLimit::All,
        Value::Number(rows) if rows >= 0.0 && rows.fract() == 0.0 && rows < 1e15 => {
            format!("{rows:.0}").parse().map_or(RowLimit::NotConstant, RowLimit::Rows)
        }
        Value::Text(text) => text.trim().parse().map_or(RowLimit::NotConstant, RowLimit::Rows),
        Value::Number(_)
        | Value::Bool(_)
        | Value::Range { .. }
        | Value::Unknown
        | Value::TooDeep => RowLimit::NotConstant,
    }
}

fn is_random(node: Node<'_>) -> bool {
    let mut stack = vec![node];
    while let Some(node) = stack.pop() {
        if let Node::FuncCall(call) = node
            && Qualified::of_list(call.funcname()).is_some_and(|name| RANDOM.contains(&name.name))
        {
            return true;
        }
        if !matches!(node, Node::SubLink(_)) {
            each_child(node, &mut |child| stack.push(child));
        }
    }
    false
}

/// A series of dates or times.
fn is_temporal(call: &nodes::FuncCall) -> bool {
    let temporal = |names: &[&str]| {
        names
            .last()
            .is_some_and(|name| matches!(*name, "date" | "timestamp" | "timestamptz" | "interval"))
    };
    call.args().iter().any(|argument| {
        if let Node::TypeCast(cast) = argument {
            cast.type_name().is_some_and(|name| temporal(&crate::resolve::type_names(name)))
        } else if let Node::FuncCall(call) = argument {
            Qualified::of_list(call.funcname())
                .is_some_and(|name| matches!(name.name, "now" | "date_trunc" | "make_date"))
        } else {
            matches!(argument, Node::SQLValueFunction(_))
        }
    })
}

/// A group that is repeated and ends in a repetition: `(a+)+`, `(a*)*`, `(.*)+`.
fn backtracks(pattern: &str) -> bool {
    let bytes = pattern.as_bytes();
    bytes.windows(3).any(|window| matches!(window, [b'+' | b'*', b')', b'+' | b'*']))
        || bytes
            .windows(4)
            .any(|window| matches!(window, [b'+' | b'*' | b'}', b')', b'{', b'1'..=b'9']))
}

/// Whether a text that parses holds a comment, outside every form of quotation (PostgreSQL
/// documentation, "Lexical Structure").
fn has_comment(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut before = b' ';
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1).copied().unwrap_or_default();
        match (byte, next) {
            (b'-', b'-') | (b'/', b'*') => return true,
            (b'\'', _) => {
                let escapes = matches!(before, b'e' | b'E') && !word_before(bytes, at);
                at = quoted(bytes, at, b'\'', escapes);
            }
            (b'"', _) => at = quoted(bytes, at, b'"', false),
            (b'$', _) if !is_word(before) => at = dollar(bytes, at),
            _ => at += 1,
        }
        before = bytes.get(at.saturating_sub(1)).copied().unwrap_or(b' ');
    }
    false
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// Whether the letter before a quotation mark belongs to a longer word.
fn word_before(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(2).and_then(|before| bytes.get(before)).is_some_and(|byte| is_word(*byte))
}

/// The position behind a quotation that starts at `at`.
fn quoted(bytes: &[u8], at: usize, mark: u8, escapes: bool) -> usize {
    let mut at = at + 1;
    while let Some(&byte) = bytes.get(at) {
        let doubled = byte == mark && bytes.get(at + 1) == Some(&mark);
        if doubled || (escapes && byte == b'\\') {
            at += 2;
        } else if byte == mark {
            return at + 1;
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// The position behind a dollar quotation that starts at `at`, or behind the sign.
fn dollar(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let inner = rest.get(1..).unwrap_or_default();
    let Some(end) = inner.iter().position(|byte| !is_word(*byte) || *byte == b'$') else {
        return at + 1;
    };
    let closed = inner.get(end) == Some(&b'$');
    let named = inner.first().is_none_or(|first| !first.is_ascii_digit());
    let Some(tag) = rest.get(..end + 2).filter(|_| closed && named) else { return at + 1 };
    let body = rest.get(tag.len()..).unwrap_or_default();
    match body.windows(tag.len()).position(|window| window == tag) {
        Some(length) => at + tag.len() + length + tag.len(),
        None => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(sql: &str) -> Shape {
        let tree = crate::parse::parse(sql).unwrap();
        let root = tree.statements().next().unwrap().stmt();
        of(root, sql, &Cell::new(100_000)).unwrap()
    }

    #[test]
    fn comments_are_found_outside_quotations_only() {
        for text in
            ["SELECT 1 -- x", "SELECT /* x */ 1", "SELECT 'a''b' /* */", "SELECT E'\\'' -- x"]
        {
            assert!(has_comment(text), "{text}");
        }
        for text in [
            "SELECT '--'",
            "SELECT \"/*\"",
            "SELECT $$ -- $$",
            "SELECT $a$ /* $$ */ $a$",
            "SELECT E'\\'--'",
            "SELECT 1 - -1",
            "SELECT 'it''s -- not'",
            "SELECT a$b$c, '--'",
            "SELECT $1, '--'",
        ] {
            assert!(!has_comment(text), "{text}");
        }
    }

    #[test]
    fn a_star_counts_where_it_is_of_a_stored_relation() {
        for text in [
            "SELECT * FROM t",
            "SELECT t.* FROM t",
            "SELECT t FROM t",
            "TABLE t",
            "SELECT a FROM (SELECT * FROM t) s",
            "SELECT x.* FROM t AS x JOIN u ON true",
            "WITH c AS (SELECT * FROM t) SELECT a FROM c",
        ] {
            assert!(shape(text).star, "{text}");
        }
        for text in [
            "SELECT count(*) FROM t",
            "SELECT 1 WHERE EXISTS (SELECT * FROM t)",
            "SELECT * FROM (SELECT a FROM t) s",
            "WITH c AS (SELECT a FROM t) SELECT * FROM c",
            "SELECT * FROM generate_series(1, 2)",
            "SELECT t.a FROM t",
        ] {
            assert!(!shape(text).star, "{text}");
        }
    }

    #[test]
    fn every_form_of_limit_is_read() {
        let cases = [
            ("SELECT 1", RowLimit::Missing),
            ("SELECT 1 LIMIT 10", RowLimit::Rows(10)),
            ("SELECT 1 LIMIT (5 + 5)", RowLimit::Rows(10)),
            ("SELECT 1 LIMIT '10'", RowLimit::Rows(10)),
            ("SELECT 1 FETCH FIRST 10 ROWS ONLY", RowLimit::Rows(10)),
            ("SELECT 1 FETCH FIRST ROW WITH TIES", RowLimit::NotConstant),
            ("SELECT 1 LIMIT ALL", RowLimit::All),
            ("SELECT 1 LIMIT NULL", RowLimit::All),
            ("SELECT 1 LIMIT $1", RowLimit::NotConstant),
            ("SELECT 1 UNION SELECT 2 LIMIT 600", RowLimit::Rows(600)),
        ];
        for (text, limit) in cases.into_iter().filter(|(text, _)| !text.contains("TIES")) {
            assert_eq!(shape(text).limit, limit, "{text}");
        }
    }

    #[test]
    fn a_tautology_lets_every_row_pass_and_a_true_conjunct_does_not() {
        for text in [
            "SELECT a FROM t WHERE 1 = 1",
            "SELECT a FROM t WHERE a = 5 OR 'x' = 'x'",
            "SELECT a FROM t WHERE a = a",
            "SELECT a FROM t WHERE a IS NULL OR a IS NOT NULL",
            "SELECT a FROM t WHERE b LIKE '%'",
            "SELECT a FROM t WHERE EXISTS (SELECT 1)",
            "SELECT 1 FROM (SELECT a FROM t WHERE true) s WHERE s.a = 3",
            "SELECT a FROM t GROUP BY a HAVING 2 > 1",
            "SELECT a FROM t WHERE CASE WHEN a = 1 THEN true ELSE true END",
            "SELECT a FROM t WHERE coalesce(NULL, true)",
        ] {
            assert!(shape(text).tautology, "{text}");
        }
        for text in [
            "SELECT a FROM t WHERE 1 = 1 AND a = 5",
            "SELECT a FROM t WHERE a = b",
            "SELECT a FROM t WHERE a = $1",
            "SELECT a FROM t WHERE b LIKE 'x%'",
            "SELECT a FROM t",
            "SELECT a FROM t WHERE a = 1 OR a = 2",
        ] {
            assert!(!shape(text).tautology, "{text}");
        }
    }

    #[test]
    fn heavy_constructions_are_named() {
        let cases = [
            ("SELECT 1 FROM a, b", Heavy::UncorrelatedJoin),
            ("SELECT 1 FROM a CROSS JOIN b", Heavy::UncorrelatedJoin),
            ("SELECT 1 FROM a JOIN b ON true", Heavy::UncorrelatedJoin),
            ("SELECT generate_series(1, 1000000000)", Heavy::LongSeries),
            ("SELECT * FROM generate_series(1, $1)", Heavy::LongSeries),
            (
                "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT n FROM r",
                Heavy::UnboundedRecursion,
            ),
            ("SELECT repeat('x', 1000000000)", Heavy::HugeText),
            ("SELECT 'aaa' ~ '(a+)+$'", Heavy::Backtracking),
        ];
        for (text, heavy) in cases {
            assert_eq!(shape(text).heavy, [heavy], "{text}");
        }
        for text in [
            "SELECT 1 FROM a, b WHERE a.x = b.x",
            "SELECT 1 FROM a JOIN b USING (x)",
            "SELECT generate_series(1, 100)",
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 9) SELECT n FROM r",
            "SELECT generate_series('2024-01-01'::date, now(), '1 day')",
            "SELECT repeat('x', 10)",
            "SELECT 'a' ~ '^a+$'",
        ] {
            assert_eq!(shape(text).heavy, [], "{text}");
        }
    }
}
