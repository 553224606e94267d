//! What a forecast costs on this machine: `cargo run --release -p neap-policies --example forecast_cost`.
//!
//! From 1,200 days of a made-up zone, the most that is looked back at: median and worst of 50.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "it measures time and prints what it measured")]

use chrono::DateTime;
use neap_policies::forecast::{History, damp_long, hourly};
use std::time::Instant;

fn main() {
    let mut state = 7u64;
    let hours: Vec<Option<f64>> = (0..1_200 * 24)
        .map(|hour| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let sun = (f64::from(hour % 24) / 24.0 * std::f64::consts::TAU).cos();
            Some(300.0 + 100.0 * sun + 40.0 * ((state >> 33) as f64 / f64::from(u32::MAX >> 1)))
        })
        .collect();
    let history = History::of_hours(&hours, DateTime::from_timestamp(1_795_478_400, 0).expect("in range"));
    for (name, rule) in [("damp_long", damp_long as fn(&History) -> Option<Vec<f64>>), ("learned", hourly)] {
        let mut times: Vec<f64> = (0..50)
            .map(|_| {
                let began = Instant::now();
                assert!(rule(&history).is_some());
                began.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("{name:10} median {:.3} ms, worst {:.3} ms", times[25], times[49]);
    }
}
