//! Random statements over a world. Most are valid; who writes `EXPLAIN` before them finds out.

use testkit::Random;

use crate::world::{Columns, Table, Ty, World};

/// Deepest nesting of queries.
const DEEPEST: usize = 3;

/// How columns are written: with the relation's name or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Either,
    Qualified,
    Bare,
}

#[derive(Debug, Clone)]
pub(crate) struct Alias {
    pub(crate) name: String,
    pub(crate) columns: Columns,
    /// Whose whole row it is: a table, as `schema.name`.
    pub(crate) row: Option<String>,
    /// How its columns are written.
    pub(crate) written: Written,
}

impl Alias {
    pub(crate) fn new(name: &str, columns: Columns) -> Self {
        Self { name: name.to_owned(), columns, row: None, written: Written::Either }
    }

    pub(crate) fn of(name: &str, table: &Table) -> Self {
        let row = Some(table.place());
        Self { row, ..Self::new(name, table.columns.clone()) }
    }
}

pub(crate) struct Writer<'w, 'r> {
    pub(crate) world: &'w World,
    pub(crate) random: &'r mut Random,
    pub(crate) scopes: Vec<Vec<Alias>>,
    pub(crate) ctes: Vec<Alias>,
    names: usize,
    pub(crate) depth: usize,
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

    pub(crate) fn fresh(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn table(&mut self) -> Table {
        self.world.tables[self.random.below(self.world.tables.len())].clone()
    }

    pub(crate) fn target(&mut self) -> Table {
        loop {
            let table = self.table();
            if table.writable {
                return table;
            }
        }
    }

    /// How a table is written: mostly with its schema, always where the path finds another first.
    pub(crate) fn written(&mut self, table: &Table) -> String {
        let hidden = table.schema == "vault" || (table.schema == "public" && table.name == "t0");
        if hidden || self.random.chance(50) {
            format!("{}.{}", table.schema, table.name)
        } else {
            table.name.clone()
        }
    }

    /// A query, and what it yields. With a shape, its columns have these types.
    pub(crate) fn select(&mut self, shape: Option<&[Ty]>) -> (String, Columns) {
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

    pub(crate) fn with(&mut self) -> String {
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
        self.ctes.push(Alias::new(&name, columns));
        let how = self.random.pick(&["", "", "MATERIALIZED ", "NOT MATERIALIZED "]);
        if !self.random.chance(15) {
            return format!("WITH {name} AS {how}({text}) ");
        }
        let again = self.fresh("c");
        self.ctes.push(Alias::new(&again, vec![("n".to_owned(), Ty::Int)]));
        let (start, _) = self.branch(Some(&[Ty::Int]));
        format!(
            "WITH RECURSIVE {name} AS {how}({text}), {again} (n) AS \
             ({start} UNION SELECT n + 1 FROM {again} WHERE n < 5) "
        )
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
            let key = list.split(" AS g").next().unwrap_or("1").to_owned();
            let key = match self.random.below(5) {
                0 => format!("GROUPING SETS (({key}), ())"),
                1 => format!("ROLLUP ({key})"),
                2 => format!("CUBE ({key}, ({key}))"),
                _ => "1".to_owned(),
            };
            text.extend([" GROUP BY ", &key]);
            if self.random.chance(30) {
                let column = self.any(Ty::Int);
                text.extend([" HAVING max(", &column, ") > 1"]);
            }
        } else if shape.is_none() && self.random.chance(15) {
            let key = self.any(Ty::Text);
            text.extend([" ORDER BY ", &key]);
            if self.depth == 1 && self.random.chance(20) {
                text.push_str(self.random.pick(&[
                    " FOR UPDATE",
                    " FOR SHARE",
                    " FOR NO KEY UPDATE",
                ]));
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
                    *scope = vec![Alias::new(&alias, columns)];
                }
                format!("({first} {kind} {second} USING ({name})) AS {alias}")
            }
            _ => {
                let condition = self.comparison();
                format!("{first} JOIN {second} ON {condition}")
            }
        }
    }

    pub(crate) fn item(&mut self) -> String {
        let choice = self.random.below(100);
        let (text, alias) = match choice {
            0..=17 if self.depth < DEEPEST => {
                let name = self.fresh("s");
                let lateral = self.random.chance(30);
                let hidden = if lateral { None } else { self.scopes.pop() };
                let (query, columns) = self.select(None);
                self.scopes.extend(hidden);
                let word = if lateral { "LATERAL " } else { "" };
                (format!("{word}({query}) {name}"), Alias::new(&name, columns))
            }
            18..=24 => {
                let name = self.fresh("r");
                let columns = vec![("x".to_owned(), Ty::Int), ("y".to_owned(), Ty::Text)];
                let call = self.rows();
                (format!("{call} {name}"), Alias::new(&name, columns))
            }
            25..=29 => {
                let name = self.fresh("q");
                let columns = vec![("x".to_owned(), Ty::Int), ("b".to_owned(), Ty::Text)];
                (
                    format!("(VALUES (1, 'x'), (2, 'y')) AS {name} (x, b)"),
                    Alias::new(&name, columns),
                )
            }
            30..=33 => {
                let name = self.fresh("n");
                let columns = vec![(name.clone(), Ty::Int)];
                let call = match self.called(Ty::Int) {
                    Some(call) if self.random.chance(50) => call,
                    Some(_) | None => "generate_series(1, 3)".to_owned(),
                };
                (format!("{call} AS {name}"), Alias::new(&name, columns))
            }
            34..=55 if !self.ctes.is_empty() => {
                let cte = self.ctes[self.random.below(self.ctes.len())].clone();
                let name = self.fresh("e");
                (format!("{} {name}", cte.name), Alias::new(&name, cte.columns))
            }
            _ => self.stored(),
        };
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(alias);
        }
        text
    }

    pub(crate) fn stored(&mut self) -> (String, Alias) {
        let table = self.table();
        let written = self.written(&table);
        let only = if self.random.chance(5) { "ONLY " } else { "" };
        if self.random.chance(25) {
            return (format!("{only}{written}"), Alias::of(&table.name, &table));
        }
        let name = self.fresh("x");
        let mut alias = Alias::of(&name, &table);
        if self.random.chance(10) {
            let new = self.fresh("z");
            alias.columns[0].0.clone_from(&new);
            return (format!("{only}{written} AS {name} ({new})"), alias);
        }
        (format!("{only}{written} {name}"), alias)
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
            5 => self.windowed(),
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

    fn windowed(&mut self) -> (String, Columns) {
        let (key, order) = (self.any(Ty::Text), self.expression(Ty::Int));
        let value = self.expression(Ty::Int);
        let call = match self.random.below(4) {
            0 => "row_number()".to_owned(),
            1 => format!("lag({value})"),
            2 => format!("count(*) FILTER (WHERE {})", self.comparison()),
            _ => format!("max({value})"),
        };
        let frame = self.random.pick(&["", "", " ROWS BETWEEN 1 PRECEDING AND CURRENT ROW"]);
        let text = format!("({call} OVER (PARTITION BY {key} ORDER BY {order}{frame}))::int AS n");
        (text, vec![("n".to_owned(), Ty::Int)])
    }

    fn grouped(&mut self) -> (String, Columns) {
        let key = self.any(Ty::Text);
        let value = self.any(Ty::Int);
        let function = match self.random.below(4) {
            0 if self.world.has_bodies => "app.agg",
            0 | 1 => "sum",
            2 => "max",
            _ => "count",
        };
        let columns = vec![("g".to_owned(), Ty::Text), ("m".to_owned(), Ty::Int)];
        (format!("{key} AS g, {function}({value}) AS m"), columns)
    }

    /// A column in scope, mostly of the innermost query.
    pub(crate) fn column(&mut self, ty: Ty) -> Option<String> {
        let level = if self.random.chance(85) {
            self.scopes.len().checked_sub(1)?
        } else {
            self.random.below(self.scopes.len())
        };
        let scope = self.scopes.get(level)?.clone();
        let mut fitting = Vec::new();
        for alias in &scope {
            for (name, _) in alias.columns.iter().filter(|(_, own)| *own == ty) {
                fitting.push((alias.name.clone(), name.clone(), alias.written));
            }
        }
        if fitting.is_empty() {
            return None;
        }
        let (alias, name, written) = fitting[self.random.below(fitting.len())].clone();
        let with_alias = match written {
            Written::Either => self.random.chance(55),
            Written::Qualified => true,
            Written::Bare => false,
        };
        Some(if with_alias { format!("{alias}.{name}") } else { name })
    }

    pub(crate) fn any(&mut self, ty: Ty) -> String {
        self.column(ty).unwrap_or_else(|| Self::constant(ty).to_owned())
    }

    pub(crate) const fn constant(ty: Ty) -> &'static str {
        match ty {
            Ty::Int => "7",
            Ty::Text => "'z'::text",
            Ty::Pair => "ROW(1, 'z')::app.pair",
        }
    }

    pub(crate) fn expression(&mut self, ty: Ty) -> String {
        if self.random.chance(4)
            && let Some(pair) = self.column(Ty::Pair)
        {
            return if ty == Ty::Int { format!("({pair}).x") } else { format!("({pair}).y") };
        }
        if self.world.has_bodies && self.random.chance(14) {
            let own = if self.random.chance(75) { self.called(ty) } else { self.converted(ty) };
            if let Some(own) = own {
                return own;
            }
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

    pub(crate) fn comparison(&mut self) -> String {
        match self.random.below(8) {
            0 => format!("{} LIKE 'a%'", self.any(Ty::Text)),
            1 => format!("{} IS NOT NULL", self.any(Ty::Text)),
            2 => format!("{} IN (1, 2)", self.any(Ty::Int)),
            3 => format!("{} BETWEEN 1 AND {}", self.any(Ty::Int), self.any(Ty::Int)),
            4 if self.random.chance(50) => {
                format!("{} <~ {}", self.any(Ty::Int), self.any(Ty::Int))
            }
            5 if self.random.chance(50) => format!("{} OPERATOR(app.<~) 3", self.any(Ty::Int)),
            _ => format!("{} = {}", self.any(Ty::Int), self.expression(Ty::Int)),
        }
    }

    pub(crate) fn condition(&mut self) -> String {
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
}
