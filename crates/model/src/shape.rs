//! How a statement is built: what the detections, the tenancy and the risk of a policy look at.
//!
//! What is *not* here: what any of it means. Names count as written; a reference that no catalog
//! has resolved names its candidates. References, equalities and columns stay in memory: a record
//! keeps the rest, and its statement has them.

use serde::{Deserialize, Serialize};

use crate::{Access, RelationName};

/// How many rows a statement asks for.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum RowLimit {
    /// It does not say.
    #[default]
    Missing,
    /// At most so many; WITH TIES adds those that are equal to the last.
    Rows(u64),
    /// As the parameter of this number says.
    Parameter(u32),
    /// LIMIT ALL, LIMIT NULL.
    All,
    /// An expression.
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

/// How one statement is built, everything inside it included.
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
    /// A condition is too deep to be read.
    pub unread: bool,
    /// UNION, INTERSECT, EXCEPT.
    pub set_operation: bool,
    /// The text holds a comment.
    pub comment: bool,
    /// WITH holds a statement that writes.
    pub writing_with: bool,
    /// EXPLAIN runs the statement.
    pub runs_explained: bool,
    /// A transaction is prepared, or a prepared one ended.
    pub two_phase: bool,
    /// ORDER BY a random value.
    pub random_order: bool,
    /// Joins, comma joins included.
    pub joins: u32,
    /// Sub-selects, those in FROM included.
    pub sub_selects: u32,
    /// How many rows are asked for.
    pub limit: RowLimit,
    /// Names of columns, as they are written. Sorted, unique.
    pub names: Vec<String>,
    /// Settings that it shows, in lower case. Sorted, unique.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shown: Vec<String>,
    /// What can keep the server busy. Sorted, unique.
    pub heavy: Vec<Heavy>,
    /// Each place where rows of a relation are read or written.
    #[serde(skip)]
    pub references: Vec<Reference>,
    /// Parameters that stand at several places.
    #[serde(skip)]
    pub repeated: Vec<u32>,
    /// What must be equal for a row of a reference to count.
    #[serde(skip)]
    pub equalities: Vec<Equality>,
    /// Columns with the references that may have them. Sorted, unique.
    #[serde(skip)]
    pub columns: Vec<ColumnName>,
}

/// Which rows of a relation a reference is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Those that are there.
    Present,
    /// Those that it adds.
    New,
}

/// A place where rows of a relation are read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Which relation.
    pub relation: RelationName,
    /// How.
    pub access: Access,
    /// Which rows.
    pub rows: Rows,
    /// It stands in a query without WHERE.
    pub without_where: bool,
    /// Every column may be used: a star, a whole row, renamed columns.
    pub all_columns: bool,
    /// Columns that rows get a new value of; `None` where the value is not plain.
    pub assigned: Vec<(String, Option<Operand>)>,
}

/// A column that is equal to something, whenever a row of its reference counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Equality {
    /// One of these references has the column; several if the name is not qualified.
    pub of: Vec<u32>,
    /// The column.
    pub column: String,
    /// What it is equal to.
    pub to: Operand,
}

/// The other side of an equality.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operand {
    /// A constant, as text.
    Constant(String),
    /// The parameter of this number.
    Parameter(u32),
    /// `current_setting` of this setting.
    Setting(String),
    /// A column of one of these references.
    Column(Vec<u32>, String),
}

/// A column, as the statement names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ColumnName {
    /// The name, folded as PostgreSQL folds it.
    pub name: String,
    /// The references that may have it.
    pub of: Vec<u32>,
}

impl Shape {
    /// Adds how a statement is built that runs as part of this one. Parameters of it are not those
    /// of this statement: what they say is lost.
    pub fn absorb(&mut self, inner: &Self) {
        let mut inner = inner.clone();
        inner.forget_parameters();
        self.statements = self.statements.max(inner.statements);
        self.star |= inner.star;
        self.no_where |= inner.no_where;
        self.tautology |= inner.tautology;
        self.unread |= inner.unread;
        self.set_operation |= inner.set_operation;
        self.comment |= inner.comment;
        self.writing_with |= inner.writing_with;
        self.runs_explained |= inner.runs_explained;
        self.two_phase |= inner.two_phase;
        self.random_order |= inner.random_order;
        self.joins = self.joins.max(inner.joins);
        self.sub_selects = self.sub_selects.max(inner.sub_selects);
        self.limit = self.limit.max(inner.limit);
        merge(&mut self.names, inner.names);
        merge(&mut self.shown, inner.shown);
        merge(&mut self.heavy, inner.heavy);
        let shift = u32::try_from(self.references.len()).unwrap_or(u32::MAX);
        self.references.extend(inner.references.iter().map(|one| one.shifted(shift)));
        self.equalities.extend(inner.equalities.iter().map(|one| Equality {
            of: shifted(&one.of, shift),
            column: one.column.clone(),
            to: one.to.shifted(shift),
        }));
        self.columns.extend(
            inner
                .columns
                .iter()
                .map(|one| ColumnName { name: one.name.clone(), of: shifted(&one.of, shift) }),
        );
    }

    /// Whether a record has nothing to say about it.
    pub fn is_plain(&self) -> bool {
        let plain = Self::default();
        let Self {
            references: _, equalities: _, columns: _, repeated: _, names, shown, heavy, ..
        } = self;
        let marks = |one: &Self| {
            [one.star, one.no_where, one.tautology, one.unread]
                .into_iter()
                .chain([one.set_operation, one.comment, one.random_order])
                .chain([one.writing_with, one.runs_explained, one.two_phase])
                .any(|mark| mark)
        };
        let counts = |one: &Self| (one.statements, one.joins, one.sub_selects, one.limit);
        names.is_empty()
            && shown.is_empty()
            && heavy.is_empty()
            && !marks(self)
            && counts(self) == counts(&plain)
    }

    /// Puts the values that parameters get in their place; `None` is one that cannot be read.
    pub fn bind(
        &mut self,
        rows: &dyn Fn(u32) -> Option<u64>,
        value: &dyn Fn(u32) -> Option<String>,
    ) {
        if let RowLimit::Parameter(number) = self.limit {
            self.limit = rows(number).map_or(RowLimit::NotConstant, RowLimit::Rows);
        }
        let set = |operand: &mut Operand| {
            if let Operand::Parameter(number) = *operand
                && let Some(text) = value(number)
            {
                *operand = Operand::Constant(text);
            }
        };
        self.equalities.iter_mut().for_each(|one| set(&mut one.to));
        let assigned = self.references.iter_mut().flat_map(|one| &mut one.assigned);
        assigned.filter_map(|(_, operand)| operand.as_mut()).for_each(set);
    }

    /// The parameters whose values decide about it. Sorted, unique.
    pub fn parameters(&self) -> Vec<u32> {
        let assigned = self.references.iter().flat_map(|one| &one.assigned);
        let operands = assigned.filter_map(|(_, operand)| operand.as_ref());
        let operands = operands.chain(self.equalities.iter().map(|one| &one.to));
        let mut all: Vec<u32> = operands.filter_map(Operand::parameter).collect();
        if let RowLimit::Parameter(number) = self.limit {
            all.push(number);
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// What parameters would say is not known, and never will be.
    fn forget_parameters(&mut self) {
        if matches!(self.limit, RowLimit::Parameter(_)) {
            self.limit = RowLimit::NotConstant;
        }
        self.equalities.retain(|one| one.to.parameter().is_none());
        for (_, operand) in self.references.iter_mut().flat_map(|one| &mut one.assigned) {
            *operand = operand.take().filter(|one| one.parameter().is_none());
        }
    }
}

fn merge<T: Ord>(mine: &mut Vec<T>, theirs: Vec<T>) {
    mine.extend(theirs);
    mine.sort_unstable();
    mine.dedup();
}

impl Reference {
    fn shifted(&self, by: u32) -> Self {
        let mut all = self.clone();
        for (_, operand) in &mut all.assigned {
            *operand = operand.as_ref().map(|one| one.shifted(by));
        }
        all
    }
}

impl Operand {
    const fn parameter(&self) -> Option<u32> {
        match self {
            Self::Parameter(number) => Some(*number),
            Self::Constant(_) | Self::Setting(_) | Self::Column(..) => None,
        }
    }

    fn shifted(&self, by: u32) -> Self {
        match self {
            Self::Column(of, column) => Self::Column(shifted(of, by), column.clone()),
            Self::Constant(_) | Self::Parameter(_) | Self::Setting(_) => self.clone(),
        }
    }
}

fn shifted(of: &[u32], by: u32) -> Vec<u32> {
    of.iter().map(|one| one.saturating_add(by)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Schemas;

    fn reference() -> Reference {
        Reference {
            relation: RelationName { schemas: Schemas::Unknown, name: "t".into() },
            access: Access::Read,
            rows: Rows::Present,
            without_where: false,
            all_columns: false,
            assigned: Vec::new(),
        }
    }

    fn tenant_of(of: u32, to: Operand) -> Shape {
        Shape {
            references: vec![reference()],
            equalities: vec![Equality { of: vec![of], column: "tenant".to_owned(), to }],
            ..Shape::default()
        }
    }

    #[test]
    fn absorbed_equalities_stay_with_their_references() {
        let mut shape = tenant_of(0, Operand::Parameter(1));
        shape.absorb(&tenant_of(0, Operand::Parameter(1)));
        assert_eq!(shape.equalities.len(), 1, "a parameter of something else");
        shape.references.pop();
        shape.absorb(&tenant_of(0, Operand::Column(vec![0], "id".to_owned())));
        assert_eq!(shape.references.len(), 2);
        assert_eq!(shape.equalities[1].of, [1]);
        assert_eq!(shape.equalities[1].to, Operand::Column(vec![1], "id".to_owned()));
    }

    #[test]
    fn bound_values_take_the_place_of_parameters() {
        let mut shape = tenant_of(0, Operand::Parameter(2));
        shape.limit = RowLimit::Parameter(1);
        assert_eq!(shape.parameters(), [1, 2]);
        shape.bind(&|number| Some(number.into()), &|number| {
            (number < 3).then(|| format!(" {number}"))
        });
        assert_eq!(shape.limit, RowLimit::Rows(1));
        assert_eq!(shape.equalities[0].to, Operand::Constant(" 2".to_owned()));
        assert_eq!(shape.parameters(), [0; 0]);
    }
}
