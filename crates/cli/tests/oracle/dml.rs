//! INSERT, UPDATE, DELETE and MERGE.

use crate::statement::{Alias, Writer};
use crate::world::{Columns, Table, Ty};

impl Writer<'_, '_> {
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

    pub(crate) fn insert(&mut self) -> String {
        let known = self.ctes.len();
        let with = self.with();
        let text = self.inserted();
        self.ctes.truncate(known);
        format!("{with}{text}")
    }

    fn inserted(&mut self) -> String {
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
        text.push_str(&self.returning(&table, &table.name));
        text
    }

    fn returning(&mut self, table: &Table, name: &str) -> String {
        match self.random.below(8) {
            0 => " RETURNING *".to_owned(),
            1 => format!(" RETURNING {}", self.some_columns(table)[0].0),
            2 => {
                // An INSERT's target goes by its own name.
                self.scopes.push(vec![Alias::of(name, table)]);
                let value = self.expression(Ty::Text);
                self.scopes.pop();
                format!(" RETURNING {value} AS v")
            }
            _ => String::new(),
        }
    }

    pub(crate) fn update(&mut self) -> String {
        let table = self.target();
        let written = self.written(&table);
        let alias = self.fresh("u");
        self.scopes.push(vec![Alias::of(&alias, &table)]);
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
        let returning =
            if from.is_empty() { self.returning(&table, &alias) } else { String::new() };
        format!("UPDATE {written} AS {alias} SET {}{from}{condition}{returning}", sets.join(", "))
    }

    pub(crate) fn delete(&mut self) -> String {
        let table = self.target();
        let written = self.written(&table);
        let alias = self.fresh("d");
        self.scopes.push(vec![Alias::of(&alias, &table)]);
        let using =
            if self.random.chance(25) { format!(" USING {}", self.item()) } else { String::new() };
        let condition = if self.random.chance(80) {
            format!(" WHERE {}", self.condition())
        } else {
            String::new()
        };
        self.scopes.pop();
        let returning =
            if using.is_empty() { self.returning(&table, &alias) } else { String::new() };
        format!("DELETE FROM {written} AS {alias}{using}{condition}{returning}")
    }

    pub(crate) fn merge(&mut self) -> String {
        let table = self.target();
        let written = self.written(&table);
        let alias = self.fresh("m");
        self.scopes.push(vec![Alias::of(&alias, &table)]);
        let source = self.item();
        let condition = self.comparison();
        let (name, ty) = self.some_columns(&table)[0].clone();
        let mut actions = String::new();
        for _ in 0..=self.random.below(2) {
            let condition = if self.random.chance(25) {
                format!(" AND {}", self.comparison())
            } else {
                String::new()
            };
            let action = match self.random.below(4) {
                0 => format!(" WHEN MATCHED{condition} THEN DELETE"),
                1 => {
                    self.scopes.last_mut().into_iter().for_each(|scope| drop(scope.remove(0)));
                    let value = self.expression(ty);
                    format!(" WHEN NOT MATCHED THEN INSERT ({name}) VALUES ({value})")
                }
                2 => format!(" WHEN MATCHED{condition} THEN DO NOTHING"),
                _ => {
                    let value = self.expression(ty);
                    format!(" WHEN MATCHED{condition} THEN UPDATE SET {name} = {value}")
                }
            };
            let last = action.starts_with(" WHEN NOT");
            actions.push_str(&action);
            if last {
                break;
            }
        }
        self.scopes.pop();
        format!("MERGE INTO {written} AS {alias} USING {source} ON {condition}{actions}")
    }
}
