//! What `simulate` was asked for, understood: every mistake in it is told at once.

mod read;

pub use read::Given;

use super::intensity::Reading;
use super::trace::Format;
use super::wanted::Wanted;
use crate::session::Problems;
use chrono::{DateTime, Utc};

/// Where in the grid data the trace begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// At the trace's own time, else at the first row.
    Natural,
    /// At that row, from 0.
    Row(usize),
    /// At that moment.
    At(DateTime<Utc>),
}

/// How many GPUs there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Capacity {
    /// As many as are wanted.
    Unlimited,
    /// So many in all zones together.
    Gpus(f64),
    /// That multiple of the mean demand.
    Mean(f64),
}

/// How long jobs may wait, by length: the first rule whose length is above the job's.
#[derive(Clone, Debug, PartialEq)]
pub struct Slack {
    /// (below that length, slack), lengths rising, in seconds.
    pub below: Vec<(f64, f64)>,
    /// All others, in seconds.
    pub rest: f64,
}

impl Slack {
    /// Queue (0: the shortest) and slack of a job of that length.
    #[must_use]
    pub fn of(&self, length: f64) -> (usize, f64) {
        let found = self.below.iter().enumerate().find(|(_, (below, _))| length < *below);
        found.map_or((self.below.len(), self.rest), |(queue, (_, slack))| (queue, *slack))
    }
}

/// What a policy knows of lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lengths {
    /// The truth.
    True,
    /// The mean of the job's queue.
    QueueMean,
    /// The lengths of the queue, as a distribution.
    Quantiles,
    /// What the owner asked for.
    Asked,
}

/// What a policy knows of the hours to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forecast {
    /// The truth.
    Perfect,
    /// The file's forecast as it stands.
    Column,
    /// The file's forecast, corrected for level and blended with what was measured on the days before; and what that got
    /// wrong over the last months.
    Blend,
    /// The same hour of the day before.
    Yesterday,
    /// The rule of that name over what was measured.
    DampLong,
    /// Nothing: all hours are like this one.
    Nothing,
}

/// What a slot can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Whole GPUs at every instant.
    Whole,
    /// Fractions, on the average of a slot.
    Divisible,
}

/// Where a job may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moves {
    /// In any zone at any time.
    Any,
    /// In one zone of its choice.
    Choose,
    /// At home.
    Home,
}

/// What GPUs that do nothing draw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Idle {
    /// Nothing is counted.
    Nothing,
    /// A paused job's GPUs wait for it and are charged to it.
    Attributed,
    /// All GPUs of the capacity, always.
    On,
    /// As above, but asleep after so many seconds.
    OffAfter(f64),
}

/// Power usage effectiveness.
#[derive(Clone, Debug, PartialEq)]
pub enum Pue {
    /// The same everywhere.
    All(f64),
    /// By zone; 1 where nothing is said.
    By(Vec<(String, f64)>),
}

impl Pue {
    /// Of a zone.
    #[must_use]
    pub fn of(&self, zone: &str) -> f64 {
        match self {
            Self::All(pue) => *pue,
            Self::By(some) => some.iter().find(|(name, _)| name == zone).map_or(1.0, |(_, pue)| *pue),
        }
    }
}

/// Everything that was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The trace; `None` with `synthetic`.
    pub trace: Option<String>,
    /// What it is written in.
    pub format: Format,
    /// The intensity file.
    pub carbon: String,
    /// A second series, shown beside.
    pub marginal: Option<String>,
    /// How the files are understood.
    pub reading: Reading,
    /// Home of all jobs.
    pub home: Option<String>,
    /// Where the trace begins.
    pub start: Start,
    /// How many GPUs there are.
    pub capacity: Capacity,
    /// A list of nodes in place of it.
    pub nodes: Option<String>,
    /// How long jobs may wait.
    pub slack: Slack,
    /// What is known of lengths.
    pub lengths: Lengths,
    /// Jobs are known when they come.
    pub online: bool,
    /// What is known of the hours to come.
    pub forecast: Forecast,
    /// How far ahead a forecast without issue times is trusted, in seconds.
    pub trusted: Option<f64>,
    /// From issue to use, in seconds.
    pub lag: f64,
    /// Jobs may pause.
    pub interruptible: bool,
    /// What a slot can hold.
    pub model: Model,
    /// Length of a slot, in seconds.
    pub slot: f64,
    /// Where a job may run.
    pub moves: Moves,
    /// A shared GPU counts whole.
    pub whole_gpus: bool,
    /// Arrivals and lengths are cut to whole steps of so many seconds; 0: not.
    pub truncate: f64,
    /// Price of an hour of waiting, as a share of mean intensity × one GPU's kW.
    pub wait_price: f64,
    /// Power of a GPU, in watts.
    pub watts: f64,
    /// What idle GPUs draw.
    pub idle: Idle,
    /// Idle power of a GPU, in watts.
    pub idle_watts: f64,
    /// Power usage effectiveness.
    pub pue: Pue,
    /// What a pause costs: seconds run again, and kWh.
    pub pause_cost: (f64, f64),
    /// The policies.
    pub policies: Vec<String>,
    /// Of chance.
    pub seed: u64,
    /// Conditions under which to fail.
    pub wanted: Vec<Wanted>,
    /// Where the picture goes.
    pub plot: Option<String>,
    /// So many jobs of the built-in test, in so many zones.
    pub synthetic: Option<(usize, usize)>,
    /// How long planning took is told.
    pub timing: bool,
}

impl Options {
    /// From what was typed.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn of(given: Given<'_>) -> Result<Self, Problems> {
        read::options(given)
    }
}

#[cfg(test)]
mod tests;
