use super::world::{World, curve_of, hours, job, midnight, phase_word};
use chrono::TimeDelta;
use neap_model::grid::Grade;
use neap_model::job::{JobSpec, Objective, Pause, TimeTerms};
use neap_model::plan::Verdict;
use neap_model::protocol::Ask;
use neap_model::seconds::Seconds;

/// Submits a job changed by `change` and compares the codes of the refusals.
fn check(change: impl Fn(&mut JobSpec), codes: &[&str]) {
    let mut world = World::new(2).with_grid(&curve_of(&[400], Grade::Forecast));
    world.beat();
    let mut spec = job("door", hours(2));
    change(&mut spec);
    let found: Vec<String> =
        world.submit(spec).err().unwrap_or_default().iter().map(|r| r.code.text().to_owned()).collect();
    assert_eq!(found, codes);
    world.check_replay();
}

#[test]
fn what_can_never_be_is_refused_at_the_door() {
    check(|_| {}, &[]);
    check(|s| s.queue = Some("nope".into()), &["E041"]);
    check(|s| s.flex.zones = vec!["XX".into()], &["E041"]);
    check(|s| s.resources.cpus = Some(3), &["E042"]);
    check(|s| s.resources.gpus = 1, &["E042"]);
    check(|s| s.resources.nodes = 2, &["E042"]);
    check(|s| s.time.finish_by = Some(midnight() + hours(1)), &["E044"]);
    check(|s| s.time.start_by = Some(midnight() - hours(1)), &["E045"]);
    check(|s| s.time.limit = Some(Seconds::hours(100)), &["E050"]);
    check(|s| s.time.expect = Some(Seconds::hours(90)), &["E024"]);
    check(|s| s.time.limit = Some(Seconds(0)), &["E024", "E011"]);
    check(|s| s.name = "../../etc/passwd".into(), &["E011"]);
    check(|s| s.task.command.clear(), &["E011"]);
    check(|s| s.task.workdir = "relative".into(), &["E011"]);
    check(|s| s.task.command = vec!["a\0b".into()], &["E011"]);
    check(|s| s.task.script = Some("x".repeat(600 << 10)), &["E011"]);
}

#[test]
fn every_mistake_is_told_at_once() {
    check(
        |s| {
            s.name = "a b".into();
            s.resources.nodes = 0;
            s.flex.zones = vec!["XX".into(), "YY".into()];
        },
        &["E011", "E011", "E041", "E041"],
    );
}

#[test]
fn refusals_are_counted() {
    let mut world = World::new(2).with_grid(&curve_of(&[400], Grade::Forecast));
    world.beat();
    for _ in 0..25 {
        let mut spec = job("door", hours(2));
        spec.queue = Some("nope".into());
        world.submit(spec).expect_err("refused");
    }
    let key = ("submit".to_owned(), "E041".to_owned());
    assert_eq!(world.controller.state().totals.refused.get(&key), Some(&10));
    world.pass(hours(1));
    assert_eq!(world.controller.state().totals.refused.get(&key), Some(&25));
    world.check_replay();
}

#[test]
fn a_run_that_outlives_most_others_is_expected_to_end_as_those_did_that_outlived_them_too() {
    let mut world = World::new(1);
    world.beat();
    // Nineteen runs of an hour and one of three.
    for long in std::iter::repeat_n(false, 19).chain([true]) {
        let mut spec = job("varies", hours(3));
        spec.time.expect = None;
        world.takes.insert("varies".into(), if long { hours(3) } else { hours(1) });
        world.submit(spec).expect("accepted");
        world.pass(if long { hours(3) } else { hours(1) });
        world.pass(TimeDelta::minutes(2));
    }
    let mut spec = job("varies", hours(3));
    spec.time.expect = None;
    world.submit(spec).expect("accepted");
    let next = world.submit(job("next", hours(1))).expect("accepted").id;
    let starts = |world: &mut World| {
        let now = world.now;
        match world.show(next).decision.map(|decision| decision.verdict) {
            Some(Verdict::Hold { until: Some(until), .. }) => (until - now).num_minutes(),
            other => panic!("{other:?}"),
        }
    };
    world.pass(TimeDelta::minutes(30));
    assert!((29..=31).contains(&starts(&mut world)), "{}", starts(&mut world));
    world.pass(TimeDelta::minutes(40));
    assert!((109..=111).contains(&starts(&mut world)), "{}", starts(&mut world));
}

#[test]
fn a_restart_forgets_no_length() {
    let mut world = World::new(4).with_grid(&curve_of(&[500, 500, 500, 500, 500, 500, 500, 500, 100], Grade::Forecast));
    world.beat();
    world.takes.insert("short".into(), hours(1));
    let mut spec = job("short", hours(2));
    spec.time.expect = None;
    for _ in 0..3 {
        world.submit(spec.clone()).expect("accepted");
        world.pass(hours(1) + TimeDelta::minutes(2));
    }
    (spec.flex.delay, spec.time.finish_by) = (Some(Objective::Carbon), Some(midnight() + hours(20)));
    let id = world.submit(spec).expect("accepted").id;
    let latest = |world: &mut World| world.show(id).decision.and_then(|decision| decision.latest_start);
    assert_eq!(phase_word(&world.show(id)), "planned");
    assert!(latest(&mut world) >= Some(midnight() + hours(19) - TimeDelta::minutes(2)), "{:?}", latest(&mut world));
    let before = latest(&mut world);
    world.restart();
    world.pass(TimeDelta::minutes(2));
    assert_eq!(latest(&mut world), before);
}

#[test]
fn a_length_that_was_learned_is_promised_whole_and_weighed_as_earlier_runs_were() {
    // Clean from noon to one.
    let day: Vec<u64> = (0..24).map(|hour| if hour == 12 { 100 } else { 500 }).collect();
    let mut world = World::new(4).with_grid(&curve_of(&day, Grade::Forecast));
    world.beat();
    let mut spec = job("varies", hours(8));
    spec.time.expect = None;
    let outlook = |world: &mut World, spec: &JobSpec| {
        let id = world.submit(spec.clone()).expect("accepted").id;
        let expected = world.show(id).decision.and_then(|decision| decision.expected).expect("it is planned");
        world.verb(id, Ask::Cancel { reason: None }).expect("cancelled");
        (expected.start, (expected.end - expected.start).num_minutes(), expected.energy.in_kwh())
    };
    for takes in [4, 1, 1, 1, 1] {
        world.takes.insert("varies".into(), hours(takes));
        world.submit(spec.clone()).expect("accepted");
        world.pass(hours(takes) + TimeDelta::minutes(2));
    }
    (spec.flex.delay, spec.flex.max_delay) = (Some(Objective::Carbon), Some(Seconds::hours(8)));
    let close = |energy: f64, kwh: f64| (energy / kwh - 1.0).abs() < 0.02;
    // It mostly takes an hour, and that is the clean one; four are promised. 100 W for 1.6 hours.
    let (start, minutes, energy) = outlook(&mut world, &spec);
    assert_eq!((start, (240..=242).contains(&minutes)), (midnight() + hours(12), true), "{minutes}");
    assert!(close(energy, 0.16), "{energy}");
    // What is known to take four hours has the clean one anywhere in its midst.
    let given = JobSpec { time: TimeTerms { expect: Some(Seconds::hours(4)), ..spec.time.clone() }, ..spec.clone() };
    let (start, minutes, energy) = outlook(&mut world, &given);
    assert!(start < midnight() + hours(10) && minutes == 240 && close(energy, 0.4), "{start} {minutes} {energy}");
    spec.flex.pause = Some(Pause { signal: "SIGUSR1".into(), grace: Seconds(90), exit: 85 });
    let (start, _, energy) = outlook(&mut world, &spec);
    assert!(start == midnight() + hours(12) && close(energy, 0.16), "one that may be paused, too: {start} {energy}");
}
