//! The registry: every setting of the proxy is declared here once, and flags, environment
//! variables, the configuration file, `config show` and the reference pages all derive from it.
//!
//! One name everywhere: the key `ledger_dir` is the flag `--ledger-dir` and the variable
//! `PORTCULLIS_LEDGER_DIR`. What is *not* here: what a value means (`super::resolved`), and
//! policy, which is not configuration.

/// What is known about a setting before anybody gives it a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// Key in the configuration file.
    pub(crate) name: &'static str,
    /// Flag, without the dashes.
    pub(crate) flag: &'static str,
    /// Other spellings of the flag.
    pub(crate) flag_aliases: &'static [&'static str],
    /// Environment variables; the first is ours, the others come with the agents' older set-ups.
    pub(crate) variables: &'static [&'static str],
    /// What a value looks like.
    pub(crate) value: &'static str,
    /// The value if nobody gives one.
    pub(crate) default: &'static str,
    /// One sentence.
    pub(crate) help: &'static str,
}

macro_rules! settings {
    ($($variant:ident {
        $name:literal, $flag:literal $(| $alias:literal)*, [$($variable:literal),+],
        $value:literal = $default:literal, $help:literal
    })*) => {
        /// Names a setting.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Key { $($variant,)* }

        impl Key {
            /// Every setting, in the order in which they are shown.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// What is known about it.
            pub(crate) const fn setting(self) -> Setting {
                match self {
                    $(Self::$variant => Setting {
                        name: $name,
                        flag: $flag,
                        flag_aliases: &[$($alias),*],
                        variables: &[$($variable),+],
                        value: $value,
                        default: $default,
                        help: $help,
                    },)*
                }
            }
        }
    };
}

settings! {
    Listen {
        "listen", "listen", ["PORTCULLIS_LISTEN"],
        "ADDR[,ADDR]" = "127.0.0.1:5433",
        "Addresses where agents connect; `:5433` is every IPv4 interface"
    }
    Upstream {
        "upstream", "upstream", ["PORTCULLIS_UPSTREAM"],
        "HOST[:PORT]" = "localhost:5432",
        "The PostgreSQL server behind the door"
    }
    Policies {
        "policies", "policies" | "policy", ["PORTCULLIS_POLICIES", "POLICY_FILE"],
        "FILE" = "./policies.yaml",
        "The policy document"
    }
    Mode {
        "mode", "mode", ["PORTCULLIS_MODE", "POLICY_ENFORCEMENT"],
        "enforce|monitor" = "enforce",
        "`enforce` refuses what the policy denies; `monitor` forwards it and records the denial"
    }
    LedgerDir {
        "ledger_dir", "ledger-dir", ["PORTCULLIS_LEDGER_DIR"],
        "DIR" = "./ledger",
        "Where records are written"
    }
    SecretFile {
        "key_file", "key-file", ["PORTCULLIS_KEY_FILE"],
        "FILE" = "./portcullis.key",
        "Secret that authenticates the ledger's chain; made at the first start if it is missing"
    }
    Promise {
        "promise", "promise", ["PORTCULLIS_PROMISE"],
        "strict|group|relaxed" = "group",
        "How durable a record is before its statement is forwarded"
    }
    Payload {
        "payload", "payload", ["PORTCULLIS_PAYLOAD"],
        "full|redacted|digest" = "redacted",
        "How much of a statement's text a record keeps"
    }
    SegmentSize {
        "segment_size", "segment-size", ["PORTCULLIS_SEGMENT_SIZE"],
        "SIZE" = "64MiB",
        "Size at which the ledger starts a new file"
    }
    Admin {
        "admin", "admin", ["PORTCULLIS_ADMIN"],
        "ADDR|off" = "127.0.0.1:9090",
        "Where health and metrics are served"
    }
    MaxSessions {
        "max_sessions", "max-sessions", ["PORTCULLIS_MAX_SESSIONS"],
        "N" = "1000",
        "How many agents may be connected at once"
    }
    HandshakeTimeout {
        "handshake_timeout", "handshake-timeout", ["PORTCULLIS_HANDSHAKE_TIMEOUT"],
        "DURATION" = "60s",
        "How long a connection may take to log in"
    }
    DrainTimeout {
        "drain_timeout", "drain-timeout", ["PORTCULLIS_DRAIN_TIMEOUT"],
        "DURATION" = "10s",
        "How long open transactions may go on after a stop signal"
    }
    SearchPath {
        "search_path", "search-path", ["PORTCULLIS_SEARCH_PATH"],
        "SCHEMAS" = "\"$user\", public",
        "The search_path of sessions that name none when they start"
    }
    CatalogDsn {
        "catalog_dsn", "catalog-dsn", ["PORTCULLIS_CATALOG_DSN"],
        "DSN|env:NAME|file:PATH|off" = "off",
        "How to read what exists in the database; rules on columns and functions need it"
    }
    CatalogMaxAge {
        "catalog_max_age", "catalog-max-age", ["PORTCULLIS_CATALOG_MAX_AGE"],
        "DURATION" = "5m",
        "Age beyond which nothing is known from the catalog"
    }
    CatalogPoll {
        "catalog_poll", "catalog-poll", ["PORTCULLIS_CATALOG_POLL"],
        "DURATION" = "30s",
        "How often the catalog is read anew; after a definition passed the door it is read at once"
    }
    CatalogMode {
        "catalog_mode", "catalog-mode", ["PORTCULLIS_CATALOG_MODE"],
        "polled|strict" = "polled",
        "`strict` asks the server before each statement whether its catalogs have changed; it costs a round trip"
    }
    View {
        "view", "view", ["PORTCULLIS_VIEW"],
        "on|off" = "on",
        "Whether each decision is shown as a line on standard output"
    }
    LogFormat {
        "log_format", "log-format", ["PORTCULLIS_LOG_FORMAT"],
        "text|json" = "text",
        "Form of the diagnostics on standard error"
    }
    LogLevel {
        "log_level", "log-level", ["PORTCULLIS_LOG_LEVEL"],
        "error|warn|info|debug|trace" = "info",
        "How much is said on standard error"
    }
}

impl Key {
    /// The setting of that name in a configuration file.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|key| key.setting().name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_everywhere() {
        for key in Key::ALL {
            let setting = key.setting();
            assert_eq!(setting.flag, setting.name.replace('_', "-"));
            let variable = format!("PORTCULLIS_{}", setting.name.to_uppercase());
            assert_eq!(setting.variables.first(), Some(&variable.as_str()));
            assert_eq!(Key::parse(setting.name), Some(*key));
        }
    }
}
