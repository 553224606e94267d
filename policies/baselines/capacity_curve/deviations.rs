//! How far each hour's share of the flexible load departs from an even one: the programme behind a day's capacity
//! curve.

/// The day ahead of one zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Day {
    /// Intensity by hour, in g/kWh.
    pub intensity: Vec<f64>,
    /// Load that cannot move, by hour, in GPUs.
    pub inflexible: Vec<f64>,
    /// Load that can, over the whole day, in GPU-hours.
    pub flexible: f64,
    /// Power over load as points (GPUs, kW), both rising, the slope never falling; it goes on behind the last.
    pub power: Vec<(f64, f64)>,
    /// No hour's share departs from the even one by more than this part of it.
    pub most: f64,
    /// What a gram counts.
    pub carbon: f64,
    /// What a kW of the day's highest power counts.
    pub peak: f64,
}

/// A stretch of load in one hour at one cost.
#[derive(Clone, Copy, Debug)]
struct Step {
    cost: f64,
    hour: usize,
    from: f64,
    until: f64,
}

/// The deviations `d(h)`, Σ d = 0, |d| ≤ `most`, that minimise `carbon·Σ I(h)·P(h) + peak·max P(h)` for the load
/// `inflexible(h) + (1 + d(h))·flexible/hours`. All zero without flexible load.
///
/// At a given highest load the cheapest steps first are best; the cost is convex in that load, which is searched.
#[must_use]
pub fn deviations(day: &Day) -> Vec<f64> {
    let hours = day.intensity.len().min(day.inflexible.len());
    let even = day.flexible / hours.max(1) as f64;
    if hours == 0 || even <= 0.0 || day.power.len() < 2 {
        return vec![0.0; hours];
    }
    let most = day.most.clamp(0.0, 1.0);
    let highest = day.inflexible[..hours].iter().copied().fold(0.0, f64::max) + even * (1.0 + most);
    let steps = steps(day, hours, even, most);
    // An even share is always possible, so the least highest load lies at or below that of the even one.
    let (mut low, mut high) = (0.0, highest);
    for _ in 0..100 {
        let (a, b) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        if cost(day, &steps, hours, even, most, a) <= cost(day, &steps, hours, even, most, b) {
            high = b;
        } else {
            low = a;
        }
    }
    fill(day, &steps, hours, even, most, high).0.into_iter().map(|share| share / even - 1.0).collect()
}

/// Every hour's load between its least and its most, cut where the slope of the power changes, cheapest first.
fn steps(day: &Day, hours: usize, even: f64, most: f64) -> Vec<Step> {
    let mut steps = Vec::new();
    for hour in 0..hours {
        let (least, top) = (day.inflexible[hour] + even * (1.0 - most), day.inflexible[hour] + even * (1.0 + most));
        for (index, pair) in day.power.windows(2).enumerate() {
            let begins = if index == 0 { f64::NEG_INFINITY } else { pair[0].0 };
            let ends = if index + 2 == day.power.len() { f64::INFINITY } else { pair[1].0 };
            let (from, until) = (begins.max(least), ends.min(top));
            let slope = (pair[1].1 - pair[0].1) / (pair[1].0 - pair[0].0);
            if from < until {
                steps.push(Step { cost: day.carbon * day.intensity[hour] * slope, hour, from, until });
            }
        }
    }
    steps.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(a.hour.cmp(&b.hour)).then(a.from.total_cmp(&b.from)));
    steps
}

/// The flexible share of every hour with no load above `limit`, what its movable part costs, and what found no room.
fn fill(day: &Day, steps: &[Step], hours: usize, even: f64, most: f64, limit: f64) -> (Vec<f64>, f64, f64) {
    let mut share = vec![even * (1.0 - most); hours];
    let (mut left, mut cost) = (even * most * hours as f64, 0.0);
    for step in steps {
        let taken = (step.until.min(limit) - step.from).max(0.0).min(left);
        share[step.hour] += taken;
        cost += step.cost * taken;
        left -= taken;
    }
    let load = share.iter().zip(&day.inflexible).map(|(a, b)| a + b).fold(0.0, f64::max);
    (share, cost + day.peak * power(&day.power, load), left)
}

fn cost(day: &Day, steps: &[Step], hours: usize, even: f64, most: f64, limit: f64) -> f64 {
    let (_, cost, left) = fill(day, steps, hours, even, most, limit);
    // Too low a limit must look worse the lower it is, so that the search turns back.
    let worst = 1.0 + steps.iter().map(|s| s.cost).fold(0.0, f64::max) + day.peak * slope_of_last(&day.power);
    cost + left * worst * 1e6
}

fn slope_of_last(points: &[(f64, f64)]) -> f64 {
    let [.., a, b] = points else { return 0.0 };
    (b.1 - a.1) / (b.0 - a.0)
}

fn power(points: &[(f64, f64)], load: f64) -> f64 {
    let index = points.partition_point(|point| point.0 <= load).clamp(1, points.len() - 1);
    let (a, b) = (points[index - 1], points[index]);
    a.1 + (load - a.0) * (b.1 - a.1) / (b.0 - a.0)
}
