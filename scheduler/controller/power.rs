//! Power under feeders and announced limits, and GPUs that may be in use at once: what the planner is told of them, and a last
//! look before a start.
//!
//! It reckons with what could be drawn, not with readings: a GPU with work counts at the highest limit that could be in force
//! on it, a core with work at its busy figure. It measures nothing; what lowers limits is `budgets.rs`.

use super::Controller;
use super::state::Job;
use crate::config::{PowerDomain, Ramp, WhenOver};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::fleet::Gpu;
use neap_model::job::JobId;
use neap_model::plan::{Decision, Place};
use neap_model::reason::Reason;
use neap_model::units::Watts;
use neap_policies::draw::{cores_add, gpu_adds, idle_host, idle_node};
use neap_policies::problem::{Good, Level, NodeState, Shared};
use std::collections::BTreeSet;
use std::sync::Arc;

/// So long a start counts against its domain's ramp.
const A_MINUTE: TimeDelta = TimeDelta::seconds(60);

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

/// A limit, and where it holds.
#[derive(Clone)]
struct Limited<'a> {
    name: &'a str,
    place: Where<'a>,
    limit: Option<Watts>,
    event: Option<String>,
    /// What holds whatever is announced.
    standing: Option<Watts>,
}

/// Which nodes a limit speaks of.
#[derive(Clone, Copy)]
enum Where<'a> {
    Nodes(&'a [String]),
    Zone(&'a str),
    Everywhere,
}

impl Where<'_> {
    /// Whether both are a domain, a zone or all.
    fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    fn has(&self, node: &NodeState) -> bool {
        match self {
            Self::Nodes(nodes) => nodes.contains(&node.name),
            Self::Zone(zone) => node.zone == *zone,
            Self::Everywhere => true,
        }
    }
}

impl Controller {
    /// Every power domain, and every zone or the whole site while a limit is announced for it.
    #[must_use]
    pub fn power_groups(&self, now: DateTime<Utc>) -> Vec<Group> {
        self.limited(now).into_iter().map(|limited| self.group(limited)).collect()
    }

    /// The limits that hold at that time, as far as they are announced by now.
    fn limited(&self, at: DateTime<Utc>) -> Vec<Limited<'_>> {
        let notices = &self.state.notices;
        let mut all = Vec::new();
        for domain in &self.config.power_domains {
            let zones = self.planning.site.nodes.iter().filter(|node| domain.nodes.contains(&node.name));
            let mut places: Vec<&str> = zones.map(|node| node.zone.as_str()).collect();
            places.push(&domain.name);
            let announced = notices.cap(at, Some(&domain.name)).map(|(limit, notice)| (limit, Some(notice.id.clone())));
            let shared = domain.cap.and_then(|cap| {
                let (share, notice) = notices.share(at, &places)?;
                Some((cap.scaled(u64::from(share.0), 100_000), Some(notice.id.clone())))
            });
            let tightest = [domain.cap.map(|cap| (cap, None)), announced, shared].into_iter().flatten().min();
            let (limit, event) = tightest.map_or((None, None), |(limit, event)| (Some(limit), event));
            let (place, standing) = (Where::Nodes(&domain.nodes), domain.cap);
            all.push(Limited { name: &domain.name, place, limit, event, standing });
        }
        for zone in &self.config.zones {
            if let Some((limit, notice)) = notices.cap(at, Some(&zone.name)) {
                let (limit, event) = (Some(limit), Some(notice.id.clone()));
                all.push(Limited { name: &zone.name, place: Where::Zone(&zone.name), limit, event, standing: None });
            }
        }
        if let Some((limit, notice)) = notices.cap(at, None) {
            let (limit, event) = (Some(limit), Some(notice.id.clone()));
            all.push(Limited { name: "the site", place: Where::Everywhere, limit, event, standing: None });
        }
        all
    }

    /// The nodes that a limit speaks of.
    fn nodes_of(&self, place: &Where<'_>) -> impl Iterator<Item = &NodeState> {
        self.planning.site.nodes.iter().filter(|node| place.has(node))
    }

    fn group(&self, Limited { name, place, limit, event, .. }: Limited<'_>) -> Group {
        let committed = self.nodes_of(&place).map(|node| self.committed(node)).sum();
        let nodes = self.nodes_of(&place).map(|node| node.name.clone()).collect();
        Group { name: name.to_owned(), nodes, limit, event, committed }
    }

    /// What nodes share, as the planner is told of it: power under each limit that holds or is announced, and GPUs that may be in
    /// use at once.
    ///
    /// Of a limit that is announced for later there counts as much as could be held under it by then: where GPUs are lowered, who
    /// runs by then is.
    pub(super) fn shared(&self, now: DateTime<Utc>) -> Vec<Arc<Shared>> {
        let ahead = self.state.notices.ahead(now);
        let edges = ahead.iter().flat_map(|notice| notice.until.into_iter().chain([notice.from]));
        let edges: BTreeSet<DateTime<Utc>> = edges.filter(|at| *at > now).collect();
        let later: Vec<(DateTime<Utc>, Vec<Limited<'_>>)> =
            edges.into_iter().map(|at| (at, self.limited(at))).collect();
        let mut places = self.limited(now);
        for then in later.iter().flat_map(|(_, then)| then) {
            if !places.iter().any(|known| known.name == then.name && known.place.is_like(&then.place)) {
                places.push(Limited { limit: then.standing, event: None, ..then.clone() });
            }
        }
        let power = |Limited { name, place, limit, event, standing }: Limited<'_>| {
            let most = |limit: Option<Watts>| limit.map_or(u64::MAX, |limit| limit.0);
            let mut levels = vec![Level { from: DateTime::<Utc>::MIN_UTC, most: most(limit), event }];
            for (from, then) in &later {
                let same = then.iter().find(|other| other.name == name && other.place.is_like(&place));
                let (limit, event) = same.map_or((None, None), |same| (same.limit, same.event.clone()));
                let most = most(limit.map(|limit| self.held_under(&place, limit))).min(most(standing));
                if levels.last().is_some_and(|last| last.most != most) {
                    levels.push(Level { from: *from, most, event });
                }
            }
            let idle: Watts = self.nodes_of(&place).map(idle_node).sum();
            let nodes = self.nodes_of(&place).map(|node| node.name.clone()).collect();
            let limited = levels.iter().any(|level| level.most < u64::MAX);
            limited.then(|| Arc::new(Shared { name: name.to_owned(), what: Good::Power, nodes, levels, idle: idle.0 }))
        };
        let peak = |zone: &crate::config::ZoneConfig| {
            let nodes: Vec<String> = self.nodes_of(&Where::Zone(&zone.name)).map(|node| node.name.clone()).collect();
            let one = |(model, most): (Option<String>, u32)| {
                let level = Level { from: DateTime::<Utc>::MIN_UTC, most: u64::from(most), event: None };
                let (name, what) = (zone.name.clone(), Good::Gpus { model });
                Arc::new(Shared { name, what, nodes: nodes.clone(), levels: vec![level], idle: 0 })
            };
            let by_model = zone.peak_gpus.by_model.iter().map(|(model, most)| (Some(model.clone()), *most));
            zone.peak_gpus.all.map(|most| (None, most)).into_iter().chain(by_model).map(one).collect::<Vec<_>>()
        };
        places.into_iter().filter_map(power).chain(self.config.zones.iter().flat_map(peak)).collect()
    }

    /// What could be drawn as found by work that can be brought under a limit by lowering GPUs: those of domains that do so, as
    /// far as their boards and the domain allow. Cores are not lowered.
    fn held_under(&self, place: &Where<'_>, limit: Watts) -> Watts {
        let (mut idle, mut least, mut most) = (Watts::ZERO, Watts::ZERO, Watts::ZERO);
        for node in self.nodes_of(place) {
            let cores = cores_add(node.watts_per_cpu, node.cpus);
            let lowers = |domain: &&PowerDomain| domain.when_over.contains(&WhenOver::CapGpus);
            let mut domains = self.config.power_domains.iter().filter(|domain| domain.nodes.contains(&node.name));
            let domain = domains.find(lowers);
            let floor = |gpu: &Gpu| {
                let range = gpu.settable.zip(domain);
                range.map_or(gpu.limit, |(range, domain)| domain.lowest(gpu.limit).max(range.least).min(gpu.limit))
            };
            idle += idle_node(node);
            least += cores + node.gpus.iter().map(|gpu| gpu_adds(gpu.limit, floor(gpu))).sum();
            most += cores + node.gpus.iter().map(|gpu| gpu_adds(gpu.limit, gpu.limit)).sum();
        }
        let work = limit.saturating_sub(idle);
        if least >= most { limit } else { limit.max(idle + work.scaled(most.0, least.0.max(1))) }
    }

    /// The most that a node could draw: its work at its highest, the rest idle.
    fn committed(&self, node: &NodeState) -> Watts {
        let jobs = self.planning.on_node(&node.name).collect::<Vec<_>>();
        idle_node(node) + jobs.into_iter().map(|id| self.adds_at_most_on(node, id)).sum()
    }

    /// The most that nodes could draw with what runs there if no limit were lowered.
    pub(super) fn could_draw(&self, has: impl Fn(&String) -> bool) -> Watts {
        let nodes = self.planning.site.nodes.iter().filter(|node| has(&node.name));
        let of = |node: &NodeState| {
            let jobs = self.planning.on_node(&node.name).collect::<Vec<_>>();
            idle_node(node) + jobs.into_iter().map(|id| self.adds(node, id, |_, gpu| gpu.limit)).sum()
        };
        nodes.map(of).sum()
    }

    /// What a job that runs adds at most to what its node draws idle, if each of its GPUs draws that much.
    fn adds(&self, node: &NodeState, id: JobId, busy: impl Fn(&Job, &Gpu) -> Watts) -> Watts {
        let Some(job) = self.state.jobs.get(&id) else { return Watts::ZERO };
        let held = node.gpus.iter().filter(|gpu| job.gpus.contains(&gpu.uuid));
        let gpus = held.map(|gpu| gpu_adds(gpu.limit, busy(job, gpu)));
        cores_add(node.watts_per_cpu, job.cpus.min(node.cpus)) + gpus.sum()
    }

    /// The same at the limits that could be in force.
    pub(super) fn adds_at_most(&self, node: &str, id: JobId) -> Watts {
        let nodes = &self.planning.site.nodes;
        let at = nodes.binary_search_by(|other| other.name.as_str().cmp(node));
        at.map_or(Watts::ZERO, |at| self.adds_at_most_on(&nodes[at], id))
    }

    fn adds_at_most_on(&self, node: &NodeState, id: JobId) -> Watts {
        self.adds(node, id, |job, gpu| self.may_draw(job, gpu))
    }

    /// The most that a power domain's nodes could draw beside these GPUs.
    pub(super) fn drawn_beside(&self, nodes: &[String], gpus: &BTreeSet<&str>) -> Watts {
        let of = |node: &NodeState| {
            let cores = self.planning.on_node(&node.name).filter_map(|id| self.state.jobs.get(&id).map(|job| job.cpus));
            let busy: Watts = cores.map(|cores| cores_add(node.watts_per_cpu, cores.min(node.cpus))).sum();
            let idle = node.gpus.iter().filter(|gpu| !gpus.contains(gpu.uuid.as_str()));
            idle_host(node) + busy + idle.map(|gpu| neap_policies::draw::idle_gpu(gpu.limit)).sum()
        };
        self.planning.site.nodes.iter().filter(|node| nodes.contains(&node.name)).map(of).sum()
    }

    /// Whether there is power for a job that the plan would start now; if not why. The plan knows the limits; it does not know
    /// whether a power domain lets anything start at present.
    pub(super) fn power_left(&self, now: DateTime<Utc>, decision: &Decision, place: &Place) -> Result<(), Reason> {
        let needs = self.planning.draws_of(decision.job);
        let Some(node) = self.planning.site.nodes.iter().find(|node| node.name == place.node) else { return Ok(()) };
        for limited in self.limited(now).into_iter().filter(|limited| limited.place.has(node)) {
            if let Where::Nodes(nodes) = limited.place {
                self.ramp_left(now, nodes, limited.name, limited.limit, needs)?;
            }
            let Some(limit) = limited.limit else { continue };
            let group = self.group(limited);
            let free =
                if self.budgets.may_start(&group.name) { limit.saturating_sub(group.committed) } else { Watts::ZERO };
            if needs > free {
                return Err(Reason::Power { domain: group.name, needs, free, limit, event: group.event, from: None });
            }
        }
        Ok(())
    }

    /// Whether so much more may be started in a power domain within this minute. What is more than may ever be starts as the only
    /// one of its minute; whoever was told to wait goes before others.
    fn ramp_left(
        &self,
        now: DateTime<Utc>,
        nodes: &[String],
        name: &str,
        limit: Option<Watts>,
        needs: Watts,
    ) -> Result<(), Reason> {
        let domain = self.config.power_domains.iter().find(|domain| domain.name == name);
        let most = match domain.and_then(|domain| domain.ramp) {
            Some(Ramp::Power(most)) => most,
            Some(Ramp::Share(share)) => match limit {
                Some(limit) => limit.scaled(u64::from(share.0), 100_000),
                None => return Ok(()),
            },
            None => return Ok(()),
        };
        let lately = |id: &JobId| {
            let leased = self.state.jobs.get(id).and_then(|job| job.leased);
            leased.is_some_and(|leased| now - leased < A_MINUTE)
        };
        let nodes = self.planning.site.nodes.iter().filter(|node| nodes.contains(&node.name));
        let on = |node: &NodeState| {
            let ids = self.planning.on_node(&node.name).filter(lately).collect::<Vec<_>>();
            ids.into_iter().map(|id| self.adds_at_most_on(node, id)).sum::<Watts>()
        };
        let started: Watts = nodes.map(on).sum();
        let nothing_yet = started == Watts::ZERO && !self.planning.is_ramping(name);
        if nothing_yet || !self.planning.is_ramping(name) && started + needs <= most {
            return Ok(());
        }
        Err(Reason::Ramp { domain: name.to_owned(), needs, started, limit: most })
    }
}
