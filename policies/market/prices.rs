//! Finds prices at which demand meets capacity: averaged subgradient ("volume") steps on the dual.

use super::alone::Alone;
use super::window::slots;
use super::{Market, Prices};

/// What prices of that shape prove for every `stride`-th task and that share of the capacity; their demand replaces `demand`.
fn dual(alone: &mut Alone, market: &Market, prices: &Prices, stride: usize, share: f64, demand: &mut [f64]) -> f64 {
    alone.reprice(prices);
    demand.fill(0.0);
    alone.cost(market.tasks.iter().step_by(stride), Some(demand)) - rent(market, prices) * share
}

/// What all capacity earns at those prices, in grams.
pub(super) fn rent(market: &Market, prices: &Prices) -> f64 {
    let pools = market.pools.iter().zip(&prices.0);
    let slots = pools.flat_map(|(pool, prices)| pool.capacity.iter().zip(prices));
    let paid = slots.filter(|(_, price)| **price > 0.0).map(|(capacity, price)| price * capacity * market.slot_hours);
    paid.sum()
}

/// Best prices after so many rounds, looking at about `sample` tasks.
pub(super) fn settle(market: &Market, rounds: usize, sample: usize, start: Option<&Prices>) -> Prices {
    let (slots, h) = (slots(market), market.slot_hours);
    let stride = market.tasks.len().div_ceil(sample.max(1)).max(1);
    let gpu_hours = |task: &super::Task| {
        let point = market.classes[task.class].points[0];
        task.hours / point.speed * point.gpus
    };
    let work: f64 = market.tasks.iter().map(gpu_hours).sum();
    let seen: f64 = market.tasks.iter().step_by(stride).map(gpu_hours).sum();
    let share = if stride > 1 && work > 0.0 { seen / work } else { 1.0 };
    let capacity: Vec<f64> = market.pools.iter().flat_map(|p| p.capacity.iter().map(|c| c * h * share)).collect();

    let mut alone = Alone::new(market);
    let mut best = start.filter(|prices| fits(market, prices)).cloned().unwrap_or_else(|| zero(market));
    let mut demand = vec![0.0; capacity.len()];
    let mut bound = dual(&mut alone, market, &best, stride, share, &mut demand);
    let mut mean = demand.clone();
    let (mut factor, mut failures, mut goal) = (0.5, 0, 0.05);
    for round in 0..rounds {
        let at = |index: usize| best.0[index / slots][index % slots];
        let step = |index: usize| {
            let over = mean[index] - capacity[index];
            if over < 0.0 && at(index) <= 0.0 { 0.0 } else { over }
        };
        let norm: f64 = (0..mean.len()).map(step).filter(|s| s.is_finite()).map(|s| s * s).sum();
        if norm <= 0.0 {
            break;
        }
        let length = factor * goal * bound.abs().max(1e-12) / norm;
        let moved = |index: usize| {
            let price = at(index) + length * step(index);
            if price.is_finite() { price.max(0.0) } else { 0.0 }
        };
        let tried =
            Prices((0..market.pools.len()).map(|p| (0..slots).map(|t| moved(p * slots + t)).collect()).collect());
        let value = dual(&mut alone, market, &tried, stride, share, &mut demand);
        let fresh = if round < 10 { 0.3 } else { 0.15 };
        for (mean, now) in mean.iter_mut().zip(&demand) {
            *mean += fresh * (now - *mean);
        }
        if value > bound {
            // The distance to the goal shrinks with what a step still gains.
            goal = (0.98 * goal).max(1e-5);
            (best, bound, failures, factor) = (tried, value, 0, (1.1_f64 * factor).min(2.0));
        } else {
            failures += 1;
            if failures == 3 {
                (factor, failures) = (0.7 * factor, 0);
            }
        }
    }
    best
}

/// Whether prices have the market's shape and are prices.
fn fits(market: &Market, prices: &Prices) -> bool {
    let alike = |(prices, pool): (&Vec<f64>, &super::Pool)| prices.len() == pool.capacity.len();
    prices.0.len() == market.pools.len()
        && prices.0.iter().zip(&market.pools).all(alike)
        && prices.0.iter().flatten().all(|price| *price >= 0.0 && price.is_finite())
}

/// Nothing costs anything.
pub(super) fn zero(market: &Market) -> Prices {
    Prices(market.pools.iter().map(|pool| vec![0.0; pool.capacity.len()]).collect())
}
