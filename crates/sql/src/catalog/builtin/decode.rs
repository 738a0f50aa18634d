//! Reads the text of the built-in catalogs.
//!
//! A line is a row; `~1c` before it is a mask of the versions that have it (bit 0 is 14), every one
//! if there is none. Fields stand between spaces. An OID `-` is one that `initdb` gives out: another
//! in each build, so one is made up here. `%` before a name is `information_schema`, otherwise it is
//! in `pg_catalog`.
//!
//! | section | row |
//! | --- | --- |
//! | types | `oid name kind category [element]`; kinds `b c e r m p` and `d` with its base; `!` after the category: preferred |
//! | relations | `oid name kind column:type…`; `!` after a type: not null; `*` after the kind: it has rules |
//! | views | `name query` |
//! | functions | `oid name returns arguments [flags [name:type,…]]`, see [`flags`] |
//! | operators | `oid name left right result function` |
//! | casts | `source target context function` |
//!
//! Row types and their arrays follow from relations. Invariant: a text that is not of this form
//! gives no catalog at all.

use std::collections::HashMap;

use crate::catalog::{
    Cast, CastContext, Column, FORMAT, Function, FunctionKind, Oid, Operator, Relation,
    RelationKind, Snapshot, Type, TypeKind, Volatility,
};

/// The mask of a row that each version has.
pub(super) const EVERY: u8 = 0x1f;

/// The first OID that is made up here. The server's own fixed ones are below.
const MADE_UP: Oid = 10_000;

/// The rows of one major version; `None` if the text is not of the form above.
pub(super) fn snapshot(text: &str, major: u16) -> Option<Snapshot> {
    let place = super::place(major)?;
    let types = HashMap::from([("-".to_owned(), 0)]);
    let mut reader = Reader { text, place, types, relations: HashMap::new(), next: MADE_UP };
    let mut snapshot = Snapshot {
        format: FORMAT,
        server_version: u32::from(major) * 10_000,
        schemas: vec!["information_schema".into(), "pg_catalog".into()],
        ..Snapshot::default()
    };
    let relations = reader.rows("relations");
    reader.name_relations(&relations)?;
    snapshot.types = reader.types(&relations)?;
    snapshot.relations = reader.relations(&relations)?;
    snapshot.functions = reader.functions()?;
    snapshot.operators = reader.operators()?;
    snapshot.casts = reader.casts()?;
    Some(snapshot)
}

/// The masks of the relations of `pg_catalog`.
pub(super) fn relation_masks(text: &str) -> HashMap<String, u8> {
    let mut masks = HashMap::new();
    for line in section(text, "relations") {
        let (mask, row) = masked(line);
        if let Some(name) = row.split(' ').nth(1) {
            *masks.entry(name.to_owned()).or_default() |= mask;
        }
    }
    masks
}

fn masked(line: &str) -> (u8, &str) {
    let of = |line: &str| {
        let (digits, _) = line.strip_prefix('~')?.split_once(' ')?;
        u8::from_str_radix(digits, 16).ok()
    };
    match of(line) {
        Some(mask) => (mask, line.split_once(' ').map_or("", |(_, row)| row)),
        None => (EVERY, line),
    }
}

fn section<'t>(text: &'t str, title: &str) -> impl Iterator<Item = &'t str> {
    let wanted = format!("#{title}");
    let after = text.lines().skip_while(move |line| *line != wanted).skip(1);
    after.take_while(|line| !line.starts_with('#'))
}

struct Reader<'t> {
    text: &'t str,
    place: usize,
    types: HashMap<String, Oid>,
    relations: HashMap<String, Oid>,
    next: Oid,
}

/// Schema and name of a written name.
fn named(name: &str) -> (Box<str>, Box<str>) {
    match name.strip_prefix('%') {
        Some(name) => ("information_schema".into(), name.into()),
        None => ("pg_catalog".into(), name.into()),
    }
}

/// The name of an array of `name`.
fn array_of(name: &str) -> String {
    match name.strip_prefix('%') {
        Some(name) => format!("%_{name}"),
        None => format!("_{name}"),
    }
}

impl<'t> Reader<'t> {
    /// The rows of a section that this version has.
    fn rows(&self, title: &str) -> Vec<&'t str> {
        let rows = section(self.text, title).map(masked);
        rows.filter(|(mask, _)| mask & (1 << self.place) != 0).map(|(_, row)| row).collect()
    }

    fn oid(&mut self, written: &str) -> Option<Oid> {
        if written != "-" {
            return written.parse().ok();
        }
        self.next += 1;
        Some(self.next)
    }

    fn type_oid(&self, name: &str) -> Option<Oid> {
        self.types.get(name).copied()
    }

    fn list(&self, written: &str) -> Option<Vec<Oid>> {
        if written == "-" {
            return Some(Vec::new());
        }
        written.split(',').map(|name| self.type_oid(name)).collect()
    }

    fn name_relations(&mut self, rows: &[&str]) -> Option<()> {
        for row in rows {
            let mut words = row.split(' ');
            let oid = self.oid(words.next()?)?;
            self.relations.insert(words.next()?.to_owned(), oid);
        }
        Some(())
    }

    /// Types as written, then the rows of relations and their arrays. Names first: they refer to
    /// each other.
    fn types(&mut self, relations: &[&str]) -> Option<Vec<Type>> {
        let rows = self.rows("types");
        for row in &rows {
            let mut words = row.split(' ');
            let oid = self.oid(words.next()?)?;
            self.types.insert(words.next()?.to_owned(), oid);
        }
        let mut types = Vec::new();
        for row in relations {
            let name = row.split(' ').nth(1)?;
            if !self.types.contains_key(name) {
                let oid = self.oid("-")?;
                self.types.insert(name.to_owned(), oid);
                let kind = TypeKind::Composite(*self.relations.get(name)?);
                types.push(implied(oid, name, kind, 0));
            }
            let array = array_of(name);
            if !self.types.contains_key(&array) {
                let oid = self.oid("-")?;
                types.push(implied(oid, &array, TypeKind::Base, self.type_oid(name)?));
                self.types.insert(array, oid);
            }
        }
        for row in &rows {
            types.push(self.written_type(row)?);
        }
        Some(types)
    }

    fn written_type(&self, row: &str) -> Option<Type> {
        let mut words = row.split(' ').skip(1);
        let written = words.next()?;
        let (schema, name) = named(written);
        let (kind, base) = words.next()?.split_at_checked(1)?;
        let mut category = words.next()?.chars();
        Some(Type {
            oid: self.type_oid(written)?,
            schema,
            name,
            kind: match kind {
                "b" => TypeKind::Base,
                "c" => TypeKind::Composite(*self.relations.get(written)?),
                "d" => TypeKind::Domain(self.type_oid(base)?),
                "e" => TypeKind::Enum,
                "r" => TypeKind::Range,
                "m" => TypeKind::Multirange,
                "p" => TypeKind::Pseudo,
                _ => return None,
            },
            category: category.next()?,
            preferred: category.next() == Some('!'),
            element: self.type_oid(words.next().unwrap_or("-"))?,
            functions: Vec::new(),
        })
    }

    fn relations(&self, rows: &[&str]) -> Option<Vec<Relation>> {
        let mut views = HashMap::new();
        for row in self.rows("views") {
            let (name, query) = row.split_once(' ')?;
            views.insert(name.to_owned(), Box::from(query));
        }
        rows.iter().map(|row| self.relation(row, &mut views)).collect()
    }

    fn relation(&self, row: &str, views: &mut HashMap<String, Box<str>>) -> Option<Relation> {
        let mut words = row.split(' ').skip(1);
        let written = words.next()?;
        let (schema, name) = named(written);
        let kind = words.next()?;
        let mut columns = Vec::new();
        for (number, column) in (1..).zip(words) {
            let (name, kind) = column.split_once(':')?;
            let (kind, not_null) =
                kind.strip_suffix('!').map_or((kind, false), |kind| (kind, true));
            columns.push(Column {
                name: name.into(),
                number,
                type_oid: self.type_oid(kind)?,
                not_null,
                default: None,
                generated: false,
            });
        }
        Some(Relation {
            oid: *self.relations.get(written)?,
            schema: schema.into(),
            name: name.into(),
            kind: match kind {
                "r" => RelationKind::Table,
                "v" | "v*" => RelationKind::View,
                _ => return None,
            },
            columns,
            parents: Vec::new(),
            definition: views.remove(written),
            row_type: self.type_oid(written)?,
            row_security: false,
            security_invoker: false,
            has_rules: kind.ends_with('*'),
        })
    }

    fn functions(&mut self) -> Option<Vec<Function>> {
        let rows = self.rows("functions");
        rows.iter().map(|row| self.function(row)).collect()
    }

    fn function(&mut self, row: &str) -> Option<Function> {
        let mut words = row.split(' ');
        let oid = self.oid(words.next()?)?;
        let (schema, name) = named(words.next()?);
        let returns = self.type_oid(words.next()?)?;
        let arguments = self.list(words.next()?)?;
        let mut function = Function {
            oid,
            schema: schema.into(),
            name: name.into(),
            kind: FunctionKind::Function,
            arguments,
            defaults: 0,
            variadic: false,
            returns,
            returns_set: false,
            outputs: Vec::new(),
            volatility: Volatility::Immutable,
            language: "internal".into(),
            security_definer: false,
            body: None,
            argument_names: Vec::new(),
            default_arguments: None,
            search_path: None,
            settings: false,
            calls: Vec::new(),
        };
        flags(words.next().unwrap_or("."), &mut function)?;
        if let Some(outputs) = words.next() {
            for output in outputs.split(',') {
                let (name, kind) = output.split_once(':')?;
                function.outputs.push((name.into(), self.type_oid(kind)?));
            }
        }
        Some(function)
    }

    fn operators(&self) -> Option<Vec<Operator>> {
        let rows = self.rows("operators");
        rows.iter().map(|row| self.operator(row)).collect()
    }

    fn operator(&self, row: &str) -> Option<Operator> {
        let mut words = row.split(' ');
        let oid = words.next()?.parse().ok()?;
        let (schema, name) = ("pg_catalog".into(), words.next()?.into());
        let left = self.type_oid(words.next()?)?;
        let right = self.type_oid(words.next()?)?;
        let result = self.type_oid(words.next()?)?;
        let function = words.next()?.parse().ok()?;
        Some(Operator { oid, schema, name, left, right, result, function })
    }

    fn casts(&self) -> Option<Vec<Cast>> {
        let rows = self.rows("casts");
        rows.iter().map(|row| self.cast(row)).collect()
    }

    fn cast(&self, row: &str) -> Option<Cast> {
        let mut words = row.split(' ');
        let source = self.type_oid(words.next()?)?;
        let target = self.type_oid(words.next()?)?;
        let context = match words.next()? {
            "e" => CastContext::Explicit,
            "a" => CastContext::Assignment,
            "i" => CastContext::Implicit,
            _ => return None,
        };
        Some(Cast { source, target, function: words.next()?.parse().ok()?, context })
    }
}

/// A type that comes with a relation.
fn implied(oid: Oid, written: &str, kind: TypeKind, element: Oid) -> Type {
    let (schema, name) = named(written);
    let category = if element == 0 { 'C' } else { 'A' };
    let functions = Vec::new();
    Type { oid, schema, name, kind, category, preferred: false, element, functions }
}

/// `.` none; `a` aggregate, `w` window, `p` procedure; `s` stable, `v` volatile, else immutable; `C`
/// and `S` are the languages C and SQL, else internal; `*` gives a set; `+` variadic; `!` runs with
/// its owner's rights; a number: so many arguments have defaults.
fn flags(written: &str, function: &mut Function) -> Option<()> {
    let digits: String = written.chars().filter(char::is_ascii_digit).collect();
    if !digits.is_empty() {
        function.defaults = digits.parse().ok()?;
    }
    for flag in written.chars().filter(|character| !character.is_ascii_digit()) {
        match flag {
            '.' => {}
            'a' => function.kind = FunctionKind::Aggregate,
            'w' => function.kind = FunctionKind::Window,
            'p' => function.kind = FunctionKind::Procedure,
            's' => function.volatility = Volatility::Stable,
            'v' => function.volatility = Volatility::Volatile,
            'C' => function.language = "c".into(),
            'S' => function.language = "sql".into(),
            '*' => function.returns_set = true,
            '+' => function.variadic = true,
            '!' => function.security_definer = true,
            _ => return None,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "#types\n23 int4 b N\n1007 _int4 b A int4\n#relations\n\
        1259 pg_x r a:int4!\n~10 - %y v* b:int4\n#views\n~10 %y SELECT a AS b FROM pg_x;\n\
        #functions\n65 int4eq int4 int4,int4\n~01 - f int4 - vS*+1 o:int4\n#operators\n\
        96 = int4 int4 int4 65\n#casts\nint4 _int4 e 0\n";

    #[test]
    fn rows_are_those_of_the_version() {
        let (first, last) = (snapshot(TEXT, 14).unwrap(), snapshot(TEXT, 18).unwrap());
        assert_eq!((first.relations.len(), last.relations.len()), (1, 2));
        assert_eq!((first.functions.len(), last.functions.len()), (2, 1));
        let view = &last.relations[1];
        assert_eq!((&*view.schema, &*view.name, view.has_rules), ("information_schema", "y", true));
        assert_eq!(view.definition.as_deref(), Some("SELECT a AS b FROM pg_x;"));
        let made_up = &first.functions[1];
        assert!(made_up.returns_set && made_up.variadic && made_up.oid > MADE_UP);
        assert_eq!((made_up.defaults, made_up.volatility), (1, Volatility::Volatile));
        assert_eq!(made_up.outputs, [("o".into(), 23)]);
        let row = last.types.iter().find(|one| &*one.name == "y").unwrap();
        assert_eq!(row.kind, TypeKind::Composite(view.oid));
        assert_eq!(last.operators[0].function, 65);
        assert_eq!(relation_masks(TEXT).get("%y"), Some(&0x10));
    }

    #[test]
    fn a_text_of_another_form_gives_nothing() {
        for (good, bad) in [
            ("int4eq int4", "int4eq int9"),
            ("a:int4!", "a:int9"),
            ("23 int4 b", "x int4 b"),
            ("int4 b N", "int4 q N"),
            ("_int4 e 0", "_int4 z 0"),
            ("vS*+1", "vS*+1?"),
        ] {
            assert!(TEXT.contains(good), "{good}");
            assert!(snapshot(&TEXT.replace(good, bad), 14).is_none(), "{bad}");
        }
        assert!(snapshot("", 14).is_some_and(|empty| empty.functions.is_empty()));
        assert!(snapshot(TEXT, 13).is_none());
    }
}
