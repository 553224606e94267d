//! The schedule of one service, with time moved by hand.

use super::super::feed::{Terms, Values};
use super::*;
use neap_model::grid::{Basis, Grade, Series, Span};
use neap_model::units::Intensity;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_778_396_400 + seconds, 0).expect("in range")
}

/// A service that answers with the status as its value, and wants two requests for zone `two`.
struct Fake(Manners, bool);

impl Feed for Fake {
    fn name(&self) -> &str {
        "fake"
    }
    fn ask(&mut self, want: &Want, _: DateTime<Utc>) -> Ask {
        if want.zone == "never" {
            return Ask::Never(FeedError::Misconfigured("no such zone".to_owned()));
        }
        Ask::Send(Request::get(format!("http://fake/{}", want.theirs)))
    }
    fn hear(&mut self, want: &Want, reply: &Reply, now: DateTime<Utc>) -> Result<Heard, FeedError> {
        if let Some(trouble) = super::super::wire::trouble(reply, now) {
            return Err(trouble);
        }
        if want.zone == "two" && !std::mem::replace(&mut self.1, true) {
            return Ok(Heard::AskAgain);
        }
        let span =
            Span { from: now, until: now + TimeDelta::hours(1), value: Intensity::grams(1), grade: Grade::Forecast };
        let values = Values::Intensity(Series::new([span]));
        Ok(Heard::Series(Told { values, basis: Basis::default(), issued: None, notes: Vec::new() }))
    }
    fn manners(&self) -> &Manners {
        &self.0
    }
}

fn source(zones: &[&str]) -> Source {
    let manners = Manners {
        poll: TimeDelta::minutes(15),
        delay: TimeDelta::minutes(1),
        gap: TimeDelta::seconds(3),
        after_429: TimeDelta::seconds(6),
        settled: TimeDelta::hours(24),
        terms: Terms::Internal,
    };
    let zones: Vec<_> =
        zones.iter().map(|zone| ((*zone).to_owned(), format!("{zone}-theirs"), Signal::Intensity)).collect();
    Source::new(Box::new(Fake(manners, false)), &zones, 7, at(0))
}

fn reply(status: u16, retry_after: Option<&str>) -> Result<Reply, FeedError> {
    let retry_after = retry_after.map(str::to_owned);
    Ok(Reply { status, content_type: "application/json".to_owned(), retry_after, body: b"{}".to_vec() })
}

/// When the next request leaves, and for which want.
fn leaves(source: &mut Source, now: DateTime<Utc>) -> (DateTime<Utc>, usize) {
    let mut now = now;
    for _ in 0..1_000 {
        match source.next(now) {
            Next::Send(want, _) => return (now, want),
            Next::Wait(until) => {
                assert!(until > now, "it waits for what is past");
                now = until;
            }
            Next::Failed(_, error) => panic!("{error}"),
        }
    }
    panic!("it never asks")
}

fn send(source: &mut Source, now: DateTime<Utc>) -> usize {
    match source.next(now) {
        Next::Send(at, _) => at,
        other => panic!("{other:?}"),
    }
}

#[test]
fn zones_are_asked_one_after_the_other_and_then_at_the_poll() {
    let mut source = source(&["a", "b"]);
    let first = send(&mut source, at(0));
    assert!(source.heard(first, reply(200, None), at(0)).expect("whole").result.is_ok());
    assert_eq!(source.next(at(1)), Next::Wait(at(3)), "no two requests within the gap");
    let second = send(&mut source, at(3));
    assert_ne!(first, second);
    source.heard(second, reply(200, None), at(3)).expect("whole");
    // 15 minutes after the boundary, a minute of delay, at most a tenth of the poll of jitter.
    let (next, _) = leaves(&mut source, at(4));
    assert!((at(960)..at(960 + 91)).contains(&next), "{next}");
}

#[test]
fn an_answer_of_two_parts_is_finished_before_others() {
    let mut source = source(&["two", "b"]);
    let first = send(&mut source, at(5));
    assert_eq!(source.heard(first, reply(200, None), at(5)), None);
    let (now, _) = leaves(&mut source, at(5));
    assert_eq!(now, at(8));
    assert!(matches!(source.next(at(8)), Next::Wait(_)), "the request was given out");
    assert_eq!(source.heard(first, reply(200, None), at(9)).map(|news| news.zone), Some("two".to_owned()));
}

/// Answers each request with `answer`, and says how long it takes until the next one leaves.
fn waits(
    source: &mut Source,
    count: usize,
    answer: impl Fn() -> Result<Reply, FeedError>,
) -> (Vec<i64>, DateTime<Utc>, usize) {
    let (mut now, mut want) = leaves(source, at(0));
    let mut waits = Vec::new();
    for _ in 0..count {
        source.heard(want, answer(), now);
        let (next, of) = leaves(source, now);
        waits.push((next - now).num_seconds());
        (now, want) = (next, of);
    }
    (waits, now, want)
}

#[test]
fn too_many_is_honoured_and_doubles_without_a_word() {
    assert_eq!(waits(&mut source(&["a"]), 1, || reply(429, Some("40"))).0, [40]);
    assert_eq!(waits(&mut source(&["a"]), 1, || reply(429, Some("86400"))).0, [3_600]);
    let (silent, ..) = waits(&mut source(&["a"]), 14, || reply(429, Some("whenever")));
    assert!(
        (4..=8).contains(&silent[0]) && (9..=15).contains(&silent[1]) && (19..=29).contains(&silent[2]),
        "{silent:?}"
    );
    assert!(silent.iter().all(|wait| *wait <= 3_600) && silent[13] > 2_800, "{silent:?}");
}

#[test]
fn broken_exchanges_wait_longer_each_time_and_open_the_circuit_until_one_works() {
    let mut source = source(&["a"]);
    let (broken, now, want) = waits(&mut source, 8, || Err(FeedError::Down("cut".to_owned())));
    assert!(broken[0] <= 3 && (12..=20).contains(&broken[3]), "{broken:?}");
    assert!(source.is_open() && (240..=360).contains(&broken[7]), "{broken:?}");
    assert!(source.heard(want, reply(200, None), now).expect("whole").result.is_ok());
    assert!(!source.is_open());
}

#[test]
fn a_refused_key_is_not_asked_again_and_a_wrong_zone_once_an_hour() {
    let mut keyless = source(&["a"]);
    let asked = send(&mut keyless, at(0));
    assert!(matches!(keyless.heard(asked, reply(401, None), at(0)).expect("ends").result, Err(FeedError::Key(_))));
    for hour in 1..100 {
        assert!(matches!(keyless.next(at(hour * 3_600)), Next::Wait(_)));
    }
    let mut wrong = source(&["never"]);
    let Next::Failed(at_want, error) = wrong.next(at(0)) else { panic!("it cannot be asked") };
    wrong.settle(at_want, Err(error), at(0));
    assert_eq!(wrong.next(at(1)), Next::Wait(at(3_600)));
}
