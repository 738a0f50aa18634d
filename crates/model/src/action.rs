//! Verbs: what a statement does, as policies name it.
//!
//! The names are the contract of `blocked_operations`, `allowed_operations` and the ledger.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A group of operations that profiles block as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Category {
    /// Reads and writes of rows.
    Dml,
    /// Definition of relations, types, operators.
    Ddl,
    /// Privileges, roles, row security policies.
    Dcl,
    /// Transaction control.
    Tcl,
    /// Code: functions, procedures, DO, event triggers.
    Function,
    /// Session state: settings, prepared statements, cursors, notifications.
    Session,
    /// Server and database administration.
    Admin,
    /// Extensions, foreign data, logical replication.
    Extension,
    /// EXPLAIN.
    Explain,
    /// What Portcullis cannot name. Never in any set but "all".
    Unknown,
}

macro_rules! operations {
    ($($variant:ident $name:literal $category:ident;)*) => {
        /// A PostgreSQL statement kind as policies name it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation { $(#[doc = concat!("`", $name, "`")] $variant,)* }

        impl Operation {
            /// Every operation, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name that policies, records and errors use.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The category that profiles use.
            pub const fn category(self) -> Category {
                match self { $(Self::$variant => Category::$category,)* }
            }
        }
    };
}

operations! {
    Select "SELECT" Dml;
    Insert "INSERT" Dml;
    Update "UPDATE" Dml;
    Delete "DELETE" Dml;
    Merge "MERGE" Dml;
    Copy "COPY" Dml;
    Create "CREATE" Ddl;
    Alter "ALTER" Ddl;
    Drop "DROP" Ddl;
    Truncate "TRUNCATE" Ddl;
    Grant "GRANT" Dcl;
    Revoke "REVOKE" Dcl;
    AlterDefaultPrivileges "ALTER_DEFAULT_PRIVILEGES" Dcl;
    AlterRole "ALTER_ROLE" Dcl;
    CreateRole "CREATE_ROLE" Dcl;
    DropRole "DROP_ROLE" Dcl;
    ReassignOwned "REASSIGN_OWNED" Dcl;
    DropOwned "DROP_OWNED" Dcl;
    CreateUserMapping "CREATE_USER_MAPPING" Dcl;
    AlterUserMapping "ALTER_USER_MAPPING" Dcl;
    DropUserMapping "DROP_USER_MAPPING" Dcl;
    CreatePolicy "CREATE_POLICY" Dcl;
    AlterPolicy "ALTER_POLICY" Dcl;
    SetRole "SET_ROLE" Dcl;
    Transaction "TRANSACTION" Tcl;
    CreateFunction "CREATE_FUNCTION" Function;
    AlterFunction "ALTER_FUNCTION" Function;
    CreateLanguage "CREATE_PLANG" Function;
    Call "CALL" Function;
    Do "DO" Function;
    CreateEventTrigger "CREATE_EVENT_TRIGGER" Function;
    AlterEventTrigger "ALTER_EVENT_TRIGGER" Function;
    FunctionCall "FUNCTION_CALL" Function;
    Set "SET" Session;
    Show "SHOW" Session;
    Discard "DISCARD" Session;
    Prepare "PREPARE" Session;
    Execute "EXECUTE" Session;
    Deallocate "DEALLOCATE" Session;
    Listen "LISTEN" Session;
    Unlisten "UNLISTEN" Session;
    Notify "NOTIFY" Session;
    Lock "LOCK" Session;
    Fetch "FETCH" Session;
    CloseCursor "CLOSE_CURSOR" Session;
    DeclareCursor "DECLARE_CURSOR" Session;
    PlAssign "PLASSIGN" Session;
    Return "RETURN" Session;
    Load "LOAD" Admin;
    Vacuum "VACUUM" Admin;
    Reindex "REINDEX" Admin;
    Cluster "CLUSTER" Admin;
    Checkpoint "CHECKPOINT" Admin;
    AlterSystem "ALTER_SYSTEM" Admin;
    AlterDatabase "ALTER_DATABASE" Admin;
    AlterDatabaseSet "ALTER_DATABASE_SET" Admin;
    AlterDatabaseRefreshCollation "ALTER_DATABASE_REFRESH_COLL" Admin;
    RefreshMaterializedView "REFRESH_MATVIEW" Admin;
    CreateTablespace "CREATE_TABLESPACE" Admin;
    DropTablespace "DROP_TABLESPACE" Admin;
    CreateDatabase "CREATE_DATABASE" Admin;
    DropDatabase "DROP_DATABASE" Admin;
    CreateExtension "CREATE_EXTENSION" Extension;
    AlterExtension "ALTER_EXTENSION" Extension;
    AlterExtensionContents "ALTER_EXTENSION_CONTENTS" Extension;
    CreateForeignDataWrapper "CREATE_FDW" Extension;
    AlterForeignDataWrapper "ALTER_FDW" Extension;
    CreateForeignServer "CREATE_FOREIGN_SERVER" Extension;
    AlterForeignServer "ALTER_FOREIGN_SERVER" Extension;
    ImportForeignSchema "IMPORT_FOREIGN_SCHEMA" Extension;
    CreatePublication "CREATE_PUBLICATION" Extension;
    AlterPublication "ALTER_PUBLICATION" Extension;
    CreateSubscription "CREATE_SUBSCRIPTION" Extension;
    AlterSubscription "ALTER_SUBSCRIPTION" Extension;
    DropSubscription "DROP_SUBSCRIPTION" Extension;
    Explain "EXPLAIN" Explain;
    Unknown "UNKNOWN" Unknown;
}

impl Operation {
    /// The operation of that name, compared without regard to case; `None` for `UNKNOWN`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|op| *op != Self::Unknown && op.name().eq_ignore_ascii_case(name))
    }

    /// Whether *blocking* `self` also blocks `other`: itself, and for `ALTER`, `CREATE`, `DROP`
    /// and `SET` their kin (`ALTER` covers `ALTER_SYSTEM`). Allow lists never use this.
    pub fn covers(self, other: Self) -> bool {
        if self == other {
            return true;
        }
        match other.name().strip_prefix(self.name()) {
            Some(rest) => rest.starts_with('_'),
            None => false,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Operation {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        if name == Self::Unknown.name() {
            return Ok(Self::Unknown);
        }
        Self::parse(&name).ok_or_else(|| serde::de::Error::custom("unknown operation"))
    }
}

/// What a transaction control statement does (PostgreSQL documentation, "BEGIN", "COMMIT", …).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransactionStep {
    /// BEGIN or START TRANSACTION.
    Begin,
    /// COMMIT or END, with or without AND CHAIN.
    Commit,
    /// ROLLBACK or ABORT, with or without AND CHAIN.
    Rollback,
    /// SAVEPOINT.
    Savepoint,
    /// RELEASE SAVEPOINT.
    Release,
    /// ROLLBACK TO SAVEPOINT.
    RollbackTo,
    /// PREPARE TRANSACTION.
    Prepare,
    /// COMMIT PREPARED.
    CommitPrepared,
    /// ROLLBACK PREPARED.
    RollbackPrepared,
    /// SET CONSTRAINTS.
    Constraints,
}

impl TransactionStep {
    /// Whether no policy may refuse it: a session must always be able to leave a transaction.
    pub const fn always_allowed(self) -> bool {
        match self {
            Self::Commit | Self::Rollback | Self::RollbackTo | Self::Release => true,
            Self::Begin
            | Self::Savepoint
            | Self::Prepare
            | Self::CommitPrepared
            | Self::RollbackPrepared
            | Self::Constraints => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_are_unique() {
        for op in Operation::ALL.iter().copied().filter(|op| *op != Operation::Unknown) {
            assert_eq!(Operation::parse(op.name()), Some(op));
            assert_eq!(Operation::parse(&op.name().to_lowercase()), Some(op));
        }
        assert_eq!(Operation::parse("UNKNOWN"), None);
    }

    #[test]
    fn blocking_alter_covers_its_kin_and_nothing_else() {
        assert!(Operation::Alter.covers(Operation::AlterSystem));
        assert!(Operation::Drop.covers(Operation::DropDatabase));
        assert!(Operation::Set.covers(Operation::SetRole));
        assert!(!Operation::AlterSystem.covers(Operation::Alter));
        assert!(!Operation::Delete.covers(Operation::Update));
    }
}
