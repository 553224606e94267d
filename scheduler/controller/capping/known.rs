//! What was seen of a job at limits and ceilings: as it is reckoned with, and as it is written down.

use crate::controller::state::Job;
use neap_model::cap::CapPoint;
use neap_model::units::{Megahertz, Percent, Watts};
use neap_policies::power::{Curve, Key, Point};

pub(super) fn key_of(job: &Job, board: String) -> Key {
    Key { project: job.spec.project.clone(), name: job.spec.name.clone(), board }
}

pub(super) fn percent(ratio: f64) -> Percent {
    // A ratio of two positive measured figures; a thousand times is far beyond any board.
    Percent((ratio.clamp(0.0, 1_000.0) * 1e5).round() as u32)
}

pub(super) fn curve(points: &[CapPoint]) -> Curve {
    Curve::new(points.iter().filter(|point| point.clock_ceiling.is_none()).map(seen))
}

pub(super) fn seen(point: &CapPoint) -> Point {
    let rate = point.steps_per_kilosecond as f64 / 1e3;
    Point { limit: point.limit, rate, power: point.power.in_base() }
}

pub(super) fn points(curve: &Curve) -> Vec<CapPoint> {
    curve.points().iter().map(|point| written(None, point)).collect()
}

pub(super) fn written(clock_ceiling: Option<Megahertz>, point: &Point) -> CapPoint {
    let whole = |value: f64| value.round().max(0.0) as u64;
    CapPoint {
        limit: point.limit,
        clock_ceiling,
        steps_per_kilosecond: whole(point.rate * 1e3),
        power: Watts(whole(point.power * 1e3)),
    }
}
