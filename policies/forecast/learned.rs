//! `learned` 1.0: what `damp_long` gets wrong in this very zone, learned from how it erred on earlier days at this hour.
//!
//! For every hour ahead a ridge regression over past issues at the same time of day corrects `damp_long` by what was known at those issues: distances of the last hours and days from the typical day, the
//! same hours yesterday, the day before and last week, the week's own shape, the time of the year, and what the season did last year. Little
//! history means little correction. It is fitted anew for each forecast and keeps nothing.

use super::damp::{DAY, Typical};
use super::{HORIZON, History};

/// What is looked at.
const FEATURES: usize = 22;
/// Days after which an issue counts half.
const HALF_LIFE: f64 = 1_000.0;
/// Pseudo-issues that hold every coefficient at zero: for the next hour, and from two days ahead on.
const RIDGE: (f64, f64) = (100.0, 300.0);
/// Hours of history that an issue needs before it.
const NEEDS: usize = 36 * DAY;
/// Fewer past issues than that teach nothing.
const LEAST: f64 = 30.0;

type Vector = [f64; FEATURES];

/// What was known at one issue.
struct Issue {
    at: usize,
    weight: f64,
    typical: Typical,
    /// Mean level of the typical day.
    level: f64,
    /// Distance of the last hour, of six hours, of the day before, of the week.
    last: f64,
    six: f64,
    day_before: f64,
    week: f64,
    /// Of the week before that.
    fortnight: f64,
    /// Sine and cosine of the time of the year, once and twice a year.
    year: [f64; 4],
    /// Mean of the last seven days by position.
    week_day: [f64; DAY],
    /// What the season did last year, by position; for each of the four days ahead.
    season: [[f64; DAY]; HORIZON / DAY],
}

impl Issue {
    fn of(hours: &[f64], at: usize, weight: f64, typical: Typical, year: f64) -> Self {
        let mut week_day = [0.0; DAY];
        for day in 1..=7 {
            for (k, mean) in week_day.iter_mut().enumerate() {
                *mean += hours[at - DAY * day + k] / 7.0;
            }
        }
        let level = typical.day.iter().sum::<f64>() / DAY as f64;
        let distance = |k: usize, days: usize| hours[at - DAY * days + k] - typical.day[k];
        let mean = |from: usize, days: usize| (from..DAY).map(|k| distance(k, days)).sum::<f64>() / (DAY - from) as f64;
        Self {
            at,
            weight,
            level: level.max(1.0),
            last: distance(DAY - 1, 1),
            six: mean(DAY - 6, 1),
            day_before: mean(0, 2),
            fortnight: (8..=14).map(|days| mean(0, days)).sum::<f64>() / 7.0,
            year: [year.sin(), year.cos(), (2.0 * year).sin(), (2.0 * year).cos()],
            week: week_day.iter().zip(&typical.day).map(|(week, day)| week - day).sum::<f64>() / DAY as f64,
            week_day,
            season: season(hours, at),
            typical,
        }
    }

    fn features(&self, hours: &[f64], h: usize, weekend: bool) -> Vector {
        let k = (h - 1) % DAY;
        let typical = self.typical.day[k];
        let ago = |hours_ago: usize| hours[self.at + k - hours_ago] - typical;
        let shape = typical - self.level;
        let week = self.week_day[k] - typical;
        [
            0.3 * self.level,
            self.last,
            self.typical.a3,
            self.six,
            self.typical.a24,
            self.day_before,
            self.week,
            ago(DAY),
            ago(2 * DAY),
            hours[self.at + h - 1 - 7 * DAY] - typical,
            self.typical.class[usize::from(weekend)][k] - typical,
            week,
            shape,
            shape * self.typical.a24 / self.level,
            self.season[(h - 1) / DAY][k],
            week - self.week,
            0.3 * self.level * self.year[0],
            0.3 * self.level * self.year[1],
            0.3 * self.level * self.year[2],
            0.3 * self.level * self.year[3],
            ago(3 * DAY),
            self.fortnight,
        ]
    }
}

/// Three weeks around the day in question a year ago, against the four weeks before the issue then.
fn season(hours: &[f64], at: usize) -> [[f64; DAY]; HORIZON / DAY] {
    let mut all = [[0.0; DAY]; HORIZON / DAY];
    let Some(then) = at.checked_sub(364 * DAY).filter(|then| *then >= 30 * DAY) else { return all };
    for k in 0..DAY {
        let before = (1..=28).map(|day| hours[then - DAY * day + k]).sum::<f64>() / 28.0;
        for (day, row) in all.iter_mut().enumerate() {
            let first = then + day * DAY + k - 10 * DAY;
            row[k] = (0..21).map(|d| hours[first + d * DAY]).sum::<f64>() / 21.0 - before;
        }
    }
    all
}

/// Holes filled with the same hour of the day before, so that sums can be formed; what was a hole teaches nothing.
fn filled(hours: &[f64]) -> Vec<f64> {
    let known = hours.iter().filter(|value| !value.is_nan());
    let mean = known.clone().sum::<f64>() / known.count().max(1) as f64;
    let mut all = hours.to_vec();
    for at in 0..all.len() {
        if all[at].is_nan() {
            all[at] = if at >= DAY { all[at - DAY] } else { mean };
        }
    }
    all
}

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

pub(super) fn outlook(history: &History) -> Option<Outlook> {
    let raw = history.hours();
    let end = raw.len();
    if end < NEEDS + 10 * DAY || raw.iter().filter(|value| value.is_nan()).count() * 4 > end {
        return None;
    }
    let hours = filled(raw);
    let signed = |n: usize| i64::try_from(n).unwrap_or(0);
    let typical =
        |at: usize| Typical::of(&hours, at, |back| history.is_weekend(signed(at) - signed(end) - signed(back)));
    let weekend = |at: usize, h: usize| history.is_weekend(signed(at) - signed(end) + signed((h - 1) / DAY * DAY));
    let year = |at: usize| history.year_angle(signed(at) - signed(end));
    let now = Issue::of(&hours, end, 1.0, typical(end), year(end));
    let past: Vec<Issue> = (1..=end / DAY)
        .filter(|day| end - day * DAY >= NEEDS)
        .map(|day| {
            let at = end - day * DAY;
            Issue::of(&hours, at, 0.5f64.powf(day as f64 / HALF_LIFE), typical(at), year(at))
        })
        .collect();
    let mut errors = vec![Vec::with_capacity(HORIZON); past.len()];
    let mut values = Vec::with_capacity(HORIZON);
    for h in 1..=HORIZON {
        let mut fit = Fit::default();
        let mut seen = Vec::with_capacity(past.len());
        for issue in &past {
            let target = issue.at + h - 1;
            if target >= end || raw[target].is_nan() {
                seen.push(None);
                continue;
            }
            let weekend = weekend(issue.at, h);
            let features = issue.features(&hours, h, weekend);
            let missed = raw[target] - issue.typical.ahead(h, weekend);
            fit.add(&features, missed, issue.weight / (issue.level * issue.level));
            seen.push(Some((features, missed, issue.level)));
        }
        let ridge = RIDGE.0 + (RIDGE.1 - RIDGE.0) * ((h - 1) as f64 / 47.0).min(1.0);
        let coefficients = fit.solve(ridge / past.len().max(1) as f64);
        let weekend = weekend(end, h);
        let correction = dot(&coefficients, &now.features(&hours, h, weekend));
        values.push((now.typical.ahead(h, weekend) + correction).max(0.0));
        for (row, seen) in errors.iter_mut().zip(seen) {
            row.push(seen.map(|(features, missed, level)| (missed - dot(&coefficients, &features)) / level));
        }
    }
    values.iter().all(|value| value.is_finite()).then_some(Outlook { values, errors, level: now.level })
}

fn dot(a: &Vector, b: &Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Normal equations of one hour ahead.
#[derive(Default)]
struct Fit {
    square: [Vector; FEATURES],
    cross: Vector,
    count: f64,
}

impl Fit {
    fn add(&mut self, features: &Vector, missed: f64, weight: f64) {
        self.count += 1.0;
        for (row, &feature) in features.iter().enumerate() {
            let weighted = weight * feature;
            // Whole rows: half of the work is done twice, and all of it several numbers at a time.
            for (sum, other) in self.square[row].iter_mut().zip(features) {
                *sum += weighted * other;
            }
            self.cross[row] += weighted * missed;
        }
    }

    /// The coefficients, drawn to zero as by a share `ridge` of further issues at which nothing had to be corrected. By
    /// Cholesky's decomposition.
    fn solve(mut self, ridge: f64) -> Vector {
        if self.count < LEAST {
            return [0.0; FEATURES];
        }
        let scale = 1.0 + ridge;
        for row in 0..FEATURES {
            self.square[row][row] = self.square[row][row] * scale + 1e-9;
        }
        let mut lower = [[0.0; FEATURES]; FEATURES];
        for row in 0..FEATURES {
            for column in 0..=row {
                let sum: f64 = (0..column).map(|n| lower[row][n] * lower[column][n]).sum();
                let rest = self.square[column][row] - sum;
                lower[row][column] = if row == column { rest.max(1e-12).sqrt() } else { rest / lower[column][column] };
            }
        }
        let mut half = [0.0; FEATURES];
        for row in 0..FEATURES {
            let sum: f64 = (0..row).map(|n| lower[row][n] * half[n]).sum();
            half[row] = (self.cross[row] - sum) / lower[row][row];
        }
        let mut all = [0.0; FEATURES];
        for row in (0..FEATURES).rev() {
            let sum: f64 = (row + 1..FEATURES).map(|n| lower[n][row] * all[n]).sum();
            all[row] = (half[row] - sum) / lower[row][row];
        }
        all
    }
}
