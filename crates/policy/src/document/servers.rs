//! What a policy says of the server: versions that it accepts, and what bare names stand for.

use model::SERVER_MAJORS;

use super::read::{Entries, choice, get, words};
use super::report::Report;

/// Servers that are accepted beside those whose statements can be judged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Servers {
    majors: Vec<u16>,
    /// One that does not tell its version may be of any.
    any: bool,
}

impl Servers {
    pub(crate) const fn is_empty(&self) -> bool {
        self.majors.is_empty() && !self.any
    }

    /// Whether statements for a server of this major version, if it told one, may be judged.
    pub(crate) fn accept(&self, major: Option<u16>) -> bool {
        let listed = |major| SERVER_MAJORS.contains(&major) || self.majors.contains(&major);
        self.any || major.is_some_and(listed)
    }
}

/// `accept_server_versions`.
pub(super) fn read(top: &Entries, report: &mut Report<'_>) -> Servers {
    let mut servers = Servers::default();
    let Some((_, node)) = get(top, "accept_server_versions") else { return servers };
    for (at, text) in words(node, "`accept_server_versions`", report) {
        match text.parse() {
            _ if text == "any" => servers.any = true,
            Ok(major) => servers.majors.push(major),
            Err(_no_number) => {
                let help = "expected a major version, such as 13, or `any`".to_owned();
                report.error(at, format!("`{text}` is no version"), Some(help));
            }
        }
    }
    servers
}

/// `bare_names`.
pub(super) fn bare_names(top: &Entries, report: &mut Report<'_>) -> bool {
    let chosen = get(top, "bare_names")
        .and_then(|(_, node)| choice(node, "`bare_names`", &["unknown", "built_in"], report));
    chosen == Some("built_in")
}
