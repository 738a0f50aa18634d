//! Tables, views and sequences that are made.
//!
//! Invariant: where a relation lands, and which columns it gets, is the same under every search path
//! that may be in force, or the definition is not followed.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Name, Unknown};

use super::{Maker, extent_in, is_private};
use crate::catalog::{Column, NewColumn, NewRelation, Oid, Own, Relation, RelationKind, TEMPORARY};
use crate::parse::{Node, NodeList, nodes, raw};
use crate::resolve::{strings, type_names};
use crate::resolved::bind::{callable, operators};
use crate::resolved::{Call, Resolved, ViewReads, is_temporary};
use crate::timeline::{Extent, Step};

/// Calls that a view keeps.
type Kept = BTreeSet<Call<Box<str>>>;

/// Columns of every sequence.
const OF_SEQUENCES: [&str; 3] = ["last_value", "log_cnt", "is_called"];

/// What CREATE is asked for, beside the columns.
struct Wanted<'a> {
    var: &'a nodes::RangeVar,
    kind: RelationKind,
    if_not_exists: bool,
    on_commit: raw::OnCommitAction::Type,
}

/// Columns in the making.
#[derive(Debug, Default)]
struct Columns {
    all: Vec<NewColumn>,
    parents: Vec<Oid>,
    /// Those with a sequence of their own.
    counted: Vec<Name>,
    /// Those that a constraint of the table keeps from being null.
    keys: Vec<Name>,
}

impl Columns {
    fn of(names: impl IntoIterator<Item = Box<str>>) -> Self {
        let column = |name: Box<str>| NewColumn { name: name.into(), not_null: false };
        Self { all: names.into_iter().map(column).collect(), ..Self::default() }
    }

    /// One more column, or one that is there already under that name.
    fn add(&mut self, new: NewColumn) {
        match self.all.iter_mut().find(|column| column.name == new.name) {
            Some(column) => column.not_null |= new.not_null,
            None => self.all.push(new),
        }
    }

    fn copy(&mut self, from: &Relation) {
        for Column { name, not_null, .. } in &from.columns {
            self.add(NewColumn { name: name.clone(), not_null: *not_null });
        }
    }
}

impl<'a> Maker<'a> {
    /// CREATE TABLE.
    pub(super) fn table(&self, create: &'a nodes::CreateStmt) -> Resolved<Step> {
        let var = create.relation().ok_or(Unknown::UnknownStatement)?;
        let partitioned = create.partspec().is_some();
        let wanted = Wanted {
            var,
            kind: if partitioned { RelationKind::Partitioned } else { RelationKind::Table },
            if_not_exists: create.if_not_exists,
            on_commit: create.oncommit,
        };
        if create.of_typename().is_some() || create.partbound().is_some() {
            // Its columns are another's.
            return self.unknown_columns(&wanted);
        }
        let mut columns = Columns::default();
        for parent in create.inh_relations() {
            let Node::RangeVar(parent) = parent else { return Err(Unknown::UnknownStatement) };
            let parent = self.relation(parent)?.ok_or(Unknown::NotInCatalog)?;
            columns.parents.push(parent.oid);
            columns.copy(parent);
        }
        for element in create.table_elts() {
            self.element(element, &mut columns)?;
        }
        self.made(&wanted, columns, None)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a constraint brings no column")]
    fn element(&self, element: Node<'a>, columns: &mut Columns) -> Resolved<()> {
        match element {
            Node::ColumnDef(column) => {
                let new = defined(column);
                if has_sequence(column) {
                    columns.counted.push(new.name.clone());
                }
                columns.add(new);
            }
            Node::TableLikeClause(like) => {
                let var = like.relation().ok_or(Unknown::UnknownStatement)?;
                let like = self.relation(var)?.ok_or(Unknown::NotInCatalog)?;
                columns.copy(like);
            }
            Node::Constraint(constraint) => columns.keys.extend(keys(constraint)),
            _ => return Err(Unknown::UnknownStatement),
        }
        Ok(())
    }

    /// CREATE TABLE AS.
    pub(super) fn table_as(&self, create: &'a nodes::CreateTableAsStmt) -> Resolved<Step> {
        let into = create.into().ok_or(Unknown::UnknownStatement)?;
        let kind = match create.objtype {
            raw::ObjectType::OBJECT_TABLE => RelationKind::Table,
            // What it reads later is not followed.
            _ => return Ok(self.same(Extent::Unfollowed)),
        };
        self.filled(into, create.query(), (kind, create.if_not_exists))
    }

    /// SELECT INTO; a SELECT without INTO defines nothing that is known.
    pub(super) fn select_into(&self, select: &'a nodes::SelectStmt) -> Resolved<Step> {
        let mut first = select;
        for _ in 0..crate::limits::MAX_DEPTH {
            match first.larg() {
                Some(branch) => first = branch,
                None => break,
            }
        }
        let into = first.into_clause().ok_or(Unknown::OpaqueCode)?;
        self.filled(into, Node::SelectStmt(select), (RelationKind::Table, false))
    }

    fn filled(
        &self,
        into: &'a nodes::IntoClause,
        query: Node<'a>,
        (kind, if_not_exists): (RelationKind, bool),
    ) -> Resolved<Step> {
        let var = into.rel().ok_or(Unknown::UnknownStatement)?;
        let wanted = Wanted { var, kind, if_not_exists, on_commit: into.on_commit };
        if matches!(query, Node::ExecuteStmt(_)) {
            return self.unknown_columns(&wanted);
        }
        let (names, _reads, _temporary) = self.yields(query, into.col_names())?;
        self.made(&wanted, Columns::of(names), None)
    }

    /// CREATE VIEW. One that reads a temporary relation is temporary itself.
    pub(super) fn view(&self, view: &'a nodes::ViewStmt) -> Resolved<Step> {
        let var = view.view().ok_or(Unknown::UnknownStatement)?;
        let (names, reads, temporary) = self.yields(view.query(), view.aliases())?;
        let wanted = Wanted {
            var,
            kind: RelationKind::View,
            if_not_exists: false,
            on_commit: raw::OnCommitAction::ONCOMMIT_NOOP,
        };
        let schema = if temporary { TEMPORARY.to_owned() } else { self.lands(var)? };
        let mut own = self.own();
        let replaced = self.catalog.relation(&schema, var.relname().unwrap_or_default());
        if view.replace && replaced.is_some_and(|old| !is_private(old)) {
            // Views that others have made upon it go on reading it.
            own.doubt_views();
        }
        self.add(own, &wanted, &schema, (Columns::of(names), Some(Arc::new(reads))))
    }

    /// CREATE SEQUENCE.
    pub(super) fn sequence(&self, create: &'a nodes::CreateSeqStmt) -> Resolved<Step> {
        let wanted = Wanted {
            var: create.sequence().ok_or(Unknown::UnknownStatement)?,
            kind: RelationKind::Sequence,
            if_not_exists: create.if_not_exists,
            on_commit: raw::OnCommitAction::ONCOMMIT_NOOP,
        };
        self.made(&wanted, Columns::of(OF_SEQUENCES.map(Box::from)), None)
    }

    /// What a query yields: its columns, what they are made from, and whether it reads a temporary
    /// relation.
    fn yields(
        &self,
        query: Node<'a>,
        renamed: &'a NodeList,
    ) -> Resolved<(Vec<Box<str>>, ViewReads, bool)> {
        self.agreed(|resolver| {
            resolver.outputs = Some(Vec::new());
            let outputs = resolver.query(query, None, 0)?.renamed(renamed);
            if outputs.open {
                return Err(Unknown::NotInCatalog);
            }
            resolver.finish();
            let reads = ViewReads {
                columns: resolver.outputs.take().unwrap_or_default(),
                always: resolver.touched.uses.sorted().iter().copied().collect(),
                calls: self.qualified(resolver.touched.calls.sorted(), resolver.path),
            };
            let names = outputs.columns.iter().map(|output| output.name.into()).collect();
            let mut seen = resolver.seen.borrow_mut();
            let temporary = |oid: &Oid| self.catalog.relation_by_oid(*oid).is_some_and(is_private);
            Ok((names, reads, seen.sorted().iter().any(temporary)))
        })
    }

    /// Calls with the schemas in which they may be found now: under another path they still mean that.
    fn qualified(&self, calls: &[Call<&str>], path: &[String]) -> Kept {
        let mut all = BTreeSet::new();
        for call in calls {
            match call {
                Call::Function(None, name, count) => self.functions(name, *count, path, &mut all),
                Call::Attribute(name) => self.functions(name, 1, path, &mut all),
                Call::Older(name) => self.functions(name, usize::MAX, path, &mut all),
                Call::Operator(None, name) => {
                    for name in operators(name) {
                        let has =
                            |schema: &&str| self.catalog.operators(schema, name).next().is_some();
                        let here = callable(None, path).filter(has);
                        all.extend(
                            here.map(|one| Call::Operator(Some(one.into()), (*name).into())),
                        );
                    }
                }
                Call::Cast(None, name) => self.casts(name, path, &mut all),
                Call::Function(Some(_), ..)
                | Call::Operator(Some(_), _)
                | Call::Cast(Some(_), _)
                | Call::Conversion
                | Call::Grammar(_) => drop(all.insert(call.kept())),
            }
        }
        all
    }

    /// Functions of a name; where there are none, it may be a cast in the form of a call.
    fn functions(&self, name: &str, count: usize, path: &[String], all: &mut Kept) {
        let before = all.len();
        let has = |schema: &&str| self.catalog.functions(schema, name).next().is_some();
        let here = callable(None, path).filter(has);
        all.extend(here.map(|one| Call::Function(Some(one.into()), name.into(), count)));
        if all.len() == before {
            self.casts(name, path, all);
        }
    }

    fn casts(&self, name: &str, path: &[String], all: &mut Kept) {
        let has = |schema: &&str| self.catalog.type_named(schema, name).is_some();
        let here = callable(None, path).filter(has);
        all.extend(here.map(|one| Call::Cast(Some(one.into()), name.into())));
    }

    /// Makes it, unless there is one already and that is no error.
    fn made(
        &self,
        wanted: &Wanted<'a>,
        columns: Columns,
        reads: Option<Arc<ViewReads>>,
    ) -> Resolved<Step> {
        let schema = self.lands(wanted.var)?;
        let there = self.catalog.relation(&schema, wanted.var.relname().unwrap_or_default());
        if wanted.if_not_exists && schema != TEMPORARY {
            // Somebody may have made it since the catalog was read.
            return Ok(self.same(Extent::Unfollowed));
        }
        if wanted.if_not_exists && there.is_some() {
            return Ok(self.same(Extent::Private));
        }
        self.add(self.own(), wanted, &schema, (columns, reads))
    }

    fn add(
        &self,
        mut own: Own,
        wanted: &Wanted<'a>,
        schema: &str,
        (columns, reads): (Columns, Option<Arc<ViewReads>>),
    ) -> Resolved<Step> {
        let name: Box<str> = wanted.var.relname().unwrap_or_default().into();
        let Columns { mut all, parents, counted, keys } = columns;
        for column in all.iter_mut().filter(|column| keys.contains(&column.name)) {
            column.not_null = true;
        }
        let new = NewRelation {
            schema: schema.into(),
            name: name.clone(),
            kind: wanted.kind,
            columns: all,
            parents,
            reads,
        };
        let oid = own.add(new).ok_or(Unknown::TooComplex)?;
        if wanted.on_commit == raw::OnCommitAction::ONCOMMIT_DROP {
            own.drop_at_commit(oid);
        }
        for column in counted {
            self.add_sequence(&mut own, schema, (&name, &column), oid)?;
        }
        let hidden_by = if schema == TEMPORARY { self.hiding(&name) } else { None };
        Ok(Step::Made { own: Arc::new(own), extent: extent_in(schema), hidden_by })
    }

    /// The sequence of a serial or identity column, called as the server calls it.
    pub(super) fn add_sequence(
        &self,
        own: &mut Own,
        schema: &str,
        (table, column): (&str, &str),
        owner: Oid,
    ) -> Resolved<()> {
        let name = format!("{table}_{column}_seq");
        let taken =
            self.catalog.relation(schema, &name).is_some() || own.relation(schema, &name).is_some();
        // Then the server makes up another name.
        if taken || name.len() > MAX_IDENTIFIER_BYTES {
            return Err(Unknown::TooComplex);
        }
        let new = NewRelation {
            schema: schema.into(),
            name: name.into(),
            kind: RelationKind::Sequence,
            columns: OF_SEQUENCES.map(NewColumn::named).to_vec(),
            parents: Vec::new(),
            reads: None,
        };
        let sequence = own.add(new).ok_or(Unknown::TooComplex)?;
        own.owned_by(sequence, owner);
        Ok(())
    }

    /// A relation whose columns are not known: if it is temporary, so is nothing about temporary ones.
    fn unknown_columns(&self, wanted: &Wanted<'a>) -> Resolved<Step> {
        if self.lands(wanted.var)? == TEMPORARY {
            return Err(Unknown::UnknownStatement);
        }
        Ok(self.same(Extent::Unfollowed))
    }

    /// The schema in which a new relation lands: the first of the path that there is and that the role
    /// may use.
    fn lands(&self, var: &nodes::RangeVar) -> Resolved<String> {
        if is_temporary(var) {
            return Ok(TEMPORARY.to_owned());
        }
        if let Some(schema) = var.schemaname() {
            // `pg_temp_3` may be the session's own, under its other name.
            let other = schema != TEMPORARY && schema.starts_with(TEMPORARY);
            return if other { Err(Unknown::NotInCatalog) } else { Ok(schema.to_owned()) };
        }
        let mut agreed: Option<&str> = None;
        for path in self.paths {
            let exists = |schema: &&String| *schema == TEMPORARY || self.catalog.has_schema(schema);
            let first = path.iter().find(exists).ok_or(Unknown::NotInCatalog)?;
            if !self.catalog.is_open(first) || agreed.is_some_and(|agreed| agreed != first) {
                return Err(Unknown::NotConstant);
            }
            agreed = Some(first);
        }
        agreed.map(str::to_owned).ok_or(Unknown::NotConstant)
    }
}

/// `NAMEDATALEN` less one.
const MAX_IDENTIFIER_BYTES: usize = 63;

/// A column as it is defined.
pub(super) fn defined(column: &nodes::ColumnDef) -> NewColumn {
    let excludes_null = |constraint: Node<'_>| {
        matches!(constraint, Node::Constraint(constraint) if matches!(
            constraint.contype,
            raw::ConstrType::CONSTR_NOTNULL
                | raw::ConstrType::CONSTR_PRIMARY
                | raw::ConstrType::CONSTR_IDENTITY
        ))
    };
    let name = column.colname().unwrap_or_default().into();
    let not_null = has_sequence(column) || column.constraints().iter().any(excludes_null);
    NewColumn { name, not_null }
}

/// The columns that a table's constraint keeps from being null.
fn keys(constraint: &nodes::Constraint) -> Vec<Name> {
    match constraint.contype {
        raw::ConstrType::CONSTR_PRIMARY | raw::ConstrType::CONSTR_NOTNULL => {
            strings(constraint.keys()).into_iter().map(Name::from).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether the server makes a sequence for the column.
pub(super) fn has_sequence(column: &nodes::ColumnDef) -> bool {
    let serial = column.type_name().is_some_and(|name| {
        let names = type_names(name);
        let last = names.last().copied().unwrap_or_default();
        matches!(last, "serial" | "serial4" | "serial8" | "serial2" | "bigserial" | "smallserial")
    });
    let identity = |constraint: Node<'_>| {
        matches!(constraint, Node::Constraint(constraint)
            if constraint.contype == raw::ConstrType::CONSTR_IDENTITY)
    };
    serial || column.constraints().iter().any(identity)
}
