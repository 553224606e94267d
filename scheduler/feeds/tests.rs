use super::{AHEAD, BEHIND, Grid, table};
use crate::config::{
    Config, FeedConfig, FileLabels, Grid as GridConfig, MetricsConfig, PeakGpus, PlannerConfig, ZoneConfig,
};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Grade, Kind, Scope};
use neap_model::seconds::Seconds;
use neap_model::units::Intensity;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn time(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
}

pub(super) fn now() -> DateTime<Utc> {
    time("2026-11-23T17:05:00Z")
}

pub(super) fn site(zones: &[&str], file: Option<&Path>) -> Config {
    let zone = |(n, name): (usize, &&str)| ZoneConfig {
        name: (*name).into(),
        home: n == 0,
        pue: None,
        annual_mean: None,
        tariff: None,
        market: None,
        peak_gpus: PeakGpus::default(),
        gpu_hours: None,
    };
    let feed = |path: &Path| FeedConfig::File {
        path: path.to_owned(),
        zones: BTreeMap::from([("DE".into(), "germany".into())]),
        labels: FileLabels {
            kind: Some(Kind::Average),
            scope: Some(Scope::Lifecycle),
            accounting: None,
            unit: Some(1_000_000_000),
        },
    };
    Config {
        state_dir: "/nowhere".into(),
        socket: None,
        listen: None,
        grid: GridConfig {
            kind: Kind::Average,
            scope: Scope::Lifecycle,
            max_forecast_age: Seconds::hours(12),
            show_private: false,
            feeds: file.into_iter().map(feed).collect(),
        },
        zones: zones.iter().enumerate().map(zone).collect(),
        nodes: Vec::new(),
        power_domains: Vec::new(),
        event_keys: Vec::new(),
        embodied: None,
        vtns: Vec::new(),
        queues: BTreeMap::new(),
        planner: PlannerConfig::default(),
        metrics: MetricsConfig { max_projects: 1 },
    }
}

#[test]
fn without_any_feed_every_zone_has_a_curve_that_says_how_well_it_is_known() {
    let (mut grid, _) = Grid::new(&site(&["DE", "SE-SE3", "ATLANTIS"], None));
    let curves: BTreeMap<String, _> = grid.curves(now()).into_iter().collect();
    let grade = |zone: &str| curves[zone].series.at(now()).expect("a value").grade;
    assert_eq!((grade("DE"), grade("SE-SE3"), grade("ATLANTIS")), (Grade::Climatology, Grade::Static, Grade::Static));
    let note = curves["ATLANTIS"].origins[0].note.as_deref().unwrap_or_default();
    assert!(note.contains("nothing is known about zone ATLANTIS"), "{note}");
    assert!(curves["DE"].origins[0].credit.as_deref().is_some_and(|credit| credit.contains("ODbL")));
}

#[test]
fn the_table_keeps_its_mean_over_a_year() {
    let (from, until) = (time("2026-01-01T00:00:00Z"), time("2027-01-01T00:00:00Z"));
    for zone in ["DE", "FR", "GB", "PL", "AU-NSW", "AU-SA", "CA-ON", "US-CAL-CISO", "US-MIDA-PJM"] {
        let row = table::row(zone, Some(Intensity::grams(400)));
        let mean = row.usual(from, until).mean(from, until).expect("a year").value.in_base();
        assert!((396.0..=404.0).contains(&mean), "{zone}: {mean}");
    }
}

proptest! {
    #[test]
    fn a_curve_has_no_hole_whatever_the_feed_says(
        points in proptest::collection::vec((-200i64..200, 0u32..3_000), 0..60),
        hours in 0i64..48,
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("feed.csv");
        let mut text = "time,zone,value\n".to_owned();
        for (hour, value) in points {
            let at = now() + TimeDelta::minutes(hour * 37);
            text += &format!("{},germany,{value}\n", at.format("%Y-%m-%dT%H:%M:%SZ"));
        }
        std::fs::write(&path, text).expect("written");
        let (mut grid, _) = Grid::new(&site(&["DE"], Some(&path)));
        grid.refresh(now());
        let later = now() + TimeDelta::hours(hours);
        let curve = &grid.curves(later)[0].1;
        prop_assert!(curve.series.holes(later - BEHIND + TimeDelta::hours(1), later + AHEAD - TimeDelta::hours(1)).is_empty());
    }
}

#[test]
fn a_service_that_forecasts_worse_than_we_do_is_named() {
    use super::feed::{Signal, Terms, Told, Values};
    use super::rounds::News;
    use neap_model::grid::{Basis, Series, Span};
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = site(&["DE"], None);
    config.state_dir = dir.path().to_owned();
    config.grid.feeds.push(FeedConfig::Service {
        service: crate::config::Service::EnergyCharts,
        zones: BTreeMap::from([("DE".into(), "de".into())]),
        price_zones: BTreeMap::new(),
        base: None,
    });
    let start = time("2026-10-01T00:00:00Z");
    let at = |hour: i64| start + TimeDelta::hours(hour);
    let truth = |hour: i64| 200 + 10 * hour.rem_euclid(24).unsigned_abs();
    // Forty days; each forecast says that all hours are equal.
    let told = |now: i64| {
        let span = |hour: i64| Span {
            from: at(hour),
            until: at(hour + 1),
            value: Intensity::grams(if hour < now { truth(hour) } else { 300 }),
            grade: if hour < now { Grade::Measured } else { Grade::Forecast },
        };
        let values = Values::Intensity(Series::new((now - 30..now + 48).map(span)));
        Told { values, basis: Basis::default(), issued: None, notes: Vec::new() }
    };
    let heard = |grid: &mut Grid, hour: i64| {
        let lane = ("DE".to_owned(), Signal::Intensity);
        let (at, fresh, terms) = (at(hour), at(hour + 1), Terms::Internal);
        let news = News { source: 0, lane, at, told: Ok(told(hour)), fresh, circuit_open: false, ahead: None, terms };
        assert_eq!(grid.heard(&news), Some(("energy-charts".to_owned(), "ok")));
    };
    let (mut grid, sources) = Grid::new(&config);
    assert_eq!(sources.len(), 1);
    (0..40 * 24).for_each(|hour| heard(&mut grid, hour));
    // A second life reads what the first one kept, and judges.
    let (mut grid, _) = Grid::new(&config);
    let now = at(40 * 24);
    while grid.load_more(now) {}
    let curve = &grid.curves(now)[0].1;
    assert_eq!(curve.origins[0].feed, "energy-charts");
    assert_eq!(
        curve.series.at(now).map(|span| (span.value, span.grade)),
        Some((Intensity::grams(300), Grade::Forecast))
    );
    assert!(curve.origins[0].usual_error.is_some_and(|error| error > Intensity::grams(40)), "{:?}", curve.origins[0]);
    let told = grid.outdone(now);
    assert!(told.len() == 1 && told[0].starts_with("energy-charts: its forecasts for DE err by"), "{told:?}");
    assert!(
        grid.errors().iter().any(|(zone, feed, range, _)| zone == "DE" && feed == "energy-charts" && *range == (0, 6))
    );
    // Thirteen hours later the service's last forecast is too old, and ours takes its place.
    let later = at(40 * 24 + 13);
    let curve = &grid.curves(later)[0].1;
    assert_eq!(curve.origins[0].feed, neap_policies::forecast::NAME, "{:?}", curve.origins);
    assert_eq!(curve.series.at(later).map(|span| span.value.0 / 1_000), Some(truth(13)));
    // Beyond our own horizon comes the old forecast's end, then the table.
    let far = at(40 * 24 + 150);
    assert_eq!(grid.curves(later)[0].1.series.at(far).map(|span| span.grade), Some(Grade::Climatology));
}
