//! What is asked of the server's catalogs. Each row of a list is one JSON object, with the keys of
//! [`sql::catalog`]; of columns and types there are so many that each is a plain row, which
//! [`super::rows`] reads.
//!
//! Other sessions' temporary schemas and TOAST are left out: no statement that is judged can mean
//! them. The order is by name, so that two dumps of one database can be compared; relations and types
//! are sorted on this side.

/// Begins the transaction that everything is read in. Names outside `pg_catalog` are printed with their
/// schemas; plans are not worth compiling, and what they keep stays in memory.
pub(super) const BEGIN: &str = "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; \
    SET LOCAL search_path = pg_catalog; SET LOCAL jit = off; SET LOCAL work_mem = '32MB'";

/// Version, database, schemas, extensions, schemas that everybody may use.
pub(super) const HEAD: &str = "SELECT pg_catalog.current_setting('server_version_num')::int4, \
    pg_catalog.current_database()::text, \
    ARRAY(SELECT nspname::text FROM pg_catalog.pg_namespace \
        WHERE nspname !~ '^pg_(toast|temp)' ORDER BY 1), \
    ARRAY(SELECT extname || ' ' || extversion FROM pg_catalog.pg_extension ORDER BY 1), \
    ARRAY(SELECT nspname::text FROM pg_catalog.pg_namespace \
        WHERE nspname !~ '^pg_(toast|temp)' \
        AND pg_catalog.has_schema_privilege('public', oid, 'USAGE') ORDER BY 1)";

/// Which role may use which schema, where not everybody may.
pub(super) const GRANTED: &str = "SELECT pg_catalog.json_build_array(r.rolname, n.nspname)::text \
    FROM pg_catalog.pg_namespace n, pg_catalog.pg_roles r \
    WHERE n.nspname !~ '^pg_(toast|temp)' AND r.rolcanlogin \
    AND NOT pg_catalog.has_schema_privilege('public', n.oid, 'USAGE') \
    AND pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE') ORDER BY 1";

/// Which transactions have ended: as long as it is the same, none has committed.
pub(super) const SNAPSHOT: &str = "SELECT pg_catalog.pg_current_snapshot()::text";

/// That, and the row versions of every catalog that a snapshot is made of, summed up; of roles, whose
/// catalog not everybody may read, what says where they may go.
pub(super) const MARK: &str = "SELECT pg_catalog.pg_current_snapshot()::text, pg_catalog.concat_ws(' ', \
    (SELECT ROW(count(*), sum(pg_catalog.hashtext(xmin::text))) FROM pg_catalog.pg_class), \
    (SELECT ROW(count(*), sum(pg_catalog.hashtext(xmin::text))) FROM pg_catalog.pg_attribute), \
    (SELECT ROW(count(*), sum(pg_catalog.hashtext(xmin::text))) FROM pg_catalog.pg_namespace), \
    (SELECT ROW(count(*), sum(pg_catalog.hashtext(xmin::text))) FROM pg_catalog.pg_rewrite), \
    (SELECT ROW(count(*), sum(pg_catalog.hashtext(xmin::text))) FROM pg_catalog.pg_inherits), \
    (SELECT ROW(count(*), sum(pg_catalog.hashtext(xmin::text))) FROM pg_catalog.pg_auth_members), \
    (SELECT ROW(count(*), sum(pg_catalog.hashtext(\
        ROW(oid, rolname, rolsuper, rolinherit, rolcanlogin)::text))) FROM pg_catalog.pg_roles), \
    (SELECT ROW(count(*), sum(pg_catalog.hashtext(xmin::text))) FROM pg_catalog.pg_proc), \
    (SELECT ROW(count(*), sum(pg_catalog.hashtext(xmin::text))) FROM pg_catalog.pg_operator), \
    (SELECT ROW(count(*), sum(pg_catalog.hashtext(xmin::text))) FROM pg_catalog.pg_cast), \
    (SELECT ROW(count(*), sum(pg_catalog.hashtext(xmin::text))) FROM pg_catalog.pg_type), \
    (SELECT ROW(count(*), sum(pg_catalog.hashtext(xmin::text))) FROM pg_catalog.pg_constraint), \
    (SELECT ROW(count(*), sum(pg_catalog.hashtext(xmin::text))) FROM pg_catalog.pg_attrdef), \
    (SELECT ROW(count(*), sum(pg_catalog.hashtext(xmin::text))) FROM pg_catalog.pg_trigger), \
    (SELECT ROW(count(*), sum(pg_catalog.hashtext(xmin::text))) FROM pg_catalog.pg_policy))";

/// Tables, views, sequences and row types; their columns are in [`COLUMNS`].
pub(super) const RELATIONS: &str = "SELECT pg_catalog.json_build_object(\
    'oid', c.oid::int8, 'schema', n.nspname, 'name', c.relname, \
    'kind', CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned' WHEN 'v' THEN 'view' \
        WHEN 'm' THEN 'materialized_view' WHEN 'f' THEN 'foreign' WHEN 'S' THEN 'sequence' \
        WHEN 'c' THEN 'composite' END, \
    'columns', '[]'::json, \
    'parents', COALESCE((SELECT pg_catalog.json_agg(i.inhparent::int8 ORDER BY i.inhseqno) \
        FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid), '[]'), \
    'definition', CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid) END, \
    'row_type', c.reltype::int8, 'row_security', c.relrowsecurity, \
    'security_invoker', EXISTS (SELECT FROM pg_catalog.pg_options_to_table(c.reloptions) o \
        WHERE o.option_name = 'security_invoker' AND o.option_value IN ('true', 'on', 'yes', '1')), \
    'has_rules', EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type <> '1')\
    )::text \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND n.nspname !~ '^pg_(toast|temp)'";

/// The columns of all relations, in no order: their relation, name, number, type, whether they cannot be
/// null, the default, whether they are generated.
pub(super) const COLUMNS: &str = "SELECT a.attrelid, a.attname, a.attnum, a.atttypid, a.attnotnull, \
    pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attgenerated <> '' \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid \
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND a.attnum > 0 AND NOT a.attisdropped";

/// Functions, procedures, aggregates.
pub(super) const FUNCTIONS: &str = "SELECT pg_catalog.json_build_object(\
    'oid', p.oid::int8, 'schema', n.nspname, 'name', p.proname, \
    'kind', CASE p.prokind WHEN 'f' THEN 'function' WHEN 'a' THEN 'aggregate' WHEN 'w' THEN 'window' \
        WHEN 'p' THEN 'procedure' END, \
    'arguments', (p.proargtypes::oid[])::int8[], \
    'defaults', p.pronargdefaults, 'variadic', p.provariadic <> 0, \
    'returns', p.prorettype::int8, 'returns_set', p.proretset, \
    'outputs', COALESCE((SELECT pg_catalog.json_agg(pg_catalog.json_build_array(\
            COALESCE(p.proargnames[i], ''), p.proallargtypes[i]::int8) ORDER BY i) \
        FROM pg_catalog.generate_subscripts(p.proargmodes, 1) i \
        WHERE p.proargmodes[i] IN ('o', 'b', 't')), '[]'), \
    'volatility', CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END, \
    'language', l.lanname, 'security_definer', p.prosecdef, \
    'default_arguments', CASE WHEN n.nspname NOT IN ('pg_catalog', 'information_schema') \
        THEN pg_catalog.pg_get_expr(p.proargdefaults, 0) END, \
    'body', CASE WHEN l.lanname = 'sql' AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
        THEN COALESCE(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) \
        WHEN l.lanname = 'plpgsql' AND p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype THEN p.prosrc END, \
    'argument_names', COALESCE(CASE WHEN l.lanname = 'sql' \
        AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
        THEN (SELECT pg_catalog.json_agg(p.proargnames[i] ORDER BY i) \
            FROM pg_catalog.generate_subscripts(p.proargnames, 1) i \
            WHERE p.proargmodes IS NULL OR p.proargmodes[i] IN ('i', 'b', 'v')) END, '[]'), \
    'search_path', CASE WHEN l.lanname IN ('sql', 'plpgsql') THEN (SELECT pg_catalog.substr(s, 13) \
        FROM pg_catalog.unnest(p.proconfig) s WHERE s LIKE 'search\\_path=%') END, \
    'settings', EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) s WHERE s NOT LIKE 'search\\_path=%'), \
    'calls', COALESCE(CASE WHEN p.prokind = 'a' AND n.nspname <> 'pg_catalog' \
        THEN ARRAY[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, \
            a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]::oid[]::int8[] END, '{}')\
    )::text \
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
    LEFT JOIN pg_catalog.pg_aggregate a ON a.aggfnoid = p.oid \
    WHERE n.nspname !~ '^pg_(toast|temp)' \
    ORDER BY n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)";

/// Operators.
pub(super) const OPERATORS: &str = "SELECT pg_catalog.json_build_object(\
    'oid', o.oid::int8, 'schema', n.nspname, 'name', o.oprname, 'left', o.oprleft::int8, \
    'right', o.oprright::int8, 'result', o.oprresult::int8, 'function', o.oprcode::oid::int8)::text \
    FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace \
    WHERE o.oprcode <> 0 ORDER BY n.nspname, o.oprname, o.oprleft, o.oprright";

/// Casts.
pub(super) const CASTS: &str = "SELECT pg_catalog.json_build_object(\
    'source', castsource::int8, 'target', casttarget::int8, 'function', castfunc::int8, \
    'context', CASE castcontext WHEN 'e' THEN 'explicit' WHEN 'a' THEN 'assignment' ELSE 'implicit' END)::text \
    FROM pg_catalog.pg_cast ORDER BY castsource, casttarget";

/// Types, with the functions outside `pg_catalog` that their values pass through: OID, schema, name,
/// kind, what a composite type and what a domain is made of, category, whether it is preferred in that,
/// the element's type, the functions.
pub(super) const TYPES: &str = "SELECT t.oid, n.nspname, t.typname, t.typtype, t.typrelid, t.typbasetype, \
    t.typcategory, t.typispreferred, t.typelem, f.functions \
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
    LEFT JOIN (SELECT u.type, pg_catalog.array_agg(DISTINCT p.oid) AS functions \
        FROM (SELECT oid AS type, pg_catalog.unnest(ARRAY[typinput::oid, typoutput::oid, typreceive::oid, \
                typsend::oid]) AS function FROM pg_catalog.pg_type \
            UNION ALL SELECT k.contypid, d.refobjid FROM pg_catalog.pg_depend d \
                JOIN pg_catalog.pg_constraint k ON k.oid = d.objid AND k.contypid <> 0 \
                WHERE d.classid = 'pg_catalog.pg_constraint'::regclass \
                AND d.refclassid = 'pg_catalog.pg_proc'::regclass) u \
        JOIN pg_catalog.pg_proc p ON p.oid = u.function \
        WHERE p.pronamespace <> 'pg_catalog'::regnamespace GROUP BY u.type) f ON f.type = t.oid \
    WHERE n.nspname !~ '^pg_(toast|temp)'";

/// Triggers, rules, row security, expressions that call what is not built in, foreign keys by what they refer to,
/// views by what they read.
pub(super) const ATTACHED: &str = "SELECT pg_catalog.json_build_object(\
    'relation', c.oid::int8, 'name', x.name, 'on', pg_catalog.to_json(x.happens), 'columns', x.columns, 'what', x.what)::text FROM (\
    SELECT t.tgrelid AS relation, t.tgname AS name, (t.tgattr::int2[])::int2[] AS columns, pg_catalog.array_remove(ARRAY[\
            CASE WHEN t.tgtype & 4 <> 0 THEN 'insert' END, CASE WHEN t.tgtype & 16 <> 0 THEN 'update' END, \
            CASE WHEN t.tgtype & 8 <> 0 THEN 'delete' END, CASE WHEN t.tgtype & 32 <> 0 THEN 'truncate' END], NULL) \
            AS happens, \
        pg_catalog.json_build_object('trigger', CASE WHEN t.tgqual IS NULL \
            THEN pg_catalog.json_build_object('function', t.tgfoid::int8) \
            ELSE pg_catalog.json_build_object('function', t.tgfoid::int8, \
                'definition', pg_catalog.pg_get_triggerdef(t.oid)) END) AS what \
        FROM pg_catalog.pg_trigger t WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' \
    UNION ALL SELECT r.ev_class, r.rulename, '{}', \
        ARRAY[CASE r.ev_type WHEN '2' THEN 'update' WHEN '3' THEN 'insert' ELSE 'delete' END], \
        pg_catalog.json_build_object('rule', pg_catalog.pg_get_ruledef(r.oid)) \
        FROM pg_catalog.pg_rewrite r WHERE r.ev_type <> '1' AND r.ev_enabled <> 'D' \
    UNION ALL SELECT p.polrelid, p.polname, '{}', p.happens, \
        pg_catalog.json_build_object('policy', pg_catalog.pg_get_expr(p.condition, p.polrelid)) \
        FROM (SELECT polrelid, polname, polqual AS condition, CASE polcmd \
                WHEN 'r' THEN ARRAY['select'] WHEN 'w' THEN ARRAY['select', 'update'] \
                WHEN 'd' THEN ARRAY['select', 'delete'] ELSE ARRAY['select', 'insert', 'update', 'delete'] END AS happens \
            FROM pg_catalog.pg_policy \
            UNION ALL SELECT polrelid, polname, polwithcheck, ARRAY['insert', 'update'] FROM pg_catalog.pg_policy) p \
        JOIN pg_catalog.pg_class k ON k.oid = p.polrelid \
        WHERE k.relrowsecurity AND p.condition IS NOT NULL \
    UNION ALL SELECT k.conrelid, k.conname, '{}', ARRAY['insert', 'update'], \
        pg_catalog.json_build_object('expression', pg_catalog.pg_get_expr(k.conbin, k.conrelid)) \
        FROM pg_catalog.pg_constraint k WHERE k.contype = 'c' AND k.conrelid <> 0 \
        AND EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_constraint'::regclass \
            AND d.objid = k.oid \
            AND d.refclassid IN ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass)) \
    UNION ALL SELECT f.adrelid, a.attname, '{}', \
        CASE WHEN a.attgenerated <> '' THEN ARRAY['select', 'insert', 'update'] ELSE ARRAY['insert', 'update'] END, \
        pg_catalog.json_build_object('expression', pg_catalog.pg_get_expr(f.adbin, f.adrelid)) \
        FROM pg_catalog.pg_attrdef f \
        JOIN pg_catalog.pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum \
        WHERE EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass \
            AND d.objid = f.oid \
            AND d.refclassid IN ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass)) \
    UNION ALL SELECT k.confrelid, k.conname, k.confkey, ARRAY[o.happens], \
        pg_catalog.json_build_object('cascade', pg_catalog.json_build_object('relation', k.conrelid::int8, \
            'does', o.does, 'columns', CASE WHEN o.does = 'update' THEN k.conkey ELSE '{}' END)) \
        FROM pg_catalog.pg_constraint k, LATERAL (VALUES \
            ('delete', CASE k.confdeltype WHEN 'c' THEN 'delete' WHEN 'n' THEN 'update' WHEN 'd' THEN 'update' END), \
            ('update', CASE WHEN k.confupdtype IN ('c', 'n', 'd') THEN 'update' END), \
            ('truncate_cascade', 'truncate_cascade')) o (happens, does) \
        WHERE k.contype = 'f' AND o.does IS NOT NULL \
    UNION ALL SELECT p.partrelid, 'partition key', \
        CASE WHEN 0 = ANY (p.partattrs) THEN '{}' ELSE (p.partattrs::int2[])::int2[] END, ARRAY['update'], \
        pg_catalog.to_json('moves'::text) FROM pg_catalog.pg_partitioned_table p \
    UNION ALL SELECT d.relation, v.relname, '{}', ARRAY['drop_cascade'], \
        pg_catalog.json_build_object('dependent', v.oid::int8) \
        FROM (SELECT DISTINCT d.refobjid AS relation, r.ev_class AS view FROM pg_catalog.pg_depend d \
            JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid \
            WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass \
            AND r.ev_type = '1' AND r.ev_class <> d.refobjid AND d.refobjid >= 16384) d \
        JOIN pg_catalog.pg_class v ON v.oid = d.view WHERE v.relkind IN ('v', 'm')\
    ) x JOIN pg_catalog.pg_class c ON c.oid = x.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_(toast|temp)' \
    ORDER BY n.nspname, c.relname, x.name, x.what::text";
