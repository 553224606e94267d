//! Pauses: who may be paused, what is left of a job after them, and the order to save itself and stop for a while.

use super::planning::still_likely;
use super::power::Group;
use super::state::Job;
use super::{Controller, Turn};
use crate::config::PauseConfig;
use chrono::{DateTime, Utc};
use neap_model::footprint::Savings;
use neap_model::job::{JobId, JobSpec};
use neap_model::lifecycle::{JobEvent, Phase, StopCause};
use neap_model::seconds::Seconds;
use neap_policies::Pausing;
use neap_policies::problem::{PauseTerms, Running, Way};
use std::sync::Arc;

impl Controller {
    fn pause_rules(&self, spec: &JobSpec) -> PauseConfig {
        let queue = spec.queue.as_ref().and_then(|name| self.config.queues.get(name));
        queue.map(|queue| queue.pause).unwrap_or_default()
    }

    /// Run time that is left when the present attempt starts: the planning length, and what each pause cost that was no
    /// work, less what ran and was saved. A job that is not there yet has not run.
    pub(super) fn run_left(&self, spec: &JobSpec, job: Option<&Job>) -> Seconds {
        self.rest_of(self.length_of(spec), spec, job)
    }

    /// The same, where the planning length is known.
    pub(super) fn rest_of(&self, length: Seconds, spec: &JobSpec, job: Option<&Job>) -> Seconds {
        let (pauses, worked) = job.map_or((0, Seconds::ZERO), |job| (job.pauses, job.worked.max(job.ran)));
        let overhead = Seconds(self.pause_rules(spec).cost.0 * u64::from(pauses));
        (length + overhead) - worked
    }

    /// How the job may be paused; `None`: it did not consent, did not save its work once, or was paused often enough.
    pub(super) fn pause_terms(&self, spec: &JobSpec, job: Option<&Job>) -> Option<PauseTerms> {
        spec.flex.pause.as_ref()?;
        let (rules, now) = (self.pause_rules(spec), self.planning.site.now);
        let may = job.is_none_or(|job| may_pause(job, &rules, now));
        may.then_some(PauseTerms { cost: rules.cost, least: rules.min_run })
    }

    /// Tells a running job to save itself and stop for a while.
    pub(super) fn pause(&mut self, now: DateTime<Utc>, id: JobId, pausing: Pausing, turn: &mut Turn) {
        let Some(job) = self.state.jobs.get(&id) else { return };
        let (Phase::Running { epoch, .. }, Some(terms)) = (&job.phase, &job.spec.flex.pause) else { return };
        let (epoch, saved) = (*epoch, terms.exit);
        let cause = StopCause::Pause { until: pausing.until, savings: pausing.savings, saved, domain: None };
        self.happens(now, id, JobEvent::StopAsked { epoch, cause }, turn);
        *self.planning.decisions.entry(("pause", "grid.cleaner_later")).or_default() += 1;
        self.wake_node_of(now, id, turn);
    }

    /// Tells a running job to save itself and stop, because its power domain has too little for what runs there.
    pub(super) fn pause_for_power(&mut self, now: DateTime<Utc>, id: JobId, group: &Group, turn: &mut Turn) {
        let Some(job) = self.state.jobs.get(&id) else { return };
        let (Phase::Running { epoch, .. }, Some(terms)) = (&job.phase, &job.spec.flex.pause) else { return };
        let (epoch, saved) = (*epoch, terms.exit);
        let known = group.event.as_ref().and_then(|event| self.state.notices.get(event)?.until);
        let (until, domain) = (known.unwrap_or(now), Some(group.name.clone()));
        let cause = StopCause::Pause { until, savings: Savings::default(), saved, domain };
        self.happens(now, id, JobEvent::StopAsked { epoch, cause }, turn);
        *self.planning.decisions.entry(("pause", "capacity.power")).or_default() += 1;
        self.wake_node_of(now, id, turn);
    }

    /// Whether a running job may be paused now.
    pub(super) fn may_pause_now(&self, job: &Job) -> bool {
        matches!(job.phase, Phase::Running { .. }) && self.pause_terms(&job.spec, Some(job)).is_some()
    }

    /// Who of those that run may be paused.
    pub(super) fn pausable(&self, now: DateTime<Utc>) -> Vec<Running> {
        let on_nodes = self.planning.placed.iter().flat_map(|(node, jobs)| jobs.iter().map(move |id| (node, id)));
        let pausable = on_nodes.filter_map(|(node, id)| {
            let job = self.state.jobs.get(id)?;
            let Phase::Running { since, .. } = job.phase else { return None };
            // Few may be paused: the others are not made into a question.
            self.pause_terms(&job.spec, Some(job))?;
            let mut ask = self.ask_of(*id, &job.spec);
            let ran = Seconds::between(since, now);
            let whole = ask.length;
            ask.length = match whole - job.on_width(ran) {
                Seconds::ZERO => self.still_runs(job, since).unwrap_or(Seconds(1)),
                left => left,
            };
            ask.likely = still_likely(&ask.likely, whole, (job.on_width(ran), ask.length));
            ask.ways = as_it_runs(job, &ask.ways, (whole, ask.length));
            ask.done = ask.done + ran;
            ask.zones = job.place.iter().map(|place| place.zone.clone()).collect();
            Some(Running { job: Arc::new(ask), node: node.clone(), since })
        });
        pausable.collect()
    }
}

/// What is left on the GPUs that a running job has, where it had a choice of them.
fn as_it_runs(job: &Job, ways: &[Way], (whole, left): (Seconds, Seconds)) -> Arc<[Way]> {
    let Some(width) = job.width() else { return Arc::default() };
    let same = |way: &&Way| (&way.model, way.gpus, way.limit) == (&width.model, width.gpus, width.limit);
    let known = ways.iter().find(same);
    let all = known.map_or_else(|| width.time_of(whole), |way| way.length).0;
    let length = Seconds((all.saturating_mul(left.0) / whole.0.max(1)).max(1));
    let (watts, rank) = known.map_or((None, 0), |way| (way.watts, way.rank));
    let model = width.model.clone();
    Arc::new([Way { model, gpus: width.gpus, limit: width.limit, length, watts, rank, short: false }])
}

/// Whether a job may be paused again: it has saved its work every time, and was not paused too often.
fn may_pause(job: &super::state::Job, rules: &PauseConfig, now: DateTime<Utc>) -> bool {
    let days = Seconds::between(job.submitted, now).0 / Seconds::hours(24).0 + 1;
    job.unsaved == 0 && u64::from(job.pauses) < u64::from(rules.max_per_day) * days
}
