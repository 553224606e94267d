//! How attempts and jobs end, and why we end one.

use crate::cap::Uncapped;
use crate::footprint::Savings;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Why a running job is ended by us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum StopCause {
    /// A person cancelled it.
    Cancelled {
        /// Who.
        by: String,
        /// In their words.
        reason: Option<String>,
    },
    /// It hit its time limit.
    Limit,
    /// Cleaner hours come later, or power is short now, and it consented to save itself and go on then.
    Pause {
        /// When it is planned to go on; where power is short: not before that, if nothing else frees some.
        until: DateTime<Utc>,
        /// What the rest of it emits with the pause, instead of going on at once.
        savings: Savings,
        /// The exit code that means *saved, start me again*.
        saved: u8,
        /// The power domain that has too little; `None`: it is for cleaner hours.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        domain: Option<String>,
    },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// By itself, with that code.
    Code(u8),
    /// By that signal.
    Signal(u8),
}

impl Exit {
    /// As a shell reports it: the code, or 128 + the signal.
    #[must_use]
    pub const fn shell_code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128u8.saturating_add(signal),
        }
    }
}

/// How a job's life ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Exit code 0.
    Succeeded,
    /// Any other end by itself.
    Failed {
        /// How the process ended.
        exit: Exit,
    },
    /// It could not be started at all.
    Launch {
        /// What stood in the way.
        error: String,
    },
    /// By a person.
    Cancelled {
        /// Who.
        by: String,
        /// In their words.
        reason: Option<String>,
    },
    /// It hit its time limit.
    Timeout,
    /// Finish-by had become impossible, and it had asked to be dropped then.
    Expired,
    /// Its node is gone and its retries are used up, or it had asked for none.
    Lost,
}

impl Outcome {
    /// The state's word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed { .. } | Self::Launch { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
            Self::Timeout => "timeout",
            Self::Expired => "expired",
            Self::Lost => "lost",
        }
    }

    /// `end.*`: the reason code of an end.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Succeeded | Self::Failed { exit: Exit::Code(_) } => "end.exit",
            Self::Failed { exit: Exit::Signal(_) } => "end.signal",
            Self::Launch { .. } => "end.launch",
            Self::Cancelled { .. } => "end.cancelled",
            Self::Timeout => "end.limit",
            Self::Expired => "end.finish_by",
            Self::Lost => "end.node_lost",
        }
    }

    /// The exit code `neap run` and `neap wait` leave with, and whether it is the job's own.
    #[must_use]
    pub const fn exit_code(&self) -> (u8, ExitFrom) {
        match self {
            Self::Succeeded => (0, ExitFrom::Job),
            Self::Failed { exit } => (exit.shell_code(), ExitFrom::Job),
            Self::Launch { .. } => (127, ExitFrom::Job),
            Self::Cancelled { .. } => (103, ExitFrom::Neap),
            Self::Timeout => (104, ExitFrom::Neap),
            Self::Expired => (105, ExitFrom::Neap),
            Self::Lost => (106, ExitFrom::Neap),
        }
    }
}

/// Whose exit code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitFrom {
    /// The job's own.
    Job,
    /// Ours, because the job did not end by itself.
    Neap,
}

/// What an attempt's guard wrote down at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum AttemptEnd {
    /// Its first process ended.
    Exited {
        /// How.
        exit: Exit,
    },
    /// We ended it.
    Stopped {
        /// How its first process ended.
        exit: Exit,
        /// Why we ended it.
        cause: StopCause,
    },
    /// It could not be started.
    NotStarted {
        /// What stood in the way.
        error: String,
    },
    /// Its GPUs could not be held at the limit that it was to start at, so nothing was started: it waits again.
    NotHeld {
        /// Why not.
        because: Uncapped,
    },
    /// Its guard is gone without a word: whatever it left was ended, and nobody knows how far it had come.
    Vanished,
}

impl StopCause {
    /// How a job ends that was stopped for it.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Cancelled { by, reason } => Outcome::Cancelled { by: by.clone(), reason: reason.clone() },
            Self::Limit => Outcome::Timeout,
            // Its node was lost while it saved itself.
            Self::Pause { .. } => Outcome::Lost,
        }
    }
}

impl AttemptEnd {
    /// If it ended for a pause: whether it had saved its work. `None`: the job is over.
    ///
    /// Any other end than the agreed exit code counts as not saved, also one after TERM or KILL; a job that had finished
    /// by then (exit code 0) is over.
    #[must_use]
    pub fn paused(&self) -> Option<bool> {
        match self {
            Self::Stopped { exit: Exit::Code(0), .. } => None,
            Self::Stopped { exit, cause: StopCause::Pause { saved, .. } } => Some(*exit == Exit::Code(*saved)),
            _ => None,
        }
    }

    /// How a job ends whose attempt ended like this.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Exited { exit: Exit::Code(0) } => Outcome::Succeeded,
            Self::Exited { exit } => Outcome::Failed { exit: *exit },
            // It was done before it had to save anything.
            Self::Stopped { exit, cause: StopCause::Pause { .. } } => Self::Exited { exit: *exit }.outcome(),
            Self::Stopped { cause, .. } => cause.outcome(),
            Self::NotStarted { error } => Outcome::Launch { error: error.clone() },
            // It waits again, unless somebody ended it meanwhile.
            Self::NotHeld { .. } | Self::Vanished => Outcome::Lost,
        }
    }
}
