//! Small elastic markets by chance, against the exact linear programme.

use microlp::{ComparisonOp, OptimizationDirection, Problem};
use neap_policies::elastic::{self, Effort};
use neap_policies::market::{Class, Market, Mode, Point, Pool, Solution, Task};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// The optimum of the market without costs of waiting, every class free to move or in one pool.
#[allow(clippy::needless_range_loop, reason = "slots are times before they are indices")]
fn optimum(market: &Market) -> f64 {
    let (h, slots) = (market.slot_hours, market.pools[0].capacity.len());
    let mut lp = Problem::new(OptimizationDirection::Minimize);
    let mut room = vec![vec![Vec::new(); slots]; market.pools.len()];
    let dearest = market.pools.iter().flat_map(|p| &p.grams_per_kwh).copied().fold(0.0, f64::max);
    for task in &market.tasks {
        let class = &market.classes[task.class];
        let behind = |p: &Point| (p.kw * dearest + p.gpus * market.late) / p.speed;
        let unplaced = class.points.iter().map(behind).fold(f64::INFINITY, f64::min);
        let mut work = vec![(lp.add_var(unplaced, (0.0, f64::INFINITY)), 1.0)];
        for slot in 0..slots {
            let (begin, end) = (slot as f64 * h, (slot + 1) as f64 * h);
            for (from, until, fine) in [
                (begin.max(task.release), end.min(task.due), 0.0),
                (begin.max(task.release).max(task.due), end, market.late),
            ] {
                if until <= from {
                    continue;
                }
                let mut time = Vec::new();
                for &pool in &class.pools {
                    for point in &class.points {
                        let cost = point.kw * market.pools[pool].grams_per_kwh[slot] + point.gpus * fine;
                        let hours = lp.add_var(cost, (0.0, f64::INFINITY));
                        time.push((hours, 1.0));
                        work.push((hours, point.speed));
                        room[pool][slot].push((hours, point.gpus));
                    }
                }
                lp.add_constraint(time, ComparisonOp::Le, until - from);
            }
        }
        lp.add_constraint(work, ComparisonOp::Eq, task.hours);
    }
    for (pool, room) in room.into_iter().enumerate() {
        for (slot, wanted) in room.into_iter().enumerate() {
            lp.add_constraint(wanted, ComparisonOp::Le, market.pools[pool].capacity[slot] * h);
        }
    }
    lp.solve().expect("unplaced work makes every market solvable").objective()
}

/// Points with speeds and powers in no particular order of efficiency.
fn class(pools: usize) -> impl Strategy<Value = Class> {
    let point = (0.4f64..1.6, 0.5f64..1.5);
    prop::collection::vec(point, 1..=4).prop_map(move |points| {
        let point = |(index, (speed, kw)): (usize, (f64, f64))| {
            let gpus = index as f64 + 1.0;
            Point { gpus, speed: gpus.powf(0.8) * speed, kw: gpus * kw }
        };
        let points = points.into_iter().enumerate().map(point).collect();
        Class { pools: (0..pools).collect(), points, mode: Mode::Interruptible, stays: pools == 1 }
    })
}

fn market(tight: bool) -> impl Strategy<Value = Market> {
    let most = if tight { 3.0 } else { 9.0 };
    (1usize..=2, 3usize..=8).prop_flat_map(move |(pools, slots)| {
        let slot = (0.0..most, 20.0f64..600.0);
        let pool = prop::collection::vec(slot, slots).prop_map(|slots| {
            let (capacity, grams_per_kwh) = slots.into_iter().unzip();
            Pool { capacity, grams_per_kwh }
        });
        let task = (0usize..2, 0.2f64..5.0, 0.0f64..3.0, 0.3f64..8.0);
        let task = task.prop_map(|(class, hours, release, window)| Task {
            class,
            hours,
            release,
            due: release + window,
            waiting: 0.0,
        });
        let (classes, tasks) = (prop::collection::vec(class(pools), 2), prop::collection::vec(task, 1..=6));
        (prop::collection::vec(pool, pools), classes, tasks).prop_map(|(pools, classes, tasks)| {
            let dearest = pools.iter().flat_map(|p| &p.grams_per_kwh).copied().fold(0.0, f64::max);
            Market { slot_hours: 1.0, pools, classes, tasks, late: 10.0 * dearest }
        })
    })
}

/// Percent that the plan is above the optimum, and the bound below it.
fn check(market: &Market) -> Result<(f64, f64), TestCaseError> {
    let best = optimum(market);
    let solution: Solution = elastic::solve(market, Effort::default());
    let dust = 1e-6 * (1.0 + best.abs());
    prop_assert!(solution.bound <= best + dust, "bound {} above {best}", solution.bound);
    prop_assert!(solution.cost >= best - dust, "cost {} below {best}", solution.cost);
    let certified = elastic::certify(market, &solution.prices);
    prop_assert!((certified - solution.bound).abs() <= dust, "{certified} for {}", solution.bound);
    Ok((100.0 * (solution.cost / best - 1.0), 100.0 * (1.0 - solution.bound / best)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_optimum_lies_between_bound_and_cost(market in prop_oneof![market(false), market(true)]) {
        check(&market)?;
    }
}

/// Mean distances over markets that are the same in every run.
fn distances(tight: bool, count: usize) -> (f64, f64) {
    let mut runner = TestRunner::deterministic();
    let mut sums = (0.0, 0.0);
    for _ in 0..count {
        let market = market(tight).new_tree(&mut runner).expect("a market").current();
        let (above, below) = check(&market).expect("bound and cost on their sides");
        sums = (sums.0 + above, sums.1 + below);
    }
    (sums.0 / count as f64, sums.1 / count as f64)
}

#[test]
fn plans_and_bounds_are_close_to_the_optimum() {
    let (above, below) = distances(false, 100);
    assert!(above < 0.1 && below < 0.1, "with room: {above} % above, {below} % below");
    // Many of these markets cannot do all their work in time.
    let (above, below) = distances(true, 100);
    assert!(above < 0.3 && below < 0.5, "tight: {above} % above, {below} % below");
}
