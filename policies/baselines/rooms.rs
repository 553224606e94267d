//! What is left of every zone in slots, where a job may use any fraction of its width and room is counted per slot.
//!
//! Capacity holds on the average of a slot, not at every instant: a job whose window covers a part of a slot may use
//! what the whole slot has left. That is the model in which bounds by linear programmes are exact; it is nobody's
//! cluster.

use super::moments::{SAME, end, join, within};
use crate::replay::{Case, Ran, Segment, TraceJob};
use std::collections::BTreeMap;

/// Slots that one window or one search for room behind it may have: eleven years of hours.
const MOST_SLOTS: i64 = 100_000;

/// A slot of a zone within a job's window.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Grams that a kWh of the computers emits in there.
    pub cost: f64,
    /// Number of the slot.
    pub slot: i64,
    /// Index of the zone.
    pub place: usize,
    from: f64,
    until: f64,
}

/// What a job still needs, and what it has got.
#[derive(Clone, Debug)]
pub struct Need {
    width: f64,
    /// GPU-seconds.
    left: f64,
    /// GPU-seconds of its own width used, by slot.
    used: BTreeMap<i64, f64>,
    parts: Vec<Segment>,
}

impl Need {
    /// All of a job.
    pub fn of(job: &TraceJob) -> Self {
        let width = job.width.max(0.0);
        Self { width, left: width * job.length.max(0.0), used: BTreeMap::new(), parts: Vec::new() }
    }

    /// Whether nothing is left to run.
    pub fn is_met(&self) -> bool {
        self.left <= SAME
    }

    /// The run. A job without work ends where it came.
    pub fn into_ran(mut self, job: &TraceJob) -> Ran {
        self.parts.sort_by(|a, b| a.from.total_cmp(&b.from).then(a.place.cmp(&b.place)));
        let mut ran = Ran::new();
        for part in self.parts {
            join(&mut ran, part);
        }
        if job.width.max(0.0) * job.length.max(0.0) <= SAME {
            let until = job.arrival + job.length.max(0.0);
            ran = vec![Segment { from: job.arrival, until, gpus: job.width.max(0.0), place: job.home }];
        }
        ran
    }
}

/// The room of all zones.
#[derive(Debug)]
pub struct Rooms<'a> {
    case: &'a Case,
    origin: f64,
    slot: f64,
    /// GPU-seconds in use, by zone and slot.
    used: Vec<BTreeMap<i64, f64>>,
}

impl<'a> Rooms<'a> {
    /// Empty zones. A slot is the shortest step of their curves; slots begin where the first curve does.
    pub fn new(case: &'a Case) -> Self {
        let slot = case.places.iter().map(|p| p.curve.step()).min_by(f64::total_cmp).unwrap_or(3600.0);
        let origin = case.places.first().map_or(0.0, |p| p.curve.start());
        Self { case, origin, slot, used: vec![BTreeMap::new(); case.places.len()] }
    }

    /// Where a job may run.
    fn places(&self, job: &TraceJob) -> std::ops::Range<usize> {
        let all = self.case.places.len();
        if job.home >= all {
            0..0
        } else if self.case.anywhere {
            0..all
        } else {
            job.home..job.home + 1
        }
    }

    /// The slots of a job's window in every zone it may use, by time and zone. Behind all curves nothing changes:
    /// there a slot is a choice only while the job would still run if it had started at once.
    pub fn window(&self, job: &TraceJob) -> Vec<Entry> {
        let due = self.chosen_until(job);
        let first = ((job.arrival - self.origin) / self.slot).floor() as i64;
        let mut entries = Vec::new();
        for slot in first..first.saturating_add(MOST_SLOTS) {
            let begins = self.origin + slot as f64 * self.slot;
            let (from, until) = (begins.max(job.arrival), (begins + self.slot).min(due));
            if begins >= due {
                break;
            }
            for place in self.places(job).filter(|_| until - from > SAME) {
                entries.push(self.entry(slot, place, from, until));
            }
        }
        entries
    }

    /// The end of the part of the window in which slots are chosen.
    fn chosen_until(&self, job: &TraceJob) -> f64 {
        let done = job.arrival + job.length.max(0.0);
        let known = self.case.places.iter().map(|p| end(&p.curve)).fold(done, f64::max);
        (done + job.slack.max(0.0)).min(known)
    }

    fn entry(&self, slot: i64, place: usize, from: f64, until: f64) -> Entry {
        Entry { cost: self.cost(place, from, until), slot, place, from, until }
    }

    /// Within one step of the curve its very value, so that equal slots compare as equal.
    fn cost(&self, place: usize, from: f64, until: f64) -> f64 {
        let place = &self.case.places[place];
        let grams = match within(&place.curve, from, until)[..] {
            [one] => one.grams,
            _ => place.curve.integral(from, until) / (until - from) * 3600.0,
        };
        place.pue * grams
    }

    /// Takes what a job can use of a slot.
    pub fn take(&mut self, need: &mut Need, entry: &Entry) {
        let seconds = entry.until - entry.from;
        let capacity = self.case.places[entry.place].gpus.map_or(f64::INFINITY, |gpus| gpus.max(0.0) * self.slot);
        let room = capacity - self.used[entry.place].get(&entry.slot).unwrap_or(&0.0);
        let own = need.width * seconds - need.used.get(&entry.slot).unwrap_or(&0.0);
        let gpus = room.min(own) / seconds;
        let taken = (gpus * seconds).min(need.left);
        if taken <= SAME {
            return;
        }
        *self.used[entry.place].entry(entry.slot).or_insert(0.0) += taken;
        *need.used.entry(entry.slot).or_insert(0.0) += taken;
        need.left -= taken;
        let until = if taken < gpus * seconds { entry.from + taken / gpus } else { entry.until };
        need.parts.push(Segment { from: entry.from, until, gpus, place: entry.place });
    }

    /// Runs what is left from the first slot that begins behind those of the window, as soon as there is room, the
    /// cheaper zone first.
    pub fn take_late(&mut self, need: &mut Need, job: &TraceJob) {
        let places = self.places(job);
        let none = self.case.places[places.clone()].iter().all(|p| p.gpus.is_some_and(|gpus| gpus <= 0.0));
        let due = self.chosen_until(job);
        need.used.clear();
        let first = ((due - self.origin) / self.slot).ceil() as i64;
        for slot in first..first.saturating_add(MOST_SLOTS) {
            if none || need.is_met() {
                break;
            }
            let from = self.origin + slot as f64 * self.slot;
            let until = from + self.slot;
            let mut entries: Vec<Entry> = places.clone().map(|place| self.entry(slot, place, from, until)).collect();
            entries.sort_by(|a, b| a.cost.total_cmp(&b.cost));
            for entry in &entries {
                self.take(need, entry);
            }
        }
    }
}
