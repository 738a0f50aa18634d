//! Opening: which chain to continue, and how it ended.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Condvar, Mutex};
use std::time::Instant;

use crate::chain::{GENESIS, Hash};
use crate::disk::Disk;
use crate::shared::{Shared, State};
use crate::{
    ChainId, Key, LedgerConfig, LedgerError, LedgerFault, Recovery, Stats, checkpoint, json,
    limits, segment,
};

/// Where a chain ends.
#[derive(Debug, Clone, Copy)]
struct End {
    segment: u32,
    seq: u64,
    head: Hash,
}

/// Makes everything but the syncer thread.
pub(crate) fn open(
    config: LedgerConfig,
    key: &Key,
    disk: Box<dyn Disk>,
) -> Result<(Shared, Recovery), LedgerError> {
    make_folder(&config.dir)?;
    let recovery = Recovery::default();
    let (chain, lock) = fresh(&config.dir)?;
    let end = End { segment: 0, seq: 0, head: GENESIS };
    let shared = share(config, key, disk, (chain, lock, end));
    begin(&shared)?;
    Ok((shared, recovery))
}

fn make_folder(dir: &Path) -> Result<(), LedgerError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(LedgerError::io("create the folder", dir))
}

/// A new chain, locked.
fn fresh(dir: &Path) -> Result<(ChainId, File), LedgerError> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|_no_detail| LedgerError::NoRandomness)?;
    let chain = ChainId::new(bytes);
    match lock(dir, chain)? {
        Some(file) => Ok((chain, file)),
        None => Err(LedgerError::TooMany { path: dir.to_path_buf() }),
    }
}

/// The lock of a chain, unless another process holds it.
fn lock(dir: &Path, chain: ChainId) -> Result<Option<File>, LedgerError> {
    let path = segment::lock_path(dir, chain);
    let failed = || LedgerError::io("lock", &path);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed())?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed()(error)),
    }
}

fn share(
    config: LedgerConfig,
    key: &Key,
    disk: Box<dyn Disk>,
    (chain, lock, end): (ChainId, File, End),
) -> Shared {
    let state = State {
        segment: None,
        segment_number: end.segment,
        segment_len: 0,
        seq: end.seq,
        head: end.head,
        pending: Vec::new(),
        pending_since: None,
        unsynced_since: None,
        strict_upto: 0,
        ended: Vec::new(),
        folder_changed: false,
        since_checkpoint: 0,
        last_checkpoint: Instant::now(),
        mark: None,
        waiters: BTreeMap::new(),
        fault: None,
        closing: false,
        stats: Stats::default(),
    };
    Shared {
        chain,
        dir: config.dir,
        promise: config.promise,
        payload: config.payload,
        segment_bytes: config.segment_bytes.max(limits::MIN_SEGMENT_BYTES),
        checkpoint_every: config.checkpoint_every.max(1),
        checkpoint_interval: config.checkpoint_interval,
        clock: config.clock,
        disk,
        sealer: key.sealer(),
        signing_key: key.signing_key(),
        key_id: key.id(),
        lock,
        state: Mutex::new(state),
        work: Condvar::new(),
        synced: AtomicU64::new(end.seq),
    }
}

/// First records of this run, on the disk before anything else happens.
fn begin(shared: &Shared) -> Result<(), LedgerError> {
    let mut state = shared.lock()?;
    let path = segment::path(&shared.dir, shared.chain, state.segment_number.saturating_add(1));
    shared.open_segment(&mut state).map_err(LedgerError::io("create", &path))?;
    shared.push_checkpoint(&mut state);
    shared.flush(&mut state)?;
    let public = format!("{}\n", json::hex_text(shared.signing_key.verifying_key().as_bytes()));
    let path = segment::public_key_path(&shared.dir, shared.chain);
    shared
        .disk
        .replace(&path, public.as_bytes())
        .map_err(LedgerError::io("write the public key", &path))?;
    let segment = state.segment.clone().ok_or(LedgerFault::Internal)?;
    let synced = segment.sync().and_then(|()| shared.disk.sync_folder(&shared.dir));
    synced.map_err(LedgerError::io("sync", &shared.dir))?;
    state.folder_changed = false;
    shared.synced.store(state.seq, std::sync::atomic::Ordering::Release);
    if let Some(mark) = state.mark.take() {
        checkpoint::mirror(shared.disk.as_ref(), &shared.dir, &mark)
            .map_err(LedgerError::io("write the checkpoint in", &shared.dir))?;
    }
    Ok(())
}
