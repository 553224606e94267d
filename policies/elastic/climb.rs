//! Prices of room by averaged subgradient steps: they rise where more is wanted than there is, and prove a bound.

use super::desk::Desk;
use super::mean::Mean;
use crate::market::Prices;

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
        // The direction: what is wanted too much, and what is left over where room has a price.
        let mut excess = wanted.clone();
        let mut norm = 0.0;
        for (pool, row) in excess.iter_mut().enumerate() {
            for (slot, over) in row.iter_mut().enumerate() {
                *over -= market.pools[pool].capacity[slot] * market.slot_hours;
                if *over < 0.0 && best.0[pool][slot] <= 0.0 {
                    *over = 0.0;
                }
                norm += *over * *over;
            }
        }
        if norm <= 0.0 {
            break;
        }
        let step = pace * (cost - bound).max(1e-5 * bound.abs()) / norm;
        let mut next = best.clone();
        for (price, over) in next.0.iter_mut().flatten().zip(excess.iter().flatten()) {
            *price = (*price + step * over).max(0.0);
        }
        let value = desk.all(&next, &mut demand, &mut mean);
        let early = took < 10;
        mean.fold(if early { 0.3 } else { FRESH });
        let fresh = if early { 0.3 } else { 0.15 };
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
