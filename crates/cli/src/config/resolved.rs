//! What the configuration means: parsed, checked, complete. All problems are collected.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::layers::{Given, Layer, Problem};
use super::setting::Key;
use super::value::{
    self, CatalogMode, Expected, LogFormat, LogLevel, Mode, Payload, Promise, SecretRef, Switch,
};

/// The proxy's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where agents connect.
    pub(crate) listen: Vec<SocketAddr>,
    /// `host:port` of the server.
    pub(crate) upstream: String,
    /// The policy document.
    pub(crate) policies: PathBuf,
    /// What happens to a denied statement.
    pub(crate) mode: Mode,
    /// What is recorded, and how.
    pub(crate) ledger: LedgerSettings,
    /// Health and metrics.
    pub(crate) admin: Option<SocketAddr>,
    /// Agents connected at once.
    pub(crate) max_sessions: usize,
    /// For logging in.
    pub(crate) handshake_timeout: Duration,
    /// For stopping.
    pub(crate) drain_timeout: Duration,
    /// `$user` unexpanded.
    pub(crate) search_path: Vec<String>,
    /// Where the catalog comes from, and how old it may be.
    pub(crate) catalog: CatalogSettings,
    /// What is shown, and how.
    pub(crate) display: DisplaySettings,
}

/// Where the catalog comes from, and how old it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CatalogSettings {
    /// A connection string, or where one is.
    pub(crate) dsn: Option<SecretRef>,
    /// Beyond this nothing is known.
    pub(crate) max_age: Duration,
    /// Between two loads.
    pub(crate) poll: Duration,
    /// Whether that is enough.
    pub(crate) mode: CatalogMode,
}

/// What is recorded, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LedgerSettings {
    /// The folder.
    pub(crate) dir: PathBuf,
    /// The chain's secret.
    pub(crate) key_file: PathBuf,
    /// How durable.
    pub(crate) promise: Promise,
    /// How much text.
    pub(crate) payload: Payload,
    /// Bytes in a file.
    pub(crate) segment_size: u64,
}

/// What is shown, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DisplaySettings {
    /// A line for each decision.
    pub(crate) view: Switch,
    /// Form of the diagnostics.
    pub(crate) log_format: LogFormat,
    /// Their volume.
    pub(crate) log_level: LogLevel,
}

/// Reads values and collects what is wrong with them.
struct Reader<'a> {
    layer: &'a Layer,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn read<T>(&mut self, key: Key, parse: impl Fn(&str) -> Result<T, Expected>) -> Option<T> {
        let Some(given) = self.layer.get(&key) else {
            let place = key.setting().name.to_owned();
            self.problems.push(Problem { place, message: "it has no value".to_owned() });
            return None;
        };
        match parse(&given.text) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.problems.push(Problem::with(key, given, expected));
                None
            }
        }
    }

    fn ledger(&mut self) -> Option<LedgerSettings> {
        let dir = self.read(Key::LedgerDir, path);
        let key_file = self.read(Key::SecretFile, path);
        let promise = self.read(Key::Promise, Promise::parse);
        let payload = self.read(Key::Payload, Payload::parse);
        let segment_size = self.read(Key::SegmentSize, value::segment_size);
        Some(LedgerSettings {
            dir: dir?,
            key_file: key_file?,
            promise: promise?,
            payload: payload?,
            segment_size: segment_size?,
        })
    }

    fn catalog(&mut self) -> Option<CatalogSettings> {
        let dsn = self.read(Key::CatalogDsn, value::secret_or_off);
        let max_age = self.read(Key::CatalogMaxAge, value::waiting_time);
        let poll = self.read(Key::CatalogPoll, value::waiting_time);
        let mode = self.read(Key::CatalogMode, CatalogMode::parse);
        Some(CatalogSettings { dsn: dsn?, max_age: max_age?, poll: poll?, mode: mode? })
    }

    fn display(&mut self) -> Option<DisplaySettings> {
        let view = self.read(Key::View, Switch::parse);
        let log_format = self.read(Key::LogFormat, LogFormat::parse);
        let log_level = self.read(Key::LogLevel, LogLevel::parse);
        Some(DisplaySettings { view: view?, log_format: log_format?, log_level: log_level? })
    }

    fn config(&mut self) -> Option<Config> {
        let listen = self.read(Key::Listen, value::listen);
        let upstream = self.read(Key::Upstream, value::upstream);
        let policies = self.read(Key::Policies, path);
        let mode = self.read(Key::Mode, Mode::parse);
        let ledger = self.ledger();
        let admin = self.read(Key::Admin, value::admin);
        let max_sessions = self.read(Key::MaxSessions, value::sessions);
        let handshake_timeout = self.read(Key::HandshakeTimeout, value::waiting_time);
        let drain_timeout = self.read(Key::DrainTimeout, value::duration);
        let search_path = self.read(Key::SearchPath, value::search_path);
        let catalog = self.catalog();
        let display = self.display();
        Some(Config {
            listen: listen?,
            upstream: upstream?,
            policies: policies?,
            mode: mode?,
            ledger: ledger?,
            admin: admin?,
            max_sessions: max_sessions?,
            handshake_timeout: handshake_timeout?,
            drain_timeout: drain_timeout?,
            search_path: search_path?,
            catalog: catalog?,
            display: display?,
        })
    }
}

/// Gives every value its meaning.
pub(crate) fn resolve(layer: &Layer) -> Result<Config, Vec<Problem>> {
    let mut reader = Reader { layer, problems: Vec::new() };
    let config = reader.config();
    if let Some(config) = &config {
        reader.problems.extend(contradictions(config, layer));
    }
    match config {
        Some(config) if reader.problems.is_empty() => Ok(config),
        Some(_) | None => Err(reader.problems),
    }
}

/// Values that are sound alone and wrong together.
fn contradictions(config: &Config, layer: &Layer) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut complain = |key: Key, message: &str| {
        let given = layer.get(&key).cloned();
        problems.extend(given.map(|given: Given| Problem::with(key, &given, message)));
    };
    let own_port = config.listen.iter().any(|address| {
        ["localhost", "127.0.0.1", "[::1]"]
            .iter()
            .any(|host| config.upstream == format!("{host}:{}", address.port()))
    });
    if own_port {
        complain(Key::Upstream, "expected PostgreSQL's own port: this is where the door listens");
    }
    if config.admin.is_some_and(|admin| admin.port() != 0 && config.listen.contains(&admin)) {
        complain(Key::Admin, "expected an address other than the one of `listen`");
    }
    if config.catalog.dsn.is_some() && config.catalog.poll > config.catalog.max_age {
        complain(
            Key::CatalogPoll,
            "expected less than `catalog_max_age`: it would be too old in between",
        );
    }
    problems
}

/// Sound, but worth a word before traffic flows.
pub(crate) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    for address in config.listen.iter().filter(|address| !address.ip().is_loopback()) {
        warnings.push(format!(
            "listening on {address}: other machines can connect, without encryption, and an \
             agent is whoever it says it is in application_name; keep the network private"
        ));
    }
    if let Some(admin) = config.admin.filter(|address| !address.ip().is_loopback()) {
        warnings.push(format!("health and metrics on {admin} are open to other machines"));
    }
    if config.catalog.dsn.as_ref().is_some_and(SecretRef::shows_password) {
        warnings.push(
            "catalog_dsn holds a password: keep it in a variable or a file, and say `env:NAME` or \
             `file:PATH`"
                .to_owned(),
        );
    }
    if config.ledger.promise == Promise::Relaxed {
        warnings.push(
            "promise `relaxed`: if this process dies, statements may have run without a record"
                .to_owned(),
        );
    }
    warnings
}

fn path(text: &str) -> Result<PathBuf, Expected> {
    if text.is_empty() || text.contains('\0') {
        return Err("expected the name of a file");
    }
    Ok(PathBuf::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers::{Origin, stack};

    fn with(pairs: &[(Key, &str)]) -> Layer {
        let flags = pairs
            .iter()
            .map(|(key, text)| (*key, Given { text: (*text).to_owned(), origin: Origin::Flag }))
            .collect();
        stack(flags, Layer::new(), Layer::new())
    }

    #[test]
    fn the_defaults_are_sound_and_safe() {
        let config = resolve(&with(&[])).unwrap();
        assert_eq!(config.mode, Mode::Enforce);
        assert!(config.listen.iter().all(|address| address.ip().is_loopback()));
        assert_eq!(config.ledger.payload, Payload::Redacted);
        assert_eq!(config.search_path, ["$user", "public"]);
        assert!(warnings(&config).is_empty());
    }

    #[test]
    fn every_bad_value_is_reported() {
        let bad = [(Key::Listen, "x"), (Key::Mode, "off"), (Key::DrainTimeout, "10")];
        let problems = resolve(&with(&bad)).unwrap_err();
        assert_eq!(problems.len(), 3);
        let shown = problems[1].to_string();
        assert!(shown.starts_with("--mode: error: expected `enforce`"), "{shown}");
        assert!(shown.ends_with("not `off`"), "{shown}");
    }

    #[test]
    fn a_door_that_leads_to_itself_is_an_error() {
        assert!(resolve(&with(&[(Key::Upstream, "localhost:5433")])).is_err());
        assert!(resolve(&with(&[(Key::Admin, "127.0.0.1:5433")])).is_err());
        assert!(resolve(&with(&[(Key::Upstream, "db:5433")])).is_ok());
    }

    #[test]
    fn what_is_open_or_off_is_said() {
        let open = [(Key::Listen, ":5433"), (Key::Mode, "monitor"), (Key::Promise, "relaxed")];
        assert_eq!(warnings(&resolve(&with(&open)).unwrap()).len(), 2);
    }
}
