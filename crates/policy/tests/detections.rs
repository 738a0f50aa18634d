//! Detections, scopes and risk act where the policy has the key, and nowhere else.

#[cfg(test)]
mod tests {
    use model::{
        Access, ColumnName, Door, Fact, Operation, Principal, Reference, RelationName, RelationUse,
        Request, RowLimit, Rows, Schemas, Shape, SqlFacts, Stage,
    };
    use policy::Policy;

    fn load(text: &str) -> Policy {
        match Policy::load("p", text) {
            Ok(loaded) => loaded.policy,
            Err(found) => panic!("{found}"),
        }
    }

    fn codes(policy: &str, facts: &SqlFacts) -> Vec<String> {
        let text = format!(
            "agents: {{a: {{}}, b: {{scopes: ['users:read']}}, c: {{roles: [admin]}}}}\n{policy}"
        );
        let policy = load(&text);
        let principal = Principal::asserted("agent:a");
        ask(&policy, &principal, facts)
    }

    fn ask(policy: &Policy, principal: &Principal, facts: &SqlFacts) -> Vec<String> {
        let request = Request {
            principal,
            door: Door::Check,
            stage: Stage::Query,
            server_major: Some(18),
            facts,
        };
        policy.evaluate(&request).reasons().iter().map(ToString::to_string).collect()
    }

    fn select(mut shape: Shape) -> SqlFacts {
        let relation =
            RelationName { schemas: Schemas::Named("public".into()), name: "users".into() };
        shape.references = vec![Reference {
            relation: relation.clone(),
            access: Access::Read,
            rows: Rows::Present,
            without_where: shape.no_where,
            all_columns: false,
            assigned: Vec::new(),
        }];
        shape.columns =
            shape.names.iter().map(|name| ColumnName { name: name.clone(), of: vec![0] }).collect();
        SqlFacts {
            relations: Fact::Known(vec![RelationUse { relation, access: Access::Read }]),
            shape: Fact::Known(shape),
            ..SqlFacts::of(Operation::Select)
        }
    }

    #[test]
    fn an_absent_section_forbids_nothing() {
        let shape = Shape { star: true, tautology: true, statements: 3, ..Shape::default() };
        assert_eq!(codes("", &select(shape)), Vec::<String>::new());
    }

    #[test]
    fn each_switch_denies_what_it_is_for() {
        let plain = Shape::default;
        for (shape, code) in [
            (Shape { star: true, ..plain() }, "select_star"),
            (Shape { tautology: true, ..plain() }, "tautology"),
            (Shape { no_where: true, ..plain() }, "missing_where (table: public.users)"),
            (Shape { statements: 2, ..plain() }, "multi_statement"),
            (Shape { limit: RowLimit::Rows(501), ..plain() }, "high_limit"),
            (Shape { limit: RowLimit::All, ..plain() }, "high_limit"),
            (Shape { limit: RowLimit::NotConstant, ..plain() }, "high_limit"),
            (
                Shape { names: vec!["user_email".to_owned()], ..plain() },
                "pii_column:user_email (table: public.users)",
            ),
        ] {
            let found = codes("detections: {}", &select(shape));
            assert_eq!(found, [format!("{code} (op: SELECT)")]);
        }
        for honest in [
            Shape { limit: RowLimit::Rows(500), ..plain() },
            Shape { names: vec!["id".to_owned()], ..plain() },
            Shape { comment: true, set_operation: true, random_order: true, ..plain() },
        ] {
            assert_eq!(codes("detections: {}", &select(honest)), Vec::<String>::new());
        }
        let off = "detections: {select_star_block: {enabled: false}, comments: {enabled: true}}";
        let found = codes(off, &select(Shape { star: true, comment: true, ..plain() }));
        assert_eq!(found, ["comment (op: SELECT)"]);
        let drop = SqlFacts::of(Operation::Drop);
        assert_eq!(codes("detections: {}", &drop), ["destructive_operation (op: DROP)"]);
    }

    #[test]
    fn a_scope_or_the_admin_role_opens_a_table_and_its_personal_columns() {
        let text = "agents: {a: {}, b: {scopes: ['users:read']}, c: {roles: [admin]}}\n\
                tenancy: {table_required_scope: {users: 'users:read'}}\ndetections: {}";
        let policy = load(text);
        let facts = select(Shape { names: vec!["email".to_owned()], ..Shape::default() });
        let as_agent = |name: &str| ask(&policy, &Principal::asserted(name), &facts);
        let denied = as_agent("agent:a");
        assert_eq!(denied.len(), 2, "{denied:?}");
        assert!(denied[0].starts_with("missing_scope:users:read (table: public.users)"));
        assert_eq!(as_agent("agent:b"), Vec::<String>::new());
        assert_eq!(as_agent("agent:c"), Vec::<String>::new());
    }

    #[test]
    fn risk_denies_from_the_threshold_on() {
        let risky = Shape { star: true, no_where: true, set_operation: true, ..Shape::default() };
        assert_eq!(
            codes("risk: {threshold: 7}", &select(risky.clone())),
            ["risk_threshold:7 (op: SELECT)"]
        );
        assert_eq!(codes("risk: {threshold: 8}", &select(risky)), Vec::<String>::new());
    }

    #[test]
    fn settings_columns_and_plans_are_narrowed_as_the_document_says() {
        for (text, wrong) in [
            ("agents: {a: {settings: [a b]}}", "`a b` is no setting's name"),
            ("agents: {a: {settings: {work_mem: {max: 64MB}}}}", "`max` cannot be `64MB`"),
            (
                "agents: {a: {settings: {statement_timeout: {}}}}",
                "`statement_timeout` has no `max`",
            ),
            ("agents: {a: {settings: {statement_timeout: 5}}}", "a setting cannot be `5`"),
            ("agents: {a: {columns: {t: {}}}}", "neither allowed nor denied"),
        ] {
            let said = Policy::load("p", text).unwrap_err().to_string();
            assert!(said.contains(wrong), "{text}: {said}");
        }
        for text in [
            "agents: {a: {settings: {work_mem: {max: 65536}, statement_timeout: {max: 5min}}}}",
            "agents: {a: {columns: {audit: {write_only: ['*']}}}}",
        ] {
            assert!(Policy::load("p", text).is_ok(), "{text}");
        }
    }
}
