//! How hard a job runs is decided with its start, once its own steps showed what limits do to it.

use super::capping::{hungry, submit, world};
use super::world::*;
use chrono::TimeDelta;
use neap_model::cap::CapReason;
use neap_model::grid::Grade;
use neap_model::job::{JobId, JobSpec, Objective};
use neap_model::lifecycle::JobEvent;
use neap_model::plan::Width;
use neap_model::seconds::Seconds;
use neap_model::units::{Percent, Watts};

/// A world in which one such job ran to its end: 240 W are best within a tenth.
fn taught() -> World {
    let mut world = world();
    world.grid(&curve_of(&[300], Grade::Forecast));
    let first = submit(&mut world, "hungry", 10);
    assert_eq!(width(&mut world, first), None, "nothing is known of it");
    world.pass(hours(4) + hours(1));
    assert!(world.show(first).phase.is_final());
    world
}

fn spec() -> JobSpec {
    let mut spec = job("hungry", hours(4));
    spec.resources.gpus = 1;
    spec.flex.slowdown = Percent::whole(10);
    spec
}

fn width(world: &mut World, id: JobId) -> Option<Width> {
    world.show(id).decision.and_then(|decision| decision.width)
}

fn limit(world: &mut World, id: JobId) -> Watts {
    width(world, id).and_then(|width| width.limit).expect("one was chosen")
}

#[test]
fn what_was_learned_is_part_of_the_plan() {
    let mut world = taught();
    let id = world.submit(spec()).expect("accepted").id;
    let job = world.show(id);
    let decision = job.decision.expect("planned");
    let chosen = decision.width.expect("a choice");
    // It is told to end as late as it will: at 240 W speed is 0.916 of that at 300 W.
    let expected = decision.expected.expect("planned");
    let slower = 1.0 / (hungry(Some(Watts::whole(240))).0 / 10.0);
    let length = (expected.end - expected.start).num_seconds() as f64 / 14_400.0;
    assert_eq!((chosen.limit, chosen.gpus), (Some(Watts::whole(240)), 1));
    assert!((length - slower).abs() < 3e-3, "{length} of {slower}");
    // And to take what the board draws there: 240 W and a core of 100 W, where 300 W were learned at the highest.
    let watts = expected.energy.0 as f64 / 1e3 / (expected.end - expected.start).num_seconds() as f64;
    assert!((watts - 340.0).abs() < 2.0, "{watts}");
    world.pass(TimeDelta::seconds(30));
    assert_eq!(world.cap(id), Some(Watts::whole(240)), "from its first second");
    let capped = world.show(id).capped.expect("decided");
    assert!(matches!(capped.because, CapReason::LeastEnergy { time, .. } if time <= Percent::whole(110)), "{capped:?}");
    world.pass(hours(1));
    assert_eq!(world.cap(id), Some(Watts::whole(240)));
    world.restart();
    world.beat();
    world.pass(hours(1));
    assert_eq!(world.cap(id), Some(Watts::whole(240)));
    world.check_replay();
}

#[test]
fn who_has_to_hurry_runs_at_full_power() {
    let mut world = taught();
    let mut tight = spec();
    tight.time.finish_by = Some(world.now + hours(4) + TimeDelta::minutes(5));
    let id = world.submit(tight).expect("accepted").id;
    assert_eq!(limit(&mut world, id), Watts::whole(300));
    world.pass(hours(1));
    assert_eq!(world.cap(id), None, "and stays there");
    let capped = world.show(id).capped.expect("decided");
    let CapReason::Planned { time, energy, slowdown } = capped.because else { panic!("{capped:?}") };
    let full = Percent::whole(100);
    assert_eq!((capped.limit, time, energy, slowdown), (None, full, full, Percent::whole(10)));
    world.restart();
    world.beat();
    world.pass(hours(1));
    assert_eq!(world.cap(id), None);
    world.check_replay();
}

#[test]
fn clean_hours_that_are_just_long_enough_are_not_outrun() {
    let mut world = taught();
    // Ten dirty hours from midnight, four clean ones, and dirty ones again.
    let curve: Vec<u64> = (0..24).map(|hour| if (10..14).contains(&hour) { 100 } else { 900 }).collect();
    world.grid(&curve_of(&curve, Grade::Forecast));
    let mut green = spec();
    (green.flex.delay, green.flex.max_delay) = (Some(Objective::Carbon), Some(Seconds::hours(12)));
    let id = world.submit(green).expect("accepted").id;
    let decision = world.show(id).decision.expect("planned");
    assert!(decision.is_planned());
    assert_eq!(limit(&mut world, id), Watts::whole(300));
}

#[test]
fn another_phase_than_what_was_planned_by_is_watched_anew() {
    let mut world = taught();
    let id = world.submit(spec()).expect("accepted").id;
    world.pass(hours(1));
    assert_eq!(world.cap(id), Some(Watts::whole(240)));
    // Twice as fast all at once, and the limit costs nothing down to 120 W.
    world.paces.insert("hungry".into(), |limit| {
        let limit = limit.map_or(300.0, |limit| limit.0 as f64 / 1e3);
        (if limit < 120.0 { 10.0 } else { 20.0 }, limit.min(300.0))
    });
    world.pass(hours(1));
    assert_eq!(world.cap(id), Some(Watts::whole(120)));
    let history = &world.controller.state().jobs[&id].history;
    assert_eq!(history.iter().filter(|entry| matches!(entry.event, JobEvent::Capped { .. })).count(), 2);
}
