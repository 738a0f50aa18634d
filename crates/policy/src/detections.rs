//! Detections: statements that are suspicious by the way they are built.
//!
//! They act only where the policy has the key. Inside it a switch that is absent has its default:
//! on for what is denied by most, off for what only adds to the risk.

use std::collections::BTreeMap;

use model::{
    Fact, Operation, RelationName, RelationUse, RowLimit, Schemas, Shape, SqlFacts, TenantBound,
};

use crate::evaluate::{Reasons, unknown};
use crate::table::TableSet;
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

/// Scopes that tables need.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scopes {
    /// By table name, in lower case, with or without schema.
    pub(crate) required: BTreeMap<String, String>,
    /// The role that needs none.
    pub(crate) admin_role: String,
    /// The column that says whose a row is.
    pub(crate) column: Option<String>,
    /// Relations that belong to nobody, though they or what they read have the column.
    pub(crate) global: TableSet,
}

/// What an agent holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held<'p> {
    pub(crate) roles: [&'p [String]; 2],
    pub(crate) scopes: [&'p [String]; 2],
}

impl Held<'_> {
    fn is(&self, role: &str) -> bool {
        !role.is_empty() && self.roles.iter().any(|roles| roles.iter().any(|one| one == role))
    }

    fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|scopes| scopes.iter().any(|one| one == scope))
    }
}

impl Scopes {
    /// The scope that a relation needs.
    fn needed(&self, used: &RelationUse) -> Option<&str> {
        let name = used.relation.name.to_ascii_lowercase();
        let full = match &used.relation.schemas {
            Schemas::Named(schema) => Some(format!("{}.{name}", schema.to_ascii_lowercase())),
            Schemas::Paths(_) | Schemas::Unknown => None,
        };
        let found = full.and_then(|full| self.required.get(&full)).or(self.required.get(&name));
        found.map(String::as_str)
    }

    /// Whether the holder may use the relation; `None` if no scope is required.
    fn allows(&self, used: &RelationUse, held: Held<'_>) -> Option<bool> {
        self.needed(used).map(|scope| held.is(&self.admin_role) || held.has(scope))
    }

    /// Every reference to a scoped relation has to be bound to the tenant.
    pub(crate) fn isolate(&self, facts: &SqlFacts, tenant: Option<&str>, reasons: &mut Reasons) {
        if self.column.is_none() {
            return;
        }
        let all = match &facts.tenants {
            Fact::Known(all) => all,
            Fact::Unknown(why) => {
                reasons.add(unknown(*why, ReasonCode::UnknownTenants, facts));
                return;
            }
        };
        for used in all {
            let relation = RelationName {
                schemas: Schemas::Named(used.schema.clone()),
                name: used.relation.clone(),
            };
            let bound = used.bounds.iter().any(|bound| match bound {
                TenantBound::Value(value) => Some(value.as_str()) == tenant,
                TenantBound::Parameter => false,
            });
            if bound || self.global.lists(&relation, None) {
                continue;
            }
            let column = self.column.as_deref().unwrap_or_default();
            let parameter = used.bounds.contains(&TenantBound::Parameter);
            let hint = match (tenant, parameter) {
                (None, _) => "no tenant is known for this agent".to_owned(),
                (Some(tenant), false) => {
                    format!("add `{column} = '{tenant}'` for every use of the table")
                }
                (Some(tenant), true) => {
                    format!(
                        "write the tenant as a constant, `{column} = '{tenant}'`: parameters are not read"
                    )
                }
            };
            let reason = Reason::of(ReasonCode::TenantViolation).with_hint(hint);
            let reason = reason.with_table(&relation.to_string());
            reasons.add(reason.with_operation(facts.operation));
        }
    }

    /// Adds what is missing.
    pub(crate) fn judge(&self, facts: &SqlFacts, held: Held<'_>, reasons: &mut Reasons) {
        if self.required.is_empty() {
            return;
        }
        match &facts.relations {
            Fact::Known(all) => {
                for used in all.iter().filter(|used| self.allows(used, held) == Some(false)) {
                    let reason = Reason::of(ReasonCode::MissingScope);
                    let reason = reason.with_detail(self.needed(used).unwrap_or_default());
                    let reason = reason.with_table(&used.relation.to_string());
                    reasons.add(reason.with_operation(facts.operation));
                }
            }
            Fact::Unknown(_) if held.is(&self.admin_role) => {}
            Fact::Unknown(why) => reasons.add(unknown(*why, ReasonCode::UnknownRelations, facts)),
        }
    }
}

impl Detections {
    fn is_on(&self, switch: Switch) -> bool {
        self.on.contains(&switch)
    }

    /// Adds what is found.
    pub(crate) fn judge(
        &self,
        facts: &SqlFacts,
        (scopes, held): (&Scopes, Held<'_>),
        reasons: &mut Reasons,
    ) {
        let mut add =
            |code: ReasonCode| reasons.add(Reason::of(code).with_operation(facts.operation));
        if self.is_on(Switch::Destructive) && destroys(facts) {
            add(ReasonCode::DestructiveOperation);
        }
        match &facts.shape {
            Fact::Known(shape) => self.built(shape, &mut add),
            Fact::Unknown(why) => reasons.add(unknown(*why, ReasonCode::UnknownShape, facts)),
        }
        if self.is_on(Switch::SchemaEnumeration) {
            enumerates(facts, reasons);
        }
        if self.is_on(Switch::Pii) {
            self.pii(facts, (scopes, held), reasons);
        }
    }

    /// What the shape alone shows.
    fn built(&self, shape: &Shape, add: &mut dyn FnMut(ReasonCode)) {
        let limit = match shape.limit {
            RowLimit::Missing => false,
            RowLimit::Rows(rows) => rows > self.max_limit,
            RowLimit::All | RowLimit::NotConstant => true,
        };
        for (switch, found, code) in [
            (Switch::MultiStatement, shape.statements > 1, ReasonCode::MultiStatement),
            (Switch::Tautology, shape.tautology, ReasonCode::Tautology),
            (Switch::Star, shape.star, ReasonCode::SelectStar),
            (Switch::RowLimit, limit, ReasonCode::HighLimit),
            (Switch::MissingWhere, shape.no_where, ReasonCode::MissingWhere),
            (Switch::SetOperation, shape.set_operation, ReasonCode::SetOperation),
            (Switch::Comment, shape.comment, ReasonCode::Comment),
            (Switch::RandomOrder, shape.random_order, ReasonCode::RandomOrder),
            (Switch::Resource, !shape.heavy.is_empty(), ReasonCode::HeavyStatement),
        ] {
            if found && self.is_on(switch) {
                add(code);
            }
        }
    }

    /// Personal columns need the scope of every table that is used.
    fn pii(&self, facts: &SqlFacts, (scopes, held): (&Scopes, Held<'_>), reasons: &mut Reasons) {
        let covered = facts.relations.known().is_some_and(|all| {
            !all.is_empty() && all.iter().all(|used| scopes.allows(used, held) == Some(true))
        });
        if held.is(&scopes.admin_role) || covered {
            return;
        }
        let mut names: Vec<&str> = Vec::new();
        if let Fact::Known(shape) = &facts.shape {
            names.extend(shape.names.iter().map(String::as_str));
        }
        // With a catalog `*` and views say which columns they are.
        if let Fact::Known(columns) = &facts.columns {
            names.extend(columns.iter().filter_map(|used| used.column.as_deref()));
        }
        names.sort_unstable();
        names.dedup();
        for name in names.into_iter().filter(|name| self.is_personal(name)) {
            let reason = Reason::of(ReasonCode::PiiColumn).with_detail(name);
            reasons.add(reason.with_operation(facts.operation));
        }
    }

    fn is_personal(&self, name: &str) -> bool {
        let lower = name.to_ascii_lowercase();
        self.pii.iter().any(|word| lower.contains(word.as_str()))
            || self.pii_patterns.iter().any(|pattern| pattern.is(&lower))
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
