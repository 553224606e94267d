//! The plan: one decision a job.
//!
//! Forced jobs go first, then those whose latest start has come, then everybody by priority, submission and number. A
//! job that does not wait for the grid takes the earliest start that delays nobody before it (conservative backfill); one
//! that does holds its window, so that later jobs cannot take it. Which windows these are is a question to all who wait
//! together: prices of room, those that prove the bound, say who should have the clean hours (`fill`), then everybody
//! looks around for better until nobody moves (`better`). The plan in the order of the queue is made as well, and no plan
//! is worse than that.
//!
//! The same problem gives the same plan, and a plan made again from itself, without news, is itself.

mod ahead;
mod better;
mod broken;
mod certificate;
mod costs;
mod decide;
mod fill;
mod line;
mod pausing;
pub(crate) mod priced;
pub(crate) mod reasons;
pub(crate) mod search;
mod short;
mod stand_ins;
mod steady;
#[cfg(test)]
pub(crate) mod tests;

use crate::order::{Turn, turn};
use crate::problem::{Effort, Job, Policy, Problem, Site};
use crate::room::{Booking, Room, Slot};
use crate::stamp::stamp;
use better::{Told, in_order};
pub use certificate::certified;
use chrono::{DateTime, Utc};
pub(crate) use decide::{Desk, kit as decided_kit};
use line::{Line, Wish};
use neap_model::job::JobId;
use neap_model::plan::{Blocker, Decision, Verdict};
use neap_model::reason::Reason;
use neap_model::units::Watts;
pub use pausing::Pausing;
use std::collections::BTreeMap;
use std::sync::Arc;

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

    /// The least of the power that a node shares which nobody is promised in `[from, until)`; `None`: it is under no limit.
    #[must_use]
    pub fn spare_power(&self, node: &str, (from, until): (DateTime<Utc>, DateTime<Utc>)) -> Option<Watts> {
        self.room.spare_power(self.room.node(node)?, stamp(from), stamp(until))
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
    if policy.effort == Effort::Queue {
        let line = Line::of(problem, policy);
        let alone = |job: &Arc<Job>| Wish::Alone(problem.previous.get(&job.id));
        let told = in_order(&line, &problem.waiting.iter().map(alone).collect::<Vec<_>>()).told(&line);
        return finished(problem, policy, &line, told);
    }
    let all = stand_ins::joined(problem);
    let line = Line::of(&all, policy);
    let told = if policy.effort == Effort::Keep { steady::kept(&line) } else { steady::searched(&line) };
    finished(problem, policy, &line, told)
}

/// Decides for every waiting job by what was promised, or by what a search of the same site and queue found meanwhile where
/// that costs less with its moves. Jobs that the search did not know, or that are gone since, do no harm.
#[must_use]
pub fn adopt(problem: &Problem, policy: &Policy, found: &BTreeMap<JobId, Decision>) -> Plan {
    let all = stand_ins::joined(problem);
    let line = Line::of(&all, policy);
    let told = steady::adopted(&line, found);
    finished(problem, policy, &line, told)
}

/// The plan with all who are not planned, and the pauses of those that run.
fn finished(problem: &Problem, policy: &Policy, line: &Line<'_>, (mut room, mut decisions): Told) -> Plan {
    let gone = decisions.extract_if(.., |(job, _)| stand_ins::stands_in(*job));
    gone.for_each(|(job, _)| room.release(job));
    decisions.extend(line.others(&mut room));
    let (pauses, look_again) = pausing::pauses(problem, policy, &room);
    let queued = line.queued.clone();
    Plan { decisions: decisions.into_iter().collect(), room, pauses, look_again, queued }
}

/// Whether a node that is up could run the job if it were empty.
fn possible(room: &Room, job: &Job) -> bool {
    room.open(job).any(|(index, ..)| room.shapes(index, job).next().is_some())
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
