//! A refused message behaves like one that PostgreSQL itself could not parse.
//!
//! Each case is played twice: directly, with a syntax error in the marked places, and through the
//! door, with a statement that the policy denies. What comes back must be the same, but for the
//! SQLSTATE. So order, skipping until Sync, rollback and status are PostgreSQL's, not ours.

use testkit::Wire;
use testkit::wire::{
    bind, close, describe, execute, flush, frame, function_call, parse, query, sync, tags,
};

use crate::kit::{Door, WORKER, server};

/// What is denied to the worker.
const DENIED: &str = "DROP TABLE products";
/// What PostgreSQL cannot parse.
const BROKEN: &str = "SELEC 1";

/// A case: what is sent in one write, given the text of the bad statement, and how many times the
/// server is ready after it.
struct Case {
    name: &'static str,
    before: &'static [&'static str],
    send: fn(&str) -> Vec<u8>,
    ready: usize,
}

fn play(mut wire: Wire, case: &Case, bad: &str) -> String {
    let mut lines = Vec::new();
    for sql in case.before {
        lines.push(tags(&wire.query(sql).unwrap()));
    }
    wire.send(&(case.send)(bad)).unwrap();
    for _ in 0..case.ready {
        let frames = wire.until_ready().unwrap();
        let rows = frames.iter().filter(|frame| frame.tag == b'D').map(|row| row.row().join("|"));
        let rows = rows.collect::<Vec<_>>().join(",");
        lines.push(format!("{} [{rows}]", tags(&frames)));
    }
    // Whatever else has been left lying about would show here.
    lines.push(tags(&wire.query("SELECT count(*) FROM notes").unwrap()));
    lines.join("\n")
}

/// The door says 42501 where the server says that it cannot parse.
fn check(cases: &[Case]) {
    compare(cases, "42501");
}

/// Nothing is refused, so nothing differs.
fn check_same(cases: &[Case]) {
    compare(cases, "42601");
}

fn compare(cases: &[Case], code: &str) {
    let door = Door::open();
    for case in cases {
        let prepare = "TRUNCATE notes";
        door.direct(prepare);
        let direct = server().wire(&door.database).unwrap();
        let expected = play(direct, case, BROKEN);
        let rows = door.direct("SELECT * FROM notes ORDER BY 1");
        door.direct(prepare);
        let got = play(door.wire(WORKER), case, DENIED);
        assert_eq!(got, expected.replace("42601", code), "{}", case.name);
        assert_eq!(door.direct("SELECT * FROM notes ORDER BY 1"), rows, "{}", case.name);
    }
    assert_eq!(door.direct("SELECT count(*) FROM products"), "2\n");
}

fn group(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

const INSERT: &str = "INSERT INTO notes VALUES (1, 'x')";

/// Parse, Bind and Execute of one statement, without names.
fn run(sql: &str) -> Vec<u8> {
    group(&[parse("", sql, &[]), bind("", "", &[]), execute("", 0)])
}

#[test]
fn a_refused_query() {
    check(&[
        Case { name: "idle", before: &[], send: query, ready: 1 },
        Case { name: "in a transaction", before: &["BEGIN", INSERT], send: query, ready: 1 },
        Case {
            name: "in a savepoint",
            before: &["BEGIN", INSERT, "SAVEPOINT s"],
            send: |bad| group(&[query(bad), query("ROLLBACK TO s"), query("COMMIT")]),
            ready: 3,
        },
        Case {
            name: "three in one write",
            before: &[],
            send: |bad| group(&[query("SELECT 1"), query(bad), query("SELECT 2")]),
            ready: 3,
        },
        Case {
            name: "the unnamed statement is destroyed",
            before: &[],
            send: |bad| {
                group(&[
                    parse("", "SELECT 1", &[]),
                    sync(),
                    query(bad),
                    bind("", "", &[]),
                    execute("", 0),
                    sync(),
                ])
            },
            ready: 3,
        },
    ]);
}

#[test]
fn a_refused_parse() {
    check(&[
        Case { name: "alone", before: &[], send: |bad| group(&[run(bad), sync()]), ready: 1 },
        Case {
            name: "after an insert in the same group, which is rolled back",
            before: &[],
            send: |bad| group(&[run(INSERT), run(bad), run("SELECT 1"), sync()]),
            ready: 1,
        },
        Case {
            name: "after an insert in the group before, which is kept",
            before: &[],
            send: |bad| group(&[run(INSERT), sync(), run(bad), sync(), run("SELECT 1"), sync()]),
            ready: 3,
        },
        Case {
            name: "everything until Sync is skipped, even a Query and a function call",
            before: &[],
            send: |bad| {
                group(&[
                    parse("", bad, &[]),
                    query("SELECT 1"),
                    function_call(1, &[]),
                    run("SELECT 2"),
                    flush(),
                    sync(),
                    query("SELECT 3"),
                ])
            },
            ready: 2,
        },
    ]);
}

#[test]
fn a_refused_parse_replaces_what_the_server_would_replace() {
    check(&[
        Case {
            name: "with a name: the unnamed statement is kept",
            before: &[],
            send: |bad| {
                group(&[
                    parse("", "SELECT 7", &[]),
                    sync(),
                    parse("s", bad, &[]),
                    sync(),
                    bind("", "", &[]),
                    execute("", 0),
                    sync(),
                ])
            },
            ready: 3,
        },
        Case {
            name: "with the name of a statement: that one is kept",
            before: &[],
            send: |bad| {
                group(&[
                    parse("s", "SELECT 8", &[]),
                    sync(),
                    parse("s", bad, &[]),
                    sync(),
                    bind("", "s", &[]),
                    execute("", 0),
                    sync(),
                ])
            },
            ready: 3,
        },
        Case {
            name: "without a name: the unnamed statement is destroyed",
            before: &[],
            send: |bad| {
                group(&[
                    parse("", "SELECT 9", &[]),
                    sync(),
                    parse("", bad, &[]),
                    sync(),
                    bind("", "", &[]),
                    execute("", 0),
                    sync(),
                ])
            },
            ready: 3,
        },
        Case {
            name: "in a transaction",
            before: &["BEGIN", INSERT],
            send: |bad| group(&[run(bad), sync(), query("COMMIT")]),
            ready: 2,
        },
    ]);
}

#[test]
fn a_skipped_definition_does_not_replace_an_older_one() {
    check(&[
        Case {
            name: "Close and Parse after the bad one are skipped",
            before: &[],
            send: |bad| {
                group(&[
                    parse("s1", "SELECT 'old'", &[]),
                    sync(),
                    parse("", bad, &[]),
                    close(b'S', "s1"),
                    parse("s1", "SELECT 'new'", &[]),
                    sync(),
                    bind("", "s1", &[]),
                    execute("", 0),
                    sync(),
                ])
            },
            ready: 3,
        },
        Case {
            name: "a duplicate Parse does not replace, and skips what follows",
            before: &[],
            send: |_| {
                group(&[
                    parse("s1", "SELECT 'old'", &[]),
                    sync(),
                    parse("s1", "SELECT 'new'", &[]),
                    bind("", "s1", &[]),
                    sync(),
                    bind("", "s1", &[]),
                    execute("", 0),
                    sync(),
                ])
            },
            ready: 3,
        },
        Case {
            name: "a skipped unnamed Parse",
            before: &[],
            send: |bad| {
                group(&[
                    parse("", "SELECT 'old'", &[]),
                    sync(),
                    parse("named", bad, &[]),
                    parse("", "SELECT 'new'", &[]),
                    sync(),
                    bind("", "", &[]),
                    execute("", 0),
                    sync(),
                ])
            },
            ready: 3,
        },
    ]);
}

#[test]
fn names_outlive_a_rollback() {
    check(&[Case {
        name: "Parse and PREPARE survive ROLLBACK",
        before: &["BEGIN"],
        send: |_| {
            group(&[
                parse("s1", "SELECT 'a'", &[]),
                sync(),
                query("PREPARE s2 AS SELECT 'b'"),
                query("ROLLBACK"),
                bind("", "s1", &[]),
                execute("", 0),
                sync(),
                query("EXECUTE s2"),
            ])
        },
        ready: 5,
    }]);
}

#[test]
fn what_is_not_bad_is_untouched() {
    check_same(&[
        Case {
            name: "errors of the server's own, in order",
            before: &[],
            send: |_| {
                group(&[
                    run("SELECT 1"),
                    sync(),
                    run("SELECT 1/0"),
                    sync(),
                    run("SELECT * FROM nowhere"),
                    run("SELECT 4"),
                    sync(),
                    query("SELECT 1; SELECT 1/0; SELECT 2"),
                ])
            },
            ready: 4,
        },
        Case {
            name: "rows in portions",
            before: &[],
            send: |_| {
                group(&[
                    parse("", "SELECT generate_series(1, 5)", &[]),
                    bind("", "", &[]),
                    describe(b'P', ""),
                    execute("", 2),
                    execute("", 2),
                    execute("", 2),
                    sync(),
                ])
            },
            ready: 1,
        },
        Case {
            name: "unknown names",
            before: &[],
            send: |_| {
                group(&[
                    bind("", "nobody", &[]),
                    sync(),
                    execute("nobody", 0),
                    sync(),
                    close(b'S', "nobody"),
                    close(b'P', "nobody"),
                    sync(),
                    describe(b'S', "nobody"),
                    sync(),
                ])
            },
            ready: 4,
        },
    ]);
}

#[test]
fn texts_and_messages_of_odd_forms_are_untouched() {
    check_same(&[
        Case {
            name: "empty texts",
            before: &[],
            send: |_| group(&[query(""), query(" -- c"), run(""), sync(), query(";;")]),
            ready: 4,
        },
        Case {
            name: "several statements in one Parse",
            before: &[],
            send: |_| group(&[parse("", "SELECT 1; SELECT 2", &[]), sync()]),
            ready: 1,
        },
        Case {
            name: "messages that are malformed inside",
            before: &[],
            send: |_| {
                group(&[
                    frame(b'Q', b"SELECT 1"),
                    parse("s", "SELECT 1", &[]),
                    frame(b'Q', b"SELECT 1\0SELECT 2\0"),
                    frame(b'P', b"x\0SELECT 1"),
                    sync(),
                    frame(b'B', b"\0s\0\0\0\0\x05"),
                    sync(),
                    frame(b'E', b"\0"),
                    sync(),
                ])
            },
            ready: 5,
        },
        Case {
            name: "the unnamed statement is destroyed by any Query",
            before: &[],
            send: |_| {
                group(&[
                    parse("", "SELECT 1", &[]),
                    sync(),
                    query("SELECT 2"),
                    bind("", "", &[]),
                    sync(),
                ])
            },
            ready: 3,
        },
    ]);
}
