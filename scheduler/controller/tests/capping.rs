//! Limits of GPUs: found by a job's own steps, kept through restarts, used again, and never without consent.

use super::notices::{announce, root};
use super::world::*;
use chrono::TimeDelta;
use neap_model::cap::CapReason;
use neap_model::embodied::Factors;
use neap_model::grid::Grade;
use neap_model::job::{JobId, JobSpec};
use neap_model::lifecycle::JobEvent;
use neap_model::notice::Announcement;
use neap_model::seconds::Seconds;
use neap_model::units::{Percent, Watts};

/// A board found at 300 W whose power is 40 + 260·x³ W at speed x; below the limit it gives all it has.
pub(super) fn hungry(limit: Option<Watts>) -> (f64, f64) {
    let limit = limit.map_or(300.0, |limit| limit.0 as f64 / 1e3);
    let speed = ((limit.min(300.0) - 40.0) / 260.0).cbrt();
    (10.0 * speed, limit.min(300.0))
}

/// Waits for its input: the limit changes nothing down to 120 W.
fn waiting(limit: Option<Watts>) -> (f64, f64) {
    let limit = limit.map_or(300.0, |limit| limit.0 as f64 / 1e3);
    (if limit < 120.0 { 5.0 * limit / 120.0 } else { 5.0 }, limit.min(118.0))
}

fn spec(name: &str, slowdown: u32) -> JobSpec {
    let mut spec = job(name, hours(4));
    spec.resources.gpus = 1;
    spec.flex.slowdown = Percent::whole(slowdown);
    spec
}

pub(super) fn world() -> World {
    let mut world = World::new(8).with_gpus(&[("GPU-a", "A"), ("GPU-b", "A")]).with_helper();
    world.paces.insert("hungry".into(), hungry);
    world.paces.insert("waiting".into(), waiting);
    world.beat();
    world
}

pub(super) fn submit(world: &mut World, name: &str, slowdown: u32) -> JobId {
    let id = world.submit(spec(name, slowdown)).expect("accepted").id;
    world.pass(TimeDelta::seconds(30));
    id
}

fn decisions(world: &World, id: JobId) -> usize {
    let job = &world.controller.state().jobs[&id];
    job.history.iter().filter(|entry| matches!(entry.event, JobEvent::Capped { .. })).count()
}

#[test]
fn a_job_is_held_where_it_takes_least_energy_within_its_slowdown() {
    let mut world = world();
    let id = submit(&mut world, "hungry", 10);
    assert_eq!(world.cap(id), None, "it is watched as it was found first");
    world.pass(hours(1));
    let capped = world.show(id).capped.expect("decided");
    let limit = capped.limit.expect("a limit");
    let CapReason::LeastEnergy { time, energy, slowdown } = capped.because else { panic!("{capped:?}") };
    // 10 % slower is speed 0.909: 235 W. The rung below is beyond it, the one above is not.
    assert_eq!((limit, slowdown), (Watts::whole(240), Percent::whole(10)));
    let speed = hungry(Some(limit)).0 / 10.0;
    assert!((time.ratio() - 1.0 / speed).abs() < 0.01 && time <= Percent::whole(110), "{time}");
    assert!((energy.ratio() - 240.0 / 300.0 / speed).abs() < 0.01, "{energy}");
    assert_eq!((world.cap(id), decisions(&world, id)), (Some(limit), 1));
    world.pass(hours(1));
    assert_eq!((world.cap(id), decisions(&world, id)), (Some(limit), 1), "nothing moves any more");
    world.check_replay();
}

#[test]
fn without_consent_steps_or_helper_nothing_is_held() {
    let mut world = world();
    let (strict, silent) = (submit(&mut world, "hungry", 0), submit(&mut world, "silent", 25));
    world.pass(hours(1));
    for id in [strict, silent] {
        assert_eq!((world.cap(id), world.show(id).capped), (None, None), "job {id}");
    }
    let mut world = World::new(8).with_gpus(&[("GPU-a", "A")]);
    world.paces.insert("hungry".into(), hungry);
    world.beat();
    let id = submit(&mut world, "hungry", 10);
    world.pass(hours(1));
    assert_eq!((world.cap(id), world.show(id).capped), (None, None));
}

#[test]
fn a_job_that_waits_for_its_input_goes_as_low_as_costs_no_time() {
    let mut world = world();
    let id = submit(&mut world, "waiting", 5);
    world.pass(hours(1));
    let capped = world.show(id).capped.expect("decided");
    assert!(matches!(capped.because, CapReason::LeastEnergy { time, .. } if time <= Percent::whole(105)), "{capped:?}");
    world.check_replay();
}

#[test]
fn what_was_learned_is_used_at_the_next_start_and_after_a_restart() {
    let mut world = world();
    let first = submit(&mut world, "hungry", 10);
    world.pass(hours(4) + hours(1));
    assert!(world.show(first).phase.is_final());
    let second = submit(&mut world, "hungry", 10);
    assert_eq!(world.cap(second), Some(Watts::whole(240)), "from its first second");
    world.restart();
    world.beat();
    assert_eq!(world.cap(second), Some(Watts::whole(240)));
    world.pass(hours(1));
    assert_eq!((world.cap(second), decisions(&world, second)), (Some(Watts::whole(240)), 1));
    // Another slowdown: what is known of the rungs it needs is not watched anew.
    let third = submit(&mut world, "hungry", 25);
    world.pass(hours(1));
    assert!(world.cap(third).expect("held") < Watts::whole(240));
}

#[test]
fn a_search_that_hears_no_more_steps_goes_back_to_what_was_found() {
    let mut world = world();
    let id = submit(&mut world, "hungry", 10);
    world.pass(TimeDelta::minutes(2));
    assert!(world.cap(id).is_some(), "it is being watched");
    world.paces.clear();
    world.pass(hours(1));
    assert_eq!((world.cap(id), world.show(id).capped), (None, None));
}

#[test]
fn another_phase_is_watched_anew() {
    let mut world = world();
    let id = submit(&mut world, "hungry", 10);
    world.pass(hours(1));
    assert_eq!(decisions(&world, id), 1);
    world.paces.insert("hungry".into(), |limit| (hungry(limit).0 * 2.0, hungry(limit).1));
    world.pass(hours(1));
    let job = &world.controller.state().jobs[&id];
    let highest = job.cap_points.last().expect("points");
    assert_eq!((decisions(&world, id) >= 1, highest.steps_per_kilosecond), (true, 20_000));
    assert_eq!(world.cap(id), Some(Watts::whole(240)));
    world.check_replay();
}

#[test]
fn an_operators_limit_for_a_node_holds_for_everybody_and_ends() {
    let mut world = world();
    let (id, strict) = (submit(&mut world, "hungry", 10), submit(&mut world, "strict", 0));
    world.pass(hours(1));
    let cap = Announcement {
        id: "heat".into(),
        revision: 1,
        site: Some("n1".into()),
        kind: "gpu_cap".into(),
        limit_watts: Some(200),
        share: None,
        from: None,
        until: Some(world.now + TimeDelta::minutes(30)),
        priority: None,
        reason: "cooling".into(),
    };
    let elsewhere = Announcement { site: Some("n9".into()), id: "x".into(), ..cap.clone() };
    assert!(announce(&mut world, root(), elsewhere, false).is_err());
    announce(&mut world, root(), cap, false).expect("taken");
    world.pass(TimeDelta::minutes(2));
    assert_eq!((world.cap(id), world.cap(strict)), (Some(Watts::whole(200)), Some(Watts::whole(200))));
    assert!(matches!(world.show(strict).capped.expect("told").because, CapReason::Node { event } if event == "heat"));
    world.pass(hours(1));
    assert_eq!((world.cap(id), world.cap(strict)), (Some(Watts::whole(240)), None));
    assert_eq!(world.show(strict).capped.expect("told").because, CapReason::Free);
    world.check_replay();
}

/// Its executor may have been told with a beat in between.
#[test]
fn an_operators_limit_that_is_taken_back_at_once_is_in_the_history_of_who_runs_there() {
    let mut world = world();
    let strict = submit(&mut world, "strict", 0);
    world.pass(hours(1));
    let node = |id: &str, kind: &str, revision| Announcement {
        id: id.into(),
        revision,
        site: Some("n1".into()),
        kind: kind.into(),
        limit_watts: Some(200),
        share: None,
        from: None,
        until: Some(world.now + TimeDelta::minutes(30)),
        priority: None,
        reason: "cooling".into(),
    };
    let (set, off) = (node("heat", "gpu_cap", 1), node("heat", "cancel", 2));
    world.now += TimeDelta::milliseconds(300);
    announce(&mut world, root(), set, false).expect("taken");
    world.beat();
    assert_eq!(world.cap(strict), Some(Watts::whole(200)), "it is told before any time passes");
    world.now += TimeDelta::milliseconds(300);
    announce(&mut world, root(), off, false).expect("taken back");
    world.beat();
    assert_eq!(world.cap(strict), None);
    let history = &world.controller.state().jobs[&strict].history;
    let told: Vec<_> = history
        .iter()
        .filter_map(|entry| match &entry.event {
            JobEvent::Capped { limit, because, .. } => Some((*limit, because.code())),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(Some(Watts::whole(200)), "power.node_cap"), (None, "power.free")]);
    world.check_replay();
}

#[test]
fn on_a_clean_grid_the_making_of_the_hardware_makes_a_job_go_faster() {
    let limit = |grams, stated: bool| {
        let mut site = config();
        let life = Seconds::hours(4 * 365 * 24);
        let gpu = "1000 kg".parse().ok();
        site.embodied = stated.then(|| Factors { gpu, core: None, life, source: "a label".into() });
        let mut world = World::of(site, 8).with_gpus(&[("GPU-a", "A"), ("GPU-b", "A")]).with_helper();
        world.paces.insert("hungry".into(), hungry);
        world.grid(&curve_of(&[grams], Grade::Measured));
        world.beat();
        let id = submit(&mut world, "hungry", 30);
        world.pass(hours(1));
        world.show(id).capped.expect("decided").limit.map_or(300.0, Watts::in_base)
    };
    // 28.5 g an hour are 40 W at 713 g/kWh, and 1.4 kW at 20.
    let (dirty, clean) = (limit(700, true), limit(20, true));
    assert!(dirty < clean && limit(20, false) <= dirty, "{dirty} {clean} {}", limit(20, false));
    assert_eq!(clean, 300.0, "slower would cost more than it saves");
}
