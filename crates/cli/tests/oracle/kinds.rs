//! What stands around a query: EXPLAIN, COPY, CREATE TABLE AS, PREPARE, cursors.

use crate::statement::Writer;

/// What is sent, and how the server is asked about it.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    /// What is judged.
    pub(crate) text: String,
    /// What EXPLAIN can be asked about.
    pub(crate) plan: Option<String>,
    /// What runs; nothing if EXPLAIN is all.
    pub(crate) run: Option<String>,
}

impl Statement {
    pub(crate) fn plain(text: String) -> Self {
        Self { plan: Some(text.clone()), run: Some(text.clone()), text }
    }

    fn around(inner: String, text: String) -> Self {
        Self { plan: Some(inner), run: Some(text.clone()), text }
    }
}

impl Writer<'_, '_> {
    pub(crate) fn submission(&mut self) -> Statement {
        match self.random.below(100) {
            0..=4 => {
                let inner = self.select(None).0;
                let text = format!("COPY ({inner}) TO STDOUT");
                Statement::around(inner, text)
            }
            5..=7 => {
                let inner = self.statement();
                let text = format!("EXPLAIN {inner}");
                Statement { run: None, ..Statement::around(inner, text) }
            }
            8..=10 => {
                let inner = self.statement();
                let text = format!("EXPLAIN (ANALYZE) {inner}");
                Statement::around(inner, text)
            }
            11..=14 => {
                let inner = self.select(None).0;
                Statement::plain(format!("CREATE TEMP TABLE made AS {inner}"))
            }
            15..=17 => {
                let inner = self.statement();
                let text = format!("PREPARE p AS {inner}; EXECUTE p");
                Statement::around(inner, text)
            }
            18..=20 => {
                let inner = self.select(None).0;
                let text = format!("DECLARE c CURSOR FOR {inner}; FETCH ALL FROM c");
                Statement::around(inner, text)
            }
            21..=22 => self.short(),
            _ => Statement::plain(self.statement()),
        }
    }

    /// `TABLE t`, `COPY t TO`.
    fn short(&mut self) -> Statement {
        let table = self.target();
        let place = table.place();
        let names: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
        let some = &names[..=self.random.below(names.len())];
        match self.random.below(4) {
            0 => Statement::plain(format!("TABLE {place}")),
            1 => {
                Statement::plain(format!("SELECT {} INTO TEMP made FROM {place}", some.join(", ")))
            }
            2 => {
                let text = format!("COPY {place} ({}) TO STDOUT", some.join(", "));
                Statement { plan: None, run: Some(text.clone()), text }
            }
            _ => {
                let text = format!("COPY {place} TO STDOUT");
                Statement { plan: None, run: Some(text.clone()), text }
            }
        }
    }
}
