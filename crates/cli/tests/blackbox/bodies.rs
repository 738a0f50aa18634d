//! Functions of users: what their bodies do counts, and what is not read is denied where a rule could break.

use crate::catalog::{door_with, fresh};
use crate::kit::Door;

const POLICY: &str = r#"
version: "2"
profiles:
  reader: {extends: strict, allowed_operations: [SELECT]}
agents:
  analyst:
    columns: {public.users: {deny: [email]}}
    blocked_tables: [public.payments]
  reader:
    profile: reader
  clerk:
    missions:
      orders: {tables: [products]}
  named:
    functions: {allow: ["pg_catalog.*", "public.opaque", "public.leak", "public.price", "public.counted"]}
    columns: {public.users: {deny: [email]}}
    missions:
      orders: {tables: [products]}
  free: {}
"#;

const FUNCTIONS: &str = "
CREATE FUNCTION twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2';
CREATE FUNCTION leak() RETURNS SETOF text LANGUAGE sql AS 'SELECT email FROM users';
CREATE FUNCTION deeper() RETURNS SETOF text LANGUAGE sql AS 'SELECT leak()';
CREATE FUNCTION standard(wanted int) RETURNS int LANGUAGE sql
  BEGIN ATOMIC SELECT max(u.id) FROM users u WHERE u.email = 'x' AND u.id = standard.wanted; END;
CREATE FUNCTION counted(wanted int) RETURNS bigint LANGUAGE sql RETURN (SELECT count(*) FROM users u WHERE u.id = wanted);
CREATE FUNCTION price(id int) RETURNS numeric LANGUAGE sql AS 'SELECT p.price FROM products p WHERE p.id = price.id';
CREATE FUNCTION pays() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM payments';
CREATE FUNCTION erase(int) RETURNS void LANGUAGE sql AS 'DELETE FROM notes WHERE id = $1';
CREATE FUNCTION opaque(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE FUNCTION outer_opaque(int) RETURNS int LANGUAGE sql AS 'SELECT opaque($1)';
CREATE FUNCTION step(int, int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE AGGREGATE opaque_sum(int) (SFUNC = step, STYPE = int);
CREATE AGGREGATE plain_sum(int) (SFUNC = int4pl, STYPE = int);
CREATE FUNCTION again(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
CREATE OR REPLACE FUNCTION again(int) RETURNS int LANGUAGE sql AS 'SELECT again($1)';
CREATE FUNCTION elsewhere() RETURNS text LANGUAGE sql SET search_path = hidden, pg_temp AS 'SELECT mail FROM users';
CREATE SCHEMA hidden; GRANT USAGE ON SCHEMA hidden TO app;
CREATE TABLE hidden.users (mail text); GRANT ALL ON hidden.users TO app;
CREATE FUNCTION same(text, text) RETURNS bool LANGUAGE sql AS 'SELECT $1 IN (SELECT email FROM users)';
CREATE OPERATOR public.=~= (LEFTARG = text, RIGHTARG = text, FUNCTION = same);
CREATE VIEW through AS SELECT id, leak() AS told FROM products;
CREATE VIEW vague AS SELECT id, opaque(id) AS other FROM products;
GRANT SELECT ON through, vague TO app;
";

fn door() -> Door {
    let door = door_with(POLICY, &[]);
    door.direct(&format!("SET check_function_bodies = off; {FUNCTIONS}"));
    let said = door.psql("agent:free", &["-c", "CREATE TABLE own (a int)"]);
    assert_eq!(said.code, 0, "{said:?}");
    fresh(&door);
    door
}

#[track_caller]
fn refused(door: &Door, who: &str, sql: &str, reason: &str) {
    let said = door.psql(&format!("agent:{who}"), &["-c", sql]);
    assert!(said.err.contains(reason), "{who}: {sql}: {said:?}");
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{sql}");
}

#[track_caller]
fn passes(door: &Door, who: &str, sql: &str) {
    let said = door.psql(&format!("agent:{who}"), &["-c", sql]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{who}: {sql}");
}

#[test]
fn a_body_counts_as_what_the_statement_does() {
    let door = door();
    let email = "column_not_allowed:email (table: public.users)";
    for sql in [
        "SELECT leak()",
        "SELECT * FROM leak() AS x",
        "SELECT deeper()",
        "SELECT standard(1)",
        "SELECT 'a'::text =~= 'b'",
        "SELECT told FROM through",
        "PREPARE p AS SELECT leak(); EXECUTE p",
        "INSERT INTO products (id, name) SELECT 1, leak()",
    ] {
        refused(&door, "analyst", sql, email);
    }
    refused(&door, "analyst", "SELECT pays()", "blocked_table (table: public.payments)");
    refused(&door, "reader", "SELECT erase(1)", "blocked_operation (op: DELETE)");
    refused(
        &door,
        "clerk:mission:orders",
        "SELECT leak()",
        "table_not_in_mission (table: public.users)",
    );
    for sql in [
        "SELECT twice(4)",
        "SELECT counted(1)",
        "SELECT price(1)",
        "SELECT plain_sum(id) FROM users",
        "SELECT elsewhere()",
    ] {
        passes(&door, "analyst", sql);
    }
    passes(&door, "reader", "SELECT twice(2), leak()");
    passes(&door, "free", "SELECT erase(0), opaque(1), leak()");
}

#[test]
fn what_is_not_read_is_denied_unless_it_is_named() {
    let door = door();
    for (who, code) in [("analyst", "unknown_columns"), ("reader", "unknown_relations")] {
        refused(&door, who, "SELECT opaque(1)", &format!("{code}:public.opaque"));
        refused(&door, who, "SELECT outer_opaque(1)", &format!("{code}:public.outer_opaque"));
        refused(
            &door,
            who,
            "SELECT opaque_sum(id) FROM users",
            &format!("{code}:public.opaque_sum"),
        );
    }
    let said = door.psql("agent:analyst", &["-c", "SELECT outer_opaque(1)"]);
    assert!(said.err.contains("calls `public.opaque`"), "{said:?}");
    refused(&door, "analyst", "SELECT other FROM vague", "unknown_columns:public.opaque");
    passes(&door, "reader", "SELECT other FROM vague");
    // A function that calls itself is read once. The server gives it up by itself.
    refused(&door, "analyst", "SELECT again(1)", "stack depth limit exceeded");
}

#[test]
fn a_name_vouches_for_all_but_what_is_blocked() {
    let door = door();
    let named = "named:mission:orders";
    passes(&door, named, "SELECT opaque(1), counted(1), price(1)");
    refused(&door, named, "SELECT leak()", "column_not_allowed:email (table: public.users)");
    refused(&door, named, "SELECT twice(1)", "function_not_allowed:public.twice");
    refused(&door, "clerk:mission:orders", "SELECT counted(1)", "table_not_in_mission");
}
