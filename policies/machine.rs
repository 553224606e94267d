//! What a node has and what a job would take of it. It knows no time: that is the room's business.

use crate::problem::{Job, NodeState, Occupant};
use neap_model::fleet::Gpu;
use neap_model::units::{Bytes, Watts};

/// GPU models told apart on one node. Further ones are not planned with.
pub(crate) const MODELS: usize = 6;

/// An amount of everything a node has. GPUs are counted by model, in the order of `Machine::models`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub memory: u64,
    pub cpus: u32,
    pub gpus: [u16; MODELS],
}

impl Amount {
    /// Whether there is at least `need` of everything.
    pub fn covers(&self, need: &Self) -> bool {
        let gpus = self.gpus.iter().zip(&need.gpus).all(|(have, need)| have >= need);
        self.cpus >= need.cpus && self.memory >= need.memory && gpus
    }

    /// Takes `need` out; never below nothing.
    pub fn take(&mut self, need: &Self) {
        self.cpus = self.cpus.saturating_sub(need.cpus);
        self.memory = self.memory.saturating_sub(need.memory);
        self.gpus.iter_mut().zip(&need.gpus).for_each(|(have, need)| *have = have.saturating_sub(*need));
    }

    /// Puts `need` back.
    pub fn give(&mut self, need: &Self) {
        self.cpus = self.cpus.saturating_add(need.cpus);
        self.memory = self.memory.saturating_add(need.memory);
        self.gpus.iter_mut().zip(&need.gpus).for_each(|(have, need)| *have = have.saturating_add(*need));
    }
}

/// The GPUs of one model on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    pub name: String,
    pub count: u16,
    /// Sum of their power limits.
    pub limits: Watts,
}

/// A node without time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    pub name: String,
    pub zone: String,
    pub up: bool,
    pub total: Amount,
    pub gpus: u32,
    pub models: Vec<Model>,
    pub watts_per_cpu: Watts,
}

/// One way to use a machine for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub need: Amount,
    /// Place of the model in the job's list of acceptable ones.
    pub rank: usize,
    /// Power of the computers.
    pub watts: Watts,
}

/// Place of a GPU model in a job's list of acceptable ones, best 0; `None`: not acceptable. An empty list takes any.
///
/// A model matches if it equals or starts with the name asked for.
#[must_use]
pub fn model_rank(asked: &[String], model: &str) -> Option<usize> {
    if asked.is_empty() { Some(0) } else { asked.iter().position(|name| model.starts_with(name.as_str())) }
}

/// Whether a job that asks for these models takes this one.
#[must_use]
pub fn model_matches(asked: &[String], model: &str) -> bool {
    model_rank(asked, model).is_some()
}

/// Cores the job gets on the node: as asked; else one, or for a GPU job its GPUs' share of the node, at least one.
#[must_use]
pub fn cores_on(job: &Job, node: &NodeState) -> u32 {
    cores(job, node.cpus, u32::try_from(node.gpus.len()).unwrap_or(u32::MAX))
}

fn cores(job: &Job, cpus: u32, gpus: u32) -> u32 {
    job.cpus.unwrap_or_else(|| {
        if job.gpus == 0 || gpus == 0 {
            return 1;
        }
        let share = u64::from(cpus) * u64::from(job.gpus) / u64::from(gpus);
        u32::try_from(share).unwrap_or(u32::MAX).max(1)
    })
}

impl Machine {
    pub fn of(node: &NodeState) -> Self {
        let mut models: Vec<Model> = Vec::new();
        for gpu in &node.gpus {
            if let Some(model) = models.iter_mut().find(|model| model.name == gpu.model) {
                model.count = model.count.saturating_add(1);
                model.limits += gpu.limit;
            } else if models.len() < MODELS {
                models.push(Model { name: gpu.model.clone(), count: 1, limits: gpu.limit });
            }
        }
        let mut total = Amount { memory: node.memory.0, cpus: node.cpus, gpus: [0; MODELS] };
        total.gpus.iter_mut().zip(&models).for_each(|(count, model)| *count = model.count);
        Self {
            name: node.name.clone(),
            zone: node.zone.clone(),
            up: node.up,
            total,
            gpus: u32::try_from(node.gpus.len()).unwrap_or(u32::MAX),
            models,
            watts_per_cpu: node.watts_per_cpu,
        }
    }

    /// Cores the job gets here.
    pub fn cores(&self, job: &Job) -> u32 {
        cores(job, self.total.cpus, self.gpus)
    }

    /// The ways this machine could run the job if it were empty, by model. All GPUs of a job are of one model: a job
    /// waits for its slowest GPU, so a mixture would waste the better ones.
    pub fn shapes<'a>(&'a self, job: &'a Job) -> impl Iterator<Item = Shape> + 'a {
        let cpus = self.cores(job);
        let bare = Amount { memory: job.memory.0, cpus, gpus: [0; MODELS] };
        let busy = Watts(self.watts_per_cpu.0.saturating_mul(u64::from(cpus)));
        let without = (job.gpus == 0).then_some(Shape { need: bare, rank: 0, watts: busy });
        let asked = u16::try_from(job.gpus).ok().filter(|asked| *asked > 0);
        let with = asked.into_iter().flat_map(move |asked| {
            self.models.iter().enumerate().filter_map(move |(index, model)| {
                let rank = model_rank(&job.gpu_model, &model.name)?;
                let mut need = bare;
                need.gpus[index] = asked;
                let watts = busy + model.limits.scaled(u64::from(asked), u64::from(model.count));
                Some(Shape { need, rank, watts })
            })
        });
        without.into_iter().chain(with).filter(|shape| self.total.covers(&shape.need))
    }

    /// What an occupant holds of it. GPUs that the node no longer has are not missed.
    pub fn held(&self, gpus: &[Gpu], occupant: &Occupant) -> Amount {
        let mut held = Amount { memory: occupant.memory.0, cpus: occupant.cpus, gpus: [0; MODELS] };
        for uuid in &occupant.gpus {
            let model = gpus.iter().find(|gpu| gpu.uuid == *uuid).map(|gpu| &gpu.model);
            let index = model.and_then(|name| self.models.iter().position(|model| model.name == *name));
            if let Some(index) = index {
                held.gpus[index] = held.gpus[index].saturating_add(1);
            }
        }
        held
    }

    /// GPUs the job would accept, by the amount given.
    pub fn matching(&self, job: &Job, of: &Amount) -> u32 {
        let counts = self.models.iter().zip(&of.gpus);
        counts.filter(|(model, _)| model_matches(&job.gpu_model, &model.name)).map(|(_, count)| u32::from(*count)).sum()
    }

    /// The amount in the words of the border.
    pub fn named(&self, of: &Amount) -> (u32, Bytes, Vec<(String, u32)>) {
        let gpus = self.models.iter().zip(&of.gpus).map(|(model, count)| (model.name.clone(), u32::from(*count)));
        (of.cpus, Bytes(of.memory), gpus.filter(|(_, count)| *count > 0).collect())
    }
}
