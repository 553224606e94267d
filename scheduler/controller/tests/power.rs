//! Power under feeders and announced limits. A node of 8 cores draws 160 W idle here, each core with work 80 W more.

use super::notices::{announce, cap, root};
use super::world::*;
use crate::config::{Config, PeakGpus, PowerDomain, WhenOver};
use chrono::TimeDelta;
use neap_model::job::JobId;
use neap_model::lifecycle::Phase;
use neap_model::notice::Announcement;
use neap_model::plan::Verdict;
use neap_model::protocol::Ask;
use neap_model::reason::Reason;
use neap_model::units::{Percent, Watts};

fn under(watts: u64) -> Config {
    let row = PowerDomain {
        name: "row".into(),
        nodes: vec!["n1".into()],
        cap: Some(Watts::whole(watts)),
        when_over: vec![WhenOver::StopStarting],
        min_gpu_cap: Percent::whole(50),
        ramp: None,
    };
    Config { power_domains: vec![row], ..config() }
}

fn runs(world: &mut World, id: JobId) -> bool {
    matches!(world.show(id).phase, Phase::Running { .. })
}

fn waits_for_power(world: &mut World, id: JobId) -> Option<(Watts, Watts, Option<String>)> {
    match world.show(id).decision.and_then(|decision| decision.because().cloned()) {
        Some(Reason::Power { needs, free, event, .. }) => Some((needs, free, event)),
        _ => None,
    }
}

/// When it is told to start, in minutes from midnight.
fn told(world: &mut World, id: JobId) -> Option<i64> {
    let decision = world.show(id).decision.expect("it waits");
    let Verdict::Hold { until, .. } = &decision.verdict else { panic!("{decision:?}") };
    assert_eq!(decision.blockers.first().and_then(|blocker| blocker.clears), *until);
    until.map(|until| (until - midnight()).num_minutes())
}

fn submit(world: &mut World, name: &str, cpus: u32) -> JobId {
    submit_for(world, name, cpus, 1)
}

fn submit_for(world: &mut World, name: &str, cpus: u32, long: i64) -> JobId {
    let mut spec = job(name, hours(long));
    spec.resources.cpus = Some(cpus);
    let id = world.submit(spec).expect("accepted").id;
    world.pass(TimeDelta::seconds(30));
    id
}

/// What is committed never passes the limit in force.
fn within(world: &World) {
    for group in world.controller.power_groups(world.now) {
        assert!(group.limit.is_none_or(|limit| group.committed <= limit), "{group:?}");
    }
}

#[test]
fn nothing_starts_that_would_pass_the_limit_and_power_given_back_is_used() {
    let mut world = World::of(under(500), 8);
    world.beat();
    let (first, second) = (submit(&mut world, "a", 2), submit(&mut world, "b", 2));
    let third = submit(&mut world, "c", 1);
    assert!(runs(&mut world, first) && runs(&mut world, second) && !runs(&mut world, third));
    assert_eq!(waits_for_power(&mut world, third), Some((Watts::whole(80), Watts::whole(20), None)));
    assert_eq!(told(&mut world, third), Some(60), "the first of them began at midnight, for an hour");
    within(&world);
    world.pass(hours(1));
    assert!(runs(&mut world, third), "the first two are over");
    within(&world);
    world.check_replay();
}

#[test]
fn whoever_finds_too_little_power_is_not_overtaken_for_ever() {
    let mut world = World::of(under(500), 8);
    world.beat();
    submit(&mut world, "a", 2);
    let large = submit(&mut world, "large", 4);
    let small = submit(&mut world, "small", 1);
    assert_eq!(waits_for_power(&mut world, large), Some((Watts::whole(320), Watts::whole(180), None)));
    let because = |world: &mut World, id| world.show(id).decision.and_then(|decision| decision.because().cloned());
    assert_eq!(because(&mut world, small), Some(Reason::Reserved { job: large }), "there is some, and it is promised");
    // The large one takes all of it for an hour.
    assert_eq!((told(&mut world, large), told(&mut world, small)), (Some(60), Some(120)));
    world.pass(hours(1));
    assert!(runs(&mut world, large) && !runs(&mut world, small));
    world.pass(hours(1) + TimeDelta::minutes(1));
    assert!(runs(&mut world, small));
}

#[test]
fn what_would_not_fit_if_nothing_else_ran_keeps_nobody_waiting() {
    let mut world = World::of(under(300), 8);
    world.beat();
    let (large, small) = (submit(&mut world, "large", 2), submit(&mut world, "small", 1));
    assert!(!runs(&mut world, large) && runs(&mut world, small));
    assert_eq!(told(&mut world, large), None, "never under this limit");
    within(&world);
}

#[test]
fn an_announced_limit_holds_until_its_end_or_until_it_is_taken_back() {
    let mut world = World::new(8);
    world.beat();
    let running = submit_for(&mut world, "a", 2, 4);
    let limit = Announcement { limit_watts: Some(350), ..cap("dr-1", 1, 0) };
    announce(&mut world, root(), limit.clone(), true).expect("taken");
    let waiting = submit_for(&mut world, "b", 1, 4);
    assert!(runs(&mut world, running), "what runs goes on");
    assert_eq!(
        waits_for_power(&mut world, waiting),
        Some((Watts::whole(80), Watts::whole(30), Some("dr-1".to_owned())))
    );
    assert_eq!(told(&mut world, waiting), Some(120), "when the announcement ends, before what runs does");
    // A person's word starts nothing above a limit either.
    world.verb(waiting, Ask::Now { reason: None }).expect("allowed");
    world.pass(TimeDelta::seconds(5));
    assert!(!runs(&mut world, waiting));
    let back = Announcement { kind: "cancel".into(), revision: 0, ..limit };
    announce(&mut world, root(), back, false).expect("known");
    world.pass(TimeDelta::seconds(5));
    assert!(runs(&mut world, waiting), "the limit was taken back");
    let again = Announcement { limit_watts: Some(350), ..cap("dr-2", 1, 0) };
    announce(&mut world, root(), again, true).expect("taken");
    let third = submit(&mut world, "c", 1);
    assert!(!runs(&mut world, third));
    world.restart();
    world.pass(TimeDelta::minutes(5));
    assert!(!runs(&mut world, third), "a restart forgets no limit");
    world.pass(hours(2));
    assert!(runs(&mut world, third), "it ended at two o'clock");
    world.check_replay();
}

#[test]
fn demand_response_leaves_a_share_of_the_usual_limit() {
    let mut world = World::of(under(500), 8);
    world.beat();
    let share = Announcement {
        kind: "demand_response".into(),
        limit_watts: None,
        share: Some(Percent::whole(60)),
        ..cap("dr", 1, 0)
    };
    announce(&mut world, root(), share, true).expect("taken");
    let limits =
        |world: &World| world.controller.power_groups(world.now).into_iter().map(|g| g.limit).collect::<Vec<_>>();
    assert_eq!(limits(&world), [Some(Watts::whole(300))]);
    let (one, two) = (submit_for(&mut world, "a", 1, 4), submit_for(&mut world, "b", 1, 4));
    assert!(runs(&mut world, one) && !runs(&mut world, two));
    world.pass(hours(2));
    assert_eq!(limits(&world), [Some(Watts::whole(500))]);
    assert!(runs(&mut world, two));
}

#[test]
fn an_elastic_job_for_whose_width_there_never_is_power_starts_narrower() {
    let gpus = [("GPU-a", "H100"), ("GPU-b", "H100"), ("GPU-c", "H100"), ("GPU-d", "H100")];
    let started = |watts| {
        let mut world = World::of(under(watts), 8).with_gpus(&gpus);
        world.beat();
        let mut spec = job("elastic", hours(1));
        (spec.resources.gpus, spec.resources.gpus_up_to) = (1, Some(4));
        let id = world.submit(spec).expect("accepted").id;
        world.pass(TimeDelta::seconds(30));
        within(&world);
        let job = world.show(id);
        let told = job.decision.and_then(|decision| decision.width).map(|width| width.gpus);
        world.check_replay();
        runs(&mut world, id).then_some((job.gpus.len(), told))
    };
    // Idle it draws 460 W; the job's core takes 80 W more, and each GPU with work 225 W.
    assert_eq!(started(1_440), Some((4, Some(4))));
    assert_eq!(started(1_439), Some((2, Some(2))));
    assert_eq!(started(989), Some((1, Some(1))));
    assert_eq!(started(764), None);
}

#[test]
fn an_elastic_job_waits_for_power_only_where_it_ends_sooner_by_that() {
    let gpus = [("GPU-a", "H100"), ("GPU-b", "H100"), ("GPU-c", "H100"), ("GPU-d", "H100")];
    // Four GPUs take all the power there is, but for what the other job has: a wait for it is worth ten minutes, not an hour.
    for (others, waits) in [(TimeDelta::minutes(10), true), (hours(1), false)] {
        let mut world = World::of(under(1_440), 8).with_gpus(&gpus);
        world.beat();
        let first = world.submit(job("other", others)).expect("accepted").id;
        world.pass(TimeDelta::seconds(30));
        let mut spec = job("elastic", hours(1));
        (spec.resources.gpus, spec.resources.gpus_up_to) = (1, Some(4));
        let id = world.submit(spec).expect("accepted").id;
        world.pass(TimeDelta::minutes(5));
        assert!(runs(&mut world, first));
        assert_eq!(waits_for_power(&mut world, id).is_some(), waits);
        world.pass(TimeDelta::minutes(6));
        assert_eq!(world.show(id).gpus.len(), if waits { 4 } else { 2 });
        within(&world);
    }
}

/// GPUs that may be in use at once in a zone.
#[test]
fn no_more_gpus_are_in_use_at_once_than_the_peak_of_a_zone() {
    let gpus = [("GPU-a", "H100"), ("GPU-b", "H100"), ("GPU-c", "A100"), ("GPU-d", "A100")];
    let mut site = config();
    site.zones[0].peak_gpus = PeakGpus { all: Some(3), by_model: [("H100".to_owned(), 1)].into() };
    let mut world = World::of(site, 8).with_gpus(&gpus);
    world.beat();
    let mut submit = |model: &str, count: u32| {
        let mut spec = job("a", hours(1));
        (spec.resources.gpus, spec.resources.gpu_model) = (count, vec![model.to_owned()]);
        let id = world.submit(spec).map(|accepted| accepted.id);
        world.pass(TimeDelta::seconds(30));
        id.expect("accepted")
    };
    let (first, second, third) = (submit("H100", 1), submit("H100", 1), submit("A100", 2));
    let (fourth, never) = (submit("A100", 1), submit("H100", 2));
    let because = |world: &mut World, id| world.show(id).decision.and_then(|decision| decision.because().cloned());
    assert!(runs(&mut world, first) && runs(&mut world, third));
    let peak = |model: Option<&str>, needs, free, limit| {
        let model = model.map(str::to_owned);
        Some(Reason::Peak { place: "DE".to_owned(), model, needs, free, limit })
    };
    assert_eq!(because(&mut world, second), peak(None, 1, 0, 3));
    assert_eq!(told(&mut world, second), Some(60));
    assert!(matches!(because(&mut world, fourth), Some(Reason::Gpus { .. })), "all of its model are busy");
    assert_eq!(because(&mut world, never), peak(Some("H100"), 2, 1, 1));
    assert_eq!(told(&mut world, never), None);
    world.pass(hours(1));
    assert!(runs(&mut world, second) && runs(&mut world, fourth) && !runs(&mut world, never));
    world.check_replay();
}
