//! The truth: an append-only file of turns, checksummed, hash-chained, and synced before anything is acknowledged.
//!
//! It knows bytes, not jobs. It never retries a failed write or sync: after the first one it only says so.

pub mod disk;
pub mod frame;
pub mod place;
mod recovery;
mod spare;
#[cfg(test)]
mod tests;

use disk::{Disk, DiskFile, RealDisk};
use frame::{BLOCK, Chain, Frame, HEAD, Header, JournalId, Kind, PAYLOAD};
use rand::RngCore;
use rand::SeedableRng;
use rand::rngs::StdRng;
use spare::Spares;
use std::io;
use std::sync::Arc;

pub use recovery::End;

/// Directory of the segments.
const SEGMENTS: &str = "journal";

/// Why the journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system said so.
    #[error("cannot {doing} {name}")]
    Io {
        /// What we were doing.
        doing: &'static str,
        /// To what.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something that had been acknowledged is not there any more as it was written.
    #[error("{name} is damaged at byte {offset}, where turn {seq} begins: it had been acknowledged")]
    Damage {
        /// File.
        name: String,
        /// Offset of the damage.
        offset: u64,
        /// The turn that cannot be read.
        seq: u64,
    },
    /// A format this program does not know. Nothing was written.
    #[error("{name} has a format this version does not know ({found})")]
    Format {
        /// File.
        name: String,
        /// What it says.
        found: String,
    },
    /// A turn too large to be written.
    #[error("a turn of {size} bytes, {PAYLOAD} are the limit")]
    TooLarge {
        /// Its size.
        size: usize,
    },
    /// A frame is intact, and its content makes no sense to whoever reads it.
    #[error("turn {seq} cannot be replayed: {why}")]
    Content {
        /// The turn.
        seq: u64,
        /// Why.
        why: String,
    },
    /// An earlier write or sync failed. It is not tried again: a second sync may succeed over lost data.
    #[error("the journal failed before: {0}")]
    Poisoned(String),
}

impl JournalError {
    /// Whether a restart cannot help: a person has to look (exit 78). All else ends the process with 74.
    #[must_use]
    pub const fn needs_a_person(&self) -> bool {
        matches!(self, Self::Damage { .. } | Self::Format { .. } | Self::Content { .. })
    }
}

/// How large things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of a segment; a multiple of 4,096.
    pub segment: usize,
    /// Zero-filled segments kept ready.
    pub spares: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment: 16 << 20, spares: 3 }
    }
}

impl Options {
    /// For one person's machine: a few megabytes.
    #[must_use]
    pub const fn small() -> Self {
        Self { segment: 2 << 20, spares: 2 }
    }
}

/// A turn to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// What an auditor may read.
    pub public: Vec<u8>,
    /// What is private; 16 random bytes go before it, so that its hash says nothing.
    pub private: Vec<u8>,
}

/// Whether new work can be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Yes.
    Ok,
    /// Spare segments are short: what is there is kept for work that is already accepted.
    Full,
}

/// The journal of one scheduler. Generic over the disk for the tests' sake.
#[derive(Debug)]
pub struct Journal<D: Disk = RealDisk> {
    disk: Arc<D>,
    options: Options,
    id: JournalId,
    file: D::File,
    name: String,
    offset: usize,
    seq: u64,
    synced: u64,
    chain: Chain,
    spares: Spares,
    random: StdRng,
    batch: Vec<u8>,
    poisoned: Option<String>,
    /// A torn tail that was cleared at the start: file, offset, length.
    pub torn: Option<(String, usize, usize)>,
}

/// Name of the segment that begins with that sequence number. Names sort as numbers do.
fn segment_name(first: u64) -> String {
    format!("{first:020}.seg")
}

/// The private part without its salt.
#[must_use]
pub fn unsalted(private: &[u8]) -> &[u8] {
    private.get(16..).unwrap_or_default()
}

impl<D: Disk> Journal<D> {
    /// Reads what is there, handing every turn to `take` in order, and makes ready to append.
    ///
    /// # Errors
    /// [`JournalError`]; `take` may refuse a turn too. On damage not one byte is written.
    pub fn open(
        disk: D,
        options: Options,
        seed: u64,
        mut take: impl FnMut(&Frame<'_>) -> Result<(), JournalError>,
    ) -> Result<Self, JournalError> {
        let disk = Arc::new(disk);
        let mut random = StdRng::seed_from_u64(seed);
        let found =
            recovery::recover(disk.as_ref(), |frame| if frame.kind == Kind::Turn { take(frame) } else { Ok(()) })?;
        let spares = Spares::new(options);
        let (end, file) = match found {
            Some(end) => {
                let file = disk.open(&end.segment).map_err(io_error("open", &end.segment))?;
                (end, file)
            }
            None => {
                let mut id = JournalId::default();
                random.fill_bytes(&mut id);
                let header = Header { id, first: 1, before: Chain::default() };
                disk.zeros("spare/first", options.segment).map_err(io_error("make", "spare/first"))?;
                let (segment, file) = put_in_place(disk.as_ref(), "spare/first", &header)?;
                (End { id, segment, offset: BLOCK, seq: 0, chain: Chain::default(), torn: None }, file)
            }
        };
        Ok(Self {
            options,
            id: end.id,
            file,
            name: end.segment,
            offset: end.offset,
            seq: end.seq,
            synced: end.seq,
            chain: end.chain,
            spares,
            random,
            batch: Vec::new(),
            poisoned: None,
            torn: end.torn,
            disk,
        })
    }

    /// Makes spare segments, now and whenever one is taken, on a thread of its own.
    pub fn keep_spares(&mut self) {
        self.spares.start(Arc::clone(&self.disk));
    }

    /// Makes one round of spare segments on this thread, for tests.
    #[cfg(test)]
    fn make_spares(&self) {
        self.spares.refill(self.disk.as_ref());
    }

    /// Last sequence number and the chain value there.
    #[must_use]
    pub fn head(&self) -> (u64, Chain) {
        (self.seq, self.chain)
    }

    /// Whether new work can be written down.
    #[must_use]
    pub fn space(&self) -> Space {
        if self.spares.short() { Space::Full } else { Space::Ok }
    }

    /// Writes a batch and returns when it is on stable storage: one write, one sync. Gives the last sequence number.
    ///
    /// # Errors
    /// [`JournalError`]. After any but `TooLarge` nothing can be written any more.
    pub fn append_batch(&mut self, at: i64, records: &[Record]) -> Result<u64, JournalError> {
        self.usable()?;
        if let Some(large) = records.iter().map(|r| r.public.len() + r.private.len() + 16).find(|size| *size > PAYLOAD)
        {
            return Err(JournalError::TooLarge { size: large });
        }
        if records.is_empty() {
            return Ok(self.seq);
        }
        // A batch that does not fit the rest of the segment is cut where it ends.
        let mut rest = records;
        while !rest.is_empty() {
            let room = self.options.segment.saturating_sub(self.offset);
            let mut size = 0;
            let fits = rest
                .iter()
                .take_while(|record| {
                    size += (HEAD + record.public.len() + record.private.len() + 16).next_multiple_of(8);
                    size <= room
                })
                .count();
            if fits == 0 {
                self.rotate().map_err(|error| self.poison(error))?;
                continue;
            }
            self.write(at, &rest[..fits]).map_err(|error| self.poison(error))?;
            rest = &rest[fits..];
        }
        Ok(self.seq)
    }

    fn write(&mut self, at: i64, records: &[Record]) -> Result<(), JournalError> {
        let mut batch = std::mem::take(&mut self.batch);
        batch.clear();
        let (mut seq, mut chain) = (self.seq, self.chain);
        let mut private = Vec::new();
        for record in records {
            seq += 1;
            private.clear();
            if !record.private.is_empty() {
                let mut salt = [0; 16];
                self.random.fill_bytes(&mut salt);
                private.extend_from_slice(&salt);
                private.extend_from_slice(&record.private);
            }
            chain =
                frame::put(&mut batch, &self.id, &chain, Kind::Turn, (seq, self.synced, at), &record.public, &private);
        }
        self.file.write_at(&batch, self.offset as u64).map_err(io_error("write", &self.name))?;
        self.file.sync_data().map_err(io_error("sync", &self.name))?;
        self.offset = (self.offset + batch.len()).next_multiple_of(BLOCK);
        (self.seq, self.chain, self.synced) = (seq, chain, seq);
        self.batch = batch;
        Ok(())
    }

    /// Writes that everything so far is synced, without a sync of its own: the last batch is then covered like all
    /// others. Called when nothing has waited for a while.
    ///
    /// # Errors
    /// [`JournalError`]; nothing can be written after it.
    pub fn mark(&mut self, at: i64) -> Result<(), JournalError> {
        self.usable()?;
        if self.offset + BLOCK > self.options.segment {
            self.rotate().map_err(|error| self.poison(error))?;
        }
        let mut batch = Vec::new();
        let chain =
            frame::put(&mut batch, &self.id, &self.chain, Kind::Mark, (self.seq + 1, self.synced, at), b"", b"");
        let written = self.file.write_at(&batch, self.offset as u64).map_err(io_error("write", &self.name));
        written.map_err(|error| self.poison(error))?;
        self.offset += BLOCK;
        (self.seq, self.chain) = (self.seq + 1, chain);
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), JournalError> {
        // A mark may lie behind the last sync: what is left behind must be whole before a segment follows it.
        self.file.sync_data().map_err(io_error("sync", &self.name))?;
        self.synced = self.seq;
        let header = Header { id: self.id, first: self.seq + 1, before: self.chain };
        let spare = self.spares.take(self.disk.as_ref()).map_err(io_error("make", "a spare segment"))?;
        let (name, file) = put_in_place(self.disk.as_ref(), &spare, &header)?;
        (self.name, self.file, self.offset) = (name, file, BLOCK);
        Ok(())
    }

    fn usable(&self) -> Result<(), JournalError> {
        self.poisoned.as_ref().map_or(Ok(()), |why| Err(JournalError::Poisoned(why.clone())))
    }

    fn poison(&mut self, error: JournalError) -> JournalError {
        self.poisoned = Some(error.to_string());
        error
    }
}

fn io_error(doing: &'static str, name: &str) -> impl FnOnce(io::Error) -> JournalError + use<> {
    let name = name.to_owned();
    move |source| JournalError::Io { doing, name, source }
}

/// Turns a spare into the segment of that header: header synced, renamed in, directory synced, and only then used.
fn put_in_place<D: Disk>(disk: &D, spare: &str, header: &Header) -> Result<(String, D::File), JournalError> {
    let name = format!("{SEGMENTS}/{}", segment_name(header.first));
    let mut file = disk.open(spare).map_err(io_error("open", spare))?;
    file.write_at(&header.block(), 0).map_err(io_error("write", spare))?;
    file.sync_data().map_err(io_error("sync", spare))?;
    disk.rename(spare, &name).map_err(io_error("rename", spare))?;
    disk.sync_dir(SEGMENTS).map_err(io_error("sync", SEGMENTS))?;
    disk.sync_dir("spare").map_err(io_error("sync", "spare"))?;
    Ok((name, file))
}
