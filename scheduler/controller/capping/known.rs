//! What was seen of a job at limits and ceilings: as it is reckoned with, and as it is written down.

use crate::controller::state::Job;
use neap_model::cap::CapPoint;
use neap_model::embodied::Factors;
use neap_model::job::JobSpec;
use neap_model::units::{GpuSeconds, Megahertz, Percent, Watts};
use neap_policies::power::{Curve, Key, Point};

pub(super) fn key_of(job: &Job, board: String) -> Key {
    key_for(&job.spec, board)
}

pub(super) fn key_for(spec: &JobSpec, board: String) -> Key {
    Key { project: spec.project.clone(), name: spec.name.clone(), board }
}

/// What the making of the hardware that a job holds comes to, as watts a GPU at that many g/kWh with all that the facility adds:
/// going slower holds it for longer, which on a clean grid weighs more than what that saves. 0 where the site states nothing.
pub(super) fn making_watts(factors: Option<&Factors>, (gpus, cores): (u64, u64), grams_per_kwh: f64) -> f64 {
    // An hour of what it holds.
    let hour = factors.and_then(|factors| factors.of(GpuSeconds(gpus * 3_600), cores * 3_600));
    let making = hour.map_or(0.0, |embodied| embodied.emits.in_base());
    // Grams an hour by grams a kilowatt-hour are kilowatts.
    if grams_per_kwh > 0.0 { making / grams_per_kwh * 1e3 / gpus.max(1) as f64 } else { 0.0 }
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
