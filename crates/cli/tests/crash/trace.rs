//! The order of system calls: a statement is sent upstream after its record was written and, under
//! `strict`, after the disk has it.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::guard::Guarded;
use testkit::pgbox::free_port;
use testkit::wire::{bind, execute, parse, query, sync};
use testkit::{Options, PgBox, Wire};

use super::load::{POLICY, wire};

const STATEMENTS: usize = 40;

/// Whether system calls can be traced here.
pub(crate) fn strace_works() -> bool {
    let tried = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

/// A system call: where its line is, and where the line of its end is.
#[derive(Debug)]
struct Call {
    name: String,
    text: String,
    begin: usize,
    end: usize,
}

/// Reads a trace; calls that other threads interrupt stand in two lines.
fn calls(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open = std::collections::HashMap::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if rest.starts_with("<...") {
            if let Some(place) = open.remove(thread) {
                let call: &mut Call = &mut calls[place];
                call.end = number;
            }
            continue;
        }
        let Some((name, _)) = rest.split_once('(') else { continue };
        if rest.ends_with("<unfinished ...>") {
            open.insert(thread.to_owned(), calls.len());
        }
        let end = if rest.ends_with("<unfinished ...>") { usize::MAX } else { number };
        calls.push(Call { name: name.to_owned(), text: rest.to_owned(), begin: number, end });
    }
    calls
}

fn traced(pg: &PgBox, promise: &str) -> String {
    let folder =
        std::env::temp_dir().join(format!("portcullis-trace-{}-{promise}", std::process::id()));
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("policies.yaml"), POLICY).unwrap();
    let port = free_port().unwrap();
    let (listen, upstream) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", pg.port));
    let mut command = Command::new("strace");
    // `-D`: the tracer is nobody's parent, so whoever ends the child ends the door.
    command.args(["-D", "-f", "-q", "-yy", "-s", "1000000", "-o"]).arg(folder.join("trace"));
    command.args(["-e", "trace=write,writev,sendto,sendmsg,fdatasync,fsync"]);
    command.arg(env!("CARGO_BIN_EXE_portcullis"));
    command.args(["proxy", "--admin", "off", "--view", "off", "--payload", "full"]);
    command.args(["--promise", promise, "--listen", &listen, "--upstream", &upstream]);
    command.arg("--policies").arg(folder.join("policies.yaml"));
    command.arg("--ledger-dir").arg(folder.join("ledger"));
    command.arg("--key-file").arg(folder.join("key"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut door = Guarded::new(command.spawn().unwrap(), "KILL", None).unwrap();
    let opened = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        Wire::connect(port).is_ok()
    });
    assert!(opened, "the door does not open");
    let mut wires: Vec<Wire> = (0..3).map(|_| wire(port).unwrap()).collect();
    for number in 0..STATEMENTS {
        let text = format!("SELECT 'traced-{number}-'");
        let bytes = if number % 2 == 0 {
            query(&text)
        } else {
            [parse("", &text, &[]), bind("", "", &[]), execute("", 0), sync()].concat()
        };
        // Two at once, so that sessions wait for the disk together.
        let place = number % wires.len();
        wires[place].send(&bytes).unwrap();
        if number % 2 == 1 {
            wires[place].until_ready().unwrap();
            let before = (number - 1) % wires.len();
            wires[before].until_ready().unwrap();
        }
    }
    drop(wires);
    // The tracer ends after what it traces, and says so last.
    door.signal("TERM").unwrap();
    let mut trace = String::new();
    let ended = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        trace = String::from_utf8(fs::read(folder.join("trace")).unwrap()).unwrap();
        trace.lines().last().is_some_and(|line| line.contains("+++ exited with"))
            && door.child().try_wait().is_ok_and(|status| status.is_some())
    });
    assert!(ended, "the door does not end");
    drop(fs::remove_dir_all(&folder));
    trace
}

/// Checks the order, and gives how many statements were seen.
fn ordered(trace: &str, upstream: u16, strict: bool) -> usize {
    let calls = calls(trace);
    let to_upstream = format!("->127.0.0.1:{upstream}]");
    let is_send = |call: &&Call| call.text.contains(&to_upstream) && call.name != "fdatasync";
    let is_record = |call: &&Call| call.name == "write" && call.text.contains("/ledger/");
    let syncs: Vec<&Call> =
        calls.iter().filter(|c| c.name.contains("sync") && c.text.contains("/ledger/")).collect();
    let mut seen = 0;
    for number in 0..STATEMENTS {
        let mark = format!("traced-{number}-");
        let sent = calls.iter().filter(is_send).find(|call| call.text.contains(&mark)).unwrap();
        let record = calls.iter().filter(is_record).find(|call| call.text.contains(&mark)).unwrap();
        assert!(record.end < sent.begin, "{mark}: sent at {sent:?}, recorded at {record:?}");
        if strict {
            let on_disk = |sync: &&Call| record.end < sync.begin && sync.end < sent.begin;
            assert!(syncs.iter().any(on_disk), "{mark}: sent before the disk had its record");
        }
        seen += 1;
    }
    seen
}

#[test]
fn record_before_forward_is_the_order_of_system_calls() {
    if !strace_works() {
        println!("skipped: strace cannot be run here");
        return;
    }
    let pg = PgBox::start(&Options::default()).unwrap();
    for promise in ["strict", "group"] {
        let trace = traced(&pg, promise);
        let seen = ordered(&trace, pg.port, promise == "strict");
        println!("{promise}: {seen} statements, each sent after its record");
    }
}
