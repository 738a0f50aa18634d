//! `CancelRequest`: it comes on a connection of its own and names a backend by its key.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::limits::CONNECT_TIMEOUT;

/// A backend's key, as its `BackendKeyData` gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BackendKey {
    /// Process id.
    pub(crate) pid: u32,
    /// Secret, 4 to 256 bytes.
    pub(crate) secret: Vec<u8>,
}

/// The keys of all open sessions. Only their queries can be cancelled through us.
#[derive(Debug, Default)]
pub(crate) struct Cancels {
    keys: Mutex<HashMap<u32, Vec<u8>>>,
}

impl Cancels {
    fn keys(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Vec<u8>>> {
        // The map is never left half-changed, so a panic elsewhere does not spoil it.
        self.keys.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A session is open.
    pub(crate) fn insert(&self, key: &BackendKey) {
        self.keys().insert(key.pid, key.secret.clone());
    }

    /// A session has ended.
    pub(crate) fn remove(&self, key: &BackendKey) {
        let mut keys = self.keys();
        if keys.get(&key.pid).is_some_and(|secret| *secret == key.secret) {
            keys.remove(&key.pid);
        }
    }

    /// Whether a request names an open session; compared in constant time.
    pub(crate) fn knows(&self, key: &BackendKey) -> bool {
        self.keys().get(&key.pid).is_some_and(|secret| equal(secret, &key.secret))
    }
}

fn equal(left: &[u8], right: &[u8]) -> bool {
    let difference =
        left.iter().zip(right).fold(0, |difference, (left, right)| difference | (left ^ right));
    left.len() == right.len() && difference == 0
}

/// Asks the upstream to cancel what a backend is doing. There is no answer to wait for.
///
/// # Errors
/// The connection's.
pub(crate) async fn cancel(upstream: &str, key: &BackendKey) -> std::io::Result<()> {
    let mut packet = Vec::with_capacity(16);
    let length = u32::try_from(12 + key.secret.len()).unwrap_or(16);
    packet.extend_from_slice(&length.to_be_bytes());
    packet.extend_from_slice(&80_877_102_u32.to_be_bytes());
    packet.extend_from_slice(&key.pid.to_be_bytes());
    packet.extend_from_slice(&key.secret);
    let send = async {
        let mut stream = TcpStream::connect(upstream).await?;
        stream.write_all(&packet).await?;
        stream.shutdown().await?;
        // The server closes once it has sent the signal.
        let mut end = [0; 1];
        tokio::io::AsyncReadExt::read(&mut stream, &mut end).await.map(|_end| ())
    };
    match timeout(CONNECT_TIMEOUT, send).await {
        Ok(done) => done,
        Err(_elapsed) => Err(std::io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_key_is_known() {
        let cancels = Cancels::default();
        let key = BackendKey { pid: 7, secret: vec![1, 2, 3, 4] };
        cancels.insert(&key);
        assert!(cancels.knows(&key));
        assert!(!cancels.knows(&BackendKey { pid: 7, secret: vec![1, 2, 3, 5] }));
        assert!(!cancels.knows(&BackendKey { pid: 7, secret: vec![1, 2, 3] }));
        assert!(!cancels.knows(&BackendKey { pid: 8, secret: vec![1, 2, 3, 4] }));
        cancels.remove(&key);
        assert!(!cancels.knows(&key));
    }
}
