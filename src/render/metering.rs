//! How well a job's energy is known: ratios from the sums in its account. What nobody measured is absent, never zero.

use neap_model::ledger::Account;
use serde_json::{Value, json};

/// Counter and integral may differ by so much before a person is told.
const DISCREPANT: f64 = 0.1;
/// Readings may be missing for so much of the time before a person is told.
const COVERED: f64 = 0.99;

fn round(ratio: f64) -> f64 {
    (ratio * 1e4).round() / 1e4
}

/// The figures, as `metering` of `neap.job/1`.
#[must_use]
pub fn value(account: &Account) -> Value {
    let metering = &account.metering;
    json!({
        "uncertainty_ratio": metering.uncertainty_ratio(account.it_energy()).map(round),
        "coverage_ratio": metering.coverage_ratio().map(round),
        "discrepancy_ratio": metering.discrepancy_ratio().map(round),
        "gap_seconds": metering.coverage_ratio().map(|_| metering.gap_ms as f64 / 1e3),
        "counter_restarts": metering.segments,
        "implausible_readings": metering.implausible,
        // Two seconds are twenty looks of the sensor: below that the edges decide.
        "short": metering.coverage_ratio().map(|_| metering.window_ms < 2_000),
    })
}

/// What a person is told beside the energy.
#[must_use]
pub fn remarks(account: &Account) -> Vec<String> {
    let metering = &account.metering;
    let mut said = Vec::new();
    if let Some(ratio) = metering.uncertainty_ratio(account.it_energy()) {
        said.push(format!("known to ±{:.0} %", (ratio * 100.0).ceil()));
    }
    if let Some(ratio) = metering.coverage_ratio().filter(|ratio| *ratio < COVERED) {
        said.push(format!("readings cover {:.0} %", ratio * 100.0));
    }
    if let Some(ratio) = metering.discrepancy_ratio().filter(|ratio| *ratio > DISCREPANT) {
        said.push(format!("counter and power readings differ by {:.0} %", ratio * 100.0));
    }
    if metering.segments > 0 {
        said.push(format!("a counter began anew {} times", metering.segments));
    }
    if metering.implausible > 0 {
        said.push(format!("{} readings cannot be true", metering.implausible));
    }
    said
}
