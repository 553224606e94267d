//! Brings a plan of broken runs to the optimum: the tasks and the slots as one network, settled exactly.
//!
//! Where a task stays and when it ends at the latest is decided before; within that nothing better is left. GPU-hours flow
//! from tasks through their slots into pools. Late slots join the network only for tasks for which they are cheap enough.

mod graph;

use super::alone::dearest;
use super::window::{overlap, slots, touched};
use super::{Market, Prices, Shares, Task};
use graph::Graph;

/// What is decided about a task before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Kept {
    /// It stays there.
    pub pool: Option<usize>,
    /// It uses no slot behind that one.
    pub last: Option<usize>,
}

/// Arcs that the network has without late slots; counted no further than above `most`.
pub(super) fn arcs(market: &Market, most: usize) -> usize {
    let slots = slots(market);
    let mut sum = 0;
    for task in &market.tasks {
        let class = &market.classes[task.class];
        let pools = if class.stays { 1 } else { class.pools.len() };
        sum += (pools + 1) * touched(task.release, task.due, market.slot_hours, slots).len();
        if sum > most {
            break;
        }
    }
    sum
}

/// The best shares, with prices that prove it. A task without GPUs keeps the shares it has. `None`: costs of so different
/// sizes that rounding hid the best.
pub(super) fn polish(
    market: &Market,
    prices: &Prices,
    kept: &[Kept],
    shares: &[Shares],
) -> Option<(Vec<Shares>, Prices)> {
    let mut prices = prices.clone();
    let mut late = vec![false; market.tasks.len()];
    loop {
        let mut graph = Graph::new(market, &prices, kept, &late);
        if !graph.settle() {
            return None;
        }
        prices = graph.prices(market);
        let wanted: Vec<usize> =
            (0..late.len()).filter(|task| !late[*task] && wants_late(market, &graph, *task)).collect();
        if wanted.is_empty() {
            return Some((graph.shares(market, shares), prices));
        }
        for task in wanted {
            late[task] = true;
        }
    }
}

/// Whether a late slot, which the network lacks, would be cheaper for the task than what it pays at the margin.
fn wants_late(market: &Market, graph: &Graph, index: usize) -> bool {
    let task = &market.tasks[index];
    let Some(wage) = graph.wage(index) else { return false };
    let class = &market.classes[task.class];
    let point = class.points[0];
    let cheaper = |slot: usize| {
        let grams =
            |pool: &usize| point.kw / point.gpus * market.pools[*pool].grams_per_kwh[slot] + graph.price(*pool, slot);
        let pools = class.pools.iter().filter(|pool| graph.pool_of(index).is_none_or(|only| only == **pool));
        pools.map(grams).fold(f64::INFINITY, f64::min) + market.late < wage - graph.finest()
    };
    wage > market.late + point.kw / point.gpus * graph.cheapest() && late_slots(market, task).any(cheaper)
}

/// Slots with time behind the task's due time.
fn late_slots(market: &Market, task: &Task) -> std::ops::Range<usize> {
    touched(task.due.max(task.release), f64::INFINITY, market.slot_hours, slots(market))
}

/// Hours of a slot behind the task's due time.
fn late_hours(market: &Market, task: &Task, slot: usize) -> f64 {
    overlap(task.due.max(task.release), f64::INFINITY, slot, market.slot_hours)
}

/// What a GPU-hour of the task behind the last slot costs.
fn never(market: &Market, task: &Task) -> f64 {
    let point = market.classes[task.class].points[0];
    market.late + point.kw / point.gpus * dearest(market)
}
