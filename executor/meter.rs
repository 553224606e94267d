//! Counter readings → energy spans. Pure: it is told what was read and when.
//!
//! A GPU's energy belongs to the attempt that holds it. A measured processor package is divided by processor time; what
//! no attempt used stays unattributed, and the parts add up to the whole, millijoule by millijoule. Without a counter an
//! attempt's energy is its processor time times a stated figure per core, and says `cpu_time`.

use chrono::{DateTime, TimeDelta, Utc};
use neap_model::fleet::{Component, Source};
use neap_model::job::AttemptId;
use neap_model::ledger::{EnergySpan, NodeSpan, Part};
use neap_model::units::{Joules, Watts};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A span is closed after so long, and at the end of its attempt.
pub const SPAN: TimeDelta = TimeDelta::seconds(60);
/// Two readings further apart than that leave a gap: the energy between is filled in.
const GAP: TimeDelta = TimeDelta::seconds(10);

/// What was read since the reading before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// Energy of the processor packages, where a counter says so.
    pub cpu: Option<Joules>,
    /// Busy processor time of the whole host, in milliseconds.
    pub busy_ms: u64,
    /// Energy of each GPU by UUID, and how it was measured.
    pub gpus: BTreeMap<String, (Joules, Source)>,
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
}

/// Divides an interval's energy. `holders` says which attempt holds which GPU.
#[must_use]
pub fn divide(interval: &Interval, holders: &BTreeMap<String, AttemptId>, watts_per_cpu: Watts) -> Shares {
    let mut shares = Shares::default();
    let used: u64 = interval.attempts.values().sum();
    // Host and attempts are read one after the other: the attempts may seem to have used more than the host.
    let busy = interval.busy_ms.max(used);
    let estimate = |ms: u64| watts_per_cpu * Duration::from_millis(ms);
    let (source, whole) = match interval.cpu {
        Some(energy) => (Source::Rapl, energy),
        None => (Source::CpuTime, estimate(busy)),
    };
    let (mut passed, mut given) = (0, Joules::ZERO);
    for (attempt, ms) in &interval.attempts {
        // Cumulative shares: rounding never makes the parts more than the whole.
        passed += ms;
        let upto = whole.scaled(passed, busy);
        let energy = upto.saturating_sub(given);
        given = upto;
        shares.attempts.entry(*attempt).or_default().push(Part { component: Component::Cpu, source, energy });
    }
    add(&mut shares.node, Part { component: Component::Cpu, source, energy: whole });
    add(&mut shares.attributed, Part { component: Component::Cpu, source, energy: given });
    for (uuid, (energy, source)) in &interval.gpus {
        let part = Part { component: Component::Gpu, source: *source, energy: *energy };
        add(&mut shares.node, part);
        if let Some(holder) = holders.get(uuid) {
            shares.attempts.entry(*holder).or_default().push(part);
            add(&mut shares.attributed, part);
        }
    }
    shares
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
    /// Closed and not booked yet.
    pub closed: Vec<EnergySpan>,
}

impl AttemptMeter {
    /// From the start of the attempt on.
    #[must_use]
    pub fn new(from: DateTime<Utc>) -> Self {
        Self { cpu_ms: 0, seen: from, next: 0, from, parts: Vec::new(), gap_ms: 0, closed: Vec::new() }
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

/// The energy of the node on its way to the scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeMeter {
    seen: DateTime<Utc>,
    next: u32,
    from: DateTime<Utc>,
    parts: Vec<Part>,
    attributed: Vec<Part>,
    gap_ms: u64,
    /// Closed and not booked yet.
    pub closed: Vec<NodeSpan>,
}

impl NodeMeter {
    /// From now on.
    #[must_use]
    pub fn new(from: DateTime<Utc>) -> Self {
        Self { seen: from, next: 0, from, parts: Vec::new(), attributed: Vec::new(), gap_ms: 0, closed: Vec::new() }
    }

    /// Takes what was counted up to `at`.
    pub fn take(&mut self, shares: &Shares, at: DateTime<Utc>) {
        shares.node.iter().for_each(|part| add(&mut self.parts, *part));
        shares.attributed.iter().for_each(|part| add(&mut self.attributed, *part));
        if at - self.seen > GAP {
            self.gap_ms += u64::try_from((at - self.seen).num_milliseconds()).unwrap_or(0);
        }
        self.seen = self.seen.max(at);
        if self.seen - self.from >= SPAN {
            self.closed.push(NodeSpan {
                seq: self.next,
                from: self.from,
                until: self.seen,
                parts: std::mem::take(&mut self.parts),
                attributed: std::mem::take(&mut self.attributed),
                gap_ms: std::mem::take(&mut self.gap_ms),
            });
            (self.next, self.from) = (self.next + 1, self.seen);
        }
    }

    /// Drops what the scheduler wrote down.
    pub fn booked(&mut self, upto: u32) {
        self.closed.retain(|span| span.seq > upto);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use neap_model::job::{Epoch, JobId};
    use proptest::prelude::*;

    fn attempt(job: u64) -> AttemptId {
        AttemptId { job: JobId(job), epoch: Epoch(1) }
    }

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_795_392_000_000 + millis).expect("in range")
    }

    #[test]
    fn a10_without_a_counter_the_figure_is_an_estimate_and_says_so() {
        let interval = Interval {
            busy_ms: 3_000,
            attempts: [(attempt(1), 1_500), (attempt(2), 500)].into(),
            ..Interval::default()
        };
        let shares = divide(&interval, &BTreeMap::new(), Watts::whole(5));
        let part = |joules| Part { component: Component::Cpu, source: Source::CpuTime, energy: Joules(joules) };
        assert_eq!(shares.attempts[&attempt(1)], [part(7_500)]);
        assert_eq!(shares.attempts[&attempt(2)], [part(2_500)]);
        assert_eq!((shares.node, shares.attributed), (vec![part(15_000)], vec![part(10_000)]));
    }

    #[test]
    fn a_gpu_belongs_to_its_holder_idle_or_not() {
        let gpus =
            [("a".to_owned(), (Joules(100), Source::NvmlEnergy)), ("b".to_owned(), (Joules(7), Source::NvmlEnergy))];
        let interval = Interval { cpu: Some(Joules(50)), busy_ms: 10, gpus: gpus.into(), ..Interval::default() };
        let shares = divide(&interval, &[("a".to_owned(), attempt(1))].into(), Watts::whole(5));
        let gpu = |joules| Part { component: Component::Gpu, source: Source::NvmlEnergy, energy: Joules(joules) };
        assert_eq!(shares.attempts[&attempt(1)], [gpu(100)]);
        assert!(shares.node.contains(&gpu(107)) && shares.attributed.contains(&gpu(100)));
    }

    #[test]
    fn spans_close_by_the_minute_and_at_the_end_and_gaps_are_told() {
        let part = |joules| [Part { component: Component::Cpu, source: Source::CpuTime, energy: Joules(joules) }];
        let mut meter = AttemptMeter::new(at(0));
        assert!(!meter.take(&part(5), 10, at(5_000), false));
        assert!(!meter.take(&part(5), 20, at(59_000), false)); // 54 s without a reading
        assert!(meter.take(&part(1), 30, at(61_000), false));
        assert!(meter.take(&part(2), 40, at(62_000), true));
        let seen: Vec<_> = meter.closed.iter().map(|s| (s.seq, s.from, s.until, s.energy().0, s.gap_ms)).collect();
        assert_eq!(seen, [(0, at(0), at(61_000), 11, 54_000), (1, at(61_000), at(62_000), 2, 0)]);
        meter.booked(0);
        assert_eq!(meter.closed.len(), 1);
    }

    proptest! {
        #[test]
        fn jobs_and_unattributed_are_the_device_exactly(
            package in 0u64..1_000_000_000, busy in 0u64..100_000,
            used in proptest::collection::vec(0u64..50_000, 0..8),
        ) {
            let attempts: BTreeMap<_, _> = used.iter().enumerate().map(|(n, ms)| (attempt(n as u64), *ms)).collect();
            let interval = Interval { cpu: Some(Joules(package)), busy_ms: busy, attempts, ..Interval::default() };
            let shares = divide(&interval, &BTreeMap::new(), Watts::whole(5));
            let jobs: Joules = shares.attempts.values().flatten().map(|p| p.energy).sum();
            let attributed: Joules = shares.attributed.iter().map(|p| p.energy).sum();
            let node: Joules = shares.node.iter().map(|p| p.energy).sum();
            prop_assert_eq!(jobs, attributed);
            prop_assert_eq!(node, Joules(package));
            prop_assert!(attributed <= node);
        }
    }
}
