//! What a statement may change about what names mean, for the statements behind it in its submission.
//!
//! What is *not* here: what a session is after a submission, which its reading follows. Invariant: what was
//! prepared before such a change is planned again after it, so what was found out before is unknown then.
//!
//! Source: PostgreSQL documentation, "PREPARE": "the statement will be planned again"; `plancache.c`.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Operation, SettingChange, SqlFacts};

use crate::analysis::{Discarded, Effect, NameKind, NameRef, Statement};
use crate::context::Known;
use crate::timeline::Step;

/// What names mean behind a statement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shift {
    /// What they meant before it.
    #[default]
    Nothing,
    /// Something else may exist, on the paths there are.
    Existence,
    /// They may be looked for elsewhere.
    Path,
}

impl Shift {
    /// What a definition of before is known to do after this, if names are read with or without a `catalog`.
    /// A catalog tells where a name is, so with one nothing is left of that.
    #[must_use]
    pub fn after(self, definition: &Arc<SqlFacts>, catalog: &Known<'_>) -> Arc<SqlFacts> {
        let has_catalog = match catalog {
            Known::Catalog(_) | Known::Stale => true,
            Known::Nothing | Known::BuiltIn(_) => false,
        };
        match self {
            Self::Nothing => Arc::clone(definition),
            Self::Existence if !has_catalog => Arc::new(definition.after_definitions()),
            Self::Existence | Self::Path => Arc::new(definition.under_another_path()),
        }
    }
}

impl Statement {
    /// What it changes about names, if `facts` are its complete ones.
    pub fn shift(&self, facts: &SqlFacts) -> Shift {
        let path = self.effects().iter().any(|effect| matches!(effect, Effect::SearchPath(_)));
        if path || moves(facts) {
            return Shift::Path;
        }
        // What the protocol has prepared may be any statement, and EXECUTE runs it.
        let controls = facts.operations.known().is_none_or(|all| {
            all.iter().any(|one| matches!(one, Operation::Transaction | Operation::Discard))
        });
        let hidden = !self.references().is_empty() && controls;
        if hidden || facts.may_define() || self.effects().iter().any(changes_existence) {
            return Shift::Existence;
        }
        Shift::Nothing
    }
}

/// Whether settings change where names are looked for, or for whom.
fn moves(facts: &SqlFacts) -> bool {
    let names =
        |name: &str| matches!(name, "search_path" | "role" | "session_authorization" | "*" | "all");
    facts.settings.known().is_none_or(|settings| {
        let now = settings.iter().filter(|setting| setting.change != SettingChange::Stored);
        now.into_iter().any(|setting| names(&setting.name))
    })
}

fn changes_existence(effect: &Effect) -> bool {
    match effect {
        Effect::Own(step) => match step {
            Step::Savepoint(_) | Step::Release(_) => false,
            Step::Made { .. }
            | Step::Anything
            | Step::Commit
            | Step::Rollback
            | Step::RollbackTo(_)
            | Step::DiscardTemporary
            | Step::DiscardAll => true,
        },
        Effect::Discard(Discarded::All | Discarded::Temporary) => true,
        Effect::Discard(Discarded::Plans | Discarded::Sequences)
        | Effect::Prepare { .. }
        | Effect::Deallocate { .. }
        | Effect::Declare { .. }
        | Effect::Close { .. }
        | Effect::SearchPath(_)
        | Effect::Copy => false,
    }
}

/// What was defined before a shift, after it. An open cursor is not planned again, but what it calls is.
pub(crate) fn outdate(
    names: &mut HashMap<NameRef, Arc<SqlFacts>>,
    shift: Shift,
    catalog: &Known<'_>,
) {
    let ignored = match catalog {
        // Nothing rests on what exists.
        Known::Nothing => shift != Shift::Path,
        Known::BuiltIn(_) | Known::Catalog(_) | Known::Stale => shift == Shift::Nothing,
    };
    if ignored {
        return;
    }
    for (name, facts) in names {
        if name.kind == NameKind::Statement || !facts.bodies.is_empty() {
            *facts = shift.after(facts, catalog);
        }
    }
}
