//! One round over all GPUs: energy and power ten times a second, processes and activity once. Boards in parts take the
//! driver 50 to 100 ms a call and are read once a second.

use super::driver::{Driver, Failed, MigPart, Use};
use crate::clock::Clock;
use crate::meter::idle::Idle;
use crate::meter::track::{Sample, Tally, Track};
use neap_model::units::{Joules, Watts};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::time::Duration;

/// Mean time between two rounds.
const ROUND_MS: u64 = 100;
/// Rounds are spread by so much to either side, or sampling could lock to the sensor.
const JITTER_MS: i64 = 20;
/// Processes, activity and boards in parts are asked so often.
const SLOW: Duration = Duration::from_secs(1);

/// What is known of a GPU.
#[derive(Clone, Debug)]
pub struct Live {
    /// Its energy.
    pub track: Track,
    /// What it draws with nothing to do.
    pub idle: Idle,
    /// Who runs there, as last listed; `None`: the driver does not say.
    pub uses: Option<Vec<Use>>,
    /// The parts under MIG, as last seen.
    pub parts: Vec<MigPart>,
    /// How long limits have held its clocks down since it was first read.
    pub bound: Duration,
    bound_seen: Option<Duration>,
    /// How busy its memory was.
    pub memory: MemoryUse,
    /// In the driver's words, why the last reading failed.
    pub trouble: Option<String>,
    /// Rounds in a row in which the driver said that the board is lost.
    lost: u32,
}

/// How busy the memory of a board was, added up over the readings of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryUse {
    /// Time in which it was read or written,
    pub busy: Duration,
    /// of so much time.
    pub seen: Duration,
    last: Option<Duration>,
}

impl MemoryUse {
    /// Takes a share in percent that stands for the time since the last one. A gap stands for nothing.
    fn take(&mut self, reading: Option<(Duration, u32)>) {
        if let (Some((at, percent)), Some(last)) = (reading, self.last) {
            let time = at.saturating_sub(last).min(2 * SLOW);
            self.busy += time * percent / 100;
            self.seen += time;
        }
        self.last = reading.map(|(at, _)| at);
    }
}

/// So many rounds in a row are believed.
const LOST: u32 = 3;

impl Live {
    fn new(most: Watts) -> Self {
        Self {
            track: Track::new(most),
            idle: Idle::default(),
            uses: None,
            parts: Vec::new(),
            bound: Duration::ZERO,
            bound_seen: None,
            memory: MemoryUse::default(),
            trouble: None,
            lost: 0,
        }
    }

    /// Sums so far.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.track.tally()
    }

    /// Whether the driver says how long limits hold its clocks down.
    #[must_use]
    pub const fn says_bound(&self) -> bool {
        self.bound_seen.is_some()
    }

    /// Whether the board has fallen off the bus.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.lost >= LOST
    }

    /// Takes what a round gathered.
    pub fn take(&mut self, gathered: Gathered) {
        self.lost = if matches!(gathered.sample, Err(Failed::Lost)) { self.lost.saturating_add(1) } else { 0 };
        if let Some((uses, parts)) = gathered.work {
            (self.uses, self.parts) = (uses, parts);
            self.memory.take(gathered.sample.as_ref().ok().map(|sample| sample.at).zip(gathered.memory));
        }
        match gathered.sample {
            Ok(sample) => {
                self.trouble = None;
                // A count that falls is a driver that was loaded anew: it counts from there.
                if let (Some(now), Some(then)) = (sample.bound, self.bound_seen) {
                    self.bound += now.saturating_sub(then);
                }
                self.bound_seen = sample.bound.or(self.bound_seen);
                self.track.take(sample);
                // Where the driver does not list processes nobody knows that it is idle.
                let busy = self.uses.as_ref().is_none_or(|uses| !uses.is_empty());
                self.idle.take(sample.at, self.tally().energy(), busy);
            }
            Err(Failed::Gone) => {
                self.track.away();
                self.trouble = Some("the driver is away".to_owned());
            }
            Err(Failed::Lost) => self.trouble = Some("the board is lost".to_owned()),
            Err(Failed::Refused(why)) => self.trouble = Some(why),
        }
    }

    /// Takes an energy counter at a tick, and closes the books there.
    pub fn take_edge(&mut self, at: Duration, counter: Option<Joules>) {
        self.track.take(Sample { at, counter, ..Sample::default() });
        self.track.settle(at);
    }
}

/// What a round read of one GPU.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// Energy and power.
    pub sample: Result<Sample, Failed>,
    /// Processes and parts, where this round asked for them.
    pub work: Option<(Option<Vec<Use>>, Vec<MigPart>)>,
    /// Percent of the time in which its memory was busy, where this round asked and something runs there.
    pub memory: Option<u32>,
}

/// When each GPU was last asked what.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    read: Option<Duration>,
    work: Option<Duration>,
    parts: bool,
}

/// When the GPUs of a host are read next.
#[derive(Debug)]
pub struct Sampler {
    random: StdRng,
    next: Duration,
    asked: BTreeMap<String, Asked>,
}

impl Sampler {
    /// With a seed for the spread of its rounds.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), next: Duration::ZERO, asked: BTreeMap::new() }
    }

    /// When the next round is due.
    #[must_use]
    pub const fn next(&self) -> Duration {
        self.next
    }

    /// Reads all these GPUs once.
    pub fn round(&mut self, driver: &mut Driver<'_>, uuids: &[String], clock: &dyn Clock) -> Vec<(String, Gathered)> {
        let now = clock.now();
        let spread = self.random.random_range(-JITTER_MS..=JITTER_MS);
        self.next = now + Duration::from_millis(ROUND_MS.saturating_add_signed(spread));
        let due = |asked: Option<Duration>| asked.is_none_or(|asked| now >= asked + SLOW);
        let mut all = Vec::with_capacity(uuids.len());
        for uuid in uuids {
            let asked = self.asked.entry(uuid.clone()).or_default();
            if asked.parts && !due(asked.read) {
                continue;
            }
            asked.read = Some(now);
            let before = clock.now();
            let sample = driver.look(uuid, before).map(|sample| Sample { at: middle(before, clock.now()), ..sample });
            let (mut work, mut memory) = (None, None);
            if sample.is_ok() && due(asked.work) {
                asked.work = Some(now);
                let parts = driver.parts(uuid);
                asked.parts = !parts.is_empty();
                let uses = driver.uses(uuid, !asked.parts).ok();
                if uses.as_ref().is_some_and(|uses| !uses.is_empty()) {
                    memory = driver.memory_busy(uuid);
                }
                work = Some((uses, parts));
            }
            all.push((uuid.clone(), Gathered { sample, work, memory }));
        }
        all
    }
}

fn middle(before: Duration, after: Duration) -> Duration {
    before + after.saturating_sub(before) / 2
}

/// New entries for these GPUs and their highest limits; the old ones are kept.
pub fn add_known(gpus: &mut BTreeMap<String, Live>, found: &[(String, Watts)]) {
    for (uuid, most) in found {
        gpus.entry(uuid.clone()).or_insert_with(|| Live::new(*most));
    }
}
