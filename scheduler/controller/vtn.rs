//! Events of servers that the site polls. An event is over after two answered polls without it; a poll that fails ends nothing,
//! and what was announced holds until `max_cap_age` after the last answered one.
//!
//! When an event was seen first and when a server answered last is in the journal, as far as anything depends on it.

use super::{Controller, Turn};
use crate::feeds::openadr::notices::{notices, prefix};
use crate::feeds::openadr::{News, Shown};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::lifecycle::Event;
use neap_model::notice::{Notice, Source};
use neap_model::protocol::VtnReport;
use std::collections::{BTreeMap, BTreeSet};

/// So long after the last answered poll hold the events of a server that is no longer configured.
const FORGOTTEN: TimeDelta = TimeDelta::hours(24);

/// What this life of the scheduler heard of one server.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The last poll that was answered.
    pub answered: Option<DateTime<Utc>>,
    /// Why the last poll failed; `None`: it did not, or there was none yet.
    pub trouble: Option<String>,
    /// Events that are not acted upon, or not wholly, a sentence each.
    pub refused: Vec<String>,
    /// Whether it is only probed.
    pub circuit_open: bool,
    /// Polls by outcome.
    pub polls: BTreeMap<&'static str, u64>,
}

impl Controller {
    /// A poll came to something.
    pub(super) fn vtn_came(&mut self, now: DateTime<Utc>, news: News, turn: &mut Turn) {
        let Some(vtn) = self.config.vtns.iter().find(|vtn| vtn.name == news.vtn).cloned() else { return };
        let heard = self.vtns.entry(news.vtn.clone()).or_default();
        heard.circuit_open = news.circuit_open;
        *heard.polls.entry(news.shown.as_ref().map_or_else(|error| error.word(), |_| "ok")).or_default() += 1;
        let shown = match news.shown {
            Ok(_) if self.read_only => {
                heard.trouble = Some("the disk is full: what it announces cannot be written down".to_owned());
                return;
            }
            Ok(shown) => shown,
            Err(error) => {
                heard.trouble = Some(error.to_string());
                return self.end_unheard(now, turn);
            }
        };
        (heard.trouble, heard.answered) = (None, Some(now));
        let present: BTreeSet<String> = shown.iter().map(|event| event.id.clone()).collect();
        let program = self.state.programs.get(&vtn.name).cloned().unwrap_or_default();
        let polled = program.compare(&present);
        let over: Vec<String> = program.ending(&polled).map(str::to_owned).collect();
        // A server without events has nothing that could depend on when it answered.
        if !program.is_empty() || !present.is_empty() {
            self.record(now, Event::Polled { vtn: vtn.name.clone(), polled }, turn);
        }
        for id in over {
            self.end_under(now, &vtn.name, &prefix(&vtn.name, &id), turn);
        }
        let mut refused = Vec::new();
        for event in &shown {
            let first = self.state.programs.get(&vtn.name).and_then(|program| program.sight(&event.id));
            let first = first.map_or(now, |sight| sight.first);
            match notices(&vtn, event, first) {
                Ok(list) => self.announced_by(now, &vtn.name, event, list, turn),
                Err(why) => refused.push(format!("event {} is not acted upon: {why}", event.id)),
            }
            let unused = event.read.as_ref().map(crate::feeds::openadr::Event::unused).unwrap_or_default();
            if !unused.is_empty() {
                refused.push(format!("event {}: nothing is done about {}", event.id, unused.join(", ")));
            }
        }
        if let Some(heard) = self.vtns.get_mut(&vtn.name) {
            heard.refused = refused;
        }
    }

    /// Brings what is announced here to what the event says now.
    fn announced_by(&mut self, now: DateTime<Utc>, vtn: &str, event: &Shown, list: Vec<Notice>, turn: &mut Turn) {
        let source = Source::OpenAdr { vtn: vtn.to_owned() }.to_string();
        let under = prefix(vtn, &event.id);
        let known: BTreeMap<String, Notice> =
            self.state.notices.under(&under).map(|known| (known.id.clone(), known.clone())).collect();
        let named: BTreeSet<String> = list.iter().map(|notice| notice.id.clone()).collect();
        for notice in list {
            let revision = match known.get(&notice.id) {
                // A person took it back: it stays so until the event says something else.
                Some(known) if known.cancelled && known.source != source && says_the_same(known, &notice) => continue,
                Some(known) if !known.cancelled && says_the_same(known, &notice) => continue,
                Some(known) if known.is_past(now) && notice.is_past(now) => continue,
                Some(known) => known.revision + 1,
                None if notice.is_past(now) => continue,
                None => 1,
            };
            self.heed(now, Notice { revision, ..notice }, turn);
        }
        for known in known.into_values().filter(|known| !named.contains(&known.id) && known.source == source) {
            self.end(now, &known, turn);
        }
    }

    /// Ends what servers announced that did not answer for too long. One that was not asked yet since the start is not silent.
    pub(super) fn end_unheard(&mut self, now: DateTime<Utc>, turn: &mut Turn) {
        let mut silent = Vec::new();
        for (name, program) in &self.state.programs {
            let configured = self.config.vtns.iter().find(|vtn| vtn.name == *name);
            let most = configured.map_or(FORGOTTEN, |vtn| {
                TimeDelta::seconds(i64::try_from(vtn.max_cap_age.0).unwrap_or(i64::MAX / 1_000_000))
            });
            let failing = self.vtns.get(name).is_some_and(|heard| heard.trouble.is_some());
            let long = program.last.is_some_and(|last| now - last > most);
            if long && (failing || configured.is_none()) && !program.is_empty() {
                silent.push(name.clone());
            }
        }
        for name in silent {
            self.end_under(now, &name, &format!("{name}/"), turn);
        }
    }

    fn end_under(&mut self, now: DateTime<Utc>, vtn: &str, under: &str, turn: &mut Turn) {
        let source = Source::OpenAdr { vtn: vtn.to_owned() }.to_string();
        let all = self.state.notices.under(under).filter(|known| known.source == source);
        for known in all.cloned().collect::<Vec<_>>() {
            self.end(now, &known, turn);
        }
    }

    fn end(&mut self, now: DateTime<Utc>, known: &Notice, turn: &mut Turn) {
        if !known.is_past(now) {
            // With an end it is forgotten in time.
            let over = Notice { revision: known.revision + 1, cancelled: true, until: Some(now), ..known.clone() };
            self.heed(now, over, turn);
        }
    }

    fn heed(&mut self, now: DateTime<Utc>, notice: Notice, turn: &mut Turn) {
        if self.read_only {
            return;
        }
        self.record(now, Event::Noticed { notice: Box::new(notice) }, turn);
        self.planning.stale_site();
    }

    /// Every configured server, as it was heard.
    #[must_use]
    pub fn vtn_reports(&self, now: DateTime<Utc>) -> Vec<VtnReport> {
        let of = |vtn: &crate::config::Vtn| {
            let program = self.state.programs.get(&vtn.name);
            let heard = self.vtns.get(&vtn.name).cloned().unwrap_or_default();
            let source = Source::OpenAdr { vtn: vtn.name.clone() }.to_string();
            let under = format!("{}/", vtn.name);
            let announced = self.state.notices.under(&under).filter(|n| n.source == source && !n.is_past(now));
            VtnReport {
                name: vtn.name.clone(),
                answered: heard.answered.max(program.and_then(|program| program.last)),
                trouble: heard.trouble,
                events: program.map_or(0, |program| program.len() as u64),
                announced: announced.count() as u64,
                refused: heard.refused,
            }
        };
        self.config.vtns.iter().map(of).collect()
    }

    /// What this life of the scheduler heard of servers of events, for metrics.
    #[must_use]
    pub fn vtns(&self) -> &BTreeMap<String, Heard> {
        &self.vtns
    }
}

/// Whether two announcements of one id differ in nothing but revision and who said so.
fn says_the_same(one: &Notice, other: &Notice) -> bool {
    let said = |n: &Notice| (n.place.clone(), n.call, n.from, n.until, n.priority, n.reason.clone());
    said(one) == said(other)
}
