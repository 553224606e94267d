//! Electricity Maps, versions 4 and 3: about 350 zones, hourly, with a key; forecasts on paid plans only. Average, life cycle or
//! direct, consumption. Without a known zone it answers for the caller's address, and sandbox keys bring made-up numbers
//! with status 200: both are refused.

use super::super::feed::{
    Ask, Feed, FeedError, Heard, Manners, Reply, Request, Secret, Signal, Terms, Told, Values, Want,
};
use super::super::wire::points::Points;
use super::super::wire::{Number, json, plain, said, time, trouble};
use super::Parts;
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Accounting, Basis, Grade, Kind, Scope};
use serde::Deserialize;
use std::collections::BTreeSet;

/// Where it is, unless a configuration says otherwise.
pub const BASE: &str = "https://api.electricitymaps.com/v4";

/// What a site says about it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address with the version: `…/v4`, `…/v3`.
    pub base: String,
    /// The key.
    pub key: Secret,
    /// Life cycle or direct.
    pub scope: Scope,
    /// Take a sandbox's made-up numbers, for trying things out.
    pub allow_synthetic: bool,
}

/// The service.
#[derive(Debug)]
pub struct ElectricityMaps {
    options: Options,
    manners: Manners,
    parts: Parts,
    /// Zones whose plan has no forecast.
    past_only: BTreeSet<String>,
}

impl ElectricityMaps {
    /// With that key.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            manners: Manners {
                poll: TimeDelta::minutes(30),
                delay: TimeDelta::minutes(5),
                gap: TimeDelta::seconds(2),
                after_429: TimeDelta::seconds(60),
                settled: TimeDelta::hours(72),
                terms: Terms::Private,
            },
            parts: Parts::default(),
            past_only: BTreeSet::new(),
        }
    }
}

impl Feed for ElectricityMaps {
    fn name(&self) -> &str {
        "electricity-maps"
    }

    fn ask(&mut self, want: &Want, _: DateTime<Utc>) -> Ask {
        if want.signal != Signal::Intensity {
            return Ask::Never(FeedError::Misconfigured("it knows no prices here".to_owned()));
        }
        let path = if self.parts.count(want) == 0 { "history" } else { "forecast" };
        let lookup = if self.options.base.ends_with("/v3") {
            ("shouldUseFallbackCallerLookup", "false")
        } else {
            ("disableCallerLookup", "true")
        };
        let factor = if self.options.scope == Scope::Direct { "direct" } else { "lifecycle" };
        let mut request = Request::get(format!("{}/carbon-intensity/{path}", self.options.base))
            .with("zone", &want.theirs)
            .with(lookup.0, lookup.1)
            .with("emissionFactorType", factor);
        if path == "forecast" {
            request = request.with("horizonHours", "72");
        }
        request.secret_headers.push(("auth-token".to_owned(), self.options.key.clone()));
        Ask::Send(request)
    }

    fn hear(&mut self, want: &Want, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        let second = self.parts.count(want) > 0;
        let heard = match (reply.status, trouble(reply, now)) {
            (404, _) => Err(FeedError::NoData(said(&reply.body))),
            (_, Some(trouble)) => Err(trouble),
            (_, None) => read(&reply.body, &want.theirs, self.options.allow_synthetic),
        };
        match heard {
            Ok(part) if second || self.past_only.contains(&want.zone) => {
                let issued = if second { part.issued } else { None };
                let points = self.parts.join(want, part.points);
                let basis = Basis {
                    kind: Kind::Average,
                    scope: if self.options.scope == Scope::Direct { Scope::Direct } else { Scope::Lifecycle },
                    accounting: Accounting::Consumption,
                    factors: None,
                };
                let values = Values::Intensity(points.intensity(part.step)?);
                Ok(Heard::Series(Told { values, basis, issued, notes: part.notes }))
            }
            Ok(part) => {
                self.parts.keep(want, part.points);
                Ok(Heard::AskAgain)
            }
            // A plan without forecasts: what is measured is worth having. It is asked alone from then on.
            Err(FeedError::Plan(_)) if second => {
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

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    #[serde(rename = "_disclaimer")]
    disclaimer: Option<String>,
    zone: Option<String>,
    history: Option<Vec<Point>>,
    data: Option<Vec<Point>>,
    forecast: Option<Vec<Point>>,
    updated_at: Option<String>,
    temporal_granularity: Option<String>,
    carbon_intensity: Number,
    datetime: Option<String>,
    is_estimated: Option<bool>,
    estimation_method: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Point {
    zone: Option<String>,
    carbon_intensity: Number,
    datetime: String,
    is_estimated: Option<bool>,
    estimation_method: Option<String>,
}

/// One answer.
#[derive(Debug)]
pub struct Part {
    /// Its points.
    pub points: Points,
    /// When a forecast was issued.
    pub issued: Option<DateTime<Utc>>,
    /// How long a value stands for, where it says so.
    pub step: Option<TimeDelta>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// Reads `latest`, `history`, `past-range` and `forecast`.
///
/// # Errors
/// [`FeedError`].
pub fn read(body: &[u8], zone: &str, allow_synthetic: bool) -> Result<Part, FeedError> {
    let body: Body = json(body)?;
    let no_data = || FeedError::NoData("no values in the answer".to_owned());
    let ahead = body.forecast.is_some();
    let latest = body.datetime.clone().map(|datetime| {
        vec![Point {
            zone: body.zone.clone(),
            carbon_intensity: body.carbon_intensity,
            datetime,
            is_estimated: body.is_estimated,
            estimation_method: body.estimation_method.clone(),
        }]
    });
    let all = body.forecast.or(body.history).or(body.data).or(latest).ok_or_else(no_data)?;
    let synthetic = body.disclaimer.as_deref().is_some_and(|text| text.to_uppercase().contains("SANDBOX"))
        || all.iter().any(|point| point.estimation_method.as_deref() == Some("SANDBOX_MODE_DATA"));
    if synthetic && !allow_synthetic {
        return Err(FeedError::Refused("a sandbox key: the numbers are made up".to_owned()));
    }
    let spoken_of = body.zone.iter().chain(all.iter().filter_map(|point| point.zone.as_ref()));
    for got in spoken_of {
        if got != zone {
            return Err(FeedError::Refused(format!(
                "asked for zone {}, the answer is about {}",
                plain(zone),
                plain(got)
            )));
        }
    }
    let mut points = Points::default();
    for point in &all {
        let Some(at) = time(&point.datetime, false) else {
            return Err(FeedError::Refused(format!("`{}` is no time", plain(&point.datetime))));
        };
        let grade = match (ahead, point.is_estimated) {
            (true, _) => Grade::Forecast,
            (false, Some(true)) => Grade::Estimated,
            (false, _) => Grade::Measured,
        };
        points.at(at, point.carbon_intensity.0, grade);
    }
    let step = match body.temporal_granularity.as_deref() {
        Some("hourly") => Some(TimeDelta::hours(1)),
        Some("15_minutes") => Some(TimeDelta::minutes(15)),
        Some("5_minutes") => Some(TimeDelta::minutes(5)),
        _ => None,
    };
    let notes = if synthetic { vec!["synthetic".to_owned()] } else { Vec::new() };
    Ok(Part {
        points,
        issued: body.updated_at.as_deref().and_then(|text| time(text, false)).filter(|_| ahead),
        step,
        notes,
    })
}
