//! Prices of room by averaged subgradient steps: they rise where more is wanted than there is, and prove a bound.

use super::desk::Desk;
use super::mean::Mean;
use crate::market::{Market, Prices};

/// Weight of a round in the average of the answers: a memory of some fifty rounds, enough for the jobs of one class to
/// spread over all they are indifferent between.
const FRESH: f64 = 0.02;

/// A pace at which prices no longer move.
const STILL: f64 = 1e-6;

/// Where the prices came to.
#[derive(Debug)]
pub(super) struct Climbed {
    pub prices: Prices,
    /// The dual value at these prices.
    pub bound: f64,
    /// Rounds it took.
    pub rounds: usize,
    /// The average of the answers on the way.
    pub mean: Mean,
}

/// Moves prices up from `start` until they stand still, for `rounds` at most. `cost` is that of the best plan known.
pub(super) fn climb(desk: &mut Desk, start: Prices, rounds: usize, cost: f64) -> Climbed {
    let market = desk.ground.market;
    let mut demand: Vec<Vec<f64>> = market.pools.iter().map(|pool| vec![0.0; pool.capacity.len()]).collect();
    let mut mean = Mean::new(market.tasks.len());
    let mut best = start;
    let mut bound = desk.all(&best, &mut demand, &mut mean);
    mean.fold(1.0);
    let mut wanted = demand.clone();
    let (mut pace, mut failures, mut took) = (0.5, 0, 0);
    while took < rounds && pace > STILL {
        let direction = excess(market, &best, &wanted);
        let norm = product(&direction, &direction);
        if norm <= 0.0 {
            break;
        }
        let step = pace * (cost - bound).max(1e-5 * bound.abs()) / norm;
        let mut next = best.clone();
        for (price, over) in next.0.iter_mut().flatten().zip(direction.iter().flatten()) {
            *price = (*price + step * over).max(0.0);
        }
        let value = desk.all(&next, &mut demand, &mut mean);
        let early = took < 10;
        mean.fold(if early { 0.3 } else { FRESH });
        let newest = excess(market, &best, &demand);
        let (both, new) = (product(&direction, &newest), product(&newest, &newest));
        let fresh = if early { 0.3 } else { weight(norm, both, new) };
        for (wanted, now) in wanted.iter_mut().flatten().zip(demand.iter().flatten()) {
            *wanted += fresh * (now - *wanted);
        }
        took += 1;
        if value > bound {
            (best, bound) = (next, value);
            (pace, failures) = (f64::min(2.0, 1.1 * pace), 0);
        } else {
            failures += 1;
            if failures == 3 {
                (pace, failures) = (0.7 * pace, 0);
            }
        }
    }
    Climbed { prices: best, bound, rounds: took, mean }
}

/// How much of the newest demand goes into the average: so much as makes the direction shortest, within limits.
fn weight(old: f64, both: f64, new: f64) -> f64 {
    let between = old - 2.0 * both + new;
    if between > 0.0 { ((old - both) / between).clamp(0.05, 0.2) } else { 0.05 }
}

fn product(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| a * b).sum()
}

/// What is wanted too much, or left over where room has a price, in GPU-hours.
fn excess(market: &Market, prices: &Prices, wanted: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let over = |pool: usize, slot: usize| {
        let over = wanted[pool][slot] - market.pools[pool].capacity[slot] * market.slot_hours;
        if over < 0.0 && prices.0[pool][slot] <= 0.0 { 0.0 } else { over }
    };
    (0..wanted.len()).map(|pool| (0..wanted[pool].len()).map(|slot| over(pool, slot)).collect()).collect()
}
