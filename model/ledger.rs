//! What an attempt used: energy spans as they are reported, and the account that adds them up.

use crate::cap::CapUse;
use crate::fleet::{Component, Quality, Source};
use crate::footprint::{Beside, Bill, Footprint, Market, Savings, add_feed};
use crate::units::{GpuSeconds, GramsCo2e, Joules, Watts};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

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

/// How well metered energy is known, as sums that add up exactly; the ratios are taken at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metering {
    /// Milliseconds of metered devices.
    pub window_ms: u64,
    /// Of these, milliseconds in which plausible readings were at most 300 ms apart.
    pub covered_ms: u64,
    /// Of these, milliseconds that neither a counter nor readings span: their energy is filled in.
    pub gap_ms: u64,
    /// Energy by which the sum may be off: gain, edges and gaps, added up and not root-summed.
    pub uncertain: Joules,
    /// Counter energy where the integral of power readings is known beside it.
    pub compared: Joules,
    /// That integral.
    pub integral: Joules,
    /// Times a counter started anew.
    pub segments: u32,
    /// Readings that cannot be true and were left out.
    pub implausible: u32,
    /// What its devices would have used with nothing to do, where that is known,
    pub idle: Joules,
    /// and the energy of which this is a part.
    pub idle_of: Joules,
}

impl Metering {
    /// Whether nothing was metered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what is known of other energy.
    pub fn add(&mut self, other: &Self) {
        self.window_ms += other.window_ms;
        self.covered_ms += other.covered_ms;
        self.gap_ms += other.gap_ms;
        self.uncertain += other.uncertain;
        self.compared += other.compared;
        self.integral += other.integral;
        self.segments += other.segments;
        self.implausible += other.implausible;
        self.idle += other.idle;
        self.idle_of += other.idle_of;
    }

    /// The share of the time in which readings were at most 300 ms apart; `None` where no device was metered.
    #[must_use]
    pub fn coverage_ratio(&self) -> Option<f64> {
        (self.window_ms > 0).then(|| self.covered_ms as f64 / self.window_ms as f64)
    }

    /// The idle part of `energy`; `None` where it is not known for all of it, or there is none.
    #[must_use]
    pub fn idle_part(&self, energy: Joules) -> Option<Joules> {
        (energy.0 > 0 && self.idle_of >= energy).then_some(self.idle)
    }

    /// How far `energy` may be off, as a share of it; at most 1 is meant, more is possible and says so.
    #[must_use]
    pub fn uncertainty_ratio(&self, energy: Joules) -> Option<f64> {
        (energy.0 > 0 && self.uncertain.0 > 0).then(|| self.uncertain.0 as f64 / energy.0 as f64)
    }

    /// |integral − counter| / counter; `None` where there is no counter or no integral.
    #[must_use]
    pub fn discrepancy_ratio(&self) -> Option<f64> {
        (self.compared.0 > 0).then(|| self.integral.0.abs_diff(self.compared.0) as f64 / self.compared.0 as f64)
    }
}

/// How much power an attempt drew, as means between two readings of its meters that lie about a second apart: its computers',
/// before PUE. What was not metered all the time is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Power {
    /// Energy between such readings,
    pub energy: Joules,
    /// over so many milliseconds.
    pub ms: u64,
    /// The highest of the means.
    pub most: Watts,
}

impl Power {
    /// Whether nothing is known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ms == 0
    }

    /// Adds what it drew for so long.
    pub fn drew(&mut self, watts: Watts, time: Duration) {
        self.energy += watts * time;
        self.ms += u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.most = self.most.max(watts);
    }

    /// Adds what is known of another time.
    pub fn add(&mut self, other: &Self) {
        (self.energy, self.ms) = (self.energy + other.energy, self.ms + other.ms);
        self.most = self.most.max(other.most);
    }

    /// The mean; `None` where nothing is known.
    #[must_use]
    pub fn mean(&self) -> Option<Watts> {
        // Millijoules a millisecond are watts.
        (self.ms > 0).then(|| self.energy.scaled(1_000, self.ms)).map(|energy| Watts(energy.0))
    }

    /// The highest mean between two readings; `None` where nothing is known.
    #[must_use]
    pub fn highest(&self) -> Option<Watts> {
        (self.ms > 0).then_some(self.most)
    }
}

/// A node's energy of which no attempt is the holder or user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unattributed {
    /// Idle energy of devices nobody held.
    pub idle: Joules,
    /// Of processes of no job of ours.
    pub foreign: Joules,
    /// Above idle, with no activity seen.
    pub unknown: Joules,
}

impl Unattributed {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds more of it.
    pub fn add(&mut self, other: &Self) {
        self.idle += other.idle;
        self.foreign += other.foreign;
        self.unknown += other.unknown;
    }
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
    /// How well its energy is known; spans of earlier versions do not say.
    #[serde(default, skip_serializing_if = "Metering::is_empty")]
    pub metering: Metering,
    /// How its GPUs were held; spans of earlier versions do not say.
    #[serde(default, skip_serializing_if = "CapUse::is_empty")]
    pub cap: CapUse,
    /// How much power it drew; spans of earlier versions do not say.
    #[serde(default, skip_serializing_if = "Power::is_empty")]
    pub power: Power,
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
    /// Rises by one within a node's books, from 0.
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
    /// GPU energy that went to no attempt, and why.
    #[serde(default, skip_serializing_if = "Unattributed::is_empty")]
    pub unattributed: Unattributed,
    /// What each GPU used, whoever it was for; spans of earlier versions do not say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gpus: BTreeMap<String, GpuSpan>,
}

/// One GPU's part of a node's span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuSpan {
    /// What its meter counted.
    pub energy: Joules,
    /// Milliseconds for which its power limit held its clocks down.
    pub bound_ms: u64,
}

impl GpuSpan {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { energy: self.energy + other.energy, bound_ms: self.bound_ms + other.bound_ms }
    }
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
    /// What its energy cost, by currency; empty where no prices were known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bills: Vec<Bill>,
    /// Its emissions by the market-based method; `None`: the site gives no factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub market: Option<Market>,
    /// GPUs held times time held.
    pub gpu_seconds: GpuSeconds,
    /// Processor cores held times time held, in core seconds; accounts of earlier versions do not say.
    #[serde(default)]
    pub core_seconds: u64,
    /// Milliseconds for which readings were missing.
    pub gap_ms: u64,
    /// How well its energy is known.
    #[serde(default, skip_serializing_if = "Metering::is_empty")]
    pub metering: Metering,
    /// How its GPUs were held.
    #[serde(default, skip_serializing_if = "CapUse::is_empty")]
    pub cap: CapUse,
    /// How much power it drew.
    #[serde(default, skip_serializing_if = "Power::is_empty")]
    pub power: Power,
    /// The feeds whose intensities its energy met, in the order first seen; earlier versions did not keep them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<String>,
    /// Facility energy that met those of each; earlier versions did not keep it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_signal: Vec<(String, Joules)>,
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

    /// Books what stands beside the emissions of a span.
    pub fn add_beside(&mut self, beside: &Beside) {
        if let Some(bill) = &beside.bill {
            bill.into_list(&mut self.bills);
        }
        if let Some(market) = beside.market {
            self.market = Some(self.market.unwrap_or_default().and(market));
        }
        for feed in &beside.signals {
            if !self.signals.contains(feed) {
                self.signals.push(feed.clone());
            }
        }
        for (feed, energy) in &beside.by_signal {
            add_feed(&mut self.by_signal, feed, *energy);
        }
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
        self.metering.add(&span.metering);
        self.cap.add(&span.cap);
        self.power.add(&span.power);
    }
}
