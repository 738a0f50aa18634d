//! Risk: a sum of named contributions. A fact about a request, not a second judge.

use model::{Category, Fact, Request, RowLimit, Shape, SqlFacts, Stage};

use crate::detections::MAX_LIMIT;
use crate::policy::Policy;
use crate::tenancy::Tenancy;

/// A contribution: its name, its weight, and whether it applies.
type Contribution = (&'static str, u32, fn(&Policy, &Request<'_>) -> bool);

/// The contributions, in the order of documentation. A plain statement has none of them.
pub(crate) const CONTRIBUTIONS: &[Contribution] = &[
    ("unknown_facts", 10, |_, request| request.facts.first_unknown().is_some()),
    ("server_access", 5, |_, request| some(&request.facts.server_access)),
    ("no_where", 3, no_where),
    ("unscoped_table", 3, unscoped_table),
    ("select_star", 2, |_, request| is(request, |shape| shape.star)),
    ("many_joins", 2, |_, request| is(request, |shape| shape.joins > 1)),
    ("many_sub_selects", 1, |_, request| is(request, |shape| shape.sub_selects > 2)),
    ("star_without_limit", 2, |policy, request| {
        is(request, |shape| shape.star && shape.limit == RowLimit::Missing)
            && !no_where(policy, request)
    }),
    ("high_limit", 2, high_limit),
    ("set_operation", 2, |_, request| is(request, |shape| shape.set_operation)),
    ("comment", 1, |_, request| is(request, |shape| shape.comment)),
    ("random_order", 1, |_, request| is(request, |shape| shape.random_order)),
    ("privileges", 3, |_, request| does(request.facts, Category::Dcl)),
    ("administration", 3, |_, request| {
        does(request.facts, Category::Admin) || does(request.facts, Category::Extension)
    }),
    ("code", 3, |_, request| does(request.facts, Category::Function)),
    ("definition", 2, |_, request| does(request.facts, Category::Ddl)),
    ("settings", 1, |_, request| some(&request.facts.settings)),
];

/// The risk of a request.
pub(crate) fn of(policy: &Policy, request: &Request<'_>) -> u32 {
    applying(policy, request).fold(0, |sum, (_, weight, _)| sum.saturating_add(*weight))
}

fn applying<'r>(
    policy: &'r Policy,
    request: &'r Request<'_>,
) -> impl Iterator<Item = &'static Contribution> + 'r {
    CONTRIBUTIONS.iter().filter(|(_, _, applies)| applies(policy, request))
}

fn some<T>(fact: &Fact<Vec<T>>) -> bool {
    fact.known().is_some_and(|list| !list.is_empty())
}

fn is(request: &Request<'_>, test: impl Fn(&Shape) -> bool) -> bool {
    request.facts.shape.known().is_some_and(test)
}

/// A query of a table that has no WHERE, or an UPDATE or DELETE of every row.
fn no_where(policy: &Policy, request: &Request<'_>) -> bool {
    let tenancy = policy.tenancy.as_ref();
    let bare = |shape: &Shape| {
        let mut all = shape.references.iter().filter(|one| one.without_where);
        all.any(|one| !Tenancy::is_global(tenancy, one, request.principal))
    };
    some(&request.facts.unfiltered) || is(request, bare)
}

fn unscoped_table(policy: &Policy, request: &Request<'_>) -> bool {
    let Some(tenancy) = &policy.tenancy else { return false };
    let relations = request.facts.relations.known().into_iter().flatten();
    relations.into_iter().any(|used| tenancy.missing(&used.relation, request.principal).is_some())
}

fn high_limit(policy: &Policy, request: &Request<'_>) -> bool {
    let highest = policy.detections.as_ref().map_or(MAX_LIMIT, |one| one.max_limit);
    is(request, |shape| match shape.limit {
        RowLimit::Missing => false,
        RowLimit::Rows(rows) => rows > highest,
        RowLimit::Parameter(_) => request.stage != Stage::Parse,
        RowLimit::All | RowLimit::NotConstant => true,
    })
}

fn does(facts: &SqlFacts, category: Category) -> bool {
    facts.operation.category() == category
        || facts
            .operations
            .known()
            .is_some_and(|all| all.iter().any(|operation| operation.category() == category))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Door, Operation, Principal, Unfiltered, Unknown};

    fn risk(facts: &SqlFacts) -> u32 {
        let policy = Policy::load("policy", "agents: {}").unwrap().policy;
        let principal = Principal::unidentified();
        of(
            &policy,
            &Request {
                principal: &principal,
                door: Door::Check,
                stage: Stage::Query,
                server_major: Some(18),
                facts,
            },
        )
    }

    #[test]
    fn a_plain_statement_has_no_risk_and_contributions_add_up() {
        assert_eq!(risk(&SqlFacts::of(Operation::Select)), 0);
        assert_eq!(risk(&SqlFacts::of(Operation::Drop)), 2);
        let mut all = SqlFacts::of(Operation::Delete);
        let relation = "users".to_owned();
        all.unfiltered = Fact::Known(vec![Unfiltered { operation: Operation::Delete, relation }]);
        assert_eq!(risk(&all), 3);
        all.shape = Fact::Known(Shape { joins: 2, star: true, ..Shape::default() });
        assert_eq!(risk(&all), 7);
        assert_eq!(risk(&SqlFacts::unknown(Unknown::ParseError)), 10);
    }
}
