//! The real binary without a database: exit statuses and what is printed.

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};

    use audit::{Entry, Ledger, LedgerConfig};
    use model::{Door, Operation, Principal, SqlFacts, Stage};

    const POLICY: &str = "\
default_policy: deny
agents:
  reader:
    blocked_operations: [DROP, TRUNCATE, ALTER, GRANT]
    missions:
      summarize:
        tables: [public.feedback]
";

    /// What a run left behind.
    struct Ran {
        code: i32,
        out: String,
        err: String,
    }

    impl Ran {
        fn json(&self) -> Vec<serde_json::Value> {
            self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }

        fn decisions(&self) -> Vec<String> {
            self.json()
                .iter()
                .map(|answer| answer["decision"].as_str().unwrap().to_owned())
                .collect()
        }
    }

    /// A folder of its own for each test, and the files in it.
    fn folder(test: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
        folder
    }

    fn run_with(folder: &PathBuf, args: &[&str], input: &str, variables: &[(&str, &str)]) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(args)
            .current_dir(folder)
            .env_clear()
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        drop(writer.join());
        Ran {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn run(folder: &PathBuf, args: &[&str], input: &str) -> Ran {
        run_with(folder, args, input, &[])
    }

    const READER: [&str; 7] =
        ["check", "--policy", "p.yaml", "--agent", "reader", "--mission", "summarize"];

    fn check(folder: &PathBuf, more: &[&str], input: &str) -> Ran {
        run(folder, &[&READER, more].concat(), input)
    }

    #[test]
    fn an_honest_statement_passes_and_its_evil_twin_does_not() {
        let folder = folder("twins", &[("p.yaml", POLICY)]);
        let honest = check(&folder, &["-c", "SELECT * FROM feedback LIMIT 100"], "");
        assert_eq!(honest.code, 0, "{}{}", honest.out, honest.err);
        assert!(honest.out.starts_with("allow"), "{}", honest.out);
        let evil = check(&folder, &["-c", "DROP TABLE feedback"], "");
        assert_eq!(evil.code, 1);
        assert!(evil.out.contains("blocked_operation (op: DROP)"), "{}", evil.out);
        assert!(evil.out.contains("hint: "), "{}", evil.out);
        let other = check(&folder, &["-c", "SELECT * FROM users"], "");
        assert!(other.out.contains("table_not_in_mission (table: users)"), "{}", other.out);
    }

    #[test]
    fn without_a_catalog_only_what_is_certain_is_known() {
        const LISTS: &str = "\
agents:
  narrow:
    functions: {allow: [lower, now, '@immutable']}
";
        let vouched = format!("bare_names: built_in\n{LISTS}");
        let folder = folder("built-in", &[("strict.yaml", LISTS), ("vouched.yaml", &vouched)]);
        let check = |policy: &str, more: &[&str]| {
            let words = ["check", "--policy", policy, "--agent", "narrow"];
            run(&folder, &[&words, more].concat(), "")
        };
        for (sql, strict, vouched) in [
            ("SELECT lower(name) FROM t", 1, 0),
            ("SELECT pg_catalog.lower(name) FROM t", 0, 0),
            ("SELECT lower(name) FROM t WHERE id = 1", 1, 0),
            ("SELECT now()", 0, 0),
            ("SELECT random()", 1, 1),
            ("SELECT evil(name) FROM t", 1, 1),
            ("SELECT app.lower(name) FROM t", 1, 1),
            ("SELECT json_value('1', '$')", 0, 0),
        ] {
            for (policy, code) in [("strict.yaml", strict), ("vouched.yaml", vouched)] {
                let ran = check(policy, &["-c", sql]);
                assert_eq!(ran.code, code, "{policy} {sql}: {}{}", ran.out, ran.err);
            }
        }
        let told = check("strict.yaml", &["-c", "SELECT lower(name) FROM t"]);
        assert!(told.out.contains("unknown_functions:no_catalog"), "{}", told.out);
        assert!(told.out.contains("pg_catalog.lower"), "{}", told.out);
        // On a path of `pg_catalog` alone nothing else can be meant.
        let alone = ["--search-path", "pg_catalog", "-c", "SELECT lower(name) FROM public.t"];
        assert_eq!(check("strict.yaml", &alone).code, 0);
    }

    #[test]
    fn the_version_of_the_server_decides_what_a_form_is() {
        let policy = "agents:\n  any:\n    functions: {allow: ['pg_catalog.*']}\n  open: {}\n";
        let accepting = format!("accept_server_versions: [13]\n{policy}");
        let files = [("p.yaml", policy), ("old.yaml", accepting.as_str())];
        let folder = folder("versions", &files);
        let check = |policy: &str, more: &[&str]| {
            let words = ["check", "--policy", policy, "--agent", "any"];
            run(&folder, &[&words, more].concat(), "")
        };
        let form = ["-c", "SELECT json_value('1', '$')"];
        for (version, code) in [("18", 0), ("17", 0), ("16", 1), ("14", 1)] {
            let ran = check("p.yaml", &[&["--server-version", version], &form[..]].concat());
            assert_eq!(ran.code, code, "{version}: {}{}", ran.out, ran.err);
        }
        for version in ["13", "19", "0"] {
            let open = |policy| {
                let words = ["check", "--policy", policy, "--agent", "open", "-c", "SET jit = on"];
                run(&folder, &[&words[..], &["--server-version", version]].concat(), "")
            };
            let ran = open("p.yaml");
            assert!(ran.out.contains("unsupported_server_version"), "{}", ran.out);
            let accepted = open("old.yaml");
            assert_eq!(accepted.code, i32::from(version != "13"), "{}", accepted.out);
        }
        // Nothing is built in for it, and every newer form is a call.
        let ran = check("old.yaml", &["--server-version", "13", "-c", "SELECT pg_catalog.now()"]);
        assert!(ran.out.contains("unknown_functions:no_catalog"), "{}", ran.out);
        let bad = run(&folder, &["policy", "lint", "bad.yaml"], "");
        assert_eq!(bad.code, 2);
        std::fs::write(folder.join("bad.yaml"), "accept_server_versions: [new]\nbare_names: all\n")
            .unwrap();
        let bad = run(&folder, &["policy", "lint", "bad.yaml"], "");
        let said = format!("{}{}", bad.out, bad.err);
        assert!(said.contains("`new` is no version") && said.contains("`all`"), "{said}");
    }

    #[test]
    fn one_denied_statement_denies_its_submission() {
        let folder = folder("several", &[("p.yaml", POLICY)]);
        let honest = check(&folder, &["-c", "SELECT 1; SELECT 2"], "");
        assert_eq!(honest.code, 0, "{}", honest.out);
        let comment = check(&folder, &["-c", "-- nothing\nSELECT 1"], "");
        assert_eq!(comment.code, 0, "{}{}", comment.out, comment.err);
        let hidden = check(&folder, &["-c", "SELECT 1; DROP TABLE a; SELECT 2"], "");
        assert_eq!(hidden.code, 1, "{}", hidden.out);
    }

    #[test]
    fn what_a_submission_does_first_counts_for_the_rest() {
        let folder = folder("order", &[("p.yaml", POLICY)]);
        let twins = [
            ("SET search_path = public; SELECT * FROM feedback", 0),
            ("SET search_path = secret; SELECT * FROM feedback", 1),
            ("PREPARE p AS SELECT * FROM feedback; EXECUTE p", 0),
            ("PREPARE p AS SELECT * FROM users; EXECUTE p", 1),
            ("EXECUTE p", 1),
        ];
        for (sql, code) in twins {
            let ran = check(&folder, &["-c", sql], "");
            assert_eq!(ran.code, code, "{sql}: {}", ran.out);
        }
    }

    #[test]
    fn lines_are_sessions_of_their_own() {
        let folder = folder("own_sessions", &[("p.yaml", POLICY)]);
        let prepare = "{\"sql\":\"PREPARE p AS SELECT * FROM feedback\"}\n";
        let execute = "{\"sql\":\"EXECUTE p\"}\n";
        let ran = check(&folder, &["--format", "jsonl"], &format!("{prepare}{execute}"));
        assert_eq!(ran.decisions(), ["allow", "deny"]);
    }

    #[test]
    fn text_that_does_not_parse_is_denied() {
        let folder = folder("unparsable", &[("p.yaml", POLICY)]);
        let ran = check(&folder, &[], "SELECT FROM WHERE");
        assert_eq!(ran.code, 1);
        assert!(ran.out.starts_with("deny"), "{}", ran.out);
        assert!(ran.out.contains("parser: syntax error"), "{}", ran.out);
    }

    #[test]
    fn json_lines_are_answered_one_by_one() {
        let folder = folder("jsonl", &[("p.yaml", POLICY)]);
        let input = "{\"id\":\"a\",\"sql\":\"SELECT 1\",\"label\":\"kept out\"}\n\n\
                     {\"id\":7,\"sql\":\"DROP TABLE x\"}\n\
                     {\"sql\":\"SELECT 1\",\"agent\":\"stranger\"}\n";
        let ran = check(&folder, &["--format", "jsonl"], input);
        assert_eq!((ran.code, ran.err.as_str()), (1, ""));
        assert_eq!(ran.decisions(), ["allow", "deny", "deny"]);
        let answers = ran.json();
        assert_eq!((&answers[0]["id"], &answers[1]["id"]), (&"a".into(), &7.into()));
        assert_eq!(answers[2]["id"], 4);
        assert_eq!(answers[1]["reasons"][0]["code"], "blocked_operation");
        assert_eq!(answers[2]["reasons"][0]["code"], "agent_not_in_policy");
        assert_eq!(answers[0]["facts"]["operation"], "SELECT");
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_and_the_others_are_judged() {
        let lines = "{\"sql\":\"SELECT 1\"}\n{\"sql\":1}\nnot json\n{\"sql\":\"SELECT 2\"}\n";
        let folder = folder("bad_lines", &[("p.yaml", POLICY), ("q.jsonl", lines)]);
        let ran = check(&folder, &["--format", "jsonl", "q.jsonl"], "");
        assert_eq!(ran.code, 2);
        assert_eq!(ran.decisions(), ["allow", "allow"]);
        assert!(ran.err.contains("q.jsonl:2: error: "), "{}", ran.err);
        assert!(ran.err.contains("q.jsonl:3: error: "), "{}", ran.err);
    }

    #[test]
    fn files_are_submissions_and_a_statement_may_stand_in_their_place() {
        let files =
            [("p.yaml", POLICY), ("a.sql", "SELECT 1;\nSELECT 2;\n"), ("b.sql", "DROP TABLE x")];
        let folder = folder("files", &files);
        let ran = check(&folder, &["--format", "jsonl", "a.sql", "b.sql", "SELECT 3"], "");
        assert_eq!(ran.code, 1);
        assert_eq!(ran.decisions(), ["allow", "deny", "allow"]);
        assert_eq!(ran.json()[0]["statements"].as_array().unwrap().len(), 2);
        assert_eq!(ran.json()[1].get("statements"), None);
        let missing = check(&folder, &["absent.sql"], "");
        assert_eq!(missing.code, 2);
        assert!(missing.err.contains("cannot read `absent.sql`"), "{}", missing.err);
    }

    #[test]
    fn whoever_does_not_say_who_asks_is_unidentified() {
        let folder = folder("nobody", &[("p.yaml", POLICY)]);
        let ran = run(&folder, &["check", "--policy", "p.yaml", "-c", "SELECT 1"], "");
        assert_eq!(ran.code, 1);
        assert!(ran.out.contains("no --agent: whoever asks is unidentified"), "{}", ran.out);
        assert!(ran.out.contains("unidentified_connection"), "{}", ran.out);
    }

    #[test]
    fn explain_shows_every_step() {
        let folder = folder("explain", &[("p.yaml", POLICY)]);
        let ran = check(&folder, &["--explain", "-c", "SELECT * FROM users"], "");
        assert_eq!(ran.code, 1);
        let steps = ran.out.lines().skip_while(|line| !line.contains("statement 1")).skip(1);
        assert!(steps.count() >= 13, "{}", ran.out);
    }

    #[test]
    fn what_is_shown_cannot_steer_the_terminal() {
        let folder = folder("terminal", &[("p.yaml", POLICY)]);
        let ran = check(&folder, &["-c", "SELECT * FROM \"a\u{1b}[2J\u{202e}b\""], "");
        assert_eq!(ran.code, 1);
        assert!(!ran.out.contains(['\u{1b}', '\u{202e}']), "{:?}", ran.out);
    }

    #[test]
    fn a_policy_with_mistakes_judges_nothing() {
        let broken = POLICY.replace("blocked_operations", "blocked_operatons");
        let folder = folder("broken_policy", &[("p.yaml", &broken)]);
        let ran = check(&folder, &["-c", "SELECT 1"], "");
        assert_eq!((ran.code, ran.out.as_str()), (2, ""));
        assert!(ran.err.contains("p.yaml:4:5: error: "), "{}", ran.err);
        assert!(ran.err.contains("did you mean `blocked_operations`?"), "{}", ran.err);
        let absent = run(&folder, &["check", "--policy", "absent.yaml", "-c", "SELECT 1"], "");
        assert_eq!(absent.code, 2);
    }

    #[test]
    fn lint_names_every_mistake() {
        let broken = "default_policy: dney\nagents:\n  a:\n    profil: standard\n";
        let folder = folder("lint", &[("good.yaml", POLICY), ("bad.yaml", broken)]);
        let good = run(&folder, &["policy", "lint", "good.yaml"], "");
        assert_eq!(good.code, 0, "{}{}", good.out, good.err);
        assert!(good.out.contains("good.yaml: ok (sha256:"), "{}", good.out);
        let bad = run(&folder, &["policy", "lint", "bad.yaml"], "");
        assert_eq!(bad.code, 1);
        assert!(bad.out.contains("bad.yaml:1:17: error: "), "{}", bad.out);
        assert!(bad.out.contains("bad.yaml:4:5: error: "), "{}", bad.out);
        assert!(bad.out.contains(" 4 |     profil: standard\n   |     ^"), "{}", bad.out);
        let json =
            run(&folder, &["policy", "lint", "--format", "json", "good.yaml", "bad.yaml"], "");
        let answers = json.json();
        assert_eq!((&answers[0]["ok"], &answers[1]["ok"]), (&true.into(), &false.into()));
        assert_eq!(run(&folder, &["policy", "lint", "absent.yaml"], "").code, 2);
    }

    #[test]
    fn no_door_is_opened_without_a_policy() {
        let folder = folder("no_policy", &[("bad.yaml", "agents: [\n")]);
        for args in [&["proxy"][..], &["--proxy"], &["serve", "--mode", "monitor"]] {
            let ran = run(&folder, args, "");
            assert_eq!(ran.code, 2);
            assert!(ran.err.contains("no door is opened without a policy"), "{}", ran.err);
        }
        let ran = run(&folder, &["proxy", "--policies", "bad.yaml"], "");
        assert_eq!(ran.code, 2);
        assert!(ran.err.contains("bad.yaml:"), "{}", ran.err);
    }

    #[test]
    fn config_show_tells_who_gave_each_value() {
        let file = "version: 1\nmode: monitor\nadmin: off\nmax_sessions: 5\n";
        let folder = folder("origin", &[("portcullis.yaml", file)]);
        let variables = [("POLICY_ENFORCEMENT", "enforce"), ("PORTCULLIS_MAX_SESSIONS", "6")];
        let args = ["config", "show", "--origin", "--max-sessions", "7"];
        let ran = run_with(&folder, &args, "", &variables);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let origin = |name: &str| {
            let line = ran.out.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(origin("max_sessions"), "7 flag");
        assert_eq!(origin("mode"), "enforce environment POLICY_ENFORCEMENT");
        assert_eq!(origin("admin"), "off portcullis.yaml:3:8");
        assert_eq!(origin("listen"), "127.0.0.1:5433 default");
    }

    #[test]
    fn what_config_show_prints_is_a_configuration_file() {
        let folder = folder("round_trip", &[]);
        let shown = run(&folder, &["config", "show", "--listen", ":6000"], "");
        let file = format!("version: 1\n{}", shown.out);
        std::fs::write(folder.join("portcullis.yaml"), file).unwrap();
        let again = run(&folder, &["config", "show"], "");
        assert_eq!((again.code, &again.out), (0, &shown.out), "{}", again.err);
    }

    #[test]
    fn a_bad_configuration_is_reported_whole() {
        let folder =
            folder("bad_config", &[("portcullis.yaml", "version: 1\nlisten: x\ntypo: 1\n")]);
        let variables = [("POLICY_ENFORCEMENT", "of")];
        let ran = run_with(&folder, &["config", "check", "--drain-timeout", "10"], "", &variables);
        assert_eq!(ran.code, 1);
        for expected in [
            "portcullis.yaml:3:1: error: ",
            "POLICY_ENFORCEMENT: error: ",
            "--drain-timeout: error: ",
        ] {
            assert!(ran.out.contains(expected), "{expected} in {}", ran.out);
        }
        let ran = run_with(&folder, &["proxy"], "", &[]);
        assert_eq!(ran.code, 2);
    }

    #[test]
    fn a_ledger_that_is_not_there_is_not_an_intact_one() {
        let folder = folder("no_ledger", &[]);
        std::fs::create_dir(folder.join("empty")).unwrap();
        for path in ["absent", "empty"] {
            let ran = run(&folder, &["verify-log", path], "");
            assert_eq!(ran.code, 2, "{}", ran.out);
            assert!(ran.err.contains("there is no ledger in"), "{}", ran.err);
        }
    }

    /// A ledger of three records about `agent`, closed.
    fn ledger(folder: &Path) {
        let config = LedgerConfig::new(folder.join("ledger"), folder.join("key"));
        let ledger = Ledger::open(config).unwrap();
        let principal = Principal::asserted("agent:reader:mission:summarize");
        for statement in ["SELECT 'secret-1'", "SELECT 'secret-2'", "DROP TABLE x"] {
            let entry = Entry {
                door: Door::Pg,
                stage: Stage::Query,
                session: "s-1",
                principal: &principal,
                statement: statement.as_bytes(),
                submitted: None,
                facts: &SqlFacts::of(Operation::Select),
                decision: "deny",
                reasons: &[],
                risk: 0,
                policy: "sha256:0",
                mode: audit::Mode::Enforce,
                latency_ns: 1,
            };
            assert_eq!(ledger.append(&[entry]).unwrap().count(), 1);
        }
        ledger.close().unwrap();
    }

    #[test]
    fn verify_log_names_the_first_record_that_was_changed() {
        let folder = folder("verify", &[]);
        ledger(&folder);
        let args = ["verify-log", "ledger", "--key-file", "key"];
        let intact = run(&folder, &args, "");
        assert_eq!(intact.code, 0, "{}{}", intact.out, intact.err);
        assert!(intact.out.ends_with("intact\n") && !intact.out.contains("warning"));
        let keyless = run(&folder, &["verify-log", "ledger"], "");
        assert_eq!(keyless.code, 0);
        assert!(keyless.out.contains("warning: only links, hashes"), "{}", keyless.out);
        let segment = std::fs::read_dir(folder.join("ledger"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| std::fs::read_to_string(path).is_ok_and(|text| text.contains("secret-2")))
            .unwrap();
        let text = std::fs::read_to_string(&segment).unwrap();
        std::fs::write(&segment, text.replace("secret-2", "secret-3")).unwrap();
        let broken = run(&folder, &args, "");
        assert_eq!(broken.code, 1, "{}", broken.out);
        let line = 1 + text.lines().position(|line| line.contains("secret-2")).unwrap();
        assert!(broken.out.contains(&format!(":{line}: edited: ")), "{}", broken.out);
        let json = run(&folder, &[&args[..], &["--format", "json"]].concat(), "");
        let answer: serde_json::Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!((json.code, &answer["intact"]), (1, &false.into()));
        assert_eq!(answer["broken"]["line"], line);
    }

    #[test]
    fn a_report_repeats_statements_only_if_it_is_asked_to() {
        let folder = folder("report", &[]);
        ledger(&folder);
        let plain = run(&folder, &["report", "ledger"], "");
        assert_eq!((plain.code, plain.err.as_str()), (0, ""));
        assert!(!plain.out.contains("secret-1"), "{}", plain.out);
        let report: serde_json::Value = serde_json::from_str(&plain.out).unwrap();
        assert_eq!(report["summary"]["denied"], 3);
        let args = ["report", "ledger", "--report-include-params", "-o", "r.json"];
        let full = run(&folder, &args, "");
        assert_eq!((full.code, full.out.as_str()), (0, ""));
        assert!(full.err.contains("warning: "), "{}", full.err);
        let written = std::fs::read_to_string(folder.join("r.json")).unwrap();
        assert!(written.contains("secret-1"), "{written}");
        let text = run(&folder, &["report", "ledger", "--format", "text"], "");
        assert!(text.out.contains("reader/summarize") && !text.out.contains("secret-1"));
        let other = run(&folder, &["report", "ledger", "--agent", "other"], "");
        let report: serde_json::Value = serde_json::from_str(&other.out).unwrap();
        assert_eq!(report["summary"]["total"], 0);
        assert_eq!(run(&folder, &["report", "absent"], "").code, 2);
    }

    #[test]
    fn policy_show_tells_what_an_agent_may_do() {
        let folder = folder("show", &[("p.yaml", POLICY)]);
        let args = ["policy", "show", "p.yaml", "--agent", "reader", "--mission", "summarize"];
        let ran = run(&folder, &args, "");
        assert_eq!(ran.code, 0, "{}", ran.err);
        let (may, may_not) = ran.out.split_once("may not").unwrap();
        assert!(may.contains("SELECT") && !may.contains("DROP"), "{}", ran.out);
        assert!(may_not.contains("DROP") && ran.out.contains("public.feedback"), "{}", ran.out);
        let nobody = run(&folder, &["policy", "show", "p.yaml", "--agent", "stranger"], "");
        assert!(nobody.out.contains("it may do nothing"), "{}", nobody.out);
    }

    #[test]
    fn help_and_version_are_a_success_and_a_misspelt_flag_is_not() {
        let folder = folder("usage", &[]);
        for args in [&["--help"][..], &["--version"], &["version"], &["proxy", "--help"]] {
            let ran = run(&folder, args, "");
            assert_eq!(ran.code, 0, "{args:?}");
            assert!(!ran.out.is_empty());
        }
        let ran = run(&folder, &["proxy", "--polices", "x"], "");
        assert_eq!(ran.code, 2);
        assert!(ran.err.contains("--policies"), "{}", ran.err);
    }
}
