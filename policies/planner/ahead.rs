//! The room as it will be if all wishes come true: who waits for the grid does not push aside others who do.
//!
//! Wishes give no right. Whoever has no choice takes what his rank gives him, and wishes in his way are forgotten here.

use super::decide::kit;
use super::line::Wish;
use super::search;
use crate::machine::Shape;
use crate::problem::Job;
use crate::room::{Room, Slot};
use crate::stamp::{Stamp, stamp};
use neap_model::job::JobId;
use neap_model::plan::{Decision, Verdict};
use std::collections::BTreeSet;

/// What is decided already and, of the others, their wishes.
#[derive(Clone, Debug)]
pub(super) struct Ahead {
    pub room: Room,
    wished: BTreeSet<JobId>,
}

impl Ahead {
    pub fn new(empty: &Room) -> Self {
        Self { room: empty.clone(), wished: BTreeSet::new() }
    }

    /// Notes a wish, if it can come true beside those noted before.
    pub fn wish(&mut self, job: &Job, wish: &Wish<'_>, now: Stamp) {
        let slots = match wish {
            Wish::There(target, _) => Some(target.slots()),
            Wish::Promised(decision) | Wish::Begun(decision) | Wish::Started(decision) => {
                promised(&self.room, job, decision, now)
            }
            Wish::First(slots) => Some(slots.clone()).filter(|slots| !slots.is_empty()),
            Wish::Alone(_) => None,
        };
        if let Some(slots) = slots.filter(|slots| slots.iter().all(|slot| self.room.fits(slot))) {
            self.room.promise(job.id, slots);
            self.wished.insert(job.id);
        }
    }

    /// The turn of a job has come: its own wish is not in its way.
    pub fn turn(&mut self, job: JobId) {
        if self.wished.remove(&job) {
            self.room.release(job);
        }
    }

    /// What was decided for a job.
    pub fn decided(&mut self, job: JobId, slots: &[Slot]) {
        if slots.is_empty() {
            return;
        }
        let in_the_way = |room: &Room, other: &JobId, alike: bool| {
            let there = room.slots.get(other).map_or(&[][..], Vec::as_slice);
            let model = |a: &Slot, b: &Slot| a.need.gpus.iter().zip(&b.need.gpus).any(|(a, b)| *a > 0 && *b > 0);
            let same = |a: &Slot, b: &Slot| a.node == b.node && model(a, b);
            slots.iter().any(|slot| {
                let meets = |o: &&Slot| o.from < slot.until && slot.from < o.until && room.meet(o, slot);
                there.iter().filter(meets).any(|o| !alike || same(o, slot))
            })
        };
        while !slots.iter().all(|slot| self.room.fits(slot)) {
            // Rather one that wants the same model than one that only wants the same node.
            let find = |alike| self.wished.iter().rev().find(|other| in_the_way(&self.room, other, alike)).copied();
            let Some(other) = find(true).or_else(|| find(false)) else { break };
            self.turn(other);
        }
        self.room.promise(job, slots.to_vec());
    }
}

/// The room of what was promised for later.
fn promised(room: &Room, job: &Job, decision: &Decision, now: Stamp) -> Option<Vec<Slot>> {
    let (Verdict::Start { place, .. } | Verdict::Hold { place: Some(place), .. }) = &decision.verdict else {
        return None;
    };
    let runs: Vec<(Stamp, Stamp)> = decision.runs.iter().map(|run| (stamp(run.from), stamp(run.until))).collect();
    let start = runs.first().map_or_else(|| decision.start().map(stamp), |run| Some(run.0))?;
    if runs.is_empty() || start < now {
        // What falls due begins now.
        return Some(vec![search::there(room, job, (&place.node, kit(decision)), start.max(now), usize::MAX)?.slot()]);
    }
    let (index, node, _) = room.open_node(job, &place.node)?;
    let slot = |shape: &Shape, (from, until): &(Stamp, Stamp)| {
        let Shape { need, draws, .. } = *shape;
        Slot { node: index, need, draws, from: *from, until: *until }
    };
    let fits = |shape: &Shape| runs.iter().all(|run| room.fits(&slot(shape, run)));
    let shape = node.machine.shapes_of(job, kit(decision)).find(fits)?;
    Some(runs.iter().map(|run| slot(&shape, run)).collect())
}
