//! Lengths of time as people write them: `90s`, `15 min`, `4h30m`, `3d`.

use crate::units::QuantityError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

/// A length of time in whole seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds(pub u64);

const WHAT: &str = "a length of time";
const EXAMPLE: &str = "\"4h30m\"";
/// The longest length anybody may ask for: 10 years. Beyond it times leave the calendar.
const LONGEST: u64 = 10 * 366 * 86_400;

impl Seconds {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From whole minutes.
    #[must_use]
    pub const fn minutes(minutes: u64) -> Self {
        Self(minutes * 60)
    }

    /// From whole hours.
    #[must_use]
    pub const fn hours(hours: u64) -> Self {
        Self(hours * 3_600)
    }

    /// As a calendar difference.
    #[must_use]
    pub fn delta(self) -> chrono::TimeDelta {
        chrono::TimeDelta::seconds(i64::try_from(self.0.min(LONGEST * 100)).expect("bounded"))
    }

    /// From `from` to `until`, rounded down; zero where `until` is earlier.
    #[must_use]
    pub fn between(from: chrono::DateTime<chrono::Utc>, until: chrono::DateTime<chrono::Utc>) -> Self {
        Self(u64::try_from((until - from).num_seconds()).unwrap_or(0))
    }
}

impl Add for Seconds {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Seconds {
    type Output = Self;
    /// Never below zero.
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl From<Seconds> for std::time::Duration {
    fn from(seconds: Seconds) -> Self {
        Self::from_secs(seconds.0)
    }
}

impl FromStr for Seconds {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let wrong = || QuantityError::NotANumber { given: text.to_owned(), what: WHAT, example: EXAMPLE };
        let mut rest = text.trim();
        let (mut total, mut last_size) = (0u64, u64::MAX);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
            let (number, tail) = rest.split_at(digits);
            let tail = tail.trim_start();
            let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, after) = tail.split_at(letters);
            let number: f64 = number.parse().map_err(|_| wrong())?;
            let size: u64 = match unit {
                "s" | "sec" => 1,
                "m" | "min" => 60,
                "h" => 3_600,
                "d" => 86_400,
                "" => return Err(QuantityError::NoUnit { given: text.to_owned(), example: EXAMPLE }),
                other => {
                    return Err(QuantityError::WrongUnit { unit: other.to_owned(), what: WHAT, example: EXAMPLE });
                }
            };
            if size >= last_size {
                return Err(wrong()); // "30m4h" or "1h1h": more likely a slip than a wish
            }
            last_size = size;
            let part = (number * size as f64).round();
            if !part.is_finite() || part > LONGEST as f64 {
                return Err(wrong());
            }
            total += part as u64;
            rest = after.trim_start();
        }
        if last_size == u64::MAX || total > LONGEST { Err(wrong()) } else { Ok(Self(total)) }
    }
}

/// As in running text: `9 h 05 m`, `4 m 10 s`, `3 d 2 h`.
impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (d, h, m, s) = (self.0 / 86_400, self.0 / 3_600 % 24, self.0 / 60 % 60, self.0 % 60);
        match (d, h, m, s) {
            (0, 0, 0, s) => write!(f, "{s} s"),
            (0, 0, m, 0) => write!(f, "{m} m"),
            (0, 0, m, s) => write!(f, "{m} m {s:02} s"),
            (0, h, 0, _) => write!(f, "{h} h"),
            (0, h, m, _) => write!(f, "{h} h {m:02} m"),
            (d, 0, ..) => write!(f, "{d} d"),
            (d, h, ..) => write!(f, "{d} d {h} h"),
        }
    }
}
