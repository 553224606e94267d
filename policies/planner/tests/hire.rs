//! What GPU-hours cost: which GPUs a job gets that goes by money, when it waits for cheaper ones, and what it is told.

use super::money::{priced, thrifty};
use super::{at, audit, check, clock, node, occupant};
use crate::hardware::{Kind, Need, Scaling, Weights, choose};
use crate::problem::{Job, Policy, Problem, Tariff, Way};
use crate::{alternatives, plan};
use neap_model::job::JobId;
use neap_model::plan::{Decision, Verdict};
use neap_model::reason::Reason;
use neap_model::seconds::Seconds;
use neap_model::units::{Money, Watts};
use proptest::prelude::*;
use std::sync::Arc;

fn euro(units: f64) -> Money {
    Money::from_base(units).expect("a price")
}

fn way(model: &str, gpus: u32, minutes: u64) -> Way {
    let watts = Some(Watts::whole(1_000));
    Way { model: model.to_owned(), gpus, length: Seconds::minutes(minutes), limit: None, watts, rank: 0, short: false }
}

/// An H100 takes an hour of it, an A100 two.
fn either(id: u64, hours: u64) -> Job {
    let mut job = thrifty(id, 120, hours);
    job.ways = Arc::new([way("H100", 1, 60), way("A100", 1, 120)]);
    job
}

/// An H100 and an A100, energy at these prices per MWh, GPUs at these an hour.
fn two(prices: &[i64], hours: &[(&str, f64)], jobs: impl IntoIterator<Item = Job>) -> Problem {
    let mut scene = priced(prices, jobs);
    scene.site.nodes.push(node("b", "DE", 1, "A100"));
    charge(&mut scene, hours);
    scene
}

fn charge(scene: &mut Problem, hours: &[(&str, f64)]) {
    let prices = scene.site.zones[0].prices.clone().expect("a tariff");
    let gpu_hours = hours.iter().map(|(model, units)| ((*model).to_owned(), euro(*units))).collect();
    scene.site.zones[0].prices = Some(Arc::new(Tariff { gpu_hours, ..(*prices).clone() }));
}

/// `a 0:00 to 1:00`, with a star where it waits for money.
fn placed(scene: &Problem) -> String {
    let made = plan(scene, &Policy::default());
    assert_eq!(audit(scene, &made), vec![], "{made:#?}");
    said(&made.decisions[&JobId(1)])
}

fn said(decision: &Decision) -> String {
    let expected = decision.expected.expect("it is planned");
    let node = match &decision.verdict {
        Verdict::Start { place, .. } | Verdict::Hold { place: Some(place), .. } => place.node.clone(),
        Verdict::Hold { place: None, .. } => "nowhere".to_owned(),
    };
    let star = if decision.is_planned() { " *" } else { "" };
    format!("{node} {} to {}{star}", clock(expected.start), clock(expected.end))
}

#[test]
fn the_most_work_per_cost_is_taken_of_what_is_free() {
    let at = |h100: f64, a100: f64| placed(&two(&[100; 8], &[("H100", h100), ("A100", a100)], [either(1, 4)]));
    // With their energy of 0.10 and 0.20: 3.10 against 2.80, and 2.50 against 2.80.
    assert_eq!(at(3.0, 1.3), "b 0:00 to 2:00");
    assert_eq!(at(2.4, 1.3), "a 0:00 to 1:00");
    // Without prices of GPUs energy alone decides.
    assert_eq!(placed(&two(&[100; 8], &[], [either(1, 4)])), "a 0:00 to 1:00");
}

#[test]
fn a_model_without_a_price_is_never_taken_for_being_cheap() {
    let at = |hours: &[(&str, f64)]| placed(&two(&[100; 8], hours, [either(1, 4)]));
    // The A100 counts at 3, too: 3.10 against 6.20.
    assert_eq!(at(&[("H100", 3.0)]), "a 0:00 to 1:00");
    // The longest beginning that fits counts, and an empty one fits all.
    assert_eq!(at(&[("", 1.3), ("H", 1.2), ("H100", 3.0)]), "b 0:00 to 2:00");
}

#[test]
fn gpus_that_cost_more_than_their_energy_are_no_reason_not_to_wait_for_a_cheap_hour() {
    let mut scene = two(&[80, 80, 20, 80, 80, 80], &[("H100", 3.0)], [thrifty(1, 60, 4)]);
    scene.site.nodes.truncate(1);
    check(&scene, &["1 waits until 2:00 on a: grid.cheaper_later 3.0200 EUR instead of 3.0800 EUR"]);
    let made = plan(&scene, &Policy::default());
    let Some(Reason::CheaperLater { costs, .. }) = made.decisions[&JobId(1)].because() else { panic!("{made:?}") };
    let gpus = costs.gpus.expect("they have a price");
    assert_eq!((gpus.costs, gpus.instead_of), (euro(3.0), euro(3.0)));
    assert_eq!(costs.asked_ratio().map(|ratio| (ratio * 100.0).round()), Some(75.0), "of what energy costs");
    assert_eq!(costs.ratio().map(|ratio| (ratio * 100.0).round()), Some(2.0));
}

#[test]
fn it_waits_for_cheaper_gpus_as_it_does_for_cheaper_hours() {
    let busy = |until: i64, hours: u64| {
        let mut scene = two(&[100; 9], &[("H100", 3.0), ("A100", 1.0)], [either(1, hours)]);
        scene.occupants = vec![occupant(9, "b", &[0], until)];
        placed(&scene)
    };
    assert_eq!(busy(90, 4), "b 1:30 to 3:30 *");
    // Past the longest delay it takes what there is.
    assert_eq!(busy(250, 4), "a 0:00 to 1:00");
}

#[test]
fn where_energy_has_no_price_the_gpus_have() {
    let mut scene = two(&[], &[("H100", 3.0), ("A100", 1.3)], [either(1, 4)]);
    assert_eq!(placed(&scene), "b 0:00 to 2:00");
    charge(&mut scene, &[("H100", 2.5), ("A100", 1.3)]);
    assert_eq!(placed(&scene), "a 0:00 to 1:00");
}

#[test]
fn prices_below_zero_do_not_make_hungry_gpus_dear() {
    // An hour of 1 kW earns 0.10: 2.00 − 0.10 against 2.05 − 0.20.
    let scene = |a100: f64| two(&[-100; 8], &[("H100", 2.0), ("A100", a100 / 2.0)], [either(1, 4)]);
    assert_eq!(placed(&scene(2.05)), "b 0:00 to 2:00");
    assert_eq!(placed(&scene(2.15)), "a 0:00 to 1:00");
}

#[test]
fn all_ways_are_shown_with_what_they_cost() {
    let scene = two(&[100; 8], &[("H100", 3.0), ("A100", 1.3)], [either(1, 4)]);
    let made = plan(&scene, &Policy::default());
    let rows = alternatives(&made, &scene.site, &Policy::default(), &scene.waiting[0]);
    let all: Vec<_> = rows
        .iter()
        .filter(|row| row.outlook.start == at(0))
        .map(|row| (row.place.node.as_str(), row.chosen, row.cost.as_ref().map(|cost| (cost.energy, cost.gpus))))
        .collect();
    let cost = |energy, gpus| Some((Some(euro(energy)), Some(euro(gpus))));
    assert_eq!(all, [("b", true, cost(0.2, 2.6)), ("a", false, cost(0.1, 3.0))]);
}

proptest! {
    /// Alone on an empty site a job that goes by money gets the kind and width of the most work per cost, energy included:
    /// what `hardware::choose` finds by another road.
    #[test]
    fn alone_it_gets_the_most_work_per_cost(
        offers in prop::collection::vec((20u64..400, 100u64..900, 0u32..500, 1u32..5, 50u32..100), 1..4),
        price in 0i64..400,
    ) {
        let (mut scene, mut job) = (priced(&[price; 200], []), thrifty(1, 1, 4));
        scene.site.nodes.clear();
        let (mut kinds, mut hours, mut ways) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (minutes, watts, cents, gpus, efficiency)) in offers.into_iter().enumerate() {
            let (model, keeps) = (format!("G{index}"), f64::from(efficiency) / 100.0);
            let mut machine = node(&model, "DE", gpus, &model);
            machine.cpus = 64;
            scene.site.nodes.push(machine);
            hours.push((model.clone(), euro(f64::from(cents) / 100.0)));
            // In whole seconds, as ways are.
            let length = |width: u32| {
                let speed_up = (2.0 * keeps).powf(f64::from(width).log2());
                Seconds(((minutes * 60) as f64 / speed_up).ceil() as u64)
            };
            let speed_ups = (1..=gpus).map(|width| (width, (minutes * 60) as f64 / length(width).0 as f64)).collect();
            ways.extend((1..=gpus).map(|width| Way {
                length: length(width),
                watts: Some(Watts::whole(watts)),
                ..way(&model, width, 1)
            }));
            kinds.push(Kind {
                name: model,
                work_per_hour: 60.0 / minutes as f64,
                watts: watts as f64,
                cost_per_hour: f64::from(cents) / 100.0,
                available: gpus,
                scaling: Scaling::SpeedUp(speed_ups),
            });
        }
        (job.length, job.gpus) = (ways.iter().map(|way| way.length).max().expect("one"), 1);
        job.ways = ways.into();
        let hours: Vec<(&str, f64)> = hours.iter().map(|(model, price)| (model.as_str(), price.in_base())).collect();
        charge(&mut scene, &hours);
        scene.waiting = vec![Arc::new(job)];
        let made = plan(&scene, &Policy::default());
        let width = made.decisions[&JobId(1)].width.clone().expect("a choice");
        let weights = Weights { cost: 1.0, kwh: price as f64 / 1e3 };
        let need = Need { work: 1.0, within_hours: None };
        let best = choose(&kinds, need, weights).best.expect("one");
        let kind = kinds.iter().position(|kind| kind.name == width.model).expect("on offer");
        let got = crate::hardware::fit(&kinds, kind, width.gpus, 1.0, weights).expect("known");
        prop_assert!(got.measure <= best.measure * (1.0 + 1e-6) + 1e-9, "{width:?} {got:?} {best:?}");
    }
}
