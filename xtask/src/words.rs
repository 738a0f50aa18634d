//! One word for one thing: synonyms that the glossary bans, in code and documents.
//!
//! A search for whole words. Exempt are the glossary itself, quotations (the exempt phrases) and
//! data that others wrote.

use std::path::Path;

use crate::{Checked, output};

/// Banned word, and what to say instead.
const BANNED: [(&str, &str); 12] = [
    ("verdict", "decision"),
    ("verdicts", "decisions"),
    ("guardrail", "rule"),
    ("guardrails", "rules"),
    ("ruleset", "policy"),
    ("quota", "budget"),
    ("quotas", "budgets"),
    ("escalate", "hold"),
    ("escalates", "holds"),
    ("escalated", "held"),
    ("bot", "agent"),
    ("bots", "agents"),
];

/// Phrases in which a banned word is a name.
const EXEMPT: [&str; 3] = ["rogue-bot", "rogue_bot", "support-bot"];

/// Files that quote the banned words.
const EXEMPT_FILES: [&str; 3] = ["STYLE.md", "xtask/src/words.rs", "Cargo.lock"];

/// Kinds of files that are read.
const KINDS: [&str; 7] = [".rs", ".md", ".toml", ".yaml", ".sh", ".py", ".js"];

/// Checks every tracked text.
pub(crate) fn check(workspace: &Path) -> Checked {
    let mut findings = Vec::new();
    for file in output(workspace, "git", &["ls-files"])?.lines() {
        let read = KINDS.iter().any(|kind| file.ends_with(kind)) && !EXEMPT_FILES.contains(&file);
        let text = read.then(|| std::fs::read_to_string(workspace.join(file)));
        if let Some(Ok(text)) = text {
            findings.extend(look(file, &text));
        }
    }
    Ok(findings)
}

fn look(file: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = EXEMPT.iter().fold(line.to_lowercase(), |line, phrase| line.replace(phrase, ""));
        let words = line.split(|c: char| !c.is_alphanumeric());
        for word in words {
            if let Some((banned, better)) = BANNED.iter().find(|(banned, _)| *banned == word) {
                findings.push(format!("{file}:{number}: say `{better}`, not `{banned}`"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_are_found_and_names_are_not() {
        let text = "the bottom\nrogue-bot is refused\nA Verdict.\n";
        assert_eq!(look("a.md", text), ["a.md:3: say `decision`, not `verdict`"]);
    }
}
