//! Functions that run though no statement names them: those of views, of casts that the server puts in by
//! itself, of domains, of arguments that are left out. Each evasion stands beside an honest twin.

use std::time::Duration;

use testkit::wire::tags;

use crate::bodies::{door_after, passes, refused};
use crate::kit::{Door, eventually};
use crate::lifecycle::reload;

const POLICY: &str = r#"
version: "2"
agents:
  clerk:
    missions:
      orders: {tables: [products, notes, kept, open, counted, listed, asking, trusting, unread, unread_twin, calls_unread, lent, vague, flat, nested]}
  analyst:
    columns: {public.users: {deny: [email]}}
"#;

const CLERK: &str = "clerk:mission:orders";

const FUNCTIONS: &str = "
CREATE FUNCTION leak() RETURNS text LANGUAGE sql AS 'SELECT max(email) FROM users';
CREATE FUNCTION honest() RETURNS text LANGUAGE sql AS 'SELECT max(name) FROM products';
CREATE FUNCTION lending() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT max(email) FROM users';
CREATE FUNCTION opaque() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE VIEW counted AS SELECT id, leak() AS told FROM products;
CREATE VIEW listed AS SELECT id, honest() AS told FROM products;
CREATE VIEW lent AS SELECT id, lending() AS told FROM products;
CREATE VIEW vague AS SELECT id, opaque() AS told FROM products;
CREATE VIEW asking WITH (security_invoker) AS SELECT email FROM users;
CREATE VIEW trusting WITH (security_invoker) AS SELECT name FROM products;
CREATE VIEW unread AS SELECT id, (SELECT max(email) FROM asking) AS told FROM products LIMIT 5;
CREATE VIEW unread_twin AS SELECT id, (SELECT max(name) FROM trusting) AS told FROM products LIMIT 5;
CREATE VIEW calls_unread AS SELECT id, (SELECT max(told) FROM counted) AS told FROM products LIMIT 5;
CREATE TYPE mail AS (address text);
CREATE FUNCTION to_mail(int) RETURNS mail LANGUAGE sql AS 'SELECT ROW(max(email))::mail FROM users';
CREATE CAST (int AS mail) WITH FUNCTION to_mail(int) AS IMPLICIT;
CREATE TYPE tag AS (word text);
CREATE FUNCTION to_tag(int) RETURNS tag LANGUAGE sql AS 'SELECT ROW(max(name))::tag FROM products';
CREATE CAST (int AS tag) WITH FUNCTION to_tag(int) AS IMPLICIT;
CREATE DOMAIN mail_domain AS mail;
CREATE DOMAIN tag_domain AS tag;
CREATE TYPE mails AS (one mail);
CREATE TYPE tags AS (one tag);
CREATE FUNCTION takes_mail(m mail) RETURNS text LANGUAGE sql AS 'SELECT m.address';
CREATE FUNCTION takes_tag(t tag) RETURNS text LANGUAGE sql AS 'SELECT t.word';
CREATE FUNCTION peeks(int) RETURNS bool LANGUAGE sql AS 'SELECT count(email) >= 0 FROM users';
CREATE FUNCTION small(int) RETURNS bool LANGUAGE sql AS 'SELECT $1 < 100';
CREATE DOMAIN peeked AS int CHECK (peeks(VALUE));
CREATE DOMAIN bounded AS int CHECK (small(VALUE));
CREATE FUNCTION takes_peeked(p peeked) RETURNS int LANGUAGE sql AS 'SELECT p::int';
CREATE FUNCTION takes_bounded(b bounded) RETURNS int LANGUAGE sql AS 'SELECT b::int';
CREATE FUNCTION peeked(text, text) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION bounded(text, text) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TABLE kept (p peeked);
CREATE TABLE open (b bounded);
CREATE TABLE flat (t tag);
CREATE TABLE nested (m mail);
CREATE FUNCTION left_out(int, told text DEFAULT leak()) RETURNS text LANGUAGE sql AS 'SELECT told';
CREATE FUNCTION said(int, told text DEFAULT honest()) RETURNS text LANGUAGE sql AS 'SELECT told';
CREATE FUNCTION noted(n int) RETURNS int LANGUAGE sql AS $$
  INSERT INTO notes (id) VALUES (noted.n); UPDATE notes SET note = 'x' WHERE id = n;
  WITH gone AS (DELETE FROM notes WHERE id = n RETURNING id) SELECT max(id) FROM gone $$;
GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
";

fn door() -> Door {
    door_after(FUNCTIONS, POLICY, "analyst")
}

const USERS: &str = "table_not_in_mission (table: public.users)";

#[test]
fn a_view_lends_its_rights_to_no_function() {
    let door = door();
    refused(&door, CLERK, "SELECT told FROM counted", USERS);
    // Not even where its column is not read: the server may run it.
    refused(&door, CLERK, "SELECT id FROM counted", USERS);
    refused(&door, CLERK, "SELECT told FROM vague", "unknown_relations:public.opaque");
    passes(&door, CLERK, "SELECT told FROM listed");
    // The server asks about what a column is made from, whether or not it is read.
    refused(&door, CLERK, "SELECT id FROM unread", USERS);
    refused(&door, CLERK, "SELECT id FROM calls_unread", USERS);
    passes(&door, CLERK, "SELECT id, told FROM unread_twin");
    // It runs with the rights of its owner, whoever asks.
    passes(&door, CLERK, "SELECT told FROM lent");
    refused(&door, "analyst", "SELECT told FROM lent", "column_not_allowed:email");
}

#[test]
fn a_refusal_says_which_function_does_it() {
    let door = door();
    let said = door.psql(&format!("agent:{CLERK}"), &["-c", "SELECT told FROM counted"]);
    assert!(said.err.contains("`public.leak` does this"), "{said:?}");
    let said = door.psql(&format!("agent:{CLERK}"), &["-c", "SELECT id FROM users"]);
    assert!(said.err.contains("use the tables of mission `orders`"), "{said:?}");
}

#[test]
fn casts_count_where_nobody_writes_them() {
    let door = door();
    for (evasion, twin) in [
        ("SELECT takes_mail(1)", "SELECT takes_tag(1)"),
        ("SELECT ARRAY[1]::_mail", "SELECT ARRAY[1]::_tag"),
        ("SELECT 1::mail_domain", "SELECT 1::tag_domain"),
        ("SELECT ROW(1)::mails", "SELECT ROW(1)::tags"),
        ("INSERT INTO nested SELECT 1", "INSERT INTO flat SELECT 1"),
        ("UPDATE nested SET m = 1", "UPDATE flat SET t = 1"),
        (
            "MERGE INTO nested USING products ON false WHEN NOT MATCHED THEN INSERT VALUES (1)",
            "MERGE INTO flat USING products ON false WHEN NOT MATCHED THEN INSERT VALUES (1)",
        ),
    ] {
        refused(&door, CLERK, evasion, USERS);
        passes(&door, CLERK, twin);
    }
}

#[test]
fn domains_are_checked_wherever_a_value_becomes_one() {
    let door = door();
    for (evasion, twin) in [
        ("SELECT 1::peeked", "SELECT 1::bounded"),
        ("SELECT takes_peeked(1)", "SELECT takes_bounded(1)"),
        ("SELECT peeked(1)", "SELECT bounded(1)"),
        ("UPDATE kept SET p = 1", "UPDATE open SET b = 1"),
        ("INSERT INTO kept VALUES (1)", "INSERT INTO open VALUES (1)"),
    ] {
        refused(&door, CLERK, evasion, USERS);
        passes(&door, CLERK, twin);
    }
}

#[test]
fn an_argument_that_is_left_out_counts() {
    let door = door();
    refused(&door, CLERK, "SELECT left_out(1)", USERS);
    passes(&door, CLERK, "SELECT said(1)");
}

#[test]
fn a_body_that_writes_knows_its_arguments() {
    let door = door();
    passes(&door, CLERK, "SELECT noted(1)");
    refused(&door, "analyst", "SELECT noted(1), leak()", "column_not_allowed:email");
    passes(&door, "analyst", "SELECT noted(2)");
}

#[test]
fn what_was_prepared_is_judged_by_its_bodies_again() {
    let open = POLICY.replace("notes, kept,", "notes, users, kept,");
    let door = door_after(FUNCTIONS, &open, "analyst");
    let mut wire = door.wire(&format!("agent:{CLERK}"));
    wire.query("PREPARE p AS SELECT leak(); PREPARE q AS SELECT honest()").unwrap();
    assert_eq!(tags(&wire.query("EXECUTE p").unwrap()), "T D C(SELECT 1) Z(I)");
    reload(&door, POLICY);
    let shut = || tags(&wire.query("EXECUTE p").unwrap()) == "E(42501) Z(I)";
    assert!(eventually(Duration::from_secs(5), shut), "{}", door.proxy.output());
    assert_eq!(tags(&wire.query("EXECUTE q").unwrap()), "T D C(SELECT 1) Z(I)");
}
