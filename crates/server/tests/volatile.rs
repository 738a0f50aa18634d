//! The profile `strict` and the built-in functions of every version.

#[cfg(test)]
mod tests {
    use model::{Door, Fact, FunctionUse, Operation, Principal, Request, SqlFacts, Stage};
    use policy::Policy;
    use sql::catalog::{Volatility, built_in};

    /// Declared volatile, and no more than a value, a sequence or a seed.
    const HARMLESS: &[&str] = &[
        "array_sample",
        "array_shuffle",
        "bernoulli",
        "clock_timestamp",
        "currval",
        "gen_random_uuid",
        "lastval",
        "nextval",
        "pg_is_in_recovery",
        "random",
        "random_normal",
        "setseed",
        "system",
        "timeofday",
        "timezone",
        "uuidv4",
        "uuidv7",
    ];

    fn load(text: &str) -> Policy {
        Policy::load("test", &format!("version: \"2\"\n{text}")).unwrap().policy
    }

    fn policy(agent: &str) -> Policy {
        load(&format!("agents: {{a: {{{agent}}}}}"))
    }

    fn allows(policy: &Policy, schema: Option<&str>, name: &str) -> bool {
        let mut facts = SqlFacts::of(Operation::Select);
        let (schema, name) = (schema.map(str::to_owned), name.to_owned());
        facts.functions = Fact::Known(vec![FunctionUse { schema, name }]);
        let request = Request {
            principal: &Principal::asserted("agent:a"),
            door: Door::Pg,
            stage: Stage::Query,
            server_major: Some(15),
            facts: &facts,
        };
        policy.evaluate(&request).is_allowed()
    }

    #[test]
    fn strict_leaves_out_what_is_volatile() {
        let (strict, standard) = (policy("profile: strict"), policy("profile: standard"));
        let mut kept = 0;
        for major in 14..=18 {
            for function in &built_in(major).unwrap().snapshot().functions {
                if &*function.schema != "pg_catalog" {
                    continue;
                }
                let allowed = allows(&strict, Some("pg_catalog"), &function.name);
                assert_eq!(allowed, allows(&strict, None, &function.name), "{}", function.name);
                if function.volatility == Volatility::Volatile {
                    let harmless = HARMLESS.contains(&&*function.name);
                    assert_eq!(allowed, harmless, "{major}: {}", function.name);
                } else if !allowed && allows(&standard, None, &function.name) {
                    // Counters that are declared stable: a pattern holds them with the others.
                    assert!(function.name.starts_with("pg_stat_"), "{major}: {}", function.name);
                }
                kept += usize::from(allowed);
            }
        }
        assert!(kept > 10_000, "{kept}");
    }

    #[test]
    fn a_list_of_its_own_and_a_grant_say_otherwise() {
        assert!(!allows(&policy("profile: strict"), None, "pg_notify"));
        assert!(allows(&policy("profile: standard"), None, "pg_notify"));
        let granted = load("functions: [pg_notify]\nagents: {a: {profile: strict}}");
        assert!(allows(&granted, None, "pg_notify") && !allows(&granted, None, "setval"));
        let own = "profiles: {own: {extends: strict, allowed_operations: [SELECT]}}";
        let own = load(&format!("{own}\nagents: {{a: {{profile: own}}}}"));
        assert!(!allows(&own, None, "setval") && allows(&own, None, "nextval"));
    }
}
