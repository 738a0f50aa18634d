//! `verify-log`: whether a ledger is as it was written; if not, which record is the first that
//! is not.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use audit::{Broken, BrokenKind, Key, Verified};
use serde_json::json;

use super::{Answer, Surroundings};
use crate::args::{Format, VerifyArgs};
use crate::output::{self, Color, Style, printable};

/// Runs it.
pub(crate) fn run(args: &VerifyArgs, surroundings: &Surroundings) -> anyhow::Result<Answer> {
    let key = match key_file(args, surroundings)? {
        Some(path) => Some(Key::load(&path)?),
        None => None,
    };
    let path = &args.path;
    if !path.try_exists().with_context(|| format!("cannot read `{}`", path.display()))? {
        bail!("there is no ledger in `{}`", path.display());
    }
    match audit::verify(path, key.as_ref()) {
        Ok(verified) => {
            intact(args, &verified, surroundings.style)?;
            Ok(Answer::Clean)
        }
        Err(broken) => {
            violated(args, &broken, surroundings.style)?;
            Ok(match broken.kind {
                BrokenKind::Unreadable => Answer::Incomplete,
                BrokenKind::Edited
                | BrokenKind::Reordered
                | BrokenKind::Removed
                | BrokenKind::Inserted
                | BrokenKind::Truncated
                | BrokenKind::MissingSegment
                | BrokenKind::TornTail
                | BrokenKind::WrongKey
                | BrokenKind::BadCheckpoint => Answer::Objection,
            })
        }
    }
}

fn key_file(args: &VerifyArgs, surroundings: &Surroundings) -> anyhow::Result<Option<PathBuf>> {
    if args.key_file.is_some() {
        return Ok(args.key_file.clone());
    }
    match surroundings.environment.get("PORTCULLIS_KEY_FILE") {
        Ok(path) => Ok(path.map(PathBuf::from)),
        Err(problem) => bail!("{problem}"),
    }
}

/// What was not checked, if there was no key.
const WITHOUT_KEY: &str = "without --key-file only links, hashes and checkpoint signatures were \
                           checked: whoever can write the files could have made a new chain";

fn intact(args: &VerifyArgs, verified: &Verified, style: Style) -> anyhow::Result<()> {
    let mut out = output::stdout();
    match args.format {
        Format::Json => {
            let warning = (!verified.keyed).then_some(WITHOUT_KEY);
            let answer = json!({ "intact": true, "ledger": verified, "warning": warning });
            serde_json::to_writer_pretty(&mut out, &answer)?;
            writeln!(out)?;
        }
        Format::Text => {
            write!(out, "{verified}")?;
            if !verified.keyed {
                writeln!(out, "{} {WITHOUT_KEY}", style.paint(Color::Yellow, "warning:"))?;
            }
            writeln!(out, "{}", style.paint(Color::Green, "intact"))?;
        }
    }
    out.flush()?;
    Ok(())
}

fn violated(args: &VerifyArgs, broken: &Broken, style: Style) -> anyhow::Result<()> {
    let mut out = output::stdout();
    match args.format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, &json!({ "intact": false, "broken": broken }))?;
            writeln!(out)?;
        }
        Format::Text => {
            for line in broken.to_string().lines() {
                writeln!(out, "{}", printable(line))?;
            }
            writeln!(out, "{}", style.paint(Color::Red, "broken"))?;
        }
    }
    out.flush()?;
    Ok(())
}
