//! The key of a ledger: made once, kept in a file that only its owner can read.
//!
//! One secret serves both purposes: it is the HMAC key of the records, and the seed of the Ed25519
//! key that signs checkpoints is derived from it. Neither is ever shown; [`Key::id`] names it.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};

use crate::chain::Sealer;
use crate::{LedgerError, json, limits};

/// The secret of a ledger.
#[derive(Clone)]
pub struct Key {
    bytes: [u8; 32],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Key {
    /// A key of these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { bytes }
    }

    /// Reads a key file. Refused if anybody but the owner may read or write it.
    pub fn load(path: &Path) -> Result<Self, LedgerError> {
        let file = File::open(path).map_err(LedgerError::io("open the key file", path))?;
        let metadata = file.metadata().map_err(LedgerError::io("inspect the key file", path))?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(LedgerError::KeyExposed { path: path.to_path_buf(), mode });
        }
        let mut text = Vec::new();
        file.take(limits::MAX_SMALL_FILE)
            .read_to_end(&mut text)
            .map_err(LedgerError::io("read the key file", path))?;
        match json::unhex(text.trim_ascii()) {
            Some(bytes) => Ok(Self { bytes }),
            None => Err(LedgerError::KeyMalformed { path: path.to_path_buf() }),
        }
    }

    /// Reads a key file, or makes it, with mode 0600, if there is none. Its folder must exist.
    pub fn load_or_create(path: &Path) -> Result<Self, LedgerError> {
        if !path.try_exists().map_err(LedgerError::io("find the key file", path))? {
            match Self::create(path) {
                Ok(()) => {}
                // Another process was faster; its key counts.
                Err(LedgerError::Io { source, .. })
                    if source.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Self::load(path)
    }

    /// The file appears under its name only when it is complete and on disk.
    fn create(path: &Path) -> Result<(), LedgerError> {
        let failed = || LedgerError::io("create the key file", path);
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_no_detail| LedgerError::NoRandomness)?;
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".new-{}", std::process::id()));
        let draft = path.with_file_name(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .map_err(failed())?;
        let written = file
            .write_all(format!("{}\n", json::hex_text(&bytes)).as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::hard_link(&draft, path));
        fs::remove_file(&draft).map_err(failed())?;
        written.map_err(failed())?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed())
    }

    /// Which key this is: the first eight digits of its SHA-256.
    pub fn id(&self) -> String {
        let digest: [u8; 32] = Sha256::digest(self.bytes).into();
        json::hex_text(digest.first_chunk::<4>().unwrap_or(&[0; 4]))
    }

    /// The public half of the checkpoint key.
    pub fn public(&self) -> [u8; 32] {
        self.signing_key().verifying_key().to_bytes()
    }

    pub(crate) fn sealer(&self) -> Sealer {
        Sealer::new(&self.bytes)
    }

    pub(crate) fn signing_key(&self) -> SigningKey {
        // Longer than a digest, so no record has this keyed hash.
        SigningKey::from_bytes(&self.sealer().mac(b"portcullis ledger checkpoint key 1"))
    }
}

/// Signs what a checkpoint says.
pub(crate) fn sign(key: &SigningKey, message: &[u8]) -> [u8; 64] {
    key.sign(message).to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn a_key_is_made_once_for_its_owner_only() {
        let folder = Folder::new();
        let path = folder.key_file();
        let made = Key::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Key::load_or_create(&path).unwrap().id(), made.id());
        assert_eq!(Key::load(&path).unwrap().public(), made.public());
        assert_eq!(made.id().len(), 8);
        let debug = format!("{made:?}");
        assert!(debug.contains(&made.id()) && !debug.contains(&json::hex_text(&made.bytes)));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = Folder::new();
        let path = folder.key_file();
        Key::load_or_create(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = Key::load_or_create(&path).unwrap_err();
            assert!(matches!(error, LedgerError::KeyExposed { .. }));
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn a_malformed_key_is_refused_and_left_alone() {
        let folder = Folder::new();
        let path = folder.key_file();
        for text in ["", "00", &"G".repeat(64), &"a".repeat(66)] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let error = Key::load_or_create(&path).unwrap_err();
            assert!(matches!(error, LedgerError::KeyMalformed { .. }), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn the_folder_of_a_key_is_not_made() {
        let folder = Folder::new();
        let path = folder.ledger().join("deep").join("key");
        assert!(matches!(Key::load_or_create(&path), Err(LedgerError::Io { .. })));
    }

    #[test]
    fn processes_that_make_a_key_at_once_agree() {
        let folder = Folder::new();
        let path = folder.key_file();
        let other = Key::load_or_create(&path).unwrap();
        // The slower one finds the name taken when its own is ready.
        let error = Key::create(&path).unwrap_err();
        assert!(matches!(&error, LedgerError::Io { source, .. }
            if source.kind() == io::ErrorKind::AlreadyExists));
        assert_eq!(Key::load(&path).unwrap().id(), other.id());
    }
}
