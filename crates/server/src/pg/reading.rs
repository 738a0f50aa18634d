//! How the server reads this session's text: search path, client encoding, string literals.
//!
//! Invariant `one_reader`: what is not certain is unknown, never assumed. A change is added when
//! its statement is cleared and never taken back, because a rollback could take it back on the
//! server: the session may have any of the paths it ever had.

use std::collections::VecDeque;
use std::sync::Arc;

use model::{Fact, SettingUse, SettingValue, SqlFacts, TransactionStep};
use pgwire::{Completed, Status};
use sql::{Extent, Step};

use super::ours::Ours;
use policy::Policy;

use crate::catalog::live::{Live, Loaded};
use crate::catalog::open::Open;
use crate::limits::{MAX_OWN_GENERATIONS, MAX_SEARCH_PATHS};

/// What analysis is told about the session.
#[derive(Debug)]
pub(crate) struct Reading {
    user: String,
    paths: Vec<Vec<String>>,
    paths_known: bool,
    /// Who says where temporary relations stand on the first path.
    end: End,
    encoding: sql::Encoding,
    conforming: bool,
    catalog: Seen,
    /// Of the policy in force.
    tenant_column: Option<Box<str>>,
    /// Of the policy in force, too: what they stand for without a catalog, if a rule asks.
    bare_names: Option<sql::BareNames>,
    server: Server,
    defined: Defined,
    /// Relations that nobody else sees.
    ours: Ours,
    uncommitted: Uncommitted,
    /// While others have to be kept from what is not committed.
    open: Option<Open>,
    epoch: u64,
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

/// What the server says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    /// Nothing yet.
    Untold,
    /// Of this major version.
    Major(u16),
    /// Now one thing, now another, or nothing that can be read.
    Unknown,
}

/// What the session has defined; without a catalog nobody knows more of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defined {
    Nothing,
    Something,
}

/// Who says where temporary relations stand on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client, or PostgreSQL's own rule.
    Given,
    /// The door has put them last.
    Pinned,
}

/// Definitions of the open transaction that others will see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Uncommitted {
    /// There are some.
    any: bool,
    /// Some are not followed: nothing is known from the catalog.
    unfollowed: bool,
    /// Those that are followed, as the catalog counts them: what is loaded need not have them.
    generations: Vec<u64>,
    /// The last message with one.
    ticket: u64,
}

impl Uncommitted {
    const fn define(&mut self, ticket: u64) {
        self.any = true;
        self.ticket = ticket;
    }
}

impl Reading {
    /// A session of `user` that starts with this search path (`None`: unknown).
    pub(crate) fn new(user: &str, path: Option<&[String]>) -> Self {
        let mut reading = Self {
            user: user.to_owned(),
            paths: Vec::new(),
            paths_known: path.is_some(),
            end: End::Given,
            encoding: sql::Encoding::Utf8,
            conforming: true,
            catalog: Seen::Off,
            tenant_column: None,
            bare_names: None,
            server: Server::Untold,
            defined: Defined::Nothing,
            ours: Ours::default(),
            uncommitted: Uncommitted::default(),
            open: None,
            epoch: 0,
        };
        if let Some(path) = path {
            reading.add_path(path);
        }
        reading
    }

    /// The same, where the door has put `pg_temp` at the end of the path.
    pub(crate) fn pinned(self) -> Self {
        Self { end: End::Pinned, ..self }
    }

    /// Whether temporary relations come last because the door says so.
    pub(crate) fn is_pinned(&self) -> bool {
        self.end == End::Pinned && self.paths_known && self.paths.len() == 1
    }

    /// Changes whenever anything in [`Reading::context`] does, and is never again what it was: facts found before
    /// may be others now.
    pub(crate) const fn epoch(&self) -> u64 {
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
                Seen::Off => match self.bare_names {
                    None => sql::Known::Nothing,
                    Some(_) if self.defined == Defined::Something => {
                        sql::Known::BuiltIn(sql::BareNames::Redefined)
                    }
                    Some(bare) => sql::Known::BuiltIn(bare),
                },
                _ if self.uncommitted.unfollowed => sql::Known::Stale,
                Seen::Stale => sql::Known::Stale,
                // A catalog of another version is not of this server.
                Seen::Loaded(loaded) if Some(loaded.catalog.major()) != self.server_major() => {
                    sql::Known::Stale
                }
                Seen::Loaded(loaded) => sql::Known::Catalog(&loaded.catalog),
            },
            timeline: Some(self.ours.timeline()),
            role: Some(&self.user),
            tenant_column: self.tenant_column.as_deref(),
            server_major: self.server_major(),
        }
    }

    /// The same behind a statement that changes what names mean, before it is known to what.
    pub(crate) fn context_after(&self, shift: sql::Shift) -> sql::Context<'_> {
        let now = self.context();
        let catalog = match now.catalog {
            sql::Known::Nothing => sql::Known::Nothing,
            sql::Known::BuiltIn(bare) if shift == sql::Shift::Nothing => sql::Known::BuiltIn(bare),
            sql::Known::BuiltIn(_) => sql::Known::BuiltIn(sql::BareNames::Redefined),
            sql::Known::Catalog(_) | sql::Known::Stale => sql::Known::Stale,
        };
        let search_paths = match shift {
            sql::Shift::Nothing | sql::Shift::Existence => now.search_paths,
            sql::Shift::Path => sql::SearchPaths::Unknown,
        };
        sql::Context { catalog, search_paths, ..now }
    }

    /// The server's major version, if it told one.
    pub(crate) const fn server_major(&self) -> Option<u16> {
        match self.server {
            Server::Major(major) => Some(major),
            Server::Untold | Server::Unknown => None,
        }
    }

    /// Whether a message has to wait until it is known what the session has of its own, if an earlier
    /// group than its own still `awaits` answers.
    pub(crate) fn waits(&self, awaits: bool) -> bool {
        self.has_catalog() && self.ours.waits(awaits)
    }

    const fn has_catalog(&self) -> bool {
        !matches!(self.catalog, Seen::Off)
    }

    /// Whether a load would bring what is missing.
    pub(crate) const fn awaits_load(&self) -> bool {
        matches!(self.catalog, Seen::Stale) && !self.uncommitted.unfollowed
    }

    /// Whether there is a catalog by now.
    pub(crate) fn sees_newer(&self, live: &Live) -> bool {
        live.get(&self.uncommitted.generations, self.open.as_ref()).is_some()
    }

    /// The catalog that statements are judged by now, if there is one.
    pub(crate) fn catalog(&self) -> Option<sql::catalog::Catalog> {
        match &self.catalog {
            Seen::Loaded(loaded) if !self.uncommitted.unfollowed => {
                Some(loaded.catalog.seen_by(Some(&self.user), self.ours.timeline()))
            }
            Seen::Off | Seen::Stale | Seen::Loaded(_) => None,
        }
    }

    /// Looks for a newer catalog and for what the session has of its own: before each message that is
    /// judged.
    pub(crate) fn look_up(&mut self, live: Option<&Live>, group: u64) {
        let Some(live) = live else { return };
        if self.ours.look_ahead(group) {
            self.epoch += 1;
        }
        let now = live.get(&self.uncommitted.generations, self.open.as_ref());
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

    /// What the policy of the moment says of columns and names.
    pub(crate) fn follow(&mut self, policy: &Policy) {
        let column = policy.tenant_column();
        if self.tenant_column.as_deref() != column {
            self.tenant_column = column.map(Into::into);
            self.epoch += 1;
        }
        let bare_names = match (policy.rests_on_names(), policy.trusts_bare_names()) {
            (false, _) => None,
            (true, true) => Some(sql::BareNames::BuiltIn),
            (true, false) => Some(sql::BareNames::Any),
        };
        if self.bare_names != bare_names {
            self.bare_names = bare_names;
            self.epoch += 1;
        }
    }

    /// A statement is about to run: whether the catalog has to be loaded for what it defines.
    pub(crate) fn on_definitions(
        &mut self,
        facts: &SqlFacts,
        step: Option<&Step>,
        ticket: u64,
    ) -> bool {
        let extent = match step {
            Some(Step::Made { extent, .. }) => *extent,
            // Others see it before its answer is here.
            Some(Step::Commit) => return self.uncommitted.any,
            Some(
                Step::Rollback
                | Step::Savepoint(_)
                | Step::Release(_)
                | Step::RollbackTo(_)
                | Step::DiscardTemporary
                | Step::DiscardAll,
            ) => return false,
            None if facts.transaction == Some(TransactionStep::CommitPrepared) => {
                self.uncommitted.define(ticket);
                return true;
            }
            None if !facts.may_define() => return false,
            None | Some(Step::Anything) => Extent::Unfollowed,
        };
        match extent {
            Extent::Private => false,
            Extent::Followed => {
                self.uncommitted.define(ticket);
                true
            }
            Extent::Unfollowed => {
                self.uncommitted.define(ticket);
                self.uncommitted.unfollowed = true;
                self.epoch += 1;
                true
            }
        }
    }

    /// Others are kept from what is not committed until it is over.
    pub(crate) fn keep_open(&mut self, open: impl FnOnce() -> Open) {
        self.open.get_or_insert_with(open);
    }

    /// What keeps them, for whoever outlives the session.
    pub(crate) const fn leave_open(&mut self) -> Option<Open> {
        self.open.take()
    }

    /// The last message with a definition that is not committed.
    pub(crate) const fn last_definition(&self) -> u64 {
        self.uncommitted.ticket
    }

    /// A statement is about to run, without a catalog: whether what names mean is known no longer.
    pub(crate) fn on_unseen_definitions(&mut self, facts: &SqlFacts) {
        if self.defined == Defined::Nothing && facts.may_define() {
            self.defined = Defined::Something;
            self.epoch += 1;
        }
    }

    /// The catalog counts a definition of this session.
    pub(crate) fn counted(&mut self, generation: u64) {
        // One that is left out makes the catalog stale until the transaction ends.
        if self.uncommitted.generations.len() < MAX_OWN_GENERATIONS {
            self.uncommitted.generations.push(generation);
        }
    }

    /// A message is on its way, with what its statements do to the session's own relations.
    pub(crate) fn submitted(&mut self, ticket: u64, group: u64, steps: VecDeque<Option<Step>>) {
        if !self.has_catalog() {
            return;
        }
        let before = self.ours.timeline().hides_temporary();
        let follows = self.ours.submitted(ticket, group, steps);
        if !follows {
            self.uncommitted.define(ticket);
            self.uncommitted.unfollowed = true;
        }
        if !follows || self.ours.timeline().hides_temporary() != before {
            self.epoch += 1;
        }
    }

    /// A message that may have made anything is on its way.
    pub(crate) fn distrust(&mut self, ticket: u64) {
        self.ours.distrust(ticket);
        self.epoch += 1;
    }

    /// The server has completed a statement: whether others can see definitions of the session now.
    pub(crate) fn on_completed(&mut self, completed: Completed) -> bool {
        self.ours.completed(completed) == Some(Step::Commit) && self.uncommitted.any
    }

    /// Nothing more comes of a message.
    pub(crate) fn on_settled(&mut self, ticket: u64) {
        self.ours.settled(ticket);
    }

    /// The server has reported an error.
    pub(crate) const fn on_error(&mut self) {
        self.ours.erred();
    }

    /// The server is ready again: whether others can see definitions of the session now. If the last definition is
    /// still `awaited`, it is of a later transaction.
    pub(crate) fn on_ready(&mut self, status: Status, awaited: bool) -> bool {
        self.ours.ready(status);
        if status != Status::Idle || !self.uncommitted.any {
            return false;
        }
        if awaited {
            return true;
        }
        self.uncommitted = Uncommitted::default();
        self.open = None;
        self.epoch += 1;
        true
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
        // `pg_temp_3` may be the session's own temporary schema, under its other name.
        let aliased = path.iter().any(|schema| schema.starts_with("pg_temp_"));
        if self.paths.len() < MAX_SEARCH_PATHS && !aliased {
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
            b"server_version" => {
                let told = major(value).map_or(Server::Unknown, Server::Major);
                let now = match self.server {
                    Server::Untold => told,
                    before if before == told => before,
                    Server::Major(_) | Server::Unknown => Server::Unknown,
                };
                if self.server != now {
                    self.server = now;
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

/// The major version in `18.4`, `15.20 (Debian …)` or `19devel`.
fn major(version: &[u8]) -> Option<u16> {
    let digits = version.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(version.get(..digits)?).ok()?.parse().ok()
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
mod epochs;

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
    fn a_server_says_once_which_version_it_is() {
        assert_eq!(major(b"15.20 (Debian 15.20-1.pgdg120+1)"), Some(15));
        assert_eq!(major(b"19devel"), Some(19));
        assert_eq!(major(b"9.6.24"), Some(9));
        assert_eq!((major(b""), major(b"x"), major(b"99999999")), (None, None, None));
        let mut reading = Reading::new("alice", None);
        assert_eq!(reading.server_major(), None);
        reading.on_parameter_status(b"server_version", b"15.20");
        reading.on_parameter_status(b"server_version", b"15.21");
        assert_eq!(reading.server_major(), Some(15));
        reading.on_parameter_status(b"server_version", b"16.1");
        assert_eq!(reading.server_major(), None);
        reading.on_parameter_status(b"server_version", b"15.20");
        assert_eq!(reading.server_major(), None);
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
