//! Which fields of a node hold other nodes: one total table over the grammar.
//!
//! What is not here: what a node means. Invariant: [`each_child`] matches without a wildcard, so a
//! grammar that grows a node type does not compile until the node is listed. Lists that mix
//! types under a misleading declared type are left out here and argued at their statement
//! ([`crate::walk`]): GRANT objects, CREATE STATISTICS relations.

use crate::parse::{CastNodeList, Node, NodeList, NodeListIter, nodes};

/// A typed reference that is one variant of [`Node`].
pub(crate) trait Typed<'a>: Copy {
    /// The same, as the variant.
    fn node(self) -> Node<'a>;
}

/// A field that holds nodes.
trait Field<'a> {
    fn each(self, sink: &mut dyn FnMut(Node<'a>));
}

impl<'a> Field<'a> for Node<'a> {
    fn each(self, sink: &mut dyn FnMut(Node<'a>)) {
        if !matches!(self, Node::None) {
            sink(self);
        }
    }
}

impl<'a> Field<'a> for &'a NodeList {
    fn each(self, sink: &mut dyn FnMut(Node<'a>)) {
        self.iter().for_each(|node| node.each(sink));
    }
}

impl<'a, T: 'a> Field<'a> for &'a CastNodeList<T>
where
    NodeListIter<'a, &'a T>: Iterator<Item = &'a T>,
    &'a T: Typed<'a>,
{
    fn each(self, sink: &mut dyn FnMut(Node<'a>)) {
        self.iter().for_each(|typed| sink(typed.node()));
    }
}

impl<'a, T> Field<'a> for Option<&'a T>
where
    &'a T: Typed<'a>,
{
    fn each(self, sink: &mut dyn FnMut(Node<'a>)) {
        if let Some(typed) = self {
            sink(typed.node());
        }
    }
}

macro_rules! children {
    ($($variant:ident { $($field:ident)* })*) => {
        $(impl<'a> Typed<'a> for &'a nodes::$variant {
            fn node(self) -> Node<'a> {
                Node::$variant(self)
            }
        })*

        /// Calls `sink` for each node that `node` holds directly.
        pub(crate) fn each_child<'a>(node: Node<'a>, sink: &mut dyn FnMut(Node<'a>)) {
            match node {
                Node::None | Node::Invalid(_) => {}
                Node::NodeList(list) => list.each(sink),
                $(Node::$variant(_node) => { $(_node.$field().each(sink);)* })*
            }
        }
    };
}

children! {
    Bitmapset {}
    Alias { colnames }
    RangeVar { alias }
    TableFunc {
        ns_uris ns_names docexpr rowexpr colnames colexprs coldefexprs colvalexprs passingvalexprs
        notnulls plan
    }
    IntoClause { rel col_names options view_query }
    Param {}
    Aggref { aggargtypes aggdirectargs args aggorder aggdistinct aggfilter }
    GroupingFunc { args refs cols }
    WindowFunc { args aggfilter }
    WindowFuncRunCondition { arg }
    MergeSupportFunc {}
    SubscriptingRef { refupperindexpr reflowerindexpr refexpr refassgnexpr }
    FuncExpr { args }
    NamedArgExpr { arg }
    OpExpr { args }
    ScalarArrayOpExpr { args }
    BoolExpr { args }
    SubLink { testexpr oper_name subselect }
    SubPlan { testexpr param_ids set_param par_param args }
    AlternativeSubPlan { subplans }
    FieldSelect { arg }
    FieldStore { arg newvals }
    CoerceViaIO { arg }
    ArrayCoerceExpr { arg elemexpr }
    ConvertRowtypeExpr { arg }
    CollateExpr { arg }
    CaseExpr { arg args defresult }
    CaseWhen { expr result }
    CaseTestExpr {}
    ArrayExpr { elements }
    RowExpr { args colnames }
    RowCompareExpr { largs rargs }
    CoalesceExpr { args }
    MinMaxExpr { args }
    SQLValueFunction {}
    XmlExpr { named_args arg_names args }
    JsonFormat {}
    JsonReturning { format }
    JsonValueExpr { raw_expr formatted_expr format }
    JsonConstructorExpr { args func coercion returning }
    JsonIsPredicate { expr format }
    JsonBehavior { expr }
    JsonExpr {
        formatted_expr format path_spec returning passing_names passing_values on_empty on_error
    }
    NullTest { arg }
    BooleanTest { arg }
    MergeAction { qual target_list update_colnos }
    CoerceToDomain { arg }
    CoerceToDomainValue {}
    SetToDefault {}
    CurrentOfExpr {}
    NextValueExpr {}
    InferenceElem { expr }
    ReturningExpr { retexpr }
    TargetEntry { expr }
    RangeTblRef {}
    JoinExpr { larg rarg using_clause join_using_alias quals alias }
    FromExpr { fromlist quals }
    OnConflictExpr { arbiter_elems arbiter_where on_conflict_set on_conflict_where excl_rel_tlist }
    Integer {}
    Float {}
    Boolean {}
    String {}
    BitString {}
    Query {
        utility_stmt cte_list rtable rteperminfos jointree merge_action_list merge_join_condition
        target_list on_conflict returning_list group_clause grouping_sets having_qual
        window_clause distinct_clause sort_clause limit_offset limit_count row_marks
        set_operations constraint_deps with_check_options
    }
    TypeName { names typmods array_bounds }
    ColumnRef { fields }
    ParamRef {}
    A_Expr { name lexpr rexpr }
    A_Const {}
    TypeCast { arg type_name }
    CollateClause { arg collname }
    RoleSpec {}
    FuncCall { funcname args agg_order agg_filter over }
    A_Star {}
    A_Indices { lidx uidx }
    A_Indirection { arg indirection }
    A_ArrayExpr { elements }
    ResTarget { indirection val }
    MultiAssignRef { source }
    SortBy { node use_op }
    WindowDef { partition_clause order_clause start_offset end_offset }
    RangeSubselect { subquery alias }
    RangeFunction { functions alias coldeflist }
    RangeTableFunc { docexpr rowexpr namespaces columns alias }
    RangeTableFuncCol { type_name colexpr coldefexpr }
    RangeTableSample { relation method args repeatable }
    ColumnDef {
        type_name raw_default cooked_default identity_sequence coll_clause constraints fdwoptions
    }
    TableLikeClause { relation }
    IndexElem { expr collation opclass opclassopts }
    DefElem { arg }
    LockingClause { locked_rels }
    XmlSerialize { expr type_name }
    PartitionElem { expr collation opclass }
    PartitionSpec { part_params }
    PartitionBoundSpec { listdatums lowerdatums upperdatums }
    PartitionRangeDatum { value }
    PartitionCmd { name bound }
    RangeTblEntry {
        alias eref tablesample subquery joinaliasvars joinleftcols joinrightcols join_using_alias
        functions tablefunc values_lists coltypes groupexprs security_quals
    }
    RTEPermissionInfo { selected_cols inserted_cols updated_cols }
    RangeTblFunction { funcexpr funccolnames funcparams }
    TableSampleClause { args repeatable }
    WithCheckOption { qual }
    SortGroupClause {}
    GroupingSet { content }
    WindowClause { partition_clause order_clause start_offset end_offset }
    RowMarkClause {}
    WithClause { ctes }
    InferClause { index_elems where_clause }
    OnConflictClause { infer target_list where_clause }
    CTESearchClause { search_col_list }
    CTECycleClause { cycle_col_list cycle_mark_value cycle_mark_default }
    CommonTableExpr { aliascolnames ctequery search_clause cycle_clause ctecolnames }
    MergeWhenClause { condition target_list values }
    ReturningOption {}
    ReturningClause { options exprs }
    TriggerTransition {}
    JsonOutput { type_name returning }
    JsonArgument { val }
    JsonFuncExpr { context_item pathspec passing output on_empty on_error }
    JsonTablePathSpec { string }
    JsonTable { context_item pathspec passing columns on_error alias }
    JsonTableColumn { type_name pathspec format columns on_empty on_error }
    JsonKeyValue { key value }
    JsonParseExpr { expr output }
    JsonScalarExpr { expr output }
    JsonSerializeExpr { expr output }
    JsonObjectConstructor { exprs output }
    JsonArrayConstructor { exprs output }
    JsonArrayQueryConstructor { query output format }
    JsonAggConstructor { output agg_filter agg_order over }
    JsonObjectAgg { constructor arg }
    JsonArrayAgg { constructor arg }
    RawStmt { stmt }
    InsertStmt { relation cols select_stmt on_conflict_clause returning_clause with_clause }
    DeleteStmt { relation using_clause where_clause returning_clause with_clause }
    UpdateStmt { relation target_list where_clause from_clause returning_clause with_clause }
    MergeStmt {
        relation source_relation join_condition merge_when_clauses returning_clause with_clause
    }
    SelectStmt {
        distinct_clause into_clause target_list from_clause where_clause group_clause
        having_clause window_clause values_lists sort_clause limit_offset limit_count
        locking_clause with_clause larg rarg
    }
    SetOperationStmt { larg rarg col_types group_clauses }
    ReturnStmt { returnval }
    PLAssignStmt { indirection val }
    CreateSchemaStmt { authrole schema_elts }
    AlterTableStmt { relation cmds }
    AlterTableCmd { newowner def }
    ATAlterConstraint {}
    ReplicaIdentityStmt {}
    AlterCollationStmt { collname }
    AlterDomainStmt { type_name def }
    GrantStmt { privileges grantees grantor }
    ObjectWithArgs { objname objargs objfuncargs }
    AccessPriv { cols }
    GrantRoleStmt { granted_roles grantee_roles opt grantor }
    AlterDefaultPrivilegesStmt { options action }
    CopyStmt { relation query attlist options where_clause }
    VariableSetStmt { args }
    VariableShowStmt {}
    CreateStmt {
        relation table_elts inh_relations partbound partspec of_typename constraints nnconstraints
        options
    }
    Constraint {
        raw_expr keys including exclusions options where_clause pktable fk_attrs pk_attrs
        fk_del_set_cols old_conpfeqop
    }
    CreateTableSpaceStmt { owner options }
    DropTableSpaceStmt {}
    AlterTableSpaceOptionsStmt { options }
    AlterTableMoveAllStmt { roles }
    CreateExtensionStmt { options }
    AlterExtensionStmt { options }
    AlterExtensionContentsStmt { object }
    CreateFdwStmt { func_options options }
    AlterFdwStmt { func_options options }
    CreateForeignServerStmt { options }
    AlterForeignServerStmt { options }
    CreateUserMappingStmt { user options }
    AlterUserMappingStmt { user options }
    DropUserMappingStmt { user }
    ImportForeignSchemaStmt { table_list options }
    CreatePolicyStmt { table roles qual with_check }
    AlterPolicyStmt { table roles qual with_check }
    CreateAmStmt { handler_name }
    CreateTrigStmt { relation funcname args columns when_clause transition_rels constrrel }
    CreateEventTrigStmt { whenclause funcname }
    AlterEventTrigStmt {}
    CreatePLangStmt { plhandler plinline plvalidator }
    CreateRoleStmt { options }
    AlterRoleStmt { role options }
    AlterRoleSetStmt { role setstmt }
    DropRoleStmt { roles }
    CreateSeqStmt { sequence options }
    AlterSeqStmt { sequence options }
    DefineStmt { defnames args definition }
    CreateDomainStmt { domainname type_name coll_clause constraints }
    CreateOpClassStmt { opclassname opfamilyname datatype items }
    CreateOpClassItem { name order_family class_args storedtype }
    CreateOpFamilyStmt { opfamilyname }
    AlterOpFamilyStmt { opfamilyname items }
    DropStmt { objects }
    TruncateStmt { relations }
    CommentStmt { object }
    SecLabelStmt { object }
    DeclareCursorStmt { query }
    ClosePortalStmt {}
    FetchStmt {}
    IndexStmt { relation index_params index_including_params options where_clause exclude_op_names }
    CreateStatsStmt { defnames stat_types exprs }
    StatsElem { expr }
    AlterStatsStmt { defnames stxstattarget }
    CreateFunctionStmt { funcname parameters return_type options sql_body }
    FunctionParameter { arg_type defexpr }
    AlterFunctionStmt { func actions }
    DoStmt { args }
    InlineCodeBlock {}
    CallStmt { funccall funcexpr outargs }
    CallContext {}
    RenameStmt { relation object }
    AlterObjectDependsStmt { relation object extname }
    AlterObjectSchemaStmt { relation object }
    AlterOwnerStmt { relation object newowner }
    AlterOperatorStmt { opername options }
    AlterTypeStmt { type_name options }
    RuleStmt { relation where_clause actions }
    NotifyStmt {}
    ListenStmt {}
    UnlistenStmt {}
    TransactionStmt { options }
    CompositeTypeStmt { typevar coldeflist }
    CreateEnumStmt { type_name vals }
    CreateRangeStmt { type_name params }
    AlterEnumStmt { type_name }
    ViewStmt { view aliases query options }
    LoadStmt {}
    CreatedbStmt { options }
    AlterDatabaseStmt { options }
    AlterDatabaseRefreshCollStmt {}
    AlterDatabaseSetStmt { setstmt }
    DropdbStmt { options }
    AlterSystemStmt { setstmt }
    ClusterStmt { relation params }
    VacuumStmt { options rels }
    VacuumRelation { relation va_cols }
    ExplainStmt { query options }
    CreateTableAsStmt { query into }
    RefreshMatViewStmt { relation }
    CheckPointStmt {}
    DiscardStmt {}
    LockStmt { relations }
    ConstraintsSetStmt { constraints }
    ReindexStmt { relation params }
    CreateConversionStmt { conversion_name func_name }
    CreateCastStmt { sourcetype targettype func }
    CreateTransformStmt { type_name fromsql tosql }
    PrepareStmt { argtypes query }
    ExecuteStmt { params }
    DeallocateStmt {}
    DropOwnedStmt { roles }
    ReassignOwnedStmt { roles newrole }
    AlterTSDictionaryStmt { dictname options }
    AlterTSConfigurationStmt { cfgname tokentype dicts }
    PublicationTable { relation where_clause columns }
    PublicationObjSpec { pubtable }
    CreatePublicationStmt { options pubobjects }
    AlterPublicationStmt { options pubobjects }
    CreateSubscriptionStmt { publication options }
    AlterSubscriptionStmt { publication options }
    DropSubscriptionStmt {}
}
