//! Any JSON over HTTP: pointers say where the points are, the site says what they measure. Nothing is guessed.

use super::super::feed::encoded;
use super::super::feed::{
    Ask, Feed, FeedError, Heard, Manners, Reply, Request, Secret, Signal, Terms, Told, Values, Want,
};
use super::super::wire::points::Points;
use super::super::wire::{json, plain, time, trouble};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Basis, Grade};
use serde_json::Value;

/// Where the values are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A list of objects: pointer to the list, and inside an entry to time, value, and perhaps end and grade.
    Points {
        /// To the list.
        list: String,
        /// To the time.
        time: String,
        /// To the value.
        value: String,
        /// To the end.
        end: Option<String>,
        /// To the grade: `measured`, `estimated`, `forecast`.
        grade: Option<String>,
    },
    /// Two lists of equal length.
    Arrays {
        /// To the times.
        times: String,
        /// To the values.
        values: String,
    },
}

/// What a site says about a source.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// As shown to people.
    pub name: String,
    /// Address; `{zone}`, `{from}` and `{until}` are filled in.
    pub url: String,
    /// Headers with secret values.
    pub headers: Vec<(String, Secret)>,
    /// Where the values are.
    pub layout: Layout,
    /// To when it was issued.
    pub issued: Option<String>,
    /// A time names the end of its step.
    pub label_is_end: bool,
    /// How long a value stands for; `None`: as the data show.
    pub step: Option<TimeDelta>,
    /// Factor to g/kWh, or to currency units per MWh.
    pub scale: f64,
    /// What an intensity measures.
    pub basis: Basis,
    /// Currency of prices; `None`: these are intensities.
    pub currency: Option<String>,
    /// Values that mean nothing is known.
    pub missing: Vec<f64>,
    /// What must stand where, `{zone}` filled in: else the answer is refused.
    pub expect: Vec<(String, String)>,
    /// Time between two polls.
    pub poll: TimeDelta,
}

/// The source.
#[derive(Debug)]
pub struct HttpJson {
    options: Options,
    manners: Manners,
}

impl HttpJson {
    /// As the site says.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let manners = Manners {
            poll: options.poll,
            delay: TimeDelta::zero(),
            gap: TimeDelta::milliseconds(100),
            after_429: TimeDelta::seconds(30),
            settled: TimeDelta::zero(),
            terms: Terms::Internal,
        };
        Self { options, manners }
    }
}

impl Feed for HttpJson {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn ask(&mut self, want: &Want, _: DateTime<Utc>) -> Ask {
        if (want.signal == Signal::Price) != self.options.currency.is_some() {
            return Ask::Never(FeedError::Misconfigured(
                "it is configured for the other of intensity and price".to_owned(),
            ));
        }
        let stamp = |at: DateTime<Utc>| encoded(&at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
        let address = self.options.url.replace("{zone}", &encoded(&want.theirs));
        let address = address.replace("{from}", &stamp(want.from)).replace("{until}", &stamp(want.until));
        let mut request = Request::get(address);
        request.secret_headers.clone_from(&self.options.headers);
        Ask::Send(request)
    }

    fn hear(&mut self, want: &Want, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        if let Some(trouble) = trouble(reply, now) {
            return Err(trouble);
        }
        read(&reply.body, &want.theirs, &self.options, now).map(Heard::Series)
    }

    fn manners(&self) -> &Manners {
        &self.manners
    }
}

fn instant(value: &Value) -> Option<DateTime<Utc>> {
    match value {
        Value::String(text) => time(text, false),
        // Seconds, or milliseconds where seconds would be past the year 5000.
        Value::Number(number) => match number.as_i64()? {
            seconds @ 0..95_617_584_000 => DateTime::from_timestamp(seconds, 0),
            millis => DateTime::from_timestamp_millis(millis),
        },
        _ => None,
    }
}

/// Reads a body as the site says.
///
/// # Errors
/// [`FeedError`].
pub fn read(body: &[u8], zone: &str, options: &Options, now: DateTime<Utc>) -> Result<Told, FeedError> {
    let body: Value = json(body)?;
    for (pointer, expected) in &options.expect {
        let expected = expected.replace("{zone}", zone);
        let found = body.pointer(pointer).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        if found.as_deref() != Some(expected.as_str()) {
            let found = found.map_or_else(|| "nothing".to_owned(), |text| format!("`{}`", plain(&text)));
            return Err(FeedError::Refused(format!("{pointer} holds {found}, not `{}`", plain(&expected))));
        }
    }
    let list = |pointer: &str| {
        let found = body.pointer(pointer).and_then(Value::as_array);
        found.ok_or_else(|| FeedError::Refused(format!("no list at {pointer}")))
    };
    let mut rows: Vec<(&Value, &Value, Option<&Value>, Option<&str>)> = Vec::new();
    match &options.layout {
        Layout::Points { list: at, time, value, end, grade } => {
            for entry in list(at)? {
                let part = |pointer: &String| entry.pointer(pointer);
                let Some(time) = part(time) else { return Err(FeedError::Refused(format!("an entry without {time}"))) };
                let grade = grade.as_ref().and_then(part).and_then(Value::as_str);
                rows.push((time, part(value).unwrap_or(&Value::Null), end.as_ref().and_then(part), grade));
            }
        }
        Layout::Arrays { times, values } => {
            let (times, values) = (list(times)?, list(values)?);
            if times.len() != values.len() {
                return Err(FeedError::Refused(format!("{} times for {} values", times.len(), values.len())));
            }
            rows.extend(times.iter().zip(values).map(|(time, value)| (time, value, None, None)));
        }
    }
    let mut points = Points::default();
    for (at, value, end, grade) in rows {
        let Some(at) = instant(at) else {
            return Err(FeedError::Refused(format!("`{}` is no time with a zone", plain(&at.to_string()))));
        };
        let value = match value {
            Value::Null => None,
            Value::Number(number) => number.as_f64(),
            Value::String(text) if text.trim().is_empty() => None,
            Value::String(text) => match text.trim().parse::<f64>() {
                Ok(value) if value.is_finite() => Some(value),
                _ => return Err(FeedError::Refused(format!("`{}` is no number", plain(text)))),
            },
            other => return Err(FeedError::Refused(format!("`{}` is no number", plain(&other.to_string())))),
        };
        let value = value.filter(|value| !options.missing.contains(value)).map(|value| value * options.scale);
        let step = options.step.unwrap_or(TimeDelta::zero());
        let at = if options.label_is_end { at - step } else { at };
        let grade = match grade {
            Some("measured") => Grade::Measured,
            Some("estimated") => Grade::Estimated,
            Some("forecast") => Grade::Forecast,
            Some(other) => return Err(FeedError::Refused(format!("`{}` is no grade", plain(other)))),
            None if at > now => Grade::Forecast,
            None => Grade::Measured,
        };
        match end.map(|end| instant(end).ok_or_else(|| FeedError::Refused("an end that is no time".to_owned()))) {
            Some(end) => points.over(at, end?, value, grade),
            None => points.at(at, value, grade),
        }
    }
    let issued = options.issued.as_ref().and_then(|pointer| body.pointer(pointer)).and_then(instant);
    let values = match &options.currency {
        Some(currency) => Values::Price(points.price(options.step)?, currency.clone()),
        None => Values::Intensity(points.intensity(options.step)?),
    };
    Ok(Told { values, basis: options.basis.clone(), issued, notes: Vec::new() })
}
