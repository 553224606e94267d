//! What is believed of one zone by one feed: answers joined over time, the newest forecast, and what is held back.
//!
//! A value that contradicts all experience by a whole unit is not believed before somebody says so. Answers with another
//! basis are never joined.

use super::feed::{FeedError, Terms, Told, Values};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Basis, Grade, Series, Span};
use neap_model::units::Intensity;
use std::collections::BTreeMap;

/// How long values are remembered: what the forecaster looks at.
const KEPT: TimeDelta = TimeDelta::days(400);
/// A service's clock may be ahead by so much before a measured value counts as said about the future.
const CLOCK: TimeDelta = TimeDelta::minutes(5);
/// The same answer for so long is no news any more.
const SAME: TimeDelta = TimeDelta::hours(24);
/// Experience that a doubt rests on: this many days.
const EXPERIENCE: TimeDelta = TimeDelta::days(28);
/// Less experience than that is none.
const LEAST: TimeDelta = TimeDelta::days(2);
/// What mistaken units make of a value, in per mille: pounds and kilograms, thousands.
const MISTAKES: [(u64, &str); 4] = [
    (2_205, "2.2 times its usual level, as if pounds were kilograms"),
    (454, "0.45 times its usual level, as if kilograms were pounds"),
    (1_000_000, "a thousand times its usual level"),
    (1, "a thousandth of its usual level"),
];
/// A mean above which a whole day of exact zeros is not believed, in g/kWh.
const NEVER_ZERO: u64 = 50;

/// What one feed says about one zone.
#[derive(Clone, Debug, Default)]
pub struct Belief {
    spans: BTreeMap<DateTime<Utc>, Span>,
    /// What the values measure.
    pub basis: Basis,
    /// When the newest forecast was issued.
    pub issued: Option<DateTime<Utc>>,
    /// When an answer came last that said something new.
    pub changed: Option<DateTime<Utc>>,
    /// When an answer came last.
    pub heard: Option<DateTime<Utc>>,
    /// What a reader should know.
    pub note: Option<String>,
    /// How the last exchange ended.
    pub outcome: Option<Result<(), FeedError>>,
    /// An answer is held back for that reason.
    pub suspect: Option<String>,
    last: Option<Series>,
}

impl Belief {
    /// Joins an answer to what is known. Says whether it was anything new.
    ///
    /// # Errors
    /// Why it is not believed; what was known stays.
    pub fn take(&mut self, told: &Told, at: DateTime<Utc>, confirmed: Option<DateTime<Utc>>) -> Result<bool, String> {
        let Values::Intensity(series) = &told.values else { return Ok(false) };
        self.heard = Some(at);
        if self.basis == told.basis && self.last.as_ref() == Some(series) {
            return Ok(false);
        }
        if self.basis == told.basis
            && let Some(doubt) = self.doubt(series, at, confirmed)
        {
            self.suspect = Some(doubt.clone());
            return Err(doubt);
        }
        self.suspect = None;
        if self.basis != told.basis {
            self.spans.clear();
            self.basis = told.basis.clone();
        }
        self.join(series, told.issued.unwrap_or(at), at);
        self.changed = Some(at);
        self.note = (!told.notes.is_empty()).then(|| told.notes.join("; "));
        self.last = Some(series.clone());
        Ok(true)
    }

    fn join(&mut self, series: &Series, issued: DateTime<Utc>, at: DateTime<Utc>) {
        let graded = series.spans().iter().map(|span| {
            let early = span.from > at + CLOCK && span.grade < Grade::Forecast;
            Span { grade: if early { Grade::Forecast } else { span.grade }, ..*span }
        });
        let spans: Vec<Span> = graded.collect();
        if let Some(first) = spans.iter().find(|span| span.grade == Grade::Forecast && span.until > at) {
            // A new forecast takes the place of the old one, also where it ends earlier.
            let old = self.spans.range(first.from..).filter(|(_, span)| span.grade >= Grade::Forecast);
            let old: Vec<DateTime<Utc>> = old.map(|(from, _)| *from).collect();
            for from in old {
                self.spans.remove(&from);
            }
            self.issued = Some(issued.min(at));
        }
        for span in spans {
            let known = self.spans.get(&span.from).map(|known| known.grade);
            // What was measured is not taken back by what was only said.
            if known.is_none_or(|known| known >= Grade::Forecast || span.grade < Grade::Forecast) {
                self.spans.insert(span.from, span);
            }
        }
        while self.spans.first_key_value().is_some_and(|(from, _)| *from < at - KEPT) {
            self.spans.pop_first();
        }
    }

    /// All that is believed between two instants, disjoint.
    #[must_use]
    pub fn series(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Series {
        let mut spans: Vec<Span> = Vec::new();
        // A span that began before may reach in.
        for span in self.spans.range(from - TimeDelta::hours(6)..until).map(|(_, span)| *span) {
            if let Some(last) = spans.last_mut() {
                last.until = last.until.min(span.from);
            }
            spans.push(span);
        }
        Series::new(spans).trim(from, until)
    }

    /// The same, taken apart: what is known or was said recently enough, and what is left of a forecast too old to be
    /// preferred to our own.
    #[must_use]
    pub fn parts(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
        max_age: TimeDelta,
    ) -> (Series, Series) {
        let all = self.series(from, until);
        if self.issued.is_none_or(|issued| now - issued <= max_age) {
            return (all, Series::default());
        }
        let old = |span: &Span| span.grade == Grade::Forecast && span.until > now;
        let (aged, good): (Vec<Span>, Vec<Span>) = all.spans().iter().partition(|span| old(span));
        (Series::new(good), Series::new(aged))
    }

    /// The newest value that had begun by now.
    #[must_use]
    pub fn newest(&self, now: DateTime<Utc>) -> Option<Span> {
        self.spans.range(..=now).next_back().map(|(_, span)| *span)
    }

    /// Since when anything is known.
    #[must_use]
    pub fn first(&self) -> Option<DateTime<Utc>> {
        self.spans.keys().next().copied()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Whether the service says the same for so long that it must have stopped.
    #[must_use]
    pub fn is_stuck(&self, now: DateTime<Utc>) -> bool {
        self.changed.is_some_and(|changed| now - changed > SAME) && self.heard.is_some_and(|heard| now - heard < SAME)
    }

    /// Why a series cannot be of the same thing as all that came before it.
    fn doubt(&self, series: &Series, at: DateTime<Utc>, confirmed: Option<DateTime<Utc>>) -> Option<String> {
        let since = confirmed.map_or(at - EXPERIENCE, |confirmed| confirmed.max(at - EXPERIENCE));
        let known: Vec<Span> = self.spans.range(since..at).map(|(_, span)| *span).collect();
        let time: TimeDelta = known.iter().map(|span| span.until - span.from).sum();
        let new = series.spans();
        let (usual, present) = (median(&known)?, median(new)?);
        if time < LEAST || usual == 0 {
            return None;
        }
        let zeros: TimeDelta = new.iter().filter(|span| span.value.0 == 0).map(|span| span.until - span.from).sum();
        let mean = Series::new(known.iter().copied()).mean(since, at).map_or(0, |mean| mean.value.0);
        if zeros >= TimeDelta::hours(24)
            && new.iter().all(|span| span.value.0 == 0)
            && mean > Intensity::grams(NEVER_ZERO).0
        {
            return Some(format!("a whole day of zeros where the mean is {}", Intensity(mean)));
        }
        let ratio = u64::try_from(u128::from(present) * 1_000 / u128::from(usual)).unwrap_or(u64::MAX);
        let thousandths = u128::from(present) * 1_000_000;
        MISTAKES.iter().find_map(|(factor, what)| {
            let near = if *factor == 1 {
                // Per mille are too coarse for a thousandth.
                (920..=1_080).contains(&(thousandths / u128::from(usual)))
            } else {
                (factor * 92 / 100..=factor * 108 / 100).contains(&ratio)
            };
            near.then(|| format!("its values are {what}: {} instead of about {}", Intensity(present), Intensity(usual)))
        })
    }
}

/// The median in milligrams by span; spans of one feed have one length.
fn median(spans: &[Span]) -> Option<u64> {
    let mut values: Vec<u64> = spans.iter().map(|span| span.value.0).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// The credit line of a feed's terms.
#[must_use]
pub fn credit(terms: &Terms) -> Option<String> {
    match terms {
        Terms::Open { credit } => Some(credit.clone()),
        Terms::Private | Terms::Internal => None,
    }
}

#[cfg(test)]
mod tests;
