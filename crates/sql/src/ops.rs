//! Which operation a statement node is: one total table over the grammar.
//!
//! What is not here: what a statement does beyond its own kind. Invariant: [`operation`] matches
//! without a wildcard, so a grammar that grows a statement does not compile until it is named.

use model::{Operation, TransactionStep};

use crate::parse::{Node, nodes, raw};

macro_rules! operations {
    (
        statements { $($operation:ident: $($statement:ident)*;)* }
        decided { $($decided:ident => $decide:path,)* }
        others { $($other:ident)* }
    ) => {
        /// The operation that `node` is; `None` if it is no statement.
        pub(crate) fn operation(node: Node<'_>) -> Option<Operation> {
            match node {
                $($(Node::$statement(_) => Some(Operation::$operation),)*)*
                $(Node::$decided(statement) => Some($decide(statement)),)*
                // A node type that the parser crate does not carry (CREATE FOREIGN TABLE).
                Node::Invalid(node) => Some(invalid(node)),
                Node::None | Node::NodeList(_) => None,
                $(Node::$other(_) => None,)*
            }
        }
    };
}

operations! {
    statements {
        Select: SelectStmt;
        Insert: InsertStmt;
        Update: UpdateStmt;
        Delete: DeleteStmt;
        Merge: MergeStmt;
        Copy: CopyStmt;
        Create: CreateStmt CreateTableAsStmt CreateSchemaStmt CreateSeqStmt CreateStatsStmt
            CreateDomainStmt CreateEnumStmt CreateRangeStmt CompositeTypeStmt CreateAmStmt
            CreateCastStmt CreateConversionStmt CreateOpClassStmt CreateOpFamilyStmt
            CreateTransformStmt DefineStmt IndexStmt RuleStmt CreateTrigStmt ViewStmt;
        Alter: AlterTableStmt AlterTableMoveAllStmt AlterTableSpaceOptionsStmt AlterDomainStmt
            AlterEnumStmt AlterCollationStmt AlterObjectDependsStmt AlterObjectSchemaStmt
            AlterOwnerStmt AlterOperatorStmt AlterOpFamilyStmt AlterSeqStmt AlterStatsStmt
            AlterTSConfigurationStmt AlterTSDictionaryStmt AlterTypeStmt RenameStmt CommentStmt
            SecLabelStmt ReplicaIdentityStmt;
        Drop: DropStmt;
        Truncate: TruncateStmt;
        AlterDefaultPrivileges: AlterDefaultPrivilegesStmt;
        AlterRole: AlterRoleStmt AlterRoleSetStmt;
        CreateRole: CreateRoleStmt;
        DropRole: DropRoleStmt;
        ReassignOwned: ReassignOwnedStmt;
        DropOwned: DropOwnedStmt;
        CreateUserMapping: CreateUserMappingStmt;
        AlterUserMapping: AlterUserMappingStmt;
        DropUserMapping: DropUserMappingStmt;
        CreatePolicy: CreatePolicyStmt;
        AlterPolicy: AlterPolicyStmt;
        Transaction: TransactionStmt ConstraintsSetStmt;
        CreateFunction: CreateFunctionStmt;
        AlterFunction: AlterFunctionStmt;
        CreateLanguage: CreatePLangStmt;
        Call: CallStmt;
        Do: DoStmt InlineCodeBlock;
        CreateEventTrigger: CreateEventTrigStmt;
        AlterEventTrigger: AlterEventTrigStmt;
        Show: VariableShowStmt;
        Discard: DiscardStmt;
        Prepare: PrepareStmt;
        Execute: ExecuteStmt;
        Deallocate: DeallocateStmt;
        Listen: ListenStmt;
        Unlisten: UnlistenStmt;
        Notify: NotifyStmt;
        Lock: LockStmt;
        Fetch: FetchStmt;
        CloseCursor: ClosePortalStmt;
        DeclareCursor: DeclareCursorStmt;
        PlAssign: PLAssignStmt;
        Return: ReturnStmt;
        Load: LoadStmt;
        Vacuum: VacuumStmt;
        Reindex: ReindexStmt;
        Cluster: ClusterStmt;
        Checkpoint: CheckPointStmt;
        AlterSystem: AlterSystemStmt;
        AlterDatabase: AlterDatabaseStmt;
        AlterDatabaseSet: AlterDatabaseSetStmt;
        AlterDatabaseRefreshCollation: AlterDatabaseRefreshCollStmt;
        RefreshMaterializedView: RefreshMatViewStmt;
        CreateTablespace: CreateTableSpaceStmt;
        DropTablespace: DropTableSpaceStmt;
        CreateDatabase: CreatedbStmt;
        DropDatabase: DropdbStmt;
        CreateExtension: CreateExtensionStmt;
        AlterExtension: AlterExtensionStmt;
        AlterExtensionContents: AlterExtensionContentsStmt;
        CreateForeignDataWrapper: CreateFdwStmt;
        AlterForeignDataWrapper: AlterFdwStmt;
        CreateForeignServer: CreateForeignServerStmt;
        AlterForeignServer: AlterForeignServerStmt;
        ImportForeignSchema: ImportForeignSchemaStmt;
        CreatePublication: CreatePublicationStmt;
        AlterPublication: AlterPublicationStmt;
        CreateSubscription: CreateSubscriptionStmt;
        AlterSubscription: AlterSubscriptionStmt;
        DropSubscription: DropSubscriptionStmt;
        Explain: ExplainStmt;
        // Only made by parse analysis, which does not run here: nothing is known about one.
        Unknown: Query;
    }
    decided {
        GrantStmt => grant,
        GrantRoleStmt => grant_role,
        VariableSetStmt => set,
    }
    others {
        Bitmapset Alias RangeVar TableFunc IntoClause Param Aggref GroupingFunc WindowFunc
        WindowFuncRunCondition MergeSupportFunc SubscriptingRef FuncExpr NamedArgExpr OpExpr
        ScalarArrayOpExpr BoolExpr SubLink SubPlan AlternativeSubPlan FieldSelect FieldStore
        CoerceViaIO ArrayCoerceExpr ConvertRowtypeExpr CollateExpr CaseExpr CaseWhen
        CaseTestExpr ArrayExpr RowExpr RowCompareExpr CoalesceExpr MinMaxExpr SQLValueFunction
        XmlExpr JsonFormat JsonReturning JsonValueExpr JsonConstructorExpr JsonIsPredicate
        JsonBehavior JsonExpr NullTest BooleanTest MergeAction CoerceToDomain
        CoerceToDomainValue SetToDefault CurrentOfExpr NextValueExpr InferenceElem ReturningExpr
        TargetEntry RangeTblRef JoinExpr FromExpr OnConflictExpr Integer Float Boolean String
        BitString TypeName ColumnRef ParamRef A_Expr A_Const TypeCast CollateClause RoleSpec
        FuncCall A_Star A_Indices A_Indirection A_ArrayExpr ResTarget MultiAssignRef SortBy
        WindowDef RangeSubselect RangeFunction RangeTableFunc RangeTableFuncCol RangeTableSample
        ColumnDef TableLikeClause IndexElem DefElem LockingClause XmlSerialize PartitionElem
        PartitionSpec PartitionBoundSpec PartitionRangeDatum PartitionCmd RangeTblEntry
        RTEPermissionInfo RangeTblFunction TableSampleClause WithCheckOption SortGroupClause
        GroupingSet WindowClause RowMarkClause WithClause InferClause OnConflictClause
        CTESearchClause CTECycleClause CommonTableExpr MergeWhenClause ReturningOption
        ReturningClause TriggerTransition JsonOutput JsonArgument JsonFuncExpr JsonTablePathSpec
        JsonTable JsonTableColumn JsonKeyValue JsonParseExpr JsonScalarExpr JsonSerializeExpr
        JsonObjectConstructor JsonArrayConstructor JsonArrayQueryConstructor JsonAggConstructor
        JsonObjectAgg JsonArrayAgg RawStmt SetOperationStmt AlterTableCmd ATAlterConstraint
        ObjectWithArgs AccessPriv Constraint CreateOpClassItem StatsElem FunctionParameter
        CallContext VacuumRelation PublicationTable PublicationObjSpec
    }
}

fn grant(statement: &nodes::GrantStmt) -> Operation {
    if statement.is_grant { Operation::Grant } else { Operation::Revoke }
}

fn grant_role(statement: &nodes::GrantRoleStmt) -> Operation {
    if statement.is_grant { Operation::Grant } else { Operation::Revoke }
}

fn set(statement: &nodes::VariableSetStmt) -> Operation {
    let changes_role = statement.name().is_some_and(|name| {
        name.eq_ignore_ascii_case("role") || name.eq_ignore_ascii_case("session_authorization")
    });
    if changes_role { Operation::SetRole } else { Operation::Set }
}

fn invalid(node: &raw::Node) -> Operation {
    if node.type_ == raw::NodeTag::T_CreateForeignTableStmt {
        Operation::Create
    } else {
        Operation::Unknown
    }
}

/// The step of a transaction control statement.
pub(crate) fn transaction_step(node: Node<'_>) -> Option<TransactionStep> {
    use raw::TransactionStmtKind as Kind;
    if matches!(node, Node::ConstraintsSetStmt(_)) {
        return Some(TransactionStep::Constraints);
    }
    let Node::TransactionStmt(statement) = node else { return None };
    match statement.kind {
        Kind::TRANS_STMT_BEGIN | Kind::TRANS_STMT_START => Some(TransactionStep::Begin),
        Kind::TRANS_STMT_COMMIT => Some(TransactionStep::Commit),
        Kind::TRANS_STMT_ROLLBACK => Some(TransactionStep::Rollback),
        Kind::TRANS_STMT_SAVEPOINT => Some(TransactionStep::Savepoint),
        Kind::TRANS_STMT_RELEASE => Some(TransactionStep::Release),
        Kind::TRANS_STMT_ROLLBACK_TO => Some(TransactionStep::RollbackTo),
        Kind::TRANS_STMT_PREPARE => Some(TransactionStep::Prepare),
        Kind::TRANS_STMT_COMMIT_PREPARED => Some(TransactionStep::CommitPrepared),
        Kind::TRANS_STMT_ROLLBACK_PREPARED => Some(TransactionStep::RollbackPrepared),
        _ => None,
    }
}
