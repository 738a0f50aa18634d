//! The documented behaviour of policies: profiles, missions, grants, modes, and the shipped
//! examples. Evasions stand beside honest twins.

mod common;

use common::{ask, policy};
use model::{
    Access, Door, Fact, FunctionUse, Operation, Principal, RelationName, RelationUse, Request,
    Schemas, SettingChange, SettingUse, SettingValue, SqlFacts, Stage, TransactionStep, Unfiltered,
    Unknown,
};
use policy::{Bucket, Decision, Mode, Outcome, Policy, ReasonCode, Said};

const PAGE: &str = include_str!("../../../policies/policies.yaml");
const TRANSPARENT: &str = include_str!("../../../policies/transparent.yaml");
const CURSOR: &str = "agent:cursor-ai:mission:summarize-feedback";

/// Who says so in its `application_name`, as database role `app`.
fn who(application_name: &str) -> Principal {
    let on_behalf_of = Some("app".to_owned());
    Principal { on_behalf_of, ..Principal::asserted(application_name) }
}

/// The reasons as a client sees them.
fn reasons(decision: &Decision) -> Vec<String> {
    decision.reasons().iter().map(ToString::to_string).collect()
}

/// A statement that reads `schema.table` or `table` (on the default search path).
fn reads(operation: Operation, tables: &[&str]) -> SqlFacts {
    let used = tables.iter().map(|name| table(name, Access::Read)).collect();
    SqlFacts { relations: Fact::Known(used), ..SqlFacts::of(operation) }
}

/// One use of a table.
fn table(name: &str, access: Access) -> RelationUse {
    let (schemas, name) = match name.split_once('.') {
        Some((schema, name)) => (Schemas::Named(schema.into()), name),
        None => (Schemas::Paths([vec!["app".to_owned(), "public".to_owned()]].into()), name),
    };
    RelationUse { relation: RelationName { schemas, name: name.into() }, access }
}

/// A SELECT that calls a function.
fn calls(name: &str) -> SqlFacts {
    let function = FunctionUse { schema: None, name: name.to_owned() };
    SqlFacts { functions: Fact::Known(vec![function]), ..SqlFacts::of(Operation::Select) }
}

fn set(change: SettingChange, name: &str, value: &str) -> SqlFacts {
    let value = SettingValue::Constants(vec![value.to_owned()]);
    let one = SettingUse { name: name.to_owned(), change, value };
    SqlFacts { settings: Fact::Known(vec![one]), ..SqlFacts::of(Operation::Set) }
}

fn step(step: TransactionStep) -> SqlFacts {
    SqlFacts { transaction: Some(step), ..SqlFacts::of(Operation::Transaction) }
}

#[test]
fn the_page_example_behaves_as_the_page_says() {
    let loaded = Policy::load("policies.yaml", PAGE).unwrap();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let page = loaded.policy;
    let cursor = who(CURSOR);
    let allowed = ask(&page, &cursor, &reads(Operation::Select, &["feedback"]));
    assert_eq!(allowed.outcome(), Outcome::Allow);
    assert_eq!(allowed.risk(), 0);
    let drop = SqlFacts {
        relations: Fact::Known(vec![table("users", Access::Define)]),
        ..SqlFacts::of(Operation::Drop)
    };
    assert_eq!(
        reasons(&ask(&page, &cursor, &drop)),
        [
            "blocked_operation (op: DROP)",
            "blocked_table (table: users) (op: DROP)",
            "table_not_in_mission (table: users) (op: DROP)"
        ]
    );
    let langchain = who("agent:langchain-agent:mission:analyze-trends");
    let drop = ask(&page, &langchain, &SqlFacts::of(Operation::Drop));
    assert_eq!(reasons(&drop), ["blocked_operation (op: DROP)"]);
    assert_eq!(drop.reasons()[0].category(), "destructive_op");
    assert_eq!(drop.reasons()[0].bucket(), Bucket::Abort);
    let rogue =
        ask(&page, &who("agent:rogue-bot:mission:steal"), &reads(Operation::Select, &["users"]));
    assert_eq!(reasons(&rogue), ["agent_not_in_policy"]);
    let file = ask(&page, &cursor, &calls("pg_read_file"));
    assert_eq!(reasons(&file), ["blocked_function:pg_read_file (op: SELECT)"]);
    let nobody = ask(&page, &Principal::unidentified(), &SqlFacts::of(Operation::Select));
    assert_eq!(reasons(&nobody), ["unidentified_connection"]);
}

#[test]
fn a_mission_hands_out_rows_and_not_tables() {
    let policy = |extra: &str| {
        let text = format!("agents:\n  a:\n    profile: standard\n{extra}");
        Policy::load("p.yaml", &text).unwrap().policy
    };
    let mission = "    missions: { m: { tables: [public.feedback] } }\n";
    let allow = "    profile_overrides: { allow: [CREATE] }\n";
    let who = who("agent:a:mission:m");
    let create = SqlFacts {
        relations: Fact::Known(vec![table("feedback", Access::Define)]),
        ..SqlFacts::of(Operation::Create)
    };
    let denied = ask(&policy(mission), &who, &create);
    assert_eq!(reasons(&denied), ["blocked_operation (op: CREATE)"]);
    assert!(ask(&policy(&format!("{allow}{mission}")), &who, &create).is_allowed());
    // Exactly as the profile lists it, where there is no mission.
    assert!(ask(&policy(""), &who, &create).is_allowed());
}

#[test]
fn shipped_examples_load() {
    for (name, text, warns) in [
        ("policies.yaml", PAGE, false),
        ("readonly.yaml", include_str!("../../../policies/readonly.yaml"), false),
        ("starter.yaml", include_str!("../../../policies/starter.yaml"), false),
        ("transparent.yaml", TRANSPARENT, true),
    ] {
        let loaded = Policy::load(name, text).unwrap_or_else(|found| panic!("{found}"));
        assert_eq!(!loaded.warnings.is_empty(), warns, "{name}: {}", loaded.warnings);
    }
}

#[test]
fn transparent_lets_everything_pass() {
    let all = policy(TRANSPARENT);
    assert!(all.allows_unparsable() && !all.guards_settings());
    let unlisted = who("agent:any");
    for facts in [
        SqlFacts::unknown(Unknown::ParseError),
        SqlFacts::unknown(Unknown::OpaqueCode),
        calls("pg_read_file"),
        set(SettingChange::Session, "role", "postgres"),
        SqlFacts::of(Operation::AlterSystem),
    ] {
        assert!(ask(&all, &unlisted, &facts).is_allowed(), "{facts:?}");
        assert!(ask(&all, &Principal::unidentified(), &facts).is_allowed());
    }
}

#[test]
fn leaving_a_transaction_and_nothing_are_always_allowed() {
    let none = policy("");
    let nobody = Principal::unidentified();
    for one in [
        TransactionStep::Commit,
        TransactionStep::Rollback,
        TransactionStep::RollbackTo,
        TransactionStep::Release,
    ] {
        assert!(ask(&none, &nobody, &step(one)).is_allowed(), "{one:?}");
    }
    assert!(ask(&none, &nobody, &SqlFacts::of_nothing()).is_allowed());
    assert!(!ask(&none, &nobody, &step(TransactionStep::Begin)).is_allowed());
    // Evasion: facts that claim to be a COMMIT, or nothing, and do more.
    let more = SqlFacts { functions: calls("f").functions, ..step(TransactionStep::Commit) };
    assert!(!ask(&none, &nobody, &more).is_allowed());
    let open = SqlFacts { relations: Fact::Unknown(Unknown::OpaqueCode), ..SqlFacts::of_nothing() };
    assert!(!ask(&none, &nobody, &open).is_allowed());
    let mut drop = SqlFacts::of(Operation::Drop);
    drop.empty = true;
    assert!(!ask(&none, &nobody, &drop).is_allowed());
    drop.operations = Fact::Known(Vec::new());
    assert!(!ask(&none, &nobody, &drop).is_allowed());
}

#[test]
fn begin_is_implied_and_can_be_blocked_by_name() {
    let text = "profiles: {r: {allowed_operations: [SELECT]}}\n\
                agents: {a: {profile: r}, b: {profile: r, profile_overrides: {block: [TRANSACTION]}}}";
    let both = policy(text);
    assert!(ask(&both, &who("agent:a"), &step(TransactionStep::Begin)).is_allowed());
    assert!(!ask(&both, &who("agent:b"), &step(TransactionStep::Begin)).is_allowed());
    assert!(!ask(&both, &who("agent:a"), &step(TransactionStep::CommitPrepared)).is_allowed());
}

#[test]
fn every_operation_counts_not_just_the_first() {
    let one = policy("agents: {a: {profile: strict}}");
    let mut hidden = SqlFacts::of(Operation::Select);
    hidden.operations = Fact::Known(vec![Operation::Select, Operation::Drop]);
    assert_eq!(reasons(&ask(&one, &who("agent:a"), &hidden)), ["blocked_operation (op: DROP)"]);
    let mut honest = SqlFacts::of(Operation::Explain);
    honest.operations = Fact::Known(vec![Operation::Select, Operation::Explain]);
    assert!(ask(&one, &who("agent:a"), &honest).is_allowed());
    // The statement's own operation counts even if the list forgets it.
    let mut forgotten = SqlFacts::of(Operation::Drop);
    forgotten.operations = Fact::Known(Vec::new());
    assert!(!ask(&one, &who("agent:a"), &forgotten).is_allowed());
}

#[test]
fn conditions_want_a_where() {
    let one = policy("agents: {a: {profile: standard}, b: {profile: permissive}}");
    let relation = "users".to_owned();
    let all = SqlFacts {
        unfiltered: Fact::Known(vec![Unfiltered { operation: Operation::Delete, relation }]),
        ..SqlFacts::of(Operation::Delete)
    };
    let denied = ask(&one, &who("agent:a"), &all);
    assert_eq!(reasons(&denied), ["condition_violated (table: users) (op: DELETE)"]);
    assert_eq!(denied.reasons()[0].bucket(), Bucket::Rewrite);
    assert!(denied.reasons()[0].suggestion().contains("WHERE"));
    assert!(ask(&one, &who("agent:a"), &SqlFacts::of(Operation::Delete)).is_allowed());
    assert!(ask(&one, &who("agent:b"), &all).is_allowed());
}

#[test]
fn overrides_and_legacy_lists() {
    let text = "agents:\n  a:\n    profile: standard\n    profile_overrides:\n      allow: [COPY]\n      \
                block: [DELETE]\n  l:\n    blocked_operations: [alter]\n  \
                p:\n    profile: permissive\n    blocked_operations: [SELECT]\n";
    let loaded = Policy::load("p.yaml", text).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings.to_string().starts_with("p.yaml:11:5: warning: `blocked_operations`"));
    let one = loaded.policy;
    let may = |who_: &str, op| ask(&one, &who(who_), &SqlFacts::of(op)).is_allowed();
    assert!(may("agent:a", Operation::Copy) && !may("agent:a", Operation::Delete));
    assert!(!may("agent:l", Operation::AlterSystem), "ALTER covers its kin");
    assert!(!may("agent:l", Operation::Unknown), "unknown is in no set but all");
    assert!(may("agent:l", Operation::Select));
    assert!(may("agent:p", Operation::Select), "the profile takes precedence");
    assert!(!may("agent:p", Operation::Unknown), "it may be a function call");
}

#[test]
fn missions_bound_tables_but_not_what_drivers_read() {
    let page = policy(PAGE);
    let cursor = who(CURSOR);
    let ok = |facts: &SqlFacts| ask(&page, &cursor, facts).is_allowed();
    assert!(ok(&reads(Operation::Select, &["pg_catalog.pg_type", "public.products"])));
    assert!(!ok(&reads(Operation::Select, &["pg_catalog.pg_authid"])));
    assert!(!ok(&reads(Operation::Select, &["hr.feedback"])));
    let unnamed = ask(&page, &who("agent:cursor-ai"), &reads(Operation::Select, &["feedback"]));
    assert_eq!(reasons(&unnamed), ["no_mission_policy (table: feedback) (op: SELECT)"]);
    assert!(unnamed.reasons()[0].suggestion().ends_with("summarize-feedback"));
    let unknown = who("agent:cursor-ai:mission:steal");
    assert!(!ask(&page, &unknown, &reads(Operation::Select, &["feedback"])).is_allowed());
    assert!(ask(&page, &unknown, &SqlFacts::of(Operation::Select)).is_allowed());
    let blind = SqlFacts {
        relations: Fact::Unknown(Unknown::OpaqueCode),
        ..SqlFacts::of(Operation::Select)
    };
    assert_eq!(
        reasons(&ask(&page, &cursor, &blind)),
        ["unknown_relations:opaque_code (op: SELECT)"]
    );
    let catalog = policy("agents: {a: {blocked_tables: ['pg_catalog.*']}}");
    assert!(
        !ask(&catalog, &who("agent:a"), &reads(Operation::Select, &["pg_catalog.pg_type"]))
            .is_allowed()
    );
}

#[test]
fn a_suggestion_names_what_may_be_used() {
    let page = policy(PAGE);
    let denied = ask(&page, &who(CURSOR), &reads(Operation::Select, &["secrets"]));
    assert_eq!(
        denied.reasons()[0].suggestion(),
        "use the tables of mission `summarize-feedback`: public.feedback, public.products"
    );
    let strict = policy("agents: {a: {profile: strict}}");
    let denied = ask(&strict, &who("agent:a"), &SqlFacts::of(Operation::Drop));
    assert_eq!(
        denied.reasons()[0].suggestion(),
        "use one of the permitted operations: SELECT, INSERT, UPDATE, DELETE, TRANSACTION, EXPLAIN"
    );
}

#[test]
fn functions_are_lifted_from_the_shipped_list_only() {
    let text =
        "blocked_functions: [my_*, pg_sleep]\nfunctions: [pg_sleep, lo_get]\nagents: {a: {}}";
    let one = policy(text);
    let may = |name: &str| ask(&one, &who("agent:a"), &calls(name)).is_allowed();
    assert!(may("lo_get") && may("count"));
    assert!(!may("pg_sleep"), "the file's own list is never lifted");
    assert!(!may("my_func") && !may("lo_export"));
    let blind = SqlFacts { functions: Fact::Unknown(Unknown::OpaqueCode), ..calls("x") };
    assert!(!ask(&one, &who("agent:a"), &blind).is_allowed());
    let star = policy("blocked_functions: [x]\nfunctions: ['*']\nagents: {a: {}}");
    assert!(!ask(&star, &who("agent:a"), &blind).is_allowed());
}

#[test]
fn a_function_call_needs_a_grant_by_name() {
    let facts = |name: &str| SqlFacts {
        functions: calls(name).functions,
        ..SqlFacts::of(Operation::FunctionCall)
    };
    let none = policy("agents: {a: {}}");
    assert_eq!(
        reasons(&ask(&none, &who("agent:a"), &facts("lower"))),
        ["function_call_not_allowed:lower (op: FUNCTION_CALL)"]
    );
    let some = policy("functions: [lower, 'oid:1234']\nagents: {a: {}, s: {profile: standard}}");
    assert!(ask(&some, &who("agent:a"), &facts("lower")).is_allowed());
    assert!(ask(&some, &who("agent:a"), &facts("oid:1234")).is_allowed());
    assert!(!ask(&some, &who("agent:a"), &facts("upper")).is_allowed());
    assert!(!ask(&some, &who("agent:a"), &SqlFacts::of(Operation::FunctionCall)).is_allowed());
    assert!(!ask(&some, &who("agent:s"), &facts("lower")).is_allowed(), "FUNCTION is blocked");
}

#[test]
fn settings_are_guarded_at_startup_too() {
    let one = policy("agents: {a: {profile: strict}}");
    let agent = who("agent:a");
    let ask_at = |stage, facts: &SqlFacts| {
        one.evaluate(&Request {
            principal: &agent,
            door: Door::Pg,
            stage,
            server_major: Some(18),
            facts,
        })
        .is_allowed()
    };
    let harmless = set(SettingChange::Startup, "datestyle", "ISO");
    assert!(ask_at(Stage::Startup, &harmless), "a connection needs no SET permission");
    assert!(!ask_at(Stage::Query, &harmless), "strict permits no SET");
    assert!(!ask_at(Stage::Startup, &set(SettingChange::Startup, "role", "postgres")));
    assert!(!ask_at(Stage::Startup, &set(SettingChange::Startup, "session_replication_role", "x")));
    let open = policy("agents: {a: {}}");
    let denied =
        ask(&open, &agent, &set(SettingChange::Session, "standard_conforming_strings", "off"));
    assert_eq!(reasons(&denied), ["setting_not_allowed:standard_conforming_strings (op: SET)"]);
    assert!(denied.reasons()[0].suggestion().contains("on"));
    let granted = policy("settings: [app.tenant_id]\nagents: {a: {}}");
    assert!(ask(&granted, &agent, &set(SettingChange::Session, "app.tenant_id", "1")).is_allowed());
    assert!(!ask(&open, &agent, &set(SettingChange::Session, "app.tenant_id", "1")).is_allowed());
}

#[test]
fn unreadable_text_has_one_reason() {
    let one = policy("agents: {a: {profile: strict, blocked_tables: [x]}}");
    let broken = ask(&one, &who("agent:a"), &SqlFacts::unknown(Unknown::ParseError));
    assert_eq!(reasons(&broken), ["ast_parse_failed"]);
    assert_eq!(broken.reasons()[0].category(), "parse_error");
    let encoding = ask(&one, &who("agent:a"), &SqlFacts::unknown(Unknown::Encoding));
    assert_eq!(encoding.reasons()[0].code(), ReasonCode::InvalidEncoding);
    let open = policy("agents: {a: {profile: permissive}}");
    assert!(!ask(&open, &who("agent:a"), &SqlFacts::unknown(Unknown::ParseError)).is_allowed());
}

#[test]
fn observing_does_not_widen_a_decision() {
    let text = "agents: {a: {mode: observe, profile: strict}}\nunidentified: {policy: monitor, blocked_tables: [x]}";
    let one = policy(text);
    assert_eq!(one.mode_for(&who("agent:a")), Mode::Observe);
    assert_eq!(one.mode_for(&who("agent:other")), Mode::Enforce);
    assert_eq!(one.mode_for(&Principal::unidentified()), Mode::Observe);
    assert!(!ask(&one, &who("agent:a"), &SqlFacts::of(Operation::Drop)).is_allowed());
    let nobody = ask(&one, &Principal::unidentified(), &reads(Operation::Select, &["x"]));
    assert_eq!(
        reasons(&nobody),
        ["unidentified_connection", "blocked_table (table: x) (op: SELECT)"]
    );
}

#[test]
fn reasons_are_bounded() {
    let page = policy(PAGE);
    let names: Vec<String> = (0..5000).map(|n| format!("t{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let denied = ask(&page, &who(CURSOR), &reads(Operation::Select, &names));
    assert_eq!(denied.reasons().len(), policy::limits::MAX_REASONS);
}

#[test]
fn the_explanation_has_thirteen_lines_and_agrees() {
    let page = policy(PAGE);
    let principal = who(CURSOR);
    let facts = reads(Operation::Select, &["users"]);
    let request = Request {
        principal: &principal,
        door: Door::Check,
        stage: Stage::Query,
        server_major: Some(18),
        facts: &facts,
    };
    let explanation = page.explain(&request);
    assert_eq!(explanation.decision(), &page.evaluate(&request));
    let said: Vec<Said> = explanation.steps().iter().map(|step| step.said).collect();
    assert_eq!(said.len(), 13);
    assert_eq!(said.iter().filter(|said| **said == Said::Deny).count(), 3);
    let text = explanation.to_string();
    assert!(text.starts_with(" 1 submission"), "{text}");
    assert!(
        text.contains("\n 4 relations                 deny   table_not_in_mission (table: users)"),
        "{text}"
    );
    assert!(text.contains("\n13 mode                      later  enforce\n=> deny"), "{text}");
    let nobody = Principal::unidentified();
    let request = Request { principal: &nobody, ..request };
    assert_eq!(page.explain(&request).steps().len(), 13);
    let nothing = SqlFacts::of_nothing();
    let request = Request { facts: &nothing, ..request };
    let explanation = page.explain(&request);
    assert!(explanation.decision().is_allowed() && explanation.steps().len() == 13);
}

#[test]
fn a_server_that_nobody_knows_is_refused_whatever_else_is_permitted() {
    let open = "agents: {a: {}}\n";
    let agent = who("agent:a");
    let select = SqlFacts::of(Operation::Select);
    let ask_of = |text: &str, server_major, stage, facts: &SqlFacts| {
        let request = Request { principal: &agent, door: Door::Pg, stage, server_major, facts };
        let decision = policy(text).evaluate(&request);
        let reasons = decision.reasons().iter();
        reasons.map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    for major in 14..=18 {
        assert_eq!(ask_of(open, Some(major), Stage::Query, &select), "");
    }
    for (major, told) in [(Some(13), "13"), (Some(19), "19"), (None, "not told")] {
        let denied = ask_of(open, major, Stage::Query, &select);
        assert_eq!(denied, format!("unsupported_server_version:{told}"));
        assert_eq!(ask_of(TRANSPARENT, major, Stage::Execute, &select), denied);
        let any = format!("accept_server_versions: [any]\n{open}");
        assert_eq!(ask_of(&any, major, Stage::Query, &select), "");
        // A connection has no server yet.
        assert_eq!(ask_of(open, major, Stage::Startup, &select), "");
    }
    let old = format!("accept_server_versions: [13]\n{open}");
    assert_eq!(ask_of(&old, Some(13), Stage::Query, &select), "");
    assert_ne!(ask_of(&old, None, Stage::Query, &select), "");
    let mut commit = SqlFacts::of(Operation::Transaction);
    commit.transaction = Some(TransactionStep::Commit);
    assert_eq!(ask_of(open, None, Stage::Query, &commit), "", "nobody is locked in");
}

#[test]
fn names_are_looked_up_where_a_rule_asks_for_them() {
    for (text, asks) in [
        ("agents: {a: {profile: strict}}", false),
        ("agents: {a: {columns: {t: [x]}}}", true),
        ("agents: {a: {functions: [lower]}}", true),
        ("agents: {a: {}, b: {blocked_tables: [t]}}", true),
        ("unidentified: {policy: allow, blocked_tables: [t]}", true),
        ("tenancy: {column: tenant_id}", true),
        ("detections: {pii_column_guard: {enabled: true}}", true),
    ] {
        assert_eq!(policy(text).rests_on_names(), asks, "{text}");
    }
    assert!(policy("bare_names: built_in").trusts_bare_names());
    assert!(!policy("bare_names: unknown").trusts_bare_names());
}
