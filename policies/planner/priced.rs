//! Curves on which room has its price: what a job pays for the room it takes is added to the intensity of its hours, so
//! that the search for clean hours finds cheap ones without knowing that room is priced.

use super::certificate::{CELL, Prices};
use super::search::rate;
use crate::integral::Integral;
use crate::machine::Shape;
use crate::order::by_price;
use crate::problem::Job;
use crate::room::Room;
use crate::stamp::{Stamp, stamp, time};
use neap_model::grid::{Series, Span};
use neap_model::units::Intensity;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Jobs whose power per unit of room differs by less than that factor share a curve: an eighth of a doubling.
const CLASSES: f64 = 8.0;

/// A zone, whether it is about money, whether it is about GPUs, and the class of power per unit of room.
type Class = (usize, bool, bool, i32);

/// The curves a search goes by: the true ones, or those with a share of the prices of room added.
#[derive(Debug)]
pub(crate) struct Curves<'a> {
    prices: Option<(&'a Prices, f64)>,
    made: RefCell<BTreeMap<Class, Arc<Integral>>>,
}

impl<'a> Curves<'a> {
    /// Room costs nothing.
    pub fn true_ones() -> Self {
        Self { prices: None, made: RefCell::default() }
    }

    /// Room costs that share of its price.
    pub(super) fn at(prices: &'a Prices, share: f64) -> Self {
        Self { prices: Some((prices, share)), made: RefCell::default() }
    }

    /// The curve of a zone for a job of that shape.
    pub fn of(&self, room: &Room, zone: usize, shape: &Shape, job: &Job) -> Arc<Integral> {
        let there = &room.zones[zone];
        let (curve, integral) = there.goes_by(job);
        let Some((prices, share)) = self.prices else { return Arc::clone(integral) };
        let units = if job.gpus > 0 { f64::from(shape.gpus()) } else { f64::from(shape.need.cpus) };
        let power = rate(there, shape) as f64;
        if power <= 0.0 || units <= 0.0 {
            return Arc::clone(integral);
        }
        let step = ((power / units).log2() * CLASSES).round();
        let class = (zone, by_price(job), job.gpus > 0, step as i32);
        let mut known = self.made.borrow_mut();
        let made = known.entry(class).or_insert_with(|| {
            let cells = prices.cells.get(zone).map_or(&[][..], |kinds| &kinds[usize::from(job.gpus == 0)]);
            // For one hour: mW × thousandths × mg/kWh is 10⁶ of the finest steps of grams.
            let factor = share * 1e6 / (step / CLASSES).exp2();
            Arc::new(Integral::of(&dearer(curve, prices.start, cells, factor)))
        });
        Arc::clone(made)
    }
}

/// The curve with `factor` × the price of the cell added to each of its hours.
fn dearer(curve: &Series, start: Stamp, cells: &[f64], factor: f64) -> Series {
    let mut spans = Vec::with_capacity(curve.spans().len() + cells.len());
    for span in curve.spans() {
        let (mut from, until) = (stamp(span.from), stamp(span.until));
        while from < until {
            let cell = (from - start).div_euclid(CELL);
            let price = usize::try_from(cell).ok().and_then(|cell| cells.get(cell)).copied();
            let end = match price {
                Some(_) => until.min(start + (cell + 1) * CELL),
                None if from < start => until.min(start),
                None => until,
            };
            let more = price.map_or(0, |price| (price * factor).round() as u64);
            let value = Intensity(span.value.0.saturating_add(more));
            spans.push(Span { from: time(from), until: time(end), value, grade: span.grade });
            from = end;
        }
    }
    Series::new(spans)
}
