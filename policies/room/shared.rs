//! What several nodes share, and starts that find room on a node and in all that it shares.

use super::supply::Supply;
use super::{NodeRoom, Room, Slot};
use crate::machine::{Amount, MODELS, Machine, Shape, model_matches};
use crate::problem::{Good, Job, Level, Shared, Site};
use crate::stamp::{Stamp, stamp, time};
use chrono::{DateTime, Utc};
use neap_model::reason::Reason;
use neap_model::units::Watts;
use std::sync::Arc;

/// Something shared, and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SharedRoom {
    pub state: Arc<Shared>,
    /// In mW, or GPUs.
    pub supply: Supply<u64>,
    /// The most that there ever is of it for a job.
    most: u64,
    /// Power of which there may be too little: with everything at work more could be drawn.
    scarce: bool,
}

impl SharedRoom {
    /// With nothing taken yet but what is taken idle.
    pub(super) fn of(state: &Arc<Shared>, machines: &[NodeRoom]) -> Self {
        let jobs = |level: u64| level.saturating_sub(state.idle);
        let mut supply = Supply::new(state.levels.first().map_or(u64::MAX, |level| jobs(level.most)));
        for level in state.levels.iter().skip(1) {
            supply.change(stamp(level.from), Stamp::MAX, |free| *free = jobs(level.most));
        }
        let there = machines.iter().map(|node| &node.machine).filter(|machine| state.nodes.contains(&machine.name));
        let work: u64 = there.map(|machine| machine.draws_at_most().0).sum();
        let least = state.levels.iter().map(|level| jobs(level.most)).min().unwrap_or(u64::MAX);
        let scarce = state.what == Good::Power && least < work;
        Self {
            most: jobs(highest(state).map_or(u64::MAX, |level| level.most)),
            scarce,
            state: Arc::clone(state),
            supply,
        }
    }

    /// What one mW, or GPU, of it is in the units in which it has its price: kW, or GPUs.
    pub(crate) fn unit(&self) -> f64 {
        match self.state.what {
            Good::Power => 1e-6,
            Good::Gpus { .. } => 1.0,
        }
    }

    /// That a job that would start at `from` takes so much of it and there is too little at `at`.
    fn short(&self, takes: u64, from: Stamp, at: Stamp) -> Reason {
        let later = (at > from).then(|| time(at));
        self.too_little(takes, self.supply.at(at), self.state.level(time(at)), later)
    }

    /// That a job takes so much of it, that so much is left, what there is of it, and from when on if not at once.
    fn too_little(&self, takes: u64, free: u64, level: Option<&Level>, from: Option<DateTime<Utc>>) -> Reason {
        let (event, level) = level.map_or((None, 0), |level| (level.event.clone(), level.most));
        match &self.state.what {
            Good::Power => Reason::Power {
                domain: self.state.name.clone(),
                needs: Watts(takes),
                free: Watts(free),
                limit: Watts(level),
                event,
                from,
            },
            Good::Gpus { model } => Reason::Peak {
                place: self.state.name.clone(),
                model: model.clone(),
                needs: u32::try_from(takes).unwrap_or(u32::MAX),
                free: u32::try_from(free).unwrap_or(u32::MAX),
                limit: u32::try_from(level).unwrap_or(u32::MAX),
            },
        }
    }
}

/// When there is most of it; of equals the last.
fn highest(state: &Shared) -> Option<&Level> {
    state.levels.iter().max_by_key(|level| level.most)
}

/// What of a job counts against something shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Counts {
    /// What it draws.
    Draws,
    /// Its GPUs of these models, by their places on the machine.
    Gpus([bool; MODELS]),
}

impl Counts {
    /// How much of it that need takes.
    pub fn of(self, need: &Amount, draws: Watts) -> u64 {
        match self {
            Self::Draws => draws.0,
            Self::Gpus(counted) => {
                let counts = need.gpus.iter().zip(counted).filter(|(_, counted)| *counted);
                counts.map(|(count, _)| u64::from(*count)).sum()
            }
        }
    }
}

/// What that machine shares with others.
pub(crate) fn under(site: &Site, machine: &Machine) -> Vec<(usize, Counts)> {
    let of = |(index, shared): (usize, &Arc<Shared>)| {
        let counts = match &shared.what {
            Good::Power => Counts::Draws,
            Good::Gpus { model } => {
                let mut counted = [false; MODELS];
                for (counted, of) in counted.iter_mut().zip(&machine.models) {
                    *counted = model_matches(model.as_slice(), &of.name);
                }
                Counts::Gpus(counted)
            }
        };
        shared.nodes.contains(&machine.name).then_some((index, counts))
    };
    site.shared.iter().enumerate().filter_map(of).collect()
}

impl NodeRoom {
    /// What that need takes of what the node shares, as far as it takes any.
    pub(crate) fn takes(&self, need: &Amount, draws: Watts) -> impl Iterator<Item = (usize, u64)> + use<'_> {
        let need = *need;
        self.under
            .iter()
            .map(move |(shared, counts)| (*shared, counts.of(&need, draws)))
            .filter(|(_, takes)| *takes > 0)
    }
}

impl Room {
    /// The ways in which that node could run the job, however much there is of what it shares. Those for where watts are short
    /// are not among them where there never can be too few.
    fn all_shapes<'a>(&'a self, node: &'a NodeRoom, job: &'a Job) -> impl Iterator<Item = Shape> + 'a {
        let scarce = node.under.iter().any(|(shared, _)| self.shared[*shared].scarce);
        node.machine.shapes(job).filter(move |shape| scarce || !shape.short)
    }

    /// The ways in which that node could run the job if all that runs were gone, there and in what it shares.
    pub(crate) fn shapes<'a>(&'a self, index: usize, job: &'a Job) -> impl Iterator<Item = Shape> + 'a {
        let node = &self.nodes[index];
        self.all_shapes(node, job).filter(move |shape| {
            node.under.iter().all(|(shared, counts)| counts.of(&shape.need, shape.draws) <= self.shared[*shared].most)
        })
    }

    /// The first start on that node from `from` on, not after `limit`, at which there is room for the whole run.
    pub(crate) fn earliest(&self, index: usize, shape: &Shape, from: Stamp, limit: Stamp) -> Option<Stamp> {
        let (node, length) = (&self.nodes[index], shape.millis());
        let mut start = node.free.earliest(&shape.need, from, length, limit)?;
        if node.under.is_empty() {
            return Some(start);
        }
        loop {
            let mut later = start;
            for (shared, takes) in node.takes(&shape.need, shape.draws) {
                later = self.shared[shared].supply.earliest(&takes, later, length, limit)?;
            }
            if later == start {
                return Some(start);
            }
            start = node.free.earliest(&shape.need, later, length, limit)?;
        }
    }

    /// Calls `each` for every interval of starts within `[from, until]` at which that node has room for `length`.
    pub(crate) fn gaps(
        &self,
        index: usize,
        shape: &Shape,
        (from, until): (Stamp, Stamp),
        length: i64,
        mut each: impl FnMut(Stamp, Stamp),
    ) {
        let node = &self.nodes[index];
        if node.under.is_empty() {
            return node.free.gaps(&shape.need, from, until, length, each);
        }
        let takes: Vec<(usize, u64)> = node.takes(&shape.need, shape.draws).collect();
        node.free.gaps(&shape.need, from, until, length, |first, last| {
            self.narrowed(&takes, (first, last), length, &mut each);
        });
    }

    /// Those of the starts at which there is enough of all that is shared, too.
    fn narrowed(
        &self,
        takes: &[(usize, u64)],
        (from, until): (Stamp, Stamp),
        length: i64,
        each: &mut dyn FnMut(Stamp, Stamp),
    ) {
        match takes {
            [] => each(from, until),
            [(shared, takes), others @ ..] => {
                self.shared[*shared].supply.gaps(takes, from, until, length, |first, last| {
                    self.narrowed(others, (first, last), length, each);
                });
            }
        }
    }

    /// The least that there is in `[from, until)` of the power which that node shares; `None`: it is under no limit.
    pub(crate) fn spare_power(&self, index: usize, from: Stamp, until: Stamp) -> Option<Watts> {
        let power = self.nodes[index].under.iter().filter(|(_, counts)| *counts == Counts::Draws);
        let least = |(shared, _): &(usize, Counts)| {
            let mut least = u64::MAX;
            self.shared[*shared].supply.each_step(from, until, |_, _, free| least = least.min(*free));
            Watts(least)
        };
        power.map(least).min()
    }

    /// Whether there is room on that node, and in what it shares, for the whole of `[from, until)`.
    pub(crate) fn has_room(&self, index: usize, shape: &Shape, from: Stamp, until: Stamp) -> bool {
        self.fits(&Slot { node: index, need: shape.need, draws: shape.draws, from, until })
    }

    /// Whether that much of that node, and of what it shares, is free all that time.
    pub(crate) fn fits(&self, slot: &Slot) -> bool {
        let (node, length) = (&self.nodes[slot.node], slot.until.saturating_sub(slot.from));
        node.free.fits(&slot.need, slot.from, length)
            && node
                .takes(&slot.need, slot.draws)
                .all(|(shared, takes)| self.shared[shared].supply.fits(&takes, slot.from, length))
    }

    /// The same once `held`, which someone has of it until then, is given back.
    pub(crate) fn fits_beside(&self, slot: &Slot, (held, draws): (&Amount, Watts), held_until: Stamp) -> bool {
        let (node, run) = (&self.nodes[slot.node], (slot.from, slot.until));
        node.free.fits_beside(&slot.need, run, held, held_until)
            && node.under.iter().all(|(shared, counts)| {
                let (takes, has) = (counts.of(&slot.need, slot.draws), counts.of(held, draws));
                self.shared[*shared].supply.fits_beside(&takes, run, &has, held_until)
            })
    }

    /// Whether two promises take of the same: of a node, or of something shared.
    pub(crate) fn meet(&self, one: &Slot, other: &Slot) -> bool {
        one.node == other.node || {
            let (a, b) = (&self.nodes[one.node], &self.nodes[other.node]);
            a.takes(&one.need, one.draws)
                .any(|(shared, _)| b.takes(&other.need, other.draws).any(|(of, _)| of == shared))
        }
    }

    /// What is shared and keeps a job from a start at `from` on a node that has room for it.
    pub(crate) fn shared_shortage(&self, job: &Job, from: Stamp) -> Option<Reason> {
        let sharing = self.open(job).filter(|(_, node, _)| !node.under.is_empty()).map(|(index, ..)| index);
        let short = |index| self.shapes(index, job).find_map(|shape| self.shortage(index, &shape, from));
        sharing.into_iter().find_map(short)
    }

    /// What is shared and keeps a start at `from` for which its node has room: there is too little then or later in its run, or it
    /// is promised to somebody. `None`: nothing shared does.
    fn shortage(&self, index: usize, shape: &Shape, from: Stamp) -> Option<Reason> {
        let (node, length) = (&self.nodes[index], shape.millis());
        if !node.free.fits(&shape.need, from, length) {
            return None;
        }
        let short = |(shared, takes): &(usize, u64)| !self.shared[*shared].supply.fits(takes, from, length);
        let (shared, takes) = node.takes(&shape.need, shape.draws).find(short)?;
        let shared = &self.shared[shared];
        let at = shared.supply.first_short(&takes, from)?;
        let promised = if at > from { shared.supply.promised_at(at) } else { None };
        Some(promised.map_or_else(|| shared.short(takes, from, at), |job| Reason::Reserved { job }))
    }

    /// What is shared and of which there never is enough for any way to run the job on a node that could else run it.
    pub(crate) fn never_enough(&self, job: &Job) -> Option<Reason> {
        self.open(job).find_map(|(_, node, _)| {
            let mut shapes = self.all_shapes(node, job);
            let fewest = shapes.next().map(|first| shapes.fold(first, |a, b| if b.draws < a.draws { b } else { a }))?;
            let mut all = node.under.iter().map(|(shared, counts)| (*shared, counts.of(&fewest.need, fewest.draws)));
            let (shared, takes) = all.find(|(shared, takes)| *takes > self.shared[*shared].most)?;
            let shared = &self.shared[shared];
            Some(shared.too_little(takes, shared.most, highest(&shared.state), None))
        })
    }
}
