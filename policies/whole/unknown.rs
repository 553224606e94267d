//! One contiguous job whose length nobody knows: the start with the least expected cost over the lengths its queue has
//! seen. It never plugs in a mean, and never looks at the job's own length.

use super::alone::{Window, best_place, earliest_of_equals, on_edges, run};
use crate::replay::{Case, Curve, Ran, TraceJob};

/// How many equally likely lengths stand for a queue.
pub const OUTCOMES: usize = 20;

/// Equally likely *remaining* lengths of a job that has run for `elapsed` seconds, from the lengths its queue has seen, in
/// seconds and rising: the quantiles ½/n, 1½/n … of those that ran longer, by linear interpolation (type 7).
///
/// Empty if no job of the queue ran longer: history then says nothing.
#[must_use]
pub fn outcomes(seen: &[f64], elapsed: f64) -> Vec<f64> {
    let mut left: Vec<f64> = seen.iter().map(|length| length - elapsed).filter(|&length| length > 0.0).collect();
    left.sort_by(f64::total_cmp);
    let Some(last) = left.len().checked_sub(1) else { return vec![] };
    let quantile = |outcome: usize| {
        let place = (outcome as f64 + 0.5) / OUTCOMES as f64 * last as f64;
        let below = place.floor() as usize;
        let above = (below + 1).min(last);
        left[below] + (place - below as f64) * (left[above] - left[below])
    };
    (0..OUTCOMES).map(quantile).collect()
}

/// The start with the least `kw · E[∫I] + waiting · hours waited` over equally likely lengths, the earliest of equals, and
/// that cost. Candidates are every hour from `earliest` and every edge of the curve up to `latest`.
#[must_use]
pub fn cheapest_expected(
    curve: &Curve,
    earliest: f64,
    latest: f64,
    lengths: &[f64],
    kw: f64,
    waiting: f64,
) -> (f64, f64) {
    let mut candidates = vec![];
    let mut hourly = earliest;
    while hourly <= latest {
        candidates.push(hourly);
        hourly += 3600.0;
    }
    on_edges(curve, &Window { earliest, latest, length: 0.0 }, 0.0, &mut candidates);
    candidates.sort_by(f64::total_cmp);
    let cost = |at: f64| {
        let sum: f64 = lengths.iter().map(|length| curve.integral(at, at + length)).sum();
        kw * sum / lengths.len().max(1) as f64 + waiting * (at - earliest) / 3600.0
    };
    let first = (earliest, cost(earliest));
    candidates.into_iter().fold(first, |best, at| earliest_of_equals(best, (at, cost(at))))
}

/// How every job runs when only its queue is known, with no limit on capacity. The history of a queue is the trace's own.
/// The start is at most the slack after the arrival, so whatever the length turns out to be, the job keeps its window.
#[must_use]
pub fn unknown(case: &Case, waiting: f64) -> Vec<Ran> {
    let queues = case.jobs.iter().map(|job| job.queue + 1).max().unwrap_or(0);
    let seen = |queue: usize| -> Vec<f64> {
        case.jobs.iter().filter(|job| job.queue == queue).map(|job| job.length).collect()
    };
    let lengths: Vec<Vec<f64>> = (0..queues).map(|queue| outcomes(&seen(queue), 0.0)).collect();
    let start = |job: &TraceJob| {
        let lengths = &lengths[job.queue];
        let latest = job.arrival + job.slack;
        best_place(case, job, |curve, kw| cheapest_expected(curve, job.arrival, latest, lengths, kw, waiting))
    };
    case.jobs.iter().map(|job| run(job, start(job))).collect()
}
