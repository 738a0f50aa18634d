//! What every PostgreSQL has: `pg_catalog` and `information_schema` of each major version, built in.
//!
//! What is here: one catalog for each supported version, read from the text beside this file the
//! first time that somebody asks. What is not: how the text is made (`examples/builtins.rs`, run by
//! `scripts/builtins.sh`). Invariant: nothing of a user's is in it, so a name that it lacks is
//! unknown, never absent.

mod decode;

use std::collections::HashMap;
use std::sync::OnceLock;

use model::SERVER_MAJORS;

use super::Catalog;

const TEXT: &str = include_str!("pg_catalog.txt");

/// The catalog of an untouched server of this major version; `None` if it is not built in.
pub fn built_in(major: u16) -> Option<&'static Catalog> {
    static CATALOGS: [OnceLock<Option<Catalog>>; 5] = [const { OnceLock::new() }; 5];
    let place = place(major)?;
    CATALOGS
        .get(place)?
        .get_or_init(|| Catalog::from_snapshot(decode::snapshot(TEXT, major)?).ok())
        .as_ref()
}

/// Where a supported version stands in the text's masks.
fn place(major: u16) -> Option<usize> {
    SERVER_MAJORS.clone().position(|known| known == major)
}

/// In how many of the supported versions `pg_catalog` has a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// In each.
    Always,
    /// Not in each: another server may hold a relation of that name elsewhere.
    Sometimes,
    /// In none.
    Never,
}

/// Whether `pg_catalog` has a relation of that name: of this version, or of any if it is not known.
pub(crate) fn presence(name: &str, major: Option<u16>) -> Presence {
    static MASKS: OnceLock<HashMap<String, u8>> = OnceLock::new();
    if !name.starts_with("pg_") {
        return Presence::Never;
    }
    let masks = MASKS.get_or_init(|| decode::relation_masks(TEXT));
    let mask = masks.get(name).copied().unwrap_or_default();
    match (major.and_then(place), mask) {
        (_, 0) => Presence::Never,
        (_, decode::EVERY) => Presence::Always,
        (Some(place), mask) if mask & (1 << place) == 0 => Presence::Never,
        (Some(_), _) => Presence::Always,
        (None, _) => Presence::Sometimes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_supported_version_is_built_in_and_no_other() {
        for major in SERVER_MAJORS {
            let catalog = built_in(major).expect("it is built in");
            assert_eq!(catalog.server_version(), u32::from(major) * 10_000);
            assert!(catalog.relation("pg_catalog", "pg_class").is_some());
            assert!(catalog.relation("information_schema", "tables").is_some());
            assert!(catalog.functions("pg_catalog", "lower").count() >= 2);
            assert!(catalog.operators("pg_catalog", "=").count() > 50);
            assert!(catalog.snapshot().casts.len() > 200);
            assert!(!catalog.has_schema("public"));
        }
        assert!(built_in(13).is_none() && built_in(19).is_none() && built_in(0).is_none());
    }

    #[test]
    fn versions_differ_where_they_do() {
        let has = |major, name| {
            let catalog = built_in(major).expect("it is built in");
            catalog.functions("pg_catalog", name).next().is_some()
        };
        assert!(!has(15, "any_value") && has(16, "any_value"));
        assert!(!has(17, "uuidv7") && has(18, "uuidv7"));
        assert!(has(14, "pg_start_backup") && !has(15, "pg_start_backup"));
        assert!(!has(14, "merge_action") && !has(18, "merge_action"));
    }

    #[test]
    fn a_relation_is_present_in_the_version_that_asks() {
        assert_eq!(presence("pg_class", None), Presence::Always);
        assert_eq!(presence("pg_stat_io", None), Presence::Sometimes);
        assert_eq!(presence("pg_stat_io", Some(15)), Presence::Never);
        assert_eq!(presence("pg_stat_io", Some(16)), Presence::Always);
        assert_eq!(presence("pg_stat_statements", Some(18)), Presence::Never);
        assert_eq!(presence("users", None), Presence::Never);
        assert_eq!(presence("pg_shadow", Some(13)), Presence::Always);
    }

    #[test]
    fn system_views_say_what_is_behind_them() {
        for major in SERVER_MAJORS {
            let catalog = built_in(major).expect("it is built in");
            for relation in &catalog.snapshot().relations {
                let view = relation.kind == crate::catalog::RelationKind::View;
                assert_eq!(view, relation.definition.is_some(), "{major} {}", relation.name);
                let text = relation.definition.as_deref().unwrap_or("SELECT 1");
                assert!(crate::parse::parse(text).is_ok(), "{major} {}: {text}", relation.name);
            }
        }
    }
}
