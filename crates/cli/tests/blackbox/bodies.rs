//! Functions of users: what their bodies do counts, and what is not read is denied where a rule could break.

use std::time::Duration;

use crate::kit::{Door, database, eventually, server};

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
CREATE FUNCTION added(int, int) RETURNS int LANGUAGE sql AS 'SELECT $1 + $2';
CREATE FUNCTION of_overloads(int) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM products';
CREATE FUNCTION of_overloads(text) RETURNS bigint LANGUAGE sql AS 'SELECT count(email) FROM users';
CREATE FUNCTION in_c(int, int) RETURNS int IMMUTABLE LANGUAGE internal AS 'int4pl';
CREATE FUNCTION in_c_stable(int, int) RETURNS int STABLE LANGUAGE internal AS 'int4pl';
CREATE TYPE mail AS (address text);
CREATE FUNCTION to_mail(int) RETURNS mail LANGUAGE sql AS 'SELECT ROW(max(email))::mail FROM users WHERE id = $1';
CREATE CAST (int AS mail) WITH FUNCTION to_mail(int);
CREATE TYPE pair AS (a int, b int);
CREATE FUNCTION to_pair(int) RETURNS pair LANGUAGE sql AS 'SELECT ROW($1, $1)::pair';
CREATE CAST (int AS pair) WITH FUNCTION to_pair(int);
CREATE TABLE owned (id int, tenant_id text);
GRANT ALL ON owned TO app;
CREATE FUNCTION owned_by(text) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM owned WHERE tenant_id = $1';
CREATE FUNCTION owned_by_acme() RETURNS bigint LANGUAGE sql AS $$SELECT count(*) FROM owned WHERE tenant_id = 'acme'$$;
CREATE FUNCTION owned_by_all() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM owned';
CREATE FUNCTION link_0() RETURNS int LANGUAGE sql AS 'SELECT 1';
DO $do$ BEGIN FOR i IN 1..80 LOOP
  EXECUTE format('CREATE FUNCTION link_%s() RETURNS int LANGUAGE sql AS $$SELECT link_%s()$$', i, i - 1);
END LOOP; END $do$;
CREATE VIEW through AS SELECT id, leak() AS told FROM products;
CREATE OPERATOR public.<~> (LEFTARG = int, RIGHTARG = int, FUNCTION = added);
CREATE VIEW vague AS SELECT id, opaque(id) AS other FROM products;
GRANT SELECT ON through, vague TO app;
";

fn door() -> Door {
    door_of(POLICY, "analyst")
}

/// With the functions, known to the door: it reads what exists again before `who` is answered.
fn door_of(policy: &str, who: &str) -> Door {
    door_after(&format!("SET check_function_bodies = off; {FUNCTIONS}"), policy, who)
}

/// After these definitions.
pub(crate) fn door_after(definitions: &str, policy: &str, who: &str) -> Door {
    let database = database();
    let door = Door::before(server().port, database.clone(), policy, &[]);
    door.direct(definitions);
    drop(door);
    let dsn = server().conn_string(&database);
    let door = Door::before(server().port, database, policy, &["--catalog-dsn", &dsn]);
    let who = format!("agent:{who}");
    let known = || door.psql(&who, &["-c", "SELECT id FROM users"]).code == 0;
    assert!(eventually(Duration::from_secs(20), known), "{}", door.proxy.output());
    door
}

#[track_caller]
pub(crate) fn refused(door: &Door, who: &str, sql: &str, reason: &str) {
    let said = door.psql(&format!("agent:{who}"), &["-c", sql]);
    assert!(said.err.contains(reason), "{who}: {sql}: {said:?}");
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{sql}");
}

#[track_caller]
pub(crate) fn passes(door: &Door, who: &str, sql: &str) {
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
    refused(&door, "reader", "SELECT other FROM vague", "unknown_relations:public.opaque");
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

#[test]
fn every_overload_and_every_cast_of_a_name_counts() {
    let door = door();
    refused(&door, "analyst", "SELECT of_overloads(1)", "column_not_allowed:email");
    refused(&door, "analyst", "SELECT 1::mail", "column_not_allowed:email");
    passes(&door, "analyst", "SELECT 1::pair");
    // C code that depends on its arguments alone reads nothing; what else it may do is not known.
    passes(&door, "analyst", "SELECT in_c(1, 2)");
    refused(&door, "analyst", "SELECT in_c_stable(1, 2)", "(op: SELECT)");
    refused(&door, "analyst", "SELECT in_c_stable(1, 2)", "unknown_columns:public.in_c_stable");
}

#[test]
fn a_body_keeps_to_the_tenant_by_itself() {
    let policy = "version: \"2\"\nagents:\n  acme: {tenant: acme}\n  other: {tenant: other}\n  \
                  believed: {tenant: other, functions: {allow: [\"pg_catalog.*\", owned_by]}}\n\
                  tenancy: {column: tenant_id, tenant_global_tables: [users]}\n";
    let door = door_of(policy, "acme");
    passes(&door, "acme", "SELECT owned_by_acme()");
    passes(&door, "acme", "SELECT twice(1)");
    refused(&door, "other", "SELECT owned_by_acme()", "tenant_violation (table: public.owned)");
    refused(&door, "acme", "SELECT owned_by_all()", "tenant_violation (table: public.owned)");
    // An argument is whatever the caller says.
    refused(&door, "acme", "SELECT owned_by('acme')", "tenant_violation (table: public.owned)");
    refused(&door, "acme", "SELECT opaque(1)", "unknown_relations:public.opaque");
    passes(&door, "believed", "SELECT owned_by('other')");
}

#[test]
fn what_is_called_in_turn_is_bounded() {
    let door = door();
    passes(&door, "analyst", "SELECT link_40()");
    refused(&door, "analyst", "SELECT link_80()", "unknown_columns:public.link_80");
}

#[test]
fn a_view_of_the_session_calls_what_its_names_meant() {
    let door = door();
    let make =
        "CREATE TEMP VIEW mine AS SELECT added(id, 1) AS more, id <~> 2 AS near FROM products";
    let said = door.psql("agent:analyst", &["-c", make, "-c", "SELECT more, near FROM mine"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    refused(
        &door,
        "analyst",
        "CREATE TEMP VIEW mine AS SELECT leak() AS told",
        "column_not_allowed:email",
    );
}
