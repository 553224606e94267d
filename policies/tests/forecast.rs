//! The forecaster by the protocol of the published table: issues at every third hour of the last 181 days of a history,
//! each seeing only hours before it; judged by what a contiguous job saves that follows it, and by its errors.
//!
//! Run the long one by hand: `cargo test --release -p neap-policies --test forecast -- --ignored --nocapture`.

#![expect(clippy::print_stderr, clippy::disallowed_methods, reason = "a report by hand that reads files")]

use chrono::{DateTime, TimeDelta, Utc};
use neap_policies::forecast::{HORIZON, History, Scenarios, damp_long, hourly};
use std::io::Read;
use std::path::PathBuf;

/// Hours of the test span.
const SPAN: usize = 4_344;

struct Zone {
    name: String,
    from: DateTime<Utc>,
    hours: Vec<Option<f64>>,
}

fn shared(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(path);
    if !path.exists() {
        eprintln!("SKIPPED: {} is not here", path.display());
        return None;
    }
    Some(path)
}

fn column(name: &str, text: &str, at: usize) -> Zone {
    let rows = text.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let hours = rows.map(|cells| cells.get(at).and_then(|cell| cell.parse().ok())).collect();
    let first = text.lines().nth(1).and_then(|line| line.split(',').next()).expect("a table has rows");
    let from = chrono::NaiveDateTime::parse_from_str(first.trim_end_matches('Z'), "%Y-%m-%dT%H:%M").expect("a time");
    Zone { name: name.to_owned(), from: from.and_utc(), hours }
}

fn history_file(zone: &str) -> Option<Zone> {
    let bytes = std::fs::read(shared(&format!("forecast/{zone}.csv.gz"))?).expect("it is there");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("gzip");
    Some(column(zone, &text, 1))
}

/// The zones of another data set: a year of 2022 each.
fn others() -> Vec<Zone> {
    let Some(path) = shared("carbon/ci_lca_hourly_2022.csv") else { return Vec::new() };
    let text = std::fs::read_to_string(path).expect("it is there");
    let names: Vec<&str> = text.lines().next().unwrap_or_default().split(',').skip(1).collect();
    names.iter().enumerate().map(|(n, name)| column(&format!("{name} 2022"), &text, n + 1)).collect()
}

impl Zone {
    fn at(&self, hour: usize) -> History {
        let first = hour.saturating_sub(1_200 * 24);
        History::of_hours(&self.hours[first..hour], self.from + TimeDelta::hours(hour as i64))
    }
}

/// What came of following a forecast, in percent.
#[derive(Clone, Copy, Default, Debug)]
struct Score {
    mape: [f64; 5],
    saved: [f64; 2],
    oracle: [f64; 2],
    worse: [f64; 2],
}

impl Score {
    fn regret(&self, of: usize) -> f64 {
        self.oracle[of] - self.saved[of]
    }
}

/// Length and reach of the two decisions, in hours.
const DECISIONS: [(usize, usize); 2] = [(4, 24), (8, 48)];

fn judge(zone: &Zone, issues: impl Iterator<Item = usize>, rule: impl Fn(&History, usize) -> Vec<f64>) -> Score {
    let mut score = Score::default();
    let (mut count, mut sums) = (0.0, [[0.0; 3]; 2]);
    for issue in issues {
        let Some(truth) = zone.hours[issue..issue + HORIZON].iter().copied().collect::<Option<Vec<f64>>>() else {
            continue;
        };
        let said = rule(&zone.at(issue), issue);
        count += 1.0;
        for (h, (said, truth)) in said.iter().zip(&truth).enumerate() {
            let share = (said - truth).abs() / truth.max(1e-9);
            score.mape[h / 24] += share / 24.0;
            score.mape[4] += share / HORIZON as f64;
        }
        for (of, (length, reach)) in DECISIONS.into_iter().enumerate() {
            let mean = |values: &[f64], start: usize| values[start..start + length].iter().sum::<f64>() / length as f64;
            let starts = 0..=reach - length;
            let chosen = starts.clone().min_by(|a, b| mean(&said, *a).total_cmp(&mean(&said, *b))).expect("a start");
            let best = starts.map(|start| mean(&truth, start)).fold(f64::MAX, f64::min);
            let (now, then) = (mean(&truth, 0), mean(&truth, chosen));
            sums[of] = [sums[of][0] + now, sums[of][1] + then, sums[of][2] + best];
            score.worse[of] += f64::from(u8::from(then > now * 1.001));
        }
    }
    score.mape = score.mape.map(|sum| 100.0 * sum / count);
    for (of, [now, then, best]) in sums.into_iter().enumerate() {
        (score.saved[of], score.oracle[of]) = (100.0 * (now - then) / now, 100.0 * (now - best) / now);
        score.worse[of] = 100.0 * score.worse[of] / count;
    }
    score
}

fn span(zone: &Zone, step: usize) -> impl Iterator<Item = usize> + use<> {
    let end = zone.hours.len();
    (end - SPAN..=end - HORIZON).step_by(step)
}

fn show(zone: &str, rule: &str, score: &Score) {
    let [d1, d2, d3, d4, all] = score.mape;
    eprintln!(
        "{zone:18} {rule:10} d1 {d1:5.2} d2 {d2:5.2} d3 {d3:5.2} d4 {d4:5.2} 96h {all:5.2} | 4 in 24: {:5.2}, worse {:4.1}, \
         regret {:5.3} | 8 in 48: {:5.2}, worse {:4.1}, regret {:5.3}",
        score.saved[0],
        score.worse[0],
        score.regret(0),
        score.saved[1],
        score.worse[1],
        score.regret(1),
    );
}

fn damped(history: &History, _: usize) -> Vec<f64> {
    damp_long(history).expect("four weeks are known")
}

fn ours(history: &History, _: usize) -> Vec<f64> {
    hourly(history).expect("four weeks are known")
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
    let mut ratios = Vec::new();
    for (name, ..) in PUBLISHED {
        let Some(zone) = history_file(name) else { return };
        let (damped, ours) = (judge(&zone, span(&zone, 3), damped), judge(&zone, span(&zone, 3), ours));
        show(name, "damp_long", &damped);
        show(name, "learned", &ours);
        ratios.push([0, 1].map(|of| ours.regret(of) / damped.regret(of)));
        assert!((0..5).all(|day| ours.mape[day] <= damped.mape[day]), "{name}: no day's error is larger");
        assert!((0..2).all(|of| ours.saved[of] >= damped.saved[of]), "{name}: no less is saved");
    }
    summary("regret beside damp_long on the three histories", &ratios);
    let mut ratios = Vec::new();
    for zone in others() {
        let issues = || (2_880..=zone.hours.len() - HORIZON).step_by(9);
        let (damped, ours) = (judge(&zone, issues(), damped), judge(&zone, issues(), ours));
        show(&zone.name, "damp_long", &damped);
        show(&zone.name, "learned", &ours);
        ratios.push([0, 1].map(|of| ours.regret(of) / damped.regret(of)));
    }
    summary("regret beside damp_long on the other zones, from their fifth month on", &ratios);
}

/// What the rule was chosen on: it is for these to be good, and for the test spans to agree.
#[test]
#[ignore = "minutes: run by hand with --release --nocapture"]
fn ours_on_the_half_years_before() {
    let mut ratios = Vec::new();
    for (name, ..) in PUBLISHED {
        let Some(zone) = history_file(name) else { return };
        let whole = zone.hours.len() / SPAN - 2;
        let mut of_zone = [0.0; 2];
        for back in (1..=whole.min(5)).rev() {
            let issues = || span(&zone, 9).map(|issue| issue - back * SPAN);
            let (damped, ours) = (judge(&zone, issues(), damped), judge(&zone, issues(), ours));
            show(&format!("{name}, {back} before"), "damp_long", &damped);
            show(&format!("{name}, {back} before"), "learned", &ours);
            (0..2).for_each(|of| of_zone[of] += ours.regret(of) / damped.regret(of) / whole.min(5) as f64);
        }
        summary(&format!("{name}: regret beside damp_long on the half-years before the test span"), &[of_zone]);
        ratios.push(of_zone);
    }
    summary("the same, mean of the three", &ratios);
}

fn summary(what: &str, ratios: &[[f64; 2]]) {
    let mean = |of: usize| ratios.iter().map(|pair| pair[of]).sum::<f64>() / ratios.len().max(1) as f64;
    eprintln!("{what}: 4 in 24 × {:.3}, 8 in 48 × {:.3}, both × {:.3}", mean(0), mean(1), (mean(0) + mean(1)) / 2.0);
}

#[test]
#[ignore = "a minute: run by hand with --release --nocapture"]
fn four_of_five_outcomes_lie_in_the_band() {
    for (name, ..) in PUBLISHED {
        let Some(zone) = history_file(name) else { return };
        for (which, back) in [("the half-year before", SPAN), ("the test span", 0)] {
            let (mut inside, mut all) = ([0u32; 4], 0u32);
            for issue in span(&zone, 15).map(|issue| issue - back) {
                let bands = Scenarios::of(&zone.at(issue)).expect("months are known").bands(0.8);
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
