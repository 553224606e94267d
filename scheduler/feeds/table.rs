//! The built-in table: annual means by zone, and for some zones the usual shape of each month's day.
//!
//! Both files carry licence and provenance in every row; rows without would not be here.

use chrono::{DateTime, Datelike, DurationRound, TimeDelta, Timelike, Utc};
use neap_model::grid::{Accounting, Basis, Grade, Kind, Scope, Series, Span};
use neap_model::units::Intensity;

const ZONES: &str = include_str!("zones.csv");
const CLIMATOLOGY: &str = include_str!("climatology.csv");

/// What the table knows of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Annual mean.
    pub mean: Intensity,
    /// What it measures.
    pub basis: Basis,
    /// Offset of standard time in hours, and the shape in per mille: 12 months × 24 hours.
    shape: Option<(i64, Vec<u16>)>,
    /// What its terms ask to show.
    pub credit: Option<String>,
    /// What a reader should know.
    pub note: Option<String>,
}

/// Fields of a line of CSV; a field may be quoted.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    fields
}

fn find(zone: &str) -> Option<Row> {
    let line = ZONES.lines().skip(1).map(fields).find(|f| f[0] == zone)?;
    let scope = if line[4] == "lifecycle" { Scope::Lifecycle } else { Scope::Direct };
    let accounting = match line[5].as_str() {
        "production" => Accounting::Production,
        "consumption" => Accounting::Consumption,
        _ => Accounting::Unstated,
    };
    let mean: f64 = line[2].parse().ok()?;
    Some(Row {
        mean: Intensity::from_base(mean)?,
        basis: Basis { kind: Kind::Average, scope, accounting, factors: None },
        shape: None,
        credit: Some(format!("{} ({}): {}", line[1], line[3], line[9])),
        note: None,
    })
}

fn shape(zone: &str) -> Option<(i64, Vec<u16>, String)> {
    let line = CLIMATOLOGY.lines().skip(1).map(fields).find(|f| f[0] == zone)?;
    let shape: Vec<u16> = line[4].split(' ').filter_map(|n| n.parse().ok()).collect();
    (shape.len() == 288).then(|| (line[1].parse().unwrap_or(0), shape, format!("{}, {}", line[3], line[2])))
}

/// What the table knows of a zone; `mean` replaces its annual mean. A zone nobody knows gets its country's mean, else
/// the world's, flat, and says so.
#[must_use]
pub fn row(zone: &str, mean: Option<Intensity>) -> Row {
    let country = zone.split('-').next().unwrap_or(zone);
    let mut row = find(zone).unwrap_or_else(|| {
        let found = find(country).map(|row| (row, format!("the mean of {country}")));
        let (row, of) = found.unwrap_or_else(|| {
            (find("WORLD").expect("the table has the world"), "the world's mean, direct".to_owned())
        });
        Row { note: Some(format!("nothing is known about zone {zone}: {of}")), ..row }
    });
    if let Some(mean) = mean {
        (row.mean, row.note) = (mean, Some("annual mean from the site's configuration".to_owned()));
    }
    if let Some((offset, shape, credit)) = shape(zone) {
        row.shape = Some((offset, shape));
        row.credit = Some(row.credit.map_or(credit.clone(), |known| format!("{known}; shape of the day: {credit}")));
    }
    row
}

impl Row {
    /// The usual value of every hour: mean × shape, `Climatology`; without a shape the mean, `Static`.
    #[must_use]
    pub fn usual(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Series {
        let Some((offset, shape)) = &self.shape else {
            return Series::new([Span { from, until, value: self.mean, grade: Grade::Static }]);
        };
        let hour = TimeDelta::hours(1);
        let mut at = from.duration_trunc(hour).unwrap_or(from);
        let mut spans = Vec::new();
        while at < until {
            let local = at + TimeDelta::hours(*offset);
            let cell = local.month0() as usize * 24 + local.hour() as usize;
            let value = self.mean.scaled(u64::from(shape[cell]), 1_000);
            spans.push(Span { from: at.max(from), until: (at + hour).min(until), value, grade: Grade::Climatology });
            at += hour;
        }
        Series::new(spans)
    }
}

/// Zones the table knows, for did-you-mean and documentation.
pub fn zones() -> impl Iterator<Item = &'static str> {
    ZONES.lines().skip(1).filter_map(|line| line.split(',').next())
}
