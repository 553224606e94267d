//! When a feed is asked: after its own clock, with the manners it wants, and ever more rarely while it fails.
//!
//! A table of what is due, moved along by what happened; it has no clock, sends nothing and knows no content.

use super::feed::{FeedError, Manners, Signal};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;

/// First wait after a failure; doubled with each further one.
const FIRST_RETRY: TimeDelta = TimeDelta::seconds(2);
/// Longest wait after failures, and the time between probes while the circuit is open.
const LONGEST_RETRY: TimeDelta = TimeDelta::minutes(5);
/// So many failures in a row open the circuit.
const CIRCUIT: u32 = 5;
/// Longest wait after a 429, whatever it asks for.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(1);
/// After an answer that says that we ask wrongly.
const MISCONFIGURED: TimeDelta = TimeDelta::hours(1);
/// After an answer that says that the plan of the key leaves something out.
const NOT_IN_PLAN: TimeDelta = TimeDelta::hours(6);
/// Least time between two requests, whatever a feed's manners allow.
const LEAST_GAP: TimeDelta = TimeDelta::seconds(1);
/// Most requests of one exchange: tokens, pages.
const PARTS: u32 = 40;
/// Requests of one feed that may be on their way at a time, so that a zone that hangs delays no other.
const TOGETHER: usize = 4;
/// Far enough away to mean: not before something happens.
const NEVER: TimeDelta = TimeDelta::days(3_650);

/// One thing that is asked of a feed: a zone by our name, and what of it.
pub type Lane = (String, Signal);

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask for this.
    Ask(Lane),
    /// Nothing before then, unless a reply comes.
    Wait(DateTime<Utc>),
}

/// How an exchange ended, as far as the schedule cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With values.
    Values,
    /// It goes on with a further request.
    GoesOn,
    /// Not yet: the provider itself wants to wait.
    NotBefore(DateTime<Utc>),
    /// With an error.
    Failed(FeedError),
}

#[derive(Clone, Debug)]
struct Track {
    due: DateTime<Utc>,
    flying: bool,
    failures: u32,
    parts: u32,
}

/// The schedule of one feed.
#[derive(Clone, Debug)]
pub struct Schedule {
    manners: Manners,
    seed: u64,
    lanes: BTreeMap<Lane, Track>,
    /// No request at all before.
    free: DateTime<Utc>,
    /// 429s in a row.
    throttled: u32,
    /// Failures in a row, of all lanes.
    failures: u32,
    /// While the circuit is open: when the next probe may go.
    probe: Option<DateTime<Utc>>,
    stopped: bool,
    drawn: u64,
}

impl Schedule {
    /// Everything is due at once, one after the other. `seed` spreads the sites of this world over the minute; equal seeds give
    /// equal schedules.
    #[must_use]
    pub fn new(manners: Manners, lanes: impl IntoIterator<Item = Lane>, seed: u64, now: DateTime<Utc>) -> Self {
        let track = |lane| (lane, Track { due: now, flying: false, failures: 0, parts: 0 });
        Self {
            manners,
            seed,
            lanes: lanes.into_iter().map(track).collect(),
            free: now,
            throttled: 0,
            failures: 0,
            probe: None,
            stopped: false,
            drawn: 0,
        }
    }

    /// What to do at `now`.
    #[must_use]
    pub fn next(&self, now: DateTime<Utc>) -> Next {
        let flying = self.lanes.values().filter(|track| track.flying).count();
        if self.stopped || flying >= if self.probe.is_some() { 1 } else { TOGETHER } {
            return Next::Wait(now + NEVER);
        }
        let idle = self.lanes.iter().filter(|(_, track)| !track.flying);
        let Some((lane, track)) = idle.min_by_key(|(_, track)| track.due) else { return Next::Wait(now + NEVER) };
        let at = track.due.max(self.free).max(self.probe.unwrap_or(track.due));
        if at <= now { Next::Ask(lane.clone()) } else { Next::Wait(at) }
    }

    /// A request for `lane` goes out.
    pub fn sent(&mut self, lane: &Lane, now: DateTime<Utc>) {
        self.free = self.free.max(now + self.manners.gap.max(LEAST_GAP));
        if let Some(probe) = &mut self.probe {
            *probe = now + LONGEST_RETRY;
        }
        if let Some(track) = self.lanes.get_mut(lane) {
            track.flying = true;
            track.parts += 1;
        }
    }

    /// What `lane` asked for came to something. Says what it failed with, should the schedule itself end the exchange.
    pub fn ended(&mut self, lane: &Lane, how: &Ended, now: DateTime<Utc>) -> Option<FeedError> {
        let endless = *how == Ended::GoesOn && self.lanes.get(lane).is_some_and(|track| track.parts >= PARTS);
        if endless {
            let error = FeedError::Refused(format!("its answer has more than {PARTS} parts"));
            self.ended(lane, &Ended::Failed(error.clone()), now);
            return Some(error);
        }
        let due = match how {
            Ended::GoesOn => now,
            Ended::NotBefore(at) => (*at).max(now + LEAST_GAP),
            Ended::Values => self.poll(lane, now),
            Ended::Failed(error) => self.after(lane, error, now),
        };
        let reached = !matches!(how, Ended::NotBefore(_) | Ended::Failed(FeedError::Down(_) | FeedError::TooMany(_)));
        if reached {
            (self.failures, self.probe, self.throttled) = (0, None, 0);
        }
        if let Some(track) = self.lanes.get_mut(lane) {
            (track.due, track.flying) = (due, false);
            if !matches!(how, Ended::GoesOn | Ended::NotBefore(_)) {
                track.parts = 0;
            }
            if reached {
                track.failures = 0;
            }
        }
        None
    }

    fn after(&mut self, lane: &Lane, error: &FeedError, now: DateTime<Utc>) -> DateTime<Utc> {
        match error {
            FeedError::Misconfigured(_) => now + MISCONFIGURED,
            FeedError::Plan(_) => now + NOT_IN_PLAN,
            FeedError::NoData(_) | FeedError::Refused(_) => self.poll(lane, now),
            FeedError::Key(_) => {
                self.stopped = true;
                now + NEVER
            }
            FeedError::TooMany(wait) => {
                self.throttled += 1;
                let wait = match wait {
                    Some(seconds) => TimeDelta::seconds(i64::try_from(*seconds).unwrap_or(i64::MAX / 1_000_000)),
                    None => self.spread(doubled(self.manners.after_429, self.throttled, LONGEST_WAIT)),
                };
                let until = now + wait.clamp(LEAST_GAP, LONGEST_WAIT);
                self.free = self.free.max(until);
                until
            }
            FeedError::Down(_) => {
                self.failures += 1;
                let failures = self.lanes.get_mut(lane).map_or(1, |track| {
                    track.failures += 1;
                    track.failures
                });
                // A service that still answers for another zone is not out of order as a whole.
                if self.failures >= CIRCUIT && self.lanes.values().all(|track| track.failures > 0) {
                    self.probe = Some(now + LONGEST_RETRY);
                }
                let wait =
                    if failures < CIRCUIT { doubled(FIRST_RETRY, failures, LONGEST_RETRY) } else { LONGEST_RETRY };
                now + self.spread(wait)
            }
        }
    }

    /// The next poll of a lane: the provider's boundary, its delay, and the lane's own few seconds.
    fn poll(&self, lane: &Lane, now: DateTime<Utc>) -> DateTime<Utc> {
        let poll = self.manners.poll.max(TimeDelta::seconds(10)).num_seconds();
        let most = (poll / 20).clamp(1, 30);
        let own = i64::try_from(mixed(self.seed ^ hashed(lane)) % (most as u64 + 1)).unwrap_or(0);
        let shift = self.manners.delay.num_seconds() + own;
        let at = ((now.timestamp() - shift).div_euclid(poll) + 1) * poll + shift;
        DateTime::from_timestamp(at, 0).unwrap_or(now + self.manners.poll)
    }

    /// ± 20 %, seeded.
    fn spread(&mut self, wait: TimeDelta) -> TimeDelta {
        self.drawn += 1;
        let per_mille = 800 + i64::try_from(mixed(self.seed.wrapping_add(self.drawn)) % 401).unwrap_or(200);
        TimeDelta::milliseconds(wait.num_milliseconds() / 1_000 * per_mille)
    }

    /// Whether only probes go out.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.probe.is_some()
    }

    /// Whether it is never asked again: its key was refused.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// When a lane's values stop being fresh: with the poll after the next.
    #[must_use]
    pub fn fresh(&self, fetched: DateTime<Utc>) -> DateTime<Utc> {
        fetched + self.manners.poll * 2 + TimeDelta::seconds(30)
    }
}

fn doubled(first: TimeDelta, times: u32, most: TimeDelta) -> TimeDelta {
    first.checked_mul(1 << times.saturating_sub(1).min(20)).map_or(most, |wait| wait.min(most))
}

/// FNV-1a, 64 bits: the same on every machine.
#[must_use]
pub fn hashed_text(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn hashed(lane: &Lane) -> u64 {
    hashed_text(&lane.0) ^ u64::from(lane.1 == Signal::Price)
}

/// One step of splitmix64: a number that looks drawn.
#[must_use]
pub fn mixed(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
