//! What the black-box tests of the policy share: short ways to say who asks for what.

use model::{
    Access, Door, Fact, FunctionUse, Operation, Principal, RelationName, RelationUse, Request,
    Schemas, SqlFacts, Stage,
};
use policy::{Decision, Policy};

/// A policy that loads.
pub(crate) fn policy(text: &str) -> Policy {
    match Policy::load("test.yaml", text) {
        Ok(loaded) => loaded.policy,
        Err(found) => panic!("{found}"),
    }
}

/// Who says so in its `application_name`, as database role `app`.
pub(crate) fn who(application_name: &str) -> Principal {
    let on_behalf_of = Some("app".to_owned());
    Principal { on_behalf_of, ..Principal::asserted(application_name) }
}

/// The answer at the PostgreSQL door.
pub(crate) fn ask(policy: &Policy, principal: &Principal, facts: &SqlFacts) -> Decision {
    policy.evaluate(&Request { principal, door: Door::Pg, stage: Stage::Query, facts })
}

/// The reasons as a client sees them.
pub(crate) fn reasons(decision: &Decision) -> Vec<String> {
    decision.reasons().iter().map(ToString::to_string).collect()
}

/// A statement that reads `schema.table` or `table` (on the default search path).
pub(crate) fn reads(operation: Operation, tables: &[&str]) -> SqlFacts {
    let used = tables.iter().map(|name| table(name, Access::Read)).collect();
    SqlFacts { relations: Fact::Known(used), ..SqlFacts::of(operation) }
}

/// One use of a table.
pub(crate) fn table(name: &str, access: Access) -> RelationUse {
    let (schemas, name) = match name.split_once('.') {
        Some((schema, name)) => (Schemas::Named(schema.to_owned()), name),
        None => (Schemas::Paths(vec![vec!["app".to_owned(), "public".to_owned()]]), name),
    };
    RelationUse { relation: RelationName { schemas, name: name.to_owned() }, access }
}

/// A SELECT that calls a function.
pub(crate) fn calls(name: &str) -> SqlFacts {
    let function = FunctionUse { schema: None, name: name.to_owned() };
    SqlFacts { functions: Fact::Known(vec![function]), ..SqlFacts::of(Operation::Select) }
}
