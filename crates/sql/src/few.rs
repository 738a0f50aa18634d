//! Short lists without a place of their own in memory, and sets that are read once.

use std::ops::Deref;
use std::rc::Rc;

/// None, one, or several that clones share.
#[derive(Debug, Clone, Default)]
pub(crate) enum Few<T> {
    #[default]
    None,
    One(T),
    Many(Rc<[T]>),
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(only) => std::slice::from_ref(only),
            Self::Many(all) => all,
        }
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut items = items.into_iter();
        match (items.next(), items.next()) {
            (None, _) => Self::None,
            (Some(only), None) => Self::One(only),
            (Some(first), Some(second)) => {
                Self::Many([first, second].into_iter().chain(items).collect())
            }
        }
    }
}

impl<'f, T> IntoIterator for &'f Few<T> {
    type Item = &'f T;
    type IntoIter = std::slice::Iter<'f, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// How many are kept before doubles are looked for.
const FIRST: usize = 32;

/// A set in the making. Invariant: bounded by four times what is different, and by [`FIRST`].
#[derive(Debug, Clone)]
pub(crate) struct Bag<T> {
    all: Vec<T>,
    /// How many different ones there were when doubles were last thrown away.
    different: usize,
}

impl<T> Default for Bag<T> {
    fn default() -> Self {
        Self { all: Vec::new(), different: 0 }
    }
}

impl<T: Ord> Bag<T> {
    /// Adds one, perhaps again.
    pub(crate) fn add(&mut self, item: T) {
        if self.all.last() == Some(&item) {
            return;
        }
        if self.all.len() == self.all.capacity() {
            self.make_room();
        }
        self.all.push(item);
    }

    /// Throws doubles away before there are twice as many.
    fn make_room(&mut self) {
        if self.all.len() >= FIRST.max(self.different.saturating_mul(2)) {
            self.tidy();
        }
        self.all.reserve(FIRST / 2);
    }

    /// Adds all of another.
    pub(crate) fn append(&mut self, other: Self) {
        if self.all.is_empty() {
            *self = other;
        } else {
            other.all.into_iter().for_each(|item| self.add(item));
        }
    }

    /// What is in it: sorted, unique.
    pub(crate) fn sorted(&mut self) -> &[T] {
        self.tidy();
        &self.all
    }

    /// The same, given away.
    pub(crate) fn into_sorted(mut self) -> Vec<T> {
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
    fn few_are_a_list() {
        let few = |count: usize| (0..count).collect::<Few<usize>>();
        assert_eq!(&*few(0), [0; 0]);
        assert_eq!(&*few(1), [0]);
        assert_eq!(&*few(3), [0, 1, 2]);
        assert_eq!(few(3).into_iter().count(), 3);
    }

    #[test]
    fn bags_keep_no_doubles() {
        let mut bag = Bag::default();
        for number in 0..10_000_u32 {
            bag.add(number % 100);
            assert!(bag.all.len() <= 400, "{}", bag.all.len());
        }
        let mut other = Bag::default();
        other.add(7);
        other.add(1_000);
        bag.append(other);
        assert_eq!(bag.sorted().len(), 101);
        assert!(bag.into_sorted().is_sorted());
    }
}
