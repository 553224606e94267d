//! Why a job waits, or why it does not: few codes, each with its numbers, taken from the planner's own decision.

use crate::footprint::Savings;
use crate::grid::Grade;
use crate::job::JobId;
use crate::seconds::Seconds;
use crate::units::{Bytes, Intensity, Money, Percent, Price, Watts};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a job does not run now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code")]
pub enum Reason {
    /// A person holds it.
    #[serde(rename = "you.hold")]
    Hold { by: String },
    /// Jobs it comes after have not ended.
    #[serde(rename = "you.dependency")]
    Dependency { on: Vec<JobId> },
    /// It asked not to start before.
    #[serde(rename = "you.not_before")]
    NotBefore { at: DateTime<Utc> },
    /// The planner has not looked at it yet.
    #[serde(rename = "system.evaluating")]
    Evaluating,
    /// It is being placed.
    #[serde(rename = "system.starting")]
    Starting,
    /// No executor is up in any zone it may run in.
    #[serde(rename = "system.no_executor")]
    NoExecutor { zones: Vec<String> },
    /// Too few GPUs are free.
    #[serde(rename = "capacity.gpus")]
    Gpus { needs: u32, free: u32, of: u32, model: Option<String> },
    /// Too few cores are free.
    #[serde(rename = "capacity.cpus")]
    Cpus { needs: u32, free: u32, of: u32 },
    /// Too little memory is free.
    #[serde(rename = "capacity.memory")]
    Memory { needs: Bytes, free: Bytes, of: Bytes },
    /// Enough is free, but not on one node.
    #[serde(rename = "capacity.fragmented")]
    Fragmented { needs: u32, free: u32 },
    /// Too little power is left where it would run.
    #[serde(rename = "capacity.power")]
    Power {
        /// The power domain, the zone, or `the site`.
        domain: String,
        /// What the job would add at its highest.
        needs: Watts,
        /// What is left under the limit.
        free: Watts,
        /// The limit in force.
        limit: Watts,
        /// The announcement that sets it; `None`: the domain's own.
        event: Option<String>,
        /// When there is too little, if not at once: while the job would run, by a limit that is announced for then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<DateTime<Utc>>,
    },
    /// As much was started there within the last minute as may be.
    #[serde(rename = "capacity.ramp")]
    Ramp {
        /// The power domain.
        domain: String,
        /// What the job would add at its highest.
        needs: Watts,
        /// What was started within a minute.
        started: Watts,
        /// How much may be.
        limit: Watts,
    },
    /// As many GPUs as may be in use at once are in use, or are by then.
    #[serde(rename = "policy.peak")]
    Peak {
        /// The zone.
        place: String,
        /// Of that model; `None`: of any.
        model: Option<String>,
        /// GPUs that the job would use.
        needs: u32,
        /// How many more may be in use.
        free: u32,
        /// How many may be in use at once.
        limit: u32,
    },
    /// Jobs before it in the queue take the room.
    #[serde(rename = "order.behind")]
    Behind { jobs: u32 },
    /// The room that is free is promised to an earlier job.
    #[serde(rename = "order.reserved")]
    Reserved { job: JobId },
    /// It waits for cleaner hours, as it consented to.
    #[serde(rename = "grid.cleaner_later")]
    CleanerLater {
        /// Then against now.
        savings: Savings,
        /// Mean intensity over the run if it started now.
        now: Intensity,
        /// Mean intensity over the planned run.
        then: Intensity,
        /// The worst grade the plan rests on.
        grade: Grade,
        /// The least saving it waits for.
        asks: Percent,
        /// The longest delay it consents to.
        max_delay: Seconds,
    },
    /// It waits for cheaper hours, as it consented to.
    #[serde(rename = "grid.cheaper_later")]
    CheaperLater {
        /// What the run costs then, against what it would cost if it started now.
        costs: Costs,
        /// The least saving it waits for.
        asks: Percent,
        /// The longest delay it consents to.
        max_delay: Seconds,
    },
}

/// Two costs of one run, and what they are reckoned from. Prices are as their feed says them: no taxes or fees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Costs {
    /// Of the later run.
    pub costs: Money,
    /// Of the run from now on.
    pub instead_of: Money,
    /// Mean price over the later run, per MWh.
    pub then: Price,
    /// Mean price over a run from now on, per MWh.
    pub now: Price,
    /// The currency of all of them: `EUR`.
    pub currency: String,
    /// What of both is paid for GPU-hours; `None`: no price of these is stated, and it is the cost of energy alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<GpuCosts>,
}

/// The part of two costs that is paid for GPU-hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuCosts {
    /// Of the later run.
    pub costs: Money,
    /// Of the run from now on.
    pub instead_of: Money,
}

impl Costs {
    /// The share that is saved; `None` where there is nothing positive to save from.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        self.costs.less_than(self.instead_of)
    }

    /// What is saved as a share of what energy costs in the run from now on: what a wait is asked for. `None` where that is
    /// nothing positive.
    #[must_use]
    pub fn asked_ratio(&self) -> Option<f64> {
        let gpus = self.gpus.map_or(Money::default(), |gpus| gpus.instead_of);
        let without = |cost: Money| Money(cost.0.saturating_sub(gpus.0));
        without(self.costs).less_than(without(self.instead_of))
    }
}

impl Reason {
    /// `class.code`, stable: metric label, JSON and `neap help reasons`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Hold { .. } => "you.hold",
            Self::Dependency { .. } => "you.dependency",
            Self::NotBefore { .. } => "you.not_before",
            Self::Evaluating => "system.evaluating",
            Self::Starting => "system.starting",
            Self::NoExecutor { .. } => "system.no_executor",
            Self::Gpus { .. } => "capacity.gpus",
            Self::Cpus { .. } => "capacity.cpus",
            Self::Memory { .. } => "capacity.memory",
            Self::Fragmented { .. } => "capacity.fragmented",
            Self::Power { .. } => "capacity.power",
            Self::Ramp { .. } => "capacity.ramp",
            Self::Peak { .. } => "policy.peak",
            Self::Behind { .. } => "order.behind",
            Self::Reserved { .. } => "order.reserved",
            Self::CleanerLater { .. } => "grid.cleaner_later",
            Self::CheaperLater { .. } => "grid.cheaper_later",
        }
    }

    /// The class: the part before the dot.
    #[must_use]
    pub fn class(&self) -> &'static str {
        self.code().split('.').next().expect("split gives at least one part")
    }

    /// Whether only a person can clear it. Such a reason binds before all others.
    #[must_use]
    pub const fn needs_a_person(&self) -> bool {
        matches!(self, Self::Hold { .. } | Self::Dependency { .. } | Self::NoExecutor { .. })
    }
}

/// The short form, as in the last column of `ls`. It names no time: those are printed in the reader's zone.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hold { by } => write!(f, "held by {by}"),
            Self::Dependency { on } => match on.as_slice() {
                [one] => write!(f, "waits for {one}"),
                [one, ..] => write!(f, "waits for {one} and {} more", on.len() - 1),
                [] => f.write_str("waits for another job"),
            },
            Self::NotBefore { .. } => f.write_str("asked not to start earlier"),
            Self::Evaluating => f.write_str("being planned"),
            Self::Starting => f.write_str("being placed"),
            Self::NoExecutor { zones } => write!(f, "no executor is up in {}", zones.join(", ")),
            Self::Gpus { free, of, model: Some(model), .. } => write!(f, "{free} of {of} {model} free"),
            Self::Gpus { free, of, model: None, .. } => write!(f, "{free} of {of} GPUs free"),
            Self::Cpus { free, of, .. } => write!(f, "{free} of {of} cores free"),
            Self::Memory { free, of, .. } => write!(f, "{free} of {of} memory free"),
            Self::Fragmented { .. } => f.write_str("enough is free, but not on one node"),
            Self::Power { domain, free, limit, from, .. } => {
                let when = if from.is_some() { " while it would run" } else { "" };
                write!(f, "{free} of {limit} left in {domain}{when}")
            }
            Self::Ramp { domain, started, limit, .. } => {
                write!(f, "{started} of {limit} a minute were just started in {domain}")
            }
            Self::Peak { place, free, limit, .. } => {
                write!(f, "{free} more of at most {limit} GPUs at once in {place}")
            }
            Self::Behind { jobs: 1 } => f.write_str("behind 1 job"),
            Self::Behind { jobs } => write!(f, "behind {jobs} jobs"),
            Self::Reserved { .. } => f.write_str("room promised to an earlier job"),
            Self::CleanerLater { .. } => f.write_str("cleaner hours ahead"),
            Self::CheaperLater { .. } => f.write_str("cheaper hours ahead"),
        }
    }
}

/// Why a job that could wait for the grid, or was expected to, starts now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum WhyNow {
    /// It did not ask to be delayed.
    NotAsked,
    /// Now is the cleanest start it has.
    CleanestNow,
    /// Now is clean enough to begin, and it is to pause later.
    WithPauses {
        /// How often.
        pauses: u32,
        /// With the pauses, against one piece from now on.
        savings: Savings,
    },
    /// Waiting would save less than it asks for.
    SavingTooSmall { savings: Savings, asks: Percent },
    /// Waiting would save less than forecasts are good for: half of what those of a day ahead were off lately.
    WithinError { savings: Savings, asks: Percent },
    /// It may wait for cheaper hours, and now is the cheapest start it has.
    CheapestNow,
    /// Waiting would save less money than it asks for.
    TooLittleCheaper {
        /// Then against now.
        costs: Costs,
        /// The least saving it waits for.
        asks: Percent,
    },
    /// It may wait for cheaper hours, and no prices are known for the run.
    NoPrices,
    /// Nothing trustworthy is known about the hours ahead.
    NoForecast { grade: Option<Grade> },
    /// Its latest start has come.
    LatestStart,
    /// A person said so.
    Override { by: String },
}

impl WhyNow {
    /// Stable code, for JSON.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAsked => "not_asked",
            Self::CleanestNow => "cleanest_now",
            Self::WithPauses { .. } => "with_pauses",
            Self::SavingTooSmall { .. } => "saving_too_small",
            Self::WithinError { .. } => "within_error",
            Self::CheapestNow => "cheapest_now",
            Self::TooLittleCheaper { .. } => "too_little_cheaper",
            Self::NoPrices => "no_prices",
            Self::NoForecast { .. } => "no_forecast",
            Self::LatestStart => "latest_start",
            Self::Override { .. } => "override",
        }
    }
}
