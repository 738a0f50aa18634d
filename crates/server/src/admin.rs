//! `/healthz`, `/readyz` and `/metrics`, on a port of their own.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::catalog::live::Live;
use crate::{Error, Shared};

/// Serves until shutdown.
///
/// # Errors
/// The address cannot be listened on.
pub(crate) async fn serve(shared: &Arc<Shared>, address: SocketAddr) -> Result<(), Error> {
    let listener = TcpListener::bind(address).await.map_err(|source| Error::Listen {
        flag: "admin",
        address,
        source,
    })?;
    let address = listener.local_addr()?;
    tracing::info!(door = "admin", %address, "listening");
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::clone(shared));
    let drained = shared.tasks.drained();
    shared.tasks.spawn(async move {
        let served = axum::serve(listener, routes).with_graceful_shutdown(drained).await;
        if let Err(error) = served {
            tracing::error!(%error, "the admin port failed");
        }
    });
    Ok(())
}

async fn ready(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let ledger = shared.gate.ledger().health();
    let healthy = ledger == audit::Health::Sound;
    let upstream = tokio::time::timeout(
        std::time::Duration::from_secs(2),
        tokio::net::TcpStream::connect(&shared.settings.upstream),
    )
    .await;
    let reachable = matches!(upstream, Ok(Ok(_)));
    let catalog = shared.catalog.as_ref();
    // Nothing that rests on a catalog is allowed without one.
    let current = catalog.is_none_or(Live::is_current);
    let age = match catalog {
        None => String::new(),
        Some(live) => {
            let age = live.age().map_or("null".to_owned(), |age| age.as_secs().to_string());
            format!(",\"catalog\":{current},\"catalog_age_seconds\":{age}")
        }
    };
    let ready = healthy && reachable && current;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let policy = shared.gate.in_force().digest.clone();
    let body = format!(
        "{{\"ready\":{ready},\"ledger\":{healthy},\"upstream\":{reachable}{age},\"policy\":\"{policy}\"}}\n"
    );
    (status, [(header::CONTENT_TYPE, "application/json")], body)
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let stats = shared.gate.ledger().stats();
    shared.metrics.ledger_records.set(stats.records);
    shared.metrics.ledger_fsyncs.set(stats.fsyncs);
    shared.metrics.ledger_bytes.set(stats.bytes);
    if let Some(age) = shared.catalog.as_ref().and_then(Live::age) {
        shared.metrics.catalog_age.set(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match shared.metrics.render() {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, kind)], text),
        Err(_format) => {
            let text = "metrics cannot be rendered\n".to_owned();
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], text)
        }
    }
}
