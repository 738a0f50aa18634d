//! Statements with the answer that each should get, from the corpora where they are laid out:
//! judged by the real binary, one policy each. Rows that contradict the documented profiles, or
//! test what comes later, are listed with the reason.

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use serde_json::{Map, Value, json};

    const POLICY_KEYS: [&str; 4] =
        ["default_policy", "blocked_functions", "unidentified", "profiles"];
    const AGENT_KEYS: [&str; 5] =
        ["profile", "profile_overrides", "blocked_operations", "blocked_tables", "missions"];

    fn rows() -> Option<Vec<Value>> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let file = root.join("../../../shared/corpora/faultwall_cases.jsonl");
        let text = std::fs::read_to_string(file).ok()?;
        Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// Why a row is not held against us.
    fn exception(sql: &str, context: &Value, wanted: &str) -> Option<&'static str> {
        let profile = context.to_string();
        let words = [
            "DROP ",
            "TRUNCATE ",
            "ALTER TABLE",
            "CREATE ",
            "NOTIFY",
            "LISTEN",
            "DISCARD",
            "LOCK ",
        ];
        let defines = words.iter().any(|word| sql.contains(word));
        if defines
            && profile.contains("\"standard\"")
            && !profile.contains("missions")
            && wanted == "deny"
        {
            return Some("the documented standard profile does not block it (hardened does)");
        }
        if sql.contains("::regproc") {
            return Some(
                "a cast to regproc calls nothing; a constant one is judged as the function",
            );
        }
        if wanted == "allow" && profile.contains("permissive") {
            return Some("code that cannot be read, and text that is no SQL, need a grant by name");
        }
        if context.pointer("/unidentified/policy") == Some(&json!("monitor")) {
            return Some("the decision is deny, and the door forwards it as observed");
        }
        if context.get("policy_file").is_some() {
            return Some("its policy is not among the corpora");
        }
        if context.get("blocked_columns").is_some() || sql.contains("my_secdef_reader") {
            return Some("needs the catalog");
        }
        if sql.contains("'\\''") {
            return Some(
                "one harmless statement, unless strings are read another way: the setting is refused",
            );
        }
        None
    }

    fn policy(context: &Value) -> String {
        let mut document = Map::new();
        for key in POLICY_KEYS {
            if let Some(value) = context.get(key) {
                document.insert(key.to_owned(), value.clone());
            }
        }
        let agents = context.get("agents").cloned().unwrap_or_else(|| {
            let own: Map<String, Value> = AGENT_KEYS
                .iter()
                .filter_map(|key| Some(((*key).to_owned(), context.get(*key)?.clone())))
                .collect();
            json!({ "cursor-ai": own })
        });
        document.insert("agents".to_owned(), agents);
        Value::Object(document).to_string()
    }

    /// `None`: the policy uses keys that are not supported yet.
    fn judged(context: &Value, sql: &str) -> Option<String> {
        let folder = std::env::temp_dir().join(format!("portcullis-corpus-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("policy.yaml");
        std::fs::write(&file, policy(context)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["check", "--format", "jsonl", "--policy"]).arg(&file);
        let identity = match context.get("identity") {
            None => "agent:cursor-ai:mission:m",
            Some(identity) => identity.as_str().unwrap_or_default(),
        };
        let parts: Vec<&str> = identity.split(':').collect();
        if let ["agent", agent, rest @ ..] = parts.as_slice() {
            command.args(["--agent", agent]);
            if let ["mission", mission, ..] = rest {
                command.args(["--mission", mission]);
            }
        }
        let output = command.args(["-c", sql]).output().unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        if output.status.code() == Some(2) {
            return None;
        }
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        Some(answer["decision"].as_str().unwrap().to_owned())
    }

    #[test]
    fn the_corpus_gets_its_answers() {
        let Some(rows) = rows() else {
            println!("skipped: no corpora beside this checkout");
            return;
        };
        let (mut right, mut later, mut excepted, mut wrong) = (0, 0, Vec::new(), Vec::new());
        for row in &rows {
            let context = &row["policy_context"];
            let wanted = row.get("right").unwrap_or(&row["expected"]);
            let wanted = wanted.as_str().or_else(|| wanted["decision"].as_str());
            let wanted = match wanted {
                Some("allow") => "allow",
                Some("block" | "deny") => "deny",
                Some(_) | None => continue,
            };
            let Some(sql) = row["sql"].as_str() else { continue };
            if context.get("kind").is_some() || sql.starts_with("bytes:") || sql.starts_with('(') {
                continue;
            }
            match judged(context, sql) {
                None => later += 1,
                Some(found) if found == wanted => right += 1,
                Some(found) => match exception(sql, context, wanted) {
                    Some(why) => excepted.push(format!("{sql}: {why}")),
                    None => {
                        wrong.push(format!("{found} instead of {wanted}: {sql} under {context}"));
                    }
                },
            }
        }
        println!("{right} right, {later} need keys that come later, {} excepted:", excepted.len());
        println!("{}", excepted.join("\n"));
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(right >= 175, "only {right} rows were judged");
        assert!(excepted.len() <= 36 && later <= 18, "{} excepted, {later} later", excepted.len());
    }
}
