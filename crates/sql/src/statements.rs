//! What each statement touches, runs and changes.
//!
//! Invariants: a target of DML or DDL is never a CTE; a part that is not handled by name is still
//! visited; a statement whose reach the text does not show (a schema, a database, code in another
//! language) has unknown facts.

use model::{Operation, ServerAccess, SettingChange, SettingUse, SettingValue, Unknown};

use crate::analysis::{Effect, NewSearchPath};
use crate::parse::{Node, nodes, raw};
use crate::resolve::Qualified;
use crate::walk::{Task, Touch, Walk};
use crate::{ddl, names, ops, routine};

/// Visits a statement node.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other statements are definitions, which `ddl::visit` goes on with"
)]
pub(crate) fn visit<'a>(walk: &mut Walk<'a, '_>, task: Task<'a>) {
    match task.node {
        Node::SelectStmt(select) => walk.select(select, task),
        Node::InsertStmt(insert) => walk.modify(insert.relation(), insert.with_clause(), task),
        Node::UpdateStmt(update) => {
            walk.filtered(Operation::Update, update.relation(), update.where_clause());
            walk.wiped(update);
            walk.settings_view(update);
            walk.modify(update.relation(), update.with_clause(), task);
        }
        Node::DeleteStmt(delete) => {
            walk.filtered(Operation::Delete, delete.relation(), delete.where_clause());
            walk.modify(delete.relation(), delete.with_clause(), task);
        }
        Node::MergeStmt(merge) => {
            walk.merge_branches(merge);
            walk.modify(merge.relation(), merge.with_clause(), task);
        }
        Node::CopyStmt(copy) => walk.copy(copy, task),
        Node::ExplainStmt(_)
        | Node::PrepareStmt(_)
        | Node::ExecuteStmt(_)
        | Node::DeallocateStmt(_)
        | Node::DeclareCursorStmt(_)
        | Node::FetchStmt(_)
        | Node::ClosePortalStmt(_)
        | Node::DiscardStmt(_) => names::visit(walk, task),
        Node::VariableSetStmt(set) => {
            walk.set(set);
            walk.push_all(task, Touch::Read);
        }
        Node::AlterRoleSetStmt(statement) => walk.stored(statement.setstmt()),
        Node::AlterDatabaseSetStmt(statement) => walk.stored(statement.setstmt()),
        Node::AlterSystemStmt(statement) => walk.stored(statement.setstmt()),
        Node::TransactionStmt(statement) => {
            walk.modes(statement.options(), "", SettingChange::Local);
        }
        // The names are constraints.
        Node::ConstraintsSetStmt(_) => {}
        Node::DoStmt(_) | Node::InlineCodeBlock(_) => walk.runs_code(),
        Node::CreateFunctionStmt(function) => routine::create(walk, function, task),
        Node::AlterFunctionStmt(function) => routine::alter(walk, function, task),
        Node::LoadStmt(_) => walk.found.server_access.add(ServerAccess::File),
        Node::Query(_) => walk.found.opaque(Unknown::UnknownStatement),
        Node::Invalid(node) => ddl::invalid(walk, node),
        _ => ddl::visit(walk, task),
    }
}

/// The view that shows settings, and sets them.
const SETTINGS: &str = "pg_settings";

impl<'a> Walk<'a, '_> {
    fn select(&mut self, select: &'a nodes::SelectStmt, task: Task<'a>) {
        if select.into_clause().is_some() {
            self.found.operations.add(Operation::Create);
        }
        if task.depth == 0 && runs_once(select) {
            for target in select.target_list() {
                if let Node::FuncCall(call) = target.val() {
                    self.certain.push(call);
                }
            }
        }
        if !select.locking_clause().is_empty() {
            // FOR UPDATE and its kin need the right to UPDATE (PostgreSQL documentation, "SELECT").
            self.found.operations.add(Operation::Update);
        }
        let scope = self.enter(select.with_clause(), task);
        let locks = !select.locking_clause().is_empty() || task.touch == Touch::Lock;
        let touch = if locks { Touch::Lock } else { Touch::Read };
        self.push_children(Task { scope, ..task }, |child| {
            (!matches!(child, Node::WithClause(_))).then_some(touch)
        });
    }

    /// INSERT, UPDATE, DELETE, MERGE: the target is written, the rest is read.
    fn modify(
        &mut self,
        target: Option<&'a nodes::RangeVar>,
        with: Option<&'a nodes::WithClause>,
        task: Task<'a>,
    ) {
        let scope = self.enter(with, task);
        self.push_children(Task { scope, ..task }, |child| {
            let is_target = matches!(child, Node::RangeVar(var)
                if target.is_some_and(|target| std::ptr::eq(target, var)));
            let touch = if is_target { Touch::Write } else { Touch::Read };
            (!matches!(child, Node::WithClause(_))).then_some(touch)
        });
    }

    /// `UPDATE pg_settings` runs `set_config` for each row that it matches.
    fn settings_view(&mut self, update: &'a nodes::UpdateStmt) {
        if update.relation().and_then(nodes::RangeVar::relname) == Some(SETTINGS) {
            self.sets_anything();
        }
    }

    /// So does an UPDATE of a view of it, which no text tells.
    pub(crate) fn view_of_settings(&mut self, query: Node<'a>) {
        let Node::SelectStmt(select) = query else { return };
        let is_it =
            |item: Node<'_>| matches!(item, Node::RangeVar(var) if var.relname() == Some(SETTINGS));
        if select.from_clause().iter().any(is_it) {
            self.sets_anything();
        }
    }

    fn sets_anything(&mut self) {
        let (name, change) = ("*".to_owned(), SettingChange::Session);
        self.found.settings.add(SettingUse { name, change, value: SettingValue::Unknown });
        self.found.moves_path = true;
        self.found.effects.push(Effect::SearchPath(NewSearchPath::Unknown));
    }

    fn copy(&mut self, copy: &'a nodes::CopyStmt, task: Task<'a>) {
        match (copy.filename(), copy.is_program) {
            (_, true) => self.found.server_access.add(ServerAccess::Program),
            (Some(_), false) => self.found.server_access.add(ServerAccess::File),
            (None, false) => self.found.effects.push(Effect::Copy),
        }
        self.push_body(copy.query(), task);
        let touch = if copy.is_from { Touch::Write } else { Touch::Read };
        self.push_children(task, |child| ops::operation(child).is_none().then_some(touch));
    }

    fn stored(&mut self, statement: Option<&'a nodes::VariableSetStmt>) {
        if let Some(statement) = statement {
            self.store(statement);
        }
    }

    /// Code in a procedural language: it may do anything.
    fn runs_code(&mut self) {
        self.found.opaque(Unknown::OpaqueCode);
        self.found.moves_path = true;
        self.found.effects.push(Effect::SearchPath(NewSearchPath::Unknown));
    }
}

/// Whether the targets of this SELECT are computed exactly once.
fn runs_once(select: &nodes::SelectStmt) -> bool {
    select.op == raw::SetOperation::SETOP_NONE
        && select.from_clause().is_empty()
        && select.group_clause().is_empty()
        && matches!(select.where_clause(), Node::None)
        && matches!(select.having_clause(), Node::None)
        && matches!(select.limit_count(), Node::None)
        && matches!(select.limit_offset(), Node::None)
}

/// A relation as the statement writes it.
pub(crate) fn written(var: &nodes::RangeVar) -> Qualified<'_> {
    Qualified { schema: var.schemaname(), name: var.relname().unwrap_or_default() }
}
