//! Why a request was denied: stable codes, the seed's categories, and what to do instead.
//!
//! What is *not* here: how a refusal looks on a wire. A reason holds names from the request
//! (bounded, control characters shown as `?`) and never policy text beyond what the principal
//! may use anyway.

use std::fmt;

use model::Operation;
use serde::{Deserialize, Serialize};

use crate::limits::MAX_SHOWN_NAME;

/// What a program may do about a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    /// Give up this approach.
    Abort,
    /// Change the statement and try again.
    Rewrite,
    /// Try again later.
    Transient,
}

impl Bucket {
    /// The name in records and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::Rewrite => "rewrite",
            Self::Transient => "transient",
        }
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal $category:literal $bucket:ident $suggestion:literal;)*) => {
        /// Stable name of a reason; part of the public contract. The order of declaration is the
        /// order in which the reasons of one decision are reported.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ReasonCode { $($(#[doc = $doc])+ $variant,)* }

        impl ReasonCode {
            /// Every code, in the order of reporting.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as clients, records and metrics show it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means, in one sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)* }
            }

            const fn category(self) -> &'static str {
                match self { $(Self::$variant => $category,)* }
            }

            /// What a program may do about it.
            pub const fn bucket(self) -> Bucket {
                match self { $(Self::$variant => Bucket::$bucket,)* }
            }

            /// What to do instead, when the policy has nothing more precise to say.
            pub const fn suggestion(self) -> &'static str {
                match self { $(Self::$variant => $suggestion,)* }
            }
        }
    };
}

codes! {
    /// The connection names no agent.
    UnidentifiedConnection "unidentified_connection" "session_block" Abort
        "connect with application_name `agent:<agent>:mission:<mission>`";
    /// The agent is not listed in the policy.
    AgentNotInPolicy "agent_not_in_policy" "session_block" Abort
        "use an agent name that the policy lists, or ask for this one to be added";
    /// The server's version is not one whose statements can be judged.
    UnsupportedServer "unsupported_server_version" "session_block" Abort
        "the operator has to use a supported version of PostgreSQL, or let the policy's `accept_server_versions` name this one";
    /// PostgreSQL's parser refuses the text.
    AstParseFailed "ast_parse_failed" "parse_error" Abort
        "correct the SQL syntax; one complete PostgreSQL statement is expected";
    /// The text is not in an encoding that is read as the server reads it.
    InvalidEncoding "invalid_encoding" "parse_error" Abort
        "send the statement as UTF-8";
    /// The statement is too long or too complex to be analysed.
    TooComplex "too_complex" "parse_error" Abort
        "split the statement, or pass long values as parameters";
    /// A protocol message is not well-formed, or not one that may come here.
    MalformedMessage "malformed_message" "parse_error" Abort
        "send messages as the PostgreSQL protocol has them";
    /// A prepared statement or portal has a name that the server would cut.
    NameTooLong "name_too_long" "parse_error" Rewrite
        "use a name of at most 63 bytes";
    /// A temporary relation would be hidden by another of its name.
    TemporaryHidden "temporary_hidden" "parse_error" Rewrite
        "choose a name that no other relation has";
    /// The operation is not permitted.
    BlockedOperation "blocked_operation" "missing_scope" Abort
        "this kind of statement is not permitted for this agent; do without it";
    /// The statement is of a kind that the policy cannot judge.
    UnrecognizedOperation "unrecognized_operation" "missing_scope" Abort
        "use an ordinary statement (SELECT, INSERT, UPDATE, DELETE)";
    /// An UPDATE, DELETE or MERGE would touch every row.
    ConditionViolated "condition_violated" "missing_where" Rewrite
        "add a WHERE clause that selects the rows you mean; one that is true for every row selects none";
    /// The table is blocked.
    BlockedTable "blocked_table" "missing_scope" Abort
        "do without this table";
    /// The table is not one of the mission's tables.
    TableNotInMission "table_not_in_mission" "missing_scope" Abort
        "use only the tables of the mission";
    /// The table is not one of the agent's tables.
    TableNotListed "table_not_listed" "missing_scope" Abort
        "use only the tables that the agent may use";
    /// The table needs a scope that is not held.
    MissingScope "missing_scope" "missing_scope" Abort
        "request the scope that the table needs, or do without the table";
    /// The agent may not use the column.
    ColumnNotAllowed "column_not_allowed" "missing_scope" Rewrite
        "leave this column out";
    /// The agent may not call the function.
    FunctionNotAllowed "function_not_allowed" "missing_scope" Rewrite
        "do without this function";
    /// The agent has missions, and the connection names none of them.
    NoMissionPolicy "no_mission_policy" "missing_scope" Abort
        "connect with application_name `agent:<agent>:mission:<mission>` and one of the agent's missions";
    /// The function is blocked.
    BlockedFunction "blocked_function" "missing_scope" Abort
        "do without this function";
    /// A protocol function call, which no policy key permits.
    FunctionCallNotAllowed "function_call_not_allowed" "missing_scope" Abort
        "call the function in a SELECT instead of a protocol function call";
    /// A replication connection: its statements cannot be judged.
    ReplicationNotAllowed "replication_not_allowed" "missing_scope" Abort
        "connect without `replication`";
    /// A session of a database that the catalog is not of.
    OtherDatabase "other_database" "missing_scope" Abort
        "connect to the database that the door has a catalog of, or ask the operator for a door to this one";
    /// Several statements in one submission.
    MultiStatement "multi_statement" "injection" Abort
        "send one statement at a time";
    /// An operation that destroys.
    DestructiveOperation "destructive_operation" "destructive_op" Abort
        "use SELECT instead: DELETE, DROP, TRUNCATE and ALTER are not permitted";
    /// WITH holds a statement that writes.
    WritingWith "data_modifying_with" "destructive_op" Rewrite
        "write with a statement of its own, not inside WITH";
    /// EXPLAIN would run the statement.
    ExplainAnalyze "explain_analyze" "destructive_op" Rewrite
        "use EXPLAIN without ANALYZE";
    /// A transaction would be prepared, or a prepared one ended.
    TwoPhaseCommit "two_phase_commit" "destructive_op" Abort
        "end the transaction with COMMIT or ROLLBACK";
    /// The database's own catalogs are read.
    SchemaEnumeration "schema_enumeration" "schema_enum" Abort
        "do without the system catalogs (pg_catalog, information_schema)";
    /// A table is used without a condition that keeps to the tenant.
    TenantViolation "tenant_violation" "tenant_violation" Abort
        "restrict every use of the table to the tenant of the connection";
    /// A column that looks like personal data or a secret.
    PiiColumn "pii_column" "pii_violation" Abort
        "leave the column out, qualify columns with their table, or request the scope of the table";
    /// The connection has no tenant, and the statement uses tables that belong to one.
    NoTenant "no_tenant" "tenant_violation" Abort
        "connect as an agent that has a tenant";
    /// A condition lets every row pass.
    Tautology "tautology" "tautology" Rewrite
        "remove the condition that is always true (such as `1=1`, `TRUE`, `id=id`)";
    /// Every column is asked for.
    SelectStar "select_star" "select_star" Rewrite
        "name the columns that you need";
    /// A SELECT has no WHERE.
    MissingWhere "missing_where" "missing_where" Rewrite
        "add a WHERE clause that narrows the result";
    /// More rows are asked for than permitted, or a number that is not a constant.
    HighLimit "high_limit" "high_limit" Rewrite
        "ask for fewer rows, with a constant after LIMIT";
    /// UNION, INTERSECT or EXCEPT.
    SetOperation "set_operation" "injection" Rewrite
        "send the queries one by one";
    /// The text holds a comment.
    Comment "comment" "injection" Rewrite
        "send the statement without comments";
    /// Rows are put in a random order.
    RandomOrder "random_order" "high_limit" Rewrite
        "order by a column";
    /// The statement can keep the server busy for very long.
    HeavyStatement "heavy_statement" "high_limit" Rewrite
        "join tables by a condition, and bound recursion, series and texts by constants";
    /// The risk reaches the threshold.
    RiskThreshold "risk_threshold" "risk_score" Rewrite
        "avoid SELECT *, missing WHERE, UNION, comments and ORDER BY random(), and add a LIMIT";
    /// The setting may not be changed like this.
    SettingNotAllowed "setting_not_allowed" "missing_scope" Abort
        "leave this setting as it is";
    /// The statement reaches files or programs of the database server.
    ServerFileAccess "server_file_access" "missing_scope" Abort
        "use COPY … FROM STDIN or COPY … TO STDOUT";
    /// A prepared statement, cursor or portal that was not seen being made.
    UnresolvedName "unresolved_name" "unknown" Abort
        "prepare the statement again on this connection";
    /// Which tables the statement touches could not be established.
    UnknownRelations "unknown_relations" "unknown" Abort
        "write the statement without code that hides which tables it uses (DO, CALL, dynamic SQL)";
    /// Which columns the statement uses could not be established.
    UnknownColumns "unknown_columns" "unknown" Rewrite
        "name tables and columns as the database has them, without code that hides them (DO, CALL, dynamic SQL)";
    /// Whose rows the statement touches could not be established.
    UnknownTenants "unknown_tenants" "unknown" Abort
        "write the statement without code that hides which tables it uses";
    /// How the statement is built could not be established.
    UnknownShape "unknown_shape" "unknown" Abort
        "write one plain statement";
    /// Which functions the statement calls could not be established.
    UnknownFunctions "unknown_functions" "unknown" Abort
        "write the statement without code that hides which functions it calls (DO, CALL, dynamic SQL)";
    /// Which settings the statement changes could not be established.
    UnknownSettings "unknown_settings" "unknown" Abort
        "name the setting and its value as constants";
    /// Whether the statement has an effective WHERE could not be established.
    UnknownConditions "unknown_conditions" "unknown" Abort
        "write UPDATE and DELETE directly, with a WHERE clause";
    /// Whether the statement reaches the server's files could not be established.
    UnknownServerAccess "unknown_server_access" "unknown" Abort
        "write the statement without code that hides what it reads (DO, CALL, dynamic SQL)";
    /// The session holds too many named statements or cursors.
    NamesLimit "names_limit" "rate_limit" Transient
        "deallocate prepared statements or close cursors that are no longer used";
    /// The server reads a relation that the catalog did not show.
    CatalogContradicted "catalog_contradicted" "infrastructure" Transient
        "reconnect: definitions have changed meanwhile";
    /// The decision could not be recorded, so nothing may pass.
    Unaudited "unaudited" "infrastructure" Transient
        "try again later; the operator has to look at the ledger";
    /// Judging failed, so nothing may pass.
    InternalError "internal_error" "infrastructure" Transient
        "try again later; the operator has to look at the diagnostics";
}

impl ReasonCode {
    /// The code of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ReasonCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ReasonCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&name).ok_or_else(|| serde::de::Error::custom("unknown reason code"))
    }
}

/// Why a request was denied. Anybody may make one: a reason can only deny.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason {
    code: ReasonCode,
    detail: Option<String>,
    table: Option<String>,
    operation: Option<Operation>,
    hint: Option<String>,
}

impl Reason {
    /// A reason with nothing but its code.
    pub const fn of(code: ReasonCode) -> Self {
        Self { code, detail: None, table: None, operation: None, hint: None }
    }

    /// The same, about this function, setting, cause or other detail.
    #[must_use]
    pub fn with_detail(mut self, detail: &str) -> Self {
        self.detail = Some(shown(detail));
        self
    }

    /// The same, about this table.
    #[must_use]
    pub fn with_table(mut self, table: &str) -> Self {
        self.table = Some(shown(table));
        self
    }

    /// The same, about this operation.
    #[must_use]
    pub fn with_operation(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// The same, with a more precise suggestion than the code's.
    #[must_use]
    pub fn with_hint(mut self, hint: String) -> Self {
        self.hint = Some(hint);
        self
    }

    /// Whether it has a suggestion of its own.
    pub(crate) const fn has_hint(&self) -> bool {
        self.hint.is_some()
    }

    /// The stable code.
    pub const fn code(&self) -> ReasonCode {
        self.code
    }

    /// The table that it is about.
    pub fn table(&self) -> Option<&str> {
        self.table.as_deref()
    }

    /// The operation that it is about.
    pub fn operation(&self) -> Option<&str> {
        self.operation.map(Operation::name)
    }

    /// The function, setting or cause that it is about.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The `deny_categories` value.
    pub fn category(&self) -> &'static str {
        match (self.code, self.operation) {
            (
                ReasonCode::BlockedOperation,
                Some(Operation::Drop | Operation::Truncate | Operation::Alter | Operation::Delete),
            ) => "destructive_op",
            (
                ReasonCode::BlockedTable
                | ReasonCode::TableNotInMission
                | ReasonCode::NoMissionPolicy,
                _,
            ) if self.table.as_deref().is_some_and(is_catalog) => "schema_enum",
            (code, _) => code.category(),
        }
    }

    /// What a program may do about it.
    pub const fn bucket(&self) -> Bucket {
        self.code.bucket()
    }

    /// One sentence for people.
    pub fn message(&self) -> String {
        let meaning = self.code.meaning();
        let mut text = meaning.strip_suffix('.').unwrap_or(meaning).to_owned();
        let parts = [("", self.detail()), ("table ", self.table()), ("", self.operation())];
        let about: Vec<String> = parts
            .into_iter()
            .filter_map(|(what, name)| name.map(|name| format!("{what}`{name}`")))
            .collect();
        if !about.is_empty() {
            text.push_str(": ");
            text.push_str(&about.join(", "));
        }
        text
    }

    /// What to do instead.
    pub fn suggestion(&self) -> String {
        match &self.hint {
            Some(hint) => hint.clone(),
            None => self.code.suggestion().to_owned(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.as_str())?;
        if let Some(detail) = &self.detail {
            write!(f, ":{detail}")?;
        }
        if let Some(table) = &self.table {
            write!(f, " (table: {table})")?;
        }
        if let Some(operation) = self.operation {
            write!(f, " (op: {operation})")?;
        }
        Ok(())
    }
}

fn is_catalog(table: &str) -> bool {
    table.starts_with("pg_") || table.starts_with("information_schema.")
}

/// A name from the request as a refusal may show it: bounded, and without control characters
/// that would forge a line in a terminal or a log.
fn shown(name: &str) -> String {
    let mut text: String =
        name.chars().take(MAX_SHOWN_NAME).map(|c| if c.is_control() { '?' } else { c }).collect();
    if name.chars().nth(MAX_SHOWN_NAME).is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_what_a_client_sees() {
        let drop = Reason::of(ReasonCode::BlockedOperation).with_operation(Operation::Drop);
        assert_eq!(drop.to_string(), "blocked_operation (op: DROP)");
        assert_eq!((drop.category(), drop.bucket()), ("destructive_op", Bucket::Abort));
        let file = Reason::of(ReasonCode::BlockedFunction)
            .with_detail("pg_read_file")
            .with_operation(Operation::Select);
        assert_eq!(file.to_string(), "blocked_function:pg_read_file (op: SELECT)");
        let table = Reason::of(ReasonCode::TableNotInMission)
            .with_table("users")
            .with_operation(Operation::Select);
        assert_eq!(table.to_string(), "table_not_in_mission (table: users) (op: SELECT)");
    }

    #[test]
    fn codes_are_unique_and_round_trip() {
        for code in ReasonCode::ALL.iter().copied() {
            assert_eq!(ReasonCode::parse(code.as_str()), Some(code));
            assert!(!code.suggestion().is_empty() && !code.meaning().is_empty());
        }
    }

    #[test]
    fn a_name_cannot_forge_a_line() {
        let reason = Reason::of(ReasonCode::BlockedTable).with_table("a\nERROR: b\u{1b}[2J");
        assert_eq!(reason.table(), Some("a?ERROR: b?[2J"));
        let long = "x".repeat(MAX_SHOWN_NAME + 1);
        let reason = Reason::of(ReasonCode::BlockedTable).with_table(&long);
        assert_eq!(reason.table().unwrap().chars().count(), MAX_SHOWN_NAME + 1);
    }
}
