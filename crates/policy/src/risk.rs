//! Risk: a sum of named contributions. A fact about a request, not a second judge.

use model::{Category, RowLimit, Shape, SqlFacts};

use crate::detections::MAX_LIMIT;

/// A contribution: its name, its weight, and whether it applies.
type Contribution = (&'static str, u32, fn(&SqlFacts) -> bool);

/// The contributions, in the order of documentation. A plain statement has none of them.
pub(crate) const CONTRIBUTIONS: &[Contribution] = &[
    ("unknown_facts", 10, |facts| facts.first_unknown().is_some()),
    ("server_access", 5, |facts| facts.server_access.known().is_some_and(|one| !one.is_empty())),
    ("no_where", 3, |facts| {
        facts.unfiltered.known().is_some_and(|one| !one.is_empty()) || is(facts, |s| s.no_where)
    }),
    ("select_star", 2, |facts| is(facts, |shape| shape.star)),
    ("many_joins", 2, |facts| is(facts, |shape| shape.joins > 1)),
    ("many_sub_selects", 1, |facts| is(facts, |shape| shape.sub_selects > 2)),
    ("star_without_limit", 2, |facts| {
        is(facts, |shape| shape.star && !shape.no_where && shape.limit == RowLimit::Missing)
    }),
    ("high_limit", 2, |facts| {
        is(facts, |shape| match shape.limit {
            RowLimit::Missing => false,
            RowLimit::Rows(rows) => rows > MAX_LIMIT,
            RowLimit::All | RowLimit::NotConstant => true,
        })
    }),
    ("set_operation", 2, |facts| is(facts, |shape| shape.set_operation)),
    ("comment", 1, |facts| is(facts, |shape| shape.comment)),
    ("random_order", 1, |facts| is(facts, |shape| shape.random_order)),
    ("privileges", 3, |facts| does(facts, Category::Dcl)),
    ("administration", 3, |facts| does(facts, Category::Admin) || does(facts, Category::Extension)),
    ("code", 3, |facts| does(facts, Category::Function)),
    ("definition", 2, |facts| does(facts, Category::Ddl)),
    ("settings", 1, |facts| facts.settings.known().is_some_and(|one| !one.is_empty())),
];

/// The risk of a statement with these facts.
pub(crate) fn of(facts: &SqlFacts) -> u32 {
    CONTRIBUTIONS
        .iter()
        .filter(|(_, _, applies)| applies(facts))
        .fold(0, |sum, (_, weight, _)| sum.saturating_add(*weight))
}

fn is(facts: &SqlFacts, test: impl Fn(&Shape) -> bool) -> bool {
    facts.shape.known().is_some_and(test)
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
    use model::{Fact, Operation, Unfiltered, Unknown};

    #[test]
    fn a_plain_statement_has_no_risk_and_contributions_add_up() {
        assert_eq!(of(&SqlFacts::of(Operation::Select)), 0);
        assert_eq!(of(&SqlFacts::of(Operation::Drop)), 2);
        let mut all = SqlFacts::of(Operation::Delete);
        let relation = "users".to_owned();
        all.unfiltered = Fact::Known(vec![Unfiltered { operation: Operation::Delete, relation }]);
        assert_eq!(of(&all), 3);
        assert_eq!(of(&SqlFacts::unknown(Unknown::ParseError)), 10);
    }
}
