//! The first bytes of a connection: encryption requests, versions, parameters, and peers that
//! send nonsense or nothing.

use std::time::{Duration, Instant};

use testkit::wire::{gss_request, query, ssl_request, startup, tags, transcript, untagged};
use testkit::{Frame, Wire};

use crate::kit::{CURSOR, Door, POLICY, TRANSPARENT, WORKER, server};

fn hello(door: &Door) -> Vec<u8> {
    let name: &str = &door.database;
    startup(196_608, &[("user", "app"), ("database", name), ("application_name", CURSOR)])
}

fn error(frames: &[Frame]) -> String {
    frames.iter().find(|frame| frame.tag == b'E').map(Frame::describe).unwrap_or_default()
}

#[test]
fn encryption_may_be_asked_for_in_any_order_once() {
    let door = Door::open();
    for requests in [
        vec![],
        vec![ssl_request()],
        vec![gss_request()],
        vec![gss_request(), ssl_request()],
        vec![ssl_request(), gss_request()],
    ] {
        let mut wire = Wire::connect(door.proxy.port).unwrap();
        for request in &requests {
            wire.send(request).unwrap();
            assert_eq!(wire.byte().unwrap(), b'N');
        }
        wire.send(&hello(&door)).unwrap();
        assert!(tags(&wire.until_ready().unwrap()).ends_with("Z(I)"), "{requests:?}");
    }
    for request in [ssl_request(), gss_request()] {
        let mut wire = Wire::connect(door.proxy.port).unwrap();
        wire.send(&request).unwrap();
        assert_eq!(wire.byte().unwrap(), b'N');
        wire.send(&request).unwrap();
        assert_eq!(error(&wire.until_closed().unwrap()), "< ErrorResponse FATAL 08P01");
    }
}

#[test]
fn bytes_behind_an_encryption_request_are_refused() {
    let door = Door::open();
    for request in [ssl_request(), gss_request()] {
        let mut wire = Wire::connect(door.proxy.port).unwrap();
        wire.send(&[request, hello(&door), query("SELECT 1")].concat()).unwrap();
        // An `N` may or may not come first; a session must not.
        let mut bytes = Vec::new();
        while let Ok(byte) = wire.byte() {
            bytes.push(byte);
        }
        let text = bytes.escape_ascii().to_string();
        assert!(text.contains("08P01") && !text.contains("server_version"), "{text}");
    }
}

#[test]
fn a_startup_that_is_not_one_is_refused() {
    let door = Door::open();
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("protocol 2", startup(131_072, &[("user", "app")]), "0A000"),
        ("protocol 4", startup(262_144, &[("user", "app")]), "0A000"),
        ("a length below eight", vec![0, 0, 0, 7, 0, 3, 0], "08P01"),
        ("a length of 20000", [&20_000_u32.to_be_bytes()[..], &[0, 3, 0, 0]].concat(), "08P01"),
        ("a negative length", vec![0xff, 0xff, 0xff, 0xf0, 0, 3, 0, 0], "08P01"),
        ("no terminator", untagged(196_608, b"user\0app\0"), "08P01"),
        ("no user", startup(196_608, &[("database", "x")]), "28000"),
    ];
    for (name, bytes, code) in cases {
        let mut wire = Wire::connect(door.proxy.port).unwrap();
        wire.send(&bytes).unwrap();
        let frames = wire.until_closed().unwrap();
        assert_eq!(error(&frames), format!("< ErrorResponse FATAL {code}"), "{name}");
    }
}

#[test]
fn replication_is_refused_in_every_spelling() {
    let door = Door::with(TRANSPARENT, &[]);
    for value in ["true", "on", "1", "yes", "t", "database", "DATABASE", "nonsense"] {
        let mut wire = Wire::connect(door.proxy.port).unwrap();
        let parameters = [("user", "app"), ("database", &door.database), ("replication", value)];
        wire.send(&startup(196_608, &parameters)).unwrap();
        let frames = wire.until_closed().unwrap();
        assert_eq!(error(&frames), "< ErrorResponse FATAL 28000", "{value}");
    }
    let parameters = [("user", "app"), ("database", &door.database), ("replication", "false")];
    assert!(Wire::login(door.proxy.port, &parameters).is_ok());
}

#[test]
fn a_newer_protocol_is_negotiated_down() {
    let door = Door::open();
    let mut wire = Wire::connect(door.proxy.port).unwrap();
    let parameters = [
        ("user", "app"),
        ("database", &door.database),
        ("application_name", CURSOR),
        ("_pq_.test_protocol_negotiation", "on"),
    ];
    wire.send(&startup(196_608 + 9999, &parameters)).unwrap();
    let frames = wire.until_ready().unwrap();
    let told = frames.iter().find(|frame| frame.tag == b'v').unwrap();
    assert!(told.body.ends_with(b"_pq_.test_protocol_negotiation\0"), "{told:?}");
    assert_eq!(tags(&wire.query("SELECT 1").unwrap()), "T D C(SELECT 1) Z(I)");
}

#[test]
fn startup_parameters_are_judged_like_set() {
    let door = Door::open();
    let try_with = |name: &str, value: &str| {
        let mut wire = Wire::connect(door.proxy.port).unwrap();
        let parameters = [
            ("user", "app"),
            ("database", &door.database),
            ("application_name", WORKER),
            (name, value),
        ];
        wire.send(&startup(196_608, &parameters)).unwrap();
        error(&wire.until_ready().unwrap())
    };
    for (name, value) in [
        ("options", "-c standard_conforming_strings=off"),
        ("options", "-cstandard_conforming_strings=off"),
        ("options", "--standard-conforming-strings=off"),
        ("options", "-c\\ x=1 --session_replication_role=replica"),
        ("standard_conforming_strings", "off"),
        ("session_replication_role", "replica"),
        ("SESSION_REPLICATION_ROLE", "replica"),
        ("role", "postgres"),
    ] {
        assert_eq!(try_with(name, value), "< ErrorResponse FATAL 42501", "{name}={value}");
    }
    for (name, value) in [
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO"),
        ("TimeZone", "UTC"),
        ("extra_float_digits", "3"),
        ("options", "-c statement_timeout=5000"),
    ] {
        assert_eq!(try_with(name, value), "", "{name}={value}");
    }
}

#[test]
fn of_two_search_paths_the_one_that_the_server_takes_counts() {
    let door = Door::open();
    let answer = |extra: &[(&str, &str)]| {
        let mut wire = Wire::connect(door.proxy.port).unwrap();
        let mut parameters =
            vec![("user", "app"), ("database", &door.database), ("application_name", CURSOR)];
        parameters.extend_from_slice(extra);
        wire.send(&startup(196_608, &parameters)).unwrap();
        wire.until_ready().unwrap();
        tags(&wire.query("SELECT count(*) FROM feedback").unwrap())
    };
    let once = ("search_path", "public");
    assert_eq!(answer(&[once]), "T D C(SELECT 1) Z(I)");
    // `options` is applied first, wherever it stands.
    let (hr, public) = (("options", "-c search_path=hr"), ("options", "-c search_path=public"));
    assert_eq!(answer(&[hr, once]), "T D C(SELECT 1) Z(I)");
    assert_eq!(answer(&[once, hr]), "T D C(SELECT 1) Z(I)");
    for order in [[public, ("search_path", "hr")], [("search_path", "hr"), public]] {
        assert_eq!(answer(&order), "E(42501) Z(I)");
        // The server itself agrees.
        let mut parameters = vec![("user", "postgres"), ("database", &*door.database)];
        parameters.extend_from_slice(&order);
        let mut direct = Wire::login(server().port, &parameters).unwrap();
        assert_eq!(direct.query("SHOW search_path").unwrap()[1].row(), ["hr"]);
    }
}

#[test]
fn a_password_after_login_is_not_waited_for() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    wire.send(b"p\x3f\xff\xff\xff").unwrap();
    assert_eq!(error(&wire.until_closed().unwrap()), "< ErrorResponse FATAL 08P01");
}

#[test]
fn who_sends_nothing_is_not_waited_for() {
    let door = Door::with(POLICY, &["--handshake-timeout", "1s"]);
    let half = hello(&door)[..10].to_vec();
    let ssl_only = ssl_request();
    for sent in [Vec::new(), vec![0], half, ssl_only] {
        let began = Instant::now();
        let mut wire = Wire::connect(door.proxy.port).unwrap();
        wire.send(&sent).unwrap();
        while wire.byte().is_ok() {}
        let waited = began.elapsed();
        assert!(waited < Duration::from_secs(4), "{sent:?}: {waited:?}");
    }
    // One byte now and then does not help.
    let mut wire = Wire::connect(door.proxy.port).unwrap();
    let began = Instant::now();
    for byte in hello(&door) {
        if wire.send(&[byte]).is_err() || began.elapsed() > Duration::from_secs(6) {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    // And a session that has logged in is not affected.
    let mut wire = door.wire(CURSOR);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(tags(&wire.query("SELECT 1").unwrap()), "T D C(SELECT 1) Z(I)");
}

#[test]
fn what_is_sent_before_login_is_answered_after_it() {
    let door = Door::open();
    let mut wire = Wire::connect(door.proxy.port).unwrap();
    wire.send(&[hello(&door), query("SELECT 1"), query("DROP TABLE users")].concat()).unwrap();
    wire.until_ready().unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "T D C(SELECT 1) Z(I)");
    assert_eq!(tags(&wire.until_ready().unwrap()), "E(42501) Z(I)");
}

#[test]
fn the_servers_own_refusal_passes_as_it_is() {
    let door = Door::open();
    let mut wire = Wire::connect(door.proxy.port).unwrap();
    let parameters = [("user", "app"), ("database", "nowhere"), ("application_name", CURSOR)];
    wire.send(&startup(196_608, &parameters)).unwrap();
    let frames = wire.until_closed().unwrap();
    assert_eq!(transcript(&frames), "< ErrorResponse FATAL 3D000\n");
}

#[test]
fn an_upstream_that_is_not_there_is_named_as_such() {
    let port = testkit::pgbox::free_port().unwrap();
    let door = Door::before(port, "x".to_owned(), POLICY, &[]);
    let mut wire = Wire::connect(door.proxy.port).unwrap();
    wire.send(&hello(&door)).unwrap();
    assert_eq!(error(&wire.until_closed().unwrap()), "< ErrorResponse FATAL 08006");
}
