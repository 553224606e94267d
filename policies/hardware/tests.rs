//! Worked examples: prices, watts and speeds that can be checked by hand.

use super::{Against, Choice, Kind, Need, Scaling, Weights, choose, fit};
use proptest::prelude::*;

fn kind(name: &str, work_per_hour: f64, watts: f64, cost_per_hour: f64, scaling: Scaling) -> Kind {
    Kind { name: name.to_owned(), work_per_hour, watts, cost_per_hour, available: 8, scaling }
}

/// A fast and dear one, a slow and cheap one, and one that is neither good nor cheap.
fn three() -> Vec<Kind> {
    vec![
        kind("fast", 100.0, 700.0, 4.0, Scaling::Linear),
        kind("cheap", 40.0, 300.0, 1.0, Scaling::Linear),
        kind("poor", 20.0, 250.0, 2.0, Scaling::Linear),
    ]
}

const ANY_TIME: Need = Need { work: 400.0, within_hours: None };

fn order(choice: &Choice) -> Vec<usize> {
    choice.best.iter().map(|fit| fit.kind).chain(choice.others.iter().map(|(kind, _)| *kind)).collect()
}

#[test]
fn the_most_work_per_cost_wins_and_not_the_least() {
    // Work per cost: 25, 40, 10. The least of these, as the article prints it, would be the poor one.
    let choice = choose(&three(), ANY_TIME, Weights::COST);
    assert_eq!(order(&choice), [1, 0, 2]);
    let best = choice.best.expect("cheap");
    assert_eq!((best.width, best.hours, best.cost, best.kwh), (1, 10.0, 10.0, 3.0));
    let times: Vec<f64> =
        choice.others.iter().map(|(_, a)| if let Against::Worse { times, .. } = a { *times } else { 0.0 }).collect();
    assert_eq!(times, [1.6, 4.0]);
}

#[test]
fn energy_and_weights_choose_differently() {
    // kWh for the work: 2.8, 3.0, 5.0.
    assert_eq!(order(&choose(&three(), ANY_TIME, Weights::ENERGY)), [0, 1, 2]);
    // 16 + 2.8 w against 10 + 3 w: the fast one pays from 30 a kWh on.
    assert_eq!(order(&choose(&three(), ANY_TIME, Weights { cost: 1.0, kwh: 29.0 }))[0], 1);
    assert_eq!(order(&choose(&three(), ANY_TIME, Weights { cost: 1.0, kwh: 31.0 }))[0], 0);
}

#[test]
fn a_deadline_asks_for_width_and_width_for_scaling() {
    let mut kinds = three();
    // Four of the cheap ones at 70 % efficiency take 400 / 112 = 3.6 h; eight at half their speed 2.5 h.
    kinds[1].scaling = Scaling::Efficiency(vec![(2, 0.9), (4, 0.7), (5, 0.6), (8, 0.5)]);
    let soon = |hours: f64| Need { within_hours: Some(hours), ..ANY_TIME };
    let choice = choose(&kinds, soon(4.0), Weights::COST);
    let best = choice.best.expect("cheap");
    assert_eq!((best.kind, best.width), (1, 4), "two at 90 % take 5.6 h");
    let choice = choose(&kinds, soon(2.5), Weights::COST);
    let best = choice.best.expect("fast");
    assert_eq!((best.kind, best.width, best.hours, best.cost), (0, 2, 2.0, 16.0), "eight at half their speed cost 20");
    assert!(
        matches!(choice.others[0], (1, Against::Worse { fit, times }) if fit.width == 8 && (times - 1.25).abs() < 1e-12)
    );
    let tighter = choose(&kinds, soon(2.4), Weights::COST);
    assert_eq!(
        tighter.others,
        [(1, Against::TooSlow { width: 8, hours: 2.5 }), (2, Against::TooSlow { width: 8, hours: 2.5 })]
    );
}

#[test]
fn kinds_that_cannot_be_had_say_so() {
    let mut kinds = three();
    kinds[0].available = 0;
    kinds[1].watts = f64::NAN;
    let choice = choose(&kinds, Need { within_hours: Some(2.4), ..ANY_TIME }, Weights::COST);
    assert_eq!(choice.best, None);
    let slow = Against::TooSlow { width: 8, hours: 2.5 };
    assert_eq!(choice.others, [(0, Against::NoneAvailable), (1, Against::Unknown), (2, slow)]);
    assert_eq!(choose(&[], ANY_TIME, Weights::COST), Choice { best: None, others: vec![] });
}

#[test]
fn scaling_as_measured_and_as_modelled() {
    let up = |scaling: Scaling, width: u32| scaling.speed_up(width);
    assert_eq!(up(Scaling::Linear, 8), Some(8.0));
    assert_eq!(up(Scaling::SpeedUp(vec![(4, 3.2)]), 4), Some(3.2));
    assert_eq!(up(Scaling::SpeedUp(vec![(4, 3.2)]), 3), None, "nobody measured three");
    assert_eq!(up(Scaling::Efficiency(vec![(4, 0.75)]), 4), Some(3.0));
    // A quarter of a step on four devices: four do the work of three; on two it is 3 / (1.5 + 0.25).
    let ring = Scaling::Communication { share: 0.25, at: 4 };
    assert_eq!((up(ring.clone(), 4), up(ring.clone(), 1)), (Some(3.0), Some(1.0)));
    assert_eq!(up(ring.clone(), 2), Some(3.0 / 1.75));
    assert!(up(ring, 1000).is_some_and(|limit| limit < 12.0), "never more than all of the communication allows");
    assert_eq!(up(Scaling::Communication { share: 1.0, at: 4 }, 4), None);
}

proptest! {
    #[test]
    fn nothing_on_offer_beats_the_choice(
        offers in prop::collection::vec((1.0f64..100.0, 50.0f64..900.0, 0.0f64..9.0, 0u32..9, 0.0f64..0.5), 0..5),
        hours in prop::option::of(0.5f64..40.0),
        kwh in 0.0f64..3.0,
    ) {
        let kinds: Vec<Kind> = offers.into_iter().map(|(work, watts, cost, available, share)| {
            Kind { available, ..kind("x", work, watts, cost, Scaling::Communication { share, at: 4 }) }
        }).collect();
        let (need, weights) = (Need { work: 400.0, within_hours: hours }, Weights { cost: 1.0, kwh });
        let choice = choose(&kinds, need, weights);
        prop_assert_eq!(choice.others.len() + usize::from(choice.best.is_some()), kinds.len());
        for (index, kind) in kinds.iter().enumerate() {
            for width in 1..=kind.available {
                let other = fit(&kinds, index, width, need.work, weights).expect("a width that is modelled");
                if hours.is_none_or(|hours| other.hours <= hours) {
                    let best = choice.best.expect("this one would do");
                    prop_assert!(best.measure <= other.measure);
                    // Efficiency falls with width here, so the best is also the smallest that is in time.
                    prop_assert!(best.kind != index || best.width <= width);
                }
            }
        }
    }
}
