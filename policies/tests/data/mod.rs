//! The shared traces, where they are; tests that need them skip aloud without them.
#![allow(dead_code, clippy::disallowed_methods, clippy::print_stderr, reason = "each test uses its part of it")]

use neap_policies::replay::{Case, Curve, Place, TraceJob};
use std::path::PathBuf;

/// A file of the shared data. `NEAP_SHARED_DATA` names its folder, else `../shared/data` beside the repository.
pub fn read(name: &str) -> Option<String> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let path = std::env::var_os("NEAP_SHARED_DATA").map_or_else(beside, PathBuf::from).join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(e) => {
            eprintln!("SKIPPED: {} cannot be read: {e}", path.display());
            None
        }
    }
}

/// A column of the hourly life-cycle intensities of 2022, from a row on (counted from 0) to the end.
pub fn intensity(zone: &str, row: usize) -> Option<Vec<f64>> {
    let text = read("carbon/ci_lca_hourly_2022.csv")?;
    let mut lines = text.lines();
    let column = lines.next()?.split(',').position(|name| name == zone)?;
    Some(
        lines
            .skip(row)
            .map(|line| line.split(',').nth(column).and_then(|v| v.parse().ok()).expect("a value"))
            .collect(),
    )
}

/// Set-up G: the PAI trace at those zones from a row on; `truncate` cuts arrivals and lengths to whole steps of 5 s.
pub fn set_up_g(zones: &[&str], row: usize, truncate: bool) -> Option<Case> {
    let text = read("jobs/gaia_pai_1k.csv")?;
    let whole = |s: f64| if truncate { (s / 5.0).floor() * 5.0 } else { s };
    let jobs = text.lines().skip(1).enumerate().map(|(index, line)| {
        let field: Vec<f64> = line.split(',').map(|v| v.parse().expect("a number")).collect();
        let (length, short) = (whole(field[1]), field[1] < 7200.0);
        TraceJob {
            arrival: whole(field[0]),
            length,
            width: field[2],
            slack: if short { 6.0 * 3600.0 } else { 24.0 * 3600.0 },
            assumed: if short { 2270.0 } else { 26105.0 },
            queue: usize::from(!short),
            home: index % zones.len(),
        }
    });
    let place = |zone: &&str| {
        let curve = Curve::new(0.0, 3600.0, intensity(zone, row)?)?;
        Some(Place { name: (*zone).to_owned(), curve, forecast: None, pue: 1.0, gpus: None })
    };
    let places = zones.iter().map(place).collect::<Option<Vec<_>>>()?;
    Some(Case { places, jobs: jobs.collect(), anywhere: zones.len() > 1, kw_per_gpu: 0.001 })
}
