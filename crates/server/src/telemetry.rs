//! Metrics: their names, and where they are counted. One registry for `/metrics`.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use model::Stage;
use policy::{Decision, Outcome};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    allowed: [Counter; STAGES],
    denied: [Counter; STAGES],
    held: [Counter; STAGES],
    observed: Counter,
    pub(crate) sessions: Gauge,
    pub(crate) sessions_total: Counter,
    pub(crate) logins_refused: Counter,
    pub(crate) violations: Counter,
    pub(crate) policy_reloads: Counter,
    pub(crate) policy_failures: Counter,
    pub(crate) analyses_kept: Counter,
    pub(crate) analyses_made: Counter,
    pub(crate) catalog_loads: Counter,
    pub(crate) catalog_failures: Counter,
    pub(crate) catalog_age: Gauge,
    pub(crate) ledger_records: Gauge<u64, AtomicU64>,
    pub(crate) ledger_fsyncs: Gauge<u64, AtomicU64>,
    pub(crate) ledger_bytes: Gauge<u64, AtomicU64>,
}

type Labels = [(&'static str, &'static str); 3];

const STAGES: usize = 6;

const fn slot(stage: Stage) -> usize {
    match stage {
        Stage::Query => 0,
        Stage::Parse => 1,
        Stage::Bind => 2,
        Stage::Execute => 3,
        Stage::FunctionCall => 4,
        Stage::Startup => 5,
    }
}

const STAGE_NAMES: [&str; STAGES] =
    ["query", "parse", "bind", "execute", "function_call", "startup"];

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Mutex::default(),
            allowed: Default::default(),
            denied: Default::default(),
            held: Default::default(),
            observed: Counter::default(),
            sessions: Gauge::default(),
            sessions_total: Counter::default(),
            logins_refused: Counter::default(),
            violations: Counter::default(),
            policy_reloads: Counter::default(),
            policy_failures: Counter::default(),
            analyses_kept: Counter::default(),
            analyses_made: Counter::default(),
            catalog_loads: Counter::default(),
            catalog_failures: Counter::default(),
            catalog_age: Gauge::default(),
            ledger_records: Gauge::default(),
            ledger_fsyncs: Gauge::default(),
            ledger_bytes: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = self.registry.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let root = registry.sub_registry_with_prefix("portcullis");
        let decisions = Family::<Labels, Counter>::default();
        root.register("decisions", "Decisions made", decisions.clone());
        let outcomes =
            [("allow", &mut self.allowed), ("deny", &mut self.denied), ("hold", &mut self.held)];
        for (decision, counters) in outcomes {
            for (stage, counter) in STAGE_NAMES.iter().zip(counters) {
                let labels = [("decision", decision), ("stage", *stage), ("door", "pg")];
                *counter = decisions.get_or_create(&labels).clone();
            }
        }
        root.register("observed", "Denied and forwarded in observe mode", self.observed.clone());
        root.register("sessions", "Open sessions", self.sessions.clone());
        root.register("sessions_opened", "Sessions opened", self.sessions_total.clone());
        root.register("logins_refused", "Connections refused", self.logins_refused.clone());
        root.register(
            "violations",
            "Sessions cut for a protocol violation",
            self.violations.clone(),
        );
        root.register("policy_reloads", "Policies installed", self.policy_reloads.clone());
        root.register("policy_failures", "Policies not installed", self.policy_failures.clone());
        let (hits, misses) = (self.analyses_kept.clone(), self.analyses_made.clone());
        root.register("analysis_cache_hits", "Texts judged by an analysis of before", hits);
        root.register("analysis_cache_misses", "Texts analysed", misses);
        root.register("catalog_loads", "Catalogs loaded", self.catalog_loads.clone());
        root.register("catalog_failures", "Catalogs not loaded", self.catalog_failures.clone());
        root.register("catalog_age_seconds", "Age of the catalog", self.catalog_age.clone());
        root.register("ledger_records", "Records in this process", self.ledger_records.clone());
        root.register("ledger_fsyncs", "fsync calls", self.ledger_fsyncs.clone());
        root.register("ledger_bytes", "Bytes of records", self.ledger_bytes.clone());
    }

    /// Counts a decision.
    pub(crate) fn decided(&self, stage: Stage, decision: &Decision, forwarded: bool) {
        let counters = match decision.outcome() {
            Outcome::Allow => &self.allowed,
            Outcome::Hold(_) => &self.held,
            Outcome::Deny => &self.denied,
        };
        if let Some(counter) = counters.get(slot(stage)) {
            counter.inc();
        }
        if forwarded && !decision.is_allowed() {
            self.observed.inc();
        }
    }

    /// The OpenMetrics text.
    pub(crate) fn render(&self) -> Result<String, std::fmt::Error> {
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}
