//! The published rules against known answers on shared traces, and against invariants on cases drawn by chance.

mod data;

#[path = "baselines/by_chance.rs"]
mod by_chance;
#[path = "baselines/by_hand.rs"]
mod by_hand;
#[path = "baselines/divisible.rs"]
mod divisible;
#[path = "baselines/one_job.rs"]
mod one_job;
#[path = "baselines/set_up_g.rs"]
mod set_up_g;
#[path = "baselines/thresholds.rs"]
mod thresholds;

/// Equal to the digits that are known.
fn near(what: &str, got: f64, known: f64, within: f64) {
    assert!((got - known).abs() <= within, "{what}: {got}, known {known}");
}

#[test]
fn a_rule_is_found_by_its_name() {
    use neap_policies::baselines::Rule;
    for rule in Rule::ALL {
        assert_eq!(Rule::by_name(rule.name()), Some(rule));
    }
    assert_eq!(Rule::by_name("oracle"), None);
}
