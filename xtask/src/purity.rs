//! Pure crates name no clock, file system, network or environment in their sources.
//!
//! A search for words, not an analysis: tests (from `#[cfg(test)]` down) and comments do not
//! count. The dependency tree is `deps`' business.

use std::path::Path;

use crate::deps::PURE;
use crate::{Checked, output};

/// Words that reach outside.
const OUTSIDE: [&str; 10] = [
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::thread",
    "std::io::stdin",
    "SystemTime",
    "Instant::now",
    "fs::File",
    "env::var",
];

/// Checks every source of every pure crate.
pub(crate) fn check(workspace: &Path) -> Checked {
    let mut findings = Vec::new();
    for name in PURE {
        let folder = format!("crates/{}/src", name.trim_start_matches("portcullis-"));
        for file in output(workspace, "git", &["ls-files", &folder])?.lines() {
            let Ok(text) = std::fs::read_to_string(workspace.join(file)) else { continue };
            findings.extend(look(file, &text));
        }
    }
    Ok(findings)
}

fn look(file: &str, text: &str) -> Vec<String> {
    let code = text.lines().enumerate().take_while(|(_, line)| line.trim() != "#[cfg(test)]");
    let code = code.map(|(number, line)| (number + 1, line.split("//").next().unwrap_or(line)));
    code.flat_map(|(number, line)| {
        let words = OUTSIDE.iter().filter(move |word| line.contains(**word));
        words.map(move |word| format!("{file}:{number}: a pure crate may not use `{word}`"))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_searched_and_comments_and_tests_are_not() {
        let text = "// std::fs\nuse std::fs;\n#[cfg(test)]\nuse std::env;\n";
        assert_eq!(look("a.rs", text), ["a.rs:2: a pure crate may not use `std::fs`"]);
    }
}
