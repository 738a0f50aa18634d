//! `portcullis check`, `policy lint` and `verify-log`: exit codes and forms of output.

use std::path::PathBuf;

use crate::kit::{CURSOR, Door, binary, workspace};

fn run(arguments: &[&str], input: &str) -> (i32, String, String) {
    testkit::proxy::run(binary(), arguments, input).unwrap()
}

fn policy() -> String {
    workspace().join("policies/policies.yaml").to_str().unwrap().to_owned()
}

fn check(arguments: &[&str], input: &str) -> (i32, String, String) {
    let policy = policy();
    let who = ["check", "--policy", &policy, "--agent", "cursor-ai"];
    let mission = ["--mission", "summarize-feedback"];
    run(&[&who[..], &mission[..], arguments].concat(), input)
}

#[test]
fn exit_codes_say_what_was_found() {
    assert_eq!(check(&["-c", "SELECT * FROM feedback"], "").0, 0);
    let (code, out, _) = check(&["-c", "DELETE FROM feedback"], "");
    assert_eq!(code, 1);
    assert!(out.contains("condition_violated"), "{out}");
    assert_eq!(check(&["-c", "SELECT 1; TABLE users"], "").0, 1);
    assert_eq!(run(&["check", "--policy", "/nowhere.yaml", "-c", "SELECT 1"], "").0, 2);
    assert_eq!(check(&["/nowhere.sql"], "").0, 2);
    assert_eq!(check(&["--no-such-flag"], "").0, 2);
    assert_eq!(run(&["--help"], "").0, 0);
}

#[test]
fn questions_and_answers_are_lines_of_json() {
    let questions = concat!(
        r#"{"id":"a","sql":"SELECT 1"}"#,
        "\n",
        r#"{"id":"b","sql":"DELETE FROM feedback","agent":"cursor-ai","mission":"summarize-feedback"}"#,
        "\n",
        r#"{"id":"c","sql":"SELECT 1","agent":"rogue-bot"}"#,
        "\n",
    );
    let (code, out, err) = check(&["--format", "jsonl", "--input", "jsonl"], questions);
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    let lines = out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let lines = lines.collect::<Vec<_>>();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["id"], "a");
    assert_eq!(lines[0]["decision"], "allow");
    assert_eq!(lines[1]["decision"], "deny");
    let reason = &lines[1]["reasons"][0];
    assert_eq!(reason["code"], "condition_violated");
    assert_eq!(reason["category"], "missing_where");
    assert_eq!(reason["bucket"], "rewrite");
    assert!(reason["message"].is_string() && reason["suggestion"].is_string());
    assert!(lines[1]["risk"].is_number() && lines[1]["facts"].is_object());
    assert_eq!(lines[2]["reasons"][0]["code"], "agent_not_in_policy");
}

#[test]
fn an_explanation_shows_every_step() {
    let (code, out, _) = check(&["--explain", "-c", "DROP TABLE users"], "");
    assert_eq!(code, 1);
    for step in 1..=13 {
        assert!(out.contains(&step.to_string()), "{out}");
    }
}

#[test]
fn every_shipped_policy_is_without_errors() {
    let policies = std::fs::read_dir(workspace().join("policies")).unwrap().flatten();
    for file in policies.map(|entry| entry.path()).filter(|p| p.extension().is_some()) {
        let (code, out, err) = run(&["policy", "lint", file.to_str().unwrap()], "");
        assert_eq!(code, 0, "{}: {out}{err}", file.display());
    }
}

/// The ledger of a door that was used and stopped.
fn ledger() -> (Door, PathBuf) {
    let mut door = Door::open();
    door.psql(CURSOR, &["-c", "SELECT 1", "-c", "DROP TABLE users", "-c", "SELECT 2"]);
    door.stop();
    let copy = door.proxy.folder.join("copy");
    std::fs::create_dir_all(&copy).unwrap();
    for entry in std::fs::read_dir(door.proxy.ledger()).unwrap().flatten() {
        std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    (door, copy)
}

/// The file of `folder` that holds the records.
fn segment(folder: &PathBuf) -> PathBuf {
    let files = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let mut files = files.collect::<Vec<_>>();
    files.retain(|path| std::fs::read_to_string(path).is_ok_and(|text| text.contains("\"deny\"")));
    files.pop().unwrap()
}

#[test]
fn what_was_done_to_a_ledger_is_found() {
    let (door, copy) = ledger();
    let key = door.proxy.key();
    let verify = || {
        let arguments = ["verify-log", copy.to_str().unwrap(), "--key-file", key.to_str().unwrap()];
        run(&arguments, "")
    };
    assert_eq!(verify().0, 0);
    let file = segment(&copy);
    let good = std::fs::read_to_string(&file).unwrap();
    let lines = good.lines().collect::<Vec<_>>();
    let number = lines.iter().position(|line| line.contains("\"deny\"")).unwrap();
    let without = |skip: usize| {
        let mut kept = lines.clone();
        kept.remove(skip);
        kept.join("\n") + "\n"
    };
    let mut swapped = lines.clone();
    swapped.swap(number, number - 1);
    for (name, bad) in [
        ("edited", good.replacen("\"deny\"", "\"allow\"", 1)),
        ("removed", without(number)),
        ("reordered", swapped.join("\n") + "\n"),
        ("inserted", good.replacen(lines[number], &format!("{0}\n{0}", lines[number]), 1)),
    ] {
        std::fs::write(&file, bad).unwrap();
        let (code, out, err) = verify();
        assert_eq!(code, 1, "{name}: {out}{err}");
        assert!(format!("{out}{err}").contains(file.file_name().unwrap().to_str().unwrap()));
    }
    std::fs::write(&file, &good).unwrap();
    assert_eq!(verify().0, 0);
}
