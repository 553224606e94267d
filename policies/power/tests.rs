//! Vectors, strange curves, and what must hold for every curve.

mod clocks;

use super::*;
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::units::Watts;
use proptest::prelude::*;

fn fit(a: f64, b: f64, k: f64) -> Fit {
    Fit { a, b, k, error: 0.0 }
}

fn free() -> speed::Bounds {
    speed::Bounds { lowest: 0.0, slowdown: f64::MAX, needed: 0.0 }
}

fn near(found: f64, expected: f64, within: f64) {
    assert!((found - expected).abs() <= within, "{found} is not {expected}");
}

#[test]
fn closed_forms_give_their_vectors() {
    let curve = fit(96.0, 129.0, 4.4);
    let gpu_only = speed::least_energy(&curve, 0.0, &free());
    near(gpu_only, 0.7080, 5e-5);
    near(curve.power(gpu_only), 124.2, 0.05);
    near(speed::least_energy(&curve, 60.0, &free()), 0.7906, 5e-5);
    for (grams, expected) in [(800.0, 0.8178), (400.0, 0.8422), (100.0, 0.9537), (50.0, 1.0)] {
        let delay = speed::delay_watts(20.0 / 3_600.0, grams, 1.0);
        near(speed::least_energy(&curve, 60.0 + delay, &free()), expected, 5e-5);
    }
    assert_eq!(speed::delay_watts(1.0, 0.0, 1.0), f64::INFINITY);
    near(speed::least_energy(&curve, f64::INFINITY, &free()), 1.0, 0.0);
}

#[test]
fn bounds_hold_and_flat_curves_run_at_full_speed() {
    let curve = fit(96.0, 129.0, 4.4);
    let bounds = |slowdown, needed, lowest| speed::Bounds { slowdown, needed, lowest };
    near(speed::least_energy(&curve, 0.0, &bounds(0.05, 0.0, 0.0)), 1.0 / 1.05, 1e-12);
    near(speed::least_energy(&curve, 0.0, &bounds(0.5, 0.9, 0.0)), 0.9, 1e-12);
    near(speed::least_energy(&curve, 0.0, &bounds(9.0, 0.0, 0.8)), 0.8, 1e-12);
    near(speed::least_energy(&curve, 0.0, &bounds(0.5, 7.0, 0.0)), 1.0, 1e-12);
    near(speed::least_energy(&fit(50.0, 0.0, 3.0), 0.0, &free()), 1.0, 0.0);
    near(speed::least_energy(&fit(0.0, 100.0, 1.0), 0.0, &free()), 1.0, 0.0);
    let half = speed::weighted(&curve, 0.5, 225.0);
    near(half.a, 0.5 * 96.0 + 0.5 * 225.0, 1e-12);
    assert!(speed::wants_clock_ceiling(0.01, 0.9) && !speed::wants_clock_ceiling(0.3, 0.9));
}

fn point(limit: u64, rate: f64, power: f64) -> Point {
    Point { limit: Watts::whole(limit), rate, power }
}

/// What a search over these points, lowest limit first, measured and chose.
fn search_over(points: &[Point], slowdown: f64, seed: u64) -> (Vec<u64>, u64) {
    let table = Curve::new(points.iter().copied());
    let limits: Vec<Watts> = points.iter().map(|point| point.limit).collect();
    let mut probe = Probe::new(&limits, Terms::within(slowdown), Curve::default(), seed);
    loop {
        match probe.next().expect("there are limits") {
            Next::Measure(limit) => probe.measured(*table.at(limit).expect("offered")),
            Next::Stay(choice) => {
                let measured = probe.curve().points().iter().map(|point| point.limit.0 / 1_000).collect();
                return (measured, choice.limit.0 / 1_000);
            }
        }
    }
}

#[test]
fn a_job_whose_readings_scatter_is_looked_at_further_down() {
    // It feels no limit; the reading at the highest one was fast by chance.
    let rates = [0.97, 0.90, 1.0, 0.985, 0.945, 0.965, 0.94, 0.89, 1.0];
    let scattered: Vec<Point> =
        (100..=300).step_by(25).zip(rates).map(|(w, rate)| point(w, rate, 80.0 + w as f64 / 20.0)).collect();
    for seed in [0, 1, 2, 17] {
        let (measured, chosen) = search_over(&scattered, 0.05, seed);
        assert!(measured.contains(&100), "the lowest one is looked at: {measured:?}");
        assert!(chosen < 300 && measured.len() <= 7, "{chosen} W after {measured:?}");
    }
    // One that slows as limits fall has shown enough at the lowest measured one.
    let rates = [0.60, 0.80, 0.90, 0.935, 0.96, 0.975, 0.985, 0.995, 1.0];
    let felt: Vec<Point> = (100..=300).step_by(25).zip(rates).map(|(w, rate)| point(w, rate, w as f64 * 0.9)).collect();
    let (measured, chosen) = search_over(&felt, 0.05, 0);
    assert!(!measured.contains(&100) && chosen == 200, "{chosen} W after {measured:?}");
}

#[test]
fn a_fit_finds_the_curve_it_was_made_from() {
    let truth = fit(80.0, 140.0, 3.0);
    let points = [0.5, 0.7, 0.85, 1.0].map(|x| point((truth.power(x) + 5.0) as u64, x * 12.0, truth.power(x)));
    let found = Fit::of(&Curve::new(points)).expect("four speeds");
    near(found.a, 80.0, 1.0);
    near(found.k, 3.0, 0.06);
    assert!(found.error < 0.5);
    assert_eq!(Fit::of(&Curve::new([point(100, 1.0, 90.0)])), None);
    let flat = Fit::of(&Curve::new([point(100, 1.0, 40.0), point(250, 1.0, 38.0)])).expect("two");
    assert!(flat.b >= 0.0 && flat.a >= 0.0);
}

#[test]
fn the_curve_between_points_is_monotone_and_nothing_is_claimed_outside() {
    let curve = Curve::new([point(250, 10.0, 240.0), point(100, 6.0, 99.0), point(175, 9.5, 172.0)]);
    assert_eq!(curve.between(Watts::whole(99)), None);
    assert_eq!(curve.between(Watts::whole(251)), None);
    let mut last = 0.0;
    for limit in 100..=250 {
        let here = curve.between(Watts::whole(limit)).expect("inside");
        assert!(here.rate >= last - 1e-12 && (99.0..=240.0).contains(&here.power), "{here:?}");
        last = here.rate;
    }
    near(curve.between(Watts::whole(175)).expect("inside").rate, 9.5, 1e-12);
}

#[test]
fn hosts_and_a_clean_grid_make_it_go_faster() {
    let truth = fit(30.0, 200.0, 3.0);
    let curve = Curve::new([0.6, 0.7, 0.8, 0.9, 1.0].map(|x| point(truth.power(x) as u64, x, truth.power(x))));
    let choose = |host, delay| curve.choose(&[], &Terms { slowdown: 1.0, host, delay }).expect("points").limit;
    assert!(choose(0.0, 0.0) < choose(150.0, 0.0));
    assert!(choose(150.0, 0.0) <= choose(150.0, 1_000.0));
    assert_eq!(choose(0.0, 1e9), curve.highest().expect("points").limit);
}

#[test]
fn a_plan_is_offered_the_highest_limit_the_best_and_some_between() {
    let truth = fit(30.0, 200.0, 3.0);
    let curve = Curve::new([0.6, 0.7, 0.8, 0.9, 1.0].map(|x| point(truth.power(x) as u64, x, truth.power(x))));
    let offered = |slowdown, most| {
        let rungs = curve.rungs(&[], &Terms::within(slowdown), most);
        rungs
            .iter()
            .map(|rung| ((1.0 / rung.time * 10.0).round() as u32, (rung.power * 100.0).round() as u32))
            .collect()
    };
    let of = |rungs: &[(u32, u32)]| rungs.to_vec();
    let all: Vec<(u32, u32)> = offered(1.0, 9);
    assert_eq!(all, of(&[(10, 100), (9, 76), (8, 58), (7, 43), (6, 32)]));
    let some: Vec<(u32, u32)> = offered(1.0, 3);
    assert_eq!(some, of(&[(10, 100), (8, 58), (6, 32)]));
    let near: Vec<(u32, u32)> = offered(0.12, 4);
    assert_eq!(near, of(&[(10, 100), (9, 76)]));
    let none: Vec<(u32, u32)> = offered(0.05, 4);
    assert_eq!(none, of(&[]), "nothing within the slowdown");
    let choice = curve.choice(Watts::whole(200)).expect("between");
    assert!(!choice.measured && (1.0..1.12).contains(&choice.time), "{choice:?}");
    assert_eq!(curve.choice(Watts::whole(20)), None);
}

#[test]
fn limits_below_the_best_are_the_lowest_and_what_lies_evenly_above_it() {
    // 180 W take the least energy; below it speed falls faster than power.
    let points = [(300, 10.0), (240, 9.6), (210, 9.3), (180, 9.0), (150, 7.4), (120, 5.8), (90, 4.2)];
    let curve = Curve::new(points.map(|(limit, rate)| point(limit, rate, limit as f64)));
    let limits: Vec<Watts> = (90..=300).step_by(30).map(Watts::whole).collect();
    let short = |slowdown: f64, least: u64, most: usize| {
        let rungs = curve.short_rungs(&limits, &Terms::within(slowdown), Watts::whole(least), most);
        rungs.iter().map(|rung| rung.limit.0 / 1_000).collect::<Vec<_>>()
    };
    assert_eq!(curve.choose(&limits, &Terms::within(2.0)).map(|choice| choice.limit), Some(Watts::whole(180)));
    assert_eq!((short(2.0, 0, 2), short(2.0, 0, 1), short(2.0, 0, 9)), (vec![150, 90], vec![90], vec![150, 120, 90]));
    assert_eq!(short(2.0, 100, 2), [150, 120], "not below what boards are left at");
    assert_eq!(short(0.5, 0, 2), [150], "within the slowdown");
    assert_eq!(short(0.1, 0, 2), [0; 0]);
    assert_eq!(Curve::default().short_rungs(&limits, &Terms::within(1.0), Watts::ZERO, 2), []);
}

#[test]
fn another_phase_is_seen_and_what_is_known_is_not_measured_again() {
    let limits = [100, 150, 200, 250].map(Watts::whole);
    let known = Curve::new([
        point(250, 10.0, 240.0),
        point(175, 9.6, 171.0),
        point(125, 8.0, 124.0),
        point(150, 9.4, 148.0),
        point(200, 9.9, 196.0),
    ]);
    let probe = Probe::new(&limits, Terms::within(0.05), known, 3);
    assert_eq!(probe.curve().points().len(), 3, "limits that may not be set are nobody's");
    assert!(probe.is_another_phase(Watts::whole(250), 8.0) && !probe.is_another_phase(Watts::whole(250), 9.5));
    assert_eq!(Probe::new(&[], Terms::within(0.05), Curve::default(), 0).next(), None);
}

#[test]
fn what_was_learned_is_kept_by_board_and_forgotten_in_time() {
    let now = DateTime::<Utc>::from_timestamp(1_795_392_000, 0).expect("in range");
    let key = |board: &str| Key { project: "nlp".into(), name: "train".into(), board: board.into() };
    let mut learned = Learned::default();
    learned.keep(key("V100"), now, Curve::new([point(250, 1.0, 200.0)]));
    learned.keep(key("V100"), now, Curve::new([point(250, 2.0, 200.0)]));
    assert_eq!(learned.of(&key("V100"), now).map(|curve| curve.points()[0].rate), Some(2.0));
    assert_eq!(learned.of(&key("A40"), now), None);
    assert_eq!(learned.of(&key("V100"), now + TimeDelta::days(91)), None);
    assert_eq!(learned.by_board().into_iter().collect::<Vec<_>>(), [("V100", 1)]);
}

proptest! {
    #[test]
    fn each_limit_on_offer_is_slower_for_less_energy_and_within_the_slowdown(
        speeds in proptest::collection::vec(0.2f64..1.2, 1..10), powers in proptest::collection::vec(20.0f64..300.0, 10),
        slowdown in 0.0f64..0.5, host in 0.0f64..200.0, most in 2usize..6,
    ) {
        let points =
            speeds.iter().zip(&powers).enumerate().map(|(n, (rate, power))| point(100 + 25 * n as u64, *rate, *power));
        let (curve, terms) = (Curve::new(points), Terms { host, ..Terms::within(slowdown) });
        let limits: Vec<Watts> = (100..350).step_by(5).map(Watts::whole).collect();
        let rungs = curve.rungs(&limits, &terms, most);
        prop_assert!(rungs.len() <= most && rungs.len() != 1);
        let chosen = curve.choose(&limits, &terms).expect("points");
        match rungs.as_slice() {
            [] => prop_assert_eq!(Some(chosen.limit), curve.highest().map(|point| point.limit)),
            [top, .., last] => prop_assert_eq!(
                (top.time, top.power, Some(top.limit), last.limit),
                (1.0, 1.0, curve.highest().map(|point| point.limit), chosen.limit)
            ),
            [_] => prop_assert!(false, "one is no choice"),
        }
        prop_assert!(rungs.iter().all(|rung| rung.time <= 1.0 + slowdown + 1e-9));
        let inner = rungs.len().saturating_sub(1);
        for pair in rungs[..inner].windows(2) {
            prop_assert!(pair[1].limit < pair[0].limit && pair[1].time > pair[0].time, "{rungs:?}");
            prop_assert!(pair[1].time * pair[1].power < pair[0].time * pair[0].power, "{rungs:?}");
        }
        // Below the best: fewer watts, none cheaper, all within the slowdown.
        let short = curve.short_rungs(&limits, &terms, Watts::whole(120), most);
        let best = curve.point(chosen.limit).expect("it was chosen");
        prop_assert!(short.len() <= most);
        let mut last = (chosen.limit, best.power);
        for rung in short {
            let point = curve.point(rung.limit).expect("measured, or between what was");
            prop_assert!(rung.short && rung.limit < last.0 && point.power < last.1, "{rung:?} below {last:?}");
            prop_assert!(rung.limit >= Watts::whole(120) && rung.time <= 1.0 + slowdown + 1e-9, "{rung:?}");
            prop_assert!(terms.cost(&point) >= terms.cost(&best), "{rung:?}");
            last = (rung.limit, point.power);
        }
    }

    #[test]
    fn a_probe_ends_within_seven_points_at_a_measured_limit_within_the_slowdown(
        speeds in proptest::collection::vec(0.2f64..1.2, 1..10), powers in proptest::collection::vec(20.0f64..300.0, 10),
        slowdown in 0.0f64..0.5, seed: u64,
    ) {
        let points: Vec<Point> =
            speeds.iter().zip(&powers).enumerate().map(|(n, (rate, power))| point(100 + 25 * n as u64, *rate, *power)).collect();
        let truth = Curve::new(points);
        let limits: Vec<Watts> = truth.points().iter().map(|p| p.limit).collect();
        let mut probe = Probe::new(&limits, Terms::within(slowdown), Curve::default(), seed);
        let mut windows = 0;
        let choice = loop {
            match probe.next().expect("there are limits") {
                Next::Stay(choice) => break choice,
                Next::Measure(limit) => {
                    prop_assert!(probe.curve().at(limit).is_none(), "measured twice");
                    probe.measured(*truth.at(limit).expect("a limit"));
                    windows += 1;
                    prop_assert!(windows <= 7);
                }
            }
        };
        prop_assert!(choice.measured && probe.curve().at(choice.limit).is_some());
        prop_assert!(choice.time <= 1.0 + slowdown + 1e-9 || Some(choice.limit) == limits.last().copied());
        prop_assert_eq!(probe.next(), Some(Next::Stay(choice)));
    }
}
