//! Whether a WHERE filters: three-valued folding of what is constant on its face.
//!
//! What is here: the reading of conditions for [`Unfiltered`]. What is not: statistics, types,
//! catalogs. Invariants: a condition that does not depend on the row never counts as a filter,
//! unless it folds to false; a condition too deep to read makes the fact unknown.

use model::{Operation, Unfiltered, Unknown};

use crate::children::each_child;
use crate::cover::everything;
use crate::limits::{MAX_PREDICATE_DEPTH, MAX_PREDICATE_NODES};
use crate::parse::{Node, nodes, present, raw};
use crate::resolve::{Qualified, last_string};
use crate::seen::Seen;
use crate::spelling;
use crate::statements::written;
use crate::value::{Value, compare, evaluate, same_column};
use crate::walk::Walk;

/// What a condition says about rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Truth {
    /// Every row.
    True,
    /// No row, or NULL: also no row.
    False,
    /// It depends on the row, or on a parameter.
    Depends,
    /// The same for every row, but we cannot tell which.
    Constant,
    /// Too deep to tell.
    TooDeep,
}

impl Truth {
    pub(crate) const fn of(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }

    const fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Depends => Self::Depends,
            Self::Constant => Self::Constant,
            Self::TooDeep => Self::TooDeep,
        }
    }

    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::TooDeep, _) | (_, Self::TooDeep) => Self::TooDeep,
            (Self::Depends, _) | (_, Self::Depends) => Self::Depends,
            (Self::Constant, _) | (_, Self::Constant) => Self::Constant,
            (Self::True, Self::True) => Self::True,
        }
    }

    const fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::True, _) | (_, Self::True) => Self::True,
            (Self::TooDeep, _) | (_, Self::TooDeep) => Self::TooDeep,
            // Constant-but-unreadable in one branch may let every row through.
            (Self::Constant, _) | (_, Self::Constant) => Self::Constant,
            (Self::Depends, _) | (_, Self::Depends) => Self::Depends,
            (Self::False, Self::False) => Self::False,
        }
    }
}

impl<'a> Walk<'a, '_> {
    /// Records an UPDATE or DELETE whose WHERE lets every row through.
    pub(crate) fn filtered(
        &mut self,
        operation: Operation,
        target: Option<&'a nodes::RangeVar>,
        condition: Node<'a>,
    ) {
        let context = self.environment.context;
        let truth = clause(condition, target.map(|var| Seen::of(var, &context)), 0);
        self.record(operation, target, truth);
    }

    /// Records an UPDATE that gives one column the same value wherever it has one: its WHERE leaves out what
    /// would not be lost.
    pub(crate) fn wiped(&mut self, update: &'a nodes::UpdateStmt) {
        let mut targets = update.target_list().iter();
        let (Some(target), None) = (targets.next(), targets.next()) else { return };
        let Node::NullTest(test) = update.where_clause() else { return };
        let Node::ColumnRef(column) = test.arg() else { return };
        let same = column.fields().iter().next_back().and_then(Node::as_str) == target.name();
        let value = evaluate(target.val(), 0);
        let constant = is_constant(target.val())
            || matches!(value, Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_));
        if same && constant && test.nulltesttype == raw::NullTestType::IS_NOT_NULL {
            self.record(Operation::Update, update.relation(), Truth::True);
        }
    }

    /// Records MERGE branches that update or delete every row.
    pub(crate) fn merge_branches(&mut self, merge: &'a nodes::MergeStmt) {
        let target = merge.relation();
        let context = self.environment.context;
        let seen = target.map(|var| Seen::of(var, &context));
        // Read once: there may be many branches.
        let joined = truth(merge.join_condition(), seen, 0);
        for branch in merge.merge_when_clauses() {
            let operation = match branch.command_type {
                raw::CmdType::CMD_UPDATE => Operation::Update,
                raw::CmdType::CMD_DELETE => Operation::Delete,
                raw::CmdType::CMD_INSERT => {
                    self.found.operations.add(Operation::Insert);
                    continue;
                }
                _ => continue,
            };
            self.found.operations.add(operation);
            let condition = clause(branch.condition(), seen, 0);
            let reached = if branch.match_kind == raw::MergeMatchKind::MERGE_WHEN_MATCHED {
                joined.and(condition)
            } else {
                condition
            };
            self.record(operation, target, reached);
        }
    }

    fn record(&mut self, operation: Operation, target: Option<&nodes::RangeVar>, truth: Truth) {
        match truth {
            Truth::True | Truth::Constant => {
                let relation = target.map(display).unwrap_or_default();
                self.found.unfiltered.add(Unfiltered { operation, relation });
            }
            Truth::TooDeep => self.found.unfiltered.unknown(Unknown::TooComplex),
            Truth::False | Truth::Depends => {}
        }
    }
}

fn display(var: &nodes::RangeVar) -> String {
    let written = written(var);
    match written.schema {
        Some(schema) => format!("{schema}.{}", written.name),
        None => written.name.to_owned(),
    }
}

/// What a WHERE says; none lets every row through.
fn clause(condition: Node<'_>, target: Option<Seen<'_>>, depth: u32) -> Truth {
    present(condition).map_or(Truth::True, |condition| truth(condition, target, depth))
}

/// What a condition says, seen from an UPDATE or DELETE of `target`.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "forms without a rule of their own: constant or not is all that matters"
)]
pub(crate) fn truth(node: Node<'_>, target: Option<Seen<'_>>, depth: u32) -> Truth {
    if depth > MAX_PREDICATE_DEPTH {
        return Truth::TooDeep;
    }
    let deeper = |node: Node<'_>| truth(node, target, depth + 1);
    let folded = match node {
        Node::BoolExpr(expression) => boolean(expression, &deeper),
        Node::BooleanTest(test) => boolean_test(test, &deeper),
        Node::NullTest(test) => null_test(test, target, depth),
        Node::A_Expr(expression) => comparison(expression, target, depth),
        Node::SubLink(link) => sub_select(link, target, depth),
        Node::CaseExpr(case) => branches(case, &deeper),
        Node::CurrentOfExpr(_) => return Truth::Depends,
        other => evaluate(other, depth + 1).truth(),
    };
    match folded {
        Truth::Depends if is_constant(node) => Truth::Constant,
        Truth::Depends if matches!(node, Node::BoolExpr(_)) && everything(node, target) => {
            Truth::True
        }
        other => other,
    }
}

fn boolean(expression: &nodes::BoolExpr, truth: &dyn Fn(Node<'_>) -> Truth) -> Truth {
    use raw::BoolExprType as Kind;
    let parts = expression.args().iter().map(truth);
    match expression.boolop {
        Kind::AND_EXPR => parts.fold(Truth::True, Truth::and),
        Kind::OR_EXPR => parts.fold(Truth::False, Truth::or),
        _ => expression.args().first().map_or(Truth::Depends, |inner| negated(inner, truth, 0)),
    }
}

/// NOT, moved inwards: what is constant below an AND is so beside an OR.
fn negated(node: Node<'_>, truth: &dyn Fn(Node<'_>) -> Truth, depth: u32) -> Truth {
    use raw::BoolExprType as Kind;
    let Node::BoolExpr(expression) = node else { return truth(node).not() };
    if depth > MAX_PREDICATE_DEPTH {
        return Truth::TooDeep;
    }
    let parts = || expression.args().iter().map(|part| negated(part, truth, depth + 1));
    match expression.boolop {
        Kind::AND_EXPR => parts().fold(Truth::False, Truth::or),
        Kind::OR_EXPR => parts().fold(Truth::True, Truth::and),
        _ => expression.args().first().map_or(Truth::Depends, truth),
    }
}

fn boolean_test(test: &nodes::BooleanTest, truth: &dyn Fn(Node<'_>) -> Truth) -> Truth {
    use raw::BoolTestType as Kind;
    let inner = truth(test.arg());
    match (test.booltesttype, inner) {
        (Kind::IS_TRUE | Kind::IS_NOT_FALSE, Truth::True) | (Kind::IS_NOT_TRUE, Truth::False) => {
            Truth::True
        }
        (Kind::IS_NOT_TRUE | Kind::IS_FALSE, Truth::True) | (Kind::IS_TRUE, Truth::False) => {
            Truth::False
        }
        // False stands for NULL as well.
        (_, Truth::True | Truth::False | Truth::Constant) => Truth::Constant,
        (_, Truth::Depends) => Truth::Depends,
        (_, Truth::TooDeep) => Truth::TooDeep,
    }
}

fn null_test(test: &nodes::NullTest, target: Option<Seen<'_>>, depth: u32) -> Truth {
    let wants_null = test.nulltesttype == raw::NullTestType::IS_NULL;
    if never_null(test.arg(), target) {
        return Truth::of(!wants_null);
    }
    // Nobody asks it of a comparison but to let every row pass whose columns are not NULL.
    if is_condition(test.arg()) && !wants_null {
        return Truth::True;
    }
    match evaluate(test.arg(), depth + 1) {
        Value::Null => Truth::of(wants_null),
        Value::Bool(_) | Value::Number(_) | Value::Text(_) => Truth::of(!wants_null),
        Value::TooDeep => Truth::TooDeep,
        Value::Range { .. } | Value::Unknown => Truth::Depends,
    }
}

/// A comparison, or several.
fn is_condition(node: Node<'_>) -> bool {
    use raw::A_Expr_Kind as Kind;
    if let Node::A_Expr(expression) = node {
        let operator = last_string(expression.name()).unwrap_or_default();
        expression.kind != Kind::AEXPR_OP
            || matches!(operator, "=" | "<>" | "!=" | "<" | "<=" | ">" | ">=")
    } else {
        matches!(node, Node::BoolExpr(_))
    }
}

/// A system column, or by convention `id`, of the target itself: of a joined table it may be NULL.
fn never_null(node: Node<'_>, target: Option<Seen<'_>>) -> bool {
    let Node::ColumnRef(column) = node else { return false };
    let Some(Qualified { schema, name: last }) = Qualified::of_list(column.fields()) else {
        return false;
    };
    let of_target = match (schema, target) {
        (None, _) => true,
        (Some(qualifier), Some(target)) => target.name() == Some(qualifier),
        (Some(_), None) => false,
    };
    let stored = target.is_some_and(|target| target.is_never_null(last));
    let system = matches!(last, "id" | "ctid" | "xmin" | "xmax" | "cmin" | "cmax" | "tableoid");
    of_target && (stored || system)
}

fn comparison(expression: &nodes::A_Expr, target: Option<Seen<'_>>, depth: u32) -> Truth {
    use raw::A_Expr_Kind as Kind;
    let operator = last_string(expression.name()).unwrap_or_default();
    let (left, right) = (expression.lexpr(), expression.rexpr());
    let plain =
        matches!(expression.kind, Kind::AEXPR_OP | Kind::AEXPR_DISTINCT | Kind::AEXPR_NOT_DISTINCT);
    if plain && same_spelling(left, right, target) {
        return match (expression.kind, operator) {
            (Kind::AEXPR_DISTINCT, _) | (Kind::AEXPR_OP, "<>" | "!=" | "<" | ">") => Truth::False,
            (Kind::AEXPR_NOT_DISTINCT, _) | (Kind::AEXPR_OP, "=" | "<=" | ">=") => Truth::True,
            _ => Truth::Depends,
        };
    }
    match expression.kind {
        Kind::AEXPR_OP => operation(operator, left, right, depth),
        Kind::AEXPR_DISTINCT => distinct(left, right, depth).not(),
        Kind::AEXPR_NOT_DISTINCT => distinct(left, right, depth),
        Kind::AEXPR_LIKE | Kind::AEXPR_ILIKE | Kind::AEXPR_SIMILAR => {
            like(operator, &evaluate(right, depth + 1))
        }
        Kind::AEXPR_IN | Kind::AEXPR_OP_ANY | Kind::AEXPR_OP_ALL => {
            members(expression, operator, depth)
        }
        Kind::AEXPR_BETWEEN | Kind::AEXPR_BETWEEN_SYM => between(left, right, depth),
        Kind::AEXPR_NOT_BETWEEN | Kind::AEXPR_NOT_BETWEEN_SYM => between(left, right, depth).not(),
        _ => Truth::Depends,
    }
}

/// Whether both sides are the same, and depend on the row: constants are folded.
fn same_spelling(left: Node<'_>, right: Node<'_>, target: Option<Seen<'_>>) -> bool {
    spelling::are_same(left, right, target) && !(is_constant(left) && is_constant(right))
}

fn operation(operator: &str, left: Node<'_>, right: Node<'_>, depth: u32) -> Truth {
    relate(operator, (left, &evaluate(left, depth + 1)), right, depth)
}

/// As [`operation`], with the left side evaluated: each side is evaluated once, so that nesting
/// costs no more than its size.
fn relate(operator: &str, left: (Node<'_>, &Value<'_>), right: Node<'_>, depth: u32) -> Truth {
    if same_column(left.0, right) {
        return match operator {
            "=" | "<=" | ">=" | "~~" | "~~*" => Truth::True,
            "<>" | "!=" | "<" | ">" => Truth::False,
            _ => Truth::Depends,
        };
    }
    let right = evaluate(right, depth + 1);
    match (operator, &right) {
        ("~" | "~*", Value::Text(pattern)) if matches_all(pattern) => Truth::True,
        ("~~" | "~~*" | "!~~" | "!~~*", pattern) => like(operator, pattern),
        (_, right) => compare(operator, left.1, right),
    }
}

/// A regular expression that every text matches.
fn matches_all(pattern: &str) -> bool {
    let bare = pattern.trim_start_matches('^').trim_end_matches('$');
    matches!(bare, "" | ".*" | ".*?" | "(.*)" | ".{0,}")
}

/// IS NOT DISTINCT FROM.
fn distinct(left: Node<'_>, right: Node<'_>, depth: u32) -> Truth {
    if same_column(left, right) {
        return Truth::True;
    }
    match (evaluate(left, depth + 1), evaluate(right, depth + 1)) {
        (Value::Null, Value::Null) => Truth::True,
        (Value::Null, Value::Bool(_) | Value::Number(_) | Value::Text(_))
        | (Value::Bool(_) | Value::Number(_) | Value::Text(_), Value::Null) => Truth::False,
        (left, right) => compare("=", &left, &right),
    }
}

/// Only `%` in a pattern lets every text through.
fn like(operator: &str, pattern: &Value<'_>) -> Truth {
    let all = match pattern {
        Value::Text(text) => !text.is_empty() && text.bytes().all(|byte| byte == b'%'),
        Value::TooDeep => return Truth::TooDeep,
        Value::Null => return Truth::False,
        Value::Bool(_) | Value::Number(_) | Value::Range { .. } | Value::Unknown => false,
    };
    match (all, operator.starts_with('!')) {
        (true, false) => Truth::True,
        (true, true) => Truth::False,
        (false, _) => Truth::Depends,
    }
}

/// `x IN (…)`, `x = ANY (ARRAY[…])`, `x <> ALL (…)`.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is no list of values is not folded")]
fn members(expression: &nodes::A_Expr, operator: &str, depth: u32) -> Truth {
    use raw::A_Expr_Kind as Kind;
    const MANY: usize = 1_000;
    let list = match expression.rexpr() {
        Node::NodeList(list) => list,
        Node::A_ArrayExpr(array) => array.elements(),
        _ => return Truth::Depends,
    };
    if list.len() > MANY {
        return Truth::Depends;
    }
    let left = expression.lexpr();
    let value = evaluate(left, depth + 1);
    let each = list.iter().map(|item| relate(operator, (left, &value), item, depth + 1));
    let every = expression.kind == Kind::AEXPR_OP_ALL
        || (expression.kind == Kind::AEXPR_IN && operator == "<>");
    if every { each.fold(Truth::True, Truth::and) } else { each.fold(Truth::False, Truth::or) }
}

fn between(value: Node<'_>, bounds: Node<'_>, depth: u32) -> Truth {
    let Node::NodeList(bounds) = bounds else { return Truth::Depends };
    match (bounds.get(0), bounds.get(1)) {
        (Some(low), Some(high)) => {
            let left = (value, &evaluate(value, depth + 1));
            relate(">=", left, low, depth + 1).and(relate("<=", left, high, depth + 1))
        }
        _ => Truth::Depends,
    }
}

/// CASE whose every result says the same.
fn branches(case: &nodes::CaseExpr, truth: &dyn Fn(Node<'_>) -> Truth) -> Truth {
    let mut said = present(case.defresult()).map_or(Truth::False, truth);
    for when in case.args() {
        let Node::CaseWhen(when) = when else { return Truth::Depends };
        let result = truth(when.result());
        if matches!(case.arg(), Node::None) && truth(when.expr()) == Truth::True {
            return result;
        }
        if result != said {
            said = Truth::Depends;
        }
    }
    said
}

/// `EXISTS (SELECT …)`, `(SELECT true)`, `id IN (SELECT id FROM target)`.
fn sub_select(link: &nodes::SubLink, target: Option<Seen<'_>>, depth: u32) -> Truth {
    use raw::SubLinkType as Kind;
    let Node::SelectStmt(select) = link.subselect() else { return Truth::Depends };
    match link.sub_link_type {
        Kind::EXPR_SUBLINK => evaluate(Node::SubLink(link), depth + 1).truth(),
        Kind::EXISTS_SUBLINK if filters_nothing(select, depth) => Truth::True,
        Kind::ANY_SUBLINK if selects_itself(link, select, target, depth) => Truth::True,
        _ => Truth::Depends,
    }
}

/// A sub-select whose rows do not depend on anything: no condition, only plain tables or none.
fn filters_nothing(select: &nodes::SelectStmt, depth: u32) -> bool {
    let condition = clause(select.where_clause(), None, depth + 1);
    let plain = select.from_clause().iter().all(|item| matches!(item, Node::RangeVar(_)));
    plain
        && matches!(condition, Truth::True | Truth::Constant)
        && matches!(select.having_clause(), Node::None)
        && matches!(select.limit_offset(), Node::None)
        && (select.op == raw::SetOperation::SETOP_NONE)
}

/// `c IN (SELECT c FROM the very target)`.
fn selects_itself(
    link: &nodes::SubLink,
    select: &nodes::SelectStmt,
    target: Option<Seen<'_>>,
    depth: u32,
) -> bool {
    let Some(target) = target else { return false };
    let mut from = select.from_clause().iter();
    let (Some(Node::RangeVar(only)), None) = (from.next(), from.next()) else { return false };
    let same_table = written(only).name == written(target.var).name;
    let column = select.target_list().first().map(nodes::ResTarget::val);
    let same = column.is_some_and(|column| same_last_name(link.testexpr(), column));
    let equals = last_string(link.oper_name()).is_none_or(|operator| operator == "=");
    let plain = equals && matches!(select.limit_count(), Node::None);
    same_table && same && plain && filters_nothing(select, depth)
}

fn same_last_name(left: Node<'_>, right: Node<'_>) -> bool {
    let last = |node| {
        let Node::ColumnRef(column) = node else { return None };
        column.fields().iter().next_back().and_then(Node::as_str)
    };
    last(left).is_some() && last(left) == last(right)
}

/// Whether nothing in `node` can differ from row to row or by parameter.
fn is_constant(node: Node<'_>) -> bool {
    let mut stack = Vec::new();
    let (mut next, mut seen, mut found) = (Some(node), 1_usize, varies(node));
    while let Some(node) = next {
        if found || seen > MAX_PREDICATE_NODES {
            return false;
        }
        // Looked at before they are kept: most conditions name a column, and not far down.
        each_child(node, &mut |child| {
            seen += 1;
            found |= varies(child);
            if !found && !is_leaf(child) {
                stack.push(child);
            }
        });
        next = stack.pop();
    }
    !found && seen <= MAX_PREDICATE_NODES
}

/// Whether a node by itself may differ from row to row or by parameter.
fn varies(node: Node<'_>) -> bool {
    matches!(node, Node::ColumnRef(_) | Node::ParamRef(_) | Node::CurrentOfExpr(_))
        || matches!(node, Node::SelectStmt(select) if !select.from_clause().is_empty())
}

/// Whether a node holds no other.
const fn is_leaf(node: Node<'_>) -> bool {
    matches!(node, Node::A_Const(_) | Node::String(_))
}
