//! Times as people write them: `+6h`, `18:00`, `tomorrow 09:00`, `fri 12:00`, RFC 3339.

use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc, Weekday};
use neap_model::refusal::{Code, Refusal};
use neap_model::seconds::Seconds;

/// Reads a time, relative to `now`, in the reader's zone.
///
/// # Errors
/// What is wrong with it: not a time, skipped or repeated by the clock change.
pub fn read<Z: TimeZone>(text: &str, now: DateTime<Utc>, field: &str, zone: &Z) -> Result<DateTime<Utc>, Refusal> {
    let text = text.trim();
    if let Some(length) = text.strip_prefix('+') {
        let length: Seconds = length.parse().map_err(|error: neap_model::units::QuantityError| {
            Refusal::new(Code::BadValue, error.to_string()).about(field, text)
        })?;
        return Ok(now + length.delta());
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    let local = local(zone, text, now).ok_or_else(|| {
        Refusal::new(Code::BadValue, format!("`{text}` is no time"))
            .about(field, text)
            .note("+6h · 18:00 · tomorrow 09:00 · fri 12:00 · 2026-11-24 12:00 · 2026-11-24T12:00:00+01:00")
    })?;
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) => Ok(at.to_utc()),
        LocalResult::Ambiguous(one, other) => Err(Refusal::new(
            Code::ClockChange,
            format!("{} comes twice that day: the clocks go back", local.format("%Y-%m-%d %H:%M")),
        )
        .about(field, text)
        .note(format!("either {} or {} UTC", one.to_utc().format("%FT%TZ"), other.to_utc().format("%FT%TZ")))
        .hint("name one of them in full", &[])),
        LocalResult::None => Err(Refusal::new(
            Code::ClockChange,
            format!("{} does not come: the clocks go forward", local.format("%Y-%m-%d %H:%M")),
        )
        .about(field, text)
        .hint("name a time before or after the hour that is skipped", &[])),
    }
}

/// Reads a time in the past: a day, RFC 3339, or a length of time ago.
///
/// # Errors
/// What is wrong with it.
pub fn past<Z: TimeZone>(text: &str, now: DateTime<Utc>, field: &str, zone: Z) -> Result<DateTime<Utc>, Refusal> {
    let text = text.trim();
    if let Ok(length) = text.parse::<Seconds>() {
        return Ok(now - length.delta());
    }
    let whole_day = NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok();
    let text = if whole_day { format!("{text} 00:00") } else { text.to_owned() };
    if text.contains('-') {
        return read(&text, now, field, &zone);
    }
    let refusal = Refusal::new(Code::BadValue, format!("`{text}` is no time in the past")).about(field, text);
    Err(refusal.note("2026-11-01 · 2026-11-01 12:00 · RFC 3339 · 7d, for seven days ago"))
}

fn local<Z: TimeZone>(zone: &Z, text: &str, now: DateTime<Utc>) -> Option<NaiveDateTime> {
    let here = now.with_timezone(zone).naive_local();
    let (day, time) = match text.rsplit_once([' ', 'T']) {
        Some((day, time)) => (Some(day.trim().to_lowercase()), time),
        None => (None, text),
    };
    let (time, over) = match time {
        "24:00" => (NaiveTime::MIN, 1),
        time => (
            NaiveTime::parse_from_str(time, "%H:%M").or_else(|_| NaiveTime::parse_from_str(time, "%H:%M:%S")).ok()?,
            0,
        ),
    };
    let today = here.date();
    let date = match day.as_deref() {
        None => return Some(next(today, time, over, here)),
        Some("today") => today,
        Some("tomorrow") => today.checked_add_days(Days::new(1))?,
        Some(day) => match day.parse::<Weekday>() {
            Ok(weekday) => {
                let ahead = (7 + weekday.num_days_from_monday() - today.weekday().num_days_from_monday()) % 7;
                let date = today.checked_add_days(Days::new(u64::from(ahead)))?;
                let passed = date.and_time(time) <= here && over == 0;
                if passed { date.checked_add_days(Days::new(7))? } else { date }
            }
            Err(_) => NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()?,
        },
    };
    Some(date.checked_add_days(Days::new(over))?.and_time(time))
}

/// The next time the clock shows it.
fn next(today: NaiveDate, time: NaiveTime, over: u64, here: NaiveDateTime) -> NaiveDateTime {
    let at = (today + Days::new(over)).and_time(time);
    if at > here { at } else { at + chrono::TimeDelta::days(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::FixedOffset;

    /// Monday 23 November 2026, 18:05 in Berlin.
    fn check(text: &str, expected: &str) {
        let zone = FixedOffset::east_opt(3_600).expect("in range");
        let now = DateTime::parse_from_rfc3339("2026-11-23T18:05:00+01:00").expect("a time").to_utc();
        let shown = match read(text, now, "time.finish_by", &zone) {
            Ok(at) => at.with_timezone(&zone).format("%a %d %H:%M:%S").to_string(),
            Err(refusal) => refusal.code.text().to_owned(),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn the_hour_that_comes_twice_and_the_one_that_does_not_come_are_refused() {
        let zone = chrono_tz::Europe::Berlin;
        let now = DateTime::parse_from_rfc3339("2026-03-01T00:00:00Z").expect("a time").to_utc();
        let refused = |text| read(text, now, "time.finish_by", &zone).expect_err(text);
        let twice = refused("2026-10-25 02:30");
        assert_eq!(twice.code, Code::ClockChange);
        assert_eq!(twice.note.as_deref(), Some("either 2026-10-25T00:30:00Z or 2026-10-25T01:30:00Z UTC"));
        assert_eq!(refused("2026-03-29 02:30").code, Code::ClockChange);
        assert!(read("2026-10-25 04:30", now, "time.finish_by", &zone).is_ok());
    }

    #[test]
    fn the_past_is_read_as_a_day_or_as_a_length() {
        let zone = chrono_tz::Europe::Berlin;
        let now = DateTime::parse_from_rfc3339("2026-11-23T17:05:00Z").expect("a time").to_utc();
        let read = |text| past(text, now, "since", zone).map(|at| at.to_rfc3339()).map_err(|refusal| refusal.code);
        assert_eq!(read("2026-11-01").as_deref(), Ok("2026-10-31T23:00:00+00:00"));
        assert_eq!(read("7d").as_deref(), Ok("2026-11-16T17:05:00+00:00"));
        assert_eq!(read("soon"), Err(Code::BadValue));
        assert_eq!(read("2026-13-01"), Err(Code::BadValue));
    }

    #[test]
    fn times_are_read_as_meant() {
        check("+6h", "Tue 24 00:05:00");
        check("18:00", "Tue 24 18:00:00");
        check("18:30", "Mon 23 18:30:00");
        check("tomorrow 09:00", "Tue 24 09:00:00");
        check("today 20:00", "Mon 23 20:00:00");
        check("fri 12:00", "Fri 27 12:00:00");
        check("Monday 12:00", "Mon 30 12:00:00");
        check("24:00", "Tue 24 00:00:00");
        check("2026-12-01 08:00", "Tue 01 08:00:00");
        check("2026-11-24T12:00:00Z", "Tue 24 13:00:00");
        for nonsense in ["", "soon", "25:00", "+6", "tomorrow", "09:00 tomorrow", "2026-13-01 08:00"] {
            check(nonsense, "E011");
        }
    }
}
