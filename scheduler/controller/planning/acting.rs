//! When a plan is made and how it is carried out: a start becomes a lease, a new promise is written down.

use super::{AUDITED, PLANNED_PER_SECOND};
use crate::controller::{Controller, Effect, Turn};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::job::{Epoch, JobId, OnExpire};
use neap_model::lifecycle::{Event, JobEvent};
use neap_model::plan::{Decision, Place, Verdict};
use neap_policies::arrivals::STAND_INS;
use neap_policies::problem::{Effort, Problem};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Controller {
    /// Finds a place for a job that just came: nobody else moves.
    pub(in crate::controller) fn place_new(&mut self, now: DateTime<Utc>, id: JobId, turn: &mut Turn) {
        self.refresh(now);
        let spec = &self.state.jobs[&id].spec;
        let ask = Arc::new(self.ask_of(id, spec));
        for after in &spec.after {
            self.planning.followers.entry(after.job).or_default().insert(id);
        }
        let planning = &mut self.planning;
        let decision = neap_policies::insert(&mut planning.plan, &planning.site, &planning.policy, &ask);
        planning.asks.insert(id, ask);
        planning.anew.jobs += 1;
        self.act(now, &decision, turn);
    }

    /// A job's terms or phase changed while it waits: it is planned anew with the next plan.
    pub(in crate::controller) fn requeue(&mut self, now: DateTime<Utc>, id: JobId) {
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
    pub(in crate::controller) fn leave_queue(&mut self, id: JobId) {
        self.planning.forget(id);
        self.planning.placed.values_mut().for_each(|jobs| {
            jobs.remove(&id);
        });
        self.planning.news();
    }

    /// Plans if something changed and the last full plan was not too recent for a queue of this length.
    pub(in crate::controller) fn settle(&mut self, now: DateTime<Utc>, turn: &mut Turn) {
        self.refresh(now);
        let waiting = i64::try_from(self.planning.waiting()).unwrap_or(i64::MAX);
        let gap = TimeDelta::milliseconds(waiting.saturating_mul(1_000) / PLANNED_PER_SECOND);
        let falls_due = self.planning.next.is_some_and(|next| next <= now);
        if (self.planning.due || falls_due) && now - self.planning.last >= gap {
            self.settle_now(now, turn);
        }
    }

    /// A search beside the loop is over: the next plan keeps to what it found.
    pub(in crate::controller) fn found(&mut self, decisions: Option<BTreeMap<JobId, Decision>>) {
        self.planning.anew.searching = false;
        match decisions {
            Some(decisions) => {
                self.planning.anew.found = Some(decisions);
                self.planning.news();
            }
            None => self.planning.refused_plans += 1,
        }
    }

    /// Plans in full and acts on it.
    pub(in crate::controller) fn settle_now(&mut self, now: DateTime<Utc>, turn: &mut Turn) {
        self.refresh(now);
        self.expire(now, turn);
        let previous: BTreeMap<JobId, Decision> =
            self.planning.asks.keys().filter_map(|id| Some((*id, self.state.jobs.get(id)?.told.clone()?))).collect();
        let shared = self.shared(now);
        self.planning.anew.site_changed |= shared != self.planning.site.shared;
        self.planning.site.shared = shared;
        let problem = Problem {
            site: self.planning.site.clone(),
            occupants: self.occupants(now),
            running: self.pausable(now),
            waiting: self.planning.asks.values().cloned().collect(),
            previous: Arc::new(previous),
            arrivals: self.arrivals(now),
        };
        let plan = self.make(now, &problem, turn);
        (self.planning.last, self.planning.due, self.planning.next) = (now, false, None);
        self.planning.ramping.clear();
        self.planning.plans += 1;
        if problem.waiting.len() <= AUDITED && !neap_policies::audit(&problem, &plan).is_empty() {
            // A plan that breaks a rule is not acted on: the last good one stands until something changes.
            self.planning.refused_plans += 1;
            return;
        }
        self.planning.plan = plan;
        self.planning.solved = Some((problem, OnceCell::new()));
        let decided: Vec<Decision> = self.planning.plan.decisions.values().cloned().collect();
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

    /// The plan, as far as the step may take; a longer search is begun beside the loop.
    fn make(&mut self, now: DateTime<Utc>, problem: &Problem, turn: &mut Turn) -> neap_policies::Plan {
        let anew = &mut self.planning.anew;
        let mut policy = self.planning.policy.clone();
        if let Some(found) = anew.found.take() {
            policy.effort = Effort::Keep;
            return neap_policies::adopt(problem, &policy, &found);
        }
        policy.effort = anew.effort(now, problem.waiting.len());
        // Those who are expected are planned, too.
        let coming = problem.arrivals.iter().map(|arrival| u64::from(arrival.count)).sum::<u64>() / 1_000;
        let coming = usize::try_from(coming).unwrap_or(usize::MAX).min(STAND_INS);
        let looks = (problem.waiting.len().min(2 * policy.depth) + coming) * problem.site.nodes.len();
        if policy.effort == Effort::Search && looks > anew.at_once {
            anew.searching = true;
            turn.effects.push(Effect::Search(Box::new(problem.clone()), policy.clone()));
            policy.effort = Effort::Keep;
        }
        neap_policies::plan(problem, &policy)
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
                    self.planning.wait_for_power(now, decision, because);
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
        // The model and number that the plan's room was taken from; all GPUs of one job are of one model.
        let Some(booking) = self.planning.plan.booking(id) else { return self.planning.news() };
        let (model, needed) = booking.gpus.first().cloned().unwrap_or_default();
        let mine = free.iter().filter(|gpu| gpu.model == model).take(needed as usize);
        let boards: Vec<_> = mine.copied().collect();
        let gpus: Vec<String> = boards.iter().map(|gpu| gpu.uuid.clone()).collect();
        if gpus.len() != needed as usize || needed < ask.gpus {
            return self.planning.news(); // the books and the node disagree: plan again
        }
        let cpus = booking.cpus;
        let slowed = Self::starts_at(&boards, decision.width.as_ref().and_then(|width| width.limit));
        if Self::start_adds(node, &boards, cpus, slowed) > booking.draws {
            return self.planning.news(); // what there was power for is not what it would be
        }
        let zone = node.zone.clone();
        let epoch = Epoch(self.state.jobs[&id].epoch.0 + 1);
        let happened = JobEvent::Leased {
            epoch,
            node: place.node.clone(),
            zone,
            cpus,
            gpus,
            decision: Box::new(decision.clone()),
            slowed,
        };
        self.record(now, Event::Job { job: id, happened }, turn);
        self.planning.asks.remove(&id);
        self.planning.plan.started(&ask);
        self.planning.placed.entry(place.node.clone()).or_default().insert(id);
        self.begin_capping(now, id, turn);
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
}

fn place_of(decision: &Decision) -> Option<&Place> {
    match &decision.verdict {
        Verdict::Start { place, .. } => Some(place),
        Verdict::Hold { place, .. } => place.as_ref(),
    }
}
