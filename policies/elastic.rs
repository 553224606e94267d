//! Elastic jobs that share room: how wide each runs when, at prices that clear the room.
//!
//! Every job is solved alone and exactly on the hull of its menu at given prices; prices rise where more is wanted than
//! there is; a plan is filled at these prices, priced down and polished. This is the divisible model: a job may use any
//! part of a slot, and capacity holds on the average of each slot. Contiguous jobs are not placed here: they get no
//! shares, and have no part in cost and bound.

mod alone;
mod certify;
mod draft;
mod ground;
mod prices;
mod shelf;

pub use certify::certify;

use crate::market::{Market, Point, Pool, Prices, Share, Solution, Task};
use draft::Draft;
use ground::Ground;
use prices::{Desk, climb};
use shelf::Level;

/// How much work to put into a solution, in steps: the same market and effort give the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Rounds in which prices move.
    pub rounds: usize,
    /// Times that every job is put back.
    pub passes: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self { rounds: 300, passes: 8 }
    }
}

/// A plan for the interruptible tasks of a market, with the prices that prove how far it may be from the best.
#[must_use]
pub fn solve(market: &Market, effort: Effort) -> Solution {
    let ground = Ground::new(market);
    let mut desk = Desk::new(&ground);
    let none = Prices(market.pools.iter().map(|pool| vec![0.0; pool.capacity.len()]).collect());
    let order = tightest_first(&ground, &desk);
    let mut first = Draft::new(&ground);
    first.pass(&mut desk, &order, Level { prices: &none, factor: 0.0 });
    let (prices, bound) = climb(&mut desk, &none, effort.rounds, first.cost());
    let mut draft = Draft::new(&ground);
    let mut best = first;
    for pass in 0..effort.passes {
        let factor = match pass {
            0 => 1.0,
            1 => 0.5,
            2 => 0.25,
            _ => 0.0,
        };
        draft.pass(&mut desk, &order, Level { prices: &prices, factor });
        if draft.cost() < best.cost() {
            best = draft.clone();
        }
    }
    let late = |(index, shares): (usize, &Vec<Share>)| {
        if ground.takes(index) { ground.bill(&market.tasks[index], shares).late_gpu_hours } else { 0.0 }
    };
    let late_gpu_hours = best.shares.iter().enumerate().map(late).sum();
    Solution { cost: best.cost(), shares: best.shares, prices, bound, late_gpu_hours }
}

/// Tasks by (window − least hours) ÷ least hours at their reference, then by due time and index.
fn tightest_first(ground: &Ground, desk: &Desk) -> Vec<usize> {
    let market = ground.market;
    let mut order: Vec<usize> = (0..market.tasks.len()).filter(|&task| ground.takes(task)).collect();
    let slack = |index: usize| {
        let task = &market.tasks[index];
        let window: f64 = desk.sections[index].iter().filter(|s| !s.late).map(|s| s.hours).sum();
        (window - task.hours) / task.hours
    };
    order.sort_by(|&a, &b| {
        let due = |index: usize| market.tasks[index].due;
        slack(a).total_cmp(&slack(b)).then(due(a).total_cmp(&due(b))).then(a.cmp(&b))
    });
    order
}

/// One elastic job by itself, exactly: its shares and their cost in grams, where an hour at a kW costs `grams_per_kwh`,
/// slot by slot, from its release at the beginning of the first. `None` if its work does not fit into these slots.
#[must_use]
pub fn alone(points: &[Point], grams_per_kwh: &[f64], hours: f64, slot_hours: f64) -> Option<(Vec<Share>, f64)> {
    let slots = grams_per_kwh.len();
    let pool = Pool { capacity: vec![f64::INFINITY; slots], grams_per_kwh: grams_per_kwh.to_vec() };
    let class = crate::market::Class {
        pools: vec![0],
        points: points.to_vec(),
        mode: crate::market::Mode::Interruptible,
        stays: true,
    };
    let due = slots as f64 * slot_hours;
    let task = Task { class: 0, hours, release: 0.0, due, waiting: 0.0 };
    // Work without a place is dearer than any step.
    let market = Market { slot_hours, pools: vec![pool], classes: vec![class], tasks: vec![task], late: 1e60 };
    let ground = Ground::new(&market);
    let mut desk = Desk::new(&ground);
    let none = Prices(vec![vec![0.0; slots]]);
    let level = Level { prices: &none, factor: 0.0 };
    desk.stock(level);
    let shares = Draft::new(&ground).best(&mut desk, 0, level);
    let work: f64 = shares.iter().map(|share| share.hours * points[share.point].speed).sum();
    (work >= hours * (1.0 - 1e-9)).then(|| (shares.clone(), ground.bill(&task, &shares).cost))
}
