//! Known answers, strange histories, and what must hold for every history.

use super::*;
use chrono::{DateTime, Utc};
use neap_model::units::Percent;
use proptest::prelude::*;

#[derive(serde::Deserialize)]
struct Known {
    issue_time: DateTime<Utc>,
    history: Vec<f64>,
    forecast: Vec<f64>,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    hours: usize,
    holes: Vec<usize>,
    forecast: Option<Vec<f64>>,
}

fn known() -> Known {
    serde_json::from_str(include_str!("../tests/data/damp_long.json")).expect("it is JSON")
}

fn at() -> DateTime<Utc> {
    known().issue_time
}

fn near(name: &str, found: Option<Vec<f64>>, expected: Option<&Vec<f64>>) {
    let (Some(found), Some(expected)) = (&found, expected) else {
        assert_eq!(found.is_some(), expected.is_some(), "{name}");
        return;
    };
    assert_eq!(found.len(), expected.len(), "{name}");
    for (h, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= 0.001, "{name}, hour {h}: {found} is not {expected}");
    }
}

#[test]
fn damp_long_gives_its_known_answers() {
    let known = known();
    let hours: Vec<Option<f64>> = known.history.iter().copied().map(Some).collect();
    near("whole", damp_long(&History::of_hours(&hours, known.issue_time)), Some(&known.forecast));
    for case in &known.cases {
        let mut cut = hours[hours.len() - case.hours..].to_vec();
        for hole in &case.holes {
            let from_start = cut.len() - hole;
            cut[from_start] = None;
        }
        near(&case.name, damp_long(&History::of_hours(&cut, known.issue_time)), case.forecast.as_ref());
    }
}

/// A made-up zone: a day's shape, a week's, and noise that is the same on every run.
fn made_up(days: usize) -> Vec<Option<f64>> {
    let mut state = 7u64;
    (0..days * 24)
        .map(|hour| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let noise = (state >> 33) as f64 / f64::from(u32::MAX >> 1) - 0.5;
            let sun = ((hour % 24) as f64 / 24.0 * std::f64::consts::TAU).cos();
            let week = if hour / 24 % 7 < 2 { -30.0 } else { 0.0 };
            Some(300.0 + 100.0 * sun + week + 20.0 * noise)
        })
        .collect()
}

fn series(hours: &[Option<f64>], step: i64, grade: Grade) -> Series<Intensity> {
    let minutes = TimeDelta::minutes(step);
    let from = at() - minutes * i32::try_from(hours.len()).expect("short");
    Series::new(hours.iter().enumerate().filter_map(|(n, value)| {
        let start = from + minutes * i32::try_from(n).ok()?;
        Some(Span { from: start, until: start + minutes, value: Intensity::from_base((*value)?)?, grade })
    }))
}

#[test]
fn the_learned_rule_errs_less_than_the_rule_it_corrects() {
    let hours = made_up(200);
    let (mut ours, mut theirs) = (0.0, 0.0);
    for issue in (150 * 24..190 * 24).step_by(61) {
        let history = History::of_hours(&hours[..issue], at() + TimeDelta::hours(issue as i64));
        let sum = |said: Vec<f64>| -> f64 {
            said.iter().zip(&hours[issue..]).map(|(said, truth)| (said - truth.expect("known")).abs()).sum()
        };
        ours += sum(hourly(&history).expect("long enough"));
        theirs += sum(damp_long(&history).expect("long enough"));
    }
    assert!(ours < theirs, "{ours} against {theirs}");
}

#[test]
fn a_history_ends_where_it_is_told_to_and_knows_nothing_later() {
    let hours = made_up(100);
    let whole = series(&hours, 60, Grade::Measured);
    let early = History::of(&whole, at() - TimeDelta::hours(30));
    assert_eq!(early.end(), at() - TimeDelta::hours(30));
    let alone = whole.trim(at() - TimeDelta::days(101), early.end());
    assert_eq!(early, History::of(&alone, at()), "what comes later makes no difference");
    let forecasts_only = series(&hours, 60, Grade::Forecast);
    assert!(History::of(&forecasts_only, at()).is_empty(), "what was only forecast is not known");
}

#[test]
fn quarter_hours_are_averaged_and_a_feed_that_lags_forecasts_from_where_it_ends() {
    let hours = made_up(30);
    let quarters: Vec<Option<f64>> = hours.iter().flat_map(|value| [*value; 4]).collect();
    let (by_hour, by_quarter) = (
        History::of(&series(&hours, 60, Grade::Measured), at()),
        History::of(&series(&quarters, 15, Grade::Measured), at()),
    );
    assert_eq!(by_hour.len(), by_quarter.len());
    let (one, other) = (damp_long(&by_hour).expect("long"), damp_long(&by_quarter).expect("long"));
    assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 0.001));
    let late = History::of(&series(&hours, 60, Grade::Measured), at() + TimeDelta::hours(12));
    assert_eq!(late.end(), at());
    assert_eq!(forecast(&late).spans().first().map(|span| span.from), Some(at()));
}

#[test]
fn strange_histories_give_sane_answers() {
    assert_eq!(hourly(&History::of_hours(&[], at())), None);
    assert_eq!(hourly(&History::of_hours(&[None; 5_000], at())), None);
    let flat = hourly(&History::of_hours(&[Some(123.0); 5_000], at())).expect("flat");
    assert!(flat.iter().all(|value| (value - 123.0).abs() < 0.01), "{flat:?}");
    let zero = hourly(&History::of_hours(&[Some(0.0); 5_000], at())).expect("zeros are values");
    assert!(zero.iter().all(|value| *value == 0.0));
    let absurd: Vec<Option<f64>> =
        (0..5_000).map(|n| [Some(f64::INFINITY), Some(-5.0), Some(1e300), None][n % 4]).collect();
    let _ = hourly(&History::of_hours(&absurd, at()));
}

#[test]
fn the_guard_is_half_the_error_within_bounds_and_nothing_is_held_on_a_yearly_mean() {
    let percent = |grade, error| match Guard::of(grade, error) {
        Guard::AtLeast(share) => Some(share),
        Guard::Never => None,
    };
    assert_eq!(percent(Grade::Forecast, None), Some(Percent::whole(5)));
    assert_eq!(percent(Grade::Forecast, Some((0.16, 13))), Some(Percent::whole(5)));
    assert_eq!(percent(Grade::Forecast, Some((0.16, 14))), Some(Percent::whole(8)));
    assert_eq!(percent(Grade::Forecast, Some((0.9, 20))), Some(Percent::whole(10)));
    assert_eq!(percent(Grade::Measured, Some((0.0, 20))), Some(Percent::whole(2)));
    assert_eq!(percent(Grade::Climatology, None), Some(Percent::whole(10)));
    assert_eq!(percent(Grade::Static, Some((0.01, 99))), None);
}

#[test]
fn skill_is_reckoned_by_horizon() {
    let mut skill = Skill::default();
    let truth: Vec<Option<f64>> =
        (0..96).map(|h| if h == 3 { None } else { Some(if h == 4 { 0.0 } else { 100.0 }) }).collect();
    let said = vec![Some(110.0); 96];
    let yesterday = vec![Some(80.0); 96];
    skill.judge(&said, &truth, &yesterday);
    let all: Vec<_> = skill.buckets().map(|(from, until, b)| (from, until, b.hours(), b.mae(), b.mape())).collect();
    assert_eq!((all[0].0, all[0].1, all[0].2, all[0].3), (0, 6, 5, Some((4.0 * 10.0 + 110.0) / 5.0)));
    assert_eq!((all[3].0, all[3].1, all[3].2, all[3].3), (48, 96, 48, Some(10.0)));
    assert!(all.iter().all(|bucket| bucket.4.is_some_and(|share| (share - 0.1).abs() < 1e-12)));
    let (_, _, last) = skill.buckets().last().expect("four");
    assert_eq!((last.bias(), last.skill()), (Some(10.0), Some(0.5)));
    assert!((skill.day_ahead().expect("judged") - 0.1).abs() < 1e-12);
}

#[test]
fn paths_are_equal_for_equal_seeds_and_bands_hold_the_middle() {
    let scenarios = Scenarios::of(&History::of_hours(&made_up(120), at())).expect("long enough");
    assert_eq!(scenarios.paths(8, 42), scenarios.paths(8, 42));
    assert_ne!(scenarios.paths(8, 42), scenarios.paths(8, 43));
    let (wide, narrow) = (scenarios.bands(0.8), scenarios.bands(0.4));
    for h in 0..HORIZON {
        assert!(wide.low[h] <= narrow.low[h] && narrow.high[h] <= wide.high[h]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn every_answer_is_finite_and_not_negative_and_the_same_again(
        hours in proptest::collection::vec(proptest::option::weighted(0.9, 0.0f64..2_000.0), 0..2_500),
    ) {
        let history = History::of_hours(&hours, at());
        let first = hourly(&history);
        prop_assert_eq!(&first, &hourly(&history));
        if let Some(values) = first {
            prop_assert_eq!(values.len(), HORIZON);
            prop_assert!(values.iter().all(|value| value.is_finite() && *value >= 0.0));
        }
    }
}
