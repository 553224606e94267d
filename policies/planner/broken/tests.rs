//! Against every way there is, on small windows.

use super::{Begins, Broken, Terms, Window, cheapest};
use crate::integral::Integral;
use crate::likely::Lengths;
use crate::planner::tests::{at, hourly};
use crate::stamp::{Stamp, stamp};
use neap_model::grid::Grade;
use proptest::prelude::*;

const HOUR: i64 = 3_600_000;

fn hour(index: usize) -> Stamp {
    stamp(at(0)) + HOUR * i64::try_from(index).expect("small")
}

fn known(length: i64) -> Lengths {
    Lengths::new(length, Vec::new())
}

/// Runs of a choice of hours.
fn runs(chosen: &[usize]) -> Vec<(Stamp, Stamp)> {
    let mut runs: Vec<(Stamp, Stamp)> = Vec::new();
    for index in chosen {
        match runs.last_mut() {
            Some((_, end)) if *end == hour(*index) => *end = hour(index + 1),
            _ => runs.push((hour(*index), hour(index + 1))),
        }
    }
    runs
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_choice_of_slots_is_cheaper(
        curve in prop::collection::vec(1u64..600, 3..10),
        work in 1usize..6,
        minutes in 0i64..45,
        busy in prop::collection::vec(prop::bool::weighted(0.15), 10),
        runs_already in any::<bool>(),
        likely in prop::collection::vec(1i64..12, 0..4),
    ) {
        // Whoever takes longer goes on in hours that are known.
        let known: Vec<u64> = curve.iter().chain(&[300; 7]).copied().collect();
        let integral = Integral::of(&hourly(&known, Grade::Forecast));
        let terms = Terms { cost: minutes * 60_000, least: HOUR };
        let begins = if runs_already { Begins::Running { must: false } } else { Begins::Waiting };
        let window = Window { from: hour(0), until: hour(curve.len()), whole: hour(curve.len()) - hour(0) };
        let length = HOUR * i64::try_from(work).expect("small");
        let lengths = Lengths::new(length, likely.iter().map(|halves| halves * HOUR / 2).collect());
        let index = |at: Stamp| usize::try_from((at - hour(0)) / HOUR).expect("in the window");
        let free = |from: Stamp, until: Stamp| !(index(from)..index(until)).any(|slot| busy[slot]);
        let found = cheapest(&integral, free, window, &lengths, terms, begins);
        let every = (0u32..1 << curve.len()).filter(|set| set.count_ones() as usize == work).filter_map(|set| {
            let chosen: Vec<usize> = (0..curve.len()).filter(|slot| set >> slot & 1 == 1).collect();
            let open = chosen.iter().all(|slot| !busy[*slot]);
            open.then(|| Broken::of(&integral, runs(&chosen), terms, begins, hour(0), &lengths).expect("all is known"))
        });
        let least = every.map(|broken| broken.integral).min().filter(|_| work < curve.len());
        let off = |a: u128, b: u128| a.abs_diff(b) > u128::from(!likely.is_empty()) * 4;
        prop_assert!(!found.as_ref().map(|f| f.integral).zip(least).is_some_and(|(a, b)| off(a, b)), "{found:?} {least:?}");
        prop_assert_eq!(found.is_some(), least.is_some());
    }
}

#[test]
fn a_dear_pause_is_not_made_and_a_start_off_the_lattice_is_now() {
    let integral = Integral::of(&hourly(&[100, 300, 100, 400], Grade::Forecast));
    let window = Window { from: hour(0), until: hour(4), whole: 4 * HOUR };
    let with = |cost| {
        let terms = Terms { cost, least: HOUR };
        cheapest(&integral, |_, _| true, window, &known(2 * HOUR), terms, Begins::Waiting).expect("there is slack").runs
    };
    assert_eq!(with(0), [(hour(0), hour(1)), (hour(2), hour(3))]);
    // Three hours' worth of work for a pause: 100 + 300 in one piece is less.
    assert_eq!(with(3 * HOUR), [(hour(0), hour(2))]);
    let quarter = HOUR / 4;
    let window = Window { from: hour(0) + quarter, ..window };
    let terms = Terms { cost: 0, least: HOUR };
    let running =
        cheapest(&integral, |_, _| true, window, &known(HOUR + quarter), terms, Begins::Running { must: false });
    let expected = [(hour(0) + quarter, hour(1)), (hour(2), hour(2) + 2 * quarter)];
    assert_eq!(running.expect("there is slack").runs, expected, "it goes on to the end of the clean hour");
}

#[test]
fn what_is_hardly_come_to_may_be_dirty() {
    // Half of the runs take an hour, half of them three: the first hour is the cleanest, then it goes on where it is.
    let integral = Integral::of(&hourly(&[400, 100, 300, 300, 120, 120, 120, 400], Grade::Forecast));
    let window = Window { from: hour(0), until: hour(8), whole: 8 * HOUR };
    let terms = Terms { cost: HOUR / 4, least: HOUR };
    let with = |lengths: &Lengths| {
        cheapest(&integral, |_, _| true, window, lengths, terms, Begins::Waiting).expect("there is slack")
    };
    assert_eq!(with(&known(3 * HOUR)).runs, [(hour(4), hour(7))]);
    let found = with(&Lengths::new(3 * HOUR, vec![HOUR, 3 * HOUR]));
    assert_eq!(found.runs, [(hour(1), hour(2)), (hour(4), hour(6))]);
    // 100, and every other time two hours of 120 and a pause of a quarter of an hour.
    assert_eq!(found.integral, (100 + 135) * 1_000 * u128::from(HOUR.unsigned_abs()));
}
