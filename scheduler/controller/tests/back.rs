//! Limits below that of least energy where watts are short, and the way back up once there are some. The job `bent` takes least
//! energy at 240 W, where it adds 245 W to the 460 W that the node draws idle; at 210 W it adds 215 W.

use super::slowed::*;
use super::world::*;
use chrono::TimeDelta;
use neap_model::cap::CapReason;
use neap_model::job::JobId;
use neap_model::lifecycle::JobEvent;
use neap_model::protocol::Ask;
use neap_model::seconds::Seconds;
use neap_model::units::{Percent, Watts};

fn limit(world: &World, id: JobId) -> Option<u64> {
    world.cap(id).map(|limit| limit.0 / 1_000)
}

fn because(world: &mut World, id: JobId) -> CapReason {
    world.show(id).capped.expect("decided").because
}

/// So many seconds under that limit.
fn pass(world: &mut World, seconds: i64, watts: u64) {
    for _ in 0..seconds {
        world.pass_by(SECOND, SECOND);
        within(world, watts);
    }
}

/// Two start under 920 W, the second with fewer watts than it would choose.
fn two() -> (World, JobId, JobId) {
    let mut world = taught(row(920), Some(SAFE));
    let (first, second) = (submit_bent(&mut world, 30), submit_bent(&mut world, 30));
    let watts = |watts| Some(Watts::whole(watts));
    assert_eq!((slowed(&world, first), slowed(&world, second)), (watts(240), watts(210)));
    pass(&mut world, 60, 920);
    assert!(runs(&world, first) && runs(&world, second));
    assert_eq!((limit(&world, first), limit(&world, second)), (Some(240), Some(210)));
    (world, first, second)
}

fn cancel(world: &mut World, id: JobId) {
    world.verb(id, Ask::Cancel { reason: None }).expect("allowed");
}

#[test]
fn a_limit_below_the_best_is_planned_where_watts_are_short_and_says_so() {
    let (mut world, first, second) = two();
    assert!(matches!(because(&mut world, first), CapReason::LeastEnergy { .. }));
    let CapReason::Planned { time, energy, slowdown } = because(&mut world, second) else { panic!("another reason") };
    // 8.0 steps a second instead of 10, at 210 W instead of 300 W.
    assert!((time.ratio() - 1.25).abs() < 0.01 && (energy.ratio() - 0.875).abs() < 0.01, "{time} {energy}");
    assert_eq!(slowdown, Percent::whole(30));
    // With plenty both take what they would choose.
    let mut world = taught(row(2_000), Some(SAFE));
    let all = [submit_bent(&mut world, 30), submit_bent(&mut world, 30)];
    world.pass_by(SECOND * 60, SECOND);
    assert_eq!(all.map(|id| limit(&world, id)), [Some(240), Some(240)]);
    // And who does not consent to so much waits.
    let mut world = taught(row(920), Some(SAFE));
    let all = [submit_bent(&mut world, 20), submit_bent(&mut world, 20)];
    world.pass_by(SECOND * 60, SECOND);
    assert_eq!(all.map(|id| runs(&world, id)), [true, false]);
}

#[test]
fn who_was_started_lower_goes_to_its_own_choice_once_there_are_watts_again() {
    let (mut world, first, second) = two();
    let before = world.show(second).capped.expect("decided");
    cancel(&mut world, first);
    pass(&mut world, 90, 920);
    assert_eq!(limit(&world, second), Some(240));
    assert!(matches!(because(&mut world, second), CapReason::LeastEnergy { .. }), "{before:?}");
    let decided = |world: &World| {
        let history = &world.controller.state().jobs[&second].history;
        history.iter().filter(|entry| matches!(entry.event, JobEvent::Capped { .. })).count()
    };
    let so_far = decided(&world);
    pass(&mut world, 600, 920);
    assert_eq!((limit(&world, second), decided(&world)), (Some(240), so_far), "and stays there");
    // A restart takes it back to what it was started with, and not for long.
    world.restart();
    world.beat();
    pass(&mut world, 120, 920);
    assert_eq!(limit(&world, second), Some(240));
    world.check_replay();
}

#[test]
fn what_it_was_started_with_stands_for_half_a_minute() {
    let mut world = taught(row(920), Some(SAFE));
    let (first, second) = (submit_bent(&mut world, 30), submit_bent(&mut world, 30));
    pass(&mut world, 3, 920);
    cancel(&mut world, first);
    let rose = (3..100).find(|_| {
        pass(&mut world, 1, 920);
        limit(&world, second) != Some(210)
    });
    assert!(rose.is_some_and(|after| (30..=60).contains(&after)), "{rose:?}");
    assert_eq!(limit(&world, second), Some(240));
}

#[test]
fn what_was_raised_counts_so_after_a_restart() {
    let (mut world, first, second) = two();
    cancel(&mut world, first);
    pass(&mut world, 90, 920);
    assert_eq!(limit(&world, second), Some(240));
    world.restart();
    world.beat();
    let third = submit_bent(&mut world, 30);
    world.pass_by(SECOND, SECOND);
    let at = slowed(&world, third);
    assert!(at.is_none_or(|at| at <= Watts::whole(210)), "the second could still draw 240 W: {at:?}");
    for _ in 0..120 {
        world.pass_by(SECOND, SECOND);
        assert!(could_be_drawn(&world) <= Watts::whole(920), "{}", could_be_drawn(&world));
    }
    assert!(runs(&world, second) && runs(&world, third));
    world.check_replay();
}

#[test]
fn watts_that_are_promised_to_who_waits_are_not_taken() {
    let (mut world, first, second) = two();
    // Somebody waits already: what the first gives back is his.
    let third = submit_bent(&mut world, 20);
    assert!(!runs(&world, third));
    cancel(&mut world, first);
    pass(&mut world, 120, 920);
    assert!(runs(&world, third));
    assert_eq!((limit(&world, third), limit(&world, second)), (Some(240), Some(210)));
    // Somebody comes in an hour, and has them until then for nobody who runs for longer.
    let mut later = job("bent", hours(4));
    (later.resources.gpus, later.flex.slowdown) = (1, Percent::whole(20));
    later.time.not_before = Some(world.now + TimeDelta::hours(1));
    later.time.expect = Some(Seconds::hours(4));
    let later = world.submit(later).expect("accepted").id;
    world.pass_by(SECOND * 5, SECOND);
    cancel(&mut world, third);
    pass(&mut world, 300, 920);
    assert_eq!((limit(&world, second), runs(&world, later)), (Some(210), false), "promised");
    pass(&mut world, 3_400, 920);
    assert!(runs(&world, later));
    assert_eq!(limit(&world, second), Some(210));
    cancel(&mut world, later);
    pass(&mut world, 120, 920);
    assert_eq!(limit(&world, second), Some(240), "nobody wants them any more");
    world.check_replay();
}
