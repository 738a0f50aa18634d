//! What the text of a value means. Each parser is total, and its error says what would be right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::limits;

/// What is wrong with a value, as the end of "expected …".
pub(crate) type Expected = &'static str;

/// `10s`, `500ms`, `2m`, `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, Expected> {
    const EXPECTED: Expected =
        "expected a duration with its unit, such as `500ms`, `10s`, `2m` or `1h`";
    let (number, unit) = split_unit(text).ok_or(EXPECTED)?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60 * 1000),
        "h" => number.checked_mul(60 * 60 * 1000),
        _ => None,
    };
    let duration = Duration::from_millis(milliseconds.ok_or(EXPECTED)?);
    if duration > limits::MAX_DURATION {
        return Err("expected at most `24h`");
    }
    Ok(duration)
}

/// A duration that is not zero.
pub(crate) fn waiting_time(text: &str) -> Result<Duration, Expected> {
    match duration(text)? {
        Duration::ZERO => Err("expected more than zero"),
        time => Ok(time),
    }
}

/// `64MiB`, `512KiB`, `1GiB`, `4096B`.
pub(crate) fn bytes(text: &str) -> Result<u64, Expected> {
    const EXPECTED: Expected = "expected a size with its unit, such as `512KiB` or `64MiB`";
    let (number, unit) = split_unit(text).ok_or(EXPECTED)?;
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(EXPECTED),
    };
    number.checked_mul(factor).ok_or(EXPECTED)
}

/// The size of a ledger file.
pub(crate) fn segment_size(text: &str) -> Result<u64, Expected> {
    let size = bytes(text)?;
    if (limits::MIN_SEGMENT..=limits::MAX_SEGMENT).contains(&size) {
        Ok(size)
    } else {
        Err("expected a size from `64KiB` to `4GiB`")
    }
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit))
}

/// A number of sessions.
pub(crate) fn sessions(text: &str) -> Result<usize, Expected> {
    match text.parse() {
        Ok(number) if (1..=limits::MAX_SESSIONS).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err("expected a number from 1 to 100000"),
    }
}

/// Addresses to listen on: `127.0.0.1:5433`, `[::1]:5433`, `localhost:5433`, `:5433`, or several.
pub(crate) fn listen(text: &str) -> Result<Vec<SocketAddr>, Expected> {
    text.split(',').map(|part| address(part.trim())).collect()
}

/// One address to listen on.
pub(crate) fn address(text: &str) -> Result<SocketAddr, Expected> {
    const EXPECTED: Expected =
        "expected an address and a port, such as `127.0.0.1:5433`, `[::1]:5433` or `:5433`";
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').ok_or(EXPECTED)?;
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(EXPECTED);
    }
    let port: u16 = port.parse().or(Err(EXPECTED))?;
    match host {
        "" | "*" => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)),
        "localhost" => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        _ => Err(EXPECTED),
    }
}

/// The admin address, if there is to be one.
pub(crate) fn admin(text: &str) -> Result<Option<SocketAddr>, Expected> {
    match text {
        "off" => Ok(None),
        _ => match address(text) {
            Ok(address) => Ok(Some(address)),
            Err(_) => Err("expected an address and a port, such as `127.0.0.1:9090`, or `off`"),
        },
    }
}

/// A secret, or where it is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum SecretRef {
    /// It is written here.
    Literal(String),
    /// In this environment variable.
    Variable(String),
    /// In this file.
    File(std::path::PathBuf),
}

impl SecretRef {
    /// Whether it is a connection string that has a password in it.
    pub(crate) fn shows_password(&self) -> bool {
        match self {
            Self::Literal(dsn) => dsn
                .parse::<tokio_postgres::Config>()
                .is_ok_and(|connection| connection.get_password().is_some()),
            Self::Variable(_) | Self::File(_) => false,
        }
    }
}

impl std::fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("***"),
            Self::Variable(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// A secret, `env:NAME`, `file:PATH` or `off`.
pub(crate) fn secret_or_off(text: &str) -> Result<Option<SecretRef>, Expected> {
    match (text, text.strip_prefix("env:"), text.strip_prefix("file:")) {
        ("off", _, _) => Ok(None),
        ("", _, _) | (_, Some(""), _) | (_, _, Some("")) => {
            Err("expected a connection string, `env:NAME`, `file:PATH` or `off`")
        }
        (_, Some(name), _) => Ok(Some(SecretRef::Variable(name.to_owned()))),
        (_, _, Some(path)) => Ok(Some(SecretRef::File(path.into()))),
        _ => Ok(Some(SecretRef::Literal(text.to_owned()))),
    }
}

/// `host:port` of the server behind the door; the port may be left out.
pub(crate) fn upstream(text: &str) -> Result<String, Expected> {
    const EXPECTED: Expected = "expected a host and a port, such as `localhost:5432`";
    if text.contains("://") {
        return Err("expected a host and a port, such as `localhost:5432`: no URL, since agents \
                    log in with their own user name and password");
    }
    if text.starts_with('/') {
        return Err("expected a host and a port, such as `localhost:5432`: a socket directory \
                    cannot be used yet");
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.port() == 0 { Err(EXPECTED) } else { Ok(address.to_string()) };
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().or(Err(EXPECTED))?;
        return Ok(format!("[{address}]:{}", limits::POSTGRES_PORT));
    }
    let (host, port) = match text.rsplit_once(':') {
        None => (text, limits::POSTGRES_PORT),
        Some((host, port)) => match port.parse() {
            Ok(port) if port != 0 => (host, port),
            Ok(_) | Err(_) => return Err(EXPECTED),
        },
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if host.is_empty() || !host.bytes().all(plain) {
        return Err(EXPECTED);
    }
    Ok(format!("{host}:{port}"))
}

/// Schemas, written as PostgreSQL writes a `search_path`.
pub(crate) fn search_path(text: &str) -> Result<Vec<String>, Expected> {
    const EXPECTED: Expected =
        "expected schema names as in PostgreSQL, such as `\"$user\", public`";
    match sql::parse_search_path(text) {
        Some(schemas) if !schemas.is_empty() => Ok(schemas),
        Some(_) | None => Err(EXPECTED),
    }
}

/// One of a few words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $expected:literal, { $($(#[$word_doc:meta])* $variant:ident $canonical:literal $(| $alias:literal)*;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$word_doc])* $variant,)+ }

        impl $name {
            /// Reads it; case does not matter.
            pub(crate) fn parse(text: &str) -> Result<Self, Expected> {
                match text.to_ascii_lowercase().as_str() {
                    $($canonical $(| $alias)* => Ok(Self::$variant),)+
                    _ => Err($expected),
                }
            }
        }
    };
}

words! {
    /// What happens to a denied statement.
    Mode, "expected `enforce` (or `block`), or `monitor` (or `watch`, `observe`, `log`)", {
        /// It is refused.
        Enforce "enforce" | "block";
        /// It is forwarded, and recorded as denied.
        Monitor "monitor" | "watch" | "observe" | "log" | "dry-run";
    }
}

words! {
    /// How durable a record is before its statement is forwarded.
    Promise, "expected `strict`, `group` or `relaxed`", {
        /// On disk.
        Strict "strict";
        /// Handed to the kernel; on disk soon.
        Group "group";
        /// In memory.
        Relaxed "relaxed";
    }
}

words! {
    /// When the server is asked whether its catalogs have changed.
    CatalogMode, "expected `polled` or `strict`", {
        /// From time to time, and after definitions passed the door.
        Polled "polled";
        /// Before each statement, too.
        Strict "strict";
    }
}

words! {
    /// How much of a statement's text a record keeps.
    Payload, "expected `full`, `redacted` or `digest`", {
        /// All of it.
        Full "full";
        /// Without its constants.
        Redacted "redacted";
        /// A hash.
        Digest "digest";
    }
}

words! {
    /// Form of the diagnostics.
    LogFormat, "expected `text` or `json`", {
        /// For people.
        Text "text";
        /// For machines.
        Json "json";
    }
}

words! {
    /// How much is said.
    LogLevel, "expected `error`, `warn`, `info`, `debug` or `trace`", {
        /// Somebody must act.
        Error "error";
        /// Degraded.
        Warn "warn" | "warning";
        /// Lifecycle.
        Info "info";
        /// Each decision.
        Debug "debug";
        /// Frames.
        Trace "trace";
    }
}

words! {
    /// Whether something happens.
    Switch, "expected `on` or `off`", {
        /// It does.
        On "on" | "true" | "yes";
        /// It does not.
        Off "off" | "false" | "no";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_need_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        for wrong in ["", "10", "s", "-1s", "1.5s", "10 s", "10S", "99999999999999999999s", "25h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(waiting_time("0s").is_err());
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        for wrong in ["64", "64MB", "MiB", "18446744073709551615KiB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        assert!(segment_size("1B").is_err());
    }

    #[test]
    fn a_port_alone_is_every_interface() {
        assert_eq!(address(":5433"), Ok("0.0.0.0:5433".parse().unwrap()));
        assert_eq!(address("localhost:1"), Ok("127.0.0.1:1".parse().unwrap()));
        let both = listen("127.0.0.1:5433, [::1]:5433").unwrap();
        assert_eq!(both.len(), 2);
        for wrong in ["", "5433", "host:5433", ":", ":x", ":+1", ":65536", "1.2.3.4", ":1,"] {
            assert!(listen(wrong).is_err(), "{wrong}");
        }
        assert_eq!(admin("off"), Ok(None));
    }

    #[test]
    fn upstream_is_a_host_and_a_port() {
        assert_eq!(upstream("db").as_deref(), Ok("db:5432"));
        assert_eq!(upstream("db.example:1").as_deref(), Ok("db.example:1"));
        assert_eq!(upstream("[::1]").as_deref(), Ok("[::1]:5432"));
        assert_eq!(upstream("[::1]:7").as_deref(), Ok("[::1]:7"));
        for wrong in ["", ":1", "db:", "db:0", "postgres://db", "/tmp", "a b:1", "a@b:1", "::1:2"] {
            assert!(upstream(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn modes_have_the_names_that_people_know() {
        for word in ["enforce", "block", "ENFORCE"] {
            assert_eq!(Mode::parse(word), Ok(Mode::Enforce));
        }
        for word in ["monitor", "watch", "observe", "log"] {
            assert_eq!(Mode::parse(word), Ok(Mode::Monitor));
        }
        for word in ["", "off", "monitoring", "enforce "] {
            assert!(Mode::parse(word).is_err(), "{word}");
        }
    }
}
