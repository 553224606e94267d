//! Ceilings of clocks: for jobs that no limit slows, with the same consent, beside whatever else holds a job, and given back.

use super::notices::{announce, root};
use super::world::*;
use chrono::TimeDelta;
use neap_model::cap::CapReason;
use neap_model::job::{JobId, JobSpec};
use neap_model::notice::Announcement;
use neap_model::units::{Megahertz, Percent, Watts};

/// Draws 210 W of 300 W at 1500 MHz, and loses no time down to 900 MHz.
fn decode(limit: Option<Watts>, ceiling: Option<Megahertz>) -> (f64, f64, f64) {
    let clock = ceiling.map_or(1.0, |ceiling| f64::from(ceiling.0) / 1_500.0);
    let power = 100.0 + 110.0 * clock.powi(2);
    let limit = limit.map_or(300.0, |limit| limit.0 as f64 / 1e3);
    (10.0 * (clock / 0.6).min(1.0), power.min(limit), if power > limit { 1.0 } else { 0.01 })
}

/// The same, but its limit binds for a twentieth of the time.
fn bound(limit: Option<Watts>, ceiling: Option<Megahertz>) -> (f64, f64, f64) {
    let (rate, power, _) = decode(limit, ceiling);
    (rate, power, 0.05)
}

fn spec(name: &str, slowdown: u32) -> JobSpec {
    let mut spec = job(name, hours(4));
    spec.resources.gpus = 1;
    spec.flex.slowdown = Percent::whole(slowdown);
    spec
}

fn world() -> World {
    let mut world = World::new(8).with_gpus(&[("GPU-a", "A"), ("GPU-b", "A")]).with_helper().with_clocks();
    world.clocked.insert("decode".into(), decode);
    world.clocked.insert("bound".into(), bound);
    world.beat();
    world
}

fn submit(world: &mut World, name: &str, slowdown: u32) -> JobId {
    let id = world.submit(spec(name, slowdown)).expect("accepted").id;
    world.pass(TimeDelta::seconds(30));
    id
}

#[test]
fn a_job_that_no_limit_slows_is_held_below_the_ceiling_of_least_energy() {
    let mut world = world();
    let id = submit(&mut world, "decode", 5);
    assert_eq!((world.cap(id), world.ceiling(id)), (None, None), "it is watched as it was found first");
    world.pass(hours(1));
    let capped = world.show(id).capped.expect("decided");
    let CapReason::LeastEnergy { time, energy, slowdown } = capped.because else { panic!("{capped:?}") };
    let ceiling = capped.clock_ceiling.expect("a ceiling");
    // 5 % slower would be 857 MHz; rungs lie 150 MHz apart, and half of that once.
    assert!((Megahertz(857)..=Megahertz(900)).contains(&ceiling), "{ceiling}");
    assert_eq!((capped.limit, slowdown), (None, Percent::whole(5)));
    assert!(time <= Percent::whole(105) && energy <= Percent::whole(70), "{time} {energy}");
    assert_eq!((world.cap(id), world.ceiling(id)), (None, Some(ceiling)));
    world.pass(hours(1));
    assert_eq!(world.ceiling(id), Some(ceiling), "nothing moves any more");
    // A scheduler that starts anew goes on with it, and the next run begins with it.
    world.restart();
    world.beat();
    assert_eq!(world.ceiling(id), Some(ceiling));
    world.pass(hours(3));
    assert!(world.show(id).phase.is_final());
    let next = submit(&mut world, "decode", 5);
    assert_eq!((world.cap(next), world.ceiling(next)), (None, Some(ceiling)), "from its first second");
    world.restart();
    world.beat();
    assert_eq!(world.ceiling(next), Some(ceiling));
    world.check_replay();
}

#[test]
fn without_consent_locks_of_our_own_or_a_word_about_memory_there_is_no_ceiling() {
    let mut world = world();
    let (strict, bound) = (submit(&mut world, "decode", 0), submit(&mut world, "bound", 25));
    world.pass(hours(1));
    assert_eq!((world.ceiling(strict), world.show(strict).capped), (None, None));
    let capped = world.show(bound).capped.expect("its limits were searched");
    assert_eq!((world.ceiling(bound), capped.clock_ceiling), (None, None));
    let mut never = World::new(8).with_gpus(&[("GPU-a", "A")]).with_helper();
    never.clocked.insert("decode".into(), decode);
    never.beat();
    let id = submit(&mut never, "decode", 5);
    never.pass(hours(1));
    assert_eq!(
        (never.ceiling(id), never.show(id).capped.expect("its limits were searched").clock_ceiling),
        (None, None)
    );
}

#[test]
fn an_operators_limit_goes_beside_a_ceiling_and_leaves_it() {
    let mut world = world();
    let id = submit(&mut world, "decode", 5);
    world.pass(hours(1));
    let ceiling = world.ceiling(id).expect("held");
    let cap = Announcement {
        id: "heat".into(),
        revision: 1,
        site: Some("n1".into()),
        kind: "gpu_cap".into(),
        limit_watts: Some(120),
        share: None,
        from: None,
        until: Some(world.now + TimeDelta::minutes(30)),
        priority: None,
        reason: "cooling".into(),
    };
    announce(&mut world, root(), cap, false).expect("taken");
    world.pass(TimeDelta::minutes(5));
    assert_eq!((world.cap(id), world.ceiling(id)), (Some(Watts::whole(120)), Some(ceiling)));
    let capped = world.show(id).capped.expect("told");
    assert!(matches!(capped.because, CapReason::Node { .. }) && capped.clock_ceiling == Some(ceiling), "{capped:?}");
    world.pass(hours(2));
    assert_eq!((world.cap(id), world.ceiling(id)), (None, Some(ceiling)));
    let capped = world.show(id).capped.expect("told");
    assert!(
        matches!(capped.because, CapReason::LeastEnergy { .. }) && capped.clock_ceiling == Some(ceiling),
        "{capped:?}"
    );
    world.check_replay();
}

#[test]
fn another_phase_is_watched_anew_as_it_was_found() {
    let mut world = world();
    let id = submit(&mut world, "decode", 5);
    world.pass(hours(1));
    assert!(world.ceiling(id).is_some());
    // From now on its limit binds: the ceiling goes, and its limits are searched.
    world.clocked.insert("decode".into(), |limit, ceiling| {
        let (rate, power, _) = decode(limit, ceiling);
        (rate * 2.0, power, 0.5)
    });
    world.pass(hours(1));
    let capped = world.show(id).capped.expect("told");
    assert_eq!((world.ceiling(id), capped.clock_ceiling), (None, None), "{capped:?}");
    // And one that falls silent in the middle of a search goes back to what was found.
    let next = submit(&mut world, "bound", 5);
    world.clocked.insert("bound".into(), decode);
    world.pass(TimeDelta::minutes(3));
    assert!(world.ceiling(next).is_some(), "it is being searched");
    world.clocked.clear();
    world.pass(hours(1));
    assert_eq!(world.ceiling(next), None);
    world.check_replay();
}
