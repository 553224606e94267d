//! What is on disk about each attempt. A directory names an attempt, is made once, and is never started from twice.
//!
//! `attempts/JOB-EPOCH/`: `work.json` what to run · `claim` taken by the one who may decide · `guard.json` who guards ·
//! `started.json` · `stop.json` an order to end · `exit.json` how it ended · `meter.json` energy not booked yet.
//! `logs/JOB-EPOCH.log` outlives the directory.

use chrono::{DateTime, Utc};
use neap_model::job::AttemptId;
use neap_model::lifecycle::{AttemptEnd, StopCause};
use neap_model::protocol::Lease;
use neap_model::seconds::Seconds;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What a guard is to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Random behind the attempt's number: marks its processes among those of every other site on this host.
    pub mark: String,
    /// The lease.
    pub lease: Lease,
    /// The node's name.
    pub node: String,
    /// Indices of the GPUs of the lease, in PCI bus order.
    pub gpu_indices: Vec<u32>,
    /// The file its output goes to.
    pub log: PathBuf,
    /// Most bytes kept of it.
    pub log_limit: u64,
    /// The program that jobs find as `neap`.
    pub program: PathBuf,
}

/// A process that can be told apart from a later one with the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: i32,
    /// Start time in clock ticks since boot.
    pub started: u64,
    /// The boot it belongs to.
    pub boot: String,
}

/// The job's first process runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Since.
    pub at: DateTime<Utc>,
    /// Its process.
    pub process: Identity,
}

/// An order to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopOrder {
    /// Why.
    pub cause: StopCause,
    /// Time between TERM and KILL.
    pub grace: Seconds,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// How.
    pub end: AttemptEnd,
    /// When all its processes were gone.
    pub at: DateTime<Utc>,
    /// Processor time of everything it started, in milliseconds.
    pub cpu_ms: u64,
    /// How its processes were contained: `subreaper` finds whatever it started, however it left.
    pub containment: String,
    /// Bytes of output that were not kept.
    pub output_dropped: u64,
}

/// Why the run directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
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
    /// Another executor works there.
    #[error("the run directory {0} is held by another executor")]
    Held(String),
}

/// The run directory of an executor, held until it is dropped.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    _lock: File,
}

impl RunDir {
    /// Takes the directory; it is made if it is not there.
    ///
    /// # Errors
    /// [`RunDirError`] if it cannot be made or is held.
    pub fn take(path: &Path) -> Result<Self, RunDirError> {
        let failed = |doing| move |source| RunDirError::Io { doing, path: path.display().to_string(), source };
        for dir in [path.to_owned(), path.join("attempts"), path.join("logs")] {
            DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("make"))?;
        }
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path.join("LOCK"));
        let lock = lock.map_err(failed("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(RunDirError::Held(path.display().to_string())),
            Err(TryLockError::Error(source)) => Err(failed("lock")(source)),
        }
    }

    /// The directory of an attempt.
    #[must_use]
    pub fn attempt(&self, id: AttemptId) -> AttemptDir {
        AttemptDir(self.path.join("attempts").join(id.to_string()))
    }

    /// Where an attempt's output goes unless it says otherwise.
    #[must_use]
    pub fn log(&self, id: AttemptId) -> PathBuf {
        self.path.join("logs").join(format!("{id}.log"))
    }

    /// One of its own files; `None` if it is not there or is not whole.
    #[must_use]
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&std::fs::read(self.path.join(name)).ok()?).ok()
    }

    /// Writes one of its own files, whole for whoever reads it after a process that was killed. A power cut may lose it.
    ///
    /// # Errors
    /// What the system says.
    pub fn write<T: Serialize>(&self, name: &str, content: &T) -> io::Result<()> {
        let (path, temporary) = (self.path.join(name), self.path.join(format!("{name}.new")));
        std::fs::write(&temporary, serde_json::to_vec(content)?)?;
        std::fs::rename(temporary, path)
    }

    /// Every attempt that has a directory.
    ///
    /// # Errors
    /// What the system says.
    pub fn attempts(&self) -> io::Result<Vec<AttemptId>> {
        let mut ids = Vec::new();
        for entry in std::fs::read_dir(self.path.join("attempts"))? {
            ids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<AttemptId>().ok()));
        }
        ids.sort_unstable();
        Ok(ids)
    }
}

/// The directory of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptDir(pub PathBuf);

impl AttemptDir {
    /// Makes it. An error `AlreadyExists` means that the attempt was taken up before.
    ///
    /// # Errors
    /// What the system says.
    pub fn make(&self) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(&self.0)?;
        self.0.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }

    /// Whether we are the first and only one to decide about this attempt.
    ///
    /// # Errors
    /// What the system says.
    pub fn claim(&self) -> io::Result<bool> {
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.0.join("claim")) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads one of its files; `None` if it is not there or not whole.
    #[must_use]
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&std::fs::read(self.0.join(name)).ok()?).ok()
    }

    /// Writes one of its files so that it is there whole or not at all.
    ///
    /// # Errors
    /// What the system says.
    pub fn write<T: Serialize>(&self, name: &str, content: &T) -> io::Result<()> {
        let (path, temporary) = (self.0.join(name), self.0.join(format!("{name}.new")));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec(content)?)?;
        file.sync_data()?;
        std::fs::rename(temporary, path)?;
        File::open(&self.0)?.sync_all()
    }

    /// Removes it and what is in it.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(&self) -> io::Result<()> {
        std::fs::remove_dir_all(&self.0)
    }
}
