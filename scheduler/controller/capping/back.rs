//! The way back up of a job that was started with fewer watts than it would choose: once its power domain has told its GPUs more,
//! and so reserved it, its own choice counts and no more the limit it was planned at.

use super::Search;
use super::known::percent;
use crate::controller::{Controller, Turn};
use chrono::{DateTime, Utc};
use neap_model::cap::CapReason;
use neap_model::job::JobId;
use neap_model::units::Watts;
use neap_policies::power::{Choice, Next};

impl Search {
    /// What it would choose by itself; `None`: it does not know yet.
    pub(super) fn own(&self) -> Option<Choice> {
        match self.probe.next()? {
            Next::Stay(choice) => Some(choice),
            Next::Measure(_) => None,
        }
    }
}

impl Controller {
    /// The limit that a job would be at by its own choice and its plan, whatever its power domain says; `None`: that is not known.
    pub(in crate::controller) fn own_limit(&self, id: JobId) -> Option<Watts> {
        let search = self.capping.searches.get(&id)?;
        if search.clocks.is_some() {
            return Some(search.top);
        }
        let own = search.own().map(|own| own.limit);
        match search.planned {
            // Who was planned higher is in a hurry.
            Some(planned) => own.map(|own| own.max(planned)),
            // It is being watched anew, as it was found to begin with.
            None => Some(own.unwrap_or(search.top)),
        }
    }

    /// Lets a job go by its own choice that is told more than it was planned at. Says whether its limit is another one now.
    pub(super) fn give_back(&mut self, now: DateTime<Utc>, id: JobId, turn: &mut Turn) -> bool {
        let started_low = self.state.jobs.get(&id).is_some_and(|job| job.slowed.is_some());
        let Some(told) = self.budgets.told_limit(id).filter(|_| started_low) else { return false };
        let Some(search) = self.capping.searches.get(&id) else { return false };
        let Some((planned, own)) = search.planned.zip(search.own()) else { return false };
        if told <= planned || own.limit <= planned {
            return false;
        }
        let points = super::points(search.probe.curve());
        let slowdown = self.state.jobs.get(&id).map(|job| job.spec.flex.slowdown).unwrap_or_default();
        let Some(search) = self.capping.searches.get_mut(&id) else { return false };
        search.planned = None;
        search.want = (own.limit < search.top).then_some(own.limit);
        if told < own.limit {
            // On the way there its domain says how far.
            let (time, energy) = (percent(own.time), percent(own.energy));
            search.because = Some(CapReason::LeastEnergy { time, energy, slowdown });
            return false;
        }
        self.decided(now, id, (own.time, own.energy), points, turn);
        true
    }
}
