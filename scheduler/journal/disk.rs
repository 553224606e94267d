//! What the journal asks of a disk: few verbs, so that a simulated disk can stand below it and lose power.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

/// A directory of files. Names are relative and hold at most one `/`.
pub trait Disk: Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;
    /// Opens a file that is there.
    ///
    /// # Errors
    /// What the system says; the same for all others.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Makes a file of so many zeros, written and synced; one that was there is replaced.
    fn zeros(&self, name: &str, size: usize) -> io::Result<()>;
    /// Names in a directory, without its own.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Gives a file another name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Makes the names of a directory durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send {
    /// Everything in it.
    ///
    /// # Errors
    /// What the system says; the same for all others.
    fn read_all(&self) -> io::Result<Vec<u8>>;
    /// Writes all the bytes there. A short write is an error.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Returns when what was written is on stable storage.
    fn sync_data(&mut self) -> io::Result<()>;
}

/// A real directory.
#[derive(Clone, Debug)]
pub struct RealDisk(pub PathBuf);

impl Disk for RealDisk {
    type File = File;

    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.0.join(name))
    }

    fn zeros(&self, name: &str, size: usize) -> io::Result<()> {
        // Written, not allocated: an allocated extent costs metadata again at the first sync of each part.
        let path = self.0.join(name);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        let block = vec![0; 1 << 20];
        let mut left = size;
        while left > 0 {
            let part = left.min(block.len());
            if let Err(error) = file.write_all(&block[..part]) {
                drop(std::fs::remove_file(&path));
                return Err(error);
            }
            left -= part;
        }
        file.sync_all()
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.0.join(dir))? {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.0.join(from), self.0.join(to))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.0.join(dir))?.sync_all()
    }
}

impl DiskFile for File {
    fn read_all(&self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.metadata()?.len()).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        File::sync_data(self)
    }
}
