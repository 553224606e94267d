//! The known answers.

use super::super::super::feed::{FeedError, Told, Values};
use super::super::super::mix::Factors;
use super::super::super::wire::points::Points;
use super::super::{
    carbon_aware, eia, electricity_maps, energi_data, energy_charts, entsoe, exporter, http_json, nord_pool, octopus,
    open_electricity, prometheus, tibber, uk, watttime,
};
use super::{any_json_options, fixture};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Grade, Kind, Series, Span};
use neap_model::units::{Intensity, Price};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn grams(series: &Series<Intensity>) -> Vec<f64> {
    series.spans().iter().map(|span| span.value.in_base()).collect()
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 0.001, "{found} is not {expected}");
}

fn series(points: Points, step: Option<TimeDelta>) -> Series<Intensity> {
    points.intensity(step).expect("plausible")
}

fn prices(told: &Told) -> (Vec<Span<Price>>, &str) {
    match &told.values {
        Values::Price(series, currency) => (series.spans().to_vec(), currency),
        Values::Intensity(_) => panic!("intensities"),
    }
}

fn intensities(told: &Told) -> &Series<Intensity> {
    match &told.values {
        Values::Intensity(series) => series,
        Values::Price(..) => panic!("prices"),
    }
}

fn measure(span: Option<&Span<Intensity>>) -> Option<(f64, Grade)> {
    span.map(|span| (span.value.in_base(), span.grade))
}

#[test]
fn uk() {
    let Some(body) = fixture("uk_fw48h.json") else { return };
    let points = uk::read(&body, "GB").expect("known");
    assert_eq!(points.len(), 97);
    let all = series(points, None);
    let first = all.spans()[0];
    assert_eq!((first.from, first.until), (at("2026-05-11T06:30:00Z"), at("2026-05-11T07:00:00Z")));
    let asked = all.trim(at("2026-05-11T07:00:00Z"), at("2026-05-14T00:00:00Z"));
    assert_eq!((asked.spans().len(), asked.spans()[0].value), (96, Intensity::grams(129)));
    let range = uk::read(&fixture("uk_range.json").expect("there"), "GB").expect("known");
    assert_eq!(range.len(), 49);
    let range = series(range, None).trim(at("2026-05-10T07:00:00Z"), at("2026-05-11T07:00:00Z"));
    assert_eq!(range.spans().len(), 48);
    let all_regions = fixture("uk_regional_all.json").expect("there");
    let north = series(uk::read(&all_regions, "1").expect("known"), None);
    assert_eq!(grams(&north), [0.0], "zero is a value");
    for name in ["uk_regional_fw48h_regionid.json", "uk_regional_current_regionid.json", "uk_current.json"] {
        let points = uk::read(&fixture(name).expect("there"), if name == "uk_current.json" { "GB" } else { "13" });
        assert!(!points.expect(name).is_empty(), "{name}");
    }
    let other = uk::read(&fixture("uk_regional_current_regionid.json").expect("there"), "5");
    assert!(matches!(other, Err(FeedError::Refused(_))), "{other:?}");
}

#[test]
fn energy_charts() {
    let Some(body) = fixture("ec_co2eq.json") else { return };
    let told = energy_charts::intensity(&body).expect("known");
    let all = intensities(&told);
    let count = |grade| all.spans().iter().filter(|span| span.grade == grade).count();
    assert_eq!((all.spans().len(), count(Grade::Measured), count(Grade::Forecast)), (184, 100, 84));
    assert_eq!(
        (all.spans()[0].from, measure(all.spans().first())),
        (at("2026-05-10T07:00:00Z"), Some((214.2, Grade::Measured)))
    );
    assert_eq!(all.spans()[0].until - all.spans()[0].from, TimeDelta::minutes(15));
    let told = energy_charts::price(&fixture("ec_price_v2.json").expect("there")).expect("known");
    let (spans, currency) = prices(&told);
    assert_eq!((spans.len(), currency), (96, "EUR"));
    assert_eq!((spans[0].from, spans[0].value), (at("2026-05-10T07:00:00Z"), Price(100_000)));
    let told = energy_charts::price(&fixture("ec_price_v1.json").expect("there")).expect("known");
    assert_eq!(prices(&told).0[0].value, Price(50_000));
}

#[test]
fn electricity_maps() {
    let Some(body) = fixture("em_forecast_24.json") else { return };
    let read = |name: &str, zone: &str| electricity_maps::read(&fixture(name).expect("there"), zone, false);
    let part = electricity_maps::read(&body, "US-CAL-CISO", false).expect("known");
    assert_eq!(part.points.len(), 25);
    let asked = series(part.points, part.step).trim(at("2026-05-11T07:00:00Z"), at("2026-05-12T07:00:00Z"));
    assert_eq!(asked.spans().len(), 24, "the point at the end of the horizon is beyond it");
    assert_eq!(read("em_forecast_72.json", "US-CAL-CISO").expect("known").points.len(), 73);
    assert_eq!(read("em_past_range.json", "US-CAL-CISO").expect("known").points.len(), 48);
    assert_eq!(read("em_history.json", "US-CAL-CISO").expect("known").points.len(), 24);
    let latest = read("em_latest.json", "US-CAL-CISO").expect("known");
    assert_eq!(measure(series(latest.points, latest.step).spans().first()), Some((215.0, Grade::Estimated)));
    let gap = read("em_past_range_gap.json", "US-CAL-CISO").expect("known");
    let gap = series(gap.points, gap.step);
    assert_eq!(gap.at(at("2026-05-11T13:00:00Z")), None, "null is a hole");
    assert_eq!(gap.at(at("2026-05-11T14:00:00Z")), None, "what is absent is a hole");
    for (name, zone, word) in
        [("em_sandbox.json", "US-CAL-CISO", "made up"), ("em_wrong_zone_fallback.json", "US-TYPO", "US-TYPO")]
    {
        match read(name, zone) {
            Err(FeedError::Refused(why)) => assert!(why.contains(word), "{why}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    let tried =
        electricity_maps::read(&fixture("em_sandbox.json").expect("there"), "US-CAL-CISO", true).expect("allowed");
    assert_eq!(tried.notes, ["synthetic"]);
    let mix = read("em_power_breakdown.json", "DE");
    assert!(mix.is_err() || series_is_empty(mix.expect("read").points), "a mix is no intensity");
}

fn series_is_empty(points: Points) -> bool {
    matches!(points.intensity(None), Err(FeedError::NoData(_)))
}

#[test]
fn watttime() {
    let Some(body) = fixture("wt_forecast_24h.json") else { return };
    let now = at("2026-05-11T07:00:00Z");
    let part = watttime::read(&body, "CAISO_NORTH", now).expect("known");
    assert_eq!((part.points.len(), part.step, part.basis.kind), (288, TimeDelta::seconds(300), Kind::Marginal));
    assert_eq!((part.issued, part.basis.factors.as_deref()), (Some(now), Some("watttime 2023-03-01")));
    let all = series(part.points, Some(part.step));
    assert_eq!((all.spans()[0].from, all.spans()[0].value), (now, Intensity(247_162)));
    let part = watttime::read(&fixture("wt_aoer.json").expect("there"), "CAISO_NORTH", now).expect("known");
    assert_eq!((part.basis.kind, part.step), (Kind::Average, TimeDelta::seconds(3_600)));
    let grades: Vec<Grade> = series(part.points, Some(part.step)).spans().iter().map(|span| span.grade).collect();
    assert_eq!(grades[..2], [Grade::Estimated, Grade::Measured]);
    watttime::read(&fixture("wt_historical.json").expect("there"), "CAISO_NORTH", now).expect("known");
    let index = watttime::read(&fixture("wt_signal_index.json").expect("there"), "CAISO_NORTH", now);
    assert!(matches!(index, Err(FeedError::Refused(why)) if why.contains("percentile")));
}

#[test]
fn eia() {
    let Some(body) = fixture("eia_fuel.json") else { return };
    let factors = Factors::named("ar5-2014").expect("known");
    let mut hours = Default::default();
    assert_eq!(eia::read(&body, "CISO", &mut hours), Ok((20, 20)));
    for (start, expected, share) in
        [("2026-05-10T07:00:00Z", 245.219, 0.0355), ("2026-05-10T06:00:00Z", 246.628, 0.0374)]
    {
        let (found, without) = eia::hour(&hours, at(start), &factors).expect("there");
        near(found, expected);
        assert!((without - share).abs() < 1e-4, "{without}");
    }
    let priced = factors.changed("ours", &[], Some(700.0));
    near(eia::hour(&hours, at("2026-05-10T07:00:00Z"), &priced).expect("there").0, 261.384);
    let empty = eia::read(&fixture("eia_empty.json").expect("there"), "CISO", &mut Default::default());
    assert!(matches!(empty, Err(FeedError::NoData(_))));
    assert!(matches!(eia::read(&body, "ERCO", &mut Default::default()), Err(FeedError::Refused(_))));
}

#[test]
fn entsoe() {
    let Some(body) = fixture("entsoe_a75.xml") else { return };
    let factors = Factors::named("ar5-2014").expect("known");
    let told = entsoe::generation(&entsoe::document(&body).expect("XML"), "10YFI-1--------U", &factors).expect("known");
    let all = intensities(&told);
    let expected = [33.546, 34.117, 34.352, 34.352, 34.198, 32.726, 32.726, 32.726];
    assert_eq!(all.spans().len(), expected.len());
    grams(all).into_iter().zip(expected).for_each(|(found, expected)| near(found, expected));
    assert_eq!((all.spans()[0].from, all.spans()[0].until), (at("2026-05-10T12:00:00Z"), at("2026-05-10T12:15:00Z")));
    let read = |name: &str| entsoe::document(&fixture(name).expect("there")).expect("XML");
    let told = entsoe::price(&read("entsoe_a44_15min.xml")).expect("known");
    let (spans, currency) = prices(&told);
    assert_eq!((spans.len(), currency, spans[0].from), (96, "EUR", at("2026-05-09T22:00:00Z")));
    for (position, price) in [(3, 95_020), (8, 90_000), (32, 45_100), (33, -3_200), (96, 140_500)] {
        assert_eq!(spans[position - 1].value, Price(price), "position {position}");
    }
    let told = entsoe::price(&read("entsoe_a44_two_auctions.xml")).expect("known");
    let (spans, _) = prices(&told);
    assert_eq!(spans[..3].iter().map(|span| span.value.0).collect::<Vec<_>>(), [66_100, 66_100, 58_250]);
    assert_eq!((spans.len(), spans[0].from), (96, at("2026-05-10T22:00:00Z")));
    assert!(read("entsoe_nodata_200.xml").reason.is_some_and(|text| text.starts_with("No matching data found")));
}

#[test]
fn energi_data() {
    let Some(body) = fixture("eds_co2emisprog.json") else { return };
    let points = energi_data::read(&body, "DK1", true).expect("known");
    assert_eq!(points.len(), 288);
    let all = series(points, Some(TimeDelta::minutes(5)));
    assert_eq!(
        (all.spans()[0].from, measure(all.spans().first())),
        (at("2026-05-10T07:00:00Z"), Some((95.0, Grade::Forecast)))
    );
    let both = fixture("eds_co2emis.json").expect("there");
    let (one, other) = (energi_data::read(&both, "DK1", false), energi_data::read(&both, "DK2", false));
    assert_eq!((one.expect("known").len(), other.expect("known").len()), (12, 12), "two areas, interleaved");
    assert!(matches!(energi_data::read(&both, "SE4", false), Err(FeedError::Refused(_))));
}

#[test]
fn carbon_aware() {
    let Some(body) = fixture("casdk_forecast_current.json") else { return };
    let (points, issued) = carbon_aware::read(&body, "westus").expect("known");
    assert_eq!((points.len(), issued), (48, Some(at("2026-05-11T07:00:00Z"))));
    let all = series(points, None);
    assert_eq!(all.spans()[0].until - all.spans()[0].from, TimeDelta::minutes(5));
    let (points, _) = carbon_aware::read(&fixture("casdk_bylocation.json").expect("there"), "westus").expect("known");
    assert_eq!(measure(series(points, None).spans().first()), Some((263.4, Grade::Measured)));
    let (points, _) =
        carbon_aware::read(&fixture("casdk_missing_minus1.json").expect("there"), "westus").expect("read");
    assert!(series_is_empty(points), "minus one is nothing");
}

#[test]
fn octopus() {
    let Some(body) = fixture("octopus_agile.json") else { return };
    let (points, more) = octopus::read(&body, true, None).expect("known");
    assert_eq!((points.len(), more), (96, false));
    let spans = points.price(None).expect("prices");
    assert!(spans.spans().windows(2).all(|pair| pair[0].from < pair[1].from));
    assert_eq!(
        spans.spans().last().map(|span| (span.from, span.value)),
        Some((at("2026-05-12T06:30:00Z"), Price(224_146)))
    );
}

#[test]
fn exporter() {
    let Some(body) = fixture("prom_grid_intensity.txt") else { return };
    let now = at("2026-05-10T07:20:00Z");
    let first = |location, kind| {
        let all = series(exporter::read(&body, location, kind, now).expect("known"), Some(TimeDelta::hours(1)));
        all.spans().first().map(|span| (span.from, span.value.in_base(), span.grade))
    };
    let sampled = at("2026-05-10T07:00:00Z");
    assert_eq!(first("FR", Kind::Average), Some((sampled, 61.5, Grade::Estimated)));
    assert_eq!(first("CAISO_NORTH", Kind::Marginal), Some((sampled, 410.501, Grade::Estimated)));
    assert!(matches!(exporter::read(&body, "FR", Kind::Marginal, now), Err(FeedError::NoData(_))));
    for (from, to) in [("gCO2e per kWh", "percent"), (" 1778396400000", " soon"), ("61.5", "-")] {
        let text = String::from_utf8_lossy(&body).replace(from, to);
        let read = exporter::read(text.as_bytes(), "FR", Kind::Average, now);
        assert!(matches!(read, Err(FeedError::Refused(_))), "{to}: {read:?}");
    }
}

#[test]
fn nord_pool() {
    let Some(body) = fixture("nordpool_dayahead.json") else { return };
    let prices = nord_pool::read(&body, "SE3").and_then(|points| points.price(None)).expect("known");
    let first = prices.spans().first().expect("prices");
    assert_eq!((first.from, first.value), (at("2026-05-10T22:00:00Z"), Price(25_000)));
    assert_eq!(first.until - first.from, TimeDelta::seconds(900));
    assert!(matches!(nord_pool::read(&body, "SE4"), Err(FeedError::NoData(_))));
}

#[test]
fn tibber() {
    let Some(body) = fixture("tibber.json") else { return };
    let (points, currency) = tibber::read(&body, 0).expect("known");
    let prices = points.price(Some(TimeDelta::hours(1))).expect("prices");
    let only = prices.spans().first().expect("an hour");
    assert_eq!((only.from, only.value, currency.as_str()), (at("2026-05-09T22:00:00Z"), Price(290_000), "EUR"));
    assert!(matches!(tibber::read(&body, 1), Err(FeedError::Misconfigured(why)) if why.contains("1 homes")));
    let refused = br#"{"errors":[{"message":"invalid token"}],"data":null}"#;
    assert!(matches!(tibber::read(refused, 0), Err(FeedError::Refused(why)) if why == "invalid token"));
}

#[test]
fn open_electricity() {
    let Some(body) = fixture("oe_emissions_energy.json") else { return };
    let all = series(open_electricity::read(&body, "NSW1").expect("known"), Some(TimeDelta::hours(1)));
    for (time, value) in [("07", Some(604.649)), ("08", Some(606.871)), ("09", None)] {
        let found = all.at(at(&format!("2026-05-10T{time}:00:00Z"))).map(|span| span.value.in_base());
        assert_eq!(found, value, "{time}");
    }
    assert!(matches!(open_electricity::read(&body, "QLD1"), Err(FeedError::NoData(_))));
}

#[test]
fn prometheus() {
    let Some(body) = fixture("prom_query_range.json") else { return };
    let (points, warnings) = prometheus::read(&body, None, None).expect("known");
    assert_eq!(warnings, ["one store could not be reached"]);
    let all = series(points, Some(TimeDelta::minutes(30)));
    let expected =
        [("07:00", Some(214.2)), ("07:30", Some(210.0)), ("08:00", None), ("08:30", None), ("09:00", Some(198.75))];
    for (time, value) in expected {
        let found = all.at(at(&format!("2026-05-10T{time}:00Z"))).map(|span| span.value.in_base());
        assert_eq!(found, value, "{time}");
    }
    assert_eq!(prometheus::sample(&fixture("prom_query_vector.json").expect("there")), Ok(Some(61.5)));
    let two = prometheus::read(&fixture("prom_query_two_series.json").expect("there"), None, None);
    assert!(matches!(two, Err(FeedError::Misconfigured(why)) if why.contains("several series")));
    let none = prometheus::read(&fixture("prom_query_empty.json").expect("there"), None, None);
    assert!(matches!(none, Err(FeedError::NoData(_))));
    let wrong = prometheus::read(&fixture("prom_query_error.json").expect("there"), None, None);
    assert!(matches!(wrong, Err(FeedError::Misconfigured(_))));
}

#[test]
fn any_json() {
    let Some(body) = fixture("file_intensity.json") else { return };
    let text = String::from_utf8_lossy(&body);
    let options = any_json_options();
    let told = http_json::read(&body, "X", &options, at("2026-05-10T06:30:00Z"));
    let told = told.unwrap_or_else(|error| panic!("{error}: {}", &text[..text.len().min(600)]));
    let all = intensities(&told);
    for (hour, value) in [("07", Some(214.2)), ("08", None), ("09", Some(0.0)), ("10", Some(198.75))] {
        let found = all.at(at(&format!("2026-05-10T{hour}:00:00Z"))).map(|span| span.value.in_base());
        assert_eq!(found, value, "{hour}");
    }
    let picky = http_json::Options { expect: vec![("/zone".to_owned(), "{zone}".to_owned())], ..options };
    assert!(matches!(
        http_json::read(&body, "elsewhere", &picky, at("2026-05-10T06:30:00Z")),
        Err(FeedError::Refused(_))
    ));
}
