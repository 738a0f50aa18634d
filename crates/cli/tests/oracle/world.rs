//! A random schema, random grants on it, and the policy that says the same.

use std::fmt::Write as _;

use testkit::Random;

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
    level: Level,
}

#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) schema: String,
    pub(crate) policy: String,
    pub(crate) tables: Vec<Table>,
    pub(crate) functions: Vec<&'static str>,
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

fn word(ty: Ty) -> &'static str {
    match ty {
        Ty::Int => "int",
        Ty::Text => "text",
        Ty::Pair => "app.pair",
    }
}

impl World {
    pub(crate) fn new(random: &mut Random) -> Self {
        let mut world = Self::default();
        world.schema.push_str(
            "CREATE ROLE eve LOGIN; CREATE SCHEMA app; CREATE SCHEMA vault; \
             GRANT USAGE ON SCHEMA app TO eve; CREATE TYPE app.pair AS (x int, y text);\n",
        );
        world.schema.push_str(FUNCTIONS);
        world.base_tables(random);
        world.family(random);
        for number in 0..4 {
            world.view(number, random);
        }
        world.grants(random);
        world
    }

    fn add(&mut self, schema: &'static str, name: &str, columns: Columns, writable: bool) {
        self.tables.push(Table {
            schema,
            name: name.to_owned(),
            columns,
            writable,
            level: Level::None,
        });
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
                columns.iter().map(|(name, ty)| format!("{name} {}", word(*ty))).collect();
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
            self.add(schema, name, columns, true);
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
        self.add("app", "part", whole.clone(), true);
        self.add("app", "part_1", whole, true);
        self.add(
            "app",
            "part_2",
            columns(&[("b", Ty::Text), ("id", Ty::Int), ("a", Ty::Int)]),
            true,
        );
        if random.chance(50) {
            self.schema.push_str("CREATE TABLE app.kid (extra int) INHERITS (app.t1);\n");
            let parent = self.tables.iter().find(|table| table.name == "t1").unwrap();
            let mut own = parent.columns.clone();
            own.push(("extra".to_owned(), Ty::Int));
            self.add("app", "kid", own, true);
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
        self.add("app", &format!("v{number}"), columns, writable);
    }

    fn grants(&mut self, random: &mut Random) {
        let (mut tables, mut columns) = (String::new(), String::new());
        for table in &mut self.tables {
            let place = format!("{}.{}", table.schema, table.name);
            table.level = match random.below(10) {
                0..=1 => Level::None,
                2..=5 => Level::All,
                _ => Level::Some(
                    table
                        .columns
                        .iter()
                        .filter(|_| random.chance(65))
                        .map(|(n, _)| n.clone())
                        .collect(),
                ),
            };
            if table.schema == "vault" {
                table.level = Level::None;
            }
            match &table.level {
                Level::Some(some) if !some.is_empty() => {
                    let list = some.join(", ");
                    writeln!(
                        self.schema,
                        "GRANT SELECT ({list}), INSERT ({list}), UPDATE ({list}) ON {place} TO eve; \
                         GRANT DELETE ON {place} TO eve;"
                    )
                    .unwrap();
                    writeln!(tables, "          - {place}").unwrap();
                    writeln!(columns, "      {place}: [{list}]").unwrap();
                }
                Level::Some(_) | Level::None => {}
                Level::All => {
                    writeln!(self.schema, "GRANT ALL ON {place} TO eve;").unwrap();
                    writeln!(tables, "          - {place}").unwrap();
                }
            }
        }
        let (mut denied, mut granted) = (Vec::new(), Vec::new());
        for (name, arguments) in
            [("f", "int"), ("g", "int"), ("h", "text"), ("listing", "int"), ("near", "int, int")]
        {
            self.functions.push(name);
            if random.chance(35) {
                writeln!(
                    self.schema,
                    "REVOKE EXECUTE ON FUNCTION app.{name}({arguments}) FROM PUBLIC;"
                )
                .unwrap();
                denied.push(format!("app.{name}"));
            } else {
                granted.push(format!("app.{name}"));
            }
        }
        let tables = if tables.is_empty() { " []\n".to_owned() } else { format!("\n{tables}") };
        let columns =
            if columns.is_empty() { String::new() } else { format!("    columns:\n{columns}") };
        self.policy = format!(
            "version: \"2\"\nagents:\n  eve:\n    profile: permissive\n    missions:\n      m:\n        tables:{tables}{columns}    functions:\n      allow: [\"pg_catalog.*\", {}]\n      deny: [{}]\n",
            granted.join(", "),
            denied.join(", ")
        );
    }
}
