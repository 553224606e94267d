//! What was decided for each job, with its reason and what it is expected to cost.

use crate::footprint::Savings;
use crate::grid::Grade;
use crate::job::JobId;
use crate::reason::{Reason, WhyNow};
use crate::seconds::Seconds;
use crate::units::{GramsCo2e, Intensity, Joules, Money, Watts};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What a run is expected to be.
///
/// Where its length was learned, energy, emissions and mean intensity are those to be expected: means over the lengths that
/// earlier runs had, some of which were longer than is planned. Its end, and with it all that is promised, is that of the
/// planning length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// It starts then,
    pub start: DateTime<Utc>,
    /// and ends then, as it was planned: of a learned length nine of ten end earlier.
    pub end: DateTime<Utc>,
    /// Facility energy.
    pub energy: Joules,
    /// Emissions.
    pub emits: GramsCo2e,
    /// Mean intensity over the run; of a learned length over the time of all the runs it may be.
    pub intensity: Intensity,
    /// The worst grade that took part up to the end; `Static` also where a longer run, as likely as others, is not known.
    pub grade: Grade,
}

/// Where a run happens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Zone.
    pub zone: String,
    /// Node.
    pub node: String,
}

/// The GPUs that a job gets which could have got others: of another number, of a model on which it runs at another speed, or at
/// another power limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Width {
    /// How many.
    pub gpus: u32,
    /// Of which model.
    pub model: String,
    /// The power limit of each, where it was chosen with the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Watts>,
    /// How fast it runs there, in thousandths of its speed in the slowest of its ways: the one its planning length speaks of.
    pub speed: u32,
}

impl Width {
    /// What a run of that long is in time of the slowest way.
    #[must_use]
    pub const fn work_of(&self, ran: Seconds) -> Seconds {
        Seconds(ran.0.saturating_mul(self.speed as u64) / 1_000)
    }

    /// How long work takes here that takes so long in the slowest way.
    #[must_use]
    pub fn time_of(&self, work: Seconds) -> Seconds {
        Seconds(work.0.saturating_mul(1_000) / u64::from(self.speed.max(1)))
    }
}

/// What to do with a job now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It starts now, there.
    Start {
        /// Where.
        place: Place,
        /// Why it does not wait.
        because: WhyNow,
    },
    /// It waits.
    Hold {
        /// Until then, as far as anybody can say; `None`: nobody can.
        until: Option<DateTime<Utc>>,
        /// Where it will run, if that is decided.
        place: Option<Place>,
        /// The binding reason.
        because: Reason,
    },
}

/// A reason besides the binding one, and when it clears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    /// What stands in the way.
    pub reason: Reason,
    /// When it clears, as far as anybody can say.
    pub clears: Option<DateTime<Utc>>,
}

/// The answer for one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The job.
    pub job: JobId,
    /// What to do with it now.
    pub verdict: Verdict,
    /// Every blocker, the binding one first. Empty for a start.
    pub blockers: Vec<Blocker>,
    /// From then on it starts whatever the grid does; `None`: it promised nothing.
    pub latest_start: Option<DateTime<Utc>>,
    /// What is planned.
    pub expected: Option<Outlook>,
    /// What starting at the first possible moment would be, for a job that waits for the grid or could.
    pub run_now: Option<Outlook>,
    /// When it is to run, where that is in more than one piece; empty: from the expected start to the expected end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
    /// The GPUs it is to get, where there was a choice of width or speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<Width>,
}

/// A stretch of time in which a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// It starts or goes on then.
    pub from: DateTime<Utc>,
    /// It pauses or ends then.
    pub until: DateTime<Utc>,
}

impl Decision {
    /// The binding reason of a job that waits.
    #[must_use]
    pub fn because(&self) -> Option<&Reason> {
        match &self.verdict {
            Verdict::Hold { because, .. } => Some(because),
            Verdict::Start { .. } => None,
        }
    }

    /// The planned start, if there is one.
    #[must_use]
    pub fn start(&self) -> Option<DateTime<Utc>> {
        self.expected.map(|o| o.start)
    }

    /// Whether it waits on purpose, with a time.
    #[must_use]
    pub fn is_planned(&self) -> bool {
        let reasons = |because: &Reason| matches!(because, Reason::CleanerLater { .. } | Reason::CheaperLater { .. });
        matches!(&self.verdict, Verdict::Hold { because, .. } if reasons(because))
    }

    /// What the plan saves against running now, where both are known.
    #[must_use]
    pub fn savings(&self) -> Option<Savings> {
        Some(Savings { emits: self.expected?.emits, instead_of: self.run_now?.emits })
    }
}

/// How good a plan can be at best: what the jobs that wait for the grid are planned to emit together, and a proven bound
/// that no plan of the same jobs, curves and room can undercut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// How many jobs it speaks of.
    pub jobs: u32,
    /// What they are planned to emit.
    pub emits: GramsCo2e,
    /// The least that any plan of them emits, at most `emits`.
    pub bound: GramsCo2e,
}

impl Certificate {
    /// How far the plan is above the bound at most, as a share of the bound; `None` without emissions.
    #[must_use]
    pub fn gap(&self) -> Option<f64> {
        (self.bound.0 > 0).then(|| self.emits.in_base() / self.bound.in_base() - 1.0)
    }
}

/// One way to run a job, for `neap plan`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alternative {
    /// What it would be.
    pub outlook: Outlook,
    /// Where.
    pub place: Place,
    /// On which GPUs, where there is a choice of width or speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<Width>,
    /// Whether the planner chose it.
    pub chosen: bool,
    /// What is special about it.
    pub remark: Remark,
    /// What it is expected to cost, where anything is known of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<RunCost>,
}

/// What a run is expected to cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCost {
    /// Its energy; `None`: part of its hours have no price.
    pub energy: Option<Money>,
    /// Its GPU-hours; `None`: no price of these is stated, or it has none.
    pub gpus: Option<Money>,
    /// The currency of both: `EUR`.
    pub currency: String,
}

impl RunCost {
    /// All that is known of it.
    #[must_use]
    pub fn total(&self) -> Money {
        self.energy.unwrap_or_default() + self.gpus.unwrap_or_default()
    }
}

/// What is special about an alternative.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "remark", rename_all = "snake_case")]
pub enum Remark {
    /// It fits at once.
    FitsNow,
    /// The first moment at which there is room.
    FirstRoom,
    /// The cleanest start that its promises allow.
    Cleanest,
    /// The cheapest start that its promises allow, of a job that goes by prices.
    Cheapest,
    /// The first start on GPUs of another number or model.
    OtherGpus,
    /// The last start that keeps its promises.
    LatestStart {
        /// The finish-by it keeps, where there is one.
        finish_by: Option<DateTime<Utc>>,
    },
    /// Open only with the consent named.
    Needs {
        /// The flag and its value, such as `--delay carbon`.
        flag: String,
    },
}
