//! What the vocabulary promises: exact sums, units that are read as they are written, and one life for every job.

use crate::footprint::{EnergyOver, Savings, footprint};
use crate::grid::{Curve, Grade, Series, Span};
use crate::job::{AttemptId, Epoch, JobId, Person, is_name};
use crate::lifecycle::{AttemptEnd, Exit, ExitFrom, JobEvent, Outcome, Phase, StopCause};
use crate::refusal::Code;
use crate::seconds::Seconds;
use crate::units::{Bytes, GramsCo2e, Intensity, Joules, Percent, Pue, QuantityError, Watts};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use std::time::Duration;

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_000_000, 0).expect("a time") + TimeDelta::minutes(minutes)
}

fn span(from: i64, until: i64, grams: u64, grade: Grade) -> Span {
    Span { from: at(from), until: at(until), value: Intensity::grams(grams), grade }
}

#[test]
fn units_are_read_as_people_write_them() {
    assert_eq!("20 kW".parse(), Ok(Watts::whole(20_000)));
    assert_eq!("512GiB".parse(), Ok(Bytes(512 << 30)));
    assert_eq!("10%".parse(), Ok(Percent::whole(10)));
    assert_eq!("688 g/kWh".parse(), Ok(Intensity::grams(688)));
    assert_eq!("4h30m".parse(), Ok(Seconds(16_200)));
    assert_eq!("1 d 2 h".parse(), Ok(Seconds(93_600)));
    assert_eq!("15 min".parse(), Ok(Seconds(900)));
    assert!(matches!("20".parse::<Watts>(), Err(QuantityError::NoUnit { .. })));
    assert!(matches!("20 kJ".parse::<Watts>(), Err(QuantityError::WrongUnit { .. })));
    for nonsense in ["", "-1 W", "1e400 W", "kW", "1.2.3 W", "9999999999999999999999 MW"] {
        assert!(nonsense.parse::<Watts>().is_err(), "{nonsense}");
    }
    for nonsense in ["", "h", "1h1h", "30m4h", "-1h", "1y", "99999999d", "1 h 2"] {
        assert!(nonsense.parse::<Seconds>().is_err(), "{nonsense}");
    }
}

#[test]
fn figures_are_printed_in_the_unit_that_suits() {
    assert_eq!(Joules(28_600_000 * 3_600).to_string(), "28.6 kWh");
    assert_eq!(Joules(10_800).to_string(), "3.00 mWh");
    assert_eq!(GramsCo2e(7_400_000_000).to_string(), "7.40 kg");
    assert_eq!(Watts::whole(26_000).to_string(), "26.0 kW");
    assert_eq!(Seconds(32_700).to_string(), "9 h 05 m");
    assert_eq!(Intensity(412_499).to_string(), "412 g/kWh");
}

#[test]
fn products_mean_something_and_are_rounded_once() {
    assert_eq!(Watts::whole(700) * Duration::from_secs(3_600), Joules(2_520_000_000));
    // 1 kWh at 400 g/kWh.
    assert_eq!(Joules(3_600_000_000) * Intensity::grams(400), GramsCo2e(400_000_000));
    assert_eq!(Joules(1_000).at_facility(Pue::new(1.25).expect("a PUE")), Joules(1_250));
    assert!(Pue::new(0.99).is_none() && Pue::new(f64::NAN).is_none());
}

/// A worked example: 6 kWh over three hours at 100, 200 and an unknown intensity.
#[test]
fn the_footprint_of_a_worked_example() {
    let series = Series::new([span(0, 60, 100, Grade::Measured), span(60, 120, 200, Grade::Forecast)]);
    let energy = [EnergyOver { from: at(0), until: at(180), energy: Joules(6 * 3_600_000_000) }];
    let result = footprint(&energy, &series, TimeDelta::zero());
    assert_eq!(result.emits, GramsCo2e(2 * 100_000_000 + 2 * 200_000_000));
    assert_eq!(result.uncovered, Joules(2 * 3_600_000_000));
    assert_eq!(result.measured, Joules(2 * 3_600_000_000));
    assert_eq!((result.worst, result.intensity()), (Some(Grade::Forecast), Some(Intensity::grams(150))));
    // Had it run an hour earlier, the first hour would have met nothing known.
    let earlier = footprint(&energy, &series, TimeDelta::minutes(-60));
    assert_eq!(earlier.emits, result.emits);
    let worse = Savings { emits: GramsCo2e(3_000_000), instead_of: GramsCo2e(2_000_000) };
    assert_eq!((worse.grams(), worse.ratio()), (-1.0, Some(-0.5)), "a loss is shown as one");
}

#[test]
fn a_series_keeps_holes_as_holes() {
    let series = Series::new([span(0, 60, 100, Grade::Measured), span(90, 120, 300, Grade::Forecast)]);
    assert_eq!(series.holes(at(0), at(130)), [(at(60), at(90)), (at(120), at(130))]);
    assert!(series.at(at(70)).is_none() && series.at(at(60)).is_none() && series.at(at(0)).is_some());
    let mean = series.mean(at(0), at(120)).expect("something is known");
    assert_eq!((mean.covered, mean.worst), (TimeDelta::minutes(90), Grade::Forecast));
    assert_eq!(mean.value, Intensity(166_667));
}

#[test]
fn one_life_from_submission_to_end() {
    let epoch = Epoch(1);
    let decision = || {
        let place = crate::plan::Place { zone: "DE".into(), node: "n".into() };
        Box::new(crate::plan::Decision {
            width: None,
            job: JobId(1),
            verdict: crate::plan::Verdict::Start { place, because: crate::reason::WhyNow::NotAsked },
            blockers: Vec::new(),
            latest_start: None,
            expected: None,
            run_now: None,
            runs: Vec::new(),
        })
    };
    let leased = JobEvent::Leased {
        epoch,
        node: "n".into(),
        zone: "DE".into(),
        cpus: 1,
        gpus: Vec::new(),
        decision: decision(),
        slowed: None,
    };
    let started = JobEvent::Started { epoch, log: "/l".into() };
    let ended = JobEvent::AttemptEnded { epoch, end: AttemptEnd::Exited { exit: Exit::Code(0) }, at: at(9) };
    let running = Phase::Queued.after(&leased, at(1)).and_then(|p| p.after(&started, at(2))).expect("legal");
    assert_eq!(running.attempt(), Some((epoch, "n")));
    let over = running.after(&ended, at(10)).expect("legal");
    assert_eq!(over, Phase::Ended { outcome: Outcome::Succeeded, at: at(9) });
    for event in [&leased, &started, &ended, &JobEvent::Held { by: "x".into() }] {
        assert!(over.after(event, at(11)).is_err(), "what is over stays over: {}", event.word());
    }
    let late = JobEvent::AttemptEnded { epoch: Epoch(2), end: AttemptEnd::Vanished, at: at(9) };
    assert!(running.after(&late, at(10)).is_err(), "another attempt cannot speak for this one");
    let lost = JobEvent::AttemptLost { epoch, retried: true };
    assert_eq!(running.after(&lost, at(3)), Ok(Phase::Queued));
    // Nothing was started: it waits again, unless somebody ended it meanwhile.
    let given = Phase::Queued.after(&leased, at(1)).expect("legal");
    let end = AttemptEnd::NotHeld { because: crate::cap::Uncapped::Foreign };
    let unheld = JobEvent::AttemptEnded { epoch, end, at: at(2) };
    assert_eq!(given.after(&unheld, at(2)), Ok(Phase::Queued));
    let cause = StopCause::Cancelled { by: "ada".into(), reason: None };
    let outcome = cause.outcome();
    let stopped = given.after(&JobEvent::StopAsked { epoch, cause }, at(2)).expect("legal");
    assert_eq!(stopped.after(&unheld, at(3)), Ok(Phase::Ended { outcome, at: at(2) }));
    let cause = StopCause::Cancelled { by: "ada".into(), reason: None };
    let stopping = running.after(&JobEvent::StopAsked { epoch, cause }, at(4)).expect("legal");
    let Ok(Phase::Ended { outcome, .. }) = stopping.after(&lost, at(5)) else { panic!("legal") };
    assert_eq!(outcome.word(), "cancelled", "lost while it was being cancelled: cancelled");
}

#[test]
fn exit_codes_are_the_published_ones() {
    let code = |outcome: Outcome| outcome.exit_code();
    assert_eq!(code(Outcome::Failed { exit: Exit::Code(3) }), (3, ExitFrom::Job));
    assert_eq!(code(Outcome::Failed { exit: Exit::Signal(9) }), (137, ExitFrom::Job));
    assert_eq!(code(Outcome::Cancelled { by: "x".into(), reason: None }), (103, ExitFrom::Neap));
    assert_eq!([Outcome::Timeout, Outcome::Expired, Outcome::Lost].map(|o| code(o).0), [104, 105, 106]);
}

#[test]
fn error_codes_are_unique_and_in_order() {
    let texts: Vec<&str> = Code::ALL.iter().map(|code| code.text()).collect();
    let mut sorted = texts.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(texts, sorted);
}

#[test]
fn names_and_numbers_are_read_back() {
    let attempt = AttemptId { job: JobId(1_432), epoch: Epoch(2) };
    assert_eq!(attempt.to_string().parse(), Ok(attempt));
    for bad in ["", ".", "-x", "a b", "a/b", "ü", &"x".repeat(129)] {
        assert!(!is_name(bad), "{bad}");
    }
    let person = Person { uid: 1_000, name: "ada".into() };
    let text = serde_json::to_string(&person).expect("plain data");
    assert_eq!(serde_json::from_str::<Person>(&text).ok(), Some(person));
}

fn any_series() -> impl Strategy<Value = Series> {
    proptest::collection::vec((0i64..500, 1i64..90, 0u64..1_000, 0usize..3), 0..20).prop_map(|spans| {
        let grades = [Grade::Measured, Grade::Estimated, Grade::Forecast];
        Series::new(
            spans.into_iter().map(|(from, length, grams, grade)| span(from, from + length, grams, grades[grade])),
        )
    })
}

proptest! {
    #[test]
    fn lengths_are_read_as_they_are_printed(seconds in 0u64..86_400) {
        let length = Seconds(seconds);
        // Printed to the minute from an hour on.
        let printed: Seconds = length.to_string().parse().expect("readable");
        prop_assert!(printed.0 <= seconds && seconds - printed.0 < 60);
    }

    #[test]
    fn spans_are_sorted_and_disjoint_whatever_they_were_made_of(series in any_series()) {
        prop_assert!(series.spans().windows(2).all(|pair| pair[0].until <= pair[1].from));
        prop_assert!(series.spans().iter().all(|s| s.from < s.until));
    }

    #[test]
    fn the_upper_series_is_kept_and_the_lower_fills_its_holes(upper in any_series(), lower in any_series(), minute in 0i64..600) {
        let both = upper.over(&lower);
        let expected = upper.at(at(minute)).or(lower.at(at(minute))).map(|s| (s.value, s.grade));
        prop_assert_eq!(both.at(at(minute)).map(|s| (s.value, s.grade)), expected);
        prop_assert!(both.spans().windows(2).all(|pair| pair[0].until <= pair[1].from));
    }

    #[test]
    fn what_met_each_feed_is_what_the_curve_covers(
        series in any_series(), from in 0i64..400, length in 0i64..200, joules in 0u64..1 << 50,
        changes in proptest::collection::btree_map(-10i64..600, 0usize..3, 1..6),
    ) {
        let span = EnergyOver { from: at(from), until: at(from + length), energy: Joules(joules) };
        let whose = changes.iter().map(|(minute, feed)| (at(*minute), format!("feed {feed}"))).collect();
        let curve = Curve { series: series.clone(), origins: Vec::new(), whose };
        let feeds = crate::footprint::by_feed(&span, &curve);
        let met: u64 = feeds.iter().map(|(_, energy)| energy.0).sum();
        let covered = joules - footprint(&[span], &series, TimeDelta::zero()).uncovered.0;
        let first = at(*changes.keys().next().expect("one"));
        prop_assert!(met <= covered);
        // Before the first of them nobody said whose it is.
        if span.from >= first {
            prop_assert_eq!(met, covered);
        }
        prop_assert_eq!(feeds.iter().map(|(feed, _)| feed).collect::<std::collections::BTreeSet<_>>().len(), feeds.len());
    }

    #[test]
    fn no_energy_is_lost_or_made(series in any_series(), from in 0i64..400, length in 0i64..200, joules in 0u64..1 << 50) {
        let over = [EnergyOver { from: at(from), until: at(from + length), energy: Joules(joules) }];
        let whole = footprint(&over, &series, TimeDelta::zero());
        prop_assert_eq!(whole.energy, Joules(joules));
        prop_assert!(whole.uncovered <= whole.energy && whole.measured + whole.uncovered <= whole.energy);
        // Cut in two, the sums differ by rounding only: one microgram a part.
        let half = over[0].energy.0 / 2;
        let middle = at(from) + TimeDelta::minutes(length) / 2;
        let cut = [
            EnergyOver { from: at(from), until: middle, energy: Joules(half) },
            EnergyOver { from: middle, until: at(from + length), energy: Joules(joules - half) },
        ];
        let parts = footprint(&cut, &series, TimeDelta::zero());
        prop_assert_eq!(parts.energy, whole.energy);
        if length > 1 {
            let slack = 50 + joules / 1_000_000_000;
            prop_assert!(parts.emits.0.abs_diff(whole.emits.0) <= slack, "{:?} {:?}", parts.emits, whole.emits);
        }
    }
}

#[test]
fn widths_are_the_fewest_gpus_their_doublings_and_the_most() {
    let widths = |gpus, most| crate::job::Resources { gpus, gpus_up_to: most, ..Default::default() }.widths();
    assert_eq!(widths(4, Some(16)), [4, 8, 16]);
    assert_eq!(widths(3, Some(10)), [3, 6, 10]);
    assert_eq!(widths(8, None), [8]);
    assert_eq!(widths(0, None), [0]);
    assert_eq!(widths(3_000_000_000, Some(u32::MAX)), [3_000_000_000, u32::MAX]);
    // What cannot be is no reason to count for ever.
    assert_eq!(widths(0, Some(4)), [4]);
    assert_eq!(widths(4, Some(2)), [4]);
}
