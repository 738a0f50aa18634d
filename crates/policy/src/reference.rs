//! The generated parts of `docs/reference/policy.md`: tables made from the very lists that
//! evaluation uses, so the page cannot say otherwise.
//!
//! What is *not* here: the page's prose, and writing files.

use crate::detections::{PII_NAMES, Switch};
use crate::profile::{BUILT_IN, CATEGORIES, Guards, OperationSet, Profile};
use crate::reason::Reason;
use crate::{ReasonCode, catalog, limits, risk, settings, shipped};

/// `page` with every generated part (between `<!-- generated: name -->` and
/// `<!-- end generated -->`) made anew. A part with an unknown name stays as it is.
pub fn render(page: &str) -> String {
    const OPEN: &str = "<!-- generated: ";
    const CLOSE: &str = "<!-- end generated -->";
    let mut out = String::with_capacity(page.len());
    let mut rest = page;
    while let Some((before, tail)) = rest.split_once(OPEN) {
        let Some((name, (old, after))) = tail
            .split_once(" -->\n")
            .and_then(|(name, body)| body.split_once(CLOSE).map(|parts| (name, parts)))
        else {
            break;
        };
        let part = part(name).unwrap_or_else(|| old.to_owned());
        out.extend([before, OPEN, name, " -->\n", part.as_str(), CLOSE]);
        rest = after;
    }
    out.push_str(rest);
    out
}

fn part(name: &str) -> Option<String> {
    match name {
        "profiles" => Some(profiles()),
        "categories" => Some(categories()),
        "functions" => Some(functions()),
        "volatile" => Some(volatile()),
        "settings" => Some(setting_lists()),
        "catalog" => Some(catalog_reads()),
        "reasons" => Some(reasons()),
        "detections" => Some(detections()),
        "risk" => Some(contributions()),
        "limits" => Some(bounds()),
        _ => None,
    }
}

fn detections() -> String {
    let rows = Switch::ALL.iter().map(|switch| {
        let default = if switch.default() { "on" } else { "off" };
        format!("`{}` | {default} | {}", switch.name(), switch.meaning())
    });
    let mut text = table("switch | default | denies", rows);
    text.push_str("Names that the guard knows, as parts of a column's name: ");
    text.push_str(&names(PII_NAMES.iter().copied()));
    text.push_str(".\n\n");
    text
}

fn table(head: &str, rows: impl Iterator<Item = String>) -> String {
    let columns = head.split('|').count();
    let mut text = format!("\n| {head} |\n|{}\n", " --- |".repeat(columns));
    for row in rows {
        text.extend(["| ", row.as_str(), " |\n"]);
    }
    text.push('\n');
    text
}

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if quoted.is_empty() { "–".to_owned() } else { quoted.join(", ") }
}

fn profiles() -> String {
    table(
        "profile | permits | WHERE required | built-in functions | unknown statements",
        BUILT_IN.iter().filter_map(|name| {
            let profile = Profile::built_in(name)?;
            let permits = match profile.allowed {
                Some(allowed) => {
                    format!("only {}", names(allowed.iter().map(model::Operation::name)))
                }
                None if profile.blocked.is_empty() => "everything".to_owned(),
                None => {
                    format!("all but {}", names(profile.blocked.iter().map(model::Operation::name)))
                }
            };
            let guarded = if profile.guards == Guards::BOTH { "DELETE, UPDATE" } else { "–" };
            let unknown = if profile.allow_unknown { "permitted" } else { "not permitted" };
            let functions =
                if profile.steady { "no [volatile](#volatile-functions) ones" } else { "–" };
            Some(format!("`{name}` | {permits} | {guarded} | {functions} | {unknown}"))
        }),
    )
}

fn categories() -> String {
    table(
        "category | operations",
        CATEGORIES.iter().map(|(name, category)| {
            let operations = OperationSet::of_category(*category);
            format!("`{name}` | {}", names(operations.iter().map(model::Operation::name)))
        }),
    )
}

fn functions() -> String {
    table(
        "they reach | functions | instead",
        shipped::GROUPS.iter().map(|group| {
            format!(
                "{} | {} | {}",
                group.why,
                names(group.functions.iter().copied()),
                group.instead
            )
        }),
    )
}

fn volatile() -> String {
    format!("\n{}\n", names(shipped::VOLATILE_NAMES.iter().copied()))
}

fn setting_lists() -> String {
    let mut text = String::from("\nHarmless, whatever the value: ");
    let families: Vec<String> =
        settings::HARMLESS_PREFIXES.iter().map(|prefix| format!("{prefix}*")).collect();
    let all = settings::HARMLESS.iter().copied().chain(families.iter().map(String::as_str));
    text.push_str(&names(all));
    text.push_str(".\n");
    text.push_str(&table(
        "harmless for some values | which",
        settings::CHECKED.iter().map(|(name, values)| format!("`{name}` | {values}")),
    ));
    text
}

fn catalog_reads() -> String {
    let qualified = |schema: &str, list: &[&str]| -> Vec<String> {
        list.iter().map(|name| format!("{schema}.{name}")).collect()
    };
    let mut all = qualified("pg_catalog", catalog::PG_CATALOG);
    all.extend(qualified("information_schema", catalog::INFORMATION_SCHEMA));
    format!("\n{}.\n\n", names(all.iter().map(String::as_str)))
}

fn reasons() -> String {
    table(
        "code | meaning | category | bucket | what to do",
        ReasonCode::ALL.iter().map(|code| {
            let reason = Reason::of(*code);
            format!(
                "`{code}` | {} | `{}` | {} | {}",
                code.meaning(),
                reason.category(),
                code.bucket().as_str(),
                code.suggestion()
            )
        }),
    )
}

fn contributions() -> String {
    table(
        "contribution | weight",
        risk::CONTRIBUTIONS.iter().map(|(name, weight, _)| format!("`{name}` | {weight}")),
    )
}

fn bounds() -> String {
    let rows = [
        ("bytes of a document", limits::MAX_DOCUMENT_BYTES),
        ("nesting of a document", limits::MAX_DOCUMENT_DEPTH),
        ("values of a document", limits::MAX_DOCUMENT_NODES),
        ("findings about a document", limits::MAX_DIAGNOSTICS),
        ("links of an `extends` chain", limits::MAX_PROFILE_DEPTH),
        ("reasons of a decision", limits::MAX_REASONS),
        ("characters of a name in a reason", limits::MAX_SHOWN_NAME),
        ("names in a suggestion", limits::MAX_SUGGESTED),
    ];
    table("limit | value", rows.iter().map(|(what, value)| format!("{what} | {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../docs/reference/policy.md");

    #[test]
    fn the_reference_page_is_fresh() {
        for name in [
            "profiles",
            "categories",
            "functions",
            "volatile",
            "settings",
            "catalog",
            "reasons",
            "detections",
            "risk",
            "limits",
        ] {
            assert!(PAGE.contains(&format!("<!-- generated: {name} -->\n")), "{name} is missing");
        }
        let fresh = render(PAGE);
        assert!(fresh == PAGE, "docs/reference/policy.md is stale; it should be:\n{fresh}");
    }

    #[test]
    fn what_is_not_generated_stays() {
        let page = "a <!-- generated: nothing -->\nx<!-- end generated --> b <!-- generated: ";
        assert_eq!(render(page), page);
    }
}
