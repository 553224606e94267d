//! UK Carbon Intensity (NESO): Great Britain and its regions, half hours, 48 hours ahead. No key. Average, direct,
//! consumption. Index words are re-banded every year and are not read.
//!
//! A zone is `GB`, a region's number (`13` is London), or an outward postcode (`RG10`).

use super::super::feed::{Ask, Feed, FeedError, Heard, Manners, Reply, Request, Signal, Terms, Told, Values, Want};
use super::super::wire::points::Points;
use super::super::wire::{Number, json, time, trouble};
use super::Parts;
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Accounting, Basis, Grade, Kind, Scope};
use serde::Deserialize;

/// Where it is, unless a configuration says otherwise.
pub const BASE: &str = "https://api.carbonintensity.org.uk";
/// Longest past range of one request.
const LONGEST: TimeDelta = TimeDelta::days(13);
const STEP: TimeDelta = TimeDelta::minutes(30);

/// The service.
#[derive(Debug)]
pub struct Uk {
    base: String,
    manners: Manners,
    parts: Parts,
}

impl Uk {
    /// At that address.
    #[must_use]
    pub fn new(base: Option<String>) -> Self {
        Self {
            base: base.unwrap_or_else(|| BASE.to_owned()),
            manners: Manners {
                poll: TimeDelta::minutes(30),
                delay: TimeDelta::minutes(2),
                gap: TimeDelta::seconds(1),
                after_429: TimeDelta::seconds(60),
                settled: TimeDelta::hours(24),
                terms: Terms::Open { credit: "NESO Carbon Intensity API, CC BY 4.0".to_owned() },
            },
            parts: Parts::default(),
        }
    }
}

fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%MZ").to_string()
}

impl Feed for Uk {
    fn name(&self) -> &str {
        "uk"
    }

    fn ask(&mut self, want: &Want, now: DateTime<Utc>) -> Ask {
        if want.signal != Signal::Intensity {
            return Ask::Never(FeedError::Misconfigured("it knows no prices".to_owned()));
        }
        let national = want.theirs.eq_ignore_ascii_case("GB");
        // What was, then what is to come; regions have no measured values.
        let path = if national && self.parts.count(want) == 0 && want.from < now - STEP {
            format!("/intensity/{}/{}", stamp(want.from.max(now - LONGEST)), stamp(now))
        } else if national {
            format!("/intensity/{}/fw48h", stamp(now))
        } else if want.theirs.chars().all(|c| c.is_ascii_digit()) {
            format!("/regional/intensity/{}/fw48h/regionid/{}", stamp(now), want.theirs)
        } else if want.theirs.chars().all(|c| c.is_ascii_alphanumeric()) {
            format!("/regional/intensity/{}/fw48h/postcode/{}", stamp(now), want.theirs)
        } else {
            return Ask::Never(FeedError::Misconfigured(format!(
                "`{}` is neither GB, a region nor a postcode",
                want.theirs
            )));
        };
        let mut request = Request::get(format!("{}{path}", self.base));
        request.headers.push(("accept".to_owned(), "application/json".to_owned()));
        Ask::Send(request)
    }

    fn hear(&mut self, want: &Want, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        if let Some(trouble) = trouble(reply, now) {
            self.parts.drop(want);
            return Err(trouble);
        }
        let points = read(&reply.body, &want.theirs).inspect_err(|_| self.parts.drop(want))?;
        let national = want.theirs.eq_ignore_ascii_case("GB");
        if national && self.parts.count(want) == 0 && want.from < now - STEP {
            self.parts.keep(want, points);
            return Ok(Heard::AskAgain);
        }
        let points = self.parts.join(want, points);
        let basis =
            Basis { kind: Kind::Average, scope: Scope::Direct, accounting: Accounting::Consumption, factors: None };
        let values = Values::Intensity(points.intensity(Some(STEP))?);
        Ok(Heard::Series(Told { values, basis, issued: None, notes: Vec::new() }))
    }

    fn manners(&self) -> &Manners {
        &self.manners
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::Many(all) => all,
            Self::One(one) => vec![one],
        }
    }
}

#[derive(Deserialize)]
struct Body {
    data: Option<OneOrMany<Entry>>,
}

/// A half hour, or a region with half hours, or a half hour with regions.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    from: Option<String>,
    to: Option<String>,
    intensity: Option<Value>,
    regionid: Option<u32>,
    data: Vec<Entry>,
    regions: Vec<Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Value {
    forecast: Number,
    actual: Number,
}

/// Reads a body.
///
/// # Errors
/// [`FeedError`].
pub fn read(body: &[u8], zone: &str) -> Result<Points, FeedError> {
    let body: Body = json(body)?;
    let entries = body.data.map(OneOrMany::into_vec).unwrap_or_default();
    let region: Option<u32> = zone.parse().ok();
    let mut points = Points::default();
    for entry in entries {
        if let (Some(asked), Some(got)) = (region, entry.regionid)
            && asked != got
        {
            return Err(FeedError::Refused(format!("asked for region {asked}, the answer is about {got}")));
        }
        let halves = if entry.data.is_empty() { vec![entry] } else { entry.data };
        for half in &halves {
            let of_region = half.regions.iter().find(|entry| region.is_some() && entry.regionid == region);
            if !half.regions.is_empty() && of_region.is_none() {
                return Err(FeedError::Refused(format!("nothing about region `{zone}` in the answer")));
            }
            put(&mut points, half, of_region.and_then(|entry| entry.intensity.as_ref()).or(half.intensity.as_ref()))?;
        }
    }
    Ok(points)
}

fn put(points: &mut Points, half: &Entry, value: Option<&Value>) -> Result<(), FeedError> {
    let read = |text: &Option<String>| text.as_deref().and_then(|text| time(text, false));
    let (Some(from), Some(until)) = (read(&half.from), read(&half.to)) else {
        return Err(FeedError::Refused("a half hour without its `from` and `to`".to_owned()));
    };
    let (value, grade) = match value {
        Some(Value { actual: Number(Some(actual)), .. }) => (Some(*actual), Grade::Measured),
        Some(Value { forecast, .. }) => (forecast.0, Grade::Forecast),
        None => (None, Grade::Forecast),
    };
    points.over(from, until, value, grade);
    Ok(())
}
