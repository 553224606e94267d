//! WattTime v3: marginal intensity every five minutes, 72 hours ahead, with an account. A token lasts half an hour; a plan limit
//! never leads to a login. Percentiles and health damage are not intensities and are refused.

use super::super::feed::{
    Ask, Feed, FeedError, Heard, Manners, Reply, Request, Secret, Signal, Terms, Told, Values, Want,
};
use super::super::wire::points::Points;
use super::super::wire::{Number, is_html, json, plain, said, time, trouble};
use super::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Accounting, Basis, Grade, Kind, Scope};
use serde::Deserialize;

/// Where it is, unless a configuration says otherwise.
pub const BASE: &str = "https://api.watttime.org";
/// g/kWh in one lb/MWh.
const POUNDS: f64 = 0.453_592_37;
/// A token is renewed after so long; it lasts half an hour.
const RENEW: TimeDelta = TimeDelta::minutes(25);

/// The service.
#[derive(Debug)]
pub struct WattTime {
    base: String,
    /// `user:password` in base 64.
    account: Secret,
    token: Option<(Secret, DateTime<Utc>)>,
    /// The token was refused once since it came: a second time the account is at fault.
    refused: bool,
    logging_in: bool,
    manners: Manners,
    parts: Parts,
}

impl WattTime {
    /// With an account.
    #[must_use]
    pub fn new(base: Option<String>, user: &Secret, password: &Secret) -> Self {
        Self {
            base: base.unwrap_or_else(|| BASE.to_owned()),
            account: Secret::new(&base64(format!("{}:{}", user.reveal(), password.reveal()).as_bytes())),
            token: None,
            refused: false,
            logging_in: false,
            manners: Manners {
                poll: TimeDelta::minutes(5),
                delay: TimeDelta::seconds(30),
                gap: TimeDelta::milliseconds(100),
                after_429: TimeDelta::seconds(30),
                settled: TimeDelta::hours(72),
                terms: Terms::Private,
            },
            parts: Parts::default(),
        }
    }

    fn heard_token(&mut self, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        #[derive(Deserialize)]
        struct Token {
            token: String,
        }
        self.logging_in = false;
        if matches!(reply.status, 401 | 403) {
            return Err(FeedError::Key("user or password".to_owned()));
        }
        if let Some(trouble) = trouble(reply, now) {
            return Err(trouble);
        }
        let token: Token = json(&reply.body).map_err(|_| FeedError::Refused("a login without a token".to_owned()))?;
        self.token = Some((Secret::new(&token.token), now));
        Ok(Heard::AskAgain)
    }
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

impl Feed for WattTime {
    fn name(&self) -> &str {
        "watttime"
    }

    fn ask(&mut self, want: &Want, now: DateTime<Utc>) -> Ask {
        if want.signal != Signal::Intensity {
            return Ask::Never(FeedError::Misconfigured("it knows no prices".to_owned()));
        }
        let fresh = self.token.as_ref().filter(|(_, since)| now - *since < RENEW);
        let Some((token, _)) = fresh else {
            self.logging_in = true;
            let mut login = Request::get(format!("{}/login", self.base));
            login
                .secret_headers
                .push(("authorization".to_owned(), Secret::new(&format!("Basic {}", self.account.reveal()))));
            return Ask::Send(login);
        };
        let path = if self.parts.count(want) == 0 { "historical" } else { "forecast" };
        let mut request = Request::get(format!("{}/v3/{path}", self.base))
            .with("region", &want.theirs)
            .with("signal_type", "co2_moer");
        let stamp = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M+00:00").to_string();
        request = if path == "forecast" {
            request.with("horizon_hours", "72")
        } else {
            let from = want.from.max(now - TimeDelta::days(30));
            request.with("start", stamp(from)).with("end", stamp(now)).with("include_imputed_marker", "true")
        };
        Ask::Send(request.bearing(token))
    }

    fn hear(&mut self, want: &Want, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        if self.logging_in {
            return self.heard_token(reply, now);
        }
        let scope_limit = reply.status == 403 && said(&reply.body).contains("Invalid scope");
        if scope_limit {
            self.parts.drop(want);
            return Err(FeedError::Plan(said(&reply.body)));
        }
        if matches!(reply.status, 401 | 403) && !is_html(reply) {
            self.token = None;
            if std::mem::replace(&mut self.refused, true) {
                self.parts.drop(want);
                return Err(FeedError::Key("a new token is refused as well".to_owned()));
            }
            return Ok(Heard::AskAgain);
        }
        self.refused = false;
        if let Some(trouble) = trouble(reply, now) {
            self.parts.drop(want);
            return Err(trouble);
        }
        let part = read(&reply.body, &want.theirs, now).inspect_err(|_| self.parts.drop(want))?;
        if self.parts.count(want) == 0 {
            self.parts.keep(want, part.points);
            return Ok(Heard::AskAgain);
        }
        let points = self.parts.join(want, part.points);
        let values = Values::Intensity(points.intensity(Some(part.step))?);
        Ok(Heard::Series(Told { values, basis: part.basis, issued: part.issued, notes: part.notes }))
    }

    fn manners(&self) -> &Manners {
        &self.manners
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    data: Vec<Row>,
    meta: Meta,
}

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    point_time: String,
    #[serde(default)]
    value: Number,
    #[serde(default)]
    imputed_data_used: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    data_point_period_seconds: Option<i64>,
    region: Option<String>,
    signal_type: String,
    units: String,
    model: Model,
    generated_at: Option<String>,
    warnings: Vec<serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Model {
    date: Option<String>,
}

/// One answer.
#[derive(Debug)]
pub struct Part {
    /// Its points.
    pub points: Points,
    /// What they measure.
    pub basis: Basis,
    /// When a forecast was issued.
    pub issued: Option<DateTime<Utc>>,
    /// How long a value stands for.
    pub step: TimeDelta,
    /// Its own warnings.
    pub notes: Vec<String>,
}

/// Reads `forecast` and `historical`.
///
/// # Errors
/// [`FeedError`].
pub fn read(body: &[u8], region: &str, now: DateTime<Utc>) -> Result<Part, FeedError> {
    let Body { data, meta } = json(body)?;
    let scale = match meta.units.as_str() {
        "lbs_co2_per_mwh" => POUNDS,
        "g_co2_per_kwh" | "kg_co2_per_mwh" => 1.0,
        other => return Err(FeedError::Refused(format!("values in `{}` are no carbon intensity", plain(other)))),
    };
    let kind = match meta.signal_type.as_str() {
        "co2_moer" => Kind::Marginal,
        "co2_aoer" => Kind::Average,
        other => return Err(FeedError::Refused(format!("`{}` is no carbon intensity", plain(other)))),
    };
    if let Some(got) = meta.region.as_deref().filter(|got| *got != region) {
        return Err(FeedError::Refused(format!(
            "asked for region {}, the answer is about {}",
            plain(region),
            plain(got)
        )));
    }
    let issued = meta.generated_at.as_deref().and_then(|text| time(text, false));
    let mut points = Points::default();
    for row in data {
        let Some(at) = time(&row.point_time, false) else {
            return Err(FeedError::Refused(format!("`{}` is no time", plain(&row.point_time))));
        };
        let ahead = at >= issued.unwrap_or(now) && kind == Kind::Marginal;
        let grade = match (ahead, row.imputed_data_used) {
            (true, _) => Grade::Forecast,
            (false, true) => Grade::Estimated,
            (false, false) => Grade::Measured,
        };
        points.at(at, row.value.0.map(|value| value * scale), grade);
    }
    let step = meta.data_point_period_seconds.filter(|s| (60..=86_400).contains(s)).unwrap_or(300);
    let basis = Basis {
        kind,
        scope: Scope::Direct,
        accounting: Accounting::Unstated,
        factors: meta.model.date.map(|date| format!("watttime {}", plain(&date))),
    };
    let notes = meta.warnings.iter().map(|warning| plain(&warning.to_string())).collect();
    Ok(Part { points, basis, issued, step: TimeDelta::seconds(step), notes })
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_is_as_everywhere() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("user:pass", "dXNlcjpwYXNz")]
        {
            assert_eq!(super::base64(plain.as_bytes()), coded);
        }
    }
}
