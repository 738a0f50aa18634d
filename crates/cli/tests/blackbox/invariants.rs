//! The numbered invariants of ARCHITECTURE.md that only the whole can show, each under its name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use testkit::wire::{
    bind, close, describe, execute, flush, frame, function_call, parse, query, sync,
};
use testkit::{Random, Tap};

use crate::kit::{Door, POLICY, WORKER, database, eventually, server};

/// Every record of a door that has stopped.
pub(crate) fn records(door: &Door) -> Vec<Value> {
    let files = std::fs::read_dir(door.proxy.ledger()).unwrap().flatten();
    let texts =
        files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "jsonl"));
    let text: String = texts.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// Something that a client may send, well-mannered or not.
fn message(random: &mut Random) -> Vec<u8> {
    let name = random.pick(&["", "s", "t"]);
    let sql = random.pick(&[
        "SELECT 1",
        "SELECT id FROM feedback",
        "SELECT * FROM users",
        "DROP TABLE notes",
        "INSERT INTO notes VALUES (1, 'x')",
        "BEGIN",
        "ROLLBACK",
        "SELECT 1; TABLE users",
        "PREPARE s AS SELECT * FROM users",
        "EXECUTE s",
        "COPY notes FROM STDIN",
        "SELECT (",
        "",
    ]);
    match random.below(14) {
        0..=3 => query(sql),
        4..=5 => parse(name, sql, &[]),
        6 => bind(name, name, &[]),
        7 => execute(name, 0),
        8 => describe(b'S', name),
        9 => close(b'S', name),
        10 => frame(b'd', b"1\tx\n"),
        11 => frame(b'c', b""),
        12 => function_call(1573, &[]),
        _ => [flush(), sync()].concat(),
    }
}

/// Texts of the stand-ins: nothing of a client's is in them.
const STAND_IN: &str = "SELECT \"refused by portcullis\"";

#[test]
fn nothing_unjudged_leaves() {
    let tap = Tap::start(server().port).unwrap();
    let mut door = Door::before(tap.port, database(), POLICY, &["--payload", "full"]);
    let mut random = Random::new(20);
    for _ in 0..80 {
        let mut wire = door.wire(WORKER);
        wire.patience(Duration::from_secs(1)).unwrap();
        let burst: Vec<u8> = (0..12).flat_map(|_| message(&mut random)).collect();
        wire.send(&burst).unwrap();
        // COPY may be open: end it, and the session, whatever the state.
        drop(wire.send(
            &[frame(b'f', b"end\0"), sync(), query("SELECT 'end'"), frame(b'X', b"")].concat(),
        ));
        drop(wire.until_closed());
    }
    door.stop();
    let mut allowed: BTreeMap<(String, String), usize> = BTreeMap::new();
    for record in records(&door).iter().filter(|record| record["kind"] == "decision") {
        if record["decision"] == "allow" {
            *allowed.entry((text(record, "stage"), text(record, "statement"))).or_default() += 1;
        }
    }
    let mut judged = 0;
    for (tag, body) in tap.frames() {
        let mut strings = body.split(|byte| *byte == 0);
        let first = String::from_utf8(strings.next().unwrap_or_default().to_vec()).unwrap();
        let second =
            String::from_utf8(strings.next().unwrap_or_default().to_vec()).unwrap_or_default();
        let (stage, statement) = match tag {
            b'Q' => ("query", first),
            b'P' => ("parse", second),
            // A function call with OID 0 is a stand-in.
            b'F' => {
                assert_eq!(body.get(..4), Some(&[0, 0, 0, 0][..]), "a function call was forwarded");
                continue;
            }
            // What a name stands for was judged when it was made, and again here.
            b'B' | b'E' => {
                let stage = if tag == b'B' { "bind" } else { "execute" };
                let known: usize =
                    allowed.iter().filter(|((s, _), _)| s == stage).map(|(_, count)| count).sum();
                assert!(known > 0, "{stage} without a record");
                continue;
            }
            b'S' | b'H' | b'X' | b'C' | b'D' | b'd' | b'c' | b'f' | b'p' => continue,
            other => panic!("message {} was forwarded", char::from(other)),
        };
        if statement == STAND_IN {
            continue;
        }
        judged += 1;
        let key = (stage.to_owned(), statement);
        let left = allowed.get_mut(&key).unwrap_or_else(|| panic!("no record allows {key:?}"));
        assert!(*left > 0, "{key:?} was forwarded more often than allowed");
        *left -= 1;
    }
    assert!(judged > 100, "only {judged} messages passed");
}

/// Pieces of texts that readers take apart differently.
const PIECES: &[&str] = &[
    "SELECT ",
    "1",
    " ",
    "'",
    "''",
    "\"",
    "\\",
    "/*",
    "*/",
    "--",
    "\n",
    "$$",
    "$x$",
    "E'",
    "U&'",
    "é",
    "\u{200b}",
    "\u{a0}",
    ";",
    "FROM notes",
    "WHERE",
    "=",
    "(",
    ")",
    "::text",
    "\t",
    "x",
    "0",
    "||",
    "\u{feff}",
    "B'1'",
    "N'a'",
];

#[test]
fn one_reader() {
    let tap = Tap::start(server().port).unwrap();
    let policy = include_str!("../../../../policies/transparent.yaml");
    let mut door = Door::before(tap.port, database(), policy, &["--payload", "full"]);
    let mut wire = door.wire("");
    let mut direct = server().wire(&door.database).unwrap();
    let mut random = Random::new(7);
    let mut sent = Vec::new();
    let mut broken = 0;
    for _ in 0..1_500 {
        let mut sql = String::from("SELECT ");
        for _ in 0..=random.below(8) {
            sql.push_str(random.pick(PIECES));
        }
        let messages = [parse("", &sql, &[]), sync()].concat();
        wire.send(&messages).unwrap();
        direct.send(&messages).unwrap();
        let (ours, theirs) = (wire.until_ready().unwrap(), direct.until_ready().unwrap());
        assert_eq!(testkit::wire::tags(&ours), testkit::wire::tags(&theirs), "{sql:?}");
        // The grammar refuses the text here exactly if it does there: only its own errors count.
        let code = theirs.first().map(testkit::Frame::sqlstate).unwrap_or_default();
        let several = theirs[0].field(b'M').is_some_and(|text| text.contains("multiple commands"));
        let refused = code == "42601" && !several;
        let context = sql::Context {
            search_paths: sql::SearchPaths::Unknown,
            encoding: sql::Encoding::Utf8,
            standard_conforming_strings: true,
            catalog: sql::Known::Nothing,
            tenant_column: None,
            timeline: None,
            role: None,
            server_major: Some(18),
        };
        let read = sql::analyze(sql.as_bytes(), &context);
        let lexical = ["22P02", "22025", "42704", "22021"].contains(&code.as_str());
        assert!(lexical || read.is_ok() != refused, "{sql:?}: {code}, {:?}", read.error());
        broken += usize::from(refused);
        sent.push(sql);
    }
    drop(wire);
    door.stop();
    // Byte for byte what the client sent is what the server was given.
    let parsed = tap.frames().into_iter().filter(|(tag, _)| *tag == b'P');
    let texts: Vec<Vec<u8>> =
        parsed.map(|(_, body)| body[1..].split(|b| *b == 0).next().unwrap().to_vec()).collect();
    let sent: Vec<Vec<u8>> = sent.into_iter().map(String::into_bytes).collect();
    assert_eq!(texts, sent);
    assert!(broken > 300 && broken < 1_400, "{broken} of 1500 texts are refused by the grammar");
}

#[test]
fn policy_swap_is_atomic() {
    let old = POLICY;
    let new = POLICY.replace("[public.users]", "[public.feedback]");
    let mut door = Door::with(old, &["--payload", "full"]);
    let file = door.proxy.policies();
    // Under either policy one of the two is denied, so the whole is; under a mixture it would pass.
    let both = "SELECT id FROM users; SELECT id FROM feedback";
    for round in 0..20 {
        // Few refusals for each session, so that none is slowed.
        let mut wire = door.wire(WORKER);
        let text = match round % 3 {
            0 => new.as_str(),
            1 => "agents: [broken",
            _ => old,
        };
        std::fs::write(&file, text).unwrap();
        door.proxy.signal("HUP").unwrap();
        for _ in 0..15 {
            let said = wire.query(both).unwrap();
            assert_eq!(testkit::wire::tags(&said), "E(42501) Z(I)");
        }
    }
    std::fs::write(&file, &new).unwrap();
    door.proxy.signal("HUP").unwrap();
    let mut wire = door.wire(WORKER);
    let mut passes =
        || testkit::wire::tags(&wire.query("SELECT id FROM users").unwrap()).starts_with('T');
    assert!(eventually(Duration::from_secs(10), &mut passes), "{}", door.proxy.output());
    drop(wire);
    door.stop();
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for record in records(&door).iter().filter(|record| text(record, "statement") == both) {
        seen.entry(text(record, "policy")).or_default().insert(record["reasons"].to_string());
    }
    assert_eq!(seen.len(), 2, "both policies were in force, and no third: {seen:?}");
    assert!(seen.values().all(|reasons| reasons.len() == 1), "{seen:?}");
}
