//! Set-up G: one published week of jobs, intensity known perfectly, no capacity or whole units of it.

use crate::{data, near};
use neap_policies::baselines::{Lengths, Rule, run};
use neap_policies::replay::{Score, score};

use Lengths::{Assumed, True};

/// Carbon, mean wait (h), p50, p95, peak, pauses at AU-SA, then carbon at DE and US-CAL-CISO.
type Known = (f64, f64, f64, f64, f64, Option<usize>, [f64; 2]);

fn scored(zone: &str, rule: Rule, lengths: Lengths) -> Option<Score> {
    let case = data::set_up_g(&[zone], 7000, true)?;
    Some(score(&case, &run(rule, &case, lengths), &run(Rule::RunNow, &case, True)))
}

fn check(rule: Rule, lengths: Lengths, (carbon, mean, p50, p95, peak, pauses, elsewhere): Known) {
    let Some(got) = scored("AU-SA", rule, lengths) else { return };
    let name = rule.name();
    near(name, got.to_unlimited, carbon, 5e-7);
    near(name, got.to_reference, carbon, 5e-7);
    near(name, got.wait_hours.mean, mean, 5e-4);
    near(name, got.wait_hours.p50, p50, 5e-3);
    near(name, got.wait_hours.p95, p95, 0.05);
    assert_eq!(got.peak_gpus, peak, "{name}");
    assert_eq!(got.pauses, pauses.unwrap_or(0), "{name}");
    assert_eq!((got.late_jobs, got.late_work, got.unfinished, got.moves), (0, 0.0, 0, 0), "{name}");
    for (zone, carbon) in ["DE", "US-CAL-CISO"].into_iter().zip(elsewhere) {
        near(name, scored(zone, rule, lengths).expect("the same file").to_unlimited, carbon, 5e-7);
    }
}

#[test]
fn rules_without_capacity() {
    check(Rule::RunNow, True, (1.0, 0.0, 0.0, 0.0, 49.0, None, [1.0, 1.0]));
    check(Rule::GaiaLowestSlot, True, (0.780037, 5.638, 4.30, 21.7, 103.0, None, [0.923528, 0.861908]));
    check(Rule::GaiaLowestWindow, Assumed, (0.683704, 6.645, 5.00, 24.0, 93.0, None, [0.901451, 0.787777]));
    check(Rule::GaiaLowestWindow, True, (0.614376, 6.605, 5.00, 24.0, 101.0, None, [0.881489, 0.768170]));
    check(Rule::GaiaCarbonTime, Assumed, (0.724888, 4.729, 3.00, 20.0, 89.0, None, [0.911589, 0.795980]));
    check(Rule::GaiaCarbonTime, True, (0.657892, 4.607, 3.00, 19.0, 73.0, None, [0.892304, 0.780228]));
    check(Rule::Ecovisor, True, (0.639105, 6.638, 6.00, 20.3, 122.0, Some(289), [0.917350, 0.777532]));
    check(Rule::WaitAwhile, True, (0.546196, 7.402, 5.24, 24.0, 129.0, Some(604), [0.865228, 0.725951]));
}

#[test]
fn the_cheapest_unbroken_stretch() {
    let Some(got) = scored("AU-SA", Rule::WaitAwhileContiguous, True) else { return };
    near("contiguous", got.to_unlimited, 0.6120, 5e-5);
}

#[test]
fn whole_units_in_queue_order() {
    let rows = [
        (20.0, Rule::Fifo, 0.951972, 6.7019, 14.936),
        (20.0, Rule::RunNow, 0.952301, 5.6842, 13.914),
        (28.0, Rule::Fifo, 1.000709, 0.5382, 4.060),
        (28.0, Rule::RunNow, 1.001219, 0.4775, 3.817),
        (38.0, Rule::Fifo, 1.001934, 0.0305, 0.097),
        (38.0, Rule::RunNow, 1.001788, 0.0255, 0.0),
    ];
    let Some(mut case) = data::set_up_g(&["AU-SA"], 7000, false) else { return };
    for (units, rule, carbon, mean, p95) in rows {
        case.places[0].gpus = Some(units);
        let got = score(&case, &run(rule, &case, True), &run(Rule::RunNow, &case, True));
        let name = format!("{} on {units}", rule.name());
        near(&name, got.to_unlimited, carbon, 5e-7);
        near(&name, got.wait_hours.mean, mean, 5e-5);
        near(&name, got.wait_hours.p95, p95, 5e-4);
        assert!(got.peak_gpus <= units, "{name}: {}", got.peak_gpus);
    }
}
/// No answer is known for these here; what must hold wherever they run.
#[test]
fn rules_without_forecasts_lie_between_the_best_and_running_at_once() {
    for zone in ["AU-SA", "DE", "US-CAL-CISO", "CA-ON"] {
        let Some(mut case) = data::set_up_g(&[zone], 3000, true) else { return };
        let best = score(&case, &run(Rule::WaitAwhile, &case, True), &[]).to_unlimited;
        for rule in [Rule::OneMin, Rule::KMin, Rule::Opr] {
            let got = score(&case, &run(rule, &case, True), &[]);
            assert!(best < got.to_unlimited && got.to_unlimited < 1.0, "{} {zone}: {got:?}", rule.name());
            assert_eq!((got.late_jobs, got.unfinished), (0, 0), "{} {zone}", rule.name());
        }
        let pauses = |rule| score(&case, &run(rule, &case, True), &[]).pauses;
        assert!(pauses(Rule::Opr) < pauses(Rule::KMin), "{zone}: a price of switching is worth something");
        case.places[0].gpus = Some(28.0);
        let now = run(Rule::RunNow, &case, True);
        let got = score(&case, &run(Rule::CapacityCurve, &case, True), &now);
        assert!(got.to_reference < 1.0 && got.late_work < 0.01 && got.peak_gpus <= 28.0, "{zone}: {got:?}");
    }
}
