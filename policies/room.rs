//! What is left of every node over time, once occupants and planned jobs have theirs.
//!
//! Room remembers promises and finds gaps; who deserves a gap is decided elsewhere.

mod levels;
mod money;
mod shared;
mod supply;

use crate::integral::Integral;
use crate::likely::Lengths;
use crate::machine::{Amount, MODELS, Machine, Shape};
use crate::order::by_price;
use crate::problem::{Job, Occupant, Site};
use crate::stamp::{Stamp, stamp, time};
use chrono::{DateTime, Utc};
pub(crate) use money::{Hire, Money};
use neap_model::grid::Series;
use neap_model::job::JobId;
use neap_model::units::{Bytes, Pue, Watts};
pub(crate) use shared::{Counts, SharedRoom};
use std::collections::BTreeMap;
use std::sync::Arc;
pub(crate) use supply::Goods;
pub(crate) use supply::Supply;

/// An occupant that has outlived its expected end is expected to go within a minute: it is there, so its room is not free.
const OVERRUN: i64 = 60_000;

/// Residual capacity of every node over time, and the curves of the zones. Made from a `Site`; when nodes or curves
/// change it is made anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    pub(crate) zones: Vec<ZoneRoom>,
    pub(crate) nodes: Vec<NodeRoom>,
    pub(crate) shared: Vec<SharedRoom>,
    home: usize,
    /// By job, in the order of time; more than one for a job that is planned with pauses.
    pub(crate) slots: BTreeMap<JobId, Vec<Slot>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ZoneRoom {
    pub name: String,
    pub pue: Pue,
    pub curve: Arc<Series>,
    /// The curve as it is weighed: where zones measure different things, each of these is brought to one level.
    pub weighed: Arc<Series>,
    pub integral: Arc<Integral>,
    /// What the curve measures, as a number.
    pub basis: usize,
    /// What jobs go by that may wait for cheaper hours.
    pub money: Arc<Money>,
}

impl ZoneRoom {
    /// The curve that the job goes by, as it is weighed, and its integral.
    pub fn goes_by(&self, job: &Job) -> (&Series, &Arc<Integral>) {
        if by_price(job) { (&self.money.weighed, &self.money.integral) } else { (&self.weighed, &self.integral) }
    }

    /// Power of the site for a job of that shape there, in mW × PUE in thousandths.
    pub fn rate(&self, shape: &Shape) -> u128 {
        u128::from(shape.watts.0) * ((self.pue.ratio() * 1_000.0).round() as u128)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeRoom {
    pub machine: Machine,
    /// Index of its zone; `None`: a zone that the site does not name, where nothing runs.
    pub zone: Option<usize>,
    pub free: Supply<Amount>,
    /// What it shares with others: the place in [`Room::shared`], and what of a job's need counts.
    pub under: Vec<(usize, Counts)>,
    /// What its GPUs cost, by model.
    pub hires: [Hire; MODELS],
}

impl NodeRoom {
    /// What one of the GPUs of that shape costs; `None` without any.
    pub fn hire(&self, shape: &Shape) -> Option<&Hire> {
        self.hires.iter().zip(&shape.need.gpus).find(|(_, count)| **count > 0).map(|(hire, _)| hire)
    }
}

/// A promise: that much of that node between two instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub node: usize,
    pub need: Amount,
    /// The most it could add to what the node draws idle.
    pub draws: Watts,
    pub from: Stamp,
    pub until: Stamp,
}

/// What a planned job is promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    /// Node.
    pub node: String,
    /// From then,
    pub from: DateTime<Utc>,
    /// until then.
    pub until: DateTime<Utc>,
    /// Cores.
    pub cpus: u32,
    /// Memory.
    pub memory: Bytes,
    /// GPUs by model.
    pub gpus: Vec<(String, u32)>,
    /// The most that it could add to what the node draws idle.
    pub draws: Watts,
}

/// What is free on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Free {
    /// Cores.
    pub cpus: u32,
    /// Memory.
    pub memory: Bytes,
    /// GPUs by model; models without a free one are left out.
    pub gpus: Vec<(String, u32)>,
}

impl Room {
    /// The site with its occupants in it. Occupants keep their room until they are expected to end.
    pub(crate) fn of(site: &Site, occupants: &[Occupant]) -> Self {
        let weighed = levels::weighed(site);
        let money = money::of(site, &weighed);
        let zones: Vec<ZoneRoom> = site
            .zones
            .iter()
            .zip(weighed)
            .zip(money)
            .map(|((state, weighed), money)| ZoneRoom {
                name: state.zone.name.clone(),
                pue: state.zone.pue.unwrap_or_default(),
                curve: Arc::clone(&state.curve),
                integral: Arc::new(Integral::of(&weighed)),
                weighed,
                basis: state.basis,
                money,
            })
            .collect();
        let nodes = site.nodes.iter().map(|node| {
            let machine = Machine::of(node);
            let zone = zones.iter().position(|zone| zone.name == node.zone);
            let hires = zone.map(|zone| zones[zone].money.hires(&machine)).unwrap_or_default();
            NodeRoom { zone, free: Supply::new(machine.total), under: shared::under(site, &machine), machine, hires }
        });
        let nodes: Vec<NodeRoom> = nodes.collect();
        let shared = site.shared.iter().map(|state| SharedRoom::of(state, &nodes)).collect();
        let mut room = Self { nodes, shared, home: home(site), zones, slots: BTreeMap::new() };
        let now = stamp(site.now);
        for occupant in occupants {
            let Some(index) = site.nodes.iter().position(|node| node.name == occupant.node) else {
                continue;
            };
            let node = &mut room.nodes[index];
            let need = node.machine.held(&site.nodes[index].gpus, occupant);
            let until = occupied_until(occupant, now);
            node.free.change(Stamp::MIN, until, |free| free.take(&need));
            for (shared, counts) in &node.under {
                let takes = counts.of(&need, occupant.draws);
                room.shared[*shared].supply.change(Stamp::MIN, until, |free| free.take(&takes));
            }
        }
        room
    }

    /// Whether it was never made from a site.
    pub(crate) fn is_blank(&self) -> bool {
        self.zones.is_empty() && self.nodes.is_empty()
    }

    /// Whether the job may run in that zone.
    pub(crate) fn allows(&self, job: &Job, zone: usize) -> bool {
        if job.zones.is_empty() { zone == self.home } else { job.zones.contains(&self.zones[zone].name) }
    }

    /// The names of the zones the job may run in.
    pub(crate) fn zones_of(&self, job: &Job) -> Vec<String> {
        if job.zones.is_empty() {
            self.zones.get(self.home).map(|zone| zone.name.clone()).into_iter().collect()
        } else {
            job.zones.clone()
        }
    }

    /// The index of the node of that name. Names are sorted where nodes come from a site.
    pub(crate) fn node(&self, name: &str) -> Option<usize> {
        let sorted = self.nodes.binary_search_by(|node| node.machine.name.as_str().cmp(name)).ok();
        sorted.or_else(|| self.nodes.iter().position(|node| node.machine.name == name))
    }

    /// The node of that name, if it is up and in a zone the job may use, with its index and that of its zone.
    pub(crate) fn open_node<'a>(&'a self, job: &Job, name: &str) -> Option<(usize, &'a NodeRoom, usize)> {
        let index = self.node(name)?;
        let node = &self.nodes[index];
        let zone = node.zone.filter(|zone| node.machine.up && self.allows(job, *zone))?;
        Some((index, node, zone))
    }

    /// The nodes that are up and in a zone the job may use, with the zone's index.
    pub(crate) fn open<'a>(&'a self, job: &'a Job) -> impl Iterator<Item = (usize, &'a NodeRoom, usize)> + 'a {
        self.nodes.iter().enumerate().filter_map(move |(index, node)| {
            let zone = node.zone.filter(|zone| node.machine.up && self.allows(job, *zone))?;
            Some((index, node, zone))
        })
    }

    /// Whether the job may prefer one zone to the other for what it goes by: the curves measure the same, or the prices have
    /// one currency.
    pub(crate) fn alike(&self, job: &Job, one: usize, other: usize) -> bool {
        self.kind(job, one) == self.kind(job, other)
    }

    /// What the job goes by in that zone, as a number.
    pub(crate) fn kind(&self, job: &Job, zone: usize) -> usize {
        let zone = &self.zones[zone];
        if by_price(job) { zone.money.kind } else { zone.basis }
    }

    /// What the GPUs of a run are expected to cost, as it is weighed: only for a job that goes by money.
    pub(crate) fn hire(&self, job: &Job, node: &NodeRoom, shape: &Shape) -> u128 {
        let Some(zone) = node.zone.map(|zone| &self.zones[zone]).filter(|_| by_price(job)) else { return 0 };
        let Some(hire) = node.hire(shape) else { return 0 };
        let lengths = Lengths::of(job, shape.length);
        let likely = lengths.likely();
        let millis = likely.iter().map(|length| u128::from(length.unsigned_abs())).sum::<u128>() / likely.len() as u128;
        zone.money.hire(hire, shape.gpus(), millis, zone.rate(shape))
    }

    /// Promises slots to a job, which gives back what it was promised before.
    pub(crate) fn promise(&mut self, job: JobId, slots: Vec<Slot>) {
        self.release(job);
        for slot in &slots {
            self.nodes[slot.node].free.promise(job, (slot.from, slot.until), &slot.need);
            for (shared, takes) in self.nodes[slot.node].takes(&slot.need, slot.draws) {
                self.shared[shared].supply.promise(job, (slot.from, slot.until), &takes);
            }
        }
        if !slots.is_empty() {
            self.slots.insert(job, slots);
        }
    }

    /// Takes a promise back.
    pub(crate) fn release(&mut self, job: JobId) {
        for slot in self.slots.remove(&job).unwrap_or_default() {
            self.nodes[slot.node].free.release(job, (slot.from, slot.until), &slot.need);
            for (shared, takes) in self.nodes[slot.node].takes(&slot.need, slot.draws) {
                self.shared[shared].supply.release(job, (slot.from, slot.until), &takes);
            }
        }
    }

    /// What the job is promised first.
    #[must_use]
    pub fn booking(&self, job: JobId) -> Option<Booking> {
        let slot = self.slots.get(&job)?.first()?;
        let machine = &self.nodes[slot.node].machine;
        let (cpus, memory, gpus) = machine.named(&slot.need);
        let (from, until) = (time(slot.from), time(slot.until));
        Some(Booking { node: machine.name.clone(), from, until, cpus, memory, gpus, draws: slot.draws })
    }

    /// What is free on the node at that time; `None` for an unknown node.
    #[must_use]
    pub fn free(&self, node: &str, at: DateTime<Utc>) -> Option<Free> {
        let node = &self.nodes[self.node(node)?];
        let (cpus, memory, gpus) = node.machine.named(&node.free.at(stamp(at)));
        Some(Free { cpus, memory, gpus })
    }
}

/// Where jobs stay that name no zone: the first home zone, or the first zone.
fn home(site: &Site) -> usize {
    site.zones.iter().position(|state| state.zone.home).unwrap_or(0)
}

/// When an occupant's room becomes free.
pub(crate) fn occupied_until(occupant: &Occupant, now: Stamp) -> Stamp {
    let until = stamp(occupant.until);
    if until > now { until } else { now.saturating_add(OVERRUN) }
}
