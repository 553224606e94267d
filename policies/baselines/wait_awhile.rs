//! Wait Awhile: the cheapest moments of the window, suspended and resumed at will; or its cheapest unbroken stretch.

use super::Lengths;
use super::moments::{cheaper, end, through, whole, within};
use crate::replay::{Place, Ran, TraceJob};

/// Takes exactly the believed length, cheapest moments first, the earlier of equals; the last one from its beginning.
pub fn run(place: &Place, job: &TraceJob, lengths: Lengths) -> Ran {
    let believed = lengths.of(job);
    let mut moments = within(&place.curve, job.arrival, job.arrival + believed + job.slack.max(0.0));
    moments.sort_by(|a, b| a.grams.total_cmp(&b.grams).then(a.from.total_cmp(&b.from)));
    let mut left = believed;
    let mut taken = Vec::new();
    for moment in moments {
        if left <= 0.0 {
            break;
        }
        let seconds = (moment.until - moment.from).min(left);
        taken.push((moment.from, moment.from + seconds));
        left -= seconds;
    }
    taken.sort_by(|a, b| a.0.total_cmp(&b.0));
    through(job, &taken)
}

/// The start whose stretch of the believed length is cheapest. Between starts at which neither end meets a step of the
/// curve the cost is linear, so those starts and both ends of the window are all there is to try.
pub fn contiguous(place: &Place, job: &TraceJob, lengths: Lengths) -> Ran {
    let curve = &place.curve;
    let believed = lengths.of(job);
    let latest = (job.arrival + job.slack.max(0.0)).min(end(curve).max(job.arrival));
    let edges =
        |shift: f64| within(curve, job.arrival + shift, latest + shift).into_iter().map(move |m| m.from - shift);
    let mut starts: Vec<f64> = edges(0.0).chain(edges(believed)).chain([job.arrival, latest]).collect();
    starts.retain(|start| *start >= job.arrival && *start <= latest);
    starts.sort_by(f64::total_cmp);
    let mut best = (f64::INFINITY, job.arrival);
    for start in starts {
        let cost = curve.integral(start, start + believed);
        if cheaper(cost, best.0) {
            best = (cost, start);
        }
    }
    whole(job, best.1)
}
