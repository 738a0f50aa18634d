//! The chain: how a record is sealed, and how a sealed line is taken apart again.
//!
//! A line is `{"seq":N,…,"prev":"…","hmac":"…","hash":"…"}` and a newline. `prev` is the hash of
//! the record before. `hmac` is HMAC-SHA256 of the SHA-256 of every byte of the line before
//! `,"hmac"`; `hash` is SHA-256 of every byte before `,"hash"`, the hmac included. Both are over the
//! bytes as they stand in the file: nothing is ever serialised again to be checked. That the HMAC
//! takes the digest lets one pass over the bytes serve both.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::json;

/// SHA-256 of a record.
pub(crate) type Hash = [u8; 32];

/// What the first record of a chain has for `prev`.
pub(crate) const GENESIS: Hash = [0; 32];

const HEAD: &[u8] = b"{\"seq\":";
const PREV: &[u8] = b",\"prev\":\"";
const HMAC: &[u8] = b",\"hmac\":\"";
const HASH: &[u8] = b",\"hash\":\"";
/// `,"prev":"`, 64 digits and `"`; the other two names are as long.
const FIELD_LEN: usize = 9 + 64 + 1;

/// A keyed hash whose key schedule is computed once.
#[derive(Clone)]
pub(crate) struct Sealer(Hmac<Sha256>);

impl Sealer {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        // HMAC pads a short key with zeros to the length of a block.
        let mut block = [0; 64];
        for (slot, byte) in block.iter_mut().zip(key) {
            *slot = *byte;
        }
        Self(Hmac::new(&block.into()))
    }

    /// The keyed hash of `bytes`.
    pub(crate) fn mac(&self, bytes: &[u8]) -> Hash {
        self.0.clone().chain_update(bytes).finalize().into_bytes().into()
    }

    /// Ends the record that starts at `start` of `out`, and gives its hash.
    pub(crate) fn seal(&self, out: &mut Vec<u8>, start: usize, prev: &Hash) -> Hash {
        field(out, PREV, prev);
        let mut hasher = Sha256::new();
        hasher.update(out.get(start..).unwrap_or_default());
        let mac = self.mac(&hasher.clone().finalize());
        let signed_end = out.len();
        field(out, HMAC, &mac);
        hasher.update(out.get(signed_end..).unwrap_or_default());
        let hash = hasher.finalize().into();
        field(out, HASH, &hash);
        out.extend_from_slice(b"}\n");
        hash
    }
}

fn field(out: &mut Vec<u8>, name: &[u8], hash: &Hash) {
    out.extend_from_slice(name);
    json::hex(out, hash);
    out.push(b'"');
}

/// Starts a record: everything up to its kind.
pub(crate) fn start(out: &mut Vec<u8>, seq: u64, now: crate::Timestamp) {
    out.extend_from_slice(HEAD);
    json::number(out, seq);
    out.extend_from_slice(b",\"ts\":\"");
    now.write(out);
    out.push(b'"');
}

/// A line (without its newline) taken apart; nothing is checked yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sealed<'a> {
    /// Its number.
    pub(crate) seq: u64,
    /// What it says that the record before hashes to.
    pub(crate) prev: Hash,
    /// What it says that its hash is.
    pub(crate) hash: Hash,
    mac: Hash,
    hashed: &'a [u8],
    signed_len: usize,
}

impl<'a> Sealed<'a> {
    /// `None` if the line does not have the form of a record.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let whole = line.strip_suffix(b"}")?;
        let (hashed, hash) = cut(whole, HASH)?;
        let (signed, mac) = cut(hashed, HMAC)?;
        let (content, prev) = cut(signed, PREV)?;
        let digits = content.strip_prefix(HEAD)?;
        let end = digits.iter().position(|byte| *byte == b',')?;
        let digits = digits.get(..end)?;
        let plain = matches!(digits.first(), Some(b'1'..=b'9'));
        let seq = std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()?;
        Some(Self { seq, prev, hash, mac, hashed, signed_len: signed.len() })
    }

    /// Whether the hash is the hash of the bytes, and, if there is a `sealer`, whether the keyed
    /// hash was made with its key.
    pub(crate) fn holds(&self, sealer: Option<&Sealer>) -> (bool, bool) {
        let (signed, mac_field) =
            self.hashed.split_at_checked(self.signed_len).unwrap_or((self.hashed, &[]));
        let mut hasher = Sha256::new();
        hasher.update(signed);
        let mac_holds =
            sealer.is_none_or(|sealer| sealer.mac(&hasher.clone().finalize()) == self.mac);
        hasher.update(mac_field);
        (<Hash>::from(hasher.finalize()) == self.hash, mac_holds)
    }
}

fn cut<'a>(bytes: &'a [u8], name: &[u8]) -> Option<(&'a [u8], Hash)> {
    let (front, field) = bytes.split_at_checked(bytes.len().checked_sub(FIELD_LEN)?)?;
    let digits = field.strip_prefix(name)?.strip_suffix(b"\"")?;
    Some((front, json::unhex(digits)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_record_comes_apart_and_holds() {
        let sealer = Sealer::new(&[7; 32]);
        let mut out = b"before\n".to_vec();
        let begin = out.len();
        start(&mut out, 42, crate::Timestamp(0));
        let hash = sealer.seal(&mut out, begin, &GENESIS);
        let line = out[begin..].strip_suffix(b"\n").unwrap();
        let sealed = Sealed::parse(line).unwrap();
        assert_eq!((sealed.seq, sealed.prev, sealed.hash), (42, GENESIS, hash));
        assert_eq!(sealed.holds(None), (true, true));
        assert_eq!(sealed.holds(Some(&sealer)), (true, true));
        assert_eq!(sealed.holds(Some(&Sealer::new(&[8; 32]))), (true, false));
        assert!(serde_json::from_slice::<serde_json::Value>(line).is_ok());
    }

    #[test]
    fn the_keyed_hash_is_hmac_sha256() {
        // From `printf 'what do ya want for nothing?' | openssl dgst -sha256 -hmac kkk…k`.
        let mac = Sealer::new(&[b'k'; 32]).mac(b"what do ya want for nothing?");
        assert_eq!(
            json::hex_text(&mac),
            "4f63351605b85f42e803b30e42c1905fed065a563ff4295a47982e43f228e097"
        );
    }
}
