//! What is said between scheduler and executor about power limits and ceilings of core clocks: what is wanted, what is held, and
//! what a job did under it.

use crate::job::AttemptId;
use crate::units::{Joules, Megahertz, Percent, Watts};
use serde::{Deserialize, Serialize};

/// Limits that may be asked for on a GPU: the board's and the helper's ranges together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settable {
    /// Lowest.
    pub least: Watts,
    /// Highest.
    pub most: Watts,
    /// Lowest and highest ceiling of the core clock that may be asked for, in megahertz; `None`: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clocks: Option<(Megahertz, Megahertz)>,
    /// The most it is left at once nobody's lease is on it, on a shared feeder. Said by executors that start a job which is to
    /// be held from its start ([`Lease::held_first`]) once it is held, and not at all where it cannot be; `None`: it goes to
    /// what was found, or the executor does not know that word.
    ///
    /// [`Lease::held_first`]: crate::protocol::Lease::held_first
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe: Option<Watts>,
    /// What was found before it was brought down to that, where the helper did that before the executor looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Watts>,
}

impl Settable {
    /// The nearest limit that may be asked for, in whole watts.
    #[must_use]
    pub fn nearest(&self, limit: Watts) -> Watts {
        let whole = Watts(limit.0 / 1_000 * 1_000);
        whole.clamp(Watts(self.least.0.div_ceil(1_000) * 1_000), Watts(self.most.0 / 1_000 * 1_000))
    }
}

/// Why no limit is held on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Uncapped {
    /// Nobody sets limits on this node: the privileged helper does not run, or does not answer.
    NoHelper,
    /// The helper does not let this user, or has no rights of its own.
    NoPermission,
    /// The board takes none, or is in no group of the helper's.
    NotSupported,
    /// Outside of what board and helper allow.
    OutOfRange,
    /// Somebody else set its limit: it is left alone.
    Foreign,
    /// What was found before an earlier crash cannot be trusted: a person decides.
    Inconclusive,
    /// The driver did not do it; it is tried again.
    Device,
    /// The executor had not heard the scheduler for too long: its lease ran out, and is taken again once it does.
    NoScheduler,
}

impl Uncapped {
    /// As printed.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NoHelper => "neap powerd does not answer on this node",
            Self::NoPermission => "no permission to set limits on this node",
            Self::NotSupported => "the board takes no limit, or neap powerd's file does not name it",
            Self::OutOfRange => "the limit is outside of what the board and neap powerd's file allow",
            Self::Foreign => "somebody else set its limit, which is left alone",
            Self::Inconclusive => "neap powerd waits for a person to look at this board",
            Self::Device => "the driver did not take it; it is tried again",
            Self::NoScheduler => "its lease ran out while the scheduler was away",
        }
    }

    /// Whether asking again later may help.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(self, Self::NoHelper | Self::Device | Self::NoScheduler)
    }
}

/// What the limit and the ceiling of every GPU of an attempt should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapOrder {
    /// Which.
    pub attempt: AttemptId,
    /// `None`: as it was found.
    pub limit: Option<Watts>,
    /// Highest core clock in megahertz; `None`: no ceiling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ceiling: Option<Megahertz>,
    /// Rises with every change a power domain asks for; 0: none does. A lower one than was carried out is passed over.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub order: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
pub(crate) const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How the limit of a GPU of an attempt stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapHeld {
    /// By UUID.
    pub gpu: String,
    /// What is wanted now; `None`: as it was found.
    pub wanted: Option<Watts>,
    /// Before ours.
    pub found: Option<Watts>,
    /// Asked of the driver, and read back; `None`: no limit was asked for.
    pub requested: Option<Watts>,
    /// In force: something else may hold a tighter one.
    pub enforced: Option<Watts>,
    /// Why what is wanted is not held.
    pub because: Option<Uncapped>,
    /// The ceiling of its core clock that is wanted now, in megahertz; `None`: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ceiling_wanted: Option<Megahertz>,
    /// The ceiling that was set. No board says one, so this is the helper's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ceiling: Option<Megahertz>,
    /// Why no ceiling is set though one is wanted; the limit is held all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_clock_ceiling: Option<Uncapped>,
}

impl CapHeld {
    /// Whether what is wanted is what stands.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_at_limit() && self.clock_ceiling == self.clock_ceiling_wanted
    }

    /// Whether it is known what becomes of what is wanted: it stands, or it was refused.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        let ceiling = self.clock_ceiling == self.clock_ceiling_wanted || self.no_clock_ceiling.is_some();
        self.because.is_some() || (self.is_at_limit() && ceiling)
    }

    fn is_at_limit(&self) -> bool {
        match self.wanted {
            Some(wanted) => self.requested == Some(wanted) && self.because.is_none(),
            None => self.requested.is_none(),
        }
    }
}

/// What a job did while one limit was in force: its own steps, their time and the energy of its GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Rises by one within an attempt, from 0.
    pub number: u32,
    /// The limit that was held on each of its GPUs; `None`: as they were found.
    pub limit: Option<Watts>,
    /// The ceiling that the core clock of each was kept below, in megahertz; `None`: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ceiling: Option<Megahertz>,
    /// Steps, as the job counts them.
    pub steps: u64,
    /// Milliseconds these steps took.
    pub steps_ms: u64,
    /// Energy of its GPUs,
    pub energy: Joules,
    /// over so many milliseconds.
    pub energy_ms: u64,
    /// Milliseconds of these for which a limit held the clocks down; the longest of its GPUs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bound_ms: u64,
    /// Share of the time in which memory of its GPUs was read or written; `None`: a board does not say that, or not for how long
    /// its limit binds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_busy: Option<Percent>,
}

/// How the GPUs of an attempt were held over a span of its energy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CapUse {
    /// Last limit asked for, of one GPU.
    pub requested: Option<Watts>,
    /// Last limit in force: the tightest of its GPUs.
    pub enforced: Option<Watts>,
    /// Limit before ours, of the same GPU.
    pub found: Option<Watts>,
    /// Milliseconds with a limit of ours below the one that was found.
    pub capped_ms: u64,
    /// Milliseconds for which a limit held the clocks down, as the driver counts them; the longest of its GPUs.
    pub bound_ms: u64,
    /// Why a limit that was wanted was not held at the end.
    pub because: Option<Uncapped>,
    /// Last ceiling of the core clock, in megahertz: the lowest of its GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_ceiling: Option<Megahertz>,
    /// Milliseconds with such a ceiling.
    #[serde(skip_serializing_if = "is_zero")]
    pub ceiling_ms: u64,
    /// Why a ceiling that was wanted was not set at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_clock_ceiling: Option<Uncapped>,
}

impl CapUse {
    /// Whether nothing was ever wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what came after.
    pub fn add(&mut self, later: &Self) {
        if later.requested.is_some() {
            (self.requested, self.enforced, self.found) = (later.requested, later.enforced, later.found);
        }
        self.capped_ms += later.capped_ms;
        self.bound_ms += later.bound_ms;
        self.because = later.because;
        self.clock_ceiling = later.clock_ceiling.or(self.clock_ceiling);
        self.ceiling_ms += later.ceiling_ms;
        self.no_clock_ceiling = later.no_clock_ceiling;
    }
}

/// A limit, or below it a ceiling, at which a job was watched, in whole numbers: as it is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapPoint {
    /// The limit in force.
    pub limit: Watts,
    /// The ceiling of the core clock, in megahertz; `None`: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ceiling: Option<Megahertz>,
    /// Steps in a thousand seconds.
    pub steps_per_kilosecond: u64,
    /// Mean power of one of its GPUs.
    pub power: Watts,
}

/// Why a job's GPUs are held at a limit, or not any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code")]
pub enum CapReason {
    /// Least energy within the slowdown it consents to, of the limits or ceilings at which its own steps were watched.
    #[serde(rename = "power.least_energy")]
    LeastEnergy {
        /// Its time against that at the highest limit without a ceiling: `103%` takes 3 % longer.
        time: Percent,
        /// Its GPU energy against that.
        energy: Percent,
        /// What it consents to.
        slowdown: Percent,
    },
    /// The plan that started it chose another limit than the one of least energy: a higher one to be done sooner or within clean
    /// hours, or a lower one where watts are short.
    #[serde(rename = "power.planned")]
    Planned {
        /// Its time against that at the highest limit: `103%` takes 3 % longer.
        time: Percent,
        /// Its GPU energy against that.
        energy: Percent,
        /// What it consents to.
        slowdown: Percent,
    },
    /// Its power domain is at its limit.
    #[serde(rename = "power.domain_cap")]
    Domain {
        /// The power domain, the zone, or `the site`.
        domain: String,
        /// The limit in force.
        limit: Watts,
        /// Its expected time against that at the highest limit; `None`: nobody measured it.
        time: Option<Percent>,
        /// The announcement that sets it; `None`: the domain's own.
        event: Option<String>,
    },
    /// An operator set it for the node.
    #[serde(rename = "power.node_cap")]
    Node {
        /// The announcement.
        event: String,
    },
    /// Nothing asks for a limit any more.
    #[serde(rename = "power.free")]
    Free,
}

impl CapReason {
    /// The code, as printed.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::LeastEnergy { .. } => "power.least_energy",
            Self::Planned { .. } => "power.planned",
            Self::Domain { .. } => "power.domain_cap",
            Self::Node { .. } => "power.node_cap",
            Self::Free => "power.free",
        }
    }

    /// Time and GPU energy against those at the highest limit, where the job is held for its own good by what its own steps showed.
    #[must_use]
    pub const fn own(&self) -> Option<(Percent, Percent)> {
        match self {
            Self::LeastEnergy { time, energy, .. } | Self::Planned { time, energy, .. } => Some((*time, *energy)),
            Self::Domain { .. } | Self::Node { .. } | Self::Free => None,
        }
    }
}
