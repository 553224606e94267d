//! The published policies a planner is compared with, each one faithful to its rule and to what is weak in it.
//!
//! A rule sees a whole `Case` and may look only at what its authors let it see; where none is named, intensity is
//! known perfectly. Ties go to the earliest. Every rule is total: a job without a zone, or wider than its zone can
//! ever be under a rule that keeps widths whole, never runs, and its `Ran` is empty.

pub mod capacity_curve;
pub mod carbon_scaler;
mod ecovisor;
mod first_come;
mod first_come_whole;
mod gaia_carbon_time;
mod gaia_lowest_slot;
mod gaia_lowest_window;
mod global_sort;
mod moments;
pub mod pcaps;
mod queue;
mod rooms;
pub mod thresholds;
mod wait_awhile;

use crate::replay::{Case, Ran, TraceJob};

/// A policy by its published name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Queue order with EASY backfill: the reference of every report.
    RunNow,
    /// Queue order, nothing overtakes.
    Fifo,
    /// Start at the beginning of the cheapest hour touched by the wait. No capacity.
    GaiaLowestSlot,
    /// Start at the whole hour after arrival whose window is cheapest. No capacity.
    GaiaLowestWindow,
    /// Start at the whole hour after arrival that saves most per hour of completion time. No capacity.
    GaiaCarbonTime,
    /// Run below the 30th percentile of the coming day until the wait is spent. No capacity, no length.
    Ecovisor,
    /// The cheapest moments of the window. No capacity.
    WaitAwhile,
    /// The cheapest unbroken stretch of the window. No capacity.
    WaitAwhileContiguous,
    /// Each job on arrival takes its cheapest slots in what earlier ones left; divisible.
    FirstCome,
    /// Each job on arrival takes its cheapest unbroken stretch in what earlier ones left; whole widths, whole minutes.
    FirstComeWhole,
    /// All slots of all jobs by intensity, allocated in that order; divisible.
    GlobalSort,
    /// Run at or below the geometric mean of the extremes.
    OneMin,
    /// A falling threshold for each unit of work.
    KMin,
    /// The same with a price for switching on and off.
    Opr,
    /// Queue order under an hourly curve of capacity that follows the grid.
    CapacityCurve,
}

/// Which length a rule is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lengths {
    /// The true one; GAIA's names then carry a star.
    True,
    /// The mean of its queue.
    Assumed,
}

impl Lengths {
    /// What a rule believes about that job, in seconds, never negative.
    #[must_use]
    pub fn of(self, job: &TraceJob) -> f64 {
        let seconds = match self {
            Self::True => job.length,
            Self::Assumed => job.assumed,
        };
        seconds.max(0.0)
    }
}

impl Rule {
    /// All of them, in the order of the reference.
    pub const ALL: [Self; 15] = [
        Self::RunNow,
        Self::Fifo,
        Self::GaiaLowestSlot,
        Self::GaiaLowestWindow,
        Self::GaiaCarbonTime,
        Self::Ecovisor,
        Self::WaitAwhile,
        Self::WaitAwhileContiguous,
        Self::FirstCome,
        Self::FirstComeWhole,
        Self::GlobalSort,
        Self::OneMin,
        Self::KMin,
        Self::Opr,
        Self::CapacityCurve,
    ];

    /// Its stable name, as typed and printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RunNow => "run-now",
            Self::Fifo => "fifo",
            Self::GaiaLowestSlot => "gaia-lowest-slot",
            Self::GaiaLowestWindow => "gaia-lowest-window",
            Self::GaiaCarbonTime => "gaia-carbon-time",
            Self::Ecovisor => "ecovisor",
            Self::WaitAwhile => "wait-awhile",
            Self::WaitAwhileContiguous => "wait-awhile-contiguous",
            Self::FirstCome => "first-come",
            Self::FirstComeWhole => "first-come-whole",
            Self::GlobalSort => "global-sort",
            Self::OneMin => "1-min",
            Self::KMin => "k-min",
            Self::Opr => "opr",
            Self::CapacityCurve => "capacity-curve",
        }
    }

    /// The rule of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }
}

/// Runs a case under a rule: by job, its segments in the order of time.
///
/// `lengths` is what a contiguous rule, a queue with backfill or a threshold rule believes. The divisible rules
/// (`first-come`, `global-sort`) and `first-come-whole` know the true lengths, `ecovisor` and `fifo` need none.
#[must_use]
pub fn run(rule: Rule, case: &Case, lengths: Lengths) -> Vec<Ran> {
    match rule {
        Rule::RunNow => queue::run(case, lengths, true),
        Rule::Fifo => queue::run(case, lengths, false),
        Rule::GaiaLowestSlot => moments::each(case, gaia_lowest_slot::run),
        Rule::GaiaLowestWindow => moments::each(case, |place, job| gaia_lowest_window::run(place, job, lengths)),
        Rule::GaiaCarbonTime => moments::each(case, |place, job| gaia_carbon_time::run(place, job, lengths)),
        Rule::Ecovisor => moments::each(case, ecovisor::run),
        Rule::WaitAwhile => moments::each(case, |place, job| wait_awhile::run(place, job, lengths)),
        Rule::WaitAwhileContiguous => moments::each(case, |place, job| wait_awhile::contiguous(place, job, lengths)),
        Rule::FirstCome => first_come::run(case),
        Rule::FirstComeWhole => first_come_whole::run(case),
        Rule::GlobalSort => global_sort::run(case),
        Rule::OneMin | Rule::KMin | Rule::Opr => {
            moments::each(case, |place, job| thresholds::replay(rule, place, job, lengths))
        }
        Rule::CapacityCurve => capacity_curve::run(case, lengths),
    }
}
