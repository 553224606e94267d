//! Files of lines: `start,end,value[,grade]`, long (`time,zone,value[,grade]`) or wide (`datetime_utc` and a column a zone),
//! under comments that say what they measure. One line that cannot be refuses all of them, by its place.

use super::super::wire::time;
use super::FileError;
use super::gathered::{Context, Gathered, number};
use super::labels::{FORMAT, Labels, is_label};
use chrono::{DateTime, Datelike, Utc};
use neap_model::grid::Grade;

/// Mistakes told at once.
const TOLD: usize = 5;

/// The first year that is read.
const FIRST: i32 = 1990;
/// The last year that is read.
const LAST: i32 = 2200;

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Start,
    End,
    Zone,
    Value,
    Grade,
    /// Values of that zone.
    Of(String),
    /// Nothing that is read.
    Other,
}

/// A field with the column it begins in, in characters from 1 on.
type Field<'t> = (usize, &'t str);

/// Reads such a file.
///
/// # Errors
/// [`FileError`] with the first few mistakes, their lines and columns.
pub fn read(text: &str, context: &Context<'_>) -> Result<Gathered, FileError> {
    let mut reader = Reader { labels: Labels::default(), mistakes: Vec::new() };
    let mut lines = text.lines().enumerate().map(|(n, line)| (n + 1, line)).filter(|(_, line)| !line.trim().is_empty());
    let header = loop {
        match lines.next() {
            Some((number, line)) if line.starts_with('#') => reader.comment(number, line),
            Some((number, line)) => break Some((number, line)),
            None => break None,
        }
    };
    reader.done()?;
    let Some((at, header)) = header else { return Err(FileError::Header(String::new())) };
    if header.contains(';') {
        return Err(FileError::Lines(vec![separator(at, header)]));
    }
    let columns = columns(header).ok_or_else(|| FileError::Header(header.chars().take(80).collect()))?;
    let meaning = reader.labels.with(context.given, context.usual, false)?;
    let mut gathered = Gathered::new(meaning, &reader.labels, context);
    for (number, line) in lines.filter(|(_, line)| !line.starts_with('#')) {
        if let Err(mistake) = row(number, line, &columns, &mut gathered) {
            reader.wrong(mistake);
        }
    }
    reader.done()?;
    Ok(gathered)
}

struct Reader {
    labels: Labels,
    mistakes: Vec<String>,
}

impl Reader {
    fn wrong(&mut self, mistake: String) {
        if self.mistakes.len() < TOLD {
            self.mistakes.push(mistake);
        }
    }

    fn done(&mut self) -> Result<(), FileError> {
        let mistakes = std::mem::take(&mut self.mistakes);
        if mistakes.is_empty() { Ok(()) } else { Err(FileError::Lines(mistakes)) }
    }

    /// A comment is free text; one that holds a label holds nothing but labels.
    fn comment(&mut self, line: usize, text: &str) {
        let said = text.trim_start_matches('#').trim();
        if said.starts_with("neap intensity") && said != FORMAT {
            self.wrong(format!("line {line}, column 1: `{said}` is no format that is read here ({FORMAT})"));
        }
        let pairs: Vec<(usize, &str, &str)> = words(text)
            .into_iter()
            .filter_map(|(column, word)| word.split_once('=').map(|(name, value)| (column, name, value)))
            .collect();
        if pairs.iter().any(|(_, name, _)| is_label(name)) {
            for (column, name, value) in pairs {
                if let Err(what) = self.labels.take(name, value) {
                    self.wrong(format!("line {line}, column {column}: {what}"));
                }
            }
        }
    }
}

/// The words of a line, each with the column it begins in.
fn words(line: &str) -> Vec<Field<'_>> {
    let start = line.as_ptr() as usize;
    let column = |word: &str| line[..word.as_ptr() as usize - start].chars().count() + 1;
    line.split_whitespace().map(|word| (column(word), word)).collect()
}

/// The fields of a line, without the quotes that may stand around one.
fn fields(line: &str) -> Vec<Field<'_>> {
    let start = line.as_ptr() as usize;
    let field = |field: &'_ str| line[..field.as_ptr() as usize - start].chars().count() + 1;
    let plain = |text: &'_ str| -> (usize, usize) {
        let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        (inner.as_ptr() as usize - start, inner.len())
    };
    line.split(',')
        .map(str::trim)
        .map(|text| {
            let (from, length) = plain(text);
            (field(text), &line[from..from + length])
        })
        .collect()
}

fn columns(header: &str) -> Option<Vec<Column>> {
    let names: Vec<&str> = fields(header).into_iter().map(|(_, name)| name).collect();
    if let ["datetime_utc", zones @ ..] = names.as_slice() {
        let of = |zone: &&str| Column::Of((*zone).to_owned());
        return (!zones.is_empty()).then(|| [Column::Start].into_iter().chain(zones.iter().map(of)).collect());
    }
    let known = |name: &&str| match *name {
        "start" | "time" => Column::Start,
        "end" => Column::End,
        "zone" => Column::Zone,
        "value" => Column::Value,
        "grade" => Column::Grade,
        _ => Column::Other,
    };
    let columns: Vec<Column> = names.iter().map(known).collect();
    let once = |column: &Column| columns.iter().filter(|c| *c == column).count();
    let (end, zone) = (once(&Column::End), once(&Column::Zone));
    let right = once(&Column::Start) == 1 && once(&Column::Value) == 1 && once(&Column::Grade) <= 1;
    // `start` goes with `end`, `time` with `zone`.
    let layout = match names.contains(&"start") {
        true => end == 1 && zone <= 1,
        false => end == 0 && zone == 1,
    };
    (right && layout).then_some(columns)
}

fn separator(line: usize, text: &str) -> String {
    let column = text.chars().position(|c| c == ';').unwrap_or(0) + 1;
    format!("line {line}, column {column}: a semicolon; fields are separated by commas, decimals by a point")
}

fn row(line: usize, text: &str, columns: &[Column], gathered: &mut Gathered) -> Result<(), String> {
    let wrong = |column: usize, what: String| format!("line {line}, column {column}: {what}");
    if text.contains(';') {
        return Err(separator(line, text));
    }
    let fields = fields(text);
    if fields.len() != columns.len() {
        let hint = if fields.len() > columns.len() { " (a decimal comma? write 214.2)" } else { "" };
        let what = format!("{} fields where {} belong{hint}", fields.len(), columns.len());
        return Err(wrong(text.chars().count() + 1, what));
    }
    let (mut start, mut end, mut zone, mut grade) = (None, None, None, None);
    for (column, (at, field)) in columns.iter().zip(&fields) {
        match column {
            Column::Start => start = Some((*at, instant(field).map_err(|what| wrong(*at, what))?)),
            Column::End => end = Some((*at, instant(field).map_err(|what| wrong(*at, what))?)),
            Column::Zone if field.is_empty() => return Err(wrong(*at, "no zone".to_owned())),
            Column::Zone => zone = Some((*at, *field)),
            Column::Grade => grade = graded(field).map_err(|what| wrong(*at, what))?,
            Column::Value | Column::Of(_) | Column::Other => {}
        }
    }
    let Some((_, start)) = start else { return Err(wrong(1, "no time".to_owned())) };
    let until = end.map(|(at, until)| gathered.lasts(start, until).map_err(|what| wrong(at, what))).transpose()?;
    if let (Some((at, named)), Some(only)) = (zone, &gathered.zone)
        && named != only
    {
        return Err(wrong(at, format!("zone `{named}` in a file of zone `{only}`")));
    }
    for (column, (at, field)) in columns.iter().zip(&fields) {
        let zone = match column {
            Column::Value => zone.map(|(_, zone)| zone),
            Column::Of(zone) => Some(zone.as_str()),
            _ => continue,
        };
        let value = match *field {
            "" | "null" => None,
            text => Some(number(text, gathered.scale).map_err(|what| wrong(*at, what))?),
        };
        gathered.point(zone, start, until, value, grade).map_err(|what| wrong(*at, what))?;
    }
    Ok(())
}

/// An instant, with its zone.
///
/// # Errors
/// What is wrong with the text.
pub fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    match time(text, false) {
        Some(at) if (FIRST..=LAST).contains(&at.year()) => Ok(at),
        Some(_) => Err(format!("`{text}` is not of these times ({FIRST} to {LAST})")),
        None if time(text, true).is_some() => Err(format!("`{text}` names no zone: end it with Z or an offset")),
        None => Err(format!("`{}` is no time (2026-11-23T18:00Z)", super::plain(text))),
    }
}

/// A grade; nothing where the text is empty.
///
/// # Errors
/// What is wrong with the text.
pub fn graded(text: &str) -> Result<Option<Grade>, String> {
    match text {
        "" => Ok(None),
        "measured" => Ok(Some(Grade::Measured)),
        "estimated" => Ok(Some(Grade::Estimated)),
        "forecast" => Ok(Some(Grade::Forecast)),
        other => Err(format!("`{}` is no grade (measured, estimated, forecast)", super::plain(other))),
    }
}
