//! The state directory: private, local, and held by one scheduler at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Filesystems that live on another machine, whose locks and syncs cannot be relied on: `statfs` magic and name.
const REMOTE: [(i64, &str); 7] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9P"),
    (0x6573_5546, "FUSE"),
    (0x0bd0_0bd0, "Lustre"),
    (0x00c3_6400, "Ceph"),
];

/// Why a directory cannot hold the state.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The system said so.
    #[error("cannot {doing} {path}")]
    Io {
        /// What we were doing.
        doing: &'static str,
        /// To what.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody could have put it there.
    #[error("the state directory {0} is a symbolic link: name the directory itself")]
    Symlink(String),
    /// It belongs to somebody else.
    #[error("the state directory {path} belongs to user {owner}, we are user {us}")]
    Foreign {
        /// Which.
        path: String,
        /// Its owner.
        owner: u32,
        /// Our own.
        us: u32,
    },
    /// Others may write there.
    #[error("others may write to the state directory {path} (mode {mode:o}): chmod 700 {path}")]
    Lax {
        /// Which.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// Locks and syncs cannot be relied on there.
    #[error("the state directory {path} is on {kind}, whose locks and syncs cannot be relied on: use a local disk")]
    Remote {
        /// Which.
        path: String,
        /// The filesystem.
        kind: &'static str,
    },
    /// Another scheduler is at work there.
    #[error("the state directory {path} is held by another scheduler ({holder})")]
    Held {
        /// Which.
        path: String,
        /// Who, as it wrote down.
        holder: String,
    },
}

/// A state directory that is ours until this is dropped.
#[derive(Debug)]
pub struct Place {
    /// Where it is.
    pub path: PathBuf,
    _lock: File,
}

impl Place {
    /// Takes the directory, which is made if it is not there.
    ///
    /// # Errors
    /// [`PlaceError`] if it cannot or should not be used.
    pub fn take(path: &Path) -> Result<Self, PlaceError> {
        let shown = || path.display().to_string();
        let failed = |doing| move |source| PlaceError::Io { doing, path: path.display().to_string(), source };
        match std::fs::symlink_metadata(path) {
            Ok(known) if known.file_type().is_symlink() => return Err(PlaceError::Symlink(shown())),
            Ok(_) => {}
            Err(_) => DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make"))?,
        }
        let known = std::fs::metadata(path).map_err(failed("look at"))?;
        let us = rustix::process::geteuid().as_raw();
        if known.uid() != us {
            return Err(PlaceError::Foreign { path: shown(), owner: known.uid(), us });
        }
        let mode = known.permissions().mode() & 0o777;
        if mode & 0o022 != 0 {
            return Err(PlaceError::Lax { path: shown(), mode });
        }
        let kind = rustix::fs::statfs(path).map_err(io::Error::from).map_err(failed("look at"))?.f_type;
        if let Some((_, kind)) = REMOTE.iter().find(|(magic, _)| *magic == kind as i64 & 0xffff_ffff) {
            return Err(PlaceError::Remote { path: shown(), kind });
        }
        let lock = lock(path)?;
        for dir in ["journal", "spare"] {
            let dir = path.join(dir);
            if !dir.exists() {
                DirBuilder::new().mode(0o700).create(dir).map_err(failed("make a directory in"))?;
            }
        }
        File::open(path).and_then(|dir| dir.sync_all()).map_err(failed("sync"))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }
}

fn lock(path: &Path) -> Result<File, PlaceError> {
    let failed = |doing| move |source| PlaceError::Io { doing, path: path.display().to_string(), source };
    let name = path.join("LOCK");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(name)
        .map_err(failed("lock"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(failed("read the lock of"))?;
            let holder = holder.trim().replace('\n', ", ");
            return Err(PlaceError::Held { path: path.display().to_string(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
    }
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let text = format!("pid {}\nboot {}\n", std::process::id(), boot.trim());
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(text.as_bytes()))
        .map_err(failed("lock"))?;
    Ok(file)
}
