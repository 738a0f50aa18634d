//! COPY, in and out, simple and extended, stopped and failed.

use testkit::wire::{bind, execute, frame, parse, query, sync, tags};

use crate::kit::{CURSOR, Door, WORKER, server};

fn data(text: &str) -> Vec<u8> {
    frame(b'd', text.as_bytes())
}

fn done() -> Vec<u8> {
    frame(b'c', b"")
}

#[test]
fn rows_go_in() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    wire.send(&query("COPY notes FROM STDIN")).unwrap();
    assert_eq!(tags(&wire.until(b'G').unwrap()), "G");
    wire.send(&[data("1\tone\n2\tt"), data("wo\n"), done()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "C(COPY 2) Z(I)");
    assert_eq!(door.direct("SELECT note FROM notes ORDER BY id"), "one\ntwo\n");
}

#[test]
fn rows_go_in_by_the_extended_protocol() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    let run = [parse("", "COPY notes FROM STDIN", &[]), bind("", "", &[]), execute("", 0)];
    wire.send(&[run.concat(), frame(b'H', b"")].concat()).unwrap();
    assert_eq!(tags(&wire.until(b'G').unwrap()), "1 2 G");
    wire.send(&[data("1\tone\n"), done(), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "C(COPY 1) Z(I)");
}

#[test]
fn rows_come_out() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    let frames = wire.query("COPY (SELECT id FROM feedback ORDER BY id) TO STDOUT").unwrap();
    assert_eq!(tags(&frames), "H d d d c C(COPY 3) Z(I)");
}

#[test]
fn a_copy_that_is_not_permitted_does_not_start() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    for sql in [
        "COPY users TO STDOUT",
        "COPY (SELECT email FROM users) TO STDOUT",
        "COPY users FROM STDIN",
        "COPY notes FROM '/etc/passwd'",
        "COPY notes TO PROGRAM 'cat'",
    ] {
        assert_eq!(tags(&wire.query(sql).unwrap()), "E(42501) Z(I)", "{sql}");
    }
    let mut wire = door.wire(CURSOR);
    assert_eq!(tags(&wire.query("COPY feedback TO STDOUT").unwrap()), "E(42501) Z(I)");
}

#[test]
fn rows_for_a_refused_copy_are_ignored() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    // A client that does not wait for the answer.
    wire.send(&[query("COPY users FROM STDIN"), data("7\tx\n"), done()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "E(42501) Z(I)");
    assert_eq!(tags(&wire.query("SELECT 1").unwrap()), "T D C(SELECT 1) Z(I)");
    assert_eq!(door.direct("SELECT count(*) FROM users"), "1\n");
}

#[test]
fn a_copy_can_be_stopped_and_can_fail() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    wire.send(&query("COPY notes FROM STDIN")).unwrap();
    wire.until(b'G').unwrap();
    wire.send(&[data("1\tone\n"), frame(b'f', b"changed my mind\0")].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "E(57014) Z(I)");
    wire.send(&query("COPY notes FROM STDIN")).unwrap();
    wire.until(b'G').unwrap();
    let lines = [data("no number\n"), data("2\ttwo\n"), done()];
    wire.send(&lines.concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "E(22P02) Z(I)");
    assert_eq!(tags(&wire.query("SELECT 1").unwrap()), "T D C(SELECT 1) Z(I)");
    assert_eq!(door.direct("SELECT count(*) FROM notes"), "0\n");
}

#[test]
fn a_query_in_the_middle_of_a_copy_ends_as_it_does_directly() {
    let door = Door::open();
    let ends = |mut wire: testkit::Wire| {
        wire.send(&query("COPY notes FROM STDIN")).unwrap();
        wire.until(b'G').unwrap();
        wire.send(&[data("1\tone\n"), query("SELECT 1")].concat()).unwrap();
        let frames = wire.until_closed().unwrap();
        frames.iter().rfind(|frame| frame.tag == b'E').map(testkit::Frame::describe)
    };
    let direct = ends(server().wire(&door.database).unwrap());
    assert_eq!(direct.as_deref(), Some("< ErrorResponse FATAL 08P01"));
    assert_eq!(ends(door.wire(WORKER)), direct);
    assert_eq!(door.direct("SELECT count(*) FROM notes"), "0\n");
}

#[test]
fn a_megabyte_goes_in_and_comes_out() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    wire.send(&query("COPY notes FROM STDIN")).unwrap();
    wire.until(b'G').unwrap();
    let line = data(&format!("1\t{}\n", "x".repeat(1000)));
    wire.send(&line.repeat(5000)).unwrap();
    wire.send(&done()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "C(COPY 5000) Z(I)");
    let frames = wire.query("COPY notes TO STDOUT").unwrap();
    assert_eq!(frames.iter().filter(|frame| frame.tag == b'd').count(), 5000);
}
