//! Who holds which GPU at which limit, and below which ceiling of its clock: the rules of leases, without a socket, a clock or a
//! driver of its own. What is done to a board, and in which order, is in `hands`.

mod asks;
mod hands;
mod watch;

use super::board::Boards;
use super::record::{Record, Records, Stored};
use super::{Config, Group, OnLoss, Refusal};
use hands::Hold;
use neap_model::units::{Joules, Megahertz, Watts};
use std::collections::BTreeMap;
use std::time::Duration;

/// A limit is changed at most so often, unless it is lowered.
const BETWEEN: Duration = Duration::from_secs(5);
/// Every lease is held against the device so often.
pub const LOOK: Duration = Duration::from_secs(10);

/// What happened that a person may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `cap_set`, `cap_restored`, `clock_restored`, `cap_reapplied`, `safe_cap`, `foreign_limit`, `inconclusive`.
    pub kind: &'static str,
    /// Which GPU.
    pub gpu: String,
    /// Numbers, for people.
    pub detail: String,
}

#[derive(Clone, Debug)]
struct Lease {
    token: String,
    uid: u32,
    attempt: String,
    limit: Watts,
    ceiling: Option<Megahertz>,
    ends: Duration,
    changed: Duration,
    counter: Option<Joules>,
}

impl Lease {
    /// As printed.
    fn held(&self) -> String {
        match self.ceiling {
            Some(ceiling) => format!("{}, at most {ceiling}", self.limit),
            None => self.limit.to_string(),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Gpu {
    record: Option<Record>,
    lease: Option<Lease>,
    foreign: bool,
    inconclusive: Option<String>,
    /// The driver may have been loaded anew since its clock was locked, which undid that.
    reloaded: bool,
}

impl Gpu {
    /// Whether its lease holds it at the limit that was found.
    fn stands_as_found(&self) -> bool {
        match (&self.lease, &self.record) {
            (Some(lease), Some(record)) => lease.limit.0 == record.found,
            _ => true,
        }
    }
}

/// The keeper of all limits of a node.
#[derive(Debug)]
pub struct Keeper<B, R> {
    boards: B,
    records: R,
    groups: Vec<Group>,
    gpus: BTreeMap<String, Gpu>,
    boot: String,
    epoch: u64,
    serial: u64,
    seed: u64,
    looked: Duration,
    events: Vec<Event>,
}

type Done<T> = Result<T, (Refusal, String)>;

fn no<T>(refusal: Refusal, detail: impl Into<String>) -> Done<T> {
    Err((refusal, detail.into()))
}

impl<B: Boards, R: Records> Keeper<B, R> {
    /// Settles what an earlier life left, and brings GPUs on a shared feeder to their safe cap. Nobody is served before.
    ///
    /// # Errors
    /// If boards or records cannot be read at all.
    pub fn start(
        boards: B,
        records: R,
        config: &Config,
        boot: &str,
        epoch: u64,
        seed: u64,
        now: Duration,
    ) -> Result<Self, String> {
        let mut keeper = Self {
            boards,
            records,
            groups: config.groups.clone(),
            gpus: BTreeMap::new(),
            boot: boot.to_owned(),
            epoch,
            serial: 0,
            seed,
            looked: now,
            events: Vec::new(),
        };
        let present = keeper.boards.list().map_err(|refusal| format!("the GPUs cannot be listed: {refusal:?}"))?;
        for uuid in &present {
            keeper.gpus.insert(uuid.clone(), Gpu::default());
        }
        let stored = keeper.records.load().map_err(|error| format!("the records cannot be read: {error}"))?;
        for (uuid, stored) in stored {
            keeper.settle(&uuid, stored)?;
        }
        for uuid in present {
            keeper.bring_down(&uuid)?;
        }
        Ok(keeper)
    }

    /// Events since this was asked last.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn tell(&mut self, kind: &'static str, gpu: &str, detail: String) {
        self.events.push(Event { kind, gpu: gpu.to_owned(), detail });
    }

    fn group(&self, gpu: &str) -> Option<&Group> {
        self.groups
            .iter()
            .find(|group| group.gpus.iter().any(|uuid| uuid == gpu))
            .or_else(|| self.groups.iter().find(|group| group.gpus.is_empty()))
    }

    fn safe_cap(&self, gpu: &str) -> Option<Watts> {
        match self.group(gpu)?.on_loss {
            OnLoss::SafeCap(limit) => Some(limit),
            OnLoss::Restore => None,
        }
    }

    /// A record of an earlier life: ours is given back, what is not ours is left alone.
    fn settle(&mut self, gpu: &str, stored: Stored) -> Result<(), String> {
        let mut record = match stored {
            Stored::Sound(record) => record,
            Stored::Inconclusive(why) => {
                self.tell("inconclusive", gpu, why.clone());
                self.gpus.entry(gpu.to_owned()).or_default().inconclusive = Some(why);
                return Ok(());
            }
        };
        if !self.gpus.contains_key(gpu) {
            // The board is elsewhere or lost; its record waits for it.
            return Ok(());
        }
        // A boot undoes every lock.
        record.clock_ceiling = record.clock_ceiling.filter(|_| record.boot == self.boot);
        self.gpus.get_mut(gpu).expect("it is listed").record = Some(record);
        self.give_back(gpu, false)
            .map_err(|(refusal, detail)| format!("{gpu} cannot be settled: {refusal:?}, {detail}"))
    }

    /// On a shared feeder a GPU nobody holds stands at its safe cap: a reboot leaves it at the factory's.
    fn bring_down(&mut self, gpu: &str) -> Result<(), String> {
        let Some(safe) = self.safe_cap(gpu) else { return Ok(()) };
        let entry = &self.gpus[gpu];
        if entry.inconclusive.is_some() || entry.foreign || entry.lease.is_some() {
            return Ok(());
        }
        let say = |(refusal, detail): (Refusal, String)| {
            format!("{gpu} cannot be brought to its safe cap: {refusal:?}, {detail}")
        };
        let limits = self.boards.limits(gpu).map_err(|refusal| say((refusal, String::new())))?;
        if limits.requested <= safe {
            return Ok(());
        }
        let kept = entry.record.clone();
        let record = kept.unwrap_or_else(|| Record::new(gpu, &self.boot, limits.requested.0, Vec::new(), "safe cap"));
        match self.change(gpu, &record, Hold::limit(safe)) {
            Ok(_) => {
                self.tell("safe_cap", gpu, format!("{safe} instead of {}", limits.requested));
                Ok(())
            }
            // Without permission it runs as it is, and says so.
            Err((Refusal::NoPermission | Refusal::NotSupported, detail)) => {
                self.tell("uncapped", gpu, detail);
                self.forget(gpu).map_err(say)
            }
            Err(error) => Err(say(error)),
        }
    }

    /// Undoes everything, for the service manager's stop and for a person.
    ///
    /// # Errors
    /// What could not be undone.
    pub fn restore_all(&mut self) -> Result<(), String> {
        let mut wrong = Vec::new();
        for gpu in self.gpus.keys().cloned().collect::<Vec<_>>() {
            if let Err((refusal, detail)) = self.give_back(&gpu, true) {
                wrong.push(format!("{gpu}: {refusal:?}, {detail}"));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }
}

/// The output step of `splitmix64`: tokens that nobody guesses from the last one.
fn mixed(state: u64) -> u64 {
    let z = state.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
