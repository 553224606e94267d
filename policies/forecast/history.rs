//! A zone's past as whole hours, and nothing after its end.

use chrono::{DateTime, Datelike, DurationRound, TimeDelta, Utc, Weekday};
use neap_model::grid::{Grade, Series};
use neap_model::units::Intensity;

/// Most days that are looked back at.
const LONGEST: i64 = 1_200;

/// Hours of intensity in g/kWh, the newest last; holes are holes. It ends at [`History::end`] and holds nothing later.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    end: DateTime<Utc>,
    /// NaN where nothing is known.
    hours: Vec<f64>,
}

impl History {
    /// What `series` knows before `until`, of values that were measured or estimated. Shorter steps are averaged to hours; an
    /// hour counts if half of it is covered. It ends with the last whole hour that is known, which may lie before `until`
    /// where a feed lags. Times are cut to whole hours.
    #[must_use]
    pub fn of(series: &Series<Intensity>, until: DateTime<Utc>) -> Self {
        let until = until.duration_trunc(TimeDelta::hours(1)).unwrap_or(until);
        let known = |grade: Grade| matches!(grade, Grade::Measured | Grade::Estimated);
        let before =
            |time: DateTime<Utc>| series.within(until - TimeDelta::days(LONGEST), time).filter(|s| known(s.grade));
        let first = before(until).next().and_then(|span| span.from.duration_trunc(TimeDelta::hours(1)).ok());
        let Some(first) = first else { return Self { end: until, hours: Vec::new() } };
        let count = usize::try_from((until - first).num_hours()).unwrap_or(0);
        // Value times milliseconds, and milliseconds, of each hour.
        let mut sums = vec![(0.0f64, 0i64); count];
        for span in before(until) {
            let mut from = span.from.max(first);
            while from < span.until {
                let hour = usize::try_from((from - first).num_hours()).unwrap_or(usize::MAX);
                let Some(sum) = sums.get_mut(hour) else { break };
                let next = first + TimeDelta::hours(i64::try_from(hour).unwrap_or(0) + 1);
                let millis = (span.until.min(next) - from).num_milliseconds();
                sum.0 += span.value.in_base() * millis as f64;
                sum.1 += millis;
                from = next;
            }
        }
        let half = TimeDelta::minutes(30).num_milliseconds();
        let mut hours: Vec<f64> =
            sums.into_iter().map(|(sum, millis)| if millis >= half { sum / millis as f64 } else { f64::NAN }).collect();
        let mut end = until;
        while hours.last().is_some_and(|value| value.is_nan()) {
            hours.pop();
            end -= TimeDelta::hours(1);
        }
        Self { end, hours }
    }

    /// Hours in g/kWh that end at `end`, the newest last; what is not finite or negative is a hole.
    #[must_use]
    pub fn of_hours(hours: &[Option<f64>], end: DateTime<Utc>) -> Self {
        let clean = |value: &Option<f64>| value.filter(|v| v.is_finite() && *v >= 0.0).unwrap_or(f64::NAN);
        let kept = hours.len().min(LONGEST as usize * 24);
        Self { end, hours: hours[hours.len() - kept..].iter().map(clean).collect() }
    }

    /// Where it ends and a forecast begins.
    #[must_use]
    pub const fn end(&self) -> DateTime<Utc> {
        self.end
    }

    /// Hours it reaches back, holes included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hours.len()
    }

    /// Whether nothing is known at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hours.is_empty()
    }

    /// Days' worth of hours that are known.
    #[must_use]
    pub fn known_days(&self) -> usize {
        self.hours.iter().filter(|value| !value.is_nan()).count() / 24
    }

    /// The hours, NaN where nothing is known.
    pub(super) fn hours(&self) -> &[f64] {
        &self.hours
    }

    /// The part of it that was known `hours` before its end.
    #[must_use]
    pub fn earlier(&self, hours: usize) -> Self {
        let kept = self.hours.len().saturating_sub(hours);
        let back = TimeDelta::hours(i64::try_from(hours).unwrap_or(0));
        Self { end: self.end - back, hours: self.hours[..kept].to_vec() }
    }

    /// Time of the year so many hours after the end (before it, if negative), as an angle.
    pub(super) fn year_angle(&self, hours: i64) -> f64 {
        let at = self.end + TimeDelta::hours(hours);
        (at.timestamp() as f64 / (365.25 * 86_400.0)).fract() * std::f64::consts::TAU
    }

    /// Whether the block of 24 hours that begins so many hours after the end (before it, if negative) begins on a Saturday
    /// or Sunday in UTC.
    pub(super) fn is_weekend(&self, hours: i64) -> bool {
        let day = (self.end + TimeDelta::hours(hours)).weekday();
        matches!(day, Weekday::Sat | Weekday::Sun)
    }
}
