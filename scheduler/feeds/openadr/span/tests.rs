use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn period(start: &str, duration: &str, random: &str) -> When {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Period { start: some(start), duration: some(duration), randomize_start: some(random) }.read().expect("a period")
}

const FIRST: &str = "2026-05-10T15:03:20Z";

/// The spans of an event whose intervals have these periods of their own, as text.
fn check(event: When, own: &[Option<When>], expected: &[(&str, &str)]) {
    let found = spans(event, own, at(FIRST), "seed").expect("spans");
    let text = |at: DateTime<Utc>| at.format("%m-%dT%H:%M:%S").to_string();
    let found: Vec<(String, String)> =
        found.iter().map(|s| (text(s.from), s.until.map_or_else(|| "removed".to_owned(), text))).collect();
    let expected: Vec<(String, String)> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    assert_eq!(found, expected);
}

#[test]
fn durations_are_read_as_iso_8601_writes_them() {
    let reads = |text: &str, expected: Option<Lasts>| assert_eq!(Lasts::read(text).ok(), expected, "{text}");
    let time = |seconds| Some(Lasts::For(0, TimeDelta::seconds(seconds)));
    reads("PT2H", time(7_200));
    reads("PT1H30M", time(5_400));
    reads("P1DT12H", time(129_600));
    reads("P2W", time(14 * 86_400));
    reads("PT0S", time(0));
    reads("PT0.5S", Some(Lasts::For(0, TimeDelta::milliseconds(500))));
    reads("P1Y2M", Some(Lasts::For(14, TimeDelta::zero())));
    reads("P9999Y", Some(Lasts::Forever));
    reads("PT99999999999999H", Some(Lasts::Forever));
    for wrong in
        ["", "P", "PT", "2H", "PT2", "PT2H3H", "PT30M2H", "P1H", "PT1D", "P1.5M", "P-1D", "PTéH", "PT1H ", "P1DT"]
    {
        reads(wrong, if wrong == "PT1H " { time(3_600) } else { None });
    }
}

#[test]
fn a_month_is_one_of_the_calendar_and_for_ever_has_no_end() {
    assert_eq!(Lasts::For(1, TimeDelta::zero()).after(at("2026-01-31T00:00:00Z")), Some(at("2026-02-28T00:00:00Z")));
    assert_eq!(Lasts::Forever.after(at(FIRST)), None);
}

#[test]
fn intervals_follow_one_another_unless_they_say_when() {
    let event = period("2026-05-10T16:00:00Z", "PT2H", "");
    check(event, &[None], &[("05-10T16:00:00", "05-10T18:00:00")]);
    check(event, &[None, None], &[("05-10T16:00:00", "05-10T18:00:00"), ("05-10T18:00:00", "05-10T20:00:00")]);
    // The interval's own wins, wholly or in part; who has none follows the one before.
    let own = |start, duration| Some(period(start, duration, ""));
    check(
        event,
        &[own("2026-05-11T00:00:00+02:00", "PT15M"), None, own("", "PT5M")],
        &[
            ("05-10T22:00:00", "05-10T22:15:00"),
            ("05-10T22:15:00", "05-11T00:15:00"),
            ("05-11T00:15:00", "05-11T00:20:00"),
        ],
    );
    check(
        When::default(),
        &[own("", "PT1H"), own("", "PT1H")],
        &[("05-10T15:03:20", "05-10T16:03:20"), ("05-10T16:03:20", "05-10T17:03:20")],
    );
}

#[test]
fn year_1_is_when_it_was_seen_first_and_no_end_is_until_it_is_removed() {
    check(period("0001-01-01T00:00:00Z", "PT1H", ""), &[None], &[("05-10T15:03:20", "05-10T16:03:20")]);
    check(period("0001-01-01", "P9999Y", ""), &[None], &[("05-10T15:03:20", "removed")]);
    check(When::default(), &[None], &[("05-10T15:03:20", "removed")]);
    assert!(spans(When::default(), &[None, None], at(FIRST), "seed").is_err(), "who follows an end that never comes?");
}

#[test]
fn a_random_shift_is_drawn_once_and_stays_within_what_is_allowed() {
    let event = period("2026-05-10T16:00:00Z", "PT1H", "PT10M");
    let draw = |seed: &str| spans(event, &[None, None], at(FIRST), seed).expect("spans");
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..200 {
        let drawn = draw(&format!("event-{n}"));
        assert_eq!(drawn, draw(&format!("event-{n}")), "the same again");
        let shift = drawn[0].from - at("2026-05-10T16:00:00Z");
        assert!(shift >= TimeDelta::zero() && shift <= TimeDelta::minutes(10), "{shift}");
        assert_eq!(drawn[0].until, Some(drawn[1].from), "all of it is shifted alike");
        seen.insert(shift);
    }
    assert!(seen.len() > 120, "two hundred draws of 601: {}", seen.len());
}

#[test]
fn a_period_that_means_nothing_is_an_error() {
    for (start, duration, random) in [
        ("yesterday", "PT1H", ""),
        ("2026-05-10T16:00:00", "PT1H", ""),
        ("9999-05-10T16:00:00Z", "PT1H", ""),
        ("2026-05-10T16:00:00Z", "PT0S", ""),
        ("2026-05-10T16:00:00Z", "1 h", ""),
        ("2026-05-10T16:00:00Z", "PT1H", "P1Y"),
    ] {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let period = Period { start: some(start), duration: some(duration), randomize_start: some(random) };
        assert!(period.read().is_err(), "{start} {duration} {random}");
    }
}
