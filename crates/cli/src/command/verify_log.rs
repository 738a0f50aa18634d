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
    let outcome = match &args.public_key {
        Some(text) => audit::verify_pinned(path, &public_key(text)?),
        None => audit::verify(path, key.as_ref()),
    };
    match outcome {
        // All of nothing holds, and proves nothing.
        Ok(verified) if verified.chains.is_empty() => {
            bail!("there is no ledger in `{}`", path.display())
        }
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
    if args.public_key.is_some() {
        return Ok(None);
    }
    match surroundings.environment.get("PORTCULLIS_KEY_FILE") {
        Ok(path) => Ok(path.map(PathBuf::from)),
        Err(problem) => bail!("{problem}"),
    }
}

/// A checkpoint key's public half, as 64 hexadecimal digits.
fn public_key(text: &str) -> anyhow::Result<[u8; 32]> {
    let mut key = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != key.len() || !rest.is_empty() {
        bail!("--public-key: expected 64 hexadecimal digits");
    }
    for (byte, [high, low]) in key.iter_mut().zip(pairs) {
        let digit = |char: &u8| char::from(*char).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let (Some(high), Some(low)) = (digit(high), digit(low)) else {
            bail!("--public-key: expected 64 hexadecimal digits");
        };
        *byte = high << 4 | low;
    }
    Ok(key)
}

/// What was not checked, if there was no key.
const WITHOUT_KEY: &str = "only links, hashes and checkpoint signatures were checked: whoever can \
                           write the files could have made a new chain; --key-file rules that out";

/// What a public key proves, and what it does not.
const WITH_PUBLIC_KEY: &str = "records up to the signed checkpoint are as the holder of the key left \
                               them; those after it are only linked: --key-file covers them, too";

fn intact(args: &VerifyArgs, verified: &Verified, style: Style) -> anyhow::Result<()> {
    let mut out = output::stdout();
    match args.format {
        Format::Json => {
            let warning = (!verified.keyed).then_some(unchecked(args));
            let answer = json!({ "intact": true, "ledger": verified, "warning": warning });
            serde_json::to_writer_pretty(&mut out, &answer)?;
            writeln!(out)?;
        }
        Format::Text => {
            for line in verified.to_string().lines() {
                writeln!(out, "{}", printable(line))?;
            }
            if !verified.keyed {
                writeln!(out, "{} {}", style.paint(Color::Yellow, "warning:"), unchecked(args))?;
            }
            writeln!(out, "{}", style.paint(Color::Green, "intact"))?;
        }
    }
    out.flush()?;
    Ok(())
}

const fn unchecked(args: &VerifyArgs) -> &'static str {
    if args.public_key.is_some() { WITH_PUBLIC_KEY } else { WITHOUT_KEY }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_is_64_hexadecimal_digits() {
        assert_eq!(public_key(&"0f".repeat(32)).unwrap(), [15; 32]);
        for wrong in [String::new(), "0f".repeat(31), "0g".repeat(32), "0f".repeat(33)] {
            assert!(public_key(&wrong).is_err(), "{wrong}");
        }
    }
}
