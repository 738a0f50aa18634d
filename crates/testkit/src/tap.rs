//! A byte copier between the door and the server that keeps what the door sent: what reached the
//! server is what passed here, whatever anybody says about it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// One connection's bytes, in order.
type Stream = Arc<Mutex<Vec<u8>>>;

/// The copier.
#[derive(Debug)]
pub struct Tap {
    /// Where it listens, on loopback.
    pub port: u16,
    streams: Arc<Mutex<Vec<Stream>>>,
}

/// One message that would be judged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Forwarded {
    /// As records name it.
    pub stage: &'static str,
    /// Text of the statement.
    pub text: Vec<u8>,
}

impl Tap {
    /// Listens on a free port, and copies to and from the server on `server`.
    pub fn start(server: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let streams = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&streams);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)) else { return };
                if client.set_nodelay(true).and(upstream.set_nodelay(true)).is_err() {
                    return;
                }
                let stream = Stream::default();
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&stream));
                let pair = (client.try_clone(), upstream.try_clone());
                let (Ok(client_too), Ok(upstream_too)) = pair else { return };
                thread::spawn(move || copy(client, upstream, Some(&stream)));
                thread::spawn(move || copy(upstream_too, client_too, None));
            }
        });
        Ok(Self { port, streams })
    }

    /// Everything that passed so far and has to have a record.
    pub fn forwarded(&self) -> Vec<Forwarded> {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::new();
        for stream in streams.iter() {
            messages(&stream.lock().unwrap_or_else(PoisonError::into_inner), &mut all);
        }
        all
    }
}

impl Tap {
    /// Every message that passed so far, startup packets left out, as tag and body.
    pub fn frames(&self) -> Vec<(u8, Vec<u8>)> {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::new();
        for stream in streams.iter() {
            let bytes = stream.lock().unwrap_or_else(PoisonError::into_inner);
            let Some((word, _)) = bytes.split_first_chunk::<4>() else { continue };
            let startup = usize::try_from(u32::from_be_bytes(*word)).unwrap_or(usize::MAX);
            let mut rest = bytes.get(startup..).unwrap_or_default();
            while let Some([tag, a, b, c, d]) = rest.first_chunk::<5>() {
                let length =
                    usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
                let end = length.saturating_add(1).min(rest.len());
                all.push((*tag, rest.get(5..end).unwrap_or_default().to_vec()));
                rest = rest.get(end..).unwrap_or_default();
            }
        }
        all
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, keep: Option<&Stream>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count) = from.read(&mut buffer) {
        let piece = buffer.get(..count).unwrap_or_default();
        if let Some(keep) = keep {
            keep.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(piece);
        }
        if count == 0 || to.write_all(piece).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Write));
    drop(from.shutdown(Shutdown::Read));
}

/// Queries, Parses, Binds and Executes of one connection. Only the unnamed statement is used here.
fn messages(bytes: &[u8], into: &mut Vec<Forwarded>) {
    let Some((word, _)) = bytes.split_first_chunk::<4>() else { return };
    let startup = usize::try_from(u32::from_be_bytes(*word)).unwrap_or(usize::MAX);
    let mut rest = bytes.get(startup..).unwrap_or_default();
    let mut parsed = Vec::new();
    while let Some([tag, a, b, c, d]) = rest.first_chunk::<5>() {
        let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
        // The beginning of a message counts: its bytes have left.
        let body = rest.get(5..).unwrap_or_default();
        let body = body.get(..length.saturating_sub(4)).unwrap_or(body);
        let mut strings = body.split(|byte| *byte == 0);
        let first = strings.next().unwrap_or_default().to_vec();
        match tag {
            b'Q' => into.push(Forwarded { stage: "query", text: first }),
            b'P' => {
                parsed = strings.next().unwrap_or_default().to_vec();
                into.push(Forwarded { stage: "parse", text: parsed.clone() });
            }
            b'B' => into.push(Forwarded { stage: "bind", text: parsed.clone() }),
            b'E' => into.push(Forwarded { stage: "execute", text: parsed.clone() }),
            _ => {}
        }
        rest = rest.get(length.saturating_add(1)..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_behind_the_startup_packet() {
        let mut bytes = crate::wire::startup(196_608, &[("user", "a")]);
        bytes.extend(crate::wire::query("SELECT 1"));
        bytes.extend(crate::wire::parse("", "SELECT 2", &[]));
        bytes.extend(crate::wire::bind("", "", &[]));
        bytes.extend(crate::wire::execute("", 0));
        let mut found = Vec::new();
        messages(&bytes, &mut found);
        let found: Vec<_> = found.iter().map(|one| (one.stage, one.text.as_slice())).collect();
        assert_eq!(
            found,
            [
                ("query", &b"SELECT 1"[..]),
                ("parse", b"SELECT 2"),
                ("bind", b"SELECT 2"),
                ("execute", b"SELECT 2")
            ]
        );
    }
}
