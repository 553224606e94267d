//! Counter readings → energy spans. Pure: it is told what was read and when.
//!
//! A GPU's energy belongs to the attempt that holds it, idle or not; where several hold it, `share.rs` divides. Measured processor
//! packages, and memory where it is measured, are divided by processor time; what no attempt used stays unattributed, and the
//! parts add up to the whole, millijoule by millijoule. Without a counter an attempt's energy is its processor time times a stated
//! figure per core, and says `cpu_time`.

pub mod apportion;
pub mod edge;
pub mod idle;
pub mod power;
pub mod rest;
pub mod share;
pub mod track;

use crate::clock::millis;
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::cap::CapUse;
use neap_model::fleet::{Component, Source};
use neap_model::job::AttemptId;
use neap_model::ledger::{EnergySpan, GpuSpan, Metering, NodeSpan, Part, Power, Unattributed};
use neap_model::units::{Joules, Watts};
use power::Draws;
use serde::{Deserialize, Serialize};
use share::{GpuUse, share};
use std::collections::BTreeMap;
use std::time::Duration;

/// How far an estimate from processor time may be off. Assumed.
const ESTIMATE_OFF: f64 = 0.5;
/// How far the processors' own counter may be off. Assumed.
const RAPL_OFF: f64 = 0.05;

/// A span is closed after so long, and at the end of its attempt.
pub const SPAN: TimeDelta = TimeDelta::seconds(60);
/// The node's span is closed after so long where a job ended in it.
const SOON: TimeDelta = TimeDelta::seconds(10);
/// Two readings further apart than that leave a gap: the energy between is filled in.
const GAP: TimeDelta = TimeDelta::seconds(10);

/// What was read since the reading before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// Energy of the processor packages, where a counter says so.
    pub cpu: Option<Joules>,
    /// Energy of memory, where a counter says so.
    pub dram: Option<Joules>,
    /// Busy processor time of the whole host, in milliseconds.
    pub busy_ms: u64,
    /// What each GPU used and for whom, by UUID.
    pub gpus: BTreeMap<String, GpuUse>,
    /// Processor time of each attempt, in milliseconds.
    pub attempts: BTreeMap<AttemptId, u64>,
}

/// What an interval's energy comes to: for each attempt, and for the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// By attempt.
    pub attempts: BTreeMap<AttemptId, Vec<Part>>,
    /// What the node's meters counted.
    pub node: Vec<Part>,
    /// What of it went to attempts.
    pub attributed: Vec<Part>,
    /// How well the energy of each attempt is known.
    pub metering: BTreeMap<AttemptId, Metering>,
    /// GPU energy that went to none.
    pub unattributed: Unattributed,
    /// What each GPU used, by UUID.
    pub gpus: BTreeMap<String, GpuSpan>,
    /// What each attempt drew.
    pub draws: Draws,
}

/// Which attempts hold which GPU or MIG part, by UUID.
pub type Holders = BTreeMap<String, Vec<AttemptId>>;

/// Divides an interval's energy. `holders` says which attempt holds which GPU.
#[must_use]
pub fn divide(interval: &Interval, holders: &Holders, watts_per_cpu: Watts) -> Shares {
    let mut shares = Shares::default();
    let used: u64 = interval.attempts.values().sum();
    // Host and attempts are read one after the other: the attempts may seem to have used more than the host.
    let busy = interval.busy_ms.max(used);
    let estimate = |ms: u64| watts_per_cpu * Duration::from_millis(ms);
    let (source, energy) = match interval.cpu {
        Some(energy) => (Source::Rapl, energy),
        None => (Source::CpuTime, estimate(busy)),
    };
    by_time(&mut shares, &interval.attempts, busy, Part { component: Component::Cpu, source, energy });
    if let Some(energy) = interval.dram {
        // Nothing says who reads and writes: memory goes as its processors do.
        let whole = Part { component: Component::Dram, source: Source::Rapl, energy };
        by_time(&mut shares, &interval.attempts, busy, whole);
    }
    for (uuid, used) in &interval.gpus {
        let parted = share(uuid, used, holders);
        shares.draws.board(&used.tally, &parted);
        let energy = parted.node.iter().map(|(_, energy)| *energy).sum();
        shares.gpus.insert(uuid.clone(), GpuSpan { energy, bound_ms: millis(used.bound) });
        for (source, energy) in parted.node {
            add(&mut shares.node, Part { component: Component::Gpu, source, energy });
        }
        for (holder, source, energy) in parted.holders {
            let part = Part { component: Component::Gpu, source, energy };
            add(shares.attempts.entry(holder).or_default(), part);
            add(&mut shares.attributed, part);
        }
        for (holder, metering) in parted.metering {
            shares.metering.entry(holder).or_default().add(&metering);
        }
        shares.unattributed.add(&parted.unattributed);
    }
    shares
}

/// Divides what processors or memory used by processor time of `busy` milliseconds in all; what no attempt used is nobody's.
fn by_time(shares: &mut Shares, attempts: &BTreeMap<AttemptId, u64>, busy: u64, whole: Part) {
    let used: u64 = attempts.values().sum();
    let mut weights: Vec<u64> = attempts.values().copied().collect();
    weights.push(busy.saturating_sub(used));
    let amounts = apportion::apportion(whole.energy.0, &weights);
    let off = if whole.source == Source::Rapl { RAPL_OFF } else { ESTIMATE_OFF };
    let mut given = Joules::ZERO;
    for (attempt, amount) in attempts.keys().zip(amounts) {
        let part = Part { energy: Joules(amount), ..whole };
        given += part.energy;
        shares.attempts.entry(*attempt).or_default().push(part);
        shares.metering.entry(*attempt).or_default().uncertain += share::times(part.energy, off);
    }
    add(&mut shares.node, whole);
    add(&mut shares.attributed, Part { energy: given, ..whole });
}

fn add(parts: &mut Vec<Part>, part: Part) {
    match parts.iter_mut().find(|known| (known.component, known.source) == (part.component, part.source)) {
        Some(known) => known.energy += part.energy,
        None => parts.push(part),
    }
}

/// The energy of one attempt on its way to the scheduler. Kept on disk: it survives the executor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptMeter {
    /// Processor time seen so far, in milliseconds.
    pub cpu_ms: u64,
    /// Up to when.
    pub seen: DateTime<Utc>,
    next: u32,
    from: DateTime<Utc>,
    parts: Vec<Part>,
    gap_ms: u64,
    #[serde(default)]
    metering: Metering,
    #[serde(default)]
    cap: CapUse,
    #[serde(default)]
    power: Power,
    /// It ran at the last reading of this life.
    #[serde(skip)]
    ran: bool,
    /// What the counters of its GPUs said last: milliseconds since boot and millijoules, by UUID.
    #[serde(default)]
    pub counters: BTreeMap<String, (u64, u64)>,
    /// Closed and not booked yet.
    pub closed: Vec<EnergySpan>,
}

impl AttemptMeter {
    /// From the start of the attempt on.
    #[must_use]
    pub fn new(from: DateTime<Utc>) -> Self {
        Self {
            cpu_ms: 0,
            seen: from,
            next: 0,
            from,
            parts: Vec::new(),
            gap_ms: 0,
            metering: Metering::default(),
            cap: CapUse::default(),
            power: Power::default(),
            ran: false,
            counters: BTreeMap::new(),
            closed: Vec::new(),
        }
    }

    /// The attempt says when it started: what its devices used since they were taken for it stays its own.
    pub fn begins(&mut self, at: DateTime<Utc>) {
        (self.from, self.seen) = (at, at);
    }

    /// Takes energy of devices that are held and do not work yet.
    pub fn hold(&mut self, parts: &[Part]) {
        parts.iter().for_each(|part| add(&mut self.parts, *part));
    }

    /// Notes how well the energy taken next is known.
    pub fn note(&mut self, metering: &Metering) {
        self.metering.add(metering);
    }

    /// Notes how its GPUs were held.
    pub fn hold_cap(&mut self, used: &CapUse) {
        self.cap.add(used);
    }

    /// It runs, and drew that since the last reading; `None`: nobody knows. What it drew counts where it ran all the time.
    pub fn drew(&mut self, watts: Option<Watts>, time: Duration) {
        if let (true, Some(watts)) = (self.ran, watts) {
            self.power.drew(watts, time);
        }
        self.ran = true;
    }

    /// Takes energy used up to `at`. Says whether a span was closed.
    pub fn take(&mut self, parts: &[Part], cpu_ms: u64, at: DateTime<Utc>, last: bool) -> bool {
        for part in parts {
            add(&mut self.parts, *part);
        }
        if at - self.seen > GAP {
            self.gap_ms += u64::try_from((at - self.seen).num_milliseconds()).unwrap_or(0);
        }
        self.cpu_ms = self.cpu_ms.max(cpu_ms);
        self.seen = self.seen.max(at);
        let due = self.seen - self.from >= SPAN || last;
        if due {
            let parts = std::mem::take(&mut self.parts);
            let span = EnergySpan {
                seq: self.next,
                from: self.from,
                until: self.seen,
                parts,
                gap_ms: std::mem::take(&mut self.gap_ms),
                metering: std::mem::take(&mut self.metering),
                cap: std::mem::take(&mut self.cap),
                power: std::mem::take(&mut self.power),
            };
            (self.next, self.from) = (self.next + 1, self.seen);
            self.closed.push(span);
        }
        due
    }

    /// Drops what the scheduler wrote down.
    pub fn booked(&mut self, upto: u32) {
        self.closed.retain(|span| span.seq > upto);
    }
}

/// The energy of the node on its way to the scheduler. Kept on disk, so that what jobs and idle boards used adds up to it over a
/// start of the executor as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeMeter {
    /// Names these books; random.
    pub books: u64,
    /// A job's books were closed since the last span.
    ended: bool,
    seen: DateTime<Utc>,
    next: u32,
    from: DateTime<Utc>,
    parts: Vec<Part>,
    attributed: Vec<Part>,
    gap_ms: u64,
    unattributed: Unattributed,
    #[serde(default)]
    gpus: BTreeMap<String, GpuSpan>,
    /// Closed and not booked yet.
    pub closed: Vec<NodeSpan>,
}

impl NodeMeter {
    /// From now on, in new books.
    #[must_use]
    pub fn new(from: DateTime<Utc>, books: u64) -> Self {
        Self {
            books,
            ended: false,
            seen: from,
            next: 0,
            from,
            parts: Vec::new(),
            attributed: Vec::new(),
            gap_ms: 0,
            unattributed: Unattributed::default(),
            gpus: BTreeMap::new(),
            closed: Vec::new(),
        }
    }

    /// Goes on with the books of an earlier life, whose last span ends where that life did; without them, with new ones.
    #[must_use]
    pub fn resume(kept: Option<Self>, now: DateTime<Utc>, books: u64) -> Self {
        let Some(mut kept) = kept else { return Self::new(now, books) };
        if !kept.parts.is_empty() {
            kept.close();
        }
        (kept.from, kept.seen) = (now, now);
        kept
    }

    /// Takes what was counted up to `at`.
    pub fn take(&mut self, shares: &Shares, at: DateTime<Utc>) {
        shares.node.iter().for_each(|part| add(&mut self.parts, *part));
        shares.attributed.iter().for_each(|part| add(&mut self.attributed, *part));
        self.unattributed.add(&shares.unattributed);
        for (uuid, used) in &shares.gpus {
            let known = self.gpus.entry(uuid.clone()).or_default();
            *known = known.and(*used);
        }
        if at - self.seen > GAP {
            self.gap_ms += u64::try_from((at - self.seen).num_milliseconds()).unwrap_or(0);
        }
        self.seen = self.seen.max(at);
        if self.seen - self.from >= if self.ended { SOON } else { SPAN } {
            self.close();
        }
    }

    fn close(&mut self) {
        self.ended = false;
        self.closed.push(NodeSpan {
            seq: self.next,
            from: self.from,
            until: self.seen,
            parts: std::mem::take(&mut self.parts),
            attributed: std::mem::take(&mut self.attributed),
            gap_ms: std::mem::take(&mut self.gap_ms),
            unattributed: std::mem::take(&mut self.unattributed),
            gpus: std::mem::take(&mut self.gpus),
        });
        (self.next, self.from) = (self.next + 1, self.seen);
    }

    /// A job's books are closed: the node's follow soon.
    pub fn job_ended(&mut self) {
        self.ended = true;
    }

    /// Drops what the scheduler wrote down.
    pub fn booked(&mut self, upto: u32) {
        self.closed.retain(|span| span.seq > upto);
    }
}

#[cfg(test)]
mod tests;
