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
/// A job that may be paused counts as known: its runs in pieces are weighed by the whole of their length, and one piece has
/// to be comparable with them. Prices are known for a day ahead or so, not more: of a job that goes by them no run counts
/// for longer than planned.
pub(crate) fn lengths(job: &Job, length: Seconds) -> Vec<Seconds> {
    let most = if by_price(job) { WHOLE } else { u32::MAX };
    let part = |share: &u32| {
        let part = u128::from(length.0) * u128::from((*share).min(most)) / u128::from(WHOLE);
        Seconds(u64::try_from(part).unwrap_or(u64::MAX).max(1))
    };
    match job.pause {
        None if !job.likely.is_empty() => job.likely.iter().map(part).collect(),
        _ => vec![length],
    }
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
        let known = job.likely.is_empty() || job.pause.is_some();
        let likely = if known { Vec::new() } else { lengths(job, length).into_iter().map(millis).collect() };
        Self::new(millis(length), likely)
    }

    pub fn new(planned: i64, likely: Vec<i64>) -> Self {
        let longest = likely.iter().copied().fold(planned, i64::max);
        Self { planned, longest, likely }
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
    use crate::problem::PauseTerms;
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
    fn a_job_that_may_be_paused_counts_as_known() {
        let mut job = job(1, 60);
        job.likely = Arc::new([250, 2_000]);
        job.pause = Some(PauseTerms { cost: Seconds::ZERO, least: Seconds::minutes(5) });
        assert_eq!(lengths(&job, Seconds(1_000)), [Seconds(1_000)]);
        assert_eq!(Lengths::of(&job, Seconds(1)), Lengths::new(1_000, Vec::new()));
    }
}
