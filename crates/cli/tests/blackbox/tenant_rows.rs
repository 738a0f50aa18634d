//! Rows of another tenant by way of what looks like the own tenant's: shifted rows, rows that move, values
//! that are read as another type, and names of PostgreSQL's own that are somebody's.

use testkit::wire::{bind, execute, parse, sync, tags};

use crate::bodies::{door_after, passes, refused};
use crate::bound_tenants::bound;
use crate::kit::{Door, Said};

const POLICY: &str = r#"
version: "2"
agents:
  ten: {tenant: acme}
  number: {tenant: "12594"}
  fit: {tenant: acme, functions: {allow: [current_setting, "pg_catalog.*", "other.*", "public.*"]}}
functions: [current_setting]
tenancy: {column: tenant_id, tenant_global_tables: [products], setting: app.tenant_id}
"#;

const TABLES: &str = "
DO $do$ BEGIN EXECUTE format('ALTER ROLE app IN DATABASE %I SET app.tenant_id = %L', current_database(), 'acme'); END $do$;
CREATE TABLE lines (id serial PRIMARY KEY, tenant_id text, v text);
CREATE TABLE uu (id int PRIMARY KEY, tenant_id text, v text);
CREATE TABLE intt (tenant_id int, v text);
CREATE TABLE vv (tenant_id varchar, v text);
INSERT INTO lines (tenant_id, v) VALUES ('acme', 'own'), ('globex', 'theirs'), ('a', 'of a');
INSERT INTO uu VALUES (1, 'acme', 'own'), (2, 'globex', 'theirs');
INSERT INTO intt VALUES (12594, 'own'), (12, 'theirs');
INSERT INTO vv VALUES ('acme', 'own'), ('globex', 'theirs');
CREATE SCHEMA other;
CREATE FUNCTION other.current_setting(text) RETURNS text LANGUAGE sql AS $$SELECT 'globex'$$;
CREATE DOMAIN other.text AS \"char\";
CREATE FUNCTION other.same(text, text) RETURNS bool LANGUAGE sql AS 'SELECT true';
CREATE SCHEMA same;
CREATE OPERATOR same.= (LEFTARG = text, RIGHTARG = text, FUNCTION = other.same);
CREATE SCHEMA apart;
GRANT USAGE ON SCHEMA other, same, apart TO app;
CREATE FUNCTION own_orders() RETURNS bigint LANGUAGE sql
  AS $$SELECT count(*) FROM lines WHERE tenant_id = pg_catalog.current_setting('app.tenant_id')$$;
CREATE FUNCTION pathed_orders() RETURNS bigint LANGUAGE sql SET search_path = public
  AS $$SELECT count(*) FROM lines WHERE tenant_id = current_setting('app.tenant_id')$$;
CREATE FUNCTION their_orders() RETURNS bigint LANGUAGE sql SET app.tenant_id = 'globex'
  AS $$SELECT count(*) FROM lines WHERE tenant_id = pg_catalog.current_setting('app.tenant_id')$$;
CREATE FUNCTION both_orders() RETURNS bigint LANGUAGE sql SET app.tenant_id = 'globex' SET search_path = public
  AS $$SELECT count(*) FROM lines WHERE tenant_id = pg_catalog.current_setting('app.tenant_id')$$;
GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app;
";

fn door() -> Door {
    door_after(TABLES, POLICY, "ten")
}

fn stray(door: &Door, list: &[&str]) {
    for sql in list {
        refused(door, "ten", sql, "tenant_violation");
    }
}

fn keep(door: &Door, list: &[&str]) {
    for sql in list {
        passes(door, "ten", sql);
    }
}

/// Two rows whose places are not what they seem.
const SHIFTED: &[&str] = &[
    "SELECT o.* FROM lines o, (SELECT 1 a, 'acme'::text b) x, LATERAL (SELECT o.tenant_id t, 1 one) y \
     WHERE ROW(x.*, o.tenant_id, 1) = ROW(1, 'acme', y.*)",
    "SELECT o.* FROM lines o, (SELECT 1 a, 'acme'::text b) x, LATERAL (SELECT o.tenant_id t, 1 one) y \
     WHERE ROW(x.*, o.tenant_id, 1) IN (ROW(1, 'acme', y.*))",
    "SELECT o.* FROM lines o, (SELECT 1 a, 'acme'::text b) x, LATERAL (SELECT o.tenant_id t, 1 one) y \
     WHERE NOT ROW(x.*, o.tenant_id, 1) <> ROW(1, 'acme', y.*)",
    "SELECT o.* FROM lines o, (SELECT 1 a, 'acme'::text b) x, LATERAL (SELECT o.tenant_id t, 1 one) y \
     WHERE ROW((x).*, o.tenant_id, 1) = ROW(1, 'acme', (y).*)",
    "SELECT o.* FROM lines o, (SELECT 1 a, 'acme'::text b) x, LATERAL (SELECT o.tenant_id t, 1 one) y \
     WHERE ROW(x.*, o.tenant_id, 1) = ANY (ARRAY[ROW(1, 'acme', y.*)])",
];

#[test]
fn a_star_in_a_row_leaves_no_pair_certain() {
    let door = door();
    stray(&door, SHIFTED);
    keep(
        &door,
        &[
            "SELECT o.* FROM lines o WHERE ROW(o.tenant_id, 1) = ROW('acme', 1)",
            "SELECT o.* FROM lines o WHERE (o.id, o.tenant_id) IN ((1, 'acme'), (2, 'acme'))",
            "SELECT x.* FROM lines o, (SELECT 1 a) x WHERE ROW(x.a, o.tenant_id) = ROW(1, 'acme')",
        ],
    );
}

#[test]
fn a_star_in_a_row_leaves_no_pair_certain_without_a_catalog() {
    let policy = POLICY
        .replace("tenant_global_tables: [products]", "tenant_global_tables: [products, users]");
    let door = Door::with(&policy, &[]);
    door.direct(TABLES);
    stray(&door, SHIFTED);
    stray(&door, &["SELECT v FROM lines WHERE tenant_id = 'acme'::varchar::other.text"]);
    keep(&door, &["SELECT v FROM lines o WHERE ROW(o.tenant_id, 1) = ROW('acme', 1)"]);
}

#[test]
fn a_row_does_not_move_to_another_tenant() {
    let door = door();
    let merge = |rest: &str| {
        format!(
            "MERGE INTO uu u USING (VALUES (1)) s(id) ON u.id = s.id AND u.tenant_id = 'acme' \
             WHEN MATCHED THEN UPDATE SET {rest}"
        )
    };
    let moves: Vec<String> = [
        "tenant_id = 'globex', v = 'x'",
        "v = 'x', tenant_id = 'globex'",
        "(tenant_id, v) = ('globex', 'x')",
        "tenant_id = DEFAULT",
        "tenant_id = u.v",
    ]
    .map(merge)
    .into();
    stray(&door, &moves.iter().map(String::as_str).collect::<Vec<_>>());
    stray(
        &door,
        &[
            "UPDATE uu SET (tenant_id, v) = ('globex', 'x') WHERE tenant_id = 'acme'",
            "UPDATE uu SET (tenant_id, v) = (SELECT 'globex', 'x') WHERE tenant_id = 'acme'",
            "INSERT INTO uu VALUES (1, 'acme', 'x') ON CONFLICT (id) DO UPDATE SET tenant_id = 'globex' WHERE uu.tenant_id = 'acme'",
            "INSERT INTO uu VALUES (1, 'acme', 'x') ON CONFLICT (id) DO UPDATE SET (v, tenant_id) = ('x', 'globex') WHERE uu.tenant_id = 'acme'",
            "MERGE INTO uu u USING (VALUES (1)) s(id) ON u.id = s.id AND u.tenant_id = 'acme' \
             WHEN MATCHED AND u.v = 'y' THEN UPDATE SET v = 'x' WHEN MATCHED THEN UPDATE SET tenant_id = 'globex'",
        ],
    );
    let own = merge("tenant_id = 'acme', v = 'y'");
    keep(
        &door,
        &[
            &own,
            &merge("v = 'z'"),
            "UPDATE uu SET tenant_id = 'acme', v = 'x' WHERE tenant_id = 'acme'",
            "INSERT INTO uu VALUES (1, 'acme', 'x') ON CONFLICT (id) DO UPDATE SET v = 'w', tenant_id = 'acme' WHERE uu.tenant_id = 'acme'",
        ],
    );
    let whose = door.direct("SELECT tenant_id, v FROM uu ORDER BY id");
    assert!(whose.contains("acme") && whose.contains("globex"), "{whose}");
}

/// What comes of a statement with one value.
fn answer(door: &Door, question: (&str, &[u32]), value: &[u8], binary: bool) -> String {
    bound(door, "agent:number", question, value, binary)
}

#[test]
fn a_parameter_under_a_cast_is_read_as_what_the_cast_makes_of_it() {
    let door = door();
    let one = |condition: &str| format!("SELECT v FROM intt WHERE tenant_id = {condition}");
    let number = 12594_i32.to_be_bytes();
    // `12` as text is 12594 as a number of two bytes.
    for condition in
        ["$1::text::int4", "$1::varchar::int8", "(SELECT $1)::int4", "(SELECT $1)::text::int4"]
    {
        let sql = one(condition);
        for types in [&[][..], &[25], &[705], &[0]] {
            let said = answer(&door, (&sql, types), b"12", true);
            assert_eq!(said, "1 E(42501) Z(I)", "{sql} {types:?}");
            let said = answer(&door, (&sql, types), b"12", false);
            assert_eq!(said, "1 E(42501) Z(I)", "{sql} {types:?}");
        }
        assert_eq!(answer(&door, (&sql, &[]), b"12594", false), "own", "{sql}");
        assert_eq!(answer(&door, (&sql, &[]), b"12594", true), "own", "{sql}");
    }
    for condition in ["$1", "$1::int4", "$1::int4::int4"] {
        let sql = one(condition);
        for types in [&[][..], &[23]] {
            assert_eq!(answer(&door, (&sql, types), &number, true), "own", "{sql} {types:?}");
            assert_eq!(answer(&door, (&sql, types), b"12594", false), "own", "{sql} {types:?}");
        }
    }
    // Two readings of one value.
    let both =
        "SELECT a.v FROM intt a, intt b WHERE a.tenant_id = $1 AND b.tenant_id = $1::text::int4";
    assert_eq!(answer(&door, (both, &[]), b"12", true), "1 E(42501) Z(I)");
}

#[test]
fn a_parameter_of_type_unknown_is_not_declared() {
    let door = door();
    // The first place that gives it a type makes `a` of `acme`.
    let sql = "SELECT v, $1::\"char\" FROM lines WHERE tenant_id = $1";
    let plain = "SELECT v FROM lines WHERE tenant_id = $1";
    for (sql, types, said) in [
        (sql, 705_u32, "1 E(42501) Z(I)"),
        (sql, 0, "1 E(42501) Z(I)"),
        (plain, 705, "own"),
        (plain, 25, "own"),
    ] {
        let mut wire = door.wire("agent:ten");
        wire.send(
            &[parse("", sql, &[types]), bind("", "", &["acme"]), execute("", 0), sync()].concat(),
        )
        .unwrap();
        let frames = wire.until_ready().unwrap();
        let row = frames.iter().find(|frame| frame.tag == b'D').map(|frame| frame.row().join(","));
        assert_eq!(row.unwrap_or_else(|| tags(&frames)), said, "{sql} {types}");
    }
}

/// What the last of these statements gives, all in one session.
fn under(door: &Door, path: &str, sql: &str) -> Said {
    door.psql("agent:fit", &["-c", &format!("SET search_path = {path}"), "-c", sql])
}

#[test]
fn names_of_postgresqls_own_are_believed_where_they_can_be_nobody_elses() {
    let door = door();
    let setting = "SELECT v FROM public.lines WHERE tenant_id = current_setting('app.tenant_id')";
    let text = "SELECT v FROM public.lines WHERE tenant_id = 'acme'::text";
    let cast = "SELECT v FROM public.lines WHERE tenant_id::text = 'acme'";
    let array = "SELECT v FROM public.lines WHERE tenant_id = ANY ('{acme}'::text[])";
    let plain = "SELECT v FROM public.vv WHERE tenant_id = 'acme'";
    for (path, sql) in [
        ("other, pg_catalog", setting),
        ("pg_catalog, other", setting),
        ("other", setting),
        ("other, pg_catalog", text),
        ("other, pg_catalog", cast),
        ("other, pg_catalog", array),
        ("public, pg_catalog", "SELECT v FROM lines WHERE tenant_id = 'acme'::other.text"),
        (
            "public, pg_catalog",
            "SELECT v FROM lines WHERE tenant_id = ANY ('{acme}'::other.text[])",
        ),
        (
            "public, pg_catalog",
            "SELECT v FROM lines WHERE tenant_id = other.current_setting('app.tenant_id')",
        ),
        ("same, pg_catalog", plain),
    ] {
        let said = under(&door, path, sql);
        assert!(said.code == 1 && said.err.contains("tenant_violation"), "{path}: {sql}: {said:?}");
    }
    let alike = setting.replace("current_setting", "pg_catalog.current_setting");
    for (path, sql) in [
        ("public", setting),
        ("apart, pg_catalog", setting),
        ("other, pg_catalog", &alike),
        ("public", text),
        ("pg_catalog, other", text),
        ("other", cast),
        ("apart, pg_catalog", array),
        (
            "other, pg_catalog",
            "SELECT v FROM public.lines WHERE tenant_id = 'acme'::pg_catalog.text",
        ),
        ("public, pg_catalog", plain),
        ("public", "SELECT v FROM lines WHERE tenant_id = ANY (ARRAY['acme']::text[])"),
        ("public", "SELECT v FROM lines WHERE tenant_id = ANY (ARRAY['acme'::text]::varchar[])"),
    ] {
        let said = under(&door, path, sql);
        assert_eq!(said.code, 0, "{path}: {sql}: {said:?}");
    }
    stray(
        &door,
        &[
            "SELECT v FROM lines WHERE tenant_id = ANY (ARRAY['acme', 'globex']::text[])",
            "SELECT v FROM lines WHERE tenant_id = ANY (ARRAY[]::text[])",
            "SELECT v FROM lines WHERE tenant_id = ANY (ARRAY['acme']::varchar(1)[])",
            "SELECT v FROM intt WHERE tenant_id::text = ANY (ARRAY['acme']::int4[]::text[])",
        ],
    );
}

#[test]
fn a_function_under_a_setting_of_its_own_is_not_bound_by_it() {
    let door = door();
    for sql in ["SELECT their_orders()", "SELECT both_orders()"] {
        let said = door.psql("agent:ten", &["-c", sql]);
        assert!(said.code == 1 && said.err.contains("42501"), "{sql}: {said:?}");
    }
    for sql in ["SELECT own_orders()", "SELECT pathed_orders()"] {
        let said = door.psql("agent:ten", &["-c", sql]);
        assert_eq!((said.code, said.out.as_str()), (0, "1\n"), "{sql}: {said:?}");
    }
}
