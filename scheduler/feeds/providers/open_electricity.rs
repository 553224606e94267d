//! OpenElectricity: Australia's networks by region, hourly emissions over energy, past only. A token. Average, direct, production.
//!
//! A zone is a network and a region: `NEM/NSW1`, `WEM/WEM`. Times in a question are the network's own clock, without summer time
//! and without an offset.

use super::super::feed::{
    Ask, Feed, FeedError, Heard, Manners, Reply, Request, Secret, Signal, Terms, Told, Values, Want,
};
use super::super::wire::points::Points;
use super::super::wire::{Number, json, plain, time, trouble};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Accounting, Basis, Grade, Kind, Scope};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Where it is, unless a configuration says otherwise.
pub const BASE: &str = "https://api.openelectricity.org.au";
const STEP: TimeDelta = TimeDelta::hours(1);

/// The service.
#[derive(Debug)]
pub struct OpenElectricity {
    base: String,
    token: Secret,
    manners: Manners,
}

impl OpenElectricity {
    /// At that address, with a token.
    #[must_use]
    pub fn new(base: Option<String>, token: Secret) -> Self {
        Self {
            base: base.unwrap_or_else(|| BASE.to_owned()),
            token,
            manners: Manners {
                poll: TimeDelta::hours(1),
                delay: TimeDelta::minutes(10),
                gap: TimeDelta::seconds(5),
                after_429: TimeDelta::seconds(60),
                settled: TimeDelta::hours(48),
                terms: Terms::Open { credit: "OpenElectricity".to_owned() },
            },
        }
    }
}

/// Hours that a network's clock is ahead of UTC, the year round.
fn ahead(network: &str) -> Option<TimeDelta> {
    match network {
        "NEM" => Some(TimeDelta::hours(10)),
        "WEM" => Some(TimeDelta::hours(8)),
        _ => None,
    }
}

impl Feed for OpenElectricity {
    fn name(&self) -> &str {
        "open-electricity"
    }

    fn ask(&mut self, want: &Want, now: DateTime<Utc>) -> Ask {
        if want.signal != Signal::Intensity {
            return Ask::Never(FeedError::Misconfigured("its prices are not read".to_owned()));
        }
        let known = want.theirs.split_once('/').and_then(|(network, _)| Some((network, ahead(network)?)));
        let Some((network, ahead)) = known else {
            let said = plain(&want.theirs);
            return Ask::Never(FeedError::Misconfigured(format!("`{said}` is no network and region: NEM/NSW1")));
        };
        let stamp = |at: DateTime<Utc>| (at + ahead).format("%Y-%m-%dT%H:00:00").to_string();
        let request = Request::get(format!("{}/v4/data/network/{network}", self.base))
            .bearing(&self.token)
            .with("metrics", "emissions")
            .with("metrics", "energy")
            .with("interval", "1h")
            .with("primary_grouping", "network_region")
            // 32 days an hour apart are what one question may cover.
            .with("date_start", stamp(want.from.max(now - TimeDelta::days(30))))
            .with("date_end", stamp(now.min(want.until)));
        Ask::Send(request)
    }

    fn hear(&mut self, want: &Want, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        if let Some(trouble) = trouble(reply, now) {
            return Err(trouble);
        }
        let region = want.theirs.split_once('/').map_or("", |(_, region)| region);
        let values = Values::Intensity(read(&reply.body, region)?.intensity(Some(STEP))?);
        let basis =
            Basis { kind: Kind::Average, scope: Scope::Direct, accounting: Accounting::Production, factors: None };
        Ok(Heard::Series(Told { values, basis, issued: None, notes: Vec::new() }))
    }

    fn manners(&self) -> &Manners {
        &self.manners
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    success: Option<bool>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    data: Vec<Block>,
}

#[derive(Deserialize)]
struct Block {
    metric: String,
    unit: String,
    interval: String,
    results: Vec<Rows>,
}

#[derive(Deserialize)]
struct Rows {
    columns: BTreeMap<String, serde_json::Value>,
    data: Vec<(String, Number)>,
}

impl Rows {
    fn is_of(&self, region: &str) -> bool {
        ["region", "network_region"].iter().any(|key| self.columns.get(*key).is_some_and(|said| said == region))
    }
}

/// Reads the intensity of a region in g/kWh: its emissions over its energy, hour by hour.
///
/// # Errors
/// [`FeedError`].
pub fn read(body: &[u8], region: &str) -> Result<Points, FeedError> {
    let body: Body = json(body)?;
    if body.success == Some(false) {
        return Err(FeedError::Refused(plain(body.error.as_deref().unwrap_or("it says that it failed"))));
    }
    let mut sums: [BTreeMap<DateTime<Utc>, Option<f64>>; 2] = Default::default();
    for block in &body.data {
        let (place, unit) = match block.metric.as_str() {
            "emissions" => (0, "t"),
            "energy" => (1, "MWh"),
            _ => continue,
        };
        if block.unit != unit || block.interval != "1h" {
            let said = format!("{} in `{}` each `{}`", block.metric, plain(&block.unit), plain(&block.interval));
            return Err(FeedError::Refused(format!("{said}: {unit} each 1h was asked for")));
        }
        for (at, value) in block.results.iter().filter(|rows| rows.is_of(region)).flat_map(|rows| &rows.data) {
            // Its answers say their offset; a bare time would be anybody's.
            let from = time(at, false).ok_or_else(|| FeedError::Refused(format!("`{}` is no time", plain(at))))?;
            sums[place].insert(from, value.0);
        }
    }
    let [emissions, energy] = sums;
    if energy.is_empty() {
        return Err(FeedError::NoData(format!("nothing about region `{}`", plain(region))));
    }
    let mut points = Points::default();
    for (from, energy) in energy {
        // Tonnes by megawatt-hours; where nothing is generated there is no intensity.
        let emissions = emissions.get(&from).copied().flatten();
        let value = emissions.zip(energy.filter(|energy| *energy > 0.0)).map(|(tonnes, energy)| tonnes / energy * 1e3);
        points.at(from, value, Grade::Measured);
    }
    Ok(points)
}
