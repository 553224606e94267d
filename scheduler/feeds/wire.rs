//! What all providers read alike: times, numbers, status codes, and points that are checked before they become a series.
//!
//! A missing value stays a hole; a value that cannot be drops the whole body. Nothing here asks anybody.

pub mod points;

use super::feed::{FeedError, Reply};
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// Longest piece of a reply that is shown in an error, in characters.
const SHOWN: usize = 200;
/// Longest wait that a `Retry-After` may ask for, in seconds.
const LONGEST_WAIT: u64 = 3_600;

/// A number that may come as a number, as text or not at all. Text that is no number is a hole only where it is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Number(pub Option<f64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Number(f64),
            Text(String),
            Nothing(()),
        }
        match Any::deserialize(from)? {
            Any::Number(value) => Ok(Self(Some(value))),
            Any::Nothing(()) => Ok(Self(None)),
            Any::Text(text) if text.trim().is_empty() => Ok(Self(None)),
            Any::Text(text) => match text.trim().parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(Self(Some(value))),
                _ => Err(serde::de::Error::custom(format!("`{}` is no number", plain(&text)))),
            },
        }
    }
}

/// An instant as services write it: RFC 3339 with or without seconds, with `Z`, `+hh:mm` or `+hhmm`, hour 24, leap seconds.
/// A time without a zone is read in UTC where `bare` says that this service means so, else refused.
#[must_use]
pub fn time(text: &str, bare: bool) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if text.len() < 13 || text.len() > 40 || !text.is_ascii() {
        return None;
    }
    let (body, offset) = split_offset(text)?;
    let offset = match offset {
        Some(offset) => offset,
        None if bare => TimeDelta::zero(),
        None => return None,
    };
    let body = body.replacen(' ', "T", 1);
    let (day, clock) = body.split_once('T')?;
    let (mut clock, mut shift) = (clock.to_owned(), TimeDelta::zero());
    if let Some(rest) = clock.strip_prefix("24:00") {
        if rest.chars().any(|c| c.is_ascii_digit() && c != '0') {
            return None;
        }
        (clock, shift) = (format!("00:00{rest}"), TimeDelta::days(1));
    }
    if clock.len() == 2 {
        clock.push_str(":00");
    }
    if clock.len() == 5 {
        clock.push_str(":00");
    }
    let clock = clock.replacen(":60", ":59", usize::from(clock.get(6..8) == Some("60")));
    let naive = NaiveDateTime::parse_from_str(&format!("{day}T{clock}"), "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    naive.checked_add_signed(shift)?.checked_sub_signed(offset).map(|utc| utc.and_utc())
}

/// What stands before the offset, and the offset; `None` inside where there is none.
fn split_offset(text: &str) -> Option<(&str, Option<TimeDelta>)> {
    if let Some(body) = text.strip_suffix(['Z', 'z']) {
        return Some((body, Some(TimeDelta::zero())));
    }
    // The day has two dashes; an offset's sign comes after the hour.
    let sign = text.get(11..)?.find(['+', '-']).map(|at| at + 11);
    let Some(sign) = sign else { return Some((text, None)) };
    let digits: String = text[sign + 1..].chars().filter(|c| *c != ':').collect();
    if !matches!(digits.len(), 2 | 4) || !digits.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let hours: i64 = digits[..2].parse().ok()?;
    let minutes: i64 = if digits.len() == 4 { digits[2..].parse().ok()? } else { 0 };
    if hours > 14 || minutes > 59 {
        return None;
    }
    let offset = TimeDelta::minutes(hours * 60 + minutes);
    Some((&text[..sign], Some(if text.as_bytes()[sign] == b'-' { -offset } else { offset })))
}

/// Text from outside, fit to be shown: no control characters, not long.
#[must_use]
pub fn plain(text: &str) -> String {
    let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What an error body says: its `error`, `message`, `detail` or `title`, else its first characters.
#[must_use]
pub fn said(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4_096)]).into_owned();
    if let Ok(serde_json::Value::Object(fields)) = serde_json::from_slice::<serde_json::Value>(body) {
        for name in ["error", "message", "detail", "title"] {
            match fields.get(name) {
                Some(serde_json::Value::String(text)) => return plain(text),
                Some(serde_json::Value::Object(inner)) => {
                    if let Some(text) = inner.get("message").and_then(serde_json::Value::as_str) {
                        return plain(text);
                    }
                }
                Some(other @ serde_json::Value::Array(_)) => return plain(&other.to_string()),
                _ => {}
            }
        }
    }
    plain(&text)
}

/// Whether a body is a web page: a captive portal, a proxy's error.
#[must_use]
pub fn is_html(reply: &Reply) -> bool {
    let start = reply.body.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
    let head = String::from_utf8_lossy(&reply.body[start..reply.body.len().min(start + 15)]).to_ascii_lowercase();
    reply.content_type.starts_with("text/html") || head.starts_with("<!doctype html") || head.starts_with("<html")
}

/// What a status says that needs no look at the content; `None`: there is content to read.
#[must_use]
pub fn trouble(reply: &Reply, now: DateTime<Utc>) -> Option<FeedError> {
    let status = reply.status;
    if is_html(reply) && status != 401 {
        return Some(FeedError::Down(format!("status {status} with a web page")));
    }
    match status {
        204 => Some(FeedError::NoData("an empty answer".to_owned())),
        200..=299 if reply.body.iter().all(u8::is_ascii_whitespace) => {
            Some(FeedError::NoData("an empty answer".to_owned()))
        }
        200..=299 => None,
        300..=399 => Some(FeedError::Refused(format!("status {status}: it wants to send us elsewhere"))),
        401 => Some(FeedError::Key(said(&reply.body))),
        403 => Some(FeedError::Plan(said(&reply.body))),
        429 => Some(FeedError::TooMany(reply.retry_after.as_deref().and_then(|text| wait(text, now)))),
        400..=499 => Some(FeedError::Misconfigured(format!("status {status}: {}", said(&reply.body)))),
        _ => Some(FeedError::Down(format!("status {status}: {}", said(&reply.body)))),
    }
}

/// `Retry-After` in seconds from now, as seconds or as a date, at most an hour; `None` where it is neither.
fn wait(text: &str, now: DateTime<Utc>) -> Option<u64> {
    let seconds = match text.trim().parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let at = DateTime::parse_from_rfc2822(text.trim()).ok()?;
            u64::try_from((at.to_utc() - now).num_seconds()).unwrap_or(0)
        }
    };
    Some(seconds.min(LONGEST_WAIT))
}

/// Reads a body as JSON. One that breaks off is an exchange that broke; one that says something else is refused.
///
/// # Errors
/// [`FeedError::Down`], [`FeedError::Refused`].
pub fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, FeedError> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Eof | serde_json::error::Category::Io => {
            FeedError::Down("the answer breaks off".to_owned())
        }
        _ => FeedError::Refused(format!("it cannot be read: {}", plain(&error.to_string()))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str, bare: bool, expected: Option<&str>) {
        let found = time(text, bare).map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn times_are_read_as_services_write_them() {
        reads("2026-05-11T07:00Z", false, Some("2026-05-11T07:00:00Z"));
        reads("2026-05-11T07:00:00.000Z", false, Some("2026-05-11T07:00:00Z"));
        reads("2026-05-11T07:00:00+00:00", false, Some("2026-05-11T07:00:00Z"));
        reads("2026-05-11T09:00:00+0200", false, Some("2026-05-11T07:00:00Z"));
        reads("2026-05-11T02:30:00-04:30", false, Some("2026-05-11T07:00:00Z"));
        reads("2026-05-10T08", true, Some("2026-05-10T08:00:00Z"));
        reads("2026-05-10T07:00:00", true, Some("2026-05-10T07:00:00Z"));
        reads("2026-05-10T07:00:00", false, None);
        reads("2026-05-10T24:00:00Z", false, Some("2026-05-11T00:00:00Z"));
        reads("2026-05-10T24:01:00Z", false, None);
        reads("2026-06-30T23:59:60Z", false, Some("2026-06-30T23:59:59Z"));
        for wrong in
            ["", "now", "2026-05-10", "2026-13-10T00:00Z", "2026-05-10T07:00:00+99:00", "２０２６-05-10T07:00Z"]
        {
            reads(wrong, true, None);
        }
    }

    #[test]
    fn a_wait_is_seconds_or_a_date_and_an_hour_at_most() {
        let now = time("2026-05-11T07:00Z", false).expect("a time");
        assert_eq!(wait("4", now), Some(4));
        assert_eq!(wait("86400", now), Some(3_600));
        assert_eq!(wait("Mon, 11 May 2026 07:01:30 GMT", now), Some(90));
        assert_eq!(wait("Mon, 11 May 2026 06:01:30 GMT", now), Some(0));
        assert_eq!(wait("soon", now), None);
    }

    #[test]
    fn error_texts_are_found_and_harmless() {
        assert_eq!(said(br#"{"error":{"code":"X","message":"no\nsuch \u001b[31mzone"}}"#), "no such [31mzone");
        assert_eq!(said(br#"{"message":"plain"}"#), "plain");
        assert_eq!(said(b"'xx' is not the code\0 for"), "'xx' is not the code for");
        assert!(said(&[b'a'; 5_000]).len() <= SHOWN);
    }

    #[test]
    fn what_is_not_json_is_refused_and_what_breaks_off_is_a_broken_exchange() {
        assert!(matches!(json::<Vec<Number>>(b"[1, NaN]"), Err(FeedError::Refused(_))));
        assert!(matches!(json::<Vec<Number>>(b"[1, 1e400]"), Err(FeedError::Refused(_))));
        assert!(matches!(json::<Vec<Number>>(b"[1, "), Err(FeedError::Down(_))));
        assert!(json::<serde_json::Value>("[".repeat(10_000).as_bytes()).is_err());
        let numbers: Vec<Number> = json(br#"[1, "2.5", null, ""]"#).expect("numbers");
        assert_eq!(numbers.iter().map(|n| n.0).collect::<Vec<_>>(), [Some(1.0), Some(2.5), None, None]);
    }
}
