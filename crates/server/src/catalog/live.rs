//! The catalog that sessions judge by: loaded at start, by polling, and after definitions passed
//! the door.
//!
//! Invariants: swapped as a whole; between a definition and the load that follows it, and once it is
//! older than it may be, there is none, so what rests on it is unknown.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use sql::catalog::Catalog;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::Config;

use super::{LoadError, load};
use crate::Shared;
use crate::limits::{CATALOG_PAUSE, CATALOG_RETRY};

/// Where the catalog comes from, and how old it may be.
#[derive(Clone)]
pub struct CatalogSettings {
    /// A connection of its own, to the database that agents use.
    pub connection: Config,
    /// Beyond this age nothing is known from it.
    pub max_age: Duration,
    /// How often it is loaded anew.
    pub poll: Duration,
}

impl std::fmt::Debug for CatalogSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CatalogSettings")
            .field("max_age", &self.max_age)
            .field("poll", &self.poll)
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
}

impl Live {
    pub(crate) fn new(settings: CatalogSettings) -> Self {
        Self {
            settings,
            current: ArcSwapOption::empty(),
            wanted: AtomicU64::new(0),
            asked: Notify::new(),
        }
    }

    /// The catalog, unless it is too old or definitions have passed since.
    pub(crate) fn get(&self) -> Option<Arc<Loaded>> {
        let loaded = self.current.load_full()?;
        let covers = loaded.generation >= self.wanted.load(Ordering::Acquire);
        (covers && loaded.at.elapsed() <= self.settings.max_age).then_some(loaded)
    }

    /// A definition is about to run, or has been committed: what is loaded is of no use any more.
    pub(crate) fn invalidate(&self) {
        self.wanted.fetch_add(1, Ordering::AcqRel);
        self.asked.notify_one();
    }

    /// How old the last load is, if there was one.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.current.load().as_ref().map(|loaded| loaded.at.elapsed())
    }

    async fn reload(&self) -> Result<(), LoadError> {
        let generation = self.wanted.load(Ordering::Acquire);
        let at = Instant::now();
        let catalog = load(&self.settings.connection).await?;
        self.current.store(Some(Arc::new(Loaded { catalog, generation, at })));
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
