//! The ledger of one process: records go in, receipts come out.
//!
//! Entries are serialised outside the lock; under it they get number, time and place in the chain
//! and are handed to the kernel with one write. What has to reach the disk is the business of the
//! [`syncer`].
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
        // First, for a key that is kept in it.
        open::make_folder(&config.dir)?;
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
        // Asked for every decision, so it does not wait for whoever writes. A fault that comes right
        // after is found by the append.
        if !self.shared.faulty.load(Ordering::Acquire) && !self.shared.state.is_poisoned() {
            return Health::Sound;
        }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::SeqCst;

    use super::*;
    use crate::testing::{
        Folder, Sample, block_on, failing, failing_with, with_extension, written,
    };
    use crate::{BrokenKind, Reader, RecordId, SettledOutcome, StoredRecord, verify};

    fn kinds(folder: &Folder) -> Vec<String> {
        folder
            .segments()
            .iter()
            .flat_map(|path| {
                let text = std::fs::read_to_string(path).unwrap();
                text.lines()
                    .map(|line| {
                        let value: serde_json::Value = serde_json::from_str(line).unwrap();
                        value["kind"].as_str().unwrap().to_owned()
                    })
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn what_is_appended_is_read_back_and_verifies() {
        let folder = Folder::new();
        let sample = Sample::new("users");
        let ledger = Ledger::open(folder.config()).unwrap();
        let receipt = ledger.append(&[sample.allowed(), sample.denied()]).unwrap();
        assert_eq!((receipt.count(), receipt.promise()), (2, Promise::Group));
        let settled = Settled {
            record: receipt.id(0),
            session: "s-1",
            outcome: SettledOutcome::Completed { rows: Some(7) },
            elapsed_ns: 1_500_000,
        };
        ledger.settle(&[settled]).unwrap();
        ledger.close().unwrap();

        let records: Vec<_> = Reader::open(&folder.ledger()).unwrap().map(Result::unwrap).collect();
        let decisions: Vec<_> = records
            .iter()
            .filter_map(|record| match record {
                StoredRecord::Decision(decision) => Some(decision),
                StoredRecord::Settled(_) | StoredRecord::Other(_) => None,
            })
            .collect();
        assert_eq!(decisions.len(), 2);
        assert_eq!(decisions[0].id, Some(receipt.id(0)));
        assert_eq!(decisions[0].facts, sample.facts);
        assert_eq!(decisions[0].principal, sample.principal);
        assert_eq!(decisions[0].exact_statement().unwrap(), sample.statement);
        assert_eq!(decisions[0].resources, ["read:public.users", "call:lower"]);
        assert_eq!(decisions[0].action, "sql.select");
        assert_eq!(decisions[1].reasons[0].code, "table_not_in_mission");
        assert!((decisions[1].latency_us - 12.345).abs() < 1e-9);
        let settled: Vec<_> = records
            .iter()
            .filter_map(|record| match record {
                StoredRecord::Settled(settled) => Some(settled),
                StoredRecord::Decision(_) | StoredRecord::Other(_) => None,
            })
            .collect();
        assert_eq!((settled.len(), settled[0].rows), (1, Some(7)));
        assert_eq!(RecordId::parse(&settled[0].record), Some(receipt.id(0)));

        let verified = verify(&folder.ledger(), Some(&folder.key())).unwrap();
        assert_eq!(verified.chains[0].records, 6);
        assert!(verified.keyed);
        assert!(!verify(&folder.ledger(), None).unwrap().keyed);
    }

    #[test]
    fn record_before_forward() {
        // When `append` returns, the record is in the file, without any help of the syncer.
        let folder = Folder::new();
        let sample = Sample::new("users");
        let ledger = Ledger::open(folder.config()).unwrap();
        for promise in [Promise::Group, Promise::Strict] {
            let receipt = ledger.append_as(&[sample.allowed()], promise).unwrap();
            let text = std::fs::read_to_string(&folder.segments()[0]).unwrap();
            assert!(text.contains(&format!("{{\"seq\":{},", receipt.id(0).seq)));
        }
    }

    #[test]
    fn a_strict_receipt_is_durable_only_after_a_sync() {
        let folder = Folder::new();
        let sample = Sample::new("users");
        let (ledger, faults) = failing(&folder);
        let closed_gate = faults.gate.lock().unwrap();
        let receipt = ledger.append_as(&[sample.allowed()], Promise::Strict).unwrap();
        assert_eq!(ledger.is_durable(receipt), Ok(false));
        let mut wait = Box::pin(ledger.wait(receipt));
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(wait.as_mut().poll(&mut context).is_pending());
        let syncs = faults.syncs.load(SeqCst);
        drop(closed_gate);
        block_on(wait).unwrap();
        assert_eq!(ledger.is_durable(receipt), Ok(true));
        assert!(faults.syncs.load(SeqCst) > syncs);
    }

    #[test]
    fn many_strict_writers_share_syncs() {
        const THREADS: u64 = 32;
        let folder = Folder::new();
        let mut config = folder.config();
        config.promise = Promise::Strict;
        let (ledger, faults) = failing_with(config);
        let (records, syncs) = (ledger.stats().records, faults.syncs.load(SeqCst));
        let gate = faults.gate.lock().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let sample = Sample::new("users");
                    let receipt = ledger.append(&[sample.allowed()]).unwrap();
                    block_on(ledger.wait(receipt)).unwrap();
                    assert_eq!(ledger.is_durable(receipt), Ok(true));
                });
            }
            while ledger.stats().records < records + THREADS {
                std::thread::yield_now();
            }
            drop(gate);
        });
        // One was under way for the first of them, one more serves all the others.
        assert!(faults.syncs.load(SeqCst) - syncs <= 2);
        ledger.close().unwrap();
        verify(&folder.ledger(), Some(&folder.key())).unwrap();
    }

    #[test]
    fn group_and_relaxed_records_reach_the_disk_by_themselves() {
        let folder = Folder::new();
        let sample = Sample::new("users");
        let ledger = Ledger::open(folder.config()).unwrap();
        let group = ledger.append_as(&[sample.allowed()], Promise::Group).unwrap();
        block_on(ledger.wait(group)).unwrap();
        while !ledger.is_durable(group).unwrap() {
            std::thread::yield_now();
        }
        let relaxed = ledger.append_as(&[sample.allowed()], Promise::Relaxed).unwrap();
        block_on(ledger.wait(relaxed)).unwrap();
        let wanted = format!("{{\"seq\":{},", relaxed.id(0).seq);
        while !std::fs::read_to_string(&folder.segments()[0]).unwrap().contains(&wanted) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_full_disk_denies_until_a_restart() {
        let folder = Folder::new();
        let sample = Sample::new("users");
        let (ledger, faults) = failing(&folder);
        let fine = ledger.append(&[sample.allowed()]).unwrap();
        *faults.room.lock().unwrap() = Some(100);
        let fault = ledger.append(&[sample.allowed()]).unwrap_err();
        assert_eq!(fault, LedgerFault::Write(std::io::ErrorKind::StorageFull));
        *faults.room.lock().unwrap() = None;
        assert_eq!(ledger.append(&[sample.allowed()]), Err(fault));
        assert_eq!(ledger.settle(&[]), Err(fault));
        assert_eq!(ledger.health(), Health::Faulty(fault));
        assert_eq!(block_on(ledger.wait(fine)), Err(fault));
        assert_eq!(ledger.close(), Err(fault));

        // The restart cuts the half record off, says so, and goes on.
        let broken = verify(&folder.ledger(), Some(&folder.key())).unwrap_err();
        assert_eq!(broken.kind, BrokenKind::TornTail);
        let ledger = Ledger::open(folder.config()).unwrap();
        assert_eq!(ledger.recovery().torn.as_ref().unwrap().bytes, 100);
        assert_eq!(ledger.append(&[sample.allowed()]).unwrap().count(), 1);
        ledger.close().unwrap();
        assert_eq!(verify(&folder.ledger(), None).unwrap().chains[0].recovered, 1);
    }

    #[test]
    fn a_failed_sync_denies_and_tells_all_that_wait() {
        let folder = Folder::new();
        let sample = Sample::new("users");
        let (ledger, faults) = failing(&folder);
        faults.sync.store(true, SeqCst);
        let receipt = ledger.append_as(&[sample.allowed()], Promise::Strict).unwrap();
        let fault = block_on(ledger.wait(receipt)).unwrap_err();
        assert!(matches!(fault, LedgerFault::Sync(_)));
        assert_eq!(ledger.append(&[sample.allowed()]), Err(fault));
        assert_eq!(ledger.is_durable(receipt), Err(fault));
        faults.sync.store(false, SeqCst);
        assert_eq!(ledger.append(&[sample.allowed()]), Err(fault));
    }

    #[test]
    fn short_writes_are_continued() {
        let folder = Folder::new();
        let sample = Sample::new("users");
        let (ledger, faults) = failing(&folder);
        faults.short.store(7, SeqCst);
        assert_eq!(ledger.append(&[sample.allowed(), sample.denied()]).unwrap().count(), 2);
        ledger.close().unwrap();
        verify(&folder.ledger(), Some(&folder.key())).unwrap();
    }

    #[test]
    fn one_append_is_one_write() {
        let folder = Folder::new();
        let sample = Sample::new("users");
        let (ledger, faults) = failing(&folder);
        let before = faults.writes.load(SeqCst);
        let entries = [sample.allowed(); 5];
        assert_eq!(ledger.append(&entries).unwrap().count(), 5);
        assert_eq!(faults.writes.load(SeqCst), before + 1);
    }

    #[test]
    fn a_segment_that_cannot_be_made_denies() {
        let folder = Folder::new();
        let sample = Sample::new("users");
        let mut config = folder.config();
        config.segment_bytes = 0;
        let (ledger, faults) = failing_with(config);
        faults.create.store(true, SeqCst);
        let fault = std::iter::repeat_with(|| ledger.append(&[sample.allowed()]))
            .take(10)
            .find_map(Result::err);
        assert_eq!(fault, Some(LedgerFault::Segment(std::io::ErrorKind::StorageFull)));
        assert_eq!(ledger.append(&[sample.allowed()]).err(), fault);
        drop(ledger);
        // Nothing is lost: the chain ends in `rotated`, and the next run goes on from there.
        let ledger = Ledger::open(folder.config()).unwrap();
        ledger.close().unwrap();
        verify(&folder.ledger(), Some(&folder.key())).unwrap();
    }

    #[test]
    fn segments_rotate_and_stay_one_chain() {
        let folder = Folder::new();
        let mut config = folder.config();
        config.segment_bytes = limits::MIN_SEGMENT_BYTES;
        let sample = Sample::new("users");
        let ledger = Ledger::open(config).unwrap();
        for _ in 0..20 {
            assert_eq!(ledger.append(&[sample.allowed()]).unwrap().count(), 1);
        }
        let segments = ledger.stats().segments;
        assert!(segments > 3);
        ledger.close().unwrap();
        let verified = verify(&folder.ledger(), Some(&folder.key())).unwrap();
        assert_eq!(verified.chains.len(), 1);
        assert_eq!(verified.chains[0].segments, segments);
        assert_eq!(
            kinds(&folder).iter().filter(|kind| *kind == "rotated").count() as u64 + 1,
            segments
        );
        for segment in folder.segments() {
            verify(&segment, Some(&folder.key())).unwrap();
        }
    }

    #[test]
    fn checkpoints_come_after_so_many_records_and_in_time() {
        let folder = Folder::new();
        let mut config = folder.config();
        config.checkpoint_every = 10;
        let sample = Sample::new("users");
        let ledger = Ledger::open(config).unwrap();
        for _ in 0..35 {
            assert_eq!(ledger.append(&[sample.allowed()]).unwrap().count(), 1);
        }
        ledger.close().unwrap();
        assert_eq!(kinds(&folder).iter().filter(|kind| *kind == "checkpoint").count(), 5);

        let folder = Folder::new();
        let mut config = folder.config();
        config.checkpoint_interval = Duration::from_millis(1);
        let ledger = Ledger::open(config).unwrap();
        let receipt = ledger.append(&[sample.allowed()]).unwrap();
        let covered = || {
            let mirror = with_extension(&folder.ledger(), "checkpoint");
            let text = std::fs::read_to_string(&mirror[0]).unwrap();
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            value["covers"].as_u64().unwrap()
        };
        while covered() <= receipt.id(0).seq {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_restart_continues_the_chain() {
        let folder = Folder::new();
        written(&folder, 3);
        let key = written(&folder, 3);
        let verified = verify(&folder.ledger(), Some(&key)).unwrap();
        assert_eq!((verified.chains.len(), verified.chains[0].segments), (1, 2));
    }

    #[test]
    fn a_second_writer_keeps_its_own_chain() {
        let folder = Folder::new();
        let sample = Sample::new("users");
        let one = Ledger::open(folder.config()).unwrap();
        let two = Ledger::open(folder.config()).unwrap();
        assert_ne!(one.chain(), two.chain());
        assert_eq!(one.append(&[sample.allowed()]).unwrap().count(), 1);
        assert_eq!(two.append(&[sample.denied()]).unwrap().count(), 1);
        // Readers take the folder, also while it is being written.
        assert_eq!(verify(&folder.ledger(), Some(&folder.key())).unwrap().chains.len(), 2);
        one.close().unwrap();
        let three = Ledger::open(folder.config()).unwrap();
        assert_ne!(three.chain(), two.chain());
        drop((two, three));
        let verified = verify(&folder.ledger(), Some(&folder.key())).unwrap();
        assert_eq!(verified.chains.len(), 2);
    }

    #[test]
    fn a_torn_last_record_is_kept_and_recorded() {
        for tail in [&b"{\"seq\":6,\"ts\":\"2026"[..], b"\0\0\0\0", b"{\"seq\":6\n\0\0\0\n"] {
            let folder = Folder::new();
            let key = written(&folder, 3);
            let segment = folder.segments()[0].clone();
            let mut bytes = std::fs::read(&segment).unwrap();
            let whole = bytes.len();
            bytes.extend_from_slice(tail);
            std::fs::write(&segment, &bytes).unwrap();
            assert_eq!(
                verify(&folder.ledger(), Some(&key)).unwrap_err().kind,
                BrokenKind::TornTail
            );

            let ledger = Ledger::open(folder.config()).unwrap();
            let torn = ledger.recovery().torn.clone().unwrap();
            assert_eq!(torn.bytes, tail.len() as u64);
            assert_eq!(std::fs::read(&torn.kept).unwrap(), tail);
            assert_eq!(std::fs::read(&segment).unwrap().len(), whole);
            ledger.close().unwrap();
            let verified = verify(&folder.ledger(), Some(&key)).unwrap();
            assert_eq!((verified.chains.len(), verified.chains[0].recovered), (1, 1));
        }
    }

    #[test]
    fn a_segment_without_any_record_is_replaced() {
        for start in [&b""[..], b"{\"seq\":6"] {
            let folder = Folder::new();
            let key = written(&folder, 3);
            let first = folder.segments()[0].clone();
            let name = first.to_str().unwrap().replace("-000001", "-000002");
            std::fs::write(&name, start).unwrap();
            let ledger = Ledger::open(folder.config()).unwrap();
            assert_eq!(ledger.recovery().torn.is_some(), !start.is_empty());
            ledger.close().unwrap();
            let verified = verify(&folder.ledger(), Some(&key)).unwrap();
            assert_eq!(verified.chains[0].segments, 2);
        }
    }

    #[test]
    fn a_changed_chain_is_left_as_it_is() {
        let folder = Folder::new();
        let key = written(&folder, 3);
        let segment = folder.segments()[0].clone();
        let text = std::fs::read_to_string(&segment).unwrap();
        std::fs::write(&segment, text.replace("\"risk\":3", "\"risk\":0")).unwrap();
        let ledger = Ledger::open(folder.config()).unwrap();
        assert_eq!(ledger.recovery().abandoned.len(), 1);
        ledger.close().unwrap();
        assert_eq!(verify(&folder.ledger(), Some(&key)).unwrap_err().kind, BrokenKind::Edited);
        assert_eq!(
            std::fs::read_to_string(&segment).unwrap(),
            text.replace("\"risk\":3", "\"risk\":0")
        );
        assert!(kinds(&folder).contains(&"recovered".to_owned()));
    }

    #[test]
    fn a_chain_whose_signed_end_is_missing_is_not_continued() {
        let folder = Folder::new();
        written(&folder, 3);
        let segment = folder.segments()[0].clone();
        let text = std::fs::read_to_string(&segment).unwrap();
        let kept: Vec<_> = text.lines().take(3).map(|line| format!("{line}\n")).collect();
        std::fs::write(&segment, kept.concat()).unwrap();
        let ledger = Ledger::open(folder.config()).unwrap();
        assert_eq!(ledger.recovery().abandoned.len(), 1);
        ledger.close().unwrap();
        assert_eq!(
            verify(&folder.ledger(), Some(&folder.key())).unwrap_err().kind,
            BrokenKind::Truncated
        );
    }

    #[test]
    fn another_key_does_not_continue_a_chain() {
        let folder = Folder::new();
        written(&folder, 1);
        std::fs::remove_file(folder.key_file()).unwrap();
        let error = Ledger::open(folder.config()).unwrap_err();
        assert!(matches!(error, LedgerError::WrongKey { .. }), "{error}");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_kept_without_loss() {
        let folder = Folder::new();
        let mut sample = Sample::new("users");
        sample.statement = vec![b's', 0xff, 0, b'\n', 0xc3];
        let ledger = Ledger::open(folder.config()).unwrap();
        assert_eq!(ledger.append(&[sample.allowed()]).unwrap().count(), 1);
        ledger.close().unwrap();
        let decision = Reader::open(&folder.ledger())
            .unwrap()
            .find_map(|record| match record.unwrap() {
                StoredRecord::Decision(decision) => Some(decision),
                StoredRecord::Settled(_) | StoredRecord::Other(_) => None,
            })
            .unwrap();
        assert_eq!(decision.exact_statement(), Some(sample.statement));
        assert_eq!(decision.statement, None);
    }

    #[test]
    fn payload_decides_how_much_is_kept() {
        for (payload, kept) in [
            (Payload::Full, Some("select lower(x) from users where y = 'secret'")),
            (Payload::Redacted, Some("select lower(x) from users where y = '?'")),
            (Payload::Digest, None),
        ] {
            let folder = Folder::new();
            let sample = Sample::new("users");
            let mut config = folder.config();
            config.payload = payload;
            let ledger = Ledger::open(config).unwrap();
            assert_eq!(ledger.append(&[sample.allowed()]).unwrap().count(), 1);
            ledger.close().unwrap();
            for record in Reader::open(&folder.ledger()).unwrap() {
                if let StoredRecord::Decision(decision) = record.unwrap() {
                    assert_eq!(decision.statement.as_deref(), kept);
                    assert_eq!(decision.payload, payload);
                    assert_eq!(decision.statement_bytes, sample.statement.len() as u64);
                    assert_eq!(decision.exact_statement().is_some(), payload == Payload::Full);
                }
            }
        }
    }

    #[test]
    fn everything_is_bounded() {
        let folder = Folder::new();
        let mut sample = Sample::new("users");
        let ledger = Ledger::open(folder.config()).unwrap();
        let many = vec![sample.allowed(); limits::MAX_ENTRIES + 1];
        assert_eq!(ledger.append(&many), Err(LedgerFault::TooLarge));
        drop(many);
        sample.statement = vec![b'x'; limits::MAX_STATEMENT_BYTES + 1];
        sample.session = "é".repeat(limits::MAX_TEXT_BYTES);
        assert_eq!(ledger.append(&[sample.allowed()]).unwrap().count(), 1);
        assert_eq!(ledger.health(), Health::Sound);
        ledger.close().unwrap();
        assert!(std::fs::metadata(&folder.segments()[0]).unwrap().len() < 200_000);
        verify(&folder.ledger(), Some(&folder.key())).unwrap();
    }

    struct Bomb(std::sync::atomic::AtomicBool);

    impl Clock for Bomb {
        fn now(&self) -> crate::Timestamp {
            assert!(!self.0.load(SeqCst), "the clock breaks");
            crate::Timestamp(0)
        }
    }

    #[test]
    fn a_thread_that_dies_inside_denies_and_nobody_waits_for_ever() {
        let folder = Folder::new();
        let bomb = Arc::new(Bomb(false.into()));
        let mut config = folder.config();
        config.clock = Arc::clone(&bomb) as Arc<dyn Clock>;
        let sample = Sample::new("users");
        let (ledger, faults) = failing_with(config);
        let gate = faults.gate.lock().unwrap();
        let receipt = ledger.append_as(&[sample.allowed()], Promise::Strict).unwrap();
        bomb.0.store(true, SeqCst);
        std::thread::scope(|scope| {
            assert!(scope.spawn(|| ledger.append(&[sample.allowed()])).join().is_err());
        });
        assert_eq!(ledger.append(&[sample.allowed()]), Err(LedgerFault::Internal));
        assert_eq!(ledger.health(), Health::Faulty(LedgerFault::Internal));
        let wait = ledger.wait(receipt);
        drop(gate);
        assert_eq!(block_on(wait), Err(LedgerFault::Internal));
        assert_eq!(ledger.close(), Err(LedgerFault::Internal));
    }

    #[test]
    fn the_folder_is_made_for_its_owner_only_and_may_hold_the_key() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new();
        let mut config = folder.config();
        config.key_file = folder.ledger().join("ledger.key");
        Ledger::open(config).unwrap().close().unwrap();
        let key = Key::load(&folder.ledger().join("ledger.key")).unwrap();
        verify(&folder.ledger(), Some(&key)).unwrap();
        let mode =
            |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder.ledger()), 0o700);
        assert_eq!(mode(&folder.segments()[0]), 0o600);
    }

    #[test]
    fn nothing_appended_is_durable_at_once() {
        let folder = Folder::new();
        let ledger = Ledger::open(folder.config()).unwrap();
        let receipt = ledger.append_as(&[], Promise::Strict).unwrap();
        assert_eq!(ledger.is_durable(receipt), Ok(true));
        block_on(ledger.wait(receipt)).unwrap();
    }

    #[test]
    fn a_ledger_is_shared_by_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Ledger>();
        shared::<Durable>();
    }

    #[test]
    fn a_closed_ledger_takes_nothing() {
        let folder = Folder::new();
        let sample = Sample::new("users");
        let ledger = Ledger::open(folder.config()).unwrap();
        ledger.end().unwrap();
        assert_eq!(ledger.append(&[sample.allowed()]), Err(LedgerFault::Closed));
        assert_eq!(ledger.health(), Health::Faulty(LedgerFault::Closed));
    }
}
