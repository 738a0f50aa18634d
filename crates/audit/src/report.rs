//! What agents did, out of a ledger: counts, tables, reasons, denied calls.
//!
//! A report does not verify the ledger, and repeats statements only as they were kept. Its text
//! form shows control characters escaped: what an agent wrote cannot act on a terminal.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;

use model::{Fact, SqlFacts, Stage};
use serde::Serialize;

use crate::reader::{Reader, StoredDecision, StoredRecord, StoredSettled};
use crate::{LedgerError, Mode, Timestamp, limits};

/// Which records a report is about.
#[derive(Debug, Clone, Default)]
pub struct ReportOptions {
    /// Only this session.
    pub session: Option<String>,
    /// Only this agent.
    pub agent: Option<String>,
    /// Only from this time on.
    pub since: Option<Timestamp>,
}

/// What was decided, how often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Decisions.
    pub total: u64,
    /// Allowed.
    pub allowed: u64,
    /// Denied, and refused.
    pub denied: u64,
    /// Held for an approval.
    pub held: u64,
    /// Denied or held, and forwarded all the same: observe mode.
    pub observed: u64,
}

/// What became of what was forwarded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Settlements {
    /// Completed by the server.
    pub completed: u64,
    /// Refused by the server.
    pub failed: u64,
    /// Skipped by the server after an earlier error, or lost with the connection.
    pub unfinished: u64,
    /// Rows, where the server said how many.
    pub rows: u64,
    /// Time between forwarding and the end, in milliseconds.
    pub elapsed_ms: f64,
}

/// What one agent did under one mission.
#[derive(Debug, Clone, Default, Serialize)]
pub struct AgentReport {
    /// The agent; `null` for connections that name none.
    pub agent: Option<String>,
    /// The mission, if one was named.
    pub mission: Option<String>,
    /// How its requests were decided.
    pub counts: Counts,
    /// The same by operation.
    pub operations: BTreeMap<String, Counts>,
    /// The same by table.
    pub tables: BTreeMap<String, Counts>,
    /// How often each reason was given.
    pub reasons: BTreeMap<String, u64>,
    /// Its sessions, counted up to a limit.
    pub sessions: u64,
    /// Its first request.
    pub first: Option<Timestamp>,
    /// Its last request.
    pub last: Option<Timestamp>,
    /// What became of what was forwarded.
    pub settled: Settlements,
    #[serde(skip)]
    session_ids: std::collections::BTreeSet<String>,
}

/// One denied or held request.
#[derive(Debug, Clone, Serialize)]
pub struct DeniedCall {
    /// Its record.
    pub record: String,
    /// When.
    pub ts: String,
    /// In which session.
    pub session: String,
    /// The agent.
    pub agent: Option<String>,
    /// The mission.
    pub mission: Option<String>,
    /// The operation.
    pub operation: String,
    /// `deny` or `hold`.
    pub decision: String,
    /// Whether it was forwarded all the same.
    pub mode: Mode,
    /// Codes of the reasons.
    pub reasons: Vec<String>,
    /// What the client was told.
    pub message: String,
    /// The statement, as it was kept.
    pub statement: Option<String>,
    /// Its SHA-256.
    pub statement_sha256: String,
}

/// Statements that differ in values alone.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StatementReport {
    /// Digest of their canonical form.
    pub digest: String,
    /// One of them, as it was kept.
    pub statement: Option<String>,
    /// The operation.
    pub operation: String,
    /// How they were decided: each is judged once or more, as the protocol has it.
    pub counts: Counts,
    /// The first of them.
    pub first: Option<Timestamp>,
    /// The last of them.
    pub last: Option<Timestamp>,
}

/// What agents did.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// `1`.
    pub schema_version: &'static str,
    /// The first record of the report.
    pub first: Option<Timestamp>,
    /// The last record of the report.
    pub last: Option<Timestamp>,
    /// All agents together.
    pub summary: Counts,
    /// All agents together.
    pub settled: Settlements,
    /// By agent and mission.
    pub agents: Vec<AgentReport>,
    /// Statements by their canonical form, the most frequent first.
    pub statements: Vec<StatementReport>,
    /// Denied and held requests, oldest first of each chain, up to a limit.
    pub denied_calls: Vec<DeniedCall>,
    /// How many more there are.
    pub denied_calls_left_out: u64,
    /// Digests of the policies that answered, and how often.
    pub policies: BTreeMap<String, u64>,
    /// Modes, and how often.
    pub modes: BTreeMap<&'static str, u64>,
    /// Unfinished records that were cut off after crashes.
    pub recoveries: u64,
}

/// Reports on a folder or one segment. Does not verify it.
pub fn report(path: &Path, options: &ReportOptions) -> Result<Report, LedgerError> {
    let mut collector = Collector::default();
    for record in Reader::open(path)? {
        match record? {
            StoredRecord::Decision(decision) => collector.decision(&decision, options),
            StoredRecord::Settled(settled) => collector.settled(&settled),
            StoredRecord::Other(other) if other.kind == "recovered" => collector.recoveries += 1,
            StoredRecord::Other(_) => {}
        }
    }
    Ok(collector.finish())
}

type AgentKey = (Option<String>, Option<String>);

/// What names beyond the limit are counted under.
const OTHERS: &str = "(others)";

/// The count of a name; whoever chooses the names cannot make the report endless.
fn count<V: Default>(counts: &mut BTreeMap<String, V>, name: String) -> &mut V {
    let known = counts.len() < limits::MAX_REPORTED_NAMES || counts.contains_key(&name);
    counts.entry(if known { name } else { OTHERS.to_owned() }).or_default()
}

#[derive(Default)]
struct Collector {
    agents: BTreeMap<AgentKey, AgentReport>,
    /// Which agent a settlement belongs to; entries go when it comes.
    open: BTreeMap<String, AgentKey>,
    statements: BTreeMap<String, StatementReport>,
    denied_calls: Vec<DeniedCall>,
    left_out: u64,
    policies: BTreeMap<String, u64>,
    modes: BTreeMap<&'static str, u64>,
    recoveries: u64,
}

impl Counts {
    fn add(&mut self, decision: &str, mode: Mode) {
        self.total += 1;
        match (decision, mode) {
            ("allow", Mode::Enforce | Mode::Observe) => self.allowed += 1,
            (_, Mode::Observe) => self.observed += 1,
            ("hold", Mode::Enforce) => self.held += 1,
            (_, Mode::Enforce) => self.denied += 1,
        }
    }

    fn join(&mut self, other: &Self) {
        self.total += other.total;
        self.allowed += other.allowed;
        self.denied += other.denied;
        self.held += other.held;
        self.observed += other.observed;
    }
}

impl Settlements {
    fn add(&mut self, settled: &StoredSettled) {
        match settled.outcome.as_str() {
            "completed" => self.completed += 1,
            "failed" => self.failed += 1,
            _ => self.unfinished += 1,
        }
        self.rows = self.rows.saturating_add(settled.rows.unwrap_or(0));
        self.elapsed_ms += settled.elapsed_us / 1000.0;
    }

    fn join(&mut self, other: &Self) {
        self.completed += other.completed;
        self.failed += other.failed;
        self.unfinished += other.unfinished;
        self.rows = self.rows.saturating_add(other.rows);
        self.elapsed_ms += other.elapsed_ms;
    }
}

impl ReportOptions {
    fn wants(&self, decision: &StoredDecision) -> bool {
        let session = self.session.as_ref().is_none_or(|session| *session == decision.session);
        let agent = self.agent.is_none() || self.agent == decision.principal.agent;
        session && agent && self.since.is_none_or(|since| decision.ts >= since)
    }
}

/// What a record is about; a connection is no statement.
fn operation(decision: &StoredDecision) -> String {
    match decision.stage {
        Stage::Startup => "CONNECT".to_owned(),
        Stage::Query | Stage::Parse | Stage::Bind | Stage::Execute | Stage::FunctionCall => {
            decision.facts.operation.name().to_owned()
        }
    }
}

/// The codes of its reasons, in order, each once.
fn codes(decision: &StoredDecision) -> Vec<String> {
    let mut codes: Vec<String> = Vec::new();
    for reason in &decision.reasons {
        if !codes.contains(&reason.code) {
            codes.push(reason.code.clone());
        }
    }
    codes
}

impl Collector {
    fn decision(&mut self, decision: &StoredDecision, options: &ReportOptions) {
        if !options.wants(decision) {
            return;
        }
        let key = self.key(decision);
        let forwarded = decision.decision == "allow" || decision.mode == Mode::Observe;
        if forwarded && self.open.len() < limits::MAX_UNSETTLED {
            self.open.insert(id(decision), key.clone());
        }
        let agent = self.agents.entry(key).or_default();
        agent.counts.add(&decision.decision, decision.mode);
        let operation = operation(decision);
        count(&mut agent.operations, operation).add(&decision.decision, decision.mode);
        for table in tables(&decision.facts) {
            count(&mut agent.tables, table).add(&decision.decision, decision.mode);
        }
        // A record counts once for each code, however many tables it is about.
        for code in codes(decision) {
            *count(&mut agent.reasons, code) += 1;
        }
        if agent.session_ids.len() < limits::MAX_REPORTED_NAMES {
            agent.session_ids.insert(decision.session.clone());
        }
        agent.first = Some(agent.first.map_or(decision.ts, |first| first.min(decision.ts)));
        agent.last = Some(agent.last.map_or(decision.ts, |last| last.max(decision.ts)));
        if let Some(digest) = &decision.facts.digest {
            self.statement(digest, decision);
        }
        *count(&mut self.policies, decision.policy.clone()) += 1;
        *self.modes.entry(decision.mode.as_str()).or_default() += 1;
        if decision.decision != "allow" {
            self.denied(decision);
        }
    }

    fn statement(&mut self, digest: &str, decision: &StoredDecision) {
        let group = count(&mut self.statements, digest.to_owned());
        group.counts.add(&decision.decision, decision.mode);
        group.first = Some(group.first.map_or(decision.ts, |first| first.min(decision.ts)));
        group.last = Some(group.last.map_or(decision.ts, |last| last.max(decision.ts)));
        if group.statement.is_none() {
            group.statement.clone_from(&decision.statement);
            group.operation = operation(decision);
        }
    }

    fn key(&self, decision: &StoredDecision) -> AgentKey {
        let key = (decision.principal.agent.clone(), decision.principal.mission.clone());
        let known =
            self.agents.len() < limits::MAX_REPORTED_NAMES || self.agents.contains_key(&key);
        if known { key } else { (Some(OTHERS.to_owned()), None) }
    }

    fn denied(&mut self, decision: &StoredDecision) {
        if self.denied_calls.len() >= limits::MAX_LISTED_DENIALS {
            self.left_out += 1;
            return;
        }
        self.denied_calls.push(DeniedCall {
            record: id(decision),
            ts: decision.ts.to_string(),
            session: decision.session.clone(),
            agent: decision.principal.agent.clone(),
            mission: decision.principal.mission.clone(),
            operation: operation(decision),
            decision: decision.decision.clone(),
            mode: decision.mode,
            reasons: codes(decision),
            message: decision.reasons.first().map_or_else(String::new, |r| r.message.clone()),
            statement: decision.statement.clone(),
            statement_sha256: decision.statement_sha256.clone(),
        });
    }

    fn settled(&mut self, settled: &StoredSettled) {
        let agent = self.open.remove(&settled.record).and_then(|key| self.agents.get_mut(&key));
        if let Some(agent) = agent {
            agent.settled.add(settled);
        }
    }

    fn finish(self) -> Report {
        let mut report = Report {
            schema_version: "1",
            first: self.agents.values().filter_map(|agent| agent.first).min(),
            last: self.agents.values().filter_map(|agent| agent.last).max(),
            summary: Counts::default(),
            settled: Settlements::default(),
            agents: Vec::with_capacity(self.agents.len()),
            statements: frequent(self.statements),
            denied_calls: self.denied_calls,
            denied_calls_left_out: self.left_out,
            policies: self.policies,
            modes: self.modes,
            recoveries: self.recoveries,
        };
        for ((name, mission), mut agent) in self.agents {
            report.summary.join(&agent.counts);
            report.settled.join(&agent.settled);
            agent.sessions = u64::try_from(agent.session_ids.len()).unwrap_or(u64::MAX);
            report.agents.push(AgentReport { agent: name, mission, ..agent });
        }
        report
    }
}

/// The most frequent first.
fn frequent(groups: BTreeMap<String, StatementReport>) -> Vec<StatementReport> {
    let mut list: Vec<StatementReport> =
        groups.into_iter().map(|(digest, group)| StatementReport { digest, ..group }).collect();
    list.sort_by_key(|group| std::cmp::Reverse(group.counts.total));
    list
}

fn id(decision: &StoredDecision) -> String {
    decision.id.map_or_else(String::new, |id| id.to_string())
}

/// Each table once, however often the statement names it.
fn tables(facts: &SqlFacts) -> Vec<String> {
    match &facts.relations {
        Fact::Known(relations) => {
            let mut names: Vec<_> =
                relations.iter().map(|usage| usage.relation.to_string()).collect();
            names.sort_unstable();
            names.dedup();
            names
        }
        Fact::Unknown(_) => vec!["(unknown)".to_owned()],
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return f.write_str("no decisions\n");
        };
        writeln!(f, "from {first} to {last}")?;
        self.summary_lines(f)?;
        for agent in &self.agents {
            agent.lines(f)?;
        }
        self.statement_lines(f)?;
        self.denied_lines(f)
    }
}

impl Report {
    fn summary_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { total, allowed, denied, held, observed } = self.summary;
        writeln!(
            f,
            "{total} decisions: {allowed} allowed, {denied} denied, {held} held, \
             {observed} observed (would have been denied or held)"
        )?;
        let Settlements { completed, failed, unfinished, rows, elapsed_ms } = self.settled;
        writeln!(
            f,
            "{completed} completed, {failed} failed, {unfinished} unfinished; {rows} rows, \
             {elapsed_ms:.1} ms"
        )?;
        for (policy, times) in &self.policies {
            writeln!(f, "policy {} answered {times}", Shown(policy))?;
        }
        for (mode, times) in &self.modes {
            writeln!(f, "mode {mode}: {times}")?;
        }
        if self.recoveries > 0 {
            writeln!(f, "{} recoveries after a crash", self.recoveries)?;
        }
        Ok(())
    }

    /// The most frequent statements; JSON has all.
    fn statement_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.statements.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nstatements, by canonical form: {}", self.statements.len())?;
        for group in self.statements.iter().take(limits::MAX_SHOWN_STATEMENTS) {
            let Counts { allowed, denied, held, observed, .. } = group.counts;
            write!(f, "  {allowed:>7} allowed {:>7} denied", denied + held)?;
            if observed > 0 {
                write!(f, " {observed:>7} observed")?;
            }
            let shown = group.statement.as_deref().unwrap_or(&group.operation);
            let line: String = shown.split_whitespace().collect::<Vec<_>>().join(" ");
            let cut: String = line.chars().take(limits::MAX_SHOWN_CHARACTERS).collect();
            writeln!(f, "  {}  {}", Shown(&group.digest), Shown(&cut))?;
        }
        Ok(())
    }

    fn denied_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.denied_calls.is_empty() {
            return Ok(());
        }
        f.write_str("\ndenied and held\n")?;
        for call in &self.denied_calls {
            let who = label(call.agent.as_deref(), call.mission.as_deref());
            let forwarded = if call.mode == Mode::Observe { " (forwarded: observe)" } else { "" };
            writeln!(
                f,
                "  {}  {}  {}  {} {}{forwarded}",
                call.ts,
                call.record,
                Shown(&who),
                Shown(&call.decision),
                Shown(&call.operation)
            )?;
            writeln!(f, "    {}: {}", Shown(&call.reasons.join(", ")), Shown(&call.message))?;
            match &call.statement {
                Some(statement) => writeln!(f, "    {}", Shown(statement))?,
                None => writeln!(f, "    sha256 {}", Shown(&call.statement_sha256))?,
            }
        }
        if self.denied_calls_left_out > 0 {
            writeln!(f, "  and {} more", self.denied_calls_left_out)?;
        }
        Ok(())
    }
}

fn label(agent: Option<&str>, mission: Option<&str>) -> String {
    match (agent, mission) {
        (Some(agent), Some(mission)) => format!("{agent}/{mission}"),
        (Some(agent), None) => agent.to_owned(),
        (None, Some(_) | None) => "unidentified".to_owned(),
    }
}

impl AgentReport {
    fn lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = label(self.agent.as_deref(), self.mission.as_deref());
        writeln!(f, "\n{} ({} sessions)", Shown(&who), self.sessions)?;
        let Settlements { completed, failed, unfinished, rows, elapsed_ms } = self.settled;
        if completed + failed + unfinished > 0 {
            writeln!(
                f,
                "  {completed} completed, {failed} failed, {unfinished} unfinished; {rows} rows, \
                 {elapsed_ms:.1} ms"
            )?;
        }
        table(f, "operation", &self.operations)?;
        table(f, "table", &self.tables)?;
        let mut reasons: Vec<_> = self.reasons.iter().collect();
        reasons.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
        for (code, times) in reasons {
            writeln!(f, "  reason {}: {times}", Shown(code))?;
        }
        Ok(())
    }
}

/// Names to the left, numbers to the right.
fn table(f: &mut fmt::Formatter<'_>, title: &str, rows: &BTreeMap<String, Counts>) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = rows.keys().map(|name| Shown(name).to_string()).collect();
    let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let width = widest.max(title.len());
    writeln!(
        f,
        "  {title:<width$} {:>9} {:>9} {:>9} {:>9}",
        "allowed", "denied", "held", "observed"
    )?;
    for (name, counts) in names.iter().zip(rows.values()) {
        let Counts { allowed, denied, held, observed, .. } = counts;
        writeln!(f, "  {name:<width$} {allowed:>9} {denied:>9} {held:>9} {observed:>9}")?;
    }
    Ok(())
}

/// Text from outside on one line: control, format and direction characters are escaped.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            let hidden = c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
                || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
            if hidden {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use model::{Principal, Unknown};

    use super::*;
    use crate::testing::{Folder, Sample};
    use crate::{Entry, Ledger, Settled, SettledOutcome};

    fn ledger() -> Folder {
        let folder = Folder::new();
        let ledger = Ledger::open(folder.config()).unwrap();
        let users = Sample::new("users");
        let mut other = Sample::new("feedback");
        other.principal = Principal::unidentified();
        other.session = "s-2".to_owned();
        other.statement = b"select '\x1b[2J\xe2\x80\xae'".to_vec();
        let mut opaque = Sample::new("x");
        opaque.facts = SqlFacts::unknown(Unknown::OpaqueCode);
        let observed = Entry { mode: Mode::Observe, ..users.denied() };
        let held = Entry { decision: "hold", ..opaque.denied() };
        let entries = [users.allowed(), users.denied(), observed, held, other.denied()];
        let receipt = ledger.append(&entries).unwrap();
        for (position, rows) in [(0, 5), (2, 1), (1, 100)] {
            let outcome = SettledOutcome::Completed { rows: Some(rows) };
            let record = receipt.id(position);
            let settled = Settled { record, session: "s-1", outcome, elapsed_ns: 2_000_000 };
            ledger.settle(&[settled]).unwrap();
        }
        ledger.close().unwrap();
        folder
    }

    #[test]
    fn a_report_counts_by_agent_operation_and_table() {
        let folder = ledger();
        let report = report(&folder.ledger(), &ReportOptions::default()).unwrap();
        assert_eq!(
            report.summary,
            Counts { total: 5, allowed: 1, denied: 2, held: 1, observed: 1 }
        );
        // What was refused cannot have ended.
        assert_eq!((report.settled.completed, report.settled.rows), (2, 6));
        assert!((report.settled.elapsed_ms - 4.0).abs() < 1e-9);
        assert_eq!(report.agents.len(), 2);
        let agent = report.agents.iter().find(|agent| agent.agent.is_some()).unwrap();
        assert_eq!(agent.mission.as_deref(), Some("summarize"));
        assert_eq!(agent.tables["public.users"].total, 3);
        assert_eq!(agent.tables["(unknown)"].held, 1);
        assert_eq!(agent.operations["UNKNOWN"].held, 1);
        assert_eq!(agent.reasons["table_not_in_mission"], 3);
        assert_eq!(report.denied_calls.len(), 4);
        assert_eq!(report.modes["observe"], 1);
        assert_eq!(report.policies["sha256:00"], 5);
    }

    #[test]
    fn a_report_can_be_narrowed() {
        let folder = ledger();
        let count = |options: ReportOptions| report(&folder.ledger(), &options).unwrap().summary;
        let agent = Some("cursor-ai".to_owned());
        assert_eq!(count(ReportOptions { agent, ..ReportOptions::default() }).total, 4);
        let session = Some("s-2".to_owned());
        assert_eq!(count(ReportOptions { session, ..ReportOptions::default() }).total, 1);
        let since = Timestamp::parse("2100-01-01T00:00:00Z");
        assert_eq!(count(ReportOptions { since, ..ReportOptions::default() }).total, 0);
    }

    #[test]
    fn the_text_of_a_report_cannot_act_on_a_terminal() {
        let folder = ledger();
        let report = report(&folder.ledger(), &ReportOptions::default()).unwrap();
        let text = report.to_string();
        assert!(text.contains("\\u{1b}[2J\\u{202e}"), "{text}");
        assert!(!text.contains(['\x1b', '\u{202e}']));
        assert!(text.contains("cursor-ai/summarize (1 sessions)"), "{text}");
        assert!(text.contains("unidentified"), "{text}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["schema_version"], "1");
        assert!(json["first"].as_str().unwrap().starts_with("2026-"));
    }

    #[test]
    fn an_empty_ledger_has_a_report() {
        let folder = Folder::new();
        Ledger::open(folder.config()).unwrap().close().unwrap();
        let report = report(&folder.ledger(), &ReportOptions::default()).unwrap();
        assert_eq!(report.to_string(), "no decisions\n");
    }
}
