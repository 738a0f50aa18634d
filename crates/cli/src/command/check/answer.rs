//! Writes answers, for people or for machines.

use std::borrow::Cow;
use std::io::Write;

use model::SqlFacts;
use policy::{Mode, Outcome, Reason};
use serde::Serialize;
use serde_json::Value;

use super::judge::Judgement;
use crate::args::AnswerFormat;
use crate::limits;
use crate::output::{Color, Style, printable};

/// An answer as JSON.
#[derive(Debug, Serialize)]
struct Record<'a> {
    id: &'a Value,
    decision: &'static str,
    reasons: Vec<ReasonRecord<'a>>,
    risk: u32,
    mode: &'static str,
    /// Of the whole submission.
    facts: Cow<'a, SqlFacts>,
    /// Of each statement, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statements: Vec<Cow<'a, SqlFacts>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// Byte offset of the token at which the grammar stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_position: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    explanation: Vec<String>,
    /// The canonical form of each statement; `facts` have the digest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    canonical: Vec<&'a str>,
    /// The text that was judged, if the policy added conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    rewritten: Option<&'a str>,
}

/// A reason as JSON.
#[derive(Debug, Serialize)]
struct ReasonRecord<'a> {
    code: &'static str,
    category: &'static str,
    bucket: &'static str,
    /// What a client is told.
    text: String,
    message: String,
    suggestion: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl<'a> From<&'a Reason> for ReasonRecord<'a> {
    fn from(reason: &'a Reason) -> Self {
        Self {
            code: reason.code().as_str(),
            category: reason.category(),
            bucket: reason.bucket().as_str(),
            text: reason.to_string(),
            message: reason.message(),
            suggestion: reason.suggestion(),
            table: reason.table(),
            operation: reason.operation(),
            detail: reason.detail(),
        }
    }
}

/// Writes answers.
#[derive(Debug)]
pub(super) struct Writer<W: Write> {
    out: W,
    format: AnswerFormat,
    style: Style,
}

impl<W: Write> Writer<W> {
    /// A writer to `out`.
    pub(super) const fn new(out: W, format: AnswerFormat, style: Style) -> Self {
        Self { out, format, style }
    }

    /// A remark for people.
    pub(super) fn remark(&mut self, remark: &str) -> std::io::Result<()> {
        writeln!(self.out, "{}", self.style.paint(Color::Dim, remark))
    }

    /// Hands over what is buffered.
    pub(super) fn finish(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }

    /// Writes one answer.
    pub(super) fn write(
        &mut self,
        id: &Value,
        sql: &[u8],
        judgement: &Judgement,
    ) -> std::io::Result<()> {
        match self.format {
            AnswerFormat::Jsonl => self.json(id, judgement),
            AnswerFormat::Text => self.text(id, sql, judgement),
        }
    }

    fn json(&mut self, id: &Value, judgement: &Judgement) -> std::io::Result<()> {
        let mut statements = judgement.statements();
        if statements.len() == 1 {
            statements.clear();
        }
        let record = Record {
            id,
            decision: judgement.outcome.as_str(),
            reasons: judgement.reasons.iter().map(ReasonRecord::from).collect(),
            risk: judgement.risk,
            mode: judgement.mode.as_str(),
            facts: judgement.facts(),
            statements,
            error: judgement.analysis.error().map(|failure| failure.message.as_str()),
            error_position: judgement.analysis.error().and_then(|failure| failure.position),
            explanation: judgement.explanations.iter().map(ToString::to_string).collect(),
            canonical: judgement
                .analysis
                .statements()
                .iter()
                .filter_map(sql::Statement::canonical_form)
                .collect(),
            rewritten: judgement.rewritten.as_deref(),
        };
        serde_json::to_writer(&mut self.out, &record)?;
        self.out.write_all(b"\n")
    }

    fn text(&mut self, id: &Value, sql: &[u8], judgement: &Judgement) -> std::io::Result<()> {
        let color = match judgement.outcome {
            Outcome::Allow => Color::Green,
            Outcome::Hold(_) => Color::Yellow,
            Outcome::Deny => Color::Red,
        };
        let id = match id {
            Value::String(text) => text.clone(),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => id.to_string(),
        };
        writeln!(
            self.out,
            "{:<5} {}  {}",
            self.style.paint(color, judgement.outcome.as_str()),
            self.style.paint(Color::Dim, printable(&id)),
            excerpt(sql)
        )?;
        for reason in &judgement.reasons {
            writeln!(
                self.out,
                "      {}",
                self.style.paint(Color::Bold, printable(&reason.to_string()))
            )?;
            writeln!(self.out, "        {}", printable(&reason.message()))?;
            let hint = reason.suggestion();
            if !hint.is_empty() {
                writeln!(self.out, "        hint: {}", printable(&hint))?;
            }
        }
        if let Some(text) = &judgement.rewritten {
            writeln!(self.out, "      rewritten: {}", excerpt(text.as_bytes()))?;
        }
        if judgement.mode == Mode::Observe && judgement.outcome != Outcome::Allow {
            let remark = "the policy only observes here: the door would forward it all the same";
            writeln!(self.out, "      {}", self.style.paint(Color::Yellow, remark))?;
        }
        if let Some(failure) = judgement.analysis.error() {
            writeln!(self.out, "      parser: {}", printable(&failure.message))?;
            let rest = failure.position.and_then(|at| sql.get(at..));
            if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
                writeln!(self.out, "      there:  {}", excerpt(rest))?;
            }
        }
        for (index, explanation) in judgement.explanations.iter().enumerate() {
            writeln!(self.out, "      statement {}", index + 1)?;
            for line in explanation.to_string().lines() {
                writeln!(self.out, "        {}", printable(line))?;
            }
        }
        Ok(())
    }
}

/// The beginning of a statement, in one line that cannot steer a terminal.
fn excerpt(sql: &[u8]) -> String {
    let Some(text) = sql.utf8_chunks().next().map(|chunk| chunk.valid()) else {
        return "(nothing)".to_owned();
    };
    let mut shown = String::new();
    for (index, word) in text.split_whitespace().enumerate() {
        if index > 0 {
            shown.push(' ');
        }
        shown.push_str(word);
        if shown.chars().count() > limits::MAX_SHOWN_STATEMENT {
            break;
        }
    }
    let mut cut: String = shown.chars().take(limits::MAX_SHOWN_STATEMENT).collect();
    if cut.len() < shown.len() || text.len() < sql.len() {
        cut.push('…');
    }
    printable(&cut).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_shown_in_one_bounded_line() {
        assert_eq!(excerpt(b"SELECT\n  1"), "SELECT 1");
        assert_eq!(excerpt(b""), "(nothing)");
        assert_eq!(excerpt(b"SELECT '\xff'"), "SELECT '…");
        assert_eq!(excerpt(b"SELECT '\x1b[2J'"), "SELECT '\\u{1b}[2J'");
        assert_eq!(excerpt("x".repeat(500).as_bytes()).chars().count(), 121);
    }
}
