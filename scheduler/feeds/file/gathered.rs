//! Values of a file on their way to series: graded by when they were said, refused where they cannot be.

use super::super::wire::plain;
use super::super::wire::points::{HIGHEST, MOST, Points};
use super::labels::{Labels, Meaning};
use super::{Content, FileError};
use crate::config::FileLabels;
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Basis, Grade, Series};
use std::collections::BTreeMap;

/// The longest time that one value may be stated for.
const LONGEST: TimeDelta = TimeDelta::days(7);
/// Clocks may differ by so much before a measured value counts as said about the future.
const CLOCK: TimeDelta = TimeDelta::minutes(5);

/// What a reader of the text needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Context<'c> {
    /// What the site says of it.
    pub given: &'c FileLabels,
    /// What the site reckons with.
    pub usual: &'c Basis,
    /// Values without a grade are measured if their step began by then, else forecasts.
    pub said: DateTime<Utc>,
    /// The present time.
    pub now: DateTime<Utc>,
}

/// Values on their way to series.
#[derive(Debug)]
pub struct Gathered {
    points: BTreeMap<String, Points>,
    /// g/kWh that one of its values is.
    pub scale: f64,
    basis: Basis,
    /// The zone of all of it, where its head says so.
    pub zone: Option<String>,
    issued: Option<DateTime<Utc>>,
    said: DateTime<Utc>,
    now: DateTime<Utc>,
}

impl Gathered {
    /// Nothing yet, with what is said of it.
    pub fn new(meaning: Meaning, labels: &Labels, context: &Context<'_>) -> Self {
        Self {
            points: BTreeMap::new(),
            scale: meaning.scale,
            basis: meaning.basis,
            zone: labels.zone.clone(),
            issued: labels.issued,
            said: labels.issued.unwrap_or(context.said).min(context.now),
            now: context.now,
        }
    }

    /// The end of a span, if it can be one.
    pub fn lasts(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
        match until - from {
            time if time <= TimeDelta::zero() => Err("it ends before it begins".to_owned()),
            time if time > LONGEST => {
                Err(format!("one value for {} h, {} h are the longest", time.num_hours(), LONGEST.num_hours()))
            }
            _ => Ok(until),
        }
    }

    /// A value of a zone, `None` for a hole, up to `until` or for a step of the series.
    pub fn point(
        &mut self,
        zone: Option<&str>,
        from: DateTime<Utc>,
        until: Option<DateTime<Utc>>,
        value: Option<f64>,
        grade: Option<Grade>,
    ) -> Result<(), String> {
        let zone = zone.or(self.zone.as_deref()).unwrap_or_default();
        let usual = if from <= self.said { Grade::Measured } else { Grade::Forecast };
        let grade = grade.unwrap_or(usual);
        // Nobody measured the future.
        let grade = if from > self.now + CLOCK { grade.max(Grade::Forecast) } else { grade };
        if !self.points.contains_key(zone) {
            self.points.insert(zone.to_owned(), Points::lasting(LONGEST));
        }
        let points = self.points.get_mut(zone).expect("it was put there");
        match until {
            Some(until) => points.over(from, until, value, grade),
            None => points.at(from, value, grade),
        }
        if points.len() > MOST { Err(format!("more than {MOST} values of one zone")) } else { Ok(()) }
    }

    /// What the values measure.
    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    /// Whether some of it names no zone.
    pub fn is_nameless(&self) -> bool {
        self.points.contains_key("")
    }

    /// All of it as series.
    pub fn content(self) -> Result<Content, FileError> {
        let series = self.points.into_iter().map(|(zone, points)| match points.intensity(None) {
            Ok(series) => Ok((zone, series)),
            // Nothing but holes.
            Err(super::super::feed::FeedError::NoData(_)) => Ok((zone, Series::default())),
            Err(super::super::feed::FeedError::Refused(what)) => Err(FileError::Refused(what)),
            Err(other) => Err(FileError::Refused(other.to_string())),
        });
        let series = series.collect::<Result<_, _>>()?;
        Ok(Content { series, basis: self.basis, issued: self.issued.map(|at| at.min(self.now)) })
    }
}

/// A number in g/kWh.
pub fn number(text: &str, scale: f64) -> Result<f64, String> {
    match text.parse::<f64>().map(|value| value * scale) {
        Ok(value) if (0.0..=HIGHEST).contains(&value) => Ok(value),
        _ => Err(format!("`{}` is no intensity (0 to {HIGHEST} g/kWh, or empty)", plain(text))),
    }
}
