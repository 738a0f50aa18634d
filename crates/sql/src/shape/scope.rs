//! Names in scope: what FROM items are called, and which columns they are known to have.
//!
//! Invariant: what a name may mean is never less than what it means; a column that only perhaps
//! is one of an item's has no operand.

use std::borrow::Cow;
use std::rc::Rc;

use model::Operand;

/// Columns that USING merges, with the references whose value they have.
pub(super) type Merged<'a> = Vec<(&'a str, Vec<u32>)>;

/// The names at one place, innermost first.
#[derive(Debug, Default)]
pub(super) struct Scope<'a> {
    items: Vec<Item<'a>>,
    merged: Merged<'a>,
    outer: Option<Rc<Self>>,
    /// References of the items themselves.
    references: Vec<u32>,
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
pub(super) struct Found<'s> {
    value: Equal<'s>,
    /// References that may have it.
    pub(super) of: Cow<'s, [u32]>,
    /// It is the whole row of these.
    pub(super) rows: Vec<u32>,
}

/// What a column is equal to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Equal<'s> {
    /// That is not certain.
    #[default]
    Unknown,
    /// The column of that name of the references that may have it.
    Itself,
    /// The column of that name of these.
    Through(&'s [u32]),
    /// What a query yields.
    Value(&'s Operand),
}

enum Exposed<'s> {
    No,
    Perhaps,
    Yes(Equal<'s>),
}

impl Found<'_> {
    /// Whether it is certain what it is equal to.
    pub(super) fn is_certain(&self) -> bool {
        self.value != Equal::Unknown
    }

    /// What it is equal to, if that is certain. `name` is the column's.
    pub(super) fn value(self, name: &str) -> Option<Operand> {
        match self.value {
            Equal::Unknown => None,
            Equal::Itself => Some(Operand::Column(self.of.into_owned(), name.to_owned())),
            Equal::Through(of) => Some(Operand::Column(of.to_vec(), name.to_owned())),
            Equal::Value(value) => Some(value.clone()),
        }
    }
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

    fn exposes(&self, name: &str) -> Exposed<'_> {
        let mut own = self.columns.iter().filter(|column| column.name == name);
        match (own.next(), own.next()) {
            (Some(only), None) if self.through.is_empty() && !self.open => {
                Exposed::Yes(only.value.as_ref().map_or(Equal::Unknown, Equal::Value))
            }
            // Beside a star the name may stand for two columns, which the server refuses; then
            // neither counts.
            (Some(_), None | Some(_)) | (None, Some(_)) => Exposed::Yes(Equal::Unknown),
            (None, None) if self.open => Exposed::Perhaps,
            (None, None) if self.through.is_empty() => Exposed::No,
            (None, None) => Exposed::Yes(Equal::Through(&self.through)),
        }
    }
}

impl<'a> Scope<'a> {
    pub(super) fn new(items: Vec<Item<'a>>, merged: Merged<'a>, outer: Option<Rc<Self>>) -> Self {
        let references = items.iter().filter_map(|item| match item.source {
            Source::Relation(index) => Some(index),
            Source::Derived(_) | Source::Join(_) | Source::Opaque => None,
        });
        Self { references: references.collect(), items, merged, outer }
    }

    /// Nothing but what is further out.
    pub(super) fn around(outer: Option<&Rc<Self>>) -> Rc<Self> {
        Rc::new(Self { outer: outer.cloned(), ..Self::default() })
    }

    /// How many items it has itself.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether USING merges columns of it.
    pub(super) fn merges(&self) -> bool {
        !self.merged.is_empty()
    }

    fn levels(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |scope| scope.outer.as_deref())
    }

    /// References of the items themselves.
    pub(super) fn references(&self) -> &[u32] {
        &self.references
    }

    /// What `name` means.
    pub(super) fn unqualified(&self, name: &str) -> Found<'_> {
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
    fn own(&self, name: &str) -> Option<Found<'_>> {
        if let Some((_, of)) = self.merged.iter().find(|(merged, _)| *merged == name) {
            return Some(Found { value: Equal::Itself, of: Cow::Borrowed(of), rows: Vec::new() });
        }
        let (mut certain, mut value, mut perhaps) = (0_usize, Equal::Unknown, false);
        for item in &self.items {
            match &item.source {
                Source::Derived(outputs) => match outputs.exposes(name) {
                    Exposed::Yes(found) => {
                        certain += 1;
                        value = found;
                    }
                    Exposed::Perhaps => perhaps = true,
                    Exposed::No => {}
                },
                Source::Opaque => perhaps = true,
                Source::Relation(_) | Source::Join(_) => {}
            }
        }
        let of = Cow::Borrowed(self.references());
        match certain {
            0 if of.is_empty() && !perhaps => None,
            0 if perhaps => Some(Found { of, ..Found::default() }),
            0 => Some(Found { value: Equal::Itself, of, rows: Vec::new() }),
            // A relation beside it that has the column, too, would make the server refuse.
            1 if !perhaps => Some(Found { value, ..Found::default() }),
            _ => Some(Found::default()),
        }
    }

    /// What `name` of the item `qualifier` means.
    pub(super) fn qualified(&self, qualifier: &str, name: &str) -> Found<'_> {
        let mut named = self
            .levels()
            .flat_map(|level| &level.items)
            .filter(|item| item.name == Some(qualifier));
        match named.next().map(|item| &item.source) {
            Some(Source::Relation(index)) => {
                let of = Cow::Borrowed(std::slice::from_ref(index));
                Found { value: Equal::Itself, of, rows: Vec::new() }
            }
            Some(Source::Derived(outputs)) => match outputs.exposes(name) {
                Exposed::Yes(value) => Found { value, ..Found::default() },
                Exposed::Perhaps | Exposed::No => Found::default(),
            },
            Some(Source::Join(all)) => Found { of: Cow::Borrowed(all), ..Found::default() },
            Some(Source::Opaque) => Found::default(),
            None => Found { of: Cow::Borrowed(self.references()), ..Found::default() },
        }
    }

    /// The references whose rows `qualifier.*` or `*` stands for, and the queries.
    pub(super) fn star(&self, qualifier: Option<&str>) -> impl Iterator<Item = &Source<'a>> {
        let (all, one) = match qualifier {
            None => (self.items.as_slice(), None),
            Some(name) => {
                let mut all = self.levels().flat_map(|level| &level.items);
                (&[][..], all.find(|item| item.name == Some(name)))
            }
        };
        all.iter().chain(one).map(|item| &item.source)
    }
}
