//! Reads a policy document and shows what is wrong with it, with the line it is wrong in.
//!
//! What a document means is the business of the `policy` crate.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use policy::{Diagnostic, Diagnostics, Loaded, Policy, Severity};

use crate::limits;
use crate::output::{Color, Style, printable};
use crate::reading;

/// A document's text, and what the policy crate says about it.
#[derive(Debug)]
pub(crate) struct Checked {
    /// How findings name the file.
    pub(crate) name: String,
    /// The text.
    pub(crate) text: String,
    /// The policy, or what is wrong.
    pub(crate) outcome: Result<Loaded, Diagnostics>,
}

/// Reads and checks. An error means that the file could not be read.
pub(crate) fn check(path: &Path) -> Result<Checked> {
    let text = reading::text_file(path, limits::MAX_POLICY_BYTES)
        .with_context(|| format!("cannot read the policy `{}`", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let name = path.display().to_string();
    // A file that the policy names stands beside it.
    let outcome = Policy::load_with(&name, &text, &mut |file| {
        reading::text_file(&folder.join(file), limits::MAX_POLICY_BYTES)
            .map_err(|error| error.to_string())
    });
    Ok(Checked { name, text, outcome })
}

/// Reads and checks; whatever is wrong is an error that says where and how to mend it.
pub(crate) fn load(path: &Path) -> Result<Loaded> {
    let checked = check(path)?;
    match checked.outcome {
        Ok(loaded) => Ok(loaded),
        Err(diagnostics) => {
            let shown = render(&diagnostics, (&checked.name, &checked.text), Style::Plain);
            let rendered = shown.to_string();
            Err(Unusable { path: path.display().to_string(), rendered }.into())
        }
    }
}

/// A policy that is none.
#[derive(Debug, thiserror::Error)]
#[error("the policy `{path}` cannot be used:\n{rendered}")]
struct Unusable {
    path: String,
    rendered: String,
}

/// Diagnostics with the lines that they are about.
pub(crate) const fn render<'a>(
    diagnostics: &'a Diagnostics,
    (name, text): (&'a str, &'a str),
    style: Style,
) -> Rendered<'a> {
    Rendered { diagnostics, name, text, style }
}

/// See [`render`].
#[derive(Debug)]
pub(crate) struct Rendered<'a> {
    diagnostics: &'a Diagnostics,
    name: &'a str,
    text: &'a str,
    style: Style,
}

impl fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<&str> = self.text.lines().collect();
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let line = diagnostic.line.checked_sub(1).and_then(|line| lines.get(line));
            // Of another file we have no lines.
            let line = line.copied().filter(|_| diagnostic.file == self.name);
            one(f, diagnostic, line, self.style)?;
        }
        Ok(())
    }
}

fn one(
    f: &mut fmt::Formatter<'_>,
    diagnostic: &Diagnostic,
    line: Option<&str>,
    style: Style,
) -> fmt::Result {
    let Diagnostic { severity, file, line: number, column, message, help } = diagnostic;
    let color = match severity {
        Severity::Error => Color::Red,
        Severity::Warning => Color::Yellow,
    };
    let severity = style.paint(color, severity.as_str());
    write!(f, "{file}:{number}:{column}: {severity}: {}", printable(message))?;
    if let Some(line) = line.filter(|line| line.chars().count() <= limits::MAX_SHOWN_LINE) {
        let shown = printable(line);
        let width = number.to_string().len();
        let before: String = line.chars().take(column.saturating_sub(1)).collect();
        let indent = printable(&before).chars().count();
        let caret = style.paint(color, "^");
        write!(f, "\n {number} | {shown}\n {:width$} | {:indent$}{caret}", "", "")?;
    }
    match help {
        Some(help) => write!(f, "\n  help: {}", printable(help)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_points_at_the_column() {
        let diagnostics = Diagnostics(vec![Diagnostic {
            severity: Severity::Error,
            file: "p.yaml".to_owned(),
            line: 2,
            column: 3,
            message: "unknown key `agnet`".to_owned(),
            help: Some("did you mean `agent`?".to_owned()),
        }]);
        let shown =
            render(&diagnostics, ("p.yaml", "a: 1\n  agnet: 2\n"), Style::Plain).to_string();
        let expected = "p.yaml:2:3: error: unknown key `agnet`\n 2 |   agnet: 2\n   |   ^\n  help: \
                        did you mean `agent`?";
        assert_eq!(shown, expected);
    }
}
