//! Ends: cancelling, hanging up, being ended by the server, stopping; and reloading a policy.

use std::time::{Duration, Instant};

use testkit::Wire;
use testkit::wire::{cancel_request, query, tags, terminate, transcript};

use crate::kit::{CURSOR, Door, POLICY, TRANSPARENT, WORKER, binary, eventually, psql, said};

const SECOND: Duration = Duration::from_secs(1);

fn sleeping(door: &Door) -> String {
    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE datname = current_database() AND query LIKE '%pg_sleep(3%' \
               AND state = 'active' AND pid <> pg_backend_pid()";
    door.direct(sql)
}

#[test]
fn a_cancel_request_reaches_the_query() {
    let door = Door::transparent();
    let mut wire = door.wire("");
    let (process, secret) = wire.key.clone().unwrap();
    wire.send(&query("SELECT pg_sleep(30)")).unwrap();
    assert!(eventually(5 * SECOND, || sleeping(&door) == "1\n"));
    let mut wrong = secret.clone();
    wrong[0] ^= 1;
    let mut canceller = Wire::connect(door.proxy.port).unwrap();
    canceller.send(&cancel_request(process, &wrong)).unwrap();
    assert_eq!(canceller.until_closed().unwrap(), []);
    assert!(wire.is_quiet(SECOND / 5).unwrap());
    let mut canceller = Wire::connect(door.proxy.port).unwrap();
    canceller.send(&cancel_request(process, &secret)).unwrap();
    assert_eq!(tags(&wire.until_ready().unwrap()), "T E(57014) Z(I)");
    assert_eq!(tags(&wire.query("SELECT 1").unwrap()), "T D C(SELECT 1) Z(I)");
}

#[test]
fn a_client_that_is_killed_takes_its_query_with_it() {
    let door = Door::transparent();
    let mut client = psql(door.proxy.port, &door.database, "")
        .args(["-c", "SELECT pg_sleep(30)"])
        .spawn()
        .unwrap();
    assert!(eventually(5 * SECOND, || sleeping(&door) == "1\n"));
    client.kill().unwrap();
    client.wait().unwrap();
    assert!(eventually(SECOND, || sleeping(&door) == "0\n"));
}

#[test]
fn a_client_that_dies_while_nobody_reads_takes_its_query_with_it() {
    let door = Door::transparent();
    let mut wire = door.wire("");
    wire.send(&query("SELECT pg_sleep(30)")).unwrap();
    assert!(eventually(5 * SECOND, || sleeping(&door) == "1\n"));
    // The server does not read while it sleeps, so once its buffers are full neither does the door.
    let message = query(&format!("SELECT '{}'", "x".repeat(60_000)));
    let mut unread = 0;
    // No more than that: behind what the door's kernel has no room for, it would not see the end.
    while unread < 20 {
        if wire.unread().unwrap() == 0 {
            wire.send(&message).unwrap();
            unread = 0;
        } else {
            unread += 1;
        }
        std::thread::sleep(SECOND / 200);
    }
    drop(wire);
    assert!(eventually(SECOND, || sleeping(&door) == "0\n"));
}

#[test]
fn a_client_that_hangs_up_rolls_back() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    wire.query("BEGIN; INSERT INTO notes VALUES (1, 'x')").unwrap();
    drop(wire);
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
               AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    assert!(eventually(5 * SECOND, || door.direct(sql) == "0\n"));
    assert_eq!(door.direct("SELECT count(*) FROM notes"), "0\n");
}

#[test]
fn what_was_asked_before_goodbye_is_done() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    let insert = query("INSERT INTO notes VALUES (1, 'x')");
    wire.send(&[insert.repeat(3), terminate()].concat()).unwrap();
    let done = eventually(5 * SECOND, || door.direct("SELECT count(*) FROM notes") == "3\n");
    assert!(done, "{}", door.direct("SELECT count(*) FROM notes"));
}

#[test]
fn the_servers_last_words_pass_as_they_are() {
    let door = Door::open();
    let mut wire = door.wire(CURSOR);
    let (process, _) = wire.key.clone().unwrap();
    door.direct(&format!("SELECT pg_terminate_backend({process})"));
    let frames = wire.until_closed().unwrap();
    assert_eq!(transcript(&frames), "< ErrorResponse FATAL 57P01\n");
    let message = frames.last().unwrap().field(b'M').unwrap();
    assert_eq!(message, "terminating connection due to administrator command");
    assert!(frames.last().unwrap().field(b'F').is_some(), "not the server's own");
}

#[test]
fn the_process_number_is_the_servers_own() {
    let door = Door::open();
    let mut wire = door.wire(WORKER);
    let (process, _) = wire.key.clone().unwrap();
    let frames = wire.query("SELECT pg_backend_pid()").unwrap();
    assert_eq!(frames[1].row(), [process.to_string()]);
}

#[test]
fn stopping_ends_idle_sessions_and_lets_transactions_finish() {
    let mut door = Door::with(POLICY, &["--drain-timeout", "20s"]);
    let mut idle = door.wire(CURSOR);
    let mut busy = door.wire(WORKER);
    busy.query("BEGIN").unwrap();
    busy.query("INSERT INTO notes VALUES (1, 'kept')").unwrap();
    door.proxy.signal("TERM").unwrap();
    let last = idle.until_closed().unwrap();
    assert_eq!(transcript(&last), "< ErrorResponse FATAL 57P01\n");
    assert!(eventually(5 * SECOND, || Wire::connect(door.proxy.port).is_err()
        || Wire::login(door.proxy.port, &[("user", "app")]).is_err()));
    assert_eq!(
        tags(&busy.query("INSERT INTO notes VALUES (2, 'too')").unwrap()),
        "C(INSERT 0 1) Z(T)"
    );
    assert_eq!(tags(&busy.query("COMMIT").unwrap()), "C(COMMIT) Z(I)");
    assert_eq!(transcript(&busy.until_closed().unwrap()), "< ErrorResponse FATAL 57P01\n");
    assert_eq!(door.proxy.wait(5 * SECOND).unwrap().code(), Some(0));
    assert_eq!(door.direct("SELECT count(*) FROM notes"), "2\n");
}

#[test]
fn stopping_does_not_wait_for_ever() {
    let mut door = Door::with(POLICY, &["--drain-timeout", "1s"]);
    let mut busy = door.wire(WORKER);
    busy.query("BEGIN; INSERT INTO notes VALUES (1, 'lost')").unwrap();
    let began = Instant::now();
    door.proxy.signal("TERM").unwrap();
    assert_eq!(transcript(&busy.until_closed().unwrap()), "< ErrorResponse FATAL 57P01\n");
    assert_eq!(door.proxy.wait(10 * SECOND).unwrap().code(), Some(0));
    assert!(began.elapsed() < 6 * SECOND);
    assert!(eventually(5 * SECOND, || door.direct("SELECT count(*) FROM notes") == "0\n"));
}

pub(crate) fn reload(door: &Door, policy: &str) {
    std::fs::write(door.proxy.policies(), policy).unwrap();
    door.proxy.signal("HUP").unwrap();
}

#[test]
fn a_good_policy_is_reloaded_while_sessions_go_on() {
    let door = Door::open();
    let mut wire = door.wire(CURSOR);
    let sql = "SELECT count(*) FROM notes";
    assert_eq!(tags(&wire.query(sql).unwrap()), "E(42501) Z(I)");
    reload(&door, &POLICY.replace("public.products]", "public.products, public.notes]"));
    assert!(eventually(5 * SECOND, || !tags(&wire.query(sql).unwrap()).starts_with('E')));
}

#[test]
fn a_bad_policy_is_not_installed() {
    let door = Door::open();
    let mut wire = door.wire(CURSOR);
    for bad in ["default_policy: maybe\n", "agents: [\n", "defualt_policy: allow\n", ""] {
        let lines = door.proxy.output().lines().count();
        reload(&door, bad);
        let said = eventually(5 * SECOND, || door.proxy.output().lines().count() > lines);
        assert!(said, "nothing is said about {bad:?}");
        std::thread::sleep(SECOND / 20);
        if !bad.is_empty() {
            let frames = wire.query("SELECT count(*) FROM feedback").unwrap();
            assert_eq!(tags(&frames), "T D C(SELECT 1) Z(I)", "{}", door.proxy.output());
        }
        assert_eq!(tags(&wire.query("DROP TABLE users").unwrap()), "E(42501) Z(I)");
    }
}

#[test]
fn a_bad_policy_stops_a_start() {
    let folder = std::env::temp_dir().join(format!("portcullis-start-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let policy = folder.join("policies.yaml");
    std::fs::write(&policy, "default_policy: deny\nagents:\n  a:\n    profil: standard\n").unwrap();
    let policy = policy.to_str().unwrap();
    let ledger = folder.join("ledger");
    let arguments = [
        "proxy",
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        "127.0.0.1:1",
        "--policies",
        policy,
        "--admin",
        "off",
        "--ledger-dir",
        ledger.to_str().unwrap(),
        "--key-file",
        folder.join("key").to_str().unwrap(),
    ]
    .map(str::to_owned);
    let arguments = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    let (code, _, err) = testkit::proxy::run(binary(), &arguments, "").unwrap();
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("policies.yaml:4:5") && err.contains("profil"), "{err}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_ledger_that_cannot_be_written_stops_a_start() {
    let policy = crate::kit::workspace().join("policies/transparent.yaml");
    let arguments = [
        "proxy",
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        "127.0.0.1:1",
        "--admin",
        "off",
        "--ledger-dir",
        "/proc/nowhere/ledger",
        "--key-file",
        "/proc/nowhere/key",
        "--policies",
        policy.to_str().unwrap(),
    ];
    let (code, _, err) = testkit::proxy::run(binary(), &arguments, "").unwrap();
    assert_eq!(code, 2, "{err}");
}

#[test]
fn enforcement_may_be_chosen_by_the_environment() {
    let database = crate::kit::database();
    let proxy = testkit::Proxy::start(&testkit::ProxyOptions {
        binary: binary().to_owned(),
        upstream: format!("127.0.0.1:{}", crate::kit::server().port),
        policy: POLICY.to_owned(),
        arguments: Vec::new(),
        environment: vec![("POLICY_ENFORCEMENT".to_owned(), "monitor".to_owned())],
    });
    let door = Door { proxy: proxy.unwrap(), database };
    assert_eq!(door.psql("", &["-c", "SELECT 1"]).out, "1\n");
}

#[test]
fn a_ledger_survives_a_kill() {
    let mut door = Door::with(TRANSPARENT, &[]);
    let mut wire = door.wire("");
    for _ in 0..50 {
        wire.query("SELECT 1").unwrap();
    }
    door.proxy.signal("KILL").unwrap();
    door.proxy.wait(5 * SECOND).unwrap();
    let report = door.report();
    assert!(report.contains("50") || report.contains("51"), "{report}");
}

#[test]
fn a_report_groups_what_differs_in_values_alone() {
    let mut door = Door::open();
    for sql in [
        "SELECT id FROM feedback WHERE id = 1",
        "select id from feedback -- again\n where id = 2",
        "SELECT id FROM feedback WHERE id > 2",
        "DROP TABLE users",
    ] {
        door.psql(CURSOR, &["-c", sql]);
    }
    assert_eq!(door.stop(), 0);
    let report = |flags: &[&str]| {
        let mut command = std::process::Command::new(binary());
        let said = said(command.arg("report").arg(door.proxy.ledger()).args(flags));
        assert_eq!(said.code, 0, "{said:?}");
        said.out
    };
    let json: serde_json::Value = serde_json::from_str(&report(&["--format", "json"])).unwrap();
    let groups = json["statements"].as_array().unwrap();
    assert_eq!(groups.len(), 3, "{groups:#?}");
    assert_eq!(
        (&groups[0]["counts"]["total"], &groups[0]["statement"]),
        (&2.into(), &serde_json::Value::Null)
    );
    assert!(groups[0]["digest"].as_str().unwrap().starts_with("c1:"));
    let text = report(&["--format", "text", "--report-include-params"]);
    assert!(text.contains("statements, by canonical form: 3\n"), "{text}");
    assert!(text.contains("      2 allowed       0 denied"), "{text}");
    assert!(text.contains("  SELECT id FROM feedback WHERE id = ?\n"), "{text}");
}
