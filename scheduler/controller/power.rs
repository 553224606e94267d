//! Power under feeders and announced limits: nothing starts that would take what is committed above a limit in force.
//!
//! It reckons with what could be drawn, not with readings: a GPU with work counts at the highest limit that could be in force
//! on it, a core with work at its busy figure. It measures nothing; what lowers limits is `budgets.rs`.

use super::Controller;
use chrono::{DateTime, Utc};
use neap_model::fleet::Gpu;
use neap_model::job::JobId;
use neap_model::plan::{Decision, Place};
use neap_model::reason::Reason;
use neap_model::seconds::Seconds;
use neap_model::units::Watts;
use neap_policies::problem::{NodeState, Occupant};
use std::collections::{BTreeMap, BTreeSet};

/// What an idle core draws of a busy one's power, as one in so many: 1 W of 5 W, assumed until a meter says better.
const IDLE_CORE: u64 = 5;

/// What an idle GPU draws of its limit at most, as one in so many. The constant part of the boards in the public power tables
/// of V100 and A40 is 13 % and 27 % of the limit.
const IDLE_GPU: u64 = 4;

/// Jobs that are told with one plan when there will be power for them; those behind them are told why they wait.
const FORETOLD: usize = 64;

/// Nodes under one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The power domain, the zone, or `the site`.
    pub name: String,
    /// Its nodes.
    pub nodes: Vec<String>,
    /// The limit in force; `None`: there is none.
    pub limit: Option<Watts>,
    /// The announcement that sets it; `None`: the domain's own.
    pub event: Option<String>,
    /// The most that could be drawn as things stand.
    pub committed: Watts,
}

impl Controller {
    /// Every power domain, and every zone or the whole site while a limit is announced for it.
    #[must_use]
    pub fn power_groups(&self, now: DateTime<Utc>) -> Vec<Group> {
        self.groups(now, None)
    }

    /// The same; only those with the node `of`, if one is named: of the others nothing is summed up.
    pub(super) fn groups(&self, now: DateTime<Utc>, of: Option<&str>) -> Vec<Group> {
        let notices = &self.state.notices;
        let mut groups = Vec::new();
        for domain in &self.config.power_domains {
            let zones = self.planning.site.nodes.iter().filter(|node| domain.nodes.contains(&node.name));
            let mut places: Vec<&str> = zones.map(|node| node.zone.as_str()).collect();
            places.push(&domain.name);
            let announced =
                notices.cap(now, Some(&domain.name)).map(|(limit, notice)| (limit, Some(notice.id.clone())));
            let shared = domain.cap.and_then(|cap| {
                let (share, notice) = notices.share(now, &places)?;
                Some((cap.scaled(u64::from(share.0), 100_000), Some(notice.id.clone())))
            });
            let tightest = [domain.cap.map(|cap| (cap, None)), announced, shared].into_iter().flatten().min();
            let (limit, event) = tightest.map_or((None, None), |(limit, event)| (Some(limit), event));
            groups.extend(self.group(of, domain.name.clone(), &|node| domain.nodes.contains(&node.name), limit, event));
        }
        for zone in &self.config.zones {
            if let Some((limit, notice)) = notices.cap(now, Some(&zone.name)) {
                let event = Some(notice.id.clone());
                groups.extend(self.group(of, zone.name.clone(), &|node| node.zone == zone.name, Some(limit), event));
            }
        }
        if let Some((limit, notice)) = notices.cap(now, None) {
            groups.extend(self.group(of, "the site".to_owned(), &|_| true, Some(limit), Some(notice.id.clone())));
        }
        groups
    }

    fn group(
        &self,
        of: Option<&str>,
        name: String,
        has: &dyn Fn(&NodeState) -> bool,
        limit: Option<Watts>,
        event: Option<String>,
    ) -> Option<Group> {
        let nodes: Vec<&NodeState> = self.planning.site.nodes.iter().filter(|node| has(node)).collect();
        if of.is_some_and(|of| nodes.iter().all(|node| node.name != of)) {
            return None;
        }
        let committed = nodes.iter().map(|node| self.committed(node)).sum();
        Some(Group { name, nodes: nodes.iter().map(|node| node.name.clone()).collect(), limit, event, committed })
    }

    /// The most that a node could draw: its work at its highest, the rest idle.
    fn committed(&self, node: &NodeState) -> Watts {
        self.at_most(node, |gpu| self.budgets.reserved(&gpu.uuid).unwrap_or(gpu.limit))
    }

    /// The most that nodes could draw with what runs there if no limit were lowered.
    pub(super) fn could_draw(&self, has: impl Fn(&String) -> bool) -> Watts {
        let nodes = self.planning.site.nodes.iter().filter(|node| has(&node.name));
        nodes.map(|node| self.at_most(node, |gpu| gpu.limit)).sum()
    }

    /// The most that a node could draw if each GPU with work draws that much.
    fn at_most(&self, node: &NodeState, busy: impl Fn(&Gpu) -> Watts) -> Watts {
        let jobs: Vec<JobId> = self.planning.on_node(&node.name).collect();
        let jobs = jobs.iter().filter_map(|id| self.state.jobs.get(id));
        let (mut cores, mut held) = (0u64, Vec::new());
        for job in jobs {
            cores += u64::from(job.cpus);
            held.extend(job.gpus.iter());
        }
        let gpu = |gpu: &Gpu| if held.contains(&&gpu.uuid) { busy(gpu) } else { idle_gpu(gpu) };
        host(node, cores) + node.gpus.iter().map(gpu).sum()
    }

    /// The most that a power domain's nodes could draw beside these GPUs.
    pub(super) fn drawn_beside(&self, nodes: &[String], gpus: &BTreeSet<&str>) -> Watts {
        let of = |node: &NodeState| {
            let jobs: Vec<JobId> = self.planning.on_node(&node.name).collect();
            let cores = jobs.iter().filter_map(|id| self.state.jobs.get(id)).map(|job| u64::from(job.cpus)).sum();
            let idle = node.gpus.iter().filter(|gpu| !gpus.contains(gpu.uuid.as_str()));
            host(node, cores) + idle.map(idle_gpu).sum()
        };
        self.planning.site.nodes.iter().filter(|node| nodes.contains(&node.name)).map(of).sum()
    }

    /// Whether there is power for a job that the plan would start now; if not why, and when there will be as far as anybody can
    /// say. One that finds too little keeps what is left from those behind it, so that it gets its turn; one that would not fit
    /// if nothing else ran keeps nobody waiting.
    pub(super) fn power_left(&mut self, now: DateTime<Utc>, decision: &Decision, place: &Place) -> Result<(), Short> {
        let groups = self.groups(now, Some(&place.node));
        let (Some(ask), Some(node)) =
            (self.planning.ask(decision.job), self.planning.site.nodes.iter().find(|node| node.name == place.node))
        else {
            return Ok(());
        };
        let cores = self.planning.cores_of(decision.job).unwrap_or_else(|| neap_policies::cores_on(&ask, node));
        let gpus = decision.width.as_ref().map_or(ask.gpus, |width| width.gpus);
        let cpus = added(node.watts_per_cpu.0.saturating_mul(u64::from(cores)), IDLE_CORE);
        let fits = |gpu: &&Gpu| match &decision.width {
            Some(width) => gpu.model == width.model,
            None => neap_policies::model_rank(&ask.gpu_model, &gpu.model).is_some(),
        };
        let fitting = node.gpus.iter().filter(fits);
        let highest = fitting.map(|gpu| gpu.limit.0).max().unwrap_or(0);
        let needs = cpus + added(highest.saturating_mul(u64::from(gpus)), IDLE_GPU);
        for group in &groups {
            let Some(limit) = group.limit else { continue };
            let mut free = limit.saturating_sub(group.committed);
            if !self.budgets.may_start(&group.name) {
                free = Watts::ZERO;
            }
            if needs <= free && !self.planning.short.claims.contains_key(&group.name) {
                continue;
            }
            let length = decision.expected.map_or(ask.length, |run| Seconds::between(run.start, run.end));
            self.planning.short.told += 1;
            let look = self.planning.short.told <= FORETOLD;
            if look && self.planning.short.ends.as_ref().is_none_or(|(at, _)| *at != now) {
                self.planning.short.ends = Some((now, self.ends(now)));
            }
            let comes = look.then(|| self.power_comes(now, (&place.node, &groups), needs, length)).flatten();
            if needs <= limit.saturating_sub(self.idle(group)) {
                let claims = self.planning.short.claims.entry(group.name.clone()).or_default();
                claims.extend(comes.map(|from| Claim { from, until: from + length.delta(), watts: needs }));
            }
            let because = Reason::Power { domain: group.name.clone(), needs, free, limit, event: group.event.clone() };
            return Err(Short { because, clears: comes.filter(|at| *at > now) });
        }
        Ok(())
    }

    /// What the nodes of a group draw with nothing to do.
    fn idle(&self, group: &Group) -> Watts {
        let nodes = self.planning.site.nodes.iter().filter(|node| group.nodes.contains(&node.name));
        nodes.map(|node| host(node, 0) + node.gpus.iter().map(idle_gpu).sum()).sum()
    }

    /// The first time at which a job of that length could have so much power on a node, once what runs ends as it is expected to
    /// and announcements end as they said, with what those wait for who go before it. `None`: nobody can say.
    ///
    /// A limit that is announced for later does not count: what runs by then is looked after by then.
    fn power_comes(
        &self,
        now: DateTime<Utc>,
        (node, groups): (&str, &[Group]),
        needs: Watts,
        length: Seconds,
    ) -> Option<DateTime<Utc>> {
        let ends = self.planning.short.ends.as_ref().map_or(&[][..], |(_, ends)| ends);
        let ahead = self.state.notices.ahead(now);
        let changes = ahead.iter().filter_map(|notice| notice.until).filter(|at| *at > now);
        let limits: BTreeMap<DateTime<Utc>, Vec<Group>> = changes.map(|at| (at, self.groups(at, Some(node)))).collect();
        let claims = |group: &Group| self.planning.short.claims.get(&group.name).into_iter().flatten();
        let mut times: Vec<DateTime<Utc>> = ends.iter().map(|end| end.at).chain(limits.keys().copied()).collect();
        times.extend(groups.iter().flat_map(claims).map(|claim| claim.until));
        times.push(now);
        times.sort_unstable();
        times.dedup();
        let there = |group: &Group, at: DateTime<Utc>| {
            let last = limits.range(..=at).next_back().map(|(_, then)| then.as_slice());
            let limit = match last.map(|then| then.iter().find(|other| other.name == group.name)) {
                Some(then) => then.and_then(|then| then.limit),
                None => group.limit,
            };
            let Some(limit) = limit else { return true };
            let gone = ends.iter().filter(|end| end.at <= at && group.nodes.contains(&end.node));
            let back: Watts = gone.map(|end| end.back).sum();
            let until = at + length.delta();
            let first =
                claims(group).filter(|claim| claim.from < until && at < claim.until).map(|claim| claim.watts).sum();
            needs <= limit.saturating_sub(group.committed.saturating_sub(back)).saturating_sub(first)
        };
        times.into_iter().find(|at| *at >= now && groups.iter().all(|group| there(group, *at)))
    }

    /// When each running job is expected to end.
    fn ends(&self, now: DateTime<Utc>) -> Vec<End> {
        let end = |job: Occupant| End { at: job.until, back: self.adds(&job), node: job.node };
        self.occupants(now).into_iter().map(end).collect()
    }

    /// What a running job adds to what its node draws idle.
    fn adds(&self, job: &Occupant) -> Watts {
        let Some(node) = self.planning.site.nodes.iter().find(|node| node.name == job.node) else {
            return Watts::ZERO;
        };
        let gpus = node.gpus.iter().filter(|gpu| job.gpus.contains(&gpu.uuid)).map(|gpu| {
            let busy = self.budgets.reserved(&gpu.uuid).unwrap_or(gpu.limit);
            busy.saturating_sub(idle_gpu(gpu))
        });
        added(node.watts_per_cpu.0.saturating_mul(u64::from(job.cpus)), IDLE_CORE) + gpus.sum()
    }
}

/// Where power ran short in a turn, and what is known of how it comes back.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    /// What those who wait for it will take, by group.
    pub claims: BTreeMap<String, Vec<Claim>>,
    /// How many were told when there will be some.
    told: usize,
    /// When what runs is expected to end, as it stood then.
    pub ends: Option<(DateTime<Utc>, Vec<End>)>,
}

/// The expected end of a running job, and the power that is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    at: DateTime<Utc>,
    node: String,
    back: Watts,
}

/// Power that a waiting job will take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    watts: Watts,
}

/// Too little power for a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Short {
    pub because: Reason,
    /// When there will be enough.
    pub clears: Option<DateTime<Utc>>,
}

/// What a GPU draws with nothing to do, at most.
fn idle_gpu(gpu: &Gpu) -> Watts {
    Watts(gpu.limit.0 / IDLE_GPU)
}

/// What work adds to an idle part of that power.
fn added(whole: u64, part: u64) -> Watts {
    Watts(whole - whole / part)
}

/// What a node draws beside its GPUs, with that many busy cores.
fn host(node: &NodeState, cores: u64) -> Watts {
    let all = u64::from(node.cpus);
    let cores = cores.min(all);
    Watts(node.watts_per_cpu.0.saturating_mul(cores * IDLE_CORE + all - cores) / IDLE_CORE)
}
