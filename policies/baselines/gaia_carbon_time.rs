//! GAIA's Carbon-Time: carbon saved per hour of completion time.

use super::Lengths;
use super::gaia_lowest_window::starts;
use super::moments::{cheaper, whole};
use crate::replay::{Place, Ran, TraceJob};

/// `argmax (C(0, L̂) − C(s, L̂)) / (s + L̂)` over s = 0, 1 … h up to the slack.
pub fn run(place: &Place, job: &TraceJob, lengths: Lengths) -> Ran {
    let believed = lengths.of(job);
    let cost = |start: f64| place.curve.integral(start, start + believed);
    let now = cost(job.arrival);
    let mut best = (0.0, job.arrival);
    for start in starts(place, job).skip(1) {
        let later = cost(start);
        let saved = (now - later) / (start - job.arrival + believed);
        if cheaper(later, now) && cheaper(best.0, saved) {
            best = (saved, start);
        }
    }
    whole(job, best.1)
}
