//! The functions that every policy blocks unless its `functions` key grants them, by why.
//!
//! What is *not* here: functions that are dear rather than dangerous (`generate_series`), that
//! drivers and frameworks call by themselves (`version`, `pg_advisory_lock`, `pg_notify`), or that
//! only show what the agent may read anyway. Invariant: each group says what to do instead.

use std::sync::LazyLock;

use model::FunctionUse;

use crate::function::{FunctionPattern, FunctionSet};

/// Functions that are blocked for one reason.
#[derive(Debug)]
pub(crate) struct Group {
    /// What they reach, as documentation shows it.
    pub(crate) why: &'static str,
    /// What to do instead.
    pub(crate) instead: &'static str,
    /// Patterns.
    pub(crate) functions: &'static [&'static str],
}

/// The shipped list.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        why: "files and programs of the database server",
        instead: "read the data from tables, or COPY it from your side with FROM STDIN",
        functions: &[
            "pg_read_*",
            "pg_ls_*",
            "pg_stat_file",
            "pg_write_file",
            "pg_file_*",
            "pg_logdir_ls",
            "pg_current_logfile",
            "pg_execute_server_program",
            "copy_from",
            "copy_to",
            "pg_hba_file_rules",
            "pg_ident_file_mappings",
            "pg_show_all_file_settings",
            "pg_config",
            "xslt_process",
            "sys_exec",
            "sys_eval",
        ],
    },
    Group {
        why: "large objects, which no table rule covers",
        instead: "keep the data in a bytea column",
        functions: &["lo_*", "loread", "lowrite"],
    },
    Group {
        why: "other databases and the network",
        instead: "use data of this database only",
        functions: &[
            "dblink*",
            "http",
            "http_get",
            "http_post",
            "http_put",
            "http_patch",
            "http_delete",
            "http_head",
            "net.http_*",
            "table_import_from_s3",
            "query_export_to_s3",
            "aws_lambda.invoke",
        ],
    },
    Group {
        why: "SQL given as text, which runs unread",
        instead: "write the query itself as the statement",
        functions: &[
            "query_to_xml*",
            "table_to_xml*",
            "schema_to_xml*",
            "database_to_xml*",
            "cursor_to_xml*",
            "ts_rewrite",
            "crosstab*",
            "connectby",
            "xpath_table",
            "run_command_on_*",
            "pg_background_*",
            "cron.schedule",
            "cron.schedule_in_database",
            "cron.alter_job",
        ],
    },
    Group {
        why: "other sessions and the server process",
        instead: "leave the server and other sessions alone",
        functions: &[
            "pg_terminate_backend",
            "pg_cancel_backend",
            "pg_reload_conf",
            "pg_rotate_logfile*",
            "pg_log_backend_memory_contexts",
            "pg_stat_get_activity",
            "pg_stat_get_backend_activity",
            "pg_stat_reset*",
            "pg_stat_statements_reset",
            "pg_buffercache_evict*",
        ],
    },
    Group {
        why: "replication, backup and recovery",
        instead: "leave replication and backups alone",
        functions: &[
            "pg_logical_*",
            "pg_replication_origin_*",
            "pg_replication_slot_advance",
            "pg_create_physical_replication_slot",
            "pg_create_logical_replication_slot",
            "pg_copy_physical_replication_slot",
            "pg_copy_logical_replication_slot",
            "pg_drop_replication_slot",
            "pg_sync_replication_slots",
            "pg_create_restore_point",
            "pg_start_backup",
            "pg_stop_backup",
            "pg_backup_start",
            "pg_backup_stop",
            "pg_switch_wal",
            "pg_switch_xlog",
            "pg_promote",
            "pg_wal_replay_pause",
            "pg_wal_replay_resume",
            "pg_xlog_replay_pause",
            "pg_xlog_replay_resume",
            "pg_get_wal_*",
        ],
    },
    Group {
        why: "waiting, which holds a connection",
        instead: "wait in your own program",
        functions: &["pg_sleep*"],
    },
    Group {
        why: "settings, past the rules for SET and SHOW",
        instead: "use SET for a harmless setting, SHOW to read one",
        functions: &["set_config", "current_setting", "pg_show_all_settings"],
    },
    Group {
        why: "storage and catalog internals, past privileges",
        instead: "read the table itself",
        functions: &[
            "get_raw_page",
            "bt_page_*",
            "heap_force_*",
            "pg_truncate_visibility_map",
            "pg_mcv_list_items",
            "pg_import_system_collations",
            "pg_extension_config_dump",
            "pg_restore_relation_stats",
            "pg_restore_attribute_stats",
            "pg_clear_relation_stats",
            "pg_clear_attribute_stats",
            "pg_nextoid",
            "binary_upgrade_*",
        ],
    },
];

/// Built-in functions that are declared volatile and that no group holds, but for those that only give a value:
/// what the profile `strict` leaves out, too.
pub(crate) const VOLATILE_NAMES: &[&str] = &[
    "pg_advisory_*",
    "pg_try_advisory_*",
    "pg_notify",
    "pg_notification_queue_usage",
    "setval",
    "ts_stat",
    "current_query",
    "currtid2",
    "brin_desummarize_range",
    "brin_summarize_*",
    "gin_clean_pending_list",
    "pg_available_wal_summaries",
    "pg_wal_summary_contents",
    "pg_blocking_pids",
    "pg_safe_snapshot_blocking_pids",
    "pg_isolation_test_session_is_blocked",
    "pg_collation_actual_version",
    "pg_database_collation_actual_version",
    "pg_control_*",
    "pg_current_wal_*",
    "pg_last_wal_*",
    "pg_last_xact_*",
    "pg_last_committed_xact",
    "pg_xact_commit_*",
    "pg_xact_status",
    "txid_status",
    "pg_prepared_xact",
    "pg_export_snapshot",
    "pg_get_aios",
    "pg_get_backend_memory_contexts",
    "pg_get_loaded_modules",
    "pg_get_multixact_members",
    "pg_get_sequence_data",
    "pg_sequence_last_value",
    "pg_get_shmem_*",
    "pg_get_wait_events",
    "pg_is_in_backup",
    "pg_is_wal_replay_paused",
    "pg_jit_available",
    "pg_lock_status",
    "pg_log_standby_snapshot",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_show_replication_origin_status",
    "pg_stat_*",
    "pg_stop_making_pinned_objects",
    "pg_database_size",
    "pg_indexes_size",
    "pg_relation_size",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "plpgsql_*",
    "ri_fkey_*",
    "dsnowball_*",
    "amvalidate",
    "brinhandler",
    "bthandler",
    "ginhandler",
    "gisthandler",
    "hashhandler",
    "heap_tableam_handler",
    "spghandler",
    "suppress_redundant_updates_trigger",
    "tsvector_update_trigger*",
    "unique_key_recheck",
];

/// The same, compiled.
pub(crate) static VOLATILE: LazyLock<FunctionSet> =
    LazyLock::new(|| compile(VOLATILE_NAMES.iter().copied()));

/// The shipped list, compiled.
pub(crate) static BLOCKED: LazyLock<FunctionSet> =
    LazyLock::new(|| compile(GROUPS.iter().flat_map(|group| group.functions.iter().copied())));

fn compile(names: impl Iterator<Item = &'static str>) -> FunctionSet {
    FunctionSet::new(names.filter_map(|name| FunctionPattern::parse(name).ok()))
}

/// Whether a pattern holds a function that is blocked for everybody, or may hold one.
pub(crate) fn is_touched_by(pattern: &FunctionPattern) -> bool {
    let all = GROUPS.iter().flat_map(|group| group.functions.iter());
    all.filter_map(|name| FunctionPattern::parse(name).ok()).any(|one| one.overlaps(pattern))
}

/// What to do instead of calling `function`, if the shipped list blocks it.
pub(crate) fn instead(function: &FunctionUse) -> Option<&'static str> {
    let holds = |group: &&Group| compile(group.functions.iter().copied()).may_hold(function);
    GROUPS.iter().find(holds).map(|group| group.instead)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str) -> FunctionUse {
        FunctionUse { schema: None, name: name.to_owned() }
    }

    #[test]
    fn every_shipped_entry_is_a_pattern() {
        for group in GROUPS {
            assert!(!group.why.is_empty() && !group.instead.is_empty());
            for name in group.functions {
                assert!(FunctionPattern::parse(name).is_ok(), "{name}");
            }
        }
        assert!(!BLOCKED.is_all());
    }

    #[test]
    fn every_name_that_the_seed_gives_is_blocked() {
        for name in
            "pg_read_file pg_read_binary_file pg_ls_dir pg_execute_server_program lo_export \
            lo_import dblink dblink_exec pg_terminate_backend pg_cancel_backend pg_reload_conf \
            pg_sleep set_config pg_rotate_logfile lo_unlink pg_stat_file pg_sleep_for \
            pg_sleep_until dblink_connect lo_creat pg_write_file copy_from copy_to \
            current_setting query_to_xml_and_xmlschema loread lowrite"
                .split_whitespace()
        {
            assert!(BLOCKED.may_hold(&call(name)), "{name}");
        }
    }

    #[test]
    fn ordinary_functions_are_not() {
        for name in "count sum lower upper coalesce now generate_series version to_char \
            jsonb_build_object array_agg nextval pg_notify pg_advisory_xact_lock format_type \
            pg_get_expr pg_table_is_visible current_user row_number date_trunc random \
            gen_random_uuid to_tsvector ts_rank pg_get_constraintdef obj_description \
            pg_get_serial_sequence txid_current pg_backend_pid current_schema set_masklen"
            .split_whitespace()
        {
            assert!(!BLOCKED.may_hold(&call(name)), "{name}");
        }
    }

    #[test]
    fn each_blocked_function_has_an_alternative() {
        assert_eq!(instead(&call("pg_sleep_for")), Some("wait in your own program"));
        assert_eq!(instead(&call("count")), None);
    }
}
