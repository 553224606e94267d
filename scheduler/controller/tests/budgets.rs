//! Power domains that lower limits. The node has 8 cores and four GPUs found at 300 W that take 100 to 400 W; it draws 160 W
//! idle, 80 W more for each core with work, and 75 W for a GPU without.

use super::notices::{announce, cap, root};
use super::world::*;
use crate::config::{Config, PowerDomain, WhenOver};
use chrono::TimeDelta;
use neap_model::cap::CapReason;
use neap_model::job::JobId;
use neap_model::lifecycle::Phase;
use neap_model::notice::Announcement;
use neap_model::units::{Percent, Watts};
use proptest::prelude::*;

const SECOND: TimeDelta = TimeDelta::seconds(1);

fn row() -> World {
    let row = PowerDomain {
        name: "row".into(),
        nodes: vec!["n1".into()],
        cap: Some(Watts::whole(2_000)),
        when_over: vec![WhenOver::CapGpus, WhenOver::PauseFlexible, WhenOver::StopStarting],
        min_gpu_cap: Percent::whole(50),
        ramp: None,
    };
    let gpus = [("GPU-a", "A"), ("GPU-b", "A"), ("GPU-c", "A"), ("GPU-d", "A")];
    let mut world = World::of(Config { power_domains: vec![row], ..config() }, 8).with_gpus(&gpus).with_helper();
    world.beat();
    world
}

fn submit(world: &mut World, gpus: u32, slowdown: u32) -> JobId {
    let mut spec = job(&format!("job-{gpus}-{slowdown}"), hours(20));
    spec.resources.gpus = gpus;
    spec.flex.slowdown = Percent::whole(slowdown);
    let id = world.submit(spec).expect("accepted").id;
    world.pass_by(SECOND * 3, SECOND);
    id
}

fn call(world: &mut World, id: &str, revision: u64, watts: u64, hours_on: i64) {
    let announcement =
        Announcement { site: Some("row".into()), until: Some(world.now + hours(hours_on)), ..cap(id, revision, watts) };
    announce(world, root(), announcement, false).expect("taken");
}

/// What could be drawn: hosts, idle GPUs, and GPUs with work at the limits in force on them.
fn drawn(world: &World) -> Watts {
    let busy = world.in_force();
    let cores = world.controller.state().jobs.values().filter(|job| job.phase.attempt().is_some()).count() as u64;
    let gpus: Watts = busy.iter().map(|(_, limit)| *limit).sum();
    Watts::whole(160 + 80 * cores + 75 * (4 - busy.len() as u64)) + gpus
}

fn runs(world: &mut World, id: JobId) -> bool {
    matches!(world.show(id).phase, Phase::Running { .. })
}

#[test]
fn a_call_slows_whom_it_may_tells_him_and_gives_everything_back() {
    let mut world = row();
    let (tolerant, strict) = (submit(&mut world, 2, 25), submit(&mut world, 1, 0));
    assert_eq!((world.cap(tolerant), world.cap(strict)), (None, None), "there is room for all");
    assert_eq!(drawn(&world), Watts::whole(160 + 160 + 75 + 900));
    // 80 % speed is 240 W by the limit alone: both fit, and a little is left.
    call(&mut world, "dr-1", 1, 1_240, 2);
    world.pass_by(SECOND * 3, SECOND);
    let limit = world.cap(tolerant).expect("held");
    assert!(limit >= Watts::whole(240) && limit < Watts::whole(300), "{limit}");
    assert_eq!(world.cap(strict), None);
    assert!(drawn(&world) <= Watts::whole(1_240), "{}", drawn(&world));
    let capped = world.show(tolerant).capped.expect("told");
    let CapReason::Domain { domain, limit: at, event, time } = capped.because else { panic!("{capped:?}") };
    assert_eq!((domain.as_str(), at, event.as_deref()), ("row", Watts::whole(1_240), Some("dr-1")));
    assert_eq!(time, None, "nobody measured it");
    // A restart of the scheduler lets go of nothing, nor does it take more, however late the node is heard.
    world.restart();
    world.executor_up = false;
    world.pass_by(SECOND * 2, SECOND);
    world.executor_up = true;
    assert_eq!(world.controller.state().jobs[&tolerant].capped.as_ref().and_then(|(limit, _)| *limit), Some(limit));
    for _ in 0..20 {
        world.pass_by(SECOND, SECOND);
        assert!(drawn(&world) <= Watts::whole(1_240), "{}", drawn(&world));
        assert_eq!((world.cap(tolerant), world.cap(strict)), (Some(limit), None));
    }
    // Nothing new starts while it lasts.
    let late = submit(&mut world, 1, 0);
    world.pass_by(SECOND * 30, SECOND);
    assert!(!runs(&mut world, late));
    world.pass(hours(2));
    world.pass_by(SECOND * 120, SECOND);
    assert!(runs(&mut world, late), "there is room again");
    assert_eq!((world.cap(tolerant), world.cap(strict)), (None, None), "everything is given back");
    assert!(matches!(world.show(tolerant).capped.expect("told").because, CapReason::Free));
    world.check_replay();
}

#[test]
fn a_limit_below_all_consents_slows_the_strict_last_and_nobody_below_the_floor() {
    let mut world = row();
    let (tolerant, strict) = (submit(&mut world, 2, 25), submit(&mut world, 1, 0));
    call(&mut world, "dr-1", 1, 1_050, 2);
    world.pass_by(SECOND * 5, SECOND);
    assert_eq!(world.cap(strict), None, "{:?}", world.cap(tolerant));
    assert!(world.cap(tolerant).expect("held") < Watts::whole(240));
    assert!(drawn(&world) <= Watts::whole(1_050), "{}", drawn(&world));
    call(&mut world, "dr-1", 2, 600, 2);
    world.pass_by(SECOND * 5, SECOND);
    let floor = Some(Watts::whole(150));
    assert_eq!((world.cap(tolerant), world.cap(strict)), (floor, floor));
    world.check_replay();
}

/// Between two looks at the domain a board goes from a job that was held low to one that nobody told anything.
#[test]
fn a_board_counts_at_its_most_for_the_next_job_from_its_lease_on() {
    let mut world = row();
    let slow = submit(&mut world, 4, 50);
    call(&mut world, "dr-1", 1, 1_050, 2);
    world.pass_by(SECOND * 5, SECOND);
    let limit = world.cap(slow).expect("held");
    assert!(limit < Watts::whole(210) && drawn(&world) <= Watts::whole(1_050));
    let next = submit(&mut world, 4, 0);
    announce(&mut world, root(), Announcement { kind: "cancel".into(), ..cap("dr-1", 2, 1) }, false).expect("taken");
    world.verb(slow, neap_model::protocol::Ask::Cancel { reason: None }).expect("allowed");
    while !runs(&mut world, next) {
        world.beat();
        let group = world.controller.power_groups(world.now)[0].clone();
        let holds = world.controller.state().jobs[&next].phase.attempt().is_some();
        let most = if holds { Watts::whole(160 + 80 + 4 * 300) } else { Watts::ZERO };
        assert!(group.committed >= most, "{} of {most}", group.committed);
    }
    world.pass_by(SECOND * 5, SECOND);
    assert_eq!(drawn(&world), Watts::whole(160 + 80 + 4 * 300));
    world.check_replay();
}

#[test]
fn what_somebody_else_sets_counts_at_its_most() {
    let mut world = row();
    let (first, second) = (submit(&mut world, 1, 25), submit(&mut world, 1, 25));
    world.foreign.push(world.controller.state().jobs[&first].gpus[0].clone());
    call(&mut world, "dr-1", 1, 1_000, 2);
    world.pass_by(SECOND * 10, SECOND);
    assert!(drawn(&world) <= Watts::whole(1_000), "{} {:?}", drawn(&world), world.cap(second));
    assert!(world.cap(second).expect("held") < Watts::whole(250));
    world.check_replay();
}

#[test]
fn who_may_be_paused_rests_while_consents_do_not_fit_and_goes_on_after_it() {
    let mut world = row();
    let strict = submit(&mut world, 2, 0);
    let mut spec = job("flexible", hours(20));
    spec.resources.gpus = 2;
    spec.flex.pause =
        Some(neap_model::job::Pause { signal: "SIGUSR1".into(), grace: neap_model::seconds::Seconds(90), exit: 85 });
    let flexible = world.submit(spec).expect("accepted").id;
    world.pass_by(SECOND * 3, SECOND);
    assert!(runs(&mut world, strict) && runs(&mut world, flexible));
    call(&mut world, "dr-1", 1, 1_100, 2);
    world.pass_by(SECOND * 10, SECOND);
    assert!(runs(&mut world, flexible), "it is slowed first");
    assert!(world.cap(flexible).is_some() && drawn(&world) <= Watts::whole(1_100));
    world.pass_by(SECOND * 120, SECOND);
    assert!(matches!(world.show(flexible).phase, Phase::Paused { .. }), "{:?}", world.show(flexible).phase);
    assert!(runs(&mut world, strict) && world.cap(strict).is_none(), "the other one has all it consented to");
    world.pass(hours(1));
    assert!(matches!(world.show(flexible).phase, Phase::Paused { .. }));
    world.pass(hours(2));
    assert!(runs(&mut world, flexible), "there is power again");
    world.check_replay();
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn what_could_be_drawn_is_under_the_limit_soon_after_every_change(
        jobs in prop::collection::vec((1u32..=2, prop::sample::select(vec![0u32, 10, 25, 50])), 1..4),
        calls in prop::collection::vec((600u64..2_000, 5i64..400, 0u8..6, prop::option::of(0u64..600)), 1..8),
        foreign in prop::option::of(0usize..4),
    ) {
        let mut world = row();
        let jobs: Vec<JobId> = jobs.into_iter().map(|(gpus, slowdown)| submit(&mut world, gpus, slowdown)).collect();
        if let Some(gpu) = foreign {
            world.foreign.push(["GPU-a", "GPU-b", "GPU-c", "GPU-d"][gpu].into());
        }
        for (revision, (watts, seconds, luck, draws)) in calls.into_iter().enumerate() {
            call(&mut world, "dr", revision as u64 + 1, watts, 4);
            // What one of them draws from now on, as far as it may; or its meter is silent.
            let id = jobs[usize::from(luck) % jobs.len()];
            match draws {
                Some(watts) => drop(world.draws.insert(id, Watts::whole(watts))),
                None => drop(world.draws.remove(&id)),
            }
            if luck == 0 {
                world.restart();
            }
            for second in 0..seconds {
                world.pass_by(SECOND, SECOND);
                let floor = world.in_force().iter().all(|(gpu, limit)| {
                    world.foreign.contains(gpu) || *limit <= Watts::whole(150)
                });
                prop_assert!(
                    second < 3 || floor || drawn(&world) <= Watts::whole(watts),
                    "{} of {} W after {} s: {:?}", drawn(&world), watts, second, world.in_force()
                );
            }
        }
        world.check_replay();
    }
}

/// What is announced for the whole site reaches the GPUs of domains that lower limits.
#[test]
fn a_limit_of_the_whole_site_lowers_limits_too() {
    let mut world = row();
    let tolerant = submit(&mut world, 3, 40);
    let before = drawn(&world);
    let announcement = Announcement { site: None, until: Some(world.now + hours(2)), ..cap("site-1", 1, 1_000) };
    announce(&mut world, root(), announcement, false).expect("taken");
    world.pass_by(SECOND * 3, SECOND);
    assert!(before > Watts::whole(1_000) && drawn(&world) <= Watts::whole(1_000), "{before} {}", drawn(&world));
    let capped = world.show(tolerant).capped.expect("told");
    let CapReason::Domain { event, .. } = capped.because else { panic!("{capped:?}") };
    assert_eq!(event.as_deref(), Some("site-1"));
    let off = Announcement { kind: "cancel".into(), ..cap("site-1", 0, 1) };
    announce(&mut world, root(), off, false).expect("taken back");
    world.pass_by(TimeDelta::minutes(5), SECOND);
    assert_eq!((world.cap(tolerant), drawn(&world)), (None, before));
}

#[test]
fn watts_that_a_job_does_not_draw_are_given_to_one_that_can_use_them() {
    let mut world = row();
    let (waits, works) = (submit(&mut world, 2, 25), submit(&mut world, 2, 25));
    call(&mut world, "dr-1", 1, 1_250, 4);
    world.pass_by(SECOND * 30, SECOND);
    let alike = [world.cap(waits), world.cap(works)].map(|limit| limit.expect("held"));
    assert!(alike[0].0.abs_diff(alike[1].0) < 20_000, "{alike:?}");
    // One was metered to draw 130 W whatever it may, the other all that it may.
    world.draws.extend([(waits, Watts::whole(130)), (works, Watts::whole(400))]);
    for _ in 0..300 {
        world.pass_by(SECOND, SECOND);
        assert!(drawn(&world) <= Watts::whole(1_250), "{}", drawn(&world));
    }
    let (less, more) = (world.cap(waits).expect("held"), world.cap(works));
    assert!(less < Watts::whole(200) && less >= Watts::whole(130), "{less}");
    assert!(more.is_none_or(|limit| limit >= Watts::whole(280)), "{more:?}");
    // It begins to work: what it draws shows that its limit holds it down now, and both are alike again.
    world.draws.insert(waits, Watts::whole(400));
    for _ in 0..600 {
        world.pass_by(SECOND, SECOND);
        assert!(drawn(&world) <= Watts::whole(1_250), "{}", drawn(&world));
    }
    let again = [world.cap(waits), world.cap(works)].map(|limit| limit.unwrap_or(Watts::whole(300)));
    assert!(again[0].0.abs_diff(again[1].0) < 20_000, "{again:?}");
    // A meter that falls silent leaves both at what they are told, and nothing above the budget.
    world.draws.clear();
    world.pass_by(SECOND * 60, SECOND);
    assert!(drawn(&world) <= Watts::whole(1_250), "{}", drawn(&world));
    world.check_replay();
}

#[test]
fn a_meter_that_tells_more_than_limits_allow_slows_nobody() {
    let mut world = row();
    let (strict, tolerant) = (submit(&mut world, 2, 0), submit(&mut world, 1, 25));
    call(&mut world, "dr-1", 1, 1_400, 4);
    world.pass_by(SECOND * 30, SECOND);
    assert_eq!((world.cap(strict), world.cap(tolerant)), (None, None), "there is room for all");
    for watts in [Watts::whole(5_000), Watts(u64::MAX)] {
        for _ in 0..60 {
            let gpus = ["GPU-a", "GPU-b", "GPU-c"].map(|gpu| (gpu.to_owned(), watts));
            world.controller.budgets.drew(world.now, &gpus.into());
            world.pass_by(SECOND, SECOND);
            assert_eq!((world.cap(strict), world.cap(tolerant)), (None, None), "{watts}");
        }
    }
    world.check_replay();
}
