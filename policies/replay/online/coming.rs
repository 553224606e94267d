//! Jobs that have not come yet, as an even stream learned from those that have: they make later slots dearer, and nothing
//! of what they are given is ever done.
//!
//! It knows the jobs that came by now and nothing of the trace behind them. Little history makes a thin stream.

use super::super::TraceJob;

/// Hours of nothing that history is mixed with, so that the first hours do not promise a flood.
const DOUBT: f64 = 24.0;
/// Hours ahead that the stream is looked at.
const AHEAD: usize = 24;
/// Lengths in hours at which jobs are told apart.
const CUTS: [f64; 3] = [2.0, 8.0, 24.0];

/// What is expected to come in an hour, of jobs of like length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stream {
    /// GPUs together, for the work of one hour's arrivals over their mean length.
    pub gpus: f64,
    /// Mean length, by work, in hours.
    pub hours: f64,
    /// Mean slack, by work, in hours.
    pub slack: f64,
}

/// Streams of the jobs that came in so many hours, times `strength`.
pub(super) fn streams<'a>(came: impl Iterator<Item = &'a TraceJob>, hours: f64, strength: f64) -> Vec<Stream> {
    // GPU-hours, and those times length and slack.
    let mut sums = [[0.0; 3]; CUTS.len() + 1];
    for job in came {
        let length = job.length / 3600.0;
        let work = job.width * length;
        let sum = &mut sums[CUTS.iter().filter(|cut| length >= **cut).count()];
        for (sum, part) in sum.iter_mut().zip([1.0, length, job.slack / 3600.0]) {
            *sum += work * part;
        }
    }
    let stream = |[work, length, slack]: [f64; 3]| {
        let (hours_each, slack) = (length / work, slack / work);
        Stream { gpus: strength * work / (hours + DOUBT) / hours_each, hours: hours_each, slack }
    };
    sums.into_iter().filter(|sum| sum[0] > 0.0).map(stream).collect()
}

/// When the arrivals of the next hours come, in hours from now: the middle of each hour.
pub(super) fn releases() -> impl Iterator<Item = f64> {
    (0..AHEAD).map(|hour| hour as f64 + 0.5)
}

#[cfg(test)]
mod tests {
    use super::{TraceJob, streams};

    fn job(length: f64, width: f64, slack: f64) -> TraceJob {
        TraceJob { arrival: 0.0, length, width, slack, assumed: length, queue: 0, home: 0 }
    }

    #[test]
    fn a_stream_carries_its_share_of_the_work_and_history_must_earn_it() {
        let jobs = [job(3600.0, 2.0, 7200.0), job(1800.0, 4.0, 3600.0), job(36_000.0, 1.0, 86_400.0)];
        let found = streams(jobs.iter(), 24.0, 0.5);
        assert_eq!(found.len(), 2, "one of short jobs, one of long ones");
        // 4 GPUh of short jobs and 10 of a long one in 24 h, mixed with as many hours of nothing.
        assert_eq!((found[0].hours, found[0].slack), (0.75, 1.5));
        assert!((found[0].gpus * found[0].hours - 0.5 * 4.0 / 48.0).abs() < 1e-12);
        assert!((found[1].gpus * found[1].hours - 0.5 * 10.0 / 48.0).abs() < 1e-12);
        let fresh = streams(jobs.iter(), 0.0, 0.5);
        assert!((fresh[0].gpus / found[0].gpus - 2.0).abs() < 1e-12);
        assert_eq!(streams([].iter(), 100.0, 0.5), []);
    }
}
