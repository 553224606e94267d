//! Zones of one site whose curves measure different things.

use super::world::{World, ada, curve_of, hours, job};
use crate::controller::{Answer, Input, Request, ZoneCurve};
use neap_model::grid::{Basis, Grade, Kind, Scope};
use neap_model::job::Objective;

/// A clean zone far away, counted in a way of its own.
fn elsewhere(basis: Basis) -> ZoneCurve {
    let mut curve = curve_of(&[30, 30, 5], Grade::Forecast);
    curve.curve.origins[0].basis = basis;
    curve
}

fn site(basis: Basis) -> World {
    let mut world = World::new(4);
    let curves = [("DE", curve_of(&[400, 400, 300], Grade::Forecast)), ("SE3", elsewhere(basis))];
    let curves = curves.into_iter().map(|(zone, curve)| (zone.to_owned(), curve)).collect::<Vec<_>>();
    world.step(Input::Grid { curves, troubles: Vec::new() });
    world.beat();
    world
}

/// What status says about it, and what is said to somebody whose job may run in both.
fn said(world: &mut World) -> (Option<String>, Option<String>) {
    let mut spec = job("anywhere", hours(1));
    (spec.flex.delay, spec.flex.zones) = (Some(Objective::Carbon), vec!["DE".to_owned(), "SE3".to_owned()]);
    let id = world.submit(spec).expect("accepted").id;
    let Ok(Answer::Status(status)) = world.ask(ada(), Request::Status) else { panic!("no status") };
    let mode = status.degraded.into_iter().find(|mode| mode.mode == "unlike_zones").map(|mode| mode.detail);
    let job = world.controller.state().jobs[&id].clone();
    (mode, world.controller.why(&job, world.now).not_compared)
}

#[test]
fn zones_that_measure_different_things_are_named_and_told_apart() {
    let marginal = Basis { kind: Kind::Marginal, scope: Scope::Direct, ..Basis::default() };
    let mut world = site(marginal);
    let kinds = "DE: average lifecycle; SE3: marginal direct";
    let status = format!("not compared with each other, jobs wait within one kind: {kinds}");
    assert_eq!(said(&mut world), (Some(status), Some(kinds.to_owned())));
    let basis =
        |world: &World| world.controller.planning().site.zones.iter().map(|zone| zone.basis).collect::<Vec<_>>();
    assert_eq!(basis(&world), [0, 1]);
    world.check_replay();
    // Of other factors, not of another accounting.
    let mut world = site(Basis { factors: Some("unece-2022".into()), ..Basis::default() });
    assert!(said(&mut world).1.is_some_and(|text| text.ends_with("SE3: average lifecycle (unece-2022)")));
    let mut world = site(Basis { accounting: neap_model::grid::Accounting::Consumption, ..Basis::default() });
    assert_eq!((said(&mut world), basis(&world)), ((None, None), vec![0, 0]));
}
