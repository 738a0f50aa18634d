//! Whether the parts of an OR cover everything between them: `a < 5 OR a >= 5`, `x OR NOT x`.
//!
//! What is not here: NULL; a row that has it in such a column is let through by no part, and an
//! honest filter is not written like that.

use std::collections::{HashMap, HashSet};

use crate::limits::MAX_PREDICATE_DEPTH;
use crate::parse::{Node, nodes, raw};
use crate::resolve::Qualified;
use crate::seen::Seen;
use crate::spelling;
use crate::value;

/// Numbers that the parts of one expression let through.
#[derive(Debug, Default)]
struct Numbers {
    /// The highest upper bound, and whether it is let through itself.
    below: Option<(f64, bool)>,
    /// The lowest lower bound, and whether it is let through itself.
    above: Option<(f64, bool)>,
    /// Single ones that are let through.
    equal: Vec<f64>,
    /// Single ones that a part lets not through, but everything else.
    all_but: Vec<f64>,
}

/// What the parts say.
struct Parts<'t> {
    target: Option<Seen<'t>>,
    /// Spelled parts, with whether each is wanted true.
    said: HashSet<(String, bool)>,
    numbers: HashMap<String, Numbers>,
    complete: bool,
}

/// Whether `node` is true whatever the row is, read as parts of which one holds.
pub(crate) fn everything(node: Node<'_>, target: Option<Seen<'_>>) -> bool {
    // All of whose parts hold is one part, and one is not everything.
    if matches!(node, Node::BoolExpr(all) if all.boolop == raw::BoolExprType::AND_EXPR) {
        return false;
    }
    let mut parts =
        Parts { target, said: HashSet::new(), numbers: HashMap::new(), complete: false };
    parts.read(node, true, 0);
    parts.complete || parts.numbers.values().any(Numbers::cover)
}

impl Parts<'_> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is neither joined nor compared is said as it is"
    )]
    fn read(&mut self, node: Node<'_>, wanted: bool, depth: u32) {
        if depth > MAX_PREDICATE_DEPTH || self.complete {
            return;
        }
        match node {
            Node::BoolExpr(expression) => self.junction(expression, wanted, depth),
            Node::BooleanTest(test) => {
                use raw::BoolTestType as Kind;
                match test.booltesttype {
                    Kind::IS_TRUE | Kind::IS_NOT_FALSE => self.read(test.arg(), wanted, depth + 1),
                    Kind::IS_FALSE | Kind::IS_NOT_TRUE => self.read(test.arg(), !wanted, depth + 1),
                    _ => self.say(node, wanted),
                }
            }
            Node::NullTest(test) => {
                let wants_null = test.nulltesttype == raw::NullTestType::IS_NULL;
                if let Some(text) = spelling::of(test.arg(), self.target) {
                    self.add(format!("null {text}"), wants_null == wanted);
                }
            }
            Node::A_Expr(expression) => self.comparison(expression, wanted),
            other => self.say(other, wanted),
        }
    }

    fn junction(&mut self, expression: &nodes::BoolExpr, wanted: bool, depth: u32) {
        use raw::BoolExprType as Kind;
        let whole = Node::BoolExpr(expression);
        match (expression.boolop, wanted) {
            (Kind::OR_EXPR, true) | (Kind::AND_EXPR, false) => {
                for part in expression.args() {
                    self.read(part, wanted, depth + 1);
                }
            }
            (Kind::NOT_EXPR, _) => {
                if let Some(inner) = expression.args().first() {
                    self.read(inner, !wanted, depth + 1);
                }
            }
            _ => self.say(whole, wanted),
        }
    }

    fn say(&mut self, node: Node<'_>, wanted: bool) {
        if let Some(text) = spelling::of(node, self.target) {
            self.add(text, wanted);
        }
    }

    fn add(&mut self, text: String, wanted: bool) {
        let key = (text, !wanted);
        self.complete |= self.said.contains(&key);
        self.said.insert((key.0, wanted));
    }

    fn comparison(&mut self, expression: &nodes::A_Expr, wanted: bool) {
        let (left, right) = (expression.lexpr(), expression.rexpr());
        let operator = Qualified::of_list(expression.name()).map_or("", |written| written.name);
        let (positive, holds) = positive(operator, wanted);
        let (Some(one), Some(other)) =
            (spelling::of(left, self.target), spelling::of(right, self.target))
        else {
            return;
        };
        let kind = expression.kind;
        if kind != raw::A_Expr_Kind::AEXPR_OP {
            let (kind, holds) = positive_kind(kind, holds);
            // The kinds whose operator is a word say it twice.
            let word = positive.bytes().any(|byte| byte.is_ascii_alphabetic());
            let operator = if word { "" } else { positive };
            self.add(format!("{kind} {one} {operator} {other}"), holds);
            return;
        }
        let operator = if holds { positive } else { negated(positive) };
        // Literals alone: folding what stands deeper would cost twice at each level.
        match (literal_number(left), literal_number(right)) {
            (Some(_), Some(_)) => {}
            (None, Some(bound)) => self.number(one, operator, bound),
            (Some(bound), None) => self.number(other, mirrored(operator), bound),
            (None, None) => self.ordered(&one, (positive, holds), &other),
        }
    }

    /// `a < b` is `b > a`, and the opposite of `a >= b`.
    fn ordered(&mut self, one: &str, (operator, holds): (&str, bool), other: &str) {
        let turns = matches!(operator, "=" | "<" | "<=" | ">" | ">=") && one > other;
        let (one, operator, other) =
            if turns { (other, mirrored(operator), one) } else { (one, operator, other) };
        let (operator, holds) = match operator {
            ">=" => ("<", !holds),
            ">" => ("<=", !holds),
            plain => (plain, holds),
        };
        self.add(format!("{one} {operator} {other}"), holds);
    }

    fn number(&mut self, expression: String, operator: &str, bound: f64) {
        let numbers = self.numbers.entry(expression).or_default();
        match operator {
            "=" => numbers.equal.push(bound),
            "<>" => numbers.all_but.push(bound),
            "<" | "<=" => {
                let new = (bound, operator == "<=");
                let wider = numbers.below.is_none_or(|old| old < new);
                numbers.below = if wider { Some(new) } else { numbers.below };
            }
            ">" | ">=" => {
                let new = (bound, operator == ">=");
                let wider = numbers.above.is_none_or(|(old, own)| {
                    bound < old || (bound.total_cmp(&old).is_eq() && new.1 && !own)
                });
                numbers.above = if wider { Some(new) } else { numbers.above };
            }
            _ => {}
        }
    }
}

impl Numbers {
    fn holds(&self, number: f64) -> bool {
        let same = |other: &f64| other.total_cmp(&number).is_eq();
        self.below.is_some_and(|(high, own)| number < high || (own && same(&high)))
            || self.above.is_some_and(|(low, own)| number > low || (own && same(&low)))
            || self.equal.iter().any(same)
            || self.all_but.iter().any(|but| !same(but))
    }

    fn cover(&self) -> bool {
        let but = self.all_but.iter().any(|but| self.holds(*but));
        let meet = match (self.above, self.below) {
            (Some((low, _)), Some((high, _))) => {
                low < high || (low.total_cmp(&high).is_eq() && self.holds(low))
            }
            (None | Some(_), None) | (None, Some(_)) => false,
        };
        but || meet
    }
}

/// The number that a literal is.
#[expect(clippy::wildcard_enum_match_arm, reason = "only a sign stands before a literal")]
fn literal_number(node: Node<'_>) -> Option<f64> {
    match node {
        Node::A_Expr(expression)
            if matches!(expression.lexpr(), Node::None)
                && Qualified::of_list(expression.name()).is_some_and(|one| one.name == "-") =>
        {
            value::literal_number(expression.rexpr()).map(|number| -number)
        }
        other => value::literal_number(other),
    }
}

/// The operator without its negation, and whether it is wanted true then.
fn positive(operator: &str, wanted: bool) -> (&str, bool) {
    match operator {
        "<>" | "!=" => ("=", !wanted),
        "!~~" => ("~~", !wanted),
        "!~~*" => ("~~*", !wanted),
        "!~" => ("~", !wanted),
        "!~*" => ("~*", !wanted),
        other => (other, wanted),
    }
}

fn positive_kind(kind: raw::A_Expr_Kind::Type, wanted: bool) -> (raw::A_Expr_Kind::Type, bool) {
    use raw::A_Expr_Kind as Kind;
    match kind {
        Kind::AEXPR_NOT_DISTINCT => (Kind::AEXPR_DISTINCT, !wanted),
        Kind::AEXPR_NOT_BETWEEN => (Kind::AEXPR_BETWEEN, !wanted),
        Kind::AEXPR_NOT_BETWEEN_SYM => (Kind::AEXPR_BETWEEN_SYM, !wanted),
        other => (other, wanted),
    }
}

fn negated(operator: &str) -> &str {
    match operator {
        "=" => "<>",
        "<" => ">=",
        "<=" => ">",
        ">" => "<=",
        ">=" => "<",
        other => other,
    }
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
