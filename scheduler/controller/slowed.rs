//! Starts at a limit where a power domain is short of watts: a job that consents counts at the limit it is planned at, from its
//! lease on.
//!
//! That is so only where the limit holds whatever happens: in a domain that keeps its own cap by the limits of GPUs and is wholly
//! under every limit that reaches it; on boards whose executor starts nothing before it is held; and no lower than where a board
//! is left without a lease, so that neither a silent scheduler nor a dead executor nor a helper that starts anew lets it draw
//! more. Elsewhere a start counts at its most.

use super::state::Job;
use super::{Controller, Turn};
use crate::config::{PowerDomain, WhenOver};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::cap::{CapReason, Settable, Uncapped};
use neap_model::fleet::{Gpu, Inventory};
use neap_model::job::{Epoch, JobId};
use neap_model::lifecycle::{AttemptEnd, JobEvent, Phase};
use neap_model::units::Watts;
use neap_policies::draw::{cores_add, gpu_adds};
use neap_policies::problem::NodeState;
use std::collections::BTreeMap;

/// Boards that could not be held for a reason that passes are tried again after so long; others once their node says something
/// new of them, or its executor starts anew.
const AGAIN: TimeDelta = TimeDelta::minutes(10);

/// Boards that could not be held before a start, and until when that counts. `None`: until their node says more.
pub(super) type NotHeld = BTreeMap<String, Option<DateTime<Utc>>>;

impl Controller {
    /// The power domain that keeps its cap by the limits of that node's GPUs at all times.
    fn keeper(&self, node: &str) -> Option<&PowerDomain> {
        let keeps = |domain: &&PowerDomain| domain.cap.is_some() && domain.when_over.contains(&WhenOver::CapGpus);
        self.config.power_domains.iter().find(|domain| domain.nodes.iter().any(|name| name == node)).filter(keeps)
    }

    /// Whether every limit that reaches a domain's nodes is its own or reaches all of them, so that it is shared with its budget:
    /// its nodes are in one zone and in no other domain.
    fn is_within(&self, domain: &PowerDomain) -> bool {
        let mut zones = domain.nodes.iter().filter_map(|node| self.state.nodes.get(node)).map(|node| &node.zone);
        let first = zones.next();
        let others = self.config.power_domains.iter().filter(|other| other.name != domain.name);
        zones.all(|zone| Some(zone) == first)
            && others.flat_map(|other| &other.nodes).all(|node| !domain.nodes.contains(node))
    }

    /// The boards of a node as they are planned with: `safe` is the lowest limit that work may count at from its start on, and is
    /// missing where it counts at its most.
    pub(super) fn boards_planned(&self, node: &str, gpus: &[Gpu]) -> Vec<Gpu> {
        let keeper = self.keeper(node).filter(|domain| self.is_within(domain));
        let safe = |gpu: &Gpu| {
            let (range, domain) = (gpu.settable?, keeper?);
            let share = domain.lowest(gpu.limit);
            let least = range.safe?.max(range.least).max(share);
            (least < gpu.limit && !self.budgets.not_held.contains_key(&gpu.uuid)).then_some(least)
        };
        let planned = |gpu: &Gpu| Gpu {
            settable: gpu.settable.map(|range| Settable { safe: safe(gpu), ..range }),
            ..gpu.clone()
        };
        gpus.iter().map(planned).collect()
    }

    /// What a node has. Boards that their helper brought down before the executor looked count at what was found before in a domain
    /// that keeps its cap by limits: there is room for that as far as its cap goes. Elsewhere they stand where they are.
    pub(super) fn as_found(&self, node: &str, inventory: &Inventory) -> Inventory {
        let mut inventory = inventory.clone();
        if self.keeper(node).is_some() {
            for gpu in &mut inventory.gpus {
                let found = gpu.settable.and_then(|range| Some(range.found?.min(range.most)));
                gpu.limit = found.unwrap_or(gpu.limit).max(gpu.limit);
            }
        }
        inventory
    }

    /// What the executor of a job is told to hold its GPUs at; `None`: nothing, as they are found. Boards that are left lower than
    /// that without a lease are asked for what was found.
    pub(super) fn cap_told(&self, job: &Job) -> Option<Watts> {
        let as_found = || {
            let boards = self.keeper(&job.place.as_ref()?.node).and_then(|_| self.gpus_of(job))?;
            let lower = |gpu: &&&Gpu| gpu.settable.and_then(|range| range.safe).is_some_and(|safe| safe < gpu.limit);
            boards.iter().find(lower)?;
            let found = boards.iter().map(|gpu| gpu.limit).min()?;
            let ranges: Option<Vec<Settable>> = boards.iter().map(|gpu| gpu.settable).collect();
            ranges?.iter().map(|range| range.nearest(found)).min()
        };
        self.cap_wanted(job).or_else(as_found)
    }

    /// What each of these boards, as they are planned with, may draw at most if work starts on them at that limit; `None`: as much
    /// as they do as found.
    pub(super) fn starts_at(boards: &[&Gpu], limit: Option<Watts>) -> Option<Watts> {
        let least = boards.iter().map(|gpu| gpu.settable.and_then(|range| range.safe)).collect::<Option<Vec<_>>>()?;
        let most = limit?.max(least.into_iter().max()?);
        boards.iter().any(|gpu| most < gpu.limit).then_some(most)
    }

    /// The most that such a start adds to what its node draws idle.
    pub(super) fn start_adds(node: &NodeState, boards: &[&Gpu], cpus: u32, slowed: Option<Watts>) -> Watts {
        let gpus = boards.iter().map(|gpu| gpu_adds(gpu.limit, slowed.map_or(gpu.limit, |most| most.min(gpu.limit))));
        cores_add(node.watts_per_cpu, cpus.min(node.cpus)) + gpus.sum()
    }

    /// The highest limit that could be in force on a GPU of a job.
    pub(super) fn may_draw(&self, job: &Job, gpu: &Gpu) -> Watts {
        let reserved = self.budgets.reserved(&gpu.uuid, job.phase.attempt().map(|(epoch, _)| (job.id, epoch)));
        let first = job.slowed.max(job.slowed.and(job.raised)).map_or(gpu.limit, |most| most.min(gpu.limit));
        let waits = matches!(job.phase, Phase::Leased { .. }) && job.slowed.is_some();
        match reserved {
            Some((reserved, true)) if !waits => reserved,
            // What is known of it may be of who had it before.
            Some((reserved, _)) => reserved.max(first),
            None => first,
        }
    }

    /// The highest limit that a job which was started with fewer watts may be told now, of which it has `told`: its own choice, as
    /// far as nobody who waits is promised those watts before it is expected to end. `given` of them went to others just now.
    /// `None`: it took all it could at its start.
    pub(super) fn may_have(
        &self,
        now: DateTime<Utc>,
        job: &Job,
        told: Option<Watts>,
        given: &mut Watts,
    ) -> Option<Watts> {
        let has = told.or(job.slowed).filter(|_| job.slowed.is_some())?;
        let own = self.own_limit(job.id).filter(|own| *own > has && !matches!(job.phase, Phase::Leased { .. }));
        // What the plan knows by now: after a change it is made anew first.
        let Some(own) = own.filter(|_| !self.planning.is_due()) else { return Some(has) };
        let place = job.place.as_ref()?;
        let until = self.expected_until(job, now);
        let spare = self.planning.spare_power(&place.node, (now, until)).saturating_sub(*given);
        let gpus = job.gpus.len().max(1) as u64;
        let more = Watts(own.saturating_sub(has).0.min(spare.0 / gpus) / 1_000 * 1_000);
        *given += Watts(more.0 * gpus);
        Some(has + more)
    }

    /// The limit that a job was let start at, while its domain has not told it another one since this start of the scheduler.
    pub(super) fn held_from_start(&self, job: &Job) -> Option<(Watts, CapReason)> {
        let most = job.slowed.filter(|_| !self.budgets.has_told(job.id))?;
        let domain = self.keeper(&job.place.as_ref()?.node)?;
        let (name, limit) = (domain.name.clone(), domain.cap?);
        Some((most, CapReason::Domain { domain: name, limit, time: None, event: None }))
    }

    /// An attempt was not started, because its GPUs could not be held: it waits again, and is not planned so on them for a while.
    pub(super) fn not_held(
        &mut self,
        now: DateTime<Utc>,
        (id, epoch): (JobId, Epoch),
        because: Uncapped,
        at: DateTime<Utc>,
        turn: &mut Turn,
    ) {
        let gpus = self.state.jobs.get(&id).map(|job| job.gpus.clone()).unwrap_or_default();
        let until = because.passes().then_some(now + AGAIN);
        self.budgets.not_held.extend(gpus.into_iter().map(|gpu| (gpu, until)));
        self.planning.stale_site();
        self.happens(now, id, JobEvent::AttemptEnded { epoch, end: AttemptEnd::NotHeld { because }, at }, turn);
    }

    /// A node says something new of its boards, or its executor started anew.
    pub(super) fn may_hold_again(&mut self, gpus: &[Gpu]) {
        let before = self.budgets.not_held.len();
        self.budgets.not_held.retain(|uuid, _| gpus.iter().all(|gpu| gpu.uuid != *uuid));
        if self.budgets.not_held.len() < before {
            self.planning.stale_site();
        }
    }

    /// Time passed: what could not be held for a reason that passes may be tried again.
    pub(super) fn try_holding_again(&mut self, now: DateTime<Utc>) {
        let before = self.budgets.not_held.len();
        self.budgets.not_held.retain(|_, until| until.is_none_or(|until| now < until));
        if self.budgets.not_held.len() < before {
            self.planning.stale_site();
        }
    }
}
