//! Definitions: which relations they name, in which role, and where their reach is not in the text.
//!
//! What is not here: DML, names, settings. Invariant: names of things that are no relations never
//! become relations, and a statement that reaches relations it does not name has them unknown.

use model::{Access, Unknown};

use crate::parse::{Node, nodes, raw};
use crate::resolve::{Qualified, strings, type_names};
use crate::walk::{Task, Touch, Walk};

use raw::ObjectType as Kind;

/// Visits a definition.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "statements without relations of their own: all their parts are visited as read"
)]
pub(crate) fn visit<'a>(walk: &mut Walk<'a, '_>, task: Task<'a>) {
    match task.node {
        Node::CreateStmt(_)
        | Node::AlterTableStmt(_)
        | Node::ViewStmt(_)
        | Node::IndexStmt(_)
        | Node::CreateTrigStmt(_)
        | Node::CreatePolicyStmt(_)
        | Node::AlterPolicyStmt(_)
        | Node::CreateSeqStmt(_)
        | Node::AlterSeqStmt(_)
        | Node::CompositeTypeStmt(_)
        | Node::RuleStmt(_)
        | Node::CreateTableAsStmt(_)
        | Node::CreateSchemaStmt(_) => walk.definition_of_relation(task),
        Node::RenameStmt(_)
        | Node::AlterObjectSchemaStmt(_)
        | Node::AlterOwnerStmt(_)
        | Node::AlterObjectDependsStmt(_)
        | Node::CommentStmt(_)
        | Node::SecLabelStmt(_)
        | Node::AlterExtensionContentsStmt(_)
        | Node::DropStmt(_) => walk.objects(task),
        Node::TruncateStmt(_) | Node::LockStmt(_) | Node::RefreshMatViewStmt(_) => {
            walk.push_all(task, Touch::Write);
        }
        Node::ClusterStmt(_) | Node::ReindexStmt(_) | Node::VacuumStmt(_) => {
            walk.maintenance(task);
        }
        Node::CreateStatsStmt(_)
        | Node::AlterTableMoveAllStmt(_)
        | Node::ReassignOwnedStmt(_)
        | Node::DropOwnedStmt(_)
        | Node::ImportForeignSchemaStmt(_)
        | Node::CreateSubscriptionStmt(_)
        | Node::AlterSubscriptionStmt(_) => walk.reaches_more(task),
        Node::CreatePublicationStmt(publication) => {
            walk.publication(publication.for_all_tables, task);
        }
        Node::AlterPublicationStmt(publication) => {
            walk.publication(publication.for_all_tables, task);
        }
        Node::GrantStmt(grant) => walk.grant(grant, task),
        // The inner GRANT is a template, not a statement that runs.
        Node::AlterDefaultPrivilegesStmt(_) => {}
        _ => {
            walk.routines(task.node);
            walk.push_all(task, Touch::Read);
        }
    }
}

/// A node type that the parser crate does not carry.
pub(crate) fn invalid(walk: &mut Walk<'_, '_>, node: &raw::Node) {
    if node.type_ == raw::NodeTag::T_CreateForeignTableStmt {
        walk.found.relations.unknown(Unknown::UnknownStatement);
        walk.found.functions.unknown(Unknown::UnknownStatement);
    } else {
        walk.found.opaque(Unknown::UnknownStatement);
    }
}

/// Options of CREATE AGGREGATE, COLLATION, TYPE and their like whose string is no function.
const HOLDS_TEXT: &[&str] = &[
    "initcond",
    "minitcond",
    "parallel",
    "delimiter",
    "default",
    "locale",
    "lc_collate",
    "lc_ctype",
    "provider",
    "rules",
    "version",
];

impl<'a> Walk<'a, '_> {
    /// Relations directly below are defined; statements below run.
    #[expect(clippy::wildcard_enum_match_arm, reason = "only called for the statements listed")]
    fn definition_of_relation(&mut self, task: Task<'a>) {
        match task.node {
            Node::RuleStmt(rule) => {
                rule.actions().iter().for_each(|action| self.push_body(action, task));
                self.push_without_bodies(task);
            }
            Node::CreateSchemaStmt(schema) => {
                schema.schema_elts().iter().for_each(|part| self.push_body(part, task));
            }
            Node::CreateTableAsStmt(create) => {
                self.push_body(create.query(), task);
                self.push_without_bodies(task);
            }
            Node::ViewStmt(view) => {
                self.view_of_settings(view.query());
                self.push_body(view.query(), task);
                self.push_without_bodies(task);
            }
            _ => {
                self.routines(task.node);
                self.push_all(task, Touch::Define);
            }
        }
    }

    fn push_without_bodies(&mut self, task: Task<'a>) {
        self.push_children(task, |child| {
            crate::ops::operation(child).is_none().then_some(Touch::Define)
        });
    }

    /// Statements that name objects of any kind in a list.
    #[expect(clippy::wildcard_enum_match_arm, reason = "only called for the statements listed")]
    fn objects(&mut self, task: Task<'a>) {
        match task.node {
            Node::RenameStmt(rename) => {
                self.object(rename.rename_type, rename.object());
                self.renamed(rename);
            }
            Node::AlterObjectSchemaStmt(alter) => self.object(alter.object_type, alter.object()),
            Node::AlterOwnerStmt(alter) => self.object(alter.object_type, alter.object()),
            Node::AlterObjectDependsStmt(alter) => self.object(alter.object_type, alter.object()),
            Node::CommentStmt(comment) => self.object(comment.objtype, comment.object()),
            Node::SecLabelStmt(label) => self.object(label.objtype, label.object()),
            Node::AlterExtensionContentsStmt(alter) => self.object(alter.objtype, alter.object()),
            Node::DropStmt(drop) => self.dropped(drop),
            _ => {}
        }
        self.push_all(task, Touch::Define);
    }

    /// One object of a kind, named by a list.
    fn object(&mut self, kind: Kind::Type, object: Node<'a>) {
        let Node::NodeList(list) = object else { return };
        let names = strings(list);
        if is_relation(kind) {
            self.define(&names);
        } else if is_part_of_relation(kind)
            && let Some((_part, relation)) = names.split_last()
        {
            self.define(relation);
        }
    }

    fn define(&mut self, names: &[&'a str]) {
        if let Some(written) = Qualified::of(names) {
            self.use_relation(written, Access::Define);
        }
    }

    /// The new name counts as well: a rule about it must hold.
    fn renamed(&mut self, rename: &'a nodes::RenameStmt) {
        if let (true, Some(old), Some(name)) =
            (is_relation(rename.rename_type), rename.relation(), rename.newname())
        {
            self.use_relation(Qualified { schema: old.schemaname(), name }, Access::Define);
        }
    }

    fn dropped(&mut self, drop: &'a nodes::DropStmt) {
        for object in drop.objects() {
            self.object(drop.remove_type, object);
        }
        let named = is_relation(drop.remove_type) || is_part_of_relation(drop.remove_type);
        let cascades = drop.behavior == raw::DropBehavior::DROP_CASCADE;
        if drop.remove_type == Kind::OBJECT_EXTENSION || (cascades && !named) {
            self.found.relations.unknown(Unknown::UnknownStatement);
        }
    }

    /// Without a name these reach every relation that the role may maintain.
    #[expect(clippy::wildcard_enum_match_arm, reason = "only called for the statements listed")]
    fn maintenance(&mut self, task: Task<'a>) {
        let unnamed = match task.node {
            Node::ClusterStmt(cluster) => cluster.relation().is_none(),
            Node::ReindexStmt(reindex) => reindex.relation().is_none(),
            Node::VacuumStmt(vacuum) => vacuum.rels().is_empty(),
            _ => true,
        };
        if unnamed {
            self.found.relations.unknown(Unknown::UnknownStatement);
        }
        self.push_all(task, Touch::Write);
    }

    /// Statements that reach relations which the text does not name. CREATE STATISTICS is here
    /// because its FROM list is declared to the parser as something that it need not be.
    fn reaches_more(&mut self, task: Task<'a>) {
        self.found.relations.unknown(Unknown::UnknownStatement);
        self.push_all(task, Touch::Define);
    }

    fn publication(&mut self, all_tables: bool, task: Task<'a>) {
        if all_tables {
            self.found.relations.unknown(Unknown::UnknownStatement);
        }
        self.push_all(task, Touch::Read);
    }

    /// The object list holds relations only for tables and sequences; the list of any other kind
    /// cannot be read through its declared type, so functions are unknown there.
    fn grant(&mut self, grant: &'a nodes::GrantStmt, task: Task<'a>) {
        let is_relation = matches!(grant.objtype, Kind::OBJECT_TABLE | Kind::OBJECT_SEQUENCE);
        let is_routine = matches!(
            grant.objtype,
            Kind::OBJECT_FUNCTION | Kind::OBJECT_PROCEDURE | Kind::OBJECT_ROUTINE
        );
        let named = grant.targtype == raw::GrantTargetType::ACL_TARGET_OBJECT;
        if is_relation && named {
            for var in grant.objects() {
                self.push(Node::RangeVar(var), task, Touch::Define);
            }
        } else if is_relation {
            self.found.relations.unknown(Unknown::UnknownStatement);
        } else if is_routine {
            self.found.functions.unknown(Unknown::UnknownStatement);
        }
        self.push_all(task, Touch::Read);
    }

    /// Functions that a definition makes somebody call later.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other definitions name no function")]
    fn routines(&mut self, node: Node<'a>) {
        match node {
            Node::CreateTrigStmt(trigger) => self.routine_list(trigger.funcname()),
            Node::CreateEventTrigStmt(trigger) => self.routine_list(trigger.funcname()),
            Node::CreateAmStmt(method) => self.routine_list(method.handler_name()),
            Node::CreateConversionStmt(conversion) => self.routine_list(conversion.func_name()),
            Node::CreatePLangStmt(language) => {
                self.routine_list(language.plhandler());
                self.routine_list(language.plinline());
                self.routine_list(language.plvalidator());
            }
            Node::CreateFdwStmt(wrapper) => self.handlers(wrapper.func_options()),
            Node::AlterFdwStmt(wrapper) => self.handlers(wrapper.func_options()),
            Node::DefineStmt(define) => self.supports(define.definition().iter()),
            Node::CreateRangeStmt(range) => self.supports(range.params().iter()),
            Node::AlterOperatorStmt(operator) => self.supports(operator.options().iter()),
            Node::AlterTypeStmt(alter) => self.supports(alter.options().iter()),
            _ => {}
        }
    }

    pub(crate) fn routine_list(&mut self, list: &'a crate::parse::NodeList) {
        if let Some(written) = Qualified::of_list(list) {
            self.indirect(written);
        }
    }

    fn handlers(&mut self, options: &'a crate::parse::NodeList) {
        for option in options {
            if let Node::DefElem(option) = option
                && let Node::NodeList(list) = option.arg()
            {
                self.routine_list(list);
            }
        }
    }

    /// `sfunc = f` and its like: the grammar reads the name as a type.
    fn supports(&mut self, options: impl Iterator<Item = &'a nodes::DefElem>) {
        for option in options {
            let names_type = option.defname().is_some_and(|name| {
                matches!(
                    name.to_ascii_lowercase().as_str(),
                    "stype"
                        | "mstype"
                        | "basetype"
                        | "leftarg"
                        | "rightarg"
                        | "element"
                        | "like"
                        | "subtype"
                        | "collation"
                        | "collatable"
                        | "category"
                        | "storage"
                        | "alignment"
                        | "internallength"
                        | "parallel"
                )
            });
            if let (false, Node::TypeName(name)) = (names_type, option.arg())
                && let Some(written) = Qualified::of(&type_names(name))
            {
                self.indirect(written);
            }
            // A quoted name: `procedure = 'f'`.
            if let (Some(part), Node::String(name)) = (option.defname(), option.arg())
                && !names_type
                && !HOLDS_TEXT.contains(&part)
            {
                self.indirect(Qualified { schema: None, name: name.sval().unwrap_or_default() });
            }
        }
    }
}

fn is_relation(kind: Kind::Type) -> bool {
    matches!(
        kind,
        Kind::OBJECT_TABLE
            | Kind::OBJECT_VIEW
            | Kind::OBJECT_MATVIEW
            | Kind::OBJECT_INDEX
            | Kind::OBJECT_SEQUENCE
            | Kind::OBJECT_FOREIGN_TABLE
    )
}

fn is_part_of_relation(kind: Kind::Type) -> bool {
    matches!(
        kind,
        Kind::OBJECT_COLUMN
            | Kind::OBJECT_TABCONSTRAINT
            | Kind::OBJECT_TRIGGER
            | Kind::OBJECT_RULE
            | Kind::OBJECT_POLICY
            | Kind::OBJECT_DEFAULT
    )
}
