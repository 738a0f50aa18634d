//! Names in scope: what FROM items are called, and which columns they are known to have.
//!
//! Invariant: what a name may mean is never less than what it means; a column that only perhaps
//! is one of an item's has no operand.

use std::rc::Rc;

use model::Operand;

/// The names at one place, innermost first.
#[derive(Debug, Default)]
pub(super) struct Scope<'a> {
    pub(super) items: Vec<Item<'a>>,
    /// Columns that USING merges, with the references whose value they have.
    pub(super) merged: Vec<(&'a str, Vec<u32>)>,
    pub(super) outer: Option<Rc<Self>>,
}

/// One FROM item.
#[derive(Debug, Clone)]
pub(super) struct Item<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) source: Source<'a>,
}

/// What an item is.
#[derive(Debug, Clone)]
pub(super) enum Source<'a> {
    /// A relation: the reference of this number.
    Relation(u32),
    /// A query, by what it yields.
    Derived(Rc<Outputs<'a>>),
    /// A join with an alias, by the references in it.
    Join(Vec<u32>),
    /// A function or its like: any columns.
    Opaque,
}

/// What a query yields.
#[derive(Debug, Clone, Default)]
pub(super) struct Outputs<'a> {
    pub(super) columns: Vec<Output<'a>>,
    /// References all of whose columns it hands through under their own names.
    pub(super) through: Vec<u32>,
    /// It may have other columns as well.
    pub(super) open: bool,
    /// References that a condition on its columns filters as if it stood inside.
    pub(super) transparent: Vec<u32>,
}

/// One column of a query.
#[derive(Debug, Clone)]
pub(super) struct Output<'a> {
    pub(super) name: &'a str,
    /// What it is plainly equal to.
    pub(super) value: Option<Operand>,
}

/// A CTE, and what is in scope beside it.
#[derive(Debug)]
pub(super) struct Cte<'a> {
    pub(super) name: &'a str,
    pub(super) outputs: Rc<Outputs<'a>>,
    /// One more than the place of the next one out; 0 is none.
    pub(super) outer: usize,
}

/// What a column name means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// What it is equal to, if that is certain.
    pub(super) value: Option<Operand>,
    /// References that may have it.
    pub(super) of: Vec<u32>,
    /// It is the whole row of these.
    pub(super) rows: Vec<u32>,
}

enum Exposed {
    No,
    Perhaps,
    Yes(Option<Operand>),
}

impl<'a> Outputs<'a> {
    /// Nothing is known of its columns.
    pub(super) fn opaque() -> Self {
        Self { open: true, ..Self::default() }
    }

    /// The same under an alias's column names.
    pub(super) fn renamed(mut self, names: &[&'a str]) -> Self {
        if names.is_empty() {
            return self;
        }
        if self.open || !self.through.is_empty() {
            // Which column the n-th is depends on what nobody told us.
            let transparent = self.transparent;
            return Self { transparent, ..Self::opaque() };
        }
        for (column, name) in self.columns.iter_mut().zip(names) {
            column.name = name;
        }
        self
    }

    fn exposes(&self, name: &str) -> Exposed {
        let mut own = self.columns.iter().filter(|column| column.name == name);
        match (own.next(), own.next()) {
            (Some(only), None) if self.through.is_empty() && !self.open => {
                Exposed::Yes(only.value.clone())
            }
            // Beside a star the name may stand for two columns, which the server refuses; then
            // neither counts.
            (Some(_), None | Some(_)) | (None, Some(_)) => Exposed::Yes(None),
            (None, None) if self.open => Exposed::Perhaps,
            (None, None) if self.through.is_empty() => Exposed::No,
            (None, None) => {
                Exposed::Yes(Some(Operand::Column(self.through.clone(), name.to_owned())))
            }
        }
    }
}

impl<'a> Scope<'a> {
    fn levels(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |scope| scope.outer.as_deref())
    }

    /// References of the items themselves.
    pub(super) fn references(&self) -> Vec<u32> {
        self.items
            .iter()
            .filter_map(|item| match item.source {
                Source::Relation(index) => Some(index),
                Source::Derived(_) | Source::Join(_) | Source::Opaque => None,
            })
            .collect()
    }

    /// What `name` means.
    pub(super) fn unqualified(&self, name: &str) -> Found {
        let mut rows = Vec::new();
        for level in self.levels() {
            for item in level.items.iter().filter(|item| item.name == Some(name)) {
                match &item.source {
                    Source::Relation(index) => rows.push(*index),
                    Source::Join(all) => rows.extend(all),
                    Source::Derived(_) | Source::Opaque => {}
                }
            }
            if let Some(found) = level.own(name) {
                return Found { rows, ..found };
            }
        }
        Found { rows, ..Found::default() }
    }

    /// What it means at this level; `None` if nothing here can have it.
    fn own(&self, name: &str) -> Option<Found> {
        if let Some((_, of)) = self.merged.iter().find(|(merged, _)| *merged == name) {
            let value = Some(Operand::Column(of.clone(), name.to_owned()));
            return Some(Found { value, of: of.clone(), rows: Vec::new() });
        }
        let (mut certain, mut perhaps) = (Vec::new(), false);
        for item in &self.items {
            match &item.source {
                Source::Derived(outputs) => match outputs.exposes(name) {
                    Exposed::Yes(value) => certain.push(value),
                    Exposed::Perhaps => perhaps = true,
                    Exposed::No => {}
                },
                Source::Opaque => perhaps = true,
                Source::Relation(_) | Source::Join(_) => {}
            }
        }
        let of = self.references();
        match certain.len() {
            0 if of.is_empty() && !perhaps => None,
            0 if perhaps => Some(Found { of, ..Found::default() }),
            0 => {
                let value = Some(Operand::Column(of.clone(), name.to_owned()));
                Some(Found { value, of, rows: Vec::new() })
            }
            // A relation beside it that has the column, too, would make the server refuse.
            1 if !perhaps => Some(Found { value: certain.pop().flatten(), ..Found::default() }),
            _ => Some(Found::default()),
        }
    }

    /// What `name` of the item `qualifier` means.
    pub(super) fn qualified(&self, qualifier: &str, name: &str) -> Found {
        let mut named = self
            .levels()
            .flat_map(|level| &level.items)
            .filter(|item| item.name == Some(qualifier));
        match named.next().map(|item| &item.source) {
            Some(Source::Relation(index)) => {
                let value = Some(Operand::Column(vec![*index], name.to_owned()));
                Found { value, of: vec![*index], rows: Vec::new() }
            }
            Some(Source::Derived(outputs)) => match outputs.exposes(name) {
                Exposed::Yes(value) => Found { value, ..Found::default() },
                Exposed::Perhaps | Exposed::No => Found::default(),
            },
            Some(Source::Join(all)) => Found { of: all.clone(), ..Found::default() },
            Some(Source::Opaque) => Found::default(),
            None => Found { of: self.references(), ..Found::default() },
        }
    }

    /// The references whose rows `qualifier.*` or `*` stands for, and the queries.
    pub(super) fn star(&self, qualifier: Option<&str>) -> Vec<&Source<'a>> {
        match qualifier {
            None => self.items.iter().map(|item| &item.source).collect(),
            Some(name) => {
                let mut all = self.levels().flat_map(|level| &level.items);
                all.find(|item| item.name == Some(name))
                    .map(|item| &item.source)
                    .into_iter()
                    .collect()
            }
        }
    }
}
