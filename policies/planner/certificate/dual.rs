//! Prices of room that make the bound as high as a bounded effort can.

use super::ways::{How, Instant, Way};

/// Ways to run that are looked at in all rounds together.
const EFFORT: usize = 4_000_000;

/// Rounds at most.
const ROUNDS: usize = 300;

/// So many jobs are seen to want all that they want by one mean over the rounds.
const MANY_JOBS: usize = 32;

/// With fewer rounds than that, some of the jobs go first.
const FEW_ROUNDS: usize = 100;

/// When the gap is smaller than that share, prices are good enough.
const GOOD: f64 = 1e-4;

/// What sums of so many figures may be wrong by, as a share of their size.
const ROUNDING: f64 = 1e-10;

/// Below that, squares of unit-hours are rounding.
const TINY: f64 = 1e-18;

/// Jobs at prices of room. Emissions are in the finest step of grams.
#[derive(Debug, Default)]
pub(super) struct Dual {
    /// Unit-hours by kind of room and cell.
    supplies: Vec<Vec<f64>>,
    jobs: Vec<Vec<Way>>,
}

impl Dual {
    pub fn new(supplies: Vec<Vec<f64>>) -> Self {
        Self { supplies, jobs: Vec::new() }
    }

    pub fn add(&mut self, ways: Vec<Way>) {
        self.jobs.push(ways);
    }

    /// The best bound found by averaged subgradient steps (the volume algorithm) and the prices that prove it, by kind of
    /// room and cell in the finest step of grams for a unit-hour. Where there are many jobs, prices begin with what some of
    /// them find who share as much of the room as they bring of the work.
    pub fn raise(&self, planned: f64) -> (f64, Vec<Vec<f64>>) {
        let looks = self.looks().max(1);
        let zero = || self.supplies.iter().map(|cells| vec![0.0; cells.len()]).collect();
        if looks.saturating_mul(FEW_ROUNDS) <= EFFORT {
            return self.climb(planned, zero(), EFFORT / looks, 0.5);
        }
        let every = (2 * FEW_ROUNDS * looks).div_ceil(EFFORT);
        let some = self.sample(every);
        let share = some.work() / self.work().max(TINY);
        let first = some.climb(planned * share, zero(), EFFORT / 2 / some.looks().max(1), 0.5).1;
        self.climb(planned, first, EFFORT / 2 / looks, 0.1)
    }

    /// Ways that are looked at in one round.
    fn looks(&self) -> usize {
        let way = |way: &Way| match &way.how {
            How::Once { .. } => 1,
            How::Pieces { stretches, likely, .. } => (4 + likely.len()) * stretches.len(),
        };
        self.jobs.iter().flatten().map(way).sum()
    }

    /// Unit-hours that the jobs need.
    fn work(&self) -> f64 {
        let hours = |way: &Way| match &way.how {
            How::Once { from, until, .. } => (until.0 as f64 + until.1) - (from.0 as f64 + from.1),
            How::Pieces { hours, .. } => *hours,
        };
        self.jobs.iter().filter_map(|ways| ways.first()).map(|way| way.units * hours(way)).sum()
    }

    /// Every so-many-th job, with its share of the room.
    fn sample(&self, every: usize) -> Self {
        let mut some = Self { supplies: Vec::new(), jobs: self.jobs.iter().step_by(every).cloned().collect() };
        let share = some.work() / self.work().max(TINY);
        some.supplies = self.supplies.iter().map(|cells| cells.iter().map(|cell| cell * share).collect()).collect();
        some
    }

    /// So many rounds from these prices on.
    fn climb(&self, planned: f64, mut prices: Vec<Vec<f64>>, rounds: usize, reach: f64) -> (f64, Vec<Vec<f64>>) {
        let (mut best, mut mean) = self.value(&prices);
        let mut there = mean.clone();
        let rounds = rounds.min(ROUNDS);
        let (mut reach, mut failures) = (reach, 0);
        for round in 0..rounds {
            if planned - best <= GOOD * planned {
                break;
            }
            let direction: Vec<Vec<f64>> = prices
                .iter()
                .zip(mean.iter().zip(&self.supplies))
                .map(|(prices, (asked, there))| {
                    let over = |((price, asked), there): ((&f64, &f64), &f64)| {
                        let over = asked - there;
                        if *price <= 0.0 && over < 0.0 { 0.0 } else { over }
                    };
                    prices.iter().zip(asked).zip(there).map(over).collect()
                })
                .collect();
            let norm: f64 = direction.iter().flatten().map(|over| over * over).sum();
            if norm < TINY {
                // The mean of what was asked at prices far from these says that all fits. Do they say so, too?
                if mean == there {
                    break;
                }
                mean.clone_from(&there);
                (reach, failures) = (0.25 * reach, 0);
                continue;
            }
            let step = reach * (planned - best).max(1e-5 * best.abs()) / norm;
            let tried: Vec<Vec<f64>> = prices
                .iter()
                .zip(&direction)
                .map(|(prices, over)| {
                    prices.iter().zip(over).map(|(price, over)| (price + step * over).max(0.0)).collect()
                })
                .collect();
            let (value, asked) = self.value(&tried);
            let fresh = self.fresh(&prices, &mean, &asked, if round < 10 { 0.3 } else { 0.15 });
            for (mean, asked) in mean.iter_mut().flatten().zip(asked.iter().flatten()) {
                *mean = fresh * asked + (1.0 - fresh) * *mean;
            }
            if value > best {
                (best, prices, reach, failures) = (value, tried, f64::min(2.0, 1.1 * reach), 0);
                there = asked;
            } else {
                failures += 1;
                if failures == 3 {
                    (reach, failures) = (0.7 * reach, 0);
                }
            }
        }
        (best, prices)
    }

    /// How much of what is asked now goes into the mean: as much as brings the mean nearest to what there is, at most `most`
    /// (Barahona and Anbil, Math. Program. 87, 2000). Few jobs that all want one hour and then all the next would otherwise
    /// never be seen to want both.
    fn fresh(&self, prices: &[Vec<f64>], mean: &[Vec<f64>], asked: &[Vec<f64>], most: f64) -> f64 {
        if self.jobs.len() >= MANY_JOBS {
            return most;
        }
        let (mut toward, mut apart) = (0.0, 0.0);
        let cells = prices.iter().flatten().zip(self.supplies.iter().flatten());
        for ((price, there), (mean, asked)) in cells.zip(mean.iter().flatten().zip(asked.iter().flatten())) {
            // Room that is left over and costs nothing pulls nowhere.
            let over = |of: f64| if *price > 0.0 { of - there } else { (of - there).max(0.0) };
            let (mean, asked) = (over(*mean), over(*asked));
            toward += mean * (mean - asked);
            apart += (mean - asked) * (mean - asked);
        }
        if apart > TINY { (toward / apart).clamp(most / 10.0, most) } else { most }
    }

    /// The bound that these prices prove, and the unit-hours the jobs then ask for.
    fn value(&self, prices: &[Vec<f64>]) -> (f64, Vec<Vec<f64>>) {
        let sums: Vec<Vec<f64>> = prices.iter().map(|cells| prefix(cells)).collect();
        let mut asked: Vec<Vec<f64>> = prices.iter().map(|cells| vec![0.0; cells.len()]).collect();
        let worth = |(prices, there): (&Vec<f64>, &Vec<f64>)| prices.iter().zip(there).map(|(p, t)| p * t).sum::<f64>();
        let mut total = -prices.iter().zip(&self.supplies).map(worth).sum::<f64>();
        let mut gross = -total;
        for ways in &self.jobs {
            let costs = ways.iter().map(|way| cost(way, prices, &sums));
            let least = costs.enumerate().min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
            let Some((index, cost)) = least else { continue };
            (total, gross) = (total + cost, gross + cost);
            let way = &ways[index];
            demand(way, prices, &mut asked);
        }
        // Large prices cancel out to the truth but for rounding, which must not lift the bound.
        (total - ROUNDING * gross, asked)
    }
}

/// The integral of prices up to the beginning of each cell.
fn prefix(cells: &[f64]) -> Vec<f64> {
    let mut sum = 0.0;
    let mut before = Vec::with_capacity(cells.len());
    for price in cells {
        before.push(sum);
        sum += price;
    }
    before
}

fn upto(prices: &[f64], sums: &[f64], (cell, hours): Instant) -> f64 {
    sums[cell] + prices[cell] * hours
}

fn cost(way: &Way, prices: &[Vec<f64>], sums: &[Vec<f64>]) -> f64 {
    match &way.how {
        How::Once { from, until, emits } => way.takes().fold(*emits, |cost, (kind, units)| {
            let (prices, sums) = (&prices[kind], &sums[kind]);
            cost + units * (upto(prices, sums, *until) - upto(prices, sums, *from))
        }),
        How::Pieces { beyond, .. } => beyond + cheapest(way, prices).iter().map(|(_, _, cost)| cost).sum::<f64>(),
    }
}

fn demand(way: &Way, prices: &[Vec<f64>], asked: &mut [Vec<f64>]) {
    match &way.how {
        How::Once { from, until, .. } => {
            for (kind, units) in way.takes() {
                for (cell, asked) in asked[kind].iter_mut().enumerate().take(until.0 + 1).skip(from.0) {
                    let begin = if cell == from.0 { from.1 } else { 0.0 };
                    let end = if cell == until.0 { until.1 } else { 1.0 };
                    *asked += units * (end - begin);
                }
            }
        }
        How::Pieces { .. } => {
            for (cell, hours, _) in cheapest(way, prices) {
                way.takes().for_each(|(kind, units)| asked[kind][cell] += units * hours);
            }
        }
    }
}

/// The cheapest stretches that add up to the run: cell, hours taken, cost.
///
/// Of a job that may be over sooner, for each of its likely lengths by itself: the cheapest hours for as long as it runs, and
/// the cheapest room for the rest, each counted as often as that length. No choice of stretches made without knowing the
/// length is cheaper than that.
fn cheapest(way: &Way, prices: &[Vec<f64>]) -> Vec<(usize, f64, f64)> {
    let How::Pieces { stretches, hours, likely, .. } = &way.how else { return Vec::new() };
    let room = |cell: usize| way.takes().fold(0.0, |price, (kind, units)| price + units * prices[kind][cell]);
    let sorted = |mut order: Vec<(f64, usize)>| {
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        order
    };
    let whole = stretches.iter().enumerate().map(|(index, stretch)| {
        let emits = stretch.emits / stretch.hours;
        (way.takes().fold(emits, |price, (kind, units)| price + units * prices[kind][stretch.cell]), index)
    });
    let whole = sorted(whole.collect());
    let take = |order: &[(f64, usize)], hours: f64, share: f64| -> Vec<(usize, f64, f64)> {
        let mut left = hours;
        let one = |(price, index): &(f64, usize)| {
            let stretch = &stretches[*index];
            let hours = stretch.hours.min(left);
            left -= hours;
            (hours > 0.0).then_some((stretch.cell, share * hours, share * price * hours))
        };
        order.iter().map_while(one).collect()
    };
    if likely.is_empty() {
        return take(&whole, *hours, 1.0);
    }
    let idle = stretches.iter().enumerate().map(|(index, stretch)| (room(stretch.cell), index));
    let (idle, share) = (sorted(idle.collect()), 1.0 / likely.len() as f64);
    likely.iter().flat_map(|run| [take(&whole, *run, share), take(&idle, hours - run, share)]).flatten().collect()
}
