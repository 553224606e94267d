//! Grid data: services, files, our own forecast, then the usual shape of a zone's day, then its annual mean. The curve
//! never has a hole, and every span says how well it is known.
//!
//! Nothing here asks the network: [`rounds`] does, and [`Grid::heard`] takes what it brings.

pub mod archive;
pub mod belief;
pub mod chain;
pub mod feed;
pub mod fetch;
pub mod file;
pub mod mix;
pub mod openadr;
pub mod providers;
pub mod rounds;
pub mod schedule;
pub mod service;
pub mod services;
pub mod skill;
pub mod table;
#[cfg(test)]
mod tests;
pub mod wire;

use crate::config::{Config, FeedConfig, Tariff};
use archive::Archive;
use chain::{Tier, chain, fill_short_holes};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use file::FileFeed;
use neap_model::grid::{Basis, Curve, Origin, PriceCurve, Series};
use neap_model::units::Intensity;
use neap_policies::forecast::{self, History};
use rounds::{News, Source};
use service::Service;
use std::collections::{BTreeMap, BTreeSet};
use table::Row;

/// How far back a curve reaches: delays are accounted for against it.
pub const BEHIND: TimeDelta = TimeDelta::days(8);
/// How far ahead: the planning horizon and a day.
pub const AHEAD: TimeDelta = TimeDelta::days(8);
/// How far back our own forecaster looks.
const HISTORY: TimeDelta = TimeDelta::days(400);

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
    /// Whether a service is only probed; `None` for a file.
    pub circuit_open: Option<bool>,
}

/// Mean absolute error by zone, feed and range of hours ahead.
pub type Errors = Vec<(String, String, (usize, usize), Intensity)>;

/// All sources of a site.
#[derive(Debug)]
pub struct Grid {
    zones: Vec<Zone>,
    services: Vec<Service>,
    files: Vec<FileFeed>,
    basis: Basis,
    max_age: TimeDelta,
    /// Everything that was kept is there, and there is time to judge forecasts.
    thorough: bool,
    /// Zones of services whose whole archive was read.
    loaded: usize,
}

#[derive(Debug)]
struct Zone {
    name: String,
    row: Row,
    tariff: Option<Tariff>,
    own: Option<Own>,
}

/// Our own forecast, made once an hour or when the history grew.
#[derive(Debug)]
struct Own {
    of: String,
    end: DateTime<Utc>,
    known: usize,
    series: Series,
    skill: Option<forecast::Skill>,
}

impl Grid {
    /// The sources that a configuration names, and what is to be asked of the network. Nothing is read yet but keys.
    #[must_use]
    pub fn new(config: &Config) -> (Self, Vec<(usize, Source)>) {
        let zones = config.zones.iter().map(|zone| Zone {
            name: zone.name.clone(),
            row: table::row(&zone.name, zone.annual_mean),
            tariff: zone.tariff.clone(),
            own: None,
        });
        let archive = Archive::new(config.state_dir.join("grid"));
        let basis = Basis { kind: config.grid.kind, scope: config.grid.scope, ..Basis::default() };
        let files = config.grid.feeds.iter().filter_map(|feed| match feed {
            FeedConfig::File { path, zones: names, labels } => {
                let mut ours: Vec<&String> = names.keys().collect();
                if ours.is_empty() {
                    ours.extend(config.zones.iter().map(|zone| &zone.name));
                }
                let only = if let [only] = ours.as_slice() { Some((*only).clone()) } else { None };
                let (path, names, labels) = (path.clone(), names.clone(), labels.clone());
                let (usual, archive) = (basis.clone(), archive.clone());
                Some(FileFeed::new(file::Place { path, names, labels, usual, only, archive }))
            }
            FeedConfig::Service { .. } => None,
        });
        let files: Vec<FileFeed> = files.collect();
        let (mut services, mut sources) = (Vec::new(), Vec::new());
        for (place, configured) in services::configured(config).into_iter().enumerate() {
            let (service, source) =
                Service::new(configured, config.grid.kind, archive.clone(), config.grid.show_private);
            services.push(service);
            sources.extend(source.map(|source| (place, source)));
        }
        let max_age = TimeDelta::seconds(i64::try_from(config.grid.max_forecast_age.0).unwrap_or(i64::MAX / 1_000));
        (Self { zones: zones.collect(), services, files, basis, max_age, thorough: false, loaded: 0 }, sources)
    }

    /// Takes up what services said last in an earlier life: enough to go on from, soon read.
    pub fn load(&mut self, now: DateTime<Utc>) {
        for service in &mut self.services {
            for lane in service.lanes().to_vec() {
                service.load(&lane, None, now);
            }
        }
    }

    /// Takes up all that was kept of one more zone, which may take a second or two. After the last one forecasts are judged.
    /// Says whether there is more.
    pub fn load_more(&mut self, now: DateTime<Utc>) -> bool {
        let all = self.services.iter().enumerate();
        let lanes: Vec<(usize, schedule::Lane)> =
            all.flat_map(|(at, service)| service.lanes().iter().map(move |lane| (at, lane.clone()))).collect();
        if let Some((at, lane)) = lanes.get(self.loaded) {
            self.services[*at].load(lane, Some(HISTORY), now);
            self.loaded += 1;
        }
        self.thorough = self.loaded >= lanes.len();
        !self.thorough
    }

    /// Up to when values of a source are there already.
    #[must_use]
    pub fn known(&self, place: usize) -> BTreeMap<schedule::Lane, DateTime<Utc>> {
        self.services.get(place).map(Service::known).unwrap_or_default()
    }

    /// Takes what came of an exchange. Gives the feed's name and a word for the outcome.
    pub fn heard(&mut self, news: &News) -> Option<(String, &'static str)> {
        let service = self.services.get_mut(news.source)?;
        Some((service.name().to_owned(), service.heard(news)))
    }

    /// Looks at every file that may have changed. Says how each source fares for each zone.
    pub fn refresh(&mut self, now: DateTime<Utc>) -> Vec<Health> {
        let mut all: Vec<Health> = self.services.iter().flat_map(|service| service.health(now)).collect();
        for feed in &mut self.files {
            let trouble = feed.read(now).err();
            for zone in &self.zones {
                let series = feed.series(&zone.name);
                let newest = series.and_then(|s| s.spans().iter().rev().find(|span| span.from <= now));
                let age = newest.map(|span| (now - span.until.min(now)).num_milliseconds() as f64 / 1e3);
                let ahead = series.and_then(Series::end).is_some_and(|end| end > now);
                let said = feed.said().filter(|said| now - *said > self.max_age);
                let (outcome, text) = match (&trouble, series, ahead, said) {
                    (Some(error), ..) => (error.word(), Some(error.to_string())),
                    (None, None, ..) => ("no_zone", Some(feed.silence(&zone.name))),
                    (None, Some(_), false, _) => ("stale", Some(format!("its last value for {} is past", zone.name))),
                    (None, Some(_), true, Some(said)) => {
                        let hours = (now - said).num_hours();
                        (
                            "aged",
                            Some(format!(
                                "what it says of the future was issued {hours} h ago: our own goes before it"
                            )),
                        )
                    }
                    (None, Some(_), true, None) => ("ok", None),
                };
                let text = text.map(|text| format!("{}: {text}", feed.name()));
                all.push(Health {
                    feed: feed.name(),
                    zone: zone.name.clone(),
                    age_seconds: age,
                    outcome,
                    trouble: text,
                    circuit_open: None,
                });
            }
        }
        all
    }

    /// The composed curve of each zone, from well before now to beyond the horizon, without a hole.
    #[must_use]
    pub fn curves(&mut self, now: DateTime<Utc>) -> Vec<(String, Curve)> {
        self.foresee(now);
        self.zones.iter().map(|zone| (zone.name.clone(), self.curve(zone, now))).collect()
    }

    /// Makes our own forecasts anew where the history grew or an hour has passed.
    fn foresee(&mut self, now: DateTime<Utc>) {
        for at in 0..self.zones.len() {
            let found = self.history(&self.zones[at].name, now);
            let zone = &mut self.zones[at];
            let Some((of, truth)) = found else {
                zone.own = None;
                continue;
            };
            let history = History::of(&truth, now);
            let (end, known) = (history.end(), truth.spans().len());
            let same = |own: &Own| own.of == of && own.end == end && own.known == known;
            if zone.own.as_ref().is_some_and(|own| same(own) && (own.skill.is_some() || !self.thorough)) {
                continue;
            }
            // Errors change slowly: they are reckoned once a day.
            let today = zone.own.take().filter(|own| own.of == of && own.end.date_naive() == end.date_naive());
            let skill = today.and_then(|own| own.skill);
            let skill = skill.or_else(|| self.thorough.then(|| skill::of_own(&truth, now, TimeDelta::zero())));
            let series = forecast::forecast(&history);
            zone.own = Some(Own { of, end, known, series, skill });
        }
    }

    /// What was measured in a zone, by the best source that measured anything, and that source's name.
    fn history(&self, zone: &str, now: DateTime<Utc>) -> Option<(String, Series)> {
        let services = self.services.iter().filter_map(|service| {
            Some((service.name().to_owned(), skill::truth(&service.belief(zone)?.series(now - HISTORY, now))))
        });
        let files = self
            .files
            .iter()
            .filter_map(|feed| Some((feed.name(), skill::truth(&feed.series(zone)?.trim(now - HISTORY, now)))));
        services.chain(files).find(|(_, truth)| !truth.is_empty())
    }

    fn curve(&self, zone: &Zone, now: DateTime<Utc>) -> Curve {
        let hour = now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now);
        let (from, until) = (hour - BEHIND, hour + AHEAD);
        let mut tiers = Vec::new();
        let mut aged = Vec::new();
        for service in &self.services {
            let Some((origin, belief)) = service.origin(&zone.name).zip(service.belief(&zone.name)) else { continue };
            let (good, old) = belief.parts(from, until, now, self.max_age);
            tiers.push(Tier { series: fill_short_holes(&good), origin: origin.clone(), usual: false });
            let issued = origin.issued.unwrap_or(origin.fetched);
            let note = Some(format!("a forecast of {}, older than allowed", issued.format("%Y-%m-%dT%H:%MZ")));
            aged.push(Tier { series: old, origin: Origin { note, ..origin }, usual: false });
        }
        for feed in &self.files {
            let Some((good, old)) = feed.parts(&zone.name, now, self.max_age) else { continue };
            let Some(content) = feed.content() else { continue };
            let origin = Origin {
                basis: content.basis.clone(),
                issued: content.issued,
                fetched: feed.fetched().unwrap_or(now),
                ..self.origin(feed.name(), zone)
            };
            let series = fill_short_holes(&good.trim(from, until));
            tiers.push(Tier { series, origin: origin.clone(), usual: false });
            let said = feed.said().unwrap_or(now).format("%Y-%m-%dT%H:%MZ");
            let note = Some(format!("a forecast of {said}, older than allowed"));
            aged.push(Tier { series: old.trim(from, until), origin: Origin { note, ..origin }, usual: false });
        }
        if let Some(own) = &zone.own {
            let like = tiers.iter().find(|tier| tier.origin.feed == own.of).map(|tier| tier.origin.basis.clone());
            let origin = Origin {
                basis: like.unwrap_or_else(|| self.basis.clone()),
                issued: Some(own.end),
                fetched: own.end,
                note: Some(format!("our own forecast from what {} measured", own.of)),
                usual_error: own.skill.as_ref().and_then(skill::of_the_day),
                ..self.origin(forecast::NAME.to_owned(), zone)
            };
            tiers.push(Tier { series: own.series.trim(from, until), origin, usual: false });
        }
        tiers.append(&mut aged);
        let origin = Origin {
            basis: zone.row.basis.clone(),
            fetched: now,
            credit: zone.row.credit.clone(),
            note: zone.row.note.clone(),
            ..self.origin("table".to_owned(), zone)
        };
        tiers.push(Tier { series: zone.row.usual(from, until), origin, usual: true });
        chain(tiers, now)
    }

    fn origin(&self, feed: String, zone: &Zone) -> Origin {
        Origin {
            feed,
            zone: zone.name.clone(),
            basis: self.basis.clone(),
            issued: None,
            fetched: DateTime::UNIX_EPOCH,
            credit: None,
            note: None,
            private: false,
            usual_error: None,
        }
    }

    /// The prices of each zone that has any: what a service says, else the site's own tariff.
    #[must_use]
    pub fn prices(&self, now: DateTime<Utc>) -> Vec<(String, PriceCurve)> {
        let (from, until) = (now - BEHIND, now + AHEAD);
        let of = |zone: &Zone| {
            let found = self.services.iter().find_map(|service| service.prices(&zone.name, from, until));
            let stated = || {
                let tariff = zone.tariff.as_ref()?;
                let origin = Origin { fetched: now, ..self.origin("tariff".to_owned(), zone) };
                Some(PriceCurve { series: tariff.series(from, until), currency: tariff.currency.clone(), origin })
            };
            Some((zone.name.clone(), found.or_else(stated)?))
        };
        self.zones.iter().filter_map(of).collect()
    }

    /// How far forecasts were off lately.
    #[must_use]
    pub fn errors(&self) -> Errors {
        let mut all: Errors = self.services.iter().flat_map(Service::errors).collect();
        for zone in &self.zones {
            let Some(skill) = zone.own.as_ref().and_then(|own| own.skill.as_ref()) else { continue };
            for (from, until, bucket) in skill.buckets() {
                if let Some(mae) = bucket.mae().and_then(Intensity::from_base) {
                    all.push((zone.name.clone(), forecast::NAME.to_owned(), (from, until), mae));
                }
            }
        }
        all
    }
}

/// How much worse than ours a service's forecasts of the next day may be before somebody is told.
const WORSE: (u64, u64) = (11, 10);

impl Grid {
    /// Services whose forecasts of the next day were worse than our own over the last four weeks, a sentence each.
    #[must_use]
    pub fn outdone(&self, now: DateTime<Utc>) -> Vec<String> {
        let of = |zone: &Zone| {
            let ours = zone.own.as_ref()?.skill.as_ref().and_then(skill::of_the_day)?;
            let service = self.services.iter().find(|service| service.belief(&zone.name).is_some())?;
            let theirs = service.origin(&zone.name)?.usual_error?;
            // Two weeks of judged days are the least that says anything.
            let since = service.belief(&zone.name)?.first()?;
            let worse = theirs.0 * WORSE.1 > ours.0 * WORSE.0 && now - since >= TimeDelta::days(14);
            worse.then(|| {
                format!(
                    "{}: its forecasts for {} err by {theirs} over the next day, our own would by {ours}",
                    service.name(),
                    zone.name
                )
            })
        };
        self.zones.iter().filter_map(of).collect()
    }
}

/// A feed's troubles, one sentence each, without repeating the same file's for every zone.
#[must_use]
pub fn troubles(health: &[Health]) -> Vec<String> {
    let seen: BTreeSet<&String> = health.iter().filter_map(|entry| entry.trouble.as_ref()).collect();
    seen.into_iter().cloned().collect()
}
