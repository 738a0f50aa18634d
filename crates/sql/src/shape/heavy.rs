//! Constructions that can keep a server busy whatever the data are.
//!
//! What is not here: how long anything takes; only what is plain on the face of the statement.

use std::cell::Cell;
use std::collections::BTreeSet;

use model::{Heavy, Shape, Unknown};

use crate::canonical::Marks;
use crate::children::{ROOM, each_branch};
use crate::literal;
use crate::names::is_truthy_analyze;
use crate::parse::{Node, nodes, present, raw};
use crate::predicate::{Truth, truth};
use crate::resolve::{Qualified, last_string, last_type_name};
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
/// Rows beyond which a series that is written down is long.
const LONG_WRITTEN_SERIES: f64 = 1_000.0;

/// Notes in `shape` what is heavy about a statement, and which parts run or write out of turn.
pub(super) fn add(
    shape: &mut Shape,
    root: Node<'_>,
    left: &Cell<usize>,
    marks: Option<&mut Marks<'_>>,
) -> Result<Seen, Unknown> {
    let writes = matches!(root, Node::InsertStmt(_));
    let most = if writes { LONG_WRITTEN_SERIES } else { LONG_SERIES };
    let mut look = Look {
        left,
        heavy: Vec::new(),
        ctes: BTreeSet::new(),
        most,
        writing_with: false,
        seen: Seen::default(),
    };
    look.everything(root, marks)?;
    look.heavy.sort_unstable();
    look.heavy.dedup();
    shape.heavy = look.heavy;
    shape.writing_with = look.writing_with;
    if let Node::ExplainStmt(explain) = root {
        shape.runs_explained = explain.options().iter().any(is_truthy_analyze);
    } else if let Node::VariableShowStmt(show) = root {
        shape.shown = vec![show.name().unwrap_or_default().to_ascii_lowercase()];
    } else if let Node::TransactionStmt(step) = root {
        use raw::TransactionStmtKind as Kind;
        shape.two_phase = matches!(
            step.kind,
            Kind::TRANS_STMT_PREPARE
                | Kind::TRANS_STMT_COMMIT_PREPARED
                | Kind::TRANS_STMT_ROLLBACK_PREPARED
        );
    }
    Ok(look.seen)
}

/// What the look came by.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How many nodes there are.
    pub(super) nodes: usize,
    /// Each parameter as often as it stands there.
    pub(super) parameters: Vec<u32>,
}

/// What is known of a node from the one that holds it.
#[derive(Debug, Clone, Copy, Default)]
struct Below {
    /// Whoever reads it stops reading.
    cut_short: bool,
    /// Its constants bear meaning.
    keep: bool,
}

struct Look<'a, 'c> {
    left: &'c Cell<usize>,
    heavy: Vec<Heavy>,
    /// Names of WITH queries, wherever they stand: what they hide is not a stored relation.
    ctes: BTreeSet<&'a str>,
    /// Rows that a series may have.
    most: f64,
    writing_with: bool,
    seen: Seen,
}

impl<'a> Look<'a, '_> {
    fn spend(&mut self, nodes: usize) -> Result<(), Unknown> {
        self.seen.nodes += nodes;
        let left = self.left.get().checked_sub(nodes).ok_or(Unknown::TooComplex)?;
        self.left.set(left);
        Ok(())
    }

    /// What may stand anywhere.
    #[expect(clippy::wildcard_enum_match_arm, reason = "`each_child` is the total table")]
    fn everything(
        &mut self,
        root: Node<'a>,
        mut marks: Option<&mut Marks<'_>>,
    ) -> Result<(), Unknown> {
        let mut stack: Vec<(Node<'a>, u32, Below)> = Vec::with_capacity(ROOM);
        stack.push((root, 0, Below::default()));
        // Looked at when all names of WITH queries are known.
        let mut selects = Vec::new();
        while let Some((node, depth, Below { cut_short, keep })) = stack.pop() {
            self.spend(1)?;
            let depth = depth.saturating_add(1);
            let is_deep = depth == DEEP;
            match node {
                Node::SelectStmt(select) => selects.push(select),
                Node::CommonTableExpr(cte) => {
                    self.ctes.extend(cte.ctename());
                    self.writing_with |= !matches!(cte.ctequery(), Node::SelectStmt(_));
                }
                Node::XmlExpr(xml) => self.entities(xml),
                Node::FuncCall(call) => self.call(call),
                Node::ParamRef(parameter) => {
                    self.seen.parameters.extend(u32::try_from(parameter.number));
                }
                Node::A_Expr(expression) => self.pattern(expression),
                Node::WithClause(with) if with.recursive && !cut_short => self.recursion(with),
                _ => {}
            }
            // Whoever stops reading stops the recursion (PostgreSQL documentation, "Recursive Queries").
            let ends = matches!(node, Node::SelectStmt(select) if is_cut_short(select));
            let keep = marks.as_mut().is_some_and(|marks| marks.visit(node, keep));
            let below = Below { cut_short: ends, keep };
            let before = stack.len();
            let names = each_branch(node, &mut |child| stack.push((child, depth, below)));
            self.spend(names)?;
            if is_deep && (names > 0 || stack.len() > before) {
                self.heavy.push(Heavy::DeepNesting);
            }
        }
        if selects.into_iter().any(|select| self.is_uncorrelated(select)) {
            self.heavy.push(Heavy::UncorrelatedJoin);
        }
        Ok(())
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
        let from = select.from_clause();
        if matches!((from.len(), from.first()), (0, _) | (1, Some(Node::RangeVar(_)))) {
            return false;
        }
        let count = self.stored(from.iter()).len() + self.repeated_ctes(from.iter());
        count > 1 && !joins_on(from.iter()) && !filters(select.where_clause())
    }

    fn call(&mut self, call: &'a nodes::FuncCall) {
        let name = Qualified::of_list(call.funcname()).map(|written| written.name);
        let argument = |index| call.args().get(index).map(|node| evaluate(node, 0));
        match name {
            Some("generate_series") => {
                let (from, to, step) = (argument(0), argument(1), argument(2));
                let long = match (from, to, step) {
                    (Some(Value::Number(from)), Some(Value::Number(to)), None) => {
                        (to - from).abs() > self.most
                    }
                    (
                        Some(Value::Number(from)),
                        Some(Value::Number(to)),
                        Some(Value::Number(step)),
                    ) => step == 0.0 || ((to - from) / step).abs() > self.most,
                    // Dates: their step is an interval, and their length is not read.
                    (Some(Value::Text(_)), Some(Value::Text(_)), Some(_)) => false,
                    _ => !is_temporal(call) && !is_as_long_as_data(call),
                };
                if long {
                    self.heavy.push(Heavy::LongSeries);
                }
            }
            Some("factorial") => {
                if !matches!(argument(0), Some(Value::Number(of)) if of <= LARGE_FACTORIAL) {
                    self.heavy.push(Heavy::LongSeries);
                }
            }
            Some("repeat" | "lpad" | "rpad") => {
                if matches!(argument(1), Some(Value::Number(times)) if times >= HUGE_TEXT) {
                    self.heavy.push(Heavy::HugeText);
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
                let pattern = call.args().get(1).map(|pattern| evaluate(pattern, 0));
                if matches!(pattern, Some(Value::Text(pattern)) if backtracks(&pattern)) {
                    self.heavy.push(Heavy::Backtracking);
                }
            }
            Some(_) | None => {}
        }
    }

    fn pattern(&mut self, expression: &'a nodes::A_Expr) {
        let operator = last_string(expression.name());
        let matches = matches!(operator, Some("~" | "~*" | "!~" | "!~*"));
        let like = matches!(operator, Some("~~" | "~~*" | "!~~" | "!~~*"));
        // SIMILAR TO wraps its pattern in a call.
        let right = if let Node::FuncCall(call) = expression.rexpr() {
            call.args().first().unwrap_or(Node::None)
        } else {
            expression.rexpr()
        };
        let similar = expression.kind == raw::A_Expr_Kind::AEXPR_SIMILAR;
        if !(matches || like || similar) {
            return;
        }
        let Value::Text(pattern) = evaluate(right, 0) else { return };
        let slow = ((matches || similar) && backtracks(&pattern))
            || (like && pattern.matches('%').count() > MANY_WILDCARDS);
        if slow {
            self.heavy.push(Heavy::Backtracking);
        }
    }

    /// XML that declares entities may unfold them into each other.
    fn entities(&mut self, xml: &'a nodes::XmlExpr) {
        let text =
            |node: Node<'a>| literal::text(node).is_some_and(|text| text.contains("<!ENTITY"));
        if xml.op == raw::XmlExprOp::IS_XMLPARSE && xml.args().iter().any(text) {
            self.heavy.push(Heavy::HugeText);
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
                self.heavy.push(Heavy::UnboundedRecursion);
            }
        }
    }
}

/// Whether a condition stands between any items of a FROM clause.
fn joins_on<'a>(from: impl Iterator<Item = Node<'a>>) -> bool {
    let mut stack: Vec<Node<'a>> = from.collect();
    while let Some(node) = stack.pop() {
        if let Node::JoinExpr(join) = node {
            if join.is_natural || !join.using_clause().is_empty() || filters(join.quals()) {
                return true;
            }
            stack.extend([join.larg(), join.rarg()]);
        }
    }
    false
}

/// Whether there is a condition, and not one that lets everything through.
fn filters(condition: Node<'_>) -> bool {
    present(condition).is_some_and(|condition| {
        !matches!(truth(condition, None, 0), Truth::True | Truth::Constant)
    })
}

/// A LIMIT that is a number, with nothing that has to see every row first.
fn is_cut_short(select: &nodes::SelectStmt) -> bool {
    let limited = present(select.limit_count()).is_some_and(
        |count| matches!(evaluate(count, 0), Value::Number(rows) if rows <= LONG_SERIES),
    );
    limited
        && select.op == raw::SetOperation::SETOP_NONE
        && select.sort_clause().is_empty()
        && select.group_clause().is_empty()
        && select.distinct_clause().is_empty()
        && select.window_clause().is_empty()
        && matches!(select.where_clause(), Node::None)
}

/// As long as something that is stored: an array, a text.
fn is_as_long_as_data(call: &nodes::FuncCall) -> bool {
    const LENGTHS: &[&str] = &[
        "array_length",
        "array_lower",
        "array_upper",
        "cardinality",
        "char_length",
        "json_array_length",
        "jsonb_array_length",
        "length",
    ];
    let is_length = |node: Node<'_>| {
        matches!(node, Node::FuncCall(inner)
            if Qualified::of_list(inner.funcname()).is_some_and(|own| LENGTHS.contains(&own.name)))
    };
    let plain = |node: Node<'_>| matches!(evaluate(node, 0), Value::Number(_)) || is_length(node);
    call.args().len() == 2 && call.args().iter().all(plain)
}

/// A series of dates or times.
fn is_temporal(call: &nodes::FuncCall) -> bool {
    let temporal = |name| matches!(name, "date" | "timestamp" | "timestamptz" | "interval");
    call.args().iter().any(|argument| {
        if let Node::TypeCast(cast) = argument {
            cast.type_name().and_then(last_type_name).is_some_and(temporal)
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
