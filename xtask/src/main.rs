//! What CI runs, you can run: `cargo run -p xtask -- deps | words | ci`.
//!
//! Here: checks that no compiler makes. Not here: set-up and test runs; `scripts/` has those.

mod copier;
mod deps;
mod purity;
mod words;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What a check found; empty means that all is well.
type Findings = Vec<String>;
/// A check that could not do its work says why.
type Checked = Result<Findings, String>;

const USAGE: &str = "usage: cargo run -p xtask -- deps | words | ci | copier LISTEN UPSTREAM";

fn main() -> ExitCode {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let words = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    let checked = match words.as_slice() {
        ["deps"] => both(deps::check, purity::check),
        ["words"] => words::check(&workspace()),
        ["ci"] => ci(),
        ["copier", listen, upstream] => copier::run(listen, upstream).map(|()| Findings::new()),
        _ => Err(USAGE.to_owned()),
    };
    let (lines, code) = match checked {
        Ok(findings) if findings.is_empty() => (findings, ExitCode::SUCCESS),
        Ok(findings) => (findings, ExitCode::FAILURE),
        Err(fault) => (vec![fault], ExitCode::from(2)),
    };
    let mut output = std::io::stderr().lock();
    for line in lines {
        if writeln!(output, "{line}").is_err() {
            return ExitCode::from(2);
        }
    }
    code
}

fn both(first: fn(&Path) -> Checked, second: fn(&Path) -> Checked) -> Checked {
    let workspace = workspace();
    let mut findings = first(&workspace)?;
    findings.extend(second(&workspace)?);
    Ok(findings)
}

fn ci() -> Checked {
    let status = Command::new(workspace().join(".ci/run")).status();
    let status = status.map_err(|cause| format!(".ci/run: {cause}"))?;
    Ok(if status.success() { Vec::new() } else { vec![format!(".ci/run: {status}")] })
}

fn workspace() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.parent().unwrap_or(folder).to_path_buf()
}

/// Runs a command in the workspace and gives what it printed.
fn output(workspace: &Path, program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).current_dir(workspace).output();
    let output = output.map_err(|cause| format!("{program}: {cause}"))?;
    if !output.status.success() {
        return Err(format!("{program}: {}: {}", output.status, output.stderr.escape_ascii()));
    }
    String::from_utf8(output.stdout).map_err(|cause| format!("{program}: {cause}"))
}
