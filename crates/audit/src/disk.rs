//! The little of the file system that a running ledger needs, behind a trait so that a full or
//! failing disk can be tested.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// One open segment.
pub(crate) trait Segment: Send + Sync {
    /// One write(2): may take fewer bytes than given.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// One fdatasync(2).
    fn sync(&self) -> io::Result<()>;
}

/// Where segments and checkpoints are made.
pub(crate) trait Disk: Send + Sync {
    /// Makes a segment, which must not exist.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Segment>>;
    /// Makes the names of new files in the folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Replaces a small file in one step.
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()>;
}

/// Files.
pub(crate) struct Files;

impl Segment for File {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self;
        Write::write(&mut file, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Disk for Files {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Segment>> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        Ok(Arc::new(file))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let draft = path.with_extension("new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(content)?;
        file.sync_data()?;
        std::fs::rename(&draft, path)
    }
}

/// Writes everything, or says why not. An interrupted call is repeated; no other failure is.
pub(crate) fn write_all(segment: &dyn Segment, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match segment.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(taken) => {
                bytes = bytes.get(taken..).ok_or(io::ErrorKind::InvalidData)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
