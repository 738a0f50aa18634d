//! How the server reads this session's text: search path, client encoding, string literals.
//!
//! Invariant `one_reader`: what is not certain is unknown, never assumed. A change is added when
//! its statement is cleared and never taken back, because a rollback could take it back on the
//! server: the session may have any of the paths it ever had.

use std::sync::Arc;

use model::{Fact, SettingUse, SettingValue, SqlFacts};

use crate::catalog::live::{Live, Loaded};
use crate::limits::MAX_SEARCH_PATHS;

/// What analysis is told about the session.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    user: String,
    paths: Vec<Vec<String>>,
    paths_known: bool,
    encoding: sql::Encoding,
    conforming: bool,
    catalog: Seen,
    /// Of the policy in force.
    tenant_column: Option<Box<str>>,
    /// It may have temporary relations, or others that nobody else sees yet.
    own_relations: OwnRelations,
    epoch: u32,
}

/// The catalog as this session has seen it last.
#[derive(Debug, Clone)]
enum Seen {
    /// None is configured.
    Off,
    /// None that can be relied on.
    Stale,
    /// This one.
    Loaded(Arc<Loaded>),
}

/// What only this session sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct OwnRelations {
    /// Temporary ones may exist.
    temporary: bool,
    /// Definitions of its open transaction.
    uncommitted: bool,
}

impl Reading {
    /// A session of `user` that starts with this search path (`None`: unknown).
    pub(crate) fn new(user: &str, path: Option<&[String]>) -> Self {
        let mut reading = Self {
            user: user.to_owned(),
            paths: Vec::new(),
            paths_known: path.is_some(),
            encoding: sql::Encoding::Utf8,
            conforming: true,
            catalog: Seen::Off,
            tenant_column: None,
            own_relations: OwnRelations::default(),
            epoch: 0,
        };
        if let Some(path) = path {
            reading.add_path(path);
        }
        reading
    }

    /// Changes whenever something is added: facts found before may be incomplete.
    pub(crate) const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// What [`sql::analyze`] needs.
    pub(crate) fn context(&self) -> sql::Context<'_> {
        sql::Context {
            search_paths: if self.paths_known {
                sql::SearchPaths::Possible(&self.paths)
            } else {
                sql::SearchPaths::Unknown
            },
            encoding: self.encoding,
            standard_conforming_strings: self.conforming,
            catalog: match &self.catalog {
                Seen::Off => sql::Known::Nothing,
                _ if self.hides_relations() => sql::Known::Stale,
                Seen::Stale => sql::Known::Stale,
                Seen::Loaded(loaded) => sql::Known::Catalog(&loaded.catalog),
            },
            tenant_column: self.tenant_column.as_deref(),
        }
    }

    /// Looks for a newer catalog: before each message that is judged.
    pub(crate) fn look_up(&mut self, live: Option<&Live>) {
        let Some(live) = live else { return };
        let now = live.get();
        let same = match (&self.catalog, &now) {
            (Seen::Loaded(before), Some(now)) => Arc::ptr_eq(before, now),
            (Seen::Stale, None) => true,
            (Seen::Off | Seen::Stale | Seen::Loaded(_), _) => false,
        };
        if !same {
            self.catalog = now.map_or(Seen::Stale, Seen::Loaded);
            self.epoch += 1;
        }
    }

    /// The tenant's column under the policy of the moment.
    pub(crate) fn isolate(&mut self, column: Option<&str>) {
        if self.tenant_column.as_deref() != column {
            self.tenant_column = column.map(Into::into);
            self.epoch += 1;
        }
    }

    /// Whether a name may mean something that the catalog cannot have. Temporary relations come
    /// first unless the path says where.
    fn hides_relations(&self) -> bool {
        let last = |path: &Vec<String>| path.last().is_some_and(|schema| schema == "pg_temp");
        let OwnRelations { temporary, uncommitted } = self.own_relations;
        uncommitted || (temporary && !self.paths.iter().all(last))
    }

    /// A statement is about to run: whether it may define something.
    pub(crate) fn on_definitions(&mut self, facts: &SqlFacts) -> bool {
        let code = facts.runs_volatile_code();
        let defines = facts.may_define();
        if defines {
            let before = self.own_relations;
            self.own_relations =
                OwnRelations { temporary: before.temporary || code, uncommitted: true };
            self.epoch += 1;
        }
        defines
    }

    /// A temporary relation is made.
    pub(crate) fn on_temporary(&mut self) {
        self.own_relations.temporary = true;
        self.epoch += 1;
    }

    /// The session is outside a transaction: whether there were definitions in the last one.
    pub(crate) fn on_idle(&mut self) -> bool {
        let had = self.own_relations.uncommitted;
        if had {
            self.own_relations.uncommitted = false;
            self.epoch += 1;
        }
        had
    }

    fn add_path(&mut self, path: &[String]) {
        let expand = |schema: &String| {
            if schema == "$user" { self.user.clone() } else { schema.clone() }
        };
        let path: Vec<String> = path.iter().map(expand).collect();
        if self.paths.contains(&path) {
            return;
        }
        self.epoch += 1;
        if self.paths.len() < MAX_SEARCH_PATHS {
            self.paths.push(path);
        } else {
            self.paths_known = false;
        }
    }

    /// The path may be anything from now on.
    pub(super) fn lose_path(&mut self) {
        if self.paths_known {
            self.paths_known = false;
            self.epoch += 1;
        }
    }

    /// A statement with this effect is about to run.
    pub(crate) fn on_search_path(&mut self, path: &sql::NewSearchPath) {
        match path {
            sql::NewSearchPath::Schemas(schemas) => self.add_path(schemas),
            // The path that the session started with is among the possible ones.
            sql::NewSearchPath::Reset => {}
            sql::NewSearchPath::Unknown => self.lose_path(),
        }
    }

    /// A statement that changes these settings is about to run.
    pub(crate) fn on_settings(&mut self, settings: &Fact<Vec<SettingUse>>) {
        let Fact::Known(settings) = settings else { return self.lose_everything() };
        for setting in settings {
            match setting.name.as_str() {
                "*" => self.lose_everything(),
                "client_encoding" if !is_utf8(&setting.value) => {
                    self.encoding = sql::Encoding::Unknown;
                    self.epoch += 1;
                }
                "standard_conforming_strings" if !is_on(&setting.value) => {
                    self.conforming = false;
                    self.epoch += 1;
                }
                "role" | "session_authorization" => self.lose_path(),
                _ => {}
            }
        }
    }

    fn lose_everything(&mut self) {
        self.lose_path();
        self.encoding = sql::Encoding::Unknown;
        self.conforming = false;
        self.epoch += 1;
    }

    /// The server reports a setting. Whether the session may go on with it.
    pub(crate) fn on_parameter_status(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"client_encoding" => {
                let encoding = encoding(value);
                if self.encoding != sql::Encoding::Unknown && self.encoding != encoding {
                    self.encoding = encoding;
                    self.epoch += 1;
                }
            }
            b"standard_conforming_strings" if value != b"on" => {
                self.conforming = false;
                self.epoch += 1;
            }
            _ => {}
        }
    }
}

fn is_utf8(value: &SettingValue) -> bool {
    match value {
        SettingValue::Constants(values) => {
            values.iter().all(|value| encoding(value.as_bytes()) == sql::Encoding::Utf8)
        }
        SettingValue::Default | SettingValue::Unknown => false,
    }
}

fn is_on(value: &SettingValue) -> bool {
    match value {
        SettingValue::Constants(values) => {
            values.iter().all(|value| matches!(value.as_str(), "on" | "true" | "yes" | "1"))
        }
        SettingValue::Default | SettingValue::Unknown => false,
    }
}

/// How text in a client encoding is read. Encodings whose bytes may hide ASCII ones are unknown.
fn encoding(name: &[u8]) -> sql::Encoding {
    let plain: Vec<u8> = name
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric())
        .map(u8::to_ascii_uppercase)
        .collect();
    match plain.as_slice() {
        // SQL_ASCII is not converted: the server's lexer sees the same bytes.
        b"UTF8" | b"UNICODE" | b"SQLASCII" => sql::Encoding::Utf8,
        [b'L', b'A', b'T', b'I', b'N', ..]
        | [b'I', b'S', b'O', b'8', b'8', b'5', b'9', ..]
        | [b'W', b'I', b'N', b'1', b'2', b'5', ..]
        | [b'K', b'O', b'I', b'8', ..] => sql::Encoding::AsciiOnly,
        _ => sql::Encoding::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_added_and_never_taken_back() {
        let mut reading = Reading::new("alice", Some(&["$user".to_owned(), "public".to_owned()]));
        let before = reading.epoch();
        reading.on_search_path(&sql::NewSearchPath::Schemas(vec!["evil".to_owned()]));
        assert!(reading.epoch() > before);
        assert_eq!(
            reading.paths,
            [vec!["alice".to_owned(), "public".to_owned()], vec!["evil".to_owned()]]
        );
        reading.on_search_path(&sql::NewSearchPath::Reset);
        assert_eq!(reading.paths.len(), 2);
        reading.on_search_path(&sql::NewSearchPath::Unknown);
        assert!(!reading.paths_known);
    }

    #[test]
    fn encodings_that_hide_ascii_are_unknown() {
        assert_eq!(encoding(b"utf-8"), sql::Encoding::Utf8);
        assert_eq!(encoding(b"LATIN1"), sql::Encoding::AsciiOnly);
        assert_eq!(encoding(b"WIN1252"), sql::Encoding::AsciiOnly);
        for name in [
            &b"SJIS"[..],
            b"BIG5",
            b"GBK",
            b"GB18030",
            b"UHC",
            b"JOHAB",
            b"SHIFT_JIS_2004",
            b"WIN949",
        ] {
            assert_eq!(encoding(name), sql::Encoding::Unknown);
        }
    }
}
