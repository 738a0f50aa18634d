//! The catalog that sessions judge by: loaded at start, by polling, and after definitions passed
//! the door.
//!
//! Invariants: swapped as a whole; between a definition and the load that follows it, and once it is
//! older than it may be, there is none, so what rests on it is unknown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use sql::catalog::{Catalog, Snapshot};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::timeout;
use tokio_postgres::Config;

use super::connection::Kept;
use super::open::{Definitions, Open};
use super::{LoadError, read_all};
use crate::Shared;
use crate::limits::{CATALOG_PAUSE, CATALOG_RETRY, CATALOG_SETTLE};

/// When the server is asked whether its catalogs have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatalogMode {
    /// From time to time, and after definitions passed the door.
    Polled,
    /// Before each statement that a catalog decides about, too.
    Strict,
}

/// A moment of the server's catalogs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The transactions that had ended.
    pub(crate) snapshot: String,
    /// The row versions that there were.
    pub(crate) digest: String,
}

/// Where the catalog comes from, and how old it may be.
#[derive(Clone)]
pub struct CatalogSettings {
    /// A connection of its own, to the database that agents use.
    pub connection: Config,
    /// Beyond this age nothing is known from it.
    pub max_age: Duration,
    /// How often it is loaded anew.
    pub poll: Duration,
    /// Whether that is all.
    pub mode: CatalogMode,
}

impl std::fmt::Debug for CatalogSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CatalogSettings")
            .field("max_age", &self.max_age)
            .field("poll", &self.poll)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// What a load has brought, and every one after it that has brought the same.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) catalog: Catalog,
    last: ArcSwap<Load>,
}

/// One load.
#[derive(Debug, Clone, Copy)]
struct Load {
    /// Definitions up to this one are in it.
    generation: u64,
    /// When it began.
    at: Instant,
}

/// The catalog of one database.
#[derive(Debug)]
pub(crate) struct Live {
    settings: CatalogSettings,
    current: ArcSwapOption<Loaded>,
    definitions: Arc<Definitions>,
    /// Counts loads that have ended.
    loads: watch::Sender<u64>,
    /// One load at a time: an older one never replaces a newer one. The connection of the last one.
    loading: Mutex<Option<Kept>>,
    looks: Looks,
}

/// Looks that are asked for under `strict`.
#[derive(Debug)]
struct Looks {
    asked: AtomicU64,
    wanted: Notify,
    answered: watch::Sender<u64>,
    /// The last look failed.
    blind: AtomicBool,
    /// Of the catalog that is loaded, as the last look found it.
    mark: ArcSwapOption<Mark>,
}

impl Live {
    pub(crate) fn new(settings: CatalogSettings) -> Self {
        Self {
            settings,
            current: ArcSwapOption::empty(),
            definitions: Arc::default(),
            loads: watch::Sender::new(0),
            loading: Mutex::new(None),
            looks: Looks {
                asked: AtomicU64::new(0),
                wanted: Notify::new(),
                answered: watch::Sender::new(0),
                blind: AtomicBool::new(false),
                mark: ArcSwapOption::empty(),
            },
        }
    }

    /// The catalog, unless it is too old, or definitions have passed since or are open: but for those that
    /// whoever asks knows of itself. A statement that waits for the locks of an open one runs when that is
    /// committed, and nobody can say by then what it reads.
    pub(crate) fn get(&self, known: &[u64], own: Option<&Open>) -> Option<Arc<Loaded>> {
        if self.definitions.others_are_open(own) {
            return None;
        }
        self.covering(known)
    }

    /// Whether the catalog is recent, and has what is committed.
    pub(crate) fn is_current(&self) -> bool {
        self.covering(&[]).is_some()
    }

    fn covering(&self, known: &[u64]) -> Option<Arc<Loaded>> {
        let loaded = self.current.load_full()?;
        if self.looks.blind.load(Ordering::Acquire) {
            return None;
        }
        let last = **loaded.last.load();
        let wanted = self.definitions.wanted();
        let mut missing = last.generation + 1..=wanted;
        let covers = missing.all(|generation| known.binary_search(&generation).is_ok());
        (covers && last.at.elapsed() <= self.settings.max_age).then_some(loaded)
    }

    /// A definition is about to run, or has been committed: what is loaded is of no use any more.
    /// Gives its number.
    pub(crate) fn invalidate(&self) -> u64 {
        self.definitions.count()
    }

    /// A session's definitions are open until what this gives is dropped.
    pub(crate) fn open(&self, session: &str) -> Open {
        self.definitions.open(session)
    }

    /// Whether definitions have passed that are not in what is loaded.
    fn is_behind(&self) -> bool {
        let loaded = self.last().map_or(0, |last| last.generation);
        loaded < self.definitions.wanted()
    }

    /// Resolves when a definition passes, a little later: before it has ended, no load sees it.
    async fn is_wanted(&self) {
        loop {
            self.definitions.counted().await;
            if self.is_behind() {
                return tokio::time::sleep(CATALOG_SETTLE).await;
            }
        }
    }

    /// Resolves when a load has ended, well or not.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut loads = self.loads.subscribe();
        async move {
            // The sender lives as long as the process.
            drop(loads.changed().await);
        }
    }

    /// What a load of this catalog would bring.
    #[cfg(test)]
    pub(crate) fn hold(&self, catalog: Catalog) {
        let last = Load { generation: self.definitions.wanted(), at: Instant::now() };
        self.current.store(Some(Arc::new(Loaded { catalog, last: ArcSwap::from_pointee(last) })));
    }

    /// How old the last load is, if there was one.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.last().map(|last| last.at.elapsed())
    }

    fn last(&self) -> Option<Load> {
        self.current.load().as_ref().map(|loaded| **loaded.last.load())
    }

    /// Whether it is of this database: by the name that the server gave, or the one that its connection asks for,
    /// which a pooler may translate.
    pub(crate) fn serves(&self, database: &str) -> bool {
        let connection = &self.settings.connection;
        connection.get_dbname().or_else(|| connection.get_user()) == Some(database)
            || self
                .current
                .load()
                .as_ref()
                .is_some_and(|loaded| loaded.catalog.snapshot().database == database)
    }

    /// Whether the server is asked before each statement.
    pub(crate) const fn is_strict(&self) -> bool {
        matches!(self.settings.mode, CatalogMode::Strict)
    }

    pub(super) const fn connection(&self) -> &Config {
        &self.settings.connection
    }

    /// Asks for a look that begins after now. Gives its number.
    pub(crate) fn ask(&self) -> u64 {
        let number = self.looks.asked.fetch_add(1, Ordering::AcqRel) + 1;
        self.looks.wanted.notify_one();
        number
    }

    /// Whether that look is over.
    pub(crate) fn has_looked(&self, number: u64) -> bool {
        *self.looks.answered.borrow() >= number
    }

    /// Resolves when it is.
    pub(crate) fn looked(&self, number: u64) -> impl Future<Output = ()> + Send + use<> {
        let mut answered = self.looks.answered.subscribe();
        async move {
            // The sender lives as long as the process.
            drop(answered.wait_for(|done| *done >= number).await);
        }
    }

    /// How many looks have been asked for.
    pub(super) fn asked_so_far(&self) -> u64 {
        self.looks.asked.load(Ordering::Acquire)
    }

    /// Resolves when one more is asked for.
    pub(super) async fn wanted_look(&self) {
        self.looks.wanted.notified().await;
    }

    /// Looks up to this one are over.
    pub(super) fn answer(&self, number: u64) {
        self.looks.blind.store(false, Ordering::Release);
        self.looks.answered.send_replace(number);
    }

    /// Nobody can look: nothing is known, and nobody has to wait for that.
    pub(super) fn go_blind(&self) {
        self.looks.blind.store(true, Ordering::Release);
        self.looks.answered.send_replace(self.asked_so_far());
    }

    /// The mark of the catalog that is loaded.
    pub(super) fn mark(&self) -> Option<Arc<Mark>> {
        self.looks.mark.load_full()
    }

    /// Catalogs are as they were, at this later moment.
    pub(super) fn same_as(&self, mark: &Mark) {
        let same = |now: &Option<Arc<Mark>>| match now {
            // A load may have come between.
            Some(now) if now.digest == mark.digest => Some(Arc::new(mark.clone())),
            other => other.clone(),
        };
        self.looks.mark.rcu(same);
    }

    pub(super) async fn reload(&self) -> Result<(), LoadError> {
        let loaded = self.load_once().await;
        self.loads.send_modify(|count| *count += 1);
        loaded
    }

    async fn load_once(&self) -> Result<(), LoadError> {
        let mut kept = self.loading.lock().await;
        let load = Load { generation: self.definitions.wanted(), at: Instant::now() };
        let CatalogSettings { connection, mode, .. } = &self.settings;
        // Taken: of a connection on which a load fails, or is given up, nothing is left.
        let (snapshot, mark, connection) = read_all(connection, *mode, kept.take()).await?;
        *kept = Some(connection);
        let relations = snapshot.relations.len();
        let is_new = self.keep(snapshot, load)?;
        let elapsed_ms = u64::try_from(load.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(relations, elapsed_ms, is_new, "catalog loaded");
        // Last: who finds this mark judges by this catalog.
        self.looks.mark.store(mark.map(Arc::new));
        Ok(())
    }

    /// Whether it is another one than before. Of one that is the same nothing has to be found anew, by no
    /// session.
    fn keep(&self, snapshot: Snapshot, load: Load) -> Result<bool, LoadError> {
        if let Some(loaded) = &*self.current.load()
            && *loaded.catalog.snapshot() == snapshot
        {
            loaded.last.store(Arc::new(load));
            return Ok(false);
        }
        let catalog = Catalog::from_snapshot(snapshot).map_err(LoadError::Contradiction)?;
        let last = ArcSwap::from_pointee(load);
        self.current.store(Some(Arc::new(Loaded { catalog, last })));
        Ok(true)
    }
}

/// Keeps the catalog fresh until shutdown.
pub(crate) async fn keep(shared: Arc<Shared>) {
    let Some(live) = &shared.catalog else { return };
    let mut drained = shared.tasks.drained();
    loop {
        let loading = async {
            let began = Instant::now();
            let loaded = live.reload().await;
            let took = began.elapsed();
            match &loaded {
                Ok(()) => {
                    shared.metrics.catalog_loads.inc();
                }
                Err(error) => {
                    shared.metrics.catalog_failures.inc();
                    tracing::error!(%error, "catalog not loaded: what rests on it is unknown");
                }
            }
            (loaded.is_ok(), took)
        };
        let (is_loaded, took) = tokio::select! {
            () = &mut drained => return,
            ended = loading => ended,
        };
        let next = async {
            // Many definitions in a row are one load, and half of the time is the server's own.
            let rest = if is_loaded { took.min(CATALOG_PAUSE) } else { CATALOG_PAUSE };
            tokio::time::sleep(rest).await;
            if is_loaded && live.is_behind() {
                return;
            }
            let pause = if is_loaded { live.settings.poll } else { CATALOG_RETRY };
            // Either way it is time to load.
            drop(timeout(pause, live.is_wanted()).await);
        };
        tokio::select! {
            () = &mut drained => return,
            () = next => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> Live {
        Live::new(CatalogSettings {
            connection: Config::new(),
            max_age: Duration::from_mins(1),
            poll: Duration::from_mins(1),
            mode: CatalogMode::Polled,
        })
    }

    /// What a load that begins now brings.
    fn load(live: &Live, database: &str) -> bool {
        let format = sql::catalog::FORMAT;
        let snapshot = Snapshot { format, database: database.to_owned(), ..Snapshot::default() };
        let load = Load { generation: live.definitions.wanted(), at: Instant::now() };
        live.keep(snapshot, load).unwrap()
    }

    #[test]
    fn a_load_that_brings_the_same_leaves_the_catalog_that_is_there() {
        let live = live();
        assert!(load(&live, "one"));
        let first = live.get(&[], None).unwrap();
        live.invalidate();
        assert!(live.get(&[], None).is_none() && live.is_behind());
        assert!(!load(&live, "one"));
        let again = live.get(&[], None).unwrap();
        assert!(Arc::ptr_eq(&first, &again) && !live.is_behind());
        assert!(load(&live, "two"));
        let other = live.get(&[], None).unwrap();
        assert!(!Arc::ptr_eq(&first, &other));
        assert_eq!(other.catalog.snapshot().database, "two");
        // What is no more is not the same again.
        assert!(load(&live, "one"));
        assert!(!Arc::ptr_eq(&first, &live.get(&[], None).unwrap()));
    }

    #[test]
    fn a_load_counts_from_when_it_began() {
        let live = live();
        let early = Load { generation: 0, at: Instant::now() };
        live.invalidate();
        let snapshot = Snapshot { format: sql::catalog::FORMAT, ..Snapshot::default() };
        for _ in 0..2 {
            live.keep(snapshot.clone(), early).unwrap();
            assert!(live.get(&[], None).is_none(), "the definition came later");
        }
        assert!(live.get(&[1], None).is_some(), "whoever made it knows");
    }
    #[test]
    fn what_is_open_is_unknown_to_everybody_else() {
        let live = live();
        load(&live, "one");
        let open = live.open("a");
        assert!(live.get(&[], None).is_none() && live.is_current());
        assert!(live.get(&[], Some(&open)).is_some());
        let other = live.open("b");
        assert!(live.get(&[], Some(&open)).is_none() && live.get(&[], Some(&other)).is_none());
        drop(other);
        assert!(live.get(&[], Some(&open)).is_none(), "the other's may be committed");
        load(&live, "one");
        assert!(live.get(&[], Some(&open)).is_some() && live.get(&[], None).is_none());
        drop(open);
        assert!(live.get(&[], None).is_none() && live.is_behind());
        load(&live, "one");
        assert!(live.get(&[], None).is_some());
    }
}
