//! What each statement or portal name stands for, also while answers are outstanding.
//!
//! Protocol and SQL names are one map (PostgreSQL documentation, "PREPARE" and "DECLARE"; source:
//! `prepare.c`, `portalmem.c`). A change is *pending* until the server answers the message that
//! makes it. A message may rely on a pending change of its own Sync group, because if the change
//! fails the server skips the message too; on one of an earlier group it may not, so it waits.

use std::collections::{HashMap, VecDeque};
use std::ops::RangeInclusive;

/// A change of one map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<D> {
    /// The name stands for this from now on.
    Define(Box<[u8]>, Definition<D>),
    /// The name stands for nothing.
    Remove(Box<[u8]>),
    /// No name stands for anything.
    RemoveAll,
    /// Names may have changed in a way that was not seen.
    Forget,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition<D> {
    /// The value that the judge attached.
    pub value: D,
    /// Whether it outlives its transaction (`WITH HOLD`; every prepared statement).
    pub holds: bool,
}

/// What a look-up finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup<'a, D> {
    /// This.
    Found(&'a D),
    /// Nothing: the server has no such name either.
    Missing,
    /// Nothing, but the server may have such a name.
    Unknown,
    /// It depends on an answer that is not here yet.
    Wait,
}

#[derive(Debug)]
struct Pending<D> {
    entry: u64,
    group: u64,
    change: What<D>,
}

#[derive(Debug)]
enum What<D> {
    Change(Change<D>),
    /// Something about names happens in this entry; what, is applied piece by piece.
    Marker,
}

/// One namespace.
#[derive(Debug)]
pub(crate) struct Names<D> {
    answered: HashMap<Box<[u8]>, Definition<D>>,
    pending: VecDeque<Pending<D>>,
    uncertain: bool,
    /// Whether the server may have an unnamed one that was not seen.
    unnamed_doubted: bool,
}

impl<D> Names<D> {
    pub(crate) fn new() -> Self {
        Self {
            answered: HashMap::new(),
            pending: VecDeque::new(),
            uncertain: false,
            unnamed_doubted: false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.answered.len() + self.pending.len()
    }

    pub(crate) fn lookup(&self, name: &[u8], group: u64) -> Lookup<'_, D> {
        for pending in self.pending.iter().rev() {
            let found = match &pending.change {
                What::Change(Change::Define(key, definition)) if **key == *name => {
                    Lookup::Found(&definition.value)
                }
                What::Change(Change::Remove(key)) if **key == *name => Lookup::Missing,
                What::Change(Change::RemoveAll) => Lookup::Missing,
                What::Change(Change::Forget) => Lookup::Unknown,
                What::Change(Change::Define(..) | Change::Remove(_)) => continue,
                What::Marker => return Lookup::Wait,
            };
            return if pending.group == group { found } else { Lookup::Wait };
        }
        match self.answered.get(name) {
            Some(definition) => Lookup::Found(&definition.value),
            None if self.uncertain || self.unnamed_doubted && name.is_empty() => Lookup::Unknown,
            None => Lookup::Missing,
        }
    }

    /// Changes that wait for their answers.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn push(&mut self, entry: u64, group: u64, change: Change<D>) {
        self.pending.push_back(Pending { entry, group, change: What::Change(change) });
    }

    /// Makes whoever asks for a name wait until the entry is finished.
    pub(crate) fn mark(&mut self, entry: u64, group: u64) {
        self.pending.push_back(Pending { entry, group, change: What::Marker });
    }

    /// The server did what the entry asked for.
    pub(crate) fn commit(&mut self, entry: u64) {
        while let Some(first) = self.pending.front() {
            if first.entry > entry {
                break;
            }
            let Some(pending) = self.pending.pop_front() else { break };
            // Entries are answered in order: an older one that is still here was dropped.
            match pending.change {
                What::Change(change) if pending.entry == entry => self.apply(change),
                What::Change(_) | What::Marker => {}
            }
        }
    }

    /// Applies a change that the server is known to have made.
    pub(crate) fn apply(&mut self, change: Change<D>) {
        match change {
            Change::Define(name, definition) => {
                self.unnamed_doubted &= !name.is_empty();
                self.answered.insert(name, definition);
            }
            Change::Remove(name) => {
                self.unnamed_doubted &= !name.is_empty();
                self.answered.remove(&name);
            }
            Change::RemoveAll => {
                self.unnamed_doubted = false;
                self.answered.clear();
            }
            Change::Forget => {
                self.answered.clear();
                self.uncertain = true;
            }
        }
    }

    /// The server did not do what the entry asked for.
    pub(crate) fn drop_entry(&mut self, entry: u64) {
        self.drop_entries(entry..=entry);
    }

    /// Likewise for all entries of a range.
    pub(crate) fn drop_entries(&mut self, entries: RangeInclusive<u64>) {
        self.pending.retain(|pending| !entries.contains(&pending.entry));
    }

    /// Whatever the unnamed one was, something else may have it now.
    pub(crate) fn doubt_unnamed(&mut self) {
        self.answered.remove(&b""[..]);
        self.unnamed_doubted = true;
    }

    /// A transaction ended: what does not hold is gone.
    pub(crate) fn end_transaction(&mut self) {
        self.unnamed_doubted = false;
        if !self.answered.is_empty() {
            self.answered.retain(|_, definition| definition.holds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn define(name: &[u8], value: u8) -> Change<u8> {
        Change::Define(name.into(), Definition { value, holds: true })
    }

    #[test]
    fn own_group_may_rely_on_a_pending_definition() {
        let mut names = Names::new();
        names.push(1, 7, define(b"s", 1));
        assert_eq!(names.lookup(b"s", 7), Lookup::Found(&1));
        assert_eq!(names.lookup(b"s", 8), Lookup::Wait);
        names.commit(1);
        assert_eq!(names.lookup(b"s", 8), Lookup::Found(&1));
    }

    #[test]
    fn a_dropped_definition_leaves_the_old_one() {
        let mut names = Names::new();
        names.apply(define(b"s", 1));
        names.push(1, 1, Change::Remove((*b"s").into()));
        names.push(2, 1, define(b"s", 2));
        assert_eq!(names.lookup(b"s", 2), Lookup::Wait);
        names.drop_entry(1);
        names.drop_entry(2);
        assert_eq!(names.lookup(b"s", 2), Lookup::Found(&1));
    }

    #[test]
    fn after_forgetting_a_missing_name_is_unknown() {
        let mut names = Names::new();
        names.apply(define(b"s", 1));
        names.apply(Change::Forget);
        assert_eq!(names.lookup(b"s", 0), Lookup::<u8>::Unknown);
        names.apply(define(b"t", 2));
        assert_eq!(names.lookup(b"t", 0), Lookup::Found(&2));
    }
}
