//! GAIA's Lowest-Window: the cheapest window of the believed length, among whole hours after arrival.

use super::Lengths;
use super::moments::{cheaper, end, whole};
use crate::replay::{Place, Ran, TraceJob};

/// `argmin C(s, L̂)` over s = 0, 1 … h up to the slack; the clock's hours play no part.
pub fn run(place: &Place, job: &TraceJob, lengths: Lengths) -> Ran {
    let believed = lengths.of(job);
    let mut best = (f64::INFINITY, job.arrival);
    for start in starts(place, job) {
        let cost = place.curve.integral(start, start + believed);
        if cheaper(cost, best.0) {
            best = (cost, start);
        }
    }
    whole(job, best.1)
}

/// The whole hours after arrival at which the job may start; behind the curve nothing changes any more.
pub fn starts(place: &Place, job: &TraceJob) -> impl Iterator<Item = f64> {
    let last = job.slack.max(0.0).min((end(&place.curve) - job.arrival).max(0.0) + 3600.0);
    let hours = (last / 3600.0).floor() as u64;
    let arrival = job.arrival;
    (0..=hours).map(move |hour| arrival + hour as f64 * 3600.0)
}
