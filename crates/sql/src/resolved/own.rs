//! What a definition makes of the session's own relations.
//!
//! What is here: which definitions are followed, and how. What is not: when the server has done it, and
//! what a rollback takes back ([`crate::timeline`]). Invariants: a name that may mean two things is not
//! followed; a definition without a rule here may have changed anything; nothing temporary is made that
//! is not known or hidden.
//!
//! Source: PostgreSQL documentation, "CREATE TABLE", "CREATE TABLE AS", "SELECT INTO", "CREATE VIEW",
//! "ALTER TABLE", "DROP TABLE", "DISCARD".

mod alter;
mod create;

use std::cell::Cell;
use std::sync::Arc;

use model::{SqlFacts, Unknown};

use super::{Resolved, Resolver};
use crate::catalog::{Catalog, Own, Relation, TEMPORARY};
use crate::context::{Context, Known, SearchPaths};
use crate::parse::{Node, nodes, raw};
use crate::resolve::{Qualified, strings};
use crate::timeline::{Extent, Step};

/// What `root` does to the session's own relations; `None` if nothing. Without a catalog nobody asks.
pub(crate) fn follow(
    root: Node<'_>,
    facts: &SqlFacts,
    context: &Context<'_>,
    left: &Cell<usize>,
) -> Option<Step> {
    if matches!(context.catalog, Known::Nothing | Known::BuiltIn(_)) {
        return None;
    }
    if let Some(step) = control(root) {
        return Some(step);
    }
    if !facts.may_define() {
        return None;
    }
    let (Known::Catalog(catalog), SearchPaths::Possible(paths)) =
        (context.catalog, context.search_paths)
    else {
        return Some(Step::Anything);
    };
    if facts.runs_volatile_code() {
        return Some(Step::Anything);
    }
    let maker = Maker { catalog, paths, left };
    Some(maker.definition(root).unwrap_or(Step::Anything))
}

/// Statements about transactions and about all that is temporary.
#[expect(clippy::wildcard_enum_match_arm, reason = "the other statements are definitions, or none")]
fn control(root: Node<'_>) -> Option<Step> {
    use raw::TransactionStmtKind as Kind;
    match root {
        Node::TransactionStmt(statement) => {
            let name = || statement.savepoint_name().unwrap_or_default().to_owned();
            match statement.kind {
                Kind::TRANS_STMT_COMMIT => Some(Step::Commit),
                // What is prepared is no longer this session's.
                Kind::TRANS_STMT_ROLLBACK | Kind::TRANS_STMT_PREPARE => Some(Step::Rollback),
                Kind::TRANS_STMT_SAVEPOINT => Some(Step::Savepoint(name())),
                Kind::TRANS_STMT_RELEASE => Some(Step::Release(name())),
                Kind::TRANS_STMT_ROLLBACK_TO => Some(Step::RollbackTo(name())),
                _ => None,
            }
        }
        Node::DiscardStmt(discard) => match discard.target {
            raw::DiscardMode::DISCARD_ALL => Some(Step::DiscardAll),
            raw::DiscardMode::DISCARD_TEMP => Some(Step::DiscardTemporary),
            _ => None,
        },
        _ => None,
    }
}

/// One definition, under every search path that may be in force.
struct Maker<'a> {
    catalog: &'a Catalog,
    paths: &'a [Vec<String>],
    left: &'a Cell<usize>,
}

impl<'a> Maker<'a> {
    /// The step; an error is anything.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what has no rule here may have changed anything"
    )]
    fn definition(&self, root: Node<'a>) -> Resolved<Step> {
        match root {
            Node::CreateStmt(create) => self.table(create),
            Node::CreateTableAsStmt(create) => self.table_as(create),
            Node::SelectStmt(select) => self.select_into(select),
            Node::ViewStmt(view) => self.view(view),
            Node::CreateSeqStmt(sequence) => self.sequence(sequence),
            Node::AlterTableStmt(alter) => self.alter(alter),
            Node::RenameStmt(rename) => self.rename(rename),
            Node::DropStmt(drop) => self.dropped(drop),
            // No name and no column changes.
            Node::TruncateStmt(_) | Node::VacuumStmt(_) | Node::CheckPointStmt(_) => {
                Ok(self.same(Extent::Private))
            }
            Node::IndexStmt(index) => Ok(self.about(index.relation())),
            // What they make is nowhere looked up among temporary names unless it is qualified, and
            // then it is not in the catalog.
            Node::CreateFunctionStmt(_)
            | Node::AlterFunctionStmt(_)
            | Node::CommentStmt(_)
            | Node::GrantStmt(_)
            | Node::GrantRoleStmt(_)
            | Node::AlterDefaultPrivilegesStmt(_)
            | Node::CreateRoleStmt(_)
            | Node::AlterRoleStmt(_)
            | Node::AlterRoleSetStmt(_)
            | Node::CreatePolicyStmt(_)
            | Node::AlterPolicyStmt(_)
            | Node::AlterSeqStmt(_)
            | Node::CreateStatsStmt(_)
            | Node::RefreshMatViewStmt(_)
            | Node::ReindexStmt(_)
            | Node::ClusterStmt(_)
            | Node::AlterSystemStmt(_)
            | Node::AlterDatabaseStmt(_)
            | Node::AlterDatabaseSetStmt(_) => Ok(self.same(Extent::Unfollowed)),
            Node::CreateSchemaStmt(schema) if schema.schema_elts().is_empty() => {
                Ok(self.same(Extent::Unfollowed))
            }
            _ => Err(Unknown::UnknownStatement),
        }
    }

    /// Nothing of its own changes.
    fn same(&self, extent: Extent) -> Step {
        Step::Made { own: Arc::clone(self.catalog.own()), extent, hidden_by: None }
    }

    /// Nothing of its own changes, and only who sees that relation is concerned.
    fn about(&self, var: Option<&nodes::RangeVar>) -> Step {
        let found = var.map(|var| self.relation(var));
        let private = matches!(found, Some(Ok(Some(relation))) if is_private(relation));
        self.same(if private { Extent::Private } else { Extent::Unfollowed })
    }

    fn changed(own: Own, extent: Extent) -> Step {
        Step::Made { own: Arc::new(own), extent, hidden_by: None }
    }

    /// The relation that a path finds before it comes to temporary ones.
    fn hiding(&self, name: &str) -> Option<Box<str>> {
        let before = |path: &'a Vec<String>| {
            let listed = path.iter().any(|schema| schema == TEMPORARY);
            path.iter().take_while(move |schema| listed && *schema != TEMPORARY)
        };
        let mut schemas = self.paths.iter().flat_map(before);
        let found = schemas.find_map(|schema| self.catalog.relation(schema, name))?;
        Some(format!("{}.{}", found.schema, found.name).into())
    }

    /// Some of what it has may have changed in ways that are not followed.
    fn doubtful(&self) -> Step {
        let mut own = self.own();
        own.doubt_all_but(None);
        own.doubt_views();
        Self::changed(own, Extent::Unfollowed)
    }

    fn own(&self) -> Own {
        Own::clone(self.catalog.own())
    }

    /// The one relation that a name means under every path; `None` if there is none.
    fn relation(&self, var: &nodes::RangeVar) -> Resolved<Option<&'a Relation>> {
        let schema = if super::is_temporary(var) { Some(TEMPORARY) } else { var.schemaname() };
        self.named(Qualified { schema, name: var.relname().unwrap_or_default() })
    }

    fn named(&self, written: Qualified<'_>) -> Resolved<Option<&'a Relation>> {
        self.agreed(|resolver| {
            let found = resolver.look_up(written.schema, written.name)?;
            Ok(found.map(|relation| relation.oid))
        })
        .map(|oid| oid.and_then(|oid| self.catalog.relation_by_oid(oid)))
    }

    /// What every path answers alike, and for certain.
    fn agreed<T: PartialEq>(&self, ask: impl Fn(&mut Resolver<'a>) -> Resolved<T>) -> Resolved<T> {
        let mut agreed = None;
        for path in self.paths {
            let mut resolver = Resolver::new(self.catalog, path, self.left);
            let answer = ask(&mut resolver)?;
            if !resolver.doubts.borrow().is_empty() {
                return Err(Unknown::NotConstant);
            }
            match &agreed {
                None => agreed = Some(answer),
                Some(first) if *first == answer => {}
                Some(_) => return Err(Unknown::NotConstant),
            }
        }
        agreed.ok_or(Unknown::NotConstant)
    }
}

fn is_private(relation: &Relation) -> bool {
    *relation.schema == *TEMPORARY
}

/// How far a definition in this schema reaches.
fn extent_in(schema: &str) -> Extent {
    if schema == TEMPORARY { Extent::Private } else { Extent::Followed }
}

/// A name in a list node.
pub(super) fn listed(list: Node<'_>) -> Option<Qualified<'_>> {
    let Node::NodeList(list) = list else { return None };
    Qualified::of(&strings(list))
}
