//! The extended protocol: what drivers send, in one write or bit by bit.

use std::time::Duration;

use testkit::wire::{
    bind, describe, execute, flush, frame, function_call, parse, query, sync, tags,
};

use crate::kit::{CURSOR, Door, WORKER};

#[test]
fn a_prepared_statement_with_parameters() {
    let door = Door::open();
    let mut wire = door.wire(CURSOR);
    wire.send(&parse("find", "SELECT comment FROM feedback WHERE id = $1", &[23])).unwrap();
    wire.send(&[describe(b'S', "find"), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "1 t T Z(I)");
    for (id, comment) in [("1", "nice"), ("3", "slow")] {
        wire.send(&[bind("", "find", &[id]), execute("", 0), sync()].concat()).unwrap();
        let frames = wire.until_ready().unwrap();
        assert_eq!(tags(&frames), "2 D C(SELECT 1) Z(I)");
        assert_eq!(frames[1].row(), [comment]);
    }
}

#[test]
fn a_flush_brings_the_answers_without_a_sync() {
    let door = Door::open();
    let mut wire = door.wire(CURSOR);
    wire.send(&[parse("s", "SELECT 1", &[]), describe(b'S', "s"), flush()].concat()).unwrap();
    assert_eq!(tags(&wire.until(b'T').unwrap()), "1 t T");
    wire.send(&[bind("", "s", &[]), execute("", 0), flush()].concat()).unwrap();
    assert_eq!(tags(&wire.until(b'C').unwrap()), "2 D C(SELECT 1)");
    wire.send(&sync()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "Z(I)");
}

#[test]
fn a_refusal_comes_at_once_and_the_rest_waits_for_sync() {
    let door = Door::open();
    let mut wire = door.wire(CURSOR);
    wire.send(&parse("", "DROP TABLE users", &[])).unwrap();
    assert_eq!(tags(&[wire.frame().unwrap()]), "E(42501)");
    wire.send(&[query("SELECT 1"), function_call(1, &[])].concat()).unwrap();
    assert!(wire.is_quiet(Duration::from_millis(150)).unwrap());
    wire.send(&sync()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "Z(I)");
    assert_eq!(tags(&wire.query("SELECT 2").unwrap()), "T D C(SELECT 1) Z(I)");
}

#[test]
fn a_refused_parse_in_a_failed_transaction_gives_the_ordinary_error() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    wire.query("BEGIN").unwrap();
    assert_eq!(tags(&wire.query("SELECT 1/0").unwrap()), "E(22012) Z(E)");
    for name in ["", "named"] {
        wire.send(&[parse(name, "DROP TABLE notes", &[]), sync()].concat()).unwrap();
        assert_eq!(tags(&wire.until_ready().unwrap()), "E(25P02) Z(E)", "{name}");
    }
    wire.send(&function_call(1, &[])).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "E(25P02) Z(E)");
    assert_eq!(tags(&wire.query("ROLLBACK").unwrap()), "C(ROLLBACK) Z(I)");
}

#[test]
fn a_function_call_is_refused() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    // 1598 is random(); nobody named it in a policy.
    wire.send(&function_call(1598, &[])).unwrap();
    let frames = wire.until_ready().unwrap();
    assert_eq!(tags(&frames), "E(42501) Z(I)");
    wire.query("BEGIN").unwrap();
    wire.send(&function_call(1598, &[])).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "E(42501) Z(E)");
}

#[test]
fn a_function_call_passes_where_everything_is_granted() {
    let door = Door::transparent();
    let mut wire = door.wire("");
    // 1317 is length(text).
    wire.send(&function_call(1317, &["four"])).unwrap();
    let frames = wire.until_ready().unwrap();
    assert_eq!(tags(&frames), "V Z(I)");
}

#[test]
fn a_long_pipeline_keeps_its_order() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    let mut sent = Vec::new();
    for number in 0..500 {
        let sql = if number % 50 == 49 { "DROP TABLE notes" } else { "SELECT $1::text" };
        sent.extend(parse("", sql, &[]));
        let value = number.to_string();
        let values: &[&str] = if number % 50 == 49 { &[] } else { &[&value] };
        sent.extend([bind("", "", values), execute("", 0), sync()].concat());
    }
    wire.send(&sent).unwrap();
    for number in 0..500 {
        let frames = wire.until_ready().unwrap();
        if number % 50 == 49 {
            assert_eq!(tags(&frames), "E(42501) Z(I)", "{number}");
        } else {
            assert_eq!(frames[2].row(), [number.to_string()]);
        }
    }
}

#[test]
fn a_pipeline_that_is_not_read_does_not_wedge() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    let mut sender = std::net::TcpStream::connect(("127.0.0.1", door.proxy.port)).unwrap();
    let application = [("user", "app"), ("database", &door.database), ("application_name", WORKER)];
    let startup = testkit::wire::startup(196_608, &application);
    std::io::Write::write_all(&mut sender, &startup).unwrap();
    let statement =
        [parse("", "SELECT repeat('x', 20000)", &[]), bind("", "", &[]), execute("", 0), sync()]
            .concat();
    // 60 MB of answers are far more than all buffers hold; nobody reads while this is written.
    let mut reader = sender.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        for _ in 0..3000 {
            std::io::Write::write_all(&mut sender, &statement).unwrap();
        }
        std::io::Write::write_all(&mut sender, &testkit::wire::terminate()).unwrap();
        sender
    });
    std::thread::sleep(Duration::from_millis(200));
    // The door serves others meanwhile.
    assert_eq!(tags(&wire.query("SELECT 1").unwrap()), "T D C(SELECT 1) Z(I)");
    let read = std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
    assert!(read > 60_000_000, "{read}");
    drop(writer.join().unwrap());
}

#[test]
fn a_large_answer_and_a_large_parameter_pass() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    let frames = wire.query("SELECT repeat('x', 30000000)").unwrap();
    assert_eq!(frames[1].body.len(), 30_000_006);
    let value = "y".repeat(5_000_000);
    wire.send(&parse("", "SELECT length($1::text)", &[])).unwrap();
    wire.send(&[bind("", "", &[&value]), execute("", 0), sync()].concat()).unwrap();
    assert_eq!(wire.until_ready().unwrap()[2].row(), ["5000000"]);
}

#[test]
fn frames_may_arrive_byte_by_byte() {
    let door = Door::open();
    let mut wire = door.wire(CURSOR);
    let sent = [query("SELECT 1"), parse("", "DROP TABLE users", &[]), sync()].concat();
    for byte in sent {
        wire.send(&[byte]).unwrap();
    }
    assert_eq!(tags(&wire.until_ready().unwrap()), "T D C(SELECT 1) Z(I)");
    assert_eq!(tags(&wire.until_ready().unwrap()), "E(42501) Z(I)");
}

#[test]
fn a_frame_that_breaks_the_protocol_ends_the_session() {
    let door = Door::open();
    let cases: [(&str, Vec<u8>); 4] = [
        ("an unknown tag", frame(b'!', b"")),
        ("a length below four", b"Q\0\0\0\x03".to_vec()),
        ("a length of two gigabytes", b"Q\x7f\xff\xff\xff".to_vec()),
        ("a password out of place", frame(b'p', b"secret\0")),
    ];
    for (name, bytes) in cases {
        let mut wire = door.wire(CURSOR);
        wire.send(&bytes).unwrap();
        let frames = wire.until_closed().unwrap();
        let error = frames.iter().find(|frame| frame.tag == b'E');
        let error = error.unwrap_or_else(|| panic!("{name}: no error in {frames:?}"));
        assert_eq!(error.describe(), "< ErrorResponse FATAL 08P01", "{name}");
    }
}

#[test]
fn a_notification_arrives_while_nothing_is_asked() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    assert_eq!(tags(&wire.query("LISTEN news").unwrap()), "C(LISTEN) Z(I)");
    door.direct("NOTIFY news, 'hello'");
    let frame = wire.frame().unwrap();
    assert_eq!(frame.describe(), "< NotificationResponse");
    assert!(frame.body.ends_with(b"news\0hello\0"));
}

#[test]
fn a_bind_is_judged_again_after_the_policy_changed() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    wire.send(&[parse("s", "SELECT note FROM notes", &[]), sync()].concat()).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "1 Z(I)");
    let stricter = crate::kit::POLICY
        .replace("blocked_tables: [public.users]", "blocked_tables: [public.users, public.notes]");
    std::fs::write(door.proxy.policies(), stricter).unwrap();
    door.proxy.signal("HUP").unwrap();
    let refused = crate::kit::eventually(Duration::from_secs(5), || {
        wire.send(&[bind("", "s", &[]), execute("", 0), sync()].concat()).unwrap();
        tags(&wire.until_ready().unwrap()) == "E(42501) Z(I)"
    });
    assert!(refused, "{}", door.proxy.output());
}
