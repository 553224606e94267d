//! The second lever: ceilings of the core clock, for jobs that no limit slows because they wait for memory.
//!
//! It needs the same consent and the same count of steps as a limit, a helper whose file says that locks are its own, and boards
//! that say for how long limits bind and how busy their memory is. An operator's limit and a power domain's go beside it.

use super::known::{seen, written};
use crate::controller::state::Job;
use crate::controller::{Controller, Turn};
use chrono::{DateTime, Utc};
use neap_model::cap::{CapPoint, Pace};
use neap_model::job::JobId;
use neap_model::units::Megahertz;
use neap_policies::power::{ClockNext, ClockProbe, Clocks, Point, speed};

/// What was seen below ceilings, if anything was.
pub(super) fn known(points: &[CapPoint]) -> Option<Clocks> {
    let free = points.iter().rev().find(|point| point.clock_ceiling.is_none())?;
    let mut below = points.iter().filter(|point| point.clock_ceiling.is_some()).peekable();
    below.peek()?;
    let mut clocks = Clocks::new(seen(free));
    below.for_each(|point| clocks.put(point.clock_ceiling, seen(point)));
    Some(clocks)
}

fn points(clocks: &Clocks) -> Vec<CapPoint> {
    let below = clocks.below().iter().map(|(ceiling, point)| written(Some(*ceiling), point));
    std::iter::once(written(None, &clocks.free)).chain(below).collect()
}

impl Controller {
    /// The ceilings that all GPUs of a job may be told: lowest and highest. `None`: not all of them may be told any.
    pub(super) fn clocks_of(&self, job: &Job) -> Option<(Megahertz, Megahertz)> {
        let (mut least, mut most) = (Megahertz(0), Megahertz(u32::MAX));
        for gpu in self.gpus_of(job)? {
            let clocks = gpu.settable?.clocks?;
            (least, most) = (least.max(clocks.0), most.min(clocks.1));
        }
        (!job.gpus.is_empty() && least < most).then_some((least, most))
    }

    /// After a window as the job was found: where no limit bound and memory was busy, its ceilings are searched from here on.
    pub(super) fn weigh_levers(&mut self, id: JobId, pace: &Pace, point: Point) {
        let Some(busy) = pace.memory_busy.filter(|_| pace.limit.is_none()) else { return };
        let bound = pace.bound_ms as f64 / pace.energy_ms as f64;
        if !speed::wants_clock_ceiling(bound, busy.ratio()) {
            return;
        }
        let Some(range) = self.state.jobs.get(&id).and_then(|job| self.clocks_of(job)) else { return };
        if let Some(search) = self.capping.searches.get_mut(&id) {
            search.clocks = Some(ClockProbe::new(range, Clocks::new(point), search.terms));
        }
    }

    pub(super) fn go_on_below(
        &mut self,
        now: DateTime<Utc>,
        id: JobId,
        next: ClockNext,
        may_move: bool,
        turn: &mut Turn,
    ) {
        let Some(search) = self.capping.searches.get_mut(&id) else { return };
        match next {
            ClockNext::Measure(ceiling) if may_move => search.ceiling = Some(ceiling),
            ClockNext::Measure(_) => {}
            ClockNext::Stay(choice) => {
                (search.want, search.ceiling) = (None, choice.ceiling);
                let Some(clocks) = search.clocks.as_ref().map(|probe| probe.known().clone()) else { return };
                let points = points(&clocks);
                self.capping.clocks.keep(search.key.clone(), now, clocks);
                self.decided(now, id, (choice.time, choice.energy), points, turn);
            }
        }
    }

    /// What the core clocks of a job's GPUs should be kept below now; `None`: no ceiling.
    pub(in crate::controller) fn ceiling_wanted(&self, job: &Job) -> Option<Megahertz> {
        let searched = match self.capping.searches.get(&job.id) {
            Some(search) => search.ceiling,
            // Not heard of since this start: it stays as it was decided.
            None => job.clock_ceiling,
        };
        let (least, most) = self.clocks_of(job)?;
        searched.filter(|ceiling| (least..=most).contains(ceiling))
    }
}
