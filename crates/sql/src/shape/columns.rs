//! Columns as a statement names them, gathered once each.
//!
//! Invariant: bounded by twice what is different, and by [`FIRST`]: a name that is written a thousand times
//! is kept a few times at most.

use model::ColumnName;

/// How many are kept before doubles are looked for.
const FIRST: usize = 64;
/// How many of the last ones are looked at before one is added.
const LAST: usize = 8;

/// Columns in the making.
#[derive(Debug, Default)]
pub(super) struct Columns {
    all: Vec<ColumnName>,
    /// How many different ones there were when doubles were last thrown away.
    different: usize,
}

impl Columns {
    /// Adds the column `name`, which one of the references `of` may have.
    pub(super) fn insert(&mut self, name: &str, of: &[u32]) {
        let same = |one: &ColumnName| one.name == name && one.of == of;
        if self.all.iter().rev().take(LAST).any(same) {
            return;
        }
        if self.all.len() >= FIRST.max(self.different.saturating_mul(2)) {
            self.tidy();
        }
        self.all.push(ColumnName { name: name.to_owned(), of: of.to_vec() });
    }

    /// Sorted, unique.
    pub(super) fn sorted(mut self) -> Vec<ColumnName> {
        self.tidy();
        self.all
    }

    fn tidy(&mut self) {
        self.all.sort_unstable();
        self.all.dedup();
        self.different = self.all.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_not_kept() {
        let mut columns = Columns::default();
        for round in 0..1_000_u32 {
            for name in 0..40_u32 {
                columns.insert(&format!("c{name}"), &[round % 2]);
            }
            assert!(columns.all.len() <= 160, "{}", columns.all.len());
        }
        let all = columns.sorted();
        assert_eq!(all.len(), 80);
        assert!(all.is_sorted_by(|one, other| one < other));
    }
}
