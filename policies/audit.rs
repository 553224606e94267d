//! Checks any plan against its problem without knowing how it was made: it recounts everything from the decisions.
//!
//! It shares with the planner what a job needs of a node and the formula of the footprint, and nothing of its search.

mod ledger;

use crate::machine::{Machine, Shape};
use crate::order::{latest_start, slowed, start_by, waits_for_grid};
use crate::planner::{Pausing, Plan, decided_kit, reasons};
use crate::problem::{Job, Problem};
use crate::room::ZoneRoom;
use crate::stamp::{Stamp, stamp, time};
use chrono::{DateTime, Utc};
use ledger::Books;
use neap_model::job::{JobId, Objective};
use neap_model::plan::{Decision, Place, Verdict};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A rule that a plan breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breach {
    /// A waiting job has no decision, or a decision has no waiting job or is about another one.
    NotOneDecision { job: JobId },
    /// It would start or has room although something blocks it.
    BlockedButPlaced { job: JobId },
    /// The place is unknown, down, in a zone that it may not use, or without what it needs.
    WrongPlace { job: JobId, place: Place },
    /// It would start before it is eligible, or before now.
    TooEarly { job: JobId, at: DateTime<Utc> },
    /// Room for it is not reserved as decided.
    NotReserved { job: JobId },
    /// At that instant the node is promised more than it has.
    OverCapacity { node: String, at: DateTime<Utc> },
    /// At that instant more is promised than there is of what nodes share.
    OverShared { name: String, at: DateTime<Utc> },
    /// It starts after its latest start although it could start in time.
    LatestStartMissed { job: JobId, latest: DateTime<Utc>, possible: DateTime<Utc> },
    /// It does not wait for the grid and could start earlier.
    Idle { job: JobId, possible: DateTime<Utc> },
    /// It could end earlier elsewhere, or on other GPUs, by more than it consents to.
    Slow { job: JobId, possible: DateTime<Utc> },
    /// Its planned run is not what the footprint says.
    WrongOutlook { job: JobId },
    /// It is broken, or paused, although it may not be, not whole, or not in time.
    WrongPause { job: JobId },
    /// A hold without a blocker, or whose binding reason is not the first blocker.
    WrongReason { job: JobId },
}

/// A run as the decision states it.
struct Run<'a> {
    job: &'a Job,
    node: usize,
    from: Stamp,
    until: Stamp,
    shape: Shape,
    /// The first piece of its job.
    first: bool,
}

/// Every rule that the plan breaks; empty for a good plan.
///
/// Rules: one decision a job · blocked jobs get nothing · places exist, are up, allowed and large enough · nothing before
/// it is eligible · what was decided is what is reserved · capacity at every instant, also of what nodes share · latest start kept where there was
/// room · nobody idle who could start · outlooks equal to `model::footprint` · reasons present.
#[must_use]
pub fn audit(problem: &Problem, plan: &Plan) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let jobs: BTreeMap<JobId, &Job> = problem.waiting.iter().map(|job| (job.id, &**job)).collect();
    breaches.extend(
        jobs.keys().filter(|id| !plan.decisions.contains_key(id)).map(|id| Breach::NotOneDecision { job: *id }),
    );
    let auditor = Auditor { problem, now: stamp(problem.site.now), machines: machines(problem), zones: zones(problem) };
    let mut runs = Vec::new();
    for (id, decision) in &plan.decisions {
        match jobs.get(id).filter(|_| decision.job == *id) {
            None => breaches.push(Breach::NotOneDecision { job: *id }),
            Some(job) => {
                breaches.extend(reason(decision));
                runs.extend(auditor.runs(job, decision, plan, &mut breaches));
            }
        }
    }
    let placed = |id: &JobId| match plan.decisions.get(id).map(|decision| &decision.verdict) {
        Some(Verdict::Start { .. }) => true,
        Some(Verdict::Hold { place, .. }) => place.is_some(),
        None => false,
    };
    let stray = plan.room.slots.keys().filter(|id| !placed(id));
    breaches.extend(stray.map(|id| Breach::NotReserved { job: *id }));
    auditor.capacity(&runs, &mut breaches);
    breaches.extend(
        plan.pauses
            .iter()
            .filter(|(id, pausing)| !may_pause(problem, **id, pausing))
            .map(|(id, _)| Breach::WrongPause { job: *id }),
    );
    breaches
}

/// Whether a job that runs may be paused like that: it consented, has run long enough, saves what it asks for, and can
/// go on in time.
fn may_pause(problem: &Problem, id: JobId, pausing: &Pausing) -> bool {
    problem.running.iter().find(|running| running.job.id == id).is_some_and(|running| {
        let (job, now) = (&*running.job, problem.site.now);
        let saves = pausing.savings.ratio().is_some_and(|ratio| ratio + 1e-9 >= job.delay.min_saving.ratio());
        waits_for_grid(job)
            && saves
            && job.pause.is_some_and(|terms| now - running.since >= terms.least.delta())
            && pausing.until > now
            && latest_start(job)
                .zip(job.pause)
                .is_some_and(|(latest, terms)| pausing.until + terms.cost.delta() <= latest)
    })
}

fn machines(problem: &Problem) -> Vec<Machine> {
    problem.site.nodes.iter().map(Machine::of).collect()
}

fn zones(problem: &Problem) -> Vec<ZoneRoom> {
    let zone = |state: &crate::problem::ZoneState| ZoneRoom {
        basis: state.basis,
        money: Arc::default(),
        weighed: std::sync::Arc::clone(&state.curve),
        name: state.zone.name.clone(),
        pue: state.zone.pue.unwrap_or_default(),
        curve: Arc::clone(&state.curve),
        integral: Arc::default(),
    };
    problem.site.zones.iter().map(zone).collect()
}

fn reason(decision: &Decision) -> Option<Breach> {
    let fits = match &decision.verdict {
        Verdict::Start { .. } => decision.blockers.is_empty(),
        Verdict::Hold { because, .. } => decision.blockers.first().is_some_and(|first| first.reason == *because),
    };
    (!fits).then_some(Breach::WrongReason { job: decision.job })
}

struct Auditor<'a> {
    problem: &'a Problem,
    now: Stamp,
    machines: Vec<Machine>,
    zones: Vec<ZoneRoom>,
}

impl Auditor<'_> {
    /// Whether the job may run in that zone: one it names, or else the first home zone, or else the first.
    fn allows(&self, job: &Job, zone: &str) -> bool {
        let zones = &self.problem.site.zones;
        let home = zones.iter().find(|state| state.zone.home).or(zones.first());
        let known = zones.iter().any(|state| state.zone.name == zone);
        known
            && if job.zones.is_empty() {
                home.is_some_and(|h| h.zone.name == zone)
            } else {
                job.zones.iter().any(|z| z == zone)
            }
    }

    /// What the decision claims of the world, checked on its own.
    fn runs<'j>(&self, job: &'j Job, decision: &Decision, plan: &Plan, breaches: &mut Vec<Breach>) -> Vec<Run<'j>> {
        let id = job.id;
        let (place, from) = match &decision.verdict {
            Verdict::Start { place, .. } => (place, self.now),
            Verdict::Hold { place: Some(place), until: Some(until), .. } => (place, stamp(*until)),
            Verdict::Hold { .. } => return Vec::new(),
        };
        if job.blocked.is_some() {
            breaches.push(Breach::BlockedButPlaced { job: id });
        }
        if from < stamp(job.eligible) || from < self.now {
            breaches.push(Breach::TooEarly { job: id, at: time(from) });
        }
        let slots = plan.room.slots.get(&id).map_or(&[][..], Vec::as_slice);
        let Some(slot) = slots.first() else {
            breaches.push(Breach::NotReserved { job: id });
            return Vec::new();
        };
        let wrong = || Breach::WrongPlace { job: id, place: place.clone() };
        let node = self.machines.iter().position(|m| m.name == place.node && m.zone == place.zone);
        let Some(node) = node.filter(|node| self.machines[*node].up && self.allows(job, &place.zone)) else {
            breaches.push(wrong());
            return Vec::new();
        };
        let machine = &self.machines[node];
        let takes = |shape: &Shape| shape.need == slot.need;
        let told = |shape: &Shape| machine.kit(job, shape) == decided_kit(decision);
        let told = machine.shapes(job).find(|shape| takes(shape) && told(shape));
        let Some(shape) = told.or_else(|| machine.shapes(job).find(takes)) else {
            breaches.push(wrong());
            return Vec::new();
        };
        let pieces = self.pieces(job, decision, (from, &shape), breaches);
        let reserved = slots.iter().map(|slot| (slot.node, slot.need, slot.draws, slot.from, slot.until));
        if !reserved.eq(pieces.iter().map(|(from, until)| (node, shape.need, shape.draws, *from, *until))) {
            breaches.push(Breach::NotReserved { job: id });
        }
        self.outlook(job, decision, &shape, node, &pieces, breaches);
        let run = |(from_here, until)| Run { job, node, from: from_here, until, shape, first: from_here == from };
        pieces.into_iter().map(run).collect()
    }

    /// When the job runs: in one piece, or as the decision breaks it; only a job that may be paused is broken, its pieces
    /// add up to all of it, and they end in time.
    fn pieces(
        &self,
        job: &Job,
        decision: &Decision,
        (from, shape): (Stamp, &Shape),
        breaches: &mut Vec<Breach>,
    ) -> Vec<(Stamp, Stamp)> {
        let all = shape.millis();
        if decision.runs.is_empty() {
            return vec![(from, from.saturating_add(all))];
        }
        let pieces: Vec<(Stamp, Stamp)> = decision.runs.iter().map(|run| (stamp(run.from), stamp(run.until))).collect();
        let apart = pieces.windows(2).all(|pair| pair[0].1 < pair[1].0) && pieces.iter().all(|(a, b)| a < b);
        let in_time = latest_start(job)
            .is_some_and(|latest| pieces.last().is_some_and(|(_, end)| *end <= stamp(latest).saturating_add(all)));
        let whole = pieces.iter().map(|(a, b)| b - a).sum::<i64>() == all;
        let begins = pieces.first().is_some_and(|(a, _)| *a == from);
        if !(job.pause.is_some() && waits_for_grid(job) && apart && in_time && whole && begins) {
            breaches.push(Breach::WrongPause { job: job.id });
        }
        pieces
    }

    fn outlook(
        &self,
        job: &Job,
        decision: &Decision,
        shape: &Shape,
        node: usize,
        pieces: &[(Stamp, Stamp)],
        breaches: &mut Vec<Breach>,
    ) {
        let zone = self.zones.iter().find(|zone| zone.name == self.machines[node].zone);
        let right = zone.and_then(|zone| match pieces {
            [(from, _)] => reasons::outlook(zone, shape.watts, time(*from), shape.length, job),
            pieces => reasons::broken_outlook(zone, shape.watts, shape.length, pieces, job),
        });
        if decision.expected != right || decided_kit(decision) != self.machines[node].kit(job, shape) {
            breaches.push(Breach::WrongOutlook { job: job.id });
        }
    }

    /// Recounts every node, then asks for each job whether it had to wait.
    fn capacity(&self, runs: &[Run<'_>], breaches: &mut Vec<Breach>) {
        let books = self.books(runs);
        for (machine, ledger) in self.machines.iter().zip(&books.nodes) {
            let over = |at: &Stamp| Breach::OverCapacity { node: machine.name.clone(), at: time(*at) };
            breaches.extend(ledger.over.iter().map(over));
        }
        for (shared, ledger) in self.problem.site.shared.iter().zip(&books.shared) {
            let over = |at: &Stamp| Breach::OverShared { name: shared.name.clone(), at: time(*at) };
            breaches.extend(ledger.over.iter().map(over));
        }
        let words = |breach: &Breach| matches!(breach, Breach::WrongOutlook { .. } | Breach::WrongReason { .. });
        if !breaches.iter().all(words) {
            return; // gaps in a wrong account mean nothing
        }
        for run in runs.iter().filter(|run| run.first) {
            let latest = latest_start(run.job);
            let late = latest.filter(|latest| stamp(*latest) < run.from);
            if waits_for_grid(run.job) && late.is_none() {
                continue;
            }
            let by_end = !run.job.ways.is_empty() && !waits_for_grid(run.job);
            if by_end && let Some((latest, possible)) = self.start_by_missed(run, &books) {
                breaches.push(Breach::LatestStartMissed { job: run.job.id, latest, possible });
                continue;
            }
            if by_end && let Some((end, length)) = self.earliest_end(run, &books) {
                // It goes by its end, and by energy where it consents to end later.
                if run.until <= slowed(run.job, end, length) {
                    continue;
                }
                if run.job.delay.objective == Objective::None {
                    breaches.push(Breach::Slow { job: run.job.id, possible: time(end) });
                    continue;
                }
            }
            let Some(possible) = self.earliest(run, &books).filter(|possible| *possible < run.from) else {
                continue;
            };
            let possible = time(possible);
            match late {
                Some(latest) if possible <= latest => {
                    breaches.push(Breach::LatestStartMissed { job: run.job.id, latest, possible });
                }
                _ if waits_for_grid(run.job) => {}
                _ => breaches.push(Breach::Idle { job: run.job.id, possible }),
            }
        }
    }

    /// The earliest start the job could have if all others stay where they are.
    fn earliest(&self, run: &Run<'_>, books: &Books) -> Option<Stamp> {
        self.starts(run, books, run.from).map(|(start, _)| start).min()
    }

    /// The start-by that a job misses, and the start in time that it could have.
    fn start_by_missed(&self, run: &Run<'_>, books: &Books) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let by = start_by(run.job).filter(|by| stamp(*by) < run.from)?;
        let possible = self.earliest(run, books).map(time)?;
        (possible <= by).then_some((by, possible))
    }

    /// The earliest end, likewise, of a start by the time that was asked for if it has one, with the length of the longest
    /// run that comes to it.
    fn earliest_end(&self, run: &Run<'_>, books: &Books) -> Option<(Stamp, i64)> {
        let by = start_by(run.job).map(stamp).filter(|by| run.from <= *by);
        let starts = self.starts(run, books, Stamp::MAX).filter(|(start, _)| by.is_none_or(|by| *start <= by));
        let ends = starts.map(|(start, length)| (start.saturating_add(length), length));
        ends.min_by_key(|(end, length)| (*end, Reverse(*length)))
    }

    /// The earliest start before `limit` of each way to run, with its length.
    fn starts<'s>(
        &'s self,
        run: &'s Run<'_>,
        books: &'s Books,
        limit: Stamp,
    ) -> impl Iterator<Item = (Stamp, i64)> + 's {
        let from = self.now.max(stamp(run.job.eligible));
        let open = self.machines.iter().enumerate().filter(|(_, m)| m.up && self.allows(run.job, &m.zone));
        open.flat_map(move |(node, machine)| {
            // Nobody has to start at a limit for where watts are short.
            machine.shapes(run.job).filter(|shape| !shape.short).filter_map(move |shape| {
                let start = self.start(run, books, (node, &shape), from, limit)?;
                Some((start, shape.millis()))
            })
        })
    }
}

#[cfg(test)]
mod tests;
