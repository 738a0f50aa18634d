//! The connection that a catalog is read over, kept from one load to the next: a server process that
//! has read its catalogs before needs half the time.
//!
//! Invariants: between loads it is idle, in no transaction and without a lock; one on which anything
//! has failed, or been given up, is not used again.

use tokio::time::timeout;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Config, Connection, NoTls, Socket};

use super::{LoadError, queries};
use crate::limits::CATALOG_REUSE;

/// A connection that is driven while something is asked over it, and only then.
pub(crate) struct Kept {
    client: Client,
    connection: Connection<Socket, NoTlsStream>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept")
    }
}

impl Kept {
    /// One with a transaction begun: the one that is kept, unless it does not answer.
    pub(super) async fn begin(kept: Option<Self>, config: &Config) -> Result<Self, LoadError> {
        if let Some(mut kept) = kept {
            let begun = timeout(CATALOG_REUSE, kept.ask(queries::BEGIN)).await;
            if matches!(begun, Ok(Ok(()))) {
                return Ok(kept);
            }
            // The server has hung up, was restarted, or is gone without a word.
            tracing::debug!("the catalog's connection is made anew");
        }
        let (client, connection) = config.connect(NoTls).await?;
        let mut new = Self { client, connection };
        new.ask(queries::BEGIN).await?;
        Ok(new)
    }

    /// Ends the transaction, of which nothing is to be kept.
    pub(super) async fn end(&mut self) -> Result<(), LoadError> {
        self.ask("ROLLBACK").await
    }

    async fn ask(&mut self, statements: &str) -> Result<(), LoadError> {
        self.run(async |client| Ok(client.batch_execute(statements).await?)).await
    }

    /// Drives the connection until the questions are answered.
    pub(super) async fn run<T>(
        &mut self,
        questions: impl AsyncFnOnce(&Client) -> Result<T, LoadError>,
    ) -> Result<T, LoadError> {
        let Self { client, connection } = self;
        // All lists are asked for at once: too much for the stack.
        let mut questions = Box::pin(questions(client));
        tokio::select! {
            biased;
            answer = &mut questions => answer,
            ended = connection => match ended {
                Ok(()) => Err(LoadError::Closed),
                Err(error) => Err(LoadError::Server(error)),
            },
        }
    }
}
