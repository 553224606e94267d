//! The solver against an exact linear programme, on small markets made by chance.

use microlp::{ComparisonOp, OptimizationDirection, Problem, Variable};
use neap_policies::certificate::{certify, check};
use neap_policies::market::{
    Class, Desk, Effort, Grain, Market, Menu, Mode, Point, Pool, Prices, Room, Share, Shares, Task, insert, solve,
    synthetic,
};

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
    let mut used: Vec<Vec<Vec<(Variable, f64)>>> = vec![vec![Vec::new(); market.pools.len()]; slots];
    let dearest = market.pools.iter().flat_map(|p| &p.grams_per_kwh).fold(0.0, |a: f64, b| a.max(*b));
    for task in &market.tasks {
        let class = &market.classes[task.class];
        let point = class.points[0];
        let never = lp.add_var(point.kw * dearest + point.gpus * market.late, (0.0, f64::INFINITY));
        let mut done = vec![(never, point.speed)];
        for (slot, used) in used.iter_mut().enumerate() {
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
                    used[*pool].push((here, point.gpus));
                }
                lp.add_constraint(together, ComparisonOp::Le, hours);
            }
        }
        lp.add_constraint(done, ComparisonOp::Eq, task.hours);
    }
    for (slot, used) in used.into_iter().enumerate() {
        for (pool, used) in market.pools.iter().zip(used) {
            if pool.capacity[slot].is_finite() && !used.is_empty() {
                lp.add_constraint(used, ComparisonOp::Le, pool.capacity[slot] * market.slot_hours);
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

/// What the linear programme cannot say is audited: one pool for each task, and a price of waiting.
#[test]
fn tasks_that_stay_or_pay_for_waiting_are_sound_and_never_below_their_bound() {
    for seed in 3000..3200 {
        let mut dice = Dice(seed);
        let mut market = market(&mut dice, 3);
        let free = solve(&market, Effort::default(), None);
        market.classes.iter_mut().for_each(|class| class.stays = true);
        let stays = solve(&market, Effort::default(), None);
        assert_eq!(check(&market, &stays), vec![], "seed {seed}: {market:?}");
        let near = 1e-6 * (1.0 + free.cost.abs());
        assert!(stays.cost >= free.cost - near && stays.bound >= free.bound - near, "seed {seed}: staying only costs");
        let waiting = dice.between(0.0, 400.0);
        market.tasks.iter_mut().for_each(|task| task.waiting = waiting);
        let waits = solve(&market, Effort::default(), None);
        assert_eq!(check(&market, &waits), vec![], "seed {seed}: {market:?}");
        assert!(waits.cost >= stays.bound - near, "seed {seed}: waiting only costs");
    }
}

/// Alone, a task pays exactly what its bound says, waiting or not.
#[test]
fn one_task_alone_costs_its_bound() {
    for seed in 4000..4300 {
        let mut dice = Dice(seed);
        let mut market = market(&mut dice, 3);
        market.pools.iter_mut().for_each(|pool| pool.capacity.fill(f64::INFINITY));
        market.tasks.truncate(1);
        let task = &mut market.tasks[0];
        task.release = task.release.max(0.0);
        task.due = task.release + 1.2 * task.hours / market.classes[task.class].points[0].speed;
        if task.due > market.slot_hours * market.pools[0].capacity.len() as f64 {
            continue;
        }
        task.waiting = dice.between(0.0, 400.0);
        market.late = 1e5;
        let solution = solve(&market, Effort::default(), None);
        assert_eq!(check(&market, &solution), vec![], "seed {seed}: {market:?}");
        let proven = certify(&market, &solution.prices);
        let near = 1e-6 * (1.0 + proven.abs());
        assert!((solution.cost - proven).abs() <= near, "seed {seed}: {} for {proven}: {market:?}", solution.cost);
    }
}

#[test]
fn whole_widths_in_whole_slots_stay_near_their_bound() {
    for (multiple, seed) in [(1.25, 1), (2.0, 2)] {
        let market = synthetic(400, 5, seed, multiple);
        let effort = Effort { grain: Grain::Whole, ..Effort::default() };
        let solution = solve(&market, effort, None);
        assert_eq!(check(&market, &solution), vec![]);
        assert_eq!(solution.late_gpu_hours, 0.0);
        assert!(solution.cost <= 1.01 * solution.bound, "{} over {} at {multiple}", solution.cost, solution.bound);
        assert_eq!(solution, solve(&market, effort, None), "the same market gives the same bytes");
        let shares = solution.shares.iter().flat_map(Shares::iter);
        assert!(shares.clone().all(|share| share.hours == market.slot_hours), "lengths are whole slots");
    }
}

#[test]
fn a_market_without_tasks_slots_or_pools_has_an_answer() {
    let full = market(&mut Dice(5), 3);
    let none = Market { tasks: Vec::new(), ..full.clone() };
    let mut short = full.clone();
    for pool in &mut short.pools {
        pool.capacity.clear();
        pool.grams_per_kwh.clear();
    }
    let mut nowhere = full.clone();
    nowhere.classes.iter_mut().for_each(|class| class.pools.clear());
    let mut idle = full.clone();
    idle.tasks.iter_mut().for_each(|task| task.hours = 0.0);
    let mut no_gpus = full;
    no_gpus.classes.iter_mut().for_each(|class| class.points[0].gpus = 0.0);
    for market in [none, short, nowhere, idle, no_gpus] {
        for stays in [false, true] {
            for grain in [Grain::Divisible, Grain::Whole] {
                let mut market = market.clone();
                market.classes.iter_mut().for_each(|class| class.stays = stays);
                let solution = solve(&market, Effort { grain, ..Effort::default() }, None);
                assert_eq!(check(&market, &solution), vec![], "{market:?}");
            }
        }
    }
}

#[test]
fn with_more_ways_to_run_the_plan_is_sound_and_its_bound_holds() {
    for seed in 5000..5100 {
        let mut dice = Dice(seed);
        let mut market = market(&mut dice, 3);
        let one = solve(&market, Effort::default(), None);
        for class in &mut market.classes {
            let first = class.points[0];
            let (wider, faster) = (dice.between(1.0, 3.0), dice.between(0.8, 3.0));
            class.points.push(Point {
                gpus: first.gpus * wider,
                speed: first.speed * faster,
                kw: first.kw * dice.between(0.8, 3.0),
            });
        }
        let more = solve(&market, Effort::default(), None);
        assert_eq!(check(&market, &more), vec![], "seed {seed}: {market:?}");
        assert!(more.bound <= one.bound + 1e-6 * (1.0 + one.bound.abs()), "seed {seed}: more ways never cost more");
    }
}

#[test]
fn one_more_task_takes_its_cheapest_in_what_is_left() {
    let market = synthetic(300, 2, 5, 1.5);
    for grain in [Grain::Divisible, Grain::Whole] {
        let mut solution = solve(&market, Effort { grain, lifts: 0, arcs: 0, ..Effort::default() }, None);
        let taken = std::mem::take(&mut solution.shares[299]);
        let mut room = Room::left(&market, grain, &solution.shares);
        let task = &market.tasks[299];
        let menu = Menu::new(&market, task.class, &solution.prices, 1.0);
        let placed = insert(&market, &menu, &mut room, task, &mut Desk::default());
        assert_eq!(placed.late, 0.0);
        let grams = |shares: &Shares| -> f64 {
            let kw = market.classes[task.class].points[0].kw;
            let gpus = market.classes[task.class].points[0].gpus;
            let price =
                |s: Share| kw * market.pools[s.pool].grams_per_kwh[s.slot] + gpus * solution.prices.0[s.pool][s.slot];
            shares.iter().map(|s| s.hours * price(s)).sum()
        };
        assert!(grams(&placed.shares) <= grams(&taken) + 1e-6, "{grain:?}: its old place is still there");
        solution.shares[299] = placed.shares;
        let faults = check(&market, &solution);
        let only_cost =
            |fault: &neap_policies::certificate::Fault| matches!(fault, neap_policies::certificate::Fault::Cost { .. });
        assert!(faults.iter().all(only_cost), "{faults:?}");
    }
}

#[test]
#[ignore = "long: 20,000 markets; cargo test --release -p neap-policies --test market_lp -- --ignored"]
fn many_markets_cost_what_the_linear_programme_says() {
    for seed in 10_000..30_000 {
        compare(seed, 3, Effort::default());
    }
}
