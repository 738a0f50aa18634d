//! The one door between a request and its upstream, for every door.
//!
//! Invariants:
//! - `nothing_unjudged_leaves`: upstream writers take [`Cleared`], and only [`Gate::clear`] and
//!   [`Clearing`] make one: after a decision and a record that is as durable as the door promises,
//!   around the very bytes that were judged.
//! - `record_before_forward`: the record is appended before the bytes exist as [`Cleared`].
//! - What goes into a [`Batch`] was judged ([`Gate::judge`]), is passive, or is a stand-in.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use arc_swap::ArcSwap;
use audit::{Entry, Ledger, LedgerFault, Promise, ReasonView, Receipt, RecordId};
use model::{Door, Principal, Request, SqlFacts, Stage};
use pgwire::{Passive, StandIn};
use policy::{Decision, Fault, Mode, Policy, Reason, ReasonCode};

use crate::limits::{MAX_BATCH, MAX_RECORDED_BYTES, OUT_HIGH_WATER_BYTES};
use crate::proved::Proved;
use crate::telemetry::Metrics;

/// A policy in force, with what is derived from it once. Never equal to another: a policy that is installed again is
/// another one.
#[derive(Debug)]
pub struct InForce {
    pub(crate) policy: Policy,
    pub(crate) digest: String,
}

impl InForce {
    /// This policy, to be put into force.
    pub fn new(policy: Policy) -> Self {
        let digest = policy.digest().to_string();
        Self { policy, digest }
    }

    /// The column that analysis is told of.
    pub fn tenant_column(&self) -> Option<&str> {
        self.policy.tenant_column()
    }
}

/// Who asks, and which policy answers: the same one from the look at a text to its record.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Who asks.
    pub who: &'a Arc<Principal>,
    /// Which policy answers.
    pub in_force: &'a Arc<InForce>,
}

/// Decides and records. Shared by every session.
#[derive(Debug)]
pub(crate) struct Gate {
    policy: ArcSwap<InForce>,
    ledger: Ledger,
    promise: Promise,
    mode: Mode,
    metrics: Arc<Metrics>,
}

/// One submission: the bytes that would be forwarded, and what analysis proved of its statements.
#[derive(Debug)]
pub(crate) struct Analysed<'a> {
    bytes: &'a [u8],
    text: &'a [u8],
    stage: Stage,
    proved: Arc<Proved>,
    received: Instant,
    submitted: Option<&'a [u8]>,
    server_major: Option<u16>,
}

impl<'a> Analysed<'a> {
    /// These bytes, with what is proved of their text.
    pub(crate) fn of(bytes: &'a [u8], text: &'a [u8], stage: Stage, proved: Arc<Proved>) -> Self {
        let received = Instant::now();
        Self { bytes, text, stage, proved, received, submitted: None, server_major: None }
    }

    /// A submission of one statement.
    pub(crate) fn one(bytes: &'a [u8], text: &'a [u8], stage: Stage, facts: Arc<SqlFacts>) -> Self {
        Self::of(bytes, text, stage, Arc::new(Proved::one(facts)))
    }

    /// For a server of this major version; until then it is not told.
    pub(crate) fn for_server(self, server_major: Option<u16>) -> Self {
        Self { server_major, ..self }
    }

    /// When its last byte was here: the latency in its record counts from then.
    pub(crate) fn received(self, received: Instant) -> Self {
        Self { received, ..self }
    }

    /// What the client sent, if the text is another one.
    pub(crate) fn submitted(self, submitted: Option<&'a [u8]>) -> Self {
        Self { submitted, ..self }
    }
}

/// Judged messages on their way, with everything that keeps its place between them.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    texts: Vec<u8>,
    judged: Vec<Judged>,
}

#[derive(Debug)]
struct Judged {
    stage: Stage,
    text: Range<usize>,
    /// What the client sent, if that is not the text.
    submitted: Option<Range<usize>>,
    facts: Arc<SqlFacts>,
    decision: Decision,
    digest: Arc<InForce>,
    mode: Mode,
    latency_ns: u64,
    forwarded: bool,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.judged.is_empty()
    }

    /// Whether it has to leave before more joins it: what is held back reaches the server late.
    pub(crate) fn is_full(&self) -> bool {
        self.judged.len() >= MAX_BATCH || self.bytes.len() >= OUT_HIGH_WATER_BYTES
    }

    /// A message that the policy allows.
    fn allow(&mut self, allowed: &Allowed<'_>) {
        self.bytes.extend_from_slice(allowed.0);
    }

    /// A message that the policy denies, in observe mode.
    fn observe(&mut self, observed: &Observed<'_>) {
        self.bytes.extend_from_slice(observed.0);
    }

    /// The part of a statement's text that its record is made of.
    fn keep_text(&mut self, text: &[u8]) -> Range<usize> {
        let start = self.texts.len();
        self.texts.extend_from_slice(text.get(..MAX_RECORDED_BYTES).unwrap_or(text));
        start..self.texts.len()
    }

    /// Keeps a passive frame's place.
    pub(crate) fn relay(&mut self, passive: Passive<'_>) {
        self.bytes.extend_from_slice(passive.bytes());
    }

    /// Puts a stand-in where a refused message was.
    pub(crate) fn stand_in(&mut self, stand_in: StandIn) {
        self.bytes.extend_from_slice(stand_in.bytes());
    }
}

/// Bytes that were judged and allowed; made by [`Gate::judge`] alone.
#[derive(Debug)]
struct Allowed<'a>(&'a [u8]);

/// Bytes that were judged and denied, and are forwarded because the mode is observe. Their record
/// says so; made by [`Gate::judge`] alone.
#[derive(Debug)]
struct Observed<'a>(&'a [u8]);

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// What the gate says of one submission.
#[derive(Debug)]
pub(crate) enum Ruling {
    /// It is in the batch: allowed, or denied and only observed.
    Forward,
    /// It is not. The decision says why.
    Refuse(Decision),
}

/// Bytes that may leave.
///
/// Nobody else can make one:
///
/// ```compile_fail,E0451
/// let forged = server::Cleared { bytes: Vec::new() };
/// ```
///
/// And nobody needs to; naming it is no crime:
///
/// ```
/// fn takes(_cleared: &server::Cleared) {}
/// ```
#[derive(Debug)]
pub struct Cleared {
    bytes: Vec<u8>,
}

impl Cleared {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A batch that is recorded, and perhaps not yet durably.
pub(crate) struct Clearing {
    bytes: Vec<u8>,
    wait: Option<Pin<Box<audit::Durable>>>,
}

impl std::fmt::Debug for Clearing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clearing").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Clearing {
    /// Ready once the records are as durable as the door promises.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Cleared, LedgerFault>> {
        if let Some(wait) = &mut self.wait {
            match wait.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Ready(Ok(())) => {}
            }
        }
        Poll::Ready(Ok(Cleared { bytes: std::mem::take(&mut self.bytes) }))
    }
}

/// Waits until a batch is recorded as durably as the door promises.
///
/// # Errors
/// The ledger's fault.
pub(crate) async fn cleared(mut clearing: Clearing) -> Result<Cleared, LedgerFault> {
    std::future::poll_fn(|cx| clearing.poll(cx)).await
}

/// A batch's records.
#[derive(Debug)]
pub(crate) struct Recorded {
    receipt: Receipt,
}

impl Recorded {
    /// The record of the batch's n-th judgement.
    pub(crate) fn id(&self, position: usize) -> RecordId {
        self.receipt.id(position)
    }
}

impl Gate {
    pub(crate) fn new(
        policy: InForce,
        ledger: Ledger,
        promise: Promise,
        mode: Mode,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { policy: ArcSwap::from_pointee(policy), ledger, promise, mode, metrics }
    }

    /// Replaces the policy. A request sees the old one or the new one, never both.
    pub(crate) fn install(&self, policy: InForce) {
        self.policy.store(Arc::new(policy));
    }

    pub(crate) fn in_force(&self) -> Arc<InForce> {
        self.policy.load_full()
    }

    pub(crate) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Judges a submission. If it may pass, its bytes join the batch; it is not forwarded before
    /// the batch is [cleared](Gate::clear).
    pub(crate) fn judge(
        &self,
        asked: Asked<'_>,
        analysed: &Analysed<'_>,
        batch: &mut Batch,
    ) -> Ruling {
        let Asked { who, in_force } = asked;
        let decision = self.decision(asked, analysed);
        let observed = self.observes(in_force, who);
        let mode = if observed { Mode::Observe } else { Mode::Enforce };
        let forwarded = decision.is_allowed() || observed;
        self.metrics.decided(analysed.stage, &decision, forwarded);
        let ruling = if decision.is_allowed() {
            batch.allow(&Allowed(analysed.bytes));
            Ruling::Forward
        } else if observed {
            batch.observe(&Observed(analysed.bytes));
            Ruling::Forward
        } else {
            Ruling::Refuse(decision.clone())
        };
        let text = batch.keep_text(analysed.text);
        let submitted = analysed.submitted.map(|submitted| batch.keep_text(submitted));
        let latency_ns = nanoseconds(analysed.received);
        batch.judged.push(Judged {
            stage: analysed.stage,
            text,
            submitted,
            facts: analysed.proved.merged(),
            decision,
            digest: Arc::clone(in_force),
            mode,
            latency_ns,
            forwarded,
        });
        ruling
    }

    /// A text with the conditions that the policy adds to it, if they are all that it lacks. It is another
    /// submission, to be analysed and judged like any.
    pub(crate) fn constrained(
        &self,
        asked: Asked<'_>,
        (text, stage): (&[u8], Stage),
        proved: &Proved,
        context: &sql::Context<'_>,
    ) -> Option<String> {
        let Asked { who, in_force } = asked;
        let policy = &in_force.policy;
        let server_major = context.server_major;
        if !policy.rewrites()
            || self.observes(in_force, who)
            || proved.decision(asked, stage, server_major).is_allowed()
        {
            return None;
        }
        let mut duty = None;
        for facts in proved.each() {
            let request = Request { principal: who, door: Door::Pg, stage, server_major, facts };
            let decision = policy.evaluate(&request);
            if !decision.is_allowed() {
                duty = Some(policy.constrain(&request, &decision)?);
            }
        }
        let duty = duty?;
        let holds = |used: &model::TenantUse| duty.holds(used);
        let constraint =
            sql::Constraint { column: duty.column(), value: duty.tenant(), holds: &holds };
        sql::constrain(text, context, constraint)
    }

    fn observes(&self, in_force: &InForce, who: &Principal) -> bool {
        self.mode == Mode::Observe || in_force.policy.mode_for(who) == Mode::Observe
    }

    /// Whether what is denied to this principal is refused.
    pub(crate) fn enforces(&self, who: &Principal) -> bool {
        !self.observes(&self.policy.load(), who)
    }

    /// Records that a message was refused whatever the policy says: it broke the protocol. Nothing
    /// of it joins the batch, in observe mode neither.
    pub(crate) fn refuse(&self, analysed: &Analysed<'_>, code: ReasonCode, batch: &mut Batch) {
        let in_force = self.policy.load_full();
        let decision = Decision::deny(*in_force.policy.digest(), vec![Reason::of(code)]);
        self.metrics.decided(analysed.stage, &decision, false);
        let text = batch.keep_text(analysed.text);
        batch.judged.push(Judged {
            stage: analysed.stage,
            text,
            submitted: None,
            latency_ns: nanoseconds(analysed.received),
            facts: analysed.proved.merged(),
            decision,
            digest: in_force,
            mode: Mode::Enforce,
            forwarded: false,
        });
    }

    fn decision(&self, asked: Asked<'_>, analysed: &Analysed<'_>) -> Decision {
        // A ledger that cannot record cannot allow either, whatever was said before.
        if self.ledger.health() != audit::Health::Sound {
            return Decision::fault(*asked.in_force.policy.digest(), Fault::Unaudited);
        }
        analysed.proved.decision(asked, analysed.stage, analysed.server_major)
    }

    /// Records a batch; its bytes may leave once the [`Clearing`] is ready.
    ///
    /// # Errors
    /// The ledger's fault: then nothing of the batch may leave.
    pub(crate) fn clear(
        &self,
        session: &str,
        who: &Principal,
        batch: &mut Batch,
    ) -> Result<(Option<Recorded>, Clearing), LedgerFault> {
        let bytes = std::mem::take(&mut batch.bytes);
        if batch.judged.is_empty() {
            return Ok((None, Clearing { bytes, wait: None }));
        }
        let receipt = self.append(session, who, batch)?;
        batch.judged.clear();
        batch.texts.clear();
        let wait = match self.promise {
            Promise::Strict => Some(Box::pin(self.ledger.wait(receipt))),
            Promise::Group | Promise::Relaxed => None,
        };
        Ok((Some(Recorded { receipt }), Clearing { bytes, wait }))
    }

    fn append(
        &self,
        session: &str,
        who: &Principal,
        batch: &Batch,
    ) -> Result<Receipt, LedgerFault> {
        let texts: Vec<Vec<(String, String)>> = batch
            .judged
            .iter()
            .map(|judged| {
                let said = |reason: &Reason| (reason.message(), reason.suggestion());
                judged.decision.reasons().iter().map(said).collect()
            })
            .collect();
        let reasons: Vec<Vec<ReasonView<'_>>> =
            batch.judged.iter().zip(&texts).map(|(judged, said)| views(judged, said)).collect();
        // With the tenant, roles and scopes that were judged.
        let whole: Vec<_> =
            batch.judged.iter().map(|judged| judged.digest.policy.supplied(who)).collect();
        let entries: Vec<Entry<'_>> = batch
            .judged
            .iter()
            .zip(&reasons)
            .zip(&whole)
            .map(|((judged, reasons), whole)| Entry {
                door: Door::Pg,
                stage: judged.stage,
                session,
                principal: whole,
                statement: batch.texts.get(judged.text.clone()).unwrap_or_default(),
                submitted: judged.submitted.clone().and_then(|range| batch.texts.get(range)),
                facts: &judged.facts,
                decision: judged.decision.outcome().as_str(),
                reasons,
                risk: judged.decision.risk(),
                policy: &judged.digest.digest,
                mode: match judged.mode {
                    Mode::Enforce => audit::Mode::Enforce,
                    Mode::Observe => audit::Mode::Observe,
                },
                latency_ns: judged.latency_ns,
            })
            .collect();
        self.ledger.append_as(&entries, self.promise)
    }

    /// Shows what a batch's judgements were, for the terminal view.
    pub(crate) fn show(batch: &Batch, mut each: impl FnMut(&Decision, bool, &[u8])) {
        for judged in &batch.judged {
            let text = batch.texts.get(judged.text.clone()).unwrap_or_default();
            each(&judged.decision, judged.forwarded, text);
        }
    }
}

fn views<'a>(judged: &'a Judged, said: &'a [(String, String)]) -> Vec<ReasonView<'a>> {
    judged
        .decision
        .reasons()
        .iter()
        .zip(said)
        .map(|(reason, (message, suggestion))| ReasonView {
            code: reason.code().as_str(),
            category: reason.category(),
            bucket: reason.bucket().as_str(),
            message,
            suggestion,
        })
        .collect()
}

/// Both or neither: one statement that is not allowed refuses the whole submission.
pub(crate) fn both(first: Decision, second: Decision) -> Decision {
    match (first.is_allowed(), second.is_allowed()) {
        (true, _) => second.with_other_risk(first.risk()),
        (false, true) => first.with_other_risk(second.risk()),
        (false, false) => {
            let mut reasons = first.reasons().to_vec();
            for reason in second.reasons() {
                if !reasons.contains(reason) {
                    reasons.push(reason.clone());
                }
            }
            let risk = first.risk().max(second.risk());
            Decision::deny(first.policy(), reasons).with_other_risk(risk)
        }
    }
}
