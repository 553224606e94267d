//! Nord Pool's data portal: day-ahead prices of its delivery areas, by quarter hours. No key; not an official interface, so it may
//! change without notice. A day is a day of Central European time; tomorrow's is there from about 13:00.

use super::super::feed::{Ask, Feed, FeedError, Heard, Manners, Reply, Request, Signal, Terms, Told, Values, Want};
use super::super::wire::points::Points;
use super::super::wire::{Number, json, plain, time, trouble};
use super::Parts;
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Basis, Grade};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Where it is, unless a configuration says otherwise.
pub const BASE: &str = "https://dataportal-api.nordpoolgroup.com";

/// The service.
#[derive(Debug)]
pub struct NordPool {
    base: String,
    currency: String,
    manners: Manners,
    parts: Parts,
}

impl NordPool {
    /// At that address, in that currency.
    #[must_use]
    pub fn new(base: Option<String>, currency: String) -> Self {
        Self {
            base: base.unwrap_or_else(|| BASE.to_owned()),
            currency,
            manners: Manners {
                poll: TimeDelta::minutes(30),
                delay: TimeDelta::minutes(2),
                gap: TimeDelta::seconds(5),
                after_429: TimeDelta::seconds(300),
                settled: TimeDelta::hours(24),
                // Its terms allow own use, not publishing again.
                terms: Terms::Private,
            },
            parts: Parts::default(),
        }
    }

    fn told(&mut self, want: &Want, last: Points) -> Result<Heard, FeedError> {
        let values = Values::Price(self.parts.join(want, last).price(None)?, self.currency.clone());
        Ok(Heard::Series(Told { values, basis: Basis::default(), issued: None, notes: Vec::new() }))
    }
}

impl Feed for NordPool {
    fn name(&self) -> &str {
        "nord-pool"
    }

    fn ask(&mut self, want: &Want, now: DateTime<Utc>) -> Ask {
        if want.signal != Signal::Price {
            return Ask::Never(FeedError::Misconfigured("it knows prices only".to_owned()));
        }
        if want.theirs.is_empty() || !want.theirs.chars().all(|c| c.is_ascii_alphanumeric()) {
            let said = plain(&want.theirs);
            return Ask::Never(FeedError::Misconfigured(format!("`{said}` is no delivery area: SE3, DK1, FI")));
        }
        let today = now.with_timezone(&chrono_tz::CET).date_naive();
        let day = if self.parts.count(want) == 0 { today } else { today.succ_opt().unwrap_or(today) };
        Ask::Send(
            Request::get(format!("{}/api/DayAheadPrices", self.base))
                .with("date", day.format("%Y-%m-%d").to_string())
                .with("market", "DayAhead")
                .with("deliveryArea", want.theirs.clone())
                .with("currency", self.currency.clone()),
        )
    }

    fn hear(&mut self, want: &Want, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        let tomorrow = self.parts.count(want) > 0;
        match trouble(reply, now) {
            // Not published yet: today's stand alone.
            Some(FeedError::NoData(_)) if tomorrow => return self.told(want, Points::default()),
            Some(trouble) => {
                self.parts.drop(want);
                return Err(trouble);
            }
            None => {}
        }
        let points = read(&reply.body, &want.theirs).inspect_err(|_| self.parts.drop(want))?;
        if tomorrow {
            return self.told(want, points);
        }
        self.parts.keep(want, points);
        Ok(Heard::AskAgain)
    }

    fn manners(&self) -> &Manners {
        &self.manners
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    market: String,
    multi_area_entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    delivery_start: String,
    delivery_end: String,
    entry_per_area: BTreeMap<String, Number>,
}

/// Reads a day's prices of an area, per MWh in the currency that was asked for.
///
/// # Errors
/// [`FeedError`].
pub fn read(body: &[u8], area: &str) -> Result<Points, FeedError> {
    let body: Body = json(body)?;
    if body.market != "DayAhead" {
        return Err(FeedError::Refused(format!("prices of market `{}`, not of DayAhead", plain(&body.market))));
    }
    let bad = |text: &str| FeedError::Refused(format!("`{}` is no time", plain(text)));
    let mut points = Points::default();
    for entry in &body.multi_area_entries {
        let Some(value) = entry.entry_per_area.get(area) else { continue };
        let from = time(&entry.delivery_start, false).ok_or_else(|| bad(&entry.delivery_start))?;
        let until = time(&entry.delivery_end, false).ok_or_else(|| bad(&entry.delivery_end))?;
        points.over(from, until, value.0, Grade::Measured);
    }
    if points.is_empty() {
        return Err(FeedError::NoData(format!("nothing about area `{}`", plain(area))));
    }
    Ok(points)
}
