//! Energy-Charts (Fraunhofer ISE): about 40 European countries, mostly quarter hours, to the end of the day; day-ahead prices
//! by bidding zone. No key. Average, lifecycle.
//!
//! A zone is a country's code (`de`); for prices a bidding zone (`DE-LU`).

use super::super::feed::{Ask, Feed, FeedError, Heard, Manners, Reply, Request, Signal, Terms, Told, Values, Want};
use super::super::wire::points::Points;
use super::super::wire::{Number, json, said, time, trouble};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Accounting, Basis, Grade, Kind, Scope};
use serde::Deserialize;

/// Where it is, unless a configuration says otherwise.
pub const BASE: &str = "https://api.energy-charts.info";

/// The service.
#[derive(Debug)]
pub struct EnergyCharts {
    base: String,
    manners: Manners,
}

impl EnergyCharts {
    /// At that address.
    #[must_use]
    pub fn new(base: Option<String>) -> Self {
        Self {
            base: base.unwrap_or_else(|| BASE.to_owned()),
            manners: Manners {
                poll: TimeDelta::minutes(15),
                delay: TimeDelta::minutes(1),
                gap: TimeDelta::seconds(3),
                after_429: TimeDelta::seconds(6),
                settled: TimeDelta::hours(24),
                terms: Terms::Open { credit: "Energy-Charts, Fraunhofer ISE, CC BY 4.0".to_owned() },
            },
        }
    }
}

impl Feed for EnergyCharts {
    fn name(&self) -> &str {
        "energy-charts"
    }

    fn ask(&mut self, want: &Want, _: DateTime<Utc>) -> Ask {
        // Dates are local and inclusive: a day more on either side, what is too much is cut off.
        let day = |at: DateTime<Utc>| at.format("%Y-%m-%d").to_string();
        let (path, name, zone) = match want.signal {
            Signal::Intensity => ("/co2eq", "country", want.theirs.to_lowercase()),
            Signal::Price => ("/v2/price", "bzn", want.theirs.clone()),
        };
        let request = Request::get(format!("{}{path}", self.base)).with(name, zone);
        Ask::Send(request.with("start", day(want.from)).with("end", day(want.until)))
    }

    fn hear(&mut self, want: &Want, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        if reply.status == 404 {
            // Also the answer for a day that has no data yet.
            return Err(FeedError::NoData(said(&reply.body)));
        }
        if let Some(trouble) = trouble(reply, now) {
            return Err(trouble);
        }
        let told = match want.signal {
            Signal::Intensity => intensity(&reply.body)?,
            Signal::Price => price(&reply.body)?,
        };
        Ok(Heard::Series(told))
    }

    fn manners(&self) -> &Manners {
        &self.manners
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Co2 {
    unix_seconds: Vec<i64>,
    co2eq: Vec<Number>,
    co2eq_forecast: Vec<Number>,
    substitute: bool,
}

fn second(seconds: i64) -> Result<DateTime<Utc>, FeedError> {
    DateTime::from_timestamp(seconds, 0).ok_or_else(|| FeedError::Refused(format!("{seconds} is no time")))
}

/// Reads `/co2eq`: measured values first, the forecast where there is none.
///
/// # Errors
/// [`FeedError`].
pub fn intensity(body: &[u8]) -> Result<Told, FeedError> {
    let body: Co2 = json(body)?;
    let (times, measured, forecast) = (body.unix_seconds.len(), body.co2eq.len(), body.co2eq_forecast.len());
    if times != measured || (forecast != times && forecast != 0) {
        return Err(FeedError::Refused(format!("{times} times for {measured} values and {forecast} forecasts")));
    }
    let mut points = Points::default();
    for (n, seconds) in body.unix_seconds.iter().enumerate() {
        let ahead = body.co2eq_forecast.get(n).copied().unwrap_or_default();
        let (value, grade) = match (body.co2eq[n].0, ahead.0) {
            (Some(value), _) => (Some(value), Grade::Measured),
            (None, ahead) => (ahead, Grade::Forecast),
        };
        points.at(second(*seconds)?, value, if body.substitute { Grade::Estimated } else { grade });
    }
    let basis = Basis { kind: Kind::Average, scope: Scope::Lifecycle, accounting: Accounting::Unstated, factors: None };
    let notes = if body.substitute { vec!["it says these are substitute values".to_owned()] } else { Vec::new() };
    Ok(Told { values: Values::Intensity(points.intensity(None)?), basis, issued: None, notes })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Prices {
    unit: String,
    /// Version 1.
    unix_seconds: Vec<i64>,
    price: Vec<Number>,
    /// Version 2.
    data: Vec<Dated>,
    interval_minutes: Option<i64>,
}

#[derive(Deserialize)]
struct Dated {
    timestamp: String,
    #[serde(default)]
    values: DayAhead,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DayAhead {
    day_ahead_price: Number,
}

/// Reads `/v2/price` and `/price`.
///
/// # Errors
/// [`FeedError`].
pub fn price(body: &[u8]) -> Result<Told, FeedError> {
    let body: Prices = json(body)?;
    let unit: String = body.unit.split_whitespace().collect();
    let Some(currency) = unit.strip_suffix("/MWh").filter(|name| name.len() == 3) else {
        return Err(FeedError::Refused(format!("a price in `{}`", super::super::wire::plain(&body.unit))));
    };
    if body.unix_seconds.len() != body.price.len() {
        let message = format!("{} times for {} prices", body.unix_seconds.len(), body.price.len());
        return Err(FeedError::Refused(message));
    }
    let mut points = Points::default();
    for (seconds, price) in body.unix_seconds.iter().zip(&body.price) {
        points.at(second(*seconds)?, price.0, Grade::Measured);
    }
    for row in &body.data {
        let at = time(&row.timestamp, false);
        let at = at
            .ok_or_else(|| FeedError::Refused(format!("`{}` is no time", super::super::wire::plain(&row.timestamp))))?;
        points.at(at, row.values.day_ahead_price.0, Grade::Measured);
    }
    let step = body.interval_minutes.filter(|minutes| (1..=360).contains(minutes)).map(TimeDelta::minutes);
    let values = Values::Price(points.price(step)?, currency.to_owned());
    Ok(Told { values, basis: Basis::default(), issued: None, notes: Vec::new() })
}
