//! A hash for names and OIDs of a catalog: short keys, looked up several times for each statement.
//!
//! Keyed with a secret of the process, since whoever makes relations chooses their names: which of them would share a
//! slot cannot be told from outside. Not for anything that is stored or compared elsewhere.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};

/// A map by names or OIDs of a catalog.
pub(super) type Keyed<K, V> = HashMap<K, V, Secret>;

/// A set of them.
pub(super) type KeyedSet<K> = HashSet<K, Secret>;

/// The secret of one map.
#[derive(Debug, Clone)]
pub(super) struct Secret {
    seed: u64,
    /// Odd, so that no product of it loses a bit.
    factor: u64,
}

impl Default for Secret {
    fn default() -> Self {
        let random = RandomState::new();
        Self { seed: random.hash_one(0_u8), factor: random.hash_one(1_u8) | 1 }
    }
}

impl BuildHasher for Secret {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded { state: self.seed, factor: self.factor }
    }
}

/// Multiplies each word into the state and folds the product's halves together.
#[derive(Debug)]
pub(super) struct Folded {
    state: u64,
    factor: u64,
}

impl Folded {
    fn add(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.factor);
        let bytes = product.to_le_bytes();
        let (low, high) = bytes.split_at(8);
        self.state = word_of(low) ^ word_of(high);
    }
}

/// Up to eight bytes as a number.
fn word_of(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(whole) => u64::from_le_bytes(*whole),
        None => bytes.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte)),
    }
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        let words = bytes.chunks_exact(8);
        let rest = words.remainder();
        for word in words {
            self.add(word_of(word));
        }
        if !rest.is_empty() {
            self.add(word_of(rest));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.add(u64::from(byte));
    }

    fn write_u32(&mut self, number: u32) {
        self.add(u64::from(number));
    }

    fn write_usize(&mut self, number: usize) {
        self.write(&number.to_le_bytes());
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let secret = Secret::default();
        let names = (0..5_000).map(|n| format!("t{n}"));
        let more = (0..200).map(|n| "x".repeat(n));
        let all: HashSet<u64> =
            names.chain(more).map(|name| secret.hash_one(name.as_str())).collect();
        assert_eq!(all.len(), 5_200);
        let oids: HashSet<u64> = (0..5_000_u32).map(|oid| secret.hash_one(oid)).collect();
        assert_eq!(oids.len(), 5_000);
    }

    #[test]
    fn low_bits_differ() {
        let secret = Secret::default();
        let slots: HashSet<u64> = (0..1_024_u32).map(|oid| secret.hash_one(oid) & 0xfff).collect();
        assert!(slots.len() > 700, "{}", slots.len());
    }

    #[test]
    fn another_map_has_another_secret() {
        assert_ne!(Secret::default().hash_one("t"), Secret::default().hash_one("t"));
    }
}
