//! `strict`: before a statement is judged, the server is asked whether its catalogs have changed.
//!
//! What is here: one connection that asks, for all sessions at once. Invariants: a look that began
//! after a message had come answers for that message, and no earlier one does; while nobody can ask,
//! nothing is known.
//!
//! How: a snapshot of the server's transactions costs one round trip, and as long as it is the same one no
//! transaction has committed that could have changed anything. Only if it has moved are the catalogs'
//! row versions summed up.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use super::live::{Live, Mark};
use super::{LoadError, queries};
use crate::Shared;
use crate::limits::{CATALOG_LOOK, CATALOG_RETRY};

/// Answers looks until shutdown.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let Some(live) = shared.catalog.as_ref().filter(|live| live.is_strict()) else { return };
    let mut drained = shared.tasks.drained();
    loop {
        let ended = tokio::select! {
            () = &mut drained => return,
            ended = watch_once(live) => ended,
        };
        live.go_blind();
        shared.metrics.catalog_failures.inc();
        tracing::error!(error = %ended, "the server cannot be asked for changes: what rests on the catalog is unknown");
        tokio::select! {
            () = &mut drained => return,
            () = answer_blindly(live) => {}
        }
    }
}

/// Nobody waits for a connection that is not there.
async fn answer_blindly(live: &Live) {
    let pause = timeout(CATALOG_RETRY, async {
        loop {
            live.wanted_look().await;
            live.go_blind();
        }
    });
    // It only ever ends by the time.
    drop(pause.await);
}

async fn watch_once(live: &Live) -> LoadError {
    let connected = timeout(CATALOG_LOOK, live.connection().connect(NoTls)).await;
    let (client, connection) = match connected {
        Ok(Ok(both)) => both,
        Ok(Err(error)) => return LoadError::Server(error),
        Err(_elapsed) => return LoadError::Timeout,
    };
    let mut connection = pin!(connection);
    let mut looks = pin!(looks(&client, live));
    tokio::select! {
        biased;
        error = &mut looks => error,
        ended = &mut connection => match ended {
            Ok(()) => LoadError::Closed,
            Err(error) => LoadError::Server(error),
        },
    }
}

/// Looks whenever somebody asks; all who have asked by then are answered at once.
async fn looks(client: &Client, live: &Live) -> LoadError {
    loop {
        let asked = live.asked_so_far();
        match timeout(CATALOG_LOOK, look(client, live)).await {
            Ok(Ok(())) => live.answer(asked),
            Ok(Err(error)) => return error,
            Err(_elapsed) => return LoadError::Timeout,
        }
        live.wanted_look().await;
    }
}

/// One look; what has changed is loaded.
async fn look(client: &Client, live: &Live) -> Result<(), LoadError> {
    // Before the first load there is nothing to compare with: it is on its way.
    let Some(mark) = live.mark() else { return Ok(()) };
    let row = client.query_one(queries::SNAPSHOT, &[]).await?;
    let snapshot: &str = row.try_get(0)?;
    if *mark.snapshot == *snapshot {
        return Ok(());
    }
    let row = client.query_one(queries::MARK, &[]).await?;
    let (snapshot, digest): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    if *mark.digest == *digest {
        live.same_as(&Mark { snapshot, digest });
        return Ok(());
    }
    live.reload().await
}
