//! Who is expected to come is learned from who came, and known again after a restart.

use super::world::{World, curve_of, hours, job, midnight};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::Grade;
use neap_model::job::Objective;
use neap_model::seconds::Seconds;
use neap_policies::problem::Arrival;
use std::collections::BTreeSet;

/// Three a day that wait, and one that does not.
fn day(world: &mut World) {
    for name in ["one", "two", "three", "rigid"] {
        let mut spec = job(name, hours(1));
        if name != "rigid" {
            (spec.flex.delay, spec.flex.max_delay) = (Some(Objective::Carbon), Some(Seconds::hours(2)));
        }
        world.takes.insert(name.to_owned(), TimeDelta::minutes(30));
        world.submit(spec).expect("accepted");
    }
    world.pass_by(hours(24), TimeDelta::minutes(10));
}

fn expected(world: &mut World) -> Vec<Arrival> {
    world.controller.arrivals(world.now).to_vec()
}

fn hour(at: DateTime<Utc>) -> i64 {
    (at - midnight()).num_hours() % 24
}

#[test]
fn half_of_those_who_wait_are_expected_after_a_week_and_after_a_restart() {
    let curve = curve_of(&[400, 300, 400], Grade::Forecast);
    let mut config = super::world::config();
    config.planner.expected_arrivals = neap_model::units::Percent::whole(50);
    let mut world = World::of(config, 4).with_grid(&curve);
    world.beat();
    (0..7).for_each(|_| day(&mut world));
    assert_eq!(expected(&mut world).len(), 3, "seven days were seen to the hour");
    day(&mut world);
    let found = expected(&mut world);
    let hours: BTreeSet<i64> = found.iter().map(|arrival| hour(arrival.hour)).collect();
    assert_eq!(Vec::from_iter(hours), [0, 1, 23]);
    // A third of three jobs an hour, half of them; what they took, not what they said.
    assert!(found.iter().all(|arrival| arrival.count == 500), "{found:?}");
    assert!(found.iter().all(|arrival| arrival.like.length <= Seconds::minutes(40)), "{found:?}");
    world.restart();
    world.grid(&curve);
    world.beat();
    assert_eq!(expected(&mut world), found);
}

#[test]
fn nobody_is_expected_where_the_site_says_so_and_before_a_week_has_passed() {
    let mut config = super::world::config();
    let mut world = World::of(config.clone(), 4).with_grid(&curve_of(&[400], Grade::Forecast));
    world.beat();
    (0..6).for_each(|_| day(&mut world));
    assert_eq!(expected(&mut world), []);
    (0..2).for_each(|_| day(&mut world));
    assert!(!expected(&mut world).is_empty());
    config.planner.expected_arrivals = neap_model::units::Percent(0);
    world.restart_as(config);
    assert_eq!(expected(&mut world), []);
}
