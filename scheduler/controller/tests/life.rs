use super::world::{World, bob, curve_of, hours, job, phase_word};
use crate::controller::{Answer, Request};
use chrono::TimeDelta;
use neap_model::grid::Grade;
use neap_model::job::{After, JobId, Retry};
use neap_model::lifecycle::{Outcome, Phase};
use neap_model::protocol::{Ask, Submit};
use neap_model::refusal::Code;
use neap_model::seconds::Seconds;

fn world() -> World {
    let mut world = World::new(2).with_grid(&curve_of(&[400], Grade::Forecast));
    world.beat();
    world
}

#[test]
fn a_job_goes_the_whole_way_and_its_energy_adds_up() {
    let mut world = world();
    let id = world.submit(job("train", hours(1))).expect("accepted").id;
    assert_eq!(phase_word(&world.show(id)), "starting");
    world.pass(hours(2));
    let done = world.show(id);
    assert_eq!(phase_word(&done), "succeeded");
    // 100 W for an hour at 400 g/kWh.
    assert_eq!(done.account.actual.energy.0, 360_000_000);
    assert_eq!(done.account.actual.emits.0, 40_000_000);
    assert_eq!(done.account.run_now, done.account.actual);
    assert_eq!(world.footers.len(), 1);
    world.check_replay();
}

#[test]
fn jobs_queue_for_room_and_keep_their_order() {
    let mut world = world();
    let ids: Vec<JobId> = (0..4).map(|n| world.submit(job(&format!("j{n}"), hours(1))).expect("accepted").id).collect();
    world.pass(TimeDelta::minutes(5));
    let words: Vec<_> = ids.iter().map(|id| phase_word(&world.show(*id))).collect();
    assert_eq!(words, ["running", "running", "queued", "queued"]);
    let third = world.show(ids[2]).decision.expect("decided");
    assert_eq!(third.because().expect("it waits").code(), "capacity.cpus");
    world.pass(hours(3));
    assert!(ids.iter().all(|id| phase_word(&world.show(*id)) == "succeeded"));
    assert!(world.started[&ids[2]][0] < world.started[&ids[3]][0] + TimeDelta::seconds(1));
    world.check_replay();
}

#[test]
fn a_hold_keeps_and_a_release_lets_go() {
    let mut world = world();
    let mut spec = job("held", hours(1));
    spec.hold = true;
    let id = world.submit(spec).expect("accepted").id;
    world.pass(hours(1));
    let held = world.show(id);
    assert_eq!(phase_word(&held), "held");
    assert_eq!(held.decision.expect("decided").because().expect("it waits").code(), "you.hold");
    world.verb(id, Ask::Release).expect("released");
    world.pass(hours(2));
    assert_eq!(phase_word(&world.show(id)), "succeeded");
    world.check_replay();
}

#[test]
fn a_cancel_ends_what_waits_at_once_and_what_runs_soon() {
    let mut world = world();
    let running = world.submit(job("running", hours(5))).expect("accepted").id;
    world.pass(TimeDelta::minutes(2));
    let ask = Ask::Cancel { reason: Some("typo".into()) };
    assert_eq!(phase_word(&world.verb(running, ask.clone()).expect("asked")), "stopping");
    world.pass(TimeDelta::minutes(2));
    assert_eq!(phase_word(&world.show(running)), "cancelled");
    // Again, because the answer was lost: no error, nothing changes.
    assert_eq!(phase_word(&world.verb(running, ask.clone()).expect("asked")), "cancelled");
    let refused = world.verb(JobId(99), ask).expect_err("there is no such job");
    assert_eq!(refused[0].code, Code::NoSuchJob);
    world.check_replay();
}

#[test]
fn a_lost_attempt_is_tried_again_and_only_so_often() {
    let mut world = world();
    let mut spec = job("lossy", hours(5));
    spec.retry = Retry::UpTo(1);
    let id = world.submit(spec).expect("accepted").id;
    for loss in 1..=2 {
        world.pass(TimeDelta::minutes(5));
        assert_eq!((phase_word(&world.show(id)), world.show(id).attempts), ("running", loss));
        world.node_forgets();
        world.beat();
    }
    let lost = world.show(id);
    assert!(matches!(lost.phase, Phase::Ended { outcome: Outcome::Lost, .. }), "{:?}", lost.phase);
    assert_eq!(world.started[&id].len(), 2);
    world.check_replay();
}

#[test]
fn a_silent_executor_loses_nothing() {
    let mut world = world();
    let id = world.submit(job("quiet", hours(5))).expect("accepted").id;
    world.pass(TimeDelta::minutes(5));
    world.executor_up = false;
    world.pass(hours(2));
    assert_eq!(phase_word(&world.show(id)), "running");
    let waiting = world.submit(job("later", hours(1))).expect("accepted");
    assert_eq!(phase_word(&waiting), "queued");
    world.executor_up = true;
    world.pass(hours(4));
    assert_eq!(phase_word(&world.show(id)), "succeeded");
    assert_eq!(world.started[&id].len(), 1);
    assert_eq!(phase_word(&world.show(waiting.id)), "succeeded");
    world.check_replay();
}

#[test]
fn jobs_that_come_after_others_wait_for_them_or_die_with_them() {
    let mut world = world();
    world.exits.insert("bad".into(), 3);
    let good = world.submit(job("good", hours(1))).expect("accepted").id;
    let bad = world.submit(job("bad", hours(1))).expect("accepted").id;
    let mut after = |on, any| {
        let mut spec = job("after", hours(1));
        spec.after = vec![After { job: on, any }];
        world.submit(spec).expect("accepted").id
    };
    let (after_good, after_bad, after_any) = (after(good, false), after(bad, false), after(bad, true));
    let mut chain = job("chain", hours(1));
    chain.after = vec![After { job: after_bad, any: false }];
    let chained = world.submit(chain).expect("accepted").id;
    assert_eq!(world.show(after_good).decision.expect("decided").because().expect("waits").code(), "you.dependency");
    world.pass(hours(4));
    let word = |world: &mut World, id| phase_word(&world.show(id));
    assert_eq!(word(&mut world, after_good), "succeeded");
    assert_eq!(word(&mut world, after_bad), "cancelled");
    assert_eq!(word(&mut world, chained), "cancelled");
    assert_eq!(word(&mut world, after_any), "succeeded");
    let mut spec = job("after", hours(1));
    spec.after = vec![After { job: JobId(77), any: true }];
    assert_eq!(world.submit(spec).expect_err("there is no job 77")[0].code, Code::NoSuchJob);
    world.check_replay();
}

#[test]
fn a_restart_forgets_nothing() {
    let mut world = world();
    let running = world.submit(job("running", hours(5))).expect("accepted").id;
    let filler = world.submit(job("filler", hours(5))).expect("accepted").id;
    let waiting = world.submit(job("waiting", hours(1))).expect("accepted").id;
    world.pass(TimeDelta::minutes(10));
    world.restart();
    world.grid(&curve_of(&[400], Grade::Forecast));
    assert_eq!(phase_word(&world.show(running)), "running");
    assert_eq!(phase_word(&world.show(waiting)), "queued");
    let next = world.submit(job("next", hours(1))).expect("accepted").id;
    assert_eq!(next, JobId(4));
    world.pass(hours(8));
    for id in [running, filler, waiting, next] {
        assert_eq!(phase_word(&world.show(id)), "succeeded");
        assert_eq!(world.started[&id].len(), 1);
    }
}

#[test]
fn a_key_gives_the_same_job_or_none() {
    let mut world = world();
    let submit = |world: &mut World, by, name: &str, key: &str| {
        world.ask(by, Request::Submit(Box::new(Submit { spec: job(name, hours(1)), key: key.into() })))
    };
    let Ok(Answer::Accepted(first)) = submit(&mut world, bob(), "one", "k") else { panic!("accepted") };
    let Ok(Answer::Accepted(again)) = submit(&mut world, bob(), "one", "k") else { panic!("accepted") };
    assert_eq!((first.job.id, again.job.id, again.deduplicated), (JobId(1), JobId(1), true));
    let other = submit(&mut world, bob(), "two", "k").expect_err("another job under that key");
    assert_eq!(other[0].code, Code::KeyReused);
    // Keys are personal.
    let Ok(Answer::Accepted(mine)) = submit(&mut world, super::world::ada(), "two", "k") else { panic!("accepted") };
    assert_eq!(mine.job.id, JobId(2));
    world.check_replay();
}

#[test]
fn other_peoples_jobs_cannot_be_seen_or_touched() {
    let mut world = world();
    let Ok(Answer::Accepted(job)) =
        world.ask(bob(), Request::Submit(Box::new(Submit { spec: job("his", hours(1)), key: "k".into() })))
    else {
        panic!("accepted")
    };
    let refused = world.verb(job.job.id, Ask::Cancel { reason: None }).expect_err("not hers");
    assert_eq!(refused[0].code, Code::NoSuchJob);
}

#[test]
fn a_job_that_takes_longer_than_its_limit_times_out() {
    let mut world = world();
    let mut spec = job("long", hours(1));
    spec.time.limit = Some(Seconds::hours(1));
    world.takes.insert("long".into(), hours(9));
    let id = world.submit(spec).expect("accepted").id;
    world.pass(hours(2));
    assert_eq!(phase_word(&world.show(id)), "timeout");
}

#[test]
fn gpus_are_given_by_name_and_never_twice() {
    let mut world = World::new(8)
        .with_gpus(&[("GPU-a", "A100-80GB"), ("GPU-b", "H100-80GB"), ("GPU-c", "H100-80GB")])
        .with_grid(&curve_of(&[400], Grade::Forecast));
    world.beat();
    let gpus = |world: &mut World, count, models: &[&str]| {
        let mut spec = job("gpu", hours(1));
        spec.resources.gpus = count;
        spec.resources.gpu_model = models.iter().map(|m| (*m).to_owned()).collect();
        world.submit(spec).map(|job| job.gpus)
    };
    assert_eq!(gpus(&mut world, 1, &["H100"]).expect("accepted"), ["GPU-b"]);
    assert_eq!(gpus(&mut world, 1, &["H100", "A100"]).expect("accepted"), ["GPU-c"]);
    assert_eq!(gpus(&mut world, 1, &["H100", "A100"]).expect("accepted"), ["GPU-a"]);
    assert!(gpus(&mut world, 1, &[]).expect("accepted").is_empty());
    let refused = gpus(&mut world, 4, &["H100"]).expect_err("there are two");
    assert_eq!(refused[0].code, Code::NoNodeEver);
}
