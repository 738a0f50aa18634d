//! Verification: the first record that somebody changed, or that there is none.
//!
//! Every line is hashed as it stands. With the key, each record must carry a keyed hash that only
//! its owner can make; without it, links, hashes and checkpoint signatures are checked, and
//! [`Verified`] says so. The checkpoint file of a chain is read first: what it covers must be
//! there.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::chain::{GENESIS, Sealed, Sealer};
use crate::checkpoint::{self, Mark, MarkFields, Mirror};
use crate::findings::{Broken, BrokenKind, Verified, VerifiedChain};
use crate::walk::{self, Flaw, Good, Kind, Line, Lines, Position};
use crate::{ChainId, Key, Timestamp, json, open, segment};

/// Checks a folder (every chain in it) or one segment. Without a key the public key beside the
/// ledger is believed; see [`verify_pinned`].
pub fn verify(path: &Path, key: Option<&Key>) -> Result<Verified, Broken> {
    check(path, key, key.map(Key::public))
}

/// As [`verify`] without a key, with a public key that was kept elsewhere.
pub fn verify_pinned(path: &Path, public_key: &[u8; 32]) -> Result<Verified, Broken> {
    check(path, None, Some(*public_key))
}

fn check(path: &Path, key: Option<&Key>, public_key: Option<[u8; 32]>) -> Result<Verified, Broken> {
    let mut verified = Verified { keyed: key.is_some(), ..Verified::default() };
    if path.is_dir() {
        let chains = segment::list(path).map_err(|error| unreadable(path, &error))?;
        for (chain, segments) in chains {
            verified.add(Walk::new(path, chain, (key, public_key))?.folder(&segments)?);
        }
        let strays = segment::strays(path).map_err(|error| unreadable(path, &error))?;
        if let Some(stray) = strays.first() {
            let detail = "it is named like a segment, and no chain has such a name";
            return Err(broken(BrokenKind::Inserted, stray, detail));
        }
        return Ok(verified);
    }
    let Some((chain, number)) = segment::parse(path) else {
        return Err(unreadable(path, &"it is neither a folder nor named like a segment"));
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    verified.add(Walk::new(folder, chain, (key, public_key))?.file(number, path)?);
    Ok(verified)
}

impl Verified {
    fn add(&mut self, walked: Option<(VerifiedChain, u64)>) {
        if let Some((chain, bytes)) = walked {
            self.chains.push(chain);
            self.bytes = self.bytes.saturating_add(bytes);
        }
    }
}

fn unreadable(path: &Path, problem: &dyn fmt::Display) -> Broken {
    Broken {
        kind: BrokenKind::Unreadable,
        file: path.to_path_buf(),
        line: 0,
        seq: None,
        detail: problem.to_string(),
    }
}

/// The fields of an `opened` record that verification looks at.
#[derive(Deserialize)]
struct Opened<'a> {
    format: u64,
    chain: &'a str,
    segment: u32,
    key_id: &'a str,
    public_key: &'a str,
}

#[derive(Deserialize)]
struct Rotated {
    next: u32,
}

/// One chain on its way from the first record to the last.
struct Walk<'k> {
    dir: PathBuf,
    chain: ChainId,
    key: Option<&'k Key>,
    sealer: Option<Sealer>,
    public_key: Option<[u8; 32]>,
    mark: Option<Mark>,
    position: Option<Position>,
    first: Option<u64>,
    first_ts: Option<String>,
    last_ts: Vec<u8>,
    records: u64,
    checkpoints: u64,
    /// Records up to the first checkpoint.
    unsigned: u64,
    recovered: u64,
    segments: u64,
    bytes: u64,
    /// The record before was the last of its segment, and names the next one.
    rotated_to: Option<u32>,
    live: bool,
}

impl<'k> Walk<'k> {
    fn new(
        dir: &Path,
        chain: ChainId,
        (key, public_key): (Option<&'k Key>, Option<[u8; 32]>),
    ) -> Result<Self, Broken> {
        let mut walk = Self {
            dir: dir.to_path_buf(),
            chain,
            key,
            sealer: key.map(Key::sealer),
            public_key,
            mark: None,
            position: None,
            first: None,
            first_ts: None,
            last_ts: Vec::new(),
            records: 0,
            checkpoints: 0,
            unsigned: 0,
            recovered: 0,
            segments: 0,
            bytes: 0,
            rotated_to: None,
            live: false,
        };
        walk.read_public_key()?;
        Ok(walk)
    }

    fn read_public_key(&mut self) -> Result<(), Broken> {
        let path = segment::public_key_path(&self.dir, self.chain);
        let read = checkpoint::read_small(&path).map_err(|error| unreadable(&path, &error))?;
        let Some(text) = read else { return Ok(()) };
        let Some(written) = json::unhex(text.trim_ascii()) else {
            return Err(broken(BrokenKind::BadCheckpoint, &path, "it does not hold a public key"));
        };
        if self.public_key.is_some_and(|known| known != written) {
            return Err(broken(
                BrokenKind::WrongKey,
                &path,
                "the public key beside the ledger is not that of the given key",
            ));
        }
        self.public_key = Some(written);
        Ok(())
    }

    /// Read before any segment: a process that writes meanwhile can only be further.
    fn read_mark(&mut self) -> Result<(), Broken> {
        let path = segment::checkpoint_path(&self.dir, self.chain);
        let read = checkpoint::read_mirror(&self.dir, self.chain)
            .map_err(|error| unreadable(&path, &error))?;
        let bad = |detail| Err(broken(BrokenKind::BadCheckpoint, &path, detail));
        match read {
            Mirror::Absent => Ok(()),
            Mirror::Malformed => bad("it does not hold a checkpoint of this chain"),
            Mirror::Mark(mark) if mark.holds(&self.public_key.unwrap_or(mark.public_key)) => {
                self.public_key = Some(mark.public_key);
                self.mark = Some(mark);
                Ok(())
            }
            Mirror::Mark(_) => bad("its signature does not hold"),
        }
    }

    fn folder(
        mut self,
        segments: &BTreeMap<u32, PathBuf>,
    ) -> Result<Option<(VerifiedChain, u64)>, Broken> {
        self.read_mark()?;
        if segments.is_empty() && self.mark.is_none() {
            return Ok(None);
        }
        self.position = Some(Position { seq: 0, head: GENESIS });
        let mut last = segments.keys().next_back().copied().unwrap_or(1);
        let mut number = 1;
        while number <= last {
            let path = segment::path(&self.dir, self.chain, number);
            if !path.exists() {
                self.missing(&path)?;
                break;
            }
            self.segment(number, &path, number == last)?;
            // A process that writes meanwhile may have started one that was not listed.
            if number == last && self.rotated_to.is_some() {
                last += 1;
            }
            number += 1;
        }
        self.end(&segment::path(&self.dir, self.chain, last))?;
        Ok(Some(self.finish()))
    }

    fn file(mut self, number: u32, path: &Path) -> Result<Option<(VerifiedChain, u64)>, Broken> {
        self.segment(number, path, true)?;
        Ok(Some(self.finish()))
    }

    /// A segment that is not there: taken away, unless it is the one that the end of the last
    /// segment promises and nothing signed is in it.
    fn missing(&mut self, path: &Path) -> Result<(), Broken> {
        let last = self.position.map_or(0, |position| position.seq);
        let signed = self.mark.is_some_and(|mark| mark.seq > last);
        if signed || self.rotated_to.is_none() || self.later_segment(path) {
            let detail = format!("the records after {last} are in a segment that is not there");
            return Err(broken(BrokenKind::MissingSegment, path, detail));
        }
        self.live = open::is_live(&self.dir, self.chain);
        if self.live {
            return Ok(());
        }
        let detail = "the segment before says that it follows, and it was never made (a crash?)";
        Err(broken(BrokenKind::TornTail, path, detail))
    }

    fn later_segment(&self, path: &Path) -> bool {
        let number = segment::parse(path).map_or(0, |(_, number)| number);
        segment::list(&self.dir).is_ok_and(|chains| {
            chains.get(&self.chain).is_some_and(|paths| paths.range(number..).next().is_some())
        })
    }

    /// Nothing may be missing at the end.
    fn end(&self, path: &Path) -> Result<(), Broken> {
        let last = self.position.map_or(0, |position| position.seq);
        match &self.mark {
            Some(mark) if mark.seq > last => Err(Broken {
                seq: Some(last.saturating_add(1)),
                ..broken(
                    BrokenKind::Truncated,
                    path,
                    format!(
                        "the ledger ends with record {last}, and a signed checkpoint covers {}: {} \
                         records or more are missing",
                        mark.seq,
                        mark.seq.saturating_sub(last)
                    ),
                )
            }),
            // The file is made right after the first checkpoint, before anything else is recorded;
            // a crash can come in between.
            None if self.checkpoints > 1 || self.records > self.unsigned + 1 => Err(broken(
                BrokenKind::BadCheckpoint,
                &segment::checkpoint_path(&self.dir, self.chain),
                "the signed checkpoint of the chain is missing, so a cut tail would not show",
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn finish(self) -> (VerifiedChain, u64) {
        let position = self.position.unwrap_or(Position { seq: 0, head: GENESIS });
        let chain = VerifiedChain {
            chain: self.chain.to_string(),
            segments: self.segments,
            records: self.records,
            first_seq: self.first.unwrap_or(0),
            last_seq: position.seq,
            head: json::hex_text(&position.head),
            last_ts: time_text(&self.last_ts),
            first_ts: self.first_ts,
            checkpoints: self.checkpoints,
            covered_upto: self.mark.map(|mark| mark.seq),
            recovered: self.recovered,
            live: self.live,
        };
        (chain, self.bytes)
    }

    fn segment(&mut self, number: u32, path: &Path, is_last: bool) -> Result<(), Broken> {
        self.segments += 1;
        self.rotated_to = None;
        let mut lines = Lines::open(path).map_err(|error| unreadable(path, &error))?;
        let mut empty = true;
        while let Some(line) = lines.next().map_err(|error| unreadable(path, &error))? {
            let (at, expected) = (line.number, self.next_seq());
            match walk::check(line, self.position, self.sealer.as_ref()) {
                Ok(good) => {
                    let seq = Some(good.seq);
                    self.accept(good, number, at).map_err(|(kind, detail)| Broken {
                        line: at,
                        seq,
                        ..broken(kind, path, detail)
                    })?;
                }
                Err((flaw, _)) if self.tolerates(flaw, is_last) => return Ok(()),
                Err((Flaw::Ahead, seq)) => {
                    let later = stands_later(&mut lines, expected);
                    let (kind, detail) = ahead(expected, seq, later);
                    return Err(Broken { line: at, seq, ..broken(kind, path, detail) });
                }
                Err((flaw, seq)) => return Err(self.explain(flaw, seq, line, (path, is_last))),
            }
            empty = false;
        }
        self.bytes = self.bytes.saturating_add(lines.offset);
        let kind = if is_last { BrokenKind::TornTail } else { BrokenKind::Removed };
        if empty && !self.tolerates(Flaw::Unfinished, is_last) {
            return Err(broken(kind, path, "it holds no record"));
        }
        Ok(())
    }

    fn next_seq(&self) -> u64 {
        self.position.map_or(1, |position| position.seq.saturating_add(1))
    }

    /// The last record of a chain that is being written may not be complete yet.
    fn tolerates(&mut self, flaw: Flaw, is_last: bool) -> bool {
        if flaw == Flaw::Unfinished && is_last && open::is_live(&self.dir, self.chain) {
            self.live = true;
        }
        self.live && flaw == Flaw::Unfinished
    }

    /// Takes a record that holds, after looking at what it says about the chain.
    fn accept(&mut self, good: Good<'_>, number: u32, line: u64) -> Result<(), Trouble> {
        if self.rotated_to.is_some() {
            return Err((BrokenKind::Inserted, "the segment had ended before it".to_owned()));
        }
        let opens = good.kind == Kind::Opened;
        if opens != (line == 1) {
            let detail = if opens {
                "a segment opens with it, and it is not the first"
            } else {
                "it is the first of its segment, and not the one that opens it"
            };
            return Err((BrokenKind::Inserted, detail.to_owned()));
        }
        match good.kind {
            Kind::Decision | Kind::Settled => {}
            Kind::Opened => self.opened(good.line, number)?,
            Kind::Recovered => self.recovered += 1,
            Kind::Rotated => self.rotated(good.line, number)?,
            Kind::Checkpoint => self.checkpoint(&good)?,
        }
        if let Some(mark) = self.mark.filter(|mark| mark.seq == good.seq && mark.hash != good.hash)
        {
            let detail =
                format!("it is not the record {} that the signed checkpoint covers", mark.seq);
            return Err((BrokenKind::BadCheckpoint, detail));
        }
        self.first.get_or_insert(good.seq);
        self.last_ts.clear();
        self.last_ts.extend_from_slice(walk::time_of(good.line));
        if self.first_ts.is_none() {
            self.first_ts = time_text(&self.last_ts);
        }
        self.records += 1;
        self.position = Some(Position { seq: good.seq, head: good.hash });
        Ok(())
    }

    fn opened(&mut self, line: &[u8], number: u32) -> Result<(), Trouble> {
        let Ok(opened) = serde_json::from_slice::<Opened<'_>>(line) else {
            return Err((BrokenKind::Edited, "it lacks a field".to_owned()));
        };
        if opened.format != crate::FORMAT {
            let detail = format!(
                "its format is {}, and this program reads {}",
                opened.format,
                crate::FORMAT
            );
            return Err((BrokenKind::Unreadable, detail));
        }
        if ChainId::parse(opened.chain) != Some(self.chain) || opened.segment != number {
            let detail = format!(
                "it opens segment {} of chain {}, under another name",
                opened.segment,
                opened.chain.escape_debug()
            );
            return Err((BrokenKind::Inserted, detail));
        }
        let Some(public_key) = json::unhex(opened.public_key.as_bytes()) else {
            return Err((BrokenKind::Edited, "its public key is none".to_owned()));
        };
        if *self.public_key.get_or_insert(public_key) != public_key {
            let detail = "its public key is not that of the chain".to_owned();
            return Err((BrokenKind::BadCheckpoint, detail));
        }
        Ok(())
    }

    fn rotated(&mut self, line: &[u8], number: u32) -> Result<(), Trouble> {
        match serde_json::from_slice::<Rotated>(line) {
            Ok(rotated) if Some(rotated.next) == number.checked_add(1) => {
                self.rotated_to = Some(rotated.next);
                Ok(())
            }
            Ok(_) | Err(_) => Err((BrokenKind::Edited, "it names no next segment".to_owned())),
        }
    }

    fn checkpoint(&mut self, good: &Good<'_>) -> Result<(), Trouble> {
        let fields = serde_json::from_slice::<MarkFields<'_>>(good.line);
        let mark = fields.ok().and_then(|fields| Mark::from_fields(&fields));
        let Some(mark) = mark.filter(|mark| mark.chain == self.chain) else {
            return Err((BrokenKind::BadCheckpoint, "it is none of this chain".to_owned()));
        };
        if mark.seq.checked_add(1) != Some(good.seq) || mark.hash != good.prev {
            let detail = "it does not cover the record before it".to_owned();
            return Err((BrokenKind::BadCheckpoint, detail));
        }
        if !mark.holds(&self.public_key.unwrap_or(mark.public_key)) {
            return Err((BrokenKind::BadCheckpoint, "its signature does not hold".to_owned()));
        }
        self.checkpoints += 1;
        if self.checkpoints == 1 {
            self.unsigned = self.records;
        }
        Ok(())
    }

    /// A flaw in words, with the record that it points at.
    fn explain(
        &self,
        flaw: Flaw,
        seq: Option<u64>,
        line: Line<'_>,
        (path, is_last): (&Path, bool),
    ) -> Broken {
        let mut found = Broken { line: line.number, seq, ..broken(BrokenKind::Edited, path, "") };
        let (kind, detail) = match flaw {
            Flaw::Unfinished => self.unfinished(is_last),
            Flaw::Form | Flaw::Hash if is_last && looks_torn(path, line.offset) => {
                self.unfinished(is_last)
            }
            Flaw::Form => (BrokenKind::Edited, "the line does not have the form of a record"),
            Flaw::Hash => (BrokenKind::Edited, "its bytes do not have the hash that it carries"),
            Flaw::Key => self.bad_key(line.bytes),
            Flaw::Ahead => (BrokenKind::Removed, "records before it are missing"),
            Flaw::Behind => (BrokenKind::Inserted, "a record with that number stands before it"),
            Flaw::Link if self.sealer.is_some() || line.number == 1 => {
                (BrokenKind::Inserted, "it does not follow the record before it")
            }
            Flaw::Link => {
                found.line = line.number.saturating_sub(1);
                found.seq = seq.map(|seq| seq.saturating_sub(1));
                let detail = "it was given a new hash: the record after it follows another";
                (BrokenKind::Edited, detail)
            }
        };
        found.kind = kind;
        detail.clone_into(&mut found.detail);
        found
    }

    fn unfinished(&self, is_last: bool) -> (BrokenKind, &'static str) {
        let last = self.position.map_or(0, |position| position.seq);
        if !is_last {
            (BrokenKind::Truncated, "the segment ends inside it, and another segment follows")
        } else if self.mark.is_some_and(|mark| mark.seq > last) {
            (BrokenKind::Truncated, "the file ends inside it, and a signed checkpoint covers more")
        } else {
            (BrokenKind::TornTail, "the file ends inside it (a crash?)")
        }
    }

    fn bad_key(&self, line: &[u8]) -> (BrokenKind, &'static str) {
        let opened = serde_json::from_slice::<Opened<'_>>(line).ok();
        let given = self.key.map(Key::id);
        match (opened, given) {
            (Some(opened), Some(given)) if opened.key_id != given => {
                (BrokenKind::WrongKey, "it was made with another key")
            }
            (Some(_) | None, Some(_) | None) => {
                (BrokenKind::Edited, "it was given a new hash, without the key")
            }
        }
    }
}

/// What a record turned out to be, and in words why.
type Trouble = (BrokenKind, String);

fn broken(kind: BrokenKind, file: &Path, detail: impl Into<String>) -> Broken {
    Broken { kind, file: file.to_path_buf(), line: 0, seq: None, detail: detail.into() }
}

/// Whether opening would take the rest of the segment for what a crash left.
fn looks_torn(path: &Path, offset: u64) -> bool {
    walk::rest_of(path, offset).is_ok_and(|rest| walk::is_torn(&rest))
}

/// Whether the record that should have come stands further down in the same segment.
fn stands_later(lines: &mut Lines, expected: u64) -> bool {
    while let Ok(Some(line)) = lines.next() {
        if Sealed::parse(line.bytes).is_some_and(|sealed| sealed.seq == expected) {
            return true;
        }
    }
    false
}

fn ahead(expected: u64, seq: Option<u64>, later: bool) -> Trouble {
    if later {
        let detail = format!("it stands before record {expected}");
        return (BrokenKind::Reordered, detail);
    }
    let last = seq.unwrap_or(expected).saturating_sub(1);
    let detail = if last == expected {
        format!("record {expected}, which was before it, is missing")
    } else {
        format!("records {expected} to {last}, which were before it, are missing")
    };
    (BrokenKind::Removed, detail)
}

fn time_text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes)
        .ok()
        .filter(|text| Timestamp::parse(text).is_some())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::{Folder, Sample, with_extension, written};
    use crate::{Ledger, limits};

    /// A ledger of one segment: opened, checkpoint, eight decisions, checkpoint.
    fn ledger() -> (Folder, Key, Vec<String>) {
        let folder = Folder::new();
        let key = written(&folder, 8);
        let text = fs::read_to_string(&folder.segments()[0]).unwrap();
        let lines = text.lines().map(str::to_owned).collect();
        (folder, key, lines)
    }

    fn store(folder: &Folder, lines: &[String]) {
        fs::write(&folder.segments()[0], lines.join("\n") + "\n").unwrap();
    }

    fn found(folder: &Folder, key: Option<&Key>) -> (BrokenKind, u64, Option<u64>) {
        let broken = verify(&folder.ledger(), key).unwrap_err();
        let text = broken.to_string();
        assert!(text.contains("help: ") && text.contains(broken.kind.as_str()), "{text}");
        (broken.kind, broken.line, broken.seq)
    }

    /// Makes the hashes anew from a line on, as somebody without the key can.
    fn rehash(lines: &mut [String], from: usize) {
        use sha2::{Digest, Sha256};
        let mut prev: Option<String> = None;
        for line in &mut lines[from..] {
            if let Some(prev) = &prev {
                let at = line.rfind(",\"prev\":\"").unwrap() + 9;
                line.replace_range(at..at + 64, prev);
            }
            let at = line.rfind(",\"hash\":\"").unwrap();
            let hash: [u8; 32] = Sha256::digest(&line.as_bytes()[..at]).into();
            let hash = json::hex_text(&hash);
            line.replace_range(at + 9..at + 73, &hash);
            prev = Some(hash);
        }
    }

    #[test]
    fn an_edit_of_any_field_is_found() {
        let (folder, key, lines) = ledger();
        let value: serde_json::Value = serde_json::from_str(&lines[5]).unwrap();
        let names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        assert!(names.len() > 20);
        for name in names {
            let at = lines[5].find(&format!("\"{name}\":")).unwrap() + name.len() + 4;
            let mut bytes = lines[5].clone().into_bytes();
            bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
            let mut edited = lines.clone();
            edited[5] = String::from_utf8(bytes).unwrap();
            store(&folder, &edited);
            for key in [Some(&key), None] {
                let (kind, line, _) = found(&folder, key);
                assert_eq!((kind, line), (BrokenKind::Edited, 6), "{name}");
            }
        }
    }

    #[test]
    fn swapped_records_are_found() {
        let (folder, key, mut lines) = ledger();
        lines.swap(4, 6);
        store(&folder, &lines);
        assert_eq!(found(&folder, Some(&key)), (BrokenKind::Reordered, 5, Some(7)));
        assert_eq!(found(&folder, None), (BrokenKind::Reordered, 5, Some(7)));
    }

    #[test]
    fn a_removed_record_is_found() {
        let (folder, key, mut lines) = ledger();
        lines.remove(4);
        store(&folder, &lines);
        assert_eq!(found(&folder, Some(&key)), (BrokenKind::Removed, 5, Some(6)));
    }

    #[test]
    fn removed_first_records_are_found() {
        let (folder, key, mut lines) = ledger();
        lines.drain(..2);
        store(&folder, &lines);
        assert_eq!(found(&folder, Some(&key)), (BrokenKind::Removed, 1, Some(3)));
    }

    #[test]
    fn a_copied_record_is_found() {
        let (folder, key, mut lines) = ledger();
        lines.insert(6, lines[3].clone());
        store(&folder, &lines);
        assert_eq!(found(&folder, Some(&key)), (BrokenKind::Inserted, 7, Some(4)));
    }

    #[test]
    fn a_record_of_another_chain_is_found() {
        let (folder, key, mut lines) = ledger();
        let other = Folder::new();
        fs::copy(folder.key_file(), other.key_file()).unwrap();
        written(&other, 8);
        let text = fs::read_to_string(&other.segments()[0]).unwrap();
        lines[5] = text.lines().nth(5).unwrap().to_owned();
        store(&folder, &lines);
        assert_eq!(found(&folder, Some(&key)), (BrokenKind::Inserted, 6, Some(6)));
    }

    #[test]
    fn a_cut_tail_is_found() {
        let (folder, key, lines) = ledger();
        for kept in 1..lines.len() {
            store(&folder, &lines[..kept]);
            for key in [Some(&key), None] {
                let (kind, _, seq) = found(&folder, key);
                assert_eq!((kind, seq), (BrokenKind::Truncated, Some(kept as u64 + 1)));
            }
        }
    }

    #[test]
    fn a_tail_cut_inside_a_record_is_found() {
        let (folder, key, lines) = ledger();
        let whole = fs::read(&folder.segments()[0]).unwrap();
        fs::write(&folder.segments()[0], &whole[..whole.len() - lines[10].len() / 2]).unwrap();
        // The signed checkpoint covers more: not a crash.
        assert_eq!(found(&folder, Some(&key)).0, BrokenKind::Truncated);
        // With nothing signed beyond it, it may be one.
        fs::write(&folder.segments()[0], &whole).unwrap();
        let mut longer = whole;
        longer.extend_from_slice(b"{\"seq\":12,\"ts\"");
        fs::write(&folder.segments()[0], &longer).unwrap();
        assert_eq!(found(&folder, Some(&key)).0, BrokenKind::TornTail);
    }

    fn rotated() -> (Folder, Key) {
        let folder = Folder::new();
        let mut config = folder.config();
        config.segment_bytes = limits::MIN_SEGMENT_BYTES;
        let sample = Sample::new("users");
        let ledger = Ledger::open(config).unwrap();
        for _ in 0..12 {
            assert_eq!(ledger.append(&[sample.allowed()]).unwrap().count(), 1);
        }
        ledger.close().unwrap();
        let key = folder.key();
        assert!(folder.segments().len() > 3);
        (folder, key)
    }

    #[test]
    fn a_missing_segment_is_found() {
        for position in [0, 1] {
            let (folder, key) = rotated();
            fs::remove_file(&folder.segments()[position]).unwrap();
            assert_eq!(found(&folder, Some(&key)).0, BrokenKind::MissingSegment);
        }
        let (folder, key) = rotated();
        fs::remove_file(folder.segments().pop().unwrap()).unwrap();
        assert_eq!(found(&folder, Some(&key)).0, BrokenKind::MissingSegment);
        // Also one that no other names: the checkpoint does.
        let folder = Folder::new();
        written(&folder, 1);
        let key = written(&folder, 1);
        fs::remove_file(folder.segments().pop().unwrap()).unwrap();
        assert_eq!(found(&folder, Some(&key)).0, BrokenKind::Truncated);
        fs::remove_file(folder.segments().pop().unwrap()).unwrap();
        assert_eq!(found(&folder, Some(&key)).0, BrokenKind::MissingSegment);
    }

    #[test]
    fn a_cut_tail_without_its_checkpoint_is_found() {
        let folder = Folder::new();
        let key = written(&folder, 9);
        let path = folder.segments().pop().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let kept: String = text.split_inclusive('\n').take(5).collect();
        fs::write(&path, kept).unwrap();
        let (chain, _) = segment::parse(&path).unwrap();
        fs::remove_file(segment::checkpoint_path(path.parent().unwrap(), chain)).unwrap();
        assert_eq!(found(&folder, Some(&key)).0, BrokenKind::BadCheckpoint);
        assert_eq!(found(&folder, None).0, BrokenKind::BadCheckpoint);
    }

    #[test]
    fn a_crash_between_two_segments_is_told_apart() {
        let folder = Folder::new();
        let mut config = folder.config();
        config.segment_bytes = limits::MIN_SEGMENT_BYTES;
        let sample = Sample::new("users");
        let (ledger, faults) = crate::testing::failing_with(config);
        faults.create.store(true, std::sync::atomic::Ordering::SeqCst);
        while ledger.append(&[sample.allowed()]).is_ok() {}
        drop(ledger);
        let broken = verify(&folder.ledger(), Some(&folder.key())).unwrap_err();
        assert_eq!(broken.kind, BrokenKind::TornTail, "{broken}");
        Ledger::open(folder.config()).unwrap().close().unwrap();
        verify(&folder.ledger(), Some(&folder.key())).unwrap();
    }

    #[test]
    fn a_cut_middle_segment_is_found() {
        let (folder, key) = rotated();
        let path = folder.segments()[1].clone();
        let text = fs::read_to_string(&path).unwrap();
        let kept: Vec<_> = text.lines().take(2).map(|line| format!("{line}\n")).collect();
        fs::write(&path, kept.concat()).unwrap();
        assert_eq!(found(&folder, Some(&key)).0, BrokenKind::Removed);
        fs::write(&path, "").unwrap();
        assert_eq!(found(&folder, Some(&key)).0, BrokenKind::Removed);
        fs::write(&path, &text.as_bytes()[..text.len() - 9]).unwrap();
        assert_eq!(found(&folder, Some(&key)).0, BrokenKind::Truncated);
    }

    #[test]
    fn renamed_segments_are_found() {
        let (folder, key) = rotated();
        let segments = folder.segments();
        let aside = folder.ledger().join("aside");
        fs::rename(&segments[1], &aside).unwrap();
        fs::rename(&segments[2], &segments[1]).unwrap();
        fs::rename(&aside, &segments[2]).unwrap();
        assert_eq!(found(&folder, Some(&key)).0, BrokenKind::Removed);
    }

    #[test]
    fn a_wrong_key_is_told_apart_from_an_edit() {
        let (folder, _, _) = ledger();
        let wrong = Key::from_bytes([9; 32]);
        assert_eq!(found(&folder, Some(&wrong)).0, BrokenKind::WrongKey);
        fs::remove_file(&with_extension(&folder.ledger(), "pub")[0]).unwrap();
        fs::remove_file(&with_extension(&folder.ledger(), "checkpoint")[0]).unwrap();
        assert_eq!(found(&folder, Some(&wrong)).0, BrokenKind::WrongKey);
    }

    #[test]
    fn a_forger_without_the_key_is_found() {
        let (folder, key, lines) = ledger();
        let mut forged = lines.clone();
        forged[5] = forged[5].replace("\"decision\":\"allow\"", "\"decision\":\"deny\"");
        // One record made anew: the next one does not follow it.
        let mut one = forged.clone();
        rehash(&mut one[..6], 5);
        store(&folder, &one);
        assert_eq!(found(&folder, Some(&key)), (BrokenKind::Edited, 6, Some(6)));
        assert_eq!(found(&folder, None), (BrokenKind::Edited, 6, Some(6)));
        // All that follow made anew: the checkpoint covers other records.
        rehash(&mut forged, 5);
        store(&folder, &forged);
        assert_eq!(found(&folder, Some(&key)), (BrokenKind::Edited, 6, Some(6)));
        assert_eq!(found(&folder, None).0, BrokenKind::BadCheckpoint);
        // And the tail with the checkpoint taken away.
        store(&folder, &forged[..10]);
        assert_eq!(found(&folder, None).0, BrokenKind::Truncated);
    }

    #[test]
    fn a_ledger_made_anew_with_another_key_needs_the_pinned_public_key() {
        let (folder, key, _) = ledger();
        verify_pinned(&folder.ledger(), &key.public()).unwrap();
        let broken = verify_pinned(&folder.ledger(), &Key::from_bytes([1; 32]).public());
        assert_eq!(broken.unwrap_err().kind, BrokenKind::WrongKey);
    }

    #[test]
    fn a_checkpoint_file_that_is_missing_or_changed_is_found() {
        let (folder, key, _) = ledger();
        let path = with_extension(&folder.ledger(), "checkpoint")[0].clone();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"covers\":11", "\"covers\":10")).unwrap();
        assert_eq!(found(&folder, Some(&key)).0, BrokenKind::BadCheckpoint);
        fs::write(&path, "{}").unwrap();
        assert_eq!(found(&folder, None).0, BrokenKind::BadCheckpoint);
        fs::remove_file(&path).unwrap();
        assert_eq!(found(&folder, None).0, BrokenKind::BadCheckpoint);
    }

    #[test]
    fn other_files_and_unknown_paths_are_told_apart() {
        let (folder, key, _) = ledger();
        fs::write(folder.ledger().join("notes.txt"), "x").unwrap();
        verify(&folder.ledger(), Some(&key)).unwrap();
        assert_eq!(
            verify(&folder.ledger().join("notes.txt"), None).unwrap_err().kind,
            BrokenKind::Unreadable
        );
        assert_eq!(
            verify(&folder.ledger().join("nothing"), None).unwrap_err().kind,
            BrokenKind::Unreadable
        );
    }

    type Made = (Folder, Key, Vec<(PathBuf, Vec<u8>)>);

    /// A ledger of two segments for the property: made once.
    fn sample_ledger() -> &'static Made {
        static LEDGER: std::sync::OnceLock<Made> = std::sync::OnceLock::new();
        LEDGER.get_or_init(|| {
            let folder = Folder::new();
            written(&folder, 2);
            let key = written(&folder, 2);
            let mut files = folder.segments();
            files.extend(with_extension(&folder.ledger(), "checkpoint"));
            files.extend(with_extension(&folder.ledger(), "pub"));
            let files = files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap()));
            let files = files.collect();
            (folder, key, files)
        })
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(500))]
        #[test]
        fn verify_finds_any_single_byte_flip(
            file in proptest::prelude::any::<proptest::sample::Index>(),
            at in proptest::prelude::any::<proptest::sample::Index>(),
            flip in 1..=255_u8,
            keyed: bool,
        ) {
            let (folder, key, files) = sample_ledger();
            let (path, bytes) = &files[file.index(files.len())];
            let mut changed = bytes.clone();
            let at = at.index(bytes.len());
            changed[at] ^= flip;
            // White space around a public key, or in and after a checkpoint, means nothing.
            let end_of_side_file = path.extension().is_none_or(|e| e != "jsonl")
                && changed.trim_ascii() == bytes.trim_ascii();
            fs::write(path, &changed).unwrap();
            let outcome = verify(&folder.ledger(), keyed.then_some(key));
            fs::write(path, bytes).unwrap();
            proptest::prop_assert!(
                outcome.is_err() != end_of_side_file,
                "byte {} of {} changed to {}: {:?}", at, path.display(), changed[at], outcome
            );
        }

        /// Any bytes in a segment: an answer, never a panic.
        #[test]
        fn verification_is_total(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..2000)) {
            let folder = Folder::new();
            let path = folder.ledger().join("00000001-000001.jsonl");
            fs::create_dir_all(folder.ledger()).unwrap();
            fs::write(path, bytes).unwrap();
            proptest::prop_assert!(verify(&folder.ledger(), None).is_err());
        }
    }
}
