//! The session's state machine: what a client message may rely on, and what an upstream message
//! answers.
//!
//! Invariants:
//! - [`Passive`] and [`StandIn`] are made here only; neither can carry or start a statement.
//! - A stand-in always raises an error, so what follows it up to the next Sync is never run; it is
//!   not even forwarded.
//! - An upstream message that does not fit the head of the queue is a violation: we would no
//!   longer know what the names mean.
//!
//! Facts about the server that this rests on stand in `docs/concepts/refusals.md`.

use std::collections::VecDeque;

use crate::error::ErrorFields;
use crate::frame::{UpstreamTag, Violation};
use crate::limits::{MAX_NAMES, MAX_PENDING_NAMES, MAX_UNANSWERED};
use crate::message::NameKind;
use crate::names::{Change, Definition, Lookup, Names};
pub use crate::order::Effects;
use crate::order::{Completed, Entry, Kind, Outcome, Place, Settlement, Ticket, rows};

/// Transaction status, from `ReadyForQuery`: the only truth about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not in a transaction.
    Idle,
    /// In one.
    Transaction,
    /// In a failed one.
    Failed,
}

/// A client frame that can neither carry nor start a statement.
#[derive(Debug, Clone, Copy)]
pub struct Passive<'a> {
    bytes: &'a [u8],
}

impl<'a> Passive<'a> {
    /// The bytes to send.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// A constant frame that makes the server raise an error where a refused message stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandIn(Frame);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    Query,
    UnnamedParse,
    NamedParse,
    FunctionCall,
}

impl StandIn {
    /// The bytes to send. There is nothing of the client's in them.
    pub const fn bytes(self) -> &'static [u8] {
        match self.0 {
            Frame::Query => b"Q\0\0\0\x23SELECT \"refused by portcullis\"\0",
            Frame::UnnamedParse => b"P\0\0\0\x26\0SELECT \"refused by portcullis\"\0\0\0",
            Frame::NamedParse => {
                b"P\0\0\0\x38portcullis_refused\0SELECT \"refused by portcullis\"\0\0\0"
            }
            Frame::FunctionCall => b"F\0\0\0\x0e\0\0\0\0\0\0\0\0\0\0",
        }
    }
}

/// A message that was cleared and is on its way.
#[derive(Debug)]
pub enum Submitted<'a, D> {
    /// A simple query, with the effects of each of its statements (none at all: an empty list).
    Query(Vec<Effects<D>>),
    /// A Parse.
    Parse(&'a [u8], D),
    /// A Bind.
    Bind(&'a [u8], D),
    /// An Execute, with what the statement does to names.
    Execute(Effects<D>),
    /// A `FunctionCall`.
    FunctionCall,
}

/// A message that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A simple query.
    Query,
    /// A Parse of the unnamed statement.
    UnnamedParse,
    /// A named Parse, Bind, Execute, Describe or Close.
    Extended,
    /// A `FunctionCall`.
    FunctionCall,
}

/// What to do with an upstream frame.
#[derive(Debug, PartialEq, Eq)]
pub enum UpstreamStep<R> {
    /// Hand it on as it is.
    Relay,
    /// Hand on this refusal's error in its place.
    Replace(R),
}

/// One session's protocol state. `D` is what the judge attaches to a name, `R` a refusal.
#[derive(Debug)]
pub struct Protocol<D, R> {
    queue: VecDeque<Entry<R>>,
    /// Effects of SQL statements on names, applied when the statement completes.
    effects: VecDeque<(u64, Vec<Effects<D>>)>,
    statements: Names<D>,
    portals: Names<D>,
    settled: Vec<Settlement>,
    completed: Vec<Completed>,
    next: u64,
    group: u64,
    /// The last entry that ended a group.
    last_end: u64,
    skipping: bool,
    /// Whether COPY data was sent since the last COPY was asked for.
    copy_data: bool,
    status: Status,
}

impl<D, R> Default for Protocol<D, R> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            effects: VecDeque::new(),
            statements: Names::new(),
            portals: Names::new(),
            settled: Vec::new(),
            completed: Vec::new(),
            next: 1,
            group: 0,
            last_end: 0,
            skipping: false,
            copy_data: false,
            status: Status::Idle,
        }
    }
}

impl<D, R> Protocol<D, R> {
    /// Whether the server is known to ignore everything up to the next Sync.
    pub const fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// Transaction status as of the last `ReadyForQuery`.
    pub const fn status(&self) -> Status {
        self.status
    }

    /// The group that the client's next message belongs to: what a Sync or a simple query ends. If
    /// a message of a group fails, the server runs none after it.
    pub const fn group(&self) -> u64 {
        self.group
    }

    /// Whether a group before this one is not answered to its end: its transaction may have failed.
    pub fn awaits_earlier(&self) -> bool {
        self.queue.front().is_some_and(|entry| entry.id <= self.last_end)
    }

    /// Whether nothing is unanswered.
    pub fn is_quiet(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the session may hold no more names or unanswered messages.
    pub fn is_full(&self) -> bool {
        self.statements.len() + self.portals.len() >= MAX_NAMES
            || self.queue.len() >= MAX_UNANSWERED
    }

    /// Whether so many names wait for answers that the next ones have to wait, too. The server
    /// keeps back what fits its buffer (8 KiB, and no answer is below 5 bytes), so it does end.
    pub fn is_crowded(&self) -> bool {
        self.statements.pending() + self.portals.pending() >= MAX_PENDING_NAMES
    }

    /// Whether a client in COPY sends one Sync after another: each may stay without an answer.
    pub fn is_copy_flooded(&self) -> bool {
        self.queue.len() >= MAX_PENDING_NAMES && self.copy_is_open()
    }

    /// What a name stands for, for a message that the client sends now.
    pub fn lookup(&self, kind: NameKind, name: &[u8]) -> Lookup<'_, D> {
        match kind {
            NameKind::Statement => self.statements.lookup(name, self.group),
            NameKind::Portal => self.portals.lookup(name, self.group),
        }
    }

    /// Ends of cleared submissions since the last call.
    pub fn settled(&mut self) -> std::vec::Drain<'_, Settlement> {
        self.settled.drain(..)
    }

    /// The submission that the server answers now.
    pub fn answered_now(&mut self) -> Option<Ticket> {
        self.head().ok().and_then(|entry| entry.ticket)
    }

    /// Statements completed since the last call, in order.
    pub fn completed(&mut self) -> std::vec::Drain<'_, Completed> {
        self.completed.drain(..)
    }

    /// Whether [`Protocol::settled`] has something.
    pub fn has_settled(&self) -> bool {
        !self.settled.is_empty()
    }

    fn enter(&mut self, ticket: Option<Ticket>, kind: Kind<R>) -> u64 {
        if matches!(kind, Kind::Query { .. } | Kind::Execute { .. }) {
            self.copy_data = false;
        }
        let id = self.next;
        if ends_group(&kind) {
            self.last_end = id;
        }
        self.next += 1;
        self.queue.push_back(Entry { id, ticket, kind });
        id
    }

    /// A Sync: ends a group. It commits, and is passive all the same.
    pub fn sync<'a>(&mut self, frame: &'a [u8]) -> Passive<'a> {
        self.skipping = false;
        let open = self.copy_is_open();
        if open && !self.copy_data {
            // The server waits for data, so it swallows this. After data that it may not have
            // liked, nobody knows.
            return Passive { bytes: frame };
        }
        self.enter(None, Kind::Sync { maybe_swallowed: open });
        self.group += 1;
        Passive { bytes: frame }
    }

    /// COPY data.
    pub fn copy_data<'a>(&mut self, frame: &'a [u8]) -> Passive<'a> {
        self.copy_data = true;
        let marked = matches!(self.queue.back(), Some(Entry { kind: Kind::CopyMark, .. }));
        if !marked && !self.queue.is_empty() {
            self.enter(None, Kind::CopyMark);
        }
        Passive { bytes: frame }
    }

    /// Flush, Terminate: no answer of their own.
    pub fn unanswered<'a>(&self, frame: &'a [u8]) -> Passive<'a> {
        Passive { bytes: frame }
    }

    /// `CopyDone` or `CopyFail`.
    pub fn copy_end<'a>(&mut self, frame: &'a [u8]) -> Passive<'a> {
        self.enter(None, Kind::CopyEnd);
        Passive { bytes: frame }
    }

    /// A Describe of a name that stands for something cleared: analyses, runs nothing.
    pub fn describe<'a>(&mut self, frame: &'a [u8], ticket: Option<Ticket>) -> Passive<'a> {
        self.enter(ticket, Kind::Describe);
        Passive { bytes: frame }
    }

    /// A Close: the server answers it whether or not the name exists.
    pub fn close<'a>(&mut self, kind: NameKind, name: &[u8], frame: &'a [u8]) -> Passive<'a> {
        let id = self.enter(None, Kind::Close);
        let change = Change::Remove(name.into());
        match kind {
            NameKind::Statement => self.statements.push(id, self.group, change),
            NameKind::Portal => self.portals.push(id, self.group, change),
        }
        Passive { bytes: frame }
    }

    /// A cleared message is on its way.
    pub fn submitted(&mut self, message: Submitted<'_, D>, ticket: Option<Ticket>) {
        match message {
            Submitted::Query(effects) => self.submit_query(effects, ticket),
            Submitted::Parse(name, value) => {
                let id = self.enter(ticket, Kind::Parse { unnamed: name.is_empty() });
                let change = Change::Define(name.into(), Definition { value, holds: true });
                self.statements.push(id, self.group, change);
            }
            Submitted::Bind(name, value) => {
                let id = self.enter(ticket, Kind::Bind);
                let change = Change::Define(name.into(), Definition { value, holds: false });
                self.portals.push(id, self.group, change);
            }
            Submitted::Execute(effects) => {
                let id = self.enter(ticket, Kind::Execute { copy: false });
                for change in effects.statements {
                    self.statements.push(id, self.group, change);
                }
                for change in effects.portals {
                    self.portals.push(id, self.group, change);
                }
            }
            Submitted::FunctionCall => {
                self.enter(ticket, Kind::FunctionCall);
                self.group += 1;
            }
        }
    }

    fn submit_query(&mut self, effects: Vec<Effects<D>>, ticket: Option<Ticket>) {
        let id = self
            .enter(ticket, Kind::Query { statement: 0, rows: None, copy: false, failed: false });
        self.forget_unnamed_statement(id);
        // Each statement runs in the unnamed portal; where there is none, the old one stays.
        if !effects.is_empty() {
            self.portals.push(id, self.group, Change::Remove(Box::default()));
        }
        // Some of several statements may run and the rest fail: each effect is applied when its
        // statement completes, and whoever asks for a name meanwhile waits.
        if effects.iter().any(|each| !each.statements.is_empty()) {
            self.statements.mark(id, self.group);
        }
        if effects.iter().any(|each| !each.portals.is_empty()) {
            self.portals.mark(id, self.group);
        }
        if effects.iter().any(|each| !each.is_empty()) {
            self.effects.push_back((id, effects));
        }
        self.group += 1;
    }

    /// A simple query destroys the unnamed statement, whatever becomes of it.
    fn forget_unnamed_statement(&mut self, id: u64) {
        self.statements.push(id, self.group, Change::Remove(Box::default()));
    }

    /// A message was refused: what to send in its place. In a failed transaction the client is
    /// told of that instead, like after any ordinary statement.
    pub fn refused(&mut self, message: Refused, refusal: R) -> StandIn {
        self.stand_in(message, refusal, false)
    }

    /// Like [`Protocol::refused`], for what the server itself refuses before it looks at the
    /// transaction: bad layout, and names that stand for nothing.
    pub fn refused_at_once(&mut self, message: Refused, refusal: R) -> StandIn {
        self.stand_in(message, refusal, true)
    }

    fn stand_in(&mut self, message: Refused, refusal: R, at_once: bool) -> StandIn {
        let (place, frame) = match message {
            Refused::Query => (Place::Query, Frame::Query),
            Refused::UnnamedParse => (Place::UnnamedParse, Frame::UnnamedParse),
            Refused::Extended => (Place::Extended, Frame::NamedParse),
            Refused::FunctionCall => (Place::FunctionCall, Frame::FunctionCall),
        };
        let id = self.enter(None, Kind::StandIn { of: place, refusal: Some(refusal), at_once });
        match place {
            Place::Query => {
                self.forget_unnamed_statement(id);
                self.group += 1;
            }
            Place::FunctionCall => self.group += 1,
            Place::UnnamedParse => {
                self.statements.push(id, self.group, Change::Remove(Box::default()));
                self.skipping = true;
            }
            Place::Extended => self.skipping = true,
        }
        StandIn(frame)
    }

    /// An upstream frame: its tag and the beginning of its body
    /// ([`UPSTREAM_PREFIX_BYTES`](crate::limits::UPSTREAM_PREFIX_BYTES) or all of it).
    ///
    /// # Errors
    /// A violation, if it answers nothing that was asked.
    pub fn upstream(
        &mut self,
        tag: UpstreamTag,
        body: &[u8],
    ) -> Result<UpstreamStep<R>, Violation> {
        match tag {
            UpstreamTag::Notice | UpstreamTag::Notification | UpstreamTag::ParameterStatus => {
                return Ok(UpstreamStep::Relay);
            }
            UpstreamTag::Error => return Ok(self.on_error(body)),
            UpstreamTag::Ready => self.on_ready(body)?,
            UpstreamTag::DataRow
            | UpstreamTag::CopyData
            | UpstreamTag::CopyDone
            | UpstreamTag::CopyOut => self.running()?,
            UpstreamTag::ParseComplete
            | UpstreamTag::BindComplete
            | UpstreamTag::CloseComplete
            | UpstreamTag::NoData => self.on_complete(tag)?,
            UpstreamTag::ParameterDescription => {
                ensure(matches!(self.head()?.kind, Kind::Describe))?;
            }
            UpstreamTag::RowDescription => {
                if matches!(self.head()?.kind, Kind::Describe) {
                    self.finish_head(Outcome::Completed { rows: None });
                } else {
                    ensure(matches!(self.head()?.kind, Kind::Query { .. }))?;
                }
            }
            UpstreamTag::CommandComplete | UpstreamTag::EmptyQuery => {
                self.note_completed(body);
                self.on_command(rows(body))?;
            }
            UpstreamTag::PortalSuspended => {
                ensure(matches!(self.head()?.kind, Kind::Execute { .. }))?;
                self.finish_head(Outcome::Suspended);
            }
            UpstreamTag::FunctionResult => {
                ensure(matches!(self.head()?.kind, Kind::FunctionCall))?;
            }
            UpstreamTag::CopyIn => self.on_copy_in()?,
            UpstreamTag::Authentication
            | UpstreamTag::BackendKeyData
            | UpstreamTag::NegotiateVersion
            | UpstreamTag::CopyBoth => return Err(UNEXPECTED),
        }
        Ok(UpstreamStep::Relay)
    }

    fn copy_is_open(&self) -> bool {
        let open = matches!(
            self.queue.front().map(|entry| &entry.kind),
            Some(Kind::Query { copy: true, .. } | Kind::Execute { copy: true, .. })
        );
        open && !self.queue.iter().any(|entry| matches!(entry.kind, Kind::CopyEnd))
    }

    /// The entry that the server answers now.
    fn head(&mut self) -> Result<&mut Entry<R>, Violation> {
        // COPY ended in an error: its end has no answer, and a Sync inside may have none.
        while matches!(
            self.queue.front().map(|entry| &entry.kind),
            Some(Kind::CopyEnd | Kind::CopyMark | Kind::Sync { maybe_swallowed: true })
        ) {
            self.queue.pop_front();
        }
        self.queue.front_mut().ok_or(UNEXPECTED)
    }

    /// An answer came that may belong to this Sync or to the next one: then that one may get none.
    fn doubt_next_sync(&mut self) {
        let passes = |entry: &&mut Entry<R>| matches!(entry.kind, Kind::CopyEnd | Kind::CopyMark);
        let next = self.queue.iter_mut().find(|entry| !passes(entry));
        if let Some(Entry { kind: Kind::Sync { maybe_swallowed }, .. }) = next {
            *maybe_swallowed = true;
        }
    }

    fn running(&mut self) -> Result<(), Violation> {
        ensure(matches!(self.head()?.kind, Kind::Query { .. } | Kind::Execute { .. }))
    }

    fn on_complete(&mut self, tag: UpstreamTag) -> Result<(), Violation> {
        // A stand-in that was not refused ends the session here, too.
        ensure(matches!(
            (&self.head()?.kind, tag),
            (Kind::Parse { .. }, UpstreamTag::ParseComplete)
                | (Kind::Bind, UpstreamTag::BindComplete)
                | (Kind::Close, UpstreamTag::CloseComplete)
                | (Kind::Describe, UpstreamTag::NoData)
        ))?;
        self.finish_head(Outcome::Completed { rows: None });
        Ok(())
    }

    fn note_completed(&mut self, tag: &[u8]) {
        if let Ok(Entry { ticket: Some(ticket), .. }) = self.head() {
            let ticket = *ticket;
            let rolled_back = tag == b"ROLLBACK\0";
            self.completed.push(Completed { ticket, rolled_back });
        }
    }

    fn on_command(&mut self, count: Option<u64>) -> Result<(), Violation> {
        let head = self.head()?;
        let id = head.id;
        match &mut head.kind {
            Kind::Execute { copy } => {
                if *copy {
                    self.end_copy();
                }
                self.finish_head(Outcome::Completed { rows: count });
            }
            Kind::Query { statement, rows, copy, .. } => {
                let index = *statement;
                let copied = *copy;
                *statement += 1;
                *copy = false;
                *rows = match (*rows, count) {
                    (Some(sum), Some(more)) => Some(sum.saturating_add(more)),
                    (sum, more) => sum.or(more),
                };
                self.complete_statement(id, index);
                if copied {
                    self.end_copy();
                }
            }
            Kind::Parse { .. }
            | Kind::Bind
            | Kind::Describe
            | Kind::Close
            | Kind::FunctionCall
            | Kind::Sync { .. }
            | Kind::CopyEnd
            | Kind::CopyMark
            | Kind::StandIn { .. } => return Err(UNEXPECTED),
        }
        Ok(())
    }

    /// A statement of entry `id` ran: its effects on names are real.
    fn complete_statement(&mut self, id: u64, index: usize) {
        let Some((owner, effects)) = self.effects.front_mut() else { return };
        if *owner != id {
            return;
        }
        let Some(effect) = effects.get_mut(index) else { return };
        for change in effect.statements.drain(..) {
            self.statements.apply(change);
        }
        for change in effect.portals.drain(..) {
            self.portals.apply(change);
        }
    }

    /// Syncs between the COPY and its end were swallowed by the server.
    fn end_copy(&mut self) {
        let Some(end) = self.queue.iter().position(|entry| matches!(entry.kind, Kind::CopyEnd))
        else {
            return;
        };
        let mut position = 0;
        self.queue.retain(|entry| {
            let keep = position == 0
                || position > end
                || !matches!(entry.kind, Kind::Sync { .. } | Kind::CopyEnd | Kind::CopyMark);
            position += 1;
            keep
        });
    }

    fn on_copy_in(&mut self) -> Result<(), Violation> {
        let kind = &mut self.head()?.kind;
        if let Kind::Query { copy, .. } = kind {
            *copy = true;
            return Ok(());
        }
        let Kind::Execute { copy } = kind else { return Err(UNEXPECTED) };
        *copy = true;
        // The client sent its Sync before it knew of the COPY: the server swallows it. Behind data
        // that may be bad it is not certain.
        let is_end = |entry: &Entry<R>| matches!(entry.kind, Kind::CopyEnd);
        let is_mark = |entry: &Entry<R>| matches!(entry.kind, Kind::CopyMark);
        let end = self.queue.iter().position(is_end).unwrap_or(usize::MAX);
        let mark = self.queue.iter().position(is_mark).unwrap_or(usize::MAX).min(end);
        for entry in self.queue.iter_mut().take(end).skip(mark) {
            if let Kind::Sync { maybe_swallowed } = &mut entry.kind {
                *maybe_swallowed = true;
            }
        }
        let mut position = 0;
        self.queue.retain(|entry| {
            let swallowed =
                position > 0 && position < mark && matches!(entry.kind, Kind::Sync { .. });
            position += 1;
            !swallowed
        });
        Ok(())
    }

    fn on_error(&mut self, body: &[u8]) -> UpstreamStep<R> {
        let fields = ErrorFields::decode(body);
        let Ok(head) = self.head_for_error() else { return UpstreamStep::Relay };
        let id = head.id;
        match &mut head.kind {
            Kind::StandIn { of, refusal, at_once } => {
                let place = *of;
                let expected = fields.code == place.code() || *at_once && fields.code == b"25P02";
                let ours = fields.is_plain_error() && expected;
                let refusal = refusal.take().filter(|_| ours);
                match place {
                    Place::Query | Place::FunctionCall => {}
                    Place::UnnamedParse | Place::Extended => self.fail_group(id, fields.code),
                }
                refusal.map_or(UpstreamStep::Relay, UpstreamStep::Replace)
            }
            Kind::Query { failed: has_failed, .. } => {
                *has_failed = true;
                let ticket = head.ticket.take();
                self.settle(ticket, failed(fields.code));
                UpstreamStep::Relay
            }
            Kind::FunctionCall => {
                let ticket = head.ticket.take();
                self.settle(ticket, failed(fields.code));
                UpstreamStep::Relay
            }
            Kind::Parse { .. }
            | Kind::Bind
            | Kind::Describe
            | Kind::Execute { .. }
            | Kind::Close => {
                self.fail_group(id, fields.code);
                UpstreamStep::Relay
            }
            // A Sync that fails to commit; its ReadyForQuery follows.
            Kind::Sync { .. } | Kind::CopyEnd | Kind::CopyMark => UpstreamStep::Relay,
        }
    }

    fn head_for_error(&mut self) -> Result<&mut Entry<R>, Violation> {
        while let Some(Kind::CopyEnd | Kind::CopyMark) = self.queue.front().map(|entry| &entry.kind)
        {
            self.queue.pop_front();
        }
        self.queue.front_mut().ok_or(UNEXPECTED)
    }

    /// The head of an extended group failed: the server ignores the rest of the group.
    fn fail_group(&mut self, id: u64, code: &[u8]) {
        let is_sync = |entry: &Entry<R>| matches!(entry.kind, Kind::Sync { .. });
        let sync = self.queue.iter().position(is_sync);
        let group: Vec<Entry<R>> = self.queue.drain(..sync.unwrap_or(self.queue.len())).collect();
        let last = group.last().map_or(id, |entry| entry.id);
        // One pass for all of them: the group may be long.
        self.statements.drop_entries(id..=last);
        self.portals.drop_entries(id..=last);
        self.effects.retain(|(owner, _)| !(id..=last).contains(owner));
        let mut first = true;
        for entry in group {
            let destroys_unnamed = matches!(
                entry.kind,
                Kind::Parse { unnamed: true } | Kind::StandIn { of: Place::UnnamedParse, .. }
            );
            if first && destroys_unnamed {
                self.statements.apply(Change::Remove(Box::default()));
            }
            let outcome = if first { failed(code) } else { Outcome::Skipped };
            self.settle(entry.ticket, outcome);
            first = false;
        }
        if sync.is_none() {
            self.skipping = true;
        }
    }

    fn forget_effects(&mut self, id: u64) {
        self.effects.retain(|(owner, _)| *owner != id);
    }

    fn settle(&mut self, ticket: Option<Ticket>, outcome: Outcome) {
        if let Some(ticket) = ticket {
            self.settled.push(Settlement { ticket, outcome });
        }
    }

    /// Pops the head: the server did it.
    fn finish_head(&mut self, outcome: Outcome) {
        if let Some(entry) = self.queue.pop_front() {
            self.statements.commit(entry.id);
            self.portals.commit(entry.id);
            self.forget_effects(entry.id);
            self.settle(entry.ticket, outcome);
        }
    }

    fn on_ready(&mut self, body: &[u8]) -> Result<(), Violation> {
        self.status = match body {
            b"I" => Status::Idle,
            b"T" => Status::Transaction,
            b"E" => Status::Failed,
            _ => return Err(Violation::upstream("invalid transaction status")),
        };
        let entry = loop {
            match self.queue.pop_front() {
                Some(entry) if matches!(entry.kind, Kind::CopyEnd | Kind::CopyMark) => {}
                Some(entry) => break entry,
                None => return Err(UNEXPECTED),
            }
        };
        match entry.kind {
            Kind::Sync { maybe_swallowed: false } => {}
            Kind::Sync { maybe_swallowed: true } => self.doubt_next_sync(),
            Kind::Query { rows, failed, .. } => {
                if failed {
                    // It may have failed before or after it got the unnamed portal for itself.
                    self.portals.drop_entry(entry.id);
                    self.portals.doubt_unnamed();
                }
                self.end_simple(entry.id, entry.ticket, rows);
            }
            Kind::FunctionCall => self.end_simple(entry.id, entry.ticket, None),
            Kind::StandIn { of: Place::Query | Place::FunctionCall, refusal: None, .. } => {
                self.end_simple(entry.id, entry.ticket, None);
            }
            Kind::StandIn { .. }
            | Kind::Parse { .. }
            | Kind::Bind
            | Kind::Describe
            | Kind::Execute { .. }
            | Kind::Close
            | Kind::CopyEnd
            | Kind::CopyMark => return Err(UNEXPECTED),
        }
        if self.status == Status::Idle {
            self.portals.end_transaction();
        }
        Ok(())
    }

    fn end_simple(&mut self, id: u64, ticket: Option<Ticket>, rows: Option<u64>) {
        self.forget_effects(id);
        self.statements.commit(id);
        self.portals.commit(id);
        self.settle(ticket, Outcome::Completed { rows });
    }
}

/// Whether the server answers it with `ReadyForQuery`.
fn ends_group<R>(kind: &Kind<R>) -> bool {
    match kind {
        Kind::Query { .. }
        | Kind::FunctionCall
        | Kind::Sync { .. }
        | Kind::StandIn { of: Place::Query | Place::FunctionCall, .. } => true,
        Kind::StandIn { of: Place::UnnamedParse | Place::Extended, .. }
        | Kind::Parse { .. }
        | Kind::Bind
        | Kind::Describe
        | Kind::Execute { .. }
        | Kind::Close
        | Kind::CopyEnd
        | Kind::CopyMark => false,
    }
}

fn ensure(expected: bool) -> Result<(), Violation> {
    if expected { Ok(()) } else { Err(UNEXPECTED) }
}

const UNEXPECTED: Violation = Violation::upstream("unexpected message");

fn failed(code: &[u8]) -> Outcome {
    Outcome::Failed { code: code.first_chunk::<5>().copied().unwrap_or(*b"XX000") }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Machine = Protocol<&'static str, &'static str>;

    fn relay(machine: &mut Machine, tag: UpstreamTag, body: &[u8]) {
        assert_eq!(machine.upstream(tag, body), Ok(UpstreamStep::Relay));
    }

    const STAND_IN_ERROR: &[u8] = b"SERROR\0VERROR\0C42703\0Mx\0\0";
    const FAILED_TX: &[u8] = b"SERROR\0VERROR\0C25P02\0Mx\0\0";

    #[test]
    fn stand_ins_are_well_formed() {
        for frame in [Frame::Query, Frame::UnnamedParse, Frame::NamedParse, Frame::FunctionCall] {
            let bytes = StandIn(frame).bytes();
            let header = crate::client_header(bytes).unwrap().unwrap();
            assert_eq!(header.frame(), bytes.len(), "{frame:?}");
            assert!(crate::decode_client(header.tag, &bytes[5..], true).is_ok(), "{frame:?}");
        }
    }

    #[test]
    fn a_refused_query_is_answered_in_its_place() {
        let mut machine = Machine::default();
        machine.submitted(Submitted::Query(Vec::new()), Some(1));
        machine.refused(Refused::Query, "no");
        relay(&mut machine, UpstreamTag::CommandComplete, b"SELECT 1\0");
        relay(&mut machine, UpstreamTag::Ready, b"I");
        assert_eq!(
            machine.upstream(UpstreamTag::Error, STAND_IN_ERROR),
            Ok(UpstreamStep::Replace("no"))
        );
        relay(&mut machine, UpstreamTag::Ready, b"I");
        assert!(machine.is_quiet());
        let settled: Vec<_> = machine.settled().collect();
        assert_eq!(
            settled,
            [Settlement { ticket: 1, outcome: Outcome::Completed { rows: Some(1) } }]
        );
    }

    #[test]
    fn in_a_failed_transaction_the_servers_own_error_passes() {
        let mut machine = Machine::default();
        machine.refused(Refused::Query, "no");
        relay(&mut machine, UpstreamTag::Error, FAILED_TX);
        relay(&mut machine, UpstreamTag::Ready, b"E");
        assert_eq!(machine.status(), Status::Failed);
    }

    #[test]
    fn a_stand_in_that_succeeds_ends_the_session() {
        let mut machine = Machine::default();
        machine.refused(Refused::Extended, "no");
        assert!(machine.upstream(UpstreamTag::ParseComplete, b"").is_err());
        let mut machine = Machine::default();
        machine.refused(Refused::Query, "no");
        assert!(machine.upstream(UpstreamTag::DataRow, b"").is_err());
    }

    #[test]
    fn after_a_refused_parse_the_group_is_skipped() {
        let mut machine = Machine::default();
        machine.refused(Refused::UnnamedParse, "no");
        assert!(machine.is_skipping());
        machine.sync(b"S");
        assert!(!machine.is_skipping());
        assert_eq!(
            machine.upstream(UpstreamTag::Error, STAND_IN_ERROR),
            Ok(UpstreamStep::Replace("no"))
        );
        assert!(!machine.is_skipping());
        relay(&mut machine, UpstreamTag::Ready, b"I");
    }

    #[test]
    fn a_long_failed_group_is_dropped_at_once() {
        let mut machine = Machine::default();
        machine.submitted(Submitted::Execute(Effects::none()), None);
        for _ in 0..200_000 {
            machine.close(NameKind::Statement, b"x", b"C");
        }
        assert!(machine.is_crowded());
        let started = std::time::Instant::now();
        relay(&mut machine, UpstreamTag::Error, STAND_IN_ERROR);
        assert!(started.elapsed() < std::time::Duration::from_secs(2));
        assert!(machine.is_skipping() && machine.is_quiet() && !machine.is_crowded());
    }

    #[test]
    fn a_stale_name_map_is_not_used() {
        // In one write: bad, Close s1, Parse(s1, Y), Sync, Bind(s1): the server runs the old s1.
        let mut machine = Machine::default();
        machine.submitted(Submitted::Parse(b"s1", "X"), None);
        machine.sync(b"S");
        relay(&mut machine, UpstreamTag::ParseComplete, b"");
        relay(&mut machine, UpstreamTag::Ready, b"I");
        machine.submitted(Submitted::Parse(b"bad", "bad"), None);
        machine.close(NameKind::Statement, b"s1", b"C");
        machine.submitted(Submitted::Parse(b"s1", "Y"), None);
        assert_eq!(machine.lookup(NameKind::Statement, b"s1"), Lookup::Found(&"Y"));
        machine.sync(b"S");
        assert_eq!(machine.lookup(NameKind::Statement, b"s1"), Lookup::Wait);
        relay(&mut machine, UpstreamTag::Error, b"SERROR\0VERROR\0C42601\0\0");
        assert_eq!(machine.lookup(NameKind::Statement, b"s1"), Lookup::Found(&"X"));
        relay(&mut machine, UpstreamTag::Ready, b"I");
    }

    #[test]
    fn a_query_destroys_the_unnamed_statement() {
        let mut machine = Machine::default();
        machine.submitted(Submitted::Parse(b"", "X"), None);
        machine.sync(b"S");
        relay(&mut machine, UpstreamTag::ParseComplete, b"");
        relay(&mut machine, UpstreamTag::Ready, b"I");
        assert_eq!(machine.lookup(NameKind::Statement, b""), Lookup::Found(&"X"));
        machine.submitted(Submitted::Query(Vec::new()), None);
        relay(&mut machine, UpstreamTag::EmptyQuery, b"");
        relay(&mut machine, UpstreamTag::Ready, b"I");
        assert_eq!(machine.lookup(NameKind::Statement, b""), Lookup::Missing);
    }

    #[test]
    fn sql_prepare_counts_once_it_is_complete() {
        let define = |value| Effects {
            statements: vec![Change::Define((*b"p").into(), Definition { value, holds: true })],
            portals: Vec::new(),
        };
        let mut machine = Machine::default();
        machine.submitted(Submitted::Query(vec![define("first"), define("second")]), None);
        assert_eq!(machine.lookup(NameKind::Statement, b"p"), Lookup::Wait);
        relay(&mut machine, UpstreamTag::CommandComplete, b"PREPARE\0");
        relay(&mut machine, UpstreamTag::Error, b"SERROR\0VERROR\0C42P05\0\0");
        relay(&mut machine, UpstreamTag::Ready, b"I");
        assert_eq!(machine.lookup(NameKind::Statement, b"p"), Lookup::Found(&"first"));
    }

    #[test]
    fn portals_end_with_their_transaction() {
        let mut machine = Machine::default();
        machine.submitted(Submitted::Bind(b"c", "X"), None);
        machine.sync(b"S");
        relay(&mut machine, UpstreamTag::BindComplete, b"");
        relay(&mut machine, UpstreamTag::Ready, b"T");
        assert_eq!(machine.lookup(NameKind::Portal, b"c"), Lookup::Found(&"X"));
        machine.sync(b"S");
        relay(&mut machine, UpstreamTag::Ready, b"I");
        assert_eq!(machine.lookup(NameKind::Portal, b"c"), Lookup::Missing);
    }

    #[test]
    fn a_sync_during_copy_is_swallowed() {
        let mut machine = Machine::default();
        machine.submitted(Submitted::Execute(Effects::none()), Some(9));
        machine.sync(b"S");
        relay(&mut machine, UpstreamTag::CopyIn, b"");
        machine.copy_end(b"c");
        machine.sync(b"S");
        relay(&mut machine, UpstreamTag::CommandComplete, b"COPY 3\0");
        relay(&mut machine, UpstreamTag::Ready, b"I");
        assert!(machine.is_quiet());
    }

    #[test]
    fn a_sync_before_the_data_of_a_copy_that_fails_is_swallowed() {
        let mut machine = Machine::default();
        machine.submitted(Submitted::Execute(Effects::none()), None);
        relay(&mut machine, UpstreamTag::CopyIn, b"");
        machine.sync(b"S");
        machine.copy_data(b"d");
        machine.copy_end(b"f");
        machine.submitted(Submitted::Parse(b"s", "X"), None);
        machine.sync(b"S");
        relay(&mut machine, UpstreamTag::Error, b"SERROR\0VERROR\0C57014\0\0");
        relay(&mut machine, UpstreamTag::Ready, b"I");
        assert!(machine.is_quiet());
        assert_eq!(machine.lookup(NameKind::Statement, b"s"), Lookup::Missing);
    }

    #[test]
    fn a_query_that_fails_leaves_the_unnamed_portal_in_doubt() {
        let mut machine = Machine::default();
        machine.submitted(Submitted::Query(vec![Effects::none()]), None);
        relay(&mut machine, UpstreamTag::Error, b"SERROR\0VERROR\0C22012\0\0");
        assert_eq!(machine.lookup(NameKind::Portal, b""), Lookup::Wait);
        relay(&mut machine, UpstreamTag::Ready, b"E");
        assert_eq!(machine.lookup(NameKind::Portal, b""), Lookup::Unknown);
        machine.submitted(Submitted::Query(vec![Effects::none()]), None);
        relay(&mut machine, UpstreamTag::CommandComplete, b"ROLLBACK\0");
        relay(&mut machine, UpstreamTag::Ready, b"I");
        assert_eq!(machine.lookup(NameKind::Portal, b""), Lookup::Missing);
    }

    #[test]
    fn what_is_refused_at_once_is_told_in_a_failed_transaction_too() {
        let aborted = b"SERROR\0VERROR\0C25P02\0\0";
        let mut machine = Machine::default();
        machine.refused_at_once(Refused::Extended, "missing");
        machine.sync(b"S");
        let told = machine.upstream(UpstreamTag::Error, aborted);
        assert_eq!(told, Ok(UpstreamStep::Replace("missing")));
        relay(&mut machine, UpstreamTag::Ready, b"E");
        machine.refused(Refused::Extended, "denied");
        machine.sync(b"S");
        relay(&mut machine, UpstreamTag::Error, aborted);
    }

    #[test]
    fn a_query_of_nothing_keeps_the_unnamed_portal() {
        let mut machine = Machine::default();
        machine.submitted(Submitted::Bind(b"", "X"), None);
        machine.sync(b"S");
        relay(&mut machine, UpstreamTag::BindComplete, b"");
        relay(&mut machine, UpstreamTag::Ready, b"T");
        machine.submitted(Submitted::Query(Vec::new()), None);
        relay(&mut machine, UpstreamTag::EmptyQuery, b"");
        relay(&mut machine, UpstreamTag::Ready, b"T");
        assert_eq!(machine.lookup(NameKind::Portal, b""), Lookup::Found(&"X"));
    }

    #[test]
    fn a_sync_behind_bad_copy_data_is_answered() {
        let mut machine = Machine::default();
        machine.submitted(Submitted::Execute(Effects::none()), None);
        machine.copy_data(b"d");
        machine.sync(b"S");
        machine.sync(b"S");
        relay(&mut machine, UpstreamTag::CopyIn, b"");
        relay(&mut machine, UpstreamTag::Error, b"SERROR\0VERROR\0C22P02\0\0");
        relay(&mut machine, UpstreamTag::Ready, b"I");
        relay(&mut machine, UpstreamTag::Ready, b"I");
        assert!(machine.is_quiet());
    }

    #[test]
    fn a_sync_behind_good_copy_data_is_swallowed() {
        let mut machine = Machine::default();
        machine.submitted(Submitted::Execute(Effects::none()), None);
        machine.copy_data(b"d");
        machine.sync(b"S");
        relay(&mut machine, UpstreamTag::CopyIn, b"");
        machine.copy_data(b"d");
        machine.sync(b"S");
        machine.copy_end(b"c");
        machine.sync(b"S");
        relay(&mut machine, UpstreamTag::CommandComplete, b"COPY 2\0");
        relay(&mut machine, UpstreamTag::Ready, b"I");
        assert!(machine.is_quiet());
    }

    #[test]
    fn a_failed_copy_leaves_its_end_unanswered() {
        let mut machine = Machine::default();
        machine.submitted(Submitted::Query(Vec::new()), None);
        relay(&mut machine, UpstreamTag::CopyIn, b"");
        machine.copy_end(b"c");
        relay(&mut machine, UpstreamTag::Error, b"SERROR\0VERROR\0C22P02\0\0");
        relay(&mut machine, UpstreamTag::Ready, b"I");
        machine.submitted(Submitted::Query(Vec::new()), None);
        relay(&mut machine, UpstreamTag::CommandComplete, b"SELECT 1\0");
        relay(&mut machine, UpstreamTag::Ready, b"I");
        assert!(machine.is_quiet());
    }

    #[test]
    fn an_answer_to_nothing_is_a_violation() {
        let mut machine = Machine::default();
        assert!(machine.upstream(UpstreamTag::Ready, b"I").is_err());
        assert!(machine.upstream(UpstreamTag::CommandComplete, b"X\0").is_err());
        relay(&mut machine, UpstreamTag::Error, b"SFATAL\0VFATAL\0C57P01\0\0");
    }
}
