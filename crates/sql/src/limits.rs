//! Every bound of this crate. Above a bound the facts are unknown, which denies.

/// Longest submission that is parsed, in bytes.
pub const MAX_STATEMENT_BYTES: usize = 256 * 1024;

/// Most operator characters in a row, comments included: the lexer takes their square in time.
pub const MAX_OPERATOR_BYTES: usize = 512;

/// Most syntax tree nodes that analysis visits in one submission, nested texts included.
pub const MAX_NODES: usize = 1_000_000;

/// Deepest syntax tree that analysis follows. PostgreSQL itself refuses chains of 6,000 terms.
pub const MAX_DEPTH: u32 = 5_000;

/// Most statements in one submission.
pub const MAX_STATEMENTS: usize = 1_000;

/// Most CTE names in scope at one place.
pub const MAX_CTES_IN_SCOPE: u32 = 500;

/// Most texts inside texts: `query_to_xml('select query_to_xml(…)')`, function bodies.
pub const MAX_NESTED_TEXTS: u32 = 8;

/// Deepest condition that constant folding reads; below it the WHERE guard has no answer.
pub const MAX_PREDICATE_DEPTH: u32 = 100;

/// Most nodes that are searched for a column before a condition counts as depending on the row.
pub const MAX_PREDICATE_NODES: usize = 10_000;

/// Most search paths that may be in force at one place of a submission; above it, any may be.
pub const MAX_PATHS: usize = 16;

/// Deepest nesting of queries, joins and FROM items that name resolution follows.
pub const MAX_QUERY_DEPTH: u32 = 100;

/// Most columns that a query may yield; PostgreSQL itself refuses more (`MaxTupleAttributeNumber`).
pub const MAX_OUTPUT_COLUMNS: usize = 1_664;

/// Most views behind views, and children of children, that are followed.
pub const MAX_REACH: usize = 10_000;

/// Longest text in which the place of a mistake is looked for, in bytes.
pub const MAX_MISTAKE_BYTES: usize = 32 * 1024;

/// Deepest nesting of views that is looked into for what constrains them.
pub const MAX_VIEW_DEPTH: usize = 32;

/// Most uses of relations in one statement whose shape is kept.
pub const MAX_REFERENCES: usize = 10_000;

/// Most equalities of one statement that are kept.
pub const MAX_EQUALITIES: usize = 2_000;

/// Most relations of its own that one session is followed in.
pub const MAX_OWN_RELATIONS: usize = 200;

/// Most savepoints of one transaction that are followed.
pub const MAX_SAVEPOINTS: usize = 200;

/// Most functions of users whose bodies are read for one statement.
pub const MAX_BODIES: usize = 64;

/// Most steps of name resolution where only what is built in is known, in one submission.
pub const MAX_BUILT_IN_STEPS: usize = 150_000;
