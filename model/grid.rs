//! Series of carbon intensity over time: spans that each say how well they are known.
//!
//! A hole stays a hole: nothing here fills, guesses or turns missing into zero.

use crate::units::Intensity;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

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
}

/// One value over a half-open time `[from, until)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First instant, included.
    pub from: DateTime<Utc>,
    /// Last instant, excluded.
    pub until: DateTime<Utc>,
    /// The value.
    pub value: Intensity,
    /// How well it is known.
    pub grade: Grade,
}

/// A mean over a window, and how much of the window it speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mean {
    /// Time-weighted mean over the covered part.
    pub value: Intensity,
    /// Time covered by spans.
    pub covered: TimeDelta,
    /// The worst grade that took part.
    pub worst: Grade,
}

/// Sorted, disjoint, half-open spans; gaps are holes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    spans: Vec<Span>,
}

impl Series {
    /// Sorts by start and cuts overlaps: where two spans claim a time, the one given later wins. Empty spans vanish.
    #[must_use]
    pub fn new(spans: impl IntoIterator<Item = Span>) -> Self {
        let mut series = Self::default();
        for span in spans {
            if span.from < span.until {
                series.put(span);
            }
        }
        series
    }

    fn put(&mut self, span: Span) {
        if self.spans.last().is_none_or(|last| last.until <= span.from) {
            self.spans.push(span);
            return;
        }
        let mut kept = Vec::with_capacity(self.spans.len() + 2);
        for old in self.spans.drain(..) {
            if old.from < span.from {
                kept.push(Span { until: old.until.min(span.from), ..old });
            }
            if old.until > span.until {
                kept.push(Span { from: old.from.max(span.until), ..old });
            }
        }
        kept.push(span);
        kept.sort_by_key(|s| s.from);
        self.spans = kept;
    }

    /// The spans, in order.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Whether there is no span at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The span that covers `time`.
    #[must_use]
    pub fn at(&self, time: DateTime<Utc>) -> Option<&Span> {
        let next = self.spans.partition_point(|s| s.from <= time);
        self.spans[..next].last().filter(|s| time < s.until)
    }

    /// The spans that touch `[from, until)`, cut to it.
    pub fn within(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> impl Iterator<Item = Span> + '_ {
        let first = self.spans.partition_point(|s| s.until <= from);
        self.spans[first..].iter().take_while(move |s| s.from < until).map(move |s| Span {
            from: s.from.max(from),
            until: s.until.min(until),
            ..*s
        })
    }

    /// The part of the series inside `[from, until)`.
    #[must_use]
    pub fn trim(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        Self { spans: self.within(from, until).collect() }
    }

    /// `self` where it speaks, `lower` where it does not; each span keeps its grade.
    #[must_use]
    pub fn over(&self, lower: &Self) -> Self {
        let mut spans = Vec::with_capacity(self.spans.len() + lower.spans.len());
        let mut upper = self.spans.iter().peekable();
        for &low in &lower.spans {
            let mut from = low.from;
            while let Some(&&top) = upper.peek() {
                if top.from >= low.until {
                    break;
                }
                if top.from > from {
                    spans.push(Span { from, until: top.from, ..low });
                }
                from = from.max(top.until);
                if top.until > low.until {
                    break;
                }
                spans.push(top);
                upper.next();
            }
            if from < low.until {
                spans.push(Span { from, ..low });
            }
        }
        spans.extend(upper);
        spans.sort_by_key(|s| s.from);
        Self { spans }
    }

    /// The parts of `[from, until)` that no span covers.
    #[must_use]
    pub fn holes(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        let (mut holes, mut at) = (Vec::new(), from);
        for span in self.within(from, until) {
            if span.from > at {
                holes.push((at, span.from));
            }
            at = span.until;
        }
        if at < until {
            holes.push((at, until));
        }
        holes
    }

    /// Time-weighted mean over `[from, until)`; `None` where nothing is known. `covered` tells of holes.
    #[must_use]
    pub fn mean(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Option<Mean> {
        let (mut sum, mut time, mut worst) = (0i128, 0i128, Grade::Measured);
        for span in self.within(from, until) {
            let millis = i128::from((span.until - span.from).num_milliseconds());
            sum += millis * i128::from(span.value.0);
            time += millis;
            worst = worst.max(span.grade);
        }
        if time == 0 {
            return None;
        }
        Some(Mean {
            value: Intensity(u64::try_from((sum + time / 2) / time).expect("a mean lies between the extremes")),
            covered: TimeDelta::milliseconds(i64::try_from(time).expect("a window fits the calendar")),
            worst,
        })
    }

    /// The end of the last span.
    #[must_use]
    pub fn end(&self) -> Option<DateTime<Utc>> {
        self.spans.last().map(|s| s.until)
    }
}

/// A zone's curve as the scheduler composed it from its sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Curve {
    /// The composed series: it covers the whole planning horizon, whatever the feeds did.
    pub series: Series,
    /// The sources that took part, best tier first.
    pub origins: Vec<Origin>,
}
