//! The places where work can run: zones and the nodes in them.

use crate::cap::{Settable, Uncapped};
use crate::units::{Bytes, Percent, Pue, Watts};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A place with one electricity grid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Our name for it.
    pub name: String,
    /// Jobs stay here unless they name other zones.
    pub home: bool,
    /// Power usage effectiveness; `None`: not stated, counted as 1.
    pub pue: Option<Pue>,
}

/// A graphics processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// The driver's unique name; indices move, this does not.
    pub uuid: String,
    /// Index in PCI bus order at the last start of the executor.
    pub index: u32,
    /// Model name without spaces, such as `H100-SXM5-80GB`.
    pub model: String,
    /// Power limit in force when the executor started: what was found.
    pub limit: Watts,
    /// Limits that may be asked for; `None`: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settable: Option<Settable>,
    /// Why none may be asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncapped: Option<Uncapped>,
}

/// What a node has and draws, as its executor found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Processor cores that jobs may use.
    pub cpus: u32,
    /// Memory.
    pub memory: Bytes,
    /// Graphics processors.
    pub gpus: Vec<Gpu>,
    /// Power of one busy core, for planning and for the estimate where nothing measures it.
    pub watts_per_cpu: Watts,
    /// Where the power figures come from, one entry a component.
    pub meters: Vec<Meter>,
    /// The boot this inventory belongs to.
    pub boot: String,
    /// Version of the graphics driver when the executor started; `None`: there is none, or an earlier version did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The share of the time for which the power sensors of its boards look, by model; models of which nothing is known are absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sensor_windows: BTreeMap<String, Percent>,
}

impl Inventory {
    /// A board of this node as it is told with a job; with its name alone if it is none of them.
    #[must_use]
    pub fn board(&self, uuid: &str) -> Board {
        let gpu = self.gpus.iter().find(|gpu| gpu.uuid == uuid);
        Board {
            uuid: uuid.to_owned(),
            model: gpu.map(|gpu| gpu.model.clone()),
            driver: gpu.and(self.driver.clone()),
            sensor_window: gpu.and_then(|gpu| self.sensor_windows.get(&gpu.model).copied()),
        }
    }
}

/// A graphics processor that a job holds or held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    /// The driver's unique name.
    pub uuid: String,
    /// Model name without spaces; `None`: its node does not list it.
    pub model: Option<String>,
    /// Version of the driver; `None`: its executor did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The share of the time for which its power sensor looks; `None`: nobody measured that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor_window: Option<Percent>,
}

/// Which part of a node. The parts are disjoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// Graphics processors.
    Gpu,
    /// Processor packages; with memory where earlier versions metered, and where both are estimated.
    Cpu,
    /// Memory, where a counter of its own or a stated figure tells of it.
    Dram,
    /// The rest.
    Other,
}

impl Component {
    /// As a metric label.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Cpu => "cpu",
            Self::Dram => "dram",
            Self::Other => "other",
        }
    }
}

/// How a power figure was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The GPU's own energy counter.
    NvmlEnergy,
    /// Integral of the GPU's power readings.
    NvmlPower,
    /// The energy counters of processor packages and memory.
    Rapl,
    /// Processor time times a figure per core.
    CpuTime,
    /// A stated figure, or the mean around a gap that nothing spans.
    Estimated,
}

impl Source {
    /// As a metric label.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NvmlEnergy => "nvml_energy",
            Self::NvmlPower => "nvml_power",
            Self::Rapl => "rapl",
            Self::CpuTime => "cpu_time",
            Self::Estimated => "estimated",
        }
    }

    /// How far it can be trusted.
    #[must_use]
    pub const fn quality(self) -> Quality {
        match self {
            Self::NvmlEnergy | Self::NvmlPower | Self::Rapl => Quality::Measured,
            Self::CpuTime | Self::Estimated => Quality::Estimated,
        }
    }
}

/// Whether a figure was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// By a meter.
    Measured,
    /// By a model.
    Estimated,
    /// Some of each.
    Mixed,
}

impl Quality {
    /// The word used in every output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Estimated => "estimated",
            Self::Mixed => "mixed",
        }
    }

    /// The quality of a sum of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::Mixed }
    }
}

/// A component and what measures it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Meter {
    /// The component.
    pub component: Component,
    /// What measures it.
    pub source: Source,
}
