//! Profiles: named sets of operations, and what an agent's operations come to.
//!
//! What is *not* here: reading profiles from a document (`document::profiles`), judging a
//! statement (`evaluate`). Everything is a set, computed when the policy is loaded.

use model::{Category, Operation};

/// A set of known operations. `UNKNOWN` is never in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OperationSet(u128);

impl OperationSet {
    pub(crate) const EMPTY: Self = Self(0);

    pub(crate) fn all() -> Self {
        Operation::ALL.iter().copied().collect()
    }

    /// Every operation of one of the categories.
    pub(crate) fn of_category(category: Category) -> Self {
        Operation::ALL.iter().copied().filter(|op| op.category() == category).collect()
    }

    /// What blocking `operation` blocks.
    pub(crate) fn covered_by(operation: Operation) -> Self {
        Operation::ALL.iter().copied().filter(|op| operation.covers(*op)).collect()
    }

    pub(crate) fn contains(self, operation: Operation) -> bool {
        self.0 & bit(operation) != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Operation> {
        Operation::ALL.iter().copied().filter(move |op| self.contains(*op))
    }
}

impl FromIterator<Operation> for OperationSet {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Self {
        operations.into_iter().fold(Self::EMPTY, |set, op| Self(set.0 | bit(op)))
    }
}

fn bit(operation: Operation) -> u128 {
    if operation == Operation::Unknown {
        return 0;
    }
    1_u128.checked_shl(operation as u32).unwrap_or(0)
}

/// Which statements must say which rows they mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Guards {
    pub(crate) delete: bool,
    pub(crate) update: bool,
}

impl Guards {
    pub(crate) const DELETE: &'static str = "DELETE must include WHERE";
    pub(crate) const UPDATE: &'static str = "UPDATE must include WHERE";
    pub(crate) const BOTH: Self = Self { delete: true, update: true };

    pub(crate) const fn union(self, other: Self) -> Self {
        Self { delete: self.delete || other.delete, update: self.update || other.update }
    }

    pub(crate) const fn any(self) -> bool {
        self.delete || self.update
    }

    /// Whether an unfiltered `operation` is guarded. Anything that is not plainly one of the
    /// two is guarded by either.
    pub(crate) fn covers(self, operation: Operation) -> bool {
        if operation == Operation::Delete {
            self.delete
        } else if operation == Operation::Update {
            self.update
        } else {
            self.any()
        }
    }
}

/// A named set of operations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    /// An allow list: nothing else is permitted.
    pub(crate) allowed: Option<OperationSet>,
    pub(crate) blocked: OperationSet,
    pub(crate) guards: Guards,
    pub(crate) allow_unknown: bool,
    /// Of the built-in functions only those that are declared to change nothing, and a few.
    pub(crate) steady: bool,
}

/// The profiles that every document has.
pub(crate) const BUILT_IN: &[&str] = &["permissive", "standard", "strict", "hardened"];

const STRICT: &[Operation] = &[
    Operation::Select,
    Operation::Insert,
    Operation::Update,
    Operation::Delete,
    Operation::Explain,
    Operation::Transaction,
];

const HARDENED: &[Operation] = &[
    Operation::Notify,
    Operation::Listen,
    Operation::Discard,
    Operation::Lock,
    Operation::Load,
    Operation::Explain,
];

impl Profile {
    /// The built-in profile of that name.
    pub(crate) fn built_in(name: &str) -> Option<Self> {
        match name {
            "permissive" => Some(Self::permissive()),
            "standard" => Some(Self::standard()),
            "strict" => Some(Self::strict()),
            "hardened" => Some(Self::hardened()),
            _ => None,
        }
    }

    /// Blocks nothing.
    pub(crate) fn permissive() -> Self {
        Self { allow_unknown: true, ..Self::default() }
    }

    fn standard() -> Self {
        let categories = [Category::Dcl, Category::Admin, Category::Extension, Category::Function];
        let blocked = categories
            .into_iter()
            .map(OperationSet::of_category)
            .fold([Operation::Copy].into_iter().collect(), OperationSet::union);
        Self { blocked, guards: Guards::BOTH, ..Self::default() }
    }

    fn strict() -> Self {
        let allowed = Some(STRICT.iter().copied().collect());
        Self { allowed, guards: Guards::BOTH, steady: true, ..Self::default() }
    }

    fn hardened() -> Self {
        let standard = Self::standard();
        let blocked = standard
            .blocked
            .union(OperationSet::of_category(Category::Ddl))
            .union(HARDENED.iter().copied().collect());
        Self { blocked, ..standard }
    }

    /// What an agent may do: `(profile + allow) - block`.
    pub(crate) fn operations(self, allow: OperationSet, block: OperationSet) -> Operations {
        let base = self.allowed.unwrap_or_else(OperationSet::all);
        let permitted = base.without(self.blocked).union(allow).without(block);
        let blocked = self.blocked.union(block);
        let untouched = self.allowed.is_none() && blocked.is_empty();
        Operations {
            steady: self.steady,
            permitted,
            begin: permitted.contains(Operation::Transaction)
                || (!permitted.is_empty() && !blocked.contains(Operation::Transaction)),
            reach: match (self.allow_unknown, untouched) {
                (true, true) => Reach::Everything,
                (true, false) => Reach::Nameless,
                (false, _) => Reach::Named,
            },
        }
    }
}

/// What an agent may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operations {
    pub(crate) permitted: OperationSet,
    /// BEGIN and SAVEPOINT: whoever may do something may do it in a transaction, unless
    /// TRANSACTION is blocked by name.
    pub(crate) begin: bool,
    pub(crate) reach: Reach,
    /// Whether, of the built-in functions, only those may be called that are declared to change nothing, and a few.
    pub(crate) steady: bool,
}

/// What a set of operations holds besides the named ones in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// Nothing.
    Named,
    /// Statements of a kind that has no name.
    Nameless,
    /// The set is "all": it holds even what could not be established.
    Everything,
}

/// The categories by the names that profiles use.
pub(crate) const CATEGORIES: &[(&str, Category)] = &[
    ("DML", Category::Dml),
    ("DDL", Category::Ddl),
    ("DCL", Category::Dcl),
    ("TCL", Category::Tcl),
    ("FUNCTION", Category::Function),
    ("SESSION", Category::Session),
    ("ADMIN", Category::Admin),
    ("EXTENSION", Category::Extension),
    ("EXPLAIN", Category::Explain),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(name: &str) -> Operations {
        Profile::built_in(name).unwrap().operations(OperationSet::EMPTY, OperationSet::EMPTY)
    }

    #[test]
    fn every_operation_has_a_bit_of_its_own() {
        let named = Operation::ALL.len() - 1;
        assert!(named <= 128);
        assert_eq!(OperationSet::all().iter().count(), named);
        assert!(!OperationSet::all().contains(Operation::Unknown));
    }

    #[test]
    fn built_in_profiles_are_what_the_page_says() {
        let permissive = plain("permissive");
        assert_eq!(permissive.reach, Reach::Everything);
        let standard = plain("standard");
        for blocked in ["GRANT", "SET_ROLE", "VACUUM", "CREATE_EXTENSION", "DO", "CALL", "COPY"] {
            assert!(!standard.permitted.contains(Operation::parse(blocked).unwrap()), "{blocked}");
        }
        for allowed in ["SELECT", "DROP", "CREATE", "EXPLAIN", "LISTEN", "SET", "TRANSACTION"] {
            assert!(standard.permitted.contains(Operation::parse(allowed).unwrap()), "{allowed}");
        }
        assert_eq!(standard.reach, Reach::Named);
        let names: Vec<_> = plain("strict").permitted.iter().map(Operation::name).collect();
        assert_eq!(names, ["SELECT", "INSERT", "UPDATE", "DELETE", "TRANSACTION", "EXPLAIN"]);
        let hardened = plain("hardened");
        for blocked in ["DROP", "CREATE", "EXPLAIN", "LOCK", "LOAD", "DISCARD", "COPY", "GRANT"] {
            assert!(!hardened.permitted.contains(Operation::parse(blocked).unwrap()), "{blocked}");
        }
        assert!(BUILT_IN.iter().all(|name| Profile::built_in(name).is_some()));
    }

    #[test]
    fn block_wins_over_allow_and_covers_kin() {
        let copy: OperationSet = [Operation::Copy].into_iter().collect();
        let standard = Profile::standard();
        assert!(standard.operations(copy, OperationSet::EMPTY).permitted.contains(Operation::Copy));
        assert!(!standard.operations(copy, copy).permitted.contains(Operation::Copy));
        let drop = OperationSet::covered_by(Operation::Drop);
        assert!(drop.contains(Operation::DropDatabase) && drop.contains(Operation::DropRole));
    }

    #[test]
    fn begin_is_implied_unless_blocked_by_name() {
        let select: OperationSet = [Operation::Select].into_iter().collect();
        let readonly = Profile { allowed: Some(select), ..Profile::default() };
        assert!(readonly.operations(OperationSet::EMPTY, OperationSet::EMPTY).begin);
        let none = Profile { allowed: Some(OperationSet::EMPTY), ..Profile::default() };
        assert!(!none.operations(OperationSet::EMPTY, OperationSet::EMPTY).begin);
        let transaction = [Operation::Transaction].into_iter().collect();
        assert!(!readonly.operations(OperationSet::EMPTY, transaction).begin);
    }
}
