//! What one job could gain with a perfect forecast, over a year of starts: the single-job rules against known answers.

use crate::{data, near};
use neap_policies::baselines::{Lengths, Rule, run};
use neap_policies::replay::{Case, Curve, Place, TraceJob, score};

/// Rule, length and slack in hours.
const COLUMNS: [(Rule, usize, usize); 5] = [
    (Rule::WaitAwhile, 1, 24),
    (Rule::WaitAwhile, 6, 24),
    (Rule::WaitAwhile, 24, 24),
    (Rule::WaitAwhileContiguous, 24, 24),
    (Rule::WaitAwhile, 24, 168),
];

/// Percent saved, by zone and column.
const KNOWN: [(&str, [f64; 5]); 8] = [
    ("US-CAL-CISO", [32.9, 30.7, 18.7, 3.6, 37.3]),
    ("CA-ON", [49.4, 44.8, 29.9, 14.5, 65.2]),
    ("DE", [23.3, 21.0, 13.5, 6.9, 35.0]),
    ("GB", [22.9, 20.7, 14.5, 9.7, 41.6]),
    ("FR", [18.1, 15.6, 10.4, 6.5, 31.7]),
    ("PL", [12.8, 11.2, 6.8, 3.5, 18.1]),
    ("AU-NSW", [25.5, 21.9, 12.8, 2.5, 27.3]),
    ("AU-SA", [52.4, 47.8, 36.1, 21.3, 71.4]),
];

#[test]
fn percent_saved_by_one_job_in_eight_zones() {
    for (zone, known) in KNOWN {
        let Some(values) = data::intensity(zone, 0) else { return };
        for ((rule, length, slack), percent) in COLUMNS.into_iter().zip(known) {
            let case = every_five_hours(zone, &values, length, slack);
            let saved = 1.0 - score(&case, &run(rule, &case, Lengths::True), &[]).to_unlimited;
            near(&format!("{zone} {length} h + {slack} h"), saved * 100.0, percent, 0.051);
        }
    }
}

fn every_five_hours(zone: &str, values: &[f64], length: usize, slack: usize) -> Case {
    let starts = (0..=values.len() - length - slack).step_by(5);
    let hours = |n: usize| n as f64 * 3600.0;
    let job = |start| TraceJob {
        arrival: hours(start),
        length: hours(length),
        width: 1.0,
        slack: hours(slack),
        assumed: hours(length),
        queue: 0,
        home: 0,
    };
    let curve = Curve::new(0.0, 3600.0, values.to_vec()).expect("values");
    let place = Place { name: zone.to_owned(), curve, forecast: None, pue: 1.0, gpus: None };
    Case { places: vec![place], jobs: starts.map(job).collect(), anywhere: false, kw_per_gpu: 1.0 }
}
