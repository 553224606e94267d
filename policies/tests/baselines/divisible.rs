//! Capacity: first-come and global-sort in hour slots of any fraction, first-come for whole jobs on whole GPUs.

use crate::{data, near};
use neap_policies::baselines::{Lengths, Rule, run};
use neap_policies::replay::{Case, Score, Segment, score, unlimited};

/// Mean demand of the trace in GPUs.
const MEAN: f64 = 3192.58 / 168.0;
const FIVE: [&str; 5] = ["US-CAL-CISO", "DE", "GB", "AU-NSW", "PL"];

fn scored(case: &Case, rule: Rule) -> Score {
    score(case, &run(rule, case, Lengths::True), &[])
}

fn with_gpus(zones: &[&str], gpus: f64) -> Option<Case> {
    let mut case = data::set_up_g(zones, 7000, false)?;
    case.places.iter_mut().for_each(|place| place.gpus = Some(gpus));
    Some(case)
}

/// Zone, multiple of the mean demand, first-come and global-sort: carbon and share of late work in percent.
const ONE_ZONE: [(&str, f64, [f64; 2], [f64; 2]); 9] = [
    ("AU-SA", 1.5, [0.6540, 1.35], [0.6707, 0.14]),
    ("AU-SA", 2.0, [0.6066, 0.50], [0.6145, 0.0]),
    ("AU-SA", 3.0, [0.5627, 0.0], [0.5695, 0.0]),
    ("US-CAL-CISO", 1.5, [0.8386, 3.41], [0.8448, 0.29]),
    ("US-CAL-CISO", 2.0, [0.7799, 1.43], [0.7909, 0.0]),
    ("US-CAL-CISO", 3.0, [0.7347, 0.0], [0.7422, 0.0]),
    ("DE", 1.5, [0.9062, 2.15], [0.9105, 0.0]),
    ("DE", 2.0, [0.8876, 0.31], [0.8920, 0.0]),
    ("DE", 3.0, [0.8718, 0.0], [0.8752, 0.0]),
];

#[test]
fn divisible_in_one_zone() {
    for (zone, multiple, first_come, global_sort) in ONE_ZONE {
        let Some(case) = with_gpus(&[zone], multiple * MEAN) else { return };
        for (rule, [carbon, late]) in [(Rule::FirstCome, first_come), (Rule::GlobalSort, global_sort)] {
            let got = scored(&case, rule);
            let name = format!("{} {zone} {multiple}", rule.name());
            near(&name, got.to_unlimited, carbon, 5.1e-5);
            near(&name, got.late_work * 100.0, late, 5.1e-3);
            assert_eq!(got.unfinished, 0, "{name}");
        }
    }
}

#[test]
fn divisible_without_a_limit_is_wait_awhile() {
    for (zone, carbon) in [("AU-SA", 0.5462), ("US-CAL-CISO", 0.7260), ("DE", 0.8652)] {
        let Some(case) = data::set_up_g(&[zone], 7000, false) else { return };
        let best = scored(&case, Rule::WaitAwhile);
        near(zone, best.to_unlimited, carbon, 5.1e-5);
        for rule in [Rule::FirstCome, Rule::GlobalSort] {
            let got = scored(&case, rule);
            near(rule.name(), got.to_unlimited, best.to_unlimited, 1e-9);
            near(rule.name(), got.wait_hours.mean, best.wait_hours.mean, 1e-6);
        }
    }
}

#[test]
fn divisible_in_five_zones() {
    let rows = [(1.25, 0.7320, 0.7111), (1.5, 0.6424, 0.6281), (2.0, 0.5531, 0.5474), (3.0, 0.4750, 0.4709)];
    for (multiple, first_come, global_sort) in rows {
        let Some(case) = with_gpus(&FIVE, multiple * MEAN / 5.0) else { return };
        for (rule, carbon) in [(Rule::FirstCome, first_come), (Rule::GlobalSort, global_sort)] {
            let got = scored(&case, rule);
            near(&format!("{} {multiple}", rule.name()), got.to_unlimited, carbon, 5.1e-5);
            assert!(got.late_work < 5e-5, "{} {multiple}: {}", rule.name(), got.late_work);
        }
    }
}

/// Without waiting: what runs in its window, relative to run-now of all jobs; the late share is left out on this side.
#[test]
fn space_alone_in_five_zones() {
    let rows = [(1.25, 0.7413, 6.43), (1.5, 0.6994, 3.70), (2.0, 0.6451, 0.46), (3.0, 0.5442, 0.0)];
    for (multiple, carbon, late) in rows {
        let Some(mut case) = with_gpus(&FIVE, multiple * MEAN / 5.0) else { return };
        case.jobs.iter_mut().for_each(|job| job.slack = 0.0);
        let ran = run(Rule::GlobalSort, &case, Lengths::True);
        let mut grams = 0.0;
        for (job, ran) in case.jobs.iter().zip(&ran) {
            let due = job.arrival + job.length;
            let in_time = ran.iter().filter(|s| s.from < due);
            grams += in_time.map(|s| case.grams(&Segment { until: s.until.min(due), ..*s })).sum::<f64>();
        }
        near(&format!("space only {multiple}"), grams / unlimited(&case), carbon, 5.1e-5);
        near(&format!("space only {multiple}"), score(&case, &ran, &[]).late_work * 100.0, late, 5.1e-3);
    }
}

/// The reference counts in minutes: a job emits the mean of the minutes it holds, and is late if it holds one that is
/// not wholly within its window.
fn in_minutes(case: &Case) -> (f64, usize) {
    let ran = run(Rule::FirstComeWhole, case, Lengths::True);
    let (mut grams, mut late) = (0.0, 0);
    for (job, ran) in case.jobs.iter().zip(&ran) {
        let held = (job.length / 60.0).ceil() * 60.0;
        let until = ran[0].from + held;
        grams += case.grams(&Segment { until, ..ran[0] }) * job.length / held;
        late += usize::from(until > ((job.arrival + job.length + job.slack) / 60.0).floor() * 60.0);
    }
    (grams / unlimited(case), late)
}

#[test]
fn whole_and_unbroken() {
    let rows = [
        ("AU-SA", 28.0, 0.7126, 6.2),
        ("AU-SA", 38.0, 0.6683, 3.4),
        ("AU-SA", 57.0, 0.6230, 0.0),
        ("US-CAL-CISO", 28.0, 0.8617, 8.1),
        ("US-CAL-CISO", 38.0, 0.8086, 3.0),
        ("US-CAL-CISO", 57.0, 0.7739, 0.0),
        ("DE", 28.0, 0.9233, 6.6),
        ("DE", 38.0, 0.9013, 0.3),
        ("DE", 57.0, 0.8857, 0.0),
    ];
    for (zone, gpus, carbon, late) in rows {
        let Some(case) = with_gpus(&[zone], gpus) else { return };
        let got = scored(&case, Rule::FirstComeWhole);
        let name = format!("{zone} on {gpus}");
        let (grams, late_jobs) = in_minutes(&case);
        near(&name, grams, carbon, 5.1e-5);
        near(&name, late_jobs as f64 / 10.0, late, 0.051);
        near(&name, got.to_unlimited, carbon, 1.2e-4);
        assert!(got.late_jobs <= late_jobs, "{name}: {}", got.late_jobs);
        assert!(got.peak_gpus <= gpus, "{name}: {}", got.peak_gpus);
        assert_eq!((got.pauses, got.moves, got.unfinished), (0, 0, 0), "{name}");
    }
}
