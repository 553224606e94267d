//! A search beside the loop: who submits does not wait for it, and the next plan keeps to what it found.

use super::world::{World, curve_of, hours, job, midnight};
use crate::controller::{Effect, Input};
use chrono::TimeDelta;
use neap_model::grid::Grade;
use neap_model::job::{JobId, Objective};
use neap_model::seconds::Seconds;

/// Every hour cleaner than the one before it, until six.
const FALLING: [u64; 24] = [
    600, 500, 400, 300, 200, 100, 600, 600, 600, 600, 600, 600, 600, 600, 600, 600, 600, 600, 600, 600, 600, 600, 600,
    600,
];

/// Jobs of one core that want the same clean hours; the first of the queue needs little of them and could do with others.
fn crowd(world: &mut World) -> Vec<JobId> {
    world.beat();
    let shapes = [30, 30, 30, 30, 60, 60, 60, 60];
    let one = |(n, minutes): (usize, i64)| {
        let mut spec = job(&format!("job-{n}"), TimeDelta::minutes(minutes));
        spec.flex.delay = Some(Objective::Carbon);
        spec.flex.max_delay = Some(Seconds::hours(6));
        world.submit(spec).expect("accepted").id
    };
    shapes.into_iter().enumerate().map(one).collect()
}

/// Micrograms that the jobs are expected to emit.
fn emits(world: &mut World, jobs: &[JobId]) -> u64 {
    let of = |id: &JobId| world.show(*id).decision.expect("decided").expected.expect("a forecast").emits.0;
    jobs.iter().map(of).sum()
}

#[test]
fn what_is_found_beside_the_loop_is_what_would_be_found_in_it() {
    let curve = curve_of(&FALLING, Grade::Forecast);
    let (mut within, mut beside) = (World::new(1).with_grid(&curve), World::new(1).with_grid(&curve).searched_beside());
    let (a, b) = (crowd(&mut within), crowd(&mut beside));
    for world in [&mut within, &mut beside] {
        world.pass(TimeDelta::minutes(1));
    }
    assert_eq!((within.searches, beside.searches > 0), (0, true));
    let starts = |world: &mut World, jobs: &[JobId]| {
        jobs.iter().map(|id| world.show(*id).decision.expect("decided").start()).collect::<Vec<_>>()
    };
    assert_eq!(starts(&mut beside, &b), starts(&mut within, &a));
    assert_eq!(emits(&mut beside, &b), emits(&mut within, &a));
}

#[test]
fn while_a_search_is_out_there_is_no_other_and_what_it_found_is_kept_to() {
    let curve = curve_of(&FALLING, Grade::Forecast);
    let mut world = World::new(1).with_grid(&curve).searched_beside();
    world.hold_searches = true;
    let jobs = crowd(&mut world);
    world.controller.planning.news();
    world.step(Input::Tick);
    assert_eq!(world.held.len(), 1, "one is out, and everybody has a plan meanwhile");
    let before = emits(&mut world, &jobs);
    let Some(Effect::Search(problem, policy)) = world.held.pop() else { panic!("a search") };
    let found = neap_policies::plan(&problem, &policy).decisions;
    world.step(Input::Found(Some(found)));
    assert!(emits(&mut world, &jobs) <= before, "what is dearer by now is not taken");
    // A search that failed is not the last one.
    world.held.clear();
    world.pass(hours(1));
    let out = world.held.len();
    assert!(out > 0, "it searches again");
    world.step(Input::Found(None));
    assert_eq!(world.controller.planning().refused_plans, 1);
    world.pass(hours(1));
    assert!(world.held.len() > out, "and again");
    assert!(world.now > midnight());
}
