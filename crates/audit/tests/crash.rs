//! Kills a process that appends, and looks whether every record that it had a receipt for is
//! there: `record_before_forward`, from outside.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use audit::{Entry, Key, Ledger, LedgerConfig, Mode, Promise, Reader, StoredRecord};
use model::{Door, Operation, Principal, SqlFacts, Stage};

const FOLDER: &str = "PORTCULLIS_AUDIT_CRASH_TEST";

/// Not a test of its own: the process that is killed. Without a folder it has nothing to do.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let mut config = LedgerConfig::new(folder.join("ledger"), folder.join("key"));
    config.promise = Promise::Group;
    config.segment_bytes = 1 << 20;
    let ledger = Ledger::open(config).unwrap();
    let principal = Principal::asserted("agent:a");
    let facts = SqlFacts::of(Operation::Select);
    let statement = vec![b'x'; 3000];
    let entry = Entry {
        door: Door::Pg,
        stage: Stage::Query,
        session: "s",
        principal: &principal,
        statement: &statement,
        submitted: None,
        facts: &facts,
        decision: "allow",
        reasons: &[],
        risk: 0,
        policy: "sha256:0",
        mode: Mode::Enforce,
        latency_ns: 1,
    };
    let mut out = std::io::stdout().lock();
    loop {
        let receipt = ledger.append(&[entry]).unwrap();
        writeln!(out, "forwarded {}.", receipt.id(0)).unwrap();
    }
}

#[test]
fn a_killed_process_leaves_a_record_of_everything_it_forwarded() {
    let folder = std::env::temp_dir().join(format!("portcullis-crash-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut forwarded = std::collections::HashSet::new();
    for round in 1..=8_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(FOLDER, &folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut take = |line: std::io::Result<String>| {
            // The full stop tells a whole line from one that the kill cut short.
            let line = line.unwrap();
            let id = line.strip_prefix("forwarded ").and_then(|rest| rest.strip_suffix('.'));
            forwarded.extend(id.map(str::to_owned));
        };
        lines.by_ref().take(500 * round + 37).for_each(&mut take);
        child.kill().unwrap();
        lines.for_each(&mut take);
        child.wait().unwrap();
    }
    // Opening once more mends the last torn tail, if there is one.
    Ledger::open(LedgerConfig::new(folder.join("ledger"), folder.join("key")))
        .unwrap()
        .close()
        .unwrap();
    let key = Key::load(&folder.join("key")).unwrap();
    let verified = audit::verify(&folder.join("ledger"), Some(&key)).unwrap();
    assert_eq!(verified.chains.len(), 1);
    let recorded: std::collections::HashSet<_> = Reader::open(&folder.join("ledger"))
        .unwrap()
        .filter_map(|record| match record.unwrap() {
            StoredRecord::Decision(decision) => Some(decision.id.unwrap().to_string()),
            StoredRecord::Settled(_) | StoredRecord::Other(_) => None,
        })
        .collect();
    let missing: Vec<_> = forwarded.difference(&recorded).collect();
    println!(
        "{} forwarded, {} recorded, {} torn tails",
        forwarded.len(),
        recorded.len(),
        verified.chains[0].recovered
    );
    assert!(missing.is_empty(), "{missing:?}");
    std::fs::remove_dir_all(&folder).unwrap();
}
