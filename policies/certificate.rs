//! Proves what a market can cost at the least, from prices alone and by plain sorting, and audits what a solver claims.
//!
//! Nothing here is shared with the solver's fast path: what both agree on is the definition of the cost, written twice.
//! Work that finds no room before the last slot ends counts as done behind it: its GPU-hours are late, and its energy costs
//! the market's dearest kWh. A run ends so long after the beginning of its last slot (or its release) as it runs in it.

mod check;

pub use check::{Fault, check};

use crate::market::{Class, Market, Prices, Task};

/// Grams that no solution of the market can stay below, for any prices that are not negative: each task does at least as
/// well alone at those prices, and a solution within capacity never pays more for it than what is subtracted here.
///
/// Late work is charged, so a task's own minimum includes being late. A run that may not be broken is relaxed to one that
/// may, which is valid and not tight.
#[must_use]
pub fn certify(market: &Market, prices: &Prices) -> f64 {
    let alone: f64 = market.tasks.iter().map(|task| least(market, prices, task)).sum();
    let mut rent = 0.0;
    for (pool, prices) in market.pools.iter().zip(&prices.0) {
        for (capacity, price) in pool.capacity.iter().zip(prices) {
            if *price > 0.0 {
                rent += price * capacity * market.slot_hours;
            }
        }
    }
    alone - rent
}

/// A stretch of work to be had: grams for an hour of work at the reference point, and how many such hours there are.
type Step = (f64, f64);

/// Adds the steps of a slot, in time or late, with so much more an hour.
type Steps<'a> = dyn Fn(usize, bool, f64, &mut Vec<Step>) + 'a;

/// Grams the task costs at the least when it pays those prices and nobody else is there.
fn least(market: &Market, prices: &Prices, task: &Task) -> f64 {
    let class = &market.classes[task.class];
    if class.stays && !class.pools.is_empty() {
        let pools = class.pools.iter().map(|pool| least_in(market, prices, task, class, &[*pool]));
        pools.fold(f64::INFINITY, f64::min)
    } else {
        least_in(market, prices, task, class, &class.pools)
    }
}

fn least_in(market: &Market, prices: &Prices, task: &Task, class: &Class, pools: &[usize]) -> f64 {
    let behind = (behind_the_end(market, class), f64::INFINITY);
    let slots = market.pools.first().map_or(0, |pool| pool.capacity.len());
    let first = ((task.release / market.slot_hours).floor().max(0.0) as usize).min(slots);
    let steps = |slot: usize, late: bool, extra: f64, into: &mut Vec<Step>| {
        let (begin, end) = (slot as f64 * market.slot_hours, (slot + 1) as f64 * market.slot_hours);
        let (from, until) = if late { (task.due.max(task.release), f64::INFINITY) } else { (task.release, task.due) };
        let hours = end.min(until) - begin.max(from);
        if hours > 0.0 {
            let fine = extra_per_gpu(market, late);
            hull(market, prices, class, pools, slot, (fine, extra), hours, into);
        }
    };
    if task.waiting > 0.0 {
        let waits = task.waiting / class.points.first().map_or(1.0, |p| p.speed);
        return with_waiting(market, task, slots, first, (behind.0, behind.0 + waits), &steps);
    }
    let mut all = Vec::new();
    let until = ((task.due / market.slot_hours).ceil().max(0.0) as usize).min(slots);
    for slot in first..until {
        steps(slot, false, 0.0, &mut all);
    }
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (cost, marginal, missing) = cheapest(&all, task.hours);
    // Nothing late costs less than that, so the many slots behind the due time matter only above it.
    if missing <= 0.0 && marginal <= no_late_step_below(market, class) {
        return cost;
    }
    let late_from = ((task.due.max(task.release) / market.slot_hours).floor().max(0.0) as usize).min(slots);
    for slot in late_from..slots {
        steps(slot, true, 0.0, &mut all);
    }
    all.push(behind);
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    cheapest(&all, task.hours).0
}

/// The least over every slot that may be the last: the wait until it begins is known then, and within it each hour waits too.
fn with_waiting(
    market: &Market,
    task: &Task,
    slots: usize,
    first: usize,
    (behind, behind_waiting): (f64, f64),
    steps: &Steps,
) -> f64 {
    let sort = |steps: &mut Vec<Step>| steps.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = Vec::new();
    for slot in first..slots {
        steps(slot, false, 0.0, &mut free);
        steps(slot, true, 0.0, &mut free);
    }
    free.push((behind, f64::INFINITY));
    sort(&mut free);
    let floor = cheapest(&free, task.hours).0;

    let (mut before, mut best) = (Vec::new(), f64::INFINITY);
    for last in first..=slots {
        let waited = ((last as f64 * market.slot_hours) - task.release).max(0.0) * task.waiting;
        if waited + floor >= best {
            break;
        }
        let mut with_last = before.clone();
        if last == slots {
            with_last.push((behind_waiting, f64::INFINITY));
        } else {
            steps(last, false, task.waiting, &mut with_last);
            steps(last, true, task.waiting, &mut with_last);
            steps(last, false, 0.0, &mut before);
            steps(last, true, 0.0, &mut before);
            sort(&mut before);
        }
        sort(&mut with_last);
        let (cost, _, missing) = cheapest(&with_last, task.hours);
        if missing <= 0.0 {
            best = best.min(waited + cost);
        }
    }
    best
}

/// Cost of the first so many hours of sorted steps, the dearest step used, and the hours that were not to be had.
fn cheapest(steps: &[Step], hours: f64) -> (f64, f64, f64) {
    let (mut missing, mut cost, mut marginal) = (hours, 0.0, f64::NEG_INFINITY);
    for (grams, available) in steps {
        if missing <= 0.0 {
            break;
        }
        let taken = missing.min(*available);
        cost += taken * grams;
        missing -= taken;
        marginal = *grams;
    }
    (cost, marginal, missing)
}

const fn extra_per_gpu(market: &Market, late: bool) -> f64 {
    if late { market.late } else { 0.0 }
}

/// The lower convex hull of (work, cost) of an hour in that slot, with not running at all, as steps of rising price.
#[expect(clippy::too_many_arguments, reason = "one place says what an hour in a slot costs")]
fn hull(
    market: &Market,
    prices: &Prices,
    class: &Class,
    pools: &[usize],
    slot: usize,
    (per_gpu, per_hour): (f64, f64),
    hours: f64,
    into: &mut Vec<Step>,
) {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for pool in pools {
        let grid = market.pools[*pool].grams_per_kwh[slot];
        let price = prices.0[*pool][slot] + per_gpu;
        points.extend(class.points.iter().map(|p| (p.speed, p.kw * grid + p.gpus * price + per_hour)));
    }
    let (mut speed, mut cost) = (0.0, 0.0);
    loop {
        let slope = |p: &(f64, f64)| (p.1 - cost) / (p.0 - speed);
        let further = points.iter().filter(|p| p.0 > speed);
        let Some(next) = further.min_by(|a, b| slope(a).total_cmp(&slope(b)).then(b.0.total_cmp(&a.0))) else { break };
        into.push((slope(next), (next.0 - speed) * hours));
        (speed, cost) = *next;
    }
}

/// Grams for an hour of reference work done behind the last slot.
fn behind_the_end(market: &Market, class: &Class) -> f64 {
    let all = market.pools.iter().flat_map(|pool| &pool.grams_per_kwh);
    let dearest = all.fold(0.0, |a: f64, b| a.max(*b));
    let ways = class.points.iter().map(|p| (p.kw * dearest + p.gpus * market.late) / p.speed);
    ways.fold(f64::INFINITY, f64::min)
}

/// No late hour of reference work costs less.
fn no_late_step_below(market: &Market, class: &Class) -> f64 {
    let all = market.pools.iter().flat_map(|pool| &pool.grams_per_kwh);
    let cheapest = all.fold(0.0, |a: f64, b| a.min(*b));
    let ways = class.points.iter().map(|p| (p.kw * cheapest + p.gpus * market.late) / p.speed);
    ways.fold(f64::INFINITY, f64::min)
}
