//! Jobs as a trace states them, before anything is assumed about them.

use super::text::File;
use super::{gaia, jsonl, openb, swf};
use crate::session::Problems;
use chrono::{DateTime, Utc};

/// What a trace may be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `arrival_time,length,cpus` in seconds.
    GaiaSeconds,
    /// The same header, in hours.
    GaiaHours,
    /// Standard Workload Format.
    Swf,
    /// Pods of a Kubernetes cluster with GPUs.
    Openb,
    /// Our own history, a `neap.job/1` a line.
    Jsonl,
}

impl Format {
    /// All, by their words.
    pub const ALL: [(&str, Self); 5] = [
        ("gaia-s", Self::GaiaSeconds),
        ("gaia-h", Self::GaiaHours),
        ("swf", Self::Swf),
        ("openb", Self::Openb),
        ("jsonl", Self::Jsonl),
    ];

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, format)| *format == self).map_or("", |(word, _)| *word)
    }
}

/// A job. Times are seconds from the trace's second 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Job {
    /// Its name in the trace, where it has one.
    pub name: String,
    /// When it came.
    pub arrival: f64,
    /// How long it ran.
    pub length: f64,
    /// GPUs, or what the trace counts.
    pub width: f64,
    /// How long its owner said it would run.
    pub asked: Option<f64>,
    /// It is one of those that may not be delayed at all.
    pub urgent: bool,
    /// How long it may be delayed, where the trace says so.
    pub slack: Option<f64>,
    /// Its end is the end of the trace: it may have been cut off.
    pub cut: bool,
    /// Where it ran.
    pub zone: Option<String>,
}

/// A trace, jobs by arrival.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// The moment of second 0, where the trace knows it.
    pub begins: Option<DateTime<Utc>>,
    /// What was left out or changed, and how often.
    pub counts: Vec<(&'static str, u64)>,
}

impl Trace {
    /// Puts jobs in order; ties stay as they were. Counts of zero are not told.
    #[must_use]
    pub fn new(mut jobs: Vec<Job>, begins: Option<DateTime<Utc>>, counts: &[(&'static str, u64)]) -> Self {
        jobs.sort_by(|a, b| a.arrival.total_cmp(&b.arrival));
        let counts = counts.iter().copied().filter(|(_, count)| *count > 0).collect();
        Self { jobs, begins, counts }
    }
}

/// Reads a trace.
///
/// # Errors
/// What is wrong with it, with the lines.
pub fn read(file: &File, format: Format, whole: bool) -> Result<Trace, Problems> {
    match format {
        Format::GaiaSeconds => gaia::read(file, gaia::Unit::Seconds),
        Format::GaiaHours => gaia::read(file, gaia::Unit::Hours),
        Format::Swf => swf::read(file),
        Format::Openb => openb::read(file, whole),
        Format::Jsonl => jsonl::read(file),
    }
}
