//! What no contiguous plan on whole GPUs can undercut: prices for room, and the bound they prove. It shares no code with
//! the search for a plan.
//!
//! With a price λ ≥ 0 for a GPU-hour in each place and time, every job alone costs at least its cheapest start, late ones
//! included, and a plan within capacity never pays more for room than λ × capacity. So
//! `Σ_j min (cost_j + λ·GPUh_j) − Σ λ·capacity` is at most the cost of every plan, whatever the prices are.

use super::dual::value;
use super::terms::{Standing, Terms};
use crate::replay::{Case, Curve};

/// Prices of room by place and cell of time, in grams a GPU-hour; zero outside.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomPrices {
    /// By place.
    pub places: Vec<Cells>,
}

/// Values that are constant within cells of equal length.
#[derive(Clone, Debug, PartialEq)]
pub struct Cells {
    /// Beginning of the first cell, in seconds.
    pub start: f64,
    /// Length of a cell, in seconds.
    pub cell: f64,
    /// One a cell.
    pub values: Vec<f64>,
}

impl Cells {
    /// The cell of an instant and the hours into it; instants outside count as the nearer end.
    pub(super) fn locate(&self, second: f64) -> (usize, f64) {
        let cells = ((second - self.start) / self.cell).clamp(0.0, self.values.len() as f64);
        let index = (cells.floor() as usize).min(self.values.len() - 1);
        (index, (cells - index as f64) * self.hours())
    }

    /// Length of a cell, in hours.
    pub(super) fn hours(&self) -> f64 {
        self.cell / 3600.0
    }
}

impl RoomPrices {
    /// Prices of zero for all times at which a job of the case may run, late ones as far as lateness can grow. No cell is
    /// longer than `longest` seconds (1 at least), and every step of a place's curve begins with a cell. Windows are finite.
    #[must_use]
    pub fn zero(case: &Case, longest: f64) -> Self {
        let from = case.jobs.iter().map(|job| job.arrival).fold(f64::INFINITY, f64::min);
        let until = case.jobs.iter().map(|job| job.arrival + job.slack + 2.0 * job.length).fold(from, f64::max);
        let cells = |curve: &Curve| {
            let cell = curve.step() / (curve.step() / longest.max(1.0)).ceil();
            if !until.is_finite() {
                return Cells { start: curve.start(), cell, values: vec![0.0] };
            }
            let start = ((from - curve.start()) / cell).floor() * cell + curve.start();
            Cells { start, cell, values: vec![0.0; ((until - start) / cell).floor() as usize + 1] }
        };
        Self { places: case.places.iter().map(|place| cells(&place.curve)).collect() }
    }
}

/// The bound that prices prove, in grams, with a margin for rounding: no plan of the same case, terms and standing runs
/// costs less. Prices below zero count as zero.
#[must_use]
pub fn bound(case: &Case, terms: &Terms, standing: &Standing<'_>, prices: &RoomPrices) -> f64 {
    let mut prices = prices.clone();
    for price in prices.places.iter_mut().flat_map(|cells| &mut cells.values) {
        *price = price.max(0.0);
    }
    with_margin(value(case, terms, standing, &prices))
}

/// A bound that rounding cannot have lifted above the truth.
pub(super) fn with_margin(value: f64) -> f64 {
    value - 1e-9 * value.abs()
}
