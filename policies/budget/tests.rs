//! The vector, and what must hold for every budget.

use super::*;
use proptest::prelude::*;

#[test]
fn the_closed_form_gives_its_vector() {
    let fit = |a, b, k| (Fit { a, b, k, error: 0.0 }, 1.0);
    let jobs = [fit(96.0, 129.0, 4.4), fit(103.0, 117.0, 6.3), fit(63.0, 103.0, 8.0)];
    let found = speeds(450.0, &jobs, &[0.4; 3]).expect("fits");
    for (found, expected) in found.iter().zip([0.9072, 0.8943, 0.9044]) {
        assert!((found - expected).abs() < 5e-5, "{found} is not {expected}");
    }
    let watts: Vec<f64> = jobs.iter().zip(&found).map(|((fit, _), x)| fit.power(*x)).collect();
    for (found, expected) in watts.iter().zip([180.05, 160.86, 109.08]) {
        assert!((found - expected).abs() < 0.006, "{found} W is not {expected} W");
    }
    assert!((found.iter().sum::<f64>() - 2.7058).abs() < 1e-4);
    assert_eq!(speeds(200.0, &jobs, &[0.4; 3]), None);
    assert_eq!(speeds(10_000.0, &jobs, &[0.4; 3]), Some(vec![1.0; 3]));
}

fn claim(weight: f64, gpus: u32, points: &[(u64, f64)]) -> Claim {
    Claim { weight, gpus, points: points.iter().map(|(watts, speed)| (Watts::whole(*watts), *speed)).collect() }
}

#[test]
fn watts_go_where_they_do_most_and_floors_come_first() {
    let hungry = claim(1.0, 1, &[(100, 0.5), (200, 0.9), (300, 1.0)]);
    let flat = claim(1.0, 1, &[(100, 0.98), (300, 1.0)]);
    let limits = |watts, claims: &[Claim]| divide(Watts::whole(watts), claims, Watts::whole(5));
    assert_eq!(limits(199, &[hungry.clone(), flat.clone()]), None);
    assert_eq!(limits(300, &[hungry.clone(), flat.clone()]), Some(vec![Watts::whole(200), Watts::whole(100)]));
    let wide = Claim { gpus: 4, ..hungry.clone() };
    assert_eq!(limits(900, &[wide, flat]), Some(vec![Watts::whole(200), Watts::whole(100)]));
    assert_eq!(limits(1_000, &[hungry]), Some(vec![Watts::whole(300)]), "no more than its highest");
    assert_eq!(limits(0, &[]), Some(Vec::new()));
}

proptest! {
    #[test]
    fn never_above_the_budget_and_within_half_a_percent_of_the_best_on_concave_curves(
        rises in proptest::collection::vec(proptest::collection::vec(0.0f64..0.3, 4), 1..4), weights in proptest::collection::vec(0.1f64..3.0, 4),
        gpus in proptest::collection::vec(1u32..3, 4), extra in 0u64..800,
    ) {
        // Concave: the rises sorted, the largest first.
        let claims: Vec<Claim> = rises.iter().enumerate().map(|(n, rises)| {
            let mut rises = rises.clone();
            rises.sort_by(|a, b| b.total_cmp(a));
            let mut speed = 0.2;
            let mut points = vec![(Watts::whole(100), speed)];
            for (step, rise) in rises.iter().enumerate() {
                speed += rise;
                points.push((Watts::whole(150 + 50 * step as u64), speed));
            }
            Claim { weight: weights[n], gpus: gpus[n], points }
        }).collect();
        let floors: u64 = claims.iter().map(|claim| 100 * u64::from(claim.gpus)).sum();
        let budget = Watts::whole(floors + extra);
        let step = Watts::whole(5);
        let limits = divide(budget, &claims, step).expect("the floors fit");
        let spent: u64 = limits.iter().zip(&claims).map(|(limit, claim)| limit.0 * u64::from(claim.gpus)).sum();
        prop_assert!(spent <= budget.0);
        let speed = |claim: &Claim, watts: f64| {
            let pair = claim.points.windows(2).find(|pair| watts <= pair[1].0.in_base()).unwrap_or(&claim.points[3..5]);
            let share = (watts - pair[0].0.in_base()) / (pair[1].0.in_base() - pair[0].0.in_base());
            claim.weight * (pair[0].1 + (pair[1].1 - pair[0].1) * share)
        };
        let ours: f64 = claims.iter().zip(&limits).map(|(claim, limit)| speed(claim, limit.in_base())).sum();
        // Everything on a grid of 5 W, by dynamic programming.
        let cells = (extra / 5) as usize;
        let mut best = vec![0.0f64; cells + 1];
        for claim in &claims {
            let mut next = vec![f64::MIN; cells + 1];
            for spent in 0..=cells {
                for given in 0..=40usize {
                    let cost = given * claim.gpus as usize;
                    if cost <= spent {
                        next[spent] = next[spent].max(best[spent - cost] + speed(claim, 100.0 + 5.0 * given as f64));
                    }
                }
            }
            best = next;
        }
        // What is left of the last step of a job with several GPUs is less than one of its steps.
        let step_worth: f64 = claims.iter().map(|claim| speed(claim, 105.0) - speed(claim, 100.0)).fold(0.0, f64::max);
        prop_assert!(ours >= best[cells] * 0.995 - step_worth, "{} of {}", ours, best[cells]);
        prop_assert_eq!(divide(budget, &claims, step), Some(limits));
    }

    #[test]
    fn odd_points_divide_too(
        points in proptest::collection::vec((0u64..1_000, proptest::num::f64::ANY), 0..6), budget in 0u64..3_000,
    ) {
        let claims = [claim(1.0, 1, &points), claim(f64::NAN, 0, &points)];
        if let Some(limits) = divide(Watts::whole(budget), &claims, Watts::whole(5)) {
            prop_assert!(limits.iter().map(|limit| limit.0).sum::<u64>() <= Watts::whole(budget).0);
        }
    }
}
