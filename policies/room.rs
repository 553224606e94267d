//! What is left of every node over time, once occupants and planned jobs have theirs.
//!
//! Room remembers promises and finds gaps; who deserves a gap is decided elsewhere.

mod levels;
mod money;

use crate::integral::Integral;
use crate::machine::{Amount, Machine};
use crate::order::by_price;
use crate::problem::{Job, Occupant, Site};
use crate::stamp::{Stamp, stamp, time};
use chrono::{DateTime, Utc};
pub(crate) use money::Money;
use neap_model::grid::Series;
use neap_model::job::JobId;
use neap_model::units::{Bytes, Pue};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An occupant that has outlived its expected end is expected to go within a minute: it is there, so its room is not free.
const OVERRUN: i64 = 60_000;

/// Residual capacity of every node over time, and the curves of the zones. Made from a `Site`; when nodes or curves
/// change it is made anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    pub(crate) zones: Vec<ZoneRoom>,
    pub(crate) nodes: Vec<NodeRoom>,
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
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeRoom {
    pub machine: Machine,
    /// Index of its zone; `None`: a zone that the site does not name, where nothing runs.
    pub zone: Option<usize>,
    /// What is free from an instant to the next step's; the last one lasts for ever.
    steps: Vec<(Stamp, Amount)>,
    /// Starts of planned jobs, sorted.
    starts: Vec<(Stamp, JobId)>,
}

/// A promise: that much of that node between two instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub node: usize,
    pub need: Amount,
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
        let nodes = site.nodes.iter().map(|node| NodeRoom {
            machine: Machine::of(node),
            zone: zones.iter().position(|zone| zone.name == node.zone),
            steps: vec![(Stamp::MIN, Machine::of(node).total)],
            starts: Vec::new(),
        });
        let mut room = Self { nodes: nodes.collect(), home: home(site), zones, slots: BTreeMap::new() };
        let now = stamp(site.now);
        for occupant in occupants {
            let Some(index) = site.nodes.iter().position(|node| node.name == occupant.node) else {
                continue;
            };
            let node = &mut room.nodes[index];
            let need = node.machine.held(&site.nodes[index].gpus, occupant);
            node.change(Stamp::MIN, occupied_until(occupant, now), |free| free.take(&need));
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

    /// Promises slots to a job, which gives back what it was promised before.
    pub(crate) fn promise(&mut self, job: JobId, slots: Vec<Slot>) {
        self.release(job);
        for slot in &slots {
            let node = &mut self.nodes[slot.node];
            node.change(slot.from, slot.until, |free| free.take(&slot.need));
            let at = node.starts.partition_point(|start| *start < (slot.from, job));
            node.starts.insert(at, (slot.from, job));
        }
        if !slots.is_empty() {
            self.slots.insert(job, slots);
        }
    }

    /// Whether that much of that node is free all that time.
    pub(crate) fn fits(&self, slot: &Slot) -> bool {
        self.nodes[slot.node].fits(&slot.need, slot.from, slot.until.saturating_sub(slot.from))
    }

    /// Takes a promise back.
    pub(crate) fn release(&mut self, job: JobId) {
        for slot in self.slots.remove(&job).unwrap_or_default() {
            let node = &mut self.nodes[slot.node];
            node.change(slot.from, slot.until, |free| free.give(&slot.need));
            node.mend(slot.from);
            node.mend(slot.until);
            node.starts.retain(|start| *start != (slot.from, job));
        }
    }

    /// What the job is promised first.
    #[must_use]
    pub fn booking(&self, job: JobId) -> Option<Booking> {
        let slot = self.slots.get(&job)?.first()?;
        let machine = &self.nodes[slot.node].machine;
        let (cpus, memory, gpus) = machine.named(&slot.need);
        let (from, until) = (time(slot.from), time(slot.until));
        Some(Booking { node: machine.name.clone(), from, until, cpus, memory, gpus })
    }

    /// What is free on the node at that time; `None` for an unknown node.
    #[must_use]
    pub fn free(&self, node: &str, at: DateTime<Utc>) -> Option<Free> {
        let node = self.nodes.iter().find(|room| room.machine.name == node)?;
        let (cpus, memory, gpus) = node.machine.named(&node.at(stamp(at)));
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

impl NodeRoom {
    /// Index of the step that covers `at`.
    fn step(&self, at: Stamp) -> usize {
        self.steps.partition_point(|(from, _)| *from <= at).saturating_sub(1)
    }

    /// What is free at that instant.
    pub fn at(&self, at: Stamp) -> Amount {
        self.steps[self.step(at)].1
    }

    /// The end of a step.
    fn end(&self, step: usize) -> Stamp {
        self.steps.get(step + 1).map_or(Stamp::MAX, |(from, _)| *from)
    }

    /// Makes `at` an edge and gives the index of the step that begins there.
    fn cut(&mut self, at: Stamp) -> usize {
        let step = self.step(at);
        if self.steps[step].0 == at {
            return step;
        }
        self.steps.insert(step + 1, (at, self.steps[step].1));
        step + 1
    }

    /// Forgets an edge on both sides of which the same is free.
    fn mend(&mut self, at: Stamp) {
        let step = self.step(at);
        if step > 0 && self.steps[step].0 == at && self.steps[step].1 == self.steps[step - 1].1 {
            self.steps.remove(step);
        }
    }

    fn change(&mut self, from: Stamp, until: Stamp, how: impl Fn(&mut Amount)) {
        if from >= until {
            return;
        }
        let first = self.cut(from);
        let last = self.cut(until);
        self.steps[first..last].iter_mut().for_each(|(_, free)| how(free));
    }

    /// The first start from `from` on, not after `limit`, at which `need` is free for `length`.
    pub fn earliest(&self, need: &Amount, from: Stamp, length: i64, limit: Stamp) -> Option<Stamp> {
        let mut start = from;
        for step in self.step(from)..self.steps.len() {
            if start > limit {
                return None;
            }
            let end = self.end(step);
            if !self.steps[step].1.covers(need) {
                start = end;
            } else if end.saturating_sub(start) >= length {
                return Some(start);
            }
        }
        None
    }

    /// Calls `each` for every interval of starts within `[from, until]` at which `need` is free for `length`.
    pub fn gaps(&self, need: &Amount, from: Stamp, until: Stamp, length: i64, mut each: impl FnMut(Stamp, Stamp)) {
        let (mut start, mut step) = (from, self.step(from));
        let reach = until.saturating_add(length);
        while start <= until && step < self.steps.len() {
            if !self.steps[step].1.covers(need) {
                start = self.end(step);
                step += 1;
                continue;
            }
            while step + 1 < self.steps.len() && self.steps[step + 1].1.covers(need) && self.steps[step].0 <= reach {
                step += 1;
            }
            let last = self.end(step).saturating_sub(length).min(until);
            if start <= last {
                each(start, last);
            }
            start = self.end(step);
            step += 1;
        }
    }

    /// Whether `need` is free for the whole of `[from, from + length)`.
    pub fn fits(&self, need: &Amount, from: Stamp, length: i64) -> bool {
        self.earliest(need, from, length, from) == Some(from)
    }

    /// Calls `each` with what is free in every stretch of `[from, until)`.
    pub fn each_step(&self, from: Stamp, until: Stamp, mut each: impl FnMut(Stamp, Stamp, &Amount)) {
        for step in self.step(from)..self.steps.len() {
            let (begins, free) = self.steps[step];
            if begins >= until {
                return;
            }
            each(begins.max(from), self.end(step).min(until), &free);
        }
    }

    /// Whether `need` is free for the whole of `[from, until)` once `held`, which someone has until then, is given back.
    pub fn fits_beside(&self, need: &Amount, (from, until): (Stamp, Stamp), held: &Amount, held_until: Stamp) -> bool {
        (self.step(from)..self.steps.len()).take_while(|step| self.steps[*step].0 < until).all(|step| {
            let (begins, mut free) = self.steps[step];
            if begins < held_until {
                free.give(held);
            }
            free.covers(need)
        })
    }

    /// The planned job whose start ends the room that `need` has at `from`.
    pub fn promised_to(&self, need: &Amount, from: Stamp) -> Option<JobId> {
        let short = (self.step(from)..self.steps.len()).find(|step| !self.steps[*step].1.covers(need))?;
        let at = self.steps[short].0;
        let first = self.starts.partition_point(|(start, _)| *start < at);
        self.starts.get(first).filter(|(start, _)| *start == at).map(|(_, job)| *job)
    }
}
