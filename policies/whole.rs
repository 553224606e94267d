//! Contiguous jobs on whole GPUs: the best start of one job alone, with a known or an unknown length, and of many that
//! share capacity at every instant.
//!
//! Times are seconds as in `replay`, costs grams. Nothing here breaks a run, splits a width or rounds a window to slots.

mod alone;
mod unknown;

pub use alone::{Start, Window, cheapest_place, cheapest_start, known, price_of_waiting};
pub use unknown::{OUTCOMES, cheapest_expected, outcomes, unknown};
