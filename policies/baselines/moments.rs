//! Stretches of constant intensity, and runs made of them.

use crate::replay::{Case, Curve, Place, Ran, Segment, TraceJob};

/// Seconds between two instants that are the same.
pub const SAME: f64 = 1e-6;

/// A stretch of time in which the intensity does not change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Begins then, in seconds.
    pub from: f64,
    /// Ends then, in seconds.
    pub until: f64,
    /// Intensity in g/kWh.
    pub grams: f64,
}

/// Whether one cost is truly below another. Integrals of equal stretches differ in their last digits, and a tie must
/// go to the earliest.
pub fn cheaper(a: f64, b: f64) -> bool {
    b - a > 1e-9 * a.abs()
}

/// First second behind the last value of a curve.
pub fn end(curve: &Curve) -> f64 {
    curve.start() + curve.step() * curve.values().len() as f64
}

/// The steps of a curve within `[from, until)`, the first and last cut to it. What lies outside of the curve is one
/// stretch on each side, so that a window without end costs nothing.
pub fn within(curve: &Curve, from: f64, until: f64) -> Vec<Moment> {
    let (start, step) = (curve.start(), curve.step());
    let last = curve.values().len() - 1;
    let index = |second: f64| (((second - start) / step).floor().max(0.0) as usize).min(last);
    let mut found = Vec::new();
    if from >= until || from.is_nan() || until.is_nan() {
        return found;
    }
    for (i, grams) in curve.values().iter().copied().enumerate().take(index(until) + 1).skip(index(from)) {
        let begins = if i == 0 { f64::NEG_INFINITY } else { start + i as f64 * step };
        let ends = if i == last { f64::INFINITY } else { start + (i + 1) as f64 * step };
        let moment = Moment { from: from.max(begins), until: until.min(ends), grams };
        if moment.until > moment.from {
            found.push(moment);
        }
    }
    found
}

/// Joins a segment to a run: it goes on with the last one where nothing but time passes between them.
pub fn join(ran: &mut Ran, next: Segment) {
    match ran.last_mut() {
        Some(last) if (next.from - last.until).abs() <= SAME && last.gpus == next.gpus && last.place == next.place => {
            last.until = next.until;
        }
        _ => ran.push(next),
    }
}

/// A run without a break.
pub fn whole(job: &TraceJob, start: f64) -> Ran {
    vec![Segment { from: start, until: start + job.length.max(0.0), gpus: job.width.max(0.0), place: job.home }]
}

/// Runs in these stretches, in the order of time, until the job is done; what is left then runs on behind the last.
pub fn through(job: &TraceJob, stretches: &[(f64, f64)]) -> Ran {
    let mut left = job.length.max(0.0);
    let (gpus, place) = (job.width.max(0.0), job.home);
    let mut ran = Ran::new();
    let mut last = job.arrival;
    for &(from, until) in stretches {
        let until = until.min(from + left);
        if left <= SAME {
            break;
        }
        join(&mut ran, Segment { from, until, gpus, place });
        left -= until - from;
        last = until;
    }
    if left > SAME || ran.is_empty() {
        join(&mut ran, Segment { from: last, until: last + left, gpus, place });
    }
    ran
}

/// Decides for every job alone, at home.
pub fn each(case: &Case, decide: impl Fn(&Place, &TraceJob) -> Ran) -> Vec<Ran> {
    let one = |job: &TraceJob| case.places.get(job.home).map_or_else(Ran::new, |place| decide(place, job));
    case.jobs.iter().map(one).collect()
}
