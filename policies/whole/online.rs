//! Replays a case with plans that know a job only once it has come: a new job is inserted, and from time to time all that
//! has not started is planned again. Lengths and intensities are known.

use super::bound::RoomPrices;
use super::plan::{Effort, Planned, insert, replan};
use super::terms::{Standing, Terms};
use crate::replay::{Case, Ran, Segment, TraceJob};

/// How the jobs of a replay ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// How every job ran; not at all if it is wider than every place it may use.
    pub ran: Vec<Ran>,
    /// Jobs that ended behind their window, rising.
    pub late: Vec<usize>,
    /// How often all that had not started was planned again.
    pub plans: usize,
}

/// Runs all jobs of a case, which are in the order of arrival, and plans again every so many seconds (60 at
/// least) while jobs wait.
#[must_use]
pub fn online(case: &Case, terms: &Terms, effort: Effort, every: f64) -> Replayed {
    let every = every.max(60.0);
    let mut known = Case { jobs: vec![], ..case.clone() };
    let prices = RoomPrices::zero(&known, effort.cell);
    let mut plan = Planned { ran: vec![], cost: 0.0, bound: 0.0, late: vec![], late_gpu_hours: 0.0, prices };
    let mut started: Vec<Option<Segment>> = vec![];
    let mut next_plan = case.jobs.first().map_or(f64::INFINITY, |job| job.arrival) + every;
    let mut plans = 0;
    loop {
        let arrival = case.jobs.get(known.jobs.len()).map_or(f64::INFINITY, |job| job.arrival);
        let now = arrival.min(next_plan);
        for (ran, started) in plan.ran.iter().zip(&mut started) {
            *started = ran.first().copied().filter(|run| run.from < now);
        }
        let standing = |started| Standing { now, started };
        if arrival <= next_plan {
            let Some(job) = case.jobs.get(known.jobs.len()) else { break };
            known.jobs.push(*job);
            started.push(None);
            let run = insert(&known, terms, &standing(&started), &plan);
            plan.ran.push(run.into_iter().collect());
            // Others may still make room for one that would be late.
            if run.is_some_and(|run| is_late(job, &run)) {
                plan = replan(&known, terms, effort, &standing(&started), Some(&plan));
                plans += 1;
            }
        } else if plan.ran.iter().flatten().any(|run| run.from >= now) {
            plan = replan(&known, terms, effort, &standing(&started), Some(&plan));
            next_plan += every;
            plans += 1;
        } else if arrival.is_finite() {
            // Nobody waits before the next one comes.
            next_plan += ((arrival - next_plan) / every).floor().max(0.0) * every + every;
        } else {
            break;
        }
    }
    let late = |job: &usize| plan.ran[*job].first().is_some_and(|run| is_late(&case.jobs[*job], run));
    Replayed { late: (0..case.jobs.len()).filter(late).collect(), ran: plan.ran, plans }
}

fn is_late(job: &TraceJob, run: &Segment) -> bool {
    run.from > job.arrival + job.slack + 1e-6
}
