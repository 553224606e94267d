//! What a job's GPUs were told by their power domain, and what of that was carried out.

use crate::controller::power::Group;
use crate::controller::state::Job;
use neap_model::cap::{CapHeld, CapReason, Uncapped};
use neap_model::fleet::Gpu;
use neap_model::job::{AttemptId, JobId};
use neap_model::lifecycle::Phase;
use neap_model::units::{Percent, Watts};
use neap_policies::regulate::{Job as Claim, Stand, Turn as Orders};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How the limits of a job stand, as its executor said.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) attempt: AttemptId,
    pub(super) order: u64,
    pub(super) caps: Vec<CapHeld>,
}

/// Number and limit of an order, by UUID.
pub(super) type GpuOrders = BTreeMap<String, (u64, Watts)>;

/// What a job's GPUs were told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) order: u64,
    /// The lowest of its GPUs' limits: all go at one speed.
    pub(super) limit: Watts,
    /// The highest they take: told that, they are left as they were found.
    pub(super) highest: Watts,
    pub(super) orders: GpuOrders,
    /// The last of these that were carried out.
    pub(super) carried: GpuOrders,
    pub(super) because: CapReason,
}

/// Jobs that are let start at a limit are told so: nothing higher was asked for, and nothing runs before it is held. Their orders
/// are numbered from `next` on; the number after the last of them.
pub(super) fn begin(
    told: &mut BTreeMap<JobId, Told>,
    jobs: &[Arc<Job>],
    mut next: u64,
    (group, budget): (&Group, Watts),
) -> u64 {
    for job in jobs.iter().filter(|job| matches!(job.phase, Phase::Leased { .. })) {
        let Some(limit) = job.slowed.filter(|_| !told.contains_key(&job.id)) else { continue };
        let orders: GpuOrders = job.gpus.iter().map(|gpu| (gpu.clone(), (next, limit))).collect();
        let (domain, event) = (group.name.clone(), group.event.clone());
        let because = CapReason::Domain { domain, limit: budget, time: None, event };
        // Below any highest until it is reckoned.
        let (carried, highest) = (orders.clone(), Watts(u64::MAX));
        told.insert(job.id, Told { order: next, limit, highest, orders, carried, because });
        next += 1;
    }
    next
}

/// Whether a GPU is at a limit or below it, or is left as it was found because that is what the limit comes to.
pub(super) fn keeps(said: Option<&Heard>, gpu: &str, limit: Watts, highest: Watts) -> bool {
    let held = said.and_then(|said| said.caps.iter().find(|held| held.gpu == gpu));
    limit >= highest || held.is_some_and(|held| held.because.is_none() && held.requested.is_some_and(|at| at <= limit))
}

/// Whose the limit of a GPU is, and the limit that counts.
pub(super) fn stands(job: &Job, gpu: &Gpu, said: Option<&Heard>, told: Option<&Told>) -> (Stand, Watts) {
    let waits = matches!(job.phase, Phase::Leased { .. } | Phase::Stopping { since: None, .. });
    // Nothing runs there before it is held.
    if let Some((order, limit)) =
        told.filter(|_| waits && job.slowed.is_some()).and_then(|told| told.carried.get(&gpu.uuid))
    {
        return (Stand::Held { order: *order }, *limit);
    }
    let held = said.and_then(|said| said.caps.iter().find(|held| held.gpu == gpu.uuid));
    let carried = told.and_then(|told| Some((told.highest, *told.carried.get(&gpu.uuid)?)));
    // Its lease ran out while its executor heard nobody: its helper brought it down, and it takes what it was told again at once.
    if let (Some(Uncapped::NoScheduler), Some((_, (order, limit)))) = (held.and_then(|held| held.because), carried)
        && gpu.settable.and_then(|range| range.safe).is_some_and(|safe| safe <= limit)
    {
        return (Stand::Held { order }, limit);
    }
    match held.and_then(|held| held.because) {
        Some(Uncapped::Foreign) => return (Stand::Foreign, gpu.limit),
        Some(_) => return (Stand::Refused, gpu.limit),
        None if gpu.settable.is_none() => return (Stand::Refused, gpu.limit),
        None => {}
    }
    match carried {
        Some((highest, (order, limit))) if keeps(said, &gpu.uuid, limit, highest) => (Stand::Held { order }, limit),
        _ => (Stand::Free, gpu.limit),
    }
}

/// Takes the orders of a turn in, for a domain with that budget.
pub(super) fn take(
    told: &mut BTreeMap<JobId, Told>,
    (group, budget): (&Group, Watts),
    claims: &[Claim],
    orders: &Orders,
) {
    for slowed in &orders.jobs {
        let Some(claim) = claims.iter().find(|claim| claim.id == slowed.job) else { continue };
        let known = told.get(&slowed.job);
        let mut all = known.map(|told| told.orders.clone()).unwrap_or_default();
        let set = orders.set.iter().filter(|order| claim.gpus.contains(&order.gpu));
        all.extend(set.map(|order| (order.gpu.clone(), (order.order, order.limit))));
        let Some(order) = all.values().map(|(order, _)| *order).max() else { continue };
        let limit = all.values().map(|(_, limit)| *limit).min().unwrap_or(slowed.limit);
        let time = (!slowed.assumed && slowed.speed > 0.0).then(|| Percent((1e5 / slowed.speed).round() as u32));
        let event = group.event.clone();
        let because = CapReason::Domain { domain: group.name.clone(), limit: budget, time, event };
        let carried = known.map(|told| told.carried.clone()).unwrap_or_default();
        let one = Told { order, limit, highest: slowed.highest, orders: all, carried, because };
        told.insert(slowed.job, one);
    }
}
