//! A CSV file as a feed: read again when it changes; a broken new version leaves the last good one in place.
//!
//! Wide (`datetime_utc`, a column a zone) or long (`time,zone,value` and perhaps `grade`). Stamps name the start of a
//! step and carry `Z` or an offset. An empty cell or `null` is a hole, zero is a value.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use neap_model::grid::{Grade, Series, Span};
use neap_model::units::Intensity;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::time::SystemTime;

/// Largest file that is read.
const LARGEST: u64 = 64 << 20;
/// Highest intensity that is believed, in g/kWh.
const HIGHEST: f64 = 3_000.0;
/// Mistakes told at once.
const TOLD: usize = 5;
/// Longest step: a value stands for no more than that.
const LONGEST_STEP: TimeDelta = TimeDelta::hours(6);
/// Step of a series with a single value.
const USUAL_STEP: TimeDelta = TimeDelta::hours(1);

/// Why a file gives no data.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system said so.
    #[error("cannot read it ({0})")]
    Unreadable(#[from] std::io::Error),
    /// A pipe, a device or a directory.
    #[error("it is not a plain file")]
    NotAFile,
    /// Too large.
    #[error("it is {0} bytes long, {LARGEST} are the limit")]
    TooLarge(u64),
    /// Not text.
    #[error("it is not UTF-8 text")]
    NotText,
    /// No header this feed knows.
    #[error("its first line must be `datetime_utc,ZONE,…` or `time,zone,value`, not `{0}`")]
    Header(String),
    /// Lines that cannot be.
    #[error("{}", .0.join("; "))]
    Lines(Vec<String>),
}

impl FileError {
    /// For a metric label.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unreadable(_) | Self::NotAFile => "unreadable",
            Self::TooLarge(_) => "too_large",
            Self::NotText | Self::Header(_) | Self::Lines(_) => "refused",
        }
    }
}

/// A file that is read again when it changes.
#[derive(Debug)]
pub struct FileFeed {
    path: PathBuf,
    /// Our zone = theirs; empty: the same names.
    names: BTreeMap<String, String>,
    seen: Option<(SystemTime, u64)>,
    fetched: Option<DateTime<Utc>>,
    series: BTreeMap<String, Series>,
}

impl FileFeed {
    /// A feed over that file. Nothing is read yet.
    #[must_use]
    pub fn new(path: PathBuf, names: BTreeMap<String, String>) -> Self {
        Self { path, names, seen: None, fetched: None, series: BTreeMap::new() }
    }

    /// As shown to people.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.file_name().map_or_else(|| "file".to_owned(), |name| format!("file {}", name.to_string_lossy()))
    }

    /// When it was read last with success.
    #[must_use]
    pub fn fetched(&self) -> Option<DateTime<Utc>> {
        self.fetched
    }

    /// Zones it speaks of, by their names in the file.
    #[must_use]
    pub fn zones(&self) -> Vec<String> {
        self.series.keys().cloned().collect()
    }

    /// What it says about one of our zones.
    #[must_use]
    pub fn series(&self, zone: &str) -> Option<&Series> {
        self.series.get(self.names.get(zone).map_or(zone, String::as_str))
    }

    /// Reads it if it changed.
    ///
    /// # Errors
    /// [`FileError`]; what was read before stays.
    pub fn read(&mut self, now: DateTime<Utc>) -> Result<(), FileError> {
        // A pipe would block the opening already: look before, and again at what was opened.
        if !std::fs::metadata(&self.path)?.is_file() {
            return Err(FileError::NotAFile);
        }
        let file = std::fs::File::open(&self.path)?;
        let known = file.metadata()?;
        if !known.is_file() {
            return Err(FileError::NotAFile);
        }
        let stamp = (known.modified()?, known.len());
        if self.seen == Some(stamp) {
            return Ok(());
        }
        if known.len() > LARGEST {
            return Err(FileError::TooLarge(known.len()));
        }
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes)?;
        self.series = parse(&bytes, now)?;
        (self.seen, self.fetched) = (Some(stamp), Some(now));
        Ok(())
    }
}

/// Reads the bytes of such a file. A value without a grade is measured if its step began by `now`, else a forecast.
///
/// # Errors
/// [`FileError`] with the first few mistakes and their lines.
pub fn parse(bytes: &[u8], now: DateTime<Utc>) -> Result<BTreeMap<String, Series>, FileError> {
    let text = std::str::from_utf8(bytes).map_err(|_| FileError::NotText)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let header: Vec<&str> = lines.next().map(|(_, line)| line.split(',').map(str::trim).collect()).unwrap_or_default();
    let mut reader = Reader { now, mistakes: Vec::new(), points: BTreeMap::new() };
    match header.as_slice() {
        ["datetime_utc", zones @ ..] if !zones.is_empty() => {
            for (number, line) in lines {
                reader.wide(number + 1, line, zones);
            }
        }
        ["time", "zone", "value", rest @ ..] => {
            let grade = rest.iter().position(|name| *name == "grade").map(|at| at + 3);
            for (number, line) in lines {
                reader.long(number + 1, line, grade);
            }
        }
        other => return Err(FileError::Header(other.join(",").chars().take(80).collect())),
    }
    reader.done()
}

struct Reader {
    now: DateTime<Utc>,
    mistakes: Vec<String>,
    points: BTreeMap<String, Points>,
}

/// Values by the start of their step; `None`: a hole.
type Points = BTreeMap<DateTime<Utc>, (Option<Intensity>, Grade)>;

impl Reader {
    fn wrong(&mut self, line: usize, what: impl std::fmt::Display) {
        if self.mistakes.len() <= TOLD {
            self.mistakes.push(format!("line {line}: {what}"));
        }
    }

    fn wide(&mut self, line: usize, text: &str, zones: &[&str]) {
        let fields: Vec<&str> = text.split(',').map(str::trim).collect();
        if fields.len() != zones.len() + 1 {
            return self.wrong(line, format!("{} fields where {} belong", fields.len(), zones.len() + 1));
        }
        let Some(at) = self.time(line, fields[0]) else { return };
        for (zone, value) in zones.iter().zip(&fields[1..]) {
            self.point(line, zone, at, value, None);
        }
    }

    fn long(&mut self, line: usize, text: &str, grade: Option<usize>) {
        let fields: Vec<&str> = text.split(',').map(str::trim).collect();
        if fields.len() < 3 {
            return self.wrong(line, format!("{} fields where 3 belong", fields.len()));
        }
        let Some(at) = self.time(line, fields[0]) else { return };
        let grade = match grade.and_then(|at| fields.get(at)).copied() {
            None | Some("") => None,
            Some("measured") => Some(Grade::Measured),
            Some("estimated") => Some(Grade::Estimated),
            Some("forecast") => Some(Grade::Forecast),
            Some(other) => return self.wrong(line, format!("`{other}` is no grade (measured, estimated, forecast)")),
        };
        self.point(line, fields[1], at, fields[2], grade);
    }

    fn time(&mut self, line: usize, text: &str) -> Option<DateTime<Utc>> {
        let with_offset = ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z", "%Y-%m-%d %H:%M:%S%#z"];
        let text_z = text.strip_suffix('Z').map(|bare| format!("{bare}+00:00"));
        let text_z = text_z.as_deref().unwrap_or(text);
        if let Some(at) = with_offset.iter().find_map(|format| DateTime::parse_from_str(text_z, format).ok()) {
            return Some(at.to_utc());
        }
        let naive = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"];
        if naive.iter().any(|format| NaiveDateTime::parse_from_str(text, format).is_ok()) {
            self.wrong(line, format!("`{text}` names no zone: end it with Z or an offset"));
        } else {
            self.wrong(line, format!("`{text}` is no time (2026-11-23T18:00Z)"));
        }
        None
    }

    fn point(&mut self, line: usize, zone: &str, at: DateTime<Utc>, text: &str, grade: Option<Grade>) {
        let value = match text {
            "" | "null" => None,
            text => match text.parse::<f64>() {
                Ok(value) if (0.0..=HIGHEST).contains(&value) => Intensity::from_base(value),
                Ok(_) | Err(_) => {
                    return self.wrong(line, format!("`{text}` is no intensity (0 to {HIGHEST} g/kWh, or empty)"));
                }
            },
        };
        let usual = if at <= self.now { Grade::Measured } else { Grade::Forecast };
        // Of duplicates the later line wins.
        self.points.entry(zone.to_owned()).or_default().insert(at, (value, grade.unwrap_or(usual)));
    }

    fn done(self) -> Result<BTreeMap<String, Series>, FileError> {
        if !self.mistakes.is_empty() {
            return Err(FileError::Lines(self.mistakes));
        }
        Ok(self.points.into_iter().map(|(zone, points)| (zone, series_of(&points))).collect())
    }
}

/// Each value stands until the next, but never longer than the usual step of the series.
fn series_of(points: &Points) -> Series {
    let times: Vec<DateTime<Utc>> = points.keys().copied().collect();
    let mut steps: Vec<TimeDelta> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    steps.sort_unstable();
    let step = steps.get(steps.len() / 2).copied().unwrap_or(USUAL_STEP).min(LONGEST_STEP);
    let spans = points.iter().enumerate().filter_map(|(n, (from, (value, grade)))| {
        let next = times.get(n + 1).copied().unwrap_or(*from + step);
        Some(Span { from: *from, until: next.min(*from + step), value: (*value)?, grade: *grade })
    });
    Series::new(spans)
}
