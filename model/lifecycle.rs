//! A job's life: the phases, the events, and the one table between them.
//!
//! Live operation and replay after a crash go through the same function; there is no second reading of history.

use crate::cap::{CapPoint, CapReason};
use crate::job::{AttemptId, Epoch, JobId, JobSpec, Person};
use crate::ledger::{EnergySpan, NodeSpan};
pub use crate::outcome::{AttemptEnd, Exit, ExitFrom, Outcome, StopCause};
use crate::plan::Decision;
use crate::units::{Megahertz, Watts};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Where a job stands. A phase carries exactly what is true while it lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// Waits; why and until when stands in its decision.
    Queued,
    /// A person holds it.
    Held {
        /// Who.
        by: String,
    },
    /// Given to a node that has not started it yet.
    Leased {
        /// The attempt.
        epoch: Epoch,
        /// The node.
        node: String,
        /// Since.
        at: DateTime<Utc>,
    },
    /// Runs.
    Running {
        /// The attempt.
        epoch: Epoch,
        /// The node.
        node: String,
        /// Since.
        since: DateTime<Utc>,
    },
    /// Stopped after it saved its work; goes on later. Until when stands in its decision.
    Paused {
        /// Since.
        since: DateTime<Utc>,
    },
    /// Told to end, and not gone yet.
    Stopping {
        /// The attempt.
        epoch: Epoch,
        /// The node.
        node: String,
        /// When it started; `None`: it was not known to have started.
        since: Option<DateTime<Utc>>,
        /// Why.
        cause: StopCause,
    },
    /// Over.
    Ended {
        /// How.
        outcome: Outcome,
        /// When.
        at: DateTime<Utc>,
    },
}

/// What happened to one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum JobEvent {
    /// It was accepted; the specification has all defaults filled in.
    Submitted {
        /// Who.
        owner: Person,
        /// What.
        spec: Box<JobSpec>,
        /// Idempotency key, and the digest of what was submitted under it.
        key: String,
        /// SHA-256 of the submitted specification, in hexadecimal.
        digest: String,
    },
    /// The planner told something new: a promise, or a move.
    Planned {
        /// The decision.
        decision: Box<Decision>,
    },
    /// A person holds it.
    Held {
        /// Who.
        by: String,
    },
    /// The hold is over.
    Released {
        /// Who.
        by: String,
    },
    /// Its terms were changed.
    Edited {
        /// Who.
        by: String,
        /// All of them.
        spec: Box<JobSpec>,
    },
    /// A person overrode the delay.
    Overridden {
        /// Who.
        by: String,
        /// In their words.
        reason: Option<String>,
    },
    /// It was given to a node.
    Leased {
        /// The attempt.
        epoch: Epoch,
        /// The node.
        node: String,
        /// The zone, for the account.
        zone: String,
        /// Cores.
        cpus: u32,
        /// GPUs, by UUID.
        gpus: Vec<String>,
        /// Why now and there, and what it is expected to be.
        decision: Box<Decision>,
        /// The most that each of its GPUs is let draw from its start on, because there were watts for no more; its power domain
        /// alone raises that. `None`: as they are found.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slowed: Option<Watts>,
    },
    /// It runs.
    Started {
        /// The attempt.
        epoch: Epoch,
        /// The file on its node that its output goes to.
        log: String,
    },
    /// The limit of its GPUs was decided.
    Capped {
        /// The attempt.
        epoch: Epoch,
        /// Of each GPU; `None`: as it was found.
        limit: Option<Watts>,
        /// Highest core clock of each, in megahertz; `None`: no ceiling.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        clock_ceiling: Option<Megahertz>,
        /// Why.
        because: CapReason,
        /// What was seen of it at which limits.
        points: Vec<CapPoint>,
    },
    /// It was told to end.
    StopAsked {
        /// The attempt.
        epoch: Epoch,
        /// Why.
        cause: StopCause,
    },
    /// The attempt is over, and told how it ended.
    AttemptEnded {
        /// The attempt.
        epoch: Epoch,
        /// How.
        end: AttemptEnd,
        /// When its processes were gone.
        at: DateTime<Utc>,
    },
    /// There is proof that the attempt is over, but nobody knows how it ended; `retried` says whether the job waits again.
    AttemptLost {
        /// The attempt.
        epoch: Epoch,
        /// Whether it goes back to the queue.
        retried: bool,
    },
    /// A person cancelled it before it ran.
    Cancelled {
        /// Who.
        by: String,
        /// In their words.
        reason: Option<String>,
    },
    /// Finish-by had become impossible, and it had asked to be dropped then.
    Expired,
}

/// What is written down: one turn of the controller is a list of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// The scheduler started.
    Started {
        /// Rises with every start.
        incarnation: u64,
        /// Random: two schedulers on copies of one directory differ here.
        nonce: u64,
        /// Version of the program.
        version: String,
    },
    /// Something happened to a job.
    Job {
        /// Which.
        job: JobId,
        /// What.
        happened: JobEvent,
    },
    /// An attempt used energy.
    Metered {
        /// Which.
        attempt: AttemptId,
        /// What it used.
        span: EnergySpan,
        /// Its facility energy at the intensities known when it was booked.
        actual: crate::footprint::Footprint,
        /// The same energy at the intensities from when the job first could have started.
        run_now: crate::footprint::Footprint,
        /// What stands beside that, where anything is known; earlier versions do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beside: Option<Box<crate::footprint::Beside>>,
    },
    /// A node's meters counted energy.
    NodeMetered {
        /// The node.
        node: String,
        /// The books it comes from, at first the executor's session.
        session: u64,
        /// What was counted.
        span: NodeSpan,
    },
    /// A node was seen for the first time, or with another inventory.
    NodeSeen {
        /// The node.
        node: String,
        /// Its zone.
        zone: String,
        /// What it has.
        inventory: Box<crate::fleet::Inventory>,
    },
    /// The grid or an operator announced something.
    Noticed {
        /// What.
        notice: Box<crate::notice::Notice>,
    },
    /// A server of grid events answered a poll.
    Polled {
        /// The site's name of the server.
        vtn: String,
        /// What that changed.
        polled: crate::notice::Polled,
    },
    /// Requests were refused; singly up to 10 a minute from one person, then counted.
    Refused {
        /// Who.
        by: String,
        /// Verb.
        verb: String,
        /// Error code.
        code: String,
        /// How many.
        count: u32,
    },
}

/// A report that does not fit the phase. From outside it changes nothing; in the journal it stops the start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {phase} cannot be {event}")]
pub struct Illegal {
    /// Word for the phase.
    pub phase: &'static str,
    /// Word for the event.
    pub event: &'static str,
}

impl Phase {
    /// The phase after `event`, which happened at `at`.
    ///
    /// # Errors
    /// [`Illegal`] if the event cannot happen in this phase.
    pub fn after(&self, event: &JobEvent, at: DateTime<Utc>) -> Result<Self, Illegal> {
        use JobEvent as E;
        use Phase as P;
        Ok(match (self, event) {
            (P::Queued | P::Paused { .. } | P::Held { .. }, E::Held { by }) => P::Held { by: by.clone() },
            (P::Held { .. }, E::Released { .. }) => P::Queued,
            (P::Queued | P::Paused { .. } | P::Held { .. }, E::Planned { .. } | E::Edited { .. }) => self.clone(),
            (P::Queued | P::Paused { .. } | P::Held { .. }, E::Overridden { .. }) => P::Queued,
            (P::Queued | P::Paused { .. }, E::Leased { epoch, node, .. }) => {
                P::Leased { epoch: *epoch, node: node.clone(), at }
            }
            (P::Leased { epoch, node, .. }, E::Started { epoch: by, .. }) if epoch == by => {
                P::Running { epoch: *epoch, node: node.clone(), since: at }
            }
            (
                P::Leased { epoch, .. } | P::Running { epoch, .. } | P::Stopping { epoch, .. },
                E::Capped { epoch: of, .. },
            ) if epoch == of => self.clone(),
            (P::Leased { epoch, node, .. }, E::StopAsked { epoch: of, cause }) if epoch == of => {
                P::Stopping { epoch: *epoch, node: node.clone(), since: None, cause: cause.clone() }
            }
            (P::Running { epoch, node, since }, E::StopAsked { epoch: of, cause }) if epoch == of => {
                P::Stopping { epoch: *epoch, node: node.clone(), since: Some(*since), cause: cause.clone() }
            }
            // Whoever ends a job that is saving itself for a pause does not wait for the pause.
            (P::Stopping { epoch, node, since, cause: StopCause::Pause { .. } }, E::StopAsked { epoch: of, cause })
                if epoch == of && !matches!(cause, StopCause::Pause { .. }) =>
            {
                P::Stopping { epoch: *epoch, node: node.clone(), since: *since, cause: cause.clone() }
            }
            (P::Stopping { epoch, node, since: None, cause }, E::Started { epoch: by, .. }) if epoch == by => {
                P::Stopping { epoch: *epoch, node: node.clone(), since: Some(at), cause: cause.clone() }
            }
            (P::Stopping { epoch, .. }, E::AttemptEnded { epoch: of, end, at })
                if epoch == of && end.paused().is_some() =>
            {
                P::Paused { since: *at }
            }
            // Nothing was started, so nothing was lost.
            (
                P::Leased { epoch, .. } | P::Stopping { epoch, since: None, cause: StopCause::Pause { .. }, .. },
                E::AttemptEnded { epoch: of, end: AttemptEnd::NotHeld { .. }, .. },
            ) if epoch == of => P::Queued,
            (
                P::Stopping { epoch, cause, since: None, .. },
                E::AttemptEnded { epoch: of, end: AttemptEnd::NotHeld { .. }, at },
            ) if epoch == of => P::Ended { outcome: cause.outcome(), at: *at },
            (
                P::Leased { epoch, .. } | P::Running { epoch, .. } | P::Stopping { epoch, .. },
                E::AttemptEnded { epoch: of, end, at },
            ) if epoch == of => P::Ended { outcome: end.outcome(), at: *at },
            (
                P::Leased { epoch, .. }
                | P::Running { epoch, .. }
                | P::Stopping { epoch, cause: StopCause::Pause { .. }, .. },
                E::AttemptLost { epoch: of, retried: true },
            ) if epoch == of => P::Queued,
            (P::Leased { epoch, .. } | P::Running { epoch, .. }, E::AttemptLost { epoch: of, retried: false })
                if epoch == of =>
            {
                P::Ended { outcome: Outcome::Lost, at }
            }
            (P::Stopping { epoch, cause, .. }, E::AttemptLost { epoch: of, .. }) if epoch == of => {
                P::Ended { outcome: cause.outcome(), at }
            }
            (P::Queued | P::Paused { .. } | P::Held { .. }, E::Cancelled { by, reason }) => {
                P::Ended { outcome: Outcome::Cancelled { by: by.clone(), reason: reason.clone() }, at }
            }
            (P::Queued | P::Paused { .. } | P::Held { .. }, E::Expired) => P::Ended { outcome: Outcome::Expired, at },
            (phase, event) => return Err(Illegal { phase: phase.word(), event: event.word() }),
        })
    }

    /// The phase's word; `queued` jobs with a planned start read `planned` in lists.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Held { .. } => "held",
            Self::Leased { .. } => "starting",
            Self::Running { .. } => "running",
            Self::Paused { .. } => "paused",
            Self::Stopping { .. } => "stopping",
            Self::Ended { outcome, .. } => outcome.word(),
        }
    }

    /// Whether it is over.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }

    /// The attempt that is under way, and its node.
    #[must_use]
    pub fn attempt(&self) -> Option<(Epoch, &str)> {
        match self {
            Self::Leased { epoch, node, .. }
            | Self::Running { epoch, node, .. }
            | Self::Stopping { epoch, node, .. } => Some((*epoch, node)),
            Self::Queued | Self::Paused { .. } | Self::Held { .. } | Self::Ended { .. } => None,
        }
    }
}

impl JobEvent {
    /// The event's word, as in history.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Submitted { .. } => "submitted",
            Self::Planned { .. } => "planned",
            Self::Held { .. } => "held",
            Self::Released { .. } => "released",
            Self::Edited { .. } => "edited",
            Self::Overridden { .. } => "overridden",
            Self::Leased { .. } => "leased",
            Self::Started { .. } => "started",
            Self::Capped { .. } => "capped",
            Self::StopAsked { .. } => "stopped",
            Self::AttemptEnded { .. } => "ended",
            Self::AttemptLost { .. } => "lost",
            Self::Cancelled { .. } => "cancelled",
            Self::Expired => "expired",
        }
    }
}
