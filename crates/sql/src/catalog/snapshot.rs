//! A catalog as it is stored: flat rows, one kind after the other.

use model::Name;
use serde::{Deserialize, Serialize};

use super::Oid;

/// The format that this version writes, and the only one that it reads.
pub const FORMAT: u32 = 3;

/// Everything that was read in one consistent look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// [`FORMAT`].
    pub format: u32,
    /// `server_version_num`, for example 150020.
    pub server_version: u32,
    /// The database.
    pub database: String,
    /// Every schema's name.
    pub schemas: Vec<Box<str>>,
    /// Those that everybody may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open_schemas: Vec<Box<str>>,
    /// Of the others, which role may use which: role, schema.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub granted_schemas: Vec<(Box<str>, Box<str>)>,
    /// Installed extensions, `name version`.
    #[serde(default)]
    pub extensions: Vec<Box<str>>,
    /// Relations of every kind.
    pub relations: Vec<Relation>,
    /// Functions, procedures, aggregates, window functions.
    pub functions: Vec<Function>,
    /// Operators.
    pub operators: Vec<Operator>,
    /// Casts.
    pub casts: Vec<Cast>,
    /// Types.
    pub types: Vec<Type>,
    /// What else happens when relations are read or written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attached: Vec<Attached>,
}

/// What is done to a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It is read.
    Select,
    /// Rows are added.
    Insert,
    /// Rows are changed.
    Update,
    /// Rows are removed.
    Delete,
    /// All rows are removed.
    Truncate,
    /// All rows are removed, and those of every table whose foreign keys refer to them.
    TruncateCascade,
    /// It is dropped, with what depends on it.
    DropCascade,
}

/// Something that is attached to a relation, and happens beside what a statement says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attached {
    /// What it is attached to.
    pub relation: Oid,
    /// Its name.
    pub name: Box<str>,
    /// When it happens.
    pub on: Vec<Event>,
    /// At UPDATE only if one of these columns is written; any, if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<i16>,
    /// What it is.
    pub what: AttachedKind,
}

/// What is attached to a relation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachedKind {
    /// A trigger that is not disabled.
    Trigger {
        /// What it calls.
        function: Oid,
        /// CREATE TRIGGER, if it has a condition.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        definition: Option<Box<str>>,
    },
    /// A rewrite rule: CREATE RULE, with every name qualified.
    Rule(Box<str>),
    /// A condition of a row security policy that is on.
    Policy(Box<str>),
    /// A default, a generated column or a CHECK that calls what is not built in.
    Expression(Box<str>),
    /// A foreign key elsewhere that refers to it.
    Cascade {
        /// Where.
        relation: Oid,
        /// What is done there.
        does: Event,
        /// To which columns.
        columns: Vec<i16>,
    },
    /// The key of a partitioned table: rows that no longer fit their partition move to another.
    Moves,
    /// A view that reads it.
    Dependent(Oid),
}

/// `pg_class.relkind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    /// An ordinary table.
    Table,
    /// A partitioned table.
    Partitioned,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A foreign table.
    Foreign,
    /// A sequence.
    Sequence,
    /// An index.
    Index,
    /// The row type that `CREATE TYPE … AS (…)` makes.
    Composite,
    /// Where long values are kept.
    Toast,
}

impl RelationKind {
    /// Whether `ctid`, `xmin` and their like can be selected.
    pub const fn has_system_columns(self) -> bool {
        match self {
            Self::Table
            | Self::Partitioned
            | Self::MaterializedView
            | Self::Foreign
            | Self::Sequence
            | Self::Toast => true,
            Self::View | Self::Index | Self::Composite => false,
        }
    }
}

/// A row of `pg_class`, with its columns.
#[expect(clippy::struct_excessive_bools, reason = "the catalog's own flags, as it has them")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relation {
    /// Its OID.
    pub oid: Oid,
    /// Its schema's name.
    pub schema: Name,
    /// Its name.
    pub name: Name,
    /// Its kind.
    pub kind: RelationKind,
    /// Its columns in order, without dropped ones.
    pub columns: Vec<Column>,
    /// What it inherits from, or is a partition of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Oid>,
    /// A view's query, as `pg_get_viewdef` prints it with every name qualified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Box<str>>,
    /// Its row type; 0 if it has none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub row_type: Oid,
    /// Row-level security is on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub row_security: bool,
    /// A view that reads with the rights of who asks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub security_invoker: bool,
    /// It has rewrite rules beside a view's own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_rules: bool,
}

impl Relation {
    /// One without columns, of which nothing else is known.
    pub fn bare(oid: Oid, schema: &str, name: &str, kind: RelationKind) -> Self {
        Self {
            oid,
            schema: schema.into(),
            name: name.into(),
            kind,
            columns: Vec::new(),
            parents: Vec::new(),
            definition: None,
            row_type: 0,
            row_security: false,
            security_invoker: false,
            has_rules: false,
        }
    }

    /// The column of that number.
    pub(crate) fn column(&self, number: i16) -> Option<&Column> {
        // Each is at its place, unless columns before it were dropped.
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        let likely = self.columns.get(place).filter(|column| column.number == number);
        likely.or_else(|| self.columns.iter().find(|column| column.number == number))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(oid: &Oid) -> bool {
    *oid == 0
}

/// A row of `pg_attribute`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name.
    pub name: Name,
    /// Its number, from 1; gaps are dropped columns.
    pub number: i16,
    /// Its type.
    #[serde(rename = "type")]
    pub type_oid: Oid,
    /// It cannot be null.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_null: bool,
    /// Its default, or what generates it, as an expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Box<str>>,
    /// It is generated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub generated: bool,
}

/// `pg_proc.prokind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FunctionKind {
    /// A function.
    Function,
    /// An aggregate.
    Aggregate,
    /// A window function.
    Window,
    /// A procedure.
    Procedure,
}

/// `pg_proc.provolatile`, as declared.
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

/// A row of `pg_proc`.
#[expect(clippy::struct_excessive_bools, reason = "the catalog's own flags, as it has them")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// Its OID.
    pub oid: Oid,
    /// Its schema's name.
    pub schema: Name,
    /// Its name.
    pub name: Name,
    /// Its kind.
    pub kind: FunctionKind,
    /// Types of its input arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<Oid>,
    /// How many of the last arguments have defaults.
    #[serde(default, skip_serializing_if = "is_none")]
    pub defaults: u16,
    /// Its last argument takes any number of values.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub variadic: bool,
    /// What it returns.
    pub returns: Oid,
    /// It returns a set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub returns_set: bool,
    /// Its OUT, INOUT and TABLE columns: names and types.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<(Box<str>, Oid)>,
    /// As declared.
    pub volatility: Volatility,
    /// The language.
    pub language: Box<str>,
    /// It runs with its owner's rights.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub security_definer: bool,
    /// The body of a function in SQL, or of a trigger in PL/pgSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Box<str>>,
    /// With a body: the names of its input arguments, `''` for one without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub argument_names: Vec<Box<str>>,
    /// What arguments are that a call leaves out, as a list of expressions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_arguments: Option<Box<str>>,
    /// With a body: the `search_path` that it runs under, as a list of identifiers; else its caller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_path: Option<Box<str>>,
    /// It runs under settings of its own, beside `search_path`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settings: bool,
    /// Of an aggregate that is not built in: the functions that it calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Oid>,
}

impl Function {
    /// Whether every PostgreSQL has it.
    pub fn is_built_in(&self) -> bool {
        matches!(&*self.schema, "pg_catalog" | "information_schema")
    }

    /// Whether only a superuser could make it.
    pub fn is_in_c(&self) -> bool {
        matches!(&*self.language, "c" | "internal")
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_none(count: &u16) -> bool {
    *count == 0
}

/// A row of `pg_operator`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// Its OID.
    pub oid: Oid,
    /// Its schema's name.
    pub schema: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// The left operand's type; 0 for a prefix operator.
    pub left: Oid,
    /// The right operand's type.
    pub right: Oid,
    /// The result's type.
    pub result: Oid,
    /// The function that it calls.
    pub function: Oid,
}

/// `pg_cast.castcontext`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CastContext {
    /// Only where it is written.
    Explicit,
    /// Also in assignments.
    Assignment,
    /// Anywhere.
    Implicit,
}

/// A row of `pg_cast`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cast {
    /// From this type.
    pub source: Oid,
    /// To this type.
    pub target: Oid,
    /// By this function; 0 if the bytes stay, or text is written and read.
    pub function: Oid,
    /// Where.
    pub context: CastContext,
}

/// `pg_type.typtype`, with what it refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeKind {
    /// A base type.
    Base,
    /// The rows of this relation.
    Composite(Oid),
    /// A domain over this type.
    Domain(Oid),
    /// An enumeration.
    Enum,
    /// A range.
    Range,
    /// A multirange.
    Multirange,
    /// A pseudo-type.
    Pseudo,
}

/// A row of `pg_type`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Type {
    /// Its OID.
    pub oid: Oid,
    /// Its schema's name.
    pub schema: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its kind.
    pub kind: TypeKind,
    /// `typcategory`.
    pub category: char,
    /// Preferred within its category.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preferred: bool,
    /// What it is an array of; 0 if it is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub element: Oid,
    /// Functions outside `pg_catalog` that its values pass through: input, output, domain checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<Oid>,
}
