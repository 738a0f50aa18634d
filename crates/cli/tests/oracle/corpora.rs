//! Statements that people and programs wrote, from the corpora where they are laid out beside the
//! checkout: the server says itself which tables and columns each needs, until it takes the statement;
//! grants on those are random. What it still does not take is left out, and counted.
//!
//! `ORACLE_CORPORA` is how many statements are drawn.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use policy::Policy;
use testkit::wire::Frame;
use testkit::{PgBox, Random, Wire};

use crate::kinds::Statement;
use crate::server_side::Eve;
use crate::tally::{Compared, Tally};
use crate::world::World;
use crate::{catalog, judge, number, server};

/// Statements in one database.
const PER_DATABASE: usize = 60;

/// How often the server is asked what is missing.
const QUESTIONS: usize = 60;

const EXPLAINED: &[&str] = &["SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"];

#[test]
fn statements_of_the_corpora_need_what_the_server_says() {
    let count = usize::try_from(number("ORACLE_CORPORA", 150)).unwrap();
    let seed = number("ORACLE_SEED", 1);
    println!("ORACLE_SEED={seed} ORACLE_CORPORA={count}");
    let mut random = Random::new(seed);
    let mut texts = texts();
    if texts.is_empty() {
        println!("skipped: no corpora beside this checkout");
        return;
    }
    let server = server();
    let mut tally = Tally::default();
    let (mut drawn, mut taken) = (0, 0);
    for batch in 0.. {
        let mut some = Vec::new();
        while some.len() < PER_DATABASE && drawn < count && !texts.is_empty() {
            some.push(texts.swap_remove(random.below(texts.len())));
            drawn += 1;
        }
        if some.is_empty() {
            break;
        }
        taken += one_database(&server, (batch, &some), &mut random, &mut tally);
    }
    println!("{drawn} drawn, of which the server takes {taken}");
    tally.print();
    tally.check_holes();
    assert!(taken * 4 > drawn, "the server takes too few to show anything");
}

/// Plain statements of the corpora, each once.
fn texts() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora");
    let mut texts = BTreeSet::new();
    for file in ["sql_benign.jsonl", "sql_attacks.jsonl"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
        for line in text.lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let plain = row["stmt_types"].as_array().is_some_and(
                |all| matches!(all.as_slice(), [one] if EXPLAINED.contains(&one.as_str().unwrap_or(""))),
            );
            if let Some(sql) = row["sql"].as_str().filter(|_| plain) {
                texts.insert(sql.trim_end().trim_end_matches(';').to_owned());
            }
        }
    }
    texts.into_iter().collect()
}

fn one_database(
    server: &PgBox,
    (batch, texts): (usize, &[String]),
    random: &mut Random,
    tally: &mut Tally,
) -> usize {
    let database = format!("c{batch}");
    server.create_database(&database).unwrap();
    let mut maker = Maker::new(server, &database);
    let mut valid = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        if maker.make(&format!("s{at}"), text) {
            valid.push((format!("s{at}"), text));
        }
    }
    let (grants, policy) = maker.grants(random);
    maker.run(&grants);
    let catalog = catalog(server, &database);
    let loaded = Policy::load("policy", &policy);
    let compiled = loaded.unwrap_or_else(|found| panic!("{found:?}\n{policy}")).policy;
    let mut eve = Eve::login(server.port, &database, &["public"]);
    let world = World { policy, ..World::default() };
    let none = BTreeSet::new();
    for (schema, text) in &valid {
        eve.moves_to(schema);
        let statement = Statement { run: None, ..Statement::plain((*text).clone()) };
        let oracle = eve.ask(&statement);
        let ours = judge(&catalog, &compiled, &[schema], text);
        tally.add(&Compared { world: &world, refused: &none, reaching: &none, text }, oracle, ours);
    }
    drop(eve);
    drop(maker);
    server.admin("postgres", &format!("DROP DATABASE {database} WITH (FORCE)")).unwrap();
    server.admin("postgres", "DROP ROLE eve").unwrap();
    valid.len()
}

/// Makes what statements name.
struct Maker(Wire);

impl Maker {
    fn new(server: &PgBox, database: &str) -> Self {
        let mut maker = Self(server.wire(database).unwrap());
        maker.run("CREATE ROLE eve LOGIN; SET client_min_messages = error");
        maker
    }

    fn run(&mut self, sql: &str) -> Option<Frame> {
        let answer = self.0.query(sql).unwrap();
        answer.into_iter().find(|frame| frame.tag == b'E')
    }

    /// Whether the server takes a statement in the end.
    fn make(&mut self, schema: &str, text: &str) -> bool {
        self.run(&format!(
            "CREATE SCHEMA {schema}; SET search_path = {schema}; SET statement_timeout = '2s'"
        ));
        let mut first = None;
        let mut before = String::new();
        for _ in 0..QUESTIONS {
            let Some(error) = self.run(&format!("EXPLAIN {text}")) else { return true };
            let said = error.field(b'M').unwrap_or_default();
            let place = error.field(b'P').and_then(|place| place.parse().ok()).unwrap_or(1_usize);
            let place = place.saturating_sub("EXPLAIN ".len());
            let Some(mend) = mend((&error.sqlstate(), &said), (text, place), &mut first) else {
                return false;
            };
            if mend == before || self.run(&mend).is_some() {
                return false;
            }
            before = mend;
        }
        false
    }

    /// Random grants on all that was made, and the policy that says the same.
    fn grants(&mut self, random: &mut Random) -> (String, String) {
        let question = "SELECT n.nspname, c.relname, a.attname FROM pg_class c \
            JOIN pg_namespace n ON n.oid = c.relnamespace \
            LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
            WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|information_schema)' ORDER BY 1, 2, a.attnum";
        let answer = self.0.query(question).unwrap();
        let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut sql = String::new();
        for frame in answer.iter().filter(|frame| frame.tag == b'D') {
            let [schema, table, column] = frame.row().try_into().unwrap();
            writeln!(sql, "GRANT USAGE ON SCHEMA {schema} TO eve;").unwrap();
            tables.entry(format!("{schema}.{table}")).or_default().push(column);
        }
        let (mut listed, mut columns) = (String::new(), String::new());
        for (table, names) in &tables {
            if random.chance(55) {
                writeln!(sql, "GRANT ALL ON {table} TO eve;").unwrap();
                writeln!(listed, "          - {table}").unwrap();
            } else if random.chance(70) {
                let some: Vec<&str> =
                    names.iter().filter(|_| random.chance(80)).map(String::as_str).collect();
                if some.is_empty() || some == ["NULL"] {
                    continue;
                }
                let list = some.join(", ");
                writeln!(sql, "GRANT SELECT ({list}), INSERT ({list}), UPDATE ({list}) ON {table} TO eve; GRANT DELETE ON {table} TO eve;").unwrap();
                writeln!(listed, "          - {table}").unwrap();
                writeln!(columns, "      {table}: [{list}]").unwrap();
            }
        }
        let columns = if columns.is_empty() { columns } else { format!("    columns:\n{columns}") };
        let policy = format!(
            "version: \"2\"\nagents:\n  eve:\n    profile: permissive\n    missions:\n      m:\n        tables:\n          - pg_temp.*\n{listed}{columns}"
        );
        (sql, policy)
    }
}

/// What would make the server go further; nothing if nobody knows.
fn mend(
    (code, said): (&str, &str),
    (text, place): (&str, usize),
    first: &mut Option<String>,
) -> Option<String> {
    let quoted: Vec<&str> = said.split('"').skip(1).step_by(2).collect();
    match (code, quoted.as_slice()) {
        ("3F000", [schema]) if is_plain(schema) => Some(format!("CREATE SCHEMA {schema}")),
        ("42P01", [relation]) if relation.split('.').all(is_plain) && said.contains("relation") => {
            first.get_or_insert_with(|| (*relation).to_owned());
            Some(format!("CREATE TABLE {relation} ()"))
        }
        ("42703", [column, relation]) if is_plain(column) && is_plain(relation) => {
            let table = table_of(text, relation).unwrap_or_else(|| (*relation).to_owned());
            Some(added(&table, column))
        }
        ("42703", [column]) if is_plain(column) => Some(added(first.as_deref()?, column)),
        ("42703", []) => {
            let name = said.strip_prefix("column ")?.strip_suffix(" does not exist")?;
            let (alias, column) = name.rsplit_once('.')?;
            let known = is_plain(column) && is_plain(alias);
            known.then(|| table_of(text, alias).map(|table| added(&table, column))).flatten()
        }
        ("42883", []) => other_type(said, (text, place), first.as_deref()?),
        _ => None,
    }
}

fn added(table: &str, column: &str) -> String {
    format!("ALTER TABLE {table} ADD {column} {}", guess(column))
}

/// A column near the place gets the type that the server wants there.
fn other_type(said: &str, (text, place): (&str, usize), first: &str) -> Option<String> {
    let wanted = ["integer", "numeric", "timestamp", "date", "boolean"];
    let wanted = wanted.iter().find(|ty| said.contains(**ty)).unwrap_or(&"numeric");
    let at = text.char_indices().nth(place.saturating_sub(1)).map_or(0, |(at, _)| at);
    let (before, after) = text.split_at_checked(at)?;
    let is_operator = said.starts_with("operator");
    let names = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_alphanumeric() && !"_.".contains(c));
        words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
    };
    let word = if is_operator {
        names(before).pop()?
    } else {
        names(after.split_once('(')?.1).into_iter().next()?
    };
    let (table, column) = match word.rsplit_once('.') {
        Some((alias, column)) => (table_of(text, alias)?, column.to_owned()),
        None => (first.to_owned(), word),
    };
    let plain = is_plain(&column);
    plain.then(|| format!("ALTER TABLE {table} ALTER {column} TYPE {wanted} USING NULL"))
}

/// The table that an alias stands for.
fn table_of(text: &str, alias: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_alphanumeric() && !"_.".contains(c))
        .filter(|word| !word.is_empty())
        .collect();
    let starts = |word: &str| ["from", "join", "into", "update", "using"].contains(&word);
    for (at, word) in words.iter().enumerate().skip(1) {
        let table = match words.get(at - 1) {
            Some(&"as") => words.get(at.checked_sub(2)?),
            Some(other) if !starts(other) => Some(other),
            Some(_) | None => None,
        };
        if *word == alias
            && let Some(table) = table.filter(|table| table.split('.').all(is_plain))
        {
            return Some((*table).to_owned());
        }
    }
    words.contains(&alias).then(|| alias.to_owned())
}

fn is_plain(name: impl AsRef<str>) -> bool {
    let name = name.as_ref();
    name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !["user", "order", "group", "table", "desc", "end", "when", "limit", "offset", "all"]
            .contains(&name)
}

/// A type by a name.
fn guess(column: &str) -> &'static str {
    let has = |parts: &[&str]| parts.iter().any(|part| column.contains(part));
    if column.starts_with("is_") || column.starts_with("has_") {
        "boolean"
    } else if has(&["date", "_at", "time", "day"]) {
        "timestamp"
    } else if column.ends_with("id")
        || column.ends_with("_sk")
        || has(&["year", "age", "count", "qty", "quantity", "num", "size"])
    {
        "integer"
    } else if has(&[
        "price", "amount", "total", "salary", "cost", "balance", "rate", "revenue", "score", "tax",
    ]) {
        "numeric"
    } else {
        "text"
    }
}
