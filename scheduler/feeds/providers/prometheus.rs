//! A query of a site's own Prometheus: one series, in a unit that is stated. The value at a step holds until the next.
//!
//! It answers in its look-back even where the exporter died, so the age of the newest sample is asked beside the values.

use super::super::feed::{
    Ask, Feed, FeedError, Heard, Manners, Reply, Request, Secret, Signal, Terms, Told, Values, Want,
};
use super::super::wire::points::Points;
use super::super::wire::{json, plain, said, trouble};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use neap_model::grid::{Basis, Grade};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Most points of one series that it answers with.
const MOST: i64 = 11_000;
/// g/kWh in one lb/MWh.
const POUNDS: f64 = 0.453_592_37;

/// What a site says about a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Address of the server, without `/api/v1`.
    pub base: String,
    /// The query; `{zone}` is filled in.
    pub query: String,
    /// Time between two values.
    pub step: TimeDelta,
    /// Factor to g/kWh; `None`: by the label `units` of the series.
    pub scale: Option<f64>,
    /// What it measures.
    pub basis: Basis,
    /// A newest sample older than that is no news; `None`: any age.
    pub max_age: Option<TimeDelta>,
    /// `Authorization`, where the server wants one.
    pub authorization: Option<Secret>,
    /// Further headers, for tenants.
    pub headers: Vec<(String, String)>,
}

/// The source.
#[derive(Debug)]
pub struct Prometheus {
    options: Options,
    manners: Manners,
    /// The newest sample of each zone, as asked before its values.
    newest: BTreeMap<String, DateTime<Utc>>,
}

impl Prometheus {
    /// As the site says.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let manners = Manners {
            poll: options.step.max(TimeDelta::minutes(1)).min(TimeDelta::minutes(5)),
            delay: TimeDelta::seconds(5),
            gap: TimeDelta::milliseconds(100),
            after_429: TimeDelta::seconds(30),
            settled: TimeDelta::zero(),
            terms: Terms::Internal,
        };
        Self { options, manners, newest: BTreeMap::new() }
    }
}

impl Feed for Prometheus {
    fn name(&self) -> &str {
        "prometheus"
    }

    fn ask(&mut self, want: &Want, now: DateTime<Utc>) -> Ask {
        if want.signal != Signal::Intensity {
            return Ask::Never(FeedError::Misconfigured("prices from it are not read".to_owned()));
        }
        let options = &self.options;
        let query = options.query.replace("{zone}", &want.theirs);
        let mut request = if options.max_age.is_some() && !self.newest.contains_key(&want.zone) {
            Request::get(format!("{}/api/v1/query", options.base))
                .with("query", format!("timestamp({query})"))
                .with("time", now.timestamp().to_string())
        } else {
            // Whole steps, so that the same time gives the same values at every poll.
            let end = now.duration_trunc(options.step).unwrap_or(now);
            let steps =
                i32::try_from(((end - want.from).num_seconds() / options.step.num_seconds().max(1)).clamp(0, MOST - 1));
            let start = end - options.step * steps.unwrap_or(0);
            Request::get(format!("{}/api/v1/query_range", options.base))
                .with("query", query)
                .with("start", start.timestamp().to_string())
                .with("end", end.timestamp().to_string())
                .with("step", options.step.num_seconds().to_string())
        };
        request.headers.clone_from(&options.headers);
        request
            .secret_headers
            .extend(options.authorization.iter().map(|key| ("authorization".to_owned(), key.clone())));
        Ask::Send(request)
    }

    fn hear(&mut self, want: &Want, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        let asked_age = self.options.max_age.is_some() && !self.newest.contains_key(&want.zone);
        let newest = self.newest.remove(&want.zone);
        match (reply.status, trouble(reply, now)) {
            (422, _) => return Err(FeedError::Misconfigured(said(&reply.body))),
            (_, Some(trouble)) => return Err(trouble),
            (_, None) => {}
        }
        if asked_age {
            let newest = sample(&reply.body)?.and_then(|value| DateTime::from_timestamp(value as i64, 0));
            let newest = newest.ok_or_else(|| FeedError::NoData("the query gives nothing".to_owned()))?;
            if self.options.max_age.is_some_and(|most| now - newest > most) {
                let message = format!("the newest sample is {} s old", (now - newest).num_seconds());
                return Err(FeedError::NoData(message));
            }
            self.newest.insert(want.zone.clone(), newest);
            return Ok(Heard::AskAgain);
        }
        let (points, notes) = read(&reply.body, self.options.scale, newest)?;
        let values = Values::Intensity(points.intensity(Some(self.options.step))?);
        Ok(Heard::Series(Told { values, basis: self.options.basis.clone(), issued: None, notes }))
    }

    fn manners(&self) -> &Manners {
        &self.manners
    }
}

#[derive(Deserialize)]
struct Body {
    status: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    data: Data,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    result: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    value: Option<(f64, String)>,
}

fn one(body: &[u8]) -> Result<(Found, Vec<String>), FeedError> {
    let body: Body = json(body)?;
    if body.status != "success" {
        return Err(FeedError::Misconfigured(plain(&body.error.unwrap_or_default())));
    }
    let labels = |found: &Found| {
        let all: Vec<String> = found.metric.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        plain(&format!("{{{}}}", all.join(", ")))
    };
    let mut all = body.data.result;
    match all.len() {
        0 => Err(FeedError::NoData("the query gives no series".to_owned())),
        1 => Ok((all.remove(0), body.warnings.iter().map(|text| plain(text)).collect())),
        _ => {
            let message =
                format!("the query gives several series, name one: {} and {}", labels(&all[0]), labels(&all[1]));
            Err(FeedError::Misconfigured(message))
        }
    }
}

/// A value as Prometheus writes it; what is no number is missing.
pub(super) fn number(text: &str) -> Result<Option<f64>, FeedError> {
    match text {
        "NaN" | "+Inf" | "-Inf" | "Inf" => Ok(None),
        text => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value)),
            _ => Err(FeedError::Refused(format!("`{}` is no number", plain(text)))),
        },
    }
}

/// The one value of an instant query.
///
/// # Errors
/// [`FeedError`].
pub fn sample(body: &[u8]) -> Result<Option<f64>, FeedError> {
    let (found, _) = one(body)?;
    found.value.map_or(Ok(None), |(_, text)| number(&text))
}

/// The factor to g/kWh that the label `units` stands for.
pub(super) fn unit(label: Option<&str>) -> Result<f64, FeedError> {
    match label {
        Some("gCO2e per kWh") => Ok(1.0),
        Some("lbCO2e per MWh") => Ok(POUNDS),
        Some(other) => Err(FeedError::Refused(format!("values in `{}` are no carbon intensity", plain(other)))),
        None => Err(FeedError::Refused("a series without the label `units`: say its `unit`".to_owned())),
    }
}

/// The points of a range query (or the one of an instant query) in g/kWh; those after `newest` are what was looked back to and
/// are left out. With the server's warnings.
///
/// # Errors
/// [`FeedError`].
pub fn read(
    body: &[u8],
    scale: Option<f64>,
    newest: Option<DateTime<Utc>>,
) -> Result<(Points, Vec<String>), FeedError> {
    let (found, warnings) = one(body)?;
    let scale = match scale {
        Some(scale) => scale,
        None => unit(found.metric.get("units").map(String::as_str))?,
    };
    let mut points = Points::default();
    for (seconds, text) in found.values.iter().chain(found.value.as_ref()) {
        let at =
            (0.0..1e11).contains(seconds).then(|| DateTime::from_timestamp_millis((seconds * 1e3) as i64)).flatten();
        let at = at.ok_or_else(|| FeedError::Refused(format!("{seconds} is no time")))?;
        if newest.is_some_and(|newest| at - TimeDelta::minutes(5) > newest) {
            continue;
        }
        points.at(at, number(text)?.map(|value| value * scale), Grade::Measured);
    }
    Ok((points, warnings))
}
