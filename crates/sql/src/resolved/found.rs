//! Uses and calls as a resolution finds them, borrowed from the catalog until they become facts.
//!
//! Invariant: they are sorted as the facts are.

use std::borrow::Cow;
use std::cmp::Ordering;

use model::{CallUse, ColumnRole, ColumnUse, Name, Volatility};

use crate::catalog::Relation;

/// A call as it is found, before it is a fact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Called<'a> {
    pub(super) schema: Cow<'a, Name>,
    pub(super) name: Cow<'a, Name>,
    pub(super) reached: bool,
    pub(super) volatility: Volatility,
}

impl Called<'_> {
    pub(super) fn fact(self) -> CallUse {
        let Self { schema, name, reached, volatility } = self;
        CallUse { schema: schema.into_owned(), name: name.into_owned(), reached, volatility }
    }
}

/// A use as it is found, before it is a fact.
#[derive(Debug, Clone)]
pub(super) struct Seen<'a> {
    pub(super) relation: &'a Relation,
    pub(super) column: Option<Cow<'a, Name>>,
    pub(super) role: ColumnRole,
    pub(super) reached: bool,
}

/// As facts are sorted: first what is in a row of one relation, which is nearly sorted, then all.
pub(super) fn sort(columns: &mut [Seen<'_>]) {
    let of_one = |one: &Seen<'_>, next: &Seen<'_>| std::ptr::eq(one.relation, next.relation);
    for own in columns.chunk_by_mut(of_one) {
        own.sort_unstable_by(Seen::compared);
    }
    // A stable sort takes each of these runs as one.
    columns.sort_by(Seen::compared);
}

impl Seen<'_> {
    /// As facts are sorted.
    pub(super) fn compared(&self, other: &Self) -> Ordering {
        let name = |one: &Self| (&*one.relation.schema, &*one.relation.name);
        let relation = if std::ptr::eq(self.relation, other.relation) {
            Ordering::Equal
        } else {
            name(self).cmp(&name(other))
        };
        let rest = |one: &Self| (one.role, one.reached);
        let column = || self.column.cmp(&other.column);
        relation.then_with(column).then_with(|| rest(self).cmp(&rest(other)))
    }

    pub(super) fn fact(self) -> ColumnUse {
        ColumnUse {
            schema: self.relation.schema.clone(),
            relation: self.relation.name.clone(),
            column: self.column.map(Cow::into_owned),
            role: self.role,
            reached: self.reached,
        }
    }
}
