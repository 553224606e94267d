//! When an interval of an event holds: ISO 8601 durations, starts that mean "now", and random shifts of them.
//!
//! Pure. A duration that is no duration is an error; one of thousands of years means until the event is removed.

use super::super::schedule::{hashed_text, mixed};
use super::super::wire::{plain, time};
use chrono::{DateTime, Datelike, Months, TimeDelta, Utc};
use serde::Deserialize;

/// More than that is for ever, in years: `P9999Y` stands for it.
const FOREVER: u32 = 1_000;

/// How long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// Months by the calendar, and time.
    For(u32, TimeDelta),
    /// Until it is removed.
    Forever,
}

impl Lasts {
    /// The instant so long after another; `None`: never.
    #[must_use]
    pub fn after(self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::For(months, time) => from.checked_add_months(Months::new(months))?.checked_add_signed(time),
            Self::Forever => None,
        }
    }

    /// Reads `P1DT2H30M`.
    ///
    /// # Errors
    /// It is no duration.
    pub fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{}` is no duration", plain(text));
        let body = text.trim().strip_prefix('P').filter(|body| body.len() < 60).ok_or_else(wrong)?;
        let (days, clock) = match body.split_once('T') {
            Some((days, clock)) if !clock.is_empty() => (days, clock),
            Some(_) => return Err(wrong()),
            None => (body, ""),
        };
        if days.is_empty() && clock.is_empty() {
            return Err(wrong());
        }
        let (mut months, mut millis) = (0f64, 0f64);
        let mut part = |text: &str, units: &[(char, f64, f64)]| -> Option<()> {
            let (mut rest, mut next) = (text, units);
            while !rest.is_empty() {
                let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
                let number: f64 = rest[..end].parse().ok()?;
                let unit = rest[end..].chars().next()?;
                let place = next.iter().position(|(name, ..)| *name == unit)?;
                let (_, by_months, by_millis) = next[place];
                // A part of a month is no time.
                if by_months > 0.0 && number.fract() != 0.0 {
                    return None;
                }
                months += number * by_months;
                millis += number * by_millis;
                (rest, next) = (&rest[end + unit.len_utf8()..], &next[place + 1..]);
            }
            Some(())
        };
        let day = 86_400_000.0;
        part(days, &[('Y', 12.0, 0.0), ('M', 1.0, 0.0), ('W', 0.0, 7.0 * day), ('D', 0.0, day)]).ok_or_else(wrong)?;
        part(clock, &[('H', 0.0, 3_600_000.0), ('M', 0.0, 60_000.0), ('S', 0.0, 1_000.0)]).ok_or_else(wrong)?;
        if months >= f64::from(FOREVER * 12) || millis >= f64::from(FOREVER) * 365.0 * day {
            return Ok(Self::Forever);
        }
        Ok(Self::For(months as u32, TimeDelta::milliseconds(millis.round() as i64)))
    }

    fn is_zero(self) -> bool {
        self == Self::For(0, TimeDelta::zero())
    }
}

/// `intervalPeriod`, of an event or of one of its intervals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Period {
    start: Option<String>,
    duration: Option<String>,
    randomize_start: Option<String>,
}

/// When something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First instant.
    pub from: DateTime<Utc>,
    /// End, excluded; `None`: until it is removed.
    pub until: Option<DateTime<Utc>>,
}

/// A period, read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct When {
    start: Option<Start>,
    lasts: Option<Lasts>,
    random: Option<TimeDelta>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// Year 1: when it is seen first.
    Now,
    At(DateTime<Utc>),
}

impl Period {
    /// Reads it.
    ///
    /// # Errors
    /// A start that is no time with a zone, a duration that is none or empty.
    pub fn read(&self) -> Result<When, String> {
        let start = self.start.as_deref().map(|text| {
            // Also without a time of day, and whatever the zone makes of it.
            if text.trim_start().starts_with("0001-01-0") || text.trim_start().starts_with("0000-12-31") {
                return Ok(Start::Now);
            }
            let at = time(text, false).ok_or_else(|| format!("`{}` is no time with a zone", plain(text)))?;
            // Instants that plans can be reckoned with.
            if (1_970..3_000).contains(&at.year()) {
                Ok(Start::At(at))
            } else {
                Err(format!("it starts in {}", at.year()))
            }
        });
        let lasts = self.duration.as_deref().map(Lasts::read).transpose()?;
        if lasts.is_some_and(Lasts::is_zero) {
            return Err("it lasts no time at all".to_owned());
        }
        let random = match self.randomize_start.as_deref().map(Lasts::read).transpose()? {
            None => None,
            Some(Lasts::For(0, time)) if time <= TimeDelta::days(7) => Some(time),
            Some(_) => return Err("its start may be shifted by more than a week".to_owned()),
        };
        Ok(When { start: start.transpose()?, lasts, random })
    }
}

/// The spans of an event's intervals: each from its own period, where it has one; else from the event's, one after the other.
/// `first` is when the event was seen first, `seed` names what is drawn.
///
/// # Errors
/// An interval that follows one without an end.
pub fn spans(event: When, intervals: &[Option<When>], first: DateTime<Utc>, seed: &str) -> Result<Vec<Span>, String> {
    let shift = |random: Option<TimeDelta>, seed: &str| match random.map(|most| most.num_seconds().unsigned_abs()) {
        None | Some(0) => TimeDelta::zero(),
        Some(most) => TimeDelta::seconds(i64::try_from(mixed(hashed_text(seed)) % (most + 1)).unwrap_or(0)),
    };
    let begin = |start: Start| match start {
        Start::Now => first,
        Start::At(at) => at,
    };
    let common = shift(event.random, seed);
    // Where the next interval without a start of its own begins, before any shift.
    let mut next = Some(event.start.map_or(first, begin));
    let mut all = Vec::with_capacity(intervals.len());
    for (place, own) in intervals.iter().enumerate() {
        let own = own.unwrap_or_default();
        let from = match (own.start.map(begin), next) {
            (Some(from), _) | (None, Some(from)) => from,
            (None, None) => return Err(format!("interval {place} follows one without an end")),
        };
        let until = own.lasts.or(event.lasts).and_then(|lasts| lasts.after(from));
        next = until;
        let shift = own.random.map_or(common, |random| shift(Some(random), &format!("{seed}/{place}")));
        let moved = |at: DateTime<Utc>| at.checked_add_signed(shift).unwrap_or(at);
        all.push(Span { from: moved(from), until: until.map(moved) });
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
