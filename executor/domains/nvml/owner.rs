//! The thread that owns the library. It reads on its own and answers what is asked; whoever asks waits with a deadline, and
//! a thread that is stuck in the driver is left behind, never waited for.

use super::driver::{Driver, Failed, Library};
use super::sampler::{Live, Sampler, add_known};
use crate::clock::{Clock, millis};
use crate::domains::{Cap, CapRange, CapState, DomainError};
use crate::meter::edge::{Edge, edges};
use neap_model::fleet::Gpu;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Pauses before the library is opened again.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What is asked of the owner.
#[derive(Debug)]
pub(super) enum Ask {
    Edges(Vec<String>, SyncSender<Vec<Edge>>),
    Cap(String, SyncSender<Result<CapState, DomainError>>),
    Range(String, SyncSender<CapRange>),
    SetCap(String, Cap, SyncSender<Result<CapState, DomainError>>),
}

/// What owner and askers share. The lock is never held over a call of the driver.
#[derive(Debug, Default)]
pub(super) struct Shared {
    gpus: Mutex<BTreeMap<String, Live>>,
    /// Version of the driver that was loaded last.
    driver: Mutex<Option<String>>,
    /// Milliseconds since boot at which the owner last showed that it is alive.
    beat: AtomicU64,
    /// Owners with another number have been left behind.
    pub(super) owner: AtomicU64,
}

impl Shared {
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut BTreeMap<String, Live>) -> R) -> R {
        act(&mut self.gpus.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn driver(&self) -> Option<String> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn beaten(&self) -> Duration {
        Duration::from_millis(self.beat.load(Ordering::Relaxed))
    }

    pub(super) fn beat(&self, now: Duration) {
        self.beat.store(millis(now), Ordering::Relaxed);
    }
}

pub(super) struct Owner<'a> {
    pub library: Option<PathBuf>,
    pub shared: &'a Shared,
    pub number: u64,
    pub inbox: Receiver<Ask>,
    pub clock: &'a dyn Clock,
    pub seed: u64,
}

enum Left {
    /// Nobody asks any more, or another owner took over.
    Over,
    /// The driver was loaded anew.
    Gone,
}

impl Owner<'_> {
    /// Opens the library, says what it found, and serves until nobody asks any more.
    pub(super) fn run(&self, ready: &SyncSender<Result<Vec<Gpu>, String>>) {
        let mut pause = AGAIN.0;
        let mut told = false;
        loop {
            let opened = Library::open(self.library.as_deref()).and_then(|library| {
                let (found, version) = {
                    let driver = library.driver();
                    (driver.list()?, driver.version())
                };
                Ok((library, found, version))
            });
            match opened {
                Ok((library, found, version)) => {
                    *self.shared.driver.lock().unwrap_or_else(PoisonError::into_inner) = version;
                    let limits: Vec<_> = found.iter().map(|(gpu, most)| (gpu.uuid.clone(), *most)).collect();
                    self.shared.with(|gpus| add_known(gpus, &limits));
                    if !told {
                        // Whoever waited may have given up.
                        let _ = ready.send(Ok(found.into_iter().map(|(gpu, _)| gpu).collect()));
                        told = true;
                    }
                    pause = AGAIN.0;
                    if matches!(self.serve(&mut library.driver()), Left::Over) {
                        return;
                    }
                }
                Err(why) if !told => {
                    let _ = ready.send(Err(why));
                    return;
                }
                Err(_) => {}
            }
            if self.pause(pause) {
                return;
            }
            pause = (pause * 2).min(AGAIN.1);
        }
    }

    /// Waits; what is asked meanwhile gets no answer, which is one. Says whether it is over.
    fn pause(&self, time: Duration) -> bool {
        let until = self.clock.now() + time;
        loop {
            let now = self.clock.now();
            self.shared.beat(now);
            if now >= until || self.left_behind() {
                return self.left_behind();
            }
            if let Err(RecvTimeoutError::Disconnected) = self.inbox.recv_timeout(Duration::from_millis(100)) {
                return true;
            }
        }
    }

    fn left_behind(&self) -> bool {
        self.shared.owner.load(Ordering::Relaxed) != self.number
    }

    fn serve(&self, driver: &mut Driver<'_>) -> Left {
        let mut sampler = Sampler::new(self.seed);
        loop {
            let now = self.clock.now();
            self.shared.beat(now);
            match self.inbox.recv_timeout(sampler.next().saturating_sub(now)) {
                Ok(ask) => self.answer(driver, ask),
                Err(RecvTimeoutError::Disconnected) => return Left::Over,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = self.clock.now();
            if now >= sampler.next() {
                let uuids: Vec<String> = self.shared.with(|gpus| gpus.keys().cloned().collect());
                let gathered = sampler.round(driver, &uuids, self.clock);
                if self.left_behind() {
                    return Left::Over;
                }
                let gone = gathered.iter().any(|(_, read)| matches!(read.sample, Err(Failed::Gone)));
                self.shared.with(|gpus| {
                    for (uuid, read) in gathered {
                        if let Some(live) = gpus.get_mut(&uuid) {
                            live.take(read);
                        }
                    }
                });
                if gone {
                    return Left::Gone;
                }
            }
        }
    }

    // Whoever asked may have given up: then nobody hears the answer.
    fn answer(&self, driver: &mut Driver<'_>, ask: Ask) {
        match ask {
            Ask::Edges(uuids, reply) => {
                let found = edges(uuids.len(), |n| driver.counter(&uuids[n]), self.clock);
                if self.left_behind() {
                    return;
                }
                self.shared.with(|gpus| {
                    for (uuid, edge) in uuids.iter().zip(&found) {
                        if let Some(live) = gpus.get_mut(uuid) {
                            live.take_edge(edge.at, edge.counter);
                        }
                    }
                });
                let _ = reply.send(found);
            }
            Ask::Cap(uuid, reply) => drop(reply.send(driver.cap(&uuid))),
            Ask::Range(uuid, reply) => drop(reply.send(driver.cap_range(&uuid))),
            Ask::SetCap(uuid, cap, reply) => drop(reply.send(driver.set_cap(&uuid, cap))),
        }
    }
}
