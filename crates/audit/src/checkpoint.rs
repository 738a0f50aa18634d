//! Signed checkpoints: what the chain was at a moment, provable with the public key alone.
//!
//! A checkpoint is a record that signs the record before it. The newest one whose records are on
//! the disk is also signed, itself included, into `<chain>.checkpoint`, so that a cut tail shows.

use std::io;
use std::path::Path;

use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::chain::Hash;
use crate::disk::Disk;
use crate::{ChainId, json, key, record, segment};

/// "The record with that number in that chain has that hash", signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) chain: ChainId,
    pub(crate) seq: u64,
    pub(crate) hash: Hash,
    pub(crate) public_key: [u8; 32],
    pub(crate) signature: [u8; 64],
}

/// How a mark is written beside the segments.
#[derive(Debug, Serialize)]
struct Written {
    chain: String,
    covers: u64,
    head: String,
    public_key: String,
    signature: String,
}

/// The signed text. It names its purpose, so that no other signature can stand for it.
fn message(chain: ChainId, seq: u64, hash: &Hash) -> String {
    format!("portcullis ledger checkpoint 1\n{chain}\n{seq}\n{}\n", json::hex_text(hash))
}

impl Mark {
    pub(crate) fn sign(key: &SigningKey, chain: ChainId, seq: u64, hash: Hash) -> Self {
        let signature = key::sign(key, message(chain, seq, &hash).as_bytes());
        Self { chain, seq, hash, public_key: key.verifying_key().to_bytes(), signature }
    }

    /// Whether the signature is that of `public_key`.
    pub(crate) fn holds(&self, public_key: &[u8; 32]) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(public_key) else { return false };
        let message = message(self.chain, self.seq, &self.hash);
        let signature = Signature::from_bytes(&self.signature);
        self.public_key == *public_key && key.verify_strict(message.as_bytes(), &signature).is_ok()
    }

    /// Reads the fields of a checkpoint record or file.
    pub(crate) fn from_fields(fields: &MarkFields<'_>) -> Option<Self> {
        Some(Self {
            chain: ChainId::parse(fields.chain)?,
            seq: fields.covers,
            hash: json::unhex(fields.head.as_bytes())?,
            public_key: json::unhex(fields.public_key.as_bytes())?,
            signature: json::unhex(fields.signature.as_bytes())?,
        })
    }
}

/// The fields of a checkpoint as text.
#[derive(Debug, Deserialize)]
pub(crate) struct MarkFields<'a> {
    pub(crate) chain: &'a str,
    pub(crate) covers: u64,
    pub(crate) head: &'a str,
    pub(crate) public_key: &'a str,
    pub(crate) signature: &'a str,
}

/// Appends everything between `ts` and `prev` of a checkpoint record.
pub(crate) fn write(out: &mut Vec<u8>, mark: &Mark) {
    record::text(out, "kind", "checkpoint");
    record::text(out, "chain", &mark.chain.to_string());
    record::number(out, "covers", mark.seq);
    record::hex(out, "head", &mark.hash);
    record::hex(out, "public_key", &mark.public_key);
    record::hex(out, "signature", &mark.signature);
}

/// Replaces `<chain>.checkpoint`.
pub(crate) fn mirror(disk: &dyn Disk, dir: &Path, mark: &Mark) -> io::Result<()> {
    let written = Written {
        chain: mark.chain.to_string(),
        covers: mark.seq,
        head: json::hex_text(&mark.hash),
        public_key: json::hex_text(&mark.public_key),
        signature: json::hex_text(&mark.signature),
    };
    let mut content = serde_json::to_vec(&written)?;
    content.push(b'\n');
    disk.replace(&segment::checkpoint_path(dir, mark.chain), &content)
}

/// What stands beside the segments of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mirror {
    /// No such file.
    Absent,
    /// A file that holds no checkpoint of the chain.
    Malformed,
    /// This; its signature is not checked yet.
    Mark(Mark),
}

/// Reads `<chain>.checkpoint`.
pub(crate) fn read_mirror(dir: &Path, chain: ChainId) -> io::Result<Mirror> {
    let Some(bytes) = read_small(&segment::checkpoint_path(dir, chain))? else {
        return Ok(Mirror::Absent);
    };
    let fields = serde_json::from_slice::<MarkFields<'_>>(&bytes).ok();
    let mark = fields.and_then(|fields| Mark::from_fields(&fields));
    Ok(mark.filter(|mark| mark.chain == chain).map_or(Mirror::Malformed, Mirror::Mark))
}

/// A small file, or `None` if there is none.
pub(crate) fn read_small(path: &Path) -> io::Result<Option<Vec<u8>>> {
    use std::io::Read;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(crate::limits::MAX_SMALL_FILE).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
