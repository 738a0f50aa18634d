//! Every way of logging in with a password passes through the door, and no password stays there.

use testkit::pgbox::PASSWORD;
use testkit::{Auth, Options, PgBox};

use crate::kit::{CURSOR, Door, POLICY, psql, said};

fn logs_in_with(auth: Auth) {
    let server = PgBox::start(&Options { auth, ..Options::default() }).unwrap();
    let encryption = if auth == Auth::Md5 { "md5" } else { "scram-sha-256" };
    let sql = format!(
        "SET password_encryption = '{encryption}'; CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'"
    );
    server.admin("postgres", &sql).unwrap();
    let mut door =
        Door::before(server.port, "postgres".to_owned(), POLICY, &["--log-level", "trace"]);
    let good = door.psql(CURSOR, &["-c", "SELECT 42", "-c", "DROP TABLE users"]);
    assert_eq!(good.out, "42\n", "{good:?}");
    assert!(good.err.contains("[BLOCKED by Portcullis]"), "{good:?}");
    let mut command = psql(door.proxy.port, "postgres", CURSOR);
    let bad = said(command.env("PGPASSWORD", "wrong-one").args(["-c", "SELECT 1"]));
    assert!(bad.err.contains("password authentication failed"), "{bad:?}");
    assert_eq!(door.stop(), 0);
    let output = door.proxy.output();
    assert!(!output.contains(PASSWORD) && !output.contains("wrong-one"), "{output}");
    let ledger = std::fs::read_dir(door.proxy.ledger()).unwrap().flatten();
    for file in ledger.filter(|entry| entry.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!bytes.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes()));
    }
}

#[test]
fn scram() {
    logs_in_with(Auth::Scram);
}

#[test]
fn md5() {
    logs_in_with(Auth::Md5);
}

#[test]
fn cleartext() {
    logs_in_with(Auth::Cleartext);
}
