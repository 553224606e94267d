//! `learned` 1.1: what `damp_long` gets wrong in this very zone, learned from how it erred on earlier days near this hour.
//!
//! For every hour ahead a ridge regression over past issues corrects `damp_long` by what was known at those issues: distances
//! of the last hours and days from the typical day, the same hours of the last days and of last week, what the hours of the
//! week usually do, the time of the year, and what the season did last year. Little history means little correction. It is
//! fitted anew for each forecast and keeps nothing.
//!
//! Features, strengths and windows were chosen on the half-years before the test spans of three public histories (five of CISO,
//! five of PJM, two of DE) and on eight zones of 2022. The test spans were looked at once, when that was done; what was tried
//! after that was judged on the same half-years and zones, and changed nothing (`tests/forecast.rs` prints all of them).
//! Version 1.0, which this one grew from, had been settled with the test spans in view.

mod issue;
mod ridge;
mod week;

use super::damp::{DAY, Typical};
use super::{HORIZON, History};
use issue::{Issue, NEEDS, Past, Vector};
use ridge::Ridge;

/// Days of issues that teach. The season of the first of them was a year earlier still.
const DAYS: usize = 730;
/// Days after which an issue counts half.
const HALF_LIFE: f64 = 1_000.0;
/// Pseudo-issues that hold every coefficient at zero: for the next hour, two days ahead, and from there on,
/// where the rule that is corrected is hard to better.
const RIDGE: (f64, f64, f64) = (100.0, 300.0, 1_000.0);
/// Hours ahead in which the issue an hour earlier or later teaches, too.
const NEAR: usize = 2 * DAY;

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

/// The corrected forecast of the hours after the end of the history, in g/kWh; `None` with less than 60 days, where too much
/// is missing, or where no hour of the last day is known.
#[must_use]
pub fn learned(history: &History) -> Option<Vec<f64>> {
    outlook(history).map(|outlook| outlook.values)
}

/// What was known of an hour, and what `damp_long` missed there in g/kWh.
type Lesson = (Vector, f64);

pub(super) fn outlook(history: &History) -> Option<Outlook> {
    let raw = history.hours();
    let end = raw.len();
    if end < NEEDS + 10 * DAY || raw.iter().filter(|value| value.is_nan()).count() * 4 > end {
        return None;
    }
    let past = Past::of(raw);
    let before = |at: usize| i64::try_from(at).unwrap_or(0) - i64::try_from(end).unwrap_or(0);
    let weekend = |at: usize, h: usize| history.is_weekend(before(at + (h - 1) / DAY * DAY));
    let issue = |at: usize, days: usize| {
        let typical = Typical::of(&past.hours, at, |back| history.is_weekend(before(at - back)));
        Issue::of(&past, at, days, typical, history.year_angle(before(at)))
    };
    let lesson = |issue: &Issue, h: usize| -> Option<Lesson> {
        let truth = *raw.get(issue.at + h - 1).filter(|value| !value.is_nan())?;
        let weekend = weekend(issue.at, h);
        Some((issue.features(&past, h, weekend), truth - issue.typical.ahead(h, weekend)))
    };
    let now = issue(end, 0);
    let days = || (1..=DAYS.min(end / DAY)).take_while(|days| end - days * DAY > NEEDS);
    let earlier: Vec<Issue> = days().map(|days| issue(end - days * DAY, days)).collect();
    // An hour later on odd days, an hour earlier on even ones.
    let near: Vec<Issue> = days().map(|days| issue(end - days * DAY + days % 2 * 2 - 1, days)).collect();
    let weights: Vec<f64> = days().map(|days| 0.5f64.powf(days as f64 / HALF_LIFE)).collect();
    let mut errors = vec![Vec::with_capacity(HORIZON); earlier.len()];
    let mut values = Vec::with_capacity(HORIZON);
    let mut lessons = Vec::with_capacity(earlier.len());
    for h in 1..=HORIZON {
        let mut fit = Ridge::new();
        lessons.clear();
        for (issue, weight) in earlier.iter().zip(&weights) {
            let lesson = lesson(issue, h);
            if let Some((features, missed)) = &lesson {
                fit.add(features, *missed, weight / (issue.level * issue.level));
            }
            lessons.push(lesson);
        }
        if h <= NEAR {
            for (issue, weight) in near.iter().zip(&weights) {
                if let Some((features, missed)) = lesson(issue, h) {
                    fit.add(&features, missed, weight / (issue.level * issue.level));
                }
            }
        }
        let coefficients = fit.solve(ridge(h) / earlier.len().max(1) as f64);
        let weekend = weekend(end, h);
        let correction = dot(&coefficients, &now.features(&past, h, weekend));
        values.push((now.typical.ahead(h, weekend) + correction).max(0.0));
        for ((row, lesson), issue) in errors.iter_mut().zip(&lessons).zip(&earlier) {
            row.push(lesson.as_ref().map(|(features, missed)| (missed - dot(&coefficients, features)) / issue.level));
        }
    }
    values.iter().all(|value| value.is_finite()).then_some(Outlook { values, errors, level: now.level })
}

/// How many pseudo-issues stand against a correction so many hours ahead.
fn ridge(h: usize) -> f64 {
    if h > NEAR { RIDGE.2 } else { RIDGE.0 + (RIDGE.1 - RIDGE.0) * (h - 1) as f64 / (NEAR - 1) as f64 }
}

fn dot(a: &Vector, b: &Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
