//! Accepts connections and gives each a task of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::login::{NoSession, login};
use super::refusal::fatal;
use super::session::{End, Session};
use crate::{Error, Shared};

/// Listens until shutdown.
///
/// # Errors
/// The address cannot be listened on.
pub(crate) async fn serve(shared: &Arc<Shared>, address: SocketAddr) -> Result<(), Error> {
    let listener = TcpListener::bind(address).await.map_err(|source| Error::Listen {
        flag: "listen",
        address,
        source,
    })?;
    let address = listener.local_addr()?;
    tracing::info!(door = "pg", %address, upstream = %shared.settings.upstream, "listening");
    let door = Arc::clone(shared);
    shared.tasks.spawn(accept(door, listener));
    Ok(())
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(shared.settings.max_sessions));
    let mut drained = shared.tasks.drained();
    loop {
        let client = tokio::select! {
            () = &mut drained => return,
            accepted = listener.accept() => match accepted {
                Ok((client, _address)) => client,
                Err(error) => {
                    // Out of file descriptors, usually: it passes when sessions end.
                    tracing::error!(%error, "a connection could not be accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let session = Arc::clone(&shared);
                shared.tasks.spawn(async move {
                    one(session, client).await;
                    drop(place);
                });
            }
            Err(_full) => {
                shared.metrics.logins_refused.inc();
                shared.tasks.spawn(turn_away(client));
            }
        }
    }
}

async fn turn_away(mut client: TcpStream) {
    let mut out = Vec::new();
    let hint = "Portcullis serves as many sessions as max_sessions allows. Try again later.";
    fatal("53300", "too many connections", None, Some(hint), &mut out);
    if let Err(error) = client.write_all(&out).await {
        tracing::debug!(%error, "a connection was turned away");
    }
}

/// A name for a session that no other session of any process has.
fn name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{number:x}", std::process::id())
}

async fn one(shared: Arc<Shared>, client: TcpStream) {
    let session = name();
    if let Err(error) = client.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY is not to be had");
    }
    let logged_in = match Box::pin(login(Arc::clone(&shared), client, session.clone())).await {
        Ok(logged_in) => logged_in,
        Err(NoSession::NotAsked) => return,
        Err(no_session) => {
            shared.metrics.logins_refused.inc();
            tracing::info!(session.id = %session, %no_session, "login refused");
            return;
        }
    };
    shared.metrics.sessions.inc();
    shared.metrics.sessions_total.inc();
    tracing::info!(session.id = %session, principal.id = %logged_in.judge.label(), "session opened");
    let drain = shared.tasks.drained();
    let end = Box::pin(Session::new(Arc::clone(&shared), logged_in, drain).run()).await;
    shared.metrics.sessions.dec();
    match end {
        End::Violation(violation) => {
            shared.metrics.violations.inc();
            tracing::warn!(session.id = %session, %violation, "session cut");
        }
        End::Unrecorded(fault) => {
            tracing::error!(session.id = %session, %fault, "session cut");
        }
        End::Lost(error) => {
            tracing::info!(session.id = %session, %error, "session lost");
        }
        End::Contradicted => {
            tracing::warn!(session.id = %session, "the server read a table that was not judged: session ended");
        }
        End::ClientLeft | End::UpstreamLeft | End::Drained => {
            tracing::info!(session.id = %session, end = ?end, "session closed");
        }
    }
}
