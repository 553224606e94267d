//! N7: jobs seen when they come, a real forecast, nine cases; how far what was emitted lies above the clairvoyant bound.
//! `NEAP_STARTS=4000,6000` plays other weeks of 2022, `NEAP_ONLY=blend` one kind of forecast.
#![allow(clippy::disallowed_methods, clippy::print_stderr, reason = "the long check prints its table")]

mod data;

use neap_policies::market::{Class, Effort, Market, Mode, Point, Pool, Task, solve};
use neap_policies::replay::online::{HISTORY_DAYS, Issue, Online, Outlook, Sight, play};
use neap_policies::replay::{Case, Curve, Place, TraceJob, score, unlimited};

/// Start (row of 2022), capacity as a multiple of the mean demand, clairvoyant bound: carbon ÷ run-now without limit.
const BOUNDS: [(usize, f64, f64); 9] = [
    (3000, 1.5, 0.7108),
    (3000, 2.0, 0.6177),
    (3000, 3.0, 0.5853),
    (5000, 1.5, 0.9033),
    (5000, 2.0, 0.8607),
    (5000, 3.0, 0.8334),
    (7000, 1.5, 0.7944),
    (7000, 2.0, 0.7132),
    (7000, 3.0, 0.6598),
];

fn case(start: usize, multiple: f64, jobs: usize) -> Option<(Case, Vec<Vec<Issue>>)> {
    let text = data::read("carbon/ciso_actual_and_forecast_2019-2022.csv")?;
    let rows = text.lines().skip(1).filter(|line| line.starts_with("202")).map(|line| {
        let mut cells = line.split(',').skip(1).map(|cell| cell.parse::<f64>().expect("a number"));
        (cells.next().expect("the actual"), cells.next().expect("the forecast"))
    });
    let rows: Vec<(f64, f64)> = rows.collect();
    // Rows of 2022 only count; the days before them are history.
    let first = rows.len() - 8760 + start - HISTORY_DAYS * 24;
    let until = (first + HISTORY_DAYS * 24 + 400).min(rows.len());
    let of = |pick: fn(&(f64, f64)) -> f64| {
        Curve::new(-(HISTORY_DAYS as f64) * 86_400.0, 3600.0, rows[first..until].iter().map(pick).collect())
            .expect("values")
    };
    let (actual, column) = (of(|row| row.0), of(|row| row.1));
    let trace = data::read("jobs/gaia_pai_1k.csv")?;
    let jobs: Vec<TraceJob> = trace
        .lines()
        .skip(1)
        .take(jobs)
        .map(|line| {
            let field: Vec<f64> = line.split(',').map(|v| v.parse().expect("a number")).collect();
            let slack = if field[1] < 7200.0 { 6.0 * 3600.0 } else { 24.0 * 3600.0 };
            TraceJob {
                arrival: field[0],
                length: field[1],
                width: field[2],
                slack,
                assumed: field[1],
                queue: 0,
                home: 0,
            }
        })
        .collect();
    let work: f64 = jobs.iter().map(|job| job.width * job.length).sum();
    let hours = (jobs.last()?.arrival / 3600.0).ceil();
    let gpus = multiple * work / 3600.0 / hours;
    let place = Place { name: "CISO".to_owned(), curve: actual, forecast: None, pue: 1.0, gpus: Some(gpus) };
    let case = Case { places: vec![place], jobs, anywhere: false, kw_per_gpu: 0.001 };
    Some((case, vec![vec![Issue { from: f64::NEG_INFINITY, curve: column }]]))
}

fn ratio(case: &Case, issues: &[Vec<Issue>], outlook: Outlook, trusted: f64, slot: f64, expected: f64) -> (f64, f64) {
    let sight = Sight { outlook, issues, trusted };
    let online = Online { slot, sight, mode: Mode::Interruptible, stays: false, waiting: 0.0, expected };
    let played = play(case, &online, &mut |market, prices| solve(market, Effort::default(), prices), &mut |_| {});
    let score = score(case, &played.ran, &played.ran);
    assert_eq!(score.unfinished, 0);
    (score.to_unlimited, score.late_work)
}

/// What no plan of all jobs and hours known stays below, as carbon ÷ run-now without limit.
fn clairvoyant(case: &Case) -> f64 {
    let end = case.jobs.iter().map(|job| job.arrival + job.length + job.slack).fold(0.0, f64::max);
    let slots = (end / 3600.0).ceil() as usize + 24;
    let place = &case.places[0];
    let pool = Pool {
        capacity: vec![place.gpus.expect("a limit"); slots],
        grams_per_kwh: (0..slots).map(|slot| place.curve.at(slot as f64 * 3600.0)).collect(),
    };
    let class = |width: usize| Class {
        pools: vec![0],
        points: vec![Point { gpus: width as f64, speed: 1.0, kw: width as f64 * case.kw_per_gpu }],
        mode: Mode::Interruptible,
        stays: false,
    };
    let widest = case.jobs.iter().map(|job| job.width as usize).max().unwrap_or(0);
    let task = |job: &TraceJob| Task {
        class: job.width as usize,
        hours: job.length / 3600.0,
        release: job.arrival / 3600.0,
        due: (job.arrival + job.length + job.slack) / 3600.0,
        waiting: 0.0,
    };
    let market = Market {
        slot_hours: 1.0,
        pools: vec![pool],
        classes: (0..=widest).map(|width| class(width.max(1))).collect(),
        tasks: case.jobs.iter().map(task).collect(),
        late: 10.0,
    };
    solve(&market, Effort::default(), None).bound / unlimited(case)
}

/// The cases of the table, or those of other starts, whose bounds are found here.
fn cases() -> Vec<(usize, f64, Option<f64>)> {
    let Ok(starts) = std::env::var("NEAP_STARTS") else {
        return BOUNDS.map(|(start, multiple, bound)| (start, multiple, Some(bound))).to_vec();
    };
    let starts = starts.split(',').map(|start| start.parse().expect("rows of 2022"));
    starts.flat_map(|start| [1.5, 2.0, 3.0].map(|multiple| (start, multiple, None))).collect()
}

#[test]
#[ignore = "long: nine weeks planned every quarter of an hour, three times"]
fn online_gaps_of_n7() {
    let kinds = [
        ("perfect", Outlook::Perfect, 48.0, 0.0),
        ("column", Outlook::Provider, 48.0, 0.0),
        ("blend", Outlook::Blend, 48.0, 0.0),
        ("blend, 24 h", Outlook::Blend, 24.0, 0.0),
        ("arrivals", Outlook::Blend, 48.0, 0.5),
    ];
    let only = std::env::var("NEAP_ONLY").unwrap_or_default();
    for (name, outlook, trusted, expected) in kinds.into_iter().filter(|kind| only.is_empty() || kind.0 == only) {
        // "arrivals": the blend, and half of the arrivals so far expected to go on.
        let mut gaps = Vec::new();
        for (start, multiple, bound) in cases() {
            let Some((case, issues)) = case(start, multiple, 1000) else { return };
            let bound = bound.unwrap_or_else(|| clairvoyant(&case));
            let (ratio, late) = ratio(&case, &issues, outlook, trusted * 3600.0, 900.0, expected);
            assert!(ratio > bound - 1e-4);
            eprintln!(
                "{name}: {start} {multiple}x {ratio:.4} bound {bound:.4} gap {:.2} % late {late:.5}",
                (ratio / bound - 1.0) * 100.0
            );
            gaps.push(ratio / bound - 1.0);
        }
        eprintln!("{name}: mean gap {:.2} %", gaps.iter().sum::<f64>() / gaps.len() as f64 * 100.0);
    }
}
