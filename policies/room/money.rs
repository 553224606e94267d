//! Prices as jobs go by them that may wait for cheaper hours. The planner weighs whole numbers that are not negative, so where
//! prices fall below zero all of a currency are counted from its lowest one; what people are told is the money itself.

use crate::integral::Integral;
use crate::problem::{Site, Tariff};
use chrono::TimeDelta;
use neap_model::grid::{Grade, Quantity, Series, Span};
use neap_model::units::Intensity;
use std::sync::Arc;

/// Prices are looked at over so long from now on.
const AHEAD: TimeDelta = TimeDelta::days(8);
/// Means are taken over what is known of so long from now on.
const A_DAY: TimeDelta = TimeDelta::days(1);

/// The prices of one zone as they are weighed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Money {
    /// From zero or from the lowest price on, in a unit in which their mean is that of the intensities.
    pub weighed: Series,
    pub integral: Arc<Integral>,
    /// As they are told.
    pub tariff: Option<Arc<Tariff>>,
    /// The place of the first zone with the same currency; a zone without prices is like no other.
    pub kind: usize,
}

/// The prices of every zone. `carbon` are its intensities as they are weighed: so that sums over jobs which go by the one and
/// by the other are of a size, prices are brought to their level. Counting from the lowest price makes savings look
/// smaller, never larger.
pub(super) fn of(site: &Site, carbon: &[Arc<Series>]) -> Vec<Arc<Money>> {
    let until = site.now + AHEAD;
    let all = site.zones.iter().enumerate().map(|(index, state)| {
        let Some(tariff) = &state.prices else { return Arc::new(Money { kind: index, ..Money::default() }) };
        let like = |other: &crate::problem::ZoneState| {
            other.prices.as_ref().filter(|other| other.currency == tariff.currency).cloned()
        };
        let kind = site.zones.iter().position(|other| like(other).is_some()).unwrap_or(index);
        let same: Vec<_> = site.zones.iter().filter_map(like).collect();
        let lowest =
            same.iter().flat_map(|tariff| tariff.series.within(site.now, until)).map(|span| span.value.steps());
        let floor = lowest.min().unwrap_or(0).min(0);
        let mean = same.iter().find_map(|tariff| tariff.series.mean(site.now, site.now + A_DAY));
        let mean = mean.map(|mean| (mean.value.steps() - floor) as f64).filter(|mean| *mean > 0.0);
        let level = carbon.iter().find_map(|curve| curve.mean(site.now, site.now + A_DAY));
        let level = level.map(|mean| mean.value.0 as f64).filter(|level| *level > 0.0);
        let factor = level.zip(mean).map_or(1.0, |(level, mean)| level / mean);
        // Hours that are over cost nobody anything any more.
        let spans = tariff.series.within(site.now, until).filter(|span| span.grade != Grade::Static);
        let weighed = Series::new(spans.map(|span| Span {
            from: span.from,
            until: span.until,
            value: Intensity(((span.value.steps() - floor).max(0) as f64 * factor).round() as u64),
            grade: span.grade,
        }));
        let integral = Arc::new(Integral::of(&weighed));
        Arc::new(Money { weighed, integral, tariff: state.prices.clone(), kind })
    });
    all.collect()
}
