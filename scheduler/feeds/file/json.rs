//! Files of JSON: an object with labels and `spans`, each with start, end, value and perhaps a grade. What breaks off, or a
//! single span that cannot be, refuses the whole file.

use super::gathered::{Context, Gathered, number};
use super::labels::{FORMAT, Labels};
use super::rows::{graded, instant};
use super::{FileError, plain};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Values stay as they are written, so that a mistake in one has a place.
#[derive(Deserialize)]
struct File<'t> {
    #[serde(borrow, default)]
    format: Option<&'t RawValue>,
    #[serde(borrow, default)]
    kind: Option<&'t RawValue>,
    #[serde(borrow, default)]
    scope: Option<&'t RawValue>,
    #[serde(borrow, default)]
    accounting: Option<&'t RawValue>,
    #[serde(borrow, default)]
    unit: Option<&'t RawValue>,
    #[serde(borrow, default)]
    zone: Option<&'t RawValue>,
    #[serde(borrow, default)]
    issued: Option<&'t RawValue>,
    #[serde(borrow)]
    spans: Vec<Row<'t>>,
}

#[derive(Deserialize)]
struct Row<'t> {
    #[serde(borrow)]
    start: &'t RawValue,
    #[serde(borrow)]
    end: &'t RawValue,
    #[serde(borrow, default)]
    value: Option<&'t RawValue>,
    #[serde(borrow, default)]
    grade: Option<&'t RawValue>,
}

/// Reads such a file.
///
/// # Errors
/// [`FileError`] with the first mistake, its line and column.
pub fn read(text: &str, context: &Context<'_>) -> Result<Gathered, FileError> {
    let file: File<'_> = serde_json::from_str(text).map_err(|error| {
        // What serde says ends with the place already.
        let what = plain(&error.to_string());
        let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
        FileError::Lines(vec![format!("line {}, column {}: {what}", error.line(), error.column())])
    })?;
    let wrong = |at: &RawValue, what: String| {
        let (line, column) = place(text, at);
        FileError::Lines(vec![format!("line {line}, column {column}: {what}")])
    };
    if let Some(raw) = file.format {
        let format = string(raw).map_err(|what| wrong(raw, what))?;
        if format != FORMAT {
            return Err(wrong(raw, format!("`{}` is no format that is read here ({FORMAT})", plain(&format))));
        }
    }
    let mut labels = Labels::default();
    for (name, raw) in [
        ("kind", file.kind),
        ("scope", file.scope),
        ("accounting", file.accounting),
        ("unit", file.unit),
        ("zone", file.zone),
        ("issued", file.issued),
    ] {
        let Some(raw) = raw else { continue };
        string(raw).and_then(|value| labels.take(name, &value)).map_err(|what| wrong(raw, what))?;
    }
    let meaning = labels.with(context.given, context.usual, true)?;
    let mut gathered = Gathered::new(meaning, &labels, context);
    for row in &file.spans {
        let at = |raw: &RawValue| string(raw).and_then(|text| instant(&text)).map_err(|what| wrong(raw, what));
        let (start, end) = (at(row.start)?, at(row.end)?);
        let until = gathered.lasts(start, end).map_err(|what| wrong(row.end, what))?;
        let grade = match row.grade {
            Some(raw) => string(raw).and_then(|text| graded(&text)).map_err(|what| wrong(raw, what))?,
            None => None,
        };
        let value = match row.value {
            Some(raw) => value(raw, gathered.scale).map_err(|what| wrong(raw, what))?,
            None => None,
        };
        gathered.point(None, start, Some(until), value, grade).map_err(|what| wrong(row.start, what))?;
    }
    Ok(gathered)
}

/// Line and column, both from 1 on, of a value that was borrowed from the text.
fn place(text: &str, raw: &RawValue) -> (usize, usize) {
    let offset = (raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len());
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

fn string(raw: &RawValue) -> Result<String, String> {
    serde_json::from_str(raw.get()).map_err(|_| format!("`{}` is no text", plain(raw.get())))
}

/// A number, bare or as text; `None` for a text that is empty.
fn value(raw: &RawValue, scale: f64) -> Result<Option<f64>, String> {
    let text = raw.get();
    if !text.starts_with('"') {
        return number(text, scale).map(Some);
    }
    let text = string(raw)?;
    if text.trim().is_empty() { Ok(None) } else { number(text.trim(), scale).map(Some) }
}
