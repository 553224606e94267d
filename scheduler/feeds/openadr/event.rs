//! An event as a server shows it, read: what it says in which unit, for whom, and when. One that cannot be read says why, and
//! it still counts as shown: what it said before holds on.
//!
//! A limit that comes out of here is finite and not negative, whatever came in.

use super::super::feed::FeedError;
use super::super::wire::points::{DEAREST, HIGHEST};
use super::super::wire::{json, plain};
use super::span::{Period, Span, When, spans};
use crate::config::PowerUnit;
use chrono::{DateTime, Utc};
use neap_model::units::{Intensity, Price, Watts};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Most intervals of one event.
const INTERVALS: usize = 1_000;
/// Most payloads of one interval.
const PAYLOADS: usize = 32;
/// Highest limit that is believed, in watts: far above any site.
const HIGHEST_LIMIT: f64 = 1e12;

/// What one payload says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Power must stay under it: `IMPORT_CAPACITY_LIMIT`, `DISPATCH_SETPOINT`.
    Cap(Watts),
    /// `SIMPLE`, 0 to 3.
    Level(u8),
    /// `PRICE`, by MWh, and its currency.
    Price(Price, String),
    /// `GHG`.
    Intensity(Intensity),
    /// `ALERT_…`, and its words.
    Alert(String),
}

/// An event that a poll showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The server's id of it.
    pub id: String,
    /// What it says, or why it is not acted upon.
    pub read: Result<Event, String>,
}

/// An event, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its program.
    pub program: String,
    /// Its name, where it has one.
    pub name: String,
    /// 0 is the highest; `None` the lowest.
    pub priority: Option<u32>,
    /// Whom it is for; empty: everybody who can read it.
    pub targets: BTreeSet<String>,
    /// Types of payloads that nothing is done about.
    pub ignored: BTreeSet<String>,
    period: When,
    intervals: Vec<(Option<When>, Vec<Said>)>,
}

impl Event {
    /// All that it says, with the time it holds. `first` is when it was seen first, `seed` names what is drawn.
    ///
    /// # Errors
    /// An interval that follows one without an end.
    pub fn spans(&self, first: DateTime<Utc>, seed: &str) -> Result<Vec<(Span, &[Said])>, String> {
        let periods: Vec<Option<When>> = self.intervals.iter().map(|(when, _)| *when).collect();
        let spans = spans(self.period, &periods, first, seed)?;
        Ok(spans.into_iter().zip(self.intervals.iter().map(|(_, said)| said.as_slice())).collect())
    }

    /// Types of payloads that change nothing here: unknown ones, and prices and intensities, which are read and not used yet.
    #[must_use]
    pub fn unused(&self) -> Vec<&str> {
        let said = self.intervals.iter().flat_map(|(_, said)| said);
        let words = said.filter_map(|said| match said {
            Said::Price(..) => Some("PRICE"),
            Said::Intensity(_) => Some("GHG"),
            Said::Cap(_) | Said::Level(_) | Said::Alert(_) => None,
        });
        let all: BTreeSet<&str> = self.ignored.iter().map(String::as_str).chain(words).collect();
        all.into_iter().collect()
    }

    /// How many things it says.
    #[must_use]
    pub fn len(&self) -> usize {
        self.intervals.iter().map(|(_, said)| said.len()).sum()
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(default, rename = "programID")]
    program: Option<String>,
    #[serde(default)]
    event_name: Option<String>,
    #[serde(default)]
    priority: Option<f64>,
    #[serde(default)]
    targets: Value,
    #[serde(default)]
    payload_descriptors: Option<Vec<Descriptor>>,
    #[serde(default)]
    interval_period: Option<Period>,
    #[serde(default)]
    intervals: Option<Vec<Interval>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    payload_type: String,
    #[serde(default)]
    units: Option<String>,
    #[serde(default)]
    currency: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Interval {
    #[serde(default)]
    interval_period: Option<Period>,
    #[serde(default)]
    payloads: Vec<Payload>,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    values: Vec<Value>,
}

/// Reads one page of events.
///
/// # Errors
/// [`FeedError::Refused`] if it is no list of events each with an id: then nothing can be said about which are there.
pub fn page(body: &[u8], units: Option<PowerUnit>) -> Result<Vec<Shown>, FeedError> {
    let all: Vec<Value> = json(body)?;
    all.into_iter().map(|value| shown(value, units)).collect()
}

fn shown(value: Value, units: Option<PowerUnit>) -> Result<Shown, FeedError> {
    let refused = |why: &str| FeedError::Refused(format!("its list holds {why}"));
    let id = value.get("id").and_then(Value::as_str).ok_or_else(|| refused("something without an id"))?;
    // Ids are part of ours: letters, digits, dashes, as the definitions say.
    if !(1..=128).contains(&id.len()) || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err(refused(&format!("the id `{}`, which is none", plain(id))));
    }
    match value.get("objectType") {
        None | Some(Value::Null) => {}
        Some(Value::String(kind)) if kind == "EVENT" => {}
        Some(other) => return Err(refused(&format!("an object of type {}", plain(&other.to_string())))),
    }
    let id = id.to_owned();
    let wire = serde_json::from_value::<Wire>(value).map_err(|error| plain(&error.to_string()));
    Ok(Shown { id, read: wire.and_then(|wire| read(wire, units)) })
}

fn read(wire: Wire, units: Option<PowerUnit>) -> Result<Event, String> {
    let priority = match wire.priority {
        None => None,
        Some(number) if number >= 0.0 && number.fract() == 0.0 && number < f64::from(u32::MAX) => Some(number as u32),
        Some(number) => return Err(format!("{number} is no priority")),
    };
    let period = wire.interval_period.unwrap_or_default().read()?;
    let descriptors = wire.payload_descriptors.unwrap_or_default();
    let descriptors: BTreeMap<&str, &Descriptor> = descriptors.iter().map(|d| (d.payload_type.as_str(), d)).collect();
    let wired = wire.intervals.unwrap_or_default();
    if wired.len() > INTERVALS {
        return Err(format!("it has {} intervals, {INTERVALS} are the limit", wired.len()));
    }
    let (mut intervals, mut ignored) = (Vec::with_capacity(wired.len()), BTreeSet::new());
    for interval in wired {
        if interval.payloads.len() > PAYLOADS {
            return Err(format!("an interval has {} payloads, {PAYLOADS} are the limit", interval.payloads.len()));
        }
        let when = interval.interval_period.map(|period| period.read()).transpose()?;
        let mut said = Vec::new();
        for payload in &interval.payloads {
            match payload_of(payload, descriptors.get(payload.kind.as_str()).copied(), units)? {
                Some(known) => said.push(known),
                None => {
                    ignored.insert(plain(&payload.kind));
                }
            }
        }
        intervals.push((when, said));
    }
    Ok(Event {
        program: wire.program.unwrap_or_default(),
        name: plain(&wire.event_name.unwrap_or_default()),
        priority,
        targets: targets(&wire.targets)?,
        ignored,
        period,
        intervals,
    })
}

/// Whom it is for: texts, or objects with values.
fn targets(value: &Value) -> Result<BTreeSet<String>, String> {
    let list = match value {
        Value::Null => return Ok(BTreeSet::new()),
        Value::Array(list) => list,
        _ => return Err("its targets are no list".to_owned()),
    };
    let mut all = BTreeSet::new();
    for target in list {
        let values = match target {
            Value::String(text) => std::slice::from_ref(target).iter().filter(|_| !text.is_empty()).collect(),
            Value::Object(fields) => match fields.get("values") {
                Some(Value::Array(values)) => values.iter().collect::<Vec<_>>(),
                _ => return Err("a target has no values".to_owned()),
            },
            _ => return Err("a target is neither a text nor an object".to_owned()),
        };
        all.extend(values.into_iter().filter_map(Value::as_str).map(str::to_owned));
    }
    Ok(all)
}

fn payload_of(payload: &Payload, as_: Option<&Descriptor>, units: Option<PowerUnit>) -> Result<Option<Said>, String> {
    let kind = payload.kind.as_str();
    let number = || match payload.values.as_slice() {
        [Value::Number(number)] => {
            number.as_f64().filter(|n| n.is_finite()).ok_or_else(|| format!("{kind} of {number} is no number"))
        }
        [other] => Err(format!("{kind} of {} is no number", plain(&other.to_string()))),
        several => Err(format!("{kind} has {} values instead of one", several.len())),
    };
    let unit = as_.and_then(|descriptor| descriptor.units.as_deref()).filter(|unit| !unit.is_empty());
    let in_unit = |wanted: &str| match unit {
        None => Err(format!("{kind} names no unit")),
        Some(unit) if unit == wanted => Ok(()),
        Some(unit) => Err(format!("`{}` is no unit of {kind}", plain(unit))),
    };
    Ok(Some(match kind {
        "IMPORT_CAPACITY_LIMIT" | "DISPATCH_SETPOINT" => {
            let watts = match unit.map_or(Ok(units), |unit| {
                PowerUnit::named(unit).map(Some).ok_or_else(|| format!("`{}` is no unit of {kind}", plain(unit)))
            })? {
                Some(PowerUnit::Kilowatts) => number()? * 1e3,
                Some(PowerUnit::Watts) => number()?,
                None => return Err(format!("{kind} names no unit")),
            };
            if !(0.0..HIGHEST_LIMIT).contains(&watts) {
                return Err(format!("{watts} W is no limit"));
            }
            // Never above what was said.
            Said::Cap(Watts((watts * 1e3).floor() as u64))
        }
        "SIMPLE" => match number()? {
            level if [0.0, 1.0, 2.0, 3.0].contains(&level) => Said::Level(level as u8),
            level => return Err(format!("SIMPLE has levels 0 to 3, not {level}")),
        },
        "PRICE" => {
            in_unit("KWH")?;
            let currency = as_.and_then(|descriptor| descriptor.currency.clone()).unwrap_or_default();
            if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
                return Err(format!("`{}` is no currency", plain(&currency)));
            }
            let value = number()? * 1e3;
            match Price::from_base(value) {
                Some(price) if value.abs() <= DEAREST => Said::Price(price, currency),
                _ => return Err(format!("{value} {currency} per MWh is no price")),
            }
        }
        "GHG" => {
            in_unit("GHG")?;
            let grams = number()?;
            if !(0.0..=HIGHEST).contains(&grams) {
                return Err(format!("{grams} g/kWh is no carbon intensity"));
            }
            Said::Intensity(Intensity((grams * 1e3).round() as u64))
        }
        alert if alert.starts_with("ALERT_") => {
            let words = payload.values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
            Said::Alert(plain(&format!("{alert} {words}")))
        }
        _ => return Ok(None),
    }))
}
