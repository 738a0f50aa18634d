//! The one-line view of decisions in a terminal. It is for eyes, not for audit: a line that the
//! terminal does not take in time is lost, a record never is.

use std::io::Write as _;
use std::sync::mpsc::{SyncSender, sync_channel};

use model::Principal;
use policy::Decision;

const QUERY_CHARS: usize = 80;
const WAITING_LINES: usize = 1024;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// As plain text.
    Plain,
    /// With terminal colours.
    Ansi,
}

/// The writer's end.
#[derive(Debug)]
pub(crate) struct View {
    lines: SyncSender<String>,
    colour: Colour,
}

impl View {
    /// Starts the thread that writes.
    pub(crate) fn start(colour: Colour) -> Self {
        let (lines, waiting) = sync_channel::<String>(WAITING_LINES);
        std::thread::spawn(move || {
            let mut out = std::io::stdout();
            for line in waiting {
                if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
                    return;
                }
            }
        });
        Self { lines, colour }
    }

    /// Shows one decision.
    pub(crate) fn show(&self, who: &Principal, decision: &Decision, forwarded: bool, text: &[u8]) {
        let line = self.line(who, decision, forwarded, text);
        if self.lines.try_send(line).is_err() {
            tracing::trace!("a line of the view was lost");
        }
    }

    fn line(&self, who: &Principal, decision: &Decision, forwarded: bool, text: &[u8]) -> String {
        let word = match (decision.is_allowed(), forwarded) {
            (true, _) => "🟢 [ALLOWED]",
            (false, true) => "🟡 [MONITOR]",
            (false, false) => "🔴 [BLOCKED]",
        };
        let agent = who.label();
        let reason = match decision.reasons().first() {
            Some(reason) => format!("  reason={reason}"),
            None => String::new(),
        };
        let query = one_line(text);
        match (self.colour, decision.is_allowed()) {
            (Colour::Plain, _) => format!("{word} agent={agent}{reason}  query={query}"),
            (Colour::Ansi, true) => format!("{word} agent={agent}  query={query}"),
            (Colour::Ansi, false) => {
                format!("{word} agent={agent}\u{1b}[31m{reason}\u{1b}[0m  query={query}")
            }
        }
    }
}

/// The beginning of a text on one line, with everything that could steer a terminal left out.
fn one_line(text: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(text) else { return "(not UTF-8)".to_owned() };
    let plain = |c: char| if c.is_control() || c.is_whitespace() { ' ' } else { c };
    let mut line: String = text.trim().chars().take(QUERY_CHARS).map(plain).collect();
    if text.trim().chars().nth(QUERY_CHARS).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_steer_the_terminal() {
        assert_eq!(one_line(b"select\n\x1b[2J 1"), "select  [2J 1");
        assert_eq!(one_line(&[b'x'; 100]).chars().count(), QUERY_CHARS + 1);
    }
}
