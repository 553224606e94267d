//! Energi Data Service (Energinet): the two Danish zones, five minutes, to the end of the next day. No key; one request a data set
//! and minute. Average, consumption; its scope is not stated.

use super::super::feed::{Ask, Feed, FeedError, Heard, Manners, Reply, Request, Signal, Terms, Told, Values, Want};
use super::super::wire::points::Points;
use super::super::wire::{Number, json, plain, time, trouble};
use super::Parts;
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Accounting, Basis, Grade, Kind, Scope};
use serde::Deserialize;

/// Where it is, unless a configuration says otherwise.
pub const BASE: &str = "https://api.energidataservice.dk";
const STEP: TimeDelta = TimeDelta::minutes(5);

/// The service.
#[derive(Debug)]
pub struct EnergiData {
    base: String,
    manners: Manners,
    parts: Parts,
}

impl EnergiData {
    /// At that address.
    #[must_use]
    pub fn new(base: Option<String>) -> Self {
        Self {
            base: base.unwrap_or_else(|| BASE.to_owned()),
            manners: Manners {
                poll: TimeDelta::minutes(15),
                delay: TimeDelta::minutes(1),
                gap: TimeDelta::seconds(61),
                after_429: TimeDelta::seconds(60),
                settled: TimeDelta::hours(48),
                terms: Terms::Open { credit: "Energinet, Energi Data Service".to_owned() },
            },
            parts: Parts::default(),
        }
    }
}

impl Feed for EnergiData {
    fn name(&self) -> &str {
        "energi-data"
    }

    fn ask(&mut self, want: &Want, now: DateTime<Utc>) -> Ask {
        if want.signal != Signal::Intensity {
            return Ask::Never(FeedError::Misconfigured("its prices are not read".to_owned()));
        }
        if !want.theirs.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Ask::Never(FeedError::Misconfigured(format!(
                "`{}` is no price area: DK1, DK2",
                plain(&want.theirs)
            )));
        }
        let stamp = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M").to_string();
        let (set, from, until) = if self.parts.count(want) == 0 {
            ("CO2Emis", want.from, now)
        } else {
            ("CO2EmisProg", now - STEP, now + TimeDelta::days(2))
        };
        Ask::Send(
            Request::get(format!("{}/dataset/{set}", self.base))
                .with("start", stamp(from))
                .with("end", stamp(until))
                .with("timezone", "utc")
                .with("filter", format!("{{\"PriceArea\":[\"{}\"]}}", want.theirs))
                .with("sort", "Minutes5UTC asc")
                .with("limit", "0"),
        )
    }

    fn hear(&mut self, want: &Want, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        if let Some(trouble) = trouble(reply, now) {
            self.parts.drop(want);
            return Err(trouble);
        }
        let ahead = self.parts.count(want) > 0;
        let points = read(&reply.body, &want.theirs, ahead).inspect_err(|_| self.parts.drop(want))?;
        if !ahead {
            self.parts.keep(want, points);
            return Ok(Heard::AskAgain);
        }
        let points = self.parts.join(want, points);
        let basis =
            Basis { kind: Kind::Average, scope: Scope::Unstated, accounting: Accounting::Consumption, factors: None };
        let values = Values::Intensity(points.intensity(Some(STEP))?);
        Ok(Heard::Series(Told { values, basis, issued: None, notes: Vec::new() }))
    }

    fn manners(&self) -> &Manners {
        &self.manners
    }
}

#[derive(Deserialize)]
struct Body {
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "Minutes5UTC")]
    at: String,
    #[serde(rename = "PriceArea")]
    area: String,
    #[serde(rename = "CO2Emission")]
    #[serde(default)]
    value: Number,
}

/// Reads the rows of one area; those of the other area come interleaved where the filter was lost.
///
/// # Errors
/// [`FeedError`].
pub fn read(body: &[u8], area: &str, ahead: bool) -> Result<Points, FeedError> {
    let body: Body = json(body)?;
    let any = !body.records.is_empty();
    let mut points = Points::default();
    for record in body.records.into_iter().filter(|record| record.area == area) {
        let Some(at) = time(&record.at, true) else {
            return Err(FeedError::Refused(format!("`{}` is no time", plain(&record.at))));
        };
        points.at(at, record.value.0, if ahead { Grade::Forecast } else { Grade::Measured });
    }
    if any && points.is_empty() {
        return Err(FeedError::Refused(format!("nothing about area {} in the answer", plain(area))));
    }
    Ok(points)
}
