//! The enforcement points: every door turns traffic into requests, asks the gate, and forwards
//! exactly what was judged, or refuses.
//!
//! What is *not* here: parsing of SQL, evaluation of policies, the ledger's format. This is the only
//! crate with sockets on the traffic path.

mod admin;
mod buffer;
pub mod catalog;
mod gate;
mod limits;
mod pg;
mod proved;
mod reload;
mod tasks;
mod telemetry;
mod view;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use audit::{Ledger, LedgerConfig, LedgerError, Promise};
pub use policy::Mode;
use tokio::signal::unix::{SignalKind, signal};

use crate::catalog::CatalogSettings;
use crate::catalog::live::Live;
use crate::gate::Gate;
#[doc(hidden)]
pub use crate::gate::{Asked, Cleared, InForce};
use crate::pg::Cancels;
#[doc(hidden)]
pub use crate::pg::{Cache, Sight};
#[doc(hidden)]
pub use crate::proved::Proved;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
pub use crate::view::Colour;
use crate::view::View;

/// Everything that the doors need to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the PostgreSQL door listens. Port 0 takes a free one, which the log names.
    pub listen: Vec<SocketAddr>,
    /// The database, `host:port`.
    pub upstream: String,
    /// The policy document.
    pub policy_path: PathBuf,
    /// Whether denials are enforced.
    pub mode: Mode,
    /// The ledger.
    pub ledger: LedgerConfig,
    /// How durable a record is before its statement is forwarded.
    pub promise: Promise,
    /// Where health and metrics are served, if anywhere.
    pub admin: Option<SocketAddr>,
    /// Sessions at the same time, those that log in included.
    pub max_sessions: usize,
    /// From the first byte to the end of authentication.
    pub handshake_timeout: Duration,
    /// How long open transactions may go on after SIGTERM.
    pub drain_timeout: Duration,
    /// The search path that sessions start with when they name none.
    pub search_path: Vec<String>,
    /// Where the catalog comes from, if anywhere.
    pub catalog: Option<CatalogSettings>,
    /// The one-line view of decisions on standard output, if wanted.
    pub view: Option<Colour>,
}

/// Why the doors did not open, or closed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The policy cannot be read.
    #[error("policy file `{}` cannot be read", .path.display())]
    PolicyUnreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The policy has errors.
    #[error("the policy has errors, so no door is opened:\n{0}")]
    Policy(policy::Diagnostics),
    /// The ledger cannot be opened.
    #[error("the ledger cannot be opened")]
    Ledger(#[from] LedgerError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} (`--{flag}` names another address)")]
    Listen {
        /// The flag that says where.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The runtime or its signals failed.
    #[error("cannot start")]
    Runtime(#[from] std::io::Error),
}

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) gate: Gate,
    pub(crate) cancels: Cancels,
    pub(crate) catalog: Option<Live>,
    pub(crate) tasks: Tasks,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) view: Option<View>,
}

/// Opens the doors and serves until SIGTERM or SIGINT.
///
/// # Errors
/// Whatever keeps a door from opening.
pub fn run(settings: Settings) -> Result<(), Error> {
    let loaded = reload::load(&settings.policy_path)?;
    for warning in &loaded.warnings {
        tracing::warn!(%warning, "policy warning");
    }
    let ledger = Ledger::open(settings.ledger.clone())?;
    if let Some(torn) = &ledger.recovery().torn {
        tracing::warn!(segment = %torn.segment.display(), kept = %torn.kept.display(),
            bytes = torn.bytes, "a torn record from a crash was moved aside");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(serve(settings, loaded.policy, ledger));
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

async fn serve(settings: Settings, policy: policy::Policy, ledger: Ledger) -> Result<(), Error> {
    let metrics = Arc::new(Metrics::default());
    let in_force = InForce::new(policy);
    tracing::info!(policy = %in_force.digest, mode = settings.mode.as_str(), "policy in force");
    let gate = Gate::new(in_force, ledger, settings.promise, settings.mode, Arc::clone(&metrics));
    let view = settings.view.map(View::start);
    let shared = Arc::new(Shared {
        gate,
        cancels: Cancels::default(),
        catalog: settings.catalog.clone().map(Live::new),
        tasks: Tasks::default(),
        metrics,
        view,
        settings,
    });
    if shared.catalog.is_none() && shared.gate.in_force().policy.rests_on_names() {
        tracing::warn!(
            "no catalog (--catalog-dsn): what views, functions and triggers of users do is not known, and rules on \
             columns and functions deny what they cannot decide"
        );
    }
    if shared.settings.mode == Mode::Observe {
        tracing::warn!("observe mode: denied statements are recorded and forwarded");
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let hangup = signal(SignalKind::hangup())?;
    shared.tasks.spawn(catalog::live::keep(Arc::clone(&shared)));
    shared.tasks.spawn(catalog::epoch::watch(Arc::clone(&shared)));
    shared.tasks.spawn(reload::watch(Arc::clone(&shared), hangup));
    if let Some(address) = shared.settings.admin {
        admin::serve(&shared, address).await?;
    }
    for address in shared.settings.listen.clone() {
        pg::serve(&shared, address).await?;
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("draining");
    shared.tasks.drain();
    shared.tasks.finish(shared.settings.drain_timeout + Duration::from_secs(2)).await;
    tracing::info!("stopped");
    Ok(())
}
