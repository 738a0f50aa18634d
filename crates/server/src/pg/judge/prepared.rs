//! What a text or a name stands for now: facts under the session's present reading.
//!
//! What is *not* here: which message asks, and what becomes of it. Invariant: facts are those of one reading;
//! what was found under another is found again, or is unknown.

use std::sync::Arc;

use model::{SqlFacts, Unknown};
use pgwire::{BindValues, Lookup, NameKind};

use super::Judge;
use crate::pg::bound::{Bound, Types};
use crate::pg::cache::Sight;
use crate::proved::Proved;

/// What a name stands for.
#[derive(Debug, Clone)]
pub(crate) struct Prepared(pub(super) Arc<Source>);

#[derive(Debug)]
pub(super) struct Source {
    /// The text taken apart, for protocol statements; SQL PREPARE and DECLARE have facts alone.
    sight: Option<Arc<Sight>>,
    /// Complete facts, if it is one statement and nothing in it refers to another name.
    proved: Option<Arc<Proved>>,
    /// Of the reading under which they were found.
    epoch: u64,
    /// What Parse said of its parameters.
    types: Types,
    /// A portal: the values that its parameters got.
    bound: Bound,
}

impl Source {
    pub(super) fn sight(&self) -> Option<&Arc<Sight>> {
        self.sight.as_ref()
    }

    pub(super) fn analysis(&self) -> Option<&sql::Analysis> {
        self.sight.as_deref().map(Sight::analysis)
    }

    pub(super) fn text(&self) -> &[u8] {
        self.sight.as_deref().map(Sight::text).unwrap_or_default()
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl Prepared {
    /// A statement of the protocol: its text, and the types that its message declares.
    pub(super) fn statement(sight: Arc<Sight>, epoch: u64, types: &[u8]) -> Self {
        let proved = sight.single().cloned();
        let (types, bound) = (Types::of(types), Bound::default());
        Self(Arc::new(Source { sight: Some(sight), proved, epoch, types, bound }))
    }

    /// Something of which only the facts are known.
    pub(super) fn facts_only(facts: Arc<SqlFacts>, epoch: u64) -> Self {
        let (types, bound) = (Types::default(), Bound::default());
        let proved = Some(Arc::new(Proved::one(facts)));
        Self(Arc::new(Source { sight: None, proved, epoch, types, bound }))
    }

    /// What a name stands for that nobody has defined.
    pub(super) fn unresolved() -> Self {
        Self::facts_only(Arc::new(SqlFacts::unknown(Unknown::UnresolvedName)), 0)
    }
}

impl Judge {
    /// A text taken apart under the present reading.
    pub(super) fn sight(&mut self, text: &[u8]) -> Arc<Sight> {
        let Self { cache, reading, .. } = self;
        cache.sight(text, reading.epoch(), |text| sql::analyze(text, &reading.context()))
    }

    /// The same of a source's text.
    pub(super) fn sight_now(&mut self, source: &Source) -> Option<Arc<Sight>> {
        let sight = source.sight()?;
        if source.epoch == self.reading.epoch() {
            return Some(Arc::clone(sight));
        }
        Some(self.sight(sight.text()))
    }

    /// Facts of every statement, or `None` if a name in it waits for an answer.
    pub(super) fn facts(&mut self, sight: &Sight) -> Option<Arc<Proved>> {
        if let Some(proved) = sight.proved() {
            return Some(Arc::clone(proved));
        }
        let mut facts = Vec::with_capacity(1);
        // What a name's definition does is found out before the first statement has run.
        let mut shift = sql::Shift::Nothing;
        for statement in sight.analysis().statements() {
            let references = statement.references();
            if references.iter().any(|reference| self.waits_for_name(reference)) {
                return None;
            }
            let named = |one: &sql::NameRef| self.named_facts(one.kind, &one.name, shift);
            let named: Vec<_> = references.iter().map(named).collect();
            let lookup = |kind, name: &str| {
                let is_it = |one: &sql::NameRef| one.kind == kind && one.name == name;
                named.get(references.iter().position(is_it)?).cloned().flatten()
            };
            let complete = Arc::new(statement.facts(&lookup).into_owned());
            shift = shift.max(statement.shift(&complete));
            facts.push(complete);
        }
        Some(Arc::new(Proved::several(facts)))
    }

    fn waits_for_name(&self, reference: &sql::NameRef) -> bool {
        let name = reference.name.as_bytes();
        matches!(self.protocol.lookup(wire_kind(reference.kind), name), Lookup::Wait)
    }

    /// Facts behind a name inside a statement, after what earlier ones of its text have changed. What refers further
    /// is not followed.
    fn named_facts(
        &mut self,
        kind: sql::NameKind,
        name: &str,
        shift: sql::Shift,
    ) -> Option<Arc<SqlFacts>> {
        let prepared = match self.protocol.lookup(wire_kind(kind), name.as_bytes()) {
            Lookup::Found(prepared) => prepared.clone(),
            Lookup::Missing | Lookup::Unknown | Lookup::Wait => return None,
        };
        let source = &prepared.0;
        match shift {
            sql::Shift::Nothing => self.current(source).map(|now| Arc::clone(now.first())),
            sql::Shift::Existence | sql::Shift::Path => self.shifted(source, shift),
        }
    }

    /// A source's facts where what names mean is not known by now; `None` if it refers to other names.
    fn shifted(&self, source: &Source, shift: sql::Shift) -> Option<Arc<SqlFacts>> {
        let context = self.reading.context_after(shift);
        if let Some(sight) = source.sight() {
            let analysis = sql::analyze(sight.text(), &context);
            let [statement] = analysis.statements() else { return None };
            return statement.own_facts().map(|facts| source.bound.apply(Arc::clone(facts)));
        }
        let before = source.proved.as_ref()?.first();
        // What was found under another reading may rest on other paths, too.
        let is_now = source.epoch == self.reading.epoch();
        let shift = if is_now { shift } else { sql::Shift::Path };
        Some(shift.after(before, &context.catalog))
    }

    /// A source's facts under the present reading; `None` if it refers to other names.
    fn current(&mut self, source: &Source) -> Option<Arc<Proved>> {
        if source.epoch == self.reading.epoch() {
            return source.proved.clone();
        }
        // The server plans again under the search path of the moment, so we read again.
        if let Some(sight) = self.sight_now(source) {
            return sight.single().map(|proved| bound(proved, &source.bound));
        }
        let proved = source.proved.as_ref()?;
        Some(Arc::new(Proved::one(Arc::new(proved.first().under_another_path()))))
    }

    pub(super) fn prepared_facts(&mut self, prepared: &Prepared) -> Option<Arc<Proved>> {
        if let Some(proved) = self.current(&prepared.0) {
            return Some(proved);
        }
        match self.sight_now(&prepared.0) {
            Some(sight) => self.facts(&sight),
            None => {
                Some(Arc::new(Proved::one(Arc::new(SqlFacts::unknown(Unknown::UnresolvedName)))))
            }
        }
    }

    /// What a portal stands for: the statement with its values, as far as they decide.
    pub(super) fn bind_values(&mut self, prepared: Prepared, values: &BindValues<'_>) -> Prepared {
        let Some(now) = self.current(&prepared.0) else { return prepared };
        let utf8 = self.reading.context().encoding == sql::Encoding::Utf8;
        let values = Bound::of(now.first(), values, &prepared.0.types, utf8);
        if values.is_empty() {
            return prepared;
        }
        let Source { sight, proved, epoch, types, bound: _ } = &*prepared.0;
        let proved = proved.as_ref().map(|proved| bound(proved, &values));
        let (sight, types) = (sight.clone(), types.clone());
        Prepared(Arc::new(Source { sight, proved, epoch: *epoch, types, bound: values }))
    }
}

/// The facts of one statement with a portal's values. Those are facts of their own, about which nothing has been
/// said.
fn bound(proved: &Arc<Proved>, values: &Bound) -> Arc<Proved> {
    if values.is_empty() {
        return Arc::clone(proved);
    }
    Arc::new(Proved::one(values.apply(Arc::clone(proved.first()))))
}

pub(super) fn wire_kind(kind: sql::NameKind) -> NameKind {
    match kind {
        sql::NameKind::Statement => NameKind::Statement,
        sql::NameKind::Cursor => NameKind::Portal,
    }
}
