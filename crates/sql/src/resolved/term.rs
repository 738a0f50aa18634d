//! What conditions imply about tenants: equalities that hold wherever the condition is true.
//!
//! Invariants: what is given holds for every row that satisfies the condition; an expression that is
//! not read implies nothing.

use model::{TenantBound, TenantType, Unknown};

use super::namespace::Namespace;
use super::tenancy::{By, may_be_several};
use super::{Resolved, Resolver, schemas};
use crate::catalog::TEMPORARY;
use crate::limits::{MAX_EQUALITIES, MAX_PREDICATE_DEPTH};
use crate::literal;
use crate::parse::{ConstValue, Node, NodeList, nodes, raw};
use crate::resolve::{Dotted, Qualified, type_names};

/// How many casts, and `(SELECT …)` around a value, are looked through.
const MAX_WRAPPERS: usize = 16;

/// Types whose values a cast without a length leaves as they are written.
const PLAIN: &[&str] = &["text", "varchar", "uuid", "int2", "int4", "int8"];

/// The casts around a value, from the outside in.
#[derive(Debug, Clone, Copy, Default)]
struct Casts<'a> {
    as_text: bool,
    /// The type that the value has before any of them.
    innermost: Option<&'a str>,
}

impl<'a> Casts<'a> {
    /// With one more inside. `'07'::int4::text` is `'7'`.
    fn around(self, own: &'a str) -> Option<Self> {
        let text = is_text(own);
        (text || !self.as_text)
            .then_some(Self { as_text: self.as_text || text, innermost: Some(own) })
    }

    /// How a value is read that a parameter brings.
    fn read(self) -> Option<TenantType> {
        let own = self.innermost?;
        Some(match own {
            "uuid" => TenantType::Uuid,
            "int2" | "int4" | "int8" => TenantType::Integer,
            _ => TenantType::Text,
        })
    }
}

/// What an expression plainly is.
#[derive(Debug, Clone)]
pub(super) enum Term {
    /// The tenant's column of these references, which is the same in all.
    Column(Vec<usize>),
    /// A value; where a parameter stands.
    Value(TenantBound, Option<i32>),
}

/// An implication: which reference, bound by what.
type Implied = Vec<(usize, By)>;

impl<'a> Resolver<'a> {
    /// What a condition implies where it is true.
    pub(super) fn implied(
        &mut self,
        condition: Node<'a>,
        namespace: &Namespace<'a>,
    ) -> Resolved<Implied> {
        self.implied_if(condition, namespace, true, 0)
    }

    /// What `node` implies where it is true, or where it is false.
    fn implied_if(
        &mut self,
        node: Node<'a>,
        namespace: &Namespace<'a>,
        wanted: bool,
        depth: u32,
    ) -> Resolved<Implied> {
        self.spend(1)?;
        if depth > MAX_PREDICATE_DEPTH {
            return Ok(Vec::new());
        }
        if let Node::BoolExpr(expression) = node {
            return self.junction(expression, namespace, wanted, depth);
        }
        let mut found = Vec::new();
        if let Node::A_Expr(expression) = node {
            self.comparison(expression, namespace, wanted, &mut found);
        } else if let Node::BooleanTest(test) = node
            && wanted
            && test.booltesttype == raw::BoolTestType::IS_TRUE
        {
            return self.implied_if(test.arg(), namespace, true, depth + 1);
        }
        Ok(found)
    }

    fn junction(
        &mut self,
        expression: &'a nodes::BoolExpr,
        namespace: &Namespace<'a>,
        wanted: bool,
        depth: u32,
    ) -> Resolved<Implied> {
        use raw::BoolExprType as Kind;
        let all_hold = match expression.boolop {
            Kind::AND_EXPR => wanted,
            Kind::OR_EXPR => !wanted,
            _ => {
                return match expression.args().first() {
                    Some(inner) => self.implied_if(inner, namespace, !wanted, depth + 1),
                    None => Ok(Vec::new()),
                };
            }
        };
        let mut found: Option<Implied> = None;
        for part in expression.args() {
            let next = self.implied_if(part, namespace, wanted, depth + 1)?;
            found = Some(match found {
                None => next,
                Some(mut before) if all_hold => {
                    before.extend(next);
                    before
                }
                // One of them holds: only what each implies is certain.
                Some(before) => before.into_iter().filter(|one| next.contains(one)).collect(),
            });
            if found.as_ref().is_some_and(|found| found.len() > MAX_EQUALITIES) {
                return Err(Unknown::TooComplex);
            }
        }
        Ok(found.unwrap_or_default())
    }

    fn comparison(
        &mut self,
        expression: &'a nodes::A_Expr,
        namespace: &Namespace<'a>,
        wanted: bool,
        found: &mut Implied,
    ) {
        use raw::A_Expr_Kind as Kind;
        let Some(operator) = Qualified::of_list(expression.name()) else { return };
        if operator.schema.is_some_and(|schema| schema != "pg_catalog") {
            return;
        }
        let (left, right) = (expression.lexpr(), expression.rexpr());
        let equal = operator.name == "=" && wanted;
        let unequal = matches!(operator.name, "<>" | "!=") && !wanted;
        match expression.kind {
            Kind::AEXPR_OP if equal || unequal => self.pair(left, right, namespace, found),
            Kind::AEXPR_NOT_DISTINCT if wanted => self.null_safe(left, right, namespace, found),
            Kind::AEXPR_DISTINCT if !wanted => self.null_safe(left, right, namespace, found),
            Kind::AEXPR_IN if equal || unequal => {
                if let Node::NodeList(list) = right {
                    self.member(left, list, namespace, found);
                }
            }
            Kind::AEXPR_OP_ANY if equal => {
                if let Node::A_ArrayExpr(array) = right {
                    self.member(left, array.elements(), namespace, found);
                } else if let Some(only) = self.only_element(right) {
                    let column = self.term(left, namespace);
                    self.equal(column, Some(only), found);
                }
            }
            Kind::AEXPR_OP
            | Kind::AEXPR_NOT_DISTINCT
            | Kind::AEXPR_DISTINCT
            | Kind::AEXPR_IN
            | Kind::AEXPR_OP_ANY
            | Kind::AEXPR_OP_ALL
            | Kind::AEXPR_NULLIF
            | Kind::AEXPR_LIKE
            | Kind::AEXPR_ILIKE
            | Kind::AEXPR_SIMILAR
            | Kind::AEXPR_BETWEEN
            | Kind::AEXPR_NOT_BETWEEN
            | Kind::AEXPR_BETWEEN_SYM
            | Kind::AEXPR_NOT_BETWEEN_SYM
            | 14.. => {}
        }
    }

    /// `a = b`, also of rows.
    fn pair(
        &mut self,
        left: Node<'a>,
        right: Node<'a>,
        namespace: &Namespace<'a>,
        found: &mut Implied,
    ) {
        if let (Node::RowExpr(left), Node::RowExpr(right)) = (left, right) {
            // A star shifts what comes after it, and the other row may have one in its turn.
            let plain = !left.args().iter().chain(right.args()).any(may_be_several);
            if plain && left.args().len() == right.args().len() {
                for (left, right) in left.args().iter().zip(right.args()) {
                    let (left, right) = (self.term(left, namespace), self.term(right, namespace));
                    self.equal(left, right, found);
                }
            }
            return;
        }
        let (left, right) = (self.term(left, namespace), self.term(right, namespace));
        self.equal(left, right, found);
    }

    /// IS NOT DISTINCT FROM: two columns may both be NULL, a value is not.
    fn null_safe(
        &mut self,
        left: Node<'a>,
        right: Node<'a>,
        namespace: &Namespace<'a>,
        found: &mut Implied,
    ) {
        let constant =
            |term: &Option<Term>| matches!(term, Some(Term::Value(TenantBound::Value(_), _)));
        let (left, right) = (self.term(left, namespace), self.term(right, namespace));
        if constant(&left) || constant(&right) {
            self.equal(left, right, found);
        }
    }

    /// IN or = ANY of a list that holds one value.
    fn member(
        &mut self,
        left: Node<'a>,
        list: &'a NodeList,
        namespace: &Namespace<'a>,
        found: &mut Implied,
    ) {
        let mut all: Option<Implied> = None;
        for one in list {
            let mut own = Vec::new();
            self.pair(left, one, namespace, &mut own);
            all = Some(match all {
                None => own,
                Some(before) => before.into_iter().filter(|by| own.contains(by)).collect(),
            });
        }
        found.extend(all.unwrap_or_default());
    }

    fn equal(&mut self, left: Option<Term>, right: Option<Term>, found: &mut Implied) {
        match (left, right) {
            (Some(Term::Column(of)), Some(Term::Value(bound, place)))
            | (Some(Term::Value(bound, place)), Some(Term::Column(of))) => {
                for one in of {
                    if self.has_own_equality(one) {
                        continue;
                    }
                    let bound = self.read_as_column(one, bound.clone());
                    self.placed(one, &bound, place);
                    found.push((one, By::Value(bound)));
                }
            }
            (Some(Term::Column(these)), Some(Term::Column(those))) => {
                for one in &these {
                    for other in &those {
                        if self.same_comparison(*one, *other) {
                            found.push((*one, By::Reference(*other)));
                            found.push((*other, By::Reference(*one)));
                        }
                    }
                }
            }
            (None | Some(Term::Value(..)), None | Some(Term::Value(..)))
            | (None, Some(Term::Column(_)))
            | (Some(Term::Column(_)), None) => {}
        }
    }

    /// Without a cast that reads a parameter as the column does.
    fn read_as_column(&self, reference: usize, bound: TenantBound) -> TenantBound {
        let TenantBound::Parameter { number, typed, cast } = bound else { return bound };
        let cast = cast.filter(|cast| *cast != self.tenant_type(reference));
        TenantBound::Parameter { number, typed, cast }
    }

    /// Whether what is equal for one column is the same tenant for the other.
    fn same_comparison(&self, one: usize, other: usize) -> bool {
        !self.has_own_equality(one)
            && !self.has_own_equality(other)
            && self.are_compared_alike(one, other)
    }

    /// What an expression plainly is.
    fn term(&self, node: Node<'a>, namespace: &Namespace<'a>) -> Option<Term> {
        if let Some(value) = self.plain_value(node) {
            return Some(value);
        }
        let (mut node, mut as_text) = (node, false);
        for _ in 0..MAX_WRAPPERS {
            if let Node::TypeCast(cast) = node {
                // A type's text is another for each of its values.
                as_text |= is_text(self.plain_name(cast.type_name()?)?);
                if !as_text {
                    return None;
                }
                node = cast.arg();
            } else if let Node::ColumnRef(column) = node {
                let of = self.tenant_column(column, namespace);
                let known = |one: &usize| match self.tenant_type(*one) {
                    TenantType::Text | TenantType::Integer | TenantType::Uuid => true,
                    TenantType::Padded | TenantType::Other => !as_text,
                };
                return (!of.is_empty() && of.iter().all(known)).then_some(Term::Column(of));
            } else {
                return None;
            }
        }
        None
    }

    /// The references whose tenant column `column` is.
    pub(super) fn tenant_column(
        &self,
        column: &nodes::ColumnRef,
        namespace: &Namespace<'a>,
    ) -> Vec<usize> {
        if self.tenant.is_none() {
            return Vec::new();
        }
        let names = Dotted::of(column.fields());
        if names.count < column.fields().len() {
            return Vec::new();
        }
        let of = |schema: Option<&str>| {
            let item = namespace.item(schema, names.table);
            item.map(|item| self.same_column(&[item.find(names.name)])).unwrap_or_default()
        };
        match names.count {
            0 => Vec::new(),
            1 => self.same_column(namespace.column(names.name).0.all()),
            2 => of(None),
            3.. => of(Some(names.schema)),
        }
    }

    /// A constant that no cast changes, a parameter, or the value of a setting.
    pub(super) fn plain_value(&self, node: Node<'a>) -> Option<Term> {
        self.value_under(node, Casts::default())
    }

    fn value_under(&self, node: Node<'a>, casts: Casts<'a>) -> Option<Term> {
        let (mut node, mut casts) = (node, casts);
        for _ in 0..MAX_WRAPPERS {
            if let Node::TypeCast(cast) = node {
                casts = casts.around(self.plain_name(cast.type_name()?)?)?;
                node = cast.arg();
            } else if let Node::ParamRef(parameter) = node {
                let number = u32::try_from(parameter.number).ok()?;
                let bound = TenantBound::Parameter { number, typed: false, cast: casts.read() };
                return Some(Term::Value(bound, Some(parameter.location)));
            } else if let Node::FuncCall(call) = node {
                let name = self.setting(call)?;
                return Some(Term::Value(TenantBound::Setting(name), None));
            } else if let Node::SubLink(link) = node {
                // What has no type there is text.
                casts.innermost = Some("text");
                node = only_value(link)?;
            } else {
                return constant(node).map(|text| Term::Value(TenantBound::Value(text), None));
            }
        }
        None
    }

    /// The one element of an array, as a literal (`'{a}'`) or as `ARRAY[a]` under a cast.
    fn only_element(&self, node: Node<'a>) -> Option<Term> {
        let (mut node, mut casts) = (node, Casts::default());
        for _ in 0..MAX_WRAPPERS {
            if let Node::TypeCast(cast) = node {
                let name = cast.type_name()?;
                if name.array_bounds().len() > 1 {
                    return None;
                }
                casts = casts.around(self.element_name(name)?)?;
                node = cast.arg();
            } else if let Node::A_ArrayExpr(array) = node {
                let mut all = array.elements().iter();
                let only = all.next().filter(|_| all.next().is_none())?;
                return self.value_under(only, casts);
            } else {
                let text = literal::text(node)?;
                let inner = text.strip_prefix('{')?.strip_suffix('}')?;
                let plain = |c: char| c.is_ascii_alphanumeric() || "_-.:@".contains(c);
                let named = !inner.is_empty() && !inner.eq_ignore_ascii_case("null");
                let value = || Term::Value(TenantBound::Value(inner.to_owned()), None);
                return (named && inner.chars().all(plain)).then(value);
            }
        }
        None
    }

    /// The name of one of PostgreSQL's own plain types, without a length.
    fn plain_name(&self, name: &'a nodes::TypeName) -> Option<&'a str> {
        if name.array_bounds().is_empty() { self.element_name(name) } else { None }
    }

    /// The same, of a type or of what an array holds.
    fn element_name(&self, name: &'a nodes::TypeName) -> Option<&'a str> {
        if !name.typmods().is_empty() {
            return None;
        }
        let own = match *type_names(name).as_slice() {
            [own] if self.is_own_type(own) => own,
            ["pg_catalog", own] => own,
            _ => return None,
        };
        PLAIN.contains(&own).then_some(own)
    }

    /// Whether a bare name of a type is PostgreSQL's own: no other schema that may have it comes first.
    fn is_own_type(&self, name: &str) -> bool {
        if let Some(certainty) = self.certainty() {
            return certainty.type_named((None, name)).is_some();
        }
        let mut before = schemas(None, self.path).take_while(|schema| *schema != "pg_catalog");
        !before.any(|schema| {
            (schema == TEMPORARY && self.catalog.hides_temporary())
                || self.catalog.type_named(schema, name).is_some()
                || self.catalog.relation(schema, name).is_some()
        })
    }

    /// `current_setting('name')`, of PostgreSQL's own: with a bare name, no schema of the path may have
    /// another that would fit as well, wherever it stands ("Function Type Resolution").
    fn setting(&self, call: &'a nodes::FuncCall) -> Option<String> {
        let written = Qualified::of_list(call.funcname())?;
        let count = call.args().len();
        if written.name != "current_setting" || count > 2 {
            return None;
        }
        let alone = match (written.schema, self.certainty()) {
            (Some(schema), _) => schema == "pg_catalog",
            (None, Some(certainty)) => certainty.function((None, written.name), count),
            (None, None) => {
                let mut others = self.path.iter().filter(|schema| *schema != "pg_catalog");
                !others.any(|one| self.catalog.functions(one, written.name).next().is_some())
            }
        };
        let name = literal::text(call.args().first()?)?;
        alone.then(|| name.to_ascii_lowercase())
    }
}

fn constant(node: Node<'_>) -> Option<String> {
    let Node::A_Const(constant) = node else { return None };
    if constant.isnull {
        return None;
    }
    let value = constant.val()?;
    if let ConstValue::String(text) = value {
        Some(text.to_owned())
    } else if let ConstValue::Integer(number) = value {
        Some(number.to_string())
    } else if let ConstValue::Float(number) = value {
        number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.to_owned())
    } else {
        None
    }
}

fn is_text(own: &str) -> bool {
    matches!(own, "text" | "varchar")
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
    if plain { select.target_list().first().map(nodes::ResTarget::val) } else { None }
}
