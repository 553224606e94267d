//! Elastic jobs from the door to the ledger: what they get, how long they take, and what is learned of it.

use super::world::{World, curve_of, hours, job, midnight, phase_word};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::Grade;
use neap_model::job::{JobId, JobSpec, Objective, Pause};
use neap_model::plan::Width;
use neap_model::seconds::Seconds;

const GPUS: [(&str, &str); 6] =
    [("h0", "H100"), ("h1", "H100"), ("h2", "H100"), ("h3", "H100"), ("a0", "A100"), ("a1", "A100")];

/// Half as fast again with each doubling; an A100 half as fast as an H100. The slowest, one A100, is at 1.
fn fast(gpus: usize, model: &str) -> f64 {
    1.5f64.powf((gpus as f64).log2()) * if model == "H100" { 2.0 } else { 1.0 }
}

fn world(grams: &[u64]) -> World {
    let mut world = World::new(16).with_grid(&curve_of(grams, Grade::Forecast)).with_gpus(&GPUS);
    world.speeds.insert("train".into(), fast);
    world.beat();
    world
}

/// One to four GPUs.
fn elastic(model: &str, length: TimeDelta) -> JobSpec {
    let mut spec = job("train", length);
    (spec.resources.gpus, spec.resources.gpus_up_to) = (1, Some(4));
    spec.resources.gpu_model = vec![model.to_owned()];
    spec
}

fn width(world: &mut World, id: JobId) -> Width {
    world.show(id).decision.and_then(|decision| decision.width).expect("there was a choice")
}

fn end(world: &mut World, id: JobId) -> Option<DateTime<Utc>> {
    world.show(id).decision.and_then(|decision| Some(decision.expected?.end))
}

#[test]
fn it_gets_as_many_gpus_as_end_it_first_and_is_expected_to_end_then() {
    let mut world = world(&[300]);
    let id = world.submit(elastic("H100", hours(6))).expect("accepted").id;
    world.beat();
    let job = world.show(id);
    assert_eq!((phase_word(&job), job.gpus.len()), ("starting", 4));
    // Nothing was measured: 1.8 times as fast with each doubling is assumed.
    assert_eq!(width(&mut world, id), Width { gpus: 4, model: "H100".into(), speed: 3_240 });
    assert_eq!(end(&mut world, id), Some(midnight() + TimeDelta::seconds(6_667)));
    world.check_replay();
    // Another one finds all four taken until then, and takes what is expected to end first: four, after that.
    let other = world.submit(elastic("H100", hours(6))).expect("accepted").id;
    assert_eq!(end(&mut world, other), Some(midnight() + TimeDelta::seconds(2 * 6_667)));
}

#[test]
fn runs_teach_how_it_scales() {
    let mut world = world(&[300]);
    for busy in [0, 0, 0, 3, 3] {
        let mut others: Vec<JobSpec> = (0..busy).map(|_| job("other", hours(9))).collect();
        others.iter_mut().for_each(|spec| (spec.resources.gpus, spec.resources.gpu_model) = (1, vec!["H100".into()]));
        let others: Vec<JobId> = others.into_iter().map(|spec| world.submit(spec).expect("accepted").id).collect();
        let id = world.submit(JobSpec { time: Default::default(), ..elastic("H100", hours(2)) }).expect("accepted").id;
        world.takes.insert("train".into(), hours(2));
        world.pass(hours(2));
        assert_eq!(phase_word(&world.show(id)), "succeeded");
        others.into_iter().for_each(|id| drop(world.verb(id, neap_model::protocol::Ask::Cancel { reason: None })));
        world.pass(TimeDelta::minutes(5));
    }
    // Four ran 26 min and 40 s three times, one ran an hour twice; and the site was looked at again.
    world.grid(&curve_of(&[300], Grade::Forecast));
    let id = world.submit(JobSpec { time: Default::default(), ..elastic("H100", hours(2)) }).expect("accepted").id;
    let now = world.now;
    let width = width(&mut world, id);
    assert_eq!((width.gpus, width.speed / 100), (4, 22), "{width:?}");
    let end = end(&mut world, id).expect("planned") - now;
    assert!((end.num_minutes() - 27).abs() <= 1, "{end}");
}

#[test]
fn it_is_paused_at_one_width_and_goes_on_at_another() {
    // Clean for two hours, dirty for four.
    let mut world = world(&[100, 100, 500, 500, 500, 500]);
    let mut spec = elastic("H100", hours(12));
    (spec.flex.delay, spec.flex.max_delay) = (Some(Objective::Carbon), Some(Seconds::hours(24)));
    spec.flex.pause = Some(Pause { signal: "SIGUSR1".into(), grace: Seconds(90), exit: 85 });
    let id = world.submit(spec).expect("accepted").id;
    world.pass(hours(1));
    let first = width(&mut world, id);
    assert_eq!(phase_word(&world.show(id)), "running");
    world.pass(hours(23));
    let state = &world.controller.state().jobs[&id];
    assert!(state.pauses > 0, "{first:?}");
    assert!(state.worked >= state.ran);
    world.pass(hours(24));
    assert_eq!(phase_word(&world.show(id)), "succeeded");
    world.check_replay();
}

#[test]
fn its_promises_hold_at_any_width() {
    let mut world = world(&[500, 500, 500, 500, 100, 100, 100, 500]);
    let mut spec = elastic("A100", hours(3));
    spec.flex.delay = Some(Objective::Carbon);
    spec.time.finish_by = Some(midnight() + hours(8));
    let id = world.submit(spec).expect("accepted").id;
    let latest = world.show(id).decision.and_then(|decision| decision.latest_start);
    assert_eq!(latest, Some(midnight() + hours(5)), "by the slowest of its ways");
    world.pass(hours(9));
    let job = world.show(id);
    assert_eq!(phase_word(&job), "succeeded");
    assert!(job.ended <= Some(midnight() + hours(8)));
}

#[test]
fn what_no_node_has_is_no_width_and_a_range_that_is_none_is_refused() {
    let mut world = world(&[300]);
    let mut spec = elastic("A100", hours(1));
    spec.resources.gpus_up_to = Some(64);
    let id = world.submit(spec.clone()).expect("accepted").id;
    assert_eq!(width(&mut world, id).gpus, 2, "the node has two of them");
    (spec.resources.gpus, spec.resources.gpus_up_to) = (3, Some(8));
    assert_eq!(world.submit(spec.clone()).expect_err("never").first().map(|r| r.code.text()), Some("E042"));
    (spec.resources.gpus, spec.resources.gpus_up_to) = (2, Some(1));
    assert_eq!(world.submit(spec).expect_err("no range").first().map(|r| r.code.text()), Some("E011"));
}
