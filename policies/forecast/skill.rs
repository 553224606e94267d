//! How well forecasts did, by how far ahead they looked: kept as sums, so that it can be carried on and put together.

use super::HORIZON;
use serde::{Deserialize, Serialize};

/// Where the horizons are cut, in hours.
const CUTS: [usize; 4] = [6, 24, 48, 96];

/// Below that many g/kWh an error is not reckoned as a share of the truth.
const SHARE_FROM: f64 = 20.0;

/// Errors over one range of horizons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    hours: u64,
    absolute: f64,
    signed: f64,
    shares: f64,
    shared: u64,
    /// Absolute errors of the same hour yesterday.
    yesterday: f64,
}

impl Bucket {
    /// Hours that were judged.
    #[must_use]
    pub const fn hours(&self) -> u64 {
        self.hours
    }

    fn mean(&self, sum: f64) -> Option<f64> {
        (self.hours > 0).then(|| sum / self.hours as f64)
    }

    /// Mean absolute error in g/kWh.
    #[must_use]
    pub fn mae(&self) -> Option<f64> {
        self.mean(self.absolute)
    }

    /// Mean of forecast less truth in g/kWh.
    #[must_use]
    pub fn bias(&self) -> Option<f64> {
        self.mean(self.signed)
    }

    /// Mean absolute error as a share of the truth, of hours with at least 20 g/kWh.
    #[must_use]
    pub fn mape(&self) -> Option<f64> {
        (self.shared > 0).then(|| self.shares / self.shared as f64)
    }

    /// 1 less the error over that of the same hour yesterday: 0 is no better, 1 is perfect.
    #[must_use]
    pub fn skill(&self) -> Option<f64> {
        (self.yesterday > 0.0).then(|| 1.0 - self.absolute / self.yesterday)
    }
}

/// How forecasts of one feed for one zone did, at 0–6, 6–24, 24–48 and 48–96 hours ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Skill {
    buckets: [Bucket; CUTS.len()],
}

impl Skill {
    /// Judges a forecast once the truth has settled. `said`, `truth` and `yesterday` are by hour ahead in g/kWh, `yesterday`
    /// the last known value of the same hour of the day at the issue; what is not known is left out.
    pub fn judge(&mut self, said: &[Option<f64>], truth: &[Option<f64>], yesterday: &[Option<f64>]) {
        for h in 0..HORIZON.min(said.len()).min(truth.len()) {
            let (Some(said), Some(truth)) = (said[h], truth[h]) else { continue };
            let Some(bucket) = CUTS.iter().position(|cut| h < *cut) else { continue };
            let bucket = &mut self.buckets[bucket];
            bucket.hours += 1;
            bucket.absolute += (said - truth).abs();
            bucket.signed += said - truth;
            if truth >= SHARE_FROM {
                bucket.shares += (said - truth).abs() / truth;
                bucket.shared += 1;
            }
            if let Some(Some(yesterday)) = yesterday.get(h) {
                bucket.yesterday += (yesterday - truth).abs();
            }
        }
    }

    /// By horizon: the first hour, the last hour (excluded), and the errors.
    pub fn buckets(&self) -> impl Iterator<Item = (usize, usize, &Bucket)> {
        let starts = [0].into_iter().chain(CUTS);
        starts.zip(CUTS).zip(&self.buckets).map(|((from, until), bucket)| (from, until, bucket))
    }

    /// The error of the day ahead as a share of the truth.
    #[must_use]
    pub fn day_ahead(&self) -> Option<f64> {
        let day = &self.buckets[..2];
        let (shares, hours) = day.iter().fold((0.0, 0), |(sum, n), b| (sum + b.shares, n + b.shared));
        (hours > 0).then(|| shares / hours as f64)
    }
}
