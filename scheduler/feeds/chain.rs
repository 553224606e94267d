//! The order of trust for one zone: services, files, our own forecast, forecasts grown old, the built-in table.
//!
//! Pure. Tiers of unequal bases are never laid end to end as if they were one: the lower is brought to the upper's level
//! over common hours, or, without enough of these, it may shift nothing.

use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Basis, Curve, Grade, Origin, Series, Span};
use neap_model::units::Intensity;

/// Common hours that two sources need before one is brought to the other's level.
const COMMON: TimeDelta = TimeDelta::hours(24);
/// How far back and ahead common hours are looked for.
const RECENT: TimeDelta = TimeDelta::days(7);
/// Holes of at most so many steps between spans of one grade are filled for planning.
const SHORT_HOLE: i32 = 2;

/// One source of a zone's values.
#[derive(Clone, Debug)]
pub struct Tier {
    /// What it says.
    pub series: Series,
    /// Where that comes from.
    pub origin: Origin,
    /// Its level is not to be trusted beside a better source: the table's yearly mean.
    pub usual: bool,
}

/// Lays the tiers under one another, best first. Tiers that say nothing leave no trace. Of the origins the one that the
/// present value comes from stands first, the others follow in the order of trust.
#[must_use]
pub fn chain(tiers: impl IntoIterator<Item = Tier>, now: DateTime<Utc>) -> Curve {
    let mut curve = Curve { series: Series::default(), origins: Vec::new(), whose: Vec::new() };
    let mut basis: Option<Basis> = None;
    let mut laid: Vec<(String, Series)> = Vec::new();
    for Tier { series, mut origin, usual } in tiers {
        if series.is_empty() {
            continue;
        }
        let unlike = basis.as_ref().is_some_and(|basis| !basis.is_like(&origin.basis));
        let (series, note) = match &basis {
            Some(upper) if usual || unlike => seam(&series, &curve.series, unlike.then_some(upper), now),
            _ => (series, None),
        };
        origin.note = match (note, origin.note) {
            (Some(note), Some(known)) if !usual => Some(format!("{known}; {note}")),
            (note, known) => note.or(known),
        };
        basis.get_or_insert_with(|| origin.basis.clone());
        let speaks = curve.series.at(now).is_none() && series.at(now).is_some();
        curve.series = curve.series.over(&series);
        laid.push((origin.feed.clone(), series));
        // What was brought from another basis does not give the curve its name.
        let place = if speaks && !unlike { 0 } else { curve.origins.len() };
        curve.origins.insert(place, origin);
    }
    curve.whose = whose(&curve.series, &laid);
    curve
}

/// Whose the values of the whole are: of the best that says anything at that time.
fn whose(series: &Series, laid: &[(String, Series)]) -> Vec<(DateTime<Utc>, String)> {
    let mut whose: Vec<(DateTime<Utc>, String)> = Vec::new();
    for span in series.spans() {
        let feed = laid.iter().find(|(_, series)| series.at(span.from).is_some()).map(|(feed, _)| feed);
        if let Some(feed) = feed.filter(|feed| whose.last().is_none_or(|(_, last)| last != *feed)) {
            whose.push((span.from, feed.clone()));
        }
    }
    whose
}

/// Brings the lower to the level of the upper by the ratio of their means over common hours. Without enough of these it
/// stays as it is, if it measures the same; else it may shift nothing, which its grade says.
fn seam(lower: &Series, upper: &Series, unlike: Option<&Basis>, now: DateTime<Utc>) -> (Series, Option<String>) {
    let (mut ours, mut theirs, mut common) = (0i128, 0i128, TimeDelta::zero());
    for span in upper.within(now - RECENT, now + RECENT) {
        let Some(mean) = lower.mean(span.from, span.until) else { continue };
        let time = span.until - span.from;
        if mean.covered < time {
            continue;
        }
        ours += i128::from(mean.value.0) * i128::from(time.num_seconds());
        theirs += i128::from(span.value.0) * i128::from(time.num_seconds());
        common += time;
    }
    if common >= COMMON && ours > 0 {
        let scaled = lower.spans().iter().map(|span| Span {
            value: Intensity(u64::try_from(i128::from(span.value.0) * theirs / ours).unwrap_or(span.value.0)),
            // What was measured of something else is an estimate of this.
            grade: if unlike.is_some() { span.grade.max(Grade::Estimated) } else { span.grade },
            ..*span
        });
        let note = format!("brought to the feed's level, × {:.2}", theirs as f64 / ours as f64);
        return (Series::new(scaled), Some(note));
    }
    if unlike.is_none() {
        return (lower.clone(), None);
    }
    let flat = lower.spans().iter().map(|span| Span { grade: Grade::Static, ..*span });
    let hours = COMMON.num_hours();
    (
        Series::new(flat),
        Some(format!("measures something else and shares less than {hours} h with what is above it: shifts nothing")),
    )
}

/// Fills holes of one or two steps between spans of one grade in a straight line, as `Estimated`.
#[must_use]
pub fn fill_short_holes(series: &Series) -> Series {
    let mut filled: Vec<Span> = Vec::new();
    for &span in series.spans() {
        if let Some(&before) = filled.last() {
            let (step, hole) = (before.until - before.from, span.from - before.until);
            if hole > TimeDelta::zero() && hole <= step * SHORT_HOLE && before.grade == span.grade {
                let steps = i64::max(1, hole.num_seconds() / step.num_seconds().max(1));
                for n in 0..steps {
                    let value = |part: i64| {
                        let (a, b) = (i128::from(before.value.0), i128::from(span.value.0));
                        u64::try_from(a + (b - a) * i128::from(part) / i128::from(steps + 1)).unwrap_or(before.value.0)
                    };
                    let from = before.until + step * i32::try_from(n).unwrap_or(0);
                    let until = if n + 1 == steps { span.from } else { from + step };
                    filled.push(Span { from, until, value: Intensity(value(n + 1)), grade: Grade::Estimated });
                }
            }
        }
        filled.push(span);
    }
    Series::new(filled)
}

#[cfg(test)]
mod tests;
