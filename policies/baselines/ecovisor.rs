//! Ecovisor's threshold: run below the 30th percentile of the coming day, and wait only as long as the budget lasts.

use super::moments::{Moment, through, within};
use crate::replay::{Place, Ran, TraceJob};

const DAY: f64 = 24.0 * 3600.0;

/// θ is fixed at arrival. While the intensity is not below it the wait is spent; once it is spent the job runs on.
/// Patience without end that meets no such hour any more is no reason never to run: the rest goes on where it stopped.
pub fn run(place: &Place, job: &TraceJob) -> Ran {
    let threshold = percentile(within(&place.curve, job.arrival, job.arrival + DAY), 0.3 * DAY);
    let slack = job.slack.max(0.0);
    let (mut waited, mut left) = (0.0, job.length.max(0.0));
    let mut runs = Vec::new();
    for moment in within(&place.curve, job.arrival, job.arrival + job.length.max(0.0) + slack) {
        let waits = if moment.grams < threshold { 0.0 } else { (moment.until - moment.from).min(slack - waited) };
        waited += waits;
        let from = moment.from + waits;
        if from < moment.until && left > 0.0 {
            runs.push((from, moment.until));
            left -= moment.until - from;
        }
    }
    through(job, &runs)
}

/// The intensity below which at most so many seconds lie.
fn percentile(mut day: Vec<Moment>, seconds: f64) -> f64 {
    day.sort_by(|a, b| a.grams.total_cmp(&b.grams));
    let mut below = 0.0;
    let reached = day.iter().find(|moment| {
        below += moment.until - moment.from;
        below > seconds
    });
    reached.or(day.last()).map_or(f64::INFINITY, |moment| moment.grams)
}
