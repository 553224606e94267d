//! Elastic jobs from the door to the ledger: what they get, how long they take, and what is learned of it.

use super::world::{World, curve_of, hours, job, midnight, phase_word};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::fleet::Gpu;
use neap_model::grid::Grade;
use neap_model::job::{JobId, JobSpec, Objective, OnExpire, Pause};
use neap_model::lifecycle::Phase;
use neap_model::plan::Width;
use neap_model::protocol::Ask;
use neap_model::seconds::Seconds;
use neap_model::units::{Percent, Watts};
use proptest::prelude::*;

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
    assert_eq!(width(&mut world, id), Width { gpus: 4, model: "H100".into(), limit: None, speed: 3_240 });
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
        others.into_iter().for_each(|id| drop(world.verb(id, Ask::Cancel { reason: None })));
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
fn the_energy_of_a_learned_length_is_that_of_the_mean_on_whatever_width() {
    let mut world = world(&[300]);
    for takes in [4, 1, 1, 1] {
        let id = world.submit(JobSpec { time: Default::default(), ..elastic("H100", hours(2)) }).expect("accepted").id;
        world.takes.insert("train".into(), hours(takes));
        world.pass(hours(takes));
        assert_eq!(phase_word(&world.show(id)), "succeeded");
    }
    world.grid(&curve_of(&[300], Grade::Forecast));
    let mut energy = |expect| {
        let mut spec = elastic("H100", hours(2));
        (spec.time.expect, spec.time.limit) = (expect, None);
        let id = world.submit(spec).expect("accepted").id;
        let outlook = world.show(id).decision.and_then(|decision| decision.expected).expect("it is planned");
        world.verb(id, Ask::Cancel { reason: None }).expect("cancelled");
        outlook.energy.in_kwh() / (outlook.end - outlook.start).num_seconds() as f64
    };
    // Once four times as long as three times: 7 of 16.
    let (learned, given) = (energy(None), energy(Some(Seconds::hours(2))));
    assert!((learned / given - 7.0 / 16.0).abs() < 0.01, "{learned} {given}");
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

#[test]
fn gpus_in_zones_that_it_may_not_use_are_no_way_to_run_it() {
    let mut world = world(&[300]);
    let gpu = |index: u32| Gpu {
        uuid: format!("far-{index}"),
        index,
        model: "H100".into(),
        limit: Watts::whole(300),
        settable: None,
        uncapped: None,
    };
    world.beat_of("n2", "SE3", (0..8).map(gpu).collect());
    // At home four take 1 h 51 min of six hours on one; eight would take 62 min.
    let mut spec = elastic("H100", hours(6));
    spec.resources.gpus_up_to = Some(8);
    spec.time.finish_by = Some(midnight() + TimeDelta::minutes(90));
    assert_eq!(world.submit(spec.clone()).expect_err("too late").first().map(|r| r.code.text()), Some("E044"));
    spec.flex.zones = vec!["DE".into(), "SE3".into()];
    let id = world.submit(spec.clone()).expect("accepted").id;
    assert_eq!(width(&mut world, id).gpus, 8);
    // The same after a restart, before and after the node is heard.
    world.restart();
    spec.flex.zones.clear();
    spec.time.finish_by = Some(world.now + TimeDelta::minutes(90));
    assert_eq!(world.submit(spec.clone()).expect_err("too late").first().map(|r| r.code.text()), Some("E044"));
    world.check_replay();
}

/// A little better than what is assumed of every job.
fn keen(gpus: usize, _: &str) -> f64 {
    1.9f64.powf((gpus as f64).log2())
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("NEAP_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(16);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Terms of an elastic job: minutes on its fewest GPUs, these, how many more at most, then flags for what it consents to, and
/// minutes to spare before its finish-by.
type Terms = (u32, u32, u32, (bool, bool, bool, u32), Option<u32>);

fn terms() -> impl Strategy<Value = Vec<Terms>> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), 0u32..60);
    let one = (20u32..600, 1u32..3, 0u32..8, flags, prop::option::weighted(0.6, 0u32..900));
    prop::collection::vec(one, 1..6)
}

/// What a person does to one of the jobs, or what happens, before so many minutes pass.
fn doings() -> impl Strategy<Value = Vec<(u8, usize, u32, u32)>> {
    prop::collection::vec((0u8..9, 0usize..6, 1u32..7, 5u32..240), 0..8)
}

fn minutes(minutes: u32) -> TimeDelta {
    TimeDelta::minutes(minutes.into())
}

fn spec_of(number: usize, (length, least, more, (green, pauses, drop, slowdown), spare): &Terms) -> JobSpec {
    let mut spec = elastic("H100", minutes(*length));
    spec.name = format!("train-{number}");
    (spec.resources.gpus, spec.resources.gpus_up_to) = (*least, (*more > 0).then_some(least + more));
    spec.flex.slowdown = Percent::whole(*slowdown);
    spec.flex.delay = Some(if *green { Objective::Carbon } else { Objective::None });
    spec.flex.max_delay = Some(Seconds::hours(24));
    let pause = Pause { signal: "SIGUSR1".into(), grace: Seconds(90), exit: 85 };
    spec.flex.pause = (*green && *pauses).then_some(pause);
    spec.time.finish_by = spare.map(|spare| midnight() + minutes(length + spare));
    spec.time.on_expire = if *drop { OnExpire::Drop } else { OnExpire::Run };
    spec
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn whatever_is_asked_of_elastic_jobs_plans_are_sound_and_all_of_them_end(
        terms in terms(),
        doings in doings(),
        grams in prop::collection::vec(20u64..600, 6..30),
    ) {
        let mut world = world(&grams);
        let mut ids = Vec::new();
        for (number, terms) in terms.iter().enumerate() {
            let spec = spec_of(number, terms);
            world.speeds.insert(spec.name.clone(), keen);
            ids.extend(world.submit(spec).ok().map(|job| job.id));
        }
        // Who was planned in time at first, and is left alone, ends in time: it is faster than was reckoned with.
        let in_time = |world: &mut World, id: JobId| {
            let by = world.show(id).spec.time.finish_by;
            by.filter(|by| end(world, id).is_some_and(|end| end <= *by)).map(|by| (id, by))
        };
        let promised: Vec<_> = ids.iter().filter_map(|id| in_time(&mut world, *id)).collect();
        let disturbed = !doings.is_empty();
        for (doing, which, gpus, wait) in doings {
            let Some(id) = ids.get(which % ids.len().max(1)).copied() else { break };
            let mut spec = world.show(id).spec;
            match doing {
                0 => world.restart(),
                1 => drop(world.verb(id, Ask::Hold)),
                2 => drop(world.verb(id, Ask::Release)),
                3 => drop(world.verb(id, Ask::Now { reason: None })),
                4 | 5 => {
                    spec.resources.gpus_up_to = (doing == 4).then_some(gpus + 2);
                    (spec.resources.gpus, spec.time.finish_by) = (gpus.min(4), None);
                    drop(world.verb(id, Ask::Edit { spec: Box::new(spec) }));
                }
                6 => world.grid(&curve_of(&[u64::from(wait), 300, u64::from(gpus) * 90], Grade::Forecast)),
                7 => world.exits.extend([(spec.name, 1)]),
                _ => world.executor_up = !world.executor_up,
            }
            world.pass_by(minutes(wait), minutes(5));
        }
        world.executor_up = true;
        for id in &ids {
            let _ = world.verb(*id, Ask::Release);
        }
        world.pass_by(hours(150), minutes(5));
        for id in ids {
            let job = world.show(id);
            prop_assert!(matches!(job.phase, Phase::Ended { .. }), "{job:?}");
        }
        prop_assert_eq!(world.controller.planning.refused_plans, 0);
        for (id, by) in promised.into_iter().filter(|_| !disturbed) {
            let ended = world.show(id).ended.expect("it ended");
            prop_assert!(ended <= by + minutes(10), "{id} ended {ended}, was to by {by}");
        }
        world.check_replay();
    }
}
