//! Between the queue and the planner: makes the problem, acts on the plan, keeps what was promised.

use super::leases::SILENT;
use super::{Controller, Turn};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::fleet::Zone;
use neap_model::job::{Epoch, JobId, JobSpec, Objective, OnExpire};
use neap_model::lifecycle::{Event, JobEvent, Phase};
use neap_model::plan::{Alternative, Blocker, Certificate, Decision, Place, Verdict};
use neap_model::reason::Reason;
use neap_model::refusal::Refusal;
use neap_model::seconds::Seconds;
use neap_policies::Plan;
use neap_policies::problem::{Delay, Job as Ask, NodeState, Occupant, Policy, Problem, Site, ZoneState};
use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Waiting jobs that may be planned in full for each second between two full plans. Inserting is done at once, always.
const PLANNED_PER_SECOND: i64 = 20_000;

/// Plans are audited before they are acted on while no more jobs than that wait; the audit is naive on purpose.
const AUDITED: usize = 2_000;

/// Earlier runs of the same project and name that a length is learned from.
const REMEMBERED: usize = 20;

/// Fewer than that teach nothing.
const ENOUGH: usize = 3;

/// What the planner is told and what it answered.
#[derive(Debug)]
pub struct Planning {
    /// The places; `now` is the time of the present step.
    pub site: Site,
    policy: Policy,
    plan: Plan,
    asks: BTreeMap<JobId, Arc<Ask>>,
    /// Who comes after whom.
    followers: BTreeMap<JobId, BTreeSet<JobId>>,
    /// Attempts by node.
    pub(super) placed: BTreeMap<String, BTreeSet<JobId>>,
    /// Run times of earlier runs in seconds, by project and name.
    lengths: BTreeMap<(String, String), VecDeque<u64>>,
    /// What the last full plan was made for, and how good that plan can be at best once somebody asked.
    solved: Option<(Problem, OnceCell<Certificate>)>,
    due: bool,
    /// Announcements in force when the jobs were looked at last.
    calls: Vec<(String, u64)>,
    site_stale: bool,
    /// Where power ran short in this turn.
    pub(super) short: BTreeSet<String>,
    last: DateTime<Utc>,
    /// When the first planned start or latest start falls due.
    next: Option<DateTime<Utc>>,
    /// Full plans made.
    pub plans: u64,
    /// Plans that the audit refused.
    pub refused_plans: u64,
    /// Decisions by kind and reason, for metrics.
    pub decisions: BTreeMap<(&'static str, &'static str), u64>,
}

impl Planning {
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        Self {
            site: Site { now, zones: Vec::new(), nodes: Vec::new() },
            policy: Policy::default(),
            plan: Plan::default(),
            asks: BTreeMap::new(),
            followers: BTreeMap::new(),
            placed: BTreeMap::new(),
            lengths: BTreeMap::new(),
            solved: None,
            due: true,
            calls: Vec::new(),
            site_stale: true,
            short: BTreeSet::new(),
            last: now - TimeDelta::days(1),
            next: None,
            plans: 0,
            refused_plans: 0,
            decisions: BTreeMap::new(),
        }
    }

    /// Something changed that a plan depends on.
    pub(super) fn news(&mut self) {
        self.due = true;
    }

    /// Nodes or curves changed.
    pub(super) fn stale_site(&mut self) {
        (self.site_stale, self.due) = (true, true);
    }

    /// Takes the jobs that come after `job`, which just ended.
    pub(super) fn take_followers(&mut self, job: JobId) -> BTreeSet<JobId> {
        self.followers.remove(&job).unwrap_or_default()
    }

    /// Jobs with an attempt on the node.
    pub fn on_node(&self, node: &str) -> impl Iterator<Item = JobId> + use<> {
        self.placed.get(node).cloned().unwrap_or_default().into_iter()
    }

    /// What a job that waits asks for.
    pub(super) fn ask(&self, job: JobId) -> Option<Arc<Ask>> {
        self.asks.get(&job).cloned()
    }

    /// How many jobs wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.asks.len()
    }

    /// The decision on a job that waits.
    #[must_use]
    pub fn decision(&self, job: JobId) -> Option<&Decision> {
        self.plan.decisions.get(&job)
    }

    /// How good the last full plan can be at best, of the jobs that still wait; `None` where nothing is planned around the
    /// grid.
    #[must_use]
    pub fn certificate(&self) -> Option<Certificate> {
        let (problem, known) = self.solved.as_ref()?;
        let certificate = known.get_or_init(|| neap_policies::certified(problem, &self.plan));
        Some(*certificate).filter(|certificate| certificate.jobs > 0)
    }

    fn note_due(&mut self, decision: &Decision) {
        if let Verdict::Hold { place: Some(_), until: Some(until), .. } = &decision.verdict {
            self.next = Some(self.next.map_or(*until, |next| next.min(*until)));
        }
    }

    /// The plan would start it, and power is short: it waits where it stands. Whatever gives power back makes a new plan.
    fn wait_for_power(&mut self, decision: &Decision, because: Reason) {
        let blockers = vec![Blocker { reason: because.clone(), clears: None }];
        let verdict = Verdict::Hold { until: None, place: None, because };
        self.plan.decisions.insert(decision.job, Decision { verdict, blockers, ..decision.clone() });
    }

    /// It waits no more: its room is given back.
    fn forget(&mut self, id: JobId) {
        if let Some(ask) = self.asks.remove(&id) {
            self.plan.forget(&ask);
        }
    }
}

impl Controller {
    /// After a replay: everybody who waits is known to the planner again, with what was promised.
    pub(super) fn resume_planning(&mut self) {
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
        let ended: Vec<JobId> = self.state.jobs.keys().copied().filter(|id| !self.state.live.contains(id)).collect();
        ended.into_iter().for_each(|id| self.learn(id));
    }

    /// Remembers how long a job that succeeded ran.
    pub(super) fn learn(&mut self, id: JobId) {
        let Some(job) = self.state.jobs.get(&id) else { return };
        if !matches!(&job.phase, Phase::Ended { outcome: neap_model::lifecycle::Outcome::Succeeded, .. }) {
            return;
        }
        let (Some(started), Some(ended)) = (job.started, job.ended) else { return };
        let key = (job.spec.project.clone(), job.spec.name.clone());
        let known = self.planning.lengths.entry(key).or_default();
        known.push_back(Seconds::between(started, ended).0.max(1));
        if known.len() > REMEMBERED {
            known.pop_front();
        }
    }

    /// Planning time: as given; else the 90th percentile of at least three earlier runs; else the limit.
    pub(super) fn length_of(&self, spec: &JobSpec) -> Seconds {
        let limit = spec.time.limit.unwrap_or(Seconds::hours(24));
        let learned = || {
            let known = self.planning.lengths.get(&(spec.project.clone(), spec.name.clone()))?;
            if known.len() < ENOUGH {
                return None;
            }
            let mut sorted: Vec<u64> = known.iter().copied().collect();
            sorted.sort_unstable();
            Some(Seconds(sorted[(sorted.len() * 9).div_ceil(10) - 1]))
        };
        spec.time.expect.or_else(learned).unwrap_or(limit).min(limit).max(Seconds(1))
    }

    pub(super) fn ask_of(&self, id: JobId, spec: &JobSpec) -> Ask {
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
        let not_before = if forced_by.is_some() { None } else { spec.time.not_before };
        Ask {
            id,
            priority: queue.map_or(0, |q| q.priority),
            submitted,
            eligible: not_before.map_or(submitted, |at| at.max(submitted)),
            blocked,
            length: self.run_left(spec, job.map(AsRef::as_ref)).max(Seconds(1)),
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
                objective: if self.plenty(spec) { Objective::None } else { spec.flex.delay.unwrap_or(Objective::None) },
                max: spec.flex.max_delay.unwrap_or_default(),
                min_saving: spec.flex.min_saving.unwrap_or_default(),
                replan_gain: queue.map(|q| q.replan_gain).unwrap_or_default(),
            },
            forced_by,
        }
    }

    /// What can never run, by the planner's own rules.
    pub(super) fn never_runs(&self, now: DateTime<Utc>, spec: &JobSpec) -> Vec<Refusal> {
        let mut ask = self.ask_of(JobId(u64::MAX), spec);
        ask.submitted = now;
        ask.eligible = ask.eligible.max(now);
        let mut refusals =
            neap_policies::admit(&self.planning.site, &self.planning.policy, &ask).err().unwrap_or_default();
        refusals.extend(neap_policies::gpus_divide(&spec.resources));
        refusals
    }

    /// What would be decided for a job that is not there, and the other ways to run it.
    pub(super) fn would_be(&mut self, now: DateTime<Utc>, id: JobId, spec: &JobSpec) -> (Decision, Vec<Alternative>) {
        self.refresh(now);
        let mut ask = self.ask_of(id, spec);
        (ask.submitted, ask.eligible) = (now, ask.eligible.max(now));
        let mut plan = self.planning.plan.clone();
        let decision = neap_policies::insert(&mut plan, &self.planning.site, &self.planning.policy, &ask);
        let ways = neap_policies::alternatives(&self.planning.plan, &self.planning.site, &self.planning.policy, &ask);
        (decision, ways)
    }

    /// The other ways to run a job that waits.
    pub(super) fn ways_of(&self, id: JobId) -> Vec<Alternative> {
        match self.planning.asks.get(&id) {
            Some(ask) if ask.blocked.is_none() => {
                neap_policies::alternatives(&self.planning.plan, &self.planning.site, &self.planning.policy, ask)
            }
            _ => Vec::new(),
        }
    }

    /// Finds a place for a job that just came: nobody else moves.
    pub(super) fn place_new(&mut self, now: DateTime<Utc>, id: JobId, turn: &mut Turn) {
        self.refresh(now);
        let spec = &self.state.jobs[&id].spec;
        let ask = Arc::new(self.ask_of(id, spec));
        for after in &spec.after {
            self.planning.followers.entry(after.job).or_default().insert(id);
        }
        let planning = &mut self.planning;
        let decision = neap_policies::insert(&mut planning.plan, &planning.site, &planning.policy, &ask);
        planning.asks.insert(id, ask);
        self.act(now, &decision, turn);
    }

    /// A job's terms or phase changed while it waits: it is planned anew with the next plan.
    pub(super) fn requeue(&mut self, now: DateTime<Utc>, id: JobId) {
        self.planning.site.now = now;
        let Some(job) = self.state.jobs.get(&id) else { return };
        self.planning.placed.values_mut().for_each(|jobs| {
            jobs.remove(&id);
        });
        let spec = job.spec.clone();
        for after in &spec.after {
            self.planning.followers.entry(after.job).or_default().insert(id);
        }
        let ask = Arc::new(self.ask_of(id, &spec));
        self.planning.forget(id);
        self.planning.asks.insert(id, ask);
        self.planning.news();
    }

    /// The job waits no more.
    pub(super) fn leave_queue(&mut self, id: JobId) {
        self.planning.forget(id);
        self.planning.placed.values_mut().for_each(|jobs| {
            jobs.remove(&id);
        });
        self.planning.news();
    }

    /// An announcement began or ended: what the waiting jobs ask for is read anew.
    fn heed_notices(&mut self, now: DateTime<Utc>) {
        let ahead = self.state.notices.ahead(now);
        let calls: Vec<(String, u64)> = ahead
            .iter()
            .filter(|notice| notice.holds(now))
            .map(|notice| (notice.id.clone(), notice.revision))
            .collect();
        if calls == self.planning.calls {
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

    pub(super) fn refresh_site(&mut self) {
        self.planning.site_stale = true;
    }

    fn refresh(&mut self, now: DateTime<Utc>) {
        self.planning.site.now = now;
        self.heed_notices(now);
        if !std::mem::take(&mut self.planning.site_stale) {
            return;
        }
        self.planning.site.zones = self
            .config
            .zones
            .iter()
            .map(|zone| ZoneState {
                zone: Zone { name: zone.name.clone(), home: zone.home, pue: zone.pue },
                curve: Arc::new(self.grid.get(&zone.name).map(|g| g.curve.series.clone()).unwrap_or_default()),
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
                gpus: node.inventory.gpus.clone(),
                watts_per_cpu: node.inventory.watts_per_cpu,
            })
            .collect();
        self.planning.due = true;
    }

    /// Plans if something changed and the last full plan was not too recent for a queue of this length.
    pub(super) fn settle(&mut self, now: DateTime<Utc>, turn: &mut Turn) {
        self.refresh(now);
        let waiting = i64::try_from(self.planning.waiting()).unwrap_or(i64::MAX);
        let gap = TimeDelta::milliseconds(waiting.saturating_mul(1_000) / PLANNED_PER_SECOND);
        let falls_due = self.planning.next.is_some_and(|next| next <= now);
        if (self.planning.due || falls_due) && now - self.planning.last >= gap {
            self.settle_now(now, turn);
        }
    }

    /// Plans in full and acts on it.
    pub(super) fn settle_now(&mut self, now: DateTime<Utc>, turn: &mut Turn) {
        self.refresh(now);
        self.expire(now, turn);
        let previous: BTreeMap<JobId, Decision> =
            self.planning.asks.keys().filter_map(|id| Some((*id, self.state.jobs.get(id)?.told.clone()?))).collect();
        let problem = Problem {
            site: self.planning.site.clone(),
            occupants: self.occupants(now),
            running: self.pausable(now),
            waiting: self.planning.asks.values().cloned().collect(),
            previous: Arc::new(previous),
        };
        let plan = neap_policies::plan(&problem, &self.planning.policy);
        (self.planning.last, self.planning.due, self.planning.next) = (now, false, None);
        self.planning.plans += 1;
        if problem.waiting.len() <= AUDITED && !neap_policies::audit(&problem, &plan).is_empty() {
            // A plan that breaks a rule is not acted on: the last good one stands until something changes.
            self.planning.refused_plans += 1;
            return;
        }
        self.planning.plan = plan;
        self.planning.solved = Some((problem, OnceCell::new()));
        let mut decided: Vec<Decision> = self.planning.plan.decisions.values().cloned().collect();
        // Power goes to whoever is first in the queue.
        decided.sort_by_key(|decision| {
            self.planning.asks.get(&decision.job).map(|ask| (Reverse(ask.priority), ask.submitted, ask.id))
        });
        self.planning.short.clear();
        for decision in &decided {
            self.act(now, decision, turn);
        }
        if let Some(at) = self.planning.plan.look_again {
            self.planning.next = Some(self.planning.next.map_or(at, |next| next.min(at)));
        }
        for (id, pausing) in self.planning.plan.pauses.clone() {
            self.pause(now, id, pausing, turn);
        }
    }

    /// Carries a decision out: a start becomes a lease, a new promise is written down.
    fn act(&mut self, now: DateTime<Utc>, decision: &Decision, turn: &mut Turn) {
        let kind = match &decision.verdict {
            Verdict::Start { place, because } => match self.power_left(now, decision, place) {
                Ok(()) => {
                    let code = because.code();
                    self.lease(now, decision, place.clone(), turn);
                    ("start", code)
                }
                Err(because) => {
                    let code = because.code();
                    self.planning.wait_for_power(decision, because);
                    ("wait", code)
                }
            },
            Verdict::Hold { because, .. } => {
                self.planning.note_due(decision);
                if decision.is_planned() {
                    self.promise(now, decision, turn);
                    ("defer", because.code())
                } else {
                    ("wait", because.code())
                }
            }
        };
        *self.planning.decisions.entry(kind).or_default() += 1;
    }

    /// Tells a plan that is new, or moved.
    fn promise(&mut self, now: DateTime<Utc>, decision: &Decision, turn: &mut Turn) {
        let Some(job) = self.state.jobs.get(&decision.job) else { return };
        let same = job.told.as_ref().is_some_and(|told| {
            (told.start(), told.latest_start, place_of(told))
                == (decision.start(), decision.latest_start, place_of(decision))
        });
        if !same {
            self.happens(now, decision.job, JobEvent::Planned { decision: Box::new(decision.clone()) }, turn);
        }
    }

    fn lease(&mut self, now: DateTime<Utc>, decision: &Decision, place: Place, turn: &mut Turn) {
        let id = decision.job;
        let Some(ask) = self.planning.asks.get(&id).cloned() else { return };
        let Some(node) = self.planning.site.nodes.iter().find(|node| node.name == place.node && node.up) else {
            return self.planning.news();
        };
        let taken: BTreeSet<&String> = self
            .planning
            .on_node(&place.node)
            .filter_map(|other| self.state.jobs.get(&other))
            .flat_map(|job| job.gpus.iter())
            .collect();
        let mut free: Vec<_> = node.gpus.iter().filter(|gpu| !taken.contains(&gpu.uuid)).collect();
        free.sort_by_key(|gpu| gpu.index);
        // The model that the plan's room was taken from; all GPUs of one job are of one model.
        let booked = self.planning.plan.booking(id).and_then(|booking| booking.gpus.first().cloned());
        let gpus: Vec<String> = match (ask.gpus as usize, booked) {
            (0, _) => Vec::new(),
            (needed, Some((model, _))) => {
                free.iter().filter(|gpu| gpu.model == model).take(needed).map(|gpu| gpu.uuid.clone()).collect()
            }
            (_, None) => Vec::new(),
        };
        if gpus.len() != ask.gpus as usize {
            return self.planning.news(); // the books and the node disagree: plan again
        }
        let cpus = neap_policies::cores_on(&ask, node);
        let zone = node.zone.clone();
        let epoch = Epoch(self.state.jobs[&id].epoch.0 + 1);
        let happened = JobEvent::Leased {
            epoch,
            node: place.node.clone(),
            zone,
            cpus,
            gpus,
            decision: Box::new(decision.clone()),
        };
        self.record(now, Event::Job { job: id, happened }, turn);
        self.planning.asks.remove(&id);
        self.planning.plan.started(&ask);
        self.planning.placed.entry(place.node.clone()).or_default().insert(id);
        self.wake(&place.node, turn);
    }

    /// Drops jobs that asked to be dropped once their finish-by cannot be met.
    fn expire(&mut self, now: DateTime<Utc>, turn: &mut Turn) {
        let gone: Vec<JobId> = self
            .planning
            .asks
            .values()
            .filter(|ask| ask.on_expire == OnExpire::Drop && neap_policies::expired(ask, now))
            .map(|ask| ask.id)
            .collect();
        for id in gone {
            self.happens(now, id, JobEvent::Expired, turn);
            self.leave_queue(id);
            self.dependants(now, id, turn);
        }
    }

    fn occupants(&self, now: DateTime<Utc>) -> Vec<Occupant> {
        let mut occupants = Vec::new();
        for id in self.planning.placed.values().flatten() {
            let Some(job) = self.state.jobs.get(id) else { continue };
            let Some((_, node)) = job.phase.attempt() else { continue };
            let since =
                job.started.filter(|_| !matches!(job.phase, Phase::Leased { .. })).or(job.leased).unwrap_or(now);
            let expected = since + self.run_left(&job.spec, Some(job)).delta();
            let limit = job.spec.time.limit.unwrap_or(Seconds::hours(24));
            let limit = since + Seconds(limit.0.saturating_sub(job.ran.0)).delta();
            // Past its expected end a job is reckoned with up to its limit, past that for another minute.
            let until = if expected > now { expected } else { limit.max(now + TimeDelta::seconds(60)) };
            occupants.push(Occupant {
                job: *id,
                node: node.to_owned(),
                cpus: job.cpus,
                memory: job.spec.resources.memory.unwrap_or_default(),
                gpus: job.gpus.clone(),
                until,
            });
        }
        occupants
    }
}

fn place_of(decision: &Decision) -> Option<&Place> {
    match &decision.verdict {
        Verdict::Start { place, .. } => Some(place),
        Verdict::Hold { place, .. } => place.as_ref(),
    }
}
