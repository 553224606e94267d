//! The choice of limits, replayed over the public power tables of V100 and A40: `cargo test -p neap-policies --test power --
//! --nocapture` prints the figures.
#![allow(clippy::disallowed_methods, clippy::print_stderr, reason = "figures are shown beside what they must reach")]

use neap_model::units::Watts;
use neap_policies::budget::{Claim, divide};
use neap_policies::power::{Curve, Next, Point, Probe, Terms};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The table of a board by configuration: each measured once at every limit.
fn table(board: &str) -> Option<Vec<Curve>> {
    let path = format!("../../shared/data/gpu/zeus_nsdi23/summary_power_{board}.csv");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("SKIPPED: {} is not here", path.display());
        return None;
    };
    let mut all: BTreeMap<String, Vec<Point>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |at: usize| cells[at].parse::<f64>().expect("a number");
        let point = Point { limit: Watts::whole(number(4) as u64), rate: 1.0 / number(5), power: number(6) };
        all.entry(cells[..4].join(",")).or_default().push(point);
    }
    Some(all.into_values().map(Curve::new).collect())
}

/// Energy and time against the highest limit: geometric means, the worst time, and points measured on average.
struct Outcome {
    energy: f64,
    time: f64,
    worst: f64,
    points: f64,
}

fn outcome(curves: &[Curve], choose: impl Fn(&Curve, u64) -> (Watts, usize)) -> Outcome {
    let (mut energy, mut time, mut worst, mut points) = (0.0, 0.0, 0.0f64, 0);
    for (n, curve) in curves.iter().enumerate() {
        let (limit, measured) = choose(curve, n as u64);
        let (chosen, highest) = (curve.at(limit).expect("in the table"), curve.highest().expect("a table"));
        energy += (chosen.energy(0.0) / highest.energy(0.0)).ln();
        time += (highest.rate / chosen.rate).ln();
        worst = worst.max(highest.rate / chosen.rate);
        points += measured;
    }
    let count = curves.len() as f64;
    Outcome { energy: (energy / count).exp(), time: (time / count).exp(), worst, points: points as f64 / count }
}

fn oracle(slowdown: f64) -> impl Fn(&Curve, u64) -> (Watts, usize) {
    move |curve, _| (curve.choose(&[], &Terms::within(slowdown)).expect("a table").limit, curve.points().len())
}

fn probed(slowdown: f64) -> impl Fn(&Curve, u64) -> (Watts, usize) {
    move |curve, seed| {
        let limits: Vec<Watts> = curve.points().iter().map(|point| point.limit).collect();
        let mut probe = Probe::new(&limits, Terms::within(slowdown), Curve::default(), seed);
        loop {
            match probe.next().expect("there are limits") {
                Next::Measure(limit) => probe.measured(*curve.at(limit).expect("in the table")),
                Next::Stay(choice) => return (choice.limit, probe.curve().points().len()),
            }
        }
    }
}

#[test]
fn least_energy_within_a_slowdown_from_three_points_and_refinements() {
    // What is to be reached, and the oracle's figures as published.
    let goals = [
        ("v100", 0.05, 0.903, 0.901),
        ("a40", 0.05, 0.879, 0.878),
        ("v100", 0.10, 0.851, 0.849),
        ("a40", 0.10, 0.856, 0.855),
    ];
    for (board, slowdown, goal, best) in goals {
        let Some(curves) = table(board) else { return };
        let (oracle, ours) = (outcome(&curves, oracle(slowdown)), outcome(&curves, probed(slowdown)));
        eprintln!(
            "{board} within {:.0} %: energy × {:.4} ({goal}), time × {:.4}, worst {:.3}, {:.1} points a job; oracle × {:.4}",
            slowdown * 100.0,
            ours.energy,
            ours.time,
            ours.worst,
            ours.points,
            oracle.energy
        );
        assert!((oracle.energy - best).abs() < 0.0006, "the oracle is the published one: {}", oracle.energy);
        assert!(ours.energy < goal + 0.0005, "the goal, to its three digits");
        // Within half a point of what knowing every point would give, and never over the bound.
        assert!(ours.energy <= oracle.energy + 0.005 && ours.worst <= 1.0 + slowdown + 1e-9);
        assert!(ours.points <= 6.0);
    }
}

/// Six jobs with a GPU each: of every pair of data set and network the configuration in the middle by batch size.
fn six(board: &str) -> Option<Vec<Curve>> {
    let path = format!("../../shared/data/gpu/zeus_nsdi23/summary_power_{board}.csv");
    let text = std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)).ok()?;
    let mut pairs: BTreeMap<(String, String), Vec<(u64, String)>> = BTreeMap::new();
    let mut rows: BTreeMap<String, Vec<Point>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |at: usize| cells[at].parse::<f64>().expect("a number");
        let name = cells[..4].join(",");
        let known = pairs.entry((cells[0].to_owned(), cells[1].to_owned())).or_default();
        if !known.iter().any(|(_, other)| *other == name) {
            known.push((number(2) as u64, name.clone()));
        }
        let point = Point { limit: Watts::whole(number(4) as u64), rate: 1.0 / number(5), power: number(6) };
        rows.entry(name).or_default().push(point);
    }
    let middle = |configurations: &Vec<(u64, String)>| {
        let mut sorted = configurations.clone();
        sorted.sort_by_key(|(batch, _)| *batch);
        sorted[sorted.len() / 2].1.clone()
    };
    Some(pairs.values().map(|all| Curve::new(rows[&middle(all)].clone())).collect())
}

/// Relative speed at a limit: time linear between measured limits, speed made non-decreasing.
fn speed(curve: &Curve, watts: f64) -> f64 {
    let full = curve.highest().expect("a table").rate;
    let mut times: Vec<(f64, f64)> =
        curve.points().iter().map(|point| (point.limit.in_base(), full / point.rate)).collect();
    for at in 1..times.len() {
        times[at].1 = times[at].1.min(times[at - 1].1);
    }
    let at = times.partition_point(|(limit, _)| *limit <= watts).clamp(1, times.len() - 1);
    let ((low, slow), (high, fast)) = (times[at - 1], times[at]);
    1.0 / (slow + (fast - slow) * ((watts - low) / (high - low)).clamp(0.0, 1.0))
}

#[test]
fn a_budget_divided_by_marginal_use_beats_equal_shares() {
    let goals = [
        ("v100", [(0.5, 0.809, 0.849), (0.6, 0.900, 0.923), (0.7, 0.940, 0.963), (0.8, 0.971, 0.994)]),
        ("a40", [(0.5, 0.748, 0.806), (0.6, 0.888, 0.936), (0.7, 0.955, 0.982), (0.8, 0.984, 0.997)]),
    ];
    for (board, cells) in goals {
        let Some(jobs) = table(board).and_then(|_| six(board)) else { return };
        assert_eq!(jobs.len(), 6);
        let highest = jobs[0].highest().expect("a table").limit.in_base();
        let grid = |curve: &Curve| {
            let lowest = curve.points()[0].limit.in_base();
            let steps = ((highest - lowest) / 5.0) as u64;
            (0..=steps)
                .map(|n| lowest + 5.0 * n as f64)
                .map(|w| (Watts::from_base(w).expect("watts"), speed(curve, w)))
                .collect()
        };
        let claims: Vec<Claim> = jobs.iter().map(|curve| Claim { weight: 1.0, gpus: 1, points: grid(curve) }).collect();
        for (share, equal, marginal) in cells {
            let budget = Watts::from_base(share * highest * 6.0).expect("watts");
            let limits = divide(budget, &claims, Watts::whole(5)).expect("the floors fit");
            assert!(limits.iter().map(|limit| limit.0).sum::<u64>() <= budget.0);
            let speeds: Vec<f64> =
                jobs.iter().zip(&limits).map(|(curve, limit)| speed(curve, limit.in_base())).collect();
            let even: f64 = jobs.iter().map(|curve| speed(curve, share * highest)).sum::<f64>() / 6.0;
            let mean = speeds.iter().sum::<f64>() / 6.0;
            let worst = speeds.iter().copied().fold(f64::MAX, f64::min);
            eprintln!(
                "{board} with {:.0} % of its watts: equal {even:.3} ({equal}), by marginal use {mean:.3} ({marginal}), worst {worst:.2}",
                share * 100.0
            );
            assert!((even - equal).abs() < 0.001, "the equal shares are the published ones: {even}");
            assert!(mean >= marginal - 0.0005, "{mean}");
        }
    }
}
