//! `doctor` at a live server: what it finds, and what it leaves alone.

use std::process::Command;

use testkit::{Auth, Options, PgBox};

use crate::kit::{Door, Said, binary, said, server};

fn doctor(dsn: &str, role: &str) -> Said {
    let mut command = Command::new(binary());
    command.args(["doctor", "--format", "json", "--dsn", dsn, "--role", role]);
    said(command.env_remove("PGPASSWORD"))
}

fn codes(said: &Said) -> Vec<String> {
    let answer: serde_json::Value = serde_json::from_str(&said.out).unwrap_or_default();
    let findings = answer["findings"].as_array().cloned().unwrap_or_default();
    findings.iter().map(|one| one["code"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn doctor_names_what_undermines_the_door() {
    let server = server();
    server
        .admin(
            "postgres",
            "CREATE ROLE strong LOGIN BYPASSRLS CREATEROLE; GRANT pg_read_server_files TO strong",
        )
        .unwrap();
    let dsn = server.conn_string("fixture");
    let super_user = doctor(&dsn, "postgres");
    assert_eq!(super_user.code, 1, "{super_user:?}");
    let strong = doctor(&dsn, "strong");
    assert_eq!(strong.code, 1, "{strong:?}");
    for word in ["BYPASSRLS", "CREATEROLE", "pg_read_server_files", "trust"] {
        assert!(strong.out.contains(word), "{word}: {strong:?}");
    }
    assert!(super_user.out.contains("superuser"), "{super_user:?}");
    assert!(!codes(&strong).is_empty() && codes(&strong) != codes(&super_user));
    let missing = doctor(&dsn, "nobody_of_that_name");
    assert_eq!(missing.code, 2, "{missing:?}");
}

#[test]
fn doctor_has_nothing_to_say_about_a_role_that_can_do_little() {
    let options = Options { auth: Auth::Scram, ..Options::default() };
    let server = PgBox::start(&options).unwrap();
    server
        .admin(
            "postgres",
            "CREATE ROLE plain LOGIN PASSWORD 'x'; REVOKE CREATE ON SCHEMA public FROM PUBLIC; \
             REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC; \
             ALTER ROLE plain CONNECTION LIMIT 5; \
             ALTER ROLE plain SET statement_timeout = '30s'",
        )
        .unwrap();
    std::fs::write(
        server.socket_dir.join("data/pg_hba.conf"),
        "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
    )
    .unwrap();
    server.admin("postgres", "SELECT pg_reload_conf()").unwrap();
    let said = doctor(&server.conn_string("postgres"), "plain");
    assert_eq!(codes(&said), Vec::<String>::new(), "{said:?}");
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn doctor_says_when_it_is_pointed_at_the_door() {
    let door = Door::open();
    let dsn = format!("host=127.0.0.1 port={} user=app dbname={}", door.proxy.port, door.database);
    let said = doctor(&dsn, "app");
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("this is the door itself"), "{said:?}");
}
