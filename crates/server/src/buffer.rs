//! Bytes between a socket and the protocol: what was read and not yet used, what is to be written.
//!
//! Neither buffer waits: a caller polls, and looks at what there is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::limits::{BURST_BYTES, OUT_HIGH_WATER_BYTES, READ_BYTES};

/// Bytes read from a peer.
#[derive(Debug, Default)]
pub(crate) struct InBuffer {
    data: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read took all the room there was: the peer has much to say.
    hungry: bool,
}

impl InBuffer {
    /// What is there.
    pub(crate) fn filled(&self) -> &[u8] {
        self.data.get(self.start..self.end).unwrap_or_default()
    }

    /// Forgets the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Whether `poll_fill` has room to read into without growing beyond `wanted`.
    fn make_room(&mut self, wanted: usize) -> bool {
        let held = self.end - self.start;
        let capacity = wanted.max(if self.hungry { BURST_BYTES } else { READ_BYTES });
        if held >= capacity {
            return false;
        }
        if self.end == self.data.len() || self.data.len() < capacity {
            self.data.copy_within(self.start..self.end, 0);
            self.start = 0;
            self.end = held;
        }
        if self.data.len() < capacity {
            self.data.resize(capacity, 0);
        }
        true
    }

    /// Reads once. `Ready(Ok(0))` is the end of the stream; a full buffer is `Pending` without a
    /// wake-up, because the caller has work to do first.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut TcpStream,
        wanted: usize,
    ) -> Poll<io::Result<usize>> {
        if !self.make_room(wanted) {
            return Poll::Pending;
        }
        let Some(free) = self.data.get_mut(self.end..) else { return Poll::Pending };
        let mut buffer = ReadBuf::new(free);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        let count = buffer.filled().len();
        self.hungry = buffer.remaining() == 0;
        self.end += count;
        Poll::Ready(Ok(count))
    }

    /// Gives memory back while nothing is held.
    pub(crate) fn shrink(&mut self) {
        if self.start == self.end && self.data.len() > READ_BYTES {
            *self = Self::default();
        }
    }
}

/// Bytes to be written to a peer.
#[derive(Debug, Default)]
pub(crate) struct OutBuffer {
    data: Vec<u8>,
    start: usize,
}

impl OutBuffer {
    /// Appends.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
    }

    /// For writers that encode in place.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.data
    }

    /// Whether the peer reads fast enough for more.
    pub(crate) fn has_room(&self) -> bool {
        self.data.len() - self.start < OUT_HIGH_WATER_BYTES
    }

    /// How much is not written yet.
    pub(crate) const fn waiting(&self) -> usize {
        self.data.len() - self.start
    }

    /// Whether everything is written.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.data.len()
    }

    /// Writes as much as the peer takes. `Ready(Ok(true))` if something was written.
    pub(crate) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut TcpStream,
    ) -> Poll<io::Result<bool>> {
        let mut wrote = false;
        while let Some(rest) = self.data.get(self.start..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut *stream).poll_write(cx, rest)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(count) => {
                    self.start += count;
                    wrote = true;
                }
                Poll::Pending if wrote => return Poll::Ready(Ok(true)),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.data.clear();
        self.start = 0;
        Poll::Ready(Ok(wrote))
    }

    /// Gives memory back while nothing is held.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() && self.data.capacity() > READ_BYTES {
            self.data = Vec::new();
        }
    }
}
