//! What is wrong with a document is said completely, with file, line, column and the nearest
//! right word.

use policy::{Policy, Severity};

fn errors(text: &str) -> Vec<String> {
    let found = Policy::load("p.yaml", text).err().unwrap_or_default();
    let errors = found.iter().filter(|one| one.severity == Severity::Error);
    errors.map(ToString::to_string).collect()
}

#[track_caller]
fn fails(text: &str, expected: &str) {
    let found = errors(text);
    assert!(found.iter().any(|one| one.contains(expected)), "{text:?} gave {found:#?}");
}

#[track_caller]
fn loads(text: &str) {
    assert_eq!(errors(text), Vec::<String>::new(), "{text:?}");
}

#[test]
fn all_errors_come_at_once_in_order() {
    let text = "\
version: '3'
defualt_policy: deny
agents:
  a:
    profile: standart
    blocked_table: [x]
    profile_overrides:
      allow: [COPPY]
    missions:
      m:
        tables: [a.b.c, ok]
profiles:
  p:
    extends: strict
    blocked_categories: [DCI]
    conditions: [\"DELETE must include WERE\"]
";
    assert_eq!(
        errors(text),
        [
            "p.yaml:1:10: error: unknown version `3`\n  help: this program reads versions 1 and 2",
            "p.yaml:2:1: error: unknown key `defualt_policy` in the policy\n  help: did you mean `default_policy`?",
            "p.yaml:5:14: error: unknown profile `standart`\n  help: did you mean `standard`?",
            "p.yaml:6:5: error: unknown key `blocked_table` in agent `a`\n  help: did you mean `blocked_tables`?",
            "p.yaml:8:15: error: unknown operation `COPPY`\n  help: did you mean `COPY`?",
            "p.yaml:11:18: error: `a.b.c` is no table: expected `schema.table`, `table`, `schema.*` or `*`",
            "p.yaml:15:26: error: unknown category `DCI`\n  help: did you mean `DCL`?",
            "p.yaml:16:18: error: unknown condition `DELETE must include WERE`\n  help: did you mean `DELETE must include WHERE`?",
        ]
    );
}

#[test]
fn planned_keys_are_refused_by_name() {
    for key in ["default_action", "identity", "session", "tools", "rego"] {
        fails(&format!("{key}: x"), &format!("`{key}` is not supported yet"));
    }
    for key in ["tools", "budgets", "auth_token"] {
        fails(&format!("agents: {{a: {{{key}: x}}}}"), &format!("`{key}` is not supported yet"));
    }
    fails("agents: {a: {missions: {m: {tables: [], max_rows: 1}}}}", "`max_rows` is not supported");
}

#[test]
fn lists_of_columns_and_functions_are_checked() {
    let columns = |text: &str| format!("agents: {{a: {{columns: {{{text}}}}}}}");
    fails(&columns("'a b': [x]"), "`a b` is no table");
    fails(&columns("t: ['x y']"), "`x y` is no column");
    fails(&columns("t: {alow: [x]}"), "unknown key `alow` in the columns of `t`");
    fails(&columns("t: {mask: [x]}"), "`mask` is not supported yet");
    fails(&columns("t: {output_only: true}"), "neither allowed nor denied");
    fails("agents: {a: {functions: ['@pure']}}", "expected `@immutable`, `@stable` or `@volatile`");
    fails("agents: {a: {functions: {denny: [x]}}}", "unknown key `denny` in `functions`");
    let sound = columns("'public.users': {deny: ['s*'], output_only: true}, 'hr.*': [id]");
    let loaded = Policy::load("p.yaml", &sound).unwrap();
    assert!(loaded.warnings.to_string().contains("values can be guessed"), "{}", loaded.warnings);
}

#[test]
fn detections_are_checked_and_take_the_templates_as_they_are() {
    fails("detections: {select_star_blok: {}}", "did you mean `select_star_block`");
    fails("detections: {row_limit_enforcer: {max_limit: many}}", "`max_limit` cannot be `many`");
    fails("detections: {tautology_blocker: {max_limit: 1}}", "unknown key `max_limit`");
    fails("detections: {tautology_blocker: {enabled: on}}", "`enabled` cannot be `on`");
    fails("detections: {file: templates.json}", "cannot read `templates.json`");
    fails("detections: {file: x, comments: {}}", "`file` stands alone");
    fails("risk: {threshold: 0}", "`threshold` cannot be `0`");
    loads("detections: {templates: {row_limit_enforcer: {enabled: true, max_limit: 500}}}");
    loads(
        "tenancy: {column: tenant_id, tenant_global_tables: [plans]}\nagents: {a: {tenant: acme}}",
    );
    loads("detections:\nrisk:\ntenancy: {table_required_scope: {accounts: 'accounts:read'}}");
}

#[test]
fn tenancy_is_checked() {
    fails("tenancy: {colum: t}", "did you mean `column`?");
    fails("tenancy: {enforce: rewrit}", "`enforce` cannot be `rewrit`");
    fails("tenancy: {column: ''}", "`column` is empty");
    fails("tenancy: {table_required_scope: {'a b': x}}", "`a b` is no table");
    fails("agents: {a: {tenant: ''}}", "a tenant has a name");
    fails("agents: {a: {scopes: x}}", "`scopes` is a list");
    loads("tenancy: {column: t, setting: app.t, enforce: deny, tenant_global_tables: [merchants]}");
}

#[test]
fn yaml_that_two_readers_may_read_differently_is_refused() {
    fails("version: 2\nversion: 2", "p.yaml:2:1: error: `version` is given twice");
    fails("agents: {a: {}, a: {}}", "`a` is given twice");
    fails("agents: &x {a: {}}", "anchors are not used");
    fails("a: &x 1\nb: *x", "aliases are not used");
    fails("version: !!str 2", "tags are not used");
    fails("version: 2\n---\nversion: 2", "one YAML document");
    fails("agents:\n  a:\n    <<: {profile: strict}", "unknown key `<<` in agent `a`");
    fails("agents: [", "p.yaml:1:");
    fails("? [a]\n: b", "a key is plain text");
    fails("%YAML 1.2\n---\nversion: 2", "error");
}

#[test]
fn documents_are_bounded() {
    fails(&format!("version: '{}'", "x".repeat(1024 * 1024)), "larger than 1048576 bytes");
    fails(&format!("a: {}", "[".repeat(5000)), "error");
    fails(&(0..100).map(|n| " ".repeat(n) + "a:\n").collect::<String>(), "error");
    let found = errors(&(0..1000).map(|n| format!("k{n}: 1")).collect::<Vec<_>>().join("\n"));
    assert_eq!(found.len(), policy::limits::MAX_DIAGNOSTICS);
}

#[test]
fn types_are_checked() {
    fails("[a]", "a policy is a mapping");
    fails("agents: [a]", "`agents` is a mapping");
    fails("agents: {a: x}", "agent `a` is a mapping");
    fails("blocked_functions: pg_sleep", "`blocked_functions` is a list\n  help: write [pg_sleep]");
    fails("blocked_functions: [[a]]", "an entry of `blocked_functions` is one word");
    fails("blocked_functions: ['f(x)']", "`f(x)` is no function");
    fails("default_policy: [deny]", "`default_policy` is one word");
    fails("default_policy: dny", "did you mean `deny`?");
    fails("default_policy:", "`default_policy` is one word");
    fails("profiles: {p: {allow_unknown: yes}}", "`allow_unknown` cannot be `yes`");
    fails("settings: ['a b']", "`a b` is no setting");
    fails("unidentified: {policy: block}", "`unidentified.policy` cannot be `block`");
    fails("agents: {a: {mode: watch}}", "`mode` cannot be `watch`");
    fails("agents: {'a:b': {}}", "no connection can name the agent `a:b`");
    fails("agents: {a: {blocked_operations: [UNKNOWN]}}", "unknown operation `UNKNOWN`");
    fails("agents: {a: {missions: {m: {}}}}", "mission `m` lists no `tables`");
    fails("agents: {a: {missions: {m: {tables: [{public.x: [SELECT]}]}}}}", "one word or text");
    fails("agents: {a: {profile_overrides: {block: [DROP]}}}", "changes a profile");
    fails("profiles: {standard: {}}", "`standard` is a built-in profile");
}

#[test]
fn profiles_cannot_extend_in_circles() {
    fails("profiles: {a: {extends: b}, b: {extends: a}}", "extends itself");
    fails("profiles: {a: {extends: a}}", "extends itself");
    fails("profiles: {a: {extends: nowhere}}", "unknown profile `nowhere`");
    loads("profiles: {a: {extends: b}, b: {extends: strict}}\nagents: {x: {profile: a}}");
}

#[test]
fn versions_one_and_two_are_read() {
    for version in ["'1'", "1", "2", "'2'", "2.0", "'2.7'"] {
        loads(&format!("version: {version}"));
    }
    for version in ["0", "3", "2.", "2.x", "v2", "1.5"] {
        fails(&format!("version: '{version}'"), "unknown version");
    }
}

#[test]
fn what_widens_a_policy_is_said() {
    let warnings = |text: &str| Policy::load("p.yaml", text).unwrap().warnings.to_string();
    let text = "agents: {a: {}}\ndefault_policy: allow\nfunctions: ['*']\nsettings: [role]\nserver_files: allow\nunparsable: allow\nunidentified: {policy: log}";
    let found = warnings(text);
    assert_eq!(found.lines().count(), 6, "{found}");
    assert!(warnings("agents: {a: {mode: observe}}").contains("denials are only recorded"));
    assert!(warnings("").contains("everything is denied"));
    assert!(warnings("agents: {a: {missions: }}").contains("no mission"));
    assert!(
        warnings("agents: {a: {blocked_tables: [Users]}}").contains("reads `Users` in lower case")
    );
    assert_eq!(
        warnings("agents: {a: {blocked_tables: ['\"Users\"']}}\nsettings: []\nserver_files: deny"),
        ""
    );
}
