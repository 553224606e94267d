//! The messages between tool, scheduler and executor. The domain types are the wire types.

use crate::cap::{CapHeld, CapOrder, Pace};
use crate::fleet::{Inventory, Quality, Zone};
use crate::grid::{Basis, Grade, Origin, PriceCurve, Series};
use crate::job::{AttemptId, JobId, JobSpec};
use crate::ledger::{Account, EnergySpan, NodeSpan};
use crate::lifecycle::{AttemptEnd, JobEvent, Phase, StopCause};
use crate::plan::{Alternative, Certificate, Decision};
use crate::seconds::Seconds;
use crate::units::{Intensity, Watts};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of these messages; a scheduler refuses tools and executors that speak another.
pub const PROTOCOL: u32 = 1;

/// `POST /v1/jobs`: accept this job. `POST /v1/plan` takes the same and changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submit {
    /// What is asked for.
    pub spec: JobSpec,
    /// Idempotency key, per person.
    pub key: String,
}

/// The answer to a submission: the job, and whether the key had been used for it before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The job as it stands.
    pub job: JobReport,
    /// The same key and job had been submitted before.
    pub deduplicated: bool,
}

/// Everything about one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobReport {
    /// Its number.
    pub id: JobId,
    /// Login name of its owner.
    pub owner: String,
    /// Its terms, defaults filled in.
    pub spec: JobSpec,
    /// Where it stands.
    pub phase: Phase,
    /// When it was accepted.
    pub submitted: DateTime<Utc>,
    /// When the present or last attempt started.
    pub started: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
    /// What was decided last: of a job that waits, or with which it was started; `None` once it is over.
    pub decision: Option<Decision>,
    /// What was decided when it was first told.
    pub first_told: Option<Decision>,
    /// Where the present or last attempt is.
    pub place: Option<crate::plan::Place>,
    /// GPUs of the present or last attempt, by UUID.
    pub gpus: Vec<String>,
    /// The same boards, with what is known of each; earlier versions did not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boards: Vec<crate::fleet::Board>,
    /// The file on its node that the output of the present or last attempt goes to.
    pub log: Option<String>,
    /// Attempts so far.
    pub attempts: u32,
    /// Starts that were forced by a person.
    pub overridden: bool,
    /// Energy and emissions so far.
    pub account: Account,
    /// The limit decided last for its GPUs, and why; `None`: none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capped: Option<Capped>,
    /// Power usage effectiveness of the zone, and whether it was stated.
    pub pue: Option<crate::units::Pue>,
    /// Its share of the emissions of making what it reserved; `None`: the site states nothing about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embodied: Option<crate::embodied::Embodied>,
    /// What the intensities measure.
    #[serde(default)]
    pub kind: crate::grid::Kind,
    /// Rises with every change of this job; `GET …?after=N` waits for the next.
    pub revision: u64,
    /// How long it waited for the grid, up to now or to its start.
    pub waited_for_grid: Seconds,
}

/// A decision about the limit of a job's GPUs and the ceiling of their clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capped {
    /// Of each; `None`: as it was found.
    pub limit: Option<crate::units::Watts>,
    /// Highest core clock of each, in megahertz; `None`: no ceiling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ceiling: Option<crate::units::Megahertz>,
    /// Why.
    pub because: crate::cap::CapReason,
}

/// `GET /v1/jobs`: a page of jobs, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPage {
    /// The jobs.
    pub jobs: Vec<JobReport>,
    /// How many match in all.
    pub total: u64,
    /// Pass it as `before` to get the next page; `None` at the end.
    pub next: Option<JobId>,
}

/// What `GET /v1/jobs` may be asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobFilter {
    /// Only jobs that are not over.
    pub live: Option<bool>,
    /// Only this state, by its word.
    pub state: Option<String>,
    /// Only this project.
    pub project: Option<String>,
    /// Only this exact name.
    pub name: Option<String>,
    /// Only the caller's own.
    pub mine: Option<bool>,
    /// Only jobs that ended at or after.
    pub since: Option<DateTime<Utc>>,
    /// Only jobs that ended before.
    pub until: Option<DateTime<Utc>>,
    /// Only ids below.
    pub before: Option<u64>,
    /// At most so many; 1,000 at most.
    pub limit: Option<u32>,
}

/// `GET /v1/jobs/{id}/why`: the decision, and the history with times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyReport {
    /// The job as it stands.
    pub job: JobReport,
    /// What happened, oldest first.
    pub history: Vec<Happened>,
    /// The curve of the zone it runs or would run in, over the time that matters.
    pub grid: Option<ZoneGrid>,
    /// Other ways to run it, for a job that waits.
    pub alternatives: Vec<Alternative>,
    /// How good the plan that it is part of can be at best; `None` where nothing is planned around the grid.
    pub certificate: Option<Certificate>,
    /// Zones it may run in that measure different things, so that none is preferred to another for what it emits.
    #[serde(default)]
    pub not_compared: Option<String>,
    /// The scheduler's clock.
    pub now: DateTime<Utc>,
}

/// One entry of a job's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub event: JobEvent,
}

/// `POST /v1/plan`: what would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanReport {
    /// The job with all defaults filled in.
    pub spec: JobSpec,
    /// What the planner would decide.
    pub decision: Decision,
    /// The ways to run it.
    pub alternatives: Vec<Alternative>,
    /// Where the intensities come from.
    pub grid: Vec<ZoneGrid>,
    /// How good the plan of the jobs that wait already can be at best; `None` where none is planned around the grid.
    pub certificate: Option<Certificate>,
    /// The scheduler's clock.
    pub now: DateTime<Utc>,
}

/// `GET /v1/grid`: one zone's curve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneGrid {
    /// The zone.
    pub zone: Zone,
    /// The intensity in force now.
    pub now: Option<Intensity>,
    /// How well it is known.
    pub grade: Option<Grade>,
    /// What the curve measures.
    pub basis: Basis,
    /// From now on.
    pub series: Series,
    /// Sources that take part, best first.
    pub origins: Vec<Origin>,
    /// Prices, where a feed has any.
    #[serde(default)]
    pub prices: Option<PriceCurve>,
}

/// `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// Version of the program.
    pub version: String,
    /// Protocol version.
    pub protocol: u32,
    /// The scheduler's clock.
    pub now: DateTime<Utc>,
    /// Rises with every start.
    pub incarnation: u64,
    /// When this start was.
    pub started: DateTime<Utc>,
    /// Jobs by state's word.
    pub jobs: Vec<(String, u64)>,
    /// Nodes.
    pub nodes: Vec<NodeReport>,
    /// Every degraded mode, a sentence each; empty: all is well.
    pub degraded: Vec<Degraded>,
    /// How good the present plan can be at best; `None` where nothing is planned around the grid.
    pub certificate: Option<Certificate>,
    /// What the grid and the operators announced and is not past, soonest first.
    #[serde(default)]
    pub notices: Vec<crate::notice::Notice>,
    /// Servers of grid events that are polled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vtns: Vec<VtnReport>,
    /// Power domains, and zones or the whole site while a limit is announced for them.
    #[serde(default)]
    pub power: Vec<PowerReport>,
    /// Journal frames not yet applied to the store.
    pub store_lag: u64,
    /// Last sequence number of the journal.
    pub journal_seq: u64,
}

/// A server of grid events that is polled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VtnReport {
    /// The site's name of it.
    pub name: String,
    /// The last poll that was answered.
    pub answered: Option<DateTime<Utc>>,
    /// Why the last poll failed, if it did. Nothing ends by that.
    pub trouble: Option<String>,
    /// Events that it shows.
    pub events: u64,
    /// What they announce that is not past.
    pub announced: u64,
    /// Events that are not acted upon, or not wholly, a sentence each.
    pub refused: Vec<String>,
}

/// A reduced mode of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degraded {
    /// Stable word; also the metric's label.
    pub mode: String,
    /// What it means, in a sentence.
    pub detail: String,
}

/// What nodes under one limit could draw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerReport {
    /// The power domain, the zone, or `the site`.
    pub name: String,
    /// The limit in force; `None`: there is none.
    pub limit: Option<crate::units::Watts>,
    /// The most that could be drawn as things stand.
    pub committed: crate::units::Watts,
    /// The announcement that sets the limit; `None`: the domain's own.
    pub event: Option<String>,
}

/// A node as the scheduler sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Name.
    pub name: String,
    /// Zone.
    pub zone: String,
    /// Whether it was heard of lately.
    pub up: bool,
    /// When it was last heard of, in this life of the scheduler.
    pub heard: Option<DateTime<Utc>>,
    /// What it has.
    pub inventory: Inventory,
    /// Attempts on it.
    pub attempts: u32,
}

/// `POST /v1/jobs/{id}/{verb}`: what a person asks of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// End it.
    Cancel {
        /// In the person's words.
        reason: Option<String>,
    },
    /// Keep it waiting.
    Hold,
    /// Let it go on.
    Release,
    /// Override the delay.
    Now {
        /// In the person's words.
        reason: Option<String>,
    },
    /// Change its terms.
    Edit {
        /// All of them.
        spec: Box<JobSpec>,
    },
}

impl Ask {
    /// The verb, as typed and audited.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Cancel { .. } => "cancel",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Now { .. } => "now",
            Self::Edit { .. } => "edit",
        }
    }
}

/// `POST /v1/node/beat`: an executor says that it lives, what it holds and what happened.
///
/// The scheduler answers at once if it has something to say, otherwise after `patience`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// [`PROTOCOL`] of the executor.
    pub protocol: u32,
    /// The node.
    pub node: String,
    /// Zone it was configured with; `None`: as the scheduler's file says, else the home zone.
    pub zone: Option<String>,
    /// Random, new with each start of the executor.
    pub session: u64,
    /// Rises by one with each beat of a session; of two that overtake each other on the way the higher one is believed.
    pub number: u64,
    /// The books that `node_spans` come from: random, kept over starts of the executor; earlier versions: the session.
    #[serde(default)]
    pub node_books: Option<u64>,
    /// What the node has.
    pub inventory: Inventory,
    /// Every attempt it has a guard or an exit record for.
    pub holds: Vec<AttemptReport>,
    /// Energy of the node not acknowledged yet.
    pub node_spans: Vec<NodeSpan>,
    /// The most that each GPU drew on average over a second since the last beat, by UUID; one that was not read is missing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gpu_power: BTreeMap<String, Watts>,
    /// How long the answer may be held back.
    pub patience_ms: u32,
}

/// What an executor knows of an attempt it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptReport {
    /// Which.
    pub attempt: AttemptId,
    /// When its process started; `None`: it has not.
    pub started: Option<DateTime<Utc>>,
    /// How it ended and when; `None`: it lives.
    pub ended: Option<(AttemptEnd, DateTime<Utc>)>,
    /// Whether a stop was passed on to it.
    pub stopping: bool,
    /// Energy not acknowledged yet.
    pub spans: Vec<EnergySpan>,
    /// The file its output goes to, on the node.
    pub log: String,
    /// The limit that is wanted of its GPUs, as the executor heard it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<crate::units::Watts>,
    /// The ceiling of their core clocks that is wanted, as the executor heard it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ceiling: Option<crate::units::Megahertz>,
    /// The order that asked for it, as in [`CapOrder::order`].
    #[serde(default, skip_serializing_if = "crate::cap::is_zero")]
    pub cap_order: u64,
    /// How the limits of its GPUs stand; none, if none was ever wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caps: Vec<CapHeld>,
    /// The last whole window over its own steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
}

/// What the scheduler wants of an executor. Orders are repeated until their effect is reported; each is harmless twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeatReply {
    /// Rises with every start of the scheduler; an executor refuses a lower one.
    pub incarnation: u64,
    /// Differs between two schedulers of equal incarnation.
    pub nonce: u64,
    /// Attempts that should run here.
    pub leases: Vec<Lease>,
    /// Attempts that should end.
    pub stops: Vec<Stop>,
    /// Attempts whose end is written down: their directories may go after the log's time.
    pub settled: Vec<AttemptId>,
    /// Attempts nobody wants any more: kill and discard.
    pub stale: Vec<AttemptId>,
    /// Highest energy span written down, by attempt.
    pub booked: Vec<(AttemptId, u32)>,
    /// Highest node span written down of these books.
    pub node_booked: Option<u32>,
    /// What the limits of running attempts should be; an attempt that is not named keeps what it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caps: Vec<CapOrder>,
    /// How the end of jobs whose footer is due was accounted: text to append to their logs.
    pub footers: Vec<(AttemptId, String)>,
}

/// A right to run an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Which.
    pub attempt: AttemptId,
    /// Login name and uid of the owner.
    pub owner: crate::job::Person,
    /// What to run.
    pub spec: JobSpec,
    /// Zone, for the job's environment.
    pub zone: String,
    /// Cores it may use.
    pub cpus: u32,
    /// GPUs, by UUID.
    pub gpus: Vec<String>,
    /// Hard stop.
    pub limit: Seconds,
    /// Intensity at dispatch, for the job's environment.
    pub intensity: Option<Intensity>,
    /// Whether an earlier attempt ran.
    pub resumed: bool,
    /// What the limit of its GPUs should be before it starts; `None`: as they are found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<crate::units::Watts>,
    /// The ceiling that the core clocks of its GPUs should start below; `None`: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ceiling: Option<crate::units::Megahertz>,
    /// There are watts for it at `cap` and for no more: its process starts once every GPU is held there, and else not at all
    /// ([`AttemptEnd::NotHeld`]). Asked only of executors that say [`Settable::safe`].
    ///
    /// [`Settable::safe`]: crate::cap::Settable::safe
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held_first: bool,
}

/// An order to end an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Which.
    pub attempt: AttemptId,
    /// Why.
    pub cause: StopCause,
    /// Time between TERM and KILL.
    pub grace: Seconds,
}

/// `GET /v1/jobs/{id}/log?offset=N`: a piece of a job's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogChunk {
    /// The bytes, as text; what is not UTF-8 is replaced.
    pub text: String,
    /// Where the next piece starts.
    pub next: u64,
    /// Whether the job is over and everything was read.
    pub end: bool,
}

/// `GET /v1/report`: sums over jobs that ended, by group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageReport {
    /// From,
    pub since: Option<DateTime<Utc>>,
    /// until.
    pub until: Option<DateTime<Utc>>,
    /// One row a group, then failed work in a row of its own.
    pub rows: Vec<UsageRow>,
    /// Sum of the rows.
    pub total: UsageRow,
    /// What the intensities measure.
    pub basis: Basis,
    /// Sources that took part, with their credit lines.
    pub credits: Vec<String>,
    /// Zones, for their PUE.
    pub zones: Vec<Zone>,
    /// The scheduler's clock.
    pub now: DateTime<Utc>,
}

/// One row of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// What it is about.
    pub group: String,
    /// Jobs.
    pub jobs: u64,
    /// GPU time.
    pub gpu_seconds: crate::units::GpuSeconds,
    /// Time that processor cores were held, in core seconds.
    #[serde(default)]
    pub core_seconds: u64,
    /// What the energy cost, by currency.
    #[serde(default)]
    pub bills: Vec<crate::footprint::Bill>,
    /// Emissions by the market-based method; `None`: the site gives no factor.
    #[serde(default)]
    pub market: Option<crate::footprint::Market>,
    /// The share of the emissions of making what was reserved; `None`: the site states nothing about that.
    #[serde(default)]
    pub embodied: Option<crate::embodied::Embodied>,
    /// Facility energy and emissions.
    pub actual: crate::footprint::Footprint,
    /// As if each had run at once.
    pub run_now: crate::footprint::Footprint,
    /// Facility energy that rests on meters.
    pub measured_energy: crate::units::Joules,
    /// How long jobs waited for the grid.
    pub waited_for_grid: Seconds,
    /// Jobs that missed their finish-by.
    pub missed: u64,
    /// Starts forced by a person.
    pub overrides: u64,
    /// How far the energy can be trusted.
    pub quality: Option<Quality>,
}
