//! The only writer to the upstream socket of a session that is logged in.
//!
//! Invariant `nothing_unjudged_leaves`: every method takes a type that only the gate or the
//! protocol machine can make.

use std::io;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use crate::buffer::OutBuffer;
use crate::gate::Cleared;

/// Bytes on their way to the database.
#[derive(Debug, Default)]
pub(crate) struct ToUpstream {
    out: OutBuffer,
}

impl ToUpstream {
    /// A recorded batch: cleared and observed messages, stand-ins and passive frames, in order.
    pub(crate) fn forward(&mut self, cleared: &Cleared) {
        self.out.push(cleared.bytes());
    }

    /// More of a long frame whose beginning was cleared.
    pub(crate) fn stream(&mut self, rest: &mut Rest, bytes: &[u8]) -> usize {
        let count = rest.left.min(bytes.len());
        if let Some(piece) = bytes.get(..count) {
            self.out.push(piece);
        }
        rest.left -= count;
        count
    }

    pub(crate) fn has_room(&self) -> bool {
        self.out.has_room()
    }

    /// How many bytes the upstream has yet to take.
    pub(crate) fn waiting(&self) -> usize {
        self.out.waiting()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    pub(crate) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut TcpStream,
    ) -> Poll<io::Result<bool>> {
        self.out.poll_flush(cx, stream)
    }

    pub(crate) fn shrink(&mut self) {
        self.out.shrink();
    }
}

/// The part of a cleared frame that is still to come.
#[derive(Debug)]
pub(crate) struct Rest {
    left: usize,
}

impl Rest {
    /// What is missing of a frame whose beginning a batch carries.
    pub(in crate::pg) fn of(whole: usize, sent: usize) -> Self {
        Self { left: whole.saturating_sub(sent) }
    }

    pub(crate) const fn is_done(&self) -> bool {
        self.left == 0
    }
}
