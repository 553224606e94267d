//! Quantities as whole numbers of the finest step their source reports, so that sums are exact in any order.
//!
//! Only products that mean something exist: watts × time, joules × intensity. Rounding happens once, there.

use crate::seconds::Seconds;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul};
use std::str::FromStr;
use std::time::Duration;

/// Milliwatts in a watt, millijoules in a joule, micrograms in a milligram.
const MILLI: u64 = 1_000;

/// Millijoules in a kilowatt-hour.
pub const MILLIJOULES_PER_KWH: u64 = 3_600_000_000;

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $per_base:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// Nothing of it.
            pub const ZERO: Self = Self(0);

            /// The value in its base unit, for people and JSON. Exact below 2^52 steps.
            #[must_use]
            pub fn in_base(self) -> f64 {
                self.0 as f64 / $per_base as f64
            }

            /// From a value in the base unit, rounded once to the finest step; negative and non-finite values give `None`.
            #[must_use]
            pub fn from_base(value: f64) -> Option<Self> {
                let steps = (value * $per_base as f64).round();
                (steps.is_finite() && steps >= 0.0 && steps < u64::MAX as f64).then_some(Self(steps as u64))
            }

            /// The difference, or zero where `other` is larger.
            #[must_use]
            pub const fn saturating_sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }

            /// This quantity times the ratio `part / whole`, rounded half up. A `whole` of zero gives zero.
            #[must_use]
            pub fn scaled(self, part: u64, whole: u64) -> Self {
                if whole == 0 {
                    return Self::ZERO;
                }
                let (value, whole) = (u128::from(self.0) * u128::from(part), u128::from(whole));
                Self(u64::try_from((value + whole / 2) / whole).unwrap_or(u64::MAX))
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }
        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }
        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                iter.fold(Self::ZERO, Add::add)
            }
        }
    };
}

quantity!(
    /// Power; whole milliwatts.
    Watts,
    MILLI
);
quantity!(
    /// Energy; whole millijoules. A `u64` lasts a 10 MW site 58 years.
    Joules,
    MILLI
);
quantity!(
    /// Emissions in grams of carbon dioxide equivalent; whole micrograms.
    GramsCo2e,
    1_000_000u64
);
quantity!(
    /// Carbon intensity of electricity; whole milligrams of CO2e per kilowatt-hour (the base unit is g/kWh).
    Intensity,
    MILLI
);

/// Price of electricity in thousandths of a currency unit per megawatt-hour. Negative prices are prices. The currency
/// stands beside the series; prices of two currencies never meet in one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Price(pub i64);

impl Price {
    /// Currency units per megawatt-hour.
    #[must_use]
    pub fn in_base(self) -> f64 {
        self.0 as f64 / MILLI as f64
    }

    /// From currency units per megawatt-hour, rounded once, half away from zero; non-finite values give `None`.
    #[must_use]
    pub fn from_base(value: f64) -> Option<Self> {
        let steps = (value * MILLI as f64).round();
        (steps.abs() < 9e15).then_some(Self(steps as i64))
    }
}

/// A clock frequency in whole megahertz, as drivers count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Megahertz(pub u32);

impl fmt::Display for Megahertz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MHz", self.0)
    }
}

/// An amount of money in billionths of a currency unit; negative where somebody is paid to take electricity. Its currency
/// stands beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money(pub i64);

impl Money {
    /// From currency units; `None` if it is not finite or beyond what this type holds.
    #[must_use]
    pub fn from_base(units: f64) -> Option<Self> {
        let billionths = (units * 1e9).round();
        (billionths.abs() < i64::MAX as f64).then_some(Self(billionths as i64))
    }

    /// Currency units.
    #[must_use]
    pub fn in_base(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The share by which this is less than `other`; `None` where that is nothing positive to save from.
    #[must_use]
    pub fn less_than(self, other: Self) -> Option<f64> {
        (other.0 > 0).then(|| (other.in_base() - self.in_base()) / other.in_base())
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Mul<Price> for Joules {
    type Output = Money;

    /// What that energy costs at a price, rounded half away from zero: mJ × thousandths per MWh is a billionth by 3.6 × 10⁶.
    fn mul(self, price: Price) -> Money {
        const PER_BILLIONTH: i128 = 3_600_000;
        let product = i128::from(self.0) * i128::from(price.0);
        let half = PER_BILLIONTH / 2 * product.signum();
        let cost = (product + half) / PER_BILLIONTH;
        Money(i64::try_from(cost).unwrap_or(if cost < 0 { i64::MIN } else { i64::MAX }))
    }
}

impl Joules {
    /// Kilowatt-hours, for people.
    #[must_use]
    pub fn in_kwh(self) -> f64 {
        self.0 as f64 / MILLIJOULES_PER_KWH as f64
    }

    /// This energy taken at a place with the given power usage effectiveness: what the facility draws for it.
    #[must_use]
    pub fn at_facility(self, pue: Pue) -> Self {
        self.scaled(u64::from(pue.0), 1_000)
    }
}

impl Watts {
    /// From whole watts.
    #[must_use]
    pub const fn whole(watts: u64) -> Self {
        Self(watts * MILLI)
    }
}

impl Intensity {
    /// From whole grams per kilowatt-hour.
    #[must_use]
    pub const fn grams(grams_per_kwh: u64) -> Self {
        Self(grams_per_kwh * MILLI)
    }

    /// The absolute word people read for it: below 50 very low, 150 low, 300 moderate, 500 high, above very high.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self.0 / MILLI {
            0..50 => "very low",
            50..150 => "low",
            150..300 => "moderate",
            300..500 => "high",
            _ => "very high",
        }
    }
}

impl Mul<Duration> for Watts {
    type Output = Joules;
    /// Rounded half up to a millijoule.
    fn mul(self, time: Duration) -> Joules {
        let microjoules = u128::from(self.0) * time.as_nanos() / 1_000_000;
        Joules(u64::try_from((microjoules + 500) / 1_000).unwrap_or(u64::MAX))
    }
}

impl Mul<Seconds> for Watts {
    type Output = Joules;
    fn mul(self, time: Seconds) -> Joules {
        Joules(self.0.saturating_mul(time.0))
    }
}

impl Mul<Intensity> for Joules {
    type Output = GramsCo2e;
    /// Rounded half up to a microgram: mJ × mg/kWh ÷ 3.6e9 mJ/kWh × 1000 µg/mg.
    fn mul(self, intensity: Intensity) -> GramsCo2e {
        const DIVISOR: u128 = MILLIJOULES_PER_KWH as u128 / MILLI as u128;
        let product = u128::from(self.0) * u128::from(intensity.0);
        GramsCo2e(u64::try_from((product + DIVISOR / 2) / DIVISOR).unwrap_or(u64::MAX))
    }
}

/// Power usage effectiveness in thousandths: facility energy per energy of the computers, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pue(u32);

impl Pue {
    /// The value of a site that stated none. Reports then say *not stated*.
    pub const ONE: Self = Self(1_000);

    /// From a ratio between 1 and 10; anything else gives `None`.
    #[must_use]
    pub fn new(ratio: f64) -> Option<Self> {
        (1.0..=10.0).contains(&ratio).then(|| Self((ratio * 1_000.0).round() as u32))
    }

    /// The ratio.
    #[must_use]
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 1_000.0
    }
}

impl Default for Pue {
    fn default() -> Self {
        Self::ONE
    }
}

/// A share of a whole in thousandths of a percent: `10%` is 10 000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percent(pub u32);

impl Percent {
    /// From whole percent.
    #[must_use]
    pub const fn whole(percent: u32) -> Self {
        Self(percent * 1_000)
    }

    /// The ratio: `10%` is 0.1.
    #[must_use]
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 100_000.0
    }
}

/// Memory; whole bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// GPUs held times seconds held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GpuSeconds(pub u64);

impl GpuSeconds {
    /// GPU-hours, for people.
    #[must_use]
    pub fn in_hours(self) -> f64 {
        self.0 as f64 / 3_600.0
    }
}

/// Why a quantity written by a person could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// A bare number where a unit belongs.
    #[error("`{given}` has no unit (try {example})")]
    NoUnit { given: String, example: &'static str },
    /// A unit that does not measure this.
    #[error("`{unit}` is not a unit of {what} (try {example})")]
    WrongUnit { unit: String, what: &'static str, example: &'static str },
    /// Not a number at all, negative, or beyond what can be held.
    #[error("`{given}` is not {what} (try {example})")]
    NotANumber { given: String, what: &'static str, example: &'static str },
}

/// Splits "20 kW" in its number and its unit.
fn split(text: &str, what: &'static str, example: &'static str) -> Result<(f64, String), QuantityError> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 =
        number.parse().map_err(|_| QuantityError::NotANumber { given: text.to_owned(), what, example })?;
    let unit = unit.trim();
    if unit.is_empty() {
        return Err(QuantityError::NoUnit { given: text.to_owned(), example });
    }
    Ok((number, unit.to_owned()))
}

fn read(text: &str, what: &'static str, example: &'static str, units: &[(&str, f64)]) -> Result<u64, QuantityError> {
    let (number, unit) = split(text, what, example)?;
    let Some((_, steps)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(QuantityError::WrongUnit { unit, what, example });
    };
    let value = (number * steps).round();
    if value.is_finite() && value < 1.8e19 {
        Ok(value as u64)
    } else {
        Err(QuantityError::NotANumber { given: text.to_owned(), what, example })
    }
}

impl FromStr for Watts {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        read(text, "power", "\"250 W\"", &[("W", 1e3), ("kW", 1e6), ("MW", 1e9)]).map(Self)
    }
}

impl FromStr for Bytes {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        const UNITS: [(&str, f64); 9] = [
            ("B", 1.0),
            ("KiB", 1024.0),
            ("MiB", 1_048_576.0),
            ("GiB", 1_073_741_824.0),
            ("TiB", 1_099_511_627_776.0),
            ("kB", 1e3),
            ("MB", 1e6),
            ("GB", 1e9),
            ("TB", 1e12),
        ];
        read(text, "memory", "\"512 GiB\"", &UNITS).map(Self)
    }
}

impl FromStr for Percent {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let steps = read(text, "a share", "\"10%\"", &[("%", 1e3)])?;
        u32::try_from(steps).map(Self).map_err(|_| QuantityError::NotANumber {
            given: text.to_owned(),
            what: "a share",
            example: "\"10%\"",
        })
    }
}

impl FromStr for GramsCo2e {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        read(text, "a mass of CO2e", "\"164 kg\"", &[("g", 1e6), ("kg", 1e9), ("t", 1e12)]).map(Self)
    }
}

impl FromStr for Intensity {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        read(text, "carbon intensity", "\"400 g/kWh\"", &[("g/kWh", 1e3), ("kg/MWh", 1e3)]).map(Self)
    }
}

/// Three significant digits and the unit that suits the size.
///
/// Each unit comes with the least value (in the base unit) it is used for and its size in the base unit.
fn three_digits(value: f64, units: &[(f64, f64, &str)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (_, size, unit) = units.iter().find(|(least, ..)| value >= *least).or(units.last()).expect("units are listed");
    let shown = value / size;
    let digits = if shown >= 99.95 || shown == 0.0 {
        0
    } else if shown >= 9.995 {
        1
    } else {
        2
    };
    write!(f, "{shown:.digits$} {unit}")
}

impl fmt::Display for Watts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        three_digits(self.in_base(), &[(1e6, 1e6, "MW"), (1e4, 1e3, "kW"), (0.0, 1.0, "W")], f)
    }
}

impl fmt::Display for Joules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let watt_hours = self.in_kwh() * 1e3;
        three_digits(watt_hours, &[(1e6, 1e6, "MWh"), (1e2, 1e3, "kWh"), (0.1, 1.0, "Wh"), (0.0, 1e-3, "mWh")], f)
    }
}

impl fmt::Display for GramsCo2e {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        three_digits(self.in_base(), &[(1e6, 1e6, "t"), (1e3, 1e3, "kg"), (0.1, 1.0, "g"), (0.0, 1e-3, "mg")], f)
    }
}

impl fmt::Display for Intensity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} g/kWh", (self.0 + MILLI / 2) / MILLI)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KIB: f64 = 1024.0;
        const MIB: f64 = KIB * KIB;
        let units = [(MIB * MIB, MIB * MIB, "TiB"), (MIB * KIB, MIB * KIB, "GiB"), (MIB, MIB, "MiB"), (0.0, 1.0, "B")];
        three_digits(self.0 as f64, &units, f)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 1_000.0)
    }
}
