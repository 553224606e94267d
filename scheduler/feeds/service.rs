//! One configured service as the site knows it: what it said of each zone, how it fares, and what it may be blamed for.

use super::archive::{Archive, Entry};
use super::belief::{Belief, credit};
use super::feed::{FeedError, Signal, Terms, Told, Values};
use super::rounds::{News, Source};
use super::schedule::Lane;
use super::services::Configured;
use super::{Errors, Health, skill};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Kind, Origin, PriceCurve};
use neap_model::units::Intensity;
use neap_policies::forecast::Skill;
use std::collections::BTreeMap;

/// A service's clock may differ from ours by so much.
const CLOCK: TimeDelta = TimeDelta::seconds(60);
/// The file that says that values which were held back are right. Its time is the beginning of a new experience.
const CONFIRMED: &str = "confirmed";

/// A service and all that came of it.
#[derive(Debug)]
pub struct Service {
    name: String,
    terms: Terms,
    settled: TimeDelta,
    kind: Kind,
    /// The site keeps its figures to itself, so terms that forbid to republish are met.
    show_private: bool,
    archive: Archive,
    lanes: Vec<Lane>,
    beliefs: BTreeMap<String, Belief>,
    skills: BTreeMap<String, (chrono::NaiveDate, Skill)>,
    prices: BTreeMap<String, PriceCurve>,
    outcomes: BTreeMap<Lane, (Option<FeedError>, DateTime<Utc>)>,
    circuit_open: bool,
    ahead: Option<TimeDelta>,
    /// It cannot be asked at all.
    unusable: Option<String>,
}

impl Service {
    /// A service nothing is known of yet; and the source that is to be asked, if it can be.
    #[must_use]
    pub fn new(configured: Configured, kind: Kind, archive: Archive, show_private: bool) -> (Self, Option<Source>) {
        let mut service = Self {
            name: configured.name,
            terms: Terms::Internal,
            settled: TimeDelta::hours(24),
            kind,
            show_private,
            archive,
            lanes: Vec::new(),
            beliefs: BTreeMap::new(),
            skills: BTreeMap::new(),
            prices: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            circuit_open: false,
            ahead: None,
            unusable: None,
        };
        match configured.source {
            Ok(source) => {
                service.terms = source.feed.manners().terms.clone();
                service.settled = source.feed.manners().settled;
                service.lanes = source.lanes.keys().cloned().collect();
                (service, Some(source))
            }
            Err(why) => {
                service.unusable = Some(why);
                (service, None)
            }
        }
    }

    /// As shown to people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says of a zone.
    #[must_use]
    pub fn belief(&self, zone: &str) -> Option<&Belief> {
        self.beliefs.get(zone).filter(|belief| !belief.is_empty())
    }

    /// Up to when values are there, by zone and signal.
    #[must_use]
    pub fn known(&self) -> BTreeMap<Lane, DateTime<Utc>> {
        let at = |lane: &Lane| match lane.1 {
            Signal::Intensity => self.beliefs.get(&lane.0)?.heard,
            Signal::Price => Some(self.prices.get(&lane.0)?.origin.fetched),
        };
        self.lanes.iter().filter_map(|lane| Some((lane.clone(), at(lane)?))).collect()
    }

    /// What is asked of it.
    #[must_use]
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// Takes up what was kept of a zone: the last of it, or as far back as stated.
    pub fn load(&mut self, lane: &Lane, back: Option<TimeDelta>, now: DateTime<Utc>) {
        let (zone, signal) = lane;
        let entries = match back {
            None => self.archive.last(&self.name, zone, *signal, now),
            Some(back) => self.archive.read(&self.name, zone, *signal, now - back, now),
        };
        if *signal == Signal::Price {
            entries.iter().for_each(|entry| {
                self.priced(zone, entry);
            });
            return;
        }
        let mut belief = Belief::default();
        for Entry { fetched, issued, basis, values } in entries.iter().cloned() {
            let told = Told { values, basis, issued, notes: Vec::new() };
            // What is in the archive was believed when it came.
            drop(belief.take(&told, fetched, Some(fetched)));
        }
        if let Some(known) = self.beliefs.remove(zone) {
            if belief.changed < known.changed || belief.basis != known.basis {
                // Not all could be kept, a full disk say: what this life heard stays.
                self.beliefs.insert(zone.clone(), known);
                return;
            }
            // An answer of this life that said nothing new was not kept, but it was heard.
            belief.heard = belief.heard.max(known.heard);
            (belief.suspect, belief.note) = (known.suspect, known.note);
        }
        self.beliefs.insert(zone.clone(), belief);
        self.judge(zone, &entries, now);
    }

    /// Takes what came of an exchange; a word for it.
    pub fn heard(&mut self, news: &News) -> &'static str {
        self.circuit_open = news.circuit_open;
        self.ahead = news.ahead.or(self.ahead);
        self.terms = news.terms.clone();
        let (zone, signal) = &news.lane;
        let taken = match &news.told {
            Ok(told) => self.taken(zone, *signal, told, news.at),
            Err(error) => Err(error.clone()),
        };
        let (word, error) = match taken {
            Ok(()) => ("ok", None),
            Err(error) => (error.word(), Some(error)),
        };
        // Values stay fresh for a while after the exchange that brought them.
        let fresh = match &error {
            None => news.fresh,
            Some(_) => self.outcomes.get(&news.lane).map_or(news.at, |(_, fresh)| *fresh),
        };
        self.outcomes.insert(news.lane.clone(), (error, fresh));
        word
    }

    fn taken(&mut self, zone: &str, signal: Signal, told: &Told, at: DateTime<Utc>) -> Result<(), FeedError> {
        let entry = Entry { fetched: at, issued: told.issued, basis: told.basis.clone(), values: told.values.clone() };
        let new = match (&told.values, signal) {
            (Values::Intensity(_), Signal::Intensity) => {
                if told.basis.kind != self.kind {
                    let word = |kind| if kind == Kind::Average { "average" } else { "marginal" };
                    let (theirs, ours) = (word(told.basis.kind), word(self.kind));
                    return Err(FeedError::Refused(format!(
                        "it tells {theirs} values, this site reckons with {ours} ones"
                    )));
                }
                let confirmed = std::fs::metadata(self.archive.place(&self.name, zone).join(CONFIRMED));
                let confirmed = confirmed.and_then(|known| known.modified()).ok().map(DateTime::<Utc>::from);
                let belief = self.beliefs.entry(zone.to_owned()).or_default();
                belief.take(told, at, confirmed).map_err(FeedError::Refused)?
            }
            (Values::Price(..), Signal::Price) => self.priced(zone, &entry),
            _ => return Err(FeedError::Refused("it answered with something else than was asked for".to_owned())),
        };
        if new {
            // A full disk costs the memory of it, not the values.
            drop(self.archive.append(&self.name, zone, &entry));
            let today = at.date_naive();
            if signal == Signal::Intensity && self.skills.get(zone).is_none_or(|(day, _)| *day != today) {
                let entries = self.archive.read(&self.name, zone, signal, at - skill::WINDOW, at);
                self.judge(zone, &entries, at);
                self.archive.prune(&self.name, zone, at);
            }
        }
        Ok(())
    }

    fn judge(&mut self, zone: &str, entries: &[Entry], now: DateTime<Utc>) {
        let Some(belief) = self.beliefs.get(zone) else { return };
        let truth = skill::truth(&belief.series(now - skill::WINDOW - TimeDelta::days(5), now));
        let same: Vec<Entry> = entries.iter().filter(|entry| entry.basis == belief.basis).cloned().collect();
        let skill = skill::of_service(&same, &truth, now, self.settled);
        self.skills.insert(zone.to_owned(), (now.date_naive(), skill));
    }

    fn priced(&mut self, zone: &str, entry: &Entry) -> bool {
        let Values::Price(series, currency) = &entry.values else { return false };
        let known = self.prices.get(zone).filter(|known| known.currency == *currency);
        let joined = known.map_or_else(|| series.clone(), |known| series.over(&known.series));
        let news = known.is_none_or(|known| known.series != joined);
        let kept = joined.trim(entry.fetched - super::BEHIND, entry.fetched + super::AHEAD);
        let origin = Origin {
            feed: self.name.clone(),
            zone: zone.to_owned(),
            basis: entry.basis.clone(),
            issued: entry.issued,
            fetched: entry.fetched,
            credit: credit(&self.terms),
            note: None,
            private: self.terms == Terms::Private && !self.show_private,
            usual_error: None,
        };
        self.prices.insert(zone.to_owned(), PriceCurve { series: kept, currency: currency.clone(), origin });
        news
    }

    /// Where the values of a zone come from.
    #[must_use]
    pub fn origin(&self, zone: &str) -> Option<Origin> {
        let belief = self.belief(zone)?;
        Some(Origin {
            feed: self.name.clone(),
            zone: zone.to_owned(),
            basis: belief.basis.clone(),
            issued: belief.issued,
            fetched: belief.changed?,
            credit: credit(&self.terms),
            note: belief.note.clone(),
            private: self.terms == Terms::Private && !self.show_private,
            usual_error: self.skills.get(zone).and_then(|(_, skill)| skill::of_the_day(skill)),
        })
    }

    /// The prices of a zone between two instants.
    #[must_use]
    pub fn prices(&self, zone: &str, from: DateTime<Utc>, until: DateTime<Utc>) -> Option<PriceCurve> {
        let known = self.prices.get(zone)?;
        Some(PriceCurve { series: known.series.trim(from, until), ..known.clone() })
    }

    /// How far its forecasts were off.
    pub fn errors(&self) -> Errors {
        let mut all = Errors::new();
        for (zone, (_, skill)) in &self.skills {
            for (from, until, bucket) in skill.buckets() {
                if let Some(mae) = bucket.mae().and_then(Intensity::from_base) {
                    all.push((zone.clone(), self.name.clone(), (from, until), mae));
                }
            }
        }
        all
    }

    /// How it fares, zone by zone.
    #[must_use]
    pub fn health(&self, now: DateTime<Utc>) -> Vec<Health> {
        let health = |zone: &str, age_seconds, outcome, trouble: Option<String>| Health {
            feed: self.name.clone(),
            zone: zone.to_owned(),
            age_seconds,
            outcome,
            trouble: trouble.map(|text| format!("{}: {text}", self.name)),
            circuit_open: Some(self.circuit_open),
        };
        if let Some(why) = &self.unusable {
            return vec![health("", None, "key", Some(why.clone()))];
        }
        let mut all: Vec<Health> = self.lanes.iter().map(|lane| self.lane_health(lane, now, &health)).collect();
        if let Some(ahead) = self.ahead.filter(|ahead| ahead.abs() > CLOCK) {
            let way = if ahead > TimeDelta::zero() { "ahead of" } else { "behind" };
            let text = format!("its clock is {} s {way} ours: one of them is wrong", ahead.abs().num_seconds());
            all.push(health("", None, "clock", Some(text)));
        }
        all
    }

    fn lane_health(
        &self,
        lane: &Lane,
        now: DateTime<Utc>,
        health: &impl Fn(&str, Option<f64>, &'static str, Option<String>) -> Health,
    ) -> Health {
        let (zone, signal) = lane;
        let belief = self.beliefs.get(zone).filter(|_| *signal == Signal::Intensity);
        let newest = belief.and_then(|belief| belief.newest(now));
        let age = newest.map(|span| (now - span.until.min(now)).num_milliseconds() as f64 / 1e3);
        let what = if *signal == Signal::Price { format!("prices of {zone}") } else { zone.clone() };
        if let Some(doubt) = belief.and_then(|belief| belief.suspect.as_ref()) {
            let place = self.archive.place(&self.name, zone).join(CONFIRMED);
            let text = format!("{what} held back: {doubt}; if it is right: touch {}", place.display());
            return health(zone, age, "suspect", Some(text));
        }
        match self.outcomes.get(lane) {
            Some((Some(error), fresh)) => {
                let passing = matches!(error, FeedError::Down(_) | FeedError::TooMany(_) | FeedError::NoData(_));
                let text = (!passing || now >= *fresh).then(|| format!("{what}: {error}"));
                health(zone, age, error.word(), text)
            }
            Some((None, _)) if belief.is_some_and(|belief| belief.is_stuck(now)) => {
                health(zone, age, "stale", Some(format!("{what}: the same answer for more than a day")))
            }
            Some((None, _)) => health(zone, age, "ok", None),
            None => health(zone, age, "waiting", None),
        }
    }
}
