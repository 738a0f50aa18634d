//! PostgreSQL is the oracle: random schemas, random grants of columns and functions, random
//! statements. The server says whether a role with just these grants lacks a privilege (`EXPLAIN`
//! checks them and runs nothing); Portcullis says whether an agent with the same lists may.
//!
//! No statement that the server refuses for want of a privilege may be allowed, and nearly all that
//! it permits must be. `ORACLE_ROUNDS` and `ORACLE_SEED` change how many, and which.

#![cfg(test)]

mod own;
mod statement;
mod world;

use std::collections::BTreeMap;

use model::{Door, Principal, Request, Stage};
use policy::Policy;
use sql::catalog::Catalog;
use sql::{Context, Encoding, Known, SearchPaths};
use testkit::{Options, PgBox, Random};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use statement::Writer;
use world::World;

/// Statements against one schema before the next is made.
const PER_WORLD: usize = 250;

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Oracle {
    /// It would run it, by this plan.
    Permits(String),
    /// A privilege is missing.
    Refuses(String),
    /// It is no valid statement.
    Invalid(String),
}

#[derive(Debug, Default)]
struct Tally {
    permitted: usize,
    refused: usize,
    invalid: usize,
    /// Refused by us for what the server's plan leaves out: a branch that is constantly false.
    planned_away: usize,
    /// Refused by the server, allowed by us.
    holes: Vec<String>,
    /// Permitted by the server, refused by us.
    losses: BTreeMap<String, Vec<String>>,
}

#[expect(clippy::disallowed_methods, reason = "a test is configured by its caller alone")]
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn no_privilege_that_the_server_misses_is_overlooked() {
    let rounds = usize::try_from(number("ORACLE_ROUNDS", 5_000)).unwrap();
    let seed = number("ORACLE_SEED", 1);
    println!("ORACLE_SEED={seed} ORACLE_ROUNDS={rounds}");
    let server = PgBox::start(&Options::default()).expect("PostgreSQL starts");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut tally = Tally::default();
    let mut random = Random::new(seed);
    let mut world = 0;
    while tally.permitted + tally.refused < rounds {
        world += 1;
        assert!(world <= rounds / 20 + 20, "most statements are invalid: {tally:#?}");
        runtime.block_on(one_world(&server, world, &mut random, &mut tally));
    }
    let compared = tally.permitted + tally.refused;
    let lost: usize = tally.losses.values().map(Vec::len).sum();
    println!(
        "{compared} compared ({} permitted, {} refused), {} invalid; {} holes; {lost} losses; \
         {} refused for what the plan leaves out",
        tally.permitted,
        tally.refused,
        tally.invalid,
        tally.holes.len(),
        tally.planned_away
    );
    for (why, statements) in &tally.losses {
        println!("lost {} for {why}, for example:\n    {}", statements.len(), statements[0]);
    }
    assert!(tally.refused * 5 > compared, "the grants refuse too little to show anything");
    assert!(tally.permitted * 5 > compared, "the grants permit too little to show anything");
    assert!(tally.holes.is_empty(), "allowed without privilege:\n{}", tally.holes.join("\n"));
    assert!(lost * 200 <= tally.permitted, "more than 0.5% of what is permitted is lost");
}

async fn one_world(server: &PgBox, number: usize, random: &mut Random, tally: &mut Tally) {
    let database = format!("w{number}");
    server.create_database(&database).unwrap();
    let world = World::new(random);
    server.admin(&database, &world.schema).unwrap_or_else(|trouble| {
        panic!("{trouble:?}\n{}", world.schema);
    });
    let mut config: tokio_postgres::Config = server.conn_string(&database).parse().unwrap();
    let snapshot = server::catalog::fetch(&config).await.expect("the catalog loads");
    let catalog = Catalog::from_snapshot(snapshot).expect("it does not contradict itself");
    let loaded = Policy::load("policy", &world.policy);
    let policy = loaded.unwrap_or_else(|found| panic!("{found:?}\n{}", world.policy)).policy;
    config.user("eve");
    let (client, connection) = config.connect(NoTls).await.unwrap();
    let work = compare(&client, &world, (&catalog, &policy), random, tally);
    tokio::select! {
        () = work => {}
        ended = connection => panic!("the connection ended: {ended:?}"),
    }
    drop(client);
    server.admin("postgres", &format!("DROP DATABASE {database} WITH (FORCE)")).unwrap();
    server.admin("postgres", "DROP ROLE eve").unwrap();
}

async fn compare(
    client: &Client,
    world: &World,
    (catalog, policy): (&Catalog, &Policy),
    random: &mut Random,
    tally: &mut Tally,
) {
    client.batch_execute("SET search_path = app, public").await.unwrap();
    for _ in 0..PER_WORLD {
        let text = Writer::new(world, random).statement();
        let oracle = ask(client, &text).await;
        let ours = judge(catalog, policy, &text);
        match (oracle, ours) {
            (Oracle::Invalid(_), _) => tally.invalid += 1,
            (Oracle::Permits(_), Ok(())) => tally.permitted += 1,
            (Oracle::Refuses(_), Err(_)) => tally.refused += 1,
            (Oracle::Refuses(why), Ok(())) => {
                tally.refused += 1;
                tally.holes.push(format!("{text}\n    {why}"));
            }
            (Oracle::Permits(plan), Err(why)) => {
                tally.permitted += 1;
                if why.names.iter().all(|name| !plan.contains(name.as_str())) {
                    tally.planned_away += 1;
                } else {
                    tally.losses.entry(why.codes).or_default().push(text);
                }
            }
        }
    }
}

fn line(message: &SimpleQueryMessage) -> Option<String> {
    let SimpleQueryMessage::Row(row) = message else { return None };
    row.get(0).map(|line| format!("{line}\n"))
}

/// Why something is denied.
struct Denial {
    codes: String,
    /// What the reasons are about: functions and tables, without schema.
    names: Vec<String>,
}

async fn ask(client: &Client, text: &str) -> Oracle {
    match client.simple_query(&format!("EXPLAIN (VERBOSE) {text}")).await {
        Ok(plan) => Oracle::Permits(plan.iter().filter_map(line).collect()),
        Err(error) => match error.as_db_error() {
            Some(said) if *said.code() == SqlState::INSUFFICIENT_PRIVILEGE => {
                Oracle::Refuses(said.message().to_owned())
            }
            Some(said) => Oracle::Invalid(said.message().to_owned()),
            None => panic!("{error}: {text}"),
        },
    }
}

/// `Err` says why it is denied.
fn judge(catalog: &Catalog, policy: &Policy, text: &str) -> Result<(), Denial> {
    let paths = [vec!["app".to_owned(), "public".to_owned()]];
    let context = Context {
        search_paths: SearchPaths::Possible(&paths),
        encoding: Encoding::Utf8,
        standard_conforming_strings: true,
        catalog: Known::Catalog(catalog),
        tenant_column: Some("id"),
        timeline: None,
        role: Some("eve"),
        server_major: Some(catalog.major()),
    };
    let principal = Principal::asserted("agent:eve:mission:m");
    let analysis = sql::analyze(text.as_bytes(), &context);
    for statement in analysis.statements() {
        let facts = statement.facts(&|_, _| None);
        let request = Request {
            principal: &principal,
            door: Door::Check,
            stage: Stage::Query,
            server_major: Some(catalog.major()),
            facts: &facts,
        };
        let decision = policy.evaluate(&request);
        if !decision.is_allowed() {
            let codes: Vec<String> =
                decision.reasons().iter().map(|reason| reason.code().to_string()).collect();
            let about = decision.reasons().iter().filter_map(|r| r.table().or(r.detail()));
            let names = about.map(|name| name.rsplit('.').next().unwrap_or_default().to_owned());
            return Err(Denial { codes: codes.join(" "), names: names.collect() });
        }
    }
    Ok(())
}
