//! Reads files, bounded: a limit on bytes, and text only if it is UTF-8.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The whole file, at most `limit` bytes.
pub(crate) fn file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    all(File::open(path)?, limit)
}

/// The whole file as text.
pub(crate) fn text_file(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(file(path, limit)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

/// Everything that `source` has, at most `limit` bytes.
pub(crate) fn all(source: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= limit) {
        return Ok(bytes);
    }
    Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_over_the_limit_is_refused() {
        assert_eq!(all(&b"abc"[..], 3).unwrap(), b"abc");
        assert_eq!(all(&b"abcd"[..], 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
