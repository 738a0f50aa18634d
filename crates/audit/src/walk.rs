//! Reading a segment record by record, checking form, hash, key and link of each.
//!
//! Used by verification and by opening, so both agree on where a chain ends. Reads in large
//! pieces and never copies a line that lies within one.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::chain::{Hash, Sealed, Sealer};
use crate::limits;

/// Room for number, time and seal of the longest record.
const ENVELOPE: usize = 1 << 10;

/// The lines of a file.
pub(crate) struct Lines {
    file: File,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    at_end: bool,
    chunk: usize,
    /// Offset in the file of the next line.
    pub(crate) offset: u64,
    number: u64,
}

/// One line, without its newline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) bytes: &'a [u8],
    /// Whether a newline ends it.
    pub(crate) complete: bool,
    /// Its number, from 1.
    pub(crate) number: u64,
    /// Where in the file it starts.
    pub(crate) offset: u64,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        Ok(Self {
            file,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            at_end: false,
            chunk: len.saturating_add(1).min(limits::READ_CHUNK),
            offset: 0,
            number: 0,
        })
    }

    /// The next line; a line longer than any record comes in pieces that are not complete.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut searched = 0;
        loop {
            let window = self.buffer.get(self.start..self.end).unwrap_or_default();
            let unseen = window.get(searched..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', unseen) {
                return Ok(Some(self.take(searched + at, true)));
            }
            searched = window.len();
            if self.at_end || searched > limits::MAX_RECORD_BYTES + ENVELOPE {
                return Ok((searched > 0).then(|| self.take(searched, false)));
            }
            self.fill()?;
        }
    }

    fn take(&mut self, len: usize, complete: bool) -> Line<'_> {
        let start = self.start;
        let taken = len + usize::from(complete);
        let offset = self.offset;
        self.start += taken;
        self.offset = self.offset.saturating_add(u64::try_from(taken).unwrap_or(u64::MAX));
        self.number = self.number.saturating_add(1);
        let bytes = self.buffer.get(start..start + len).unwrap_or_default();
        Line { bytes, complete, number: self.number, offset }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < self.end + self.chunk {
            self.buffer.resize(self.end + self.chunk, 0);
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let taken = loop {
            match self.file.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.at_end = taken == 0;
        self.end += taken;
        Ok(())
    }
}

/// What kind of record a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Decision,
    Settled,
    Opened,
    Recovered,
    Rotated,
    Checkpoint,
}

impl Kind {
    /// From the start of a record, whose form is fixed up to its kind.
    pub(crate) fn of(line: &[u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"{\"seq\":")?;
        let digits = rest.iter().position(|byte| *byte == b',')?;
        let rest = rest.get(digits..)?.strip_prefix(b",\"ts\":\"")?.get(30..)?;
        let rest = rest.strip_prefix(b"\",\"kind\":\"")?;
        let kinds: [(&[u8], Self); 6] = [
            (b"decision\"", Self::Decision),
            (b"settled\"", Self::Settled),
            (b"opened\"", Self::Opened),
            (b"recovered\"", Self::Recovered),
            (b"rotated\"", Self::Rotated),
            (b"checkpoint\"", Self::Checkpoint),
        ];
        kinds.iter().find(|(name, _)| rest.starts_with(name)).map(|(_, kind)| *kind)
    }
}

/// The time of a record, as text; empty if the line is not a record.
pub(crate) fn time_of(line: &[u8]) -> &[u8] {
    let start = memchr::memchr(b',', line).map(|comma| comma + b",\"ts\":\"".len());
    start.and_then(|start| line.get(start..start + 30)).unwrap_or_default()
}

/// Where a chain stands: what the next record must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) seq: u64,
    pub(crate) head: Hash,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The file ends inside it.
    Unfinished,
    /// It does not have the form of a record.
    Form,
    /// Its hash is not that of its bytes.
    Hash,
    /// Its hash holds, its keyed hash does not.
    Key,
    /// Its number is higher than the next.
    Ahead,
    /// Its number was there already.
    Behind,
    /// Its number is right, its link is not.
    Link,
}

/// A record that holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Good<'a> {
    pub(crate) line: &'a [u8],
    pub(crate) kind: Kind,
    pub(crate) seq: u64,
    pub(crate) prev: Hash,
    pub(crate) hash: Hash,
}

/// Checks one line against the key and, where one is known, the position of the chain.
pub(crate) fn check<'a>(
    line: Line<'a>,
    position: Option<Position>,
    sealer: Option<&Sealer>,
) -> Result<Good<'a>, (Flaw, Option<u64>)> {
    let sealed = Sealed::parse(line.bytes);
    let seq = sealed.map(|sealed| sealed.seq);
    let flaw = |flaw| Err((flaw, seq));
    if !line.complete {
        return flaw(Flaw::Unfinished);
    }
    let (Some(sealed), Some(kind)) = (sealed, Kind::of(line.bytes)) else {
        return flaw(Flaw::Form);
    };
    let (hash_holds, mac_holds) = sealed.holds(sealer);
    if !hash_holds {
        return flaw(Flaw::Hash);
    }
    if let Some(position) = position {
        let next = position.seq.saturating_add(1);
        if sealed.seq > next {
            return flaw(Flaw::Ahead);
        }
        if sealed.seq < next {
            return flaw(Flaw::Behind);
        }
    }
    if !mac_holds {
        return flaw(Flaw::Key);
    }
    if position.is_some_and(|position| sealed.prev != position.head) {
        return flaw(Flaw::Link);
    }
    let Sealed { seq, prev, hash, .. } = sealed;
    Ok(Good { line: line.bytes, kind, seq, prev, hash })
}

/// Everything in a file from an offset on.
pub(crate) fn rest_of(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut rest = Vec::new();
    file.read_to_end(&mut rest)?;
    Ok(rest)
}

/// Whether what follows the last good record can be what a crash leaves: an unfinished line, or,
/// after the machine died, blocks of zeros. No record holds a zero byte.
pub(crate) fn is_torn(rest: &[u8]) -> bool {
    memchr::memchr(b'\n', rest).is_none() || memchr::memchr(0, rest).is_some()
}
