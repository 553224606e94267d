//! NVIDIA GPUs through NVML: found, metered, and told their caps where this process may. GPUs are named by UUID, never by
//! index.
//!
//! A call can hang in the driver, so one plain thread owns the library and everybody else waits with a deadline. Energy is
//! read by that thread on its own: asking for it never waits.

pub mod driver;
pub mod library;
mod owner;
pub mod sampler;
pub mod seen;
#[cfg(test)]
mod tests;

use super::{Cap, CapRange, CapState, DomainError, PowerDomain, Reading, Uncapped};
use crate::clock::{Boot, Clock};
use crate::meter::edge::Edge;
use neap_model::fleet::{Gpu, Source};
use neap_model::units::Joules;
use owner::{Ask, Owner, Shared};
use sampler::Live;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

/// How long an answer may take before the domain counts as stale.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// How long the library may take to load.
const LOADING: Duration = Duration::from_secs(10);
/// An owner that shows no life for so long is left behind.
const STUCK: Duration = Duration::from_secs(10);
/// More stuck threads than that are not added to: then the driver needs a person.
const MOST_STUCK: u64 = 4;
/// Questions that wait. When it is full the driver is stuck, and whoever asks is told so at once.
const WAITING: usize = 8;

/// The GPUs of a host.
#[derive(Debug)]
pub struct Gpus {
    /// As found at the start.
    pub found: Vec<Gpu>,
    library: Option<PathBuf>,
    shared: Arc<Shared>,
    asks: SyncSender<Ask>,
    restarted: Duration,
}

impl Gpus {
    /// Loads the library and lists the GPUs. No library, or no driver behind it, is an ordinary answer with its reason.
    ///
    /// # Errors
    /// The reason, in a sentence.
    pub fn find(library: Option<PathBuf>) -> Result<Self, String> {
        let shared = Arc::new(Shared::default());
        let (asks, found) = start(library.clone(), &shared, 0)?;
        let found =
            found.recv_timeout(LOADING).map_err(|_| "the NVIDIA driver did not answer in 10 s".to_owned())??;
        // The first reading sets the zero of every track.
        let gpus = Self { found, library, shared, asks, restarted: Boot.now() };
        let names: Vec<String> = gpus.found.iter().map(|gpu| gpu.uuid.clone()).collect();
        gpus.edges(&names);
        Ok(gpus)
    }

    /// What is known of every GPU now. Never waits for the driver.
    #[must_use]
    pub fn live(&self) -> Vec<(String, Live)> {
        self.shared.with(|gpus| gpus.iter().map(|(uuid, live)| (uuid.clone(), live.clone())).collect())
    }

    /// Version of the driver that was loaded last, where it says one.
    #[must_use]
    pub fn driver(&self) -> Option<String> {
        self.shared.driver()
    }

    /// How a GPU is measured.
    #[must_use]
    pub fn source(&self, uuid: &str) -> Source {
        let counts = self.shared.with(|gpus| gpus.get(uuid).is_some_and(|live| live.track.counts()));
        if counts { Source::NvmlEnergy } else { Source::NvmlPower }
    }

    /// How long the owner of the library has shown no life, if that is longer than a call may take.
    #[must_use]
    pub fn stale(&self) -> Option<Duration> {
        let silent = Boot.now().saturating_sub(self.shared.beaten());
        (silent > PATIENCE).then_some(silent)
    }

    /// Goes on where a reader before this process ended: what it saw last of a GPU's counter.
    pub fn resume(&self, uuid: &str, seen: Duration, counter: Joules) {
        self.shared.with(|gpus| {
            if let Some(live) = gpus.get_mut(uuid) {
                live.track.resume(seen, counter);
            }
        });
    }

    /// Leaves a stuck owner behind and starts another. Says whether it did.
    pub fn tend(&mut self) -> bool {
        let now = Boot.now();
        let number = self.shared.owner.load(Ordering::Relaxed);
        let silent = now.saturating_sub(self.shared.beaten().max(self.restarted));
        if silent < STUCK * 2u32.pow(u32::try_from(number).unwrap_or(4).min(4)) || number >= MOST_STUCK {
            return false;
        }
        self.restarted = now;
        self.shared.owner.store(number + 1, Ordering::Relaxed);
        match start(self.library.clone(), &self.shared, number + 1) {
            Ok((asks, _)) => self.asks = asks,
            Err(_) => return false,
        }
        true
    }

    /// Empty if the driver does not answer in a second.
    fn ask_edges(&self, uuids: &[String]) -> Vec<Edge> {
        let ask = |reply| Ask::Edges(uuids.to_vec(), reply);
        ask_owner(&self.asks, ask).unwrap_or_default()
    }

    /// The books of these GPUs, closed at a tick of each counter: the beginning or the end of a job. Says how far each
    /// instant may be off. If the driver does not answer in a second, what is owed is filled in from the last power known.
    pub fn edges(&self, uuids: &[String]) -> Vec<(String, Duration)> {
        if uuids.is_empty() {
            return Vec::new();
        }
        // Who waited once for a stuck driver waits no second time.
        let found = if self.stale().is_some() { Vec::new() } else { self.ask_edges(uuids) };
        if found.is_empty() {
            let now = Boot.now();
            self.shared.with(|gpus| {
                uuids.iter().filter_map(|uuid| gpus.get_mut(uuid).map(|live| live.track.settle(now))).count()
            });
            return uuids.iter().map(|uuid| (uuid.clone(), Duration::ZERO)).collect();
        }
        uuids.iter().cloned().zip(found.into_iter().map(|edge| edge.slack)).collect()
    }

    /// One GPU as a power domain.
    #[must_use]
    pub fn domain(&self, uuid: &str) -> GpuDomain {
        GpuDomain { uuid: uuid.to_owned(), asks: self.asks.clone(), shared: Arc::clone(&self.shared) }
    }
}

type Started = (SyncSender<Ask>, std::sync::mpsc::Receiver<Result<Vec<Gpu>, String>>);

fn start(library: Option<PathBuf>, shared: &Arc<Shared>, number: u64) -> Result<Started, String> {
    let (asks, inbox) = sync_channel(WAITING);
    let (ready, found) = sync_channel(1);
    let shared = Arc::clone(shared);
    shared.beat(Boot.now());
    std::thread::Builder::new()
        .name("neap-nvml".to_owned())
        .spawn(move || {
            let seed = rand::random();
            Owner { library, shared: &shared, number, inbox, clock: &Boot, seed }.run(&ready);
        })
        .map_err(|error| format!("cannot start the thread that reads GPUs: {error}"))?;
    Ok((asks, found))
}

fn ask_owner<T>(asks: &SyncSender<Ask>, ask: impl FnOnce(SyncSender<T>) -> Ask) -> Result<T, &'static str> {
    let (reply, answer) = sync_channel(1);
    asks.try_send(ask(reply)).map_err(|_| "the driver is stuck")?;
    answer.recv_timeout(PATIENCE).map_err(|_| "no answer in 1 s")
}

/// One GPU.
#[derive(Debug)]
pub struct GpuDomain {
    uuid: String,
    asks: SyncSender<Ask>,
    shared: Arc<Shared>,
}

impl GpuDomain {
    fn driver(&self, why: &str) -> DomainError {
        DomainError::Driver { what: self.uuid.clone(), why: why.to_owned() }
    }
}

/// An answer that does not come in time leaves open whether a cap was set: read it back.
impl PowerDomain for GpuDomain {
    fn energy(&mut self) -> Result<Reading, DomainError> {
        if Boot.now().saturating_sub(self.shared.beaten()) > PATIENCE {
            return Err(self.driver("no answer in 1 s"));
        }
        self.shared.with(|gpus| {
            let live = gpus.get(&self.uuid).ok_or_else(|| self.driver("it is not on this node"))?;
            let at = live.track.last().ok_or_else(|| self.driver("it was not read yet"))?;
            let tally = live.tally();
            let source = if live.track.counts() { Source::NvmlEnergy } else { Source::NvmlPower };
            Ok(Reading { energy: tally.energy(), at, source, watts_now: live.track.watts(), segment: tally.segments })
        })
    }

    fn cap(&mut self) -> Result<CapState, DomainError> {
        ask_owner(&self.asks, |reply| Ask::Cap(self.uuid.clone(), reply)).map_err(|why| self.driver(why))?
    }

    fn cap_range(&self) -> CapRange {
        ask_owner(&self.asks, |reply| Ask::Range(self.uuid.clone(), reply))
            .unwrap_or(CapRange { because: Some(Uncapped::NotSupported), ..CapRange::default() })
    }

    fn set_cap(&mut self, cap: Cap) -> Result<CapState, DomainError> {
        ask_owner(&self.asks, |reply| Ask::SetCap(self.uuid.clone(), cap, reply)).map_err(|why| self.driver(why))?
    }
}
