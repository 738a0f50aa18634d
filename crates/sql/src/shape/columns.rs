//! Columns as a statement names them, gathered once each.
//!
//! Invariant: bounded by four times what is different, and by [`FIRST`]: a name that is written a thousand times
//! is kept a few times at most.

use model::ColumnName;

use crate::few::Few;

/// How many are kept before doubles are looked for.
const FIRST: usize = 64;
/// How many of the last ones are looked at before one is added.
const LAST: usize = 8;

/// Columns in the making.
#[derive(Debug, Default)]
pub(super) struct Columns<'a> {
    all: Vec<(&'a str, Few<u32>)>,
    /// How many different ones there were when doubles were last thrown away.
    different: usize,
}

impl<'a> Columns<'a> {
    /// Adds the column `name`, which one of the references `of` may have.
    pub(super) fn insert(&mut self, name: &'a str, of: &[u32]) {
        let same = |one: &(&str, Few<u32>)| *one.1 == *of && one.0 == name;
        if self.all.iter().rev().take(LAST).any(same) {
            return;
        }
        if self.all.len() == self.all.capacity() {
            self.make_room();
        }
        self.all.push((name, of.iter().copied().collect()));
    }

    /// Sorted, unique.
    pub(super) fn sorted(mut self) -> Vec<ColumnName> {
        self.tidy();
        let column =
            |(name, of): (&str, Few<u32>)| ColumnName { name: name.to_owned(), of: of.to_vec() };
        self.all.into_iter().map(column).collect()
    }

    fn make_room(&mut self) {
        if self.all.len() >= FIRST.max(self.different.saturating_mul(2)) {
            self.tidy();
        }
        self.all.reserve(FIRST / 4);
    }

    fn tidy(&mut self) {
        self.all.sort_unstable_by(|one, other| (one.0, &*one.1).cmp(&(other.0, &*other.1)));
        self.all.dedup_by(|next, kept| next.0 == kept.0 && *next.1 == *kept.1);
        self.different = self.all.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_not_kept() {
        let names: Vec<String> = (0..40).map(|name| format!("c{name}")).collect();
        let mut columns = Columns::default();
        for round in 0..1_000_u32 {
            for name in &names {
                columns.insert(name, &[round % 2]);
            }
            assert!(columns.all.len() <= 320, "{}", columns.all.len());
        }
        let all = columns.sorted();
        assert_eq!(all.len(), 80);
        assert!(all.is_sorted_by(|one, other| one < other));
    }
}
