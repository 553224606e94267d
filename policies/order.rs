//! Who goes first, and until when a job may wait.

use crate::problem::Job;
use crate::stamp::{Stamp, earlier, later, stamp};
use chrono::{DateTime, Utc};
use neap_model::job::{JobId, Objective, OnExpire};
use neap_model::seconds::Seconds;
use std::cmp::Reverse;

/// The planning length, of the longest of its ways; a job takes at least a second.
pub(crate) fn length(job: &Job) -> Seconds {
    job.length.max(Seconds(1))
}

/// Whether the job consented to wait for cleaner or for cheaper hours. A forced job does not wait whatever it consented to.
pub(crate) fn waits_for_grid(job: &Job) -> bool {
    may_wait(job) && job.forced_by.is_none()
}

/// How long it takes at best, on any GPUs.
pub(crate) fn quickest(job: &Job) -> Seconds {
    job.ways.iter().map(|way| way.length).min().unwrap_or(job.length).max(Seconds(1))
}

/// The last end that a job consents to which could end at `end` after a run of `length` milliseconds. No slowdown makes it
/// miss its finish-by.
pub(crate) fn slowed(job: &Job, end: Stamp, length: i64) -> Stamp {
    let more = i128::from(length) * i128::from(job.slowdown.0) / 100_000;
    let slowed = end.saturating_add(i64::try_from(more).unwrap_or(i64::MAX));
    job.finish_by.map_or(slowed, |by| slowed.min(stamp(by)).max(end))
}

/// The start that a person asked for. It speaks of the first one.
pub(crate) fn start_by(job: &Job) -> Option<DateTime<Utc>> {
    job.start_by.filter(|_| job.done == Seconds::ZERO)
}

/// Whether it is cheaper hours that the job may wait for.
pub(crate) fn by_price(job: &Job) -> bool {
    job.delay.objective == Objective::Price
}

/// Whether the job consented to wait for the grid at all.
pub(crate) fn may_wait(job: &Job) -> bool {
    matches!(job.delay.objective, Objective::Carbon | Objective::Price)
}

/// From then on the job starts whatever the grid does, as soon as there is room.
///
/// It is the earliest of start-by, finish-by less the planning length and, for a job that may be delayed for carbon or money,
/// the time it became eligible plus its longest delay and the work that is done already, so that all waiting together
/// stays within that delay. `None`: the job promised nothing.
#[must_use]
pub fn latest_start(job: &Job) -> Option<DateTime<Utc>> {
    let delayed = may_wait(job).then(|| later(later(job.eligible, job.delay.max), job.done));
    let in_time = job.finish_by.map(|by| earlier(by, length(job)));
    [start_by(job), delayed, in_time].into_iter().flatten().min()
}

/// Whether the job is to be dropped: its finish-by can no longer be met and it asked not to run late.
#[must_use]
pub fn expired(job: &Job, now: DateTime<Utc>) -> bool {
    job.on_expire == OnExpire::Drop && job.finish_by.is_some_and(|by| later(now, quickest(job)) > by)
}

/// Which turn a job has. The variants are in the order of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    /// A person forced its start.
    Forced,
    /// Its latest start has come.
    Overdue,
    /// Everybody else.
    Ordinary,
}

pub(crate) fn turn(job: &Job, now: DateTime<Utc>) -> Turn {
    if job.forced_by.is_some() {
        Turn::Forced
    } else if latest_start(job).is_some_and(|latest| latest <= now) {
        Turn::Overdue
    } else {
        Turn::Ordinary
    }
}

/// The sort key of the queue: turn, then the higher priority, the earlier submission and the lower number.
pub(crate) type Rank = (Turn, Reverse<i32>, DateTime<Utc>, JobId);

pub(crate) fn rank(job: &Job, now: DateTime<Utc>) -> Rank {
    (turn(job, now), Reverse(job.priority), job.submitted, job.id)
}
