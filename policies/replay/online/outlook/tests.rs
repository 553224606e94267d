//! What is learned from past errors helps where errors repeat, and knows nothing of the future.

use super::{Issue, Outlook, Sight};
use crate::replay::{Case, Curve, Place};

const DAYS: usize = 140;

/// Hours of a zone whose days differ in the height of their noon, the same on every run.
fn made_up() -> Vec<f64> {
    let mut state = 7u64;
    let mut height = 100.0;
    (0..DAYS * 24)
        .map(|hour| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if hour % 24 == 0 {
                height = 60.0 + 80.0 * (state >> 33) as f64 / f64::from(u32::MAX >> 1);
            }
            300.0 - height * (1.0 - ((hour % 24) as f64 - 12.0).abs() / 12.0)
        })
        .collect()
}

/// What a blend says at an hour about the hours behind it, with so many days of history.
fn said(truth: &[f64], forecast: Option<&[f64]>, now: usize, days: usize) -> Vec<f64> {
    let of = |values: &[f64]| {
        Curve::new(-(days as f64) * 86_400.0, 3600.0, values[now - days * 24..].to_vec()).expect("values")
    };
    let place = Place { name: "A".to_owned(), curve: of(truth), forecast: None, pue: 1.0, gpus: None };
    let case = Case { places: vec![place], jobs: Vec::new(), anywhere: false, kw_per_gpu: 1.0 };
    let issue = |values| Issue { from: f64::NEG_INFINITY, curve: of(values) };
    let issues = [forecast.map(issue).into_iter().collect()];
    Sight { outlook: Outlook::Blend, issues: &issues, trusted: 48.0 * 3600.0 }.ahead(&case, 0, 0.0, 3600.0, 40)
}

fn error(truth: &[f64], said: &[f64]) -> f64 {
    said.iter().zip(truth).map(|(said, truth)| (said - truth).abs()).sum::<f64>() / said.len() as f64
}

#[test]
fn errors_that_repeat_are_corrected_once_there_is_history_enough() {
    let truth = made_up();
    // A provider that knows tomorrow but flattens it by half.
    let flat: Vec<f64> = truth.iter().map(|value| 250.0 + (value - 250.0) / 2.0).collect();
    let (mut short, mut long) = (0.0, 0.0);
    for now in (130 * 24..DAYS * 24 - 40).step_by(31) {
        short += error(&truth[now..], &said(&truth, Some(&flat), now, 13));
        long += error(&truth[now..], &said(&truth, Some(&flat), now, 120));
    }
    assert!(long < 0.5 * short, "{long} with months of history, {short} with 13 days");
}

#[test]
fn what_comes_later_changes_nothing_and_answers_are_the_same_again() {
    let truth = made_up();
    let now = 130 * 24 + 5;
    let mut other = truth.clone();
    other[now + 1..].iter_mut().for_each(|value| *value = 900.0);
    for forecast in [None, Some(truth.as_slice())] {
        let first = said(&truth, forecast, now, 120);
        assert_eq!(first, said(&other, forecast, now, 120));
        assert!(first.iter().all(|value| value.is_finite() && *value >= 0.0));
        assert_eq!(first, said(&truth, forecast, now, 120));
    }
}

#[test]
fn a_flat_zone_stays_flat() {
    let flat = vec![100.0; DAYS * 24];
    assert!(said(&flat, None, 130 * 24, 120).iter().all(|value| (value - 100.0).abs() < 1e-6));
    let zero = vec![0.0; DAYS * 24];
    assert!(said(&zero, Some(&zero), 130 * 24, 120).iter().all(|value| value.abs() < 1e-6));
}
