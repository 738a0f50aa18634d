//! A random schema, random grants on it, and the policy that says the same.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use testkit::Random;

use crate::routines::Routine;
use crate::tally::spelling;

/// What expressions are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ty {
    Int,
    Text,
    /// The composite type `app.pair (x, y)`.
    Pair,
}

/// Columns by name.
pub(crate) type Columns = Vec<(String, Ty)>;

/// How much of a relation the role has.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    None,
    Some(Vec<String>),
    All,
}

#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) schema: &'static str,
    pub(crate) name: String,
    pub(crate) columns: Columns,
    /// Whether rows can be written.
    pub(crate) writable: bool,
    pub(crate) is_view: bool,
    level: Level,
}

impl Table {
    pub(crate) fn place(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) schema: String,
    pub(crate) policy: String,
    pub(crate) tables: Vec<Table>,
    /// Whether its functions do more than compute, and count as their bodies. Then nobody is kept
    /// from calling them.
    pub(crate) has_bodies: bool,
    pub(crate) routines: Vec<Routine>,
    /// What operators, casts and constraints call.
    pub(crate) special: Vec<Routine>,
}

const POOL: &[(&str, Ty)] = &[
    ("id", Ty::Int),
    ("a", Ty::Int),
    ("k", Ty::Int),
    ("amount", Ty::Int),
    ("b", Ty::Text),
    ("c", Ty::Text),
    ("note", Ty::Text),
    ("secret", Ty::Text),
];

const FUNCTIONS: &str = "
CREATE FUNCTION app.f(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n + 1';
CREATE FUNCTION app.g(n int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN n; END';
CREATE FUNCTION app.h(t text) RETURNS text LANGUAGE plpgsql STABLE AS 'BEGIN RETURN t; END';
CREATE FUNCTION app.listing(n int) RETURNS TABLE (x int, y text) LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION app.near(l int, r int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
CREATE OPERATOR app.<~ (LEFTARG = int, RIGHTARG = int, FUNCTION = app.near);
";

/// The same without code that is not read.
const READABLE: &str = "
CREATE FUNCTION app.f(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n + 1';
CREATE FUNCTION app.g(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
CREATE FUNCTION app.h(t text) RETURNS text LANGUAGE sql STABLE RETURN t || 'x'::text;
CREATE FUNCTION app.listing(n int) RETURNS TABLE (x int, y text) LANGUAGE sql AS 'SELECT n, ''q''::text';
";

impl Ty {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Text => "text",
            Self::Pair => "app.pair",
        }
    }
}

impl World {
    pub(crate) fn new(random: &mut Random) -> Self {
        let mut world = Self::default();
        world.schema.push_str(
            "CREATE ROLE eve LOGIN; CREATE SCHEMA app; CREATE SCHEMA vault; \
             GRANT USAGE ON SCHEMA app TO eve; CREATE TYPE app.pair AS (x int, y text);\n",
        );
        world.has_bodies = random.chance(70);
        world.schema.push_str(if world.has_bodies { READABLE } else { FUNCTIONS });
        world.base_tables(random);
        world.family(random);
        world.rows();
        for number in 0..4 {
            world.view(number, random);
        }
        if world.has_bodies {
            world.operators_and_casts(random);
            world.routines(8, random);
        }
        world.calling_views(3, random);
        if world.has_bodies {
            world.routines(6, random);
            if random.chance(40) {
                world.defaults_and_checks(random);
            }
        }
        world
    }

    pub(crate) fn add(
        &mut self,
        (schema, name): (&'static str, &str),
        columns: Columns,
        (writable, is_view): (bool, bool),
    ) {
        let (name, level) = (name.to_owned(), Level::None);
        self.tables.push(Table { schema, name, columns, writable, is_view, level });
    }

    /// Rows, so that what may be called is called.
    fn rows(&mut self) {
        for table in &self.tables {
            let (mut names, mut values) = (Vec::new(), Vec::new());
            for (name, ty) in &table.columns {
                names.push(name.clone());
                let base = if table.name == "part_2" { "i + 10" } else { "i" };
                values.push(match ty {
                    Ty::Int => base.to_owned(),
                    Ty::Text => "'z' || i".to_owned(),
                    Ty::Pair => "ROW(i, 'p')::app.pair".to_owned(),
                });
            }
            if table.name != "part" {
                let (place, names, values) = (table.place(), names.join(", "), values.join(", "));
                writeln!(
                    self.schema,
                    "INSERT INTO {place} ({names}) SELECT {values} FROM generate_series(1, 3) i;"
                )
                .unwrap();
            }
        }
    }

    fn base_tables(&mut self, random: &mut Random) {
        let homes: [(&'static str, &str); 6] = [
            ("app", "t0"),
            ("public", "t0"),
            ("app", "t1"),
            ("public", "t2"),
            ("app", "t3"),
            ("vault", "t4"),
        ];
        for (schema, name) in homes {
            let mut columns: Columns = POOL
                .iter()
                .filter(|_| random.chance(60))
                .map(|(name, ty)| ((*name).to_owned(), *ty))
                .collect();
            if columns.len() < 2 {
                columns = vec![("id".to_owned(), Ty::Int), ("secret".to_owned(), Ty::Text)];
            }
            if random.chance(20) {
                columns.push(("p".to_owned(), Ty::Pair));
            }
            let list: Vec<String> =
                columns.iter().map(|(name, ty)| format!("{name} {}", ty.word())).collect();
            let key =
                if columns.iter().any(|(name, _)| name == "id") { ", UNIQUE (id)" } else { "" };
            writeln!(self.schema, "CREATE TABLE {schema}.{name} ({}{key});", list.join(", "))
                .unwrap();
            if random.chance(25) {
                // A hole in the numbers.
                writeln!(
                    self.schema,
                    "ALTER TABLE {schema}.{name} ADD gone int; ALTER TABLE {schema}.{name} ADD last text; \
                     ALTER TABLE {schema}.{name} DROP gone;"
                )
                .unwrap();
                columns.push(("last".to_owned(), Ty::Text));
            }
            self.add((schema, name), columns, (true, false));
        }
    }

    /// Partitions and children.
    fn family(&mut self, random: &mut Random) {
        self.schema.push_str(
            "CREATE TABLE app.part (id int, a int, b text) PARTITION BY RANGE (id);\n\
             CREATE TABLE app.part_1 PARTITION OF app.part FOR VALUES FROM (0) TO (10);\n\
             CREATE TABLE app.part_2 (b text, id int, a int);\n\
             ALTER TABLE app.part ATTACH PARTITION app.part_2 FOR VALUES FROM (10) TO (20);\n",
        );
        let columns = |names: &[(&str, Ty)]| -> Columns {
            names.iter().map(|(name, ty)| ((*name).to_owned(), *ty)).collect()
        };
        let whole = columns(&[("id", Ty::Int), ("a", Ty::Int), ("b", Ty::Text)]);
        self.add(("app", "part"), whole.clone(), (true, false));
        self.add(("app", "part_1"), whole, (true, false));
        let other = columns(&[("b", Ty::Text), ("id", Ty::Int), ("a", Ty::Int)]);
        self.add(("app", "part_2"), other, (true, false));
        if random.chance(50) {
            self.schema.push_str("CREATE TABLE app.kid (extra int) INHERITS (app.t1);\n");
            let parent = self.tables.iter().find(|table| table.name == "t1").unwrap();
            let mut own = parent.columns.clone();
            own.push(("extra".to_owned(), Ty::Int));
            self.add(("app", "kid"), own, (true, false));
        }
    }

    fn view(&mut self, number: usize, random: &mut Random) {
        let base = self.tables[random.below(self.tables.len())].clone();
        let mut columns = Columns::new();
        let mut list = Vec::new();
        for (index, (name, ty)) in base.columns.iter().enumerate() {
            if *ty != Ty::Pair && random.chance(70) {
                let own =
                    if random.chance(30) { format!("w{number}x{index}") } else { name.clone() };
                list.push(format!("s.{name} AS {own}"));
                columns.push((own, *ty));
            }
        }
        if list.is_empty() {
            list.push("1 AS one".to_owned());
            columns.push(("one".to_owned(), Ty::Int));
        }
        let (schema, table) = (base.schema, &base.name);
        let other = &self.tables[random.below(self.tables.len())];
        let tail = match random.below(3) {
            0 => String::new(),
            1 => format!(" WHERE s.{} IS NOT NULL", base.columns[0].0),
            _ => format!(", {}.{} o", other.schema, other.name),
        };
        let with = if random.chance(25) { " WITH (security_invoker)" } else { "" };
        let writable = !tail.starts_with(',') && !list.iter().any(|one| one.starts_with('1'));
        writeln!(
            self.schema,
            "CREATE VIEW app.v{number}{with} AS SELECT {} FROM {schema}.{table} s{tail};",
            list.join(", ")
        )
        .unwrap();
        self.add(("app", &format!("v{number}")), columns, (writable, true));
    }

    /// Asks which functions and relations exist, one line each.
    pub(crate) fn question(&self) -> String {
        let functions = self.routines.iter().chain(&self.special);
        let functions = functions.map(Routine::question);
        let tables =
            self.tables.iter().map(|table| format!("to_regclass('{}') IS NOT NULL", table.place()));
        let all: Vec<String> = functions.chain(tables).map(|one| format!("SELECT {one}")).collect();
        all.join(" UNION ALL ")
    }

    /// Forgets what the answer says does not exist.
    pub(crate) fn keep(&mut self, answer: &str) {
        let mut lines = answer.lines();
        let mut exists = || lines.next() == Some("t");
        self.routines.retain(|_| exists());
        self.special.retain(|_| exists());
        self.tables.retain(|_| exists());
        assert!(self.tables.len() >= 12, "{answer}");
    }

    /// Functions that call one of these, or may by way of others and of views.
    pub(crate) fn reaching(&self, refused: &BTreeSet<String>) -> BTreeSet<String> {
        let mut reaching = refused.clone();
        let made = self.schema.lines().filter_map(|line| {
            let (_, made) =
                line.split_once("CREATE VIEW ").or_else(|| line.split_once("CREATE FUNCTION "))?;
            let place = made.split([' ', '(']).next()?;
            Some((place.rsplit('.').next()?.to_owned(), made.to_owned()))
        });
        let all: Vec<(String, String)> = made.collect();
        loop {
            let before = reaching.len();
            for (name, definition) in &all {
                let body = definition.split_once([' ', '(']).map_or("", |(_, rest)| rest);
                let calls = |other: &String| {
                    body.contains(&spelling(other))
                        || body.split(|c: char| !c.is_alphanumeric()).any(|word| word == other)
                };
                if reaching.iter().any(calls) {
                    reaching.insert(name.clone());
                }
            }
            if reaching.len() == before {
                return reaching;
            }
        }
    }

    /// The definitions of what a text names, and of what they name.
    pub(crate) fn told(&self, text: &str) -> String {
        let mut told = String::new();
        let mut named = text.to_owned();
        for _ in 0..3 {
            for line in self.schema.lines().filter(|line| line.contains("CREATE ")) {
                let words = |text: &str| -> Vec<String> {
                    let split = text.split(|c: char| !c.is_alphanumeric() && c != '_');
                    split.map(str::to_owned).collect()
                };
                let after =
                    line.split_once("CREATE ").map(|(_, rest)| words(rest)).unwrap_or_default();
                let name = after
                    .iter()
                    .skip(1)
                    .find(|word| !["app", "public", "vault"].contains(&word.as_str()));
                let is_named = name.is_some_and(|name| words(&named).contains(name));
                if is_named && !told.contains(line) {
                    told.push_str("        ");
                    told.push_str(line);
                    told.push('\n');
                }
            }
            named.push_str(&told);
        }
        told + "        " + &self.policy.replace('\n', " ")
    }

    /// Grants, once it is known what exists; the policy that says the same.
    pub(crate) fn grants(&mut self, random: &mut Random) -> String {
        let (mut sql, mut tables, mut columns) = (String::new(), String::new(), String::new());
        for table in &mut self.tables {
            let place = table.place();
            table.level = level(table, random);
            match &table.level {
                Level::Some(some) if !some.is_empty() => {
                    let list = some.join(", ");
                    writeln!(
                        sql,
                        "GRANT SELECT ({list}), INSERT ({list}), UPDATE ({list}) ON {place} TO eve; \
                         GRANT DELETE ON {place} TO eve;"
                    )
                    .unwrap();
                    writeln!(tables, "          - {place}").unwrap();
                    writeln!(columns, "      {place}: [{list}]").unwrap();
                }
                Level::Some(_) | Level::None => {}
                Level::All => {
                    writeln!(sql, "GRANT ALL ON {place} TO eve;").unwrap();
                    writeln!(tables, "          - {place}").unwrap();
                }
            }
        }
        let functions = if self.has_bodies { String::new() } else { revoked(&mut sql, random) };
        let columns =
            if columns.is_empty() { String::new() } else { format!("    columns:\n{columns}") };
        self.policy = format!(
            "version: \"2\"\nagents:\n  eve:\n    profile: permissive\n    missions:\n      m:\n        tables:\n          - pg_temp.*\n{tables}{columns}{functions}"
        );
        sql
    }
}

fn level(table: &Table, random: &mut Random) -> Level {
    if table.schema == "vault" {
        return Level::None;
    }
    match random.below(20) {
        0 | 1 => Level::None,
        2..=14 => Level::All,
        _ => {
            let some = table.columns.iter().filter(|_| random.chance(75));
            Level::Some(some.map(|(name, _)| name.clone()).collect())
        }
    }
}

/// Takes some functions away; the list that says the same.
fn revoked(sql: &mut String, random: &mut Random) -> String {
    let (mut denied, mut granted) = (Vec::new(), Vec::new());
    for (name, arguments) in
        [("f", "int"), ("g", "int"), ("h", "text"), ("listing", "int"), ("near", "int, int")]
    {
        if random.chance(35) {
            writeln!(sql, "REVOKE EXECUTE ON FUNCTION app.{name}({arguments}) FROM PUBLIC;")
                .unwrap();
            denied.push(format!("app.{name}"));
        } else {
            granted.push(format!("app.{name}"));
        }
    }
    format!(
        "    functions:\n      allow: [\"pg_catalog.*\", {}]\n      deny: [{}]\n",
        granted.join(", "),
        denied.join(", ")
    )
}
