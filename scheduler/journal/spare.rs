//! Zero-filled segments kept ready, so that space is found or missed here and not on the way to a reply.

use super::Options;
use super::disk::Disk;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long to wait before a failed refill is tried again.
const AGAIN: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Pool {
    ready: Vec<String>,
    made: u64,
    failed: Option<String>,
    stop: bool,
}

#[derive(Debug, Default)]
struct Shared {
    pool: Mutex<Pool>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct Spares {
    shared: Arc<Shared>,
    options: Options,
    thread: Option<JoinHandle<()>>,
}

impl Spares {
    pub(super) fn new(options: Options) -> Self {
        Self { shared: Arc::default(), options, thread: None }
    }

    /// Refills on a thread of its own until this is dropped.
    pub(super) fn start<D: Disk>(&mut self, disk: Arc<D>) {
        let (shared, options) = (Arc::clone(&self.shared), self.options);
        let work = move || {
            loop {
                let short = {
                    let pool = shared.lock();
                    if pool.stop {
                        return;
                    }
                    pool.ready.len() < options.spares
                };
                let failed = short && !make_one(&shared, options, disk.as_ref());
                let mut pool = shared.lock();
                while !pool.stop && (failed || pool.ready.len() >= options.spares) {
                    let (woken, waited) =
                        shared.changed.wait_timeout(pool, AGAIN).unwrap_or_else(PoisonError::into_inner);
                    pool = woken;
                    if failed && waited.timed_out() {
                        break;
                    }
                }
            }
        };
        self.thread = std::thread::Builder::new().name("neap-spare".to_owned()).spawn(work).ok();
    }

    /// Fills up on this thread.
    #[cfg(test)]
    pub(super) fn refill<D: Disk>(&self, disk: &D) {
        while self.shared.lock().ready.len() < self.options.spares && make_one(&self.shared, self.options, disk) {}
    }

    /// A spare segment: one that is ready, else made at once.
    pub(super) fn take<D: Disk>(&self, disk: &D) -> io::Result<String> {
        let ready = self.shared.lock().ready.pop();
        self.shared.changed.notify_all();
        match ready {
            Some(name) => Ok(name),
            None => {
                let name = next_name(&self.shared);
                disk.zeros(&name, self.options.segment)?;
                Ok(name)
            }
        }
    }

    /// Whether the last refill failed and less than the full number is ready.
    pub(super) fn short(&self) -> bool {
        let pool = self.shared.lock();
        pool.failed.is_some() && pool.ready.len() < self.options.spares
    }
}

fn next_name(shared: &Shared) -> String {
    let mut pool = shared.lock();
    pool.made += 1;
    format!("spare/{}", pool.made)
}

/// Makes one. What an earlier life left under that name is overwritten: nobody knows how far it came.
fn make_one<D: Disk>(shared: &Shared, options: Options, disk: &D) -> bool {
    let name = next_name(shared);
    let made = disk.zeros(&name, options.segment).and_then(|()| disk.sync_dir("spare"));
    let mut pool = shared.lock();
    match made {
        Ok(()) => {
            pool.ready.push(name);
            pool.failed = None;
            true
        }
        Err(error) => {
            pool.made -= 1;
            pool.failed = Some(error.to_string());
            false
        }
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
