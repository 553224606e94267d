//! Ceilings found for made-up boards, and what must hold for every one.

use super::*;
use neap_model::units::Megahertz;

const RANGE: (Megahertz, Megahertz) = (Megahertz(345), Megahertz(1_980));

/// No time is lost down to that share of the highest clock; `dynamic` watts follow clock and voltage.
fn board(knee: f64, dynamic: f64) -> impl Fn(Option<Megahertz>) -> Point {
    move |ceiling| {
        let clock = ceiling.map_or(1.0, |ceiling| f64::from(ceiling.0) / f64::from(RANGE.1.0));
        let voltage = (1.0 - 0.45 * (1.0 - clock)).max(0.7);
        point(700, 10.0 * (clock / knee).min(1.0), 200.0 + dynamic * clock * voltage * voltage)
    }
}

/// The ceiling that is chosen, what it does, and how many were watched.
fn found(watch: impl Fn(Option<Megahertz>) -> Point, terms: Terms) -> (ClockChoice, usize) {
    let mut probe = ClockProbe::new(RANGE, Clocks::new(watch(None)), terms);
    for count in 0..20 {
        match probe.next() {
            ClockNext::Stay(choice) => return (choice, count),
            ClockNext::Measure(ceiling) => {
                assert!((RANGE.0..=RANGE.1).contains(&ceiling) && probe.known().at_all(ceiling).is_none(), "{ceiling}");
                probe.measured(Some(ceiling), watch(Some(ceiling)));
            }
        }
    }
    panic!("it never ends: {probe:?}");
}

impl Clocks {
    fn at_all(&self, ceiling: Megahertz) -> Option<&Point> {
        self.below().iter().find(|(known, _)| *known == ceiling).map(|(_, point)| point)
    }
}

#[test]
fn a_job_that_waits_for_memory_goes_down_to_where_it_would_be_slowed() {
    // No time is lost down to 1188 MHz, and 5 % more are granted: 1131 MHz at the least.
    let (choice, watched) = found(board(0.6, 90.0), Terms::within(0.05));
    let ceiling = choice.ceiling.expect("it gains");
    assert!((Megahertz(1_131)..=Megahertz(1_200)).contains(&ceiling), "{choice:?}");
    assert!(choice.time <= 1.05 && choice.energy < 0.85, "{choice:?}");
    assert!(watched <= 6, "{watched} windows");
    // What was known of it needs no window.
    let watch = board(0.6, 90.0);
    let mut known = Clocks::new(watch(None));
    for clock in [1_770, 1_575, 1_380, 1_185, 975, 1_080] {
        known.put(Some(Megahertz(clock)), watch(Some(Megahertz(clock))));
    }
    let probe = ClockProbe::new(RANGE, known, Terms::within(0.05));
    assert!(matches!(probe.next(), ClockNext::Stay(ClockChoice { ceiling: Some(_), .. })), "{:?}", probe.next());
    assert!(probe.is_another_phase(None, 8.0) && !probe.is_another_phase(Some(Megahertz(1_185)), 9.9));
}

#[test]
fn a_job_that_needs_its_clock_keeps_it() {
    // Half of the power stands still, so slower costs more than it saves; and with a dear host even within a slowdown.
    let (choice, watched) = found(board(1.0, 20.0), Terms::within(0.5));
    assert_eq!((choice.ceiling, choice.time), (None, 1.0), "{choice:?}");
    assert!(watched <= 3, "{watched} windows");
    let (choice, _) = found(board(1.0, 400.0), Terms::within(0.0));
    assert_eq!(choice.ceiling, None, "it consented to nothing");
    let host = Terms { host: 2_000.0, ..Terms::within(0.5) };
    assert_eq!(found(board(1.0, 400.0), host).0.ceiling, None);
}

proptest! {
    #[test]
    fn what_is_chosen_was_watched_is_within_the_slowdown_and_costs_no_more(
        knee in 0.2f64..1.0, dynamic in 0.0f64..500.0, slowdown in 0.0f64..0.6, host in 0.0f64..500.0,
    ) {
        let (watch, terms) = (board(knee, dynamic), Terms { host, ..Terms::within(slowdown) });
        let (choice, watched) = found(&watch, terms);
        let (free, there) = (watch(None), watch(choice.ceiling));
        prop_assert!(choice.ceiling.is_none() || free.rate <= there.rate * (1.0 + slowdown) + 1e-9);
        prop_assert!(there.energy(host) <= free.energy(host) + 1e-9);
        prop_assert!((choice.time - free.rate / there.rate).abs() < 1e-9);
        prop_assert!(watched <= 10, "{} windows", watched);
    }
}
