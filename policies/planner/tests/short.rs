//! Limits below that of least energy, where watts are short and nowhere else. With its board at 1,000 W a job adds 750 W, at 600 W
//! it takes least energy and adds 350 W, at 450 W it adds 200 W.

use super::random::problem;
use super::shared::{chosen, consents, holding, power, under};
use super::{at, properties};
use crate::problem::{Good, Job, Level, Policy, Problem, Shared, Way};
use crate::{audit, certified, plan};
use neap_model::grid::Grade;
use neap_model::job::{JobId, Objective};
use neap_model::seconds::Seconds;
use neap_model::units::Watts;
use proptest::prelude::*;
use std::sync::Arc;

const ALL: &[Grade] = &[Grade::Measured, Grade::Forecast, Grade::Forecast, Grade::Climatology, Grade::Static];

/// A job that may also take 70 minutes at 450 W, for 6 % more energy than at 600 W.
fn lowers(id: u64) -> Job {
    let mut job = consents(id);
    let least = job.ways[1].clone();
    let (length, watts) = (Seconds::minutes(70), Some(Watts::whole(525)));
    let lower = Way { limit: Some(Watts::whole(450)), length, watts, short: true, ..least };
    job.ways = job.ways.iter().cloned().chain([lower]).collect();
    job
}

fn row(watts: u64, jobs: impl IntoIterator<Item = Job>) -> Problem {
    holding(under(&[400; 24], 4, power(&["a"], watts, None), jobs), 300)
}

#[test]
fn a_limit_below_the_best_is_taken_where_watts_are_short_and_nowhere_else() {
    let made = |watts: u64, jobs: u64| chosen(&row(watts, (1..=jobs).map(lowers)));
    assert_eq!(made(300, 1), [(Some(450), 0)], "there never is enough for more");
    assert_eq!(made(299, 1), [(None, -1)]);
    assert_eq!(made(450, 1), [(Some(600), 0)], "there is enough for the best");
    assert_eq!(made(649, 2), [(Some(600), 0), (Some(600), 64)]);
    assert_eq!(made(650, 2), [(Some(600), 0), (Some(450), 0)], "another one starts at once");
    assert_eq!(made(800, 2), [(Some(600), 0), (Some(600), 0)]);
    assert_eq!(made(3_100, 4), [(Some(600), 0); 4]);
    // Boards that are not held before work starts take what they may at most whatever the limit.
    assert_eq!(chosen(&holding(row(849, [lowers(1)]), 0)), [(None, -1)]);
}

#[test]
fn no_finish_by_is_missed_for_it() {
    let made = |minutes: i64| {
        let tight = Job { finish_by: Some(at(minutes)), ..lowers(2) };
        chosen(&row(650, [lowers(1), tight]))
    };
    // Its turn comes first where its latest start has come.
    assert_eq!(made(64), [(Some(450), 0), (Some(600), 0)]);
    assert_eq!(made(75), [(Some(600), 0), (Some(450), 0)]);
    assert_eq!(crate::latest_start(&Job { finish_by: Some(at(75)), ..lowers(2) }), Some(at(11)), "as without it");
}

#[test]
fn clean_hours_are_shared_at_it_where_their_watts_have_a_price() {
    let waits = |id: u64| {
        let mut job = lowers(id);
        (job.delay.objective, job.delay.max) = (Objective::Carbon, Seconds::hours(5));
        job
    };
    let clean = |watts: u64| {
        let forecast: Vec<u64> = (0..24).map(|hour| if (3..5).contains(&hour) { 50 } else { 900 }).collect();
        let problem = holding(under(&forecast, 4, power(&["a"], watts, None), (1..=2).map(waits)), 300);
        let made = plan(&problem, &Policy::default());
        assert_eq!(audit(&problem, &made), vec![]);
        let certificate = certified(&problem, &made);
        assert!(certificate.bound <= certificate.emits, "{certificate:?}");
        let mut all = chosen(&problem);
        all.sort_unstable();
        (all, certificate.emits)
    };
    let (limits, emits) = clean(650);
    assert_eq!(limits.iter().map(|(limit, _)| *limit).collect::<Vec<_>>(), [Some(450), Some(600)], "{limits:?}");
    assert!(limits.iter().all(|(_, start)| (180..=240).contains(start)), "{limits:?}");
    let (one, alone) = clean(649);
    assert!(emits < alone, "both run within the clean hours: {emits} of {alone}, {one:?}");
    assert_eq!(clean(800).0.iter().map(|(limit, _)| *limit).collect::<Vec<_>>(), [Some(600); 2]);
}

/// Slower, it would run for longer in the clean hours, and emit less from any start.
#[test]
fn nobody_takes_it_for_cleaner_hours_while_there_are_watts() {
    for minutes in [10, 30, 240] {
        let mut waits = lowers(1);
        (waits.delay.objective, waits.delay.max) = (Objective::Carbon, Seconds::minutes(minutes));
        let forecast: Vec<u64> = (0..24).map(|hour| if hour == 0 { 900 } else { 50 }).collect();
        let made = |watts: u64, job: &Job| {
            chosen(&holding(under(&forecast, 4, power(&["a"], watts, None), [job.clone()]), 300))[0].0
        };
        assert_eq!((made(450, &waits), made(449, &waits)), (Some(600), Some(450)), "{minutes} minutes");
        let alone = Job { ways: waits.ways.iter().map(|way| Way { short: false, ..way.clone() }).collect(), ..waits };
        assert_eq!(made(450, &alone), Some(if minutes < 60 { 450 } else { 600 }), "what it would gain: {minutes}");
    }
}

/// The same problem without limits below the best.
fn without(problem: &Problem) -> Problem {
    let none = |job: &Arc<Job>| {
        let ways = job.ways.iter().filter(|way| !way.short).cloned().collect();
        Arc::new(Job { ways, ..(**job).clone() })
    };
    Problem { waiting: problem.waiting.iter().map(none).collect(), ..problem.clone() }
}

/// All boards start work held, and everybody with ways would like such a limit: it takes half the energy here.
fn eager(problem: Problem) -> Problem {
    let mut problem = holding(problem, 100);
    let lower = |way: &Way| Way {
        limit: Some(Watts::whole(150)),
        watts: Some(way.watts.unwrap_or(Watts::whole(400)).scaled(1, 2)),
        short: true,
        ..way.clone()
    };
    let with = |job: &Arc<Job>| {
        let plain: Vec<Way> = job.ways.iter().filter(|way| !way.short).cloned().collect();
        let ways = plain.iter().cloned().chain(plain.iter().map(lower)).collect();
        Arc::new(Job { ways, ..(**job).clone() })
    };
    problem.waiting = problem.waiting.iter().map(with).collect();
    problem
}

proptest! {
    #![proptest_config(properties::settings())]

    #[test]
    fn with_plenty_of_watts_plans_are_as_without_it(mut problem in problem(ALL, 0.05)) {
        let plenty = |shared: &Arc<Shared>| {
            let levels = vec![Level { from: at(-60), most: 1_000_000_000, event: None }];
            let power = shared.what == Good::Power;
            if power { Arc::new(Shared { levels, ..(**shared).clone() }) } else { Arc::clone(shared) }
        };
        problem = eager(problem);
        problem.site.shared = problem.site.shared.iter().map(plenty).collect();
        let (with, without) = (plan(&problem, &Policy::default()), plan(&without(&problem), &Policy::default()));
        prop_assert_eq!(&with.decisions, &without.decisions);
        prop_assert_eq!(&with.room.slots, &without.room.slots);
    }

    #[test]
    fn nobody_is_planned_at_it_where_there_is_room_for_more(mut problem in problem(ALL, 0.05)) {
        problem = eager(problem);
        // In the order of the queue, where nobody moves: those behind were not there when it chose.
        let policy = Policy { effort: crate::problem::Effort::Queue, ..Policy::default() };
        let made = plan(&problem, &policy);
        let mut room = made.room.clone();
        let mut last: Vec<&Arc<Job>> = problem.waiting.iter().filter(|job| made.room.slots.contains_key(&job.id)).collect();
        last.sort_by_key(|job| crate::order::rank(job, problem.site.now));
        for job in last.into_iter().rev() {
            let slot = made.room.slots[&JobId(job.id.0)][0];
            room.release(job.id);
            let kit = crate::planner::decided_kit(&made.decisions[&job.id]);
            let machine = &room.nodes[slot.node].machine;
            let Some(shape) = machine.shapes_of(job, kit).find(|shape| shape.need == slot.need) else { continue };
            if shape.short {
                let others = room.shapes(slot.node, job).filter(|other| !other.short && other.need == shape.need);
                let least = others.min_by_key(|other| other.draws);
                let fits = |other: &crate::machine::Shape| {
                    room.has_room(slot.node, other, slot.from, slot.from.saturating_add(other.millis()))
                };
                prop_assert!(!least.as_ref().is_some_and(fits), "job {}", job.id);
            }
        }
    }
}
