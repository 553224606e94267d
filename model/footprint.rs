//! Energy spans × intensity spans → emissions. The only carbon formula.
//!
//! Each energy span is spread evenly over its time and meets the intensity of each part of that time;
//! rounding happens once per part.

use crate::grid::{Grade, Series};
use crate::units::{GramsCo2e, Intensity, Joules};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Energy taken between two instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnergyOver {
    /// First instant.
    pub from: DateTime<Utc>,
    /// Last instant; equal to `from` for energy that has no length.
    pub until: DateTime<Utc>,
    /// Facility energy.
    pub energy: Joules,
}

/// Emissions, and what they rest on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// Facility energy.
    pub energy: Joules,
    /// Emissions of the covered energy.
    pub emits: GramsCo2e,
    /// Energy that met no intensity at all: not in `emits`.
    pub uncovered: Joules,
    /// The part of the energy that met an intensity of grade `Measured`.
    pub measured: Joules,
    /// The worst grade that took part; `None` where nothing did.
    pub worst: Option<Grade>,
}

impl Footprint {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            energy: self.energy + other.energy,
            emits: self.emits + other.emits,
            uncovered: self.uncovered + other.uncovered,
            measured: self.measured + other.measured,
            worst: self.worst.max(other.worst),
        }
    }

    /// Mean intensity over the covered energy; `None` where none was covered.
    #[must_use]
    pub fn intensity(&self) -> Option<Intensity> {
        let covered = self.energy.saturating_sub(self.uncovered);
        (covered.0 > 0).then(|| {
            let mg_per_kwh = u128::from(self.emits.0) * 3_600_000 / u128::from(covered.0);
            Intensity(u64::try_from(mg_per_kwh).unwrap_or(u64::MAX))
        })
    }
}

/// What energy emits at the intensities of its time moved by `shift`: zero for what happened, negative for *had it run
/// earlier*.
///
/// `E` is spread evenly over its span; for each intensity span it overlaps, `E × overlap / length × intensity`
/// (location-based operational emissions, GHG Protocol Scope 2; SCI's `O = E × I` summed over intervals, ISO/IEC 21031).
#[must_use]
pub fn footprint(spans: &[EnergyOver], series: &Series, shift: TimeDelta) -> Footprint {
    spans.iter().map(|span| of_one(span, series, shift)).fold(Footprint::default(), Footprint::and)
}

fn of_one(span: &EnergyOver, series: &Series, shift: TimeDelta) -> Footprint {
    let (from, until) = (span.from + shift, (span.until + shift).max(span.from + shift + TimeDelta::milliseconds(1)));
    let whole = millis(until - from);
    let mut result = Footprint { energy: span.energy, ..Footprint::default() };
    let (mut passed, mut given) = (0, Joules::ZERO);
    for part in series.within(from, until) {
        passed += millis(part.until - part.from);
        // Cumulative shares, so that the parts add up to the whole exactly.
        let upto = span.energy.scaled(passed, whole);
        let energy = upto.saturating_sub(given);
        given = upto;
        result.emits += energy * part.value;
        result.worst = result.worst.max(Some(part.grade));
        if part.grade == Grade::Measured {
            result.measured += energy;
        }
    }
    result.uncovered = span.energy.saturating_sub(given);
    result
}

fn millis(delta: TimeDelta) -> u64 {
    u64::try_from(delta.num_milliseconds()).unwrap_or(0)
}

/// A comparison is a pair, not a difference: the difference may be negative and is then printed so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Savings {
    /// What this emits.
    pub emits: GramsCo2e,
    /// What running at once would have emitted.
    pub instead_of: GramsCo2e,
}

impl Savings {
    /// Grams saved; negative where it was worse.
    #[must_use]
    pub fn grams(&self) -> f64 {
        self.instead_of.in_base() - self.emits.in_base()
    }

    /// Share saved of what it is compared with; `None` where that is zero.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        (self.instead_of.0 > 0).then(|| self.grams() / self.instead_of.in_base())
    }
}
