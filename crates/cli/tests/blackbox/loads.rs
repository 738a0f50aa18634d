//! Loads of the catalog: what they bring, of which moment, and over which connection.

use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sql::catalog::{Relation, Snapshot, TypeKind};

use crate::catalog::{ANALYST, POLICY, door_with};
use crate::kit::{Door, binary, database, eventually, said, server};

/// Nothing is loaded but at the start and where it has to be.
const RARELY: &[&str] = &["--catalog-poll", "10h", "--catalog-max-age", "10h"];

const KEPT: &str = "FROM pg_stat_activity WHERE application_name = 'portcullis catalog' \
                    AND datname = current_database()";

fn dump(database: &str) -> Snapshot {
    let dsn = server().conn_string(database);
    let dumped =
        said(Command::new(binary()).args(["catalog", "dump", "-o", "-", "--dsn", dsn.as_str()]));
    assert_eq!(dumped.code, 0, "{dumped:?}");
    serde_json::from_str(&dumped.out).unwrap()
}

fn relation<'r>(snapshot: &'r Snapshot, schema: &str, name: &str) -> &'r Relation {
    let mut all = snapshot.relations.iter();
    all.find(|one| *one.schema == *schema && *one.name == *name).unwrap()
}

#[test]
fn columns_and_types_are_what_the_server_says() {
    let database = database();
    let direct = |sql: &str| server().admin(&database, sql).unwrap();
    direct(
        "CREATE SCHEMA app; CREATE FUNCTION app.long(text) RETURNS bool IMMUTABLE LANGUAGE sql \
             AS 'SELECT length($1) > 2'; \
         CREATE FUNCTION app.plain(text) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT true'; \
         CREATE DOMAIN app.word AS text CHECK (app.long(value)) CHECK (app.plain(value)); \
         CREATE DOMAIN app.free AS text CHECK (length(value) > 2); \
         CREATE TYPE app.mood AS ENUM ('good'); CREATE TYPE app.span AS RANGE (subtype = float8); \
         CREATE TABLE app.\"Odd \"\"one\" (gone int, \"sel ect\" int NOT NULL DEFAULT 5, \
             word app.word DEFAULT E'a\\n\"b', twice text GENERATED ALWAYS AS (word || 'x') STORED); \
         ALTER TABLE app.\"Odd \"\"one\" DROP COLUMN gone; CREATE TABLE app.none ()",
    );
    let snapshot = dump(&database);
    let oid = |sql: &str| direct(&format!("SELECT {sql}::oid")).trim().parse::<u32>().unwrap();
    let word = oid("'app.word'::regtype");
    let columns = serde_json::to_value(&relation(&snapshot, "app", "Odd \"one").columns).unwrap();
    assert_eq!(
        columns,
        json!([
            {"name": "sel ect", "number": 2, "type": 23, "not_null": true, "default": "5"},
            {"name": "word", "number": 3, "type": word, "default": "'a\n\"b'::text"},
            {"name": "twice", "number": 4, "type": 25, "generated": true,
                "default": "((word)::text || 'x'::text)"},
        ])
    );
    assert_eq!(relation(&snapshot, "app", "none").columns, []);
    let kind = |name: &str| {
        let one = snapshot.types.iter().find(|one| *one.schema == *"app" && *one.name == *name);
        let one = one.unwrap();
        (one.kind, one.category, one.functions.clone())
    };
    let mut checks = [oid("'app.long'::regproc"), oid("'app.plain'::regproc")];
    checks.sort_unstable();
    let of_rows = TypeKind::Composite(oid("'app.none'::regclass"));
    assert_eq!(kind("word"), (TypeKind::Domain(25), 'S', checks.to_vec()));
    assert_eq!(kind("free"), (TypeKind::Domain(25), 'S', vec![]));
    assert_eq!(kind("mood"), (TypeKind::Enum, 'E', vec![]));
    assert_eq!(kind("span"), (TypeKind::Range, 'R', vec![]));
    assert_eq!(kind("none"), (of_rows, 'C', vec![]));
    assert!(snapshot.relations.is_sorted_by_key(|one| (one.schema.clone(), one.name.clone())));
    assert!(snapshot.types.is_sorted_by_key(|one| (one.schema.clone(), one.name.clone())));
}

#[test]
fn a_dump_replaces_files_alone() {
    let database = database();
    let folder = std::env::temp_dir().join(format!("dump-{database}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (pipe, file) = (folder.join("pipe"), folder.join("file"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::write(&file, "old").unwrap();
    let dump = |place: &Path| {
        let dsn = server().conn_string(&database);
        said(Command::new(binary()).args(["catalog", "dump", "--dsn", &dsn, "-o"]).arg(place))
    };
    // Renaming a file to its name would take a device from everybody.
    let refused = dump(&pipe);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("is no file"), "{refused:?}");
    assert!(pipe.metadata().unwrap().file_type().is_fifo());
    assert_eq!(dump(&file).code, 0);
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("{\"format\""));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_dump_is_of_one_moment() {
    let database = database();
    let direct = |sql: &str| server().admin(&database, sql).unwrap();
    direct("CREATE TABLE flip (a int)");
    let there = "ALTER TABLE flip RENAME TO flop; ALTER TABLE flop RENAME COLUMN a TO b;";
    let back = "ALTER TABLE flop RENAME TO flip; ALTER TABLE flip RENAME COLUMN b TO a;";
    let many = format!("BEGIN; {there} COMMIT; BEGIN; {back} COMMIT;").repeat(100);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                direct(&many);
            }
        });
        let mut seen = Vec::new();
        let began = Instant::now();
        while seen.len() < 10 || (began.elapsed() < Duration::from_secs(20) && !both(&seen)) {
            let snapshot = dump(&database);
            let mut relations = snapshot.relations.iter();
            let one = relations.find(|one| one.name.starts_with("fl")).unwrap();
            let row_type = snapshot.types.iter().find(|kind| kind.oid == one.row_type).unwrap();
            let column = one.columns.iter().map(|column| column.name.to_string()).collect();
            seen.push([one.name.to_string(), row_type.name.to_string(), column]);
        }
        done.store(true, Ordering::Relaxed);
        let [flip, flop] = [["flip", "flip", "a"], ["flop", "flop", "b"]];
        assert!(seen.iter().all(|one| *one == flip || *one == flop), "{seen:?}");
        assert!(both(&seen), "{seen:?}");
    });
}

fn both(seen: &[[String; 3]]) -> bool {
    ["flip", "flop"].iter().all(|name| seen.iter().any(|one| one[0] == *name))
}

/// Makes a table through the door and reads it: whether that went well, and how long the second took.
fn define(door: &Door, name: &str) -> Duration {
    let made = door.psql(ANALYST, &["-c", &format!("CREATE TABLE {name} (email text)")]);
    assert_eq!((made.code, made.err.as_str()), (0, ""));
    let began = Instant::now();
    let read = door.psql(ANALYST, &["-c", &format!("SELECT email FROM {name}")]);
    assert_eq!((read.code, read.err.as_str()), (0, ""));
    began.elapsed()
}

#[test]
fn a_load_uses_the_connection_of_the_last_one_while_that_is_there() {
    let door = door_with(POLICY, RARELY);
    let kept = || door.direct(&format!("SELECT pid {KEPT}")).trim().to_owned();
    let first = kept();
    assert!(first.parse::<u32>().is_ok(), "{first}");
    define(&door, "one");
    assert_eq!(kept(), first);
    assert_eq!(door.direct(&format!("SELECT state {KEPT}")), "idle\n");
    // The server hangs up: nobody is the worse for it.
    door.direct(&format!("SELECT pg_terminate_backend(pid) {KEPT}"));
    define(&door, "two");
    let second = kept();
    assert_ne!(second, first);
    // It does not answer any more: the load comes, within the time that a message waits.
    let signal = |name: &str| {
        let status = Command::new("kill").args([name, &second]).status().unwrap();
        assert!(status.success());
    };
    signal("-STOP");
    let waited = define(&door, "three");
    signal("-CONT");
    assert!(waited >= Duration::from_millis(500), "{waited:?}");
    assert!(!door.proxy.output().contains("catalog not loaded"), "{}", door.proxy.output());
}

#[test]
fn a_load_that_brings_the_same_says_so() {
    let door = door_with(POLICY, &["--catalog-poll", "1s", "--log-format", "json"]);
    let loads = || -> Vec<Value> {
        let output = door.proxy.output();
        let loads = output.lines().filter(|line| line.contains("catalog loaded"));
        loads.map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let same = || loads().iter().any(|load| load["is_new"] == false);
    assert!(eventually(Duration::from_secs(20), same));
    let before = loads();
    assert_eq!(before[0]["is_new"], true);
    door.direct("CREATE VIEW mails AS SELECT email FROM users");
    assert!(eventually(Duration::from_secs(20), || {
        loads()[before.len()..].iter().any(|load| load["is_new"] == true)
    }));
}
