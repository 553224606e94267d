//! Times as whole milliseconds since 1970, rounded down: the grain of every comparison made here.

use chrono::{DateTime, TimeDelta, Utc};
use neap_model::seconds::Seconds;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub(crate) type Stamp = i64;

pub(crate) fn stamp(time: DateTime<Utc>) -> Stamp {
    time.timestamp_millis()
}

/// The time of a stamp; stamps beyond the calendar give its last instant.
pub(crate) fn time(stamp: Stamp) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(stamp).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// A length of time in milliseconds, at most a thousand years, so that sums of many stay in range.
pub(crate) fn millis(length: Seconds) -> i64 {
    length.delta().num_milliseconds()
}

/// `time + length`, or the end of the calendar.
pub(crate) fn later(time: DateTime<Utc>, length: Seconds) -> DateTime<Utc> {
    time.checked_add_signed(length.delta()).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// `time - length`, or the beginning of the calendar.
pub(crate) fn earlier(time: DateTime<Utc>, length: Seconds) -> DateTime<Utc> {
    time.checked_sub_signed(length.delta()).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// A calendar time for messages whose reader's zone is not known here.
pub(crate) fn in_words(time: DateTime<Utc>) -> String {
    time.format("%a %-d %b %Y %H:%M UTC").to_string()
}

/// RFC 3339 in UTC to the second, for machines.
pub(crate) fn rfc3339(time: DateTime<Utc>) -> String {
    (time - TimeDelta::nanoseconds(i64::from(time.timestamp_subsec_nanos()))).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
