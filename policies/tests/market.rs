//! The solver against known answers of published traces, where they are.
#![allow(clippy::print_stderr, clippy::disallowed_methods, reason = "figures are shown beside what they must reach")]

mod data;

use neap_policies::certificate::check;
use neap_policies::market::{Class, Effort, Market, Mode, Point, Pool, Task, solve};
use neap_policies::replay::Case;

/// A trace as a market of hour slots: every zone a pool of that capacity, classes by width (and by home, if jobs stay).
fn market(case: &Case, capacity: f64, zones: &[usize], stays: bool) -> Market {
    let end = case.jobs.iter().map(|job| job.arrival + job.length + job.slack).fold(0.0, f64::max);
    let slots = (end / 3600.0).ceil() as usize + 24;
    let pool = |place: &usize| Pool {
        capacity: vec![capacity; slots],
        grams_per_kwh: (0..slots).map(|slot| case.places[*place].curve.at(slot as f64 * 3600.0)).collect(),
    };
    let pools: Vec<Pool> = zones.iter().map(pool).collect();
    let highest = pools.iter().flat_map(|pool| &pool.grams_per_kwh).fold(0.0, |a: f64, b| a.max(*b));
    let widths: Vec<f64> = (1..=8).map(f64::from).collect();
    let class = |gpus: &f64| Class {
        pools: (0..pools.len()).collect(),
        points: vec![Point { gpus: *gpus, speed: 1.0, kw: gpus * case.kw_per_gpu }],
        mode: Mode::Interruptible,
        stays,
    };
    let task = |job: &neap_policies::replay::TraceJob| Task {
        class: job.width as usize - 1,
        hours: job.length / 3600.0,
        release: job.arrival / 3600.0,
        due: (job.arrival + job.length + job.slack) / 3600.0,
        waiting: 0.0,
    };
    Market {
        slot_hours: 1.0,
        classes: widths.iter().map(class).collect(),
        tasks: case.jobs.iter().map(task).collect(),
        late: 10.0 * highest * case.kw_per_gpu,
        pools,
    }
}

/// What running every job at once at home emits.
fn run_now(case: &Case) -> f64 {
    let grams = |job: &neap_policies::replay::TraceJob| {
        let place = &case.places[job.home];
        job.width * case.kw_per_gpu * place.curve.integral(job.arrival, job.arrival + job.length)
    };
    case.jobs.iter().map(grams).sum()
}

/// Solves it, audits it, and compares its cost with what must be reached.
fn reach(what: &str, case: &Case, market: &Market, best: f64, within: f64) {
    let solution = solve(market, Effort::default(), None);
    let now = run_now(case);
    let (cost, bound) = (solution.cost / now, solution.bound / now);
    let late = solution.late_gpu_hours;
    eprintln!("{what}: {cost:.6}, bound {bound:.6}, to reach {best} + {within}, late {late}");
    assert_eq!(check(market, &solution), vec![]);
    assert_eq!(solution.late_gpu_hours, 0.0);
    // Known to four digits.
    assert!(cost <= (best + 0.5e-4) * (1.0 + within), "{what}: {cost}");
    assert!(cost >= best - 1e-4, "{what}: {cost} is below what can be");
    assert!(bound >= cost * 0.99, "{what}: only {bound} is proven");
}

const MEAN: f64 = 3192.58 / 168.0;

#[test]
fn one_zone_without_limit() {
    for (zone, best) in [("AU-SA", 0.5462), ("US-CAL-CISO", 0.7260), ("DE", 0.8652)] {
        let Some(case) = data::set_up_g(&[zone], 7000, false) else { return };
        reach(zone, &case, &market(&case, f64::INFINITY, &[0], false), best, 0.0);
    }
}

fn with_limit(zone: &str, bests: [f64; 3]) {
    let Some(case) = data::set_up_g(&[zone], 7000, false) else { return };
    for (multiple, best) in [1.5, 2.0, 3.0].into_iter().zip(bests) {
        reach(&format!("{zone} {multiple}"), &case, &market(&case, multiple * MEAN, &[0], false), best, 0.0);
    }
}

#[test]
fn one_zone_with_limit() {
    with_limit("AU-SA", [0.6324, 0.5877, 0.5568]);
}

#[test]
#[ignore = "long: cargo test --release -p neap-policies --test market -- --ignored --nocapture"]
fn other_zones_with_limit() {
    with_limit("US-CAL-CISO", [0.8307, 0.7700, 0.7297]);
    with_limit("DE", [0.8955, 0.8807, 0.8687]);
}

/// Five zones, a fifth of the capacity in each.
fn five_zones(stays: bool, within: f64) {
    let zones = ["US-CAL-CISO", "DE", "GB", "AU-NSW", "PL"];
    let Some(case) = data::set_up_g(&zones, 7000, false) else { return };
    for (multiple, best) in [(1.25, 0.6967), (1.5, 0.6170), (2.0, 0.5386), (3.0, 0.4642)] {
        let market = market(&case, multiple * MEAN / 5.0, &[0, 1, 2, 3, 4], stays);
        reach(&format!("five zones {multiple}, stays: {stays}"), &case, &market, best, within);
    }
}

#[test]
#[ignore = "long: cargo test --release -p neap-policies --test market -- --ignored --nocapture"]
fn five_zones_with_limit() {
    five_zones(false, 0.0);
}

#[test]
#[ignore = "long: cargo test --release -p neap-policies --test market -- --ignored --nocapture"]
fn five_zones_with_limit_one_for_each_job() {
    five_zones(true, 0.01);
}
