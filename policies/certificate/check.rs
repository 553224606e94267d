//! Audits a solution of a market against its constraints and its own figures, knowing nothing of how it was made.

use super::{behind_the_end, certify};
use crate::market::{Market, Mode, Share, Solution, Task};

/// What is wrong with a solution.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Not one list of shares for each task.
    Tasks {
        /// Lists of shares.
        found: usize,
    },
    /// The prices have another shape than the market, or one is negative or no number.
    Prices,
    /// A share names a pool, slot or point that the task does not have, or its hours are not positive.
    Share {
        /// Index of the task.
        task: usize,
        /// The share.
        share: Share,
    },
    /// Shares are not in the order of time.
    Order {
        /// Index of the task.
        task: usize,
    },
    /// More hours in a slot than there are from the release to its end.
    Window {
        /// Index of the task.
        task: usize,
        /// Index of the slot.
        slot: usize,
    },
    /// A task that must stay in one pool runs in several.
    Moves {
        /// Index of the task.
        task: usize,
    },
    /// A run that may not be broken is broken.
    Broken {
        /// Index of the task.
        task: usize,
    },
    /// More work than the task has.
    Work {
        /// Index of the task.
        task: usize,
    },
    /// More GPU-hours in a pool and slot than it has.
    Capacity {
        /// Index of the pool.
        pool: usize,
        /// Index of the slot.
        slot: usize,
        /// GPU-hours used.
        used: f64,
    },
    /// The cost is another one.
    Cost {
        /// Grams recomputed.
        found: f64,
    },
    /// The late GPU-hours are others.
    Late {
        /// GPU-hours recomputed.
        found: f64,
    },
    /// The bound is above what its prices prove, or above the cost.
    Bound {
        /// Grams that the prices prove.
        proven: f64,
    },
}

/// Allowed rounding, relative.
const ROUNDING: f64 = 1e-9;

fn above(value: f64, limit: f64) -> bool {
    value > limit + ROUNDING * (1.0 + limit.abs())
}

fn differs(a: f64, b: f64) -> bool {
    above(a, b) || above(b, a) || a.is_nan() || b.is_nan()
}

/// Everything that is wrong with a solution, up to 1e-9 relative for rounding; empty when it is sound.
#[must_use]
pub fn check(market: &Market, solution: &Solution) -> Vec<Fault> {
    if solution.shares.len() != market.tasks.len() {
        return vec![Fault::Tasks { found: solution.shares.len() }];
    }
    let mut faults = Vec::new();
    let mut used: Vec<Vec<f64>> = market.pools.iter().map(|pool| vec![0.0; pool.capacity.len()]).collect();
    let (mut cost, mut late) = (0.0, 0.0);
    let mut mine: Vec<Share> = Vec::new();
    for (index, (task, shares)) in market.tasks.iter().zip(&solution.shares).enumerate() {
        mine.clear();
        mine.extend(shares.iter());
        let shares = mine.as_slice();
        let before = faults.len();
        shape(market, index, task, shares, &mut faults);
        if faults.len() > before {
            continue;
        }
        let points = &market.classes[task.class].points;
        for share in shares {
            used[share.pool][share.slot] += share.hours * points[share.point].gpus;
        }
        let (grams, gpu_hours) = charge(market, task, shares);
        cost += grams;
        late += gpu_hours;
    }
    for (pool, used) in used.iter().enumerate() {
        for (slot, used) in used.iter().enumerate() {
            if above(*used, market.pools[pool].capacity[slot] * market.slot_hours) {
                faults.push(Fault::Capacity { pool, slot, used: *used });
            }
        }
    }
    if faults.is_empty() && differs(cost, solution.cost) {
        faults.push(Fault::Cost { found: cost });
    }
    if faults.is_empty() && differs(late, solution.late_gpu_hours) {
        faults.push(Fault::Late { found: late });
    }
    let prices = &solution.prices.0;
    let alike = |(prices, pool): (&Vec<f64>, &crate::market::Pool)| prices.len() == pool.capacity.len();
    let sound = prices.len() == market.pools.len()
        && prices.iter().zip(&market.pools).all(alike)
        && prices.iter().flatten().all(|price| *price >= 0.0 && price.is_finite());
    if sound {
        let proven = certify(market, &solution.prices);
        let unproven = solution.bound > proven + ROUNDING * proven.abs() || solution.bound.is_nan();
        if unproven || above(solution.bound, solution.cost) {
            faults.push(Fault::Bound { proven });
        }
    } else {
        faults.push(Fault::Prices);
    }
    faults
}

/// Whether the shares of one task are ones it may have.
fn shape(market: &Market, index: usize, task: &Task, shares: &[Share], faults: &mut Vec<Fault>) {
    let class = &market.classes[task.class];
    let known = |share: &Share| {
        class.pools.contains(&share.pool)
            && share.slot < market.pools[share.pool].capacity.len()
            && share.point < class.points.len()
            && share.hours > 0.0
    };
    if let Some(share) = shares.iter().find(|share| !known(share)) {
        faults.push(Fault::Share { task: index, share: *share });
        return;
    }
    if shares.windows(2).any(|pair| pair[0].slot > pair[1].slot) {
        faults.push(Fault::Order { task: index });
    }
    if class.stays && shares.iter().any(|share| share.pool != shares[0].pool) {
        faults.push(Fault::Moves { task: index });
    }
    let slots = shares.chunk_by(|a, b| a.slot == b.slot);
    let mut hours: Vec<(usize, f64)> = slots.map(|s| (s[0].slot, s.iter().map(|share| share.hours).sum())).collect();
    for (slot, hours) in &hours {
        let end = (slot + 1) as f64 * market.slot_hours;
        if above(*hours, (end - task.release).clamp(0.0, market.slot_hours)) {
            faults.push(Fault::Window { task: index, slot: *slot });
        }
    }
    if class.mode == Mode::Contiguous && !hours.is_empty() {
        let gap = hours.windows(2).any(|pair| pair[0].0 + 1 != pair[1].0);
        hours.pop();
        let pause = hours.iter().skip(1).any(|(_, hours)| differs(*hours, market.slot_hours));
        if gap || pause {
            faults.push(Fault::Broken { task: index });
        }
    }
    let work: f64 = shares.iter().map(|share| share.hours * class.points[share.point].speed).sum();
    if above(work, task.hours) {
        faults.push(Fault::Work { task: index });
    }
}

/// Grams and late GPU-hours of one task.
fn charge(market: &Market, task: &Task, shares: &[Share]) -> (f64, f64) {
    let class = &market.classes[task.class];
    let (mut cost, mut late, mut end) = (0.0, 0.0, task.release);
    let mut missing = task.hours;
    for shares in shares.chunk_by(|a, b| a.slot == b.slot) {
        let begin = shares[0].slot as f64 * market.slot_hours;
        let in_time = (task.due.min(begin + market.slot_hours) - begin.max(task.release)).max(0.0);
        let hours: f64 = shares.iter().map(|share| share.hours).sum();
        let overtime = ((hours - in_time) / hours).max(0.0);
        end = begin.max(task.release) + hours;
        for share in shares {
            let point = class.points[share.point];
            cost += share.hours * point.kw * market.pools[share.pool].grams_per_kwh[share.slot];
            if hours - in_time > ROUNDING * market.slot_hours {
                late += share.hours * point.gpus * overtime;
            }
            missing -= share.hours * point.speed;
        }
    }
    cost += market.late * late;
    if missing > ROUNDING * task.hours {
        cost += missing * behind_the_end(market, class);
        late += class.points.first().map_or(0.0, |p| missing * p.gpus / p.speed);
        let slots = market.pools.first().map_or(0, |pool| pool.capacity.len());
        end = (slots as f64 * market.slot_hours).max(task.release)
            + class.points.first().map_or(missing, |p| missing / p.speed);
    }
    (cost + task.waiting * (end - task.release), late)
}
