use super::*;
use proptest::prelude::*;

fn at(hours: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + hours * 3_600, 0).expect("in range")
}

fn told(spans: impl IntoIterator<Item = (i64, u64, Grade)>) -> Told {
    let spans = spans.into_iter().map(|(hour, grams, grade)| Span {
        from: at(hour),
        until: at(hour + 1),
        value: Intensity::grams(grams),
        grade,
    });
    Told { values: Values::Intensity(Series::new(spans)), basis: Basis::default(), issued: None, notes: Vec::new() }
}

fn grams(belief: &Belief, hour: i64) -> Option<(u64, Grade)> {
    belief.series(at(-2_000), at(2_000)).at(at(hour)).map(|span| (span.value.0 / 1_000, span.grade))
}

use Grade::{Forecast, Measured};

#[test]
fn a_new_forecast_takes_the_place_of_the_old_one_and_what_was_measured_stays() {
    let mut belief = Belief::default();
    belief.take(&told((0..10).map(|h| (h, 100, Forecast))), at(0), None).expect("believed");
    belief
        .take(&told([(0, 90, Measured), (1, 95, Measured), (2, 200, Forecast), (3, 210, Forecast)]), at(2), None)
        .expect("believed");
    let all: Vec<_> = (0..6).map(|h| grams(&belief, h)).collect();
    assert_eq!(
        all,
        [Some((90, Measured)), Some((95, Measured)), Some((200, Forecast)), Some((210, Forecast)), None, None]
    );
    // A rewritten past forecast does not take back what was measured; a revision of it does.
    belief.take(&told([(0, 70, Forecast), (1, 96, Measured)]), at(3), None).expect("believed");
    assert_eq!((grams(&belief, 0), grams(&belief, 1)), (Some((90, Measured)), Some((96, Measured))));
}

#[test]
fn a_measured_value_of_the_future_is_a_forecast() {
    let mut belief = Belief::default();
    belief.take(&told([(0, 100, Measured), (5, 100, Measured)]), at(1), None).expect("believed");
    assert_eq!((grams(&belief, 0), grams(&belief, 5)), (Some((100, Measured)), Some((100, Forecast))));
}

#[test]
fn the_same_again_is_no_news_and_for_a_day_a_reason_to_wonder() {
    let mut belief = Belief::default();
    assert_eq!(belief.take(&told([(0, 100, Measured)]), at(0), None), Ok(true));
    for hour in 1..=25 {
        assert_eq!(belief.take(&told([(0, 100, Measured)]), at(hour), None), Ok(false));
        assert_eq!(belief.is_stuck(at(hour)), hour == 25);
    }
    assert_eq!(belief.changed, Some(at(0)));
}

#[test]
fn an_old_forecast_is_told_apart() {
    let mut belief = Belief::default();
    belief
        .take(&told((-5..40).map(|h| (h, 100, if h < 0 { Measured } else { Forecast }))), at(0), None)
        .expect("believed");
    let parts = |hour| belief.parts(at(-10), at(50), at(hour), TimeDelta::hours(12));
    assert!(parts(12).1.is_empty());
    let (good, aged) = parts(13);
    assert_eq!((good.end(), aged.spans()[0].from, aged.end()), (Some(at(13)), at(13), Some(at(40))));
}

#[test]
fn another_basis_is_not_joined() {
    let mut belief = Belief::default();
    belief.take(&told([(0, 100, Measured)]), at(1), None).expect("believed");
    let basis = Basis { factors: Some("other".to_owned()), ..Basis::default() };
    belief.take(&Told { basis, ..told([(1, 300, Measured)]) }, at(2), None).expect("believed");
    assert_eq!((grams(&belief, 0), grams(&belief, 1)), (None, Some((300, Measured))));
}

/// Whether a day of such values is believed after ten days of about 200 g.
fn believed(grams: u64, confirmed: Option<DateTime<Utc>>) -> Result<bool, String> {
    let mut belief = Belief::default();
    belief
        .take(&told((-240..0i64).map(|h| (h, 200 + h.unsigned_abs() % 24, Measured))), at(0), None)
        .expect("believed");
    let result = belief.take(
        &told((0..24).map(|h| (h, grams + u64::try_from(h % 2).unwrap_or(0), Measured))),
        at(24),
        confirmed,
    );
    assert_eq!(belief.suspect.is_some(), result.is_err());
    assert_eq!(grams_at(&belief, -1), 201, "what was known stays");
    result
}

fn grams_at(belief: &Belief, hour: i64) -> u64 {
    grams(belief, hour).map_or(0, |(grams, _)| grams)
}

#[test]
fn mistaken_units_are_held_back_until_somebody_says_they_are_right() {
    for wrong in [467, 450, 490, 96, 212_000] {
        let doubt = believed(wrong, None).expect_err("a mistake");
        assert!(doubt.contains("usual level"), "{doubt}");
    }
    for right in [20, 60, 130, 212, 350, 400, 600, 900] {
        assert_eq!(believed(right, None), Ok(true), "{right}");
    }
    assert_eq!(believed(467, Some(at(0))), Ok(true));
}

#[test]
fn a_thousandth_is_held_back_too() {
    let mut belief = Belief::default();
    belief.take(&told((-240..0).map(|h| (h, 200, Measured))), at(0), None).expect("believed");
    let small = |h| Span { from: at(h), until: at(h + 1), value: Intensity(201), grade: Measured };
    let told = Told { values: Values::Intensity(Series::new((0..24).map(small))), ..told([]) };
    assert!(belief.take(&told, at(24), None).expect_err("a mistake").contains("thousandth"));
}

#[test]
fn a_day_of_zeros_is_held_back_where_there_never_were_any() {
    let zeros = |usual, hours| {
        let mut belief = Belief::default();
        belief.take(&told((-240..0).map(|h| (h, usual, Measured))), at(0), None).expect("believed");
        belief.take(&told((0..hours).map(|h| (h, 0, Measured))), at(24), None)
    };
    assert!(zeros(200, 24).expect_err("a mistake").contains("zeros"));
    assert_eq!((zeros(200, 23), zeros(30, 24)), (Ok(true), Ok(true)));
}

proptest! {
    /// Whatever comes in whatever order, what is believed is sorted and disjoint, and nothing measured becomes a forecast.
    #[test]
    fn beliefs_stay_series(answers in proptest::collection::vec(
        (0i64..100, proptest::collection::vec((0i64..150, 1u64..900, any::<bool>()), 1..40)), 1..12)) {
        let mut belief = Belief::default();
        let mut measured = std::collections::BTreeSet::new();
        for (hour, spans) in answers {
            let spans: Vec<_> = spans.into_iter().map(|(h, g, m)| (h, g, if m { Measured } else { Forecast })).collect();
            let answer = told(spans);
            if belief.take(&answer, at(hour), None).is_ok()
                && let Values::Intensity(series) = &answer.values {
                measured.extend(series.spans().iter().filter(|s| s.grade == Measured && s.from <= at(hour)).map(|s| s.from));
            }
            let series = belief.series(at(-10), at(200));
            for pair in series.spans().windows(2) {
                prop_assert!(pair[0].until <= pair[1].from);
            }
            for from in &measured {
                prop_assert_eq!(series.at(*from).map(|span| span.grade), Some(Measured));
            }
        }
    }
}
