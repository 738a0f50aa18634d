//! `report`: what agents did, out of a ledger. It does not verify the ledger; `verify-log` does.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::Context;
use audit::{Report, ReportOptions};

use super::Answer;
use crate::args::{Format, ReportArgs};
use crate::output::{self, printable};

/// Runs it.
pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<Answer> {
    let options = ReportOptions {
        session: args.session.clone(),
        agent: args.agent.clone(),
        ..ReportOptions::default()
    };
    let mut report = audit::report(&args.path, &options)?;
    if args.report_include_params {
        output::complain("warning: the report repeats statement texts: treat it like the data");
    } else {
        for call in &mut report.denied_calls {
            call.statement = None;
        }
        for group in &mut report.statements {
            group.statement = None;
        }
    }
    match &args.output {
        None => {
            let mut out = output::stdout();
            write(&mut out, &report, args.format)?;
            out.flush()?;
        }
        Some(path) => {
            let failed = || format!("cannot write `{}`", path.display());
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)
                .with_context(failed)?;
            let mut out = BufWriter::new(file);
            write(&mut out, &report, args.format)
                .and_then(|()| out.flush())
                .with_context(failed)?;
        }
    }
    Ok(Answer::Clean)
}

fn write(out: &mut impl Write, report: &Report, format: Format) -> std::io::Result<()> {
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, report)?;
            writeln!(out)
        }
        Format::Text => {
            report.to_string().lines().try_for_each(|line| writeln!(out, "{}", printable(line)))
        }
    }
}
