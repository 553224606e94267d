//! What the planner is told: the places, what each waiting job asks for, and who occupies what.

use super::learning::ways_left;
use crate::config::ZoneConfig;
use crate::controller::Controller;
use crate::controller::leases::SILENT;
use crate::controller::state::Job;
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::fleet::Zone;
use neap_model::grid::{Curve, Grade, PriceCurve};
use neap_model::job::{JobId, JobSpec, Objective};
use neap_model::lifecycle::Phase;
use neap_model::plan::{Alternative, Decision};
use neap_model::reason::Reason;
use neap_model::refusal::Refusal;
use neap_model::seconds::Seconds;
use neap_model::units::{Percent, Watts};
use neap_policies::forecast::Guard;
use neap_policies::problem::{Delay, Job as Ask, NodeState, Occupant, Tariff, Way, ZoneState, slowest};
use std::sync::Arc;

/// Days over which the feeds judge forecasts.
const JUDGED: u32 = 28;

impl Controller {
    /// After a replay: everybody who waits is known to the planner again, with what was promised.
    pub(in crate::controller) fn resume_planning(&mut self) {
        // How long they take is known before they are asked.
        let ended = self.state.jobs.values().filter_map(|job| Some((job.ended?, job.id)));
        let mut ended: Vec<(DateTime<Utc>, JobId)> = ended.collect();
        ended.sort_unstable();
        ended.into_iter().for_each(|(_, id)| self.learn(id));
        let live: Vec<JobId> = self.state.live.iter().copied().collect();
        for id in live {
            let job = &self.state.jobs[&id];
            for after in &job.spec.after {
                self.planning.followers.entry(after.job).or_default().insert(id);
            }
            match job.phase.attempt() {
                Some((_, node)) => {
                    self.planning.placed.entry(node.to_owned()).or_default().insert(id);
                }
                None => {
                    let ask = Arc::new(self.ask_of(id, &job.spec.clone()));
                    self.planning.asks.insert(id, ask);
                }
            }
        }
        self.resume_holding();
    }

    pub(in crate::controller) fn ask_of(&self, id: JobId, spec: &JobSpec) -> Ask {
        self.ask_by(id, spec, self.ways_to_run(spec))
    }

    /// The same, where what it can run on is known.
    pub(super) fn ask_by(&self, id: JobId, spec: &JobSpec, ways: Vec<Way>) -> Ask {
        let job = self.state.jobs.get(&id);
        let submitted = job.map_or(self.planning.site.now, |job| job.submitted);
        let queue = spec.queue.as_ref().and_then(|name| self.config.queues.get(name));
        let forced_by = job.and_then(|job| job.forced_by.clone());
        let open: Vec<JobId> = spec.after.iter().map(|a| a.job).filter(|j| self.state.outcome(*j).is_none()).collect();
        let blocked = match job.map(|job| &job.phase) {
            Some(Phase::Held { by }) => Some(Reason::Hold { by: by.clone() }),
            _ if !open.is_empty() => Some(Reason::Dependency { on: open }),
            _ => None,
        };
        let done = job.map_or(Seconds::ZERO, |job| job.ran);
        let left = self.rest_of(self.length_by(spec, &ways), spec, job.map(AsRef::as_ref)).max(Seconds(1));
        let likely = self.likely_of(spec, job.map(AsRef::as_ref), &ways, left);
        let ways: Arc<[Way]> = ways_left(ways, left).into();
        let not_before = if forced_by.is_some() { None } else { spec.time.not_before };
        Ask {
            id,
            priority: queue.map_or(0, |q| q.priority),
            submitted,
            eligible: not_before.map_or(submitted, |at| at.max(submitted)),
            blocked,
            length: slowest(&ways).unwrap_or(left),
            likely,
            ways,
            slowdown: spec.flex.slowdown,
            done,
            pause: self.pause_terms(spec, job.map(AsRef::as_ref)),
            gpus: spec.resources.gpus,
            gpu_model: spec.resources.gpu_model.clone(),
            cpus: spec.resources.cpus,
            memory: spec.resources.memory.unwrap_or_default(),
            zones: match job.and_then(|job| job.place.as_ref()) {
                // What it saved lies where it ran.
                Some(place) if done > Seconds::ZERO => vec![place.zone.clone()],
                _ => spec.flex.zones.clone(),
            },
            start_by: spec.time.start_by,
            finish_by: spec.time.finish_by,
            on_expire: spec.time.on_expire,
            delay: Delay {
                objective: match spec.flex.delay {
                    Some(objective) if !self.plenty(spec) && !self.holds_nothing(spec) => objective,
                    _ => Objective::None,
                },
                max: spec.flex.max_delay.unwrap_or_default(),
                min_saving: spec.flex.min_saving.unwrap_or_default(),
                replan_gain: queue.map(|q| q.replan_gain).unwrap_or_default(),
            },
            forced_by,
        }
    }

    /// What can never run, by the planner's own rules.
    pub(in crate::controller) fn never_runs(&self, now: DateTime<Utc>, spec: &JobSpec) -> Vec<Refusal> {
        let mut ask = self.ask_of(JobId(u64::MAX), spec);
        ask.submitted = now;
        ask.eligible = ask.eligible.max(now);
        let mut refusals =
            neap_policies::admit(&self.planning.site, &self.planning.policy, &ask).err().unwrap_or_default();
        refusals.extend(neap_policies::gpus_divide(&spec.resources));
        refusals
    }

    /// What would be decided for a job that is not there, and the other ways to run it.
    pub(in crate::controller) fn would_be(
        &mut self,
        now: DateTime<Utc>,
        id: JobId,
        spec: &JobSpec,
    ) -> (Decision, Vec<Alternative>) {
        self.refresh(now);
        let mut ask = self.ask_of(id, spec);
        (ask.submitted, ask.eligible) = (now, ask.eligible.max(now));
        let mut plan = self.planning.plan.clone();
        let decision = neap_policies::insert(&mut plan, &self.planning.site, &self.planning.policy, &ask);
        let ways = neap_policies::alternatives(&self.planning.plan, &self.planning.site, &self.planning.policy, &ask);
        (decision, ways)
    }

    /// The other ways to run a job that waits.
    pub(in crate::controller) fn ways_of(&self, id: JobId) -> Vec<Alternative> {
        match self.planning.asks.get(&id) {
            Some(ask) if ask.blocked.is_none() => {
                neap_policies::alternatives(&self.planning.plan, &self.planning.site, &self.planning.policy, ask)
            }
            _ => Vec::new(),
        }
    }

    /// An announcement began or ended, or a queue began or ceased to hold: what the waiting jobs ask for is read anew.
    pub(super) fn heed_notices(&mut self, now: DateTime<Utc>) {
        let ahead = self.state.notices.ahead(now);
        let calls: Vec<(String, u64)> = ahead
            .iter()
            .filter(|notice| notice.holds(now))
            .map(|notice| (notice.id.clone(), notice.revision))
            .collect();
        if !self.holding_changed(now) && calls == self.planning.calls {
            return;
        }
        self.planning.calls = calls;
        let waiting: Vec<JobId> = self.planning.asks.keys().copied().collect();
        for id in waiting {
            if let Some(job) = self.state.jobs.get(&id) {
                let ask = Arc::new(self.ask_of(id, &job.spec.clone()));
                self.planning.asks.insert(id, ask);
            }
        }
        self.planning.due = true;
    }

    pub(in crate::controller) fn refresh_site(&mut self) {
        self.planning.site_stale = true;
    }

    pub(super) fn refresh(&mut self, now: DateTime<Utc>) {
        self.planning.site.now = now;
        self.heed_notices(now);
        if !std::mem::take(&mut self.planning.site_stale) {
            return;
        }
        let before = std::mem::take(&mut self.planning.site.nodes);
        let curves = std::mem::take(&mut self.planning.site.zones);
        self.planning.site.zones = self
            .config
            .zones
            .iter()
            .map(|zone| ZoneState {
                zone: Zone { name: zone.name.clone(), home: zone.home, pue: zone.pue },
                curve: Arc::new(self.grid.get(&zone.name).map(|g| g.curve.series.clone()).unwrap_or_default()),
                basis: self.kind_of_curve(&zone.name),
                prices: tariff(zone, self.grid.get(&zone.name).and_then(|g| g.prices.as_ref())),
            })
            .collect();
        self.planning.site.nodes = self
            .state
            .nodes
            .iter()
            .map(|(name, node)| NodeState {
                name: name.clone(),
                zone: node.zone.clone(),
                up: node.heard.is_some_and(|heard| now - heard <= SILENT),
                cpus: node.inventory.cpus,
                memory: node.inventory.memory,
                gpus: self.boards_planned(name, &node.inventory.gpus),
                watts_per_cpu: node.inventory.watts_per_cpu,
            })
            .collect();
        self.ask_again();
        self.planning.policy.doubts =
            self.grid.iter().filter_map(|(zone, known)| Some((zone.clone(), doubt(&known.curve, now)?))).collect();
        self.planning.anew.site_changed |= before != self.planning.site.nodes || curves != self.planning.site.zones;
        self.planning.due = true;
    }

    /// When a job that holds room is expected to end.
    pub(in crate::controller) fn expected_until(&self, job: &Job, now: DateTime<Utc>) -> DateTime<Utc> {
        let since = job.started.filter(|_| !matches!(job.phase, Phase::Leased { .. })).or(job.leased).unwrap_or(now);
        let expected = self.still_runs(job, since).map(|left| now + left.delta());
        let limit = job.spec.time.limit.unwrap_or(Seconds::hours(24));
        let limit = since + Seconds(limit.0.saturating_sub(job.ran.0)).delta();
        // Where nobody can say a job is reckoned with up to its limit, past that for another minute.
        expected.unwrap_or_else(|| limit.max(now + TimeDelta::seconds(60)))
    }

    pub(in crate::controller) fn occupants(&self, now: DateTime<Utc>) -> Vec<Occupant> {
        let mut occupants = Vec::new();
        for id in self.planning.placed.values().flatten() {
            let Some(job) = self.state.jobs.get(id) else { continue };
            let Some((_, node)) = job.phase.attempt() else { continue };
            occupants.push(Occupant {
                job: *id,
                node: node.to_owned(),
                cpus: job.cpus,
                memory: job.spec.resources.memory.unwrap_or_default(),
                gpus: job.gpus.clone(),
                until: self.expected_until(job, now),
                draws: if self.planning.site.shared.is_empty() { Watts::ZERO } else { self.adds_at_most(node, *id) },
            });
        }
        occupants
    }
}

/// The prices of a zone as the planner takes them. Where energy is paid in another currency than GPU-hours, these are not counted.
fn tariff(zone: &ZoneConfig, prices: Option<&PriceCurve>) -> Option<Arc<Tariff>> {
    let hours = zone.gpu_hours.as_ref();
    let currency = prices.map(|prices| &prices.currency).or(hours.map(|hours| &hours.currency))?;
    let gpu_hours = hours.filter(|hours| hours.currency == *currency).map(|hours| hours.prices.clone());
    Some(Arc::new(Tariff {
        series: prices.map(|prices| prices.series.clone()).unwrap_or_default(),
        currency: currency.clone(),
        gpu_hours: gpu_hours.unwrap_or_default(),
    }))
}

/// The least saving that forecasts of a zone are good for: half of what those of a day ahead were off lately, as a share of
/// the day's mean. An error that is known was judged over what four weeks kept; a zone that never was judged gets the usual.
fn doubt(curve: &Curve, now: DateTime<Utc>) -> Option<Percent> {
    let error = curve.origins.iter().find_map(|origin| origin.usual_error);
    let mean = curve.series.mean(now, now + TimeDelta::hours(24)).map(|mean| mean.value.in_base());
    let share = error.zip(mean).filter(|(_, mean)| *mean > 0.0).map(|(error, mean)| (error.in_base() / mean, JUDGED));
    match Guard::of(Grade::Forecast, share) {
        Guard::AtLeast(least) => Some(least),
        Guard::Never => None,
    }
}
