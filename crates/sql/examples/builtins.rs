//! Writes the built-in catalog: dumps of fresh servers in, `pg_catalog.txt` out.
//!
//! `builtins DUMP… > pg_catalog.txt`, where each dump is what `portcullis catalog dump` wrote of an
//! untouched database, one for each major version from 14 to 18 in order. What the lines mean is in
//! `src/catalog/builtin/decode.rs`, which reads them. Run by `scripts/builtins.sh`.
//!
//! Invariant: the same dumps give the same bytes; what the format cannot say stops the run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;

use sql::catalog::{
    Cast, CastContext, Function, FunctionKind, Operator, Relation, RelationKind, Snapshot, Type,
    TypeKind, Volatility,
};

type Failure = Box<dyn std::error::Error>;
type Done<T> = Result<T, Failure>;

/// OIDs from here on are given out by `initdb`, and are others in each build.
const ASSIGNED: u32 = 10_000;
const SCHEMAS: [&str; 2] = ["pg_catalog", "information_schema"];
const MAJORS: [u32; 5] = [14, 15, 16, 17, 18];

fn main() -> Done<()> {
    let mut snapshots = Vec::new();
    for (path, major) in std::env::args().skip(1).zip(MAJORS) {
        let snapshot: Snapshot = serde_json::from_slice(&fs::read(&path)?)?;
        if snapshot.server_version / 10_000 != major {
            return Err(format!("{path} is not of PostgreSQL {major}").into());
        }
        snapshots.push(snapshot);
    }
    if snapshots.len() != MAJORS.len() {
        return Err("expected five dumps, of PostgreSQL 14 to 18 in order".into());
    }
    let mut sections: [Rows; 6] = Default::default();
    for (bit, snapshot) in (0..).zip(&snapshots) {
        let mut names = Names::of(snapshot)?;
        names.rows(snapshot, 1 << bit, &mut sections)?;
    }
    let titles = ["types", "relations", "views", "functions", "operators", "casts"];
    let mut text = String::new();
    for (title, rows) in titles.iter().zip(&sections) {
        text.push('#');
        text.push_str(title);
        text.push('\n');
        let mut lines: Vec<String> = rows.0.iter().map(|(row, mask)| line(row, *mask)).collect();
        lines.sort_by(|a, b| order(a).cmp(&order(b)));
        text.push_str(&lines.concat());
    }
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}

/// Rows of one kind, and in which majors each is.
#[derive(Default)]
struct Rows(BTreeMap<String, u8>);

impl Rows {
    fn add(&mut self, row: String, bit: u8) -> Done<()> {
        if row.contains('\n') || row.starts_with(['~', '#']) {
            return Err(format!("the format cannot say `{row}`").into());
        }
        *self.0.entry(row).or_default() |= bit;
        Ok(())
    }
}

fn line(row: &str, mask: u8) -> String {
    if mask == 0x1f { format!("{row}\n") } else { format!("~{mask:02x} {row}\n") }
}

/// Lines of one name stand together, whatever majors they are of.
fn order(line: &str) -> (&str, &str) {
    let after_mask = line.strip_prefix('~').and_then(|rest| rest.split_once(' '));
    let row = after_mask.map_or(line, |(_, row)| row);
    let mut words = row.split(' ');
    let first = words.next().unwrap_or_default();
    let second = words.next().unwrap_or_default();
    let numbered = first == "-" || first.bytes().all(|byte| byte.is_ascii_digit());
    (if numbered { second } else { first }, line)
}

/// Names by OID.
struct Names<'s> {
    types: BTreeMap<u32, String>,
    relations: BTreeSet<(&'s str, &'s str)>,
}

fn short(schema: &str, name: &str) -> Done<String> {
    if name.contains([' ', ',', ':', '%']) {
        return Err(format!("the format cannot say `{name}`").into());
    }
    match schema {
        "pg_catalog" => Ok(name.to_owned()),
        "information_schema" => Ok(format!("%{name}")),
        other => {
            Err(format!("`{other}.{name}` is not built in: dump an untouched database").into())
        }
    }
}

fn fixed(oid: u32) -> String {
    if oid < ASSIGNED { oid.to_string() } else { "-".to_owned() }
}

impl<'s> Names<'s> {
    fn of(snapshot: &'s Snapshot) -> Done<Self> {
        let mut types = BTreeMap::from([(0, "-".to_owned())]);
        for one in &snapshot.types {
            types.insert(one.oid, short(&one.schema, &one.name)?);
        }
        let relations = &snapshot.relations;
        let relations = relations.iter().map(|one| (&*one.schema, &*one.name)).collect();
        Ok(Self { types, relations })
    }

    fn rows(&mut self, snapshot: &Snapshot, bit: u8, sections: &mut [Rows; 6]) -> Done<()> {
        for schema in &snapshot.schemas {
            if !SCHEMAS.contains(&&**schema) && &**schema != "public" {
                return Err(format!("schema `{schema}`: dump an untouched database").into());
            }
        }
        let [types, relations, views, functions, operators, casts] = sections;
        for one in &snapshot.types {
            if let Some(row) = self.type_row(one)? {
                types.add(row, bit)?;
            }
        }
        for one in &snapshot.relations {
            relations.add(self.relation(one)?, bit)?;
            if let Some(definition) = &one.definition {
                let words: Vec<&str> = definition.split_whitespace().collect();
                views
                    .add(format!("{} {}", short(&one.schema, &one.name)?, words.join(" ")), bit)?;
            }
        }
        for one in &snapshot.functions {
            functions.add(self.function(one)?, bit)?;
        }
        for one in &snapshot.operators {
            operators.add(self.operator(one)?, bit)?;
        }
        for one in &snapshot.casts {
            casts.add(self.cast(one)?, bit)?;
        }
        Ok(())
    }

    fn named(&self, oid: u32) -> Done<&str> {
        Ok(self.types.get(&oid).ok_or_else(|| format!("no type {oid}"))?)
    }

    /// `oid name kind category [element]`; row types and arrays of them follow from relations.
    fn type_row(&self, one: &Type) -> Done<Option<String>> {
        let is_row = self.relations.contains(&(&*one.schema, &*one.name));
        let of_row = one.name.strip_prefix('_').is_some_and(|name| {
            one.oid >= ASSIGNED && self.relations.contains(&(&*one.schema, name))
        });
        if (is_row && one.oid >= ASSIGNED) || of_row {
            return Ok(None);
        }
        if !one.functions.is_empty() {
            return Err(format!("type `{}` has functions outside pg_catalog", one.name).into());
        }
        let kind = match one.kind {
            TypeKind::Base => "b".to_owned(),
            TypeKind::Composite(_) if is_row => "c".to_owned(),
            TypeKind::Composite(_) => return Err(format!("composite `{}`", one.name).into()),
            TypeKind::Domain(base) => format!("d{}", self.named(base)?),
            TypeKind::Enum => "e".to_owned(),
            TypeKind::Range => "r".to_owned(),
            TypeKind::Multirange => "m".to_owned(),
            TypeKind::Pseudo => "p".to_owned(),
        };
        let preferred = if one.preferred { "!" } else { "" };
        let element = match one.element {
            0 => String::new(),
            element => format!(" {}", self.named(element)?),
        };
        let (oid, name) = (fixed(one.oid), short(&one.schema, &one.name)?);
        Ok(Some(format!("{oid} {name} {kind} {}{preferred}{element}", one.category)))
    }

    /// `oid name kind column:type…`; `!` is NOT NULL, `*` after the kind: it has rules.
    fn relation(&self, one: &Relation) -> Done<String> {
        let kind = match one.kind {
            RelationKind::Table => "r",
            RelationKind::View => "v",
            RelationKind::Partitioned
            | RelationKind::MaterializedView
            | RelationKind::Foreign
            | RelationKind::Sequence
            | RelationKind::Index
            | RelationKind::Toast
            | RelationKind::Composite => {
                return Err(format!("`{}` is a {:?}", one.name, one.kind).into());
            }
        };
        let odd = one.row_security || one.security_invoker;
        if odd || !one.parents.is_empty() {
            return Err(format!("`{}` is more than the format can say", one.name).into());
        }
        let rules = if one.has_rules { "*" } else { "" };
        let (oid, name) = (fixed(one.oid), short(&one.schema, &one.name)?);
        let mut row = format!("{oid} {name} {kind}{rules}");
        for (number, column) in (1..).zip(&one.columns) {
            if column.number != number || column.default.is_some() || column.generated {
                return Err(format!("`{}.{}` has a past", one.name, column.name).into());
            }
            let full = if column.not_null { "!" } else { "" };
            let kind = self.named(column.type_oid)?;
            row.extend([" ", &*column.name, ":", kind, full]);
        }
        Ok(row)
    }

    /// `oid name returns arguments [flags [name:type,…]]`.
    fn function(&self, one: &Function) -> Done<String> {
        if one.body.is_some() {
            return Err(format!("function `{}` has a body", one.name).into());
        }
        let arguments: Vec<&str> =
            one.arguments.iter().map(|oid| self.named(*oid)).collect::<Done<_>>()?;
        let arguments = if arguments.is_empty() { "-".to_owned() } else { arguments.join(",") };
        let (oid, name) = (fixed(one.oid), short(&one.schema, &one.name)?);
        let mut row = format!("{oid} {name} {} {arguments}", self.named(one.returns)?);
        let mut flags = String::new();
        flags.push_str(match one.kind {
            FunctionKind::Function => "",
            FunctionKind::Aggregate => "a",
            FunctionKind::Window => "w",
            FunctionKind::Procedure => "p",
        });
        flags.push_str(match one.volatility {
            Volatility::Immutable => "",
            Volatility::Stable => "s",
            Volatility::Volatile => "v",
        });
        flags.push_str(match &*one.language {
            "internal" => "",
            "c" => "C",
            "sql" => "S",
            other => return Err(format!("language `{other}`").into()),
        });
        flags.push_str(if one.returns_set { "*" } else { "" });
        flags.push_str(if one.variadic { "+" } else { "" });
        flags.push_str(if one.security_definer { "!" } else { "" });
        if one.defaults > 0 {
            flags.push_str(&one.defaults.to_string());
        }
        let mut outputs = Vec::new();
        for (name, kind) in &one.outputs {
            outputs.push(format!("{name}:{}", self.named(*kind)?));
        }
        if !flags.is_empty() || !outputs.is_empty() {
            row.push(' ');
            row.push_str(if flags.is_empty() { "." } else { &flags });
        }
        if !outputs.is_empty() {
            row.push(' ');
            row.push_str(&outputs.join(","));
        }
        Ok(row)
    }

    /// `oid name left right result function`.
    fn operator(&self, one: &Operator) -> Done<String> {
        if &*one.schema != "pg_catalog" || one.oid >= ASSIGNED || one.function >= ASSIGNED {
            return Err(format!("operator `{}`", one.name).into());
        }
        let [left, right, result] =
            [one.left, one.right, one.result].map(|oid| self.named(oid).map(str::to_owned));
        let (left, right, result) = (left?, right?, result?);
        Ok(format!("{} {} {left} {right} {result} {}", one.oid, one.name, one.function))
    }

    /// `source target context function`.
    fn cast(&self, one: &Cast) -> Done<String> {
        let context = match one.context {
            CastContext::Explicit => "e",
            CastContext::Assignment => "a",
            CastContext::Implicit => "i",
        };
        let (source, target) = (self.named(one.source)?, self.named(one.target)?);
        if one.function >= ASSIGNED {
            return Err(format!("cast of `{source}` to `{target}`").into());
        }
        Ok(format!("{source} {target} {context} {}", one.function))
    }
}
