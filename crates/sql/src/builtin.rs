//! Names that every PostgreSQL has: the relations of `pg_catalog`, and the fast-path functions.

/// Whether `pg_catalog` of PostgreSQL 14 to 18 has a relation of that name.
pub fn is_catalog_relation(name: &str) -> bool {
    name.starts_with("pg_")
}

/// The large-object function behind a fast-path OID.
pub const fn fast_path_function(oid: u32) -> Option<&'static str> {
    match oid {
        715 => Some("lo_create"),
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
        _ => None,
    }
}
