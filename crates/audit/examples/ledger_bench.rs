//! What the ledger costs: nanoseconds for one small record (group), records per sync (strict),
//! and megabytes per second of verification. Run with `--release`.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use audit::{Entry, Key, Ledger, LedgerConfig, Mode, Payload, Promise};
use model::{Access, Door, Fact, Operation, Principal, RelationName, RelationUse, Schemas};
use model::{SqlFacts, Stage};

const RECORDS: u32 = 200_000;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("ledger-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let outcome = run(&dir);
    std::fs::remove_dir_all(&dir)?;
    outcome
}

fn run(dir: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let key_file: PathBuf = dir.join("key");
    let principal = Principal::asserted("agent:cursor-ai:mission:summarize-feedback");
    let relation = RelationName {
        schemas: Schemas::Paths([vec!["public".to_owned()]].into()),
        name: "feedback".into(),
    };
    let mut facts = SqlFacts::of(Operation::Select);
    facts.relations = Fact::Known(vec![RelationUse { relation, access: Access::Read }]);
    let entry = Entry {
        door: Door::Pg,
        stage: Stage::Query,
        session: "s-1",
        principal: &principal,
        statement: b"select id, text from feedback where id = 17",
        submitted: None,
        facts: &facts,
        decision: "allow",
        reasons: &[],
        risk: 0,
        policy: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        mode: Mode::Enforce,
        latency_ns: 2_345,
    };
    for promise in [Promise::Group, Promise::Relaxed] {
        append(&dir.join(promise.as_str()), &key_file, entry, promise)?;
    }
    threads(&dir.join("threads"), &key_file, entry)?;
    strict(&dir.join("strict"), &key_file, entry)?;
    verify(&dir.join("group"), &key_file)
}

#[expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]
fn append(
    dir: &std::path::Path,
    key_file: &std::path::Path,
    entry: Entry<'_>,
    promise: Promise,
) -> Result<(), Box<dyn Error>> {
    let mut config = LedgerConfig::new(dir, key_file);
    config.promise = promise;
    config.payload = Payload::Full;
    let ledger = Ledger::open(config)?;
    let mut times = Vec::new();
    let began = Instant::now();
    for _ in 0..RECORDS {
        let one = Instant::now();
        let _receipt = ledger.append(&[entry])?;
        times.push(one.elapsed());
    }
    let each = began.elapsed() / RECORDS;
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 1000).copied().unwrap_or_default();
    let stats = ledger.stats();
    println!(
        "{promise}: {each:?} a record of {} bytes (p50 {:?}, p99 {:?}, p99.9 {:?}), {} syncs",
        stats.bytes / stats.records,
        at(500),
        at(990),
        at(999),
        stats.fsyncs
    );
    ledger.close()?;
    Ok(())
}

/// Two threads at once.
#[expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]
fn threads(
    dir: &std::path::Path,
    key_file: &std::path::Path,
    entry: Entry<'_>,
) -> Result<(), Box<dyn Error>> {
    let ledger = Ledger::open(LedgerConfig::new(dir, key_file))?;
    let began = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| (0..RECORDS).try_for_each(|_| ledger.append(&[entry]).map(drop)))
            })
            .collect();
        workers.into_iter().all(|worker| matches!(worker.join(), Ok(Ok(()))))
    });
    println!("group, 2 threads: {:?} a record over all", began.elapsed() / (RECORDS * 2));
    ledger.close()?;
    Ok(())
}

/// A thousand appends at once wait for the disk, twenty times.
#[expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]
fn strict(
    dir: &std::path::Path,
    key_file: &std::path::Path,
    entry: Entry<'_>,
) -> Result<(), Box<dyn Error>> {
    let mut config = LedgerConfig::new(dir, key_file);
    config.promise = Promise::Strict;
    let ledger = Ledger::open(config)?;
    let began = Instant::now();
    for _ in 0..20 {
        let mut last = None;
        for _ in 0..1000 {
            last = Some(ledger.append(&[entry])?);
        }
        while let Some(receipt) = last
            && !ledger.is_durable(receipt)?
        {
            std::thread::yield_now();
        }
    }
    let stats = ledger.stats();
    println!(
        "strict, 1000 at once: {:?} a record, {} records in {} syncs, last sync {} us",
        began.elapsed() / 20_000,
        stats.records,
        stats.fsyncs,
        stats.last_fsync_us
    );
    ledger.close()?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]
#[expect(clippy::cast_precision_loss, reason = "a rate needs no exact byte count")]
fn verify(dir: &std::path::Path, key_file: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let key = Key::load(key_file)?;
    for key in [Some(&key), None] {
        let began = Instant::now();
        let verified = audit::verify(dir, key)?;
        let rate = verified.bytes as f64 / 1e6 / began.elapsed().as_secs_f64();
        println!("verify (keyed: {}): {rate:.0} MB/s", verified.keyed);
    }
    let began = Instant::now();
    let report = audit::report(dir, &audit::ReportOptions::default())?;
    println!("report of {} decisions: {:?}", report.summary.total, began.elapsed());
    Ok(())
}
