//! Grid data: files first, then the usual shape of a zone's day, then its annual mean. The curve never has a hole.
//!
//! Every span says how well it is known. Nothing here asks the network; providers over HTTP have their place beside `file`.

pub mod feed;
pub mod fetch;
pub mod file;
pub mod mix;
pub mod providers;
pub mod rounds;
pub mod schedule;
pub mod table;
#[cfg(test)]
mod tests;
pub mod wire;

use crate::config::{Config, FeedConfig};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use file::FileFeed;
use neap_model::grid::{Basis, Curve, Grade, Origin, Series, Span};
use neap_model::units::Intensity;
use std::collections::BTreeMap;
use table::Row;

/// How far back a curve reaches: delays are accounted for against it.
pub const BEHIND: TimeDelta = TimeDelta::days(8);
/// How far ahead: the planning horizon and a day.
pub const AHEAD: TimeDelta = TimeDelta::days(8);
/// Common hours that two sources need before one is brought to the other's level.
const COMMON: TimeDelta = TimeDelta::hours(24);
/// How far back common hours are looked for.
const RECENT: TimeDelta = TimeDelta::days(7);
/// Holes of at most so many steps between spans of one grade are filled for planning.
const SHORT_HOLE: i32 = 2;

/// How the reading of one feed for one zone went.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// The feed.
    pub feed: String,
    /// The zone.
    pub zone: String,
    /// Age of the newest value that is not ahead of now, in seconds.
    pub age_seconds: Option<f64>,
    /// `ok`, or a word for the trouble.
    pub outcome: &'static str,
    /// The trouble in a sentence.
    pub trouble: Option<String>,
}

/// All sources of a site.
#[derive(Debug)]
pub struct Grid {
    zones: Vec<Zone>,
    files: Vec<FileFeed>,
    basis: Basis,
}

#[derive(Debug)]
struct Zone {
    name: String,
    row: Row,
}

impl Grid {
    /// The sources that a configuration names. Nothing is read yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let zones = config
            .zones
            .iter()
            .map(|zone| Zone { name: zone.name.clone(), row: table::row(&zone.name, zone.annual_mean) })
            .collect();
        let files = config
            .grid
            .feeds
            .iter()
            .map(|feed| match feed {
                FeedConfig::File { path, zones } => FileFeed::new(path.clone(), zones.clone()),
            })
            .collect();
        let basis = Basis { kind: config.grid.kind, scope: config.grid.scope, ..Basis::default() };
        Self { zones, files, basis }
    }

    /// Looks at every source that may have changed. Says how each fares for each zone.
    pub fn refresh(&mut self, now: DateTime<Utc>) -> Vec<Health> {
        let mut all = Vec::new();
        for feed in &mut self.files {
            let trouble = feed.read(now).err();
            for zone in &self.zones {
                let series = feed.series(&zone.name);
                let newest = series.and_then(|s| s.spans().iter().rev().find(|span| span.from <= now));
                let age = newest.map(|span| (now - span.until.min(now)).num_milliseconds() as f64 / 1e3);
                let ahead = series.and_then(Series::end).is_some_and(|end| end > now);
                let (outcome, text) = match (&trouble, series, ahead) {
                    (Some(error), ..) => (error.word(), Some(format!("{}: {error}", feed.name()))),
                    (None, None, _) => ("no_zone", Some(format!("{}: nothing about zone {}", feed.name(), zone.name))),
                    (None, Some(_), false) => {
                        ("stale", Some(format!("{}: its last value for {} is past", feed.name(), zone.name)))
                    }
                    (None, Some(_), true) => ("ok", None),
                };
                all.push(Health {
                    feed: feed.name(),
                    zone: zone.name.clone(),
                    age_seconds: age,
                    outcome,
                    trouble: text,
                });
            }
        }
        all
    }

    /// The composed curve of each zone, from well before now to beyond the horizon, without a hole.
    #[must_use]
    pub fn curves(&self, now: DateTime<Utc>) -> Vec<(String, Curve)> {
        self.zones.iter().map(|zone| (zone.name.clone(), self.curve(zone, now))).collect()
    }

    fn curve(&self, zone: &Zone, now: DateTime<Utc>) -> Curve {
        let hour = now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now);
        let (from, until) = (hour - BEHIND, hour + AHEAD);
        let mut upper = Series::default();
        let mut origins = Vec::new();
        for feed in &self.files {
            let Some(series) = feed.series(&zone.name).map(|s| fill_short_holes(&s.trim(from, until))) else {
                continue;
            };
            if series.is_empty() {
                continue;
            }
            upper = upper.over(&series);
            origins.push(Origin {
                feed: feed.name(),
                zone: zone.name.clone(),
                basis: self.basis.clone(),
                issued: None,
                fetched: feed.fetched().unwrap_or(now),
                credit: None,
                note: None,
            });
        }
        let (usual, note) = level(&zone.row.usual(from, until), &upper, now);
        origins.push(Origin {
            feed: "table".to_owned(),
            zone: zone.name.clone(),
            basis: zone.row.basis.clone(),
            issued: None,
            fetched: now,
            credit: zone.row.credit.clone(),
            note: note.or_else(|| zone.row.note.clone()),
        });
        Curve { series: upper.over(&usual), origins }
    }
}

/// Brings the table's values to the level of the feed's, by the ratio of their means over recent common hours. Without
/// enough of these they stay as they are: a step in the curve, which the grade says.
fn level(usual: &Series, upper: &Series, now: DateTime<Utc>) -> (Series, Option<String>) {
    let (mut ours, mut theirs, mut common) = (0i128, 0i128, TimeDelta::zero());
    for span in upper.within(now - RECENT, now + RECENT) {
        let Some(mean) = usual.mean(span.from, span.until) else { continue };
        let time = span.until - span.from;
        ours += i128::from(mean.value.0) * i128::from(time.num_seconds());
        theirs += i128::from(span.value.0) * i128::from(time.num_seconds());
        common += time;
    }
    if common < COMMON || ours == 0 {
        return (usual.clone(), None);
    }
    let scaled = usual.spans().iter().map(|span| Span {
        value: Intensity(u64::try_from(i128::from(span.value.0) * theirs / ours).unwrap_or(span.value.0)),
        ..*span
    });
    let note = format!("brought to the feed's level, × {:.2}", theirs as f64 / ours as f64);
    (Series::new(scaled), Some(note))
}

/// Fills holes of one or two steps between spans of one grade in a straight line, as `Estimated`.
fn fill_short_holes(series: &Series) -> Series {
    let mut filled: Vec<Span> = Vec::new();
    for &span in series.spans() {
        if let Some(&before) = filled.last() {
            let (step, hole) = (before.until - before.from, span.from - before.until);
            if hole > TimeDelta::zero() && hole <= step * SHORT_HOLE && before.grade == span.grade {
                let steps = i64::max(1, hole.num_seconds() / step.num_seconds().max(1));
                for n in 0..steps {
                    let value = |part: i64| {
                        let (a, b) = (i128::from(before.value.0), i128::from(span.value.0));
                        u64::try_from(a + (b - a) * i128::from(part) / i128::from(steps + 1)).unwrap_or(before.value.0)
                    };
                    let from = before.until + step * i32::try_from(n).unwrap_or(0);
                    let until = if n + 1 == steps { span.from } else { from + step };
                    filled.push(Span { from, until, value: Intensity(value(n + 1)), grade: Grade::Estimated });
                }
            }
        }
        filled.push(span);
    }
    Series::new(filled)
}

/// A feed's troubles, one sentence each, without repeating the same file's for every zone.
#[must_use]
pub fn troubles(health: &[Health]) -> Vec<String> {
    let mut seen = BTreeMap::new();
    for entry in health {
        if let Some(trouble) = &entry.trouble {
            seen.insert(trouble.clone(), ());
        }
    }
    seen.into_keys().collect()
}
