//! What services said, kept as it was said: one JSON line an answer, appended, never rewritten.
//!
//! It is a cache that teaches our own forecaster and lets a restart go on from what was known. A torn or foreign line is
//! left out; losing all of it costs forecasts, not correctness.

use super::feed::{Signal, Values};
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use neap_model::grid::{Basis, Grade, Quantity, Series, Span};
use neap_model::units::{Intensity, Price};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How long lines are kept.
const KEPT: TimeDelta = TimeDelta::days(400);
/// Largest month that is read; a larger one is read from its end.
const LARGEST: u64 = 64 << 20;
/// So much of the end of a month is read at a start.
const END: u64 = 1 << 20;
/// Most steps of one line.
const STEPS: i64 = 20_000;

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When it came.
    pub fetched: DateTime<Utc>,
    /// When its service issued it, where it says so.
    pub issued: Option<DateTime<Utc>>,
    /// What an intensity measures.
    pub basis: Basis,
    /// The values.
    pub values: Values,
}

/// A line: values at equal steps, grades as runs, so that it stays short.
#[derive(Serialize, Deserialize)]
struct Line {
    fetched: DateTime<Utc>,
    issued: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    basis: Basis,
    start: DateTime<Utc>,
    step_seconds: i64,
    values: Vec<Option<i64>>,
    grades: Vec<(Grade, usize)>,
    digest: String,
}

/// The archive of a site.
#[derive(Clone, Debug)]
pub struct Archive {
    root: PathBuf,
}

impl Archive {
    /// In that directory. Nothing is made before something is kept.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where the lines of a feed and zone are.
    #[must_use]
    pub fn place(&self, feed: &str, zone: &str) -> PathBuf {
        let plain = |text: &str| -> String {
            let keep = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c) || c == '.';
            let name: String = text.chars().map(|c| if keep(c) { c } else { '_' }).take(100).collect();
            // Neither this directory nor the one above it.
            if name.trim_matches('.').is_empty() { "_".to_owned() } else { name }
        };
        self.root.join(plain(feed)).join(plain(zone))
    }

    /// Keeps an answer.
    ///
    /// # Errors
    /// What the system says. Nothing else is lost then.
    pub fn append(&self, feed: &str, zone: &str, entry: &Entry) -> io::Result<()> {
        let Some(line) = line_of(entry) else { return Ok(()) };
        let place = self.place(feed, zone);
        std::fs::create_dir_all(&place)?;
        let path = place.join(month(entry.fetched, signal_of(&entry.values)));
        let mut file = File::options().create(true).append(true).read(true).open(path)?;
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        let length = file.metadata()?.len();
        if length > 0 {
            let mut last = [0];
            file.seek(SeekFrom::Start(length - 1))?;
            file.read_exact(&mut last)?;
            if last != [b'\n'] {
                // A line torn by a power cut: it ends here, so that this one is whole.
                text.insert(0, b'\n');
            }
        }
        file.write_all(&text)
    }

    /// The answers about a zone that came from `since` on and not after `until`, the oldest first.
    ///
    /// Nothing that came later is given, so what was believed at a time can be looked at again.
    #[must_use]
    pub fn read(
        &self,
        feed: &str,
        zone: &str,
        signal: Signal,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Vec<Entry> {
        let place = self.place(feed, zone);
        let mut entries = Vec::new();
        for name in months(&place, signal) {
            if name < month(since, signal) || name > month(until, signal) {
                continue;
            }
            entries.extend(entries_in(&place.join(&name), LARGEST, signal));
        }
        entries.retain(|entry| since <= entry.fetched && entry.fetched <= until);
        entries.sort_by_key(|entry| entry.fetched);
        entries
    }

    /// The last answers about a zone that came not after `until`, however long ago: as many as are soon read.
    #[must_use]
    pub fn last(&self, feed: &str, zone: &str, signal: Signal, until: DateTime<Utc>) -> Vec<Entry> {
        let place = self.place(feed, zone);
        let mut names = months(&place, signal);
        names.retain(|name| *name <= month(until, signal));
        let newest = names.split_off(names.len().saturating_sub(2));
        let mut entries: Vec<Entry> =
            newest.iter().flat_map(|name| entries_in(&place.join(name), END, signal)).collect();
        entries.retain(|entry| entry.fetched <= until);
        entries.sort_by_key(|entry| entry.fetched);
        entries
    }

    /// Takes months away that are too old to be of use.
    pub fn prune(&self, feed: &str, zone: &str, now: DateTime<Utc>) {
        let place = self.place(feed, zone);
        for signal in [Signal::Intensity, Signal::Price] {
            let oldest = month(now - KEPT, signal);
            for name in months(&place, signal).into_iter().filter(|name| *name < oldest) {
                // What cannot be taken away today can be tomorrow.
                drop(std::fs::remove_file(place.join(name)));
            }
        }
    }
}

const fn signal_of(values: &Values) -> Signal {
    match values {
        Values::Intensity(_) => Signal::Intensity,
        Values::Price(..) => Signal::Price,
    }
}

const fn ending(signal: Signal) -> &'static str {
    match signal {
        Signal::Intensity => ".jsonl",
        Signal::Price => ".price.jsonl",
    }
}

fn month(at: DateTime<Utc>, signal: Signal) -> String {
    format!("{:04}-{:02}{}", at.year(), at.month(), ending(signal))
}

/// Names of the months there are, the oldest first.
fn months(place: &Path, signal: Signal) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(place) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.get(7..) == Some(ending(signal))).collect();
    names.sort_unstable();
    names
}

/// The whole lines at the end of a month.
fn entries_in(path: &Path, most: u64, signal: Signal) -> Vec<Entry> {
    let text = tail(path, most).unwrap_or_default();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.filter_map(|line| entry_of(line, signal)).collect()
}

fn tail(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let known = file.metadata()?;
    if !known.is_file() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    if known.len() > most {
        file.seek(SeekFrom::Start(known.len() - most))?;
    }
    let mut text = Vec::new();
    file.take(most).read_to_end(&mut text)?;
    Ok(text)
}

/// The first letters of the digest of what a line says.
fn digest(values: &[Option<i64>], grades: &[(Grade, usize)], start: DateTime<Utc>, step: i64) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{start} {step} {values:?} {grades:?}"));
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The finest step that all borders of the spans are a multiple of.
fn step_of<Q: Quantity>(spans: &[Span<Q>]) -> i64 {
    let gcd = |mut a: i64, mut b: i64| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let start = spans.first().map_or(0, |span| span.from.timestamp());
    let borders = spans.iter().flat_map(|span| [span.from.timestamp(), span.until.timestamp()]);
    borders.fold(0, |step, border| gcd(step, border - start)).max(1)
}

fn grid_of<Q: Quantity>(series: &Series<Q>, entry: &Entry, currency: Option<String>) -> Option<Line> {
    let spans = series.spans();
    let (start, end) = (spans.first()?.from, series.end()?);
    let step = step_of(spans).max((end - start).num_seconds() / STEPS);
    let (mut values, mut grades) = (Vec::new(), Vec::<(Grade, usize)>::new());
    let mut at = start;
    while at < end {
        let span = series.at(at);
        values.push(span.map(|span| span.value.steps()));
        // A hole has no grade of its own; it goes with what is before it.
        match (span.map(|span| span.grade), grades.last_mut()) {
            (Some(grade), Some((last, count))) if *last == grade => *count += 1,
            (None, Some((_, count))) => *count += 1,
            (grade, _) => grades.push((grade.unwrap_or(Grade::Measured), 1)),
        }
        at += TimeDelta::seconds(step);
    }
    let digest = digest(&values, &grades, start, step);
    let (fetched, issued, basis) = (entry.fetched, entry.issued, entry.basis.clone());
    Some(Line { fetched, issued, currency, basis, start, step_seconds: step, values, grades, digest })
}

fn line_of(entry: &Entry) -> Option<Line> {
    match &entry.values {
        Values::Intensity(series) => grid_of(series, entry, None),
        Values::Price(series, currency) => grid_of(series, entry, Some(currency.clone())),
    }
}

fn series_of<Q: Quantity>(line: &Line) -> Series<Q> {
    let step = TimeDelta::seconds(line.step_seconds);
    let grades = line.grades.iter().flat_map(|(grade, count)| std::iter::repeat_n(*grade, *count));
    let mut spans: Vec<Span<Q>> = Vec::new();
    let mut from = line.start;
    for (value, grade) in line.values.iter().zip(grades) {
        if let Some(value) = value {
            spans.push(Span { from, until: from + step, value: Q::of(*value), grade });
        }
        from += step;
    }
    Series::new(spans)
}

/// A line as it was kept; `None`: torn, changed, or not ours.
fn entry_of(text: &[u8], signal: Signal) -> Option<Entry> {
    let line: Line = serde_json::from_slice(text).ok()?;
    let steps: usize = line.grades.iter().map(|(_, count)| *count).fold(0, usize::saturating_add);
    let sane =
        (1..=86_400 * 366).contains(&line.step_seconds) && steps == line.values.len() && steps as i64 <= STEPS + 1;
    if !sane || digest(&line.values, &line.grades, line.start, line.step_seconds) != line.digest {
        return None;
    }
    let values = match (signal, line.currency.clone()) {
        (Signal::Intensity, None) => Values::Intensity(series_of::<Intensity>(&line)),
        (Signal::Price, Some(currency)) => Values::Price(series_of::<Price>(&line), currency),
        _ => return None,
    };
    Some(Entry { fetched: line.fetched, issued: line.issued, basis: line.basis, values })
}

#[cfg(test)]
mod tests;
