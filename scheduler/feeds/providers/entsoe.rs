//! ENTSO-E Transparency: generation by type (A75) and day-ahead prices (A44) of European zones, with a token. XML; no data is
//! status 200 with an acknowledgement. Entities and document types are never expanded.
//!
//! In curves of type A03 a missing position repeats the one before it; in A01 it is a hole. A series that goes out of the
//! zone is consumption. Of two auctions only the coupled one is the day-ahead price.

mod xml;

pub use xml::{Document, TimeSeries, document};

use super::super::feed::{
    Ask, Feed, FeedError, Heard, Manners, Reply, Request, Secret, Signal, Terms, Told, Values, Want,
};
use super::super::mix::{Class, Factors, mixed};
use super::super::wire::points::{MOST, Points};
use super::super::wire::{plain, trouble};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Basis, Grade};
use std::collections::{BTreeMap, BTreeSet};

/// Where it is, unless a configuration says otherwise.
pub const BASE: &str = "https://web-api.tp.entsoe.eu/api";
/// Generation is published with up to twelve hours of lag, types at different times: so far back is always asked.
const BACK: TimeDelta = TimeDelta::hours(30);

/// The service.
#[derive(Debug)]
pub struct Entsoe {
    base: String,
    token: Secret,
    factors: Factors,
    manners: Manners,
}

impl Entsoe {
    /// With a token and a set of factors.
    #[must_use]
    pub fn new(base: Option<String>, token: Secret, factors: Factors) -> Self {
        Self {
            base: base.unwrap_or_else(|| BASE.to_owned()),
            token,
            factors,
            manners: Manners {
                poll: TimeDelta::hours(1),
                delay: TimeDelta::minutes(5),
                gap: TimeDelta::milliseconds(200),
                after_429: TimeDelta::seconds(600),
                settled: TimeDelta::hours(72),
                terms: Terms::Open { credit: "ENTSO-E Transparency Platform".to_owned() },
            },
        }
    }
}

impl Feed for Entsoe {
    fn name(&self) -> &str {
        "entsoe"
    }

    fn ask(&mut self, want: &Want, now: DateTime<Utc>) -> Ask {
        let stamp = |at: DateTime<Utc>| at.format("%Y%m%d%H00").to_string();
        let mut request = Request::get(&self.base);
        request = match want.signal {
            Signal::Intensity => request
                .with("documentType", "A75")
                .with("processType", "A16")
                .with("in_Domain", &want.theirs)
                .with("periodStart", stamp(want.from.min(now - BACK)))
                .with("periodEnd", stamp(now + TimeDelta::hours(1))),
            Signal::Price => request
                .with("documentType", "A44")
                .with("contract_MarketAgreement.type", "A01")
                .with("in_Domain", &want.theirs)
                .with("out_Domain", &want.theirs)
                .with("periodStart", stamp(want.from))
                .with("periodEnd", stamp(want.until)),
        };
        request.secret_query.push(("securityToken", self.token.clone()));
        Ask::Send(request)
    }

    fn hear(&mut self, want: &Want, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        let acknowledged = document(&reply.body).ok().and_then(|document| document.reason);
        match (acknowledged, trouble(reply, now)) {
            (Some(text), _) if text.starts_with("No matching data found") => {
                return Err(FeedError::NoData(plain(&text)));
            }
            (Some(text), _) if text.to_lowercase().contains("authentication") => {
                return Err(FeedError::Key(plain(&text)));
            }
            (Some(text), _) => return Err(FeedError::Misconfigured(plain(&text))),
            (None, Some(trouble)) => return Err(trouble),
            (None, None) => {}
        }
        let document = document(&reply.body)?;
        let told = match want.signal {
            Signal::Intensity => generation(&document, &want.theirs, &self.factors)?,
            Signal::Price => price(&document)?,
        };
        Ok(Heard::Series(told))
    }

    fn manners(&self) -> &Manners {
        &self.manners
    }
}

/// Values of one series on a grid of `step`: A03 repeats, A01 leaves holes. A longer resolution stands for each of its steps.
fn spread(series: &TimeSeries, step: TimeDelta, mut put: impl FnMut(DateTime<Utc>, f64)) -> Result<(), FeedError> {
    for period in &series.periods {
        let count = (period.until - period.from).num_seconds() / period.resolution.num_seconds().max(1);
        let parts = (period.resolution.num_seconds() / step.num_seconds().max(1)).max(1);
        if !(0..=i64::try_from(MOST).unwrap_or(i64::MAX)).contains(&count.saturating_mul(parts)) {
            return Err(FeedError::Refused(format!("a period of {count} points")));
        }
        let known: BTreeMap<i64, f64> = period.points.iter().copied().collect();
        let mut last = None;
        for position in 1..=count {
            let value = known.get(&position).copied().or(last.filter(|_| series.repeats));
            last = value;
            let Some(value) = value else { continue };
            for part in 0..parts {
                let steps = i32::try_from((position - 1) * parts + part).unwrap_or(i32::MAX);
                put(period.from + step * steps, value);
            }
        }
    }
    Ok(())
}

/// The finest resolution of a document.
fn finest(document: &Document) -> Option<TimeDelta> {
    document.series.iter().flat_map(|series| &series.periods).map(|period| period.resolution).min()
}

/// Intensity from a document A75: instants at which every type of a day before has a value.
///
/// # Errors
/// [`FeedError`].
pub fn generation(document: &Document, zone: &str, factors: &Factors) -> Result<Told, FeedError> {
    let step = finest(document).ok_or_else(|| FeedError::NoData("no series in the document".to_owned()))?;
    let mut instants: BTreeMap<DateTime<Utc>, BTreeMap<&str, f64>> = BTreeMap::new();
    for series in &document.series {
        if series.outwards {
            continue;
        }
        if let Some(got) = series.domain.as_deref().filter(|got| *got != zone) {
            return Err(FeedError::Refused(format!("asked for {}, the answer is about {}", plain(zone), plain(got))));
        }
        if series.unit.as_deref().is_some_and(|unit| unit != "MAW") {
            return Err(FeedError::Refused(format!(
                "generation in `{}`",
                plain(series.unit.as_deref().unwrap_or_default())
            )));
        }
        let Some(kind) = series.kind.as_deref() else {
            return Err(FeedError::Refused("a series of generation without its type".to_owned()));
        };
        spread(series, step, |at, value| {
            *instants.entry(at).or_default().entry(kind).or_default() += value;
        })?;
    }
    let types = |at: &DateTime<Utc>| -> BTreeSet<&str> {
        instants.get(at).map(|row| row.keys().copied().collect()).unwrap_or_default()
    };
    let all: BTreeSet<&str> = instants.values().flat_map(|row| row.keys().copied()).collect();
    let first = instants.keys().next().copied();
    let (mut points, mut largest) = (Points::default(), 0.0f64);
    for (at, row) in &instants {
        let a_day_before = *at - TimeDelta::days(1);
        // In the first day of a document there is no day before: every type of the document is waited for.
        let expected =
            if first.is_some_and(|first| a_day_before >= first) { types(&a_day_before) } else { all.clone() };
        let complete = expected.iter().all(|kind| row.contains_key(kind));
        let mix = mixed(&row.iter().map(|(kind, value)| (Class::of_entsoe(kind), *value)).collect::<Vec<_>>(), factors);
        largest = largest.max(mix.unattributed);
        points.at(*at, mix.grams.filter(|_| complete), mix.grade);
    }
    let notes = if largest > 0.0 {
        vec![format!("{:.1} % of the generation has no factor", largest * 100.0)]
    } else {
        Vec::new()
    };
    let values = Values::Intensity(points.intensity(Some(step))?);
    Ok(Told { values, basis: factors.basis(), issued: None, notes })
}

/// Day-ahead prices from a document A44.
///
/// # Errors
/// [`FeedError`].
pub fn price(document: &Document) -> Result<Told, FeedError> {
    let coupled: Vec<&TimeSeries> = document
        .series
        .iter()
        .filter(|series| series.auction.as_deref().is_none_or(|position| position == "1"))
        .collect();
    if coupled.is_empty() {
        return Err(FeedError::NoData("the day-ahead auction is not published yet".to_owned()));
    }
    let (mut points, mut currency, mut step) = (Points::default(), None, None);
    for series in coupled {
        let named = series.currency.as_deref().filter(|name| name.len() == 3);
        let named = named.ok_or_else(|| FeedError::Refused("a price without its currency".to_owned()))?;
        if series.unit.as_deref().is_some_and(|unit| unit != "MWH") || currency.is_some_and(|known| known != named) {
            return Err(FeedError::Refused("prices in units or currencies that differ".to_owned()));
        }
        currency = Some(named);
        let resolution = series.periods.iter().map(|period| period.resolution).min();
        let resolution = resolution.ok_or_else(|| FeedError::NoData("a series without a period".to_owned()))?;
        step = Some(step.map_or(resolution, |known: TimeDelta| known.min(resolution)));
        spread(series, resolution, |at, value| points.over(at, at + resolution, Some(value), Grade::Measured))?;
    }
    let values = Values::Price(points.price(step)?, currency.unwrap_or_default().to_owned());
    Ok(Told { values, basis: Basis::default(), issued: None, notes: Vec::new() })
}
