//! The bound: never above what a plan emits, and close where room is short.

use super::random::problem;
use super::{at, green, occupant, scene};
use crate::problem::{Job, PauseTerms, Policy, Problem, Way};
use crate::{certified, plan};
use neap_model::grid::{Grade, Series, Span};
use neap_model::seconds::Seconds;
use neap_model::units::{GramsCo2e, Intensity, Percent};
use proptest::prelude::*;
use std::sync::Arc;

const KNOWN: &[Grade] = &[Grade::Measured, Grade::Forecast, Grade::Climatology];

/// Jobs, grams planned, and the bound, of a site with one zone and so many GPUs of a kilowatt each.
fn figures(problem: &Problem) -> (u32, f64, f64) {
    let found = certified(problem, &plan(problem, &Policy::default()));
    (found.jobs, found.emits.in_base(), found.bound.in_base())
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 2e-4 * b
}

#[test]
fn alone_the_bound_is_what_is_planned() {
    let problem = scene(&[400, 300, 100, 200, 400], 2, [green(1, 60, 4)]);
    let (jobs, planned, bound) = figures(&problem);
    assert_eq!((jobs, planned), (1, 100.0));
    assert!(close(bound, 100.0), "{bound}");
}

#[test]
fn two_jobs_for_one_gpu_cannot_both_have_the_clean_hour() {
    let problem = scene(&[400, 300, 100, 200, 400], 1, [green(1, 60, 4), green(2, 60, 4)]);
    let (jobs, planned, bound) = figures(&problem);
    assert_eq!((jobs, planned), (2, 300.0));
    // Without prices it would be twice the clean hour: 200.
    assert!(close(bound, 300.0), "{bound}");
}

#[test]
fn a_plan_that_gives_the_clean_hours_away_has_a_gap() {
    // The first in the queue takes hours 2 and 3, so that the second is left with dirty ones; the other way round they
    // would emit 400 + 500.
    let curve = [600, 600, 100, 300, 100, 600];
    let problem = scene(&curve, 1, [green(1, 60, 2), green(2, 180, 3)]);
    let (jobs, planned, bound) = figures(&problem);
    assert_eq!(jobs, 2);
    assert!(bound <= planned, "{bound} {planned}");
}

#[test]
fn what_occupants_hold_is_not_there() {
    let mut problem = scene(&[400, 300, 100, 200, 400], 1, [green(1, 60, 4)]);
    problem.occupants = vec![occupant(9, "a", &[0], 180)];
    let (_, planned, bound) = figures(&problem);
    assert_eq!(planned, 200.0);
    assert!(close(bound, 200.0), "{bound}");
}

#[test]
fn pieces_are_bounded_by_the_cleanest_hours() {
    let mut job = green(1, 120, 4);
    job.pause = Some(PauseTerms { cost: Seconds::ZERO, least: Seconds::minutes(15) });
    let (_, planned, bound) = figures(&scene(&[100, 400, 400, 100, 400, 400], 1, [job]));
    assert_eq!(planned, 200.0);
    assert!(close(bound, 200.0), "{bound}");
}

#[test]
fn nobody_waits_nothing_is_claimed() {
    assert_eq!(figures(&scene(&[400, 300], 1, [super::job(1, 60)])), (0, 0.0, 0.0));
}

proptest! {
    #![proptest_config(super::properties::settings())]

    #[test]
    fn no_plan_is_below_its_bound(problem in problem(KNOWN, 0.02)) {
        let found = certified(&problem, &plan(&problem, &Policy::default()));
        prop_assert!(found.bound <= found.emits, "{found:?}");
    }

    #[test]
    fn nor_is_any_other_order_of_the_same_jobs(
        curve in prop::collection::vec(20u64..600, 8..20),
        jobs in prop::collection::vec((15u64..200, 0u64..10), 1..7),
        gpus in 1u32..3,
        seed in any::<u64>(),
    ) {
        let jobs: Vec<_> = (1..).zip(&jobs).map(|(id, (minutes, hours))| {
            let mut job = green(id, *minutes, *hours);
            job.delay.min_saving = Percent(0);
            job
        }).collect();
        let problem = scene(&curve, gpus, jobs);
        let first = certified(&problem, &plan(&problem, &Policy::default()));
        // Another queue is another plan of the same jobs: the bound of the first holds for it too if it decides on as many.
        let mut other = problem.clone();
        for (index, job) in other.waiting.iter_mut().enumerate() {
            let mut moved = (**job).clone();
            moved.priority = i32::try_from(seed >> (index * 8) & 0x7f).expect("small");
            *job = Arc::new(moved);
        }
        let second = certified(&other, &plan(&other, &Policy::default()));
        let in_time = |found: &neap_model::plan::Certificate| found.jobs;
        let everybody = u32::try_from(problem.waiting.len()).expect("few");
        if in_time(&first) == everybody && in_time(&second) == everybody && all_in_time(&problem) && all_in_time(&other) {
            prop_assert!(first.bound <= second.emits, "{first:?} {second:?}");
        }
    }
}

/// Hours on one GPU, the fewer hours on two, the hours it may wait, and its likely lengths in thousandths.
type Few = (u64, u64, u64, Vec<u32>);

fn few() -> impl Strategy<Value = Vec<Few>> {
    let one = (1u64..5, 0u64..6, prop::collection::vec(1u32..=1_500, 0..4));
    let one = one.prop_flat_map(|(alone, wait, likely)| (Just(alone), 1..=alone, Just(wait), Just(likely)));
    prop::collection::vec(one, 1..4)
}

proptest! {
    #![proptest_config(super::properties::settings())]

    #[test]
    fn nor_is_any_schedule_of_elastic_jobs_counted_by_hand(
        curve in prop::collection::vec(20u64..600, 12..=12),
        jobs in few(),
        gpus in 1u64..4,
    ) {
        let elastic = |(id, (alone, wide, wait, likely)): (u64, &Few)| {
            let mut job = green(id, alone * 60, *wait);
            let way = |gpus, hours| {
                let model = "H100".to_owned();
                Way { model, gpus, length: Seconds::hours(hours), limit: None, watts: None, rank: 0, short: false }
            };
            job.ways = Arc::new([way(1, *alone), way(2, *wide)]);
            job.likely = likely.clone().into();
            job
        };
        let all: Vec<Job> = (1..).zip(&jobs).map(elastic).collect();
        let problem = scene(&curve, u32::try_from(gpus).expect("few"), all);
        let found = certified(&problem, &plan(&problem, &Policy::default()));
        let everybody = usize::try_from(found.jobs) == Ok(jobs.len()) && all_in_time(&problem);
        if everybody && let Some(least) = least(&curve, &jobs, &mut vec![gpus; 24]) {
            prop_assert!(found.bound <= GramsCo2e::from_base(least).expect("small"), "{found:?} {least}");
        }
    }
}

/// What some schedule in time emits at the least, by trying all: every GPU draws a kilowatt, and everything happens on the hour.
fn least(curve: &[u64], jobs: &[Few], free: &mut Vec<u64>) -> Option<f64> {
    let Some(((alone, wide, wait, likely), others)) = jobs.split_first() else { return Some(0.0) };
    let mut best: Option<f64> = None;
    for start in 0..=*wait {
        for (gpus, hours) in [(1, *alone), (2, *wide)] {
            let run = start as usize..(start + hours) as usize;
            if run.end > curve.len() || free[run.clone()].iter().any(|free| *free < gpus) {
                continue;
            }
            let Some(mine) = expected(&curve[start as usize..], hours, likely) else { continue };
            free[run.clone()].iter_mut().for_each(|free| *free -= gpus);
            let mine = gpus as f64 * mine;
            let all = least(curve, others, free).map(|rest| rest + mine);
            free[run].iter_mut().for_each(|free| *free += gpus);
            best = [best, all].into_iter().flatten().min_by(f64::total_cmp);
        }
    }
    best
}

/// What a kilowatt emits on this curve that is planned with so many hours and needs one of the likely shares of them;
/// `None` where the curve ends before.
fn expected(curve: &[u64], hours: u64, likely: &[u32]) -> Option<f64> {
    let part = |share: &u32| {
        let seconds = (hours * 3_600 * u64::from(*share) / 1_000).max(1);
        let grams = |(hour, grams): (u64, &u64)| seconds.saturating_sub(hour * 3_600).min(3_600) * grams;
        (seconds <= curve.len() as u64 * 3_600).then(|| (0..).zip(curve).map(grams).sum::<u64>())
    };
    let whole: &[u32] = if likely.is_empty() { &[1_000] } else { likely };
    let sum = whole.iter().map(part).sum::<Option<u64>>()?;
    Some(sum as f64 / whole.len() as f64 / 3_600.0)
}

/// Whether nobody is planned behind the latest start: windows are then those of the terms.
fn all_in_time(problem: &Problem) -> bool {
    let made = plan(problem, &Policy::default());
    made.decisions.values().all(|d| d.start().unwrap_or(at(0)) <= d.latest_start.unwrap_or(at(0)))
}

#[test]
fn room_that_is_just_enough_gives_no_prices_beyond_all_measure() {
    let mut problem = scene(&[], 1, []);
    let span = |from: i64, until: i64, value| Span {
        from: at(from),
        until: at(until),
        value: Intensity::grams(value),
        grade: Grade::Measured,
    };
    let spans = [span(93, 270, 1), span(270, 317, 280), span(317, 438, 318)];
    problem.site.zones[0].curve = Arc::new(Series::new(spans));
    problem.occupants = vec![occupant(1000, "a", &[0], 286)];
    let mut job = green(1, 133, 0);
    (job.eligible, job.start_by) = (at(159), Some(at(1)));
    job.pause = Some(PauseTerms { cost: Seconds::ZERO, least: Seconds::minutes(5) });
    problem.waiting = vec![Arc::new(job)];
    let (_, planned, bound) = figures(&problem);
    // By hand: the hours from five to the end at 280 and 318 g/kWh, and 14 minutes of the hour before them at 1 g/kWh.
    assert!(bound <= 620.2 && bound > 600.0 && planned > 685.0, "{planned} {bound}");
}
