//! Solves a market of tasks that may be broken: prices, fill, reprice, polish.

use super::alone::Alone;
use super::charge::charge;
use super::fill::Filled;
use super::polish::{Kept, arcs, polish};
use super::prices::{rent, settle};
use super::room::Grain;
use super::window::slots;
use super::{Market, Prices, Shares, Solution};
use crate::certificate::certify;

/// How much is done, in steps and never in time, and of what grain the answer is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// Rounds of prices.
    pub rounds: usize,
    /// Tasks that prices are found from; of more, every so manieth is looked at.
    pub sample: usize,
    /// How often every task is lifted and inserted again, at half the prices of the time before.
    pub lifts: usize,
    /// The plan is brought to its optimum when the network of tasks and slots has no more arcs than that.
    pub arcs: usize,
    /// Whether a task may use a fraction of its width. Whole widths in whole slots are not polished; `pieces` has no slots.
    pub grain: Grain,
}

impl Default for Effort {
    fn default() -> Self {
        Self { rounds: 200, sample: 2000, lifts: 2, arcs: 1_000_000, grain: Grain::Divisible }
    }
}

/// Places every task, with a bound that its prices prove. Total: work that finds no room has no share and is charged as if
/// done behind the last slot.
///
/// Every task runs at its class's first point and may be broken. Where classes have more points the plan is sound but not
/// the best, and its bound is that of all points. `Contiguous` tasks are not for this solver: it would break their runs,
/// which `certificate::check` reports.
#[must_use]
pub fn solve(market: &Market, effort: Effort, start: Option<&Prices>) -> Solution {
    let mut best = Proof::new(market, settle(market, effort.rounds, effort.sample, start));
    let small = slots(market) > 0 && arcs(market, effort.arcs) <= effort.arcs;
    let choose = market.classes.iter().any(|class| class.stays && class.pools.len() > 1);
    if small && choose {
        // As if they could move: what that proves holds for tasks that stay, and its prices choose their pools well.
        let free = vec![Kept::default(); market.tasks.len()];
        if let Some((_, found)) = polish(market, &best.prices, &free, &vec![Shares::default(); market.tasks.len()]) {
            best.offer(market, found);
        }
    }
    let mut filled = Filled::nothing(market, effort.grain);
    lifts(&mut filled, &best.prices, effort.lifts);
    let mut shares = filled.shares;
    // Often nothing is scarce, and every task already has what it would have alone.
    let settled = charge(market, &shares).0 - best.bound <= 1e-10 * best.bound.abs();
    if small && effort.grain == Grain::Divisible && !settled {
        let mut at = best.prices.clone();
        for round in 0..=if choose { 2 * effort.lifts } else { 0 } {
            // Prices of the pools as they are filled now move tasks from one to another.
            let mut filled = Filled::of(market, effort.grain, shares.clone());
            if round > 0 {
                lifts(&mut filled, &at, 1);
            }
            let kept = kept(market, &filled.shares);
            let Some((polished, found)) = polish(market, &at, &kept, &filled.shares) else { break };
            if charge(market, &polished).0 <= charge(market, &shares).0 {
                shares = polished;
            }
            best.offer(market, found.clone());
            at = found;
        }
    }
    if market.classes.iter().any(|class| class.points.len() > 1) {
        best.bound = best.bound.min(certify(market, &best.prices));
    }
    let (cost, late_gpu_hours) = charge(market, &shares);
    Solution { shares, prices: best.prices, cost, bound: best.bound, late_gpu_hours }
}

/// At full prices, then at half of them, and so on.
fn lifts(filled: &mut Filled, prices: &Prices, times: usize) {
    let mut scale = 1.0;
    for _ in 0..=times {
        filled.lift(prices, scale);
        scale /= 2.0;
    }
}

/// Prices and what they prove.
struct Proof {
    prices: Prices,
    bound: f64,
}

impl Proof {
    /// Rounded down.
    fn new(market: &Market, prices: Prices) -> Self {
        let mut alone = Alone::new(market);
        alone.reprice(&prices);
        let (tasks, rent) = (alone.cost(market.tasks.iter(), None), rent(market, &prices));
        Self { bound: tasks - rent - 1e-11 * (tasks.abs() + rent), prices }
    }

    /// Takes other prices if they prove more.
    fn offer(&mut self, market: &Market, prices: Prices) {
        let other = Self::new(market, prices);
        if other.bound > self.bound {
            *self = other;
        }
    }
}

/// What polishing must not change: the pool of a task that stays, and the end of one whose waiting costs something.
fn kept(market: &Market, shares: &[Shares]) -> Vec<Kept> {
    let of_task = |(task, shares): (&super::Task, &Shares)| {
        let class = &market.classes[task.class];
        let here = shares.iter().next().map(|share| share.pool).or_else(|| class.pools.first().copied());
        let last = shares.iter().last().map(|share| share.slot).filter(|_| task.waiting > 0.0);
        Kept { pool: here.filter(|_| class.stays), last }
    };
    market.tasks.iter().zip(shares).map(of_task).collect()
}
