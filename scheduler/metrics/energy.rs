//! Series about energy, emissions and cost.

use super::Page;
use crate::controller::Controller;
use neap_model::fleet::Component;
use neap_model::units::{Joules, Pue};
use std::collections::BTreeMap;

pub(super) fn energy(page: &mut Page, controller: &Controller) {
    let totals = &controller.state().totals;
    for ((node, component), joules) in node_energy(controller) {
        page.counter(
            "neap_node_energy_joules_total",
            "Energy used by the node, by component; the components do not overlap.",
            &[("node", &node), ("component", component.word())],
            joules.in_base(),
        );
    }
    for ((node, component), gap_ms) in &totals.gaps {
        page.counter(
            "neap_meter_gap_seconds_total",
            "Time for which energy had to be filled in because no reading arrived.",
            &[("node", node), ("component", component.word())],
            *gap_ms as f64 / 1e3,
        );
    }
    let help = "Facility energy attributed to jobs and to idle capacity, overhead included.";
    for ((zone, queue, project), spent) in &totals.spent {
        let labels = [("zone", zone.as_str()), ("queue", queue), ("project", project)];
        page.counter("neap_energy_joules_total", help, &labels, spent.energy.in_base());
        page.counter(
            "neap_carbon_grams_total",
            "Operational emissions of that energy, in grams of carbon dioxide equivalent.",
            &labels,
            spent.carbon.in_base(),
        );
        page.counter(
            "neap_carbon_run_now_grams_total",
            "Emissions had each job started when it first could; idle capacity counts as in the actual series.",
            &labels,
            spent.run_now.in_base(),
        );
        page.counter(
            "neap_carbon_estimated_grams_total",
            "The part of the emissions that rests on estimated power or on fallback intensity.",
            &labels,
            spent.estimated.in_base(),
        );
        if controller.curves().get(zone).is_some_and(|known| known.prices.is_some()) {
            page.counter(
                "neap_energy_cost_total",
                "Money paid for that energy at prices above zero, in the currency named by neap_tariff_info.",
                &labels,
                spent.cost.in_base(),
            );
            page.counter(
                "neap_energy_credit_total",
                "Money got for that energy at prices below zero, in the currency named by neap_tariff_info.",
                &labels,
                spent.credit.in_base(),
            );
        }
    }
    let mut idle: BTreeMap<&String, Joules> = BTreeMap::new();
    for ((zone, _), joules) in &totals.idle_energy {
        *idle.entry(zone).or_default() += *joules;
    }
    for (zone, joules) in idle {
        let pue = controller.config().zones.iter().find(|z| z.name == *zone).and_then(|z| z.pue).unwrap_or(Pue::ONE);
        let facility = joules.at_facility(pue).in_base();
        let labels = [("zone", zone.as_str()), ("queue", "(none)"), ("project", "(idle)")];
        page.counter("neap_energy_joules_total", help, &labels, facility);
        page.counter(
            "neap_unattributed_joules_total",
            "What the idle row consists of, by cause; overhead included.",
            &[("zone", zone), ("why", "idle")],
            facility,
        );
    }
}

/// The sources of a component added up.
/// Sums over sources; what a known meter has not counted yet is there as zero.
fn node_energy(controller: &Controller) -> BTreeMap<(String, Component), Joules> {
    let metered = controller.node_reports().into_iter().flat_map(|node| {
        let name = node.name;
        node.inventory.meters.into_iter().map(move |meter| ((name.clone(), meter.component), Joules::ZERO))
    });
    let mut sums: BTreeMap<(String, Component), Joules> = metered.collect();
    for ((node, component, _), joules) in &controller.state().totals.node_energy {
        *sums.entry((node.clone(), *component)).or_default() += *joules;
    }
    sums
}
