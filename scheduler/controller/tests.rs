//! The controller in moved time: a site of one node, an executor made of arithmetic, and every turn replayed.

mod ahead;
mod arrivals;
mod back;
mod beside;
mod budgets;
mod capping;
mod clocks;
mod feeds;
mod grid;
mod holding;
mod life;
mod money;
mod notices;
mod pausing;
mod power;
mod queue;
mod rungs;
mod slowed;
mod unlike;
mod vtn;
mod widths;
pub(crate) mod world;
