//! How a statement is built: what detections look at.

use serde::{Deserialize, Serialize};

/// How many rows a statement asks for.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum RowLimit {
    /// It does not say.
    #[default]
    Missing,
    /// At most so many.
    Rows(u64),
    /// LIMIT ALL, LIMIT NULL.
    All,
    /// A parameter or an expression.
    NotConstant,
}

/// A construction that can keep a server busy whatever the data are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heavy {
    /// Relations joined without any condition between them.
    UncorrelatedJoin,
    /// WITH RECURSIVE whose recursive part has no condition and no LIMIT outside.
    UnboundedRecursion,
    /// A series of very many rows, or of a length that is not a constant.
    LongSeries,
    /// A text that a function makes very long.
    HugeText,
    /// A regular expression with nested repetition, or a LIKE pattern of many wildcards.
    Backtracking,
    /// Expressions in expressions, very deep.
    DeepNesting,
}

/// How one statement is built.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "independent observations of one statement")]
pub struct Shape {
    /// How many statements its submission holds, if more than one.
    pub statements: u32,
    /// All columns of a relation are asked for: `*`, `t.*`, the whole row, TABLE.
    pub star: bool,
    /// A SELECT on a named relation has no WHERE.
    pub no_where: bool,
    /// A WHERE or HAVING lets every row pass.
    pub tautology: bool,
    /// UNION, INTERSECT, EXCEPT.
    pub set_operation: bool,
    /// The text holds a comment.
    pub comment: bool,
    /// ORDER BY a random value.
    pub random_order: bool,
    /// Joins, comma joins included.
    pub joins: u32,
    /// Sub-selects, those in FROM included.
    pub sub_selects: u32,
    /// How many rows are asked for.
    pub limit: RowLimit,
    /// Names of columns and of output columns, as they are written. Sorted, unique.
    pub names: Vec<String>,
    /// What can keep the server busy. Sorted, unique.
    pub heavy: Vec<Heavy>,
}

impl Shape {
    /// Adds how a statement is built that runs as part of this one.
    pub fn absorb(&mut self, inner: &Self) {
        self.statements = self.statements.max(inner.statements);
        self.star |= inner.star;
        self.no_where |= inner.no_where;
        self.tautology |= inner.tautology;
        self.set_operation |= inner.set_operation;
        self.comment |= inner.comment;
        self.random_order |= inner.random_order;
        self.joins = self.joins.max(inner.joins);
        self.sub_selects = self.sub_selects.max(inner.sub_selects);
        self.limit = self.limit.max(inner.limit);
        self.names.extend(inner.names.iter().cloned());
        self.names.sort_unstable();
        self.names.dedup();
        self.heavy.extend(inner.heavy.iter().copied());
        self.heavy.sort_unstable();
        self.heavy.dedup();
    }
}

/// What binds a reference to a tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantBound {
    /// A constant.
    Value(String),
    /// A parameter, whose value is not read.
    Parameter,
}

/// One reference to a relation that has the tenant's column, or to a view that may hide it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TenantUse {
    /// The relation's schema.
    pub schema: String,
    /// The relation.
    pub relation: String,
    /// Read or written.
    pub access: crate::Access,
    /// Whether it has the column itself.
    pub has_column: bool,
    /// Each of these holds for every row of it. Sorted, unique.
    pub bounds: Vec<TenantBound>,
}
