//! What stands in a job's way, with its numbers, and what its run is expected to be.

use super::broken::cut;
use super::search::Choice;
use crate::likely::lengths;
use crate::machine::{Amount, Shape};
use crate::order::latest_start;
use crate::problem::Job;
use crate::room::{Room, ZoneRoom};
use crate::stamp::{Stamp, later, millis, stamp, time};
use chrono::TimeDelta;
use chrono::{DateTime, Utc};
use neap_model::footprint::{EnergyOver, footprint};
use neap_model::grid::Grade;
use neap_model::plan::{Blocker, Decision, Outlook, Verdict};
use neap_model::reason::Reason;
use neap_model::seconds::Seconds;
use neap_model::units::{Bytes, GramsCo2e, Intensity, Joules, Watts};
use std::cmp::Reverse;

/// What a run of the job at that power would be that is planned with `length`: its energy, emissions and intensity are the
/// mean over its likely lengths, its end and its grade those of the planning length. `None` where no hour of it is known.
///
/// Where the curve covers only part of the run, or of a longer one that is as likely as others, its mean stands for the rest
/// and the grade says so: `Static`.
pub(crate) fn outlook(
    zone: &ZoneRoom,
    watts: Watts,
    start: DateTime<Utc>,
    length: Seconds,
    job: &Job,
) -> Option<Outlook> {
    let end = later(start, length);
    let mean = zone.curve.mean(start, end)?;
    let lengths = lengths(job, length);
    let known = |until: DateTime<Utc>| zone.curve.mean(start, until).filter(|mean| mean.covered >= until - start);
    let longest = lengths.iter().copied().max().unwrap_or(length).max(length);
    let all = known(later(start, longest));
    let whole = all.is_some();
    let mut all_lengths = Runs::default();
    for length in lengths {
        let (until, uses) = (later(start, length), (watts * length).at_facility(zone.pue));
        let there = known(until).filter(|_| whole).unwrap_or(mean);
        let emits = if whole {
            footprint(&[EnergyOver { from: start, until, energy: uses }], &zone.curve, TimeDelta::zero()).emits
        } else {
            uses * mean.value
        };
        all_lengths.add(length, uses, emits, there.value);
    }
    let (energy, emits, intensity) = all_lengths.mean()?;
    let grade = if all.is_some_and(|all| all.worst.may_shift()) { mean.worst } else { Grade::Static };
    Some(Outlook { start, end, energy, emits, intensity, grade })
}

/// Runs of equally likely lengths, summed up.
#[derive(Default)]
struct Runs {
    count: u64,
    energy: Joules,
    emits: GramsCo2e,
    /// mg CO2e per kWh × seconds, and seconds.
    weighed: u128,
    time: u128,
}

impl Runs {
    fn add(&mut self, length: Seconds, energy: Joules, emits: GramsCo2e, intensity: Intensity) {
        self.count += 1;
        self.energy += energy;
        self.emits += emits;
        self.weighed += u128::from(intensity.0) * u128::from(length.0);
        self.time += u128::from(length.0);
    }

    /// Mean energy and emissions, and the mean intensity over all their time. `None`: they take no time.
    fn mean(&self) -> Option<(Joules, GramsCo2e, Intensity)> {
        let intensity = Intensity(u64::try_from(self.weighed.checked_div(self.time)?).ok()?);
        Some((self.energy.scaled(1, self.count), self.emits.scaled(1, self.count), intensity))
    }
}

/// What a run in several pieces would be that is planned with `length`: its energy, emissions and intensity are the mean over
/// its likely lengths, its end and its grade those of the planning length. `None` where part of it is not known.
pub(crate) fn broken_outlook(
    zone: &ZoneRoom,
    watts: Watts,
    length: Seconds,
    runs: &[(Stamp, Stamp)],
    job: &Job,
) -> Option<Outlook> {
    let planned = pieces(zone, watts, length, runs)?;
    if job.likely.is_empty() {
        return Some(planned);
    }
    let mut all_lengths = Runs::default();
    for length in lengths(job, length) {
        let runs: Vec<(Stamp, Stamp)> = cut(runs, millis(length)).collect();
        let one = pieces(zone, watts, length, &runs)?;
        all_lengths.add(length, one.energy, one.emits, one.intensity);
    }
    let (energy, emits, intensity) = all_lengths.mean()?;
    Some(Outlook { energy, emits, intensity, ..planned })
}

/// What a run in several pieces is that takes just that long. The energy is that of one piece, spread evenly over the time in
/// which it runs.
fn pieces(zone: &ZoneRoom, watts: Watts, length: Seconds, runs: &[(Stamp, Stamp)]) -> Option<Outlook> {
    let energy = (watts * length).at_facility(zone.pue);
    let all: i64 = runs.iter().map(|(from, until)| until - from).sum();
    let (mut passed, mut given, mut over) = (0, Joules::ZERO, Vec::with_capacity(runs.len()));
    let (mut weighed, mut grade) = (0u128, Grade::Measured);
    for (from, until) in runs {
        let mean = zone.curve.mean(time(*from), time(*until)).filter(|m| m.covered >= time(*until) - time(*from))?;
        passed += until - from;
        let upto = energy.scaled(passed.unsigned_abs(), all.unsigned_abs());
        over.push(EnergyOver { from: time(*from), until: time(*until), energy: upto.saturating_sub(given) });
        given = upto;
        weighed += u128::from(mean.value.0) * u128::from((until - from).unsigned_abs());
        grade = grade.max(mean.worst);
    }
    let intensity = Intensity(u64::try_from(weighed.checked_div(u128::from(all.unsigned_abs()))?).ok()?);
    let emits = footprint(&over, &zone.curve, TimeDelta::zero()).emits;
    Some(Outlook { start: over.first()?.from, end: over.last()?.until, energy, emits, intensity, grade })
}

/// A job that something outside the planner blocks. It gets no room.
pub(crate) fn blocked(job: &Job, reason: &Reason) -> Decision {
    hold(job, vec![Blocker { reason: reason.clone(), clears: None }])
}

/// A job deeper in the queue than is planned for.
pub(crate) fn behind(job: &Job, now: DateTime<Utc>, jobs: usize) -> Decision {
    let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
    let mut blockers = vec![Blocker { reason: Reason::Behind { jobs }, clears: None }];
    blockers.extend(not_before(job, now));
    hold(job, blockers)
}

/// A job that no node which is up can run.
pub(crate) fn hopeless(room: &Room, job: &Job, now: DateTime<Utc>) -> Decision {
    let mut blockers = match room.open(job).next() {
        None => vec![Blocker { reason: Reason::NoExecutor { zones: room.zones_of(job) }, clears: None }],
        Some(_) => {
            let from = stamp(now.max(job.eligible));
            let shared = room.never_enough(job).or_else(|| room.shared_shortage(job, from));
            let reason = shared.unwrap_or_else(|| short(room, job, |node| room.nodes[node].machine.total));
            vec![Blocker { reason, clears: None }]
        }
    };
    blockers.extend(not_before(job, now));
    ahead(&mut blockers);
    hold(job, blockers)
}

/// A hold without a place or a time.
pub(crate) fn hold(job: &Job, blockers: Vec<Blocker>) -> Decision {
    let because = blockers.first().map_or(Reason::Evaluating, |blocker| blocker.reason.clone());
    Decision {
        job: job.id,
        verdict: Verdict::Hold { until: None, place: None, because },
        blockers,
        latest_start: latest_start(job),
        expected: None,
        run_now: None,
        runs: Vec::new(),
        width: None,
    }
}

/// What keeps the job from its first possible start, which is not now.
pub(crate) fn until_first(room: &Room, job: &Job, now: DateTime<Utc>, first: &Choice) -> Vec<Blocker> {
    let mut blockers: Vec<Blocker> = not_before(job, now).into_iter().collect();
    let from = stamp(now.max(job.eligible));
    if first.start > from {
        // Where the nodes have room it is what they share.
        let promised = || {
            let to = room.open(job).find_map(|(_, node, _)| {
                let free = &node.free;
                let fits = |s: &Shape| free.fits(&s.need, from, 1) && !free.fits(&s.need, from, s.millis());
                node.machine
                    .shapes(job)
                    .filter(|shape| !shape.short)
                    .find(fits)
                    .and_then(|s| free.promised_to(&s.need, from))
            });
            to.map(|job| Reason::Reserved { job })
        };
        let here = |node: usize| room.nodes[node].free.at(from);
        let reason = room.shared_shortage(job, from).or_else(promised).unwrap_or_else(|| short(room, job, here));
        blockers.push(Blocker { reason, clears: Some(time(first.start)) });
    }
    blockers
}

fn not_before(job: &Job, now: DateTime<Utc>) -> Option<Blocker> {
    let at = job.eligible;
    (at > now).then_some(Blocker { reason: Reason::NotBefore { at }, clears: Some(at) })
}

/// What there is too little of, by what each node has free.
fn short(room: &Room, job: &Job, free_on: impl Fn(usize) -> Amount) -> Reason {
    // Per node: free and total GPUs that the job accepts, what is free, what it would need.
    let nodes: Vec<_> = room
        .open(job)
        .map(|(index, node, _)| {
            let free = free_on(index);
            let gpus = (node.machine.matching(job, &free), node.machine.matching(job, &node.machine.total));
            (gpus, free, node)
        })
        .collect();
    let needs = job.gpus;
    let enough = |free: u32| free >= needs;
    if needs > 0 && !nodes.iter().any(|((free, _), ..)| enough(*free)) {
        let (free, of) = nodes.iter().fold((0u32, 0u32), |sum, ((free, of), ..)| (sum.0 + free, sum.1 + of));
        return if enough(free) {
            Reason::Fragmented { needs, free }
        } else {
            Reason::Gpus { needs, free, of, model: job.gpu_model.first().cloned() }
        };
    }
    let fitting = || nodes.iter().filter(|((free, _), ..)| enough(*free));
    let cores = |node: &crate::room::NodeRoom| node.machine.cores(job);
    if !fitting().any(|(_, free, node)| free.cpus >= cores(node))
        && let Some((_, free, node)) = fitting().max_by_key(|(_, free, _)| free.cpus)
    {
        return Reason::Cpus { needs: cores(node), free: free.cpus, of: node.machine.total.cpus };
    }
    let best = fitting().filter(|(_, free, node)| free.cpus >= cores(node)).max_by_key(|(_, free, _)| free.memory);
    match best {
        Some((_, free, _)) if free.memory >= job.memory.0 => {
            // Enough of everything, only not of one model on one node.
            let free = nodes.iter().map(|((free, _), ..)| free).sum();
            Reason::Fragmented { needs, free }
        }
        Some((_, free, node)) => {
            Reason::Memory { needs: job.memory, free: Bytes(free.memory), of: Bytes(node.machine.total.memory) }
        }
        None => Reason::NoExecutor { zones: room.zones_of(job) },
    }
}

/// Puts the binding blocker first: what only a person can clear, then what clears last, never counting as last of all;
/// of equals the class that comes first in `you policy system capacity power order grid`.
pub(crate) fn ahead(blockers: &mut [Blocker]) {
    const CLASSES: [&str; 7] = ["you", "policy", "system", "capacity", "power", "order", "grid"];
    let class = |reason: &Reason| CLASSES.iter().position(|class| *class == reason.class());
    blockers.sort_by_key(|blocker| {
        let clears = blocker.clears.unwrap_or(DateTime::<Utc>::MAX_UTC);
        (!blocker.reason.needs_a_person(), Reverse(clears), class(&blocker.reason))
    });
}
