//! Nobody starves: whatever the feeds say from one moment to the next, promises hold.

use super::random::curve;
use super::{at, green, node, zone};
use crate::problem::{Job, Occupant, PauseTerms, Policy, Problem, Running, Site, Way};
use crate::{audit, latest_start, plan};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Grade, Series};
use neap_model::job::JobId;
use neap_model::plan::Verdict;
use neap_model::seconds::Seconds;
use neap_model::units::{Bytes, Percent, Watts};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const ANY: &[Grade] =
    &[Grade::Measured, Grade::Estimated, Grade::Forecast, Grade::Forecast, Grade::Climatology, Grade::Static];

/// The world goes on in steps of so many minutes.
const STEP: i64 = 10;

/// A job with its terms as submitted.
fn jobs() -> impl Strategy<Value = Vec<Job>> {
    let asks = (0u32..40, 0u32..20);
    let wide = prop::option::weighted(0.5, 40u64..100);
    let one = (10u64..300, 0u64..10, prop::option::weighted(0.5, 0i64..400), asks, any::<bool>(), wide);
    prop::collection::vec(one, 1..6).prop_map(|jobs| {
        let mut made = Vec::new();
        for (id, (minutes, hours, spare, (saving, gain), pauses, wide)) in (1..).zip(jobs) {
            let mut job = green(id, minutes, hours);
            let minutes = i64::try_from(minutes).expect("small");
            job.finish_by = spare.map(|spare| at(minutes + spare));
            (job.delay.min_saving, job.delay.replan_gain) = (Percent::whole(saving), Percent::whole(gain));
            let least = Seconds::minutes(15);
            job.pause = pauses.then_some(PauseTerms { cost: Seconds::minutes(2), least });
            // On two GPUs it takes that share of the time.
            let way = |(gpus, share): (u32, u64)| Way {
                model: "H100".to_owned(),
                gpus,
                limit: None,
                length: Seconds((job.length.0 * share).div_ceil(100)),
                watts: None,
                rank: 0,
                short: false,
            };
            let lower = |way: Way| Way { limit: Some(Watts::whole(200)), watts: Some(Watts::whole(190)), ..way };
            let all = |share| [way((1, 100)), way((2, share)), lower(way((2, share + 5)))].into();
            job.ways = wide.map(all).unwrap_or_default();
            made.push(job);
        }
        made
    })
}

/// Where a job stands in this small world.
enum State {
    Waits(Job),
    Runs { job: Job, since: DateTime<Utc>, gpus: Vec<u32>, length: Seconds },
}

/// What is left of a job after that part of a run: all its ways are shorter by the same share.
fn rest(job: &Job, ran: Seconds, length: Seconds) -> Job {
    let part = |all: Seconds| Seconds((all.0 * (length - ran).0).div_ceil(length.0).max(1));
    let ways = job.ways.iter().map(|way| Way { length: part(way.length), ..way.clone() });
    Job { length: part(job.length), ways: ways.collect(), done: job.done + ran, ..job.clone() }
}

/// Plays the plan against curves that change with every step; gives when each job ended, and how often it paused.
fn play(jobs: Vec<Job>, curves: &[Series]) -> BTreeMap<JobId, (DateTime<Utc>, u32)> {
    let mut states: BTreeMap<JobId, (State, u32)> =
        jobs.into_iter().map(|job| (job.id, (State::Waits(job), 0))).collect();
    let (mut ended, mut previous) = (BTreeMap::new(), Arc::default());
    for step in 0.. {
        let now = at(step * STEP);
        assert!(step < 400, "somebody starves");
        let over: Vec<JobId> = states
            .iter()
            .filter_map(|(id, (state, _))| match state {
                State::Runs { since, length, .. } if *since + length.delta() <= now => Some(*id),
                _ => None,
            })
            .collect();
        for id in over {
            if let Some((State::Runs { since, length, .. }, pauses)) = states.remove(&id) {
                ended.insert(id, (since + length.delta(), pauses));
            }
        }
        if states.is_empty() {
            break;
        }
        let site = Site {
            now,
            zones: vec![zone("DE", true, curves[usize::try_from(step).expect("small") % curves.len()].clone())],
            nodes: vec![node("a", "DE", 16, "H100")],
            shared: Vec::new(),
        };
        let mut problem =
            Problem { site, occupants: vec![], running: vec![], waiting: vec![], previous, arrivals: Arc::default() };
        for (state, _) in states.values() {
            match state {
                State::Waits(job) => problem.waiting.push(Arc::new(job.clone())),
                State::Runs { job, since, gpus, length } => {
                    let ran = Seconds::between(*since, now);
                    let mut left = rest(job, ran, *length);
                    left.zones = vec!["DE".to_owned()];
                    // It can go on where it is only as wide as it is.
                    let wide = left.ways.iter().filter(|way| way.gpus as usize == gpus.len()).cloned();
                    left.ways = wide.collect();
                    let until = now + (*length - ran).delta();
                    let (cpus, node) = (1, "a".to_owned());
                    let draws = Watts::whole(750 * gpus.len() as u64);
                    let gpus = gpus.iter().map(|gpu| format!("a-{gpu}")).collect();
                    problem.occupants.push(Occupant { job: job.id, node, cpus, memory: Bytes(0), gpus, until, draws });
                    problem.running.push(Running { job: Arc::new(left), node: "a".to_owned(), since: *since });
                }
            }
        }
        let made = plan(&problem, &Policy::default());
        assert_eq!(audit(&problem, &made), vec![]);
        for running in problem.running.iter().filter(|running| made.pauses.contains_key(&running.job.id)) {
            if let Some((state, pauses)) = states.get_mut(&running.job.id) {
                let State::Runs { job, since, length, .. } = state else { unreachable!("only who runs is paused") };
                let left = rest(job, Seconds::between(*since, now), *length);
                (*state, *pauses) = (State::Waits(left), *pauses + 1);
            }
        }
        for (id, decision) in &made.decisions {
            if matches!(decision.verdict, Verdict::Start { .. })
                && let Some((state, _)) = states.get_mut(id)
                && let State::Waits(job) = state
            {
                let gpus = decision.width.as_ref().map_or(1, |width| width.gpus);
                let length = job.ways.iter().find(|way| way.gpus == gpus).map_or(job.length, |way| way.length);
                let first = 2 * u32::try_from(id.0).expect("small");
                *state = State::Runs { job: job.clone(), since: now, gpus: (first..first + gpus).collect(), length };
            }
        }
        previous = Arc::new(made.decisions);
    }
    ended
}

proptest! {
    #![proptest_config(super::properties::settings())]

    #[test]
    fn b9_no_feed_makes_a_job_starve_or_late(jobs in jobs(), curves in prop::collection::vec(curve(ANY, 0.2), 1..12)) {
        let ended = play(jobs.clone(), &curves);
        for job in jobs {
            let (end, pauses) = ended[&job.id];
            // The end that its latest start allows. Each start and each pause is noticed up to a step late here.
            let promised = latest_start(&job).expect("it promised something").max(at(0)) + job.length.delta();
            let steps = i32::try_from(2 * pauses + 1).expect("few");
            let noticed = TimeDelta::minutes(STEP) * steps;
            prop_assert!(end <= promised + noticed, "job {} ended {end}, promised {promised}, {pauses} pauses", job.id);
        }
    }
}
