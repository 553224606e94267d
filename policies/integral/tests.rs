//! Expected costs against a sum over every instant, and the cleanest start against every start.

use super::{Cleanest, Cost, Integral};
use crate::likely::Lengths;
use crate::planner::tests::at;
use crate::stamp::{Stamp, stamp};
use neap_model::grid::{Grade, Series, Span};
use neap_model::units::Intensity;
use proptest::prelude::*;

/// Spans of whole minutes; a value that is missing is a hole, a poor one is known from climatology only.
fn curve(parts: &[(i64, Option<u64>, bool)]) -> (Series, Vec<Option<(u64, bool)>>) {
    let (mut from, mut spans, mut minutes) = (0, Vec::new(), Vec::new());
    for (length, value, poor) in parts {
        let grade = if *poor { Grade::Climatology } else { Grade::Forecast };
        let span = |value| Span { from: at(from), until: at(from + length), value: Intensity(value), grade };
        spans.extend(value.map(span));
        minutes.extend((0..*length).map(|_| value.map(|value| (value, *poor))));
        from += length;
    }
    (Series::new(spans), minutes)
}

/// By hand: the sum over every minute of every length.
fn by_hand(minutes: &[Option<(u64, bool)>], start: usize, planned: usize, likely: &[usize]) -> Option<(u128, bool)> {
    let longest = likely.iter().copied().fold(planned, usize::max);
    let whole: Vec<(u64, bool)> = minutes.get(start..start + longest)?.iter().copied().collect::<Option<_>>()?;
    let upto = |length: &usize| whole[..*length].iter().map(|(value, _)| u128::from(*value) * 60_000).sum::<u128>();
    let sum: u128 = likely.iter().map(upto).sum();
    // Climatology begins somewhere and goes on to the end of the curve.
    let poor = minutes[..start + planned].iter().enumerate().any(|(at, m)| at >= start && m.is_some_and(|m| m.1));
    Some((sum / likely.len() as u128, poor))
}

fn parts() -> impl Strategy<Value = Vec<(i64, Option<u64>, bool)>> {
    let part = (1i64..40, prop::option::weighted(0.93, 0u64..900_000));
    (prop::collection::vec(part, 1..14), 0usize..20).prop_map(|(parts, good)| {
        parts.into_iter().enumerate().map(|(index, (length, value))| (length, value, index >= good)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_least_expected_start_is_the_least_of_all_starts(
        parts in parts(),
        planned in 1usize..90,
        shares in prop::collection::vec(1usize..=150, 0..7),
        (first, more) in (0i64..120, 0i64..300),
    ) {
        let (series, minutes) = curve(&parts);
        let integral = Integral::of(&series);
        let mut likely: Vec<usize> = shares.iter().map(|share| (planned * share / 100).max(1)).collect();
        likely.sort_unstable();
        let millis = |minutes: usize| i64::try_from(minutes).expect("few") * 60_000;
        let given: Vec<i64> = likely.iter().copied().map(millis).collect();
        let lengths = Lengths::new(millis(planned), given);
        if likely.is_empty() {
            likely.push(planned);
        }
        let instant = |minute: i64| -> Stamp { stamp(at(minute)) };
        let mut found = Cleanest::default();
        integral.cleanest(instant(first), instant(first + more), &lengths, &mut found);
        let mut by_hand_best = Cleanest::default();
        for minute in first..=first + more {
            let start = usize::try_from(minute).expect("not negative");
            let cost = by_hand(&minutes, start, planned, &likely).map(|(integral, poor)| Cost { integral, poor });
            prop_assert_eq!(integral.expected(instant(minute), &lengths), cost, "at minute {}", minute);
            if let Some(cost) = cost {
                by_hand_best.see(cost, instant(minute));
            }
        }
        // Every edge lies on a minute, so the least of all minutes is the least of all; of equals the first may lie between.
        let cost = |found: &Cleanest| (found.good.map(|best| best.0), found.any.map(|best| best.0));
        prop_assert_eq!(cost(&found), cost(&by_hand_best));
        for start in [found.good.map(|best| best.1), found.any.map(|best| best.1)].into_iter().flatten() {
            prop_assert!((instant(first)..=instant(first + more)).contains(&start));
        }
    }
}

#[test]
fn many_long_runs_of_the_highest_values_do_not_overflow() {
    let span = Span { from: at(0), until: at(60 * 24 * 3_650), value: Intensity(u64::MAX), grade: Grade::Measured };
    let integral = Integral::of(&Series::new([span]));
    let length = 86_400_000 * 3_000;
    let lengths = Lengths::new(length, vec![length; 10]);
    let whole = u128::from(u64::MAX) * u128::from(length.unsigned_abs());
    assert_eq!(integral.expected(stamp(at(0)), &lengths), Some(Cost { integral: whole, poor: false }));
    let mut found = Cleanest::default();
    integral.cleanest(stamp(at(0)), stamp(at(60)), &lengths, &mut found);
    assert_eq!(found.any, Some((whole, stamp(at(0)), false)));
}
