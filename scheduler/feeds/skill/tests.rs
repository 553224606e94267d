use super::*;
use neap_model::grid::Basis;

fn at(hours: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + hours * 3_600, 0).expect("in range")
}

/// A day that repeats itself: 200 g and 10 g more each hour of it.
fn daily(hour: i64) -> u64 {
    200 + 10 * hour.rem_euclid(24).unsigned_abs()
}

fn series(hours: std::ops::Range<i64>, grade: Grade, value: impl Fn(i64) -> u64) -> Series {
    Series::new(hours.map(|h| Span { from: at(h), until: at(h + 1), value: Intensity::grams(value(h)), grade }))
}

#[test]
fn a_service_that_is_always_ten_grams_high_is_found_to_be_ten_grams_high() {
    let truth = series(-800..0, Grade::Measured, daily);
    let entries: Vec<Entry> = (-200..0)
        .map(|hour| Entry {
            fetched: at(hour),
            issued: None,
            basis: Basis::default(),
            values: Values::Intensity(series(hour..hour + 48, Grade::Forecast, |h| daily(h) + 10)),
        })
        .collect();
    let skill = of_service(&entries, &truth, at(0), TimeDelta::hours(24));
    let buckets: Vec<_> = skill.buckets().map(|(_, _, bucket)| (bucket.mae(), bucket.bias())).collect();
    assert_eq!(buckets[..3], [(Some(10.0), Some(10.0)); 3]);
    assert_eq!(buckets[3], (None, None), "it says nothing beyond two days");
    assert_eq!(of_the_day(&skill), Some(Intensity::grams(10)));
    // A third of the issues is judged, and none of what is not settled.
    let first = skill.buckets().next().expect("a bucket").2.hours();
    assert!((300..=400).contains(&first), "{first}");
}

#[test]
fn our_own_forecast_of_a_day_that_repeats_itself_is_right() {
    let skill = of_own(&series(-1_400..0, Grade::Measured, daily), at(0), TimeDelta::hours(24));
    let error = of_the_day(&skill).expect("judged");
    assert!(error < Intensity::grams(1), "{error}");
    assert_eq!(of_own(&series(-5..0, Grade::Measured, daily), at(0), TimeDelta::zero()), Skill::default());
}

#[test]
fn what_was_only_said_is_no_truth() {
    assert!(truth(&series(-10..0, Grade::Forecast, daily)).is_empty());
    assert_eq!(truth(&series(-10..0, Grade::Estimated, daily)).spans().len(), 10);
}
