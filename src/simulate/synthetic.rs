//! The built-in test of planning: so many made-up jobs in so many zones over a week, planned once.

use super::options::{Capacity, Options};
use super::policies::gap;
use crate::render::Style;
use crate::session::{Problems, problem};
use neap_model::refusal::{Code, Refusal};
use neap_policies::market::{Effort, Grain, Task, solve, synthetic};
use serde_json::{Value, json};
use std::time::Instant;

/// Capacity as a multiple of the mean demand over the hours of arrivals, where nothing is said.
const USUAL: f64 = 1.5;

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
    let mut market = synthetic(jobs, zones, options.seed, 1.0);
    // A multiple means here what it means for a trace: of the mean demand over the hours in which jobs come.
    let work: f64 = market.tasks.iter().map(|task| task.hours * market.classes[task.class].points[0].gpus).sum();
    let widest = market.classes.iter().map(|class| class.points[0].gpus).fold(1.0, f64::max);
    let hours = market.tasks.iter().map(|task| task.release).fold(0.0, f64::max).ceil().max(1.0);
    let gpus = (multiple * work / hours / zones as f64).ceil().max(widest);
    market.pools.iter_mut().for_each(|pool| pool.capacity.fill(gpus));
    let effort = Effort { grain: Grain::Whole, ..Effort::default() };
    let began = Instant::now();
    let solution = solve(&market, effort, None);
    let seconds = if options.timing { json!(began.elapsed().as_secs_f64()) } else { Value::Null };
    let late_jobs = market.tasks.iter().zip(&solution.shares).filter(|(task, shares)| {
        let done: f64 = shares.iter().map(|share| share.hours).sum();
        let end = shares.iter().last().map_or(0.0, |s| s.slot as f64 * market.slot_hours + s.hours);
        done < task.hours - 1e-6 || end > task.due + 1e-6
    });
    // Job n runs at once in zone n mod their number.
    let at_once = |(n, task): (usize, &Task)| {
        let point = market.classes[task.class].points[0];
        let grams = &market.pools[n % zones].grams_per_kwh;
        let (first, slots) =
            ((task.release / market.slot_hours) as usize, (task.hours / market.slot_hours).round() as usize);
        let sum: f64 = (first..first + slots).map(|slot| grams[slot.min(grams.len() - 1)]).sum();
        sum * market.slot_hours * point.kw
    };
    let unlimited: f64 = market.tasks.iter().enumerate().map(at_once).sum();
    let kwh: f64 = market.tasks.iter().map(|task| task.hours * market.classes[task.class].points[0].kw).sum();
    Ok(json!({
        "schema": "neap.simulate/1",
        "policy": "neap",
        "synthetic_jobs": jobs,
        "zones": (0..zones).map(|n| format!("Z{n}")).collect::<Vec<_>>(),
        "slots": market.pools[0].grams_per_kwh.len(),
        "slot_seconds": market.slot_hours * 3600.0,
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
        "gap_ratio": gap(solution.cost, solution.bound),
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
        "{} jobs, {} zones, {} slots planned in {:.3} s: carbon {:.4} of run now, gap {:.2} %, {} late\n",
        value["synthetic_jobs"],
        value["zones"].as_array().map_or(0, Vec::len),
        value["slots"],
        figure("plan_seconds_max"),
        figure("carbon_ratio"),
        figure("gap_ratio") * 100.0,
        value["late_jobs"],
    ))
}
