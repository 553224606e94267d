//! The bound: never above what a plan emits, and close where room is short.

use super::random::problem;
use super::{at, green, occupant, scene};
use crate::problem::{PauseTerms, Policy, Problem};
use crate::{certified, plan};
use neap_model::grid::Grade;
use neap_model::seconds::Seconds;
use neap_model::units::Percent;
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
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

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
        if in_time(&first) == in_time(&second) && all_in_time(&problem) && all_in_time(&other) {
            prop_assert!(first.bound <= second.emits, "{first:?} {second:?}");
        }
    }
}

/// Whether nobody is planned behind the latest start: windows are then those of the terms.
fn all_in_time(problem: &Problem) -> bool {
    let made = plan(problem, &Policy::default());
    made.decisions.values().all(|d| d.start().unwrap_or(at(0)) <= d.latest_start.unwrap_or(at(0)))
}
