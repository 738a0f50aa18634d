//! Names that every PostgreSQL has: the relations of `pg_catalog`, and the fast-path functions.
//!
//! What is not here: what may be done with them. Both tables are sorted (a test says so).

/// In how many of PostgreSQL 14 to 18 `pg_catalog` has a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// In each.
    Always,
    /// Not in each: an older server may hold a relation of that name elsewhere.
    Sometimes,
    /// In none.
    Never,
}

const ALWAYS: &[&str] = &[
    "pg_aggregate",
    "pg_am",
    "pg_amop",
    "pg_amproc",
    "pg_attrdef",
    "pg_attribute",
    "pg_auth_members",
    "pg_authid",
    "pg_available_extension_versions",
    "pg_available_extensions",
    "pg_backend_memory_contexts",
    "pg_cast",
    "pg_class",
    "pg_collation",
    "pg_config",
    "pg_constraint",
    "pg_conversion",
    "pg_cursors",
    "pg_database",
    "pg_db_role_setting",
    "pg_default_acl",
    "pg_depend",
    "pg_description",
    "pg_enum",
    "pg_event_trigger",
    "pg_extension",
    "pg_file_settings",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_foreign_table",
    "pg_group",
    "pg_hba_file_rules",
    "pg_index",
    "pg_indexes",
    "pg_inherits",
    "pg_init_privs",
    "pg_language",
    "pg_largeobject",
    "pg_largeobject_metadata",
    "pg_locks",
    "pg_matviews",
    "pg_namespace",
    "pg_opclass",
    "pg_operator",
    "pg_opfamily",
    "pg_partitioned_table",
    "pg_policies",
    "pg_policy",
    "pg_prepared_statements",
    "pg_prepared_xacts",
    "pg_proc",
    "pg_publication",
    "pg_publication_rel",
    "pg_publication_tables",
    "pg_range",
    "pg_replication_origin",
    "pg_replication_origin_status",
    "pg_replication_slots",
    "pg_rewrite",
    "pg_roles",
    "pg_rules",
    "pg_seclabel",
    "pg_seclabels",
    "pg_sequence",
    "pg_sequences",
    "pg_settings",
    "pg_shadow",
    "pg_shdepend",
    "pg_shdescription",
    "pg_shmem_allocations",
    "pg_shseclabel",
    "pg_stat_activity",
    "pg_stat_all_indexes",
    "pg_stat_all_tables",
    "pg_stat_archiver",
    "pg_stat_bgwriter",
    "pg_stat_database",
    "pg_stat_database_conflicts",
    "pg_stat_gssapi",
    "pg_stat_progress_analyze",
    "pg_stat_progress_basebackup",
    "pg_stat_progress_cluster",
    "pg_stat_progress_copy",
    "pg_stat_progress_create_index",
    "pg_stat_progress_vacuum",
    "pg_stat_replication",
    "pg_stat_replication_slots",
    "pg_stat_slru",
    "pg_stat_ssl",
    "pg_stat_subscription",
    "pg_stat_sys_indexes",
    "pg_stat_sys_tables",
    "pg_stat_user_functions",
    "pg_stat_user_indexes",
    "pg_stat_user_tables",
    "pg_stat_wal",
    "pg_stat_wal_receiver",
    "pg_stat_xact_all_tables",
    "pg_stat_xact_sys_tables",
    "pg_stat_xact_user_functions",
    "pg_stat_xact_user_tables",
    "pg_statio_all_indexes",
    "pg_statio_all_sequences",
    "pg_statio_all_tables",
    "pg_statio_sys_indexes",
    "pg_statio_sys_sequences",
    "pg_statio_sys_tables",
    "pg_statio_user_indexes",
    "pg_statio_user_sequences",
    "pg_statio_user_tables",
    "pg_statistic",
    "pg_statistic_ext",
    "pg_statistic_ext_data",
    "pg_stats",
    "pg_stats_ext",
    "pg_stats_ext_exprs",
    "pg_subscription",
    "pg_subscription_rel",
    "pg_tables",
    "pg_tablespace",
    "pg_timezone_abbrevs",
    "pg_timezone_names",
    "pg_transform",
    "pg_trigger",
    "pg_ts_config",
    "pg_ts_config_map",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
    "pg_type",
    "pg_user",
    "pg_user_mapping",
    "pg_user_mappings",
    "pg_views",
];

const SOMETIMES: &[&str] = &[
    "pg_aios",
    "pg_ident_file_mappings",
    "pg_parameter_acl",
    "pg_publication_namespace",
    "pg_shmem_allocations_numa",
    "pg_stat_checkpointer",
    "pg_stat_io",
    "pg_stat_recovery_prefetch",
    "pg_stat_subscription_stats",
    "pg_wait_events",
];

/// Whether `pg_catalog` of PostgreSQL 14 to 18 has a table or view of that name.
pub fn is_catalog_relation(name: &str) -> bool {
    match presence(name) {
        Presence::Always | Presence::Sometimes => true,
        Presence::Never => false,
    }
}

pub(crate) fn presence(name: &str) -> Presence {
    if !name.starts_with("pg_") {
        Presence::Never
    } else if ALWAYS.binary_search(&name).is_ok() {
        Presence::Always
    } else if SOMETIMES.binary_search(&name).is_ok() {
        Presence::Sometimes
    } else {
        Presence::Never
    }
}

/// The large-object function behind a fast-path OID, the same in every PostgreSQL since 9.4.
pub const fn fast_path_function(oid: u32) -> Option<&'static str> {
    match oid {
        715 => Some("lo_create"),
        764 | 767 => Some("lo_import"),
        765 => Some("lo_export"),
        952 => Some("lo_open"),
        953 => Some("lo_close"),
        954 => Some("loread"),
        955 => Some("lowrite"),
        956 => Some("lo_lseek"),
        957 => Some("lo_creat"),
        958 => Some("lo_tell"),
        964 => Some("lo_unlink"),
        1004 => Some("lo_truncate"),
        3170 => Some("lo_lseek64"),
        3171 => Some("lo_tell64"),
        3172 => Some("lo_truncate64"),
        3457 => Some("lo_from_bytea"),
        3458 | 3459 => Some("lo_get"),
        3460 => Some("lo_put"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        assert!(ALWAYS.is_sorted());
        assert!(SOMETIMES.is_sorted());
    }

    #[test]
    fn catalog_relations_are_known_and_others_are_not() {
        assert!(is_catalog_relation("pg_shadow"));
        assert!(is_catalog_relation("pg_stat_io"));
        assert!(!is_catalog_relation("pg_stat_statements"));
        assert!(!is_catalog_relation("users"));
    }

    #[test]
    fn fast_path_functions_have_names() {
        assert_eq!(fast_path_function(957), Some("lo_creat"));
        assert_eq!(fast_path_function(1), None);
    }
}
