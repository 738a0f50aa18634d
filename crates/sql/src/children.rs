//! Which fields of a node hold other nodes: one total table over the grammar.
//!
//! What is not here: what a node means. Invariant: [`each_child`] matches without a wildcard, so a
//! grammar that grows a node type does not compile until the node is listed. Lists that mix
//! types under a misleading declared type are left out here and argued at their statement
//! ([`crate::walk`]): GRANT objects, CREATE STATISTICS relations.

use crate::parse::{CastNodeList, Node, NodeList, NodeListIter, nodes};

/// Nodes that a walk makes room for at first: as many wait at once in most statements.
pub(crate) const ROOM: usize = 32;

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

/// Calls `sink` for each node that `node` holds directly, but for parts of names, which hold and mean nothing by
/// themselves: gives how many of these there are.
pub(crate) fn each_branch<'a>(node: Node<'a>, sink: &mut dyn FnMut(Node<'a>)) -> usize {
    let mut names = 0_usize;
    each_child(node, &mut |child| {
        if matches!(child, Node::String(_)) {
            names += 1;
        } else {
            sink(child);
        }
    });
    names
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::parse;

    /// Counts `Name {` in debug text: each node prints it exactly once.
    fn printed(text: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (before, _) in text.match_indices(" {").map(|(at, _)| text.split_at(at)) {
            let name = before.rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next();
            *counts.entry(name.unwrap_or_default().to_owned()).or_default() += 1;
        }
        counts
    }

    fn visited(root: Node<'_>) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let mut stack = vec![root];
        while let Some(node) = stack.pop() {
            let text = format!("{node:?}");
            if let Some((name, _)) = text.split_once('(')
                && !matches!(node, Node::NodeList(_))
            {
                *counts.entry(name.to_owned()).or_default() += 1;
            }
            each_child(node, &mut |child| stack.push(child));
        }
        counts
    }

    #[test]
    fn every_node_that_the_tree_prints_is_visited() {
        let mut failures = Vec::new();
        for text in FORMS {
            match parse::parse(text) {
                Err(error) => failures.push(format!("{text}\n    {error}")),
                Ok(tree) => failures.extend(tree.statements().filter_map(|raw| {
                    let root = raw.stmt();
                    let (ours, theirs) = (visited(root), printed(&format!("{root:?}")));
                    (ours != theirs).then(|| format!("{text}\n    {ours:?}\n    {theirs:?}"))
                })),
            }
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }

    /// Statements that between them have every place in which an expression or relation can hide.
    const FORMS: &[&str] = &[
        "SELECT DISTINCT ON (f(a)) a, (b).c[g(1):2], x.* FROM ONLY s.t AS q (m, n) \
            LEFT JOIN LATERAL (SELECT h(1)) z ON i(1) = 2 WHERE NOT (a IS NULL OR b IS TRUE) \
            GROUP BY GROUPING SETS ((a), ROLLUP (f(b))) HAVING count(*) FILTER (WHERE j(1)) > 1 \
            WINDOW w AS (PARTITION BY k(a) ORDER BY l(b) ROWS BETWEEN m(1) PRECEDING AND CURRENT ROW) \
            ORDER BY n(1) USING OPERATOR(s.<) LIMIT o(1) OFFSET p(1) FOR UPDATE OF q NOWAIT",
        "SELECT * FROM ROWS FROM (f(1), g(2) AS (a int)) WITH ORDINALITY AS q",
        "SELECT * FROM t TABLESAMPLE bernoulli (f(1)) REPEATABLE (g(2))",
        "SELECT a FROM XMLTABLE('/r' PASSING f(x) COLUMNS a int PATH g('p') DEFAULT h(1))",
        "SELECT * FROM JSON_TABLE(f(x), '$' PASSING g(1) AS y COLUMNS (a int PATH '$.a' \
            DEFAULT h(1) ON EMPTY, NESTED PATH '$.b' COLUMNS (c int))) j",
        "SELECT json_value(f(x), '$' PASSING g(1) AS y DEFAULT h(1) ON ERROR), \
            JSON_OBJECT(f(1): g(2)), JSON_ARRAY(f(1), g(2)), JSON_ARRAY(SELECT a FROM t), \
            JSON_OBJECTAGG(f(1): g(2)), JSON_ARRAYAGG(f(1) ORDER BY g(2)), x IS JSON, \
            JSON_SCALAR(f(1)), JSON(f(1)), JSON_SERIALIZE(f(1))",
        "SELECT XMLSERIALIZE(CONTENT f(x) AS text), XMLELEMENT(NAME a, XMLATTRIBUTES(g(1) AS b), \
            h(1)), XMLFOREST(f(1) AS a), XMLPARSE(DOCUMENT f(1)), XMLPI(NAME a, f(1)), XMLEXISTS(f(1) PASSING g(2))",
        "SELECT CASE f(1) WHEN g(1) THEN h(1) ELSE i(1) END, COALESCE(f(1), 2), GREATEST(f(1), 2), \
            NULLIF(f(1), 2), ROW(f(1), 2), ARRAY[f(1), 2], ARRAY(SELECT a FROM t), f(VARIADIC a), \
            f(x => g(1)), f(DISTINCT a ORDER BY g(b)), percentile_cont(f(1)) WITHIN GROUP (ORDER BY g(a)), \
            a IN (f(1), 2), a = ANY (SELECT b FROM t), (a, b) = (SELECT c, d FROM t), a BETWEEN f(1) AND g(2), \
            a LIKE f(1) ESCAPE g(1), a AT TIME ZONE f(1), CAST(f(1) AS s.t(1)[]), a COLLATE \"C\", \
            EXTRACT(year FROM f(1)), OVERLAY(a PLACING f(1) FROM g(1)), current_user, GROUPING(a), $1",
        "WITH RECURSIVE a (x) AS MATERIALIZED (SELECT f(1) UNION ALL SELECT g(x) FROM a) \
            SEARCH DEPTH FIRST BY x SET o CYCLE x SET c TO 1 DEFAULT 2 USING p SELECT * FROM a",
        "VALUES (f(1)), (g(2))",
        "INSERT INTO s.t AS q (a, b.c) OVERRIDING SYSTEM VALUE VALUES (f(1), DEFAULT) \
            ON CONFLICT (g(a) COLLATE \"C\" int4_ops) WHERE h(1) DO UPDATE SET (a, b) = (SELECT i(1), 2) \
            WHERE j(1) RETURNING k(a), old.a",
        "UPDATE t SET (a, b) = (f(1), g(2)), c[h(1)] = i(1) FROM u WHERE CURRENT OF c RETURNING WITH (OLD AS o) j(1)",
        "DELETE FROM t USING u WHERE f(1) RETURNING g(1)",
        "MERGE INTO t USING (SELECT f(1)) s ON g(1) WHEN MATCHED AND h(1) THEN UPDATE SET a = i(1) \
            WHEN NOT MATCHED BY SOURCE THEN DELETE WHEN NOT MATCHED THEN INSERT (a) VALUES (j(1)) RETURNING merge_action()",
        "CREATE TABLE t (a int DEFAULT f(1) CHECK (g(1)) REFERENCES u (b), b int GENERATED ALWAYS AS (h(1)) STORED, \
            LIKE v, c int GENERATED BY DEFAULT AS IDENTITY (START 1), EXCLUDE USING gist (i(a) WITH =) WHERE (j(1)), \
            FOREIGN KEY (a) REFERENCES w (x) ON DELETE SET NULL (a)) INHERITS (p) PARTITION BY RANGE (k(a)) \
            WITH (fillfactor = 1)",
        "CREATE TABLE t PARTITION OF p FOR VALUES FROM (MINVALUE, f(1)) TO (g(1), 2)",
        "CREATE TABLE t PARTITION OF p FOR VALUES IN (f(1), NULL)",
        "CREATE TABLE t OF ty (PRIMARY KEY (a))",
        "CREATE TEMP TABLE t ON COMMIT DROP AS SELECT f(1) WITH NO DATA",
        "ALTER TABLE t ADD COLUMN a int DEFAULT f(1), ALTER b TYPE int USING g(b), \
            INHERIT d, ADD CONSTRAINT e CHECK (h(1)), SET (fillfactor = 1), OWNER TO CURRENT_USER, \
            ALTER CONSTRAINT k DEFERRABLE, REPLICA IDENTITY USING INDEX i",
        "ALTER TABLE t ATTACH PARTITION c FOR VALUES IN (f(1))",
        "CREATE INDEX i ON t USING gin (f(a) s.ops (p = 1), (b + g(1)) COLLATE s.c DESC) INCLUDE (d) WITH (x = 1) WHERE h(1)",
        "CREATE VIEW v (a) WITH (security_barrier) AS SELECT f(1) WITH CHECK OPTION",
        "CREATE RULE r AS ON UPDATE TO t WHERE f(1) DO ALSO (INSERT INTO u VALUES (g(1)); NOTIFY n)",
        "CREATE TRIGGER tr AFTER UPDATE OF a ON t REFERENCING NEW TABLE AS n FOR EACH STATEMENT WHEN (f(1)) EXECUTE FUNCTION s.g('x')",
        "CREATE POLICY p ON t FOR ALL TO PUBLIC USING (f(1)) WITH CHECK (g(1))",
        "ALTER POLICY p ON t TO bob USING (f(1))",
        "CREATE FUNCTION f(a int DEFAULT g(1), OUT b t.c%TYPE) LANGUAGE sql SET x = 1 BEGIN ATOMIC SELECT h(1); RETURN i(1); END",
        "CREATE FUNCTION f() RETURNS TABLE (a int) LANGUAGE sql AS 'SELECT 1' SUPPORT s.f COST 1",
        "ALTER FUNCTION f(int) SET search_path = a, b",
        "CREATE AGGREGATE a (int) (sfunc = f, stype = int, initcond = '1')",
        "CREATE OPERATOR + (procedure = f, leftarg = int)",
        "CREATE TYPE t AS (a int COLLATE \"C\")",
        "CREATE TYPE t AS RANGE (subtype = int, subtype_diff = f)",
        "CREATE DOMAIN d AS int DEFAULT f(1) CHECK (g(VALUE))",
        "CREATE CAST (a AS b) WITH FUNCTION f(int) AS IMPLICIT",
        "CREATE OPERATOR CLASS c FOR TYPE int USING btree AS OPERATOR 1 < (int, int), FUNCTION 1 f(int, int), STORAGE int",
        "CREATE TRANSFORM FOR int LANGUAGE l (FROM SQL WITH FUNCTION f(internal), TO SQL WITH FUNCTION g(internal))",
        "CREATE PUBLICATION p FOR TABLE t (a) WHERE (f(1)), TABLES IN SCHEMA s WITH (x = 1)",
        "CREATE SEQUENCE s OWNED BY t.a",
        "COPY t (a) FROM STDIN WITH (FORMAT csv, FORCE_NULL (a)) WHERE f(1)",
        "COPY (SELECT f(1)) TO PROGRAM 'x'",
        "EXPLAIN (ANALYZE false, FORMAT json) SELECT f(1)",
        "PREPARE p (int, s.t) AS SELECT f($1)",
        "EXECUTE p (f(1), 2)",
        "DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT f(1)",
        "CALL p(f(1), x => g(2))",
        "DO LANGUAGE plpgsql $$ BEGIN END $$",
        "SET TIME ZONE INTERVAL '1' HOUR TO MINUTE",
        "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY",
        "ALTER ROLE r IN DATABASE d SET x TO 1",
        "CREATE ROLE r IN ROLE s PASSWORD 'x'",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO bob",
        "VACUUM (FULL, ANALYZE) t (a), u",
        "CREATE SCHEMA s AUTHORIZATION bob CREATE TABLE t (a int) CREATE VIEW v AS SELECT f(1)",
        "DROP TABLE a, s.b",
        "DROP FUNCTION f(int, s.t), g",
        "COMMENT ON COLUMN s.t.a IS 'x'",
        "IMPORT FOREIGN SCHEMA s LIMIT TO (t) FROM SERVER x INTO y OPTIONS (a 'b')",
        "ALTER TEXT SEARCH CONFIGURATION c ALTER MAPPING FOR a, b WITH d, e",
        "LOCK TABLE a, ONLY b IN SHARE MODE",
        "TRUNCATE a, b CASCADE",
    ];
}
