//! A queue whose held jobs come too late does not hold, and says so; a clean week later it does again.

use super::world::{World, ada, curve_of, hours, job, midnight};
use crate::controller::{Answer, Request};
use neap_model::grid::Grade;
use neap_model::job::{JobId, Objective, Person};
use neap_model::notice::{Announcement, Source};
use neap_model::plan::Verdict;

/// Clean from 02:00 to 04:00.
const NIGHT: [u64; 24] = [
    400, 400, 100, 100, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400, 400,
    400,
];

fn off(world: &mut World) -> Vec<String> {
    match world.ask(ada(), Request::Status) {
        Ok(Answer::Status(status)) => {
            status.degraded.into_iter().filter(|mode| mode.mode == "holding_off").map(|mode| mode.detail).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn waits(world: &mut World, name: &str) -> (JobId, bool) {
    let mut spec = job(name, hours(1));
    spec.flex.delay = Some(Objective::Carbon);
    spec.flex.max_delay = Some(neap_model::seconds::Seconds::hours(24));
    let id = world.submit(spec).expect("accepted").id;
    let decision = world.show(id).decision.expect("decided");
    (id, matches!(decision.verdict, Verdict::Hold { .. }))
}

/// They say one hour, take nearly two and have to be over at four.
fn late_ones(world: &mut World) {
    for n in 0..3 {
        let name = format!("late-{n}");
        world.takes.insert(name.clone(), hours(2) - chrono::TimeDelta::minutes(5));
        let mut spec = job(&name, hours(1));
        spec.time.finish_by = Some(midnight() + hours(4) - chrono::TimeDelta::minutes(30));
        world.submit(spec).expect("accepted");
    }
}

#[test]
fn three_late_held_jobs_end_it_over_a_restart_and_for_a_week() {
    let mut world = World::new(8).with_grid(&curve_of(&NIGHT, Grade::Forecast));
    world.beat();
    late_ones(&mut world);
    assert_eq!(off(&mut world), Vec::<String>::new());
    world.pass(hours(4));
    let told = off(&mut world);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("queue batch") && told[0].contains("3 of 3 held jobs missed"), "{told:?}");
    world.pass(hours(20));
    assert!(!waits(&mut world, "after").1, "it starts at once");
    let curve = curve_of(&NIGHT, Grade::Forecast);
    world.restart();
    world.grid(&curve);
    world.beat();
    assert_eq!(off(&mut world), told, "a restart does not forget");
    world.pass(hours(7 * 24 - 16));
    assert_eq!(off(&mut world), Vec::<String>::new());
    assert!(waits(&mut world, "later").1, "it holds again");
}

#[test]
fn an_operator_makes_it_hold_again_over_a_restart() {
    let mut world = World::new(8).with_grid(&curve_of(&NIGHT, Grade::Forecast));
    world.beat();
    late_ones(&mut world);
    world.pass(hours(4));
    assert_eq!(off(&mut world).len(), 1);
    let event = |queue: &str| Announcement {
        id: format!("again-{queue}"),
        revision: 0,
        site: Some(queue.to_owned()),
        kind: "hold_again".to_owned(),
        limit_watts: None,
        share: None,
        from: None,
        until: None,
        priority: None,
        reason: "the clocks were wrong".to_owned(),
    };
    let root = Person { uid: 0, name: "root".to_owned() };
    let source = Source::Operator { name: "root".to_owned() };
    let refused =
        world.ask(root.clone(), Request::Announce { announcement: Box::new(event("none")), source: source.clone() });
    assert!(refused.expect_err("no such queue")[0].to_string().contains("no queue is called `none`"));
    world.ask(root, Request::Announce { announcement: Box::new(event("batch")), source }).expect("taken");
    assert_eq!(off(&mut world), Vec::<String>::new());
    assert!(waits(&mut world, "after").1, "it holds again");
    let curve = curve_of(&NIGHT, Grade::Forecast);
    world.restart();
    world.grid(&curve);
    world.beat();
    assert_eq!(off(&mut world), Vec::<String>::new(), "a restart does not forget");
}
