//! Curves as they are weighed where zones of one site measure different things: each kind is brought to one level, so that
//! no zone looks clean only because less is counted there. Where all measure the same, nothing is touched.

use crate::problem::Site;
use chrono::TimeDelta;
use neap_model::grid::{Series, Span};
use neap_model::units::Intensity;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Means are taken over so long from now on: the planning horizon.
const AHEAD: TimeDelta = TimeDelta::days(7);

/// The curve of each zone as it is weighed. Zones that measure the same keep their ratios to one another; the zones of each
/// further kind are raised or lowered together until their mean over the next week is that of the first kind. What may
/// not be shifted on takes no part in a mean. A kind without a mean stays as it is.
///
/// Within a zone nothing changes but the unit, so its own hours compare as before.
pub(super) fn weighed(site: &Site) -> Vec<Arc<Series>> {
    let first = site.zones.first().map(|state| state.basis);
    if site.zones.iter().all(|state| Some(state.basis) == first) {
        return site.zones.iter().map(|state| Arc::clone(&state.curve)).collect();
    }
    // By kind: mg CO2e per kWh × milliseconds, and milliseconds.
    let mut sums: BTreeMap<usize, (u128, u128)> = BTreeMap::new();
    for state in &site.zones {
        let sum = sums.entry(state.basis).or_default();
        for span in state.curve.within(site.now, site.now + AHEAD).filter(|span| span.grade.may_shift()) {
            let millis = u128::from((span.until - span.from).num_milliseconds().unsigned_abs());
            *sum = (sum.0 + millis * u128::from(span.value.0), sum.1 + millis);
        }
    }
    let mean = |kind: usize| sums.get(&kind).filter(|(sum, _)| *sum > 0).map(|(sum, time)| *sum as f64 / *time as f64);
    let level = site.zones.iter().find_map(|state| mean(state.basis));
    let of = |state: &crate::problem::ZoneState| match level.zip(mean(state.basis)) {
        Some((level, mean)) if level.to_bits() != mean.to_bits() => Arc::new(scaled(&state.curve, level / mean)),
        _ => Arc::clone(&state.curve),
    };
    site.zones.iter().map(of).collect()
}

fn scaled(curve: &Series, factor: f64) -> Series {
    let value = |value: Intensity| Intensity((value.0 as f64 * factor).round() as u64);
    Series::new(curve.spans().iter().map(|span| Span { value: value(span.value), ..*span }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::tests::{at, hourly, zone};
    use crate::problem::ZoneState;
    use neap_model::grid::Grade;

    fn means(zones: Vec<ZoneState>) -> Vec<u64> {
        let site = Site { now: at(0), zones, nodes: Vec::new(), shared: Vec::new() };
        let mean = |curve: &Arc<Series>| curve.mean(at(0), at(120)).map_or(0, |mean| mean.value.0);
        weighed(&site).iter().map(mean).collect()
    }

    #[test]
    fn kinds_are_brought_to_one_level_and_their_zones_keep_their_ratios() {
        let of =
            |name, basis, values: &[u64]| ZoneState { basis, ..zone(name, false, hourly(values, Grade::Forecast)) };
        let all =
            |basis| vec![of("DE", 0, &[300, 500]), of("CAL", basis, &[900, 700]), of("TX", basis, &[1_200, 1_200])];
        assert_eq!(means(all(0)), [400_000, 800_000, 1_200_000], "alike: untouched");
        assert_eq!(means(all(1)), [400_000, 320_000, 480_000]);
        // Nothing is known of a kind but zero, or only a flat mean: there is nothing to level.
        let dark = vec![of("DE", 0, &[300, 500]), of("NO", 1, &[0, 0])];
        assert_eq!(means(dark), [400_000, 0]);
        let flat = ZoneState { basis: 1, ..zone("NY", false, hourly(&[200, 200], Grade::Static)) };
        assert_eq!(means(vec![of("DE", 0, &[300, 500]), flat]), [400_000, 200_000]);
        assert_eq!(means(Vec::new()), [0u64; 0]);
    }
}
