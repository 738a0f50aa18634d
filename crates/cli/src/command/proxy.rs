//! `proxy` (or `serve`): resolves the configuration and opens the doors.
//!
//! Nothing is forwarded without a policy that checks: it is loaded here first, so that what is
//! wrong with it is shown with the lines that are wrong.

use anyhow::Context as _;
use audit::LedgerConfig;
use server::catalog::{CatalogMode, CatalogSettings};
use server::{Colour, Mode, Settings};

use super::{Answer, Surroundings};
use crate::args::ProxyArgs;
use crate::config::layers::Environment;
use crate::config::resolved::{Config, LedgerSettings};
use crate::config::value::SecretRef;
use crate::config::{self, value};
use crate::output::{self, Style};
use crate::{catalog_file, limits, logging, policy_file, reading};

/// Runs until it is told to stop.
pub(crate) fn run(args: ProxyArgs, surroundings: &Surroundings) -> anyhow::Result<Answer> {
    let environment = &surroundings.environment;
    let loaded = config::load(args.settings.0, args.config.as_deref(), environment)?;
    let config = loaded.config;
    if let Err(error) = policy_file::load(&config.policies) {
        output::complain(format_args!(
            "portcullis: no door is opened without a policy: {error:#}\n  help: name it with \
             --policies or POLICY_FILE; `portcullis policy lint` checks it"
        ));
        return Ok(Answer::Incomplete);
    }
    logging::start(config.display.log_format, config.display.log_level);
    if let Some(file) = &loaded.file {
        tracing::info!(file = %file.display(), "configuration file");
    }
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let catalog = catalog(&config.catalog, environment)?;
    server::run(Settings { catalog, ..settings(config, surroundings.style) })?;
    Ok(Answer::Clean)
}

fn settings(config: Config, style: Style) -> Settings {
    let promise = promise(config.ledger.promise);
    Settings {
        listen: config.listen,
        upstream: config.upstream,
        policy_path: config.policies,
        mode: match config.mode {
            value::Mode::Enforce => Mode::Enforce,
            value::Mode::Monitor => Mode::Observe,
        },
        ledger: ledger(config.ledger),
        promise,
        admin: config.admin,
        max_sessions: config.max_sessions,
        handshake_timeout: config.handshake_timeout,
        drain_timeout: config.drain_timeout,
        search_path: config.search_path,
        catalog: None,
        view: match (config.display.view, style) {
            (value::Switch::Off, Style::Plain | Style::Color) => None,
            (value::Switch::On, Style::Plain) => Some(Colour::Plain),
            (value::Switch::On, Style::Color) => Some(Colour::Ansi),
        },
    }
}

/// The catalog's connection, with the secret fetched from where it is.
fn catalog(
    settings: &config::resolved::CatalogSettings,
    environment: &Environment,
) -> anyhow::Result<Option<CatalogSettings>> {
    let Some(secret) = &settings.dsn else { return Ok(None) };
    let dsn = match secret {
        SecretRef::Literal(dsn) => dsn.clone(),
        SecretRef::Variable(name) => environment
            .get(name)
            .map_err(|problem| anyhow::anyhow!("{problem}"))?
            .with_context(|| format!("--catalog-dsn: the variable `{name}` is not set"))?
            .to_owned(),
        SecretRef::File(path) => reading::text_file(path, limits::MAX_SECRET_BYTES)
            .with_context(|| format!("--catalog-dsn: cannot read `{}`", path.display()))?
            .trim()
            .to_owned(),
    };
    let connection = catalog_file::connection(&dsn, environment).context("--catalog-dsn")?;
    let mode = match settings.mode {
        value::CatalogMode::Polled => CatalogMode::Polled,
        value::CatalogMode::Strict => CatalogMode::Strict,
    };
    Ok(Some(CatalogSettings { connection, max_age: settings.max_age, poll: settings.poll, mode }))
}

fn ledger(settings: LedgerSettings) -> LedgerConfig {
    LedgerConfig {
        segment_bytes: settings.segment_size,
        promise: promise(settings.promise),
        payload: match settings.payload {
            value::Payload::Full => audit::Payload::Full,
            value::Payload::Redacted => audit::Payload::Redacted,
            value::Payload::Digest => audit::Payload::Digest,
        },
        ..LedgerConfig::new(settings.dir, settings.key_file)
    }
}

const fn promise(promise: value::Promise) -> audit::Promise {
    match promise {
        value::Promise::Strict => audit::Promise::Strict,
        value::Promise::Group => audit::Promise::Group,
        value::Promise::Relaxed => audit::Promise::Relaxed,
    }
}
