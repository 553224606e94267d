//! One contiguous job by itself: the start at which it costs least, exactly. It knows no capacity.

use crate::replay::{Case, Curve, Ran, Segment, TraceJob};

/// When a run may start and how long it takes, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Not before that; waiting counts from here.
    pub earliest: f64,
    /// Not after that.
    pub latest: f64,
    /// How long it runs.
    pub length: f64,
}

/// A start and what it costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Start {
    /// Index of the zone.
    pub place: usize,
    /// In seconds.
    pub at: f64,
    /// Energy and waiting, in grams.
    pub cost: f64,
}

/// A later start must be better by this share of the cost, or the earlier one stays: sums of the same hours in another
/// order differ by less.
const TIE: f64 = 1e-10;

/// The start in the window with the least `kw · ∫I + waiting · hours waited`, the earliest of equals, and that cost.
///
/// Between two starts at which neither the start nor the end passes an edge of the curve the cost is linear, so the
/// candidates are the starts and ends on edges and both ends of the window, and nothing is missed. `kw` is the power of
/// the run with PUE, `waiting` the price of an hour, in grams.
#[must_use]
pub fn cheapest_start(curve: &Curve, window: &Window, kw: f64, waiting: f64) -> (f64, f64) {
    let mut candidates = vec![window.earliest, window.latest.max(window.earliest)];
    on_edges(curve, window, 0.0, &mut candidates);
    on_edges(curve, window, window.length, &mut candidates);
    candidates.sort_by(f64::total_cmp);
    let cost = |at: f64| kw * curve.integral(at, at + window.length) + waiting * (at - window.earliest) / 3600.0;
    let first = (window.earliest, cost(window.earliest));
    candidates.into_iter().fold(first, |best, at| earliest_of_equals(best, (at, cost(at))))
}

/// The cheaper of two starts, each with its cost; the first one if they cost the same.
pub(super) fn earliest_of_equals(best: (f64, f64), next: (f64, f64)) -> (f64, f64) {
    if next.1 < best.1 - TIE * best.1.abs() { next } else { best }
}

/// Starts in the window at which the instant `offset` after the start falls on an edge of the curve.
pub(super) fn on_edges(curve: &Curve, window: &Window, offset: f64, into: &mut Vec<f64>) {
    let (step, last) = (curve.step(), curve.values().len() as f64);
    let number = |second: f64| (second + offset - curve.start()) / step;
    let mut edge = number(window.earliest).ceil().max(0.0);
    while edge <= number(window.latest).min(last) {
        let at = edge.mul_add(step, curve.start()) - offset;
        if at >= window.earliest && at <= window.latest {
            into.push(at);
        }
        edge += 1.0;
    }
}

/// The zone and start that cost a job least, among the zones it may use; its home of equals, then the first.
#[must_use]
pub fn cheapest_place(case: &Case, job: &TraceJob, waiting: f64) -> Start {
    let window = Window { earliest: job.arrival, latest: job.arrival + job.slack, length: job.length };
    best_place(case, job, |curve, kw| cheapest_start(curve, &window, kw, waiting))
}

/// The best zone under a rule that finds the best start and its cost in one zone.
pub(super) fn best_place(case: &Case, job: &TraceJob, rule: impl Fn(&Curve, f64) -> (f64, f64)) -> Start {
    let start = |place: usize| {
        let zone = &case.places[place];
        let (at, cost) = rule(&zone.curve, job.width * case.kw_per_gpu * zone.pue);
        Start { place, at, cost }
    };
    let away = (0..case.places.len()).filter(|&place| case.anywhere && place != job.home);
    away.map(start).fold(start(job.home), |best, next| if next.cost < best.cost { next } else { best })
}

/// How every job runs with its length known and no limit on capacity: once, at its cheapest start.
#[must_use]
pub fn known(case: &Case, waiting: f64) -> Vec<Ran> {
    case.jobs.iter().map(|job| run(job, cheapest_place(case, job, waiting))).collect()
}

/// The run of a job that starts there and goes on to its end.
pub(super) fn run(job: &TraceJob, start: Start) -> Ran {
    vec![Segment { from: start.at, until: start.at + job.length, gpus: job.width, place: start.place }]
}

/// What an hour of waiting costs, in grams: `factor` × the mean of PUE × intensity over all zones and the time in which
/// the jobs may run × the power of one GPU. It is the same for every job: large jobs then wait, and small ones do not.
/// The factor that is meant when nothing else is said is 0.05.
#[must_use]
pub fn price_of_waiting(case: &Case, factor: f64) -> f64 {
    let from = case.jobs.iter().map(|job| job.arrival).fold(f64::INFINITY, f64::min);
    let until = case.jobs.iter().map(|job| job.arrival + job.length + job.slack).fold(from, f64::max);
    if until - from <= 0.0 || !until.is_finite() {
        return 0.0;
    }
    let mean = |curve: &Curve| curve.integral(from, until) * 3600.0 / (until - from);
    let sum: f64 = case.places.iter().map(|place| place.pue * mean(&place.curve)).sum();
    factor * sum / case.places.len() as f64 * case.kw_per_gpu
}
