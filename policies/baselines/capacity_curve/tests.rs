use super::deviations::{Day, deviations};

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
    // The first sixth of a kW more moves half a unit from 400 to the other three and saves 600 g/kW; the next third of a
    // kW moves one from 300 to 100 and 200 as well and saves 300 g/kW.
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
