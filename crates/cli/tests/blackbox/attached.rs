//! What happens besides what a statement says: triggers, rules, row security, expressions, foreign keys.

use crate::bodies::{door_after, passes, refused};
use crate::kit::Door;

const POLICY: &str = r#"
version: "2"
agents:
  analyst:
    columns: {public.users: {deny: [email]}, public.copied: {deny: [secret]}}
    blocked_tables: [public.payments, public.bills, public.glance, "vault.*"]
  named:
    functions: {allow: ["pg_catalog.*", "public.log_*", "public.instead", "public.leak"]}
    blocked_tables: [public.payments]
  wary:
    functions: {deny: ["public.log_*", current_setting, now, nextval, current_user, public.counts, pg_advisory_lock]}
  listed:
    functions: {allow: ["@immutable", public.total]}
  free: {}
"#;

const ATTACHED: &str = "
CREATE FUNCTION log_it() RETURNS trigger LANGUAGE plpgsql AS
  'DECLARE x int; BEGIN INSERT INTO payments VALUES (1, 2) ON CONFLICT DO NOTHING; RETURN NEW; END';
CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN EXECUTE ''SELECT 1''; RETURN NEW; END';
CREATE FUNCTION leak() RETURNS text LANGUAGE sql AS 'SELECT max(email) FROM users';
CREATE FUNCTION leaks(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT length(max(email)) + $1 FROM users';
CREATE FUNCTION pure(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 1';

CREATE TABLE logged (id int, note text);
CREATE TRIGGER logs BEFORE INSERT ON logged FOR EACH ROW EXECUTE FUNCTION log_it();
CREATE TABLE logged_of (id int, note text, price int);
CREATE TRIGGER logs AFTER UPDATE OF price ON logged_of FOR EACH ROW EXECUTE FUNCTION log_it();
CREATE TABLE emptied (id int);
CREATE TRIGGER logs AFTER TRUNCATE ON emptied EXECUTE FUNCTION log_it();
CREATE TABLE off (id int);
CREATE TRIGGER logs AFTER INSERT ON off FOR EACH ROW EXECUTE FUNCTION log_it();
ALTER TABLE off DISABLE TRIGGER logs;
CREATE TABLE when_leaks (id int);
CREATE TRIGGER same BEFORE UPDATE ON when_leaks FOR EACH ROW WHEN (leaks(NEW.id) > 3)
  EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE TABLE quiet (id int);
CREATE TRIGGER same BEFORE UPDATE ON quiet FOR EACH ROW WHEN (pure(NEW.id) > 3)
  EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE TABLE parted (id int, part int) PARTITION BY LIST (part);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TRIGGER logs BEFORE INSERT ON parted_1 FOR EACH ROW EXECUTE FUNCTION log_it();
CREATE VIEW simple AS SELECT id, note FROM logged;
CREATE VIEW handled AS SELECT id, note || '' AS note FROM notes;
CREATE TRIGGER handles INSTEAD OF INSERT ON handled FOR EACH ROW EXECUTE FUNCTION instead();

CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
  -- Plain.
  NEW.changed = now(); NEW.note := lower(NEW.note) || TG_OP; RETURN NEW;
END$$;
CREATE TABLE touched (id int, note text, changed timestamptz);
CREATE TRIGGER touches BEFORE INSERT OR UPDATE ON touched FOR EACH ROW EXECUTE FUNCTION touch();
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
  IF TG_OP = 'DELETE' AND OLD.id > 0 THEN INSERT INTO payments (id, card) VALUES (OLD.id, OLD.note) ON CONFLICT DO NOTHING; RETURN OLD;
  ELSE INSERT INTO notes SELECT NEW.id, n.note FROM notes n WHERE n.id = NEW.id; END IF;
  RETURN NEW;
END$$;
CREATE TABLE kept (id int, note text);
CREATE TRIGGER keeps BEFORE DELETE ON kept FOR EACH ROW EXECUTE FUNCTION keep();
CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
  RAISE NOTICE 'mail: %', (SELECT max(email) FROM users); RETURN NEW; END$$;
CREATE TABLE telling (id int);
CREATE TRIGGER tells BEFORE INSERT ON telling FOR EACH ROW EXECUTE FUNCTION told();
CREATE FUNCTION fills() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
  NEW.note := email FROM users WHERE id = NEW.id; RETURN NEW; END$$;
CREATE TABLE filling (id int, note text);
CREATE TRIGGER filled BEFORE INSERT ON filling FOR EACH ROW EXECUTE FUNCTION fills();
CREATE FUNCTION passes_on() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
  PERFORM leak(); IF NEW.note IS DISTINCT FROM OLD.note THEN NULL; END IF; RETURN NEW; END$$;
CREATE TABLE passing (id int, note text);
CREATE TRIGGER passes BEFORE UPDATE ON passing FOR EACH ROW EXECUTE FUNCTION passes_on();

CREATE VIEW shown AS SELECT name, setting FROM pg_settings;
CREATE TABLE made (id int PRIMARY KEY, base int, code int GENERATED ALWAYS AS (base + 1) STORED UNIQUE, note text);
CREATE TABLE after (code int REFERENCES made (code) ON UPDATE CASCADE);
CREATE TABLE steady (id int, base int, code int GENERATED ALWAYS AS (base + 1) STORED, note text);
CREATE TRIGGER logs AFTER UPDATE OF code ON steady FOR EACH ROW EXECUTE FUNCTION log_it();
CREATE TABLE moved (id int, part int) PARTITION BY LIST (part);
CREATE TABLE moved_1 PARTITION OF moved FOR VALUES IN (1);
CREATE TABLE moved_2 PARTITION OF moved FOR VALUES IN (2);
CREATE TRIGGER logs AFTER INSERT ON moved_2 FOR EACH ROW EXECUTE FUNCTION log_it();
CREATE TABLE parent (id int, note text, price int);
CREATE TABLE child () INHERITS (parent);
CREATE TRIGGER logs AFTER UPDATE OF price ON child FOR EACH ROW EXECUTE FUNCTION log_it();
CREATE TABLE hidden_base (id int);
CREATE TRIGGER logs AFTER DELETE ON hidden_base FOR EACH ROW EXECUTE FUNCTION log_it();
CREATE VIEW one AS SELECT 1 AS one FROM hidden_base;
CREATE TABLE copies (what text);
CREATE TABLE copied (id int, note text, secret text);
CREATE RULE copies AS ON UPDATE TO copied DO ALSO INSERT INTO copies VALUES (OLD.secret);
CREATE FUNCTION counts(int, int) RETURNS int LANGUAGE sql AS 'SELECT $1 + $2';
CREATE AGGREGATE total(int) (SFUNC = counts, STYPE = int, INITCOND = '0');
CREATE OPERATOR public.~## (RIGHTARG = bigint, FUNCTION = pg_catalog.pg_advisory_lock);
CREATE OPERATOR public.### (RIGHTARG = text, FUNCTION = pg_catalog.pg_read_file);
CREATE OPERATOR public.%+% (LEFTARG = int, RIGHTARG = int, FUNCTION = pg_catalog.int4pl);
CREATE SCHEMA vault; CREATE TABLE vault.secrets (id int); GRANT USAGE ON SCHEMA vault TO app;

CREATE TABLE ruled (id int, note text);
CREATE RULE also AS ON UPDATE TO ruled DO ALSO INSERT INTO payments VALUES (OLD.id, NEW.note);
CREATE RULE fine AS ON DELETE TO ruled DO ALSO INSERT INTO notes SELECT OLD.id, n.note FROM notes n WHERE n.id = OLD.id;
CREATE VIEW led AS SELECT id FROM notes;
CREATE RULE leads AS ON INSERT TO led WHERE NEW.id > (SELECT count(*) FROM users u WHERE u.email = 'x')
  DO INSTEAD NOTHING;
CREATE TABLE chained (id int);
CREATE RULE on_to AS ON INSERT TO chained DO ALSO UPDATE ruled SET note = 'x' WHERE id = NEW.id;

CREATE TABLE guarded (id int, who text);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON guarded FOR SELECT USING (who IN (SELECT u.email FROM users u));
CREATE POLICY made ON guarded FOR INSERT WITH CHECK (who = current_user);
CREATE TABLE of_tenant (id int, tenant text);
ALTER TABLE of_tenant ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON of_tenant USING (tenant = current_setting('app.tenant', true) OR tenant = current_user);
CREATE TABLE ajar (id int, who text);
CREATE POLICY seen ON ajar USING (who IN (SELECT u.email FROM users u));

CREATE TABLE filled (id int, told text DEFAULT leak(), made timestamptz DEFAULT now());
CREATE TABLE checked (id int CHECK (leaks(id) > 1));
CREATE TABLE sums (id int, more int GENERATED ALWAYS AS (leaks(id)) STORED);
CREATE TABLE plain (id serial, made timestamptz DEFAULT now(), more int DEFAULT pure(3) CHECK (pure(more) > 0));

CREATE TABLE clients (id int PRIMARY KEY, name text);
CREATE TABLE bills (id int, client int REFERENCES clients ON DELETE CASCADE ON UPDATE SET NULL);
CREATE TABLE shops (id int PRIMARY KEY);
CREATE TABLE sales (shop int REFERENCES shops ON DELETE RESTRICT, id int PRIMARY KEY);
CREATE TABLE lines (sale int REFERENCES sales ON DELETE CASCADE, client int);
CREATE RULE bill AS ON DELETE TO lines DO ALSO DELETE FROM bills WHERE client = OLD.client;
CREATE RULE bill AS ON UPDATE TO after DO ALSO DELETE FROM bills;
CREATE TABLE seen_through (id int);
CREATE VIEW between AS SELECT id FROM seen_through;
CREATE VIEW glance AS SELECT id FROM between;

CREATE FUNCTION add_note(wanted int, said text) RETURNS void LANGUAGE sql AS
  'INSERT INTO notes (id, note) VALUES (wanted, said)';
CREATE FUNCTION move_note(wanted int, said text) RETURNS void LANGUAGE sql AS
  'UPDATE notes SET note = said WHERE id = move_note.wanted OR note = wanted::text';
CREATE FUNCTION change_ruled(wanted int) RETURNS void LANGUAGE sql AS
  'UPDATE ruled SET id = 1 WHERE id = wanted';
GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app;
";

/// With everything made, and known to the door.
fn door() -> Door {
    door_after(&format!("SET check_function_bodies = off; {ATTACHED}"), POLICY, "analyst")
}

const EMAIL: &str = "column_not_allowed:email (table: public.users)";
const PAYMENTS: &str = "blocked_table (table: public.payments)";
const BILLS: &str = "blocked_table (table: public.bills)";

#[test]
fn a_trigger_that_is_not_read_is_denied_where_something_is_blocked() {
    let door = door();
    let opaque = "unknown_columns:public.log_it";
    for sql in [
        "INSERT INTO logged VALUES (1, 'x')",
        "WITH new AS (INSERT INTO logged VALUES (1, 'x') RETURNING id) SELECT 1",
        "MERGE INTO logged USING products p ON p.id = logged.id WHEN NOT MATCHED THEN INSERT VALUES (p.id)",
        "COPY logged FROM STDIN",
        "INSERT INTO simple VALUES (1, 'x')",
        "INSERT INTO parted VALUES (1, 1)",
        "UPDATE logged_of SET price = 3",
        "TRUNCATE emptied",
        "PREPARE p AS INSERT INTO logged VALUES (1)",
        "EXPLAIN ANALYZE INSERT INTO logged VALUES (1)",
    ] {
        refused(&door, "analyst", sql, opaque);
    }
    refused(
        &door,
        "analyst",
        "INSERT INTO handled VALUES (1, 'x')",
        "unknown_columns:public.instead",
    );
    let said = door.psql("agent:analyst", &["-c", "INSERT INTO logged VALUES (1, 'x')"]);
    assert!(said.err.contains("`public.log_it`, a trigger of `public.logged`,"), "{said:?}");
    for sql in [
        "UPDATE logged SET note = 'x'",
        "DELETE FROM logged WHERE id = 4",
        "SELECT * FROM logged",
        "UPDATE logged_of SET note = 'x'",
        "INSERT INTO logged_of VALUES (1, 'x', 2)",
        "DELETE FROM emptied",
        "INSERT INTO off VALUES (1)",
        "UPDATE quiet SET id = 4",
        "UPDATE simple SET note = 'y'",
        "UPDATE parted SET id = 4",
    ] {
        passes(&door, "analyst", sql);
    }
    refused(&door, "analyst", "UPDATE when_leaks SET id = 4", EMAIL);
    // What a trigger does is its table's: names mean what they meant.
    let said = door.psql(
        "agent:named",
        &["-c", "BEGIN; INSERT INTO logged VALUES (1, 'x'); SELECT id FROM products; COMMIT"],
    );
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    // Whoever names it vouches for it; whoever denies it means it wherever it is called.
    for sql in ["INSERT INTO logged VALUES (1, 'x')", "INSERT INTO handled VALUES (1, 'x')"] {
        passes(&door, "named", sql);
        passes(&door, "free", sql);
    }
    refused(&door, "wary", "INSERT INTO logged VALUES (1)", "function_not_allowed:public.log_it");
    passes(&door, "wary", "INSERT INTO handled VALUES (1, 'x')");
}

#[test]
fn a_plain_trigger_counts_as_what_it_does() {
    let door = door();
    for sql in [
        "INSERT INTO telling VALUES (1)",
        "INSERT INTO filling VALUES (1, 'x')",
        "UPDATE passing SET id = 1",
    ] {
        refused(&door, "analyst", sql, EMAIL);
    }
    for who in ["analyst", "named"] {
        refused(&door, who, "DELETE FROM kept WHERE id = 1", PAYMENTS);
    }
    for sql in [
        "INSERT INTO touched VALUES (1, 'A', NULL) RETURNING note",
        "UPDATE touched SET id = 2",
        "INSERT INTO kept VALUES (1, 'x')",
        "INSERT INTO passing VALUES (1, 'x')",
    ] {
        passes(&door, "analyst", sql);
    }
    passes(&door, "free", "DELETE FROM kept WHERE id = 1");
}

#[test]
fn a_rule_counts_as_what_it_does() {
    let door = door();
    for sql in [
        "UPDATE ruled SET note = 'x'",
        "INSERT INTO chained VALUES (1)",
        "SELECT change_ruled(1)",
        "MERGE INTO ruled USING products p ON p.id = ruled.id WHEN MATCHED THEN UPDATE SET note = 'x'",
    ] {
        refused(&door, "analyst", sql, PAYMENTS);
        refused(&door, "named", sql, if sql.contains("change") { "" } else { PAYMENTS });
    }
    refused(&door, "analyst", "INSERT INTO led VALUES (3)", EMAIL);
    for sql in ["INSERT INTO ruled VALUES (1, 'x')", "DELETE FROM ruled", "SELECT id FROM led"] {
        passes(&door, "analyst", sql);
    }
    passes(&door, "free", "UPDATE ruled SET note = 'x'");
}

#[test]
fn row_security_counts_as_what_its_conditions_read() {
    let door = door();
    for sql in ["SELECT id FROM guarded", "DELETE FROM guarded WHERE id = 1"] {
        refused(&door, "analyst", sql, EMAIL);
    }
    for sql in [
        "INSERT INTO guarded VALUES (1, 'app')",
        // It is not on.
        "SELECT id FROM ajar",
    ] {
        let said = door.psql("agent:analyst", &["-c", sql]);
        assert!(!said.err.contains("portcullis"), "{sql}: {said:?}");
    }
    passes(&door, "free", "SELECT id FROM guarded");
    // What is built in hands out nothing there, though the statement may not call it.
    for sql in ["SELECT id FROM of_tenant", "INSERT INTO plain DEFAULT VALUES"] {
        passes(&door, "wary", sql);
    }
    refused(&door, "wary", "SELECT current_user", "function_not_allowed:pg_catalog.current_user");
}

#[test]
fn an_expression_of_a_column_counts_as_what_it_calls() {
    let door = door();
    for sql in [
        "INSERT INTO filled (id) VALUES (1)",
        "UPDATE filled SET told = DEFAULT",
        "INSERT INTO checked VALUES (1)",
        "INSERT INTO sums VALUES (1)",
        "UPDATE sums SET id = 3",
    ] {
        refused(&door, "analyst", sql, EMAIL);
    }
    for sql in [
        "INSERT INTO plain DEFAULT VALUES",
        "UPDATE plain SET more = 4",
        "DELETE FROM filled",
        "SELECT id FROM filled",
    ] {
        passes(&door, "analyst", sql);
    }
}

#[test]
fn a_foreign_key_carries_what_is_done_to_rows_elsewhere() {
    let door = door();
    for sql in [
        "DELETE FROM clients WHERE id = 1",
        "UPDATE clients SET id = 2 WHERE id = 1",
        "INSERT INTO clients VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET id = 3",
        "TRUNCATE clients CASCADE",
        // By a key, and by a rule behind it.
        "DELETE FROM sales WHERE id = 1",
    ] {
        refused(&door, "analyst", sql, BILLS);
    }
    for sql in [
        "UPDATE clients SET name = 'b' WHERE id = 1",
        "INSERT INTO clients VALUES (7, 'a') ON CONFLICT (id) DO UPDATE SET name = 'c'",
        "DELETE FROM shops WHERE id = 1",
        "UPDATE sales SET id = 2 WHERE id = 1",
    ] {
        passes(&door, "analyst", sql);
    }
    refused(&door, "analyst", "TRUNCATE clients", "cannot truncate a table referenced");
    passes(&door, "free", "DELETE FROM clients WHERE id = 1");
}

#[test]
fn what_is_dropped_with_a_table_counts() {
    let door = door();
    let glance = "blocked_table (table: public.glance)";
    refused(&door, "analyst", "DROP TABLE seen_through CASCADE", glance);
    refused(&door, "analyst", "DROP VIEW between CASCADE", glance);
    // Without it the server keeps what others need.
    refused(&door, "analyst", "DROP TABLE seen_through", "must be owner");
}

#[test]
fn a_body_finds_its_arguments_wherever_they_stand() {
    let door = door();
    passes(&door, "analyst", "SELECT add_note(1, 'x')");
    passes(&door, "analyst", "SELECT move_note(1, 'x')");
}

#[test]
fn what_changes_besides_a_column_counts() {
    let door = door();
    for sql in [
        "UPDATE steady SET base = 2",
        "UPDATE moved SET part = 2 WHERE id = 1",
        "WITH x AS (UPDATE child SET note = 'z' RETURNING 1) UPDATE parent SET price = 3",
        "UPDATE parent SET price = 3",
        "DELETE FROM one WHERE one = 1",
    ] {
        refused(&door, "analyst", sql, "unknown_columns:public.log_it");
    }
    refused(&door, "analyst", "UPDATE made SET base = 3", BILLS);
    refused(
        &door,
        "analyst",
        "UPDATE copied SET note = 'n' WHERE id = 1",
        "column_not_allowed:secret (table: public.copied)",
    );
    for sql in [
        "UPDATE steady SET note = 'x'",
        "UPDATE made SET note = 'x'",
        "UPDATE parent SET note = 'x'",
        "DELETE FROM moved WHERE id = 1",
        "INSERT INTO copied (id, note) VALUES (1, 'x')",
        "SELECT one FROM one",
    ] {
        passes(&door, "analyst", sql);
    }
}

#[test]
fn settings_are_not_set_through_a_view() {
    let door = door();
    for who in ["analyst", "free"] {
        for sql in [
            "UPDATE shown SET setting = 'off' WHERE name = 'standard_conforming_strings'",
            "CREATE TEMP VIEW own AS SELECT * FROM pg_settings",
        ] {
            let said = door.psql(&format!("agent:{who}"), &["-c", sql]);
            assert!(said.err.contains("BLOCKED"), "{who}: {sql}: {said:?}");
        }
        passes(&door, who, "SELECT setting FROM shown WHERE name = 'work_mem'");
        passes(&door, who, "CREATE TEMP VIEW own AS SELECT id FROM products");
    }
}

#[test]
fn what_an_aggregate_or_an_operator_calls_counts() {
    let door = door();
    refused(&door, "wary", "SELECT total(id) FROM products", "function_not_allowed:public.counts");
    refused(
        &door,
        "wary",
        "SELECT ~## 5::bigint",
        "function_not_allowed:pg_catalog.pg_advisory_lock",
    );
    for who in ["wary", "analyst", "free"] {
        refused(
            &door,
            who,
            "SELECT OPERATOR(public.###) '/etc/hostname'",
            "blocked_function:pg_read_file",
        );
        passes(&door, who, "SELECT 1 OPERATOR(public.%+%) 2");
    }
    for who in ["free", "listed"] {
        passes(&door, who, "SELECT total(id) FROM products");
    }
    refused(&door, "listed", "SELECT counts(1, 2)", "function_not_allowed:public.counts");
}

#[test]
fn a_schema_is_not_renamed_from_under_a_rule() {
    let door = door();
    for (sql, reason) in [
        ("ALTER SCHEMA vault RENAME TO open", "blocked_table (table: vault.secrets)"),
        ("DROP SCHEMA vault CASCADE", "unrecognized_operation"),
    ] {
        refused(&door, "analyst", sql, reason);
        let said = door.psql("agent:free", &["-c", sql]);
        assert!(said.err.contains("must be owner"), "{said:?}");
    }
    refused(
        &door,
        "wary",
        "ALTER FUNCTION counts(int, int) RENAME TO other",
        "function_not_allowed:public.counts",
    );
    let said = door.psql("agent:wary", &["-c", "ALTER FUNCTION pure(int) RENAME TO other"]);
    assert!(said.err.contains("must be owner"), "{said:?}");
}
