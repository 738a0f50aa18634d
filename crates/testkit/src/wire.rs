//! A raw peer of the PostgreSQL protocol: sends any bytes, reads frames with a time limit.
//!
//! Not here: authentication other than trust, and any judgement of what is received. Written
//! without the protocol crate, so that both cannot share a mistake.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::trouble::{Result, Trouble};

/// How long a frame may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest frame accepted from a server.
const MAX_FRAME: usize = 64 * 1024 * 1024;

/// One tagged frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// First byte.
    pub tag: u8,
    /// What follows the length.
    pub body: Vec<u8>,
}

/// A connection that speaks frames.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    /// `BackendKeyData`, once received: process and secret.
    pub key: Option<(u32, Vec<u8>)>,
}

impl Wire {
    /// Connects, without sending anything.
    pub fn connect(port: u16) -> Result<Self> {
        let doing = |cause| Trouble::io(format!("connecting to port {port}"), cause);
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(doing)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(doing)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(doing)?;
        stream.set_nodelay(true).map_err(doing)?;
        Ok(Self { stream, key: None })
    }

    /// Connects and logs in (trust) up to the first `ReadyForQuery`.
    pub fn login(port: u16, parameters: &[(&str, &str)]) -> Result<Self> {
        let mut wire = Self::connect(port)?;
        wire.send(&startup(196_608, parameters))?;
        let frames = wire.until_ready()?;
        if let Some(error) = frames.iter().find(|frame| frame.tag == b'E') {
            return Err(Trouble::new(format!("login refused: {}", error.describe())));
        }
        wire.key = frames.iter().find(|frame| frame.tag == b'K').and_then(|frame| {
            let (process, secret) = frame.body.split_first_chunk::<4>()?;
            Some((u32::from_be_bytes(*process), secret.to_vec()))
        });
        Ok(wire)
    }

    /// Sets how long a read may take.
    pub fn patience(&mut self, time: Duration) -> Result<()> {
        self.stream.set_read_timeout(Some(time)).map_err(|e| Trouble::io("setting a time limit", e))
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).map_err(|cause| Trouble::io("sending", cause))
    }

    /// How many bytes the peer's kernel holds that the peer has not read.
    pub fn unread(&self) -> Result<usize> {
        let doing = |cause| Trouble::io("reading /proc/net/tcp", cause);
        let ours = self.stream.local_addr().map_err(doing)?.port();
        let theirs = self.stream.peer_addr().map_err(doing)?.port();
        let table = std::fs::read_to_string("/proc/net/tcp").map_err(doing)?;
        let (local, remote) = (format!(":{theirs:04X}"), format!(":{ours:04X}"));
        let queue = table.lines().find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, from, to, _, queues, ..] = words.as_slice() else { return None };
            let both = from.ends_with(&local) && to.ends_with(&remote);
            both.then(|| queues.split_once(':').map(|(_sent, received)| received)).flatten()
        });
        Ok(queue.and_then(|hex| usize::from_str_radix(hex, 16).ok()).unwrap_or(0))
    }

    /// Says that nothing more will be sent, and keeps reading.
    pub fn half_close(&mut self) -> Result<()> {
        self.stream.shutdown(Shutdown::Write).map_err(|e| Trouble::io("closing one side", e))
    }

    /// Reads one untagged byte, the answer to an encryption request.
    pub fn byte(&mut self) -> Result<u8> {
        let [byte] = self.bytes::<1>()?;
        Ok(byte)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).map_err(|cause| Trouble::io("reading", cause))?;
        Ok(bytes)
    }

    /// Reads one frame.
    pub fn frame(&mut self) -> Result<Frame> {
        let [tag, a, b, c, d] = self.bytes::<5>()?;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let Some(length) = length.checked_sub(4).filter(|length| *length <= MAX_FRAME) else {
            return Err(Trouble::new(format!("a frame with an impossible length {length}")));
        };
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).map_err(|cause| Trouble::io("reading", cause))?;
        Ok(Frame { tag, body })
    }

    /// Reads up to and including the next frame with this tag, or an error before a close.
    pub fn until(&mut self, tag: u8) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        loop {
            let frame = match self.frame() {
                Ok(frame) => frame,
                Err(trouble) if trouble.is_closed() && !frames.is_empty() => return Ok(frames),
                Err(trouble) => return Err(trouble),
            };
            let last = frame.tag == tag;
            frames.push(frame);
            if last {
                return Ok(frames);
            }
        }
    }

    /// Reads up to and including `ReadyForQuery`.
    pub fn until_ready(&mut self) -> Result<Vec<Frame>> {
        self.until(b'Z')
    }

    /// Reads until the peer closes.
    pub fn until_closed(&mut self) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        loop {
            match self.frame() {
                Ok(frame) => frames.push(frame),
                Err(trouble) if trouble.is_closed() => return Ok(frames),
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// Sends a Query and reads the whole answer.
    pub fn query(&mut self, sql: &str) -> Result<Vec<Frame>> {
        self.send(&query(sql))?;
        self.until_ready()
    }

    /// Whether nothing arrives within `time`.
    pub fn is_quiet(&mut self, time: Duration) -> Result<bool> {
        self.patience(time)?;
        let mut byte = [0];
        let peeked = self.stream.peek(&mut byte);
        self.patience(PATIENCE)?;
        match peeked {
            Ok(_) => Ok(false),
            Err(cause) => {
                let trouble = Trouble::io("waiting", cause);
                if trouble.is_timeout() { Ok(true) } else { Err(trouble) }
            }
        }
    }
}

impl Frame {
    /// Value of one field of an `ErrorResponse` or `NoticeResponse`.
    pub fn field(&self, code: u8) -> Option<String> {
        self.body
            .split(|byte| *byte == 0)
            .find_map(|field| field.split_first().filter(|(first, _)| **first == code))
            .and_then(|(_, value)| String::from_utf8(value.to_vec()).ok())
    }

    /// SQLSTATE of an `ErrorResponse`; empty for anything else.
    pub fn sqlstate(&self) -> String {
        if self.tag == b'E' { self.field(b'C').unwrap_or_default() } else { String::new() }
    }

    /// One line of a transcript, as `< ErrorResponse 42501`.
    pub fn describe(&self) -> String {
        let text = || self.body.strip_suffix(&[0]).unwrap_or(&self.body).escape_ascii().to_string();
        match self.tag {
            b'E' => match self.field(b'S').as_deref() {
                Some("ERROR") => format!("< ErrorResponse {}", self.sqlstate()),
                severity => format!(
                    "< ErrorResponse {} {}",
                    severity.unwrap_or("(no severity)"),
                    self.sqlstate()
                ),
            },
            b'N' => format!("< NoticeResponse {}", self.field(b'C').unwrap_or_default()),
            b'C' => format!("< CommandComplete {}", text()),
            b'Z' => format!("< ReadyForQuery {}", text()),
            b'D' => format!("< DataRow {}", self.row().join("|")),
            tag => format!("< {}", name(tag)),
        }
    }

    /// Columns of a `DataRow` as text; `NULL` for null.
    pub fn row(&self) -> Vec<String> {
        let mut columns = Vec::new();
        let mut rest = self.body.get(2..).unwrap_or_default();
        while let Some((length, tail)) = rest.split_first_chunk::<4>() {
            let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
                columns.push("NULL".to_owned());
                rest = tail;
                continue;
            };
            let Some((value, tail)) = tail.split_at_checked(length) else { break };
            columns.push(value.escape_ascii().to_string());
            rest = tail;
        }
        columns
    }
}

/// A transcript of what was received; descriptions and parameter changes are left out of it.
pub fn transcript(frames: &[Frame]) -> String {
    let shown = frames.iter().filter(|frame| !matches!(frame.tag, b'S' | b'K' | b'R' | b'T'));
    shown.fold(String::new(), |text, frame| text + &frame.describe() + "\n")
}

/// The tags of frames as one word, notices and parameter changes left out, with the status and the
/// SQLSTATE: `1 2 D C(INSERT 0 1) E(42501) Z(I)`.
pub fn tags(frames: &[Frame]) -> String {
    let words = frames.iter().filter(|frame| !matches!(frame.tag, b'S' | b'N' | b'K' | b'R'));
    let words = words.map(|frame| {
        let text = frame.body.strip_suffix(&[0]).unwrap_or(&frame.body).escape_ascii();
        match frame.tag {
            b'E' => format!("E({})", frame.sqlstate()),
            b'C' | b'Z' => format!("{}({text})", char::from(frame.tag)),
            tag => char::from(tag).to_string(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn name(tag: u8) -> String {
    let name = match tag {
        b'1' => "ParseComplete",
        b'2' => "BindComplete",
        b'3' => "CloseComplete",
        b'A' => "NotificationResponse",
        b'G' => "CopyInResponse",
        b'H' => "CopyOutResponse",
        b'I' => "EmptyQueryResponse",
        b'K' => "BackendKeyData",
        b'R' => "Authentication",
        b'S' => "ParameterStatus",
        b'T' => "RowDescription",
        b'V' => "FunctionCallResponse",
        b'c' => "CopyDone",
        b'd' => "CopyData",
        b'n' => "NoData",
        b's' => "PortalSuspended",
        b't' => "ParameterDescription",
        b'v' => "NegotiateProtocolVersion",
        other => return format!("tag {}", other.escape_ascii()),
    };
    name.to_owned()
}

/// A tagged frame around `body`.
pub fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&length(body.len() + 4).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn count(count: usize) -> [u8; 2] {
    u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes()
}

fn cstring(into: &mut Vec<u8>, text: &str) {
    into.extend_from_slice(text.as_bytes());
    into.push(0);
}

/// An untagged frame of the startup phase: a length, a code, a body.
pub fn untagged(code: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = length(body.len() + 8).to_be_bytes().to_vec();
    bytes.extend_from_slice(&code.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// A `StartupMessage`.
pub fn startup(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in parameters {
        cstring(&mut body, name);
        cstring(&mut body, value);
    }
    body.push(0);
    untagged(version, &body)
}

/// `SSLRequest`.
pub fn ssl_request() -> Vec<u8> {
    untagged(80_877_103, &[])
}

/// `GSSENCRequest`.
pub fn gss_request() -> Vec<u8> {
    untagged(80_877_104, &[])
}

/// `CancelRequest`.
pub fn cancel_request(process: u32, secret: &[u8]) -> Vec<u8> {
    let mut body = process.to_be_bytes().to_vec();
    body.extend_from_slice(secret);
    untagged(80_877_102, &body)
}

/// Query.
pub fn query(sql: &str) -> Vec<u8> {
    let mut body = Vec::new();
    cstring(&mut body, sql);
    frame(b'Q', &body)
}

/// Parse, parameter types by OID.
pub fn parse(statement: &str, sql: &str, types: &[u32]) -> Vec<u8> {
    let mut body = Vec::new();
    cstring(&mut body, statement);
    cstring(&mut body, sql);
    body.extend_from_slice(&count(types.len()));
    for oid in types {
        body.extend_from_slice(&oid.to_be_bytes());
    }
    frame(b'P', &body)
}

/// Bind, all values and results as text.
pub fn bind(portal: &str, statement: &str, values: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    cstring(&mut body, portal);
    cstring(&mut body, statement);
    body.extend_from_slice(&[0, 0]);
    body.extend_from_slice(&count(values.len()));
    for value in values {
        body.extend_from_slice(&length(value.len()).to_be_bytes());
        body.extend_from_slice(value.as_bytes());
    }
    body.extend_from_slice(&[0, 0]);
    frame(b'B', &body)
}

/// Describe of a statement (`S`) or a portal (`P`).
pub fn describe(kind: u8, name: &str) -> Vec<u8> {
    let mut body = vec![kind];
    cstring(&mut body, name);
    frame(b'D', &body)
}

/// Close of a statement (`S`) or a portal (`P`).
pub fn close(kind: u8, name: &str) -> Vec<u8> {
    let mut body = vec![kind];
    cstring(&mut body, name);
    frame(b'C', &body)
}

/// Execute; no limit when `rows` is 0.
pub fn execute(portal: &str, rows: u32) -> Vec<u8> {
    let mut body = Vec::new();
    cstring(&mut body, portal);
    body.extend_from_slice(&rows.to_be_bytes());
    frame(b'E', &body)
}

/// Sync.
pub fn sync() -> Vec<u8> {
    frame(b'S', &[])
}

/// Flush.
pub fn flush() -> Vec<u8> {
    frame(b'H', &[])
}

/// Terminate.
pub fn terminate() -> Vec<u8> {
    frame(b'X', &[])
}

/// `FunctionCall` with text arguments and a text result.
pub fn function_call(oid: u32, arguments: &[&str]) -> Vec<u8> {
    let mut body = oid.to_be_bytes().to_vec();
    body.extend_from_slice(&[0, 0]);
    body.extend_from_slice(&count(arguments.len()));
    for argument in arguments {
        body.extend_from_slice(&length(argument.len()).to_be_bytes());
        body.extend_from_slice(argument.as_bytes());
    }
    body.extend_from_slice(&[0, 0]);
    frame(b'F', &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_carry_their_own_length() {
        assert_eq!(sync(), b"S\0\0\0\x04");
        assert_eq!(ssl_request(), [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);
        assert_eq!(query("x"), b"Q\0\0\0\x06x\0");
    }

    #[test]
    fn a_transcript_names_what_arrived() {
        let error = Frame { tag: b'E', body: b"SERROR\0C42501\0Mno\0\0".to_vec() };
        let ready = Frame { tag: b'Z', body: b"E".to_vec() };
        let row = Frame { tag: b'D', body: b"\0\x02\0\0\0\x01x\xff\xff\xff\xff".to_vec() };
        let frames = [row, error, ready];
        assert_eq!(
            transcript(&frames),
            "< DataRow x|NULL\n< ErrorResponse 42501\n< ReadyForQuery E\n"
        );
        assert_eq!(tags(&frames), "D E(42501) Z(E)");
    }
}
