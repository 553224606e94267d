//! Carbon intensity of past hours from a CSV file, wide (a column a zone) or long (`time,zone,value`), and what was
//! forecast for them. Stamps name the start of a step. Nothing is filled in: every hole is listed, and data that look
//! like another unit, like ends of hours or like padding are refused.

mod sane;
mod table;

use super::text::{File, Mistakes};
use crate::diagnostic::did_you_mean;
use crate::session::{Problems, problem};
use chrono::{DateTime, FixedOffset, NaiveDateTime, Utc};
use neap_model::refusal::{Code, Refusal};
use std::collections::BTreeMap;

/// Values one after the other; `None` where there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Beginning of the first step.
    pub start: DateTime<Utc>,
    /// Length of a step, in seconds.
    pub step: i64,
    /// g/kWh by step.
    pub values: Vec<Option<f64>>,
}

/// Steps without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The zone that lacks them.
    pub zone: String,
    /// From,
    pub from: DateTime<Utc>,
    /// until.
    pub until: DateTime<Utc>,
}

/// A zone of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// What was measured.
    pub actual: Series,
    /// What was forecast, without a word about when.
    pub column: Option<Series>,
    /// Forecasts by the moment they were issued.
    pub issues: Vec<(DateTime<Utc>, Series)>,
}

/// What a file says.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// The zones that were asked for, in that order.
    pub zones: Vec<Zone>,
    /// Holes in what was measured there.
    pub holes: Vec<Hole>,
    /// The stamps of the file, rising: row n begins at the n-th.
    pub rows: Vec<DateTime<Utc>>,
}

/// How a file is to be understood.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Stamps without a zone mark are UTC.
    pub naive_utc: bool,
    /// Stamps are starts, whatever they look like.
    pub starts: bool,
    /// Column of what was measured, for files that have it beside a forecast.
    pub actual: Option<String>,
    /// Column of the forecast.
    pub forecast: Option<String>,
    /// Zones that are wanted; empty: the only one there is.
    pub zones: Vec<String>,
}

/// A value of the file, before it is known what the step is.
#[derive(Clone, Debug)]
struct Cell {
    at: DateTime<Utc>,
    issued: Option<DateTime<Utc>>,
    value: Option<f64>,
}

/// Values by zone.
#[derive(Debug, Default)]
struct Columns {
    actual: BTreeMap<String, Vec<Cell>>,
    forecast: BTreeMap<String, Vec<Cell>>,
    rows: Vec<DateTime<Utc>>,
}

impl Series {
    /// End of the last step.
    #[must_use]
    pub fn end(&self) -> DateTime<Utc> {
        self.start + chrono::TimeDelta::seconds(self.step * self.values.len() as i64)
    }
}

/// Reads it.
///
/// # Errors
/// Lines that cannot be read, zones that are not there, or values that cannot be what they claim to be.
pub fn read(file: &File, reading: &Reading) -> Result<Grid, Problems> {
    let mut mistakes = Mistakes::of(file);
    let columns = table::columns(file, reading, &mut mistakes)?;
    mistakes.end()?;
    let there: Vec<&str> = columns.actual.keys().map(String::as_str).collect();
    let wanted = match (&reading.zones[..], &there[..]) {
        ([], [only]) => vec![(*only).to_owned()],
        ([], _) => {
            let refusal =
                Refusal::new(Code::BadValue, format!("{} has several zones: say which with --zones", file.name));
            return Err(problem(refusal.note(format!("zones there: {}", there.join(", ")))));
        }
        (some, _) => some.to_vec(),
    };
    let mut grid = Grid { zones: Vec::new(), holes: Vec::new(), rows: columns.rows };
    for name in wanted {
        let Some(cells) = columns.actual.get(&name) else { return Err(missing(&name, &there, file)) };
        let actual = series(&name, cells, file)?;
        sane::check(&name, &actual, reading.starts, file)?;
        grid.holes.extend(holes(&name, &actual));
        let (column, issues) = forecasts(&name, columns.forecast.get(&name).map_or(&[], Vec::as_slice), file)?;
        grid.zones.push(Zone { name, actual, column, issues });
    }
    Ok(grid)
}

fn missing(name: &str, there: &[&str], file: &File) -> Problems {
    let refusal =
        Refusal::new(Code::NoSuchPlace, format!("zone `{name}` is not in {}", file.name)).about("zones", name);
    let refusal = refusal.note(format!("zones there: {}", there.join(", ")));
    problem(match did_you_mean(name, there.iter().copied()) {
        Some(near) => refusal.hint(format!("did you mean `{near}`?"), &[]),
        None => refusal,
    })
}

/// Forecasts with and without a word about when they were issued.
#[allow(clippy::type_complexity, reason = "the two kinds, as they stand in a zone")]
fn forecasts(
    name: &str,
    cells: &[Cell],
    file: &File,
) -> Result<(Option<Series>, Vec<(DateTime<Utc>, Series)>), Problems> {
    let mut by_issue: BTreeMap<Option<DateTime<Utc>>, Vec<Cell>> = BTreeMap::new();
    for cell in cells {
        by_issue.entry(cell.issued).or_default().push(cell.clone());
    }
    let column = by_issue.remove(&None).map(|cells| series(name, &cells, file)).transpose()?;
    let issues = by_issue.into_iter().filter_map(|(issued, cells)| Some((issued?, cells)));
    let issues = issues.map(|(issued, cells)| Ok((issued, series(name, &cells, file)?)));
    Ok((column, issues.collect::<Result<_, Problems>>()?))
}

/// Cells in the order of time, on their step.
fn series(name: &str, cells: &[Cell], file: &File) -> Result<Series, Problems> {
    let refused =
        |message: String| Err(problem(Refusal::new(Code::Syntax, format!("{}, zone {name}: {message}", file.name))));
    let mut cells = cells.to_vec();
    cells.sort_by_key(|cell| cell.at);
    let Some(first) = cells.first().map(|cell| cell.at) else { return refused("there is no value".to_owned()) };
    let mut steps: BTreeMap<i64, usize> = BTreeMap::new();
    for pair in cells.windows(2) {
        let step = (pair[1].at - pair[0].at).num_seconds();
        if step == 0 {
            return refused(format!("{} stands there twice", show(pair[0].at)));
        }
        *steps.entry(step).or_default() += 1;
    }
    // The step is what stands most often between two stamps; the smaller one on ties.
    let step = steps.iter().max_by_key(|(step, count)| (**count, -**step)).map_or(3600, |(step, _)| *step);
    let last = cells.last().map_or(first, |cell| cell.at);
    let mut values = vec![None; ((last - first).num_seconds() / step + 1) as usize];
    for cell in &cells {
        let offset = (cell.at - first).num_seconds();
        if offset % step != 0 {
            return refused(format!("{} does not lie on the step of {step} s", show(cell.at)));
        }
        values[(offset / step) as usize] = cell.value;
    }
    Ok(Series { start: first, step, values })
}

fn holes(name: &str, series: &Series) -> Vec<Hole> {
    let at = |n: usize| series.start + chrono::TimeDelta::seconds(series.step * n as i64);
    let mut holes: Vec<Hole> = Vec::new();
    for (n, _) in series.values.iter().enumerate().filter(|(_, value)| value.is_none()) {
        match holes.last_mut() {
            Some(hole) if hole.until == at(n) => hole.until = at(n + 1),
            _ => holes.push(Hole { zone: name.to_owned(), from: at(n), until: at(n + 1) }),
        }
    }
    holes
}

/// A moment as it is printed.
#[must_use]
pub fn show(at: DateTime<Utc>) -> String {
    at.format("%FT%H:%MZ").to_string()
}

/// Reads a stamp: with `Z` or an offset, and without only where that is said to be UTC.
///
/// # Errors
/// What is wrong with it.
pub fn stamp(text: &str, naive_utc: bool) -> Result<DateTime<Utc>, String> {
    let text = text.trim();
    let (naive, offset) = match text.strip_suffix(['Z', 'z']) {
        Some(naive) => (naive, Some(0)),
        None => match text.get(10..).and_then(|time| time.rfind(['+', '-'])) {
            Some(at) => (&text[..10 + at], Some(seconds_east(&text[10 + at..]).ok_or(format!("`{text}` is no time"))?)),
            None => (text, None),
        },
    };
    let shapes = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S%.f"];
    let naive = shapes.iter().find_map(|shape| NaiveDateTime::parse_from_str(naive.trim_end(), shape).ok());
    let naive = naive.ok_or_else(|| format!("`{text}` is no time"))?;
    match (offset.and_then(FixedOffset::east_opt), naive_utc) {
        (Some(offset), _) => {
            naive.and_local_timezone(offset).single().map(|at| at.to_utc()).ok_or(format!("`{text}` is no time"))
        }
        (None, true) => Ok(naive.and_utc()),
        (None, false) => Err(format!("`{text}` has neither Z nor an offset: --naive utc says that it is UTC")),
    }
}

/// `+02:00`, `-0330`, `+02`.
fn seconds_east(text: &str) -> Option<i32> {
    let digits: String = text[1..].chars().filter(|c| *c != ':').collect();
    let number: i32 = digits.parse().ok()?;
    let (hours, minutes) = if digits.len() > 2 { (number / 100, number % 100) } else { (number, 0) };
    let east = hours * 3600 + minutes * 60;
    Some(if text.starts_with('-') { -east } else { east })
}

#[cfg(test)]
mod tests;
