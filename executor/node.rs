//! What this node has, and its meters, as one thing that can be read.

use crate::config::Config;
use crate::domains::PowerDomain;
use crate::domains::nvml::{GpuDomain, Gpus};
use crate::domains::rapl::Rapl;
use crate::meter::{Interval, Shares, divide};
use crate::process::{boot_id, host_busy_ms};
use neap_model::fleet::{Component, Inventory, Meter, Source};
use neap_model::job::AttemptId;
use neap_model::units::{Bytes, Joules};
use std::collections::BTreeMap;

/// Why the node cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A fact every Linux host tells is missing.
    #[error("cannot read {0}")]
    Facts(&'static str),
}

/// This node.
#[derive(Debug)]
pub struct Node {
    /// What it has.
    pub inventory: Inventory,
    rapl: Option<(Rapl, Joules)>,
    gpus: Vec<(String, GpuDomain, Source, Joules)>,
    busy_ms: u64,
    notes: Vec<String>,
}

impl Node {
    /// Looks at the host: GPUs through NVML, processors through RAPL, and an estimate for what neither measures.
    ///
    /// # Errors
    /// [`NodeError`] if the host tells nothing about itself.
    pub fn look(config: &Config) -> Result<Self, NodeError> {
        let mut notes = Vec::new();
        let mut meters = Vec::new();
        let gpus = match Gpus::find(config.nvml_lib.clone()) {
            Ok(gpus) => gpus.found.iter().map(|gpu| (gpu.clone(), gpus.domain(&gpu.uuid))).collect(),
            Err(why) => {
                notes.push(format!("no GPUs: {why}"));
                Vec::new()
            }
        };
        for source in [Source::NvmlEnergy, Source::NvmlPower] {
            if gpus.iter().any(|(_, (_, s))| *s == source) {
                meters.push(Meter { component: Component::Gpu, source });
            }
        }
        let rapl = match Rapl::find(&config.rapl_root) {
            Ok(rapl) => Some((rapl, Joules::ZERO)),
            Err(why) => {
                notes.push(format!(
                    "processors are estimated from their time at {} a core: {why}",
                    config.watts_per_cpu
                ));
                None
            }
        };
        let source = if rapl.is_some() { Source::Rapl } else { Source::CpuTime };
        meters.push(Meter { component: Component::Cpu, source });
        let threads = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        let inventory = Inventory {
            cpus: config.cpus.unwrap_or(threads),
            memory: memory().ok_or(NodeError::Facts("/proc/meminfo"))?,
            gpus: gpus.iter().map(|(gpu, _)| gpu.clone()).collect(),
            watts_per_cpu: config.watts_per_cpu,
            meters,
            boot: boot_id(),
        };
        Ok(Self {
            inventory,
            rapl,
            gpus: gpus.into_iter().map(|(gpu, (domain, source))| (gpu.uuid, domain, source, Joules::ZERO)).collect(),
            busy_ms: host_busy_ms().ok_or(NodeError::Facts("/proc/stat"))?,
            notes,
        })
    }

    /// What is missing and what that means, a line each.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// Reads all meters and divides what was used since the reading before. `used` is the processor time of each attempt
    /// since then. A meter that does not answer is made up for by its next answer.
    pub fn read(&mut self, used: BTreeMap<AttemptId, u64>, holders: &BTreeMap<String, AttemptId>) -> Shares {
        let busy = host_busy_ms().unwrap_or(self.busy_ms);
        let mut interval =
            Interval { busy_ms: busy.saturating_sub(self.busy_ms), attempts: used, ..Interval::default() };
        self.busy_ms = busy;
        if let Some((rapl, before)) = &mut self.rapl {
            let now = rapl.energy().unwrap_or(*before);
            interval.cpu = Some(now.saturating_sub(*before));
            *before = now;
        }
        for (uuid, domain, source, before) in &mut self.gpus {
            let now = domain.energy().unwrap_or(*before);
            interval.gpus.insert(uuid.clone(), (now.saturating_sub(*before), *source));
            *before = now;
        }
        divide(&interval, holders, self.inventory.watts_per_cpu)
    }
}

fn memory() -> Option<Bytes> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(Bytes(kib << 10))
}
