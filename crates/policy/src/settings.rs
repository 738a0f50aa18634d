//! Which settings may be changed, how, and to what.
//!
//! A setting is *harmless* if it changes neither how the server reads text, nor who the session is,
//! nor what it may see or write, nor anything that outlives it. Some others are harmless for some
//! values. Everything else is *guarded*, custom settings (`app.tenant`) first of all: row security
//! policies rest on them. What is *not* here: which statement changes a setting (`sql`).

use model::{Operation, SettingChange, SettingUse, SettingValue};

/// Harmless whatever the value.
pub(crate) const HARMLESS: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_min_messages",
    "constraint_exclusion",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "cpu_tuple_cost",
    "cursor_tuple_fraction",
    "datestyle",
    "default_statistics_target",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "effective_cache_size",
    "effective_io_concurrency",
    "escape_string_warning",
    "extra_float_digits",
    "from_collapse_limit",
    "gin_fuzzy_search_limit",
    "hash_mem_multiplier",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "jit_above_cost",
    "jit_inline_above_cost",
    "jit_optimize_above_cost",
    "join_collapse_limit",
    "lock_timeout",
    "max_parallel_workers_per_gather",
    "min_parallel_index_scan_size",
    "min_parallel_table_scan_size",
    "parallel_leader_participation",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "plan_cache_mode",
    "quote_all_identifiers",
    "random_page_cost",
    "recursive_worktable_factor",
    "seq_page_cost",
    "statement_timeout",
    "synchronize_seqscans",
    "tcp_keepalives_count",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_user_timeout",
    "timezone",
    "timezone_abbreviations",
    "transaction_deferrable",
    "transaction_isolation",
    "transaction_timeout",
    "work_mem",
    "xmlbinary",
    "xmloption",
];

/// Families of planner settings, harmless as well.
pub(crate) const HARMLESS_PREFIXES: &[&str] = &["enable_", "geqo"];

/// Harmless for some values; the second part says which, for documentation and suggestions.
pub(crate) const CHECKED: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("default_transaction_read_only", "on"),
    ("row_security", "on"),
    ("search_path", "schemas given as constants"),
    ("standard_conforming_strings", "on"),
    ("transaction_read_only", "on"),
];

/// What decides who the session is: guarded even when it is reset.
pub(crate) const IDENTITY: &[&str] = &["role", "session_authorization"];

/// Which guarded settings a policy grants.
#[derive(Debug, Clone, Default)]
pub(crate) struct SettingGrants {
    all: bool,
    names: Vec<String>,
}

impl SettingGrants {
    /// Reads the words of the `settings` key.
    pub(crate) fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut grants = Self::default();
        for word in words {
            if word == "*" {
                grants.all = true;
            } else {
                grants.names.push(word.to_ascii_lowercase());
            }
        }
        grants.names.sort_unstable();
        grants
    }

    /// Whether nothing is granted.
    pub(crate) const fn is_empty(&self) -> bool {
        !self.all && self.names.is_empty()
    }

    /// Whether every change is granted, also one that could not be established.
    pub(crate) const fn is_all(&self) -> bool {
        self.all
    }

    fn has(&self, name: &str) -> bool {
        self.all || self.names.binary_search_by(|one| one.as_str().cmp(name)).is_ok()
    }

    /// Whether a statement of this operation may change this setting like this.
    pub(crate) fn permit(&self, change: &SettingUse, operation: Operation) -> bool {
        self.has(&change.name) || is_free(change, operation)
    }
}

/// Whether a name can be a setting's.
pub(crate) fn is_setting_name(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    word == "*"
        || word.split('.').all(|part| !part.is_empty() && part.chars().all(plain))
            && word.split('.').count() <= 2
}

/// What `name` may be set to without a grant.
pub(crate) fn free_values(name: &str) -> Option<&'static str> {
    CHECKED.iter().find(|(checked, _)| *checked == name).map(|(_, values)| *values)
}

fn is_free(change: &SettingUse, operation: Operation) -> bool {
    let name = change.name.as_str();
    if name == "*" || name.contains('.') || IDENTITY.contains(&name) {
        return false;
    }
    // Its default is off, whatever the session's default_transaction_read_only says.
    if name == "transaction_read_only" && change.value == SettingValue::Default {
        return false;
    }
    match change.change {
        SettingChange::Reset | SettingChange::ResetAll => true,
        SettingChange::Session | SettingChange::Local | SettingChange::Startup => {
            match &change.value {
                // SET … TO DEFAULT is RESET.
                SettingValue::Default => true,
                SettingValue::Constants(values) => {
                    is_harmless(name) || is_free_value(name, values, change.change)
                }
                SettingValue::Unknown => is_harmless(name),
            }
        }
        SettingChange::Stored => {
            let for_a_function =
                matches!(operation, Operation::CreateFunction | Operation::AlterFunction);
            is_harmless(name)
                || (for_a_function
                    && name == "search_path"
                    && matches!(change.value, SettingValue::Constants(_)))
        }
    }
}

fn is_harmless(name: &str) -> bool {
    HARMLESS.binary_search(&name).is_ok()
        || HARMLESS_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn is_free_value(name: &str, values: &[String], change: SettingChange) -> bool {
    if name == "search_path" {
        return true;
    }
    let [value] = values else {
        return false;
    };
    match name {
        "client_encoding" => is_free_encoding(value, change),
        "standard_conforming_strings"
        | "row_security"
        | "transaction_read_only"
        | "default_transaction_read_only" => is_on(value),
        _ => false,
    }
}

/// PostgreSQL compares encoding names without regard to case and punctuation.
fn is_free_encoding(value: &str, change: SettingChange) -> bool {
    let name: String = value
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    // SQL_ASCII at startup means that no conversion was asked for.
    name == "utf8" || name == "unicode" || (name == "sqlascii" && change == SettingChange::Startup)
}

fn is_on(value: &str) -> bool {
    ["on", "true", "yes", "1"].iter().any(|on| value.eq_ignore_ascii_case(on))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> SettingUse {
        with(SettingChange::Session, name, SettingValue::Constants(vec![value.to_owned()]))
    }

    fn with(change: SettingChange, name: &str, value: SettingValue) -> SettingUse {
        SettingUse { name: name.to_owned(), change, value }
    }

    fn free(change: &SettingUse) -> bool {
        is_free(change, Operation::Set)
    }

    #[test]
    fn the_lists_are_sorted_and_apart() {
        assert!(HARMLESS.is_sorted());
        assert!(CHECKED.iter().all(|(name, _)| !is_harmless(name)));
        assert!(IDENTITY.iter().all(|name| !is_harmless(name)));
    }

    #[test]
    fn drivers_may_set_what_they_set() {
        for (name, value) in [
            ("application_name", "x"),
            ("extra_float_digits", "3"),
            ("datestyle", "ISO"),
            ("timezone", "UTC"),
            ("client_encoding", "utf-8"),
            ("client_encoding", "UNICODE"),
            ("standard_conforming_strings", "on"),
            ("search_path", "app"),
            ("enable_seqscan", "off"),
            ("default_transaction_isolation", "serializable"),
            ("transaction_read_only", "on"),
        ] {
            assert!(free(&set(name, value)), "{name} = {value}");
        }
        assert!(free(&with(SettingChange::ResetAll, "all", SettingValue::Default)));
        assert!(free(&with(SettingChange::Reset, "search_path", SettingValue::Default)));
    }

    #[test]
    fn what_changes_reading_identity_or_protection_is_guarded() {
        for (name, value) in [
            ("standard_conforming_strings", "off"),
            ("client_encoding", "SJIS"),
            ("client_encoding", "SQL_ASCII"),
            ("row_security", "off"),
            ("transaction_read_only", "off"),
            ("default_transaction_read_only", "0"),
            ("role", "postgres"),
            ("role", "none"),
            ("session_authorization", "postgres"),
            ("session_replication_role", "replica"),
            ("app.tenant_id", "2"),
            ("local_preload_libraries", "x"),
            ("log_statement", "none"),
            ("transform_null_equals", "on"),
            ("backslash_quote", "on"),
            ("jit_dump_bitcode", "on"),
            ("never_heard_of", "1"),
            ("*", "1"),
            ("enable_x.y", "1"),
        ] {
            assert!(!free(&set(name, value)), "{name} = {value}");
        }
        for name in ["role", "session_authorization", "app.tenant_id", "transaction_read_only"] {
            assert!(!free(&with(SettingChange::Reset, name, SettingValue::Default)), "{name}");
        }
        assert!(!free(&with(SettingChange::Session, "search_path", SettingValue::Unknown)));
    }

    #[test]
    fn stored_settings_reach_other_sessions() {
        let path = SettingValue::Constants(vec!["pg_catalog".to_owned()]);
        let stored = with(SettingChange::Stored, "search_path", path);
        assert!(!is_free(&stored, Operation::AlterRole));
        assert!(is_free(&stored, Operation::CreateFunction), "recommended for functions");
        let ascii = SettingValue::Constants(vec!["SQL_ASCII".to_owned()]);
        assert!(free(&with(SettingChange::Startup, "client_encoding", ascii)));
    }

    #[test]
    fn a_grant_lifts_the_guard() {
        let grants = SettingGrants::new(["App.Tenant_Id"]);
        assert!(grants.permit(&set("app.tenant_id", "1"), Operation::Set));
        assert!(!grants.permit(&set("app.other", "1"), Operation::Set));
        assert!(SettingGrants::new(["*"]).permit(&set("*", "1"), Operation::Set));
        assert!(is_setting_name("app.tenant_id") && is_setting_name("*"));
        assert!(!is_setting_name("a b") && !is_setting_name("a.b.c") && !is_setting_name(""));
    }
}
