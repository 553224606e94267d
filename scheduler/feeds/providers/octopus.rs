//! Octopus Agile: half-hourly retail prices of Great Britain's regions, in pence per kWh. No key. Newest first, by pages.
//!
//! A zone is a product and a tariff: `AGILE-24-10-01/E-1R-AGILE-24-10-01-C`; its last letter is the region.

use super::super::feed::{Ask, Feed, FeedError, Heard, Manners, Reply, Request, Signal, Terms, Told, Values, Want};
use super::super::wire::points::Points;
use super::super::wire::{Number, json, plain, time, trouble};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Basis, Grade};
use serde::Deserialize;

/// Where it is, unless a configuration says otherwise.
pub const BASE: &str = "https://api.octopus.energy";
const STEP: TimeDelta = TimeDelta::minutes(30);

/// The service.
#[derive(Debug)]
pub struct Octopus {
    base: String,
    with_vat: bool,
    /// The one that is taken where rows of several overlap.
    payment: Option<String>,
    manners: Manners,
}

impl Octopus {
    /// At that address, with or without value-added tax.
    #[must_use]
    pub fn new(base: Option<String>, with_vat: bool, payment: Option<String>) -> Self {
        Self {
            base: base.unwrap_or_else(|| BASE.to_owned()),
            with_vat,
            payment,
            manners: Manners {
                poll: TimeDelta::minutes(30),
                delay: TimeDelta::minutes(5),
                gap: TimeDelta::seconds(2),
                after_429: TimeDelta::seconds(60),
                settled: TimeDelta::hours(24),
                terms: Terms::Private,
            },
        }
    }
}

impl Feed for Octopus {
    fn name(&self) -> &str {
        "octopus"
    }

    fn ask(&mut self, want: &Want, _: DateTime<Utc>) -> Ask {
        let tariff = want.theirs.split_once('/').filter(|_| want.signal == Signal::Price);
        let Some((product, tariff)) = tariff else {
            return Ask::Never(FeedError::Misconfigured("it knows prices only, of PRODUCT/TARIFF".to_owned()));
        };
        // Bare times would be read in London's.
        let stamp = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%MZ").to_string();
        let address = format!("{}/v1/products/{product}/electricity-tariffs/{tariff}/standard-unit-rates/", self.base);
        // 1,500 half hours are a month: more than is ever wanted, so there is no second page.
        let request = Request::get(address).with("period_from", stamp(want.from)).with("period_to", stamp(want.until));
        Ask::Send(request.with("page_size", "1500"))
    }

    fn hear(&mut self, _: &Want, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        if let Some(trouble) = trouble(reply, now) {
            return Err(trouble);
        }
        let (points, more) = read(&reply.body, self.with_vat, self.payment.as_deref())?;
        let notes = if more { vec!["only the newest 1500 rows were taken".to_owned()] } else { Vec::new() };
        let values = Values::Price(points.price(Some(STEP))?, "GBP".to_owned());
        Ok(Heard::Series(Told { values, basis: Basis::default(), issued: None, notes }))
    }

    fn manners(&self) -> &Manners {
        &self.manners
    }
}

#[derive(Deserialize)]
struct Body {
    next: Option<String>,
    results: Vec<Rate>,
}

#[derive(Deserialize)]
struct Rate {
    #[serde(default)]
    value_exc_vat: Number,
    #[serde(default)]
    value_inc_vat: Number,
    valid_from: String,
    valid_to: Option<String>,
    payment_method: Option<String>,
}

/// Reads one page, in GBP per MWh. Says whether there are more.
///
/// # Errors
/// [`FeedError`].
pub fn read(body: &[u8], with_vat: bool, payment: Option<&str>) -> Result<(Points, bool), FeedError> {
    let body: Body = json(body)?;
    let mut points = Points::default();
    for rate in body.results {
        if rate.payment_method.is_some() && rate.payment_method.as_deref() != payment {
            continue;
        }
        let bad = |text: &str| FeedError::Refused(format!("`{}` is no time", plain(text)));
        let from = time(&rate.valid_from, false).ok_or_else(|| bad(&rate.valid_from))?;
        let until = match &rate.valid_to {
            Some(text) => time(text, false).ok_or_else(|| bad(text))?,
            None => from + STEP,
        };
        let pence = if with_vat { rate.value_inc_vat } else { rate.value_exc_vat };
        // p/kWh × 10 = GBP/MWh.
        points.over(from, until, pence.0.map(|pence| pence * 10.0), Grade::Measured);
    }
    Ok((points, body.next.is_some()))
}
