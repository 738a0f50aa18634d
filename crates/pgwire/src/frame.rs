//! Frame headers: one tag byte and a length, checked as the server checks them.
//!
//! Invariant: a tag that this file does not know, or a length that the server would refuse, is a
//! [`Violation`] that names the side. (PostgreSQL source: `SocketBackend` in `postgres.c`.)

use crate::limits::{MAX_LARGE_BYTES, MAX_SMALL_BYTES};

/// Bytes of a frame header: the tag and the length word.
pub const HEADER_BYTES: usize = 5;

/// Which peer did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The agent's side.
    Client,
    /// The database's side.
    Upstream,
}

/// A peer broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{side:?} broke the protocol: {what}")]
pub struct Violation {
    side: Side,
    what: &'static str,
}

impl Violation {
    /// A violation by the client.
    pub const fn client(what: &'static str) -> Self {
        Self { side: Side::Client, what }
    }

    /// A violation by the upstream.
    pub const fn upstream(what: &'static str) -> Self {
        Self { side: Side::Upstream, what }
    }

    /// Who.
    pub const fn side(self) -> Side {
        self.side
    }

    /// What, in the words that a client is told.
    pub const fn what(self) -> &'static str {
        self.what
    }
}

/// A decoded header. `body` is the length of what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<T> {
    /// The kind of message.
    pub tag: T,
    /// Bytes after the header.
    pub body: usize,
}

impl<T> Header<T> {
    /// Bytes of the whole frame.
    pub const fn frame(&self) -> usize {
        HEADER_BYTES + self.body
    }
}

macro_rules! tags {
    ($(#[$doc:meta])* $name:ident { $($variant:ident $byte:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $(#[doc = concat!("`", stringify!($byte), "`")] $variant,)* }

        impl $name {
            const fn from_byte(byte: u8) -> Option<Self> {
                match byte { $($byte => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

tags! {
    /// Messages that a client may send once the session runs.
    ClientTag {
        Bind b'B',
        Close b'C',
        CopyData b'd',
        CopyDone b'c',
        CopyFail b'f',
        Describe b'D',
        Execute b'E',
        Flush b'H',
        FunctionCall b'F',
        Parse b'P',
        Password b'p',
        Query b'Q',
        Sync b'S',
        Terminate b'X',
    }
}

tags! {
    /// Messages that a server may send.
    UpstreamTag {
        Authentication b'R',
        BackendKeyData b'K',
        BindComplete b'2',
        CloseComplete b'3',
        CommandComplete b'C',
        CopyBoth b'W',
        CopyData b'd',
        CopyDone b'c',
        CopyIn b'G',
        CopyOut b'H',
        DataRow b'D',
        EmptyQuery b'I',
        Error b'E',
        FunctionResult b'V',
        NegotiateVersion b'v',
        NoData b'n',
        Notice b'N',
        Notification b'A',
        ParameterDescription b't',
        ParameterStatus b'S',
        ParseComplete b'1',
        PortalSuspended b's',
        Ready b'Z',
        RowDescription b'T',
    }
}

impl ClientTag {
    /// Longest length word that the server accepts for this message.
    const fn limit(self) -> usize {
        match self {
            Self::Query
            | Self::Parse
            | Self::Bind
            | Self::FunctionCall
            | Self::CopyData
            | Self::Password => MAX_LARGE_BYTES,
            Self::Close
            | Self::CopyDone
            | Self::CopyFail
            | Self::Describe
            | Self::Execute
            | Self::Flush
            | Self::Sync
            | Self::Terminate => MAX_SMALL_BYTES,
        }
    }
}

fn raw(bytes: &[u8]) -> Option<(u8, usize)> {
    let (tag, rest) = bytes.split_first()?;
    let word = rest.first_chunk::<4>()?;
    Some((*tag, usize::try_from(u32::from_be_bytes(*word)).unwrap_or(usize::MAX)))
}

/// Reads the header of a client's frame; `None` if it is not complete.
///
/// # Errors
/// An unknown tag, or a length outside what the server accepts for it.
pub fn client_header(bytes: &[u8]) -> Result<Option<Header<ClientTag>>, Violation> {
    let Some((tag, length)) = raw(bytes) else {
        // One unknown byte is enough to know, and the server does not wait for more either.
        return match bytes.first() {
            Some(tag) if ClientTag::from_byte(*tag).is_none() => {
                Err(Violation::client("invalid frontend message type"))
            }
            Some(_) | None => Ok(None),
        };
    };
    let tag =
        ClientTag::from_byte(tag).ok_or(Violation::client("invalid frontend message type"))?;
    if length < 4 || length > tag.limit() {
        return Err(Violation::client("invalid message length"));
    }
    Ok(Some(Header { tag, body: length - 4 }))
}

/// Reads the header of the server's frame; `None` if it is not complete.
///
/// # Errors
/// An unknown tag or an impossible length.
pub fn upstream_header(bytes: &[u8]) -> Result<Option<Header<UpstreamTag>>, Violation> {
    let Some((tag, length)) = raw(bytes) else { return Ok(None) };
    let tag =
        UpstreamTag::from_byte(tag).ok_or(Violation::upstream("unknown backend message type"))?;
    if !(4..=MAX_LARGE_BYTES).contains(&length) {
        return Err(Violation::upstream("invalid message length"));
    }
    Ok(Some(Header { tag, body: length - 4 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_of_a_sync() {
        let header = client_header(b"S\0\0\0\x04").unwrap().unwrap();
        assert_eq!((header.tag, header.body, header.frame()), (ClientTag::Sync, 0, 5));
    }

    #[test]
    fn incomplete_header_waits() {
        assert_eq!(client_header(b"S\0\0").unwrap(), None);
        assert_eq!(client_header(b"").unwrap(), None);
    }

    #[test]
    fn unknown_tags_and_lengths_are_violations() {
        assert!(client_header(b"y").is_err());
        assert!(client_header(b"S\0\0\0\x03").is_err());
        assert!(client_header(b"S\0\0\x27\x11").is_err());
        assert!(client_header(b"Q\x40\0\0\0").is_err());
        assert!(client_header(b"S\0\0\x27\x10").is_ok());
        assert!(upstream_header(b"y\0\0\0\x04").is_err());
    }
}
