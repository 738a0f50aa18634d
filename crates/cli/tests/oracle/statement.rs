//! Random statements over a world. Most are valid; who writes `EXPLAIN` before them finds out.

use testkit::Random;

use crate::world::{Columns, Table, Ty, World};

/// Deepest nesting of queries.
const DEEPEST: usize = 3;

#[derive(Debug, Clone)]
struct Alias {
    name: String,
    columns: Columns,
}

pub(crate) struct Writer<'w, 'r> {
    world: &'w World,
    random: &'r mut Random,
    scopes: Vec<Vec<Alias>>,
    ctes: Vec<Alias>,
    names: usize,
    depth: usize,
}

impl<'w, 'r> Writer<'w, 'r> {
    pub(crate) fn new(world: &'w World, random: &'r mut Random) -> Self {
        Self { world, random, scopes: Vec::new(), ctes: Vec::new(), names: 0, depth: 0 }
    }

    pub(crate) fn statement(&mut self) -> String {
        match self.random.below(100) {
            0..=66 => self.select(None).0,
            67..=75 => self.insert(),
            76..=84 => self.update(),
            85..=91 => self.delete(),
            92..=95 => self.merge(),
            _ => {
                let inner = match self.random.below(3) {
                    0 => self.insert(),
                    1 => self.update(),
                    _ => self.delete(),
                };
                let inner = if inner.contains(" RETURNING ") {
                    inner
                } else {
                    format!("{inner} RETURNING 1 AS r")
                };
                format!("WITH w AS ({inner}) SELECT * FROM w")
            }
        }
    }

    fn fresh(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn table(&mut self) -> Table {
        self.world.tables[self.random.below(self.world.tables.len())].clone()
    }

    fn target(&mut self) -> Table {
        loop {
            let table = self.table();
            if table.writable {
                return table;
            }
        }
    }

    /// How a table is written: mostly with its schema, always where the path finds another first.
    fn written(&mut self, table: &Table) -> String {
        let hidden = table.schema == "vault" || (table.schema == "public" && table.name == "t0");
        if hidden || self.random.chance(50) {
            format!("{}.{}", table.schema, table.name)
        } else {
            table.name.clone()
        }
    }

    /// A query, and what it yields. With a shape, its columns have these types.
    fn select(&mut self, shape: Option<&[Ty]>) -> (String, Columns) {
        self.depth += 1;
        let known = self.ctes.len();
        let with = self.with();
        let (text, columns) = if self.depth < DEEPEST && self.random.chance(12) {
            let own = [Ty::Int, Ty::Text];
            let shape = shape.unwrap_or(&own).to_vec();
            let (left, columns) = self.branch(Some(&shape));
            let (right, _) = self.branch(Some(&shape));
            let operation = self.random.pick(&["UNION", "UNION ALL", "EXCEPT", "INTERSECT"]);
            let order = if self.random.chance(30) { " ORDER BY 1" } else { "" };
            (format!("{left} {operation} {right}{order}"), columns)
        } else {
            let (text, columns) = self.branch(shape);
            let tail = self.tail();
            (format!("{text}{tail}"), columns)
        };
        self.ctes.truncate(known);
        self.depth -= 1;
        (format!("{with}{text}"), columns)
    }

    fn tail(&mut self) -> String {
        match self.random.below(12) {
            0 => " ORDER BY 1".to_owned(),
            1 => " LIMIT 5".to_owned(),
            2 => " ORDER BY 1 LIMIT 3 OFFSET 1".to_owned(),
            _ => String::new(),
        }
    }

    fn with(&mut self) -> String {
        if self.depth > 1 || !self.random.chance(20) {
            return String::new();
        }
        let (text, columns) = self.select(None);
        // Sometimes it hides a table.
        let name = if self.random.chance(25) { "t1".to_owned() } else { self.fresh("c") };
        if columns.is_empty() {
            return String::new();
        }
        // One that nobody reads is not run, and not checked by the server.
        self.ctes.push(Alias { name: name.clone(), columns });
        format!("WITH {name} AS ({text}) ")
    }

    fn branch(&mut self, shape: Option<&[Ty]>) -> (String, Columns) {
        self.scopes.push(Vec::new());
        let from = self.from();
        let grouped = shape.is_none() && self.random.chance(12);
        let (list, columns) = if grouped { self.grouped() } else { self.targets(shape) };
        let mut text = format!("SELECT {list} FROM {from}");
        if self.random.chance(55) {
            let condition = self.condition();
            text.extend([" WHERE ", &condition]);
        }
        if grouped {
            text.push_str(" GROUP BY 1");
            if self.random.chance(30) {
                let column = self.any(Ty::Int);
                text.extend([" HAVING max(", &column, ") > 1"]);
            }
        } else if shape.is_none() && self.random.chance(15) {
            let key = self.any(Ty::Text);
            text.extend([" ORDER BY ", &key]);
            if self.depth == 1 && self.random.chance(20) {
                text.push_str(" FOR UPDATE");
            }
            text = format!("({text})");
        }
        self.scopes.pop();
        (text, columns)
    }

    fn from(&mut self) -> String {
        let first = self.item();
        match self.random.below(10) {
            0..=5 => first,
            6 => format!("{first}, {}", self.item()),
            _ => self.join(first),
        }
    }

    fn join(&mut self, first: String) -> String {
        let second = self.item();
        let scope = self.scopes.last().cloned().unwrap_or_default();
        let [.., left, right] = scope.as_slice() else { return first };
        let shared = left.columns.iter().find(|column| right.columns.contains(column));
        let kind = self.random.pick(&["JOIN", "LEFT JOIN", "FULL JOIN"]);
        match (self.random.below(4), shared) {
            (0, Some((name, _))) => format!("{first} {kind} {second} USING ({name})"),
            (1, _) => format!("{first} NATURAL {kind} {second}"),
            (2, Some((name, _))) if self.random.chance(50) => {
                let alias = self.fresh("j");
                let columns: Columns = std::iter::once((name.clone(), Ty::Int))
                    .chain(left.columns.iter().filter(|(n, _)| n != name).cloned())
                    .collect();
                if let Some(scope) = self.scopes.last_mut() {
                    *scope = vec![Alias { name: alias.clone(), columns }];
                }
                format!("({first} {kind} {second} USING ({name})) AS {alias}")
            }
            _ => {
                let condition = self.comparison();
                format!("{first} JOIN {second} ON {condition}")
            }
        }
    }

    fn item(&mut self) -> String {
        let choice = self.random.below(100);
        let (text, alias) = match choice {
            0..=17 if self.depth < DEEPEST => {
                let name = self.fresh("s");
                let lateral = self.random.chance(30);
                let hidden = if lateral { None } else { self.scopes.pop() };
                let (query, columns) = self.select(None);
                self.scopes.extend(hidden);
                let word = if lateral { "LATERAL " } else { "" };
                (format!("{word}({query}) {name}"), Alias { name, columns })
            }
            18..=24 => {
                let name = self.fresh("r");
                let argument = self.expression(Ty::Int);
                let columns = vec![("x".to_owned(), Ty::Int), ("y".to_owned(), Ty::Text)];
                (format!("app.listing({argument}) {name}"), Alias { name, columns })
            }
            25..=29 => {
                let name = self.fresh("q");
                let columns = vec![("x".to_owned(), Ty::Int), ("b".to_owned(), Ty::Text)];
                (format!("(VALUES (1, 'x'), (2, 'y')) AS {name} (x, b)"), Alias { name, columns })
            }
            30..=33 => {
                let name = self.fresh("n");
                let columns = vec![(name.clone(), Ty::Int)];
                (format!("generate_series(1, 3) AS {name}"), Alias { name, columns })
            }
            34..=55 if !self.ctes.is_empty() => {
                let cte = self.ctes[self.random.below(self.ctes.len())].clone();
                let name = self.fresh("e");
                (format!("{} {name}", cte.name), Alias { name, columns: cte.columns })
            }
            _ => self.stored(),
        };
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(alias);
        }
        text
    }

    fn stored(&mut self) -> (String, Alias) {
        let table = self.table();
        let written = self.written(&table);
        let only = if self.random.chance(5) { "ONLY " } else { "" };
        if self.random.chance(25) {
            return (
                format!("{only}{written}"),
                Alias { name: table.name, columns: table.columns },
            );
        }
        let name = self.fresh("x");
        let mut columns = table.columns;
        if self.random.chance(10) {
            let new = self.fresh("z");
            columns[0].0.clone_from(&new);
            return (format!("{only}{written} AS {name} ({new})"), Alias { name, columns });
        }
        (format!("{only}{written} {name}"), Alias { name, columns })
    }

    fn targets(&mut self, shape: Option<&[Ty]>) -> (String, Columns) {
        let own = self.scopes.last().cloned().unwrap_or_default();
        if let Some(shape) = shape {
            let list: Vec<String> = shape.to_vec().iter().map(|ty| self.expression(*ty)).collect();
            let columns: Columns =
                shape.iter().enumerate().map(|(n, ty)| (format!("o{n}"), *ty)).collect();
            let list: Vec<String> =
                list.iter().enumerate().map(|(n, text)| format!("{text} AS o{n}")).collect();
            return (list.join(", "), columns);
        }
        match self.random.below(20) {
            0 | 1 => {
                let columns = own.iter().flat_map(|alias| alias.columns.clone()).collect();
                ("*".to_owned(), columns)
            }
            2 if !own.is_empty() => {
                let alias = &own[self.random.below(own.len())];
                (format!("{}.*", alias.name), alias.columns.clone())
            }
            3 => ("count(*) AS n".to_owned(), vec![("n".to_owned(), Ty::Int)]),
            4 if !own.is_empty() => {
                let alias = &own[self.random.below(own.len())];
                let form = self.random.pick(&[
                    "row_to_json(@)",
                    "@",
                    "(@)::text",
                    "count(@)",
                    "count(@.*)",
                    "@ IS NULL",
                ]);
                let text = form.replace('@', &alias.name);
                (format!("{text} AS w"), vec![("w".to_owned(), Ty::Text)])
            }
            _ => {
                let (mut list, mut columns) = (Vec::new(), Columns::new());
                for _ in 0..=self.random.below(3) {
                    let ty = if self.random.chance(50) { Ty::Int } else { Ty::Text };
                    let text = self.expression(ty);
                    let bare =
                        text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_')
                            && text.bytes().any(|b| b.is_ascii_alphabetic());
                    if bare && self.random.chance(60) {
                        let name = text.rsplit('.').next().unwrap_or_default().to_owned();
                        list.push(text);
                        columns.push((name, ty));
                    } else {
                        let name = self.fresh("o");
                        list.push(format!("{text} AS {name}"));
                        columns.push((name, ty));
                    }
                }
                (list.join(", "), columns)
            }
        }
    }

    fn grouped(&mut self) -> (String, Columns) {
        let key = self.any(Ty::Text);
        let value = self.any(Ty::Int);
        let function = self.random.pick(&["sum", "max", "count"]);
        let columns = vec![("g".to_owned(), Ty::Text), ("m".to_owned(), Ty::Int)];
        (format!("{key} AS g, {function}({value}) AS m"), columns)
    }

    /// A column in scope, mostly of the innermost query.
    fn column(&mut self, ty: Ty) -> Option<String> {
        let level = if self.random.chance(85) {
            self.scopes.len().checked_sub(1)?
        } else {
            self.random.below(self.scopes.len())
        };
        let scope = self.scopes.get(level)?.clone();
        let mut fitting = Vec::new();
        for alias in &scope {
            for (name, _) in alias.columns.iter().filter(|(_, own)| *own == ty) {
                fitting.push((alias.name.clone(), name.clone()));
            }
        }
        if fitting.is_empty() {
            return None;
        }
        let (alias, name) = fitting[self.random.below(fitting.len())].clone();
        Some(if self.random.chance(55) { format!("{alias}.{name}") } else { name })
    }

    fn any(&mut self, ty: Ty) -> String {
        self.column(ty).unwrap_or_else(|| Self::constant(ty).to_owned())
    }

    const fn constant(ty: Ty) -> &'static str {
        match ty {
            Ty::Int => "7",
            Ty::Text => "'z'::text",
            Ty::Pair => "ROW(1, 'z')::app.pair",
        }
    }

    fn expression(&mut self, ty: Ty) -> String {
        if self.random.chance(4)
            && let Some(pair) = self.column(Ty::Pair)
        {
            return if ty == Ty::Int { format!("({pair}).x") } else { format!("({pair}).y") };
        }
        match (ty, self.random.below(20)) {
            (Ty::Int, 0) => format!("({} + {})", self.any(Ty::Int), self.any(Ty::Int)),
            (Ty::Int, 1) => format!("length({})", self.any(Ty::Text)),
            (Ty::Int, 2) => format!("app.f({})", self.any(Ty::Int)),
            (Ty::Int, 3) => format!("g({})", self.any(Ty::Int)),
            (Ty::Int, 4) => format!("CASE WHEN {} THEN 1 ELSE 2 END", self.comparison()),
            (Ty::Text, 0) => format!("({} || {})", self.any(Ty::Text), self.any(Ty::Text)),
            (Ty::Text, 1) => format!("upper({})", self.any(Ty::Text)),
            (Ty::Text, 2) => format!("app.h({})", self.any(Ty::Text)),
            (Ty::Text, 3) => format!("coalesce({}, {})", self.any(Ty::Text), self.any(Ty::Text)),
            (Ty::Text, 4) => format!("{}::text", self.any(Ty::Int)),
            (_, 5) if self.depth < DEEPEST => {
                let (query, _) = self.select(Some(&[ty]));
                format!("({query} LIMIT 1)").replace(" ORDER BY 1 LIMIT 1", " LIMIT 1")
            }
            _ => self.any(ty),
        }
    }

    fn comparison(&mut self) -> String {
        match self.random.below(8) {
            0 => format!("{} LIKE 'a%'", self.any(Ty::Text)),
            1 => format!("{} IS NOT NULL", self.any(Ty::Text)),
            2 => format!("{} IN (1, 2)", self.any(Ty::Int)),
            3 => format!("{} BETWEEN 1 AND {}", self.any(Ty::Int), self.any(Ty::Int)),
            4 => format!("{} <~ {}", self.any(Ty::Int), self.any(Ty::Int)),
            5 => format!("{} OPERATOR(app.<~) 3", self.any(Ty::Int)),
            _ => format!("{} = {}", self.any(Ty::Int), self.expression(Ty::Int)),
        }
    }

    fn condition(&mut self) -> String {
        match self.random.below(10) {
            0 => format!("NOT ({})", self.comparison()),
            1 => format!("{} AND {}", self.comparison(), self.comparison()),
            2 => format!("({} OR {})", self.comparison(), self.comparison()),
            3 if self.depth < DEEPEST => format!("EXISTS ({})", self.select(None).0),
            4 if self.depth < DEEPEST => {
                let (query, _) = self.select(Some(&[Ty::Int]));
                format!("{} IN ({query})", self.any(Ty::Int))
            }
            5 if self.depth < DEEPEST => {
                let (query, _) = self.select(Some(&[Ty::Int]));
                format!("{} = ANY (ARRAY({query}))", self.any(Ty::Int))
            }
            _ => self.comparison(),
        }
    }

    fn some_columns(&mut self, table: &Table) -> Columns {
        let mut some: Columns = table
            .columns
            .iter()
            .filter(|(_, ty)| *ty != Ty::Pair)
            .filter(|_| self.random.chance(50))
            .cloned()
            .collect();
        if some.is_empty() {
            some.extend(table.columns.first().cloned());
        }
        some
    }

    fn insert(&mut self) -> String {
        let table = self.target();
        let written = self.written(&table);
        let columns = self.some_columns(&table);
        let types: Vec<Ty> = columns.iter().map(|(_, ty)| *ty).collect();
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let mut text = match self.random.below(8) {
            0 => format!("INSERT INTO {written} DEFAULT VALUES"),
            1 => {
                let first: Vec<Ty> = table.columns.iter().map(|(_, ty)| *ty).take(2).collect();
                let (query, _) = self.select(Some(&first));
                format!("INSERT INTO {written} {query}")
            }
            2 | 3 => {
                let (query, _) = self.select(Some(&types));
                format!("INSERT INTO {written} ({}) {query}", names.join(", "))
            }
            _ => {
                let values: Vec<&str> = types.iter().map(|ty| Self::constant(*ty)).collect();
                format!(
                    "INSERT INTO {written} ({}) VALUES ({})",
                    names.join(", "),
                    values.join(", ")
                )
            }
        };
        if self.random.chance(25) && table.columns.iter().any(|(name, _)| name == "id") {
            let (name, ty) = columns[0].clone();
            let value = if self.random.chance(50) {
                format!("excluded.{name}")
            } else {
                Self::constant(ty).to_owned()
            };
            let action = match self.random.below(3) {
                0 => " ON CONFLICT DO NOTHING".to_owned(),
                1 => " ON CONFLICT (id) DO NOTHING".to_owned(),
                _ => format!(" ON CONFLICT (id) DO UPDATE SET {name} = {value}"),
            };
            text.push_str(&action);
        }
        text.push_str(&self.returning(&table));
        text
    }

    fn returning(&mut self, table: &Table) -> String {
        match self.random.below(8) {
            0 => " RETURNING *".to_owned(),
            1 => format!(" RETURNING {}", self.some_columns(table)[0].0),
            _ => String::new(),
        }
    }

    fn update(&mut self) -> String {
        let table = self.target();
        let written = self.written(&table);
        let alias = self.fresh("u");
        self.scopes.push(vec![Alias { name: alias.clone(), columns: table.columns.clone() }]);
        let from =
            if self.random.chance(25) { format!(" FROM {}", self.item()) } else { String::new() };
        let mut sets = Vec::new();
        for (name, ty) in self.some_columns(&table) {
            let value = if self.random.chance(60) {
                Self::constant(ty).to_owned()
            } else {
                self.expression(ty)
            };
            sets.push(format!("{name} = {value}"));
        }
        let condition = if self.random.chance(75) {
            format!(" WHERE {}", self.condition())
        } else {
            String::new()
        };
        self.scopes.pop();
        let returning = if from.is_empty() { self.returning(&table) } else { String::new() };
        format!("UPDATE {written} AS {alias} SET {}{from}{condition}{returning}", sets.join(", "))
    }

    fn delete(&mut self) -> String {
        let table = self.target();
        let written = self.written(&table);
        let alias = self.fresh("d");
        self.scopes.push(vec![Alias { name: alias.clone(), columns: table.columns.clone() }]);
        let using =
            if self.random.chance(25) { format!(" USING {}", self.item()) } else { String::new() };
        let condition = if self.random.chance(80) {
            format!(" WHERE {}", self.condition())
        } else {
            String::new()
        };
        self.scopes.pop();
        let returning = if using.is_empty() { self.returning(&table) } else { String::new() };
        format!("DELETE FROM {written} AS {alias}{using}{condition}{returning}")
    }

    fn merge(&mut self) -> String {
        let table = self.target();
        let written = self.written(&table);
        let alias = self.fresh("m");
        self.scopes.push(vec![Alias { name: alias.clone(), columns: table.columns.clone() }]);
        let source = self.item();
        let condition = self.comparison();
        let (name, ty) = self.some_columns(&table)[0].clone();
        let value = Self::constant(ty);
        let action = match self.random.below(4) {
            0 => "WHEN MATCHED THEN DELETE".to_owned(),
            1 => format!("WHEN NOT MATCHED THEN INSERT ({name}) VALUES ({value})"),
            2 => "WHEN MATCHED THEN DO NOTHING".to_owned(),
            _ => format!("WHEN MATCHED THEN UPDATE SET {name} = {}", self.expression(ty)),
        };
        self.scopes.pop();
        format!("MERGE INTO {written} AS {alias} USING {source} ON {condition} {action}")
    }
}
