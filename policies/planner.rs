//! The plan: one decision a job, made in the order of the queue, each in what those before it left.
//!
//! Forced jobs go first, then those whose latest start has come, then everybody by priority, submission and number. A
//! job that does not wait for the grid takes the earliest start that delays nobody before it (conservative backfill); one
//! that does takes its cleanest start and holds that window, so that later jobs cannot take it.
//!
//! Each decision depends only on those before it and on the job's own previous one, and choosing again from the same
//! things gives the same choice. So planning twice without news changes nothing, and inserting jobs one by one in the
//! order of the queue gives the same plan as planning them at once.

mod broken;
mod certificate;
mod decide;
mod pausing;
pub(crate) mod reasons;
pub(crate) mod search;
#[cfg(test)]
pub(crate) mod tests;

use crate::order::{Rank, Turn, rank, turn};
use crate::problem::{Job, Policy, Problem, Site};
use crate::room::{Booking, Room, Slot};
pub use certificate::certified;
use chrono::{DateTime, Utc};
pub(crate) use decide::Desk;
use neap_model::job::JobId;
use neap_model::plan::{Blocker, Decision, Verdict};
use neap_model::reason::Reason;
pub use pausing::Pausing;
use std::collections::BTreeMap;

/// What was decided for every waiting job, and the room that is left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// One decision a job.
    pub decisions: BTreeMap<JobId, Decision>,
    /// What is promised to occupants and to planned jobs.
    pub room: Room,
    /// Who of those that run is paused now.
    pub pauses: BTreeMap<JobId, Pausing>,
    /// When a running job comes to the next pause that is in sight.
    pub look_again: Option<DateTime<Utc>>,
    /// Jobs that compete for room, by priority.
    queued: BTreeMap<i32, usize>,
}

impl Plan {
    /// What a planned job is promised: node, time, cores, memory and GPU model. `None`: nothing yet.
    #[must_use]
    pub fn booking(&self, job: JobId) -> Option<Booking> {
        self.room.booking(job)
    }

    /// A job that left the queue without starting gives its room back.
    pub fn forget(&mut self, job: &Job) {
        self.started(job);
        self.room.release(job.id);
    }

    /// A job that was started waits no more and keeps its room until the next full plan, which sees it as an occupant.
    pub fn started(&mut self, job: &Job) {
        let known = self.decisions.remove(&job.id);
        if known.is_some_and(|decision| competes(&decision))
            && let Some(count) = self.queued.get_mut(&job.priority)
        {
            *count = count.saturating_sub(1);
        }
    }

    fn put(&mut self, job: &Job, decision: Decision, slots: Vec<Slot>) {
        self.room.promise(job.id, slots);
        if competes(&decision) {
            *self.queued.entry(job.priority).or_default() += 1;
        }
        self.decisions.insert(job.id, decision);
    }
}

/// Whether others in the queue stand behind this job: it has a place, or waits for one that there is.
fn competes(decision: &Decision) -> bool {
    match &decision.verdict {
        Verdict::Start { .. } => true,
        Verdict::Hold { place, because, .. } => place.is_some() || matches!(because, Reason::Behind { .. }),
    }
}

/// Decides for every waiting job. Total: a job that fits nowhere gets a decision too.
#[must_use]
pub fn plan(problem: &Problem, policy: &Policy) -> Plan {
    let now = problem.site.now;
    let mut room = Room::of(&problem.site, &problem.occupants);
    let mut order: Vec<(Rank, usize)> =
        problem.waiting.iter().enumerate().map(|(index, job)| (rank(job, now), index)).collect();
    order.sort_unstable();
    let mut decisions = Vec::with_capacity(order.len());
    let mut queued = BTreeMap::new();
    // Jobs that cannot start yet have a depth of their own, so that a queue full of them does not hide the others.
    let (mut ready, mut unready, mut before) = (0usize, 0usize, 0usize);
    for (_, index) in order {
        let job = &*problem.waiting[index];
        let desk = Desk { room: &room, policy, now };
        let (decision, slots) = if let Some(reason) = &job.blocked {
            (reasons::blocked(job, reason), Vec::new())
        } else if !possible(&room, job) {
            (reasons::hopeless(&room, job, now), Vec::new())
        } else {
            let depth = if job.eligible <= now { &mut ready } else { &mut unready };
            *depth += 1;
            before += 1;
            *queued.entry(job.priority).or_default() += 1;
            if *depth > policy.depth {
                desk.glance(job, before - 1)
            } else {
                desk.decide(job, problem.previous.get(&job.id))
            }
        };
        room.promise(job.id, slots);
        decisions.push((job.id, decision));
    }
    let (pauses, look_again) = pausing::pauses(problem, policy, &room);
    Plan { decisions: decisions.into_iter().collect(), room, pauses, look_again, queued }
}

/// Whether a node that is up could run the job if it were empty.
fn possible(room: &Room, job: &Job) -> bool {
    room.open(job).any(|(_, node, _)| node.machine.shapes(job).next().is_some())
}

/// Decides for one new job in what is left; nobody else moves. A job that is already in the plan is decided anew.
///
/// Of `site` only the time is read: the room belongs to the site it was planned for, and after a change of nodes or
/// curves everything is planned anew. A plan that was never made answers `system.evaluating`.
pub fn insert(plan: &mut Plan, site: &Site, policy: &Policy, job: &Job) -> Decision {
    if plan.decisions.contains_key(&job.id) || plan.room.slots.contains_key(&job.id) {
        plan.forget(job);
    }
    let desk = Desk { room: &plan.room, policy, now: site.now };
    let (decision, slots) = if let Some(reason) = &job.blocked {
        (reasons::blocked(job, reason), Vec::new())
    } else if plan.room.is_blank() {
        (reasons::hold(job, vec![Blocker { reason: Reason::Evaluating, clears: None }]), Vec::new())
    } else if !possible(&plan.room, job) {
        (reasons::hopeless(&plan.room, job, site.now), Vec::new())
    } else {
        let before: usize = plan.queued.range(job.priority..).map(|(_, count)| count).sum();
        let unplanned = before >= policy.depth && turn(job, site.now) == Turn::Ordinary;
        if unplanned { desk.glance(job, before) } else { desk.decide(job, None) }
    };
    plan.put(job, decision.clone(), slots);
    decision
}
