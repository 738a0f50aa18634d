//! The first packets of a connection: they have no tag, only a length and a code.
//! (PostgreSQL documentation, "Start-up"; source: `ProcessStartupPacket`.)

use crate::limits::{MAX_STARTUP_BYTES, MAX_STARTUP_PARAMETERS};

const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// A protocol version: 3.0 or 3.2 are spoken; others are negotiated down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Always 3 once decoded.
    pub major: u16,
    /// 0 or 2 once negotiated.
    pub minor: u16,
}

impl Version {
    /// 3.0
    pub const V3_0: Self = Self { major: 3, minor: 0 };
    /// 3.2
    pub const V3_2: Self = Self { major: 3, minor: 2 };

    /// The newest version that we and the client speak (3.1 is reserved, so it gives 3.0).
    #[must_use]
    pub const fn negotiated(self) -> Self {
        if self.minor >= 2 { Self::V3_2 } else { Self::V3_0 }
    }

    /// The version as one word of the wire.
    pub fn word(self) -> u32 {
        (u32::from(self.major) << 16) | u32::from(self.minor)
    }
}

/// What a new connection asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// `SSLRequest`.
    Ssl,
    /// `GSSENCRequest`.
    GssEnc,
    /// `CancelRequest`.
    Cancel {
        /// The backend's process id.
        pid: u32,
        /// Its secret, 4 to 256 bytes.
        secret: Vec<u8>,
    },
    /// `StartupMessage`.
    Startup(StartupMessage),
}

/// A `StartupMessage`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartupMessage {
    /// The version that the client asks for.
    pub version: Version,
    /// Parameters in order, protocol extensions (`_pq_.…`) left out.
    pub parameters: Vec<(String, String)>,
    /// Names of the protocol extensions that the client asks for. We know none.
    pub extensions: Vec<String>,
}

impl StartupMessage {
    /// The last value of a parameter, as the server would use it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Why a first packet is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StartupError {
    /// The length word is out of bounds.
    #[error("invalid length of startup packet")]
    Length,
    /// The layout is not the documented one.
    #[error("invalid startup packet layout")]
    Layout,
    /// Major version other than 3.
    #[error("unsupported frontend protocol")]
    Version,
    /// More parameters than anybody needs.
    #[error("too many startup parameters")]
    TooMany,
    /// Not UTF-8: we would read it differently from the server.
    #[error("startup parameters must be UTF-8")]
    Encoding,
}

/// Length of the first packet, from its first four bytes; `None` if they are not there.
///
/// # Errors
/// [`StartupError::Length`] for what the server would refuse.
pub fn opening_length(bytes: &[u8]) -> Result<Option<usize>, StartupError> {
    let Some(word) = bytes.first_chunk::<4>() else { return Ok(None) };
    match usize::try_from(u32::from_be_bytes(*word)) {
        Ok(length) if (8..=MAX_STARTUP_BYTES).contains(&length) => Ok(Some(length)),
        Ok(_) | Err(_) => Err(StartupError::Length),
    }
}

/// Decodes one whole first packet, length word included.
///
/// # Errors
/// Whatever the server would refuse too.
pub fn decode_opening(packet: &[u8]) -> Result<Opening, StartupError> {
    let (_, rest) = packet.split_first_chunk::<4>().ok_or(StartupError::Length)?;
    let (code, body) = rest.split_first_chunk::<4>().ok_or(StartupError::Length)?;
    let code = u32::from_be_bytes(*code);
    match code {
        SSL_REQUEST if body.is_empty() => Ok(Opening::Ssl),
        GSSENC_REQUEST if body.is_empty() => Ok(Opening::GssEnc),
        SSL_REQUEST | GSSENC_REQUEST => Err(StartupError::Length),
        CANCEL_REQUEST => decode_cancel(body),
        version => decode_startup(version, body).map(Opening::Startup),
    }
}

fn decode_cancel(body: &[u8]) -> Result<Opening, StartupError> {
    let (pid, secret) = body.split_first_chunk::<4>().ok_or(StartupError::Length)?;
    if !(4..=256).contains(&secret.len()) {
        return Err(StartupError::Length);
    }
    Ok(Opening::Cancel { pid: u32::from_be_bytes(*pid), secret: secret.to_vec() })
}

fn decode_startup(word: u32, body: &[u8]) -> Result<StartupMessage, StartupError> {
    let [major_high, major_low, minor_high, minor_low] = word.to_be_bytes();
    let version = Version {
        major: u16::from_be_bytes([major_high, major_low]),
        minor: u16::from_be_bytes([minor_high, minor_low]),
    };
    if version.major != 3 {
        return Err(StartupError::Version);
    }
    let mut message = StartupMessage { version, parameters: Vec::new(), extensions: Vec::new() };
    let mut rest = body;
    loop {
        let (name, after) = cstring(rest).ok_or(StartupError::Layout)?;
        if name.is_empty() {
            // The terminator has to be the last byte, as in the server.
            return if after.is_empty() { Ok(message) } else { Err(StartupError::Layout) };
        }
        let (value, after) = cstring(after).ok_or(StartupError::Layout)?;
        rest = after;
        if message.parameters.len() + message.extensions.len() >= MAX_STARTUP_PARAMETERS {
            return Err(StartupError::TooMany);
        }
        let name = text(name)?;
        if name.starts_with("_pq_.") {
            message.extensions.push(name);
        } else {
            message.parameters.push((name, text(value)?));
        }
    }
}

fn text(bytes: &[u8]) -> Result<String, StartupError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_not_utf8) => Err(StartupError::Encoding),
    }
}

fn cstring(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (value, rest) = bytes.split_at(end);
    Some((value, rest.get(1..).unwrap_or_default()))
}

/// Writes the `StartupMessage` that goes upstream: negotiated version, no extensions.
///
/// # Errors
/// [`StartupError::Length`] if it became longer than the server accepts.
pub fn encode_startup(
    version: Version,
    parameters: &[(String, String)],
) -> Result<Vec<u8>, StartupError> {
    let mut out = vec![0; 4];
    out.extend_from_slice(&version.word().to_be_bytes());
    for (name, value) in parameters {
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.extend_from_slice(value.as_bytes());
        out.push(0);
    }
    out.push(0);
    let length = match u32::try_from(out.len()) {
        Ok(length) if out.len() <= MAX_STARTUP_BYTES => length,
        Ok(_) | Err(_) => return Err(StartupError::Length),
    };
    if let Some(word) = out.first_chunk_mut::<4>() {
        *word = length.to_be_bytes();
    }
    Ok(out)
}

/// `NegotiateProtocolVersion`, as the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiateVersion<'a> {
    /// The version that is spoken.
    pub version: Version,
    /// Extensions that are not.
    pub extensions: &'a [String],
}

impl NegotiateVersion<'_> {
    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let names: usize = self.extensions.iter().map(|name| name.len() + 1).sum();
        let length = u32::try_from(12 + names).unwrap_or(u32::MAX);
        out.push(b'v');
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&self.version.word().to_be_bytes());
        out.extend_from_slice(
            &u32::try_from(self.extensions.len()).unwrap_or(u32::MAX).to_be_bytes(),
        );
        for name in self.extensions {
            out.extend_from_slice(name.as_bytes());
            out.push(0);
        }
    }

    /// The version that a server's own `NegotiateProtocolVersion` names. Old servers send the
    /// minor version alone.
    pub fn decode_version(body: &[u8]) -> Option<Version> {
        let word = u32::from_be_bytes(*body.first_chunk::<4>()?);
        let [_, _, high, low] = word.to_be_bytes();
        let minor = u16::from_be_bytes([high, low]);
        (word >> 16 == 3 || word >> 16 == 0).then_some(Version { major: 3, minor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(word: u32, body: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        packet.extend_from_slice(&u32::try_from(8 + body.len()).unwrap().to_be_bytes());
        packet.extend_from_slice(&word.to_be_bytes());
        packet.extend_from_slice(body);
        assert_eq!(opening_length(&packet).unwrap(), Some(packet.len()));
        packet
    }

    fn startup(word: u32, body: &[u8]) -> Result<Opening, StartupError> {
        decode_opening(&packet(word, body))
    }

    fn message(opening: Opening) -> StartupMessage {
        let Opening::Startup(message) = opening else { panic!("{opening:?}") };
        message
    }

    #[test]
    fn a_startup_message_round_trips() {
        let parameters = vec![("user".to_owned(), "alice".to_owned())];
        let packet = encode_startup(Version::V3_2, &parameters).unwrap();
        let message = message(decode_opening(&packet).unwrap());
        assert_eq!(message.version, Version::V3_2);
        assert_eq!(message.parameters, parameters);
        assert_eq!(message.get("user"), Some("alice"));
    }

    #[test]
    fn extensions_are_taken_out() {
        let message = message(startup(0x0003_270f, b"user\0a\0_pq_.x\0on\0\0").unwrap());
        assert_eq!(message.extensions, ["_pq_.x"]);
        assert_eq!(message.version.negotiated(), Version::V3_2);
    }

    #[test]
    fn what_the_server_refuses_is_refused() {
        assert_eq!(startup(0x0003_0000, b"user\0a\0\0x"), Err(StartupError::Layout));
        assert_eq!(startup(0x0003_0000, b"user\0a"), Err(StartupError::Layout));
        assert_eq!(startup(0x0002_0000, b"\0"), Err(StartupError::Version));
        assert_eq!(startup(SSL_REQUEST, b"x"), Err(StartupError::Length));
        assert_eq!(startup(0x0003_0000, b"user\0\xff\0\0"), Err(StartupError::Encoding));
        assert_eq!(opening_length(&[0, 0, 0, 7]), Err(StartupError::Length));
        assert_eq!(opening_length(&[0x7f, 0, 0, 0]), Err(StartupError::Length));
        assert_eq!(opening_length(&[0, 0]), Ok(None));
    }

    #[test]
    fn version_three_one_is_reserved() {
        assert_eq!(Version { major: 3, minor: 1 }.negotiated(), Version::V3_0);
    }
}
