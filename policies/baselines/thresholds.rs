//! Rules without forecasts: run while the intensity is at or below a threshold, and without regard to it when time is
//! up.
//!
//! The problem they were made for has k units of work, T slots and two bounds, `low ≤ I ≤ high`, which the rule must
//! believe. What a run costs there is the sum of its intensities plus a price for each switch on and off.

mod k_min;
mod one_min;
mod opr;
mod optimum;

pub use k_min::KMin;
pub use one_min::OneMin;
pub use opr::Opr;
pub use optimum::optimum;

use super::moments::{end, through, within};
use super::{Lengths, Rule};
use crate::replay::{Place, Ran, TraceJob, quantile};

/// What a threshold rule must say.
pub trait Threshold {
    /// The highest intensity at which unit `unit` (counted from 1) runs.
    fn at(&self, unit: usize, running: bool) -> f64;
}

/// In which slots a job of `units` runs. Forced: when there are as many slots left as units, it runs.
pub fn walk(intensity: &[f64], units: usize, rule: &dyn Threshold) -> Vec<bool> {
    let (mut done, mut running) = (0, false);
    let decide = |(slot, grams): (usize, &f64)| {
        let forced = intensity.len() - slot <= units - done;
        running = done < units && (forced || *grams <= rule.at(done + 1, running));
        done += usize::from(running);
        running
    };
    intensity.iter().enumerate().map(decide).collect()
}

/// Sum of the intensities of the slots that run, and `switching` for each switch on and each switch off. A job is off
/// before the first slot and behind the last.
#[must_use]
pub fn cost(intensity: &[f64], runs: &[bool], switching: f64) -> f64 {
    let sum: f64 = intensity.iter().zip(runs).filter(|(_, on)| **on).map(|(grams, _)| grams).sum();
    let inside = runs.windows(2).filter(|w| w[0] != w[1]).count();
    let ends = [runs.first(), runs.last()].into_iter().filter(|on| on.is_some_and(|on| *on)).count();
    sum + switching * (inside + ends) as f64
}

/// The root of a function that is negative at 1 and rises through zero somewhere above; 1 if it is not negative there.
fn root_above_one(f: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (1.0, 2.0);
    if f(low) >= 0.0 {
        return low;
    }
    while f(high) < 0.0 && high < 1e12 {
        (low, high) = (high, high * 2.0);
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if f(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

const MONTH: f64 = 30.0 * 24.0 * 3600.0;
/// Price of a switch in a replay, as a part of the mean intensity of a slot.
const SWITCHING: f64 = 0.05;

/// Runs a job of a trace at home. The bounds are the 2nd and 98th percentile of what was measured in the 30 days
/// before it came (of the trace; the present value if there is nothing else), a unit is a step of the curve, a switch
/// costs 5 % of the mean of those days. It runs without regard to the intensity once the believed length only just
/// fits.
pub(super) fn replay(rule: Rule, place: &Place, job: &TraceJob, lengths: Lengths) -> Ran {
    let believed = lengths.of(job);
    let step = place.curve.step();
    let units = ((believed / step).ceil() as usize).max(1);
    let (low, high, mean) = bounds(place, job.arrival);
    let threshold: Box<dyn Threshold> = match rule {
        Rule::OneMin => Box::new(OneMin::new(low, high)),
        Rule::KMin => Box::new(KMin::new(units, low, high)),
        _ => Box::new(Opr::new(units, low, high, SWITCHING * mean)),
    };
    let due = (job.arrival + believed + job.slack.max(0.0)).min(end(&place.curve).max(job.arrival + believed));
    let (mut left, mut running) = (believed, false);
    let mut runs = Vec::new();
    for moment in within(&place.curve, job.arrival, due) {
        let unit = (((believed - left) / step) as usize + 1).min(units);
        running = moment.grams <= threshold.at(unit, running);
        let from = if running { moment.from } else { moment.from.max(due - left) };
        if from < moment.until && left > 0.0 {
            let until = moment.until.min(from + left);
            runs.push((from, until));
            left -= until - from;
            running = true;
        }
    }
    through(job, &runs)
}

/// Second and 98th percentile and mean of the values whose steps began within the month up to that second.
fn bounds(place: &Place, second: f64) -> (f64, f64, f64) {
    let (start, step, values) = (place.curve.start(), place.curve.step(), place.curve.values());
    let steps = |at: f64| ((at - start) / step).floor().max(-1.0) + 1.0;
    let until = (steps(second) as usize).clamp(1, values.len());
    let from = (steps(second - MONTH) as usize).min(until - 1);
    let mut seen = values[from..until].to_vec();
    seen.sort_by(f64::total_cmp);
    (quantile(&seen, 0.02), quantile(&seen, 0.98), seen.iter().sum::<f64>() / seen.len() as f64)
}
