//! Client frames to judgements: which message needs one, from which facts, and what takes the
//! place of a refused one.
//!
//! What is *not* here: sockets. A frame is taken when everything that it relies on is known;
//! until then it stays where it is.

mod definitions;
mod prepared;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use audit::{LedgerFault, RecordId, Settled, SettledOutcome};
use model::{Operation, Principal, SqlFacts, Stage, Unknown};
use pgwire::{
    BindHead, BindValues, Change, ClientMessage, ClientTag, Definition, Effects, HEADER_BYTES,
    Header, Lookup, NameKind, Outcome, Protocol, Refused, Settlement, Submitted, UpstreamStep,
    UpstreamTag, Violation, client_header, decode_client,
};

use definitions::step_of;
use policy::ReasonCode;
pub(crate) use prepared::Prepared;
use prepared::wire_kind;

use super::cache::Cache;
use super::fresh::Fresh;
use super::reading::Reading;
use super::refusal::{Named, Refusal};
use super::tripwire::Tripwire;
use super::writer::Rest;
use crate::Shared;
use crate::catalog::live::Live;
use crate::catalog::open::Open as Uncommitted;
use crate::gate::{Analysed, Asked, Batch, Clearing, Gate, InForce, Ruling};
use crate::limits::{
    FRAME_PREFIX_BYTES, FREE_REFUSALS, MAX_BRAKE, MAX_HELD_FRAME_BYTES, MAX_REFUSED,
};
use crate::proved::Proved;

/// What became of the beginning of the input.
#[derive(Debug)]
pub(crate) enum Taken {
    /// This many bytes are dealt with.
    Bytes(usize),
    /// A frame is not complete; to be held whole it needs a buffer of this size.
    More(usize),
    /// A frame relies on an answer that is not here yet.
    Wait,
    /// These bytes are dealt with, and as many more belong to the same frame and may pass.
    Stream(usize, Rest),
    /// These bytes are dropped, and so many more that belong to the same frame.
    Drop(usize, usize),
    /// The client says goodbye.
    Goodbye(usize),
}

/// An upstream frame's fate.
#[derive(Debug)]
pub(crate) enum Answer {
    /// As it is.
    Relay,
    /// This error in its place.
    Refusal(Refusal),
    /// None: it tells of rows that the judgement did not know of.
    Contradicted,
}

#[derive(Debug)]
struct Open {
    ticket: u64,
    record: Option<RecordId>,
    started: Instant,
    /// Whether success is worth a record, too.
    runs: bool,
}

#[derive(Debug, Clone, Copy)]
enum Link {
    Ticket(u64),
    Refusal(u64),
}

/// One session's judge.
#[derive(Debug)]
pub(crate) struct Judge {
    shared: Arc<Shared>,
    session: String,
    who: Arc<Principal>,
    /// The policy that answers the message under judgement, from the look at its text to its record.
    in_force: Arc<InForce>,
    protocol: Protocol<Prepared, u64>,
    reading: Reading,
    cache: Cache,
    /// The catalog is of another database: the session is judged as without one.
    elsewhere: bool,
    fresh: Fresh,
    tripwire: Tripwire,
    batch: Batch,
    links: Vec<Link>,
    refusals: VecDeque<(u64, Refusal)>,
    open: VecDeque<Open>,
    next: u64,
    /// Two for each refusal, less one for each statement that did something: see [`Judge::brake`].
    refused: u32,
    /// When the message under judgement was here.
    received: Instant,
}

/// What is done with a name.
#[derive(Debug, Clone, Copy)]
enum Use<'v> {
    /// A portal is made of it, with these values.
    Bind(BindValues<'v>),
    /// It runs.
    Execute,
}

/// One judged message, before it is known whether it may pass.
struct Question<'a> {
    frame: &'a [u8],
    text: &'a [u8],
    /// What the client sent, if a condition was added to it.
    submitted: Option<&'a [u8]>,
    stage: Stage,
    proved: Arc<Proved>,
    /// What the grammar says, and where.
    mistake: Option<(String, Option<usize>)>,
}

impl Judge {
    pub(crate) fn new(
        shared: Arc<Shared>,
        session: String,
        who: Arc<Principal>,
        reading: Reading,
    ) -> Self {
        let in_force = shared.gate.in_force();
        let cache = Cache::counted(&shared.metrics.analyses_kept, &shared.metrics.analyses_made);
        Self {
            shared,
            session,
            who,
            in_force,
            protocol: Protocol::default(),
            reading,
            cache,
            elsewhere: false,
            fresh: Fresh::default(),
            tripwire: Tripwire::default(),
            batch: Batch::default(),
            links: Vec::new(),
            refusals: VecDeque::new(),
            open: VecDeque::new(),
            next: 1,
            refused: 0,
            received: Instant::now(),
        }
    }

    /// The same, in a database that the catalog is not of.
    pub(crate) fn elsewhere(self, elsewhere: bool) -> Self {
        Self { elsewhere, ..self }
    }

    /// The catalog, if it is of the session's database.
    fn live(&self) -> Option<&Live> {
        self.shared.catalog.as_ref().filter(|_| !self.elsewhere)
    }

    /// Who this is, for logs.
    pub(crate) fn label(&self) -> String {
        self.who.label()
    }

    pub(crate) const fn protocol(&self) -> &Protocol<Prepared, u64> {
        &self.protocol
    }

    pub(crate) fn has_batch(&self) -> bool {
        !self.batch.is_empty()
    }

    pub(crate) fn batch_is_full(&self) -> bool {
        self.batch.is_full()
    }

    fn brake_on(&mut self) {
        self.refused = self.refused.saturating_add(2).min(MAX_REFUSED);
    }

    /// How long the next message has to wait, after many refusals that honest work does not make up
    /// for: who is refused every other time is slowed, too.
    pub(crate) fn brake(&self) -> Option<std::time::Duration> {
        let excess = (self.refused / 2).checked_sub(FREE_REFUSALS)?;
        let delay = std::time::Duration::from_millis(1_u64 << excess.min(16));
        Some(delay.min(MAX_BRAKE))
    }

    /// Whether what the frame at the beginning of the input waits for is here.
    pub(crate) fn poll_catalog(&mut self, cx: &mut std::task::Context<'_>) -> bool {
        self.fresh.poll(cx)
    }

    /// Takes one frame from the beginning of `input`.
    ///
    /// # Errors
    /// The client broke the protocol in a way after which the server would end the session.
    pub(crate) fn take(&mut self, input: &[u8]) -> Result<Taken, Violation> {
        let taken = self.take_one(input)?;
        if !matches!(taken, Taken::Wait) {
            self.fresh.done();
        }
        Ok(taken)
    }

    fn take_one(&mut self, input: &[u8]) -> Result<Taken, Violation> {
        let Some(header) = client_header(input)? else { return Ok(Taken::More(0)) };
        if self.fresh.is_waiting() {
            return Ok(Taken::Wait);
        }
        let live = self.shared.catalog.as_ref().filter(|_| !self.elsewhere);
        self.reading.look_up(live, self.protocol.group());
        self.in_force = self.shared.gate.in_force();
        self.reading.follow(&self.in_force.policy);
        self.received = Instant::now();
        // Known by its header alone: a body of up to 1 GiB is not waited for.
        if header.tag == ClientTag::Password {
            return Err(Violation::client("invalid frontend message type 112"));
        }
        if header.tag == ClientTag::Sync && self.protocol.is_copy_flooded() {
            return Err(Violation::client("too many Sync messages during COPY"));
        }
        if self.protocol.is_crowded() && is_answered(header.tag) {
            return Ok(Taken::Wait);
        }
        if is_answered(header.tag) && self.reading.waits(self.protocol.awaits_earlier()) {
            return Ok(Taken::Wait);
        }
        if self.protocol.is_skipping() && !ends_skipping(header.tag) {
            let here = header.frame().min(input.len());
            return Ok(Taken::Drop(here, header.frame() - here));
        }
        if header.tag == ClientTag::CopyData {
            return Ok(self.copy_data(header, input));
        }
        if let Some(frame) = input.get(..header.frame()) {
            return self.take_whole(header.tag, frame);
        }
        if header.frame() <= MAX_HELD_FRAME_BYTES || !may_stream(header.tag) {
            return Ok(Taken::More(header.frame()));
        }
        match input.get(..FRAME_PREFIX_BYTES) {
            Some(prefix) => self.take_prefix(header, prefix),
            None => Ok(Taken::More(FRAME_PREFIX_BYTES)),
        }
    }

    fn copy_data(&mut self, header: Header<ClientTag>, input: &[u8]) -> Taken {
        let here = header.frame().min(input.len());
        let piece = input.get(..here).unwrap_or_default();
        self.batch.relay(self.protocol.copy_data(piece));
        if here == header.frame() {
            Taken::Bytes(here)
        } else {
            Taken::Stream(here, Rest::of(header.frame(), here))
        }
    }

    fn take_whole(&mut self, tag: ClientTag, frame: &[u8]) -> Result<Taken, Violation> {
        let body = frame.get(HEADER_BYTES..).unwrap_or_default();
        let Ok(message) = decode_client(tag, body, true) else {
            self.refuse_message(place(tag), stage_of(tag), Refusal::Malformed(None));
            return Ok(Taken::Bytes(frame.len()));
        };
        let done = match message {
            ClientMessage::Query(text) => self.on_query(frame, text, true),
            ClientMessage::Parse { name, text, types } => {
                self.on_parse(frame, (name, text), Some(types))
            }
            ClientMessage::Bind(head) => self.on_bind(frame, head),
            ClientMessage::Describe(kind, name) => self.on_describe(frame, kind, name),
            ClientMessage::Execute(portal) => self.on_execute(frame, portal),
            ClientMessage::FunctionCall(oid) => self.on_function_call(frame, oid),
            ClientMessage::Close(kind, name) => {
                if name.len() > pgwire::limits::MAX_NAME_BYTES {
                    self.refuse_message(Refused::Extended, Stage::Bind, Refusal::LongName(None));
                } else {
                    let passive = self.protocol.close(kind, name, frame);
                    self.batch.relay(passive);
                }
                true
            }
            ClientMessage::Sync => {
                let passive = self.protocol.sync(frame);
                self.batch.relay(passive);
                true
            }
            ClientMessage::CopyDone | ClientMessage::CopyFail => {
                let passive = self.protocol.copy_end(frame);
                self.batch.relay(passive);
                true
            }
            ClientMessage::Flush | ClientMessage::CopyData => {
                self.batch.relay(self.protocol.unanswered(frame));
                true
            }
            ClientMessage::Terminate => {
                self.batch.relay(self.protocol.unanswered(frame));
                return Ok(Taken::Goodbye(frame.len()));
            }
            ClientMessage::Password => {
                return Err(Violation::client("invalid frontend message type 112"));
            }
        };
        Ok(if done { Taken::Bytes(frame.len()) } else { Taken::Wait })
    }

    /// A frame too long to hold: judged on its head, then streamed or dropped.
    fn take_prefix(
        &mut self,
        header: Header<ClientTag>,
        prefix: &[u8],
    ) -> Result<Taken, Violation> {
        let body = prefix.get(HEADER_BYTES..).unwrap_or_default();
        let before = self.protocol_refusals();
        let done = match decode_client(header.tag, body, false) {
            Ok(ClientMessage::Query(text)) => self.on_query(prefix, text, false),
            Ok(ClientMessage::Parse { name, text, .. }) => {
                self.on_parse(prefix, (name, text), None)
            }
            Ok(ClientMessage::Bind(head)) => self.on_bind(prefix, head),
            Ok(ClientMessage::FunctionCall(oid)) => self.on_function_call(prefix, oid),
            Ok(
                ClientMessage::Describe(..)
                | ClientMessage::Execute(_)
                | ClientMessage::Close(..)
                | ClientMessage::Sync
                | ClientMessage::Flush
                | ClientMessage::CopyData
                | ClientMessage::CopyDone
                | ClientMessage::CopyFail
                | ClientMessage::Terminate
                | ClientMessage::Password,
            ) => return Err(Violation::client("invalid message length")),
            Err(_malformed) => {
                let (place, stage) = (place(header.tag), stage_of(header.tag));
                self.refuse_message(place, stage, Refusal::Malformed(None));
                true
            }
        };
        if !done {
            return Ok(Taken::Wait);
        }
        let refused = self.protocol_refusals() != before;
        Ok(if refused {
            Taken::Drop(prefix.len(), header.frame() - prefix.len())
        } else {
            Taken::Stream(prefix.len(), Rest::of(header.frame(), prefix.len()))
        })
    }

    fn protocol_refusals(&self) -> usize {
        self.refusals.len()
    }

    /// Judges, and puts the message or a stand-in into the batch. `Some` is the ticket of what
    /// passed.
    fn ask(
        &mut self,
        question: Question<'_>,
        place: Refused,
        missing: Option<Refusal>,
    ) -> Option<u64> {
        let Question { frame, text, submitted, stage, proved, mistake } = question;
        // Leaving a transaction, or nothing at all, shows no good will.
        let works = proved.each().any(|facts| !facts.empty && facts.transaction.is_none());
        let analysed = Analysed::of(frame, text, stage, proved)
            .received(self.received)
            .submitted(submitted)
            .for_server(self.reading.server_major());
        let asked = Asked { who: &self.who, in_force: &self.in_force };
        let ruling = self.shared.gate.judge(asked, &analysed, &mut self.batch);
        match ruling {
            Ruling::Forward => {
                let ticket = self.number();
                self.links.push(Link::Ticket(ticket));
                if works {
                    self.refused = self.refused.saturating_sub(1);
                }
                let runs = matches!(stage, Stage::Query | Stage::Execute | Stage::FunctionCall);
                let started = Instant::now();
                self.open.push_back(Open { ticket, record: None, started, runs });
                Some(ticket)
            }
            Ruling::Refuse(decision) => {
                self.brake_on();
                let unknown = |reason: &policy::Reason| reason.code() == ReasonCode::UnresolvedName;
                let only_missing = decision.reasons().iter().all(unknown);
                let missing = missing.filter(|_| only_missing || stage != Stage::Query);
                let refusal = missing.unwrap_or_else(|| denied(&decision, mistake));
                let key = self.number();
                self.links.push(Link::Refusal(key));
                self.refuse(place, refusal, key);
                None
            }
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A message that no policy can let pass, recorded as such.
    fn refuse_message(&mut self, place: Refused, stage: Stage, refusal: Refusal) {
        let facts = Arc::new(SqlFacts::unknown(match refusal {
            Refusal::Missing(..) => Unknown::UnresolvedName,
            Refusal::Denied { .. }
            | Refusal::Malformed(_)
            | Refusal::LongName(_)
            | Refusal::TooManyNames(_)
            | Refusal::HiddenTemporary(..) => Unknown::UnknownStatement,
        }));
        let analysed = Analysed::one(&[], &[], stage, facts).received(self.received);
        self.shared.gate.refuse(&analysed, refusal.code(), &mut self.batch);
        self.brake_on();
        let key = self.number();
        self.links.push(Link::Refusal(key));
        self.refuse(place, refusal, key);
    }

    fn refuse(&mut self, place: Refused, refusal: Refusal, key: u64) {
        // In SQL a missing name is an ordinary error; in a message it is one in a failed transaction, too.
        let at_once = match refusal {
            Refusal::Missing(..) => !matches!(place, Refused::Query),
            Refusal::Malformed(_) => true,
            Refusal::Denied { .. }
            | Refusal::LongName(_)
            | Refusal::TooManyNames(_)
            | Refusal::HiddenTemporary(..) => false,
        };
        self.refusals.push_back((key, refusal));
        let stand_in = if at_once {
            self.protocol.refused_at_once(place, key)
        } else {
            self.protocol.refused(place, key)
        };
        self.batch.stand_in(stand_in);
    }

    fn on_query(&mut self, frame: &[u8], text: &[u8], whole: bool) -> bool {
        if !whole {
            let facts = Arc::new(SqlFacts::unknown(Unknown::TooComplex));
            let proved = Arc::new(Proved::one(Arc::clone(&facts)));
            let (submitted, mistake) = (None, None);
            let question =
                Question { frame, text, submitted, stage: Stage::Query, proved, mistake };
            if let Some(ticket) = self.ask(question, Refused::Query, None) {
                self.about_to_run(&facts, None, ticket);
                self.protocol.submitted(Submitted::Query(vec![forget()]), Some(ticket));
            }
            return true;
        }
        self.on_query_text(frame, text, None)
    }

    /// `submitted` is what the client sent, if a condition was added to it.
    fn on_query_text(&mut self, frame: &[u8], text: &[u8], submitted: Option<&[u8]>) -> bool {
        let sight = self.sight(text);
        let analysis = sight.analysis();
        let Some(proved) = self.facts(&sight) else { return false };
        if self.waits_for_catalog(&proved, Stage::Query) {
            return false;
        }
        if submitted.is_none()
            && let Some(new) = self.constrained(text, Stage::Query, &proved)
        {
            return self.on_query_text(&pgwire::query(new.as_bytes()), new.as_bytes(), Some(text));
        }
        if let Some(refusal) = self.hidden_temporary(analysis) {
            self.refuse_message(Refused::Query, Stage::Query, refusal);
            return true;
        }
        let missing = self.missing_name(analysis);
        let mistake = mistake(analysis, text);
        let asked = Arc::clone(&proved);
        let question =
            Question { frame, text, submitted, stage: Stage::Query, proved: asked, mistake };
        if let Some(ticket) = self.ask(question, Refused::Query, missing) {
            let statements = analysis.statements().iter().zip(proved.each());
            let steps: VecDeque<_> = statements.map(|(one, facts)| step_of(one, facts)).collect();
            for (facts, step) in proved.each().zip(&steps) {
                self.about_to_run(facts, step.as_ref(), ticket);
            }
            self.reading.submitted(ticket, self.protocol.group(), steps);
            // A text without a statement has one set of facts all the same.
            let empty = proved.each().all(|facts| facts.empty);
            self.expect(ticket, proved);
            let effects = if empty { Vec::new() } else { self.effects(analysis) };
            self.protocol.submitted(Submitted::Query(effects), Some(ticket));
        }
        true
    }

    /// `types` are those of a whole message; of a long one only the beginning is there.
    fn on_parse(
        &mut self,
        frame: &[u8],
        (name, text): (&[u8], &[u8]),
        types: Option<&[u8]>,
    ) -> bool {
        let place = if name.is_empty() { Refused::UnnamedParse } else { Refused::Extended };
        if let Some(refusal) = self.name_refusal(name) {
            self.refuse_message(place, Stage::Parse, refusal);
            return true;
        }
        self.on_parse_text(frame, (name, text, types), place, None)
    }

    /// `submitted` is what the client sent, if a condition was added to it.
    fn on_parse_text(
        &mut self,
        frame: &[u8],
        (name, text, types): (&[u8], &[u8], Option<&[u8]>),
        place: Refused,
        submitted: Option<&[u8]>,
    ) -> bool {
        let epoch = self.reading.epoch();
        let prepared = if let Some(types) = types {
            Prepared::statement(self.sight(text), epoch, types)
        } else {
            Prepared::facts_only(Arc::new(SqlFacts::unknown(Unknown::TooComplex)), epoch)
        };
        let analysis = prepared.0.analysis();
        if let Some(refusal) = analysis.and_then(|analysis| self.hidden_temporary(analysis)) {
            self.refuse_message(place, Stage::Parse, refusal);
            return true;
        }
        let Some(proved) = self.prepared_facts(&prepared) else { return false };
        if self.waits_for_catalog(&proved, Stage::Parse) {
            return false;
        }
        if submitted.is_none()
            && let Some(types) = types
            && let Some(new) = self.constrained(text, Stage::Parse, &proved)
        {
            let new = new.as_bytes();
            let frame = pgwire::parse_message(name, new, types);
            return self.on_parse_text(&frame, (name, new, Some(types)), place, Some(text));
        }
        let mistake = analysis.and_then(|analysis| mistake(analysis, text));
        let question = Question { frame, text, submitted, stage: Stage::Parse, proved, mistake };
        if let Some(ticket) = self.ask(question, place, None) {
            self.protocol.submitted(Submitted::Parse(name, prepared), Some(ticket));
        }
        true
    }

    /// The text with the conditions that the policy adds.
    fn constrained(&self, text: &[u8], stage: Stage, proved: &Proved) -> Option<String> {
        let asked = Asked { who: &self.who, in_force: &self.in_force };
        self.shared.gate.constrained(asked, (text, stage), proved, &self.reading.context())
    }

    fn on_bind(&mut self, frame: &[u8], head: BindHead<'_>) -> bool {
        if let Some(refusal) =
            self.name_refusal(head.portal).or_else(|| self.name_refusal(head.statement))
        {
            self.refuse_message(Refused::Extended, Stage::Bind, refusal);
            return true;
        }
        self.on_name(
            frame,
            (NameKind::Statement, head.statement),
            Use::Bind(head.values),
            |judge, prepared, ticket| {
                judge.protocol.submitted(Submitted::Bind(head.portal, prepared), ticket);
            },
        )
    }

    fn on_execute(&mut self, frame: &[u8], portal: &[u8]) -> bool {
        if let Some(refusal) = self.name_refusal(portal) {
            self.refuse_message(Refused::Extended, Stage::Execute, refusal);
            return true;
        }
        self.on_name(frame, (NameKind::Portal, portal), Use::Execute, |judge, prepared, ticket| {
            let analysis = prepared.0.analysis();
            let effects = analysis.and_then(|analysis| judge.effects(analysis).into_iter().next());
            let effects = effects.unwrap_or(Effects::none());
            judge.protocol.submitted(Submitted::Execute(effects), ticket);
        })
    }

    /// Judges what a name stands for; one that stands for nothing is answered as the server would.
    fn on_name(
        &mut self,
        frame: &[u8],
        (kind, name): (NameKind, &[u8]),
        used: Use<'_>,
        then: impl FnOnce(&mut Self, Prepared, Option<u64>),
    ) -> bool {
        let (prepared, missing) = match self.protocol.lookup(kind, name) {
            Lookup::Wait => return false,
            Lookup::Found(prepared) => (prepared.clone(), None),
            Lookup::Missing => (Prepared::unresolved(), Some(missing(kind, name))),
            Lookup::Unknown => (Prepared::unresolved(), None),
        };
        let (stage, prepared) = match used {
            Use::Bind(values) => (Stage::Bind, self.bind_values(prepared, &values)),
            Use::Execute => (Stage::Execute, prepared),
        };
        let Some(proved) = self.prepared_facts(&prepared) else { return false };
        if self.waits_for_catalog(&proved, stage) {
            return false;
        }
        let run = (stage == Stage::Execute).then(|| Arc::clone(proved.first()));
        let source = Arc::clone(&prepared.0);
        let (text, submitted, mistake) = (source.text(), None, None);
        let question = Question { frame, text, submitted, stage, proved, mistake };
        if let Some(ticket) = self.ask(question, Refused::Extended, missing) {
            if let Some(facts) = run {
                let step = self.own_step(&prepared.0, &facts);
                self.about_to_run(&facts, step.as_ref(), ticket);
                self.reading.submitted(ticket, self.protocol.group(), VecDeque::from([step]));
            }
            then(self, prepared, Some(ticket));
        }
        true
    }

    fn on_describe(&mut self, frame: &[u8], kind: NameKind, name: &[u8]) -> bool {
        if let Some(refusal) = self.name_refusal(name) {
            self.refuse_message(Refused::Extended, Stage::Bind, refusal);
            return true;
        }
        match self.protocol.lookup(kind, name) {
            Lookup::Wait => return false,
            // A cleared Parse or Bind stands behind the name; describing it runs nothing.
            Lookup::Found(prepared) => {
                let prepared = prepared.clone();
                let ticket = self.number();
                if self.rests_on_catalog()
                    && let Some(proved) = self.prepared_facts(&prepared)
                {
                    self.expect(ticket, proved);
                }
                let passive = self.protocol.describe(frame, Some(ticket));
                self.batch.relay(passive);
            }
            Lookup::Unknown => {
                let passive = self.protocol.describe(frame, None);
                self.batch.relay(passive);
            }
            Lookup::Missing => {
                self.refuse_message(Refused::Extended, Stage::Bind, missing(kind, name));
            }
        }
        true
    }

    fn on_function_call(&mut self, frame: &[u8], oid: u32) -> bool {
        let mut facts = SqlFacts::of(Operation::FunctionCall);
        facts.functions = match sql::builtin::fast_path_function(oid) {
            Some(name) => model::Fact::Known(vec![model::FunctionUse {
                schema: Some("pg_catalog".to_owned()),
                name: name.to_owned(),
            }]),
            None => model::Fact::Known(vec![model::FunctionUse {
                schema: None,
                name: format!("oid:{oid}"),
            }]),
        };
        let stage = Stage::FunctionCall;
        let proved = Arc::new(Proved::one(Arc::new(facts)));
        let (text, submitted, mistake) = (&[][..], None, None);
        let question = Question { frame, text, submitted, stage, proved, mistake };
        if let Some(ticket) = self.ask(question, Refused::FunctionCall, None) {
            if sql::builtin::fast_path_function(oid).is_none() {
                self.about_to_run(&SqlFacts::unknown(Unknown::OpaqueCode), None, ticket);
            }
            self.protocol.submitted(Submitted::FunctionCall, Some(ticket));
        }
        true
    }

    /// The first name in SQL that stands for nothing: the server would say so.
    fn missing_name(&self, analysis: &sql::Analysis) -> Option<Refusal> {
        let [statement] = analysis.statements() else { return None };
        let missing = |reference: &&sql::NameRef| {
            let name = reference.name.as_bytes();
            matches!(self.protocol.lookup(wire_kind(reference.kind), name), Lookup::Missing)
        };
        statement.references().iter().find(missing).map(|reference| {
            let named = match reference.kind {
                sql::NameKind::Statement => Named::Statement,
                sql::NameKind::Cursor => Named::Cursor,
            };
            Refusal::Missing(named, reference.name.clone())
        })
    }

    fn name_refusal(&self, name: &[u8]) -> Option<Refusal> {
        if name.len() > pgwire::limits::MAX_NAME_BYTES {
            return Some(Refusal::LongName(None));
        }
        (!name.is_empty() && self.protocol.is_full()).then_some(Refusal::TooManyNames(None))
    }

    /// Follows what a cleared statement changes in how later text is read.
    fn about_to_run(&mut self, facts: &SqlFacts, step: Option<&sql::Step>, ticket: u64) {
        self.on_definitions(facts, step, ticket);
        let changes_none = facts.settings.known().is_some_and(Vec::is_empty);
        if changes_none {
            return;
        }
        self.reading.on_settings(&facts.settings);
        // What stands behind an EXECUTE or FETCH says that the path changes, but not to what.
        let direct = matches!(facts.operation, Operation::Set | Operation::Select);
        let moves = |setting: &model::SettingUse| {
            setting.name == "search_path" && setting.change != model::SettingChange::Stored
        };
        if !direct && facts.settings.known().is_some_and(|all| all.iter().any(moves)) {
            self.reading.lose_path();
        }
    }

    /// What each statement does to names; search paths are followed here and now.
    fn effects(&mut self, analysis: &sql::Analysis) -> Vec<Effects<Prepared>> {
        let mut all = Vec::new();
        for statement in analysis.statements() {
            let mut effects = Effects::none();
            for effect in statement.effects() {
                self.add_effect(effect, &mut effects);
            }
            all.push(effects);
        }
        all
    }

    fn add_effect(&mut self, effect: &sql::Effect, effects: &mut Effects<Prepared>) {
        let define = |name: &str, facts: &Arc<SqlFacts>, holds, epoch| {
            let value = Prepared::facts_only(Arc::clone(facts), epoch);
            Change::Define(name.as_bytes().into(), Definition { value, holds })
        };
        let remove = |name: &Option<String>| match name {
            Some(name) => Change::Remove(name.as_bytes().into()),
            None => Change::RemoveAll,
        };
        let epoch = self.reading.epoch();
        match effect {
            sql::Effect::Prepare { name, facts } => {
                effects.statements.push(define(name, facts, true, epoch));
            }
            sql::Effect::Deallocate { name } => effects.statements.push(remove(name)),
            sql::Effect::Declare { name, facts, hold } => {
                effects.portals.push(define(name, facts, *hold, epoch));
            }
            sql::Effect::Close { name } => effects.portals.push(remove(name)),
            sql::Effect::Discard(sql::Discarded::All) => {
                effects.statements.push(Change::RemoveAll);
                effects.portals.push(Change::RemoveAll);
            }
            sql::Effect::Discard(
                sql::Discarded::Plans | sql::Discarded::Sequences | sql::Discarded::Temporary,
            )
            | sql::Effect::Copy
            | sql::Effect::Own(_) => {}
            sql::Effect::SearchPath(path) => self.reading.on_search_path(path),
        }
    }

    /// Records the batch. What it holds may leave once the [`Clearing`] is ready.
    ///
    /// # Errors
    /// The ledger's fault.
    pub(crate) fn clear(&mut self) -> Result<Clearing, LedgerFault> {
        if let Some(view) = &self.shared.view {
            Gate::show(&self.batch, |decision, forwarded, text| {
                view.show(&self.who, decision, forwarded, text);
            });
        }
        let (recorded, clearing) =
            self.shared.gate.clear(&self.session, &self.who, &mut self.batch)?;
        let Some(recorded) = recorded else { return Ok(clearing) };
        for (position, link) in self.links.drain(..).enumerate() {
            let id = recorded.id(position);
            match link {
                Link::Ticket(ticket) => {
                    let newest = self.open.iter_mut().rev();
                    if let Some(open) = newest.into_iter().find(|open| open.ticket == ticket) {
                        open.record = Some(id);
                    }
                }
                Link::Refusal(key) => {
                    let found = self.refusals.iter_mut().rev().find(|(each, _)| *each == key);
                    if let Some((_, refusal)) = found {
                        refusal.recorded_as(id.to_string());
                    }
                }
            }
        }
        Ok(clearing)
    }

    /// Records that something ends the session that no policy can allow. Gives the record.
    ///
    /// # Errors
    /// The ledger's fault.
    pub(crate) async fn record_end_of_session(
        &mut self,
        code: ReasonCode,
    ) -> Result<Option<RecordId>, LedgerFault> {
        let mut batch = Batch::default();
        let stale = code == ReasonCode::CatalogContradicted;
        let why = if stale { Unknown::StaleCatalog } else { Unknown::UnknownStatement };
        let facts = Arc::new(SqlFacts::unknown(why));
        let analysed = Analysed::one(&[], &[], Stage::Query, facts).received(self.received);
        self.shared.gate.refuse(&analysed, code, &mut batch);
        let (recorded, clearing) = self.shared.gate.clear(&self.session, &self.who, &mut batch)?;
        crate::gate::cleared(clearing).await?;
        Ok(recorded.map(|recorded| recorded.id(0)))
    }

    /// An upstream frame: its tag and the beginning of its body.
    ///
    /// # Errors
    /// The server answered something that was not asked.
    pub(crate) fn answer(&mut self, tag: UpstreamTag, body: &[u8]) -> Result<Answer, Violation> {
        if tag == UpstreamTag::ParameterStatus {
            let mut parts = body.split(|byte| *byte == 0);
            let (name, value) = (parts.next(), parts.next());
            self.reading.on_parameter_status(name.unwrap_or_default(), value.unwrap_or_default());
        }
        if tag == UpstreamTag::RowDescription && self.is_contradicted(body) {
            return Ok(Answer::Contradicted);
        }
        let step = self.protocol.upstream(tag, body)?;
        let mut committed = false;
        for completed in self.protocol.completed() {
            committed |= self.reading.on_completed(completed);
        }
        if self.protocol.has_settled() {
            self.settle();
        }
        if tag == UpstreamTag::Error {
            self.reading.on_error();
        }
        if tag == UpstreamTag::Ready {
            let last = self.reading.last_definition();
            let awaited = self.open.iter().any(|open| open.ticket == last);
            committed |= self.reading.on_ready(self.protocol.status(), awaited);
        }
        // Before anybody hears of it.
        if committed && let Some(live) = self.live() {
            live.invalidate();
        }
        Ok(match step {
            UpstreamStep::Relay => Answer::Relay,
            UpstreamStep::Replace(key) => {
                let position = self.refusals.iter().position(|(each, _)| *each == key);
                match position.and_then(|position| self.refusals.remove(position)) {
                    Some((_, refusal)) => Answer::Refusal(refusal),
                    None => Answer::Relay,
                }
            }
        })
    }

    fn settle(&mut self) {
        let settled: Vec<Settlement> = self.protocol.settled().collect();
        for Settlement { ticket, outcome } in settled {
            self.reading.on_settled(ticket);
            self.tripwire.settled(ticket);
            let Some(position) = self.open.iter().position(|open| open.ticket == ticket) else {
                continue;
            };
            let Some(open) = self.open.remove(position) else { continue };
            match outcome {
                Outcome::Completed { rows } if open.runs => {
                    self.record_end(&open, SettledOutcome::Completed { rows });
                }
                Outcome::Suspended if open.runs => {
                    self.record_end(&open, SettledOutcome::Completed { rows: None });
                }
                Outcome::Completed { .. } | Outcome::Suspended => {}
                Outcome::Skipped => self.record_end(&open, SettledOutcome::Skipped),
                Outcome::Failed { code } => {
                    let sqlstate = std::str::from_utf8(&code).unwrap_or("XX000");
                    self.record_end(&open, SettledOutcome::Failed { sqlstate });
                }
            }
        }
    }

    /// Records how something that was forwarded ended. If that fails, the answer is still the
    /// truth and passes; the ledger is at fault from now on, so whatever comes next is denied.
    fn record_end(&self, open: &Open, outcome: SettledOutcome<'_>) {
        let Some(record) = open.record else { return };
        let elapsed_ns = u64::try_from(open.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let settled = Settled { record, session: &self.session, outcome, elapsed_ns };
        if let Err(fault) = self.shared.gate.ledger().settle(&[settled]) {
            tracing::error!(%fault, "the ledger cannot be written");
        }
    }

    /// What keeps others from this session's definitions, for whoever ends what still runs.
    pub(crate) const fn leave_open(&mut self) -> Option<Uncommitted> {
        self.reading.leave_open()
    }

    /// The connection is gone: what has no answer is lost.
    pub(crate) fn lose(&mut self) {
        let lost = std::mem::take(&mut self.open);
        for open in lost.iter().filter(|open| open.runs) {
            self.record_end(open, SettledOutcome::Lost);
        }
    }
}

/// Sync ends skipping; Terminate is always heard.
fn ends_skipping(tag: ClientTag) -> bool {
    matches!(tag, ClientTag::Sync | ClientTag::Terminate)
}

/// What the server answers, or drops with its group: waiting for room behind these ends.
fn is_answered(tag: ClientTag) -> bool {
    matches!(
        tag,
        ClientTag::Query
            | ClientTag::Parse
            | ClientTag::Bind
            | ClientTag::Execute
            | ClientTag::Close
    )
}

fn may_stream(tag: ClientTag) -> bool {
    matches!(tag, ClientTag::Query | ClientTag::Parse | ClientTag::Bind | ClientTag::FunctionCall)
}

/// Where a malformed message's refusal belongs: where the server does not forget the unnamed
/// statement, because it does not get that far.
const fn place(tag: ClientTag) -> Refused {
    match tag {
        ClientTag::Query | ClientTag::FunctionCall => Refused::FunctionCall,
        ClientTag::Parse
        | ClientTag::Bind
        | ClientTag::Close
        | ClientTag::CopyData
        | ClientTag::CopyDone
        | ClientTag::CopyFail
        | ClientTag::Describe
        | ClientTag::Execute
        | ClientTag::Flush
        | ClientTag::Password
        | ClientTag::Sync
        | ClientTag::Terminate => Refused::Extended,
    }
}

fn missing(kind: NameKind, name: &[u8]) -> Refusal {
    let name = std::str::from_utf8(name).unwrap_or("?");
    let named = match kind {
        NameKind::Statement => Named::Statement,
        NameKind::Portal => Named::Portal,
    };
    Refusal::Missing(named, name.to_owned())
}

/// The stage that a message belongs to.
const fn stage_of(tag: ClientTag) -> Stage {
    match tag {
        ClientTag::Query => Stage::Query,
        ClientTag::Parse => Stage::Parse,
        ClientTag::Execute => Stage::Execute,
        ClientTag::FunctionCall => Stage::FunctionCall,
        ClientTag::Bind
        | ClientTag::Close
        | ClientTag::Describe
        | ClientTag::CopyData
        | ClientTag::CopyDone
        | ClientTag::CopyFail
        | ClientTag::Flush
        | ClientTag::Password
        | ClientTag::Sync
        | ClientTag::Terminate => Stage::Bind,
    }
}

/// Anything may have happened to names.
fn forget() -> Effects<Prepared> {
    Effects { statements: vec![Change::Forget], portals: vec![Change::Forget] }
}

/// What the grammar says of a text, and at which character.
fn mistake(analysis: &sql::Analysis, text: &[u8]) -> Option<(String, Option<usize>)> {
    let failure = analysis.error()?;
    let before = failure.position.and_then(|at| text.get(..at));
    let character = before.and_then(|text| std::str::from_utf8(text).ok());
    Some((failure.message.clone(), character.map(|text| text.chars().count() + 1)))
}

fn denied(decision: &policy::Decision, mistake: Option<(String, Option<usize>)>) -> Refusal {
    let mut reasons = decision.reasons().iter();
    let first = reasons.next();
    Refusal::Denied {
        reason: first.map_or_else(|| "internal_error".to_owned(), ToString::to_string),
        more: reasons.map(ToString::to_string).collect(),
        hint: first.map(policy::Reason::suggestion).unwrap_or_default(),
        mistake,
        record: None,
    }
}
