//! What a plan is charged besides energy, and what is fixed before it is made.

use crate::replay::{Case, Curve, Segment, TraceJob};

/// What is charged besides energy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// An hour between arrival and start, in grams, the same for every job.
    pub waiting: f64,
    /// A GPU-hour behind the end of the window, in grams.
    pub late: f64,
}

impl Terms {
    /// With that price of waiting, and late work at ten times the dirtiest hour: it must never be a bargain.
    #[must_use]
    pub fn with_waiting(case: &Case, waiting: f64) -> Self {
        let dirtiest = |curve: &Curve| curve.values().iter().copied().fold(0.0, f64::max);
        let most = case.places.iter().map(|place| place.pue * dirtiest(&place.curve)).fold(0.0, f64::max);
        Self { waiting, late: 10.0 * most * case.kw_per_gpu }
    }

    /// What a job costs that starts in a place at that second, in grams.
    #[must_use]
    pub fn cost(&self, case: &Case, job: &TraceJob, place: usize, start: f64) -> f64 {
        let zone = &case.places[place];
        let energy = job.width * case.kw_per_gpu * zone.pue * zone.curve.integral(start, start + job.length);
        energy + self.waiting * (start - job.arrival).max(0.0) / 3600.0 + self.late * late_gpu_hours(job, start)
    }
}

/// GPU-hours of a job behind the end of its window if it starts then.
#[must_use]
pub fn late_gpu_hours(job: &TraceJob, start: f64) -> f64 {
    job.width * (start - job.arrival - job.slack).clamp(0.0, job.length) / 3600.0
}

/// What nobody can change when a plan is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing<'a> {
    /// Nothing starts before that second.
    pub now: f64,
    /// By job, its run if it has started; jobs behind the end of the list have not.
    pub started: &'a [Option<Segment>],
}

impl Standing<'_> {
    /// Nothing has started, and every job may start when it comes.
    pub const NOTHING: Self = Self { now: f64::NEG_INFINITY, started: &[] };

    /// The run of a job that has started.
    #[must_use]
    pub fn run(&self, job: usize) -> Option<Segment> {
        self.started.get(job).copied().flatten()
    }
}

impl Default for Standing<'_> {
    fn default() -> Self {
        Self::NOTHING
    }
}
