//! Elastic jobs that share room: how wide each runs when, at prices that clear the room.
//!
//! Every job is solved alone and exactly on the hull of its menu at given prices; prices rise where more is wanted than
//! there is; a plan is filled at these prices, priced down and polished. This is the divisible model: a job may use any
//! part of a slot, and capacity holds on the average of each slot. Contiguous jobs are not placed here: they get no
//! shares, and have no part in cost and bound. Where jobs must stay in one of several pools the bound lets them divide
//! themselves, so that more of the gap is the bound's.

mod alone;
mod certify;
mod climb;
mod desk;
mod draft;
mod ground;
mod mean;
mod repair;
mod shelf;

pub use certify::certify;

use crate::market::{Market, Point, Pool, Prices, Share, Solution, Task};
use climb::climb;
use desk::Desk;
use draft::Draft;
use ground::Ground;
use repair::repair;
use shelf::Level;

/// How much work to put into a solution, in steps: the same market and effort give the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Rounds in which prices move. Jobs that must choose a pool get half as many again after each choice.
    pub rounds: usize,
    /// Times that every job is put back into what the others leave, after each climb of the prices.
    pub passes: usize,
    /// Times that late jobs may push others aside, in all.
    pub pushes: usize,
    /// A plan this close to its bound is good enough, in millionths of it.
    pub close_ppm: u32,
}

impl Default for Effort {
    fn default() -> Self {
        Self { rounds: 400, passes: 6, pushes: 500, close_ppm: 100 }
    }
}

/// A plan for the interruptible tasks of a market, with the prices that prove how far it may be from the best.
#[must_use]
pub fn solve(market: &Market, effort: Effort) -> Solution {
    let ground = Ground::new(market);
    let mut desk = Desk::new(&ground);
    let order = tightest_first(&ground, &desk);
    let mut prices = Prices(market.pools.iter().map(|pool| vec![0.0; pool.capacity.len()]).collect());
    let mut best = Draft::new(&ground);
    let mut pushes = effort.pushes;
    polish(&mut best, &mut desk, &order, &prices, (1, &mut pushes));
    let (mut bound, mut rounds) = (f64::NEG_INFINITY, effort.rounds);
    loop {
        let climbed = climb(&mut desk, prices, rounds, best.cost());
        (prices, bound) = (climbed.prices, climbed.bound.max(bound));
        rounds -= climbed.rounds;
        // From the average, where jobs share what they are indifferent between; and from nothing, by price alone.
        let mut by_price = Draft::new(&ground);
        for factor in [1.0, 0.5, 0.25] {
            by_price.pass(&mut desk, &order, Level { prices: &prices, factor });
        }
        for mut draft in [climbed.mean.draft(&ground), by_price] {
            polish(&mut draft, &mut desk, &order, &prices, (effort.passes, &mut pushes));
            if draft.cost() < best.cost() {
                best = draft;
            }
        }
        if ground.kinds.iter().any(|kind| kind.choices.len() > 1) {
            // With the pools chosen, what is left is the problem of prices again.
            desk.held = best.choices(&ground);
            let within = climb(&mut desk, prices.clone(), effort.rounds / 2, best.cost());
            let mut draft = within.mean.draft(&ground);
            polish(&mut draft, &mut desk, &order, &within.prices, (effort.passes, &mut pushes));
            desk.held.fill(None);
            polish(&mut draft, &mut desk, &order, &within.prices, (effort.passes, &mut pushes));
            if draft.cost() < best.cost() {
                best = draft;
            }
        }
        let close = best.cost() - bound <= bound.abs() * f64::from(effort.close_ppm) * 1e-6;
        if close || climbed.rounds == 0 || rounds == 0 {
            break;
        }
    }
    let late = |(index, shares): (usize, &Vec<Share>)| {
        if ground.takes(index) { ground.bill(&market.tasks[index], shares).late_gpu_hours } else { 0.0 }
    };
    let late_gpu_hours = best.shares.iter().enumerate().map(late).sum();
    let cost = best.cost();
    let shares = best.shares.into_iter().map(|shares| shares.into_iter().collect()).collect();
    Solution { cost, shares, prices, bound, late_gpu_hours }
}

/// Puts every job back at its true cost until nothing is gained; late ones may push others aside.
fn polish(draft: &mut Draft, desk: &mut Desk, order: &[usize], prices: &Prices, (passes, pushes): (usize, &mut usize)) {
    for _ in 0..passes {
        let before = draft.cost();
        draft.pass(desk, order, Level { prices, factor: 0.0 });
        if *pushes > 0 && order.iter().any(|&task| draft.is_late(desk.ground, task)) {
            let level = Level { prices, factor: 1.0 };
            desk.stock(level);
            repair(draft, desk, order, level, pushes);
        }
        if before - draft.cost() <= 1e-7 * before.abs() {
            break;
        }
    }
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
