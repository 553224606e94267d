use super::{Issue, Online, Outlook, Sight, View, play};
use crate::market::{Market, Mode, Prices, Share, Shares, Solution};
use crate::replay::{Case, Curve, Place, Ran, TraceJob};

/// Fills each task's cheapest slots in what is left, tightest first: enough to see what a solver is shown.
fn greedy(market: &Market, _: Option<&Prices>) -> Solution {
    let mut left: Vec<Vec<f64>> =
        market.pools.iter().map(|p| p.capacity.iter().map(|gpus| gpus * market.slot_hours).collect()).collect();
    let mut shares: Vec<Vec<Share>> = vec![Vec::new(); market.tasks.len()];
    let mut order: Vec<usize> = (0..market.tasks.len()).collect();
    order.sort_by(|&a, &b| market.tasks[a].due.total_cmp(&market.tasks[b].due));
    for task in order {
        let (mut hours, due) = (market.tasks[task].hours, market.tasks[task].due);
        let class = &market.classes[market.tasks[task].class];
        let mut slots: Vec<(bool, f64, usize, usize)> = class
            .pools
            .iter()
            .flat_map(|&pool| (0..left[pool].len()).map(move |slot| (pool, slot)))
            .map(|(pool, slot)| {
                (slot as f64 * market.slot_hours >= due, market.pools[pool].grams_per_kwh[slot], slot, pool)
            })
            .collect();
        slots.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then((a.2, a.3).cmp(&(b.2, b.3))));
        for (late, _, slot, pool) in slots {
            let most =
                if late { market.slot_hours } else { (due - slot as f64 * market.slot_hours).min(market.slot_hours) };
            let take = hours.min(most).min(left[pool][slot] / class.points[0].gpus);
            if take > 1e-12 {
                hours -= take;
                left[pool][slot] -= take * class.points[0].gpus;
                shares[task].push(Share { pool, slot, point: 0, hours: take });
            }
        }
        shares[task].sort_by_key(|share| share.slot);
    }
    let shares: Vec<Shares> = shares.into_iter().map(|shares| shares.into_iter().collect()).collect();
    Solution { shares, bound: 1.0, cost: 1.0, ..Solution::default() }
}

fn job(arrival: f64, length: f64, slack: f64) -> TraceJob {
    TraceJob { arrival, length, width: 1.0, slack, assumed: length, queue: 0, home: 0 }
}

fn case(values: Vec<f64>, gpus: Option<f64>, jobs: Vec<TraceJob>) -> Case {
    let curve = Curve::new(0.0, 3600.0, values).expect("values");
    let place = Place { name: "A".to_owned(), curve, forecast: None, pue: 1.0, gpus };
    Case { places: vec![place], jobs, anywhere: false, kw_per_gpu: 1.0 }
}

fn played(case: &Case, outlook: Outlook, issues: &[Vec<Issue>]) -> Vec<Ran> {
    let sight = Sight { outlook, issues, trusted: 48.0 * 3600.0 };
    let online = Online { slot: 900.0, sight, mode: Mode::Interruptible, stays: false, waiting: 0.0, expected: 0.0 };
    play(case, &online, &mut greedy, &mut |_| {}).ran
}

fn done(ran: &Ran) -> f64 {
    ran.iter().map(|s| s.gpus * (s.until - s.from)).sum()
}

#[test]
fn all_work_is_done_within_window_and_room() {
    let jobs: Vec<TraceJob> =
        (0..12).map(|n| job(f64::from(n) * 1234.5, 3000.0 + f64::from(n) * 700.0, 6.0 * 3600.0)).collect();
    let case = case((0..48).map(|hour| 100.0 + f64::from(hour * 37 % 24)).collect(), Some(3.5), jobs);
    let ran = played(&case, Outlook::Perfect, &[]);
    for (job, ran) in case.jobs.iter().zip(&ran) {
        assert!((done(ran) - job.length).abs() < 1e-3, "{ran:?}");
        assert!(ran.iter().all(|s| s.from >= job.arrival && s.until <= job.arrival + job.length + job.slack + 1e-6));
    }
    for slot in 0..200 {
        let (from, until) = (f64::from(slot) * 900.0, f64::from(slot + 1) * 900.0);
        let in_slot = |s: &crate::replay::Segment| s.gpus * (s.until.min(until) - s.from.max(from)).max(0.0);
        assert!(ran.iter().flatten().map(in_slot).sum::<f64>() <= 3.5 * 900.0 + 1e-6);
    }
}

#[test]
fn a_job_that_cannot_wait_starts_within_the_slot_and_one_that_can_is_seen_at_the_next() {
    let case = case(vec![100.0; 8], Some(2.0), vec![job(100.0, 3600.0, 0.0), job(200.0, 3600.0, 7200.0)]);
    let ran = played(&case, Outlook::Perfect, &[]);
    assert_eq!((ran[0][0].from, ran[1][0].from), (100.0, 900.0));
    assert!((ran[0].last().expect("it ran").until - 3700.0).abs() < 1e-6, "{:?}", ran[0]);
}

#[test]
fn a_solver_is_shown_no_job_and_no_hour_that_is_not_known() {
    let mut values = vec![100.0; 24];
    values.extend(vec![500.0, 400.0, 300.0, 50.0, 50.0, 50.0]);
    let mut case = case(values, Some(1.0), vec![job(86_400.0, 3600.0, 3.0 * 3600.0), job(90_100.0, 3600.0, 0.0)]);
    case.jobs[0].slack = 3.0 * 3600.0;
    let sight = Sight { outlook: Outlook::Yesterday, issues: &[], trusted: 0.0 };
    let online = Online { slot: 3600.0, sight, mode: Mode::Interruptible, stays: false, waiting: 0.0, expected: 0.0 };
    let mut seen = Vec::new();
    play(
        &case,
        &online,
        &mut |market, before| {
            seen.push((market.tasks.len(), market.pools[0].grams_per_kwh[..4].to_vec(), before.is_some()));
            greedy(market, before)
        },
        &mut |_| {},
    );
    assert_eq!(seen[0], (1, vec![500.0, 100.0, 100.0, 100.0], false), "the hour in progress is known, the rest is not");
    assert_eq!(seen[1].1[0], 400.0);
}

#[test]
fn what_is_expected_is_learned_from_jobs_that_came_and_is_never_run() {
    let first_markets = |later: f64| {
        let jobs = vec![job(0.0, 3600.0, 7200.0), job(3600.0, 1800.0, 7200.0), job(later, 7200.0, 7200.0)];
        let case = case(vec![100.0, 300.0, 200.0, 50.0, 50.0, 50.0], Some(1.0), jobs);
        let sight = Sight { outlook: Outlook::Present, issues: &[], trusted: 0.0 };
        let online =
            Online { slot: 3600.0, sight, mode: Mode::Interruptible, stays: false, waiting: 0.0, expected: 0.5 };
        let mut seen: Vec<Market> = Vec::new();
        let played = play(
            &case,
            &online,
            &mut |market, before| {
                seen.push(market.clone());
                greedy(market, before)
            },
            &mut |_| {},
        );
        for (job, ran) in case.jobs.iter().zip(&played.ran) {
            let work: f64 = ran.iter().map(|s| s.gpus * (s.until - s.from)).sum();
            assert!((work - job.width * job.length).abs() < 1e-6, "{job:?} did {work} s");
        }
        seen.truncate(2);
        seen
    };
    let seen = first_markets(20_000.0);
    assert_eq!(seen, first_markets(30_000.0), "what comes later changes nothing");
    let known = |market: &Market| market.tasks.iter().filter(|task| task.release == 0.0).count();
    assert_eq!(known(&seen[0]), 1);
    assert!(seen[0].tasks.len() > 1 && seen[0].tasks[1..].iter().all(|task| task.release >= 0.5));
}

#[test]
fn forecasts_are_used_when_they_are_issued_and_as_far_as_they_are_trusted() {
    let truth = Curve::new(-172_800.0, 3600.0, (0..96).map(f64::from).collect()).expect("values");
    let says = |value: f64| Curve::new(0.0, 3600.0, vec![value; 48]).expect("values");
    let issues = [Issue { from: 0.0, curve: says(7.0) }, Issue { from: 3600.0, curve: says(9.0) }];
    let at = |now: f64| View::new(&truth, &issues, now, 86_400.0);
    assert_eq!(at(-1.0).provider(100.0), None, "nothing is issued yet");
    assert_eq!((at(0.0).provider(7200.0), at(3600.0).provider(7200.0)), (Some(7.0), Some(9.0)));
    assert_eq!(at(3600.0).provider(3600.0 + 86_401.0), None, "too far ahead");
    let now = at(0.0);
    assert_eq!((now.present(), now.measured(3600.0), now.measured(-3600.0)), (48.0, None, Some(47.0)));
    assert_eq!((now.yesterday(7200.0), now.yesterday(7200.0 + 86_400.0)), (Some(26.0), Some(26.0)));
    assert_eq!(now.week(7200.0), None, "two days are no week");
}

#[test]
fn a_blend_of_perfect_sources_is_perfect_and_a_biased_one_is_put_right() {
    let day = |n: usize| 200.0 + 100.0 * ((n % 24) as f64 - 12.0).abs() / 12.0;
    let truth: Vec<f64> = (0..24 * 20).map(day).collect();
    let start = -15.0 * 86_400.0;
    let curve = Curve::new(start, 3600.0, truth.clone()).expect("values");
    let biased = Curve::new(start, 3600.0, truth.iter().map(|value| value + 30.0).collect()).expect("values");
    let mut case = case(vec![1.0], None, Vec::new());
    case.places[0].curve = curve.clone();
    let issues = [vec![Issue { from: f64::NEG_INFINITY, curve: biased }]];
    let sight = |outlook| Sight { outlook, issues: &issues, trusted: 1e9 };
    let blend = sight(Outlook::Blend).ahead(&case, 0, 0.0, 900.0, 96);
    let perfect = sight(Outlook::Perfect).ahead(&case, 0, 0.0, 900.0, 96);
    let raw = sight(Outlook::Provider).ahead(&case, 0, 0.0, 900.0, 96);
    for slot in 0..96 {
        assert!((blend[slot] - perfect[slot]).abs() < 1e-9, "{slot}: {} for {}", blend[slot], perfect[slot]);
        assert!((raw[slot] - perfect[slot] - if slot < 4 { 0.0 } else { 30.0 }).abs() < 1e-9);
    }
}
