//! Replays a trace: what would have run when, under a rule, and what that emitted.
//!
//! A `Case` is the truth: arrivals, lengths and intensities. A rule gets of it what could be known at that moment. Times
//! are seconds from the beginning of the replay; nothing here reads a file or a clock.

mod curve;
pub mod online;
mod score;

pub use curve::Curve;
pub use score::{Score, Spread, quantile, score, unlimited};

/// A zone as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Measured intensity.
    pub curve: Curve,
    /// What was forecast for the same times, where the trace has it.
    pub forecast: Option<Curve>,
    /// Power usage effectiveness.
    pub pue: f64,
    /// GPUs; `None`: without limit.
    pub gpus: Option<f64>,
}

/// A job as it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceJob {
    /// When it came, in seconds.
    pub arrival: f64,
    /// How long it runs at its width and full power, in seconds.
    pub length: f64,
    /// GPUs.
    pub width: f64,
    /// How long it may be delayed, in seconds: its window is `[arrival, arrival + length + slack]`.
    pub slack: f64,
    /// The length its queue would assume, in seconds: the mean of its class.
    pub assumed: f64,
    /// Which length class (queue) it is in: 0 the shortest.
    pub queue: usize,
    /// Index of its home zone.
    pub home: usize,
}

/// A trace with everything that is true about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The zones, the first one home unless a job says otherwise.
    pub places: Vec<Place>,
    /// The jobs, by arrival.
    pub jobs: Vec<TraceJob>,
    /// Whether a job may run in zones other than its home.
    pub anywhere: bool,
    /// Power of one GPU with its share of the host, in kW.
    pub kw_per_gpu: f64,
}

/// A stretch of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// Begins then, in seconds.
    pub from: f64,
    /// Ends then, in seconds.
    pub until: f64,
    /// GPUs in use; in the divisible model any fraction of the width.
    pub gpus: f64,
    /// Index of the zone.
    pub place: usize,
}

/// How one job ran: its segments in the order of time. The end of the last is its exit.
pub type Ran = Vec<Segment>;

impl Case {
    /// Emissions of a segment, in grams.
    #[must_use]
    pub fn grams(&self, segment: &Segment) -> f64 {
        let place = &self.places[segment.place];
        segment.gpus * self.kw_per_gpu * place.pue * place.curve.integral(segment.from, segment.until)
    }
}
