//! Names the things Neap speaks about: units, jobs, their life, the fleet, the grid, plans and footprints.
//!
//! It does no IO and knows no clock: what happens *now* is always told to it.
#![forbid(unsafe_code)]

pub mod cap;
pub mod embodied;
pub mod fleet;
pub mod footprint;
pub mod grid;
pub mod job;
pub mod ledger;
pub mod lifecycle;
pub mod notice;
pub mod outcome;
pub mod plan;
pub mod protocol;
pub mod reason;
pub mod refusal;
pub mod seconds;
#[cfg(test)]
mod tests;
pub mod units;
