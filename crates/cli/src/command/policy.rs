//! `policy lint`: every mistake in a policy document, with its place.

use std::io::Write;

use policy::{Diagnostic, Diagnostics, Severity};
use serde::Serialize;

use super::{Answer, Surroundings, policy_show};
use crate::args::{Format, LintArgs, PolicyArgs, PolicyCommand};
use crate::output::{self, Color};
use crate::policy_file::{self, Checked};

/// Runs it.
pub(crate) fn run(args: PolicyArgs, surroundings: &Surroundings) -> anyhow::Result<Answer> {
    match args.command {
        PolicyCommand::Lint(args) => lint(&args, surroundings),
        PolicyCommand::Show(args) => policy_show::run(&args, surroundings.style),
    }
}

/// What was found in one document, as JSON.
#[derive(Debug, Serialize)]
struct Linted<'a> {
    file: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    diagnostics: Vec<Entry<'a>>,
}

/// A diagnostic as JSON.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    severity: &'static str,
    line: usize,
    column: usize,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
}

impl<'a> From<&'a Diagnostic> for Entry<'a> {
    fn from(one: &'a Diagnostic) -> Self {
        let severity = one.severity.as_str();
        let help = one.help.as_deref();
        Self { severity, line: one.line, column: one.column, message: &one.message, help }
    }
}

fn lint(args: &LintArgs, surroundings: &Surroundings) -> anyhow::Result<Answer> {
    let mut out = output::stdout();
    let mut answer = Answer::Clean;
    for file in &args.files {
        let checked = match policy_file::check(file) {
            Ok(checked) => checked,
            Err(error) => {
                output::complain(format_args!("portcullis: {error:#}"));
                answer = answer.and(Answer::Incomplete);
                continue;
            }
        };
        answer = answer.and(severity(&checked, args.strict));
        let file = file.display().to_string();
        match args.format {
            Format::Json => {
                serde_json::to_writer(&mut out, &linted(file, &checked))?;
                writeln!(out)?;
            }
            Format::Text => text(&mut out, &file, &checked, surroundings)?,
        }
    }
    out.flush()?;
    Ok(answer)
}

fn found(checked: &Checked) -> &Diagnostics {
    match &checked.outcome {
        Ok(loaded) => &loaded.warnings,
        Err(diagnostics) => diagnostics,
    }
}

fn severity(checked: &Checked, strict: bool) -> Answer {
    let counts = |one: &Diagnostic| match one.severity {
        Severity::Error => true,
        Severity::Warning => strict,
    };
    if checked.outcome.is_err() || found(checked).iter().any(counts) {
        return Answer::Objection;
    }
    Answer::Clean
}

fn linted(file: String, checked: &Checked) -> Linted<'_> {
    Linted {
        file,
        ok: checked.outcome.is_ok(),
        digest: checked.outcome.as_ref().ok().map(|loaded| loaded.policy.digest().to_string()),
        diagnostics: found(checked).iter().map(Entry::from).collect(),
    }
}

fn text(
    out: &mut impl Write,
    file: &str,
    checked: &Checked,
    surroundings: &Surroundings,
) -> std::io::Result<()> {
    let style = surroundings.style;
    let diagnostics = found(checked);
    if !diagnostics.is_empty() {
        writeln!(
            out,
            "{}",
            policy_file::render(diagnostics, (&checked.name, &checked.text), style)
        )?;
    }
    match &checked.outcome {
        Ok(loaded) => {
            writeln!(
                out,
                "{file}: {} ({})",
                style.paint(Color::Green, "ok"),
                loaded.policy.digest()
            )
        }
        Err(_) => writeln!(out, "{file}: {}", style.paint(Color::Red, "not a policy")),
    }
}
