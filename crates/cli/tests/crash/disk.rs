//! A disk that is full or fails: nothing passes without its record, and everybody is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::guard::Guarded;
use testkit::pgbox::{free_port, is_root};
use testkit::{Options, PgBox, Wire};

use super::ledger::{decisions, unrecorded};
use super::load::{POLICY, wire};
use testkit::tap::Tap;

/// A door whose command line is ours to choose.
struct Door {
    port: u16,
    folder: PathBuf,
    _process: Guarded,
}

/// Starts the binary behind `prefix`, with its ledger in `folder/ledger`.
fn door(prefix: &[&str], folder: PathBuf, upstream: u16, promise: &str) -> Door {
    let port = free_port().unwrap();
    fs::write(folder.join("policies.yaml"), POLICY).unwrap();
    let file = |name: &str| folder.join(name).display().to_string();
    let mut words: Vec<String> = prefix.iter().map(|word| (*word).to_owned()).collect();
    words.push(env!("CARGO_BIN_EXE_portcullis").to_owned());
    words.extend(
        ["proxy", "--admin", "off", "--view", "off", "--payload", "full"].map(str::to_owned),
    );
    words.extend(["--promise".to_owned(), promise.to_owned()]);
    words.extend(["--listen".to_owned(), format!("127.0.0.1:{port}")]);
    words.extend(["--upstream".to_owned(), format!("127.0.0.1:{upstream}")]);
    words.extend(["--policies".to_owned(), file("policies.yaml")]);
    words.extend(["--ledger-dir".to_owned(), file("ledger")]);
    words.extend(["--key-file".to_owned(), file("key")]);
    let log = fs::File::create(folder.join("log")).unwrap();
    let child = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let process = Guarded::new(child, "KILL", None).unwrap();
    for _ in 0..1000 {
        if Wire::connect(port).is_ok() {
            return Door { port, folder, _process: process };
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the door does not open: {}", fs::read_to_string(folder.join("log")).unwrap());
}

fn folder(name: &str) -> PathBuf {
    let folder =
        std::env::temp_dir().join(format!("portcullis-disk-{}-{name}", std::process::id()));
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(folder.join("ledger")).unwrap();
    folder
}

/// Works until the ledger is full or broken, and then some. Gives the refusals' codes.
fn exhaust(door: &Door, tap: &Tap) -> Vec<String> {
    let mut codes = Vec::new();
    let mut statements = 0;
    // The first session meets the failure, the later ones what comes after it.
    for _ in 0..4 {
        let mut wire = match wire(door.port) {
            Ok(wire) => wire,
            Err(trouble) => {
                codes.push(trouble.to_string());
                continue;
            }
        };
        for _ in 0..600 {
            statements += 1;
            let answer = match wire.query(&format!("SELECT 'd{statements}'")) {
                Ok(answer) => answer,
                Err(trouble) => {
                    codes.push(trouble.to_string());
                    break;
                }
            };
            let refused = answer.iter().find(|frame| frame.tag == b'E');
            codes.extend(refused.map(testkit::Frame::sqlstate));
            if codes.len() > 8 || answer.last().is_none_or(|frame| frame.tag != b'Z') {
                break;
            }
        }
    }
    let forwarded = tap.forwarded();
    let missing = unrecorded(
        &forwarded.iter().filter(|each| !is_stand_in(&each.text)).cloned().collect::<Vec<_>>(),
        decisions(&door.folder.join("ledger")),
    );
    assert!(missing.is_empty(), "without a record: {missing:?}");
    println!("{} forwarded, all recorded; then {codes:?}", forwarded.len());
    codes
}

fn is_stand_in(text: &[u8]) -> bool {
    text == b"SELECT \"refused by portcullis\""
}

fn assert_denied(codes: &[String]) {
    assert!(!codes.is_empty(), "the disk was never full");
    for code in codes {
        let told = code == "42501" || code.contains("58030");
        assert!(told, "{code}");
    }
}

struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

fn mount(path: &Path) -> Option<Mounted> {
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=128k", "tmpfs"])
        .arg(path)
        .status()
        .is_ok_and(|status| status.success());
    mounted.then(|| Mounted(path.to_path_buf()))
}

#[test]
fn a_full_disk_denies() {
    if !is_root() {
        println!("skipped: only root can mount a small disk");
        return;
    }
    let folder = folder("full");
    let Some(_mounted) = mount(&folder.join("ledger")) else {
        println!("skipped: a small disk cannot be mounted here");
        return;
    };
    let pg = PgBox::start(&Options::default()).unwrap();
    for promise in ["group", "strict"] {
        for entry in fs::read_dir(folder.join("ledger")).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        let tap = Tap::start(pg.port).unwrap();
        let door = door(&[], folder.clone(), tap.port, promise);
        assert_denied(&exhaust(&door, &tap));
    }
    drop(fs::remove_dir_all(folder.join("ledger")));
}

#[test]
fn a_write_that_fails_denies() {
    let folder = folder("write");
    let pg = PgBox::start(&Options::default()).unwrap();
    let tap = Tap::start(pg.port).unwrap();
    // Files of at most 64 blocks, and an error instead of a signal.
    let limit = "trap '' XFSZ; ulimit -f 64; exec \"$@\"";
    let door = door(&["bash", "-c", limit, "bash"], folder, tap.port, "group");
    assert_denied(&exhaust(&door, &tap));
    drop(fs::remove_dir_all(&door.folder));
}

#[test]
fn a_sync_that_fails_denies() {
    if !super::trace::strace_works() {
        println!("skipped: strace cannot be run here");
        return;
    }
    let pg = PgBox::start(&Options::default()).unwrap();
    for promise in ["strict", "group"] {
        let folder = folder(promise);
        let tap = Tap::start(pg.port).unwrap();
        let inject = "inject=fdatasync:error=EIO:when=6+";
        // `-D`: the tracer is nobody's parent, so whoever ends the child ends the door.
        let prefix =
            ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", inject];
        let door = door(&prefix, folder, tap.port, promise);
        assert_denied(&exhaust(&door, &tap));
        drop(fs::remove_dir_all(&door.folder));
    }
}
