//! Detections: statements that are suspicious by the way they are built.
//!
//! They act only where the policy has the key. Inside it a switch that is absent has its default:
//! on for what is denied by most, off for what only adds to the risk.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    ColumnName, ColumnRole, Fact, Operation, Reference, RelationName, RelationUse, Request,
    RowLimit, Schemas, Shape, SqlFacts, Stage, Unknown,
};

use crate::evaluate::{Reasons, named, unknown};
use crate::policy::Policy;
use crate::tenancy::Tenancy;
use crate::{Reason, ReasonCode};

/// The largest LIMIT unless the policy says.
pub(crate) const MAX_LIMIT: u64 = 500;

/// Words in a column's name that say that it is about a person or a secret.
pub(crate) const PII_NAMES: &[&str] = &[
    "email",
    "mail",
    "ssn",
    "social_security",
    "phone",
    "mobile",
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "credit_card",
    "card_number",
    "card_num",
    "cvv",
    "cvc",
    "dob",
    "date_of_birth",
    "birthdate",
    "birth_date",
    "address",
    "zip",
    "postal_code",
    "passport",
    "license",
    "salary",
    "income",
    "bank_account",
    "account_number",
    "account_num",
    "iban",
    "balance",
];

/// Relations that describe others, in PostgreSQL and elsewhere.
const SCHEMA_NAMES: &[&str] = &["sqlite_master", "sqlite_schema", "sysobjects", "syscolumns"];

macro_rules! switches {
    ($($variant:ident $name:literal $default:literal $meaning:literal;)*) => {
        /// A detection that can be switched.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Switch { $($variant,)* }

        impl Switch {
            /// Every switch, in the order of documentation.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its key.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether it is on where `detections` does not say.
            pub(crate) const fn default(self) -> bool {
                match self { $(Self::$variant => $default,)* }
            }

            /// What it denies.
            pub(crate) const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

switches! {
    Tautology "tautology_blocker" true "a WHERE or HAVING, anywhere, that lets every row pass; a true condition that is joined to another by AND stays allowed";
    Pii "pii_column_guard" true "columns named like personal data or secrets (`names`, and `patterns` of your own), without the scopes of the tables used or the admin role";
    Star "select_star_block" true "`*`, `t.*`, TABLE and whole rows of stored relations, also in sub-selects";
    Destructive "destructive_query_block" true "DELETE, DROP, TRUNCATE, ALTER";
    RowLimit "row_limit_enforcer" true "a LIMIT or FETCH above `max_limit` (500), LIMIT ALL, LIMIT NULL, or one that is not a constant; none at all is allowed";
    MissingWhere "missing_where" true "SELECT from a stored relation without WHERE";
    SchemaEnumeration "schema_enumeration" true "relations of `pg_catalog` and `information_schema`, and their like";
    MultiStatement "multi_statement" true "several statements in one submission";
    SetOperation "set_operations" false "UNION, INTERSECT, EXCEPT";
    WritingWith "data_modifying_with" false "INSERT, UPDATE, DELETE or MERGE inside WITH";
    ExplainAnalyze "explain_analyze" false "EXPLAIN with ANALYZE, which runs the statement";
    TwoPhase "two_phase_commit" false "PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED";
    Comment "comments" false "comments";
    RandomOrder "random_order" false "ORDER BY a random value";
    Resource "resource_guard" false "joins without any condition, recursion without end, very long series and texts, regular expressions with nested repetition";
}

/// A compiled section.
#[derive(Debug, Clone)]
pub(crate) struct Detections {
    pub(crate) on: Vec<Switch>,
    pub(crate) max_limit: u64,
    /// Parts of names, in lower case.
    pub(crate) pii: Vec<String>,
    /// Whole names, with `*`.
    pub(crate) pii_patterns: Vec<crate::column::ColumnPattern>,
}

impl Detections {
    fn is_on(&self, switch: Switch) -> bool {
        self.on.contains(&switch)
    }

    /// Adds what is found.
    pub(crate) fn judge(&self, policy: &Policy, request: &Request<'_>, reasons: &mut Reasons) {
        let facts = request.facts;
        let about = |code: ReasonCode| Reason::of(code).with_operation(facts.operation);
        if self.is_on(Switch::Destructive) && destroys(facts) {
            reasons.add(about(ReasonCode::DestructiveOperation));
        }
        match &facts.shape {
            Fact::Known(shape) => {
                self.built(shape, request.stage, &mut |code| reasons.add(about(code)));
                if self.is_on(Switch::MissingWhere) {
                    missing_where(shape, policy, request, reasons);
                }
                if self.is_on(Switch::Pii) {
                    self.personal(policy, (shape, request), reasons);
                }
            }
            Fact::Unknown(why) => reasons.add(unknown(*why, ReasonCode::UnknownShape, facts)),
        }
        if self.is_on(Switch::SchemaEnumeration) {
            enumerates(facts, reasons);
        }
    }

    /// What the shape alone shows.
    fn built(&self, shape: &Shape, stage: Stage, add: &mut dyn FnMut(ReasonCode)) {
        let limit = match shape.limit {
            RowLimit::Missing => false,
            RowLimit::Rows(rows) => rows > self.max_limit,
            // Bind brings the value, and is judged with it.
            RowLimit::Parameter(_) => stage != Stage::Parse,
            RowLimit::All | RowLimit::NotConstant => true,
        };
        for (switch, found, code) in [
            (Switch::MultiStatement, shape.statements > 1, ReasonCode::MultiStatement),
            (Switch::Tautology, shape.tautology, ReasonCode::Tautology),
            (Switch::Star, shape.star, ReasonCode::SelectStar),
            (Switch::RowLimit, limit, ReasonCode::HighLimit),
            (Switch::Tautology, shape.unread, ReasonCode::TooComplex),
            (Switch::SetOperation, shape.set_operation, ReasonCode::SetOperation),
            (Switch::WritingWith, shape.writing_with, ReasonCode::WritingWith),
            (Switch::ExplainAnalyze, shape.runs_explained, ReasonCode::ExplainAnalyze),
            (Switch::TwoPhase, shape.two_phase, ReasonCode::TwoPhaseCommit),
            (Switch::Comment, shape.comment, ReasonCode::Comment),
            (Switch::RandomOrder, shape.random_order, ReasonCode::RandomOrder),
            (Switch::Resource, !shape.heavy.is_empty(), ReasonCode::HeavyStatement),
        ] {
            if found && self.is_on(switch) {
                add(code);
            }
        }
    }

    /// Personal columns need the scope of the table that they are of, or may be of.
    fn personal(
        &self,
        policy: &Policy,
        (shape, request): (&Shape, &Request<'_>),
        reasons: &mut Reasons,
    ) {
        let tenancy = policy.tenancy.as_ref();
        if Tenancy::is_admin(tenancy, request.principal) {
            return;
        }
        let lacks =
            |relation: &RelationName| !Tenancy::holds_scope(tenancy, relation, request.principal);
        let mut found: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        match &request.facts.columns {
            // Columns as the server resolves them, behind views, too.
            Fact::Known(columns) => {
                for used in columns.iter().filter(|used| used.role != ColumnRole::Write) {
                    let Some(name) = used.column.as_deref() else { continue };
                    let relation = named(used.schema.as_str(), used.relation.as_str());
                    if self.is_personal(name) && lacks(&relation) {
                        found.entry(relation.to_string()).or_default().insert(name);
                    }
                }
            }
            // Without a catalog names count as they are written.
            Fact::Unknown(Unknown::NoCatalog) => {
                for column in shape.columns.iter().filter(|one| self.is_personal(&one.name)) {
                    for owner in owners(shape, column).filter(|one| lacks(&one.relation)) {
                        let table = owner.relation.to_string();
                        found.entry(table).or_default().insert(&column.name);
                    }
                }
                let all = shape.references.iter().filter(|one| one.all_columns);
                for reference in all.filter(|one| lacks(&one.relation)) {
                    found.entry(reference.relation.to_string()).or_default().insert("*");
                }
            }
            Fact::Unknown(why) => {
                reasons.add(unknown(*why, ReasonCode::UnknownColumns, request.facts));
            }
        }
        for (table, columns) in found {
            let columns: Vec<&str> = columns.into_iter().collect();
            let reason = Reason::of(ReasonCode::PiiColumn).with_detail(&columns.join(", "));
            reasons.add(reason.with_table(&table).with_operation(request.facts.operation));
        }
    }

    fn is_personal(&self, name: &str) -> bool {
        let lower = name.to_ascii_lowercase();
        self.pii.iter().any(|word| lower.contains(word.as_str()))
            || self.pii_patterns.iter().any(|pattern| pattern.is(&lower))
    }
}

/// The references that may have a column: all, if nothing says which.
fn owners<'s>(shape: &'s Shape, column: &'s ColumnName) -> impl Iterator<Item = &'s Reference> {
    let of = |index: u32| column.of.is_empty() || column.of.contains(&index);
    (0_u32..).zip(&shape.references).filter(move |(index, _)| of(*index)).map(|(_, one)| one)
}

/// Queries without WHERE of tables whose rows belong to somebody.
fn missing_where(shape: &Shape, policy: &Policy, request: &Request<'_>, reasons: &mut Reasons) {
    for reference in shape.references.iter().filter(|one| one.without_where) {
        if !Tenancy::is_global(policy.tenancy.as_ref(), reference, request.principal) {
            let reason = Reason::of(ReasonCode::MissingWhere);
            let reason = reason.with_table(&reference.relation.to_string());
            reasons.add(reason.with_operation(request.facts.operation));
        }
    }
}

fn destroys(facts: &SqlFacts) -> bool {
    let destructive = |operation: &Operation| {
        [Operation::Delete, Operation::Drop, Operation::Truncate, Operation::Alter]
            .iter()
            .any(|destructive| destructive.covers(*operation))
    };
    match &facts.operations {
        Fact::Known(all) => all.iter().any(destructive),
        Fact::Unknown(_) => true,
    }
}

fn enumerates(facts: &SqlFacts, reasons: &mut Reasons) {
    let describes = |used: &&RelationUse| {
        let name = used.relation.name.as_str();
        let schema = match &used.relation.schemas {
            Schemas::Named(schema) => Some(schema.as_str()),
            Schemas::Paths(_) | Schemas::Unknown => None,
        };
        matches!(schema, Some("pg_catalog" | "information_schema"))
            || name.starts_with("pg_")
            || SCHEMA_NAMES.contains(&name)
    };
    match &facts.relations {
        Fact::Known(all) => {
            for used in all.iter().filter(describes) {
                let reason = Reason::of(ReasonCode::SchemaEnumeration);
                let reason = reason.with_table(&used.relation.to_string());
                reasons.add(reason.with_operation(facts.operation));
            }
        }
        Fact::Unknown(why) => reasons.add(unknown(*why, ReasonCode::UnknownRelations, facts)),
    }
}
