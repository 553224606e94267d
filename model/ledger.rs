//! What an attempt used: energy spans as they are reported, and the account that adds them up.

use crate::fleet::{Component, Quality, Source};
use crate::footprint::{Footprint, Savings};
use crate::units::{GpuSeconds, GramsCo2e, Joules};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Energy of one component over a span, and how it was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Which part of the node.
    pub component: Component,
    /// What measured it.
    pub source: Source,
    /// Energy of the computers (before PUE).
    pub energy: Joules,
}

/// What one attempt used between two instants. Reports repeat it until it is acknowledged; (attempt, `seq`) makes that harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnergySpan {
    /// Rises by one within an attempt, from 0.
    pub seq: u32,
    /// First instant.
    pub from: DateTime<Utc>,
    /// Last instant.
    pub until: DateTime<Utc>,
    /// One entry a component; a component that nothing measures is absent.
    pub parts: Vec<Part>,
    /// Milliseconds inside the span for which readings were missing and energy was filled in.
    pub gap_ms: u64,
}

impl EnergySpan {
    /// Energy of all parts.
    #[must_use]
    pub fn energy(&self) -> Joules {
        self.parts.iter().map(|p| p.energy).sum()
    }
}

/// What a node's own meters counted between two instants, whoever it was for; for the unattributed row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpan {
    /// Rises by one within a session of the executor, from 0.
    pub seq: u32,
    /// First instant.
    pub from: DateTime<Utc>,
    /// Last instant.
    pub until: DateTime<Utc>,
    /// What each meter counted.
    pub parts: Vec<Part>,
    /// The part of it that went to attempts, by component.
    pub attributed: Vec<Part>,
    /// Milliseconds for which readings were missing.
    pub gap_ms: u64,
}

/// A job's sums over all its attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Energy of the computers, by component and source, in the order first seen.
    pub parts: Vec<Part>,
    /// Facility energy (PUE applied) and its emissions at the intensities of the time.
    pub actual: Footprint,
    /// The same energy at the intensities from when it first could have started.
    pub run_now: Footprint,
    /// Emissions promised at planning, as last told.
    pub planned: Option<GramsCo2e>,
    /// GPUs held times time held.
    pub gpu_seconds: GpuSeconds,
    /// Milliseconds for which readings were missing.
    pub gap_ms: u64,
    /// Spans whose intensity may still be replaced by a better one.
    pub provisional: bool,
}

impl Account {
    /// Energy of the computers in one component.
    #[must_use]
    pub fn component(&self, component: Component) -> Joules {
        self.parts.iter().filter(|p| p.component == component).map(|p| p.energy).sum()
    }

    /// Energy of the computers.
    #[must_use]
    pub fn it_energy(&self) -> Joules {
        self.parts.iter().map(|p| p.energy).sum()
    }

    /// How far the energy can be trusted; `None` where there is none.
    #[must_use]
    pub fn quality(&self) -> Option<Quality> {
        self.parts.iter().filter(|p| p.energy.0 > 0).map(|p| p.source.quality()).reduce(Quality::and)
    }

    /// Actual emissions against running at once.
    #[must_use]
    pub fn savings(&self) -> Savings {
        Savings { emits: self.actual.emits, instead_of: self.run_now.emits }
    }

    /// Books the parts of a span.
    pub fn add_parts(&mut self, span: &EnergySpan) {
        for part in &span.parts {
            match self.parts.iter_mut().find(|p| (p.component, p.source) == (part.component, part.source)) {
                Some(known) => known.energy += part.energy,
                None => self.parts.push(*part),
            }
        }
        self.gap_ms += span.gap_ms;
    }
}
