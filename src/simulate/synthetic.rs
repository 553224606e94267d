//! The built-in test of planning: so many jobs of known mixture in so many zones over a week, planned once.
//!
//! Everything is drawn from the seed: the same numbers give the same problem on every machine.

use super::options::{Capacity, Options};
use super::policies::gap;
use crate::render::Style;
use crate::session::{Problems, problem};
use neap_model::refusal::{Code, Refusal};
use neap_policies::market::{Class, Effort, Grain, Market, Mode, Point, Pool, Task, solve};
use serde_json::{Value, json};
use std::time::Instant;

/// Slots of a quarter of an hour in seven days.
const SLOTS: usize = 672;
const SLOT_HOURS: f64 = 0.25;
/// Hours over which jobs come.
const ARRIVALS: f64 = 100.0;
const WIDTHS: [f64; 4] = [1.0, 2.0, 4.0, 8.0];
/// Capacity as a multiple of the mean demand over the hours in which jobs come and run, where nothing is said.
const USUAL: f64 = 1.5;

/// Numbers of a seed: a counter through a mixing function.
struct Draws(u64);

impl Draws {
    /// The next one, from 0 to below 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The problem: lengths log-uniform from 0.25 to 48 h in quarters, widths 1 to 8, arrivals over 100 h, slack 6 h below
/// 2 h of length and 24 h above, and zones each with a daily curve of its own.
#[must_use]
pub fn market(jobs: usize, zones: usize, multiple: f64, seed: u64) -> Market {
    let mut draws = Draws(seed);
    let mut tasks = Vec::with_capacity(jobs);
    let mut work = 0.0;
    for _ in 0..jobs {
        let hours = (0.25 * 192f64.powf(draws.next()) / SLOT_HOURS).round().max(1.0) * SLOT_HOURS;
        let class = ((draws.next() * 4.0) as usize).min(3);
        let release = (draws.next() * ARRIVALS / SLOT_HOURS).floor() * SLOT_HOURS;
        let due = release + hours + if hours < 2.0 { 6.0 } else { 24.0 };
        work += hours * WIDTHS[class];
        tasks.push(Task { class, hours, release, due, waiting: 0.0 });
    }
    let class = |width: &f64| Class {
        pools: (0..zones).collect(),
        points: vec![Point { gpus: *width, speed: 1.0, kw: *width }],
        mode: Mode::Interruptible,
        stays: false,
    };
    let gpus = (multiple * work / ARRIVALS / zones as f64).ceil().max(WIDTHS[3]);
    let pools: Vec<Pool> = (0..zones)
        .map(|_| {
            let (mean, swing, phase) = (100.0 + 500.0 * draws.next(), 0.1 + 0.5 * draws.next(), draws.next() * 24.0);
            let mut weather = 0.0;
            let grams = |slot: usize| {
                if slot.is_multiple_of(4) {
                    weather = 0.95 * weather + 0.1 * (draws.next() - 0.5);
                }
                let hour = slot as f64 * SLOT_HOURS;
                let sun = ((hour - phase) / 24.0 * std::f64::consts::TAU).cos();
                mean * (1.0 + swing * sun + weather).max(0.05)
            };
            Pool { capacity: vec![gpus; SLOTS], grams_per_kwh: (0..SLOTS).map(grams).collect() }
        })
        .collect();
    let dirtiest = pools.iter().flat_map(|pool| &pool.grams_per_kwh).copied().fold(0.0, f64::max);
    Market { slot_hours: SLOT_HOURS, pools, classes: WIDTHS.iter().map(class).collect(), tasks, late: 10.0 * dirtiest }
}

/// Plans the problem once.
///
/// # Errors
/// A capacity that is no multiple of the mean demand, or a policy other than ours.
pub fn plan(jobs: usize, zones: usize, options: &Options) -> Result<Value, Problems> {
    if let Some(other) = options.policies.iter().find(|name| *name != "neap") {
        let refusal = Refusal::new(Code::BadValue, format!("--synthetic is planned by neap, not by {other}"));
        return Err(problem(refusal.about("policy", other)));
    }
    let multiple = match options.capacity {
        Capacity::Unlimited => USUAL,
        Capacity::Mean(multiple) => multiple,
        Capacity::Gpus(_) => {
            let refusal =
                Refusal::new(Code::BadValue, "--capacity of the built-in test is a multiple of its mean demand");
            return Err(problem(refusal.hint("--capacity 1.5x", &[])));
        }
    };
    let market = market(jobs, zones, multiple, options.seed);
    let effort = Effort { grain: Grain::Whole, ..Effort::default() };
    let began = Instant::now();
    let solution = solve(&market, effort, None);
    let seconds = if options.timing { json!(began.elapsed().as_secs_f64()) } else { Value::Null };
    let late_jobs = market.tasks.iter().zip(&solution.shares).filter(|(task, shares)| {
        let done: f64 = shares.iter().map(|share| share.hours).sum();
        let end = shares.last().map_or(0.0, |s| s.slot as f64 * SLOT_HOURS + s.hours);
        done < task.hours - 1e-6 || end > task.due + 1e-6
    });
    let unlimited: f64 = market
        .tasks
        .iter()
        .enumerate()
        .map(|(n, task)| {
            let (pool, first) = (&market.pools[n % zones], (task.release / SLOT_HOURS) as usize);
            let slots = (task.hours / SLOT_HOURS).round() as usize;
            let grams: f64 = (first..first + slots).map(|slot| pool.grams_per_kwh[slot.min(SLOTS - 1)]).sum();
            grams * SLOT_HOURS * WIDTHS[task.class]
        })
        .sum();
    let work: f64 = market.tasks.iter().map(|task| task.hours * WIDTHS[task.class]).sum();
    let kwh: f64 = work;
    Ok(json!({
        "schema": "neap.simulate/1",
        "policy": "neap",
        "synthetic_jobs": jobs,
        "zones": (0..zones).map(|n| format!("Z{n}")).collect::<Vec<_>>(),
        "slots": SLOTS,
        "slot_seconds": SLOT_HOURS * 3600.0,
        "capacity_multiple": multiple,
        "capacity_gpus": market.pools[0].capacity[0],
        "carbon_grams": solution.cost,
        "carbon_ratio": solution.cost / unlimited,
        "carbon_ratio_same_capacity": null,
        "late_work_ratio": solution.late_gpu_hours / work,
        "late_jobs": late_jobs.count(),
        "wait_hours_mean": null,
        "wait_hours_p95": null,
        "slowdown_p95": null,
        "peak_gpus": null,
        "energy_kwh": kwh,
        "moves": null,
        "pauses": null,
        "bound_ratio": solution.bound / unlimited,
        "gap_ratio": gap(&solution),
        "realised_over_clairvoyant": null,
        "plan_seconds_p50": seconds,
        "plan_seconds_p99": seconds,
        "plan_seconds_max": seconds,
        "threads": 1,
        "seed": options.seed,
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

/// In a line.
#[must_use]
pub fn text(value: &Value, style: &Style) -> String {
    let figure = |name: &str| value[name].as_f64().unwrap_or(f64::NAN);
    style.draw(format!(
        "{} jobs, {} zones, {SLOTS} slots planned in {:.3} s: carbon {:.4} of run now, gap {:.2} %, {} late\n",
        value["synthetic_jobs"],
        value["zones"].as_array().map_or(0, Vec::len),
        figure("plan_seconds_max"),
        figure("carbon_ratio"),
        figure("gap_ratio") * 100.0,
        value["late_jobs"],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_problem_is_the_same_for_a_seed_and_as_it_is_told() {
        let one = market(500, 3, 1.5, 7);
        assert_eq!(one, market(500, 3, 1.5, 7));
        assert_ne!(one.tasks, market(500, 3, 1.5, 8).tasks);
        assert!(one.tasks.iter().all(|t| (0.25..=48.0).contains(&t.hours) && t.release < ARRIVALS && t.due <= 172.0));
        assert!(one.pools.iter().flat_map(|pool| &pool.grams_per_kwh).all(|grams| *grams > 0.0));
        let short = one.tasks.iter().filter(|task| task.hours < 2.0).count();
        assert!((150..250).contains(&short), "{short} of 500 are below 2 h: log-uniform");
    }
}
