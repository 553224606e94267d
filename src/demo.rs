//! `neap demo`: the real scheduler in moved time over a site that is made up, so that anybody can see what it does without
//! a GPU, a key, the network or root.
//!
//! Planner, promises, pauses, limits, accounting and ledger are those of `neap serve`, driven by the same messages. Made up
//! are the site (`configs/demo.toml`), the weather (`grid`), the jobs (`jobs`), and the boards they run on (`node`, after
//! `neap_executor::domains::simulated`). Nothing of what is printed is stated here. The same seed gives the same figures.

pub mod grid;
pub mod jobs;
mod node;
mod play;
#[cfg(test)]
mod tests;
pub mod told;

use chrono::{DateTime, Utc};
pub use play::play;
pub use told::Told;

/// Seconds of a step: all executors of the site are heard once in it, and what takes time is rounded up to it.
const STEP: u64 = 20;

/// Monday, 13 April 2026, 00:00 UTC: a day in spring, which differs enough from noon to night to be worth a look.
const START: DateTime<Utc> = DateTime::from_timestamp(1_776_038_400, 0).expect("a time that there is");

/// Days that can be asked for, fewest and most.
pub const DAYS: (u32, u32) = (1, 14);

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Of weather and jobs.
    pub seed: u64,
    /// Days of moved time.
    pub days: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 1, days: 3 }
    }
}
