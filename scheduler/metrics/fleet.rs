//! Series about nodes, their GPUs and the power they share.

use super::Page;
use crate::controller::Controller;
use chrono::{DateTime, Utc};
use neap_model::cap::CapHeld;
use neap_model::fleet::Gpu;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn power(page: &mut Page, controller: &Controller, now: DateTime<Utc>) {
    for group in controller.power_groups(now) {
        let labels = [("domain", group.name.as_str())];
        if let Some(limit) = group.limit {
            page.gauge("neap_power_cap_watts", "Power cap in force on the power domain.", &labels, limit.in_base());
        }
        let help = "The most that the power domain could draw as things stand: limits in force, idle parts included.";
        page.gauge("neap_power_committed_watts", help, &labels, group.committed.in_base());
    }
}

fn gpu_limits(page: &mut Page, held: Option<&CapHeld>, gpu: &Gpu, labels: &[(&str, &str); 3]) {
    let found = held.and_then(|held| held.found).unwrap_or(gpu.limit);
    let limits = [
        ("enforced", held.and_then(|held| held.enforced).or(Some(found))),
        ("requested", held.and_then(|held| held.requested)),
        ("found", Some(found)),
    ];
    for (kind, limit) in limits.into_iter().filter_map(|(kind, limit)| Some((kind, limit?))) {
        let [node, index, uuid] = *labels;
        page.gauge(
            "neap_gpu_limit_watts",
            "Power limits of the graphics processor: in force, asked for by us, found before ours.",
            &[node, index, uuid, ("kind", kind)],
            limit.in_base(),
        );
    }
    if let Some(ceiling) = held.and_then(|held| held.clock_ceiling) {
        let help = "Ceiling of the graphics processor's core clock that is held for a job.";
        page.gauge("neap_gpu_clock_ceiling_hertz", help, labels, f64::from(ceiling.0) * 1e6);
    }
    page.gauge(
        "neap_gpu_cappable",
        "Whether limits can be set on the graphics processor.",
        labels,
        f64::from(u8::from(gpu.settable.is_some())),
    );
}

pub(super) fn fleet(page: &mut Page, controller: &Controller) {
    let mut states: BTreeMap<(String, &str), u64> = BTreeMap::new();
    let mut gpus: BTreeMap<(String, String, &str), u64> = BTreeMap::new();
    let mut limits: BTreeMap<&str, &CapHeld> = BTreeMap::new();
    controller.caps_held().for_each(|held| {
        limits.entry(&held.gpu).or_insert(held);
    });
    for node in controller.node_reports() {
        let up = f64::from(u8::from(node.up));
        let labels = [("node", node.name.as_str()), ("zone", node.zone.as_str())];
        page.gauge("neap_node_up", "Whether the executor of the node was heard from within its lease.", &labels, up);
        let state = match (node.up, node.attempts) {
            (false, _) => "down",
            (true, 0) => "idle",
            (true, _) => "busy",
        };
        *states.entry((node.zone.clone(), state)).or_default() += 1;
        let held: BTreeSet<String> = controller
            .planning()
            .on_node(&node.name)
            .filter_map(|id| controller.state().jobs.get(&id))
            .flat_map(|job| job.gpus.clone())
            .collect();
        for gpu in &node.inventory.gpus {
            let state = if held.contains(&gpu.uuid) { "allocated" } else { "free" };
            *gpus.entry((node.zone.clone(), gpu.model.clone(), state)).or_default() += 1;
            let index = gpu.index.to_string();
            let labels = [("node", node.name.as_str()), ("gpu", &index), ("uuid", &gpu.uuid)];
            gpu_limits(page, limits.get(gpu.uuid.as_str()).copied(), gpu, &labels);
            let used = controller.state().totals.gpus.get(&(node.name.clone(), gpu.uuid.clone()));
            let used = used.copied().unwrap_or_default();
            let help = "Energy used by the graphics processor, whoever it was for.";
            page.counter("neap_gpu_energy_joules_total", help, &labels, used.energy.in_base());
            let help = "Time for which the power limit held the graphics processor back.";
            page.counter("neap_gpu_cap_bound_seconds_total", help, &labels, used.bound_ms as f64 / 1e3);
        }
        for meter in &node.inventory.meters {
            let (component, source) = (meter.component.word(), meter.source.word());
            let quality = meter.source.quality().word();
            let labels =
                [("node", node.name.as_str()), ("component", component), ("source", source), ("quality", quality)];
            page.gauge(
                "neap_meter_info",
                "Where the power figures of the node come from; the value is always 1.",
                &labels,
                1.0,
            );
        }
    }
    for ((zone, state), count) in states {
        page.gauge("neap_nodes", "Nodes by state.", &[("zone", &zone), ("state", state)], count as f64);
    }
    for ((zone, model, state), count) in gpus {
        let labels = [("zone", zone.as_str()), ("model", &model), ("state", state)];
        page.gauge("neap_gpus", "Graphics processors by model and state.", &labels, count as f64);
    }
}
