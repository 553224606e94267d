//! Contiguous jobs on whole GPUs: the best start of one job alone, with a known or an unknown length, and of many that
//! share capacity at every instant.
//!
//! Times are seconds as in `replay`, costs grams. Nothing here breaks a run, splits a width or rounds a window to slots.

mod alone;
mod board;
mod bound;
mod check;
mod dual;
mod menu;
mod online;
mod plan;
mod polish;
mod prices;
mod room;
mod search;
mod terms;
mod unknown;

pub use alone::{Start, Window, cheapest_place, cheapest_start, known, price_of_waiting};
pub use bound::{Cells, RoomPrices, bound};
pub use check::{Breach, check};
pub use online::{Replayed, online};
pub use plan::{Effort, Planned, insert, plan, replan};
pub use prices::raise;
pub use terms::{Standing, Terms, late_gpu_hours};
pub use unknown::{OUTCOMES, cheapest_expected, outcomes, unknown};
