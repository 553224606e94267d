//! When one service is asked for what: its manners, waits after trouble, and one request at a time. Pure: it is told the time.
//!
//! Every service has a source of its own, so that one that hangs or says *too many* holds up no other.

use super::feed::{Ask, Feed, FeedError, Heard, Manners, Reply, Request, Signal, Told, Want};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};

/// How far back is asked.
const BACK: TimeDelta = TimeDelta::days(3);
/// How far ahead.
const AHEAD: TimeDelta = TimeDelta::days(4);
/// First wait after an exchange that broke; doubled each time.
const FIRST_WAIT: TimeDelta = TimeDelta::seconds(2);
/// Longest wait after an exchange that broke, and between two probes of an open circuit.
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(5);
/// Longest wait after *too many*.
const LONGEST_429: TimeDelta = TimeDelta::hours(1);
/// Broken exchanges in a row that open the circuit.
const OPENS: u32 = 5;
/// What is misconfigured is tried again after so long.
const MISCONFIGURED: TimeDelta = TimeDelta::hours(1);
/// Requests for one answer; one that wants more is broken.
const REQUESTS: u32 = 16;

/// A service, and what is wanted of it.
pub struct Source {
    feed: Box<dyn Feed>,
    wants: Vec<Wanted>,
    /// Nothing is sent before.
    not_before: DateTime<Utc>,
    /// Broken exchanges in a row.
    broken: u32,
    /// Answers *too many* in a row.
    too_many: u32,
    /// Seeds the jitter.
    seed: u64,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "source {} of {} zones", self.feed.name(), self.wants.len())
    }
}

#[derive(Debug)]
struct Wanted {
    zone: String,
    theirs: String,
    signal: Signal,
    due: DateTime<Utc>,
    /// The answer that is being put together, and how many requests it took.
    open: Option<(Want, u32)>,
    /// Never again: the key is refused.
    off: bool,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Send that, and say what came of it under this number.
    Send(usize, Request),
    /// Nothing until then.
    Wait(DateTime<Utc>),
    /// Something went wrong without a request.
    Failed(usize, FeedError),
}

/// What became of one want.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// Our name of the zone.
    pub zone: String,
    /// Intensity or price.
    pub signal: Signal,
    /// Values, or why there are none.
    pub result: Result<Told, FeedError>,
}

impl Source {
    /// Asks `feed` for these zones (ours, theirs), the first in `now`, then one a second.
    #[must_use]
    pub fn new(feed: Box<dyn Feed>, zones: &[(String, String, Signal)], seed: u64, now: DateTime<Utc>) -> Self {
        let wants = zones.iter().enumerate().map(|(n, (zone, theirs, signal))| Wanted {
            zone: zone.clone(),
            theirs: theirs.clone(),
            signal: *signal,
            due: now + TimeDelta::seconds(i64::try_from(n).unwrap_or(0)),
            open: None,
            off: false,
        });
        Self { wants: wants.collect(), feed, not_before: now, broken: 0, too_many: 0, seed }
    }

    /// As shown to people.
    #[must_use]
    pub fn name(&self) -> &str {
        self.feed.name()
    }

    /// How it wants to be treated.
    #[must_use]
    pub fn manners(&self) -> &Manners {
        self.feed.manners()
    }

    /// Whether it is only probed, after many broken exchanges.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.broken >= OPENS
    }

    /// A number between 0 and 1, another one each time, the same on every run.
    fn chance(&mut self) -> f64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as f64 / f64::from(u32::MAX >> 1)
    }

    /// A time 20 % shorter to 20 % longer.
    fn about(&mut self, time: TimeDelta) -> TimeDelta {
        let factor = 0.8 + 0.4 * self.chance();
        TimeDelta::milliseconds((time.num_milliseconds() as f64 * factor) as i64)
    }

    /// What to do now.
    pub fn next(&mut self, now: DateTime<Utc>) -> Next {
        let ready = self.wants.iter().enumerate().filter(|(_, want)| !want.off);
        // An answer that was begun is finished first.
        let Some((at, due)) =
            ready.map(|(n, want)| (n, want.due)).min_by_key(|(n, due)| (self.wants[*n].open.is_none(), *due, *n))
        else {
            return Next::Wait(now + TimeDelta::hours(1));
        };
        let start = due.max(self.not_before);
        if start > now {
            return Next::Wait(start);
        }
        let wanted = &self.wants[at];
        let (want, asked) = wanted.open.clone().unwrap_or_else(|| {
            let (zone, theirs) = (wanted.zone.clone(), wanted.theirs.clone());
            (Want { zone, theirs, signal: wanted.signal, from: now - BACK, until: now + AHEAD }, 0)
        });
        if asked >= REQUESTS {
            return Next::Failed(at, FeedError::Refused(format!("{REQUESTS} requests and still no whole answer")));
        }
        match self.feed.ask(&want, now) {
            Ask::Send(request) => {
                self.not_before = now + self.feed.manners().gap;
                self.wants[at].open = Some((want, asked + 1));
                Next::Send(at, request)
            }
            Ask::NotBefore(then) => {
                self.wants[at].due = then.max(now + TimeDelta::seconds(1));
                Next::Wait(self.wants[at].due)
            }
            Ask::Never(error) => Next::Failed(at, error),
        }
    }

    /// What came of a request. `None`: the answer is not whole yet.
    pub fn heard(&mut self, at: usize, reply: Result<Reply, FeedError>, now: DateTime<Utc>) -> Option<News> {
        let (want, _) = self.wants.get(at)?.open.clone()?;
        let result = match reply.and_then(|reply| self.feed.hear(&want, &reply, now)) {
            Ok(Heard::AskAgain) => {
                self.wants[at].due = now;
                return None;
            }
            Ok(Heard::Series(told)) => Ok(told),
            Err(error) => Err(error),
        };
        Some(self.settle(at, result, now))
    }

    /// Ends an answer, whole or not, and decides when the next is asked for.
    pub fn settle(&mut self, at: usize, result: Result<Told, FeedError>, now: DateTime<Utc>) -> News {
        self.wants[at].open = None;
        let due = match &result {
            Ok(_) | Err(FeedError::NoData(_) | FeedError::Refused(_)) => {
                (self.broken, self.too_many) = (0, 0);
                self.next_poll(now)
            }
            Err(FeedError::Misconfigured(_) | FeedError::Plan(_)) => now + MISCONFIGURED,
            Err(FeedError::Key(_)) => {
                self.wants[at].off = true;
                now
            }
            Err(FeedError::TooMany(seconds)) => {
                let own = self.feed.manners().after_429 * (1 << self.too_many.min(10));
                self.too_many += 1;
                let wait = match seconds.and_then(|seconds| i64::try_from(seconds).ok()) {
                    Some(seconds) => TimeDelta::seconds(seconds.max(1)),
                    None => self.about(own),
                };
                // It speaks of the address, not of the zone: nobody is asked before.
                self.not_before = now + wait.min(LONGEST_429);
                self.not_before
            }
            Err(FeedError::Down(_)) => {
                let wait = (FIRST_WAIT * (1 << self.broken.min(10))).min(LONGEST_WAIT);
                self.broken = self.broken.saturating_add(1);
                let wait = if self.is_open() { LONGEST_WAIT } else { wait };
                let wait = self.about(wait);
                if self.is_open() {
                    self.not_before = now + wait;
                }
                now + wait
            }
        };
        let wanted = &mut self.wants[at];
        wanted.due = due;
        News { zone: wanted.zone.clone(), signal: wanted.signal, result }
    }

    /// The next boundary of the poll, its delay, and a jitter that keeps sites apart.
    fn next_poll(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        let (poll, delay) = (self.feed.manners().poll, self.feed.manners().delay);
        let jitter = TimeDelta::milliseconds((self.chance() * 0.1 * poll.num_milliseconds() as f64) as i64);
        let boundary = now.duration_trunc(poll).unwrap_or(now) + poll;
        boundary + delay + jitter
    }
}

#[cfg(test)]
mod tests;
