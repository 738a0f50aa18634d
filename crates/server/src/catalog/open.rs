//! Definitions that have passed the door, and those of them whose transactions are still open.
//!
//! What is *not* here: the catalog. Invariants: what a session has defined is counted as open until it has been
//! counted as committed, so there is no moment between the two; nobody is told of another's open transaction
//! but in the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::limits::OPEN_DEFINITIONS_WARN;

/// Counts definitions.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    /// Those that passed the door.
    wanted: AtomicU64,
    asked: Notify,
    /// Sessions with open ones.
    open: AtomicU64,
    holders: Mutex<Vec<Holder>>,
}

#[derive(Debug)]
struct Holder {
    session: String,
    since: Instant,
    warned: bool,
}

/// A session has definitions that others will see once they are committed. Dropped when they are, or never
/// will be: then the catalog has to be loaded.
#[derive(Debug)]
pub(crate) struct Open {
    session: String,
    definitions: Arc<Definitions>,
}

impl Definitions {
    /// How many there were.
    pub(super) fn wanted(&self) -> u64 {
        self.wanted.load(Ordering::Acquire)
    }

    /// One more. Gives its number.
    pub(super) fn count(&self) -> u64 {
        let generation = self.wanted.fetch_add(1, Ordering::AcqRel) + 1;
        self.asked.notify_one();
        generation
    }

    /// Resolves when one is counted.
    pub(super) async fn counted(&self) {
        self.asked.notified().await;
    }

    /// Those of a session are open from now on.
    pub(super) fn open(self: &Arc<Self>, session: &str) -> Open {
        let holder = Holder { session: session.to_owned(), since: Instant::now(), warned: false };
        self.holders().push(holder);
        self.open.fetch_add(1, Ordering::AcqRel);
        Open { session: session.to_owned(), definitions: Arc::clone(self) }
    }

    /// Whether others than whoever asks have open ones. One that lasts is named in the log, once.
    pub(super) fn others_are_open(&self, own: Option<&Open>) -> bool {
        if self.open.load(Ordering::Acquire) == u64::from(own.is_some()) {
            return false;
        }
        for holder in self.holders().iter_mut() {
            let is_own = own.is_some_and(|own| own.session == holder.session);
            if is_own || holder.warned || holder.since.elapsed() < OPEN_DEFINITIONS_WARN {
                continue;
            }
            holder.warned = true;
            tracing::warn!(
                session.id = %holder.session,
                "a transaction with definitions stays open: what rests on the catalog is denied to others"
            );
        }
        true
    }

    fn holders(&self) -> std::sync::MutexGuard<'_, Vec<Holder>> {
        // The list is for the log alone.
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // First: whoever finds them no longer open finds them counted.
        self.definitions.count();
        self.definitions.open.fetch_sub(1, Ordering::AcqRel);
        let mut holders = self.definitions.holders();
        if let Some(position) = holders.iter().position(|one| one.session == self.session) {
            holders.swap_remove(position);
        }
    }
}
