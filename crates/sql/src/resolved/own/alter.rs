//! Relations that are altered, renamed or dropped.
//!
//! Invariant: a command without a rule here leaves the relation doubted, or, if others see it, the
//! catalog stale.

use model::Unknown;

use super::create::{defined, has_sequence};
use super::{Maker, extent_in, is_private, listed};
use crate::catalog::{Column, Own, Relation};
use crate::parse::{Node, nodes, raw};
use crate::resolved::Resolved;
use crate::timeline::{Extent, Step};

use raw::AlterTableType as Kind;
use raw::ObjectType as Object;

impl<'a> Maker<'a> {
    /// ALTER TABLE and its like.
    pub(super) fn alter(&self, alter: &'a nodes::AlterTableStmt) -> Resolved<Step> {
        let var = alter.relation().ok_or(Unknown::UnknownStatement)?;
        // An index, or what IF EXISTS passes by.
        let Some(relation) = self.relation(var)? else { return Ok(self.same(Extent::Unfollowed)) };
        let mut own = self.own();
        for command in alter.cmds() {
            let Node::AlterTableCmd(command) = command else {
                return Err(Unknown::UnknownStatement);
            };
            if !self.command(command, relation, &mut own)? {
                return Ok(self.doubtful());
            }
        }
        Ok(Self::changed(own, extent_in(&relation.schema)))
    }

    /// One command of ALTER TABLE. Whether it is followed.
    fn command(
        &self,
        command: &'a nodes::AlterTableCmd,
        relation: &Relation,
        own: &mut Own,
    ) -> Resolved<bool> {
        let cascades = command.behavior == raw::DropBehavior::DROP_CASCADE;
        match command.subtype {
            Kind::AT_AddColumn => self.add_column(command, relation, own),
            Kind::AT_DropColumn if !cascades => {
                let name = command.name().unwrap_or_default();
                if self.has_family(relation) {
                    return Ok(false);
                }
                own.doubt_sequences(relation.oid);
                doubt_stored_views(own, relation);
                let changed = own.change(relation).ok_or(Unknown::TooComplex)?;
                changed.columns.retain(|column| *column.name != *name);
                Ok(true)
            }
            Kind::AT_SetNotNull => {
                let name = command.name().unwrap_or_default();
                never_null(own, relation, |column| *column.name == *name)
            }
            // What the index or the constraint covers is not looked at: it may keep NULL out of any.
            Kind::AT_AddIndex | Kind::AT_AddIndexConstraint | Kind::AT_AddConstraint => {
                never_null(own, relation, |_| true)
            }
            Kind::AT_ColumnDefault
            | Kind::AT_DropNotNull
            | Kind::AT_SetStatistics
            | Kind::AT_SetOptions
            | Kind::AT_ResetOptions
            | Kind::AT_SetStorage
            | Kind::AT_SetCompression
            | Kind::AT_AlterConstraint
            | Kind::AT_ValidateConstraint
            | Kind::AT_AlterColumnType
            | Kind::AT_ChangeOwner
            | Kind::AT_ClusterOn
            | Kind::AT_DropCluster
            | Kind::AT_SetLogged
            | Kind::AT_SetUnLogged
            | Kind::AT_SetAccessMethod
            | Kind::AT_SetTableSpace
            | Kind::AT_ReplicaIdentity => Ok(true),
            Kind::AT_DropConstraint => Ok(!cascades),
            _ => Ok(false),
        }
    }

    fn add_column(
        &self,
        command: &'a nodes::AlterTableCmd,
        relation: &Relation,
        own: &mut Own,
    ) -> Resolved<bool> {
        let Node::ColumnDef(definition) = command.def() else { return Ok(false) };
        let name = definition.colname().unwrap_or_default();
        let known = own.relation_by_oid(relation.oid).unwrap_or(relation);
        if known.columns.iter().any(|column| *column.name == *name) {
            // IF NOT EXISTS, or an error. Of what others see it is not certain.
            return Ok(is_private(relation));
        }
        if self.has_family(relation) || (command.missing_ok && !is_private(relation)) {
            return Ok(false);
        }
        let changed = own.change(relation).ok_or(Unknown::TooComplex)?;
        let last = changed.columns.iter().map(|column| column.number).max().unwrap_or(0);
        // Beyond those of dropped columns, whose numbers nobody knows here.
        let number = last.checked_add(FREE_NUMBERS).ok_or(Unknown::TooComplex)?;
        changed.columns.push(defined(definition).numbered(number));
        if has_sequence(definition) {
            let (schema, table) = (&relation.schema, &relation.name);
            self.add_sequence(own, schema, (table, name), relation.oid)?;
        }
        Ok(true)
    }

    /// What is done to it is done to others, too, or was decided by them.
    fn has_family(&self, relation: &Relation) -> bool {
        !relation.parents.is_empty()
            || !self.catalog.children(relation.oid).is_empty()
            || self.catalog.own().is_parent(relation.oid)
    }

    /// ALTER … RENAME.
    pub(super) fn rename(&self, rename: &'a nodes::RenameStmt) -> Resolved<Step> {
        let new = rename.newname().unwrap_or_default();
        let is_column = rename.rename_type == Object::OBJECT_COLUMN;
        if !is_column && !is_relation(rename.rename_type) {
            return Ok(match rename.rename_type {
                // A type's attributes are columns of tables made of it; a schema's name is in every
                // relation's.
                Object::OBJECT_ATTRIBUTE | Object::OBJECT_SCHEMA => self.doubtful(),
                _ => self.same(Extent::Unfollowed),
            });
        }
        let var = rename.relation().ok_or(Unknown::UnknownStatement)?;
        let Some(relation) = self.relation(var)? else { return Ok(self.same(Extent::Unfollowed)) };
        if is_column && self.has_family(relation) {
            return Ok(self.doubtful());
        }
        let mut own = self.own();
        doubt_stored_views(&mut own, relation);
        let changed = own.change(relation).ok_or(Unknown::TooComplex)?;
        if is_column {
            let old = rename.subname().unwrap_or_default();
            for column in changed.columns.iter_mut().filter(|column| *column.name == *old) {
                column.name = new.into();
            }
        } else {
            changed.name = new.into();
        }
        Ok(Self::changed(own, extent_in(&relation.schema)))
    }

    /// DROP. Without CASCADE nothing depends on what is dropped.
    pub(super) fn dropped(&self, drop: &'a nodes::DropStmt) -> Resolved<Step> {
        let cascades = drop.behavior == raw::DropBehavior::DROP_CASCADE;
        if !is_relation(drop.remove_type) {
            return Ok(if cascades { self.doubtful() } else { self.same(Extent::Unfollowed) });
        }
        let mut own = self.own();
        let mut extent = Extent::Private;
        for object in drop.objects() {
            let written = listed(object).ok_or(Unknown::UnknownStatement)?;
            match self.named(written)? {
                Some(relation) => {
                    extent = extent.max(extent_in(&relation.schema));
                    if cascades {
                        own.doubt_all_but(Some(relation.oid));
                        doubt_stored_views(&mut own, relation);
                    }
                    own.remove(relation);
                }
                // What IF EXISTS passes by is nobody's; an index has no name that is looked up.
                None if drop.missing_ok => extent = extent.max(Extent::Followed),
                None => extent = Extent::Unfollowed,
            }
        }
        Ok(Self::changed(own, extent))
    }
}

/// Columns that can be null no more. That they can again is not followed: a condition then counts as
/// filtering less than it does.
fn never_null(
    own: &mut Own,
    relation: &Relation,
    which: impl Fn(&Column) -> bool,
) -> Resolved<bool> {
    let changed = own.change(relation).ok_or(Unknown::TooComplex)?;
    for column in changed.columns.iter_mut().filter(|column| which(column)) {
        column.not_null = true;
    }
    Ok(true)
}

/// Numbers that are left for columns that were dropped, between the last one and a new one.
const FREE_NUMBERS: i16 = 1_700;

/// A stored view's text may name what is not called so any more.
fn doubt_stored_views(own: &mut Own, relation: &Relation) {
    if !is_private(relation) {
        own.doubt_views();
    }
}

fn is_relation(kind: Object::Type) -> bool {
    matches!(
        kind,
        Object::OBJECT_TABLE
            | Object::OBJECT_VIEW
            | Object::OBJECT_MATVIEW
            | Object::OBJECT_INDEX
            | Object::OBJECT_SEQUENCE
            | Object::OBJECT_FOREIGN_TABLE
    )
}
