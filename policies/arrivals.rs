//! Who is expected to come, from who came: by kind of job, and by hour of the day, or of the week once that was seen often
//! enough. Nothing is expected before a week was seen.
//!
//! How many come goes by the hour, and what they ask for by all that came: the kinds of each hour alone would be too few to
//! count. It speaks of jobs that consented to wait, since only they can be planned around others.

use crate::problem::{Arrival, Delay, Job};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::job::{JobId, Objective};
use neap_model::seconds::Seconds;
use neap_model::units::{Bytes, Percent};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Days of history that are looked at, and days without which nothing is expected.
pub const LOOKS_BACK: u64 = 28;
const AT_LEAST: u64 = 7;

/// Jobs of a plan at most that stand for those expected; of more, fewer stand for them, evenly.
pub const STAND_INS: usize = 128;

/// Hours ahead for which somebody is expected.
const AHEAD: i64 = 24;

/// Lengths and longest delays at which kinds are told apart, in hours.
const LENGTHS: [u64; 3] = [2, 8, 24];
const DELAYS: [u64; 3] = [2, 8, 16];

/// Kinds at most, those that brought most work.
const KINDS: usize = 64;

const HOUR: i64 = 3_600;
const DAY: i64 = 24;
const WEEK: i64 = 168;

/// A job that came.
#[derive(Clone, Copy, Debug)]
pub struct Came<'a> {
    /// When it could have started.
    pub at: DateTime<Utc>,
    /// How long it took, or is planned to take.
    pub length: Seconds,
    /// GPUs.
    pub gpus: u32,
    /// Acceptable models; empty: any.
    pub gpu_model: &'a [String],
    /// Cores; `None`: one, or the GPUs' share of the node.
    pub cpus: Option<u32>,
    /// Memory.
    pub memory: Bytes,
    /// Allowed zones; empty: the home zone.
    pub zones: &'a [String],
    /// What it may wait for.
    pub delay: Delay,
}

/// What is alike in jobs of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind<'a> {
    zones: &'a [String],
    gpu_model: &'a [String],
    gpus: u32,
    cpus: Option<u32>,
    by_price: bool,
    length: usize,
    delay: usize,
}

/// What jobs of a kind brought together.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    jobs: u64,
    seconds: u64,
    delays: u64,
    memory: u64,
    /// The delay terms of one of them, but for its length.
    terms: Option<Delay>,
}

fn class(length: Seconds, cuts: &[u64]) -> usize {
    cuts.iter().filter(|cut| length >= Seconds::hours(**cut)).count()
}

impl<'a> Kind<'a> {
    fn of(came: &Came<'a>) -> Self {
        let &Came { zones, gpu_model, gpus, cpus, length, delay, .. } = came;
        let by_price = delay.objective == Objective::Price;
        let (length, delay) = (class(length, &LENGTHS), class(delay.max, &DELAYS));
        Self { zones, gpu_model, gpus, cpus, by_price, length, delay }
    }

    /// A job like the mean of the kind.
    fn like(&self, number: u64, sum: &Sum, now: DateTime<Utc>) -> Option<Job> {
        let mean = |of: u64| of.checked_div(sum.jobs);
        let length = Seconds(mean(sum.seconds)?.max(1));
        Some(Job {
            priority: i32::MIN,
            gpus: self.gpus,
            gpu_model: self.gpu_model.to_vec(),
            cpus: self.cpus,
            memory: Bytes(mean(sum.memory)?),
            zones: self.zones.to_vec(),
            delay: Delay { max: Seconds(mean(sum.delays)?), ..sum.terms? },
            ..Job::plain(JobId(number), now, length)
        })
    }
}

/// Who is expected within the next day, from the hour of `now` on, times `strength`. Jobs that came before the last
/// [`LOOKS_BACK`] days are not read, nor are those that do not wait; whether a week was seen is told from the first of all.
#[must_use]
pub fn expected<'a>(now: DateTime<Utc>, history: impl Iterator<Item = Came<'a>>, strength: Percent) -> Arc<[Arrival]> {
    let this = hour_of(now);
    let back = |at: DateTime<Utc>| this - hour_of(at);
    let (mut seen, mut by_hour) = (0, BTreeMap::<i64, u64>::new());
    let mut kinds: BTreeMap<Kind<'a>, Sum> = BTreeMap::new();
    for came in history.filter(|came| came.at < now) {
        seen = seen.max(back(came.at));
        if !(1..=LOOKS_BACK as i64 * DAY).contains(&back(came.at)) || came.delay.max == Seconds::ZERO {
            continue;
        }
        if !matches!(came.delay.objective, Objective::Carbon | Objective::Price) {
            continue;
        }
        *by_hour.entry(hour_of(came.at)).or_default() += 1;
        let sum = kinds.entry(Kind::of(&came)).or_default();
        sum.jobs += 1;
        sum.seconds += came.length.0;
        sum.delays += came.delay.max.0;
        sum.memory = sum.memory.saturating_add(came.memory.0);
        sum.terms = Some(came.delay);
    }
    let days = (seen / DAY).min(LOOKS_BACK as i64);
    if days < AT_LEAST as i64 {
        return Arc::default();
    }
    let often = Often { by_hour, this, days, cycle: if days < LOOKS_BACK as i64 { DAY } else { WEEK } };
    let all: u64 = kinds.values().map(|sum| sum.jobs).sum();
    let mut most: Vec<(u64, Kind<'a>, Sum)> =
        kinds.into_iter().map(|(kind, sum)| (sum.seconds * u64::from(kind.gpus.max(1)), kind, sum)).collect();
    most.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    most.truncate(KINDS);
    most.sort_by_key(|a| a.1);
    let likes = (1..).zip(&most).filter_map(|(number, (_, kind, sum))| Some((kind.like(number, sum, now)?, sum.jobs)));
    let likes: Vec<(Arc<Job>, f64)> =
        likes.map(|(like, jobs)| (Arc::new(like), strength.ratio() * jobs as f64 / all as f64)).collect();
    let mut expected = Vec::new();
    for hour in this..this + AHEAD {
        let jobs = often.jobs(hour);
        let of = |(like, share): &(Arc<Job>, f64)| Arrival {
            hour: DateTime::UNIX_EPOCH + TimeDelta::hours(hour),
            like: Arc::clone(like),
            count: (1e3 * jobs * share).round() as u32,
        };
        expected.extend(likes.iter().map(of).filter(|arrival| arrival.count > 0));
    }
    expected.into()
}

/// Hours since 1970.
fn hour_of(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(HOUR)
}

/// How often jobs came, by hour.
struct Often {
    by_hour: BTreeMap<i64, u64>,
    this: i64,
    /// Whole days that were seen.
    days: i64,
    /// Hours after which an hour comes again.
    cycle: i64,
}

impl Often {
    /// Jobs that are expected in an hour: the mean of those like it and of the hours beside these.
    fn jobs(&self, hour: i64) -> f64 {
        let (mut jobs, mut hours) = (0, 0u32);
        for ago in 1..=self.days * DAY {
            let apart = (hour - (self.this - ago)).rem_euclid(self.cycle);
            if apart <= 1 || apart == self.cycle - 1 {
                jobs += self.by_hour.get(&(self.this - ago)).copied().unwrap_or(0);
                hours += 1;
            }
        }
        jobs as f64 / f64::from(hours.max(1))
    }
}

#[cfg(test)]
mod tests;
