//! Functions that every PostgreSQL has under the same number, for protocol function calls.
//!
//! What is not here: what may be done with them, and the rest of what is built in (`catalog`).

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
    fn fast_path_functions_have_names() {
        assert_eq!(fast_path_function(957), Some("lo_creat"));
        assert_eq!(fast_path_function(1), None);
    }
}
