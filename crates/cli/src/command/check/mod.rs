//! `check`: judges statements against a policy, without a database.
//!
//! The same analysis and the same policy as at the door; nothing is forwarded and nothing
//! recorded. [`question`] reads, [`judge`] judges, [`answer`] writes.

mod answer;
mod judge;
mod question;

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, bail};
use model::SERVER_MAJORS;
use sql::catalog::Catalog;

use super::{Answer, Surroundings};
use crate::args::{AnswerFormat, CheckArgs, QuestionFormat};
use crate::config::value;
use crate::output::{self, printable};
use crate::{catalog_file, limits, policy_file, reading};

use answer::Writer;
use judge::{Database, Judge};
use question::{Line, Who, read_line};

/// Runs it.
pub(crate) fn run(args: &CheckArgs, surroundings: &Surroundings) -> anyhow::Result<Answer> {
    let loaded = policy_file::load(&args.policy)?;
    let path = value::search_path(&args.who.search_path)
        .map_err(|expected| anyhow::anyhow!("--search-path: {expected}"))?;
    let catalog = match &args.catalog {
        Some(place) => Some(catalog_file::load(place, &surroundings.environment)?),
        None => None,
    };
    let user = args.who.user.as_deref();
    let database = database(args.server_version, catalog.as_ref())?;
    let judge = Judge::new(&loaded.policy, path, user, database).explaining(args.explain);
    let mut check = Check {
        who: Who::of(&args.who),
        judge,
        writer: Writer::new(output::stdout(), args.format, surroundings.style),
        answer: Answer::Clean,
    };
    if args.who.agent.is_none() && args.format == AnswerFormat::Text {
        check.writer.remark("no --agent: whoever asks is unidentified")?;
    }
    check.all(args)?;
    check.writer.finish()?;
    Ok(check.answer)
}

/// The version is the catalog's where there is one; two that differ would leave one unjudged.
fn database(given: Option<u16>, catalog: Option<&Catalog>) -> anyhow::Result<Database<'_>> {
    let server_major = match (given, catalog.map(Catalog::major)) {
        (Some(given), Some(major)) if given != major => {
            bail!("the catalog is of PostgreSQL {major}, and --server-version says {given}")
        }
        (_, Some(major)) => major,
        (Some(given), None) => given,
        (None, None) => *SERVER_MAJORS.end(),
    };
    Ok(Database { catalog, server_major })
}

/// A check under way.
struct Check<'a, W: Write> {
    who: Who,
    judge: Judge<'a>,
    writer: Writer<W>,
    answer: Answer,
}

impl<W: Write> Check<'_, W> {
    fn all(&mut self, args: &CheckArgs) -> anyhow::Result<()> {
        if let Some(sql) = &args.sql {
            return self.text("-c", sql.as_bytes());
        }
        if args.sources.is_empty() {
            if io::stdin().is_terminal() {
                output::complain("reading from standard input until Ctrl-D");
            }
            return self.source("standard input", io::stdin().lock(), args.input);
        }
        for source in &args.sources {
            if let Some(sql) = as_statement(source) {
                self.text("argument", sql.as_bytes())?;
                continue;
            }
            let name = source.display().to_string();
            let file = File::open(source).with_context(|| format!("cannot read `{name}`"))?;
            let by_name = source.extension().map(|extension| {
                if extension == "jsonl" { QuestionFormat::Jsonl } else { QuestionFormat::Sql }
            });
            self.source(&name, BufReader::with_capacity(1 << 16, file), args.input.or(by_name))
                .with_context(|| format!("`{name}`"))?;
        }
        Ok(())
    }

    fn source(
        &mut self,
        name: &str,
        mut source: impl BufRead,
        format: Option<QuestionFormat>,
    ) -> anyhow::Result<()> {
        let format = match format {
            Some(format) => format,
            None if starts_with_brace(&mut source)? => QuestionFormat::Jsonl,
            None => QuestionFormat::Sql,
        };
        match format {
            QuestionFormat::Jsonl => self.lines(name, source),
            QuestionFormat::Sql => {
                let text = reading::all(source, limits::MAX_SUBMISSION_BYTES)?;
                self.text(name, &text)
            }
        }
    }

    fn text(&mut self, name: &str, text: &[u8]) -> anyhow::Result<()> {
        let judgement = self.judge.judge(text, self.who.principal());
        self.answer = self.answer.and(judgement.answer());
        self.writer.write(&name.into(), text, &judgement)?;
        Ok(())
    }

    fn lines(&mut self, name: &str, mut source: impl BufRead) -> anyhow::Result<()> {
        let mut buffer = Vec::new();
        let mut number: u64 = 0;
        loop {
            number += 1;
            match read_line(&mut source, &mut buffer)? {
                Line::End => return Ok(()),
                Line::Blank => {}
                Line::TooLong => self.bad_line(name, number, "the line is too long"),
                Line::Text(line) => match question::parse(line) {
                    Ok(question) => {
                        let principal = self.who.asking(&question);
                        let judgement = self.judge.judge(question.sql.as_bytes(), principal);
                        self.answer = self.answer.and(judgement.answer());
                        let id = question.id.unwrap_or_else(|| number.into());
                        self.writer.write(&id, question.sql.as_bytes(), &judgement)?;
                    }
                    Err(error) => self.bad_line(name, number, &error.to_string()),
                },
            }
        }
    }

    /// A question that cannot be read is never an allowed one.
    fn bad_line(&mut self, name: &str, number: u64, problem: &str) {
        output::complain(format_args!("{name}:{number}: error: {}", printable(problem)));
        self.answer = Answer::Incomplete;
    }
}

/// A statement given where a file is expected: `portcullis check --policy p "SELECT 1"`.
fn as_statement(source: &Path) -> Option<&str> {
    let text = source.to_str()?;
    let looks_like = text.contains(|char: char| char.is_whitespace() || char == ';');
    // A file that is missing must not be judged by its name and found harmless.
    let named_like_a_file = source.extension().is_some_and(|extension| {
        ["sql", "jsonl", "json", "txt", "ndjson"].iter().any(|known| extension == *known)
    });
    let absent = matches!(source.try_exists(), Ok(false) | Err(_));
    (looks_like && absent && !named_like_a_file).then_some(text)
}

/// Whether the first byte that is not white space is a brace. Reads no further.
fn starts_with_brace(source: &mut impl BufRead) -> anyhow::Result<bool> {
    loop {
        let bytes = source.fill_buf()?;
        if bytes.is_empty() {
            return Ok(false);
        }
        let blank = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        if let Some(first) = bytes.get(blank) {
            return Ok(*first == b'{');
        }
        // White space alone: neither form minds losing it.
        source.consume(blank);
    }
}
