//! The small privileged helper: it holds GPUs at a limit, and where its file says so their clocks below a ceiling, while somebody
//! has a lease on that, and gives back what it found however that ends. It never touches a limit that is not its own, and reaches
//! nothing but the driver, its socket and its directory.
//!
//! Before anything is changed what was found is on disk. At a start every record is settled before anybody is served. No board
//! says what its clock is locked at: it is locked only where the file says that nobody else does, and what comes back is no lock.

pub mod board;
pub mod keeper;
pub mod record;
pub mod serve;
#[cfg(test)]
pub(crate) mod tests;

use neap_model::units::{Megahertz, Watts};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Longest message.
pub const LONGEST: usize = 4_096;
/// Longest term of a lease.
pub const TERM: Duration = Duration::from_secs(60);

/// Its own configuration, from a file that is root's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where it listens.
    pub socket: PathBuf,
    /// Where records are kept.
    pub state_dir: PathBuf,
    /// Users that may speak to it.
    pub allow_uids: Vec<u32>,
    /// A directory in which a file named after a GPU holds the uid that may hold it; `None`: any of the users above may.
    pub grants: Option<PathBuf>,
    /// The driver's library; `None`: where the system has it.
    pub nvml_lib: Option<PathBuf>,
    /// Bounds by group of GPUs. A GPU in no group is not touched.
    pub groups: Vec<Group>,
}

/// GPUs with the same bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// By UUID; empty: all that no earlier group names.
    pub gpus: Vec<String>,
    /// Limits that may be asked for.
    pub limits: RangeInclusive<Watts>,
    /// What happens when nobody holds a lease any more.
    pub on_loss: OnLoss,
    /// What the feeder carries; the safe caps of its GPUs must fit.
    pub feeder: Option<Watts>,
    /// Whether their core clocks may be kept below a ceiling.
    pub clock_lock: ClockLock,
}

/// Whose business the locks of core clocks are. No board says what it is locked at, so ours cannot be told from anybody else's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockLock {
    /// Not ours: no clock is touched.
    #[default]
    Never,
    /// Ours alone: nobody else locks clocks here, and what is given back is no lock.
    Ours,
}

/// What happens when nobody holds a lease any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLoss {
    /// A shared feeder: down to this limit, until the budget has room for the one that was found.
    SafeCap(Watts),
    /// A cap that only saves energy: back to the limit that was found.
    Restore,
}

/// A request, one JSON object a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// What is held.
    Status,
    /// Hold a GPU at a limit.
    Acquire {
        /// UUID.
        gpu: String,
        /// Whole watts; `None`: as it was found, or on a shared feeder as it stands.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit_watts: Option<u64>,
        /// Highest core clock in megahertz, brought into the board's range; `None` or 0: no ceiling.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        clock_ceiling_megahertz: Option<u32>,
        /// At most [`TERM`].
        ttl_seconds: u64,
        /// For whom, for people.
        attempt: String,
    },
    /// Hold it on, perhaps at another limit.
    Renew {
        /// As given by `acquire`.
        lease: String,
        /// Another limit; `None`: the one it has.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit_watts: Option<u64>,
        /// Another ceiling of the core clock in megahertz; 0: none any more; `None`: as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        clock_ceiling_megahertz: Option<u32>,
    },
    /// Give it back.
    Release {
        /// As given by `acquire`.
        lease: String,
        /// Also in a group with a safe cap: the budget has room for the limit that was found.
        #[serde(default)]
        to_found: bool,
    },
}

/// What is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it was done.
    pub ok: bool,
    /// Why not: a stable word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Refusal>,
    /// Why not, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// Rises with every start.
    pub epoch: u64,
    /// The limit that was there before ours, in milliwatts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_milliwatts: Option<u64>,
    /// The limit asked of the driver, read back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_milliwatts: Option<u64>,
    /// The limit in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforced_milliwatts: Option<u64>,
    /// The ceiling of the core clock that was set; no board says one, so it is not read back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_ceiling_megahertz: Option<Megahertz>,
    /// When the lease ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
    /// GPUs, for `status`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<Held>,
}

impl Answer {
    /// It was not done.
    #[must_use]
    pub fn no(epoch: u64, refusal: Refusal, detail: impl Into<String>) -> Self {
        Self { epoch, error: Some(refusal), detail: Some(detail.into()), ..Self::default() }
    }
}

/// A GPU, for `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// UUID.
    pub gpu: String,
    /// `free`, `leased`, `safe_cap`, `foreign`, `inconclusive`.
    pub state: String,
    /// Milliwatts found before ours.
    pub found_milliwatts: Option<u64>,
    /// Milliwatts asked of the driver now.
    pub requested_milliwatts: Option<u64>,
    /// For whom.
    pub attempt: Option<String>,
    /// Lowest and highest limit that may be asked for, in milliwatts: the board's and its group's ranges together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settable_milliwatts: Option<(u64, u64)>,
    /// What it is brought to when nobody's lease is on it, in milliwatts; `None`: what was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe_milliwatts: Option<u64>,
    /// The ceiling of its core clock that may be ours, in megahertz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ceiling_megahertz: Option<Megahertz>,
    /// Lowest and highest ceiling that may be asked for, in megahertz; `None`: its group locks no clocks, or the board cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settable_megahertz: Option<(Megahertz, Megahertz)>,
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The driver lets nobody set limits.
    NoPermission,
    /// The device takes none.
    NotSupported,
    /// Outside of the board's or the group's range.
    OutOfRange,
    /// Somebody else has a lease on it.
    Held,
    /// A lease of an earlier life, or one that ended.
    StaleEpoch,
    /// Somebody else set its limit.
    ForeignLimit,
    /// A record cannot be trusted: a person decides.
    Inconclusive,
    /// No such GPU here, or in no group.
    UnknownGpu,
    /// Too many requests, or two changes within 5 s.
    RateLimited,
    /// The GPU does not answer any more.
    GpuLost,
    /// The driver said or did something else.
    Device,
    /// This user may not.
    NotAllowed,
    /// It cannot be read.
    BadRequest,
}
