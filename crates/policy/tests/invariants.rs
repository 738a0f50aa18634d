//! The invariants of evaluation, each as a property over generated policies and facts. The test
//! names are the invariants' names.

mod common;

use common::{ask, policy};
use model::{
    Access, CallUse, ColumnName, ColumnRole, ColumnUse, Door, Equality, Fact, FunctionUse, Heavy,
    Operand, Operation, Principal, Reference, RelationName, RelationUse, Request, RowLimit, Rows,
    Schemas, ServerAccess, SettingChange, SettingUse, SettingValue, Shape, SqlFacts, Stage,
    TenantBound, TenantType, TenantUse, TransactionStep, Unfiltered, Unknown, Volatility,
};
use policy::{Fault, Outcome, Policy, Reason, ReasonCode};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const OPERATIONS: &[Operation] = &[
    Operation::Select,
    Operation::Insert,
    Operation::Update,
    Operation::Delete,
    Operation::Copy,
    Operation::Drop,
    Operation::AlterSystem,
    Operation::Do,
    Operation::Set,
    Operation::SetRole,
    Operation::Transaction,
    Operation::Explain,
    Operation::FunctionCall,
    Operation::Unknown,
];
const CAUSES: &[Unknown] = &[
    Unknown::ParseError,
    Unknown::Encoding,
    Unknown::TooComplex,
    Unknown::OpaqueCode,
    Unknown::UnresolvedName,
    Unknown::NotConstant,
    Unknown::NotInCatalog,
    Unknown::StaleCatalog,
    Unknown::UnknownStatement,
];
const STEPS: &[TransactionStep] =
    &[TransactionStep::Begin, TransactionStep::Commit, TransactionStep::Prepare];
const STAGES: &[Stage] = &[Stage::Query, Stage::Bind, Stage::FunctionCall, Stage::Startup];
const SCHEMAS: &[&str] = &["public", "hr", "app", "pg_catalog"];
const TABLES: &[&str] = &["users", "orders", "Users", "pg_type", "pg_authid"];
const FUNCTIONS: &[&str] = &["count", "pg_sleep", "lo_import", "my_func", "oid:7"];
const SETTINGS: &[&str] =
    &["datestyle", "role", "search_path", "app.tenant", "row_security", "nonsense", "*"];
const VALUES: &[&str] = &["on", "off", "public", "UTF8"];

/// A fact that is a list, or sometimes unknown.
fn fact<T: std::fmt::Debug + Clone + 'static>(
    element: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Fact<Vec<T>>> {
    prop_oneof![
        4 => vec(element, 0..4).prop_map(Fact::Known),
        1 => select(CAUSES).prop_map(Fact::Unknown),
    ]
    .boxed()
}

fn schemas() -> impl Strategy<Value = Schemas> {
    let name = || select(SCHEMAS).prop_map(str::to_owned);
    prop_oneof![
        select(SCHEMAS).prop_map(|name| Schemas::Named(name.into())),
        vec(vec(name(), 0..3), 0..3).prop_map(|paths| Schemas::Paths(paths.into())),
        Just(Schemas::Unknown),
    ]
}

fn relation() -> impl Strategy<Value = RelationUse> {
    let access = select(&[Access::Read, Access::Write, Access::Define][..]);
    (schemas(), select(TABLES), access).prop_map(|(schemas, name, access)| RelationUse {
        relation: RelationName { schemas, name: name.into() },
        access,
    })
}

fn function() -> impl Strategy<Value = FunctionUse> {
    (option::of(select(SCHEMAS)), select(FUNCTIONS)).prop_map(|(schema, name)| FunctionUse {
        schema: schema.map(str::to_owned),
        name: name.to_owned(),
    })
}

fn setting() -> impl Strategy<Value = SettingUse> {
    let change = select(
        &[
            SettingChange::Session,
            SettingChange::Local,
            SettingChange::Reset,
            SettingChange::Stored,
            SettingChange::Startup,
        ][..],
    );
    let value = prop_oneof![
        vec(select(VALUES).prop_map(str::to_owned), 1..3).prop_map(SettingValue::Constants),
        Just(SettingValue::Default),
        Just(SettingValue::Unknown),
    ];
    (select(SETTINGS), change, value).prop_map(|(name, change, value)| SettingUse {
        name: name.to_owned(),
        change,
        value,
    })
}

fn unfiltered() -> impl Strategy<Value = Unfiltered> {
    (select(&[Operation::Update, Operation::Delete][..]), select(TABLES))
        .prop_map(|(operation, relation)| Unfiltered { operation, relation: relation.to_owned() })
}

fn operand() -> impl Strategy<Value = Operand> {
    prop_oneof![
        select(&["t", "u"][..]).prop_map(|text| Operand::Constant(text.to_owned())),
        Just(Operand::Parameter(1)),
        select(&["app.tenant", "app.other"][..]).prop_map(|name| Operand::Setting(name.to_owned())),
        (0_u32..3).prop_map(|of| Operand::Column(vec![of], "tenant_id".to_owned())),
    ]
}

fn reference() -> impl Strategy<Value = Reference> {
    let assigned = vec((select(&["tenant_id", "id"][..]), option::of(operand())), 0..2);
    (relation(), any::<[bool; 3]>(), assigned).prop_map(
        |(used, [without_where, all_columns, inserted], assigned)| Reference {
            relation: used.relation,
            access: used.access,
            rows: if inserted { Rows::New } else { Rows::Present },
            without_where,
            all_columns,
            assigned: assigned.into_iter().map(|(name, to)| (name.to_owned(), to)).collect(),
        },
    )
}

/// Uses of relations, what is equal in them, and their columns.
fn uses() -> impl Strategy<Value = (Vec<Reference>, Vec<Equality>, Vec<ColumnName>)> {
    let equality = (vec(0_u32..3, 1..3), select(&["tenant_id", "id"][..]), operand())
        .prop_map(|(of, column, to)| Equality { of, column: column.to_owned(), to });
    let column = (select(&["id", "ssn", "name"][..]), vec(0_u32..3, 0..2))
        .prop_map(|(name, of)| ColumnName { name: name.to_owned(), of });
    (vec(reference(), 0..3), vec(equality, 0..3), vec(column, 0..2))
}

fn shape() -> impl Strategy<Value = Fact<Shape>> {
    let flags = prop::array::uniform9(any::<bool>());
    let limit = select(&[RowLimit::Missing, RowLimit::Rows(900), RowLimit::Parameter(1)][..]);
    let names = vec(select(&["id", "email"][..]), 0..2);
    let known = (flags, limit, 0_u32..4, names, uses()).prop_map(
        |(
            [
                star,
                no_where,
                tautology,
                set_operation,
                comment,
                random_order,
                writing_with,
                runs_explained,
                two_phase,
            ],
            limit,
            count,
            names,
            (references, equalities, columns),
        )| {
            Fact::Known(Shape {
                repeated: Vec::new(),
                statements: count,
                star,
                no_where,
                tautology,
                set_operation,
                comment,
                writing_with,
                runs_explained,
                two_phase,
                shown: if count == 2 { vec!["all".to_owned()] } else { Vec::new() },
                random_order,
                joins: count,
                sub_selects: count,
                limit,
                names: names.into_iter().map(str::to_owned).collect(),
                heavy: if count > 2 { vec![Heavy::LongSeries] } else { Vec::new() },
                unread: count == 1,
                references,
                equalities,
                columns,
            })
        },
    );
    prop_oneof![3 => known, 1 => Just(Fact::Unknown(Unknown::TooComplex))]
}

fn column() -> impl Strategy<Value = ColumnUse> {
    use ColumnRole::{Filter, Join, Order, Output, Write};
    let role = select(&[Output, Filter, Join, Order, Write][..]);
    let column = option::weighted(0.8, select(&["id", "ssn", "name"][..]));
    (select(SCHEMAS), select(TABLES), column, role, any::<bool>()).prop_map(
        |(schema, relation, column, role, reached)| ColumnUse {
            schema: schema.into(),
            relation: relation.into(),
            column: column.map(Into::into),
            role,
            reached,
        },
    )
}

fn call() -> impl Strategy<Value = CallUse> {
    let volatility = select(&[Volatility::Immutable, Volatility::Stable, Volatility::Volatile][..]);
    (select(&["pg_catalog", "app"][..]), select(&["lower", "count", "now"][..]), volatility)
        .prop_map(|(schema, name, volatility)| CallUse {
            schema: schema.into(),
            name: name.into(),
            reached: false,
            volatility,
        })
}

fn tenant() -> impl Strategy<Value = TenantUse> {
    let bounds = select(&[None, Some("acme"), Some("other")][..]);
    (select(&["users", "orders", "pay"][..]), bounds).prop_map(|(relation, bound)| TenantUse {
        schema: "hr".to_owned(),
        relation: relation.to_owned(),
        access: Access::Read,
        has_column: true,
        kind: TenantType::Text,
        bounds: bound.map(|value| TenantBound::Value(value.to_owned())).into_iter().collect(),
    })
}

prop_compose! {
    fn facts()(
        operation in select(OPERATIONS),
        empty in prop::bool::weighted(0.1),
        transaction in option::weighted(0.3, select(STEPS)),
        operations in fact(select(OPERATIONS)),
        relations in fact(relation()),
        functions in fact(function()),
        settings in fact(setting()),
        unfiltered in fact(unfiltered()),
        server_access in fact(select(&[ServerAccess::File, ServerAccess::Program][..])),
        columns in fact(column()),
        calls in fact(call()),
        tenants in fact(tenant()),
        shape in shape(),
    ) -> SqlFacts {
        SqlFacts {
            operation, empty, transaction, operations, relations, functions, settings,
            unfiltered, server_access, columns, calls, digest: None, tenants, shape, bodies: Vec::new(),
        }
    }
}

/// Text that would be a YAML list of these words, in this order.
fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    format!("[{}]", quoted.join(", "))
}

fn some_of(words: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(words, 0..=words.len())
}

const PATTERNS: &[&str] = &["public.users", "orders", "hr.*", "app.users", "*", "public.\"Users\""];
const BLOCKABLE: &[&str] = &["SELECT", "ALTER", "COPY", "SET", "TRANSACTION", "DELETE"];

/// An agent's lists of columns and functions.
const ELEMENTS: &[&str] = &[
    "",
    "",
    "columns: {'public.users': {allow: [id, name], deny: [ssn]}}, ",
    "columns: {'*': {deny: ['s*'], output_only: true}}, functions: ['@immutable', count], ",
    "functions: {deny: ['app.*']}, ",
    "settings: {application_name: any, statement_timeout: {max: 5s}}, ",
    "columns: {'public.users': {write_only: ['*']}}, settings: [], ",
];

/// Detections, scopes, risk.
const SECTIONS: &[&str] = &[
    "",
    "detections: {comments: {enabled: true}, row_limit_enforcer: {max_limit: 100}}\n",
    "detections: {pii_column_guard: {patterns: ['i*']}, resource_guard: {}}\nrisk: {threshold: 3}\n",
    "tenancy: {table_required_scope: {users: 'users:read'}}\ndetections: {}\n",
    "risk: {threshold: 5}\n",
    "detections: {data_modifying_with: {}, explain_analyze: {}, two_phase_commit: {}}\n",
    "tenancy: {column: tenant_id, tenant_global_tables: [hr.pay]}\n",
    "tenancy: {tenant_global_tables: [public.orders], setting: app.tenant}\n",
    "detections: {select_star_block: {enabled: false}}\ntenancy: {tenant_global_tables: ['hr.*']}\n",
];

/// The lists of a policy, whose order must not matter.
#[derive(Debug, Clone)]
struct Lists {
    tables: Vec<&'static str>,
    blocked_tables: Vec<&'static str>,
    blocked_operations: Vec<&'static str>,
    blocked_functions: Vec<&'static str>,
    functions: Vec<&'static str>,
    settings: Vec<&'static str>,
}

/// A policy, its parts kept so that it can be written in more than one way.
#[derive(Debug, Clone)]
struct Parts {
    lists: Lists,
    profile: &'static str,
    missions: bool,
    elements: &'static str,
    sections: &'static str,
    stances: [&'static str; 3],
    unidentified: &'static str,
}

impl Parts {
    fn text(&self) -> String {
        let Self { lists, profile, missions, elements, sections, stances, unidentified } = self;
        let [default_policy, server_files, unparsable] = stances;
        let missions = if *missions {
            format!("missions: {{m: {{tables: {}}}}}, ", list(&lists.tables))
        } else {
            String::new()
        };
        format!(
            "profiles:\n  p: {{blocked_operations: {}, conditions: ['DELETE must include WHERE']}}\n\
             agents:\n  a: {{profile: {profile}, {missions}{elements}blocked_tables: {}}}\n\
             default_policy: {default_policy}\nserver_files: {server_files}\n\
             unparsable: {unparsable}\nblocked_functions: {}\nfunctions: {}\nsettings: {}\n\
             {sections}unidentified: {{policy: {unidentified}, blocked_tables: {}}}\n",
            list(&lists.blocked_operations),
            list(&lists.blocked_tables),
            list(&lists.blocked_functions),
            list(&lists.functions),
            list(&lists.settings),
            list(&lists.blocked_tables),
        )
    }

    fn reversed(&self) -> Self {
        let mut other = self.clone();
        let Lists {
            tables,
            blocked_tables,
            blocked_operations,
            blocked_functions,
            functions,
            settings,
        } = &mut other.lists;
        for words in
            [tables, blocked_tables, blocked_operations, blocked_functions, functions, settings]
        {
            words.reverse();
        }
        other
    }

    fn policy(&self) -> Policy {
        policy(&self.text())
    }
}

prop_compose! {
    fn lists()(
        tables in some_of(PATTERNS),
        blocked_tables in some_of(&["public.users", "orders", "hr.*", "Users"]),
        blocked_operations in some_of(BLOCKABLE),
        blocked_functions in some_of(&["my_*", "app.count", "pg_sleep"]),
        functions in some_of(&["pg_sleep", "lo_*", "oid:7", "*", "count"]),
        settings in some_of(&["role", "app.tenant", "*"]),
    ) -> Lists {
        Lists { tables, blocked_tables, blocked_operations, blocked_functions, functions, settings }
    }
}

prop_compose! {
    fn parts()(
        lists in lists(),
        profile in select(&["permissive", "standard", "strict", "hardened", "p"][..]),
        missions in any::<bool>(),
        elements in select(ELEMENTS),
        sections in select(SECTIONS),
        stances in prop::array::uniform3(select(&["deny", "allow"][..])),
        unidentified in select(&["deny", "monitor", "allow"][..]),
    ) -> Parts {
        Parts { lists, profile, missions, elements, sections, stances, unidentified }
    }
}

fn principal() -> impl Strategy<Value = Principal> {
    select(&["agent:a", "agent:a:mission:m", "agent:a:mission:x", "agent:other", "psql"][..])
        .prop_map(|name| Principal {
            on_behalf_of: Some("app".to_owned()),
            tenant: name.ends_with('m').then(|| "t".to_owned()),
            scopes: vec!["users:read".to_owned()],
            ..Principal::asserted(name)
        })
}

/// A known fact becomes unknown; an unknown one keeps its cause.
fn forget<T>(fact: &mut Fact<T>, why: Unknown) {
    if !fact.is_unknown() {
        *fact = Fact::Unknown(why);
    }
}

fn forget_all(facts: &mut SqlFacts, why: Unknown) {
    facts.operation = Operation::Unknown;
    facts.transaction = None;
    facts.empty = false;
    forget(&mut facts.operations, why);
    forget(&mut facts.relations, why);
    forget(&mut facts.functions, why);
    forget(&mut facts.settings, why);
    forget(&mut facts.unfiltered, why);
    forget(&mut facts.server_access, why);
    forget(&mut facts.columns, why);
    forget(&mut facts.calls, why);
    forget(&mut facts.tenants, why);
    forget(&mut facts.shape, why);
}

/// Every way to know less than `facts` says, by one step.
fn blurred(facts: &SqlFacts, why: Unknown) -> Vec<SqlFacts> {
    let change = |edit: &dyn Fn(&mut SqlFacts)| {
        let mut other = facts.clone();
        edit(&mut other);
        other
    };
    vec![
        change(&|facts| facts.operation = Operation::Unknown),
        change(&|facts| forget(&mut facts.operations, why)),
        change(&|facts| forget(&mut facts.relations, why)),
        change(&|facts| forget(&mut facts.functions, why)),
        change(&|facts| forget(&mut facts.settings, why)),
        change(&|facts| forget(&mut facts.unfiltered, why)),
        change(&|facts| forget(&mut facts.server_access, why)),
        change(&|facts| forget(&mut facts.columns, why)),
        change(&|facts| forget(&mut facts.calls, why)),
        change(&|facts| forget(&mut facts.tenants, why)),
        change(&|facts| forget(&mut facts.shape, why)),
        change(&|facts| facts.transaction = None),
        change(&|facts| facts.empty = false),
        change(&|facts| {
            if let Fact::Known(all) = &mut facts.relations {
                for used in all.iter_mut() {
                    used.relation.schemas = Schemas::Unknown;
                }
            }
        }),
        change(&|facts| {
            if let Fact::Known(all) = &mut facts.settings {
                for one in all.iter_mut() {
                    one.value = SettingValue::Unknown;
                }
            }
        }),
        change(&|facts| {
            if let Fact::Known(all) = &mut facts.settings {
                for one in all.iter_mut() {
                    "*".clone_into(&mut one.name);
                }
            }
        }),
        change(&|facts| forget_all(facts, why)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn unknown_never_allows(
        parts in parts(), who in principal(), facts in facts(), stage in select(STAGES),
        why in select(CAUSES), server in select(&[None, Some(13), Some(14), Some(18), Some(19)][..]),
        accepted in select(&["", "accept_server_versions: [13]\n", "accept_server_versions: [any]\n"][..]),
    ) {
        let policy = policy(&format!("{accepted}{}", parts.text()));
        let ask_of = |server_major, facts: &SqlFacts| {
            policy.evaluate(&Request { principal: &who, door: Door::Pg, stage, server_major, facts }).outcome()
        };
        let ask = |facts: &SqlFacts| ask_of(server, facts);
        if ask(&facts) != Outcome::Allow {
            prop_assert_ne!(ask_of(None, &facts), Outcome::Allow, "{:?} {:?}", server, facts);
            for less in blurred(&facts, why) {
                prop_assert_ne!(ask(&less), Outcome::Allow, "{:?}\nbut\n{:?}", facts, less);
            }
        }
    }

    #[test]
    fn default_is_deny(who in principal(), facts in facts()) {
        let nothing = SqlFacts::of_nothing();
        for text in ["", "version: '2'", "agents: {}", "agents: {b: {profile: permissive}}"] {
            let decision = ask(&policy(text), &who, &facts);
            let leaves = facts.empty || facts.transaction == Some(TransactionStep::Commit);
            prop_assert!(decision.outcome() == Outcome::Deny || leaves, "{:?}", facts);
            prop_assert_eq!(ask(&policy(text), &who, &nothing).outcome(), Outcome::Allow);
        }
    }

    #[test]
    fn forbid_wins(parts in parts(), who in principal(), facts in facts()) {
        // Adding to a list that forbids never turns a denial into an allow, and a forbid that
        // is true denies whatever else permits.
        let mut stricter = parts.clone();
        stricter.lists.blocked_functions.push("count");
        stricter.lists.blocked_tables.push("users");
        let (before, after) = (parts.policy(), stricter.policy());
        if !ask(&before, &who, &facts).is_allowed() {
            prop_assert!(!ask(&after, &who, &facts).is_allowed());
        }
        let counts = facts.functions.known().is_some_and(|all| all.iter().any(|one| one.name == "count"));
        if counts || facts.functions.is_unknown() {
            prop_assert!(!ask(&after, &who, &facts).is_allowed());
        }
        let users = |used: &RelationUse| used.relation.name.eq_ignore_ascii_case("users");
        let reads = facts.relations.known().is_some_and(|all| all.iter().any(users));
        let listed = who.agent.as_deref() != Some("other");
        if listed && (reads || facts.relations.is_unknown()) {
            prop_assert!(!ask(&after, &who, &facts).is_allowed());
        }
    }

    #[test]
    fn order_does_not_matter(parts in parts(), who in principal(), facts in facts()) {
        fn turn<T>(fact: &mut Fact<Vec<T>>) {
            if let Fact::Known(all) = fact {
                all.reverse();
            }
        }
        let mut turned = facts.clone();
        turn(&mut turned.operations);
        turn(&mut turned.relations);
        turn(&mut turned.functions);
        turn(&mut turned.settings);
        turn(&mut turned.unfiltered);
        turn(&mut turned.server_access);
        let (one, other) = (ask(&parts.policy(), &who, &facts), ask(&parts.reversed().policy(), &who, &turned));
        prop_assert_eq!(one.outcome(), other.outcome());
        prop_assert_eq!(one.reasons(), other.reasons());
        prop_assert_eq!(one.risk(), other.risk());
    }

    #[test]
    fn decisions_only_narrow(
        parts in parts(), who in principal(), facts in facts(), code in select(ReasonCode::ALL),
    ) {
        let policy = parts.policy();
        let decision = ask(&policy, &who, &facts);
        prop_assert_eq!(decision.reasons().is_empty(), decision.is_allowed());
        let mut known: Vec<Reason> = decision.reasons().to_vec();
        let narrowed = decision.denied(Reason::of(code));
        prop_assert_eq!(narrowed.outcome(), Outcome::Deny);
        known.insert(0, Reason::of(code));
        prop_assert_eq!(narrowed.reasons(), &known[..]);
        let fault = policy::Decision::fault(*policy.digest(), Fault::Internal);
        prop_assert_eq!(fault.outcome(), Outcome::Deny);
        // Nor does observing: the decision is the same in either mode.
        let request = Request { principal: &who, door: Door::Pg, stage: Stage::Query, server_major: Some(18), facts: &facts };
        let explanation = policy.explain(&request);
        prop_assert_eq!(explanation.decision(), &policy.evaluate(&request));
    }

    #[test]
    fn loading_is_total(text in "[ -~\n]{0,200}") {
        let _loaded = Policy::load("p.yaml", &text).map(|loaded| loaded.warnings);
    }
}
