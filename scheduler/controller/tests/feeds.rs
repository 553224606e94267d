//! Services that die, slow down and lie while five hundred jobs have promises: the sources of a site, its planner and its
//! executor in moved time.

use super::world::{World, config, hours, job, midnight};
use crate::config::{FeedConfig, Service};
use crate::controller::{Answer, Input, Request, ZoneCurve};
use crate::feeds::feed::{FeedError, Signal, Terms, Told, Values};
use crate::feeds::rounds::News;
use crate::feeds::{Grid, troubles};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Basis, Grade, Series, Span};
use neap_model::lifecycle::{Event, JobEvent};
use neap_model::units::Intensity;
use std::collections::BTreeMap;

/// What a service does at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Well,
    Dead,
    /// Answers rarely, with what was said hours ago.
    Slow,
    /// Each answer promises that it gets much cleaner in a few hours, and that it is very dirty now.
    Lying,
}

/// A day with a clean noon, in g/kWh.
fn usual(hour: i64) -> u64 {
    [
        400, 390, 380, 380, 390, 420, 460, 450, 380, 300, 220, 160, 140, 150, 190, 260, 350, 430, 480, 490, 480, 460,
        440, 420,
    ][usize::try_from(hour.rem_euclid(24)).expect("an hour")]
}

fn told(now: DateTime<Utc>, said: DateTime<Utc>, value: impl Fn(i64) -> u64) -> Told {
    let span = |n: i64| {
        let hour = said.timestamp() / 3_600 - midnight().timestamp() / 3_600 + n;
        let from = midnight() + hours(hour);
        // The hour that has begun is measured already: where it is only said, somebody stands in.
        let grade = if from <= said { Grade::Measured } else { Grade::Forecast };
        Span { from, until: from + hours(1), value: Intensity::grams(value(hour)), grade }
    };
    assert!(said <= now);
    let values = Values::Intensity(Series::new((-24 * 20..48).map(span)));
    Told { values, basis: Basis::default(), issued: Some(said), notes: Vec::new() }
}

struct Site {
    world: World,
    grid: Grid,
    _dir: tempfile::TempDir,
    down: u64,
}

impl Site {
    fn new(cpus: u32) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = config();
        config.state_dir = dir.path().to_owned();
        let service = Service::EnergyCharts;
        let zones = BTreeMap::from([("DE".to_owned(), "de".to_owned())]);
        config.grid.feeds.push(FeedConfig::Service { service, zones, price_zones: BTreeMap::new(), base: None });
        let (grid, _) = Grid::new(&config);
        Self { world: World::of(config, cpus), grid, _dir: dir, down: 0 }
    }

    /// What the service's mood comes to at this time, taken by the site as the daemon takes it.
    fn poll(&mut self, mood: Mood) {
        let now = self.world.now;
        let hour = (now - midnight()).num_hours();
        let told = match mood {
            Mood::Well => Some(Ok(told(now, now, usual))),
            Mood::Dead => Some(Err(FeedError::Down("no answer within 10 s".to_owned()))),
            Mood::Slow if hour % 7 == 0 => Some(Ok(told(now, now - hours(9), usual))),
            Mood::Slow => Some(Err(FeedError::Down("the answer was not whole after 20 s".to_owned()))),
            Mood::Lying => Some(Ok(told(now, now, |at| match at - hour {
                ..0 => usual(at),
                0..=3 => 900,
                _ => 20,
            }))),
        };
        if let Some(told) = told {
            self.down = if told.is_err() { self.down + 1 } else { 0 };
            self.grid.heard(&News {
                source: 0,
                lane: ("DE".to_owned(), Signal::Intensity),
                at: now,
                told,
                fresh: now + TimeDelta::minutes(31),
                circuit_open: self.down >= 5,
                ahead: None,
                terms: Terms::Open { credit: "test".to_owned() },
            });
        }
        let health = self.grid.refresh(now);
        let curves = self.grid.curves(now).into_iter().map(|(zone, curve)| {
            let past = curve.series.clone();
            (zone, ZoneCurve { curve, past, prices: None })
        });
        let curves = curves.collect();
        self.world.step(Input::Grid { curves, troubles: troubles(&health) });
    }

    /// The node is heard before every look at the time: a silent minute would make it a node that is down.
    fn pass_an_hour(&mut self) {
        for _ in 0..60 {
            self.world.now += TimeDelta::minutes(1);
            self.world.beat();
            self.world.step(Input::Tick);
            self.world.beat();
        }
    }

    fn degraded(&mut self) -> Vec<String> {
        match self.world.ask(super::world::ada(), Request::Status) {
            Ok(Answer::Status(status)) => {
                status.degraded.into_iter().filter(|d| d.mode == "no_grid_data").map(|d| d.detail).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    /// The grade of the present value, and the feed that comes first.
    fn known(&mut self) -> (Grade, String) {
        match self.world.ask(super::world::ada(), Request::Grid) {
            Ok(Answer::Grid(zones)) => (zones[0].grade.expect("a grade"), zones[0].origins[0].feed.clone()),
            other => panic!("{other:?}"),
        }
    }

    fn exposition(&self) -> String {
        let page =
            crate::metrics::exposition(&self.world.controller, &crate::daemon::Vitals::default(), self.world.now);
        String::from_utf8(page.expect("a page")).expect("text")
    }
}

/// What was promised and booked in those hours: how well it was known.
#[derive(Debug, Default)]
struct Figures {
    /// Worst grades of what jobs were expected to emit, counted.
    promised: BTreeMap<&'static str, usize>,
    /// The same of what was booked of work begun in those hours.
    booked: BTreeMap<&'static str, usize>,
    /// Joules booked at an intensity that was measured.
    measured: u64,
}

fn figures(world: &World, from: i64, until: i64) -> Figures {
    let (from, until) = (midnight() + hours(from), midnight() + hours(until));
    let mut figures = Figures::default();
    for (at, event) in world.log.iter().filter(|(at, _)| (from..until).contains(at)) {
        match event {
            Event::Job { happened: JobEvent::Planned { decision } | JobEvent::Leased { decision, .. }, .. } => {
                for outlook in [decision.expected, decision.run_now].into_iter().flatten().filter(|o| o.start >= *at) {
                    *figures.promised.entry(outlook.grade.word()).or_default() += 1;
                }
            }
            Event::Metered { span, actual, .. } if span.from >= from => {
                *figures.booked.entry(actual.worst.map_or("unknown", Grade::word)).or_default() += 1;
                figures.measured += actual.measured.0;
            }
            _ => {}
        }
    }
    figures
}

/// Five hundred jobs over a week; on the third day the service dies for 72 hours, then it is slow for a day, then it lies.
#[test]
fn c3_five_hundred_promises_are_kept_while_services_are_dead_slow_and_lying() {
    let mut site = Site::new(64);
    site.world.now = midnight();
    site.poll(Mood::Well);
    site.world.beat();
    let mut jobs = Vec::new();
    let mut seen = BTreeMap::new();
    let mut states = Vec::new();
    for hour in 0..200i64 {
        let mood = match hour {
            0..24 => Mood::Well,
            24..96 => Mood::Dead,
            96..120 => Mood::Slow,
            120..144 => Mood::Lying,
            _ => Mood::Well,
        };
        site.poll(mood);
        // Four jobs an hour for 125 hours; each takes an hour or two and has between 4 and 40 hours for it.
        for n in 0..if hour < 125 { 4 } else { 0 } {
            let mut spec = job(&format!("j{hour}-{n}"), TimeDelta::minutes(60 + 20 * n));
            spec.time.finish_by = Some(site.world.now + hours(4 + (hour * 7 + n * 11) % 37));
            jobs.push(site.world.submit(spec).expect("accepted").id);
        }
        let degraded = site.degraded();
        *seen.entry(format!("{mood:?}")).or_insert(0) += usize::from(!degraded.is_empty());
        if [20, 30, 60, 94, 110, 150].contains(&hour) {
            states.push((hour, site.known(), degraded.first().cloned()));
            let page = site.exposition();
            let expected = if mood == Mood::Dead || mood == Mood::Slow { 1 } else { 0 };
            assert!(page.contains(&format!("neap_degraded{{mode=\"no_grid_data\"}} {expected}")), "hour {hour}");
        }
        if mood == Mood::Dead {
            // Status and metrics say in every one of the 72 hours that what they show was only said.
            let (grade, _) = site.known();
            let page = site.exposition();
            let shown = page.lines().filter(|line| line.starts_with("neap_grid_intensity_grams_per_kwh{"));
            let shown = shown.filter(|line| line.contains("zone=\"DE\""));
            let shown: Vec<bool> = shown.map(|line| line.contains("grade=\"forecast\"")).collect();
            assert_eq!((grade, shown), (Grade::Forecast, vec![true]), "hour {hour}");
            assert!(!degraded.is_empty(), "hour {hour}");
        }
        site.pass_an_hour();
    }
    assert_eq!(jobs.len(), 500);
    let mut waited = 0;
    for id in &jobs {
        let job = site.world.show(*id);
        assert_eq!(super::world::phase_word(&job), "succeeded", "{id}");
        let ended = job.ended.expect("it ended");
        assert!(ended <= job.spec.time.finish_by.expect("a promise"), "{id} ended {ended}");
        waited += usize::from(job.waited_for_grid.0 > 0);
    }
    let missed: u64 = site.world.controller.state().totals.missed.values().sum();
    assert_eq!(missed, 0);
    // It was not kept by never waiting.
    assert!(waited > 250, "{waited} of 500 waited");
    assert_eq!((seen["Dead"], seen["Well"] + seen["Lying"]), (72, 0), "{seen:?}");
    assert!(seen["Slow"] >= 20, "{seen:?}");
    // What stands in says so: the service's own forecast while it is young enough, then our own.
    let known: Vec<_> = states.iter().map(|(hour, (grade, feed), _)| (*hour, *grade, feed.as_str())).collect();
    assert!(states[1].2.as_deref().is_some_and(|text| text.contains("energy-charts: DE: no answer within 10 s")));
    assert!(states[5].2.is_none(), "{states:?}");
    let feeds =
        |name: &str| known.iter().filter(|(.., feed)| *feed == name).map(|(hour, ..)| *hour).collect::<Vec<_>>();
    assert_eq!(feeds("energy-charts"), [20, 30, 150], "{known:?}");
    assert_eq!(feeds(neap_policies::forecast::NAME), [60, 94, 110], "{known:?}");
    let measured = [20, 150].map(|hour| (hour, Grade::Measured));
    let grades = known.iter().map(|(hour, grade, _)| (*hour, *grade)).filter(|(_, grade)| *grade != Grade::Forecast);
    assert_eq!(grades.collect::<Vec<_>>(), measured, "{known:?}");
    // Every figure that was made meanwhile carries the grade it was worth.
    let (well, dead) = (figures(&site.world, 0, 24), figures(&site.world, 24, 96));
    assert!(well.booked["measured"] > 20 && well.measured > 0, "{well:?}");
    assert!(dead.measured == 0 && dead.booked["forecast"] > 200, "{dead:?}");
    assert!(dead.promised["forecast"] > 500, "{dead:?}");
    let good = |figures: &BTreeMap<&str, usize>| figures.contains_key("measured") || figures.contains_key("estimated");
    assert!(!good(&dead.promised) && !good(&dead.booked), "{dead:?}");
    for word in ["static", "unknown"] {
        assert!(!dead.promised.contains_key(word) && !dead.booked.contains_key(word), "{dead:?}");
    }
    // The totals of the metrics rest on it as well: nothing of those hours counts as known.
    let page = site.exposition();
    let sum = |name: &str| -> f64 {
        let lines = page.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    let (all, estimated) = (sum("neap_carbon_grams_total{"), sum("neap_carbon_estimated_grams_total{"));
    assert!(all > 0.0 && (all - estimated).abs() < 1e-6, "{estimated} of {all}");
    site.world.check_replay();
    #[expect(clippy::print_stderr, reason = "the figure of the run")]
    {
        eprintln!("500 jobs, 0 missed, {waited} waited for the grid; {states:?}; well {well:?}; dead {dead:?}");
    }
}
