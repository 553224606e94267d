//! How hard a job runs: from a few measured points of its speed and power to the limit that takes the least energy within the
//! slowdown it consented to, or to the ceiling of its clock where no limit slows it.
//!
//! A [`Curve`] is what was measured; [`Probe`] says what to measure next, while the job does work it needs anyway, and
//! [`ClockProbe`] the same of ceilings; the closed forms in [`speed`] answer where a fitted curve is enough. Nothing here reads or
//! sets a device.

mod clocks;
mod curve;
mod fit;
mod learned;
mod probe;
pub mod speed;
#[cfg(test)]
mod tests;

pub use clocks::{ClockChoice, ClockNext, ClockProbe, Clocks};
pub use curve::{Choice, Curve, Point, Rung, Terms};
pub use fit::Fit;
pub use learned::{Key, Learned};
pub use probe::{Next, Probe};
