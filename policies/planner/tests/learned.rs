//! Jobs whose length was learned: the choice goes by what is expected, the promise by the planning length.

use super::{after, at, check, clock, green, job, scene};
use crate::problem::{Job, PauseTerms, Policy, Problem, Tariff, Way};
use crate::{alternatives, audit, plan};
use neap_model::grid::{Grade, Series, Span};
use neap_model::job::{JobId, Objective};
use neap_model::plan::Outlook;
use neap_model::seconds::Seconds;
use neap_model::units::{Intensity, Joules, Price};
use std::sync::Arc;

/// It mostly takes a quarter of its planning length.
fn learned(mut job: Job) -> Job {
    job.likely = Arc::new([250, 250, 250, 250, 1_000]);
    job
}

/// Clean for an hour, two hours from now.
const CURVE: [u64; 12] = [500, 500, 100, 500, 500, 500, 500, 500, 500, 500, 500, 500];

/// `2:00 to 6:00, 1.6 kWh, 400 g at 250`.
fn told(outlook: Option<Outlook>) -> String {
    let Outlook { start, end, energy, emits, intensity, .. } = outlook.expect("it is planned");
    let (grams, mean) = (emits.in_base(), intensity.in_base());
    format!("{} to {}, {:.1} kWh, {grams:.0} g at {mean:.0}", clock(start), clock(end), energy.in_kwh())
}

fn one(problem: &Problem) -> (String, String) {
    let made = plan(problem, &Policy::default());
    assert_eq!(audit(problem, &made), vec![], "{made:#?}");
    let decision = &made.decisions[&JobId(1)];
    (told(decision.expected), decision.run_now.map_or_else(String::new, |run_now| told(Some(run_now))))
}

#[test]
fn the_hour_that_most_runs_need_is_chosen_and_the_end_is_that_of_the_longest() {
    // Known to take four hours: it may as well begin at once, with the clean hour in its midst.
    check(&scene(&CURVE, 1, [green(1, 240, 8)]), &["1 starts on a: cleanest_now"]);
    let problem = scene(&CURVE, 1, [learned(green(1, 240, 8))]);
    check(&problem, &["1 waits until 2:00 on a: grid.cleaner_later 400 g instead of 720 g"]);
    // By hand: four times 100 g and once 1600 g, a fifth of each; at once 500 g and 1600 g.
    let (expected, run_now) = one(&problem);
    assert_eq!(expected, "2:00 to 6:00, 1.6 kWh, 400 g at 250");
    assert_eq!(run_now, "0:00 to 4:00, 1.6 kWh, 720 g at 450");
    // All four hours are promised to it.
    let crowd = scene(&CURVE, 1, [learned(green(1, 240, 8)), job(2, 150)]);
    check(
        &crowd,
        &[
            "1 waits until 2:00 on a: grid.cleaner_later 400 g instead of 720 g",
            "2 waits until 6:00 on a: order.reserved room promised to an earlier job",
        ],
    );
}

#[test]
fn a_plan_that_is_due_starts_and_one_made_again_is_itself() {
    let problem = scene(&CURVE, 1, [learned(green(1, 240, 8))]);
    let first = plan(&problem, &Policy::default());
    let mut later = after(&problem, &first);
    assert_eq!(plan(&later, &Policy::default()), first);
    later.site.now = at(120);
    check(&later, &["1 starts on a: cleanest_now"]);
}

#[test]
fn every_way_has_its_share() {
    let mut job = learned(green(1, 240, 8));
    let way = |gpus, minutes| Way {
        model: "H100".to_owned(),
        gpus,
        length: Seconds::minutes(minutes),
        limit: None,
        watts: None,
        rank: 0,
        short: false,
    };
    job.ways = Arc::new([way(1, 240), way(2, 120)]);
    let (expected, _) = one(&scene(&CURVE, 2, [job.clone()]));
    // On two the long run costs 2 kW × (100 + 500) g/kWh, and the short ones half an hour at 100 g/kWh.
    assert_eq!(expected, "2:00 to 4:00, 1.6 kWh, 320 g at 200");
    let problem = scene(&CURVE, 2, [job]);
    let made = plan(&problem, &Policy::default());
    let rows = alternatives(&made, &problem.site, &Policy::default(), &problem.waiting[0]);
    let chosen: Vec<String> = rows.iter().filter(|row| row.chosen).map(|row| told(Some(row.outlook))).collect();
    assert_eq!(chosen, [expected]);
}

#[test]
fn pieces_are_expected_too() {
    let mut job = learned(green(1, 240, 10));
    job.pause = Some(PauseTerms { cost: Seconds::ZERO, least: Seconds::minutes(60) });
    let known = Job { likely: Arc::default(), ..job.clone() };
    let hours = [500, 500, 300, 500, 500, 90, 90, 90, 500, 500, 500, 500, 500, 500];
    // All of it: the four cleanest hours. If most runs are over in one, that is one of the cleanest of all.
    check(&scene(&hours, 1, [known]), &["1 waits until 2:00 on a: grid.cleaner_later 570 g instead of 1.80 kg"]);
    let (expected, _) = one(&scene(&hours, 1, [job]));
    // Four times of five an hour at 90 g/kWh, and once these three and one more.
    assert_eq!(expected, "5:00 to 9:00, 1.6 kWh, 226 g at 141");
}

#[test]
fn where_the_curve_ends_its_mean_stands_for_the_rest() {
    // Three of four hours are known: nothing is compared, and the energy is still that of the expected run.
    let (expected, run_now) = one(&scene(&CURVE[..3], 1, [learned(green(1, 240, 8))]));
    assert_eq!(expected, "0:00 to 4:00, 1.6 kWh, 587 g at 367");
    assert_eq!(run_now, expected);
}

#[test]
fn some_run_longer_than_is_promised() {
    let mut job = green(1, 120, 8);
    job.likely = Arc::new([500, 500, 500, 500, 3_000]);
    let problem = scene(&CURVE, 1, [job.clone()]);
    // By hand: four times 100 g and once 100 + 5 × 500 g; the end is the promised one.
    assert_eq!(one(&problem).0, "2:00 to 4:00, 2.0 kWh, 600 g at 300");
    // What is not known of the long run is no reason to wait for it.
    check(&scene(&CURVE[..5], 1, [job]), &["1 starts on a: no_forecast static"]);
}

#[test]
fn money_is_expected_too() {
    let mut job = learned(green(1, 240, 8));
    job.delay.objective = Objective::Price;
    let mut problem = scene(&[300; 12], 1, [job]);
    let span = |(hour, value): (i64, &u64)| Span {
        from: at(hour * 60),
        until: at(hour * 60 + 60),
        value: Price(i64::try_from(*value).expect("small") * 1_000),
        grade: Grade::Forecast,
    };
    let series = Series::new((0..).zip(&CURVE).map(span).collect::<Vec<_>>());
    problem.site.zones[0].prices = Some(Arc::new(Tariff { series, currency: "EUR".to_owned(), gpu_hours: Vec::new() }));
    check(&problem, &["1 waits until 2:00 on a: grid.cheaper_later 0.4000 EUR instead of 0.7200 EUR"]);
    let expected = plan(&problem, &Policy::default()).decisions[&JobId(1)].expected;
    let figures = expected.map(|outlook| (outlook.energy, outlook.intensity));
    assert_eq!(figures, Some((Joules(1_600 * 3_600 * 1_000), Intensity::grams(300))));
}
