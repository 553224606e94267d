//! GAIA's Lowest-Slot: one look at the hours ahead, and no idea how long the job is.

use super::moments::{end, whole};
use crate::replay::{Place, Ran, TraceJob};

/// Starts at the beginning of the cheapest step touched by `[arrival, arrival + slack]`; at once if that is the
/// present one.
pub fn run(place: &Place, job: &TraceJob) -> Ran {
    let curve = &place.curve;
    let latest = (job.arrival + job.slack.max(0.0)).min(end(curve));
    let mut best = (curve.at(job.arrival), job.arrival);
    let mut step = ((job.arrival - curve.start()) / curve.step()).floor().max(-1.0) + 1.0;
    while curve.start() + step * curve.step() <= latest {
        let start = curve.start() + step * curve.step();
        if curve.at(start) < best.0 {
            best = (curve.at(start), start);
        }
        step += 1.0;
    }
    whole(job, best.1)
}
