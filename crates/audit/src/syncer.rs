//! The thread that makes records durable: one sync for all that wait.
//!
//! It sleeps while there is nothing to do. Invariant: it never syncs or replaces a file while it
//! holds the lock, so appends go on during a sync.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::shared::{Shared, State, Syncer};
use crate::{LedgerError, LedgerFault, checkpoint, limits};

pub(crate) fn spawn(shared: Arc<Shared>) -> Result<JoinHandle<()>, LedgerError> {
    let dir = shared.dir.clone();
    thread::Builder::new()
        .name("ledger-syncer".to_owned())
        .spawn(move || run(&shared))
        .map_err(LedgerError::io("start a thread for the ledger in", &dir))
}

fn run(shared: &Shared) {
    while let Ok(state) = shared.lock().and_then(|state| sleep(shared, state)) {
        let last = state.closing;
        if round(shared, state).is_err() || last {
            break;
        }
    }
    shared.wake_all();
}

/// Waits until something is due.
fn sleep<'a>(
    shared: &'a Shared,
    mut state: MutexGuard<'a, State>,
) -> Result<MutexGuard<'a, State>, LedgerFault> {
    loop {
        if state.closing || state.fault.is_some() {
            return Ok(state);
        }
        let now = Instant::now();
        state = match due(shared, &state) {
            Some(due) if due <= now => return Ok(state),
            Some(due) => {
                state.syncer = Syncer::SleepsUntil(due);
                let waited = shared.work.wait_timeout(state, due - now);
                waited.map_err(|_poisoned| LedgerFault::Internal)?.0
            }
            None => {
                state.syncer = Syncer::Sleeps;
                shared.work.wait(state).map_err(|_poisoned| LedgerFault::Internal)?
            }
        };
        state.syncer = Syncer::Works;
    }
}

fn due(shared: &Shared, state: &State) -> Option<Instant> {
    if state.strict_upto > shared.synced.load(Ordering::Acquire) {
        return Some(state.last_checkpoint);
    }
    let soon = |since: Instant| since + limits::GROUP_INTERVAL;
    let checkpoint =
        (state.since_checkpoint > 0).then(|| state.last_checkpoint + shared.checkpoint_interval);
    let mark = state.mark.as_ref().map(|_| soon(state.last_checkpoint));
    [state.pending_since.map(soon), state.unsynced_since.map(soon), checkpoint, mark]
        .into_iter()
        .flatten()
        .min()
}

/// Writes, syncs, tells.
fn round<'a>(shared: &'a Shared, mut state: MutexGuard<'a, State>) -> Result<(), LedgerFault> {
    if let Some(fault) = state.fault {
        return Err(fault);
    }
    let checkpoint_due =
        state.since_checkpoint > 0 && state.last_checkpoint.elapsed() >= shared.checkpoint_interval;
    if checkpoint_due {
        shared.push_checkpoint(&mut state);
    }
    shared.flush(&mut state)?;
    let wanted = state.mark.is_some()
        || state.unsynced_since.is_some()
        || state.strict_upto > shared.synced.load(Ordering::Acquire);
    if !wanted {
        return Ok(());
    }
    let upto = state.seq;
    let mark = state.mark.take();
    state.unsynced_since = None;
    let mut segments = std::mem::take(&mut state.ended);
    segments.extend(state.segment.clone());
    let folder_changed = std::mem::take(&mut state.folder_changed);
    drop(state);

    let began = Instant::now();
    let mut outcome = Ok(());
    for segment in &segments {
        outcome = outcome.and_then(|()| segment.sync());
    }
    if folder_changed {
        outcome = outcome.and_then(|()| shared.disk.sync_folder(&shared.dir));
    }
    let took = began.elapsed();
    if let (Ok(()), Some(mark)) = (&outcome, mark) {
        outcome = checkpoint::mirror(shared.disk.as_ref(), &shared.dir, &mark);
    }
    let mut state = shared.lock()?;
    if let Err(error) = outcome {
        return Err(shared.fail(&mut state, LedgerFault::Sync(error.kind())));
    }
    let syncs = u64::try_from(segments.len()).unwrap_or(u64::MAX);
    state.stats.fsyncs = state.stats.fsyncs.saturating_add(syncs);
    state.stats.last_fsync_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    shared.synced.store(upto, Ordering::Release);
    let later = state.waiters.split_off(&(upto.saturating_add(1), 0));
    let ready = std::mem::replace(&mut state.waiters, later);
    drop(state);
    for waker in ready.into_values() {
        waker.wake();
    }
    Ok(())
}
