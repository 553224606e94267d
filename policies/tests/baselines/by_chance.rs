//! Every rule on small cases drawn by chance: all work runs, nothing before its arrival, nothing above the capacity
//! that the rule knows, and what the rules promise about their windows.

use neap_policies::baselines::{Lengths, Rule, run};
use neap_policies::replay::{Case, Curve, Place, Ran, Segment, TraceJob, score};
use proptest::prelude::*;

const HOUR: f64 = 3600.0;
/// Rules without any idea of capacity.
const BLIND: [Rule; 9] = [
    Rule::GaiaLowestSlot,
    Rule::GaiaLowestWindow,
    Rule::GaiaCarbonTime,
    Rule::Ecovisor,
    Rule::WaitAwhile,
    Rule::WaitAwhileContiguous,
    Rule::OneMin,
    Rule::KMin,
    Rule::Opr,
];
const DIVISIBLE: [Rule; 2] = [Rule::FirstCome, Rule::GlobalSort];
const BROKEN_AT_WILL: [Rule; 5] = [Rule::Ecovisor, Rule::WaitAwhile, Rule::OneMin, Rule::KMin, Rule::Opr];

fn places() -> impl Strategy<Value = Vec<Place>> {
    let gpus = prop_oneof![Just(None), (0u8..8).prop_map(|gpus| Some(f64::from(gpus))), Just(Some(2.5))];
    let step = prop_oneof![4 => Just(HOUR), 1 => Just(HOUR / 4.0)];
    // Few values, so that there are many ties.
    let place = (prop::collection::vec(1u8..6, 1..80), gpus, step, 1.0..1.6f64, -3i8..2);
    let place = place.prop_map(|(values, gpus, step, pue, start)| {
        let values = values.into_iter().map(|v| f64::from(v) * 90.0).collect();
        let curve = Curve::new(f64::from(start) * HOUR, step, values).expect("values");
        Place { name: "zone".to_owned(), curve, forecast: None, pue, gpus }
    });
    prop::collection::vec(place, 0..4)
}

fn jobs() -> impl Strategy<Value = Vec<TraceJob>> {
    let length = prop_oneof![1 => Just(0u32), 8 => 1u32..40_000, 1 => Just(400_000)];
    let slack = prop_oneof![2 => Just(0.0), 8 => (0u32..100_000).prop_map(f64::from), 1 => Just(f64::INFINITY)];
    let job = (0u32..200_000, length, 0u8..6, slack, 0u32..30_000, 0usize..3);
    let job = job.prop_map(|(arrival, length, width, slack, assumed, home)| TraceJob {
        arrival: f64::from(arrival),
        length: f64::from(length),
        width: f64::from(width),
        slack,
        assumed: f64::from(assumed),
        queue: 0,
        home,
    });
    prop::collection::vec(job, 0..14).prop_map(|mut jobs| {
        jobs.sort_by(|a, b| a.arrival.total_cmp(&b.arrival));
        jobs
    })
}

fn cases() -> impl Strategy<Value = Case> {
    (places(), jobs(), any::<bool>()).prop_map(|(places, jobs, anywhere)| Case {
        places,
        jobs,
        anywhere,
        kw_per_gpu: 0.4,
    })
}

/// Whether a job can run at all under a rule.
fn runs_ever(case: &Case, job: &TraceJob, rule: Rule) -> bool {
    let Some(home) = case.places.get(job.home) else { return false };
    let fits = |place: &Place| place.gpus.is_none_or(|gpus| job.width <= gpus);
    let whole = |place: &Place| place.gpus.is_none_or(|gpus| job.width <= gpus.floor());
    let open = |place: &Place| place.gpus.is_none_or(|gpus| gpus > 0.0);
    match rule {
        rule if BLIND.contains(&rule) => true,
        Rule::FirstComeWhole if case.anywhere => case.places.iter().any(whole),
        Rule::FirstComeWhole => whole(home),
        Rule::FirstCome | Rule::GlobalSort if job.width * job.length == 0.0 => true,
        Rule::FirstCome | Rule::GlobalSort if case.anywhere => case.places.iter().any(open),
        Rule::FirstCome | Rule::GlobalSort => open(home),
        _ => fits(home),
    }
}

fn check_job(case: &Case, job: &TraceJob, ran: &Ran, rule: Rule) -> Result<(), TestCaseError> {
    if !runs_ever(case, job, rule) {
        prop_assert!(ran.is_empty(), "{rule:?} {job:?} {ran:?}");
        return Ok(());
    }
    let work: f64 = ran.iter().map(|s| s.gpus * (s.until - s.from)).sum();
    prop_assert!(!ran.is_empty() && (work - job.width * job.length).abs() < 1e-3, "{rule:?} {job:?} {ran:?}");
    for segment in ran {
        prop_assert!(segment.from >= job.arrival && segment.until >= segment.from, "{rule:?} {job:?} {ran:?}");
        prop_assert!(segment.gpus <= job.width + 1e-9, "{rule:?} {job:?} {ran:?}");
        let at_home = segment.place == job.home;
        let moves = [Rule::FirstCome, Rule::GlobalSort, Rule::FirstComeWhole].contains(&rule) && case.anywhere;
        prop_assert!(at_home || moves, "{rule:?} {job:?} {ran:?}");
    }
    if !DIVISIBLE.contains(&rule) {
        prop_assert!(ran.iter().all(|s| s.gpus == job.width), "{rule:?} {ran:?}");
        prop_assert!(ran.windows(2).all(|w| w[1].from > w[0].until), "{rule:?} {ran:?}");
        prop_assert!(ran.len() == 1 || BROKEN_AT_WILL.contains(&rule), "{rule:?} {ran:?}");
    }
    Ok(())
}

/// GPUs × seconds in use in a zone within a time.
fn in_use(ran: &[Ran], place: usize, from: f64, until: f64) -> f64 {
    let shared = |s: &Segment| (s.until.min(until) - s.from.max(from)).max(0.0) * s.gpus;
    ran.iter().flatten().filter(|s| s.place == place).map(shared).sum()
}

fn check_room(case: &Case, ran: &[Ran], rule: Rule) -> Result<(), TestCaseError> {
    let slot = case.places.iter().map(|p| p.curve.step()).fold(f64::INFINITY, f64::min);
    for (index, gpus) in case.places.iter().enumerate().filter_map(|(i, p)| Some((i, p.gpus?))) {
        for segment in ran.iter().flatten().filter(|s| s.place == index) {
            if DIVISIBLE.contains(&rule) {
                let first = (segment.from / slot).floor() * slot;
                let used = in_use(ran, index, first, first + slot);
                prop_assert!(used <= gpus * slot + 1e-2, "{rule:?} {used} in a slot");
            } else {
                let at = |s: &&Segment| s.place == index && s.from <= segment.from && s.until > segment.from;
                let used: f64 = ran.iter().flatten().filter(at).map(|s| s.gpus).sum();
                prop_assert!(used <= gpus + 1e-9, "{rule:?} {used} at {}", segment.from);
            }
        }
    }
    Ok(())
}

fn grams(case: &Case, ran: &[Ran]) -> f64 {
    ran.iter().flatten().map(|s| case.grams(s)).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_job_runs_its_work_in_the_room_there_is(case in cases()) {
        for rule in Rule::ALL {
            for lengths in [Lengths::True, Lengths::Assumed] {
                let ran = run(rule, &case, lengths);
                prop_assert_eq!(ran.len(), case.jobs.len());
                for (job, ran) in case.jobs.iter().zip(&ran) {
                    check_job(&case, job, ran, rule)?;
                }
                if !BLIND.contains(&rule) {
                    check_room(&case, &ran, rule)?;
                }
                let got = score(&case, &ran, &ran);
                prop_assert!(got.late_work >= 0.0 && got.wait_hours.mean >= 0.0 && got.slowdown.mean >= 0.0);
                prop_assert!(got.unfinished <= got.late_jobs && got.late_jobs <= got.jobs);
            }
        }
    }

    #[test]
    fn without_capacity_none_is_late_and_none_beats_the_cheapest_moments(case in cases()) {
        let least = grams(&case, &run(Rule::WaitAwhile, &case, Lengths::True));
        let unbroken = grams(&case, &run(Rule::WaitAwhileContiguous, &case, Lengths::True));
        let slack = 1e-6 * (1.0 + least);
        for rule in BLIND {
            let ran = run(rule, &case, Lengths::True);
            for (job, ran) in case.jobs.iter().zip(&ran) {
                let exit = ran.last().map_or(job.arrival, |s| s.until);
                prop_assert!(exit <= job.arrival + job.length + job.slack + 1e-3, "{rule:?} {job:?} {ran:?}");
            }
            let finite = case.jobs.iter().all(|job| job.slack.is_finite());
            prop_assert!(grams(&case, &ran) >= least - slack || !finite, "{rule:?}");
            prop_assert!(grams(&case, &ran) >= unbroken - slack || BROKEN_AT_WILL.contains(&rule), "{rule:?}");
        }
    }
}
