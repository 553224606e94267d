//! Curves on which room has its price: what a job pays for the room it takes is added to the intensity of its hours, so
//! that the search for clean hours finds cheap ones without knowing that room is priced.

use super::certificate::{CELL, Prices};
use crate::integral::Integral;
use crate::machine::Shape;
use crate::order::by_price;
use crate::problem::Job;
use crate::room::{Counts, Room};
use crate::stamp::{Stamp, stamp, time};
use neap_model::grid::{Series, Span};
use neap_model::units::Intensity;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Jobs whose power per unit of room differs by less than that factor share a curve: an eighth of a doubling.
const CLASSES: f64 = 8.0;

/// A zone, whether it is about money, whether it is about GPUs, the class of power per unit of room, and those of what its node
/// shares.
type Class = (usize, bool, bool, i32, Vec<(usize, i32)>);

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

    /// Whether power that the node shares has a price.
    pub(super) fn dear(&self, room: &Room, node: usize) -> bool {
        let Some((prices, _)) = self.prices else { return false };
        let power = room.nodes[node].under.iter().filter(|(_, counts)| *counts == Counts::Draws);
        power.filter_map(|(shared, _)| prices.shared.get(*shared)).flatten().any(|price| *price > 0.0)
    }

    /// The curve of a node that may run it, for a job of that shape.
    pub fn of(&self, room: &Room, node: usize, shape: &Shape, job: &Job) -> Arc<Integral> {
        let node = &room.nodes[node];
        let Some(zone) = node.zone else { return Arc::default() };
        let there = &room.zones[zone];
        let (curve, integral) = there.goes_by(job);
        let Some((prices, share)) = self.prices else { return Arc::clone(integral) };
        let units = if job.gpus > 0 { f64::from(shape.gpus()) } else { f64::from(shape.need.cpus) };
        let power = there.rate(shape) as f64;
        if power <= 0.0 || units <= 0.0 {
            return Arc::clone(integral);
        }
        let class = |units: f64| ((power / units).log2() * CLASSES).round() as i32;
        // For one hour: mW × thousandths × mg/kWh is 10⁶ of the finest steps of grams.
        let factor = |class: i32| share * 1e6 / (f64::from(class) / CLASSES).exp2();
        let shared = node.takes(&shape.need, shape.draws);
        let shared: Vec<(usize, i32)> =
            shared.map(|(shared, takes)| (shared, class(room.shared[shared].unit() * takes as f64))).collect();
        let class = (zone, by_price(job), job.gpus > 0, class(units), shared);
        let mut known = self.made.borrow_mut();
        if let Some(made) = known.get(&class) {
            return Arc::clone(made);
        }
        let cells = prices.cells.get(zone).map_or(&[][..], |kinds| &kinds[usize::from(job.gpus == 0)]);
        let mut cells: Vec<f64> = cells.iter().map(|price| price * factor(class.3)).collect();
        for (shared, class) in &class.4 {
            let more = prices.shared.get(*shared).map_or(&[][..], Vec::as_slice);
            cells.iter_mut().zip(more).for_each(|(cell, price)| *cell += price * factor(*class));
        }
        let made = Arc::new(Integral::of(&dearer(curve, prices.start, &cells)));
        known.insert(class, Arc::clone(&made));
        made
    }
}

/// The curve with what the cell costs added to each of its hours.
fn dearer(curve: &Series, start: Stamp, cells: &[f64]) -> Series {
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
            let more = price.map_or(0, |price| price.round() as u64);
            let value = Intensity(span.value.0.saturating_add(more));
            spans.push(Span { from: time(from), until: time(end), value, grade: span.grade });
            from = end;
        }
    }
    Series::new(spans)
}
