//! What one session has made, changed or dropped, and others do not see: temporary relations, and
//! the definitions of its open transaction.
//!
//! Cheap to clone. Not here: what a statement makes of it ([`crate::resolved`]), and what a rollback takes back
//! ([`crate::timeline`]). Invariants: bounded by [`MAX_OWN_RELATIONS`]; what may have changed in a way
//! that was not followed is doubted, and a name that reaches a doubted relation is unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::Name;

use super::{Column, Oid, Relation, RelationKind, TEMPORARY};
use crate::limits::MAX_OWN_RELATIONS;
use crate::resolved::ViewReads;

/// Own relations, laid over a catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    /// Made, or changed: these hide stored ones of the same OID.
    relations: Vec<Arc<Relation>>,
    /// Stored ones that are changed, replaced or dropped.
    taken: BTreeSet<Oid>,
    /// What own views read, by OID: names may mean something else later.
    views: BTreeMap<Oid, Arc<ViewReads>>,
    /// Sequences that go with a table.
    owners: BTreeMap<Oid, Oid>,
    /// Dropped when the transaction commits.
    until_commit: BTreeSet<Oid>,
    /// They may have changed, or be gone.
    doubted: BTreeSet<Oid>,
    /// Stored views may mean something else: what they read has been changed.
    doubts_views: bool,
    /// How many OIDs were made up.
    made: u32,
}

impl Own {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.relations.is_empty() && self.taken.is_empty() && !self.doubts_views
    }

    /// Whether it is that of a new session.
    pub(crate) fn is_new(&self) -> bool {
        let Self { owners, until_commit, doubted, made, .. } = self;
        self.is_empty()
            && self.views.is_empty()
            && owners.is_empty()
            && until_commit.is_empty()
            && doubted.is_empty()
            && *made == 0
    }

    pub(crate) fn relation(&self, schema: &str, name: &str) -> Option<&Relation> {
        let mut all = self.relations.iter().map(Arc::as_ref);
        all.find(|own| *own.name == *name && *own.schema == *schema)
    }

    pub(crate) fn relation_by_oid(&self, oid: Oid) -> Option<&Relation> {
        self.relations.iter().map(Arc::as_ref).find(|own| own.oid == oid)
    }

    /// Whether a stored relation is not what it was.
    pub(crate) fn has_taken(&self, oid: Oid) -> bool {
        self.taken.contains(&oid)
    }

    /// What an own view reads.
    pub(crate) fn view(&self, oid: Oid) -> Option<&Arc<ViewReads>> {
        self.views.get(&oid)
    }

    pub(crate) fn is_doubted(&self, oid: Oid) -> bool {
        self.doubted.contains(&oid)
    }

    pub(crate) const fn doubts_views(&self) -> bool {
        self.doubts_views
    }

    /// Whether one of them inherits from it.
    pub(crate) fn is_parent(&self, oid: Oid) -> bool {
        self.relations.iter().any(|own| own.parents.contains(&oid))
    }

    /// OIDs that the server does not know.
    pub(crate) fn made_up(&self) -> impl Iterator<Item = Oid> + '_ {
        let stored = |oid: &Oid| self.taken.contains(oid);
        self.relations.iter().map(|own| own.oid).filter(move |oid| !stored(oid))
    }

    /// Adds a relation, in place of one of that name. `None` if there are too many.
    pub(crate) fn add(&mut self, new: NewRelation) -> Option<Oid> {
        if self.relations.len() >= MAX_OWN_RELATIONS {
            return None;
        }
        let oid = u32::MAX - self.made;
        self.made += 1;
        let columns = new.columns.into_iter().zip(1..);
        let columns = columns.map(|(column, number)| column.numbered(number)).collect();
        self.relations.retain(|own| *own.name != *new.name || *own.schema != *new.schema);
        self.relations.push(Arc::new(Relation {
            columns,
            parents: new.parents,
            // What it reads stands in `views`.
            definition: new.reads.is_some().then(Box::default),
            security_invoker: new.reads.is_some(),
            ..Relation::bare(oid, &new.schema, &new.name, new.kind)
        }));
        self.views.extend(new.reads.map(|reads| (oid, reads)));
        Some(oid)
    }

    /// A relation that can be changed: own, or a copy of a stored one. `None` if there are too many.
    pub(crate) fn change(&mut self, relation: &Relation) -> Option<&mut Relation> {
        if self.relation_by_oid(relation.oid).is_none() {
            if self.relations.len() >= MAX_OWN_RELATIONS {
                return None;
            }
            self.taken.insert(relation.oid);
            self.relations.push(Arc::new(relation.clone()));
        }
        let mut all = self.relations.iter_mut();
        all.find(|own| own.oid == relation.oid).map(Arc::make_mut)
    }

    /// A relation is no more, nor are its sequences.
    pub(crate) fn remove(&mut self, relation: &Relation) {
        let is_made =
            self.relation_by_oid(relation.oid).is_some() && !self.taken.contains(&relation.oid);
        if !is_made {
            self.taken.insert(relation.oid);
        }
        let owners = &self.owners;
        let gone = |oid: Oid| oid == relation.oid || owners.get(&oid) == Some(&relation.oid);
        self.relations.retain(|own| !gone(own.oid));
        self.views.remove(&relation.oid);
        self.doubted.remove(&relation.oid);
        self.until_commit.remove(&relation.oid);
    }

    /// A sequence goes with its table.
    pub(crate) fn owned_by(&mut self, sequence: Oid, table: Oid) {
        self.owners.insert(sequence, table);
    }

    pub(crate) fn drop_at_commit(&mut self, oid: Oid) {
        self.until_commit.insert(oid);
    }

    /// Everything that it has, but for one, may have changed.
    pub(crate) fn doubt_all_but(&mut self, spared: Option<Oid>) {
        let all = self.relations.iter().map(|own| own.oid);
        self.doubted.extend(all.filter(|oid| Some(*oid) != spared));
    }

    /// The sequences of a table may be gone.
    pub(crate) fn doubt_sequences(&mut self, table: Oid) {
        let of_table = self.owners.iter().filter(|(_, owner)| **owner == table);
        self.doubted.extend(of_table.map(|(sequence, _)| *sequence));
    }

    /// Stored views that read what was changed are not followed.
    pub(crate) const fn doubt_views(&mut self) {
        self.doubts_views = true;
    }

    /// What is left after a commit: what others see, they and we read from the server.
    pub(crate) fn committed(&self) -> Self {
        let kept =
            |own: &Relation| *own.schema == *TEMPORARY && !self.until_commit.contains(&own.oid);
        let mut left = self.only(kept);
        left.taken.clear();
        left.doubts_views = false;
        left
    }

    /// What is left when all temporary relations are dropped.
    pub(crate) fn without_temporary(&self) -> Self {
        self.only(|own| *own.schema != *TEMPORARY)
    }

    fn only(&self, kept: impl Fn(&Relation) -> bool) -> Self {
        let mut left = self.clone();
        left.relations.retain(|own| kept(own));
        let oids: BTreeSet<Oid> = left.relations.iter().map(|own| own.oid).collect();
        left.views.retain(|oid, _| oids.contains(oid));
        left.doubted.retain(|oid| oids.contains(oid));
        left.owners.retain(|oid, _| oids.contains(oid));
        left.until_commit.retain(|oid| oids.contains(oid));
        left
    }
}

/// A column in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewColumn {
    pub(crate) name: Name,
    /// It cannot be null.
    pub(crate) not_null: bool,
}

impl NewColumn {
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.into(), not_null: false }
    }

    pub(crate) fn numbered(self, number: i16) -> Column {
        let Self { name, not_null } = self;
        Column { name, number, type_oid: 0, not_null, default: None, generated: false }
    }
}

/// A relation in the making.
#[derive(Debug)]
pub(crate) struct NewRelation {
    pub(crate) schema: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) kind: RelationKind,
    pub(crate) columns: Vec<NewColumn>,
    pub(crate) parents: Vec<Oid>,
    pub(crate) reads: Option<Arc<ViewReads>>,
}
