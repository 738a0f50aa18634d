//! Opening: which chain to continue, how it ended, and the first records of this run.
//!
//! A chain that does not verify at its end is never continued: it stays as it is, for `verify` to
//! show, and a new one is started beside it.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Instant;

use serde::Deserialize;

use crate::chain::GENESIS;
use crate::checkpoint::{self, Mirror};
use crate::disk::Disk;
use crate::shared::{Shared, State, Syncer};
use crate::walk::{self, Flaw, Kind, Lines, Position};
use crate::{
    Abandoned, ChainId, Key, LedgerConfig, LedgerError, LedgerFault, Recovery, Stats, Torn, json,
    limits, record, segment,
};

/// Where a chain ends.
#[derive(Debug, Clone, Copy)]
struct End {
    segment: u32,
    position: Position,
}

const START: End = End { segment: 0, position: Position { seq: 0, head: GENESIS } };

/// Makes everything but the syncer thread.
pub(crate) fn open(
    config: LedgerConfig,
    key: &Key,
    disk: Box<dyn Disk>,
) -> Result<(Shared, Recovery), LedgerError> {
    let mut recovery = Recovery::default();
    let (chain, lock, end) = choose(&config.dir, key, &mut recovery)?;
    let shared = share(config, key, disk, (chain, lock, end));
    begin(&shared, &recovery)?;
    Ok((shared, recovery))
}

/// Makes the folder of a ledger, if there is none.
pub(crate) fn make_folder(dir: &Path) -> Result<(), LedgerError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(LedgerError::io("create the folder", dir))
}

/// The first chain that nobody writes and that can be continued, else a new one.
fn choose(
    dir: &Path,
    key: &Key,
    recovery: &mut Recovery,
) -> Result<(ChainId, File, End), LedgerError> {
    for (chain, segments) in segment::list(dir)? {
        let Some(file) = lock(dir, chain)? else { continue };
        match find_end(dir, chain, segments, key)? {
            Ok((end, torn)) => {
                recovery.torn = torn;
                return Ok((chain, file, end));
            }
            Err(abandoned) => recovery.abandoned.push(abandoned),
        }
    }
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|_no_detail| LedgerError::NoRandomness)?;
    let chain = ChainId::new(bytes);
    match lock(dir, chain)? {
        Some(file) => Ok((chain, file, START)),
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

/// Whether another process writes the chain at this moment.
pub(crate) fn is_live(dir: &Path, chain: ChainId) -> bool {
    let Ok(file) = File::open(segment::lock_path(dir, chain)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

type Found = Result<(End, Option<Torn>), Abandoned>;

/// Finds the end of a chain, cutting off an unfinished last record.
fn find_end(
    dir: &Path,
    chain: ChainId,
    mut segments: BTreeMap<u32, PathBuf>,
    key: &Key,
) -> Result<Found, LedgerError> {
    let mark = checkpoint::read_mirror(dir, chain)
        .map_err(LedgerError::io("read the checkpoint in", dir))?;
    let mut torn = None;
    while let Some((number, path)) = segments.pop_last() {
        let tail = match scan(&path, key)? {
            Ok(tail) => tail,
            Err(problem) => return Ok(Err(Abandoned { segment: path, problem })),
        };
        if tail.torn_bytes > 0 || tail.position.is_none() {
            torn = cut(&path, &tail)?.or(torn);
        }
        // A segment without any record was being made when the crash came; its number is reused.
        let Some(position) = tail.position else { continue };
        return Ok(match contradiction(mark, position, &tail, key) {
            Some(problem) => Err(Abandoned { segment: path, problem }),
            None => Ok((End { segment: number, position }, torn)),
        });
    }
    Ok(match mark {
        Mirror::Absent => Ok((START, torn)),
        Mirror::Malformed | Mirror::Mark(_) => Err(Abandoned {
            segment: segment::path(dir, chain, 1),
            problem: "there is a checkpoint and no segment",
        }),
    })
}

/// What the checkpoint file says against the end that was found.
fn contradiction(
    mirror: Mirror,
    position: Position,
    tail: &Tail,
    key: &Key,
) -> Option<&'static str> {
    let mark = match mirror {
        Mirror::Absent => return None,
        Mirror::Mark(mark) if mark.holds(&key.public()) => mark,
        Mirror::Mark(_) | Mirror::Malformed => return Some("the checkpoint file does not hold"),
    };
    if mark.seq > position.seq {
        return Some("records that a checkpoint covers are missing at the end");
    }
    let differs = tail.hashes.get(&mark.seq).is_some_and(|hash| *hash != mark.hash);
    differs.then_some("the records are not those that the checkpoint covers")
}

/// What a last segment holds.
struct Tail {
    /// After its last good record; `None` if it has none.
    position: Option<Position>,
    good_bytes: u64,
    torn_bytes: u64,
    /// The hashes of the records before its checkpoints, and of the checkpoints.
    hashes: BTreeMap<u64, crate::chain::Hash>,
}

#[derive(Deserialize)]
struct OpenedBy<'a> {
    key_id: &'a str,
}

/// Checks every record of a segment; the inner error is a change that no crash explains.
fn scan(path: &Path, key: &Key) -> Result<Result<Tail, &'static str>, LedgerError> {
    let failed = || LedgerError::io("read", path);
    let sealer = key.sealer();
    let mut lines = Lines::open(path).map_err(failed())?;
    let mut tail = Tail { position: None, good_bytes: 0, torn_bytes: 0, hashes: BTreeMap::new() };
    while let Some(line) = lines.next().map_err(failed())? {
        match walk::check(line, tail.position, Some(&sealer)) {
            Ok(good) => {
                if good.kind == Kind::Checkpoint {
                    tail.hashes.insert(good.seq, good.hash);
                }
                tail.position = Some(Position { seq: good.seq, head: good.hash });
                tail.good_bytes = lines.offset;
            }
            Err((flaw, _)) => {
                if flaw == Flaw::Key && tail.position.is_none() {
                    check_key_id(path, line.bytes, key)?;
                }
                return torn_after(path, tail);
            }
        }
    }
    Ok(Ok(tail))
}

fn check_key_id(path: &Path, line: &[u8], key: &Key) -> Result<(), LedgerError> {
    match serde_json::from_slice::<OpenedBy<'_>>(line) {
        Ok(opened) if opened.key_id != key.id() => Err(LedgerError::WrongKey {
            path: path.to_path_buf(),
            found: opened.key_id.chars().take(16).collect(),
            given: key.id(),
        }),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn torn_after(path: &Path, tail: Tail) -> Result<Result<Tail, &'static str>, LedgerError> {
    let rest = walk::rest_of(path, tail.good_bytes).map_err(LedgerError::io("read", path))?;
    if !walk::is_torn(&rest) {
        return Ok(Err("its last segment was changed"));
    }
    let torn_bytes = u64::try_from(rest.len()).unwrap_or(u64::MAX);
    Ok(Ok(Tail { torn_bytes, ..tail }))
}

/// Keeps what is torn beside the segment, then shortens the segment, or removes it if no record
/// is left in it.
fn cut(path: &Path, tail: &Tail) -> Result<Option<Torn>, LedgerError> {
    let failed = || LedgerError::io("cut the unfinished record off", path);
    let torn = if tail.torn_bytes > 0 {
        let rest = walk::rest_of(path, tail.good_bytes).map_err(failed())?;
        let kept = keep(path, &rest).map_err(failed())?;
        Some(Torn { segment: path.to_path_buf(), kept, bytes: tail.torn_bytes })
    } else {
        None
    };
    if tail.position.is_none() {
        fs::remove_file(path).map_err(failed())?;
    } else {
        let file = OpenOptions::new().write(true).open(path).map_err(failed())?;
        file.set_len(tail.good_bytes).and_then(|()| file.sync_all()).map_err(failed())?;
    }
    Ok(torn)
}

fn keep(path: &Path, rest: &[u8]) -> io::Result<PathBuf> {
    for attempt in 1_u32..=limits::MAX_SEGMENTS {
        let kept = path.with_extension(format!("torn-{attempt}"));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&kept);
        match file {
            Ok(mut file) => {
                file.write_all(rest)?;
                file.sync_all()?;
                return Ok(kept);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn share(
    config: LedgerConfig,
    key: &Key,
    disk: Box<dyn Disk>,
    (chain, lock, end): (ChainId, File, End),
) -> Shared {
    let Position { seq, head } = end.position;
    let state = State {
        segment: None,
        segment_number: end.segment,
        segment_len: 0,
        seq,
        head,
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
        syncer: Syncer::Works,
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
        _lock: lock,
        state: Mutex::new(state),
        work: Condvar::new(),
        faulty: AtomicBool::new(false),
        synced: AtomicU64::new(seq),
    }
}

/// First records of this run, on the disk before anything else happens.
fn begin(shared: &Shared, recovery: &Recovery) -> Result<(), LedgerError> {
    let mut state = shared.lock()?;
    let public = format!("{}\n", json::hex_text(shared.signing_key.verifying_key().as_bytes()));
    let path = segment::public_key_path(&shared.dir, shared.chain);
    let written = shared.disk.replace(&path, public.as_bytes());
    written.map_err(LedgerError::io("write the public key", &path))?;
    let path = segment::path(&shared.dir, shared.chain, state.segment_number.saturating_add(1));
    shared.open_segment(&mut state).map_err(LedgerError::io("create", &path))?;
    for body in recovered(recovery, state.seq.saturating_sub(1)) {
        shared.push(&mut state, &body);
    }
    shared.push_checkpoint(&mut state);
    shared.flush(&mut state)?;
    let segment = state.segment.clone().ok_or(LedgerFault::Internal)?;
    let synced = segment.sync().and_then(|()| shared.disk.sync_folder(&shared.dir));
    synced.map_err(LedgerError::io("sync", &shared.dir))?;
    state.folder_changed = false;
    shared.synced.store(state.seq, Ordering::Release);
    if let Some(mark) = state.mark.take() {
        checkpoint::mirror(shared.disk.as_ref(), &shared.dir, &mark)
            .map_err(LedgerError::io("write the checkpoint in", &shared.dir))?;
    }
    Ok(())
}

/// The records that say what opening found.
fn recovered(recovery: &Recovery, after: u64) -> Vec<Vec<u8>> {
    let name = |path: &Path| {
        path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned()
    };
    let torn = recovery.torn.iter().map(|torn| {
        let mut body = Vec::new();
        record::text(&mut body, "kind", "recovered");
        record::text(&mut body, "segment", &name(&torn.segment));
        record::number(&mut body, "after", after);
        record::number(&mut body, "torn_bytes", torn.bytes);
        record::text(&mut body, "kept", &name(&torn.kept));
        body
    });
    let abandoned = recovery.abandoned.iter().map(|abandoned| {
        let mut body = Vec::new();
        record::text(&mut body, "kind", "recovered");
        record::text(&mut body, "segment", &name(&abandoned.segment));
        record::text(&mut body, "abandoned", abandoned.problem);
        body
    });
    torn.chain(abandoned).collect()
}
