//! The switch that ends holding in a queue whose waits do not keep their word: too many held jobs missed their finish-by,
//! or what was measured says that waiting made things worse. It knows outcomes, and nothing of plans.
//!
//! After Radovanović et al., "Carbon-Aware Computing for Datacenters" (IEEE Trans. Power Systems 38(2), 2023), whose
//! shaping also switches itself off until it can be trusted again.

use chrono::{DateTime, TimeDelta, Utc};
use neap_model::units::GramsCo2e;
use std::collections::VecDeque;

/// Missed finish-bys count for so long …
const DAY: TimeDelta = TimeDelta::hours(24);
/// … and trip the switch from so many on …
const MISSED: usize = 3;
/// … if they are more than one in so many of the jobs that were held.
const ONE_IN: usize = 100;
/// Savings are summed up over that time, and holding goes on after so long without a breach.
const WEEK: TimeDelta = TimeDelta::days(7);
/// Fewer measured jobs than that prove nothing.
const PROOF: usize = 3;

/// How a job ended that had been held for the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// When it ended.
    pub at: DateTime<Utc>,
    /// Whether it missed its finish-by.
    pub missed: bool,
    /// What it emitted as measured, and what it would have if it had run at once; `None`: not metered.
    pub emits: Option<(GramsCo2e, GramsCo2e)>,
}

/// Why a queue does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// So many of so many held jobs missed their finish-by within 24 h.
    Missed { missed: usize, of: usize },
    /// Held jobs emitted that much over 7 days, instead of less.
    Worse { emits: GramsCo2e, instead_of: GramsCo2e },
}

/// The switch of one queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trip {
    ended: VecDeque<Held>,
    breach: Option<(DateTime<Utc>, Cause)>,
}

impl Trip {
    /// A held job ended. Outcomes come in the order of their ends.
    pub fn ended(&mut self, held: Held) {
        self.off(held.at); // what is long over does not count against this one
        self.ended.push_back(held);
        while self.ended.front().is_some_and(|first| held.at - first.at > WEEK) {
            self.ended.pop_front();
        }
        if let Some(cause) = self.breaks(held.at) {
            self.breach = Some((held.at, cause));
        }
    }

    /// Why the queue does not hold now, and since when nothing more happened; `None`: it holds. Seven days after the last
    /// breach it holds again, and what was before is forgotten.
    pub fn off(&mut self, now: DateTime<Utc>) -> Option<(DateTime<Utc>, Cause)> {
        if self.breach.is_some_and(|(at, _)| now - at >= WEEK) {
            *self = Self::default();
        }
        self.breach
    }

    fn breaks(&self, now: DateTime<Utc>) -> Option<Cause> {
        let today = || self.ended.iter().filter(|held| now - held.at < DAY);
        let (missed, of) = (today().filter(|held| held.missed).count(), today().count());
        if missed >= MISSED && missed * ONE_IN > of {
            return Some(Cause::Missed { missed, of });
        }
        let measured: Vec<_> = self.ended.iter().filter_map(|held| held.emits).collect();
        let (emits, instead_of): (GramsCo2e, GramsCo2e) =
            measured.iter().fold((GramsCo2e::ZERO, GramsCo2e::ZERO), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (measured.len() >= PROOF && emits > instead_of).then_some(Cause::Worse { emits, instead_of })
    }
}

#[cfg(test)]
mod tests;
