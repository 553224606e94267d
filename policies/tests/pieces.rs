//! Jobs that may pause on whole GPUs: what no plan may do, over random markets, and the figures of the shared traces.
//!
//! The long ones: `cargo test -p neap-policies --release --test pieces -- --ignored --nocapture`.
#![allow(clippy::print_stderr, clippy::disallowed_methods, reason = "figures are printed beside their targets")]

mod data;

use neap_policies::market::{Class, Market, Mode, Point, Pool, Task};
use neap_policies::pieces::{Effort, Laid, Pause, Piece, check, plan};
use neap_policies::replay::{Case, TraceJob};
use proptest::prelude::*;

const HOUR: f64 = 3.6e9;

/// What pieces cost, slot by slot, with nothing of the planner's.
fn grams(market: &Market, pause: Pause, runs: &[Vec<Piece>]) -> f64 {
    let mut sum = 0.0;
    for (task, run) in market.tasks.iter().zip(runs) {
        let point = market.classes[task.class].points[0];
        let rate = |piece: &Piece, at: f64| market.pools[piece.pool].grams_per_kwh[(at / market.slot_hours) as usize];
        for piece in run {
            let (from, until) = (piece.from as f64 / HOUR, piece.until as f64 / HOUR);
            for slot in 0..market.pools[0].capacity.len() {
                let (begin, end) = (slot as f64 * market.slot_hours, (slot + 1) as f64 * market.slot_hours);
                let hours = (end.min(until) - begin.max(from)).max(0.0);
                sum += hours * point.kw * market.pools[piece.pool].grams_per_kwh[slot];
            }
            sum += market.late * point.gpus * (until - from.max(task.due)).max(0.0);
        }
        for pair in run.windows(2) {
            let again = point.kw * pause.hours + pause.kwh;
            sum += again * rate(&pair[1], pair[1].from as f64 / HOUR + 1e-9);
        }
        let end = run.last().map_or(task.release, |piece| piece.until as f64 / HOUR);
        sum += task.waiting * (end - task.release);
    }
    sum
}

/// A market in which there is room for everybody in the end.
fn market_by_chance() -> impl Strategy<Value = Market> {
    let task = (1..5_usize, 1..400_u32, 0..500_u32, 0..400_u32);
    let pools = prop::collection::vec((4..7_u32, prop::collection::vec(10..500_u32, 6)), 1..4);
    (pools, prop::collection::vec(task, 1..14), any::<bool>(), 0..3_u32).prop_map(|(pools, tasks, stays, waiting)| {
        let hours = |hundredths: u32| f64::from(hundredths) / 100.0;
        let tasks: Vec<Task> = tasks
            .into_iter()
            .map(|(width, length, release, slack)| Task {
                class: width - 1,
                hours: hours(length),
                release: hours(release),
                due: hours(release) + hours(length) + hours(slack),
                waiting: if waiting == 0 { 3.0 } else { 0.0 },
            })
            .collect();
        let slots = 20 + tasks.iter().map(|task| task.hours).sum::<f64>() as usize;
        let pool = |(gpus, grams): &(u32, Vec<u32>)| Pool {
            capacity: vec![f64::from(*gpus); slots],
            grams_per_kwh: (0..slots).map(|slot| f64::from(grams[slot % grams.len()])).collect(),
        };
        let class = |width: u32| Class {
            pools: (0..pools.len()).collect(),
            points: vec![Point { gpus: f64::from(width), speed: 1.0, kw: 0.4 * f64::from(width) }],
            mode: Mode::Interruptible,
            stays,
        };
        Market {
            slot_hours: 1.0,
            classes: (1..=4).map(class).collect(),
            pools: pools.iter().map(pool).collect(),
            tasks,
            late: 2000.0,
        }
    })
}

fn small(steps: usize) -> Effort {
    Effort { steps, ..Effort::default() }
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1.0)
}

/// Holds a plan to everything that must be so, whatever the market.
fn hold(market: &Market, pause: Pause, laid: &Laid) {
    assert_eq!(check(market, &laid.runs), vec![]);
    let cost = grams(market, pause, &laid.runs);
    assert!(same(cost, laid.cost), "{cost} is told as {}", laid.cost);
    assert!(laid.cost >= laid.bound - 1e-6 * laid.bound.abs(), "{} under its bound {}", laid.cost, laid.bound);
    for (job, (task, run)) in market.tasks.iter().zip(&laid.runs).enumerate() {
        let is_late = run.last().is_some_and(|piece| piece.until as f64 > task.due * HOUR + 1.0);
        assert_eq!(is_late, laid.late.contains(&job), "job {job}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 96 } else { 2000 }))]

    #[test]
    fn no_plan_uses_more_gpus_than_there_are_or_leaves_work_undone_or_beats_its_bound(market in market_by_chance()) {
        hold(&market, Pause::default(), &plan(&market, Pause::default(), small(60)));
    }

    #[test]
    fn nor_does_one_in_which_pauses_cost_something(market in market_by_chance()) {
        let pause = Pause { hours: 0.05, kwh: 0.02 };
        hold(&market, pause, &plan(&market, pause, small(60)));
    }

    #[test]
    fn the_same_market_gives_the_same_pieces(market in market_by_chance()) {
        let laid = plan(&market, Pause::default(), small(60));
        prop_assert_eq!(laid, plan(&market, Pause::default(), small(60)));
    }
}

fn of_one_pool(gpus: f64, grams: &[f64], jobs: &[(f64, f64, f64, f64)]) -> Market {
    let class = |width: &f64| Class {
        pools: vec![0],
        points: vec![Point { gpus: *width, speed: 1.0, kw: *width }],
        mode: Mode::Interruptible,
        stays: false,
    };
    let task = |(n, (_, hours, release, due)): (usize, &(f64, f64, f64, f64))| Task {
        class: n,
        hours: *hours,
        release: *release,
        due: *due,
        waiting: 0.0,
    };
    Market {
        slot_hours: 1.0,
        pools: vec![Pool { capacity: vec![gpus; grams.len()], grams_per_kwh: grams.to_vec() }],
        classes: jobs.iter().map(|job| class(&job.0)).collect(),
        tasks: jobs.iter().enumerate().map(task).collect(),
        late: 1e4,
    }
}

#[test]
fn three_jobs_of_forty_minutes_share_two_gpus_for_one_clean_hour() {
    let third = 2.0 / 3.0;
    let jobs = [(1.0, third, 0.0, 6.0); 3];
    let market = of_one_pool(2.0, &[500.0, 500.0, 10.0, 500.0, 500.0, 500.0], &jobs);
    let laid = plan(&market, Pause::default(), Effort::default());
    hold(&market, Pause::default(), &laid);
    // The hour is full: one of the three is broken within it.
    assert!(same(laid.cost, 20.0), "{laid:?}");
}

#[test]
fn a_wide_job_waits_for_its_whole_width() {
    // Two of three GPUs are taken in the clean hour by one that has no other.
    let jobs = [(2.0, 1.0, 1.0, 2.0), (2.0, 1.0, 0.0, 3.0)];
    let market = of_one_pool(3.0, &[100.0, 10.0, 50.0, 100.0], &jobs);
    let laid = plan(&market, Pause::default(), Effort::default());
    hold(&market, Pause::default(), &laid);
    assert!(same(laid.cost, 2.0 * 10.0 + 2.0 * 50.0), "{laid:?}");
    assert!(laid.late.is_empty());
}

#[test]
fn where_nothing_costs_anything_all_run_in_time() {
    let market = of_one_pool(2.0, &[0.0; 6], &[(1.0, 1.5, 0.0, 2.0), (2.0, 2.0, 0.0, 6.0), (1.0, 1e-9, 0.5, 1.0)]);
    for pause in [Pause::default(), Pause { hours: 0.1, kwh: 0.0 }] {
        let laid = plan(&market, pause, Effort::default());
        hold(&market, pause, &laid);
        assert_eq!((laid.cost, laid.late), (0.0, vec![]));
    }
}

#[test]
fn a_job_pauses_only_where_that_saves_more_than_it_costs() {
    let market = of_one_pool(1.0, &[10.0, 40.0, 10.0, 10.0, 90.0, 90.0], &[(1.0, 2.0, 0.0, 3.0)]);
    let pieces = |kwh: f64| plan(&market, Pause { hours: 0.0, kwh }, Effort::default()).runs[0].len();
    // 30 g are saved by the pause, which costs 10 g a kWh when the job goes on.
    assert_eq!((pieces(0.0), pieces(2.5), pieces(3.5)), (2, 2, 1));
}

/// A trace as a market of hour slots: every zone a pool of so many GPUs, classes by width.
fn market(case: &Case, gpus: f64, stays: bool) -> Market {
    let end = case.jobs.iter().map(|job| job.arrival + job.length + job.slack).fold(0.0, f64::max);
    let slots = (end / 3600.0).ceil() as usize + 24;
    let pools: Vec<Pool> = case
        .places
        .iter()
        .map(|place| Pool {
            capacity: vec![gpus; slots],
            grams_per_kwh: (0..slots).map(|slot| place.curve.at(slot as f64 * 3600.0)).collect(),
        })
        .collect();
    let highest = pools.iter().flat_map(|pool| &pool.grams_per_kwh).fold(0.0, |a: f64, b| a.max(*b));
    let class = |width: u32| Class {
        pools: (0..pools.len()).collect(),
        points: vec![Point { gpus: f64::from(width), speed: 1.0, kw: f64::from(width) * case.kw_per_gpu }],
        mode: Mode::Interruptible,
        stays,
    };
    let task = |job: &TraceJob| Task {
        class: job.width as usize - 1,
        hours: job.length / 3600.0,
        release: job.arrival / 3600.0,
        due: (job.arrival + job.length + job.slack) / 3600.0,
        waiting: 0.0,
    };
    Market {
        slot_hours: 1.0,
        classes: (1..=4).map(class).collect(),
        tasks: case.jobs.iter().map(task).collect(),
        late: 10.0 * highest * case.kw_per_gpu,
        pools,
    }
}

/// Plans it, holds it to its bound within `near`, and nobody may be late.
fn reach(what: &str, case: &Case, gpus: f64, stays: bool, near: f64) {
    let market = market(case, gpus, stays);
    let laid = plan(&market, Pause::default(), Effort::default());
    hold(&market, Pause::default(), &laid);
    let above = laid.cost / laid.bound - 1.0;
    let now = |job: &TraceJob| {
        let curve = &case.places[job.home].curve;
        job.width * case.kw_per_gpu * curve.integral(job.arrival, job.arrival + job.length)
    };
    let now: f64 = case.jobs.iter().map(now).sum();
    let pieces: usize = laid.runs.iter().map(Vec::len).sum();
    eprintln!(
        "{what} {gpus}, stays: {stays}: {:.4}, bound {:.4}, {:.3} % above, {} late, {pieces} pieces",
        laid.cost / now,
        laid.bound / now,
        100.0 * above,
        laid.late.len()
    );
    assert_eq!(laid.late, Vec::<usize>::new(), "{what} {gpus}");
    assert!(above <= near, "{what} {gpus}: {above}");
}

#[test]
fn in_the_smallest_room_of_one_zone_nobody_is_late_and_the_bound_is_near() {
    let Some(case) = data::set_up_g(&["AU-SA"], 7000, false) else { return };
    reach("AU-SA", &case, 28.0, false, 0.001);
}

#[test]
#[ignore = "long: cargo test --release -p neap-policies --test pieces -- --ignored --nocapture"]
fn in_all_nine_cells_nobody_is_late_and_the_bound_is_near() {
    for zone in ["AU-SA", "US-CAL-CISO", "DE"] {
        let Some(case) = data::set_up_g(&[zone], 7000, false) else { return };
        for gpus in [28.0, 38.0, 57.0] {
            reach(zone, &case, gpus, false, 0.001);
        }
    }
}

#[test]
#[ignore = "long: cargo test --release -p neap-policies --test pieces -- --ignored --nocapture"]
fn in_other_zones_and_weeks_it_is_no_worse() {
    for zone in ["GB", "CA-ON", "FR", "PL", "AU-NSW", "AU-SA", "US-CAL-CISO", "DE"] {
        for row in [0, 3000, 5000] {
            let Some(case) = data::set_up_g(&[zone], row, false) else { return };
            reach(&format!("{zone} from row {row}"), &case, 28.0, false, 0.005);
        }
    }
}

#[test]
#[ignore = "long: cargo test --release -p neap-policies --test pieces -- --ignored --nocapture"]
fn in_five_zones_of_a_few_gpus_each_nobody_is_late() {
    let zones = ["US-CAL-CISO", "DE", "GB", "AU-NSW", "PL"];
    let Some(case) = data::set_up_g(&zones, 7000, false) else { return };
    for gpus in [4.0, 5.0, 7.0, 11.0] {
        reach("five zones", &case, gpus, false, 0.005);
        reach("five zones", &case, gpus, true, 0.025);
    }
}
