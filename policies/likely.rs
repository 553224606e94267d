//! How long a run may take whose length was learned: a few lengths, each as likely as the others.
//!
//! What is promised to others (room, ends, latest starts) goes by the planning length; what the run is expected to cost
//! is the mean over these.

use crate::order::by_price;
use crate::problem::Job;
use crate::stamp::millis;
use neap_model::seconds::Seconds;

/// The whole of a planning length, in the unit of [`Job::likely`].
const WHOLE: u32 = 1_000;

/// The equally likely lengths of a run that is planned with `length`, rising; `length` alone where it is known. Each takes at
/// least a second.
///
/// Prices are known for a day ahead or so, not more: of a job that goes by them no run counts for longer than planned.
pub(crate) fn lengths(job: &Job, length: Seconds) -> Vec<Seconds> {
    let most = if by_price(job) { WHOLE } else { u32::MAX };
    let part = |share: &u32| {
        let part = u128::from(length.0) * u128::from((*share).min(most)) / u128::from(WHOLE);
        Seconds(u64::try_from(part).unwrap_or(u64::MAX).max(1))
    };
    if job.likely.is_empty() { vec![length] } else { job.likely.iter().map(part).collect() }
}

/// The same in milliseconds, as integrals take them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lengths {
    /// Room is promised for so long. Positive.
    pub planned: i64,
    /// The curve has to be known for so long: the longest of all.
    pub longest: i64,
    /// Empty: it is `planned`.
    likely: Vec<i64>,
}

impl Lengths {
    /// Those of a job on a way that takes it `length`.
    pub fn of(job: &Job, length: Seconds) -> Self {
        let known = job.likely.is_empty();
        let likely = if known { Vec::new() } else { lengths(job, length).into_iter().map(millis).collect() };
        Self::new(millis(length), likely)
    }

    pub fn new(planned: i64, likely: Vec<i64>) -> Self {
        let longest = likely.iter().copied().fold(planned, i64::max);
        Self { planned, longest, likely }
    }

    /// Whether it takes just what is planned.
    pub fn is_known(&self) -> bool {
        self.likely.is_empty()
    }

    /// For how much of `[from, until)` of its run time it is expected to run still, times the number of its likely lengths.
    pub fn runs_within(&self, from: i64, until: i64) -> i64 {
        self.likely().iter().map(|length| (length.min(&until) - from).max(0)).sum()
    }

    /// One at least.
    pub fn likely(&self) -> &[i64] {
        if self.likely.is_empty() { std::slice::from_ref(&self.planned) } else { &self.likely }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::tests::job;
    use neap_model::job::Objective;
    use std::sync::Arc;

    #[test]
    fn lengths_are_shares_of_the_planning_length() {
        let mut job = job(1, 60);
        assert_eq!(lengths(&job, Seconds(1_000)), [Seconds(1_000)]);
        job.likely = Arc::new([0, 250, 1_000, 2_000]);
        assert_eq!(lengths(&job, Seconds(1_000)), [Seconds(1), Seconds(250), Seconds(1_000), Seconds(2_000)]);
        // Of a way that is twice as fast each is half as long.
        let half = Lengths::of(&job, Seconds(500));
        assert_eq!(half.likely(), [1_000, 125_000, 500_000, 1_000_000]);
        assert_eq!((half.planned, half.longest), (500_000, 1_000_000));
        assert_eq!(lengths(&job, Seconds(u64::MAX))[1..3], [Seconds(u64::MAX / 4), Seconds(u64::MAX)]);
        // Where prices decide none is longer than planned.
        job.delay.objective = Objective::Price;
        assert_eq!(lengths(&job, Seconds(1_000))[3], Seconds(1_000));
    }

    #[test]
    fn fewer_and_fewer_still_run() {
        let lengths = Lengths::new(100, vec![20, 60, 100, 160]);
        assert_eq!(
            [(0, 20), (20, 60), (60, 120), (150, 200)].map(|(a, b)| lengths.runs_within(a, b)),
            [80, 120, 100, 10]
        );
        assert_eq!(Lengths::new(100, Vec::new()).runs_within(40, 200), 60);
    }
}
