//! Random functions that read and write the schema's relations; operators, casts, domains, defaults
//! and CHECKs made of them.
//!
//! Each is made in a block of its own: what the server does not take is left out of the world.

use std::fmt::Write as _;

use testkit::Random;

use crate::statement::{Alias, Writer, Written};
use crate::world::{Table, Ty, World};

/// What a function takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Argument {
    Value(Ty),
    /// A row of this relation, `schema.name`.
    Row(String),
}

/// What a function yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Returns {
    One(Ty),
    /// Any number of `(x int, y text)`.
    Rows,
}

#[derive(Debug, Clone)]
pub(crate) struct Routine {
    pub(crate) schema: &'static str,
    pub(crate) name: String,
    pub(crate) arguments: Vec<Argument>,
    /// Of its only argument, if that has one.
    pub(crate) argument_name: Option<String>,
    pub(crate) returns: Returns,
    /// What a last argument is that no call gives.
    default: Option<String>,
    /// Its code is not read by us.
    pub(crate) opaque: bool,
    pub(crate) definition: String,
}

impl Routine {
    pub(crate) fn place(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// As `to_regprocedure` reads it.
    pub(crate) fn signature(&self) -> String {
        let types = self.arguments.iter().map(|argument| match argument {
            Argument::Value(ty) => ty.word().to_owned(),
            Argument::Row(place) => place.clone(),
        });
        let types = types.chain(self.default.iter().map(|_| "int".to_owned()));
        format!("{}({})", self.place(), types.collect::<Vec<_>>().join(", "))
    }

    /// Asks whether it exists.
    pub(crate) fn question(&self) -> String {
        let exists = format!("to_regprocedure('{}') IS NOT NULL", self.signature());
        match self.arguments.first() {
            Some(Argument::Row(place)) => {
                format!("CASE WHEN to_regclass('{place}') IS NULL THEN false ELSE {exists} END")
            }
            Some(Argument::Value(_)) | None => exists,
        }
    }

    /// A statement that runs it once.
    pub(crate) fn probe(&self, world: &World) -> String {
        let values = self.arguments.iter().map(|argument| match argument {
            Argument::Value(ty) => Writer::constant(*ty).to_owned(),
            Argument::Row(place) => {
                let table = world.tables.iter().find(|table| table.place() == *place);
                let nulls = vec!["NULL"; table.map_or(0, |table| table.columns.len())];
                format!("ROW({})::{place}", nulls.join(", "))
            }
        });
        format!("SELECT * FROM {}({})", self.place(), values.collect::<Vec<_>>().join(", "))
    }
}

/// SQL in a block that swallows its error.
pub(crate) fn attempt(sql: &str) -> String {
    format!("DO $do$ BEGIN EXECUTE $run$ {sql} $run$; EXCEPTION WHEN OTHERS THEN NULL; END $do$;\n")
}

impl World {
    /// Some functions, each of which may call those before it.
    pub(crate) fn routines(&mut self, count: usize, random: &mut Random) {
        for _ in 0..count {
            let routine = self.routine(random);
            self.schema.push_str(&attempt(&routine.definition));
            self.routines.push(routine);
        }
    }

    fn routine(&self, random: &mut Random) -> Routine {
        let number = self.routines.len();
        let schema = if random.chance(80) { "app" } else { "public" };
        // Sometimes an overload, or one that hides another.
        let name = match self.routines.last() {
            Some(last) if random.chance(25) => last.name.clone(),
            Some(_) | None => format!("b{number}"),
        };
        let kind = random.below(100);
        let ty = if random.chance(50) { Ty::Int } else { Ty::Text };
        let argument = if (60..78).contains(&kind) {
            // To name a type of a schema takes USAGE on that, which is nobody's rule here.
            let tables = self.tables.iter().filter(|one| one.schema != "vault");
            let tables: Vec<String> = tables.map(Table::place).collect();
            Argument::Row(tables[random.below(tables.len())].clone())
        } else {
            Argument::Value(if random.chance(60) { Ty::Int } else { Ty::Text })
        };
        let argument_name = argument_name(&argument, random);
        let returns = if (45..60).contains(&kind) { Returns::Rows } else { Returns::One(ty) };
        let mut routine = Routine {
            schema,
            name,
            arguments: vec![argument],
            argument_name,
            returns,
            default: self.default(random),
            opaque: kind >= 92,
            definition: String::new(),
        };
        if self.routines.iter().any(|one| one.signature() == routine.signature()) {
            routine.name = format!("b{number}");
        }
        routine.definition = match kind {
            0..=77 => self.reader(&routine, random),
            78..=91 => self.changer(&routine, random),
            _ => self.opaque(&routine, random),
        };
        routine
    }

    /// A call of another function, for an argument that is not given.
    fn default(&self, random: &mut Random) -> Option<String> {
        let fits = |one: &&Routine| {
            one.returns == Returns::One(Ty::Int) && one.arguments == [Argument::Value(Ty::Int)]
        };
        let fitting: Vec<&Routine> = self.routines.iter().filter(fits).collect();
        let one = fitting.get(random.below(fitting.len()))?;
        random.chance(12).then(|| format!("{}(7)", one.place()))
    }

    fn reader(&self, routine: &Routine, random: &mut Random) -> String {
        let body = self.query(routine, random);
        let volatile = random.pick(&["", "", "STABLE", "STABLE", "IMMUTABLE"]);
        let strict = random.pick(&["", "", "", "", "STRICT"]);
        let head = format!("{} LANGUAGE sql {volatile} {strict}", head(routine));
        match random.below(10) {
            0 | 1 => format!("{head} BEGIN ATOMIC {body}; END"),
            2 if routine.returns != Returns::Rows => format!("{head} RETURN ({body} LIMIT 1)"),
            3 => format!("{head} SET search_path = public, app AS $fn${body}$fn$"),
            4 => format!("{head} AS $fn$SELECT 1; {body}$fn$"),
            _ => format!("{head} AS $fn${body}$fn$"),
        }
    }

    fn query(&self, routine: &Routine, random: &mut Random) -> String {
        let shape = match routine.returns {
            Returns::One(ty) => vec![ty],
            Returns::Rows => vec![Ty::Int, Ty::Text],
        };
        let mut writer = self.inside(routine, random);
        writer.depth = 1;
        writer.select(Some(&shape)).0
    }

    /// A writer that knows the function's argument.
    fn inside<'s>(&'s self, routine: &Routine, random: &'s mut Random) -> Writer<'s, 's> {
        let mut writer = Writer::new(self, random);
        let own = routine.argument_name.clone();
        let alias = match (&routine.arguments[0], own) {
            (Argument::Value(ty), Some(own)) => Alias::new(&routine.name, vec![(own, *ty)]),
            (Argument::Value(ty), None) => {
                Alias { written: Written::Bare, ..Alias::new("", vec![("$1".to_owned(), *ty)]) }
            }
            (Argument::Row(place), own) => {
                let table = self.tables.iter().find(|table| table.place() == *place);
                let columns = table.map(|table| table.columns.clone()).unwrap_or_default();
                let own = own.unwrap_or_else(|| "$1".to_owned());
                Alias { written: Written::Qualified, ..Alias::new(&own, columns) }
            }
        };
        writer.scopes.push(vec![alias]);
        writer
    }

    fn changer(&self, routine: &Routine, random: &mut Random) -> String {
        let mut writer = self.inside(routine, random);
        writer.depth = 2;
        let change = match writer.random.below(4) {
            0 => writer.insert(),
            1 => writer.delete(),
            2 => writer.merge(),
            _ => writer.update(),
        };
        let Returns::One(ty) = routine.returns else { return String::new() };
        let value = Writer::constant(ty);
        let head = format!("{} LANGUAGE sql", head(routine));
        if random.chance(25) {
            format!("{head} BEGIN ATOMIC {change}; SELECT {value}; END")
        } else {
            format!("{head} AS $fn${change}; SELECT {value}$fn$")
        }
    }

    fn opaque(&self, routine: &Routine, random: &mut Random) -> String {
        let body = self.query(routine, random);
        let head = format!("{} LANGUAGE plpgsql", head(routine));
        format!(
            "{head} AS $fn$#variable_conflict use_column\nBEGIN RETURN ({body} LIMIT 1); END$fn$"
        )
    }

    /// Operators, casts and a domain over functions of their own.
    pub(crate) fn operators_and_casts(&mut self, random: &mut Random) {
        let mut makes = vec![
            self.special("near", &[Ty::Int, Ty::Int], ("bool", "$1 <= $2 OR EXISTS (@)"), random),
            self.special(
                "near",
                &[Ty::Text, Ty::Text],
                ("bool", "$1 <= $2 AND NOT EXISTS (@)"),
                random,
            ),
            self.special(
                "to_pair",
                &[Ty::Int],
                ("app.pair", "ROW($1, (@)::text)::app.pair"),
                random,
            ),
            self.special("to_words", &[Ty::Pair], ("text", "coalesce((@)::text, 'w')"), random),
            self.special(
                "within",
                &[Ty::Int],
                ("bool", "coalesce((@)::text, '') IS NOT NULL"),
                random,
            ),
            self.special("given", &[], ("int", "coalesce((@)::text::int, 3)"), random),
            self.special(
                "checked",
                &[Ty::Int],
                ("bool", "coalesce((@)::text, '') IS NOT NULL"),
                random,
            ),
        ];
        makes.push(self.special("step", &[Ty::Int, Ty::Int], ("int", "$1 + (@)::int"), random));
        makes.push(
            "CREATE AGGREGATE app.agg(int) (SFUNC = app.step, STYPE = int, INITCOND = '0')"
                .to_owned(),
        );
        let how = random.pick(&["", "AS ASSIGNMENT", "AS IMPLICIT"]);
        makes.push(
            "CREATE OPERATOR app.<~ (LEFTARG = int, RIGHTARG = int, FUNCTION = app.near)"
                .to_owned(),
        );
        if random.chance(30) {
            makes.push(
                "CREATE OPERATOR app.<~ (LEFTARG = text, RIGHTARG = text, FUNCTION = app.near)"
                    .to_owned(),
            );
        }
        makes.push(format!("CREATE CAST (int AS app.pair) WITH FUNCTION app.to_pair(int) {how}"));
        if random.chance(15) {
            makes.push(
                "CREATE CAST (app.pair AS text) WITH FUNCTION app.to_words(app.pair)".to_owned(),
            );
        }
        for plain in [
            "CREATE DOMAIN app.dpair AS app.pair",
            "CREATE TYPE app.nest AS (q app.pair, z int)",
            "CREATE DOMAIN app.small AS int CHECK (app.within(VALUE))",
            "CREATE FUNCTION app.px(p app.pair) RETURNS int LANGUAGE sql AS 'SELECT p.x'",
            "CREATE FUNCTION app.ps(p app.small) RETURNS int LANGUAGE sql AS 'SELECT p'",
        ] {
            makes.push(plain.to_owned());
        }
        for make in makes {
            self.schema.push_str(&attempt(&make));
        }
    }

    /// A function for an operator, a cast or a constraint; one of three reads nothing. `@` is a query
    /// of one value.
    fn special(
        &mut self,
        name: &str,
        arguments: &[Ty],
        (returns, template): (&str, &str),
        random: &mut Random,
    ) -> String {
        let query = if random.chance(35) {
            "SELECT 1".to_owned()
        } else {
            let table = &self.tables[random.below(self.tables.len())];
            let (column, _) = &table.columns[random.below(table.columns.len())];
            let place = table.place();
            format!("SELECT count(q.{column}) FROM {place} q")
        };
        let words: Vec<&str> = arguments.iter().map(|ty| ty.word()).collect();
        let definition = format!(
            "CREATE FUNCTION app.{name}({}) RETURNS {returns} LANGUAGE sql AS $fn$SELECT {}$fn$",
            words.join(", "),
            template.replace('@', &query)
        );
        self.special.push(Routine {
            schema: "app",
            name: name.to_owned(),
            arguments: arguments.iter().map(|ty| Argument::Value(*ty)).collect(),
            argument_name: None,
            returns: Returns::Rows,
            default: None,
            opaque: false,
            definition: definition.clone(),
        });
        definition
    }

    /// A default and a CHECK that call functions. The functions are called nowhere else.
    pub(crate) fn defaults_and_checks(&mut self, random: &mut Random) {
        for table in self.tables.iter().filter(|table| table.writable && !table.is_view) {
            let ints: Vec<&String> = table
                .columns
                .iter()
                .filter(|(_, ty)| *ty == Ty::Int)
                .map(|(name, _)| name)
                .collect();
            let Some(column) = ints.last() else { continue };
            let place = table.place();
            if random.chance(20) {
                let make = format!("ALTER TABLE {place} ALTER {column} SET DEFAULT app.given()");
                self.schema.push_str(&attempt(&make));
            }
            if random.chance(10) {
                let make =
                    format!("ALTER TABLE {place} ADD CHECK (app.checked({column})) NOT VALID");
                self.schema.push_str(&attempt(&make));
            }
        }
    }

    /// Views that call functions.
    pub(crate) fn calling_views(&mut self, count: usize, random: &mut Random) {
        for _ in 0..count {
            let name = format!("w{}", self.tables.len());
            let mut writer = Writer::new(self, random);
            writer.depth = 1;
            let shape = [Ty::Int, Ty::Text, Ty::Int];
            let query = writer.select(Some(&shape)).0;
            let with = if random.chance(20) { " WITH (security_invoker)" } else { "" };
            let mut columns = vec![];
            for (index, ty) in shape.iter().enumerate() {
                columns.push((format!("o{index}"), *ty));
            }
            writeln!(
                self.schema,
                "{}",
                attempt(&format!("CREATE VIEW app.{name}{with} AS {query}"))
            )
            .unwrap();
            self.add(("app", &name), columns, (false, true));
        }
    }
}

fn argument_name(argument: &Argument, random: &mut Random) -> Option<String> {
    let names: &[&str] = match argument {
        Argument::Value(Ty::Int) => &["n", "n", "a", "id", "k"],
        Argument::Value(Ty::Text | Ty::Pair) => &["t", "t", "b", "note"],
        Argument::Row(_) => &["r", "r", "t1", "part"],
    };
    random.chance(70).then(|| random.pick(names).to_owned())
}

fn head(routine: &Routine) -> String {
    let argument = match &routine.arguments[0] {
        Argument::Value(ty) => ty.word().to_owned(),
        Argument::Row(place) => place.clone(),
    };
    let own = routine.argument_name.clone().unwrap_or_default();
    let returns = match routine.returns {
        Returns::One(ty) => ty.word().to_owned(),
        Returns::Rows => "TABLE (x int, y text)".to_owned(),
    };
    let default = routine.default.iter().map(|call| format!(", extra int DEFAULT {call}"));
    let default: String = default.collect();
    format!("CREATE FUNCTION {}({own} {argument}{default}) RETURNS {returns}", routine.place())
}
