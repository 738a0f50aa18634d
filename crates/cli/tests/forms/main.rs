//! The page `docs/reference/forms.md` is its own test: every row's statement touches what the row says, by our
//! resolver, and, for queries and changes of rows, by the server: a role that is granted just these columns may
//! run it, and one that lacks any of them may not.
//!
//! `FORMS_WRITE=1` writes what our resolver says into the page, to be read before it is committed.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use model::{Access, ColumnRole, ColumnUse, Fact, SqlFacts};
use sql::catalog::Catalog;
use sql::{Context, Encoding, Known, SearchPaths};
use testkit::{Options, PgBox};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

/// One row of a table of the page.
#[derive(Debug)]
struct Row {
    line: usize,
    /// The major version that brought it; 0 for what all have.
    since: u32,
    statement: String,
    touches: String,
}

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/forms.md")
}

/// The page's schema, and its rows.
fn read(text: &str) -> (String, Vec<Row>) {
    let (mut schema, mut rows, mut in_schema) = (String::new(), Vec::new(), false);
    for (line, content) in text.lines().enumerate() {
        if content.starts_with("```") {
            in_schema = content == "```sql";
        } else if in_schema {
            schema.extend([content, "\n"]);
        } else if let Some(cells) =
            content.strip_prefix("| ").and_then(|rest| rest.strip_suffix(" |"))
        {
            let cells: Vec<&str> = cells.split(" | ").collect();
            if let [form, statement, touches] = cells.as_slice()
                && let Some(statement) =
                    statement.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'))
            {
                let statement = statement.replace("\\|", "|");
                let since = form
                    .rsplit_once('(')
                    .and_then(|(_, rest)| rest.trim_end_matches(')').parse().ok());
                let since = since.unwrap_or_default();
                rows.push(Row { line, since, statement, touches: (*touches).to_owned() });
            }
        }
    }
    (schema, rows)
}

/// What a statement touches, in the page's notation.
fn notation(facts: &SqlFacts) -> String {
    let columns = match &facts.columns {
        Fact::Known(columns) => columns,
        Fact::Unknown(why) => return format!("unknown: {why:?}"),
    };
    let mut by_relation: BTreeMap<(bool, String), BTreeMap<String, BTreeSet<&str>>> =
        BTreeMap::new();
    for used in columns {
        let name = if used.schema == "public" {
            used.relation.to_string()
        } else {
            format!("{}.{}", used.schema, used.relation)
        };
        let columns = by_relation.entry((used.reached, name)).or_default();
        match &used.column {
            Some(column) => {
                columns.entry(column.to_string()).or_default().insert(role(used.role));
            }
            None if used.role == ColumnRole::Write => {
                columns.entry("(rows)".to_owned()).or_default().insert("written");
            }
            None => {}
        }
    }
    let mut parts = Vec::new();
    for ((reached, name), columns) in by_relation {
        let mut part = if reached { format!("~{name}") } else { name };
        if !columns.is_empty() {
            part.push_str(": ");
        }
        let listed = columns.iter().map(|(column, roles)| {
            let roles: Vec<&str> = roles.iter().copied().collect();
            format!("{column} {}", roles.join("+"))
        });
        part.push_str(&listed.collect::<Vec<_>>().join(", "));
        parts.push(part);
    }
    for used in
        facts.relations.known().into_iter().flatten().filter(|used| used.access == Access::Define)
    {
        parts.push(format!("defines {}", used.relation.name));
    }
    if parts.is_empty() { "nothing".to_owned() } else { parts.join("; ") }
}

const fn role(role: ColumnRole) -> &'static str {
    match role {
        ColumnRole::Output => "out",
        ColumnRole::Filter => "filter",
        ColumnRole::Join => "join",
        ColumnRole::Order => "order",
        ColumnRole::Write => "written",
    }
}

fn facts(catalog: &Catalog, statement: &str) -> SqlFacts {
    let paths = [vec!["public".to_owned()]];
    let context = Context {
        search_paths: SearchPaths::Possible(&paths),
        encoding: Encoding::Utf8,
        standard_conforming_strings: true,
        catalog: Known::Catalog(catalog),
        tenant_column: None,
        timeline: None,
        role: None,
        server_major: Some(catalog.major()),
    };
    let analysis = sql::analyze(statement.as_bytes(), &context);
    if let Some(failure) = analysis.error() {
        panic!("{statement}: {}", failure.message);
    }
    // The last statement: those before it make what it names.
    let mut names: BTreeMap<(sql::NameKind, String), std::sync::Arc<SqlFacts>> = BTreeMap::new();
    let mut last = SqlFacts::of_nothing();
    for one in analysis.statements() {
        let lookup = |kind, name: &str| names.get(&(kind, name.to_owned())).cloned();
        last = one.facts(&lookup).into_owned();
        for effect in one.effects() {
            if let sql::Effect::Prepare { name, facts } = effect {
                names
                    .insert((sql::NameKind::Statement, name.clone()), std::sync::Arc::clone(facts));
            } else if let sql::Effect::Declare { name, facts, .. } = effect {
                names.insert((sql::NameKind::Cursor, name.clone()), std::sync::Arc::clone(facts));
            }
        }
    }
    last
}

/// Whether the server can be asked by EXPLAIN, which does not look into texts.
fn is_planned(statement: &str) -> bool {
    const TEXTS: &[&str] = &["'other.users'", "_to_xml(", "ts_stat(", "currval(", "nextval("];
    let word = statement.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    ["SELECT", "TABLE", "VALUES", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE"]
        .contains(&word.as_str())
        && !statement.contains(';')
        && !statement.contains(" INTO made")
        && !TEXTS.iter().any(|text| statement.contains(text))
}

/// A privilege: what, on which relation, on which column.
type Privilege = (&'static str, String, Option<String>);

/// What the server asks for, by our facts: what stands behind views is the owner's affair.
fn privileges(facts: &SqlFacts, statement: &str) -> Needed {
    let upper = statement.to_ascii_uppercase();
    let verbs: Vec<&'static str> =
        ["INSERT", "UPDATE"].into_iter().filter(|verb| upper.contains(verb)).collect();
    let mut needed = Needed::default();
    let mut by_relation: BTreeMap<String, Vec<&ColumnUse>> = BTreeMap::new();
    for used in facts.columns.known().into_iter().flatten().filter(|used| !used.reached) {
        by_relation.entry(format!("{}.{}", used.schema, used.relation)).or_default().push(used);
    }
    for (relation, uses) in by_relation {
        let stored =
            |used: &&ColumnUse| !SYSTEM.contains(&used.column.as_deref().unwrap_or("ctid"));
        let (written, read): (Vec<&ColumnUse>, Vec<&ColumnUse>) =
            uses.iter().copied().filter(stored).partition(|used| used.role == ColumnRole::Write);
        for used in &read {
            needed.exact.insert((
                "SELECT",
                relation.clone(),
                used.column.clone().map(String::from),
            ));
        }
        for (used, verb) in
            written.iter().flat_map(|used| verbs.iter().map(move |verb| (used, *verb)))
        {
            let privilege = (verb, relation.clone(), used.column.clone().map(String::from));
            // Of an INSERT that may UPDATE, which columns get what is not told apart.
            if verbs.len() == 1 {
                needed.exact.insert(privilege)
            } else {
                needed.loose.insert(privilege)
            };
            if upper.contains("EXCLUDED") {
                needed.loose.insert((
                    "SELECT",
                    relation.clone(),
                    used.column.clone().map(String::from),
                ));
            }
        }
        let any = |write: bool| {
            let is = |used: &&ColumnUse| {
                used.column.is_none() && (used.role == ColumnRole::Write) == write
            };
            uses.iter().any(is)
        };
        let system =
            |used: &&ColumnUse| SYSTEM.contains(&used.column.as_deref().unwrap_or_default());
        if uses.iter().any(system) {
            // They cannot be granted one by one.
            needed.exact.insert(("SELECT", relation.clone(), None));
        } else if any(false) && read.is_empty() && !any(true) {
            // Rows as such need one column, whichever.
            let column = if relation == "public.events" { "kind" } else { "id" };
            needed.exact.insert(("SELECT", relation.clone(), Some(column.to_owned())));
        }
        if any(true) && written.is_empty() {
            let verb = ["DELETE", "INSERT", "UPDATE"].into_iter().find(|verb| upper.contains(verb));
            needed.exact.extend(verb.map(|verb| (verb, relation.clone(), None)));
        } else if any(true) && upper.contains("DELETE") {
            needed.loose.insert(("DELETE", relation, None));
        }
    }
    needed
}

/// Columns that every table has.
const SYSTEM: &[&str] = &["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// Privileges that are needed, each of them; and those that are granted beside them.
#[derive(Debug, Default)]
struct Needed {
    exact: BTreeSet<Privilege>,
    loose: BTreeSet<Privilege>,
}

async fn as_role(client: &Client, statement: &str) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("SET ROLE reader").await.unwrap();
    let asked = client.batch_execute(&format!("EXPLAIN {statement}")).await;
    client.batch_execute("RESET ROLE").await.unwrap();
    asked
}

async fn change(client: &Client, verb: &str, privileges: impl Iterator<Item = &Privilege>) {
    let to = if verb == "GRANT" { "TO" } else { "FROM" };
    let mut text = String::new();
    for (what, relation, column) in privileges {
        let column = column.as_ref().map(|column| format!(" (\"{column}\")")).unwrap_or_default();
        write!(text, "{verb} {what}{column} ON {relation} {to} reader; ").unwrap();
    }
    client.batch_execute(&text).await.unwrap();
}

/// Whether just these privileges are what the server asks for.
async fn confirm(client: &Client, row: &Row, facts: &SqlFacts) -> Result<(), String> {
    let needed = privileges(facts, &row.statement);
    let loose = needed.loose.difference(&needed.exact);
    change(client, "GRANT", needed.exact.iter().chain(loose.clone())).await;
    let mut wrong = Vec::new();
    if let Err(error) = as_role(client, &row.statement).await {
        wrong.push(format!(
            "with these privileges: {}",
            error.as_db_error().map_or("?", |e| e.message())
        ));
    } else {
        for one in &needed.exact {
            change(client, "REVOKE", std::iter::once(one)).await;
            let missed = as_role(client, &row.statement).await;
            let refused =
                missed.is_err_and(|error| error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE));
            if !refused {
                wrong.push(format!("does not need {one:?}"));
            }
            change(client, "GRANT", std::iter::once(one)).await;
        }
    }
    change(client, "REVOKE", needed.exact.iter().chain(loose)).await;
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join(", ")) }
}

fn is_to_write() -> bool {
    std::env::var_os("FORMS_WRITE").is_some()
}

#[test]
fn every_form_touches_what_the_page_says() {
    let text = std::fs::read_to_string(page()).unwrap();
    let (schema, rows) = read(&text);
    assert!(rows.len() >= 120, "the page has {} rows", rows.len());
    let server = PgBox::start(&Options::default()).expect("PostgreSQL starts");
    server.create_database("forms").unwrap();
    server.admin("forms", &schema).unwrap();
    server.admin("forms", "CREATE ROLE reader; GRANT USAGE ON SCHEMA public, other TO reader; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO reader").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config: tokio_postgres::Config = server.conn_string("forms").parse().unwrap();
        let snapshot = server::catalog::fetch(&config).await.expect("the catalog loads");
        let catalog = Catalog::from_snapshot(snapshot).unwrap();
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::select! {
            () = compare(&client, &catalog, &text, &rows) => {}
            ended = connection => panic!("the connection ended: {ended:?}"),
        }
    });
}

async fn compare(client: &Client, catalog: &Catalog, text: &str, rows: &[Row]) {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let (mut wrong, mut asked) = (Vec::new(), 0);
    for row in rows {
        let found = facts(catalog, &row.statement);
        let said = notation(&found);
        if is_to_write() {
            let cells = &lines[row.line];
            let (before, _) = cells.rsplit_once("` | ").unwrap();
            lines[row.line] = format!("{before}` | {said} |");
        } else if said != row.touches {
            wrong.push(format!(
                "{}\n    says    {}\n    touches {said}",
                row.statement, row.touches
            ));
        }
        if row.since > catalog.server_version() / 10_000 {
            println!("not asked, the server is older: {}", row.statement);
        } else if is_planned(&row.statement) {
            asked += 1;
            if let Err(why) = confirm(client, row, &found).await {
                wrong.push(format!("{}\n    {said}\n    the server: {why}", row.statement));
            }
        }
    }
    if is_to_write() {
        std::fs::write(page(), lines.join("\n") + "\n").unwrap();
    }
    println!("{} forms, {asked} confirmed by the server", rows.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked >= 90, "the server was asked about {asked} alone");
}
