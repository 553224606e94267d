//! EIA v2: hourly generation by fuel of US balancing authorities, with a free key; the intensity is reckoned here. No forecast.
//!
//! `period` is the END of the hour. The key goes in the address, which is why addresses are never shown whole.

use super::super::feed::{
    Ask, Feed, FeedError, Heard, Manners, Reply, Request, Secret, Signal, Terms, Told, Values, Want,
};
use super::super::mix::{Class, Factors, Mixed, mixed};
use super::super::wire::points::Points;
use super::super::wire::{Number, json, plain, said, time, trouble};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Where it is, unless a configuration says otherwise.
pub const BASE: &str = "https://api.eia.gov";
/// Most rows of one page.
const PAGE: usize = 5_000;
/// Most pages of one poll.
const PAGES: usize = 10;
const HOUR: TimeDelta = TimeDelta::hours(1);

/// Fuel and megawatt-hours by the start of the hour.
type Hours = BTreeMap<DateTime<Utc>, BTreeMap<String, Option<f64>>>;

/// The service.
#[derive(Debug)]
pub struct Eia {
    base: String,
    key: Secret,
    factors: Factors,
    manners: Manners,
    /// Rows so far of each zone, and how many.
    pages: BTreeMap<String, (Hours, usize)>,
}

impl Eia {
    /// With a key and a set of factors.
    #[must_use]
    pub fn new(base: Option<String>, key: Secret, factors: Factors) -> Self {
        Self {
            base: base.unwrap_or_else(|| BASE.to_owned()),
            key,
            factors,
            manners: Manners {
                poll: TimeDelta::minutes(30),
                delay: TimeDelta::minutes(5),
                gap: TimeDelta::seconds(1),
                after_429: TimeDelta::seconds(600),
                settled: TimeDelta::hours(72),
                terms: Terms::Open { credit: "U.S. Energy Information Administration, public domain".to_owned() },
            },
            pages: BTreeMap::new(),
        }
    }
}

impl Feed for Eia {
    fn name(&self) -> &str {
        "eia"
    }

    fn ask(&mut self, want: &Want, now: DateTime<Utc>) -> Ask {
        if want.signal != Signal::Intensity {
            return Ask::Never(FeedError::Misconfigured("it knows no prices".to_owned()));
        }
        let stamp = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H").to_string();
        let offset = self.pages.get(&want.zone).map_or(0, |(_, rows)| *rows);
        let mut request = Request::get(format!("{}/v2/electricity/rto/fuel-type-data/data/", self.base))
            .with("frequency", "hourly")
            .with("data[0]", "value")
            .with("facets[respondent][]", &want.theirs)
            .with("start", stamp(want.from + HOUR))
            .with("end", stamp(now + HOUR))
            .with("sort[0][column]", "period")
            .with("sort[0][direction]", "desc")
            .with("length", PAGE.to_string())
            .with("offset", offset.to_string());
        request.secret_query.push(("api_key", self.key.clone()));
        Ask::Send(request)
    }

    fn hear(&mut self, want: &Want, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        let (mut hours, before) = self.pages.remove(&want.zone).unwrap_or_default();
        match (reply.status, trouble(reply, now)) {
            (403, Some(FeedError::Plan(_))) => {
                let text = String::from_utf8_lossy(&reply.body);
                // A key that worked before and is refused without these words is throttled.
                let bad = text.contains("API_KEY_INVALID") || text.contains("API_KEY_MISSING");
                return Err(if bad { FeedError::Key(said(&reply.body)) } else { FeedError::TooMany(None) });
            }
            (_, Some(trouble)) => return Err(trouble),
            (_, None) => {}
        }
        let (rows, total) = read(&reply.body, &want.theirs, &mut hours)?;
        let seen = before + rows;
        if rows > 0 && seen < total && seen < PAGE * PAGES {
            self.pages.insert(want.zone.clone(), (hours, seen));
            return Ok(Heard::AskAgain);
        }
        let (points, share) = intensities(&hours, &self.factors);
        let notes = if share > 0.0 {
            vec![format!("{:.1} % of the generation has no factor", share * 100.0)]
        } else {
            Vec::new()
        };
        let values = Values::Intensity(points.intensity(Some(HOUR))?);
        Ok(Heard::Series(Told { values, basis: self.factors.basis(), issued: None, notes }))
    }

    fn manners(&self) -> &Manners {
        &self.manners
    }
}

#[derive(Deserialize)]
struct Body {
    response: Response,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Response {
    total: Number,
    data: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    period: String,
    #[serde(default)]
    respondent: String,
    #[serde(default)]
    fueltype: String,
    /// Absent from every row where the request forgot `data[0]`.
    value: Option<Number>,
}

/// Reads one page into `hours`. Says how many rows it had, and how many there are in all.
///
/// # Errors
/// [`FeedError`].
pub fn read(body: &[u8], respondent: &str, hours: &mut Hours) -> Result<(usize, usize), FeedError> {
    let Body { response } = json(body)?;
    let rows = response.data.len();
    if rows == 0 && hours.is_empty() {
        return Err(FeedError::NoData(format!("no rows about respondent {}: is it spelt right?", plain(respondent))));
    }
    if rows > 0 && response.data.iter().all(|row| row.value.is_none()) {
        return Err(FeedError::Refused("rows without `value`: the request lacks data[0]=value".to_owned()));
    }
    for row in response.data {
        if row.respondent != respondent {
            let message = format!("asked for {}, a row is about {}", plain(respondent), plain(&row.respondent));
            return Err(FeedError::Refused(message));
        }
        let Some(end) = time(&row.period, true) else {
            return Err(FeedError::Refused(format!("`{}` is no hour", plain(&row.period))));
        };
        let value = row.value.and_then(|value| value.0);
        hours.entry(end - HOUR).or_default().insert(row.fueltype, value);
    }
    let total = response.total.0.filter(|total| (0.0..1e7).contains(total)).unwrap_or(0.0);
    Ok((rows, total as usize))
}

/// The intensity of each hour that is complete: every fuel of the same hour a day before is there. With the largest share of
/// generation without a factor.
fn intensities(hours: &Hours, factors: &Factors) -> (Points, f64) {
    let (mut points, mut largest) = (Points::default(), 0.0f64);
    let known = |fuels: &BTreeMap<String, Option<f64>>| -> BTreeSet<String> {
        fuels.iter().filter(|(_, value)| value.is_some()).map(|(fuel, _)| fuel.clone()).collect()
    };
    for (start, fuels) in hours {
        let here = known(fuels);
        let before = hours.get(&(*start - TimeDelta::days(1))).map(known).unwrap_or_default();
        let complete = before.is_subset(&here);
        let mix = mix(fuels, factors);
        largest = largest.max(mix.unattributed);
        points.at(*start, mix.grams.filter(|_| complete), mix.grade);
    }
    (points, largest)
}

/// What one hour's generation comes to.
fn mix(fuels: &BTreeMap<String, Option<f64>>, factors: &Factors) -> Mixed {
    let known = fuels.iter().filter_map(|(fuel, value)| Some((Class::of_eia(fuel), (*value)?)));
    mixed(&known.collect::<Vec<_>>(), factors)
}

/// For tests and reports: intensity and share without a factor of one hour's generation.
#[must_use]
pub fn hour(hours: &Hours, start: DateTime<Utc>, factors: &Factors) -> Option<(f64, f64)> {
    let mix = mix(hours.get(&start)?, factors);
    Some((mix.grams?, mix.unattributed))
}
