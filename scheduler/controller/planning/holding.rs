//! Which queues hold jobs for the grid at all: a queue whose held jobs ended badly does not, until a week went well.
//!
//! Everything is read from the jobs that ended, so a restart comes to the same answer from those still in memory.

use crate::controller::Controller;
use crate::controller::state::Job;
use chrono::{DateTime, Utc};
use neap_model::job::{JobId, JobSpec, Objective};
use neap_model::notice::{Call, Notice};
use neap_model::seconds::Seconds;
use neap_model::units::Joules;
use neap_policies::trip::{Cause, Held, Trip};
use std::collections::{BTreeMap, BTreeSet};

/// The switches, by queue, and the queues that do not hold as the jobs were told last.
#[derive(Debug, Default)]
pub(in crate::controller) struct Holding {
    switches: BTreeMap<String, Trip>,
    off: BTreeSet<String>,
}

impl Holding {
    /// The queues that do not hold now.
    fn off(&mut self, now: DateTime<Utc>) -> BTreeSet<String> {
        let off = |(queue, trip): (&String, &mut Trip)| trip.off(now).map(|_| queue.clone());
        self.switches.iter_mut().filter_map(off).collect()
    }
}

/// How a job ended that was held for the grid; `None`: it was not, or did not run.
fn outcome(job: &Job) -> Option<Held> {
    let at = job.ended.filter(|_| job.waited_for_grid > Seconds::ZERO)?;
    job.started?;
    let (actual, run_now) = (job.account.actual, job.account.run_now);
    // Who waited for cheaper hours promised nothing about emissions.
    let carbon = job.spec.flex.delay != Some(Objective::Price);
    let metered = carbon && actual.energy > Joules::ZERO && actual.uncovered == Joules::ZERO;
    Some(Held { at, missed: job.missed_finish_by(), emits: metered.then_some((actual.emits, run_now.emits)) })
}

impl Controller {
    /// A job is over: its queue's switch takes note.
    pub(in crate::controller) fn note_end(&mut self, id: JobId) {
        let Some(job) = self.state.jobs.get(&id) else { return };
        if let Some(held) = outcome(job) {
            let queue = job.spec.queue.clone().unwrap_or_default();
            if self.state.notices.holds_again(&queue).is_some_and(|again| held.at <= again) {
                return;
            }
            self.planning.holding.switches.entry(queue).or_default().ended(held);
        }
    }

    /// A queue that is told to hold again does, whatever happened before.
    pub(in crate::controller) fn heed_holding(&mut self, notice: &Notice) {
        if let (Call::HoldAgain, Some(queue)) = (notice.call, &notice.place) {
            self.planning.holding.switches.remove(queue);
        }
    }

    /// After a replay: the jobs that ended, in the order of their ends.
    pub(super) fn resume_holding(&mut self) {
        let mut ended: Vec<(DateTime<Utc>, JobId)> =
            self.state.jobs.values().filter_map(|job| Some((job.ended?, job.id))).collect();
        ended.sort_unstable();
        ended.into_iter().for_each(|(_, id)| self.note_end(id));
    }

    /// Whether the job's queue does not hold.
    pub(super) fn holds_nothing(&self, spec: &JobSpec) -> bool {
        self.planning.holding.off.contains(spec.queue.as_deref().unwrap_or_default())
    }

    /// Whether a queue began or ceased to hold since this was asked last.
    pub(super) fn holding_changed(&mut self, now: DateTime<Utc>) -> bool {
        let off = self.planning.holding.off(now);
        let changed = off != self.planning.holding.off;
        self.planning.holding.off = off;
        changed
    }

    /// The queues that do not hold, a sentence each.
    pub(in crate::controller) fn not_holding(&self) -> Vec<String> {
        let now = self.planning.site.now;
        let sentence = |queue: &String| {
            let (since, cause) = self.planning.holding.switches.get(queue)?.clone().off(now)?;
            let why = match cause {
                Cause::Missed { missed, of } => {
                    format!("{missed} of {of} held jobs missed their finish-by within 24 h")
                }
                Cause::Worse { emits, instead_of } => {
                    format!("held jobs emitted {emits} instead of {instead_of} over 7 days")
                }
            };
            let again = (since + chrono::TimeDelta::days(7)).format("%Y-%m-%dT%H:%MZ");
            Some(format!(
                "queue {queue} holds no jobs for the grid: {why}; it does again from {again} on, or by hand: \
                 neap policy event --kind hold_again --site {queue}"
            ))
        };
        self.planning.holding.off.iter().filter_map(sentence).collect()
    }
}
