//! `doctor`: says what undermines the door.
//!
//! The door judges statements; it cannot take back what the database gives to the role that
//! agents log in as, nor stop who goes around it. This command reads the catalogs, changes
//! nothing, and prints the statement that mends each finding.
//!
//! [`collect`] asks, [`judge`] decides, this file connects and prints.

mod collect;
mod judge;

use std::io::Write;
use std::pin::pin;
use std::str::FromStr;

use anyhow::{Context, bail};
use serde::Serialize;
use tokio_postgres::NoTls;

use super::{Answer, Surroundings};
use crate::args::{DoctorArgs, Format};
use crate::limits;
use crate::output::{self, Color, Style, printable};

use collect::Observations;
use judge::{Finding, Severity};

/// The answer as JSON.
#[derive(Debug, Serialize)]
struct Diagnosis<'a> {
    schema_version: u32,
    role: &'a str,
    database: &'a str,
    server_version: &'a str,
    clean: bool,
    findings: &'a [Finding],
    not_checked: &'a [collect::Gap],
}

/// Runs it.
pub(crate) fn run(args: &DoctorArgs, surroundings: &Surroundings) -> anyhow::Result<Answer> {
    let config = connection(args, surroundings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let observed = runtime.block_on(async {
        let work = observe(&config, args.role.as_deref());
        match tokio::time::timeout(limits::DOCTOR_TIMEOUT, work).await {
            Ok(observed) => observed,
            Err(_elapsed) => bail!("the server did not answer in time"),
        }
    })?;
    let findings = judge::findings(&observed);
    print(args.format, &observed, &findings, surroundings.style)?;
    Ok(if findings.is_empty() { Answer::Clean } else { Answer::Objection })
}

fn connection(
    args: &DoctorArgs,
    surroundings: &Surroundings,
) -> anyhow::Result<tokio_postgres::Config> {
    let environment = &surroundings.environment;
    let variable = |name| environment.get(name).map_err(|problem| anyhow::anyhow!("{problem}"));
    let Some(dsn) =
        args.dsn.as_deref().map_or_else(|| variable("DATABASE_URL"), |dsn| Ok(Some(dsn)))?
    else {
        bail!(
            "where is the server? say `--dsn postgres://user@host/database`, or set DATABASE_URL"
        );
    };
    let mut config = tokio_postgres::Config::from_str(dsn).context(
        "the connection string cannot be read (expected `postgres://user@host/database`)",
    )?;
    if config.get_password().is_none()
        && let Some(password) = variable("PGPASSWORD")?
    {
        config.password(password);
    }
    if config.get_application_name().is_none() {
        config.application_name("portcullis doctor");
    }
    Ok(config)
}

async fn observe(
    config: &tokio_postgres::Config,
    role: Option<&str>,
) -> anyhow::Result<Observations> {
    let (client, connection) = config.connect(NoTls).await.context("cannot connect")?;
    // The connection has to be polled beside the questions, and ends with them.
    let mut connection = pin!(connection);
    let mut questions = pin!(collect::observe(&client, role));
    tokio::select! {
        biased;
        observed = &mut questions => observed.map_err(|error| {
            // The door refuses who names no agent.
            if format!("{error:#}").contains("BLOCKED by Portcullis") {
                anyhow::anyhow!(
                    "this is the door itself: give `--dsn` the address of the database behind it"
                )
            } else {
                error
            }
        }),
        ended = &mut connection => match ended {
            Ok(()) => bail!("the server closed the connection"),
            Err(error) => Err(error).context("the connection failed"),
        },
    }
}

fn print(
    format: Format,
    observed: &Observations,
    findings: &[Finding],
    style: Style,
) -> anyhow::Result<()> {
    let mut out = output::stdout();
    match format {
        Format::Json => {
            let diagnosis = Diagnosis {
                schema_version: 1,
                role: &observed.role.name,
                database: &observed.server.database,
                server_version: &observed.server.version,
                clean: findings.is_empty(),
                findings,
                not_checked: &observed.gaps,
            };
            serde_json::to_writer_pretty(&mut out, &diagnosis)?;
            writeln!(out)?;
        }
        Format::Text => print_text(&mut out, observed, findings, style)?,
    }
    out.flush()?;
    Ok(())
}

fn print_text(
    out: &mut impl Write,
    observed: &Observations,
    findings: &[Finding],
    style: Style,
) -> std::io::Result<()> {
    writeln!(
        out,
        "role {} in database {} on PostgreSQL {}",
        style.paint(Color::Bold, printable(&observed.role.name)),
        printable(&observed.server.database),
        printable(&observed.server.version),
    )?;
    for finding in findings {
        let color = match finding.severity {
            Severity::Critical => Color::Red,
            Severity::Warning => Color::Yellow,
        };
        let label = finding.severity.as_str();
        writeln!(out, "\n{} {}", style.paint(color, label), style.paint(Color::Dim, finding.code))?;
        writeln!(out, "  {}", printable(&finding.message))?;
        for line in finding.remedy.lines() {
            writeln!(out, "  {} {}", style.paint(Color::Green, "mend:"), printable(line))?;
        }
    }
    for gap in &observed.gaps {
        writeln!(out, "\nnot checked: {} ({})", gap.what, printable(&gap.why))?;
    }
    let summary = match findings.len() {
        0 if observed.gaps.is_empty() => {
            style.paint(Color::Green, "nothing undermines the door".to_owned())
        }
        0 => style.paint(Color::Yellow, "nothing found, but not everything was checked".to_owned()),
        1 => style.paint(Color::Red, "1 finding".to_owned()),
        count => style.paint(Color::Red, format!("{count} findings")),
    };
    writeln!(out, "\n{summary}")
}
