//! The slotted problem in which room gets its prices: pools with capacity and grid cost per slot, jobs with windows.
//!
//! One `f64` system: hours, GPUs, kW, kWh, grams CO2e (or what is counted as grams). Values are converted once on the way
//! in and once on the way out; in here nothing is rounded, and every sum and every tie has a fixed order, so that the same
//! market gives the same bytes. Which node a job gets, and when to the second, is not decided here.

mod alone;
mod charge;
mod fill;
mod network;
mod polish;
mod prices;
mod room;
mod shares;
mod solve;
mod synthetic;
mod tree;
mod window;

pub use room::{Desk, Grain, Menu, Room, insert};
pub use shares::{Iter, Share, Shares};
pub use solve::{Effort, solve};
pub use synthetic::synthetic;

/// A place with one kind of GPU on one grid: the unit of capacity.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// GPUs that can be used, by slot; may be fractional in the divisible model.
    pub capacity: Vec<f64>,
    /// What a kWh of the computers costs, by slot: PUE × (weighted intensity, price and energy), in grams.
    pub grams_per_kwh: Vec<f64>,
}

/// One way to run: a width at a power rung.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// GPUs it holds.
    pub gpus: f64,
    /// Work done in an hour; 1 at the reference point.
    pub speed: f64,
    /// Power of all of it, the share of the host included, in kW.
    pub kw: f64,
}

/// Whether a run may be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// It runs once, from start to end.
    Contiguous,
    /// It may stop and go on at any slot edge.
    Interruptible,
}

/// Jobs that may run in the same places in the same ways share every array of prices.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Indices of the pools it may use, rising.
    pub pools: Vec<usize>,
    /// The ways it may run, the reference first. A point is one for the whole job, whatever its size.
    pub points: Vec<Point>,
    /// Whether it may be broken.
    pub mode: Mode,
    /// Whether all of it must run in one pool.
    pub stays: bool,
}

/// A job in the market. Its window is `[release, due)`, in hours from the beginning of slot 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Task {
    /// Index of its class.
    pub class: usize,
    /// Hours of work at the reference point.
    pub hours: f64,
    /// Not before that.
    pub release: f64,
    /// Done by then; work behind it is late and costs `Market::late` a GPU-hour on top.
    pub due: f64,
    /// What an hour between release and end costs, in grams.
    pub waiting: f64,
}

/// The whole problem. All pools have the same number of slots.
#[derive(Clone, Debug, PartialEq)]
pub struct Market {
    /// Length of a slot, in hours.
    pub slot_hours: f64,
    /// The places.
    pub pools: Vec<Pool>,
    /// The kinds of jobs.
    pub classes: Vec<Class>,
    /// The jobs.
    pub tasks: Vec<Task>,
    /// What a GPU-hour past `due` costs on top of its energy, in grams.
    pub late: f64,
}

/// What a GPU-hour costs on top of its energy because others want it, by pool and slot, in grams. Never negative.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prices(pub Vec<Vec<f64>>);

/// What a solver found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Solution {
    /// By task, its shares in the order of time.
    pub shares: Vec<Shares>,
    /// The prices that prove the bound.
    pub prices: Prices,
    /// Cost of the shares, late work charged, in grams.
    pub cost: f64,
    /// No solution of the same market costs less, in grams.
    pub bound: f64,
    /// GPU-hours behind their due time.
    pub late_gpu_hours: f64,
}
