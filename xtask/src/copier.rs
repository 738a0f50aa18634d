//! A proxy that copies bytes and does nothing else: the floor that `make bench` compares with.
//!
//! Two threads per connection. Not here: anything that reads what it copies.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

/// Accepts for ever.
pub(crate) fn run(listen: &str, upstream: &str) -> Result<(), String> {
    let listener = TcpListener::bind(listen).map_err(|cause| format!("{listen}: {cause}"))?;
    for client in listener.incoming() {
        let joined = client.and_then(|client| join(client, TcpStream::connect(upstream)?));
        joined.map_err(|cause| format!("{upstream}: {cause}"))?;
    }
    Ok(())
}

fn join(client: TcpStream, upstream: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    let (from, to) = (client.try_clone()?, upstream.try_clone()?);
    thread::spawn(move || copy(from, to));
    thread::spawn(move || copy(upstream, client));
    Ok(())
}

/// Copies until one side ends, then says so to the other. An error ends a copy like an end does.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let copied = io::copy(&mut from, &mut to).is_ok();
    let _told = to.shutdown(Shutdown::Write).is_ok() && copied;
}
