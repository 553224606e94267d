//! What a site pays for electricity where no service says it: one price, and others at certain hours of the week.

use chrono::{DateTime, Datelike, DurationRound, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use neap_model::grid::{Grade, Series, Span};
use neap_model::units::Price;

/// Prices change on these: every offset of local time from UTC is a multiple of it.
pub const STEP: TimeDelta = TimeDelta::minutes(15);
/// Minutes of a day.
pub const DAY: u16 = 24 * 60;

/// A tariff by time of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tariff {
    /// Of all its prices: `EUR`.
    pub currency: String,
    /// Whenever no row of `hours` fits, per MWh.
    pub usual: Price,
    /// The first that fits counts.
    pub hours: Vec<Hours>,
    /// Whose clocks the hours are read from.
    pub timezone: Tz,
}

/// Some hours of the week with a price of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    /// From Monday on: the days on which they begin.
    pub days: [bool; 7],
    /// Minute of the day of the first, a multiple of [`STEP`].
    pub from: u16,
    /// Minute after the last; at or before `from` they reach into the next day.
    pub to: u16,
    /// Per MWh.
    pub price: Price,
}

impl Hours {
    fn hold(&self, day: usize, minute: u16) -> bool {
        if self.from < self.to {
            return self.days[day] && (self.from..self.to).contains(&minute);
        }
        let evening = self.days[day] && minute >= self.from;
        let morning = self.days[(day + 6) % 7] && minute < self.to;
        evening || morning
    }
}

impl Tariff {
    /// The price at an instant.
    #[must_use]
    pub fn at(&self, time: DateTime<Utc>) -> Price {
        let local = time.with_timezone(&self.timezone);
        let day = local.weekday().num_days_from_monday() as usize;
        let minute = u16::try_from(local.hour() * 60 + local.minute()).unwrap_or_default();
        self.hours.iter().find(|hours| hours.hold(day, minute)).map_or(self.usual, |hours| hours.price)
    }

    /// The prices between two instants, from the last [`STEP`] before `from` on.
    #[must_use]
    pub fn series(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Series<Price> {
        let mut spans: Vec<Span<Price>> = Vec::new();
        let mut time = from.duration_trunc(STEP).unwrap_or(from);
        while time < until {
            let (end, value) = (time + STEP, self.at(time));
            match spans.last_mut().filter(|last| last.value == value) {
                Some(last) => last.until = end,
                // What a contract says is not a forecast.
                None => spans.push(Span { from: time, until: end, value, grade: Grade::Measured }),
            }
            time = end;
        }
        Series::new(spans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn tariff(hours: Vec<Hours>) -> Tariff {
        let (currency, usual) = ("EUR".to_owned(), Price(220_000));
        Tariff { currency, usual, hours, timezone: chrono_tz::Europe::Berlin }
    }

    /// Monday to Friday.
    const WORKDAYS: [bool; 7] = [true, true, true, true, true, false, false];

    #[test]
    fn hours_are_read_from_local_clocks_in_summer_and_winter() {
        let tariff = tariff(vec![Hours { days: WORKDAYS, from: 17 * 60, to: 21 * 60, price: Price(360_000) }]);
        // Thursday, one and two hours ahead of UTC.
        for (time, price) in [
            ("2026-11-26T15:59:00Z", 220_000),
            ("2026-11-26T16:00:00Z", 360_000),
            ("2026-11-26T19:59:59Z", 360_000),
            ("2026-11-26T20:00:00Z", 220_000),
            ("2026-07-16T15:00:00Z", 360_000),
            ("2026-07-16T14:59:00Z", 220_000),
            ("2026-11-28T16:00:00Z", 220_000),
        ] {
            assert_eq!(tariff.at(utc(time)), Price(price), "{time}");
        }
        let (from, until) = (utc("2026-11-26T15:07:00Z"), utc("2026-11-26T20:07:00Z"));
        let series = tariff.series(from, until);
        let spans: Vec<_> = series.spans().iter().map(|s| (s.from.to_rfc3339(), s.value.0)).collect();
        let expected = [("15:00", 220_000), ("16:00", 360_000), ("20:00", 220_000)];
        assert_eq!(spans, expected.map(|(time, price)| (format!("2026-11-26T{time}:00+00:00"), price)));
        assert_eq!(series.end(), Some(utc("2026-11-26T20:15:00Z")));
    }

    #[test]
    fn nights_belong_to_the_day_they_begin_on_and_the_first_row_counts() {
        let saturday = [false, false, false, false, false, true, false];
        let tariff = tariff(vec![
            Hours { days: [true; 7], from: 0, to: 60, price: Price(-1_000) },
            Hours { days: saturday, from: 22 * 60, to: 6 * 60, price: Price(90_000) },
        ]);
        for (time, price) in [
            ("2026-11-28T21:00:00Z", 90_000),
            // Sunday, midnight to one and later.
            ("2026-11-28T23:30:00Z", -1_000),
            ("2026-11-29T00:00:00Z", 90_000),
            ("2026-11-29T04:59:00Z", 90_000),
            ("2026-11-29T05:00:00Z", 220_000),
            ("2026-11-29T21:00:00Z", 220_000),
        ] {
            assert_eq!(tariff.at(utc(time)), Price(price), "{time}");
        }
    }

    #[test]
    fn two_weeks_over_the_change_of_clocks_agree_with_each_minute() {
        let tariff = tariff(vec![
            Hours { days: WORKDAYS, from: 6 * 60 + 15, to: 9 * 60, price: Price(300_000) },
            Hours { days: [true; 7], from: 23 * 60, to: 5 * 60, price: Price(100_000) },
        ]);
        let (from, until) = (utc("2026-10-20T00:00:00Z"), utc("2026-11-03T00:00:00Z"));
        let series = tariff.series(from, until);
        assert!(
            (0..14 * 24 * 60)
                .map(|minute| from + TimeDelta::minutes(minute))
                .all(|time| { series.at(time).map(|span| span.value) == Some(tariff.at(time)) })
        );
        assert!(series.spans().len() < 14 * 6);
    }
}
