//! Solves a market of tasks that may be broken: prices, fill, reprice, polish.

use super::alone::Alone;
use super::charge::charge;
use super::polish::{Kept, arcs, polish};
use super::prices::{rent, settle};
use super::room::{Desk, Grain, Menu, Room, insert};
use super::window::slots;
use super::{Market, Prices, Share, Solution};

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
    /// Whether a task may use a fraction of its width. Whole widths are not polished.
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
/// Every task runs at its class's first point and may be broken; other ways to run are solved elsewhere, and the bound of
/// this solution holds only for markets without them.
#[must_use]
pub fn solve(market: &Market, effort: Effort, start: Option<&Prices>) -> Solution {
    let mut prices = settle(market, effort.rounds, effort.sample, start);
    let mut bound = prove(market, &prices);
    let mut better = |found: Prices, prices: &mut Prices| {
        let proven = prove(market, &found);
        if proven > bound {
            (*prices, bound) = (found, proven);
        }
    };
    let small = slots(market) > 0 && arcs(market, effort.arcs) <= effort.arcs;
    if small && market.classes.iter().any(|class| class.stays && class.pools.len() > 1) {
        // As if they could move: what that proves holds for tasks that stay, and its prices choose their pools well.
        let free = vec![Kept::default(); market.tasks.len()];
        let (_, found) = polish(market, &prices, &free, &vec![Vec::new(); market.tasks.len()]);
        better(found, &mut prices);
    }
    let mut shares = fill(market, &prices, &effort);
    if small && effort.grain == Grain::Divisible {
        let (polished, found) = polish(market, &prices, &kept(market, &shares), &shares);
        if charge(market, &polished).0 <= charge(market, &shares).0 {
            shares = polished;
        }
        better(found, &mut prices);
    }
    let (cost, late_gpu_hours) = charge(market, &shares);
    Solution { shares, prices, cost, bound, late_gpu_hours }
}

/// What prices prove, rounded down.
fn prove(market: &Market, prices: &Prices) -> f64 {
    let mut alone = Alone::new(market);
    alone.reprice(prices);
    let (tasks, rent) = (alone.cost(market.tasks.iter(), None), rent(market, prices));
    tasks - rent - 1e-11 * (tasks.abs() + rent)
}

/// All tasks, the tightest first, each at its cheapest in what is left; then each again at lower prices.
fn fill(market: &Market, prices: &Prices, effort: &Effort) -> Vec<Vec<Share>> {
    let slack = |task: &super::Task| (task.due - task.release - task.hours) / task.hours.max(1e-9);
    let mut order: Vec<(f64, u32)> = market.tasks.iter().zip(0..).map(|(task, index)| (slack(task), index)).collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut room = Room::all(market, effort.grain);
    let mut desk = Desk::default();
    let mut shares = vec![Vec::new(); market.tasks.len()];
    let mut scale = 1.0;
    for pass in 0..=effort.lifts {
        let menus = Menu::all(market, prices, scale);
        for (_, index) in &order {
            let index = *index as usize;
            let task = &market.tasks[index];
            if pass > 0 {
                room.book(market, task, &shares[index], -1.0);
            }
            shares[index] = insert(market, &menus[task.class], &mut room, task, &mut desk);
        }
        scale /= 2.0;
    }
    shares
}

/// What polishing must not change: the pool of a task that stays, and the end of one whose waiting costs something.
fn kept(market: &Market, shares: &[Vec<Share>]) -> Vec<Kept> {
    let of_task = |(task, shares): (&super::Task, &Vec<Share>)| {
        let class = &market.classes[task.class];
        let here = shares.first().map(|share| share.pool).or_else(|| class.pools.first().copied());
        let last = shares.last().map(|share| share.slot).filter(|_| task.waiting > 0.0);
        Kept { pool: here.filter(|_| class.stays), last }
    };
    market.tasks.iter().zip(shares).map(of_task).collect()
}
