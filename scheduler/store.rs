//! The queue and the archive of finished jobs in sled: a view of the journal that may be deleted at any time.
//!
//! The only file that names sled. It applies behind the acknowledgement, on a thread of its own, and nothing that the
//! scheduler promises depends on it: what is missing, damaged or unopenable is built again from the journal.

mod query;
#[cfg(test)]
mod tests;

use crate::controller::answers::Terms;
use crate::controller::state::Job;
use crate::controller::{Answer, ArchiveQuery};
use neap_model::job::JobId;
use neap_model::refusal::{Code, Refusal};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How far the store is: a sequence number of the journal, and the chain value there.
pub type Applied = (u64, [u8; 32]);

const APPLIED: &[u8] = b"applied";
const COUNT: &[u8] = b"count";
/// Memory that sled may use for its cache; it takes about two to three times as much.
const CACHE: u64 = 32 << 20;
/// How long the lock of a store that was just closed is waited for.
const UNLOCKED_BY: Duration = Duration::from_secs(5);
/// Changed jobs that may wait to be applied during a replay before the replay waits for the store.
const BACKLOG: usize = 20_000;

/// Why the store cannot be used. It is never a reason not to start.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// sled said so.
    #[error("the store in {path} failed while {doing}")]
    Sled {
        /// Its directory.
        path: String,
        /// What we were doing.
        doing: &'static str,
        /// Why.
        #[source]
        source: sled::Error,
    },
    /// sled panicked.
    #[error("the store in {path} panicked while {doing}")]
    Panicked {
        /// Its directory.
        path: String,
        /// What we were doing.
        doing: &'static str,
    },
    /// A value is not what was written.
    #[error("the store in {path} holds a damaged value ({what})")]
    Damaged {
        /// Its directory.
        path: String,
        /// Which.
        what: &'static str,
    },
    /// The directory could not be made or cleared.
    #[error("cannot {doing} {path}")]
    Directory {
        /// Which.
        path: String,
        /// What we were doing.
        doing: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

type Reply = Box<dyn FnOnce(Result<Answer, Vec<Refusal>>) + Send>;

#[derive(Default)]
struct Pending {
    jobs: BTreeMap<JobId, Arc<Job>>,
    upto: Option<Applied>,
    queries: Vec<(ArchiveQuery, Reply)>,
    stop: bool,
    applied: u64,
    trouble: Option<String>,
}

#[derive(Default)]
struct Shared {
    pending: Mutex<Pending>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        // A panic of sled is caught before it can leave the lock poisoned in a bad state: the data are plain.
        self.pending.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The store, and the thread that owns it.
pub struct Store {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// How far it was when it was opened; `None`: it is empty and wants everything.
    pub opened: Option<Applied>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("opened", &self.opened).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store under `state_dir`, or an empty one in its place if it cannot be opened or is damaged, or if it is
    /// not `wanted` as it is because it does not belong to the journal.
    pub fn open(state_dir: &Path, wanted: bool, terms: Terms) -> Self {
        let path = state_dir.join("store");
        let marker = state_dir.join("store.opening");
        let (db, opened, trouble) = match open_or_clear(&path, &marker, wanted) {
            Ok((db, opened)) => (Some(db), opened, None),
            Err(error) => (None, None, Some(one_line(&error))),
        };
        let shared = Arc::new(Shared::default());
        shared.lock().trouble = trouble;
        shared.lock().applied = opened.map_or(0, |(seq, _)| seq);
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("neap-store".to_owned())
                .spawn(move || Worker { db, path, terms, shared, total: 0 }.run())
                .ok()
        };
        Self { shared, thread, opened }
    }

    /// Hands over jobs as they are after `upto`. Never blocks: of a job that changed twice only the last state is kept.
    pub fn push(&self, jobs: impl IntoIterator<Item = Arc<Job>>, upto: Applied) {
        let mut pending = self.shared.lock();
        pending.jobs.extend(jobs.into_iter().map(|job| (job.id, job)));
        pending.upto = Some(upto);
        drop(pending);
        self.shared.changed.notify_one();
    }

    /// During a replay: waits while too much is handed over and not applied.
    pub fn keep_pace(&self) {
        let mut pending = self.shared.lock();
        while pending.jobs.len() > BACKLOG && pending.trouble.is_none() {
            let waited = self.shared.changed.wait_timeout(pending, Duration::from_millis(50));
            pending = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    /// Answers from the archive, after everything handed over so far was applied.
    pub fn ask(&self, query: ArchiveQuery, reply: impl FnOnce(Result<Answer, Vec<Refusal>>) + Send + 'static) {
        self.shared.lock().queries.push((query, Box::new(reply)));
        self.shared.changed.notify_one();
    }

    /// How far it is, and what is wrong with it.
    #[must_use]
    pub fn health(&self) -> (u64, Option<String>) {
        let pending = self.shared.lock();
        (pending.applied, pending.trouble.clone())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

struct Worker {
    db: Option<sled::Db>,
    path: PathBuf,
    terms: Terms,
    shared: Arc<Shared>,
    total: u64,
}

impl Worker {
    fn run(mut self) {
        if let Some(db) = &self.db {
            self.total = db.get(COUNT).ok().flatten().map_or(0, |v| unseal(&v).map_or(0, |(count, _)| count));
        }
        loop {
            let (jobs, upto, queries, stop) = {
                let mut pending = self.shared.lock();
                while pending.jobs.is_empty() && pending.queries.is_empty() && !pending.stop {
                    pending = self.shared.changed.wait(pending).unwrap_or_else(std::sync::PoisonError::into_inner);
                }
                let jobs = std::mem::take(&mut pending.jobs);
                (jobs, pending.upto, std::mem::take(&mut pending.queries), pending.stop)
            };
            let applied = !jobs.is_empty();
            if let Some(upto) = upto.filter(|_| applied) {
                self.guarded("applying", |worker, db| worker.apply(db, &jobs, upto));
                self.shared.lock().applied = upto.0;
                self.shared.changed.notify_all();
            }
            for (query, reply) in queries {
                let mut answer = None;
                self.guarded("reading", |worker, db| {
                    answer = Some(query::answer(db, &worker.path, &worker.terms, query)?);
                    Ok(())
                });
                reply(answer.unwrap_or_else(|| Err(vec![rebuilding()])));
            }
            if stop {
                self.guarded("closing", |worker, db| {
                    db.flush().map(drop).map_err(|source| worker.failed("closing", source))
                });
                return;
            }
            if applied {
                // Gather: one larger batch costs less than many small ones.
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Runs something on sled; an error or a panic takes the store out of use, and nothing else with it.
    fn guarded(&mut self, doing: &'static str, work: impl FnOnce(&mut Self, &sled::Db) -> Result<(), StoreError>) {
        let Some(db) = self.db.take() else { return };
        let result = catch_unwind(AssertUnwindSafe(|| work(self, &db)));
        let error = match result {
            Ok(Ok(())) => {
                self.db = Some(db);
                return;
            }
            Ok(Err(error)) => error,
            Err(_) => StoreError::Panicked { path: self.path.display().to_string(), doing },
        };
        drop(catch_unwind(AssertUnwindSafe(|| drop(db))));
        // The next start finds the marker and builds the store again.
        let marker = self.path.with_file_name("store.opening");
        drop(std::fs::write(marker, one_line(&error)));
        self.shared.lock().trouble = Some(one_line(&error));
    }

    fn apply(&mut self, db: &sled::Db, jobs: &BTreeMap<JobId, Arc<Job>>, upto: Applied) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (id, job) in jobs {
            let json = serde_json::to_vec(job.as_ref()).expect("a job is plain data");
            let key = key_of(*id);
            if !db.contains_key(key).map_err(|source| self.failed("applying", source))? {
                self.total += 1;
            }
            batch.insert(&key, seal(job.revision, &json));
        }
        batch.insert(COUNT, seal(self.total, b""));
        batch.insert(APPLIED, seal(upto.0, &upto.1));
        db.apply_batch(batch).map_err(|source| self.failed("applying", source))
    }

    fn failed(&self, doing: &'static str, source: sled::Error) -> StoreError {
        StoreError::Sled { path: self.path.display().to_string(), doing, source }
    }
}

fn open_or_clear(path: &Path, marker: &Path, wanted: bool) -> Result<(sled::Db, Option<Applied>), StoreError> {
    let directory = |doing| {
        let path = path.display().to_string();
        move |source| StoreError::Directory { path, doing, source }
    };
    let died = marker.exists();
    if wanted && !died {
        std::fs::write(marker, b"").map_err(directory("mark"))?;
        if let Ok((db, Some(applied))) = open_checked(path) {
            std::fs::remove_file(marker).map_err(directory("unmark"))?;
            return Ok((db, Some(applied)));
        }
    }
    if path.exists() {
        std::fs::remove_dir_all(path).map_err(directory("clear"))?;
    }
    std::fs::write(marker, b"").map_err(directory("mark"))?;
    let (db, applied) = open_checked(path)?;
    std::fs::remove_file(marker).map_err(directory("unmark"))?;
    Ok((db, applied))
}

/// sled keeps its lock a moment longer than its last handle lives: that is no damage.
fn open_patiently(path: &Path) -> sled::Result<sled::Db> {
    let deadline = Instant::now() + UNLOCKED_BY;
    loop {
        match sled::Config::new().path(path).cache_capacity(CACHE).open() {
            Err(sled::Error::Io(error))
                if error.to_string().contains("could not acquire lock") && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened,
        }
    }
}

/// Opens and reads everything once: a value that is damaged or gone must not be found later.
fn open_checked(path: &Path) -> Result<(sled::Db, Option<Applied>), StoreError> {
    let shown = path.display().to_string();
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let failed = |doing| {
            let path = shown.clone();
            move |source| StoreError::Sled { path, doing, source }
        };
        let db = open_patiently(path).map_err(failed("opening"))?;
        let damaged = |what| StoreError::Damaged { path: shown.clone(), what };
        let applied = match db.get(APPLIED).map_err(failed("opening"))? {
            None => return if db.is_empty() { Ok((db, None)) } else { Err(damaged("applied")) },
            Some(value) => {
                let (seq, chain) = unseal(&value).ok_or_else(|| damaged("applied"))?;
                (seq, <[u8; 32]>::try_from(chain).map_err(|_| damaged("chain"))?)
            }
        };
        let counted = db.get(COUNT).map_err(failed("opening"))?;
        let (count, _) = counted.as_ref().and_then(|v| unseal(v)).ok_or_else(|| damaged("count"))?;
        let mut found = 0;
        for entry in db.scan_prefix(JOB) {
            let (_, value) = entry.map_err(failed("checking"))?;
            unseal(&value).ok_or_else(|| damaged("job"))?;
            found += 1;
        }
        if found != count {
            return Err(damaged("number of jobs"));
        }
        Ok((db, Some(applied)))
    }));
    opened.unwrap_or(Err(StoreError::Panicked { path: path.display().to_string(), doing: "opening" }))
}

/// Prefix of a job's key.
const JOB: &[u8] = b"j";

fn key_of(id: JobId) -> [u8; 9] {
    let mut key = [0; 9];
    key[0] = JOB[0];
    key[1..].copy_from_slice(&id.0.to_be_bytes());
    key
}

/// CRC, number, content.
fn seal(number: u64, content: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(content.len() + 12);
    value.extend_from_slice(&[0; 4]);
    value.extend_from_slice(&number.to_le_bytes());
    value.extend_from_slice(content);
    let crc = crc32fast::hash(&value[4..]);
    value[..4].copy_from_slice(&crc.to_le_bytes());
    value
}

fn unseal(value: &[u8]) -> Option<(u64, &[u8])> {
    let (crc, rest) = value.split_first_chunk::<4>()?;
    let (number, content) = rest.split_first_chunk::<8>()?;
    (crc32fast::hash(rest) == u32::from_le_bytes(*crc)).then(|| (u64::from_le_bytes(*number), content))
}

fn rebuilding() -> Refusal {
    Refusal::new(Code::Internal, "the archive cannot be read; live jobs are not concerned")
        .note("it is built again from the journal at the next start of the scheduler")
}

pub(crate) fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
