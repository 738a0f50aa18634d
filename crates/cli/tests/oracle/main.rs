//! PostgreSQL is the oracle: random schemas, random grants of columns and functions, random
//! statements. The server says whether a role with just these grants lacks a privilege: it plans each
//! statement, runs it and takes it back. Portcullis says whether an agent with the same lists may.
//!
//! No statement that the server refuses for want of a privilege may be allowed, and nearly all that
//! it permits must be. `ORACLE_ROUNDS` and `ORACLE_SEED` change how many, and which.

#![cfg(test)]

mod calls;
mod corpora;
mod dml;
mod kinds;
mod own;
mod routines;
mod server_side;
mod statement;
mod tally;
mod world;

use model::{Door, Principal, Request, Stage};
use policy::Policy;
use sql::catalog::Catalog;
use sql::{Context, Encoding, Known, SearchPaths};
use testkit::{Options, PgBox, Random};

use server_side::{Eve, Oracle};
use statement::Writer;
use tally::{Compared, Tally, Why};
use world::World;

/// Statements against one schema before the next is made.
const PER_WORLD: usize = 250;

#[expect(clippy::disallowed_methods, reason = "a test is configured by its caller alone")]
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn no_privilege_that_the_server_misses_is_overlooked() {
    let rounds = usize::try_from(number("ORACLE_ROUNDS", 5_000)).unwrap();
    let seed = number("ORACLE_SEED", 1);
    println!("ORACLE_SEED={seed} ORACLE_ROUNDS={rounds}");
    let server = server();
    let mut tally = Tally::default();
    let mut random = Random::new(seed);
    let mut world = 0;
    while tally.compared() < rounds {
        world += 1;
        assert!(world <= rounds / 20 + 20, "most statements are invalid: {tally:#?}");
        one_world(&server, world, &mut random, &mut tally);
    }
    tally.print();
    tally.check();
}

/// A server that loses no time on compiling plans.
fn server() -> PgBox {
    let settings = vec!["jit = off".to_owned()];
    PgBox::start(&Options { settings, ..Options::default() }).expect("PostgreSQL starts")
}

fn one_world(server: &PgBox, number: usize, random: &mut Random, tally: &mut Tally) {
    let database = format!("w{number}");
    server.create_database(&database).unwrap();
    let world = world(server, &database, random);
    let catalog = catalog(server, &database);
    let loaded = Policy::load("policy", &world.policy);
    let policy = loaded.unwrap_or_else(|found| panic!("{found:?}\n{}", world.policy)).policy;
    let mut eve = Eve::login(server.port, &database, &["app", "public"]);
    let refused = eve.refused(&world);
    let reaching = world.reaching(&refused);
    for _ in 0..PER_WORLD {
        let statement = Writer::new(&world, random).submission();
        let oracle = eve.ask(&statement);
        let ours = judge(&catalog, &policy, &["app", "public"], &statement.text);
        let (text, refused, reaching) = (&statement.text, &refused, &reaching);
        let compared = Compared { world: &world, refused, reaching, text };
        tally.add(&compared, oracle, ours);
    }
    drop(eve);
    server.admin("postgres", &format!("DROP DATABASE {database} WITH (FORCE)")).unwrap();
    server.admin("postgres", "DROP ROLE eve").unwrap();
}

/// A world that exists in this database.
fn world(server: &PgBox, database: &str, random: &mut Random) -> World {
    let mut world = World::new(random);
    let run = |sql: &str| {
        let said = server.admin(database, sql);
        said.unwrap_or_else(|trouble| panic!("{trouble:?}\n{sql}"))
    };
    run(&format!(
        "SET client_min_messages = error; SET search_path = app, public; {}",
        world.schema
    ));
    let there = run(&world.question());
    world.keep(&there);
    let grants = world.grants(random);
    run(&grants);
    world
}

fn catalog(server: &PgBox, database: &str) -> Catalog {
    let config: tokio_postgres::Config = server.conn_string(database).parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let snapshot = runtime.block_on(server::catalog::fetch(&config)).expect("the catalog loads");
    Catalog::from_snapshot(snapshot).expect("it does not contradict itself")
}

/// `Err` says why it is denied.
fn judge(catalog: &Catalog, policy: &Policy, path: &[&str], text: &str) -> Result<(), Vec<Why>> {
    let paths = [path.iter().map(|schema| (*schema).to_owned()).collect()];
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
            return Err(decision.reasons().iter().map(Why::of).collect());
        }
    }
    Ok(())
}

impl Oracle {
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Refuses { .. })
    }
}
