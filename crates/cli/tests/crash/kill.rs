//! The door is killed at random moments, under load.

use std::time::{Duration, Instant};

use audit::{Ledger, LedgerConfig};
use testkit::{Options, PgBox, Proxy, ProxyOptions, Random};

use super::ledger::{Finding, decisions, unrecorded, verified};
use super::load::{POLICY, agent};
use testkit::tap::Tap;

const ROUNDS: u64 = 6;
const AGENTS: usize = 5;

/// What a round showed.
#[derive(Debug, Default)]
struct Round {
    sent: usize,
    forwarded: usize,
    recorded: usize,
    torn: usize,
}

fn rounds() -> u64 {
    let given = std::env::var_os("PORTCULLIS_CRASHES").and_then(|text| text.to_str()?.parse().ok());
    given.unwrap_or(ROUNDS)
}

fn round(pg: &PgBox, promise: &str, seed: u64) -> Round {
    let mut random = Random::new(seed);
    let tap = Tap::start(pg.port).unwrap();
    let door = Proxy::start(&ProxyOptions {
        binary: env!("CARGO_BIN_EXE_portcullis").into(),
        upstream: format!("127.0.0.1:{}", tap.port),
        policy: POLICY.to_owned(),
        arguments: [
            "--admin",
            "off",
            "--view",
            "off",
            "--payload",
            "full",
            "--promise",
            promise,
            // Rotation is part of the load.
            "--segment-size",
            "1MiB",
        ]
        .map(str::to_owned)
        .to_vec(),
        environment: Vec::new(),
    })
    .unwrap();
    let agents: Vec<_> = (0..AGENTS).map(|name| agent(door.port, name, random.number())).collect();
    std::thread::sleep(Duration::from_micros(30_000 + random.number() % 250_000));
    door.signal("KILL").unwrap();
    let sent = agents.into_iter().map(|agent| agent.join().unwrap()).sum();
    let forwarded = tap.forwarded();
    let recorded = decisions(&door.ledger());
    let count = recorded.values().sum();
    let missing = unrecorded(&forwarded, recorded);
    assert!(missing.is_empty(), "{promise}, seed {seed}: without a record: {missing:?}");
    let torn = match verified(&door.ledger(), &door.key()) {
        Finding::Intact => 0,
        Finding::Torn => 1,
        Finding::Broken(said) => panic!("{promise}, seed {seed}: {said}"),
    };
    // Opening it again recovers it; then it is whole.
    let recovered = Ledger::open(LedgerConfig::new(door.ledger(), door.key())).unwrap();
    assert_eq!(recovered.recovery().torn.is_some(), torn > 0, "{promise}, seed {seed}");
    drop(recovered);
    assert_eq!(verified(&door.ledger(), &door.key()), Finding::Intact, "{promise}, seed {seed}");
    Round { sent, forwarded: forwarded.len(), recorded: count, torn }
}

fn killed(promise: &str, seed: u64) {
    let pg = PgBox::start(&Options::default()).unwrap();
    let began = Instant::now();
    let mut sum = Round::default();
    let mut killed = 0;
    // On a machine that is busy otherwise little is sent before the end: then more rounds, within bounds.
    while killed < rounds() || (sum.forwarded <= 100 && killed < 8 * rounds()) {
        let number = killed;
        killed += 1;
        let round = round(&pg, promise, seed + number);
        sum.sent += round.sent;
        sum.forwarded += round.forwarded;
        sum.recorded += round.recorded;
        sum.torn += round.torn;
    }
    println!(
        "{promise}: killed {} times in {:?}; {} statements sent, {} messages forwarded, 0 of them \
         without a record; {} decisions recorded; {} torn tails, all recovered",
        killed,
        began.elapsed(),
        sum.sent,
        sum.forwarded,
        sum.recorded,
        sum.torn
    );
    assert!(sum.forwarded > 100, "hardly any load: {sum:?}");
}

#[test]
fn record_before_forward_survives_sigkill_under_strict() {
    killed("strict", 1);
}

#[test]
fn record_before_forward_survives_sigkill_under_group() {
    killed("group", 1001);
}
