//! Jobs that are expected: others leave them the hours that they will need, and nothing else changes.

use super::properties::settings;
use super::random::{jobs, problem};
use super::{after, at, check, green, job, scene};
use crate::order::rank;
use crate::planner::stand_ins::stands_in;
use crate::problem::{Arrival, Effort, Job, Policy, Problem};
use crate::{Plan, adopt, audit, certified, latest_start, plan};
use neap_model::grid::Grade;
use neap_model::job::JobId;
use neap_model::plan::Verdict;
use neap_model::reason::Reason;
use neap_model::units::Percent;
use proptest::prelude::*;
use std::sync::Arc;

const ALL: &[Grade] = &[Grade::Measured, Grade::Forecast, Grade::Forecast, Grade::Climatology, Grade::Static];

/// Cleanest at four, nearly so at one.
const CURVE: [u64; 12] = [500, 110, 500, 500, 100, 500, 500, 500, 500, 500, 500, 500];

fn expecting(mut problem: Problem, arrivals: impl IntoIterator<Item = Arrival>) -> Problem {
    problem.arrivals = arrivals.into_iter().collect();
    problem
}

/// Jobs like `like`, so many in a thousand such hours, in the hour that begins so many hours from now.
fn coming(hour: i64, count: u32, like: Job) -> Arrival {
    Arrival { hour: at(hour * 60), like: Arc::new(like), count }
}

fn arrivals() -> impl Strategy<Value = Vec<(i64, u32, Job)>> {
    let hours = prop::collection::vec((-2i64..8, 0u32..3_000), 0..6);
    (hours, jobs()).prop_map(|(hours, jobs)| {
        hours.into_iter().zip(jobs).map(|((hour, count), like)| (hour, count, like)).collect()
    })
}

fn with(problem: Problem, arrivals: Vec<(i64, u32, Job)>) -> Problem {
    expecting(problem, arrivals.into_iter().map(|(hour, count, like)| coming(hour, count, like)))
}

/// Everybody that a plan speaks of.
fn named(made: &Plan) -> Vec<JobId> {
    let reserved = |reason: &Reason| match reason {
        Reason::Reserved { job, .. } => Some(*job),
        _ => None,
    };
    let told = made.decisions.values().flat_map(|decision| {
        let because = match &decision.verdict {
            Verdict::Hold { because, .. } => reserved(because),
            Verdict::Start { .. } => None,
        };
        decision.blockers.iter().filter_map(move |blocker| reserved(&blocker.reason)).chain(because)
    });
    made.decisions.keys().chain(made.room.slots.keys()).copied().chain(told).collect()
}

#[test]
fn the_cleanest_hour_is_left_to_who_will_have_no_other() {
    let waits = green(1, 60, 6);
    check(&scene(&CURVE, 1, [waits.clone()]), &["1 waits until 4:00 on a: grid.cleaner_later 100 g instead of 500 g"]);
    // It will come at half past three and start by half past four.
    let brief = |count| coming(3, count, green(7, 60, 1));
    let problem = expecting(scene(&CURVE, 1, [waits.clone()]), [brief(1_000)]);
    check(&problem, &["1 waits until 1:00 on a: grid.cleaner_later 110 g instead of 500 g"]);
    // Another GPU is enough for both.
    let two = expecting(scene(&CURVE, 2, [waits.clone()]), [brief(1_000)]);
    check(&two, &["1 waits until 4:00 on a: grid.cleaner_later 100 g instead of 500 g"]);
    // Nobody stands in for a job that does not wait for the grid, nor for one that should have come already.
    for arrival in [coming(3, 1_000, job(7, 60)), coming(-1, 1_000, green(7, 60, 6)), brief(0)] {
        let problem = expecting(scene(&CURVE, 1, [waits.clone()]), [arrival]);
        assert_eq!(plan(&problem, &Policy::default()), plan(&scene(&CURVE, 1, [waits.clone()]), &Policy::default()));
    }
}

#[test]
fn a_promise_moves_for_them_only_where_all_together_gain_more_than_a_move_asks_for() {
    let waits = |asks| {
        let mut job = green(1, 60, 6);
        job.delay.replan_gain = Percent::whole(asks);
        job
    };
    // Who stands in loses 40 g by the promise, and whoever gives it up 10 g.
    let curve = [500, 110, 500, 500, 100, 140, 500, 500];
    let then = |asks| {
        let first = plan(&scene(&curve, 1, [waits(asks)]), &Policy::default());
        after(&expecting(scene(&curve, 1, [waits(asks)]), [coming(2, 1_000, green(7, 60, 6))]), &first)
    };
    check(&then(5), &["1 waits until 1:00 on a: grid.cleaner_later 110 g instead of 500 g"]);
    check(&then(50), &["1 waits until 4:00 on a: grid.cleaner_later 100 g instead of 500 g"]);
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn planning_twice_with_arrivals_changes_nothing(
        before in problem(ALL, 0.05),
        now in problem(ALL, 0.05),
        arrivals in arrivals(),
        depth in 0usize..16,
    ) {
        let old = plan(&before, &Policy::default());
        let news = with(after(&Problem { waiting: before.waiting, ..now }, &old), arrivals);
        for effort in [Effort::Search, Effort::Keep] {
            let policy = Policy { depth, effort, ..Policy::default() };
            let made = plan(&news, &policy);
            prop_assert_eq!(&plan(&news, &policy), &made);
            prop_assert_eq!(&plan(&after(&news, &made), &policy), &made);
            prop_assert_eq!(&adopt(&after(&news, &made), &policy, &made.decisions), &made);
        }
    }

    #[test]
    fn who_has_not_come_has_no_right_and_no_name(problem in problem(ALL, 0.05), arrivals in arrivals()) {
        let alone = plan(&problem, &Policy::default());
        let all = with(problem.clone(), arrivals);
        for effort in [Effort::Queue, Effort::Keep, Effort::Search] {
            let policy = Policy { effort, ..Policy::default() };
            let made = plan(&all, &policy);
            prop_assert_eq!(audit(&problem, &made), vec![]);
            prop_assert_eq!(certified(&all, &made), certified(&problem, &made));
            prop_assert!(!named(&made).into_iter().any(stands_in), "{:?}", named(&made));
            prop_assert!(made.decisions.keys().eq(alone.decisions.keys()));
        }
        prop_assert_eq!(
            plan(&all, &Policy { effort: Effort::Queue, ..Policy::default() }),
            plan(&problem, &Policy { effort: Effort::Queue, ..Policy::default() })
        );
    }

    #[test]
    fn the_first_in_the_queue_is_never_late_for_them(problem in problem(ALL, 0.05), arrivals in arrivals()) {
        let now = problem.site.now;
        let Some(first) = problem.waiting.iter().min_by_key(|job| rank(job, now)).cloned() else { return Ok(()) };
        let late = |made: &Plan| {
            let start = made.decisions[&first.id].start().zip(latest_start(&first));
            start.is_some_and(|(start, latest)| start > latest)
        };
        let all = with(problem.clone(), arrivals);
        prop_assert!(!late(&plan(&all, &Policy::default())) || late(&plan(&problem, &Policy::default())));
    }
}
