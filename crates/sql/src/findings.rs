//! What one walk gathers, before it becomes [`SqlFacts`].
//!
//! Invariant: once a fact is unknown it stays unknown, with the first cause.

use model::{
    Fact, FunctionUse, Operation, RelationName, RelationUse, ServerAccess, SettingUse, SqlFacts,
    TransactionStep, Unfiltered, Unknown,
};

use crate::analysis::{Effect, NameRef};

/// A list in the making, or why there will be none.
#[derive(Debug)]
pub(crate) struct Gathered<T>(Fact<Vec<T>>);

impl<T> Default for Gathered<T> {
    fn default() -> Self {
        Self(Fact::Known(Vec::new()))
    }
}

impl<T: Ord + Clone> Gathered<T> {
    pub(crate) fn add(&mut self, item: T) {
        if let Fact::Known(items) = &mut self.0 {
            items.push(item);
        }
    }

    pub(crate) fn unknown(&mut self, why: Unknown) {
        if !self.0.is_unknown() {
            self.0 = Fact::Unknown(why);
        }
    }

    fn merge(&mut self, other: Self) {
        match (&mut self.0, other.0) {
            (Fact::Known(mine), Fact::Known(theirs)) => mine.extend(theirs),
            (Fact::Known(_), Fact::Unknown(why)) => self.0 = Fact::Unknown(why),
            (Fact::Unknown(_), Fact::Known(_) | Fact::Unknown(_)) => {}
        }
    }

    fn map(self, change: impl FnMut(T) -> T) -> Self {
        match self.0 {
            Fact::Known(items) => Self(Fact::Known(items.into_iter().map(change).collect())),
            Fact::Unknown(why) => Self(Fact::Unknown(why)),
        }
    }

    fn finish(self) -> Fact<Vec<T>> {
        match self.0 {
            Fact::Known(mut items) => {
                items.sort_unstable();
                items.dedup();
                Fact::Known(items)
            }
            Fact::Unknown(why) => Fact::Unknown(why),
        }
    }
}

/// What a walk gathers.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) operations: Gathered<Operation>,
    pub(crate) relations: Gathered<RelationUse>,
    pub(crate) functions: Gathered<FunctionUse>,
    pub(crate) settings: Gathered<SettingUse>,
    pub(crate) unfiltered: Gathered<Unfiltered>,
    pub(crate) server_access: Gathered<ServerAccess>,
    pub(crate) references: Vec<NameRef>,
    pub(crate) effects: Vec<Effect>,
    /// SQL texts that it runs, or keeps to be run.
    pub(crate) texts: Vec<String>,
    /// Relations that it names in a text.
    pub(crate) named: Vec<RelationName>,
    /// The statement runs SQL text that one of its arguments holds.
    pub(crate) runs_text: bool,
    /// The statement changes `search_path` while it runs.
    pub(crate) moves_path: bool,
}

impl Findings {
    /// Nothing at all is known.
    pub(crate) fn opaque(&mut self, why: Unknown) {
        self.operations.unknown(why);
        self.relations.unknown(why);
        self.functions.unknown(why);
        self.settings.unknown(why);
        self.unfiltered.unknown(why);
        self.server_access.unknown(why);
    }

    /// Adds what running `inner` as part of this statement does, its effects included.
    pub(crate) fn merge(&mut self, inner: Self) {
        self.operations.merge(inner.operations);
        self.relations.merge(inner.relations);
        self.functions.merge(inner.functions);
        self.settings.merge(inner.settings);
        self.unfiltered.merge(inner.unfiltered);
        self.server_access.merge(inner.server_access);
        self.references.extend(inner.references);
        self.effects.extend(inner.effects);
        self.texts.extend(inner.texts);
        self.named.extend(inner.named);
        self.runs_text |= inner.runs_text;
        self.moves_path |= inner.moves_path;
    }

    /// Adds what *planning* `inner` does: names are read, functions may be folded, nothing runs.
    pub(crate) fn merge_planned(&mut self, inner: Self) {
        let read = |mut used: RelationUse| {
            used.access = model::Access::Read;
            used
        };
        self.relations.merge(inner.relations.map(read));
        self.functions.merge(inner.functions);
        self.settings.merge(inner.settings);
        self.references.extend(inner.references);
        self.texts.extend(inner.texts);
        self.named.extend(inner.named);
    }

    /// The facts of a statement of kind `operation`.
    pub(crate) fn into_facts(
        mut self,
        operation: Operation,
        transaction: Option<TransactionStep>,
    ) -> SqlFacts {
        if self.runs_text && self.moves_path {
            // The inner text may be looked up under the new path.
            self.relations.unknown(Unknown::NotConstant);
        }
        SqlFacts {
            operation,
            empty: false,
            transaction,
            operations: self.operations.finish(),
            relations: self.relations.finish(),
            functions: self.functions.finish(),
            settings: self.settings.finish(),
            unfiltered: self.unfiltered.finish(),
            server_access: self.server_access.finish(),
            shape: Fact::Known(model::Shape::default()),
            columns: Fact::Unknown(Unknown::NoCatalog),
            calls: Fact::Unknown(Unknown::NoCatalog),
            digest: None,
            tenants: Fact::Unknown(Unknown::NoCatalog),
            bodies: Vec::new(),
        }
    }
}
