//! `version`.

use std::io::Write;

use super::Answer;
use crate::output;

/// Prints the version.
pub(crate) fn run() -> anyhow::Result<Answer> {
    let mut out = output::stdout();
    writeln!(out, "portcullis {}", env!("CARGO_PKG_VERSION"))?;
    out.flush()?;
    Ok(Answer::Clean)
}
