//! The catalog that sessions judge by: loaded at start, by polling, and after definitions passed
//! the door.
//!
//! Invariants: swapped as a whole; between a definition and the load that follows it, and once it is
//! older than it may be, there is none, so what rests on it is unknown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use sql::catalog::Catalog;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::timeout;
use tokio_postgres::Config;

use super::{LoadError, load};
use crate::Shared;
use crate::limits::{CATALOG_PAUSE, CATALOG_RETRY};

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

/// One load.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) catalog: Catalog,
    /// Definitions up to this one are in it.
    generation: u64,
    /// When the load began.
    at: Instant,
}

/// The catalog of one database.
#[derive(Debug)]
pub(crate) struct Live {
    settings: CatalogSettings,
    current: ArcSwapOption<Loaded>,
    /// Counts definitions that passed the door.
    wanted: AtomicU64,
    asked: Notify,
    /// Counts loads that have ended.
    loads: watch::Sender<u64>,
    /// One load at a time: an older one never replaces a newer one.
    loading: Mutex<()>,
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
            wanted: AtomicU64::new(0),
            asked: Notify::new(),
            loads: watch::Sender::new(0),
            loading: Mutex::new(()),
            looks: Looks {
                asked: AtomicU64::new(0),
                wanted: Notify::new(),
                answered: watch::Sender::new(0),
                blind: AtomicBool::new(false),
                mark: ArcSwapOption::empty(),
            },
        }
    }

    /// The catalog, unless it is too old or definitions have passed since: but for those that whoever
    /// asks knows of itself.
    pub(crate) fn get(&self, known: &[u64]) -> Option<Arc<Loaded>> {
        let loaded = self.current.load_full()?;
        if self.looks.blind.load(Ordering::Acquire) {
            return None;
        }
        let wanted = self.wanted.load(Ordering::Acquire);
        let mut missing = loaded.generation + 1..=wanted;
        let covers = missing.all(|generation| known.binary_search(&generation).is_ok());
        (covers && loaded.at.elapsed() <= self.settings.max_age).then_some(loaded)
    }

    /// A definition is about to run, or has been committed: what is loaded is of no use any more.
    /// Gives its number.
    pub(crate) fn invalidate(&self) -> u64 {
        let generation = self.wanted.fetch_add(1, Ordering::AcqRel) + 1;
        self.asked.notify_one();
        generation
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
        let generation = self.wanted.load(Ordering::Acquire);
        self.current.store(Some(Arc::new(Loaded { catalog, generation, at: Instant::now() })));
    }

    /// How old the last load is, if there was one.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.current.load().as_ref().map(|loaded| loaded.at.elapsed())
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
        let _one = self.loading.lock().await;
        let generation = self.wanted.load(Ordering::Acquire);
        let at = Instant::now();
        let (catalog, mark) = load(&self.settings.connection, self.settings.mode).await?;
        let elapsed_ms = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let relations = catalog.snapshot().relations.len();
        tracing::info!(relations, elapsed_ms, "catalog loaded");
        self.current.store(Some(Arc::new(Loaded { catalog, generation, at })));
        // Last: who finds this mark judges by this catalog.
        self.looks.mark.store(mark.map(Arc::new));
        Ok(())
    }
}

/// Keeps the catalog fresh until shutdown.
pub(crate) async fn keep(shared: Arc<Shared>) {
    let Some(live) = &shared.catalog else { return };
    let mut drained = shared.tasks.drained();
    loop {
        let loading = async {
            match live.reload().await {
                Ok(()) => {
                    shared.metrics.catalog_loads.inc();
                    live.settings.poll
                }
                Err(error) => {
                    shared.metrics.catalog_failures.inc();
                    tracing::error!(%error, "catalog not loaded: what rests on it is unknown");
                    CATALOG_RETRY
                }
            }
        };
        let pause = tokio::select! {
            () = &mut drained => return,
            pause = loading => pause,
        };
        // Many definitions in a row are one load.
        let next = async {
            tokio::time::sleep(CATALOG_PAUSE.min(pause)).await;
            // Either way it is time to load.
            drop(timeout(pause, live.asked.notified()).await);
        };
        tokio::select! {
            () = &mut drained => return,
            () = next => {}
        }
    }
}
