//! Contiguous jobs on whole GPUs in small cases drawn by chance: every plan passes the auditor, and no bound is above what
//! trying all starts finds.

use neap_policies::replay::{Case, Curve, Place, Ran, Segment, TraceJob};
use neap_policies::whole::{self, Breach, Effort, RoomPrices, Standing, Terms, Window};
use proptest::prelude::*;

const HOUR: f64 = 3600.0;

fn places(limits: &[u8], values: &[Vec<u16>]) -> Vec<Place> {
    let place = |(index, (limit, values)): (usize, (&u8, &Vec<u16>))| Place {
        name: format!("zone {index}"),
        curve: Curve::new(0.0, HOUR, values.iter().map(|&v| f64::from(v)).collect()).expect("values"),
        forecast: None,
        pue: 1.0 + index as f64 / 4.0,
        gpus: Some(f64::from(*limit)),
    };
    limits.iter().zip(values).enumerate().map(place).collect()
}

fn job((arrival, length, width, slack): (f64, f64, u8, f64), home: usize) -> TraceJob {
    TraceJob { arrival, length, width: f64::from(width), slack, assumed: length, queue: 0, home }
}

/// Two zones with widths, intensities and jobs in whole hours, so that some cheapest plan starts every job on one.
fn hourly() -> impl Strategy<Value = Case> {
    let values = prop::collection::vec(prop::collection::vec(0u16..500, 6..10), 2);
    let jobs = prop::collection::vec((0u8..4, 1u8..4, 1u8..3, 0u8..5), 1..5);
    (values, [2u8..4, 2u8..4], jobs, any::<bool>()).prop_map(|(values, limits, jobs, anywhere)| {
        let whole = |(index, (arrival, length, width, slack)): (usize, (u8, u8, u8, u8))| {
            let hours = |h: u8| f64::from(h) * HOUR;
            job((hours(arrival), hours(length), width, hours(slack)), index % 2)
        };
        let mut jobs: Vec<TraceJob> = jobs.into_iter().enumerate().map(whole).collect();
        jobs.sort_by(|a, b| a.arrival.total_cmp(&b.arrival));
        Case { places: places(&limits, &values), jobs, anywhere, kw_per_gpu: 0.5 }
    })
}

/// Jobs at any second and of any length, more than the zones can hold in time.
fn ragged() -> impl Strategy<Value = Case> {
    let values = prop::collection::vec(prop::collection::vec(0u16..500, 3..30), 2);
    let jobs = prop::collection::vec((0.0..30_000.0, 0.5..20_000.0, 1u8..4, 0.0..40_000.0), 1..25);
    (values, [1u8..5, 3u8..5], jobs, any::<bool>()).prop_map(|(values, limits, jobs, anywhere)| {
        let mut jobs: Vec<TraceJob> = jobs.into_iter().map(|fields| job(fields, 1)).collect();
        jobs.sort_by(|a, b| a.arrival.total_cmp(&b.arrival));
        Case { places: places(&limits, &values), jobs, anywhere, kw_per_gpu: 0.5 }
    })
}

/// The least cost of the jobs from `next` on, by trying every hour, given the GPUs in use by place and hour.
fn least(case: &Case, terms: &Terms, next: usize, used: &mut [Vec<f64>]) -> f64 {
    let Some(job) = case.jobs.get(next) else { return 0.0 };
    let (first, length) = ((job.arrival / HOUR) as usize, (job.length / HOUR) as usize);
    let mut best = f64::INFINITY;
    for place in (0..case.places.len()).filter(|&place| place == job.home || case.anywhere) {
        let limit = case.places[place].gpus.expect("a limit");
        for start in first..used[place].len() - length {
            if used[place][start..start + length].iter().any(|used| used + job.width > limit) {
                continue;
            }
            used[place][start..start + length].iter_mut().for_each(|used| *used += job.width);
            let cost = terms.cost(case, job, place, start as f64 * HOUR);
            best = best.min(cost + least(case, terms, next + 1, used));
            used[place][start..start + length].iter_mut().for_each(|used| *used -= job.width);
        }
    }
    best
}

const EFFORT: Effort = Effort { rounds: 30, steps: 60, cell: HOUR };

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * (1.0 + a.abs())
}

/// What the runs cost by the terms, worked out anew.
fn cost(case: &Case, terms: &Terms, ran: &[Ran]) -> f64 {
    let one = |(job, run): (&TraceJob, &Ran)| run.first().map_or(0.0, |s| terms.cost(case, job, s.place, s.from));
    case.jobs.iter().zip(ran).map(one).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_bound_is_above_the_best_of_all_plans(
        case in hourly(), waiting in 0.0..20.0, drawn in prop::collection::vec(0.0..400.0, 64),
    ) {
        let terms = Terms::with_waiting(&case, waiting);
        let best = least(&case, &terms, 0, &mut vec![vec![0.0; 20]; 2]);
        let plan = whole::plan(&case, &terms, EFFORT);
        prop_assert_eq!(whole::check(&case, &plan.ran, &plan.late), vec![]);
        prop_assert!(plan.cost >= best - 1e-6 * best.abs(), "{} beats the best plan {}", plan.cost, best);
        prop_assert!(plan.bound <= best + 1e-9, "the bound {} is above the best plan {}", plan.bound, best);
        // Any prices prove a bound.
        let mut prices = RoomPrices::zero(&case, HOUR / 2.0);
        for (price, drawn) in prices.places.iter_mut().flat_map(|cells| &mut cells.values).zip(drawn.iter().cycle()) {
            *price = *drawn;
        }
        let bound = whole::bound(&case, &terms, &Standing::NOTHING, &prices);
        prop_assert!(bound <= best + 1e-9, "prices by chance prove {} above the best plan {}", bound, best);
    }

    #[test]
    fn every_plan_passes_the_auditor_and_is_the_same_again(case in ragged(), waiting in 0.0..20.0) {
        let terms = Terms::with_waiting(&case, waiting);
        let plan = whole::plan(&case, &terms, EFFORT);
        prop_assert_eq!(whole::check(&case, &plan.ran, &plan.late), vec![]);
        prop_assert!(close(plan.cost, cost(&case, &terms, &plan.ran)));
        prop_assert!(plan.bound <= plan.cost + 1e-9);
        prop_assert_eq!(plan.late_gpu_hours > 0.0, !plan.late.is_empty());
        prop_assert_eq!(whole::plan(&case, &terms, EFFORT), plan);
    }

    #[test]
    fn a_new_plan_leaves_alone_what_has_started(case in ragged(), now in 0.0..40_000.0) {
        let terms = Terms::with_waiting(&case, 1.0);
        let known = Case { jobs: case.jobs.iter().copied().filter(|job| job.arrival <= now).collect(), ..case.clone() };
        let first = whole::plan(&known, &terms, EFFORT);
        let mut started: Vec<Option<Segment>> =
            first.ran.iter().map(|ran| ran.first().copied().filter(|s| s.from < now)).collect();
        let standing = Standing { now, started: &started };
        let again = whole::replan(&known, &terms, EFFORT, &standing, Some(&first));
        prop_assert_eq!(whole::check(&known, &again.ran, &again.late), vec![]);
        prop_assert!(again.bound <= again.cost + 1e-9);
        prop_assert!(again.cost <= first.cost + 1e-6, "{} is worse than the plan it had, {}", again.cost, first.cost);
        for (ran, started) in again.ran.iter().zip(&started) {
            prop_assert!(started.map_or(ran[0].from >= now - 1e-6, |s| close(s.from, ran[0].from) && s.place == ran[0].place));
        }
        // One more job comes: nobody else moves.
        let Some(next) = case.jobs.get(known.jobs.len()) else { return Ok(()) };
        let mut more = known.clone();
        more.jobs.push(TraceJob { arrival: now, ..*next });
        started.push(None);
        let run = whole::insert(&more, &terms, &Standing { now, started: &started }, &again).expect("it fits");
        let ran: Vec<Ran> = again.ran.iter().cloned().chain([vec![run]]).collect();
        let breaches = whole::check(&more, &ran, &again.late);
        let last = more.jobs.len() - 1;
        prop_assert!(breaches.iter().all(|b| matches!(b, Breach::Late { job, .. } if *job == last)), "{:?}", breaches);
    }

    #[test]
    fn online_nobody_acts_on_what_has_not_come_yet(case in ragged(), first in 0usize..25, every in 600.0..9000.0) {
        let terms = Terms::with_waiting(&case, 1.0);
        let all = whole::online(&case, &terms, EFFORT, every);
        prop_assert_eq!(whole::check(&case, &all.ran, &all.late), vec![]);
        let Some(next) = case.jobs.get(first) else { return Ok(()) };
        let fewer = Case { jobs: case.jobs[..first].to_vec(), ..case.clone() };
        let without = whole::online(&fewer, &terms, EFFORT, every);
        for (with, without) in all.ran.iter().zip(&without.ran) {
            let before = |ran: &Ran| ran[0].from < next.arrival;
            prop_assert!(with == without || !before(with) && !before(without), "{:?} and {:?}", with, without);
        }
    }

    #[test]
    fn no_start_of_one_job_is_cheaper_than_the_one_found(
        values in prop::collection::vec(0u16..500, 1..30), length in 1.0..30_000.0, earliest in -9000.0..90_000.0,
        slack in 0.0..50_000.0, waiting in 0.0..300.0, shares in prop::collection::vec(0.0..=1.0, 30),
    ) {
        let curve = Curve::new(0.0, HOUR, values.into_iter().map(f64::from).collect()).expect("values");
        let window = Window { earliest, latest: earliest + slack, length };
        let (at, cost) = whole::cheapest_start(&curve, &window, 1.0, waiting);
        prop_assert!(at >= window.earliest && at <= window.latest);
        for share in shares {
            let other = earliest + share * slack;
            let costs = curve.integral(other, other + length) + waiting * (other - earliest) / HOUR;
            prop_assert!(costs >= cost - 1e-6, "{} at {} is cheaper than {} at {}", costs, other, cost, at);
        }
    }
}

#[test]
fn without_jobs_without_limits_and_without_a_place_wide_enough() {
    let values = vec![vec![500, 100, 300, 200, 400, 600], vec![450; 6]];
    let mut case = Case { places: places(&[2, 2], &values), jobs: vec![], anywhere: true, kw_per_gpu: 1.0 };
    let terms = Terms::with_waiting(&case, 0.0);
    let nothing = whole::plan(&case, &terms, EFFORT);
    assert_eq!((nothing.cost, nothing.bound, nothing.ran.len()), (0.0, 0.0, 0));
    // One is wider than every place and stays out; the other does as it would alone.
    case.jobs = vec![job((0.0, HOUR, 3, HOUR), 0), job((0.0, HOUR, 1, 2.0 * HOUR), 0)];
    let plan = whole::plan(&case, &terms, EFFORT);
    assert_eq!((plan.ran[0].len(), plan.ran[1][0].from, plan.cost), (0, HOUR, 100.0));
    assert!((plan.bound - 100.0).abs() < 1e-6, "{}", plan.bound);
    assert_eq!(whole::check(&case, &plan.ran, &plan.late), vec![Breach::NotOnce { job: 0, segments: 0 }]);
    // Without limits all do as they would alone, and the bound says so.
    case.places.iter_mut().for_each(|place| place.gpus = None);
    let free = whole::plan(&case, &terms, EFFORT);
    assert_eq!(free.ran, whole::known(&case, 0.0));
    assert!((free.bound - free.cost).abs() < 1e-6, "{} and {}", free.bound, free.cost);
}

#[test]
fn the_auditor_finds_what_is_wrong() {
    let values = vec![vec![100u16; 12]; 2];
    let jobs = vec![job((0.0, HOUR, 1, HOUR), 0), job((0.0, 2.0 * HOUR, 2, HOUR), 0)];
    let case = Case { places: places(&[2, 2], &values), jobs, anywhere: false, kw_per_gpu: 1.0 };
    let run = |from: f64, hours: f64, gpus: f64, place: usize| {
        vec![Segment { from, until: from + hours * HOUR, gpus, place }]
    };
    let check = |first: Ran, second: Ran, late: &[usize]| whole::check(&case, &[first, second], late);
    assert_eq!(check(run(0.0, 1.0, 1.0, 0), run(HOUR, 2.0, 2.0, 0), &[]), vec![]);
    let over = check(run(0.0, 1.0, 1.0, 0), run(HOUR - 1.0, 2.0, 2.0, 0), &[]);
    assert_eq!(over, vec![Breach::Room { place: 0, at: HOUR - 1.0, gpus: 3.0 }]);
    let late = check(run(3.0 * HOUR, 1.0, 1.0, 0), run(HOUR, 2.0, 2.0, 0), &[]);
    assert_eq!(late, vec![Breach::Late { job: 0, until: 4.0 * HOUR, reported: false }]);
    assert_eq!(check(run(3.0 * HOUR, 1.0, 1.0, 0), run(HOUR, 2.0, 2.0, 0), &[0]), vec![]);
    let right = run(HOUR, 2.0, 2.0, 0);
    assert_eq!(check(run(0.0, 1.0, 1.0, 0), right.clone(), &[1]).len(), 1, "reported late and is not");
    assert_eq!(check(vec![], right.clone(), &[]), vec![Breach::NotOnce { job: 0, segments: 0 }]);
    let halves = [run(0.0, 0.5, 1.0, 0), run(0.5 * HOUR, 0.5, 1.0, 0)].concat();
    assert_eq!(check(halves, right.clone(), &[]), vec![Breach::NotOnce { job: 0, segments: 2 }]);
    assert_eq!(check(run(0.0, 1.0, 0.5, 0), right.clone(), &[]), vec![Breach::Width { job: 0, gpus: 0.5 }]);
    assert_eq!(check(run(0.0, 0.5, 1.0, 0), right.clone(), &[]), vec![Breach::Length { job: 0, seconds: 1800.0 }]);
    assert_eq!(check(run(-60.0, 1.0, 1.0, 0), right.clone(), &[]), vec![Breach::Early { job: 0, at: -60.0 }]);
    assert_eq!(check(run(0.0, 1.0, 1.0, 1), right.clone(), &[]), vec![Breach::Place { job: 0, place: 1 }]);
    assert_eq!(whole::check(&case, &[right], &[]).first(), Some(&Breach::Count { jobs: 2, runs: 1 }));
}

#[test]
fn equally_likely_lengths_are_conditional_on_what_has_run() {
    let seen: Vec<f64> = (1..=41).map(f64::from).collect();
    let lengths = whole::outcomes(&seen, 0.0);
    assert_eq!((lengths.len(), lengths[0], lengths[19]), (whole::OUTCOMES, 2.0, 40.0));
    // Of those that ran longer than 31 ten are left, with 1 to 10 to go.
    let left = whole::outcomes(&seen, 31.0);
    assert_eq!((left[0], left[19]), (1.225, 9.775));
    assert_eq!(whole::outcomes(&seen, 41.0), Vec::<f64>::new());
}
