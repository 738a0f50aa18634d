//! What the tests of this crate share: a folder that goes away, a clock that stands still unless
//! told, sample entries, a way to wait for a future, and disks that fail.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use model::{
    Access, Door, Fact, FunctionUse, Operation, Principal, RelationName, RelationUse, Schemas,
    SqlFacts, Stage,
};

use crate::disk::{Disk, Files, Segment};
use crate::{Clock, Entry, Key, Ledger, LedgerConfig, Mode, ReasonView, Timestamp};

/// A folder that is removed in the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("portcullis-audit-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // A run that was killed may have left one of the same name.
        if path.exists() {
            std::fs::remove_dir_all(&path).unwrap();
        }
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Where the ledger goes.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.0.join("ledger")
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.0.join("ledger.key")
    }

    pub(crate) fn key(&self) -> Key {
        Key::load(&self.key_file()).unwrap()
    }

    pub(crate) fn config(&self) -> LedgerConfig {
        let mut config = LedgerConfig::new(self.ledger(), self.key_file());
        config.clock = Arc::new(Ticking::default());
        config.checkpoint_interval = Duration::from_hours(1);
        config
    }

    /// The segments, in order.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        with_extension(&self.ledger(), "jsonl")
    }
}

pub(crate) fn with_extension(dir: &Path, end: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e.to_str().unwrap().starts_with(end)))
        .collect();
    paths.sort();
    paths
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A second later each time it is asked.
#[derive(Default)]
pub(crate) struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        let seconds = self.0.fetch_add(1, Ordering::Relaxed);
        Timestamp(1_795_575_775_000_000_000 + seconds * 1_000_000_000)
    }
}

/// Everything that an entry borrows.
pub(crate) struct Sample {
    pub(crate) principal: Principal,
    pub(crate) facts: SqlFacts,
    pub(crate) statement: Vec<u8>,
    pub(crate) session: String,
}

pub(crate) const DENIED: &[ReasonView<'static>] = &[ReasonView {
    code: "table_not_in_mission",
    category: "table",
    bucket: "rewrite",
    message: "table_not_in_mission (table: users) (op: SELECT)",
    suggestion: "use a table of the mission",
}];

impl Sample {
    pub(crate) fn new(table: &str) -> Self {
        let relation =
            RelationName { schemas: Schemas::Named("public".into()), name: table.into() };
        let mut facts = SqlFacts::of(Operation::Select);
        facts.relations = Fact::Known(vec![RelationUse { relation, access: Access::Read }]);
        facts.functions = Fact::Known(vec![FunctionUse { schema: None, name: "lower".to_owned() }]);
        Self {
            principal: Principal::asserted("agent:cursor-ai:mission:summarize"),
            facts,
            statement: format!("select lower(x) from {table} where y = 'secret'").into_bytes(),
            session: "s-1".to_owned(),
        }
    }

    pub(crate) fn allowed(&self) -> Entry<'_> {
        Entry {
            door: Door::Pg,
            stage: Stage::Query,
            session: &self.session,
            principal: &self.principal,
            statement: &self.statement,
            submitted: None,
            facts: &self.facts,
            decision: "allow",
            reasons: &[],
            risk: 3,
            policy: "sha256:00",
            mode: Mode::Enforce,
            latency_ns: 12_345,
        }
    }

    pub(crate) fn denied(&self) -> Entry<'_> {
        Entry { decision: "deny", reasons: DENIED, ..self.allowed() }
    }
}

/// A ledger of that many records from two runs, closed.
pub(crate) fn written(folder: &Folder, records: usize) -> Key {
    let sample = Sample::new("feedback");
    let ledger = Ledger::open(folder.config()).unwrap();
    for _ in 0..records {
        assert_eq!(ledger.append(&[sample.allowed()]).unwrap().count(), 1);
    }
    ledger.close().unwrap();
    folder.key()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// How a disk fails, and what it saw.
#[derive(Default)]
pub(crate) struct Faults {
    /// Bytes that still fit; writes are cut short there and then fail.
    pub(crate) room: Mutex<Option<usize>>,
    /// At most so many bytes in one write.
    pub(crate) short: AtomicUsize,
    /// Syncs fail.
    pub(crate) sync: AtomicBool,
    /// Segments cannot be made.
    pub(crate) create: AtomicBool,
    pub(crate) writes: AtomicUsize,
    pub(crate) syncs: AtomicUsize,
    /// Held by a test, it stops every sync.
    pub(crate) gate: Mutex<()>,
}

pub(crate) struct Failing(pub(crate) Arc<Faults>);

struct FailingSegment(Arc<dyn Segment>, Arc<Faults>);

impl Segment for FailingSegment {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.1.writes.fetch_add(1, Ordering::SeqCst);
        let mut taken = bytes.len();
        let short = self.1.short.load(Ordering::SeqCst);
        if short > 0 {
            taken = taken.min(short);
        }
        if let Some(room) = self.1.room.lock().unwrap().as_mut() {
            if *room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            taken = taken.min(*room);
            *room -= taken;
        }
        self.0.write(&bytes[..taken])
    }

    fn sync(&self) -> io::Result<()> {
        let _open = self.1.gate.lock().unwrap();
        self.1.syncs.fetch_add(1, Ordering::SeqCst);
        if self.1.sync.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.0.sync()
    }
}

impl Disk for Failing {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Segment>> {
        if self.0.create.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(Arc::new(FailingSegment(Files.create(path)?, Arc::clone(&self.0))))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        Files.sync_folder(folder)
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        Files.replace(path, content)
    }
}

/// A ledger on a disk that fails as told.
pub(crate) fn failing(folder: &Folder) -> (Ledger, Arc<Faults>) {
    failing_with(folder.config())
}

pub(crate) fn failing_with(config: LedgerConfig) -> (Ledger, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    crate::open::make_folder(&config.dir).unwrap();
    let key = Key::load_or_create(&config.key_file).unwrap();
    let opened = crate::open::open(config, &key, Box::new(Failing(Arc::clone(&faults)))).unwrap();
    (Ledger::start(opened).unwrap(), faults)
}
