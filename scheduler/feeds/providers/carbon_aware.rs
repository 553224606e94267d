//! Carbon Aware SDK WebApi, a bridge that a site runs itself. What its numbers measure is not on the wire: the site says so, or the
//! feed is refused. A rating of −1 is its word for nothing.

use super::super::feed::{Ask, Feed, FeedError, Heard, Manners, Reply, Request, Signal, Terms, Told, Values, Want};
use super::super::wire::points::Points;
use super::super::wire::{Number, json, plain, said, time, trouble};
use super::Parts;
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Basis, Grade};
use serde::Deserialize;
use std::collections::BTreeSet;

/// The bridge.
#[derive(Debug)]
pub struct CarbonAware {
    base: String,
    basis: Basis,
    manners: Manners,
    parts: Parts,
    /// Zones whose source has no forecast.
    past_only: BTreeSet<String>,
}

impl CarbonAware {
    /// At that address, measuring that.
    #[must_use]
    pub fn new(base: String, basis: Basis) -> Self {
        Self {
            base,
            basis,
            manners: Manners {
                poll: TimeDelta::minutes(15),
                delay: TimeDelta::minutes(1),
                gap: TimeDelta::milliseconds(100),
                after_429: TimeDelta::seconds(30),
                settled: TimeDelta::hours(72),
                terms: Terms::Private,
            },
            parts: Parts::default(),
            past_only: BTreeSet::new(),
        }
    }
}

impl Feed for CarbonAware {
    fn name(&self) -> &str {
        "carbon-aware-sdk"
    }

    fn ask(&mut self, want: &Want, now: DateTime<Utc>) -> Ask {
        if want.signal != Signal::Intensity {
            return Ask::Never(FeedError::Misconfigured("it knows no prices".to_owned()));
        }
        let stamp = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let request = if self.parts.count(want) == 0 {
            Request::get(format!("{}/emissions/bylocation", self.base))
                .with("location", &want.theirs)
                .with("time", stamp(want.from))
                .with("toTime", stamp(now))
        } else {
            Request::get(format!("{}/emissions/forecasts/current", self.base)).with("location", &want.theirs)
        };
        Ask::Send(request)
    }

    fn hear(&mut self, want: &Want, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        let ahead = self.parts.count(want) > 0;
        let heard = match (reply.status, trouble(reply, now)) {
            (501, _) if ahead => Err(FeedError::Plan(said(&reply.body))),
            (_, Some(trouble)) => Err(trouble),
            (_, None) => read(&reply.body, &want.theirs),
        };
        match heard {
            Ok((points, issued)) if ahead || self.past_only.contains(&want.zone) => {
                let points = self.parts.join(want, points);
                let values = Values::Intensity(points.intensity(None)?);
                Ok(Heard::Series(Told { values, basis: self.basis.clone(), issued, notes: Vec::new() }))
            }
            Ok((points, _)) => {
                self.parts.keep(want, points);
                Ok(Heard::AskAgain)
            }
            // Nothing measured lately is no reason not to look ahead.
            Err(FeedError::NoData(_)) if !ahead && !self.past_only.contains(&want.zone) => {
                self.parts.keep(want, Points::default());
                Ok(Heard::AskAgain)
            }
            Err(FeedError::Plan(_)) if ahead => {
                self.past_only.insert(want.zone.clone());
                self.parts.drop(want);
                Ok(Heard::AskAgain)
            }
            Err(error) => {
                self.parts.drop(want);
                Err(error)
            }
        }
    }

    fn manners(&self) -> &Manners {
        &self.manners
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    time: Option<String>,
    rating: Option<Number>,
    generated_at: Option<String>,
    location: Option<String>,
    duration: Option<serde_json::Value>,
    forecast_data: Option<Vec<Ahead>>,
}

#[derive(Deserialize)]
struct Ahead {
    timestamp: String,
    #[serde(default)]
    value: Number,
}

/// Reads `bylocation` and `forecasts/current`, and when a forecast was made.
///
/// # Errors
/// [`FeedError`].
pub fn read(body: &[u8], location: &str) -> Result<(Points, Option<DateTime<Utc>>), FeedError> {
    let rows: Vec<Row> = json(body)?;
    let (mut points, mut issued) = (Points::default(), None);
    let bad = |text: &str| FeedError::Refused(format!("`{}` is no time", plain(text)));
    let hole = |value: Number| value.0.filter(|value| *value != -1.0);
    for row in rows {
        if let Some(ahead) = row.forecast_data {
            if let Some(got) = row.location.as_deref().filter(|got| *got != location) {
                return Err(FeedError::Refused(format!(
                    "asked for {}, the answer is about {}",
                    plain(location),
                    plain(got)
                )));
            }
            issued = row.generated_at.as_deref().and_then(|text| time(text, false));
            for point in ahead {
                let at = time(&point.timestamp, false).ok_or_else(|| bad(&point.timestamp))?;
                points.at(at, hole(point.value), Grade::Forecast);
            }
        } else if let Some(text) = &row.time {
            let at = time(text, false).ok_or_else(|| bad(text))?;
            let value = row.rating.and_then(hole);
            match row.duration.as_ref().and_then(duration) {
                Some(length) => points.over(at, at + length, value, Grade::Measured),
                None => points.at(at, value, Grade::Measured),
            }
        }
    }
    Ok((points, issued))
}

/// `"01:00:00"`, or minutes.
fn duration(value: &serde_json::Value) -> Option<TimeDelta> {
    match value {
        serde_json::Value::Number(minutes) => {
            minutes.as_i64().filter(|m| (1..=1_440).contains(m)).map(TimeDelta::minutes)
        }
        serde_json::Value::String(text) => {
            let mut parts = text.split(':').map(|part| part.parse::<i64>().ok().filter(|n| (0..=60).contains(n)));
            let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
            Some(TimeDelta::seconds(hours * 3_600 + minutes * 60 + seconds)).filter(|d| *d > TimeDelta::zero())
        }
        _ => None,
    }
}
