//! The only owner of standard output and standard error.
//!
//! Text that came from outside is shown through [`printable`]: a table's name must not move the
//! cursor of whoever reads the answer.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use crate::args::ColorChoice;
use crate::config::layers::{Environment, Problem};

/// Buffered standard output. A reader that has gone away is an error of kind `BrokenPipe`, which
/// `main` ends quietly.
pub(crate) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(64 << 10, io::stdout().lock())
}

/// Says something on standard error. If that fails, nobody is left to be told.
pub(crate) fn complain(message: impl fmt::Display) {
    if writeln!(io::stderr().lock(), "{message}").is_err() {}
}

/// Whether `error` only says that the reader has gone away.
pub(crate) fn is_closed(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// How text may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// No colours.
    Plain,
    /// Colours.
    Color,
}

/// A colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Color {
    /// Good.
    Green,
    /// Bad.
    Red,
    /// Mind this.
    Yellow,
    /// Less important.
    Dim,
    /// More important.
    Bold,
}

impl Style {
    /// Flag, then variable, then what standard output is.
    pub(crate) fn choose(
        flag: Option<ColorChoice>,
        environment: &Environment,
    ) -> Result<Self, Problem> {
        let choice = match flag {
            Some(choice) => choice,
            None => Self::variable(environment)?,
        };
        Ok(match choice {
            ColorChoice::Always => Self::Color,
            ColorChoice::Never => Self::Plain,
            ColorChoice::Auto => Self::automatic(environment),
        })
    }

    fn variable(environment: &Environment) -> Result<ColorChoice, Problem> {
        const NAME: &str = "PORTCULLIS_COLOR";
        let Some(text) = environment.get(NAME)? else { return Ok(ColorChoice::Auto) };
        <ColorChoice as clap::ValueEnum>::from_str(text, true).map_err(|_clap_says_less| Problem {
            place: NAME.to_owned(),
            message: format!("expected `auto`, `always` or `never`, not `{text}`"),
        })
    }

    fn automatic(environment: &Environment) -> Self {
        let set = |name| environment.get(name).is_ok_and(|value| value.is_some());
        let dumb = environment.get("TERM").is_ok_and(|term| term == Some("dumb"));
        if set("NO_COLOR") || dumb || !io::stdout().is_terminal() {
            Self::Plain
        } else {
            Self::Color
        }
    }

    /// `text` in that colour.
    pub(crate) fn paint<T: fmt::Display>(self, color: Color, text: T) -> Painted<T> {
        let code = match self {
            Self::Plain => None,
            Self::Color => Some(match color {
                Color::Green => "32",
                Color::Red => "31",
                Color::Yellow => "33",
                Color::Dim => "2",
                Color::Bold => "1",
            }),
        };
        Painted { code, text }
    }
}

/// Text with its colour.
#[derive(Debug)]
pub(crate) struct Painted<T> {
    code: Option<&'static str>,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            None => self.text.fmt(f),
            Some(code) => write!(f, "\u{1b}[{code}m{}\u{1b}[0m", self.text),
        }
    }
}

/// `text` with control characters, and those that reorder or hide text, spelt out.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if is_hidden(char) {
            shown.extend(char.escape_unicode());
        } else {
            shown.push(char);
        }
    }
    Cow::Owned(shown)
}

fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{ad}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_text_cannot_steer_the_terminal() {
        assert_eq!(printable("t\u{1b}[2J\u{202e}x"), "t\\u{1b}[2J\\u{202e}x");
        assert_eq!(printable("größe"), "größe");
    }

    #[test]
    fn colours_are_off_unless_wanted() {
        let none = Environment::default();
        assert_eq!(Style::choose(Some(ColorChoice::Never), &none), Ok(Style::Plain));
        assert_eq!(Style::choose(Some(ColorChoice::Always), &none), Ok(Style::Color));
        let variable = [("PORTCULLIS_COLOR", "always")].into_iter().collect();
        assert_eq!(Style::choose(None, &variable), Ok(Style::Color));
        assert_eq!(Style::choose(Some(ColorChoice::Never), &variable), Ok(Style::Plain));
        let wrong = [("PORTCULLIS_COLOR", "blue")].into_iter().collect();
        assert!(Style::choose(None, &wrong).is_err());
        assert_eq!(Style::Plain.paint(Color::Red, "x").to_string(), "x");
        assert_eq!(Style::Color.paint(Color::Red, "x").to_string(), "\u{1b}[31mx\u{1b}[0m");
    }
}
