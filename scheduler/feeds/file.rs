//! A file as a feed: read again when it changes; a broken new version leaves the last good one in place.
//!
//! It says what it measures, or its site does; a file that nobody labels is refused. An empty cell or `null` is a hole, zero
//! is a value.

mod gathered;
mod json;
pub mod labels;
mod rows;

use super::archive::Archive;
use super::wire::plain;
use crate::config::FileLabels;
use chrono::{DateTime, TimeDelta, Utc};
use gathered::Context;
use neap_model::grid::{Basis, Grade, Kind, Series, Span};
use neap_model::units::Intensity;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::time::SystemTime;

/// Largest file that is read.
pub const LARGEST: u64 = 8 << 20;
/// A file that did not change is read all the same so often: a change within one tick of its clock would not show.
const POLL: TimeDelta = TimeDelta::seconds(60);
/// A last line without an end is believed when nobody touched the file for so long.
const LEFT_ALONE: TimeDelta = TimeDelta::seconds(10);
/// So long a run of zeros is not believed where the mean is above [`NEVER_ZERO`].
const ZEROS: TimeDelta = TimeDelta::hours(24);
/// A mean above which a day of exact zeros is not believed.
const NEVER_ZERO: Intensity = Intensity::grams(50);
/// Experience that a doubt rests on.
const EXPERIENCE: TimeDelta = TimeDelta::days(28);

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
    #[error(
        "its header must be `start,end,value[,grade]`, `time,zone,value[,grade]` or `datetime_utc,ZONE,…`, not `{0}`"
    )]
    Header(String),
    /// Nobody says what it measures.
    #[error(
        "nobody says its {names}: add the line `{line}` at its top, each word as it is, or the same to its [[grid.feed]]"
    )]
    Unlabelled {
        /// The labels that are not there.
        names: String,
        /// The line that would say them.
        line: String,
    },
    /// File and site contradict each other.
    #[error("its `{0}` is another one than its [[grid.feed]] says")]
    Disagrees(&'static str),
    /// Its zone is not named, and there are several.
    #[error("it names no zone: add the line `# zone=NAME` at its top (`\"zone\": \"NAME\",` in JSON)")]
    NoZone,
    /// Somebody writes it at this moment.
    #[error("it is half written, as it seems; a last line without an end is believed once nobody touched it for 10 s")]
    Unfinished,
    /// Lines that cannot be.
    #[error("{}", .0.join("; "))]
    Lines(Vec<String>),
    /// It must not become data.
    #[error("refused: {0}")]
    Refused(String),
    /// Somebody must say that it is right.
    #[error("held back: {what}; if it is right: touch {}", confirm.display())]
    Doubtful {
        /// What is not believed.
        what: String,
        /// The file whose time says that it is.
        confirm: PathBuf,
    },
}

impl FileError {
    /// For a metric label.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unreadable(_) | Self::NotAFile => "unreadable",
            Self::TooLarge(_) => "too_large",
            Self::Unlabelled { .. } | Self::Disagrees(_) | Self::NoZone => "unlabelled",
            Self::Unfinished => "unfinished",
            Self::Doubtful { .. } => "suspect",
            Self::NotText | Self::Header(_) | Self::Lines(_) | Self::Refused(_) => "refused",
        }
    }
}

/// What a site says of one of its files.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where it is.
    pub path: PathBuf,
    /// Our zone = theirs; empty: the same names.
    pub names: BTreeMap<String, String>,
    /// What its values are, where it does not say so itself.
    pub labels: FileLabels,
    /// What the site reckons with.
    pub usual: Basis,
    /// Our zone that a file without one speaks of; `None`: several could be meant.
    pub only: Option<String>,
    /// Where it is confirmed what is held back.
    pub archive: Archive,
}

/// What a file said.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// By the file's name of the zone; a file without one has a single series, under the empty name.
    pub series: BTreeMap<String, Series>,
    /// What the values measure.
    pub basis: Basis,
    /// When its forecasts were issued, where it says so.
    pub issued: Option<DateTime<Utc>>,
}

/// A file that is read again when it changes.
#[derive(Debug)]
pub struct FileFeed {
    place: Place,
    seen: Option<(SystemTime, u64)>,
    /// When its bytes were looked at last.
    looked: Option<DateTime<Utc>>,
    digest: Option<[u8; 32]>,
    /// A version whose last line has no end, and since when it stands there.
    unfinished: Option<((SystemTime, u64), DateTime<Utc>)>,
    fetched: Option<DateTime<Utc>>,
    /// When it was there and right last.
    good: Option<DateTime<Utc>>,
    content: Option<Content>,
}

impl FileFeed {
    /// A feed over that file. Nothing is read yet.
    #[must_use]
    pub fn new(place: Place) -> Self {
        let (seen, looked, digest, unfinished) = (None, None, None, None);
        Self { place, seen, looked, digest, unfinished, fetched: None, good: None, content: None }
    }

    /// As shown to people.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.place.path.file_name();
        name.map_or_else(|| "file".to_owned(), |name| format!("file {}", name.to_string_lossy()))
    }

    /// When it said something new last.
    #[must_use]
    pub fn fetched(&self) -> Option<DateTime<Utc>> {
        self.fetched
    }

    /// What it said last.
    #[must_use]
    pub fn content(&self) -> Option<&Content> {
        self.content.as_ref()
    }

    /// What it says about one of our zones.
    #[must_use]
    pub fn series(&self, zone: &str) -> Option<&Series> {
        let series = &self.content.as_ref()?.series;
        let named = series.get(self.place.names.get(zone).map_or(zone, String::as_str));
        named.or_else(|| series.get("").filter(|_| self.place.only.as_deref() == Some(zone)))
    }

    /// Why there is nothing about one of our zones, fit to follow the file's name.
    #[must_use]
    pub fn silence(&self, zone: &str) -> String {
        let theirs = self.place.names.get(zone).map_or(zone, String::as_str);
        let named: Vec<&str> = self.content.iter().flat_map(|c| c.series.keys()).map(String::as_str).take(5).collect();
        let wanted = if theirs == zone { zone.to_owned() } else { format!("{zone} (`{}` there)", plain(theirs)) };
        format!("nothing about zone {wanted}, only about {}", plain(&named.join(", ")))
    }

    /// When what it says of the future was said: as it states, else as long as it lies there it is said.
    #[must_use]
    pub fn said(&self) -> Option<DateTime<Utc>> {
        self.content.as_ref()?.issued.or(self.good)
    }

    /// What it says of a zone, taken apart: what is known or was said recently enough, and what is left of a forecast too old
    /// to be preferred to our own.
    #[must_use]
    pub fn parts(&self, zone: &str, now: DateTime<Utc>, max_age: TimeDelta) -> Option<(Series, Series)> {
        let all = self.series(zone)?;
        if self.said().is_some_and(|said| now - said <= max_age) {
            return Some((all.clone(), Series::default()));
        }
        let old = |span: &Span| span.grade >= Grade::Forecast && span.until > now;
        let (aged, good): (Vec<Span>, Vec<Span>) = all.spans().iter().partition(|span| old(span));
        Some((Series::new(good), Series::new(aged)))
    }

    /// Reads it if it may have changed.
    ///
    /// # Errors
    /// [`FileError`]; what was read before stays.
    pub fn read(&mut self, now: DateTime<Utc>) -> Result<(), FileError> {
        // A pipe would block the opening already: look before, and again at what was opened.
        if !std::fs::metadata(&self.place.path)?.is_file() {
            return Err(FileError::NotAFile);
        }
        let file = std::fs::File::open(&self.place.path)?;
        let known = file.metadata()?;
        if !known.is_file() {
            return Err(FileError::NotAFile);
        }
        let stamp = (known.modified()?, known.len());
        let soon = self.looked.is_some_and(|looked| now - looked < POLL);
        if self.seen == Some(stamp) && soon {
            self.good = Some(now);
            return Ok(());
        }
        if known.len() > LARGEST {
            return Err(FileError::TooLarge(known.len()));
        }
        let mut bytes = Vec::new();
        (&file).take(LARGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST {
            return Err(FileError::TooLarge(bytes.len() as u64));
        }
        let after = file.metadata()?;
        if (after.modified()?, after.len()) != stamp {
            return Err(FileError::Unfinished);
        }
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        if self.digest != Some(digest) {
            let written = DateTime::<Utc>::from(stamp.0).min(now);
            self.settled(&bytes, stamp, written, now)?;
            let content = parse(&bytes, &self.place, written, now)?;
            self.doubt(&content, stamp.0, now)?;
            (self.content, self.digest, self.fetched) = (Some(content), Some(digest), Some(now));
        }
        (self.seen, self.looked, self.good) = (Some(stamp), Some(now), Some(now));
        Ok(())
    }

    /// Whether nobody is in the middle of writing it, as far as its end can tell.
    fn settled(
        &mut self,
        bytes: &[u8],
        stamp: (SystemTime, u64),
        written: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), FileError> {
        if bytes.is_empty() || bytes.ends_with(b"\n") || bytes.trim_ascii_end().ends_with(b"}") {
            return Ok(());
        }
        let since = self.unfinished.filter(|(version, _)| *version == stamp).map_or(now, |(_, since)| since);
        self.unfinished = Some((stamp, since));
        if now - since.min(written) >= LEFT_ALONE { Ok(()) } else { Err(FileError::Unfinished) }
    }

    /// A day of zeros where there never was one is held back until somebody says that it is right.
    fn doubt(&self, content: &Content, written: SystemTime, now: DateTime<Utc>) -> Result<(), FileError> {
        let Some(known) = self.content.as_ref().filter(|known| known.basis == content.basis) else { return Ok(()) };
        for (zone, series) in &content.series {
            let Some(old) = known.series.get(zone) else { continue };
            let Some(mean) = old.mean(now - EXPERIENCE, now).filter(|mean| mean.value > NEVER_ZERO) else { continue };
            let fresh: Vec<&Span> = series.spans().iter().filter(|s| old.at(s.from) != Some(s)).collect();
            let time: TimeDelta = fresh.iter().map(|span| span.until - span.from).sum();
            if time < ZEROS || fresh.iter().any(|span| span.value.0 > 0) {
                continue;
            }
            let confirm = self.place.archive.place(&self.name(), zone).join("confirmed");
            if std::fs::metadata(&confirm).and_then(|known| known.modified()).is_ok_and(|at| at >= written) {
                continue;
            }
            return Err(FileError::Doubtful {
                what: format!("a whole day of zeros where the mean is {}", mean.value),
                confirm,
            });
        }
        Ok(())
    }
}

/// Reads the bytes of such a file, last `written` then.
///
/// # Errors
/// [`FileError`] with the first few mistakes, their lines and columns.
pub fn parse(bytes: &[u8], place: &Place, written: DateTime<Utc>, now: DateTime<Utc>) -> Result<Content, FileError> {
    let text = std::str::from_utf8(bytes).map_err(|_| FileError::NotText)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let context = Context { given: &place.labels, usual: &place.usual, said: written, now };
    let json = text.trim_start().starts_with('{');
    let gathered = if json { json::read(text, &context)? } else { rows::read(text, &context)? };
    if gathered.basis().kind != place.usual.kind {
        let word = |kind| if kind == Kind::Average { "average" } else { "marginal" };
        let (theirs, ours) = (word(gathered.basis().kind), word(place.usual.kind));
        return Err(FileError::Refused(format!("it tells {theirs} values, this site reckons with {ours} ones")));
    }
    if place.only.is_none() && gathered.is_nameless() {
        return Err(FileError::NoZone);
    }
    gathered.content()
}

#[cfg(test)]
mod tests;
