//! Finds prices of room: raised where jobs ask for more than there is, lowered where for less, by averaged subgradient
//! steps. Any outcome proves a bound, only a better or a worse one.

use super::bound::{RoomPrices, with_margin};
use super::dual::{Dual, value};
use super::terms::{Standing, Terms};
use crate::replay::Case;

/// How many earlier answers weigh in what jobs ask for: the share of the newest, in the first ten rounds and later.
const NEWEST: (f64, f64) = (0.3, 0.15);

/// Prices are found with so many jobs × places at most: those of a fair sample are hardly worse, and much sooner there.
const SAMPLE: usize = 25_000;

/// Prices after so many rounds from `first`, and the bound they prove, in grams. `known` is the cost of a plan that exists;
/// it sets the length of the steps. The first prices must not be below zero.
#[must_use]
pub fn raise(
    case: &Case,
    terms: &Terms,
    standing: &Standing<'_>,
    first: RoomPrices,
    known: f64,
    rounds: usize,
) -> (RoomPrices, f64) {
    let stride = (case.jobs.len() * case.places.len()).div_ceil(SAMPLE).max(1);
    let dual = Dual::new(case, terms, standing, &first, stride);
    let known = dual.share * known;
    let mut best = first;
    let (mut least, mut asked) = dual.solve(&best);
    let (mut factor, mut failures) = (0.5, 0);
    for round in 0..rounds {
        let slope = excess(&dual, &best, &asked);
        let norm: f64 = slope.iter().flatten().map(|x| x * x).sum();
        if norm <= 0.0 {
            break;
        }
        let step = factor * (known - least).max(1e-5 * least.abs()) / norm;
        let mut next = best.clone();
        for (cells, slope) in next.places.iter_mut().zip(&slope) {
            for (price, slope) in cells.values.iter_mut().zip(slope) {
                *price = (*price + step * slope).max(0.0);
            }
        }
        let (reached, now) = dual.solve(&next);
        let newest = if round < 10 { NEWEST.0 } else { NEWEST.1 };
        for (asked, now) in asked.iter_mut().flatten().zip(now.iter().flatten()) {
            *asked = newest * now + (1.0 - newest) * *asked;
        }
        if reached > least {
            (best, least, failures) = (next, reached, 0);
            factor = f64::min(2.0, 1.1 * factor);
        } else {
            failures += 1;
            if failures == 3 {
                (factor, failures) = (0.7 * factor, 0);
            }
        }
    }
    let proven = if stride == 1 { least } else { value(case, terms, standing, &best) };
    (best, with_margin(proven))
}

/// GPU-hours asked for beyond what there is, by place and cell; nothing where a price of zero would have to fall.
fn excess(dual: &Dual, prices: &RoomPrices, asked: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut beyond = asked.to_vec();
    for ((beyond, cells), room) in beyond.iter_mut().zip(&prices.places).zip(&dual.room) {
        for (cell, beyond) in beyond.iter_mut().enumerate() {
            *beyond -= room.as_ref().map_or(*beyond, |room| room[cell]);
            if cells.values[cell] <= 0.0 && *beyond < 0.0 {
                *beyond = 0.0;
            }
        }
    }
    beyond
}
