use super::{Came, expected};
use crate::problem::{Arrival, Delay};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::job::Objective;
use neap_model::seconds::Seconds;
use neap_model::units::{Bytes, Percent};
use std::sync::Arc;

/// Midnight of a Tuesday, and so many hours before it.
fn ago(hours: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_478_400, 0).expect("a time of this century") - TimeDelta::hours(hours)
}

fn came(hours_ago: i64, gpus: u32, minutes: u64) -> Came<'static> {
    let (max, min_saving, replan_gain) = (Seconds::hours(6), Percent(0), Percent(0));
    let delay = Delay { objective: Objective::Carbon, max, min_saving, replan_gain };
    let (length, memory) = (Seconds::minutes(minutes), Bytes(0));
    Came { at: ago(hours_ago), length, gpus, gpu_model: &[], cpus: None, memory, zones: &[], delay }
}

fn now(history: &[Came<'static>], strength: u32) -> Arc<[Arrival]> {
    expected(ago(0), history.iter().copied(), Percent::whole(strength))
}

/// Jobs in a thousand, by hour from now, of all kinds together.
fn by_hour(arrivals: &[Arrival]) -> Vec<u32> {
    let of = |hour: i64| arrivals.iter().filter(|a| a.hour == ago(-hour)).map(|a| a.count).sum();
    (0..24).map(of).collect()
}

/// Every day at nine for so many days.
fn daily(days: i64) -> Vec<Came<'static>> {
    (1..=days).map(|day| came(day * 24 - 9, 2, 60)).collect()
}

#[test]
fn what_came_every_day_at_nine_is_expected_around_nine() {
    let found = by_hour(&now(&daily(8), 100));
    assert_eq!(found[7..12], [0, 333, 333, 333, 0]);
    assert_eq!(found.iter().sum::<u32>(), 999);
    assert_eq!(by_hour(&now(&daily(8), 50)).iter().sum::<u32>(), 501, "half of it, rounded by the hour");
    assert_eq!(*now(&daily(8), 0), []);
}

#[test]
fn less_than_a_week_teaches_nothing_and_what_is_older_than_four_is_forgotten() {
    assert_eq!(*now(&daily(7), 100), []);
    assert!(!now(&daily(8), 100).is_empty());
    let all = now(&daily(28), 100);
    let older: Vec<Came<'_>> = daily(28).into_iter().chain((30..60).map(|day| came(day * 24, 4, 600))).collect();
    assert_eq!(now(&older, 100).iter().map(|a| a.like.gpus).max(), Some(2));
    assert_eq!(by_hour(&all).iter().sum::<u32>(), 999);
}

#[test]
fn the_day_of_the_week_counts_once_it_was_seen_four_times() {
    // On Tuesdays alone, which today is.
    let tuesdays = |weeks: i64| (1..=weeks).map(|week| came(week * 168 - 9, 1, 60)).collect::<Vec<_>>();
    let four: Vec<Came<'_>> = tuesdays(4).into_iter().chain([came(28 * 24 + 1, 1, 60)]).collect();
    assert_eq!(by_hour(&now(&four, 100))[9], 333);
    let wednesday = expected(ago(-24), four.iter().copied(), Percent::whole(100));
    assert!(wednesday.iter().all(|arrival| arrival.count == 0 || arrival.hour < ago(-25)), "{wednesday:?}");
    // Of two weeks, one in seven days.
    let two: Vec<Came<'_>> = tuesdays(2).into_iter().chain([came(14 * 24 + 1, 1, 60)]).collect();
    assert_eq!(by_hour(&now(&two, 100))[9], 48);
}

#[test]
fn kinds_keep_their_width_and_mean_length_and_who_does_not_wait_is_not_counted() {
    let mut all: Vec<Came<'_>> = (1..=10).flat_map(|day| [came(day * 24, 1, 60), came(day * 24, 1, 90)]).collect();
    all.extend((1..=10).map(|day| came(day * 24, 4, 600)));
    let mut rigid = came(24, 8, 60);
    rigid.delay.objective = Objective::None;
    all.push(rigid);
    let found = now(&all, 100);
    let kinds: std::collections::BTreeSet<(u32, Seconds)> =
        found.iter().map(|arrival| (arrival.like.gpus, arrival.like.length)).collect();
    assert_eq!(Vec::from_iter(kinds), [(1, Seconds::minutes(75)), (4, Seconds::minutes(600))]);
    let jobs = |gpus| found.iter().filter(|a| a.like.gpus == gpus).map(|a| a.count).sum::<u32>();
    assert!(jobs(1).abs_diff(2_000) < 10 && jobs(4).abs_diff(1_000) < 10, "{} and {}", jobs(1), jobs(4));
}
