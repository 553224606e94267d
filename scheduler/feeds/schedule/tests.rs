use super::super::feed::Terms;
use super::*;
use proptest::prelude::*;

fn at(seconds: i64) -> DateTime<Utc> {
    // A round quarter of an hour.
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("in range")
}

fn manners() -> Manners {
    Manners {
        poll: TimeDelta::minutes(30),
        delay: TimeDelta::minutes(2),
        gap: TimeDelta::seconds(3),
        after_429: TimeDelta::seconds(60),
        settled: TimeDelta::hours(24),
        terms: Terms::Internal,
    }
}

fn lane(zone: &str) -> Lane {
    (zone.to_owned(), Signal::Intensity)
}

fn schedule(zones: &[&str]) -> Schedule {
    Schedule::new(manners(), zones.iter().map(|zone| lane(zone)), 7, at(0))
}

fn down() -> Ended {
    Ended::Failed(FeedError::Down("no answer".to_owned()))
}

/// Asks whatever is due next and ends it so, until there were `count` requests. Says when they went out and for which zone.
fn requests(schedule: &mut Schedule, mut now: DateTime<Utc>, count: usize, how: &Ended) -> Vec<(i64, String)> {
    let mut all = Vec::new();
    while all.len() < count {
        match schedule.next(now) {
            Next::Ask(lane) => {
                all.push(((now - at(0)).num_seconds(), lane.0.clone()));
                schedule.sent(&lane, now);
                schedule.ended(&lane, how, now);
            }
            Next::Wait(until) => now = until,
        }
    }
    all
}

#[test]
fn a_start_asks_for_one_zone_after_the_other_and_then_at_the_feeds_own_times() {
    let mut schedule = schedule(&["A", "B", "C"]);
    let all = requests(&mut schedule, at(0), 9, &Ended::Values);
    let (starts, polls) = all.split_at(3);
    assert_eq!(starts, [(0, "A".to_owned()), (3, "B".to_owned()), (6, "C".to_owned())]);
    for (n, (second, _)) in polls.iter().enumerate() {
        let slot = if n < 3 { 120 } else { 1_920 };
        // The boundary of 30 minutes, two minutes of delay, at most 30 s of its own, and the gap to the others.
        assert!((slot..=slot + 36).contains(second), "{all:?}");
    }
    assert_ne!(polls[0].0, 120, "a jitter of its own");
}

#[test]
fn a_request_that_hangs_delays_no_other_zone_and_is_not_sent_twice() {
    let mut schedule = schedule(&["A", "B"]);
    schedule.sent(&lane("A"), at(0));
    assert_eq!(schedule.next(at(1)), Next::Wait(at(3)), "the gap");
    assert_eq!(schedule.next(at(3)), Next::Ask(lane("B")));
    schedule.sent(&lane("B"), at(3));
    assert!(matches!(schedule.next(at(1_000)), Next::Wait(until) if until > at(86_400)), "both are on their way");
    schedule.ended(&lane("B"), &Ended::Values, at(4));
    assert!(matches!(schedule.next(at(5)), Next::Wait(until) if until < at(200)));
}

#[test]
fn failures_are_retried_ever_more_rarely_then_probed_each_five_minutes() {
    let mut schedule = schedule(&["A"]);
    let times: Vec<i64> = requests(&mut schedule, at(0), 9, &down()).into_iter().map(|(second, _)| second).collect();
    let gaps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (gap, usual) in gaps.iter().zip([2, 4, 8, 16, 300, 300, 300, 300]) {
        assert!((*gap as f64 - f64::from(usual)).abs() <= f64::from(usual) * 0.2 + 1.5, "{gaps:?}");
    }
    assert!(schedule.is_open());
    let now = at(times[8] + 300);
    schedule.sent(&lane("A"), now);
    schedule.ended(&lane("A"), &Ended::Values, now);
    assert!(!schedule.is_open());
}

#[test]
fn one_zone_that_fails_does_not_open_the_circuit_of_the_others() {
    let mut schedule = schedule(&["A", "B"]);
    let mut now = at(0);
    let mut asked = BTreeMap::new();
    while now < at(4 * 3_600) {
        match schedule.next(now) {
            Next::Ask(lane) => {
                *asked.entry(lane.0.clone()).or_insert(0) += 1;
                schedule.sent(&lane, now);
                let how = if lane.0 == "A" { down() } else { Ended::Values };
                schedule.ended(&lane, &how, now);
            }
            Next::Wait(until) => now = until,
        }
    }
    assert!(asked["B"] >= 8 && !schedule.is_open(), "{asked:?}");
    assert!((40..70).contains(&asked["A"]), "{asked:?}");
}

#[test]
fn too_many_requests_are_answered_with_patience() {
    let wait = |said: Option<u64>| {
        let mut schedule = schedule(&["A", "B"]);
        schedule.sent(&lane("A"), at(0));
        schedule.ended(&lane("A"), &Ended::Failed(FeedError::TooMany(said)), at(0));
        // The other zone waits as well: it is the same service.
        let Next::Wait(until) = schedule.next(at(0)) else { panic!("it asks on") };
        (until - at(0)).num_seconds()
    };
    assert_eq!((wait(Some(4)), wait(Some(90)), wait(Some(86_400)), wait(Some(0))), (4, 90, 3_600, 3));
    assert!((48..=72).contains(&wait(None)), "{}", wait(None));
    // All day long, without a word for how long: the wait doubles up to an hour, one request each.
    let mut schedule = schedule(&["A"]);
    let all = requests(&mut schedule, at(0), 12, &Ended::Failed(FeedError::TooMany(None)));
    let last = all[11].0 - all[10].0;
    assert!((2_880..=3_600).contains(&last), "{all:?}");
    assert!(!schedule.is_open(), "a busy service is not a broken one");
}

#[test]
fn a_refused_key_ends_it_and_a_wrong_question_rests_for_an_hour() {
    let mut schedule = schedule(&["A", "B"]);
    schedule.ended(&lane("A"), &Ended::Failed(FeedError::Misconfigured(String::new())), at(0));
    assert_eq!(schedule.next(at(0)), Next::Ask(lane("B")));
    schedule.ended(&lane("B"), &Ended::Failed(FeedError::Plan(String::new())), at(0));
    assert_eq!(schedule.next(at(0)), Next::Wait(at(3_600)));
    schedule.ended(&lane("A"), &Ended::Failed(FeedError::Key(String::new())), at(3_600));
    assert!(schedule.is_stopped());
    assert!(matches!(schedule.next(at(86_400)), Next::Wait(_)));
}

#[test]
fn parts_follow_with_the_gap_between_them_and_come_to_an_end() {
    let mut schedule = schedule(&["A"]);
    let mut now = at(0);
    let error = (0..100).find_map(|_| {
        while let Next::Wait(until) = schedule.next(now) {
            now = until;
        }
        schedule.sent(&lane("A"), now);
        schedule.ended(&lane("A"), &Ended::GoesOn, now)
    });
    assert_eq!(now, at(39 * 3));
    assert!(matches!(error, Some(FeedError::Refused(text)) if text.contains("40")));
    assert!(matches!(schedule.next(now), Next::Wait(until) if until > now + TimeDelta::seconds(1)));
}

proptest! {
    /// Whatever a service does for a day: never two requests closer than the gap, never two at once for a zone, and it is
    /// always asked again unless it refused the key.
    #[test]
    fn manners_hold_whatever_happens(
        outcomes in proptest::collection::vec((0u8..8, 0i64..25), 1..60),
        seed in any::<u64>(),
    ) {
        let mut schedule = Schedule::new(manners(), ["A", "B", "C"].map(lane), seed, at(0));
        let (mut now, mut last) = (at(0), at(-100));
        for (kind, takes) in outcomes {
            let mut waits = 0;
            let lane = loop {
                match schedule.next(now) {
                    Next::Ask(lane) => break lane,
                    Next::Wait(until) => {
                        prop_assert!(until > now && until <= now + TimeDelta::hours(7), "{until} after {now}");
                        now = until;
                        waits += 1;
                        prop_assert!(waits < 3);
                    }
                }
            };
            prop_assert!(now - last >= TimeDelta::seconds(3));
            last = now;
            schedule.sent(&lane, now);
            prop_assert_ne!(schedule.next(now + TimeDelta::days(1)), Next::Ask(lane.clone()));
            now += TimeDelta::seconds(takes);
            let how = match kind {
                0 => Ended::Values,
                1 => Ended::GoesOn,
                2 => down(),
                3 => Ended::Failed(FeedError::TooMany(None)),
                4 => Ended::Failed(FeedError::TooMany(Some(takes.unsigned_abs() * 1_000))),
                5 => Ended::Failed(FeedError::NoData(String::new())),
                6 => Ended::Failed(FeedError::Plan(String::new())),
                _ => Ended::NotBefore(now + TimeDelta::seconds(takes)),
            };
            schedule.ended(&lane, &how, now);
        }
    }
}
