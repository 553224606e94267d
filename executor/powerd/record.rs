//! What must survive a crash: for each GPU the limit that was found, every limit that may be ours, and whether its clock may be
//! locked by us. On disk before anything is changed, gone once everything is back.

use neap_model::units::Megahertz;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Of the format.
const VERSION: u32 = 1;
/// Largest record.
const LARGEST: u64 = 16 << 10;

/// What is known of one GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    version: u32,
    /// UUID.
    pub gpu: String,
    /// The boot it was written in.
    pub boot: String,
    /// The limit that was there before ours, in milliwatts.
    pub found: u64,
    /// Every limit that we may have set, in milliwatts.
    pub ours: Vec<u64>,
    /// The ceiling of its core clock that we may have set, in megahertz. No board says one, so this is all that is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ceiling: Option<Megahertz>,
    /// For whom, for people.
    pub attempt: String,
}

impl Record {
    /// Of limits in milliwatts.
    #[must_use]
    pub fn new(gpu: &str, boot: &str, found: u64, ours: Vec<u64>, attempt: &str) -> Self {
        let (gpu, boot, attempt) = (gpu.to_owned(), boot.to_owned(), attempt.to_owned());
        Self { version: VERSION, gpu, boot, found, ours, clock_ceiling: None, attempt }
    }
}

/// What stands on disk about one GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// A record.
    Sound(Record),
    /// Something that cannot be trusted, and why.
    Inconclusive(String),
}

/// Where records are kept. Every call may fail, and a call that fails may have taken effect.
pub trait Records {
    /// Everything that is there: name of the GPU by the file, and what stands in it.
    ///
    /// # Errors
    /// If the place cannot be read.
    fn load(&mut self) -> io::Result<Vec<(String, Stored)>>;
    /// Writes a record in place of an older one. It is durable when this returns.
    ///
    /// # Errors
    /// If it may not be.
    fn put(&mut self, record: &Record) -> io::Result<()>;
    /// Takes a record away, durably.
    ///
    /// # Errors
    /// If it may still be there.
    fn remove(&mut self, gpu: &str) -> io::Result<()>;
}

/// A directory of one file a GPU.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// Makes the directory if it is not there: only its owner may look into it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(path: PathBuf) -> io::Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o700).create(&path)?;
        Ok(Self(path))
    }

    fn file(&self, gpu: &str) -> PathBuf {
        self.0.join(format!("{gpu}.lease"))
    }

    fn sync(&self) -> io::Result<()> {
        std::fs::File::open(&self.0)?.sync_all()
    }
}

/// Whether a UUID can be part of a file's name.
#[must_use]
pub fn is_uuid(gpu: &str) -> bool {
    (1..=96).contains(&gpu.len()) && gpu.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn read(path: &Path, gpu: &str) -> Result<Record, String> {
    let known = std::fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    if !known.file_type().is_file() {
        return Err("it is no plain file".to_owned());
    }
    if known.uid() != rustix::process::geteuid().as_raw() {
        return Err(format!("it is owned by user {}", known.uid()));
    }
    if known.len() > LARGEST {
        return Err(format!("it is {} bytes long", known.len()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let (sum, body) = text.trim_end().split_once(' ').ok_or("it has no checksum")?;
    if u32::from_str_radix(sum, 16) != Ok(crc32fast::hash(body.as_bytes())) {
        return Err("its checksum is wrong".to_owned());
    }
    let record: Record = serde_json::from_str(body).map_err(|error| error.to_string())?;
    match record.version {
        VERSION if record.gpu == gpu => Ok(record),
        VERSION => Err(format!("it is about {}", record.gpu)),
        other => Err(format!("it is of version {other}")),
    }
}

impl Records for Directory {
    fn load(&mut self) -> io::Result<Vec<(String, Stored)>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&self.0)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(".new") {
                // Never renamed, so it never counted.
                std::fs::remove_file(&path)?;
                continue;
            }
            if let Some(gpu) = name.strip_suffix(".lease") {
                let stored = read(&path, gpu).map_or_else(Stored::Inconclusive, Stored::Sound);
                all.push((gpu.to_owned(), stored));
            }
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(all)
    }

    fn put(&mut self, record: &Record) -> io::Result<()> {
        if !is_uuid(&record.gpu) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no name of a GPU"));
        }
        let body = serde_json::to_string(record)?;
        let text = format!("{:08x} {body}\n", crc32fast::hash(body.as_bytes()));
        let (path, fresh) = (self.file(&record.gpu), self.0.join(format!("{}.new", record.gpu)));
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, &path)?;
        self.sync()
    }

    fn remove(&mut self, gpu: &str) -> io::Result<()> {
        match std::fs::remove_file(self.file(gpu)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.sync(),
        }
    }
}
