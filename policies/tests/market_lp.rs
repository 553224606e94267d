//! The solver against an exact linear programme, on small markets made by chance.

use microlp::{ComparisonOp, OptimizationDirection, Problem, Variable};
use neap_policies::certificate::{certify, check};
use neap_policies::market::{Class, Effort, Market, Mode, Point, Pool, Prices, Task, solve};

/// Knuth's linear congruential generator, its upper half.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % limit as u64) as usize
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.below(1 << 20) as f64 / f64::from(1 << 20)
    }
}

/// Up to so many pools; tight and loose, with negative costs, partial slots, windows too short and capacities of nothing.
fn market(dice: &mut Dice, pools: usize) -> Market {
    let (pools, slots) = (1 + dice.below(pools), 2 + dice.below(6));
    let slot_hours = [0.25, 0.5, 1.0][dice.below(3)];
    let ties = dice.below(3) == 0;
    let grams = |dice: &mut Dice| if ties { 100.0 * dice.below(4) as f64 } else { dice.between(-20.0, 500.0) };
    let capacity = |dice: &mut Dice| match dice.below(6) {
        0 => 0.0,
        1 => dice.below(4) as f64,
        2 => f64::INFINITY,
        _ => dice.between(0.0, 6.0),
    };
    let pool = |dice: &mut Dice| Pool {
        capacity: (0..slots).map(|_| capacity(dice)).collect(),
        grams_per_kwh: (0..slots).map(|_| grams(dice)).collect(),
    };
    let pools: Vec<Pool> = (0..pools).map(|_| pool(dice)).collect();
    let class = |dice: &mut Dice| {
        let mut allowed: Vec<usize> = (0..pools.len()).filter(|_| dice.below(4) > 0).collect();
        if allowed.is_empty() {
            allowed.push(dice.below(pools.len()));
        }
        let gpus = [1.0, 2.0, 4.0][dice.below(3)];
        let point = Point { gpus, speed: dice.between(0.5, 2.0), kw: gpus * dice.between(0.3, 0.8) };
        Class { stays: allowed.len() == 1, pools: allowed, points: vec![point], mode: Mode::Interruptible }
    };
    let classes: Vec<Class> = (0..=dice.below(3)).map(|_| class(dice)).collect();
    let horizon = slots as f64 * slot_hours;
    let task = |dice: &mut Dice| {
        let release = dice.between(-0.2, 0.8) * horizon;
        let window = dice.between(0.05, 0.7) * horizon;
        let hours = window * dice.between(0.1, 1.3);
        Task { class: dice.below(classes.len()), hours, release, due: release + window, waiting: 0.0 }
    };
    let tasks = (0..=dice.below(9)).map(|_| task(dice)).collect();
    let late = [20.0, 300.0, 5000.0][dice.below(3)];
    Market { slot_hours, pools, classes, tasks, late }
}

/// The least cost, exactly.
fn optimum(market: &Market) -> f64 {
    let mut lp = Problem::new(OptimizationDirection::Minimize);
    let slots = market.pools[0].capacity.len();
    let mut used: Vec<Vec<Vec<(Variable, f64)>>> = vec![vec![Vec::new(); slots]; market.pools.len()];
    let dearest = market.pools.iter().flat_map(|p| &p.grams_per_kwh).fold(0.0, |a: f64, b| a.max(*b));
    for task in &market.tasks {
        let class = &market.classes[task.class];
        let point = class.points[0];
        let never = lp.add_var(point.kw * dearest + point.gpus * market.late, (0.0, f64::INFINITY));
        let mut done = vec![(never, point.speed)];
        for slot in 0..slots {
            let (begin, end) = (slot as f64 * market.slot_hours, (slot + 1) as f64 * market.slot_hours);
            let in_time = end.min(task.due) - begin.max(task.release);
            let behind = end - begin.max(task.release).max(task.due);
            for (hours, extra) in [(in_time, 0.0), (behind, market.late * point.gpus)] {
                if hours <= 0.0 {
                    continue;
                }
                let mut together = Vec::new();
                for pool in &class.pools {
                    let cost = point.kw * market.pools[*pool].grams_per_kwh[slot] + extra;
                    let here = lp.add_var(cost, (0.0, f64::INFINITY));
                    together.push((here, 1.0));
                    done.push((here, point.speed));
                    used[*pool][slot].push((here, point.gpus));
                }
                lp.add_constraint(together, ComparisonOp::Le, hours);
            }
        }
        lp.add_constraint(done, ComparisonOp::Eq, task.hours);
    }
    for (pool, used) in market.pools.iter().zip(used) {
        for (capacity, used) in pool.capacity.iter().zip(used) {
            if capacity.is_finite() && !used.is_empty() {
                lp.add_constraint(used, ComparisonOp::Le, capacity * market.slot_hours);
            }
        }
    }
    lp.solve().expect("late work is always possible").objective()
}

fn compare(seed: u64, pools: usize, effort: Effort) {
    let mut dice = Dice(seed);
    let market = market(&mut dice, pools);
    let best = optimum(&market);
    let solution = solve(&market, effort, None);
    assert_eq!(check(&market, &solution), vec![], "seed {seed}: {market:?}");
    let near = 1e-6 * (1.0 + best.abs());
    assert!((solution.cost - best).abs() <= near, "seed {seed}: {} for {best}: {market:?}", solution.cost);
    assert!(solution.bound <= best + near, "seed {seed}: {} proven for {best}", solution.bound);
    assert!(solution.bound >= best - near, "seed {seed}: only {} proven for {best}", solution.bound);
    // Any prices prove something that is true, and none prove more than the best.
    let slots = market.pools[0].capacity.len();
    for _ in 0..5 {
        let high = [1.0, 100.0, 5000.0][dice.below(3)];
        let mut price = || (0..slots).map(|_| (dice.between(-1.0, 1.0) * high).max(0.0)).collect();
        let prices = Prices(market.pools.iter().map(|_| price()).collect());
        let proven = certify(&market, &prices);
        assert!(proven <= best + near, "seed {seed}: {proven} proven for {best} by {prices:?}");
    }
}

#[test]
fn one_pool_costs_what_the_linear_programme_says() {
    for seed in 0..300 {
        compare(seed, 1, Effort::default());
    }
}

#[test]
fn several_pools_cost_what_the_linear_programme_says() {
    for seed in 1000..1300 {
        compare(seed, 3, Effort::default());
    }
}

#[test]
fn bad_prices_to_begin_with_change_nothing_in_the_end() {
    for seed in 2000..2100 {
        compare(seed, 3, Effort { rounds: (seed % 3) as usize, lifts: 0, ..Effort::default() });
    }
}

#[test]
#[ignore = "long: 20,000 markets; cargo test --release -p neap-policies --test market_lp -- --ignored"]
fn many_markets_cost_what_the_linear_programme_says() {
    for seed in 10_000..30_000 {
        compare(seed, 3, Effort::default());
    }
}
