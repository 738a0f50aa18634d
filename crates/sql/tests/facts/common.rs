//! What the tests of this crate share: one session, and short spellings of facts.

use model::{Access, Fact, Schemas, SqlFacts, Unknown};
use sql::{Analysis, Context, Encoding, SearchPaths};

/// A session with `search_path = app, public`.
pub(crate) fn analyze(text: &str) -> Analysis {
    let paths = [vec!["app".to_owned(), "public".to_owned()]];
    sql::analyze(text.as_bytes(), &context(&paths))
}

/// A UTF-8 session with these paths.
pub(crate) fn context(paths: &[Vec<String>]) -> Context<'_> {
    Context {
        search_paths: SearchPaths::Possible(paths),
        encoding: Encoding::Utf8,
        standard_conforming_strings: true,
        catalog: sql::Known::Nothing,
        tenant_column: None,
        timeline: None,
        role: None,
        server_major: Some(18),
    }
}

/// The facts of the only statement.
pub(crate) fn facts(text: &str) -> SqlFacts {
    let analysis = analyze(text);
    assert!(analysis.is_ok(), "{text}: {:?}", analysis.error());
    let [statement] = analysis.statements() else { panic!("{text}: not one statement") };
    statement.facts(&|_, _| None).into_owned()
}

/// Relations as `r:name`, `w:schema.name`, `d:name`, sorted, space-separated.
pub(crate) fn relations(text: &str) -> String {
    show(&facts(text).relations, |used| {
        let access = match used.access {
            Access::Read => "r",
            Access::Write => "w",
            Access::Define => "d",
        };
        let schema = match &used.relation.schemas {
            Schemas::Named(schema) => format!("{schema}."),
            Schemas::Paths(_) => String::new(),
            Schemas::Unknown => "?.".to_owned(),
        };
        format!("{access}:{schema}{}", used.relation.name)
    })
}

/// Functions, sorted, space-separated.
pub(crate) fn functions(text: &str) -> String {
    show(&facts(text).functions, ToString::to_string)
}

/// Operations, sorted, space-separated.
pub(crate) fn operations(text: &str) -> String {
    show(&facts(text).operations, ToString::to_string)
}

/// Settings as `change name=value`, sorted, separated by `; `.
pub(crate) fn settings(text: &str) -> String {
    let facts = facts(text);
    let Fact::Known(settings) = &facts.settings else { return "unknown".to_owned() };
    let mut shown: Vec<String> = settings
        .iter()
        .map(|used| {
            let value = match &used.value {
                model::SettingValue::Constants(values) => values.join(","),
                model::SettingValue::Default => "DEFAULT".to_owned(),
                model::SettingValue::Unknown => "?".to_owned(),
            };
            format!("{:?} {}={value}", used.change, used.name)
        })
        .collect();
    shown.sort();
    shown.join("; ")
}

/// Unfiltered targets as `DELETE t`.
pub(crate) fn unfiltered(text: &str) -> String {
    show(&facts(text).unfiltered, |used| format!("{} {}", used.operation, used.relation))
}

fn show<T>(fact: &Fact<Vec<T>>, name: impl Fn(&T) -> String) -> String {
    match fact {
        Fact::Unknown(why) => format!("unknown:{}", cause(*why)),
        Fact::Known(items) => {
            let mut names: Vec<String> = items.iter().map(name).collect();
            names.sort();
            names.join(" ")
        }
    }
}

/// The name of a cause.
pub(crate) fn cause(why: Unknown) -> &'static str {
    match why {
        Unknown::ParseError => "parse",
        Unknown::Encoding => "encoding",
        Unknown::TooComplex => "complex",
        Unknown::OpaqueCode => "code",
        Unknown::UnresolvedName => "name",
        Unknown::NotConstant => "constant",
        Unknown::UnknownStatement => "statement",
        Unknown::NoCatalog => "no catalog",
        Unknown::NotInCatalog => "not in catalog",
        Unknown::StaleCatalog => "stale catalog",
    }
}
