//! Names of files in a ledger's folder, and what is there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{ChainId, LedgerError, limits};

/// `<chain>-<NNNNNN>.jsonl`.
pub(crate) fn path(dir: &Path, chain: ChainId, number: u32) -> PathBuf {
    dir.join(format!("{chain}-{number:06}.jsonl"))
}

/// Held while a process writes the chain.
pub(crate) fn lock_path(dir: &Path, chain: ChainId) -> PathBuf {
    dir.join(format!("{chain}.lock"))
}

/// The newest checkpoint whose records are on the disk.
pub(crate) fn checkpoint_path(dir: &Path, chain: ChainId) -> PathBuf {
    dir.join(format!("{chain}.checkpoint"))
}

/// The public half of the checkpoint key.
pub(crate) fn public_key_path(dir: &Path, chain: ChainId) -> PathBuf {
    dir.join(format!("{chain}.pub"))
}

/// Chain and number that a file name says.
pub(crate) fn parse(path: &Path) -> Option<(ChainId, u32)> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".jsonl")?;
    let (chain, number) = stem.split_once('-')?;
    let plain = number.len() == 6 && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = Some(number).filter(|_| plain)?.parse().ok().filter(|number| *number > 0)?;
    Some((ChainId::parse(chain)?, number))
}

/// Chain that a lock, checkpoint or public key file belongs to.
fn parse_side(path: &Path) -> Option<ChainId> {
    let name = path.file_name()?.to_str()?;
    let chain = [".lock", ".checkpoint", ".pub"].iter().find_map(|end| name.strip_suffix(end))?;
    ChainId::parse(chain)
}

/// The segments of each chain, by number. A chain of which only a checkpoint is left is there,
/// with no segment.
pub(crate) type Chains = BTreeMap<ChainId, BTreeMap<u32, PathBuf>>;

/// What a folder holds; other files are left alone.
pub(crate) fn list(dir: &Path) -> Result<Chains, LedgerError> {
    let failed = || LedgerError::io("list the folder", dir);
    let mut chains = Chains::new();
    for entry in std::fs::read_dir(dir).map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        if let Some((chain, number)) = parse(&path) {
            chains.entry(chain).or_default().insert(number, path);
        } else if let Some(chain) = parse_side(&path) {
            chains.entry(chain).or_default();
        }
    }
    if chains.len() > limits::MAX_CHAINS {
        return Err(LedgerError::TooMany { path: dir.to_path_buf() });
    }
    Ok(chains)
}

/// Files that look like segments and are none: somebody put them there.
pub(crate) fn strays(dir: &Path) -> Result<Vec<PathBuf>, LedgerError> {
    let failed = || LedgerError::io("list the folder", dir);
    let mut strays = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        let is_segment = path.extension().is_some_and(|end| end == "jsonl");
        if is_segment && parse(&path).is_none() {
            strays.push(path);
        }
    }
    strays.sort();
    Ok(strays)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let chain = ChainId::parse("00a5ff01").unwrap();
        let path = path(Path::new("/x"), chain, 12);
        assert_eq!(path.to_str(), Some("/x/00a5ff01-000012.jsonl"));
        assert_eq!(parse(&path), Some((chain, 12)));
        for other in ["00a5ff01-12.jsonl", "00a5ff01-000000.jsonl", "x-000001.jsonl", "a.jsonl"] {
            assert_eq!(parse(Path::new(other)), None, "{other}");
        }
    }
}
