//! What it is worth to weigh a start by the lengths that a run may have, where its length was learned:
//! `cargo run --release -p neap-policies --example learned_lengths`.
//!
//! A job comes every five hours of a year. Twenty earlier runs of its kind are known, the planner decides when it starts
//! within a day, and then it takes as long as it takes: lengths are drawn from a log-normal law around three hours, the same
//! for every rule. With pauses the pieces are planned once and not again. The grams of all of them, against those of the best start for the length that it had, and the energy
//! that was told to be expected, against what was used. The curve is that of South Australia in 2022 (`shared/data`, if it is
//! there) and one of the same kind from a formula; forecasts are taken to be right, so that lengths alone are uncertain.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr, reason = "it prints what it measured")]

use chrono::{DateTime, TimeDelta, Utc};
use neap_model::fleet::{Gpu, Zone};
use neap_model::grid::{Grade, Series, Span};
use neap_model::job::{JobId, Objective};
use neap_model::seconds::Seconds;
use neap_model::units::{Bytes, Intensity, Percent, Watts};
use neap_policies::plan;
use neap_policies::problem::{Delay, Job, NodeState, PauseTerms, Policy, Problem, Site, ZoneState};
use std::sync::Arc;

/// Runs that are remembered, as the scheduler does.
const REMEMBERED: usize = 20;
/// Hours between two jobs, and hours that each may wait.
const EVERY: usize = 5;
const WAITS: usize = 24;
/// Hours of curve that each looks at: it waits for a day and stops after two.
const AHEAD: usize = 80;
const LIMIT: u64 = 48 * 3_600;

fn at(seconds: u64) -> DateTime<Utc> {
    let first = DateTime::from_timestamp(1_795_478_400, 0).expect("a time of this century");
    first + TimeDelta::seconds(i64::try_from(seconds).expect("a year"))
}

/// Marsaglia's xorshift64 (2003).
struct Dice(u64);

impl Dice {
    fn share(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Seconds around three hours, by Box and Muller; never above the limit.
    fn length(&mut self, spread: f64) -> u64 {
        let normal = (-2.0 * self.share().ln()).sqrt() * (std::f64::consts::TAU * self.share()).cos();
        ((10_800.0 * (spread * normal).exp()) as u64).clamp(60, LIMIT)
    }
}

/// A year of hours that are dark at night, and by day as dirty as there is little wind and sun.
fn formula(dice: &mut Dice) -> Vec<f64> {
    let (mut wind, mut sun) = (0.5, 1.0);
    (0..8_760)
        .map(|hour| {
            wind = (0.97 * wind + 0.03 * 0.5 + 0.06 * (dice.share() - 0.5)).clamp(0.0, 1.0);
            if hour % 24 == 0 {
                sun = 0.3 + 0.7 * dice.share();
            }
            let height = ((hour % 24) as f64 - 6.0) / 12.0 * std::f64::consts::PI;
            let shines = if (6..18).contains(&(hour % 24)) { height.sin() * sun } else { 0.0 };
            (520.0 * (1.0 - 0.75 * shines) * (1.0 - 0.7 * wind)).max(20.0)
        })
        .collect()
}

/// South Australia, 2022, life-cycle g/kWh.
fn measured() -> Option<Vec<f64>> {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data").to_owned();
    let folder = std::env::var("NEAP_SHARED_DATA").unwrap_or_else(|_| beside());
    let text = std::fs::read_to_string(format!("{folder}/carbon/ci_lca_hourly_2022.csv")).ok()?;
    let mut lines = text.lines();
    let column = lines.next()?.split(',').position(|name| name == "AU-SA")?;
    lines.map(|line| line.split(',').nth(column)?.parse().ok()).collect()
}

fn site(hours: &[f64], now: u64) -> Site {
    let span = |(hour, value): (u64, &f64)| Span {
        from: at(now + hour * 3_600),
        until: at(now + hour * 3_600 + 3_600),
        value: Intensity::from_base(*value).expect("a value"),
        grade: Grade::Forecast,
    };
    let (uuid, model) = ("a-0".to_owned(), "H100".to_owned());
    let gpu = Gpu { uuid, index: 0, model, limit: Watts::whole(1_000), settable: None, uncapped: None };
    let node = NodeState {
        name: "a".to_owned(),
        zone: "AU-SA".to_owned(),
        up: true,
        cpus: 8,
        memory: Bytes(64 << 30),
        gpus: vec![gpu],
        watts_per_cpu: Watts::ZERO,
    };
    let zone = ZoneState {
        zone: Zone { name: "AU-SA".to_owned(), home: true, pue: None },
        curve: Arc::new(Series::new((0..).zip(hours).map(span).collect::<Vec<_>>())),
        basis: 0,
        prices: None,
    };
    Site { now: at(now), zones: vec![zone], nodes: vec![node], shared: Vec::new() }
}

fn job(now: u64, length: u64, likely: &[u32], pauses: bool) -> Job {
    Job {
        likely: likely.into(),
        pause: pauses.then_some(PauseTerms { cost: Seconds::ZERO, least: Seconds::minutes(30) }),
        gpus: 1,
        cpus: Some(1),
        delay: Delay {
            objective: Objective::Carbon,
            max: Seconds::hours(WAITS as u64),
            min_saving: Percent(0),
            replan_gain: Percent(0),
        },
        ..Job::plain(JobId(1), at(now), Seconds(length))
    }
}

/// The runs of a plan in seconds from now, and the kWh it tells to be expected.
type Planned = (Vec<(u64, u64)>, f64);

fn planned(hours: &[f64], length: u64, likely: &[u32], pauses: bool) -> Planned {
    let problem = Problem {
        site: site(hours, 0),
        occupants: Vec::new(),
        running: Vec::new(),
        waiting: vec![Arc::new(job(0, length, likely, pauses))],
        previous: Arc::default(),
        arrivals: Arc::default(),
    };
    let made = plan(&problem, &Policy::default());
    let decision = &made.decisions[&JobId(1)];
    let expected = decision.expected.expect("it is planned");
    let seconds = |time: DateTime<Utc>| (time - at(0)).num_seconds().unsigned_abs();
    let runs: Vec<(u64, u64)> = decision.runs.iter().map(|run| (seconds(run.from), seconds(run.until))).collect();
    let whole = vec![(seconds(expected.start), seconds(expected.end))];
    (if runs.is_empty() { whole } else { runs }, expected.energy.in_kwh())
}

/// Grams of a kilowatt, of a job that takes so long: it is over before the end of its runs, or goes on at the end of the last.
fn emitted(hours: &[f64], runs: &[(u64, u64)], length: u64) -> f64 {
    let (mut left, mut sum) = (length, 0.0);
    for (index, (from, until)) in runs.iter().enumerate() {
        let takes = if index + 1 == runs.len() { left } else { left.min(until - from) };
        (left, sum) = (left - takes, sum + grams(hours, *from, takes));
    }
    sum
}

/// Grams of a kilowatt.
fn grams(hours: &[f64], from: u64, length: u64) -> f64 {
    let part = |(hour, value): (u64, &f64)| {
        let (begin, end) = (from.max(hour * 3_600), (from + length).min(hour * 3_600 + 3_600));
        end.saturating_sub(begin) as f64 / 3_600.0 * value
    };
    (0..).zip(hours).map(part).sum()
}

/// The means of `parts` equal parts of all lengths, rising, in thousandths of `whole`, none above `most`.
fn shares(lengths: &[u64], whole: u64, parts: usize, most: u64) -> Vec<u32> {
    let often = lengths.iter().flat_map(|length| std::iter::repeat_n((*length).min(most), parts));
    let often: Vec<u64> = often.collect();
    let share = |part: &[u64]| (part.iter().sum::<u64>() * 1_000 / (part.len() as u64 * whole)) as u32;
    often.chunks(lengths.len()).map(share).collect()
}

fn measure(what: &str, year: &[f64], spread: f64, pauses: bool) {
    const RULES: [&str; 9] = ["run now", "q90", "mean", "2", "3", "5", "10", "20", "5, none above q90"];
    let mut dice = Dice(42);
    let (mut best, mut used) = (0.0, 0.0);
    let (mut emits, mut told) = ([0.0; RULES.len()], [0.0; RULES.len()]);
    for hour in (0..year.len() - AHEAD).step_by(EVERY) {
        let hours = &year[hour..hour + AHEAD];
        let mut runs: Vec<u64> = (0..REMEMBERED).map(|_| dice.length(spread)).collect();
        runs.sort_unstable();
        let truth = dice.length(spread);
        let whole = runs[(REMEMBERED * 9).div_ceil(10) - 1];
        let mean = runs.iter().sum::<u64>() / REMEMBERED as u64;
        let planned = |length: u64, likely: &[u32]| planned(hours, length, likely, pauses);
        let starts = [
            (vec![(0, whole)], 0.0),
            planned(whole, &[]),
            planned(whole, &[(mean * 1_000 / whole) as u32]),
            planned(whole, &shares(&runs, whole, 2, LIMIT)),
            planned(whole, &shares(&runs, whole, 3, LIMIT)),
            planned(whole, &shares(&runs, whole, 5, LIMIT)),
            planned(whole, &shares(&runs, whole, 10, LIMIT)),
            planned(whole, &shares(&runs, whole, 20, LIMIT)),
            planned(whole, &shares(&runs, whole, 5, whole)),
        ];
        for (index, (runs, energy)) in starts.into_iter().enumerate() {
            emits[index] += emitted(hours, &runs, truth);
            told[index] += energy;
        }
        best += emitted(hours, &planned(truth, &[]).0, truth);
        used += truth as f64 / 3_600.0;
    }
    for (index, rule) in RULES.iter().enumerate() {
        let energy = if index == 0 { String::new() } else { format!("{:>8.3}", told[index] / used) };
        let (less, known) = (1.0 - emits[index] / emits[1], emits[index] / best);
        println!("{what:<16} {spread:>6} {rule:<17} {known:>9.4} {:>9.2} % {energy}", 100.0 * less);
    }
}

fn main() {
    println!(
        "{:<16} {:>6} {:<17} {:>9} {:>11} {:>8}",
        "curve", "spread", "weighed by", "to known", "below q90", "energy"
    );
    let formula = formula(&mut Dice(7));
    for spread in [0.3, 0.6, 1.0, 1.5] {
        measure("formula", &formula, spread, false);
    }
    let Some(year) = measured() else {
        eprintln!("SKIPPED: the curve of 2022 is not in shared/data");
        return;
    };
    for (what, pauses) in [("AU-SA 2022", false), ("with pauses", true)] {
        [0.3, 0.6, 1.0, 1.5].into_iter().for_each(|spread| measure(what, &year, spread, pauses));
    }
}
