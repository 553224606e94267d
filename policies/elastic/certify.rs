//! Proves a bound from prices alone, by plain means: no hull, no sorting, nothing of the solver's.
//!
//! Beside the price of room, a price `v` of work: a job that is paid `v` for an hour of work runs at each moment at the
//! point with the greatest gain, or not at all; `v × hours` less these gains is below every schedule of the job, whatever
//! `v` is. A bisection finds the best `v`.

use crate::market::{Market, Mode, Prices, Task};

/// A value in grams that no plan of the interruptible tasks of this market goes below, however it divides them in time.
///
/// Prices that are missing, negative or not numbers count as 0. Late work pays `Market::late` for a GPU-hour;
/// work that finds no place before the last slot ends is late and costs the market's dearest energy, here as in the cost
/// of a plan. Waiting counts to the beginning of the last slot in use, or to the release in it: a plan pays no less.
#[must_use]
pub fn certify(market: &Market, prices: &Prices) -> f64 {
    let price = |pool: usize, slot: usize| {
        let given = prices.0.get(pool).and_then(|row| row.get(slot)).copied().unwrap_or(0.0);
        if given.is_finite() && market.pools[pool].capacity[slot].is_finite() { given.max(0.0) } else { 0.0 }
    };
    let mut value = 0.0;
    for task in market.tasks.iter().filter(|task| task.hours > 0.0) {
        let class = &market.classes[task.class];
        if class.mode == Mode::Contiguous {
            continue;
        }
        let places: Vec<Vec<usize>> =
            if class.stays { class.pools.iter().map(|pool| vec![*pool]).collect() } else { vec![class.pools.clone()] };
        let least = places.iter().map(|pools| least(market, task, pools, &price)).fold(f64::INFINITY, f64::min);
        value += if least.is_finite() { least } else { task.hours * unplaced(market, task) };
    }
    for (index, pool) in market.pools.iter().enumerate() {
        for (slot, gpus) in pool.capacity.iter().enumerate() {
            let price = price(index, slot);
            if price > 0.0 {
                value -= price * gpus * market.slot_hours;
            }
        }
    }
    value
}

/// What an hour of work without a place costs.
fn unplaced(market: &Market, task: &Task) -> f64 {
    let class = &market.classes[task.class];
    let dearest = market.pools.iter().flat_map(|pool| &pool.grams_per_kwh).copied().fold(0.0, f64::max);
    let cost = |p: &crate::market::Point| (p.kw * dearest + p.gpus * market.late) / p.speed;
    let least = class.points.iter().filter(|p| p.speed > 0.0).map(cost).fold(f64::INFINITY, f64::min);
    if least.is_finite() { least } else { 0.0 }
}

/// A stretch of time in which every point has one cost: hours, beginning, and (cost, speed) by point and place.
struct Stretch {
    hours: f64,
    begin: f64,
    ways: Vec<(f64, f64)>,
}

/// The least the task can cost in these pools.
fn least(market: &Market, task: &Task, pools: &[usize], price: &dyn Fn(usize, usize) -> f64) -> f64 {
    let (class, h) = (&market.classes[task.class], market.slot_hours);
    let slots = market.pools.first().map_or(0, |pool| pool.capacity.len());
    let mut stretches = Vec::new();
    for slot in 0..slots {
        let (begin, end) = ((slot as f64 * h).max(task.release), (slot + 1) as f64 * h);
        let middle = task.due.clamp(begin.min(end), end);
        for (begin, end, late) in [(begin, middle, 0.0), (middle.max(begin), end, market.late)] {
            if end > begin {
                let of_pool = |&pool: &usize| {
                    let (grams, price) = (market.pools[pool].grams_per_kwh[slot], price(pool, slot) + late);
                    class.points.iter().map(move |p| (p.kw * grams + p.gpus * price, p.speed))
                };
                let ways = pools.iter().flat_map(of_pool).filter(|(_, speed)| *speed > 0.0).collect();
                stretches.push(Stretch { hours: end - begin, begin, ways });
            }
        }
    }
    let unplaced = unplaced(market, task);
    if task.waiting <= 0.0 {
        return at_best_price_of_work(&stretches, task.hours, unplaced);
    }
    // With a cost of waiting the last stretch is chosen first.
    let until = |last: usize| {
        let wait = stretches[..last].last().map_or(0.0, |stretch| stretch.begin - task.release);
        at_best_price_of_work(&stretches[..last], task.hours, unplaced) + task.waiting * wait
    };
    (0..=stretches.len()).map(until).fold(f64::INFINITY, f64::min)
}

/// `v × hours` less what the job gains at that price, for the `v` where this is greatest. It is concave in `v`.
fn at_best_price_of_work(stretches: &[Stretch], hours: f64, unplaced: f64) -> f64 {
    let value = |v: f64| {
        let gain = |s: &Stretch| s.hours * s.ways.iter().map(|(cost, speed)| v * speed - cost).fold(0.0, f64::max);
        v * hours - stretches.iter().map(gain).sum::<f64>()
    };
    // The least and greatest rates at which anything could be worth doing.
    let rates = || stretches.iter().flat_map(|s| &s.ways).map(|(cost, speed)| cost / speed);
    let (mut low, mut high) = (rates().fold(unplaced, f64::min), unplaced);
    for _ in 0..100 {
        let (a, b) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        if value(a) < value(b) { low = a } else { high = b }
    }
    value(low).max(value(high))
}
