//! Elastic jobs, alone and sharing: the figures of a published set of scale profiles on the intensities of 2022.

#![allow(clippy::print_stdout, reason = "the figures of the long tests are to be read")]

mod data;

use neap_policies::baselines::carbon_scaler;
use neap_policies::elastic::{self, Effort};
use neap_policies::market::{Class, Market, Mode, Point, Pool, Share, Task};

/// A zone's cells for windows of 24, 36 and 48 h.
type Row = (&'static str, [[f64; 4]; 3]);

/// Percent saved, mean of 600 runs, by zone and window of 24, 36 and 48 h: one server with pauses, best static width with
/// pauses, CarbonScaler, hull. Computed beforehand with other code.
const SAVED: [Row; 8] = [
    ("CA-ON", [[0.0, 34.3, 37.7, 41.4], [17.1, 40.2, 42.9, 45.9], [26.6, 44.5, 46.9, 49.5]]),
    ("AU-SA", [[0.0, 36.1, 39.3, 43.3], [21.4, 44.3, 47.0, 50.0], [32.4, 49.2, 51.5, 54.1]]),
    ("US-CAL-CISO", [[0.0, 22.0, 25.1, 28.0], [11.0, 26.6, 29.0, 31.9], [19.4, 30.4, 32.3, 35.2]]),
    ("DE", [[0.0, 13.9, 16.8, 20.0], [8.6, 18.9, 21.3, 24.4], [13.7, 22.4, 24.6, 27.6]]),
    ("GB", [[0.0, 14.6, 17.7, 21.1], [8.8, 20.1, 22.6, 25.7], [13.3, 23.4, 25.5, 28.5]]),
    ("FR", [[0.0, 10.1, 12.6, 16.0], [6.8, 14.7, 16.8, 20.0], [10.7, 17.8, 19.7, 22.8]]),
    ("PL", [[0.0, 7.3, 9.2, 12.8], [4.2, 10.3, 12.0, 15.5], [6.9, 12.4, 14.0, 17.4]]),
    ("AU-NSW", [[0.0, 15.1, 18.0, 21.1], [7.6, 18.7, 21.1, 24.2], [13.0, 21.5, 23.5, 26.6]]),
];
const WORK: f64 = 24.0;

/// The profiles by name, 1 to 8 replicas each; speed 1 is one replica.
fn profiles() -> Option<Vec<(String, Vec<Point>)>> {
    let text = data::read("elasticity/carbonadvisor_scale_profile.yaml")?;
    let mut found: Vec<(String, Vec<Point>)> = Vec::new();
    for line in text.lines() {
        let number = || line.rsplit(' ').next().and_then(|v| v.parse::<f64>().ok()).expect("a number");
        match (line.trim_start(), line.len() - line.trim_start().len()) {
            (name, 0) if name.ends_with(':') => found.push((name.trim_end_matches(':').to_owned(), Vec::new())),
            (key, 6) if key.starts_with("power") => {
                let points = &mut found.last_mut().expect("a profile").1;
                points.push(Point { gpus: points.len() as f64 + 1.0, speed: 0.0, kw: number() / 1000.0 });
            }
            (key, 6) if key.starts_with("throughput") => {
                let points = &mut found.last_mut().expect("a profile").1;
                points.last_mut().expect("a point").speed = number();
            }
            _ => {}
        }
    }
    for (_, points) in &mut found {
        let one = points[0].speed;
        points.iter_mut().for_each(|point| point.speed /= one);
    }
    assert!(found.len() == 6 && found.iter().all(|(_, points)| points.len() == 8), "the file as described");
    assert!(found.is_sorted_by(|a, b| a.0 < b.0), "alphabetical");
    Some(found)
}

fn grams(points: &[Point], intensity: &[f64], shares: &[Share]) -> f64 {
    shares.iter().map(|share| points[share.point].kw * share.hours * intensity[share.slot]).sum()
}

/// Run now at one server; then one server with pauses, the best of any one width with pauses, in whole slots, CarbonScaler,
/// and the hull.
fn four_ways(points: &[Point], intensity: &[f64]) -> [f64; 5] {
    let now = points[0].kw * intensity[..WORK as usize].iter().sum::<f64>();
    let paused = |point: &Point| {
        let slots = (WORK / point.speed - 1e-9).ceil();
        elastic::alone(&[*point], intensity, slots * point.speed, 1.0).map_or(f64::INFINITY, |(_, grams)| grams)
    };
    let scaler = carbon_scaler::schedule(points, intensity, WORK, 1.0, |_| usize::MAX);
    let (_, hull) = elastic::alone(points, intensity, WORK, 1.0).expect("a day of work fits into a day");
    let widths = points.iter().map(paused).fold(f64::INFINITY, f64::min);
    [now, paused(&points[0]), widths, grams(points, intensity, &scaler), hull]
}

/// Mean percent saved over all profiles and a hundred starts.
fn mean_saved(zone: &str, window: usize) -> Option<[f64; 4]> {
    let (profiles, year) = (profiles()?, data::intensity(zone, 0)?);
    let (mut sums, mut runs) = ([0.0; 4], 0.0);
    for (_, points) in &profiles {
        for start in (0..=8514).step_by(86) {
            let [now, ways @ ..] = four_ways(points, &year[start..start + window]);
            sums.iter_mut().zip(ways).for_each(|(sum, grams)| *sum += 100.0 * (1.0 - grams / now));
            runs += 1.0;
        }
    }
    Some(sums.map(|sum| sum / runs))
}

#[test]
fn single_checks_to_six_digits() {
    let Some(profiles) = profiles() else { return };
    for (zone, name, expected) in [
        ("CA-ON", "densenet121", [58.063, 38.260, 32.990, 32.958]),
        ("US-CAL-CISO", "vgg16", [917.561, 913.012, 913.012, 903.542]),
    ] {
        let Some(intensity) = data::intensity(zone, 0) else { return };
        let points = &profiles.iter().find(|(n, _)| n == name).expect("it is there").1;
        let [now, paused, _, scaler, hull] = four_ways(points, &intensity[..36]);
        for (got, expected) in [now, paused, scaler, hull].into_iter().zip(expected) {
            assert!((got - expected).abs() < 5.1e-4, "{zone} {name}: {got} for {expected}");
        }
    }
}

fn check_saved(cells: impl IntoIterator<Item = (usize, usize)>) {
    let mut wrong = Vec::new();
    for (row, column) in cells {
        let (zone, expected) = &SAVED[row];
        let window = 24 + 12 * column;
        let Some(saved) = mean_saved(zone, window) else { return };
        for (got, expected) in saved.into_iter().zip(expected[column]) {
            if (got - expected).abs() > 0.05 + 1e-9 {
                wrong.push(format!("{zone} {window} h: {got:.3} for {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn one_job_saves_what_it_can_in_some_zones() {
    check_saved([(0, 1), (2, 0), (6, 2)]);
}

#[test]
#[ignore = "long: 14 400 runs, 8 s in debug"]
fn one_job_saves_what_it_can_in_all_zones_and_windows() {
    check_saved((0..8).flat_map(|row| (0..3).map(move |column| (row, column))));
}

/// Sixty jobs of a day's work that arrive every other hour and have two days each; and what they emit at one server on arrival.
fn sharing(zone: &str, servers: f64) -> Option<(Market, f64)> {
    let profiles = profiles()?;
    let intensity = data::intensity(zone, 3000)?;
    let slots = 2 * 59 + 48 + 24;
    let pool = Pool { capacity: vec![servers; slots], grams_per_kwh: intensity[..slots].to_vec() };
    let class =
        |(_, points): (String, Vec<Point>)| Class { pools: vec![0], points, mode: Mode::Interruptible, stays: true };
    let classes: Vec<Class> = profiles.into_iter().map(class).collect();
    let task = |i: usize| Task {
        class: i % 6,
        hours: WORK,
        release: 2.0 * i as f64,
        due: 2.0 * i as f64 + 48.0,
        waiting: 0.0,
    };
    let tasks: Vec<Task> = (0..60).map(task).collect();
    let now = (0..60).map(|i| classes[i % 6].points[0].kw * intensity[2 * i..2 * i + 24].iter().sum::<f64>()).sum();
    let most = pool.grams_per_kwh.iter().copied().fold(0.0, f64::max);
    let kw = classes.iter().flat_map(|c| &c.points).map(|p| p.kw / p.gpus).fold(0.0, f64::max);
    Some((Market { slot_hours: 1.0, pools: vec![pool], classes, tasks, late: 10.0 * most * kw }, now))
}

/// The linear programme's optimum for 18, 24 and 36 servers, relative to running on arrival; computed beforehand by a solver.
const LP: [(&str, [f64; 3]); 3] =
    [("CA-ON", [0.7414, 0.7085, 0.6843]), ("US-CAL-CISO", [0.6832, 0.6161, 0.5859]), ("DE", [0.7373, 0.7007, 0.6623])];

/// Breaks of the rules, found by plain arithmetic; and what the shares emit.
fn audit(market: &Market, shares: &[Vec<Share>]) -> (Vec<String>, f64) {
    let (mut wrong, mut grams) = (Vec::new(), 0.0);
    let slots = market.pools[0].capacity.len();
    let mut used = vec![vec![0.0; slots]; market.pools.len()];
    for (index, (task, shares)) in market.tasks.iter().zip(shares).enumerate() {
        let (points, mut busy, mut work) = (&market.classes[task.class].points, vec![0.0; slots], 0.0);
        for share in shares {
            let point = &points[share.point];
            busy[share.slot] += share.hours;
            work += share.hours * point.speed;
            used[share.pool][share.slot] += share.hours * point.gpus;
            grams += share.hours * point.kw * market.pools[share.pool].grams_per_kwh[share.slot];
            let (from, until) = (share.slot as f64 * market.slot_hours, (share.slot + 1) as f64 * market.slot_hours);
            if share.hours < 0.0 || until <= task.release || from >= task.due {
                wrong.push(format!("job {index}: {share:?} outside its window"));
            }
        }
        if busy.iter().any(|hours| *hours > market.slot_hours + 1e-9) {
            wrong.push(format!("job {index} runs more than all the time"));
        }
        if (work - task.hours).abs() > 1e-6 {
            wrong.push(format!("job {index}: {work} h of work for {}", task.hours));
        }
    }
    for (pool, used) in market.pools.iter().zip(&used) {
        for (slot, (used, gpus)) in used.iter().zip(&pool.capacity).enumerate() {
            if *used > gpus * market.slot_hours + 1e-6 {
                wrong.push(format!("slot {slot}: {used} of {gpus}"));
            }
        }
    }
    (wrong, grams)
}

fn check_sharing(row: usize, column: usize, rounds: usize, gap: f64) {
    let (zone, servers) = (LP[row].0, [18.0, 24.0, 36.0][column]);
    let Some((market, now)) = sharing(zone, servers) else { return };
    let solution = elastic::solve(&market, Effort { rounds, ..Effort::default() });
    let shares: Vec<Vec<Share>> = solution.shares.iter().map(|shares| shares.iter().collect()).collect();
    let (wrong, grams) = audit(&market, &shares);
    assert_eq!((wrong, solution.late_gpu_hours), (vec![], 0.0));
    assert!((grams / solution.cost - 1.0).abs() < 1e-9, "{grams} for {}", solution.cost);
    let certified = elastic::certify(&market, &solution.prices);
    assert!((certified / solution.bound - 1.0).abs() < 1e-9, "{certified} for {}", solution.bound);
    let lp = LP[row].1[column];
    println!("{zone} {servers}: {:.4}, bound {:.4}, optimum {lp}", solution.cost / now, certified / now);
    assert!(certified / now < lp + 5e-5, "a bound above the optimum");
    assert!(solution.cost / now > lp - 5e-5, "a plan below the optimum");
    assert!(solution.cost / certified - 1.0 < gap, "{zone} {servers}: {}", solution.cost / certified - 1.0);
}

#[test]
fn sixty_jobs_share_a_pool_in_a_few_rounds() {
    check_sharing(1, 1, 120, 0.02);
}

#[test]
#[ignore = "long: nine cells, half a minute in debug, 3 s in release"]
fn sixty_jobs_share_a_pool_at_the_optimum() {
    for (row, column) in (0..3).flat_map(|row| (0..3).map(move |column| (row, column))) {
        check_sharing(row, column, Effort::default().rounds, 0.002);
    }
}

/// Sharing by CarbonScaler: side by side, and first come, for 18, 24 and 36 servers; computed beforehand with other code.
const SCALERS: [(&str, [[f64; 2]; 3]); 3] = [
    ("CA-ON", [[1.2623, 1.0013], [0.9789, 0.8708], [0.7680, 0.7555]]),
    ("US-CAL-CISO", [[0.8784, 0.7987], [0.7300, 0.7068], [0.6348, 0.6307]]),
    ("DE", [[0.8479, 0.8014], [0.7728, 0.7556], [0.7054, 0.7007]]),
];

#[test]
fn carbon_scalers_crowd_the_same_hours() {
    for (zone, rows) in SCALERS {
        for (servers, expected) in [18.0, 24.0, 36.0].into_iter().zip(rows) {
            let Some((market, now)) = sharing(zone, servers) else { return };
            for (plan, expected) in
                [carbon_scaler::side_by_side(&market), carbon_scaler::first_come(&market)].iter().zip(expected)
            {
                let (wrong, grams) = audit(&market, plan);
                assert_eq!(wrong, Vec::<String>::new(), "{zone} {servers}");
                assert!(
                    (grams / now - expected).abs() <= 5e-5 + 1e-9,
                    "{zone} {servers}: {} for {expected}",
                    grams / now
                );
            }
        }
    }
}
