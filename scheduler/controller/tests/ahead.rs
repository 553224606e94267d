//! Limits that are announced for later, and how much starts within a minute. The node has 8 cores; it draws 160 W idle, 80 W more
//! for each core with work, and 75 W for a GPU without.

use super::notices::{announce, cap, root};
use super::world::*;
use crate::config::{Config, PowerDomain, Ramp, WhenOver};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::job::JobId;
use neap_model::lifecycle::Phase;
use neap_model::notice::Announcement;
use neap_model::plan::Verdict;
use neap_model::reason::Reason;
use neap_model::units::{Percent, Watts};

fn row(cap: Option<u64>, when_over: &[WhenOver], ramp: Option<Ramp>) -> Config {
    let row = PowerDomain {
        name: "row".into(),
        nodes: vec!["n1".into()],
        cap: cap.map(Watts::whole),
        when_over: when_over.to_vec(),
        min_gpu_cap: Percent::whole(50),
        ramp,
    };
    Config { power_domains: vec![row], ..config() }
}

fn runs(world: &mut World, id: JobId) -> bool {
    matches!(world.show(id).phase, Phase::Running { .. })
}

fn because(world: &mut World, id: JobId) -> Option<Reason> {
    world.show(id).decision.and_then(|decision| decision.because().cloned())
}

fn until(world: &mut World, id: JobId) -> Option<DateTime<Utc>> {
    match world.show(id).decision.expect("it waits").verdict {
        Verdict::Hold { until, .. } => until,
        Verdict::Start { .. } => None,
    }
}

fn submit(world: &mut World, name: &str, (cpus, gpus): (u32, u32), length: TimeDelta) -> JobId {
    let mut spec = job(name, length);
    (spec.resources.cpus, spec.resources.gpus) = (Some(cpus), gpus);
    let id = world.submit(spec).expect("accepted").id;
    world.pass(TimeDelta::seconds(30));
    id
}

/// From one to three o'clock.
fn call(world: &mut World, site: Option<&str>, watts: u64) {
    let announcement = Announcement {
        site: site.map(str::to_owned),
        from: Some(midnight() + hours(1)),
        until: Some(midnight() + hours(3)),
        ..cap("dr", 1, watts)
    };
    announce(world, root(), announcement, false).expect("taken");
}

#[test]
fn a_limit_announced_for_later_is_planned_around() {
    // For the domain, its zone or the whole site.
    for site in [Some("row"), Some("DE"), None] {
        let mut world = World::of(row(Some(500), &[WhenOver::StopStarting], None), 8);
        world.beat();
        call(&mut world, site, 250);
        let long = submit(&mut world, "long", (2, 0), hours(2));
        let Some(Reason::Power { needs, free, limit, event, from, .. }) = because(&mut world, long) else {
            panic!("{site:?}")
        };
        assert_eq!((needs, free, limit), (Watts::whole(160), Watts::whole(90), Watts::whole(250)));
        assert_eq!((event.as_deref(), from), (Some("dr"), Some(midnight() + hours(1))));
        let short = submit(&mut world, "short", (2, 0), TimeDelta::minutes(30));
        let small = submit(&mut world, "small", (1, 0), hours(4));
        let running = [long, short, small].map(|id| runs(&mut world, id));
        assert_eq!(running, [false, true, true], "{site:?}: 80 W are left by then, and are for whoever takes no more");
        assert_eq!(until(&mut world, long), Some(midnight() + hours(3)), "when it ends");
        for _ in 0..200 {
            world.pass(TimeDelta::minutes(1));
            for group in world.controller.power_groups(world.now) {
                assert!(group.limit.is_none_or(|limit| group.committed <= limit), "{group:?}");
            }
        }
        assert!(runs(&mut world, long));
        world.check_replay();
    }
}

#[test]
fn where_gpus_are_lowered_by_then_a_job_that_can_be_held_under_it_starts() {
    let four = [("GPU-a", "A"), ("GPU-b", "A"), ("GPU-c", "A"), ("GPU-d", "A")];
    // Two GPUs and a core: 990 W as found, 690 W with both at half.
    let starts = |limit: u64, helper: bool| {
        let config = row(Some(2_000), &[WhenOver::CapGpus, WhenOver::StopStarting], None);
        let mut world = World::of(config, 8).with_gpus(&four);
        if helper {
            world = world.with_helper();
        }
        world.beat();
        call(&mut world, Some("row"), limit);
        let id = submit(&mut world, "job", (1, 2), hours(2));
        runs(&mut world, id)
    };
    assert!(starts(1_000, false) && !starts(800, false), "without a helper nothing is lowered");
    assert!(starts(800, true) && !starts(600, true));
}

#[test]
fn no_more_is_started_within_a_minute_than_the_ramp_of_a_domain() {
    // 80 W a core: three cores a minute, or one job that takes more by itself.
    for ramp in [Ramp::Power(Watts::whole(250)), Ramp::Share(Percent::whole(25))] {
        let mut world = World::of(row(Some(1_000), &[WhenOver::StopStarting], Some(ramp)), 8);
        world.beat();
        let all: Vec<JobId> = [1, 1, 1, 1, 4]
            .iter()
            .map(|cpus| {
                let mut spec = job("job", hours(1));
                spec.resources.cpus = Some(*cpus);
                world.submit(spec).expect("accepted").id
            })
            .collect();
        world.pass_by(TimeDelta::seconds(5), TimeDelta::seconds(1));
        let running = |world: &mut World| all.iter().map(|id| runs(world, *id)).collect::<Vec<_>>();
        assert_eq!(running(&mut world), [true, true, true, false, false]);
        let (needs, started, limit) = (Watts::whole(80), Watts::whole(240), Watts::whole(250));
        let domain = "row".to_owned();
        assert_eq!(because(&mut world, all[3]), Some(Reason::Ramp { domain, needs, started, limit }));
        // Nobody overtakes who was told to wait.
        world.pass_by(TimeDelta::seconds(70), TimeDelta::seconds(1));
        assert_eq!(running(&mut world), [true, true, true, true, false]);
        world.pass_by(TimeDelta::seconds(80), TimeDelta::seconds(1));
        assert_eq!(running(&mut world), [true; 5], "alone in its minute");
        let started: Vec<DateTime<Utc>> = all.iter().filter_map(|id| world.show(*id).started).collect();
        for (from, cpus) in started.iter().zip([1, 1, 1, 1, 4]) {
            let within = started.iter().zip([1, 1, 1, 1, 4]);
            let within = within.filter(|(at, _)| *at >= from && **at - *from < TimeDelta::seconds(55));
            let sum: u64 = within.map(|(_, cpus)| 80 * cpus).sum();
            assert!(sum <= 250 || sum == 80 * cpus, "{sum} W");
        }
        world.check_replay();
    }
}
