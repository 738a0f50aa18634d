//! Statements that are no queries: those that hold one, COPY, and definitions.

use std::rc::Rc;

use model::{Access, ColumnRole, Unknown};

use super::from::item_of;
use super::namespace::{Item, Namespace, Output, Outputs};
use super::own::listed;
use super::{Call, Part, Resolved, Resolver, plpgsql};
use crate::catalog::{Event, Function};
use crate::children::each_child;
use crate::ops;
use crate::parse::raw::ObjectType as Object;
use crate::parse::{Node, nodes, raw};
use crate::resolve::{Qualified, strings};

/// Resolves a statement.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other statements are definitions: every relation that one names counts whole"
)]
pub(super) fn statement<'a>(resolver: &mut Resolver<'a>, root: Node<'a>) -> Resolved<()> {
    let mut node = root;
    // EXPLAIN DECLARE …, at most.
    for _ in 0..4 {
        node = match node {
            Node::SelectStmt(_)
            | Node::InsertStmt(_)
            | Node::UpdateStmt(_)
            | Node::DeleteStmt(_)
            | Node::MergeStmt(_) => {
                return resolver.query(node, None, 0).map(|_outputs| ());
            }
            Node::ExplainStmt(explain) => explain.query(),
            Node::CreateTableAsStmt(create) => create.query(),
            Node::DeclareCursorStmt(declare) => declare.query(),
            Node::PrepareStmt(prepare) => prepare.query(),
            Node::ViewStmt(view) => view.query(),
            Node::CopyStmt(copy) => return resolver.copy(copy),
            Node::Query(_) => return Err(Unknown::UnknownStatement),
            other => return resolver.definition(other),
        };
    }
    Err(Unknown::UnknownStatement)
}

/// The language of most triggers.
pub(super) const PLPGSQL: &str = "plpgsql";

/// Inside a function, what the names of its arguments mean, and a trigger's rows: less than any column does. Of what type they
/// are nobody asks, so that each may have fields.
pub(super) fn arguments(function: &Function) -> Rc<Namespace<'_>> {
    fn item<'f>(name: &'f str, outputs: Outputs<'f>, visible: bool) -> Item<'f> {
        Item { visible, ..Item::derived(Some(name), outputs) }
    }
    if &*function.language == PLPGSQL {
        let columns = plpgsql::NAMES.iter().copied().map(Output::named).collect();
        let mut items = vec![item("", Outputs { columns, ..Outputs::default() }, true)];
        let row = |name| item(name, Outputs { open: true, ..Outputs::default() }, false);
        items.extend(["new", "old"].map(row));
        return Rc::new(Namespace { items, outer: None });
    }
    let names = function.argument_names.iter().map(|name| &**name).filter(|name| !name.is_empty());
    let columns = names.clone().map(Output::named).collect();
    let mut items = vec![item(&function.name, Outputs { columns, ..Outputs::default() }, true)];
    items.extend(names.map(|name| item(name, Outputs { open: true, ..Outputs::default() }, false)));
    Rc::new(Namespace { items, outer: None })
}

impl<'a> Resolver<'a> {
    fn copy(&mut self, copy: &'a nodes::CopyStmt) -> Resolved<()> {
        let Some(var) = copy.relation() else {
            return self.query(copy.query(), None, 0).map(|_outputs| ());
        };
        let relation = self.relation(var)?;
        let role = if copy.is_from { ColumnRole::Write } else { ColumnRole::Output };
        self.used(relation.oid, Part::Any, role)?;
        let access = if copy.is_from { Access::Write } else { Access::Read };
        self.refer(relation, access, None)?;
        if copy.is_from {
            self.happens(relation, Event::Insert);
        }
        if copy.attlist().is_empty() {
            for column in relation.columns.iter().filter(|column| !column.generated) {
                self.used(relation.oid, Part::Column(column.number), role)?;
            }
        }
        for name in copy.attlist().iter().filter_map(Node::as_str) {
            self.column_named(relation, name, role)?;
        }
        let own = Namespace { items: vec![item_of(relation, var)], outer: None };
        self.expression(copy.where_clause(), &Rc::new(own), 0, ColumnRole::Filter)
    }

    fn truncated(&mut self, truncate: &'a nodes::TruncateStmt) -> Resolved<()> {
        let cascades = truncate.behavior == raw::DropBehavior::DROP_CASCADE;
        let event = if cascades { Event::TruncateCascade } else { Event::Truncate };
        for relation in truncate.relations() {
            let Node::RangeVar(var) = relation else { return Err(Unknown::UnknownStatement) };
            let relation = self.relation(var)?;
            self.happens(relation, event);
        }
        Ok(())
    }

    /// What is dropped with others goes with them.
    fn dropped_with(&mut self, drop: &'a nodes::DropStmt) -> Resolved<()> {
        if drop.behavior != raw::DropBehavior::DROP_CASCADE {
            return Ok(());
        }
        if drop.remove_type == Object::OBJECT_SCHEMA {
            for name in drop.objects().iter().filter_map(Node::as_str) {
                self.whole_schema(name, Some(Event::DropCascade))?;
            }
        }
        for written in drop.objects().iter().filter_map(listed) {
            if let Ok(Some(relation)) = self.look_up(written.schema, written.name) {
                self.happens(relation, Event::DropCascade);
            }
        }
        Ok(())
    }

    /// What is done to a schema is done to all that is in it: rules are on names.
    fn whole_schema(&mut self, name: &'a str, event: Option<Event>) -> Resolved<()> {
        let catalog = self.catalog;
        let relations = catalog.snapshot().relations.iter();
        for relation in relations.filter(|relation| *relation.schema == *name) {
            self.used_whole(relation, ColumnRole::Write)?;
            if let Some(event) = event {
                self.happens(relation, event);
            }
        }
        for function in catalog.snapshot().functions.iter().filter(|one| *one.schema == *name) {
            self.spend(1)?;
            self.touched.calls.add(Call::Function(Some(name), &function.name, usize::MAX));
        }
        Ok(())
    }

    /// A function that gets another name counts as called: rules are on names.
    fn renamed_routine(&mut self, object: Node<'a>) {
        let Node::ObjectWithArgs(named) = object else { return };
        if let Some(written) = Qualified::of(&strings(named.objname())) {
            self.touched.calls.add(Call::Function(written.schema, written.name, usize::MAX));
        }
    }

    /// What an expression calls, whatever its names mean.
    pub(super) fn calls_in(&mut self, root: Node<'a>) -> Resolved<()> {
        let mut stack = vec![root];
        while let Some(node) = stack.pop() {
            self.spend(1)?;
            self.note_call(node);
            each_child(node, &mut |child| stack.push(child));
        }
        Ok(())
    }

    /// A definition may read, keep or hand on every column of a relation that it names.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "nodes without a meaning of their own: `each_child` is the total table"
    )]
    fn definition(&mut self, root: Node<'a>) -> Resolved<()> {
        let mut stack = vec![root];
        while let Some(node) = stack.pop() {
            self.spend(1)?;
            match node {
                Node::TruncateStmt(truncate) => {
                    self.truncated(truncate)?;
                    each_child(node, &mut |child| stack.push(child));
                }
                Node::DropStmt(drop) => self.dropped_with(drop)?,
                Node::RenameStmt(rename) if rename.rename_type == Object::OBJECT_SCHEMA => {
                    self.whole_schema(rename.subname().unwrap_or_default(), None)?;
                }
                Node::RenameStmt(rename) => {
                    self.renamed_routine(rename.object());
                    each_child(node, &mut |child| stack.push(child));
                }
                Node::AlterObjectSchemaStmt(alter) => {
                    self.renamed_routine(alter.object());
                    each_child(node, &mut |child| stack.push(child));
                }
                Node::RangeVar(var) => {
                    // What does not exist yet is what it makes.
                    if let Ok(relation) = self.relation(var) {
                        self.used_whole(relation, ColumnRole::Write)?;
                        self.refer(relation, Access::Define, None)?;
                    }
                }
                inner @ (Node::SelectStmt(_)
                | Node::InsertStmt(_)
                | Node::UpdateStmt(_)
                | Node::DeleteStmt(_)
                | Node::MergeStmt(_)) => {
                    self.query(inner, None, 0)?;
                }
                inner @ (Node::CreateTableAsStmt(_) | Node::ViewStmt(_) | Node::CopyStmt(_))
                    if ops::operation(inner).is_some() =>
                {
                    self.deeper(|this| statement(this, inner))?;
                }
                other => {
                    self.note_call(other);
                    each_child(other, &mut |child| stack.push(child));
                }
            }
        }
        Ok(())
    }
}
