//! Keeps the GPUs of a power domain under its budget by their limits, from what was read back and what the domain draws.
//!
//! Of every GPU one number counts: the highest limit that could be in force until proven otherwise. It is lowered by a read-back
//! alone and raised before an order leaves. Nothing here reads a clock or sets a device; breakers remain the last line.
//!
//! What it relies on, of whoever carries orders out: an order numbered below one that was carried out is thrown away, and so is
//! one older than [`Config::order_life`]; a lease ends [`Config::lease`] after its node was heard last, with the GPU at its safe
//! cap; orders die with the job they were for.

mod ledger;
mod pace;
mod raise;
mod shares;
mod turn;

use neap_model::job::JobId;
use neap_model::units::Watts;
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub use turn::Regulator;

/// It is to be asked at least so often, and at once when a budget changes or an order was confirmed.
pub const EVERY: Duration = Duration::from_secs(5);
/// A GPU whose last good sample is older than that is brought to its safe cap: three of one a second were missed.
pub const STALE: Duration = Duration::from_secs(3);
/// Without a reading of the domain for longer, every GPU gets its static share.
pub const BLIND: Duration = Duration::from_secs(15);
/// An order that was not confirmed is sent again after so long.
pub const AGAIN: Duration = Duration::from_millis(500);

/// How it works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Share of the budget that measured power stays away from.
    pub margin: f64,
    /// From when a node was heard or told last until none of its GPUs can be above its safe cap: the lease of 60 s and the 10 s in
    /// which it is given back. `Duration::MAX`: leases do not end with the loss of a node.
    pub lease: Duration,
    /// An order that took longer to arrive is not carried out.
    pub order_life: Duration,
    /// GPUs without work can be held at a limit; else they stand where nobody's lease leaves them.
    pub hold_idle: bool,
    /// Draws the extra time between raises.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            margin: 0.03,
            lease: Duration::from_secs(70),
            order_life: Duration::from_secs(10),
            hold_idle: true,
            seed: 0,
        }
    }
}

/// A GPU under the budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    /// UUID.
    pub gpu: String,
    /// Its node.
    pub node: String,
    /// The lowest limit it is ever given: the higher of the board's lowest and the domain's `min_gpu_cap`.
    pub floor: Watts,
    /// The highest the board takes.
    pub highest: Watts,
    /// A tighter limit in force that the site vouches for: what counts where ours cannot be set.
    pub vouched: Option<Watts>,
    /// The limit it is brought to when nobody holds a lease on it; `None`: then it is at whatever was found.
    pub safe: Option<Watts>,
    /// The limit it is brought to once its node was not heard for so long that its leases have ended; `None`: as without a lease.
    pub unheard: Option<Watts>,
}

impl Board {
    /// The most that could come into force.
    #[must_use]
    pub fn most(&self) -> Watts {
        self.vouched.map_or(self.highest, |vouched| vouched.min(self.highest))
    }

    /// The lowest and highest limit it is given, in whole watts.
    #[must_use]
    pub fn range(&self) -> (Watts, Watts) {
        let high = Watts(self.most().0 / 1_000 * 1_000);
        (Watts(self.floor.0.div_ceil(1_000) * 1_000).min(high), high)
    }

    /// The most that could be in force with nobody's lease on it.
    #[must_use]
    pub fn left(&self) -> Watts {
        self.safe.map_or(self.most(), |safe| safe.min(self.most()))
    }

    /// The most that could be in force while its node is not heard, beside what it was told.
    #[must_use]
    pub fn left_unheard(&self) -> Watts {
        self.unheard.map_or(self.left(), |safe| safe.min(self.most()))
    }
}

/// Whose the limit is that stands on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stand", rename_all = "snake_case")]
pub enum Stand {
    /// Ours: by this order.
    Held {
        /// As given with it.
        order: u64,
    },
    /// Nobody's lease is on it.
    Free,
    /// Somebody else set it.
    Foreign,
    /// It cannot be set: no permission, not supported, or a person has to look at it.
    Refused,
}

/// What was read back of a GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// UUID.
    pub gpu: String,
    /// When it was read; older than what is known of this GPU: passed over.
    pub at: Duration,
    /// Whose limit it is, at the same moment.
    pub stand: Stand,
    /// The higher of the limit asked for and the one in force, as the device says.
    pub limit: Watts,
    /// Mean power of the last second; `None`: there is no good sample.
    pub power: Option<Watts>,
}

/// A job that runs, or is about to.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Which.
    pub id: JobId,
    /// Its GPUs by UUID, all of them at one limit: it goes at the speed of the slowest. A GPU of two jobs is the first one's.
    pub gpus: Vec<String>,
    /// What a unit of its speed is worth.
    pub weight: f64,
    /// The speed it consented to, of that at the highest limit: 1, 0.9, 0.75, 0.5.
    pub least_speed: f64,
    /// It neither begins nor is raised above that: it was started with fewer watts, and gets back so many by now. `None`: as
    /// high as its GPUs go.
    pub most: Option<Watts>,
    /// It may be paused.
    pub may_pause: bool,
    /// It saves itself now, to leave.
    pub pausing: bool,
    /// Limit and speed as measured, any order. None: speed is taken to be in proportion to the limit.
    pub points: Vec<(Watts, f64)>,
}

/// What is known at one moment. Times are of a clock that does not jump.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readings {
    /// The budget in force.
    pub budget: Watts,
    /// What counts besides GPUs: idle hosts, and running jobs' hosts at their highest.
    pub others: Watts,
    /// Power of the whole domain, and when it was read.
    pub site: Option<(Watts, Duration)>,
    /// News of GPUs since the last time; those without any stand as they stood.
    pub gpus: Vec<Seen>,
    /// Nodes that cannot be reached now, and when each was last heard or answered: also if it was back since the last time for a
    /// moment only, in which it may have renewed its leases.
    pub lost: Vec<(String, Duration)>,
    /// All jobs.
    pub jobs: Vec<Job>,
}

/// Why a limit is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// The limits together would be above the budget.
    Budget,
    /// The domain draws more than it should.
    Overdrawn,
    /// Its watts do more elsewhere.
    Reused,
    /// No good sample of one of its GPUs.
    Stale,
    /// No reading of the domain.
    Blind,
    /// There was room.
    Raised,
    /// It had that limit when its job came.
    Began,
    /// No job is on it.
    Idle,
}

/// A limit to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetPoint {
    /// UUID.
    pub gpu: String,
    /// Its node.
    pub node: String,
    /// Rises with every order; the same again, if it was not confirmed.
    pub order: u64,
    /// Whole watts.
    pub limit: Watts,
    /// Why.
    pub because: Because,
}

/// How a job fares.
#[derive(Clone, Debug, PartialEq)]
pub struct Slowed {
    /// Which.
    pub job: JobId,
    /// The limit of each of its GPUs that can be set.
    pub limit: Watts,
    /// The highest they take.
    pub highest: Watts,
    /// The speed to expect, of that at the highest.
    pub speed: f64,
    /// No point was measured.
    pub assumed: bool,
    /// It is slower than it consented to.
    pub beyond_consent: bool,
    /// Why.
    pub because: Because,
    /// Its GPUs whose limit is not ours to set now.
    pub not_ours: usize,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    /// Orders, new and unconfirmed.
    pub set: Vec<SetPoint>,
    /// Every job with work, and how fast it goes.
    pub jobs: Vec<Slowed>,
    /// New work may start.
    pub may_start: bool,
    /// Jobs that should pause: what they consented to does not fit.
    pub pause: Vec<JobId>,
    /// What counts against the budget: GPUs at what could be in force, and the rest.
    pub committed: Watts,
    /// By how much the floors alone are above the budget: pausing, or a person, has to help.
    pub short: Watts,
    /// GPUs that count at the most, because their limit is not ours to set.
    pub uncapped: Vec<String>,
}
