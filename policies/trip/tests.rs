//! Outcomes in, holding or not out.

use super::{Cause, Held, Trip};
use chrono::{DateTime, TimeDelta, Utc};
use neap_model::units::GramsCo2e;
use proptest::prelude::*;

fn at(hours: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_392_000, 0).expect("a time of this century") + TimeDelta::hours(hours)
}

fn grams(grams: u64) -> GramsCo2e {
    GramsCo2e(grams * 1_000_000)
}

fn held(hours: i64, missed: bool) -> Held {
    Held { at: at(hours), missed, emits: Some((grams(100), grams(200))) }
}

#[test]
fn three_missed_within_a_day_end_it_and_seven_clean_days_bring_it_back() {
    let mut trip = Trip::default();
    for hour in [0, 10, 20] {
        assert_eq!(trip.off(at(hour)), None);
        trip.ended(held(hour, true));
    }
    assert_eq!(trip.off(at(20)), Some((at(20), Cause::Missed { missed: 3, of: 3 })));
    // One that was held before and misses prolongs it.
    trip.ended(held(40, true));
    trip.ended(held(41, true));
    trip.ended(held(42, true));
    assert!(trip.off(at(42 + 7 * 24 - 1)).is_some());
    assert_eq!(trip.off(at(42 + 7 * 24)), None);
    trip.ended(held(42 + 7 * 24, true));
    assert_eq!(trip.off(at(42 + 7 * 24)), None, "what was before is forgotten");
}

#[test]
fn three_of_many_or_three_over_days_are_no_breach() {
    let mut many = Trip::default();
    for n in 0..300 {
        many.ended(Held { at: at(0) + TimeDelta::minutes(n), ..held(0, n >= 297) });
    }
    assert_eq!(many.off(at(5)), None, "1 % and not more");
    many.ended(held(6, true));
    assert_eq!(many.off(at(6)), Some((at(6), Cause::Missed { missed: 4, of: 301 })));
    let mut slow = Trip::default();
    [0, 13, 26].into_iter().for_each(|hour| slow.ended(held(hour, true)));
    assert_eq!(slow.off(at(26)), None);
}

#[test]
fn waits_that_made_it_worse_over_a_week_end_it() {
    let mut trip = Trip::default();
    let worse = |hour, by: u64| Held { emits: Some((grams(100 + by), grams(100))), ..held(hour, false) };
    trip.ended(worse(0, 10));
    trip.ended(worse(24, 10));
    assert_eq!(trip.off(at(24)), None, "two prove nothing");
    trip.ended(worse(48, 1));
    assert_eq!(trip.off(at(48)), Some((at(48), Cause::Worse { emits: grams(321), instead_of: grams(300) })));
    let mut unmetered = Trip::default();
    (0..9).for_each(|hour| unmetered.ended(Held { emits: None, ..held(hour, false) }));
    assert_eq!(unmetered.off(at(9)), None);
}

proptest! {
    /// Whatever happened before, a week without news is enough; and two misses alone never are.
    #[test]
    fn it_always_comes_back(ends in prop::collection::vec((0i64..40, any::<bool>(), 0u64..300), 0..60)) {
        let mut trip = Trip::default();
        let mut hour = 0;
        let mut misses = 0;
        for (later, missed, emits) in ends {
            hour += later;
            misses += usize::from(missed);
            trip.ended(Held { at: at(hour), missed, emits: Some((grams(emits), grams(400))) });
            prop_assert!(misses >= 3 || trip.off(at(hour)).is_none());
        }
        prop_assert_eq!(trip.off(at(hour + 7 * 24)), None);
    }
}
