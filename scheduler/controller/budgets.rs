//! Power domains that lower the limits of their GPUs: what could be in force is kept under the budget, job by job, as far as each
//! consented to be slowed down and further only where nothing else helps.
//!
//! The budget is kept by limits alone: a GPU counts at the highest that could be in force on it, the rest as in `power.rs`. What
//! GPUs were metered to draw only says which limits do nothing for whom, so that those watts go to others.

mod told;

use super::leases::SILENT;
use super::power::Group;
use super::slowed::NotHeld;
use super::state::Job;
use super::{Controller, Turn};
use crate::config::{PowerDomain, WhenOver};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::cap::{CapHeld, CapReason};
use neap_model::fleet::Gpu;
use neap_model::job::{Epoch, JobId};
use neap_model::lifecycle::Phase;
use neap_model::protocol::AttemptReport;
use neap_model::units::Watts;
use neap_policies::regulate::{Because, Board, Config, Job as Claim, Readings, Regulator, Seen};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use told::{Heard, Told, keeps, stands, take};

/// A reading that is older says nothing: two beats did not come.
const METERED: TimeDelta = TimeDelta::seconds(10);

/// Orders of one life of the scheduler are numbered from its number of starts times that.
const ORDERS: u32 = 32;

/// All power domains that lower limits.
#[derive(Debug)]
pub(super) struct Budgets {
    began: DateTime<Utc>,
    domains: BTreeMap<String, Domain>,
    /// How the limits of each job's GPUs stand, as its executor said last.
    heard: BTreeMap<JobId, Heard>,
    /// What each GPU was metered to draw, and when that was heard.
    drawn: BTreeMap<String, (DateTime<Utc>, Watts)>,
    /// Boards that could not be held before a start.
    pub(super) not_held: NotHeld,
    /// Something was heard that a domain may wait for.
    news: bool,
    /// Above every order so far.
    next: u64,
}

#[derive(Debug)]
struct Domain {
    regulator: Regulator,
    boards: Vec<Board>,
    budget: Watts,
    /// The last order of each job, and of its GPUs.
    told: BTreeMap<JobId, Told>,
    /// The attempts it was reckoned with last.
    reckoned: BTreeSet<(JobId, Epoch)>,
    may_start: bool,
    due: Duration,
}

impl Budgets {
    pub(super) const fn new(began: DateTime<Utc>) -> Self {
        Self {
            began,
            domains: BTreeMap::new(),
            heard: BTreeMap::new(),
            drawn: BTreeMap::new(),
            not_held: NotHeld::new(),
            news: false,
            next: 0,
        }
    }

    /// What an executor says of an attempt.
    pub(super) fn heard(&mut self, report: &AttemptReport) {
        let heard = Heard { attempt: report.attempt, order: report.cap_order, caps: report.caps.clone() };
        let known = self.heard.get(&report.attempt.job);
        if known
            .is_some_and(|known| (known.attempt, known.order, &known.caps) == (heard.attempt, heard.order, &heard.caps))
        {
            return;
        }
        self.heard.insert(report.attempt.job, heard);
        self.news = true;
    }

    /// What an executor's meters say of its GPUs.
    pub(super) fn drew(&mut self, now: DateTime<Utc>, watts: &BTreeMap<String, Watts>) {
        self.drawn.extend(watts.iter().map(|(gpu, watts)| (gpu.clone(), (now, *watts))));
    }

    /// What a GPU draws; one that was not metered lately counts at its limit. Nor does any count for more: a meter that tells
    /// more is wrong, or tells of the time before the limit.
    fn power(&self, now: DateTime<Utc>, gpu: &str, limit: Watts) -> Watts {
        let fresh = self.drawn.get(gpu).filter(|(at, _)| now - *at <= METERED);
        fresh.map_or(limit, |(_, watts)| limit.min(*watts))
    }

    /// How the limits stand that were ever asked for by what runs, as executors said last.
    pub(super) fn held(&self) -> impl Iterator<Item = &CapHeld> {
        self.heard.values().flat_map(|heard| &heard.caps)
    }

    /// Its attempt is over.
    pub(super) fn forget(&mut self, id: JobId) {
        self.news |= self.heard.remove(&id).is_some();
        self.domains.values_mut().for_each(|domain| {
            domain.told.remove(&id);
        });
    }

    fn told(&self, id: JobId) -> Option<&Told> {
        self.domains.values().find_map(|domain| domain.told.get(&id))
    }

    /// Whether a domain told a job's GPUs anything since this start.
    pub(super) fn has_told(&self, id: JobId) -> bool {
        self.told(id).is_some()
    }

    /// The limit that a domain told a job's GPUs last, which is reserved for them; `None`: none did since this start.
    pub(super) fn told_limit(&self, id: JobId) -> Option<Watts> {
        self.told(id).map(|told| told.limit)
    }

    /// The number of what a job's GPUs were told last; 0: no domain told them anything.
    pub(super) fn order(&self, id: JobId) -> u64 {
        self.told(id).map_or(0, |told| told.order)
    }

    /// The limit a domain holds a job's GPUs at, and why. `None`: none below what was found.
    pub(super) fn limit(&self, job: &Job) -> Option<(Watts, CapReason)> {
        match self.told(job.id) {
            Some(told) => (told.limit < told.highest).then(|| (told.limit, told.because.clone())),
            // Not reckoned since this start: it stays as it was decided, while the domain has a limit.
            None => {
                let (limit, because) = job.capped.as_ref()?;
                let CapReason::Domain { domain, .. } = because else { return None };
                let stands = self.next == 0 || self.domains.contains_key(domain);
                stands.then(|| Some(((*limit)?, because.clone())))?
            }
        }
    }

    /// The highest limit that could be in force on a GPU in such a domain, and whether that was reckoned with that attempt on it:
    /// else it is of who had it before.
    pub(super) fn reserved(&self, gpu: &str, attempt: Option<(JobId, Epoch)>) -> Option<(Watts, bool)> {
        self.domains.values().find_map(|domain| {
            let known = attempt.is_some_and(|attempt| domain.reckoned.contains(&attempt));
            Some((domain.regulator.reserved(gpu)?, known))
        })
    }

    /// Whether work may start in a domain: not while what runs there cannot have what it consented to.
    pub(super) fn may_start(&self, domain: &str) -> bool {
        self.domains.get(domain).is_none_or(|domain| domain.may_start)
    }
}

/// Whether anything is done to running work there.
fn acts(domain: &PowerDomain) -> bool {
    domain.when_over.iter().any(|step| matches!(step, WhenOver::CapGpus | WhenOver::PauseFlexible))
}

impl Controller {
    /// Looks after every domain that acts on running work: at once when its budget or a job changed or an order was carried out, and
    /// every few seconds.
    pub(super) fn regulate(&mut self, now: DateTime<Utc>, turn: &mut Turn) {
        self.try_holding_again(now);
        if !self.config.power_domains.iter().any(acts) {
            return;
        }
        let news = std::mem::take(&mut self.budgets.news);
        let groups = self.power_groups(now);
        let mut asked = BTreeSet::new();
        for domain in self.config.power_domains.clone() {
            let group = groups.iter().find(|group| group.name == domain.name).filter(|_| acts(&domain));
            let group = group.map(|group| self.tightest(group, &groups));
            let Some((budget, group)) = group.and_then(|group| Some((group.limit?, group))) else {
                if let Some(gone) = self.budgets.domains.remove(&domain.name) {
                    asked.extend(gone.boards.into_iter().map(|board| board.node));
                }
                continue;
            };
            asked.extend(self.regulate_one(now, &domain, &group, budget, news, turn));
        }
        for node in asked {
            self.wake(&node, turn);
        }
    }

    /// A domain under the tightest of its own limit and its share of every zone's and the whole site's: what nodes in no domain
    /// that acts could draw comes first, the rest is shared by what each domain could draw at the limits that were found.
    fn tightest(&self, domain: &Group, groups: &[Group]) -> Group {
        let within = |one: &Group, other: &Group| one.nodes.iter().all(|node| other.nodes.contains(node));
        let rules = |group: &Group| self.config.power_domains.iter().find(|own| own.name == group.name);
        let above = groups.iter().filter(|group| rules(group).is_none() && within(domain, group));
        let shares = above.filter_map(|above| {
            let sharing = groups.iter().filter(|group| rules(group).is_some_and(acts) && within(group, above));
            let sharing: Vec<&Group> = sharing.collect();
            let shares = |node: &String| sharing.iter().any(|group| group.nodes.contains(node));
            let beside = self.could_draw(|node| above.nodes.contains(node) && !shares(node));
            let of = |group: &Group| self.could_draw(|node| group.nodes.contains(node));
            let all: Watts = sharing.iter().map(|group| of(group)).sum();
            Some((above.limit?.saturating_sub(beside).scaled(of(domain).0, all.0), above.event.clone()))
        });
        let own = domain.limit.map(|limit| (limit, domain.event.clone()));
        let tightest = own.into_iter().chain(shares).min();
        let (limit, event) = tightest.map_or((None, None), |(limit, event)| (Some(limit), event));
        Group { limit, event, ..domain.clone() }
    }

    /// What a board is brought to once no lease is left on it, as its helper said; `None`: that is not promised.
    fn safe_cap(&self, node: &str, uuid: &str) -> Option<Watts> {
        let boards = &self.state.nodes.get(node)?.inventory.gpus;
        boards.iter().find(|gpu| gpu.uuid == uuid)?.settable?.safe
    }

    /// The nodes whose executors have something to do.
    fn regulate_one(
        &mut self,
        now: DateTime<Utc>,
        domain: &PowerDomain,
        group: &Group,
        budget: Watts,
        news: bool,
        turn: &mut Turn,
    ) -> Vec<String> {
        let jobs = self.jobs_of(group);
        let boards = self.boards(domain, &jobs);
        let at = (now - self.budgets.began).to_std().unwrap_or_default();
        let mut first = (self.state.incarnation << ORDERS).max(self.budgets.next);
        let mut known = self.budgets.domains.remove(&domain.name).unwrap_or_else(|| {
            // The budget is kept by limits, so no reading can be wrong about it. A GPU of a node that is lost counts at the higher
            // of what it was told and its safe cap, where its helper says one, else at what was found, however long that lasts: so
            // nothing hangs on when its lease ends.
            let margin = 0.0;
            let (hold_idle, lease, seed) = (false, Duration::MAX, self.state.nonce);
            let config = Config { margin, hold_idle, lease, seed, ..Config::default() };
            first += 1;
            let regulator = Regulator::new(config, boards.clone(), first, at);
            let (told, reckoned) = (BTreeMap::new(), BTreeSet::new());
            Domain { regulator, boards: boards.clone(), budget, told, reckoned, may_start: true, due: at }
        });
        self.budgets.next = first;
        self.budgets.next = told::begin(&mut known.told, &jobs, self.budgets.next, (group, budget));
        let others = known.boards != boards;
        if others {
            known.regulator.set_boards(boards.clone(), at);
            known.boards = boards;
        }
        let mut asked = Vec::new();
        let attempts = jobs.iter().filter_map(|job| Some((job.id, job.phase.attempt()?.0))).collect();
        if news || others || known.reckoned != attempts || known.budget != budget || at >= known.due {
            (known.budget, known.reckoned) = (budget, attempts);
            let readings = self.readings(now, at, (domain, group), &jobs, &mut known);
            let orders = known.regulator.regulate(at, &readings);
            (known.may_start, known.due) = (orders.may_start, known.regulator.due());
            asked.extend(orders.set.iter().map(|order| order.node.clone()));
            self.budgets.next = orders.set.iter().map(|order| order.order + 1).fold(first, u64::max);
            if orders.set.iter().any(|order| order.because == Because::Raised) {
                // The plan knew them lower.
                self.planning.news();
            }
            take(&mut known.told, (group, budget), &readings.jobs, &orders);
            for id in orders.pause {
                self.pause_for_power(now, id, group, turn);
            }
        }
        self.budgets.domains.insert(domain.name.clone(), known);
        asked
    }

    /// Jobs that hold GPUs in the domain.
    fn jobs_of(&self, group: &Group) -> Vec<Arc<Job>> {
        let ids = group.nodes.iter().flat_map(|node| self.planning.on_node(node));
        ids.filter_map(|id| self.state.jobs.get(&id)).filter(|job| !job.gpus.is_empty()).cloned().collect()
    }

    fn boards(&self, domain: &PowerDomain, jobs: &[Arc<Job>]) -> Vec<Board> {
        let of = |gpu: &Gpu, node: &str| {
            let may = domain.when_over.contains(&WhenOver::CapGpus);
            let least = gpu.settable.filter(|_| may).map_or(gpu.limit, |range| range.least);
            let share = domain.lowest(gpu.limit);
            Board {
                gpu: gpu.uuid.clone(),
                node: node.to_owned(),
                floor: least.max(share).min(gpu.limit),
                highest: gpu.settable.map_or(gpu.limit, |range| range.most.max(gpu.limit)),
                // What was found is what it goes back to, and nobody is known who would set more.
                vouched: Some(gpu.limit),
                // A board whose job was told nothing has a lease on what was found.
                safe: None,
                unheard: self.safe_cap(node, &gpu.uuid),
            }
        };
        let mut boards: Vec<Board> = jobs
            .iter()
            .filter_map(|job| Some((self.gpus_of(job)?, &job.place.as_ref()?.node)))
            .flat_map(|(gpus, node)| gpus.into_iter().map(move |gpu| of(gpu, node)))
            .collect();
        boards.sort_by(|a, b| a.gpu.cmp(&b.gpu));
        boards.dedup_by(|a, b| a.gpu == b.gpu);
        boards
    }

    fn readings(
        &self,
        now: DateTime<Utc>,
        at: Duration,
        (rules, group): (&PowerDomain, &Group),
        jobs: &[Arc<Job>],
        domain: &mut Domain,
    ) -> Readings {
        let ours: BTreeSet<&str> = domain.boards.iter().map(|board| board.gpu.as_str()).collect();
        let others = self.drawn_beside(&group.nodes, &ours);
        let heard = |node: &str| self.state.nodes.get(node).and_then(|node| node.heard);
        let silent = |node: &&String| heard(node).is_none_or(|heard| now - heard > SILENT);
        let since = |node: &String| {
            let at = heard(node).and_then(|heard| (heard - self.budgets.began).to_std().ok());
            (node.clone(), at.unwrap_or_default())
        };
        let lost: Vec<(String, Duration)> = group.nodes.iter().filter(silent).map(since).collect();
        let (mut gpus, mut claims, mut drawn, mut given) = (Vec::new(), Vec::new(), others, Watts::ZERO);
        for job in jobs {
            let Some(known) = self.gpus_of(job) else { continue };
            let here = job.place.as_ref().is_some_and(|place| !lost.iter().any(|(node, _)| *node == place.node));
            let said = self
                .budgets
                .heard
                .get(&job.id)
                .filter(|said| Some(said.attempt.epoch) == job.phase.attempt().map(|(epoch, _)| epoch));
            let mut told = domain.told.get_mut(&job.id);
            if let Some(told) = told.as_deref_mut().filter(|told| said.is_some_and(|said| said.order == told.order)) {
                let done = told.orders.iter().filter(|(gpu, (_, limit))| keeps(said, gpu, *limit, told.highest));
                told.carried.extend(done.map(|(gpu, order)| (gpu.clone(), *order)));
            }
            for gpu in known {
                if !here {
                    drawn += domain.regulator.reserved(&gpu.uuid).unwrap_or(gpu.limit);
                    continue;
                }
                let (stand, limit) = stands(job, gpu, said, told.as_deref());
                let power = self.budgets.power(now, &gpu.uuid, limit);
                drawn += power;
                gpus.push(Seen { gpu: gpu.uuid.clone(), at, stand, limit, power: Some(power) });
            }
            let most = self.may_have(now, job, told.map(|told| told.limit), &mut given);
            claims.push(Claim { most, ..self.claim(job, rules.when_over.contains(&WhenOver::PauseFlexible)) });
        }
        Readings { budget: domain.budget, others, site: Some((drawn, at)), gpus, lost, jobs: claims }
    }

    fn claim(&self, job: &Job, may_pause: bool) -> Claim {
        let pausing = matches!(&job.phase, Phase::Stopping { .. });
        Claim {
            id: job.id,
            gpus: job.gpus.clone(),
            // A unit of speed of a job on many GPUs is as much work as that of many jobs.
            weight: job.gpus.len() as f64,
            least_speed: 1.0 / (1.0 + job.spec.flex.slowdown.ratio()),
            most: None,
            may_pause: may_pause && self.may_pause_now(job),
            pausing,
            points: self.points_of(job),
        }
    }
}
