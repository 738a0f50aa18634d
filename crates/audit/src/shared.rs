//! What the callers of a ledger and its syncer share: the end of the chain, and the one lock.
//!
//! Only this file writes to a segment. Everything that moves the end of the chain happens here,
//! under the lock, so sequence, links and file order cannot differ.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;

use crate::chain::{self, Hash, Sealer};
use crate::checkpoint::{self, Mark};
use crate::disk::{self, Disk, Segment};
use crate::{
    ChainId, Clock, LedgerFault, Payload, Promise, Receipt, Stats, limits, record, segment,
};

/// Serialised records that still lack number, time and seal.
#[derive(Debug, Default)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Body {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Whether its buffer is worth keeping.
    pub(crate) fn is_small(&self) -> bool {
        self.bytes.capacity() <= limits::MAX_STATEMENT_BYTES
    }

    /// Adds one record.
    pub(crate) fn push(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), LedgerFault>,
    ) -> Result<(), LedgerFault> {
        let start = self.bytes.len();
        write(&mut self.bytes)?;
        let too_long = self.bytes.len() - start > limits::MAX_RECORD_BYTES;
        if too_long || self.bytes.len() > limits::MAX_APPEND_BYTES {
            return Err(LedgerFault::TooLarge);
        }
        self.ends.push(self.bytes.len());
        Ok(())
    }

    fn records(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.bytes.get(start..*end).unwrap_or_default())
    }
}

/// Fixed for the life of a ledger, and the state.
pub(crate) struct Shared {
    pub(crate) chain: ChainId,
    pub(crate) dir: PathBuf,
    pub(crate) promise: Promise,
    pub(crate) payload: Payload,
    pub(crate) segment_bytes: u64,
    pub(crate) checkpoint_every: u64,
    pub(crate) checkpoint_interval: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disk: Box<dyn Disk>,
    pub(crate) sealer: Sealer,
    pub(crate) signing_key: SigningKey,
    pub(crate) key_id: String,
    /// Held as long as the ledger: while it is locked, no other process writes the chain.
    pub(crate) _lock: std::fs::File,
    pub(crate) state: Mutex<State>,
    pub(crate) work: Condvar,
    /// Set with `State::fault`, so that asking for it takes no lock.
    pub(crate) faulty: AtomicBool,
    /// Highest number that is on the disk.
    pub(crate) synced: AtomicU64,
}

/// The end of the chain, and what has yet to be done about it.
pub(crate) struct State {
    /// Where records go.
    pub(crate) segment: Option<Arc<dyn Segment>>,
    pub(crate) segment_number: u32,
    pub(crate) segment_len: u64,
    /// Number and hash of the last record.
    pub(crate) seq: u64,
    pub(crate) head: Hash,
    /// Sealed records that are not with the kernel yet.
    pub(crate) pending: Vec<u8>,
    pub(crate) pending_since: Option<Instant>,
    /// Since when something that was promised a sync lacks one.
    pub(crate) unsynced_since: Option<Instant>,
    /// Somebody waits for a sync of records up to this number.
    pub(crate) strict_upto: u64,
    /// Earlier segments that still need a sync, and whether the folder does.
    pub(crate) ended: Vec<Arc<dyn Segment>>,
    pub(crate) folder_changed: bool,
    pub(crate) since_checkpoint: u64,
    pub(crate) last_checkpoint: Instant,
    /// Copied beside the segments as soon as what it covers is on the disk.
    pub(crate) mark: Option<Mark>,
    pub(crate) waiters: BTreeMap<(u64, u64), Waker>,
    pub(crate) fault: Option<LedgerFault>,
    pub(crate) closing: bool,
    pub(crate) stats: Stats,
    pub(crate) syncer: Syncer,
}

/// What the syncer does, so that nobody wakes it for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syncer {
    /// It works, and looks at what is due before it sleeps.
    Works,
    /// It sleeps until it is woken.
    Sleeps,
    /// It wakes by itself at this time.
    SleepsUntil(Instant),
}

impl Shared {
    pub(crate) fn lock(&self) -> Result<MutexGuard<'_, State>, LedgerFault> {
        self.state.lock().map_err(|_poisoned| LedgerFault::Internal)
    }

    pub(crate) fn fault(&self) -> Option<LedgerFault> {
        match self.lock() {
            Ok(state) => state.fault.or(state.closing.then_some(LedgerFault::Closed)),
            Err(fault) => Some(fault),
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let Ok(state) = self.lock() else { return Stats::default() };
        let pending = state.seq.saturating_sub(self.synced.load(Ordering::Acquire));
        Stats { pending, ..state.stats }
    }

    /// Takes the records of an append.
    pub(crate) fn append(&self, body: &Body, promise: Promise) -> Result<Receipt, LedgerFault> {
        let mut state = self.lock()?;
        state.usable()?;
        self.make_room(&mut state, body)?;
        let first = state.seq.saturating_add(1);
        self.push_all(&mut state, body);
        let count = state.seq.saturating_add(1).saturating_sub(first);
        if state.since_checkpoint >= self.checkpoint_every {
            self.push_checkpoint(&mut state);
        }
        match promise {
            Promise::Strict | Promise::Group => self.flush(&mut state)?,
            Promise::Relaxed => self.buffer(&mut state)?,
        }
        match promise {
            Promise::Strict => {
                state.strict_upto = state.seq;
                self.work.notify_one();
            }
            Promise::Group => self.want_sync(&mut state),
            Promise::Relaxed => {}
        }
        Ok(Receipt { chain: self.chain, first, count, promise })
    }

    /// Takes settlements.
    pub(crate) fn settle(&self, body: &Body) -> Result<(), LedgerFault> {
        let mut state = self.lock()?;
        state.usable()?;
        self.make_room(&mut state, body)?;
        self.push_all(&mut state, body);
        self.buffer(&mut state)?;
        match self.promise {
            Promise::Strict | Promise::Group => self.want_sync(&mut state),
            Promise::Relaxed => {}
        }
        Ok(())
    }

    fn push_all(&self, state: &mut State, body: &Body) {
        for record in body.records() {
            self.push(state, record);
        }
    }

    /// Gives a record its number, time and seal.
    pub(crate) fn push(&self, state: &mut State, body: &[u8]) {
        let start = state.pending.len();
        state.seq = state.seq.saturating_add(1);
        chain::start(&mut state.pending, state.seq, self.clock.now());
        state.pending.extend_from_slice(body);
        state.head = self.sealer.seal(&mut state.pending, start, &state.head);
        state.since_checkpoint = state.since_checkpoint.saturating_add(1);
        state.stats.records = state.stats.records.saturating_add(1);
    }

    /// Leaves what is pending to the syncer, unless it is much.
    fn buffer(&self, state: &mut State) -> Result<(), LedgerFault> {
        if state.pending.len() >= limits::MAX_PENDING_BYTES {
            return self.flush(state);
        }
        if state.pending_since.is_none() && !state.pending.is_empty() {
            let now = Instant::now();
            state.pending_since = Some(now);
            self.nudge(state, now + limits::GROUP_INTERVAL);
        }
        Ok(())
    }

    /// Hands what is pending to the kernel.
    pub(crate) fn flush(&self, state: &mut State) -> Result<(), LedgerFault> {
        state.pending_since = None;
        if state.pending.is_empty() {
            return Ok(());
        }
        let segment = state.segment.clone().ok_or(LedgerFault::Internal)?;
        let written = disk::write_all(segment.as_ref(), &state.pending);
        if let Err(error) = written {
            return Err(self.fail(state, LedgerFault::Write(error.kind())));
        }
        let taken = u64::try_from(state.pending.len()).unwrap_or(u64::MAX);
        state.segment_len = state.segment_len.saturating_add(taken);
        state.stats.bytes = state.stats.bytes.saturating_add(taken);
        state.pending.clear();
        state.pending.shrink_to(limits::MAX_PENDING_BYTES * 2);
        Ok(())
    }

    fn want_sync(&self, state: &mut State) {
        if state.unsynced_since.is_none() {
            let now = Instant::now();
            state.unsynced_since = Some(now);
            self.nudge(state, now + limits::GROUP_INTERVAL);
        }
    }

    /// Wakes the syncer if it would sleep longer than until `due`.
    fn nudge(&self, state: &State, due: Instant) {
        match state.syncer {
            Syncer::Sleeps => self.work.notify_one(),
            Syncer::SleepsUntil(wakes) if wakes > due => self.work.notify_one(),
            Syncer::Works | Syncer::SleepsUntil(_) => {}
        }
    }

    /// Ends the ledger: nothing is taken any more. The syncer tells whoever waits.
    pub(crate) fn fail(&self, state: &mut State, fault: LedgerFault) -> LedgerFault {
        let first = *state.fault.get_or_insert(fault);
        self.faulty.store(true, Ordering::Release);
        state.pending.clear();
        self.work.notify_one();
        first
    }

    /// Wakes whoever waits, for the last time. Never under the lock: a waker may use the ledger.
    pub(crate) fn wake_all(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        waiters.into_values().for_each(Waker::wake);
    }

    /// Starts the next segment if `body` would not fit into this one.
    fn make_room(&self, state: &mut State, body: &Body) -> Result<(), LedgerFault> {
        let waiting = state.pending.len().saturating_add(body.bytes.len());
        let waiting = u64::try_from(waiting).unwrap_or(u64::MAX);
        if state.segment_len.saturating_add(waiting) <= self.segment_bytes {
            return Ok(());
        }
        self.push_checkpoint(state);
        let mut rotated = Vec::new();
        record::text(&mut rotated, "kind", "rotated");
        record::number(&mut rotated, "next", u64::from(state.segment_number) + 1);
        self.push(state, &rotated);
        self.flush(state)?;
        state.ended.extend(state.segment.take());
        if let Err(error) = self.open_segment(state) {
            return Err(self.fail(state, LedgerFault::Segment(error.kind())));
        }
        self.flush(state)?;
        self.want_sync(state);
        Ok(())
    }

    /// Makes the next segment; its first record stays pending.
    pub(crate) fn open_segment(&self, state: &mut State) -> io::Result<()> {
        let number = state.segment_number.saturating_add(1);
        if number > limits::MAX_SEGMENTS {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let path = segment::path(&self.dir, self.chain, number);
        state.segment = Some(self.disk.create(&path)?);
        state.segment_number = number;
        state.segment_len = 0;
        state.folder_changed = true;
        state.stats.segments = state.stats.segments.saturating_add(1);
        let mut opened = Vec::new();
        record::text(&mut opened, "kind", "opened");
        record::number(&mut opened, "format", crate::FORMAT);
        record::text(&mut opened, "chain", &self.chain.to_string());
        record::number(&mut opened, "segment", u64::from(number));
        record::text(&mut opened, "key_id", &self.key_id);
        record::hex(&mut opened, "public_key", self.signing_key.verifying_key().as_bytes());
        record::text(&mut opened, "promise", self.promise.as_str());
        record::text(&mut opened, "payload", self.payload.as_str());
        record::text(&mut opened, "version", env!("CARGO_PKG_VERSION"));
        self.push(state, &opened);
        Ok(())
    }

    /// Signs the chain as it is.
    pub(crate) fn push_checkpoint(&self, state: &mut State) {
        let covers = Mark::sign(&self.signing_key, self.chain, state.seq, state.head);
        let mut body = Vec::new();
        checkpoint::write(&mut body, &covers);
        self.push(state, &body);
        state.mark = Some(Mark::sign(&self.signing_key, self.chain, state.seq, state.head));
        state.since_checkpoint = 0;
        state.last_checkpoint = Instant::now();
    }

    pub(crate) fn is_durable(&self, seq: u64) -> Result<bool, LedgerFault> {
        if self.synced.load(Ordering::Acquire) >= seq {
            return Ok(true);
        }
        self.lock()?.fault.map_or(Ok(false), Err)
    }

    pub(crate) fn poll_durable(
        &self,
        seq: u64,
        id: u64,
        waker: &Waker,
    ) -> Poll<Result<(), LedgerFault>> {
        let mut state = match self.lock() {
            Ok(state) => state,
            Err(fault) => return Poll::Ready(Err(fault)),
        };
        if self.synced.load(Ordering::Acquire) >= seq {
            return Poll::Ready(Ok(()));
        }
        if let Some(fault) = state.fault {
            return Poll::Ready(Err(fault));
        }
        state.waiters.insert((seq, id), waker.clone());
        Poll::Pending
    }

    pub(crate) fn forget(&self, seq: u64, id: u64) {
        if let Ok(mut state) = self.lock() {
            state.waiters.remove(&(seq, id));
        }
    }

    /// Last checkpoint, then the syncer's last round.
    pub(crate) fn close(&self) -> Result<(), LedgerFault> {
        let locked = self.lock();
        if locked.is_err() {
            // It may sleep; awake, it finds the lock as we did, and ends.
            self.work.notify_one();
        }
        let mut state = locked?;
        let sound = state.usable();
        if sound.is_ok() {
            self.push_checkpoint(&mut state);
        }
        state.closing = true;
        self.faulty.store(true, Ordering::Release);
        self.work.notify_one();
        sound
    }

    /// After the syncer ended: whether it did all it had to.
    pub(crate) fn closed_cleanly(&self) -> Result<(), LedgerFault> {
        self.lock()?.fault.map_or(Ok(()), Err)
    }
}

impl State {
    fn usable(&self) -> Result<(), LedgerFault> {
        match self.fault {
            Some(fault) => Err(fault),
            None if self.closing => Err(LedgerFault::Closed),
            None => Ok(()),
        }
    }
}
