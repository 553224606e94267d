//! Elastic jobs in markets with every odd thing in them: what must hold whatever the market.

use neap_policies::elastic::{self, Effort};
use neap_policies::market::{Class, Market, Mode, Point, Pool, Share, Shares, Solution, Task};
use proptest::prelude::*;

const POINTS: [Point; 3] = [
    Point { gpus: 1.0, speed: 1.0, kw: 1.0 },
    Point { gpus: 2.0, speed: 1.7, kw: 1.9 },
    Point { gpus: 4.0, speed: 3.0, kw: 3.9 },
];

fn market(pools: Vec<Pool>, classes: Vec<Class>, tasks: Vec<Task>, late: f64) -> Market {
    Market { slot_hours: 1.0, pools, classes, tasks, late }
}

fn pool(capacity: &[f64], grams: &[f64]) -> Pool {
    Pool { capacity: capacity.to_vec(), grams_per_kwh: grams.to_vec() }
}

fn class(pools: &[usize], stays: bool) -> Class {
    Class { pools: pools.to_vec(), points: POINTS.to_vec(), mode: Mode::Interruptible, stays }
}

fn task(hours: f64, release: f64, due: f64, waiting: f64) -> Task {
    Task { class: 0, hours, release, due, waiting }
}

fn solve(market: &Market) -> Solution {
    elastic::solve(market, Effort::default())
}

fn runs(solution: &Solution, task: usize) -> Vec<(usize, usize, usize, f64)> {
    let round = |share: Share| (share.pool, share.slot, share.point, (share.hours * 1e6).round() / 1e6);
    solution.shares[task].iter().map(round).collect()
}

#[test]
fn a_job_goes_wide_where_it_is_clean_and_not_wider() {
    // Edges: 1 a unit of work at first, then 0.9/0.7 and 2/1.3; grams 100 and 300.
    let one =
        market(vec![pool(&[9.0; 2], &[300.0, 100.0])], vec![class(&[0], true)], vec![task(2.0, 0.0, 2.0, 0.0)], 9e4);
    let solution = solve(&one);
    // 1.7 of work with two GPUs, and the other 0.3 of it with four for 0.3 / 1.3 of the hour.
    let part = (0.3_f64 / 1.3 * 1e6).round() / 1e6;
    assert_eq!(runs(&solution, 0), [(0, 1, 1, ((1.0 - 0.3 / 1.3) * 1e6_f64).round() / 1e6), (0, 1, 2, part)]);
    assert!((solution.cost - (190.0 + 200.0 * 0.3 / 1.3)).abs() < 1e-6);
    assert!((solution.cost - solution.bound).abs() < 1e-6);
}

#[test]
fn a_job_that_stays_takes_one_pool_and_another_may_move() {
    let pools = || vec![pool(&[9.0; 2], &[100.0, 900.0]), pool(&[9.0; 2], &[900.0, 200.0])];
    let of = |stays: bool| market(pools(), vec![class(&[0, 1], stays)], vec![task(6.0, 0.0, 2.0, 0.0)], 9e4);
    let moves = solve(&of(false));
    assert_eq!(runs(&moves, 0), [(0, 0, 2, 1.0), (1, 1, 2, 1.0)]);
    let stays = solve(&of(true));
    assert_eq!(runs(&stays, 0), [(0, 0, 2, 1.0), (0, 1, 2, 1.0)], "390 + 3510 against 3510 + 780");
}

#[test]
fn waiting_costs_and_so_ends_it_early() {
    let grams = [300.0, 299.0, 100.0];
    let of = |waiting: f64| {
        market(vec![pool(&[9.0; 3], &grams)], vec![class(&[0], true)], vec![task(1.0, 0.0, 3.0, waiting)], 9e4)
    };
    assert_eq!(runs(&solve(&of(0.0)), 0), [(0, 2, 0, 1.0)]);
    assert_eq!(runs(&solve(&of(90.0)), 0), [(0, 2, 0, 1.0)], "200 g for 2 h");
    let soon = solve(&of(110.0));
    assert_eq!(runs(&soon, 0), [(0, 0, 0, 1.0)]);
    assert!((soon.cost - 410.0).abs() < 1e-6 && soon.bound <= soon.cost);
}

#[test]
fn work_that_finds_no_room_is_late_and_charged_on_both_sides() {
    let full = market(
        vec![pool(&[1.0, 1.0, 0.0], &[100.0; 3])],
        vec![class(&[0], true)],
        vec![task(3.0, 0.0, 1.0, 0.0)],
        1000.0,
    );
    let solution = solve(&full);
    // One hour in time, one late, one behind the end.
    assert!((solution.late_gpu_hours - 2.0).abs() < 1e-6, "{}", solution.late_gpu_hours);
    assert!((solution.cost - 2300.0).abs() < 1e-3, "{}", solution.cost);
    assert!(solution.bound <= solution.cost && solution.bound > 2290.0, "{}", solution.bound);
}

#[test]
fn odd_markets_have_an_answer() {
    assert_eq!(solve(&market(vec![], vec![], vec![], 1.0)).shares, Vec::<Shares>::new());
    let nowhere = market(vec![pool(&[], &[])], vec![class(&[0], true)], vec![task(1.0, 0.0, 1.0, 0.0)], 10.0);
    assert_eq!((solve(&nowhere).shares, solve(&nowhere).late_gpu_hours), (vec![Shares::default()], 1.0));
    let contiguous = Class { mode: Mode::Contiguous, ..class(&[0], true) };
    let other = market(vec![pool(&[9.0], &[1.0])], vec![contiguous], vec![task(1.0, 0.0, 1.0, 0.0)], 10.0);
    let solution = solve(&other);
    assert_eq!((solution.shares, solution.cost, solution.bound), (vec![Shares::default()], 0.0, 0.0));
    let paid =
        market(vec![pool(&[9.0; 2], &[-50.0, 10.0])], vec![class(&[0], true)], vec![task(3.0, 0.0, 2.0, 0.0)], 10.0);
    assert_eq!(runs(&solve(&paid), 0), [(0, 0, 2, 1.0)], "negative prices are taken first");
    let wide = Class { points: vec![], ..class(&[0], true) };
    assert!(
        solve(&market(vec![pool(&[9.0], &[1.0])], vec![wide], vec![task(1.0, 0.0, 1.0, 0.0)], 10.0)).shares[0]
            .is_empty()
    );
}

fn any_market() -> impl Strategy<Value = Market> {
    (1usize..=3, 1usize..=6, any::<bool>()).prop_flat_map(|(pools, slots, stays)| {
        let slot = (prop_oneof![0.0f64..6.0, Just(0.0), Just(f64::INFINITY)], -50.0f64..600.0);
        let pool = prop::collection::vec(slot, slots).prop_map(|slots| {
            let (capacity, grams_per_kwh) = slots.into_iter().unzip();
            Pool { capacity, grams_per_kwh }
        });
        let waiting = prop_oneof![Just(0.0), 0.0f64..100.0];
        let window = (0.05f64..6.0, -1.0f64..7.0, -1.0f64..8.0, waiting);
        let task = window.prop_map(|(hours, release, due, waiting)| task(hours, release.max(0.0), due, waiting));
        (prop::collection::vec(pool, pools), prop::collection::vec(task, 0..6), 0.5f64..=1.0).prop_map(
            move |(pools, tasks, slot_hours)| {
                let all: Vec<usize> = (0..pools.len()).collect();
                Market { slot_hours, ..market(pools, vec![class(&all, stays)], tasks, 6000.0) }
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_holds_in_every_market(market in any_market()) {
        let effort = Effort { rounds: 60, ..Effort::default() };
        let solution = elastic::solve(&market, effort);
        let h = market.slot_hours;
        let slots = market.pools[0].capacity.len();
        let mut used = vec![vec![0.0; slots]; market.pools.len()];
        for (task, shares) in market.tasks.iter().zip(&solution.shares) {
            let points = &market.classes[task.class].points;
            let shares: Vec<Share> = shares.iter().collect();
            let mut work = 0.0;
            for slot in 0..slots {
                let hours: f64 = shares.iter().filter(|s| s.slot == slot).map(|s| s.hours).sum();
                let there = ((slot + 1) as f64 * h - (slot as f64 * h).max(task.release)).max(0.0);
                prop_assert!(hours <= there + 1e-9, "{hours} h in {there} h");
            }
            prop_assert!(shares.is_sorted_by_key(|s| s.slot));
            for share in &shares {
                prop_assert!(share.hours > 0.0);
                used[share.pool][share.slot] += share.hours * points[share.point].gpus;
                work += share.hours * points[share.point].speed;
            }
            prop_assert!(work <= task.hours + 1e-6);
            let stays = market.classes[task.class].stays;
            prop_assert!(!stays || shares.windows(2).all(|pair| pair[0].pool == pair[1].pool));
        }
        for (pool, used) in market.pools.iter().zip(&used) {
            prop_assert!(used.iter().zip(&pool.capacity).all(|(used, gpus)| *used <= gpus * h + 1e-6));
        }
        let dust = 1e-6 * (1.0 + solution.cost.abs());
        prop_assert!(solution.bound <= solution.cost + dust, "{} above {}", solution.bound, solution.cost);
        let certified = elastic::certify(&market, &solution.prices);
        prop_assert!((certified - solution.bound).abs() <= dust, "{certified} for {}", solution.bound);
        prop_assert!(solution.prices.0.iter().flatten().all(|price| *price >= 0.0));
        prop_assert_eq!(&elastic::solve(&market, effort), &solution, "the same bytes");
    }
}
