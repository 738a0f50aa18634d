//! One client, one upstream connection, from login to goodbye.
//!
//! The story: bytes -> frame -> submission -> facts -> decision -> record -> forward or refuse.
//! Nothing here writes and waits: both directions are pumped in one poll, also while a record waits
//! for the disk, and a peer that stops reading stops being read.

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pgwire::limits::{ROWS_PREFIX_BYTES, UPSTREAM_PREFIX_BYTES};
use pgwire::{HEADER_BYTES, Side, Status, UpstreamTag, Violation, upstream_header};
use policy::ReasonCode;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::cancel::{BackendKey, cancel};
use super::judge::{Answer, Judge, Taken};
use super::refusal::{fatal, recorded};
use super::writer::{Rest, ToUpstream};
use crate::Shared;
use crate::buffer::{InBuffer, OutBuffer};
use crate::gate::Clearing;
use crate::limits::{
    FAREWELL_TIMEOUT, HANG_UP_LOOK, MAX_REPLACED_ERROR_BYTES, MAX_TURNS, READ_BYTES,
};
use crate::tasks::Drain;

/// How a session ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The client said goodbye or hung up.
    ClientLeft,
    /// The upstream closed.
    UpstreamLeft,
    /// We are shutting down.
    Drained,
    /// A peer broke the protocol.
    Violation(Violation),
    /// The server was about to send rows that the judgement did not know of.
    Contradicted,
    /// A decision could not be recorded.
    Unrecorded(audit::LedgerFault),
    /// A socket failed.
    Lost(io::Error),
}

/// The two sockets and what is between them and us.
#[derive(Debug)]
struct Wires {
    client: TcpStream,
    upstream: TcpStream,
    from_client: InBuffer,
    to_client: OutBuffer,
    from_upstream: InBuffer,
    to_upstream: ToUpstream,
}

/// What the next client bytes are.
#[derive(Debug)]
enum Flow {
    /// Frames.
    Frames,
    /// The rest of a long frame that may pass.
    Stream(Rest),
    /// The rest of a long frame that is dropped.
    Drop(usize),
}

/// Whether there is more to come from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    /// Yes.
    Here,
    /// It said goodbye. The server finishes what it was asked.
    Leaving,
    /// It said goodbye and does not read any more.
    Deaf,
    /// It hung up.
    Gone,
}

/// An authenticated session. Login happens before, in `pg::login`.
#[derive(Debug)]
pub(crate) struct Session {
    shared: Arc<Shared>,
    key: Option<BackendKey>,
    wires: Wires,
    judge: Judge,
    flow: Flow,
    /// Bytes of an upstream frame that are still to be relayed.
    upstream_rest: usize,
    /// Upstream bytes of an error that was replaced.
    upstream_drop: usize,
    /// How much the client buffer must hold for its next frame.
    wanted: usize,
    clearing: Option<Clearing>,
    brake: Option<Pin<Box<Sleep>>>,
    braked: bool,
    drain: Drain,
    deadline: Option<Pin<Box<Sleep>>>,
    client_is: Client,
    /// While the upstream does not read, neither do we: this looks whether the client is still there.
    watch: Option<Watch>,
    upstream_gone: bool,
}

/// The next look at a client that is not read.
#[derive(Debug)]
struct Watch {
    timer: Pin<Box<Sleep>>,
    /// What the upstream had yet to take at the last look.
    waiting: usize,
    /// It took nothing between the last two looks.
    stuck: bool,
}

/// What login hands over.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    pub(crate) client: TcpStream,
    pub(crate) upstream: TcpStream,
    pub(crate) from_client: InBuffer,
    pub(crate) from_upstream: InBuffer,
    pub(crate) to_client: OutBuffer,
    pub(crate) key: Option<BackendKey>,
    pub(crate) judge: Judge,
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>, logged_in: LoggedIn, drain: Drain) -> Self {
        let LoggedIn { client, upstream, from_client, from_upstream, to_client, key, judge } =
            logged_in;
        let to_upstream = ToUpstream::default();
        Self {
            shared,
            key,
            wires: Wires { client, upstream, from_client, to_client, from_upstream, to_upstream },
            judge,
            flow: Flow::Frames,
            upstream_rest: 0,
            upstream_drop: 0,
            wanted: READ_BYTES,
            clearing: None,
            brake: None,
            braked: false,
            drain,
            deadline: None,
            client_is: Client::Here,
            watch: None,
            upstream_gone: false,
        }
    }

    /// Runs to the end.
    pub(crate) async fn run(mut self) -> End {
        let end = loop {
            if let Some(end) = poll_fn(|cx| self.poll(cx)).await {
                break end;
            }
            tokio::task::yield_now().await;
        };
        self.leave(&end).await;
        end
    }

    /// Works until there is nothing to do, or the session ends. `None` when it has worked for so long that the
    /// runtime must look at the sockets first: what it has not looked at, `turn` does not see.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        for _ in 0..MAX_TURNS {
            match self.turn(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(end) => return Poll::Ready(Some(end)),
            }
        }
        Poll::Ready(None)
    }

    /// Everything that can be done now, once. Whether something was.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut progress = self.read_upstream(cx)?;
        progress |= self.pump_upstream()?;
        progress |= self.flush_client(cx)?;
        progress |= self.poll_clearing(cx)?;
        progress |= self.read_client(cx);
        progress |= self.watch_client(cx);
        self.poll_brake(cx);
        progress |= self.pump_client()?;
        // What the next frame has just begun to wait for has to know whom to wake.
        progress |= self.judge.poll_catalog(cx);
        progress |= self.poll_clearing(cx)?;
        let upstream = &mut self.wires.upstream;
        progress |= flushed(self.wires.to_upstream.poll_flush(cx, upstream))?;
        self.check_ends()?;
        self.check_drain(cx)?;
        if !progress {
            self.wires.from_client.shrink();
            self.wires.from_upstream.shrink();
            self.wires.to_client.shrink();
            self.wires.to_upstream.shrink();
        }
        Ok(progress)
    }

    fn flush_client(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let Wires { client, to_client, .. } = &mut self.wires;
        match (self.client_is, to_client.poll_flush(cx, client)) {
            (Client::Leaving | Client::Deaf, Poll::Ready(Err(_closed))) => {
                self.client_is = Client::Deaf;
                *to_client = OutBuffer::default();
                Ok(false)
            }
            (Client::Here | Client::Leaving | Client::Deaf | Client::Gone, done) => flushed(done),
        }
    }

    fn read_upstream(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let wires = &mut self.wires;
        if self.upstream_gone || !wires.to_client.has_room() {
            return Ok(false);
        }
        match wires.from_upstream.poll_fill(cx, &mut wires.upstream, MAX_REPLACED_ERROR_BYTES * 2) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0)) => {
                self.upstream_gone = true;
                Ok(true)
            }
            Poll::Ready(Ok(_)) => Ok(true),
            Poll::Ready(Err(error)) => Err(End::Lost(error)),
        }
    }

    fn read_client(&mut self, cx: &mut Context<'_>) -> bool {
        if self.client_is != Client::Here {
            return false;
        }
        let wires = &mut self.wires;
        match wires.from_client.poll_fill(cx, &mut wires.client, self.wanted) {
            Poll::Pending => false,
            // A reset is a way of leaving, too.
            Poll::Ready(Ok(0) | Err(_)) => {
                self.client_is = Client::Gone;
                true
            }
            Poll::Ready(Ok(_)) => true,
        }
    }

    /// A client that hangs up while the upstream takes nothing is noticed, though it is not read; and
    /// one that is gone is not survived by what the upstream does not take.
    fn watch_client(&mut self, cx: &mut Context<'_>) -> bool {
        let unread = match self.client_is {
            Client::Here => !self.wires.to_upstream.has_room(),
            Client::Gone => !self.wires.to_upstream.is_empty(),
            Client::Leaving | Client::Deaf => false,
        };
        if !unread {
            self.watch = None;
            return false;
        }
        let waiting = self.wires.to_upstream.waiting();
        let new = || Watch { timer: Box::pin(sleep(HANG_UP_LOOK)), waiting, stuck: false };
        let watch = self.watch.get_or_insert_with(new);
        if watch.timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        let stuck = watch.waiting == waiting;
        // Once more round, to start the next timer.
        self.watch = Some(Watch { stuck, ..new() });
        if stuck && self.client_is == Client::Here && has_hung_up(&self.wires.client, cx) {
            self.client_is = Client::Gone;
        }
        true
    }

    /// Upstream frames to the client.
    fn pump_upstream(&mut self) -> Result<bool, End> {
        let mut progress = false;
        while self.wires.to_client.has_room() && self.upstream_frame()? {
            progress = true;
        }
        Ok(progress)
    }

    fn upstream_frame(&mut self) -> Result<bool, End> {
        let Wires { from_upstream, to_client, .. } = &mut self.wires;
        let filled = from_upstream.filled();
        if filled.is_empty() {
            return Ok(false);
        }
        if self.upstream_drop > 0 {
            let count = self.upstream_drop.min(filled.len());
            from_upstream.consume(count);
            self.upstream_drop -= count;
            return Ok(true);
        }
        if self.upstream_rest > 0 {
            let count = self.upstream_rest.min(filled.len());
            to_client.push(filled.get(..count).unwrap_or_default());
            from_upstream.consume(count);
            self.upstream_rest -= count;
            return Ok(true);
        }
        let Some(header) = upstream_header(filled).map_err(End::Violation)? else {
            return Ok(false);
        };
        let tells_rows = header.tag == UpstreamTag::RowDescription;
        let prefix = if tells_rows { ROWS_PREFIX_BYTES } else { UPSTREAM_PREFIX_BYTES };
        let seen = header.body.min(prefix);
        let Some(body) = filled.get(HEADER_BYTES..HEADER_BYTES + seen) else { return Ok(false) };
        match self.judge.answer(header.tag, body).map_err(End::Violation)? {
            Answer::Relay => {
                let here = header.frame().min(filled.len());
                to_client.push(filled.get(..here).unwrap_or_default());
                from_upstream.consume(here);
                self.upstream_rest = header.frame() - here;
            }
            Answer::Contradicted => return Err(End::Contradicted),
            Answer::Refusal(refusal) => {
                refusal.encode(to_client.tail());
                let here = header.frame().min(filled.len());
                from_upstream.consume(here);
                self.upstream_drop = header.frame() - here;
            }
        }
        if header.tag == UpstreamTag::Ready {
            self.braked = self.judge.brake().is_some();
        }
        Ok(true)
    }

    /// Client frames to the gate.
    fn pump_client(&mut self) -> Result<bool, End> {
        let mut progress = false;
        while self.client_may_go_on() {
            if !self.client_step()? {
                break;
            }
            progress = true;
        }
        if self.clearing.is_none() && self.judge.has_batch() {
            self.clearing = Some(self.judge.clear().map_err(End::Unrecorded)?);
            progress = true;
        }
        Ok(progress)
    }

    fn client_may_go_on(&self) -> bool {
        self.clearing.is_none()
            && self.brake.is_none()
            && matches!(self.client_is, Client::Here | Client::Gone)
            && !self.judge.batch_is_full()
            && self.wires.to_upstream.has_room()
    }

    fn client_step(&mut self) -> Result<bool, End> {
        let Wires { from_client, to_upstream, .. } = &mut self.wires;
        let filled = from_client.filled();
        match &mut self.flow {
            Flow::Frames => {}
            // The beginning of the frame has to leave first.
            Flow::Stream(_) if self.judge.has_batch() => return Ok(false),
            Flow::Stream(rest) => {
                let count = to_upstream.stream(rest, filled);
                from_client.consume(count);
                if rest.is_done() {
                    self.flow = Flow::Frames;
                    return Ok(true);
                }
                return Ok(count > 0);
            }
            Flow::Drop(left) => {
                let count = (*left).min(filled.len());
                from_client.consume(count);
                *left -= count;
                if *left == 0 {
                    self.flow = Flow::Frames;
                    return Ok(true);
                }
                return Ok(count > 0);
            }
        }
        self.wanted = READ_BYTES;
        match self.judge.take(filled).map_err(End::Violation)? {
            Taken::Bytes(count) => from_client.consume(count),
            Taken::More(wanted) => {
                self.wanted = wanted.max(READ_BYTES);
                return Ok(false);
            }
            Taken::Wait => return Ok(false),
            Taken::Stream(count, rest) => {
                from_client.consume(count);
                self.flow = Flow::Stream(rest);
            }
            Taken::Drop(count, left) => {
                from_client.consume(count);
                self.flow = if left == 0 { Flow::Frames } else { Flow::Drop(left) };
            }
            Taken::Goodbye(count) => {
                from_client.consume(count);
                self.client_is = Client::Leaving;
            }
        }
        Ok(true)
    }

    fn poll_clearing(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let Some(clearing) = &mut self.clearing else { return Ok(false) };
        match clearing.poll(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(cleared)) => {
                self.wires.to_upstream.forward(&cleared);
                self.clearing = None;
                Ok(true)
            }
            Poll::Ready(Err(fault)) => Err(End::Unrecorded(fault)),
        }
    }

    /// After many refusals in a row the next message waits; everything else goes on.
    fn poll_brake(&mut self, cx: &mut Context<'_>) {
        if self.braked {
            self.braked = false;
            self.brake = self.judge.brake().map(|delay| Box::pin(sleep(delay)));
        }
        if let Some(brake) = &mut self.brake
            && brake.as_mut().poll(cx).is_ready()
        {
            self.brake = None;
        }
    }

    fn check_ends(&self) -> Result<(), End> {
        let reads = matches!(self.client_is, Client::Here | Client::Leaving);
        let unheard = !self.wires.to_client.is_empty() && reads;
        if self.upstream_gone && self.wires.from_upstream.filled().is_empty() && !unheard {
            return Err(match self.client_is {
                Client::Here => End::UpstreamLeft,
                Client::Leaving | Client::Deaf | Client::Gone => End::ClientLeft,
            });
        }
        // Who vanished is not waited for, but everything that it had sent is looked at.
        let sent = self.clearing.is_none() && self.wires.to_upstream.is_empty();
        let stuck = self.watch.as_ref().is_some_and(|watch| watch.stuck);
        if self.client_is == Client::Gone && (sent || stuck || !self.wires.to_upstream.has_room()) {
            return Err(End::ClientLeft);
        }
        Ok(())
    }

    fn check_drain(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        if self.deadline.is_none() {
            match self.drain.poll(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(()) => {
                    self.deadline = Some(Box::pin(sleep(self.shared.settings.drain_timeout)));
                }
            }
        }
        let late = self.deadline.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        let protocol = self.judge.protocol();
        let idle = protocol.is_quiet()
            && protocol.status() == Status::Idle
            && self.clearing.is_none()
            && self.wires.from_client.filled().is_empty()
            && self.wires.to_client.is_empty();
        if idle || late { Err(End::Drained) } else { Ok(()) }
    }

    /// Records why the session ends. Gives the record.
    async fn record_end(&mut self, code: ReasonCode) -> Option<String> {
        match self.judge.record_end_of_session(code).await {
            Ok(record) => record.map(|record| record.to_string()),
            Err(fault) => {
                tracing::error!(%fault, "the end of a session could not be recorded");
                None
            }
        }
    }

    /// Last words, and nothing left behind: a query that still runs is cancelled.
    async fn leave(&mut self, end: &End) {
        let mut words = Vec::new();
        match end {
            End::ClientLeft | End::UpstreamLeft | End::Lost(_) => {}
            End::Drained => fatal(
                "57P01",
                "terminating connection due to administrator command",
                None,
                Some("Portcullis is shutting down. Reconnect."),
                &mut words,
            ),
            End::Violation(violation) => match violation.side() {
                Side::Client => {
                    let record = self.record_end(ReasonCode::MalformedMessage).await;
                    fatal("08P01", violation.what(), Some(&recorded(&record)), None, &mut words);
                }
                Side::Upstream => fatal(
                    "08P01",
                    "the database answered in a way that Portcullis cannot follow",
                    None,
                    Some("Reconnect. If it happens again, report the log line of this session."),
                    &mut words,
                ),
            },
            End::Contradicted => {
                let record = self.record_end(ReasonCode::CatalogContradicted).await;
                fatal(
                    "55000",
                    "the database answers from a table that the statement was not judged by",
                    Some(&recorded(&record)),
                    Some("Definitions have changed meanwhile. Reconnect."),
                    &mut words,
                );
            }
            End::Unrecorded(_) => fatal(
                "58030",
                "the decision could not be recorded, so nothing was forwarded",
                None,
                Some("Somebody has to look at the ledger of Portcullis: its disk may be full."),
                &mut words,
            ),
        }
        self.wires.to_client.push(&words);
        let (client, out) = (&mut self.wires.client, &mut self.wires.to_client);
        let farewell = poll_fn(|cx| match out.poll_flush(cx, client) {
            Poll::Ready(Ok(_)) if out.is_empty() => Poll::Ready(()),
            Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_gone)) => Poll::Ready(()),
        });
        if !words.is_empty() && tokio::time::timeout(FAREWELL_TIMEOUT, farewell).await.is_err() {
            tracing::debug!("client does not read its last words");
        }
        // After an orderly goodbye the server finishes what it was asked, as it does without us.
        let running = !self.judge.protocol().is_quiet()
            && !self.upstream_gone
            && matches!(self.client_is, Client::Here | Client::Gone);
        self.judge.lose();
        if running && let Some(key) = self.key.clone() {
            let upstream = self.shared.settings.upstream.clone();
            let open = self.judge.leave_open();
            self.shared.tasks.spawn(async move {
                if let Err(error) = cancel(&upstream, &key).await {
                    tracing::warn!(%error, "a query of a client that left could not be cancelled");
                }
                drop(open);
            });
            // The server looks at its socket once the query is cancelled.
            sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.shared.cancels.remove(key);
        }
    }
}

/// Whether the peer will send nothing more, whatever is still to be read from it.
fn has_hung_up(stream: &TcpStream, cx: &mut Context<'_>) -> bool {
    match pin!(stream.ready(Interest::READABLE)).poll(cx) {
        Poll::Ready(Ok(ready)) => ready.is_read_closed() || ready.is_error(),
        Poll::Ready(Err(_broken)) => true,
        Poll::Pending => false,
    }
}

fn flushed(poll: Poll<io::Result<bool>>) -> Result<bool, End> {
    match poll {
        Poll::Pending => Ok(false),
        Poll::Ready(Ok(wrote)) => Ok(wrote),
        Poll::Ready(Err(error)) => Err(End::Lost(error)),
    }
}
