//! What stands behind the relations that a statement names: a view's own reads, children and
//! partitions, parents; `attached` says what happens besides.
//!
//! Invariant: only ever adds uses. What a view filters and joins by counts whichever of its columns
//! is read; what an output column is made from counts where that column is read.

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use model::{ColumnRole, Unknown};

use super::attached::Fired;
use super::{Call, Part, Resolved, Resolver, Use};
use crate::catalog::{Catalog, Event, Oid, Relation, TEMPORARY};
use crate::{limits, parse};

/// A view's reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ViewReads {
    pub(super) always: BTreeSet<Use>,
    pub(super) columns: Vec<BTreeSet<Use>>,
    /// Names without a schema are in `pg_catalog`.
    pub(super) calls: BTreeSet<Call<Box<str>>>,
}

/// What is done to relations.
pub(crate) type Events = BTreeSet<(Oid, Event)>;

/// How a use was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A view reads it with its owner's rights, or it is a row of a child.
    Behind,
    /// A view with `security_invoker` reads it with the rights of who asks: as if it were named.
    AsNamed,
    /// A rule on the parent means its children, too.
    Up,
}

/// Follows uses to what is behind them.
pub(crate) struct Reach<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) left: &'a Cell<usize>,
    views: HashMap<Oid, Rc<ViewReads>>,
    path: OnceCell<[String; 2]>,
}

/// The path of a view's definition: what it does not qualify is in `pg_catalog`, and never a temporary
/// relation.
pub(super) fn of_definitions() -> [String; 2] {
    ["pg_catalog".to_owned(), TEMPORARY.to_owned()]
}

/// What is behind the relations that a statement names.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// Read with the rights of who asks.
    pub(crate) as_named: BTreeSet<Use>,
    /// Anything else.
    pub(crate) reached: BTreeSet<Use>,
    /// What views call.
    pub(crate) calls: BTreeSet<Call<Box<str>>>,
    /// What is attached to relations calls.
    pub(super) besides: BTreeSet<Call<Box<str>>>,
    /// What defaults, generated columns and checks call, with the rights of who writes.
    pub(super) expressions: BTreeSet<Call<Box<str>>>,
    /// Triggers.
    pub(super) fired: BTreeSet<Fired>,
    /// Settings change, by way of the view that shows them.
    pub(super) settings: bool,
}

/// `pg_settings`, whose rule sets what an UPDATE writes (PostgreSQL documentation, "System Views").
fn is_settings(relation: &Relation) -> bool {
    (&*relation.schema, &*relation.name) == ("pg_catalog", "pg_settings")
}

/// Whether a generated column may change with those that do: its expression has the name of one.
fn is_made_anew(relation: &Relation, column: i16, changed: &BTreeSet<(Oid, i16)>) -> bool {
    let generated = relation.column(column).filter(|one| one.generated);
    let Some(expression) = generated.and_then(|one| one.default.as_deref()) else { return false };
    changed
        .range((relation.oid, i16::MIN)..=(relation.oid, i16::MAX))
        .filter_map(|(_, number)| relation.column(*number))
        // As it stands between quotes, if it does.
        .any(|one| expression.contains(&one.name.replace('"', "\"\"")))
}

/// What changes in a parent changes in its child, by name. Whether that is more than was known.
fn hand_down(parent: &Relation, child: &Relation, changed: &mut BTreeSet<(Oid, i16)>) -> bool {
    let own = changed.range((parent.oid, i16::MIN)..=(parent.oid, i16::MAX));
    let names: Vec<_> = own.filter_map(|(_, number)| parent.column(*number)).collect();
    let mut more = false;
    for column in child.columns.iter().filter(|one| names.iter().any(|name| name.name == one.name))
    {
        more |= changed.insert((child.oid, column.number));
    }
    more
}

impl Behind {
    /// Whether nothing behind them calls anything.
    pub(super) fn is_silent(&self) -> bool {
        self.calls.is_empty()
            && self.besides.is_empty()
            && self.expressions.is_empty()
            && self.fired.is_empty()
    }
}

impl<'a> Reach<'a> {
    pub(crate) fn new(catalog: &'a Catalog, left: &'a Cell<usize>) -> Self {
        Self { catalog, left, views: HashMap::new(), path: OnceCell::new() }
    }

    /// Everything that is behind what a statement touches itself: uses, which are sorted, and what is done.
    ///
    /// # Errors
    /// A view or a rule that cannot be followed, or too much behind it.
    pub(crate) fn behind(
        &mut self,
        direct: &[Use],
        (done, changed): (&Events, &BTreeSet<(Oid, i16)>),
    ) -> Resolved<Behind> {
        let mut found = Behind::default();
        let mut waiting: Vec<(Use, Way)> = Vec::new();
        let mut named = direct.iter().rev().map(|used| (*used, Way::AsNamed));
        // The last relation with nothing behind it.
        let mut plain: Option<Oid> = None;
        // Behind the statement's back any column may change.
        let mut events: BTreeSet<((Oid, Event), bool)> =
            done.iter().map(|event| (*event, false)).collect();
        let (mut changed, mut happened) = (changed.clone(), BTreeSet::new());
        loop {
            if found.as_named.len() + found.reached.len() + happened.len() > limits::MAX_REACH {
                return Err(Unknown::TooComplex);
            }
            if let Some((used, way)) = waiting.pop().or_else(|| named.next()) {
                if plain == Some(used.relation) {
                    continue;
                }
                let relation = self.catalog.relation_by_oid(used.relation);
                let relation = relation.ok_or(Unknown::NotInCatalog)?;
                if self.is_plain(relation) {
                    plain = Some(used.relation);
                    continue;
                }
                if self.may_set_off(used, way) {
                    events.insert(((used.relation, Event::Select), true));
                }
                for (next, way) in self.next(relation, used, way)? {
                    let new = match way {
                        Way::AsNamed => {
                            direct.binary_search(&next).is_err() && found.as_named.insert(next)
                        }
                        Way::Behind | Way::Up => found.reached.insert(next),
                    };
                    if new {
                        waiting.push((next, way));
                    }
                }
            } else if let Some((next, any)) = events.pop_first() {
                if !happened.insert((next, any)) {
                    continue;
                }
                let relation = self.catalog.relation_by_oid(next.0);
                let relation = relation.ok_or(Unknown::NotInCatalog)?;
                found.settings |= next.1 == Event::Update && is_settings(relation);
                let changes = |column| {
                    any || changed.contains(&(next.0, column))
                        || is_made_anew(relation, column, &changed)
                };
                let set_off = self.set_off((relation, next.1), changes)?;
                for (child, event) in set_off.below {
                    let child = self.catalog.relation_by_oid(child).ok_or(Unknown::NotInCatalog)?;
                    if !any && event == Event::Update && hand_down(relation, child, &mut changed) {
                        happened.remove(&((child.oid, event), false));
                    }
                    events.insert(((child.oid, event), any));
                }
                let new =
                    set_off.touched.uses.into_iter().filter(|used| found.reached.insert(*used));
                waiting.extend(new.map(|used| (used, Way::Behind)));
                events.extend(set_off.touched.events.into_iter().map(|event| (event, true)));
                found.besides.extend(set_off.touched.calls);
                found.expressions.extend(set_off.expressions);
                found.fired.extend(set_off.fired);
            } else {
                break;
            }
        }
        let calls = self.views.values().flat_map(|reads| reads.calls.iter().cloned());
        found.calls.extend(calls);
        Ok(found)
    }

    /// Whether something is attached to what is read; it may be read only.
    fn may_set_off(&self, used: Use, way: Way) -> bool {
        used.role != ColumnRole::Write
            && way != Way::Up
            && self.catalog.attached(used.relation).next().is_some()
    }

    /// Whether nothing is behind it.
    fn is_plain(&self, relation: &Relation) -> bool {
        relation.definition.is_none()
            && relation.parents.is_empty()
            && self.catalog.children(relation.oid).is_empty()
            && self.catalog.attached(relation.oid).next().is_none()
    }

    fn next(&mut self, relation: &'a Relation, used: Use, way: Way) -> Resolved<Vec<(Use, Way)>> {
        let mut next = Vec::new();
        if relation.definition.is_some() {
            let reads = self.reads(relation)?;
            let how = if relation.security_invoker { Way::AsNamed } else { Way::Behind };
            next.extend(reads.always.iter().map(|used| (*used, how)));
            if relation.security_invoker {
                // The server asks for every column that the view is made from, used or not.
                next.extend(reads.columns.iter().flatten().map(|used| (*used, how)));
            } else {
                // Nor does it ask whether a column is used that is made from a view which is such, or
                // which calls functions.
                let catalog = self.catalog;
                let is_view = |used: &&Use| {
                    let inner = catalog.relation_by_oid(used.relation);
                    inner.is_some_and(|inner| inner.definition.is_some())
                };
                let views = reads.columns.iter().flatten().filter(is_view);
                next.extend(views.map(|used| (Use { part: Part::Any, ..*used }, how)));
            }
            next.extend(through(relation, &reads, used).map(|used| (used, how)));
        }
        let oids = match way {
            Way::Behind | Way::AsNamed => self.catalog.children(relation.oid),
            Way::Up => &[],
        };
        for child in oids {
            next.extend(self.twin(relation, *child, used).map(|used| (used, Way::Behind)));
        }
        for parent in &relation.parents {
            next.extend(self.twin(relation, *parent, used).map(|used| (used, Way::Up)));
        }
        Ok(next)
    }

    /// The same use of a relative: its column of that name.
    fn twin(&self, relation: &Relation, other: Oid, used: Use) -> Option<Use> {
        let other = self.catalog.relation_by_oid(other)?;
        let part = match used.part {
            Part::Any => Part::Any,
            Part::Column(number) if number < 0 => used.part,
            Part::Column(number) => {
                let column = relation.columns.iter().find(|column| column.number == number)?;
                let twin = other.columns.iter().find(|twin| twin.name == column.name)?;
                Part::Column(twin.number)
            }
        };
        Some(Use { relation: other.oid, part, role: used.role })
    }

    /// The path that definitions are read under.
    pub(super) fn path(&self) -> &[String] {
        self.path.get_or_init(of_definitions)
    }

    pub(super) fn reads(&mut self, view: &'a Relation) -> Resolved<Rc<ViewReads>> {
        if let Some(known) = self.views.get(&view.oid) {
            return Ok(Rc::clone(known));
        }
        if let Some(own) = self.catalog.own().view(view.oid) {
            // Each time anew from what was found when it was made: names may mean other things now.
            let reads = ViewReads::clone(own);
            return Ok(self.remember(view.oid, reads));
        }
        if self.catalog.own().doubts_views() {
            return Err(Unknown::StaleCatalog);
        }
        let text = view.definition.as_deref().unwrap_or_default();
        let tree = parse::parse(text).map_err(|_message| Unknown::ParseError)?;
        let path = of_definitions();
        let mut reads = ViewReads::default();
        for raw in tree.statements() {
            let mut resolver = Resolver::new(self.catalog, &path, self.left);
            resolver.outputs = Some(Vec::new());
            resolver.statement(raw.stmt())?;
            reads.columns = resolver.outputs.take().unwrap_or_default();
            reads.always = resolver.touched.uses.into_sorted().into_iter().collect();
            reads.calls = resolver.touched.calls.sorted().iter().map(Call::kept).collect();
        }
        Ok(self.remember(view.oid, reads))
    }

    fn remember(&mut self, view: Oid, reads: ViewReads) -> Rc<ViewReads> {
        let reads = Rc::new(reads);
        self.views.insert(view, Rc::clone(&reads));
        reads
    }
}

/// What one column of a view is made from; a row as such is made from none of them.
fn through(view: &Relation, reads: &ViewReads, used: Use) -> impl Iterator<Item = Use> {
    let position = match used.part {
        Part::Any => None,
        Part::Column(number) => view.columns.iter().position(|column| column.number == number),
    };
    let made_from = position.and_then(|at| reads.columns.get(at)).cloned().unwrap_or_default();
    made_from.into_iter().flat_map(move |inner| {
        let written = Use { role: ColumnRole::Write, ..inner };
        [Some(inner), (used.role == ColumnRole::Write).then_some(written)].into_iter().flatten()
    })
}
