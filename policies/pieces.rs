//! Jobs that may pause, on whole GPUs: the best plan of fractions laid out in pieces of whole width, exact to the
//! microsecond, then repaired and polished.
//!
//! A market says what room is worth and how its work is best divided among slots. Within a slot a piece begins and ends at
//! any instant, so a fraction of a slot is the whole width for a part of it. Nothing here uses a part of a width, or more
//! GPUs at any instant than there are.

mod board;
mod calm;
mod check;
mod pack;
mod plan;
mod polish;
mod room;
mod search;
mod work;

pub use board::Pause;
pub use check::{Breach, check};
pub use plan::{Effort, Laid, plan};

/// Microseconds of an hour.
pub(crate) const HOUR: f64 = 3.6e9;

/// A stretch of a job's run, with its whole width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Index of the pool.
    pub pool: usize,
    /// Begins then, in microseconds from the beginning of slot 0.
    pub from: i64,
    /// Ends then.
    pub until: i64,
}
