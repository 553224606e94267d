use super::file::{FileError, parse};
use super::{AHEAD, BEHIND, Grid, table, troubles};
use crate::config::{Config, FeedConfig, Grid as GridConfig, MetricsConfig, ZoneConfig};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Grade, Kind, Scope};
use neap_model::seconds::Seconds;
use neap_model::units::Intensity;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

fn time(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
}

fn now() -> DateTime<Utc> {
    time("2026-11-23T17:05:00Z")
}

fn site(zones: &[&str], file: Option<&Path>) -> Config {
    let zone =
        |(n, name): (usize, &&str)| ZoneConfig { name: (*name).into(), home: n == 0, pue: None, annual_mean: None };
    let feed = |path: &Path| FeedConfig::File {
        path: path.to_owned(),
        zones: BTreeMap::from([("DE".into(), "germany".into())]),
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
        vtns: Vec::new(),
        queues: BTreeMap::new(),
        metrics: MetricsConfig { max_projects: 1 },
    }
}

fn lines(text: &str) -> Vec<String> {
    match parse(text.as_bytes(), now()) {
        Err(FileError::Lines(lines)) => lines,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_wide_and_a_long_file_say_the_same() {
    let wide = "datetime_utc,DE,FR\n2026-11-23T16:00Z,400,50\n2026-11-23T17:00Z,410,\n2026-11-23T18:00Z,420,null\n";
    let long = "time,zone,value,grade\n2026-11-23T16:00:00Z,DE,400,measured\n2026-11-23T18:00:00+01:00,DE,410,\n\
                2026-11-23 18:00:00Z,DE,420,\n2026-11-23T16:00Z,FR,50,\n";
    let (wide, long) = (parse(wide.as_bytes(), now()).expect("good"), parse(long.as_bytes(), now()).expect("good"));
    assert_eq!(wide["DE"], long["DE"]);
    assert_eq!(wide["DE"].spans().len(), 3);
    assert_eq!(wide["FR"].spans().len(), 1, "an empty cell and null are holes, not zero");
    assert_eq!(wide["DE"].at(now()).map(|s| (s.value, s.grade)), Some((Intensity::grams(410), Grade::Measured)));
    assert_eq!(wide["DE"].at(now() + TimeDelta::hours(1)).map(|s| s.grade), Some(Grade::Forecast));
}

#[test]
fn hostile_lines_are_refused_with_their_number_and_all_of_the_file_with_them() {
    let head = "time,zone,value\n";
    for (line, part) in [
        ("2026-11-23T16:00:00,DE,400", "names no zone"),
        ("yesterday,DE,400", "no time"),
        ("2026-11-23T16:00Z,DE,-1", "no intensity"),
        ("2026-11-23T16:00Z,DE,NaN", "no intensity"),
        ("2026-11-23T16:00Z,DE,inf", "no intensity"),
        ("2026-11-23T16:00Z,DE,1e9", "no intensity"),
        ("2026-11-23T16:00Z,DE,about 400", "no intensity"),
        ("2026-11-23T16:00Z,DE", "fields"),
    ] {
        let text = format!("{head}2026-11-23T15:00Z,DE,390\n{line}\n");
        let told = lines(&text);
        assert!(told.len() == 1 && told[0].starts_with("line 3: ") && told[0].contains(part), "{line}: {told:?}");
    }
    assert!(matches!(parse(b"", now()), Err(FileError::Header(_))));
    assert!(matches!(parse(b"a,b\n", now()), Err(FileError::Header(_))));
    assert!(matches!(parse(&[0xff, 0xfe], now()), Err(FileError::NotText)));
    let many = head.to_owned() + &"x,DE,1\n".repeat(1_000);
    assert!(lines(&many).len() < 10, "not a thousand lines of complaint");
}

#[test]
fn of_duplicates_the_later_line_wins_and_order_does_not_matter() {
    let text = "time,zone,value\n2026-11-23T18:00Z,DE,3\n2026-11-23T16:00Z,DE,1\n2026-11-23T17:00Z,DE,9\n2026-11-23T17:00Z,DE,2\n";
    let series = &parse(text.as_bytes(), now()).expect("good")["DE"];
    assert_eq!(series.spans().iter().map(|s| s.value.0 / 1_000).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_broken_new_version_leaves_the_last_good_one_and_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("feed.csv");
    std::fs::write(&path, "time,zone,value\n2026-11-23T16:00Z,germany,123\n2026-11-23T17:00Z,germany,124\n")
        .expect("written");
    let (mut grid, _) = Grid::new(&site(&["DE"], Some(&path)));
    grid.refresh(now());
    let value = |grid: &mut Grid| grid.curves(now())[0].1.series.at(now()).map(|span| span.value);
    assert_eq!(value(&mut grid), Some(Intensity::grams(124)));
    std::fs::write(&path, "time,zone,value\nnonsense,germany,0\n").expect("written");
    let told = troubles(&grid.refresh(now()));
    assert!(told.len() == 1 && told[0].contains("line 2"), "{told:?}");
    assert_eq!(value(&mut grid), Some(Intensity::grams(124)), "what was known stays known");
    std::fs::remove_file(&path).expect("removed");
    assert!(troubles(&grid.refresh(now()))[0].contains("cannot read"));
    assert_eq!(value(&mut grid), Some(Intensity::grams(124)));
}

#[test]
fn a_pipe_or_a_directory_in_place_of_the_file_blocks_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut grid, _) = Grid::new(&site(&["DE"], Some(dir.path())));
    assert!(troubles(&grid.refresh(now()))[0].contains("not a plain file"));
    assert!(grid.curves(now())[0].1.series.at(now()).is_some(), "the table stands in");
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
    fn no_bytes_make_it_fall_over(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes, now());
    }

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
