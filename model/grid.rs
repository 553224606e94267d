//! Series of carbon intensity over time: spans that each say how well they are known.
//!
//! A hole stays a hole: nothing here fills, guesses or turns missing into zero.

mod series;

pub use series::{Mean, Quantity, Series, Span};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How well a value is known, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Reported for that time by its source.
    Measured,
    /// Imputed by a provider, filled over a short hole, or rescaled by us.
    Estimated,
    /// Said about a time that had not come yet.
    Forecast,
    /// Annual mean times the usual shape of that month and hour.
    Climatology,
    /// Annual mean, flat. It shifts nothing and yields no claimed saving.
    Static,
}

impl Grade {
    /// Whether a plan may wait for something on the strength of it.
    #[must_use]
    pub const fn may_shift(self) -> bool {
        !matches!(self, Self::Static)
    }

    /// The word used in every output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Estimated => "estimated",
            Self::Forecast => "forecast",
            Self::Climatology => "climatology",
            Self::Static => "static",
        }
    }
}

/// Average of all generation, or of what one more kilowatt-hour would take. Never compared with one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Of all generation.
    #[default]
    Average,
    /// Of one more kilowatt-hour.
    Marginal,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Building, fuel and operation.
    #[default]
    Lifecycle,
    /// The stack only.
    Direct,
    /// The source does not say.
    Unstated,
}

/// Whose generation is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accounting {
    /// What the zone generates.
    Production,
    /// What the zone uses, imports included.
    Consumption,
    /// The source does not say.
    #[default]
    Unstated,
}

/// What a series measures. Two series with unequal bases are different things.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Basis {
    /// Average or marginal.
    pub kind: Kind,
    /// Life cycle or direct.
    pub scope: Scope,
    /// Production or consumption.
    pub accounting: Accounting,
    /// Name of the factor set or marginal model, where there is one.
    pub factors: Option<String>,
}

impl Basis {
    /// Whether values of the two may stand in one curve, or be compared. Who does not say whose generation is counted is
    /// believed to count the same.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.kind == other.kind && self.scope == other.scope && self.factors == other.factors
    }
}

/// What decides whether two are alike: `average lifecycle`, `marginal direct (watttime 2023-03-01)`.
impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == Kind::Average { "average" } else { "marginal" };
        let scope = match self.scope {
            Scope::Lifecycle => "lifecycle",
            Scope::Direct => "direct",
            Scope::Unstated => "of no stated scope",
        };
        match &self.factors {
            Some(factors) => write!(f, "{kind} {scope} ({factors})"),
            None => write!(f, "{kind} {scope}"),
        }
    }
}

/// Where a series comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The feed, as configured or built in: `file`, `table`.
    pub feed: String,
    /// Our name of the zone.
    pub zone: String,
    /// What it measures.
    pub basis: Basis,
    /// When the source issued it, where it says so.
    pub issued: Option<DateTime<Utc>>,
    /// When we read it.
    pub fetched: DateTime<Utc>,
    /// The line that its terms ask us to show.
    pub credit: Option<String>,
    /// Anything a reader of the figures should know.
    pub note: Option<String>,
    /// Its terms forbid to show its values as a series; sums made from them are ours.
    #[serde(default)]
    pub private: bool,
    /// How far its forecasts of the next day were off lately: mean absolute error.
    #[serde(default)]
    pub usual_error: Option<crate::units::Intensity>,
}

/// A zone's curve as the scheduler composed it from its sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Curve {
    /// The composed series: it covers the whole planning horizon, whatever the feeds did.
    pub series: Series,
    /// The sources that took part, best tier first.
    pub origins: Vec<Origin>,
    /// Whose the values are: of each feed from that instant until the next one's. Of one source alone nobody needs to say it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub whose: Vec<(DateTime<Utc>, String)>,
}

impl Curve {
    /// The feed that the value of that instant comes from, where that is known.
    #[must_use]
    pub fn feed_at(&self, at: DateTime<Utc>) -> Option<&str> {
        let before = self.whose.partition_point(|(from, _)| *from <= at);
        let said = before.checked_sub(1).map(|place| &self.whose[place].1);
        let only = self.origins.first().filter(|_| self.origins.len() == 1).map(|origin| &origin.feed);
        said.or(only).map(String::as_str)
    }
}

/// A zone's prices, as the feed said them: no taxes, fees or tariffs are added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceCurve {
    /// By time, in thousandths of a currency unit per MWh.
    pub series: Series<crate::units::Price>,
    /// The currency, as its source names it: `EUR`.
    pub currency: String,
    /// Where they come from.
    pub origin: Origin,
}
