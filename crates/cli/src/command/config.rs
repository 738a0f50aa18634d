//! `config show` and `config check`.

use std::io::Write;

use super::{Answer, Surroundings};
use crate::args::{ConfigArgs, ConfigCommand, ConfigShowArgs, ProxyArgs};
use crate::config::setting::Key;
use crate::config::value::Mode;
use crate::config::{self, Loaded};
use crate::output::{self, Color, Style, printable};

/// Runs it.
pub(crate) fn run(args: ConfigArgs, surroundings: &Surroundings) -> anyhow::Result<Answer> {
    match args.command {
        ConfigCommand::Show(args) => show(*args, surroundings),
        ConfigCommand::Check(args) => check(*args, surroundings),
    }
}

fn load(args: ProxyArgs, surroundings: &Surroundings) -> Result<Loaded, config::Problems> {
    config::load(args.settings.0, args.config.as_deref(), &surroundings.environment)
}

fn show(args: ConfigShowArgs, surroundings: &Surroundings) -> anyhow::Result<Answer> {
    let loaded = load(args.proxy, surroundings)?;
    let mut out = output::stdout();
    let style = if args.origin { surroundings.style } else { Style::Plain };
    for (key, given) in &loaded.layer {
        let name = key.setting().name;
        let value = printable(shown(*key, &given.text));
        if args.origin {
            let origin = style.paint(Color::Dim, &given.origin);
            writeln!(out, "{name:<18} {value:<28} {origin}")?;
        } else {
            writeln!(out, "{name}: {}", scalar(&value))?;
        }
    }
    out.flush()?;
    Ok(Answer::Clean)
}

/// A secret is not shown, where it is kept is.
fn shown(key: Key, text: &str) -> &str {
    let kept_elsewhere = text == "off" || text.starts_with("env:") || text.starts_with("file:");
    if key == Key::CatalogDsn && !kept_elsewhere { "***" } else { text }
}

/// A value as the configuration file would have it.
fn scalar(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"./_-".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "''"))
}

fn check(args: ProxyArgs, surroundings: &Surroundings) -> anyhow::Result<Answer> {
    let mut out = output::stdout();
    let answer = match load(args, surroundings) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                writeln!(out, "{} {warning}", surroundings.style.paint(Color::Yellow, "warning:"))?;
            }
            let from = loaded.file.map_or_else(
                || "no configuration file".to_owned(),
                |file| file.display().to_string(),
            );
            let mode = match loaded.config.mode {
                Mode::Enforce => "what the policy denies is refused",
                Mode::Monitor => "what the policy denies is recorded and FORWARDED",
            };
            writeln!(out, "the configuration is sound ({from}); {mode}")?;
            Answer::Clean
        }
        Err(problems) => {
            writeln!(out, "{problems}")?;
            Answer::Objection
        }
    };
    out.flush()?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_show_prints_can_be_read_back() {
        assert_eq!(scalar("./ledger"), "./ledger");
        assert_eq!(scalar("\"$user\", public"), "'\"$user\", public'");
        assert_eq!(scalar(":5433"), "':5433'");
        assert_eq!(scalar("it's"), "'it''s'");
    }
}
