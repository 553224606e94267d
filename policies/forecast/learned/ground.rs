//! A zone's history as issues: what was known at each of its hours, and what `damp_long` missed there.

use super::super::History;
use super::super::damp::{BLOCKS, DAY, Typical};
use super::issue::{Issue, NEEDS, Past, Vector};

/// A history that can be learned from.
pub(super) struct Ground<'a> {
    history: &'a History,
    past: Past,
}

impl<'a> Ground<'a> {
    /// `None` with less than 46 days, or where more than a quarter is missing.
    pub fn of(history: &'a History) -> Option<Self> {
        let raw = history.hours();
        let missing = raw.iter().filter(|value| value.is_nan()).count();
        (raw.len() >= NEEDS + 10 * DAY && missing * 4 <= raw.len()).then(|| Self { history, past: Past::of(raw) })
    }

    /// Hours of history. Hours are counted from its beginning.
    pub fn end(&self) -> usize {
        self.history.len()
    }

    fn is_weekend(&self, at: usize) -> bool {
        self.history.is_weekend(self.before(at))
    }

    fn before(&self, at: usize) -> i64 {
        i64::try_from(at).unwrap_or(0) - i64::try_from(self.end()).unwrap_or(0)
    }

    /// At the hour `at`, which lies `days` before the end, an hour more or less.
    pub fn issue(&self, at: usize, days: usize) -> Issue {
        let typical = Typical::of(&self.past.hours, at, |back| self.is_weekend(at - back));
        Issue::of(&self.past, at, days, typical, self.history.year_angle(self.before(at)))
    }

    /// What was known of the hour `h` ahead, from 1 on, and what `damp_long` said of it in g/kWh.
    pub fn seen(&self, issue: &Issue, h: usize) -> (Vector, f64) {
        let weekend = self.is_weekend(issue.at + (h - 1) / DAY * DAY);
        (issue.features(&self.past, h, weekend), issue.typical.ahead(h, weekend))
    }

    /// What was known of the hour `h` ahead, and what `damp_long` missed there in g/kWh; `None` where the truth is not known.
    pub fn lesson(&self, issue: &Issue, h: usize) -> Option<(Vector, f64)> {
        let truth = *self.history.hours().get(issue.at + h - 1).filter(|value| !value.is_nan())?;
        let (features, damped) = self.seen(issue, h);
        Some((features, truth - damped))
    }

    /// Mean square of what the four weeks before an issue were off its typical day.
    pub fn unrest(&self, issue: &Issue) -> f64 {
        let weeks = &self.past.hours[issue.at.saturating_sub(BLOCKS * DAY)..issue.at];
        let known = weeks.rchunks_exact(DAY).flat_map(|day| day.iter().zip(&issue.typical.day));
        known.map(|(hour, typical)| (hour - typical) * (hour - typical)).sum::<f64>() / weeks.len().max(1) as f64
    }
}
