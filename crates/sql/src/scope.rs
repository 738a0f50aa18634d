//! CTE names in scope: a tree of lists that shares its tails.
//!
//! Invariant: a name hides a relation only where PostgreSQL looks at the CTE first, that is, in
//! the queries that the WITH clause covers.

use crate::limits::MAX_CTES_IN_SCOPE;

/// A place in the tree: what is visible somewhere.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scope {
    /// One more than the index of the innermost name; 0 is no name.
    last: usize,
    size: u32,
}

#[derive(Debug)]
struct Name<'a> {
    name: &'a str,
    outer: Scope,
}

/// All scopes of one walk.
#[derive(Debug, Default)]
pub(crate) struct Scopes<'a>(Vec<Name<'a>>);

impl<'a> Scopes<'a> {
    /// `outer` with one more name; `None` if too many are in scope.
    pub(crate) fn add(&mut self, outer: Scope, name: &'a str) -> Option<Scope> {
        if outer.size >= MAX_CTES_IN_SCOPE {
            return None;
        }
        self.0.push(Name { name, outer });
        Some(Scope { last: self.0.len(), size: outer.size + 1 })
    }

    /// Whether `name` is a CTE there.
    pub(crate) fn has(&self, mut scope: Scope, name: &str) -> bool {
        while let Some(entry) = scope.last.checked_sub(1).and_then(|index| self.0.get(index)) {
            if entry.name == name {
                return true;
            }
            scope = entry.outer;
        }
        false
    }
}
