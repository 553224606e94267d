//! Tibber: the hourly prices that a household or firm pays, taxes included, today's and from about 13:00 tomorrow's. A token.
//!
//! A zone is which of the account's homes is meant, from 0.

use super::super::feed::{
    Ask, Feed, FeedError, Heard, Manners, Reply, Request, Secret, Signal, Terms, Told, Values, Want,
};
use super::super::wire::points::Points;
use super::super::wire::{Number, json, plain, time, trouble};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Basis, Grade};
use serde::Deserialize;

/// Where it is, unless a configuration says otherwise.
pub const BASE: &str = "https://api.tibber.com";
/// What is asked, in GraphQL.
const QUERY: &str = "{ viewer { homes { currentSubscription { priceInfo { current { currency } \
                     today { total startsAt } tomorrow { total startsAt } } } } } }";
const STEP: TimeDelta = TimeDelta::hours(1);

/// The service.
#[derive(Debug)]
pub struct Tibber {
    base: String,
    token: Secret,
    manners: Manners,
}

impl Tibber {
    /// At that address, with a token.
    #[must_use]
    pub fn new(base: Option<String>, token: Secret) -> Self {
        Self {
            base: base.unwrap_or_else(|| BASE.to_owned()),
            token,
            manners: Manners {
                poll: TimeDelta::minutes(30),
                delay: TimeDelta::minutes(3),
                gap: TimeDelta::seconds(5),
                // 100 questions in five minutes are allowed.
                after_429: TimeDelta::seconds(300),
                settled: TimeDelta::hours(24),
                terms: Terms::Private,
            },
        }
    }
}

impl Feed for Tibber {
    fn name(&self) -> &str {
        "tibber"
    }

    fn ask(&mut self, want: &Want, _: DateTime<Utc>) -> Ask {
        if want.signal != Signal::Price || want.theirs.parse::<usize>().is_err() {
            let said = plain(&want.theirs);
            let what = format!("it knows prices only, of one of the account's homes: 0, not `{said}`");
            return Ask::Never(FeedError::Misconfigured(what));
        }
        let json = Some(serde_json::json!({ "query": QUERY }).to_string());
        let request = Request::get(format!("{}/v1-beta/gql", self.base)).bearing(&self.token);
        Ask::Send(Request { json, ..request })
    }

    fn hear(&mut self, want: &Want, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        if let Some(trouble) = trouble(reply, now) {
            return Err(trouble);
        }
        let (points, currency) = read(&reply.body, want.theirs.parse().unwrap_or(0))?;
        let values = Values::Price(points.price(Some(STEP))?, currency);
        Ok(Heard::Series(Told { values, basis: Basis::default(), issued: None, notes: Vec::new() }))
    }

    fn manners(&self) -> &Manners {
        &self.manners
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    errors: Vec<Trouble>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Trouble {
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Data {
    viewer: Viewer,
}

#[derive(Deserialize)]
struct Viewer {
    homes: Vec<Home>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Home {
    current_subscription: Option<Subscription>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subscription {
    price_info: Option<Info>,
}

#[derive(Deserialize)]
struct Info {
    current: Option<Current>,
    #[serde(default)]
    today: Vec<Hour>,
    #[serde(default)]
    tomorrow: Vec<Hour>,
}

#[derive(Deserialize)]
struct Current {
    currency: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hour {
    #[serde(default)]
    total: Number,
    starts_at: String,
}

/// Reads the prices of a home per MWh, and their currency.
///
/// # Errors
/// [`FeedError`].
pub fn read(body: &[u8], home: usize) -> Result<(Points, String), FeedError> {
    let body: Body = json(body)?;
    // A refusal comes with status 200.
    if let Some(error) = body.errors.first() {
        return Err(FeedError::Refused(plain(&error.message)));
    }
    let homes = body.data.map(|data| data.viewer.homes).unwrap_or_default();
    let count = homes.len();
    let Some(home) = homes.into_iter().nth(home) else {
        return Err(FeedError::Misconfigured(format!("the account has {count} homes, counted from 0")));
    };
    let info = home.current_subscription.and_then(|subscription| subscription.price_info);
    let Some(Info { current: Some(current), today, tomorrow }) = info else {
        return Err(FeedError::NoData("that home has no running contract".to_owned()));
    };
    let mut points = Points::default();
    for hour in today.iter().chain(&tomorrow) {
        let from = time(&hour.starts_at, false)
            .ok_or_else(|| FeedError::Refused(format!("`{}` is no time", plain(&hour.starts_at))))?;
        points.at(from, hour.total.0.map(|total| total * 1e3), Grade::Measured);
    }
    if points.is_empty() {
        return Err(FeedError::NoData("no prices".to_owned()));
    }
    Ok((points, current.currency))
}
