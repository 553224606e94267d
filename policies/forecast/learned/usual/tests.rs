//! Teaches the table from public histories, and judges the rule in each zone by a table that the others taught. The latter by
//! hand: `cargo test --release -p neap-policies --lib what_the_others_teach -- --ignored --nocapture`.

#![expect(clippy::print_stderr, clippy::disallowed_methods, reason = "reports that read files")]

#[path = "../../../tests/forecast/zones.rs"]
mod zones;

use super::super::super::{History, damp_long};
use super::super::ground::Ground;
use super::super::issue::{FEATURES, YEAR};
use super::super::outlook_from;
use super::super::ridge::Ridge;
use super::{ROWS, TAUGHT, Usual};
use zones::{SPAN, Zone, column, history_file, judge, shared, show, span, summary};

/// Further issues, as a share of those there are, at which nothing had to be corrected.
const RIDGE: f64 = 0.02;
/// Hours to either side of a row that teach it.
const BESIDE: usize = 2;
/// Zones of the other data set that are the three over again.
const TWICE: [&str; 2] = ["US-CAL-CISO 2022", "DE 2022"];

/// The zones of another data set: a year of 2022 each.
fn others() -> Vec<Zone> {
    let Some(path) = shared("carbon/ci_lca_hourly_2022.csv") else { return Vec::new() };
    let text = std::fs::read_to_string(path).expect("it is there");
    let names: Vec<&str> = text.lines().next().unwrap_or_default().split(',').skip(1).collect();
    names.iter().enumerate().map(|(n, name)| column(&format!("{name} 2022"), &text, n + 1)).collect()
}

/// Normal equations of a zone by row, each scaled so that long histories weigh as the root of their length and volatile zones
/// as much as calm ones.
fn taught_by(zone: &Zone, hours: usize) -> Vec<Ridge> {
    let mut rows: Vec<Ridge> = ROWS.iter().map(|_| Ridge::new()).collect();
    for ends_earlier in (0..24).step_by(5) {
        let end = hours - ends_earlier;
        let history = history(zone, end);
        let ground = Ground::of(&history).expect("months are known");
        for days in (4..ground.end() / 24 - 36).step_by(2) {
            let issue = ground.issue(ground.end() - days * 24, days);
            for (row, fit) in ROWS.iter().zip(&mut rows) {
                for h in row.saturating_sub(BESIDE).max(1)..=(row + BESIDE).min(96) {
                    let Some((mut features, missed)) = ground.lesson(&issue, h) else { continue };
                    features[YEAR].fill(0.0);
                    fit.add(&features, missed, 1.0 / (issue.level * issue.level));
                }
            }
        }
    }
    rows
}

fn table(of: &[&Vec<Ridge>]) -> Usual {
    Usual(std::array::from_fn(|row| {
        let mut all = Ridge::new();
        of.iter().for_each(|zone| all.join(&zone[row]));
        all.solve(RIDGE, &[0.0; FEATURES])
    }))
}

/// The histories that may teach, each up to the hour before its test span, and what they teach.
fn teachers() -> Vec<(String, Vec<Ridge>)> {
    let three = ["CISO", "DE", "PJM"].into_iter().filter_map(history_file).map(|zone| {
        let hours = zone.hours.len() - SPAN;
        (zone.name.clone(), taught_by(&zone, hours))
    });
    let others = others().into_iter().filter(|zone| !TWICE.contains(&zone.name.as_str()));
    three.chain(others.map(|zone| (zone.name.clone(), taught_by(&zone, zone.hours.len())))).collect()
}

fn without(teachers: &[(String, Vec<Ridge>)], left_out: &str) -> Usual {
    let of: Vec<_> = teachers.iter().filter(|(name, _)| name != left_out).map(|(_, rows)| rows).collect();
    table(&of)
}

#[test]
fn rows_hold_where_they_stand_and_what_is_between_lies_between() {
    for (row, h) in ROWS.into_iter().enumerate() {
        assert_eq!(TAUGHT.at(h), TAUGHT.0[row]);
    }
    let (before, between, after) = (TAUGHT.at(48), TAUGHT.at(54), TAUGHT.at(60));
    for n in 0..FEATURES {
        assert!((between[n] - f64::midpoint(before[n], after[n])).abs() < 1e-12, "{n}");
    }
}

#[test]
fn the_table_says_nothing_of_the_time_of_the_year() {
    assert!(TAUGHT.0.iter().all(|row| row[YEAR].iter().all(|value| *value == 0.0)));
    assert!(TAUGHT.0.iter().flatten().all(|value| value.abs() < 1.5), "nothing is exaggerated");
}

#[test]
fn what_a_zone_does_not_show_stays_as_is_usual() {
    let usual = TAUGHT.at(24);
    let mut fit = Ridge::new();
    let lesson = |fit: &mut Ridge, value: f64| {
        let mut features = [0.0; FEATURES];
        features[0] = value;
        fit.add(&features, 2.0 * value, 1.0);
    };
    (1..30).for_each(|n| lesson(&mut fit, f64::from(n)));
    assert_eq!(fit.solve(0.0, &usual), usual, "a month teaches nothing");
    lesson(&mut fit, 30.0);
    let (held, free) = (fit.solve(1e9, &usual), fit.solve(0.0, &usual));
    assert!((held[0] - usual[0]).abs() < 1e-6 && (free[0] - 2.0).abs() < 1e-6, "{held:?} {free:?}");
    assert_eq!(free[1..], usual[1..], "what was never seen");
}

/// Prints the table, should it be another one.
#[test]
fn the_table_is_what_the_histories_teach() {
    let teachers = teachers();
    if teachers.len() < 9 {
        return;
    }
    let found = without(&teachers, "");
    for row in &found.0 {
        eprintln!("[{}],", row.map(|value| format!("{:.3}", value + 0.0)).join(", "));
    }
    for (row, (found, held)) in found.0.iter().zip(&TAUGHT.0).enumerate() {
        for n in 0..FEATURES {
            assert!((found[n] - held[n]).abs() < 1e-3, "row {row}, {n}: {} is not {}", found[n], held[n]);
        }
    }
}

fn history(zone: &Zone, issue: usize) -> History {
    let (hours, at) = zone.before(issue);
    History::of_hours(hours, at)
}

fn damped(zone: &Zone, issue: usize) -> Vec<f64> {
    damp_long(&history(zone, issue)).expect("four weeks are known")
}

/// What the rule was chosen on: it is for these to be good, and for the test spans to agree.
#[test]
#[ignore = "minutes: run by hand with --release --nocapture"]
fn half_years_before_by_what_the_others_teach() {
    let teachers = teachers();
    let mut ratios = Vec::new();
    for name in ["CISO", "DE", "PJM"] {
        let Some(zone) = history_file(name) else { return };
        let usual = without(&teachers, name);
        let ours = |zone: &Zone, issue: usize| outlook_from(&history(zone, issue), &usual).expect("months").values;
        let whole = (zone.hours.len() / SPAN - 2).min(5);
        let mut of_zone = [0.0; 2];
        for back in (1..=whole).rev() {
            let issues = || span(&zone, 9).map(|issue| issue - back * SPAN);
            let (damped, ours) = (judge(&zone, issues(), damped), judge(&zone, issues(), ours));
            show(&format!("{name}, {back} before"), "damp_long", &damped);
            show(&format!("{name}, {back} before"), "learned", &ours);
            (0..2).for_each(|of| of_zone[of] += ours.regret(of) / damped.regret(of) / whole as f64);
        }
        summary(&format!("{name}: regret beside damp_long on the half-years before the test span"), &[of_zone]);
        ratios.push(of_zone);
    }
    summary("the same, mean of the three", &ratios);
}

/// From the fifth month on the rule was chosen by these, too; the two months before show what a table is worth to a young zone.
#[test]
#[ignore = "minutes: run by hand with --release --nocapture"]
fn the_year_2022_by_what_the_others_teach() {
    let teachers = teachers();
    for (when, from, until, step) in [("third and fourth", 1_440, 2_880, 3), ("fifth and later", 2_880, 8_760, 9)] {
        let mut ratios = Vec::new();
        for mut zone in others() {
            // The test span of CISO begins on 7 July 2022.
            if zone.name.contains("CISO") {
                zone.hours.truncate(187 * 24);
            }
            let same = if TWICE.contains(&zone.name.as_str()) {
                zone.name.trim_start_matches("US-CAL-").trim_end_matches(" 2022")
            } else {
                &zone.name
            };
            let usual = without(&teachers, same);
            let ours = |zone: &Zone, issue: usize| outlook_from(&history(zone, issue), &usual).expect("months").values;
            let issues = || (from..=until.min(zone.hours.len() - 96)).step_by(step);
            let (damped, ours) = (judge(&zone, issues(), damped), judge(&zone, issues(), ours));
            show(&zone.name, "damp_long", &damped);
            show(&zone.name, "learned", &ours);
            ratios.push([0, 1].map(|of| ours.regret(of) / damped.regret(of)));
        }
        summary(&format!("regret beside damp_long on the other zones, {when} months"), &ratios);
    }
}
