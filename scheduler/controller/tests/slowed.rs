//! Starts at a limit where watts are short. The node draws 460 W idle; a job of one core and one GPU adds 305 W with its board as
//! found at 300 W, and 245 W at 240 W, where the job `hungry` takes least energy within a tenth. A board without a lease is left
//! at 150 W, on a shared feeder.

use super::capping::hungry;
use super::notices::{announce, cap, root};
use super::world::*;
use crate::config::{Config, PowerDomain, WhenOver};
use chrono::TimeDelta;
use neap_model::cap::Uncapped;
use neap_model::grid::Grade;
use neap_model::job::JobId;
use neap_model::lifecycle::{JobEvent, Phase};
use neap_model::notice::Announcement;
use neap_model::protocol::Ask;
use neap_model::units::{Percent, Watts};
use proptest::prelude::*;

pub(super) const SECOND: TimeDelta = TimeDelta::seconds(1);
pub(super) const SAFE: Watts = Watts::whole(150);

pub(super) fn row(watts: u64) -> PowerDomain {
    PowerDomain {
        name: "row".into(),
        nodes: vec!["n1".into()],
        cap: Some(Watts::whole(watts)),
        when_over: vec![WhenOver::CapGpus, WhenOver::StopStarting],
        min_gpu_cap: Percent::whole(50),
        ramp: None,
    }
}

/// Takes least energy at 240 W beside its core, and more below: 210 W are a quarter slower than 300 W.
fn bent(limit: Option<Watts>) -> (f64, f64) {
    let limit = limit.map_or(300.0, |limit| limit.0 as f64 / 1e3).min(300.0);
    let rate = if limit >= 240.0 { 10.0 - (300.0 - limit) / 120.0 } else { 9.5 - (240.0 - limit) / 20.0 };
    (rate.max(0.5), limit)
}

/// A world under that limit, in which one job of either kind ran to its end when there was more.
pub(super) fn taught(under: PowerDomain, safe: Option<Watts>) -> World {
    let gpus = [("GPU-a", "A"), ("GPU-b", "A"), ("GPU-c", "A"), ("GPU-d", "A")];
    let mut world = World::of(Config { power_domains: vec![row(2_000)], ..config() }, 8).with_gpus(&gpus).with_helper();
    world.on_feeder(safe);
    world.paces.insert("hungry".into(), hungry);
    world.paces.insert("bent".into(), bent);
    world.beat();
    world.grid(&curve_of(&[300], Grade::Forecast));
    let first = [submit(&mut world, 10), submit_bent(&mut world, 30)];
    world.pass(hours(4) + hours(2));
    assert!(first.iter().all(|id| world.show(*id).phase.is_final()));
    world.restart_as(Config { power_domains: vec![under], ..config() });
    world.grid(&curve_of(&[300], Grade::Forecast));
    world.beat();
    world.pass_by(SECOND * 5, SECOND);
    world
}

fn submit(world: &mut World, slowdown: u32) -> JobId {
    submit_as(world, "hungry", slowdown)
}

pub(super) fn submit_bent(world: &mut World, slowdown: u32) -> JobId {
    submit_as(world, "bent", slowdown)
}

fn submit_as(world: &mut World, name: &str, slowdown: u32) -> JobId {
    let mut spec = job(name, hours(4));
    spec.resources.gpus = 1;
    spec.flex.slowdown = Percent::whole(slowdown);
    world.submit(spec).expect("accepted").id
}

pub(super) fn runs(world: &World, id: JobId) -> bool {
    matches!(world.controller.state().jobs[&id].phase, Phase::Running { .. })
}

pub(super) fn slowed(world: &World, id: JobId) -> Option<Watts> {
    world.controller.state().jobs[&id].slowed
}

/// What could be drawn, if boards went to what they are left at without a lease, too.
pub(super) fn could_be_drawn(world: &World) -> Watts {
    let gpus = world.in_force();
    let cores = gpus.len() as u64;
    let work: Watts = gpus.iter().map(|(_, limit)| (*limit).max(SAFE)).sum();
    Watts::whole(160 + 80 * cores + 75 * (4 - cores)) + work
}

pub(super) fn within(world: &World, watts: u64) {
    let groups = world.controller.power_groups(world.now);
    let committed = groups[0].committed;
    let could = could_be_drawn(world);
    assert!(committed <= Watts::whole(watts) && could <= committed, "{could} of {committed} at {}", world.now);
}

#[test]
fn two_start_slowed_where_there_are_watts_for_one_at_full_power() {
    let mut world = taught(row(950), Some(SAFE));
    let (first, second, third) = (submit(&mut world, 10), submit(&mut world, 10), submit(&mut world, 10));
    // Everything is spoken for before the node has heard of it.
    assert_eq!((slowed(&world, first), slowed(&world, second)), (Some(Watts::whole(240)), Some(Watts::whole(240))));
    assert_eq!(slowed(&world, third), None);
    within(&world, 950);
    world.pass_by(SECOND * 30, SECOND);
    assert!(runs(&world, first) && runs(&world, second) && !runs(&world, third));
    assert_eq!((world.cap(first), world.cap(second)), (Some(Watts::whole(240)), Some(Watts::whole(240))));
    assert!(world.held_first.contains(&first) && world.held_first.contains(&second));
    for _ in 0..600 {
        world.pass_by(SECOND, SECOND);
        within(&world, 950);
    }
    // However late the node is heard after a restart.
    world.executor_up = false;
    world.restart();
    world.pass_by(SECOND * 30, SECOND);
    world.executor_up = true;
    for _ in 0..120 {
        world.pass_by(SECOND, SECOND);
        assert!(could_be_drawn(&world) <= Watts::whole(950), "{}", could_be_drawn(&world));
    }
    assert!(runs(&world, first) && runs(&world, second) && !runs(&world, third));
    world.grid(&curve_of(&[300], Grade::Forecast));
    world.pass(hours(5));
    assert!(world.show(first).phase.is_final() && runs(&world, third), "{:?}", world.show(third).phase);
    world.check_replay();
}

#[test]
fn a_restart_before_the_node_heard_of_it_holds_it_all_the_same() {
    let mut world = taught(row(950), Some(SAFE));
    world.executor_up = false;
    let (first, second) = (submit(&mut world, 10), submit(&mut world, 10));
    assert!(matches!(world.show(first).phase, Phase::Leased { .. }));
    world.restart();
    world.pass_by(SECOND * 3, SECOND);
    world.executor_up = true;
    for _ in 0..60 {
        world.pass_by(SECOND, SECOND);
        assert!(could_be_drawn(&world) <= Watts::whole(950), "{}", could_be_drawn(&world));
    }
    within(&world, 950);
    assert!(runs(&world, first) && runs(&world, second));
    assert!(world.held_first.contains(&first) && world.held_first.contains(&second));
    world.check_replay();
}

/// Between two words of the helper its boards stand where it brought them.
#[test]
fn a_shared_feeder_has_room_for_more_than_safe_caps() {
    let mut world = taught(row(2_000), Some(SAFE));
    let strict = submit(&mut world, 0);
    world.pass_by(SECOND * 30, SECOND);
    let gpu = |world: &World| world.in_force()[0].1;
    assert_eq!((world.cap(strict), gpu(&world)), (Some(Watts::whole(300)), Watts::whole(300)), "asked for");
    within(&world, 2_000);
    // Who found them where they had been brought is asked what was found before.
    world.brought_down(SAFE);
    world.beat();
    let known = &world.controller.state().nodes["n1"].inventory.gpus;
    assert!(known.iter().all(|gpu| gpu.limit == Watts::whole(300)), "{known:?}");
    // In no domain that keeps its cap by limits they stand where they are.
    world.restart_as(Config { power_domains: vec![PowerDomain { cap: None, ..row(1) }], ..config() });
    world.beat();
    let known = &world.controller.state().nodes["n1"].inventory.gpus;
    assert!(known.iter().all(|gpu| gpu.limit == SAFE), "{known:?}");
    world.pass_by(SECOND * 5, SECOND);
    assert_eq!(world.cap(strict), None);
}

#[test]
fn only_where_the_limit_holds_whatever_happens() {
    let counts = |row: PowerDomain, safe: Option<Watts>| {
        let mut world = taught(row, safe);
        let jobs = [submit(&mut world, 10), submit(&mut world, 10)];
        world.pass_by(SECOND * 30, SECOND);
        jobs.map(|id| (runs(&world, id), slowed(&world, id).map(|most| most.0 / 1_000)))
    };
    assert_eq!(counts(row(950), Some(SAFE)), [(true, Some(240)); 2]);
    let one = [(true, None), (false, None)];
    assert_eq!(counts(row(950), None), one, "what was found comes back without a lease");
    assert_eq!(counts(row(950), Some(Watts::whole(300))), one);
    assert_eq!(counts(PowerDomain { when_over: vec![WhenOver::StopStarting], ..row(950) }, Some(SAFE)), one);
    let wide = PowerDomain { nodes: vec!["n1".into(), "n9".into()], ..row(950) };
    assert_eq!(counts(wide, Some(SAFE)), [(true, Some(240)); 2]);
    // It counts at what it may be left at, and no board is held below its floor.
    assert_eq!(counts(row(1_009), Some(Watts::whole(270)))[1], (false, None));
    assert_eq!(counts(row(1_010), Some(Watts::whole(270))), [(true, Some(270)); 2]);
    let high = PowerDomain { min_gpu_cap: Percent::whole(85), ..row(980) };
    assert_eq!(counts(high, Some(SAFE)), [(true, Some(255)); 2]);
}

#[test]
fn what_cannot_be_held_is_not_started_and_waits_again_without_a_loss() {
    let mut world = taught(row(710), Some(SAFE));
    world.unheld = Some(Uncapped::Foreign);
    // Board by board is tried once: each needs what it takes as found from then on.
    let id = submit(&mut world, 10);
    world.pass_by(SECOND * 30, SECOND);
    let job = world.controller.state().jobs[&id].clone();
    assert_eq!((job.phase.word(), job.losses, job.epoch.0, job.started), ("queued", 0, 1, None));
    assert!(job.history.iter().any(|entry| matches!(entry.event, JobEvent::AttemptEnded { .. })));
    assert_eq!(job.account.actual.energy.0, world.controller.state().jobs[&id].accounted.0);
    world.pass(hours(1));
    assert_eq!(
        world.show(id).attempts,
        1,
        "the model has a board that is not held first: nothing is tried over and over"
    );
    world.check_replay();
    // Its executor starts anew, and holds them.
    world.unheld = None;
    world.session_anew();
    world.pass_by(SECOND * 30, SECOND);
    assert!(runs(&world, id), "{:?}", world.show(id).phase);
    assert!(!world.resumed.contains(&id) && world.footers.iter().all(|(attempt, _)| attempt.job != id));
    within(&world, 710);
    world.check_replay();
}

#[test]
fn what_passes_is_tried_again_after_ten_minutes_and_who_is_cancelled_meanwhile_is_over() {
    let mut world = taught(row(710), Some(SAFE));
    world.unheld = Some(Uncapped::Device);
    let id = submit(&mut world, 10);
    world.pass_by(SECOND * 300, SECOND);
    assert_eq!(world.show(id).attempts, 1);
    world.unheld = None;
    world.pass(TimeDelta::minutes(11));
    assert!(runs(&world, id));
    world.verb(id, Ask::Cancel { reason: None }).expect("allowed");
    world.pass_by(SECOND * 30, SECOND);
    world.unheld = Some(Uncapped::Device);
    world.executor_up = false;
    let late = submit(&mut world, 10);
    assert!(matches!(world.show(late).phase, Phase::Leased { .. }));
    world.verb(late, Ask::Cancel { reason: None }).expect("allowed");
    world.executor_up = true;
    world.pass_by(SECOND * 30, SECOND);
    assert_eq!(world.show(late).phase.word(), "cancelled");
    world.check_replay();
}

/// Where its helper brings a board down once it is lost, a silent node counts as it did, and makes nobody else go lower.
#[test]
fn a_silent_node_counts_at_what_it_was_told_where_its_boards_are_brought_down() {
    for (safe, counts) in [(Some(SAFE), 240), (Some(Watts::whole(260)), 260), (None, 300)] {
        let mut world = taught(row(1_100), safe);
        let (id, other) = (submit(&mut world, 30), submit(&mut world, 30));
        world.pass_by(SECOND * 30, SECOND);
        assert!(runs(&world, id) && runs(&world, other));
        let until = Some(world.now + hours(2));
        announce(&mut world, root(), Announcement { site: Some("row".into()), until, ..cap("dr", 1, 950) }, false)
            .expect("taken");
        world.pass_by(SECOND * 30, SECOND);
        let told = world.cap(id).expect("held").0 / 1_000;
        assert!((200..=240).contains(&told), "{told}");
        world.executor_up = false;
        let committed = |world: &World| world.controller.power_groups(world.now)[0].committed;
        for second in 0..600 {
            world.pass_by(SECOND, SECOND);
            assert!(could_be_drawn(&world) <= committed(&world));
            if second > 25 {
                let board = if counts == 240 { told } else { counts };
                assert_eq!(
                    committed(&world),
                    Watts::whole(160 + 80 * 2 + 75 * 2 + 2 * board),
                    "{safe:?} after {second} s"
                );
            }
        }
        // It takes what it was told again, and is told anything else only then.
        (world.executor_up, world.lapsed) = (true, true);
        for _ in 0..2 {
            world.pass_by(SECOND, SECOND);
            let lower = safe != Some(SAFE);
            assert!(
                lower || (world.cap(id), committed(&world)) == (Some(Watts::whole(told)), Watts::whole(470 + 2 * told))
            );
        }
        world.lapsed = false;
        world.pass_by(SECOND * 5, SECOND);
        let board = world.cap(id).expect("held").0 / 1_000;
        assert_eq!(committed(&world), Watts::whole(160 + 80 * 2 + 75 * 2 + 2 * board));
        assert!(board <= told + 1 && committed(&world) <= Watts::whole(950));
        world.check_replay();
    }
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn what_could_be_drawn_stays_under_the_limit_whatever_happens(
        watts in 700u64..1_700,
        acts in prop::collection::vec((0u8..8, 1i64..90), 1..20),
    ) {
        let mut world = taught(row(watts), Some(SAFE));
        for (act, seconds) in acts {
            match act {
                0 | 1 => drop(submit_bent(&mut world, 30)),
                2 => drop(submit(&mut world, 10)),
                3 => drop(submit(&mut world, 0)),
                4 => world.restart(),
                5 => world.executor_up = !world.executor_up,
                6 => world.unheld = if world.unheld.is_some() { None } else { Some(Uncapped::Device) },
                _ => {
                    let live = world.controller.state().live.iter().next().copied();
                    if let Some(id) = live {
                        drop(world.verb(id, Ask::Cancel { reason: None }));
                    }
                }
            }
            for second in 0..seconds {
                world.pass_by(SECOND, SECOND);
                let could = could_be_drawn(&world);
                prop_assert!(could <= Watts::whole(watts), "{could} of {watts} W, {second} s after act {act}");
                // Whoever is not heard counts at no less than his boards can go to.
                let committed = world.controller.power_groups(world.now)[0].committed;
                prop_assert!(could <= committed, "{could} of {committed}, {second} s after act {act}");
            }
        }
        world.check_replay();
    }
}
