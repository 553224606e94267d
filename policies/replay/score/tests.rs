use super::{Spread, quantile, score};
use crate::replay::{Case, Curve, Place, Segment, TraceJob};

fn place(values: &[f64], pue: f64) -> Place {
    let curve = Curve::new(0.0, 3600.0, values.to_vec()).expect("values");
    Place { name: "zone".to_owned(), curve, forecast: None, pue, gpus: None }
}

fn job(arrival: f64, length: f64, width: f64, slack: f64) -> TraceJob {
    TraceJob { arrival, length, width, slack, assumed: length, queue: 0, home: 0 }
}

const fn part(from: f64, until: f64, gpus: f64, place: usize) -> Segment {
    Segment { from, until, gpus, place }
}

#[test]
fn quantiles_are_interpolated() {
    assert_eq!(quantile(&[], 0.5), 0.0);
    assert_eq!(quantile(&[7.0], 0.95), 7.0);
    assert_eq!(quantile(&[0.0, 10.0], 0.95), 9.5);
    assert_eq!(quantile(&[1.0, 2.0, 4.0, 8.0], 0.5), 3.0);
    assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Spread { mean: 2.0, p50: 2.0, p95: 2.9 });
}

#[test]
fn every_number_of_a_run_with_a_pause_a_move_and_late_work() {
    let case = Case {
        places: vec![place(&[100.0, 200.0, 300.0, 400.0], 1.0), place(&[10.0], 2.0)],
        jobs: vec![job(0.0, 7200.0, 2.0, 3600.0), job(0.0, 3600.0, 1.0, 0.0), job(0.0, 3600.0, 1.0, 0.0)],
        anywhere: true,
        kw_per_gpu: 0.5,
    };
    let ran = vec![
        vec![part(0.0, 3600.0, 2.0, 0), part(9000.0, 12600.0, 2.0, 1)], // half an hour behind its window
        vec![part(0.0, 3600.0, 1.0, 0)],
        vec![],
    ];
    let reference = vec![vec![part(0.0, 7200.0, 2.0, 0)], vec![part(0.0, 3600.0, 1.0, 0)]];
    let got = score(&case, &ran, &reference);
    assert_eq!((got.jobs, got.unfinished, got.late_jobs, got.pauses, got.moves), (3, 1, 2, 1, 1));
    assert_eq!(got.grams_by_place, vec![100.0 + 50.0, 20.0]);
    assert_eq!((got.grams, got.energy_kwh, got.peak_gpus), (170.0, 3.5, 3.0));
    assert_eq!((got.to_unlimited, got.to_reference), (170.0 / 400.0, 170.0 / 350.0));
    assert_eq!((got.wait_hours.mean, got.wait_hours.p50), (0.75, 0.75));
    assert!((got.wait_hours.p95 - 1.425).abs() < 1e-12, "{}", got.wait_hours.p95);
    assert_eq!((got.slowdown.mean, got.slowdown.p50, got.slowdown.p95), (1.375, 1.375, 1.7125));
    assert_eq!(got.late_work, (1.0 + 1.0) / 6.0);
}

#[test]
fn a_hand_over_is_no_peak_and_an_empty_case_scores_one() {
    let case = Case { places: vec![place(&[100.0], 1.0)], jobs: vec![], anywhere: false, kw_per_gpu: 1.0 };
    let got = score(&case, &[vec![part(0.0, 10.0, 4.0, 0)], vec![part(10.0, 20.0, 4.0, 0)]], &[]);
    assert_eq!((got.peak_gpus, got.to_unlimited, got.late_work), (4.0, 1.0, 0.0));
}

#[test]
fn a_short_job_is_slowed_down_against_ten_seconds() {
    let case = Case {
        places: vec![place(&[100.0], 1.0)],
        jobs: vec![job(0.0, 2.0, 1.0, 100.0)],
        anywhere: false,
        kw_per_gpu: 1.0,
    };
    assert_eq!(score(&case, &[vec![part(18.0, 20.0, 1.0, 0)]], &[]).slowdown.mean, 2.0);
    assert_eq!(score(&case, &[vec![part(0.0, 2.0, 1.0, 0)]], &[]).slowdown.mean, 1.0);
}
