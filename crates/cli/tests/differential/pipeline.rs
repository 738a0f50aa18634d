//! Random pipelines: what a client might send, with a denied statement in a random place.

use testkit::Random;
use testkit::wire::{
    bind, close, describe, execute, flush, frame, function_call, parse, query, sync,
};

/// What the real server is given where the door refuses: text that no parser accepts, named so
/// that its error can be told from others.
pub(crate) const MARKER: &str = "refused_marker";
/// A function that no server has, for a refused `FunctionCall`.
pub(crate) const NO_FUNCTION: u32 = 4_294_967_295;

/// One message of the client.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// For people.
    pub(crate) label: String,
    /// What is sent through the door.
    pub(crate) bytes: Vec<u8>,
    /// What the real server is given in its place, if it is denied.
    pub(crate) denied: Option<StandsFor>,
}

/// Both are tried: which one is right depends on whether the transaction has failed by then.
#[derive(Debug, Clone)]
pub(crate) struct StandsFor {
    /// Fails, also in a failed transaction.
    pub(crate) error: Vec<u8>,
    /// Runs, but for a failed transaction.
    pub(crate) ordinary: Vec<u8>,
}

/// Messages that belong together.
pub(crate) type Unit = Vec<Message>;

/// One session: each turn is sent whole, and answered before the next one is sent.
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    pub(crate) seed: u64,
    pub(crate) turns: Vec<Vec<Unit>>,
    /// Whether the bytes are sent in small pieces.
    pub(crate) chunked: bool,
}

fn message(label: String, bytes: Vec<u8>) -> Message {
    Message { label, bytes, denied: None }
}

fn a_query(sql: &str) -> Message {
    message(format!("Query {sql:?}"), query(sql))
}

fn a_parse(name: &str, sql: &str) -> Message {
    message(format!("Parse {name:?} {sql:?}"), parse(name, sql, &[]))
}

fn a_bind(portal: &str, name: &str, values: &[&str]) -> Message {
    message(format!("Bind {portal:?} {name:?} {values:?}"), bind(portal, name, values))
}

fn a_describe(kind: u8, name: &str) -> Message {
    message(format!("Describe {} {name:?}", char::from(kind)), describe(kind, name))
}

fn an_execute(portal: &str, rows: u32) -> Message {
    message(format!("Execute {portal:?} {rows}"), execute(portal, rows))
}

fn a_close(kind: u8, name: &str) -> Message {
    message(format!("Close {} {name:?}", char::from(kind)), close(kind, name))
}

fn a_sync() -> Message {
    message("Sync".to_owned(), sync())
}

fn a_flush() -> Message {
    message("Flush".to_owned(), flush())
}

fn copy_data(text: &str) -> Message {
    message(format!("CopyData {text:?}"), frame(b'd', text.as_bytes()))
}

fn copy_done() -> Message {
    message("CopyDone".to_owned(), frame(b'c', &[]))
}

fn copy_fail() -> Message {
    message("CopyFail".to_owned(), frame(b'f', b"given up\0"))
}

/// Ends whatever is open and gives an answer that nothing else gives: five `CloseComplete` and a
/// `ReadyForQuery`, also in a failed transaction, also after a COPY without an end.
pub(crate) fn fence() -> Vec<u8> {
    let mut bytes = frame(b'f', b"fence\0");
    bytes.extend(sync());
    for _ in 0..FENCE_ANSWERS {
        bytes.extend(close(b'S', "fence"));
    }
    bytes.extend(sync());
    bytes
}

/// `CloseComplete`s of a fence; no pipeline has as many in a row.
pub(crate) const FENCE_ANSWERS: usize = 5;

/// Two of the longest names, alike but for the last byte.
fn long(last: char) -> String {
    let mut name = "n".repeat(62);
    name.push(last);
    name
}

fn name(random: &mut Random) -> String {
    match random.below(6) {
        0 | 1 => String::new(),
        2 => "s1".to_owned(),
        3 => "s2".to_owned(),
        4 => long('a'),
        _ => long('b'),
    }
}

fn sql_name(random: &mut Random) -> String {
    match random.below(3) {
        0 => "s1".to_owned(),
        1 => "s2".to_owned(),
        _ => long('a'),
    }
}

fn row(random: &mut Random) -> String {
    format!("INSERT INTO t VALUES ({}, 'v{}')", random.below(14), random.below(100))
}

fn statement(random: &mut Random) -> String {
    match random.below(12) {
        0 => "SELECT id, v FROM t ORDER BY id".to_owned(),
        1 | 2 => row(random),
        3 => format!("{} ON CONFLICT DO NOTHING", row(random)),
        4 => format!("UPDATE t SET v = v || '.' WHERE id = {}", random.below(8)),
        5 => format!("DELETE FROM t WHERE id = {} RETURNING id, v", random.below(8)),
        6 => random.pick(&["", ";", "-- nothing", "/* nothing */ ;"]).to_owned(),
        7 => "SELECT 1/0".to_owned(),
        8 => "SELECT nope FROM t".to_owned(),
        9 => "SELECT g, 10/(3-g) FROM generate_series(1, 5) g".to_owned(),
        10 => "VALUES (1, 'a'), (2, NULL)".to_owned(),
        _ => "SELECT 1 AS one".to_owned(),
    }
}

fn transaction(random: &mut Random) -> String {
    random
        .pick(&[
            "BEGIN",
            "BEGIN",
            "BEGIN",
            "START TRANSACTION READ ONLY",
            "COMMIT",
            "COMMIT",
            "COMMIT AND CHAIN",
            "ROLLBACK",
            "ROLLBACK AND CHAIN",
            "SAVEPOINT a",
            "SAVEPOINT b",
            "ROLLBACK TO a",
            "ROLLBACK TO a",
            "RELEASE a",
        ])
        .to_owned()
}

fn several(random: &mut Random) -> String {
    let mut parts = Vec::new();
    for _ in 0..2 + random.below(3) {
        let part = if random.chance(30) { transaction(random) } else { statement(random) };
        // A comment to the end of the line would swallow the rest.
        if !part.starts_with("--") {
            parts.push(part);
        }
    }
    parts.join("; ")
}

/// SQL-level PREPARE and cursors, which share their names with the protocol's.
fn named(random: &mut Random) -> String {
    let name = sql_name(random);
    match random.below(8) {
        0 => format!("PREPARE {name} AS SELECT id FROM t WHERE id < 3 ORDER BY id"),
        1 => format!("PREPARE {name} AS {}", row(random)),
        2 | 3 => format!("EXECUTE {name}"),
        4 => random.pick(&["DEALLOCATE s1", "DEALLOCATE ALL", "DEALLOCATE s2"]).to_owned(),
        5 => format!("DECLARE {name} CURSOR FOR SELECT id FROM t ORDER BY id"),
        6 => format!("FETCH 2 FROM {name}"),
        _ => format!("CLOSE {name}"),
    }
}

fn extended(random: &mut Random) -> Unit {
    let (name, portal) = (name(random), name(random));
    let mut unit = Vec::new();
    let parameter = random.chance(25);
    let text = if parameter {
        random
            .pick(&[
                "SELECT id, v FROM t WHERE id < $1::int ORDER BY id",
                "INSERT INTO t VALUES ($1::int, 'bound')",
                "SELECT 10 / $1::int",
            ])
            .to_owned()
    } else if random.chance(20) {
        transaction(random)
    } else {
        statement(random)
    };
    if random.chance(85) {
        unit.push(a_parse(&name, &text));
    }
    if random.chance(30) {
        unit.push(a_describe(b'S', &name));
    }
    if random.chance(15) {
        unit.push(a_flush());
    }
    let value = random.pick(&["0", "3", "9", "x"]);
    let values = if parameter { vec![value] } else { Vec::new() };
    unit.push(a_bind(&portal, &name, &values));
    if random.chance(40) {
        unit.push(a_describe(b'P', &portal));
    }
    let limit = u32::from(random.chance(30));
    unit.push(an_execute(&portal, limit));
    if limit > 0 {
        unit.push(an_execute(&portal, 2));
    }
    if random.chance(15) {
        unit.push(a_close(b'P', &portal));
    }
    if random.chance(60) {
        unit.push(a_sync());
    } else if random.chance(30) {
        unit.push(a_flush());
    }
    unit
}

/// One message on its own, wherever it may fall.
fn loose(random: &mut Random) -> Unit {
    let name = name(random);
    let kind = if random.chance(50) { b'S' } else { b'P' };
    vec![match random.below(7) {
        0 => a_parse(&name, &statement(random)),
        1 => a_bind(&name, &self::name(random), &[]),
        2 => a_describe(kind, &name),
        3 => an_execute(&name, u32::from(random.chance(50))),
        4 => a_close(kind, &name),
        5 => a_flush(),
        _ => a_sync(),
    }]
}

fn copy(random: &mut Random) -> Unit {
    let mut unit = Vec::new();
    let extended = random.chance(40);
    if random.chance(20) {
        let text = "COPY t TO STDOUT";
        if !extended {
            return vec![a_query(text)];
        }
        return vec![a_parse("", text), a_bind("", "", &[]), an_execute("", 0), a_sync()];
    }
    let text = "COPY t FROM STDIN";
    if extended {
        unit.extend([a_parse("", text), a_bind("", "", &[]), an_execute("", 0), a_sync()]);
    } else {
        unit.push(a_query(text));
    }
    for _ in 0..random.below(4) {
        let id = random.below(60);
        unit.push(match random.below(8) {
            0 => copy_data("bad\trow\n"),
            1 => copy_data("1\tduplicate\n"),
            2 => copy_data(&format!("{id}\tfirst h")),
            _ => copy_data(&format!("{id}\tcopied\n")),
        });
    }
    unit.push(if random.chance(75) { copy_done() } else { copy_fail() });
    if extended {
        unit.push(a_sync());
    }
    unit
}

fn unit(random: &mut Random) -> Unit {
    match random.below(20) {
        0..=3 => vec![a_query(&statement(random))],
        4..=6 => vec![a_query(&transaction(random))],
        7 => vec![a_query(&several(random))],
        8 | 9 => vec![a_query(&named(random))],
        10..=14 => extended(random),
        15 | 16 => loose(random),
        17 => copy(random),
        18 => vec![a_sync()],
        _ => vec![a_parse("", &transaction(random)), a_bind("", "", &[]), an_execute("", 0)],
    }
}

/// Statements that the policy of this test denies.
const DENIED: [&str; 12] = [
    "SELECT * FROM secret",
    "DROP TABLE t",
    "SELECT 1; DROP TABLE t",
    "BEGIN; SELECT * FROM secret; COMMIT",
    "INSERT INTO secret VALUES (1)",
    "WITH x AS (SELECT * FROM secret) SELECT * FROM t, x",
    "UPDATE t SET v = 'x' WHERE id IN (SELECT id FROM secret)",
    "COPY secret TO STDOUT",
    "COPY secret FROM STDIN",
    "PREPARE s1 AS SELECT * FROM secret",
    "DECLARE s1 CURSOR FOR SELECT * FROM secret",
    "EXPLAIN ANALYZE DELETE FROM secret WHERE id = 1",
];

fn denied(random: &mut Random) -> Unit {
    let mut unit = Vec::new();
    match random.below(10) {
        0..=4 => {
            let sql = random.pick(&DENIED);
            let stands_for = StandsFor { error: query(MARKER), ordinary: query("SELECT 1") };
            unit.push(Message { denied: Some(stands_for), ..a_query(sql) });
        }
        5..=8 => {
            let name = name(random);
            let one = [DENIED[0], DENIED[1], DENIED[4], DENIED[5], DENIED[6], DENIED[7]];
            let sql = random.pick(&one);
            let stands_for = StandsFor {
                error: parse(&name, MARKER, &[]),
                ordinary: parse(&name, "SELECT 1", &[]),
            };
            unit.push(Message { denied: Some(stands_for), ..a_parse(&name, sql) });
            if random.chance(70) {
                unit.extend([a_bind("", &name, &[]), an_execute("", 0)]);
            }
            if random.chance(50) {
                unit.push(a_sync());
            }
        }
        _ => {
            let bytes = function_call(NO_FUNCTION, &[]);
            let stands_for = StandsFor { error: bytes.clone(), ordinary: bytes };
            let asked = message("FunctionCall 1598".to_owned(), function_call(1598, &[]));
            unit.push(Message { denied: Some(stands_for), ..asked });
        }
    }
    unit
}

impl Pipeline {
    /// The pipeline of a seed.
    pub(crate) fn random(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut turns = Vec::new();
        for _ in 0..=random.below(4) {
            turns.push((0..=random.below(6)).map(|_| unit(&mut random)).collect::<Vec<_>>());
        }
        // Some have none: then everything has to be the same.
        if random.chance(90) {
            let turn = random.below(turns.len());
            let turn = &mut turns[turn];
            turn.insert(random.below(turn.len() + 1), denied(&mut random));
        }
        let chunked = random.chance(30);
        Self { seed, turns, chunked }
    }

    /// Every pipeline that is this one without one message.
    pub(crate) fn smaller(&self) -> impl Iterator<Item = Self> + '_ {
        let mut places = Vec::new();
        for (turn, units) in self.turns.iter().enumerate() {
            for (unit, messages) in units.iter().enumerate() {
                places.extend((0..messages.len()).map(|each| (turn, unit, each)));
            }
        }
        let less = |(turn, unit, each): (usize, usize, usize)| {
            let mut less = self.clone();
            less.turns[turn][unit].remove(each);
            less
        };
        let whole = (0..self.turns.len()).filter(|_| self.turns.len() > 1).map(|turn| {
            let mut less = self.clone();
            less.turns.remove(turn);
            less
        });
        whole.chain(places.into_iter().map(less))
    }

    /// For people.
    pub(crate) fn show(&self) -> String {
        let mut text = String::new();
        for turn in &self.turns {
            for message in turn.iter().flatten() {
                let mark = if message.denied.is_some() { "  <-- denied" } else { "" };
                text += &["> ", &message.label, mark, "\n"].concat();
            }
            text.push_str("> (fence)\n");
        }
        text
    }
}
