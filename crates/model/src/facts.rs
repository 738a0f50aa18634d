//! What analysis proved about one statement. Each fact is known, or unknown with the cause;
//! an unknown fact can only count against a request.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    Category, FunctionUse, Name, Operation, Reference, RelationUse, Schemas, Shape, TenantUse,
    TransactionStep,
};

/// A fact, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact<T> {
    /// Established.
    Known(T),
    /// Could not be established.
    Unknown(Unknown),
}

/// Why a fact is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// PostgreSQL's parser refuses the text.
    ParseError,
    /// The text is not UTF-8, or its encoding is not one we read as the server does.
    Encoding,
    /// A limit on bytes, nodes or depth was reached.
    TooComplex,
    /// The statement runs code that we do not read (DO, CALL, a function body).
    OpaqueCode,
    /// A prepared statement, cursor or portal that we did not see being made.
    UnresolvedName,
    /// An argument that decides is not a constant.
    NotConstant,
    /// The parser produced something that we have no rule for.
    UnknownStatement,
    /// Nobody asked a catalog. Where a rule also works on names alone (a blocked table), it does;
    /// where it rests on this fact, it denies.
    NoCatalog,
    /// The catalog does not have what the statement names.
    NotInCatalog,
    /// The catalog is older than it may be, or definitions have changed since.
    StaleCatalog,
}

impl<T> Fact<T> {
    /// The fact, if known.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// Whether it is unknown.
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }
}

impl<T> Default for Fact<Vec<T>> {
    /// Known to be nothing: what a stored record leaves out.
    fn default() -> Self {
        Self::Known(Vec::new())
    }
}

impl<T> Fact<Vec<T>> {
    /// Whether it is known that there is none.
    pub const fn is_known_empty(&self) -> bool {
        match self {
            Self::Known(list) => list.is_empty(),
            Self::Unknown(_) => false,
        }
    }
}

impl<T: Ord + Clone> Fact<Vec<T>> {
    /// Adds everything that `other` holds; unknown wins. The list stays sorted and unique.
    pub fn absorb(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Known(mine), Self::Known(theirs)) => {
                mine.extend(theirs.iter().cloned());
                mine.sort_unstable();
                mine.dedup();
            }
            (Self::Known(_), Self::Unknown(why)) => *self = Self::Unknown(*why),
            (Self::Unknown(_), Self::Known(_) | Self::Unknown(_)) => {}
        }
    }
}

/// An UPDATE, DELETE or MERGE branch that touches every row: no WHERE, or one that is
/// constantly true on its face.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Unfiltered {
    /// `UPDATE` or `DELETE`.
    pub operation: Operation,
    /// The relation, as written.
    pub relation: String,
}

/// How a statement changes a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingChange {
    /// SET, for the session.
    Session,
    /// SET LOCAL, SET TRANSACTION, or `set_config(…, true)`.
    Local,
    /// RESET or SET … TO DEFAULT.
    Reset,
    /// RESET ALL or DISCARD ALL: `name` is `all`.
    ResetAll,
    /// Stored for later sessions or calls: ALTER ROLE/DATABASE/SYSTEM … SET, CREATE FUNCTION … SET.
    Stored,
    /// A startup parameter, also one inside `options`.
    Startup,
}

/// The value that a setting would get.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingValue {
    /// These constants (one, or a list as in `SET search_path TO a, b`).
    Constants(Vec<String>),
    /// The default.
    Default,
    /// Not a constant.
    Unknown,
}

/// One change of a setting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SettingUse {
    /// Canonical lower-case name (`TIME ZONE` is `timezone`, `NAMES` is `client_encoding`);
    /// `*` if a computed name is set.
    pub name: String,
    /// How.
    pub change: SettingChange,
    /// To what.
    pub value: SettingValue,
}

/// What a column is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnRole {
    /// Its values go into a result, a target list at any depth, or a row that is written.
    Output,
    /// WHERE, HAVING, LIMIT, a function in FROM, a condition of MERGE or ON CONFLICT.
    Filter,
    /// ON, USING, NATURAL.
    Join,
    /// ORDER BY, GROUP BY, DISTINCT ON, a window.
    Order,
    /// INSERT, UPDATE, MERGE or COPY writes it.
    Write,
}

/// One use of a column, as the server would resolve it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ColumnUse {
    /// The relation's schema.
    pub schema: Name,
    /// The relation.
    pub relation: Name,
    /// The column; `None` where only rows as such are used (`count(*)`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<Name>,
    /// What for.
    pub role: ColumnRole,
    /// Not named by the statement: behind a view, a child or a parent of what it names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reached: bool,
}

/// What a function may do, as its definition declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Volatility {
    /// Depends on its arguments alone.
    Immutable,
    /// May read, and answers the same within a statement.
    Stable,
    /// May do anything.
    Volatile,
}

/// A function that a statement may call: by name, or behind an operator, a cast or a type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallUse {
    /// The function's schema.
    pub schema: Name,
    /// The function.
    pub name: Name,
    /// The statement does not call it: a view that it reads does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reached: bool,
    /// The laxest of the overloads that may be meant.
    pub volatility: Volatility,
}

impl CallUse {
    /// Whether every PostgreSQL has it.
    pub fn is_built_in(&self) -> bool {
        matches!(self.schema.as_str(), "pg_catalog" | "information_schema")
    }
}

/// A function of a user's that a statement may run, by what its body does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The function's schema.
    pub schema: String,
    /// The function.
    pub name: String,
    /// What running it does, with everything that it calls in turn. Nothing is known if `unread`.
    pub facts: Arc<SqlFacts>,
    /// `schema.name` of what cannot be read: itself, or something that it calls.
    pub unread: Option<String>,
    /// Something behind a relation that the statement names calls it, and it runs with its owner's rights.
    pub reached: bool,
    /// `schema.name` of the relation whose trigger calls it.
    pub fired_by: Option<String>,
}

/// Access to the database server's own files and programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerAccess {
    /// COPY from or to a file on the server; LOAD.
    File,
    /// COPY from or to a program on the server.
    Program,
}

/// What analysis proved about one SQL statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlFacts {
    /// What the statement is. [`Operation::Unknown`] if it could not be told.
    pub operation: Operation,
    /// Whether the submission holds no statement at all (`''`, `;`, a comment).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty: bool,
    /// Set for transaction control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<TransactionStep>,
    /// Everything that running it does, itself included: CTEs, MERGE branches, `COPY (query)`,
    /// EXPLAIN ANALYZE, PREPARE and DECLARE bodies, rule actions. Sorted, unique.
    #[serde(default, skip_serializing_if = "Fact::is_known_empty")]
    pub operations: Fact<Vec<Operation>>,
    /// Relations, CTE names excluded where they are in scope. Sorted, unique.
    #[serde(default, skip_serializing_if = "Fact::is_known_empty")]
    pub relations: Fact<Vec<RelationUse>>,
    /// Functions. Sorted, unique.
    #[serde(default, skip_serializing_if = "Fact::is_known_empty")]
    pub functions: Fact<Vec<FunctionUse>>,
    /// Settings that it changes. Sorted, unique.
    #[serde(default, skip_serializing_if = "Fact::is_known_empty")]
    pub settings: Fact<Vec<SettingUse>>,
    /// UPDATE and DELETE without an effective WHERE. Sorted, unique.
    #[serde(default, skip_serializing_if = "Fact::is_known_empty")]
    pub unfiltered: Fact<Vec<Unfiltered>>,
    /// Server files and programs. Sorted, unique.
    #[serde(default, skip_serializing_if = "Fact::is_known_empty")]
    pub server_access: Fact<Vec<ServerAccess>>,
    /// How it is built.
    #[serde(default = "plain", skip_serializing_if = "is_plain")]
    pub shape: Fact<Shape>,
    /// Columns, resolved against the catalog. Sorted, unique.
    #[serde(default = "no_catalog", skip_serializing_if = "is_without_catalog")]
    pub columns: Fact<Vec<ColumnUse>>,
    /// Functions, resolved against the catalog: also those of operators, casts and types where
    /// these are not built in. Sorted, unique.
    #[serde(default = "no_catalog", skip_serializing_if = "is_without_catalog")]
    pub calls: Fact<Vec<CallUse>>,
    /// Digest of the statement's canonical form: the same for what differs in values alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// References to relations that have the tenant's column, where the policy names one. Sorted,
    /// unique.
    #[serde(default = "no_catalog", skip_serializing_if = "is_without_catalog")]
    pub tenants: Fact<Vec<TenantUse>>,
    /// What the functions of users that it may run do, where a catalog says what they are. Records
    /// have their names, in `calls`.
    #[serde(skip)]
    pub bodies: Vec<Body>,
}

/// What a record leaves out: nothing about it is worth a word.
fn plain() -> Fact<Shape> {
    Fact::Known(Shape::default())
}

fn is_plain(shape: &Fact<Shape>) -> bool {
    shape.known().is_some_and(Shape::is_plain)
}

/// What a record leaves out: nobody asked a catalog.
const fn no_catalog<T>() -> Fact<T> {
    Fact::Unknown(Unknown::NoCatalog)
}

const fn is_without_catalog<T>(fact: &Fact<T>) -> bool {
    matches!(fact, Fact::Unknown(Unknown::NoCatalog))
}

impl SqlFacts {
    /// Facts of a statement that does nothing but be of this kind.
    pub fn of(operation: Operation) -> Self {
        Self {
            operation,
            empty: false,
            transaction: None,
            operations: Fact::Known(vec![operation]),
            relations: Fact::Known(Vec::new()),
            functions: Fact::Known(Vec::new()),
            settings: Fact::Known(Vec::new()),
            unfiltered: Fact::Known(Vec::new()),
            server_access: Fact::Known(Vec::new()),
            shape: plain(),
            columns: no_catalog(),
            calls: no_catalog(),
            digest: None,
            tenants: no_catalog(),
            bodies: Vec::new(),
        }
    }

    /// Facts of a submission without statements.
    pub fn of_nothing() -> Self {
        Self { empty: true, operations: Fact::Known(Vec::new()), ..Self::of(Operation::Select) }
    }

    /// Nothing is known but the cause.
    pub fn unknown(why: Unknown) -> Self {
        Self {
            operation: Operation::Unknown,
            empty: false,
            transaction: None,
            operations: Fact::Unknown(why),
            relations: Fact::Unknown(why),
            functions: Fact::Unknown(why),
            settings: Fact::Unknown(why),
            unfiltered: Fact::Unknown(why),
            server_access: Fact::Unknown(why),
            shape: Fact::Unknown(why),
            columns: Fact::Unknown(why),
            calls: Fact::Unknown(why),
            digest: None,
            tenants: Fact::Unknown(why),
            bodies: Vec::new(),
        }
    }

    /// Adds what running `inner` as part of this statement does (EXECUTE of a prepared statement,
    /// FETCH from a cursor). The statement's own operation stays what it is.
    pub fn absorb(&mut self, inner: &Self) {
        self.operations.absorb(&inner.operations);
        self.relations.absorb(&inner.relations);
        self.functions.absorb(&inner.functions);
        self.settings.absorb(&inner.settings);
        self.unfiltered.absorb(&inner.unfiltered);
        self.server_access.absorb(&inner.server_access);
        match (&mut self.shape, &inner.shape) {
            (Fact::Known(mine), Fact::Known(theirs)) => mine.absorb(theirs),
            (Fact::Known(_), Fact::Unknown(why)) => self.shape = Fact::Unknown(*why),
            (Fact::Unknown(_), Fact::Known(_) | Fact::Unknown(_)) => {}
        }
        self.columns.absorb(&inner.columns);
        self.calls.absorb(&inner.calls);
        let elsewhere = |all: &Vec<TenantUse>| all.iter().map(TenantUse::elsewhere).collect();
        self.tenants.absorb(&match &inner.tenants {
            Fact::Known(all) => Fact::Known(elsewhere(all)),
            Fact::Unknown(why) => Fact::Unknown(*why),
        });
        for body in &inner.bodies {
            if !self.bodies.contains(body) {
                self.bodies.push(body.clone());
            }
        }
    }

    /// Whether running it may change what exists: a definition, code that we do not read, a volatile
    /// function that is not built in.
    pub fn may_define(&self) -> bool {
        let defines = |operation: &Operation| match operation.category() {
            Category::Ddl
            | Category::Dcl
            | Category::Function
            | Category::Extension
            | Category::Admin
            | Category::Unknown => true,
            Category::Dml | Category::Tcl | Category::Session | Category::Explain => false,
        };
        match &self.operations {
            Fact::Known(all) => all.iter().any(defines) || self.runs_volatile_code(),
            Fact::Unknown(_) => true,
        }
    }

    /// Whether it may do anything at all: unread code, or a volatile function that is not built in and
    /// whose body is not known to define nothing.
    pub fn runs_volatile_code(&self) -> bool {
        let volatile = |call: &CallUse| {
            let of_it = |body: &&Body| *body.schema == *call.schema && *body.name == *call.name;
            let mut bodies = self.bodies.iter().filter(of_it).peekable();
            // What a trigger does is its table's: that it defines nothing is believed.
            let harmless = |body: &Body| {
                body.fired_by.is_some() || (body.unread.is_none() && !body.facts.may_define())
            };
            let read = bodies.peek().is_some() && bodies.all(harmless);
            call.volatility == Volatility::Volatile && !call.is_built_in() && !read
        };
        self.operations.is_unknown() || self.calls.known().into_iter().flatten().any(volatile)
    }

    /// What is left of these facts when the search path may be another one: the server looks
    /// unqualified names up again when it plans a prepared statement anew.
    #[must_use]
    pub fn under_another_path(&self) -> Self {
        let mut facts = self.clone();
        if let Fact::Known(relations) = &mut facts.relations {
            for used in relations {
                if matches!(used.relation.schemas, Schemas::Paths(_)) {
                    used.relation.schemas = Schemas::Unknown;
                }
            }
        }
        for one in facts.shape_references() {
            if matches!(one.relation.schemas, Schemas::Paths(_)) {
                one.relation.schemas = Schemas::Unknown;
            }
        }
        facts.after_definitions()
    }

    /// What is left of these facts once something was defined: names may mean something else.
    #[must_use]
    pub fn after_definitions(&self) -> Self {
        let mut facts = self.clone();
        if !facts.columns.is_unknown() {
            facts.columns = Fact::Unknown(Unknown::StaleCatalog);
        }
        if !facts.calls.is_unknown() {
            facts.calls = Fact::Unknown(Unknown::StaleCatalog);
        }
        if !facts.tenants.is_unknown() {
            facts.tenants = Fact::Unknown(Unknown::StaleCatalog);
        }
        for body in &mut facts.bodies {
            body.unread.get_or_insert_with(|| format!("{}.{}", body.schema, body.name));
            body.facts = Arc::new(Self::unknown(Unknown::StaleCatalog));
        }
        facts
    }

    fn shape_references(&mut self) -> &mut [Reference] {
        match &mut self.shape {
            Fact::Known(shape) => &mut shape.references,
            Fact::Unknown(_) => &mut [],
        }
    }

    /// The first cause of an unknown fact, if there is one.
    pub fn first_unknown(&self) -> Option<Unknown> {
        fn why<T>(fact: &Fact<T>) -> Option<Unknown> {
            match fact {
                Fact::Known(_) => None,
                Fact::Unknown(why) => Some(*why),
            }
        }
        why(&self.operations)
            .or_else(|| why(&self.relations))
            .or_else(|| why(&self.functions))
            .or_else(|| why(&self.settings))
            .or_else(|| why(&self.unfiltered))
            .or_else(|| why(&self.server_access))
            .or_else(|| why(&self.shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_definitions_no_body_is_known() {
        let read = Body {
            schema: "app".to_owned(),
            name: "f".to_owned(),
            facts: Arc::new(SqlFacts::of(Operation::Select)),
            unread: None,
            reached: false,
            fired_by: None,
        };
        let facts = SqlFacts { bodies: vec![read], ..SqlFacts::of(Operation::Select) };
        let later = facts.under_another_path();
        assert_eq!(later.bodies[0].unread.as_deref(), Some("app.f"));
        assert!(later.bodies[0].facts.operations.is_unknown());
    }

    #[test]
    fn absorbing_an_unknown_makes_it_unknown() {
        let mut facts = SqlFacts::of(Operation::Execute);
        facts.absorb(&SqlFacts::unknown(Unknown::UnresolvedName));
        assert!(facts.relations.is_unknown());
        assert_eq!(facts.operation, Operation::Execute);
        facts.absorb(&SqlFacts::of(Operation::Select));
        assert_eq!(facts.first_unknown(), Some(Unknown::UnresolvedName));
    }
}
