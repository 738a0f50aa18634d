//! Ways around tenants and detections, each beside an honest twin, judged by the real binary.

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use serde_json::{Value, json};

    const POLICY: &str = r"
agents:
  a: {tenant: t1, scopes: ['customers:read']}
functions: [current_setting]
detections: {}
tenancy:
  tenant_global_tables: [merchants, orders_id_seq]
  setting: app.tenant
  table_required_scope: {customers: 'customers:read', orders: 'orders:read', vault: admin}
";

    /// Denied, and an honest statement like it, which is allowed.
    const TENANTS: &[(&str, &str)] = &[
        (
            "SELECT o.id FROM orders o, merchants m WHERE m.tenant_id = 't1'",
            "SELECT o.id FROM orders o, merchants m WHERE o.tenant_id = 't1'",
        ),
        (
            "SELECT o.id FROM orders o LEFT JOIN items i ON o.tenant_id = 't1' AND i.tenant_id = 't1' \
             WHERE o.id > 5",
            "SELECT o.id FROM orders o LEFT JOIN items i ON i.tenant_id = o.tenant_id \
             WHERE o.tenant_id = 't1'",
        ),
        (
            "SELECT o.id FROM orders o FULL JOIN items i ON o.tenant_id = i.tenant_id \
             WHERE o.tenant_id = 't1'",
            "SELECT o.id FROM orders o JOIN items i USING (tenant_id) WHERE tenant_id = 't1'",
        ),
        (
            "SELECT id FROM orders WHERE tenant_id = 't1' OR true = (id > 3)",
            "SELECT id FROM orders WHERE (tenant_id = 't1' AND id > 3) OR (tenant_id = 't1' AND id < 2)",
        ),
        (
            "SELECT id FROM orders WHERE (tenant_id = 't1') IS NOT NULL",
            "SELECT id FROM orders WHERE (tenant_id = 't1') IS TRUE",
        ),
        (
            "SELECT id FROM orders WHERE (tenant_id = 't1') = (id > 3)",
            "SELECT id FROM orders WHERE (tenant_id, id) = ('t1', 3)",
        ),
        (
            "SELECT id FROM orders WHERE tenant_id::varchar(1) = 't'",
            "SELECT id FROM orders WHERE tenant_id::text = 't1'",
        ),
        (
            "SELECT id FROM orders WHERE upper(tenant_id) = 'T1'",
            "SELECT id FROM orders WHERE tenant_id = 't1' AND upper(kind) = 'X'",
        ),
        (
            "SELECT s.id FROM (SELECT id, 't1' AS tenant_id FROM orders WHERE id > 3) s \
             WHERE s.tenant_id = 't1'",
            "SELECT s.id FROM (SELECT id, tenant_id FROM orders) s WHERE s.tenant_id = 't1'",
        ),
        (
            "SELECT s.n FROM (SELECT tenant_id, count(id) AS n FROM orders GROUP BY tenant_id) s \
             WHERE s.tenant_id = 't1'",
            "SELECT s.n FROM (SELECT count(id) AS n FROM orders WHERE tenant_id = 't1') s WHERE s.n > 3",
        ),
        (
            "WITH x AS (SELECT id FROM orders WHERE id > 3), tenant_id AS (SELECT 't1' AS tenant_id) \
             SELECT x.id FROM x, tenant_id WHERE tenant_id = 't1'",
            "WITH x AS (SELECT id FROM orders WHERE tenant_id = 't1') SELECT x.id FROM x",
        ),
        (
            "WITH orders AS (SELECT id FROM public.orders WHERE id > 3) SELECT id FROM orders",
            "WITH orders AS (SELECT id FROM public.orders WHERE tenant_id = 't1') SELECT id FROM orders",
        ),
        (
            "SELECT id FROM orders WHERE tenant_id = 't1' AND EXISTS (SELECT 1 FROM items WHERE id > 3)",
            "SELECT id FROM orders o WHERE tenant_id = 't1' AND EXISTS \
             (SELECT 1 FROM items i WHERE i.tenant_id = o.tenant_id)",
        ),
        (
            "SELECT id FROM orders WHERE tenant_id = 't1' UNION SELECT id FROM orders WHERE id > 3",
            "SELECT id FROM orders WHERE tenant_id = 't1' UNION SELECT id FROM items WHERE 't1' = tenant_id",
        ),
        (
            "SELECT id FROM orders WHERE tenant_id = ANY (ARRAY['t1', 't2'])",
            "SELECT id FROM orders WHERE tenant_id = ANY (ARRAY['t1'])",
        ),
        (
            "SELECT id FROM orders WHERE tenant_id OPERATOR(public.=) 't1'",
            "SELECT id FROM orders WHERE tenant_id OPERATOR(pg_catalog.=) 't1'",
        ),
        (
            "SELECT id FROM orders WHERE tenant_id = current_setting('app.other')",
            "SELECT id FROM orders WHERE tenant_id = current_setting('app.tenant')",
        ),
        (
            "SELECT id FROM orders ORDER BY (tenant_id = 't1')",
            "SELECT id FROM orders WHERE tenant_id = 't1' ORDER BY id",
        ),
        (
            "SELECT count(id) FILTER (WHERE tenant_id = 't1') FROM orders WHERE id > 3",
            "SELECT count(id) FILTER (WHERE id > 3) FROM orders WHERE tenant_id = 't1'",
        ),
        (
            "SELECT i.id FROM orders o, LATERAL (SELECT id FROM items WHERE o.tenant_id = 't1') i \
             WHERE o.tenant_id = 't1'",
            "SELECT i.id FROM orders o, LATERAL (SELECT id FROM items WHERE tenant_id = o.tenant_id) i \
             WHERE o.tenant_id = 't1'",
        ),
        (
            "UPDATE orders SET tenant_id = 't1' WHERE tenant_id = 't2'",
            "UPDATE orders SET note = 'x' WHERE tenant_id = 't1'",
        ),
        (
            "UPDATE orders SET tenant_id = 't2' WHERE tenant_id = 't1'",
            "UPDATE orders SET tenant_id = 't1' WHERE tenant_id = 't1'",
        ),
        (
            "UPDATE orders SET (tenant_id, id) = ROW('t2', 5) WHERE tenant_id = 't1'",
            "UPDATE orders SET note = m.name FROM merchants m WHERE tenant_id = 't1' AND m.id = 5",
        ),
        (
            "INSERT INTO orders (id, tenant_id) VALUES (1, 't1'), (2, 't2')",
            "INSERT INTO orders (id, tenant_id) VALUES (1, 't1'), (2, 't1')",
        ),
        (
            "INSERT INTO orders VALUES (1, 't1')",
            "INSERT INTO orders (id, tenant_id) SELECT id, tenant_id FROM items WHERE tenant_id = 't1'",
        ),
        (
            "INSERT INTO orders (id, tenant_id) VALUES (1, 't1') ON CONFLICT (id) DO UPDATE SET note = 'x'",
            "INSERT INTO orders (id, tenant_id) VALUES (1, 't1') ON CONFLICT (id) DO UPDATE \
             SET note = 'x' WHERE orders.tenant_id = 't1'",
        ),
        (
            "MERGE INTO orders o USING merchants m ON o.tenant_id = 't1' AND o.id = m.id \
             WHEN NOT MATCHED BY SOURCE THEN UPDATE SET note = 'x'",
            "MERGE INTO orders o USING merchants m ON o.tenant_id = 't1' AND o.id = m.id \
             WHEN MATCHED THEN UPDATE SET note = 'x'",
        ),
        (
            "COPY (SELECT id FROM orders WHERE id > 3) TO STDOUT",
            "COPY (SELECT id FROM orders WHERE tenant_id = 't1') TO STDOUT",
        ),
        ("COPY orders (id) TO STDOUT", "COPY merchants (id) FROM STDIN"),
        ("LOCK TABLE orders", "LOCK TABLE merchants"),
        ("SELECT 'orders'::regclass::oid", "SELECT nextval('orders_id_seq')"),
        (
            "EXPLAIN SELECT id FROM orders WHERE id > 3",
            "EXPLAIN SELECT id FROM orders WHERE tenant_id = 't1'",
        ),
        (
            "CREATE TABLE mine AS SELECT id FROM orders WHERE id > 3",
            "SELECT id FROM orders WHERE tenant_id = 't1' FOR UPDATE",
        ),
        ("SET app.tenant = 't2'", "SHOW app.tenant"),
    ];

    /// The same for detections.
    const DETECTIONS: &[(&str, &str)] = &[
        (
            "SELECT name FROM merchants WHERE NOT (id = 5 AND id <> 5)",
            "SELECT name FROM merchants WHERE NOT (id = 5 AND name <> 'x')",
        ),
        (
            "SELECT name FROM merchants WHERE kind = 5 OR kind > 5 OR 5 > kind",
            "SELECT name FROM merchants WHERE kind > 5 OR 5 > kind",
        ),
        (
            "SELECT name FROM merchants WHERE kind IN (1, 2) OR kind NOT IN (1, 2)",
            "SELECT name FROM merchants WHERE kind IN (1, 2) OR kind NOT IN (1, 2, 3)",
        ),
        (
            "SELECT m FROM merchants m WHERE kind = 5",
            "SELECT m.kind FROM merchants m WHERE kind = 5",
        ),
        (
            "SELECT x FROM vault AS v(a, x) WHERE a = 5",
            "SELECT v.y FROM (SELECT kind FROM merchants WHERE id = 5) AS v(y)",
        ),
        (
            "SELECT email FROM items WHERE tenant_id = 't1'",
            "SELECT email FROM customers WHERE tenant_id = 't1'",
        ),
        (
            "SELECT id FROM items WHERE tenant_id = 't1' ORDER BY ssn",
            "SELECT c.ssn FROM customers c JOIN merchants m ON m.id = c.id WHERE c.tenant_id = 't1'",
        ),
        (
            "SELECT U&\"s\\0073n\" FROM items WHERE tenant_id = 't1'",
            "SELECT U&\"\\0069d\" FROM items WHERE tenant_id = 't1'",
        ),
        (
            "SELECT name FROM merchants WHERE kind = 5 LIMIT ALL",
            "SELECT name FROM merchants WHERE kind = 5",
        ),
        (
            "SELECT name FROM merchants WHERE kind = 5 FETCH FIRST 501 ROWS ONLY",
            "SELECT name FROM merchants WHERE kind = 5 FETCH FIRST 500 ROWS ONLY",
        ),
        (
            "SELECT relname FROM pg_class WHERE relkind = 'r'",
            "SELECT name FROM merchants WHERE name = 'pg_class'",
        ),
        ("SELECT 1; SELECT 2", "SELECT 1;"),
        (
            "WITH d AS (DELETE FROM merchants WHERE id = 5 RETURNING id) SELECT id FROM d",
            "WITH d AS (UPDATE merchants SET name = 'x' WHERE id = 5 RETURNING id) SELECT id FROM d",
        ),
        ("TRUNCATE merchants", "INSERT INTO merchants (name) VALUES ('TRUNCATE')"),
    ];

    fn judged(statements: &[&str]) -> Vec<Value> {
        let folder = std::env::temp_dir().join(format!(
            "portcullis-isolation-{}-{}",
            std::process::id(),
            statements.len()
        ));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("policy.yaml");
        std::fs::write(&file, POLICY).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["check", "--format", "jsonl", "--input", "jsonl", "--policy"]).arg(&file);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let scopes = ["customers:read", "orders:read"];
        let lines: Vec<String> = statements
            .iter()
            .map(|sql| json!({"sql": sql, "agent": "a", "scopes": scopes}).to_string() + "\n")
            .collect();
        let writer = std::thread::spawn(move || input.write_all(lines.concat().as_bytes()));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The pairs that are not judged as they should be. An evasion has one of these categories.
    fn wrong(pairs: &[(&str, &str)], categories: &[&str]) -> Vec<String> {
        let statements: Vec<&str> = pairs.iter().flat_map(|(bad, good)| [*bad, *good]).collect();
        let answers = judged(&statements);
        assert_eq!(answers.len(), statements.len());
        let mut wrong = Vec::new();
        for (at, (sql, answer)) in statements.iter().zip(&answers).enumerate() {
            let reasons = answer["reasons"].as_array().unwrap();
            let ours = |reason: &Value| {
                reason["category"].as_str().is_some_and(|one| categories.contains(&one))
            };
            let right = if at % 2 == 0 { reasons.iter().any(ours) } else { reasons.is_empty() };
            if !right {
                let texts: Vec<&Value> = reasons.iter().map(|reason| &reason["text"]).collect();
                wrong.push(format!("{sql}: {texts:?}"));
            }
        }
        wrong
    }

    #[test]
    fn no_way_leads_to_rows_of_another_tenant() {
        let found = wrong(TENANTS, &["tenant_violation"]);
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn patterns_are_found_in_disguise_and_their_like_is_left_alone() {
        let categories = [
            "tautology",
            "select_star",
            "pii_violation",
            "high_limit",
            "schema_enum",
            "injection",
            "destructive_op",
        ];
        let found = wrong(DETECTIONS, &categories);
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}
