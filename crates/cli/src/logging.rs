//! Diagnostics on standard error. They may be lost; records (the ledger) may not.

use std::io;

use tracing::level_filters::LevelFilter;

use crate::config::value::{LogFormat, LogLevel};

/// Starts writing diagnostics. Does nothing if somebody already did.
pub(crate) fn start(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let builder = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(level)
        .with_target(false)
        .with_ansi(false);
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Err(error) = started {
        crate::output::complain(format_args!("portcullis: diagnostics are off: {error}"));
    }
}
