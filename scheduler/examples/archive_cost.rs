//! What the archive of one zone costs after so many days of a quarter-hourly service: bytes, the reading at a start, the
//! reading of all of it, and one composed curve. `cargo run --release -p neap-scheduler --example archive_cost -- 400`
#![allow(clippy::print_stdout, reason = "an example prints")]

use chrono::{TimeDelta, Utc};
use neap_model::grid::{Basis, Grade, Kind, Scope, Series, Span};
use neap_model::seconds::Seconds;
use neap_model::units::Intensity;
use neap_scheduler::config::{Config, FeedConfig, Grid, MetricsConfig, PeakGpus, PlannerConfig, Service, ZoneConfig};
use neap_scheduler::feeds::archive::{Archive, Entry};
use neap_scheduler::feeds::feed::Values;
use std::collections::BTreeMap;
use std::time::Instant;

fn main() -> std::io::Result<()> {
    let days: i32 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(400);
    let dir = std::env::temp_dir().join(format!("neap-archive-{}", std::process::id()));
    let archive = Archive::new(dir.join("grid"));
    let (now, quarter) = (Utc::now(), TimeDelta::minutes(15));
    for poll in (0..days * 96).rev() {
        let fetched = now - quarter * poll;
        // As the service is asked: 26 hours back, and what it says of the rest of the day.
        let spans = (-104..60).map(|n| {
            let from = fetched + quarter * n;
            let wave = (from.timestamp() / 900 % 96 - 48).unsigned_abs();
            let value = Intensity(200_000 + wave * 4_000 + from.timestamp().unsigned_abs() % 7_919);
            let grade = if n < 0 { Grade::Measured } else { Grade::Forecast };
            Span { from, until: from + quarter, value, grade }
        });
        let values = Values::Intensity(Series::new(spans));
        archive.append("energy-charts", "DE", &Entry { fetched, issued: None, basis: Basis::default(), values })?;
    }
    let place = archive.place("energy-charts", "DE");
    let bytes: u64 =
        std::fs::read_dir(&place)?.flatten().filter_map(|file| file.metadata().ok()).map(|m| m.len()).sum();
    println!("{days} days: {} MiB in {}", bytes >> 20, place.display());
    let service = Service::EnergyCharts;
    let feed = FeedConfig::Service { service, zones: BTreeMap::new(), price_zones: BTreeMap::new(), base: None };
    let config = Config {
        state_dir: dir.clone(),
        socket: None,
        listen: None,
        grid: Grid {
            kind: Kind::Average,
            scope: Scope::Lifecycle,
            max_forecast_age: Seconds::hours(12),
            show_private: false,
            feeds: vec![feed],
        },
        zones: vec![ZoneConfig {
            name: "DE".to_owned(),
            home: true,
            pue: None,
            annual_mean: None,
            tariff: None,
            market: None,
            peak_gpus: PeakGpus::default(),
            gpu_hours: None,
        }],
        nodes: Vec::new(),
        power_domains: Vec::new(),
        event_keys: Vec::new(),
        embodied: None,
        vtns: Vec::new(),
        queues: BTreeMap::new(),
        planner: PlannerConfig::default(),
        metrics: MetricsConfig { max_projects: 1 },
    };
    let (mut grid, _) = neap_scheduler::feeds::Grid::new(&config);
    let timed = |what: &str, work: &mut dyn FnMut()| {
        let began = Instant::now();
        work();
        println!("{what}: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    };
    timed("read at a start", &mut || grid.load(now));
    timed("curve at a start, with a forecast of our own", &mut || drop(grid.curves(now)));
    timed("all of it read, in the background", &mut || while grid.load_more(now) {});
    timed("curve with a forecast of our own, judged over four weeks", &mut || drop(grid.curves(now)));
    timed("curve again, nothing new", &mut || drop(grid.curves(now)));
    std::fs::remove_dir_all(dir)
}
