//! The few elements of ENTSO-E's documents that are read, by local name: namespaces carry versions that change.

use super::super::super::feed::FeedError;
use super::super::super::wire::{plain, time};
use chrono::{DateTime, TimeDelta, Utc};
use quick_xml::Reader;
use quick_xml::events::Event;

/// Deeper nesting than that is nobody's document.
const DEEPEST: usize = 32;
/// Most points of one document.
const MOST: usize = 100_000;

/// What a document says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// Text of an acknowledgement's reason.
    pub reason: Option<String>,
    /// Its series.
    pub series: Vec<TimeSeries>,
}

/// One series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeSeries {
    /// Generation type: `B14`.
    pub kind: Option<String>,
    /// The zone it comes from.
    pub domain: Option<String>,
    /// It goes out of the zone: consumption.
    pub outwards: bool,
    /// A missing position repeats the one before it (curve type A03).
    pub repeats: bool,
    /// Unit of quantity or price.
    pub unit: Option<String>,
    /// Of a price.
    pub currency: Option<String>,
    /// Which of several auctions.
    pub auction: Option<String>,
    /// Its periods.
    pub periods: Vec<Period>,
}

/// A stretch of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Period {
    /// First instant.
    pub from: DateTime<Utc>,
    /// Last instant, excluded.
    pub until: DateTime<Utc>,
    /// Time of one position.
    pub resolution: TimeDelta,
    /// Position (from 1) and value.
    pub points: Vec<(i64, f64)>,
}

#[derive(Default)]
struct Draft {
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    resolution: Option<TimeDelta>,
    points: Vec<(i64, f64)>,
}

fn resolution(text: &str) -> Option<TimeDelta> {
    match text {
        "PT15M" => Some(TimeDelta::minutes(15)),
        "PT30M" => Some(TimeDelta::minutes(30)),
        "PT60M" | "PT1H" => Some(TimeDelta::hours(1)),
        _ => None,
    }
}

/// Reads a document.
///
/// # Errors
/// [`FeedError::Down`] where it breaks off, [`FeedError::Refused`] where it is something else.
pub fn document(body: &[u8]) -> Result<Document, FeedError> {
    if body.starts_with(b"PK") {
        return Err(FeedError::Refused("an archive where a document belongs".to_owned()));
    }
    let text = std::str::from_utf8(body).map_err(|_| FeedError::Refused("it is not UTF-8 text".to_owned()))?;
    let mut reader = Reader::from_str(text);
    reader.config_mut().trim_text(true);
    reader.config_mut().check_end_names = true;
    let mut walk = Walk::default();
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => walk.open(&String::from_utf8_lossy(start.local_name().as_ref()))?,
            Ok(Event::End(_)) => walk.close()?,
            Ok(Event::Text(text)) => {
                // Entities are left as they stand: none of the values that are read has one.
                walk.text.push_str(&String::from_utf8_lossy(&text));
            }
            Ok(Event::DocType(_)) => return Err(FeedError::Refused("a document type of its own".to_owned())),
            Ok(Event::Eof) if walk.path.is_empty() && walk.seen => return Ok(walk.document),
            Ok(Event::Eof) => return Err(FeedError::Down("the document breaks off".to_owned())),
            Ok(_) => {}
            Err(error) => return Err(FeedError::Refused(format!("it cannot be read: {}", plain(&error.to_string())))),
        }
    }
}

#[derive(Default)]
struct Walk {
    document: Document,
    path: Vec<String>,
    text: String,
    seen: bool,
    acknowledged: bool,
    period: Draft,
    position: Option<i64>,
    value: Option<f64>,
    points: usize,
}

impl Walk {
    fn open(&mut self, name: &str) -> Result<(), FeedError> {
        if self.path.len() >= DEEPEST {
            return Err(FeedError::Refused("its elements are nested too deep".to_owned()));
        }
        if self.path.is_empty() {
            self.seen = true;
            match name {
                "GL_MarketDocument" | "Publication_MarketDocument" => {}
                "Acknowledgement_MarketDocument" => self.acknowledged = true,
                other => return Err(FeedError::Refused(format!("a document `{}`", plain(other)))),
            }
        }
        match name {
            "TimeSeries" => self.document.series.push(TimeSeries::default()),
            "Period" => self.period = Draft::default(),
            "Point" => (self.position, self.value) = (None, None),
            _ => {}
        }
        self.path.push(name.to_owned());
        self.text.clear();
        Ok(())
    }

    fn close(&mut self) -> Result<(), FeedError> {
        let Some(name) = self.path.pop() else { return Ok(()) };
        let text = std::mem::take(&mut self.text);
        let text = text.trim();
        if self.acknowledged && name == "text" {
            self.document.reason = Some(text.to_owned());
        }
        let inside = self.path.last().map_or("", String::as_str).to_owned();
        let number = || {
            let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
            value.ok_or_else(|| FeedError::Refused(format!("`{}` is no number", plain(text))))
        };
        let Some(series) = self.document.series.last_mut() else { return Ok(()) };
        match (inside.as_str(), name.as_str()) {
            (_, "psrType") => series.kind = Some(text.to_owned()),
            (_, "inBiddingZone_Domain.mRID" | "in_Domain.mRID") => series.domain = Some(text.to_owned()),
            (_, "outBiddingZone_Domain.mRID") => series.outwards = true,
            (_, "curveType") => series.repeats = text == "A03",
            (_, "quantity_Measure_Unit.name" | "price_Measure_Unit.name") => series.unit = Some(text.to_owned()),
            (_, "currency_Unit.name") => series.currency = Some(text.to_owned()),
            (_, "classificationSequence_AttributeInstanceComponent.position") => series.auction = Some(text.to_owned()),
            ("timeInterval", "start") => self.period.from = time(text, false),
            ("timeInterval", "end") => self.period.until = time(text, false),
            ("Period", "resolution") => self.period.resolution = resolution(text),
            ("Point", "position") => self.position = text.parse().ok(),
            ("Point", "quantity" | "price.amount") => self.value = Some(number()?),
            ("Period", "Point") => {
                let (Some(position), Some(value)) = (self.position, self.value) else {
                    return Err(FeedError::Refused("a point without position or value".to_owned()));
                };
                self.points += 1;
                if self.points > MOST {
                    return Err(FeedError::Refused(format!("more than {MOST} points")));
                }
                self.period.points.push((position, value));
            }
            ("TimeSeries", "Period") => {
                let draft = std::mem::take(&mut self.period);
                let (Some(from), Some(until), Some(resolution)) = (draft.from, draft.until, draft.resolution) else {
                    return Err(FeedError::Refused("a period without interval or resolution".to_owned()));
                };
                series.periods.push(Period { from, until, resolution, points: draft.points });
            }
            _ => {}
        }
        Ok(())
    }
}
