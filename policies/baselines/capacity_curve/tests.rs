use super::deviations::{Day, deviations};
use crate::baselines::{Lengths, Rule, run};
use crate::replay::{Case, Curve, Place, TraceJob};

fn day(intensity: &[f64]) -> Day {
    Day {
        intensity: intensity.to_vec(),
        inflexible: vec![0.0; intensity.len()],
        flexible: intensity.len() as f64,
        power: vec![(0.0, 0.0), (1.0, 1.0)],
        most: 0.5,
        carbon: 1.0,
        peak: 0.0,
    }
}

fn check(day: &Day, known: &[f64]) {
    let got = deviations(day);
    let same = got.len() == known.len() && got.iter().zip(known).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(same, "{got:?}, known {known:?}");
}

#[test]
fn load_goes_where_the_grid_is_clean() {
    check(&day(&[100.0, 200.0, 300.0, 400.0]), &[0.5, 0.5, -0.5, -0.5]);
    check(&day(&[100.0, 200.0, 300.0]), &[0.5, 0.0, -0.5]);
}

#[test]
fn a_dear_peak_flattens_the_day() {
    let mut flat = day(&[100.0, 200.0, 300.0, 400.0]);
    flat.peak = 1e4;
    check(&flat, &[0.0; 4]);
    // The first sixth of a kW more moves half a unit from 400 to the other three and saves 600 g/kW; the next third
    // of a kW moves one from 300 to 100 and 200 as well and saves 300 g/kW.
    flat.peak = 601.0;
    check(&flat, &[0.0; 4]);
    flat.peak = 599.0;
    check(&flat, &[1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0, -0.5]);
    flat.peak = 301.0;
    check(&flat, &[1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0, -0.5]);
    flat.peak = 299.0;
    check(&flat, &[0.5, 0.5, -0.5, -0.5]);
}

#[test]
fn the_peak_is_that_of_all_load_and_steep_power_counts_twice() {
    let mut busy = day(&[100.0, 200.0]);
    (busy.inflexible, busy.peak) = (vec![4.0, 0.0], 1e4);
    check(&busy, &[-0.5, 0.5]);
    let mut steep = day(&[100.0, 150.0]);
    steep.power = vec![(0.0, 0.0), (1.25, 1.25), (2.25, 3.25)]; // twice as steep from 1.25 GPUs on
    check(&steep, &[0.25, -0.25]);
}

#[test]
fn nothing_to_move() {
    check(&day(&[]), &[]);
    check(&Day { flexible: 0.0, ..day(&[1.0, 2.0]) }, &[0.0, 0.0]);
    check(&Day { most: 0.0, ..day(&[1.0, 2.0]) }, &[0.0, 0.0]);
}

/// Dirty nights and clean days; every midnight so many jobs come, which could wait for noon.
fn started_at_midnight(by_day: &[usize]) -> Vec<usize> {
    let values = (0..by_day.len() * 24).map(|hour| if hour % 24 < 12 { 500.0 } else { 100.0 }).collect();
    let curve = Curve::new(0.0, 3600.0, values).expect("values");
    let place = Place { name: "zone".to_owned(), curve, forecast: None, pue: 1.0, gpus: None };
    let (length, slack) = (6.0 * 3600.0, 20.0 * 3600.0);
    let job = |day: usize| TraceJob {
        arrival: day as f64 * 24.0 * 3600.0,
        length,
        width: 4.0,
        slack,
        assumed: length,
        queue: 0,
        home: 0,
    };
    let jobs: Vec<TraceJob> = by_day.iter().enumerate().flat_map(|(day, jobs)| vec![job(day); *jobs]).collect();
    let case = Case { places: vec![place], jobs, anywhere: false, kw_per_gpu: 1.0 };
    let ran = run(Rule::CapacityCurve, &case, Lengths::True);
    let at_once = |day: usize| {
        let came = job(day).arrival;
        case.jobs.iter().zip(&ran).filter(|(job, ran)| job.arrival == came && ran[0].from == came).count()
    };
    (0..by_day.len()).map(at_once).collect()
}

#[test]
fn jobs_wait_for_the_clean_half_of_the_day_once_a_day_is_known() {
    let started = started_at_midnight(&[8, 8, 8]);
    assert_eq!(started[0], 8, "nothing is known on the first day");
    assert!(started[1..].iter().all(|jobs| *jobs <= 1), "{started:?}");
}

#[test]
fn two_days_that_ask_for_more_than_foreseen_switch_the_curve_off_until_one_does_not() {
    let started = started_at_midnight(&[8, 8, 16, 32, 8, 8]);
    assert!(started[1] < 8 && started[2] < 16 && started[3] < 32, "{started:?}");
    assert_eq!(started[4], 8, "off after two misses");
    assert!(started[5] < 8, "on again: {started:?}");
}
