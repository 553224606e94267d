//! Values over time: sorted, disjoint, half-open spans, each with how well it is known. A hole stays a hole.

use super::Grade;
use crate::units::{Intensity, Price};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// What a series may hold: a whole number of finest steps. Series of different quantities are different types.
pub trait Quantity: Copy + PartialEq {
    /// The value in its finest steps.
    fn steps(self) -> i64;
    /// From finest steps; what lies outside of the quantity's range becomes the nearest value inside.
    fn of(steps: i64) -> Self;
}

impl Quantity for Intensity {
    fn steps(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
    fn of(steps: i64) -> Self {
        Self(u64::try_from(steps).unwrap_or(0))
    }
}

impl Quantity for Price {
    fn steps(self) -> i64 {
        self.0
    }
    fn of(steps: i64) -> Self {
        Self(steps)
    }
}

/// One value over a half-open time `[from, until)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span<Q = Intensity> {
    /// First instant, included.
    pub from: DateTime<Utc>,
    /// Last instant, excluded.
    pub until: DateTime<Utc>,
    /// The value.
    pub value: Q,
    /// How well it is known.
    pub grade: Grade,
}

/// A mean over a window, and how much of the window it speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mean<Q = Intensity> {
    /// Time-weighted mean over the covered part, rounded half up.
    pub value: Q,
    /// Time covered by spans.
    pub covered: TimeDelta,
    /// The worst grade that took part.
    pub worst: Grade,
}

/// Sorted, disjoint, half-open spans; gaps are holes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series<Q = Intensity> {
    spans: Vec<Span<Q>>,
}

impl<Q: Quantity> Series<Q> {
    /// Sorts by start and cuts overlaps: where two spans claim a time, the one given later wins. Empty spans vanish.
    #[must_use]
    pub fn new(spans: impl IntoIterator<Item = Span<Q>>) -> Self {
        let mut series = Self { spans: Vec::new() };
        for span in spans {
            if span.from < span.until {
                series.put(span);
            }
        }
        series
    }

    fn put(&mut self, span: Span<Q>) {
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
    pub fn spans(&self) -> &[Span<Q>] {
        &self.spans
    }

    /// Whether there is no span at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The span that covers `time`.
    #[must_use]
    pub fn at(&self, time: DateTime<Utc>) -> Option<&Span<Q>> {
        let next = self.spans.partition_point(|s| s.from <= time);
        self.spans[..next].last().filter(|s| time < s.until)
    }

    /// The spans that touch `[from, until)`, cut to it.
    pub fn within(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> impl Iterator<Item = Span<Q>> + '_ {
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
    pub fn mean(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Option<Mean<Q>> {
        let (mut sum, mut time, mut worst) = (0i128, 0i128, Grade::Measured);
        for span in self.within(from, until) {
            let millis = i128::from((span.until - span.from).num_milliseconds());
            sum += millis * i128::from(span.value.steps());
            time += millis;
            worst = worst.max(span.grade);
        }
        if time == 0 {
            return None;
        }
        Some(Mean {
            value: Q::of(i64::try_from((sum + time / 2).div_euclid(time)).expect("a mean lies between the extremes")),
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
