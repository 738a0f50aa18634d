//! Waiting for the catalog: for a load that brings what a judgement rests on, and under `strict` for
//! what the server says of its catalogs at that moment.
//!
//! What is *not* here: loads and looks themselves. Invariants: a wait ends, and what is not known by
//! then denies; nothing is waited for that no decision rests on; nobody waits to leave a transaction.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use model::{Fact, SqlFacts, Unknown};
use tokio::time::{Instant, timeout_at};

use super::reading::Reading;
use crate::catalog::live::Live;
use crate::limits::CATALOG_WAIT;
use crate::proved::Proved;

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the frame under judgement waits for.
#[derive(Default)]
pub(super) struct Fresh {
    waiting: Option<Waiting>,
    /// Until when loads are waited for; beyond that not again until one has succeeded.
    deadline: Option<Instant>,
    /// The look that the frame waits for.
    look: Option<u64>,
    /// Answers were asked for.
    flushed: bool,
}

impl std::fmt::Debug for Fresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fresh").field("look", &self.look).finish_non_exhaustive()
    }
}

impl Fresh {
    /// The frame is dealt with.
    pub(super) fn done(&mut self) {
        self.waiting = None;
        self.look = None;
        self.flushed = false;
    }

    /// Whether answers have to be asked for: once for each frame.
    pub(super) const fn flushes(&mut self) -> bool {
        !std::mem::replace(&mut self.flushed, true)
    }

    /// Whether what was waited for is here.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(waiting) = &mut self.waiting else { return false };
        match waiting.as_mut().poll(cx) {
            Poll::Pending => false,
            Poll::Ready(()) => {
                self.waiting = None;
                true
            }
        }
    }

    /// Whether a message with these facts waits for a load. A load that does not come is not waited
    /// for by each message anew.
    pub(super) fn waits_for_load(
        &mut self,
        live: &Live,
        reading: &Reading,
        proved: &Proved,
    ) -> bool {
        if !reading.awaits_load() {
            self.deadline = None;
            return false;
        }
        if !proved.each().any(|facts| is_stale(facts)) {
            return false;
        }
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + CATALOG_WAIT);
        if Instant::now() >= deadline {
            return false;
        }
        let ended = live.ended();
        // It may have ended since the reading was looked up, before anybody listened.
        self.waiting = Some(if reading.sees_newer(live) {
            Box::pin(std::future::ready(()))
        } else {
            Box::pin(async move {
                // Late or not, the frame is looked at again.
                drop(timeout_at(deadline, ended).await);
            })
        });
        true
    }

    /// Whether something is waited for.
    pub(super) const fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether a message has to wait until the server was asked, after the message had come, whether
    /// its catalogs have changed.
    pub(super) fn waits_for_look(&mut self, live: &Live) -> bool {
        let number = *self.look.get_or_insert_with(|| live.ask());
        if live.has_looked(number) {
            return false;
        }
        self.waiting = Some(Box::pin(live.looked(number)));
        true
    }
}

/// Whether something about the statement is unknown for want of a load.
fn is_stale(facts: &SqlFacts) -> bool {
    is_about_relations(facts) && matches!(facts.columns, Fact::Unknown(Unknown::StaleCatalog))
}

/// Whether anything but the end of a transaction, or nothing, is asked for.
pub(super) const fn is_about_relations(facts: &SqlFacts) -> bool {
    facts.transaction.is_none() && !facts.empty
}
