//! The hull against its definition, on plain and on odd offers.

use super::{Offer, hull, steps};
use proptest::prelude::*;

fn offers(points: &[(f64, f64)]) -> Vec<Offer> {
    points.iter().map(|&(work, cost)| Offer { work, cost }).collect()
}

/// The cheapest way to do `work` by mixing at most two of the offers and not running, tried one pair after the other.
fn by_trial(offers: &[Offer], work: f64) -> f64 {
    let ends: Vec<Offer> = offers.iter().copied().filter(|o| o.work > 0.0).chain([Offer::default()]).collect();
    let mut best = f64::INFINITY;
    for a in &ends {
        for b in &ends {
            if a.work <= work && work <= b.work {
                let part = if b.work > a.work { (work - a.work) / (b.work - a.work) } else { 0.0 };
                best = best.min(a.cost + part * (b.cost - a.cost));
            }
        }
    }
    best
}

/// What the steps make of it: whole ones first, a fraction of the last.
fn by_steps(offers: &[Offer], work: f64) -> f64 {
    let (mut left, mut cost) = (work, 0.0);
    for step in steps(offers) {
        let part = (left / step.work).min(1.0);
        cost += part * step.cost;
        left -= part * step.work;
        if left <= 0.0 {
            break;
        }
    }
    cost
}

#[test]
fn a_bend_in_the_wrong_direction_is_stepped_over() {
    // The second server adds little, the third much: from one to three directly.
    assert_eq!(hull(&offers(&[(1.0, 1.0), (1.2, 2.0), (2.8, 3.0), (3.0, 4.0)])), vec![0, 2, 3]);
    assert_eq!(hull(&offers(&[(1.0, 1.0), (1.5, 2.0), (2.8, 3.5)])), vec![0, 2]);
    // Three replicas that draw less than two.
    assert_eq!(hull(&offers(&[(1.0, 1.0), (1.9, 3.0), (2.7, 2.9)])), vec![0, 2]);
}

#[test]
fn odd_offers_are_not_chosen() {
    assert_eq!(hull(&[]), Vec::<usize>::new());
    assert_eq!(hull(&offers(&[(0.0, 1.0), (0.0, -1.0), (-1.0, -9.0)])), Vec::<usize>::new());
    let none = hull(&offers(&[(f64::NAN, 1.0), (1.0, f64::NAN), (f64::INFINITY, 1.0), (1.0, f64::INFINITY)]));
    assert!(none.is_empty(), "{none:?}");
    assert_eq!(hull(&offers(&[(1.0, 5.0), (1.0, 4.0), (1.0, 4.0)])), vec![1]);
    assert_eq!(hull(&offers(&[(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)])), vec![2], "on one line only the end counts");
    assert_eq!(hull(&offers(&[(2.0, 1.0), (1.0, 1.0)])), vec![0], "more for the same");
    assert_eq!(hull(&offers(&[(1.0, -1.0), (2.0, -1.5)])), vec![0, 1], "paid to run");
    assert_eq!(hull(&offers(&[(1.0, 0.0), (2.0, 0.0)])), vec![1]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_hull_is_below_all_convex_and_complete(
        points in prop::collection::vec((0.0f64..4.0, -2.0f64..9.0), 0..12),
        cells in prop::collection::vec((0u8..5, 0u8..5), 0..9),
    ) {
        // Random points, and small whole numbers that make ties and lines common.
        for points in [points, cells.into_iter().map(|(w, c)| (f64::from(w), f64::from(c))).collect()] {
            let offers = offers(&points);
            let steps = steps(&offers);
            for pair in steps.windows(2) {
                prop_assert!(pair[0].rate() < pair[1].rate() && pair[1].from == Some(pair[0].to));
            }
            prop_assert!(steps.iter().all(|s| s.work > 0.0));
            let widest = offers.iter().map(|o| o.work).fold(0.0, f64::max);
            prop_assert!((steps.iter().map(|s| s.work).sum::<f64>() - widest).abs() < 1e-9);
            for offer in offers.iter().filter(|o| o.work > 0.0) {
                prop_assert!(by_steps(&offers, offer.work) <= offer.cost + 1e-9);
            }
            for tenth in 0..=10 {
                let work = (widest * f64::from(tenth) / 10.0).min(widest);
                let (got, best) = (by_steps(&offers, work), by_trial(&offers, work));
                prop_assert!((got - best).abs() < 1e-7 * (1.0 + best.abs()), "{work}: {got} against {best}");
            }
        }
    }
}
