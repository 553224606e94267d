//! Checks runs of contiguous jobs on whole GPUs against the case alone. It does not know how they were found, and is naive
//! on purpose.

use crate::replay::{Case, Ran, Segment};

/// Something a plan must not do. Jobs and places are indices, times seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Breach {
    /// There are more or fewer runs than jobs.
    Count { jobs: usize, runs: usize },
    /// A job does not run in exactly one segment.
    NotOnce { job: usize, segments: usize },
    /// It does not hold exactly its width.
    Width { job: usize, gpus: f64 },
    /// It does not run exactly as long as it takes.
    Length { job: usize, seconds: f64 },
    /// It starts before it came.
    Early { job: usize, at: f64 },
    /// It runs where it may not.
    Place { job: usize, place: usize },
    /// It ends behind its window and is not reported late, or the other way round.
    Late { job: usize, until: f64, reported: bool },
    /// More GPUs are in use at that instant than there are.
    Room { place: usize, at: f64, gpus: f64 },
}

/// Times that differ by less are the same instant.
const INSTANT: f64 = 1e-6;

/// What is wrong with these runs; `late` are the jobs reported late, rising. Nothing is, if it is empty.
#[must_use]
pub fn check(case: &Case, ran: &[Ran], late: &[usize]) -> Vec<Breach> {
    let mut breaches = vec![];
    if ran.len() != case.jobs.len() {
        breaches.push(Breach::Count { jobs: case.jobs.len(), runs: ran.len() });
    }
    for (job, (truth, run)) in case.jobs.iter().zip(ran).enumerate() {
        let &[segment] = run.as_slice() else {
            breaches.push(Breach::NotOnce { job, segments: run.len() });
            continue;
        };
        let Segment { from, until, gpus, place } = segment;
        if gpus.total_cmp(&truth.width).is_ne() {
            breaches.push(Breach::Width { job, gpus });
        }
        // Written so that a value that is no number is a breach as well.
        let same_length = (until - from - truth.length).abs() <= INSTANT;
        if !same_length {
            breaches.push(Breach::Length { job, seconds: until - from });
        }
        if from < truth.arrival - INSTANT {
            breaches.push(Breach::Early { job, at: from });
        }
        if place >= case.places.len() || (place != truth.home && !case.anywhere) {
            breaches.push(Breach::Place { job, place });
        }
        let reported = late.contains(&job);
        if reported != (until > truth.arrival + truth.length + truth.slack + INSTANT) {
            breaches.push(Breach::Late { job, until, reported });
        }
    }
    for (place, zone) in case.places.iter().enumerate() {
        let Some(limit) = zone.gpus else { continue };
        breaches.extend(overfull(ran, place, limit.floor()));
    }
    breaches
}

/// Instants at which a place holds more than its whole GPUs, by a sweep over starts and ends.
fn overfull(ran: &[Ran], place: usize, limit: f64) -> Vec<Breach> {
    let here =
        || ran.iter().flatten().filter(|segment| segment.place == place && segment.until - segment.from > INSTANT);
    // An end counts an instant early, so that one run may begin where another ends.
    let starts = here().map(|segment| (segment.from, segment.gpus));
    let ends = here().map(|segment| (segment.until - INSTANT, -segment.gpus));
    let mut events: Vec<(f64, f64)> = starts.chain(ends).collect();
    events.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut gpus = 0.0;
    let mut breaches = vec![];
    for (at, change) in events {
        gpus += change;
        if change > 0.0 && gpus > limit + 1e-6 {
            breaches.push(Breach::Room { place, at, gpus });
        }
    }
    breaches
}
