//! The one error of this crate: a sentence for whoever reads a failed test.

use std::{error, fmt, io};

/// What went wrong, with what was being done.
#[derive(Debug)]
pub struct Trouble {
    doing: String,
    cause: Option<io::Error>,
}

/// Result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Trouble>;

impl Trouble {
    /// Something that is wrong by itself.
    pub fn new(doing: impl Into<String>) -> Self {
        Self { doing: doing.into(), cause: None }
    }

    /// An input or output error, with what was being done.
    pub fn io(doing: impl Into<String>, cause: io::Error) -> Self {
        Self { doing: doing.into(), cause: Some(cause) }
    }

    /// Whether waiting for a peer took too long.
    pub fn is_timeout(&self) -> bool {
        self.cause.as_ref().is_some_and(|cause| {
            matches!(cause.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
        })
    }

    /// Whether the peer closed the connection.
    pub fn is_closed(&self) -> bool {
        self.cause.as_ref().is_some_and(|cause| {
            matches!(
                cause.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
            )
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some(cause) => write!(f, "{}: {cause}", self.doing),
            None => f.write_str(&self.doing),
        }
    }
}

impl error::Error for Trouble {}
