//! Catalog relations that drivers and frameworks read by themselves, so that missions need not
//! list them.
//!
//! They describe what exists: names, columns, types, keys. Left out on purpose: relations that
//! hold data or secrets (`pg_authid`, `pg_shadow`, `pg_user_mapping`, `pg_statistic`, `pg_stats`,
//! `pg_largeobject`, `pg_subscription`), other sessions (`pg_stat_activity`), configuration
//! (`pg_settings`, `pg_hba_file_rules`, `pg_file_settings`), code (`pg_proc`) and people
//! (`pg_roles`). `blocked_tables` still blocks what is here. Sorted.

use model::{Access, RelationUse, Schemas};

/// Of `pg_catalog`.
pub(crate) const PG_CATALOG: &[&str] = &[
    "pg_am",
    "pg_attrdef",
    "pg_attribute",
    "pg_class",
    "pg_collation",
    "pg_constraint",
    "pg_description",
    "pg_enum",
    "pg_extension",
    "pg_index",
    "pg_indexes",
    "pg_inherits",
    "pg_namespace",
    "pg_opclass",
    "pg_operator",
    "pg_range",
    "pg_sequence",
    "pg_tables",
    "pg_type",
    "pg_views",
];

/// Of `information_schema`.
pub(crate) const INFORMATION_SCHEMA: &[&str] = &[
    "columns",
    "constraint_column_usage",
    "key_column_usage",
    "referential_constraints",
    "schemata",
    "sequences",
    "table_constraints",
    "tables",
    "views",
];

/// Whether it is such a relation, and only read.
pub(crate) fn is_driver_read(used: &RelationUse) -> bool {
    let name = used.relation.name.as_str();
    match (&used.relation.schemas, used.access) {
        (Schemas::Named(schema), Access::Read) => match schema.as_str() {
            "pg_catalog" => PG_CATALOG.binary_search(&name).is_ok(),
            "information_schema" => INFORMATION_SCHEMA.binary_search(&name).is_ok(),
            _ => false,
        },
        (Schemas::Named(_), Access::Write | Access::Define)
        | (Schemas::Paths(_) | Schemas::Unknown, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::RelationName;

    fn read(schema: &str, name: &str, access: Access) -> bool {
        let schemas = Schemas::Named(schema.into());
        is_driver_read(&RelationUse {
            relation: RelationName { schemas, name: name.into() },
            access,
        })
    }

    #[test]
    fn only_reads_of_descriptions_are_free() {
        assert!(PG_CATALOG.is_sorted() && INFORMATION_SCHEMA.is_sorted());
        assert!(read("pg_catalog", "pg_type", Access::Read));
        assert!(read("information_schema", "columns", Access::Read));
        assert!(!read("pg_catalog", "pg_class", Access::Write));
        assert!(!read("public", "pg_type", Access::Read));
        for secret in [
            "pg_authid",
            "pg_shadow",
            "pg_user_mapping",
            "pg_statistic",
            "pg_stats",
            "pg_stat_activity",
            "pg_settings",
            "pg_hba_file_rules",
            "pg_largeobject",
            "pg_proc",
        ] {
            assert!(!read("pg_catalog", secret, Access::Read), "{secret}");
        }
    }
}
