//! Prices as jobs go by them that may wait for cheaper hours. The planner weighs whole numbers that are not negative, so where
//! prices fall below zero all of a currency are counted from its lowest one; what people are told is the money itself.
//!
//! What GPUs cost for an hour, whenever that hour is, stands beside it: it decides between GPUs and widths, and never by itself
//! when something runs.

use crate::integral::Integral;
use crate::machine::{MODELS, Machine};
use crate::problem::{Site, Tariff};
use chrono::TimeDelta;
use neap_model::grid::{Grade, Quantity, Series, Span};
use neap_model::units::{Intensity, Money as Amount};
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
    /// What a millisecond weighs that costs a billionth an hour, in thousandths of mW × PUE in thousandths × a weighed price.
    weight: u128,
    /// How far zero lies above the lowest price, as it is weighed.
    lift: u128,
    /// The highest price of a GPU-hour of all zones with the same currency.
    dearest: Option<Amount>,
}

/// What a run on GPUs costs for as long as it holds them, whenever that is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hire {
    /// For one GPU and hour.
    pub hour: Amount,
    /// For one GPU and millisecond, as it is weighed.
    rate: u128,
}

impl Money {
    /// What the GPUs of a node there cost, by its models.
    pub fn hires(&self, machine: &Machine) -> [Hire; MODELS] {
        let mut hires = [Hire::default(); MODELS];
        for (hire, model) in hires.iter_mut().zip(&machine.models) {
            let stated = self.tariff.as_ref().and_then(|tariff| tariff.gpu_hour(&model.name));
            let Some(hour) = stated.or(self.dearest) else { continue };
            let rate = u128::from(hour.0.max(0).unsigned_abs()).saturating_mul(self.weight) / 1_000;
            *hire = Hire { hour, rate };
        }
        hires
    }

    /// What so many GPUs cost for so many milliseconds, as it is weighed, less what the energy of that counts too much where prices
    /// are counted from one below zero.
    pub fn hire(&self, hire: &Hire, gpus: u32, millis: u128, power: u128) -> u128 {
        let whole = hire.rate.saturating_mul(u128::from(gpus)).saturating_mul(millis);
        whole.saturating_sub(self.lift.saturating_mul(power).saturating_mul(millis))
    }
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
        let dearest = same.iter().flat_map(|tariff| &tariff.gpu_hours).map(|(_, price)| *price).max();
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
        let lift = (floor.unsigned_abs() as f64 * factor).round() as u128;
        // A billionth is 3.6 × 10¹² of mW × PUE in thousandths × thousandths per MWh × milliseconds, and an hour 3.6 × 10⁶ of these.
        let weight = (factor * 1e9).round() as u128;
        Arc::new(Money { weighed, integral, tariff: state.prices.clone(), kind, weight, lift, dearest })
    });
    all.collect()
}
