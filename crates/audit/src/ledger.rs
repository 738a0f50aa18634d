//! The ledger of one process: records go in, receipts come out.
//!
//! Entries are serialised outside the lock; under it they get number, time and place in the chain
//! and are handed to the kernel with one write. What has to reach the disk is the business of the
//! [`syncer`](crate::syncer).
//!
//! Invariants:
//! - `record_before_forward`: `append` returns a receipt only when every entry is with the kernel
//!   (strict, group), and a strict receipt is durable only when it is on the disk.
//! - After a failed write or sync every later call fails.

use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::shared::{Body, Shared};
use crate::{
    Clock, Entry, Key, LedgerError, LedgerFault, Payload, Promise, Receipt, Settled, SystemClock,
    limits, open, syncer,
};

/// How a ledger is kept.
#[derive(Clone)]
pub struct LedgerConfig {
    /// Its folder; made, with mode 0700, if there is none.
    pub dir: PathBuf,
    /// Its key; made, with mode 0600, if there is none. Better kept outside `dir`.
    pub key_file: PathBuf,
    /// A segment that would grow beyond this is ended and the next one started.
    pub segment_bytes: u64,
    /// What an append promises if it does not say.
    pub promise: Promise,
    /// How much of each statement is kept.
    pub payload: Payload,
    /// A signed checkpoint at least after so many records.
    pub checkpoint_every: u64,
    /// A signed checkpoint at least after so long, if there are records since the last.
    pub checkpoint_interval: Duration,
    /// Where records take their time from.
    pub clock: Arc<dyn Clock>,
}

impl LedgerConfig {
    /// The defaults: group, full, 64 MiB, a checkpoint after 1000 records or 5 seconds.
    pub fn new(dir: impl Into<PathBuf>, key_file: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            key_file: key_file.into(),
            segment_bytes: 64 << 20,
            promise: Promise::Group,
            payload: Payload::Full,
            checkpoint_every: 1000,
            checkpoint_interval: Duration::from_secs(5),
            clock: Arc::new(SystemClock),
        }
    }
}

impl fmt::Debug for LedgerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerConfig")
            .field("dir", &self.dir)
            .field("key_file", &self.key_file)
            .field("segment_bytes", &self.segment_bytes)
            .field("promise", &self.promise)
            .field("payload", &self.payload)
            .finish_non_exhaustive()
    }
}

/// What opening a ledger found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// A last record that a crash left unfinished was cut off and kept here.
    pub torn: Option<Torn>,
    /// Chains that were not continued because they do not verify; `verify` says more.
    pub abandoned: Vec<Abandoned>,
}

/// An unfinished last record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// Where it was cut from.
    pub segment: PathBuf,
    /// Where it is kept.
    pub kept: PathBuf,
    /// How many bytes.
    pub bytes: u64,
}

/// A chain that was found changed when the ledger was opened, and left as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abandoned {
    /// Its last segment.
    pub segment: PathBuf,
    /// Why.
    pub problem: &'static str,
}

/// Whether the ledger takes records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Sound,
    /// It does not: everything must be denied until it is opened again.
    Faulty(LedgerFault),
}

/// What the ledger has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Records of any kind.
    pub records: u64,
    /// Bytes handed to the kernel.
    pub bytes: u64,
    /// Syncs of a segment.
    pub fsyncs: u64,
    /// Segments started.
    pub segments: u64,
    /// How long the last sync took, in microseconds.
    pub last_fsync_us: u64,
    /// Records that are not on the disk yet.
    pub pending: u64,
}

/// An append-only, chained, signed record of every decision.
pub struct Ledger {
    shared: Arc<Shared>,
    syncer: Mutex<Option<JoinHandle<()>>>,
    recovery: Recovery,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("chain", &self.shared.chain).finish_non_exhaustive()
    }
}

thread_local! {
    static SCRATCH: RefCell<Body> = RefCell::new(Body::default());
}

impl Ledger {
    /// Opens the ledger in a folder: continues a chain that no other process writes, or starts
    /// one. A last record that a crash left unfinished is cut off, kept, and recorded.
    pub fn open(config: LedgerConfig) -> Result<Self, LedgerError> {
        let key = Key::load_or_create(&config.key_file)?;
        Self::start(open::open(config, &key, Box::new(crate::disk::Files))?)
    }

    pub(crate) fn start((shared, recovery): (Shared, Recovery)) -> Result<Self, LedgerError> {
        let shared = Arc::new(shared);
        let syncer = syncer::spawn(Arc::clone(&shared))?;
        Ok(Self { shared, syncer: Mutex::new(Some(syncer)), recovery })
    }

    /// Appends all entries, in order and without another record between them, under the default
    /// promise. On a fault nothing that they record may be forwarded.
    pub fn append(&self, entries: &[Entry<'_>]) -> Result<Receipt, LedgerFault> {
        self.append_as(entries, self.shared.promise)
    }

    /// As [`append`](Self::append), under the promise of a door.
    pub fn append_as(
        &self,
        entries: &[Entry<'_>],
        promise: Promise,
    ) -> Result<Receipt, LedgerFault> {
        let payload = self.shared.payload;
        self.with_body(
            entries,
            |entry, out| entry.write(out, payload),
            |shared, body| shared.append(body, promise),
        )
    }

    /// Records how things ended. Buffered: written with the next append, or within 10 ms.
    pub fn settle(&self, settled: &[Settled<'_>]) -> Result<(), LedgerFault> {
        self.with_body(
            settled,
            |settled, out| {
                settled.write(out);
                Ok(())
            },
            Shared::settle,
        )
    }

    fn with_body<T, R>(
        &self,
        items: &[T],
        write: impl Fn(&T, &mut Vec<u8>) -> Result<(), LedgerFault>,
        take: impl FnOnce(&Shared, &Body) -> Result<R, LedgerFault>,
    ) -> Result<R, LedgerFault> {
        if items.len() > limits::MAX_ENTRIES {
            return Err(LedgerFault::TooLarge);
        }
        // Taken out and put back, so that a caller's clock or waker may use the ledger itself.
        let mut body = SCRATCH.with(RefCell::take);
        body.clear();
        let result = items
            .iter()
            .try_for_each(|item| body.push(|out| write(item, out)))
            .and_then(|()| take(&self.shared, &body));
        if body.is_small() {
            SCRATCH.with(|scratch| scratch.replace(body));
        }
        result
    }

    /// Whether the records of a receipt are on the disk.
    pub fn is_durable(&self, receipt: Receipt) -> Result<bool, LedgerFault> {
        self.shared.is_durable(receipt.last())
    }

    /// Resolves as soon as the records of a receipt are as durable as was promised for them:
    /// at once for group and relaxed, after a sync for strict.
    pub fn wait(&self, receipt: Receipt) -> Durable {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Durable { shared: Arc::clone(&self.shared), receipt, id }
    }

    /// Whether it takes records.
    pub fn health(&self) -> Health {
        match self.shared.fault() {
            None => Health::Sound,
            Some(fault) => Health::Faulty(fault),
        }
    }

    /// What it has done.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// What opening it found.
    pub const fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// The chain that this process writes.
    pub fn chain(&self) -> crate::ChainId {
        self.shared.chain
    }

    /// Writes and syncs everything, with a last checkpoint. Later calls fail with
    /// [`LedgerFault::Closed`].
    pub fn close(self) -> Result<(), LedgerFault> {
        self.end()
    }

    fn end(&self) -> Result<(), LedgerFault> {
        let handle = self.syncer.lock().map_or(None, |mut slot| slot.take());
        let Some(handle) = handle else { return Ok(()) };
        let closed = self.shared.close();
        handle.join().map_err(|_panic| LedgerFault::Internal)?;
        closed?;
        self.shared.closed_cleanly()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if let Err(_fault) = self.end() {
            // Nobody is left to tell; the receipts of what was lost never became durable.
        }
    }
}

/// Resolves when records are as durable as was promised; see [`Ledger::wait`].
#[must_use = "a future does nothing until it is awaited"]
pub struct Durable {
    shared: Arc<Shared>,
    receipt: Receipt,
    id: u64,
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durable").field("receipt", &self.receipt).finish_non_exhaustive()
    }
}

impl Future for Durable {
    type Output = Result<(), LedgerFault>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.receipt.promise {
            Promise::Strict => {
                self.shared.poll_durable(self.receipt.last(), self.id, context.waker())
            }
            Promise::Group | Promise::Relaxed => match self.shared.fault() {
                None | Some(LedgerFault::Closed) => Poll::Ready(Ok(())),
                Some(fault) => Poll::Ready(Err(fault)),
            },
        }
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        if self.receipt.promise == Promise::Strict {
            self.shared.forget(self.receipt.last(), self.id);
        }
    }
}
