//! Detections, tenancy and risk as documents say them. What implies an equality is shown with the
//! facts of SQL; this is what follows from it.

mod common;

use common::{ask, policy};
use model::{
    Access, ColumnName, Door, Equality, Fact, Operand, Operation, Principal, Reference,
    RelationName, RelationUse, Request, Rows, Schemas, SettingChange, SettingUse, SettingValue,
    Shape, SqlFacts, Stage,
};
use policy::Decision;

const TENANCY: &str = "agents: {a: {tenant: t}}\ntenancy: {tenant_global_tables: [merchants], \
                       setting: app.tenant, table_required_scope: {cards: 'cards:read'}}";

fn relation(name: &str) -> RelationName {
    RelationName { schemas: Schemas::Paths([vec!["public".to_owned()]].into()), name: name.into() }
}

fn reference(name: &str) -> Reference {
    Reference {
        relation: relation(name),
        access: Access::Read,
        rows: Rows::Present,
        without_where: false,
        all_columns: false,
        assigned: Vec::new(),
    }
}

/// A SELECT of these tables whose rows satisfy these equalities of their tenant columns.
fn select(tables: &[&str], equalities: &[(&[u32], Operand)]) -> SqlFacts {
    let used = |name: &&str| RelationUse { relation: relation(name), access: Access::Read };
    let shape = Shape {
        references: tables.iter().map(|name| reference(name)).collect(),
        equalities: equalities
            .iter()
            .map(|(of, to)| Equality {
                of: of.to_vec(),
                column: "tenant_id".to_owned(),
                to: to.clone(),
            })
            .collect(),
        ..Shape::default()
    };
    SqlFacts {
        relations: Fact::Known(tables.iter().map(used).collect()),
        shape: Fact::Known(shape),
        ..SqlFacts::of(Operation::Select)
    }
}

fn constant(text: &str) -> Operand {
    Operand::Constant(text.to_owned())
}

fn column(of: u32) -> Operand {
    Operand::Column(vec![of], "tenant_id".to_owned())
}

fn codes(decision: &Decision) -> Vec<&str> {
    decision.reasons().iter().map(|reason| reason.code().as_str()).collect()
}

fn agent() -> Principal {
    Principal::asserted("agent:a")
}

#[test]
fn tenant_comes_from_identity() {
    let policy = policy(TENANCY);
    let own = select(&["orders"], &[(&[0], constant("t"))]);
    let other = select(&["orders"], &[(&[0], constant("u"))]);
    assert!(ask(&policy, &agent(), &own).is_allowed());
    assert_eq!(codes(&ask(&policy, &agent(), &other)), ["tenant_violation"]);
    // An identity that brings a tenant keeps it.
    let attested = Principal { tenant: Some("u".to_owned()), ..agent() };
    assert!(ask(&policy, &attested, &other).is_allowed());
    assert_eq!(codes(&ask(&policy, &attested, &own)), ["tenant_violation"]);
    let nobody = common::policy("agents: {a: {}}\ntenancy: {}");
    assert_eq!(codes(&ask(&nobody, &agent(), &own)), ["no_tenant"]);
    assert!(ask(&nobody, &agent(), &SqlFacts::of(Operation::Select)).is_allowed());
}

#[test]
fn every_use_is_restricted_and_a_join_hands_it_on() {
    let policy = policy(TENANCY);
    let ask = |tables: &[&str], equalities: &[(&[u32], Operand)]| {
        ask(&policy, &agent(), &select(tables, equalities)).is_allowed()
    };
    let own = || constant("t");
    assert!(ask(&["merchants"], &[]));
    assert!(!ask(&["orders"], &[]));
    assert!(!ask(&["orders", "orders"], &[(&[0], own())]));
    assert!(ask(&["orders", "items"], &[(&[0], own()), (&[1], column(0))]));
    assert!(!ask(&["orders", "items"], &[(&[0], column(1)), (&[1], column(0))]));
    assert!(ask(&["a", "b", "c"], &[(&[2], column(1)), (&[1], column(0)), (&[0], own())]));
    // A bare name is that of the one table that belongs to a tenant.
    assert!(ask(&["orders", "merchants"], &[(&[0, 1], own())]));
    assert!(!ask(&["orders", "items"], &[(&[0, 1], own())]));
    assert!(ask(&["orders"], &[(&[0], Operand::Setting("app.tenant".to_owned()))]));
    assert!(!ask(&["orders"], &[(&[0], Operand::Setting("app.other".to_owned()))]));
    assert!(!ask(&["orders"], &[(&[0], Operand::Parameter(1))]));
}

#[test]
fn a_parameter_waits_for_bind() {
    let policy = policy(TENANCY);
    let facts = select(&["orders"], &[(&[0], Operand::Parameter(1))]);
    let principal = agent();
    let at = |stage| {
        let request = Request {
            principal: &principal,
            door: Door::Pg,
            stage,
            server_major: Some(18),
            facts: &facts,
        };
        policy.evaluate(&request).is_allowed()
    };
    assert!(at(Stage::Parse));
    assert!(!at(Stage::Bind) && !at(Stage::Execute) && !at(Stage::Query));
}

#[test]
fn no_row_changes_its_tenant() {
    let policy = policy(TENANCY);
    let write = |rows, assigned: &[(&str, Option<Operand>)], filtered: bool| {
        let equalities: &[(&[u32], Operand)] = &[(&[0], constant("t"))];
        let mut facts = select(&["orders"], if filtered { equalities } else { &[] });
        let Fact::Known(shape) = &mut facts.shape else { return false };
        shape.references[0].rows = rows;
        shape.references[0].access = Access::Write;
        shape.references[0].assigned =
            assigned.iter().map(|(name, to)| ((*name).to_owned(), to.clone())).collect();
        ask(&policy, &agent(), &facts).is_allowed()
    };
    let own = || Some(constant("t"));
    assert!(write(Rows::Present, &[("note", None)], true));
    assert!(write(Rows::Present, &[("tenant_id", own())], true));
    assert!(!write(Rows::Present, &[("tenant_id", Some(constant("u")))], true));
    assert!(!write(Rows::Present, &[("tenant_id", None)], true));
    assert!(!write(Rows::Present, &[("tenant_id", own())], false), "takes rows of others");
    assert!(write(Rows::New, &[("id", None), ("tenant_id", own())], false));
    assert!(!write(Rows::New, &[("id", None)], false));
    assert!(!write(Rows::New, &[("*", None), ("tenant_id", own())], false));
}

#[test]
fn the_setting_that_holds_the_tenant_is_the_tenants() {
    let text = format!("{TENANCY}\nsettings: [app.tenant]");
    let policy = policy(&text);
    let set = |name: &str, value: SettingValue, change| {
        let one = SettingUse { name: name.to_owned(), change, value };
        let facts = SqlFacts { settings: Fact::Known(vec![one]), ..SqlFacts::of(Operation::Set) };
        codes(&ask(&policy, &agent(), &facts)).contains(&"tenant_violation")
    };
    let to = |text: &str| SettingValue::Constants(vec![text.to_owned()]);
    assert!(!set("app.tenant", to("t"), SettingChange::Session));
    assert!(set("app.tenant", to("u"), SettingChange::Session));
    assert!(set("app.tenant", SettingValue::Unknown, SettingChange::Local));
    assert!(set("*", to("t"), SettingChange::Session));
    assert!(!set("app.tenant", SettingValue::Default, SettingChange::Reset));
}

#[test]
fn scopes_and_the_admin_role_open_tables_and_nothing_else() {
    let policy = policy(TENANCY);
    let cards = select(&["cards"], &[(&[0], constant("t"))]);
    assert_eq!(codes(&ask(&policy, &agent(), &cards)), ["missing_scope"]);
    let holds = Principal { scopes: vec!["cards:read".to_owned()], ..agent() };
    assert!(ask(&policy, &holds, &cards).is_allowed());
    let admin = Principal { roles: vec!["admin".to_owned()], ..agent() };
    assert!(ask(&policy, &admin, &cards).is_allowed());
    let others = select(&["cards"], &[(&[0], constant("u"))]);
    assert_eq!(codes(&ask(&policy, &admin, &others)), ["tenant_violation"]);
}

#[test]
fn scopes_alone_keep_no_tenants_apart() {
    let alone = policy("agents: {a: {}}\ntenancy: {table_required_scope: {cards: c}}");
    assert!(ask(&alone, &agent(), &select(&["orders"], &[])).is_allowed());
    let empty = policy("agents: {a: {}}\ntenancy: {}");
    assert_eq!(codes(&ask(&empty, &agent(), &select(&["orders"], &[]))), ["no_tenant"]);
}

#[test]
fn a_query_without_where_is_of_tables_that_belong_to_somebody() {
    let policy = policy(
        "agents: {a: {tenant: t}}\ndetections: {}\ntenancy: {tenant_global_tables: [merchants]}",
    );
    let bare = |table: &str| {
        let mut facts = select(&[table], &[(&[0], constant("t"))]);
        if let Fact::Known(shape) = &mut facts.shape {
            shape.references[0].without_where = true;
        }
        ask(&policy, &agent(), &facts)
    };
    assert!(bare("merchants").is_allowed());
    assert_eq!(codes(&bare("orders")), ["missing_where"]);
}

#[test]
fn personal_columns_need_the_scope_of_their_table() {
    let policy = policy(
        "agents: {a: {}}\ndetections: {pii_column_guard: {patterns: ['tax_*']}}\n\
         tenancy: {tenant_global_tables: ['*'], table_required_scope: {users: u}}",
    );
    let used = |name: &str, table: &str, scopes: &[&str]| {
        let mut facts = select(&[table], &[]);
        if let Fact::Known(shape) = &mut facts.shape {
            shape.columns = vec![ColumnName { name: name.to_owned(), of: vec![0] }];
        }
        let scopes = scopes.iter().map(|one| (*one).to_owned()).collect();
        let decision = ask(&policy, &Principal { scopes, ..agent() }, &facts);
        codes(&decision).contains(&"pii_column")
    };
    assert!(used("work_Email", "users", &[]) && !used("work_Email", "users", &["u"]));
    assert!(used("tax_id", "users", &[]) && !used("syntax", "users", &[]));
    assert!(used("ssn", "people", &["u"]), "nobody holds the scope of a table that has none");
    assert!(!used("name", "people", &[]));
}
