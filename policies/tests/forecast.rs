//! The forecaster by the protocol of the published table: issues at every third hour of the last 181 days of a history,
//! each seeing only hours before it; judged by what a contiguous job saves that follows it, and by its errors.
//!
//! What the rule was chosen on is judged by `forecast/learned/usual/tests.rs`. Run the long ones by hand:
//! `cargo test --release -p neap-policies --test forecast -- --ignored --nocapture`.

#![expect(clippy::print_stderr, clippy::disallowed_methods, reason = "a report by hand that reads files")]

#[path = "forecast/zones.rs"]
mod zones;

use neap_policies::forecast::{HORIZON, History, Scenarios, damp_long, hourly};
use zones::{SPAN, Zone, history_file, judge, show, span, summary};

fn history(zone: &Zone, issue: usize) -> History {
    let (hours, end) = zone.before(issue);
    History::of_hours(hours, end)
}

fn damped(zone: &Zone, issue: usize) -> Vec<f64> {
    damp_long(&history(zone, issue)).expect("four weeks are known")
}

fn ours(zone: &Zone, issue: usize) -> Vec<f64> {
    hourly(&history(zone, issue)).expect("four weeks are known")
}

type Published = (&'static str, [f64; 5], [f64; 2], [f64; 2]);

/// `damp_long` as published: MAPE of the four days and of all, savings and worse decisions of both decisions.
const PUBLISHED: [Published; 3] = [
    ("CISO", [7.96, 9.98, 10.89, 11.40, 10.06], [27.45, 25.86], [4.0, 4.1]),
    ("DE", [16.20, 22.39, 23.89, 24.91, 21.85], [13.70, 12.98], [14.8, 17.7]),
    ("PJM", [3.44, 4.70, 5.38, 5.89, 4.85], [4.42, 3.74], [8.9, 13.8]),
];

#[test]
fn the_published_rule_gives_the_published_figures() {
    for (name, mape, saved, worse) in PUBLISHED {
        let Some(zone) = history_file(name) else { return };
        let score = judge(&zone, span(&zone, 3), damped);
        let near = |a: f64, b: f64| assert!((a - b).abs() <= 0.051, "{name}: {a} is not {b}: {score:?}");
        score.mape.iter().zip(mape).for_each(|(a, b)| near(*a, b));
        score.saved.iter().zip(saved).for_each(|(a, b)| near(*a, b));
        score.worse.iter().zip(worse).for_each(|(a, b)| near(*a, b));
    }
}

#[test]
#[ignore = "minutes: run by hand with --release --nocapture"]
fn ours_beside_the_published_rule() {
    let (mut ratios, mut all) = (Vec::new(), Vec::new());
    for (name, ..) in PUBLISHED {
        let Some(zone) = history_file(name) else { return };
        let (damped, ours) = (judge(&zone, span(&zone, 3), damped), judge(&zone, span(&zone, 3), ours));
        show(&zone.name, "damp_long", &damped);
        show(&zone.name, "learned", &ours);
        ratios.push([0, 1].map(|of| ours.regret(of) / damped.regret(of)));
        all.push((name, damped, ours));
    }
    summary("regret beside damp_long on the three histories", &ratios);
    for (name, damped, ours) in all {
        assert!((0..5).all(|day| ours.mape[day] <= damped.mape[day]), "{name}: no day's error is larger");
        assert!((0..2).all(|of| ours.saved[of] >= damped.saved[of]), "{name}: no less is saved");
    }
}

#[test]
#[ignore = "a minute: run by hand with --release --nocapture"]
fn four_of_five_outcomes_lie_in_the_band() {
    for (name, ..) in PUBLISHED {
        let Some(zone) = history_file(name) else { return };
        for (which, back) in [("the half-year before", SPAN), ("the test span", 0)] {
            let (mut inside, mut all) = ([0u32; 4], 0u32);
            for issue in span(&zone, 15).map(|issue| issue - back) {
                let bands = Scenarios::of(&history(&zone, issue)).expect("months are known").bands(0.8);
                all += 24;
                for h in 0..HORIZON {
                    let truth = zone.hours[issue + h].expect("no holes in these");
                    inside[h / 24] += u32::from((bands.low[h]..=bands.high[h]).contains(&truth));
                }
            }
            let shares = inside.map(|count| f64::from(count) / f64::from(all));
            eprintln!("{name}, {which}: share of outcomes inside the 80 % band by day ahead: {shares:.3?}");
        }
    }
}
