//! The published rules against known answers on shared traces, and against invariants on cases drawn by chance.

mod data;

#[path = "baselines/set_up_g.rs"]
mod set_up_g;

/// Equal to the digits that are known.
fn near(what: &str, got: f64, known: f64, within: f64) {
    assert!((got - known).abs() <= within, "{what}: {got}, known {known}");
}
