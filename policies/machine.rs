//! What a node has and what a job would take of it. It knows no time: that is the room's business.

use crate::draw;
use crate::order::length;
use crate::problem::{Job, NodeState, Occupant};
use crate::stamp::millis;
use neap_model::fleet::Gpu;
use neap_model::seconds::Seconds;
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
    /// The highest of them,
    pub highest: Watts,
    /// and the lowest.
    pub lowest: Watts,
    /// The lowest limit at which work on them may be reckoned with from its start: what boards are left at without a lease.
    /// `None`: not all of them start work held.
    pub held: Option<Watts>,
}

impl Model {
    fn of(gpu: &Gpu) -> Self {
        let held = gpu.settable.and_then(|range| range.safe);
        Self { name: gpu.model.clone(), count: 1, limits: gpu.limit, highest: gpu.limit, lowest: gpu.limit, held }
    }

    fn and(&mut self, gpu: &Gpu) {
        let other = Self::of(gpu);
        self.count = self.count.saturating_add(1);
        self.limits += gpu.limit;
        (self.highest, self.lowest) = (self.highest.max(gpu.limit), self.lowest.min(gpu.limit));
        self.held = self.held.zip(other.held).map(|(held, other)| held.max(other));
    }

    /// The most that work adds on one of them: on any of them in its range, or held at that limit from its start.
    fn adds(&self, limit: Option<Watts>) -> Watts {
        let most = draw::gpu_adds(self.highest, self.highest);
        match limit.zip(self.held) {
            Some((limit, held)) => draw::gpu_adds(self.lowest, limit.max(held)).min(most),
            None => most,
        }
    }
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
    /// The most that the job could add to what the node draws idle.
    pub draws: Watts,
    /// How long the job takes.
    pub length: Seconds,
    /// The power limit of each of its GPUs, where it is part of the choice.
    pub limit: Option<Watts>,
    /// For where watts are short, and nowhere else.
    pub short: bool,
}

impl Shape {
    /// How long the job takes, in milliseconds.
    pub fn millis(&self) -> i64 {
        millis(self.length)
    }

    /// GPUs.
    pub fn gpus(&self) -> u32 {
        self.need.gpus.iter().map(|count| u32::from(*count)).sum()
    }

    /// Energy of the computers, in thousandths of a watt-second.
    pub fn energy(&self) -> u128 {
        u128::from(self.watts.0) * u128::from(self.length.0)
    }
}

/// Which of the ways of a job: model and number of GPUs, and their power limit. `None`: it has no choice.
pub(crate) type Kit<'a> = Option<(&'a str, u32, Option<Watts>)>;

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
    cores(job, job.gpus, node.cpus, u32::try_from(node.gpus.len()).unwrap_or(u32::MAX))
}

fn cores(job: &Job, width: u32, cpus: u32, gpus: u32) -> u32 {
    job.cpus.unwrap_or_else(|| {
        if width == 0 || gpus == 0 {
            return 1;
        }
        let share = u64::from(cpus) * u64::from(width) / u64::from(gpus);
        u32::try_from(share).unwrap_or(u32::MAX).max(1)
    })
}

impl Machine {
    pub fn of(node: &NodeState) -> Self {
        let mut models: Vec<Model> = Vec::new();
        for gpu in &node.gpus {
            if let Some(model) = models.iter_mut().find(|model| model.name == gpu.model) {
                model.and(gpu);
            } else if models.len() < MODELS {
                models.push(Model::of(gpu));
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

    /// Cores the job gets here on the fewest GPUs it takes.
    pub fn cores(&self, job: &Job) -> u32 {
        cores(job, job.gpus, self.total.cpus, self.gpus)
    }

    /// The ways this machine could run the job if it were empty, by model and width. All GPUs of a job are of one model: a
    /// job waits for its slowest GPU, so a mixture would waste the better ones.
    pub fn shapes<'a>(&'a self, job: &'a Job) -> impl Iterator<Item = Shape> + 'a {
        let without = (job.gpus == 0).then(|| {
            let (need, watts) = self.without_gpus(job, 0);
            let draws = self.draws(&need, None);
            Shape { need, rank: 0, watts, draws, length: length(job), limit: None, short: false }
        });
        let fixed = job.gpus > 0 && job.ways.is_empty();
        let alike = fixed.then_some(()).into_iter().flat_map(move |()| {
            self.models.iter().enumerate().filter_map(move |(index, model)| {
                let rank = model_rank(&job.gpu_model, &model.name)?;
                self.shape(job, index, job.gpus, (None, None), (rank, length(job)))
            })
        });
        let chosen = job.ways.iter().filter_map(move |way| {
            let index = self.models.iter().position(|model| model.name == way.model)?;
            // Where work does not start held a lower limit needs no fewer watts.
            let length =
                Some(way.length.max(Seconds(1))).filter(|_| !way.short || self.models[index].held.is_some())?;
            let shape = self.shape(job, index, way.gpus, (way.watts, way.limit), (way.rank, length))?;
            Some(Shape { short: way.short, ..shape })
        });
        without.into_iter().chain(alike).chain(chosen).filter(|shape| self.total.covers(&shape.need))
    }

    fn shape(
        &self,
        job: &Job,
        model: usize,
        width: u32,
        (measured, limit): (Option<Watts>, Option<Watts>),
        (rank, length): (usize, Seconds),
    ) -> Option<Shape> {
        let (mut need, host) = self.without_gpus(job, width);
        need.gpus[model] = u16::try_from(width).ok().filter(|width| *width > 0)?;
        let of = &self.models[model];
        let gpus = match measured {
            Some(watts) => watts.scaled(u64::from(width), 1),
            None => of.limits.scaled(u64::from(width), u64::from(of.count)),
        };
        let draws = self.draws(&need, limit);
        Some(Shape { need, rank, watts: host + gpus, draws, length, limit, short: false })
    }

    /// The most that this could add to what the machine draws idle, with its GPUs held at that limit from the start.
    fn draws(&self, need: &Amount, limit: Option<Watts>) -> Watts {
        let taken = self.models.iter().zip(&need.gpus).filter(|(_, count)| **count > 0);
        let gpus = taken.map(|(model, count)| Watts(model.adds(limit).0.saturating_mul(u64::from(*count))));
        draw::cores_add(self.watts_per_cpu, need.cpus) + gpus.sum()
    }

    /// The most that all of it at work could add to what it draws idle.
    pub fn draws_at_most(&self) -> Watts {
        let gpus = self.models.iter().map(|model| Watts(model.adds(None).0.saturating_mul(u64::from(model.count))));
        draw::cores_add(self.watts_per_cpu, self.total.cpus) + gpus.sum()
    }

    /// What a job of that width takes beside its GPUs, and its power.
    fn without_gpus(&self, job: &Job, width: u32) -> (Amount, Watts) {
        let cpus = cores(job, width, self.total.cpus, self.gpus);
        let need = Amount { memory: job.memory.0, cpus, gpus: [0; MODELS] };
        (need, Watts(self.watts_per_cpu.0.saturating_mul(u64::from(cpus))))
    }

    /// Which of the job's ways that shape is.
    pub fn kit(&self, job: &Job, shape: &Shape) -> Kit<'_> {
        let (index, count) = shape.need.gpus.iter().enumerate().find(|(_, count)| **count > 0)?;
        (!job.ways.is_empty()).then(|| (self.models[index].name.as_str(), u32::from(*count), shape.limit))
    }

    /// The shapes of that way; all where none is named. Where its limit is not offered any more those at other limits: what
    /// was learned since moves limits, and no run for that.
    pub fn shapes_of<'a>(&'a self, job: &'a Job, kit: Kit<'a>) -> impl Iterator<Item = Shape> + 'a {
        let wide = |kit: Kit<'a>| kit.map(|(model, gpus, _)| (model, gpus));
        let exact = self.shapes(job).any(|shape| self.kit(job, &shape) == kit);
        self.shapes(job).filter(move |shape| {
            let this = self.kit(job, shape);
            if exact { this == kit } else { !shape.short && (kit.is_none() || wide(this) == wide(kit)) }
        })
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
