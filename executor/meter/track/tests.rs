use super::*;
use proptest::prelude::*;

const MOST: Watts = Watts::whole(250);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A board at 200 W whose counter ticks with every reading: 20 J each.
fn feed(
    track: &mut Track,
    from: u64,
    until: u64,
    counter: impl Fn(u64) -> Option<u64>,
    power: impl Fn(u64) -> Option<u64>,
) {
    for n in from..until {
        let sample =
            Sample { at: ms(n * 100), counter: counter(n).map(Joules), power: power(n).map(Watts), bound: None };
        track.take(sample);
    }
}

fn steady(n: u64) -> Option<u64> {
    Some(1_000 + n * 20_000)
}

fn watts(_: u64) -> Option<u64> {
    Some(200_000)
}

#[test]
fn counter_and_integral_agree_and_nothing_is_missing() {
    let mut track = Track::new(MOST);
    feed(&mut track, 0, 601, steady, watts);
    let tally = track.tally();
    assert_eq!((tally.counted, tally.integrated, tally.estimated), (Joules(12_000_000), Joules(0), Joules(0)));
    assert_eq!(tally.compared, (Joules(12_000_000), Joules(12_000_000)));
    assert_eq!((tally.window, tally.covered, tally.gap), (ms(60_000), ms(60_000), ms(0)));
    assert_eq!((tally.segments, tally.implausible), (0, 0));
}

#[test]
fn a_gap_the_counter_spans_costs_nothing_but_coverage() {
    let mut track = Track::new(MOST);
    feed(&mut track, 0, 101, steady, watts);
    feed(&mut track, 200, 301, steady, watts);
    let tally = track.tally();
    assert_eq!((tally.energy(), tally.counted), (Joules(6_000_000), Joules(6_000_000)));
    assert_eq!((tally.window, tally.covered, tally.gap), (ms(30_000), ms(20_000), ms(0)));
}

#[test]
fn c11_a_driver_reload_is_bridged_and_labelled() {
    let mut track = Track::new(MOST);
    feed(&mut track, 0, 101, steady, watts);
    // Two seconds without the driver; then the counter begins at zero.
    feed(&mut track, 120, 220, |n| Some((n - 120) * 20_000), watts);
    let tally = track.tally();
    assert_eq!(tally.segments, 1);
    assert_eq!(
        (tally.counted, tally.estimated, tally.gap),
        (Joules(2_000_000 + 1_980_000), Joules(400_000), ms(2_000))
    );
    // Without a hole the integral bridges, and nothing is estimated.
    let mut track = Track::new(MOST);
    feed(&mut track, 0, 101, steady, watts);
    feed(&mut track, 101, 200, |n| Some((n - 101) * 20_000), watts);
    let tally = track.tally();
    assert_eq!(
        (tally.energy(), tally.integrated, tally.estimated),
        (Joules(19_900 * 199 + 100 * 199), Joules(20_000), Joules(0))
    );
}

#[test]
fn c10_a_counter_that_runs_back_for_a_moment_or_leaps_invents_nothing() {
    for wrong in [-70_000i64, 90_000_000] {
        let mut track = Track::new(MOST);
        let odd =
            |n: u64| if n == 50 { steady(n).and_then(|right| right.checked_add_signed(wrong)) } else { steady(n) };
        feed(&mut track, 0, 101, odd, watts);
        let tally = track.tally();
        assert_eq!((tally.counted, tally.integrated, tally.estimated), (Joules(2_000_000), Joules(0), Joules(0)));
        assert_eq!((tally.implausible, tally.segments), (1, 0), "{wrong}");
    }
}

#[test]
fn c10_zero_watts_and_ten_kilowatts_are_told_and_not_integrated() {
    let mut track = Track::new(MOST);
    let odd = |n: u64| if (40..44).contains(&n) { Some(if n < 42 { 0 } else { 10_000_000 }) } else { watts(n) };
    feed(&mut track, 0, 101, |_| None, odd);
    let tally = track.tally();
    assert_eq!(tally.implausible, 4);
    assert_eq!((tally.integrated, tally.estimated, tally.gap), (Joules(1_900_000), Joules(100_000), ms(500)));
    assert_eq!(tally.spread, Joules(25_000));
}

#[test]
fn c10_frozen_power_is_found_by_the_counter_and_steady_power_is_not_frozen() {
    let mut track = Track::new(MOST);
    // At 100 the load falls to 40 W and the sensor does not see it.
    let counter = |n: u64| Some(if n < 100 { n * 20_000 } else { 100 * 20_000 + (n - 100) * 4_000 });
    feed(&mut track, 0, 100, counter, watts);
    assert_eq!(track.tally().implausible, 0);
    feed(&mut track, 100, 300, counter, watts);
    assert!(track.tally().implausible > 100, "{:?}", track.tally());
    assert_eq!(track.tally().energy(), Joules(2_000_000 + 199 * 4_000));
}

#[test]
fn a_stuck_counter_is_told_filled_at_a_boundary_and_not_counted_twice() {
    let mut track = Track::new(MOST);
    let counter = |n: u64| Some(if (100..200).contains(&n) { 100 * 20_000 } else { n * 20_000 });
    feed(&mut track, 0, 160, counter, watts);
    assert_eq!((track.tally().implausible, track.tally().energy()), (1, Joules(2_000_000)));
    track.settle(ms(15_900));
    let here = track.tally();
    assert_eq!((here.counted, here.integrated), (Joules(2_000_000), Joules(59 * 20_000)));
    feed(&mut track, 160, 301, counter, watts);
    assert_eq!(track.tally().energy(), Joules(300 * 20_000));
    assert!(track.tally().covered < ms(30_000));
}

#[test]
fn a_board_without_a_counter_is_integrated_and_a_hole_is_a_gap() {
    let mut track = Track::new(MOST);
    feed(&mut track, 0, 101, |_| None, watts);
    feed(&mut track, 150, 251, |_| None, watts);
    let tally = track.tally();
    assert!(!track.counts());
    assert_eq!((tally.integrated, tally.estimated, tally.gap), (Joules(4_000_000), Joules(1_000_000), ms(5_000)));
}

#[test]
fn d6_a_new_reader_goes_on_where_the_old_one_ended() {
    // Ten seconds nobody looked at: the counter spans them.
    let mut track = Track::new(MOST);
    feed(&mut track, 200, 211, steady, watts);
    track.resume(ms(10_000), Joules(1_000 + 100 * 20_000));
    let tally = track.tally();
    assert_eq!((tally.counted, tally.gap, tally.segments), (Joules(110 * 20_000), ms(0), 0));
    assert_eq!((tally.window, tally.covered), (ms(11_000), ms(1_000)));
    // It started anew meanwhile: a gap, filled with the power of now.
    let mut track = Track::new(MOST);
    feed(&mut track, 200, 211, |n| Some((n - 200) * 20_000), watts);
    track.resume(ms(10_000), Joules(9_000_000));
    let tally = track.tally();
    assert_eq!((tally.counted, tally.estimated, tally.gap), (Joules(200_000), Joules(10_000 * 200), ms(10_000)));
    assert_eq!((tally.segments, tally.spread), (1, Joules(10_000 * 50)));
}

proptest! {
    /// Whatever is read, energy never falls, never exceeds what the board can draw, and each hole is in the books.
    #[test]
    fn nothing_is_invented(
        readings in proptest::collection::vec(
            (1u64..2_000, proptest::option::of(0u64..1_000_000), proptest::option::of(0u64..500_000)), 1..200),
        boundary in 0usize..200,
    ) {
        let mut track = Track::new(MOST);
        let (mut at, mut before) = (ms(0), Tally::default());
        for (n, (step, counter, power)) in readings.iter().enumerate() {
            at += ms(*step);
            track.take(Sample { at, counter: counter.map(Joules), power: power.map(Watts), bound: None });
            if n == boundary {
                track.settle(at);
            }
            let now = track.tally();
            prop_assert!(now.counted >= before.counted && now.integrated >= before.integrated);
            prop_assert!(now.estimated >= before.estimated && now.gap >= before.gap && now.gap <= now.window);
            prop_assert!(now.covered <= now.window && now.implausible >= before.implausible);
            before = now;
        }
        let most = Watts(MOST.0 * 3 / 2) * (before.window + TICK * (readings.len() as u32 + 1));
        prop_assert!(before.energy() <= most, "{:?}", before);
    }
}
