//! Whatever analysis is told of a session changes the epoch of its reading: random sessions, looked at after
//! each thing that happens to them.

use std::collections::HashMap;
use std::time::Duration;

use sql::catalog::{Catalog, FORMAT, Snapshot};
use tokio_postgres::Config;

use super::*;
use crate::catalog::live::CatalogMode;
use crate::catalog::{CatalogSettings, live::Live};

/// What runs in these sessions.
const TEXTS: &[&str] = &[
    "SELECT 1",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT a",
    "ROLLBACK TO a",
    "RELEASE a",
    "CREATE TEMP TABLE t (a int)",
    "CREATE TEMP TABLE u (a int) ON COMMIT DROP",
    "CREATE TABLE public.v (a int)",
    "DROP TABLE t",
    "DISCARD TEMP",
    "DISCARD ALL",
    "DO 'x'",
    "CALL p()",
    "COMMENT ON TABLE t IS 'x'",
    "SET search_path = pg_temp, public",
    "SET search_path = a",
    "RESET search_path",
    "SET client_encoding = 'latin1'",
    "SET standard_conforming_strings = off",
    "SET ROLE x",
    "RESET ALL",
    "COMMIT PREPARED 'x'",
];

const POLICIES: &[&str] = &[
    "agents: {a: {}}",
    "agents: {a: {blocked_tables: [x]}}",
    "agents: {a: {tenant: t}}\ndetections: {}\ntenancy: {column: one}",
    "agents: {a: {tenant: t}}\ndetections: {}\ntenancy: {column: two}",
    "agents: {a: {functions: {deny: [x]}}}\nbare_names: built_in",
];

const STATUS: &[(&[u8], &[u8])] = &[
    (b"client_encoding", b"UTF8"),
    (b"client_encoding", b"LATIN1"),
    (b"client_encoding", b"SJIS"),
    (b"server_version", b"15.3"),
    (b"server_version", b"16.1"),
    (b"standard_conforming_strings", b"off"),
    (b"application_name", b"x"),
];

/// A generator of numbers that look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.roll(list.len())]
    }
}

fn catalog(version: u32) -> Catalog {
    let snapshot = Snapshot { format: FORMAT, server_version: version, ..Snapshot::default() };
    Catalog::from_snapshot(snapshot).unwrap()
}

struct Session {
    reading: Reading,
    live: Option<Live>,
    group: u64,
    ticket: u64,
}

impl Session {
    /// A statement is judged and on its way, as the judge does it.
    fn run(&mut self, text: &str) {
        let analysis = sql::analyze(text.as_bytes(), &self.reading.context());
        self.ticket += 1;
        let mut steps = VecDeque::new();
        for statement in analysis.statements() {
            let facts = statement.facts(&|_, _| None);
            let step = statement.effects().iter().find_map(sql::Effect::step).cloned();
            match &self.live {
                None => self.reading.on_unseen_definitions(&facts),
                Some(live) => {
                    if self.reading.on_definitions(&facts, step.as_ref(), self.ticket) {
                        self.reading.counted(live.invalidate());
                    }
                }
            }
            self.reading.on_settings(&facts.settings);
            for effect in statement.effects() {
                if let sql::Effect::SearchPath(path) = effect {
                    self.reading.on_search_path(path);
                }
            }
            steps.push_back(step);
        }
        self.reading.submitted(self.ticket, self.group, steps);
    }

    fn something(&mut self, dice: &mut Dice, policies: &[Policy]) {
        match dice.roll(16) {
            0..=4 => self.run(TEXTS[dice.roll(TEXTS.len())]),
            5 | 6 => {
                let rolled_back = dice.roll(4) == 0;
                let ticket = self.ticket - dice.roll(3) as u64;
                self.reading.on_completed(Completed { ticket, rolled_back });
            }
            7 => self.reading.on_settled(self.ticket),
            8 => self.reading.on_error(),
            9 => {
                let status = *dice.pick(&[Status::Idle, Status::Transaction, Status::Failed]);
                self.reading.on_ready(status, dice.roll(4) == 0);
            }
            10 => self.group += 1,
            11 => self.reading.follow(dice.pick(policies)),
            12 => {
                let (name, value) = dice.pick(STATUS);
                self.reading.on_parameter_status(name, value);
            }
            13 => {
                let version = *dice.pick(&[150_003, 150_003, 160_001]);
                if let Some(live) = &self.live {
                    live.hold(catalog(version));
                }
            }
            14 => {
                if let Some(live) = &self.live {
                    live.invalidate();
                }
            }
            _ if self.live.is_some() && dice.roll(4) == 0 => self.reading.distrust(self.ticket),
            _ => {
                // A step alone, whatever the judge would have said of it before.
                self.ticket += 1;
                let step = Some(Step::Anything);
                self.reading.submitted(self.ticket, self.group, VecDeque::from([step]));
            }
        }
        // Before the next message.
        if dice.roll(2) == 0 {
            self.reading.look_up(self.live.as_ref(), self.group);
        }
    }
}

fn live() -> Live {
    Live::new(CatalogSettings {
        connection: Config::new(),
        max_age: Duration::from_hours(1),
        poll: Duration::from_hours(1),
        mode: CatalogMode::Polled,
    })
}

#[test]
fn others_see_what_is_committed_once_that_is_answered() {
    let path = ["public".to_owned()];
    for (text, sees) in [
        ("BEGIN; CREATE TABLE public.v (a int); COMMIT; SELECT 1", true),
        ("BEGIN; COMMENT ON TABLE t IS 'x'; COMMIT; SELECT 1", true),
        ("BEGIN; CREATE TEMP TABLE v (a int); COMMIT; SELECT 1", false),
        ("BEGIN; SELECT 1; COMMIT; SELECT 1", false),
    ] {
        for rolled_back in [false, true] {
            let (reading, live) = (Reading::new("app", Some(&path)), live());
            live.hold(catalog(150_003));
            let mut session = Session { reading, live: Some(live), group: 1, ticket: 10 };
            session.reading.on_parameter_status(b"server_version", b"15.3");
            session.reading.look_up(session.live.as_ref(), 1);
            session.run(text);
            let mut done =
                |rolled_back| session.reading.on_completed(Completed { ticket: 11, rolled_back });
            assert!(!done(false) && !done(false), "{text}");
            assert_eq!(done(rolled_back), sees && !rolled_back, "{text}");
            assert!(!done(false), "{text}");
            assert!(!session.reading.on_ready(Status::Transaction, false));
            let any = sees;
            assert_eq!(session.reading.on_ready(Status::Idle, true), any, "of a later one");
            assert_eq!(session.reading.on_ready(Status::Idle, false), any, "{text}");
            assert!(!session.reading.on_ready(Status::Idle, false), "{text}");
        }
    }
}

#[test]
fn whatever_analysis_is_told_changes_the_epoch() {
    let load = |text: &&str| Policy::load("test", &format!("version: \"2\"\n{text}")).unwrap();
    let policies: Vec<Policy> = POLICIES.iter().map(|text| load(text).policy).collect();
    let mut dice = Dice(0x5eed_5eed_5eed);
    let mut epochs = 0;
    for number in 0..400 {
        let path = (number % 5 != 0).then(|| vec!["$user".to_owned(), "public".to_owned()]);
        let reading = Reading::new("app", path.as_deref());
        let live = (number % 3 != 0).then(live);
        let mut session = Session { reading, live, group: 1, ticket: 10 };
        let mut told: HashMap<u64, String> = HashMap::new();
        for _ in 0..60 {
            session.something(&mut dice, &policies);
            let epoch = session.reading.epoch();
            let now = format!("{:?}", session.reading.context());
            let before = told.entry(epoch).or_insert_with(|| now.clone());
            assert_eq!(*before, now, "session {number}, epoch {epoch}");
        }
        epochs += told.len();
    }
    // Neither does it change with everything: then nothing would ever be found again.
    assert!((2_000..16_000).contains(&epochs), "{epochs}");
}
