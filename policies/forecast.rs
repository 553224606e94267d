//! What a zone's carbon intensity will be, from nothing but its own history up to the moment of asking.
//!
//! A [`History`] ends where it was told to end, so no forecast can see the future. [`forecast`] answers with the learned
//! rule where there is history enough to learn from, else with [`damp_long`], else with yesterday, else not at all. It
//! knows no zone, no weather and no calendar but the days of the week.

mod damp;
mod guard;
mod history;
mod learned;
mod scenarios;
mod skill;
#[cfg(test)]
mod tests;

pub use damp::damp_long;
pub use guard::Guard;
pub use history::History;
pub use learned::learned;
pub use scenarios::{Bands, Scenarios};
pub use skill::{Bucket, Skill};

use chrono::TimeDelta;
use neap_model::grid::{Grade, Series, Span};
use neap_model::units::Intensity;

/// Hours that a forecast reaches ahead.
pub const HORIZON: usize = 96;

/// Days of history before the learned rule is asked.
const LEARNS_FROM: usize = 60;

/// Name and version of the rules, for the origin of a series.
pub const NAME: &str = "neap/learned 1.3";

/// The intensity of the [`HORIZON`] hours from the end of the history on, in g/kWh. `None` with less than a day of history.
#[must_use]
pub fn hourly(history: &History) -> Option<Vec<f64>> {
    if history.known_days() >= LEARNS_FROM
        && let Some(values) = learned(history)
    {
        return Some(values);
    }
    damp_long(history)
}

/// The same as a series of hours, grade `forecast`.
#[must_use]
pub fn forecast(history: &History) -> Series<Intensity> {
    let values = hourly(history).unwrap_or_default();
    Series::new(values.into_iter().enumerate().filter_map(|(hour, value)| {
        let from = history.end() + TimeDelta::hours(i64::try_from(hour).ok()?);
        let value = Intensity::from_base(value)?;
        Some(Span { from, until: from + TimeDelta::hours(1), value, grade: Grade::Forecast })
    }))
}
