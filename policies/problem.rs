//! Everything a decision may depend on, the present time included. What is not in here cannot influence a plan.

use crate::stamp::stamp;
use chrono::{DateTime, Utc};
use neap_model::fleet::{Gpu, Zone};
use neap_model::grid::Series;
use neap_model::job::{JobId, Objective, OnExpire};
use neap_model::plan::Decision;
use neap_model::reason::Reason;
use neap_model::seconds::Seconds;
use neap_model::units::{Bytes, Money, Percent, Price, Watts};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The places and what is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The present time.
    pub now: DateTime<Utc>,
    /// Zones with their curves; the first home zone is where jobs stay that name none.
    pub zones: Vec<ZoneState>,
    /// Nodes that were ever seen, sorted by name.
    pub nodes: Vec<NodeState>,
    /// What several nodes share.
    pub shared: Vec<Arc<Shared>>,
}

/// Something that several nodes share and jobs take of while they run: of what is left nobody is promised more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The power domain, the zone, or `the site`.
    pub name: String,
    /// What it is.
    pub what: Good,
    /// The nodes.
    pub nodes: Vec<String>,
    /// How much there is for all that runs there, in the order of time. Before the first of them as much as at it; the last one
    /// holds for ever.
    pub levels: Vec<Level>,
    /// What is taken with nothing to do.
    pub idle: u64,
}

/// How much there is of something shared from an instant on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// It holds from then on.
    pub from: DateTime<Utc>,
    /// mW or GPUs.
    pub most: u64,
    /// The announcement that sets it; `None`: a standing limit, or none.
    pub event: Option<String>,
}

impl Shared {
    /// The level that holds at an instant, to the millisecond that plans are made in; `None` where there is none at all.
    #[must_use]
    pub fn level(&self, at: DateTime<Utc>) -> Option<&Level> {
        self.levels.iter().rev().find(|level| stamp(level.from) <= stamp(at)).or(self.levels.first())
    }
}

/// What nodes can share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Good {
    /// Power under one limit, in mW: jobs take what they could add to what the nodes draw idle.
    Power,
    /// GPUs in use at once.
    Gpus {
        /// Of models that equal this name or start with it; `None`: of any.
        model: Option<String>,
    },
}

/// A zone and its curve from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneState {
    /// The zone.
    pub zone: Zone,
    /// Intensity, from the past hours to the end of the horizon.
    pub curve: Arc<Series>,
    /// What the curve measures, as a number: zones of unequal numbers are never compared with each other. A job may wait
    /// for cleaner hours within those zones that measure like the one it could start in first.
    pub basis: usize,
    /// Prices, where they are known: what a job goes by that may wait for cheaper hours.
    pub prices: Option<Arc<Tariff>>,
}

/// The prices of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tariff {
    /// Of energy, in thousandths of a currency unit per MWh.
    pub series: Series<Price>,
    /// The currency of everything here. Zones of two currencies are never compared for what they cost.
    pub currency: String,
    /// What a GPU costs for an hour, by the beginning of its model's name, of which the longest that fits counts. A model that fits
    /// none counts at the highest price of any zone with this currency, so that it is never taken for being cheap; where no zone has one
    /// nothing is counted.
    pub gpu_hours: Vec<(String, Money)>,
}

impl Tariff {
    /// What a GPU of that model costs for an hour, as it is stated here.
    #[must_use]
    pub fn gpu_hour(&self, model: &str) -> Option<Money> {
        let fit = self.gpu_hours.iter().filter(|(name, _)| model.starts_with(name.as_str()));
        fit.max_by_key(|(name, _)| name.len()).map(|(_, price)| *price)
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// Its name.
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// Whether work can be given to it now.
    pub up: bool,
    /// Cores.
    pub cpus: u32,
    /// Memory.
    pub memory: Bytes,
    /// Graphics processors.
    pub gpus: Vec<Gpu>,
    /// Power of one busy core.
    pub watts_per_cpu: Watts,
}

/// A job that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Higher goes first; within one priority the earlier submission, then the lower number.
    pub priority: i32,
    /// When it was accepted.
    pub submitted: DateTime<Utc>,
    /// Not before that: the latest of submission and `--not-before`.
    pub eligible: DateTime<Utc>,
    /// A blocker outside the planner's reach (hold, dependency); it then gets no room.
    pub blocked: Option<Reason>,
    /// Planning length; of a job that ran before and saved its work, what is left of it. Where there are `ways`, that of the
    /// longest, those aside that are for where watts are short: promises are kept on any of them.
    pub length: Seconds,
    /// Lengths that are equally likely, where its length was learned from earlier runs: in thousandths of the planning length,
    /// rising; above 1000 where some ran longer than is promised. Of a job with `ways` these are shares of the length of each.
    /// What a run is expected to cost is the mean over them; promises go by the planning length. Empty: the length is known.
    pub likely: Arc<[u32]>,
    /// Every width, model and power limit it may run at, where these differ in how long it takes. Empty: `gpus` of any acceptable model,
    /// and it takes `length` on each.
    pub ways: Arc<[Way]>,
    /// May end so much later for less energy.
    pub slowdown: Percent,
    /// Work that was done and saved before a pause.
    pub done: Seconds,
    /// How it may be paused; `None`: it runs in one piece.
    pub pause: Option<PauseTerms>,
    /// GPUs; where there are `ways`, the fewest.
    pub gpus: u32,
    /// Acceptable models, best first; empty: any. A model matches if it equals or starts with the name asked for
    /// (`H100` takes `H100-SXM5-80GB`).
    pub gpu_model: Vec<String>,
    /// Cores; `None`: one, or the GPUs' share of the node.
    pub cpus: Option<u32>,
    /// Memory.
    pub memory: Bytes,
    /// Allowed zones; empty: the home zone.
    pub zones: Vec<String>,
    /// Starts by then.
    pub start_by: Option<DateTime<Utc>>,
    /// Ends by then.
    pub finish_by: Option<DateTime<Utc>>,
    /// What happens when finish-by can no longer be met.
    pub on_expire: OnExpire,
    /// What it may wait for.
    pub delay: Delay,
    /// A person forced its start: it goes to the head of the queue and does not wait for the grid.
    pub forced_by: Option<String>,
}

impl Job {
    /// A job with nothing special: it came then and takes so long, on no GPU, in the home zone, in one piece, and waits for
    /// nothing but room.
    #[must_use]
    pub fn plain(id: JobId, submitted: DateTime<Utc>, length: Seconds) -> Self {
        Self {
            id,
            priority: 0,
            submitted,
            eligible: submitted,
            blocked: None,
            length,
            likely: Arc::default(),
            ways: Arc::default(),
            slowdown: Percent(0),
            done: Seconds::ZERO,
            pause: None,
            gpus: 0,
            gpu_model: Vec::new(),
            cpus: None,
            memory: Bytes(0),
            zones: Vec::new(),
            start_by: None,
            finish_by: None,
            on_expire: OnExpire::Run,
            delay: Delay {
                objective: Objective::None,
                max: Seconds::ZERO,
                min_saving: Percent(0),
                replan_gain: Percent(0),
            },
            forced_by: None,
        }
    }
}

/// A number of GPUs of one model at one power limit, and what a job does on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The model, as the nodes name it.
    pub model: String,
    /// How many.
    pub gpus: u32,
    /// The power limit of each, where the job runs at one of several that are known to differ; `None`: as it turns out.
    pub limit: Option<Watts>,
    /// How long it takes there; of a job that ran before, what is left.
    pub length: Seconds,
    /// Mean power of one of these GPUs, where it was measured; `None`: as much as its limit allows.
    pub watts: Option<Watts>,
    /// Place of the model among those that it would take, best 0.
    pub rank: usize,
    /// At a limit below that of least energy: taken only where watts are short, and no promise goes by how long it takes.
    pub short: bool,
}

/// How long the longest of some ways takes that a job may be given anywhere; `None`: there are none.
#[must_use]
pub fn slowest(ways: &[Way]) -> Option<Seconds> {
    ways.iter().filter(|way| !way.short).map(|way| way.length).max()
}

/// What a job may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// For what; `Carbon` and `Price` wait; `Energy` starts as soon as it can, on the GPUs that need least of it then.
    pub objective: Objective,
    /// At most so long after it became eligible.
    pub max: Seconds,
    /// Only for at least this saving.
    pub min_saving: Percent,
    /// A planned start moves only for a gain of this size.
    pub replan_gain: Percent,
}

/// How a job may be paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PauseTerms {
    /// Run time that each pause costs: saving, loading, warming up.
    pub cost: Seconds,
    /// It runs at least so long between two pauses.
    pub least: Seconds,
}

/// A job that runs and may be paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The job; `length` is what is left of it, and its zone is the only one it may use.
    pub job: Arc<Job>,
    /// Where it runs.
    pub node: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// A job that occupies room now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupant {
    /// Its number.
    pub job: JobId,
    /// Its node.
    pub node: String,
    /// Cores it holds.
    pub cpus: u32,
    /// Memory it holds.
    pub memory: Bytes,
    /// GPUs it holds, by UUID.
    pub gpus: Vec<String>,
    /// When it is expected to end; never before now.
    pub until: DateTime<Utc>,
    /// The most that it adds to what its node draws idle.
    pub draws: Watts,
}

/// A whole problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The places.
    pub site: Site,
    /// Who occupies room.
    pub occupants: Vec<Occupant>,
    /// Who of them may be paused.
    pub running: Vec<Running>,
    /// Who waits, in any order.
    pub waiting: Vec<Arc<Job>>,
    /// What was decided last time, by job: planning twice without news changes nothing.
    pub previous: Arc<BTreeMap<JobId, Decision>>,
    /// Who is expected to come. Only those who wait for the grid are heeded; none of them has any right, and no figure of a
    /// plan speaks of them.
    pub arrivals: Arc<[Arrival]>,
}

/// Jobs of one kind that are expected within an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Beginning of the hour.
    pub hour: DateTime<Utc>,
    /// What one of them asks for. Its number tells kinds apart; its priority, when it came and until when it is to start or to
    /// end are not read: what it may wait is its longest delay.
    pub like: Arc<Job>,
    /// How many are reckoned with, in thousandths.
    pub count: u32,
}

/// How the site wants to be planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How far ahead is planned.
    pub horizon: Seconds,
    /// How many waiting jobs get a reserved place and an estimated start; those behind them are told how many go first.
    pub depth: usize,
    /// How hard is looked for a better plan.
    pub effort: Effort,
    /// By zone, the least saving that forecasts there are worth a wait for, whatever a job asks for: see
    /// [`crate::forecast::Guard`]. A zone that is missing asks for nothing more.
    pub doubts: BTreeMap<String, Percent>,
}

/// How hard is looked for a better plan. It counts steps, never time, so that the same problem gives the same plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Not at all: each job takes the best that those before it in the queue left, once.
    Queue,
    /// What was promised is kept; new jobs take the best that is left, and everybody looks around for better.
    Keep,
    /// All that waits for the grid is placed anew at prices of room as well, and the better plan is taken.
    #[default]
    Search,
}

impl Default for Policy {
    fn default() -> Self {
        Self { horizon: Seconds::hours(7 * 24), depth: 2_000, effort: Effort::default(), doubts: BTreeMap::new() }
    }
}
