//! What a person asks for: identity, work, resources, promises and consents.
//!
//! A `JobSpec` says nothing about what happened to the job; that is its `Phase`.

use crate::seconds::Seconds;
use crate::units::{Bytes, Percent};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A job's number. Never used twice, not even after a restored backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The how-manieth attempt at a job; it rises with each, and anything with an old one is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u32);

/// One attempt at one job. Written `1432-1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The job.
    pub job: JobId,
    /// Which attempt at it.
    pub epoch: Epoch,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.job.0, self.epoch.0)
    }
}

impl FromStr for AttemptId {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (job, epoch) = text.split_once('-').ok_or(())?;
        Ok(Self { job: JobId(job.parse().map_err(|_| ())?), epoch: Epoch(epoch.parse().map_err(|_| ())?) })
    }
}

/// Who speaks: the user id the kernel vouches for, and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Person {
    /// Numeric user id.
    pub uid: u32,
    /// Login name, or the id in digits where there is none.
    pub name: String,
}

/// Everything asked for. On submission optional fields mean *the queue decides*; the accepted copy has them filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// `[A-Za-z0-9._-]`, at most 128 bytes. History is learned per project and name.
    pub name: String,
    /// Same alphabet.
    pub project: String,
    /// `None`: the site's default queue.
    pub queue: Option<String>,
    /// What is executed. Private to its owner.
    pub task: Task,
    /// What it needs.
    pub resources: Resources,
    /// Which processes are started.
    pub launch: Launch,
    /// How long it takes and when it must be done.
    pub time: TimeTerms,
    /// What it consents to.
    pub flex: Flex,
    /// What it does in all; `None`: emissions are told per job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub functional_unit: Option<crate::embodied::FunctionalUnit>,
    /// Jobs that have to end first.
    pub after: Vec<After>,
    /// What happens after an attempt is lost with its node.
    pub retry: Retry,
    /// Submitted in state `held`.
    pub hold: bool,
}

/// What is executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Program and arguments; for a script the arguments behind its name.
    pub command: Vec<String>,
    /// A script's text, executed from a private copy. `None`: `command` is executed as it stands.
    pub script: Option<String>,
    /// Absolute directory in which it starts.
    pub workdir: String,
    /// Where its output goes, after `%j %n %a %t %h` were filled in. `None`: kept by Neap.
    pub output: Option<String>,
    /// Variables set on top of the clean environment.
    pub env: BTreeMap<String, String>,
}

/// What a job needs: totals, spread evenly over its nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Nodes.
    pub nodes: u32,
    /// GPUs in total; of an elastic job the fewest.
    pub gpus: u32,
    /// The most GPUs of an elastic job, whose width is chosen at each start; `None`: it runs on `gpus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus_up_to: Option<u32>,
    /// Acceptable GPU models, best first; empty: any.
    pub gpu_model: Vec<String>,
    /// Processor cores in total; `None`: one, or the GPUs' share of the node.
    pub cpus: Option<u32>,
    /// Memory in total; `None`: not counted.
    pub memory: Option<Bytes>,
}

impl Default for Resources {
    fn default() -> Self {
        Self { nodes: 1, gpus: 0, gpus_up_to: None, gpu_model: Vec::new(), cpus: None, memory: None }
    }
}

impl Resources {
    /// The most GPUs it may get.
    #[must_use]
    pub fn most_gpus(&self) -> u32 {
        self.gpus_up_to.unwrap_or(self.gpus).max(self.gpus)
    }

    /// The widths that are weighed against each other, rising: the fewest GPUs, their doublings, and the most.
    #[must_use]
    pub fn widths(&self) -> Vec<u32> {
        let most = self.most_gpus();
        let doublings = std::iter::successors(Some(self.gpus), |width| width.checked_mul(2));
        let mut widths: Vec<u32> = doublings.take_while(|width| *width > 0 && *width < most).collect();
        widths.push(most);
        widths
    }
}

/// Processes Neap starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Launch {
    /// One in all.
    #[default]
    Job,
    /// One a node.
    Node,
    /// One a GPU.
    Gpu,
}

/// Lengths and times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeTerms {
    /// Hard stop.
    pub limit: Option<Seconds>,
    /// For planning.
    pub expect: Option<Seconds>,
    /// Ends by then.
    pub finish_by: Option<DateTime<Utc>>,
    /// Starts by then; a different promise.
    pub start_by: Option<DateTime<Utc>>,
    /// Nothing before that.
    pub not_before: Option<DateTime<Utc>>,
    /// When finish-by can no longer be met.
    pub on_expire: OnExpire,
}

/// What happens to a waiting job whose finish-by has become impossible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExpire {
    /// It runs all the same, late.
    #[default]
    Run,
    /// It is dropped as `expired`.
    Drop,
}

/// For what a job may be delayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// For nothing.
    None,
    /// For less carbon.
    Carbon,
    /// For less money.
    Price,
    /// For less energy.
    Energy,
}

impl Objective {
    /// As typed and printed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Carbon => "carbon",
            Self::Price => "price",
            Self::Energy => "energy",
        }
    }
}

/// What a job consents to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flex {
    /// For what it may be delayed; `None`: carbon with a finish-by, otherwise as the queue applies it.
    pub delay: Option<Objective>,
    /// At most so long.
    pub max_delay: Option<Seconds>,
    /// Only for at least this saving.
    pub min_saving: Option<Percent>,
    /// May be capped or narrowed until that much slower.
    pub slowdown: Percent,
    /// How it can be paused; `None`: never.
    pub pause: Option<Pause>,
    /// Zones it may run in; empty: the home zone only.
    pub zones: Vec<String>,
}

/// How a job saves itself and leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Name of the signal, such as `SIGUSR1`.
    pub signal: String,
    /// How long it may take.
    pub grace: Seconds,
    /// The exit code that means *saved, start me again*.
    pub exit: u8,
}

/// A job that has to end before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// The other job.
    pub job: JobId,
    /// Any end will do; otherwise it must succeed.
    pub any: bool,
}

/// What happens after an attempt is lost with its node or GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// At most once: a person judges.
    Never,
    /// Up to so many further attempts.
    UpTo(u32),
}

impl Default for Retry {
    fn default() -> Self {
        Self::UpTo(2)
    }
}

/// Whether `name` may name a job, project, queue, zone or node: `[A-Za-z0-9._-]`, 1 to 128 bytes, no leading dot or dash.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && !name.starts_with(['.', '-'])
}
