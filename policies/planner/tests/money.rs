//! Jobs that may wait for cheaper hours.

use super::properties::settings;
use super::random::problem;
use super::{after, at, check, green, hourly, node, scene, zone};
use crate::problem::{Job, Policy, Problem, Tariff};
use crate::{audit, certified, plan};
use neap_model::grid::{Grade, Series, Span};
use neap_model::job::Objective;
use neap_model::plan::{Place, Verdict};
use neap_model::reason::{Reason, WhyNow};
use neap_model::units::{Money, Percent, Price};
use proptest::prelude::*;
use std::sync::Arc;

/// Hourly prices per MWh from the beginning of the scene.
fn tariff(prices: &[i64], currency: &str) -> Option<Arc<Tariff>> {
    let span = |(hour, price): (i64, &i64)| Span {
        from: at(hour * 60),
        until: at(hour * 60 + 60),
        value: Price(price * 1_000),
        grade: Grade::Measured,
    };
    let series = Series::new((0..).zip(prices).map(span));
    Some(Arc::new(Tariff { series, currency: currency.to_owned(), gpu_hours: Vec::new() }))
}

/// A job of one GPU, willing to wait so many hours for cheaper ones.
pub(super) fn thrifty(id: u64, minutes: u64, hours: u64) -> Job {
    let mut job = green(id, minutes, hours);
    job.delay.objective = Objective::Price;
    job
}

/// Its cleanest hour is the second; what it costs is another thing.
pub(super) fn priced(prices: &[i64], jobs: impl IntoIterator<Item = Job>) -> Problem {
    let mut scene = scene(&[500, 50, 500, 500, 500, 500], 1, jobs);
    scene.site.zones[0].prices = tariff(prices, "EUR");
    scene
}

#[test]
fn it_waits_for_the_cheapest_hours_whatever_they_emit() {
    check(
        &priced(&[80, 80, 20, 80, 80, 80], [thrifty(1, 60, 4)]),
        &["1 waits until 2:00 on a: grid.cheaper_later 0.0200 EUR instead of 0.0800 EUR"],
    );
    // A negative price is a price.
    check(
        &priced(&[80, 80, -20, 80, 80, 80], [thrifty(1, 90, 4)]),
        &["1 waits until 1:30 on a: grid.cheaper_later 0.0200 EUR instead of 0.1200 EUR"],
    );
    check(
        &priced(&[-10, -10, -30, -10, -10, -10], [thrifty(1, 60, 4)]),
        &["1 waits until 2:00 on a: grid.cheaper_later -0.0300 EUR instead of -0.0100 EUR"],
    );
    // One that waits for the other hours does so beside it.
    check(
        &priced(&[80, 80, 20, 80, 80, 80], [green(1, 60, 4), thrifty(2, 60, 4)]),
        &[
            "1 waits until 1:00 on a: grid.cleaner_later 50.0 g instead of 500 g",
            "2 waits until 2:00 on a: grid.cheaper_later 0.0200 EUR instead of 0.0800 EUR",
        ],
    );
    // Facilities pay for their overhead.
    let mut hot = priced(&[80, 80, 20, 80, 80, 80], [thrifty(1, 60, 4)]);
    hot.site.zones[0].zone.pue = neap_model::units::Pue::new(1.5);
    check(&hot, &["1 waits until 2:00 on a: grid.cheaper_later 0.0300 EUR instead of 0.1200 EUR"]);
}

#[test]
fn it_does_not_wait_without_a_reason() {
    check(&priced(&[20, 80, 80, 80], [thrifty(1, 60, 3)]), &["1 starts on a: cheapest_now"]);
    check(&priced(&[80, 76, 80, 80], [thrifty(1, 60, 3)]), &["1 starts on a: too_little_cheaper 5% of 10%"]);
    check(&priced(&[80; 6], [thrifty(1, 60, 3)]), &["1 starts on a: cheapest_now"]);
    let mut past = priced(&[80, 80, 80, 80, 80, 20], [thrifty(1, 60, 3)]);
    past.site.now = at(180);
    check(&past, &["1 starts on a: latest_start"]);
}

#[test]
fn prices_that_are_not_known_hold_up_nobody() {
    check(&scene(&[500, 50, 500, 500], 1, [thrifty(1, 60, 3)]), &["1 starts on a: no_prices"]);
    check(&priced(&[80, 50], [thrifty(1, 180, 3)]), &["1 starts on a: no_prices"]);
    // As far as they are known they count.
    check(
        &priced(&[80, 50], [thrifty(1, 60, 5)]),
        &["1 waits until 1:00 on a: grid.cheaper_later 0.0500 EUR instead of 0.0800 EUR"],
    );
}

#[test]
fn zones_are_compared_in_one_currency_only() {
    let both = |currency, prices: [i64; 4]| {
        let mut job = thrifty(1, 60, 3);
        job.zones = vec!["DE".to_owned(), "SE3".to_owned()];
        let mut scene = priced(&[80, 80, 60, 80], [job]);
        scene.site.zones.push(zone("SE3", false, hourly(&[10; 4], Grade::Forecast)));
        scene.site.zones[1].prices = tariff(&prices, currency);
        scene.site.nodes.push(node("b", "SE3", 1, "H100"));
        scene
    };
    check(
        &both("EUR", [70, 9, 70, 70]),
        &["1 waits until 1:00 on b: grid.cheaper_later 0.0090 EUR instead of 0.0700 EUR"],
    );
    let stays = "1 waits until 2:00 on a: grid.cheaper_later 0.0600 EUR instead of 0.0800 EUR";
    check(&both("SEK", [70, 9, 70, 70]), &[stays]);
    // What has no price is like nothing that has one.
    let mut half = both("EUR", [70, 9, 70, 70]);
    half.site.zones[1].prices = None;
    check(&half, &[stays]);
}

/// Every second job that waits waits for cheaper hours; prices are known of some zones, for some time.
fn problems() -> impl Strategy<Value = Problem> {
    let prices = prop::collection::vec(prop::option::weighted(0.8, prop::collection::vec(-50i64..200, 0..20)), 3);
    (problem(&[Grade::Forecast], 0.1), prices).prop_map(|(mut problem, prices)| {
        for (state, prices) in problem.site.zones.iter_mut().zip(prices) {
            let currency = if state.zone.name == "PL" { "PLN" } else { "EUR" };
            let hours = [("A", 1_000_000), ("H100", 700_000_000), ("H", 5_000_000_000)];
            let hours = hours.map(|(model, price)| (model.to_owned(), Money(price)));
            // Of every other zone.
            let gpu_hours = if prices.as_ref().is_some_and(|prices| prices.len() % 2 == 0) { &hours[..] } else { &[] };
            let of = |tariff: Arc<Tariff>| Arc::new(Tariff { gpu_hours: gpu_hours.to_vec(), ..(*tariff).clone() });
            state.prices = prices.as_ref().and_then(|prices| tariff(prices, currency)).map(of);
        }
        for job in &mut problem.waiting {
            let mut by_price = (**job).clone();
            if job.id.0 % 2 == 0 && job.delay.objective == Objective::Carbon {
                by_price.delay.objective = Objective::Price;
            }
            *job = Arc::new(by_price);
        }
        problem
    })
}

fn zone_of(verdict: &Verdict) -> Option<&Place> {
    match verdict {
        Verdict::Start { place, .. } => Some(place),
        Verdict::Hold { place, .. } => place.as_ref(),
    }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn plans_that_go_by_prices_are_sound_and_keep_their_word(problem in problems()) {
        let made = plan(&problem, &Policy::default());
        prop_assert_eq!(audit(&problem, &made), vec![]);
        let tariffs = problem.site.zones.iter().filter_map(|zone| zone.prices.as_ref());
        let negative = tariffs.flat_map(|tariff| tariff.series.spans()).any(|span| span.value < Price(0));
        // Where nothing was promised yet the order of the queue may win unchanged; from then on plans come out again.
        let settled = plan(&after(&problem, &made), &Policy::default());
        let told = after(&problem, &settled);
        let again = plan(&told, &Policy::default());
        prop_assert_eq!(audit(&told, &again), vec![]);
        for job in &problem.waiting {
            let decision = &made.decisions[&job.id];
            let starts = [&settled, &again].map(|plan| plan.decisions[&job.id].start());
            prop_assert_eq!(starts[0], starts[1], "{} moved without news", job.id);
            let tariff = zone_of(&decision.verdict).and_then(|place| {
                problem.site.zones.iter().find(|zone| zone.zone.name == place.zone)?.prices.as_ref()
            });
            let by_price = job.delay.objective == Objective::Price;
            for blocker in &decision.blockers {
                match &blocker.reason {
                    Reason::CheaperLater { costs, asks, .. } => {
                        // Others may have moved after it chose: then a wait is worth less than it asks for, never less than
                        // nothing unless it waits for the model that it likes best. Where prices are below zero, less
                        // energy goes before more income.
                        let other = job.gpu_model.len() > 1 || negative;
                        prop_assert!(other || costs.costs <= costs.instead_of, "{}: {costs:?} {asks}", job.id);
                        prop_assert!(by_price);
                        prop_assert_eq!(Some(&costs.currency), tariff.map(|tariff| &tariff.currency));
                    }
                    Reason::CleanerLater { .. } => prop_assert!(!by_price),
                    _ => {}
                }
            }
            if let Verdict::Start { because, .. } = &decision.verdict {
                let money = matches!(because, WhyNow::CheapestNow | WhyNow::TooLittleCheaper { .. } | WhyNow::NoPrices);
                let carbon = matches!(
                    because,
                    WhyNow::CleanestNow | WhyNow::SavingTooSmall { .. } | WhyNow::NoForecast { .. } | WhyNow::WithinError { .. }
                );
                prop_assert!(!(if by_price { carbon } else { money }), "{}: {because:?}", job.id);
            }
        }
        // Money does not count in what is said about emissions.
        let certificate = certified(&problem, &made);
        prop_assert!(certificate.bound <= certificate.emits);
    }

    #[test]
    fn a_job_alone_gets_the_cheapest_start_there_is(prices in prop::collection::vec(-50i64..200, 2..20), minutes in 1u64..200) {
        let mut job = thrifty(1, minutes, 12);
        job.delay.min_saving = Percent(0);
        let mut problem = priced(&prices, [job]);
        problem.site.zones[0].curve = Arc::new(hourly(&[300; 48], Grade::Forecast));
        let decision = &plan(&problem, &Policy::default()).decisions[&neap_model::job::JobId(1)];
        let known = i64::try_from(prices.len()).unwrap_or(0) * 60;
        // In EUR per MWh times minutes, minute by minute.
        let cost = |start: i64| -> i64 { (start..start + minutes as i64).map(|m| prices[(m / 60) as usize]).sum() };
        let starts = 0..=(12 * 60).min(known - minutes as i64);
        match starts.clone().map(cost).min() {
            Some(least) => {
                let start = (decision.start().expect("planned") - at(0)).num_minutes();
                prop_assert!(starts.contains(&start) && cost(start) == least, "{start}: {} for {least}", cost(start));
            }
            None => prop_assert_eq!(decision.start(), Some(at(0))),
        }
    }
}
