//! How well forecasts did, judged by what was measured since. Only what was said on the day counts as said.

use super::archive::Entry;
use super::feed::Values;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use neap_model::grid::{Grade, Series, Span};
use neap_model::units::Intensity;
use neap_policies::forecast::{HORIZON, History, Skill, hourly};

/// How far back forecasts are judged.
pub const WINDOW: TimeDelta = TimeDelta::days(28);
/// Of a service's forecasts one in so long is judged.
const EVERY: TimeDelta = TimeDelta::hours(3);
/// Of our own, which are made anew for it, one in so long.
const OWN_EVERY: TimeDelta = TimeDelta::hours(24);

const HOUR: TimeDelta = TimeDelta::hours(1);

/// What was measured or estimated.
#[must_use]
pub fn truth(series: &Series) -> Series {
    Series::new(series.spans().iter().filter(|span| span.grade < Grade::Forecast).copied())
}

/// The mean of the hour that begins at `from`, in g/kWh, if at least half of it is known.
fn hour(series: &Series, from: DateTime<Utc>) -> Option<f64> {
    let mean = series.mean(from, from + HOUR)?;
    (mean.covered * 2 >= HOUR).then(|| mean.value.in_base())
}

/// Judges one forecast that was there at `issue`.
fn judge(skill: &mut Skill, said: &[Option<f64>], issue: DateTime<Utc>, truth: &Series, settled: DateTime<Utc>) {
    let at = |h: usize| issue + HOUR * i32::try_from(h).unwrap_or(0);
    let known = (0..HORIZON).map(|h| if at(h) + HOUR <= settled { hour(truth, at(h)) } else { None });
    let yesterday = (0..HORIZON).map(|h| {
        let days = i64::try_from(h / 24 + 1).unwrap_or(1);
        hour(truth, at(h) - TimeDelta::days(days))
    });
    skill.judge(said, &known.collect::<Vec<_>>(), &yesterday.collect::<Vec<_>>());
}

/// How a service's forecasts did that were kept over the last four weeks.
#[must_use]
pub fn of_service(entries: &[Entry], truth: &Series, now: DateTime<Utc>, settled: TimeDelta) -> Skill {
    let mut skill = Skill::default();
    let mut last: Option<DateTime<Utc>> = None;
    for entry in entries.iter().filter(|entry| now - entry.fetched <= WINDOW) {
        let Values::Intensity(series) = &entry.values else { continue };
        let issue = entry.fetched.duration_trunc(HOUR).unwrap_or(entry.fetched) + HOUR;
        if last.is_some_and(|last| issue - last < EVERY) {
            continue;
        }
        let ahead = |span: &&Span<Intensity>| span.grade == Grade::Forecast && span.until > entry.fetched;
        let forecast = Series::new(series.spans().iter().filter(ahead).copied());
        if forecast.is_empty() {
            continue;
        }
        last = Some(issue);
        let said = (0..HORIZON).map(|h| hour(&forecast, issue + HOUR * i32::try_from(h).unwrap_or(0)));
        judge(&mut skill, &said.collect::<Vec<_>>(), issue, truth, now - settled);
    }
    skill
}

/// How our own forecaster would have done over the last four weeks, from what was measured before each issue.
#[must_use]
pub fn of_own(truth: &Series, now: DateTime<Utc>, settled: TimeDelta) -> Skill {
    let mut skill = Skill::default();
    let mut issue = now.duration_trunc(HOUR).unwrap_or(now) - WINDOW;
    while issue < now {
        let history = History::of(truth, issue);
        if let Some(said) = hourly(&history) {
            let said: Vec<Option<f64>> = said.into_iter().map(Some).collect();
            judge(&mut skill, &said, history.end(), truth, now - settled);
        }
        issue += OWN_EVERY;
    }
    skill
}

/// The mean absolute error of the first day, in g/kWh.
#[must_use]
pub fn of_the_day(skill: &Skill) -> Option<Intensity> {
    let (mut sum, mut hours) = (0.0, 0);
    for (_, until, bucket) in skill.buckets() {
        if let Some(mae) = bucket.mae().filter(|_| until <= 24) {
            sum += mae * bucket.hours() as f64;
            hours += bucket.hours();
        }
    }
    (hours > 0).then(|| Intensity::from_base(sum / hours as f64)).flatten()
}

#[cfg(test)]
mod tests;
