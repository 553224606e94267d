//! What stands beside energy and location-based emissions: money, the market-based method, the making of the hardware.

use super::{escape, numbers};
use neap_model::embodied::Embodied;
use neap_model::footprint::{Bill, Market};
use neap_model::protocol::JobReport;
use neap_model::units::{Joules, Money};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What the energy cost.
#[must_use]
pub fn cost(bill: &Bill) -> Vec<String> {
    let money = |amount| numbers::money(amount, &bill.currency);
    let mut parts = vec![money(bill.paid)];
    parts.extend(bill.mean().map(|mean| format!("{}, energy alone", numbers::price(mean, &bill.currency))));
    parts.push(format!("run now {}", money(bill.run_now)));
    let saved = Money(bill.run_now.0.saturating_sub(bill.paid.0));
    let share = bill.saved_ratio().map_or_else(String::new, |ratio| format!(" ({})", numbers::percent(ratio.abs())));
    match saved.0.signum() {
        1 => parts.push(format!("saved {}{share}", money(saved))),
        -1 => parts.push(format!("{} more{share}", money(Money(saved.0.saturating_neg())))),
        _ => {}
    }
    if bill.unpriced > Joules::ZERO {
        parts.push(format!("{} met no known price", numbers::energy(bill.unpriced)));
    }
    parts
}

/// The share of making what it reserved and what follows from it, and emissions by the market-based method; `None` where the
/// site states neither.
#[must_use]
pub fn hardware(job: &JobReport) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    if let Some(embodied) = &job.embodied {
        let emits = numbers::carbon(embodied.emits);
        parts.push(format!("making  {emits}"));
        parts.push(format!("share of the hardware it held ({})", escape(&embodied.source)));
        if let Some(grams) = sci(job) {
            let unit = job.spec.functional_unit.as_ref();
            let each = unit.map_or_else(
                || "for the job".to_owned(),
                |unit| format!("for each of {} {}", unit.count, escape(&unit.name)),
            );
            let grams = neap_model::units::GramsCo2e::from_base(grams).unwrap_or_default();
            parts.push(format!("SCI {} {each}", numbers::carbon(grams)));
        }
    }
    if let Some(market) = job.account.market.filter(|market| !market.is_empty()) {
        let head = if parts.is_empty() { "market  " } else { "market-based " };
        parts.push(format!("{head}{}", self::market(&market)));
    }
    (!parts.is_empty()).then_some(parts)
}

/// Emissions by the market-based method.
#[must_use]
pub fn market(market: &Market) -> String {
    let mut text = numbers::carbon(market.emits);
    if market.uncovered > Joules::ZERO {
        let _ = write!(text, " ({} without a factor)", numbers::energy(market.uncovered));
    }
    text
}

/// Software carbon intensity in grams per functional unit: of a job that is over, all of whose energy met an intensity, on a
/// site that states what its hardware took to make.
#[must_use]
pub fn sci(job: &JobReport) -> Option<f64> {
    let embodied = job.embodied.as_ref().filter(|_| job.phase.is_final())?;
    let actual = Some(job.account.actual).filter(|actual| actual.uncovered == Joules::ZERO)?;
    Some(neap_model::embodied::intensity(actual.emits, embodied.emits, job.spec.functional_unit.as_ref()))
}

/// What stands beside energy and location-based emissions. Where nothing is known there is `null`, never zero.
pub fn values(value: &mut Value, bills: &[Bill], market: Option<&Market>, embodied: Option<&Embodied>) {
    // Sums over currencies mean nothing: with more than one there is only the list.
    let only = if let [bill] = bills { Some(bill) } else { None }.filter(|bill| bill.priced > Joules::ZERO);
    value["cost"] = only.map(|bill| bill.paid.in_base()).into();
    value["run_now_cost"] = only.map(|bill| bill.run_now.in_base()).into();
    value["currency"] = only.map(|bill| bill.currency.as_str()).into();
    value["unpriced_joules"] = only.map(|bill| bill.unpriced.in_base()).into();
    if bills.len() > 1 {
        let one = |bill: &Bill| {
            json!({
                "currency": bill.currency, "cost": bill.paid.in_base(), "run_now_cost": bill.run_now.in_base(),
                "priced_joules": bill.priced.in_base(), "unpriced_joules": bill.unpriced.in_base(),
            })
        };
        value["costs"] = bills.iter().map(one).collect();
    }
    let market = market.filter(|market| !market.is_empty());
    value["carbon_market_grams"] = market.map(|market| market.emits.in_base()).into();
    value["market_uncovered_joules"] = market.map(|market| market.uncovered.in_base()).into();
    value["embodied_grams"] = embodied.map(|embodied| embodied.emits.in_base()).into();
    value["embodied_source"] = embodied.map(|embodied| embodied.source.as_str()).into();
}
