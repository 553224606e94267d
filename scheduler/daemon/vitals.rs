//! What the shell knows about itself, for metrics.

use std::collections::BTreeMap;
use std::time::Duration;

/// Upper bounds in seconds of how long syncs and plans take.
pub const SYNC_BOUNDS: [f64; 10] = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.064, 0.25, 1.0, 4.0];

/// How long something took, by bound.
#[derive(Clone, Debug, Default)]
pub struct Durations {
    /// Observations at or below each bound of [`SYNC_BOUNDS`], not cumulative; the last is everything above.
    pub counts: [u64; SYNC_BOUNDS.len() + 1],
    /// Their sum in seconds.
    pub sum: f64,
}

impl Durations {
    pub(super) fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let place = SYNC_BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(SYNC_BOUNDS.len());
        self.counts[place] += 1;
        self.sum += seconds;
    }
}

/// A source of grid data, as it was read last.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedVitals {
    /// The feed.
    pub feed: String,
    /// The zone.
    pub zone: String,
    /// Age of its newest value in seconds; `None`: it has none.
    pub age_seconds: Option<f64>,
    /// How the last reading ended: `ok`, or what kind of trouble.
    pub outcome: &'static str,
    /// Whether a service is only probed; `None` for a file.
    pub circuit_open: Option<bool>,
}

/// What is new about the sources of grid data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeedNews {
    /// How each fares for each zone.
    pub feeds: Vec<FeedVitals>,
    /// Exchanges with services and readings of files since the last time: feed and outcome.
    pub outcomes: Vec<(String, &'static str)>,
    /// How far forecasts were off.
    pub errors: crate::feeds::Errors,
}

/// What the shell knows about itself.
#[derive(Debug, Default)]
pub struct Vitals {
    /// Syncs of the journal.
    pub syncs: Durations,
    /// Full plans.
    pub plans: Durations,
    /// Frames the store is behind.
    pub store_lag: u64,
    /// Feeds, as read last.
    pub feeds: Vec<FeedVitals>,
    /// How far forecasts were off.
    pub forecast_errors: crate::feeds::Errors,
    /// Readings by feed and outcome.
    pub feed_reads: BTreeMap<(String, &'static str), u64>,
}

impl Vitals {
    pub(super) fn heard(&mut self, news: FeedNews) {
        for outcome in news.outcomes {
            *self.feed_reads.entry(outcome).or_default() += 1;
        }
        self.feeds = news.feeds;
        self.forecast_errors = news.errors;
    }
}
