//! The whole of it: divided, laid out or filled in by prices, repaired, polished, calmed.

use super::Piece;
use super::board::{Board, Pause};
use super::pack::pack;
use super::polish::{descend, polish};
use crate::market::{self, Grain, Market, Menu, Prices, Solution};

/// How much work goes into a plan, counted in steps: never in time, or no plan could be made twice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// For the plan of fractions.
    pub divided: market::Effort,
    /// How many times a few jobs are lifted and put back, at most.
    pub steps: usize,
    /// How far above its bound a plan in which nobody is late needs no such step, as a share of it.
    pub near: f64,
}

impl Default for Effort {
    fn default() -> Self {
        let divided = market::Effort { grain: Grain::Divisible, ..market::Effort::default() };
        Self { divided, steps: 4000, near: 2e-4 }
    }
}

/// What a piece weighs, as a share of what a job costs in the mean.
const PIECE: f64 = 2e-4;

/// How many orders are tried in which nobody may be late.
const FILLS: usize = 6;

/// Where the plan of fractions leaves over more than that share of the jobs, prices alone may do better.
const LEFT: f64 = 0.2;

/// How often every job looks for cheaper pieces, at most.
const DESCENTS: usize = 20;

/// How often every job looks for fewer pieces.
const CALMS: usize = 3;

/// A plan and what is known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Laid {
    /// By task, its pieces in the order of time.
    pub runs: Vec<Vec<Piece>>,
    /// Energy, waiting, pauses and late work, in grams.
    pub cost: f64,
    /// No plan of the same market with its whole GPUs costs less, in grams; pauses are free in it, and widths divisible.
    pub bound: f64,
    /// Tasks with work behind their due time, rising.
    pub late: Vec<usize>,
    /// The prices that prove the bound.
    pub prices: Prices,
}

/// Plans all tasks of a market in pieces of whole width. Total: work that finds no room before the last slot ends is in no
/// piece and is charged as if done behind it, at the dearest kWh.
#[must_use]
pub fn plan(market: &Market, pause: Pause, effort: Effort) -> Laid {
    let mut whole = market.clone();
    for gpus in whole.pools.iter_mut().flat_map(|pool| &mut pool.capacity) {
        *gpus = (*gpus + 1e-9).floor();
    }
    let whole = &whole;
    let divided = divided(whole, effort);
    let mean = divided.cost.abs() / whole.tasks.len().max(1) as f64;
    let mut board = Board::new(whole, pause, PIECE * mean, mean);
    let [none, quarter, half, full] = [0.0, 0.25, 0.5, 1.0].map(|scale| Menu::all(whole, &divided.prices, scale));
    let menus: [&[Menu]; 4] = [&none, &quarter, &half, &full];
    let ideal = board.ideal(&none);
    if lay_out(&mut board, &divided, menus) > LEFT {
        let laid = (board.weight(), board.runs.clone());
        fill(&mut board, menus);
        if laid.0 < board.weight() {
            board.restore(&laid.1);
        }
    }
    polish(&mut board, menus, &ideal, effort.steps, (1.0 + effort.near) * divided.bound);
    for _ in 0..CALMS {
        if !descend(&mut board, &none, true) {
            break;
        }
    }
    let (late, cost) = (board.late(), board.cost());
    let runs = board.runs.into_iter().map(|run| run.pieces).collect();
    Laid { runs, cost, bound: divided.bound, late, prices: divided.prices }
}

/// The plan of fractions. Where tasks choose a pool to stay in, only as good as one look at that makes it: it is where ours
/// begins.
fn divided(whole: &Market, effort: Effort) -> Solution {
    let choose = whole.classes.iter().any(|class| class.stays && class.pools.len() > 1);
    let lifts = if choose { 0 } else { effort.divided.lifts };
    market::solve(whole, market::Effort { lifts, ..effort.divided }, None)
}

/// The plan of fractions in pieces; whoever does not fit takes the cheapest that is left. Answers what share of the jobs that
/// were: if they are many, little is left of the plan.
fn lay_out(board: &mut Board<'_>, divided: &Solution, menus: [&[Menu]; 4]) -> f64 {
    let mut left = pack(board, &divided.shares);
    sort(board, &mut left);
    for job in &left {
        board.lift(*job);
    }
    for job in &left {
        board.insert(*job, menus[3], false);
    }
    settle(board, menus[0]);
    left.len() as f64 / board.runs.len().max(1) as f64
}

/// Every job, the tightest first, takes its cheapest pieces at those prices, then again at half and a quarter of them. As long
/// as some are late they come to the front and all begins anew, a few times.
fn fill(board: &mut Board<'_>, menus: [&[Menu]; 4]) {
    let mut order: Vec<usize> = (0..board.runs.len()).collect();
    sort(board, &mut order);
    for _ in 0..FILLS {
        for job in &order {
            board.lift(*job);
        }
        for job in &order {
            board.insert(*job, menus[3], false);
        }
        let (late, others): (Vec<usize>, Vec<usize>) = order.iter().partition(|job| board.runs[**job].late > 0);
        if late.is_empty() {
            break;
        }
        order = late.into_iter().chain(others).collect();
    }
    for menu in [menus[2], menus[1]] {
        for job in &order {
            board.lift(*job);
            board.insert(*job, menu, false);
        }
    }
    settle(board, menus[0]);
}

/// Every job looks for cheaper pieces until none finds any, or they have looked often.
fn settle(board: &mut Board<'_>, menu: &[Menu]) {
    for _ in 0..DESCENTS {
        if !descend(board, menu, false) {
            return;
        }
    }
}

/// The tightest first.
fn sort(board: &Board<'_>, jobs: &mut [usize]) {
    let freedom = |job: usize| board.works[job].freedom();
    jobs.sort_by(|a, b| freedom(*a).total_cmp(&freedom(*b)).then(a.cmp(b)));
}
