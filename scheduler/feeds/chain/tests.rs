use super::*;
use neap_model::footprint::{EnergyOver, by_feed};
use neap_model::grid::{Kind, Scope};
use neap_model::units::Joules;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("in range")
}

fn tier(feed: &str, scope: Scope, hours: std::ops::Range<i64>, grams: u64, grade: Grade) -> Tier {
    let span = |hour| {
        let from = now() + TimeDelta::hours(hour);
        Span { from, until: from + TimeDelta::hours(1), value: Intensity::grams(grams), grade }
    };
    let origin = Origin {
        feed: feed.to_owned(),
        zone: "Z".to_owned(),
        basis: Basis { scope, ..Basis::default() },
        issued: None,
        fetched: now(),
        credit: None,
        note: None,
        private: false,
        usual_error: None,
    };
    Tier { series: Series::new(hours.map(span)), origin, usual: feed == "table" }
}

fn grams(curve: &Curve, hour: i64) -> Option<(u64, Grade)> {
    curve.series.at(now() + TimeDelta::hours(hour)).map(|span| (span.value.0 / 1_000, span.grade))
}

/// The feeds that energy between two hours meets.
fn feeds(curve: &Curve, from: i64, until: i64) -> Vec<String> {
    let [from, until] = [from, until].map(|hour| now() + TimeDelta::hours(hour));
    let span = EnergyOver { from, until, energy: Joules(1_000) };
    by_feed(&span, curve).into_iter().map(|(feed, _)| feed).collect()
}

use Grade::{Climatology, Estimated, Forecast, Measured, Static};
use Scope::{Direct, Lifecycle};

#[test]
fn the_better_source_speaks_where_it_can() {
    let tiers = [
        tier("service", Lifecycle, -3..2, 100, Measured),
        tier("file", Lifecycle, -3..5, 200, Forecast),
        tier("table", Lifecycle, -9..9, 300, Climatology),
    ];
    let curve = chain(tiers, now());
    let values: Vec<_> = [-4, 0, 3, 6].map(|hour| grams(&curve, hour)).to_vec();
    let expected = [(300, Climatology), (100, Measured), (200, Forecast), (300, Climatology)].map(Some);
    assert_eq!(values, expected);
    assert_eq!(curve.origins.iter().map(|o| o.feed.as_str()).collect::<Vec<_>>(), ["service", "file", "table"]);
    let met = |from, until| feeds(&curve, from, until);
    assert_eq!(met(0, 1), ["service"]);
    assert_eq!((met(-9, -3), met(-4, 0)), (vec!["table".to_owned()], vec!["table".to_owned(), "service".to_owned()]));
    assert_eq!(met(-9, 9), ["table", "service", "file"], "each once");
    assert_eq!(met(20, 30), [""; 0], "where nobody says anything");
    // A source alone needs no list, as in curves that were kept without one.
    let alone = Curve { whose: Vec::new(), origins: curve.origins[..1].to_vec(), ..curve };
    assert_eq!(feeds(&alone, 0, 1), ["service"]);
}

#[test]
fn the_source_of_the_present_value_is_named_first() {
    let tiers = [
        tier("service", Lifecycle, -30..-2, 100, Measured),
        tier("own", Lifecycle, -2..50, 120, Forecast),
        tier("table", Lifecycle, -99..99, 300, Climatology),
    ];
    let names: Vec<String> = chain(tiers, now()).origins.into_iter().map(|origin| origin.feed).collect();
    assert_eq!(names, ["own", "service", "table"]);
}

#[test]
fn another_basis_is_brought_to_the_level_over_a_day_in_common() {
    let tiers = [tier("uk", Direct, -30..10, 100, Forecast), tier("file", Lifecycle, -30..40, 150, Measured)];
    let curve = chain(tiers, now());
    assert_eq!(grams(&curve, 20), Some((100, Estimated)), "no step");
    assert!(
        curve.origins[1].note.as_deref().is_some_and(|note| note.contains("× 0.67")),
        "{:?}",
        curve.origins[1].note
    );
}

#[test]
fn another_basis_without_a_day_in_common_shifts_nothing() {
    for lower in ["file", "table"] {
        let tiers = [tier("uk", Direct, -10..10, 100, Forecast), tier(lower, Lifecycle, -10..40, 50, Climatology)];
        let curve = chain(tiers, now());
        assert_eq!(grams(&curve, 20), Some((50, Static)), "{lower}");
        assert!(curve.origins[1].note.as_deref().is_some_and(|note| note.contains("something else")));
    }
    // The same basis needs no common hours.
    let tiers = [tier("uk", Direct, -10..10, 100, Forecast), tier("own", Direct, 0..40, 50, Forecast)];
    assert_eq!(grams(&chain(tiers, now()), 20), Some((50, Forecast)));
}

#[test]
fn marginal_and_average_are_unlike() {
    let marginal = Basis { kind: Kind::Marginal, ..Basis::default() };
    assert!(!marginal.is_like(&Basis::default()));
    let named = Basis { factors: Some("ar5-2014".to_owned()), ..Basis::default() };
    assert!(!named.is_like(&Basis::default()) && named.is_like(&named.clone()));
}
