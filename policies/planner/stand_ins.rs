//! Jobs that are expected and have not come, each with a stand-in that is planned behind all who wait. The plan that is
//! best for all of them together is taken; then the stand-ins leave, and what they would have had is free.
//!
//! None of them keeps a job from its first start, makes one late or is spoken of in any decision.

use crate::arrivals::STAND_INS;
use crate::order::waits_for_grid;
use crate::problem::{Arrival, Job, Problem};
use crate::stamp::{later, stamp};
use chrono::{DateTime, Utc};
use neap_model::job::JobId;
use neap_model::seconds::Seconds;
use std::borrow::Cow;
use std::sync::Arc;

/// Stand-ins at most.
const MOST: u64 = STAND_INS as u64;

/// Their numbers begin there: no queue counts so far.
const FIRST: u64 = u64::MAX - (1 << 20);

/// Seconds of the hour that an [`Arrival`] speaks of, and thousandths of a job.
const HOUR: u64 = 3_600;
const ONE: u64 = 1_000;

/// Fractional parts of the golden ratio and of √2 in millionths: multiples of them fill the unit interval evenly (Weyl 1916),
/// so that a job expected in every fourth hour has its stand-in about every fourth hour.
const BY_HOUR: u64 = 618_034;
const BY_KIND: u64 = 414_214;
const WHOLE: u64 = 1_000_000;

/// Whether it stands for a job that has not come.
pub(super) const fn stands_in(job: JobId) -> bool {
    job.0 >= FIRST && job.0 < FIRST + MOST
}

/// The problem with its stand-ins among those who wait.
pub(super) fn joined(problem: &Problem) -> Cow<'_, Problem> {
    let those = stand_ins(problem);
    if those.is_empty() {
        return Cow::Borrowed(problem);
    }
    let mut all = problem.clone();
    all.waiting.extend(those);
    Cow::Owned(all)
}

/// Stand-ins are the same at every moment of an hour, less those whose time has passed; a rate that changes a little changes
/// few of them.
fn stand_ins(problem: &Problem) -> Vec<Arc<Job>> {
    let now = problem.site.now;
    // Nobody has to make way for them who has no choice when to run.
    if !problem.waiting.iter().any(|job| super::line::has_a_choice(problem, job)) {
        return Vec::new();
    }
    let coming = || problem.arrivals.iter().filter(|a| waits_for_grid(&a.like) && later(a.hour, Seconds(HOUR)) > now);
    let all: u64 = coming().map(|arrival| u64::from(arrival.count)).sum();
    let mut found: Vec<(DateTime<Utc>, &Arrival)> = Vec::new();
    for arrival in coming() {
        // One more for each may come of rounding; those behind the last that is taken are the latest.
        let count = u64::from(arrival.count) * (MOST * ONE).min(all) / all.max(1);
        let hour = stamp(arrival.hour).div_euclid(3_600_000).unsigned_abs();
        let phase = (hour * BY_HOUR + arrival.like.id.0.wrapping_mul(BY_KIND)) % WHOLE * ONE / WHOLE;
        let jobs = (count + phase) / ONE;
        let eligible = |index: u64| later(arrival.hour, Seconds((2 * index + 1) * HOUR / (2 * jobs)));
        found.extend((0..jobs).map(|index| (eligible(index), arrival)).filter(|(at, _)| *at > now));
    }
    found.sort_by_key(|(at, arrival)| (*at, arrival.like.id));
    found.truncate(STAND_INS);
    let stand_in = |(number, (at, arrival)): (u64, (DateTime<Utc>, &Arrival))| {
        let (id, priority, forced_by) = (JobId(number), i32::MIN, None);
        // Its latest start lies ahead, so that its turn is the last.
        let promised = Job { start_by: None, finish_by: None, done: Seconds::ZERO, ..(*arrival.like).clone() };
        Arc::new(Job { id, priority, submitted: at, eligible: at, blocked: None, forced_by, ..promised })
    };
    (FIRST..).zip(found).map(stand_in).collect()
}
