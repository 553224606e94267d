//! Times as the reader's clock shows them.

use super::Style;
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::seconds::Seconds;

/// `18:05`.
#[must_use]
pub fn clock(at: DateTime<Utc>, style: &Style) -> String {
    at.with_timezone(&style.zone).format("%H:%M").to_string()
}

/// `Tue 24 Nov 03:10`.
#[must_use]
pub fn day_clock(at: DateTime<Utc>, style: &Style) -> String {
    at.with_timezone(&style.zone).format("%a %-d %b %H:%M").to_string()
}

/// `Tue 24 Nov 03:10 CET`.
#[must_use]
pub fn full(at: DateTime<Utc>, style: &Style) -> String {
    at.with_timezone(&style.zone).format("%a %-d %b %H:%M %Z").to_string()
}

/// As short as it stays clear: `18:05` today, `Tue 03:10` within six days, else `24 Nov 03:10`.
#[must_use]
pub fn short(at: DateTime<Utc>, now: DateTime<Utc>, style: &Style) -> String {
    let (local, today) = (at.with_timezone(&style.zone), now.with_timezone(&style.zone));
    let pattern = if local.date_naive() == today.date_naive() {
        "%H:%M"
    } else if (at - now).abs() < TimeDelta::days(6) {
        "%a %H:%M"
    } else {
        "%-d %b %H:%M"
    };
    local.format(pattern).to_string()
}

/// `9h05`, `35m`, `40s`, `3d4h`: for columns.
#[must_use]
pub fn brief(length: Seconds) -> String {
    let seconds = length.0;
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, minutes) => format!("{hours}h{minutes:02}"),
        (days, hours, _) => format!("{days}d{hours}h"),
    }
}

/// `9 h 05 m` between two instants; nothing for one that is past.
#[must_use]
pub fn between(from: DateTime<Utc>, until: DateTime<Utc>) -> Seconds {
    Seconds(u64::try_from((until - from).num_seconds()).unwrap_or(0))
}
