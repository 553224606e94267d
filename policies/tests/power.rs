//! The choice of limits, replayed over the public power tables of V100 and A40: `cargo test -p neap-policies --test power --
//! --nocapture` prints the figures.
#![allow(clippy::disallowed_methods, clippy::print_stderr, reason = "figures are shown beside what they must reach")]

use neap_model::units::Watts;
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
        // Within half a point of what knowing every point would give, and never over the bound.
        assert!(ours.energy <= oracle.energy + 0.005 && ours.worst <= 1.0 + slowdown + 1e-9);
        assert!(ours.points <= 6.0);
    }
}
