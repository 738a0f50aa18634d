//! Servers of other versions: what is built in is what they have, what they read as calls counts as
//! calls, and one that nobody knows is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use sql::catalog::{Function, Oid, Operator, Relation, Snapshot, Type, TypeKind, built_in};
use testkit::{Options, PgBox};

use crate::kit::{Door, binary, database, said, server};

const POLICY: &str = r#"
version: "2"
agents:
  narrow:
    functions: {allow: [lower, count, now, version, json_array, "pg_catalog.*"]}
  columns:
    columns:
      pg_catalog.pg_authid: {deny: [rolpassword]}
  names:
    blocked_tables: [pg_authid]
"#;

/// The oldest server that is supported.
fn oldest() -> &'static PgBox {
    static SERVER: OnceLock<PgBox> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = PgBox::start(&Options { version: Some(14), ..Options::default() }).unwrap();
        server
            .admin(
                "postgres",
                "CREATE ROLE app LOGIN PASSWORD 'only-for-tests'; \
                 CREATE TABLE t (id int, name text, system_user text); \
                 INSERT INTO t VALUES (1, 'Ann', 'secret'); GRANT ALL ON t TO app",
            )
            .unwrap();
        server
    })
}

fn dump(server: &PgBox) -> Snapshot {
    let dsn = server.conn_string("postgres");
    let dumped =
        said(Command::new(binary()).args(["catalog", "dump", "-o", "-", "--dsn", dsn.as_str()]));
    assert_eq!(dumped.code, 0, "{dumped:?}");
    serde_json::from_str(&dumped.out).unwrap()
}

/// Every row of `pg_catalog` and `information_schema`, with names in place of the OIDs that differ
/// from build to build.
fn rows(snapshot: &Snapshot) -> BTreeSet<String> {
    let system = |schema: &str| matches!(schema, "pg_catalog" | "information_schema");
    let named = Named::new(snapshot);
    let mut rows = BTreeSet::new();
    rows.extend(snapshot.types.iter().filter(|one| system(&one.schema)).map(|one| named.kind(one)));
    let relations = snapshot.relations.iter().filter(|one| system(&one.schema));
    rows.extend(relations.map(|one| named.relation(one)));
    let functions = snapshot.functions.iter().filter(|one| system(&one.schema));
    rows.extend(functions.map(|one| named.function(one)));
    let operators = snapshot.operators.iter().filter(|one| system(&one.schema));
    rows.extend(operators.map(|one| named.operator(one)));
    rows.extend(snapshot.casts.iter().map(|one| {
        let (source, target) = (named.of(one.source), named.of(one.target));
        format!("cast {source} {target} {} {:?}", one.function, one.context)
    }));
    rows
}

/// What is the same on every server keeps its OID.
const fn fixed(oid: Oid) -> Oid {
    if oid < 10_000 { oid } else { 0 }
}

struct Named<'a> {
    types: BTreeMap<Oid, String>,
    relations: BTreeMap<Oid, &'a str>,
}

impl<'a> Named<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let types = snapshot.types.iter();
        let relations = snapshot.relations.iter();
        Self {
            types: types.map(|one| (one.oid, format!("{}.{}", one.schema, one.name))).collect(),
            relations: relations.map(|one| (one.oid, &*one.name)).collect(),
        }
    }

    fn of(&self, oid: Oid) -> &str {
        self.types.get(&oid).map_or("", String::as_str)
    }

    fn kind(&self, one: &Type) -> String {
        let kind = match one.kind {
            TypeKind::Composite(oid) => format!("row of {}", self.relations[&oid]),
            TypeKind::Domain(base) => format!("domain over {}", self.of(base)),
            TypeKind::Base
            | TypeKind::Enum
            | TypeKind::Range
            | TypeKind::Multirange
            | TypeKind::Pseudo => format!("{:?}", one.kind),
        };
        let (oid, name, element) = (fixed(one.oid), self.of(one.oid), self.of(one.element));
        let rest = format!("{} {} {element} {:?}", one.category, one.preferred, one.functions);
        format!("type {oid} {name} {kind} {rest}")
    }

    fn relation(&self, one: &Relation) -> String {
        let columns = one.columns.iter().map(|column| {
            let kind = self.of(column.type_oid);
            format!("{}:{}:{kind}:{}", column.number, column.name, column.not_null)
        });
        let columns: Vec<String> = columns.collect();
        let definition = one.definition.as_deref().unwrap_or_default();
        let words: Vec<&str> = definition.split_whitespace().collect();
        let (oid, row, text) = (fixed(one.oid), self.of(one.row_type), words.join(" "));
        let kind = format!("{:?} {}", one.kind, one.has_rules);
        format!("relation {oid} {}.{} {kind} {row} {columns:?} {text}", one.schema, one.name)
    }

    fn function(&self, one: &Function) -> String {
        let arguments: Vec<&str> = one.arguments.iter().map(|oid| self.of(*oid)).collect();
        let outputs = one.outputs.iter().map(|(name, kind)| format!("{name}:{}", self.of(*kind)));
        let outputs: Vec<String> = outputs.collect();
        let returns = format!("{} {} {outputs:?}", self.of(one.returns), one.returns_set);
        let how = format!("{:?} {} {}", one.volatility, one.language, one.security_definer);
        let takes = format!("{arguments:?} {} {}", one.defaults, one.variadic);
        let name = format!("{} {}.{}", fixed(one.oid), one.schema, one.name);
        format!("function {name} {:?} {takes} {returns} {how}", one.kind)
    }

    fn operator(&self, one: &Operator) -> String {
        let (left, right, result) = (self.of(one.left), self.of(one.right), self.of(one.result));
        format!("operator {} {} {left} {right} {result} {}", one.oid, one.name, one.function)
    }
}

#[test]
fn what_is_built_in_is_what_the_server_has() {
    for server in [oldest(), server()] {
        let theirs = dump(server);
        let major = u16::try_from(theirs.server_version / 10_000).unwrap();
        let ours = rows(built_in(major).unwrap().snapshot());
        let theirs = rows(&theirs);
        let missing: Vec<&String> = theirs.difference(&ours).take(5).collect();
        let invented: Vec<&String> = ours.difference(&theirs).take(5).collect();
        assert!(missing.is_empty() && invented.is_empty(), "{major}: {missing:?} {invented:?}");
        assert!(ours.len() > 5_000, "{major}");
    }
}

/// What psql is told, as somebody.
#[track_caller]
fn refused(door: &Door, who: &str, sql: &str, reason: &str) {
    let told = door.psql(who, &["-c", sql]);
    assert!(told.err.contains(reason), "{sql}: {told:?}");
    assert_eq!((told.code, told.out.as_str()), (1, ""), "{sql}");
}

#[track_caller]
fn passes(door: &Door, who: &str, sql: &str) {
    let told = door.psql(who, &["-c", sql]);
    assert_eq!((told.code, told.err.as_str()), (0, ""), "{sql}");
}

#[test]
fn without_a_catalog_only_what_is_certain_passes_a_list_of_functions() {
    let door = Door::with(POLICY, &[]);
    let who = "agent:narrow";
    for sql in [
        "SELECT now(), version()",
        "SELECT count(*) FROM feedback",
        "SELECT pg_catalog.lower(comment) FROM feedback WHERE id OPERATOR(pg_catalog.=) 1",
        "SELECT comment FROM feedback ORDER BY id",
        "SET work_mem = '1MB'",
    ] {
        passes(&door, who, sql);
    }
    for sql in [
        "SELECT lower(comment) FROM feedback",
        "SELECT id FROM feedback WHERE id = 1",
        "SELECT f.lower FROM feedback f",
    ] {
        refused(&door, who, sql, "unknown_functions:no_catalog");
    }
    refused(&door, who, "SELECT lower(comment) FROM feedback", "OPERATOR(pg_catalog.=)");
    drop(door);
    let vouched = Door::with(&format!("bare_names: built_in\n{POLICY}"), &[]);
    passes(&vouched, who, "SELECT lower(comment) FROM feedback WHERE id = 1");
    refused(&vouched, who, "SELECT mine(comment) FROM feedback", "unknown_functions:no_catalog");
    // Whoever defines something may have made a namesake.
    let both = ["-c", "CREATE TABLE own (a int)", "-c", "SELECT lower(comment) FROM feedback"];
    let told = vouched.psql(who, &both);
    assert!(told.err.contains("unknown_functions:no_catalog"), "{told:?}");
}

/// The rules of docs/decisions/0014-names-without-a-catalog.md, on the server itself.
#[test]
fn a_better_fit_wins_over_an_earlier_schema_and_an_equal_one_does_not() {
    let database = database();
    let ask = |sql: &str| server().admin(&database, sql).unwrap().trim().to_owned();
    ask("CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE sql AS $$SELECT 'mine'$$; \
         CREATE FUNCTION public.version() RETURNS text LANGUAGE sql AS $$SELECT 'mine'$$; \
         CREATE FUNCTION public.now(int DEFAULT 1) RETURNS text LANGUAGE sql AS $$SELECT 'mine'$$; \
         CREATE FUNCTION public.pi(VARIADIC int[] DEFAULT '{}') RETURNS text LANGUAGE sql AS $$SELECT 'mine'$$; \
         CREATE FUNCTION public.less(varchar, varchar) RETURNS bool LANGUAGE sql AS $$SELECT false$$; \
         CREATE OPERATOR public.< (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.less); \
         CREATE DOMAIN public.text AS int");
    // The twin of each names the schema, or leaves no choice.
    assert_eq!(ask("SELECT lower('A'::varchar)"), "mine");
    assert_eq!(ask("SELECT pg_catalog.lower('A'::varchar)"), "a");
    assert_eq!(ask("SET search_path = pg_catalog; SELECT lower('A'::varchar)"), "a");
    assert_eq!(ask("SELECT 'a'::varchar < 'b'::varchar"), "f");
    assert_eq!(ask("SELECT 'a'::varchar OPERATOR(pg_catalog.<) 'b'::varchar"), "t");
    for call in ["version()", "now()", "pi()"] {
        assert_ne!(ask(&format!("SELECT {call}")), "mine", "{call}");
    }
    assert_eq!(ask("SET search_path = public, pg_catalog; SELECT version()"), "mine");
    assert_eq!(ask("SELECT pg_typeof('x'::text)"), "text", "pg_catalog stands first");
    // Functions and operators are never looked for among temporary objects.
    let temporary = "CREATE FUNCTION pg_temp.upper(varchar) RETURNS text LANGUAGE sql \
                     AS $$SELECT 'mine'$$; SELECT upper('a'::varchar)";
    assert_eq!(ask(temporary), "A");
}

#[test]
fn system_relations_are_seen_through_without_a_catalog() {
    let door = Door::with(POLICY, &[]);
    refused(&door, "agent:columns", "SELECT * FROM pg_shadow", "column_not_allowed");
    refused(&door, "agent:columns", "SELECT passwd FROM pg_user, pg_shadow", "column_not_allowed");
    passes(&door, "agent:columns", "SELECT usename FROM pg_user");
    passes(&door, "agent:columns", "SELECT table_name FROM information_schema.tables LIMIT 1");
    refused(&door, "agent:columns", "SELECT id FROM feedback", "unknown_columns:no_catalog");
    refused(&door, "agent:names", "SELECT usename FROM pg_shadow", "blocked_table");
    passes(&door, "agent:names", "SELECT relname FROM pg_class LIMIT 1");
}

/// Forms of the newest grammar that an older server reads as calls of what somebody made: their
/// arguments, and a call of each.
const FORMS: &[(&str, &str, &str)] = &[
    ("json_array", "int, int", "json_array(1, 2)"),
    ("json_arrayagg", "int", "json_arrayagg(1)"),
    ("json_object", "text", "json_object('a'::text)"),
    ("json_scalar", "int", "json_scalar(1)"),
    ("json_serialize", "text", "json_serialize('1'::text)"),
    ("json_exists", "text, text", "json_exists('1'::text, '$'::text)"),
    ("json_value", "text, text", "json_value('1'::text, '$'::text)"),
    ("json_query", "text, text", "json_query('1'::text, '$'::text)"),
    ("json", "int", "json(1)"),
    ("merge_action", "", "merge_action()"),
];

#[test]
fn an_older_server_calls_what_the_grammar_made_a_form() {
    let old = oldest();
    for (name, arguments, call) in FORMS {
        let make = format!(
            "CREATE FUNCTION public.{name}({arguments}) RETURNS text IMMUTABLE LANGUAGE sql AS $$SELECT 'mine'$$"
        );
        old.admin("postgres", &make).unwrap();
        // It is so: the server runs the function of somebody's.
        assert_eq!(old.admin("postgres", &format!("SELECT {call}")).unwrap().trim(), "mine");
    }
    let database = || "postgres".to_owned();
    let allowed: Vec<String> = FORMS.iter().map(|(name, ..)| format!("public.{name}")).collect();
    let policy = format!(
        "agents:\n  narrow:\n    functions: {{allow: [\"pg_catalog.*\"]}}\n  \
         wide:\n    functions: {{allow: [\"pg_catalog.*\", {}]}}\n  \
         hidden:\n    columns: {{public.t: {{deny: [system_user]}}}}\n",
        allowed.join(", ")
    );
    let blocking = format!("agents:\n  any: {{}}\nblocked_functions: [{}]\n", allowed.join(", "));
    let door = Door::before(old.port, database(), &blocking, &[]);
    for (_, _, call) in FORMS {
        refused(&door, "agent:any", &format!("SELECT {call}"), "blocked_function");
    }
    let seen = door.psql("agent:any", &["-c", "SELECT system_user FROM t"]);
    assert_eq!(seen.out.trim(), "secret", "it is a column to this server: {seen:?}");
    drop(door);
    let door = Door::before(old.port, database(), &policy, &[]);
    for (_, _, call) in FORMS {
        refused(&door, "agent:narrow", &format!("SELECT {call}"), "unknown_functions:no_catalog");
    }
    passes(&door, "agent:narrow", "SELECT pg_catalog.json_build_array(1, 2)");
    drop(door);
    // With a catalog the calls have names.
    let dsn = old.conn_string("postgres");
    let door = Door::before(old.port, database(), &policy, &["--catalog-dsn", &dsn]);
    let loaded = || door.psql("agent:hidden", &["-c", "SELECT id FROM t"]).code == 0;
    assert!(crate::kit::eventually(std::time::Duration::from_secs(20), loaded));
    for (name, _, call) in FORMS {
        let sql = format!("SELECT {call}");
        refused(&door, "agent:narrow", &sql, &format!("public.{name}"));
        passes(&door, "agent:wide", &sql);
    }
    refused(&door, "agent:hidden", "SELECT system_user FROM t", "column_not_allowed");
    passes(&door, "agent:hidden", "SELECT name FROM t");
}

/// Copies between a door and the server, which it makes tell another version.
fn pretending(port: u16, version: &'static str) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let place = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let upstream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (client_too, upstream_too) =
                (client.try_clone().unwrap(), upstream.try_clone().unwrap());
            thread::spawn(move || copy(client_too, upstream_too, None));
            thread::spawn(move || copy(upstream, client, Some(version)));
        }
    });
    place
}

/// The server flushes its whole greeting at once, so the version is in one piece.
fn copy(mut from: TcpStream, mut to: TcpStream, version: Option<&str>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let piece = &mut buffer[..count];
        let name = b"server_version\0";
        let found = piece.windows(name.len()).position(|window| window == name);
        if let (Some(at), Some(version)) = (found, version) {
            let start = at + name.len();
            piece[start..start + version.len()].copy_from_slice(version.as_bytes());
        }
        if to.write_all(piece).is_err() {
            break;
        }
    }
    drop(to.shutdown(std::net::Shutdown::Write));
}

#[test]
fn a_server_of_an_unknown_version_is_refused_unless_the_policy_accepts_it() {
    let agents = "agents:\n  any: {}\n";
    for (version, told) in [("13", "13"), ("19", "19"), ("x", "not told")] {
        let port = pretending(server().port, version);
        let door = Door::before(port, database(), agents, &[]);
        for sql in ["SELECT 1", "TABLE feedback", "SET work_mem = '1MB'"] {
            refused(&door, "agent:any", sql, "unsupported_server_version");
            refused(&door, "agent:any", sql, told);
        }
        // Nobody is locked inside a transaction.
        assert_eq!(door.psql("agent:any", &["-c", "ROLLBACK"]).code, 0);
        drop(door);
        let name = if version == "x" { "any" } else { version };
        let accepting = format!("accept_server_versions: [{name}]\n{agents}");
        let door = Door::before(port, database(), &accepting, &[]);
        passes(&door, "agent:any", "SELECT id FROM feedback");
    }
    let known = pretending(server().port, "18");
    let door = Door::before(known, database(), agents, &[]);
    passes(&door, "agent:any", "SELECT id FROM feedback");
}
