//! Jobs that consented to pauses: they rest in dirty hours, lose nothing, and keep their promises.

use super::world::{World, curve_of, hours, job, midnight, phase_word};
use chrono::TimeDelta;
use neap_model::grid::Grade;
use neap_model::job::{JobId, JobSpec, Objective, Pause};
use neap_model::lifecycle::JobEvent;
use neap_model::protocol::Ask;
use neap_model::seconds::Seconds;

/// Two clean hours, four dirty ones, again and again.
const COMB: [u64; 6] = [100, 100, 500, 500, 500, 500];

fn pausable(length: i64, delay: u64) -> JobSpec {
    let mut spec = job("train", hours(length));
    spec.flex.delay = Some(Objective::Carbon);
    spec.flex.max_delay = Some(Seconds::hours(delay));
    spec.flex.pause = Some(Pause { signal: "SIGUSR1".into(), grace: Seconds(90), exit: 85 });
    spec
}

fn world() -> World {
    let mut world = World::new(4).with_grid(&curve_of(&COMB, Grade::Forecast));
    world.beat();
    world
}

fn pauses(world: &mut World, id: JobId) -> usize {
    let job = &world.controller.state().jobs[&id];
    job.history
        .iter()
        .filter(|entry| matches!(&entry.event, JobEvent::AttemptEnded { end, .. } if end.paused().is_some()))
        .count()
}

#[test]
fn a_pausable_job_runs_in_the_clean_hours_only() {
    let mut world = world();
    let id = world.submit(pausable(4, 24)).expect("accepted").id;
    world.pass(hours(1));
    assert_eq!(phase_word(&world.show(id)), "running");
    let why = world.show(id).decision.expect("it was decided");
    assert_eq!(why.runs.len(), 2, "{why:?}");
    world.pass(hours(2));
    let resting = world.show(id);
    assert_eq!(phase_word(&resting), "paused");
    assert_eq!(resting.decision.expect("planned").start(), Some(midnight() + hours(6)));
    world.pass(hours(6));
    let done = world.show(id);
    assert_eq!(phase_word(&done), "succeeded");
    let (planned, actual) = (done.account.planned.expect("told").in_base(), done.account.actual.emits.in_base());
    assert!((planned / actual - 1.0).abs() < 0.05, "planned {planned} g for the whole run, {actual} g in the end");
    assert_eq!(pauses(&mut world, id), 1);
    // 0.4 kWh at 100 g/kWh, but for the minutes an order takes here; at once it would have been two hours at 500.
    assert!(done.account.actual.emits.0 < 45_000_000, "{:?}", done.account.actual);
    assert!((115_000_000..=125_000_000).contains(&done.account.run_now.emits.0), "{:?}", done.account.run_now);
    assert_eq!(done.account.actual.energy, done.account.run_now.energy);
    assert!((4 * 3_600 - 300..=4 * 3_600).contains(&done.waited_for_grid.0), "{:?}", done.waited_for_grid);
    assert_eq!(done.account.gpu_seconds.0, 0);
    world.check_replay();
}

#[test]
fn without_consent_to_pauses_it_runs_in_one_piece() {
    let mut world = world();
    let mut spec = pausable(4, 24);
    spec.flex.pause = None;
    let id = world.submit(spec).expect("accepted").id;
    world.pass(hours(40));
    assert_eq!((phase_word(&world.show(id)), pauses(&mut world, id)), ("succeeded", 0));
}

#[test]
fn all_waiting_together_stays_within_the_delay_and_finish_by_holds() {
    let mut world = world();
    let mut spec = pausable(6, 100);
    spec.time.finish_by = Some(midnight() + hours(11));
    let by_time = world.submit(spec).expect("accepted").id;
    let by_delay = world.submit(pausable(6, 5)).expect("accepted").id;
    world.pass(hours(12));
    for id in [by_time, by_delay] {
        let done = world.show(id);
        assert_eq!(phase_word(&done), "succeeded", "job {id}");
        let ended = done.ended.expect("it is over");
        assert!(ended <= midnight() + hours(11) + TimeDelta::minutes(2), "job {id} ended {ended}");
        assert!(pauses(&mut world, id) > 0, "job {id} rested");
    }
    world.check_replay();
}

#[test]
fn a_job_that_does_not_save_its_work_is_paused_once() {
    let mut world = world();
    world.careless.push("train".into());
    let id = world.submit(pausable(4, 24)).expect("accepted").id;
    world.pass(hours(30));
    assert_eq!((phase_word(&world.show(id)), pauses(&mut world, id)), ("succeeded", 1));
    let totals = &world.controller.state().totals;
    let lost = totals.lost_work[&("batch".to_owned(), "grid.cleaner_later")];
    assert!((700_000..760_000).contains(&(lost.0 / 1_000)), "two hours at 100 W: {lost:?}");
    world.check_replay();
}

#[test]
fn a_person_goes_before_the_pause() {
    for verb in [Ask::Now { reason: None }, Ask::Cancel { reason: None }] {
        let mut world = world();
        let id = world.submit(pausable(4, 24)).expect("accepted").id;
        world.pass(hours(3));
        assert_eq!(phase_word(&world.show(id)), "paused");
        let cancels = matches!(verb, Ask::Cancel { .. });
        world.verb(id, verb).expect("asked");
        world.pass(hours(3));
        let after = world.show(id);
        assert_eq!(phase_word(&after), if cancels { "cancelled" } else { "succeeded" });
        world.check_replay();
    }
}

#[test]
fn a_paused_job_survives_a_restart() {
    let mut world = world();
    let id = world.submit(pausable(4, 24)).expect("accepted").id;
    world.pass(hours(3));
    world.restart();
    world.grid(&curve_of(&COMB, Grade::Forecast));
    world.pass(hours(6));
    assert_eq!((phase_word(&world.show(id)), world.started[&id].len()), ("succeeded", 2));
}

#[test]
fn a_feed_that_lies_pauses_nobody_past_the_promise() {
    let mut world = world();
    let ids: Vec<JobId> = (0..3)
        .map(|n| {
            let mut spec = pausable(4, 100);
            spec.time.finish_by = Some(midnight() + hours(6 + 4 * n));
            world.submit(spec).expect("accepted").id
        })
        .collect();
    for hour in 0..20usize {
        // The hours after the next are always said to be clean.
        let mut curve = [900u64; 24];
        (2..5).for_each(|ahead| curve[(hour + ahead) % 24] = 50);
        world.grid(&curve_of(&curve, Grade::Forecast));
        world.pass(hours(1));
    }
    for (n, id) in (0..).zip(ids) {
        let done = world.show(id);
        assert_eq!(phase_word(&done), "succeeded");
        // An order takes up to a minute in this world, and each start and pause is one.
        let late = done.ended.expect("over") - (midnight() + hours(6 + 4 * n));
        assert!(late <= TimeDelta::minutes(10), "job {id} is {late} late after {} pauses", pauses(&mut world, id));
        assert!(pauses(&mut world, id) <= 6);
    }
}
