//! Grid Intensity Exporter (Green Web Foundation): the present intensity of a location as Prometheus text, read without a
//! Prometheus between. Average or marginal, as the site is; its scope is whatever the exporter's own provider has.

use super::super::feed::{Ask, Feed, FeedError, Heard, Manners, Reply, Request, Signal, Terms, Told, Values, Want};
use super::super::wire::points::Points;
use super::super::wire::{plain, trouble};
use super::prometheus::{number, unit};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::grid::{Accounting, Basis, Grade, Kind, Scope};

/// A value without an end stands for so long.
const STEP: TimeDelta = TimeDelta::hours(1);

/// The source.
#[derive(Debug)]
pub struct Exporter {
    /// Address of its metrics.
    base: String,
    kind: Kind,
    manners: Manners,
}

impl Exporter {
    /// At that address: `http://host:8000/metrics`.
    #[must_use]
    pub fn new(base: String, kind: Kind) -> Self {
        let manners = Manners {
            poll: TimeDelta::minutes(5),
            delay: TimeDelta::seconds(5),
            gap: TimeDelta::milliseconds(100),
            after_429: TimeDelta::seconds(60),
            settled: TimeDelta::hours(1),
            terms: Terms::Internal,
        };
        Self { base, kind, manners }
    }
}

impl Feed for Exporter {
    fn name(&self) -> &str {
        "grid-intensity-exporter"
    }

    fn ask(&mut self, want: &Want, _: DateTime<Utc>) -> Ask {
        if want.signal != Signal::Intensity {
            return Ask::Never(FeedError::Misconfigured("it knows no prices".to_owned()));
        }
        Ask::Send(Request::get(self.base.clone()))
    }

    fn hear(&mut self, want: &Want, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        if let Some(trouble) = trouble(reply, now) {
            return Err(trouble);
        }
        let points = read(&reply.body, &want.theirs, self.kind, now)?;
        let basis = Basis { kind: self.kind, scope: Scope::Unstated, accounting: Accounting::Unstated, factors: None };
        let values = Values::Intensity(points.intensity(Some(STEP))?);
        Ok(Heard::Series(Told { values, basis, issued: None, notes: Vec::new() }))
    }

    fn manners(&self) -> &Manners {
        &self.manners
    }
}

/// Names and values.
type Labels<'t> = Vec<(&'t str, &'t str)>;

/// Labels, value and what stands behind it of one line; `None`: it is not that metric's.
fn sample<'t>(line: &'t str, name: &str) -> Option<(Labels<'t>, Vec<&'t str>)> {
    let rest = line.strip_prefix(name)?.strip_prefix('{')?;
    // No label here holds a bracket or a quote: what does is none of ours.
    let (labels, rest) = rest.split_once('}')?;
    let pair = |text: &'t str| {
        let (name, value) = text.split_once('=')?;
        Some((name.trim(), value.trim().strip_prefix('"')?.strip_suffix('"')?))
    };
    let labels: Option<Vec<_>> = labels.split(',').filter(|text| !text.trim().is_empty()).map(pair).collect();
    Some((labels?, rest.split_whitespace().collect()))
}

/// Reads the present value of a location in g/kWh. Without a time of its own it is of `now`.
///
/// # Errors
/// [`FeedError`].
pub fn read(body: &[u8], location: &str, kind: Kind, now: DateTime<Utc>) -> Result<Points, FeedError> {
    let text = std::str::from_utf8(body).map_err(|_| FeedError::Refused("it is no text".to_owned()))?;
    let name = match kind {
        Kind::Average => "grid_intensity_carbon_average",
        Kind::Marginal => "grid_intensity_carbon_marginal",
    };
    let label = |labels: &[(&str, &str)], name: &str| {
        labels.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    let all = text.lines().filter_map(|line| sample(line, name));
    let mut ours = all.filter(|(labels, _)| label(labels, "location").as_deref() == Some(location));
    let Some((labels, values)) = ours.next() else {
        return Err(FeedError::NoData(format!("no {name} of location `{}`", plain(location))));
    };
    if ours.next().is_some() {
        return Err(FeedError::Misconfigured(format!("several series of location `{}`", plain(location))));
    }
    let scale = unit(label(&labels, "units").as_deref())?;
    let (value, at) = match values.as_slice() {
        [value] => (value, now),
        [value, at] => {
            let known = at.parse().ok().and_then(DateTime::from_timestamp_millis);
            (value, known.ok_or_else(|| FeedError::Refused(format!("`{}` is no time", plain(at))))?)
        }
        _ => return Err(FeedError::Refused(format!("a line of {name} without a value"))),
    };
    let grade =
        if label(&labels, "is_estimated").as_deref() == Some("true") { Grade::Estimated } else { Grade::Measured };
    let mut points = Points::default();
    points.at(at, number(value)?.map(|value| value * scale), grade);
    Ok(points)
}
