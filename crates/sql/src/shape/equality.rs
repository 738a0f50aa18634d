//! Which equalities a condition implies.
//!
//! Invariant: an equality that is found holds for every row that satisfies the condition. What is
//! not read implies nothing.

use std::rc::Rc;

use model::{Equality, Operand, Unknown};

use super::scope::Scope;
use super::{Shaped, Shaper};
use crate::limits::{MAX_EQUALITIES, MAX_PREDICATE_DEPTH};
use crate::parse::{ConstValue, Node, NodeList, nodes, raw};
use crate::resolve::{Qualified, last_type_name, type_names};
use crate::resolved::tenancy::may_be_several;

/// How many casts, and `(SELECT …)` around a value, are looked through.
const MAX_WRAPPERS: usize = 16;

/// Casts that keep a text, a number or a UUID what it is.
const PLAIN: &[&str] = &["text", "varchar", "uuid", "int2", "int4", "int8"];

/// A condition under way.
struct Reading<'s, 'a> {
    scope: &'s Rc<Scope<'a>>,
    /// References for which the condition holds.
    bound: &'s [u32],
}

impl<'a> Shaper<'a, '_> {
    /// Adds what `condition` implies for rows of the references `bound`.
    pub(super) fn equalities(
        &mut self,
        condition: Node<'a>,
        scope: &Rc<Scope<'a>>,
        bound: &[u32],
    ) -> Shaped<()> {
        let mut found = std::mem::take(&mut self.shape.equalities);
        self.implied(condition, &Reading { scope, bound }, (true, 0), &mut found)?;
        self.shape.equalities = found;
        self.few_equalities()
    }

    /// Adds what `node` implies where it is true, or where it is false.
    fn implied(
        &self,
        node: Node<'a>,
        reading: &Reading<'_, 'a>,
        (wanted, depth): (bool, u32),
        found: &mut Vec<Equality>,
    ) -> Shaped<()> {
        self.spend()?;
        if depth > MAX_PREDICATE_DEPTH {
            return Ok(());
        }
        if let Node::BoolExpr(expression) = node {
            return self.junction(expression, reading, (wanted, depth), found);
        }
        if let Node::A_Expr(expression) = node {
            reading.comparison(expression, wanted, found);
        } else if let Node::BooleanTest(test) = node
            && wanted
            && test.booltesttype == raw::BoolTestType::IS_TRUE
        {
            return self.implied(test.arg(), reading, (true, depth + 1), found);
        }
        Ok(())
    }

    fn junction(
        &self,
        expression: &'a nodes::BoolExpr,
        reading: &Reading<'_, 'a>,
        (wanted, depth): (bool, u32),
        found: &mut Vec<Equality>,
    ) -> Shaped<()> {
        use raw::BoolExprType as Kind;
        let all_hold = match expression.boolop {
            Kind::AND_EXPR => wanted,
            Kind::OR_EXPR => !wanted,
            _ => {
                return match expression.args().first() {
                    Some(inner) => self.implied(inner, reading, (!wanted, depth + 1), found),
                    None => Ok(()),
                };
            }
        };
        let before = found.len();
        for (at, part) in expression.args().iter().enumerate() {
            if all_hold || at == 0 {
                self.implied(part, reading, (wanted, depth + 1), found)?;
            } else {
                // One of them holds: only what each implies is certain.
                let mut next = Vec::new();
                self.implied(part, reading, (wanted, depth + 1), &mut next)?;
                let mut own = found.split_off(before);
                own.retain(|one| next.contains(one));
                found.append(&mut own);
            }
            if found.len().saturating_sub(before) > MAX_EQUALITIES {
                return Err(Unknown::TooComplex);
            }
        }
        Ok(())
    }
}

impl<'a> Reading<'_, 'a> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "only a list shows its elements")]
    fn comparison(&self, expression: &'a nodes::A_Expr, wanted: bool, found: &mut Vec<Equality>) {
        use raw::A_Expr_Kind as Kind;
        let Some(operator) = Qualified::of_list(expression.name()) else { return };
        if operator.schema.is_some_and(|schema| schema != "pg_catalog") {
            return;
        }
        let (left, right) = (expression.lexpr(), expression.rexpr());
        let equal = operator.name == "=";
        let unequal = matches!(operator.name, "<>" | "!=");
        match expression.kind {
            Kind::AEXPR_OP if (equal && wanted) || (unequal && !wanted) => {
                self.pair(left, right, found);
            }
            Kind::AEXPR_NOT_DISTINCT if wanted => self.null_safe(left, right, found),
            Kind::AEXPR_DISTINCT if !wanted => self.null_safe(left, right, found),
            Kind::AEXPR_IN if (equal && wanted) || (unequal && !wanted) => {
                if let Node::NodeList(list) = right {
                    self.member(left, list, found);
                }
            }
            Kind::AEXPR_OP_ANY if equal && wanted => match right {
                Node::A_ArrayExpr(array) => self.member(left, array.elements(), found),
                other => {
                    if let Some(only) = only_element(other)
                        && let Some(column) = operand(left, self.scope)
                    {
                        both(column, Operand::Constant(only), self.bound, found);
                    }
                }
            },
            _ => {}
        }
    }

    /// `a = b`, also of rows.
    fn pair(&self, left: Node<'a>, right: Node<'a>, found: &mut Vec<Equality>) {
        if let (Node::RowExpr(left), Node::RowExpr(right)) = (left, right) {
            // A star shifts what comes after it, and the other row may have one in its turn.
            let plain = !left.args().iter().chain(right.args()).any(may_be_several);
            if plain && left.args().len() == right.args().len() {
                for (left, right) in left.args().iter().zip(right.args()) {
                    self.single(left, right, found);
                }
            }
        } else {
            self.single(left, right, found);
        }
    }

    fn single(&self, left: Node<'a>, right: Node<'a>, found: &mut Vec<Equality>) {
        let scope = self.scope;
        if let (Some(left), Some(right)) = (operand(left, scope), operand(right, scope)) {
            both(left, right, self.bound, found);
        }
    }

    /// IS NOT DISTINCT FROM: two columns may both be NULL, a constant is not.
    fn null_safe(&self, left: Node<'a>, right: Node<'a>, found: &mut Vec<Equality>) {
        let scope = self.scope;
        let constant = |operand: &Operand| matches!(operand, Operand::Constant(_));
        if let (Some(left), Some(right)) = (operand(left, scope), operand(right, scope))
            && (constant(&left) || constant(&right))
        {
            both(left, right, self.bound, found);
        }
    }

    /// IN or = ANY of a list that holds one value.
    fn member(&self, left: Node<'a>, list: &'a NodeList, found: &mut Vec<Equality>) {
        let mut values = list.iter().map(|node| operand(node, self.scope));
        let Some(Some(first)) = values.next() else { return };
        if values.all(|other| other.as_ref() == Some(&first))
            && let Some(column) = operand(left, self.scope)
        {
            both(column, first, self.bound, found);
        }
    }
}

/// What an expression is plainly equal to.
#[expect(clippy::wildcard_enum_match_arm, reason = "anything else is not plain")]
pub(super) fn operand(node: Node<'_>, scope: &Rc<Scope<'_>>) -> Option<Operand> {
    let (mut node, mut cast, mut as_text) = (node, false, false);
    for _ in 0..MAX_WRAPPERS {
        match node {
            Node::TypeCast(outer) if is_plain(outer.type_name()?) => {
                let name = outer.type_name()?;
                // `'07'::int4::text` is `'7'`.
                if as_text && !is_text(name) && !matches!(outer.arg(), Node::ColumnRef(_)) {
                    return None;
                }
                as_text |= is_text(name);
                cast |= !keeps_any(name);
                node = outer.arg();
            }
            Node::ColumnRef(_) if cast => return None,
            Node::ColumnRef(column) => return column_operand(column, scope),
            Node::A_Const(constant) if !constant.isnull => return text(constant.val()?),
            Node::ParamRef(parameter) => {
                return u32::try_from(parameter.number).ok().map(Operand::Parameter);
            }
            Node::FuncCall(call) => return setting(call),
            Node::SubLink(link) => node = only_value(link)?,
            _ => return None,
        }
    }
    None
}

/// Both directions of `left = right`, for those sides that are columns of `bound` references.
pub(super) fn both(left: Operand, right: Operand, bound: &[u32], found: &mut Vec<Equality>) {
    match (is_bound(&left, bound), is_bound(&right, bound)) {
        (true, true) => {
            found.extend(equality(left.clone(), right.clone()));
            found.extend(equality(right, left));
        }
        (true, false) => found.extend(equality(left, right)),
        (false, true) => found.extend(equality(right, left)),
        (false, false) => {}
    }
}

fn is_bound(operand: &Operand, bound: &[u32]) -> bool {
    matches!(operand, Operand::Column(of, _)
        if !of.is_empty() && of.iter().all(|one| bound.contains(one)))
}

/// That a column is equal to something; `None` if it is no column.
fn equality(column: Operand, to: Operand) -> Option<Equality> {
    match column {
        Operand::Column(of, column) => Some(Equality { of, column, to }),
        Operand::Constant(_) | Operand::Parameter(_) | Operand::Setting(_) => None,
    }
}

fn column_operand(column: &nodes::ColumnRef, scope: &Rc<Scope<'_>>) -> Option<Operand> {
    if column.fields().iter().any(|field| !matches!(field, Node::String(_))) {
        return None;
    }
    let written = Qualified::of_list(column.fields())?;
    let found = match written.schema {
        None => scope.unqualified(written.name),
        Some(qualifier) => scope.qualified(qualifier, written.name),
    };
    found.value(written.name)
}

fn is_plain(name: &nodes::TypeName) -> bool {
    let names = type_names(name);
    name.typmods().is_empty()
        && name.array_bounds().is_empty()
        && names.last().is_some_and(|last| PLAIN.contains(last))
        && (names.len() < 2 || names.first() == Some(&"pg_catalog"))
}

/// Whether a column under this cast is still told apart from every other value.
fn keeps_any(name: &nodes::TypeName) -> bool {
    last_type_name(name).is_some_and(|last| matches!(last, "text" | "varchar" | "uuid"))
}

fn is_text(name: &nodes::TypeName) -> bool {
    last_type_name(name).is_some_and(|last| matches!(last, "text" | "varchar"))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the parser crate's enum is non-exhaustive: what it may add is not plain"
)]
fn text(constant: ConstValue<'_>) -> Option<Operand> {
    match constant {
        ConstValue::String(text) => Some(Operand::Constant(text.to_owned())),
        ConstValue::Integer(number) => Some(Operand::Constant(number.to_string())),
        ConstValue::Float(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(Operand::Constant(number.to_owned()))
        }
        _ => None,
    }
}

/// `current_setting('name')`.
fn setting(call: &nodes::FuncCall) -> Option<Operand> {
    let written = Qualified::of_list(call.funcname())?;
    let ours = written.name == "current_setting"
        && written.schema.is_none_or(|schema| schema == "pg_catalog");
    let name = crate::literal::text(call.args().first()?)?;
    (ours && call.args().len() <= 2).then(|| Operand::Setting(name.to_ascii_lowercase()))
}

/// The value of `(SELECT value)`.
fn only_value(link: &nodes::SubLink) -> Option<Node<'_>> {
    let Node::SelectStmt(select) = link.subselect() else { return None };
    let plain = link.sub_link_type == raw::SubLinkType::EXPR_SUBLINK
        && select.op == raw::SetOperation::SETOP_NONE
        && select.from_clause().is_empty()
        && select.with_clause().is_none()
        && select.values_lists().is_empty()
        && select.target_list().len() == 1;
    if !plain {
        return None;
    }
    let value = select.target_list().first()?.val();
    // A column in there may be one of another place.
    (!matches!(value, Node::ColumnRef(_))).then_some(value)
}

/// The one element of an array literal such as `'{a}'`.
fn only_element(node: Node<'_>) -> Option<String> {
    let mut node = node;
    while let Node::TypeCast(cast) = node {
        let name = cast.type_name()?;
        let ([own] | ["pg_catalog", own]) = *type_names(name).as_slice() else { return None };
        if !name.typmods().is_empty() || !PLAIN.contains(&own) {
            return None;
        }
        node = cast.arg();
    }
    let Node::A_Const(constant) = node else { return None };
    let Some(ConstValue::String(text)) = constant.val() else { return None };
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.:@".contains(c);
    let named = !inner.is_empty() && !inner.eq_ignore_ascii_case("null");
    (named && inner.chars().all(plain)).then(|| inner.to_owned())
}
