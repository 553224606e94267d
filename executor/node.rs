//! What this node has, and its meters, as one thing that can be read.

use crate::clock::{Boot, Clock, millis};
use crate::config::Config;
use crate::domains::nvml::Gpus;
use crate::domains::nvml::sampler::Live;
use crate::domains::rapl::{Rapl, Split};
use crate::domains::sensor;
use crate::meter::power::mean;
use crate::meter::rest::{Measured, Stated, add_stated};
use crate::meter::share::{BoardPart, GpuUse, Work};
use crate::meter::track::Tally;
use crate::meter::{Holders, Interval, Shares, divide};
use crate::pace::Strain;
use crate::process::{boot_id, host_busy_ms};
use neap_model::fleet::{Component, Inventory, Meter, Source};
use neap_model::job::AttemptId;
use neap_model::units::{Bytes, Joules, Watts};
use std::collections::BTreeMap;
use std::time::Duration;

/// Why the node cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A fact every Linux host tells is missing.
    #[error("cannot read {0}")]
    Facts(&'static str),
}

/// This node.
#[derive(Debug)]
pub struct Node {
    /// What it has.
    pub inventory: Inventory,
    rapl: Option<(Rapl, Split)>,
    /// The processors' counter answered the last time.
    rapl_answered: bool,
    gpus: Option<Gpus>,
    /// What of each GPU's energy is divided already.
    divided: BTreeMap<String, Tally>,
    /// For how long limits have held clocks down in all, by UUID.
    bounds: BTreeMap<String, Duration>,
    /// The most each GPU drew between two readings since somebody asked.
    draws: BTreeMap<String, Watts>,
    busy_ms: u64,
    stated: Stated,
    read: Duration,
    /// What is wrong with which meter, as last told.
    troubles: BTreeMap<String, String>,
    notes: Vec<String>,
}

impl Node {
    /// Looks at the host: GPUs through NVML, processors through RAPL, and an estimate for what neither measures.
    ///
    /// # Errors
    /// [`NodeError`] if the host tells nothing about itself.
    pub fn look(config: &Config) -> Result<Self, NodeError> {
        let mut notes = Vec::new();
        let mut meters = Vec::new();
        let gpus = match Gpus::find(config.nvml_library()) {
            Ok(gpus) => Some(gpus),
            Err(why) => {
                notes.push(format!("no GPUs: {why}"));
                None
            }
        };
        let found = gpus.as_ref().map_or(&[][..], |gpus| &gpus.found);
        let source_of = |uuid: &str| gpus.as_ref().map(|gpus| gpus.source(uuid));
        for gpu in found.iter().filter(|gpu| source_of(&gpu.uuid) == Some(Source::NvmlPower)) {
            notes.push(format!("{} {} has no energy counter: its power readings are integrated", gpu.model, gpu.uuid));
        }
        for source in [Source::NvmlEnergy, Source::NvmlPower] {
            if found.iter().any(|gpu| source_of(&gpu.uuid) == Some(source)) {
                meters.push(Meter { component: Component::Gpu, source });
            }
        }
        let rapl = match Rapl::find(&config.rapl_root) {
            Ok(rapl) => Some((rapl, Split::default())),
            Err(why) => {
                notes.push(format!(
                    "processors are estimated from their time at {} a core: {why}",
                    config.watts_per_cpu
                ));
                None
            }
        };
        let source = if rapl.is_some() { Source::Rapl } else { Source::CpuTime };
        meters.push(Meter { component: Component::Cpu, source });
        if rapl.as_ref().is_some_and(|(rapl, _)| rapl.counts_memory()) {
            meters.push(Meter { component: Component::Dram, source });
        } else if config.watts_per_gib > Watts::ZERO {
            meters.push(Meter { component: Component::Dram, source: Source::Estimated });
        }
        let threads = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        let inventory = Inventory {
            cpus: config.cpus.unwrap_or(threads),
            memory: memory().ok_or(NodeError::Facts("/proc/meminfo"))?,
            gpus: found.to_vec(),
            watts_per_cpu: config.watts_per_cpu,
            meters,
            boot: boot_id(),
            driver: gpus.as_ref().and_then(Gpus::driver),
            sensor_windows: found
                .iter()
                .filter_map(|gpu| Some((gpu.model.clone(), sensor::window(&gpu.model)?)))
                .collect(),
        };
        Ok(Self {
            rapl,
            rapl_answered: true,
            divided: gpus.iter().flat_map(Gpus::live).map(|(uuid, live)| (uuid, live.tally())).collect(),
            gpus,
            busy_ms: host_busy_ms().ok_or(NodeError::Facts("/proc/stat"))?,
            stated: Stated {
                idle: Watts(config.idle_watts_per_cpu.0.saturating_mul(u64::from(threads))),
                memory: config.watts_per_gib.scaled(inventory.memory.0 >> 20, 1 << 10),
                rest: config.rest_watts,
                supply_efficiency: config.supply_efficiency,
            },
            bounds: BTreeMap::new(),
            draws: BTreeMap::new(),
            read: Boot.now(),
            troubles: BTreeMap::new(),
            inventory,
            notes,
        })
    }

    /// The most that each GPU drew on average between two readings since this was last asked.
    pub fn take_draws(&mut self) -> BTreeMap<String, Watts> {
        std::mem::take(&mut self.draws)
    }

    /// What is missing and what that means, a line each.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// Closes the books of these GPUs at a tick of their counters: the beginning or the end of jobs. Gives the energy by
    /// which each of these instants may be off. Takes at most 1 s whatever the driver does.
    pub fn edges(&mut self, uuids: &[String]) -> BTreeMap<String, Joules> {
        let Some(gpus) = &self.gpus else { return BTreeMap::new() };
        let slack = gpus.edges(uuids);
        let watts: BTreeMap<String, Watts> =
            gpus.live().into_iter().filter_map(|(uuid, live)| Some((uuid, live.track.watts()?))).collect();
        let off = |uuid: &str, slack| watts.get(uuid).map_or(Joules::ZERO, |watts| *watts * slack);
        slack.into_iter().map(|(uuid, slack)| (uuid.clone(), off(&uuid, slack))).collect()
    }

    /// What the counters of these GPUs said last: milliseconds since boot and millijoules.
    #[must_use]
    pub fn counters(&self, uuids: &[String]) -> BTreeMap<String, (u64, u64)> {
        let live = self.gpus.iter().flat_map(Gpus::live).filter(|(uuid, _)| uuids.contains(uuid));
        live.filter_map(|(uuid, live)| live.track.counter().map(|(at, joules)| (uuid, (millis(at), joules.0))))
            .collect()
    }

    /// How long limits have held clocks down: the longest of these GPUs.
    #[must_use]
    pub fn bound(&self, uuids: &[String]) -> Duration {
        let live = self.gpus.iter().flat_map(Gpus::live).filter(|(uuid, _)| uuids.contains(uuid));
        live.map(|(_, live)| live.bound).max().unwrap_or_default()
    }

    /// What held these GPUs up so far: their limits, or their memory. `None`: one of them does not say.
    #[must_use]
    pub fn strain(&self, uuids: &[String]) -> Option<Strain> {
        let live = self.gpus.iter().flat_map(Gpus::live).filter(|(uuid, _)| uuids.contains(uuid));
        live.map(|(_, live)| live).try_fold(Strain::default(), |all, live| {
            let busy = live.says_bound().then_some(live.memory.busy)?;
            Some(Strain {
                bound: all.bound.max(live.bound),
                memory_busy: all.memory_busy + busy,
                memory_seen: all.memory_seen + live.memory.seen,
            })
        })
    }

    /// Goes on where an executor before this one ended.
    pub fn resume(&mut self, counters: &BTreeMap<String, (u64, u64)>) {
        let Some(gpus) = &self.gpus else { return };
        for (uuid, (seen, counter)) in counters {
            gpus.resume(uuid, Duration::from_millis(*seen), Joules(*counter));
        }
    }

    /// What has gone wrong with meters since this was last asked, and what is well again, a line each.
    pub fn news(&mut self) -> Vec<String> {
        let Some(gpus) = &self.gpus else { return Vec::new() };
        let mut lines = Vec::new();
        // A board that fell off the bus is no place for a job, even if it shows itself again: a person looks first.
        let lost: Vec<String> =
            gpus.live().into_iter().filter(|(_, live)| live.is_lost()).map(|(uuid, _)| uuid).collect();
        self.inventory.gpus.retain(|gpu| {
            let stays = !lost.contains(&gpu.uuid);
            if !stays {
                lines.push(format!(
                    "{} {} is lost: no job starts there until this executor is started again",
                    gpu.model, gpu.uuid
                ));
            }
            stays
        });
        // It may have been loaded anew.
        self.inventory.driver = gpus.driver().or(self.inventory.driver.take());
        let mut now: BTreeMap<String, String> =
            gpus.live().into_iter().filter_map(|(uuid, live)| Some((uuid, live.trouble?))).collect();
        if gpus.stale().is_some() {
            now.insert("the NVIDIA driver".to_owned(), "it does not answer; jobs and loop go on".to_owned());
        }
        for (what, why) in now.iter().filter(|(what, why)| self.troubles.get(*what) != Some(*why)) {
            lines.push(format!("{what} is not metered: {why}"));
        }
        lines.extend(
            self.troubles.keys().filter(|what| !now.contains_key(*what)).map(|what| format!("{what} is metered again")),
        );
        self.troubles = now;
        lines
    }

    /// Reads all meters and divides what was used since the reading before. `used` is the processor time of each attempt
    /// since then, `whose` says which attempt a process belongs to, `reserved` how many cores each attempt holds. A meter that does not answer is made up for by its
    /// next answer.
    pub fn read(
        &mut self,
        used: BTreeMap<AttemptId, u64>,
        holders: &Holders,
        whose: &BTreeMap<i32, AttemptId>,
        reserved: &BTreeMap<AttemptId, u32>,
    ) -> Shares {
        let now = Boot.now();
        let time = now.saturating_sub(std::mem::replace(&mut self.read, now));
        let busy = host_busy_ms().unwrap_or(self.busy_ms);
        let mut interval =
            Interval { busy_ms: busy.saturating_sub(self.busy_ms), attempts: used, ..Interval::default() };
        self.busy_ms = busy;
        let mut whole = true;
        if let Some((rapl, before)) = &mut self.rapl {
            let reading = rapl.split();
            whole = std::mem::replace(&mut self.rapl_answered, reading.is_ok()) && reading.is_ok();
            let now = reading.unwrap_or(*before);
            interval.cpu = Some(now.packages.saturating_sub(before.packages));
            let memory = |memory: Joules| memory.saturating_sub(before.memory.unwrap_or_default());
            interval.dram = if rapl.counts_memory() { Some(now.memory.map_or(Joules::ZERO, memory)) } else { None };
            *before = now;
        }
        if let Some(gpus) = &mut self.gpus {
            gpus.tend();
            for (uuid, live) in gpus.live() {
                let before = self.divided.insert(uuid.clone(), live.tally()).unwrap_or_default();
                let bound = live.bound.saturating_sub(self.bounds.insert(uuid.clone(), live.bound).unwrap_or_default());
                let model = self.inventory.gpus.iter().find(|gpu| gpu.uuid == uuid).map(|gpu| gpu.model.as_str());
                let gain = gain(model.unwrap_or_default());
                let used = gpu_use(&live, &before, bound, whose, gain);
                if let Some(watts) = mean(used.tally.counted + used.tally.integrated, &used.tally) {
                    let most = self.draws.entry(uuid.clone()).or_default();
                    *most = watts.max(*most);
                }
                interval.gpus.insert(uuid, used);
            }
        }
        let mut shares = divide(&interval, holders, self.inventory.watts_per_cpu);
        let measured = Measured { processors: interval.cpu.is_some(), memory: interval.dram.is_some() };
        add_stated(&mut shares, &self.stated, time, measured, reserved, self.inventory.cpus);
        shares.draws.rest(&shares.attempts, time, whole);
        shares
    }
}

/// How far a board's sensor and counter may be off, in thousandths: data-centre boards 6 %, others 13 %.
fn gain(model: &str) -> u32 {
    if ["GeForce", "RTX", "TITAN", "Quadro"].iter().any(|word| model.contains(word)) { 130 } else { 60 }
}

fn gpu_use(live: &Live, before: &Tally, bound: Duration, whose: &BTreeMap<i32, AttemptId>, gain: u32) -> GpuUse {
    let tally = live.tally().since(before);
    let idle = live.idle.watts().map_or(Joules::ZERO, |watts| watts * tally.window);
    let works = live.uses.iter().flatten().map(|one| Work {
        whose: i32::try_from(one.pid).ok().and_then(|pid| whose.get(&pid).copied()),
        activity: one.activity,
    });
    let parts = live.parts.iter().map(|part| BoardPart {
        uuid: part.uuid.clone(),
        multiprocessors: u64::from(part.multiprocessors),
        activity: part.activity,
    });
    GpuUse { tally, idle, gain, works: works.collect(), parts: parts.collect(), bound }
}

fn memory() -> Option<Bytes> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(Bytes(kib << 10))
}
