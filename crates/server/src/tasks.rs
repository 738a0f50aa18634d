//! Tasks that shutdown knows of.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

/// Every task of the process.
#[derive(Debug)]
pub(crate) struct Tasks {
    set: Mutex<JoinSet<()>>,
    drain: watch::Sender<bool>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self { set: Mutex::default(), drain: watch::Sender::new(false) }
    }
}

impl Tasks {
    fn set(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.set.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Starts a task.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.set();
        // Finished ones are collected on the way, so the set stays as large as what runs.
        while set.try_join_next().is_some() {}
        set.spawn(task);
    }

    /// Asks every session to end.
    pub(crate) fn drain(&self) {
        self.drain.send_replace(true);
    }

    /// Resolves when sessions are asked to end.
    pub(crate) fn drained(&self) -> Drain {
        let mut seen = self.drain.subscribe();
        Drain(Box::pin(async move {
            if seen.wait_for(|drain| *drain).await.is_err() {
                std::future::pending::<()>().await;
            }
        }))
    }

    /// Waits for the tasks that run now, at most this long; then ends them.
    pub(crate) async fn finish(&self, patience: Duration) {
        let mut set = std::mem::take(&mut *self.set());
        let all = async { while set.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            set.shutdown().await;
        }
    }
}

/// See [`Tasks::drained`].
pub(crate) struct Drain(Pin<Box<dyn Future<Output = ()> + Send>>);

impl std::fmt::Debug for Drain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Drain")
    }
}

impl Drain {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl Future for Drain {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}
